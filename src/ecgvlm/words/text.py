"""Text as words: apart, and folded to what they are compared by, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

POINT = "\u2024"  # of a decimal number; a full stop ends a sentence
# Of a question: to understand so many takes half a second, more take ever longer.
MAX_LETTERS, MAX_SENTENCES = 2000, 100
SENTENCE = re.compile(r"[^.?!;\n؟。？！；।]+[.?!;\n؟。？！；।]*")
# One ideograph, syllable or kana is a word of its own; elsewhere marks belong to the letters before them, a
# sign and a point to their digits.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
    r"|(?:(?<![^\s(])[-\u2212](?=\d))?"
    r"(?:(?![\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])[^\W_]|[\u0300-\u036f\u064b-\u0655\u0900-\u0963]"
    r"|(?<=\d)\u2024(?=\d))+"
)
_MARKS = re.compile(r"[\u0300-\u036f\u0640\u064b-\u0655\u093c]")
# Traditional Chinese letters, each before its simplified one.
_CHINESE = (files("ecgvlm.words") / "data" / "traditional.txt").read_text("utf-8").split()
_LETTERS = str.maketrans(
    {
        "\u2212": "-", "ß": "ss", "ł": "l", "ø": "o", "ı": "i", "æ": "ae", "œ": "oe", "ى": "ي", "ة": "ه",
        **dict(_CHINESE),  # type: ignore[arg-type]
    }
)  # fmt: skip
NUMBER = re.compile(r"(-?\d+(?:[.]\d+)?)(?:ms|msec|s|sec|bpm|mm|mv|deg)?")  # of a folded word, with its unit
_ARTICLE = re.compile("^(?:[وبفك]?ال|لل)(?=.{3})")


@dataclass(frozen=True)
class Word:
    """A word as it is written, what it is compared by, and where it stands."""

    text: str
    plain: str
    start: int
    end: int


@dataclass(frozen=True)
class Object:
    """Something named: its kind ("finding", ..., "lead"), code, and the words [first, last) that name it."""

    kind: str
    code: str
    first: int
    last: int


def readable(text: str, questions: int = 1) -> str:
    """What is read of so many questions: of what is too long the end, where the request usually stands."""
    last = text[-MAX_LETTERS * questions :]
    starts = [sentence.start() for sentence in SENTENCE.finditer(last)]
    most = MAX_SENTENCES * questions
    return last if len(starts) <= most else last[starts[-most] :]


def fold(word: str) -> str:
    """A word in small letters, without accents, vowel marks and the Arabic article; Chinese simplified."""
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", word.lower())).translate(_LETTERS)
    return _ARTICLE.sub("", plain)


def split(text: str) -> list[Word]:
    return [Word(m[0], fold(m[0]), m.start(), m.end()) for m in _WORD.finditer(text)]


@lru_cache(1 << 14)
def words_of(piece: str) -> tuple[str, ...]:
    """The words of a piece without a space, the last with its "*"."""
    return tuple(
        word.plain + "*" * (piece.endswith("*") and word.end == len(piece) - 1)
        for word in split(piece.rstrip("*"))
    )


class Sequences:
    """Names word by word, found by their first word; one that stands for all that begin so ends in "*"."""

    def __init__(self, names: Iterable[str]):
        self._all = {tuple(word for piece in name.split() for word in words_of(piece)) for name in names} - {
            ()
        }
        self._by_first: dict[str, list[tuple[str, ...]]] = {}
        self._starting = [name for name in self._all if name[0].endswith("*")]
        for name in self._all:
            self._by_first.setdefault(name[0], []).append(name)

    def length_at(self, words: list[Word], place: int) -> int:
        """How many words the longest of these has that stands at a place, 0 where none does."""
        if place >= len(words):
            return 0
        likely = (*self._by_first.get(words[place].plain, ()), *self._starting)
        return max((len(name) for name in likely if _same(words[place : place + len(name)], name)), default=0)

    def length_before(self, words: list[Word]) -> int:
        """How many words the longest of these has that the words end in, 0 where they end in none."""
        return max((len(name) for name in self._all if _same(words[-len(name) :], name)), default=0)


def _same(words: list[Word], name: tuple[str, ...]) -> bool:
    return len(words) == len(name) and all(map(is_as, words, name))


def is_as(word: Word, known: str) -> bool:
    """Whether a word is a known one, or begins so where that ends in "*"."""
    return word.plain.startswith(known[:-1]) if known.endswith("*") else word.plain == known
