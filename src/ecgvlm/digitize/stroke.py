"""The curve that a pen drew, from the print about a path, to a fraction of a px."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.quantile import quantile, quantiles

ROOM = 12  # px of the page above and below a path that may belong to it
_ALONG, _DOWN = 3, 2  # samples of the picture for one px of the page along the trace and down
_MOST_COLUMNS = 8192  # at once: they stay in the cache
_NODE = 8  # px down a column between the points at which the map to the picture is evaluated
_FAINT = 8.0  # grey levels that ink is at least darker than the paper
_SEEN = 0.4  # probability of trace from which on all contrast counts
_WIDEST = 5.0  # px of a line's width
_MORE = 1.5  # px that the ink may reach beyond the path and half a line's width
_CENTRE = 3  # px about the middle of a level line whose contrast tells where it lies
# px by which the two edges of the ink may disagree about the curve, up or down, and to the left or right.
_UNSURE_Y, _UNSURE_X = 0.4, 0.3
_TIP = 1.0  # px that a spike or a dent must stand out
_ROUGH = 0.3  # spread of a line's thickness over the thickness from which on its edges tell little
_BESIDE = 2.0  # px that a path may lie beside its ink


@dataclass(frozen=True)
class Print:
    """The print of a page at the resolution of its picture.

    grey: [h, w] the picture in the colour that shows the trace best. sign: 1 of dark ink, -1 of light. to_px:
    [..., 2] px of the rectified page -> px of the picture. Of the rectified page: around: [H, W] brightness
    about each px; seen: [H, W] greatest probability of ink in it and beside it; width: px of a level line.
    """

    grey: np.ndarray
    sign: float
    to_px: Callable[[np.ndarray], np.ndarray]
    around: np.ndarray
    seen: np.ndarray
    width: float


def print_of(
    trace: np.ndarray,
    page: np.ndarray,
    picture: np.ndarray,
    to_px: Callable[[np.ndarray], np.ndarray],
) -> Print:
    """trace: [H, W] probability of ink on the rectified page [H, W, 3] of a picture [h, w, 3]."""
    colour = _clearest(trace, page)
    plane = colour(page)
    around = cv2.blur(plane, (41, 41))
    some = np.s_[::4]
    ink = trace[some] > 0.5
    light = ink.any() and float(np.median(plane[some][ink].astype(int) - around[some][ink])) > 0
    seen = cv2.dilate(trace, np.ones((3, 3), np.uint8))
    return Print(colour(picture), -1.0 if light else 1.0, to_px, around, seen, _line_width(trace))


_COLOURS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
    lambda rgb: cv2.extractChannel(rgb, 0),
    lambda rgb: cv2.extractChannel(rgb, 1),
    lambda rgb: cv2.extractChannel(rgb, 2),
)


def _clearest(trace: np.ndarray, page: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The colour ([h, w, 3] RGB -> [h, w]) in which the trace stands out most from its grid and paper."""
    near = cv2.dilate((trace > 0.7).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    trace, near, page = (part[::4] for part in (trace, near, page))
    ink, paper = page[trace > 0.7], page[(trace < 0.05) & near]
    if not len(ink) or not len(paper):
        return _COLOURS[0]

    def clear(colour: Callable[[np.ndarray], np.ndarray]) -> float:
        of_ink, of_paper = (colour(px[None]) for px in (ink, paper))
        return abs(float(of_ink.mean()) - float(of_paper.mean())) / (float(of_paper.std()) + 2.0)

    return max(_COLOURS, key=clear)


def _line_width(trace: np.ndarray) -> float:
    """Height in px of a level line: the lower quintile of the ink runs' heights."""
    ink = np.pad(trace[:, ::4].T > 0.5, ((0, 0), (1, 1))).ravel()
    ends = np.flatnonzero(ink[1:] != ink[:-1])
    return min(quantile(ends[1::2] - ends[::2], 0.2), _WIDEST) if len(ends) else 2.0


@dataclass(frozen=True)
class _Columns:
    """Every column of px, `_ALONG` a px of the page, along some paths.

    x: [n] px of the page. path: [n] px at which a path passes. steep: [n] px that it rises or falls in a px.
    top, bottom: [n] the edges that its ink may have. strip: [n] number of the path.
    """

    x: np.ndarray
    path: np.ndarray
    steep: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    strip: np.ndarray

    def __getitem__(self, part: np.ndarray) -> _Columns:
        return _Columns(*(getattr(self, name)[part] for name in self.__dataclass_fields__))


def _columns(begins: Sequence[int], paths: Sequence[np.ndarray], width: float) -> _Columns:
    around = np.ones((1, 2 * _ALONG + 1), np.uint8)
    parts = []
    for k, (x0, path) in enumerate(zip(begins, paths)):
        x = np.arange((len(path) - 1) * _ALONG + 1) / _ALONG
        about = np.interp(x, np.arange(len(path)), path)
        # What reaches further than the path does is no ink of this trace: a bar, a name, another trace.
        top = cv2.erode(about[None], around)[0] - width / 2 - _MORE
        bottom = cv2.dilate(about[None], around)[0] + width / 2 + _MORE
        steep = np.abs(np.gradient(about)) * _ALONG
        parts.append((x0 + x, about, steep, top, bottom, np.full(len(x), k)))
    return _Columns(*(np.concatenate(part) for part in zip(*parts)))


@dataclass(frozen=True)
class _Band:
    """The print along some columns, `_DOWN` samples a px of the page down.

    first: [n] px of the page of the first row. contrast: [rows, n] grey levels. seen: [rows, n], of `Print`.
    """

    first: np.ndarray
    contrast: np.ndarray
    seen: np.ndarray

    def row(self, y: np.ndarray) -> np.ndarray:
        """[n] the row next to y px in each column."""
        return np.clip(np.round((y - self.first) * _DOWN).astype(int), 0, len(self.contrast) - 1)


def curves_of(fine: Print, begins: Sequence[int], paths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Sub-pixel curves [n, 2] px of the page from the ink around each path, `_ALONG` points a px.

    A pen of some breadth leaves ink from the least to the greatest y that the curve has under it. On slopes
    the middle of the ink is the curve; at a tip, where the curve turns under the pen, it is the ink's end
    less half a line's width.
    """
    columns = _columns(begins, paths, fine.width)
    bands = list(_bands(fine, columns))
    on_path = np.empty(len(columns.x))
    for at, band in bands:
        on_path[at] = band.contrast[band.row(columns.path[at]), np.arange(len(at))]
    ends = np.flatnonzero(np.diff(columns.strip)) + 1
    dark = [quantile(part[::_ALONG], 0.6) for part in np.split(on_path, ends)]
    depth = np.maximum(dark, _FAINT)[columns.strip]
    found = np.empty((3, len(columns.x)))
    for at, band in bands:
        found[:, at] = _edges(band, columns[at], depth[at], fine.width)
    parts = zip(*(np.split(part, ends) for part in (columns.x, *found)))
    return [np.stack([x, _curve(top, bottom, centre, fine.width)], 1) for x, top, bottom, centre in parts]


def _bands(fine: Print, columns: _Columns) -> Iterator[tuple[np.ndarray, _Band]]:
    """Numbers of columns that need about as many rows each, and their print."""
    room = _CENTRE + 1
    tall = (columns.bottom - columns.top + 2 * room) * _DOWN
    least, most = 0, _NODE * _DOWN
    while least < tall.max():
        alike = np.flatnonzero((tall > least) & (tall <= most))
        for first in range(0, len(alike), _MOST_COLUMNS):
            at = alike[first : first + _MOST_COLUMNS]
            yield at, _band(fine, columns.x[at], np.floor(columns.top[at]) - room, most)
        least, most = most, 2 * most


def _band(fine: Print, x: np.ndarray, first: np.ndarray, rows: int) -> _Band:
    """The print in the columns at x [n] px from `first` [n] px down."""
    first = first - 0.5 / _DOWN
    nodes = np.stack(np.broadcast_arrays(x, first + np.arange(0, rows // _DOWN + 1, _NODE)[:, None]), -1)
    part = np.linspace(0, 1, _NODE * _DOWN, endpoint=False, dtype=np.float32)[:, None]
    px_x, px_y = (
        (plane[:-1, None] + part * (plane[1:] - plane[:-1])[:, None]).reshape(rows, -1)
        for plane in np.moveaxis(fine.to_px(nodes).astype(np.float32), -1, 0)
    )
    grey = cv2.remap(fine.grey, px_x, px_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    y = (first + np.arange(rows)[:, None] / _DOWN).astype(np.float32)
    x = np.broadcast_to(x.astype(np.float32), y.shape)
    around, seen = (
        cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for plane in (fine.around, fine.seen)
    )
    return _Band(first, fine.sign * (around.astype(np.float32) - grey), np.minimum(seen / _SEEN, 1.0))


def _edges(
    band: _Band, columns: _Columns, depth: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[n] px of the page of the ink's upper and lower edge in each column, NaN without any, and, on level
    stretches, of the centre of its contrast, NaN elsewhere. depth: [n] contrast of plain ink."""
    ink = np.clip(band.contrast / depth.astype(np.float32), 0, 1) * band.seen
    beside = (_BESIDE + columns.steep) * _DOWN
    top, bottom = (band.first + edge / _DOWN for edge in ink_run(ink, band.row(columns.path), beside))
    top, bottom = np.maximum(top, columns.top), np.minimum(bottom, columns.bottom)
    # On level stretches the centre of the print's contrast tells more than its edges.
    centre = np.full(len(top), np.nan)
    level = np.flatnonzero(bottom - top < width + 2.5)
    middle = ((top + bottom)[level] / 2 - band.first[level]) * _DOWN
    around = np.round(middle).astype(int) + np.arange(-_CENTRE * _DOWN, _CENTRE * _DOWN + 1)[:, None]
    print_ = np.maximum(band.contrast[around.clip(0, len(ink) - 1), level], 0.0)
    print_ = np.maximum(print_ - 0.4 * print_.max(0, initial=0.0), 0) + 1e-6
    centre[level] = band.first[level] + (print_ * around).sum(0) / print_.sum(0) / _DOWN
    return top, bottom, centre


def ink_run(ink: np.ndarray, y: np.ndarray, beside: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the run of ink next to row y [n] in every column of [m, n]: rows where the ink is one half.

    NaN where no ink lies within `beside` ([n]) rows of y.
    """
    first, last, away = nearest_run(ink >= 0.5, y)
    x, m = np.flatnonzero(away <= beside), len(ink)
    top, bottom = np.full((2, len(y)), np.nan)
    for end, row, off in ((top, first[x], -1), (bottom, last[x], 1)):
        beyond = row + off
        inner = ink[row, x]
        outer = np.where((beyond >= 0) & (beyond < m), ink[beyond.clip(0, m - 1), x], 0.0)
        end[x] = row + off * (inner - 0.5) / np.maximum(inner - outer, 1e-3)
    return top, bottom


def nearest_run(dark: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last row of the run of dark rows next to row y [n] in every column of [m, n], and how many
    rows away it is: 0 where it holds y, infinitely many where there is none in the column."""
    m, n = dark.shape
    row = np.zeros(n * (m + 1) + 1, bool)  # the columns one after the other, light between them
    row[:-1].reshape(n, m + 1)[:, 1:] = dark.T
    edges = np.flatnonzero(row[1:] != row[:-1])
    first, last = edges[::2] + 1, edges[1::2]
    if not len(first):
        return np.zeros(n, int), np.zeros(n, int), np.full(n, np.inf)
    begin = np.arange(n) * (m + 1) + 1
    at = begin + y
    under = np.searchsorted(last, at).clip(max=len(last) - 1)  # the first that does not end above
    over = (under - 1).clip(0)
    away = []
    for run in (over, under):
        rows = np.maximum(np.maximum(first[run] - at, at - last[run]), 0)
        away.append(np.where((first[run] >= begin) & (last[run] < begin + m), rows, np.inf))
    run = np.where(away[0] <= away[1], over, under)
    return first[run] - begin, last[run] - begin, np.minimum(*away)


def _curve(top: np.ndarray, bottom: np.ndarray, centre: np.ndarray, width: float) -> np.ndarray:
    """[n] px, NaN in gaps, of the edges of the ink along one path."""
    known, x = np.isfinite(top), np.arange(len(top))
    if known.sum() < 2:
        return np.full(len(top), np.nan)
    level = np.isfinite(centre)
    thick = (bottom - top)[level] if level.any() else np.array([width])
    top, bottom = (np.interp(x, x[known], edge[known]) for edge in (top, bottom))
    curve = _under_pen(top, bottom, thick)
    near = level & (np.abs(centre - curve) < 1.0)
    curve[near] = centre[near]
    curve[~known & ~_short_gaps(~known, int(2.5 * PX_PER_MM) * _ALONG)] = np.nan
    return curve


def _under_pen(top: np.ndarray, bottom: np.ndarray, thick: np.ndarray) -> np.ndarray:
    """The curve [n] px along which a round pen leaves ink from top [n] to bottom [n].

    The ink's upper edge less a pen's reach is the curve with all dents closed that are narrower than the pen,
    the lower one that with all such spikes cut off: between them lies the curve, and at a spike or a dent it
    is the one or the other. thick: [m] heights of the ink where it is level, which tell the pen's width;
    where they vary much the edges are rough, and the middle of the ink tells more than they do.
    """
    quarter, thin, median, more = quantiles(thick, 0.25, 0.3, 0.5, 0.75)
    smooth = float(np.clip((_ROUGH - (more - quarter) / median) / (_ROUGH / 2), 0, 1))
    radius, n = float(thin) / 2, len(top)
    reach = int(radius * _ALONG)
    rise = np.sqrt(radius**2 - (np.arange(-reach, reach + 1)[:, None] / _ALONG) ** 2)
    above, below = (sliding_window_view(np.pad(edge, reach, mode="edge"), n) for edge in (top, bottom))
    upper, lower = (above + rise).max(0), (below - rise).min(0)
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
