"""Where each lead's strip begins and ends on a rectified page: rows and columns of names meet the ink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.arrangement import FEWEST, NEAR, Arrangement, Name, arrange
from ecgvlm.digitize.columns import FARTHEST_NAME, Column, Columns
from ecgvlm.digitize.extent import SHORTEST, extent_of
from ecgvlm.digitize.pagenet import PULSE, PX_PER_MM, Mark, NetMaps
from ecgvlm.digitize.parting import OTHER_NAMED, Parting, find_parting, fuller_part, rows_set_apart
from ecgvlm.digitize.rhythm_strips import are_above, find_rhythm_strips, rhythm_names
from ecgvlm.digitize.rows import RowInk, closed
from ecgvlm.paper.layouts import layout_name
from ecgvlm.quantile import median
from ecgvlm.record import LEADS

_USUAL_PITCH = 20.0 * PX_PER_MM  # between rows, where there is only one
_PULSE = 0.3  # probability from which on a mark surely is a calibration pulse
_PULSE_WIDTH = 9.0 * PX_PER_MM  # of a calibration pulse with its feet
_BAR = int(0.8 * PX_PER_MM)  # px that bars in the blank paper between columns are wide at most


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
    """layout: rows x columns and, with rhythm strips, how many: "3x4+1R". columns: of it, shown or not.

    strips: of at least `FEWEST` leads; rows and columns beyond the picture's edge are left out. score: mean
    probability of the twelve names where they are expected. named: how many leads' names were seen, 0 where
    the page has none. several: whether another twelve leads stand on the page; parting: where the page parts
    into them, where it does. apart: whether wide blank paper lies between all columns.
    """

    layout: str
    columns: int
    order: str
    strips: tuple[Placed, ...]
    score: float
    named: int
    several: bool = False
    apart: bool = False
    parting: Parting | None = None


def find_layout(names: Sequence[Name], maps: NetMaps, to_scale: bool = True) -> Found | None:
    """The rows and columns that explain the names, their strips' ends from the trace; None where not six fit.

    to_scale: whether mm are known, so that columns may be taken to print a whole number of seconds together.
    """
    parting = find_parting(names, maps.trace)
    if parting is not None:
        names, maps = fuller_part(names, maps, parting)
    if (blank := rows_set_apart(names, maps.trace)) is not None:
        return _without_blank(names, maps, to_scale, *blank)
    arrangement = arrange(names)
    if arrangement is None:
        return None
    own = [name for name in names if arrangement.explains(name)]
    rest = [name for name in names if not arrangement.explains(name)]
    if arrangement.columns == 1:
        rest = [name for name in rest if not _is_repeated(name, own, arrangement.dy)]
    other = arrange(rest)
    several = other is not None and len(other.named & arrangement.named) >= OTHER_NAMED
    found = with_strips(arrangement, names, maps, to_scale)
    return found and replace(found, several=several or parting is not None, parting=parting)


def _without_blank(names: Sequence[Name], maps: NetMaps, to_scale: bool, top: int, more: int) -> Found | None:
    """What is found without so many px of blank paper from px `top` on."""
    beyond = slice(top, top + more), slice(top // 4, (top + more) // 4)
    without = NetMaps(np.delete(maps.trace, beyond[0], 0), np.delete(maps.names, beyond[1], 1))
    moved = [replace(name, y=name.y - more) if name.y > top else name for name in names]
    found = find_layout(moved, without, to_scale)
    if found is None:
        return None
    strips = (replace(s, y=s.y + more) if s.y > top else s for s in found.strips)
    return replace(found, strips=tuple(strips))


def _is_repeated(name: Name, names: Sequence[Name], dy: float) -> bool:
    """Whether one of the names is the same in the same row, as where strips are named at both ends. dy: px
    between rows."""
    return any(name.lead == other.lead and abs(name.y - other.y) < 0.6 * dy for other in names)


def with_strips(fit: Arrangement, names: Sequence[Name], maps: NetMaps, to_scale: bool) -> Found | None:
    """The layout with those strips that the picture shows; None where they hold fewer than six leads."""
    rows = RowInk(maps.trace > 0.5, fit.dy)
    rhythm_named = rhythm_names(fit, names)
    lines = rows.lines(fit.ys, first=not are_above(fit, rhythm_named), last=fit.columns == 1)
    rhythm = find_rhythm_strips(fit, rhythm_named, rows, lines)
    rows = _without_neighbour(rows, fit, lines)
    extent = extent_of(fit, maps, rows, lines, [strip.y for strip in rhythm])
    rows = _without_column_pulses(rows, maps.marks(_PULSE), fit.rows, extent.left)
    columns = Columns(fit, extent, closed(rows.blank(lines), _BAR), to_scale)
    leads = _strips_of_leads(fit, rows, lines, columns.shown())
    if len({strip.lead for strip in leads} & set(LEADS)) < FEWEST:
        return None
    since = max(0.0, extent.left - columns.start)
    through = [
        Placed(strip.lead, True, fit.rows + k, 0, extent.left, stop, since, strip.y, strip.named)
        for k, (strip, stop) in enumerate(zip(rhythm, extent.stops))
    ]
    layout = layout_name(_rows_of_half({strip.row for strip in leads}, fit), fit.columns, len(rhythm))
    named = len(fit.named & set(LEADS))
    return Found(layout, fit.columns, fit.order, (*leads, *through), fit.score, named, apart=columns.wide > 0)


def _strips_of_leads(
    fit: Arrangement, rows: RowInk, lines: Sequence[float], columns: Mapping[int, Column]
) -> list[Placed]:
    """The cells as strips, of rows and columns that the picture shows. lines: px of the rows'."""
    # Names may go unseen where the picture does show their rows.
    named = fit.rows_shown()
    shown = [k for k, y in enumerate(lines) if k in named or rows.beats(y)]
    strips = []
    for cell in fit.cells:
        y, column = lines[cell.row], columns.get(cell.column)
        if column is not None and cell.row in shown and 0 <= y < len(rows.ink):
            sign = -1.0 if fit.order == "cabrera" and cell.lead == "aVR" else 1.0
            ends = column.x0, column.x1, column.since
            strips.append(Placed(cell.lead, False, cell.row, cell.column, *ends, y, cell.named, sign))
    return strips


def _rows_of_half(shown: set[int], fit: Arrangement) -> int:
    """How many rows the layout has: of limb or chest leads alone, half of those of the usual order."""
    half = fit.rows // 2
    alone = (
        fit.columns == 1
        and fit.rows == len(LEADS)
        and shown in (set(range(half)), set(range(half, fit.rows)))
    )
    return half if alone else fit.rows


def _without_neighbour(rows: RowInk, fit: Arrangement, lines: Sequence[float]) -> RowInk:
    """The ink without that of another ECG on the left: what begins more than a column before the first name,
    up to the widest blank paper."""
    farthest = int(fit.xs[0] - fit.dx - FARTHEST_NAME)
    if fit.columns == 1 or farthest <= 0 or rows.ends(lines)[0] >= farthest:
        return rows
    _, edge = filters.longest_run(rows.blank(lines)[farthest : int(fit.xs[0])])
    if not edge:
        return rows
    own = rows.ink.copy()
    own[:, : farthest + edge] = False
    return replace(rows, ink=own)


def _without_column_pulses(rows: RowInk, marks: Sequence[Mark], n_rows: int, left: float) -> RowInk:
    """The ink without calibration pulses that stand in most rows before a further column, if any."""
    xs = np.array(sorted(m.x for m in marks if m.kind == PULSE and m.x > left + SHORTEST))
    own = rows.ink.copy()
    for x in xs:
        together = np.abs(xs - x) < NEAR
        if together.sum() >= max(2, n_rows / 2):
            middle, half = median(xs[together]), _PULSE_WIDTH / 2
            own[:, max(0, int(middle - half)) : int(middle + half)] = False
    return replace(rows, ink=own)


def row_pitch(strips: Sequence[Placed]) -> float:
    """px between rows."""
    ys = sorted({strip.y for strip in strips})
    return median(np.diff(ys)) if len(ys) > 1 else _USUAL_PITCH
