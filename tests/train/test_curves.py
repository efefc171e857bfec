"""Metrics on disk: cut back to the step that a run goes on from, and drawn."""

import csv
import importlib.machinery
import importlib.util
import json
import sys
import types

import pytest
from train.tiny import log_steps

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.train.curves import EVALUATIONS, STEPS, RunLog, plot


def test_a_run_that_goes_on_drops_what_came_after(tmp_path):
    log_steps(tmp_path, 1, 7, 0)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("8,0.1")  # killed while it wrote
    log_steps(tmp_path, 5, 9, 4)
    with (tmp_path / "metrics.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, 10))
    with (tmp_path / "evaluations.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [2, 4, 6, 8]
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert [s["answer"] for s in samples] == ["at 2", "at 4", "at 6", "at 8"]


def test_a_tracker_gets_the_same_figures(tmp_path, monkeypatch):
    calls = []
    fake = types.ModuleType("trackio")
    fake.__spec__ = importlib.machinery.ModuleSpec("trackio", None)
    fake.init = lambda **told: calls.append(("init", told))
    fake.log = lambda figures, step: calls.append((step, figures))
    fake.finish = lambda: calls.append(("finish", {}))
    monkeypatch.setitem(sys.modules, "trackio", fake)
    log = RunLog(tmp_path / "run", 0, 1, "trackio")
    log.step(dict.fromkeys(STEPS, 0.5) | {"step": 1})
    log.evaluation(dict.fromkeys(EVALUATIONS, 0.25) | {"step": 1}, [])
    log.close()
    assert [call[0] for call in calls] == ["init", 1, 1, "finish"]
    assert calls[1][1]["train/loss"] == 0.5
    assert calls[2][1]["valid/figure"] == 0.25


def test_a_tracker_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install wandb"):
        RunLog(tmp_path / "run", 0, 1, "wandb")


def test_curves_are_drawn(tmp_path):
    for name in ("a", "b"):
        log_steps(tmp_path / name, 1, 6, 0)
    plot([tmp_path / "a", tmp_path / "b"], tmp_path / "curves.svg")
    text = (tmp_path / "curves.svg").read_text()
    assert "validation" in text
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(EcgError, match="absent"):
        plot([tmp_path / "absent"], tmp_path / "curves.png")
    with pytest.raises(UsageError, match=r"curves\.xyz"):
        plot([tmp_path / "a"], tmp_path / "curves.xyz")


@pytest.mark.parametrize("name", ["metrics.csv", "evaluations.csv", "samples.jsonl"])
@pytest.mark.parametrize("data", [b"garbage\n1\n", b"\xff\xfe\0\n"], ids=["text", "bytes"])
def test_damaged_logs_are_named(tmp_path, name, data):
    log_steps(tmp_path / "run", 1, 4, 0)
    (tmp_path / "run" / name).write_bytes(data)
    with pytest.raises(EcgError, match=name):
        log_steps(tmp_path / "run", 5, 6, 4)
    if name.endswith("csv"):
        with pytest.raises(EcgError, match=name):
            plot([tmp_path / "run"], tmp_path / "curves.svg")
