"""Two ECGs of one patient: what changed by more than the error of measuring it on paper."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.facts import ERRORS
from ecgvlm.labels import FINDINGS
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS
from ecgvlm.words.answers import warnings
from ecgvlm.words.phrases import ENGLISH, Words

# What two readings of an unchanged heart differ by in 95 of 100, given the error of each; amplitudes by half
# a millimetre and more where an electrode sits elsewhere.
BEYOND = {name: 1.96 * math.sqrt(2) * error for name, error in ERRORS.items()}
BEYOND_MV = 0.1
WAVES = ("st", "t")


@dataclass(frozen=True)
class Change:
    """One thing in both ECGs. kind: "finding", "measurement", "st" or "t"; what: label, measurement or lead.

    old, new: probability, value in its unit, or mV; None where it cannot be known. changed: beyond error.
    """

    kind: str
    what: str
    old: float | None
    new: float | None
    changed: bool


@dataclass(frozen=True)
class Comparison:
    """old, new: the findings of each; changes: everything compared, in a fixed order. urgent: in the later
    one, as of `judge.evidence.urgent`. possible: findings that one of the two neither calls nor denies, which
    have neither appeared nor gone."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    changes: tuple[Change, ...]
    urgent: tuple[str, ...] = ()
    possible: tuple[str, ...] = ()

    @property
    def appeared(self) -> tuple[str, ...]:
        return tuple(label for label in self.new if label not in (*self.old, *self.possible))

    @property
    def gone(self) -> tuple[str, ...]:
        return tuple(label for label in self.old if label not in (*self.new, *self.possible))

    def to_dict(self) -> dict:
        """For JSON: `changed`, `appeared`, `gone`, and `measurements`, `st` and `t` as {what: {old, new,
        changed}}, amplitudes in mV."""
        out: dict = {
            "changed": any(change.changed for change in self.changes),
            "appeared": list(self.appeared),
            "gone": list(self.gone),
        }
        for kind, key in (("measurement", "measurements"), ("st", "st"), ("t", "t"), ("finding", "findings")):
            out[key] = {
                change.what: {
                    "old": None if change.old is None else round(change.old, 3),
                    "new": None if change.new is None else round(change.new, 3),
                    "changed": change.changed,
                }
                for change in self.changes
                if change.kind == kind
            }
        return out


def compare(old: Evidence, new: Evidence) -> Comparison:
    """A finding has changed where it is found in one ECG and denied in the other; what is missing in one of
    both has not."""
    possible = (*old.possible, *new.possible)
    changes = [
        Change("finding", label, old.probabilities[label], new.probabilities[label],
               (label in old.findings) != (label in new.findings) and label not in possible)
        for label in FINDINGS
        if label in old.probabilities and label in new.probabilities
    ]  # fmt: skip
    for name in MEASUREMENTS:
        before, after = old.measurements[name], new.measurements[name]
        known = before is not None and after is not None
        changed = known and _distance(name, before, after) > BEYOND[name]  # type: ignore[arg-type]
        changes.append(Change("measurement", name, before, after, changed))
    for wave in WAVES:
        for lead in LEADS:
            a, b = old.leads[lead], new.leads[lead]
            before, after = (None if waves is None else getattr(waves, wave) for waves in (a, b))
            changed = before is not None and after is not None and abs(after - before) >= BEYOND_MV
            changes.append(Change(wave, lead, before, after, changed))
    return Comparison(old.findings, new.findings, tuple(changes), new.urgent, possible)


def _distance(measurement: str, a: float, b: float) -> float:
    if measurement == "axis_deg":  # around the circle
        return abs((b - a + 180) % 360 - 180)
    return abs(b - a)


def described(found: Comparison, w: Words = ENGLISH) -> str:
    """The comparison in sentences."""
    return w.text(sentences(found, w))


def sentences(found: Comparison, w: Words = ENGLISH) -> list[str]:
    """What is urgent in the later ECG, what changed of findings and measurements, of ST and T by lead."""
    rates = {change.what: change.new for change in found.changes if change.kind == "measurement"}
    urgent = warnings(found.urgent, rates["heart_rate_bpm"], w)
    said = [*urgent] + [
        w.say(key, findings=w.listed(map(w.finding, labels)))
        for key, labels in (
            ("new_findings", _telling(found.appeared)),
            ("gone_findings", _telling(found.gone)),
        )
        if labels
    ]
    changed = [change for change in found.changes if change.changed]
    for change in changed:
        if change.kind == "measurement" and change.old is not None and change.new is not None:
            old, new = (w.quantity(change.what, x) for x in (change.old, change.new))
            said.append(w.say("changed", measure=w.name("measures", change.what), old=old, new=new))
    for wave in WAVES:
        leads = w.listed(
            f"{c.what} {w.mm(c.old, signed=True)} → {w.mm(c.new, signed=True)} mm"
            for c in changed
            if c.kind == wave and c.old is not None and c.new is not None
        )
        if leads:
            said.append(w.say("changed_wave", wave=wave.upper(), leads=leads))
    return said if len(said) > len(urgent) else [*said, w.say("unchanged_since")]


def _telling(labels: Collection[str]) -> list[str]:
    """The labels but for those that another one of them is a kind of."""
    implied = {parent for label in labels for parent in FINDINGS[label].parents}
    return [label for label in labels if label not in implied]
