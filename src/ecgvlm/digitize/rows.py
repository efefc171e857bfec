"""The ink of rows of traces on a rectified page: on which lines they run, where they begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.quantile import median, quantiles

LONG = 100.0 * PX_PER_MM  # of a rhythm strip's ink at least
STROKE = 0.35 * PX_PER_MM  # by which ink is longer than the trace that it draws, half of it at either end
NAME_ABOVE = 0.15  # of the rows' distance, that names usually stand above their traces
_OFF_PLACE = 0.15  # of the rows' distance, that a trace may lie beside its row
_FARTHEST = 0.9  # of the rows' distance, that traces may run from their names
_NEAR_LINE = 0.2  # of the rows' distance, that a trace runs from where all rows' names tell
_ABOUT = 0.3  # of the rows' distance, to either side of a row's line, that is no other row's
_NEARLY_ALL = 0.45  # the same where hardly any of its ink is to be missed
_STRAIGHT = 0.5 * PX_PER_MM  # a row whose ink rises and falls less than this is a line, no trace
_STUB = int(1.0 * PX_PER_MM)  # px of a foot's end that may look like the beginning of a trace
_BLANK = 0.34  # share of the rows with ink below which a place counts as blank
_SOLID, _SOLID_GAP = 4.0 * PX_PER_MM, int(1.6 * PX_PER_MM)  # of runs of a trace's ink: length, and px of gaps


@dataclass(frozen=True)
class RowInk:
    """ink: [H, W] whether a px of the page is a trace's. dy: px between rows."""

    ink: np.ndarray
    dy: float

    @cached_property
    def profile(self) -> np.ndarray:
        """[H] see `profile`."""
        return profile(self.ink)

    def lines(self, name_ys: Sequence[float], first: bool, last: bool) -> list[float]:
        """px at which the rows' traces run: with most ink within a row of each name, all shifted alike.

        first, last: whether no rhythm strip stands before these rows, or follows them.
        """
        shift = self._shift(name_ys, first, last)
        return [self.line_near(y + shift) for y in name_ys]

    def _shift(self, name_ys: Sequence[float], first: bool, last: bool) -> float:
        """px that the traces run below their names, all alike."""
        reach = int(_FARTHEST * self.dy)
        lags = np.arange(-reach, reach + 1)
        around = [self.profile[max(0, int(y) - reach) : int(y) + reach + 1] for y in name_ys]
        share = np.minimum(self.profile / median([part.max(initial=1e-6) for part in around]), 1.0)
        # A row's own trace may lie off its place.
        share = (share + filters.greatest(share, 2 * int(_OFF_PLACE * self.dy) + 1)) / 2
        sums = np.zeros(len(lags))
        for y in name_ys:
            # Every row must have its ink there: a shift by one row would leave the last one empty.
            sums += share[np.clip(np.round(y + lags).astype(int), 0, len(share) - 1)]
        # Nor is there ink above a page's first row, or below its last one. Names stand above or on the trace
        # more often than below it.
        beyond = [name_ys[0] - self.dy + lags] * first + [name_ys[-1] + self.dy + lags] * last
        for ys in beyond:
            at = np.clip(np.round(ys).astype(int), 0, len(share) - 1)
            sums -= np.where((ys > 0) & (ys < len(share)), share[at], 0.0)
        sums -= 0.6 * ((lags / self.dy - NAME_ABOVE) / 0.6) ** 2
        return float(lags[int(np.argmax(sums))])

    def line_near(self, y: float) -> float:
        """px of the row with most ink about y, which itself it is beyond the page."""
        near = np.arange(int(y - _NEAR_LINE * self.dy), int(y + _NEAR_LINE * self.dy) + 1)
        near = near[(near >= 0) & (near < len(self.profile))]
        return float(near[int(np.argmax(self.profile[near]))]) if len(near) else y

    def band(self, y: float, rows: float = _ABOUT) -> np.ndarray:
        """The ink within so many rows of a row's line; none of a row above the picture."""
        return self.ink[max(0, int(y - rows * self.dy)) : max(0, int(y + rows * self.dy) + 1)]

    def nearly_all(self, y: float) -> np.ndarray:
        """The band of a row but for what may be another row's."""
        return self.band(y, _NEARLY_ALL)

    def beats(self, y: float, long: float = LONG) -> bool:
        """Whether a row's ink is that of a rhythm strip: so many px long, and no straight line as an axis."""
        band = self.band(y)
        inked = np.any(band, axis=0)
        if inked.sum() < long:
            return False
        top = band.argmax(0)[inked]
        return bool(np.ptp(quantiles(top, 0.02, 0.98)) > _STRAIGHT)

    def ends(self, ys: Sequence[float]) -> tuple[float, float]:
        """px at which rows on these lines begin and end: the median, so that a stray mark moves nothing."""
        firsts, lasts = [], []
        for y in ys:
            columns = np.flatnonzero(_solid(np.any(self.nearly_all(y), axis=0)))
            if len(columns):
                firsts.append(_without_stub(columns)[0])
                lasts.append(columns[-1])
        if not firsts:
            return 0.0, float(self.ink.shape[1] - 1)
        # A column of px is half a px wide to either side.
        return median(firsts) + (STROKE - 1) / 2, median(lasts) - (STROKE - 1) / 2

    def blank(self, ys: Sequence[float]) -> np.ndarray:
        """[W] whether most rows on these lines show blank paper in a column of px."""
        bands = np.stack([self.nearly_all(y).any(0) for y in ys])
        return bands.mean(0) < _BLANK


def profile(ink: np.ndarray) -> np.ndarray:
    """[H] how much ink the page has in each row of px and the few around it."""
    kernel = np.hanning(int(2.4 * PX_PER_MM) | 1)
    return np.convolve(ink.sum(1).astype(float), kernel / kernel.sum(), "same")


def closed(columns: np.ndarray, gap: int) -> np.ndarray:
    """[n] bool with gaps of at most so many between what holds filled."""
    out = columns.copy()
    at = np.flatnonzero(columns)
    apart = np.diff(at)
    for k in np.flatnonzero((apart > 1) & (apart <= gap + 1)):
        out[at[k] : at[k + 1]] = True
    return out


def _solid(columns: np.ndarray) -> np.ndarray:
    """Columns of ink that belong to runs, small gaps closed."""
    keep = np.zeros_like(columns, bool)
    for a, b in filters.runs(closed(columns, _SOLID_GAP)):
        if b - a >= _SOLID:
            keep[a:b] = columns[a:b]
    return keep


def _without_stub(columns: np.ndarray) -> np.ndarray:
    """Columns of ink without a first few that stand alone: where a calibration pulse's foot ends."""
    gap = int(np.argmax(np.append(np.diff(columns[: _STUB + 1]) > 1, False)))
    alone = len(columns) > _STUB and columns[gap + 1] - columns[gap] > 1
    return columns[gap + 1 :] if alone else columns
