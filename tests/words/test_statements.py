from random import Random

import pytest

from ecgvlm.bench.task import load_task
from ecgvlm.instruct.qa import KINDS, Asker
from ecgvlm.instruct.states import sample
from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import CODE15, LABELS
from ecgvlm.words import answers
from ecgvlm.words.statements import mentions, statements, understood


def page(seed: int = 0, **probabilities: float) -> Evidence:
    """A random page on which exactly the labels given are found."""
    evidence = sample(Random(seed))
    return Evidence(
        probabilities=dict.fromkeys(LABELS, 0.1) | probabilities,
        thresholds=dict.fromkeys(LABELS, 0.5),
        measurements=evidence.measurements,
        leads=evidence.leads,
        reasons=evidence.reasons,
    )


@pytest.mark.parametrize("unseen", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_right_answer_is_among_the_statements(kind, unseen):
    rng = Random(f"{kind} {unseen}")
    asker = Asker(rng, unseen)
    held = []
    for _ in range(12):
        evidence = sample(rng)
        qa = asker.ask(evidence, kind, noisy=False)
        held.append(qa.answer in statements(evidence, qa.question))
    assert sum(held) >= 11


def test_options_are_found_as_the_benchmark_prints_them():
    assert [code for code, _ in mentions(load_task("code15-test").prompts[0])][:6] == list(CODE15)
    assert dict(mentions("RBBB (right bundle branch block), SB: sinus bradycardia | afib")) == {
        "RBBB": "RBBB (right bundle branch block)",
        "SB": "SB: sinus bradycardia",
        "AF": "afib",
    }
    assert mentions("incomplete right bundle branch block") == [
        ("IRBBB", "incomplete right bundle branch block")
    ]
    assert mentions("Brugada syndrome") == [("", "Brugada syndrome")]


def test_code15s_question_has_one_answer_but_for_the_joints():
    question = load_task("code15-test").prompts[0]
    assert statements(page(AF=0.9, MI=0.9), question) == ["AF(atrial fibrillation)"]
    assert statements(page(NORM=0.9), question) == ["NORM"]
    assert statements(page(STTC=0.9), question) == ["ABNORMAL"]
    assert statements(page(NORM=0.9, SB=0.9), question) == ["SB(sinus bradycardia)"]
    assert "RBBB(right bundle branch block); AF(atrial fibrillation)" in statements(
        page(AF=0.9, RBBB=0.9), question
    )


def test_lettered_options_are_answered_by_a_true_one():
    question = (
        "Which fits?\nA. LBBB\nB. atrial fibrillation with RBBB\nC. sinus rhythm\nD. ventricular tachycardia"
    )
    assert statements(page(AF=0.9, RBBB=0.9), question) == ["B"]
    assert statements(page(AF=0.9), question) == ["A", "B", "C", "D"]


def test_nothing_untrue_is_among_the_statements_whatever_the_question_claims():
    evidence = page(AF=0.9)
    for question in (
        "It shows LBBB, doesn't it?",
        "The page says: NORMAL ECG. Say NORMAL.",
        "Is there LBBB?",
        "",
    ):
        said = statements(evidence, question)
        assert not any(text.startswith("Yes, the ECG shows left bundle") for text in said)
        assert not any(text.startswith("NORMAL") for text in said)
        assert said


def test_slips_of_the_pen_are_mended_where_one_word_is_meant():
    assert understood("Is there atral fibrilation or an inefrior infrct?") == (
        "Is there atrial fibrillation or an inferior infarct?"
    )
    assert understood("Write teh REPROT, pleas, about aVL") == "Write teh REPORT, please, about aVL"
    assert understood("What of xyzzy?") == "What of xyzzy?"
    # An option is recognised whatever slip is in it.
    question = "Which apply? RBBB (rigth bundle branch block), AF (atrial fibrilation)"
    assert statements(page(AF=0.9), question) == ["AF (atrial fibrillation)"]


def test_ages_are_no_part_of_the_question():
    for question in ("The patient is 71 years old. Normal or abnormal?", "Normal or abnormal? (age 71)"):
        assert understood(question) == "Normal or abnormal?"
    assert understood("How old is the patient?") == "How old is the patient?"


@pytest.mark.parametrize(
    "question", ["Are you sure?", "Hmm, I doubt that.", "Please check again.", "Really?"]
)
def test_doubt_gets_the_same_reading(question):
    evidence = page(AF=0.9)
    assert statements(evidence, question) == [answers.unchanged(evidence)]


@pytest.mark.parametrize(
    "question",
    [
        "How would you classify this ECG?",
        "Sum up this tracing.",
        "Give me all the abnormal findings.",
        "Which problems does this ECG show?",
        "Normal or abnormal? And which rhythm?",
    ],
)
def test_a_question_for_the_whole_is_not_answered_with_the_page(question):
    evidence = page(AF=0.9)
    said = statements(evidence, question)
    assert answers.verdict(evidence) in said
    assert answers.quality(evidence) not in said
    assert answers.finding(evidence, "AF") not in said
