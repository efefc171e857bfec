"""Bars that printers draw between the columns of a page: they tell to a fraction of a px where one lead ends
and the next begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.pagenet import PX_PER_MM

_AROUND = round(2.6 * PX_PER_MM)  # px beside a column's end in which its bar is looked for
_HIGH = round(3.0 * PX_PER_MM)  # px above and below a row's line that a bar reaches over
# Probability of ink in a bar; share that is ink, above the line and below it, in the mean over the rows and
# in every single one.
_INK, _SOLID, _EVERYWHERE = 0.3, 0.4, 0.25
_WIDEST = round(2.0 * PX_PER_MM)
_NO_GAP = 0.6 * PX_PER_MM  # px by which columns that follow each other may stand apart
_UNEVEN = 1.0 * PX_PER_MM  # px by which bars of equal columns may be unevenly spaced


@dataclass(frozen=True)
class _Bar:
    """x: px of its middle. plain: how much ink it has. everywhere: whether every row shows it."""

    x: float
    plain: float
    everywhere: bool


def between_separators(strips: Sequence[Placed], trace: np.ndarray) -> list[Placed]:
    """The strips with their ends in the middle of the bars between columns, where there are any.

    trace: [H, W] probability of ink. Where bars part all columns evenly, they also tell where the first
    column begins and the last one ends.
    """
    order = sorted({strip.column for strip in strips if not strip.rhythm})
    columns = {k: [strip for strip in strips if strip.column == k and not strip.rhythm] for k in order}
    begin = [columns[column][0].x0 for column in order]
    end = [columns[column][0].x1 for column in order]
    places = [(x0 + x1) / 2 for x0, x1 in zip(begin[1:], end)]
    choices = []
    for k, place in enumerate(places, 1):
        rows = [strip.y for column in order[k - 1 : k + 1] for strip in columns[column]]
        closed = abs(begin[k] - end[k - 1]) < _NO_GAP
        choices.append(_bars(trace, place, rows) if closed else [])
    bars = _even(choices, places, np.diff(begin)[1:])
    if not bars:
        return list(strips)  # what is not as even as the columns are is a beat or a name
    starts, stops = list(begin), list(end)
    for k, bar in bars.items():
        starts[k] = stops[k - 1] = bar.x
    if len(bars) == len(order) - 1 > 1:
        pitch = (starts[-1] - starts[1]) / (len(order) - 2)
        first, last = starts[1] - pitch, starts[-1] + pitch
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


def _even(choices: Sequence[Sequence[_Bar]], places: Sequence[float], pitches: np.ndarray) -> dict[int, _Bar]:
    """The plainest bars that are as even as the columns, pitches px apart, by the column that each precedes.

    places: px at which the columns meet. Where all columns have a bar, bars may be faint in some rows; a bar
    alone stands where its columns meet, or is a beat.
    """
    best: dict[int, _Bar] = {}
    for some in product(*([*bars, None] for bars in choices)):
        chosen = {k: bar for k, bar in enumerate(some, 1) if bar is not None}
        if len(chosen) < len(choices) or len(choices) < 2:
            chosen = {k: bar for k, bar in chosen.items() if bar.everywhere}
        x = [bar.x for bar in chosen.values()]
        apart = np.append(np.diff(x) / np.diff(list(chosen)), pitches)
        alone = len(choices) > 1 and len(x) == 1 and abs(x[0] - places[next(iter(chosen)) - 1]) > _UNEVEN
        if alone or (len(x) > 1 and np.ptp(apart) > _UNEVEN):
            continue
        best = max(best, chosen, key=lambda them: sum(bar.plain for bar in them.values()))
    return best


def _bars(trace: np.ndarray, x: float, rows: Sequence[float]) -> list[_Bar]:
    """What may be the bar about x px, as the rows show, px of their lines."""
    left = round(x) - _AROUND
    if left < 1 or left + 2 * _AROUND + 2 > trace.shape[1]:
        return []
    part = np.s_[left : left + 2 * _AROUND + 1]
    inside = [round(y) for y in rows if _HIGH <= round(y) < len(trace) - _HIGH]
    if not inside:
        return []
    # Beats fall together in all rows, too, but a QRS seldom rises as far as it falls.
    sides = [(trace[y - _HIGH : y, part], trace[y + 1 : y + _HIGH + 1, part]) for y in inside]
    shares = np.min([[(side > _INK).mean(0) for side in both] for both in sides], axis=1)
    share, least = shares.mean(0), shares.min(0)
    bars = []
    for a, b in filters.runs(share > _SOLID):
        if b - a <= _WIDEST:
            around = np.arange(max(0, a - 1), min(len(share), b + 1))
            middle = left + float(around @ share[around] / share[around].sum())
            everywhere = bool(least[a:b].max() > _EVERYWHERE)
            bars.append(_Bar(middle, float(share[a:b].sum()), everywhere))
    return bars
