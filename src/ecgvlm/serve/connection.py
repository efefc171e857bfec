"""Connections as uvicorn has them, but bounded: in number, in chunks, and in the time that a client may keep
the server waiting.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ecgvlm.serve.turns import Shared, network

HEAD_SECONDS = 10  # that a request line and its headers may take to arrive
PACE_SECONDS, SLOWEST = 10.0, 20_000  # from when on a body, or an answer, must go at so many bytes a second
_MANY_CHUNKS, _CHUNK = 1000, 256  # a body of so many chunks or more has so many bytes in each, on average
_HEAD_BYTES = 32_768  # of a request line and its headers
SPARE = 200  # descriptors for files, pipes to the workers, the store
_QUIET_SECONDS = 10.0  # the log repeats a message of the event loop no sooner


class _Parser(h11.Connection):
    """h11's, which works as long on a chunk of one byte as on one of a thousand: bodies of many small ones
    are no HTTP to it."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_end
            self._bytes += len(event.data)
            if self._chunks >= _MANY_CHUNKS and self._bytes < self._chunks * _CHUNK:
                self._process_error(self.their_role)
                raise h11.RemoteProtocolError("the chunks are too small")
        elif isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        return event


class Connection(H11Protocol):
    """One client's connection. It ends where no request's head comes while none is at work, and where its
    client does not take the answer. Beyond `most()` of them, or three quarters of these from one address, the
    one that has kept the server waiting longest gives way to a new one.
    """

    places: ClassVar[Shared]
    waiting: ClassVar[dict[Connection, asyncio.TimerHandle]] = {}  # for a head, the longest first
    _begun = False  # something has come since a request was at work
    _sending: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.conn = _Parser(h11.SERVER, _HEAD_BYTES)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = network(self.client[0] if self.client else "")
        places = Connection.places
        gives_way = self._who_gives_way() if places.is_full(self.address) else None
        places.add(self.address, 1)
        if gives_way is not None:
            gives_way._end_wait()
            gives_way.transport.abort()
            if gives_way is self:
                return
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # answers are several small writes
        self._await_head()

    def _who_gives_way(self) -> Connection:
        """The longest waiting one of all, or of this address where that has taken its share."""
        own = Connection.places.is_used_up(self.address)
        return next((c for c in Connection.waiting if c.address == self.address or not own), self)

    def connection_lost(self, exc: Exception | None) -> None:
        Connection.places.add(self.address, -1)
        self._end_wait()
        self._end_watch()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_at_work:
            self._begun = False
            self._end_wait()
        elif not self._begun:  # the next request's head, or the body of an answered one goes on
            self._begun = True
            self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_answer()
        elif not self._is_at_work:
            self._await_head()

    @property
    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._end_wait()
        Connection.waiting[self] = self.loop.call_later(HEAD_SECONDS, self._no_head)

    def _no_head(self) -> None:
        self._end_wait()
        self.transport.close()  # what is left of the last answer may still be taken
        self._watch_answer()

    def _end_wait(self) -> None:
        if (timer := Connection.waiting.pop(self, None)) is not None:
            timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end_watch()
        if self.transport.is_closing():
            self._watch_answer()

    def _watch_answer(self, before: int | None = None) -> None:
        """Ends the connection where its answer goes too slowly. before: bytes that were left last time."""
        self._end_watch()
        left = self.transport.get_write_buffer_size()
        if left and before is not None and before - left < PACE_SECONDS * SLOWEST:
            self.transport.abort()
        elif left:
            self._sending = self.loop.call_later(PACE_SECONDS, self._watch_answer, left)

    def _end_watch(self) -> None:
        if self._sending is not None:
            self._sending.cancel()


def most() -> int:
    """How many connections may be open, so that descriptors are left for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(50, min(soft, 8192) - SPARE)


Connection.places = Shared(most())


def raise_limits() -> None:
    """Lets this process have as many descriptors, and connections, as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    Connection.places = Shared(most())


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
