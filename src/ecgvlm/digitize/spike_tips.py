"""Paths up to the tips of spikes: a Q or an R of a few px is passed by on the cheapest way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.stroke import ROOM, ink_run

_SPIKE, _LEVEL = 5, 41  # px that a spike of solid ink may be wide, and about it that tell which way it goes
_SOLID = 0.8  # of the px from a path to a spike's tip, that are ink


def with_whole_spikes(
    trace: np.ndarray, begins: Sequence[int], paths: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The paths up to the tips of spikes, and without turns back inside one that is passed twice."""
    # All paths at once, one after the other; beyond its ends each goes on as its mirror image.
    room = _LEVEL // 2
    parts = [np.pad(np.arange(len(path)), room, mode="symmetric") for path in paths]
    columns = np.concatenate([x0 + part for x0, part in zip(begins, parts)])
    path = np.concatenate([path[part] for path, part in zip(paths, parts)]).astype(np.int16)
    level = filters.median(path, _LEVEL)
    sides = [[(part + off).clip(0, part.max()) for off in (-1, 0, 1)] for part in parts]
    beside = np.concatenate([x0 + np.array(three) for x0, three in zip(begins, sides)], 1)
    path = _up_to_tips(trace, beside, _without_turns(trace, columns, path, level), level)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return [part[room:-room].astype(np.intp) for part in np.split(path, ends)]


def _without_turns(trace: np.ndarray, columns: np.ndarray, path: np.ndarray, level: np.ndarray) -> np.ndarray:
    """A path that does not turn back inside a spike. columns: [n] px of the path's. level: [n] px about which
    its trace lies."""
    for begin, end in ((filters.least, filters.greatest), (filters.greatest, filters.least)):
        filled = end(begin(path, _SPIKE), _SPIKE)
        path = path.copy()
        for k in np.flatnonzero(np.abs(filled - level) > np.abs(path - level) + 2):
            first, last = sorted((filled[k], path[k]))
            if (trace[first:last, columns[k]] > 0.5).sum() >= _SOLID * (last - first):
                path[k] = filled[k]
    return path


def _up_to_tips(trace: np.ndarray, beside: np.ndarray, path: np.ndarray, level: np.ndarray) -> np.ndarray:
    """A path that ends spikes where their ink does. beside: [3, n] px of the path's columns and of those to
    either side."""
    path = path.copy()
    for most, sign in ((filters.least, 1), (filters.greatest, -1)):
        tips = np.flatnonzero((path == most(path, _SPIKE)) & (sign * (level - path) > _SPIKE))
        row = (path[tips] + np.arange(-ROOM, ROOM + 1)[:, None]).clip(0, len(trace) - 1)
        top, bottom = ink_run(trace[row, beside[:, None, tips]].max(0), np.full(len(tips), ROOM), 0)
        off = (top if sign > 0 else bottom) - ROOM
        path[tips] += np.where(np.abs(off) < ROOM, np.round(off), 0).astype(np.int16)
    return path
