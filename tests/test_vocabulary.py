"""The table of other collections' words: complete, consistent, and read as a cardiologist would."""

import pytest

from ecgvlm.labels import CODE15, LABELS, NAMES, SIGNS
from ecgvlm.vocabulary import labels_of, left_open, read_label, read_statement, terms, with_parents

SYSTEMS = ("SCP-ECG", "PTB-XL sub_class", "PTB-XL super_class", "CODE-15%", "SNOMED CT", "text")
# The 30 scored diagnoses of physionetchallenges/evaluation-2021, dx_mapping_scored.csv.
SCORED = {
    164889003, 164890007, 6374002, 426627000, 733534002, 713427006, 270492004, 713426002, 39732003, 445118002,
    164909002, 251146004, 698252002, 426783006, 284470004, 10370003, 365413008, 427172004, 164947007,
    111975006, 164917005, 47665007, 59118001, 427393009, 426177001, 427084000, 63593006, 164934002,
    59931005, 17338001,
}  # fmt: skip


def test_every_line_speaks_of_known_labels():
    for system in SYSTEMS:
        assert terms(system), system
        for term in terms(system).values():
            assert term.labels | term.open <= set(LABELS), term
            assert term.signs <= set(SIGNS)
            assert not term.labels & term.open, term
            assert with_parents(term.labels) - term.labels <= {"MI", "CD", "HYP"}
            assert bool(term.heading) >= bool(term.phrase), term


def test_kinds_bring_their_superclass_where_statements_are_complete():
    for system in ("SCP-ECG", "CODE-15%", "SNOMED CT", "text"):
        for term in terms(system).values():
            assert with_parents(term.labels) == term.labels, term


def test_scp_statements_are_all_there_with_english_phrases():
    scp = terms("SCP-ECG")
    assert len(scp) == 71
    assert all(term.phrase for term in scp.values())
    assert scp["ASMI"].labels == {"AMI", "MI"}
    assert scp["LPFB"].labels == {"CD"}
    assert scp["PRC(S)"].open == {"PAC", "PVC"}


@pytest.mark.real_data
def test_scp_statements_are_those_of_ptbxl(shared_data):
    from ecgvlm.files.datasets import read_table

    published = {row[""].strip("_"): row for row in read_table(shared_data / "ptbxl" / "scp_statements.csv")}
    assert set(published) == set(terms("SCP-ECG"))
    for code, row in published.items():
        classes = terms("SCP-ECG")[code].labels & {"MI", "STTC", "CD", "HYP"}
        assert classes == {row["diagnostic_class"]} - {"", "NORM"}, code


def test_snomed_codes_of_the_challenge():
    snomed = terms("SNOMED CT")
    assert len(SCORED) == 30
    assert {int(code) for code in snomed} >= SCORED
    assert len(snomed) == 133
    for one, other in (("733534002", "164909002"), ("713427006", "59118001"), ("284470004", "63593006"),
                       ("427172004", "17338001")):  # scored as one diagnosis each  # fmt: skip
        assert snomed[one].labels == snomed[other].labels
    used = labels_of(term for term in snomed.values() if "CPSC" in term.databases)
    assert used - {"CD", "STTC"} == {"AF", "1dAVb", "LBBB", "RBBB", "SR", "PAC", "PVC"}
    assert snomed["429622005"].signs == {"STD"}


def test_code15_columns():
    assert set(terms("CODE-15%")) == {*CODE15, "normal_ecg"}
    assert all(code in terms("CODE-15%")[code].labels for code in CODE15)


@pytest.mark.parametrize(
    ("text", "sure", "unsure"),
    [
        ("Sinus rhythm with PVC(s)", {"SR", "PVC"}, set()),
        ("SINUS RHYTHM.", {"SR"}, set()),
        ("Sinus rhythm with borderline 1st degree A-V block", {"SR"}, {"1dAVb", "CD"}),
        ("Sinus bradycardia with 1st degree A-V block", {"SB", "1dAVb", "CD"}, set()),
        ("Probable atrial fibrillation", set(), {"AF"}),
        ("Left bundle branch block", {"LBBB", "CD"}, set()),
        ("Incomplete LBBB", {"CD"}, set()),
        ("RBBB with left anterior fascicular block", {"RBBB", "LAFB", "CD"}, set()),
        ("Inferior infarct - age undetermined", {"IMI", "MI"}, set()),
        ("Possible anterior infarct - age undetermined", set(), {"AMI", "MI"}),
        ("QRS changes V3/V4 may be due to LVH but cannot rule out anterior infarct", set(),
         {"LVH", "HYP", "AMI", "MI"}),
        ("No evidence of inferior infarct", set(), set()),
        ("Left axis deviation", set(), set()),
        ("Abnormal ECG", set(), set()),
    ],
)  # fmt: skip
def test_printed_statements(text, sure, unsure):
    asserted, doubted = read_statement(text)
    assert labels_of(asserted) == sure
    assert labels_of(doubted) == unsure


def test_words_of_a_users_table():
    assert read_label(" AF ") == {"AF"}
    assert read_label("RBBB") == {"RBBB", "CD"}
    assert read_label("left ventricular hypertrophy") == {"LVH", "HYP"}
    assert read_label("NST_") == {"STTC"}
    assert read_label("164889003") == {"AF"}
    for label, name in ((label, NAMES[label]) for label in LABELS):
        assert label in read_label(label)
        assert label in read_label(name)
    for nonsense in ("possible infarct", "xyz", ""):
        with pytest.raises(ValueError, match="no finding"):
            read_label(nonsense)


def test_what_silence_leaves_open():
    snomed = terms("SNOMED CT")
    annotated = {"NORM", "AF", "RBBB", "LBBB", "SR", "PAC"}
    af = snomed["164889003"]
    unknown = left_open(af.labels, [af], annotated)
    assert {"LVH", "MI", "PVC", "PACE"} <= unknown
    assert not unknown & {"AF", "RBBB", "LBBB", "PAC", "NORM", "SR", "SB", "ST"}  # AF is no sinus rhythm
    rbbb = snomed["59118001"]
    assert {"SR", "AF", "SB"} <= left_open(rbbb.labels, [rbbb], LABELS)  # no rhythm is stated
    assert left_open({"SR"}, [snomed["426783006"], snomed["39732003"]], LABELS) == {"NORM", "LAFB"}
    assert not left_open({"NORM", "SR"}, [snomed["426783006"]], {"NORM"}) & {"MI", "CD", "HYP", "STTC"}
