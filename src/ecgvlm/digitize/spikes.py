"""Pacing spikes: thin strokes that hang on the traces of several leads at the same time, again and again.

The page net takes them for bars between columns, and paths leave them out; their ink is sought in the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.quantile import median

_ROOT = (6, 8, 10)  # px from a trace at which every spike has ink, and nothing stands on the other side
_BESIDE = 4  # px to either side of a spike at which its ink has ended
_INK, _NO_INK = 0.5, 0.3  # of the traces' own contrast
_FAINT = 20.0  # grey levels: no trace has less contrast
_NARROW, _CURVE = 11, 5  # px about a point that tell where the trace runs, and how far it is already followed
_BEYOND = 4  # px by which a spike is longer than the curve, at least
_TALLEST = round(30.0 * PX_PER_MM)
_RULED = round(5 * PX_PER_MM)  # px between a grid's thick lines
_AS_DARK = 0.4  # part of a stroke's ink that the lines beside it show, if it is one of them
_BROKEN = 3  # px of a spike that another line may hide
_NEAR_END = 3.0 * PX_PER_MM  # of a strip, where bars stand
_TOGETHER = 2  # px within which strokes of several leads stand at the same time
_LEADS, _SHARE = 2, 0.4  # how many leads show a spike at least, and which share of those printed at the time
_PLACES = 5  # spikes of a page at least; fewer may be tips of QRS that paths left out


@dataclass(frozen=True)
class _Points:
    """Points of the page, [n]: of which strip, and px."""

    strip: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def __getitem__(self, part: np.ndarray) -> _Points:
        return _Points(self.strip[part], self.x[part], self.y[part])


def with_spikes(
    page: np.ndarray, strips: Sequence[Placed], curves: Sequence[np.ndarray]
) -> Sequence[np.ndarray]:
    """The curves with the tips of pacing spikes, where the page shows any.

    page: [H, W, 3] rectified. curves: [n, 2] px of the page, of each strip.
    """
    points = _points(strips, curves)
    grey = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
    tips = [_tips(grey, points, strips, sign) for sign in (-1, 1)]
    strip, x, tip = (np.concatenate([getattr(part, name) for part in tips]) for name in ("strip", "x", "y"))
    if len(x) < _PLACES * _LEADS:
        return curves
    shown = [k for k, at in enumerate(x) if _is_shown(at, x, strip, strips)]
    if (np.diff(np.sort(x[shown]), prepend=-np.inf) > _TOGETHER).sum() < _PLACES:
        return curves
    spiked = [curve.copy() for curve in curves]
    for k in shown:
        curve = spiked[strip[k]]
        curve[np.abs(curve[:, 0] - x[k]) <= 0.5, 1] = tip[k]
    return spiked


def _points(strips: Sequence[Placed], curves: Sequence[np.ndarray]) -> _Points:
    """The traces, a point for each column of px."""
    parts = [np.zeros((3, 0), int)]
    for k, (strip, curve) in enumerate(zip(strips, curves)):
        known = np.isfinite(curve[:, 1])
        if known.any():
            x = np.arange(int(np.ceil(strip.x0)), int(strip.x1))
            y = np.interp(x, *curve[known].T)
            parts.append(np.stack([np.full(len(x), k), x, np.round(y).astype(int)]))
    return _Points(*np.concatenate(parts, 1))


def _tips(grey: np.ndarray, points: _Points, strips: Sequence[Placed], sign: int) -> _Points:
    """The tips of thin strokes that rise (-1) or fall (1) from the traces beyond the curves."""
    # The curve without narrow peaks that way, and how far it goes.
    y = sign * points.y.astype(np.float32)
    level = (sign * filters.greatest(filters.least(y, _NARROW), _NARROW)).astype(int)
    beyond = (sign * filters.greatest(y, _CURVE)).astype(int) + sign * _BEYOND
    room = _ROOT[-1] + 1
    (height, width), x = grey.shape, points.x
    ends = np.array([(strip.x0, strip.x1) for strip in strips])[points.strip].T
    inside = (x > ends[0] + _NEAR_END) & (x < ends[1] - _NEAR_END) & (x >= _BESIDE) & (x < width - _BESIDE)
    inside &= (np.minimum(level, beyond) >= room) & (np.maximum(level, beyond) < height - room)
    roots, beyond = _Points(points.strip, x, level)[inside], beyond[inside]
    if not len(roots.x):
        return roots
    depth = _depth(grey, roots)
    roots = roots[_thin(grey, beyond, roots.x) > _INK * depth]
    for off in _ROOT:
        stands = _thin(grey, roots.y + sign * off, roots.x) > _INK * depth
        roots = roots[stands & (_thin(grey, roots.y - sign * off, roots.x) < _NO_INK * depth)]
    # Of neighbouring columns the darkest is the stroke.
    dark = grey[roots.y + sign * _ROOT[-1], roots.x]
    begins = (np.diff(roots.x, prepend=-2) != 1) | (np.diff(roots.strip, prepend=-1) != 0)
    roots = roots[np.lexsort((dark, np.cumsum(begins)))[begins]]
    tips = np.array([_tip(grey, x, y, sign, depth) for x, y in zip(roots.x, roots.y)], int)
    free = np.array([not _is_ruled(grey, *stroke) for stroke in zip(roots.x, roots.y, tips)], bool)
    return _Points(roots.strip, roots.x, tips)[free]


def _depth(grey: np.ndarray, points: _Points) -> float:
    """Grey levels by which the traces are darker than their paper."""
    x, y = points.x[::4], points.y[::4]
    paper = np.minimum(grey[y - _ROOT[0], x], grey[y + _ROOT[0], x]).astype(int)
    return max(_FAINT, median(paper - np.min([grey[y + off, x] for off in (-1, 0, 1)], axis=0)))


def _thin(grey: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Grey levels by which each px is darker than the paper to its left and to its right."""
    return np.minimum(grey[y, x - _BESIDE], grey[y, x + _BESIDE]).astype(int) - grey[y, x]


def _tip(grey: np.ndarray, x: int, y: int, sign: int, depth: float) -> int:
    """px of the height at which a stroke ends that stands on the trace at (x, y)."""
    rows = y + sign * np.arange(_ROOT[0], _TALLEST)
    rows = rows[(rows >= 0) & (rows < len(grey))]
    ink = np.flatnonzero(_thin(grey, rows, np.full(len(rows), x)) > _INK * depth)
    ends = np.flatnonzero(np.diff(ink) > _BROKEN)
    return int(rows[ink[ends[0] if len(ends) else -1]])


def _is_ruled(grey: np.ndarray, x: int, y: int, tip: int) -> bool:
    """Whether a stroke from y to its tip is a line of the grid, which shows others like it on either side."""
    rows = np.arange(min(y, tip) + _ROOT[0], max(y, tip) - _ROOT[0] + 1)

    def depth(at: int) -> float:
        columns = np.arange(at - 1, at + 2).clip(_BESIDE, grey.shape[1] - 1 - _BESIDE)
        return float(_thin(grey, rows[:, None], columns[None]).mean(0).max())

    return len(rows) > 0 and min(depth(x - _RULED), depth(x + _RULED)) > _AS_DARK * depth(x)


def _is_shown(at: int, x: np.ndarray, strip: np.ndarray, strips: Sequence[Placed]) -> bool:
    """Whether enough of the leads that are printed at a px show a stroke there. x, strip: of all strokes."""
    leads = len(set(strip[np.abs(x - at) <= _TOGETHER]))
    return leads >= max(_LEADS, _SHARE * sum(s.x0 <= at <= s.x1 for s in strips))
