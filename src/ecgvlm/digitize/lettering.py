"""Reads what stands beside the traces: lead names letter by letter, and notes of speed and gain.

The page net finds where names and notes stand and tells the twelve leads apart; this net spells what stands
there, so that V7 is no V8 and "2.5 mm/mV" no "5 mm/mV". Trained by `ecgvlm.train.small.lettering`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ecgvlm.digitize.arrangement import Name
from ecgvlm.digitize.pagenet import FURTHER, NOTES, PULSE, PX_PER_MM, Mark, NetMaps
from ecgvlm.paper import layouts
from ecgvlm.quantile import quantiles
from ecgvlm.record import LEADS
from ecgvlm.sessions import open_session

HEIGHT, NAME_WIDTH = 24, 72  # px at `PX_PER_MM` of the crops that are read; notes may be of any even width
OTHER = "~"  # stands for words that are neither a name nor a note; "l" and "c" for "limb" and "chest"
ALPHABET = "0123456789./-:aflrviecms" + OTHER
# Leads beyond the twelve: on the right of the chest, and on the back.
MORE_LEADS = tuple(layouts.FURTHER)
NAMES = {lead.lower(): lead for lead in (*LEADS, *MORE_LEADS)}
SPEEDS, GAINS = (5.0, 10.0, 12.5, 25.0, 50.0, 100.0), (2.5, 5.0, 10.0, 20.0, 40.0)  # mm/s and mm/mV in print
OF_GAIN = {f"{gain:g} mm/mV": gain for gain in GAINS}  # notes of it
_ONE_PLACE = 2.5 * PX_PER_MM  # marks closer together than this are of one name
_SIZES = (1.0, 1.35)  # of print, against that which the net learned on
_SURE_NOTE = 0.8  # the same of a note: a wrong digit would be a wrong scale
_NOTE_SIZES = (0.75, 1.0, 1.4)
_SURE = 0.6  # probability of the least sure letter from which on a spelled name counts
_UNSURE = 0.5  # probability below which the page net leaves it to the letters which of the twelve it is
_TORN = 0.7  # probability up to which the page net is torn between a name and another
_PLAIN = 0.9  # enough not to look at another size of print
_VERY_SURE = 0.8  # enough to name one of `MORE_LEADS` that the page net rather takes for another lead
_FAINT = 0.25  # probability of a mark of the page net that may be a stroke of anything
_STROKES = ("I", "II", "III")  # look like traces and lines: letters alone do not make a faint mark a name
_LINE = 2.0 * PX_PER_MM  # notes that stand within this height stand in one line
_AROUND_NOTE = 28.0 * PX_PER_MM  # read to either side of a note's centre
_SPEED = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)mm/s")
_GAIN = re.compile(r"(?<![\d.])([lc]?):?(\d+(?:\.\d+)?)(?:/(\d+(?:\.\d+)?))?([cm])m/mv")


@dataclass(frozen=True)
class Notes:
    """What a page prints of its scale. speeds: mm/s, gains: mm/mV, chest: mm/mV of the chest leads alone."""

    speeds: frozenset[float] = frozenset()
    gains: frozenset[float] = frozenset()
    chest: frozenset[float] = frozenset()

    def with_those_of(self, other: Notes) -> Notes:
        """These, and of what they do not tell the other's, of another look at the same page."""
        return Notes(self.speeds or other.speeds, self.gains or other.gains, self.chest or other.chest)


@dataclass(frozen=True)
class Reading:
    """What a line of print says, and the probability of each of its letters."""

    text: str
    letters: tuple[float, ...]

    def sure(self, first: int = 0, beyond: int | None = None) -> float:
        """Probability of the least sure of these letters."""
        return min(self.letters[first:beyond], default=0.0)

    def notes(self) -> list[tuple[str, float]]:
        """The plain notes: of what each is (`speeds`, `gains`, `chest` of `Notes`), and its mm/s or mm/mV."""
        said = []
        for match in _SPEED.finditer(self.text):
            begin, end = match.span(1)
            # A digit before the number that is hardly sure is the edge of something else.
            while (
                end - begin > 1 and float(self.text[begin:end]) not in SPEEDS and self.letters[begin] < _SURE
            ):
                begin += 1
            if self.sure(begin, match.end()) >= _SURE_NOTE:
                said.append(("speeds", float(self.text[begin:end])))
        for match in _GAIN.finditer(self.text):
            if self.sure(*match.span()) >= _SURE_NOTE:
                part, value, second, unit = match.groups()
                mm = 10.0 if unit == "c" else 1.0
                said.append(("chest" if part == "c" else "gains", mm * float(value)))
                said += [("chest", mm * float(second))] if second else []
        return [(kind, mm) for kind, mm in said if mm in (SPEEDS if kind == "speeds" else GAINS)]


class Lettering:
    """ONNX Runtime session of the shipped net."""

    def __init__(self, threads: int = 2):
        self._session = open_session("lettering.onnx", threads=threads)

    def names(self, page: np.ndarray, maps: NetMaps) -> list[Name]:
        """The leads' names on a rectified page ([H, W, 3] uint8 RGB), where the page net saw them.

        Where the letters do not make a name, the page net has the last word.
        """
        places: list[Mark] = []
        named = [m for m in maps.marks() if m.kind < PULSE or m.kind == FURTHER]
        for mark in sorted(named, key=lambda m: -m.p):
            if not any(same_place(mark, other) for other in places):
                places.append(mark)
        grey = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
        names = []
        for mark, read in zip(places, self._read_names(grey, places)):
            lead, p = LEADS[mark.kind] if mark.kind < PULSE else "", mark.p
            further = any(same_place(mark, other) for other in named if other.kind == FURTHER)
            if read.text in NAMES and read.sure() >= _needed(NAMES[read.text], lead, p, further):
                lead = NAMES[read.text]
                if p > _FAINT or lead not in _STROKES:
                    p = max(p, read.sure())
            if lead:
                names.append(Name(lead, mark.x, mark.y, p))
        return names

    def _read_names(self, grey: np.ndarray, places: Sequence[Mark]) -> list[Reading]:
        """What stands at each place, in the size of print in which it reads best."""
        best = [Reading("", ())] * len(places)
        for size in _SIZES:
            doubtful = [k for k, read in enumerate(best) if read.text not in NAMES or read.sure() < _PLAIN]
            crops = [about(grey, places[k].x, places[k].y, NAME_WIDTH, size) for k in doubtful]
            for k, read in zip(doubtful, self._spell(crops)):
                best[k] = max(best[k], read, key=lambda r: (r.text in NAMES, r.sure()))
        return best

    def notes(self, page: np.ndarray, maps: NetMaps) -> Notes:
        """What the lines say in which the page net saw notes of speed or gain."""
        lines: list[list[Mark]] = []
        for mark in sorted((m for m in maps.marks() if m.note), key=lambda m: m.y):
            if lines and mark.y - lines[-1][-1].y < _LINE:
                lines[-1].append(mark)
            else:
                lines.append([mark])
        grey = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
        said: dict[str, set[float]] = {"speeds": set(), "gains": set(), "chest": set()}
        for line in lines:
            readings = self._read_line(grey, line)
            for kind, values in said.items():
                told = [frozenset(mm for of, mm in read.notes() if of == kind) for read in readings]
                if kind == "speeds" and any(100.0 in of_it for of_it in told):  # two zeros are read as one
                    told = [frozenset(100.0 if mm == 10.0 else mm for mm in of_it) for of_it in told]
                known = [of_it for of_it in told if of_it]
                if kind == "gains" and len(known) == 1 and _gainsaid(known[0], line):
                    continue  # letters of one size of print alone
                values |= _most_told(known)
        return Notes(**{kind: frozenset(values) for kind, values in said.items()})

    def _read_line(self, grey: np.ndarray, line: Sequence[Mark]) -> list[Reading]:
        """What stands about the notes of a line, in each size of print; two that say the same will do."""
        first = min(m.x for m in line) - _AROUND_NOTE
        width = 2 * round((max(m.x for m in line) + _AROUND_NOTE - first) / 2)
        y = float(np.average([m.y for m in line], weights=[m.p for m in line]))
        readings: list[Reading] = []
        for size in _NOTE_SIZES:
            (read,) = self._spell([about(grey, first + width / 2, y, 2 * round(width / size / 2), size)])
            readings.append(read)
            if len(readings) == 2 and _say_the_same(*readings):
                break  # a third does not outvote them
        return readings

    def _spell(self, crops: Sequence[np.ndarray]) -> list[Reading]:
        """What stands in crops of one size. A letter is as sure as its surest step."""
        if not crops:
            return []
        (letters,) = self._session.run(None, {"lines": np.stack([contrast(crop) for crop in crops])[:, None]})
        read = []
        for steps in letters:
            best = steps.argmax(1)
            new = np.flatnonzero((best > 0) & (best != np.concatenate([[0], best[:-1]])))
            sure = []
            for at in new:
                end = at + int(np.argmin(np.append(best[at:] == best[at], False)))
                sure.append(float(steps[at:end, best[at]].max()))
            read.append(Reading("".join(ALPHABET[best[at] - 1] for at in new), tuple(sure)))
        return read


def _say_the_same(one: Reading, other: Reading) -> bool:
    """Whether two readings are letter by letter the same, and so is what they say of speed and gain."""
    return one.text == other.text and one.notes() == other.notes() != []


def _gainsaid(gains: frozenset[float], line: Sequence[Mark]) -> bool:
    """Whether the page net plainly sees another gain in a line than these, which it would know."""
    known = {gain for note, gain in OF_GAIN.items() if note in NOTES}
    seen = {OF_GAIN[mark.note] for mark in line if mark.note in OF_GAIN and mark.p > _SURE}
    return bool(seen) and gains <= known - seen


def _most_told(told: Sequence[frozenset[float]]) -> frozenset[float]:
    """What most readings say of those that say anything; nothing where as many say something else."""
    (first, most), (_, next_most) = [
        *Counter(told).most_common(2),
        (frozenset[float](), 0),
        (frozenset[float](), 0),
    ][:2]
    return first if most > next_most else frozenset()


def same_place(a: Mark | Name, b: Mark | Name) -> bool:
    return abs(a.x - b.x) + abs(a.y - b.y) <= _ONE_PLACE


def _needed(spelled: str, lead: str, p: float, further: bool) -> float:
    """Probability that a spelled name must have to count. lead, p: what the page net takes it for, "" for one
    beyond the twelve, of which it does not tell which. further: whether it may be one of those to it."""
    if spelled == f"{lead}R" and not further and p > _TORN:
        return float("inf")  # "V4:" is spelled so in some faces
    if spelled == lead:
        return 0.0
    if spelled in LEADS:
        return _SURE if p < _UNSURE else float("inf")
    return _SURE if not lead else _VERY_SURE


def about(grey: np.ndarray, x: float, y: float, width: int, size: float = 1.0) -> np.ndarray:
    """[`HEIGHT`, width] of a page about (x, y), print of this size at its usual one; edges are repeated."""
    place = np.array([[1 / size, 0, width / 2 - x / size], [0, 1 / size, HEIGHT / 2 - y / size]])
    flags = cv2.INTER_LINEAR
    return cv2.warpAffine(grey, place, (width, HEIGHT), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def contrast(grey: np.ndarray) -> np.ndarray:
    """[h, w] uint8 -> float32, print at about 1 on paper at 0, whatever the light."""
    ink, paper = quantiles(grey, 0.02, 0.85).tolist()
    depth = max(40.0, paper - ink)
    return ((paper - grey) / depth).astype(np.float32)
