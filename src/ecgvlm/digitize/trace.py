"""Follow the printed traces: probability of ink -> the path of each, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import cv2
import numpy as np

from ecgvlm.compiled import COMPILED
from ecgvlm.digitize.crossings import uncrossed
from ecgvlm.digitize.layout import Placed, row_pitch
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.path_costs import AWAY_COST, PAPER, PAPER_STEP, Corridor, PathCosts, Share
from ecgvlm.digitize.shared_ink import narrowed, shares, yields
from ecgvlm.digitize.spike_tips import with_whole_spikes
from ecgvlm.digitize.stroke import curves_of, print_of
from ecgvlm.together import together

_REACH_MM = 34.0  # a trace may leave its row this far
_ROUNDS = 3  # in which strips that run along the same line are parted
_WORTH = 0.03  # what a px of ink is worth that no other strip explains
_OTHERS = 2.5  # cost of a column on ink that is another strip's
# px that are followed at once, and px further, to either side, by which where a path began is
# forgotten.
_PIECE, _FURTHER = 256, 48
_AS_HIGH = 2  # times the height of a piece, that another may be to be followed with it
_SHIFTS = (1, 2, 4, 8, 16, 32)  # pairs of rows: a path moves up or down by at most their sum in one column


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
    corridors = _corridors(strips)
    paths = _parted_paths(PathCosts.of(trace), corridors)
    begins = [corridor.x0 for corridor in corridors]
    return begins, with_whole_spikes(trace, begins, [_in_px(trace, *one) for one in zip(begins, paths)])


def _corridors(strips: Sequence[Placed]) -> list[Corridor]:
    """Where the path of each strip is looked for: as far as a trace may leave its row."""
    reach = int(min(_REACH_MM * PX_PER_MM, max(2.2 * row_pitch(strips), 12 * PX_PER_MM)))
    corridors = []
    for strip in strips:
        x0, top = int(np.ceil(strip.x0)), (round(strip.y) - reach) // 2
        corridors.append(Corridor(x0, int(np.floor(strip.x1)) - x0, strip.y, (top, top + reach + 1)))
    return corridors


def _parted_paths(costs: PathCosts, corridors: Sequence[Corridor]) -> list[np.ndarray]:
    """The path of every strip, none along a trace that is another one's: [columns] pairs of rows."""
    paths = _coarse_paths(costs, corridors)
    # Once more, now that it is known which ink the other strips explain: what is left must be explained too.
    for k in range(_ROUNDS):
        paths = uncrossed(corridors, paths)
        yielding = yields(costs, corridors, paths)
        again = [i for i, own in enumerate(yielding) if k == 0 or own.any()]
        if not again:
            break
        near = narrowed(costs, corridors, paths)
        near = [
            whole.within(costs) if own.any() else small
            for whole, small, own in zip(corridors, near, yielding)
        ]
        own_ink = shares(costs, near, paths, yielding)
        found = dict(zip(again, _paths(costs, [near[i] for i in again], [own_ink[i] for i in again])))
        paths = [found.get(i, path) for i, path in enumerate(paths)]
    return uncrossed(corridors, paths)


def _coarse_paths(costs: PathCosts, corridors: Sequence[Corridor]) -> list[np.ndarray]:
    """`_paths`, two columns a step: enough to tell which ink is whose."""
    half = [replace(c, x0=c.x0 // 2, length=(c.x0 + c.length + 1) // 2 - c.x0 // 2) for c in corridors]
    paths = _paths(costs.coarse(), half, [None] * len(half))
    return [np.repeat(path, 2)[c.x0 % 2 :][: c.length] for c, path in zip(corridors, paths)]


def _paths(
    costs: PathCosts, corridors: Sequence[Corridor], shares: Sequence[Share | None]
) -> list[np.ndarray]:
    """The cheapest path of every strip: [columns] pairs of rows. shares: of each, where they are known.

    Long strips are cut into pieces that overlap. Pieces of about one height go together, one column a step.
    """
    paths: list[np.ndarray] = [np.zeros(0, np.intp)] * len(corridors)
    high = [beyond - first for first, beyond in (corridor.window for corridor in corridors)]
    order = sorted(range(len(corridors)), key=lambda k: high[k])
    while order:
        group = [k for k in order if high[k] <= _AS_HIGH * high[order[0]]]
        order = order[len(group) :]
        pieces = [(k, *ends) for k in group for ends in _pieces(corridors[k].length, costs.across)]
        ways = _ways(costs, corridors, shares, pieces, high[group[-1]])
        for way, (k, a, b) in zip(ways, pieces):
            paths[k] = _joined(paths[k], way[: b - a] + corridors[k].window[0], a)
    return paths


def _ways(
    costs: PathCosts,
    corridors: Sequence[Corridor],
    shares: Sequence[Share | None],
    pieces: Sequence[tuple[int, int, int]],
    high: int,
) -> np.ndarray:
    """[pieces, columns] rows of the cheapest ways. pieces: of which strip, and its columns' range."""
    longest = max(b - a for _, a, b in pieces)
    # Beyond a shorter piece's end nothing costs anything.
    cost, step = (np.zeros((len(pieces), longest, high), np.float32) for _ in range(2))
    for i, (k, a, b) in enumerate(pieces):
        _charge(cost[i, : b - a], step[i, : b - a], costs, corridors[k], shares[k], a)
    if COMPILED is None:
        return _cheapest(cost, step)
    halves = np.s_[: len(pieces) // 2], np.s_[len(pieces) // 2 :]
    return np.concatenate(together(*(partial(COMPILED.cheapest, cost[half], step[half]) for half in halves)))


def _charge(
    cost: np.ndarray, step: np.ndarray, costs: PathCosts, corridor: Corridor, share: Share | None, first: int
) -> None:
    """Write what a piece of a strip costs, from its column `first` on; [columns, pairs of rows] as
    `_cheapest` takes it."""
    high, top, last = cost.shape[1], corridor.window[0], first + len(cost)
    seen = np.s_[corridor.x0 + first : corridor.x0 + last, max(0, top) : top + high]
    paper_step = PAPER_STEP / costs.across
    for part, values, outside in ((cost, costs.cost[seen], PAPER), (step, costs.step[seen], paper_step)):
        part[:] = outside
        part[:, max(0, -top) : max(0, -top) + values.shape[1]] = values
    cost += AWAY_COST * np.abs(2 * np.arange(top, top + high, dtype=np.float32) - corridor.y)
    if share is not None:
        step[:, : share.worth.shape[1]] -= _WORTH * share.worth[first:last]
        cost[:, : share.others.shape[1]] += _OTHERS * share.others[first:last].astype(np.float32)


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


def _in_px(trace: np.ndarray, x0: int, path: np.ndarray) -> np.ndarray:
    """A path's px: of the two rows of a pair, the one with more ink."""
    x, last = x0 + np.arange(len(path)), len(trace) - 1
    upper = (2 * path).clip(0, last)
    return upper + (trace[(upper + 1).clip(max=last), x] > trace[upper, x])
