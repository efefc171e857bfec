"""How long the rows and rhythm strips of a page are: where their traces begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgvlm.digitize.arrangement import Arrangement
from ecgvlm.digitize.pagenet import PULSE, PX_PER_MM, NetMaps
from ecgvlm.digitize.rows import RowInk
from ecgvlm.quantile import median

SHORTEST = 20.0 * PX_PER_MM  # a strip shorter than this holds no whole beat
WIDEST_GAP = 11.5 * PX_PER_MM  # blank paper between two columns, unless all of them stand wider apart
NAME_IN = 1.0 * PX_PER_MM  # from a strip's beginning to its name, usually
SECOND = 25.0 * PX_PER_MM  # of printed time
_PULSE = 0.15  # probability from which on a mark counts as a calibration pulse
_PULSE_BEFORE = 12.0 * PX_PER_MM  # from a calibration pulse to the traces at most
_LONGEST_FOOT, _SHORTEST_FOOT = 12.0 * PX_PER_MM, 2.0 * PX_PER_MM
_AFTER = 0.6  # of a column, that traces begin before the first name at least where names follow their strips
_TOO_LONG = 4.0 * PX_PER_MM  # by which a row may be longer than its columns' names tell
_TOO_SHORT = 4.0 * PX_PER_MM  # by which it may be shorter, but for a gap as wide as those between columns


@dataclass(frozen=True)
class Extent:
    """left, right: px at which the rows begin and end. stops: px at which each rhythm strip ends. through: px
    that rhythm strips are long, None where none tells."""

    left: float
    right: float
    stops: tuple[float, ...]
    through: float | None

    @property
    def width(self) -> float:
        return self.right - self.left


def extent_of(
    fit: Arrangement, maps: NetMaps, rows: RowInk, lines: Sequence[float], rhythm: Sequence[float]
) -> Extent:
    """lines, rhythm: px of the rows' lines and of the rhythm strips'."""
    left, right = rows.ends(lines)
    # Columns may stand apart; a rhythm strip runs through, and is then shorter.
    seen = [rows.ends([y]) for y in rhythm]
    stops = [stop for _, stop in seen]
    for begin, _ in seen:
        if not is_whole(fit, left, right) and is_whole(fit, begin, right):
            left = begin  # rows that are too short begin unseen
    if _follow_pulses(maps, left):
        left += _foot(rows, [*lines, *rhythm], left, min(right, median(stops)) if stops else right)
    if fit.columns > 1 and right - left > fit.columns * fit.dx + _TOO_LONG:
        # A line of the paper goes on where the traces end, or what is left of a pulse stands before them.
        left = nearest_start(fit, left, right)
        right = left + fit.columns * fit.dx
    # Behind a rhythm strip something else may go on: then it does not tell how long it is.
    long = [stop - left for stop in stops if stop < right + _TOO_LONG]
    stops = [min(right, max(stop, left + SHORTEST)) for stop in stops]
    return Extent(left, right, tuple(stops), median(long) if long else None)


def is_whole(fit: Arrangement, left: float, right: float, gap: float = WIDEST_GAP) -> bool:
    """Whether rows of several columns are as long as their names stand apart, but for the last gap. gap: px
    of blank paper between columns, at most."""
    after = fit.xs[0] - left > _AFTER * fit.dx and fit.xs[-1] > right  # names stand after their strips
    return after or right - left > fit.columns * fit.dx - gap - _TOO_SHORT


def nearest_start(fit: Arrangement, left: float, right: float) -> float:
    """px where rows begin of which one end is another's or missing: as the left one or the right one tells,
    whichever lets the names stand where they usually do."""
    return min((left, right - fit.columns * fit.dx), key=lambda start: abs(fit.xs[0] - start - NAME_IN))


def off_seconds(length: float) -> float:
    """px by which a length is no whole number of seconds at 25 mm/s."""
    return abs(length / SECOND - round(length / SECOND)) * SECOND


def _follow_pulses(maps: NetMaps, left: float) -> bool:
    """Whether calibration pulses stand before traces that begin at `left`."""
    pulses = [mark.x for mark in maps.marks(_PULSE) if mark.kind == PULSE]
    return any(-_PULSE_BEFORE < x - left < 0 for x in pulses)


def _foot(rows: RowInk, ys: Sequence[float], left: float, right: float) -> float:
    """px of a calibration pulse's foot that runs into the traces: all rows begin with so long a level line.

    It is taken for one only where rows without it last whole seconds.
    """
    level = [_level(rows.nearly_all(y)[:, int(left) : int(left) + int(_LONGEST_FOOT)]) for y in ys]
    foot = float(min(level))
    whole = off_seconds(right - left - foot) < min(PX_PER_MM, 0.5 * off_seconds(right - left))
    return foot if _SHORTEST_FOOT <= foot < int(_LONGEST_FOOT) and whole else 0.0


def _level(band: np.ndarray) -> int:
    """Columns of px that the line with which a row's ink ([h, w]) begins goes on level; 0 without any ink."""
    at = np.flatnonzero(band.any(0))
    if not len(at):
        return 0
    top, bottom = band.argmax(0)[at], band.shape[0] - 1 - band[::-1].argmax(0)[at]
    off = (np.abs(top - median(top[:9])) > 1) | (np.abs(bottom - median(bottom[:9])) > 1)
    return int(at[np.argmax(off)]) if off.any() else int(_LONGEST_FOOT)
