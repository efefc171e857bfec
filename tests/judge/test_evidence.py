from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvlm.instruct.states import sample
from ecgvlm.judge.evidence import FEATURES, TOKENS, WIDTH, encode, margin, say_mm, settle, tokens
from ecgvlm.labels import LABELS
from ecgvlm.record import LEADS

probability = st.floats(0, 1)


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_page_fits_into_the_prefix(seed):
    evidence = sample(Random(seed))
    ids = encode(evidence)
    assert ids.shape == (TOKENS, WIDTH)
    assert [[FEATURES[i] for i in row if i] for row in ids] == tokens(evidence)


@given(probability, probability)
def test_a_label_is_found_exactly_where_its_probability_reaches_the_threshold(p, t):
    assert (margin(p, t) >= 0) == (p >= t)
    assert -6 <= margin(p, t) <= 6


def test_findings_follow_the_thresholds():
    evidence = sample(Random(1))
    evidence = replace(
        evidence,
        probabilities={**dict.fromkeys(LABELS, 0.2), "AF": 0.3, "LVH": 0.299},
        thresholds=dict.fromkeys(LABELS, 0.3),
    )
    assert evidence.findings == ("AF",)


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


def test_numbers_as_texts_write_them():
    assert [say_mm(mv, signed=True) for mv in (0.21, -0.005, -0.15, 9.0)] == ["+2.1", "+0.0", "-1.5", "+39.9"]


def test_signs_of_single_leads():
    evidence = sample(Random(2))
    waves = next(x for x in evidence.leads.values() if x)
    leads = {lead: replace(waves, st=0.15, t=0.3, q=-0.2, r=1.0) for lead in LEADS}
    evidence = replace(evidence, leads={**leads, "V6": None})
    assert evidence.sign("STE", "V1")
    assert not evidence.sign("STE", "V2")  # up to 0.2 mV is normal there
    assert not evidence.sign("STE", "V6")
    assert evidence.leads_with("STE") == ("I", "II", "III", "aVL", "aVF", "V1", "V4", "V5")
    assert evidence.beside("STE") == ("I", "II", "III", "aVL", "aVF", "V4", "V5")  # V1's neighbour has none
    assert evidence.leads_with("QWAVE") == ()


@pytest.mark.parametrize(
    "change",
    [{"probabilities": {"AF": 1.0}}, {"layout": "5x5"}, {"reasons": {"pr_ms": "lazy"}}, {"leads": {}}],
)
def test_evidence_that_is_not_complete_is_refused(change):
    with pytest.raises(ValueError, match="must"):
        replace(sample(Random(0)), **change)


def test_the_prefix_tells_pages_apart():
    pages = [encode(sample(Random(seed))) for seed in range(20)]
    assert len({page.tobytes() for page in pages}) == 20
    assert np.array_equal(pages[3], encode(sample(Random(3))))
