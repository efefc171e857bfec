"""The paper speed and the gain: what a page says of them, its calibration pulses, and its beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product

import cv2
import numpy as np

from ecgvlm.digitize.lettering import GAINS, OF_GAIN, Notes
from ecgvlm.digitize.pagenet import NOTES, PULSE, PX_PER_MM, Mark, NetMaps
from ecgvlm.measure import Measurements
from ecgvlm.quantile import median
from ecgvlm.record import LEADS

# What speaks for a gain before anything is read: most pages have 10 mm/mV, hardly any 2.5 or 40.
_BEFOREHAND = {2.5: -0.2, 10.0: 0.3, 40.0: -0.4}
# mm/s, and their log-odds against 25 mm/s before anything is read: one page in eight is at 50.
LIKELY_SPEEDS = {25.0: 0.0, 50.0: float(np.log(1 / 7)), 12.5: -4.0, 10.0: -5.0, 5.0: -5.0, 100.0: -5.0}
# Log-odds of a speed that is printed, letter by letter: only beats all against it tell more.
_NOTE_SAYS = 12.0
_GAIN_NOTE_SAYS = 1.2  # what a gain that is printed, letter by letter, weighs beside plain pulses' 1
# What a wide pulse tells: carts print 0.2 s or less, which is 10 mm at 50 mm/s and 20 mm at 100.
_WIDE_PULSES, _WIDE_PULSE_SAYS = {10.0: 50.0, 20.0: 100.0}, 4.0
_LEAST_NOTE, _LEAST_PULSE, _FAINT_PULSE = 0.12, 0.3, 0.1  # probabilities from which on a mark is weighed
_BESIDE_ROW = 24.0 * PX_PER_MM, 3.0 * PX_PER_MM  # by which a pulse's middle may lie above its row and below
_HALF_PULSE = 2.5 * PX_PER_MM  # of a usual pulse's width
_STACKED = 0.6  # how sure pulses are at least that stand one under the other
_MOST_PULSES = 4  # the clearest of a page; more tell nothing new
_PULSE_WIDTHS = (2.2, 2.5, 3.3, 5.0, 10.0, 20.0)  # mm that printers draw a pulse wide
_CLEAR = 0.85  # of the clearest height's clearness the second must have less, or the outline is of no pulse
_OF_NO_PULSE = 0.3  # what such an outline weighs beside a plain one: no more than what is usual beforehand
_EDGE, _BELOW = 3, 8  # px of an outline above and beside a pulse, and below it
_ABOUT_PULSE = 100, 160  # px to either side, and up and down, in which the highest and widest lie, blurred
_RUNS_ON = 0.3  # what ink below a calibration pulse's sides weighs, beside that of its outline
_PLAIN, _FAINT_NOTE = 0.6, 0.3  # probabilities from which on a printed gain is plain, and is one at all
_NOT_SO_HIGH = 0.8  # of the clearest height's clearness: pulses are plainly not of that height
_PULSE_SAYS = 8  # how sharply the clearest height of the calibration pulses counts before the others
_BEATS_SAY = 5.0  # log-odds from which on the beats contradict the calibration pulses
_TWICE = 2  # a name may stand as often in a column, beside a strip and a rhythm strip
_ONE_ROW = 10.0 * PX_PER_MM  # marks closer in height than half of it may be of one row
_ONE_LINE = 2.0 * PX_PER_MM  # two notes this close in height stand in one line
# A page whose rows last this many s at a slow speed, within that part, was hardly printed at 25 mm/s.
_ROW, _ROW_OFF, _ROW_SAYS = 10.0, 0.03, 2.5
# Columns of less than this many s are hardly printed, nor rows: what a speed that makes them so short loses.
_SHORTEST_COLUMN, _SHORTEST_ROW, _TOO_SHORT = 1.6, 2.2, 3.0
# Rate, PR, QRS and QT of 4,588 PTB-XL records as `measure` gives them (folds without 8, of every rhythm and
# disease): Student's t of their logarithms, means as bpm and ms, covariance, degrees of freedom. The power of
# the speed that each grows with. Half of the records, told by the other half: 0.2% of those printed at 25
# mm/s are taken for 50, 0.1% of those printed at 50 for 25.
_BEATS = ("heart_rate_bpm", "pr_ms", "qrs_ms", "qt_ms")
_USUAL = np.log([71.4, 162.0, 109.6, 403.3])
_SPREAD = np.array([
    [0.0317, -0.0043, -0.0006, -0.0094], [-0.0043, 0.0232, 0.0013, 0.0017], [-0.0006, 0.0013, 0.0053, 0.0009],
    [-0.0094, 0.0017, 0.0009, 0.0056],
])  # fmt: skip
_FREEDOM = 5.0
_POWERS = np.array([1.0, -1.0, -1.0, -1.0])
_ONE_WRONG = 2.5  # log-odds against a measurement that went wrong: none must decide alone
_NO_USE = 8.0  # log-odds that another speed may gain by being measured at, rather than told from this one
_SETTLED = 3.0  # log-odds by which the believed speed must lead
# mV that half of a page's strips usually rise and fall by at most, and parts by which they may be less or
# more before a gain that makes them so loses this much for each further factor of e.
_USUAL_HEIGHT, _LESS, _MORE, _HEIGHT_SAYS = 1.13, 1 / 3, 2.2, 2.0


@dataclass(frozen=True)
class Scale:
    """What a page says of its scale.

    speeds: mm/s -> log-odds against 25 mm/s, without what the beats say. gain: mm/mV that is believed, and
    chest_gain that of the chest leads. wide: whether calibration pulses are as wide as at 50 mm/s, None where
    there are none. disputed: whether the printed gain is not that of the pulses, or neither of them likely.
    gains: mm/mV -> what speaks for it, where the traces' height may say more. whole: slow speeds at which
    rows last ten seconds. noted: the speed that is printed, None where it is not read. told: whether print or
    pulses tell the gain.
    """

    speeds: dict[float, float]
    gain: float
    chest_gain: float
    wide: bool | None
    disputed: bool
    gains: Mapping[float, float] = field(default_factory=dict)
    whole: tuple[float, ...] = ()
    noted: float | None = None
    told: bool = True

    def of_heights(self, heights: Sequence[float]) -> Scale:
        """With the gain that makes no unlikely voltage of the strips' heights, mm from top to bottom."""
        height = median(heights)
        if not self.gains or height <= 0:
            return self
        gain = max(self.gains, key=lambda g: self.gains[g] - _unlikely(height / g))
        if gain == self.gain:
            return self
        chest = gain if self.chest_gain == self.gain else self.chest_gain
        return replace(self, gain=gain, chest_gain=chest, disputed=True)

    def gain_of(self, lead: str) -> float:
        """mm/mV that a lead is printed with."""
        return self.chest_gain if lead.startswith("V") else self.gain

    def speed(self, m: Measurements, taken: float = 25.0) -> float:
        """mm/s that print and beats together tell. m: what was measured at the speed taken."""
        odds = self._odds(_logs(m), taken)
        return max(odds, key=lambda speed: odds[speed])

    def worth_a_look(self, m: Measurements, taken: float) -> list[float]:
        """Speeds that may turn out likelier where the beats are measured at them."""
        odds = self._odds(_logs(m), taken)
        least = odds[taken] - _NO_USE
        return [speed for speed in odds if speed != taken and (odds[speed] > least or speed in self.whole)]

    def gains_by(self, other: float, its: Measurements, speed: float, m: Measurements) -> bool:
        """Whether print and beats speak rather for another speed, by what was measured at either."""
        there, here = _logs(its), _logs(m)
        there, here = (
            np.where(np.isfinite(there), there, _sped_up(here, other / speed)),
            np.where(np.isfinite(here), here, _sped_up(there, speed / other)),
        )
        return self.speeds[other] + _usual(there) > self.speeds[speed] + _usual(here)

    def doubtful(self, m: Measurements, speed: float) -> bool:
        """Whether print, pulses and beats contradict each other, or do not settle the speed.

        m: what was measured at the believed speed.
        """
        odds = self._odds(_logs(m), speed)
        if self.disputed or odds[speed] - max(odds[other] for other in odds if other != speed) < _SETTLED:
            return True
        beats = beats_say(m, 50.0, speed)
        if speed == self.noted == (50.0 if beats > 0 else 25.0):
            return False  # many a machine's pulses are as wide at any speed
        return (self.wide is False and beats > _BEATS_SAY) or (self.wide is True and beats < -_BEATS_SAY)

    def _odds(self, logs: np.ndarray, taken: float) -> dict[float, float]:
        """mm/s -> log-odds by print and beats. logs: of the beats as measured at the speed taken."""
        return {speed: says + _usual(_sped_up(logs, speed / taken)) for speed, says in self.speeds.items()}


def beats_say(m: Measurements, speed: float, taken: float = 25.0) -> float:
    """Log-odds of a speed against 25 mm/s, from rate and intervals as measured at the speed taken."""
    logs = _logs(m)
    return _usual(_sped_up(logs, speed / taken)) - _usual(_sped_up(logs, 25.0 / taken))


def _logs(m: Measurements) -> np.ndarray:
    """[4] logarithms of rate and intervals, NaN where unknown."""
    return np.log([np.nan if (value := getattr(m, name)) is None else value for name in _BEATS])


def _sped_up(logs: np.ndarray, times: float) -> np.ndarray:
    """Of `_logs`, as they are where the paper runs so many times as fast."""
    return logs + _POWERS * np.log(times)


def _usual(logs: np.ndarray) -> float:
    """Log-odds of rate and intervals, at most 0: how usual they are together, one of them perhaps measured
    wrong."""
    known = np.flatnonzero(np.isfinite(logs))
    less = [_density(logs, np.delete(known, k)) - _ONE_WRONG for k in range(len(known))]
    return max([_density(logs, known), *(less if len(known) > 1 else [])])


def _density(logs: np.ndarray, known: np.ndarray) -> float:
    """Log-odds of those that are known."""
    off = (logs - _USUAL)[known]
    squared = float(off @ _precision(tuple(known.tolist())) @ off)
    return -(_FREEDOM + len(off)) / 2 * float(np.log1p(squared / _FREEDOM))


@cache
def _precision(known: tuple[int, ...]) -> np.ndarray:
    """The inverse of the covariance of those that are known."""
    return np.linalg.inv(_SPREAD[np.ix_(known, known)])


def _unlikely(mv: float) -> float:
    """What a gain loses that makes strips so many mV high."""
    off = float(np.log(mv / _USUAL_HEIGHT))
    return _HEIGHT_SAYS * max(0.0, off - float(np.log(_MORE)), float(np.log(_LESS)) - off)


def find_scale(
    image: np.ndarray, maps: NetMaps, notes: Notes, column_mm: float, columns: int, rows: Sequence[float],
    sides: tuple[float, float], ends: tuple[float, float],
) -> Scale:  # fmt: skip
    """The scale from what the page says and from its calibration pulses.

    image: the rectified page. column_mm: how long a column is, of so many. rows: px of the traces' lines.
    sides, ends: px at which the picture and the traces begin and end. A pulse is 1 mV high, and 10 mm wide at
    50 mm/s only. Without any sign the gain is taken for 10 mm/mV.
    """
    marks = [mark for mark in maps.marks(_LEAST_NOTE) if mark.note]
    said = {note: max((m.p for m in marks if m.note == note), default=0.0) for note in NOTES}
    noted = next(iter(notes.speeds)) if len(notes.speeds) == 1 else None
    speeds, whole = _speeds(said, noted, column_mm, columns)
    printed, chest = _printed_gains(said, marks, notes)
    gains = dict(printed)
    pulses = _pulses(maps, rows, sides, ends)
    wide, disputed = None, False
    if pulses:
        width, clear = _pulse_scale(image, pulses)
        highest, second = sorted(clear.values())[:-3:-1]
        plain = second < _CLEAR * highest
        wide = width in _WIDE_PULSES and plain
        disputed = _disputed(printed, clear)
        sure = max(float(np.mean([m.p for m in pulses])), _STACKED if _stacked(pulses) else 0.0)
        sure *= 1.0 if plain else _OF_NO_PULSE
        clearest = max(*clear.values(), 1e-6)
        for gain in GAINS:
            gains[gain] += sure * (max(clear[gain], 0.0) / clearest) ** _PULSE_SAYS
        if wide:
            speeds[_WIDE_PULSES[width]] += _WIDE_PULSE_SAYS
    if len(notes.gains) != 1:
        gains = {gain: says + _BEFOREHAND.get(gain, 0.0) for gain, says in gains.items()}
    gain = max(gains, key=lambda g: gains[g])
    told = bool(pulses or notes.gains or max(printed.values()) > _FAINT_NOTE)
    told = told or gain in _gains_of_cut_pulses(image, maps, rows, sides)
    return Scale(speeds, gain, chest or gain, wide, disputed, gains, whole, noted, told)


def _speeds(
    said: Mapping[str, float], noted: float | None, column_mm: float, columns: int
) -> tuple[dict[float, float], tuple[float, ...]]:
    """`Scale.speeds` without the pulses, and `Scale.whole`: what notes and the columns' length say.

    said: probability of each of `NOTES`. noted, column_mm, columns: of `Scale` and `find_scale`.
    """
    speeds = dict(LIKELY_SPEEDS)
    if noted is not None:
        speeds[noted] += _NOTE_SAYS
    else:
        usual = max(said["25 mm/s"], said["50 mm/s"])
        speeds[50.0] += float(2 * np.log((said["50 mm/s"] + 0.1) / (said["25 mm/s"] + 0.1)))
        for speed in set(speeds) - {25.0, 50.0}:
            speeds[speed] += max(0.0, float(2 * np.log((said["other mm/s"] + 0.1) / (usual + 0.1))))
    whole = []
    for speed in speeds:
        column, row = column_mm / speed, columns * column_mm / speed
        if speed < 25 and abs(row / _ROW - 1) < _ROW_OFF:
            speeds[speed] += _ROW_SAYS
            whole.append(speed)
        if (columns > 2 and column < _SHORTEST_COLUMN) or row < _SHORTEST_ROW:
            speeds[speed] -= _TOO_SHORT
    return speeds, tuple(whole)


def _pulses(
    maps: NetMaps, rows: Sequence[float], sides: tuple[float, float], ends: tuple[float, float]
) -> list[Mark]:
    """The clearest calibration pulses that stand in a row and that no side of the picture cuts.

    Small ones are faint to the net, or look like the name I to it, but they stand one under the other; beside
    the traces, for within them a QRS may look so, too.
    """
    inside = sides[0] + _HALF_PULSE, sides[1] - _HALF_PULSE
    marks = [m for m in _pulses_of_rows(maps, rows, _FAINT_PULSE) if inside[0] < m.x < inside[1]]
    pulses = max([m for m in marks if m.p > _LEAST_PULSE], _stacked(marks), key=len)
    if not pulses:
        like = [m for m in maps.marks() if m.kind == LEADS.index("I") and not ends[0] < m.x < ends[1]]
        pulses = _stacked(like, len(rows) / 2)  # the names I, II and III stand in fewer rows
    return sorted(pulses, key=lambda m: -m.p)[:_MOST_PULSES]


def _pulses_of_rows(maps: NetMaps, rows: Sequence[float], least: float) -> list[Mark]:
    """Calibration pulses of at least this probability that stand in a row."""
    above, below = _BESIDE_ROW
    pulses = (m for m in maps.marks(least) if m.kind == PULSE)
    return [m for m in pulses if any(-above < m.y - y < below for y in rows)]


def _gains_of_cut_pulses(
    image: np.ndarray, maps: NetMaps, rows: Sequence[float], sides: tuple[float, float]
) -> set[float]:
    """mm/mV that calibration pulses tell which a side of the picture cuts. Mirrored there they are whole, but
    of no known width; where the paper is askew one side is none of every row, so that they only confirm."""
    pulses = _pulses_of_rows(maps, rows, _LEAST_PULSE)
    told = set()
    for side, right in zip(map(round, sides), (False, True)):
        marks = [m for m in pulses if abs(m.x - side) <= _HALF_PULSE]
        if marks:
            shown = image[:, :side][:, ::-1] if right else image[:, max(0, side) :]
            room = min(_ABOUT_PULSE[0], shown.shape[1])
            whole = np.hstack([shown[:, :room][:, ::-1], shown])
            _, clear = _pulse_scale(whole, [replace(m, x=float(room)) for m in marks[:_MOST_PULSES]])
            told.add(max(clear, key=lambda gain: clear[gain]))
    return told


def _stacked(marks: Sequence[Mark], most: float = _TWICE) -> list[Mark]:
    """Marks that stand one under the other in more than two rows, and in more than `most`."""

    def rows(mark: Mark) -> int:
        return len({round(other.y / _ONE_ROW) for other in marks if abs(mark.x - other.x) < _ONE_LINE})

    return [m for m in marks if rows(m) > max(_TWICE, most)]


def _printed_gains(
    said: dict[str, float], marks: list[Mark], notes: Notes
) -> tuple[dict[float, float], float | None]:
    """What the print says for each gain, and the gain of the chest leads where it has one of its own."""
    printed = dict.fromkeys(GAINS, 0.0) | {gain: said.get(note, 0.0) for note, gain in OF_GAIN.items()}
    printed[2.5] = printed[5.0]  # the page net takes one for the other; the pulses decide
    chest = next(iter(notes.chest)) if len(notes.chest) == 1 else None
    if len(notes.gains) == 1:
        return {g: _GAIN_NOTE_SAYS * (g in notes.gains) for g in GAINS}, chest
    # "Limb: 10 mm/mV Chest: 5 mm/mV": of two plain notes in one line the second is the chest leads'.
    plain = sorted((m for m in marks if m.p > _PLAIN and m.note in OF_GAIN), key=lambda m: m.x)
    plain = [m for k, m in enumerate(plain) if k == 0 or m.x - plain[k - 1].x > _ONE_LINE]  # seen twice
    if len(plain) == 2 and abs(plain[0].y - plain[1].y) < _ONE_LINE and chest is None:
        limb, chest = (OF_GAIN[str(m.note)] for m in plain)
        printed = {g: plain[0].p * (g == limb) for g in GAINS}
    return printed, chest


def _disputed(printed: dict[float, float], clear: dict[float, float]) -> bool:
    """Whether the gain that is plainly printed is plainly not that of the pulses (mm/mV -> how clear)."""
    most = max(printed.values())
    said = [gain for gain in printed if printed[gain] > max(_PLAIN, most - _PLAIN / 2)]
    alike = {printed[gain] for gain in said}
    return len(alike) == 1 and max(clear[gain] for gain in said) < _NOT_SO_HIGH * max(clear.values())


def _pulse_scale(image: np.ndarray, pulses: list[Mark]) -> tuple[float, dict[float, float]]:
    """mm that the calibration pulses are wide, and how clearly they are as high as each gain makes 1 mV."""
    votes = dict.fromkeys(product(GAINS, _PULSE_WIDTHS), 0.0)
    for pulse in pulses:
        left, top = (max(0, round(at) - room) for at, room in zip((pulse.x, pulse.y), _ABOUT_PULSE))
        right, bottom = (round(at) + room for at, room in zip((pulse.x, pulse.y), _ABOUT_PULSE))
        grey = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
        dark = np.minimum(cv2.absdiff(cv2.blur(grey, (61, 61)), grey), 60).astype(np.float32)
        sums = cv2.integral(dark)
        for gain, width in votes:
            outline = _outline(round(width * PX_PER_MM), round(gain * PX_PER_MM))
            votes[gain, width] += pulse.p * _clearness(sums, pulse.x - left, pulse.y - top, outline)
    _, width = max(votes, key=lambda key: votes[key])
    heights = {gain: max(vote for (height, _), vote in votes.items() if height == gain) for gain in GAINS}
    return width, heights


@dataclass(frozen=True)
class _Outline:
    """What a picture [rows, columns] is weighed with: alike over large parts of it. corners: [2, n] rows and
    columns where that changes down and across at once. weights: [n] by how much."""

    rows: int
    columns: int
    corners: np.ndarray
    weights: np.ndarray


@cache
def _outline(width: int, height: int) -> _Outline:
    """What a pulse of so many px weighs its picture with: the ink of its top and sides, less that inside and
    above, and less that of sides which run on below: those of a higher pulse."""
    template = np.zeros((height + _EDGE + _BELOW, width + 1 + 2 * _EDGE), np.float32)
    template[:_EDGE] = -0.5
    template[2 * _EDGE : height + _EDGE, 2 * _EDGE : -2 * _EDGE] = -0.5
    outline = np.zeros_like(template)
    outline[_EDGE, _EDGE:-_EDGE] = 1
    outline[_EDGE : height + _EDGE, _EDGE] = outline[_EDGE : height + _EDGE, -_EDGE - 1] = 1
    template = np.where(outline > 0, 0, template)
    template /= max(1e-6, -2 * template.sum())
    template += outline / outline.sum()
    template[height + _EDGE + 3 :, [_EDGE, -_EDGE - 1]] = -_RUNS_ON / (2 * (_BELOW - 3))
    change = np.diff(np.diff(np.pad(template.astype(float), 1), axis=0), axis=1)
    corners = np.nonzero(change)
    return _Outline(*template.shape, np.array(corners), change[corners])


def _clearness(sums: np.ndarray, x: float, y: float, outline: _Outline) -> float:
    """How clearly a picture shows a pulse of this outline within some px of there. sums: [h + 1, w + 1] of
    how dark it is above and left of each px."""
    height, width = sums.shape
    left, top = round(x - outline.columns / 2) - 5, round(y - (outline.rows - _EDGE - _BELOW) / 2) - _EDGE - 7
    down = np.arange(max(0, top), min(top + 15, height - outline.rows))
    across = np.arange(max(0, left), min(left + 11, width - outline.columns))
    if not len(down) or not len(across):
        return 0.0
    # Summed by parts: where the weights change, what is above and left counts by how much they do.
    row, column = outline.corners
    places = (row * width + column)[:, None] + (down[:, None] * width + across).ravel()
    return float((outline.weights @ sums.ravel()[places]).max())
