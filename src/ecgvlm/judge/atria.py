"""What the atria do by themselves: P waves that go their own way, and flutter waves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ecgvlm import filters
from ecgvlm.compiled import COMPILED
from ecgvlm.measure import SINUS_P, Measurements
from ecgvlm.measure.signal import nanmedian
from ecgvlm.measure.waves import USUAL_ST_T
from ecgvlm.quantile import median, quantile

ATRIA_FS = 100.0  # Hz, of the search for P waves
_P_RATES = (45.0, 160.0)  # a minute, of atria that a train of P waves is looked for at
_DRIFT = 0.07  # part by which one PP interval may differ from the usual one
_HIDDEN = (-0.07, 0.08)  # s around R in which a QRS hides what the atria do
_QUARTER = 3.14  # standard deviations of normal noise in the 25th percentile of its size
_CLEAR = 2.6  # standard deviations by which P waves of a train stand out, on average
_LEAST_MV, _UPRIGHT = 0.022, 1.1  # their mean size; times what the same search finds upside down, in noise
_CONDUCTED = (0.09, 0.46)  # s from P wave to R within which it may have conducted
_REFRACTORY = (-0.3, 0.5)  # s from R of a premature ventricular beat
_TRAINS = 32
_ALIKE = 0.45  # least size of a P wave without a QRS, of the others'
_STEADY = 0.08  # part by which most RR intervals of an escape rhythm differ at most
# Spread of the beats' places between P waves, as part of a PP interval, from which they are free.
_FREE = 0.05
_SOON = 0.85  # PP intervals; closer together no beats are that the P waves lead to
# A second P wave in each cycle, of atria twice as fast as the ventricles. bpm of these at most; how far from
# half way it may stand, as part of RR (ventriculophasic, and what the edges of P are off by); s beside P, and
# before the QRS, that are compared; sigma of the smoothing, s; RR intervals that differ by no more than that
# part, and how many there must be; degrees of polynomials that follow T and U, but no P wave.
_MOST_HALF, _OFF_HALF, _BESIDE_P, _OFF_QRS, _SMOOTH_P = 110.0, 0.1, 0.02, 0.008, 0.006
_EVEN_RR, _LEAST_CYCLES, _CURVES = 0.15, 3, (3, 4)
# Its likeness to the P wave that conducts, and its size beside it: of 2,492 PTB-XL records up to 110 bpm none
# is so like (most: 0.86, the top of T). A lead with that part of the largest P must show both of one sign.
_LIKE_P, _SIZE_OF_P, _CLEAR_P = 0.9, (0.65, 1.5), 0.4
# Where fibrillation is looked for: s behind T and before the QRS, and that there must be between; sigmas, s,
# between which its waves lie, and mV of noise that every lead has.
_BEHIND_T, _BEFORE_QRS, _LEAST_ROOM, _FIBRILLATION, _FLOOR = 0.05, 0.06, 0.2, (0.014, 0.06), 0.004
_FLUTTER_HZ, _FLUTTER_STEP = (3.4, 6.2), 0.04  # 205 to 370 a minute
_SHAKING = 0.4  # part of the largest of I, II and III
_FLUTTER_LEADS = (1, 2, 5, 6)  # II, III, aVF, V1


@dataclass(frozen=True)
class Atria:
    """The best train of P waves.

    peaks: [p] s, empty where none stands out. score: by how many standard deviations they do. rate_bpm: of
    the train. dropped: P waves that no QRS follows. pr_ms: [k] from P peak to R of those that may conduct.
    growth_ms: how much longer that is before a dropped P wave than after it. dissociated: whether P waves
    come at their own pace, before, in and after the QRS.
    """

    peaks: np.ndarray
    score: float
    rate_bpm: float | None
    dropped: int
    pr_ms: np.ndarray
    growth_ms: float | None
    dissociated: bool


def find_atria(leads: np.ndarray, fs: float, m: Measurements) -> Atria:
    """The train of P waves that goes through a page. leads: [12, n] mV at fs Hz, NaN where not printed."""
    nothing = Atria(np.zeros(0), 0.0, None, 0, np.zeros(0), None, False)
    if np.isfinite(m.rr).sum() < 2 or m.qrs_onset is None:
        return nothing
    signal = _atrial_signal(leads, fs, m)
    seen = np.abs(signal[signal != 0])
    if not len(seen):
        return nothing
    scale = _QUARTER * quantile(seen, 0.25) + 1e-6  # P waves and what is left of T fill up to half of it
    score, peaks = _best_train(signal / scale)
    if score < max(_CLEAR, _LEAST_MV / scale) or len(peaks) < 4:
        return nothing
    if score < _UPRIGHT * _best_train(-signal / scale)[0]:
        return nothing
    return _followed(peaks / ATRIA_FS, signal[peaks], score, m)


def _atrial_signal(leads: np.ndarray, fs: float, m: Measurements) -> np.ndarray:
    """[n] at `ATRIA_FS`: how much the page looks like a P wave, without what every beat's QRS and T look
    like."""
    n = int(leads.shape[1] * ATRIA_FS / fs)
    t = np.arange(n) / ATRIA_FS
    x, printed = np.zeros((12, n)), np.zeros((12, n), bool)
    for k, lead in enumerate(leads):
        known = np.flatnonzero(np.isfinite(lead))
        if len(known) > fs:
            smooth = filters.gaussian(lead[known], 0.006 * fs)
            x[k] = np.interp(t, known / fs, smooth)
            printed[k] = np.isfinite(lead[np.minimum((t * fs).astype(int), leads.shape[1] - 1)])
    beats = np.round(m.beats * ATRIA_FS).astype(int)
    first, last = round((m.qrs_onset or -0.05) * ATRIA_FS) - 2, round((m.t_end or 0.35) * ATRIA_FS) + 4
    offsets = np.arange(first, last)
    for k in range(12):
        printed[k] &= _take_off_beats(x[k], printed[k], beats, offsets)
    bumps = filters.gaussian(x, 0.022 * ATRIA_FS) - filters.gaussian(x, 0.06 * ATRIA_FS)
    hidden = np.zeros(n, bool)
    for b in beats:
        hidden[max(0, b + round(_HIDDEN[0] * ATRIA_FS)) : max(0, b + round(_HIDDEN[1] * ATRIA_FS))] = True
    weight = printed * np.abs(SINUS_P)[:, None]
    total = (bumps * SINUS_P[:, None] * printed).sum(0) / np.maximum(np.sqrt((weight**2).sum(0)), 0.3)
    total[hidden] = 0.0
    return np.clip(total, -0.08, 0.08)


def _take_off_beats(lead: np.ndarray, printed: np.ndarray, beats: np.ndarray, offsets: np.ndarray) -> bool:
    """Takes what all beats share off a lead [n], in place: their QRS and T above the line between both ends.

    Before any filter, so that a QRS leaves nothing beside itself that looks like a P wave at every beat.
    False where a lead shows too few beats to know what they share.
    """
    n = len(lead)
    whole = [b for b in beats if b + offsets[0] >= 0 and b + offsets[-1] < n and printed[b + offsets].all()]
    if len(whole) < 2:
        return False
    along = np.linspace(0.0, 1.0, len(offsets))
    parts = lead[np.array(whole)[:, None] + offsets]  # [b, w]
    usual = nanmedian(parts - parts[:, :1] - (parts[:, -1:] - parts[:, :1]) * along, axis=0)
    for b, following in zip(beats, [*beats[1:], n - offsets[0]]):
        at = b + offsets
        inside = (at >= 0) & (at < min(n, following + offsets[0]))
        lead[at[inside]] -= usual[inside]
    return True


def _best_train(signal: np.ndarray) -> tuple[float, np.ndarray]:
    """How far the P waves of the best train stand out on average, and their columns. signal: [n]."""
    best: tuple[float, np.ndarray] = (0.0, np.zeros(0))
    for peaks in _trains(signal, 60 / np.geomspace(*_P_RATES, _TRAINS)):
        score = float(signal[peaks].mean()) if len(peaks) else 0.0
        # Every second P wave alone stands out as well: the faster train counts where it is nearly as clear.
        if score > best[0] * (0.82 if len(peaks) > 1.5 * len(best[1]) else 1.0):
            best = score, peaks
    return best


def _trains(signal: np.ndarray, periods: np.ndarray) -> list[np.ndarray]:
    """For each period (s) the columns of the train with about it on which the signal ([n]) is highest.

    By dynamic programming, for all periods at once.
    """
    drift = np.linspace(-_DRIFT, _DRIFT, 15)
    steps = np.round(periods[:, None] * ATRIA_FS * (1 + drift)).astype(int)  # [r, k]
    cost, n = 1.5 * (drift / _DRIFT) ** 2, len(signal)
    total, back = (COMPILED.chained if COMPILED else _chained)(signal, steps, cost)
    trains = []
    for row, last in enumerate(steps[:, -1]):
        end = max(0, n - int(last))
        end += int(np.argmax(total[row, end:]))
        path = []
        while end >= 0:
            path.append(end)
            end = int(back[row, end])
        trains.append(np.array(path[::-1]))
    return trains


def _chained(signal: np.ndarray, steps: np.ndarray, cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most that a train gathers up to every column, and the column before it there, -1 where it begins:
    [r, n] each. signal: [n]. steps: [r, k] columns that it may be to the next one, rising; cost: [k] of each.
    Where nothing is compiled.
    """
    n, rows = len(signal), np.arange(len(steps))
    total, back = np.tile(signal, (len(steps), 1)), np.full((len(steps), n), -1)
    block = int(steps.min())  # columns that do not depend on each other
    for first in range(block, n, block):
        now = np.arange(first, min(n, first + block))
        before = now[:, None, None] - steps  # [c, r, k]
        gain = np.where(before >= 0, total[rows[:, None], np.maximum(before, 0)] - cost, -np.inf)
        k = gain.argmax(2)[..., None]
        most = np.take_along_axis(gain, k, 2)[..., 0]
        goes_on = np.isfinite(most) & ((now[:, None] >= steps[:, -1]) | (most > 0))
        total[:, now] += np.where(goes_on, most, 0.0).T
        back[:, now] = np.where(goes_on, np.take_along_axis(before, k, 2)[..., 0], -1).T
    return total, back


def _followed(peaks: np.ndarray, sizes: np.ndarray, score: float, m: Measurements) -> Atria:
    """Which of the P waves (s) the beats follow, and how. sizes: [p] of the signal there."""
    beats, rr = m.beats, m.rr
    within = (peaks > beats[0] - 0.5) & (peaks < beats[-1])
    between = np.clip(np.searchsorted(beats, peaks) - 1, 0, len(rr) - 1)
    within &= np.isfinite(rr[between]) | (peaks < beats[0])
    # A P wave about a premature ventricular beat, or soon behind it, finds the ventricles refractory.
    strange = beats[~m.alike]
    since = peaks[:, None] - strange
    within &= ~((since > _REFRACTORY[0]) & (since < _REFRACTORY[1])).any(axis=1)
    inside, sizes = peaks[within], sizes[within]
    gaps = [(p, beats[beats > p][:1]) for p in inside]
    to_next = np.array([b[0] - p if len(b) else np.inf for p, b in gaps])
    # A P wave conducts where no other lies between it and the QRS.
    conducts = np.array(
        [
            _CONDUCTED[0] <= gap <= _CONDUCTED[1] and not ((inside > p) & (inside < p + gap - 0.05)).any()
            for p, gap in zip(inside, to_next)
        ],
        bool,
    )
    pr = 1000 * to_next[conducts]
    before = [1000 * to_next[i] for i in range(len(inside) - 1) if conducts[i] and not conducts[i + 1]]
    after = [1000 * to_next[i + 1] for i in range(len(inside) - 1) if conducts[i + 1] and not conducts[i]]
    # What stands where no QRS follows must look like the P waves that conduct.
    seen = sizes[~conducts][sizes[~conducts] != 0]  # not those hidden by a QRS
    alike = not conducts.any() or not len(seen) or seen.mean() > _ALIKE * sizes[conducts].mean()
    pp = median(np.diff(peaks))
    # Beats that outrun the P waves are others' than theirs, and what they take the place of is not blocked.
    usual_ones = rr[np.isfinite(rr) & m.alike[1:] & m.alike[:-1]]
    outrun = len(usual_ones) > 0 and usual_ones.min() < _SOON * pp
    rr = rr[np.isfinite(rr)]
    usual = median(rr)
    # An escape rhythm makes no pauses; what is short may be a beat too many.
    steady = np.mean(np.abs(rr - usual) < _STEADY * usual) >= 0.75 and rr.max() < 1.2 * usual
    regular = len(rr) > 1 and steady
    own_pace = _phase_spread(peaks, beats) > _FREE
    return Atria(
        peaks,
        score,
        60 / pp,
        int((~conducts).sum()) if alike and not outrun else 0,
        pr,
        float(np.mean(before) - np.mean(after)) if before and after else None,
        bool(alike and regular and own_pace and pp < 0.9 * usual),
    )


def _phase_spread(peaks: np.ndarray, beats: np.ndarray) -> float:
    """Circular standard deviation of where beats lie between P waves, as part of the PP interval."""
    inside = beats[(beats > peaks[0]) & (beats < peaks[-1])]
    k = np.searchsorted(peaks, inside)
    phases = (inside - peaks[k - 1]) / (peaks[k] - peaks[k - 1])
    if len(phases) < 3:
        return 0.0
    length = float(np.abs(np.exp(2j * np.pi * phases).mean()))
    return float(np.sqrt(-2 * np.log(min(max(length, 1e-6), 1.0)))) / (2 * np.pi)


def blocked_half_way(leads: np.ndarray, fs: float, m: Measurements) -> int:
    """RR intervals half way through which a P wave stands that does not conduct, as in 2:1 AV block, on T or
    behind it; 0 where none does. leads: [12, n] mV at fs Hz, NaN where not printed.

    Unlike `find_atria` it looks at what all beats share: with the shape and the size of the P wave before the
    QRS, in all leads together, where T and U waves bend less than it.
    """
    if m.p_onset is None or m.p_end is None or m.qrs_onset is None:
        return 0
    if m.heart_rate_bpm is None or m.heart_rate_bpm > _MOST_HALF:
        return 0
    usual = median(m.rr[np.isfinite(m.rr)])
    even = np.isfinite(m.rr) & (np.abs(m.rr - usual) < _EVEN_RR * usual) & m.alike[1:] & m.alike[:-1]
    first, last = m.p_onset - _BESIDE_P, min(m.p_end + _BESIDE_P, m.qrs_onset - _OFF_QRS)
    if even.sum() < _LEAST_CYCLES or (last - first) * fs <= 2 * max(_CURVES):
        return 0
    middles = ((m.beats[1:] + m.beats[:-1]) / 2)[even]
    conducted = _usual_part(leads, fs, m.beats[m.alike & ~m.premature], first, last)
    between = _usual_part(leads, fs, middles, first - _OFF_HALF * usual, first + usual / 2)
    known = np.isfinite(conducted).all(axis=1) & np.isfinite(between).all(axis=1)
    if not known.any():
        return 0
    likeness, shared, sizes = zip(*(_likeness(conducted[known], between[known], k) for k in _CURVES))
    alike = np.mean(likeness, axis=0)
    best = int(np.argmax(alike[: round(2 * _OFF_HALF * usual * fs) + 1]))
    by_lead, size = shared[-1][:, best], sizes[-1]
    upright = bool((by_lead[size > _CLEAR_P * size.max()] > 0).all())
    same_size = _SIZE_OF_P[0] < by_lead.sum() / (size**2).sum() < _SIZE_OF_P[1]
    further = alike[best + conducted.shape[1] :].max(initial=0.0) > _LIKE_P  # as of flutter
    return int(even.sum()) if alike[best] > _LIKE_P and upright and same_size and not further else 0


def _likeness(wave: np.ndarray, others: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of a wave [k, w] at each place [s] of a longer stretch [k, w + s - 1], in what no polynomial of that
    degree follows: [s] the correlation in all leads together, [k, s] what both share, [k] the wave's size."""
    smooth, _ = np.linalg.qr(np.vander(np.linspace(-1.0, 1.0, wave.shape[1]), degree + 1))

    def bent(waves: np.ndarray) -> np.ndarray:
        return waves - (waves @ smooth) @ smooth.T

    wave, places = bent(wave), bent(np.lib.stride_tricks.sliding_window_view(others, wave.shape[1], axis=1))
    shared, power = np.einsum("kw,ksw->ks", wave, places), (wave**2).sum()
    alike = shared.sum(axis=0) / np.sqrt(power * (places**2).sum(axis=(0, 2)) + 1e-12)
    return alike, shared, np.linalg.norm(wave, axis=1)


def _usual_part(leads: np.ndarray, fs: float, times: np.ndarray, first: float, last: float) -> np.ndarray:
    """[12, w] mV: the median of what is from first to last s around each of the times (s), NaN where no such
    part is printed whole."""
    at = np.round(times * fs).astype(int)[:, None] + np.arange(round(first * fs), round(last * fs) + 1)
    at = at[(at[:, 0] >= 0) & (at[:, -1] < leads.shape[1])]
    smooth = filters.gaussian(np.nan_to_num(leads), _SMOOTH_P * fs)
    printed = np.isfinite(leads)[:, at].all(axis=2)  # [12, t]
    return nanmedian(np.where(printed[..., None], smooth[:, at], np.nan), axis=1)


def fibrillatory_waves(leads: np.ndarray, fs: float, m: Measurements) -> float | None:
    """What moves at the pace of fibrillation between T and QRS and is not the same before each QRS, as a
    multiple of what moves faster: noise; the median of the leads. None where no room is left for it.

    Of 1,932 sinus rhythms of PTB-XL below 85 bpm one in ten reaches 0.8, one in fifty 1.4 (with P waves
    that are seen); of 35 fibrillations half reach 1.2.
    """
    if m.qrs_onset is None or m.j_point is None or len(m.beats) < 3:
        return None
    t_end = m.j_point + USUAL_ST_T if m.t_end is None else m.t_end
    last = m.qrs_onset - _BEFORE_QRS
    room = quantile(np.diff(m.beats), 0.2) + last - t_end - _BEHIND_T
    if room < _LEAST_ROOM:
        return None
    at = np.round((m.beats[1:] + last) * fs).astype(int)[:, None] - np.arange(round(room * fs))
    at = at[at[:, -1] >= 0]
    printed = np.isfinite(leads)[:, at].all(axis=2)  # [12, b]
    whole = np.nan_to_num(leads)
    slow = filters.gaussian(whole, _FIBRILLATION[0] * fs)
    waves, noise = slow - filters.gaussian(whole, _FIBRILLATION[1] * fs), whole - slow
    shares = []
    for lead, shown in enumerate(printed):
        if shown.sum() > 2:
            own = waves[lead][at[shown]]
            own = own - nanmedian(own, axis=0)
            size, rest = (float((x**2).mean() ** 0.5) for x in (own, noise[lead][at[shown]]))
            shares.append(size / (rest + _FLOOR))
    return median(shares) if shares else None


def flutter_waves(leads: np.ndarray, fs: float, m: Measurements) -> tuple[np.ndarray, np.ndarray]:
    """[r] rates a minute, and [r] how steadily the page moves at each between the QRS complexes.

    The latter is the share of the power from 2 to 14 Hz outside the QRS complexes at the rate and at twice
    it, in the lead of II, III, aVF and V1 that has most; where an arm shakes, in the lead without it.
    """
    bins = np.arange(round(_FLUTTER_HZ[0] / _FLUTTER_STEP), round(_FLUTTER_HZ[1] / _FLUTTER_STEP))
    length = round(fs / _FLUTTER_STEP) * -(-leads.shape[1] // round(fs / _FLUTTER_STEP))
    every = round(length * _FLUTTER_STEP / fs)
    most = np.zeros(len(bins))
    seen = [k for k in (0, *_FLUTTER_LEADS) if len(m.beats) > 1 and np.isfinite(leads[k]).sum() >= 2 * fs]
    moves = {k: _between_qrs(leads[k], fs, m) for k in seen}
    still = _without_shaking(moves)
    for k in moves.keys() & _FLUTTER_LEADS if still is None else (still,):
        power = np.abs(np.fft.rfft(moves[k], length)) ** 2
        power = power[every * bins] + power[2 * every * bins]
        samples = np.count_nonzero(moves[k])
        most = np.maximum(most, 2 * power / (samples * (moves[k] ** 2).sum() + 1e-12))
    return 60 * _FLUTTER_STEP * bins, most


def _between_qrs(lead: np.ndarray, fs: float, m: Measurements) -> np.ndarray:
    """[n] mV of what moves at 2 to 14 Hz, every few samples; 0 near QRS complexes and between samples."""
    known = np.flatnonzero(np.isfinite(lead))
    x = lead[known] - filters.gaussian(lead[known], 0.09 * fs)
    x = filters.gaussian(x, 0.012 * fs)
    away = np.abs(known[:, None] / fs - m.beats[None]).min(1) > 0.09
    x = np.where(away, x - x[away].mean(), 0.0)
    thin = max(1, int(fs / ATRIA_FS))  # what is left is slower than this by far
    moves = np.zeros(len(lead))
    moves[known[::thin]] = x[::thin]
    return moves


def _without_shaking(moves: Mapping[int, np.ndarray]) -> int | None:
    """II where the left arm's electrode shakes, III where the right arm's does: of I, II and III the one that
    it is no part of moves far less. Flutter shows in II most of all (of 7 in PTB-XL at least 0.9 of the
    largest, III 0.65)."""
    if not {0, 1, 2} <= set(moves):
        return None
    sizes = [float((moves[k] ** 2).sum() / max(np.count_nonzero(moves[k]), 1)) ** 0.5 for k in range(3)]
    return next((k for k in (1, 2) if sizes[k] < _SHAKING * max(sizes)), None)
