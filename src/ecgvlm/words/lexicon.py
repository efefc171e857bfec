"""What a question names, in any of the languages: findings, measurements, waves, groups, sides and leads."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files

from ecgvlm.record import LEADS
from ecgvlm.words import dictionary
from ecgvlm.words.comparisons import Comparisons
from ecgvlm.words.concepts import limits_of
from ecgvlm.words.phrases import words
from ecgvlm.words.spelling import Spelling
from ecgvlm.words.text import NUMBER, Object, Sequences, Word, fold, is_as, words_of

# Most words between a number and what tells that it is compared, before it and after it; -1: none tells.
_BESIDE = {"side": (3, 2), "number": (2, 2), "measure": (2, -1), "finding": (-1, 1)}
# Beginnings of words after numbers that are ages.
_YEARS = (
    "year", "yr", "yo", "jahr", "ans", "anos", "anni", "jaar", "lat", "rok", "лет", "год", "yas", "岁",
    "साल", "वर्ष", "سن", "عام",
)  # fmt: skip
_HAVING = ("i", "you", "we", "they", "could", "should", "would", "must", "might")  # before "'ve"
_TELLING = 6  # letters of a word that is a name whatever the language
_UNASKED = ("NORM", "NOSIGNAL")  # findings whose names are words of other questions
_ENDINGS_APART = ("tr",)
_ENDING = re.compile(r"(?<=\w)['’ʼ`]\w{1,6}")
_COMMA = re.compile(r"[,،，、\u2013-]")
_BETWEEN = 3  # words between two numbers of which one is chosen
_TOLD = 9  # words that tell who has the ECG
_NEAR, _LONG = 5, 9  # letters of a word that may be a slip for one of a name, and of one that may have two
_LONGEST = 6  # words of a name, nearly all of which have fewer
_HEARD = 512  # texts whose words are kept
_MANY_WORDS = 3  # words of a name that tells by itself what it means
_CODE = 3  # letters of what is no word but a code
_OWN_WORDS = ("and", "not", "or", "articles", "before", "after", "courtesies", "left_out", "wordings")
# Words around a question, and those that tell findings apart.
_FRAMING = (
    "and", "not", "or", "articles", "before", "after", "courtesies", "tags", "lead_words", "short", "variant",
    "idle",
)  # fmt: skip
_ONE_WORD = re.compile(r"\w+(\[[^\]]*\|\])?")  # a wording that is one word, or may be
_PIECE = re.compile(r"[^\s\[\]|{}]+")  # of a wording
SPOKEN_OF = "spoken of"  # instead of what is left out: what was asked about before
REGIONS = {
    "inferior": ("II", "III", "aVF"),
    "lateral": ("I", "aVL", "V5", "V6"),
    "anterior": ("V1", "V2", "V3", "V4"),
    "septal": ("V1", "V2"),
    "limb": LEADS[:6],
    "chest": LEADS[6:],
}
# Kinds of names; of two names equally long the first kind counts. Those of an ECG have the same in English.
_OF_ECG = ("finding", "group", "wave", "measure", "region")
_KINDS = (*_OF_ECG, "lead", "style", "topic", "side", "unit", "subject", "number")
_WHOLE_NAMES = ("finding", "measure", "group", "unit")  # nothing in them tells one finding from another
_LISTED = (*_OF_ECG, "lead")  # kinds of what a question may leave out
_TOLD_ALONE = ("rhythm", "regular", "findings")  # what is told by a word alone, and may be left out as well
# Intents whose words are not those of questions about an ECG.
BEYOND = (
    "advice", "prognosis", "cause", "tests", "identity", "unknown", "self", "offtopic", "order", "unsure",
)  # fmt: skip
LEAD_CODES = {lead.lower(): lead for lead in LEADS if lead != "I"} | {
    "di": "I", "dii": "II", "diii": "III", "d1": "I", "d2": "II", "d3": "III",
}  # fmt: skip
_DIGITS = {
    "i": "I",
    "ii": "II",
    "iii": "III",
    "1": "I",
    "2": "II",
    "3": "III",
    "१": "I",
    "२": "II",
    "३": "III",
}


@dataclass
class _Node:
    """A place in the tree of names. starts: the next word by its beginning, where any ending will do."""

    words: dict[str, _Node] = field(default_factory=dict)
    starts: dict[str, _Node] = field(default_factory=dict)
    names: list[tuple[str, str, bool]] = field(default_factory=list)  # kind, code, only in capitals


class Lexicon:
    """The names of one language, and those of English that are long enough to be meant in any."""

    def __init__(self, language: str):
        self.language = language
        self.data = asked(language)
        self._root = _Node()
        self._long_names: dict[str, list[tuple[tuple[str, ...], int]]] = {}  # by each of their words
        for kind in _KINDS:
            for code, names in self.data.get(kind, {}).items():
                for name in names:
                    self._add(name, kind, code)
        if language != "en":
            own = _vocabulary({key: self.data[key] for key in _OWN_WORDS})
            for kind in _OF_ECG:
                for code, names in asked("en")[kind].items():
                    for name in names:
                        # "mi", which asks in Turkish, is no infarction there, "salvo" no run in Spanish.
                        if fold(name).rstrip("*") not in own:
                            self._add(name.upper() if len(name) <= _CODE else name, kind, code)
        called = words(language).names["findings"]
        said = {code: name for code, name in called.items() if code not in _UNASKED}
        for code, name in said.items():  # what answers call it can be asked in the same words
            self._add(name, "finding", code)
        self._lead_words = tuple(fold(word) for word in self.data["lead_words"])
        self._lead_numbers = {fold(word): lead for word, lead in zip(self.data["lead_numbers"], LEADS)}
        self.stock = {fold(word): code for code, names in self.data["stock"].items() for word in names}
        self._back = frozenset(fold(word) for word in self.data["back"])
        self._joints = frozenset(fold(word) for word in (*self.data["and"], "and"))  # who mixes languages
        self._denials = Sequences(self.data["not"])
        self._choices = Sequences(self.data["or"])
        self._numbered = Sequences(self.data["numbered"])
        self._minus = Sequences(self.data["minus"])
        self._ors = frozenset(fold(word) for word in self.data["or"])
        self._nors = frozenset(fold(word) for word in self.data.get("nor", []))  # none where "not" is said
        # Who mixes languages thanks in English.
        self._courtesies = Sequences([*self.data["courtesies"], *asked("en")["courtesies"]])
        self._tags = Sequences(self.data["tags"])
        self._variants = {code: Sequences(names) for code, names in self.data["variant"].items()}
        self._properties = {code: Sequences(names) for code, names in self.data["property"].items()}
        self._elsewhere = {fold(name): Sequences(words) for name, words in asked("en")["elsewhere"].items()}
        # What a finding is beside other words: topic -> finding -> these words.
        self._otherwise = {
            topic: {code: Sequences(words) for code, words in asked("en")[table].items()}
            for topic, table in (("advice", "needed"), ("unknown", "device"))
        }
        self._left_out = {side: Sequences(names) for side, names in self.data["left_out"].items()}
        self.articles = frozenset(fold(word) for word in self.data["articles"])
        self._comparisons = Comparisons(
            self.data["compared"], self.data.get("than", []), self.articles, self._joints | self._ors,
            side_last=language in _ENDINGS_APART,
        )  # fmt: skip
        self._known = _vocabulary(self.data) | _vocabulary(said)
        self._capitals = {fold(name) for name in texts(self.data["finding"]) if _only_in_capitals(name)}
        if language != "en":
            self._known |= _vocabulary({kind: asked("en")[kind] for kind in _OF_ECG})
        self.asking: dict[str, set[str]] = {}  # word -> the intents that have it in their wordings
        self.framing = _vocabulary({key: self.data.get(key, []) for key in _FRAMING})
        self._patients = Sequences(self.data.get("patients", []))  # none where they stand before that
        self._introduces = Sequences(self.data.get("introduces", []))  # none where names have no capitals
        self._framing_starts = tuple(word[:-1] for word in self.framing if word.endswith("*"))
        self._common = self._usual_words()
        wordings = texts([lines for x, lines in self.data.get("wordings", {}).items() if x not in BEYOND])
        self._alone = {fold(line.partition("[")[0]) for line in wordings if _ONE_WORD.fullmatch(line)}
        self.is_word = dictionary.is_word if language == dictionary.LANGUAGE else None
        joined = [fold(word) for word in self.data.get("joined", [])]
        self._heard = lru_cache(_HEARD)(self._meant_words)
        self._spelling = Spelling(self._known, self._common, self.is_word, self._named, joined, self._ors)

    def words(self, text: str) -> list[Word]:
        """The words of a text as they were meant."""
        return list(self._heard(text))

    def _meant_words(self, text: str) -> tuple[Word, ...]:
        return tuple(self._as_named(self._spelling.words(self._without_endings(text))))

    def _as_named(self, words: list[Word]) -> list[Word]:
        """Words with slips of the pen in names of several words as these have them: "ventricular
        fibrilation"."""
        for place, word in enumerate(words):
            if len(word.plain) < _NEAR:
                continue
            for name, inside in self._long_names.get(word.plain, ()):
                first = place - inside
                if first < 0 or first + len(name) > len(words):
                    continue
                beside = inside + 1 if inside + 1 < len(name) else inside - 1
                if not _begin_alike(words[first + beside].plain, name[beside]):
                    continue
                meant = self._slips(words[first : first + len(name)], name)
                if meant and not self._named_there(words, first, first + len(name)):
                    return self._as_named([*words[:first], *meant, *words[first + len(name) :]])
        return words

    def _slips(self, words: list[Word], name: tuple[str, ...]) -> list[Word]:
        """Words as a name has them, where most are written so and the others nearly; else empty."""
        other = [place for place, known in enumerate(name) if not is_as(words[place], known)]
        if not 0 < len(other) <= len(name) / 2:
            return []
        if not all(self._is_near(words[place], name[place], len(name)) for place in other):
            return []
        return [
            replace(word, plain=known.rstrip("*")) if place in other else word
            for place, (word, known) in enumerate(zip(words, name))
        ]

    def _is_near(self, word: Word, known: str, words: int) -> bool:
        """Whether a word seems a slip for a known one in a name of so many words."""
        plain, few = known.rstrip("*"), words < _MANY_WORDS
        long = len(plain) >= _LONG
        if abs(len(word.text) - len(plain)) > 2 and known == plain:
            return False
        written = fold(word.text)
        if min(len(written), len(plain)) < _NEAR - (not few) or any(c.isdigit() for c in written):
            return False
        a_word = written in self._known or dictionary.has(written, self.language)
        if a_word and few and not long:
            return False
        from rapidfuzz.distance import OSA

        most = 2 if long and not (few or a_word) else 1
        if known.endswith("*"):
            written = written[: len(plain)]
        return OSA.distance(written, plain, score_cutoff=most) <= most

    def _named_there(self, words: list[Word], first: int, last: int) -> bool:
        """Whether a name of several words, with some of these, stands there as it is."""
        ends = ((place, self._longest(words, place)[0]) for place in range(max(0, first - _LONGEST), last))
        return any(end - place > 1 and end > first for place, end in ends)

    def _without_endings(self, text: str) -> str:
        """Spaces for the endings of names and numbers that an apostrophe parts from them ("V3'te")."""
        if self.language not in _ENDINGS_APART:
            return text
        return _ENDING.sub(lambda ending: " " * len(ending[0]), text)

    def _add(self, name: str, kind: str, code: str) -> None:
        node = self._root
        spelt = tuple(word for piece in self._without_endings(name).split() for word in words_of(piece))
        for word in spelt:
            following = node.starts if word.endswith("*") else node.words
            node = following.setdefault(word.rstrip("*"), _Node())
        if len(spelt) > 1 and kind in _OF_ECG:
            for inside, word in enumerate(spelt):
                self._long_names.setdefault(word, []).append((spelt, inside))
        node.names.append((kind, code, _only_in_capitals(name)))

    def objects(self, words: list[Word]) -> list[Object]:
        """What a question's words name, the longest names first; none overlaps another."""
        found: list[Object] = []
        english = self.language == "en"
        shouted = any(
            word.text.isupper() and len(word.text) > _CODE and not self._code(word) for word in words
        )
        small = not any(word.text != word.text.lower() for word in words)
        place = 0
        while place < len(words):
            last, names = self._longest(words, place)
            exact = [
                (kind, code)
                for kind, code, capitals in names
                if not capitals or small or (words[place].text.isupper() and (english or not shouted))
            ]
            if exact and not self._contracted(words, place):
                kind, code = min(exact, key=lambda name: _KINDS.index(name[0]))
                if kind == "number" and (lead := self._lead(words, place, found)):  # "lead two"
                    kind, code, last = "lead", lead, place + 1
                found.append(Object(kind, code, place, last))
                place = last
            else:
                if wave := self._wave(words, place):
                    found.append(Object("wave", wave, place, place + 1))
                elif lead := self._lead(words, place, found):
                    found.append(Object("lead", lead, place, place + 1))
                elif number := NUMBER.fullmatch(words[place].plain):
                    found.append(Object("number", number[1], place, place + 1))
                place += 1
        found = self._numerals(found, words)
        found = [self._meant(named, words) for named in found if not _is_article(named, found, words)]
        found = _in_place_of(found, list(self._coordinated(words, found)))
        found = _in_place_of(found, list(self._comparisons.sides(words, found)))
        found = [named for named in found if not _is_a_title(named, found, words)]
        return [named for named in found if named.kind != "number" or self._compared(named, found, words)]

    def _code(self, word: Word) -> bool:
        """Whether a word is a name by itself, which capitals do not make louder: "RBBB"."""
        return bool(self._named(word.plain))

    def _named(self, plain: str) -> tuple[tuple[str, str, bool], ...]:
        """What a word names by itself."""
        node = self._root.words.get(plain)
        return tuple(node.names) if node else ()

    def _contracted(self, words: list[Word], place: int) -> bool:
        """Whether a word is what English leaves of "have": "you've", which names no extra beat."""
        return words[place].text == "ve" and place > 0 and words[place - 1].plain in _HAVING

    def _wave(self, words: list[Word], place: int) -> str | None:
        """The wave that a capital letter names beside leads: "S V1", "deepest S in which lead"."""
        lead = any(word.plain in LEAD_CODES or word.plain.startswith(self._lead_words) for word in words)
        return words[place].plain if lead and words[place].text in ("P", "Q", "R", "S", "T", "ST") else None

    def _meant(self, named: Object, words: list[Word]) -> Object:
        """The object, or what lies beyond the ECG where that is called the same: the LAD that is blocked, the
        pacemaker that is needed."""
        for topic, findings in self._otherwise.items() if named.kind == "finding" else ():
            beside = findings.get(named.code)
            if beside and any(beside.length_at(words, place) for place in range(len(words))):
                return Object("topic", topic, named.first, named.last)
        beside = self._elsewhere.get(words[named.first].plain) if named.last == named.first + 1 else None
        if beside is None or not any(beside.length_at(words, place) for place in range(len(words))):
            return named
        return Object("topic", "cause", named.first, named.last)

    def _coordinated(self, words: list[Word], found: list[Object]) -> Iterator[Object]:
        """What a word tells that an "or" or "nor" joins to a finding: the anterior infarct in "anterior or
        inferior infarct", the left block in "blocco destro o sinistro"."""
        for named in found:
            if named.kind != "finding":
                continue
            for variant, names in self._variants.items():
                meant = variant_findings().get(variant, {}).get(named.code)
                if meant is None:
                    continue
                if named.first and self._coordinates(words[named.first - 1]):
                    place = named.first - 1
                    if length := names.length_before(words[:place]):
                        yield Object("finding", meant, place - length, place)
                if named.last < len(words) and self._coordinates(words[named.last]):
                    place = named.last + 1
                    if length := names.length_at(words, place):
                        yield Object("finding", meant, place, place + length)

    def _compared(self, number: Object, found: list[Object], words: list[Word]) -> bool:
        """Whether a number is one to compare with, which a side, another number or a measurement stands
        beside; no age, no number of leads and none of a bed."""
        if self._numbered.length_before(words[: number.first]) or self._numbered.length_at(
            words, number.last
        ):
            return False
        following = words[number.last].plain if number.last < len(words) else ""
        if any(self._either(number, other, found, words) for other in found if other.kind == "number"):
            return False
        # Of an age or of leads, only a side or another number tells that it is compared; of one in words a
        # side.
        kinds = ("side", "number") if following.startswith((*_YEARS, *self._lead_words)) else tuple(_BESIDE)
        if _spelt(number, words):
            kinds = ("side",)
        return any(
            0 <= number.first - other.last <= _BESIDE[other.kind][0]
            or 0 <= other.first - number.last <= _BESIDE[other.kind][1]
            or (other.code == "heart_rate_bpm" and _beside(number, other, words))  # "is 48 bpm too slow?"
            for other in found
            if other is not number and other.kind in kinds
            if other.kind != "finding" or limits_of([other.code])  # "is 50 too slow?"
        )

    def _numerals(self, found: list[Object], words: list[Word]) -> list[Object]:
        """The objects; of numbers in words that follow each other their sum ("one hundred and thirty"), less
        than 0 behind a minus ("minus thirty")."""
        out: list[Object] = []
        for named in found:
            spelt = _spelt(named, words)
            if spelt and out and out[-1].kind == "number":
                last, value = out[-1], int(named.code)
                between = words[last.last : named.first]
                whole = abs(int(float(last.code)))
                if all(map(self.joins, between)) and whole > value and whole % 10 ** len(named.code) == 0:
                    sign = "-" if last.code.startswith("-") else ""
                    out[-1] = Object("number", f"{sign}{whole + value}", last.first, named.last)
                    continue
                if not between and whole < 10 <= value < 100:  # "one thirty"
                    out[-1] = Object("number", f"{100 * whole + value}", last.first, named.last)
                    continue
            if spelt and self._minus.length_before(words[: named.first]):
                named = replace(named, code=f"-{named.code}")
            out.append(named)
        return out

    def _either(self, number: Object, other: Object, found: list[Object], words: list[Word]) -> bool:
        """Whether one may choose between two numbers: "0.08 or 0.12?", but not "under 60 or over 100"."""
        before, after = sorted((number, other), key=lambda o: o.first)
        between = range(before.last, after.first)
        compared = any(o.first in between for o in found)
        return 0 < len(between) <= _BETWEEN and not compared and any(self.chooses(words[x]) for x in between)

    def _longest(self, words: list[Word], place: int) -> tuple[int, list[tuple[str, str, bool]]]:
        best: tuple[int, list] = (place, [])
        nodes = [self._root]
        for last in range(place, len(words)):
            plain = words[last].plain
            following = []
            for node in nodes:
                if plain in node.words:
                    following.append(node.words[plain])
                following += [child for start, child in node.starts.items() if plain.startswith(start)]
            if not following:
                break
            nodes = following
            if names := [name for node in nodes for name in node.names]:
                best = (last + 1, names)
        return best

    def _lead(self, words: list[Word], place: int, found: list[Object]) -> str | None:
        """The lead that a word names: "I" and bare numbers only where a lead must be meant."""
        word = words[place]
        if word.plain in LEAD_CODES and (word.plain != "di" or word.text.isupper()):  # a word in Italian
            return LEAD_CODES[word.plain]
        before = words[place - 1] if place else None
        named = before is not None and before.plain.startswith(self._lead_words)
        if word.plain not in _DIGITS:
            return self._lead_numbers.get(word.plain) if named else None
        after_lead = bool(found) and found[-1].kind == "lead" and place - found[-1].last <= 1
        if word.text == "I":
            english = self.language == "en" and before is not None and before.plain != "in"
            listed = after_lead or self._before_lead(words, place)
            return "I" if named or listed or (place and not english) else None
        return _DIGITS[word.plain] if named or (after_lead and not word.plain.isdigit()) else None

    def _before_lead(self, words: list[Word], place: int) -> bool:
        """Whether a joint and a lead follow a word: "neither I nor aVL"."""
        following = words[place + 1 : place + 3]
        joint = following and (self.joins(following[0]) or self._coordinates(following[0]))
        return bool(joint) and len(following) > 1 and following[1].plain in LEAD_CODES

    def left_out(self, text: str) -> tuple[str, list[Object]]:
        """A sentence without what it leaves out, and what that names: "everything but the rhythm",
        "besides AF, is there anything?"; `SPOKEN_OF` where it only points to that: "apart from that"."""
        words = self.words(text)
        objects = [
            named for named in self.objects(words) if named.kind in _LISTED or named.code in _TOLD_ALONE
        ]
        inside = {place for named in objects for place in range(named.first, named.last)}
        denying = {  # no beginning of such words
            place
            for first in range(len(words))
            for place in range(first + 1, first + self._denials.length_at(words, first))
        }

        def listed(place: int) -> bool:
            word = words[place]
            return place in inside or word.plain in self.articles or self.joins(word)

        for place in sorted(set(range(len(words))) - inside - denying):
            beyond = place + self._left_out["back"].length_at(words, place)
            if beyond > place and beyond not in inside:
                named_before = Object("back", SPOKEN_OF, place, beyond)
                return f"{text[: words[place].start]} {text[words[beyond - 1].end :]}", [named_before]
            for side in ("before", "after"):
                length = self._left_out[side].length_at(words, place)
                first, last = place, place + length
                if length and side == "before":
                    while last < len(words) and listed(last) and not _parted(text, words, last, place > 0):
                        last += 1
                elif length:
                    while first and listed(first - 1):
                        first -= 1
                named = [o for o in objects if first <= o.first and o.last <= last]
                if named:
                    break
            denied = any(self._denials.length_at(words, x) for x in range(place, place + length))
            like = {o.kind for o in named} & {o.kind for o in objects if o.last <= first}
            if named and not (denied and like):  # "is the QT long, but not the QTc?"
                last = max(named[-1].last, place + length)
                return f"{text[: words[first].start]} {text[words[last - 1].end :]}", named
        return text, []

    def frames(self, word: str) -> bool:
        """Whether a word goes with any question, or tells findings apart."""
        return word in self.framing or word.startswith(self._framing_starts)

    def introduced(self, words: list[Word]) -> list[Word]:
        """The names of somebody or of a place, with what comes before such: "Dr Vukovic", "from Porto"."""
        return [
            word
            for place in range(1, len(words))
            if words[place].text.istitle() and self._introduces.length_before(words[:place])
            for word in words[place - 1 : place + 1]
        ]

    def says_lead(self, word: Word) -> bool:
        """Whether a word says that leads are meant."""
        return word.plain.startswith(self._lead_words)

    def points_back(self, text: str) -> bool:
        """Whether a text speaks of what was just named: "is that normal?" """
        return any(word.plain in self._back for word in self.words(text))

    def joins(self, word: Word) -> bool:
        """Whether a word joins questions; "é" and "è" are no "e"."""
        return word.plain in self._joints and (len(word.plain) > 1 or word.text.lower() == word.plain)

    def compares(self, text: str) -> bool:
        """Whether a text has a number that is no age: "and 400?"."""
        words = self.words(text)
        numbers = [place for place, word in enumerate(words) if any(c.isdigit() for c in word.plain)]
        following = [words[place + 1].plain if place + 1 < len(words) else "" for place in numbers]
        return not all(plain.startswith(_YEARS) for plain in following)

    def chooses(self, word: Word) -> bool:
        """Whether a word lets choose between what it joins."""
        return word.plain in self._ors

    def _coordinates(self, word: Word) -> bool:
        """Whether a word is an "or" or a "nor"."""
        return self.chooses(word) or word.plain in self._nors

    def denied(self, words: list[Word], objects: list[Object], first: int, last: int) -> bool:
        """Whether the words [first, last) deny what they name: "no AF then", but not "AF or not",
        "yes/no: AF" nor "non-STEMI"."""
        named = {place for o in objects for place in range(o.first, o.last)}
        return any(
            place not in named
            and self._denials.length_at(words[:last], place)
            and not (place and self._choices.length_at(words, place - 1))
            for place in range(first, last)
        )

    def variants(self, words: list[Word], objects: list[Object]) -> tuple[str, ...]:
        """What tells one of several like findings ("left", "posterior") and is no part of a name."""
        return self._told(self._variants, words, objects)

    def properties(self, words: list[Word], objects: list[Object]) -> tuple[str, ...]:
        """What is asked of a measurement or wave beside its own number ("shape") and is no part of a name."""
        return self._told(self._properties, words, objects)

    def _told(
        self, table: Mapping[str, Sequences], words: list[Word], objects: list[Object]
    ) -> tuple[str, ...]:
        """The codes of a table whose words stand outside the names of findings, measurements and groups, in
        order."""
        named = {place for o in objects if o.kind in _WHOLE_NAMES for place in range(o.first, o.last)}
        free = [place for place in range(len(words)) if place not in named]
        found = {
            code: next((place for place in free if names.length_at(words, place)), -1)
            for code, names in table.items()
        }
        return tuple(sorted((code for code in found if found[code] >= 0), key=lambda code: found[code]))

    def pertinent(self, text: str, words: list[Word]) -> list[Word]:
        """The words of a sentence without greetings and thanks around it, a tag (", isn't it?") at its end
        and who has the ECG ("in this diver from Brest"); all of them where no question would be left."""
        first, last = 0, len(words)
        while length := self._courtesies.length_at(words[:last], first):
            first += length
        while length := self._courtesies.length_before(words[first:last]):
            last -= length
        tag = last - self._tags.length_before(words[first:last])
        if first < tag < last and _COMMA.search(text[words[tag - 1].end : words[tag].start]):
            last = tag
        left = self._without_patient(text, words[first:last])
        asks = len(left) > 1 or any(word.plain in self._alone for word in left) or self.objects(left)
        return left if asks else words

    def _without_patient(self, text: str, words: list[Word]) -> list[Word]:
        """Words without those that only tell, at their end or before a comma, who has the ECG."""
        for place in range(len(words)):
            if not (length := self._patients.length_at(words, place)):
                continue
            last = len(words) if place else self._clause_end(text, words)
            told = words[place:last]
            if not length < len(told) <= _TOLD or (not place and last == len(words)):
                continue
            named = [o for o in self.objects(told) if o.code != "OUTSIDE"]
            if any(o.kind in (*_LISTED, "subject") for o in named) or any(map(self._says_page, told)):
                continue
            return words[:place] if place else words[last:]
        return words

    def _says_page(self, word: Word) -> bool:
        """Whether a word says no more than that it is an ECG, its page or one of its leads."""
        return self.stock.get(word.plain) in ("ecg", "page") or self.says_lead(word)

    def _clause_end(self, text: str, words: list[Word]) -> int:
        """The number of words before the first comma."""
        ends = (n for n in range(1, len(words)) if _COMMA.search(text[words[n - 1].end : words[n].start]))
        return next(ends, len(words))

    def is_tag(self, text: str) -> bool:
        """Whether a text is nothing but what may end a question: "Correct?" """
        words = self.words(text)
        return bool(words) and self._tags.length_at(words, 0) == len(words)

    def _usual_words(self) -> dict[str, int]:
        """The words that more than one wording of a question about an ECG has, and those of all names; each
        with how many wordings have it."""
        counts: Counter[str] = Counter()
        for intent, lines in self.data.get("wordings", {}).items():
            for line in lines:
                said = _vocabulary({intent: line})
                if intent not in BEYOND:
                    counts.update(said)
                for word in said:
                    self.asking.setdefault(word, set()).add(intent)
        own = {
            kind: table
            for kind, table in self.data.items()
            if kind not in ("wordings", "topic", "strange", "device")
        }
        return {word: 0 for word in _vocabulary(own)} | {w: count for w, count in counts.items() if count > 1}

    def usual(self, word: Word) -> bool:
        """Whether a word belongs to what is usually asked about an ECG, whatever the question."""
        plain = word.plain
        return plain in self._common or plain in LEAD_CODES or any(c.isdigit() for c in plain)

    def knows(self, words: list[Word]) -> int:
        """How many of these words are names or wordings of this language; numbers are of any."""
        return sum(
            word.plain in LEAD_CODES
            or word.plain.isdigit()
            or (word.plain in self._known and (word.text.isupper() or word.plain not in self._capitals))
            for word in words
        )


def _in_place_of(found: list[Object], others: list[Object]) -> list[Object]:
    """Objects in order, with others in place of those that begin within them."""
    taken = {place for named in others for place in range(named.first, named.last)}
    kept = [named for named in found if named.first not in taken]
    return sorted([*kept, *others], key=lambda named: named.first)


def _begin_alike(word: str, other: str) -> bool:
    """Whether two words have one of their first two letters in common, as a word and a slip for it do."""
    return word[:1] == other[:1] or word[1:2] == other[1:2]


def _parted(text: str, words: list[Word], place: int, within: bool) -> bool:
    """Whether a new clause begins at a word. within: whether a comma before it may join a list."""
    before = text[words[place - 1].end : words[place].start].replace("、", "")  # which only lists
    return ":" in before or (not within and _COMMA.search(before) is not None)


def _spelt(named: Object, words: list[Word]) -> bool:
    """Whether it is a number in words."""
    return named.kind == "number" and not NUMBER.fullmatch(words[named.first].plain)


def _is_article(named: Object, found: list[Object], words: list[Word]) -> bool:
    """Whether "one" counts no squares: "of one big box", but not "in one of them"."""
    counts = any(other.kind == "unit" and other.first == named.last for other in found)
    return named.code == "1" and _spelt(named, words) and not counts


def _beside(first: Object, second: Object, words: list[Word]) -> bool:
    """Whether nothing but a space stands between two objects."""
    return first.last == second.first and words[second.first].start == words[first.last - 1].end + 1


def _is_a_title(named: Object, found: list[Object], words: list[Word]) -> bool:
    """Whether "intervals" only says what one beside it is: "PR and QT intervals"."""
    return (named.kind, named.code) == ("measure", "all") and any(
        other.kind == "measure" and (_beside(other, named, words) or _beside(named, other, words))
        for other in found
    )


def named_objects(words: list[Word], known: Lexicon) -> list[Object]:
    """What words name in their language, or where nothing in another one."""
    return known.objects(words) or _foreign_names(words, known)


def _foreign_names(words: list[Word], known: Lexicon) -> list[Object]:
    """Findings and measurements that a question names by a word of another language than its own."""
    strange = [(place, word) for place, word in enumerate(words) if not known.knows([word])]
    return [
        Object(*_foreign_words()[word.plain], place, place + 1)
        for place, word in strange
        if len(word.plain) >= _TELLING and word.plain in _foreign_words()
    ]


@lru_cache
def _foreign_words() -> dict[str, tuple[str, str]]:
    """Kind and code by the folded word of every name that is one word, in any language."""
    return {
        fold(name.rstrip("*")): (kind, code)
        for path in (files("ecgvlm.words") / "data" / "asked").iterdir()
        for kind in ("finding", "measure")
        for code, names in _names_in(path.read_text("utf-8")).get(kind, {}).items()
        for name in names
        if name.rstrip("*").isalpha() and len(name) >= _TELLING and code != "OUTSIDE"
    }


def _names_in(text: str) -> dict:
    """The tables of a data file that come before its wordings, which take longest to read."""
    return tomllib.loads(text.partition("\n[wordings]")[0])


def _only_in_capitals(name: str) -> bool:
    """Whether a name is no word but a code, which counts in capitals alone."""
    return name.isupper() and len(name) <= _CODE


def _vocabulary(table: dict) -> frozenset[str]:
    """Every word of all names and wordings in a table; those that stand for all that begin so end in "*"."""
    pieces = {piece for text in texts(table) for piece in _PIECE.findall(text)}
    return frozenset(word for piece in pieces for word in words_of(piece))


def texts(table: object) -> Iterable[str]:
    if isinstance(table, str):
        yield table
    elif isinstance(table, dict | list):
        for value in table.values() if isinstance(table, dict) else table:
            yield from texts(value)


@lru_cache
def asked(language: str) -> dict:
    """The data file of what people ask in a language."""
    return tomllib.loads((files("ecgvlm.words") / "data" / "asked" / f"{language}.toml").read_text("utf-8"))


@lru_cache
def variant_findings() -> dict[str, dict[str, str]]:
    """Variant -> finding -> the finding that it makes of that (`data/variants.toml`)."""
    return tomllib.loads((files("ecgvlm.words") / "data" / "variants.toml").read_text("utf-8"))


@lru_cache
def lexicon(language: str) -> Lexicon:
    return Lexicon(language)
