"""Questions and answers about labelled records: nothing is said but what labels and measurements hold.

The wording is that of `qa` and `answers`. A label that the annotation leaves open is neither asked about nor
stated, and no answer gives a probability: a label has none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from random import Random

from ecgvlm.instruct.qa import QA, Asker, expand
from ecgvlm.judge.evidence import LAYOUTS, Evidence
from ecgvlm.labels import LABELS, NAMES, RHYTHMS, SIGNS
from ecgvlm.measure import MEASUREMENTS, Measurements, measure
from ecgvlm.paper.truth import PageTruth
from ecgvlm.record import LEADS, Record
from ecgvlm.vocabulary import Term, terms
from ecgvlm.words import answers

# kind -> (subtask, type) of a row's metadata, and how often it is drawn.
ROW_KINDS: dict[str, tuple[str, str, float]] = {
    "verdict": ("rhythm", "open-ended", 3),
    "report": ("report", "open-ended", 2),
    "diagnosis": ("report", "open-ended", 2),
    "close": ("diagnosis", "close-ended", 4),
    "choice": ("diagnosis", "multi-choice", 3),
    "pick": ("diagnosis", "yes-no", 2),
    "finding": ("diagnosis", "yes-no", 2),
    "premise": ("diagnosis", "yes-no", 1),
    "findings": ("diagnosis", "open-ended", 1),
    "group": ("diagnosis", "open-ended", 1),
    "rhythm": ("rhythm", "open-ended", 2),
    "regular": ("rhythm", "open-ended", 1),
    "measurement": ("measurement", "open-ended", 2),
    "limit": ("measurement", "yes-no", 1),
    "within": ("measurement", "open-ended", 1),
    "lead_sign": ("morphology", "yes-no", 1),
    "leads_list": ("morphology", "open-ended", 1),
    "lead_amount": ("morphology", "open-ended", 0.5),
    "lead": ("morphology", "open-ended", 0.5),
    "layout": ("page", "open-ended", 0.3),
    "scale": ("page", "open-ended", 0.3),
    "cabrera": ("page", "open-ended", 0.2),
}
_HELD, _DOUBTED, _ABSENT, _THRESHOLD = 0.97, 0.55, 0.03, 0.5
_PROBABILITY = re.compile(r" \(probability[^()]*\)")
_GROUP_OF = {
    "Conduction": "conduction", "Hypertrophy": "hypertrophy", "Infarction": "infarction",
    "ST-T": "repolarization", "Ectopy": "ectopy",
}  # fmt: skip
_SIGNS_OF = {"Infarction": ("QWAVE",), "ST-T": ("STE", "STD", "TINV")}


@dataclass(frozen=True)
class Known:
    """What is known about one page.

    evidence: labels as certainties and measurements. open: labels and signs that nobody knows. stated: the
    annotation's own terms, each with its doubt: "", "probable" or "possible". age in years. measured: False
    where there is a picture without a record, so that no measurement may be spoken of.
    """

    evidence: Evidence
    open: frozenset[str]
    stated: tuple[tuple[Term, str], ...] = ()
    age: float | None = None
    measured: bool = True


def known_of(record: Record, measured: Measurements | None = None) -> Known:
    """What labels and signal of a record with labels tell. measured: of the signal, where that is done."""
    assert record.labels is not None
    m = measured or measure(record.signal, record.fs)
    measurements: dict[str, float | None] = {name: getattr(m, name) for name in MEASUREMENTS}
    reasons = dict(m.reasons)
    if record.labels & {"AF", "AFLT"}:  # what was taken for P waves are none
        measurements["pr_ms"], reasons["pr_ms"] = None, "no_p_wave"
    stated = _stated(record)
    doubts = _doubts(stated)
    open_labels = set(record.meta.get("unknown", ())) | _too_much(record.labels)
    open_labels |= {label for label, doubt in doubts.items() if doubt == "possible"}
    for heading, group in _GROUP_OF.items():
        # "Q waves present" without an infarction: that there is none is more than the annotation says.
        said = any(term.heading == heading for term, _ in stated)
        if said and not record.labels & set(answers.GROUPS[group]):
            open_labels |= set(answers.GROUPS[group])
    evidence = Evidence(
        probabilities=_certainties(record.labels - open_labels, doubts),
        thresholds=dict.fromkeys(LABELS, _THRESHOLD),
        measurements=measurements,
        reasons=reasons,
        leads=m.waves,
        rr_variation=m.rr_variation,
    )
    if "signs" in record.meta:  # where annotation and measurement differ, nobody knows
        open_labels |= {s for s in ("STE", "STD") if (s in record.meta["signs"]) != evidence.shows(s)}
    return Known(evidence, frozenset(open_labels), stated, record.age)


def printed(known: Known, page: PageTruth) -> Known:
    """The same, and how the page is printed."""
    evidence = replace(
        known.evidence,
        layout=page.layout if page.layout in LAYOUTS else "other",
        cabrera=page.order == "cabrera",
        mm_per_s=page.mm_per_s,
        mm_per_mv=page.mm_per_mv,
    )
    return replace(known, evidence=evidence)


def known_of_labels(labels: Collection[str], unknown: Collection[str], age: float | None = None) -> Known:
    """What labels alone tell about a picture."""
    evidence = Evidence(
        probabilities=_certainties(labels, {}),
        thresholds=dict.fromkeys(LABELS, _THRESHOLD),
        measurements=dict.fromkeys(MEASUREMENTS),
        leads=dict.fromkeys(LEADS),
    )
    return Known(evidence, frozenset(unknown) | _too_much(labels) | set(SIGNS), age=age, measured=False)


def contradiction(known: Known) -> str | None:
    """How label and measured heart rate contradict each other, None where they do not."""
    rate = known.evidence.measurements["heart_rate_bpm"]
    for label, wrong in (("SB", lambda x: x > 66), ("ST", lambda x: x < 90)):
        if rate is not None and label in known.evidence.findings and wrong(rate):
            return f"labelled {label}, but {rate:.0f} bpm"
    return None


def _certainties(labels: Collection[str], doubts: Mapping[str, str]) -> dict[str, float]:
    held = {label: _DOUBTED if doubts.get(label) else _HELD for label in labels}
    return {label: held.get(label, _ABSENT) for label in LABELS}


def _too_much(labels: Collection[str]) -> set[str]:
    """Labels not given, but which to deny would say too much: a sinus bradycardia is a sinus rhythm."""
    denied = {"SR"} if {"SB", "ST", "SARRH"} & set(labels) else set()
    denied |= {"CD"} if "1dAVb" in labels else set()
    return denied - set(labels)


def _stated(record: Record) -> tuple[tuple[Term, str], ...]:
    """The record's statements. PTB-XL's likelihoods say doubt: 50 probable, below possible, 0 none."""
    if scp := record.meta.get("scp_codes"):
        table = terms("SCP-ECG")
        likely = {code: p for code, p in scp.items() if code in table}
        return tuple(
            (table[code], "" if p == 0 or p > 50 else "probable" if p == 50 else "possible")
            for code, p in likely.items()
        )
    table = terms("SNOMED CT")
    return tuple((table[code], "") for code in record.meta.get("codes", ()) if code in table)


def _doubts(stated: Sequence[tuple[Term, str]]) -> dict[str, str]:
    """label -> the least doubt with which a statement names it."""
    doubts: dict[str, str] = {}
    for term, doubt in stated:
        for label in term.labels:
            doubts[label] = min(doubt, doubts.get(label, doubt), key=("", "probable", "possible").index)
    return doubts


def askable(known: Known) -> list[str]:
    """The kinds of `ROW_KINDS` that what is known can answer."""
    evidence, unknown = known.evidence, known.open
    rhythm = any(label in evidence.findings for label in set(RHYTHMS) - unknown)
    labels = len(set(LABELS) - unknown) >= 2
    waves = known.measured and all(evidence.leads[lead] is not None for lead in LEADS)
    can = {
        "verdict": rhythm and "NORM" not in unknown,
        "report": known.measured,
        "diagnosis": known.measured,
        "choice": labels and any(x not in unknown and x not in ("CD", "HYP") for x in evidence.findings),
        "findings": not unknown & set(LABELS) - {"SR", "CD"},
        "group": any(not unknown & set(group) for group in answers.GROUPS.values()),
        "rhythm": rhythm and known.measured,
        "regular": known.measured and evidence.regularity != "unknown",
        **dict.fromkeys(("close", "pick", "finding", "premise"), labels),
        **dict.fromkeys(("measurement", "limit", "within", "layout", "scale", "cabrera"), known.measured),
        **dict.fromkeys(("lead_sign", "leads_list", "lead_amount", "lead"), waves),
    }
    return [kind for kind in ROW_KINDS if can[kind]]


def ask(known: Known, rng: Random, count: int, kinds: Collection[str] = tuple(ROW_KINDS)) -> list[QA]:
    """Up to `count` questions of different kinds among those asked for, drawn by how often `ROW_KINDS` has
    them."""
    asker = Asker(rng, omit=known.open)
    left = [kind for kind in askable(known) if kind in kinds]
    found: list[QA] = []
    while left and len(found) < count:
        kind = rng.choices(left, [ROW_KINDS[x][2] for x in left])[0]
        left.remove(kind)
        for _ in range(10):
            qa = _one(known, asker, kind)
            if _stands(known, qa):
                found.append(qa)
                break
    return found


def _one(known: Known, asker: Asker, kind: str) -> QA:
    if kind in _REPORTS:
        return QA(kind, asker.template("ask", kind), _REPORTS[kind](known))
    qa = asker.ask(known.evidence, kind, noisy=False)
    question = qa.question
    if kind == "verdict" and known.age is not None and asker.rng.random() < 0.6:
        before = expand(asker.rng.choice(_prompts()["age"]["before"]), asker.rng)
        age = f"{known.age:.0f}"
        article = "an" if age[0] == "8" or age in ("11", "18") else "a"
        question = before.replace("{a}", article).replace("{age}", age) + question
    return QA(kind, question, _PROBABILITY.sub("", qa.answer))


def _stands(known: Known, qa: QA) -> bool:
    """Whether the answer is known. "not sure" is Asker's answer to findings outside of our labels."""
    return qa.answer != "not sure" and not (qa.answer in ("NORM", "ABNORMAL") and "NORM" in known.open)


@lru_cache
def _prompts() -> dict:
    return tomllib.loads((files("ecgvlm.instruct") / "data/records.toml").read_text("utf-8"))


def _sections(known: Known) -> list[tuple[str, str]]:
    """(heading, sentences) of both reports: the annotation's statements in English, and the measurements."""
    evidence = known.evidence
    sections = [("Rhythm", _rhythm(known))]
    for heading in ("Ectopy", "Axis", "Intervals", "QRS", *list(_GROUP_OF)[:-1]):
        if heading == "Axis":
            text = answers.axis(evidence)
        elif heading == "Intervals":
            text = answers.intervals(evidence)
        else:
            text = _heading(known, heading)
        if text:
            sections.append((heading, text))
    return sections


def _phrases(known: Known, heading: str) -> list[str]:
    return [
        f"{doubt} {term.phrase}".strip()
        for term, doubt in known.stated
        if term.heading == heading and term.phrase
    ]


def _heading(known: Known, heading: str) -> str:
    """Statements under one heading, else what the labels say of it, then the signs measured."""
    evidence, phrases, group = known.evidence, _phrases(known, heading), _GROUP_OF.get(heading)
    labels = set(answers.GROUPS[group]) if group else {"LVOLT"}
    if not phrases and group and not labels & known.open:
        if heading == "Infarction":
            return answers.infarction(evidence)
        if heading == "ST-T":
            return answers.repolarization(evidence)
        named = answers.specific(evidence, answers.GROUPS[group])
        return answers.group(evidence, group) if named or heading != "Ectopy" else ""
    held = phrases or [NAMES[x] for x in evidence.findings if x in labels - known.open]
    text = answers.sentence(", ".join(dict.fromkeys(held))) if held else ""
    return " ".join([text, *answers.signs(evidence, _SIGNS_OF.get(heading, ()))]).strip()


def _rhythm(known: Known) -> str:
    named = [x for x in answers.rhythms(known.evidence) if x not in known.open]
    others = [
        f"{doubt} {term.phrase}".strip()
        for term, doubt in known.stated
        if term.heading == "Rhythm" and term.phrase and not term.labels & set(RHYTHMS)
    ]
    parts = []
    if named:
        parts.append(answers.rhythm(known.evidence).removeprefix("The rhythm is ").removesuffix("."))
        parts[0] = answers.sentence(parts[0])
    else:
        parts.append(answers.measurement(known.evidence, "heart_rate_bpm"))
        if known.evidence.regularity != "unknown":
            parts.append(answers.regular(known.evidence))
    if others:
        parts.append(answers.sentence(", ".join(others)))
    return " ".join(parts)


def _conclusion(known: Known) -> str | None:
    if "NORM" in known.open:
        return None
    rhythm = any(label in known.evidence.findings for label in set(RHYTHMS) - known.open)
    return answers.verdict(known.evidence) if rhythm else answers.word(known.evidence)


def report(known: Known) -> str:
    """The clinical report in sentences, English whatever language the annotation's own report is in."""
    conclusion = _conclusion(known)
    end = [f"Conclusion: {conclusion}."] if conclusion else []
    return " ".join([text for _, text in _sections(known)] + end)


def diagnosis(known: Known) -> str:
    """The same under headings, one a line."""
    conclusion = _conclusion(known)
    end = [f"Final diagnosis: {conclusion}."] if conclusion else []
    return "\n".join([f"{heading}: {text}" for heading, text in _sections(known)] + end)


_REPORTS: dict[str, Callable[[Known], str]] = {"report": report, "diagnosis": diagnosis}
