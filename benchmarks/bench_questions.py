"""Does the form of a question change what is answered? Wordings, slips, ages, doubt, false premises.

    OMP_NUM_THREADS=1 python benchmarks/bench_questions.py

Evidence is that of the pages of fold 8; findings and probabilities are made before any question is read, so
only words can differ. `WORDINGS` has 20 wordings of each kind; each is asked as it stands, with slips of the
pen (one, and one more every 40 letters), with an age, and with "Are you sure?" behind it, lists of options
also in another order. An answer is the same where it states what the page's evidence gives for this kind of
question: all findings, the rhythm, yes or no about the one asked for, the options that apply, the rate.

An answer changes a finding where it asserts one that the evidence does not hold, or denies one that it does.

These questions are not held out. After their failures had been read, English wordings that the net of intents
learns from (words/data/asked/en.toml) were extended, some nearly word for word, the orders that
words/options.py sets aside as well, and what counts was changed with the answers: a right first sentence is
enough, "I cannot tell" or "No, there is no" at the start is right for unknown premises, and offered questions
and sentences with criteria are skipped in the search for changed findings. Held-out questions are those of
bench_understanding.py. Writes benchmarks/results/questions.json.
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from ecgvlm.bench.gold import load_gold
from ecgvlm.bench.runner import write_text
from ecgvlm.errors import EcgError
from ecgvlm.instruct.qa import typos
from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import LABELS, NAMES, SIGNS
from ecgvlm.reader import Reader
from ecgvlm.words import answers
from ecgvlm.words.language import Language
from ecgvlm.words.names import CLOSED_LISTS
from ecgvlm.words.phrases import ENGLISH

WORDINGS = Path(__file__).parent / "data" / "questions.toml"
OUT = Path(__file__).parent / "results" / "questions.json"
FORMS = ("plain", "slips", "age", "sure")
_POSSIBLE = ENGLISH.say("possible", findings="\0").partition("\0")[0]  # asserts and denies nothing
_WHOLE = (answers.verdict, answers.report, answers.diagnosis, answers.unchanged)
# The names of findings in answers, the longest first.
_NAMED = [
    (label, re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.I))
    for name, label in sorted(
        (
            (name, label)
            for label in NAMES
            if label != "NORM"
            for name in (NAMES[label], ENGLISH.title(label))
        ),
        key=lambda pair: -len(pair[0]),
    )
]


@dataclass(frozen=True)
class Asked:
    """One question. same: whether an answer states what the evidence gives for it."""

    kind: str
    form: str
    question: str
    same: Callable[[str], bool]


def one_of(*right: str) -> Callable[[str], bool]:
    return lambda said: said in right


def parts(text: str) -> set[str]:
    """The options in an answer, however they are joined."""
    return {part for part in re.split(r"\s*(?:[;,|/\n]| and )\s*", text) if part}


def in_form(question: str, form: str, rng: Random) -> str:
    if form == "slips":
        return typos(question, rng, 1 + len(question) // 40)
    if form == "age":
        age = rng.randint(19, 95)
        return rng.choice((f"The patient is {age} years old. {question}", f"{question} (age {age})"))
    return f"{question} Are you sure?" if form == "sure" else question


def expected(kind: str, evidence: Evidence, label: str) -> Callable[[str], bool]:
    """What an answer to a question of this kind must be."""
    whole = [answer(evidence) for answer in _WHOLE]
    if kind == "verdict":  # two wordings ask for the rhythm as well
        both = f"{answers.verdict(evidence)}. {answers.rhythm(evidence)}"
        return one_of(*whole, both, answers.findings(evidence), answers.finding(evidence, "NORM"))
    if kind == "findings":
        return one_of(*whole, answers.findings(evidence))
    if kind == "report":
        return one_of(answers.report(evidence), answers.diagnosis(evidence))
    if kind == "rhythm":
        return one_of(*whole, answers.rhythm(evidence))
    if kind == "doubt":
        return one_of(*whole)
    if kind == "order":
        right = (*whole, answers.findings(evidence), answers.OUTSIDE, answers.UNANSWERABLE,
                 *(answers.finding(evidence, x) for x in LABELS),
                 *(ENGLISH.stated(answers.finding(evidence, x)) for x in LABELS))  # fmt: skip
        return lambda said: said.startswith((*right, answers.order(evidence)))
    if kind == "unknown_premise":
        unknown = ("I cannot tell", "No, there is no ", "There is no ")
        return lambda said: said in whole or said.startswith(unknown)
    if kind == "rate":
        value = answers.measurement(evidence, "heart_rate_bpm")
        number = re.findall(r"\d+ bpm|cannot be measured", value)
        return lambda said: re.findall(r"\d+ bpm|cannot be measured", said)[:1] == number
    if kind == "finding":
        word = "yes" if label in evidence.findings else "no"
        said_of_it = answers.finding(evidence, label)  # what stands beside it may follow
        return lambda said: said.startswith(said_of_it) or said.lower() == word
    if kind == "pick":
        word = "yes" if label in evidence.findings else "no"
        return lambda said: re.findall(r"\w+", said.lower())[:1] == [word]
    said_of_it = answers.finding(evidence, label)
    right = (said_of_it, ENGLISH.stated(said_of_it), answers.unchanged(evidence), answers.order(evidence),
             *answers.signs(evidence, {label} & set(SIGNS)))  # fmt: skip
    return lambda said: said.startswith(right)  # what it rests on may follow


def same_parts(right: object, said: str) -> bool:
    return parts(said) == right


def questions(evidence: Evidence, rng: Random) -> Iterator[Asked]:
    """Every wording in every form about one page."""
    data = tomllib.loads(WORDINGS.read_text("utf-8"))
    absent = [label for label in LABELS if label not in evidence.findings]
    for kind, lines in data["wordings"].items():
        for line in lines:
            label = rng.choice(LABELS)
            same = expected(kind, evidence, label)
            for form in FORMS[:1] if kind == "doubt" else FORMS:
                text = in_form(line.replace("{options}", "\0").replace("{name}", NAMES[label]), form, rng)
                if kind == "close":
                    options = [(code, f"{s}({n})") for code, (s, n) in CLOSED_LISTS["code15"].items()]
                    if form != "plain":
                        rng.shuffle(options)
                    right = parts(answers.close(evidence, options, "; "))
                    text = text.replace("\0", ", ".join(option for _, option in options))
                    yield Asked(kind, form, text, partial(same_parts, right))
                else:
                    yield Asked(kind, form, text, same)
    for kind, lines in data["adversarial"].items():
        for line in lines:
            label = rng.choice(evidence.findings if kind == "false_denial" else absent)
            yield Asked(kind, "plain", line.replace("{name}", NAMES[label]), expected(kind, evidence, label))


def changes_a_finding(said: str, evidence: Evidence) -> bool:
    """Whether an answer asserts a finding that the evidence lacks, or denies one that it has."""
    for sentence in re.split(r"(?<=[.?])\s+|\n", said):
        sentence = re.sub(r"\(prob[^)]*\)|^[A-Z][\w-]+(?:, [\w-]+)*: ", "", sentence)
        if sentence.startswith(("The probability", "I cannot", _POSSIBLE)) or sentence.endswith("?"):
            continue
        if re.search(r"\bmet\)|not assessable| means: ", sentence):  # a definition
            continue
        denied = sentence.startswith(("No ", "No, ", "There is no"))
        for word in re.findall(r"\b(?:AB)?NORMAL\b", sentence):
            if word != answers.word(evidence):
                return True
        for label, pattern in _NAMED:
            if pattern.search(sentence):
                sentence = pattern.sub(" ", sentence)
                if (label in evidence.findings) == denied:
                    return True
    return False


def ask_all(language: Language, evidence: Evidence, rng: Random) -> list[dict]:
    rows = []
    for asked in questions(evidence, rng):
        said = language.answer(evidence, asked.question)
        same, changed = asked.same(said), changes_a_finding(said, evidence)
        rows.append({"kind": asked.kind, "form": asked.form, "same": same, "changed": changed,
                     "question": asked.question, "said": said})  # fmt: skip
    return rows


def figures(pages: list[list[dict]]) -> dict:
    """Shares of answers that are the same, and how many change a finding: in all, by kind and by form."""

    def share(rows: list[dict]) -> dict:
        same, changed = (sum(row[x] for row in rows) for x in ("same", "changed"))
        return {"n": len(rows), "same": round(same / len(rows), 4), "changed": changed}

    rows = [row for page in pages for row in page]
    by_kind, by_form, asked = defaultdict(list), defaultdict(list), []
    adversarial = tomllib.loads(WORDINGS.read_text("utf-8"))["adversarial"]
    for row in rows:
        by_kind[row["kind"]].append(row)
        if row["kind"] not in adversarial:
            by_form[row["form"]].append(row)
            asked.append(row)
    return {
        "pages": len(pages),
        "all": share(asked),
        "adversarial": share([row for row in rows if row["kind"] in adversarial]),
        "pages_with_a_changed_finding": sum(any(row["changed"] for row in page) for page in pages),
        "by_form": {form: share(found) for form, found in by_form.items()},
        "by_kind": {kind: share(found) for kind, found in by_kind.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/fold8"))
    parser.add_argument("--pages", type=int, default=12)
    args = parser.parse_args()
    reader, rng = Reader(threads=1), Random("questions")
    gold = load_gold(args.runs / "set" / "code15-test.json")
    pages: list[list[dict]] = []
    for item in rng.sample(gold, len(gold)):
        try:
            evidence = reader.look(item.image_files()[0]).evidence
        except EcgError:
            continue
        pages.append(ask_all(reader.words, evidence, rng))
        if len(pages) == args.pages:
            break
    found = figures(pages)
    write_text(OUT, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
