"""Quantiles, which are asked for everywhere, and often of few numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def quantiles(values: np.ndarray, *shares: float) -> np.ndarray:
    """numpy.quantile(values, shares) of [n] numbers without NaN, in a third of the time. shares: 0..1."""
    ordered = np.sort(values, axis=None)
    at = np.multiply(shares, len(ordered) - 1)
    low = at.astype(int)
    part = at - low
    below, above = ordered[low], ordered[np.minimum(low + 1, len(ordered) - 1)]
    return below + part * (above - below)


def quantile(values: np.ndarray, share: float) -> float:
    return float(quantiles(values, share)[0])


def median(values: ArrayLike) -> float:
    """numpy.median(values), NaN where there are none or one is NaN: in a fifth of the time for few numbers,
    and without the import of numpy.ma."""
    ordered = np.sort(values, axis=None)
    if not len(ordered):
        return float("nan")
    half = len(ordered) // 2
    middle = (float(ordered[half]) + float(ordered[~half])) / 2
    return middle if ordered[-1] == ordered[-1] else float("nan")
