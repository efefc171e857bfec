"""The one ontology: every finding that records, network, answers and benchmark share, stated once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One finding. code: as data and JSON write it. name: in words. group: the heading it is reported under.

    parents: the superclasses it is a kind of. excludes: codes that its definition rules out. one_of: of the
    findings with the same such name one at most is said, the clearest. snomed: its SNOMED CT code, as the
    PhysioNet/CinC Challenge 2021 maps its diagnoses, "" where that has none.
    """

    code: str
    name: str
    group: str
    parents: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    one_of: str = ""
    snomed: str = ""


_ATRIAL = ("SR", "SB", "ST", "SARRH")  # what fibrillation and flutter of the atria leave no room for
# In the order in which a report names them within their group.
FINDINGS: dict[str, Finding] = {
    finding.code: finding
    for finding in (
        Finding(
            "NORM", "normal ECG", "normal",
            excludes=("AF", "AFLT", "PACE", "HAVB", "RBBB", "LBBB", "LAFB", "LVH", "AMI", "IMI", "LMI",
                      "STTC", "MI", "CD", "HYP"),
        ),
        Finding("PACE", "paced rhythm", "rhythm", one_of="rhythm", snomed="10370003"),
        Finding("AF", "atrial fibrillation", "rhythm", (), _ATRIAL, "rhythm", "164889003"),
        Finding("AFLT", "atrial flutter", "rhythm", (), _ATRIAL, "rhythm", "164890007"),
        Finding("SB", "sinus bradycardia", "rhythm", (), ("ST", "AF", "AFLT"), "rhythm", "426177001"),
        Finding("ST", "sinus tachycardia", "rhythm", (), ("SB", "AF", "AFLT"), "rhythm", "427084000"),
        Finding("SARRH", "sinus arrhythmia", "rhythm", snomed="427393009"),
        Finding("SR", "sinus rhythm", "rhythm", (), ("AF", "AFLT"), "rhythm", "426783006"),
        Finding("HAVB", "second- or third-degree AV block", "conduction", ("CD",), ("1dAVb",), "AV block"),
        Finding("1dAVb", "first-degree AV block", "conduction", one_of="AV block", snomed="270492004"),
        Finding("LBBB", "left bundle branch block", "conduction", ("CD",), ("RBBB", "IRBBB"), "bundle",
                "164909002"),
        Finding("RBBB", "right bundle branch block", "conduction", ("CD",), ("LBBB", "IRBBB"), "bundle",
                "59118001"),
        Finding("IRBBB", "incomplete right bundle branch block", "conduction", ("CD",), ("LBBB", "RBBB"),
                "bundle", "713426002"),
        Finding("LAFB", "left anterior fascicular block", "conduction", ("CD",), snomed="445118002"),
        Finding("CD", "conduction disturbance", "conduction"),
        Finding("LVH", "left ventricular hypertrophy", "hypertrophy", ("HYP",), snomed="164873001"),
        Finding("HYP", "hypertrophy", "hypertrophy"),
        Finding("AMI", "anterior myocardial infarction", "infarction", ("MI",)),
        Finding("IMI", "inferior myocardial infarction", "infarction", ("MI",)),
        Finding("LMI", "lateral myocardial infarction", "infarction", ("MI",)),
        Finding("MI", "myocardial infarction", "infarction", snomed="164865005"),
        Finding("STTC", "ST-T changes", "repolarization"),
        Finding("PVC", "premature ventricular complexes", "ectopy", snomed="427172004"),
        Finding("PAC", "premature atrial complexes", "ectopy", snomed="284470004"),
        Finding("LVOLT", "low voltage", "voltage", snomed="251146004"),
    )
}  # fmt: skip
# What the network judges, in the order of its outputs, which weights depend on. The first seven are
# CODE-15%'s.
LABELS = (
    "NORM", "1dAVb", "RBBB", "LBBB", "SB", "ST", "AF", "SR", "SARRH", "AFLT", "PACE", "PAC", "PVC", "HAVB",
    "IRBBB", "LAFB", "LVH", "AMI", "IMI", "LMI", "STTC", "LVOLT", "MI", "CD", "HYP",
)  # fmt: skip
NAMES: dict[str, str] = {code: FINDINGS[code].name for code in LABELS}
CODE15 = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
SIGNS = ("STE", "STD", "TINV", "QWAVE")  # of single leads


def in_group(group: str) -> tuple[str, ...]:
    """The findings of a group, in the order in which a report names them."""
    return tuple(code for code, finding in FINDINGS.items() if finding.group == group)


RHYTHMS = in_group("rhythm")
# Superclass -> its kinds.
KINDS: dict[str, tuple[str, ...]] = {
    parent: tuple(code for code, finding in FINDINGS.items() if parent in finding.parents)
    for parent in dict.fromkeys(parent for finding in FINDINGS.values() for parent in finding.parents)
}
# Findings of which one at most is said.
EXCLUSIVE: tuple[tuple[str, ...], ...] = tuple(
    tuple(code for code, finding in FINDINGS.items() if finding.one_of == name)
    for name in dict.fromkeys(finding.one_of for finding in FINDINGS.values() if finding.one_of)
)
