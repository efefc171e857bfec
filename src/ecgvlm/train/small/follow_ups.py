"""What people ask next, to learn from: the second question with the one before it.

Files of `training/follow_ups` have tables [LANGUAGE.KIND] of follow-ups that fit after any question of a kind
("and is that ok?" after a measurement), by what they then mean, X being what was asked about before; and
tables [LANGUAGE] of conversations, by what the last turn means.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

from ecgvlm.train.small.questions import (
    KEPT,
    NOTHING,
    OF_PEOPLE,
    Example,
    Writer,
    about_of,
    intents_of,
    of_people,
)
from ecgvlm.words.comprehension import OF_ECG, THINGS
from ecgvlm.words.phrases import LANGUAGES
from ecgvlm.words.resolve import OF_PAGE
from ecgvlm.words.understand import intents, takes

AFTER = 5  # questions that a follow-up of a kind is put after
WAYS, AS_IT_STANDS = 12, 6  # a conversation is written, and how many of them as it stands
_SAME = "X"  # of what was asked about before
_LONG = 5  # words of a question that stands by itself though it names nothing
_WHOLE = ("verdict", "findings", "report", "diagnosis", "rhythm", "regular", "urgent")
Asked = tuple[str, str]  # a question and what it asks


def followed(folder: Path, asked: Path, rng: Random) -> Iterator[Example]:
    """The follow-ups of the files in a folder, after questions of another one; as many questions that stand
    by themselves whatever came before; some are kept."""
    singles = _singles(asked)
    writers = {language: Writer(language, rng) for language in LANGUAGES}
    earlier = {language: _by_kind(singles[language]) for language in LANGUAGES}
    for language, kind, means, text, kept in _of_kinds(folder):
        for before, what in _some(earlier[language][kind], 1 if kept else AFTER, rng):
            meant, about = intents_of(means), _about(means, what)
            said = text if kept or rng.random() < 0.5 else writers[language].noisy(text, OF_PEOPLE)
            yield writers[language].example(said, meant, about, kept, before)
            if not kept:
                yield _by_itself(singles[language], writers[language], rng)
    for language, means, turns, kept in _conversations(folder):
        writer = writers[language]
        before = _spoken_of(turns[:-1], writer)
        for way in range(1 if kept else WAYS):
            said = turns[-1] if kept or way < AS_IT_STANDS else writer.noisy(turns[-1], OF_PEOPLE)
            yield writer.example(said, intents_of(means), about_of(means), kept, before)


def _singles(folder: Path) -> dict[str, list[Asked]]:
    """By language, single questions of a folder, those kept to calibrate with left out."""
    found: dict[str, list[Asked]] = {language: [] for language in LANGUAGES}
    for language, text, what, kept in of_people(folder):
        if not kept and "; " not in what:
            found[language].append((text, what))
    return found


def _by_kind(asked: Iterable[Asked]) -> dict[str, list[Asked]]:
    """Questions by the kind of what they ask about."""
    found: dict[str, list[Asked]] = {}
    for text, what in asked:
        found.setdefault(_kind(what), []).append((text, what))
    return found


def _kind(what: str) -> str:
    """What a question of this meaning asks about; of several readings the first counts."""
    intent, *objects = what.split(" | ")[0].split()
    if intent == "*" or intents()[intent].get("refuses"):
        return "refused"
    named = next((x.split("=")[0] for x in objects if x.split("=")[0] in THINGS), "")
    if named and intent != "define":
        return named
    return "whole" if intent in _WHOLE else "page" if intent in OF_PAGE else intent


def _some(asked: list[Asked], count: int, rng: Random) -> list[Asked]:
    return rng.sample(asked, min(count, len(asked)))


def _about(means: str, what: str) -> frozenset[str]:
    """What a follow-up of this meaning asks about after a question of that one, as `Example`."""
    if f"={_SAME}" not in means:
        return about_of(means)
    kinds = {x.split("=")[0] for x in means.split() if x.endswith(f"={_SAME}")}
    return frozenset(x for x in about_of(what) if x.split("=")[0] in kinds)


def _by_itself(asked: list[Asked], writer: Writer, rng: Random) -> Example:
    """A question that another one came before, but that does not go on with it."""
    before = rng.choice(asked)[0]
    while True:
        text, what = rng.choice(asked)
        about = about_of(what)
        example = writer.example(text, intents_of(what), about, before=before)
        of_nothing = about in (frozenset(), NOTHING) and _alone(what)
        if _names_any(example) or (of_nothing and len(text.split()) >= _LONG):
            return example


def _alone(what: str) -> bool:
    """Whether what is asked is asked of nothing."""
    return not any(takes(choice.split()[0]) for choice in what.split(" | ") if choice != "*")


def _spoken_of(turns: list[str], writer: Writer) -> str:
    """The last turn that names something of an ECG, else the last."""
    naming = [turn for turn in turns if _names_any(writer.example(turn, frozenset(), NOTHING))]
    return (naming or turns)[-1]


def _names_any(example: Example) -> bool:
    return any(span.kind in OF_ECG for span in example.named)


def _of_kinds(folder: Path) -> Iterator[tuple[str, str, str, str, bool]]:
    """Language, kind of the question before, what is meant, the follow-up and whether it is kept."""
    for language, table in _tables(folder):
        place = 0
        for kind, meanings in table.items():
            for means, texts in meanings.items() if isinstance(meanings, dict) else ():
                for text in texts:
                    place += 1
                    yield language, kind, means, text, place % KEPT == 0


def _conversations(folder: Path) -> Iterator[tuple[str, str, list[str], bool]]:
    """Language, what the last turn means, the turns, and whether it is kept."""
    for language, table in _tables(folder):
        place = 0
        for means, conversations in table.items():
            for turns in conversations if isinstance(conversations, list) else ():
                place += 1
                yield language, means, turns, place % KEPT == 0


def _tables(folder: Path) -> Iterator[tuple[str, dict]]:
    for path in sorted(folder.glob("*.toml")):
        yield from tomllib.loads(path.read_text("utf-8")).items()
