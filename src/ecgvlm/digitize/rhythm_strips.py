"""Rhythm strips: rows that run through below the columns of a page, or above them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

import numpy as np

from ecgvlm.digitize.arrangement import NEAR, PLAIN, Arrangement, Name
from ecgvlm.digitize.rows import LONG, RowInk
from ecgvlm.paper.layouts import RHYTHM_LEADS
from ecgvlm.quantile import median

_LONG_ROW = 0.75  # of the columns' row, that a rhythm strip's ink is long at least where that is shorter
# Of the rows' distance, that a rhythm strip whose name is plain stands below the last row at least.
_CLOSE = 0.4
_ABOUT_THERE = 0.35  # of the rows' distance, by which a name may stand off an even row
_MOST = 3  # rhythm strips below the columns, or above them
_LIKE_PULSES = ("I",)  # names that pulses look like, and R waves; no rhythm strip is of them
_BEYOND_PAGE = 0.06  # of the rows' distance from the page's lower edge, where a line is cut off


@dataclass(frozen=True)
class RhythmStrip:
    """y: px of its line. named: whether its name was seen, else it is the usual lead."""

    lead: str
    y: float
    named: bool


def rhythm_names(fit: Arrangement, names: Sequence[Name]) -> list[Name]:
    """The names that stand where those of rhythm strips do: with those of the first column or, where none is
    plain there and names stand at the ends of the strips, right of those of the last column but one."""
    first = [n for n in names if abs(n.x - fit.xs[0]) < 1.5 * NEAR]
    plain = [n for n in names if n.p > PLAIN and not fit.explains(n)]
    room = _CLOSE * fit.dy
    beyond = any(n in first and not fit.ys[0] - room < n.y < fit.ys[-1] + room for n in plain)
    if fit.columns == 1 or beyond:
        return first
    return first + [n for n in plain if n.x > fit.xs[-1] - fit.dx + NEAR]


def are_above(fit: Arrangement, names: Sequence[Name]) -> bool:
    """Whether rhythm strips stand above the columns. names: of `rhythm_names`."""
    return _name_of_next(_plain(names), fit.ys[0], -fit.dy) is not None


def find_rhythm_strips(
    fit: Arrangement, names: Sequence[Name], rows: RowInk, lines: Sequence[float]
) -> list[RhythmStrip]:
    """As long as a row of ink follows the last row.

    names: of `rhythm_names`. lines: px of the rows'. Under a single column, further down than one, and above
    the first row, only where a name says so.
    """
    below = islice(_following(fit, names, rows, lines, down=True), _MOST)
    if fit.columns == 1:
        return list(_named(below))
    if found := list(below):
        last = max((k for k, strip in enumerate(found) if strip.named), default=0)
        return found[: last + 1]
    above = islice(_following(fit, _plain(names), rows, lines, down=False), _MOST)
    return list(_named(above))[::-1]


def _following(
    fit: Arrangement, names: Sequence[Name], rows: RowInk, lines: Sequence[float], down: bool
) -> Iterator[RhythmStrip]:
    """One row of long ink after the other, down from the last row of columns or up from the first."""
    below_name = median(np.array(lines) - np.array(fit.ys))
    long = min(LONG, _LONG_ROW * fit.columns * fit.dx) if fit.columns > 1 else LONG
    at, step = (fit.ys[-1], fit.dy) if down else (fit.ys[0], -fit.dy)
    while True:
        name = _name_of_next(names, at, step)
        at = name.y if name else at + step
        y = rows.line_near(at + below_name)
        if not 0 <= y < len(rows.ink) - _BEYOND_PAGE * rows.dy or not rows.beats(y, long):
            return
        yield RhythmStrip(name.lead if name else RHYTHM_LEADS[0], y, name is not None)


def _name_of_next(names: Sequence[Name], last: float, step: float) -> Name | None:
    """The name of the rhythm strip whose row should stand a step further than the last one: plain and nearer,
    or else about there."""
    nearer = [n for n in _plain(names) if _CLOSE < (n.y - last) / step < 1 and n.lead not in _LIKE_PULSES]
    if nearer:
        return min(nearer, key=lambda n: abs(n.y - last))
    near = [n for n in names if abs(n.y - last - step) < max(NEAR, _ABOUT_THERE * abs(step))]
    return max(near, key=lambda n: n.p, default=None)


def _plain(names: Iterable[Name]) -> list[Name]:
    return [name for name in names if name.p > PLAIN]


def _named(strips: Iterable[RhythmStrip]) -> Iterator[RhythmStrip]:
    """The first strips up to one without a name."""
    return takewhile(lambda strip: strip.named, strips)
