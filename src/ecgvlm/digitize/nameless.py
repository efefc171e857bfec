"""Pages without any lead's name: rows of traces, read in the standard order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecgvlm.digitize.arrangement import LEAST_ROW, Arrangement, Cell, Name
from ecgvlm.digitize.extent import NAME_IN
from ecgvlm.digitize.layout import Found, with_strips
from ecgvlm.digitize.pagenet import PX_PER_MM, NetMaps
from ecgvlm.digitize.rows import NAME_ABOVE, RowInk, profile
from ecgvlm.paper.layouts import RHYTHM_LEADS
from ecgvlm.quantile import median
from ecgvlm.record import LEADS

# By how many rows of traces there are: rows, columns and rhythm strips, the usual choice first.
_CHOICES = {
    3: ((3, 4, 0),), 4: ((3, 4, 1), (4, 3, 0)), 5: ((3, 4, 2),), 6: ((6, 2, 0), (3, 4, 3)), 7: ((6, 2, 1),),
    12: ((12, 1, 0),),
}  # fmt: skip
_ROW_INK = 0.3  # of the fullest row's ink that makes another row
_UNEVEN = 0.25  # part by which the distances of rows may differ
_BESIDE = round(1.5 * PX_PER_MM)  # px beside a place that tell at which height a trace comes and goes on
_JUMP = 0.8 * PX_PER_MM  # by which a trace that goes on as another lead's is usually off
_MORE_JUMPS = 0.45  # share of rows by which an unusual choice must show more of them


def find_nameless(maps: NetMaps) -> Found | None:
    """Rows of traces without any name, in the standard order; None where no usual page has so many rows."""
    ink = maps.trace > 0.5
    lines = _lines_of_ink(ink)
    if len(lines) not in _CHOICES:
        return None
    row_ink = RowInk(ink, median(np.diff(lines)))
    left, right = row_ink.ends(lines)

    def jumps(rows: int, columns: int) -> float:
        places = left + (right - left) * np.arange(1, columns) / columns
        return _jumps(row_ink, lines[:rows], places) if columns > 1 else 0.0

    best, *others = _CHOICES[len(lines)]
    for other in others:
        if jumps(*other[:2]) > jumps(*best[:2]) + _MORE_JUMPS:
            best = other
    rows, columns, rhythm = best
    xs = tuple(left + (right - left) * k / columns + NAME_IN for k in range(columns))
    cells = tuple(Cell(lead, i % rows, i // rows, False) for i, lead in enumerate(LEADS))
    above = [y - NAME_ABOVE * row_ink.dy for y in lines]
    below = [Name(lead, xs[0], y, 0.0) for lead, y in zip(RHYTHM_LEADS, above[rows:])][:rhythm]
    fit = Arrangement(xs, tuple(above[:rows]), row_ink.dy, cells, "standard", 0.0)
    return with_strips(fit, below, maps, to_scale=True)


def _lines_of_ink(ink: np.ndarray) -> list[float]:
    """px of the rows of long traces, evenly spaced; empty where they are not."""
    height = profile(ink)
    apart = int(LEAST_ROW)
    highest = np.array([height[max(0, y - apart) : y + apart + 1].max() for y in range(len(height))])
    at = np.flatnonzero((height == highest) & (height > _ROW_INK * height.max()))
    lines = [float(y) for k, y in enumerate(at) if k == 0 or y - at[k - 1] > 1]
    if len(lines) < 2:
        return []
    pitch = median(np.diff(lines))
    even = np.abs(np.diff(lines) / pitch - 1).max() < _UNEVEN
    return lines if even and all(RowInk(ink, pitch).beats(y) for y in lines) else []


def _jumps(row_ink: RowInk, lines: Sequence[float], places: np.ndarray) -> float:
    """Share of rows and places in which the trace goes on at another height than it came."""
    offs = []
    for y in lines:
        band = row_ink.band(y)
        middle = np.where(band.any(0), band.argmax(0), np.nan)
        for place in places.round().astype(int):
            before, after = middle[place - _BESIDE : place], middle[place : place + _BESIDE]
            before, after = before[np.isfinite(before)], after[np.isfinite(after)]
            if len(before) and len(after):
                offs.append(abs(median(before) - median(after)))
    return float(np.mean(np.array(offs) > _JUMP)) if offs else 0.0
