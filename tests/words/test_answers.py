"""What a report and its verdict say of findings that belong together."""

from dataclasses import replace
from random import Random

import pytest

from ecgvlm.instruct.states import sample
from ecgvlm.judge.criteria import Criterion
from ecgvlm.labels import LABELS, RHYTHMS
from ecgvlm.record import LEADS
from ecgvlm.words import answers
from ecgvlm.words.prose import prose


def showing(*found: str, **measured: float):
    """Evidence of just these findings, beside measurements that are normal but for those given."""
    evidence = sample(Random(3))
    normal = {
        "heart_rate_bpm": 70.0, "pr_ms": 160.0, "qrs_ms": 95.0, "qt_ms": 400.0, "qtc_ms": 430.0,
        "axis_deg": 40.0,
    }  # fmt: skip
    waves = next(x for x in evidence.leads.values() if x)
    calm = replace(waves, q=0.0, r=0.8, s=-0.2, st=0.0, t=0.2)
    p = dict.fromkeys({*LABELS, *found}, 0.01) | dict.fromkeys(found, 0.95)
    return replace(
        evidence, probabilities=p, thresholds=dict.fromkeys(p, 0.5), measurements=normal | measured,
        reasons={}, leads=dict.fromkeys(LEADS, calm), cautions=(), no_signal=(), criteria=(),
        rr_variation=0.02,
    )  # fmt: skip


def test_st_elevation_is_not_told_with_no_infarction():
    raised = showing("SR", "STE", "STTC")
    leads = {lead: replace(raised.leads[lead], st=0.3) for lead in ("II", "III", "aVF")}
    raised = replace(raised, leads={**raised.leads, **leads})
    report = answers.report(raised)
    assert "acute infarction must be ruled out" in report
    assert "infarction" not in report.replace("acute infarction", "")
    assert answers.group(raised, "infarction") == "This fits a STEMI: ST elevation in II, III, aVF."
    assert answers.finding(raised, "MI") == "Yes, this fits a STEMI: ST elevation in II, III, aVF."
    assert answers.group(showing("SR"), "infarction") == "No evidence of infarction."


def test_a_conduction_disturbance_that_only_the_axis_tells_of_is_called_by_it():
    assert answers.verdict(showing("SR", "CD", "LAD", axis_deg=-38.0)) == (
        "ABNORMAL - Sinus Rhythm with Left Axis Deviation"
    )
    wide = showing("SR", "CD", "LAD", axis_deg=-38.0, qrs_ms=128.0)
    assert answers.verdict(wide) == "ABNORMAL - Sinus Rhythm with Conduction Disturbance"


def test_a_qt_interval_stands_for_no_st_t_change():
    both = showing("SR", "STTC", "LQT", qtc_ms=500.0)
    assert answers.repolarization(both) == "ST-T changes, prolonged QT interval."
    assert answers.repolarization(showing("SR", "STTC", "STD")) == "ST depression."


def test_a_wide_qrs_is_not_told_with_no_conduction_disturbance():
    """It may be wide by flutter waves beside it, which is no delay; nor is one known to be absent."""
    sure = Criterion("RBBB", "QRS duration", 145.0, "ms", ">=", 120.0, True, 0.997, "")
    wide = replace(showing("AFLT", qrs_ms=145.0), criteria=(sure,))
    assert "QRS 145 ms (wide)" in answers.intervals(wide)
    assert answers.group(wide, "conduction") == "Conduction: nothing found in what can be seen."
    narrow = replace(showing("AFLT", qrs_ms=124.0), criteria=(replace(sure, value=124.0, sure=0.67),))
    assert "QRS 124 ms (borderline)" in answers.intervals(narrow)
    assert answers.group(narrow, "conduction") == "No conduction disturbance."


def test_a_qrs_is_not_wide_by_a_block_that_leaves_it_narrow():
    fascicle = Criterion("RBBB", "QRS duration", 122.0, "ms", ">=", 120.0, True, 0.59, "")
    evidence = replace(showing("SR", "LAFB", "CD", qrs_ms=122.0, axis_deg=-50.0), criteria=(fascicle,))
    assert "QRS 122 ms (borderline)" in answers.intervals(evidence)


@pytest.mark.parametrize(("found", "regularly"), [((), True), (("PAC",), False), (("PVC",), False)])
def test_a_patient_with_extra_beats_is_not_told_that_the_heart_beats_regularly(found, regularly):
    evidence = showing("SR", *found)
    assert set(evidence.findings) & set(RHYTHMS) == {"SR"}
    assert ("Your heart beats regularly." in prose(evidence, ("patient",))) == regularly
