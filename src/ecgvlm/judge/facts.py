"""What criteria weigh: numbers measured on a page, each with its error, by name.

Errors are standard deviations. Those of rate, intervals and axis are what clean pages of LUDB and simulated
hearts gave (benchmarks/results/ludb.json and measure.json: 1.48 times the median absolute error); those of
amplitudes are the width of a printed line and the error of a page's gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ecgvlm.judge.atria import blocked_half_way, fibrillatory_waves, find_atria, flutter_waves
from ecgvlm.judge.fibrillation import leakage
from ecgvlm.judge.pacing import find_spikes
from ecgvlm.measure import BEAT_FS, BEAT_START, Measurements
from ecgvlm.measure.beats import sudden_beats
from ecgvlm.measure.waves import P_SCORE
from ecgvlm.quantile import median, quantile, quantiles
from ecgvlm.record import LEADS

ERRORS = {"heart_rate_bpm": 1.0, "pr_ms": 8.5, "qrs_ms": 9.0, "qt_ms": 12.0, "qtc_ms": 14.0, "axis_deg": 4.0}
_LINE_MV, _GAIN = 0.03, 0.06  # error of an amplitude: absolute, and relative
_TIME_MS = 6.0  # error of a duration inside one lead
# Neighbours in space (Fourth Universal Definition of MI 2018): of these, two beside each other must agree.
NEIGHBOURS = {
    "anterior": (("V1", "V2"), ("V2", "V3"), ("V3", "V4")),
    "inferior": (("II", "aVF"), ("aVF", "III"), ("II", "III")),
    "lateral": (("I", "aVL"), ("V5", "V6"), ("V4", "V5")),
}
_FAST_BEYOND, _SLOW_BELOW = 100, 60  # Bazett's correction overdoes beyond these; Fridericia's then counts
_GROWS_MS, _CLEAR_TRAIN = 40.0, 4.0  # PR before less PR after a dropped beat; score of a P train beyond doubt
_PR_PER_BPM = 0.26  # ms by which a PR interval is shorter with each beat a minute
_RETROGRADE_PR = 120.0  # ms; an inverted P wave further before the QRS comes of the atria
_SINUS_P_AXIS = 45.0  # degrees, the middle of what sinus P waves have
# Flutter that conducts 2:1: variation of RR intervals, degrees off the usual P axis, ms before a fast QRS.
_UNVARYING, _OFF_SINUS, _LONG_PR = 0.03, 35.0, 190.0
_MOST_HALF_FLUTTER = 160.0  # bpm, half of what flutter mostly is at most
_PAUSE = 1.8  # usual RR intervals; no breath makes one so long
# Usual RR intervals that a lone pause lasts, and by which all others differ at most; share of pauses at most.
_LONG, _ALL_ALIKE, _RARE = 1.3, 0.12, 0.25
_BOUND_P, _MANY_EXTRA = 0.7, 0.25  # score of P waves before the QRS; share of beats that are extra ones
_SHRINKS_MS = 20.0  # RR behind a pause less RR before it; two are read to 8 ms each
_LEAST_FLUTTER, _NEARLY_AS_STEADY = 225.0, 0.1  # bpm, the limit of its definition; share
_FOUR = 3.6  # flutter waves for each QRS
# Variation of RR intervals below which fibrillation is none that conducts; bpm of an escape rhythm at most.
_NOT_IRREGULAR, _MOST_ESCAPE = 0.04, 60
_TWICE = 2.5  # P waves for each QRS; more are no 2:1 block
_SEARCHED_BELOW = 100  # bpm: above, P waves hide in T waves
IRREGULAR = 0.12  # variation of RR intervals from which on a rhythm is called irregular
_WIDE_QRS, _OWN_ST = 0.13, 0.25  # s; ST of a QRS so wide goes against it: so much of its depth at most


@dataclass(frozen=True)
class Fact:
    """One number; None where it cannot be measured on this page. error: its standard deviation.

    limit: what it is compared with where that depends on the lead. leads: where it was found.
    """

    value: float | None
    error: float = 0.0
    limit: float | None = None
    leads: tuple[str, ...] = ()


UNKNOWN = Fact(None)


@dataclass(frozen=True)
class Person:
    """Age in years and sex ("M" or "F") where the page or the caller tells; None where unknown."""

    age: float | None = None
    sex: str | None = None


NOBODY = Person()


def find_facts(
    leads: np.ndarray, fs: float, m: Measurements, network: Mapping[str, float], person: Person
) -> dict[str, Fact]:
    """Everything that `criteria.toml` names. leads: [12, n] mV at fs Hz; network: its probabilities."""
    return {**seen_facts(leads, fs, m, person), "sinus": sinus(network)}


def seen_facts(leads: np.ndarray, fs: float, m: Measurements, person: Person) -> dict[str, Fact]:
    """What of it the leads tell themselves."""
    facts = {name: Fact(_whole(getattr(m, name)), error) for name, error in ERRORS.items()}
    facts |= _rhythm(leads, fs, m)
    facts |= _recording(leads, fs, m)
    facts |= shape_facts(m, person)
    facts["flutter_two_to_one"] = _two_to_one(facts, m)
    facts["pr_at_70_ms"] = _at_70(m)
    return facts


def sinus(network: Mapping[str, float]) -> Fact:
    """What the network's probabilities say for a sinus rhythm against others that are taken for it."""
    other = max(network.get(code, 0.0) for code in ("AF", "AFLT", "PACE"))
    own = max(network.get(code, 0.0) for code in ("SR", "SB", "ST", "SARRH"))
    return Fact(own / max(own + other, 1e-6) if network else None, 0.15)


def _at_70(m: Measurements) -> Fact:
    """PR as it would be at 70 bpm where the pulse is quicker (Soliman & Rautaharju 2012, J Electrocardiol
    45:66; of the slopes for those under and over 60 the lesser)."""
    if m.pr_ms is None or m.heart_rate_bpm is None:
        return UNKNOWN
    return Fact(_whole(m.pr_ms + _PR_PER_BPM * max(m.heart_rate_bpm - 70, 0)), ERRORS["pr_ms"])


def _whole(value: float | None) -> float | None:
    """A measurement as it is said, so that what is said and what is judged agree at a limit."""
    return None if value is None else float(round(value))


def beat_facts(m: Measurements) -> dict[str, Fact]:
    """What the beats show: how far apart they are, which come early and which have another shape."""
    rr = _intervals(m)
    early = m.premature | sudden_beats(rr)
    ventricular = ~m.alike & (early | _wider(m) | _coupled(rr))
    extra = early | ventricular
    steady = rr[~(extra[1:] | extra[:-1])]
    if len(steady) < 3:  # of an alternating rhythm, what follows its early beats
        steady = rr[~extra[1:]]
    pauses = _lone_pauses(steady)
    steady = steady[steady < _PAUSE * median(steady)] if len(steady) else steady
    return {
        "lone_pauses": Fact(pauses),
        "rr_range_ms": Fact(float(np.ptp(steady)) if len(steady) > 2 else None, 12.0),
        "rr_variation": Fact(m.rr_variation, 0.012),
        "longest_rr_ms": Fact(float(rr.max()) if len(rr) else None, 8.0),
        "rr_disorder": Fact(1.0 if m.rr_variation_raw is None else m.rr_variation_raw, 0.012),
        "beats": Fact(float(len(m.beats))),
        "beats_alike": Fact(float(m.alike.mean()) if len(m.beats) else None),
        "early_ventricular": Fact(float(ventricular.sum()) if len(m.beats) else None),
        "early_same": Fact(float((early & m.alike).sum()) if len(m.beats) else None),
        "bigeminy": Fact(_every(ventricular, 2) if len(rr) > 4 else None),
        "trigeminy": Fact(_every(ventricular, 3) if len(rr) > 6 else None),
        "doubled_rr": Fact(_doubled(rr, m.premature)),
        "grouped_rr": Fact(_grouped(rr)),
    }


def _intervals(m: Measurements) -> np.ndarray:
    """[b - 1] ms between beats; where one may not be printed, the usual interval, which says nothing."""
    known = np.isfinite(m.rr)
    return 1000 * np.where(known, m.rr, median(m.rr[known]))


def _rhythm(leads: np.ndarray, fs: float, m: Measurements) -> dict[str, Fact]:
    rr = _intervals(m)
    qtc = m.qtc_ms
    if m.heart_rate_bpm is not None and not _SLOW_BELOW <= m.heart_rate_bpm <= _FAST_BEYOND:
        qtc = m.qtc_fridericia_ms  # Bazett's overdoes it there
    facts = beat_facts(m)
    facts |= {
        "sinus_rate_bpm": Fact(_whole(m.heart_rate_bpm), ERRORS["heart_rate_bpm"]),
        "qtc_ms": Fact(_whole(qtc), ERRORS["qtc_ms"]),
        "p_waves": Fact(m.p_score if len(m.beats) > 1 else None, 0.06),
    }
    facts |= dict.fromkeys(
        ("p_rate_bpm", "dropped_p", "pr_growth_ms", "pr_spread_ms", "dissociated"), UNKNOWN
    )
    facts["p_train"] = Fact(0.0)
    free = _p_waves_may_be_free(m, rr)
    if free is False:
        facts["dropped_p"] = Fact(0.0)
    if free:
        atria = find_atria(leads, fs, m)
        facts["dissociated"] = Fact(float(atria.dissociated))
        facts["dropped_p"] = Fact(float(atria.dropped))
        grows = atria.growth_ms is not None and atria.growth_ms > _GROWS_MS and atria.dropped > 1
        clear = atria.score > _CLEAR_TRAIN and (atria.dissociated or grows)
        facts["p_train"] = Fact(float(clear or bool(facts["grouped_rr"].value)))
        facts["p_rate_bpm"] = Fact(atria.rate_bpm, 2.0)
        facts["pr_growth_ms"] = Fact(atria.growth_ms, 12.0)
        facts["pr_spread_ms"] = Fact(float(np.std(atria.pr_ms)) if len(atria.pr_ms) > 2 else None, 5.0)
        if atria.rate_bpm is not None and m.heart_rate_bpm:
            facts["p_per_qrs"] = Fact(atria.rate_bpm / m.heart_rate_bpm, 0.06)
    facts.setdefault("p_per_qrs", UNKNOWN)
    more = (facts["p_per_qrs"].value or 0.0) > _TWICE  # of four P waves for each QRS one is half way, too
    if not more and (blocked := blocked_half_way(leads, fs, m)):
        rate = 2 * (m.heart_rate_bpm or 0.0)
        facts |= {"dropped_p": Fact(float(blocked)), "p_per_qrs": Fact(2.0, 0.06)}
        facts |= {"p_rate_bpm": Fact(rate, 2.0), "dissociated": Fact(0.0), "pr_growth_ms": UNKNOWN}
    facts["unexplained_variation"] = _unexplained(facts, m)
    facts |= _flutter(leads, fs, m)
    facts |= _regular_fibrillation(leads, fs, m)
    spikes = find_spikes(leads, fs, m)
    facts["atrial_spikes_mv"] = Fact(spikes.atrial_mv, 0.015)
    facts["ventricular_spikes_mv"] = Fact(spikes.ventricular_mv, 0.03)
    return facts


def _flutter(leads: np.ndarray, fs: float, m: Measurements) -> dict[str, Fact]:
    """The steadiest quick waves, and from which share on they are flutter.

    That is higher where each beat holds two or three of them: P and T waves of a regular rhythm move so, too.
    """
    rates, shares = flutter_waves(leads, fs, m)
    rate = m.heart_rate_bpm
    varies = m.rr_variation is not None and m.rr_variation > 0.06
    eased = np.full(len(rates), varies) if rate is None else varies | (np.abs(rates / rate - 4) < 0.06)
    limits = np.where(eased, 0.66, 0.8)
    best = int(np.argmax(shares - limits))
    if not shares[best]:
        return dict.fromkeys(("flutter_rate_bpm", "flutter_waves", "flutter_four_to_one"), UNKNOWN)
    four = shares[rates >= _FOUR * rate] if rate is not None else shares[:0]
    return {
        "flutter_four_to_one": Fact(float(four.max(initial=0.0)), 0.03),
        "flutter_rate_bpm": Fact(_flutter_rate(rates, shares, best, m), 5.0),
        "flutter_waves": Fact(float(shares[best]), 0.03, float(limits[best])),
    }


def _flutter_rate(rates: np.ndarray, shares: np.ndarray, best: int, m: Measurements) -> float:
    """The rate of the best waves; of a regular rhythm, which moves at each multiple of its own rate, that of
    the slowest which are nearly as steady and flutter's."""
    if m.heart_rate_bpm is None or m.rr_variation is None or m.rr_variation > _UNVARYING:
        return float(rates[best])
    times = rates / m.heart_rate_bpm
    even = (np.abs(times - np.round(times)) < 0.06) & (rates >= _LEAST_FLUTTER) & (rates < rates[best])
    alike = np.flatnonzero(even & (shares >= shares[best] - _NEARLY_AS_STEADY))
    if not len(alike):
        return float(rates[best])
    slowest = alike[np.round(times[alike]) == np.round(times[alike[0]])]
    return float(rates[slowest[np.argmax(shares[slowest])]])


def _regular_fibrillation(leads: np.ndarray, fs: float, m: Measurements) -> dict[str, Fact]:
    """How far the waves of fibrillation stand out of the noise where the beats are too regular for it and no
    P wave is bound to them, else 0; the same at the rates of beats that escape below a block."""
    rate, variation, waves = m.heart_rate_bpm, m.rr_variation, 0.0
    regular = variation is not None and variation < _NOT_IRREGULAR and m.p_score < P_SCORE
    if regular and rate is not None and rate <= _SEARCHED_BELOW:
        waves = fibrillatory_waves(leads, fs, m) or 0.0
    slow = rate is not None and rate <= _MOST_ESCAPE
    return {
        "regular_fibrillation": Fact(waves, 0.1),
        "blocked_fibrillation": Fact(waves if slow else 0.0, 0.1),
    }


def _two_to_one(facts: Mapping[str, Fact], m: Measurements) -> Fact:
    """The share of the quick waves where two of them go with each beat of an unvarying rhythm and the former
    is no sinus P wave by its axis or its distance from the QRS, else 0. Where neither is known, at rates that
    flutter has."""
    waves, quick, off = (facts[x].value for x in ("flutter_waves", "flutter_rate_bpm", "p_axis_off_deg"))
    rate, variation, pr = m.heart_rate_bpm, m.rr_variation, m.pr_ms
    if waves is None or quick is None or rate is None or variation is None:
        return UNKNOWN
    no_sinus = (off is not None and off > _OFF_SINUS) or (pr is not None and pr > _LONG_PR)
    no_sinus |= off is None and pr is None and rate <= _MOST_HALF_FLUTTER
    two = abs(quick / rate - 2) < 0.06 and variation < _UNVARYING
    return Fact(waves if two and no_sinus else 0.0, 0.03)


def _unexplained(facts: Mapping[str, Fact], m: Measurements) -> Fact:
    """The variation of RR intervals, 0 where P waves before the QRS, a train of them or extra beats tell of
    another rhythm than fibrillation.

    Without any P wave, a beat that comes early is none of the atria's, and counts.
    """
    if m.rr_variation is None:
        return UNKNOWN
    no_p = m.p_score < P_SCORE
    extra = (facts["early_ventricular"].value or 0.0) + (0 if no_p else facts["early_same"].value or 0.0)
    others = m.p_score > _BOUND_P or bool(facts["p_train"].value) or extra > _MANY_EXTRA * len(m.beats)
    variation = (m.rr_variation_raw if no_p else m.rr_variation) or 0.0
    return Fact(0.0 if others else variation, 0.012)


def _p_waves_may_be_free(m: Measurements, rr: np.ndarray) -> bool | None:
    """Whether some P waves may have no QRS: not where one is bound to each QRS, at no slow rate and without a
    pause. None where it cannot be told: of beats so quick, P waves hide in T waves."""
    if m.heart_rate_bpm is None or m.heart_rate_bpm > _SEARCHED_BELOW or len(rr) < 2:
        return None
    return m.heart_rate_bpm < 55 or m.p_score < 0.75 or bool(rr.max() > 1.4 * quantile(rr, 0.2))


def _wider(m: Measurements) -> np.ndarray:
    """[b] bool: beats wider than the usual ones."""
    usual = m.widths_ms[m.alike & np.isfinite(m.widths_ms)]
    return m.widths_ms > median(usual) + 25 if len(usual) else ~m.alike


def _coupled(rr: np.ndarray) -> np.ndarray:
    """[b] bool: beats closer to the one before than to the next, the last one than those before it."""
    if len(rr) < 2:
        return np.zeros(len(rr) + 1, bool)
    return np.concatenate([[False], rr < 0.85 * np.append(rr[1:], rr[-2])])


def _lone_pauses(rr: np.ndarray) -> float:
    """Long RR intervals among others that are regular, unlike those of a sinus that breathes."""
    if len(rr) < 5:
        return 0.0
    long = rr > _LONG * median(rr)
    lone = long.mean() <= _RARE and np.ptp(rr[~long]) < _ALL_ALIKE * median(rr)
    return float(long.sum()) if lone else 0.0


def _every(marked: np.ndarray, k: int) -> float:
    """Share of the runs of k beats that hold just one that is marked: of a pattern in which every kth is."""
    return float(np.mean(np.convolve(marked, np.ones(k), "valid") == 1))


def _doubled(rr: np.ndarray, early: np.ndarray) -> float | None:
    """RR intervals of just twice the shortest ones, where all are one or the other; 0 where they are not."""
    if len(rr) < 4:
        return None
    basic = quantile(rr, 0.2)
    double = np.abs(rr - 2 * basic) < 0.14 * basic
    if not (double | (np.abs(rr - basic) < 0.1 * basic)).all():
        return 0.0
    return float((double & ~early[:-1]).sum())


def _grouped(rr: np.ndarray) -> float | None:
    """Pauses shorter than two RR intervals, the RR before them shorter than after; 0 if others vary much."""
    if len(rr) < 5:
        return None
    usual = median(rr)
    pauses = np.flatnonzero((rr > 1.4 * usual) & (rr < 1.95 * usual))
    others = np.delete(rr, pauses)
    if not len(pauses) or len(others) < 2 * len(pauses) or (np.abs(others - usual) > 0.09 * usual).any():
        return 0.0
    shrinks = [rr[k + 1] - rr[k - 1] > _SHRINKS_MS for k in pauses if 0 < k < len(rr) - 1]
    return float(sum(shrinks)) if shrinks and all(shrinks) else 0.0


def _recording(leads: np.ndarray, fs: float, m: Measurements) -> dict[str, Fact]:
    """What the recording itself shows: seconds of signal, leads that are printed but flat."""
    printed = np.isfinite(leads)
    flat = [
        lead
        for lead, row, known in zip(LEADS, leads, printed)
        if known.sum() > fs and np.ptp(quantiles(row[known], 0.005, 0.995)) < 0.05
    ]
    seconds = float(printed.any(0).sum() / fs)
    return {
        "signal_s": Fact(seconds),
        "leakage": Fact(leakage(leads, fs), 0.02),
        "flat_leads": Fact(float(len(flat)) if seconds else None, 0.0, leads=tuple(flat)),
    }


def shape_facts(m: Measurements, person: Person) -> dict[str, Fact]:
    """What the waves of the median beat show: heights, widths, axes, what neighbouring leads share."""
    waves = m.waves

    def mv(*parts: float | None) -> Fact:
        """The sum of amplitudes, unknown where one is."""
        if any(part is None for part in parts):
            return UNKNOWN
        total = float(sum(part for part in parts if part is not None))
        return Fact(total, _LINE_MV * len(parts) ** 0.5 + _GAIN * abs(total))

    def wave(lead: str, name: str, sign: int = 1) -> float | None:
        found = waves.get(lead)
        return None if found is None else sign * getattr(found, name)

    def deepest(lead: str) -> float | None:
        found = waves.get(lead)
        return None if found is None else found.depth

    def highest(leads: Iterable[str], name: str) -> float | None:
        known = [x for x in (wave(lead, name) for lead in leads) if x is not None]
        return max(known) if known else None

    sizes = {lead: None if w is None else w.r + w.depth for lead, w in waves.items()}
    deep = [x for x in (deepest(lead) for lead in LEADS if lead != "aVR") if x is not None]
    r1, s1 = wave("V1", "r"), deepest("V1")
    facts = {
        "sokolow_mv": mv(deepest("V1"), highest(("V5", "V6"), "r")),
        "cornell_mv": mv(wave("aVL", "r"), deepest("V3")),
        "peguero_mv": mv(max(deep) if len(deep) == 11 else None, deepest("V4")),
        "r_avl_mv": mv(wave("aVL", "r")),
        "limb_qrs_mv": mv(_largest(sizes, LEADS[:6])),
        "chest_qrs_mv": mv(_largest(sizes, LEADS[6:])),
        "r_v1_mv": mv(r1),
        "r_s_v1": Fact(None if r1 is None or s1 is None else r1 / max(s1, 0.02), 0.15),
        "s_v6_mv": mv(deepest("V6")),
        "r_v3_mv": mv(wave("V3", "r")),
        "r_i_mv": mv(wave("I", "r")),
        "s_i_mv": mv(wave("I", "s", -1)),
        "q_iii_mv": mv(wave("III", "q", -1)),
    }
    beat = _Beat(m)
    facts |= beat.atrial()
    facts |= beat.ventricular()
    for wall, pairs in NEIGHBOURS.items():
        facts[f"q_{wall}_ms"] = _agreeing(pairs, beat.q_ms)
        facts[f"st_up_{wall}_mv"] = _agreeing(pairs, lambda lead: beat.st_up(lead, person))
        facts[f"st_down_{wall}_mv"] = _agreeing(pairs, beat.st_down)
        facts[f"t_down_{wall}_mv"] = _agreeing(pairs, lambda lead: _inverted(m, lead))
    return facts


def _largest(sizes: Mapping[str, float | None], leads: Iterable[str]) -> float | None:
    """The largest of these leads' QRS, None unless all are printed."""
    values = [sizes[lead] for lead in leads]
    known = [x for x in values if x is not None]
    return max(known) if len(known) == len(values) else None


def _agreeing(pairs: Iterable[tuple[str, str]], look: Callable[[str], Fact]) -> Fact:
    """The lesser of two neighbouring leads, in the pair in which it exceeds its limit most."""
    best, margin = UNKNOWN, -np.inf
    for pair in pairs:
        facts = [look(lead) for lead in pair]
        if any(fact.value is None for fact in facts):
            continue
        excess = [((fact.value or 0.0) - (fact.limit or 0.0)) / max(fact.error, 1e-6) for fact in facts]
        weaker = int(np.argmin(excess))
        if excess[weaker] > margin:
            fact = facts[weaker]
            best, margin = Fact(fact.value, fact.error, fact.limit, pair), excess[weaker]
    return best


def _inverted(m: Measurements, lead: str) -> Fact:
    """Depth of an inverted T wave in a lead with a prominent R wave; 0 where R is not (definition of MI)."""
    waves = m.waves.get(lead)
    if waves is None:
        return UNKNOWN
    prominent = waves.r > waves.depth
    return Fact(max(0.0, -waves.t) if prominent else 0.0, _level_error(m, lead), 0.1)


def _level_error(m: Measurements, lead: str) -> float:
    """mV, of ST and T in a lead: the printed line's, and what its beats differ."""
    return float(np.hypot(_LINE_MV, m.level_errors[LEADS.index(lead)]))


def st_limit(lead: str, person: Person) -> float:
    """ST elevation at the J point in mV from which on it counts (Fourth Universal Definition of MI 2018).

    Where age or sex is unknown the stricter limit holds, that of men under 40.
    """
    if lead not in ("V2", "V3"):
        return 0.1
    if person.sex == "F":
        return 0.15
    return 0.2 if person.age is not None and person.age >= 40 else 0.25


class _Beat:
    """The median beat, lead by lead: where waves of one lead begin and end."""

    def __init__(self, m: Measurements):
        self.m = m
        self.known = {lead: row for lead, row in zip(LEADS, m.median_beat) if np.isfinite(row).all()}
        self.onset = None if m.qrs_onset is None or m.feet is None else m.qrs_onset + m.feet.before / 2
        self.j = m.j_point

    def at(self, lead: str, second: float) -> float:
        """mV at s from R."""
        row = self.known[lead]
        return float(np.interp((second - BEAT_START) * BEAT_FS, np.arange(len(row)), row))

    def part(self, lead: str, first: float, last: float) -> np.ndarray:
        """mV every 2 ms from first to last s from R."""
        row = self.known[lead]
        times = np.arange(first, last + 1e-9, 0.002)
        return np.interp((times - BEAT_START) * BEAT_FS, np.arange(len(row)), row)

    def q_ms(self, lead: str) -> Fact:
        """How long the first downward wave of 0.1 mV and more lasts; all of the QRS where no R follows."""
        limit = 20.0 if lead in ("V2", "V3") else 30.0
        waves = self.m.waves.get(lead)
        if lead not in self.known or waves is None or self.onset is None or self.j is None:
            return UNKNOWN
        if waves.q > -0.1 or (waves.r >= 0.03 and -waves.q < 0.25 * waves.r and limit > 20):
            return Fact(0.0, _TIME_MS, limit)
        if waves.r < 0.03:  # QS
            return Fact(1000 * (self.j - self.onset), _TIME_MS, limit)
        qrs = self.part(lead, self.onset, self.j)
        down = np.flatnonzero(qrs[: int(np.argmax(qrs)) + 1] < -0.02)
        return Fact(2.0 * len(down), _TIME_MS, limit)

    def st_up(self, lead: str, person: Person) -> Fact:
        """Elevation at J; of a wide QRS that goes down, a quarter of its depth is its own (Smith et al.
        2012, Ann Emerg Med 60:766)."""
        limit = st_limit(lead, person)
        if lead not in self.known or self.j is None:
            return UNKNOWN
        waves = self.m.waves[lead]
        if waves is not None and self.m.qrs_onset is not None and self.j - self.m.qrs_onset >= _WIDE_QRS:
            limit = max(limit, _OWN_ST * waves.depth) if waves.depth > waves.r else limit
        level = min(self.at(lead, self.j + 0.01), self.at(lead, self.j + 0.03))
        return Fact(level, _level_error(self.m, lead) + _GAIN * abs(level), limit)

    def st_down(self, lead: str) -> Fact:
        """Depression at J and 60 ms after it (horizontal or downsloping)."""
        if lead not in self.known or self.j is None:
            return UNKNOWN
        level = min(-self.at(lead, self.j + 0.01), -self.at(lead, self.j + 0.06))
        return Fact(level, _level_error(self.m, lead), 0.05)

    def atrial(self) -> dict[str, Fact]:
        """P in II (height), its axis, its length over the leads, its terminal force in V1, and how deep it is
        in II and aVF close to the QRS."""
        m = self.m
        names = ("p_ii_mv", "p_terminal_mvms", "p_axis_off_deg", "retrograde_p_mv")
        facts = {**dict.fromkeys(names, UNKNOWN), "ectopic_p_mv": Fact(0.0, _LINE_MV)}
        facts["p_ms"] = Fact(_whole(m.p_ms), 12.0)
        if m.p_onset is None or m.qrs_onset is None or m.p_onset < BEAT_START + 0.01:
            return facts
        first, last = m.p_onset, m.qrs_onset - 0.004
        rows = {lead: self.part(lead, first, last) - self.at(lead, first) for lead in self.known}
        if len(rows) < 2 or last - first < 0.06:
            return facts
        end = round((min(last, m.p_end or last) - first) / 0.002)
        if "II" in rows:
            facts["p_ii_mv"] = Fact(float(rows["II"].max()), _LINE_MV)
        if {"I", "aVF"} <= set(rows):
            one, foot = rows["I"][: end + 1].sum(), rows["aVF"][: end + 1].sum() * 2 / np.sqrt(3)
            away = np.degrees(np.arctan2(foot, one)) - _SINUS_P_AXIS
            facts["p_axis_off_deg"] = Fact(float(abs((away + 180) % 360 - 180)), 15.0)
        if {"II", "aVF"} <= set(rows) and m.pr_ms is not None:
            foot = [rows[lead][: end + 1] for lead in ("II", "aVF")]
            down = min(min(0.0, float(wave[-1])) - float(wave.min()) for wave in foot)  # below both its ends
            down = down if down > max(wave.max() for wave in foot) else 0.0
            near, two = round(m.pr_ms) < _RETROGRADE_PR, m.waves["II"]
            facts["retrograde_p_mv"] = Fact(down if near else 0.0, _LINE_MV)
            # Where the arm's and the leg's electrode are exchanged, QRS and T of II go down with P.
            upright = two is not None and two.r > two.depth and two.t > 0
            facts["ectopic_p_mv"] = Fact(down if upright and not near else 0.0, _LINE_MV)
        if "V1" in rows:
            below = np.minimum(rows["V1"][len(rows["V1"]) // 4 : end + 1], 0.0)
            facts["p_terminal_mvms"] = Fact(float(-below.sum() * 2.0), 1.0)
        return facts

    def ventricular(self) -> dict[str, Fact]:
        """How the QRS begins (slurred or steep), and its late forces right and left."""
        facts = dict.fromkeys(
            ("delta_ms", "steep_qrs_ms", "late_v1_mv", "s_wide_ms", "r_peak_v6_ms", "q_v6_mv"), UNKNOWN
        )
        if self.onset is None or self.j is None or len(self.known) < 3:
            return facts
        rows = {lead: self.part(lead, self.onset, self.j) for lead in self.known}
        speed = np.sqrt(np.mean([np.gradient(row, 0.002) ** 2 for row in rows.values()], axis=0))
        facts["delta_ms"] = Fact(2.0 * int(np.argmax(speed > 0.5 * speed.max())), _TIME_MS)
        steep = np.flatnonzero(speed > 0.3 * speed.max())
        facts["steep_qrs_ms"] = Fact(2.0 * int(steep[-1] - steep[0]), _TIME_MS)
        if "V1" in rows:
            v1 = rows["V1"]
            low = int(np.argmin(v1[: max(2, 3 * len(v1) // 4)]))
            facts["late_v1_mv"] = Fact(float(v1[low:].max()), _LINE_MV)
        right = [
            2.0 * int((rows[lead][len(rows[lead]) // 3 :] < -0.05).sum())
            for lead in ("I", "V6")
            if lead in rows
        ]
        if right:
            facts["s_wide_ms"] = Fact(max(right), _TIME_MS)
        if "V6" in rows:
            facts["r_peak_v6_ms"] = Fact(2.0 * int(np.argmax(rows["V6"])), _TIME_MS)
            facts["q_v6_mv"] = Fact(
                float(max(0.0, -rows["V6"][: max(1, len(rows["V6"]) // 3)].min())), _LINE_MV
            )
        return facts
