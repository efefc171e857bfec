"""Filters along the last axis of an array, as `scipy.ndimage` has them; it takes longer to import than a page
to read. Beyond its ends an array goes on as its mirror image, or as is said."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ecgvlm.compiled import COMPILED

_WIDE = 64  # of a window
_REACH = 4.0  # sigma at which a Gaussian is cut off


def gaussian(values: np.ndarray, sigma: float, derivative: int = 0) -> np.ndarray:
    """Floats smoothed by a Gaussian, or their first or second derivative. sigma: in samples."""
    if not values.size:
        return values
    rows = np.ascontiguousarray(values).reshape(-1, values.shape[-1])
    smooth = cv2.filter2D(rows, -1, _kernel(sigma, derivative), borderType=cv2.BORDER_REFLECT)
    return smooth.reshape(values.shape)


@cache
def _kernel(sigma: float, derivative: int) -> np.ndarray:
    """[1, n], to be correlated with."""
    reach = int(_REACH * sigma + 0.5)
    x = np.arange(-reach, reach + 1)
    bell = np.exp(-0.5 * (x / sigma) ** 2)
    bell /= bell.sum()
    return (bell * (np.ones(len(x)), x / sigma**2, x**2 / sigma**4 - 1 / sigma**2)[derivative])[None]


def mean(values: np.ndarray, width: int) -> np.ndarray:
    """[n] floats, each the mean of the `width` about it."""
    if not values.size:
        return values
    return cv2.blur(values[None], (width, 1), borderType=cv2.BORDER_REFLECT)[0]


def median(values: np.ndarray, width: int, beyond: Literal["edge", "symmetric"] = "symmetric") -> np.ndarray:
    """Each value the median of the `width` about it, of two the greater. beyond: `mode` of numpy.pad."""
    if not values.size:
        return values
    n = values.shape[-1]
    at = np.arange(n + width - 1) - width // 2
    to_and_fro = at % (2 * n)
    at = at.clip(0, n - 1) if beyond == "edge" else np.minimum(to_and_fro, 2 * n - 1 - to_and_fro)
    return (COMPILED.medians if COMPILED else _medians)(values[..., at], width)


def _medians(values: np.ndarray, width: int) -> np.ndarray:
    """Of the `width` values that begin at each, where nothing is compiled."""
    windows = sliding_window_view(values, width, axis=-1)
    return np.partition(windows, width // 2, axis=-1)[..., width // 2]


def greatest(values: np.ndarray, width: int) -> np.ndarray:
    """[n] or [m, n], each value the greatest of the `width` about it."""
    return _extreme(cv2.dilate, np.maximum, values, width)


def least(values: np.ndarray, width: int) -> np.ndarray:
    """[n] or [m, n], each value the least of the `width` about it."""
    return _extreme(cv2.erode, np.minimum, values, width)


def runs(on: np.ndarray) -> list[tuple[int, int]]:
    """Where each run of what holds ([n] bool) begins, and where it has ended."""
    edges = np.flatnonzero(np.diff(on.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2]))


def longest_run(on: np.ndarray) -> tuple[int, int]:
    """Where the longest run of what holds ([n] bool) begins, and where it has ended; twice 0 without any."""
    return max(runs(on), key=lambda run: run[1] - run[0], default=(0, 0))


def _extreme(
    filtered: Callable[..., np.ndarray], either: np.ufunc, values: np.ndarray, width: int
) -> np.ndarray:
    if not values.size:
        return values
    if width > _WIDE:  # OpenCV looks at all of it for every value; here twice as many are seen each time
        n, before, seen = values.shape[-1], width // 2, 1
        beyond = [(0, 0)] * (values.ndim - 1) + [(before, width - 1 - before)]
        found = np.pad(values, beyond, "edge")
        while 2 * seen <= width:
            found, seen = either(found[..., :-seen], found[..., seen:]), 2 * seen
        return either(found[..., :n], found[..., width - seen : width - seen + n])
    rows = np.atleast_2d(values)
    known = rows if rows.dtype in (np.uint8, np.float32, np.float64) else rows.astype(np.float64)
    return filtered(known, np.ones((1, width), np.uint8)).astype(values.dtype).reshape(values.shape)
