"""Random evidence: realistic, adversarial, contradictory pages to train and test the language half."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from ecgvlm.judge.agreement import settle
from ecgvlm.judge.evidence import CAUTIONS, LAYOUTS, REASONS, Evidence
from ecgvlm.labels import LABELS
from ecgvlm.measure import MEASUREMENTS, LeadWaves
from ecgvlm.record import LEADS

_RANGES = {
    "heart_rate_bpm": (20, 260), "pr_ms": (60, 420), "qrs_ms": (50, 240), "qt_ms": (180, 700),
    "qtc_ms": (250, 700), "axis_deg": (-180, 180),
}  # fmt: skip
_USUAL = {
    "heart_rate_bpm": (75, 18), "pr_ms": (165, 30), "qrs_ms": (98, 20), "qt_ms": (390, 40),
    "qtc_ms": (425, 30), "axis_deg": (35, 40),
}  # fmt: skip


def sample(rng: Random, label_sets: Sequence[frozenset[str]] = ()) -> Evidence:
    """One random page. label_sets: label combinations of real records, which half of the pages then have."""
    kind = rng.random()
    if label_sets and kind < 0.5:
        found = set(rng.choice(label_sets))
    elif kind < 0.6:
        found = {rng.choice(LABELS)}
    else:
        rate = rng.choice((0.03, 0.1, 0.2, 0.4))
        found = {label for label in LABELS if rng.random() < rate}
    thresholds = {label: _sigmoid(rng.gauss(-1, 1)) for label in LABELS}
    spread = rng.choice((0.3, 2.0, 5.0))
    probabilities = {}
    for label in LABELS:
        distance = rng.expovariate(1 / spread) * (1 if label in found else -1)
        probabilities[label] = _sigmoid(math.log(thresholds[label] / (1 - thresholds[label])) + distance)
    if rng.random() < 0.6:
        probabilities = settle(probabilities, thresholds)

    usual, missing = rng.random() < 0.6, rng.choice((0.0, 0.05, 0.3))
    measurements: dict[str, float | None] = {}
    for name in MEASUREMENTS:
        low, high = _RANGES[name]
        value = rng.gauss(*_USUAL[name]) if usual else rng.uniform(low, high)
        measurements[name] = None if rng.random() < missing else min(max(value, low), high)
    if usual:
        for label, (low, high) in {"SB": (30, 59), "ST": (101, 180), "AF": (50, 170)}.items():
            if label in found and measurements["heart_rate_bpm"] is not None:
                measurements["heart_rate_bpm"] = rng.uniform(low, high)
        if found & {"AF", "AFLT"}:
            measurements["pr_ms"] = None
        elif "1dAVb" in found:
            measurements["pr_ms"] = rng.uniform(201, 380)
        if found & {"RBBB", "LBBB", "PACE"}:
            measurements["qrs_ms"] = rng.uniform(120, 190)
    reasons = {name: rng.choice(REASONS) for name, value in measurements.items() if value is None}
    if found & {"AF", "AFLT"} and "pr_ms" in reasons:
        reasons["pr_ms"] = "no_p_wave"

    unprinted = rng.choice((0.0, 0.0, 0.0, 0.1, 0.5))
    odd = rng.choice((0.0, 0.1, 0.3))
    deviation = rng.choice((0.02, 0.06, 0.2))
    return Evidence(
        probabilities=probabilities,
        thresholds=thresholds,
        measurements=measurements,
        reasons=reasons,
        leads={lead: None if rng.random() < unprinted else _waves(rng, deviation) for lead in LEADS},
        rr_variation=None if rng.random() < 0.1 else rng.choice((rng.uniform(0, 0.06), rng.uniform(0, 0.4))),
        layout=rng.choice(LAYOUTS),
        cabrera=rng.random() < 0.2,
        mm_per_s=rng.choice((25.0, 25.0, 50.0, 12.5)),
        mm_per_mv=rng.choice((10.0, 10.0, 5.0, 20.0)),
        quality=rng.choice((rng.random(), rng.uniform(0.7, 1))),
        cautions=tuple(caution for caution in CAUTIONS if rng.random() < odd),
    )


def _waves(rng: Random, deviation: float) -> LeadWaves:
    return LeadWaves(
        st=rng.gauss(0, deviation),
        t=rng.gauss(0.25, 0.15) if rng.random() < 0.8 else rng.gauss(0, 0.3),
        q=0.0 if rng.random() < 0.6 else -rng.expovariate(6),
        r=0.0 if rng.random() < 0.05 else rng.expovariate(1.5),
        s=0.0 if rng.random() < 0.2 else -rng.expovariate(1.5),
    )


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-min(max(x, -12), 12)))
