from hypothesis import given
from hypothesis import strategies as st

from ecgvlm.judge.agreement import margin, settle
from ecgvlm.labels import LABELS

probability = st.floats(0, 1)


@given(probability, probability)
def test_a_label_is_found_exactly_where_its_probability_reaches_the_threshold(p, t):
    assert (margin(p, t) >= 0) == (p >= t)
    assert -6 <= margin(p, t) <= 6


@given(
    st.lists(probability, min_size=25, max_size=25), st.lists(st.floats(0.01, 0.99), min_size=25, max_size=25)
)
def test_settled_probabilities_hold_no_contradiction(values, limits):
    thresholds = dict(zip(LABELS, limits))
    settled = settle(dict(zip(LABELS, values)), thresholds)
    found = {label for label in LABELS if settled[label] >= thresholds[label]}
    assert len(found & {"SR", "SB", "ST", "AF", "AFLT", "PACE"}) <= 1
    assert len(found & {"RBBB", "LBBB", "IRBBB"}) <= 1
    assert not ("NORM" in found and found & {"AF", "LBBB", "LVH", "MI", "CD", "HYP", "STTC"})
    assert not (found & {"AMI", "IMI", "LMI"} and "MI" not in found)


def test_of_findings_that_exclude_each_other_the_likelier_stays():
    thresholds = dict.fromkeys(LABELS, 0.4) | {"IRBBB": 0.3}
    settled = settle(dict.fromkeys(LABELS, 0.1) | {"RBBB": 0.6, "IRBBB": 0.55}, thresholds)
    assert settled["RBBB"] >= 0.4
    assert settled["IRBBB"] < 0.3


def test_settling_leaves_agreeing_probabilities_alone():
    thresholds = dict.fromkeys(LABELS, 0.5)
    probabilities = {**dict.fromkeys(LABELS, 0.1), "NORM": 0.8, "SR": 0.9}
    assert settle(probabilities, thresholds) == probabilities


def test_at_moved_thresholds_the_usual_ones_tell_which_finding_is_the_clearest():
    usual = dict.fromkeys(LABELS, 0.4)
    moved = usual | {"RBBB": 0.3, "IRBBB": 0.01, "SB": 0.02, "SR": 0.95}
    probabilities = dict.fromkeys(LABELS, 0.005) | {"RBBB": 0.6, "IRBBB": 0.2, "SB": 0.03, "SR": 0.999}
    settled = settle(probabilities, moved, usual)
    found = {label for label in LABELS if settled[label] >= moved[label]}
    assert found == {"RBBB", "SB", "CD"}


def test_what_another_finding_rules_out_is_rather_absent_than_there():
    thresholds = dict.fromkeys(LABELS, 0.4) | {"AVB21": 0.9, "WENCK": 0.8}
    settled = settle(dict.fromkeys(LABELS, 0.01) | {"AVB21": 0.95, "WENCK": 0.9}, thresholds)
    assert settled["AVB21"] == 0.95
    assert settled["WENCK"] < 0.5
