"""Ink that several strips might have drawn: whose it is, and which strip has to leave it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import cv2
import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.path_costs import Corridor, PathCosts, Share
from ecgvlm.digitize.stroke import ROOM, nearest_run

_CLOSE = 2  # px about a path whose ink it explains
_BAR = 3  # px from a strip's end within which a bar may stand
_ALONG = 20  # columns that two strips follow one line, when they do not only cross
_PLAIN_INK, _LEFT = 0.5, 0.5  # worth of ink, and share of such columns that have some, for a line left over
_FAR = 1e4  # px: farther than any row


def yields(costs: PathCosts, corridors: Sequence[Corridor], paths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """[columns] of each strip: where its path runs along another one's and gives way to it.

    Of two strips on one line, the upper one gives way where a line is left above, the lower one where one is
    left below.
    """
    found = [np.zeros(corridor.length, bool) for corridor in corridors]
    left = _LeftOver(costs, corridors, paths)
    from_above = sorted(range(len(corridors)), key=lambda number: corridors[number].y)
    for k, m in combinations(from_above, 2):
        upper, lower = corridors[k], corridors[m]
        for first, last in _along(upper, lower, paths[k], paths[m]):
            path = paths[k][first - upper.x0 : last - upper.x0]
            above = left.share(first, upper.window[0], path - _CLOSE)
            below = left.share(first, path + _CLOSE, lower.window[1])
            if max(above, below) > _LEFT:
                gives_way = k if above > below else m
                x0 = corridors[gives_way].x0
                found[gives_way][first - x0 : last - x0] = True
    return found


def _along(
    upper: Corridor, lower: Corridor, upper_path: np.ndarray, lower_path: np.ndarray
) -> list[tuple[int, int]]:
    """The columns of px, from the first to beyond the last, in which two strips follow one line."""
    first, last = max(upper.x0, lower.x0), min(upper.x0 + upper.length, lower.x0 + lower.length)
    if last - first < _ALONG or upper.y == lower.y:
        return []
    apart = upper_path[first - upper.x0 : last - upper.x0] - lower_path[first - lower.x0 : last - lower.x0]
    return [(first + a, first + b) for a, b in filters.runs(np.abs(apart) <= 1) if b - a >= _ALONG]


@dataclass(frozen=True)
class _LeftOver:
    """Plain ink where none of the paths passes."""

    costs: PathCosts
    corridors: Sequence[Corridor]
    paths: Sequence[np.ndarray]

    def share(self, first: int, top: np.ndarray | int, bottom: np.ndarray | int) -> float:
        """Share of columns, from the first on, that hold some between two pairs of rows ([n], or of all)."""
        n, last = np.broadcast(top, bottom).size, self._counts.shape[1] - 1
        columns = first + np.arange(n)
        upper, lower = np.clip(top, 0, last), np.clip(bottom, 0, last)
        return float((self._counts[columns, lower] > self._counts[columns, upper]).mean())

    @cached_property
    def _counts(self) -> np.ndarray:
        """[W, H / 2] how many pairs of rows, down to there, hold some."""
        plain = self.costs.worth > _PLAIN_INK
        for corridor, path in zip(self.corridors, self.paths):
            inside = corridor.within(self.costs)
            plain[inside.part] &= ~_passes(inside, path)
        return plain.cumsum(1, dtype=np.int16)


def _passes(corridor: Corridor, path: np.ndarray) -> np.ndarray:
    """[columns, pairs of rows] of a strip's window: whether its path passes within `_CLOSE` px."""
    half = (path[1:] + path[:-1]) / 2
    ends = np.stack([path, np.concatenate([path[:1], half]), np.concatenate([half, path[-1:]])])
    first, last = np.floor(ends.min(0)) - _CLOSE // 2, np.ceil(ends.max(0)) + _CLOSE // 2
    pair = np.arange(*corridor.window)
    return (pair >= first[:, None]) & (pair <= last[:, None])


def shares(
    costs: PathCosts,
    corridors: Sequence[Corridor],
    paths: Sequence[np.ndarray],
    yielding: Sequence[np.ndarray],
) -> list[Share]:
    """yielding: [columns] of each strip, where it gives way to another path however near its row lies."""
    claims = np.zeros(costs.cost.shape, np.uint8)
    nearest = np.full(costs.cost.shape, -1, np.int16)  # of the paths that pass, that whose row is nearest
    distance = np.full(costs.cost.shape, np.inf, np.float32)
    passed = []
    for k, (corridor, path) in enumerate(zip(corridors, paths)):
        own, part = _passes(corridor, path), corridor.part
        away = np.abs(2 * np.arange(*corridor.window) - corridor.y).astype(np.float32)
        away = away + np.float32(_FAR) * yielding[k][:, None]
        nearer = own & (away < distance[part])
        nearest[part][nearer] = k
        distance[part] = np.where(nearer, away, distance[part])
        claims[part] += own
        passed.append(own)
    found = []
    for k, (corridor, own) in enumerate(zip(corridors, passed)):
        part = corridor.part
        worth = np.where(claims[part] > own, 0.0, costs.worth[part])
        worth[:_BAR] = worth[len(worth) - _BAR :] = 0.0  # where bars part the strips
        found.append(Share(worth, (nearest[part] >= 0) & (nearest[part] != k)))
    return found


def narrowed(costs: PathCosts, corridors: Sequence[Corridor], paths: Sequence[np.ndarray]) -> list[Corridor]:
    """The corridors with windows that hold the ink which their paths run through, and some about it."""
    dark = cv2.dilate((costs.cost <= np.log(2)).view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
    found = []
    for corridor, path in zip(corridors, paths):
        first, beyond = corridor.within(costs).window
        y = path.clip(first, beyond - 1)
        columns = slice(corridor.x0, corridor.x0 + corridor.length)
        top, last, away = nearest_run(dark[columns, first:beyond].T, y - first)
        on = away == 0
        upper = (top[on] + first).min(initial=y.min()) - ROOM // 2
        lower = (last[on] + first).max(initial=y.max()) + 1 + ROOM // 2
        found.append(replace(corridor, window=(max(0, int(upper)), min(dark.shape[1], int(lower)))))
    return found
