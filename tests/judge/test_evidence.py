from dataclasses import replace
from random import Random

import pytest

from ecgvlm.instruct.states import sample
from ecgvlm.judge.criteria import Criterion
from ecgvlm.judge.evidence import say_mm
from ecgvlm.labels import LABELS
from ecgvlm.record import LEADS
from ecgvlm.words import answers


def test_findings_follow_the_thresholds():
    evidence = sample(Random(1))
    evidence = replace(
        evidence,
        probabilities={**dict.fromkeys(LABELS, 0.2), "AF": 0.3, "LVH": 0.299},
        thresholds=dict.fromkeys(LABELS, 0.3),
    )
    assert evidence.findings == ("AF",)


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


def test_borderline_is_what_lies_near_its_limit():
    evidence = sample(Random(0))

    def judged(qtc: float, sure: float, found: bool = False):
        condition = Criterion("LQT", "QTc", qtc, "ms", ">=", 460.0, True, sure, "")
        p = {**evidence.probabilities, "LQT": 0.99 if found else 0.0}
        return replace(
            evidence, probabilities=p, thresholds={**evidence.thresholds, "LQT": 0.9},
            measurements={**evidence.measurements, "qtc_ms": qtc}, criteria=(condition,), reasons={},
        )  # fmt: skip

    assert judged(467.0, 0.69).borderline("qtc_ms")
    assert not judged(535.0, 1.0).borderline("qtc_ms")  # a wide QRS alone keeps the finding away
    assert not judged(535.0, 1.0, found=True).borderline("qtc_ms")
    assert not judged(430.0, 0.0).borderline("qtc_ms")


def test_sinus_arrhythmia_is_not_called_regular():
    evidence = replace(sample(Random(0)), rr_variation=0.05)
    for p, regularity in ((0.0, "regular"), (1.0, "slightly irregular")):
        labels = {**evidence.probabilities, "SARRH": p}
        assert replace(evidence, probabilities=labels).regularity == regularity


def test_of_a_quick_pulse_the_qtc_counts_that_does_not_overdo_it():
    """QTc 500 ms by Bazett's correction at 140 bpm is 430 by Fridericia's: neither long nor borderline."""
    evidence = sample(Random(0))
    condition = Criterion("LQT", "QTc", 430.0, "ms", ">=", 460.0, False, 0.02, "")
    measured = {**evidence.measurements, "qtc_ms": 500.0}
    quick = replace(evidence, measurements=measured, criteria=(condition,), reasons={})
    assert quick.counted("qtc_ms") == 430.0
    assert not quick.borderline("qtc_ms")
    assert "QTc 500 ms (Fridericia: 430 ms)" in answers.intervals(quick)
    assert answers.limit(quick, "qtc_ms", "high") == "No, the QTc is 500 ms (Fridericia: 430 ms)."
    assert answers.within(quick, "qtc_ms") == "The QTc of 500 ms (Fridericia: 430 ms) is normal."
    long = replace(quick, criteria=(replace(condition, value=470.0, met=True, sure=0.76),))
    assert "QTc 500 ms (borderline, Fridericia: 470 ms)" in answers.intervals(long)
