"""Questions to learn from: of the wordings in `words/data/asked`, and those that people asked.

Wordings are filled with names of findings, measurements and leads, joined, and written with slips of the pen;
questions of `training/questions` (whose form `benchmarks/bench_understanding.py` tells) are taken as they
stand and with such slips.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import NamedTuple

from ecgvlm.instruct.qa import Asker, expand, typos
from ecgvlm.instruct.states import sample
from ecgvlm.record import LEADS
from ecgvlm.words.comprehension import THINGS, Span, Text
from ecgvlm.words.lexicon import asked, lexicon
from ecgvlm.words.names import prompts
from ecgvlm.words.phrases import LANGUAGES, words
from ecgvlm.words.tongue import OTHER
from ecgvlm.words.understand import as_shown, intents, takes

EACH = {"en": 800}  # examples of an intent in a language, at least
EACH_OTHER = 300
EVERY, MOST = 5, 15  # examples of a wording: the more, the more ways it can be expanded
ALTERED, ALTERED_OTHER = 5, 3  # times as many examples of names beside altering words as of an intent
INSTRUCTED = 300  # questions of a kind of the instruction data
TOLD, ALONE = 0.2, 0.2  # share of altering words beside a telling word, and beside a name without a wording
MANNER = 0.1  # share of names before which such a word stands
ASIDES = 0.6  # share of those that tell who asks, of whom, where and with what
UNLISTED = 0.3  # share of topics that no list has
WAYS, AS_IT_STANDS = 6, 2  # a question that somebody asked is written, and how many of them as it stands
KEPT = 12  # of so many of them one is kept to calibrate with
NOTHING = frozenset([""])  # of `things`
# Kinds of the instruction data's questions -> intents.
KINDS = {
    "verdict": "verdict", "report": "report", "diagnosis": "diagnosis", "finding": "finding",
    "premise": "finding", "likelihood": "likelihood", "measurement": "value", "limit": "limit",
    "within": "within", "rhythm": "rhythm", "regular": "regular", "findings": "findings", "group": "group",
    "lead_sign": "finding", "leads_list": "where", "lead_amount": "amount", "lead": "lead",
    "layout": "layout", "scale": "scale", "quality": "quality", "printed": "printed", "cabrera": "cabrera",
    "problems": "problems", "outside": "finding",
}  # fmt: skip
OF_NAMES = ("value", "within", "wave", "amount", "finding", "where", "lead")  # ask of what they name
_NAMED = re.compile(r"(\{(?:measure|wave|finding|lead)\})")
_FIRST = re.compile(r"(?<=[.?!])\s")  # sentence; what follows are options
_PLACEHOLDERS = {"name": "finding", "other": "finding", "sign": "finding", "extreme": "side"}
_CAPITALS = re.compile(r"[A-Z]{1,3}")


class Habits(NamedTuple):
    """Shares of questions in a hurry, with harmless words around or beside what they ask, with what is said
    before and after, and with slips of the pen."""

    hurried: float
    harmless: float
    before: float
    after: float
    slips: float


OF_WORDINGS = Habits(0.3, 0.5, 0.4, 0.2, 0.3)
OF_PEOPLE = Habits(0.25, 0.25, 0.2, 0.1, 0.4)  # of what is noisy as they asked it


@dataclass(frozen=True)
class Example:
    """named: what the text names; meant: the intents any of which it may be; about: the `things` any of which
    it may ask about, `NOTHING` where none is named though it may; empty where that is not known.

    kept: out of training, to calibrate with. before: the question that was asked before it.
    """

    text: str
    named: Sequence[Span]
    meant: frozenset[str]
    about: frozenset[str] = frozenset()
    kept: bool = False
    before: Text | None = None


def wordings(language: str) -> dict[str, list[str]]:
    """Intent -> the wordings of a language."""
    found = {intent: list(lines) for intent, lines in asked(language)["wordings"].items()}
    if language == "en":
        for kind, intent in KINDS.items():
            for line in prompts()["questions"]["ask"][kind]:
                line = re.sub(r"\{(\w+)\}", lambda m: f"{{{_PLACEHOLDERS.get(m[1], m[1])}}}", line)
                found.setdefault(_intent(line, intent), []).append(line)
    return found


def _intent(text: str, intent: str) -> str:
    """Of the instruction data's questions of a kind; some of them ask why or where."""
    return "why" if text.startswith("Why") else "where" if "Where" in text else intent


@cache
def _beside() -> dict[str, dict]:
    """By language, the words that may stand beside a name (`words/data/beside.toml`)."""
    return tomllib.loads((files("ecgvlm.words") / "data" / "beside.toml").read_text("utf-8"))


class Writer:
    """Writes questions of one language."""

    def __init__(self, language: str, rng: Random):
        self.language, self.rng = language, rng
        self.data, self.beside = asked(language), _beside()[language]
        things, persons, manners = (
            self.beside.get(kind, "").split() for kind in ("things", "persons", "manners")
        )
        self.altering = [words for words in (self.beside["altering"], things) if words]
        self.persons, self.manners = persons, manners
        self.names = {
            kind: [name for code, names in self.data[kind].items() for name in names]
            for kind in ("finding", "measure", "wave", "group", "side", "style")
        }

    def fill(self, wording: str) -> str:
        """A wording with everything in it chosen, at times with a word before a name that changes nothing."""
        if self.manners and self.rng.random() < MANNER:
            wording = _NAMED.sub(lambda name: f"{self.rng.choice(self.manners)} {name[0]}", wording)
        return re.sub(r"\{([\w:]+)\}", lambda match: self._name(match[1]), expand(wording, self.rng))

    def _name(self, kind: str) -> str:
        rng = self.rng
        if kind == "lead":
            lead = rng.choice(LEADS)
            word = rng.choice(self.data["lead_words"])
            return f"{word} {lead}" if lead == "I" or rng.random() < 0.5 else lead
        if kind == "number":
            return str(rng.randint(20, 400))
        if kind.startswith("topic:"):
            if rng.random() < UNLISTED:
                return self._pseudo()
            return rng.choice(self.data["topic"][kind.removeprefix("topic:")]).replace("*", "")
        if kind == "word":
            return rng.choice(self.data["strange"]) if rng.random() < 0.5 else self._pseudo()
        if kind == "noise":
            return self._pseudo()
        return rng.choice(self.names[kind]).replace("*", "")

    def _pseudo(self) -> str:
        return "".join(
            self.rng.choice("bcdfgklmnprstvz") + self.rng.choice("aeiou")
            for _ in range(self.rng.randint(2, 4))
        ) + self.rng.choice(("", "s", "n", "x", "itis", "ia"))

    def noisy(self, text: str, habits: Habits) -> str:
        """A question as somebody else might put it."""
        rng = self.rng
        if rng.random() < habits.hurried:
            text = self._hurried(text)
        if rng.random() < habits.harmless:
            text = self._with_harmless(text)
        if rng.random() < habits.before:
            text = f"{rng.choice(self.data['before'])} {text}"
        if rng.random() < habits.after:
            text = f"{text} {rng.choice(self.data['after'])}"
        return typos(text, rng, rng.choice((1, 1, 2))) if rng.random() < habits.slips else text

    def _with_harmless(self, text: str) -> str:
        """With words that change nothing."""
        rng = self.rng
        said = [rng.choice(self.beside["harmless"])]
        if self.persons:
            person, other, manner = map(rng.choice, (self.persons, self.persons, self.manners))
            said += [
                rng.choice((f"the {person} asks", f"my {person} wants to know", f"says the {person}")),
                rng.choice((f"in this {person}", f"for the {person}", f"in a {manner} {person}")),
                f"{person} and {other} disagree", manner, manner,
            ]  # fmt: skip
        chosen = self._aside() if rng.random() < ASIDES else rng.choice(said)
        return rng.choice((f"{chosen}, {text}", f"{text}, {chosen}", f"{text} {chosen}"))

    def _aside(self) -> str:
        """Who asks, of whom, where and with what; at times with names nobody has, or in small letters."""
        said = re.sub(
            r"\{(\w+)\}", lambda match: self._named(match[1]), self.rng.choice(self.beside["asides"])
        )
        return said.lower() if self.rng.random() < 0.5 else said

    def _named(self, kind: str) -> str:
        if kind == "number":
            return str(self.rng.randint(1, 90))
        if kind in ("somebody", "place", "device") and self.rng.random() < UNLISTED:
            return self._pseudo().capitalize()
        return self.rng.choice(self.beside[kind])

    def _hurried(self, text: str) -> str:
        """Without articles, with what people write for short."""
        for long, short in self.data.get("short", {}).items():
            if self.rng.random() < 0.5:
                text = re.sub(rf"(?<!\w){long}(?!\w)", self.rng.choice(short), text)
        words = [x for x in text.split() if x not in self.data["articles"] or self.rng.random() < 0.3]
        return " ".join(words) or text

    def about(self, text: str, intent: str) -> frozenset[str]:
        """The things that a text of an intent names, as `Example`."""
        objects = lexicon(self.language).objects(lexicon(self.language).words(text))
        return _about((f"{o.kind}={o.code}" for o in objects if o.kind in THINGS), [intent])

    def example(
        self, text: str, meant: frozenset[str], about: frozenset[str], kept: bool = False, before: str = ""
    ) -> Example:
        return Example(*self._shown(text), meant, about, kept, self._shown(before) if before else None)

    def _shown(self, text: str) -> Text:
        """A text as `Understanding` sees it: from its first to its last word."""
        known = lexicon(self.language)
        words = known.words(text)
        if not words:
            return Text(text, ())
        return as_shown(text, words, known.objects(words))


def written(rng: Random) -> list[Example]:
    """Questions of every intent and language, and several in one, from wordings."""
    out = []
    for language in LANGUAGES:
        writer, lines = Writer(language, rng), wordings(language)
        count = EACH.get(language, EACH_OTHER)
        for intent, asking in lines.items():
            places = [place for place, line in enumerate(asking) for _ in range(_examples(line))]
            for place in islice(cycle(places), max(count, len(places))):
                text = writer.fill(asking[place])
                about = writer.about(text, intent)
                out.append(writer.example(writer.noisy(text, OF_WORDINGS), frozenset([intent]), about))
        out += _several(writer, lines, 2 * count)
        out += _altered(writer, lines, (ALTERED if language == "en" else ALTERED_OTHER) * count)
    return out


def instructed(rng: Random) -> Iterator[Example]:
    """The instruction data's questions of each kind."""
    writer, asker = Writer("en", rng), Asker(rng, False)
    for kind, intent in KINDS.items():
        for _ in range(INSTRUCTED):
            question = asker.ask(sample(rng), kind, noisy=False).question.replace("<image>", " ").strip()
            text = _FIRST.split(question)[0]
            meant = _intent(text, intent)
            yield writer.example(text, frozenset([meant]), writer.about(text, meant))


def spoken(rng: Random) -> Iterator[tuple[str, str]]:
    """Texts, each with its language, one of `SPOKEN`."""
    for language in LANGUAGES:
        writer = Writer(language, rng)
        for asking in wordings(language).values():
            for line in islice(cycle(asking), max(EACH.get(language, EACH_OTHER) // 4, len(asking))):
                yield writer.noisy(writer.fill(line), OF_WORDINGS), language
        topics = [name for names in writer.data["topic"].values() for name in names]
        said = [re.sub(r"\{\w+\}", " ", text) for text in words(language).sentences.values()]
        for text in (*writer.names["finding"], *writer.names["measure"], *topics, *said):
            if not _CAPITALS.fullmatch(text):
                yield text.replace("*", ""), language
    for _ in range(20):  # beginnings of questions in languages that are not ours
        for line in asked(OTHER)["wordings"]:
            begun = line.split()
            if len(begun) > 2:
                begun = begun[: rng.randint(2, len(begun))]
            yield typos(" ".join(begun), rng, rng.choice((0, 0, 1))), OTHER


def people_asked(folder: Path, rng: Random) -> Iterator[Example]:
    """The questions of the files in a folder, each in several ways; some are kept, as they stand."""
    writers = {language: Writer(language, rng) for language in LANGUAGES}
    for language, question, what, kept in of_people(folder):
        writer, meant, about = writers[language], intents_of(what), about_of(what)
        if kept:
            yield writer.example(question, meant, about, kept=True)
            continue
        for way in range(WAYS):
            text = question if way < AS_IT_STANDS else writer.noisy(question, OF_PEOPLE)
            yield writer.example(text, meant, about)


def people_said(folder: Path, rng: Random) -> Iterator[tuple[str, str]]:
    """The same as `spoken` has them, those that are kept left out."""
    writers = {language: Writer(language, rng) for language in LANGUAGES}
    for language, question, _, kept in of_people(folder):
        if not kept and not _CAPITALS.fullmatch(question):
            yield question, language
            yield writers[language].noisy(question, OF_PEOPLE), language


def of_people(folder: Path) -> Iterator[tuple[str, str, str, bool]]:
    """Language, text, what is asked and whether it is kept, of the questions of the files in a folder."""
    for path in sorted(folder.glob("*.toml")):
        for place, question in enumerate(questions(tomllib.loads(path.read_text("utf-8")))):
            yield *question, place % KEPT == KEPT - 1


def questions(data: dict[str, dict]) -> Iterator[tuple[str, str, str]]:
    """Language, text and what is asked of the single questions of a file."""
    tables = [("en", table) for table in data.get("english", {}).values()]
    tables += [("en", data[key]) for key in ("several", "outside") if key in data]
    for key in ("spoken", "outside_spoken"):
        tables += [(language, table) for language, table in data.get(key, {}).items()]
    for language, table in tables:
        for what, texts in table.items():
            yield from ((language, text, what) for text in texts if isinstance(text, str))


def intents_of(what: str) -> frozenset[str]:
    """The intents of "finding finding=MI | verdict"; "*" stands for what lies beyond an ECG, "; " joins
    several questions."""
    if what == "*":
        return frozenset(name for name, row in intents().items() if row.get("refuses"))
    if "; " in what:
        return frozenset(["several"])
    return frozenset(choice.split()[0] for choice in what.split(" | "))


def about_of(what: str) -> frozenset[str]:
    """What the same asks about, as `Example`; nothing is known of several questions in one."""
    if "; " in what:
        return frozenset()
    choices = [choice.split() for choice in what.split(" | ")]
    named = {x for _, *objects in choices for x in objects if x.split("=")[0] in THINGS}
    return _about(named, (intent for intent, *_ in choices))


def _about(named: Iterable[str], meant: Iterable[str]) -> frozenset[str]:
    """What is named; where nothing is, that this is so of what may ask about something."""
    asks = any(intent == "unknown" or takes(intent) & set(THINGS) for intent in meant if intent != "*")
    return frozenset(named) or (NOTHING if asks else frozenset())


def _examples(wording: str) -> int:
    """How many examples of a wording there are at least."""
    ways = math.prod(text.count("|") + 1 for text in re.findall(r"\[([^\[\]]*)\]", wording))
    return min(EVERY + ways // 4, MOST)


def _several(writer: Writer, lines: dict[str, list[str]], count: int) -> list[Example]:
    """Two or three questions in one sentence."""
    rng = writer.rng
    asking = [intent for intent in lines if intent not in ("context", "unsure")]
    out = []
    for _ in range(count):
        texts = [writer.fill(rng.choice(lines[x])) for x in rng.sample(asking, rng.choice((2, 2, 2, 3)))]
        joined = texts[0]
        for text in texts[1:]:
            joined += rng.choice((" {} ", ", {} ", ", ")).format(rng.choice(writer.data["and"])) + text
        out.append(writer.example(writer.noisy(joined, OF_WORDINGS), frozenset(["several"]), frozenset()))
    return out


def _altered(writer: Writer, lines: dict[str, list[str]], count: int) -> list[Example]:
    """What is asked of something that is named or told, but is not what its name says: "the QT dispersion",
    "report him to the police"."""
    rng = writer.rng
    wordings = [line for intent in OF_NAMES for line in lines[intent] if len(_NAMED.findall(line)) == 1]
    told = [name.rstrip("*") for names in writer.data["subject"].values() for name in names]
    told += writer.data["stock"]["ecg"]
    out = []
    for _ in range(count):
        way = rng.choice(writer.beside["ways"])
        way = way.replace("{altering}", rng.choice(rng.choice(writer.altering)))
        chance = rng.random()
        if chance < TOLD:
            text = way.replace("{name}", rng.choice(told))
        elif chance < TOLD + ALONE:
            text = way.replace("{name}", rng.choice(("{measure}", "{wave}", "{finding}", "{group}")))
        else:
            head, name, tail = _NAMED.split(rng.choice(wordings))
            text = head + way.replace("{name}", name) + tail
        text = writer.noisy(writer.fill(text), OF_WORDINGS)
        out.append(writer.example(text, frozenset(["unknown"]), NOTHING))
    return out
