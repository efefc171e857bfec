"""The checker finds contradictions, and the reports have none."""

import numpy as np
import pytest

from ecgvlm.judge.consistency import contradictions
from ecgvlm.judge.findings import FindingsModel
from ecgvlm.measure import measure
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.words import answers


@pytest.fixture(scope="module")
def model() -> FindingsModel:
    return FindingsModel(threads=1)


def an_answer(model: FindingsModel, condition: str, seed: int) -> dict:
    record, _ = simulate(random_simulation(np.random.default_rng(seed), condition), seed)
    m = measure(record.signal, record.fs)
    evidence = model.judge(record.signal, round(record.fs), m)
    gone = {name: None for name, value in evidence.measurements.items() if value is None}
    return {
        "ok": True,
        "answer": answers.verdict(evidence),
        "report": answers.report(evidence),
        "labels": dict(evidence.probabilities),
        "thresholds": dict(evidence.thresholds),
        "findings": list(evidence.findings),
        "criteria": [criterion.to_dict() for criterion in evidence.criteria],
        "measurements": {**m.to_dict(), **gone},
    }


@pytest.mark.parametrize(
    "condition",
    ["normal", "bradycardia", "af", "flutter", "vt", "av_block_3", "stemi_anterior", "lbbb", "pvc"],
)
def test_reports_do_not_contradict_themselves(model, condition):
    for seed in range(3):
        answer = an_answer(model, condition, seed)
        assert contradictions(answer) == [], answer["report"]


def test_what_is_urgent_comes_first(model):
    report = an_answer(model, "vt", 5)["report"]
    assert report.startswith("Urgent: wide-complex tachycardia; ventricular tachycardia must be assumed.")


def test_contradictions_are_found(model):
    sound = an_answer(model, "normal", 4)
    assert contradictions(sound) == []
    measured = sound["measurements"]
    for change in (
        {"findings": [*sound["findings"], "AF"]},
        {"report": f"{sound['report']} ST elevation in V1, V2."},
        {"report": sound["report"].replace("NORMAL", "ABNORMAL")},
        {"measurements": {**measured, "heart_rate_bpm": 44.0}},
        {"report": f"Urgent: nothing. {sound['report']}"},
        {"report": f"{sound['report']} QTc 470 ms (prolonged)."},
        {"report": f"{sound['report']} Urgent: ST elevation."},
        {"labels": {**sound["labels"], "LVH": 0.7}, "thresholds": {**sound["thresholds"], "LVH": 0.75}},
        {"report": f"{sound['report']} Possible, but not called: left ventricular hypertrophy (70%)."},
    ):
        assert contradictions({**sound, **change}), change
    assert contradictions({"ok": False}) == []
