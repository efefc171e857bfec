"""The words of other collections in our labels: SCP-ECG, CODE-15%, SNOMED CT and free text, in one table.

The table is `data/vocabulary.csv`, for a cardiologist to read and correct. A line says which labels of
`ecgvlm.labels` (or signs STE, STD, TINV, QWAVE) a statement means, which it leaves open, whether it names the
basic rhythm, under which heading and in which words a report has it, and which CinC 2021 collections use it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ecgvlm.labels import FINDINGS, LABELS, NAMES, RHYTHMS, SIGNS


@dataclass(frozen=True)
class Term:
    """One line of the table. labels and open hold codes of `ecgvlm.labels`, signs those of `SIGNS`."""

    system: str
    code: str
    name: str
    labels: frozenset[str]
    open: frozenset[str]
    signs: frozenset[str]
    basic_rhythm: bool
    heading: str
    phrase: str
    databases: frozenset[str]


@cache
def terms(system: str) -> dict[str, Term]:
    """code -> line of one system: "SCP-ECG", "PTB-XL sub_class", "CODE-15%", "SNOMED CT" or "text"."""
    table = files("ecgvlm").joinpath("data/vocabulary.csv").read_text("utf-8")
    found = {}
    for row in csv.DictReader(table.splitlines()):
        if row["system"] != system:
            continue
        stated = _split(row["labels"])
        found[row["code"]] = Term(
            system,
            row["code"],
            row["name"] or row["code"],
            labels=stated - set(SIGNS),
            open=_split(row["open"]),
            signs=stated & set(SIGNS),
            basic_rhythm=row["basic_rhythm"] == "yes",
            heading=row["heading"],
            phrase=row["phrase"],
            databases=_split(row["databases"]),
        )
    return found


def _split(cell: str) -> frozenset[str]:
    return frozenset(cell.split(";")) - {""}


def labels_of(stated: Iterable[Term]) -> frozenset[str]:
    """The labels that these terms mean together."""
    return frozenset().union(*(term.labels for term in stated))


def with_parents(found: Collection[str]) -> frozenset[str]:
    """The labels and the superclasses (MI, CD, HYP) of which one of them is a kind."""
    return frozenset(found) | {parent for code in found for parent in FINDINGS[code].parents}


def left_open(
    found: Collection[str], stated: Collection[Term], annotated: Collection[str] = LABELS
) -> frozenset[str]:
    """Labels of which an annotation does not tell whether they hold.

    found: the labels that hold. stated: its terms. annotated: the labels that its makers looked for, so that
    silence means absence. Open are all others, what a term leaves open, and the rhythms where no term names
    the basic one; not open is what a finding excludes. NORM is absent from the first abnormal term on.
    """
    unknown = set(LABELS) - set(annotated)
    unknown |= frozenset().union(*(term.open for term in stated)) - {"NORM"}
    if not any(term.basic_rhythm for term in stated):
        unknown |= set(RHYTHMS) & set(LABELS)
    if stated:
        abnormal = any("NORM" not in term.labels | term.open for term in stated)
        unknown = unknown - {"NORM"} if abnormal else unknown | {"NORM"}
    for label in found:
        unknown -= set(FINDINGS[label].excludes)
    return frozenset(unknown - set(found))


# What a statement says before a finding that it doubts or denies.
_DOUBT = re.compile(
    r"\b(possible|possibly|probable|probably|consider|borderline|suspect|suspected|suggest|suggests|suggesting"
    r"|may be|cannot rule out|cannot exclude|questionable|rule out|versus|vs)\b"
)
_DENIAL = re.compile(r"\b(no|not|without|excluded)\b")


@cache
def _text_pattern() -> re.Pattern[str]:
    known = sorted(terms("text"), key=len, reverse=True)  # the longest first: it wins
    return re.compile(r"\b(" + "|".join(map(re.escape, known)) + r")\b")


def read_statement(text: str) -> tuple[list[Term], list[Term]]:
    """The terms that one printed statement asserts, and those that it puts in doubt.

    "Possible inferior infarct - age undetermined" doubts, "No evidence of ..." neither asserts nor doubts.
    Known words are the table's "text" lines; case, hyphens and full stops do not matter.
    """
    words = " ".join(re.sub(r"[^a-z0-9]+", " ", text.lower()).split())
    asserted, doubted = [], []
    for match in _text_pattern().finditer(words):
        before = words[: match.start()]
        term = terms("text")[match[1]]
        if _DOUBT.search(before):
            doubted.append(term)
        elif not _DENIAL.search(before):
            asserted.append(term)
    return asserted, doubted


def read_label(text: str) -> frozenset[str]:
    """The labels that one word of a user's table means: our code or name, or a code or term of the table.

    Raises ValueError where it means none.
    """
    text = text.strip()
    if text in LABELS:
        return with_parents({text})
    by_name = {NAMES[label].lower(): label for label in LABELS}
    if text.lower() in by_name:
        return with_parents({by_name[text.lower()]})
    for system in ("CODE-15%", "SCP-ECG", "SNOMED CT"):
        if text.strip("_") in terms(system):
            return terms(system)[text.strip("_")].labels
    asserted, doubted = read_statement(text)
    if not asserted or doubted:
        raise ValueError(f"{text!r} is no finding of the vocabulary (see docs/data.md)")
    return labels_of(asserted)
