"""Is the question understood, in every language? Right, honestly not known, or an unrelated answer.

    OMP_NUM_THREADS=1 python benchmarks/bench_understanding.py

Questions: benchmarks/data/understanding.toml, none of them among the wordings that the net of intents learns
from. The thresholds of refusals and of near languages (words/dialogue.py, words/understand.py) were chosen
after failures of this file had been read; no wording was. They are asked about generated pages
(`ecgvlm.instruct.states`), so any answer can be told from any other.

An answer is right where it says all that the functions for the intended questions say; honest where it says
that it is not sure what is asked or cannot judge that; else it is unrelated. Answers of the same family
(a report instead of a verdict) are right. Writes benchmarks/results/understanding.json.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from random import Random

from ecgvlm.atomic import write_file
from ecgvlm.instruct.states import sample
from ecgvlm.judge.evidence import Evidence
from ecgvlm.words.dialogue import answer_parts
from ecgvlm.words.language import Language
from ecgvlm.words.phrases import Words, words
from ecgvlm.words.understand import Asked, intents, kin

QUESTIONS = Path(__file__).parent / "data" / "understanding.toml"
OUT = Path(__file__).parent / "results" / "understanding.json"
PAGES = 3


def intended(text: str) -> list[Asked]:
    """ "finding finding=MI; rhythm" -> what is asked."""
    parts = []
    for part in text.split("; "):
        intent, *objects = part.split()
        named = dict(item.split("=") for item in objects)
        parts.append(Asked(intent, {kind: (code,) for kind, code in named.items()}))
    return parts


def judged(said: str, parts: list[Asked], evidence: Evidence, w: Words) -> str:
    """ "right", "honest" or "unrelated"."""
    missing = [part for part in parts if not any(text in said for text in _accepted(part, evidence, w))]
    if not missing:
        return "right"
    honest = (w.say("unsure", examples="\0").partition("\0")[0], w.say("outside"))
    refused = [w.say(key) for key in ("advice", "prognosis", "cause", "other_tests", "identity", "off_topic")]
    asked_beyond = all(intents()[part.intent].get("refuses") for part in missing)
    return "honest" if any(x in said for x in (*honest, *(refused if asked_beyond else ()))) else "unrelated"


def _accepted(part: Asked, evidence: Evidence, w: Words) -> list[str]:
    """The answers of the intent and of its family, where these need nothing else."""
    kinds = {x.rstrip("?") for x in intents()[part.intent].get("takes", ())}
    same = [
        intent
        for intent, row in intents().items()
        if kin(intent) == kin(part.intent) and {x.rstrip("?") for x in row.get("takes", ())} <= kinds
    ]
    chosen = [part.intent] if intents()[part.intent].get("refuses") else same
    return [w.text(answer_parts([Asked(x, part.objects)], evidence, w)) for x in chosen]


def ask(language: Language, table: dict[str, list[str]], spoken: str = "en") -> list[tuple[str, str, str]]:
    """(judgement, question, answer) of each question of a table about a page of its own."""
    rows, rng = [], Random(0)
    for what, questions in table.items():
        for question in questions:
            for _ in range(PAGES):
                evidence = sample(rng)
                said = language.answer(evidence, question)
                rows.append((judged(said, intended(what), evidence, words(spoken)), question, said))
    return rows


def figures(rows: list[tuple[str, str, str]]) -> dict:
    found = Counter(row[0] for row in rows)
    return {"n": len(rows)} | {
        key: round(found[key] / len(rows), 4) for key in ("right", "honest", "unrelated")
    }


def main() -> None:
    data = tomllib.loads(QUESTIONS.read_text("utf-8"))
    language = Language(threads=1)
    english = ask(language, data["english"] | data["objects"])
    several = ask(language, data["several"])
    spoken = {code: ask(language, table, code) for code, table in data["spoken"].items()}
    rows = english + several + [row for found in spoken.values() for row in found]
    for judgement, question, said in dict.fromkeys(rows):
        if judgement != "right":
            print(f"{judgement}: {question} -> {said[:160]}")
    found = {
        "english": figures(english),
        "several": figures(several),
        "spoken": figures([row for found in spoken.values() for row in found]),
        "by_language": {code: figures(found) for code, found in spoken.items()},
    }
    write_file(OUT, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
