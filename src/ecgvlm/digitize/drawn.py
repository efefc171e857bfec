"""The traces of a drawn page, taken from its lines instead of its pixels: as exact as they were drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgvlm.digitize.arrangement import FEWEST, Name
from ecgvlm.digitize.assembly import SLOW, assembled, later
from ecgvlm.digitize.lettering import GAINS, NAMES, Notes
from ecgvlm.digitize.page import FS, Page, Strip
from ecgvlm.digitize.quality import relations_db
from ecgvlm.digitize.rectify import rectify
from ecgvlm.digitize.scale import LIKELY_SPEEDS, Scale
from ecgvlm.digitize.surface import MARGIN, PaperMap
from ecgvlm.digitize.timing import same_time
from ecgvlm.files.drawing import Drawing, Line, Word, text_lines
from ecgvlm.paper.layouts import layout_name
from ecgvlm.quantile import median

_STRAIGHT = 0.02  # part of its length that a ruled line may leave its row or column
_TOUCH = 0.06  # mm within which two pieces of one trace meet
_SHORT = 15.0  # mm; longer pieces are joined only where they meet exactly
_SHORTEST = 15.0  # mm of a trace's width
_BACK = 0.05  # part of its width that a trace may run backwards
_RULER = 20.0  # mm of a line of the grid
_LEAST_LINES = 8  # of a grid, in each direction
_OFF = 0.02  # part by which a length may differ from what it is taken for
_SPACINGS = (1.0, 5.0)  # mm between the lines of a grid
_PULSE_HEIGHT, _PULSE_WIDTH = (1.5, 45.0), (1.0, 25.0)  # mm that a calibration pulse may have
_WIDTHS = (2.5, 5.0, 10.0, 20.0)  # mm of 0.2 s
_NAME_BEFORE, _NAME_AFTER = 25.0, 12.0  # mm before and after a strip's beginning, where its name may stand
_ASIDE = 0.02  # what a mm between a name and its strip's beginning counts beside one up or down
_COLUMN = 8.0  # mm within which the names of one column stand
_SAME_ROW = 0.45  # of the rows' distance, by which a name may be off the place that the others tell
_STEP = 0.1  # mm between two points of a curve at most
_FULL_ROW = 235.0  # mm of a row that was printed to scale; it lasts whole seconds
_LEAST_ROW = 3.0  # mm between two rows
_RHYTHM = 1.5  # widths of a column, from which on a strip runs through several
_NO_GAP = 1.0  # mm between columns that follow each other without a gap
_USUAL_GAIN = 10.0  # mm/mV
_PULSE_SECONDS = 0.2  # that a pulse usually lasts
_PRINTED = 12.0  # log-odds of a speed that stands among the words
_RELATED_DB = 3.0  # of the limb leads over what contradicts them
_UPSIDE_DOWN = "-aVR"
_DASHES = re.compile("[\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{MINUS SIGN}]")
_BESIDE = re.compile(r"[^\w-]")  # what may stand beside a name: a colon, brackets
_SPEED = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?) ?mm ?/ ?s", re.IGNORECASE)
_GAIN = re.compile(
    r"(?:(chest|precordial|brust|c|v)[: ]{1,3})?(?<![\d.])(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?"
    r" ?([cm])m ?/ ?mV",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Drawn:
    """A strip as it was drawn: [n, 2] mm on the paper, from left to right. sign: -1 for -aVR."""

    lead: str
    rhythm: bool
    row: int
    column: int
    curve: np.ndarray
    sign: float


@dataclass(frozen=True)
class _Sheet:
    """What the lines of a drawing tell: its strips, its paper, and its calibration pulses (mm)."""

    strips: tuple[_Drawn, ...]
    paper: PaperMap
    rows: int
    columns: int
    pulses: tuple[tuple[float, float], ...]  # width, height


def drawn_page(drawing: Drawing, read: Callable[[PaperMap], list[Name]]) -> Page | None:
    """The page that a drawing's lines make; None where they are not plainly those of an ECG.

    read: finds names in the picture, in its px, for drawings that hold none as words.
    """
    notes = notes_in(text_lines(drawing.words))
    sheet = _sheet(drawing, notes, read)
    if sheet is None:
        return None
    scale = _scale(sheet.pulses, notes)
    image, origin = rectify(drawing.image, sheet.paper)
    since = _since(sheet.strips)
    strips = [_strip(drawn, since[drawn.column], scale.gain_of(drawn.lead), origin) for drawn in sheet.strips]
    same = same_time(strips, [None if drawn.rhythm else drawn.column for drawn in sheet.strips])
    if same:
        strips = [later(strip, -strip.t0) for strip in strips]
    if relations_db(strips) < _RELATED_DB:
        return None  # the names are not those of the traces
    rhythm = sum(drawn.rhythm for drawn in sheet.strips)
    page = assembled(
        strips,
        scale,
        same,
        layout=layout_name(sheet.rows, sheet.columns, rhythm),
        order="cabrera" if any(drawn.sign < 0 for drawn in sheet.strips) else "standard",
        named=len({strip.lead for strip in strips}),
        image=image,
        origin=origin,
        paper=sheet.paper,
        picture=drawing.image.shape[:2],
    )
    # The first corner is the first sample, and samples stand in the middle of their time.
    twelve, more = (tuple(replace(s, t=s.t + 0.5 / FS) for s in own) for own in (page.strips, page.more))
    return replace(page, strips=twelve, more=more)


def notes_in(lines: Sequence[str]) -> Notes:
    """What lines of text say of speed and gain."""
    speeds: set[float] = set()
    gains: set[float] = set()
    chest: set[float] = set()
    for line in lines:
        speeds |= {float(value) for value in _SPEED.findall(line)}
        for part, value, second, unit in _GAIN.findall(line):
            mm = 10.0 if unit in "cC" else 1.0
            (chest if part else gains).add(mm * float(value))
            if second:
                chest.add(mm * float(second))
    return Notes(frozenset(speeds), frozenset(gains), frozenset(chest))


def _scale(pulses: Sequence[tuple[float, float]], notes: Notes) -> Scale:
    """What notes and pulses (width, height in mm) tell. A pulse that is drawn is what 1 mV was drawn with."""
    heights = [gain for gain in GAINS if any(_is_one_of(height, [gain]) for _, height in pulses)]
    printed = sorted(notes.gains & set(GAINS))
    known = heights if len(heights) == 1 else printed if len(printed) == 1 else heights[-1:]
    gain = known[0] if known else _USUAL_GAIN
    chest = min(notes.chest) if len(notes.chest) == 1 else gain
    speeds = dict(LIKELY_SPEEDS)
    widths = [width for width in _WIDTHS if any(_is_one_of(found, [width]) for found, _ in pulses)]
    if len(speed := notes.speeds & set(speeds)) == 1:
        speeds[min(speed)] += _PRINTED
    elif len(widths) == 1 and (said := widths[0] / _PULSE_SECONDS) in speeds and said > SLOW:
        speeds[said] += _PRINTED / 2
    wide = None if len(speed) == 1 or not pulses else bool(widths) and widths[-1] / _PULSE_SECONDS > SLOW
    disputed = bool(printed and heights and gain not in {*printed, chest})
    return Scale(speeds, gain, chest, wide, disputed, told=bool(known))


def _since(strips: Sequence[_Drawn]) -> list[float]:
    """mm of time that lie before each column; blank paper between columns is no time."""
    since, before = [0.0], 0.0
    columns = sorted({s.column for s in strips})
    for column in columns[:-1]:
        own, following = (
            [s.curve for s in strips if s.column == k and not s.rhythm] for k in (column, column + 1)
        )
        end = median([c[-1, 0] for c in own])
        gap = median([c[0, 0] for c in following]) - end
        before += end - median([c[0, 0] for c in own]) + (gap if abs(gap) < _NO_GAP else 0.0)
        since.append(before)
    return since


def _strip(drawn: _Drawn, since: float, gain: float, origin: tuple[float, float]) -> Strip:
    """A strip at `SLOW` mm/s. since: mm of time before it. gain: mm/mV."""
    corner = drawn.curve[:, 0] + np.arange(len(drawn.curve)) * 1e-9  # upright pieces stay in their order
    x0, x1 = float(corner[0]), float(corner[-1])
    x = np.union1d(corner, np.arange(x0, x1, _STEP))
    y = np.interp(x, corner, drawn.curve[:, 1])
    zero = _level(drawn.curve)
    t0 = since / SLOW
    return Strip(
        lead=drawn.lead,
        rhythm=drawn.rhythm,
        x0=x0 - origin[0],
        x1=x1 - origin[0],
        y=zero - origin[1],
        t0=t0,
        t1=t0 + (x1 - x0) / SLOW,
        t=t0 + (x - x0) / SLOW,
        curve=np.stack([x, y], 1) - origin,
        mv=(drawn.sign * (zero - y) / gain).astype(np.float32),
        sure=1.0,
    )


def _sheet(drawing: Drawing, notes: Notes, read: Callable[[PaperMap], list[Name]]) -> _Sheet | None:
    page = [replace(line, points=(line.points + 0.5) / drawing.px_per_mm) for line in drawing.lines]
    ruled, others = _sorted_out(page)
    chains = _traces(_joined(others))
    if not chains:
        return None
    pulses = _pulses(ruled, page)
    mm = _millimetres(ruled, chains, pulses, notes)
    if mm is None:
        return None
    paper = _paper(drawing, mm)
    names = [_on_paper(name, drawing, mm) for name in _names(drawing.words)]
    if len({name.lead for name in names}) < FEWEST:
        names = [_on_paper(name, drawing, mm) for name in read(paper)]
    strips, rows, columns = _named([chain / mm for chain in chains], names)
    own = [strip.lead for strip in strips if not strip.rhythm]
    if len(set(own)) < FEWEST or len(own) - len(set(own)) >= FEWEST:
        return None  # not an ECG, or more than one
    return _Sheet(tuple(strips), paper, rows, columns, tuple((w / mm[0], h / mm[1]) for w, h in pulses))


def _on_paper(name: Name, drawing: Drawing, mm: np.ndarray) -> Name:
    """A name whose place is in px of the picture -> in mm of the ECG."""
    x, y = (np.array([name.x, name.y]) + 0.5) / (np.array(drawing.px_per_mm) * mm)
    return replace(name, x=float(x), y=float(y))


def _sorted_out(lines: Sequence[Line]) -> tuple[list[np.ndarray], list[Line]]:
    """[2, 2] mm of the ruled lines, along one axis each; and the lines that are none."""
    along = [bool(_along_axes(line.points).all()) for line in lines]
    ruled = [
        line.points[k : k + 2]
        for line, is_so in zip(lines, along)
        if is_so
        for k in range(len(line.points) - 1)
    ]
    others = [line for line, is_so in zip(lines, along) if not is_so]
    # Level lines of the look that traces have are short parts of them, or leads without signal.
    looks = {line.style for line in others}
    long = [line.points for line in others if np.ptp(line.points[:, 0]) > _SHORTEST]
    others += [
        line
        for line, is_so in zip(lines, along)
        if is_so and line.style in looks and _is_level(line.points, long)
    ]
    return ruled, others


def _along_axes(points: np.ndarray) -> np.ndarray:
    """[n - 1]: whether the way from point to point runs along an axis."""
    steps = np.abs(np.diff(points, axis=0))
    return steps.min(1) <= _STRAIGHT * (0.1 + steps.max(1))


def _is_level(points: np.ndarray, traces: Sequence[np.ndarray]) -> bool:
    """Whether a line runs level, over a short way or over that of a trace."""
    if np.ptp(points[:, 1]) > _TOUCH or np.ptp(points[:, 0]) == 0:
        return False
    ends = np.sort(points[[0, -1], 0])
    return bool(ends[1] - ends[0] < _SHORT) or any(
        np.abs(np.sort(trace[[0, -1], 0]) - ends).max() < _NO_GAP for trace in traces
    )


def _joined(lines: Sequence[Line]) -> list[np.ndarray]:
    """Pieces of one look that meet end to end, as one; however they were drawn, from left to right."""
    done: list[np.ndarray] = []
    for style in sorted({line.style for line in lines}):
        pieces = sorted((_rightwards(line.points) for line in lines if line.style == style), key=_start)
        chains: list[list[np.ndarray]] = []
        ends: dict[tuple[int, int], int] = {}  # where chains end, in steps of `_TOUCH`
        for piece in pieces:
            x, y = (round(float(v) / _TOUCH) for v in piece[0])
            places = [(x + i, y + j) for i in (0, -1, 1) for j in (0, -1, 1)]
            place = next((p for p in places if p in ends and _meet(chains[ends[p]], piece)), None)
            if place is None:
                chains.append([piece])
                k = len(chains) - 1
            else:
                k = ends.pop(place)
                chains[k].append(piece[1:])
            x, y = (round(float(v) / _TOUCH) for v in piece[-1])
            ends[x, y] = k
        done += [np.concatenate(chain) for chain in chains]
    return done


def _start(piece: np.ndarray) -> float:
    return float(piece[0, 0])


def _meet(chain: Sequence[np.ndarray], piece: np.ndarray) -> bool:
    apart = float(np.abs(chain[-1][-1] - piece[0]).max())
    long = min(chain[-1][-1, 0] - chain[0][0, 0], piece[-1, 0] - piece[0, 0]) > _SHORT
    return apart < (_TOUCH / 10 if long else _TOUCH)


def _rightwards(points: np.ndarray) -> np.ndarray:
    return points if points[-1, 0] >= points[0, 0] else points[::-1]


def _traces(chains: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Those that run from left to right over some width, without a pulse before them."""
    found = []
    for chain in chains:
        chain = _without_pulse(chain)
        steps = np.diff(chain[:, 0])
        width = float(np.ptp(chain[:, 0]))
        if width >= _SHORTEST and -steps[steps < 0].sum() <= _BACK * width:
            found.append(np.stack([np.maximum.accumulate(chain[:, 0]), chain[:, 1]], 1))
    return found


def _without_pulse(chain: np.ndarray) -> np.ndarray:
    """The trace without a calibration pulse that it begins with: as long as all goes along the axes."""
    along = _along_axes(chain)
    slanted = np.flatnonzero(~along)
    first = int(slanted[0]) if len(slanted) else len(along)
    head = chain[: first + 1]
    steps = np.diff(head[:, 1])
    up, down = steps.min(initial=0.0), steps.max(initial=0.0)
    pulse = min(-up, down) > _PULSE_HEIGHT[0] and abs(up + down) < 0.1 * down
    return chain[first:] if pulse and np.ptp(head[:, 0]) < 2 * _PULSE_WIDTH[1] else chain


def _pulses(ruled: Sequence[np.ndarray], lines: Sequence[Line]) -> list[tuple[float, float]]:
    """Width and height in mm of each calibration pulse: two sides of one height under a top, open below."""
    pieces = list(ruled)
    for line in lines:  # some begin with a pulse and go on as the trace
        head = line.points[:12]
        pieces += [head[k : k + 2] for k in np.flatnonzero(_along_axes(head))]
    pieces = [p for p in pieces if np.ptp(p, axis=0).max() < _PULSE_HEIGHT[1]]
    upright = [p for p in pieces if np.ptp(p[:, 0]) < _TOUCH and np.ptp(p[:, 1]) > _PULSE_HEIGHT[0]]
    level = [(p[:, 0].min(), p[:, 0].max(), p[0, 1]) for p in pieces if np.ptp(p[:, 1]) < _TOUCH]
    near = 0.1
    found = set()

    def joined(a: float, b: float, y: float) -> bool:
        return any(abs(x0 - a) < near and abs(x1 - b) < near and abs(at - y) < near for x0, x1, at in level)

    sides = sorted({(round(p[0, 0], 2), round(p[:, 1].min(), 2), round(p[:, 1].max(), 2)) for p in upright})
    for k, (x, top, foot) in enumerate(sides[:400]):
        for other_x, other_top, other_foot in sides[k + 1 :]:
            if other_x - x > _PULSE_WIDTH[1]:
                break
            same = abs(other_top - top) < near and abs(other_foot - foot) < near
            wide = other_x - x > _PULSE_WIDTH[0]
            if same and wide and joined(x, other_x, top) and not joined(x, other_x, foot):
                found.add((round(other_x - x, 2), round(foot - top, 2)))
    return sorted(found)


def _millimetres(
    ruled: Sequence[np.ndarray],
    traces: Sequence[np.ndarray],
    pulses: Sequence[tuple[float, float]],
    notes: Notes,
) -> np.ndarray | None:
    """[2]: how many mm of the paper's size a mm of the ECG is, across and down; None where nothing tells.

    A grid of 1 or 5 mm tells by itself. What another grid says, that it is one of these on shrunken paper, or
    the paper's own size, must be borne out by a pulse or by rows of whole seconds.
    """
    ratio = np.ones(2)
    grids = [_grid(ruled, axis, traces) for axis in (0, 1)]
    if all(grid is not None for grid in grids):
        plain = [min((grid / s for s in _SPACINGS), key=lambda r: abs(np.log(r))) for grid in grids if grid]
        if all(abs(one - 1) < _OFF for one in plain):
            return ratio
        ratio = np.array(plain)
    if any(_is_one_of(height / ratio[1], notes.gains or GAINS) for _, height in pulses):
        return ratio
    longest = max(float(np.ptp(trace[:, 0])) for trace in traces) / ratio[0]
    for speed in notes.speeds:
        seconds = longest / speed
        if longest > _FULL_ROW and abs(seconds - round(seconds)) < _OFF / 2 * seconds:
            return ratio
    return None


def _is_one_of(value: float, known: Sequence[float] | frozenset[float]) -> bool:
    return any(abs(value / one - 1) < _OFF for one in known)


def _grid(ruled: Sequence[np.ndarray], axis: int, traces: Sequence[np.ndarray]) -> float | None:
    """mm between the finest lines across an axis that stand evenly behind the traces; None without any."""
    low = min(float(t[:, axis].min()) for t in traces) - 5
    high = max(float(t[:, axis].max()) for t in traces) + 5
    across = [p for p in ruled if np.ptp(p[:, axis]) < _TOUCH and np.ptp(p, axis=0).max() > _RULER]
    at = np.array([p[0, axis] for p in across])
    at = np.unique(at[(at > low) & (at < high)].round(2)) if len(at) else at
    apart = np.diff(at)
    apart = apart[apart > 0.2]
    if len(apart) < _LEAST_LINES:
        return None
    space = median(apart)
    even = np.abs(apart - space) < 0.1 * space
    if even.mean() < 0.8:
        return None
    run = at[np.concatenate([[True], np.diff(at) > 0.2])]
    steps = np.round((run - run[0]) / space)
    return float(np.polyfit(steps, run, 1)[0])


def _paper(drawing: Drawing, mm: np.ndarray) -> PaperMap:
    """The paper in millimetres of the ECG."""
    across, down = np.array(drawing.px_per_mm) * mm
    height, width = drawing.image.shape[:2]
    to_px = np.array([[across, 0.0, -0.5], [0.0, down, -0.5], [0.0, 0.0, 1.0]])
    return PaperMap.plane(to_px, (MARGIN, MARGIN, width / across - MARGIN, height / down - MARGIN), 1.0)


def _names(words: Sequence[Word]) -> list[Name]:
    """The leads' names among the words, in px; `_UPSIDE_DOWN` where that lead is drawn so."""
    found = []
    for word in _whole_names(words):
        text = _BESIDE.sub("", _DASHES.sub("-", word.text.lower()))
        lead = _UPSIDE_DOWN if text == _UPSIDE_DOWN.lower() else NAMES.get(text)
        if lead is not None:
            found.append(Name(lead, word.x, word.y, 1.0))
    return found


def _whole_names(words: Sequence[Word]) -> Iterator[Word]:
    """The words, and those that stand close enough to be one name: "V" and a lowered "1", "aV" and "R"."""
    yield from words
    for first in words:
        if first.text.lower() not in ("v", "av", "-av"):
            continue
        for second in words:
            gap = second.x0 - first.x1
            if (
                gap + 1 >= 0
                and gap < first.y1 - first.y0
                and first.y0 < second.y < first.y1 + second.y1 - second.y0
            ):
                yield Word(first.text + second.text, first.x0, first.y0, second.x1, first.y1)


def _named(curves: Sequence[np.ndarray], names: Sequence[Name]) -> tuple[list[_Drawn], int, int]:
    """The strips that the names give their leads, and how many rows and columns they stand in."""
    columns = _clusters(names)
    pairs = _matched(curves, columns)
    width = median([_width(curves[c]) / len(found) for c, found in pairs.items()]) if pairs else 0.0
    placed: list[tuple[int, Name, np.ndarray]] = []
    rhythm: list[tuple[Name, np.ndarray]] = []
    for c, found in pairs.items():
        if len(found) == 1 and len(columns) > 1 and _width(curves[c]) > _RHYTHM * width:
            rhythm.append((found[0][1], curves[c]))
        else:
            parts = _parts(curves[c], [name.x for _, name in found])
            placed += [(k, name, part) for (k, name), part in zip(found, parts)]
    used = sorted({k for k, _, _ in placed})
    strips, rows = [], 0
    for column, k in enumerate(used):
        own = sorted((p for p in placed if p[0] == k), key=lambda p: _level(p[2]))
        rows = max(rows, len(own))
        strips += [_drawn(name, False, row, column, curve) for row, (_, name, curve) in enumerate(own)]
    below = sorted(rhythm, key=lambda r: _level(r[1]))
    strips += [_drawn(name, True, rows + i, 0, curve) for i, (name, curve) in enumerate(below)]
    return strips, rows, len(used)


def _drawn(name: Name, rhythm: bool, row: int, column: int, curve: np.ndarray) -> _Drawn:
    lead, sign = ("aVR", -1.0) if name.lead == _UPSIDE_DOWN else (name.lead, 1.0)
    return _Drawn(lead, rhythm, row, column, curve, sign)


def _clusters(names: Sequence[Name]) -> list[list[Name]]:
    """The names that stand one below the other."""
    columns: list[list[Name]] = []
    for name in sorted(names, key=lambda n: n.x):
        if columns and name.x - columns[-1][-1].x < _COLUMN:
            columns[-1].append(name)
        else:
            columns.append([name])
    return [column for column in columns if len(column) > 1]


def _matched(
    curves: Sequence[np.ndarray], columns: Sequence[list[Name]]
) -> dict[int, list[tuple[int, Name]]]:
    """Curve -> the columns in which a name stands by it, and that name.

    Names stand all alike above or below their traces: at the distance that gives most of them one.
    """
    levels = [_level(curve) for curve in curves]
    beside = [
        [c for c, curve in enumerate(curves) if _begins(curve, median([n.x for n in column]))]
        for column in columns
    ]
    rows = [np.diff(sorted(levels[c] for c in own)) for own in beside]
    apart = np.concatenate(rows) if rows else np.array([])
    apart = apart[apart > _LEAST_ROW]
    near = _SAME_ROW * median(apart) if len(apart) else _NAME_BEFORE
    offsets = {
        round(name.y - levels[c], 1)
        for column, own in zip(columns, beside)
        for name in column
        for c in own
        if abs(name.y - levels[c]) < 2 * near / _SAME_ROW
    }
    below = [np.array([[n.y - levels[c] for c in own] for n in names]) for names, own in zip(columns, beside)]
    after = [
        np.array([[n.x - curves[c][0, 0] for c in own] for n in names]) for names, own in zip(columns, beside)
    ]
    best: dict[int, list[tuple[int, Name]]] = {}
    score = (0, 0.0)
    for offset in sorted(offsets, key=abs):
        found: dict[int, list[tuple[int, Name]]] = {}
        off = 0.0
        for k, own in enumerate(beside):
            down = np.abs(below[k] - offset)
            for i, j in _assigned(down, np.abs(after[k]), near):
                found.setdefault(own[j], []).append((k, columns[k][i]))
                off += float(down[i, j])
        count = sum(map(len, found.values()))
        if (count, -off) > score:
            best, score = found, (count, -off)
    return best


def _assigned(down: np.ndarray, across: np.ndarray, near: float) -> list[tuple[int, int]]:
    """Numbers of names and curves, each at most once, that belong together. down, across: [names, curves] mm
    between them; near: that they may be apart, down."""
    from scipy.optimize import linear_sum_assignment  # takes longer to import than a page to read

    if not down.size:
        return []
    pairs = zip(*linear_sum_assignment(np.minimum(down, near) + _ASIDE * across))
    return [(i, j) for i, j in pairs if down[i, j] < near]


def _begins(curve: np.ndarray, x: float) -> bool:
    """Whether a name at x may be that of a strip of this curve."""
    return curve[0, 0] - _NAME_BEFORE < x < curve[-1, 0] - _SHORTEST + _NAME_AFTER


def _parts(curve: np.ndarray, names: Sequence[float]) -> list[np.ndarray]:
    """A row that runs through all columns, cut into them; names: where theirs stand."""
    if len(names) == 1:
        return [curve]
    x0, x1 = curve[0, 0], curve[-1, 0]
    sample = median(np.diff(curve[:, 0]))  # whose time the last corner has, too
    even = x0 + (x1 - x0 + sample) * np.arange(len(names)) / len(names)
    after = np.array(names) - even
    starts = even if np.ptp(after) < _COLUMN else x0 + np.array(names) - names[0]
    cuts = [*starts[1:].tolist(), x1]
    parts, x = [], curve[:, 0]
    for start, end in zip([x0, *cuts], cuts):
        ends = np.array([[at, np.interp(at, x, curve[:, 1])] for at in (start, end)])
        parts.append(np.concatenate([ends[:1], curve[(x > start) & (x < end)], ends[1:]]))
    return parts


def _width(curve: np.ndarray) -> float:
    return float(curve[-1, 0] - curve[0, 0])


def _level(curve: np.ndarray) -> float:
    """mm of the height that the curve is mostly at."""
    x = np.linspace(curve[0, 0], curve[-1, 0], 500)
    return median(np.interp(x, curve[:, 0], curve[:, 1]))
