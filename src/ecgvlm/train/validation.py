"""What a generated answer is worth, by the kind of its question and what is known of its page: 0 to 1.

A row's own labels are the truth. The gold's words only say which of them were asked for, so that a report's
"ST +0.8 mm" is no tachycardia, and a true finding that the gold leaves out is no error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecgvlm.bench.facts import ReportFacts, judge_facts
from ecgvlm.bench.metrics import anls
from ecgvlm.bench.parsers import (
    gold_options,
    lettered_options,
    question_options,
    strict_choice,
    strict_labels,
    strict_options,
)
from ecgvlm.labels import LABELS
from ecgvlm.record import LEADS
from ecgvlm.vocabulary import RHYTHMS, with_parents


@dataclass(frozen=True)
class Truth:
    """What is known of the page that a question is about.

    kind: of `instruct.records.ROW_KINDS`, "" where the row does not say. labels: codes that hold, None where
    nobody says. open: codes that may hold or not.
    """

    kind: str = ""
    labels: frozenset[str] | None = None
    open: frozenset[str] = frozenset()


def truth_of(metadata: Mapping[str, Any]) -> Truth:
    """The truth that a row of `ecgvlm instruct build` carries; of any other row nothing but its kind."""
    labels = metadata.get("labels")
    return Truth(
        str(metadata.get("kind") or metadata.get("type") or ""),
        None if labels is None else frozenset(labels),
        frozenset(metadata.get("unknown") or ()),
    )


@dataclass(frozen=True)
class Answered:
    """One validation question with its gold, the model's answer and what is known."""

    question: str
    gold: str
    answer: str
    truth: Truth


def worth(row: Answered) -> float:
    """How right the answer is, 0 to 1; the gold itself is worth 1."""
    return _JUDGES.get(row.truth.kind, _unnamed)(row)


def figures(rows: Sequence[Answered]) -> dict[str, float]:
    """The mean worth of each kind of question that occurs, and "all": the mean of these means."""
    kinds: dict[str, list[float]] = {}
    for row in rows:
        kinds.setdefault(row.truth.kind or "other", []).append(worth(row))
    means = {kind: sum(values) / len(values) for kind, values in sorted(kinds.items())}
    return {"all": sum(means.values()) / len(means), **means}


_READ = (*LABELS, "ABNORMAL")


def _labels(row: Answered) -> float:
    """F1 of the labels stated against those that were asked for and hold."""
    stated, asked = strict_labels(row.answer, _READ), strict_labels(row.gold, _READ)
    if not asked.parsed:
        return _options(row) if _lists_options(row) else _report(row)
    if not stated.parsed:
        return 0.0
    held = asked.labels if row.truth.labels is None else with_parents(row.truth.labels)
    if "NORM" not in held | row.truth.open:
        held |= {"ABNORMAL"}
    wanted = asked.labels & held or asked.labels
    wrong = stated.labels - held - row.truth.open - asked.labels
    return _f1(len(stated.labels & wanted), len(stated.labels & wanted) + len(wrong), len(wanted))


def _report(row: Answered) -> float:
    """F1 of facts: those stated that hold by the gold or the labels, and those of the gold that are
    stated."""
    known, rhythms = None, frozenset(RHYTHMS)
    if row.truth.labels is not None:
        known = ReportFacts(asserted=row.truth.labels - rhythms, rhythms=row.truth.labels & rhythms)
    verdict = judge_facts(row.answer, row.gold, known)
    if not verdict.wanted:
        return _alike(row)
    precision = verdict.held / verdict.checked if verdict.checked else 0.0
    recall = verdict.found / verdict.wanted
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _letter(row: Answered) -> float:
    letter = strict_choice(row.gold, row.question)
    return _unnamed(row) if letter is None else float(strict_choice(row.answer, row.question) == letter)


_VERDICT = re.compile(r"\W*(yes|no|not sure)\b", re.IGNORECASE)


def _yes_no(row: Answered) -> float:
    gold, said = _VERDICT.match(row.gold), _VERDICT.match(row.answer)
    if gold is None:
        return _alike(row)
    return float(said is not None and said[1].lower() == gold[1].lower())


_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?")
_TOLERANCE = 0.05  # of a number; of small ones (millimetres) half a unit


def _numbers(row: Answered) -> float:
    """F1 of the numbers stated, in their order."""
    gold, said = ([float(x) for x in _NUMBER.findall(text)] for text in (row.gold, row.answer))
    if not gold:
        return _alike(row)
    right = sum(abs(a - b) <= max(0.5, _TOLERANCE * abs(a)) for a, b in zip(gold, said))
    return _f1(right, len(said), len(gold))


_LEAD = re.compile(rf"(?<!\w)({'|'.join(sorted(LEADS, key=len, reverse=True))})(?!\w)")


def _leads(row: Answered) -> float:
    gold, said = set(_LEAD.findall(row.gold)), set(_LEAD.findall(row.answer))
    return _f1(len(gold & said), len(said), len(gold)) if gold | said else _alike(row)


def _options(row: Answered) -> float:
    """F1 of the options that the answer takes of those in the question."""
    wanted = gold_options(row.gold, row.question, "strict")
    said = strict_options(row.answer, row.question).labels
    return _f1(len(wanted & said), len(said), len(wanted))


def _lists_options(row: Answered) -> bool:
    """Whether the question lists options, as ECG-QA's do, and the gold is some of them."""
    offered = {option.lower() for option in question_options(row.question)}
    return bool(offered) and gold_options(row.gold, row.question, "strict") <= offered


def _within(row: Answered) -> float:
    """A number and what it amounts to in words."""
    return (_numbers(row) + _alike(row)) / 2


def _alike(row: Answered) -> float:
    return float(anls([" ".join(row.answer.split())], [[" ".join(row.gold.split())]])[0])


def _unnamed(row: Answered) -> float:
    """A row that does not say what kind it is of: by what its question and its gold look like."""
    lettered = len(row.gold.strip()) <= 2 or len(lettered_options(row.question)) > 1
    if lettered and strict_choice(row.gold, row.question):
        return _letter(row)
    if _VERDICT.match(row.gold):
        return _yes_no(row)
    if len(row.gold) < 200 and strict_labels(row.gold, _READ).labels:
        return _labels(row)
    return _options(row) if _lists_options(row) else _report(row)


def _f1(right: int, stated: int, wanted: int) -> float:
    return 2 * right / (stated + wanted) if stated + wanted else 1.0


# kind of question (`instruct.records.ROW_KINDS`), or type of an ECGInstruct row -> how its answers are judged
_JUDGES: dict[str, Callable[[Answered], float]] = {
    **dict.fromkeys(("verdict", "close", "findings", "group", "rhythm"), _labels),
    **dict.fromkeys(("report", "diagnosis"), _report),
    **dict.fromkeys(("choice", "multi-choice"), _letter),
    **dict.fromkeys(("pick", "finding", "premise", "limit", "lead_sign", "yes-no"), _yes_no),
    **dict.fromkeys(("measurement", "lead_amount", "lead", "scale"), _numbers),
    "within": _within,
    "leads_list": _leads,
    **dict.fromkeys(("regular", "layout", "cabrera"), _alike),
}
