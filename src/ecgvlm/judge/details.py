"""How the waves of the median beat look, in numbers: what heights and intervals alone do not tell.

Each lead's P, QRS, ST and T, the heart's vector in space, and how the beats follow each other. The trees of
the findings encoder look at these beside the measurements.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecgvlm.judge.facts import NEIGHBOURS, NOBODY, beat_facts, shape_facts
from ecgvlm.measure import BEAT_FS, BEAT_START, Measurements
from ecgvlm.quantile import median
from ecgvlm.record import LEADS

# X (left), Y (foot), Z (back) from V1 to V6, I and II: Dower et al. 1988, J Electrocardiol 21 Suppl.
_DOWER = np.array([
    [-0.172, -0.074, 0.122, 0.231, 0.239, 0.194, 0.156, -0.010],
    [0.057, -0.019, -0.106, -0.022, 0.041, 0.048, -0.227, 0.887],
    [-0.229, -0.310, -0.246, -0.063, 0.055, 0.108, 0.022, 0.102],
])  # fmt: skip
_OF_DOWER = [LEADS.index(lead) for lead in ("V1", "V2", "V3", "V4", "V5", "V6", "I", "II")]
_QRS, _P, _T = 24, 24, 30  # samples that each wave is drawn with
_BEFORE_QRS = 0.02  # s before the QRS at which a P wave has ended
_USUAL_P, _USUAL_T = 0.2, 0.28  # s before the QRS and after it, where P begins and T ends if that is unknown
_NOTCH = 0.03  # part of the QRS's height from which on a step up or down is a turn
_PLANES = (("frontal", 0, 1), ("horizontal", 0, 2), ("sagittal", 1, 2))
_OF_LEAD = (
    "qrs_area", "qrs_height", "r_time", "s_time", "steepest", "rough", "turns", "start", "end", "j", "j60",
    "j80", "st_slope", "t_peak", "t_max", "t_min", "t_place", "t_area", "t_last", "t_to_qrs", "p_max",
    "p_min", "p_first", "p_second",
)  # fmt: skip
_IN_SPACE = (
    "qrs_size", "qrs_place", "t_size", "p_size", "p_sum", "angle_of_means", "angle_of_peaks",
    *(f"{wave}_{plane}" for wave in ("qrs", "t") for plane, _, _ in _PLANES[:2]),
    *(f"loop_{plane}" for plane, _, _ in _PLANES),
)  # fmt: skip
_OF_CHEST = ("all_heights", "transition", "right_r", "most_r_s", "cornell_product", "sokolow_product")
_FACTS = (
    "sokolow_mv", "cornell_mv", "peguero_mv", "limb_qrs_mv", "chest_qrs_mv", "r_s_v1", "s_v6_mv", "p_ii_mv",
    "p_ms", "p_terminal_mvms", "p_axis_off_deg", "delta_ms", "steep_qrs_ms", "late_v1_mv", "s_wide_ms",
    "r_peak_v6_ms", "q_v6_mv",
    *(
        f"{sign}_{wall}_{unit}"
        for sign, unit in (("q", "ms"), ("st_up", "mv"), ("st_down", "mv"), ("t_down", "mv"))
        for wall in NEIGHBOURS
    ),
)  # fmt: skip
_OF_BEATS = (
    "early_ventricular", "early_same", "bigeminy", "trigeminy", "longest_rr_ms", "rr_range_ms", "grouped_rr",
    "doubled_rr",
)  # fmt: skip
_BESIDE_BEATS = ("shortest_rr", "longest_rr", "rr_step", "rr_swing", "unlike", "wider_ms")
DETAIL_NAMES = (
    *(f"{lead}.{name}" for lead in LEADS for name in _OF_LEAD),
    *(f"space.{name}" for name in _IN_SPACE),
    *(f"chest.{name}" for name in _OF_CHEST),
    *(f"fact.{name}" for name in _FACTS),
    *(f"beats.{name}" for name in (*_OF_BEATS, *_BESIDE_BEATS)),
)


def details(m: Measurements) -> np.ndarray:
    """[len(DETAIL_NAMES)] float32, NaN where unknown: mV, ms, degrees."""
    learned = {lead: waves and waves.as_learned() for lead, waves in m.waves.items()}
    facts = shape_facts(replace(m, waves=learned), NOBODY) | beat_facts(m)
    weighed = [facts[name].value for name in (*_FACTS, *_OF_BEATS)]
    if m.qrs_onset is None or m.j_point is None:
        drawn = np.full(len(DETAIL_NAMES) - len(weighed) - len(_BESIDE_BEATS), np.nan)
    else:
        drawn = _drawn(m, m.qrs_onset, m.j_point)
    return np.concatenate([drawn, np.array(weighed, float), _beats(m)]).astype(np.float32)


def _beats(m: Measurements) -> np.ndarray:
    """[len(_BESIDE_BEATS)]: the shortest and longest RR interval, their step from beat to beat and the swing
    of their mean over three, in parts of the median; beats of another shape, and ms that they are wider."""
    shortest = longest = step = swing = wider = unlike = np.nan
    rr = m.rr[np.isfinite(m.rr)]
    if len(rr):
        rr = rr / median(rr)
        shortest, longest = rr.min(), rr.max()
    if len(rr) > 1:
        step = median(np.abs(np.diff(rr)))
    if len(rr) > 3:
        swing = np.ptp(np.convolve(rr, np.ones(3) / 3, "valid"))
    usual, other = (m.widths_ms[x & np.isfinite(m.widths_ms)] for x in (m.alike, ~m.alike))
    if len(usual) and len(other):
        wider = other.max() - median(usual)
    if len(m.beats):
        unlike = float((~m.alike).sum())
    return np.array([shortest, longest, step, swing, unlike, wider])


def _drawn(m: Measurements, onset: float, j: float) -> np.ndarray:
    """All but the facts. onset, j: s from R."""
    beat = m.median_beat.astype(float)
    beat[~np.isfinite(beat).all(1)] = np.nan
    t_end = j + _USUAL_T if m.t_end is None else m.t_end
    first = max(onset - _USUAL_P if m.p_onset is None else m.p_onset, BEAT_START)
    last = max(onset - _BEFORE_QRS, first + _BEFORE_QRS)
    qrs, t = _between(beat, onset, j, _QRS), _between(beat, j + 0.06, t_end, _T)
    p, st = _between(beat, first, last, _P), _between(beat, j, j + 0.08, 5)
    step = 1000 * (j - onset) / (_QRS - 1)
    each = np.stack([*_qrs(qrs, step), *_st_t(st, t, 1000 * (t_end - j - 0.06), qrs), *_p(p)], 1)
    vectors = [_DOWER @ wave[_OF_DOWER] for wave in (qrs, t, p)]
    return np.concatenate([each.ravel(), _space(*vectors), _chest(qrs, (m.qrs_ms or 100.0) / 100)])


def _between(beat: np.ndarray, first: float, last: float, n: int) -> np.ndarray:
    """[12, n] mV at n times from first to last (s from R)."""
    place = np.clip((np.linspace(first, last, n) - BEAT_START) * BEAT_FS, 0, beat.shape[1] - 1)
    low = np.minimum(place.astype(int), beat.shape[1] - 2)
    part = place - low
    return beat[:, low] * (1 - part) + beat[:, low + 1] * part


def _qrs(qrs: np.ndarray, step: float) -> list[np.ndarray]:
    """Nine of `_OF_LEAD`. qrs: [12, `_QRS`], step ms apart."""
    height, change = np.ptp(qrs, axis=1), np.diff(qrs, axis=1)
    edge = max(1, round(30 / step))
    return [
        qrs.sum(1) * step,
        height,
        _place(qrs) * step,
        _place(-qrs) * step,
        np.abs(change).max(1) / step,
        np.abs(change).sum(1) / (height + 0.05),
        _turns(change, _NOTCH * (height + 0.1)),
        qrs[:, :edge].mean(1),
        qrs[:, -edge:].mean(1),
    ]


def _place(wave: np.ndarray) -> np.ndarray:
    """[12] column of each row's highest value, NaN where it is unknown."""
    return np.where(np.isfinite(wave[:, 0]), np.argmax(wave, 1), np.nan)


def _turns(change: np.ndarray, least: np.ndarray) -> np.ndarray:
    """[12]: how often each lead turns, steps smaller than least ([12]) left out; NaN where unknown."""
    turns = np.full(len(change), np.nan)
    for k in np.flatnonzero(np.isfinite(least)):
        signs = np.sign(change[k][np.abs(change[k]) > least[k]])
        turns[k] = (signs[1:] != signs[:-1]).sum()
    return turns


def _st_t(st: np.ndarray, t: np.ndarray, t_ms: float, qrs: np.ndarray) -> list[np.ndarray]:
    """Eleven of `_OF_LEAD`. st: [12, 5] from J to 80 ms after it; t: [12, `_T`] over t_ms."""
    place = _place(np.abs(t))
    peak = t[np.arange(len(t)), np.argmax(np.abs(t), 1)]
    return [
        st[:, 0], st[:, 3], st[:, 4], st[:, 4] - st[:, 0], peak, t.max(1), t.min(1), place / (_T - 1.0),
        t.mean(1) * t_ms, t[:, 2 * _T // 3 :].min(1), peak / (np.ptp(qrs, axis=1) + 0.1),
    ]  # fmt: skip


def _p(p: np.ndarray) -> list[np.ndarray]:
    """Four of `_OF_LEAD`. p: [12, `_P`]."""
    return [p.max(1), p.min(1), p[:, : _P // 2].mean(1), p[:, _P // 2 :].mean(1)]


def _space(qrs: np.ndarray, t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """[len(_IN_SPACE)], NaN unless I, II and V1 to V6 are known. qrs, t, p: [3, n] mV, the heart's vector."""
    sizes = [np.linalg.norm(wave, axis=0) for wave in (qrs, t, p)]
    most = [wave[:, int(np.argmax(size))] for wave, size in zip((qrs, t), sizes)]
    loops = [(qrs[a, :-1] * np.diff(qrs[b]) - qrs[b, :-1] * np.diff(qrs[a])).sum() for _, a, b in _PLANES]
    directions = [np.degrees(np.arctan2(wave[b], wave[a])) for wave in most for _, a, b in _PLANES[:2]]
    return np.array([
        sizes[0].max(), np.argmax(sizes[0]) / (_QRS - 1), sizes[1].max(), sizes[2].max(), np.abs(p).sum(),
        _angle(qrs.mean(1), t.mean(1)), _angle(*most), *directions, *loops,
    ])  # fmt: skip


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees between two vectors."""
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-6)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _chest(qrs: np.ndarray, width: float) -> np.ndarray:
    """[len(_OF_CHEST)]: sums of heights, NaN where a lead is unknown. width: of the QRS, in 100 ms."""
    r, s = qrs[6:].max(1), -qrs[6:].min(1)
    transition = float(np.argmax(np.append(r > s, True))) if np.isfinite(r).all() else np.nan
    cornell = qrs[LEADS.index("aVL")].max() + s[2]
    sokolow = r[4:].max() + s[0]
    return np.array([
        np.ptp(qrs, axis=1).sum(), transition, r[:4].sum(), r.max() + s.max(), cornell * width,
        sokolow * width,
    ])  # fmt: skip
