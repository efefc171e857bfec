"""From the pages of a file to the ECG on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

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


def first_ecg(leaves: Sequence[Leaf], digitize: Digitize) -> tuple[Content, Page | None]:
    """The first ECG of a file, and its page but for a record: pages before it that show none are passed over,
    and where a page shows half of one, the next page may hold the rest.

    Raises the EcgError of the first page where none of the first `MOST_TRIED` shows an ECG.
    """
    refused: EcgError | None = None
    for leaf, following in zip(leaves[:MOST_TRIED], [*leaves[1:], None]):
        try:
            content = leaf.load()
            if isinstance(content, Record):
                return content, None
            page = page_of(content, digitize)
        except EcgError as error:
            refused = refused or error
            continue
        if following is not None and is_half(page):
            with contextlib.suppress(EcgError):
                other = following.load()
                if not isinstance(other, Record) and (whole := join(page, digitize(other))) is not None:
                    return Spread(content, other), whole
        return content, page
    if refused is None or len(leaves) == 1:
        raise refused or EcgError("unreadable_file", "there are no pages")
    tried = min(len(leaves), MOST_TRIED)
    raise EcgError(refused.code, f"none of the first {tried} pages: {refused.message}")
