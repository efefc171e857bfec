"""Words as they were meant: without slips of the pen, apart where they are glued, together where spelt."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from ecgvlm.record import LEADS
from ecgvlm.words.text import Word, fold, split

_LONG = 9  # letters of a word that may have two slips of the pen
_USUAL, _MOST_USUAL = 10, 40  # wordings that have a word: one of four letters, and one that is no slip itself
_SHORT, _ENDING = 3, 2  # letters of a short beginning, and of what may follow it
_GLUED = 8  # letters of what may be several words without a space between them
# Abbreviations that are spelt letter by letter where somebody dictates.
SPELT = frozenset(lead.lower() for lead in LEADS) | {
    "qt", "qtc", "qrs", "pr", "pq", "st", "av", "af", "ecg", "ekg", "hr", "mi", "lvh", "rvh", "rbbb", "lbbb",
    "svt", "vt", "wpw", "pvc", "pac", "stemi", "nstemi",
}  # fmt: skip
_LONGEST_SPELT = max(map(len, SPELT))


class Spelling:
    """The words of one language.

    known: all of them; those that stand for all that begin so end in "*". common: those that a slip of the
    pen may have meant, each with how usual it is. is_word: whether something else is a word as it stands,
    where that is known of the language. named: what a word names by itself, empty where nothing. joined:
    words that are written together with the one after them, but in none of whole.
    """

    def __init__(
        self,
        known: frozenset[str],
        common: Mapping[str, int],
        is_word: Callable[..., bool] | None,
        named: Callable[[str], tuple] = lambda word: (),
        joined: Sequence[str] = (),
        whole: frozenset[str] = frozenset(),
    ):
        self._known, self._common, self._is_word, self._joined = known, common, is_word, tuple(joined)
        self._whole, self._named = whole, named
        self._starts = tuple(word[:-1] for word in known if word.endswith("*"))
        self._meant = lru_cache(1 << 16)(self._meant)  # type: ignore[method-assign]
        self._by_length: dict[int, list[str]] = {}
        for word in sorted(common):
            if not word.endswith("*"):
                self._by_length.setdefault(len(word), []).append(word)

    def words(self, text: str) -> list[Word]:
        """The words of a text as they were meant."""
        return [part for word in _unspelt(split(text)) for part in self._mended(word)]

    def _unjoined(self, word: Word) -> list[Word]:
        """A word that is written together with a known one after it, and that one; empty where there are
        none. The first of the former is an "and", which is heard in known words as well."""
        for first in self._joined if word.plain not in self._whole else ():
            text = word.text[len(first) :]
            rest = fold(text)
            if word.text.startswith(first) and self._is_known(rest):
                if first != self._joined[0] and word.plain in self._known:
                    break
                edge = word.start + len(first)
                return [Word(first, first, word.start, edge), Word(text, rest, edge, word.end)]
        return []

    def _is_known(self, plain: str) -> bool:
        return len(plain) > 1 and (plain in self._known or self._begins(plain))

    def _mended(self, word: Word) -> list[Word]:
        """A word with a slip of the pen as it was meant, or the words it is glued from, where that is
        clear."""
        if joined := self._unjoined(word):
            return joined
        meant = self._meant(word.plain)
        if meant != word.plain or len(word.plain) != len(word.text) or not (parts := self._apart(word.plain)):
            return [Word(word.text, meant, word.start, word.end)]
        edges = list(itertools.accumulate(map(len, parts), initial=0))
        return [
            Word(word.text[first:last], part, word.start + first, word.start + last)
            for part, first, last in zip(parts, edges, edges[1:])
        ]

    def _apart(self, plain: str) -> list[str]:
        """The fewest known words that written together make this one; empty where there are none."""
        if len(plain) < _GLUED or not plain.isalpha() or plain in self._known or self._begins(plain):
            return []
        if self._is_word and self._is_word(plain):
            return []
        best: list[list[str] | None] = [[]] + [None] * len(plain)
        for last in range(1, len(plain) + 1):
            for first in range(max(0, last - 24), last):
                before, part = best[first], plain[first:last]
                shorter = before is not None and (
                    best[last] is None or len(before) + 1 < len(best[last] or ())
                )
                if shorter and part in self._known and (len(part) > 1 or part in "ai"):
                    best[last] = [*(before or ()), part]
        parts = best[-1] or []
        return parts if len(parts) <= len(plain) / 3 else []

    def _begins(self, plain: str) -> bool:
        """Whether a word begins as many do; a short beginning says so of short words alone."""
        return any(
            plain.startswith(start) and (len(start) > _SHORT or len(plain) <= len(start) + _ENDING)
            for start in self._starts
        )

    def _meant(self, plain: str) -> str:
        if len(plain) < 4 or plain in self._known or any(c.isdigit() for c in plain):
            return plain
        if self._is_word and self._is_word(plain):
            return self._swapped(plain)
        from rapidfuzz import process  # which a page that nobody asks about does not need
        from rapidfuzz.distance import OSA

        no_word = self._is_word is not None and not self._is_word(plain, often=False)
        starts: tuple[str, ...] = ()
        if self._begins(plain):
            if not no_word:
                return plain
            starts = tuple(start for start in self._starts if plain.startswith(start))
        slips = 1 if len(plain) < _LONG else 2
        choices = [
            known
            for length in range(max(4, len(plain) - slips), len(plain) + slips + 1)
            for known in self._by_length.get(length, ())
            if len(plain) > 4
            or length > 4
            or (no_word and self._common[known] >= _USUAL)
            or sorted(known) == sorted(plain)
            if not starts or known.startswith(starts)
        ]
        near = process.extract(plain, choices, scorer=OSA.distance, score_cutoff=slips, limit=8)
        if not near:
            return plain
        ranks = {known: (distance, -self._common[known]) for known, distance, _ in near}
        best = [known for known in ranks if ranks[known] == min(ranks.values())]
        stems = [word for word in best if not any(x != word and word.startswith(x) for x in best)]
        lengths = [abs(len(word) - len(plain)) for word in stems]
        nearest = [word for word, length in zip(stems, lengths) if length == min(lengths)]
        if len({self._named(word) for word in nearest}) == 1 and self._named(nearest[0]):
            return nearest[0]  # "ischemi": ischemia or ischemic
        return nearest[0] if len(nearest) == 1 else plain

    def _swapped(self, plain: str) -> str:
        """A word that with two letters swapped is one that is asked for most often: "herat"."""
        meant = [f"{plain[:i]}{plain[i + 1]}{plain[i]}{plain[i + 2 :]}" for i in range(len(plain) - 1)]
        usual = [word for word in meant if self._common.get(word, 0) >= _MOST_USUAL]
        return usual[0] if len(usual) == 1 else plain


def _unspelt(words: list[Word]) -> list[Word]:
    """Letters one by one, as they are dictated, as the abbreviation that they spell."""
    out: list[Word] = []
    place = 0
    while place < len(words):
        last = place
        while last < min(len(words), place + _LONGEST_SPELT) and len(words[last].text) == 1:
            last += 1
        for end in range(last, place + 1, -1):
            spelt = "".join(word.plain for word in words[place:end])
            if spelt in SPELT:
                out.append(Word(spelt, spelt, words[place].start, words[end - 1].end))
                place = end
                break
        else:
            out.append(words[place])
            place += 1
    return out
