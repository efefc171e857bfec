"""Half-sent heads and too many connections end; answers do not wait for acknowledgements."""

import logging
import socket

import h11
import pytest

from ecgvlm.serve.connection import Connection, Seldom


class Transport:
    """What uvicorn's protocol needs of a transport."""

    def __init__(self):
        self.ended = False
        self.socket = socket.socket()

    def abort(self) -> None:
        self.ended = True

    def get_extra_info(self, name: str):
        return self.socket if name == "socket" else None


class Timer:
    def __init__(self, action):
        self.action, self.cancelled = action, False

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def connection(monkeypatch):
    """A connection whose timers the test fires, and its transport."""
    transport, timers = Transport(), []
    monkeypatch.setattr(
        "ecgvlm.serve.connection.H11Protocol.connection_made", lambda self, t: setattr(self, "transport", t)
    )
    monkeypatch.setattr("ecgvlm.serve.connection.H11Protocol.connection_lost", lambda self, error: None)
    monkeypatch.setattr(
        "ecgvlm.serve.connection.H11Protocol.data_received",
        lambda self, data: (self.conn.receive_data(data), self.conn.next_event()),
    )
    monkeypatch.setattr(Connection, "open_connections", 0)
    made = Connection.__new__(Connection)
    monkeypatch.setattr(Connection, "waiting", {})
    made.conn = h11.Connection(h11.SERVER)
    made.loop = type(
        "Loop", (), {"call_later": lambda _, seconds, action: timers.append(Timer(action)) or timers[-1]}
    )()
    yield made, transport, timers
    transport.socket.close()


def test_a_head_that_does_not_come_ends_the_connection(connection):
    made, transport, timers = connection
    made.connection_made(transport)
    made.data_received(b"GET / HTTP/1.1\r\nHost:")
    assert not timers[0].cancelled
    timers[0].action()
    assert transport.ended


def test_a_whole_head_is_waited_for_no_longer(connection):
    made, transport, timers = connection
    made.connection_made(transport)
    assert transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    made.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert timers[0].cancelled
    assert not transport.ended


def test_connections_beyond_the_limit_are_closed_at_once(connection, monkeypatch):
    made, transport, _ = connection
    monkeypatch.setattr("ecgvlm.serve.connection.most", lambda: 0)
    made.connection_made(transport)
    assert transport.ended
    made.connection_lost(None)
    assert Connection.open_connections == 0


def test_who_keeps_the_server_waiting_gives_way(connection, monkeypatch):
    made, transport, _ = connection
    made.connection_made(transport)
    monkeypatch.setattr("ecgvlm.serve.connection.most", lambda: 1)
    other, place = Connection.__new__(Connection), Transport()
    other.conn, other.loop = h11.Connection(h11.SERVER), made.loop
    other.connection_made(place)
    place.socket.close()
    assert (transport.ended, place.ended) == (True, False)


def test_the_log_repeats_itself_seldom():
    seldom = Seldom()
    record = logging.LogRecord("asyncio", logging.ERROR, "a.py", 7, "out of descriptors", (), None)
    assert [seldom.filter(record) for _ in range(3)] == [True, False, False]
    assert seldom.filter(logging.LogRecord("asyncio", logging.ERROR, "a.py", 8, "other", (), None))
