"""Which lead is printed in which row and column: read off the names' places, whatever order they stand in.

The usual orders of the twelve leads are laid over the names that were read, so that names which went unread
can be filled in. Where no usual order explains the names, their places alone make rows and columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby, pairwise, product
from typing import NamedTuple

import numpy as np

from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.paper.layouts import CABRERA
from ecgvlm.quantile import median
from ecgvlm.record import LEADS

NEAR = 3.0 * PX_PER_MM  # a name this close to where it is expected counts
FEWEST = 6  # leads that a page must show
LEAST_ROW, _LEAST_COLUMN = 7.0 * PX_PER_MM, 25.0 * PX_PER_MM  # distance of two rows, and of two columns
# Of the rows' distance, by which the names of one column may stand lower than those of another, and those of
# one row lower or higher than even rows would.
_DROP = 0.45
_ROW_SEEN = 1.5  # names, by their probabilities, that tell where a row stands that is not even with others
PLAIN = 0.5  # probability from which on a name is there beyond doubt
_BEYOND_DOUBT = 0.9
_UNEXPLAINED = 2  # plain names that an order may leave unexplained before others are tried
_EXPLAINED = 11.5 / 12  # score of an order that explains all twelve names
_PLAINLY_BETTER = 1.5 / 12  # score that places alone must have more than an order: a name and a half
_MOST_TRIED = 30  # names, the clearest, that propose rows and columns
# What all marks together say by how near they are to a pitch's places, against one that is there.
_BESIDE = 0.5
_WIDE_COLUMN = 8.0 * PX_PER_MM  # names of one column lie closer together than this
_FILLED = 1 / 3  # of rows times columns that names must fill where no usual order tells what is missing
_REPEATED = 1.5  # times that a lead is named on average where no usual order tells, above which it is no ECG
_EMPTY = 0.15  # what a row without any name counts against a distance of rows
# Limb leads as printers order them, and the chest leads. Either may come first.
_LIMB = {"standard": LEADS[:6], "cabrera": CABRERA[:6]}
_CHEST = LEADS[6:]
_BACK = ("V7", "V8", "V9")  # recorded together


@dataclass(frozen=True)
class Name:
    """A lead's name as read on the rectified page: centre in px, probability."""

    lead: str
    x: float
    y: float
    p: float


@dataclass(frozen=True)
class Cell:
    """lead: printed there. named: whether its own name was read there, else it was filled in."""

    lead: str
    row: int
    column: int
    named: bool


@dataclass(frozen=True)
class Arrangement:
    """Rows and columns of leads on the rectified page.

    xs: [columns] px of the columns' names. ys: [rows] px of the rows' names; dy: usually between rows. cells:
    at most one a row and column. order: "cabrera" where the limb leads stand in Cabrera's order with -aVR,
    else "standard". score: 0..1, the mean probability of the twelve names where they are expected.
    """

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    dy: float
    cells: tuple[Cell, ...]
    order: str
    score: float

    @property
    def rows(self) -> int:
        return len(self.ys)

    @property
    def columns(self) -> int:
        return len(self.xs)

    @property
    def dx(self) -> float:
        """px from one column's names to the next one's; 0 where there is one column."""
        return float(np.mean(np.diff(self.xs))) if len(self.xs) > 1 else 0.0

    @cached_property
    def named(self) -> frozenset[str]:
        return frozenset(cell.lead for cell in self.cells if cell.named)

    def rows_shown(self) -> range:
        """The rows that the picture shows: two or more without any name at either end lie beyond it."""
        seen = sorted({cell.row for cell in self.cells if cell.named}) or [0, self.rows - 1]
        first, last = seen[0], seen[-1]
        return range(first if first > 1 else 0, last + 1 if last < self.rows - 2 else self.rows)

    def columns_named(self) -> set[int]:
        """The columns of which at least one name was read."""
        return {cell.column for cell in self.cells if cell.named}

    def explains(self, name: Name) -> bool:
        """Whether a name stands where this arrangement has one of its cells."""
        in_row = min(abs(name.y - y) for y in self.ys) < self.dy / 2
        return in_row and min(abs(name.x - x) for x in self.xs) < 1.5 * NEAR


@dataclass(frozen=True)
class _Order:
    """An order of the twelve leads: where each stands."""

    rows: int
    columns: int
    limb: str
    cell_of: dict[str, tuple[int, int]]


def _order(rows: int, limb: str, chest_first: bool = False, by_row: bool = False) -> _Order:
    columns = 12 // rows
    leads = (*_CHEST, *_LIMB[limb]) if chest_first else (*_LIMB[limb], *_CHEST)
    places = [divmod(i, columns) if by_row else (i % rows, i // rows) for i in range(12)]
    return _Order(rows, columns, limb, dict(zip(leads, places)))


_USUAL = [_order(rows, limb) for rows in (3, 6, 12) for limb in _LIMB]
_RARER = [
    order
    for limb in _LIMB
    for order in (
        *(_order(rows, limb, chest_first=True) for rows in (3, 6, 12, 4, 2)),
        *(_order(rows, limb, by_row=by_row) for rows in (4, 2) for by_row in (False, True)),
    )
]


def arrange(names: Sequence[Name]) -> Arrangement | None:
    """The rows and columns that explain the names best; None where fewer than `FEWEST` leads are named."""
    if len({name.lead for name in names}) < FEWEST:
        return None
    plain = {name.lead for name in names if name.p >= PLAIN}
    best = None
    for orders in (_USUAL, _RARER):
        best = _best([best, *_laid(names, orders)])
        if best is not None and len(plain - best.named) <= _UNEXPLAINED:
            break
    else:
        places = _from_places(names)
        if best is None or (places is not None and places.score > best.score + _PLAINLY_BETTER):
            best = places
    return None if best is None or len(best.named) < FEWEST else _with_more(best, names)


def _best(found: Iterable[Arrangement | None]) -> Arrangement | None:
    return max((a for a in found if a is not None), key=lambda a: a.score, default=None)


def _laid(names: Sequence[Name], orders: Sequence[_Order]) -> Iterator[Arrangement | None]:
    """Each order laid over the names, up to one that explains them all: no other can."""
    for order in orders:
        laid = _lay(order, names)
        yield laid
        if laid is not None and laid.score > _EXPLAINED:
            return


class _Expected(NamedTuple):
    """A name, and the row and column where an order has its lead."""

    name: Name
    row: int
    column: int


def _lay(order: _Order, names: Sequence[Name]) -> Arrangement | None:
    """Lay an order's rows and columns over the names, by consensus of pairs of them."""
    expected = [_Expected(name, *order.cell_of[name.lead]) for name in names if name.lead in order.cell_of]
    even = _pitch([(e.row, e.name.y, e.name.p) for e in expected], LEAST_ROW, order.rows)
    if even is None:
        return None
    _, dy = even
    drops = _drops(expected, even, order.columns)
    ys = _ys_of_rows(expected, even, drops, order.rows)
    in_row = [e for e in expected if abs(e.name.y - ys[e.row] - drops[e.column]) < NEAR]
    xs = _xs_of_columns(in_row, order.columns)
    if xs is None:
        return None
    total, cells = 0.0, []
    for lead, (row, column) in order.cell_of.items():
        near = [e.name.p for e in in_row if e.name.lead == lead and abs(e.name.x - xs[column]) < NEAR]
        total += max(near, default=0.0)
        cells.append(Cell(lead, row, column, bool(near)))
    return Arrangement(tuple(xs), tuple(ys), dy, tuple(cells), order.limb, total / 12)


def _drops(expected: Sequence[_Expected], even: tuple[float, float], columns: int) -> list[float]:
    """px by which each column's names stand lower than those of the others, all alike. even: where rows
    begin, and from one to the next, if all are even."""
    y0, dy = even
    return [
        _mode(_slight([(e.name.y - y0 - dy * e.row, e.name.p) for e in expected if e.column == column], dy))
        for column in range(columns)
    ]


def _ys_of_rows(
    expected: Sequence[_Expected], even: tuple[float, float], drops: Sequence[float], rows: int
) -> list[float]:
    """px of each row's names: even, or where most names of a row agree that it stands."""
    y0, dy = even
    ys = []
    for row in range(rows):
        y = y0 + dy * row
        off = _slight([(e.name.y - y - drops[e.column], e.name.p) for e in expected if e.row == row], dy)
        shift = _mode(off)
        agree = sum(p for at, p in off if abs(at - shift) < NEAR)
        ys.append(y + shift if agree > _ROW_SEEN else y)
    return ys


def _slight(off: list[tuple[float, float]], dy: float) -> list[tuple[float, float]]:
    """Of [(px that a name stands off its place, its weight)] those that leave a name in its row."""
    return [(shift, weight) for shift, weight in off if abs(shift) < _DROP * dy]


def _xs_of_columns(in_row: Sequence[_Expected], columns: int) -> list[float] | None:
    """px of each column's names, of those that stand in their rows; None where they make no columns."""
    if columns == 1:
        return [_mode([(e.name.x, e.name.p) for e in in_row])]
    even = _pitch([(e.column, e.name.x, e.name.p) for e in in_row], _LEAST_COLUMN, columns)
    return None if even is None else [even[0] + even[1] * column for column in range(columns)]


def _from_places(names: Sequence[Name]) -> Arrangement | None:
    """Rows and columns from the places of plain names alone, whatever leads they are."""
    plain = sorted((n for n in names if n.p >= PLAIN), key=lambda n: n.x)
    if len({n.lead for n in plain}) < FEWEST:
        return None
    y0, dy = _even_rows(plain)
    if not dy:
        return None
    columns = _by_column([n for n in plain if abs((n.y - y0) / dy - round((n.y - y0) / dy)) * dy < NEAR])
    if not columns:
        return None
    first = min(round((n.y - y0) / dy) for column in columns for n in column)
    cells: dict[tuple[int, int], Name] = {}
    for k, column in enumerate(columns):
        for name in sorted(column, key=lambda n: n.p):
            cells[round((name.y - y0) / dy) - first, k] = name
    # The last rows with a name in their first column only are rhythm strips.
    rows = max(row for row, k in cells if k or len(columns) == 1) + 1
    cells = {place: name for place, name in cells.items() if place[0] < rows}
    if len(cells) < _FILLED * rows * len(columns):
        return None  # scattered, as what looks like a name here and there among other curves
    if len(cells) > _REPEATED * len({name.lead for name in cells.values()}):
        return None  # charts that happen to be called as leads are
    # As in the usual orders, further leads tell nothing.
    score = sum(max((n.p for n in cells.values() if n.lead == lead), default=0.0) for lead in LEADS)
    xs = tuple(median([n.x for n in column]) for column in columns)
    kept = tuple(Cell(name.lead, row, k, True) for (row, k), name in sorted(cells.items()))
    ys = tuple(y0 + dy * (first + row) for row in range(rows))
    return Arrangement(xs, ys, dy, kept, "standard", score / 12)


def _by_column(names: Sequence[Name]) -> list[list[Name]]:
    """The names, from left to right, by the column that they stand in: of two leads at least."""
    splits = np.cumsum([0, *(b.x - a.x > _WIDE_COLUMN for a, b in pairwise(names))])
    columns = [[n for _, n in group] for _, group in groupby(zip(splits, names), key=lambda pair: pair[0])]
    return [column for column in columns if len({n.lead for n in column}) > 1]


def _even_rows(names: Sequence[Name]) -> tuple[float, float]:
    """Beginning and distance of the evenly spaced rows that most names stand in; (0, 0) where none are."""
    best, found = 0.0, (0.0, 0.0)
    y, p = np.array([n.y for n in names]), np.array([n.p for n in names])
    for y0, dy in _proposed_rows(names):
        row = np.round((y - y0) / dy)
        near = np.abs(y - y0 - row * dy) < NEAR
        empty = np.ptp(row[near]) + 1 - len(set(row[near]))
        value = float(p[near].sum() * (1 - _EMPTY * empty))
        if value > best:
            slope, start = np.polyfit(row[near], y[near], 1) if np.ptp(row[near]) else (dy, y0)
            best, found = value, (float(start), float(slope))
    return found


def _proposed_rows(names: Sequence[Name]) -> Iterator[tuple[float, float]]:
    """Beginning and distance of rows for which two names of a column stand one, two or three rows apart."""
    for upper, lower in product(names, repeat=2):
        if abs(upper.x - lower.x) <= _WIDE_COLUMN:
            distances = ((lower.y - upper.y) / between for between in (1, 2, 3))
            yield from ((upper.y, dy) for dy in distances if dy >= LEAST_ROW)


def _with_more(found: Arrangement, names: Sequence[Name]) -> Arrangement:
    """Leads that an order of twelve does not foresee: in its cells, right of its columns, below its one."""
    cells = {(cell.row, cell.column): cell for cell in found.cells}
    foreseen = {cell.lead for cell in found.cells}
    xs, ys = list(found.xs), list(found.ys)
    backs = sum(name.lead in _BACK and name.p >= PLAIN for name in names)
    for name in sorted((n for n in names if n.p >= PLAIN), key=lambda n: (n.x, n.y)):
        below = abs(name.y - ys[-1] - found.dy) < NEAR
        if found.columns == 1 and below and name.lead not in LEADS:
            ys.append(ys[-1] + found.dy)
        row = int(np.argmin([abs(name.y - y) for y in ys]))
        if abs(name.y - ys[row]) > NEAR:
            continue
        if row < found.rows and found.dx and abs(name.x - xs[-1] - found.dx) < NEAR:
            xs.append(xs[-1] + found.dx)
        column = int(np.argmin([abs(name.x - x) for x in xs]))
        if abs(name.x - xs[column]) > 1.5 * NEAR:
            continue
        there = cells.get((row, column))
        if there is not None and name.lead in _BACK and backs == 1:
            continue  # V3 with a wave through it looks like V8
        # A name that belongs elsewhere was misread here: V6 in small print looks like V2.
        if there is None or (not there.named and name.lead not in foreseen):
            cells[row, column] = Cell(name.lead, row, column, True)
    by_place = [cell for _, cell in sorted(cells.items())]
    kept = _certain(by_place, names) if len(xs) > 1 else by_place
    return replace(found, xs=tuple(xs), ys=tuple(ys), cells=tuple(kept))


def _certain(cells: Sequence[Cell], names: Sequence[Name]) -> list[Cell]:
    """The cells but for those which beside leads beyond the twelve are not certain.

    Nothing is filled in there, and names that one of those leads may be must be plain.
    """
    further = {cell.column for cell in cells if cell.lead not in LEADS}
    alike = _CHEST if any(cell.lead in _BACK for cell in cells) else _CHEST[2:]
    sure = {name.lead for name in names if name.p >= (_BEYOND_DOUBT if name.lead in alike else PLAIN)}
    sure -= {cell.lead for cell in cells if cell.named and cell.column not in further}
    return [
        cell for cell in cells if cell.column not in further or cell.lead not in LEADS or cell.lead in sure
    ]


def _pitch(points: list[tuple[int, float, float]], least: float, rows: int) -> tuple[float, float] | None:
    """Fit position = start + pitch * index to (index, position, weight): best pair, then least squares."""
    points = sorted(points, key=lambda p: -p[2])[:_MOST_TRIED]
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
    votes = np.where(off < NEAR, weight * (1 - off / NEAR / 2), 0.0) @ (index[:, None] == np.arange(rows))
    # No index counts for more than a few marks, so that one crowded row does not decide; between pitches that
    # as many expect, those that they do not expect tell.
    beside = (weight * np.maximum(0.0, 1 - off / pitch[:, None])).mean(1)
    found = off[int(np.argmax(np.minimum(votes, 3.0).sum(1) + _BESIDE * beside))] < NEAR
    if len(set(index[found])) < 2:
        return None
    slope, start = np.polyfit(index[found], place[found], 1, w=weight[found])
    return float(start), float(slope)


def _mode(points: list[tuple[float, float]]) -> float:
    """Where most of the points ([(place, weight)]) lie together; 0 where there are none."""
    if not points:
        return 0.0
    x, w = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    votes = (w * (np.abs(x[:, None] - x) < NEAR)).sum(1)
    centre = x[int(np.argmax(votes))]
    near = np.abs(x - centre) < NEAR
    return float(np.average(x[near], weights=w[near]))
