"""What the server does, without HTTP: decode, read, ask, and remember readings for some minutes."""

from __future__ import annotations

import os
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from ecgvlm.reader import QUESTION, Answer, Reader
from ecgvlm.record import EcgError, unreadable
from ecgvlm.serve.pool import Pool, WorkerLost
from ecgvlm.serve.work import Decoder, PageReader, Picture, Reading, default_reader

REMEMBERED_SECONDS = 600.0
REMEMBERED = 200  # readings, of some 300 kB each
_DECODER_MEMORY = 2_000_000_000  # bytes of address space
_READER_MEMORY = 8_000_000_000


@dataclass(frozen=True)
class Settings:
    """How a server runs.

    workers: pages that are read at a time, one process each. queue: requests that may wait beyond those. seconds: that
    decoding, reading or one answer may take.
    """

    workers: int = os.cpu_count() or 1
    queue: int = 16
    seconds: float = 60.0


class Service:
    """The worker processes and the readings they made."""

    def __init__(self, settings: Settings, reader: Callable[[], Reader] = default_reader):
        self.settings = settings
        self._decoders = Pool(Decoder, settings.workers, _DECODER_MEMORY)
        self._readers = Pool(partial(PageReader, reader), settings.workers, _READER_MEMORY)
        self._remembered: OrderedDict[str, tuple[float, str, Reading]] = OrderedDict()
        self.ready = False

    async def start(self) -> None:
        await self._decoders.start()
        await self._readers.start()
        self.ready = True

    async def close(self) -> None:
        self.ready = False
        await self._decoders.close()
        await self._readers.close()

    async def decode(self, data: bytes, name: str, page: int = 0) -> Picture:
        """One page of a file, in a process of its own. Raises EcgError, also where that process dies of the file."""
        try:
            return await self._decoders.run("decode", data, name, page, seconds=self.settings.seconds)
        except WorkerLost as error:
            raise unreadable(name, f"could not be decoded ({error}); save the page as JPEG or PNG") from error

    async def read(self, picture: Picture, name: str, question: str | None = None) -> Reading:
        """Reads a page. One that cannot be read gives a Reading with its error; nothing is raised for it."""
        try:
            return await self._readers.run(
                "read", picture.image, name, question, seconds=self.settings.seconds
            )
        except WorkerLost as error:
            return refused(unreadable(name, f"could not be read ({error})"), name, question)

    async def ask(self, reading: Reading, question: str) -> AsyncIterator[str]:
        """The answer piece by piece. Raises EcgError where there is nothing to ask about, or the process is lost."""
        if reading.evidence is None:
            raise EcgError(**reading.answer["error"])
        try:
            pieces = self._readers.stream("ask", reading.evidence, question, seconds=self.settings.seconds)
            async for piece in pieces:
                yield piece
        except WorkerLost as error:
            raise unreadable(reading.answer["image"], f"no answer could be given ({error})") from error

    def remember(self, reading: Reading, owner: str) -> str:
        """Keeps a reading in memory for some minutes, for its owner alone; its id."""
        now = time.monotonic()
        while self._remembered and (
            len(self._remembered) >= REMEMBERED or next(iter(self._remembered.values()))[0] < now
        ):
            self._remembered.popitem(last=False)
        key = secrets.token_urlsafe(16)
        self._remembered[key] = (now + REMEMBERED_SECONDS, owner, reading)
        return key

    def recall(self, key: str, owner: str) -> Reading | None:
        until, whose, reading = self._remembered.get(key, (0.0, "", None))
        return reading if until > time.monotonic() and whose == owner else None


def refused(error: EcgError, name: str, question: str | None = None) -> Reading:
    """The Reading of a picture that did not come as far as the reader."""
    return Reading(Answer(name, question or QUESTION, 0.0, error=error).to_dict())
