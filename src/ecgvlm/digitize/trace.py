"""Follow the printed traces: probability of ink -> millivolts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import maximum_filter1d, median_filter, minimum_filter1d

from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.pagenet import PX_PER_MM

_REACH_MM = 34.0  # a trace may leave its row this far
# Cost of the path, per px up or down between two columns: along the ink of a steep deflection little, over
# paper more.
_STEP_COST, _LEAP_COST = 0.02, 0.11
_AWAY_COST = 0.0009  # per px that the path lies away from the row
_FLOOR = 0.02
_ALONG, _DOWN = 3, 2  # samples of the picture for one px of the page along the trace and down
_NODE = 5  # px between the points at which the map to the picture is evaluated
_ROOM = 12  # px of the page above and below a path that belong to it
_FAINT = 8.0  # grey levels that ink is at least darker than the paper
_SEEN = 0.4  # probability of trace from which on all contrast counts
_CLOSE = 2  # px about a path whose ink it explains
_BAR = 10  # px from a strip's end within which a bar may stand
_WORTH = 0.03  # what a px of ink is worth that no other strip explains
_OTHERS = 2.5  # cost of a column on ink that is another strip's
_SPIKE, _LEVEL = 5, 41  # px that a spike of solid ink may be wide, and about it that tell which way it goes
_MORE = 1.5  # px that the ink may reach beyond the path and half a line's width
# px by which the two edges of the ink may disagree about the curve, up or down, and to the left or right.
_UNSURE_Y, _UNSURE_X = 0.4, 0.3
_TIP = 1.0  # px that a spike or a dent must stand out
_ROUGH = 0.3  # spread of a line's thickness over the thickness from which on its edges tell little
_BESIDE = 2.0  # px that a path may lie beside its ink


@dataclass(frozen=True)
class Print:
    """The print at the resolution of the picture.

    grey: [h, w] the picture in the colour that shows the trace best. around: [H, W] brightness of the
    rectified page about each of its px. sign: 1 of dark ink, -1 of light. to_px: [..., 2] px of the rectified
    page -> px of the picture.
    """

    grey: np.ndarray
    around: np.ndarray
    sign: float
    to_px: Callable[[np.ndarray], np.ndarray]


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
    colour = _clearest(trace, page)
    fine = Print(colour(picture), cv2.blur(colour(page), (41, 41)), _sign(trace, colour(page)), to_px)
    begins = [int(np.ceil(strip.x0)) for strip in strips]
    reach = int(min(_REACH_MM * PX_PER_MM, max(2.2 * pitch, 12 * PX_PER_MM)))
    windows = [(round(strip.y) - reach, round(strip.y) + reach) for strip in strips]
    zeros = [strip.y for strip in strips]
    paths = _paths(trace, None, begins, lengths, zeros, windows)
    # Once more, now that it is known which ink the other strips explain: what is left must be explained too.
    windows = [_window(trace, x0, path, window) for x0, path, window in zip(begins, paths, windows)]
    shares = _shares(trace, begins, paths, zeros, windows)
    paths = _paths(trace, shares, begins, lengths, zeros, windows)
    paths = [_with_whole_spikes(trace, x0, path) for x0, path in zip(begins, paths)]
    curves = []
    for x0, path in zip(begins, paths):
        curve = _refined(trace, fine, x0, path, width)
        sure = float(trace[path, np.arange(x0, x0 + len(path))].mean()) if len(path) else 0.0
        curves.append((curve, sure))
    return curves


@dataclass(frozen=True)
class _Share:
    """What of the ink in a strip's window, [rows, columns] 0..1, is its own.

    left: ink that no other path passes within `_CLOSE` px. others: whether a path passes there whose row lies
    nearer.
    """

    left: np.ndarray
    others: np.ndarray


def _shares(
    trace: np.ndarray,
    begins: list[int],
    paths: list[np.ndarray],
    zeros: list[float],
    windows: list[tuple[int, int]],
) -> list[_Share]:
    claims = np.zeros(trace.shape, np.uint8)
    nearest = np.full(trace.shape, -1, np.int16)  # of the paths that pass, that whose row is nearest
    distance = np.full(trace.shape, np.inf, np.float32)
    parts = []
    for k, (x0, path, (first, last)) in enumerate(zip(begins, paths, windows)):
        half = (path[1:] + path[:-1]) / 2
        ends = np.stack([path, np.concatenate([path[:1], half]), np.concatenate([half, path[-1:]])])
        row = np.arange(first, last + 1)[:, None]
        own = (row >= np.floor(ends.min(0)) - _CLOSE) & (row <= np.ceil(ends.max(0)) + _CLOSE)
        part = np.s_[first : last + 1, x0 : x0 + len(path)]
        nearer = own & (np.abs(row - zeros[k]) < distance[part])
        nearest[part][nearer] = k
        distance[part] = np.where(nearer, np.abs(row - zeros[k]), distance[part])
        claims[part] += own
        parts.append((part, own))
    shares = []
    for k, (part, own) in enumerate(parts):
        left = np.where(claims[part] > own, 0.0, np.maximum(2 * trace[part] - 1, 0)).astype(np.float32)
        left[:, :_BAR] = left[:, left.shape[1] - _BAR :] = 0.0  # where bars part the strips
        shares.append(_Share(left, (nearest[part] >= 0) & (nearest[part] != k)))
    return shares


def _window(trace: np.ndarray, x0: int, path: np.ndarray, within: tuple[int, int]) -> tuple[int, int]:
    """First and last row of the page of the ink that a path runs through, and some about it."""
    first = max(0, within[0])
    ink = trace[first : within[1] + 1, x0 : x0 + len(path)]
    top, bottom = _run(cv2.dilate(ink, np.ones((5, 3), np.uint8)), np.clip(path - first, 0, len(ink) - 1))
    top, bottom = min(path.min(), first + top.min()), max(path.max(), first + bottom.max())
    return max(0, int(top) - _ROOM) // 2 * 2, min(len(trace) // 2 * 2, (int(bottom) + _ROOM) // 2 * 2) - 1


def _with_whole_spikes(trace: np.ndarray, x0: int, path: np.ndarray) -> np.ndarray:
    """The path up to the tips of spikes, and without turns back inside one that it passes twice."""
    first = max(0, int(path.min()) - _ROOM)
    ink = trace[first : int(path.max()) + _ROOM, x0 : x0 + len(path)]
    dark = np.cumsum(np.pad(ink > 0.5, ((1, 0), (0, 0))), 0, dtype=np.int32)
    path = path - first
    x, level = np.arange(len(path)), median_filter(path, _LEVEL)
    for begin, end in ((minimum_filter1d, maximum_filter1d), (maximum_filter1d, minimum_filter1d)):
        filled = end(begin(path, _SPIKE), _SPIKE)
        top, bottom = np.minimum(filled, path), np.maximum(filled, path)
        solid = dark[bottom, x] - dark[top, x] >= 0.8 * (bottom - top)
        further = np.abs(filled - level) > np.abs(path - level) + 2
        path = np.where(further & solid, filled, path)
    top, bottom = _run(cv2.dilate(ink, np.ones((1, 3), np.uint8)), path)
    for most, end, sign in ((minimum_filter1d, top, 1), (maximum_filter1d, bottom, -1)):
        tip = (path == most(path, _SPIKE)) & (sign * (level - path) > _SPIKE) & (np.abs(end - path) < _ROOM)
        path = np.where(tip, np.round(end).astype(int), path)
    return path + first


_COLOURS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
    lambda rgb: cv2.extractChannel(rgb, 0),
    lambda rgb: cv2.extractChannel(rgb, 1),
    lambda rgb: cv2.extractChannel(rgb, 2),
)


def _clearest(trace: np.ndarray, page: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The colour ([h, w, 3] RGB -> [h, w]) in which the trace stands out most from its grid and paper."""
    ink, paper = trace > 0.7, (trace < 0.05) & (cv2.dilate(trace, np.ones((9, 9), np.uint8)) > 0.7)
    if not ink.any() or not paper.any():
        return _COLOURS[0]

    def clear(colour: Callable[[np.ndarray], np.ndarray]) -> float:
        plane = colour(page).astype(np.float32)
        return abs(float(plane[ink].mean() - plane[paper].mean())) / (float(plane[paper].std()) + 2.0)

    return max(_COLOURS, key=clear)


def _paths(
    trace: np.ndarray,
    shares: list[_Share] | None,
    begins: list[int],
    lengths: list[int],
    zeros: list[float],
    windows: list[tuple[int, int]],
) -> list[np.ndarray]:
    """The cheapest path of every strip: list of [columns] y in px.

    shares: of each, where they are known. windows: first and last row of each. Strips of about one length go
    together, one column a step.
    """
    paths: list[np.ndarray] = [np.zeros(0, np.intp)] * len(begins)
    order = sorted(range(len(begins)), key=lambda k: lengths[k])
    while order:
        group = [k for k in order if lengths[k] <= 1.1 * lengths[order[0]] + 8]
        order = order[len(group) :]
        found = _viterbi(
            trace,
            [None if shares is None else shares[k] for k in group],
            [begins[k] for k in group],
            [lengths[k] for k in group],
            [zeros[k] for k in group],
            [windows[k] for k in group],
        )
        for k, path in zip(group, found):
            paths[k] = path
    return paths


def _viterbi(
    trace: np.ndarray,
    shares: Sequence[_Share | None],
    begins: list[int],
    lengths: list[int],
    zeros: list[float],
    windows: list[tuple[int, int]],
) -> list[np.ndarray]:
    """`_paths` of strips of about one length, two px high a step."""
    height = trace.shape[0]
    rows, longest = max(last + 1 - first for first, last in windows) // 2 + 1, max(lengths)
    # [columns, strips, rows], so that a step reads one block
    cost = np.full((longest, len(begins), rows), -np.log(_FLOOR), np.float32)
    worth = np.zeros_like(cost) if shares[0] is not None else None
    dear = np.zeros(cost.shape, bool)
    tops = []
    for k, (x0, length, (top, _)) in enumerate(zip(begins, lengths, windows)):
        tops.append(top)
        a, b = max(0, -(top // 2)), min(rows, (height - top) // 2)  # pairs of rows that lie on the page
        part = slice(top + 2 * a, top + 2 * b)
        pairs = trace[part, x0 : x0 + length]
        ink = np.maximum(np.maximum(pairs[::2], pairs[1::2]), _FLOOR)
        cost[: ink.shape[1], k, a:b] = -np.log(ink.T)
        share = shares[k]
        if worth is not None and share is not None:
            worth[:length, k, : len(share.left) // 2] = (share.left[::2] + share.left[1::2]).T
            dear[:length, k, : len(share.left) // 2] = (share.others[::2] | share.others[1::2]).T
    # climb[x, k, y]: what it costs to come down from the top of the window to y in column x
    step = 2 * _STEP_COST + 2 * _LEAP_COST * np.minimum(cost / -np.log(_FLOOR), 1.0)
    if worth is not None:
        step -= _WORTH * worth
    climb = np.cumsum(step, axis=2, dtype=np.float32)
    cost[dear] += _OTHERS
    at = np.array(tops)[:, None] + 2 * np.arange(rows)
    cost += (_AWAY_COST * np.abs(at - np.array(zeros)[:, None])).astype(np.float32)
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
    every, row = np.arange(len(begins)), np.arange(rows)
    last = np.array(lengths) - 1
    ways = np.empty((longest, len(begins)), np.intp)
    y = np.zeros(len(begins), np.intp)
    for x in range(longest - 1, -1, -1):
        if x + 1 < longest:
            way = climb[x + 1]
            down = way[every, y][:, None] - way
            y = (sums[x] + np.where(row <= y[:, None], down, -down)).argmin(1)
        ends = last == x
        if ends.any():
            y[ends] = sums[x, ends].argmin(1)
        ways[x] = y
    paths = []
    for k, length in enumerate(lengths):
        path = ways[:length, k]
        # Of the two rows of a step, the one with more ink.
        columns, rows_up = begins[k] + np.arange(length), 2 * path + tops[k]
        upper, lower = (trace[np.clip(row, 0, height - 1), columns] for row in (rows_up, rows_up + 1))
        paths.append(rows_up + (lower > upper))
    return paths


def _sign(trace: np.ndarray, plane: np.ndarray) -> float:
    """1 where the trace is darker than the paper about it, -1 where it is lighter."""
    ink = trace > 0.5
    around = cv2.blur(plane, (41, 41))
    return -1.0 if ink.any() and float(np.median(plane[ink].astype(int) - around[ink])) > 0 else 1.0


def _line_width(trace: np.ndarray) -> float:
    """Height in px of a level line: the lower quartile of the ink runs' heights."""
    ink = trace[:, ::4] > 0.5
    edges = np.diff(np.pad(ink, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    begin, end = np.nonzero(edges.T == 1), np.nonzero(edges.T == -1)
    heights = end[1] - begin[1]
    return float(np.percentile(heights, 20)) if len(heights) else 2.0


@dataclass(frozen=True)
class _Band:
    """The print along a path, `_ALONG` samples a px of the page across and `_DOWN` a px down.

    contrast: [m, n] grey levels. ink: [m, n] 0..1, contrast over that of the path where the net saw the trace
    too. first: y in px of the page of the first row.
    """

    contrast: np.ndarray
    ink: np.ndarray
    first: float


def _band(trace: np.ndarray, fine: Print, x0: int, path: np.ndarray) -> _Band:
    top, bottom = max(0, int(path.min()) - _ROOM), min(len(trace) - 1, int(path.max()) + _ROOM)
    nodes = np.stack(
        np.meshgrid(
            np.arange(x0, x0 + len(path) + _NODE, _NODE, dtype=float),
            np.arange(top, bottom + _NODE, _NODE, dtype=float),
        ),
        -1,
    )
    # cv2.resize puts node k at sample (k + 1 / 2) f - 1 / 2.
    mesh = cv2.resize(fine.to_px(nodes).astype(np.float32), None, fx=_NODE * _ALONG, fy=_NODE * _DOWN)
    first = (_NODE * _ALONG - 1) // 2, (_NODE * _DOWN - 1) // 2
    size = (len(path) - 1) * _ALONG + 1, (bottom - top) * _DOWN + 1
    mesh = np.ascontiguousarray(mesh[first[1] : first[1] + size[1], first[0] : first[0] + size[0]])
    grey = cv2.remap(  # type: ignore[call-overload]  # its stub wants two maps
        fine.grey, mesh, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    begin = first[1] / _DOWN + 0.5 / _DOWN - _NODE / 2  # of the first row, in px below the top
    scale = np.array([[1 / _ALONG, 0, 0], [0, 1 / _DOWN, begin]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    part = np.s_[top : bottom + 1, x0 : x0 + len(path)]
    around, net = (
        cv2.warpAffine(plane[part], scale, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for plane in (fine.around, trace)
    )
    contrast = fine.sign * (around.astype(np.float32) - grey)
    columns = np.arange(len(path)) * _ALONG
    on_path = contrast[np.clip((path - top) * _DOWN, 0, size[1] - 1), columns]
    depth = max(_FAINT, float(np.percentile(on_path, 60)))
    seen = np.minimum(cv2.dilate(net, np.ones((2 * _DOWN + 1, 2 * _ALONG + 1), np.uint8)) / _SEEN, 1.0)
    ink = np.clip(contrast / depth, 0, 1) * seen
    return _Band(np.maximum(contrast, 0.0), ink, top + begin)


def _run(ink: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the ink above and below row y [n] in every column of [m, n]: rows where the ink is one half."""
    ink = np.pad(ink, ((1, 1), (0, 0)))  # ends in paper, whatever the page does
    rows, x, y = len(ink), np.arange(ink.shape[1]), y + 1
    dark, row = ink >= 0.5, np.arange(len(ink), dtype=np.int16)[:, None]
    above = np.maximum.accumulate(np.where(dark, 0, row), 0)[y, x]  # last paper above, first paper below
    below = np.minimum.accumulate(np.where(dark, rows - 1, row)[::-1], 0)[::-1][y, x]
    inner, outer = ink[np.minimum(above + 1, rows - 1), x], ink[above, x]
    top = above + 1 - (inner - 0.5) / np.maximum(inner - outer, 1e-3)
    inner, outer = ink[np.maximum(below - 1, 0), x], ink[below, x]
    bottom = below - 1 + (inner - 0.5) / np.maximum(inner - outer, 1e-3)
    return top - 1, bottom - 1


def _refined(trace: np.ndarray, fine: Print, x0: int, path: np.ndarray, width: float) -> np.ndarray:
    """Sub-pixel curve [n, 2] px of the page from the ink around the path, `_ALONG` points a px.

    A pen of some breadth leaves ink from the least to the greatest y that the curve has under it. On slopes
    the middle of the ink is the curve; at a tip, where the curve turns under the pen, it is the ink's end
    less half a line's width.
    """
    band = _band(trace, fine, x0, path)
    rows, n = band.ink.shape
    x = np.arange(n)
    about = np.interp(x / _ALONG, np.arange(len(path)), path)
    steep = np.abs(np.gradient(about)) * _ALONG
    y = np.clip(np.round((about - band.first) * _DOWN).astype(int), 0, rows - 1)
    dark, row = band.ink >= 0.5, np.arange(rows, dtype=np.int16)[:, None]
    over = np.maximum.accumulate(np.where(dark, row, -rows), 0)[y, x]  # the ink next to the path
    under = np.minimum.accumulate(np.where(dark, row, 2 * rows)[::-1], 0)[::-1][y, x]
    nearest = np.where(y - over <= under - y, over, under)
    inked = np.abs(nearest - y) <= (_BESIDE + steep) * _DOWN
    y = np.where(inked, np.clip(nearest, 0, rows - 1), y)
    top, bottom = (band.first + np.where(inked, edge, np.nan) / _DOWN for edge in _run(band.ink, y))
    # What reaches further than the path does is no ink of this trace: a bar, a name, another trace.
    around = np.ones(2 * _ALONG + 1, np.uint8)[None]
    highest, lowest = (morph(about[None], around)[0] for morph in (cv2.erode, cv2.dilate))
    top, bottom = np.maximum(top, highest - width / 2 - _MORE), np.minimum(bottom, lowest + width / 2 + _MORE)
    known = np.isfinite(top)
    if known.sum() < 2:
        return np.stack([x0 + x / _ALONG, np.full(n, np.nan)], 1)
    # On level stretches the centre of the print's contrast tells more than its edges.
    level = known & (bottom - top < width + 2.5)
    middle = np.where(level, (top + bottom) / 2 - band.first, 0.0)
    around = np.arange(-3 * _DOWN, 3 * _DOWN + 1)[:, None] + np.round(middle * _DOWN).astype(int)
    print_ = band.contrast[np.clip(around, 0, rows - 1), x]
    print_ = np.maximum(print_ - 0.4 * print_.max(0), 0) + 1e-6
    centre = band.first + (print_ * around).sum(0) / print_.sum(0) / _DOWN
    top, bottom = (np.interp(x, x[known], edge[known]) for edge in (top, bottom))
    curve = _under_pen(top, bottom, (bottom - top)[level] if level.any() else np.array([width]))
    near = level & (np.abs(centre - curve) < 1.0)
    curve[near] = centre[near]
    gaps = _short_gaps(~known, int(2.5 * PX_PER_MM) * _ALONG)
    curve[~known & ~gaps] = np.nan
    return np.stack([x0 + x / _ALONG, curve], 1)


def _under_pen(top: np.ndarray, bottom: np.ndarray, thick: np.ndarray) -> np.ndarray:
    """The curve [n] px along which a round pen leaves ink from top [n] to bottom [n].

    The ink's upper edge less a pen's reach is the curve with all dents closed that are narrower than the pen,
    the lower one that with all such spikes cut off: between them lies the curve, and at a spike or a dent it
    is the one or the other. thick: [m] heights of the ink where it is level, which tell the pen's width;
    where they vary much the edges are rough, and the middle of the ink tells more than they do.
    """
    quarter, thin, median, more = np.percentile(thick, (25, 30, 50, 75))
    smooth = float(np.clip((_ROUGH - (more - quarter) / median) / (_ROUGH / 2), 0, 1))
    radius, n = float(thin) / 2, len(top)
    reach = int(radius * _ALONG)
    upper, lower = np.full(n, -np.inf), np.full(n, np.inf)
    above, below = np.pad(top, reach, mode="edge"), np.pad(bottom, reach, mode="edge")
    for k in range(2 * reach + 1):
        rise = np.sqrt(radius**2 - ((k - reach) / _ALONG) ** 2)
        upper = np.maximum(upper, above[k : k + n] + rise)
        lower = np.minimum(lower, below[k : k + n] - rise)
    middle = (top + bottom) / 2
    curve = smooth * (upper + lower) / 2 + (1 - smooth) * middle
    unsure = _UNSURE_Y + _UNSURE_X * np.abs(np.gradient(curve)) * _ALONG
    apart = np.diff(np.pad(lower - upper > unsure, 1).astype(np.int8))
    for first, last in zip(np.flatnonzero(apart == 1).tolist(), np.flatnonzero(apart == -1).tolist()):
        part = slice(first, last)
        begin, end = max(0, first - 2 * reach), min(n, last + 2 * reach)  # the tip lies beside a steep flank
        ends = curve[begin], curve[end - 1]
        spike, dent = min(ends) - upper[begin:end].min(), lower[begin:end].max() - max(ends)
        if max(spike, dent) < _TIP:
            curve[part] = middle[part]
        else:
            curve[part] = upper[part] if spike > dent else lower[part]
            # The very tip may be finer than the pen.
            edge = top + radius if spike > dent else bottom - radius
            tip = begin + int((edge if spike > dent else -edge)[begin:end].argmin())
            curve[tip] = edge[tip]
    return curve


def _short_gaps(missing: np.ndarray, most: int) -> np.ndarray:
    """The missing columns that lie in runs of at most `most` between known ones."""
    out = np.zeros_like(missing)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    for a, b in zip(edges[::2], edges[1::2]):
        if a > 0 and b < len(missing) and b - a <= most:
            out[a:b] = True
    return out
