"""Where the beats are, and which of them are of one origin.

What no source stands beside is this project's own choice: `benchmarks/bench_measure.py` and `bench_ludb.py`
tell what it does to simulated hearts, to PTB-XL's and to hand-made marks.
"""

from __future__ import annotations

import itertools

import numpy as np

from ecgvlm import filters
from ecgvlm.measure.signal import (
    AFTER,
    BEFORE,
    FROM_TWO,
    FS,
    LEVEL_TOP,
    column,
    fit_two,
    highest,
    limb_leads,
    nanmedian,
    peaks_of,
)  # fmt: skip
from ecgvlm.quantile import median, quantile

# How sharply the leads bend and how steep they are, in s.
SPIKE = 0.028  # a median over so much takes off pacing spikes, which are steeper than any QRS
SLOPE = 0.010  # sigma of the slopes
BEND = 0.014  # sigma of the bends: those of QRS complexes are sharper than those of P and T waves of any size
ENERGY = 0.022  # sigma over which the leads' bends are gathered
SHARPEST = 0.99  # quantile of a lead's bends that is its measure
DEAD = 0.03  # of the leads' largest measure: a lead below has no signal and says nothing about beats
LEAST_SCALE = 0.5  # of the leads' median measure: a strip without a beat must not have its noise blown up
RESTLESS = 2.0  # times the leads' usual bending at rest: a lead with more counts less
MOST_BEND = 1.5  # of a lead's measure that counts: a jump in one lead is no beat in all

# Which bends are beats; times in s, heights as shares of a usual beat's.
REFRACTORY = 0.2  # no two QRS are nearer (Pan and Tompkins 1985)
SLOWEST_RR = 2.4  # 25 bpm
BEAT_HEIGHT, SURE_HEIGHT = 0.35, 0.6  # a beat; one without doubt
HALF_QRS = 0.08
LATER = (0.14, 0.42)  # after a sure beat: what is steep there is T or flutter waves
STEEPER, STEEP_ENOUGH = 1.5, 0.25  # a weak beat, against these waves and against a usual QRS
APART = (-0.3, 0.36)  # from a beat to a weak one
T_AFTER, T_HEIGHT = 0.38, 0.55  # so soon behind a beat and so much lower: its T wave
ECHO, ALONE = 0.28, 1.6  # s between two beats of which one is none; times that, to their neighbours
P_BEFORE, P_HEIGHT = 0.30, 0.45  # so soon before a beat and so much lower: its P wave

# Of 504 PTB-XL records none has less than 0.94 mV and 45 mV/s in its largest lead.
# From top to bottom, and mV/s where a few beats are averaged: below both in all leads is no QRS. P waves
# reach 0.25 mV (AHA/ACCF/HRS 2009 V).
LEAST_MV, LEAST_STEEP, AVERAGED = 0.3, 12.0, 3

# Setting beats to one point of the QRS.
SHIFT = 0.06  # s by which a beat may be moved
NEARLY_ALL = 0.8  # of the beats with which a lead must be printed to bind a page's columns
FAINT = 0.25  # of the leads' median steepness: a QRS below this binds no columns
BOUND = 0.06  # s by which the beats of columns without a common lead may be moved
STEEP_PART = 0.2  # of the steepest part of a QRS: from there on and up to there it lasts, to set columns by
QRS_ROOM, QRS_SHAPE = (-0.11, 0.12), (-0.10, 0.12)  # s around R that must be printed; whose shape is compared
LEVEL_END = -0.05  # s from R up to which the level before a QRS is taken

# Which beats are alike, missing, false or early; RR intervals as shares of the usual one.
ALIKE = 0.72  # similarity of beats of one origin
APART_IN_SHAPE, SEVERAL = 0.12, 2  # less similar than all of one origin, by so much, and so many: of another
WEAK_BEAT, MIDDLE, TWICE = 0.15, 0.4, (1.6, 2.4)  # one in the middle of a pause of two intervals
WEAK_EXTRA = 0.12  # an extra beat where one is expected, against the usual ones
IN_STEP = 0.2  # so near to whole intervals, there is no room for a further beat
# Share of beats up to which they are few; steepness of a false one against sure ones, among many and few.
FEW, BLUNT, BLUNT_ONE = 0.15, 0.6, 0.65
# Extra beats of one focus: s from the beat before, at least that part of the root of the interval before it;
# how they spread, how many there are.
BEHIND_T, BEHIND_T_SHARE, COUPLED, TOGETHER = 0.42, 0.4, 0.1, 3
MISSED = 1.4  # an interval from which on a beat may be missing
EARLY = 0.82  # a premature beat's interval
COMPENSATED = 0.08  # the interval to it and that after it, off two usual ones
IRREGULAR = 0.35  # share of early beats beyond which early says nothing
# Of a rhythm that is regular but for them: at most to an early beat, at least behind it; how far the others
# differ; share of early beats from which on every second one is.
SOON, WHOLE, REGULAR, EVERY_SECOND = 0.78, 0.9, 0.15, 0.4


def read_beats(x: np.ndarray, printed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[b] samples of R, [b, 12, w] mV around each (see `_windows`), [b] bool: of the dominant shape."""
    smooth = filters.median(x, round(SPIKE * FS), "edge")
    slope = filters.gaussian(smooth, SLOPE * FS, 1) * FS  # [12, n] mV/s
    # QRS complexes bend more sharply than P and T waves of any size.
    energy = _energy(filters.gaussian(smooth, BEND * FS, 2), printed)
    steepness = _energy(slope, printed)

    def looked_at(peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        beats = _align(peaks, slope, printed)
        windows = _windows(x, printed, beats)
        return beats, windows, _similar(windows, beats)

    peaks = _find_beats(energy, steepness)
    beats, windows, similar = looked_at(peaks)
    kept = np.ones(len(beats), bool)
    usual, extra = _hidden(beats, similar, energy), _hidden_extra(peaks, similar, energy)
    if len(usual) or len(extra):
        peaks = np.unique(np.concatenate([peaks, usual, extra]))
        beats, windows, similar = looked_at(peaks)
        kept = similar | ~np.isin(peaks, usual)
    # A beat between two columns has no shape: it is what the rhythm makes it.
    cut = np.isnan(windows).all(axis=(1, 2))
    similar &= ~(cut & (_coupled(peaks, similar & ~cut) | _compensated(beats)))
    kept &= _believable(beats, similar, steepness, _coupled(peaks, similar))
    kept &= _beating(windows[kept & similar])
    return beats[kept], windows[kept], similar[kept]


def _beating(windows: np.ndarray) -> bool:
    """Whether what beats of one shape show, [b, 12, w] mV, may be a QRS; P waves alone or noise are lower and
    blunter in every lead."""
    if not len(windows):
        return True
    shape = nanmedian(windows, axis=0)[:, column(-HALF_QRS) : column(HALF_QRS)]
    shape = shape[np.isfinite(shape).all(axis=1)]
    if not shape.size:
        return True
    steep = len(windows) >= AVERAGED and np.abs(np.diff(shape)).max() * FS > LEAST_STEEP
    return bool(steep or np.ptp(shape, axis=1).max() > LEAST_MV)


def _energy(bend: np.ndarray, printed: np.ndarray) -> np.ndarray:
    """[n]: mean bend over the leads printed at each time, each against its own sharpest bends.

    The mean and not the RMS, so that a jump in one lead weighs less than a beat in all of them.
    """
    size = np.abs(bend)
    used = np.flatnonzero(printed.any(axis=1))
    total, count = np.zeros(bend.shape[1]), np.zeros(bend.shape[1])
    if not used.size:
        return total
    scales = np.array([quantile(size[row, printed[row]], SHARPEST) for row in used])
    live = scales >= DEAD * scales.max()
    used, scales = used[live], scales[live]
    # A strip without a beat must not have its noise blown up.
    scales = np.maximum(scales, LEAST_SCALE * median(scales)) + 1e-6
    # Where tremor or noise bends a lead all the time, its sharpest bends say little.
    steady = np.array([median(size[row, printed[row]]) for row in used]) / scales
    restless = steady / (RESTLESS * max(median(steady), 1e-6))
    for row, scale, weight in zip(used, scales, np.maximum(restless, 1.0) ** -2):
        total += weight * printed[row] * np.minimum(size[row] / scale, MOST_BEND)
        count += weight * printed[row]
    return filters.gaussian(total / np.maximum(count, 1e-6), ENERGY * FS)


def _find_beats(energy: np.ndarray, steepness: np.ndarray) -> np.ndarray:
    """[b] samples of QRS complexes. energy, steepness: [n] of bends and of slopes, see `_energy`."""
    peaks = peaks_of(energy, int(REFRACTORY * FS))
    if not len(peaks):
        return peaks
    # The usual height of a QRS: the median over windows that hold at least one.
    span = int(SLOWEST_RR * FS)
    ceiling = filters.greatest(energy, span)
    inner = ceiling[span // 2 : -span // 2 : span // 4]
    level = median(inner) if len(inner) else ceiling.max()
    floor = median(energy)
    beats = peaks[energy[peaks] > floor + BEAT_HEIGHT * (level - floor)]
    beats = _without_echoes(_without_t(beats, energy), energy)
    if len(beats) < 2:
        return beats
    # What else is steep around here: T waves, flutter waves. A weak beat must be steeper than these.
    sure = beats[energy[beats] > SURE_HEIGHT * median(energy[beats])]
    other = highest(steepness, sure + round(LATER[0] * FS), sure + round(LATER[1] * FS))
    nearest = np.argsort(np.abs(sure[None] - peaks[:, None]), axis=1)[:, :3]
    around = nanmedian(other[nearest], axis=1)  # [p]
    near = round(HALF_QRS * FS)
    steep = highest(steepness, peaks - near, peaks + near)
    usual = median(highest(steepness, sure - near, sure + near))
    wide = (steep > STEEPER * around) & (steep > STEEP_ENOUGH * usual)
    after = peaks[:, None] - beats[None]  # [p, b]
    far = ((after < APART[0] * FS) | (after > APART[1] * FS)).all(axis=1)
    further = peaks[wide & far]
    own_t = (np.diff(further, prepend=-np.inf) < T_AFTER * FS) & (np.diff(energy[further], prepend=0.0) < 0)
    return np.sort(np.append(beats, further[~own_t]))


def _without_t(peaks: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Without peaks that follow a much steeper one closely: T waves."""
    kept: list[int] = []
    for p in peaks:
        if kept and p - kept[-1] < T_AFTER * FS and energy[p] < T_HEIGHT * energy[kept[-1]]:
            continue
        if kept and p - kept[-1] < P_BEFORE * FS and energy[kept[-1]] < P_HEIGHT * energy[p]:
            kept[-1] = p
            continue
        kept.append(int(p))
    return np.array(kept, int)


def _without_echoes(beats: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Without the blunter one of two beats that stand much closer together than to their neighbours.

    A T wave as sharp as its QRS, or a P wave: no premature beat follows another one so soon.
    """
    gaps = np.diff(beats, prepend=-np.inf, append=np.inf)
    for k in np.flatnonzero(gaps < ECHO * FS):
        if min(gaps[k - 1], gaps[k + 1]) > ALONE * gaps[k]:
            gaps[k] = 0.0
    close = np.flatnonzero(gaps == 0.0)
    blunter = np.where(energy[beats[close - 1]] < energy[beats[close]], close - 1, close)
    return np.delete(beats, blunter)


def _align(beats: np.ndarray, slope: np.ndarray, printed: np.ndarray) -> np.ndarray:
    """Beats moved so that their slopes match those of the typical beat, lead by lead."""
    if len(beats) < 2:
        return beats
    half, reach, n = int(HALF_QRS * FS), int(SHIFT * FS), slope.shape[1]
    # Leads printed with nearly all beats bind the columns of a page together, unless their QRS is so small
    # that P waves and noise would.
    near = np.clip(beats[:, None] + np.arange(-half, half + 1), 0, n - 1)
    steepest = np.where(printed[:, near], np.abs(slope[:, near]), np.nan)
    steepest = np.nan_to_num(nanmedian(steepest.max(axis=2), axis=1))  # [12]
    common = printed[:, beats].mean(axis=1) > NEARLY_ALL
    common &= steepest > FAINT * median(steepest)
    binding = common if common.any() else np.ones(len(common), bool)
    shifts = np.zeros(len(beats), int)
    offsets = np.arange(-half, half + 1)
    lags = np.arange(-reach, reach + 1)
    for _ in range(2):
        at = np.clip(beats[:, None] + shifts[:, None] + offsets, 0, n - 1)
        parts = np.where(printed[binding][:, at], slope[binding][:, at], np.nan)  # [k, b, 2h+1]
        template = np.nan_to_num(nanmedian(parts, axis=1))  # [k, 2h+1]
        wide = np.clip(beats[:, None] + np.arange(-half - reach, half + reach + 1), 0, n - 1)
        area = np.where(printed[binding][:, wide], slope[binding][:, wide], 0.0)  # [k, b, w]
        views = np.lib.stride_tricks.sliding_window_view(area, len(offsets), axis=2)
        match = np.einsum("lbkt,lt->bk", views, template)  # [b, lags]
        shifts = np.where(match.max(axis=1) > 0, lags[match.argmax(axis=1)], 0)
    return _bound(np.clip(beats + shifts, 0, n - 1), slope, printed)


def _columns(shown: np.ndarray) -> np.ndarray:
    """[b] number of the column that each beat is of: that which shares a lead with it. shown: [12, b]."""
    columns = np.arange(shown.shape[1])
    for lead in shown:
        columns[np.isin(columns, columns[lead])] = columns[lead].min(initial=len(columns))
    return np.unique(columns, return_inverse=True)[1]


def _bound(beats: np.ndarray, slope: np.ndarray, printed: np.ndarray) -> np.ndarray:
    """Beats moved where a column that shares no lead with the others has QRS at another time than theirs.

    Limb leads of two columns are bound by their relations. Other leads differ in where their QRS begins and
    in where it ends: only what both are off by is the column's.
    """
    columns = _columns(printed[:, beats])
    if not columns.any():
        return beats
    reach, n = round(BOUND * FS), slope.shape[1]

    def medians() -> np.ndarray:
        """[columns, 12, w] of each column's beats."""
        at = np.clip(beats[:, None] + np.arange(-3 * reach, 3 * reach), 0, n - 1)
        parts = np.where(printed[:, at], slope[:, at], np.nan)  # [12, b, w]
        return np.stack([nanmedian(parts[:, columns == k], axis=1) for k in range(columns.max() + 1)])

    seen = medians()
    limbs = {k: two for k, median in enumerate(seen) if (two := _two_limb_leads(median)) is not None}
    first, *others = limbs or [0]
    for k in others:
        late = _late(seen[k], limbs[first], reach)
        beats = np.where(columns == k, np.clip(beats + late, 0, n - 1), beats)
    for k in others:
        columns[columns == k] = first
    columns = np.unique(columns, return_inverse=True)[1]
    edges = np.array([_steep_part(median, reach) for median in medians()])
    late = np.nan_to_num(edges - nanmedian(edges, axis=0))
    alike = np.sign(late[:, 0]) == np.sign(late[:, 1])
    off = np.where(alike, np.sign(late[:, 0]) * np.abs(late).min(axis=1), 0).round().astype(int)
    return np.clip(beats + np.clip(off, -reach, reach)[columns], 0, n - 1)


def _two_limb_leads(median: np.ndarray) -> np.ndarray | None:
    """[2, w] I and II from the limb leads of a column's median beat [12, w], None where it has but one."""
    shown = limb_leads(median)
    if len(shown) < 2:
        return None
    return fit_two(shown, median[shown])


def _late(median: np.ndarray, two: np.ndarray, reach: int) -> int:
    """Samples by which limb leads of a column's median beat [12, w] come after what I and II make them."""
    shown = limb_leads(median)
    told = (FROM_TWO[shown] @ two)[:, reach:-reach]
    views = np.lib.stride_tricks.sliding_window_view(median[shown], told.shape[1], axis=1)  # [k, lags, w]
    return int(np.argmin(((views - told[:, None]) ** 2).sum(axis=(0, 2)))) - reach


def _steep_part(median: np.ndarray, reach: int) -> tuple[float, float]:
    """Samples of [12, w] between which a median beat is steep, NaN where it is so up to an end."""
    speed = np.sqrt((np.nan_to_num(median) ** 2).mean(axis=0))
    peak = reach + int(np.argmax(speed[reach:-reach]))
    level = 2 * round(LEVEL_TOP * FS / 2) + 1
    steep = filters.least(filters.greatest(speed, level), level)
    calm = np.flatnonzero(steep < STEEP_PART * speed[peak])
    before, after = calm[calm < peak], calm[calm > peak]
    return (before[-1], after[0]) if len(before) and len(after) else (np.nan, np.nan)


def _windows(x: np.ndarray, printed: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """[b, 12, w] mV around each beat, NaN where not printed, the level before the QRS taken off."""
    n = x.shape[1]
    at = beats[:, None] + np.arange(-round(BEFORE * FS), round(AFTER * FS))  # [b, w]
    there = (at >= 0) & (at < n)
    at = np.clip(at, 0, n - 1)
    known = printed[:, at].transpose(1, 0, 2) & there[:, None]
    known &= known[:, :, column(QRS_ROOM[0]) : column(QRS_ROOM[1])].all(axis=2)[
        :, :, None
    ]  # a QRS that is cut off is of no use
    values = np.where(known, x[:, at].transpose(1, 0, 2), np.nan)
    return values - nanmedian(values[:, :, column(QRS_ROOM[0]) : column(LEVEL_END)], axis=2)[:, :, None]


def _similar(windows: np.ndarray, beats: np.ndarray) -> np.ndarray:
    """[b] bool: beats shaped like the dominant ones printed beside them."""
    b = len(windows)
    if b < 3:
        return np.ones(b, bool)
    core = windows[:, :, column(QRS_SHAPE[0]) : column(QRS_SHAPE[1])].reshape(b, -1)
    known = np.isfinite(core).astype(float)
    core = np.where(known > 0, core, 0.0)
    power = (core * core) @ known.T  # [b, b] of the one, where both are printed
    alike = 2 * (core @ core.T) / (power + power.T + 1e-9)  # 1 for the same shape at the same height
    shared = known @ known.T > 0
    # The dominant shape has the most beats like it, unless these come early.
    same = shared & (alike > _least_alike(alike, shared)[:, None])
    pause = np.append(1.0, np.diff(beats) / np.diff(beats).mean())
    score = same.sum(axis=1) * np.clip(same @ pause / np.maximum(same.sum(axis=1), 1), 0.5, 1.5)
    similar, left = np.zeros(b, bool), np.ones(b, bool)
    while left.any():
        seed = int(np.argmax(np.where(left, score, -1.0)))
        group = (shared[seed] & left) | (np.arange(b) == seed)
        similar |= group & (same[seed] | (np.arange(b) == seed))
        left &= ~group
    return similar


def _least_alike(alike: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """[b] similarity from which on others are of a beat's origin: above the gap where there are two groups.

    alike: [b, b]; shared: [b, b] bool, whether two beats can be compared.
    """
    least = np.full(len(alike), ALIKE)
    for k, (row, known) in enumerate(zip(alike, shared)):
        seen = np.sort(row[known & (row > ALIKE)])
        gaps = np.diff(seen)
        if len(gaps) >= SEVERAL and gaps.max() > APART_IN_SHAPE:
            below = int(np.argmax(gaps))
            if below + 1 >= SEVERAL:
                least[k] = seen[below : below + 2].mean()
    return least


def _hidden(beats: np.ndarray, similar: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """[k] samples of what may be weak beats: one in the middle of each pause twice as long as usual."""
    if similar.sum() < 4:
        return np.zeros(0, int)
    usual, least = median(np.diff(beats)), WEAK_BEAT * median(energy[beats[similar]])
    found = []
    for a, b in itertools.pairwise(beats):
        middle = range(round(a + MIDDLE * (b - a)), round(b - MIDDLE * (b - a)))
        if TWICE[0] * usual < b - a < TWICE[1] * usual and energy[middle].max() > least:
            found.append(middle[int(np.argmax(energy[middle]))])
    return np.array(found, int)


def _hidden_extra(peaks: np.ndarray, similar: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """[k] samples of what may be weak extra beats: where those of one focus follow others of the usual shape
    and the next one comes as late as behind them."""
    extra = np.flatnonzero(_coupled(peaks, similar, SEVERAL))
    extra = extra[extra < len(peaks) - 1]
    extra = extra[similar[extra - 1] & similar[extra + 1]]
    if len(extra) < SEVERAL:
        return np.zeros(0, int)
    after, whole = median(peaks[extra] - peaks[extra - 1]), median(peaks[extra + 1] - peaks[extra - 1])
    least = WEAK_EXTRA * median(energy[peaks[similar]])
    found = []
    for k in np.flatnonzero(similar[:-1] & similar[1:] & (np.abs(np.diff(peaks) - whole) < COUPLED * FS)):
        first = round(peaks[k] + after - COUPLED * FS)
        near = energy[first : first + round(2 * COUPLED * FS)]
        if near.max() > least:
            found.append(first + int(np.argmax(near)))
    return np.array(found, int)


def _believable(
    beats: np.ndarray, similar: np.ndarray, steepness: np.ndarray, coupled: np.ndarray
) -> np.ndarray:
    """[b] bool: False for strange shapes that the rhythm has no room for: jumps of the baseline, T waves.

    Premature beats take a beat's place or shift the rhythm; interpolated ones, and those of a bigeminy, are
    kept where steep, or where coupled ([b] bool) to the beats before.
    """
    sure = np.flatnonzero(similar)
    kept = np.ones(len(beats), bool)
    if len(sure) < 3:
        return kept
    between = np.diff(beats[sure])
    usual = median(between)
    surplus = np.zeros(len(beats), bool)
    for a, b, length in zip(sure, sure[1:], between):
        places = round(length / usual)
        strange = np.arange(a + 1, b)
        if places > 0 and abs(length - places * usual) < IN_STEP * usual and len(strange) >= places:
            phase = (beats[strange] - beats[a]) * places / length
            best = np.argsort(np.abs(phase - np.round(phase)) + (np.round(phase) % places == 0))
            surplus[strange[best[places - 1 :]]] = True
    near = round(HALF_QRS * FS)
    steep = highest(steepness, beats - near, beats + near)
    few = surplus.sum() <= max(2, FEW * len(beats))
    steep /= median(steep[sure])
    kept[surplus & (steep < (BLUNT_ONE if few else BLUNT)) & ~(coupled & (steep > STEEP_ENOUGH))] = False
    return kept


def _coupled(peaks: np.ndarray, similar: np.ndarray, several: int = TOGETHER) -> np.ndarray:
    """[b] bool: several strange shapes that come equally long after a beat of the dominant one, and neither
    where its T wave is nor where the next one's P wave is: of one focus."""
    usual = np.concatenate([[-np.inf], peaks[similar], [np.inf]])
    following = np.searchsorted(usual, peaks)
    before, after = (peaks - usual[following - 1]) / FS, (usual[following] - peaks) / FS
    to_usual = np.append(0.0, np.diff(peaks, prepend=peaks[:1])[similar] / FS)[following - 1]
    free = ~similar & np.isfinite(before) & (after > P_BEFORE)
    free &= before > np.maximum(BEHIND_T, BEHIND_T_SHARE * np.sqrt(to_usual))
    together = np.abs(before[free, None] - before[free]) < COUPLED
    free[free] = together.sum(axis=1) >= several
    return free


def _compensated(beats: np.ndarray) -> np.ndarray:
    """[b] bool: early beats after which the pause makes up for it, as after ventricular ones: the sinus node
    keeps its pace."""
    made_up, rr = np.zeros(len(beats), bool), np.diff(beats)
    if len(rr) > 2:
        usual, before, after = median(rr), rr[:-1], rr[1:]
        made_up[1:-1] = before < EARLY * usual
        made_up[1:-1] &= np.abs(before + after - 2 * usual) < COMPENSATED * usual
    return made_up


def seen_intervals(beats: np.ndarray, printed: np.ndarray) -> np.ndarray:
    """[b - 1] s from beat to beat, NaN where a long one may be two: it spans paper on which no lead would
    show a QRS whole, and neither side of that is long.

    beats: [b] samples; printed: [12, n] bool.
    """
    rr = np.diff(beats) / FS
    if not len(rr):
        return rr
    whole = filters.least(printed.astype(np.uint8), 2 * round(HALF_QRS * FS) + 1).any(axis=0)
    blind, long = np.flatnonzero(~whole), MISSED * median(rr)
    for k in np.flatnonzero(rr > long):
        inside = blind[(blind > beats[k] + REFRACTORY * FS) & (blind < beats[k + 1] - REFRACTORY * FS)]
        if len(inside) and np.diff([beats[k], *inside, beats[k + 1]]).max() <= long * FS:
            rr[k] = np.nan
    return rr


def premature_beats(beats: np.ndarray, similar: np.ndarray) -> np.ndarray:
    """[b] bool: beats that come early, unless the rhythm is so irregular that this says nothing."""
    early = np.zeros(len(beats), bool)
    if len(beats) < 4:
        return early
    rr = np.diff(beats)
    usual = median(rr)
    early[1:] = rr < EARLY * usual
    later = np.append(rr[1:], usual)
    early[1:] &= (later > usual) | ~similar[1:]
    if early.sum() > IRREGULAR * len(beats):
        early &= ~similar
    return early


def sudden_beats(rr: np.ndarray) -> np.ndarray:
    """[b] bool: beats that come early where all others are regular, the next one a whole interval later.

    Unlike `premature_beats`, which has to tell early beats in rhythms of any kind, by their pause.
    rr: [b - 1] in any unit.
    """
    if len(rr) < 4:
        return np.zeros(len(rr) + 1, bool)
    long = rr >= rr.mean()
    # Where every second beat is early, of the others; a few long ones are pauses.
    usual = median(rr[long] if long.mean() > EVERY_SECOND else rr)
    early = (rr < SOON * usual) & (np.append(rr[1:], usual) > WHOLE * usual)
    behind = np.append(False, early[:-1])
    # Where every second beat is early, each interval is one to an early beat or one behind it.
    alike = [rr[~(early | behind)]] if early.mean() < EVERY_SECOND else [rr[early], rr[~early]]
    regular = all(len(some) > 2 and np.ptp(some) < REGULAR * usual for some in alike)
    return np.append(False, early & regular)
