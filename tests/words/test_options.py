from random import Random

import pytest

from ecgvlm.bench.task import load_task
from ecgvlm.instruct.qa import Asker
from ecgvlm.instruct.states import sample
from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import CODE15, LABELS
from ecgvlm.words.options import listed_answers, mentions, understood


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
@pytest.mark.parametrize("kind", ["close", "choice", "pick"])
def test_the_right_answer_is_among_the_listed_answers(kind, unseen):
    rng = Random(f"{kind} {unseen}")
    asker = Asker(rng, unseen)
    held = []
    for _ in range(12):
        evidence = sample(rng)
        qa = asker.ask(evidence, kind, noisy=False)
        held.append(qa.answer in listed_answers(evidence, qa.question))
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
    assert listed_answers(page(AF=0.9, MI=0.9), question) == ["AF(atrial fibrillation)"]
    assert listed_answers(page(NORM=0.9), question) == ["NORM"]
    assert listed_answers(page(STTC=0.9), question) == ["ABNORMAL"]
    assert listed_answers(page(NORM=0.9, SB=0.9), question) == ["SB(sinus bradycardia)"]
    assert "RBBB(right bundle branch block); AF(atrial fibrillation)" in listed_answers(
        page(AF=0.9, RBBB=0.9), question
    )


def test_an_abnormal_page_gets_the_nearest_of_options_with_norm():
    question = load_task("ptb-test").prompts[0]
    assert listed_answers(page(CD=0.4, AF=0.9), question) == ["CD(conduction disturbance)"]
    assert listed_answers(page(HYP=0.4, STTC=0.3), question) == ["HYP(hypertrophy)"]
    assert listed_answers(page(NORM=0.9), question) == ["NORM(normal ECG)"]
    assert listed_answers(page(CD=0.9, MI=0.4), question) == ["CD(conduction disturbance)"]
    # Where "ABNORMAL" may be answered, or nothing, no finding is stated that was not found.
    assert listed_answers(page(CD=0.4), f"{question} Answer ABNORMAL if none fits.") == ["ABNORMAL"]
    assert listed_answers(page(RBBB=0.4), "Which of these apply? RBBB; LBBB") == ["ABNORMAL"]


def test_lettered_options_are_answered_by_a_true_one():
    question = (
        "Which fits?\nA. LBBB\nB. atrial fibrillation with RBBB\nC. sinus rhythm\nD. ventricular tachycardia"
    )
    assert listed_answers(page(AF=0.9, RBBB=0.9), question) == ["B"]
    assert listed_answers(page(AF=0.9), question) == ["A", "B", "C", "D"]


def test_slips_of_the_pen_are_mended_where_one_word_is_meant():
    assert understood("Is there atral fibrilation or an inefrior infrct?") == (
        "Is there atrial fibrillation or an inferior infarct?"
    )
    assert understood("Write teh REPROT, pleas, about aVL") == "Write teh REPORT, please, about aVL"
    assert understood("What of xyzzy?") == "What of xyzzy?"
    # An option is recognised whatever slip is in it.
    question = "Which apply? RBBB (rigth bundle branch block), AF (atrial fibrilation)"
    assert listed_answers(page(AF=0.9), question) == ["AF (atrial fibrillation)"]


def test_ages_are_no_part_of_the_question():
    for question in ("The patient is 71 years old. Normal or abnormal?", "Normal or abnormal? (age 71)"):
        assert understood(question) == "Normal or abnormal?"
    assert understood("How old is the patient?") == "How old is the patient?"


def test_letters_that_only_ignoring_case_makes_a_name_are_no_name():
    assert mentions("Kalp krizi var mı?") == []


def test_codes_padded_with_underscores_are_read_as_they_are_and_told_as_printed():
    question = "Which of the following applies? Options: STD_, _AVB, RBBB"
    assert ("STD", "STD_") in mentions(question)
    assert ("RBBB", "RBBB") in mentions(question)


def test_which_of_two_lists_no_options():
    """It was answered by ABNORMAL where neither was found."""
    assert listed_answers(page(), "LBBB or RBBB, which of the two?") == []
    assert listed_answers(page(), "Which of the following applies: LBBB, RBBB or NORM?")
