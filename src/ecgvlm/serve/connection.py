"""Connections as uvicorn has them, but bounded: in number, and in the time that a request's head may take."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # that a request line and its headers may take to arrive
_SPARE = 200  # descriptors for files, pipes to the workers, the store
_QUIET_SECONDS = 10.0  # the log repeats a message of the event loop no sooner


class Connection(H11Protocol):
    """One client's connection. A head that does not come ends it, and beyond `most()` of them the one that
    has kept the server waiting longest gives way to a new one.
    """

    open_connections = 0
    waiting: ClassVar[dict[Connection, asyncio.TimerHandle]] = {}  # for a head, the longest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        Connection.open_connections += 1
        super().connection_made(transport)
        if Connection.open_connections > most():
            oldest = next(iter(Connection.waiting), self)
            oldest._end_wait()
            oldest.transport.abort()
            if oldest is self:
                return
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # answers are several small writes
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        Connection.open_connections -= 1
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._end_wait()
        elif self not in Connection.waiting:  # the next request's head has begun
            self._await_head()

    def _await_head(self) -> None:
        Connection.waiting[self] = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _end_wait(self) -> None:
        if (timer := Connection.waiting.pop(self, None)) is not None:
            timer.cancel()


def most() -> int:
    """How many connections may be open, so that descriptors are left for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(50, min(soft, 8192) - _SPARE)


def raise_limits() -> None:
    """Lets this process have as many descriptors as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))


class Seldom(logging.Filter):
    """Lets a message of one place through only now and then: a server without descriptors says so all the
    time."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place, now = (record.pathname, record.lineno), time.monotonic()
        if now < self._said.get(place, 0.0) + _QUIET_SECONDS:
            return False
        self._said[place] = now
        return True
