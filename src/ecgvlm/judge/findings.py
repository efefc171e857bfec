"""The findings encoder at run time: leads and measurements -> calibrated label probabilities. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgvlm.digitize import Page
from ecgvlm.judge.agreement import settle
from ecgvlm.judge.cautions import find_cautions
from ecgvlm.judge.criteria import Criterion
from ecgvlm.judge.details import DETAIL_NAMES, details
from ecgvlm.judge.evidence import LAYOUTS, Evidence
from ecgvlm.judge.facts import NOBODY, Fact, Person, find_facts, seen_facts, sinus
from ecgvlm.judge.judgement import decide, tellable
from ecgvlm.labels import LABELS, WITHOUT_BEATS, WITHOUT_PR
from ecgvlm.measure import MEASUREMENTS, WAVES, Measurements
from ecgvlm.quantile import median
from ecgvlm.record import LEADS
from ecgvlm.sessions import fingerprint, open_aside, read_model_file
from ecgvlm.together import together

ENCODER_FS = 100  # Hz of the strips that the encoder sees
_FACTS_FS = 250  # Hz at most, of the leads that criteria look at
SAMPLES = 1000  # ten seconds
BEAT = 100  # samples of the median beat, at 125 Hz
SENSITIVITY = (0.5, 0.99)  # lowest and highest that can be asked for
# The numbers that the encoder's trees get, in the order that they depend on.
_MEASURED = (
    "heart_rate_bpm", "rr_variation", "rr_variation_raw", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms", "axis_sin",
    "axis_cos", "p_score", "premature_share", "premature_any", "beats",
    *(f"{lead}.{wave}" for lead in LEADS for wave in WAVES),
)  # fmt: skip
NUMBER_NAMES = (*_MEASURED, *DETAIL_NAMES)
NUMBERS, SCALED = len(NUMBER_NAMES), len(_MEASURED)
_ISCHAEMIC = {"STE", "STD"}
_T_TO_LEVEL = 6.0  # ms by which T is usually longer up to where its tangent meets the level before the QRS
# What a number of about its usual size is divided by.
_SCALES = {
    "heart_rate_bpm": 100, "rr_variation": 0.1, "rr_variation_raw": 0.1, "pr_ms": 200, "qrs_ms": 100,
    "qt_ms": 400, "qtc_ms": 400, "beats": 10,
}  # fmt: skip


def strips(leads: np.ndarray) -> np.ndarray:
    """[12, n] mV at `ENCODER_FS` Hz -> [12, SAMPLES] float32, each lead around its median, NaN where not
    printed."""
    out = np.full((12, SAMPLES), np.nan, np.float32)
    n = min(SAMPLES, leads.shape[1])
    out[:, :n] = leads[:, :n]
    for lead in out:
        if len(known := lead[np.isfinite(lead)]):
            lead -= median(known)
    return out


def numbers(m: Measurements) -> np.ndarray:
    """[NUMBERS] float32: the measurements and the details, NaN where unknown."""
    return np.concatenate([scaled(m), details(m)])


def scaled(m: Measurements) -> np.ndarray:
    """[SCALED] float32: the measurements scaled to about one, NaN where unknown."""
    axis = None if m.axis_deg is None else np.deg2rad(m.axis_deg)
    known: dict[str, float | None] = {name: getattr(m, name) for name in MEASUREMENTS}
    # The weights learned QRS and QT between the steep edges of the waves, without their feet, T up to where
    # its tangent meets the level before the QRS.
    if m.feet is not None and m.qrs_ms is not None:
        known["qrs_ms"] = m.qrs_ms - m.feet.qrs_ms
    if m.feet is not None and m.qt_ms is not None:
        steep = m.qt_ms - m.feet.qt_ms + _T_TO_LEVEL
        known |= {"qt_ms": steep, "qtc_ms": None if m.qtc_ms is None else m.qtc_ms * steep / m.qt_ms}
    known |= {
        "rr_variation": m.rr_variation,
        "rr_variation_raw": m.rr_variation_raw,
        "axis_sin": None if axis is None else np.sin(axis),
        "axis_cos": None if axis is None else np.cos(axis),
        "p_score": m.p_score,
        "premature_share": float(m.premature.mean()) if len(m.premature) else None,
        "premature_any": float(m.premature.any()) if len(m.premature) else None,
        "beats": len(m.beats),
    }
    for lead, waves in m.waves.items():
        learned = None if waves is None else waves.as_learned()
        known |= {f"{lead}.{wave}": None if learned is None else getattr(learned, wave) for wave in WAVES}
    values = ((known[name], _SCALES.get(name, 1)) for name in _MEASURED)
    return np.array([np.nan if x is None else float(x) / scale for x, scale in values], np.float32)


def number(numbers: np.ndarray, name: str) -> float | None:
    """One of `NUMBER_NAMES`, unscaled, out of [..., NUMBERS]; None where unknown."""
    value = numbers[NUMBER_NAMES.index(name)]
    return None if np.isnan(value) else float(value) * _SCALES.get(name, 1)


def lead_numbers(lead: str) -> list[int]:
    """Where all that is one lead's own lies."""
    return [i for i, name in enumerate(NUMBER_NAMES) if name.startswith(f"{lead}.")]


def _expit(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _logit(p: Sequence[float] | Sequence[Sequence[float]]) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(p) - np.log1p(np.negative(p))


class FindingsModel:
    """ONNX Runtime session of the encoder with its calibration and thresholds.

    folder: where encoder.onnx and encoder.json lie, by default the package's own. name: of the model, as
    name@version+fingerprint.
    """

    def __init__(self, folder: Path | None = None, threads: int = 2):
        card = json.loads(read_model_file("encoder.json", folder))
        self.name = f"{card['name']}+{fingerprint(folder)}"
        if tuple(card["labels"]) != LABELS:
            raise ValueError("encoder.json belongs to another vocabulary")
        self._slope = np.array(card["slope"])
        self._offset = np.array(card["offset"])
        self._paper = np.array(card.get("paper", 0.0))  # of what was digitised, beside it
        self.thresholds: dict[str, float] = dict(zip(LABELS, card["thresholds"]))
        self._sensitivity: dict[str, list[float]] = card.get("sensitivity", {})
        self._session = open_aside("encoder.onnx", folder, threads, as_is=True)  # while a page is digitised
        if folder is not None:
            self._session()  # it may be no net at all

    def thresholds_at(self, sensitivity: float | None) -> Mapping[str, float]:
        """The thresholds of `LABELS` that are expected to find this share of the pages with each finding.

        None for the model's own, which seek the best F1. NORM and SR are no findings: their thresholds are
        expected to spare this share of the pages without them. Raises ValueError outside `SENSITIVITY`, or
        where the model's card was written before it held such thresholds.
        """
        if sensitivity is None:
            return self.thresholds
        low, high = SENSITIVITY
        if not low <= sensitivity <= high:
            raise ValueError(f"sensitivity must lie from {low} to {high}, not at {sensitivity:g}")
        if not self._sensitivity:
            raise ValueError(f"{self.name} knows no thresholds for a sensitivity")
        known = _logit([float(share) for share in self._sensitivity])
        curves = _logit(list(self._sensitivity.values())).T  # [labels, shares]
        found = _expit(np.array([np.interp(_logit([sensitivity])[0], known, curve) for curve in curves]))
        return {label: float(t) for label, t in zip(LABELS, found)}

    def probabilities(self, leads: np.ndarray, measurements: Measurements) -> dict[str, float]:
        """Calibrated probabilities of `LABELS`. leads: [12, n] mV at `ENCODER_FS` Hz."""
        p = self.calibrated(strips(leads)[None], measurements.median_beat[None], numbers(measurements)[None])
        return {label: float(value) for label, value in zip(LABELS, p[0])}

    def calibrated(self, leads: np.ndarray, beats: np.ndarray, known: np.ndarray) -> np.ndarray:
        """[n, labels]. leads: [n, 12, SAMPLES] as of `strips`; beats: [n, 12, BEAT]; known: [n, NUMBERS]."""
        inputs = {"leads": leads, "beat": beats, "numbers": known}
        (logits,) = self._session().run(None, {name: x.astype(np.float32) for name, x in inputs.items()})
        return _expit(self._slope * logits + self._offset)

    def __call__(
        self,
        page: Page,
        sensitivity: float | None = None,
        criteria: str = "definitions",
        person: Person = NOBODY,
    ) -> Evidence:
        """All that an answer about this page may state.

        sensitivity: of `thresholds_at`. criteria: the working point, one of `criteria.POINTS`. person: whose
        limits hold.
        """
        measurements = page.measurements
        seen, facts = together(
            lambda: self.probabilities(page.leads(ENCODER_FS), measurements),
            lambda: seen_facts(page.leads(_FACTS_FS), _FACTS_FS, measurements, person),
        )
        if page.quality < 1:  # digitised; a record's own samples have no error
            seen = dict(zip(seen, _expit(_logit(list(seen.values())) + self._paper).tolist()))
        probabilities = tellable(seen, self.thresholds, len(measurements.beats), page.averaged)
        # How odd a page is, and how close a call, does not depend on where a user draws the lines.
        usual = settle(probabilities, self.thresholds)
        facts |= {"sinus": sinus(usual), "flat_leads": Fact(float(len(page.flat)), leads=page.flat)}
        evidence = self._evidence(probabilities, measurements, facts, sensitivity, criteria, person)
        cautions = find_cautions(page, scaled(measurements), usual, self.thresholds, person)
        # Neither beats from the ventricles nor ischaemia leave axes that tell of the electrodes.
        if evidence.ventricular or _ISCHAEMIC & set(evidence.findings):
            cautions = tuple(caution for caution in cautions if caution != "limb_leads")
        return replace(
            evidence,
            layout=page.layout if page.layout in LAYOUTS else "other",
            cabrera=page.order == "cabrera",
            mm_per_s=page.mm_per_s,
            mm_per_mv=page.mm_per_mv,
            quality=page.quality,
            cautions=cautions,
            no_signal=page.flat,
        )

    def judge(
        self,
        leads: np.ndarray,
        fs: int,
        measurements: Measurements,
        criteria: str = "definitions",
        person: Person = NOBODY,
    ) -> Evidence:
        """What the leads themselves tell, wherever they come from. leads: [12, n] mV at fs Hz."""
        from scipy.signal import resample_poly  # takes longer to import than a page to read

        thin = resample_poly(leads, ENCODER_FS, fs, axis=1).astype(np.float32)
        probabilities = self.probabilities(thin, measurements)
        if fs > _FACTS_FS:
            leads, fs = resample_poly(leads, _FACTS_FS, fs, axis=1).astype(np.float32), _FACTS_FS
        facts = find_facts(leads, fs, measurements, settle(probabilities, self.thresholds), person)
        return self._evidence(probabilities, measurements, facts, None, criteria, person)

    def _evidence(
        self,
        probabilities: Mapping[str, float],
        measurements: Measurements,
        facts: Mapping[str, Fact],
        sensitivity: float | None,
        criteria: str,
        person: Person,
    ) -> Evidence:
        usual = None if sensitivity is None else self.thresholds
        judged = decide(probabilities, self.thresholds_at(sensitivity), facts, person, criteria, usual)
        measured: dict[str, float | None] = {name: getattr(measurements, name) for name in MEASUREMENTS}
        evidence = Evidence(
            probabilities=judged.probabilities,
            thresholds=judged.thresholds,
            measurements=measured,
            reasons=measurements.reasons,
            leads=measurements.waves,
            rr_variation=measurements.rr_variation,
            criteria=judged.criteria,
            person=person,
        )
        if criteria != "ptbxl" and set(evidence.findings) & WITHOUT_BEATS:
            return replace(
                evidence,
                measurements=dict.fromkeys(MEASUREMENTS),
                reasons=dict.fromkeys(MEASUREMENTS, "unclear"),
                rr_variation=None,
                criteria=_unmeasured(evidence, (*(x.name for x in MEASUREMENTS.values()), "sinus rate")),
            )
        if criteria != "ptbxl" and set(evidence.findings) & WITHOUT_PR:  # what was taken for P waves is none
            retrograde = "JUNC" in evidence.findings and facts["retrograde_p_mv"].value
            return replace(
                evidence,
                measurements={**measured, "pr_ms": None},
                reasons={**measurements.reasons, "pr_ms": "unclear" if retrograde else "no_p_wave"},
                criteria=_unmeasured(evidence, (MEASUREMENTS["pr_ms"].name,)),
            )
        return evidence


def _unmeasured(evidence: Evidence, names: tuple[str, ...]) -> tuple[Criterion, ...]:
    """The criteria, those of what is not there not assessable where they weigh a measurement, by its name,
    that what is there leaves no room for."""
    return tuple(
        replace(c, value=None, met=None, sure=None)
        if c.name.startswith(names) and c.finding not in evidence.findings
        else c
        for c in evidence.criteria
    )
