"""Where on the page each finding rests: the leads without which it falls, and what in them counts.

The leads are found by occlusion: in one after the other, that whose loss costs the finding most first, a
straight line takes the place of what the finding is defined by, and what is left is measured and judged
again, until the probability has fallen far enough. Where it never falls by `DROP`, the line takes the place
of whole leads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgvlm.digitize import Page
from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.findings import ENCODER_FS, FindingsModel, lead_numbers, numbers, strips
from ecgvlm.labels import LABELS
from ecgvlm.measure import Measurements, measure
from ecgvlm.quantile import median
from ecgvlm.record import LEADS

DROP = 0.3  # fall of a finding's probability at which the leads taken away are called its evidence
_ENOUGH = 0.4  # fall that is sought: a page that is drawn without the evidence is not read quite the same
_MOST = 0.9  # of a low probability
_MEASURE_FS = 500.0
# What in a beat a finding is read from (its definition): P to QRS, QRS, or T; all else rests on RR intervals,
# or, as flutter and fibrillation do, on what lies between the beats: whole leads are marked.
_INTERVALS: dict[str, tuple[str, ...]] = {
    "1dAVb": ("P",), "HAVB": ("P",), "RBBB": ("QRS",), "LBBB": ("QRS",),
    "IRBBB": ("QRS",), "LAFB": ("QRS",), "CD": ("QRS",), "LVH": ("QRS",), "HYP": ("QRS",), "LVOLT": ("QRS",),
    "AMI": ("QRS", "T"), "IMI": ("QRS", "T"),
    "LMI": ("QRS", "T"), "MI": ("QRS", "T"), "STTC": ("T",),
}  # fmt: skip
# Findings that are beats which come early, and the s around their R peaks from P wave to end of T.
_EARLY_BEATS = ("PAC", "PVC")
EARLY = (-0.2, 0.45)
# The leads that a finding's definition names come first where occlusion tells little between leads.
_DEFINED: dict[str, tuple[str, ...]] = {
    "1dAVb": ("II",), "HAVB": ("II",), "AF": ("II", "V1"), "AFLT": ("II", "III", "aVF", "V1"),
    "RBBB": ("V1", "V6", "I"), "IRBBB": ("V1", "V6"), "LBBB": ("V1", "V6", "I"),
    "LAFB": ("I", "aVL", "II", "aVF"),
    "LVH": ("V1", "V2", "V5", "V6", "aVL"), "AMI": ("V1", "V2", "V3", "V4"), "IMI": ("II", "III", "aVF"),
    "LMI": ("I", "aVL", "V5", "V6"),
}  # fmt: skip
_DEFINED_WORTH = 0.05


@dataclass(frozen=True)
class Ground:
    """The evidence of one finding.

    intervals: of `overlay.Interval`, in which it shows in these leads; none where it rests on all of their
    traces. premature: whether it shows in the beats that come early. drop: by this its probability falls
    without them.
    """

    label: str
    leads: tuple[str, ...]
    drop: float
    intervals: tuple[str, ...]
    premature: bool


def find_grounds(page: Page, evidence: Evidence, model: FindingsModel) -> tuple[Ground, ...]:
    """The evidence of every abnormal finding that the network judges, in the findings' order."""
    leads = page.leads(ENCODER_FS)
    printed = [k for k in range(12) if np.isfinite(leads[k]).any()]
    worth = {k: _without(leads, page.measurements, k, model) for k in printed}
    occlusion = _Occlusion(page, leads, model)
    grounds = []
    for label in (x for x in evidence.findings if x in occlusion.whole and x not in ("NORM", "SR")):
        defined = _DEFINED.get(label, ())
        order = sorted(
            printed, key=lambda k: worth[k][label] - (_DEFINED_WORTH if LEADS[k] in defined else 0.0)
        )
        grounds.append(_ground(label, order, occlusion, page.measurements))
    return tuple(grounds)


def _ground(label: str, order: Sequence[int], occlusion: _Occlusion, measured: Measurements) -> Ground:
    """order: leads, that whose loss costs the finding most first."""
    # What a finding is defined by first; where that does not decide, all of the leads.
    by_definition = _INTERVALS.get(label, ()), label in _EARLY_BEATS
    for intervals, early in dict.fromkeys((by_definition, ((), False))):
        taken, drop = occlusion.fewest(label, order, _spans(measured, intervals, early))
        if drop >= DROP:
            break
    names = tuple(lead for k, lead in enumerate(LEADS) if k in taken)
    return Ground(label, names, float(drop), intervals, early)


class _Occlusion:
    """What a model says of a page of which some is hidden. leads: of the page at `ENCODER_FS`."""

    def __init__(self, page: Page, leads: np.ndarray, model: FindingsModel):
        self._leads, self._fine, self._model = leads, page.leads(_MEASURE_FS), model
        self.whole = model.probabilities(leads, page.measurements)

    def fewest(
        self, label: str, order: Sequence[int], spans: Sequence[tuple[float, float]]
    ) -> tuple[Sequence[int], float]:
        """The first leads of an order whose spans, hidden, let a finding's probability fall far enough, or
        all of them; and by how much it falls."""
        enough = max(DROP, min(_ENOUGH, _MOST * self.whole[label]))
        drop = 0.0
        for n in range(1, len(order) + 1):
            drop = self._drop(label, order[:n], spans)
            if drop >= enough:
                return order[:n], drop
        return order, drop

    def _drop(self, label: str, taken: Sequence[int], spans: Sequence[tuple[float, float]]) -> float:
        rest = _hidden(self._leads, ENCODER_FS, taken, spans)
        measured = measure(_hidden(self._fine, _MEASURE_FS, taken, spans), _MEASURE_FS)
        return self.whole[label] - self._model.probabilities(rest, measured)[label]


def _spans(measured: Measurements, intervals: Sequence[str], early: bool) -> list[tuple[float, float]]:
    """Start and end in s of what is marked of each beat: its intervals, or all of it where it comes early.

    Empty where nothing is, as the whole leads are then.
    """
    edges, spans = measured.spans, []
    for beat, premature in zip(measured.beats.tolist(), measured.premature.tolist()):
        if premature and early:
            spans.append((beat + EARLY[0], beat + EARLY[1]))
        elif not premature:
            spans += [
                (beat + start, beat + end)
                for start, end in (edges[name] for name in intervals if name in edges)
            ]
    return spans


def _hidden(
    leads: np.ndarray, fs: float, taken: Sequence[int], spans: Sequence[tuple[float, float]]
) -> np.ndarray:
    """[12, n] mV at fs Hz with straight lines in the spans of the taken leads; in all of them without spans.

    Not nothing at all: where a trace stops, the digitiser may take the next row's for it.
    """
    out = leads.copy()
    time = (np.arange(leads.shape[1]) + 0.5) / fs
    gone = np.full(leads.shape[1], not spans)
    for start, end in spans:
        gone |= (time >= start) & (time < end)
    for k in taken:
        known = np.isfinite(leads[k])
        if not (known & ~gone).any():
            out[k, known] = median(leads[k, known])
        else:
            here = known & gone
            out[k, here] = np.interp(time[here], time[known & ~gone], leads[k, known & ~gone])
    return out


def _without(leads: np.ndarray, measured: Measurements, k: int, model: FindingsModel) -> dict[str, float]:
    """Probabilities with lead k hidden from the encoder, the measurements of the whole page as they were."""
    rest, beat, known = strips(leads), measured.median_beat.copy(), numbers(measured)
    rest[k], beat[k] = np.nan, np.nan
    known[lead_numbers(LEADS[k])] = np.nan
    return dict(zip(LABELS, model.calibrated(rest[None], beat[None], known[None])[0].tolist()))
