"""Contradictions inside one answer: between its report, its findings and its measurements.

The answer is the contract's JSON object, in English, at a working point of definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from ecgvlm.judge.agreement import EVEN_ODDS
from ecgvlm.judge.evidence import BEHIND, surely, urgent
from ecgvlm.labels import (
    CHILDREN,
    EXCLUSIVE,
    FINDINGS,
    OF_CONDUCTION,
    UNREMARKABLE,
    WITHOUT_PR,
    in_group,
)

_DENIALS = {
    "No conduction disturbance": in_group("conduction"),
    "No evidence of hypertrophy": in_group("hypertrophy"),
    "No evidence of infarction": in_group("infarction"),
    "No ST-T changes": in_group("repolarization"),
    "No premature complexes": ("PVC", "PAC", "BIGEM", "TRIGEM"),
}
_OF_QT = {code for code, finding in FINDINGS.items() if finding.one_of == "QT"}  # no ST-T changes
_STATED = {  # sentence -> the finding that must stand behind it
    r"\bST elevation in ": "STE", r"\bST depression in ": "STD", r"\bT wave inversion in ": "TINV",
    r"Left axis deviation": "LAD", r"Right axis deviation": "RAD",
}  # fmt: skip
# How reports call a measurement beyond its limit.
_CALLED = {
    ("pr_ms", "high"): r"PR \d+ ms \(prolonged\b", ("pr_ms", "low"): r"PR \d+ ms \(short\b",
    ("qrs_ms", "high"): r"QRS \d+ ms \(wide\b", ("qtc_ms", "high"): r"QTc \d+ ms \(prolonged\b",
    ("qtc_ms", "low"): r"QTc \d+ ms \(short\b",
}  # fmt: skip
_NARROW = 110  # ms; a complete bundle branch block is wider


def contradictions(answer: Mapping[str, Any]) -> list[str]:
    """What does not fit together in an answer, a line each; [] for an answer without an ECG."""
    if not answer.get("ok"):
        return []
    checks = (*_verdict(answer), *_sentences(answer), *_together(answer), *_warnings(answer))
    return [text for wrong, text in checks if wrong]


_Checks = Iterator[tuple[bool, str]]  # whether something does not fit, and what


def _verdict(answer: Mapping[str, Any]) -> _Checks:
    """Findings beside probabilities, and normal or not in findings and words."""
    found, rate = set(answer["findings"]), answer["measurements"]["heart_rate_bpm"]
    called = {code for code, p in answer["labels"].items() if p >= answer["thresholds"][code]}
    yield called != found, f"findings {sorted(found ^ called)} do not follow labels and thresholds"
    normal, slow = "NORM" in found, rate is not None and rate < 50
    abnormal = found - UNREMARKABLE - (set() if slow else {"SB"})
    verdicts = re.findall(r"\b(?:AB)?NORMAL\b", f"{answer['report']} {answer['answer']}")
    yield normal and bool(abnormal), f"normal, and {sorted(abnormal)}"
    yield normal and "ABNORMAL" in verdicts, "normal by its findings, ABNORMAL in words"
    yield not normal and "NORMAL" in verdicts, "not normal by its findings, NORMAL in words"
    yield normal and slow, f"normal at {rate or 0:.0f} bpm"


def _sentences(answer: Mapping[str, Any]) -> _Checks:
    """What the report says beside findings and criteria."""
    found, report = set(answer["findings"]), answer["report"]
    possible = {
        code
        for code, p in answer["labels"].items()
        if EVEN_ODDS <= p < answer["thresholds"][code] and code != "NORM"
    }
    for denial, codes in _DENIALS.items():
        beside = sorted((found | (possible - _OF_QT)) & set(codes))
        yield denial in report and bool(beside), f"{denial!r} and {beside}"
    told = "".join(f", {some}" for some in re.findall(r"Possible, but not called: (.*?%\))\.", report))
    for code, finding in FINDINGS.items():
        named = f", {finding.name} (" in told
        yield named != (code in possible), f"{code} possible by report or labels alone"
    for sentence, code in _STATED.items():
        stated = bool(re.search(sentence, report))
        yield code in answer["labels"] and stated != (code in found), f"{code} by report or findings alone"
    for beyond, pattern in _CALLED.items():
        behind = set(BEHIND[beyond])
        weighed = [c for c in answer["criteria"] if c["finding"] in behind]
        grounds = found & behind or any(surely(beyond[0], c["name"], c["sure"]) for c in weighed)
        yield bool(re.search(pattern, report)) and not grounds, f"{pattern} without a finding"
    yield "(wide)" in report and "No conduction disturbance" in report, "a wide QRS, and no delay"
    yield "STE" in found and "No evidence of infarction" in report, "ST elevation, and no infarction"
    irregular = ", irregular" in report and not found & {"SARRH", *in_group("ectopy")}
    yield "NORM" in found and irregular, "normal, and irregular without a reason"
    infarcted = found & {"QWAVE", "MI", *CHILDREN["MI"]}
    yield "Q waves in" in report and not infarcted, "Q waves without a finding"


def _together(answer: Mapping[str, Any]) -> _Checks:
    """Findings beside each other and beside measurements."""
    found, measured = set(answer["findings"]), answer["measurements"]
    rate, qrs = measured["heart_rate_bpm"], measured["qrs_ms"]
    free = found & WITHOUT_PR
    yield bool(free) and measured["pr_ms"] is not None, f"PR {measured['pr_ms']} in {sorted(free)}"
    yield bool(free and found & OF_CONDUCTION), f"{sorted(found & OF_CONDUCTION)} in {sorted(free)}"
    for group in EXCLUSIVE:
        for one, other in combinations([code for code in group if code in found], 2):
            related = other in FINDINGS[one].parents or one in FINDINGS[other].parents
            yield not related, f"{one} and {other}"
    for code in found - {"NORM"}:
        for other in found & set(FINDINGS[code].excludes):
            yield True, f"{code} and {other}"
    if rate is not None and not found & {"HAVB", *CHILDREN["HAVB"]}:  # the atria's rate is another one then
        yield "SB" in found and rate >= 60, f"SB at {rate:.0f} bpm"
        yield "ST" in found and rate <= 100, f"ST at {rate:.0f} bpm"
        yield "SR" in found and not 60 <= rate <= 100, f"SR at {rate:.0f} bpm"
    if qrs is not None:
        blocks = found & {"LBBB", "RBBB"}
        yield bool(blocks) and qrs < _NARROW, f"{sorted(blocks)} with a QRS of {qrs:.0f} ms"


def _warnings(answer: Mapping[str, Any]) -> _Checks:
    """What is urgent stands first in the report."""
    report = answer["report"]
    first = re.match(r"(?:Urgent: [^.]*\. )*", report)
    warned = first.group().count("Urgent: ") if first else 0
    said = len(urgent(set(answer["findings"]), answer["measurements"]["heart_rate_bpm"]))
    yield warned != said, "urgent by what the report begins with or findings alone"
    yield report.count("Urgent: ") != warned, "urgent, but not first"
