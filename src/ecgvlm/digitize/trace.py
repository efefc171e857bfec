"""Follow the printed traces: probability of ink -> millivolts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from scipy.ndimage import minimum_filter1d

from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.pagenet import PX_PER_MM

_REACH_MM = 34.0  # a trace may leave its row this far
# Cost of the path, per px up or down between two columns: along the ink of a steep deflection little, over
# paper more.
_STEP_COST, _LEAP_COST = 0.02, 0.11
_AWAY_COST = 0.0009  # per px that the path lies away from the row
_FLOOR = 0.02
_ACROSS = 7  # px to either side of a steep stretch in which its edges are looked for
_FINER = 2  # samples of the picture for one px there: a QRS is gone in the time of three px
_MELTED = 0.7  # px that the print must be wider than one line to be taken for two
_STEEP = 3.0  # px a column, from where on rows tell more than columns


@dataclass(frozen=True)
class Print:
    """The print at the resolution of the picture.

    grey: [h, w] the picture. around: [H, W] brightness of the rectified page about each of its px. to_px:
    [..., 2] px of the rectified page -> px of the picture.
    """

    grey: np.ndarray
    around: np.ndarray
    to_px: Callable[[np.ndarray], np.ndarray]

    def rows(self, x: np.ndarray, y: np.ndarray, reach: int) -> np.ndarray:
        """Contrast of the print along n short rows centred at (x, y) of the rectified page, whole px.

        [2 `_FINER` reach + 1, n], `_FINER` samples a px from x - reach to x + reach.
        """
        at = np.stack([x, y], -1).astype(float)
        middle = self.to_px(at)
        right, below = np.array([2.0, 0.0]), np.array([0.0, 2.0])
        along = (self.to_px(at + right) - self.to_px(at - right)) / (4 * _FINER)
        down = (self.to_px(at + below) - self.to_px(at - below)) / 4
        steps = np.arange(-reach * _FINER, reach * _FINER + 1)[:, None, None]
        seen = np.zeros((len(steps), len(x)), np.float32)
        for part in (-0.25, 0.25):  # of the height of the row
            px = (middle + part * down + steps * along).astype(np.float32)
            seen += cv2.remap(
                self.grey, px[..., 0], px[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
        height, width = self.around.shape
        return np.abs(seen / 2 - self.around[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)])


def follow(
    trace: np.ndarray,
    page: np.ndarray,
    picture: np.ndarray,
    to_px: Callable[[np.ndarray], np.ndarray],
    strips: Sequence[Placed],
    pitch: float,
) -> list[tuple[np.ndarray, float]]:
    """The curve of every strip, [n, 2] px, x increasing, y NaN in gaps; the mean probability of ink there.

    trace: [H, W] probability of ink. page: [H, W, 3] the rectified page itself. picture: [h, w, 3] what it
    came from. to_px: [..., 2] px of the page -> px of the picture. Each strip's path is the cheapest from end
    to end (Viterbi; steps along ink are cheap, so that steep deflections are followed, and leaps over paper
    to a neighbour's trace are not). pitch: px between rows.
    """
    width = min(_line_width(trace), 5.0)
    lengths = [int(np.floor(strip.x1)) - int(np.ceil(strip.x0)) for strip in strips]
    grey = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
    around = cv2.blur(grey, (41, 41))
    contrast = cv2.absdiff(around, grey)
    fine = Print(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), around, to_px)
    curves: list[tuple[np.ndarray, float]] = [(np.zeros((0, 2)), 0.0)] * len(strips)
    # Strips of about one length go together, one column a step.
    order = sorted(range(len(strips)), key=lambda k: lengths[k])
    while order:
        group = [k for k in order if lengths[k] <= 1.1 * lengths[order[0]] + 8]
        order = order[len(group) :]
        for k, path in zip(
            group, _paths(trace, [strips[k] for k in group], [lengths[k] for k in group], pitch)
        ):
            x0 = int(np.ceil(strips[k].x0))
            part = slice(x0, x0 + len(path))
            curve, sure = _refined(trace[:, part], contrast[:, part], path, width)
            curve = np.stack([np.arange(x0, x0 + len(path), dtype=float), curve], 1)
            curves[k] = (_with_slopes(trace, fine, curve), float(sure.mean()))
    return curves


def _paths(trace: np.ndarray, strips: Sequence[Placed], lengths: list[int], pitch: float) -> list[np.ndarray]:
    """Viterbi over strips of about one length, two px high a step: list of [columns] y in px."""
    height = trace.shape[0]
    reach = int(min(_REACH_MM * PX_PER_MM, max(2.2 * pitch, 12 * PX_PER_MM))) // 2 * 2
    rows, longest = reach + 1, max(lengths)
    away = _AWAY_COST * np.abs(2.0 * np.arange(rows) - reach, dtype=np.float32)
    # [columns, strips, rows], so that a step reads one block
    cost = np.full((longest, len(strips), rows), -np.log(_FLOOR), np.float32)
    tops = []
    for k, (strip, length) in enumerate(zip(strips, lengths)):
        top, x0 = round(strip.y) - reach, int(np.ceil(strip.x0))
        tops.append(top)
        a, b = max(0, -(top // 2)), min(rows, (height - top) // 2)  # pairs of rows that lie on the page
        pairs = trace[top + 2 * a : top + 2 * b, x0 : x0 + length]
        ink = np.maximum(np.maximum(pairs[::2], pairs[1::2]), _FLOOR)
        cost[: ink.shape[1], k, a:b] = -np.log(ink.T)
    # climb[x, k, y]: what it costs to come down from the top of the window to y in column x
    climb = np.cumsum(
        2 * _STEP_COST + 2 * _LEAP_COST * np.minimum(cost / -np.log(_FLOOR), 1.0), axis=2, dtype=np.float32
    )
    cost += away
    sums = np.empty_like(cost)
    best = sums[0] = cost[0]
    down, up = np.empty_like(best), np.empty_like(best)
    for x in range(1, longest):
        # The cheapest way to each row: one sweep down, one sweep up.
        np.subtract(best, climb[x], out=down)
        np.minimum.accumulate(down, 1, out=down)
        down += climb[x]
        np.add(best, climb[x], out=up)
        np.minimum.accumulate(up[:, ::-1], 1, out=up[:, ::-1])
        up -= climb[x]
        np.minimum(down, up, out=down)
        best = np.add(down, cost[x], out=sums[x])
    # Back from the end, all strips at once. Those that are shorter wait at their own last column.
    every = np.arange(len(strips))
    last = np.array(lengths) - 1
    ways = np.empty((longest, len(strips)), np.intp)
    y = np.zeros(len(strips), np.intp)
    for x in range(longest - 1, -1, -1):
        if x + 1 < longest:
            way = climb[x + 1]
            y = (sums[x] + np.abs(way - way[every, y][:, None])).argmin(1)
        ends = last == x
        if ends.any():
            y[ends] = sums[x, ends].argmin(1)
        ways[x] = y
    paths = []
    for k, length in enumerate(lengths):
        path = ways[:length, k]
        # Of the two rows of a step, the one with more ink.
        columns, rows_up = int(np.ceil(strips[k].x0)) + np.arange(length), 2 * path + tops[k]
        upper, lower = (trace[np.clip(row, 0, height - 1), columns] for row in (rows_up, rows_up + 1))
        paths.append(rows_up + (lower > upper))
    return paths


def _line_width(trace: np.ndarray) -> float:
    """Height in px of a level line: the lower quartile of the ink runs' heights."""
    ink = trace[:, ::4] > 0.5
    edges = np.diff(np.pad(ink, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    begin, end = np.nonzero(edges.T == 1), np.nonzero(edges.T == -1)
    heights = end[1] - begin[1]
    return float(np.percentile(heights, 20)) if len(heights) else 2.0


def _refined(
    columns: np.ndarray, contrast: np.ndarray, path: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Sub-pixel curve from the ink around the path.

    A pen of some breadth leaves ink from the least to the greatest y that the curve has under it. On slopes
    the middle of the ink is the curve; at a tip, where the curve turns under the pen, it is the ink's end
    less half a line's width.
    """
    n = columns.shape[1]
    # Only the rows about the path matter.
    low = max(0, int(path.min()) - 60)
    block = np.pad(
        columns[low : int(path.max()) + 60], ((1, 1), (0, 0))
    )  # ends in paper, whatever the page does
    x, y = np.arange(n), np.clip(path - low + 1, 1, block.shape[0] - 2)
    sure = block[y, x]
    near = np.arange(-2, 3)[:, None] + y
    y = np.clip(near, 1, block.shape[0] - 2)[np.argmax(block[np.clip(near, 1, block.shape[0] - 2), x], 0), x]
    ink = block >= 0.5
    row = np.arange(block.shape[0], dtype=np.int32)[:, None]
    above = np.maximum.accumulate(np.where(ink, 0, row), 0)[y, x]  # last paper above, first paper below
    below = np.minimum.accumulate(np.where(ink, block.shape[0] - 1, row)[::-1], 0)[::-1][y, x]
    # Where between two pixels the probability passes one half.
    inner, outer = block[above + 1, x], block[above, x]
    top = above + 1 - (inner - 0.5) / np.maximum(inner - outer, 1e-3)
    inner, outer = block[below - 1, x], block[below, x]
    bottom = below - 1 + (inner - 0.5) / np.maximum(inner - outer, 1e-3)
    inked = ink[y, x]
    top, bottom = np.where(inked, top + low - 1, np.nan), np.where(inked, bottom + low - 1, np.nan)
    known = np.isfinite(top)
    # On level stretches the print itself tells more than the net's mask: the centre of its contrast.
    middle = np.round((top + bottom) / 2)
    level = known & (bottom - top < width + 2.5)
    rows = np.arange(-3, 4)[:, None] + np.where(level, middle, 0).astype(int)
    print_ = contrast[np.clip(rows, 0, contrast.shape[0] - 1), x].astype(np.float32)
    print_ = np.maximum(print_ - 0.4 * print_.max(0), 0) + 1e-6
    centre = (print_ * rows).sum(0) / print_.sum(0)
    if known.sum() < 2:
        return np.full(n, np.nan), sure
    filled_top, filled_bottom = (np.interp(x, x[known], edge[known]) for edge in (top, bottom))
    curve = (filled_top + filled_bottom) / 2
    near = level & (np.abs(centre - curve) < 1.0)
    curve[near] = centre[near]
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


def _with_slopes(trace: np.ndarray, fine: Print, points: np.ndarray) -> np.ndarray:
    """The curve as points [n, 2] px, the steep stretches measured row by row instead of column by column.

    points: [n, 2], one a column. Where a QRS crosses several rows from one column to the next, the edges of
    the print in each row tell where. Towards a tip its two flanks melt into one; then the outer edge less
    half a line's width does.
    """
    columns, curve = points.T
    rise = np.diff(curve)
    steep = np.abs(rise) > _STEEP
    ends = np.flatnonzero(np.diff(np.concatenate([[0], np.where(steep, np.sign(rise), 0), [0]])))
    flanks, parts = [], []
    for first, last in pairwise(ends):
        if not steep[first]:
            continue
        y = curve[first : last + 1]
        falling = y[-1] > y[0]
        low, high = (y[0], y[-1]) if falling else (y[-1], y[0])
        rows = np.arange(max(0, int(np.ceil(low + 1.5))), min(len(trace), int(np.floor(high - 1.5)) + 1))
        if len(rows) < 2:
            continue
        x = columns[first : last + 1]
        about = np.interp(rows, y if falling else y[::-1], x if falling else x[::-1])
        # Above the middle a falling flank follows a peak on its left, below it a trough comes on its right.
        right = (rows < (low + high) / 2) == falling
        flanks.append((first, last, falling, len(rows)))
        parts.append((rows, about, right))
    if not flanks:
        return points
    rows, about, right = (np.concatenate(part) for part in zip(*parts))
    across = _crossings(trace, fine, rows, about, right)
    xs, ys, inner = [columns], [curve], np.zeros(len(points), bool)
    begin = 0
    for first, last, falling, count in flanks:
        part = slice(begin, begin + count)
        begin += count
        good = (across[part] > columns[first] - 0.5) & (across[part] < columns[last] + 0.5)
        if good.sum() < 2:
            continue
        x, y = across[part][good], rows[part][good].astype(float)
        if not falling:
            x, y = x[::-1], y[::-1]
        # The curve does not run back in time.
        xs.append((np.maximum.accumulate(x) + np.minimum.accumulate(x[::-1])[::-1]) / 2)
        ys.append(y)
        inner[first + 1 : last] = True
    x, y = np.concatenate(xs), np.concatenate(ys)
    keep = np.concatenate([~inner, np.ones(len(x) - len(points), bool)])
    order = np.argsort(x[keep], kind="stable")
    return np.stack([x[keep][order], y[keep][order]], 1)


def _crossings(
    trace: np.ndarray, fine: Print, rows: np.ndarray, about: np.ndarray, right: np.ndarray
) -> np.ndarray:
    """Where the curve crosses each of the rows, near the columns `about`: [rows] px, NaN where unclear.

    right: the side on which no other flank may be.
    """
    near = np.round(about).astype(int)
    print_ = fine.rows(near, rows, _ACROSS)
    middle, k = _ACROSS * _FINER, np.arange(len(rows))
    half = 0.5 * print_[middle - _FINER : middle + _FINER + 1].max(0)
    dark = print_ >= half
    edges = []
    for side in (-1, 1):
        reach = np.minimum.accumulate(dark[middle::side], 0).sum(0)  # dark samples from the middle outwards
        at = middle + side * np.minimum(reach - 1, middle - 1)
        inside, outside = print_[at, k], print_[at + side, k]
        edge = side * (at - middle + side * np.clip((inside - half) / np.maximum(inside - outside, 1), 0, 1))
        edges.append(np.where((reach > 0) & (reach < middle), edge / _FINER, np.nan))
    left, width = -edges[0], edges[0] + edges[1]
    line = np.nanpercentile(width, 20) if np.isfinite(width).any() else 0.0
    across = np.where(right, left + width - line / 2, left + line / 2)
    across = np.where(width < line + _MELTED, left + width / 2, across)
    ink = trace[rows, np.clip(near, 0, trace.shape[1] - 1)]
    across[(ink < 0.3) | ~(width < 3 * line + 4)] = np.nan
    return across + near


def _short_gaps(missing: np.ndarray, most: int) -> np.ndarray:
    """The missing columns that lie in runs of at most `most` between known ones."""
    out = np.zeros_like(missing)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    for a, b in zip(edges[::2], edges[1::2]):
        if a > 0 and b < len(missing) and b - a <= most:
            out[a:b] = True
    return out
