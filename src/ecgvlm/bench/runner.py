"""Asks a backend a task's questions: concurrent, within a rate and a budget, resumable after any
interruption.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ecgvlm.atomic import alone, write_file
from ecgvlm.bench.answer_log import AnswerLog, answer_key, json_line
from ecgvlm.bench.backends.base import Ask, Backend, Reply
from ecgvlm.bench.backends.hosted import token_budget
from ecgvlm.bench.retries import DEFAULT, Pace, RequestLimits, with_retries
from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError, UsageError, unreadable
from ecgvlm.instruct.row import Row

# So many first answers that are all the same failure, and the rest is not asked.
COMMON_REFUSAL = 8


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float

    def of(self, input_tokens: int, output_tokens: int) -> float:
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


def price_of(model: str) -> Price | None:
    """The listed price of the longest model name that `model` starts with; None where none is listed."""
    listed = tomllib.loads((resources.files("ecgvlm.bench") / "prices.toml").read_text("utf-8"))
    name = max((n for n in listed if model.startswith(n)), key=len, default=None)
    return Price(**listed[name]) if name else None


@dataclass
class RunProgress:
    """What a run has done so far. cached: answered by an earlier run. cost: US dollars, of this run's
    requests. reason: of the last failure.
    """

    total: int
    done: int = 0
    cached: int = 0
    failures: int = 0
    cost: float = 0.0
    reason: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def eta(self) -> float | None:
        """Seconds to go, None before the first answer."""
        asked = self.done - self.cached
        if not asked:
            return None
        return (time.monotonic() - self.started) / asked * (self.total - self.done)


def run_task(
    task: Task,
    items: Sequence[Row],
    backend: Backend,
    out: Path,
    limits: RequestLimits = DEFAULT,
    images: Callable[[Row], tuple[bytes, ...]] = Row.image_files,
    price: Price | None = None,
    control: str = "none",
    report: Callable[[RunProgress], None] = lambda _: None,
    whole: int | None = None,
) -> RunProgress:
    """Asks about every row that has no answer yet and writes `predictions.jsonl` (in gold order) to `out`.

    whole: rows of the whole set, where items are some of them only; a table then says so. Each answer is kept
    the moment it comes (`AnswerLog`); a second call asks only for what is missing or failed. A failed row
    gets {"id", "error"} in the predictions. Raises UsageError where the budget cannot be kept (no price
    known) or another process asks for the same folder, and EcgError where every request must fail (wrong key,
    no such model, no money left) or the first ones all fail alike; what was answered until then is kept.
    """
    if limits.max_cost is not None and price is None:
        raise UsageError(f"no price of {backend.model!r} is known: --price-input and --price-output")
    with alone(out):
        _write_run(task, items, backend, out, control, whole)
        budget = _Budget(price, limits.max_cost, token_budget(backend.parameters.get("thinking")) or 0)
        asking = _Asking(task, backend, AnswerLog(out), limits, images, budget)
        asking.progress, asking.report = RunProgress(len(items)), report
        try:
            asking.go(items)
        finally:
            asking.close()
            _write_predictions(items, asking.results, out)
    return asking.progress


@dataclass(frozen=True)
class _Flight:
    """A request under way: its row and the turns before it. estimate: what it may cost, in US dollars."""

    key: str
    ask: Ask
    item: Row
    history: list[tuple[str, str]]
    estimate: float


class _Budget:
    """Keeps the cost of what is asked, and of what is under way at most, below a limit in US dollars.

    thinking: tokens that a model may think beside those of the answer.
    """

    def __init__(self, price: Price | None, most: float | None, thinking: int = 0):
        self.price, self.most, self.thinking = price, most, thinking
        self.spent = self.reserved = self.dearest = 0.0

    def reserve(self, ask: Ask) -> float | None:
        """What the question may cost, now set aside; None where that is too much."""
        if self.price is None:
            return 0.0
        estimate = max(self.dearest, self.price.of(_tokens(ask), ask.max_tokens + self.thinking))
        if self.most is not None and self.spent + self.reserved + estimate > self.most:
            return None
        self.reserved += estimate
        return estimate

    def pay(self, flight: _Flight, row: dict[str, Any]) -> float:
        """What the answer cost, instead of what was set aside for it."""
        self.reserved -= flight.estimate
        tokens = row.get("input_tokens", 0), row.get("output_tokens", 0)
        cost = self.price.of(*tokens) if self.price else 0.0
        self.spent += cost
        self.dearest = max(self.dearest, cost)
        return cost


class _Asking:
    """The loop of one run: rows that wait, requests under way, answers that have come.

    results: row id -> {"text", ...} or {"error"}.
    """

    progress: RunProgress
    report: Callable[[RunProgress], None]

    def __init__(
        self, task: Task, backend: Backend, store: AnswerLog, limits: RequestLimits,
        images: Callable[[Row], tuple[bytes, ...]], budget: _Budget,
    ):  # fmt: skip
        self.task, self.backend, self.store = task, backend, store
        self.limits, self.images, self.budget = limits, images, budget
        self.results: dict[str, dict[str, Any]] = {}
        self._pace, self._stop = Pace(limits.rate), threading.Event()
        self._at_once = max(limits.workers, getattr(backend, "at_once", 1))
        self._pool = ThreadPoolExecutor(self._at_once)
        self._flying: dict[Future[dict[str, Any]], _Flight] = {}
        self._same: dict[str, list[Row]] = {}  # rows that wait for a request already under way
        self._refusals: list[str] | None = []  # None from the first answer on

    def go(self, items: Sequence[Row]) -> None:
        waiting = iter(items)
        more = True
        while more or self._flying:
            while more and len(self._flying) < 2 * self._at_once:
                item = next(waiting, None)
                if item is None:
                    more = False
                else:
                    self._start(item, [])
            if self._flying:
                for future in wait(self._flying, return_when=FIRST_COMPLETED).done:
                    self._land(self._flying.pop(future), future.result())

    def close(self) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)
        self.store.close()

    def _start(self, item: Row, history: list[tuple[str, str]]) -> None:
        """Answers a row from the store as far as it can, then sends its next question."""
        try:
            images = self.images(item)
        except EcgError as error:
            self._settle(item, {"error": f"{error.code}: {error.message}"})
            return
        kept: dict[str, Any] = {}
        while len(history) < len(item.turns):
            ask = Ask(item.questions[len(history)], images, tuple(history), self.task.max_tokens, item.id)
            key = answer_key(self.backend, ask)
            found = self.store.get(key)
            if found is None:
                self._send(key, ask, item, history)
                return
            kept, history = found, [*history, (ask.prompt, found["text"])]
        self.progress.cached += 1
        self._settle(item, _answer(kept, history))

    def _send(self, key: str, ask: Ask, item: Row, history: list[tuple[str, str]]) -> None:
        if key in self._same:
            self._same[key].append(item)
            return
        estimate = self.budget.reserve(ask)
        if estimate is None:
            self._settle(item, {"error": "budget: not asked, the budget is spent"})
            return
        self._same[key] = []
        future = self._pool.submit(self._request, ask)
        self._flying[future] = _Flight(key, ask, item, history, estimate)

    def _request(self, ask: Ask) -> dict[str, Any]:
        """One request with its retries, as a row to keep."""
        began = time.monotonic()

        def once() -> dict[str, Any]:
            self._pace.wait(self._stop)
            return _row(self.backend.ask(ask), time.monotonic() - began)

        return with_retries(once, self.limits, self._stop)

    def _land(self, flight: _Flight, row: dict[str, Any]) -> None:
        """Keeps what came; goes on with the row's next turn, and with the rows that waited for the same."""
        self.progress.cost += self.budget.pay(flight, row)
        self.store.add(flight.key, {"id": flight.item.id} | row)
        others = self._same.pop(flight.key)
        if "error" in row:
            for each in (flight.item, *others):
                self._settle(each, {"error": row["error"]})
            self._give_up_if_all_fail(row)
            return
        self._refusals = None
        turns = [*flight.history, (flight.ask.prompt, row["text"])]
        if len(turns) < len(flight.item.turns):
            self._start(flight.item, turns)
        else:
            self._settle(flight.item, _answer(row, turns))
        for each in others:
            self._start(each, [])

    def _give_up_if_all_fail(self, row: dict[str, Any]) -> None:
        """Raises EcgError where the failure is that of every request, by its kind or by those before it."""
        who = f"{self.backend.name} {self.backend.model}"
        if row.get("fatal"):
            raise EcgError("unsupported_format", f"{who}: {row['error']}")
        if self._refusals is None:
            return
        self._refusals.append(re.sub(r"\d+", "0", row["error"]))
        if len(self._refusals) >= COMMON_REFUSAL and len(set(self._refusals)) == 1:
            said = f"the first {len(self._refusals)} questions all failed alike, the rest were not asked"
            raise EcgError("unsupported_format", f"{who}: {said}: {row['error']}")

    def _settle(self, item: Row, row: dict[str, Any]) -> None:
        self.results[item.id] = row
        self.progress.done += 1
        if "error" in row:
            self.progress.failures += 1
            self.progress.reason = row["error"]
        self.report(self.progress)


def _row(reply: Reply, seconds: float) -> dict[str, Any]:
    row: dict[str, Any] = {"text": reply.text, "seconds": round(seconds, 3)}
    if reply.scores is not None:
        row["scores"] = reply.scores
    if reply.input_tokens or reply.output_tokens:
        row |= {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens}
    if reply.finish != "stop":
        row["finish"] = reply.finish
    return row


def _tokens(ask: Ask) -> int:
    """A generous guess of a request's input tokens: 3 characters each, and 3,000 for each picture."""
    words = len(ask.prompt) + sum(len(q) + len(a) for q, a in ask.history)
    return words // 3 + 3000 * len(ask.images)


def _answer(row: dict[str, Any], turns: list[tuple[str, str]]) -> dict[str, Any]:
    keep = {k: row[k] for k in ("text", "scores", "finish") if k in row}
    return keep | ({"turns": [answer for _, answer in turns]} if len(turns) > 1 else {})


def _write_run(
    task: Task, items: Sequence[Row], backend: Backend, out: Path, control: str, whole: int | None
) -> None:
    """`run.json` and `gold.json`: who was asked what. A folder holds one run; another one's is refused."""
    run = {
        "task": task.name, "task_version": task.version, "backend": backend.name, "model": backend.model,
        "parameters": backend.parameters, "max_tokens": task.max_tokens, "control": control,
    }  # fmt: skip
    path = out / "run.json"
    if path.is_file():
        old = read_object(path)
        if other := _unlike(old, run):
            said = " ".join(str(old.get(name, "?")) for name in ("backend", "model", "task"))
            raise UsageError(f"{out} holds another run ({said}), not of the same {' and '.join(other)}")
    rows = [row.to_dict(_named(row, out)) for row in items]
    asked = run | {"rows": len(items), "of": whole or len(items)}
    write_text(path, json.dumps(asked, indent=1) + "\n")
    write_text(out / "gold.json", json.dumps(rows, ensure_ascii=False, indent=0) + "\n")


def _unlike(old: dict[str, Any], run: dict[str, Any]) -> list[str]:
    """In what a run differs from an older one, its parameters by their names."""
    before, now = old.get("parameters") or {}, run["parameters"]
    names = [name for name, value in run.items() if name != "parameters" and old.get(name, value) != value]
    return names + sorted(name for name in before | now if before.get(name) != now.get(name))


def _named(row: Row, folder: Path) -> str | list[str] | None:
    """A row's pictures as they are named in a folder; None where they are not files."""
    names = [os.path.relpath(image, folder) for image in row.images if isinstance(image, Path)]
    return names if len(names) > 1 else next(iter(names), None)


def _write_predictions(items: Sequence[Row], results: dict[str, dict[str, Any]], out: Path) -> None:
    lines = [json_line({"id": item.id} | results[item.id]) for item in items if item.id in results]
    write_file(out / "predictions.jsonl", b"".join(lines))


def write_text(path: Path, text: str) -> None:
    """Writes a text file beside its place, then renames it; half a character of a model's is escaped."""
    write_file(path, text.encode("utf-8", "backslashreplace"))


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run. Raises EcgError where there is none."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise unreadable(path, f"not a file of a run ({why})") from None
    if not isinstance(value, dict):
        raise unreadable(path, "not a file of a run")
    return value
