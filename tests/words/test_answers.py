"""What a report and its verdict say of findings that belong together."""

from dataclasses import replace
from random import Random

import pytest

from ecgvlm.instruct.states import sample
from ecgvlm.judge.criteria import Criterion
from ecgvlm.labels import LABELS, RHYTHMS
from ecgvlm.record import LEADS
from ecgvlm.words import answers
from ecgvlm.words.compare import compare, described
from ecgvlm.words.phrases import LANGUAGES, words
from ecgvlm.words.prose import prose
from ecgvlm.words.replies import Request, reply
from ecgvlm.words.understand import Asked


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


def test_an_infarction_of_another_wall_than_the_raised_one_is_denied():
    raised = showing("SR", "STE", "STTC", "AMI", "MI")
    chest = {lead: replace(raised.leads[lead], st=0.3) for lead in ("V1", "V2", "V3", "V4")}
    raised = replace(raised, leads={**raised.leads, **chest})
    assert answers.finding(raised, "AMI").startswith("Yes")
    assert answers.finding(raised, "IMI").startswith("No")
    assert answers.finding(raised, "LMI").startswith("No")


def test_what_the_atria_do_under_a_ventricular_pacemaker_is_not_denied():
    """LUDB's cardiologists know of fibrillation (95) and third-degree block (34, 74, 104) there."""
    paced = showing("PACE", qrs_ms=165.0)
    for label in ("AF", "AFLT", "HAVB"):
        assert answers.finding(paced, label).startswith("I cannot tell whether")
    assert answers.finding(showing("PACE"), "AF").startswith("No, ")


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


def with_possible(evidence, **probabilities: float):
    """The evidence with findings that are likely, but below a threshold of 0.9."""
    return replace(
        evidence,
        probabilities={**evidence.probabilities, **probabilities},
        thresholds={**evidence.thresholds, **dict.fromkeys(probabilities, 0.9)},
    )


def test_what_is_rather_there_than_not_is_neither_called_nor_denied():
    evidence = with_possible(showing("SR", "NORM"), LVH=0.72, LAE=0.45)
    said = "Possible, but not called: left ventricular hypertrophy (72%)."
    assert evidence.possible == ("LVH",)
    assert answers.finding(evidence, "LVH") == answers.group(evidence, "hypertrophy") == said
    assert answers.finding(evidence, "LAE").startswith("No, ")
    report = answers.report(evidence)
    assert said in report
    assert "No evidence of hypertrophy" not in report
    assert answers.findings(evidence) == f"There is no abnormal finding: the ECG is normal. {said}"
    assert answers.others(evidence, "", set()) == f"I find nothing else. {said}"
    assert answers.others(evidence, "", {"LVH"}) == "I find nothing else."
    assert answers.verdict(evidence) == "NORMAL - Sinus Rhythm"


def test_a_possible_sign_is_told_with_its_leads_wherever_it_is_asked_for():
    met = Criterion("STE", "ST elevation in inferior leads", 0.12, "mV", ">=", 0.1, True, 0.75, "", "wall",
                    ("II", "aVF"))  # fmt: skip
    evidence = replace(with_possible(showing("SR", "NORM"), STE=0.75), criteria=(met,))
    said = "Possible, but not called: ST elevation (II, aVF, 75%)."
    assert answers.leads_list(evidence, "STE") == answers.finding(evidence, "STE") == said
    assert answers.repolarization(evidence) == said

    def asked(name: str, intent: str, **objects: tuple[str, ...]) -> str:
        return reply(name, Request(evidence, Asked(intent, objects), words("en")))

    assert asked("urgency", "urgent").endswith(said)
    assert asked("where", "where", finding=("STE",)) == said
    assert asked("finding", "finding", finding=("STE",)) == said
    assert asked("why", "why", finding=("STE",)).startswith(said)


def test_a_possible_qt_interval_leaves_st_t_changes_denied():
    evidence = with_possible(showing("SR", "NORM"), LQT=0.6)
    assert answers.repolarization(evidence) == (
        "No ST-T changes. Possible, but not called: prolonged QT interval (60%)."
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_what_is_possible(language):
    w = words(language)
    said = answers.finding(with_possible(showing("SR"), LVH=0.72), "LVH", w)
    assert w.finding("LVH") in said
    assert w.percent(0.72) in said
    assert not said.startswith((w.yes, w.no))


def test_what_was_found_and_is_still_possible_has_not_gone():
    found, likely = showing("SR", "LVH"), with_possible(showing("SR"), LVH=0.8)
    nothing = "Nothing has changed by more than the error of measurement."
    assert described(compare(found, likely)) == described(compare(likely, found)) == nothing
    assert described(compare(found, showing("SR"))).startswith("No longer found: left ventricular")


@pytest.mark.parametrize(
    ("found", "urgent"),
    [
        (("SR", "HAVB", "CD", "WENCK"), ()),
        (("SR", "HAVB", "CD", "MOBITZ2"), ("MOBITZ2",)),
        (("SR", "HAVB", "CD"), ("HAVB",)),
        (("SR", "MI", "IMI"), ()),
        (("SR", "MI", "IMI", "STE", "STTC"), ("STE",)),
    ],
)
def test_reports_begin_with_what_is_urgent_when_asked(found, urgent):
    evidence, w = showing(*found), words("en")
    assert evidence.urgent == urgent
    said = reply("urgency", Request(evidence, Asked("urgent"), w))
    if urgent:
        assert answers.report(evidence).startswith(answers.urgent(evidence))
        assert said.startswith(answers.urgent(evidence))
    else:
        assert "Urgent" not in f"{said} {answers.report(evidence)}"
    undated = "Findings: inferior myocardial infarction. I cannot tell what caused this, or when"
    assert (undated in said) == ("IMI" in found and not urgent)


def test_a_rate_beyond_its_limits_is_urgent_as_it_is_written():
    assert showing("SR", heart_rate_bpm=150.4).urgent == ()
    assert showing("SR", heart_rate_bpm=39.4).urgent == ("heart_rate_bpm",)


def test_st_elevation_is_urgent_by_its_leads_where_its_definition_was_not_weighed():
    flat = showing("SR")
    raised = {**flat.leads, **{lead: replace(flat.leads[lead], st=0.3) for lead in ("II", "III", "aVF")}}
    assert replace(flat, leads=raised).urgent == ("STE",)
    denied = {**flat.probabilities, "STE": 0.1}
    weighed = replace(flat, leads=raised, probabilities=denied, thresholds={**flat.thresholds, "STE": 0.85})
    assert weighed.urgent == ()


def test_beats_that_escape_below_an_av_block_tell_of_the_block_alone():
    evidence = showing("SR", "AVB3", "HAVB", "CD", heart_rate_bpm=36.0, qrs_ms=170.0)
    text = answers.report(evidence)
    assert "Third-degree AV block." in text
    assert "Hypertrophy, infarction, ST-T not assessable in beats from the ventricles." in text
    assert answers.finding(evidence, "1dAVb").startswith("No")
    assert not answers.finding(evidence, "MI").startswith("No")
    narrow = showing("SR", "AVB3", "HAVB", "CD", heart_rate_bpm=45.0, qrs_ms=96.0)
    assert "not assessable" not in answers.report(narrow)
