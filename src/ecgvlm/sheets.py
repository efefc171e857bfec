"""From the pages of a file to the ECG on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from ecgvlm.digitize import Page
from ecgvlm.digitize.joined import is_half, join
from ecgvlm.errors import EcgError
from ecgvlm.files.drawing import Drawing, text_lines
from ecgvlm.files.leaf import Content, Leaf, Sheet, Spread
from ecgvlm.files.ocr import can_read_words, read_words
from ecgvlm.files.stated import stated_in
from ecgvlm.printed import picture_of, print_record
from ecgvlm.record import MachineReading, Record

_LEAST_PRINT = 30  # px of height in which a line of print may stand
MOST_TRIED = 10  # pages of a file that are looked at for the first ECG

Digitize = Callable[[Sheet], Page]
Found = TypeVar("Found")


def page_of(content: Content, digitize: Digitize) -> Page:
    """What was loaded, digitised. Raises EcgError."""
    if isinstance(content, Record):
        return print_record(content)
    if isinstance(content, Spread):
        whole = join(digitize(content.first), digitize(content.second))
        if whole is None:
            raise EcgError("not_an_ecg", "the two pages do not show the halves of one ECG")
        return whole
    return digitize(content)


def stated_on(content: Sheet | Spread, page: Page) -> MachineReading | None:
    """What the words of a page say of the ECG on it; None where they say nothing, or are not known.

    A picture's words are read above and below its traces, where a package that can is installed.
    """
    if page.several:
        return None  # it is not known which of the ECGs the words are about
    if isinstance(content, Drawing):
        return stated_in(text_lines(content.words))
    if isinstance(content, Spread) and isinstance(content.first, Drawing):
        return stated_on(content.first, page)
    if page.turns or page.mirrored or not can_read_words():
        return None
    picture = picture_of(content)
    curves = np.concatenate([strip.curve for strip in page.strips])
    height = page.to_source(curves[np.isfinite(curves).all(1)])[:, 1]
    around = picture[: max(0, int(height.min()))], picture[max(0, int(height.max())) :]
    words = [read_words(part) for part in around if len(part) > _LEAST_PRINT]
    return stated_in([line for part in words for line in text_lines(part)])


class Pages(Protocol[Found]):
    """The pages of a file, as `search` goes through them."""

    async def count(self) -> int:
        """How many there are; asked only after the first was looked at. Raises EcgError."""
        ...

    async def look(self, number: int) -> tuple[Found, bool]:
        """What a page shows, numbers from 0, and whether that is one half of an ECG. Raises EcgError where it
        shows none."""
        ...

    async def both(self, number: int, first: Found) -> Found | None:
        """What a page and the one after it show together; None, or EcgError, where they are no halves."""
        ...


async def search(pages: Pages[Found]) -> Found:
    """The first ECG of a file: pages before it that show none are passed over, and where a page shows half of
    one, the next page may hold the rest.

    Raises the EcgError of the first page where none of the first `MOST_TRIED` shows an ECG.
    """
    refused: EcgError | None = None
    number = 0
    while number == 0 or number < min(await pages.count(), MOST_TRIED):
        try:
            found, half = await pages.look(number)
        except EcgError as error:
            refused = refused or error
            number += 1
            continue
        if half and number + 1 < await pages.count():
            with contextlib.suppress(EcgError):
                return await pages.both(number, found) or found
        return found
    assert refused is not None
    if number == 1:
        raise refused
    raise EcgError(refused.code, f"none of the first {number} pages: {refused.message}")


def first_ecg(leaves: Sequence[Leaf], digitize: Digitize) -> tuple[Content, Page | None]:
    """The first ECG of a file, as `search` finds it, and its page but for a record. Raises EcgError."""
    if not leaves:
        raise EcgError("unreadable_file", "there are no pages")
    try:
        search(_Leaves(leaves, digitize)).send(None)
    except StopIteration as done:  # nothing in it waits
        return done.value
    raise RuntimeError("a page was waited for")


@dataclass(frozen=True)
class _Leaves:
    """Pages that are loaded and digitised here and now."""

    leaves: Sequence[Leaf]
    digitize: Digitize

    async def count(self) -> int:
        return len(self.leaves)

    async def look(self, number: int) -> tuple[tuple[Content, Page | None], bool]:
        content = self.leaves[number].load()
        if isinstance(content, Record):
            return (content, None), False
        page = page_of(content, self.digitize)
        return (content, page), is_half(page)

    async def both(
        self, number: int, first: tuple[Content, Page | None]
    ) -> tuple[Content, Page | None] | None:
        sheet, page = first
        other = self.leaves[number + 1].load()
        if isinstance(other, Record) or isinstance(sheet, Record | Spread) or page is None:
            return None
        whole = join(page, self.digitize(other))
        return None if whole is None else (Spread(sheet, other), whole)
