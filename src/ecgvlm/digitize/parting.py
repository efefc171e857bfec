"""Wide blank paper: between two ECGs on one page, or between rows of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.arrangement import NEAR, PLAIN, Name
from ecgvlm.digitize.pagenet import PX_PER_MM, NetMaps
from ecgvlm.quantile import median

OTHER_NAMED = 8  # leads named once more, in rows and columns of their own, make another ECG
_STRAY = 0.1  # of the mean ink of the page's columns or rows of px, that stray marks between ECGs show
_OTHER_INK = 0.2  # of the page's traces, that each of two ECGs has at least
_BEFORE_NAME = 8.0 * PX_PER_MM  # from where an ECG may begin to its first name
_NARROWEST = 0.8 * PX_PER_MM  # blank paper between two ECGs
_FAR_APART = 3  # leads on either side of blank paper that sets rows apart
_MORE = 0.4  # of the rows' usual distance, by which rows that blank paper sets apart stand farther apart


@dataclass(frozen=True)
class Parting:
    """Where a page parts into two ECGs, beside each other (axis 0) or one below the other (1).

    end: px of the rectified page along that axis where the first one ends; begin: where the second begins.
    """

    axis: int
    end: float
    begin: float


def find_parting(names: Sequence[Name], trace: np.ndarray) -> Parting | None:
    """Where the page parts into two ECGs, None where there are not two: the widest blank paper between the
    last name of the one and the first name of the other. trace: of `NetMaps`."""
    plain = [name for name in names if name.p >= PLAIN]
    if len(plain) < 2 * OTHER_NAMED:
        return None
    ways = [way for axis in (0, 1) if (way := _parting_along(axis, plain, trace)) is not None]
    return max(ways, key=lambda way: way[0])[1] if ways else None


def _parting_along(axis: int, plain: Sequence[Name], trace: np.ndarray) -> tuple[int, Parting] | None:
    """px of blank paper between two ECGs, and where they part."""
    names_apart = _names_apart([((n.x, n.y)[axis], n.lead) for n in plain])
    if names_apart is None:
        return None
    last, first = names_apart
    ink = (trace > 0.5).sum(axis)
    start, stop = filters.longest_run(ink[last:first] < _STRAY * ink.mean())
    blank = stop - start
    if blank <= _NARROWEST:
        if axis == 0:
            return None  # rows that run through are of one ECG, named at both of their ends
        start = stop = int(first - last - _BEFORE_NAME)
    end, begin = last + start, last + stop
    if min(ink[:end].sum(), ink[begin:].sum()) <= _OTHER_INK * ink.sum():
        return None
    return blank, Parting(axis, end, begin)


def _names_apart(named: list[tuple[float, str]]) -> tuple[int, int] | None:
    """Of names ([(px, lead)]) that are two ECGs', px of the last of one and of the first of the other: those
    farthest apart; None where nowhere most leads are named on both sides."""
    at, leads = zip(*sorted(named, key=lambda name: name[0]))
    between = [
        (int(at[k - 1]), int(at[k]))
        for k in range(OTHER_NAMED, len(at) - OTHER_NAMED + 1)
        if len(set(leads[:k]) & set(leads[k:])) >= OTHER_NAMED
    ]
    return max(between, key=lambda pair: pair[1] - pair[0], default=None)


def fuller_part(names: Sequence[Name], maps: NetMaps, parting: Parting) -> tuple[Sequence[Name], NetMaps]:
    """Of two ECGs' names and maps those of the one that shows more names, or of the first one."""
    axis, edge = parting.axis, int((parting.end + parting.begin) / 2)
    parts = [[n for n in names if ((n.x, n.y)[axis] >= edge) == second] for second in (False, True)]
    named = [len({n.lead for n in part if n.p >= PLAIN}) for part in parts]
    second = named[1] > named[0]
    trace, marks = maps.trace.copy(), maps.names.copy()
    for seen, at in ((trace, edge), (marks, edge // 4)):
        other = slice(at) if second else slice(at, None)
        seen[(..., other) if axis == 0 else (..., other, slice(None))] = 0.0
    return parts[second], NetMaps(trace, marks)


def rows_set_apart(names: Sequence[Name], trace: np.ndarray) -> tuple[int, int] | None:
    """Where blank paper between rows of other leads makes them stand farther apart than the rest do, and by
    how many px, both multiples of 4; None where it does not."""
    plain = sorted((name for name in names if name.p >= PLAIN), key=lambda name: name.y)
    steps = np.diff([name.y for name in plain])
    rows = steps[steps > NEAR]
    if len(rows) < 2:
        return None
    at, pitch = int(np.argmax(steps)), median(rows)
    upper, lower = ({name.lead for name in part} for part in (plain[: at + 1], plain[at + 1 :]))
    more = int(steps[at] - pitch) // 4 * 4
    if min(len(upper), len(lower)) < _FAR_APART or upper & lower or more < _MORE * pitch:
        return None
    top, bottom = int(plain[at].y), int(plain[at + 1].y)
    start, stop = filters.longest_run((trace[top:bottom] > 0.5).sum(1) == 0)
    return ((top + start + 4) // 4 * 4, more) if stop - start > more + 8 else None
