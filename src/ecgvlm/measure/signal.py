"""Twelve leads at one rate, whatever is printed of them, and what is done with them everywhere in here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecgvlm import filters
from ecgvlm.compiled import COMPILED

FS = 250.0  # Hz, of all work in here
BEFORE, AFTER = 0.48, 0.72  # s around R that delineation looks at
LEAST_PRINTED = 0.5  # s: of a lead of which less is printed nothing is measured
GAP = 0.06  # s: a gap shorter than this is a flaw of the trace, not the end of a strip
ANTI_ALIAS = 0.4  # sigma of the filter before thinning, in samples of what is left
# s by which a strip goes on straight beyond its end, and of its end that tell how.
BEYOND, END = 0.06, 0.03
# Each limb lead as a sum of I and II (Einthoven's and Goldberger's relations).
FROM_TWO = np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])
_FEW = 64  # numbers that are put in order one by one sooner than otherwise
LEVEL_TOP = 0.048  # s for which a QRS may be level between two flanks


def limb_leads(leads: np.ndarray) -> np.ndarray:
    """Rows of the limb leads that [12, w] mV show whole."""
    return np.flatnonzero(np.isfinite(leads[:6]).all(axis=1))


def fit_two(rows: Sequence[int] | np.ndarray, leads: np.ndarray) -> np.ndarray:
    """[2, w] I and II that explain limb leads [k, w] best. rows: which of the six these are, two or more."""
    return np.linalg.lstsq(FROM_TWO[rows], leads, rcond=None)[0]


def resample(leads: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """[12, n] mV at FS without NaN, interpolated where nothing is printed, and [12, n] bool: printed."""
    n = leads.shape[1]
    times = np.arange(int(n * FS / fs)) * (fs / FS)  # in samples of the input
    x, printed = np.zeros((12, len(times))), np.zeros((12, len(times)), bool)
    for row, lead in enumerate(leads):
        finite = np.flatnonzero(np.isfinite(lead))
        if finite.size < LEAST_PRINTED * fs:
            continue
        known = np.zeros(n, bool)
        known[finite] = True
        steps = np.diff(finite)
        for i in np.flatnonzero((steps > 1) & (steps <= GAP * fs)):
            known[finite[i] : finite[i + 1]] = True
        full = np.interp(np.arange(n), finite, lead[finite].astype(float))
        if fs > FS:
            full = filters.gaussian(full, ANTI_ALIAS * fs / FS)
        x[row] = _at(full - full[0], times)
        printed[row] = known[np.minimum(np.round(times).astype(int), n - 1)]
        _extend(x[row], printed[row])
    return x, printed


def _at(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """[m] values at times in samples, by a cubic spline, which passes through the samples [n] themselves."""
    whole = times.astype(int)
    if (whole == times).all():
        return values[whole]
    from scipy.ndimage import map_coordinates  # takes longer to import than a page to read

    return map_coordinates(values, times[None], order=3, mode="nearest")


def _extend(lead: np.ndarray, printed: np.ndarray) -> None:
    """Goes on straight beyond each strip's ends, in place: no end shall look like a sharp bend."""
    few, far = round(END * FS), round(BEYOND * FS)
    for first, stop in filters.runs(printed):
        if stop - first > 2 * few:
            head, tail = lead[first : first + few], lead[stop - few : stop]
            before, after = min(far, first), min(far, len(lead) - stop)
            slope = (head[few // 2 :].mean() - head[: few // 2].mean()) / (few / 2)
            lead[first - before : first] = head[0] - slope * np.arange(before, 0, -1)
            slope = (tail[few // 2 :].mean() - tail[: few // 2].mean()) / (few / 2)
            lead[stop : stop + after] = tail[-1] + slope * np.arange(1, after + 1)


def peaks_of(y: np.ndarray, distance: int) -> np.ndarray:
    """Indices of local maxima at least `distance` apart, the higher ones first served; ascending."""
    inner = np.flatnonzero((y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:])) + 1
    free = np.ones(len(y), bool)
    kept = []
    for i in inner[np.argsort(-y[inner])]:
        if free[i]:
            kept.append(i)
            free[max(0, i - distance) : i + distance] = False
    return np.sort(np.array(kept, int))


def highest(y: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """[k] maxima of y over stretches, 0 where one lies outside."""
    return np.array([y[max(0, a) : max(0, b)].max(initial=0.0) for a, b in zip(first, last)])


def nanmedian(values: np.ndarray, axis: int) -> np.ndarray:
    """numpy.nanmedian without its warning for slices that are all NaN, and faster."""
    few = values.shape[axis] <= _FEW
    return COMPILED.nanmedian(values, axis) if COMPILED and few else _nanmedian(values, axis)


def _nanmedian(values: np.ndarray, axis: int) -> np.ndarray:
    """`nanmedian` of many, or where nothing is compiled."""
    ordered, half = np.sort(values, axis=axis), values.shape[axis] // 2  # NaN last
    if half and np.isfinite(values).all():
        return (ordered.take(values.shape[axis] - 1 - half, axis) + ordered.take(half, axis)) / 2
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    high = np.where(count % 2 == 0, high, low)
    middle = np.where(count > 0, (low + high) / 2, np.nan)
    return np.squeeze(middle, axis)


def column(second: float) -> int:
    """Column of the median beat."""
    return round((BEFORE + second) * FS)
