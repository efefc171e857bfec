"""Asks a backend a task's questions: concurrent, within a rate and a budget, resumable after any
interruption.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
import tomllib
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import tenacity

from ecgvlm.bench.backends.base import Ask, Backend, Failure, Reply
from ecgvlm.bench.gold import Item
from ecgvlm.bench.store import AnswerStore, answer_key
from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError

LONGEST_WAIT = 120.0  # s, however long a server asks to wait


@dataclass(frozen=True)
class Limits:
    """workers: requests at once. rate: requests a second. max_cost: US dollars. attempts: tries of one
    request.
    """

    workers: int = 4
    rate: float | None = None
    max_cost: float | None = None
    attempts: int = 5
    longest_wait: float = LONGEST_WAIT


DEFAULT = Limits()


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
class Progress:
    """What a run has done so far. cached: answered by an earlier run. cost: US dollars, of this run's
    requests.
    """

    total: int
    done: int = 0
    cached: int = 0
    failures: int = 0
    cost: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def eta(self) -> float | None:
        """Seconds to go, None before the first answer."""
        asked = self.done - self.cached
        if not asked:
            return None
        return (time.monotonic() - self.started) / asked * (self.total - self.done)


class _Pace:
    """Hands out start times no closer than the rate allows."""

    def __init__(self, rate: float | None):
        self._gap = 1 / rate if rate else 0.0
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self, stop: threading.Event) -> None:
        if not self._gap:
            return
        with self._lock:
            at = max(time.monotonic(), self._next)
            self._next = at + self._gap
        stop.wait(at - time.monotonic())


def run_task(
    task: Task,
    items: Sequence[Item],
    backend: Backend,
    out: Path,
    limits: Limits = DEFAULT,
    images: Callable[[Item], bytes | None] = Item.image_bytes,
    price: Price | None = None,
    control: str = "none",
    report: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Asks about every row that has no answer yet and writes `predictions.jsonl` (in gold order) to `out`.

    Each answer is kept the moment it comes (`AnswerStore`); a second call asks only for what is missing or
    failed. A failed row gets {"id", "error"} in the predictions. Raises EcgError where the budget cannot
    be kept (no price known) or every request must fail (wrong key, no such model); what was answered until
    then is kept.
    """
    if limits.max_cost is not None and price is None:
        raise EcgError(
            "unsupported_format", f"no price of {backend.model!r} is known: --price-input and --price-output"
        )
    _write_run(task, items, backend, out, control)
    store = AnswerStore(out)
    progress = Progress(len(items))
    results: dict[str, dict[str, Any]] = {}
    stop = threading.Event()
    try:
        _ask_all(task, items, backend, store, limits, images, price, report, progress, results, stop)
    finally:
        stop.set()
        store.close()
        _write_predictions(items, results, out)
    return progress


def _ask_all(
    task: Task,
    items: Sequence[Item],
    backend: Backend,
    store: AnswerStore,
    limits: Limits,
    images: Callable[[Item], bytes | None],
    price: Price | None,
    report: Callable[[Progress], None],
    progress: Progress,
    results: dict[str, dict[str, Any]],
    stop: threading.Event,
) -> None:
    pace = _Pace(limits.rate)
    flying: dict[Future[dict[str, Any]], tuple[str, Ask, Item, list[tuple[str, str]], float]] = {}
    waiting = iter(items)
    same: dict[str, list[Item]] = {}  # rows that wait for a request already in flight
    reserved, dearest = 0.0, 0.0

    def settle(item: Item, row: dict[str, Any]) -> None:
        results[item.id] = row
        progress.done += 1
        progress.failures += "error" in row
        report(progress)

    with ThreadPoolExecutor(limits.workers) as pool:

        def start(item: Item, history: list[tuple[str, str]]) -> None:
            """Answers a row from the store as far as it can, then sends its next question."""
            nonlocal reserved
            try:
                image = images(item)
            except EcgError as error:
                settle(item, {"error": f"{error.code}: {error.message}"})
                return
            while len(history) < len(item.turns):
                ask = Ask(item.turns[len(history)], image, tuple(history), task.max_tokens, item.id)
                key = answer_key(backend, ask)
                kept = store.get(key)
                if kept is None:
                    break
                history = [*history, (ask.prompt, kept["text"])]
            else:
                progress.cached += 1
                assert kept is not None  # a row has at least one turn
                settle(item, _answer(kept, history))
                return
            if key in same:
                same[key].append(item)
                return
            estimate = max(dearest, price.of(_tokens(ask), task.max_tokens)) if price else 0.0
            if limits.max_cost is not None and progress.cost + reserved + estimate > limits.max_cost:
                settle(item, {"error": "budget: not asked, the budget is spent"})
                return
            reserved += estimate
            same[key] = []
            future = pool.submit(_request, backend, ask, limits, pace, stop)
            flying[future] = (key, ask, item, history, estimate)

        try:
            exhausted = False
            while flying or not exhausted:
                while len(flying) < 2 * limits.workers and not exhausted:
                    item = next(waiting, None)
                    if item is None:
                        exhausted = True
                    else:
                        start(item, [])
                if not flying:
                    continue
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    key, ask, item, history, estimate = flying.pop(future)
                    reserved -= estimate
                    row = future.result()
                    cost = price.of(row.get("input_tokens", 0), row.get("output_tokens", 0)) if price else 0.0
                    progress.cost += cost
                    dearest = max(dearest, cost)
                    store.add(key, {"id": item.id} | row)
                    others = same.pop(key)
                    if "error" in row:
                        for each in (item, *others):
                            settle(each, {"error": row["error"]})
                        if row.get("fatal"):
                            raise EcgError(
                                "unsupported_format", f"{backend.name} {backend.model}: {row['error']}"
                            )
                        continue
                    turns = [*history, (ask.prompt, row["text"])]
                    if len(turns) < len(item.turns):
                        start(item, turns)
                    else:
                        settle(item, _answer(row, turns))
                    for each in others:
                        start(each, [])
        except BaseException:
            stop.set()
            for future in flying:
                future.cancel()
            raise


def with_retries(
    call: Callable[[], dict[str, Any]], limits: Limits, stop: threading.Event | None = None
) -> dict[str, Any]:
    """What `call` returns, or a row with "error" once its failures are final or its attempts spent.

    Between tries it waits as long as the server asked, else exponentially longer, with jitter either way.
    """
    stop = stop or threading.Event()

    def pause(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        after = error.after if isinstance(error, Failure) else None
        if after is not None:  # a little more than asked, so that workers do not come back all at once
            return min(after * random.uniform(1.0, 1.1), limits.longest_wait)
        return min(random.uniform(0.5, 1.0) * 2 ** (state.attempt_number - 1), limits.longest_wait)

    def sleep(seconds: float) -> None:
        stop.wait(seconds)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_any(
            tenacity.stop_after_attempt(limits.attempts), tenacity.stop_when_event_set(stop)
        ),
        wait=pause,
        retry=tenacity.retry_if_exception(lambda e: isinstance(e, Failure) and e.retryable),
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(call)
    except Failure as error:
        attempts = retrying.statistics.get("attempt_number", 1)
        return {"error": str(error), "kind": error.kind, "fatal": error.fatal, "attempts": attempts}
    except EcgError as error:
        return {"error": f"{error.code}: {error.message}", "kind": error.code}


def _request(
    backend: Backend, ask: Ask, limits: Limits, pace: _Pace, stop: threading.Event
) -> dict[str, Any]:
    """One request with its retries, as a row to keep."""
    began = time.monotonic()

    def once() -> dict[str, Any]:
        pace.wait(stop)
        return _row(backend.ask(ask), time.monotonic() - began)

    return with_retries(once, limits, stop)


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
    """A generous guess of a request's input tokens: 3 characters each, and 3,000 for a picture."""
    words = len(ask.prompt) + sum(len(q) + len(a) for q, a in ask.history)
    return words // 3 + (3000 if ask.image is not None else 0)


def _answer(row: dict[str, Any], turns: list[tuple[str, str]]) -> dict[str, Any]:
    keep = {k: row[k] for k in ("text", "scores", "finish") if k in row}
    return keep | ({"turns": [answer for _, answer in turns]} if len(turns) > 1 else {})


def _write_run(task: Task, items: Sequence[Item], backend: Backend, out: Path, control: str) -> None:
    """`run.json` and `gold.json`: who was asked what. A folder holds one run; another one's is refused."""
    out.mkdir(parents=True, exist_ok=True)
    run = {
        "task": task.name, "task_version": task.version, "backend": backend.name, "model": backend.model,
        "parameters": backend.parameters, "control": control,
    }  # fmt: skip
    path = out / "run.json"
    if path.is_file() and (old := json.loads(path.read_text("utf-8"))) != run:
        raise EcgError(
            "unsupported_format",
            f"{out} holds another run ({old['backend']} {old['model']} on {old['task']})",
        )
    rows = [
        {"id": i.id, "patient": i.patient, **i.meta, "conversations": [
            turn for q, a in zip(i.turns, i.golds)
            for turn in ({"from": "human", "value": q}, {"from": "gpt", "value": a})
        ]} | ({"image": os.path.relpath(i.image, out)} if isinstance(i.image, Path) else {})
        for i in items
    ]  # fmt: skip
    write_text(path, json.dumps(run, indent=1) + "\n")
    write_text(out / "gold.json", json.dumps(rows, ensure_ascii=False, indent=0) + "\n")


def _write_predictions(items: Sequence[Item], results: dict[str, dict[str, Any]], out: Path) -> None:
    lines = [
        json.dumps({"id": item.id} | results[item.id], ensure_ascii=False)
        for item in items
        if item.id in results
    ]
    write_text(out / "predictions.jsonl", "".join(line + "\n" for line in lines))


def write_text(path: Path, text: str) -> None:
    """Writes beside, then renames."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, "utf-8")
    beside.replace(path)
