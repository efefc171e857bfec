"""Strips of one column whose paths exchange their traces where their QRS run into each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.path_costs import AWAY_COST, Corridor

_MEETING, _BESIDE = 5, 4  # columns within which meetings are one, and beside one where a path's level is told
_LEVEL_COST = 0.1  # per px by which a path's level is another one behind a meeting


def uncrossed(corridors: Sequence[Corridor], paths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The paths with those parts exchanged that two strips of one column have of each other.

    Where two rows' QRS run into each other, either path may go on as the other one. Behind a QRS a trace goes
    on at about the level that it had before, and near its row.
    """
    paths = [path.copy() for path in paths]
    most = [(path.min(), path.max()) for path in paths]
    from_above = sorted(enumerate(corridors), key=lambda numbered: numbered[1].y)
    for (k, upper), (m, lower) in combinations(from_above, 2):
        apart = most[k][1] + 1 < most[m][0] or most[m][1] + 1 < most[k][0]
        if (upper.x0, upper.length) == (lower.x0, lower.length) and upper.y != lower.y and not apart:
            exchanged = _exchanged(paths[k], paths[m], upper.y / 2, lower.y / 2)
            paths[k][exchanged], paths[m][exchanged] = paths[m][exchanged], paths[k][exchanged]
    return paths


def _exchanged(a: np.ndarray, b: np.ndarray, row_a: float, row_b: float) -> np.ndarray:
    """[columns] of two paths: where each follows the other's trace. row_a, row_b: their rows."""
    exchanged = np.zeros(len(a), bool)
    meetings = _meetings(a, b)
    if not meetings:
        return exchanged
    # Of the parts between meetings, and of each as it is and exchanged: the cheapest way through all.
    begins, ends = np.array(meetings).T
    first, last = np.append(0, ends), np.append(begins, len(a))
    farther = np.abs(b - row_a) + np.abs(a - row_b) - np.abs(a - row_a) - np.abs(b - row_b)
    away = np.concatenate([[0.0], np.cumsum(2 * AWAY_COST * farther)])
    before, behind = (last - _BESIDE).clip(first)[:-1], (first + _BESIDE).clip(max=last - 1)[1:]
    turns = _LEVEL_COST * _turns(a, b, before, behind)
    for start, stop, is_exchanged in zip(first, last, _cheapest(away[last] - away[first], turns)):
        exchanged[start:stop] = is_exchanged
    return exchanged


def _meetings(a: np.ndarray, b: np.ndarray) -> list[tuple[int, int]]:
    """First column of each stretch in which two paths run into each other, and that beyond its last."""
    if len(a) < 2 * _MEETING:
        return []
    low, high = (
        np.stack([end(end(path[:-2], path[1:-1]), path[2:]) for path in (a, b)])
        for end in (np.minimum, np.maximum)
    )
    meet = np.pad((low.max(0) - high.min(0)) <= 1, 1, mode="edge")
    return filters.runs(filters.least(filters.greatest(meet.astype(np.int8), _MEETING), _MEETING) > 0)


def _cheapest(own: np.ndarray, turns: np.ndarray) -> list[bool]:
    """Which parts are exchanged on the cheapest way through all. own: [parts] what exchanging each costs;
    turns: [parts - 1] what it costs where one of two that follow each other is exchanged, and not both."""
    cost, ways = np.array([0.0, own[0]]), []
    for turn, more in zip(turns.tolist(), own[1:].tolist()):
        through = cost[:, None] + np.array([[0.0, turn], [turn, 0.0]])  # [before, behind]
        ways.append(through.argmin(0))
        cost = through.min(0) + np.array([0.0, more])
    states = [int(cost.argmin())]
    for way in reversed(ways):
        states.append(int(way[states[-1]]))
    return [state == 1 for state in reversed(states)]


def _turns(a: np.ndarray, b: np.ndarray, before: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Rows by which two paths change their levels more if exchanged between these columns."""
    around = np.stack([before, behind])[..., None] + np.arange(1 - _BESIDE, _BESIDE)
    levels = np.sort(np.stack([a, b])[:, around.clip(0, len(a) - 1)], axis=-1)[..., _BESIDE - 1]
    (a0, a1), (b0, b1) = levels
    return 2 * (abs(b1 - a0) + abs(a1 - b0) - abs(a1 - a0) - abs(b1 - b0))
