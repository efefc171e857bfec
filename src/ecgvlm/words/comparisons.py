"""On which side of a number words ask whether something lies: "at least 120", "120 ms or more"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ecgvlm.words.text import NUMBER, Object, Sequences, Word

# How words compare with a number -> the side of it that is meant; to those of "from" and "to" it belongs.
COMPARED = {"over": "high", "under": "low", "from": "high", "to": "low"}
BOUND = ("from", "to")
_HERE = "#"  # the number, in what compares with it
_NAMED = ("finding", "group", "wave", "measure")  # what may be compared; a region is none ("480 o inferiore")
_NEAR = 6  # words from a side to the number that it may be told of
_BETWEEN = 3  # words between these that name nothing
_COUNTED = 4  # words after a number that tell what it counts, and one more
_RANGE = 3  # words from one number to the other of a range


class Comparisons:
    """The words of one language that compare with a number.

    known: by each of `COMPARED`, what stands before or after "#"; than: words beside a number that a side
    behind it compares with ("比120宽"); between: words that may stand between all these and say nothing;
    joints: words that join something else to the number. side_last: whether any side behind one compares.
    """

    def __init__(
        self, known: Mapping[str, Sequence[str]], than: Sequence[str], between: frozenset[str],
        joints: frozenset[str], side_last: bool,
    ):  # fmt: skip
        self._before = {
            code: Sequences(x for x in names if x.endswith(_HERE)) for code, names in known.items()
        }
        self._after = {
            code: Sequences(x for x in names if x.startswith(_HERE)) for code, names in known.items()
        }
        self._than, self._between, self._joints = Sequences(than), between, joints
        self._side_last = side_last

    def sides(self, words: list[Word], found: Sequence[Object]) -> Iterator[Object]:
        """How words compare with each number that is no part of a range, as sides of `COMPARED`: by the
        longest that does, or else by a side that is told of the number."""
        numbers = [named for named in found if named.kind == "number"]
        named = {place for o in found if o.kind in _NAMED for place in range(o.first, o.last)}
        for number in numbers:
            if any(0 < abs(number.first - other.first) <= _RANGE for other in numbers):
                continue
            told = [o for o in found if o.kind == "side" and abs(o.first - number.first) <= _NEAR]
            after = list(self._following(words, number, named))
            if len({o.code for o in told}) > 1 or any(_turned(side, o) for side in after for o in told):
                continue
            if sides := [*self._preceding(words, number, named), *after]:
                yield max(sides, key=lambda side: side.last - side.first)
            elif strict := next((o for o in told if self._compares(o, number, words, named)), None):
                yield replace(strict, code="over" if strict.code == "high" else "under")

    def _preceding(self, words: list[Word], number: Object, named: set[int]) -> Iterator[Object]:
        """What compares before a number; what is compared may stand between its words: "überschreitet die
        QTc 500"."""
        free = [place for place in range(number.first) if place not in named]
        for kept in (free, [place for place in free if words[place].plain not in self._between]):
            heard = [words[place] for place in kept]
            for code, names in self._before.items():
                if length := names.length_before(heard):
                    own = kept[-length:]
                    first = next(place for place in reversed(own) if place == own[0] or place - 1 not in own)
                    yield Object("side", code, first, own[-1] + 1)

    def _following(self, words: list[Word], number: Object, named: set[int]) -> Iterator[Object]:
        """What compares after a number and what it counts: "100 beats a minute or more"."""
        for place in range(number.last, min(number.last + _COUNTED, len(words))):
            if place in named or NUMBER.fullmatch(words[place].plain):
                return
            for code, names in self._after.items():
                if length := names.length_at(words, place):
                    yield Object("side", code, place, place + length)
            if words[place].plain in self._joints:
                return

    def _compares(self, side: Object, number: Object, words: list[Word], named: set[int]) -> bool:
        """Whether a side is told of a number: "wider than 120", "supera el QT los 460", "120'den geniş", but
        not "120 wide"."""
        if side.last <= number.first:
            between = (words[place].plain for place in range(side.last, number.first) if place not in named)
            return sum(plain not in self._between for plain in between) < _BETWEEN
        than = (
            self._side_last
            or self._than.length_before(words[: number.first])
            or any(self._than.length_at(words, place) for place in range(number.last, side.first))
        )
        return side.first - number.last < _BETWEEN and bool(than)


def _turned(side: Object, other: Object) -> bool:
    """Whether a word before it tells the other side: "over 500 or under"."""
    return other.last <= side.first and COMPARED[side.code] != other.code
