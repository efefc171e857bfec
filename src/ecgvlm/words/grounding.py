"""Would the answer speak of what was asked? A second opinion beside the net's.

Each word of a question must be accounted for: by a name that the intent is about, by the intent's own
wordings, or as one that goes with any question. What is left over bears meaning, and the intent must be the
surer.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from functools import lru_cache

from ecgvlm.measure import MEASUREMENTS
from ecgvlm.words.comprehension import OF_ECG, THINGS
from ecgvlm.words.lexicon import LEAD_CODES, Lexicon, asked, lexicon, named_objects
from ecgvlm.words.text import Object, Word, words_of
from ecgvlm.words.understand import Asked, asks_of_named, intents, kin

_SLIP = 3  # letters of a word that may hold a slip of the pen
_ANY = 4  # families of intents that all use a word: it goes with any question
_STEM, _ENDING = 5, 3  # letters that words share at least, and those in which they may end differently
# Least probability of an intent about nothing that is named, without a telling word of its own; of others
# where words are left over; of a measurement beside whose name an unknown word stands. On eight sets of
# questions as they were first asked these hold back 12 of 3,250 right answers and 7 of 94 others.
_UNTOLD = 0.5
_TOLD_LEFT, _UNTOLD_LEFT, _REFUSED_LEFT = 0.3, 0.6, 0.7
_MANY, _UNTOLD_MANY = 2, 0.7  # words left over of which more is asked
_QUALIFIED, _WAVE, _QRS, _NEVER = 0.7, 0.45, 0.9, 1.1
_OF_NOTHING = 0.9  # of a why or where of nothing that is named, from which on its words need no wording
_TELLING = (*OF_ECG, "subject")
_OF_WAVES = {"shape", "error"}  # properties of a wave that are not judged
_SAFE = ("offtopic", "order", "context", "unsure")  # say nothing of the page
_OUTSIDE = 0.5  # probability of what lies beyond the ECG from which on an unusual word is taken to mean that
# Probability of what lies beyond the ECG from which on a word left over may alter the question; from which on
# one does that stands in a clause that names nothing (", my doctor asks").
_ALTERED, _ALTERED_ASIDE = 0.1, 0.7
_LETTERS = re.compile(r"[^\s\[\]|]+")  # of a wording
_CLAUSE = re.compile(r"[,;:،，、；：()\u2013]|\s-\s")
# Probability of asking whether a finding is there below which something else may be asked of it; times that,
# of another thing to ask of it, from which on it may be that. On five sets as they were first asked this
# tells 24 of 45 such questions, and 78 of 869 others, which are told more than they ask.
_WHETHER, _OTHERWISE = 0.4, 0.33
_ACCOUNTED = 0.6  # of an intent about what is named, from which on only unknown words are left over


def grounded(part: Asked, language: str) -> bool:
    """Whether the answer to a part, as it was understood, would speak of what it asks."""
    known = lexicon(language)
    words = known.words(part.text)
    return part.sure >= _least(part, words, named_objects(words, known), known)


def unaccounted(part: Asked, language: str) -> tuple[str, ...]:
    """The words, as they are written, that may alter a question and that the answer to a part does not speak
    of; where its intent is sure enough only those that no name has and no wording or few."""
    unjudged = part.of("finding") == ("OUTSIDE",) or part.of("wave") == ("p",)  # which the answer says
    if unjudged or _safe(part) or part.intent == "urgent" or part.outside < _ALTERED:
        return ()
    known = lexicon(language)
    words = known.words(part.text)
    unsure = part.sure < _ACCOUNTED or part.outside > _OUTSIDE
    objects = named_objects(words, known)
    introduced = known.introduced(words)
    heard = words if part.outside >= _ALTERED_ASIDE else _clauses_that_name(part.text, words, objects)
    left = [
        word
        for word in _left_over(part.intent, _beside(words, objects), known)
        if (unsure or not known.knows([word]) or not known.usual(word)) and not _slipped(word, known)
        if word in heard and word not in introduced
    ]
    return tuple(text for text in dict.fromkeys(_runs(left, part.text)) if len(text) > 1)


def may_ask_otherwise(part: Asked, language: str) -> bool:
    """Whether something is asked of a finding that is named, but likely not whether it is there: "which signs
    speak for AF?" where no wording says so."""
    if part.intent != "finding" or not part.of("finding") or part.denied or part.of("lead"):
        return False
    if part.whether >= _WHETHER or part.sure == 1 or part.of("finding") == ("OUTSIDE",):
        return False
    known = lexicon(language)
    words = known.words(part.text)
    beside = _beside(words, named_objects(words, known))
    if len(part.of("finding")) > 1 and any(map(known.chooses, beside)):  # "LBBB, RBBB or neither?"
        return False
    left = any(_left_over(part.intent, beside, known))
    return len(beside) > 1 and (left or part.otherwise > part.whether * _OTHERWISE)


def _clauses_that_name(text: str, words: list[Word], objects: list[Object]) -> list[Word]:
    """The words of the clauses in which something is named; all of them where nothing is."""
    marks = [mark.start() for mark in _CLAUSE.finditer(text)]
    clause = [bisect(marks, word.start) for word in words]
    naming = {clause[named.first] for named in objects if named.kind in _TELLING}
    return [word for word, place in zip(words, clause) if place in naming or not naming]


def _beside(words: list[Word], objects: list[Object]) -> list[Word]:
    """The words that are part of no name."""
    named = {place for o in objects for place in range(o.first, o.last)}
    return [word for place, word in enumerate(words) if place not in named]


def _runs(words: list[Word], text: str) -> Iterator[str]:
    """Words as they are written, those without a space between them as one."""
    start = 0
    for place, word in enumerate(words, 1):
        if place == len(words) or words[place].start > word.end:
            yield text[words[start].start : word.end]
            start = place


def _least(part: Asked, words: list[Word], objects: list[Object], known: Lexicon) -> float:
    """The probability from which on a part's intent counts, in the light of its words."""
    family = kin(part.intent)
    beyond = part.outside > _OUTSIDE and not _safe(part) and part.of("wave") != ("p",)
    if beyond and not all(map(known.usual, _left_over(part.intent, _beside(words, objects), known))):
        return _NEVER
    if (family == "measure" or not part.of("finding")) and _has_property(
        part, known.properties(words, objects)
    ):
        return _NEVER
    if part.intent == "lead" and _is_region(words, objects, known):
        return _NEVER
    beside = any(part.of(kind) for kind in ("finding", "wave"))  # "are T waves concordant with the QRS?"
    if family == "measure" and beside and part.of("measure") == ("qrs_ms",) and part.sure < _QRS:
        return _NEVER
    if family == "rhythm" and part.of("finding") and not any(_is_about(part.intent, o) for o in objects):
        return _NEVER
    if family == "measure":
        return _QUALIFIED if _qualified(words, objects, known) else 0.0
    if family == "wave" and not part.of("lead") and part.of("wave") != ("p",):
        return _WAVE
    if part.intent in _SAFE or any(part.of(kind) for kind in THINGS):
        return _UNTOLD if family == "finding" and part.of("measure") and not part.of("finding") else 0.0
    if asks_of_named(part.intent) and part.sure < _OF_NOTHING:
        bare = _bare(known.language, part.intent)  # "my knee hurts, why?"
        if any(word.plain not in bare for word in _left_over("", words, known)):
            return _NEVER
    told = bool(part.of("style")) or any(_is_about(part.intent, named) for named in objects)
    left = len({word.plain for word in _left_over(part.intent, words, known)})
    if not left:
        return 0.0 if told or part.of("lead") else _UNTOLD
    if intents()[part.intent].get("refuses"):
        return 0.0 if told else _REFUSED_LEFT
    if told:
        return _TOLD_LEFT
    alone = family == "finding"  # "where's the lift?"
    return _UNTOLD_LEFT if left < _MANY and not alone else _UNTOLD_MANY


def _safe(part: Asked) -> bool:
    """Whether its answer says nothing of the page, or that it cannot be told."""
    return part.intent in _SAFE or bool(intents()[part.intent].get("refuses"))


def _has_property(part: Asked, properties: tuple[str, ...]) -> bool:
    """Whether a wave's shape is asked for, or something of a duration that is no duration ("QRS
    amplitude")."""
    if part.intent == "regular":  # "do the RR intervals vary?"
        return False
    times = [
        name
        for name in part.of("measure")
        if MEASUREMENTS[name].unit == "ms" or "rr" in part.of("unit")
        if part.of("wave") != ("p",)  # "a P wave before each QRS?"
    ]
    shaped = set(part.of("wave")) - {"p"}  # of which the answer is that it cannot be judged
    compared = bool(part.of("side") and part.of("number"))  # "más largo que 220" is not the longest
    of_times = set(properties) - {"extremes"} if compared else properties
    return bool((_OF_WAVES & set(properties) and shaped) or (times and of_times))


def _is_region(words: list[Word], objects: list[Object], known: Lexicon) -> bool:
    """Whether leads are named only by the wall that they look at, which is likelier meant ("inferior?")."""
    kinds = {named.kind for named in objects if named.kind in ("region", "lead")}
    return kinds == {"region"} and not any(map(known.says_lead, words))


def _is_about(intent: str, named: Object) -> bool:
    """Whether a word tells an intent or one of its family."""
    telling = named.kind in ("subject", "topic") and named.code in intents()
    return telling and kin(named.code) == kin(intent)


def _qualified(words: list[Word], objects: list[Object], known: Lexicon) -> bool:
    """Whether an unknown word beside the name of a measurement makes something else of it ("QT
    dispersion")."""
    inside = {place for named in objects for place in range(named.first, named.last)}
    beside = {x for o in objects if o.kind == "measure" for x in (o.first - 1, o.last)} - inside
    return any(
        not known.knows([words[place]]) and words[place].plain.isalpha()
        for place in beside
        if 0 <= place < len(words)
    )


def _left_over(intent: str, words: list[Word], known: Lexicon) -> Iterator[Word]:
    """The words that neither this intent, if one is given, nor any question has."""
    own = _wording(known.language, kin(intent)) if intent else frozenset()
    spoken = (known, lexicon("en"))  # who mixes languages
    for word in words:
        plain = word.plain
        anywhere = (
            any(x.frames(plain) or _goes_anywhere(plain, x) for x in spoken)
            or plain in known.stock
            or plain in LEAD_CODES
            or plain.isdigit()
        )
        letter = len(plain) == 1 and plain.isascii()
        if not (anywhere or letter or plain in own or _inflected(plain, own)):
            yield word


def _slipped(word: Word, known: Lexicon) -> bool:
    """Whether a word that is none seems one that goes with any question: nothing is lost with it."""
    plain = word.plain
    if len(plain) < _SLIP or word.text.isupper() or known.knows([word]):
        return False
    if known.is_word and known.is_word(plain):
        return False
    from rapidfuzz.distance import OSA

    return any(OSA.distance(plain, other, score_cutoff=1) <= 1 for other in _anywhere(known.language))


@lru_cache
def _anywhere(language: str) -> frozenset[str]:
    """The words of so many letters that go with any question."""
    known = lexicon(language)
    asking = (word for word in known.asking if _goes_anywhere(word, known))
    return frozenset(word for word in (*known.framing, *asking) if len(word) >= _SLIP)


@lru_cache
def _wording(language: str, family: str) -> frozenset[str]:
    """The words of the wordings of a family of intents."""
    asking = lexicon(language).asking.items()
    return frozenset(word for word, intents_ in asking if family in map(kin, intents_))


@lru_cache
def _bare(language: str, intent: str) -> frozenset[str]:
    """The words of those wordings of an intent that name nothing: "how do you know?"."""
    lines = asked(language)["wordings"].get(intent, ())
    pieces = (piece for line in lines if "{" not in line for piece in _LETTERS.findall(line))
    return frozenset(word for piece in pieces for word in words_of(piece))


@lru_cache(1 << 14)
def _goes_anywhere(plain: str, known: Lexicon) -> bool:
    return len({kin(intent) for intent in known.asking.get(plain, ())}) >= _ANY


def _inflected(plain: str, own: frozenset[str]) -> bool:
    """Whether these words have a word in another form."""
    if len(plain) < _STEM:
        return False
    stem, least = plain[: max(_STEM, len(plain) - _ENDING)], max(_STEM - 1, len(plain) - _ENDING)
    return any(plain[:length] in own for length in range(least, len(plain))) or any(
        word.startswith(stem) for word in own
    )
