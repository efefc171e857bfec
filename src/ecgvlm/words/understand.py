"""Understand first: a question -> what it asks, one intent with its objects after the other, and how sure.

A net that was taught a hundred languages before (`words.comprehension`) says which intent of
`data/intents.toml` each piece of it is; a small one (`data/languages.onnx`, made by
`ecgvlm.train.small.languages`) sees a bag of its letter groups and words and says which language.
"""

from __future__ import annotations

import itertools
import re
import tomllib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files

import numpy as np

from ecgvlm.labels import SUPERCLASSES
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS
from ecgvlm.sessions import open_aside
from ecgvlm.words.comparisons import COMPARED
from ecgvlm.words.comprehension import OF_ECG, THINGS, Comprehension, Span, Text
from ecgvlm.words.concepts import concepts, wider
from ecgvlm.words.lexicon import REGIONS, Lexicon, asked, lexicon, named_objects
from ecgvlm.words.phrases import LANGUAGES
from ecgvlm.words.text import POINT, SENTENCE, Object, Word, fold, split
from ecgvlm.words.tongue import OTHER, spoken

LANGUAGE_NET = "languages.onnx"  # says of each of these how likely it is
SPOKEN = (*LANGUAGES, OTHER)
BUCKETS = 1 << 15
_SOMETHING = 0.2  # of an intent of a piece of a sentence in which something is named
ENOUGH = 0.6  # of a family of intents that counts
_ALL_NUMBERS = "measure=all"
_FEW = 2  # words beside a name in a question that hardly asks of anything but that
_NAMED, _RENAMED = 0.5, 0.85  # of a thing that has no name, and of one that is named as another
_OF_A_KIND = 0.65  # of findings of one kind, none of which is likely
LIKELY = 0.4  # of an intent that speaks of what is named
_MOST_RANGES = 20  # of leads, "V1-V6", that are written out: many make a text several times as long
_LABELLED = re.compile(r"<image>|(?:^|(?<=\s))(?:Q|A|Question|Answer)\s*:(?=\s|$)")  # "Q: AF? A:"
_NUMBERED = re.compile(r"(?:^|(?<=\s))\(?([1-9])[.)]\s")
_DECIMAL = re.compile(r"(?<=\d)[.](?=\d)|(?<=\b0),(?=\d)|(?<=\d),(?=\d\s?mm\b)")
_LEAD_RANGE = re.compile(
    r"\bV([1-6])\s*(?:-|\u2013|to|thru|through|bis|à|a|hasta|até|al|tot|do|до|по|到|至|से|إلى)\s*V?([1-6])\b",
    re.I,
)
_ORDINAL = re.compile(r"(?<=[IV\d])[.](?=\s+Grad)")  # "AV-Block II. Grades"
_WAVE_OF_LEAD = re.compile(r"\b([RSTQ])\s?-?(aV[RLF]|V[1-6])\b", re.I)  # RV5
_STEMI = re.compile(
    r"\b(?:SCA|IMA|IAM)\s?(?:à\s)?ST\s?\+", re.I
)  # as French, Spanish and Portuguese write it
# "Axis beyond minus 30?", as it is said in our languages.
_MINUS = re.compile(
    r"(?<!\bau )(?<!\bal )(?<!\bao )(?<!\bpelo )(?<!\bo )(?<!\bou )"  # "au moins", "más o menos"
    r"\b(?:minus|negative|moins|menos|meno|минус|eksi|माइनस|سالب|ناقص)\s+(?=\d)|负\s*(?=\d)",
    re.I,
)
_WITH_AND = re.compile(r"\bو(?=[A-Za-z])")  # "and V2" as Arabic writes it, in one word
_RELATION = re.compile(r"([<≤>≥]\s*=?)\s*([-\u2212]?\d+(?:\u2024\d+)?)")
_PLUS = r"\s?\+(?!\s?\w)"  # "QTc 500+"
_OR_MORE, _MORE_AFTER = re.compile(rf"(?<![\w.])(\d+){_PLUS}"), re.compile(_PLUS)
_COMPARING = {
    "<": "under", "≤": "to", "<=": "to", "≤=": "to", ">": "over", "≥": "from", ">=": "from", "≥=": "from",
}  # fmt: skip
_RELATION_BEFORE = re.compile(r"[<≤>≥]\s*=?\s*$")
_NEVER = 1e-12  # least probability
_COMMAS = ",،，、/&+"
_SURE = 0.75  # of an intent
_TOGETHER = 0.85  # of what several sentences ask together
_ASKED_FOR = 0.97  # of what lies beyond the ECG, where a clause of its own asks for it
_STORY = 4  # words of a clause that tells something rather than what is asked about
_PIECES = 6  # of one sentence
_LONG = 8  # words of a sentence that may tell a story before it asks
_BESIDE_THANKS = 5  # words that may be left of thanks without asking anything
_OF_ALL = {"verdict", "findings", "report", "diagnosis"}  # what words that tell of the whole ECG stand for
_IDLE = ("context", "unsure", "several", "hello", "thanks")  # ask nothing
STEADY = ("doubt", "order")  # answered where they stand beside a greeting
_OFFERED = 6  # intents that come near
_HEARD = 256  # questions whose meaning is kept
_HEARD_WORDS = 60  # by which a language is told
_FASTEST = 300  # bpm that anybody asks about
_MS = {"ms", "мс"}
SIGNS_TOLD = {"elevation": "STE", "depression": "STD"}  # by the variant that tells them
# A measurement that is another one said otherwise: the RR interval is the heart rate as a time.
PLAIN = "plain"  # beside "rr" where the heart rate is named as well
SAID_AS = {"rr": ("heart_rate_bpm", "rr"), "fridericia": ("qtc_ms", "fridericia")}


@dataclass(frozen=True)
class Asked:
    """One thing that is asked. objects: by kind, the codes of what it names, in order; text: as it was
    written.

    sure: the calibrated probability that this, or an intent of its family, is what is meant. others: the
    intents that come next. named: the findings as they are called in the question. strange: whether it holds
    a word that no name and no wording of the language has. denied: whether it denies what it names ("there is
    no AF, is there?"). variants: what tells one of several like findings ("left") and is no part of a name.
    beyond: how much likelier it asks for what lies beyond the ECG than that it says nothing; 0 where it names
    the ECG or has no word of the language. left: the words, as written, that its answer does not account for.
    outside: the probability that it asks for what lies beyond the ECG. whether: that it asks whether a
    finding is there; otherwise: of the likeliest other thing to ask about one. near: the likeliest intents
    that a page answers. unclear: whether it is not clear what it asks of the finding that it names. about: by
    kind, what the net tells that it is asked of; told: the same where that has no name of ours, or another's.
    since: the question before in which that was named.
    """

    intent: str
    objects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    text: str = ""
    sure: float = 1.0
    others: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    strange: bool = False
    denied: bool = False
    variants: tuple[str, ...] = ()
    beyond: float = 0.0
    left: tuple[str, ...] = ()
    outside: float = 0.0
    whether: float = 1.0
    otherwise: float = 0.0
    near: tuple[str, ...] = ()
    unclear: bool = False
    told: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    about: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    since: str = ""

    def of(self, kind: str) -> tuple[str, ...]:
        return self.objects.get(kind, ())


@dataclass(frozen=True)
class Understood:
    """A question: its language (one of `phrases.LANGUAGES`, or `OTHER`) and all that it asks, in order."""

    language: str
    parts: tuple[Asked, ...]


@lru_cache
def intents() -> dict[str, dict]:
    """The table of intents."""
    return tomllib.loads((files("ecgvlm.words") / "data" / "intents.toml").read_text("utf-8"))


@lru_cache
def things() -> list[str]:
    """What may be asked about, as "finding=AF"; the first is nothing of these."""
    return ["", *(f"{kind}={code}" for kind in THINGS for code in asked("en")[kind])]


def letters(text: str) -> np.ndarray:
    """[n] int64 buckets of a text as it is written, to tell its language by: its letter groups of two to
    five, words, pairs and triples of words."""
    words = [word.text.lower() for word in split(text)][:_HEARD_WORDS]
    found: set[str] = set()
    for word in words:
        spelt = f"<{word}>"
        for size in (2, 3, 4, 5):
            found.update(spelt[i : i + size] for i in range(len(spelt) - size + 1))
    padded = ["\x02", *words, "\x03"]
    for size in (1, 2, 3):
        found.update(" ".join(padded[i : i + size]) for i in range(len(padded) - size + 1))
    return np.array(sorted({zlib.crc32(x.encode()) % BUCKETS for x in found}), np.int64)


def ranked(scores: np.ndarray, names: list[str]) -> tuple[list[str], dict[str, float]]:
    """Intents from the likeliest on, those of the likeliest family first, and the probability of each
    family."""
    chances = _softmax(scores)
    families: dict[str, float] = {}
    for name, chance in zip(names, chances):
        families[kin(name)] = families.get(kin(name), 0.0) + float(chance)
    best = max(families, key=families.__getitem__)
    order = sorted(range(len(names)), key=lambda i: (kin(names[i]) != best, -chances[i]))
    return [names[i] for i in order], families


def _softmax(scores: np.ndarray) -> np.ndarray:
    chances = np.exp(scores - scores.max())
    return chances / chances.sum()


def kin(intent: str) -> str:
    """The family of an intent; one without family is its own."""
    return intents()[intent].get("family", intent)


def takes(intent: str) -> set[str]:
    """The kinds of objects that an intent is asked of."""
    return {kind.rstrip("?~") for kind in intents()[intent].get("takes", ())}


def as_shown(text: str, words: list[Word], objects: Iterable[Object]) -> Text:
    """What the net sees of a text: from the first of some of its words to the last, and what these name."""
    start = words[0].start
    named = (Span(words[o.first].start - start, words[o.last - 1].end - start, o.kind) for o in objects)
    return Text(text[start : words[-1].end], tuple(named))


class Understanding:
    """The nets and the tables around them. Raises EcgError where their files are missing or damaged."""

    def __init__(self) -> None:
        self._language_net = open_aside(LANGUAGE_NET)
        self._comprehension = Comprehension()
        self.intents = self._comprehension.intents
        # A conversation is heard anew at each question.
        self.understand = lru_cache(_HEARD)(self._understand)
        self.after = lru_cache(_HEARD)(self._after)

    def language(self, text: str, default: str = "en") -> str:
        """The language of a text, see `tongue.spoken`."""
        return spoken(text, default, SPOKEN, self._languages)

    def _languages(self, text: str) -> np.ndarray:
        """[SPOKEN] scores of the languages."""
        scores: np.ndarray = self._language_net().run(None, {"buckets": letters(text)})[0]
        return scores

    def _understand(self, question: str, default: str = "en") -> Understood:
        """Everything that a question asks. default: the language where the question does not show it."""
        question = _LABELLED.sub(" ", question)
        question = _LEAD_RANGE.sub(_each_lead, _MINUS.sub("-", _DECIMAL.sub(POINT, question)), _MOST_RANGES)
        question = _ORDINAL.sub("", _apart(question))
        question = _WITH_AND.sub("و ", _WAVE_OF_LEAD.sub(r"\1 \2", question))
        language = self.language(question, default)
        parts: list[Asked] = []
        read_in = language if language != OTHER else "en"
        question = _STEMI.sub("STEMI", question)
        sentences = [sentence for sentence in SENTENCE.findall(question) if re.search(r"\w", sentence)]
        for sentence in sentences:
            parts += self._sentence(sentence, read_in)
        if len(sentences) > 1 and (whole := self._as_one(question, sentences[-1], parts, read_in)):
            parts = [whole]
        return Understood(language, tuple(parts))

    def _as_one(self, text: str, last: str, parts: list[Asked], language: str) -> Asked | None:
        """What several sentences ask together, where that is clear and none of them by itself asks it: "I
        never heard of LAFB. Explain?"."""
        known = lexicon(language)
        words = known.pertinent(text, known.words(text))
        objects = named_objects(words, known)
        whole = (
            self._asked(text, words, objects, 0, len(words), known, cut=True) if words else Asked("unsure")
        )
        silent = whole.intent in (*_IDLE, *STEADY) or intents()[whole.intent].get("refuses")
        if silent or whole.sure < _TOGETHER or any(_asks_the_same(part, whole) for part in parts):
            return None
        asking = text.rindex(last)  # where numbers are no ages
        beside = [
            o for o in objects
            if _family(o.kind) == "lead" or (o.kind not in THINGS and words[o.first].start >= asking)
        ]  # fmt: skip
        return replace(
            whole, objects={**_by_kind(beside, ""), **whole.about}, told={}, named=(), strange=False
        )

    def _sentence(self, text: str, language: str) -> list[Asked]:
        """What a sentence asks, of what it does not leave out."""
        text, left_out = lexicon(language).left_out(text)
        if not left_out:
            return self._whole_sentence(text, language)
        return [
            _without(part, left_out) for part in self._whole_sentence(text, language) or [Asked("unsure")]
        ]

    def _whole_sentence(self, text: str, language: str, after_aside: bool = False) -> list[Asked]:
        """What a sentence asks. after_aside: whether it is what asides were taken from."""
        lexicon_ = lexicon(language)
        written = lexicon_.words(text)
        words = lexicon_.pertinent(text, written)
        if not words:
            return []
        objects = named_objects(words, lexicon_)
        if (
            len(words) < len(written)
            and len(words) <= _BESIDE_THANKS
            and self._thanks(text, len(words), objects)
        ):
            return [Asked("thanks", text=text)]
        cuts = self._cuts(text, words, objects, language)
        for cut in () if after_aside else reversed(cuts):
            if asking := self._after_aside(text, words, objects, cut, lexicon_):
                return asking
        whole = self._asked(text, words, objects, 0, len(words), lexicon_, bool(cuts))
        refused = bool(objects) and intents()[whole.intent].get("refuses", False)
        mixed = _more_kinds(objects) or _more_limits(whole)
        if _of_leads(objects):
            cuts = []
        if cuts and (whole.intent == "several" or whole.sure < _SURE or refused or mixed):
            edges = [0, *cuts, len(words)]
            ranges = [
                (first, last)
                for first, last in itertools.pairwise(edges)
                if not all(map(lexicon_.joins, words[first:last]))
            ]
            pieces = self._each_asked(text, words, objects, ranges, lexicon_)
            clear = [piece for place, piece in enumerate(pieces) if self._clear(piece, pieces[:place])]
            if len(pieces) > 1 and len(clear) == len(pieces):
                return pieces
            sure = [piece for piece in clear if piece.sure >= ENOUGH and piece.intent not in _IDLE]
            if sure and whole.sure < ENOUGH:
                told = ("subject", "number")
                return [p for p in pieces if p in sure or names_any(p) or any(map(p.of, told))]
        if len(words) > _LONG and whole.sure < ENOUGH and not names_any(whole):
            whole = self._end(text, words, objects, lexicon_) or whole
        if whole.intent == "several":  # but cannot be taken apart
            whole = self._asked(text, words, objects, 0, len(words), lexicon_)
        return [whole]

    def _thanks(self, text: str, words: int, objects: list[Object]) -> bool:
        """Whether a sentence as a whole is thanks, although without them it could ask: "ok, thanks", but not
        "report, thanks". words: how many it has beside them."""
        alone = {o.code for o in objects if o.kind == "subject" and o.last - o.first == words}
        if any(o.kind in THINGS for o in objects) or any(not intents()[x].get("vague") for x in alone):
            return False
        order, chances = ranked(self._comprehension.scores([Text(text, ())]).intents[0], self.intents)
        return order[0] == "thanks" and chances["thanks"] >= _ASKED_FOR

    def _after(self, before: str, text: str, language: str) -> Asked:
        """What a text that names nothing asks after the question before it."""
        known = lexicon(language)
        words, words_before = known.words(text), known.words(before)
        if not known.knows(words) or not words_before:
            return Asked("unsure", text=text, sure=0.0)
        shown = as_shown(before, words_before, named_objects(words_before, known))
        objects = named_objects(words, known)
        (meant,) = self._each_asked(text, words, objects, [(0, len(words))], known, before=shown)
        return replace(meant, objects={**meant.objects, **meant.about}, told={}, strange=False)

    def _after_aside(
        self, text: str, words: list[Word], objects: list[Object], cut: int, known: Lexicon
    ) -> list[Asked]:
        """What a sentence asks after clauses of their own that name at most what lies beyond the ECG and do
        not clearly ask for it ("the cardiologist is away, what do you see?", "they took it at the gym, is it
        fine?"); nothing where it has none."""
        kinds = {named.kind for named in objects if named.first < cut}
        told = cut >= _STORY and kinds <= {"topic", "number"}
        if not (told or kinds == {"topic"}) or known.joins(words[cut]):
            return []
        aside = self._asked(text, words, objects, 0, cut, known)
        if aside.intent not in _IDLE and (aside.sure >= _ASKED_FOR or _answerable(aside)):
            return []
        asking = self._whole_sentence(text[words[cut].start :], known.language, after_aside=True)
        return asking if any(_answerable(x) and not points_back(x) for x in asking) else []

    def _end(self, text: str, words: list[Word], objects: list[Object], known: Lexicon) -> Asked | None:
        """What the end of a long sentence asks, where that is clear: the question that a dictated story
        comes to."""
        starts = range(max(1, len(words) - _LONG), len(words) - 1)
        ends = self._each_asked(text, words, objects, [(first, len(words)) for first in starts], known)
        best = max(ends, key=lambda asked: asked.sure)
        return best if best.sure >= _SURE and not best.strange and best.intent not in _IDLE else None

    def _clear(self, piece: Asked, before: list[Asked]) -> bool:
        """Whether a piece of a sentence asks something by itself, or of what comes before it in that: not of
        what lies beyond the ECG ("my knee hurts, why?")."""
        if points_back(piece) and any(x.intent in _IDLE and x.of("topic") for x in before):
            return False
        named = any(piece.of(kind) for kind in ("finding", "measure", "topic", "subject"))
        of_measure = kin(piece.intent) == "measure" or piece.sure < ENOUGH
        named = named or bool(piece.of("side") and of_measure)  # "and is it long?"
        return piece.sure >= (_SOMETHING if named else ENOUGH)

    def _cuts(self, text: str, words: list[Word], objects: list[Object], language: str) -> list[int]:
        """The words before which a sentence may be cut: after a joint, unless it only lists more of a
        kind."""
        lexicon_ = lexicon(language)
        inside = {place for named in objects for place in range(named.first + 1, named.last)}
        by_last, by_first = {o.last: o for o in objects}, {o.first: o for o in objects}
        cuts = []
        for place in range(1, len(words)):
            between = text[words[place - 1].end : words[place].start]
            comma = any(mark in between for mark in _COMMAS)
            joint = lexicon_.joins(words[place])
            if place in inside or not (comma or joint) or lexicon_.joins(words[place - 1]):
                continue
            following = place
            while following < len(words) and (
                lexicon_.joins(words[following]) or words[following].plain in lexicon_.articles
            ):
                following += 1
            before, after = by_last.get(place), by_first.get(following)
            if before and after and _listed_with(before) == _listed_with(after):
                continue
            cuts.append(place)
        return cuts[: _PIECES - 1]

    def _asked(
        self, text: str, words: list[Word], objects: list[Object], first: int, last: int,
        known: Lexicon, cut: bool = False,
    ) -> Asked:  # fmt: skip
        """What the words [first, last) ask. cut: whether they could be cut, and so be several questions."""
        return self._each_asked(text, words, objects, [(first, last)], known, cut)[0]

    def _each_asked(
        self, text: str, words: list[Word], objects: list[Object], ranges: list[tuple[int, int]],
        known: Lexicon, cut: bool = False, before: Text | None = None,
    ) -> list[Asked]:  # fmt: skip
        """What the words of each range ask, as `_asked`; of those that follow a question after that."""
        inside = [
            [
                Object(o.kind, o.code, o.first - first, o.last - first)
                for o in objects
                if first <= o.first and o.last <= last
            ]
            for first, last in ranges
        ]
        shown = [as_shown(text, words[first:last], named) for (first, last), named in zip(ranges, inside)]
        scores = self._comprehension.scores(shown, before) if ranges else ((), ())
        return [
            self._meant(text, words, objects, first, last, named, row, about, known, cut)
            for (first, last), named, row, about in zip(ranges, inside, *scores)
        ]

    def _meant(
        self, text: str, words: list[Word], objects: list[Object], first: int, last: int,
        inside: list[Object], scores: np.ndarray, about: np.ndarray, known: Lexicon, cut: bool,
    ) -> Asked:  # fmt: skip
        """What the words [first, last), with the objects inside, ask by the net's scores of them: of intents,
        and of what they are about."""
        own = words[first:last]
        if not cut:
            scores[self.intents.index("several")] = -np.inf
        if any(o.kind not in ("topic", "subject", "side", "number") for o in inside):
            scores[self.intents.index("unsure")] = -np.inf
        unnamed = not any(o.kind in THINGS for o in inside)
        thing, certain = self._thing(about, unnamed)
        if unnamed:
            scores = self._of_normal(scores, about)
        order, chances = ranked(scores, self.intents)
        alone = dict(zip(self.intents, _softmax(scores).tolist()))
        if unnamed:
            order = self._of_thing(order, alone, thing, certain)
        of_findings = [x for x in self.intents if kin(x) == "finding" and x != "finding"]
        start = words[first].start
        if sign := _RELATION_BEFORE.search(text[:start]):
            start = sign.start()
        end = words[last - 1].end
        if sign := _MORE_AFTER.match(text, end):
            end = sign.end()
        said = text[start:end]
        named, called = _by_kind(inside, said), _called(inside, own, text)
        beside = len(own) - sum(o.last - o.first for o in inside)
        of, told = self._told(order[0], thing, certain, named, beside)
        if "measure" in told and named.get("number") and not _of_measure(thing.code, own, inside, known):
            of, told = {}, {}
        strange = known.knows(own) < last - first
        sure, others = chances[kin(order[0])], tuple(order[1:6])
        foreign = not known.knows(own)
        of_ecg = any(known.stock.get(word.plain) == "ecg" for word in own)
        beyond = 0.0 if foreign or of_ecg else chances["refused"] - chances["unsure"]
        denied = known.denied(words, objects, first, last)
        variants = known.variants(own, inside)
        return Asked(
            order[0], named, said, sure, others, called, strange, denied, variants, beyond,
            told=told, about=of, outside=chances["refused"], whether=alone["finding"],
            otherwise=max(alone[x] for x in of_findings), near=self._near(alone),
        )  # fmt: skip

    def _of_normal(self, scores: np.ndarray, about: np.ndarray) -> np.ndarray:
        """The scores of intents where nothing is named: who asks whether a normal ECG is there
        ("unremarkable?") asks for the verdict."""
        chances, normal = _softmax(scores), self._comprehension.things.index("finding=NORM")
        finding, verdict = map(self.intents.index, ("finding", "verdict"))
        moved = chances[finding] * _softmax(about)[normal]
        chances[finding], chances[verdict] = chances[finding] - moved, chances[verdict] + moved
        return np.log(chances + _NEVER)

    def _of_thing(
        self, order: list[str], chances: Mapping[str, float], thing: Object, sure: float
    ) -> list[str]:
        """The intents from the likeliest on, where nothing is named; one that may be asked of what it is
        about comes before one that may not: "has the heart slowed down too much?" asks for a bradycardia, of
        which there is no limit."""
        if not thing.kind or sure < _NAMED or not takes(order[0]) & set(THINGS) - {thing.kind}:
            return order
        if thing.kind == "group" and order[0] == "finding":  # whether any of a kind is there
            fitting = ["group"]
        else:
            fitting = [x for x in order if thing.kind in takes(x) and chances[x] > _SOMETHING][:1]
        return [*fitting, *(x for x in order if x not in fitting)]

    def _thing(self, about: np.ndarray, unnamed: bool) -> tuple[Object, float]:
        """What is likeliest asked about, by the net's scores, and its probability; where nothing is named
        and no finding likely, the narrowest kind of these that is."""
        chances, things = _softmax(about), self._comprehension.things
        best, numbers = int(about.argmax()), things.index(_ALL_NUMBERS)
        if things[best].startswith("measure=") and chances[numbers] > _SOMETHING:
            best = numbers  # of which any one is a part
            chances[best] = sum(p for p, thing in zip(chances, things) if thing.startswith("measure="))
        sure = float(chances[best])
        if unnamed and sure < _NAMED:
            of = {thing.removeprefix("finding="): float(p) for thing, p in zip(things, chances)}
            for code, kinds in wider().items():
                together = sum(of.get(kind, 0.0) for kind in kinds)
                if code in of and together >= _OF_A_KIND:
                    return Object("finding", code, 0, 0), together
        kind, _, code = things[best].partition("=")
        return Object(kind, code, 0, 0), sure

    def _told(
        self, intent: str, thing: Object, sure: float, named: Mapping[str, tuple[str, ...]], beside: int
    ) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        """What an intent takes and the net tells that it is asked of; the same where it has no name or seems
        to be named as something else. beside: words that name nothing."""
        defined = thing.kind == "finding" and intent == "limit"  # "too fast?"
        if not (thing.kind in takes(intent) or defined) or sure < _NAMED:
            return {}, {}
        about = _by_kind([thing], "")
        so_called = named.get(thing.kind, ())
        parts = concepts().get(thing.code, {}).get("all", ())
        if named.get("number") and set(so_called) & set(parts):  # "AF with a rate under 100?"
            return about, {}
        if thing.kind == "finding" and len(named.get("measure", ())) > 1:  # "neither PR nor QRS long?"
            return about, {}
        known = any(map(named.get, takes(intent) & set(THINGS))) and (
            sure < _RENAMED
            or set(about[thing.kind]) <= set(so_called)
            or len(so_called) > 1
            or beside <= (_FEW if "OUTSIDE" in so_called else 0)
        )
        return about, {} if known else about

    def _near(self, chances: Mapping[str, float]) -> tuple[str, ...]:
        """The likeliest intents that a page answers."""
        asking = (x for x in self.intents if x not in _IDLE and not intents()[x].get("refuses"))
        return tuple(sorted(asking, key=lambda x: -chances[x])[:_OFFERED])


def _of_measure(code: str, words: list[Word], objects: list[Object], known: Lexicon) -> bool:
    """Whether what names none may compare a measurement with a number: where its words tell nothing but that
    it compares, only the heart rate is meant so, and not by "over 500?" or "over 200 ms?"."""
    comparing = {
        place for o in objects if o.kind in ("side", "number", "unit") for place in range(o.first, o.last)
    }
    rest = [word.plain for place, word in enumerate(words) if place not in comparing]
    if not all(map(known.frames, rest)) or any(o.code in ("low", "high") for o in objects):
        return True  # "under 100 ms wide?"
    numbers = [float(o.code) for o in objects if o.kind == "number"]
    return code == "heart_rate_bpm" and max(numbers, default=0.0) <= _FASTEST and _MS.isdisjoint(rest)


def _called(objects: list[Object], words: list[Word], text: str) -> tuple[str, ...]:
    """How each finding among the objects is called in the text, once; all names of what lies outside."""
    called: dict[str, list[str]] = {}
    for o in objects:
        if o.kind == "finding":
            called.setdefault(o.code, []).append(text[words[o.first].start : words[o.last - 1].end])
    return tuple(", ".join(names) if code == "OUTSIDE" else names[0] for code, names in called.items())


def _without(asked: Asked, left_out: list[Object]) -> Asked:
    """A question without what it leaves out; where nothing else is named or told it asks for all the rest:
    findings where a finding is left out, else a report."""
    if asked.sure >= ENOUGH and intents()[asked.intent].get("refuses"):  # "any change, apart from the rate?"
        return asked
    out = tuple(code for named in left_out for code in REGIONS.get(named.code, (named.code,)))
    if (names_any(asked) and not _any_kind(asked)) or set(asked.of("subject")) - _OF_ALL:
        leads = tuple(lead for lead in LEADS if lead not in out) if set(out) & set(LEADS) else ()
        kept = {
            kind: tuple(code for code in codes if code not in out) for kind, codes in asked.objects.items()
        }
        return replace(asked, objects={"lead": leads, **kept}, told={})
    signs = tuple(sign for variant, sign in SIGNS_TOLD.items() if variant in asked.variants)
    if signs and set(out) <= set(LEADS):  # "is any lead elevated other than II?"
        leads = tuple(lead for lead in LEADS if lead not in out)
        return replace(asked, intent="finding", objects={"finding": signs, "lead": leads}, sure=1.0, told={})
    found = any(named.kind in ("finding", "back") for named in left_out)
    return Asked("findings" if found else "report", {"without": out}, asked.text)


def _any_kind(asked: Asked) -> bool:
    """Whether it names no finding but kinds of them: "any other conduction problem", "a normal tracing"."""
    kinds = {*SUPERCLASSES, "NORM"}
    return not asked.of("measure") and not asked.of("wave") and set(asked.of("finding")) <= kinds


def _answerable(asked: Asked) -> bool:
    """Whether it likely asks something that a page can answer."""
    return asked.sure >= LIKELY and asked.intent not in _IDLE and not intents()[asked.intent].get("refuses")


def _asks_the_same(part: Asked, whole: Asked) -> bool:
    """Whether a part by itself asks what it is part of."""
    of = any(set(codes) & {*part.of(kind), *part.told.get(kind, ())} for kind, codes in whole.about.items())
    return part.intent == whole.intent and part.sure >= ENOUGH and (of or not whole.about)


def asks_of_named(intent: str) -> bool:
    """Whether it is asked of something that is named, here or before."""
    return any(kind.endswith("~") for kind in intents()[intent].get("takes", ()))


def points_back(asked: Asked) -> bool:
    """Whether it asks of something that it does not name: "my knee hurts, why?"."""
    return asks_of_named(asked.intent) and not names_any(asked)


def names_any(asked: Asked) -> bool:
    """Whether it names something of an ECG."""
    return any(map(asked.of, OF_ECG))


def _apart(question: str) -> str:
    """ "1) rate 2) rhythm" with each of these on a line of its own."""
    return _NUMBERED.sub("\n", question) if numbered(question) else question


def numbered(question: str) -> bool:
    """Whether a question is a list counted from 1 on."""
    marks = [mark[1] for mark in _NUMBERED.finditer(question)]
    return len(marks) > 1 and marks == [str(number) for number in range(1, len(marks) + 1)]


def _each_lead(leads: re.Match[str]) -> str:
    """ "V1-V4" -> "V1, V2, V3, V4"."""
    return ", ".join(f"V{number}" for number in range(int(leads[1]), int(leads[2]) + 1)) or leads[0]


def _by_kind(objects: list[Object], text: str) -> dict[str, tuple[str, ...]]:
    """The codes by kind, each once; a region stands for its leads, "all" for all measurements, a measurement
    that is another one said otherwise for that and its unit, a sign of relation with a number for a side, as
    do words that compare with one; beside these others tell nothing ("is the long QT under 500?").
    "compared": how such do, of `comparisons.COMPARED`. A side between two measurements compares them ("QRS
    longer than PR").
    """
    found: dict[str, list[str]] = {}
    limits = [named.kind for named in objects if named.kind in ("measure", "side", "number")]
    if limits == ["measure", "side", "measure"]:
        objects = [named for named in objects if named.kind != "side"]
    compared = [named.code for named in objects if named.code in COMPARED]
    if compared:
        found["compared"] = compared
    for named in objects:
        codes: tuple[str, ...] = (named.code,)
        if named.kind == "side" and compared:
            codes = (COMPARED[named.code],) if named.code in COMPARED else ()
        elif named.kind == "region":
            codes = REGIONS[named.code]
        elif named.kind == "measure" and named.code == "all":
            codes = tuple(MEASUREMENTS)
        elif named.code in SAID_AS:
            code, unit = SAID_AS[named.code]
            codes = (code,)
            found.setdefault("unit", []).append(unit)
            if unit == "rr" and any(other.code == code for other in objects):
                found["unit"].append(PLAIN)
        found.setdefault(_family(named.kind), []).extend(codes)
    signs = [*_RELATION.findall(text), *((">=", number) for number in _OR_MORE.findall(text))]
    for relation, number in signs:
        code = _COMPARING["".join(relation.split())]
        found.setdefault("compared", []).append(code)
        found.setdefault("side", []).append(COMPARED[code])
        found.setdefault("number", []).append(fold(number))
    return {kind: tuple(dict.fromkeys(codes)) for kind, codes in found.items()}


def _family(kind: str) -> str:
    return "lead" if kind == "region" else kind


def _listed_with(named: Object) -> str:
    """What may stand beside it in one list; each subject is a question of its own."""
    return named.code if named.kind == "subject" else _family(named.kind)


def _more_limits(asked: Asked) -> bool:
    """Whether several measurements are each compared with a number of its own."""
    return len(asked.of("measure")) > 1 and len(asked.of("number")) > 1


def _of_leads(objects: list[Object]) -> bool:
    """Whether all that is named are leads and one wave of theirs: "V2 or V3, which has the taller T?"."""
    kinds = [_family(named.kind) for named in objects if named.kind != "side"]
    return set(kinds) == {"wave", "lead"} and kinds.count("wave") == 1


def _more_kinds(objects: list[Object]) -> bool:
    kinds = {_listed_with(o) for o in objects if o.kind in ("finding", "measure", "group", "wave", "subject")}
    return len(kinds) > 1
