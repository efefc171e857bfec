import re
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvlm.instruct.qa import QUESTION_KINDS, Asker, expand, typos
from ecgvlm.instruct.states import sample
from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import CODE15, LABELS, NAMES, SIGNS, SUPERCLASSES
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS
from ecgvlm.words import answers
from ecgvlm.words.names import CLOSED_LISTS, prompts

seeds = st.integers(0, 2**32)


def holding(*labels: str, **changes) -> Evidence:
    """A page with these findings, all clear, and nothing else remarkable."""
    evidence = sample(Random(5))
    evidence = replace(
        evidence,
        probabilities={label: 0.97 if label in labels else 0.03 for label in LABELS},
        thresholds=dict.fromkeys(LABELS, 0.5),
        measurements={
            "heart_rate_bpm": 72.4,
            "pr_ms": 162.0,
            "qrs_ms": 88.0,
            "qt_ms": 380.0,
            "qtc_ms": 412.0,
            "axis_deg": -7.0,
        },
        quality=0.93,
        rr_variation=0.01,
    )
    return replace(evidence, **changes)


@given(seeds, st.sampled_from(QUESTION_KINDS), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_question_is_filled_in_and_answered(seed, kind, unseen):
    rng = Random(seed)
    qa = Asker(rng, unseen).ask(sample(rng), kind)
    assert qa.question.strip()
    assert qa.answer.strip()
    assert not re.search(r"\{[a-z]+\}|[\x00\x01]", qa.question + qa.answer)


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_no_text_names_a_finding_that_the_evidence_does_not_hold(seed):
    evidence = sample(Random(seed))
    for text in (answers.verdict(evidence), answers.findings(evidence), answers.report(evidence)):
        told = re.sub(
            r"No [^.]*\.|[^.]* not assessable[^.]*\.|[^.]*: nothing found in what can be seen\."
            r"|Possible, but not called: [^.]*\.",
            "",
            text,
        ).lower()
        for label in set(LABELS) - set(evidence.findings) - {"NORM"}:
            name = NAMES[label].lower()
            # A name inside a longer one ("right bundle branch block" in "incomplete right ...") is not a
            # statement.
            longer = [NAMES[x].lower() for x in evidence.findings if name in NAMES[x].lower() and x != label]
            for other in longer:
                told = told.replace(other, "")
            assert name not in told, (label, text)


@given(seeds)
@settings(max_examples=100, deadline=None)
def test_numbers_in_a_report_are_the_measurements(seed):
    evidence = sample(Random(seed))
    for name, short in (("pr_ms", "PR"), ("qrs_ms", "QRS"), ("qt_ms", "QT"), ("qtc_ms", "QTc")):
        said = re.search(rf"\b{short} (-?\d+) ms", answers.report(evidence))
        value = evidence.measurements[name]
        assert (said is None) == (value is None)
        if said and value is not None:
            assert int(said[1]) == round(value)


def test_the_verdict_names_rhythm_and_findings():
    assert answers.verdict(holding("NORM", "SR")) == "NORMAL - Sinus Rhythm"
    assert answers.verdict(holding("AF")) == "ABNORMAL - Atrial Fibrillation"
    assert (
        answers.verdict(holding("SR", "CD", "RBBB"))
        == "ABNORMAL - Sinus Rhythm with Right Bundle Branch Block"
    )
    assert answers.verdict(holding("SR", "CD")) == "ABNORMAL - Sinus Rhythm with Conduction Disturbance"


def test_the_verdict_names_the_axis_where_nothing_else_makes_an_ecg_abnormal():
    def with_right_axis(*labels: str) -> Evidence:
        known = holding(*labels, cautions=())
        own = {
            "probabilities": {**known.probabilities, "RAD": 0.9},
            "thresholds": {**known.thresholds, "RAD": 0.5},
        }
        return replace(known, **own)

    assert answers.verdict(with_right_axis("SR")) == "ABNORMAL - Sinus Rhythm with Right Axis Deviation"
    assert answers.verdict(with_right_axis("SR", "RBBB")) == answers.verdict(holding("SR", "RBBB"))
    wide = {**holding().measurements, "qrs_ms": 170.0}
    paced = replace(with_right_axis("PACE"), measurements=wide)  # beats whose axis tells nothing
    assert answers.verdict(paced) == "ABNORMAL - Paced Rhythm"


@pytest.mark.parametrize("code", ["ST", "SB", "AF", "RBBB", "LBBB", "1dAVb"])
def test_the_verdict_holds_no_code_that_the_pulse_parser_would_take_for_a_finding(code):
    everything = holding(*LABELS)
    assert code not in answers.verdict(everything).replace("ABNORMAL", "").replace("NORMAL", "")


def test_an_interval_that_is_not_known_is_given_with_its_reason():
    evidence = holding("AF")
    evidence = replace(
        evidence, measurements={**evidence.measurements, "pr_ms": None}, reasons={"pr_ms": "no_p_wave"}
    )
    assert (
        answers.measurement(evidence, "pr_ms")
        == "The PR interval cannot be measured: no P wave can be made out."
    )
    assert "PR not measurable" in answers.report(evidence)


def test_a_weak_finding_is_worded_with_care():
    weak = holding(probabilities={label: 0.55 if label == "AF" else 0.03 for label in LABELS})
    assert (
        answers.finding(weak, "AF")
        == "Yes, probably: there are signs of atrial fibrillation (probability 55%)."
    )
    assert "Probable atrial fibrillation" in answers.report(weak)
    assert (
        answers.finding(weak, "LVH")
        == "No, there is no evidence of left ventricular hypertrophy (probability 3%)."
    )


def test_close_ended_answers_join_the_fitting_options_and_fall_back_as_the_gold_does():
    options = [(code, f"{shown}({name})") for code, (shown, name) in CLOSED_LISTS["code15"].items()]
    assert (
        answers.close(holding("AF", "RBBB"), options, "; ")
        == "RBBB(right bundle branch block); AF(atrial fibrillation)"
    )
    assert answers.close(holding("NORM", "SR"), options, "; ") == "NORM"
    assert answers.close(holding("LVH", "SR"), options, "; ") == "ABNORMAL"


def test_the_closed_lists_are_those_of_the_benchmark():
    assert tuple(CLOSED_LISTS["code15"]) == CODE15
    assert tuple(CLOSED_LISTS["ptb-xl"]) == SUPERCLASSES


def test_every_thing_that_can_be_asked_about_has_names():
    names = prompts()["names"]
    assert set(LABELS) <= set(names["labels"]) <= set(NAMES)
    assert set(names["measurements"]) == set(MEASUREMENTS)
    assert set(names["signs"]) == set(SIGNS)
    assert set(names["groups"]) == set(answers.GROUPS)


def test_seen_and_unseen_wordings_share_nothing():
    seen, unseen = (Asker(Random(0), unseen) for unseen in (False, True))
    for kind in QUESTION_KINDS:
        table = ("ask", kind) if kind in prompts()["questions"]["ask"] else (kind, "ask")
        lines = prompts()["questions"][table[0]][table[1]]
        assert not set(seen._allowed(lines)) & set(unseen._allowed(lines))
        assert set(seen._allowed(lines)) | set(unseen._allowed(lines)) == set(lines)
        assert unseen._allowed(lines), kind


def test_brackets_expand_to_one_alternative():
    texts = {expand("[a|b[1|2]|]x", Random(seed)) for seed in range(60)}
    assert texts == {"ax", "b1x", "b2x", "x"}


@given(st.text(alphabet="abcdef 0123456789\x00", max_size=40), seeds)
def test_typos_leave_digits_and_placeholders_alone(text, seed):
    changed = typos(text, Random(seed), 3)
    assert re.sub("[^0-9\x00]", "", changed) == re.sub("[^0-9\x00]", "", text)


def test_the_same_seed_asks_the_same():
    def ask():
        rng = Random(3)
        return [Asker(rng).ask(sample(rng), kind) for kind in QUESTION_KINDS]

    assert ask() == ask()


def test_leads_are_listed_in_order():
    evidence = holding("SR")
    leads = {lead: replace(next(x for x in evidence.leads.values() if x), t=-0.2, st=0.0) for lead in LEADS}
    assert answers.leads_list(replace(evidence, leads=leads), "TINV").startswith(
        "T wave inversion in I, II, III, aVL,"
    )
    assert answers.leads_list(replace(evidence, leads=leads), "STE") == "No lead shows ST elevation."
    leads["V3"] = None
    assert answers.printed(replace(evidence, leads=leads)) == "Not printed: V3."
    assert (
        answers.lead_sign(replace(evidence, leads=leads), "STE", "V3")
        == "I cannot tell: lead V3 is not printed."
    )


def test_no_option_is_a_code_padded_as_a_data_set_has_it():
    rng = Random(0)
    asked = [Asker(rng).ask(sample(rng), "close", noisy=False).question for _ in range(300)]
    assert not any(re.search(r"\w_(?!\w)", question) for question in asked)
