"""How an answer is wished for: "in German, please", "Antworte auf Französisch", "answer yes or no only"."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from ecgvlm.words.text import Sequences, Word, fold, split

_MOST = 5  # words of a language's name with those before it; one ideograph is a word


@dataclass(frozen=True)
class Wish:
    """language: one of `phrases.LANGUAGES`, "other" for one that is none of these, None where none is named.
    question: what else is asked, "" where nothing is. short: whether yes or no alone is wished for."""

    language: str | None
    question: str
    short: bool = False


def wish(question: str) -> Wish:
    """How a question wishes its answer, and the question without that."""
    language, rest = _spoken(question)
    words = split(rest)
    for place in range(len(words)):
        if length := _short().length_at(words, place):
            return Wish(language, _without(rest, words, place, place + length), short=True)
    return Wish(language, rest)


def _spoken(question: str) -> tuple[str | None, str]:
    """The language that a question wishes its answer in, and the question without that."""
    words = split(question)
    plain = tuple(word.plain for word in words)
    asked_in, called = _names()
    asking = _asking()
    for place in range(len(words)):
        for last in range(min(len(words), place + _MOST), place, -1):
            language, alone = asked_in.get(plain[place:last]), called.get(plain[place:last])
            rest = plain[:place] + plain[last:]
            if not language and not (alone and asking.issuperset(rest)):
                continue
            return language or alone, _without(question, words, place, last)
    return None, question


def _without(question: str, words: list[Word], first: int, last: int) -> str:
    """The question without the words [first, last) and those of asking right beside them."""
    asking = _asking()
    while first > 0 and words[first - 1].plain in asking:
        first -= 1
    while last < len(words) and words[last].plain in asking:
        last += 1
    if first == 0 and last == len(words):
        return ""
    return f"{question[: words[first].start]} {question[words[last - 1].end :]}"


@lru_cache
def _table() -> dict:
    return tomllib.loads((files("ecgvlm.words") / "data" / "languages.toml").read_text("utf-8"))


@lru_cache
def _asking() -> frozenset[str]:
    return frozenset(fold(word) for word in _table()["asking"])


@lru_cache
def _short() -> Sequences:
    return Sequences(_table()["yes_or_no"])


@lru_cache
def _names() -> tuple[dict[tuple[str, ...], str], dict[tuple[str, ...], str]]:
    """Language by the words of "in German", and by those of "German", in all languages."""
    asked_in: dict[tuple[str, ...], str] = {}
    called: dict[tuple[str, ...], str] = {}
    for names in (table for table in _table().values() if isinstance(table, dict)):
        for language in names.keys() - {"before"}:
            for name in names[language]:
                plain = tuple(word.plain for word in split(name))
                called[plain] = language
                for before in names.get("before", [""]):
                    asked_in[(*(word.plain for word in split(before)), *plain)] = language
    return asked_in, called
