"""The engine of `criteria.toml`: whether each condition of a definition is met, and how surely."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from ecgvlm.judge.facts import UNKNOWN, Fact, Person
from ecgvlm.labels import FINDINGS

POINTS = ("definitions", "code15", "ptbxl")  # working points, see docs/criteria.md
_WAYS = {"least": ">=", "above": ">", "most": "<=", "below": "<"}
_OWN_LIMIT = ("of the leads", "of the rhythm")
_CLEARLY_NOT = 0.25  # probability below which a condition takes back what the network saw


@dataclass(frozen=True)
class When:
    """One condition as the table has it: `fact` compared with the limit; limits: by sex, None for any."""

    name: str
    fact: str
    unit: str
    way: str
    limits: Mapping[str | None, float | None]
    code15: float | None
    either: str
    scope: bool
    source: str

    @property
    def by_sex(self) -> bool:
        """Whether the limit differs between men and women."""
        return bool(set(self.limits) & {"M", "F"})

    def limit(self, point: str, sex: str | None) -> float | None:
        """The limit at a working point; None where the fact brings its own. Unknown sex: the stricter."""
        if point == "code15" and self.code15 is not None:
            return self.code15
        if sex in self.limits:
            return self.limits[sex]
        known = [x for x in self.limits.values() if x is not None]
        if not known:
            return None
        return max(known) if self.way in ("least", "above") else min(known)


@dataclass(frozen=True)
class Rule:
    """The definition of one finding. by: "numbers", "shape", "either" or "both", see the table; code15: the
    same at that working point, "network" where the network alone judges.

    normal_from: the heart rate from which on an ECG with the finding may still be normal.
    """

    code: str
    by: str
    threshold: float
    when: tuple[When, ...]
    normal_from: float | None = None
    code15: str = "network"

    def by_at(self, point: str) -> str:
        """Who judges at a working point."""
        return self.code15 if point == "code15" else self.by


SEX_UNKNOWN = ", sex unknown: the stricter limit"  # ends a name


@dataclass(frozen=True)
class Criterion:
    """One condition on one page.

    met: None where it cannot be assessed. sure: probability that it holds, given the error of what was
    measured; None like met. either: of a finding's criteria with the same word one is enough. scope: where it
    is not met the definition says nothing.
    """

    finding: str
    name: str
    value: float | None
    unit: str
    way: str
    limit: float | None
    met: bool | None
    sure: float | None
    source: str
    either: str = ""
    leads: tuple[str, ...] = ()
    scope: bool = False

    def to_dict(self) -> dict:
        """The contract's entry of `criteria`."""
        return {
            "finding": self.finding,
            "name": self.name,
            "value": None if self.value is None else round(self.value, 3),
            "unit": self.unit,
            "limit": None if self.limit is None else round(self.limit, 3),
            "comparison": self.way,
            "met": self.met,
            "sure": None if self.sure is None else round(self.sure, 3),
            "leads": list(self.leads),
            "source": self.source,
        }


@lru_cache
def rules() -> Mapping[str, Rule]:
    """The table, by finding, in its order."""
    table = tomllib.loads(files("ecgvlm").joinpath("judge/criteria.toml").read_text("utf-8"))
    return {code: _rule(code, entry) for code, entry in table.items()}


def _rule(code: str, entry: Mapping) -> Rule:
    if code not in FINDINGS:
        raise ValueError(f"criteria.toml: {code} is no finding of labels.py")
    return Rule(
        code,
        entry["by"],
        float(entry.get("threshold", 0.5)),
        tuple(_when(code, condition) for condition in entry.get("when", ())),
        entry.get("normal_from"),
        entry.get("code15", "network"),
    )


def _when(code: str, condition: Mapping) -> When:
    ways = {key.partition("_")[0] for key in condition} & set(_WAYS)
    if len(ways) != 1:
        raise ValueError(f"criteria.toml: {code}, {condition['name']}: one comparison, not {len(ways)}")
    (way,) = ways
    sexes = {f"{way}_men": "M", f"{way}_women": "F", way: None}
    limits = {sex: condition[key] for key, sex in sexes.items() if key in condition}
    return When(
        name=condition["name"],
        fact=condition["fact"],
        unit=condition.get("unit", ""),
        way=way,
        limits={sex: None if x in _OWN_LIMIT else float(x) for sex, x in limits.items()},
        code15=condition.get("code15"),
        either=condition.get("either", ""),
        scope=condition.get("scope", False),
        source=condition["source"],
    )


def assess(rule: Rule, facts: Mapping[str, Fact], point: str, person: Person) -> tuple[Criterion, ...]:
    """The conditions of one definition on a page. facts: of `judge.facts`, and network.CODE as margins."""
    return tuple(_assess(rule.code, when, facts.get(when.fact, UNKNOWN), point, person) for when in rule.when)


def _assess(code: str, when: When, fact: Fact, point: str, person: Person) -> Criterion:
    limit = when.limit(point, person.sex)
    limit = fact.limit if limit is None else limit
    met = sure = None
    if fact.value is not None and limit is not None:
        distance = fact.value - limit if when.way in ("least", "above") else limit - fact.value
        met = distance > 0 or (distance == 0 and when.way in ("least", "most"))
        sure = _probability(distance, fact.error) if fact.error > 0 else float(met)
        sure = max(sure, 0.5) if met else min(sure, 0.499)  # at the limit itself, too
    value, shown = fact.value, limit
    if when.fact.startswith("network."):  # a margin means nothing to a reader
        value, shown = _even(fact.value), _even(limit)
    unsure = when.by_sex and person.sex is None and point != "code15"
    return Criterion(
        code,
        f"{when.name}{SEX_UNKNOWN}" if unsure else when.name,
        value,
        when.unit,
        _WAYS[when.way],
        shown,
        met,
        sure,
        when.source,
        when.either,
        fact.leads,
        when.scope,
    )


def _even(margin: float | None) -> float | None:
    """A margin as a probability that is even at the network's threshold."""
    return None if margin is None else 1 / (1 + math.exp(-margin))


def _probability(distance: float, error: float) -> float:
    """That the true distance is positive: the measured one with a normal error."""
    return 0.5 * (1 + math.erf(distance / error / math.sqrt(2)))


def holds(criteria: tuple[Criterion, ...]) -> float | None:
    """Probability that a definition is met: the least sure of its conditions, of alternatives the surest.

    A page within its scope is judged by it, however near the scope's limit it lies. None where it cannot be
    assessed: a condition is unknown and none of the others rules the finding out.
    """
    parts: list[float | None] = [c.sure for c in criteria if not (c.either or (c.scope and c.met))]
    for word in dict.fromkeys(c.either for c in criteria if c.either):
        known = [c.sure for c in criteria if c.either == word and c.sure is not None]
        parts.append(max(known) if known else None)
    known = [x for x in parts if x is not None]
    if not known:
        return None
    least = min(known)
    return least if len(known) == len(parts) or least < _CLEARLY_NOT else None


def clearly_not(criteria: tuple[Criterion, ...]) -> bool:
    """Whether what is known of a definition rules the finding out."""
    sure = holds(criteria)
    return sure is not None and sure < _CLEARLY_NOT


def beyond_scope(criteria: tuple[Criterion, ...]) -> bool:
    """Whether a page that may meet a definition is none of those that it speaks of."""
    outside = any(c.scope and c.met is False for c in criteria)
    return outside and not clearly_not(tuple(c for c in criteria if not c.scope))


def network_facts(margins: Mapping[str, float]) -> dict[str, Fact]:
    """The network's verdicts as facts: its margins (log-odds over the threshold), with an error of 1."""
    return {f"network.{code}": Fact(margin, 1.0) for code, margin in margins.items()}
