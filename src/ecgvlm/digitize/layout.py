"""Which lead stands where on a rectified page: known layouts are laid over the names that the net saw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ecgvlm.digitize.pagenet import PULSE, PX_PER_MM, Mark, NetMaps
from ecgvlm.paper.layouts import LAYOUTS, ORDERS
from ecgvlm.record import LEADS

_NEAR = 3.0 * PX_PER_MM  # a name this close to where the layout expects it counts
_SHORTEST = 20.0 * PX_PER_MM  # a strip shorter than this holds no whole beat
FEWEST = 6  # leads that a page must show
_NAME_IN = 1.0 * PX_PER_MM, 10.0 * PX_PER_MM  # from a strip's beginning to its name: usually, and at most
_PULSE = 0.15  # probability from which on a mark counts as a calibration pulse
_LONGEST_FOOT = 12.0 * PX_PER_MM
_STRAIGHT = 0.5 * PX_PER_MM  # a row whose ink rises and falls less than this is a line, no trace
_DROP = 0.45  # of the rows' distance, by which the names of one column may stand lower than those of another
_WIDEST_GAP = 10.0 * PX_PER_MM  # blank paper between two columns
_NARROWEST_GAP = 0.8 * PX_PER_MM
_GAP_OFF = 3.0 * PX_PER_MM  # by which a gap that is seen may differ from the one that whole seconds leave


@dataclass(frozen=True)
class Placed:
    """One strip on the rectified page: x0 and x1 its ends, y where its row lies (px). sign: -1 for -aVR.

    since: px of printed time between the row's beginning and x0. named: whether its own name was seen.
    """

    lead: str
    rhythm: bool
    row: int
    column: int
    x0: float
    x1: float
    since: float
    y: float
    named: bool
    sign: float = 1.0


@dataclass(frozen=True)
class Found:
    """layout: name of `LAYOUTS`. score: mean probability of the twelve names where they are expected.

    strips: of at least `FEWEST` leads; rows and columns beyond the picture's edge are left out.
    """

    layout: str
    order: str
    strips: tuple[Placed, ...]
    score: float
    named: int


@dataclass(frozen=True)
class _Fit:
    columns: int
    order: str
    x0: float
    dx: float
    y0: float
    dy: float
    score: float
    named: frozenset[str]

    def rows_shown(self) -> range:
        """The rows that the picture shows: two or more without any name at either end lie beyond it."""
        rows = 12 // self.columns
        seen = sorted({i % rows for i, lead in enumerate(ORDERS[self.order]) if lead in self.named})
        first, last = seen[0], seen[-1]
        return range(first if first > 1 else 0, last + 1 if last < rows - 2 else rows)

    def columns_named(self) -> set[int]:
        """The columns of which at least one name was seen."""
        return {i // (12 // self.columns) for i, lead in enumerate(ORDERS[self.order]) if lead in self.named}


def find_layout(maps: NetMaps, to_scale: bool = True) -> Found | None:
    """The layout that explains the names best, its strips' ends from the trace; None where not six fit.

    to_scale: whether mm are known, so that columns may be taken to print a whole number of seconds together.
    """
    marks = [mark for mark in maps.marks() if mark.kind < PULSE]
    fits = [
        fit for columns in (4, 2, 1) for order in ORDERS if (fit := _place(marks, columns, order)) is not None
    ]
    if not fits:
        return None
    best = max(fits, key=lambda fit: fit.score)
    if len(best.named) < FEWEST:
        return None
    return _with_strips(best, maps, marks, to_scale)


def _place(marks: list[Mark], columns: int, order: str) -> _Fit | None:
    """Lay 12 / columns rows by columns of names over the marks, by consensus of pairs of marks."""
    leads = ORDERS[order]
    per_column = 12 // columns
    cells = [(i % per_column, i // per_column, LEADS.index(lead)) for i, lead in enumerate(leads)]
    cell_of = {kind: (row, column) for row, column, kind in cells}
    # x: the columns' names are dx apart; y: rows dy apart. Both are found by voting of pairs.
    pitch = _pitch([(cell_of[m.kind][0], m.y, m.p) for m in marks], least=7.0 * PX_PER_MM, rows=per_column)
    if pitch is None:
        return None
    y0, dy = pitch
    # A column's names may stand higher or lower than those of the others, all alike.
    drops = []
    for column in range(columns):
        off = [(m.y - y0 - dy * row, m.p) for m in marks for row, own in [cell_of[m.kind]] if own == column]
        drops.append(_mode([(drop, p) for drop, p in off if abs(drop) < _DROP * abs(dy)]))
    rowed = [m for m in marks if abs(m.y - y0 - dy * cell_of[m.kind][0] - drops[cell_of[m.kind][1]]) < _NEAR]
    if columns == 1:
        x0, dx = _mode([(m.x, m.p) for m in rowed]), 0.0
    else:
        spread = _pitch([(cell_of[m.kind][1], m.x, m.p) for m in rowed], least=25.0 * PX_PER_MM, rows=columns)
        if spread is None:
            return None
        x0, dx = spread
    total, named = 0.0, set()
    for _, column, kind in cells:
        near = [m.p for m in rowed if m.kind == kind and abs(m.x - x0 - dx * column) < _NEAR]
        total += max(near, default=0.0)
        named |= {LEADS[kind]} if near else set()
    return _Fit(columns, order, x0, dx, y0, dy, total / 12, frozenset(named))


def _pitch(points: list[tuple[int, float, float]], least: float, rows: int) -> tuple[float, float] | None:
    """Fit position = start + pitch * index to (index, position, weight): best pair, then least squares."""
    points = sorted(points, key=lambda p: -p[2])[:30]
    if len(points) < 2:
        return None
    index = np.array([p[0] for p in points], float)
    place = np.array([p[1] for p in points])
    weight = np.array([p[2] for p in points])
    # Every pair of marks proposes a start and a pitch; all marks near to where those expect them vote.
    a, b = np.nonzero(index[None] > index[:, None])
    pitch = (place[b] - place[a]) / (index[b] - index[a])
    start = place[a] - pitch * index[a]
    start, pitch = start[pitch >= least], pitch[pitch >= least]
    if not len(pitch):
        return None
    off = np.abs(place - start[:, None] - pitch[:, None] * index)
    votes = np.where(off < _NEAR, weight * (1 - off / _NEAR / 2), 0.0) @ (index[:, None] == np.arange(rows))
    # No index counts for more than a few marks, so that one crowded row does not decide.
    found = off[int(np.argmax(np.minimum(votes, 3.0).sum(1)))] < _NEAR
    if len(set(index[found])) < 2:
        return None
    slope, start = np.polyfit(index[found], place[found], 1, w=weight[found])
    return float(start), float(slope)


def _mode(points: list[tuple[float, float]]) -> float:
    if not points:
        return 0.0
    x, w = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    votes = [(w * (np.abs(x - c) < _NEAR)).sum() for c in x]
    centre = x[int(np.argmax(votes))]
    near = np.abs(x - centre) < _NEAR
    return float(np.average(x[near], weights=w[near]))


def _with_strips(fit: _Fit, maps: NetMaps, marks: list[Mark], to_scale: bool) -> Found | None:
    """The layout with those strips that the picture shows; None where they hold fewer than six leads."""
    per_column = 12 // fit.columns
    height = maps.trace.shape[0]
    ink = maps.trace > 0.5
    name_ys = [fit.y0 + fit.dy * row for row in range(per_column)]
    lines = _baselines(ink, name_ys, fit.dy)
    offset = float(np.median(np.array(lines) - np.array(name_ys)))
    # Below the last row: rhythm strips, as long as a row of ink follows.
    rhythm_leads: list[str] = []
    ys = list(lines)
    while len(rhythm_leads) < 3:
        expected = name_ys[-1] + fit.dy * (len(rhythm_leads) + 1)
        near = [
            m
            for m in marks
            if abs(m.x - fit.x0) < 1.5 * _NEAR and abs(m.y - expected) < max(_NEAR, 0.35 * abs(fit.dy))
        ]
        y = _baselines(ink, [max(near, key=lambda m: m.p).y if near else expected], fit.dy, offset)[0]
        half = 0.3 * abs(fit.dy)
        band = ink[max(0, int(y - half)) : max(1, min(height, int(y + half)))]
        if y + half * 0.2 > height or band.size == 0 or not _beats(band):
            break
        lead = LEADS[max(near, key=lambda m: m.p).kind] if near else "II"
        rhythm_leads.append(lead)
        ys.append(y)
    if len(rhythm_leads) == 2:
        rhythm_leads, ys = rhythm_leads[:1], ys[: per_column + 1]
    if fit.columns == 1:
        rhythm_leads, ys = [], ys[:per_column]
    elif fit.columns == 2:
        rhythm_leads, ys = rhythm_leads[:1], ys[: per_column + 1]
    left, right = _ends(ink, ys[:per_column], abs(fit.dy))
    if any(-12 * PX_PER_MM < mark.x - left < 0 for mark in maps.marks(_PULSE) if mark.kind == PULSE):
        left += _foot(ink, ys, abs(fit.dy), left, right)
    # Columns may stand apart; a rhythm strip runs through, and is then shorter.
    ends = [_ends(ink, [y], abs(fit.dy))[1] for y in ys[per_column:]]
    ends = [min(right, max(end, left + _SHORTEST)) for end in ends]
    through = float(np.median(ends)) - left if ends else None
    columns = _columns(ink, ys[:per_column], left, right, fit, through, to_scale)
    # Names may go unseen where the picture does show their rows.
    rows = [k for k in range(per_column) if k in fit.rows_shown() or _beats(_band(ink, ys[k], abs(fit.dy)))]
    strips = []
    for i, lead in enumerate(ORDERS[fit.order]):
        row, column = i % per_column, i // per_column
        if column in columns and row in rows and 0 <= ys[row] < height:
            x0, x1, since = columns[column]
            sign = -1.0 if fit.order == "cabrera" and lead == "aVR" else 1.0
            named = lead in fit.named
            strips.append(Placed(lead, False, row, column, x0, x1, since, ys[row], named, sign))
    if len(strips) < FEWEST:
        return None
    cut = max(0.0, left - _start(fit, left, right))
    for i, (lead, end) in enumerate(zip(rhythm_leads, ends)):
        strips.append(Placed(lead, True, per_column + i, 0, left, end, cut, ys[per_column + i], True))
    base = {4: "3x4", 2: "6x2", 1: "12x1"}[fit.columns]
    name = base + (f"+{len(rhythm_leads)}R" if rhythm_leads else "")
    assert name in LAYOUTS
    return Found(name, fit.order, tuple(strips), fit.score, len(fit.named))


def _baselines(ink: np.ndarray, name_ys: list[float], dy: float, offset: float | None = None) -> list[float]:
    """Where the rows' traces run: the y with most ink within half a row of each name, all shifted alike."""
    profile = ink.sum(1).astype(float)
    kernel = np.hanning(int(2.4 * PX_PER_MM) | 1)
    profile = np.convolve(profile, kernel / kernel.sum(), "same")
    reach = int(0.62 * abs(dy))
    lags = np.arange(-reach, reach + 1)
    sums = np.zeros(len(lags))
    reference = float(
        np.median([profile[max(0, int(y) - reach) : int(y) + reach + 1].max(initial=1e-6) for y in name_ys])
    )
    for y in name_ys:
        at = np.clip(np.round(y + lags).astype(int), 0, len(profile) - 1)
        # Every row must have its ink there: a shift by one row would leave the last one empty.
        sums += np.minimum(profile[at] / reference, 1.0)
    # Nor is there ink above the first row. Names stand above or on the trace more often than below it.
    above = np.clip(np.round(name_ys[0] - abs(dy) + lags).astype(int), 0, len(profile) - 1)
    sums -= np.where(name_ys[0] - abs(dy) + lags > 0, np.minimum(profile[above] / reference, 1.0), 0.0)
    sums -= 0.6 * ((lags / abs(dy) - 0.15) / 0.6) ** 2
    common = float(lags[int(np.argmax(sums))]) if offset is None else offset
    found = []
    for y in name_ys:
        near = np.arange(int(y + common - 0.2 * abs(dy)), int(y + common + 0.2 * abs(dy)) + 1)
        near = near[(near >= 0) & (near < len(profile))]
        found.append(float(near[int(np.argmax(profile[near]))]) if len(near) else y + common)
    return found


def _band(ink: np.ndarray, y: float, dy: float) -> np.ndarray:
    """The ink within 0.3 rows of a row's line."""
    return ink[max(0, int(y - 0.3 * dy)) : max(0, int(y + 0.3 * dy) + 1)]


def _beats(band: np.ndarray) -> bool:
    """Whether a row's ink is that of a rhythm strip: long enough, and no straight line, as an axis is one."""
    inked = np.any(band, axis=0)
    if inked.sum() < 100 * PX_PER_MM:
        return False
    top = band.argmax(0)[inked]
    return bool(np.ptp(np.percentile(top, (2, 98))) > _STRAIGHT)


def _ends(ink: np.ndarray, ys: list[float], dy: float) -> tuple[float, float]:
    """First and last column of ink: the median over the rows, so that a stray mark moves nothing."""
    firsts, lasts = [], []
    for y in ys:
        band = ink[max(0, int(y - 0.45 * dy)) : int(y + 0.45 * dy) + 1]
        columns = np.flatnonzero(_solid(np.any(band, axis=0)))
        if len(columns):
            firsts.append(columns[0])
            lasts.append(columns[-1])
    if not firsts:
        return 0.0, float(ink.shape[1] - 1)
    return float(np.median(firsts)), float(np.median(lasts)) + 1


def _foot(ink: np.ndarray, ys: list[float], dy: float, left: float, right: float) -> float:
    """px of a calibration pulse's foot that runs into the traces: all rows begin with so long a level line.

    It is taken for one only where rows without it last whole seconds.
    """
    x0, most = int(left), int(_LONGEST_FOOT)
    level = []
    for y in ys:
        band = ink[max(0, int(y - 0.45 * dy)) : int(y + 0.45 * dy) + 1, x0 : x0 + most]
        at = np.flatnonzero(band.any(0))
        if not len(at):
            return 0.0
        top, bottom = band.argmax(0)[at], band.shape[0] - 1 - band[::-1].argmax(0)[at]
        off = (np.abs(top - np.median(top[:9])) > 1) | (np.abs(bottom - np.median(bottom[:9])) > 1)
        level.append(int(at[np.argmax(off)]) if off.any() else most)
    foot = float(min(level))
    second = 25.0 * PX_PER_MM

    def part_second(length: float) -> float:
        return abs(length / second - round(length / second)) * second

    whole = part_second(right - left - foot) < min(PX_PER_MM, 0.5 * part_second(right - left))
    return foot if 2 * PX_PER_MM <= foot < most and whole else 0.0


def _solid(columns: np.ndarray) -> np.ndarray:
    """Columns that belong to runs of at least 4 mm, gaps up to 1.6 mm closed."""
    closed = _closed(columns, int(1.6 * PX_PER_MM))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], closed.astype(np.int8), [0]])))
    keep = np.zeros_like(columns, bool)
    for a, b in zip(edges[::2], edges[1::2]):
        if b - a >= 4 * PX_PER_MM:
            keep[a:b] = columns[a:b]
    return keep


def _closed(columns: np.ndarray, gap: int) -> np.ndarray:
    out = columns.copy()
    at = np.flatnonzero(columns)
    for a, b in pairwise(at):
        if 1 < b - a <= gap + 1:
            out[a:b] = True
    return out


def _start(fit: _Fit, left: float, right: float) -> float:
    """Where the rows begin or, where the picture's edge cuts them off, began: px of the rectified page.

    A row as long as its names stand apart is whole. Else one of its ends is missing: that which lets the
    names stand where they usually do.
    """
    usual, most = _NAME_IN
    if (
        fit.columns == 1
    ):  # names far inside are those of a column whose left neighbour is no part of this layout
        return left if fit.x0 - left < 2 * most else fit.x0 - usual
    if right - left > fit.columns * fit.dx - _WIDEST_GAP:
        return left
    nearest = min((left, right - fit.columns * fit.dx), key=lambda start: abs(fit.x0 - start - usual))
    return nearest if abs(fit.x0 - nearest - usual) < most else fit.x0 - usual


def _columns(
    ink: np.ndarray, ys: list[float], left: float, right: float, fit: _Fit, through: float | None,
    to_scale: bool,
) -> dict[int, tuple[float, float, float]]:  # fmt: skip
    """column -> ends of its strips and px of time before them: equal parts of the row between the gaps.

    through: px that a rhythm strip is long.

    Of rows that are cut off, columns too short to read and those without any name are left out.
    """
    start, width = _start(fit, left, right), (right - left) / fit.columns
    if fit.columns == 1:
        return {0: (start, right, 0.0)} if right - start >= _SHORTEST else {}
    whole = right - left > fit.columns * fit.dx - _WIDEST_GAP
    gap = _gap(
        ink, ys, abs(fit.dy), [start + i * (width if whole else fit.dx) for i in range(1, fit.columns)]
    )
    if whole and through is not None and through > 0.8 * (right - left):
        # What columns and gaps take more than a rhythm strip are the gaps.
        more = (right - left - through) / (fit.columns - 1)
        gap = more if more > _NARROWEST_GAP else 0.0
    if gap and whole and to_scale:
        gap = _whole_seconds(right - left, gap, fit.columns)
    elif not whole and to_scale and through is not None and right - left - through > 4 * _NARROWEST_GAP:
        # A rhythm strip that ends before the columns do was not cut off with them.
        part = 25.0 * PX_PER_MM / fit.columns
        gap = float(np.clip(fit.dx - part * round(through / fit.columns / part), 0.0, _WIDEST_GAP))
    window = (right - left - gap * (fit.columns - 1)) / fit.columns if whole else fit.dx - gap
    columns = {}
    for i in range(fit.columns):
        x0 = start + i * (window + gap)
        x1 = min(x0 + window, right)
        cut = max(0.0, left - x0)
        if x1 - x0 - cut >= _SHORTEST:
            columns[i] = (x0 + cut, x1, i * window + cut)
    nameless = set(columns) - fit.columns_named()
    if not whole or len(nameless) > 1:
        columns = {i: ends for i, ends in columns.items() if i not in nameless}
    return columns


def _whole_seconds(width: float, gap: float, columns: int) -> float:
    """px of blank paper between columns of a row that prints whole seconds on this width, given the gap seen.

    Ink is wider than the trace and stray ink narrows a gap: an error that every further column adds to.
    """
    step = 25.0 * PX_PER_MM / columns
    windows = step * np.arange(1, width / step)
    gaps = (width - columns * windows) / (columns - 1)
    nearest = float(gaps[np.argmin(np.abs(gaps - gap))])
    return max(0.0, nearest) if abs(nearest - gap) < _GAP_OFF else gap


def _gap(ink: np.ndarray, ys: list[float], dy: float, places: list[float]) -> float:
    """px of blank paper that most rows show near the places where one column meets the next."""
    bands = np.stack([ink[max(0, int(y - 0.45 * dy)) : int(y + 0.45 * dy) + 1].any(0) for y in ys])
    inked = bands.mean(0)
    gaps = []
    for place in places:
        a, b = int(max(0, place - 6 * PX_PER_MM)), int(min(len(inked), place + 6 * PX_PER_MM))
        empty = np.flatnonzero(inked[a:b] < 0.34)
        run = max(np.split(empty, np.flatnonzero(np.diff(empty) > 1) + 1), key=len)
        gaps.append(float(len(run)) if len(run) >= _NARROWEST_GAP else 0.0)
    return float(np.median(gaps))
