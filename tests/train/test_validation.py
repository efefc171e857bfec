"""What validation says an answer is worth: the right one 1, whatever its kind, the others less."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from ecgvlm.instruct.records import ROW_KINDS, ask, known_of
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.train.validation import Answered, Truth, figures, truth_of, worth

CONDITIONS = {
    "normal": {"NORM", "SR"},
    "af": {"AF"},
    "rbbb": {"RBBB", "CD", "SR"},
    "lbbb": {"LBBB", "CD", "SR"},
}


@pytest.fixture(scope="module")
def rows():
    """Every kind of question about simulated records, answered as their labels and signals have it."""
    found = []
    for seed, (condition, labels) in enumerate(CONDITIONS.items()):
        record, _ = simulate(random_simulation(np.random.default_rng(seed), condition), seed)
        known = known_of(replace(record, labels=frozenset(labels)))
        held = frozenset(known.evidence.findings) - known.open
        for draw in range(4):
            for qa in ask(known, Random(f"{seed} {draw}"), len(ROW_KINDS)):
                found.append(Answered(qa.question, qa.answer, qa.answer, Truth(qa.kind, held, known.open)))
    return found


def test_perfect_answers_are_worth_1_in_every_kind(rows):
    means = figures(rows)
    assert set(means) == {"all", *ROW_KINDS}
    assert means == dict.fromkeys(means, 1.0)
    unnamed = [replace(row, truth=Truth()) for row in rows]
    assert figures(unnamed)["all"] == 1.0


def test_empty_answers_are_worth_0(rows):
    means = figures([replace(row, answer="") for row in rows])
    assert means == dict.fromkeys(means, 0.0)


def test_answers_to_other_questions_are_worth_less(rows):
    others = [replace(row, answer=other.gold) for row, other in zip(rows, rows[7:] + rows[:7])]
    assert figures(others)["all"] < 0.3


@pytest.mark.parametrize(
    ("kind", "gold", "answer", "labels", "value"),
    [
        ("close", "RBBB; AF", "right bundle branch block, atrial fibrillation", {"RBBB", "AF"}, 1),
        ("close", "AF", "AF; RBBB", {"AF"}, 1 / 2),  # RBBB and its class are wrong
        ("close", "AF", "AF; RBBB", {"AF", "RBBB"}, 1),  # true, though the list did not offer it
        ("close", "ABNORMAL", "NORM", {"LVH"}, 0),
        ("report", "Sinus rhythm at 70 bpm. ST +0.8 mm in V2.", "Sinus rhythm at 70 bpm.", {"SR"}, 1),
        ("report", "Sinus rhythm at 70 bpm.", "Atrial fibrillation at 140 bpm.", {"SR"}, 0),
        ("choice", "C", "(C) sinus bradycardia", {"SB"}, 1),
        ("finding", "Yes, the ECG shows AF.", "Yes.", {"AF"}, 1),
        ("finding", "Yes, the ECG shows AF.", "No.", {"AF"}, 0),
        ("measurement", "The heart rate is 99 bpm.", "99 bpm", {"SR"}, 1),
        ("measurement", "The heart rate is 99 bpm.", "60 bpm", {"SR"}, 0),
        ("leads_list", "ST elevation in V1, V2.", "V2, V3", {"SR"}, 1 / 2),
    ],
)
def test_worth(kind, gold, answer, labels, value):
    row = Answered("Q? A. x B. y C. sinus bradycardia", gold, answer, Truth(kind, frozenset(labels)))
    assert worth(row) == pytest.approx(value)


LETTERED = "Which?\nA. sinus bradycardia\nB. atrial flutter\nC. normal ECG"
LISTED = "What is it? Options: within the normal range, above the normal range, lead I, lead II, lead V5"


@pytest.mark.parametrize("kind", ["", "close-ended", "multi-choice", "open-ended"])
@pytest.mark.parametrize(
    ("question", "gold", "wrong"),
    [
        (LETTERED, "The correct option is B.", "The correct option is C."),
        (LETTERED, "It flutters. Therefore the answer is: B.", "It flutters. Therefore the answer is: A."),
        (LETTERED, "B. atrial flutter", "A. sinus bradycardia"),
        (LISTED, "within the normal range", "above the normal range"),
        (LISTED, "lead I, lead V5", "lead II"),
    ],
)
def test_rows_of_other_makers_are_judged_by_the_options_that_they_offer(kind, question, gold, wrong):
    """A wrong option in nearly the same words was worth more than nine tenths."""
    row = Answered(question, gold, gold, Truth(kind))
    assert worth(row) == 1
    assert worth(replace(row, answer=wrong)) == 0


def test_what_rows_bring_is_used():
    assert truth_of({"kind": "close", "labels": ["AF"], "unknown": ["PVC"]}) == Truth(
        "close", frozenset({"AF"}), frozenset({"PVC"})
    )
    assert truth_of({"type": "multi-choice"}) == Truth("multi-choice", None)
