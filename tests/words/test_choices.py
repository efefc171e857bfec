"""Questions that end in a list of options: exactly those that hold are said."""

from dataclasses import replace

import pytest

from ecgvlm.judge.criteria import assess, rules
from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.facts import NOBODY, Fact
from ecgvlm.labels import LABELS
from ecgvlm.measure import LeadWaves
from ecgvlm.record import LEADS
from ecgvlm.words.choices import chosen

END = "Only answer based on the given Options without any explanation."
FLAT = LeadWaves(st=0.0, t=0.2, q=0.0, r=0.9, s=-0.3)
FOUND = ("SR", "1dAVb", "CD", "PAC")
PAGE = Evidence(
    probabilities={label: 0.9 if label in FOUND else 0.02 for label in LABELS},
    thresholds=dict.fromkeys(LABELS, 0.5),
    measurements={
        "heart_rate_bpm": 55.0, "pr_ms": 240.0, "qrs_ms": 90.0, "qt_ms": 400.0, "qtc_ms": 390.0,
        "axis_deg": -60.0,
    },
    leads={lead: replace(FLAT, t=-0.2) if lead in ("V5", "V6") else FLAT for lead in LEADS},
    rr_variation=0.02,
    layout="3x4+1R",
)  # fmt: skip
EVERY_LEAD = ", ".join(f"lead {lead}" for lead in LEADS)


@pytest.mark.parametrize(
    ("question", "options", "right"),
    [
        ("Does this ECG show symptoms of first degree av block?", "yes, no, not sure", "yes"),
        ("Does this ECG show symptoms of atrial flutter?", "yes, no, not sure", "no"),
        ("Does this ECG show symptoms of digitalis effect?", "yes, no, not sure", "not sure"),
        ("Does this ECG show any abnormal symptoms?", "no, yes", "yes"),
        ("Which symptom does this ECG show, hypertrophy or conduction disturbance?",
         "hypertrophy, conduction disturbance, none", "conduction disturbance"),
        ("What rhythm-related symptoms does this ECG show?",
         "atrial fibrillation, bigeminal pattern (unknown origin, supraventricular, or ventricular), none",
         "none"),
        ("What kind of extra systole does this ECG show?",
         "none, supraventricular extrasystoles, ventricular extrasystoles", "supraventricular extrasystoles"),
        ("Does this ECG show inverted t-waves in lead V5?", "no, yes", "yes"),
        ("Does this ECG show inverted t-waves in lead V1?", "no, yes", "no"),
        ("What leads are showing inverted t-waves in this ECG?", f"{EVERY_LEAD}, none", "lead V5, lead V6"),
        ("What direction is this ECG deviated to?",
         "left axis deviation, normal heart axis, right axis deviation", "left axis deviation"),
        ("Does the PR interval of this ECG fall within the normal range?", "yes, no", "no"),
        ("What range does the RR interval of this ECG fall in?",
         "above the normal range, below the normal range, within the normal range", "above the normal range"),
        ("What numeric features of this ECG fall above the normal range?",
         "none, pr interval, qrs duration, rr interval", "pr interval, rr interval"),
        ("What stage of myocardial infarction does this ECG show?",
         "early stage of myocardial infarction, none of myocardial infarction",
         "none of myocardial infarction"),
    ],
)  # fmt: skip
def test_exactly_the_options_that_hold_are_chosen(question, options, right):
    assert chosen(PAGE, f"{question} Options: {options}. {END}") == right


@pytest.mark.parametrize(
    ("ms", "right"), [(135, "above the normal range"), (105, "within the normal range"), (None, "none")]
)
def test_p_duration_goes_by_the_limit_of_atrial_enlargement(ms, right):
    (rule,) = (
        x for x in assess(rules()["LAE"], {"p_ms": Fact(ms, 12.0)}, "definitions", NOBODY) if x.unit == "ms"
    )
    question = "What range does the P duration of this ECG fall in?"
    options = "above the normal range, below the normal range, none, within the normal range"
    assert chosen(replace(PAGE, criteria=(rule,)), f"{question} Options: {options}. {END}") == right


@pytest.mark.parametrize(
    "question", ["Is there AF?", "Options: A. RBBB B. LBBB", "Which is it? Options: tea, coffee."]
)
def test_other_questions_are_left_to_others(question):
    assert chosen(PAGE, question) == ""


def test_a_finding_named_closer_than_an_option_is_the_one_asked_about():
    inferior = replace(PAGE, probabilities={**PAGE.probabilities, "MI": 0.9, "IMI": 0.9})
    asked = "Is {} myocardial infarction on this ECG? Options: yes, no. " + END
    assert chosen(inferior, asked.format("anterior")) == "no"
    assert chosen(inferior, asked.format("inferior")) == "yes"
    assert chosen(inferior, "Does this ECG show symptoms of myocardial infarction? Options: yes, no") == "yes"
