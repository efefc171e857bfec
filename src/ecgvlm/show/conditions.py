"""Why a finding is said: the conditions of its definition that a page meets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ecgvlm.judge.criteria import Criterion
from ecgvlm.words import answers


def met_conditions(criteria: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Finding -> "QRS duration 168 ms (>= 120, met), ..." of the contract's `criteria`; those met alone."""
    met: dict[str, list[Criterion]] = {}
    for entry in criteria:
        if entry["met"]:
            condition = Criterion(
                entry["finding"], entry["name"], entry["value"], entry["unit"], entry["comparison"],
                entry["limit"], entry["met"], entry["sure"], entry["source"], leads=tuple(entry["leads"]),
            )  # fmt: skip
            met.setdefault(condition.finding, []).append(condition)
    return {finding: ", ".join(answers.conditions(own)) for finding, own in met.items()}
