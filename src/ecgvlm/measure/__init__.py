"""Beats, rate, intervals, axis and the median beat, from whatever part of twelve leads is printed.

Definitions follow the AHA/ACCF/HRS recommendations (Kligfield et al. 2007; Surawicz et al. and Rautaharju et
al. 2009): intervals are global, from the earliest onset to the latest end over all leads, one lead's slip
left out. Waves are found by their steep part; they begin and end at their feet, some ms beyond (`Feet`).

What a foot is, readers and machines do not agree on. Marks made by hand (LUDB: the second earliest onset, the
second latest end of twelve leads) make a QRS of 80 to 90 ms 25 ms longer than its steep part, one of 150 ms
16 ms longer, as are those of 150 to 200 ms that `ecgvlm.simulate` draws. A QRS here follows them: 84 ms of
steep part are 108, 110 are 124, 130 and more get 12. The median QRS of PTB-XL's normal ECGs is then 108 ms,
where machines give 90 to 96 (Mason et al. 2007).

An ST segment that is raised (a tombstone infarction) or that goes against a wide QRS never rests: a QRS ends
where it has come down to the calmest that follows its last flank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ecgvlm.measure.beats import premature_beats, read_beats, seen_intervals, sudden_beats
from ecgvlm.measure.signal import FS, resample
from ecgvlm.measure.waves import (
    BEAT_FS,
    BEAT_START,
    SINUS_P,
    WAVES,
    Feet,
    LeadWaves,
    Marks,
    delineate,
    find_p,
    frontal_axis,
    lead_waves,
    level_before,
    level_errors,
    median_beat,
    qrs_width_ms,
    thinned,
    wander,
)
from ecgvlm.quantile import median
from ecgvlm.record import LEADS

__all__ = [
    "BEAT_FS", "BEAT_START", "MEASUREMENTS", "SINUS_P", "WAVES", "Feet", "LeadWaves", "Measurement",
    "Measurements", "measure",
]  # fmt: skip

EARLY_ONSET = 0.08  # s by which an early beat begins further before its R than a usual one: it may be wide


@dataclass(frozen=True)
class Measurement:
    """What is known about one measurement. name: in a sentence; short: where there is little room.

    low, high: limits of normal, None where there is none. ucum, loinc, loinc_name: as FHIR names unit and
    observation.
    """

    name: str
    short: str
    unit: str
    low: float | None
    high: float | None
    ucum: str
    loinc: str
    loinc_name: str

    @property
    def title(self) -> str:
        """The name with a capital letter."""
        return self.name[0].upper() + self.name[1:]

    def place(self, value: float) -> str:
        """Where a value lies, as it is said (whole): "low", "normal" or "high"."""
        if self.low is not None and round(value) < self.low:
            return "low"
        return "high" if self.high is not None and round(value) > self.high else "normal"


# Limits: AHA/ACCF/HRS recommendations (Surawicz et al. 2009, QRS and axis; Rautaharju et al. 2009, QTc: the
# women's limit, as the sex is not printed).
MEASUREMENTS: dict[str, Measurement] = {
    "heart_rate_bpm": Measurement("heart rate", "heart rate", "bpm", 60, 100, "/min", "8867-4", "Heart rate"),
    "pr_ms": Measurement("PR interval", "PR", "ms", 120, 200, "ms", "8625-6", "P-R Interval"),
    "qrs_ms": Measurement("QRS duration", "QRS", "ms", None, 119, "ms", "8633-0", "QRS duration"),
    "qt_ms": Measurement("QT interval", "QT", "ms", None, None, "ms", "8634-8", "Q-T interval"),
    "qtc_ms": Measurement("QTc", "QTc", "ms", 350, 460, "ms", "8636-3", "Q-T interval corrected"),
    "axis_deg": Measurement("axis", "axis", "°", -30, 90, "deg", "8632-2", "QRS axis"),
}


@dataclass(frozen=True)
class Measurements:
    """What can be measured on one page. Intervals in ms, None where unknown; `reasons` then says why.

    beats: [b] R times in s. rr: [b - 1] s between them, NaN where a beat between them may not be printed.
    premature: [b] bool. alike: [b] bool, of the dominant shape. widths_ms: [b] QRS of each beat by itself,
    NaN where it is not clear. rr_ms: mean RR interval. rr_variation: standard deviation of the RR intervals
    divided by their mean, without those next to premature beats, None below three beats; rr_variation_raw: of
    all. p_score: evidence for P waves bound to the QRS, 0..1. p_onset, p_end, qrs_onset, j_point, t_end: s
    relative to R in the median beat, `feet` beyond the steep edges that are found. median_beat: [12, 100]
    float32 mV at 125 Hz from -0.3 s around R, against the level before the QRS; a row is NaN where the lead
    is not printed or holds no complete beat. waves: of each lead, None where it has no median beat.
    level_errors: of `waves.level_errors`. reasons: measurement -> "no_p_wave", "not_printed", "too_short" or
    "unclear".
    """

    beats: np.ndarray
    rr: np.ndarray
    premature: np.ndarray
    alike: np.ndarray
    widths_ms: np.ndarray
    rr_ms: float | None
    rr_variation: float | None
    rr_variation_raw: float | None
    heart_rate_bpm: float | None
    pr_ms: float | None
    qrs_ms: float | None
    qt_ms: float | None
    qtc_ms: float | None
    qtc_fridericia_ms: float | None
    axis_deg: float | None
    p_score: float
    p_onset: float | None
    p_end: float | None
    qrs_onset: float | None
    j_point: float | None
    t_end: float | None
    feet: Feet | None
    median_beat: np.ndarray
    waves: Mapping[str, LeadWaves | None]
    level_errors: np.ndarray
    reasons: Mapping[str, str]

    @property
    def p_ms(self) -> float | None:
        """How long P lasts, in ms."""
        return None if self.p_onset is None or self.p_end is None else 1000 * (self.p_end - self.p_onset)

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Start and end in s from R of P to QRS ("P"), QRS and T of a usual beat, those that are known."""
        edges = {
            "P": (self.p_onset, self.qrs_onset),
            "QRS": (self.qrs_onset, self.j_point),
            "T": (self.j_point, self.t_end),
        }
        return {name: (a, b) for name, (a, b) in edges.items() if a is not None and b is not None}

    def to_dict(self) -> dict:
        """The contract's `measurements`, whole as texts say them, and what else a reader of JSON may want."""
        values = {name: getattr(self, name) for name in (*MEASUREMENTS, "qtc_fridericia_ms")}
        rounded = {name: None if value is None else float(round(value)) for name, value in values.items()}
        variation = None if self.rr_variation is None else round(self.rr_variation, 3)
        return {**rounded, "rr_variation": variation, "beats": len(self.beats), "reasons": dict(self.reasons)}


def measure(leads: np.ndarray, fs: float) -> Measurements:
    """Measure one page. leads: [12, n] mV in the order of `LEADS`, NaN where not printed; fs in Hz.

    Each stretch of a lead may have its own offset. Raises ValueError for another shape.
    """
    if leads.ndim != 2 or leads.shape[0] != 12:
        raise ValueError(f"leads must be [12, n], not {leads.shape}")
    x, printed = resample(leads, fs)
    beats, windows, similar = read_beats(x, printed)
    premature = premature_beats(beats, similar)
    rhythm = _Rhythm.of(seen_intervals(beats, printed), premature)
    basic, cut_short = _usual_beats(windows, similar, premature | sudden_beats(np.diff(beats)))
    to_next = np.diff(beats, append=np.inf) / FS - np.where(cut_short, EARLY_ONSET, 0.0)
    beat = _Beat.of(windows, basic, median(to_next[basic]) if len(beats) else np.inf)
    if beat.marks is not None:
        onset = beat.marks.qrs_onset
        beat = beat.levelled(basic, onset, wander(x, printed, beats, onset))
    marks, p_onset, p_end, p_score = beat.marks, None, None, 0.0
    if marks is not None:
        before = np.diff(beats, prepend=beats[0] - (rhythm.mean_s or np.inf) * FS) / FS
        p_onset, p_end, p_score = find_p(beat.windows[basic], before[basic], marks)

    found: dict[str, float | None] = dict.fromkeys((*MEASUREMENTS, "qtc_fridericia_ms"))
    found["heart_rate_bpm"] = None if rhythm.mean_s is None else 60 / rhythm.mean_s
    edges = _edges(p_onset, p_end, marks)
    found |= _intervals(edges)
    rr_before = rhythm.rr[basic[1:] & np.isfinite(rhythm.rr)]
    rr_qt = float(rr_before.mean()) if len(rr_before) else rhythm.mean_s
    if found["qt_ms"] is not None and rr_qt is not None:
        found["qtc_ms"] = found["qt_ms"] / rr_qt**0.5
        found["qtc_fridericia_ms"] = found["qt_ms"] / rr_qt ** (1 / 3)
    if marks is not None:
        found["axis_deg"] = frontal_axis(beat.median, marks)
    return Measurements(
        beats=beats / FS,
        rr=rhythm.rr,
        premature=premature,
        alike=similar,
        widths_ms=np.array([qrs_width_ms(window) for window in beat.windows]),
        rr_ms=None if rhythm.mean_s is None else 1000 * rhythm.mean_s,
        rr_variation=rhythm.variation,
        rr_variation_raw=rhythm.variation_raw,
        p_score=p_score,
        feet=None if marks is None else marks.feet,
        **edges,
        median_beat=thinned(beat.median),
        waves={lead: lead_waves(row, marks) for lead, row in zip(LEADS, beat.median)},
        level_errors=level_errors(beat.windows[basic], beat.median, marks),
        reasons=_reasons(found, printed, len(beats)),
        **found,
    )


@dataclass(frozen=True)
class _Rhythm:
    """RR intervals and what sums them up; see `Measurements`."""

    rr: np.ndarray
    mean_s: float | None
    variation: float | None
    variation_raw: float | None

    @classmethod
    def of(cls, rr: np.ndarray, premature: np.ndarray) -> _Rhythm:
        known = rr[np.isfinite(rr)]
        steady = rr[np.isfinite(rr) & ~(premature[1:] | premature[:-1])]
        raw = _variation(known)
        return cls(rr, float(known.mean()) if len(known) else None, _variation(steady, raw), raw)


def _variation(rr: np.ndarray, unknown: float | None = None) -> float | None:
    return float(rr.std() / rr.mean()) if len(rr) >= 2 else unknown


@dataclass(frozen=True)
class _Beat:
    """The usual beat. windows: [b, 12, w] mV of all beats, median: [12, w], marks: of its QRS and T, None
    where there is no clear QRS, to_next: s to the beat after it."""

    windows: np.ndarray
    median: np.ndarray
    marks: Marks | None
    to_next: float

    @classmethod
    def of(cls, windows: np.ndarray, basic: np.ndarray, to_next: float) -> _Beat:
        median = median_beat(windows, basic)
        return cls(windows, median, delineate(median, to_next), to_next)

    def levelled(self, basic: np.ndarray, onset: float, rise: np.ndarray) -> _Beat:
        """Against the level before the QRS (its onset in s from R), and without the [b, 12, w] mV by which
        the baseline rises."""
        windows = self.windows - level_before(self.windows, onset) - rise
        median = median_beat(windows, basic)
        marks = delineate(median, self.to_next) if rise.any() else None
        return _Beat(windows, median, marks or self.marks, self.to_next)


def _usual_beats(
    windows: np.ndarray, similar: np.ndarray, early: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[b] bool: the beats to measure on; those behind whose T wave an early beat may already begin.

    The latter are measured on only where some lead shows no other, or where there is none.
    """
    basic = similar & ~early
    if basic.sum() < min(2, len(basic)):
        basic = similar
    cut_short = np.append(early[1:] | ~similar[1:], False)[: len(basic)]
    whole, shown = basic & ~cut_short, np.isfinite(windows).any(axis=2)  # [b], [b, 12]
    lost = shown[basic].any(axis=0) & ~shown[whole].any(axis=0)
    return basic if whole.sum() < 2 or lost.any() else whole, cut_short


def _edges(p_onset: float | None, p_end: float | None, marks: Marks | None) -> dict[str, float | None]:
    """The edges of waves (s from R) as a reader marks them, from those found where the waves are steep."""
    if marks is None:
        return dict.fromkeys(("p_onset", "p_end", "qrs_onset", "j_point", "t_end"))
    feet = marks.feet
    return {
        "p_onset": None if p_onset is None else p_onset - feet.before,
        "p_end": p_end,
        "qrs_onset": marks.qrs_onset - feet.before,
        "j_point": marks.j + feet.after,
        "t_end": None if marks.t_end is None else marks.t_end + feet.t,
    }


def _intervals(edges: Mapping[str, float | None]) -> dict[str, float | None]:
    """PR, QRS and QT in ms."""
    spans = {
        "pr_ms": ("p_onset", "qrs_onset"),
        "qrs_ms": ("qrs_onset", "j_point"),
        "qt_ms": ("qrs_onset", "t_end"),
    }

    def between(first: float | None, last: float | None) -> float | None:
        return None if first is None or last is None else 1000 * (last - first)

    return {name: between(edges[first], edges[last]) for name, (first, last) in spans.items()}


def _reasons(found: Mapping[str, float | None], printed: np.ndarray, beats: int) -> dict[str, str]:
    """Why each measurement that is None could not be had."""
    reasons = {}
    for name in (name for name, value in found.items() if value is None):
        if not printed.any() or (name == "axis_deg" and printed[:6].any(axis=1).sum() < 2):
            reasons[name] = "not_printed"
        elif beats < (2 if name in ("heart_rate_bpm", "qtc_ms", "qtc_fridericia_ms") else 1):
            reasons[name] = "too_short"
        else:
            reasons[name] = "no_p_wave" if name == "pr_ms" and found["qrs_ms"] is not None else "unclear"
    return reasons
