"""Connections that keep the server waiting end, also too many; answers do not wait for acknowledgements."""

import contextlib
import logging
import socket
from unittest.mock import Mock

import pytest
import uvicorn
from uvicorn.server import ServerState

from ecgvlm.serve.connection import SPARE, Connection, Seldom
from ecgvlm.serve.run import run
from ecgvlm.serve.turns import Shared


class Socket(socket.socket):
    def getpeername(self):
        return self.peer


class Transport:
    """What uvicorn's protocol needs of a transport. left: bytes that the client has not taken."""

    def __init__(self, host="1.2.3.4"):
        self.ended, self.closed, self.left, self.sent = False, False, 0, b""
        self.socket = Socket()
        self.socket.peer = (host, 5)

    def abort(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed or self.ended

    def write(self, data: bytes) -> None:
        self.sent += data

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return self.left

    def get_extra_info(self, name: str):
        return self.socket if name == "socket" else None


class Timer:
    def __init__(self, action, *args):
        self.action, self.args, self.cancelled = action, args, False

    def cancel(self) -> None:
        self.cancelled = True

    def fire(self) -> None:
        assert not self.cancelled
        self.cancelled = True
        self.action(*self.args)


class Loop:
    """Timers that the test fires, and tasks that it runs."""

    def __init__(self):
        self.timers, self.tasks = [], []

    def call_later(self, seconds, action, *args):
        self.timers.append(Timer(action, *args))
        return self.timers[-1]

    def create_task(self, coroutine, **_):
        self.tasks.append(coroutine)
        return Mock()

    @property
    def waiting(self):
        return [timer for timer in self.timers if not timer.cancelled]

    def answer(self):
        """Lets the application answer."""
        with contextlib.suppress(StopIteration):
            self.tasks.pop().send(None)


async def _app(scope, receive, send):
    headers = [(b"content-length", b"2"), *((b"connection", b"close") for _ in scope["query_string"])]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def connect(monkeypatch):
    """Opens a connection from an address; gives it, its transport and its loop."""
    monkeypatch.setattr(Connection, "places", Shared(4))
    monkeypatch.setattr(Connection, "waiting", {})
    opened, loops = [], []

    def one(host="1.2.3.4"):
        config, loop = uvicorn.Config(_app, log_config=None), Loop()
        config.load()
        made, transport = Connection(config, ServerState(), {}, _loop=loop), Transport(host)
        opened.append(transport)
        loops.append(loop)
        made.connection_made(transport)
        return made, transport, loop

    yield one
    for transport, loop in zip(opened, loops):
        transport.socket.close()
        for task in loop.tasks:
            task.close()


GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


def test_a_head_that_does_not_come_ends_the_connection(connect):
    made, transport, loop = connect()
    made.data_received(GET)
    [timer] = loop.waiting
    made.data_received(b"X: y\r\n")  # a little more of it changes nothing
    assert loop.waiting == [timer]
    timer.fire()
    assert transport.closed


def test_a_whole_head_is_waited_for_no_longer(connect):
    made, transport, loop = connect()
    assert transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    made.data_received(GET + b"\r\n")
    assert not loop.waiting
    loop.answer()
    assert transport.sent.endswith(b"ok")
    assert made in Connection.waiting


def test_the_body_of_an_answered_request_holds_no_connection(connect):
    made, transport, loop = connect()
    made.data_received(GET + b"Content-Length: 1000\r\n\r\n")
    loop.answer()
    made.data_received(b"x")
    timers = loop.waiting
    made.data_received(b"x")
    assert loop.waiting == timers != []
    for timer in timers:
        timer.fire()
    assert transport.closed


@pytest.mark.parametrize(("taken", "ends"), [(100_000, True), (300_000, False)])
@pytest.mark.parametrize("query", [b"", b"?close"])
def test_an_answer_that_is_not_taken_ends_the_connection(connect, taken, ends, query):
    made, transport, loop = connect()
    made.data_received(GET.replace(b"/ ", b"/" + query + b" ") + b"\r\n")
    transport.left = 1_000_000
    loop.answer()
    assert transport.closed == bool(query)
    if not query:
        made.pause_writing()
        Connection.waiting[made].fire()  # no other request comes: the answer may still be taken
        assert (transport.closed, transport.ended) == (True, False)
    [timer] = [timer for timer in loop.waiting if timer.args]
    transport.left -= taken
    timer.fire()
    assert transport.ended == ends
    transport.left = 0
    for timer in loop.waiting:
        timer.fire()
    assert transport.ended == ends


def test_an_answer_that_is_taken_in_time_is_watched_no_longer(connect):
    made, transport, loop = connect()
    made.data_received(GET + b"\r\n")
    transport.left = 100_000
    made.pause_writing()
    transport.left = 10_000
    made.resume_writing()
    assert not loop.waiting
    assert not transport.ended


def test_connections_beyond_the_limit_are_closed_at_once(connect):
    held = [connect(f"1.2.3.{k}") for k in range(4)]
    for made, _, _ in held:
        made.data_received(GET + b"\r\n")
    made, transport, _ = connect("1.2.3.9")
    assert transport.ended
    made.connection_lost(None)
    held[0][0].connection_lost(None)
    assert Connection.places.total == 3
    assert not connect("1.2.3.9")[1].ended


def test_who_keeps_the_server_waiting_gives_way(connect):
    held = [connect(f"1.2.3.{k}")[1] for k in range(4)]
    assert not connect("1.2.3.9")[1].ended
    assert [transport.ended for transport in held] == [True, False, False, False]


def test_one_address_cannot_take_all_connections(connect):
    other = connect("5.6.7.8")[1]
    held = [connect()[1] for _ in range(3)]
    connect()
    assert [transport.ended for transport in held] == [True, False, False]
    assert not other.ended


@pytest.mark.parametrize(
    ("chunk", "status"), [(b"1\r\nx\r\n", b"400"), (b"400\r\n" + b"x" * 1024 + b"\r\n", b"200")]
)
def test_bodies_of_tiny_chunks_are_refused(connect, chunk, status):
    made, transport, loop = connect()
    made.data_received(GET + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 999)
    assert not transport.closed
    made.data_received(chunk)
    loop.answer()
    assert transport.sent.split()[1] == status


@pytest.fixture
def configured(monkeypatch):
    """How uvicorn would be run."""
    made = []
    monkeypatch.setattr("ecgvlm.serve.run.uvicorn.Server", lambda config: made.append(config) or Mock())
    monkeypatch.setattr("ecgvlm.serve.run.create_app", lambda settings: _app)
    monkeypatch.setattr("ecgvlm.serve.run.raise_limits", lambda: None)
    run("127.0.0.1", 0)
    return made[0]


def test_no_more_come_at_a_time_than_there_are_descriptors_to_spare(configured):
    """A thousand at once took the last one, and the event loop stopped accepting for a second."""
    assert configured.backlog < SPARE


def test_web_sockets_are_no_way_around_the_limits(configured):
    """uvicorn hands such a connection to another protocol, which would never be counted as ended."""
    configured.load()
    assert configured.ws_protocol_class is None


def test_the_log_repeats_itself_seldom():
    seldom = Seldom()
    record = logging.LogRecord("asyncio", logging.ERROR, "a.py", 7, "out of descriptors", (), None)
    assert [seldom.filter(record) for _ in range(3)] == [True, False, False]
    assert seldom.filter(logging.LogRecord("asyncio", logging.ERROR, "a.py", 8, "other", (), None))
