"""One judgement out of two: what shapes show (the network) and what numbers define (the criteria)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from ecgvlm.judge.agreement import margin, one_of_each, ruled_out, settle
from ecgvlm.judge.criteria import POINTS, Criterion, Rule, assess, clearly_not, holds, network_facts, rules
from ecgvlm.judge.facts import IRREGULAR, UNKNOWN, Fact, Person
from ecgvlm.labels import (
    BESIDE_ESCAPE,
    CHILDREN,
    CODE15,
    FINDINGS,
    LABELS,
    OF_CONDUCTION,
    RHYTHMS,
    SHAPES,
    SUPERCLASSES,
    UNREMARKABLE,
    VENTRICULAR,
    WITHOUT_BEATS,
    WITHOUT_PR,
    in_group,
    may_escape,
)

_WALLS = {"AMI": "anterior", "IMI": "inferior", "LMI": "lateral"}
_NEARLY_NORMAL = 0.5  # of NORM's threshold: from here on an ECG without a finding is normal
_WHY_IRREGULAR = {"SARRH", *in_group("ectopy")}  # what explains it beside the other rhythms and AV blocks
_WIDE_MS = 120  # QRS of paced and escape beats that spread from the ventricles


@dataclass(frozen=True)
class Judgement:
    """probabilities, thresholds: of `LABELS` and of what else could be judged. criteria: of all rules."""

    probabilities: Mapping[str, float]
    thresholds: Mapping[str, float]
    criteria: tuple[Criterion, ...]


def tellable(
    network: Mapping[str, float], thresholds: Mapping[str, float], beats: int, averaged: bool
) -> dict[str, float]:
    """The network's probabilities, low where a page cannot tell: anything without a beat, a rhythm by single
    averaged ones."""
    of_rhythm = (*RHYTHMS, *in_group("ectopy"), "HAVB")
    untold = LABELS if not beats else of_rhythm if averaged else ()
    return {code: min(p, 0.5 * thresholds[code]) if code in untold else p for code, p in network.items()}


def decide(
    network: Mapping[str, float],
    thresholds: Mapping[str, float],
    facts: Mapping[str, Fact],
    person: Person,
    point: str = "definitions",
    usual: Mapping[str, float] | None = None,
) -> Judgement:
    """Weighs the network's probabilities against the definitions, at one of `POINTS`.

    A finding that is defined by numbers is what they say, with the network where they cannot be measured; a
    finding that is a shape is what the network says, unless a condition of its definition is clearly not met.
    An ECG with a finding or without a known rhythm is not normal. At "code15" this goes for its six labels
    alone, and at "ptbxl" for none: the network decides, by its thresholds, and the definitions are only told
    beside it. usual: of `settle`. Raises ValueError for another point.
    """
    if point not in POINTS:
        raise ValueError(f"criteria must be one of {', '.join(POINTS)}, not {point!r}")
    settled = settle(network, thresholds, usual)
    margins = {code: margin(p, thresholds[code]) for code, p in settled.items()}
    known = {**facts, **network_facts(margins)}
    known["sinus_rate_bpm"] = _sinus_rate(known, point, person)
    spikes = holds(assess(rules()["PACE"], known, point, person)) or 0.0
    if margins["PACE"] > 0 or spikes >= rules()["PACE"].threshold:  # which makes the beats regular, no block
        known |= {"regular_fibrillation": Fact(0.0), "blocked_fibrillation": Fact(0.0)}
    weighed = {code: assess(rule, known, point, person) for code, rule in rules().items()}
    criteria = tuple(c for conditions in weighed.values() for c in conditions)
    if point == "ptbxl":
        return Judgement(_as_annotated(network, thresholds, usual), thresholds, criteria)
    probabilities, limits = _weigh(network, thresholds, weighed, usual, point)
    if point == "code15":
        named = _found(probabilities, limits) & set(CODE15)
        return Judgement(_without({"NORM"} if named else set(), probabilities, limits), limits, criteria)
    probabilities = _without(_no_room(_found(probabilities, limits), facts), probabilities, limits)
    found = _found(probabilities, limits)
    seen = _found(network, thresholds) | {code for code in weighed if _defined(code, weighed[code])}
    if orphans := _orphans(found, seen):
        probabilities, found = _without(orphans, probabilities, limits), found - orphans
    for code in _located(found, facts):
        probabilities[code] = max(probabilities[code], limits[code])
        found.add(code)
    abnormal = {code for code in found - UNREMARKABLE if not _harmless(code, facts)}
    doubtful = any(criterion.met is False for criterion in weighed["NORM"]) or not found & set(RHYTHMS)
    doubtful |= _irregular(facts) and not found & _WHY_IRREGULAR
    if abnormal or doubtful:
        probabilities = _without({"NORM"}, probabilities, limits)
    elif usual is None and probabilities["NORM"] >= _NEARLY_NORMAL * limits["NORM"]:
        probabilities["NORM"] = max(probabilities["NORM"], limits["NORM"])
    probabilities = _as_sure_as_their_kinds(probabilities, limits)
    order = [*LABELS, *(code for code in FINDINGS if code in probabilities and code not in LABELS)]
    return Judgement({c: probabilities[c] for c in order}, {c: limits[c] for c in order}, criteria)


def _as_annotated(
    network: Mapping[str, float], thresholds: Mapping[str, float], usual: Mapping[str, float] | None
) -> dict[str, float]:
    """The network's probabilities as PTB-XL is annotated: each ECG has a superclass, if need be the nearest
    to its threshold, and one that has another is not normal."""
    probabilities = one_of_each(network, thresholds, usual)
    found = _found(probabilities, thresholds) & set(SUPERCLASSES)
    if not found:
        nearest = max(SUPERCLASSES, key=lambda code: margin(probabilities[code], thresholds[code]))
        probabilities[nearest] = thresholds[nearest]
    return _without({"NORM"} if len(found) > 1 else set(), probabilities, thresholds)


def _weigh(
    network: Mapping[str, float],
    thresholds: Mapping[str, float],
    weighed: Mapping[str, tuple[Criterion, ...]],
    usual: Mapping[str, float] | None,
    point: str,
) -> tuple[dict[str, float], dict[str, float]]:
    """Probabilities and thresholds of all that was judged, each finding by its rule."""
    ways = {code: rule.by_at(point) for code, rule in rules().items()}
    # What a definition takes back leaves room for what it outdid: of two bundle branch blocks the other.
    checked = {code for code, way in ways.items() if way in ("shape", "both")} - {"NORM"}
    taken_back = {code for code in checked if clearly_not(weighed[code])}
    probabilities = settle(_without(taken_back, network, thresholds), thresholds, usual)
    limits, ruled_out = dict(thresholds), set[str]()
    for code, rule in rules().items():
        sure = holds(weighed[code])
        if ways[code] in ("shape", "network") or sure is None:
            continue
        if ways[code] == "numbers":
            probabilities[code], limits[code] = sure, _threshold(rule, thresholds, usual)
        elif sure >= rule.threshold:
            probabilities[code] = max(probabilities[code], sure, limits[code])
            ruled_out |= set(FINDINGS[code].excludes)
    return one_of_each(_without(ruled_out, probabilities, limits), limits), limits


def _no_room(found: Set[str], facts: Mapping[str, Fact]) -> set[str]:
    """What the rhythm that was found leaves no room for."""
    rhythms = found & {*RHYTHMS, *CHILDREN["HAVB"]}
    out = {other for code in rhythms for other in FINDINGS[code].excludes}
    qrs = facts["qrs_ms"].value
    if WITHOUT_BEATS & found:
        out |= {code for code, finding in FINDINGS.items() if finding.group not in ("rhythm", "recording")}
    if WITHOUT_PR & found:
        out |= OF_CONDUCTION
    wide = qrs is not None and qrs >= _WIDE_MS
    if VENTRICULAR & found or ("PACE" in found and wide):
        out |= set(SHAPES)
    if wide and may_escape(found):
        out |= set(SHAPES) - BESIDE_ESCAPE
    return out


def _orphans(found: Set[str], seen: Set[str]) -> set[str]:
    """The superclasses that were found with a kind of theirs alone, which the rhythm then left no room for.
    seen: what the network sees by itself."""
    out = set[str]()
    for parent, kinds in CHILDREN.items():  # those of a superclass before it
        if parent in found - seen and not (found - out) & set(kinds):
            out.add(parent)
    return out


def _located(found: Set[str], facts: Mapping[str, Fact]) -> set[str]:
    """The wall of an infarction that was found without one, where ST elevation shows it."""
    if not {"MI", "STE"} <= found or found & set(CHILDREN["MI"]):
        return set()
    raised = {code: facts.get(f"st_up_{wall}_mv", UNKNOWN) for code, wall in _WALLS.items()}
    excess = {code: up.value / up.limit for code, up in raised.items() if up.value and up.limit}
    most = max(excess, key=lambda code: excess[code], default=None)
    return {most} if most is not None and excess[most] >= 1 else set()


def _as_sure_as_their_kinds(
    probabilities: Mapping[str, float], limits: Mapping[str, float]
) -> dict[str, float]:
    """The probabilities, none of those found below that of a kind of it that is found."""
    found = _found(probabilities, limits)

    def sure(code: str) -> float:
        return max([probabilities[code], *(sure(kind) for kind in found & set(CHILDREN.get(code, ())))])

    return {code: sure(code) if code in found else p for code, p in probabilities.items()}


def _sinus_rate(known: Mapping[str, Fact], point: str, person: Person) -> Fact:
    """The rate of the P waves where not all of them are conducted, else that of the heart."""
    blocks = ("HAVB", *CHILDREN["HAVB"])
    blocked = any(_defined(code, assess(rules()[code], known, point, person)) for code in blocks)
    return known["p_rate_bpm" if blocked and known["p_rate_bpm"].value is not None else "sinus_rate_bpm"]


def _defined(code: str, criteria: tuple[Criterion, ...]) -> bool:
    """Whether a finding is there by its definition."""
    sure = holds(criteria)
    return sure is not None and sure >= rules()[code].threshold


def _found(probabilities: Mapping[str, float], limits: Mapping[str, float]) -> set[str]:
    return {code for code, p in probabilities.items() if p >= limits[code]}


def _without(
    codes: Set[str], probabilities: Mapping[str, float], limits: Mapping[str, float]
) -> dict[str, float]:
    """The probabilities, those of these findings `ruled_out`."""
    return {c: min(p, ruled_out(limits[c])) if c in codes else p for c, p in probabilities.items()}


def _threshold(rule: Rule, thresholds: Mapping[str, float], usual: Mapping[str, float] | None) -> float:
    """The rule's own; where a sensitivity moved the network's thresholds, moved in proportion."""
    if usual is None or rule.code not in usual:
        return rule.threshold
    return min(rule.threshold, rule.threshold * thresholds[rule.code] / usual[rule.code])


def _irregular(facts: Mapping[str, Fact]) -> bool:
    """Whether the beats are said to be irregular."""
    variation = facts["rr_variation"].value
    return variation is not None and variation >= IRREGULAR


def _harmless(code: str, facts: Mapping[str, Fact]) -> bool:
    """Whether a normal ECG may have this finding at its heart rate."""
    rule, rate = rules().get(code), facts["heart_rate_bpm"].value
    return rule is not None and rule.normal_from is not None and rate is not None and rate >= rule.normal_from
