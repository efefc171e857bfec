"""Bars that printers draw between the columns of a page: they tell to a fraction of a px where one lead ends
and the next begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.pagenet import PX_PER_MM

_AROUND = round(2.6 * PX_PER_MM)  # px beside a column's end in which its bar is looked for
_HIGH = round(3.0 * PX_PER_MM)  # px above and below a row's line that a bar reaches over
# Probability of ink in a bar, and share that is ink, above the line and below it, in every row.
_INK, _SOLID = 0.3, 0.25
_WIDEST = round(2.0 * PX_PER_MM)
_NO_GAP = 0.6 * PX_PER_MM  # px by which columns that follow each other may stand apart
_UNEVEN = 1.0 * PX_PER_MM  # px by which bars of equal columns may be unevenly spaced


def between_separators(strips: Sequence[Placed], trace: np.ndarray) -> list[Placed]:
    """The strips with their ends in the middle of the bars between columns, where there are any.

    trace: [H, W] probability of ink. Where bars part all columns evenly, they also tell where the first
    column begins and the last one ends.
    """
    order = sorted({strip.column for strip in strips if not strip.rhythm})
    columns = {k: [strip for strip in strips if strip.column == k and not strip.rhythm] for k in order}
    begin = [columns[column][0].x0 for column in order]
    end = [columns[column][0].x1 for column in order]
    starts, stops = list(begin), list(end)
    found = []
    for k in range(1, len(order)):
        rows = [strip.y for column in order[k - 1 : k + 1] for strip in columns[column]]
        bar = _bar(trace, (end[k - 1] + begin[k]) / 2, rows)
        if bar is not None and abs(begin[k] - end[k - 1]) < _NO_GAP:
            starts[k] = stops[k - 1] = bar
            found.append(bar)
    pitch = np.diff(found)
    if not found or (len(pitch) and np.ptp(np.append(pitch, np.diff(begin)[1:])) > _UNEVEN):
        return list(strips)  # what is not as even as the columns are is a beat or a name
    if len(found) == len(order) - 1 > 1:
        first, last = found[0] - float(pitch.mean()), found[-1] + float(pitch.mean())
        starts[0] = first if abs(first - begin[0]) < _AROUND else begin[0]
        stops[-1] = last if abs(last - end[-1]) < _AROUND else end[-1]

    def moved(strip: Placed) -> Placed:
        if strip.rhythm:
            x0 = starts[0] if abs(strip.x0 - begin[0]) < _NO_GAP else strip.x0
            x1 = stops[-1] if abs(strip.x1 - end[-1]) < _AROUND else strip.x1
            return replace(strip, x0=x0, x1=x1)
        k = order.index(strip.column)
        later = (starts[k] - starts[0]) - (begin[k] - begin[0])
        return replace(strip, x0=starts[k], x1=stops[k], since=strip.since + later)

    return [moved(strip) for strip in strips]


def _bar(trace: np.ndarray, x: float, rows: Sequence[float]) -> float | None:
    """px of the middle of the bar about x px that all rows, px of their lines, show; None without."""
    left = round(x) - _AROUND
    if left < 1 or left + 2 * _AROUND + 2 > trace.shape[1]:
        return None
    part = np.s_[left : left + 2 * _AROUND + 1]
    inside = [round(y) for y in rows if _HIGH <= round(y) < len(trace) - _HIGH]
    if not inside:
        return None
    # Beats fall together in all rows, too, but a QRS seldom rises as far as it falls.
    sides = [(trace[y - _HIGH : y, part], trace[y + 1 : y + _HIGH + 1, part]) for y in inside]
    shares = np.min([[(side > _INK).mean(0) for side in both] for both in sides], axis=1)
    share = np.min(shares, axis=0)
    edges = np.flatnonzero(np.diff((share > _SOLID).astype(np.int8), prepend=0, append=0))
    runs = [(a, b) for a, b in zip(edges[::2].tolist(), edges[1::2].tolist()) if b - a <= _WIDEST]
    if not runs:
        return None
    a, b = max(runs, key=lambda run: float(share[run[0] : run[1]].sum()))
    around = np.arange(max(0, a - 1), min(len(share), b + 1))
    return left + float(around @ share[around] / share[around].sum())
