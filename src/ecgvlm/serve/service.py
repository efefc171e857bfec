"""What the server does, without HTTP: decode, read, ask, and remember readings for some minutes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.machine import workers
from ecgvlm.memory import keep_freed_memory
from ecgvlm.reader import Answer, Reader
from ecgvlm.serve.access import Keys
from ecgvlm.serve.store import Store
from ecgvlm.serve.work import (
    NAME,
    Asked,
    Picture,
    Reading,
    Sight,
    UploadDecoder,
    WarmReader,
    default_reader,
    jpeg,
)
from ecgvlm.serve.workers import WorkerLost, Workers
from ecgvlm.sheets import search
from ecgvlm.words.text import MAX_LETTERS, readable

log = logging.getLogger("ecgvlm.serve")

REMEMBERED_SECONDS = 600.0
REMEMBERED = 200  # readings, of some 300 kB each
_DECODER_MEMORY = 2_000_000_000  # bytes of address space
_PING_SECONDS = 3.0
_READER_MEMORY = 8_000_000_000
_CLEANING_SECONDS = 3600.0
_NOTHING = Asked()  # in particular
LONGEST = MAX_LETTERS  # characters of a question: no more would be read
_FOLLOWED, _LONG = 20, 3  # questions before the one asked now, as long in all as so many long ones


@dataclass(frozen=True)
class Settings:
    """How a server runs.

    workers: pages that are read at a time, one process each. queue: requests that may wait beyond those.
    seconds: that decoding, reading or one answer may take, and a request's body to arrive. keys: who may use
    it, None for everyone who can reach it. local: answer only requests to this machine's own name. store:
    where reads are kept, None for nowhere; days: for how long, None for ever; redact: without what stands
    around the leads.
    """

    workers: int = field(default_factory=workers)
    queue: int = 16
    seconds: float = 60.0
    keys: Keys | None = None
    local: bool = True
    store: Store | None = None
    days: float | None = None
    redact: bool = False


class Service:
    """The worker processes and the readings they made."""

    def __init__(self, settings: Settings, reader: Callable[[], Reader] = default_reader):
        self.settings = settings
        self.store = settings.store
        # One more than a client may have at work, so that nobody's files keep all others' waiting.
        self.decoders = Workers(UploadDecoder, settings.workers + 1, _DECODER_MEMORY, most=settings.workers)
        self.readers = Workers(partial(WarmReader, reader), settings.workers, _READER_MEMORY)
        self._remembered: OrderedDict[str, tuple[float, str, Reading]] = OrderedDict()
        self._cleaning: asyncio.Task | None = None
        self.ready = False
        self.model = ""

    async def start(self) -> None:
        """Starts the processes, which read their models; the service is ready when this returns."""
        keep_freed_memory()  # pictures pass through here
        await self.decoders.start()
        await self.readers.start()
        self.model = await self.readers.run("name", seconds=self.settings.seconds)
        if self.store is not None and self.settings.days is not None:
            self._cleaning = asyncio.create_task(self._clean(self.store, self.settings.days))
        self.ready = True

    async def close(self) -> None:
        """Ends the processes, also those at work."""
        self.ready = False
        if self._cleaning is not None:
            self._cleaning.cancel()
        await self.decoders.close()
        await self.readers.close()

    async def is_ready(self) -> bool:
        """Whether it can take requests now, its store included."""
        if not self.ready or self.store is None:
            return self.ready
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await asyncio.to_thread(self.store.ping)
        except (SQLAlchemyError, TimeoutError):
            return False
        return True

    async def count(self, data: bytes) -> int:
        """Pages in a file. Raises EcgError."""
        return await self._decode("count", data)

    async def read(
        self,
        data: bytes,
        page: int | None = None,
        asked: Asked = _NOTHING,
        name: str = NAME,
        owner: str = "",
        kept: str | None = None,
    ) -> tuple[Picture, Reading, str]:
        """Reads one page of a file: the picture, what it says, and an id by which it is remembered.

        Without a page, the first ECG of the file. With a store the reading is in it when this returns; kept
        is its id there where it has been already.
        Raises EcgError where the page cannot be decoded or read.
        """
        keep = self.store is not None and kept is None
        question = None if asked.question is None else storable(asked.question)
        asked = replace(asked, question=question, redacted=keep and self.settings.redact)
        upload = _Upload(self, data, asked)
        found, _ = await upload.look(page) if page is not None else (await search(upload), False)
        picture, reading = found
        key = kept or secrets.token_urlsafe(16)
        if keep and self.store is not None:
            file = reading.redacted
            if file is None:
                file = await asyncio.to_thread(jpeg, picture.image)
            await asyncio.to_thread(self.store.add, key, owner, file, reading.answer)
        reading = replace(_called(name, reading), redacted=None)
        self._remember(key, owner, _without_overlay(reading))
        return picture, reading, key

    async def decode(self, data: bytes, page: int) -> Picture:
        """One page of a file. Raises EcgError."""
        return await self._decode("decode", data, page)

    async def look(self, picture: Picture, asked: Asked) -> Reading:
        """What a picture says. Raises EcgError where it cannot be read."""
        try:
            reading: Reading = await self.readers.run("read", picture, asked, seconds=self.settings.seconds)
        except WorkerLost as error:
            raise unreadable(NAME, f"could not be read ({error})") from error
        if reading.evidence is None:
            raise EcgError(reading.answer["error"]["code"], reading.answer["error"]["message"])
        return reading

    async def aim(self, data: bytes) -> Sight:
        """What a camera's view shows; nothing of it is kept. Raises EcgError where it is no picture."""
        picture = await self.decode(data, 0)
        try:
            return await self.readers.run("aim", picture, seconds=self.settings.seconds)
        except WorkerLost as error:
            raise unreadable(NAME, f"could not be looked at ({error})") from error

    async def _decode(self, method: str, *args: Any) -> Any:
        """In a process of its own. Raises EcgError, also where that process dies of the file."""
        try:
            return await self.decoders.run(method, *args, seconds=self.settings.seconds)
        except WorkerLost as error:
            cause = f"could not be decoded ({error}); save the page as JPEG or PNG"
            raise unreadable(NAME, cause) from error

    async def ask(
        self,
        reading: Reading,
        question: str,
        before: Sequence[str] = (),
        earlier: Reading | None = None,
        language: str = "en",
    ) -> AsyncGenerator[str]:
        """The answer piece by piece. Raises EcgError where its process is lost.

        before: what was asked so far, see `followed`; earlier: another ECG of the same patient; language: of
        a question that does not show its own.
        """
        other = None if earlier is None else earlier.evidence
        said = (reading.evidence, question, followed(before), other, language)
        pieces = self.readers.stream("ask", *said, seconds=self.settings.seconds)
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except WorkerLost as error:
            raise unreadable(NAME, f"no answer could be given ({error})") from error

    def _remember(self, key: str, owner: str, reading: Reading) -> None:
        now = time.monotonic()
        while self._remembered and (
            len(self._remembered) >= REMEMBERED or next(iter(self._remembered.values()))[0] < now
        ):
            self._remembered.popitem(last=False)
        self._remembered[key] = (now + REMEMBERED_SECONDS, owner, reading)

    async def recall(self, key: str, owner: str) -> Reading | None:
        """A reading made for this owner within the last minutes, or kept in the store."""
        until, whose, reading = self._remembered.get(key, (0.0, "", None))
        if reading is not None and until > time.monotonic() and whose == owner:
            if self.store is None or await asyncio.to_thread(self.store.has, key, owner):
                return reading
            self.forget(key, owner)  # another server has deleted it
        file = None if self.store is None else await asyncio.to_thread(self.store.image, key, owner)
        return None if file is None else (await self.read(file, owner=owner, kept=key))[1]

    def forget(self, key: str, owner: str) -> None:
        """Forgets a reading now, not only after its minutes."""
        if self._remembered.get(key, (0.0, "", None))[1] == owner:
            self._remembered.pop(key, None)

    async def _clean(self, store: Store, days: float) -> None:
        while True:
            try:
                await asyncio.to_thread(store.forget, days)
            except SQLAlchemyError as error:  # locked or away: in an hour again
                log.error("old reads could not be deleted (%s)", type(error).__name__)
            await asyncio.sleep(_CLEANING_SECONDS)


class _Upload:
    """The pages of a file that was sent, as `sheets.search` goes through them."""

    def __init__(self, service: Service, data: bytes, asked: Asked):
        self._service, self._data, self._asked = service, data, asked
        self._count: int | None = None

    async def count(self) -> int:
        if self._count is None:  # not even its first page could be decoded
            self._count = await self._service.count(self._data)
        return self._count

    async def look(self, number: int) -> tuple[tuple[Picture, Reading], bool]:
        picture = await self._service.decode(self._data, number)
        self._count = picture.pages
        reading = await self._service.look(picture, self._asked)
        return (picture, reading), reading.half

    async def both(self, number: int, first: tuple[Picture, Reading]) -> tuple[Picture, Reading]:
        spread = first[0].beside(await self._service.decode(self._data, number + 1))
        return spread, await self._service.look(spread, self._asked)


def _called(name: str, reading: Reading) -> Reading:
    """The reading, and those of other ECGs on the picture, with the name that people gave it."""
    others = [_called(name + other.answer["image"].removeprefix(NAME), other) for other in reading.others]
    told = {"others": [other.answer for other in others]} if others else {}
    return replace(reading, answer={**reading.answer, "image": name, **told}, others=tuple(others))


def _without_overlay(reading: Reading) -> Reading:
    return replace(reading, overlay=None, others=tuple(map(_without_overlay, reading.others)))


def followed(before: Sequence[str]) -> tuple[str, ...]:
    """What is understood of the questions before: the last of them, in all not much longer than one."""
    last = "\0".join(map(readable, before[-_FOLLOWED:]))
    return tuple(filter(None, readable(last, _LONG).split("\0")))


def storable(text: str) -> str:
    """A text without what no database or log takes: lone surrogates and NUL."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def unavailable(error: SQLAlchemyError) -> EcgError:
    """What is said of a store that does not answer; the log is told why."""
    log.error("the store does not answer (%s)", type(error).__name__)
    return EcgError("store_unavailable", "the store of what is read does not answer; try again")


def refused(error: EcgError, name: str, question: str | None) -> dict:
    """The contract's object of a page that could not be read."""
    return Answer.failed(name, question, error).to_dict()
