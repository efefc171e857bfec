"""Our own report judge: facts of a report against facts of the gold. It asks no one and is not the published
judge.

A report is taken apart into statements: findings it asserts or denies (rhythm among them) and intervals
with their values. Precision and recall are over asserted findings, the rhythm and the intervals; a
statement that the gold says the opposite of is a contradiction. What a gold leaves open ("infarct cannot be
excluded") it does not say.

A gold of one line states few of the facts that hold. Where more is known of a record (its labels, what is
measured on its signal), "facts_held" is the share of stated facts that hold by the gold or by that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ecgvlm.bench import metrics
from ecgvlm.bench.gold import Predictions
from ecgvlm.bench.mentions import find_mentions, normalise
from ecgvlm.bench.parsers import final_answer
from ecgvlm.instruct.row import Row

STATED_RHYTHMS = ("SR", "SB", "ST", "SARRH", "AF", "AFLT", "PACE", "SVT", "VT")
# Rhythms that may hold together: a sinus bradycardia is a sinus rhythm.
_SINUS = frozenset({"SR", "SB", "ST", "SARRH"})
# name: (words, absolute tolerance, relative tolerance). Rate in bpm, intervals in ms, axis in degrees.
_QUANTITIES: dict[str, tuple[str, float, float]] = {
    "heart_rate_bpm": (r"heart rate|ventricular rate|rate|hr|frequenz|herzfrequenz", 5, 0.05),
    "pr_ms": (r"pr interval|pr|pq interval|pq|pq zeit", 20, 0.1),
    "qrs_ms": (r"qrs duration|qrs interval|qrs|qrs dauer", 15, 0.1),
    "qtc_ms": (r"qtc interval|corrected qt(?: interval)?|qtc", 30, 0.07),
    "qt_ms": (r"qt interval|qt|qt zeit", 30, 0.07),
    "axis_deg": (r"(?:qrs |electrical |cardiac )?axis|lagetyp", 20, 0.0),
}
_FILLER = (
    r"\([^)\d]*\)|of|is|was|at|approximately|about|around|duration|interval|deviation|[:=~≈]|,|measures?"
)
_VALUE = rf"(?:\s*(?:{_FILLER}))*\s*"
_UNIT = r"(ms|msec|s|sec|seconds|bpm|/min|beats|°|degrees)"
_PATTERNS = {
    name: re.compile(
        rf"\b(?:{words})\b{_VALUE}(-?\d+(?:\.\d+)?)\s*{_UNIT}?",
        re.IGNORECASE,
    )
    for name, (words, _, _) in _QUANTITIES.items()
}
# What leaves the finding before it open.
_LEFT_OPEN = re.compile(
    r"\W*(?:(?:can ?not|could not|kann nicht|nicht)\W+(?:be\W+)?)"
    r"(?:excluded|ruled out|auszuschlie(?:ss|ß)en|ausgeschlossen)",
    re.IGNORECASE,
)
_RATE_ALONE = re.compile(r"\b(\d{2,3})\s*(?:bpm|/min|beats per minute|beats/min)", re.IGNORECASE)
_PLAUSIBLE = {
    "heart_rate_bpm": (20, 350), "pr_ms": (60, 600), "qrs_ms": (40, 300), "qt_ms": (150, 800),
    "qtc_ms": (200, 800), "axis_deg": (-180, 270),
}  # fmt: skip


@dataclass(frozen=True)
class ReportFacts:
    """What a report states. findings: codes, rhythms apart. values: quantities by name."""

    asserted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    rhythms: frozenset[str] = frozenset()
    values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """One report against its gold. stated, right: facts stated, and those of them the gold states too.
    wanted: facts of the gold. found: those of them stated. contradictions: codes and quantities the two
    disagree on. checked, held: facts stated that the gold or what else is known speaks of, and those that
    hold by either.
    """

    stated: int
    right: int
    wanted: int
    found: int
    contradictions: tuple[str, ...]
    checked: int
    held: int


def extract_facts(text: str) -> ReportFacts:
    """The facts of a report. A code both asserted and denied counts as asserted; NORM and ABNORMAL are
    findings.
    """
    plain = normalise(text)
    mentions = [m for m in find_mentions(text)[0] if not _LEFT_OPEN.match(plain, m.end)]
    said = {m.code for m in mentions if m.asserted and not m.weak}
    said |= {"SR" for m in mentions if m.asserted and m.weak}
    denied = frozenset(m.code for m in mentions if not m.asserted) - said
    return ReportFacts(
        frozenset(said - set(STATED_RHYTHMS)), denied, frozenset(said & set(STATED_RHYTHMS)), _values(plain)
    )


def _values(text: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for name, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            value = float(match[1])
            if name.endswith("_ms") and (match[2] or "").lower() in {"s", "sec", "seconds"}:
                value *= 1000
            low, high = _PLAUSIBLE[name]
            if low <= value <= high:
                values.setdefault(name, value)
    if "heart_rate_bpm" not in values and (alone := _RATE_ALONE.search(text)):
        values["heart_rate_bpm"] = float(alone[1])
    return values


def judge_facts(text: str, gold: str, known: ReportFacts | None = None) -> Verdict:
    """Compares a report's facts with the gold's. known: what else is known of the record.

    A finding is right where the gold asserts it; a rhythm where the gold names the same or both are sinus
    rhythms of which one is unspecific; a value where it lies within the tolerance. A contradiction:
    asserted here and denied there or the reverse, normal against abnormal, another rhythm, a value outside
    the tolerance. What the gold does not speak of is neither.
    """
    mine, theirs = extract_facts(text), extract_facts(gold)
    right = len(mine.asserted & theirs.asserted)
    stated, wanted = len(mine.asserted), len(theirs.asserted)
    found = right
    contradictions = set(mine.asserted & theirs.denied) | set(mine.denied & theirs.asserted)
    if {"NORM", "ABNORMAL"} <= mine.asserted | theirs.asserted and "NORM" in mine.asserted ^ theirs.asserted:
        contradictions.add("NORM")
    if mine.rhythms:
        stated += 1
    if theirs.rhythms:
        wanted += 1
    if mine.rhythms and theirs.rhythms:
        if _same_rhythm(mine.rhythms, theirs.rhythms):
            right += 1
            found += 1
        else:
            contradictions.add("rhythm")
    stated += len(mine.values)
    wanted += len(theirs.values)
    for name in mine.values.keys() & theirs.values.keys():
        if _same_value(name, mine, theirs):
            right += 1
            found += 1
        else:
            contradictions.add(name)
    sources = [theirs] if known is None else [theirs, known]
    truths = [any(code in source.asserted for source in sources) for code in mine.asserted]
    if mine.rhythms and any(source.rhythms for source in sources):
        truths.append(any(_same_rhythm(mine.rhythms, source.rhythms) for source in sources))
    for name in mine.values:
        if speak := [source for source in sources if name in source.values]:
            truths.append(any(_same_value(name, mine, source) for source in speak))
    return Verdict(stated, right, wanted, found, tuple(sorted(contradictions)), len(truths), sum(truths))


def _same_value(name: str, mine: ReportFacts, theirs: ReportFacts) -> bool:
    _, absolute, relative = _QUANTITIES[name]
    value = theirs.values[name]
    return abs(mine.values[name] - value) <= max(absolute, relative * abs(value))


def _same_rhythm(a: frozenset[str], b: frozenset[str]) -> bool:
    if a & b:
        return True
    return bool(a and b and a <= _SINUS and b <= _SINUS and "SR" in a | b)


def judge_reports(
    gold: Sequence[Row],
    predictions: Predictions,
    replicates: int = 1000,
    seed: int = 0,
    known: Mapping[str, ReportFacts] | None = None,
) -> dict[str, Any]:
    """Precision, recall and F1 of facts over all reports, contradictions a report, with 95% intervals by
    patient. known: item -> what else is known of its record; "facts_held" is then given too.

    Figures are of pooled facts (micro). Returns JSON values; "rows" holds each report's verdict.
    """
    rows = [item for item in gold if item.id in predictions.answers]
    texts = [final_answer(predictions.answers[item.id].text) for item in rows]
    more = known or {}
    verdicts = [
        judge_facts(text, "\n".join(item.answers), more.get(item.id)) for text, item in zip(texts, rows)
    ]
    statistics = np.array(
        [
            [v.stated, v.right, v.wanted, v.found, len(v.contradictions), v.checked, v.held, 1]
            for v in verdicts
        ],
        float,
    ).reshape(-1, 8)

    def finish(summed: np.ndarray) -> dict[str, np.ndarray]:
        stated, right, wanted, found, contradictions, checked, held, n = summed.T
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = right / stated, found / wanted
            f1 = np.where(right > 0, 2 * precision * recall / (precision + recall), 0.0)
            return {
                "facts_precision": precision,
                "facts_recall": recall,
                "facts_f1": f1,
                "contradictions": contradictions / n,
                **({} if known is None else {"facts_held": held / checked}),
            }

    group = metrics.clusters([item.patient for item in rows])
    once = {k: float(v[0]) for k, v in finish(statistics.sum(0, keepdims=True)).items()}
    drawn = metrics.bootstrap(group, statistics, finish, replicates, seed)
    return {
        "judge": "ecgvlm facts (ours, not the published judge)",
        "n": len(rows),
        **{k: None if v != v else v for k, v in once.items()},
        "ci95": {k: [None if x != x else x for x in metrics.interval(v)] for k, v in drawn.items()},
        "rows": {item.id: asdict(v) for item, v in zip(rows, verdicts)},
    }
