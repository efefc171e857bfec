"""Questions that several threads ask at the same time, answered in one go."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Generic, TypeVar

from ecgvlm.errors import EcgError

Item = TypeVar("Item")
Result = TypeVar("Result")

_PATIENCE = 0.05  # s, for the next one: threads that were answered together come back together


class Together(Generic[Item, Result]):
    """Calls of one item each, gathered into calls of `work` with up to `most` items.

    work: items -> their results, in the same order; called by one thread. Where it raises anything but
    EcgError, its items are tried one by one: none suffers from another. A caller gets what its own raised.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result]], most: int):
        self._work, self._most = work, most
        self._waiting: queue.SimpleQueue[tuple[Item, Future[Result]]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True).start()

    def __call__(self, item: Item) -> Result:
        answer: Future[Result] = Future()
        self._waiting.put((item, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            batch = [self._waiting.get()]
            with suppress(queue.Empty):
                while len(batch) < self._most:
                    batch.append(self._waiting.get(timeout=_PATIENCE))
            self._answer(batch)

    def _answer(self, batch: Sequence[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._work([item for item, _ in batch])
            answered = list(zip(batch, results, strict=True))
        except Exception as error:  # it is the callers' to deal with, the thread goes on
            if len(batch) > 1 and not isinstance(error, EcgError):
                for each in batch:
                    self._answer([each])
                return
            for _, answer in batch:
                answer.set_exception(error)
            return
        for (_, answer), result in answered:
            answer.set_result(result)
