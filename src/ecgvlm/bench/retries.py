"""One request, asked again where that may help, within a rate."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tenacity

from ecgvlm.bench.backends.base import Failure
from ecgvlm.errors import EcgError

LONGEST_WAIT = 120.0  # s, however long a server asks to wait


@dataclass(frozen=True)
class RequestLimits:
    """workers: requests at once. rate: requests a second. max_cost: US dollars. attempts: tries of one
    request.
    """

    workers: int = 4
    rate: float | None = None
    max_cost: float | None = None
    attempts: int = 5
    longest_wait: float = LONGEST_WAIT


DEFAULT = RequestLimits()


class Pace:
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


def with_retries(
    call: Callable[[], dict[str, Any]], limits: RequestLimits, stop: threading.Event | None = None
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
        row = {"error": str(error), "kind": error.kind, "fatal": error.fatal, "attempts": attempts}
        used = {k: n for k, n in vars(error.usage).items() if n}
        return row | used
    except EcgError as error:
        return {"error": f"{error.code}: {error.message}", "kind": error.code}
