"""Quantiles, which are asked for everywhere, and often of few numbers. numpy's own take longer, and at their
first call import numpy.ma, which takes as long as all of them do in a page."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike


def quantiles(values: np.ndarray, *shares: float, axis: Literal[0] | None = None) -> np.ndarray:
    """numpy.quantile(values, shares, axis) of numbers without NaN, in a third of the time. shares: 0..1."""
    ordered = np.sort(values, axis=axis)
    at = np.multiply(shares, len(ordered) - 1)
    low = at.astype(int)
    part = (at - low).reshape(-1, *[1] * (ordered.ndim - 1))
    below, above = ordered[low], ordered[np.minimum(low + 1, len(ordered) - 1)]
    return below + part * (above - below)


def quantile(values: np.ndarray, share: float) -> float:
    return float(quantiles(values, share)[0])


def median(values: ArrayLike) -> float:
    """numpy.median(values), NaN where there are none or one is NaN: of few numbers in a tenth of the time."""
    ordered = np.sort(values, axis=None)
    if not len(ordered):
        return float("nan")
    half = len(ordered) // 2
    middle = (float(ordered[half]) + float(ordered[~half])) / 2
    return middle if ordered[-1] == ordered[-1] else float("nan")
