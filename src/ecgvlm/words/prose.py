"""Reports for a reader: what a patient, a nurse or a cardiologist needs, short or at length.

Every sentence is one of `data/say`, filled with what the evidence holds; `benchmarks/bench_prose.py` reads
them back.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import SIGNS, in_group
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.words import answers
from ecgvlm.words.phrases import ENGLISH, Words

SHORT = "short"
READERS = ("patient", "nurse", "cardiologist")


def prose(evidence: Evidence, styles: Iterable[str], w: Words = ENGLISH) -> str:
    """The report for the reader among styles, shorter where `SHORT` is one of them; the usual one where
    neither is."""
    short = SHORT in styles
    for style in styles:
        if style in READERS:
            return w.text(_FOR[style](evidence, short, w))
    return w.text(_brief(evidence, w)) if short else answers.report(evidence, w)


def _brief(evidence: Evidence, w: Words) -> list[str]:
    """What is urgent, the rhythm, the findings."""
    return [answers.urgent(evidence, w), answers.rhythm(evidence, w), answers.findings(evidence, w)]


def _patient(evidence: Evidence, short: bool, w: Words) -> list[str]:
    """In everyday words, without numbers but that of the pulse."""
    urgent = answers.urgent(evidence, w)
    normal = "NORM" in evidence.findings
    whole = "incomplete" if evidence.incomplete else f"patient_{'normal' if normal else 'abnormal'}"
    said = [w.say("patient_urgent") if urgent else "", w.say(whole)]
    rate = evidence.measurements["heart_rate_bpm"]
    if rate is not None:
        said.append(w.say("patient_rate", number=str(round(rate))))
        said.append(w.say(f"patient_rate_{evidence.limit('heart_rate_bpm')}"))
    if not short:
        steady = evidence.regularity == "regular"
        extra = set(in_group("ectopy")) & set(evidence.findings)
        if evidence.regularity != "unknown" and not (steady and extra):
            said.append(w.say("patient_regular" if steady else "patient_irregular"))
        if found := answers.named(evidence):
            said.append(w.say("patient_findings", findings=w.listed(map(w.plain, found))))
    return [*said, w.say("patient_end")]


def _nurse(evidence: Evidence, short: bool, w: Words) -> list[str]:
    """What to act on, then what lies beyond its limits; of normal values only the rate."""
    said = _brief(evidence, w)
    if not short:
        beyond = [
            name
            for name in MEASUREMENTS
            if evidence.measurements[name] is not None and answers.side_of(evidence, name) != "normal"
        ]
        said += [answers.within(evidence, name, w) for name in beyond]
        said += answers.signs(evidence, SIGNS, w)
        said.append(answers.caution(evidence, w))
    return said


def _cardiologist(evidence: Evidence, short: bool, w: Words) -> list[str]:
    """All that was measured, with the probability of each finding."""
    if short:
        return [answers.urgent(evidence, w), answers.axis(evidence, w), answers.intervals(evidence, w),
                w.say("conclusion", verdict=answers.verdict(evidence, w))]  # fmt: skip
    found = (*answers.rhythms(evidence), *answers.beside_rhythm(evidence))
    return [answers.report(evidence, w), *(answers.likelihood(evidence, label, w) for label in found)]


_FOR = {"patient": _patient, "nurse": _nurse, "cardiologist": _cardiologist}
