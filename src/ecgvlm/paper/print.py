"""The one way to print a record as a random page: a look, the print, and the wear of one of `PAGE_KINDS`."""

from __future__ import annotations

import numpy as np

from ecgvlm.paper.degrade import PAGE_KINDS, degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.style import PageStyle, random_style
from ecgvlm.paper.truth import Rendering
from ecgvlm.record import Record


def page_rng(seed: int, kind: str, key: str) -> np.random.Generator:
    """The generator of one page of a collection, so that every subset of it is printed alike.

    key: the record's, within its collection. kind: of `PAGE_KINDS`.
    """
    return np.random.default_rng([seed, PAGE_KINDS.index(kind), *key.encode()])


def print_page(
    record: Record, kind: str, rng: np.random.Generator | int, style: PageStyle | None = None
) -> Rendering:
    """The record on a page of one of `PAGE_KINDS`, in this style or in a random one.

    Raises UsageError for another kind.
    """
    rng = np.random.default_rng(rng)
    look = random_style(rng) if style is None else style
    return degrade(render(record, look, rng), kind, rng)
