"""Follow the printed traces: probability of ink -> the path of each, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, pairwise

import cv2
import numpy as np

from ecgvlm import filters
from ecgvlm.compiled import COMPILED
from ecgvlm.digitize.layout import Placed, row_pitch
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.stroke import ROOM, curves_of, ink_run, nearest_run, print_of
from ecgvlm.together import together

_REACH_MM = 34.0  # a trace may leave its row this far
# Cost of the path, per px up or down between two columns: along the ink of a steep deflection little, over
# paper more.
_STEP_COST, _LEAP_COST = 0.02, 0.11
# More of it where, above and below within so many px, nothing is as likely to be ink as that.
_BLANK_COST, _BLANK, _NO_INK = 0.3, 16, 0.1
_AWAY_COST = 0.0009  # per px that the path lies away from the row
_FLOOR = 0.02
_PAPER = float(-np.log(_FLOOR))  # cost of a column on paper
_CLOSE = 2  # px about a path whose ink it explains
_BAR = 3  # px from a strip's end within which a bar may stand
_WORTH = 0.03  # what a px of ink is worth that no other strip explains
_OTHERS = 2.5  # cost of a column on ink that is another strip's
_MEETING, _BESIDE = 5, 4  # columns within which meetings are one, and beside one where a path's level is told
_LEVEL_COST = 0.1  # per px by which a path's level is another one behind a meeting
_ROUNDS = 3  # in which strips that run along the same line are parted
_ALONG = 20  # columns that two strips follow one line, when they do not only cross
_PLAIN_FROM = 0.5  # probability from which on there is something of plain ink
_PLAIN_INK, _LEFT = 0.5, 0.5  # worth of ink, and share of such columns that have some, for a line left over
_FAR = 1e4  # px: farther than any row
_SPIKE, _LEVEL = 5, 41  # px that a spike of solid ink may be wide, and about it that tell which way it goes
# px that are followed at once, and px further, to either side, by which where a path began is
# forgotten.
_PIECE, _FURTHER = 256, 48
_AS_HIGH = 2  # times the height of a piece, that another may be to be followed with it
_SHIFTS = (1, 2, 4, 8, 16, 32)  # pairs of rows: a path moves up or down by at most their sum in one column


@dataclass(frozen=True)
class _Ink:
    """The probabilities of ink, two rows in one, transposed: [W, H / 2].

    cost: of a path there, by the greater one. step: of going up or down there, a pair of rows in a column.
    worth: 0..2, what there is of ink that is plain. across: px that one column stands for.
    """

    cost: np.ndarray
    step: np.ndarray
    worth: np.ndarray
    across: int = 1

    @classmethod
    def of(cls, trace: np.ndarray) -> _Ink:
        upper, lower = trace[: len(trace) // 2 * 2 : 2], trace[1::2]
        cost = cv2.transpose(cv2.max(cv2.max(upper, lower), np.array(_FLOOR)))
        blank = cv2.dilate(cost, np.ones((1, _BLANK // 2), np.uint8)) < _NO_INK
        np.negative(np.log(cost, out=cost), out=cost)
        step = cost * (2 * _LEAP_COST / _PAPER)
        step += 2 * _STEP_COST
        step += np.float32(2 * _BLANK_COST) * blank
        plain = [cv2.max(part, np.array(_PLAIN_FROM)) for part in (upper, lower)]
        worth = cv2.addWeighted(plain[0], 2, plain[1], 2, -4 * _PLAIN_FROM)
        return cls(cost, step, cv2.transpose(worth))

    def coarse(self) -> _Ink:
        """Two columns in one."""
        cost, step = (np.minimum(part[::2], part[1::2]) for part in (self.cost, self.step))
        return _Ink(cost, step / 2, self.worth[::2], 2)


@dataclass(frozen=True)
class _Row:
    """What is known of a strip before its path: first px, px long, px of its row, and pairs of rows (first,
    beyond the last) between which its path lies."""

    x0: int
    length: int
    y: float
    window: tuple[int, int]

    def within(self, ink: _Ink) -> _Row:
        """The same with the part of its window that the page has."""
        return replace(self, window=(max(0, self.window[0]), min(ink.cost.shape[1], self.window[1])))

    @property
    def part(self) -> tuple[slice, slice]:
        return np.s_[self.x0 : self.x0 + self.length, self.window[0] : self.window[1]]


@dataclass(frozen=True)
class _Share:
    """What of the ink in a strip's window, [columns, pairs of rows], is its own.

    worth: of `_Ink`, where no other path passes within `_CLOSE` px. others: whether a path passes there whose
    row lies nearer.
    """

    worth: np.ndarray
    others: np.ndarray


def follow(
    trace: np.ndarray,
    page: np.ndarray,
    picture: np.ndarray,
    to_px: Callable[[np.ndarray], np.ndarray],
    strips: Sequence[Placed],
) -> list[tuple[np.ndarray, float]]:
    """The curve of every strip, [n, 2] px, x increasing, y NaN in gaps; the mean probability of ink there.

    trace: [H, W] probability of ink. page: [H, W, 3] the rectified page itself. picture: [h, w, 3] what it
    came from. to_px: [..., 2] px of the page -> px of the picture. Each strip's path is the cheapest from end
    to end (Viterbi; steps along ink are cheap, so that steep deflections are followed, and leaps over paper
    to a neighbour's trace are not).
    """
    (begins, paths), fine = together(
        partial(paths_of, trace, strips), partial(print_of, trace, page, picture, to_px)
    )
    curves = curves_of(fine, begins, paths)
    sure = [float(trace[path, x0 + np.arange(len(path))].mean()) for x0, path in zip(begins, paths)]
    return list(zip(curves, sure))


def paths_of(trace: np.ndarray, strips: Sequence[Placed]) -> tuple[list[int], list[np.ndarray]]:
    """The first column of every strip, and its row of px in each column from there on; see `follow`."""
    ink = _Ink.of(trace)
    reach = int(min(_REACH_MM * PX_PER_MM, max(2.2 * row_pitch(strips), 12 * PX_PER_MM)))
    rows = []
    for strip in strips:
        x0, top = int(np.ceil(strip.x0)), (round(strip.y) - reach) // 2
        rows.append(_Row(x0, int(np.floor(strip.x1)) - x0, strip.y, (top, top + reach + 1)))
    paths = _coarse_paths(ink, rows)
    # Once more, now that it is known which ink the other strips explain: what is left must be explained too.
    for k in range(_ROUNDS):
        paths = _uncrossed(rows, paths)
        yields = _yields(ink, rows, paths)
        again = [i for i, own in enumerate(yields) if k == 0 or own.any()]
        if not again:
            break
        near = _narrowed(ink, rows, paths)
        near = [row.within(ink) if own.any() else small for row, small, own in zip(rows, near, yields)]
        shares = _shares(ink, near, paths, yields)
        found = _paths(ink, [near[i] for i in again], [shares[i] for i in again])
        paths = [found[again.index(i)] if i in again else path for i, path in enumerate(paths)]
    paths = _uncrossed(rows, paths)
    begins = [row.x0 for row in rows]
    return begins, _with_whole_spikes(trace, begins, [_in_px(trace, *one) for one in zip(begins, paths)])


def _coarse_paths(ink: _Ink, rows: Sequence[_Row]) -> list[np.ndarray]:
    """`_paths`, two columns a step: enough to tell which ink is whose."""
    half = [replace(r, x0=r.x0 // 2, length=(r.x0 + r.length + 1) // 2 - r.x0 // 2) for r in rows]
    paths = _paths(ink.coarse(), half, [None] * len(rows))
    return [np.repeat(path, 2)[row.x0 % 2 :][: row.length] for row, path in zip(rows, paths)]


def _paths(ink: _Ink, rows: Sequence[_Row], shares: Sequence[_Share | None]) -> list[np.ndarray]:
    """The cheapest path of every strip: [columns] pairs of rows. shares: of each, where they are known.

    Long strips are cut into pieces that overlap. Pieces of about one height go together, one column a step.
    """
    paths: list[np.ndarray] = [np.zeros(0, np.intp)] * len(rows)
    high = [last - first for first, last in (row.window for row in rows)]
    order = sorted(range(len(rows)), key=lambda k: high[k])
    while order:
        group = [k for k in order if high[k] <= _AS_HIGH * high[order[0]]]
        order = order[len(group) :]
        pieces = [(k, *ends) for k in group for ends in _pieces(rows[k].length, ink.across)]
        for way, (k, a, b) in zip(_ways(ink, rows, shares, pieces, high[group[-1]]), pieces):
            paths[k] = _joined(paths[k], way[: b - a] + rows[k].window[0], a)
    return paths


def _ways(
    ink: _Ink,
    rows: Sequence[_Row],
    shares: Sequence[_Share | None],
    pieces: Sequence[tuple[int, int, int]],
    high: int,
) -> np.ndarray:
    """[pieces, columns] rows of the cheapest ways. pieces: of which strip, and its columns' range."""
    longest = max(b - a for _, a, b in pieces)
    # Beyond a shorter piece's end nothing costs anything.
    cost, step = (np.zeros((len(pieces), longest, high), np.float32) for _ in range(2))
    paper = 2 * (_STEP_COST + _LEAP_COST + _BLANK_COST) / ink.across
    for i, (k, a, b) in enumerate(pieces):
        row, top, share = rows[k], rows[k].window[0], shares[k]
        own, steps = cost[i, : b - a], step[i, : b - a]
        seen = np.s_[row.x0 + a : row.x0 + b, max(0, top) : top + high]
        for part, values, outside in ((own, ink.cost[seen], _PAPER), (steps, ink.step[seen], paper)):
            part[:] = outside
            part[:, max(0, -top) : max(0, -top) + values.shape[1]] = values
        own += _AWAY_COST * np.abs(2 * np.arange(top, top + high, dtype=np.float32) - row.y)
        if share is not None:
            steps[:, : share.worth.shape[1]] -= _WORTH * share.worth[a:b]
            own[:, : share.others.shape[1]] += _OTHERS * share.others[a:b].astype(np.float32)
    if COMPILED is None:
        return _cheapest(cost, step)
    halves = np.s_[: len(pieces) // 2], np.s_[len(pieces) // 2 :]
    return np.concatenate(together(*(partial(COMPILED.cheapest, cost[half], step[half]) for half in halves)))


def _pieces(length: int, across: int) -> list[tuple[int, int]]:
    """First column and that beyond the last of the pieces in which a strip is followed."""
    cuts = np.linspace(0, length, max(1, round(length * across / _PIECE)) + 1).astype(int).tolist()
    further = _FURTHER // across
    return [(max(0, a - further), min(length, b + further)) for a, b in pairwise(cuts)]


def _joined(path: np.ndarray, piece: np.ndarray, first: int) -> np.ndarray:
    """A path and its next piece from column `first` on, joined where both agree, best in the middle."""
    both = len(path) - first
    if both <= 0:
        return np.concatenate([path, piece])
    apart = np.abs(path[first:] - piece[:both])
    at = int(np.argmin(apart * both + np.abs(np.arange(both) - both // 2)))
    return np.concatenate([path[: first + at], piece[at:]])


def _cheapest(cost: np.ndarray, step: np.ndarray) -> np.ndarray:
    """[pieces, columns] rows of the cheapest way through every piece.

    cost: [pieces, columns, rows] of being there. step: the same, of coming there from the row above, or from
    there to it, in that column. The cheapest ways to a place from the beginning and from the end cost
    together what the best does that runs through it.
    """
    pieces, columns, rows = cost.shape
    # All rows of a column, moved up or down, are one block: [columns, rows, pieces].
    cost, climb = (
        np.asarray(cv2.transpose(part.reshape(pieces, -1)), np.float32).reshape(columns, rows, pieces)
        for part in (cost, step)
    )
    for row in range(1, climb.shape[1]):
        climb[:, row] += climb[:, row - 1]
    moved = _Moves(rows, pieces)
    total = np.empty_like(cost)
    total[0] = cost[0]
    for x in range(1, columns):
        np.add(moved(total[x - 1], climb[x]), cost[x], out=total[x])
    to_end = np.zeros_like(cost[0])
    for x in range(columns - 1, 0, -1):
        to_end = moved(to_end + cost[x], climb[x])
        total[x - 1] += to_end
    return cv2.transpose(total.reshape(-1, pieces)).reshape(pieces, columns, rows).argmin(-1)


class _Moves:
    """Up or down in one column, by the cheapest way from any row to each.

    Of the rows above, and of those below, the cheapest is found by doubling how many are looked at.
    """

    def __init__(self, rows: int, pieces: int):
        most = max(_SHIFTS)
        above, below = (np.full((2, most + rows, pieces), np.inf, np.float32) for _ in range(2))
        down, up = [part[most:] for part in above], [part[:rows] for part in below]
        self._from = down[0], up[0]
        self._sweeps = []
        shifts = [shift for shift in _SHIFTS if shift < rows]
        for k, shift in enumerate(shifts):
            old, new = k % 2, 1 - k % 2
            self._sweeps.append((down[old], above[old][most - shift : -shift], down[new]))
            self._sweeps.append((up[old], below[old][shift : shift + rows], up[new]))
        self._to = down[len(shifts) % 2], up[len(shifts) % 2]

    def __call__(self, cost: np.ndarray, climb: np.ndarray) -> np.ndarray:
        """[rows, pieces] least cost of getting to each row, which the next call overwrites. cost: of being in
        each before. climb: of coming down to each from the top."""
        np.subtract(cost, climb, out=self._from[0])
        np.add(cost, climb, out=self._from[1])
        for one, other, least in self._sweeps:
            np.minimum(one, other, out=least)
        down, up = self._to
        down += climb
        up -= climb
        return np.minimum(down, up, out=up)


def _uncrossed(rows: Sequence[_Row], paths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The paths with those parts exchanged that two strips of one column have of each other.

    Where two rows' QRS run into each other, either path may go on as the other one. Behind a QRS a trace goes
    on at about the level that it had before, and near its row.
    """
    paths = [path.copy() for path in paths]
    most = [(path.min(), path.max()) for path in paths]
    for (k, upper), (m, lower) in combinations(sorted(enumerate(rows), key=lambda row: row[1].y), 2):
        apart = most[k][1] + 1 < most[m][0] or most[m][1] + 1 < most[k][0]
        if (upper.x0, upper.length) == (lower.x0, lower.length) and upper.y != lower.y and not apart:
            exchanged = _exchanged(paths[k], paths[m], upper.y / 2, lower.y / 2)
            paths[k][exchanged], paths[m][exchanged] = paths[m][exchanged], paths[k][exchanged]
    return paths


def _exchanged(a: np.ndarray, b: np.ndarray, row_a: float, row_b: float) -> np.ndarray:
    """[columns] of two paths: where each follows the other's trace. row_a, row_b: their rows."""
    exchanged = np.zeros(len(a), bool)
    if len(a) < 2 * _MEETING:
        return exchanged
    low, high = (
        np.stack([end(end(path[:-2], path[1:-1]), path[2:]) for path in (a, b)])
        for end in (np.minimum, np.maximum)
    )
    meet = np.pad((low.max(0) - high.min(0)) <= 1, 1, mode="edge")
    meet = filters.least(filters.greatest(meet.astype(np.int8), _MEETING), _MEETING) > 0
    meetings = filters.runs(meet)
    if not meetings:
        return exchanged
    begins, ends = np.array(meetings).T
    farther = np.abs(b - row_a) + np.abs(a - row_b) - np.abs(a - row_a) - np.abs(b - row_b)
    away = np.concatenate([[0.0], np.cumsum(2 * _AWAY_COST * farther)])
    # Of the parts between meetings, and of each as it is and exchanged: the cheapest way through all.
    first, last = np.append(0, ends), np.append(begins, len(a))
    turns = _LEVEL_COST * _turns(
        a, b, (last - _BESIDE).clip(first)[:-1], (first + _BESIDE).clip(max=last - 1)[1:]
    )
    cost, ways = np.array([0.0, away[last[0]]]), []
    for turn, own in zip(turns.tolist(), (away[last] - away[first])[1:].tolist()):
        through = cost[:, None] + np.array([[0.0, turn], [turn, 0.0]])  # [before, behind]
        ways.append(through.argmin(0))
        cost = through.min(0) + np.array([0.0, own])
    state = int(cost.argmin())
    for k in range(len(ways), 0, -1):
        exchanged[first[k] : last[k]] = state == 1
        state = int(ways[k - 1][state])
    exchanged[: last[0]] = state == 1
    return exchanged


def _turns(a: np.ndarray, b: np.ndarray, before: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Rows by which two paths change their levels more if exchanged between these columns."""
    around = np.stack([before, behind])[..., None] + np.arange(1 - _BESIDE, _BESIDE)
    levels = np.sort(np.stack([a, b])[:, around.clip(0, len(a) - 1)], axis=-1)[..., _BESIDE - 1]
    (a0, a1), (b0, b1) = levels
    return 2 * (abs(b1 - a0) + abs(a1 - b0) - abs(a1 - a0) - abs(b1 - b0))


def _yields(ink: _Ink, rows: Sequence[_Row], paths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """[columns] of each strip: where its path runs along another one's and gives way to it.

    Of two strips on one line, the upper one gives way where a line is left above, the lower one where one is
    left below.
    """
    yields = [np.zeros(row.length, bool) for row in rows]
    unexplained: np.ndarray | None = None
    for (k, upper), (m, lower) in combinations(sorted(enumerate(rows), key=lambda row: row[1].y), 2):
        first, last = max(upper.x0, lower.x0), min(upper.x0 + upper.length, lower.x0 + lower.length)
        if last - first < _ALONG or upper.y == lower.y:
            continue
        both = [paths[i][first - rows[i].x0 : last - rows[i].x0] for i in (k, m)]
        near = np.abs(both[0] - both[1]) <= 1
        for a, b in filters.runs(near):
            if b - a < _ALONG:
                continue
            if unexplained is None:
                unexplained = _unexplained(ink, rows, paths)
            part, path = unexplained[first + a : first + b], both[0][a:b]
            above = _share_between(part, upper.window[0], path - _CLOSE)
            below = _share_between(part, path + _CLOSE, lower.window[1])
            if max(above, below) > _LEFT:
                gives_way = k if above > below else m
                yields[gives_way][first + a - rows[gives_way].x0 : first + b - rows[gives_way].x0] = True
    return yields


def _unexplained(ink: _Ink, rows: Sequence[_Row], paths: Sequence[np.ndarray]) -> np.ndarray:
    """[W, H / 2] how many pairs of rows, down to there, hold plain ink where no path passes."""
    plain = ink.worth > _PLAIN_INK
    for row, path in zip(rows, paths):
        inside = row.within(ink)
        plain[inside.part] &= ~_passes(inside, path)
    return plain.cumsum(1, dtype=np.int16)


def _share_between(counts: np.ndarray, top: np.ndarray | int, bottom: np.ndarray | int) -> float:
    """Share of columns of `_unexplained`, [n, H / 2], that count something between two pairs of rows."""
    columns, last = np.arange(len(counts)), counts.shape[1] - 1
    return float((counts[columns, np.clip(bottom, 0, last)] > counts[columns, np.clip(top, 0, last)]).mean())


def _passes(row: _Row, path: np.ndarray) -> np.ndarray:
    """[columns, pairs of rows] of a strip's window: whether its path passes within `_CLOSE` px."""
    half = (path[1:] + path[:-1]) / 2
    ends = np.stack([path, np.concatenate([path[:1], half]), np.concatenate([half, path[-1:]])])
    first, last = np.floor(ends.min(0)) - _CLOSE // 2, np.ceil(ends.max(0)) + _CLOSE // 2
    pair = np.arange(*row.window)
    return (pair >= first[:, None]) & (pair <= last[:, None])


def _shares(
    ink: _Ink, rows: Sequence[_Row], paths: Sequence[np.ndarray], yields: Sequence[np.ndarray]
) -> list[_Share]:
    """yields: [columns] of each strip, where it gives way to another path however near its row lies."""
    claims = np.zeros(ink.cost.shape, np.uint8)
    nearest = np.full(ink.cost.shape, -1, np.int16)  # of the paths that pass, that whose row is nearest
    distance = np.full(ink.cost.shape, np.inf, np.float32)
    passed = []
    for k, (row, path) in enumerate(zip(rows, paths)):
        own = _passes(row, path)
        away = (
            np.abs(2 * np.arange(*row.window) - row.y).astype(np.float32)
            + np.float32(_FAR) * yields[k][:, None]
        )
        nearer = own & (away < distance[row.part])
        nearest[row.part][nearer] = k
        distance[row.part] = np.where(nearer, away, distance[row.part])
        claims[row.part] += own
        passed.append(own)
    shares = []
    for k, (row, own) in enumerate(zip(rows, passed)):
        worth = np.where(claims[row.part] > own, 0.0, ink.worth[row.part])
        worth[:_BAR] = worth[len(worth) - _BAR :] = 0.0  # where bars part the strips
        shares.append(_Share(worth, (nearest[row.part] >= 0) & (nearest[row.part] != k)))
    return shares


def _narrowed(ink: _Ink, rows: Sequence[_Row], paths: Sequence[np.ndarray]) -> list[_Row]:
    """The rows with windows that hold the ink which their paths run through, and some about it."""
    dark = cv2.dilate((ink.cost <= np.log(2)).view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
    narrowed = []
    for row, path in zip(rows, paths):
        seen = max(0, row.window[0]), min(dark.shape[1], row.window[1])
        y = path.clip(seen[0], seen[1] - 1)
        top, last, away = nearest_run(dark[row.x0 : row.x0 + row.length, slice(*seen)].T, y - seen[0])
        on = away == 0
        first = (top[on] + seen[0]).min(initial=y.min()) - ROOM // 2
        beyond = (last[on] + seen[0]).max(initial=y.max()) + 1 + ROOM // 2
        narrowed.append(replace(row, window=(max(0, int(first)), min(dark.shape[1], int(beyond)))))
    return narrowed


def _in_px(trace: np.ndarray, x0: int, path: np.ndarray) -> np.ndarray:
    """A path's px: of the two rows of a pair, the one with more ink."""
    x, last = x0 + np.arange(len(path)), len(trace) - 1
    upper = (2 * path).clip(0, last)
    return upper + (trace[(upper + 1).clip(max=last), x] > trace[upper, x])


def _with_whole_spikes(
    trace: np.ndarray, begins: Sequence[int], paths: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The paths up to the tips of spikes, and without turns back inside one that is passed twice."""
    # All paths at once, one after the other; beyond its ends each goes on as its mirror image.
    room = _LEVEL // 2
    parts = [np.pad(np.arange(len(path)), room, mode="symmetric") for path in paths]
    columns = np.concatenate([x0 + part for x0, part in zip(begins, parts)])
    path = np.concatenate([path[part] for path, part in zip(paths, parts)]).astype(np.int16)
    level = filters.median(path, _LEVEL)
    for begin, end in ((filters.least, filters.greatest), (filters.greatest, filters.least)):
        filled = end(begin(path, _SPIKE), _SPIKE)
        path = path.copy()
        for k in np.flatnonzero(np.abs(filled - level) > np.abs(path - level) + 2):
            first, last = sorted((filled[k], path[k]))
            if (trace[first:last, columns[k]] > 0.5).sum() >= 0.8 * (last - first):
                path[k] = filled[k]
    sides = [[(part + off).clip(0, part.max()) for off in (-1, 0, 1)] for part in parts]
    beside = np.concatenate([x0 + np.array(three) for x0, three in zip(begins, sides)], 1)
    for most, sign in ((filters.least, 1), (filters.greatest, -1)):
        tips = np.flatnonzero((path == most(path, _SPIKE)) & (sign * (level - path) > _SPIKE))
        row = (path[tips] + np.arange(-ROOM, ROOM + 1)[:, None]).clip(0, len(trace) - 1)
        top, bottom = ink_run(trace[row, beside[:, None, tips]].max(0), np.full(len(tips), ROOM), 0)
        off = (top if sign > 0 else bottom) - ROOM
        path[tips] += np.where(np.abs(off) < ROOM, np.round(off), 0).astype(np.int16)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return [part[room:-room].astype(np.intp) for part in np.split(path, ends)]
