"""Where on the page each finding rests: the leads without which it falls, and what in them counts.

The leads are found by occlusion: one after the other is taken off the page, that whose loss costs the finding
most first, and what is left is measured and judged again, until the probability has fallen by `DROP`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgvlm.digitize import Page
from ecgvlm.labels import LABELS
from ecgvlm.measure import Measurements, measure
from ecgvlm.model.evidence import WAVES, Evidence
from ecgvlm.model.findings import FS, FindingsModel, numbers, strips
from ecgvlm.record import LEADS

DROP = 0.3  # fall of a finding's probability at which the leads taken away are called its evidence
_MEASURE_FS = 500.0
_BASE = 13  # numbers before those of the waves
# What in a beat a finding is read from (its definition): P to QRS, QRS, or T; all else rests on RR intervals.
_INTERVALS: dict[str, tuple[str, ...]] = {
    "1dAVb": ("P",), "HAVB": ("P",), "AF": ("P", "QRS"), "RBBB": ("QRS",), "LBBB": ("QRS",),
    "IRBBB": ("QRS",), "LAFB": ("QRS",), "CD": ("QRS",), "LVH": ("QRS",), "HYP": ("QRS",), "LVOLT": ("QRS",),
    "AMI": ("QRS", "T"), "IMI": ("QRS", "T"),
    "LMI": ("QRS", "T"), "MI": ("QRS", "T"), "STTC": ("T",),
}  # fmt: skip
# The leads that a finding's definition names come first where occlusion tells little between leads.
_DEFINED: dict[str, tuple[str, ...]] = {
    "1dAVb": ("II",), "HAVB": ("II",), "AF": ("II", "V1"), "AFLT": ("II", "III", "aVF", "V1"),
    "RBBB": ("V1", "V6", "I"), "IRBBB": ("V1", "V6"), "LBBB": ("V1", "V6", "I"),
    "LAFB": ("I", "aVL", "II", "aVF"),
    "LVH": ("V1", "V2", "V5", "V6", "aVL"), "AMI": ("V1", "V2", "V3", "V4"), "IMI": ("II", "III", "aVF"),
    "LMI": ("I", "aVL", "V5", "V6"),
}  # fmt: skip
_DEFINED_WORTH = 0.05
_WORDS = {"P": "P waves", "QRS": "QRS complexes", "T": "ST segments and T waves"}


@dataclass(frozen=True)
class Ground:
    """The evidence of one finding.

    leads: without them its probability falls by drop. intervals: of `overlay.Interval`, in which it shows;
    none where it rests on the times of the beats. premature: whether those that come early are it.
    """

    label: str
    leads: tuple[str, ...]
    drop: float
    intervals: tuple[str, ...]
    premature: bool

    @property
    def text(self) -> str:
        """What the finding was judged by, in a sentence."""
        if self.premature:
            shown = "early beats"
        else:
            shown = " and ".join(_WORDS[name] for name in self.intervals) or "times of the beats"
        leads = "all leads" if len(self.leads) == len(LEADS) else ", ".join(self.leads)
        if self.drop < DROP:
            return f"Judged by the {shown} in {leads}; no part of the page alone decides."
        fall = round(100 * self.drop)
        return f"Judged by the {shown} in {leads}: without them the probability falls by {fall} points."


def find_grounds(
    page: Page, measured: Measurements, evidence: Evidence, model: FindingsModel
) -> tuple[Ground, ...]:
    """The evidence of every abnormal finding, in the findings' order."""
    leads, fine = page.leads(FS), page.leads(_MEASURE_FS)
    printed = [k for k in range(12) if np.isfinite(leads[k]).any()]
    whole = model.probabilities(leads, measured)
    worth = {k: _without(leads, measured, k, model) for k in printed}
    grounds = []
    for label in (x for x in evidence.findings if x not in ("NORM", "SR")):
        defined = _DEFINED.get(label, ())
        order = sorted(
            printed, key=lambda k: worth[k][label] - (_DEFINED_WORTH if LEADS[k] in defined else 0.0)
        )
        taken: list[int] = []
        drop = 0.0
        for k in order:
            taken.append(k)
            rest, fine_rest = leads.copy(), fine.copy()
            rest[taken], fine_rest[taken] = np.nan, np.nan
            drop = whole[label] - model.probabilities(rest, measure(fine_rest, _MEASURE_FS))[label]
            if drop >= DROP:
                break
        names = tuple(lead for k, lead in enumerate(LEADS) if k in taken)
        premature = label in ("PAC", "PVC")
        grounds.append(Ground(label, names, float(drop), _INTERVALS.get(label, ()), premature))
    return tuple(grounds)


def _without(leads: np.ndarray, measured: Measurements, k: int, model: FindingsModel) -> dict[str, float]:
    """Probabilities with lead k hidden from the encoder, the measurements of the whole page as they were."""
    rest, beat, known = strips(leads), measured.median_beat.copy(), numbers(measured)
    rest[k], beat[k] = np.nan, np.nan
    known[_BASE + k * len(WAVES) : _BASE + (k + 1) * len(WAVES)] = np.nan
    return dict(zip(LABELS, model.calibrated(rest[None], beat[None], known[None])[0].tolist()))
