"""Beats, rate, intervals, axis and the median beat, from whatever part of twelve leads is printed.

Definitions follow the AHA/ACCF/HRS recommendations (Kligfield et al. 2007; Surawicz et al. and Rautaharju et
al. 2009): intervals are global, from the earliest onset to the latest end over all leads, one lead's slip
left out. Marks made by hand so (LUDB: the second earliest onset, the second latest end of twelve leads) are
what intervals are compared with: waves there begin and end at their feet, some ms beyond the steep part by
which they are found here (`FEET`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from ecgvlm.record import LEADS

FS = 250.0  # Hz, of all work in here
WAVES = ("st", "t", "q", "r", "s")  # of `LeadWaves`
BEAT_FS = 125.0  # Hz, of `Measurements.median_beat`
BEAT_START, BEAT_END = -0.3, 0.5  # s around R that `Measurements.median_beat` covers
_BEFORE, _AFTER = 0.48, 0.72  # s around R that delineation looks at
_ALIKE = 0.72  # similarity of beats of one origin
_BEND = 0.014  # s: width of the curve whose bends are looked at
_GAP = 0.06  # s: a gap shorter than this is a flaw of the trace, not the end of a strip
_FAINT = 0.25  # of the leads' median steepness: a QRS below this binds no columns
# s from the steep edge that is found to the foot of the wave, where a reader marks it: P and QRS onset, QRS
# and T end. On LUDB's signals the steep edges lie so far inside the marks, in the median over 100 records.
FEET = {"p_onset": -0.012, "qrs_onset": -0.012, "j_point": 0.008, "t_end": 0.010}
_BOUND = 0.06  # s by which the beats of columns without a common lead may be moved
_STEEP = 0.2  # of the steepest part of a QRS: from there on and up to there it lasts, to set columns by
_P_SCORE = 0.47  # from here on a P wave is believed
# A sinus P wave's usual size and sign in each lead.
SINUS_P = np.array([0.5, 1.0, 0.5, -0.75, 0.0, 0.75, 0.2, 0.4, 0.4, 0.5, 0.5, 0.5])
# Angle of each limb lead in the frontal plane (degrees), and the length of its lead vector.
_LIMB = np.radians([0.0, 60.0, 120.0, -150.0, -30.0, 90.0])
_LENGTH = np.array([1.0, 1.0, 1.0, 0.866, 0.866, 0.866])


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
class LeadWaves:
    """The median beat of one lead, in mV against the baseline: ST level (J + 60 ms), T, Q, R and S peaks.

    Q and S are negative or 0, R is positive or 0; T is signed.
    """

    st: float
    t: float
    q: float
    r: float
    s: float


@dataclass(frozen=True)
class Measurements:
    """What can be measured on one page. Intervals in ms, None where unknown; `reasons` then says why.

    beats: [b] R times in s. premature: [b] bool. alike: [b] bool, of the dominant shape. widths_ms: [b] QRS
    of each beat by itself, NaN where it is not clear. rr_ms: mean RR interval. rr_variation: standard
    deviation of the RR intervals divided by their mean, without those next to premature beats, None below
    three beats; rr_variation_raw: of all. p_score: evidence for P waves bound to the QRS, 0..1. p_onset,
    qrs_onset, j_point, t_end: s relative to R in the median beat. median_beat: [12, 100] float32 mV at 125 Hz
    from -0.3 s around R, against the level before the QRS; a row is NaN where the lead is not printed or
    holds no complete beat. waves: of each lead, None where it has no median beat. reasons: measurement ->
    "no_p_wave", "not_printed", "too_short" or "unclear".
    """

    beats: np.ndarray
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
    qrs_onset: float | None
    j_point: float | None
    t_end: float | None
    median_beat: np.ndarray
    waves: Mapping[str, LeadWaves | None]
    reasons: Mapping[str, str]

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
    x, printed = _resample(leads, fs)
    beats, windows, similar = _read_beats(x, printed)
    premature = _premature(beats, similar)
    basic = similar & ~premature
    if basic.sum() < min(2, len(beats)):
        basic = similar
    median = _median(windows, basic)  # [12, w]
    rr = np.diff(beats) / FS
    rr_s = float(rr.mean()) if len(rr) else None
    raw = float(rr.std() / rr.mean()) if len(rr) >= 2 else None
    steady = rr[~(premature[1:] | premature[:-1])]
    follows = np.append(rr, np.inf)[basic] if len(beats) else np.array([np.inf])
    marks = _delineate(median, float(np.median(follows)))
    p_onset, p_score = None, 0.0
    if marks is not None:
        windows = windows - _level(windows, marks.qrs_onset)
        median = _median(windows, basic)
        before = np.append(rr_s or np.inf, rr)
        p_onset, p_score = _find_p(windows[basic], before[basic], marks)

    found: dict[str, float | None] = dict.fromkeys((*MEASUREMENTS, "qtc_fridericia_ms"))
    found["heart_rate_bpm"] = None if rr_s is None else 60 / rr_s
    edges = _feet(p_onset, marks)
    found |= _intervals(edges)
    if found["qt_ms"] is not None and rr_s is not None:
        found["qtc_ms"] = found["qt_ms"] / rr_s**0.5
        found["qtc_fridericia_ms"] = found["qt_ms"] / rr_s ** (1 / 3)
    if marks is not None:
        found["axis_deg"] = _axis(median, marks)
    return Measurements(
        beats=beats / FS,
        premature=premature,
        alike=similar,
        widths_ms=np.array([_width(window) for window in windows]),
        rr_ms=None if rr_s is None else 1000 * rr_s,
        rr_variation=float(steady.std() / steady.mean()) if len(steady) >= 2 else raw,
        rr_variation_raw=raw,
        p_score=p_score,
        **edges,
        median_beat=_thin(median),
        waves={lead: _waves(row, marks) for lead, row in zip(LEADS, median)},
        reasons=_reasons(found, printed, len(beats)),
        **found,
    )


@dataclass(frozen=True)
class _Marks:
    """s relative to R in the median beat."""

    qrs_onset: float
    j: float
    t_end: float | None


def _feet(p_onset: float | None, marks: _Marks | None) -> dict[str, float | None]:
    """The edges of waves (s from R) as a reader marks them, from those found where the waves are steep."""
    steep = {
        "p_onset": p_onset,
        "qrs_onset": None if marks is None else marks.qrs_onset,
        "j_point": None if marks is None else marks.j,
        "t_end": None if marks is None else marks.t_end,
    }
    return {name: None if s is None else s + FEET[name] for name, s in steep.items()}


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


def _read_beats(x: np.ndarray, printed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[b] samples of R, [b, 12, w] mV around each (see `_windows`), [b] bool: of the dominant shape."""
    # A median over 28 ms takes off pacing spikes, which are steeper than any QRS.
    smooth = ndimage.median_filter(x, (1, 7), mode="nearest")
    slope = ndimage.gaussian_filter1d(smooth, 0.010 * FS, axis=1, order=1) * FS  # [12, n] mV/s
    # QRS complexes bend more sharply than P and T waves of any size.
    energy = _energy(ndimage.gaussian_filter1d(smooth, _BEND * FS, axis=1, order=2), printed)
    steepness = _energy(slope, printed)
    beats = _align(_find_beats(energy, steepness), slope, printed)
    windows = _windows(x, printed, beats)
    similar = _similar(windows, beats)
    kept = np.ones(len(beats), bool)
    hidden = _hidden(beats, similar, energy)
    if len(hidden):
        places = np.sort(np.append(beats, hidden))
        beats = _align(places, slope, printed)
        windows = _windows(x, printed, beats)
        similar = _similar(windows, beats)
        kept = similar | ~np.isin(places, hidden)
    kept &= _believable(beats, similar, steepness)
    return beats[kept], windows[kept], similar[kept]


def _resample(leads: np.ndarray, fs: float) -> tuple[np.ndarray, np.ndarray]:
    """[12, n] mV at FS without NaN, interpolated where nothing is printed, and [12, n] bool: printed."""
    n = leads.shape[1]
    times = np.arange(int(n * FS / fs)) * (fs / FS)  # in samples of the input
    x, printed = np.zeros((12, len(times))), np.zeros((12, len(times)), bool)
    for row, lead in enumerate(leads):
        finite = np.flatnonzero(np.isfinite(lead))
        if finite.size < 0.5 * fs:
            continue
        known = np.zeros(n, bool)
        known[finite] = True
        steps = np.diff(finite)
        for i in np.flatnonzero((steps > 1) & (steps <= _GAP * fs)):
            known[finite[i] : finite[i + 1]] = True
        full = np.interp(np.arange(n), finite, lead[finite].astype(float))
        if fs > FS:
            full = ndimage.gaussian_filter1d(full, 0.4 * fs / FS)
        x[row] = ndimage.map_coordinates(full - full[0], times[None], order=3, mode="nearest")
        printed[row] = known[np.minimum(np.round(times).astype(int), n - 1)]
        _extend(x[row], printed[row])
    return x, printed


def _extend(lead: np.ndarray, printed: np.ndarray) -> None:
    """Goes on straight for 60 ms beyond each strip's ends, in place: no end shall look like a sharp bend."""
    few, far = round(0.03 * FS), round(0.06 * FS)
    steps = np.diff(np.concatenate([[0], printed.astype(np.int8), [0]]))
    for first, stop in zip(np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)):
        if stop - first > 2 * few:
            head, tail = lead[first : first + few], lead[stop - few : stop]
            before, after = min(far, int(first)), min(far, len(lead) - int(stop))
            slope = (head[few // 2 :].mean() - head[: few // 2].mean()) / (few / 2)
            lead[first - before : first] = head[0] - slope * np.arange(before, 0, -1)
            slope = (tail[few // 2 :].mean() - tail[: few // 2].mean()) / (few / 2)
            lead[stop : stop + after] = tail[-1] + slope * np.arange(1, after + 1)


def _energy(bend: np.ndarray, printed: np.ndarray) -> np.ndarray:
    """[n]: mean bend over the leads printed at each time, each against its own sharpest bends.

    The mean and not the RMS, so that a jump in one lead weighs less than a beat in all of them.
    """
    size = np.abs(bend)
    used = np.flatnonzero(printed.any(axis=1))
    total, count = np.zeros(bend.shape[1]), np.zeros(bend.shape[1])
    scales = np.array([np.percentile(size[row, printed[row]], 99) for row in used])
    if not used.size:
        return total
    # A strip without a beat must not have its noise blown up.
    scales = np.maximum(scales, 0.5 * np.median(scales)) + 1e-6
    for row, scale in zip(used, scales):
        total += printed[row] * np.minimum(size[row] / scale, 1.5)
        count += printed[row]
    return ndimage.gaussian_filter1d(total / np.maximum(count, 1), 0.022 * FS)


def _peaks(y: np.ndarray, distance: int) -> np.ndarray:
    """Indices of local maxima at least `distance` apart, the higher ones first served; ascending."""
    inner = np.flatnonzero((y[1:-1] > y[:-2]) & (y[1:-1] >= y[2:])) + 1
    free = np.ones(len(y), bool)
    kept = []
    for i in inner[np.argsort(-y[inner])]:
        if free[i]:
            kept.append(i)
            free[max(0, i - distance) : i + distance] = False
    return np.sort(np.array(kept, int))


def _find_beats(energy: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """[b] samples of QRS complexes. energy, steepness: [n] of bends and of slopes, see `_energy`."""
    peaks = _peaks(energy, int(0.2 * FS))
    if not len(peaks):
        return peaks
    # The usual height of a QRS: the median over windows that hold at least one at 25 bpm.
    span = int(2.4 * FS)
    highest = ndimage.maximum_filter1d(energy, span)
    inner = highest[span // 2 : -span // 2 : span // 4]
    level = np.median(inner) if len(inner) else highest.max()
    floor = np.median(energy)
    beats = peaks[energy[peaks] > floor + 0.35 * (level - floor)]
    beats = _without_t(beats, energy)
    if len(beats) < 2:
        return beats
    # What else is steep around here: T waves, flutter waves. A weak beat must be steeper than these.
    sure = beats[energy[beats] > 0.6 * np.median(energy[beats])]
    other = _highest(steepness, sure + round(0.14 * FS), sure + round(0.42 * FS))
    nearest = np.argsort(np.abs(sure[None] - peaks[:, None]), axis=1)[:, :3]
    around = np.median(other[nearest], axis=1)  # [p]
    steep = _highest(steepness, peaks - round(0.08 * FS), peaks + round(0.08 * FS))
    usual = np.median(_highest(steepness, sure - round(0.08 * FS), sure + round(0.08 * FS)))
    wide = (steep > 1.5 * around) & (steep > 0.25 * usual)
    after = peaks[:, None] - beats[None]  # [p, b]
    far = ((after < -0.3 * FS) | (after > 0.36 * FS)).all(axis=1)
    return np.sort(np.append(beats, peaks[wide & far]))


def _highest(y: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """[k] maxima of y over stretches, 0 where one lies outside."""
    return np.array([y[max(0, a) : max(0, b)].max(initial=0.0) for a, b in zip(first, last)])


def _without_t(peaks: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Without peaks that follow a much steeper one closely: T waves."""
    kept: list[int] = []
    for p in peaks:
        if kept and p - kept[-1] < 0.38 * FS and energy[p] < 0.55 * energy[kept[-1]]:
            continue
        if kept and p - kept[-1] < 0.30 * FS and energy[kept[-1]] < 0.45 * energy[p]:
            kept[-1] = p
            continue
        kept.append(int(p))
    return np.array(kept, int)


def _align(beats: np.ndarray, slope: np.ndarray, printed: np.ndarray) -> np.ndarray:
    """Beats moved so that their slopes match those of the typical beat, lead by lead."""
    if len(beats) < 2:
        return beats
    half, reach, n = int(0.08 * FS), int(0.06 * FS), slope.shape[1]
    # Leads printed with nearly all beats bind the columns of a page together, unless their QRS is so small
    # that P waves and noise would.
    near = np.clip(beats[:, None] + np.arange(-half, half + 1), 0, n - 1)
    steepest = np.where(printed[:, near], np.abs(slope[:, near]), np.nan)
    steepest = np.nan_to_num(_nanmedian(steepest.max(axis=2), axis=1))  # [12]
    common = printed[:, beats].mean(axis=1) > 0.8
    common &= steepest > _FAINT * np.median(steepest)
    if common.any():
        slope, printed = slope[common], printed[common]
    shifts = np.zeros(len(beats), int)
    offsets = np.arange(-half, half + 1)
    lags = np.arange(-reach, reach + 1)
    for _ in range(2):
        at = np.clip(beats[:, None] + shifts[:, None] + offsets, 0, n - 1)
        parts = np.where(printed[:, at], slope[:, at], np.nan)  # [12, b, 2h+1]
        template = np.nan_to_num(_nanmedian(parts, axis=1))  # [12, 2h+1]
        wide = np.clip(beats[:, None] + np.arange(-half - reach, half + reach + 1), 0, n - 1)
        area = np.where(printed[:, wide], slope[:, wide], 0.0)  # [12, b, w]
        for i in range(len(beats)):
            views = np.lib.stride_tricks.sliding_window_view(area[:, i], len(offsets), axis=1)
            match = np.einsum("lkt,lt->k", views, template)  # [lags]
            shifts[i] = lags[np.argmax(match)] if match.max() > 0 else 0
    return _bound(np.clip(beats + shifts, 0, n - 1), slope, printed)


def _bound(beats: np.ndarray, slope: np.ndarray, printed: np.ndarray) -> np.ndarray:
    """Beats moved where a column that shares no lead with the others has QRS that begin and end off theirs.

    Leads differ in where their QRS begins and in where it ends: only what both are off by is the column's.
    """
    shown = printed[:, beats].astype(float)  # [12, b]
    columns = connected_components(shown.T @ shown > 0)[1]
    if not columns.any():
        return beats
    reach, n = round(_BOUND * FS), slope.shape[1]
    at = np.clip(beats[:, None] + np.arange(-3 * reach, 3 * reach), 0, n - 1)
    parts = np.where(printed[:, at], slope[:, at], np.nan)  # [12, b, w]
    edges = np.array([_steep_part(parts[:, columns == k], reach) for k in range(columns.max() + 1)])
    late = np.nan_to_num(edges - _nanmedian(edges, axis=0))
    alike = np.sign(late[:, 0]) == np.sign(late[:, 1])
    off = np.where(alike, np.sign(late[:, 0]) * np.abs(late).min(axis=1), 0).round().astype(int)
    return np.clip(beats + np.clip(off, -reach, reach)[columns], 0, n - 1)


def _steep_part(slopes: np.ndarray, reach: int) -> tuple[float, float]:
    """Columns of [12, b, w] between which the median beat is steep, NaN where it is so up to an end."""
    speed = np.sqrt((np.nan_to_num(_nanmedian(slopes, axis=1)) ** 2).mean(axis=0))
    peak = reach + int(np.argmax(speed[reach:-reach]))
    calm = np.flatnonzero(speed < _STEEP * speed[peak])
    before, after = calm[calm < peak], calm[calm > peak]
    return (before[-1], after[0]) if len(before) and len(after) else (np.nan, np.nan)


def _nanmedian(values: np.ndarray, axis: int) -> np.ndarray:
    """numpy.nanmedian without its warning for slices that are all NaN, and faster."""
    ordered = np.sort(values, axis=axis)  # NaN last
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis)
    high = np.where(count % 2 == 0, high, low)
    middle = np.where(count > 0, (low + high) / 2, np.nan)
    return np.squeeze(middle, axis)


def _windows(x: np.ndarray, printed: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """[b, 12, w] mV around each beat, NaN where not printed, the level before the QRS taken off."""
    n = x.shape[1]
    at = beats[:, None] + np.arange(-round(_BEFORE * FS), round(_AFTER * FS))  # [b, w]
    there = (at >= 0) & (at < n)
    at = np.clip(at, 0, n - 1)
    known = printed[:, at].transpose(1, 0, 2) & there[:, None]
    known &= known[:, :, _at(-0.11) : _at(0.12)].all(axis=2)[:, :, None]  # a QRS that is cut off is of no use
    values = np.where(known, x[:, at].transpose(1, 0, 2), np.nan)
    return values - _nanmedian(values[:, :, _at(-0.11) : _at(-0.05)], axis=2)[:, :, None]


def _similar(windows: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """[b] bool: beats shaped like the dominant ones printed beside them."""
    b = len(windows)
    if b < 3:
        return np.ones(b, bool)
    core = windows[:, :, _at(-0.10) : _at(0.12)].reshape(b, -1)
    known = np.isfinite(core).astype(float)
    core = np.where(known > 0, core, 0.0)
    power = (core * core) @ known.T  # [b, b] of the one, where both are printed
    alike = 2 * (core @ core.T) / (power + power.T + 1e-9)  # 1 for the same shape at the same height
    shared = known @ known.T > 0
    # The dominant shape has the most beats like it, unless these come early.
    same = shared & (alike > _ALIKE)
    pause = np.append(1.0, np.diff(beats) / np.diff(beats).mean())
    score = same.sum(axis=1) * np.clip(same @ pause / np.maximum(same.sum(axis=1), 1), 0.5, 1.5)
    similar, left = np.zeros(b, bool), np.ones(b, bool)
    while left.any():
        seed = int(np.argmax(np.where(left, score, -1.0)))
        group = (shared[seed] & left) | (np.arange(b) == seed)
        similar |= group & ((alike[seed] > _ALIKE) | (np.arange(b) == seed))
        left &= ~group
    return similar


def _hidden(beats: np.ndarray, similar: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """[k] samples of what may be weak beats: one in the middle of each pause twice as long as usual."""
    if similar.sum() < 4:
        return np.zeros(0, int)
    usual, least = np.median(np.diff(beats)), 0.15 * np.median(energy[beats[similar]])
    found = []
    for a, b in itertools.pairwise(beats):
        middle = range(round(a + 0.4 * (b - a)), round(b - 0.4 * (b - a)))
        if 1.6 * usual < b - a < 2.4 * usual and energy[middle].max() > least:
            found.append(middle[int(np.argmax(energy[middle]))])
    return np.array(found, int)


def _believable(beats: np.ndarray, similar: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """[b] bool: False for strange shapes that the rhythm has no room for: jumps of the baseline, T waves.

    Premature beats take a beat's place or shift the rhythm; interpolated ones are kept where many and steep.
    """
    sure = np.flatnonzero(similar)
    kept = np.ones(len(beats), bool)
    if len(sure) < 3:
        return kept
    between = np.diff(beats[sure])
    usual = np.median(between)
    surplus = np.zeros(len(beats), bool)
    for a, b, length in zip(sure, sure[1:], between):
        places = round(length / usual)
        strange = np.arange(a + 1, b)
        if places > 0 and abs(length - places * usual) < 0.2 * usual and len(strange) >= places:
            phase = (beats[strange] - beats[a]) * places / length
            best = np.argsort(np.abs(phase - np.round(phase)) + (np.round(phase) % places == 0))
            surplus[strange[best[places - 1 :]]] = True
    near = round(0.08 * FS)
    steep = _highest(steepness, beats - near, beats + near)
    few = surplus.sum() <= max(2, 0.15 * len(beats))
    kept[surplus & (few | (steep < 0.6 * np.median(steep[sure])))] = False
    return kept


def _premature(beats: np.ndarray, similar: np.ndarray) -> np.ndarray:
    """[b] bool: beats that come early, unless the rhythm is so irregular that this says nothing."""
    early = np.zeros(len(beats), bool)
    if len(beats) < 4:
        return early
    rr = np.diff(beats)
    usual = np.median(rr)
    early[1:] = rr < 0.82 * usual
    later = np.append(rr[1:], usual)
    early[1:] &= (later > usual) | ~similar[1:]
    if early.sum() > 0.35 * len(beats):
        early &= ~similar
    return early


def _median(windows: np.ndarray, basic: np.ndarray) -> np.ndarray:
    """[12, w] mV: of the basic beats, or of all beats in a lead that shows no basic one."""
    if not len(windows):
        return np.full(windows.shape[1:], np.nan)
    median = _nanmedian(windows[basic], axis=0)
    missing = ~np.isfinite(median).any(axis=1)
    median[missing] = _nanmedian(windows[:, missing], axis=0)
    return median


def _at(second: float) -> int:
    """Column of the median beat."""
    return round((_BEFORE + second) * FS)


def _level(windows: np.ndarray, onset: float) -> np.ndarray:
    """[..., 1] mV just before the QRS."""
    part = windows[..., max(0, _at(onset - 0.036)) : max(1, _at(onset - 0.008))]
    return np.nan_to_num(_nanmedian(part, axis=-1))[..., None]


def _width(window: np.ndarray) -> float:
    """QRS of one beat ([12, w] mV) in ms, NaN where it has no clear edges."""
    edges = _qrs(window)
    return np.nan if edges is None else 1000 * (edges[1] - edges[0] + FEET["j_point"] - FEET["qrs_onset"])


def _delineate(median: np.ndarray, rr: float) -> _Marks | None:
    """QRS onset and end from the spatial velocity, T end from a tangent. rr: s to the next beat."""
    edges = _qrs(median)
    return None if edges is None else _Marks(*edges, _t_end(median, *edges, rr))


def _qrs(median: np.ndarray) -> tuple[float, float] | None:
    """Where the spatial velocity rises from its noise and falls back to it, in s from R."""
    rows = np.flatnonzero(np.isfinite(median[:, _at(-0.1) : _at(0.12)]).all(axis=1))
    if not rows.size:
        return None
    y = median[rows]
    filled = np.where(np.isfinite(y), y, 0.0)
    speed = ndimage.gaussian_filter1d(filled, 0.006 * FS, axis=1, order=1) * FS
    velocity = np.sqrt((speed**2).mean(axis=0))  # [w] mV/s
    peak = float(velocity[_at(-0.08) : _at(0.10)].max())
    if peak <= 0:
        return None
    quiet = np.sort(velocity[_at(-0.2) : _at(0.3)])
    noise = float(quiet[: len(quiet) // 5].mean())
    limit = noise + max(0.06 * (peak - noise), 0.5)
    onset = _edge(velocity, _at(-0.13), _at(0.0), limit, -1)
    end = _edge(velocity, _at(0.0), _at(0.18), limit, 1)
    if onset is None or end is None:
        return None
    return onset / FS - _BEFORE, end / FS - _BEFORE


def _edge(velocity: np.ndarray, first: int, last: int, limit: float, step: int) -> int | None:
    """Outwards from R: the last sample over the limit before 20 ms of quiet."""
    order = range(last, first, -1) if step < 0 else range(first, last)
    quiet, edge = 0, None
    for i in order:
        if velocity[i] > limit:
            quiet, edge = 0, i
        elif edge is not None:
            quiet += 1
            if quiet >= round(0.020 * FS):
                break
    return edge


def _t_end(median: np.ndarray, onset: float, j: float, rr: float) -> float | None:
    """Where the tangent to T's steepest descent meets the baseline, on the leads weighted by their T."""
    last = min(_AFTER - 0.02, onset + min(0.68, 0.72 * rr + 0.05), rr - 0.12)
    first = j + 0.05
    if last - first < 0.1:
        return None
    part = median[:, _at(first) : _at(last)]
    rows = np.isfinite(part).all(axis=1)
    if not rows.any():
        return None
    level = _nanmedian(median[:, _at(onset - 0.024) : _at(onset - 0.004)], axis=1)[rows]
    y = ndimage.gaussian_filter1d(part[rows] - np.nan_to_num(level)[:, None], 0.012 * FS, axis=1)
    power = np.sqrt((y**2).mean(axis=0))
    tops = _peaks(power, round(0.06 * FS))
    if not len(tops):
        return None
    top = int(max(tops, key=lambda i: power[i]))
    wave = y[:, top] @ y / max(float(np.linalg.norm(y[:, top])), 1e-9)  # [w] along T's own direction
    fall = np.gradient(wave)
    tail = fall[top : top + round(0.2 * FS)]
    if len(tail) < 5:
        return None
    steepest = top + int(np.argmin(tail))
    if fall[steepest] >= 0:
        return None
    end = steepest - wave[steepest] / fall[steepest]
    seconds = first + end / FS
    return float(seconds) if j + 0.08 < seconds < _AFTER else None


def _find_p(windows: np.ndarray, rr_before: np.ndarray, marks: _Marks) -> tuple[float | None, float]:
    """P onset (s relative to R, None without a P wave), and the evidence for one (0..1).

    windows: [b, 12, w] mV of basic beats; rr_before: [b] s. A P wave is a bump at the same distance before
    every QRS: its mean over the beats is large against what differs between them, unlike in fibrillation.
    """
    onset, t_end = marks.qrs_onset, marks.j + 0.25 if marks.t_end is None else marks.t_end
    windows = windows[:, :, : _at(onset)]
    grid = np.arange(windows.shape[2]) / FS - _BEFORE
    # Only what lies between the T wave before and the QRS, held constant beyond: the filters ring at neither.
    clear = np.maximum(t_end - rr_before, -0.44)  # [b]
    between = (grid >= clear[:, None]) & (grid < onset - 0.008)
    usable = np.isfinite(windows) & between[:, None]
    held = _hold(np.where(usable, windows, np.nan))
    bumps = ndimage.gaussian_filter1d(held, 0.018 * FS, axis=2)
    bumps -= ndimage.gaussian_filter1d(held, 0.05 * FS, axis=2)
    usable &= (grid >= clear[:, None] + 0.015)[:, None] & (grid < onset - 0.03)
    count = usable.sum(axis=0)  # [12, w]
    mean = np.where(usable, bumps, 0.0).sum(axis=0) / np.maximum(count, 1)
    spread = (np.where(usable, bumps - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    known = count >= 2
    if not known.any():
        return None, 0.0
    signal = np.where(known, count * mean**2, 0.0).sum(axis=0)
    noise = np.where(known, spread, 0.0).sum(axis=0)
    usual = ndimage.uniform_filter1d(noise, round(0.06 * FS))
    ratio = signal / (usual + known.sum(axis=0) * 0.003**2 + 1e-9)  # [w]
    size = np.sqrt(np.where(known, mean**2, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    # Sinus P waves point down and left; the end of an upright T wave bends the other way.
    ratio *= np.where(np.where(known, mean, 0.0).T @ SINUS_P < 0, 0.5, 1.0)
    tops = _peaks(ratio, round(0.05 * FS))
    tops = tops[size[tops] > 0.004]
    if not len(tops):
        return None, 0.0
    top = int(tops[np.argmax(ratio[tops])])
    score = float(ratio[top] / (ratio[top] + 8.0))
    if score < _P_SCORE:
        return None, score
    rows = known[:, top]
    return _p_start(_nanmedian(windows[:, rows], axis=0), mean[rows, top], top, _at(onset - 0.012)), score


def _p_start(beat: np.ndarray, direction: np.ndarray, top: int, last: int) -> float | None:
    """Where the tangent to P's steepest rise leaves the level before, in s relative to R.

    beat: [k, w] mV of the leads that show P; direction: [k] its size in each; top, last: columns of P's
    middle and of the QRS.
    """
    first = max(0, top - round(0.12 * FS))
    part = ndimage.gaussian_filter1d(np.nan_to_num(beat[:, first:last]), 0.008 * FS, axis=1)
    wave = direction @ part / max(float(np.linalg.norm(direction)), 1e-9)
    near = max(0, top - first - round(0.02 * FS))
    peak = near + int(np.argmax(wave[near : top - first + round(0.02 * FS) + 1]))
    start = max(0, peak - round(0.08 * FS))
    if peak - start < 3:
        return None
    rise = np.gradient(wave)
    steepest = start + int(np.argmax(rise[start:peak]))
    base = float(wave[max(0, steepest - round(0.06 * FS)) : steepest + 1].min())
    return float((first + steepest - (wave[steepest] - base) / max(rise[steepest], 1e-9)) / FS - _BEFORE)


def _hold(values: np.ndarray) -> np.ndarray:
    """[b, 12, w] with NaN at both ends of a row replaced by the mean of the 20 ms beside, 0 in empty rows."""
    finite = np.isfinite(values)
    w, few = values.shape[2], round(0.02 * FS)
    first, last = finite.argmax(axis=2)[..., None], w - 1 - finite[..., ::-1].argmax(axis=2)[..., None]
    at = np.arange(w)
    filled = np.where(finite, values, 0.0)
    totals = np.cumsum(filled, axis=2)

    def total(i: np.ndarray) -> np.ndarray:
        return np.take_along_axis(totals, np.clip(i, 0, w - 1), axis=2)

    head = (total(first + few - 1) - total(first) + np.take_along_axis(filled, first, axis=2)) / few
    tail = (total(last) - total(last - few)) / few
    return np.where(at < first, head, np.where(at > last, tail, filled))


def _axis(median: np.ndarray, marks: _Marks) -> float | None:
    """Mean frontal QRS axis in degrees, from the areas of at least two limb leads."""
    part = median[:6, _at(marks.qrs_onset) : _at(marks.j) + 1]
    rows = np.flatnonzero(np.isfinite(part).all(axis=1))
    if len(rows) < 2:
        return None
    area = part[rows].sum(axis=1)
    field = _LENGTH[rows, None] * np.stack([np.cos(_LIMB[rows]), np.sin(_LIMB[rows])], axis=1)
    x, y = np.linalg.lstsq(field, area, rcond=None)[0]
    return float(np.degrees(np.arctan2(y, x)))


def _thin(median: np.ndarray) -> np.ndarray:
    """[12, 100] float32: the median beat at BEAT_FS."""
    step = round(FS / BEAT_FS)
    smooth = median / 2 + (np.roll(median, 1, axis=1) + np.roll(median, -1, axis=1)) / 4
    beat = smooth[:, _at(BEAT_START) : _at(BEAT_END) : step].astype(np.float32)
    beat[~np.isfinite(beat).all(axis=1)] = np.nan
    return beat


def _waves(row: np.ndarray, marks: _Marks | None) -> LeadWaves | None:
    """The waves of one lead's median beat, whose level before the QRS is 0."""
    if marks is None:
        return None
    qrs = row[_at(marks.qrs_onset) : _at(marks.j) + 1]
    t_last = marks.t_end if marks.t_end is not None else marks.j + 0.3
    rest = row[_at(marks.j + 0.06) : _at(t_last)]
    if not (np.isfinite(qrs).all() and len(rest) > 3 and np.isfinite(rest).all()):
        return None
    top = int(np.argmax(qrs))
    r = max(0.0, float(qrs[top]))
    if r < 0.03:
        q, r, s = float(qrs.min()), 0.0, 0.0
    else:
        q, s = min(0.0, float(qrs[: top + 1].min())), min(0.0, float(qrs[top:].min()))
    st = float(rest[0])
    t = float(rest[np.argmax(np.abs(rest[3:])) + 3])
    return LeadWaves(st, t, min(q, 0.0), r, s)
