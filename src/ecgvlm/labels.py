"""The one ontology: every finding that records, network, answers and benchmark share, stated once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One finding. code: as data and JSON write it. name: in words. group: the heading it is reported under.

    parents: the superclasses it is a kind of. excludes: codes that its definition rules out. one_of: of the
    findings with the same such name one at most is said, that of the highest rank, of equals the clearest.
    snomed: its SNOMED CT code, as the PhysioNet/CinC Challenge 2021 maps its diagnoses, "" where that has
    none. urgency: 1 where somebody must act at once; a block below Wenckebach's by the ACC/AHA/HRS guideline
    on bradycardia 2018, and one whose kind is not known, as it may be such a one.
    """

    code: str
    name: str
    group: str
    parents: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    one_of: str = ""
    snomed: str = ""
    urgency: int = 0
    rank: int = 0


_SINUS = ("SR", "SB", "ST", "SARRH")  # what any other pacemaker leaves no room for
# In the order in which a report names them within their group.
FINDINGS: dict[str, Finding] = {
    finding.code: finding
    for finding in (
        Finding(
            "NORM", "normal ECG", "normal",
            excludes=("AF", "AFLT", "PACE", "HAVB", "RBBB", "LBBB", "LAFB", "LVH", "AMI", "IMI", "LMI",
                      "STTC", "MI", "CD", "HYP"),
        ),
        Finding("NOQRS", "absence of QRS complexes", "rhythm", (), _SINUS, "rhythm", urgency=1, rank=3),
        Finding("VF", "ventricular fibrillation or polymorphic ventricular tachycardia", "rhythm", (),
                _SINUS, "rhythm", "164896001", 1, rank=4),
        Finding("VT", "wide-complex tachycardia", "rhythm", (), _SINUS, "rhythm", "164895002", 1, rank=2),
        Finding("PACE", "paced rhythm", "rhythm", (), (*_SINUS, "1dAVb", "SHORTPR"), "rhythm", "10370003"),
        Finding("AF", "atrial fibrillation", "rhythm", (), _SINUS, "rhythm", "164889003"),
        Finding("AFLT", "atrial flutter", "rhythm", (), (*_SINUS, "SVT", "1dAVb", "SHORTPR"), "rhythm",
                "164890007"),
        Finding("SVT", "supraventricular tachycardia", "rhythm", (), _SINUS, "rhythm", "426761007", rank=1),
        Finding("IVR", "ventricular rhythm", "rhythm", (), _SINUS, "rhythm", "49260003", rank=1),
        Finding("JUNC", "junctional rhythm", "rhythm", (), _SINUS, "rhythm", "29320008", rank=1),
        Finding("SB", "sinus bradycardia", "rhythm", (), ("ST", "AF", "AFLT"), "rhythm", "426177001"),
        Finding("ST", "sinus tachycardia", "rhythm", (), ("SB", "AF", "AFLT"), "rhythm", "427084000"),
        Finding("SARRH", "sinus arrhythmia", "rhythm", snomed="427393009"),
        Finding("SR", "sinus rhythm", "rhythm", (), ("AF", "AFLT"), "rhythm", "426783006"),
        Finding("AVB3", "third-degree AV block", "conduction", ("HAVB", "CD"), ("1dAVb", "SB", "ST"),
                "AV block", "27885002", 1, rank=2),
        Finding("MOBITZ2", "second-degree AV block, Mobitz type II", "conduction", ("HAVB", "CD"),
                ("1dAVb", "PAC"), "AV block", "426183003", 1, rank=1),
        Finding("AVB21", "2:1 AV block", "conduction", ("HAVB", "CD"), ("1dAVb", "PAC"), "AV block", "",
                1, rank=1),
        Finding("WENCK", "second-degree AV block, Mobitz type I (Wenckebach)", "conduction", ("HAVB", "CD"),
                ("1dAVb", "PAC"), "AV block", "54016002", rank=1),
        Finding("HAVB", "second- or third-degree AV block", "conduction", ("CD",), ("1dAVb",), "AV block",
                urgency=1),
        Finding("1dAVb", "first-degree AV block", "conduction", one_of="AV block", snomed="270492004"),
        Finding("SHORTPR", "short PR interval", "conduction", one_of="AV block", snomed="49578007", rank=-1),
        Finding("WPW", "ventricular pre-excitation (WPW pattern)", "conduction", ("CD",), ("1dAVb",),
                "bundle", "74390002", rank=1),
        Finding("LBBB", "left bundle branch block", "conduction", ("CD",), ("RBBB", "IRBBB"), "bundle",
                "164909002"),
        Finding("RBBB", "right bundle branch block", "conduction", ("CD",), ("LBBB", "IRBBB"), "bundle",
                "59118001"),
        Finding("IRBBB", "incomplete right bundle branch block", "conduction", ("CD",), ("LBBB", "RBBB"),
                "bundle", "713426002"),
        Finding("IVCD", "nonspecific intraventricular conduction delay", "conduction", ("CD",),
                ("LBBB", "RBBB", "IRBBB"), "bundle", "698252002", rank=-1),
        Finding("LAFB", "left anterior fascicular block", "conduction", ("CD",), (), "fascicle",
                "445118002"),
        Finding("LPFB", "left posterior fascicular block", "conduction", ("CD",), (), "fascicle",
                "445211001"),
        Finding("CD", "conduction disturbance", "conduction"),
        Finding("LAD", "left axis deviation", "axis", (), ("RAD",), "axis", "39732003"),
        Finding("RAD", "right axis deviation", "axis", (), ("LAD",), "axis", "47665007"),
        Finding("LVH", "left ventricular hypertrophy", "hypertrophy", ("HYP",), snomed="164873001"),
        Finding("RVH", "right ventricular hypertrophy", "hypertrophy", ("HYP",), snomed="89792004"),
        Finding("LAE", "left atrial enlargement", "hypertrophy", ("HYP",), snomed="67741000119109"),
        Finding("RAE", "right atrial enlargement", "hypertrophy", ("HYP",), snomed="446358003"),
        Finding("HYP", "hypertrophy", "hypertrophy"),
        Finding("STE", "ST elevation", "repolarization", ("STTC",), snomed="164931005",
                urgency=1),
        Finding("AMI", "anterior myocardial infarction", "infarction", ("MI",)),
        Finding("IMI", "inferior myocardial infarction", "infarction", ("MI",)),
        Finding("LMI", "lateral myocardial infarction", "infarction", ("MI",)),
        Finding("MI", "myocardial infarction", "infarction", snomed="164865005"),
        Finding("QWAVE", "pathological Q waves", "infarction", snomed="164917005"),
        Finding("PRWP", "poor R wave progression", "infarction", snomed="365413008"),
        Finding("STD", "ST depression", "repolarization", ("STTC",), snomed="429622005"),
        Finding("TINV", "T wave inversion", "repolarization", ("STTC",), snomed="59931005"),
        Finding("STTC", "ST-T changes", "repolarization"),
        Finding("LQT", "prolonged QT interval", "repolarization", (), ("SQT",), "QT", "111975006"),
        Finding("SQT", "short QT interval", "repolarization", (), ("LQT",), "QT", "77867006"),
        Finding("BIGEM", "ventricular bigeminy", "ectopy", ("PVC",), (), "series", "11157007"),
        Finding("TRIGEM", "ventricular trigeminy", "ectopy", ("PVC",), (), "series", "251180001"),
        Finding("PVC", "premature ventricular complexes", "ectopy", snomed="427172004"),
        Finding("PAC", "premature atrial complexes", "ectopy", snomed="284470004"),
        Finding("PAUSE", "pause", "ectopy"),
        Finding("LVOLT", "low voltage", "voltage", snomed="251146004"),
        Finding("NOSIGNAL", "leads without signal", "recording"),
    )
}  # fmt: skip
# What the network judges, in the order of its outputs, which weights depend on. The first seven are
# CODE-15%'s.
LABELS = (
    "NORM", "1dAVb", "RBBB", "LBBB", "SB", "ST", "AF", "SR", "SARRH", "AFLT", "PACE", "PAC", "PVC", "HAVB",
    "IRBBB", "LAFB", "LVH", "AMI", "IMI", "LMI", "STTC", "LVOLT", "MI", "CD", "HYP",
)  # fmt: skip
NAMES: dict[str, str] = {code: finding.name for code, finding in FINDINGS.items()}
# Rhythms in which no PR interval is to be given: atria and ventricles do not go together.
WITHOUT_PR = frozenset({"NOQRS", "VF", "VT", "AF", "AFLT", "SVT", "IVR", "JUNC", "AVB3"})
# What is told by PR intervals: there is none of it where there are none.
OF_CONDUCTION = frozenset({"1dAVb", "SHORTPR", "WPW", "WENCK", "MOBITZ2", "AVB21"})
# What is no rhythm of beats: nothing of it can be measured.
WITHOUT_BEATS = frozenset({"VF"})
# Rhythms whose beats spread from the ventricles: their shapes tell nothing of what these groups hold.
VENTRICULAR = frozenset({"VF", "VT", "IVR"})
# Bundle branch blocks, which tell the wide beats of a third-degree AV block from those of the ventricles.
OF_BUNDLES = frozenset({"RBBB", "LBBB"})
OF_SHAPES = ("conduction", "hypertrophy", "infarction", "repolarization")
# What a normal ECG may show.
UNREMARKABLE = frozenset({"NORM", "SR", "SARRH", "NOSIGNAL"})
CODE15 = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
SIGNS = ("STE", "STD", "TINV", "QWAVE")  # of single leads


def in_group(group: str) -> tuple[str, ...]:
    """The findings of a group, in the order in which a report names them."""
    return tuple(code for code, finding in FINDINGS.items() if finding.group == group)


RHYTHMS = in_group("rhythm")
SHAPES = tuple(code for group in OF_SHAPES for code in in_group(group))
# What may be said of beats that escape from the ventricles below an AV block.
BESIDE_ESCAPE = frozenset(code for code in FINDINGS if FINDINGS[code].one_of == "AV block") | {"CD"}


def may_escape(found: Collection[str]) -> bool:
    """Whether beats, if wide, escape from the ventricles: below a third-degree AV block, by no bundle branch
    block."""
    return "AVB3" in found and OF_BUNDLES.isdisjoint(found)


def instead_of(code: str, found: Iterable[str]) -> list[str]:
    """Those of the findings found of which there is one at most beside this one, itself included."""
    one_of = FINDINGS[code].one_of
    return [x for x in found if one_of and FINDINGS[x].one_of == one_of]


# Superclass -> its kinds.
CHILDREN: dict[str, tuple[str, ...]] = {
    parent: tuple(code for code, finding in FINDINGS.items() if parent in finding.parents)
    for parent in dict.fromkeys(parent for finding in FINDINGS.values() for parent in finding.parents)
}
# Findings of which one at most is said.
EXCLUSIVE: tuple[tuple[str, ...], ...] = tuple(
    tuple(code for code, finding in FINDINGS.items() if finding.one_of == name)
    for name in dict.fromkeys(finding.one_of for finding in FINDINGS.values() if finding.one_of)
)
