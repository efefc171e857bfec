"""What is odd about a page or a recording: the `CAUTIONS` that answers speak of, each by a stated rule.

The numbers that the rules weigh with are fitted by `ecgvlm.train.small.caution_weights`; `data/cautions.json`
holds them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ecgvlm.digitize import Page
from ecgvlm.judge.evidence import CAUTIONS, POOR_QUALITY
from ecgvlm.judge.facts import NOBODY, Person
from ecgvlm.labels import CODE15
from ecgvlm.measure import BEAT_FS, BEAT_START, Measurements
from ecgvlm.measure.signal import FROM_TWO, fit_two, limb_leads
from ecgvlm.record import LEADS
from ecgvlm.sessions import read_model_file

_EDGE = 1.2  # mm from the picture's edge at which a strip counts as cut off by it
_KNOWN = 0.7  # of a strip, of which less is seen where something lies on it
_CHEST = slice(6, 12)
# What I and II become when two limb electrodes are exchanged. Each exchange undoes itself.
SWAPS: dict[str, np.ndarray] = {
    "none": np.array([[1, 0], [0, 1]]),
    "RA-LA": np.array([[-1, 0], [-1, 1]]),
    "RA-LL": np.array([[1, -1], [0, -1]]),
    "LA-LL": np.array([[0, 1], [1, 0]]),
}
# Usual frontal axes in degrees of P, QRS and T, and the seconds around R in which QRS and T lie.
_AXES = {"p": 55.0, "qrs": 40.0, "t": 45.0}
_QRS, _T = (-0.05, 0.07), (0.14, 0.42)
_CONTRADICTED = 0.25  # part of the limb leads' power that I and II leave where no exchange explains it
_FLAT = 0.12  # part of the largest lead below which one of I, II and III counts as flat
# Upper limits of PR and QRS (ms, QRS with the feet of 25 ms that short ones have) and lower limit of the
# rate of small children (Rijnbeek et al. 2001, Eur Heart J 22:702: medians of rate 100 to 150, PR 100 to 130,
# QRS 65 to 80). All three must hold.
_CHILD_PR, _CHILD_QRS, _CHILD_RATE = 135.0, 105.0, 105.0
_ADULT = 16  # years up to which these limits for children go
_RATES = 20.0, 320.0  # beats a minute; beyond, the paper speed is wrong


@dataclass(frozen=True)
class Fitted:
    """What `ecgvlm.train.small.caution_weights` fits.

    limb_from_chest: [2, 6], I and II from V1 to V6. swap_weights: [4] of `swap_features`; swap_limit:
    log-odds of a swap from which on it is said. mean [k], covariance [k, k]: of `outlook` on training pages;
    unlike_limit: the distance that few of them exceed. risk_limit: expected wrong labels that are too many.
    """

    limb_from_chest: np.ndarray
    swap_weights: np.ndarray
    swap_limit: float
    mean: np.ndarray
    covariance: np.ndarray
    unlike_limit: float
    risk_limit: float


@lru_cache
def fitted() -> Fitted:
    """The numbers that come with the package."""
    card = json.loads(read_model_file("cautions.json"))
    values: dict[str, Any] = {k: np.array(v) if isinstance(v, list) else v for k, v in card.items()}
    return Fitted(**values)


def find_cautions(
    page: Page,
    numbers: np.ndarray,
    probabilities: Mapping[str, float],
    thresholds: Mapping[str, float],
    person: Person = NOBODY,
) -> tuple[str, ...]:
    """Those of `CAUTIONS` that hold, in their order. numbers: as `findings.scaled` gives them."""
    fit = fitted()
    measurements = page.measurements
    beat, pr, rate = measurements.median_beat, measurements.pr_ms, measurements.heart_rate_bpm
    holds = {
        "limb_leads": limbs_swapped(beat, pr, fit),
        "mirrored": page.mirrored,
        "scale": page.scale_doubtful or (rate is not None and not _RATES[0] <= rate <= _RATES[1]),
        "gain": page.gain_assumed,
        "no_grid": page.paper.fit == 0,
        "cut_off": cut_off(page),
        "child": _a_child(measurements, person),
        "unlike": distance(outlook(beat, numbers, fit.limb_from_chest), fit) > fit.unlike_limit,
        "unsure": page.quality < POOR_QUALITY or risk(probabilities, thresholds) > fit.risk_limit,
        "no_signal": bool(page.flat),
        "no_qrs": not len(measurements.beats),
        "averaged": page.averaged,
        "several": page.several,
        "nameless": page.nameless,
        "longer": page.longer,
    }
    return tuple(caution for caution in CAUTIONS if holds[caution])


def cut_off(page: Page) -> bool:
    """Whether leads are missing or much of one is not seen, or half of the strips run into the picture's left
    or right edge."""
    if {strip.lead for strip in page.strips} < set(LEADS):
        return True
    if any(np.isfinite(s.mv).mean() < _KNOWN for s in page.strips if s.lead not in page.flat):
        return True
    rows = [strip.y for strip in page.strips]
    height, width = page.picture
    margin = _EDGE * page.px_per_mm
    for xs in ([strip.x0 for strip in page.strips], [strip.x1 for strip in page.strips]):
        outermost = min(xs) if xs[0] == page.strips[0].x0 else max(xs)
        px = page.to_source(np.stack([np.full(len(rows), outermost), rows], 1))
        outside = (px < margin).any(1) | (px > np.array([width, height]) - 1 - margin).any(1)
        if outside.mean() >= 0.5:
            return True
    return False


def _a_child(m: Measurements, person: Person) -> bool:
    """By the age that is known, else by the measurements."""
    return childlike(m) if person.age is None else person.age < _ADULT


def childlike(m: Measurements) -> bool:
    """A fast rate with a PR and a QRS that are short for an adult."""
    if m.heart_rate_bpm is None or m.pr_ms is None or m.qrs_ms is None:
        return False
    return m.heart_rate_bpm >= _CHILD_RATE and m.pr_ms <= _CHILD_PR and m.qrs_ms <= _CHILD_QRS


def risk(probabilities: Mapping[str, float], thresholds: Mapping[str, float]) -> float:
    """Expected number of wrong decisions on NORM and CODE-15%'s six labels, from calibrated probabilities."""
    return sum(
        1 - probabilities[label] if probabilities[label] >= thresholds[label] else probabilities[label]
        for label in ("NORM", *CODE15)
    )


def two_limb_leads(beat: np.ndarray) -> tuple[np.ndarray, float] | None:
    """I and II ([2, w] mV) that explain the printed limb leads best; the part of their power that is left.

    beat: [12, w]. None where fewer than two limb leads are printed.
    """
    rows = limb_leads(beat)
    if len(rows) < 2:
        return None
    two = fit_two(rows, beat[rows])
    rest = beat[rows] - FROM_TWO[rows] @ two
    return two, float((rest**2).sum() / ((beat[rows] ** 2).sum() + 1e-9))


def swap_features(
    two: np.ndarray, chest: np.ndarray, pr_ms: float | None, limb_from_chest: np.ndarray
) -> np.ndarray:
    """[4]: how unusual limb leads I and II ([2, w]) are beside V1 to V6 ([6, w]); the higher the more so.

    Log of the power that the chest leads leave unexplained (Kors & van Herpen 2001, Ann Noninvasive
    Electrocardiol 6:24), and how far the axes of P, QRS and T lie from the usual ones, 0 to 2.
    """
    power = (two**2).sum() + ((two[1] - two[0]) ** 2).sum() + 1e-9
    rest = two - limb_from_chest @ chest
    unexplained = np.log(((rest**2).sum() + ((rest[1] - rest[0]) ** 2).sum()) / power + 0.02)
    spans = {"qrs": _QRS, "t": _T}
    if pr_ms is not None:
        spans["p"] = (max(BEAT_START, -0.045 - pr_ms / 1000), -0.05)
    odd = {name: _oddness(two, span, _AXES[name]) for name, span in spans.items()}
    return np.array([unexplained, odd.get("p", 0.0), odd["qrs"], odd["t"]])


def _oddness(two: np.ndarray, span: tuple[float, float], usual: float) -> float:
    """1 - cos of the angle between the mean vector of a wave and its usual axis."""
    a, b = (round((at - BEAT_START) * BEAT_FS) for at in span)
    part = two[:, a:b]
    x, y = (part - part[:, :1]).sum(1)
    y = (2 * y - x) / math.sqrt(3)  # from I and II to the horizontal and the vertical
    size = math.hypot(x, y)
    angle = math.radians(usual)
    return 1.0 if size < 1e-6 else 1 - (x * math.cos(angle) + y * math.sin(angle)) / size


def swap_odds(beat: np.ndarray, pr_ms: float | None, fit: Fitted) -> float | None:
    """Log-odds of the likeliest exchange of limb electrodes against none, None where leads are missing or the
    limb leads contradict each other, which those of exchanged electrodes do not: print or wander is at fault.
    """
    limb = two_limb_leads(beat)
    if limb is None or limb[1] > _CONTRADICTED or not np.isfinite(beat[_CHEST]).all():
        return None
    scores = {
        name: -float(
            fit.swap_weights @ swap_features(swap @ limb[0], beat[_CHEST], pr_ms, fit.limb_from_chest)
        )
        for name, swap in SWAPS.items()
    }
    usual = scores.pop("none")
    return max(scores.values()) - usual


def limbs_swapped(beat: np.ndarray, pr_ms: float | None, fit: Fitted) -> bool:
    """Whether exchanging two limb electrodes would make this the more usual ECG, or one lead is flat.

    A flat lead among I, II and III beside others of normal size comes of an exchange with the right leg's
    electrode (Batchvarov et al. 2007, Europace 9:1081).
    """
    odds = swap_odds(beat, pr_ms, fit)
    if odds is not None and odds > fit.swap_limit:
        return True
    limb = two_limb_leads(beat)
    if limb is None:
        return False
    i, ii = limb[0]
    sizes = [float(np.ptp(lead)) for lead in (i, ii, ii - i)]
    return max(sizes) > 0.4 and min(sizes) < _FLAT * max(sizes)


def outlook(beat: np.ndarray, numbers: np.ndarray, limb_from_chest: np.ndarray) -> np.ndarray:
    """[k]: numbers ([k - 2], as of `findings.scaled`) and how well the leads agree; NaN where unknown.

    Amplitudes count by the root, so that large ones are not all of it.
    """
    limb = two_limb_leads(beat)
    agree = [np.nan, np.nan]
    if limb is not None:
        two, rest = limb
        agree[0] = math.log(rest + 0.003)
        if np.isfinite(beat[_CHEST]).all():
            agree[1] = float(swap_features(two, beat[_CHEST], None, limb_from_chest)[0])
    rooted = np.sign(numbers) * np.sqrt(np.abs(numbers))
    return np.append(rooted, agree)


def distance(seen: np.ndarray, fit: Fitted) -> float:
    """Mahalanobis distance from the training pages over what is known, as a normal score.

    After Wilson & Hilferty (1931), so that pages with more and with fewer leads compare.
    """
    known = np.flatnonzero(np.isfinite(seen))
    if not len(known):
        return math.inf
    off = seen[known] - fit.mean[known]
    squared = float(off @ np.linalg.solve(fit.covariance[np.ix_(known, known)], off))
    spread = 2 / (9 * len(known))
    return float(((squared / len(known)) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))
