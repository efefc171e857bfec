"""Is the question understood, in every language? Right, honestly not known, or an unrelated answer.

    OMP_NUM_THREADS=1 python benchmarks/bench_understanding.py

Questions: benchmarks/data/*.toml that `SETS` names, none of which the net learned; the head of each says who
saw it. What needs the question before, and what is asked to be answered in another language, is taken from
the files whose single questions it did learn ("turns"). They are asked about generated pages
(`ecgvlm.instruct.states`), so any answer can be told from any other.

An answer is right where it says all that the functions for the intended questions say; honest where it says
that it is not sure what is asked or cannot judge that; else it is unrelated. Answers of the same family
(a report instead of a verdict) are right. What lies outside an ECG ("*") is right where it is refused and
what is urgent on the page is named, also where the nearest questions follow because it was not understood;
honest where the answer begins with the words of the question that it did not understand. "noticed" is the
share of all answers that begin so: needless before a right one, no more than honest before another.
"always_right" is the share of questions that are answered right and without such words on each of their
pages, "ever_unrelated" of those that are answered by something else on any.
Writes benchmarks/results/understanding.json.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections import Counter
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path
from random import Random

from ecgvlm.atomic import write_file
from ecgvlm.instruct.states import sample
from ecgvlm.judge.evidence import Evidence
from ecgvlm.words import answers
from ecgvlm.words.comparisons import BOUND
from ecgvlm.words.dialogue import Conversation, answer_parts
from ecgvlm.words.language import Language
from ecgvlm.words.phrases import Words, words
from ecgvlm.words.replies import Request, each_finding
from ecgvlm.words.understand import Asked, intents, kin

DATA = Path(__file__).parent / "data"
LEARNED = Path(__file__).parents[1] / "training" / "questions"
SETS = (
    "mornings", "dawns", "evenings", "nights", "callins", "shifts", "visitors", "rounds", "relief", "wards",
    "inquirers", "chats", "talks", "callers", "temps", "residents", "locums", "keepers", "passersby",
    "walkins",
)  # fmt: skip
TURNS, NUMBERS = "turns", "numbers"
OUT = Path(__file__).parent / "results" / "understanding.json"
PAGES = 3
REFUSALS = (
    "advice", "prognosis", "cause", "other_tests", "identity", "off_topic", "earlier", "outside", "oneself",
    "only_this_ecg",
)  # fmt: skip
_CALLED = "\0"  # stands for what a question calls a finding
Row = tuple[str, str, str, bool]  # judgement, question, answer, noticed


def intended(text: str) -> list[list[Asked]]:
    """ "finding finding=MI; rhythm | verdict" -> of each part, what it may mean."""
    return [[_meant(choice) for choice in part.split(" | ")] for part in text.split("; ")]


def _meant(text: str) -> Asked:
    intent, *objects = text.split()
    named: dict[str, tuple[str, ...]] = {}
    for item in objects:
        kind, code = item.split("=")
        named[kind] = (*named.get(kind, ()), code)
    return Asked(intent, named, denied=named.pop("denied", None) is not None)


def judged(said: str, parts: list[list[Asked]], evidence: Evidence, w: Words) -> str:
    """ "right", "honest" or "unrelated"."""
    missing = [
        choices
        for choices in parts
        if not any(_says(said, text) for part in choices for text in _accepted(part, evidence, w))
    ]
    if not missing:
        return "right"
    honest = [w.say("unsure", examples="\0").partition("\0")[0], w.say("outside")]
    if all(intents()[part.intent].get("refuses") for choices in missing for part in choices):
        honest += [*_refusals(w), _unjudged(w)]
    return "honest" if any(text in said for text in honest) else "unrelated"


def _says(said: str, text: str) -> bool:
    """Whether an answer holds a text, whatever the question calls what it asks about."""
    return all(piece in said for piece in text.split(_CALLED))


def _refusals(w: Words) -> list[str]:
    return [w.say(key) for key in REFUSALS]


def _unjudged(w: Words) -> str:
    """How it begins that a finding cannot be judged."""
    return w.say("outside_named", finding="\0").partition("\0")[0]


def _noticed(w: Words) -> str:
    """How it begins that words were not understood."""
    return w.say("words_unclear", words="\0").partition("\0")[0]


def refused(said: str, evidence: Evidence, w: Words) -> str:
    """Of what lies outside an ECG: "right" where a refusal opens the answer and what is urgent on the page is
    named, "honest" where the question is not understood."""
    urgent = answers.urgent(evidence, w) in said
    if urgent and said.startswith((*_refusals(w), _unjudged(w))):
        return "right"
    if said.startswith(w.say("p_wave")):  # a wave whose shape is not judged; nobody waits for that
        return "right"
    unsure = w.say("unsure", examples="\0").partition("\0")[0]
    return "honest" if said.startswith((unsure, _noticed(w))) else "unrelated"


def _accepted(part: Asked, evidence: Evidence, w: Words) -> list[str]:
    """The answers of the intent and of its family, where these need nothing else."""
    kinds = {x.rstrip("?~") for x in intents()[part.intent].get("takes", ())}
    same = [
        intent
        for intent, row in intents().items()
        if kin(intent) == kin(part.intent) and {x.rstrip("?~") for x in row.get("takes", ())} <= kinds
    ]
    chosen = [part.intent] if intents()[part.intent].get("refuses") else same
    called = [tuple(_CALLED for _ in part.of("finding"))]
    if part.intent == "define":  # an abbreviation is told what it stands for, a name is not
        called.append(tuple(w.names["findings"].get(code, _CALLED) for code in part.of("finding")))
    stated = {part.denied, True}  # a statement is right, whatever the question
    objects = [part.objects]
    if part.of("wave") and not part.of("unit"):
        objects.append({**part.objects, "unit": ("mv",)})  # beside mm
    meant = [
        replace(part, intent=intent, objects=of, named=named, denied=denied)
        for intent in chosen
        for of in objects
        for named in called
        for denied in stated
    ]
    return [_answer(asked, evidence, w) for asked in meant]


def _answer(asked: Asked, evidence: Evidence, w: Words) -> str:
    """The answer, of findings without what is said beside them."""
    if asked.intent == "finding":
        return w.distinct(each_finding(Request(evidence, asked, w)))
    return w.text(answer_parts([asked], evidence, w))


def ask(language: Language, table: dict[str, list], spoken: str = "en") -> list[Row]:
    """Each question of a table about pages of its own; of a list of questions, a conversation, the last one
    counts."""
    rows, rng, w = [], Random(0), words(spoken)
    for what, questions in table.items():
        for asked_so_far in questions:
            turns = [asked_so_far] if isinstance(asked_so_far, str) else asked_so_far
            question = " / ".join(turns)
            for _ in range(PAGES):
                evidence, before, said = sample(rng), Conversation(), ""
                for turn in turns:
                    said, before = language.converse(evidence, turn, before)
                judgement = (
                    refused(said, evidence, w) if what == "*" else judged(said, intended(what), evidence, w)
                )
                rows.append((judgement, question, said, _noticed(w) in said))
    return rows


def figures(rows: list[Row]) -> dict:
    found = Counter(row[0] for row in rows)
    shares = {key: round(found[key] / len(rows), 4) for key in ("right", "honest", "unrelated")}
    by_question = [list(answers) for _, answers in groupby(rows, key=lambda row: row[1])]
    always = sum(all(row[0] == "right" and not row[3] for row in answers) for answers in by_question)
    ever = sum(any(row[0] == "unrelated" for row in answers) for answers in by_question)
    return {
        "n": len(rows),
        **shares,
        "noticed": round(sum(row[3] for row in rows) / len(rows), 4),
        "always_right": round(always / len(by_question), 4),
        "ever_unrelated": round(ever / len(by_question), 4),
    }


def measured(language: Language, data: dict) -> tuple[dict, list[Row]]:
    """The figures of one file of questions, and all its rows."""
    english = {kind: ask(language, table) for kind, table in data.get("english", {}).items()}
    spoken = {code: ask(language, table, code) for code, table in data.get("spoken", {}).items()}
    beyond = {code: ask(language, table, code) for code, table in data.get("outside_spoken", {}).items()}
    answered = {code: ask(language, table, code) for code, table in data.get("answered", {}).items()}
    talked = {code: ask(language, table, code) for code, table in data.get("conversation", {}).items()}
    flat, foreign, abroad, wished, turns = (
        list(chain(*tables.values())) for tables in (english, spoken, beyond, answered, talked)
    )
    several, outside = (ask(language, data.get(key, {})) for key in ("several", "outside"))
    asked_of = {
        "english": flat,
        "spoken": foreign,
        "several": several,
        "outside": outside,
        "outside, spoken": abroad,
        "answered in another language": wished,
        "conversations": turns,
    }
    found = {name: figures(rows) for name, rows in asked_of.items() if rows}
    found["by_kind"] = {kind: figures(rows) for kind, rows in english.items()}
    found["by_language"] = {code: figures(rows) for code, rows in (spoken or beyond).items()}
    return found, [*flat, *foreign, *several, *outside, *abroad, *wished, *turns]


def _turns() -> dict[str, dict]:
    """The conversations, and what is to be answered in another language, of the files that were learned."""
    found: dict[str, dict[str, dict[str, list]]] = {}
    for path in sorted(LEARNED.glob("*.toml")):
        data = _read(path)
        for part in ("conversation", "answered"):
            for language, table in data.get(part, {}).items():
                asked = found.setdefault(part, {}).setdefault(language, {})
                for what, questions in table.items():
                    asked.setdefault(what, []).extend(questions)
    return found


def _read(path: Path) -> dict:
    return tomllib.loads(path.read_text("utf-8"))


def compared(language: Language) -> tuple[dict, list[Row]]:
    """Of questions that compare with a number: heard on the side that is meant (right), answered by neither
    yes nor no (honest), or else (unrelated)."""
    rows: list[Row] = []
    data = _read(DATA / f"{NUMBERS}.toml")
    for code, table in {"en": data["english"]["limit"], **data["spoken"]}.items():
        for what, questions in table.items():
            ((meant,),) = intended(what)
            for question in questions:
                heard = language.dialogue.hear(question, Conversation(language=code)).parts
                of = [part for part in heard if part.of("measure") == meant.of("measure")]
                same = any(_compares_as(part, meant) for part in of)
                told = [part for part in of if part.intent == "limit" and part.of("side") and not part.denied]
                judgement = "right" if same else "unrelated" if told or not of else "honest"
                rows.append((judgement, question, str([(x.intent, dict(x.objects)) for x in heard]), False))
    counted = Counter(judgement for judgement, *_ in rows)
    shares = {kind: counted[kind] / len(rows) for kind in ("right", "honest", "unrelated")}
    return {"n": len(rows), **{kind: round(share, 4) for kind, share in shares.items()}}, rows


def _compares_as(part: Asked, meant: Asked) -> bool:
    bound = set(BOUND) & set(part.of("compared"))
    numbers = [[float(number) for number in x.of("number")] for x in (part, meant)]
    same = part.intent == meant.intent and part.of("side") == meant.of("side") and not part.denied
    return same and numbers[0] == numbers[1] and bound == set(meant.of("compared"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quiet", action="store_true", help="figures alone, so that failures stay unread")
    parser.add_argument("--sets", nargs="*", default=[*SETS, TURNS, NUMBERS])
    args = parser.parse_args()
    language = Language(threads=1)
    out = json.loads(OUT.read_text("utf-8")) if OUT.exists() else {}
    for name in args.sets:
        if name == NUMBERS:
            out[name], rows = compared(language)
        else:
            out[name], rows = measured(language, _turns() if name == TURNS else _read(DATA / f"{name}.toml"))
        if not args.quiet:
            for judgement, question, said, noticed in dict.fromkeys(rows):
                if judgement != "right" or noticed:
                    print(f"{judgement}{', noticed' * noticed}: {question} -> {said[:160]}")
    kept = {name: out[name] for name in (*SETS, TURNS, NUMBERS) if name in out}
    write_file(OUT, (json.dumps(kept, indent=1) + "\n").encode())
    for name in args.sets:
        shown = {key: value for key, value in out[name].items() if not key.startswith("by_")}
        print(name, json.dumps(shown, indent=1))


if __name__ == "__main__":
    main()
