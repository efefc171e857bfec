"""Findings that agree with each other: of those that exclude each other, one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from ecgvlm.labels import CHILDREN, EXCLUSIVE, FINDINGS

MARGIN_CLIP = 6.0
EVEN_ODDS = 0.5  # least of what is rather there than not
_LESS = 0.99  # times a limit: just below it


def margin(probability: float, threshold: float) -> float:
    """logit(probability) - logit(threshold), clipped to +-6, exactly >= 0 where probability >= threshold."""
    distance = min(max(_logit(probability) - _logit(threshold), -MARGIN_CLIP), MARGIN_CLIP)
    return max(distance, 0.0) if probability >= threshold else min(distance, -1e-9)


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def settle(
    probabilities: Mapping[str, float],
    thresholds: Mapping[str, float],
    usual: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Probabilities without contradictions: of findings that exclude each other only one stays found.

    usual: the thresholds by which the clearest is chosen where `thresholds` were moved for a sensitivity, as
    a threshold of nearly nothing makes anything look clear; sinus rhythm then gives way to any other.

    The others move to `ruled_out`, and a superclass (MI, CD, HYP) to its threshold where one
    of its kinds is found, so that `labels`, `findings` and words agree.
    """
    settled = one_of_each(probabilities, thresholds, usual)
    abnormal = _margins(settled, thresholds, FINDINGS["NORM"].excludes)
    if abnormal and settled["NORM"] >= thresholds["NORM"]:
        if abnormal[-1][0] >= margin(settled["NORM"], thresholds["NORM"]):
            settled["NORM"] = ruled_out(thresholds["NORM"])
        else:
            for _, label in abnormal:
                settled[label] = ruled_out(thresholds[label])
    return settled


def one_of_each(
    probabilities: Mapping[str, float],
    thresholds: Mapping[str, float],
    usual: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """`settle` without its last step, the choice between normal and abnormal."""
    settled = dict(probabilities)
    for group in EXCLUSIVE:
        found = [label for _, label in _margins(settled, thresholds, group)]
        found = [label for label in found if not set(CHILDREN.get(label, ())) & set(found)]
        if usual is None:
            found.sort(key=lambda x: settled[x])
        else:
            found.sort(key=lambda x: (x != "SR", margin(probabilities[x], usual[x])))
        found.sort(key=lambda x: FINDINGS[x].rank)
        for label in found[:-1]:
            settled[label] = ruled_out(thresholds[label])
    for parent, kinds in CHILDREN.items():
        if parent in settled and _margins(settled, thresholds, kinds):
            settled[parent] = max(settled[parent], thresholds[parent])
    return settled


def _margins(
    probabilities: Mapping[str, float], thresholds: Mapping[str, float], labels: Iterable[str]
) -> list[tuple[float, str]]:
    """(margin, label) of those found among these labels, the clearest last."""
    known = [x for x in labels if x in probabilities]
    found = [x for x in known if probabilities[x] >= thresholds[x]]
    return sorted((margin(probabilities[x], thresholds[x]), x) for x in found)


def ruled_out(threshold: float) -> float:
    """The most that what cannot be beside what was found is left with: below its threshold, and rather absent
    than there."""
    return _LESS * min(threshold, EVEN_ODDS)
