"""Places that several clients share fairly."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from ipaddress import IPv6Network

# Whose request is at work: who holds its key, or else the address it came from. The gate sets it.
CLIENT: ContextVar[str] = ContextVar("client", default="")


def network(host: str) -> str:
    """What counts as one client of an address; of IPv6 the network, in which a client may call itself what it
    likes."""
    try:
        return str(IPv6Network((host, 64), strict=False))
    except ValueError:  # IPv4, or whatever a proxy calls it
        return host


class Shared:
    """Counts what clients hold of something that there is `most` of. One of them may hold `most_of_one`, by
    default three quarters, so that there is always some left for others.
    """

    def __init__(self, most: int, most_of_one: int | None = None):
        self.total = 0
        self._most, self._most_of_one = most, most_of_one or most - most // 4
        self._held: Counter[str] = Counter()

    def is_full(self, client: str) -> bool:
        return self.total >= self._most or self.is_used_up(client)

    def is_used_up(self, client: str) -> bool:
        """Whether a client holds all that one may."""
        return self._held[client] >= self._most_of_one

    def add(self, client: str, count: int) -> None:
        """Counts so many more, or fewer."""
        self.total += count
        self._held += Counter({client: count})  # who holds nothing is forgotten

    @contextmanager
    def one(self, client: str) -> Iterator[None]:
        """One more as long as the block lasts."""
        self.add(client, 1)
        try:
            yield
        finally:
            self.add(client, -1)


class Turns:
    """`places` that clients take in turn: a free one goes to who holds the fewest, and of those to whose last
    turn is longest ago. No client holds more than `most`.
    """

    def __init__(self, places: int, most: int | None = None):
        self._free = places
        self._most = most or places
        self._held: Counter[str] = Counter()
        self._last: dict[str, int] = {}  # turn of each client that holds a place or waits for one
        self._numbers = itertools.count(1)
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for `CLIENT` as long as the block lasts."""
        client = await self.take()
        try:
            yield
        finally:
            self.give_back(client)

    async def take(self) -> str:
        """Waits for a place for `CLIENT`, whose name it returns, for `give_back`."""
        client, turn = CLIENT.get(), asyncio.get_running_loop().create_future()
        self._waiting.append((client, turn))
        self._share_out()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # called off in the moment that its turn came
                self.give_back(client)
            raise
        return client

    def give_back(self, client: str) -> None:
        self._held -= Counter([client])  # who holds nothing is forgotten
        self._free += 1
        self._share_out()
        known = {*self._held, *(waiting for waiting, _ in self._waiting)}
        self._last = {client: turn for client, turn in self._last.items() if client in known}

    def _share_out(self) -> None:
        self._waiting = [entry for entry in self._waiting if not entry[1].cancelled()]
        while self._free:
            may = [entry for entry in self._waiting if self._held[entry[0]] < self._most]
            if not may:
                return
            client, turn = entry = min(may, key=lambda entry: self._rank(entry[0]))
            self._waiting.remove(entry)
            self._held[client] += 1
            self._last[client] = next(self._numbers)
            self._free -= 1
            turn.set_result(None)

    def _rank(self, client: str) -> tuple[int, int]:
        return self._held[client], self._last.get(client, 0)
