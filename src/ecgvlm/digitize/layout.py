"""Where each lead's strip begins and ends on a rectified page: rows and columns of names meet the ink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.arrangement import FEWEST, LEAST_ROW, NEAR, PLAIN, Arrangement, Cell, Name, arrange
from ecgvlm.digitize.pagenet import PULSE, PX_PER_MM, Mark, NetMaps
from ecgvlm.paper.layouts import RHYTHM_LEADS, layout_name
from ecgvlm.quantile import median, quantiles
from ecgvlm.record import LEADS

_USUAL_PITCH = 20.0 * PX_PER_MM  # between rows, where there is only one
_SHORTEST = 20.0 * PX_PER_MM  # a strip shorter than this holds no whole beat
_NARROWEST, _WHOLE = 10.0 * PX_PER_MM, 0.9  # of slow paper's columns, and part of them that must be seen
_NARROW_NAMED = 11  # leads that it must name
_NAME_IN = 1.0 * PX_PER_MM, 10.0 * PX_PER_MM  # from a strip's beginning to its name: usually, and at most
_PULSE, _PLAIN_PULSE = 0.15, 0.3  # probability from which on a mark counts as a calibration pulse, and surely
_PULSE_WIDTH = 9.0 * PX_PER_MM  # of a calibration pulse with its feet
_LONGEST_FOOT = 12.0 * PX_PER_MM
_STUB = int(1.0 * PX_PER_MM)  # px of a foot's end that may look like the beginning of a trace
_FAR_APART = 3  # leads on either side of blank paper that sets rows apart
_LONG, _LONG_ROW = 100.0 * PX_PER_MM, 0.75  # of a rhythm strip's ink at least, or as part of a shorter row
_NEARLY_ALL = 0.45  # rows to either side of the line of a row
_STRAIGHT = 0.5 * PX_PER_MM  # a row whose ink rises and falls less than this is a line, no trace
_WIDEST_GAP = 11.5 * PX_PER_MM  # blank paper between two columns, unless all of them stand wider apart
_MOST_GAP = 2.0  # of a column's length, that the paper between columns may be wide
_NARROWEST_GAP = 0.8 * PX_PER_MM
_BAR = int(0.8 * PX_PER_MM)  # px that bars in the blank paper between columns are wide at most
_AFTER = 0.6  # of a column, that traces begin before the first name at least where names follow their strips
_GAP_OFF = 3.0 * PX_PER_MM  # by which a gap that is seen may differ from the one that whole seconds leave
_UNEVEN_COLUMNS = 0.3 * PX_PER_MM  # by which the beginning of a column may lie off even distances
_TOO_LONG = 4.0 * PX_PER_MM  # by which a row may be longer than its columns' names tell
_CUT_SHORT = 3.0 * PX_PER_MM  # by which a rhythm strip's end, if level, may go unseen
# Of the rows' distance, that a rhythm strip whose name is plain stands below the last row at least.
_CLOSE = 0.4
_MOST_RHYTHM = 3  # rhythm strips below the columns, or above them
_LIKE_PULSES = ("I",)  # names that pulses look like, and R waves; no rhythm strip is of them
_STROKE = 0.35 * PX_PER_MM  # by which ink is longer than the trace that it draws, half of it at either end
_BLANK = 0.34  # share of the rows with ink below which a place counts as blank
OTHER_NAMED = 8  # leads named once more, in rows and columns of their own, make another ECG
_STRAY = 0.1  # of the mean ink of the page's columns or rows of px, that stray marks between ECGs show
_OTHER_INK = 0.2  # of the page's traces, that each of two ECGs has at least
_BEFORE_NAME = 8.0 * PX_PER_MM  # from where an ECG may begin to its first name
# Rows of traces without any name: their rows, columns and rhythm strips, the usual choice first.
_NAMELESS = {
    3: ((3, 4, 0),), 4: ((3, 4, 1), (4, 3, 0)), 5: ((3, 4, 2),), 6: ((6, 2, 0), (3, 4, 3)), 7: ((6, 2, 1),),
    12: ((12, 1, 0),),
}  # fmt: skip
_OFF_PLACE = 0.15  # of the rows' distance, that a trace may lie beside its row
_NAME_ABOVE = 0.15  # of the rows' distance, that names usually stand above their traces
_ROW_INK = 0.3  # of the fullest row's ink that makes another row
_UNEVEN = 0.25  # part by which the distances of rows may differ
_JUMP = 0.8 * PX_PER_MM  # by which a trace that goes on as another lead's is usually off
_MORE_JUMPS = 0.45  # share of rows by which an unusual choice must show more of them


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
class Parting:
    """Where a page parts into two ECGs, beside each other (axis 0) or one below the other (1).

    end: px of the rectified page along that axis where the first one ends; begin: where the second begins.
    """

    axis: int
    end: float
    begin: float


@dataclass(frozen=True)
class Found:
    """layout: rows x columns and, with rhythm strips, how many: "3x4+1R".

    strips: of at least `FEWEST` leads; rows and columns beyond the picture's edge are left out. score: mean
    probability of the twelve names where they are expected. named: how many leads' names were seen, 0 where
    the page has none. several: whether another twelve leads stand on the page; parting: where the page parts
    into them, where it does. apart: whether wide blank paper lies between all columns.
    """

    layout: str
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
    parting = _parting(names, maps.trace)
    if parting is not None:
        names, maps = _fuller_part(names, maps, parting)
    if (blank := _far_apart(names, maps.trace)) is not None:
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
    found = _with_strips(arrangement, names, maps, to_scale)
    return found and replace(found, several=several or parting is not None, parting=parting)


def _far_apart(names: Sequence[Name], trace: np.ndarray) -> tuple[int, int] | None:
    """Where blank paper between rows of other leads makes them stand farther apart than the rest do, and by
    how many px, both multiples of 4; None where it does not."""
    plain = sorted((name for name in names if name.p >= PLAIN), key=lambda name: name.y)
    steps = np.diff([name.y for name in plain])
    rows = steps[steps > NEAR]
    if len(rows) < 2:
        return None
    at, pitch = int(np.argmax(steps)), median(rows)
    upper, lower = ({name.lead for name in part} for part in (plain[: at + 1], plain[at + 1 :]))
    more = int(steps[at] - pitch) // 4 * 4
    if min(len(upper), len(lower)) < _FAR_APART or upper & lower or more < 0.4 * pitch:
        return None
    top, bottom = int(plain[at].y), int(plain[at + 1].y)
    bare = (trace[top:bottom] > 0.5).sum(1) == 0
    start, stop = _longest(bare)
    return ((top + start + 4) // 4 * 4, more) if stop - start > more + 8 else None


def _without_blank(names: Sequence[Name], maps: NetMaps, to_scale: bool, top: int, more: int) -> Found | None:
    """What is found without so many px of blank paper from px `top` on."""
    beyond = slice(top, top + more), slice(top // 4, (top + more) // 4)
    closed = NetMaps(np.delete(maps.trace, beyond[0], 0), np.delete(maps.names, beyond[1], 1))
    moved = [replace(name, y=name.y - more) if name.y > top else name for name in names]
    found = find_layout(moved, closed, to_scale)
    if found is None:
        return None
    strips = (replace(s, y=s.y + more) if s.y > top else s for s in found.strips)
    return replace(found, strips=tuple(strips))


def _is_repeated(name: Name, names: Sequence[Name], dy: float) -> bool:
    """Whether one of the names is the same in the same row, as where strips are named at both ends. dy: px
    between rows."""
    return any(name.lead == other.lead and abs(name.y - other.y) < 0.6 * dy for other in names)


def _parting(names: Sequence[Name], trace: np.ndarray) -> Parting | None:
    """Where the page parts into two ECGs, None where there are not two: the widest blank paper between the
    last name of the one and the first name of the other."""
    plain = [name for name in names if name.p >= PLAIN]
    ways = []  # blank px between two ECGs, then where they part
    for axis in (0, 1) if len(plain) >= 2 * OTHER_NAMED else ():
        order = sorted((((n.x, n.y)[axis], n.lead) for n in plain), key=lambda placed: placed[0])
        at, leads = zip(*order)
        between = [
            (int(at[k - 1]), int(at[k]))
            for k in range(OTHER_NAMED, len(order) - OTHER_NAMED + 1)
            if len(set(leads[:k]) & set(leads[k:])) >= OTHER_NAMED
        ]
        if not between:
            continue
        last, first = max(between, key=lambda pair: pair[1] - pair[0])
        ink = (trace > 0.5).sum(axis)
        bare = ink[last:first] < _STRAY * ink.mean()
        start, stop = _longest(bare)
        blank = stop - start
        if blank <= _NARROWEST_GAP:
            if axis == 0:
                continue  # rows that run through are of one ECG, named at both of their ends
            start = stop = int(first - last - _BEFORE_NAME)
        end, begin = last + start, last + stop
        if min(ink[:end].sum(), ink[begin:].sum()) > _OTHER_INK * ink.sum():
            ways.append((blank, Parting(axis, end, begin)))
    return max(ways, key=lambda way: way[0])[1] if ways else None


def _fuller_part(names: Sequence[Name], maps: NetMaps, parting: Parting) -> tuple[Sequence[Name], NetMaps]:
    """Of two ECGs' names and maps those of the one that shows more names, or of the first one."""
    axis, edge = parting.axis, int((parting.end + parting.begin) / 2)
    parts = [[n for n in names if ((n.x, n.y)[axis] >= edge) == second] for second in (False, True)]
    named = [len({n.lead for n in part if n.p >= PLAIN}) for part in parts]
    second = named[1] > named[0]
    trace, marks = maps.trace.copy(), maps.names.copy()
    for seen, at in ((trace, edge), (marks, edge // 4)):
        other = slice(at) if second else slice(at, None)
        seen[(..., other) if axis == 0 else (..., other, slice(None))] = 0.0
    return parts[second], NetMaps(trace, marks)


def _with_strips(fit: Arrangement, names: Sequence[Name], maps: NetMaps, to_scale: bool) -> Found | None:
    """The layout with those strips that the picture shows; None where they hold fewer than six leads."""
    height = maps.trace.shape[0]
    ink = maps.trace > 0.5
    profile = _profile(ink)
    marked = _rhythm_names(fit, names)
    above = [name for name in marked if name.p > PLAIN]
    first = _rhythm_name(above, fit.ys[0], -fit.dy) is None
    lines = _baselines(profile, fit.ys, fit.dy, first=first, last=fit.columns == 1)
    rhythm = _rhythm_rows(fit, marked, ink, profile, lines)
    ink = _without_neighbour(ink, fit, lines)
    left, right, ends, through = _extents(fit, maps, ink, lines, [y for _, y, _ in rhythm])
    ink = _without_column_pulses(ink, maps.marks(_PLAIN_PULSE), fit.rows, left)
    blank = _closed(_blank(ink, lines, fit.dy), _BAR)
    wide = _wide_gap(blank, left, right, fit.columns)
    start = _start(fit, left, right, wide)
    columns = _columns(blank, start, left, right, fit, wide, through, to_scale)
    # Names may go unseen where the picture does show their rows.
    rows = [k for k in range(fit.rows) if k in fit.rows_shown() or _beats(_band(ink, lines[k], fit.dy))]
    strips = []
    for cell in fit.cells:
        if cell.column in columns and cell.row in rows and 0 <= lines[cell.row] < height:
            x0, x1, since = columns[cell.column]
            sign = -1.0 if fit.order == "cabrera" and cell.lead == "aVR" else 1.0
            y = lines[cell.row]
            strips.append(Placed(cell.lead, False, cell.row, cell.column, x0, x1, since, y, cell.named, sign))
    if len({s.lead for s in strips} & set(LEADS)) < FEWEST:
        return None
    cut = max(0.0, left - start)
    for i, ((lead, y, named), end) in enumerate(zip(rhythm, ends)):
        strips.append(Placed(lead, True, fit.rows + i, 0, left, end, cut, y, named))
    shown = {s.row for s in strips if not s.rhythm}
    layout = layout_name(_rows_of_half(shown, fit), fit.columns, len(rhythm))
    return Found(layout, fit.order, tuple(strips), fit.score, len(fit.named & set(LEADS)), apart=wide > 0)


def _rows_of_half(shown: set[int], fit: Arrangement) -> int:
    """How many rows the layout has: of limb or chest leads alone, half of those of the usual order."""
    half = fit.rows // 2
    alone = (
        fit.columns == 1
        and fit.rows == len(LEADS)
        and shown in (set(range(half)), set(range(half, fit.rows)))
    )
    return half if alone else fit.rows


def _without_neighbour(ink: np.ndarray, fit: Arrangement, lines: list[float]) -> np.ndarray:
    """The ink without that of another ECG on the left: what begins more than a column before the first name,
    up to the widest blank paper."""
    farthest = int(fit.xs[0] - fit.dx - _NAME_IN[1])
    if fit.columns == 1 or farthest <= 0 or _ends(ink, lines, fit.dy)[0] >= farthest:
        return ink
    _, edge = _longest(_blank(ink, lines, fit.dy)[farthest : int(fit.xs[0])])
    if not edge:
        return ink
    own = ink.copy()
    own[:, : farthest + edge] = False
    return own


def _extents(
    fit: Arrangement, maps: NetMaps, ink: np.ndarray, lines: Sequence[float], rhythm: Sequence[float]
) -> tuple[float, float, list[float], float | None]:
    """px at which the rows begin and end, at which each rhythm strip ends, and that rhythm strips are long.

    lines, rhythm: px of the rows' lines and of the rhythm strips'. The last is None where none tells.
    """
    left, right = _ends(ink, lines, fit.dy)
    # Columns may stand apart; a rhythm strip runs through, and is then shorter.
    seen = [_ends(ink, [y], fit.dy) for y in rhythm]
    ends = [end for _, end in seen]
    for begin, _ in seen:
        if not _whole(fit, left, right, 0.0) and _whole(fit, begin, right, 0.0):
            left = begin  # rows that are too short begin unseen
    pulses = maps.marks(_PULSE)
    if any(-12 * PX_PER_MM < mark.x - left < 0 for mark in pulses if mark.kind == PULSE):
        shortest = min(right, median(ends)) if ends else right
        left += _foot(ink, [*lines, *rhythm], fit.dy, left, shortest)
    if fit.columns > 1 and right - left > fit.columns * fit.dx + _TOO_LONG:
        right = left + fit.columns * fit.dx  # a line of the paper goes on where the traces end
    # Behind a rhythm strip something else may go on: then it does not tell how long it is.
    long = [end - left for end in ends if end < right + _TOO_LONG]
    ends = [min(right, max(end, left + _SHORTEST)) for end in ends]
    return left, right, ends, median(long) if long else None


def _rhythm_names(fit: Arrangement, names: Sequence[Name]) -> list[Name]:
    """The names that stand where those of rhythm strips do: with those of the first column or, where none is
    plain there and names stand at the ends of the strips, right of those of the last column but one."""
    first = [n for n in names if abs(n.x - fit.xs[0]) < 1.5 * NEAR]
    plain = [n for n in names if n.p > PLAIN and not fit.explains(n)]
    room = _CLOSE * fit.dy
    beyond = any(n in first and not fit.ys[0] - room < n.y < fit.ys[-1] + room for n in plain)
    if fit.columns == 1 or beyond:
        return first
    return first + [n for n in plain if n.x > fit.xs[-1] - fit.dx + NEAR]


def _rhythm_rows(
    fit: Arrangement, names: Sequence[Name], ink: np.ndarray, profile: np.ndarray, lines: list[float]
) -> list[tuple[str, float, bool]]:
    """Lead, line in px and whether named, of the rhythm strips: as long as a row of ink follows the last row.

    names: of `_rhythm_names`. Under a single column, further down than one, and above the first row, only
    where a name says so.
    """
    offset = median(np.array(lines) - np.array(fit.ys))
    long = min(_LONG, _LONG_ROW * fit.columns * fit.dx) if fit.columns > 1 else _LONG

    def rows(
        names: Sequence[Name], last: float, step: float, needs_name: bool
    ) -> list[tuple[str, float, bool]]:
        found: list[tuple[str, float, bool]] = []
        while len(found) < _MOST_RHYTHM:
            name = _rhythm_name(names, last, step)
            if name is None and needs_name:
                break
            expected = last + step
            y = _baselines(profile, [name.y if name else expected], fit.dy, offset)[0]
            band = _band(ink, y, fit.dy)
            if not 0 <= y < len(ink) - 0.06 * fit.dy or not _beats(band, long):
                break
            found.append((name.lead if name else "II", y, name is not None))
            last = name.y if name else expected
        while len(found) > 1 and not found[-1][2]:
            found.pop()
        return found

    below = rows(names, fit.ys[-1], fit.dy, needs_name=fit.columns == 1)
    if below or fit.columns == 1:
        return below
    plain = [name for name in names if name.p > PLAIN]
    return rows(plain, fit.ys[0], -fit.dy, needs_name=True)[::-1]


def _rhythm_name(names: Sequence[Name], last: float, step: float) -> Name | None:
    """The name of the rhythm strip whose row should stand a step further than the last one: plain and nearer,
    or else about there."""
    nearer = [
        n for n in names if n.p > PLAIN and _CLOSE < (n.y - last) / step < 1 and n.lead not in _LIKE_PULSES
    ]
    near = [n for n in names if abs(n.y - last - step) < max(NEAR, 0.35 * abs(step))]
    if nearer:
        return min(nearer, key=lambda n: abs(n.y - last))
    return max(near, key=lambda n: n.p, default=None)


def _without_column_pulses(ink: np.ndarray, marks: Sequence[Mark], rows: int, left: float) -> np.ndarray:
    """The ink without calibration pulses that stand in most rows before a further column, if any."""
    xs = np.array(sorted(m.x for m in marks if m.kind == PULSE and m.x > left + _SHORTEST))
    out = ink.copy()
    for x in xs:
        together = np.abs(xs - x) < NEAR
        if together.sum() >= max(2, rows / 2):
            middle, half = median(xs[together]), _PULSE_WIDTH / 2
            out[:, max(0, int(middle - half)) : int(middle + half)] = False
    return out


def find_nameless(maps: NetMaps) -> Found | None:
    """Rows of traces without any name, in the standard order; None where no usual page has so many rows."""
    ink = maps.trace > 0.5
    lines = _lines_of_ink(ink)
    choices = _NAMELESS.get(len(lines), ())
    if not choices:
        return None
    dy = median(np.diff(lines))
    left, right = _ends(ink, lines, dy)

    def jumps(rows: int, columns: int) -> float:
        places = left + (right - left) * np.arange(1, columns) / columns
        return _jumps(ink, lines[:rows], dy, places) if columns > 1 else 0.0

    best = choices[0]
    for other in choices[1:]:
        if jumps(*other[:2]) > jumps(*best[:2]) + _MORE_JUMPS:
            best = other
    rows, columns, rhythm = best
    xs = tuple(left + (right - left) * k / columns + _NAME_IN[0] for k in range(columns))
    cells = tuple(Cell(lead, i % rows, i // rows, False) for i, lead in enumerate(LEADS))
    above = [y - _NAME_ABOVE * dy for y in lines]
    below = [Name(lead, xs[0], y, 0.0) for lead, y in zip(RHYTHM_LEADS, above[rows:])][:rhythm]
    return _with_strips(Arrangement(xs, tuple(above[:rows]), dy, cells, "standard", 0.0), below, maps, True)


def _lines_of_ink(ink: np.ndarray) -> list[float]:
    """px of the rows of long traces, evenly spaced; empty where they are not."""
    profile = _profile(ink)
    apart = int(LEAST_ROW)
    highest = np.array([profile[max(0, y - apart) : y + apart + 1].max() for y in range(len(profile))])
    at = np.flatnonzero((profile == highest) & (profile > _ROW_INK * profile.max()))
    lines = [float(y) for k, y in enumerate(at) if k == 0 or y - at[k - 1] > 1]
    pitch = median(np.diff(lines)) if len(lines) > 1 else 0.0
    even = pitch > 0 and np.abs(np.diff(lines) / pitch - 1).max() < _UNEVEN
    return lines if even and all(_beats(_band(ink, y, pitch)) for y in lines) else []


def _jumps(ink: np.ndarray, lines: Sequence[float], dy: float, places: np.ndarray) -> float:
    """Share of rows and places in which the trace goes on at another height than it came."""
    reach, offs = round(1.5 * PX_PER_MM), []
    for y in lines:
        band = _band(ink, y, dy)
        middle = np.where(band.any(0), band.argmax(0), np.nan)
        for place in places.round().astype(int):
            before, after = middle[place - reach : place], middle[place : place + reach]
            before, after = before[np.isfinite(before)], after[np.isfinite(after)]
            if len(before) and len(after):
                offs.append(abs(median(before) - median(after)))
    return float(np.mean(np.array(offs) > _JUMP)) if offs else 0.0


def _profile(ink: np.ndarray) -> np.ndarray:
    """[H] how much ink the page has in each row of px and the few around it."""
    kernel = np.hanning(int(2.4 * PX_PER_MM) | 1)
    return np.convolve(ink.sum(1).astype(float), kernel / kernel.sum(), "same")


def _baselines(
    profile: np.ndarray, name_ys: Sequence[float], dy: float, offset: float | None = None,
    first: bool = True, last: bool = False,
) -> list[float]:  # fmt: skip
    """Where the rows' traces run: the y with most ink within a row of each name, all shifted alike.

    profile: of `_profile`. first, last: whether no rhythm strip stands before these rows, or follows them.
    """
    reach = int(0.9 * abs(dy))
    lags = np.arange(-reach, reach + 1)
    sums = np.zeros(len(lags))
    reference = float(
        median([profile[max(0, int(y) - reach) : int(y) + reach + 1].max(initial=1e-6) for y in name_ys])
    )
    share = np.minimum(profile / reference, 1.0)
    # A row's own trace may lie off its place.
    share = (share + filters.greatest(share, 2 * int(_OFF_PLACE * abs(dy)) + 1)) / 2
    for y in name_ys:
        # Every row must have its ink there: a shift by one row would leave the last one empty.
        sums += share[np.clip(np.round(y + lags).astype(int), 0, len(share) - 1)]
    # Nor is there ink above a page's first row, or below its last one. Names stand above or on the trace more
    # often than below it.
    beyond = [name_ys[0] - abs(dy) + lags] * first + [name_ys[-1] + abs(dy) + lags] * last
    for ys in beyond:
        at = np.clip(np.round(ys).astype(int), 0, len(share) - 1)
        sums -= np.where((ys > 0) & (ys < len(share)), share[at], 0.0)
    sums -= 0.6 * ((lags / abs(dy) - _NAME_ABOVE) / 0.6) ** 2
    common = float(lags[int(np.argmax(sums))]) if offset is None else offset
    found = []
    for y in name_ys:
        near = np.arange(int(y + common - 0.2 * abs(dy)), int(y + common + 0.2 * abs(dy)) + 1)
        near = near[(near >= 0) & (near < len(profile))]
        found.append(float(near[int(np.argmax(profile[near]))]) if len(near) else y + common)
    return found


def row_pitch(strips: Sequence[Placed]) -> float:
    """px between rows."""
    ys = sorted({strip.y for strip in strips})
    return median(np.diff(ys)) if len(ys) > 1 else _USUAL_PITCH


def _band(ink: np.ndarray, y: float, dy: float, rows: float = 0.3) -> np.ndarray:
    """The ink within so many rows of a row's line; none of a row above the picture."""
    return ink[max(0, int(y - rows * dy)) : max(0, int(y + rows * dy) + 1)]


def _beats(band: np.ndarray, long: float = _LONG) -> bool:
    """Whether a row's ink is that of a rhythm strip: long enough, and no straight line, as an axis is one."""
    inked = np.any(band, axis=0)
    if inked.sum() < long:
        return False
    top = band.argmax(0)[inked]
    return bool(np.ptp(quantiles(top, 0.02, 0.98)) > _STRAIGHT)


def _ends(ink: np.ndarray, ys: Sequence[float], dy: float) -> tuple[float, float]:
    """px at which the traces begin and end: the median over the rows, so that a stray mark moves nothing."""
    firsts, lasts = [], []
    for y in ys:
        band = _band(ink, y, dy, _NEARLY_ALL)
        columns = np.flatnonzero(_solid(np.any(band, axis=0)))
        if len(columns):
            firsts.append(_without_stub(columns)[0])
            lasts.append(columns[-1])
    if not firsts:
        return 0.0, float(ink.shape[1] - 1)
    # A column of px is half a px wide to either side.
    return median(firsts) + (_STROKE - 1) / 2, median(lasts) - (_STROKE - 1) / 2


def _without_stub(columns: np.ndarray) -> np.ndarray:
    """Columns of ink without a first few that stand alone: where a calibration pulse's foot ends."""
    gap = int(np.argmax(np.append(np.diff(columns[: _STUB + 1]) > 1, False)))
    alone = len(columns) > _STUB and columns[gap + 1] - columns[gap] > 1
    return columns[gap + 1 :] if alone else columns


def _foot(ink: np.ndarray, ys: list[float], dy: float, left: float, right: float) -> float:
    """px of a calibration pulse's foot that runs into the traces: all rows begin with so long a level line.

    It is taken for one only where rows without it last whole seconds.
    """
    x0, most = int(left), int(_LONGEST_FOOT)
    level = []
    for y in ys:
        band = _band(ink, y, dy, _NEARLY_ALL)[:, x0 : x0 + most]
        at = np.flatnonzero(band.any(0))
        if not len(at):
            return 0.0
        top, bottom = band.argmax(0)[at], band.shape[0] - 1 - band[::-1].argmax(0)[at]
        off = (np.abs(top - median(top[:9])) > 1) | (np.abs(bottom - median(bottom[:9])) > 1)
        level.append(int(at[np.argmax(off)]) if off.any() else most)
    foot = float(min(level))
    whole = _part_second(right - left - foot) < min(PX_PER_MM, 0.5 * _part_second(right - left))
    return foot if 2 * PX_PER_MM <= foot < most and whole else 0.0


def _is_whole(through: float, row: float, to_scale: bool) -> bool:
    """Whether a rhythm strip was seen to its end: about as long as the row, of whole seconds."""
    seen = not to_scale or _part_second(through) < _part_second(row) + _CUT_SHORT
    return through > 0.8 * row and seen


def _part_second(length: float) -> float:
    """px by which a length is no whole number of seconds at 25 mm/s."""
    second = 25.0 * PX_PER_MM
    return abs(length / second - round(length / second)) * second


def _solid(columns: np.ndarray) -> np.ndarray:
    """Columns that belong to runs of at least 4 mm, gaps up to 1.6 mm closed."""
    closed = _closed(columns, int(1.6 * PX_PER_MM))
    keep = np.zeros_like(columns, bool)
    for a, b in filters.runs(closed):
        if b - a >= 4 * PX_PER_MM:
            keep[a:b] = columns[a:b]
    return keep


def _longest(of: np.ndarray) -> tuple[int, int]:
    """Where the longest run of what holds ([n] bool) begins, and where it has ended; twice 0 without any."""
    return max(filters.runs(of), key=lambda run: run[1] - run[0], default=(0, 0))


def _closed(columns: np.ndarray, gap: int) -> np.ndarray:
    out = columns.copy()
    at = np.flatnonzero(columns)
    apart = np.diff(at)
    for k in np.flatnonzero((apart > 1) & (apart <= gap + 1)):
        out[at[k] : at[k + 1]] = True
    return out


def _start(fit: Arrangement, left: float, right: float, wide: float) -> float:
    """Where the rows begin or, where the picture's edge cuts them off, began: px of the rectified page.

    wide: px of blank paper between columns that stand wide apart. A row as long as its names stand apart is
    whole. Else one of its ends is missing: that which lets the names stand where they usually do.
    """
    usual, most = _NAME_IN
    if fit.columns == 1:
        # Names far inside are those of a column whose left neighbour is no part of this layout, unless they
        # stand at the ends of the rows.
        at_end = right - fit.xs[0] < _SHORTEST
        return left if at_end or fit.xs[0] - left < 2 * most else fit.xs[0] - usual
    if _whole(fit, left, right, wide):
        return left
    nearest = min((left, right - fit.columns * fit.dx), key=lambda start: abs(fit.xs[0] - start - usual))
    return nearest if abs(fit.xs[0] - nearest - usual) < most else fit.xs[0] - usual


def _whole(fit: Arrangement, left: float, right: float, wide: float) -> bool:
    """Whether rows of several columns are as long as their names stand apart, but for the last gap."""
    after = fit.xs[0] - left > _AFTER * fit.dx and fit.xs[-1] > right  # names stand after their strips
    return after or right - left > fit.columns * fit.dx - max(_WIDEST_GAP, 1.1 * wide)


def _columns(
    blank: np.ndarray, start: float, left: float, right: float, fit: Arrangement, wide: float,
    through: float | None, to_scale: bool,
) -> dict[int, tuple[float, float, float]]:  # fmt: skip
    """column -> ends of its strips and px of time before them: equal parts of the row between the gaps.

    start, wide: see `_start`. through: px that a rhythm strip is long.

    Of rows that are cut off, columns too short to read and those without any name are left out.
    """
    if fit.columns == 1:
        return {0: (start, right, 0.0)} if right - start >= _SHORTEST else {}
    gap, whole = wide, _whole(fit, left, right, wide)
    if not wide:
        step = (right - left) / fit.columns if whole else fit.dx
        gap = _gap(blank, [start + i * step for i in range(1, fit.columns)])
        if whole and through is not None and _is_whole(through, right - left, to_scale):
            # What columns and gaps take more than a rhythm strip are the gaps, unless that is too much.
            more = (right - left - through) / (fit.columns - 1)
            gap = more if _NARROWEST_GAP < more < max(_WIDEST_GAP, gap + _GAP_OFF) else 0.0
    if gap and not wide and whole and to_scale:
        gap = _whole_seconds(right - left, gap, fit.columns)
    elif (
        not wide
        and not whole
        and to_scale
        and through is not None
        and right - left - through > 4 * _NARROWEST_GAP
    ):
        # A rhythm strip that ends before the columns do was not cut off with them.
        part = 25.0 * PX_PER_MM / fit.columns
        gap = float(np.clip(fit.dx - part * round(through / fit.columns / part), 0.0, _WIDEST_GAP))
    window = (right - left - gap * (fit.columns - 1)) / fit.columns if whole else fit.dx - gap
    pitch = window + gap
    if gap and whole:
        pitch = _pitch_seen(blank, start, pitch, fit.columns)
    plain = len(fit.named) >= _NARROW_NAMED  # or what is narrow is far from its own scale
    columns, shortest = {}, min(_SHORTEST, max(_NARROWEST, _WHOLE * window)) if plain else _SHORTEST
    for i in range(fit.columns):
        x0 = start + i * pitch
        # Beside a name, lines that nothing rises from may go unseen: then only the page ends the column.
        x1 = min(x0 + window, right if right - x0 >= shortest else len(blank) - 1.0)
        cut = max(0.0, left - x0)
        if x1 - x0 - cut >= shortest:
            columns[i] = (x0 + cut, x1, i * window + cut)
    nameless = set(columns) - fit.columns_named()
    if fit.named and (not whole or len(nameless) > 1):
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


def _blank(ink: np.ndarray, ys: list[float], dy: float) -> np.ndarray:
    """[W] whether most rows show blank paper in a column of px."""
    bands = np.stack([_band(ink, y, dy, _NEARLY_ALL).any(0) for y in ys])
    return bands.mean(0) < _BLANK


def _wide_gap(blank: np.ndarray, left: float, right: float, columns: int) -> float:
    """px of blank paper between columns that all stand wide apart: 0 where they do not."""
    runs = filters.runs(blank[int(left) : int(right)])
    width, gaps = (right - left) / columns, []
    for i in range(1, columns):
        near = [b - a for a, b in runs if a < (i + 0.3) * width and b > (i - 0.3) * width]
        gaps.append(max(near, default=0))
    alike = gaps and min(gaps) > _WIDEST_GAP and np.ptp(gaps) < _GAP_OFF
    alike = alike and max(gaps) < _MOST_GAP * (right - left - sum(gaps)) / columns
    return median(gaps) + _STROKE if alike else 0.0


def _pitch_seen(blank: np.ndarray, start: float, pitch: float, columns: int) -> float:
    """px between the beginnings of columns as the ink after blank paper shows them, else as told."""
    reach, begins = int(_GAP_OFF), [start]
    for i in range(1, columns):
        place = int(start + i * pitch)
        near = blank[max(0, place - reach) : place + reach]
        last = np.flatnonzero(near[:-1] & ~near[1:])
        if not len(last):
            return pitch
        ends = max(0, place - reach) + last + 1 + (_STROKE - 1) / 2
        begins.append(float(ends[np.argmin(np.abs(ends - start - i * pitch))]))
    line = np.polyfit(np.arange(columns), begins, 1)
    even = np.abs(begins - np.polyval(line, np.arange(columns))).max() < _UNEVEN_COLUMNS
    return float(line[0]) if even else pitch


def _gap(blank: np.ndarray, places: list[float]) -> float:
    """px of blank paper near the places where one column meets the next."""
    gaps = []
    for place in places:
        a, b = int(max(0, place - 6 * PX_PER_MM)), int(min(len(blank), place + 6 * PX_PER_MM))
        start, stop = _longest(blank[a:b])
        gaps.append(stop - start + _STROKE if stop - start >= _NARROWEST_GAP else 0.0)
    return median(gaps)
