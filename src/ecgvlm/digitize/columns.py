"""Where the columns of a page's rows begin and end: equal parts of a row, with blank paper between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.arrangement import Arrangement
from ecgvlm.digitize.extent import (
    NAME_IN,
    SECOND,
    SHORTEST,
    WIDEST_GAP,
    Extent,
    is_whole,
    nearest_start,
    off_seconds,
)
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.rows import STROKE
from ecgvlm.quantile import median

FARTHEST_NAME = 10.0 * PX_PER_MM  # from a strip's beginning to its name at most
_NARROWEST, _WHOLE = 10.0 * PX_PER_MM, 0.9  # of slow paper's columns, and part of them that must be seen
_NARROW_NAMED = 11  # leads that it must name
_NARROWEST_GAP = 0.8 * PX_PER_MM
_MOST_GAP = 2.0  # of a column's length, that the paper between columns may be wide
_MEETING = 0.3  # of a column's length, to either side of where columns meet, where wide paper lies
_ABOUT_GAP = 6.0 * PX_PER_MM  # to either side of where columns meet, that a gap is looked for
_GAP_OFF = 3.0 * PX_PER_MM  # by which a gap that is seen may differ from the one that whole seconds leave
_UNEVEN = 0.3 * PX_PER_MM  # by which the beginning of a column may lie off even distances
_CUT_SHORT = 3.0 * PX_PER_MM  # by which a rhythm strip's end, if level, may go unseen
_SEEN_THROUGH = 0.8  # of a row, that a rhythm strip must be long to tell how long rows are


@dataclass(frozen=True)
class Column:
    """x0, x1: px at which its strips begin and end. since: px of printed time between the row's beginning and
    x0."""

    x0: float
    x1: float
    since: float


@dataclass(frozen=True)
class Columns:
    """fit: of the names. extent: of the rows, which may be cut off. blank: [W] whether most rows show blank
    paper there. to_scale: whether mm are known, so that columns may be taken to print a whole number of
    seconds together."""

    fit: Arrangement
    extent: Extent
    blank: np.ndarray
    to_scale: bool

    def shown(self) -> dict[int, Column]:
        """The columns by their numbers. Of rows that are cut off, columns too short to read and, where much
        is missing, those without any name are left out."""
        if self.fit.columns == 1:
            only = Column(self.start, self.extent.right, 0.0)
            return {0: only} if only.x1 - only.x0 >= SHORTEST else {}
        columns = {k: self._column(k) for k in range(self.fit.columns)}
        columns = {k: column for k, column in columns.items() if column.x1 - column.x0 >= self._shortest}
        nameless = set(columns) - self.fit.columns_named()
        nearly_whole = self._whole or is_whole(self.fit, self.extent.left, self.extent.right)
        if self.fit.named and (len(nameless) > 1 or not nearly_whole):
            return {k: column for k, column in columns.items() if k not in nameless}
        return columns

    @cached_property
    def start(self) -> float:
        """px where the rows begin or, where the picture's edge cuts them off, began.

        A row as long as its names stand apart is whole. Else one of its ends is missing: that which lets the
        names stand where they usually do.
        """
        fit, left, right = self.fit, self.extent.left, self.extent.right
        if fit.columns == 1:
            # Names far inside are those of a column whose left neighbour is no part of this layout, unless
            # they stand at the ends of the rows.
            at_end = right - fit.xs[0] < SHORTEST
            return left if at_end or fit.xs[0] - left < 2 * FARTHEST_NAME else fit.xs[0] - NAME_IN
        if self._whole:
            return left
        nearest = nearest_start(fit, left, right)
        return nearest if abs(fit.xs[0] - nearest - NAME_IN) < FARTHEST_NAME else fit.xs[0] - NAME_IN

    @cached_property
    def wide(self) -> float:
        """px of blank paper between columns that all stand wide apart: 0 where they do not."""
        n, width = self.fit.columns, self.extent.width
        runs = filters.runs(self.blank[int(self.extent.left) : int(self.extent.right)])
        gaps = []
        for k in range(1, n):
            first, last = (k - _MEETING) * (width / n), (k + _MEETING) * (width / n)
            gaps.append(max((b - a for a, b in runs if a < last and b > first), default=0))
        alike = n > 1 and min(gaps) > WIDEST_GAP and np.ptp(gaps) < _GAP_OFF
        return median(gaps) + STROKE if alike and max(gaps) < _MOST_GAP * (width - sum(gaps)) / n else 0.0

    @cached_property
    def _whole(self) -> bool:
        gap = 1.1 * self.wide or self._gap_about_names()
        return is_whole(self.fit, self.extent.left, self.extent.right, gap)

    def _gap_about_names(self) -> float:
        """px of blank paper between columns, wherever it lies about their names; 0 where there is none."""
        half, gaps = self.fit.dx / 2, []
        for x in self.fit.xs[1:]:
            start, stop = filters.longest_run(self.blank[int(max(0.0, x - half)) : int(x + half)])
            gaps.append(stop - start)
        return min(WIDEST_GAP, median(gaps)) if gaps else 0.0

    @cached_property
    def _gap(self) -> float:
        """px of blank paper between two columns."""
        if self.wide:
            return self.wide
        return self._gap_of_whole_row() if self._whole else self._gap_of_cut_row()

    def _gap_of_whole_row(self) -> float:
        n, width, through = self.fit.columns, self.extent.width, self.extent.through
        gap = self._gap_seen(width / n)
        if through is not None and self._is_seen_through(through):
            # What columns and gaps take more than a rhythm strip are the gaps, unless that is too much.
            more = (width - through) / (n - 1)
            gap = more if _NARROWEST_GAP < more < max(WIDEST_GAP, gap + _GAP_OFF) else 0.0
        return _whole_seconds(width, gap, n) if gap and self.to_scale else gap

    def _gap_of_cut_row(self) -> float:
        fit, through = self.fit, self.extent.through
        if self.to_scale and through is not None and self.extent.width - through > 4 * _NARROWEST_GAP:
            # A rhythm strip that ends before the columns do was not cut off with them.
            part = SECOND / fit.columns
            return float(np.clip(fit.dx - part * round(through / fit.columns / part), 0.0, WIDEST_GAP))
        return self._gap_seen(fit.dx)

    def _gap_seen(self, step: float) -> float:
        """px of blank paper about where columns meet that begin a step (px) after each other."""
        gaps = []
        for k in range(1, self.fit.columns):
            place = self.start + k * step
            first, last = max(0, place - _ABOUT_GAP), min(len(self.blank), place + _ABOUT_GAP)
            start, stop = filters.longest_run(self.blank[int(first) : int(last)])
            gaps.append(stop - start + STROKE if stop - start >= _NARROWEST_GAP else 0.0)
        return median(gaps)

    def _is_seen_through(self, through: float) -> bool:
        """Whether a rhythm strip was seen to its end: about as long as the row, of whole seconds."""
        width = self.extent.width
        whole = not self.to_scale or off_seconds(through) < off_seconds(width) + _CUT_SHORT
        return through > _SEEN_THROUGH * width and whole

    @cached_property
    def _window(self) -> float:
        """px of a column without the blank paper after it."""
        n = self.fit.columns
        return (self.extent.width - self._gap * (n - 1)) / n if self._whole else self.fit.dx - self._gap

    @cached_property
    def _pitch(self) -> float:
        """px from the beginning of one column to the next one's."""
        told = self._window + self._gap
        return self._pitch_seen(told) if self._gap and self._whole else told

    def _pitch_seen(self, told: float) -> float:
        """The pitch as the ink after blank paper shows it, else as told."""
        n, reach, begins = self.fit.columns, int(_GAP_OFF), [self.start]
        for k in range(1, n):
            place = int(self.start + k * told)
            near = self.blank[max(0, place - reach) : place + reach]
            last = np.flatnonzero(near[:-1] & ~near[1:])
            if not len(last):
                return told
            ends = max(0, place - reach) + last + 1 + (STROKE - 1) / 2
            begins.append(float(ends[np.argmin(np.abs(ends - self.start - k * told))]))
        line = np.polyfit(np.arange(n), begins, 1)
        even = np.abs(begins - np.polyval(line, np.arange(n))).max() < _UNEVEN
        return float(line[0]) if even else told

    @cached_property
    def _shortest(self) -> float:
        """px that a column must show."""
        if len(self.fit.named) < _NARROW_NAMED:
            return SHORTEST  # what is narrow is far from its own scale
        return min(SHORTEST, max(_NARROWEST, _WHOLE * self._window))

    def _column(self, number: int) -> Column:
        left, right = self.extent.left, self.extent.right
        x0 = self.start + number * self._pitch
        # Beside a name, lines that nothing rises from may go unseen: then only the page ends the column.
        x1 = min(x0 + self._window, right if right - x0 >= self._shortest else len(self.blank) - 1.0)
        cut = max(0.0, left - x0)
        return Column(x0 + cut, x1, number * self._window + cut)


def _whole_seconds(width: float, gap: float, columns: int) -> float:
    """px of blank paper between columns of a row that prints whole seconds on this width, given the gap seen.

    Ink is wider than the trace and stray ink narrows a gap: an error that every further column adds to.
    """
    step = SECOND / columns
    windows = step * np.arange(1, width / step)
    gaps = (width - columns * windows) / (columns - 1)
    nearest = float(gaps[np.argmin(np.abs(gaps - gap))])
    return max(0.0, nearest) if abs(nearest - gap) < _GAP_OFF else gap
