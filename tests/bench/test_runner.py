"""Resuming, retries, budget, rate, order, a killed run."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from servers import PNG, serving
from typer.testing import CliRunner

from ecgvlm.bench.backends import Failure, Reply, make_backend
from ecgvlm.bench.backends.base import Usage
from ecgvlm.bench.cli import app
from ecgvlm.bench.controls import control_images
from ecgvlm.bench.gold import load_gold, load_predictions
from ecgvlm.bench.retries import RequestLimits
from ecgvlm.bench.runner import Price, RunProgress, price_of, run_task
from ecgvlm.bench.score import score
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.row import Row, conversations

TASK = load_task("code15-test")
QUICK = RequestLimits(workers=4, attempts=3, longest_wait=0.01)


class Fake:
    """Answers with the question's last word; `plan` maps a question to failures raised first."""

    name, model = "fake", "fake-1"

    def __init__(self, plan=None):
        self.parameters = {"temperature": 0}
        self.plan = {q: list(f) for q, f in (plan or {}).items()}
        self.asked = []
        self.lock = threading.Lock()

    def ask(self, ask):
        with self.lock:
            self.asked.append(ask)
            failures = self.plan.get(ask.prompt)
            error = failures.pop(0) if failures else None
        if error:
            raise error
        return Reply(ask.prompt.split()[-1], None, 1000, 100)


def rows(n, patients=False):
    labels = ["AF", "NORM", "SB", "RBBB"]
    return [
        Row(
            str(i),
            PNG + bytes([i % 256]),
            ((f"{i} {labels[i % 4]}", labels[i % 4]),),
            {"patient": str(i // 2)} if patients else {},
        )
        for i in range(n)
    ]


def test_answers_in_gold_order_and_resume(tmp_path):
    backend = Fake({"3 RBBB": [Failure("bad_request", "no")]})
    done = run_task(TASK, rows(10), backend, tmp_path, QUICK)
    assert (done.done, done.failures, done.cached) == (10, 1, 0)
    lines = [json.loads(x) for x in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert [x["id"] for x in lines] == [str(i) for i in range(10)]
    assert "bad_request" in lines[3]["error"]
    predictions = load_predictions(tmp_path / "predictions.jsonl")
    s = score(TASK, load_gold(tmp_path / "gold.json"), predictions, replicates=10)
    assert (s.n, s.failures, s.missing) == (9, 1, 1)
    assert s.figures["f1"] == 1

    again = Fake()
    done = run_task(TASK, rows(10), again, tmp_path, QUICK)
    assert [a.prompt for a in again.asked] == ["3 RBBB"]
    assert (done.cached, done.failures) == (9, 0)


def test_changed_words_picture_or_parameters_are_asked_anew(tmp_path):
    items = rows(2)
    run_task(TASK, items, Fake(), tmp_path, QUICK)
    changed = [
        Row("0", items[0].image, (("other AF", "AF"),)),
        Row("1", PNG + b"new", items[1].turns),
    ]
    backend = Fake()
    run_task(TASK, changed, backend, tmp_path, QUICK)
    assert len(backend.asked) == 2
    warmer = Fake()
    warmer.parameters = {"temperature": 1}
    with pytest.raises(UsageError, match="another run"):
        run_task(TASK, items, warmer, tmp_path, QUICK)


def test_all_pictures_of_a_row_are_asked_about_and_kept_in_the_gold(tmp_path):
    """Only the first one was sent, and nothing said."""
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(PNG + name.encode())
    turns = [{"from": "human", "value": "<image>\n<image>\nSame?"}, {"from": "gpt", "value": "NORM"}]
    raw = [{"id": "two", "image": ["a.png", "b.png"], "conversations": turns}]
    raw.append({"id": "other", "image": ["a.png", "c.png"], "conversations": turns})
    (tmp_path / "gold.json").write_text(json.dumps(raw))
    items, backend = load_gold(tmp_path / "gold.json"), Fake()
    run_task(TASK, items, backend, tmp_path / "run", QUICK)
    assert {tuple(image[-5:] for image in ask.images) for ask in backend.asked} == {
        (b"a.png", b"b.png"), (b"a.png", b"c.png")
    }  # fmt: skip
    kept = load_gold(tmp_path / "run" / "gold.json")
    assert [item.image_files() for item in kept] == [item.image_files() for item in items]
    assert run_task(TASK, items, Fake(), tmp_path / "run", QUICK).cached == 2


def test_equal_requests_are_sent_once(tmp_path):
    items = [Row(str(i), PNG, (("same AF", "AF"),)) for i in range(20)]
    backend = Fake()
    done = run_task(TASK, items, backend, tmp_path, QUICK)
    assert len(backend.asked) == 1
    assert done.done == 20
    assert len(load_predictions(tmp_path / "predictions.jsonl").answers) == 20


def test_retries_are_bounded(tmp_path):
    plan = {"0 AF": [Failure("server", "down")] * 2, "1 NORM": [Failure("server", "down")] * 9}
    backend = Fake(plan)
    done = run_task(TASK, rows(2), backend, tmp_path, QUICK)
    assert [a.prompt for a in backend.asked].count("0 AF") == 3
    assert [a.prompt for a in backend.asked].count("1 NORM") == 3
    assert done.failures == 1


def test_retry_after_is_kept(tmp_path):
    with serving("openai", faults=[(429, {"Retry-After": "0.4"})]) as server:
        backend = make_backend("openai-compatible", TASK, [], "m", base_url=server.url)
        done = run_task(TASK, rows(1), backend, tmp_path, RequestLimits(workers=1))
    assert done.failures == 0
    assert server.times[1] - server.times[0] >= 0.4


def test_a_wrong_key_ends_the_run(tmp_path):
    backend = Fake(
        {f"{i} {'AF' if i % 4 == 0 else ''}".strip(): [] for i in range(1)}
        | {"0 AF": [Failure("auth", "key")]}
    )
    with pytest.raises(EcgError, match="auth"):
        run_task(TASK, rows(40), backend, tmp_path, RequestLimits(workers=1))
    assert len(backend.asked) < 10


def test_questions_that_all_fail_alike_end_the_run(tmp_path):
    plan = {
        row.question: [Failure("bad_request", f"request {k}: no pictures")] for k, row in enumerate(rows(40))
    }
    backend = Fake(plan)
    with pytest.raises(EcgError, match=r"all failed alike.*no pictures"):
        run_task(TASK, rows(40), backend, tmp_path, RequestLimits(workers=1))
    assert len(backend.asked) < 12
    assert load_predictions(tmp_path / "predictions.jsonl").failures >= 8
    mixed = Fake({row.question: [Failure("bad_request", "no")] for row in rows(40)[1:]})
    assert run_task(TASK, rows(40), mixed, tmp_path / "mixed", RequestLimits(workers=1)).failures == 39


def test_failures_that_cost_are_counted(tmp_path):
    backend = Fake({"0 AF": [Failure("no_answer", "cut", usage=Usage(1000, 4000))]})
    done = run_task(TASK, rows(1), backend, tmp_path, QUICK, price=Price(1.0, 10.0))
    assert done.failures == 1
    assert done.cost == pytest.approx(0.041)
    again = run_task(TASK, rows(1), backend, tmp_path, QUICK, price=Price(1.0, 10.0))
    assert (again.cached, again.failures) == (0, 0), "a failure is asked again"


def test_budget(tmp_path):
    price = Price(10.0, 10.0)  # 1.1 cents an answer
    limits = RequestLimits(workers=4, max_cost=0.1)
    done = run_task(TASK, rows(40), Fake(), tmp_path, limits, price=price)
    assert 0 < done.cost <= 0.1
    assert done.failures > 0
    assert "budget" in (tmp_path / "predictions.jsonl").read_text()
    with pytest.raises(UsageError, match="no price"):
        run_task(TASK, rows(1), Fake(), tmp_path / "x", limits)


def test_the_budget_holds_while_models_think(tmp_path):
    """A budget of tokens for thinking stands beside those of the answer, and was not reckoned with."""
    backend = Fake()
    backend.parameters = {"thinking": "10000"}
    limits = RequestLimits(workers=4, max_cost=0.05)  # 10 cents at most for thinking
    done = run_task(TASK, rows(4), backend, tmp_path, limits, price=Price(1.0, 10.0))
    assert (done.failures, done.cost) == (4, 0)
    assert "budget" in done.reason


def test_prices():
    assert price_of("gpt-4o-mini-2024-07-18").input < price_of("gpt-4o-2024-08-06").input
    assert price_of("unheard-of") is None
    assert all(price_of(m) for m in ("gpt-6.2-astra", "claude-opus-5-5-20260922", "gemini-4-neon"))
    assert Price(2.0, 8.0).of(1_000_000, 500_000) == 6.0


def test_rate(tmp_path):
    began = time.monotonic()
    run_task(TASK, rows(10), Fake(), tmp_path, RequestLimits(workers=8, rate=50))
    assert time.monotonic() - began >= 9 / 50


def test_scores_do_not_depend_on_workers_or_order(tmp_path):
    items = rows(40, patients=True)
    results = []
    for k, (workers, order) in enumerate([(1, items), (8, items), (3, items[::-1])]):
        out = tmp_path / str(k)
        run_task(
            TASK, order, make_backend("trivial", TASK, items, "random"), out, RequestLimits(workers=workers)
        )
        results.append(score(TASK, items, load_predictions(out / "predictions.jsonl"), replicates=50))
    assert results[0] == results[1] == results[2]


def test_two_turns(tmp_path):
    items = [Row("0", PNG, (("first one", "a"), ("then two", "b")))]
    backend = Fake()
    run_task(load_task("arena"), items, backend, tmp_path, QUICK)
    assert [a.history for a in backend.asked] == [(), (("first one", "one"),)]
    row = json.loads((tmp_path / "predictions.jsonl").read_text())
    assert row["turns"] == ["one", "two"]
    run_task(load_task("arena"), items, backend, tmp_path, QUICK)
    assert len(backend.asked) == 2


def test_progress(monkeypatch):
    monkeypatch.setattr("ecgvlm.bench.runner.time", SimpleNamespace(monotonic=lambda: 106.0))
    p = RunProgress(total=10, done=4, cached=2, started=100.0)
    assert p.eta == 18
    assert RunProgress(total=3).eta is None


KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from test_runner import Fake, RequestLimits, TASK, rows, run_task
from pathlib import Path
class Slow(Fake):
    def ask(self, ask):
        time.sleep(0.02)
        print("answered", flush=True)
        return super().ask(ask)
run_task(TASK, rows(200), Slow(), Path({out!r}), RequestLimits(workers=2))
"""


def test_kill_9_loses_only_what_is_in_flight(tmp_path):
    script = textwrap.dedent(KILLED).format(tests=os.path.dirname(__file__), out=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    for _ in range(30):
        assert process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    answered = 30 + process.stdout.read().count(b"answered")
    process.wait()
    with (tmp_path / "answers.jsonl").open("ab") as file:
        file.write(b'{"key": "cut sho')  # a line the kill cut short
    backend = Fake()
    done = run_task(TASK, rows(200), backend, tmp_path, QUICK)
    assert done.cached >= answered - 2 * 2
    assert len(backend.asked) == 200 - done.cached
    assert len(load_predictions(tmp_path / "predictions.jsonl").answers) == 200


def test_a_damaged_line_of_the_log_is_named(tmp_path):
    run_task(TASK, rows(3), Fake(), tmp_path, QUICK)
    first, *others = (tmp_path / "answers.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "answers.jsonl").write_text("".join([first, "no json\n", *others]))
    with pytest.raises(EcgError, match=r"answers\.jsonl: line 2 is damaged"):
        run_task(TASK, rows(3), Fake(), tmp_path, QUICK)


def test_half_a_character_in_an_answer_is_kept(tmp_path):
    items = [Row("\ud83d", PNG, (("say \ud83d", "AF"),))]
    for _ in range(2):  # asked, then from the log
        run_task(TASK, items, Fake(), tmp_path, QUICK)
        assert load_predictions(tmp_path / "predictions.jsonl").answers["\ud83d"].text == "\ud83d"


def test_two_runs_do_not_share_a_folder(tmp_path):
    class Second(Fake):
        def ask(self, ask):
            with pytest.raises(UsageError, match="another process is at work there"):
                run_task(TASK, rows(1), Fake(), tmp_path, QUICK)
            return super().ask(ask)

    assert run_task(TASK, rows(1), Second(), tmp_path, QUICK).failures == 0
    assert run_task(TASK, rows(1), Fake(), tmp_path, QUICK).cached == 1


def page(value):
    return cv2.imencode(".png", np.full((160, 240), value, np.uint8))[1].tobytes()


def test_controls():
    items = [Row(str(i), page(40 + i), (("q", "AF"),), {"patient": str(i // 2)}) for i in range(10)]
    shuffled = control_images(items, "shuffled", seed=3)
    for item in items:
        shown = next(i for i in items if i.image_files() == shuffled(item))
        assert shown.patient != item.patient
    blank = cv2.imdecode(np.frombuffer(control_images(items, "blank")(items[0])[0], np.uint8), 0)
    assert blank.shape == (160, 240)
    assert blank.min() > 250
    noise = cv2.imdecode(np.frombuffer(control_images(items, "noise")(items[0])[0], np.uint8), 0)
    assert noise.std() > 30
    assert control_images(items, "none")(items[0]) == (items[0].image,)
    two = replace(items[0], more=(page(9),))
    assert len(control_images([two], "blank")(two)) == 2
    with pytest.raises(UsageError):
        control_images(items, "upside-down")
    with pytest.raises(UsageError, match="too few"):
        control_images(items[:2], "shuffled")


def item_dict(item):
    turns = [{"from": "human", "value": item.question}, {"from": "gpt", "value": item.gold}]
    return {"id": item.id, "conversations": turns}


@pytest.mark.parametrize(
    ("faults", "status", "said"),
    [
        ([], 0, "4 rows"),
        ([{"status": 429, "reply": {"error": {"message": "x", "code": "insufficient_quota"}}}], 1, "quota"),
        ([{"status": 400, "reply": {"error": {"message": "no pictures here"}}}] * 4, 1, "4 failed"),
    ],
    ids=["answers", "no money", "refused"],
)
def test_the_commands_exit_status(tmp_path, monkeypatch, faults, status, said):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-SecretSecret0123456789")
    (tmp_path / "gold.json").write_text(json.dumps([item_dict(item) for item in rows(4)]))
    with serving("openai", faults=faults) as server:
        done = CliRunner().invoke(app, [
            "run", "--task", "code15", "--backend", "openai", "--model", "m", "--base-url", server.url,
            "--gold", str(tmp_path / "gold.json"), "--out", str(tmp_path / "run"), "--max-tokens", "77",
            "--workers", "1",
        ])  # fmt: skip
    assert done.exit_code == status, done.output
    assert said in f"{done.output} {done.exception}"
    assert server.bodies[0]["max_completion_tokens"] == 77


@pytest.mark.parametrize("value", ["warm", "-1", "nan", "inf"])
def test_a_temperature_that_is_none(value, tmp_path):
    command = ["run", "--task", "code15", "--backend", "trivial", "--temperature", value]
    (tmp_path / "gold.json").write_text(json.dumps([
        {"id": "1", "image": None, "conversations": conversations([("Rhythm?", "AF")])}
    ]))  # fmt: skip
    done = CliRunner().invoke(app, [*command, "--gold", str(tmp_path / "gold.json"), "--out", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert not (tmp_path / "run.json").exists()
