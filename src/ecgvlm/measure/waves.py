"""The waves of a median beat: where P, QRS and T begin and end, how high they are, which way they point.

What no source stands beside is this project's own choice, see `ecgvlm.measure.beats`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgvlm import filters
from ecgvlm.measure.signal import AFTER, BEFORE, FS, LEVEL_TOP, column, nanmedian, peaks_of
from ecgvlm.quantile import median

WAVES = ("st", "t", "q", "r", "s")  # of `LeadWaves`
BEAT_FS = 125.0  # Hz, of `Measurements.median_beat`
BEAT_START, BEAT_END = -0.3, 0.5  # s around R that `Measurements.median_beat` covers
# Feet before and after the steep part of a QRS, s: the first, less that share of the steep part, at most the
# third and never shorter than the last.
QRS_FEET = ((0.0264, 0.18, 0.0132, 0.006), (0.0296, 0.198, 0.0138, 0.006))
T_FOOT = 0.022  # from where the tangent meets its level to T's end
# A sinus P wave's usual size and sign in each lead.
SINUS_P = np.array([0.5, 1.0, 0.5, -0.75, 0.0, 0.75, 0.2, 0.4, 0.4, 0.5, 0.5, 0.5])
# Angle of each limb lead in the frontal plane (degrees), and the length of its lead vector.
LIMB = np.radians([0.0, 60.0, 120.0, -150.0, -30.0, 90.0])
LENGTH = np.array([1.0, 1.0, 1.0, 0.866, 0.866, 0.866])

# QRS, by the spatial velocity; s from R where nothing else is said.
LEVEL = (0.036, 0.008)  # s before the QRS: the level from which waves are measured
WANDER = 0.1  # mV from beat to beat; less tells nothing of what the baseline does between them
QRS_SEEN = (-0.1, 0.12)  # must be printed in a lead that helps
VELOCITY = 0.006  # s, sigma
PEAK_ROOM, QUIET_ROOM = (-0.08, 0.10), (-0.2, 0.3)  # where the highest velocity is, and noise, too
QUIETEST = 5  # one part of so many is noise
# Of the peak over the noise, where a QRS begins and ends, and mV/s of both.
ONSET_EDGE, END_EDGE, EDGE_LEAST = 0.07, 0.1, 0.5
EVEN_FROM = 0.2  # of the steepest lead: from there on all leads say as much of where a QRS ends
LONGEST_BEFORE, LONGEST_AFTER = 0.13, 0.18  # a QRS reaches so far from R
QRS_SHARE = 0.6  # of RR that its steep part may last: behind a fast wide one ST and T climb without rest
# A pacing spike, behind which a QRS begins. s: a median over so much takes it off; where it stands, from R;
# to either side of its top, that it lasts; before it, that are quiet; behind its top, where QRS may begin.
SPIKE, SPIKE_ROOM, SPIKE_HALF, SPIKE_QUIET, SPIKE_AFTER = 0.028, (-0.17, -0.02), 0.014, 0.045, 0.008
SPIKE_LEAST, SPIKE_RETURNS = 0.08, 0.8  # mV, RMS of the leads; part of its height that is quiet
CALM = 0.020  # s without velocity end a QRS; a notch is shorter
AGAIN = 0.35  # part of its peak that makes a second flank
ST_SEEN = 0.12  # s behind the last flank, in which ST is calmest

# T, by the tangent to its steepest descent (Lepeschkin and Surawicz 1952); s.
LONGEST_QT, QT_SHARE, QT_LEAST = 0.68, 0.72, 0.05  # at most the first, or that share of RR and a little more
NEXT_P = 0.12  # before the next R, no T any more
T_FROM, LEAST_T_ROOM, SHORTEST_T = 0.05, 0.1, 0.08  # after J: where T begins, in how much, its end
T_LEVEL = (0.024, 0.004)  # before the QRS: the level that T is measured from
T_TOP, T_TOP_SPREAD = 0.31, 0.3  # of the root of RR, where T's top is usual after QRS onset; of its logarithm
NEXT_P_FAR = 1.2  # RR from which on no other wave comes so early
T_SMOOTH, T_APART, T_FALL = 0.012, 0.06, 0.2  # sigma; between two tops; how long the descent may take
T_REST, T_RESTS = 0.1, 0.1  # after the steepest place, in which T comes to rest; rest's share of its slope
T_AFTER = 0.5  # share of the level after T in the one that the tangent meets, the rest is that before the QRS
USUAL_T, USUAL_ST_T = 0.25, 0.3  # from J to the end of T where that is not seen: to look for P, to measure T

# P, by what is the same before every QRS; s and mV.
P_SCORE = 0.47  # from here on a P wave is believed
LONGEST_PR = 0.44
P_WIDTH = (0.018, 0.05)  # sigmas between which a P wave lies
P_CLEAR = (0.021, 0.03)  # off the T wave before and the QRS after
P_NOISE, P_FLOOR = 0.06, 0.003  # s over which noise is taken; mV of noise that every lead has
FAST_RR, P_IN_T = 0.46, 0.06  # s: at such a pace no P wave begins so long before the T wave ends
P_APART, P_LEAST = 0.05, 0.004  # s between two bumps; mV of the lowest
P_EVEN = 8.0  # signal to noise at which there may be a P wave or not
P_ENDS, P_REACH = 0.012, 0.12  # before the QRS; before P's middle: the stretch in which P begins
# s before the QRS; by which an earlier bump is e times rarer P than U or T's end
P_USUAL, P_EARLY = 0.2, 0.12
P_SMOOTH, P_TOP, P_RISE, P_BASE = 0.008, 0.02, 0.08, 0.06  # sigma; top, rise and level before it
HELD = 0.02  # s at the ends of what is known that tell the level beyond
ST_AT = 0.06  # s after J, where ST is measured (AHA exercise standards, Fletcher et al. 2013: 60 to 80 ms)
OF_MEDIAN = 1.25  # standard error of a median, in that of a mean (normal errors)
LEAST_R = 0.03  # mV; a QRS without it is a QS
FIRST_R = 0.05  # mV that go up first; what follows is an S wave, no Q (MC 1: a Q wave has no R before it)


@dataclass(frozen=True)
class LeadWaves:
    """The median beat of one lead, in mV against the baseline: ST level (J + 60 ms), T, Q, R and S peaks.

    Q and S are negative or 0, R is positive or 0; T is signed. Q comes before any R, S behind one.
    learned: Q and S as the weights learned them, where they are others: all before the highest R is Q.
    """

    st: float
    t: float
    q: float
    r: float
    s: float
    learned: tuple[float, float] | None = None

    @property
    def depth(self) -> float:
        """mV that the QRS goes down."""
        return -min(self.q, self.s)

    def as_learned(self) -> LeadWaves:
        """These waves as the weights know them."""
        if self.learned is None:
            return self
        q, s = self.learned
        return LeadWaves(self.st, self.t, q, self.r, s)


@dataclass(frozen=True)
class Feet:
    """s by which the waves reach beyond their steep edges: before P and QRS (PR, like that of hand marks, is
    what lies between steep edges), after QRS, after T.
    """

    before: float
    after: float
    t: float = T_FOOT

    @classmethod
    def of(cls, steep: float) -> Feet:
        """steep: s that the steep part of the QRS lasts."""
        return cls(*(min(max(foot - lost * steep, least), most) for foot, lost, most, least in QRS_FEET))

    @property
    def qrs_ms(self) -> float:
        """ms by which a QRS is longer than its steep part."""
        return 1000 * (self.before + self.after)

    @property
    def qt_ms(self) -> float:
        """ms by which QT is longer than from the steep onset to the tangent's end."""
        return 1000 * (self.before + self.t)


@dataclass(frozen=True)
class Marks:
    """Steep edges, s relative to R in the median beat."""

    qrs_onset: float
    j: float
    t_end: float | None

    @property
    def feet(self) -> Feet:
        return Feet.of(self.j - self.qrs_onset)


def median_beat(windows: np.ndarray, basic: np.ndarray) -> np.ndarray:
    """[12, w] mV: of the basic beats, or of all beats in a lead that shows no basic one."""
    if not len(windows):
        return np.full(windows.shape[1:], np.nan)
    median = nanmedian(windows[basic], axis=0)
    missing = ~np.isfinite(median).any(axis=1)
    median[missing] = nanmedian(windows[:, missing], axis=0)
    return median


def level_before(windows: np.ndarray, onset: float) -> np.ndarray:
    """[..., 1] mV just before the QRS."""
    part = windows[..., max(0, column(onset - LEVEL[0])) : max(1, column(onset - LEVEL[1]))]
    return np.nan_to_num(nanmedian(part, axis=-1))[..., None]


def wander(x: np.ndarray, printed: np.ndarray, beats: np.ndarray, onset: float) -> np.ndarray:
    """[b, 12, w] mV by which the baseline rises around each beat, from its QRS onset on; 0 where it is calm.

    x: [12, n] mV, printed: [12, n] bool, beats: [b] samples. Straight from the level before a QRS to that
    before the next one in the same strip; behind a strip's last beat on as it came.
    """
    at = np.clip(
        beats[:, None] + np.arange(column(onset - LEVEL[0]), column(onset - LEVEL[1])) - column(0.0),
        0,
        x.shape[1] - 1,
    )
    levels = nanmedian(np.where(printed[:, at], x[:, at], np.nan), axis=2)  # [12, b]
    gone = np.cumsum(~printed, axis=1)[:, beats]  # [12, b] samples that are not printed, up to each beat
    rise = np.where(np.diff(gone, axis=1) == 0, np.diff(levels, axis=1), np.nan)
    slope = np.where(np.abs(rise) > WANDER, rise, 0.0 * rise) / np.diff(beats)  # [12, b - 1] mV a sample
    unknown = np.full((12, 1), np.nan)
    after, before = np.hstack([slope, unknown]), np.hstack([unknown, slope])
    slope = np.nan_to_num(np.where(np.isfinite(after), after, before))
    return slope.T[:, :, None] * (np.arange(-round(BEFORE * FS), round(AFTER * FS)) - onset * FS)


def qrs_width_ms(window: np.ndarray) -> float:
    """QRS of one beat ([12, w] mV) in ms, NaN where it has no clear edges."""
    edges = _qrs(window)
    if edges is None:
        return np.nan
    steep = edges[1] - edges[0]
    return 1000 * steep + Feet.of(steep).qrs_ms


def delineate(median: np.ndarray, rr: float) -> Marks | None:
    """QRS onset and end from the spatial velocity, T end from a tangent. rr: s to the next beat."""
    edges = _qrs(median)
    if edges is None:
        return None
    onset, end = edges[0], min(edges[1], edges[0] + QRS_SHARE * rr)
    return Marks(onset, end, _t_end(median, onset, end, rr))


def _qrs(median: np.ndarray) -> tuple[float, float] | None:
    """Where the spatial velocity rises from its noise and falls back to it, in s from R.

    It begins by all leads as they are, and ends by all as if of one height: what comes last is often seen in
    small leads alone. To begin likewise made LUDB's pages no better and normal hearts wider.
    """
    rows = np.flatnonzero(np.isfinite(median[:, column(QRS_SEEN[0]) : column(QRS_SEEN[1])]).all(axis=1))
    if not rows.size:
        return None
    y = median[rows]
    filled = np.where(np.isfinite(y), y, 0.0)
    speed = filters.gaussian(filled, VELOCITY * FS, 1) * FS
    steepest = np.abs(speed[:, column(-LONGEST_BEFORE) : column(LONGEST_AFTER)]).max(axis=1)
    if steepest.max() <= 0:
        return None
    onset = _onset(np.sqrt((speed**2).mean(axis=0)))
    even = speed / np.maximum(steepest, EVEN_FROM * steepest.max())[:, None]
    end = _end(np.sqrt((even**2).mean(axis=0) * (steepest**2).mean()))
    if onset is None or end is None:
        return None
    spike_end = _spike_end(filled)
    first = onset / FS - BEFORE
    return first if spike_end is None else max(first, spike_end), end / FS - BEFORE


def _onset(velocity: np.ndarray) -> float | None:
    """The sample at which a QRS begins. velocity: [w] mV/s."""
    peak, noise = _peak_and_noise(velocity)
    limit = _limit(noise, peak, ONSET_EDGE)
    return _edge(velocity, column(-LONGEST_BEFORE), column(0.0), limit, limit + AGAIN * (peak - limit), -1)


def _end(velocity: np.ndarray) -> float | None:
    """The sample at which a QRS ends. velocity: [w] mV/s."""
    peak, noise = _peak_and_noise(velocity)
    limit = _limit(noise, peak, END_EDGE)
    again = limit + AGAIN * (peak - limit)
    limit = _limit(max(noise, _rest(velocity, again)), peak, END_EDGE)
    return _edge(velocity, column(0.0), column(LONGEST_AFTER), limit, again, 1)


def _peak_and_noise(velocity: np.ndarray) -> tuple[float, float]:
    """mV/s of a QRS and of the quietest part around it. velocity: [w] mV/s."""
    quiet = np.sort(velocity[column(QUIET_ROOM[0]) : column(QUIET_ROOM[1])])
    peak = velocity[column(PEAK_ROOM[0]) : column(PEAK_ROOM[1])].max()
    return float(peak), float(quiet[: len(quiet) // QUIETEST].mean())


def _limit(rest: float, peak: float, edge: float) -> float:
    """mV/s at which a QRS of this peak begins or ends, above the rest beside it."""
    return rest + max(edge * (peak - rest), EDGE_LEAST)


def _rest(velocity: np.ndarray, again: float) -> float:
    """mV/s at which ST is calmest, behind the last flank of the QRS.

    An ST segment that is raised, or that goes against a wide QRS, climbs all the way to the top of T.
    """
    first, last = column(0.0), column(LONGEST_AFTER)
    flank = first + int(np.flatnonzero(velocity[first:last] >= again).max(initial=0))
    calm = filters.mean(velocity[flank : flank + round(ST_SEEN * FS)], round(CALM * FS))
    return float(calm.min())


def _spike_end(y: np.ndarray) -> float | None:
    """s from R where the spike of a pacemaker before the QRS of a median beat [k, w] mV has ended.

    A spike rises out of quiet and falls back to where it rose from, in all leads at once.
    """
    first, last, wide = column(SPIKE_ROOM[0]), column(SPIKE_ROOM[1]), round(SPIKE * FS)
    room = y[:, first - wide : last + wide]
    thin = np.sqrt(((room - filters.median(room, wide, "edge")) ** 2).mean(axis=0))[wide:-wide]
    at = first + int(np.argmax(thin))
    height = float(thin[at - first])
    half, far = round(SPIKE_HALF * FS), round(SPIKE_QUIET * FS)
    before = y[:, at - far : at - half + 1]
    moved = np.column_stack([before[:, :-1] - before[:, -1:], y[:, at + half] - y[:, at - half]])
    quiet = np.sqrt((moved**2).mean(axis=0)).max() < SPIKE_RETURNS * height
    return (at + SPIKE_AFTER * FS) / FS - BEFORE if height > SPIKE_LEAST and quiet else None


def _edge(velocity: np.ndarray, first: int, last: int, limit: float, again: float, step: int) -> float | None:
    """Outwards from R: where the limit is left for `CALM` of quiet that no second flank ends, in samples.

    again: the velocity of such a flank, behind a level top.
    """
    order = range(last, first, -1) if step < 0 else range(first, last)
    calm, beyond = round(CALM * FS), round((LEVEL_TOP - CALM) * FS)
    quiet, edge = 0, None
    for i in order:
        if velocity[i] > limit:
            quiet, edge = 0, i
        elif edge is not None:
            quiet += 1
            if quiet < calm:
                continue
            ahead = velocity[max(first, i - beyond) : i] if step < 0 else velocity[i : min(last, i + beyond)]
            if (ahead < again).all():
                break
    if edge is None or velocity[edge + step] >= limit:  # at the end of the room
        return edge
    return edge + step * float((velocity[edge] - limit) / (velocity[edge] - velocity[edge + step]))


def _t_end(median: np.ndarray, onset: float, j: float, rr: float) -> float | None:
    """Where the tangent to T's steepest descent meets the level half way between that before the QRS and that
    at which T comes to rest, on the leads weighted by their T."""
    last = min(AFTER - HELD, onset + min(LONGEST_QT, QT_SHARE * rr + QT_LEAST), rr - NEXT_P)
    first = j + T_FROM
    if last - first < LEAST_T_ROOM:
        return None
    part = median[:, column(first) : column(last)]
    rows = np.isfinite(part).all(axis=1)
    if not rows.any():
        return None
    level = nanmedian(median[:, column(onset - T_LEVEL[0]) : column(onset - T_LEVEL[1])], axis=1)[rows]
    y = filters.gaussian(part[rows] - np.nan_to_num(level)[:, None], T_SMOOTH * FS)
    power = np.sqrt((y**2).mean(axis=0))
    tops = peaks_of(power, round(T_APART * FS))
    if not len(tops):
        return None
    likely = power[tops]
    if rr < NEXT_P_FAR:  # a flat T may be lower than a U wave or the next P
        late = np.log((first - onset + tops / FS) / (T_TOP * rr**0.5)) / T_TOP_SPREAD
        likely = likely * np.exp(-(late**2) / 2)
    top = int(tops[np.argmax(likely)])
    wave = y[:, top] @ y / max(float(np.linalg.norm(y[:, top])), 1e-9)  # [w] along T's own direction
    fall = np.gradient(wave)
    tail = fall[top : top + round(T_FALL * FS)]
    if len(tail) < 5:
        return None
    steepest = top + int(np.argmin(tail))
    if fall[steepest] >= 0:
        return None
    descent = fall[steepest : steepest + round(T_REST * FS)]
    rests = np.flatnonzero(descent > T_RESTS * fall[steepest])
    after = T_AFTER * wave[steepest + rests[0]] if len(rests) else 0.0
    end = steepest - (wave[steepest] - after) / fall[steepest]
    seconds = first + end / FS
    return float(seconds) if j + SHORTEST_T < seconds < AFTER else None


def find_p(
    windows: np.ndarray, rr_before: np.ndarray, marks: Marks
) -> tuple[float | None, float | None, float]:
    """P onset and end (s relative to R, None without a P wave or where unclear), and the evidence for one
    (0..1).

    windows: [b, 12, w] mV of basic beats; rr_before: [b] s. A P wave is a bump at the same distance before
    every QRS: its mean over the beats is large against what differs between them, unlike in fibrillation.
    """
    onset, t_end = marks.qrs_onset, marks.j + USUAL_T if marks.t_end is None else marks.t_end
    windows = windows[:, :, : column(onset)]
    grid = np.arange(windows.shape[2]) / FS - BEFORE
    # Only what lies between the T wave before and the QRS, held constant beyond: the filters ring at neither.
    clear = np.maximum(t_end - rr_before, -LONGEST_PR)  # [b]
    between = (grid >= clear[:, None]) & (grid < onset - LEVEL[1])
    usable = np.isfinite(windows) & between[:, None]
    held = _hold(np.where(usable, windows, np.nan))
    bumps = filters.gaussian(held, P_WIDTH[0] * FS)
    bumps -= filters.gaussian(held, P_WIDTH[1] * FS)
    usable &= (grid >= clear[:, None] + P_CLEAR[0])[:, None] & (grid < onset - P_CLEAR[1])
    count = usable.sum(axis=0)  # [12, w]
    mean = np.where(usable, bumps, 0.0).sum(axis=0) / np.maximum(count, 1)
    spread = (np.where(usable, bumps - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    known = count >= 2
    if not known.any():
        return None, None, 0.0
    signal = np.where(known, count * mean**2, 0.0).sum(axis=0)
    noise = np.where(known, spread, 0.0).sum(axis=0)
    usual = filters.mean(noise, round(P_NOISE * FS))
    ratio = signal / (usual + known.sum(axis=0) * P_FLOOR**2 + 1e-9)  # [w]
    size = np.sqrt(np.where(known, mean**2, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
    # Sinus P waves point down and left; the end of an upright T wave bends the other way.
    ratio *= np.where(np.where(known, mean, 0.0).T @ SINUS_P < 0, 0.5, 1.0)
    tops = peaks_of(ratio, round(P_APART * FS))
    tops = tops[size[tops] > P_LEAST]
    if not len(tops):
        return None, None, 0.0
    early = np.maximum(0.0, onset - grid[tops] - P_USUAL)
    top = int(tops[np.argmax(ratio[tops] * np.exp(-early / P_EARLY))])
    score = float(ratio[top] / (ratio[top] + P_EVEN))
    if score < P_SCORE:
        return None, None, score
    rows = known[:, top]
    beat = nanmedian(windows[:, rows], axis=0)
    p_onset, p_end = _p_edges(beat, mean[rows, top], top, column(onset - P_ENDS))
    rr, after_t = median(rr_before), median(clear)
    if p_onset is not None and rr < FAST_RR and p_onset < after_t - P_IN_T:
        return None, None, score  # what rises there is the T wave
    return p_onset, p_end, score


def _p_edges(
    beat: np.ndarray, direction: np.ndarray, top: int, last: int
) -> tuple[float | None, float | None]:
    """Where the tangents to P's steepest rise and fall leave the levels beside it, in s relative to R.

    beat: [k, w] mV of the leads that show P; direction: [k] its size in each; top, last: columns of P's
    middle and of the QRS.
    """
    first = max(0, top - round(P_REACH * FS))
    part = filters.gaussian(np.nan_to_num(beat[:, first:last]), P_SMOOTH * FS)
    wave = direction @ part / max(float(np.linalg.norm(direction)), 1e-9)
    near = max(0, top - first - round(P_TOP * FS))
    peak = near + int(np.argmax(wave[near : top - first + round(P_TOP * FS) + 1]))
    rise = np.gradient(wave)
    edges = [
        _foot(wave, rise, range(max(0, peak - round(P_RISE * FS)), peak), -1),
        _foot(wave, rise, range(peak + 1, min(len(wave), peak + 1 + round(P_RISE * FS))), 1),
    ]
    start, end = (None if x is None else float((first + x) / FS - BEFORE) for x in edges)
    return start, end


def _foot(wave: np.ndarray, rise: np.ndarray, flank: range, away: int) -> float | None:
    """Column where the tangent to a flank's steepest place meets the lowest level beyond (away from the top:
    -1 before, 1 after)."""
    if len(flank) < 3:
        return None
    steepest = max(flank, key=lambda i: -away * rise[i])
    if -away * rise[steepest] <= 0:
        return None
    first, last = sorted((steepest, steepest + away * round(P_BASE * FS)))
    level = float(wave[max(0, first) : last + 1].min())
    return steepest - (wave[steepest] - level) / rise[steepest]


def _hold(values: np.ndarray) -> np.ndarray:
    """[b, 12, w] with NaN at both ends of a row replaced by the mean of `HELD` s beside, 0 in empty rows."""
    finite = np.isfinite(values)
    w, few = values.shape[2], round(HELD * FS)
    first, last = finite.argmax(axis=2)[..., None], w - 1 - finite[..., ::-1].argmax(axis=2)[..., None]
    at = np.arange(w)
    filled = np.where(finite, values, 0.0)
    totals = np.cumsum(filled, axis=2)

    def total(i: np.ndarray) -> np.ndarray:
        return np.take_along_axis(totals, np.clip(i, 0, w - 1), axis=2)

    head = (total(first + few - 1) - total(first) + np.take_along_axis(filled, first, axis=2)) / few
    tail = (total(last) - total(last - few)) / few
    return np.where(at < first, head, np.where(at > last, tail, filled))


def frontal_axis(median: np.ndarray, marks: Marks) -> float | None:
    """Mean frontal QRS axis in degrees, from the areas of at least two limb leads."""
    part = median[:6, column(marks.qrs_onset) : column(marks.j) + 1]
    rows = np.flatnonzero(np.isfinite(part).all(axis=1))
    if len(rows) < 2:
        return None
    area = part[rows].sum(axis=1)
    field = LENGTH[rows, None] * np.stack([np.cos(LIMB[rows]), np.sin(LIMB[rows])], axis=1)
    x, y = np.linalg.lstsq(field, area, rcond=None)[0]
    return float(np.degrees(np.arctan2(y, x)))


def thinned(median: np.ndarray) -> np.ndarray:
    """[12, 100] float32: the median beat at BEAT_FS."""
    step = round(FS / BEAT_FS)
    smooth = median / 2 + (np.roll(median, 1, axis=1) + np.roll(median, -1, axis=1)) / 4
    beat = smooth[:, column(BEAT_START) : column(BEAT_END) : step].astype(np.float32)
    beat[~np.isfinite(beat).all(axis=1)] = np.nan
    return beat


def level_errors(windows: np.ndarray, median: np.ndarray, marks: Marks | None) -> np.ndarray:
    """[12] mV: standard error of each lead's median beat from J to the end of T, by what its beats differ.

    windows: [b, 12, w] mV of the basic beats against the level before their QRS, median: [12, w] of them. A
    lead with one beat has that of a usual lead's single beat, one with none has 0.
    """
    if marks is None or not len(windows):
        return np.zeros(len(median))
    end = marks.j + USUAL_ST_T if marks.t_end is None else marks.t_end
    span = slice(column(marks.j), column(end))
    away = windows[:, :, span] - median[:, span]
    whole = np.isfinite(away).all(axis=2)  # [b, 12]
    count = whole.sum(axis=0)
    power = np.where(whole, (np.nan_to_num(away) ** 2).mean(axis=2), 0.0).sum(axis=0)
    spread = np.sqrt(power / np.maximum(count - 1, 1))
    several = count > 1
    spread[~several] = nanmedian(spread[several], axis=0) if several.any() else 0.0
    return np.where(count > 0, OF_MEDIAN * spread / np.sqrt(np.maximum(count, 1)), 0.0)


def lead_waves(row: np.ndarray, marks: Marks | None) -> LeadWaves | None:
    """The waves of one lead's median beat, whose level before the QRS is 0."""
    if marks is None:
        return None
    qrs = row[column(marks.qrs_onset) : column(marks.j) + 1]
    t_last = marks.t_end if marks.t_end is not None else marks.j + USUAL_ST_T
    rest = row[column(marks.j + ST_AT) : column(t_last)]
    if not (np.isfinite(qrs).all() and len(rest) > 3 and np.isfinite(rest).all()):
        return None
    top, learned = int(np.argmax(qrs)), None
    r = max(0.0, float(qrs[top]))
    if r < LEAST_R:
        q, r, s = min(0.0, float(qrs.min())), 0.0, 0.0
    else:
        low = int(np.argmin(qrs[: top + 1]))
        q, s = min(0.0, float(qrs[low])), min(0.0, float(qrs[top:].min()))
        if qrs[: low + 1].max() - max(0.0, float(qrs[0])) >= FIRST_R:
            learned, q, s = (q, s), 0.0, min(q, s)
    st = float(rest[0])
    t = float(rest[np.argmax(np.abs(rest[3:])) + 3])
    return LeadWaves(st, t, q, r, s, learned)
