"""Twelve-lead ECGs from physiology: a cardiac dipole in Frank's axes, seen through Dower's lead field.

Each wave is a sum of dipole vectors with bell-shaped courses in time, as in McSharry et al. 2003 (IEEE TBME
50:289) and its three-dimensional form by Sameni et al. 2007 (EURASIP JASP, 43407); the bells are raised
cosines, so that every wave has an exact beginning and end. The dipole is projected onto I, II and V1..V6 by
the matrix of Dower et al. 1980 (J Electrocardiol 13:361), varied from patient to patient; the other leads
follow from I and II, so Einthoven's and Goldberger's relations hold exactly, noise included. Fibrillatory
waves follow Stridh & Sörnmo 2001 (IEEE TBME 48:105).

    record, truth = simulate(Simulation(rhythm="af", rate_bpm=95), seed=1)
    record, truth = simulate(random_simulation(np.random.default_rng(2), "rbbb"), seed=2)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ecgvlm.measure.signal import FROM_TWO
from ecgvlm.record import Record

SIMULATED_RHYTHMS = (
    "sinus", "af", "flutter", "wenckebach", "mobitz", "av_block_3", "svt", "vt",
    "paced_atrial", "paced_ventricular", "paced_dual",
)  # fmt: skip
CONDUCTIONS = ("normal", "rbbb", "irbbb", "lbbb", "wpw")
TERRITORIES = ("anterior", "inferior", "lateral")
CONDITIONS = (
    "normal", "bradycardia", "tachycardia", "sinus_arrhythmia", "af", "flutter",
    "av_block_1", "wenckebach", "mobitz", "av_block_3", "rbbb", "irbbb", "lbbb", "lafb", "bifascicular",
    "pvc", "bigeminy", "pac", "svt", "vt", "wpw", "paced_atrial", "paced_ventricular", "paced_dual", "lvh",
    "stemi_anterior", "stemi_inferior", "stemi_lateral",
    "old_mi_anterior", "old_mi_inferior", "old_mi_lateral", "t_inversion", "low_voltage",
)  # fmt: skip

Vector = tuple[float, float, float]  # mV along Frank's axes: x to the left, y to the feet, z to the back

# Dower et al. 1980, rows I, II, V1..V6.
_LEAD_FIELD = np.array(
    [
        [0.632, -0.235, 0.059], [0.235, 1.066, -0.132], [-0.515, 0.157, -0.917], [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277], [1.213, 0.127, -0.601], [1.125, 0.127, -0.086], [0.831, 0.076, 0.230],
    ]
)  # fmt: skip
# The twelve leads of `LEADS` from I, II, V1..V6.
_TWELVE = np.zeros((12, 8))
_TWELVE[:6, :2] = FROM_TWO
_TWELVE[6:, 2:] = np.eye(6)
# I, II, V1..V6 from the potentials of the electrodes RA, LA, LL, V1..V6.
_FROM_ELECTRODES = np.zeros((8, 9))
_FROM_ELECTRODES[:2, :3] = np.array([[-1, 1, 0], [-1, 0, 1]])
_FROM_ELECTRODES[2:, :3] = -1 / 3
_FROM_ELECTRODES[2:, 3:] = np.eye(6)

# A reader sees a wave begin and end where it leaves the baseline by a pen's width, a little inside the bell's
# feet: this share of the half-width. The tangent to a falling T wave meets the baseline there too.
_SEEN = 0.84
_SEEN_QRS = 0.92  # steeper
# Hand-made marks of real hearts stand this many s outside the steep part of P, QRS and T: a wave is drawn so
# much inside its marks.
_FOOT = 0.011


@dataclass(frozen=True)
class Noise:
    """Amplitudes in mV at each electrode: mains hum and muscle RMS, baseline wander peak."""

    mains_mv: float = 0.0
    mains_hz: float = 50.0
    wander_mv: float = 0.0
    muscle_mv: float = 0.0


@dataclass(frozen=True)
class Simulation:
    """What is wrong, or not, with a heart; durations in ms, rates in beats a minute.

    rhythm: one of `SIMULATED_RHYTHMS`. rate_bpm: of the ventricles; in second-degree AV block of the atria.
    atrial_bpm: of the atria in av_block_3 and vt, and of the flutter where its conduction varies. av_ratio:
    atrial beats per ventricular beat in flutter (0: varies from 2 to 4), atrial beats per dropped beat in
    wenckebach and mobitz (2: 2:1 block). pr_ms: P onset to QRS onset; the first of each cycle in wenckebach.
    qt_ms: at this rate; None: a QTc (Fridericia) of 415 ms. axis_deg: frontal axis of the QRS area.
    arrhythmia: depth of respiratory sinus arrhythmia as fraction of the RR interval. pvc, pac: share of beats
    that are premature (0.5: bigeminy). conduction: one of `CONDUCTIONS`. st_elevation, q_waves, t_inversion:
    one of `TERRITORIES`. strain: secondary ST-T changes of LVH.
    """

    rhythm: str = "sinus"
    rate_bpm: float = 72.0
    atrial_bpm: float = 80.0
    av_ratio: int = 4
    pr_ms: float = 160.0
    qrs_ms: float = 92.0
    qt_ms: float | None = None
    axis_deg: float = 45.0
    arrhythmia: float = 0.0
    pvc: float = 0.0
    pac: float = 0.0
    conduction: str = "normal"
    lafb: bool = False
    lvh: bool = False
    strain: bool = False
    low_voltage: bool = False
    st_elevation: str | None = None
    q_waves: str | None = None
    t_inversion: str | None = None
    age: float | None = None
    sex: str | None = None
    noise: Noise = field(default_factory=Noise)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("rhythm", self.rhythm, SIMULATED_RHYTHMS),
            ("conduction", self.conduction, CONDUCTIONS),
            ("st_elevation", self.st_elevation, (None, *TERRITORIES)),
            ("q_waves", self.q_waves, (None, *TERRITORIES)),
            ("t_inversion", self.t_inversion, (None, *TERRITORIES)),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}, not {value!r}")
        if not (20 <= self.rate_bpm <= 300 and 20 <= self.atrial_bpm <= 450):
            raise ValueError("rates must lie between 20 and 300 (atria: 450) a minute")
        if not (60 <= self.qrs_ms <= 240 and 80 <= self.pr_ms <= 600):
            raise ValueError("qrs_ms must lie between 60 and 240, pr_ms between 80 and 600")
        if self.av_ratio not in range(2, 9) and not (self.av_ratio == 0 and self.rhythm == "flutter"):
            raise ValueError("av_ratio must lie between 2 and 8, or be 0 in flutter")
        if self.qt >= 60_000 / self.rate_bpm + 100 or self.qt <= self.qrs_ms + 100:
            raise ValueError(f"a QT of {self.qt:.0f} ms does not fit the QRS and the rate")

    @property
    def qt(self) -> float:
        """QT in ms, resolved."""
        return self.qt_ms if self.qt_ms is not None else 415.0 * (60 / self.rate_bpm) ** (1 / 3)


@dataclass(frozen=True)
class Truth:
    """Where every wave lies, in seconds from the start of the record.

    p_onset, p_peak: [p] of every P wave (hidden ones too). qrs_onset, r_peak, qrs_offset, t_peak, t_offset:
    [b] of every beat whose QRS is in the record; T times past its end are NaN. beats: [b] "normal", "pac",
    "pvc", "paced", "escape" or "vt". pr_ms (first PR of each cycle in wenckebach), None where atria and
    ventricles do not go together. qrs_ms, qt_ms and axis_deg are those of the basic beat; rate_bpm is 60 over
    the mean RR interval in the record.
    """

    p_onset: np.ndarray
    p_peak: np.ndarray
    qrs_onset: np.ndarray
    r_peak: np.ndarray
    qrs_offset: np.ndarray
    t_peak: np.ndarray
    t_offset: np.ndarray
    beats: tuple[str, ...]
    rate_bpm: float
    pr_ms: float | None
    qrs_ms: float
    qt_ms: float
    axis_deg: float
    labels: frozenset[str]


def simulate(
    simulation: Simulation, seed: int, seconds: float = 10.0, fs: float = 500.0
) -> tuple[Record, Truth]:
    """One ECG of the heart described; the seed decides patient (torso, voltages, wave shapes) and noise."""
    rng = np.random.default_rng(seed)
    rhythm = _rhythm(simulation, rng, seconds)
    torso = _Torso(rng)
    basic = _basic_beat(simulation, torso, rng)
    ectopic = _ectopic_beat(torso, rng, rng.uniform(135, 190))
    if simulation.rhythm == "vt":
        basic = _ectopic_beat(torso, rng, simulation.qrs_ms)
    atrial, early_p = _p_wave(torso, rng), _p_wave(torso, rng, ectopic=True)
    t = np.arange(round(seconds * fs)) / fs
    leads = np.zeros((8, len(t)))
    breath = 2 * np.pi * rng.uniform(0.18, 0.32)
    swing = 1 + rng.uniform(0.01, 0.06) * np.sin(breath * t + rng.uniform(0, 6.3))
    p_peaks = _add_p_waves(leads, fs, rhythm.p, atrial, early_p)
    beats = _add_beats(leads, fs, rhythm.beats, basic, ectopic, simulation.qt / 1000)
    leads *= swing
    if simulation.rhythm == "af":
        leads += _fibrillation(torso, rng, t)
    if simulation.rhythm == "flutter":
        leads += _flutter(torso, rng, t, rhythm.flutter_hz)
    for onset, chamber in rhythm.spikes:
        _add_spike(leads, fs, torso.spikes[chamber], onset)
    leads += _FROM_ELECTRODES @ _noise(simulation.noise, rng, t)

    beats = [beat for beat in beats if beat.onset >= 0 and beat.offset <= seconds]
    labels, unknown = _labels(simulation, {beat.kind for beat in beats})
    p_onset = np.array([onset for onset, _ in rhythm.p])
    inside = (p_onset >= 0) & (p_onset < seconds)
    truth = _truth(simulation, p_onset[inside], p_peaks[inside], beats, seconds, basic.axis_deg, labels)
    record = Record(
        (_TWELVE @ leads).astype(np.float32),
        fs,
        age=simulation.age,
        sex=simulation.sex,
        labels=labels,
        source=f"simulated:{simulation.rhythm}:{seed}",
        patient=f"simulated-{seed}",
        meta={"unknown": unknown},
    )
    return record, truth


class _BeatTimes(NamedTuple):
    """s at which a beat's QRS begins, has its R and ends, and its T peaks and ends. kind: of `Truth`."""

    onset: float
    kind: str
    r: float
    offset: float
    t_peak: float
    t_offset: float


def _truth(
    simulation: Simulation,
    p_onset: np.ndarray,
    p_peak: np.ndarray,
    beats: Sequence[_BeatTimes],
    seconds: float,
    axis_deg: float,
    labels: frozenset[str],
) -> Truth:
    """What is so of a record of so many seconds. p_onset, p_peak, beats: those in it."""
    times = np.array([(b.onset, b.r, b.offset, b.t_peak, b.t_offset) for b in beats])
    qrs_onset, r_peak, offset, t_peak, t_offset = times.reshape(-1, 5).T  # no beat in a short, slow strip
    late = t_offset > seconds
    return Truth(
        p_onset=p_onset,
        p_peak=p_peak,
        qrs_onset=qrs_onset,
        r_peak=r_peak,
        qrs_offset=offset,
        t_peak=np.where(late, np.nan, t_peak),
        t_offset=np.where(late, np.nan, t_offset),
        beats=tuple(beat.kind for beat in beats),
        rate_bpm=60 / float(np.mean(np.diff(r_peak))) if len(r_peak) > 1 else simulation.rate_bpm,
        pr_ms=simulation.pr_ms if simulation.rhythm in _WITH_PR else None,
        qrs_ms=simulation.qrs_ms,
        qt_ms=simulation.qt,
        axis_deg=axis_deg,
        labels=labels,
    )


_WITH_PR = ("sinus", "wenckebach", "mobitz", "paced_atrial", "paced_dual")


@dataclass(frozen=True)
class _Rhythm:
    """Onsets in seconds: p (onset, premature), beats (QRS onset, kind), spikes (time, chamber)."""

    p: list[tuple[float, bool]]
    beats: list[tuple[float, str]]
    spikes: list[tuple[float, str]]
    flutter_hz: float = 0.0


# Brings the median R and S of healthy simulated hearts to those of PTB-XL's training folds, V1..V6.
_CHEST = np.array([0.85, 1.2, 1.05, 1.0, 0.95, 0.95])[:, None]
# The atria lie farther from the chest electrodes than the ventricles, for which Dower's matrix holds.
_ATRIAL = np.array([1, 1, 0.7, 0.5, 0.5, 0.45, 0.45, 0.5])
_LEAD_IN = 3.0  # seconds simulated before the record begins, and half of it after its end


def _regular(
    rng: np.random.Generator, rate_bpm: float, seconds: float, jitter: float, depth: float = 0
) -> np.ndarray:
    """Times of a pacemaker of this mean rate, before, in and after the record; depth: of breathing."""
    period = 60 / rate_bpm
    n = int((seconds + 1.5 * _LEAD_IN) / period) + 2
    breath, phase = rng.uniform(0.15, 0.3), rng.uniform(0, 2 * np.pi)
    modulation = depth * np.sin(2 * np.pi * breath * period * np.arange(n) + phase)
    intervals = period * (1 + modulation + jitter * rng.normal(size=n))
    intervals *= period / intervals.mean()
    return -_LEAD_IN - rng.uniform(0, period) + np.cumsum(intervals)


def _rhythm(s: Simulation, rng: np.random.Generator, seconds: float) -> _Rhythm:
    pr, rr = s.pr_ms / 1000, 60 / s.rate_bpm
    if s.rhythm == "af":
        # Intervals without memory, none shorter than the AV node's refractory period.
        n = int((seconds + 1.5 * _LEAD_IN) / rr) + 3
        rest = rng.gamma(3.0, size=n)
        shortest = max(0.55 * rr, 0.24)
        intervals = shortest + (rr - shortest) * rest / rest.mean()
        onsets = -_LEAD_IN - rng.uniform(0, rr) + np.cumsum(intervals)
        return _Rhythm([], _with_pvc(s, rng, onsets), [])
    if s.rhythm == "flutter":
        atrial = s.rate_bpm * s.av_ratio if s.av_ratio else s.atrial_bpm
        n = int((seconds + 1.5 * _LEAD_IN) / 60 * s.rate_bpm * 1.6) + 3
        ratios = np.full(n, s.av_ratio) if s.av_ratio else rng.choice([2, 3, 4], size=n, p=[0.4, 0.2, 0.4])
        onsets = -_LEAD_IN - rng.uniform(0, rr) + np.cumsum(ratios) * 60 / atrial
        return _Rhythm([], _with_pvc(s, rng, onsets), [], atrial / 60)
    if s.rhythm == "svt":  # re-entry: the atria are reached backwards, just after the QRS began
        onsets = _regular(rng, s.rate_bpm, seconds, 0.004)
        return _Rhythm([(t + 0.07, True) for t in onsets], [(t, "normal") for t in onsets], [])
    if s.rhythm == "vt":
        beats = [(t, "vt") for t in _regular(rng, s.rate_bpm, seconds, 0.004)]
        return _Rhythm([(t, False) for t in _regular(rng, s.atrial_bpm, seconds, 0.02)], beats, [])
    if s.rhythm == "av_block_3":
        beats = [(t, "escape") for t in _regular(rng, s.rate_bpm, seconds, 0.01)]
        return _Rhythm([(t, False) for t in _regular(rng, s.atrial_bpm, seconds, 0.02)], beats, [])
    if s.rhythm == "paced_ventricular":
        onsets = _regular(rng, s.rate_bpm, seconds, 0.0)
        return _Rhythm([], [(t, "paced") for t in onsets], [(t - 0.012, "ventricle") for t in onsets])

    p = _regular(rng, s.rate_bpm, seconds, 0.0 if s.rhythm.startswith("paced") else 0.012, s.arrhythmia)
    if s.rhythm == "paced_atrial":
        spikes = [(t - 0.012, "atrium") for t in p]
        return _Rhythm([(t, False) for t in p], [(t + pr, "normal") for t in p], spikes)
    if s.rhythm == "paced_dual":
        spikes = [(t - 0.012, "atrium") for t in p] + [(t + pr - 0.012, "ventricle") for t in p]
        return _Rhythm([(t, False) for t in p], [(t + pr, "paced") for t in p], spikes)
    if s.rhythm in ("wenckebach", "mobitz"):
        place = (np.arange(len(p)) + rng.integers(s.av_ratio)) % s.av_ratio
        # Wenckebach: PR grows by ever smaller steps, so that RR shrinks until the dropped beat.
        steps = rng.uniform(0.05, 0.11) * (1 - 0.6 ** np.arange(s.av_ratio)) / 0.4
        delay = pr + (steps[place] if s.rhythm == "wenckebach" else 0.0)
        beats = [(t, "normal") for t, k in zip(p + delay, place) if k < s.av_ratio - 1]
        return _Rhythm([(t, False) for t in p], beats, [])

    early = _chosen(rng, len(p), s.pac)
    for i in np.flatnonzero(early):  # the sinus node is reset: all later beats shift with the premature one
        p[i:] -= rng.uniform(0.28, 0.42) * (p[i] - p[i - 1])
    if s.pac:
        p -= max(0.0, p[-1] - seconds - _LEAD_IN / 2)
        missing = int(max(0.0, seconds + _LEAD_IN / 2 - p[-1]) / rr) + 1
        p = np.append(p, p[-1] + rr * np.arange(1, missing + 1))
        early = np.append(early, np.zeros(missing, bool))
    beats = _with_pvc(s, rng, p + pr, early)
    return _Rhythm(list(zip(p, early)), beats, [])


def _chosen(rng: np.random.Generator, n: int, share: float) -> np.ndarray:
    """[n] bool: which beats are premature; never the first two or two in a row, one at least if share > 0."""
    chosen = np.zeros(n, bool)
    if not share:
        return chosen
    if share >= 0.33:  # bigeminy, trigeminy
        chosen[rng.integers(2, 4) :: round(1 / share)] = True
        return chosen
    for i in range(2, n):
        chosen[i] = not chosen[i - 1] and rng.random() < share
    middle = rng.integers(int(0.4 * n), int(0.7 * n))
    if not chosen[int(0.35 * n) : int(0.75 * n)].any():
        chosen[middle] = True
    return chosen


def _with_pvc(
    s: Simulation, rng: np.random.Generator, onsets: np.ndarray, early: np.ndarray | None = None
) -> list[tuple[float, str]]:
    """Beats at these onsets, some of them replaced by a premature ventricular one before a full pause."""
    early = np.zeros(len(onsets), bool) if early is None else early
    ventricular = _chosen(rng, len(onsets), s.pvc) & ~early
    coupling = rng.uniform(0.52, 0.72)  # nearly the same for all beats from one focus
    beats = []
    for i, onset in enumerate(onsets):
        if ventricular[i]:
            share = coupling + rng.uniform(-0.02, 0.02)
            beats.append((onsets[i - 1] + share * (onset - onsets[i - 1]), "pvc"))
        else:
            beats.append((float(onset), "pac" if early[i] else "normal"))
    return beats


class _Torso:
    """One patient's lead field, and how a dipole in it looks in I, II, V1..V6."""

    def __init__(self, rng: np.random.Generator):
        chest = _LEAD_FIELD[2:]
        shift = np.clip(rng.normal(0, 0.25), -0.5, 0.5) + rng.normal(0, 0.1, 6)  # misplaced by so many spaces
        places = np.clip(np.arange(6) + shift, 0, 5)
        moved = np.stack([np.interp(places, np.arange(6), column) for column in chest.T], axis=1)
        self.field = np.vstack([_LEAD_FIELD[:2] * rng.lognormal(0, 0.08, (2, 1)), moved])
        self.field[2:] *= _CHEST * rng.lognormal(0.1, 0.2) * rng.lognormal(0, 0.08, (6, 1))
        self.rng = rng
        self.spikes = {
            chamber: self.project(np.array(direction) * rng.lognormal(0, 0.5))
            for chamber, direction in (("atrium", (0.3, 0.5, -0.1)), ("ventricle", (0.5, 1.2, -0.4)))
        }

    def project(self, vector: Sequence[float] | np.ndarray) -> np.ndarray:
        """[8] mV: the dipole's projection, and a little of what a single dipole cannot show (it is local)."""
        vector = np.asarray(vector, float)
        local = self.rng.normal(0, 0.07, 8)
        local[2:] = np.convolve(self.rng.normal(0, 0.16, 8), [0.3, 0.5, 0.3], "valid")
        return self.field @ vector + np.linalg.norm(vector) * local


_Wave = tuple[np.ndarray, float, float]  # amplitudes [8] mV, centre and half-width in parts of the QRS


@dataclass(frozen=True)
class _Beat:
    """A ventricular beat: amplitudes are [8] mV; qrs: its waves, and r, where R lies, in parts of its steep
    length.
    """

    qrs: tuple[_Wave, ...]
    st: np.ndarray
    t: np.ndarray
    u: np.ndarray
    qrs_s: float
    r: float
    axis_deg: float
    t_skew: float


@dataclass(frozen=True)
class _PWave:
    """parts: (amplitudes [8], beginning, end) in seconds after the P onset."""

    parts: tuple[tuple[np.ndarray, float, float], ...]
    peak_s: float


def _p_wave(torso: _Torso, rng: np.random.Generator, ectopic: bool = False) -> _PWave:
    """Right atrium (forward, down), then left atrium (leftward, back); ectopic: from elsewhere."""
    length = rng.uniform(0.080, 0.118)
    right, left = np.array([0.05, 0.07, -0.06]), np.array([0.12, 0.05, 0.05])
    if ectopic:
        turn = rng.normal(0, 0.07, 3)
        right, left = right * 0.5 + turn, left * 0.6 + turn
    size = rng.lognormal(0, 0.25)
    parts = []
    for vector, centre, half in ((right, 0.36, 0.36), (left, 0.62, 0.38)):
        amplitudes = size * torso.project(vector * rng.lognormal(0, 0.15)) * _ATRIAL
        parts.append((amplitudes, length * (centre - half / _SEEN), length * (centre + half / _SEEN)))
    return _PWave(tuple(parts), 0.5 * length)


# Each entry of a sequence: dipole (mV), centre and half-width as fractions of the QRS.
_Sequence = list[tuple[Vector, float, float]]
_QRS: dict[str, _Sequence] = {
    # septum, apex and free walls, posterobasal wall, outflow tract
    "normal": [
        ((-0.08, 0.00, -0.22), 0.20, 0.20), ((1.05, 0.80, 0.12), 0.47, 0.27),
        ((0.20, 0.05, 0.74), 0.64, 0.24), ((-0.10, -0.08, 0.10), 0.84, 0.16),
    ],
    "irbbb": [
        ((-0.10, 0.00, -0.25), 0.17, 0.17), ((1.05, 0.80, 0.12), 0.40, 0.23),
        ((0.20, 0.05, 0.55), 0.55, 0.20), ((-0.28, -0.02, -0.28), 0.80, 0.20),
    ],
    "rbbb": [
        ((-0.12, 0.00, -0.30), 0.14, 0.14), ((0.80, 0.65, -0.05), 0.32, 0.19),
        ((0.10, 0.05, 0.10), 0.43, 0.16), ((-0.42, -0.08, -0.55), 0.66, 0.23),
        ((-0.25, 0.00, -0.25), 0.84, 0.16),
    ],
    "lbbb": [
        ((0.20, 0.10, 0.30), 0.18, 0.18), ((0.65, 0.35, 1.35), 0.38, 0.21), ((0.65, 0.15, 1.25), 0.64, 0.22),
        ((0.30, 0.00, 0.35), 0.85, 0.15),
    ],
    "wpw": [  # a slow start through muscle (delta wave), then the usual way
        ((0.35, 0.15, 0.20), 0.32, 0.32), ((1.00, 0.75, 0.12), 0.62, 0.20), ((0.20, 0.05, 0.70), 0.75, 0.18),
        ((-0.10, -0.08, 0.10), 0.90, 0.10),
    ],
    "paced": [
        ((0.10, -0.20, 0.30), 0.18, 0.18), ((0.45, -0.85, 0.75), 0.42, 0.26), ((0.55, -0.75, 0.90), 0.64,
        0.24), ((0.20, -0.30, 0.35), 0.84, 0.16),
    ],
}  # fmt: skip
_T: dict[str, Vector] = {
    "normal": (0.32, 0.15, -0.20), "irbbb": (0.30, 0.15, -0.12), "rbbb": (0.30, 0.15, 0.14),
    "lbbb": (-0.16, 0.02, -0.36), "wpw": (0.10, 0.02, -0.16), "paced": (-0.18, 0.32, -0.38),
}  # fmt: skip
# Direction from the heart's middle to the wall; its first forces when that wall is dead; T when it is
# ischaemic.
_WALL: dict[str, Vector] = {
    "anterior": (0.25, 0.0, -0.95), "inferior": (-0.15, 1.0, 0.30), "lateral": (0.95, -0.35, 0.20),
}  # fmt: skip
_DEAD: dict[str, Vector] = {
    "anterior": (0.10, 0.05, 0.50), "inferior": (0.05, -0.45, -0.15), "lateral": (-0.50, 0.10, -0.10),
}  # fmt: skip
_ISCHAEMIC: dict[str, Vector] = {
    "anterior": (-0.08, 0.12, 0.32), "inferior": (0.22, -0.22, -0.12), "lateral": (-0.24, 0.10, -0.12),
}  # fmt: skip
_HEALTHY_ST = 0.08  # mV at the J point that no lead of a heart without a reason for more exceeds
_INFARCT_LABEL = {"anterior": "AMI", "inferior": "IMI", "lateral": "LMI"}


@dataclass(frozen=True)
class _Dipoles:
    """A beat before the torso, in mV along Frank's axes: [k, 3] the waves of its QRS, [k] their centres and
    half-widths as fractions of it, and ST and T."""

    waves: np.ndarray
    centres: np.ndarray
    halves: np.ndarray
    st: np.ndarray
    t: np.ndarray


def _basic_beat(s: Simulation, torso: _Torso, rng: np.random.Generator) -> _Beat:
    paced = s.rhythm in ("paced_ventricular", "paced_dual")
    kind = "paced" if paced else s.conduction
    heart = _dipoles(s, kind, rng)
    amplitudes, turn, axis = _turned(heart, kind, torso, s.axis_deg)
    qrs = list(zip(amplitudes, heart.centres, heart.halves))
    scale = _voltage(s, qrs, rng)
    qrs = [(a * scale, c, h) for a, c, h in qrs]
    t = heart.t
    # T follows the QRS axis half way, as ventricular gradient and repolarisation do in health.
    if not (s.t_inversion or s.st_elevation or s.strain or s.q_waves):
        t = _frontal(((turn + np.pi) % (2 * np.pi) - np.pi) / 2) @ t
    t_size = min(1.0, 1.3 * scale)
    level = torso.project(heart.st)
    if not (s.st_elevation or s.strain or kind in ("lbbb", "paced")):
        level = level * min(1.0, _HEALTHY_ST / max(1e-6, float((_TWELVE @ level).max())))
    return _Beat(
        tuple(qrs),
        st=level,
        t=torso.project(t) * t_size,
        u=torso.project(0.08 * t) * (rng.random() < 0.3) * t_size,
        qrs_s=s.qrs_ms / 1000,
        r=_r_time(qrs),
        axis_deg=axis,
        t_skew=rng.uniform(0.18, 0.27),
    )


def _dipoles(s: Simulation, kind: str, rng: np.random.Generator) -> _Dipoles:
    """What is wrong with the heart as forces; kind: of `_QRS`."""
    sequence = [(np.array(v) * rng.lognormal(0, 0.22, 3), centre, half) for v, centre, half in _QRS[kind]]
    notch = rng.normal(0, 0.09, 3), rng.uniform(0.3, 0.75), rng.uniform(0.06, 0.12)  # or a slur
    sequence.append(notch)
    vectors = [v for v, _, _ in sequence]
    vectors[0] = vectors[0] * rng.lognormal(0, 0.35)  # septal r and q vary most in health
    vectors[2] = vectors[2] + (0.0, 0.0, rng.normal(0, 0.2))
    if s.lafb and kind != "paced":  # down and to the right first, then up and to the left
        vectors[0] = vectors[0] + (0.0, 0.30, 0.05)
        vectors[1] = vectors[1] * (0.9, -0.35, 1.0)
        vectors[2] = vectors[2] + (0.1, -0.7, -0.3)
        vectors[3] = vectors[3] + (-0.25, -0.25, 0.05)
    t = np.array(_T[kind]) * rng.lognormal(0, 0.3) + rng.normal(0, 0.04, 3)
    # Raised a little over the front.
    st = (0.03, 0.01, -0.05) * rng.lognormal(0, 0.5, 3) + rng.normal(0, 0.01, 3)
    if kind in ("lbbb", "paced"):
        st = st - rng.uniform(0.08, 0.16) * vectors[1]
    half_first = sequence[0][2]
    if s.q_waves:
        vectors[0] = np.array(_DEAD[s.q_waves]) * rng.uniform(0.8, 1.5)
        half_first = 1.35 * half_first
        wall = np.array(_WALL[s.q_waves])
        for i in (1, 2):  # the wall's own forces are gone, in part
            vectors[i] = vectors[i] - rng.uniform(0.2, 0.5) * max(0.0, vectors[i] @ wall) * wall
        if rng.random() < 0.6:
            t = t * 0.3 + rng.uniform(0.4, 1.0) * np.array(_ISCHAEMIC[s.q_waves])
    if s.t_inversion:
        t = t * 0.2 + rng.uniform(0.7, 1.6) * np.array(_ISCHAEMIC[s.t_inversion])
    if s.st_elevation:
        st = st + rng.uniform(0.12, 0.42) * np.array(_WALL[s.st_elevation])
        t = t + rng.uniform(0.1, 0.4) * np.array(_WALL[s.st_elevation])
    if s.strain:
        t = np.array([-0.24, -0.10, -0.22]) * rng.uniform(0.7, 1.4)
        st = st + np.array([-0.10, -0.04, -0.09]) * rng.uniform(0.5, 1.2)
    if s.lvh:
        for i in (1, 2):
            vectors[i] = vectors[i] * (1.3, 0.9, 1.6)
    centres, halves = (np.array([wave[k] for wave in sequence]) for k in (1, 2))
    centres[0] = halves[0] = half_first
    return _Dipoles(np.array(vectors), centres, halves, st, t)


def _turned(
    heart: _Dipoles, kind: str, torso: _Torso, axis_deg: float
) -> tuple[list[np.ndarray], float, float]:
    """[8] mV of each wave of the QRS, its main forces turned in the frontal plane until the axis of its area
    is the one asked for; by how much (radians), and the axis that it then has (degrees).

    The first forces, and the last ones of a right bundle branch block, come from the septum and the right
    ventricle and stay.
    """
    vectors, halves, field = heart.waves, heart.halves, torso.field
    local = [torso.project(v) - field @ v for v in vectors]
    last = 3 if "rbbb" in kind else len(vectors)
    turns = np.radians(np.arange(0, 360, 0.1))
    staying = [i for i in range(len(vectors)) if i not in range(1, last)]
    fixed = halves @ np.array(local) + field @ (halves[staying] @ vectors[staying])
    x, y, z = halves[1:last] @ vectors[1:last]
    turned = np.stack(
        [x * np.cos(turns) - y * np.sin(turns), x * np.sin(turns) + y * np.cos(turns), np.full(len(turns), z)]
    )
    axes = _axis(fixed[:, None] + field @ turned)
    best = int(np.argmin(np.abs((axes - axis_deg + 180) % 360 - 180)))
    turn = _frontal(turns[best])
    amplitudes = [field @ (v if i in staying else turn @ v) + local[i] for i, v in enumerate(vectors)]
    return amplitudes, float(turns[best]), float(axes[best])


def _ectopic_beat(torso: _Torso, rng: np.random.Generator, qrs_ms: float) -> _Beat:
    """A wide beat that spreads through muscle from one focus, T against the QRS."""
    origin = [(0.5, 1.1, 0.7), (0.6, -0.9, 0.8), (-0.8, 0.7, -0.9), (-0.7, -0.8, -0.8)][rng.integers(4)]
    main = np.array(origin) * rng.lognormal(0, 0.2, 3) + rng.normal(0, 0.15, 3)
    bend = rng.normal(0, 0.3, 3)
    qrs = [
        (torso.project(0.5 * main - bend), 0.24, 0.24),
        (torso.project(main), 0.48, 0.28),
        (torso.project(0.6 * main + bend), 0.76, 0.24),
    ]
    return _Beat(
        tuple(qrs),
        st=torso.project(-0.06 * main),
        t=torso.project(-rng.uniform(0.25, 0.42) * main),
        u=np.zeros(8),
        qrs_s=qrs_ms / 1000,
        r=_r_time(qrs),
        axis_deg=float(_axis(np.sum([a * h for a, _, h in qrs], axis=0))),
        t_skew=rng.uniform(0.24, 0.32),
    )


def _frontal(angle: float) -> np.ndarray:
    """[3, 3] turn in the frontal plane, from the left towards the feet; radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def _axis(leads: np.ndarray) -> np.ndarray:
    """Frontal axis in degrees of [8, ...] amplitudes or areas: leads I and aVF, the latter augmented."""
    one, two = leads[0], leads[1]
    return np.degrees(np.arctan2((two - one / 2) * 2 / np.sqrt(3), one))


def _shape(qrs: Sequence[_Wave]) -> np.ndarray:
    """[8, 200] mV: the QRS over its own length."""
    u = np.linspace(0, 1, 200)
    return sum(a[:, None] * _bell(u, c - h, c, c, c + h) for a, c, h in qrs)


def _r_time(qrs: Sequence[_Wave]) -> float:
    """Where the whole heart's voltage is largest, as fraction of the QRS."""
    return float(np.argmax(np.sqrt((_shape(qrs) ** 2).sum(axis=0)))) / 199


def _voltage(s: Simulation, qrs: Sequence[_Wave], rng: np.random.Generator) -> float:
    """Factor that brings the QRS to voltages of LVH (Sokolow-Lyon), to low voltage, or between the two."""
    shape = _shape(qrs)
    limbs = np.ptp(_TWELVE[:6] @ shape, axis=1).max()
    chest = np.ptp(shape[2:], axis=1).max()
    sokolow = max(0.0, -shape[2].min()) + max(shape[6].max(), shape[7].max(), 0.2)
    if s.low_voltage:
        return min(rng.uniform(0.28, 0.46) / limbs, rng.uniform(0.7, 1.3) / chest)
    if s.lvh:
        return rng.uniform(3.7, 5.4) / sokolow
    largest = 4.5 if s.conduction == "lbbb" or s.rhythm.startswith("paced") else 3.2
    return float(np.clip(rng.lognormal(0, 0.2), 0.65 / limbs, max(largest / sokolow, 0.65 / limbs)))


def _bell(t: np.ndarray, a: float, b: float, c: float, d: float, hollow: float = 1.0) -> np.ndarray:
    """0 up to a, 1 from b to c, 0 from d on, raised cosines between; hollow > 1: a late rise."""
    rise = np.clip((t - a) / (b - a), 0, 1)
    fall = np.clip((d - t) / (d - c), 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * rise)) ** hollow * (0.5 - 0.5 * np.cos(np.pi * fall))


def _add(leads: np.ndarray, fs: float, amplitudes: np.ndarray, *shape: float) -> None:
    """Adds one wave to leads [8, n], in place; shape as `_bell` takes it, in seconds."""
    a, _, _, d, *_ = shape
    first, last = max(0, int(a * fs)), min(leads.shape[1], int(d * fs) + 2)
    if last > first:
        leads[:, first:last] += amplitudes[:, None] * _bell(np.arange(first, last) / fs, *shape)


def _add_p_waves(
    leads: np.ndarray, fs: float, onsets: Sequence[tuple[float, bool]], atrial: _PWave, early_p: _PWave
) -> np.ndarray:
    """Adds the P waves of a rhythm, see `_Rhythm`; returns the times of their peaks. early_p: of premature
    ones."""
    peaks = []
    for onset, early in onsets:
        wave, start = early_p if early else atrial, onset + _FOOT
        peaks.append(start + wave.peak_s)
        for amplitudes, a, b in wave.parts:
            _add(leads, fs, amplitudes, start + a, start + (a + b) / 2, start + (a + b) / 2, start + b)
    return np.array(peaks)


def _add_beats(
    leads: np.ndarray,
    fs: float,
    beats: Sequence[tuple[float, str]],
    basic: _Beat,
    ectopic: _Beat,
    qt: float,
) -> list[_BeatTimes]:
    """Adds the beats of a rhythm, see `_Rhythm`. qt: of a regular one, s."""
    times = []
    mean_rr = float(np.mean(np.diff([onset for onset, _ in beats])))
    previous = beats[0][0] - mean_rr
    for onset, kind in beats:
        beat = ectopic if kind == "pvc" else basic
        rr, previous = onset - previous, onset
        # A premature beat's own QT is as long as a regular one's; else QT follows the interval before,
        # damped.
        length = qt * float(np.clip(rr / mean_rr, 0.75, 1.35)) ** 0.25 if kind == "normal" else qt
        length = length - basic.qrs_s + beat.qrs_s
        times.append(_BeatTimes(onset, kind, *_add_beat(leads, fs, beat, onset, length)))
    return times


def _add_beat(
    leads: np.ndarray, fs: float, beat: _Beat, onset: float, qt: float
) -> tuple[float, float, float, float]:
    """Adds QRS, ST, T and U; returns the times of R, the QRS's end, T's peak and T's end."""
    steep = beat.qrs_s - 2 * _FOOT
    for amplitudes, centre, half in beat.qrs:
        middle, foot = onset + _FOOT + centre * steep, half * steep / _SEEN_QRS
        _add(leads, fs, amplitudes, middle - foot, middle, middle, middle + foot)
    j, end = onset + beat.qrs_s, onset + qt
    peak = end - beat.t_skew * qt
    foot = peak + (end - _FOOT - peak) / _SEEN
    start = j + 0.1 * (peak - j)
    _add(leads, fs, beat.st, j - 0.25 * beat.qrs_s, j, start + 0.3 * (peak - start), foot)
    _add(leads, fs, beat.t, start, peak, peak, foot, 1.6)
    _add(leads, fs, beat.u, end, end + 0.09, end + 0.09, end + 0.20)
    return onset + _FOOT + beat.r * steep, j, peak, end


def _add_spike(leads: np.ndarray, fs: float, amplitudes: np.ndarray, onset: float) -> None:
    """A pacing pulse, shorter than a sample, and what the amplifier's filter leaves of it in the next one."""
    i = round(onset * fs)
    if 0 <= i < leads.shape[1] - 1:
        leads[:, i] += amplitudes
        leads[:, i + 1] += 0.25 * amplitudes


def _fibrillation(torso: _Torso, rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """[8, n] mV of f-waves: a saw-tooth whose rate (4 to 9 Hz) and size drift, from two sources."""
    waves = np.zeros((8, len(t)))
    size = rng.uniform(0.02, 0.075)
    for share in (1.0, 0.5):
        rate = rng.uniform(4.5, 8.5)
        drift = rng.uniform(0.4, 1.2) * np.sin(2 * np.pi * rng.uniform(0.15, 0.5) * t + rng.uniform(0, 6.3))
        phase = 2 * np.pi * (rate * t + drift) + rng.uniform(0, 6.3)
        swell = 1 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * t + rng.uniform(0, 6.3))
        course = swell * sum(np.sin(k * phase) / k for k in (1, 2, 3))
        direction = np.array([-0.3, 0.7, -0.9]) + rng.normal(0, 0.3, 3)
        waves += share * size * torso.project(direction)[:, None] * course
    return waves


def _flutter(torso: _Torso, rng: np.random.Generator, t: np.ndarray, hz: float) -> np.ndarray:
    """[8, n] mV of flutter waves: down slowly and up fast in the inferior leads, upright in V1."""
    phase = 2 * np.pi * hz * t + rng.uniform(0, 6.3)
    saw = sum(np.sin(k * phase) / k for k in (1, 2, 3, 4))
    dome = np.cos(phase)
    size = rng.uniform(0.06, 0.16) * (1 if rng.random() < 0.8 else -1)
    return size * (
        torso.project((0.0, 0.9, 0.1))[:, None] * saw
        + 0.6 * torso.project((-0.1, -0.3, -0.7))[:, None] * dome
    )


def _noise(noise: Noise, rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """[9, n] mV at RA, LA, LL, V1..V6."""
    out = np.zeros((9, len(t)))
    fs = 1 / (t[1] - t[0])
    if noise.mains_mv:
        phase = rng.uniform(0, 6.3) + rng.normal(0, 0.3, (9, 1))
        size = noise.mains_mv * np.sqrt(2) * rng.uniform(0.3, 1.3, (9, 1))
        hum = 2 * np.pi * noise.mains_hz * t + phase
        out += size * (np.sin(hum) + (0.2 * np.sin(3 * hum) if 3 * noise.mains_hz < fs / 2 else 0))
    if noise.wander_mv:
        for hz in (0.08, 0.15, 0.28, 0.45):
            size = noise.wander_mv * rng.normal(0, 0.4, (9, 1))
            out += size * np.sin(2 * np.pi * hz * rng.uniform(0.8, 1.2) * t + rng.uniform(0, 6.3, (9, 1)))
    if noise.muscle_mv:
        white = rng.normal(size=(9, len(t) + 4))
        # Muscle has little below 20 Hz, and the amplifier lets little through at the upper end.
        rough = white[:, 1:] - 0.7 * white[:, :-1]
        rough = rough[:, 1:-1] + 0.6 * (rough[:, 2:] + rough[:, :-2])
        burst = 1 + 0.6 * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * t + rng.uniform(0, 6.3, (9, 1)))
        out += noise.muscle_mv * rng.uniform(0.5, 1.4, (9, 1)) * burst * rough[:, 1:] / rough.std()
    return out


def _labels(s: Simulation, kinds: set[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Labels that hold, and those a reader might or might not give (NORM beside a single PVC)."""
    found, unknown = set(), set()
    if s.rhythm in ("sinus", "wenckebach", "mobitz"):
        rate = "SB" if s.rate_bpm < 60 else "ST" if s.rate_bpm > 100 else "SR"
        if s.arrhythmia >= 0.08:
            found.add("SARRH")
            unknown |= {"SB", "ST", "SR"}
        else:
            found.add(rate)
    else:
        found |= {"af": {"AF"}, "flutter": {"AFLT"}}.get(s.rhythm, set())
    if s.rhythm in ("wenckebach", "mobitz", "av_block_3"):
        found |= {"HAVB", "CD"}
        unknown |= {"1dAVb", "SR", "SB"}
    elif s.rhythm in _WITH_PR and s.pr_ms > 200:
        found |= {"1dAVb", "CD"}
    if s.rhythm.startswith("paced"):
        found.add("PACE")
        unknown |= {"MI", "STTC", "CD", "HYP", "LBBB", "SR", "1dAVb"} - found
    if s.rhythm == "vt":
        unknown |= {"PVC", "MI", "STTC", "CD", "HYP", "RBBB", "LBBB", "SR", "ST"}
    if s.rhythm == "svt":
        unknown |= {"SR", "ST", "STTC"}
    ventricles_read = s.rhythm not in ("vt", "paced_ventricular", "paced_dual")
    if ventricles_read:
        if s.conduction == "wpw":
            found.add("CD")
        elif s.conduction != "normal":
            found |= {s.conduction.upper(), "CD"}
        if s.lafb:
            found |= {"LAFB", "CD"}
        if s.lvh:
            found |= {"LVH", "HYP"}
        for wall in (s.st_elevation, s.q_waves):
            if wall:
                found |= {_INFARCT_LABEL[wall], "MI"}
        if s.t_inversion or s.strain:
            found.add("STTC")
        if s.lvh or s.st_elevation or s.q_waves or s.qrs_ms >= 120 or s.rhythm in ("af", "flutter"):
            unknown.add("STTC")
    if s.low_voltage:
        found.add("LVOLT")
    found |= {kind.upper() for kind in kinds & {"pvc", "pac"}}
    if s.rhythm == "sinus" and found <= {"SR", "SB", "ST", "SARRH"}:
        found.add("NORM")
    elif s.rhythm == "sinus" and found <= {"SR", "SB", "ST", "SARRH", "PVC", "PAC", "LVOLT"}:
        unknown |= {"NORM", "STTC"}
    return frozenset(found), frozenset(unknown - found)


def random_simulation(rng: np.random.Generator, condition: str) -> Simulation:
    """Plausible parameters for one of `CONDITIONS`; a fifth of the diseased hearts have a second finding."""
    if condition not in CONDITIONS:
        raise ValueError(f"condition must be one of {CONDITIONS}, not {condition!r}")
    healthy = condition in _HEALTHY
    parameters = _person(rng, 50 if healthy else 66)
    if not healthy and rng.random() < 0.2:
        parameters |= _second_finding(rng)
    if condition in _TYPICAL:
        parameters |= _TYPICAL[condition](rng)
    rr = 60 / parameters["rate_bpm"]
    widened = 0.6 * max(0.0, parameters["qrs_ms"] - 115)
    return Simulation(**parameters, qt_ms=rng.uniform(388, 452) * rr ** (1 / 3) + widened)


_HEALTHY = ("normal", "bradycardia", "tachycardia", "sinus_arrhythmia")


def _person(rng: np.random.Generator, age: float) -> dict[str, Any]:
    """Parameters of a healthy heart, and the noise on its ECG. age: that people have on average, in years."""
    u = rng.uniform
    return {
        "rate_bpm": u(61, 98),
        "pr_ms": u(125, 192),
        "qrs_ms": u(90, 117),
        "axis_deg": float(np.clip(rng.normal(40, 28), -25, 95)),
        "age": float(np.clip(rng.normal(age, 15), 18, 95).round()),
        "sex": str(rng.choice(["F", "M"])),
        "noise": Noise(
            mains_mv=u(0.002, 0.02) if rng.random() < 0.25 else 0.0,
            mains_hz=float(rng.choice([50.0, 60.0])),
            wander_mv=u(0, 0.12),
            muscle_mv=float(np.clip(rng.lognormal(np.log(0.004), 0.8), 0.001, 0.03)),
        ),
    }


def _second_finding(rng: np.random.Generator) -> dict[str, Any]:
    u = rng.uniform
    findings: list[dict[str, Any]] = [
        {"lafb": True, "axis_deg": u(-75, -42)},
        {"lvh": True, "strain": bool(rng.random() < 0.5)},
        {"t_inversion": str(rng.choice(TERRITORIES))},
        {"q_waves": str(rng.choice(TERRITORIES))},
        {"pvc": u(0.06, 0.2)},
        {"conduction": "rbbb", "qrs_ms": u(128, 165), "axis_deg": u(20, 110)},
        {"pr_ms": u(205, 280)},
    ]
    return findings[rng.integers(len(findings))]


def _flutter_parameters(rng: np.random.Generator) -> dict[str, Any]:
    ratio = int(rng.choice([2, 3, 4, 0], p=[0.4, 0.1, 0.25, 0.25]))
    atrial = rng.uniform(230, 340)
    return {"rhythm": "flutter", "av_ratio": ratio, "atrial_bpm": atrial, "rate_bpm": atrial / (ratio or 3)}


def _av_block_3_parameters(rng: np.random.Generator) -> dict[str, Any]:
    u, wide = rng.uniform, rng.random() < 0.6
    escape = {"rhythm": "av_block_3", "rate_bpm": u(26, 42) if wide else u(38, 55), "atrial_bpm": u(62, 110)}
    if not wide:
        return escape
    return {**escape, "conduction": str(rng.choice(["rbbb", "lbbb"])), "qrs_ms": u(132, 182)}


def _paced_parameters(rhythm: str, rng: np.random.Generator) -> dict[str, Any]:
    u = rng.uniform
    paced = {"rhythm": rhythm, "rate_bpm": u(58, 92), "conduction": "normal", "pvc": 0.0}
    if rhythm == "paced_atrial":
        return paced
    return {**paced, "qrs_ms": u(140, 195), "axis_deg": u(-95, -40), "lafb": False}


def _stemi_parameters(wall: str, rng: np.random.Generator) -> dict[str, Any]:
    return {"st_elevation": wall, "q_waves": wall if rng.random() < 0.3 else None}


def _old_mi_parameters(wall: str, rng: np.random.Generator) -> dict[str, Any]:
    return {"q_waves": wall, "axis_deg": rng.uniform(-45, 95 if wall == "lateral" else 50)}


# What each of `CONDITIONS` but the normal one changes.
_TYPICAL: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {
    "bradycardia": lambda rng: {"rate_bpm": rng.uniform(38, 58)},
    "tachycardia": lambda rng: {
        "rate_bpm": rng.uniform(102, 160), "pr_ms": rng.uniform(115, 155), "qrs_ms": rng.uniform(86, 108),
    },
    "sinus_arrhythmia": lambda rng: {"rate_bpm": rng.uniform(52, 88), "arrhythmia": rng.uniform(0.10, 0.24)},
    "af": lambda rng: {"rhythm": "af", "rate_bpm": rng.uniform(50, 150)},
    "flutter": _flutter_parameters,
    "av_block_1": lambda rng: {"pr_ms": rng.uniform(210, 340), "rate_bpm": rng.uniform(48, 92)},
    "wenckebach": lambda rng: {
        "rhythm": "wenckebach", "av_ratio": int(rng.integers(3, 7)), "rate_bpm": rng.uniform(58, 95),
        "pr_ms": rng.uniform(150, 240),
    },
    "mobitz": lambda rng: {
        "rhythm": "mobitz", "av_ratio": int(rng.integers(2, 5)), "rate_bpm": rng.uniform(60, 100),
        "pr_ms": rng.uniform(130, 220),
    },
    "av_block_3": _av_block_3_parameters,
    "rbbb": lambda rng: {
        "conduction": "rbbb", "qrs_ms": rng.uniform(126, 172), "axis_deg": rng.uniform(20, 110),
    },
    "irbbb": lambda rng: {"conduction": "irbbb", "qrs_ms": rng.uniform(106, 119)},
    "lbbb": lambda rng: {
        "conduction": "lbbb", "qrs_ms": rng.uniform(128, 186), "axis_deg": rng.uniform(-60, 60),
        "q_waves": None,
    },
    "lafb": lambda rng: {
        "lafb": True, "axis_deg": rng.uniform(-78, -43), "qrs_ms": rng.uniform(96, 118),
    },
    "bifascicular": lambda rng: {
        "conduction": "rbbb", "lafb": True, "axis_deg": rng.uniform(-80, -45),
        "qrs_ms": rng.uniform(128, 172),
    },
    "pvc": lambda rng: {"pvc": rng.uniform(0.06, 0.25)},
    "bigeminy": lambda rng: {"pvc": float(rng.choice([0.5, 0.34])), "rate_bpm": rng.uniform(60, 88)},
    "pac": lambda rng: {"pac": rng.uniform(0.06, 0.25)},
    "svt": lambda rng: {
        "rhythm": "svt", "rate_bpm": rng.uniform(150, 215), "qrs_ms": rng.uniform(88, 108),
        "conduction": "normal", "pvc": 0.0, "lafb": False,
    },
    "wpw": lambda rng: {
        "conduction": "wpw", "pr_ms": rng.uniform(82, 112), "qrs_ms": rng.uniform(124, 152),
        "rate_bpm": rng.uniform(60, 100), "lafb": False, "q_waves": None,
    },
    "vt": lambda rng: {
        "rhythm": "vt", "rate_bpm": rng.uniform(125, 215), "qrs_ms": rng.uniform(135, 195),
        "conduction": "normal", "pvc": 0.0,
    },
    **{
        rhythm: partial(_paced_parameters, rhythm)
        for rhythm in ("paced_atrial", "paced_ventricular", "paced_dual")
    },
    "lvh": lambda rng: {
        "lvh": True, "strain": bool(rng.random() < 0.6), "axis_deg": rng.uniform(-30, 50),
        "qrs_ms": rng.uniform(96, 118),
    },
    **{f"stemi_{wall}": partial(_stemi_parameters, wall) for wall in TERRITORIES},
    **{f"old_mi_{wall}": partial(_old_mi_parameters, wall) for wall in TERRITORIES},
    "t_inversion": lambda rng: {"t_inversion": str(rng.choice(TERRITORIES))},
    "low_voltage": lambda rng: {"low_voltage": True, "lvh": False, "strain": False},
}  # fmt: skip
