"""The curve that a pen drew, from the print about a path, to a fraction of a px."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from ecgvlm import filters
from ecgvlm.compiled import COMPILED
from ecgvlm.digitize import pen
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.pen import ALONG, LEVELS, PLAIN, Ink
from ecgvlm.digitize.surface import between
from ecgvlm.quantile import median, quantile
from ecgvlm.together import together

ROOM = 12  # px of the page above and below a path that may belong to it
_DOWN = 2  # samples of the picture for one px of the page down; along the trace they are `ALONG`
_MOST_COLUMNS = 8192  # at once: they stay in the cache
_LEAST_TALL = 16  # rows
_NODE = 5  # px of the page between the points at which the map to the picture is evaluated
_FAINT = 8.0  # grey levels that ink is at least darker than the paper
_SEEN = 0.4  # probability of trace from which on all contrast counts
_WIDEST = 5.0  # px of a line's width
_MORE = 1.5  # px that the ink may reach beyond the path and half a line's width
_CENTRE = 3  # px about the middle of a level line whose contrast tells where it lies
_LEVEL = 2.5  # px by which ink may be higher than a level line and still be one
_BESIDE = 2.0  # px that a path may lie beside its ink


@dataclass(frozen=True)
class Print:
    """The print of a page at the resolution of its picture.

    grey: [h, w] the picture in the colour that shows the trace best. sign: 1 of dark ink, -1 of light. mesh:
    [rows, cols, 2] float32 px of the picture at the nodes of the rectified page, `_NODE` apart. print:
    [H, W, 2] of the rectified page, brightness about each px, and greatest probability of ink in it and
    beside it, 255 for 1. width: px of a level line.
    """

    grey: np.ndarray
    sign: float
    mesh: np.ndarray
    print: np.ndarray
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
    light = ink.any() and median(plane[some][ink].astype(int) - around[some][ink]) > 0
    seen = cv2.dilate(cv2.convertScaleAbs(trace, alpha=255), np.ones((3, 3), np.uint8))
    rows, cols = (np.arange(side // _NODE + 2) * _NODE for side in trace.shape)
    mesh = to_px(np.stack(np.meshgrid(cols, rows), -1)).astype(np.float32)
    return Print(colour(picture), -1.0 if light else 1.0, mesh, cv2.merge([around, seen]), _line_width(trace))


_COLOURS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
    lambda rgb: cv2.extractChannel(rgb, 0),
    lambda rgb: cv2.extractChannel(rgb, 1),
    lambda rgb: cv2.extractChannel(rgb, 2),
)


def _clearest(trace: np.ndarray, page: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The colour ([h, w, 3] RGB -> [h, w]) in which the trace stands out most from its grid and paper."""
    few = (trace.shape[1] // 2, trace.shape[0] // 4)
    trace, page = (cv2.resize(part, few, interpolation=cv2.INTER_NEAREST) for part in (trace, page))
    px = page.reshape(-1, 3)
    plain = trace > 0.7
    near = cv2.dilate(plain.view(np.uint8), np.ones((3, 5), np.uint8)).view(bool)
    ink, paper = px[np.flatnonzero(plain)], px[np.flatnonzero(near & (trace < 0.05))]
    if not len(ink) or not len(paper):
        return _COLOURS[0]

    def clear(colour: Callable[[np.ndarray], np.ndarray]) -> float:
        of_ink, of_paper = (colour(px[None]) for px in (ink, paper))
        return abs(float(of_ink.mean()) - float(of_paper.mean())) / (float(of_paper.std()) + 2.0)

    return max(_COLOURS, key=clear)


def _line_width(trace: np.ndarray) -> float:
    """Height in px of a level line: the lower quintile of the ink runs' heights."""
    ink = cv2.transpose((trace[:, ::4] > 0.5).view(np.uint8))
    ink = cv2.copyMakeBorder(ink, 0, 0, 1, 1, cv2.BORDER_CONSTANT).ravel()
    ends = np.flatnonzero(ink[1:] != ink[:-1])
    return min(quantile(ends[1::2] - ends[::2], 0.2), _WIDEST) if len(ends) else 2.0


@dataclass(frozen=True)
class _Columns:
    """Every column of px, `ALONG` a px of the page, along some paths.

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
    around = np.ones((1, 2 * ALONG + 1), np.uint8)
    parts = []
    for k, (x0, path) in enumerate(zip(begins, paths)):
        x = np.arange((len(path) - 1) * ALONG + 1) / ALONG
        about = np.interp(x, np.arange(len(path)), path)
        # What reaches further than the path does is no ink of this trace: a bar, a name, another trace.
        top = cv2.erode(about[None], around)[0] - width / 2 - _MORE
        bottom = cv2.dilate(about[None], around)[0] + width / 2 + _MORE
        steep = np.abs(np.gradient(about)) * ALONG
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
    """Sub-pixel curves [n, 2] px of the page from the ink around each path, `ALONG` points a px."""
    half = int(np.searchsorted(np.cumsum([len(path) for path in paths]), sum(map(len, paths)) / 2))
    parts = (slice(half), slice(half, None))
    some, others = together(*(partial(_drawn, fine, begins[part], paths[part]) for part in parts))
    curves = some + others
    return [np.stack([x0 + np.arange(len(curve)) / ALONG, curve], 1) for x0, curve in zip(begins, curves)]


def _drawn(fine: Print, begins: Sequence[int], paths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """[n] px of the curve along each path, NaN in gaps."""
    inks = inks_of(fine, begins, paths)
    return [_without_gaps(curve, ink.known) for curve, ink in zip(pen.curves(inks, fine.width), inks)]


def inks_of(fine: Print, begins: Sequence[int], paths: Sequence[np.ndarray]) -> list[Ink]:
    """The ink about each path."""
    if not paths:
        return []
    columns = _columns(begins, paths, fine.width)
    bands = list(_bands(fine, columns))
    on_path = np.empty(len(columns.x))
    for at, band in bands:
        on_path[at] = band.contrast[band.row(columns.path[at]), np.arange(len(at))]
    ends = np.flatnonzero(np.diff(columns.strip)) + 1
    dark = [quantile(part[::ALONG], 0.6) for part in np.split(on_path, ends)]
    depth = np.maximum(dark, _FAINT)[columns.strip]
    edges = np.empty((2 * len(LEVELS) + 1, len(columns.x)))
    for at, band in bands:
        edges[:, at] = _edges(band, columns[at], depth[at], fine.width)
    edges = np.concatenate([edges, [columns.path, on_path / depth]])
    several = len(LEVELS)
    return [
        Ink(part[:several], part[several : 2 * several], *part[2 * several :])
        for part in np.split(edges, ends, 1)
    ]


def _bands(fine: Print, columns: _Columns) -> Iterator[tuple[np.ndarray, _Band]]:
    """Numbers of columns that need about as many rows each, and their print."""
    room = _CENTRE + 1
    tall = (columns.bottom - columns.top + 2 * room) * _DOWN
    least, most = 0, _LEAST_TALL
    while least < tall.max():
        alike = np.flatnonzero((tall > least) & (tall <= most))
        for first in range(0, len(alike), _MOST_COLUMNS):
            at = alike[first : first + _MOST_COLUMNS]
            yield at, _band(fine, columns.x[at], np.floor(columns.top[at]) - room, most)
        least, most = most, 2 * most


def _band(fine: Print, x: np.ndarray, first: np.ndarray, rows: int) -> _Band:
    """The print in the columns at x [n] px from `first` [n] px down."""
    if COMPILED and COMPILED.laned:
        seen_on = fine.grey, fine.mesh, fine.print, 255 * _SEEN, fine.sign
        return _Band(first - 0.5 / _DOWN, *COMPILED.band(x, first, rows, *seen_on))
    first = first - 0.5 / _DOWN
    y = first.astype(np.float32) + (np.arange(rows, dtype=np.float32) / _DOWN)[:, None]
    x = np.repeat(x.astype(np.float32)[None], rows, 0)
    at = np.stack([x, y], -1)
    grey, print_ = (
        cv2.remap(plane, px, None, way, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        for plane, px, way in (
            (fine.grey, between(fine.mesh, at / _NODE).astype(np.float32), cv2.INTER_CUBIC),
            (fine.print, at, cv2.INTER_LINEAR),
        )
    )
    contrast = fine.sign * cv2.subtract(print_[..., 0], grey, dtype=cv2.CV_32F)
    return _Band(first, contrast, np.minimum(print_[..., 1] / np.float32(255 * _SEEN), 1.0))


def _edges(band: _Band, columns: _Columns, depth: np.ndarray, width: float) -> np.ndarray:
    """[2 levels + 1, n] px of the page of the ink's upper and of its lower edge in each column, NaN without
    any, and, on level stretches, of the centre of its contrast, NaN elsewhere. depth: [n] contrast of plain
    ink."""
    beside = (_BESIDE + columns.steep) * _DOWN
    if COMPILED:
        known = band.first, columns.path, beside, columns.top, columns.bottom, depth
        return COMPILED.edges(band.contrast, band.seen, known, LEVELS, PLAIN, width + _LEVEL)
    ink = band.contrast / depth.astype(np.float32)
    np.clip(ink, 0, 1, out=ink)
    ink *= band.seen
    row = band.row(columns.path)
    runs = np.array([ink_run(ink, row, beside, level) for level in LEVELS])
    top, bottom = np.moveaxis(band.first + runs / _DOWN, 1, 0)
    top, bottom = np.maximum(top, columns.top), np.minimum(bottom, columns.bottom)
    # On level stretches the centre of the print's contrast tells more than its edges.
    first, last = top[PLAIN], bottom[PLAIN]
    centre = np.full(len(first), np.nan)
    level = np.flatnonzero(last - first < width + _LEVEL)
    middle = ((first + last)[level] / 2 - band.first[level]) * _DOWN
    around = np.round(middle).astype(int) + np.arange(-_CENTRE * _DOWN, _CENTRE * _DOWN + 1)[:, None]
    print_ = np.maximum(band.contrast[around.clip(0, len(ink) - 1), level], 0.0)
    print_ = np.maximum(print_ - 0.4 * print_.max(0, initial=0.0), 0) + 1e-6
    centre[level] = band.first[level] + (print_ * around).sum(0) / print_.sum(0) / _DOWN
    return np.concatenate([top, bottom, centre[None]])


def ink_run(
    ink: np.ndarray, y: np.ndarray, beside: np.ndarray | float, level: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the run of ink next to row y [n] in every column of [m, n]: rows where the ink is `level`.

    NaN where no ink lies within `beside` ([n]) rows of y.
    """
    return COMPILED.ink_run(ink, y, beside, level) if COMPILED else _ink_run(ink, y, beside, level)


def _ink_run(
    ink: np.ndarray, y: np.ndarray, beside: np.ndarray | float, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """`ink_run` where nothing is compiled."""
    first, last, away = nearest_run(ink >= level, y)
    x, m = np.flatnonzero(away <= beside), len(ink)
    top, bottom = np.full((2, len(y)), np.nan)
    for end, row, off in ((top, first[x], -1), (bottom, last[x], 1)):
        beyond = row + off
        inner = ink[row, x]
        outer = np.where((beyond >= 0) & (beyond < m), ink[beyond.clip(0, m - 1), x], 0.0)
        end[x] = row + off * (inner - level) / np.maximum(inner - outer, 1e-3)
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


def _without_gaps(curve: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[n] px, NaN in gaps. known: [n] where there is ink."""
    if known.sum() < 2:
        return np.full(len(curve), np.nan)
    x = np.arange(len(curve))
    whole = np.interp(x, x[known], curve[known])
    whole[~known & ~_short_gaps(~known, int(2.5 * PX_PER_MM) * ALONG)] = np.nan
    return whole


def _short_gaps(missing: np.ndarray, most: int) -> np.ndarray:
    """The missing columns that lie in runs of at most `most` between known ones."""
    out = np.zeros_like(missing)
    for a, b in filters.runs(missing):
        if a > 0 and b < len(missing) and b - a <= most:
            out[a:b] = True
    return out
