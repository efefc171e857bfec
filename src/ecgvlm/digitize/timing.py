"""Beats tell what a page's geometry leaves open: leads printed beside each other show them at the same time.

Where columns stand a little apart, or paper without a grid was straightened a little askew, strips come out
early or late by amounts that grow from column to column and from row to row. These are few enough to be read
off the beats of all strips together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.page import Strip, joined_leads
from ecgvlm.measure.beats import read_beats
from ecgvlm.measure.signal import FS, resample
from ecgvlm.quantile import median, quantile

_REACH = 0.4  # s by which two strips may be off against each other
# What strips may be late by, in s: in every further column; in every row above the last; and of the latter
# more in every further column. Greatest values, coarse steps, and what is usual.
_MOST, _STEPS, _USUAL = (0.08, 0.05, 0.03), (0.008, 0.004, 0.004), np.array([0.03, 0.02, 0.005])
_FINER = 4  # parts of a coarse step
_UNLIKELY = 0.01  # what a usual delay must gain in likeness, the square of twice as much four times so
_SAME_LEAD = 4.0  # what two strips of one lead, which show the very same, weigh beside others
# By which columns must be more like the rhythm strip's beginning than like their own part of it, where they
# may be off by so many s: on paper that is bent they stand some mm apart.
_TELLS = {0.012: 0.15, 0.1: 0.3}
_ONE_BEAT = 0.5  # s that hold a whole beat
_SAME_BEAT = 0.012  # s by which the same beats may be off in two columns, from what all of them are
_VARIES, _EXACTLY = 0.006, 0.25  # s, standard deviation of RR intervals that tell beats apart; part of it
_CHANCE = 0.06  # s by which the gap between two columns must differ from whole beats
_RECORD, _RECORD_OFF = 10.0, 0.3  # s that records last
_SEVERAL = 3  # columns of one beat each that are of one time if it is at one place
_OFF = 0.045  # s by which columns of one time may be off where no rhythm strip tells: leads begin apart
_PLAINLY = 0.15  # likeness that a column must gain to be moved by itself, and s beyond which it is worth it
_BY_ITSELF = 0.02
_WORTH = 0.015  # by which the mean likeness must gain, or geometry has the last word


def delays(
    strips: Sequence[tuple[np.ndarray, np.ndarray]],
    names: Sequence[str],
    columns: Sequence[int | None],
    rows: Sequence[int],
    ruled: bool,
) -> np.ndarray:
    """[k] s by which each strip's times are late, from its beats beside those of the others.

    strips: t [n] s and mv [n] of each. names: their leads. columns: None for a rhythm strip, which is right
    by definition. rows: from the top; rhythm strips are the last. ruled: whether a grid set the page
    straight, which leaves only the columns' distance open. All zero where nothing explains the beats better.
    """
    late = np.zeros(len(strips))
    # What sets columns against each other shows beside a rhythm strip only.
    several = len(set(columns) - {None}) > 1
    free = [0] * (several and None in columns) + ([] if ruled else [1] + [2] * several)
    pairs = _pairs(strips, names, columns) if free else None
    if pairs is None:
        return late
    column = np.array([0 if c is None else c for c in columns], float)
    up = np.array(rows, float) - max(rows)
    basis = np.array([column, up, column * up])  # [3, k]
    growth = _growth(pairs, basis, free)
    if growth is not None:
        late = growth @ basis
    apart = [[k for k, c in enumerate(columns) if c == own] for own in set(columns) - {None}]
    if not ruled:
        apart += [[k] for column in apart for k in column]
    for own in apart:
        beside = [k for k, (a, b) in enumerate(pairs.strips) if a in own and columns[b] is None]
        if beside:
            first, second = pairs.strips[beside].T
            rest = np.round((late[second] - late[first]) * FS).astype(int)
            late[own] += _alone(pairs.table[beside], rest)
    return late


@dataclass(frozen=True)
class _Pairs:
    """Pairs of strips that show the same time.

    strips: [pairs, 2] numbers of both. weight: [pairs]. table: [pairs, lags] likeness with the second late by
    each lag against the first, see `_likeness`.
    """

    strips: np.ndarray
    weight: np.ndarray
    table: np.ndarray

    def likeness(self, late: np.ndarray) -> np.ndarray:
        """[m, pairs] s by which the second ones are late against the first -> [m] mean likeness."""
        lag = late * FS + self.table.shape[1] // 2
        low = np.clip(np.floor(lag).astype(int), 0, self.table.shape[1] - 2)
        at, part = np.arange(len(self.strips)), lag - low
        likeness = (1 - part) * self.table[at, low] + part * self.table[at, low + 1]
        return np.where((part < 0) | (part > 1), 0.0, likeness) @ self.weight / self.weight.sum()


def _pairs(
    strips: Sequence[tuple[np.ndarray, np.ndarray]], names: Sequence[str], columns: Sequence[int | None]
) -> _Pairs | None:
    """Strips of one column, and each with the rhythm strips; None of fewer than two pairs. See `delays`."""
    n = int(FS * (max(float(t[-1]) for t, _ in strips) + _REACH))
    curves = [_steepness(t, mv, n) for t, mv in strips]
    pairs, tables = [], []
    for i, j in combinations(range(len(strips)), 2):
        a, b = curves[i], curves[j]
        if a is not None and b is not None and (columns[i] == columns[j] or None in (columns[i], columns[j])):
            table = _likeness(a, b)
            if table is not None:
                pairs.append((i, j))
                tables.append(table)
    if len(pairs) < 2:
        return None
    i, j = np.array(pairs).T
    weight = np.where(np.array(names)[i] == np.array(names)[j], _SAME_LEAD, 1.0)
    return _Pairs(np.array(pairs), weight, np.array(tables))


def _growth(pairs: _Pairs, basis: np.ndarray, free: Sequence[int]) -> np.ndarray | None:
    """[3] s by which strips are late, of each of the basis [3, k]; None where geometry has the last word.

    free: which of the three are to be found.
    """
    first, second = pairs.strips.T
    between = basis[:, second] - basis[:, first]

    def value(parameters: np.ndarray) -> np.ndarray:
        """[m, 3] -> [m]: mean likeness, less what unusual delays must gain."""
        return pairs.likeness(parameters @ between) - _UNLIKELY * ((parameters / _USUAL) ** 2).sum(1)

    best = np.zeros(3)
    for finer in (1, 1, _FINER, _FINER):
        for k in free:
            step = _STEPS[k] / finer
            span = _MOST[k] if finer == 1 else 6 * step
            tried = np.repeat(best[None], 2 * round(span / step) + 1, 0)
            tried[:, k] = (best[k] if finer > 1 else 0.0) + np.linspace(-span, span, len(tried))
            best = tried[int(np.argmax(value(tried)))]
    return best if value(best[None])[0] - value(np.zeros((1, 3)))[0] > _WORTH else None


def _alone(table: np.ndarray, rest: np.ndarray) -> float:
    """s by which a column is late by itself, whose grid may be drawn apart from that of the others, or one of
    its strips, where no grid set the page straight.

    table: [k, lags] likeness of its strips and rhythm strips, these late by each lag; rest: [k] samples by
    which these are known to be late. Beyond the table they are not alike. 0 where it is not plainly more
    alike elsewhere.
    """
    middle, most = table.shape[1] // 2, round(_MOST[0] * FS)
    lags = np.arange(-most, most + 1)
    at = middle + rest[:, None] + lags
    compared = (at >= 0) & (at < table.shape[1])
    likeness = np.where(compared, np.take_along_axis(table, at.clip(0, table.shape[1] - 1), 1), 0.0).mean(0)
    lag = int(lags[np.argmax(likeness)])
    plain = likeness.max() - likeness[most] > _PLAINLY and abs(lag) > _BY_ITSELF * FS
    return -lag / FS if plain else 0.0


def same_time(strips: Sequence[Strip], columns: Sequence[int | None]) -> bool:
    """Whether all columns show the same time, as their beats tell; their t say that they follow each other.

    columns: None for a rhythm strip. Beside a rhythm strip the beats of every column tell which part of it
    they are. Without one, beats that fall together in every column would be a rare chance, unless a column
    lasts a whole number of beats; then it is taken for granted that the columns follow each other.
    """
    begin = {c: min(s.t0 for s, k in zip(strips, columns) if k == c) for c in set(columns) if c is not None}
    if len(begin) < 2:
        return False
    if None not in columns:
        return _beats_tell_one_time(strips, np.sort(list(begin.values())))
    first = min(begin.values())
    n = int(FS * (max(s.t1 for s in strips) + _REACH))
    rhythm = [_steepness(s.t, s.mv, n) for s, c in zip(strips, columns) if c is None]
    later = [(s, begin[c] - first) for s, c in zip(strips, columns) if c is not None and begin[c] > first]
    as_said, together = ([_steepness(s.t - by * off, s.mv, n) for s, by in later] for off in (0, 1))
    return any(_gain(rhythm, together, as_said, off) > tells for off, tells in _TELLS.items())


def _beats_tell_one_time(strips: Sequence[Strip], begin: np.ndarray) -> bool:
    """Whether columns show the same beats. begin: s where they begin if they follow each other.

    A rhythm as regular as a clock may bring them together by chance: then the last beat of a column is as far
    from the first of the next one as any beat from the next, were the columns to follow each other.
    """
    said = read_beats(*resample(joined_leads(strips, FS), FS))[0] / FS
    column = np.searchsorted(begin, said, "right") - 1
    beats = [said[column == k] - start for k, start in enumerate(begin)]
    counts = [len(b) for b in beats]
    if not min(counts):
        return False
    first, intervals = beats[0], np.concatenate([np.diff(b) for b in beats])
    off = [other - first[np.abs(other[:, None] - first).argmin(axis=1)] for other in beats[1:]]
    shift = [median(x) for x in off]
    apart = np.concatenate([np.abs(x - y) for x, y in zip(off, shift)])
    if median(apart) > _SAME_BEAT or np.abs(shift).max() > _OFF or max(counts) - min(counts) > 1:
        return False
    if not len(intervals):
        return len(beats) >= _SEVERAL  # averaged beats
    rr, spread = median(intervals), float(np.std(intervals))
    if spread > _VARIES and median(apart) < _EXACTLY * spread:
        return True  # beats that differ by more cannot fall together by chance
    if abs(float(np.diff(begin).min()) - _RECORD) < _RECORD_OFF:
        return True  # a usual record in each column; hardly one of twice as long
    gaps = np.diff(said)[np.diff(column) > 0]
    return bool((np.abs(gaps - rr * np.maximum(np.round(gaps / rr), 1)) > _CHANCE).any())


def _gain(
    rhythm: Sequence[np.ndarray | None], together: Sequence[np.ndarray | None],
    as_said: Sequence[np.ndarray | None], off: float,
) -> float:  # fmt: skip
    """How much more alike rhythm strips and later columns are as one time than as they are said to be."""
    gains = []
    for strip, (one, other) in product(rhythm, zip(together, as_said)):
        a, b = _alike(strip, one, off), _alike(strip, other, off)
        if a is not None and b is not None:
            gains.append(a - b)
    return median(gains) if gains else 0.0


def _alike(a: np.ndarray | None, b: np.ndarray | None, off: float) -> float | None:
    """Likeness of two curves up to so many s off, None where they do not show the same time."""
    table = None if a is None or b is None else _likeness(a, b, _ONE_BEAT, off)
    return None if table is None else float(table.max())


def _steepness(t: np.ndarray, mv: np.ndarray, n: int) -> np.ndarray | None:
    """[n] at `FS` Hz: how steep a strip is, 0 to about 1, smoothed; None where too little of it is known."""
    known = np.isfinite(mv)
    if known.sum() < 0.5 * FS or np.ptp(t[known]) < 0.8:
        return None
    grid = np.arange(n) / FS
    inside = (grid >= t[known][0]) & (grid <= t[known][-1])
    x = np.interp(grid[inside], t[known], mv[known])
    out = np.zeros(n)
    out[inside] = steepness(x, 0.008 * FS, 0.012 * FS)
    return out


def steepness(curve: np.ndarray, slope: float, smooth: float) -> np.ndarray:
    """[n] how steep a curve is, 0 to about 1. slope, smooth: sigma of its slopes and of these, in samples."""
    steep = np.abs(filters.gaussian(curve, slope, 1))
    return filters.gaussian(np.minimum(steep / (quantile(steep, 0.98) + 1e-9), 1.2), smooth)


def _likeness(a: np.ndarray, b: np.ndarray, least: float = 1.0, most: float = _REACH) -> np.ndarray | None:
    """[2 r + 1]: correlation of two curves over what both show, with b late by up to `most` s against a.

    None where both show less than `least` s at once.
    """
    reach = round(most * FS)
    both = np.flatnonzero((a > 0) & (b > 0))
    if len(both) < least * FS:
        return None
    first, last = both[0], both[-1] + 1
    x = a[first:last]
    around = np.concatenate([np.zeros(reach), b, np.zeros(reach)])[first : last + 2 * reach]
    return correlation(around, x)


def correlation(around: np.ndarray, part: np.ndarray) -> np.ndarray:
    """[n - m + 1]: of a part [m] with each stretch of its length of what it may lie in [n], 1 where alike."""
    products = np.correlate(around, part, "valid")
    squares = np.cumsum(np.concatenate([[0.0], around**2]))
    power = squares[len(part) :] - squares[: -len(part)]
    return products / np.sqrt(power * (part @ part) + 1e-9)
