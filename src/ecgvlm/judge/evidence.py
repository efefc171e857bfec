"""What a page holds: findings, measurements, leads and the page itself, and how its numbers are said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from ecgvlm.judge.agreement import EVEN_ODDS, MARGIN_CLIP, margin
from ecgvlm.judge.criteria import Criterion, beyond_scope
from ecgvlm.judge.facts import IRREGULAR, NOBODY, Person
from ecgvlm.labels import (
    FINDINGS,
    LABELS,
    SHAPES,
    UNREMARKABLE,
    VENTRICULAR,
    may_escape,
)
from ecgvlm.measure import MEASUREMENTS, LeadWaves
from ecgvlm.record import LEADS

REASONS = ("no_p_wave", "not_printed", "too_short", "unclear")
LAYOUTS = ("3x4", "3x4+1R", "3x4+3R", "6x2", "6x2+1R", "12x1", "other")
# What is odd about a page, in the words of the answers.
CAUTIONS = {
    "limb_leads": "the limb electrodes seem to be swapped",
    "mirrored": "the page seems to be mirrored",
    "scale": "the paper speed or the gain is not certain",
    "gain": "neither a calibration pulse nor a printed gain is seen, so the usual gain was assumed",
    "no_grid": "no grid is seen, so times and voltages are only estimated",
    "cut_off": "leads are missing or cut off",
    "child": "it may be a child's ECG, but the limits used here are an adult's",
    "unlike": "the page is unlike those that I learned from",
    "unsure": "the findings are a close call, so have a specialist read it",
    "no_signal": "leads are printed without a signal",
    "no_qrs": "no QRS complex was found",
    "averaged": "single averaged beats are printed, which tell no rate and no rhythm",
    "several": "another ECG is on the picture, which this answer is not about",
    "nameless": "no lead names are printed, so the usual order was assumed",
    "longer": "the record goes on after the ten seconds that were read",
}
_SHOWS_LITTLE = {"no_signal", "no_qrs", "averaged"}
_NEIGHBOURS = (("aVL", "I", "II", "aVF", "III"), ("V1", "V2", "V3", "V4", "V5", "V6"))
# A measurement beyond its limit of normal -> the findings of which one then stands behind it.
_WIDE = ("RBBB", "LBBB", "IVCD", "WPW", "PACE", "VT", "IVR", "AVB3")
BEHIND: dict[tuple[str, str], tuple[str, ...]] = {
    ("pr_ms", "low"): ("SHORTPR", "WPW"), ("pr_ms", "high"): ("1dAVb", "HAVB"), ("qrs_ms", "high"): _WIDE,
    ("qtc_ms", "low"): ("SQT",), ("qtc_ms", "high"): ("LQT",),
}  # fmt: skip
SLOWEST, FASTEST = 40, 150  # bpm; a rate beyond these is urgent
_SURE = 0.9  # probability that a number meets a condition from which on it is not borderline
HEDGE = 0.5  # a margin (in logits) closer to the threshold than this is worded with care
POOR_QUALITY = 0.5
_MAX_MV = 3.99


@dataclass(frozen=True)
class Evidence:
    """Everything that an answer may state.

    probabilities, thresholds: calibrated probability of each of `LABELS` and of what else was judged, and the
    probability from which on it counts as found. measurements: each of `MEASUREMENTS`, None where it cannot
    be known; reasons then says why, by one of `REASONS` ("unclear" where it says nothing). rr_variation:
    standard deviation of the RR intervals divided by their mean, None where fewer than three beats are
    printed. leads: the waves of each lead, None where it is not printed. mm_per_s, mm_per_mv, layout (one of
    `LAYOUTS`), cabrera and quality (0..1) describe the page; cautions are of `CAUTIONS`, in their order;
    no_signal: leads that are printed as flat lines.
    criteria: the conditions of all definitions, as far as they are met on this page. person: whose limits
    they have.
    """

    probabilities: Mapping[str, float]
    thresholds: Mapping[str, float]
    measurements: Mapping[str, float | None]
    leads: Mapping[str, LeadWaves | None]
    reasons: Mapping[str, str] = field(default_factory=dict)
    rr_variation: float | None = None
    layout: str = "other"
    cabrera: bool = False
    mm_per_s: float = 25.0
    mm_per_mv: float = 10.0
    quality: float = 1.0
    cautions: tuple[str, ...] = ()
    no_signal: tuple[str, ...] = ()
    criteria: tuple[Criterion, ...] = ()
    person: Person = NOBODY

    def __post_init__(self) -> None:
        for name, judged in (("probabilities", self.probabilities), ("thresholds", self.thresholds)):
            if not set(LABELS) <= set(judged) <= set(FINDINGS):
                raise ValueError(f"{name} must have all of {', '.join(LABELS)}, not {', '.join(judged)}")
        for name, wanted, given in (
            ("measurements", MEASUREMENTS, self.measurements),
            ("leads", LEADS, self.leads),
        ):
            if set(wanted) != set(given):
                raise ValueError(f"{name} must have exactly {', '.join(wanted)}, not {', '.join(given)}")
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {self.layout!r}")
        if unknown := set(self.reasons.values()) - set(REASONS):
            raise ValueError(f"reasons must be of {', '.join(REASONS)}, not {', '.join(unknown)}")
        if list(self.cautions) != [caution for caution in CAUTIONS if caution in self.cautions]:
            raise ValueError(
                f"cautions must be of {', '.join(CAUTIONS)}, in this order, not {', '.join(self.cautions)}"
            )

    def margin(self, label: str) -> float:
        """logit(probability) - logit(threshold), clipped to +-6; the label is found where it is >= 0.

        A finding that was not judged is not found.
        """
        if label not in self.probabilities:
            return -MARGIN_CLIP
        return margin(self.probabilities[label], self.thresholds[label])

    def probability(self, label: str) -> float:
        """Calibrated probability, 0 of a finding that was not judged."""
        return self.probabilities.get(label, 0.0)

    @cached_property
    def findings(self) -> tuple[str, ...]:
        """Those whose probability reaches their threshold: `LABELS` in their order, then the others."""
        beyond = (code for code in FINDINGS if code not in LABELS)
        return tuple(label for label in (*LABELS, *beyond) if self.margin(label) >= 0)

    @cached_property
    def possible(self) -> tuple[str, ...]:
        """Those that are rather there than not, but not surely enough to count as found, in the ontology's
        order: what is neither called nor denied."""
        likely = {code for code, p in self.probabilities.items() if p >= EVEN_ODDS} - {"NORM"}
        return tuple(code for code in FINDINGS if code in likely - set(self.findings))

    @cached_property
    def urgent(self) -> tuple[str, ...]:
        """As `urgent`; ST elevation by neighbouring leads where its definition was not weighed."""
        by_leads = "NORM" not in self.findings and not self.ventricular and not self.beyond_scope("STE")
        shown = by_leads and "STE" not in self.probabilities and self.where("STE")
        found = (*self.findings, "STE") if shown else self.findings
        return urgent(found, self.measurements["heart_rate_bpm"])

    @cached_property
    def unassessable(self) -> frozenset[str]:
        """Findings whose definition cannot be weighed on this page and that were not judged otherwise."""
        weighed = {c.finding for c in self.criteria}
        return frozenset(code for code in weighed if code not in self.probabilities)

    def why(self, label: str) -> tuple[Criterion, ...]:
        """The conditions of one finding's definition, with what was measured."""
        return tuple(c for c in self.criteria if c.finding == label)

    def beyond_scope(self, label: str) -> bool:
        """Whether a definition that the page may meet does not speak of such pages, as of wide QRS."""
        return beyond_scope(self.why(label))

    @property
    def abstain(self) -> bool:
        """Whether the findings are too unsure to rest on: a specialist must read the page."""
        return "unsure" in self.cautions

    @property
    def incomplete(self) -> bool:
        """Whether what is printed shows nothing abnormal, but too little to call the ECG normal."""
        little = "NOSIGNAL" in self.findings or _SHOWS_LITTLE & set(self.cautions)
        return bool(little) and set(self.findings) <= UNREMARKABLE

    @property
    def ventricular(self) -> bool:
        """Whether the beats spread from the ventricles, so that their shapes tell nothing else."""
        paced = "PACE" in self.findings and self.wide and not set(self.findings) & set(SHAPES)
        escape = self.wide and may_escape(self.findings)
        return paced or escape or bool(VENTRICULAR & set(self.findings))

    @property
    def wide(self) -> bool:
        """Whether the QRS is known to be wide."""
        return self.measurements["qrs_ms"] is not None and self.limit("qrs_ms") == "high"

    def reason(self, measurement: str) -> str:
        return self.reasons.get(measurement, "unclear")

    def limit(self, measurement: str) -> str:
        """Where a measurement that is not None lies: "low", "normal" or "high"."""
        value = self.measurements[measurement]
        assert value is not None
        return MEASUREMENTS[measurement].place(value)

    def borderline(self, measurement: str) -> bool:
        """Whether a measurement lies beyond its limit, but not so far that a finding follows from it.

        Far beyond it none may follow either: a wide QRS speaks against a long QT. That is not borderline.
        """
        behind = BEHIND.get((measurement, self.counted_limit(measurement)))
        if not self.criteria or behind is None or set(behind) & set(self.findings):
            return False
        return not any(surely(measurement, c.name, c.sure) for c in self.why(behind[0]))

    def inconsequential(self, measurement: str) -> bool:
        """Whether a measurement as it was measured lies beyond its limit, but no finding follows: where it is
        borderline, or within its limits as definitions count it."""
        beyond = self.limit(measurement) != "normal"
        return self.borderline(measurement) or (beyond and self.counted_limit(measurement) == "normal")

    def counted_limit(self, measurement: str) -> str:
        """Where a measurement that is not None lies as definitions count it."""
        return MEASUREMENTS[measurement].place(self.counted(measurement))

    def counted(self, measurement: str) -> float:
        """A measurement that is not None as definitions count it: QTc by Fridericia's correction where
        Bazett's overdoes it."""
        value = self.measurements[measurement]
        assert value is not None
        weighed = (c for c in self.why("LQT") if c.name.startswith(MEASUREMENTS["qtc_ms"].name))
        qtc = next((c.value for c in weighed), None) if measurement == "qtc_ms" else None
        return value if qtc is None else qtc

    @property
    def regularity(self) -> str:
        """ "regular", "slightly irregular", "irregular" or "unknown", from the RR intervals."""
        if self.rr_variation is None:
            return "unknown"
        if self.rr_variation < 0.06 and "SARRH" not in self.findings:
            return "regular"
        return "slightly irregular" if self.rr_variation < IRREGULAR else "irregular"

    def sign(self, sign: str, lead: str) -> bool:
        """Whether a printed lead shows one of `SIGNS`.

        ST elevation: 0.1 mV, 0.2 mV in V2 and V3; depression: 0.05 mV (fourth universal definition of
        myocardial infarction, 2018). T inversion: 0.1 mV. Q wave: 0.1 mV deep and a quarter of R.
        """
        waves = self.leads[lead]
        if waves is None:
            return False
        if sign == "STE":
            return tenths_mm(waves.st) >= (20 if lead in ("V2", "V3") else 10)
        if sign == "STD":
            return tenths_mm(waves.st) <= -5
        if sign == "TINV":
            return tenths_mm(waves.t) <= -10
        return tenths_mm(waves.q) <= -10 and tenths_mm(waves.q) * -4 >= tenths_mm(waves.r)

    def leads_with(self, sign: str) -> tuple[str, ...]:
        """The leads that show a sign; aVR, which looks at the heart from behind, is left out."""
        return tuple(lead for lead in LEADS if lead != "aVR" and self.sign(sign, lead))

    def beside(self, sign: str) -> tuple[str, ...]:
        """The leads that show a sign beside a neighbour with it, as a report states signs.

        Neighbours look at the heart from angles next to each other: V1 to V6, and in the frontal plane aVL,
        I, II, aVF, III (fourth universal definition of myocardial infarction, 2018). What one lead shows
        alone is mostly a normal variant: T inversion in V1 or III, a Q wave in III.
        """
        found = self.leads_with(sign)
        pairs = [pair for row in _NEIGHBOURS for pair in pairwise(row) if set(pair) <= set(found)]
        return tuple(lead for lead in found if any(lead in pair for pair in pairs))

    def where(self, sign: str) -> tuple[str, ...]:
        """The leads in which a report states a sign: none where its definition was weighed and is not met."""
        if sign in self.probabilities and sign not in self.findings:
            return ()
        shown = {*self.defined_in(sign), *self.beside(sign)}
        return tuple(lead for lead in LEADS if lead in shown)

    def defined_in(self, label: str) -> tuple[str, ...]:
        """The leads in which a condition of a definition is met."""
        met = {lead for criterion in self.why(label) if criterion.met for lead in criterion.leads}
        return tuple(lead for lead in LEADS if lead in met)

    def shows(self, sign: str) -> bool:
        """Whether at least two leads show a sign."""
        return len(self.leads_with(sign)) >= 2


def urgent(findings: Collection[str], heart_rate_bpm: float | None) -> tuple[str, ...]:
    """What somebody must act on at once: of these findings those of `labels` that are urgent, none of which
    another one is a kind, and "heart_rate_bpm" where that is extreme.

    A block that is known to be Wenckebach's is not, nor is an infarction without ST elevation: a page does
    not tell it from an old one.
    """
    implied = {parent for code in findings for parent in FINDINGS[code].parents}
    codes = [code for code in findings if FINDINGS[code].urgency and code not in implied]
    extreme = heart_rate_bpm is not None and not SLOWEST <= round(heart_rate_bpm) <= FASTEST
    return (*codes, "heart_rate_bpm") if extreme else tuple(codes)


def tenths_mm(mv: float) -> int:
    """Tenths of a millimetre at 10 mm/mV, the unit that texts speak in."""
    return round(min(max(mv, -_MAX_MV), _MAX_MV) * 100)


def say_measurement(value: float) -> str:
    return str(round(value))


def surely(measurement: str, condition: str, sure: float | None) -> bool:
    """Whether a definition's condition, by its name, is about a measurement and met beyond doubt."""
    return condition.startswith(MEASUREMENTS[measurement].name) and sure is not None and sure >= _SURE


def say_mm(mv: float, signed: bool = False) -> str:
    """Millimetres at 10 mm/mV: "2.1", and with its sign where asked: "+2.1"."""
    tenths = tenths_mm(mv)
    sign = ("-" if tenths < 0 else "+") if signed else ""
    return f"{sign}{abs(tenths) // 10}.{abs(tenths) % 10}"


def say_scale(value: float) -> str:
    """A speed or gain as it is printed: "25", "12.5"."""
    return f"{value:.3g}"[:4]
