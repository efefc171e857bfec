"""Follow the printed traces: probability of ink -> millivolts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import minimum_filter1d

from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.pagenet import PX_PER_MM

_REACH_MM = 34.0  # a trace may leave its row this far
_STEP_COST = 0.035  # of the path, per px up or down between two columns
_AWAY_COST = 0.0009  # per px that the path lies away from the row
_FLOOR = 0.02


def follow(trace: np.ndarray, strips: Sequence[Placed], pitch: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """The curve of every strip: [(y in px at each column from ceil(x0) on, probability of ink there)], y NaN in gaps.

    trace: [H, W] probability of ink. Each strip's path is the cheapest from end to end (Viterbi with a cost linear in
    the step, so that steep deflections are cheap enough and leaps to a neighbour's trace are not). pitch: px between rows.
    """
    width = min(_line_width(trace), 5.0)
    curves: list[tuple[np.ndarray, np.ndarray]] = []
    lengths = [int(np.floor(strip.x1)) - int(np.ceil(strip.x0)) for strip in strips]
    for strip, path in zip(strips, _paths(trace, strips, lengths, pitch)):
        x0 = int(np.ceil(strip.x0))
        columns = trace[:, x0 : x0 + len(path)]
        curves.append(_refined(columns, path, width))
    return curves


def _paths(trace: np.ndarray, strips: Sequence[Placed], lengths: list[int], pitch: float) -> list[np.ndarray]:
    """Viterbi over all strips at once, one column a step: list of [columns] y in px."""
    height = trace.shape[0]
    reach = int(min(_REACH_MM * PX_PER_MM, max(2.2 * pitch, 12 * PX_PER_MM)))
    rows, longest = 2 * reach + 1, max(lengths)
    cost = np.full((len(strips), longest, rows), -np.log(_FLOOR), np.float32)
    tops = []
    away = _AWAY_COST * np.abs(np.arange(rows) - reach, dtype=np.float32)
    for k, (strip, length) in enumerate(zip(strips, lengths)):
        top, x0 = round(strip.y) - reach, int(np.ceil(strip.x0))
        tops.append(top)
        a, b = max(0, top), min(height, top + rows)
        block = trace[a:b, x0 : x0 + length]
        cost[k, : block.shape[1], a - top : b - top] = -np.log(np.maximum(block.T, _FLOOR))
    cost += away
    ramp = (_STEP_COST * np.arange(rows)).astype(np.float32)
    sums = np.empty_like(cost)
    best = cost[:, 0]
    sums[:, 0] = best
    for x in range(1, longest):
        # The cheapest way to each row with a cost linear in the distance: one sweep down, one sweep up.
        down = np.minimum.accumulate(best - ramp, 1) + ramp
        up = np.minimum.accumulate((best + ramp)[:, ::-1], 1)[:, ::-1] - ramp
        best = np.minimum(down, up) + cost[:, x]
        sums[:, x] = best
    paths = []
    place = np.arange(rows)
    for k, length in enumerate(lengths):
        path = np.empty(length, int)
        y = int(np.argmin(sums[k, length - 1]))
        for x in range(length - 1, -1, -1):
            if x < length - 1:
                y = int(np.argmin(sums[k, x] + _STEP_COST * np.abs(place - y)))
            path[x] = y
        paths.append(path + tops[k])
    return paths


def _line_width(trace: np.ndarray) -> float:
    """Height in px of a level line: the lower quartile of the ink runs' heights."""
    ink = trace > 0.5
    edges = np.diff(np.pad(ink, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    begin, end = np.nonzero(edges.T == 1), np.nonzero(edges.T == -1)
    heights = end[1] - begin[1]
    return float(np.percentile(heights, 20)) if len(heights) else 2.0


def _refined(columns: np.ndarray, path: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Sub-pixel curve from the ink around the path.

    A pen of some breadth leaves ink from the least to the greatest y that the curve has under it. On slopes the
    middle of the ink is the curve; at a tip, where the curve turns under the pen, it is the ink's end less half a
    line's width.
    """
    height, n = columns.shape
    x = np.arange(n)
    sure = columns[np.clip(path, 0, height - 1), x]
    top, bottom = np.empty(n), np.empty(n)
    for i in range(n):
        column = columns[:, i]
        y = int(np.clip(path[i], 0, height - 1))
        near = column[max(0, y - 2) : y + 3]
        y = max(0, y - 2) + int(np.argmax(near))
        if column[y] < 0.5:
            top[i] = bottom[i] = np.nan
            continue
        a = b = y
        while a > 0 and column[a - 1] >= 0.5:
            a -= 1
        while b < height - 1 and column[b + 1] >= 0.5:
            b += 1
        # Where between two pixels the probability passes one half.
        top[i] = a - (column[a] - 0.5) / max(column[a] - column[a - 1], 1e-3) if a > 0 else a
        bottom[i] = b + (column[b] - 0.5) / max(column[b] - column[b + 1], 1e-3) if b < height - 1 else b
    known = np.isfinite(top)
    if known.sum() < 2:
        return np.full(n, np.nan), sure
    filled_top, filled_bottom = (np.interp(x, x[known], edge[known]) for edge in (top, bottom))
    curve = (filled_top + filled_bottom) / 2
    half = np.minimum(width, filled_bottom - filled_top) / 2
    for edge, sign in ((filled_top + half, 1.0), (half - filled_bottom, -1.0)):
        # sign * curve - edge: how far the middle of the ink lies from the tip's side of it.
        tip = (edge <= minimum_filter1d(edge, 5)) & (sign * curve - edge > 0.75)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], tip.astype(np.int8), [0]])))
        for first, last in zip(edges[::2], edges[1::2]):
            at = (first + last - 1) // 2
            curve[at] = sign * edge[at]
    curve[~known] = np.nan
    gaps = _short_gaps(~known, int(2.5 * PX_PER_MM))
    curve[gaps] = np.interp(x[gaps], x[known], curve[known])
    return curve, sure


def _short_gaps(missing: np.ndarray, most: int) -> np.ndarray:
    """The missing columns that lie in runs of at most `most` between known ones."""
    out = np.zeros_like(missing)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    for a, b in zip(edges[::2], edges[1::2]):
        if a > 0 and b < len(missing) and b - a <= most:
            out[a:b] = True
    return out
