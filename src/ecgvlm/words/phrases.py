"""The sentences and names of every language: `say(key, ...)` words what the answers decide."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from ecgvlm.judge.criteria import rules
from ecgvlm.judge.evidence import CAUTIONS, say_measurement, say_mm
from ecgvlm.labels import FINDINGS, NAMES
from ecgvlm.measure import MEASUREMENTS

LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl", "pl", "ru", "tr", "zh", "hi", "ar")
_UNITS = {"°": "degrees", "mV": "mv", "mV ms": "mv_ms"}  # in a sentence
_WHOLE = 10  # from which on a number of any unit is said without its fractions


@dataclass(frozen=True)
class Words:
    """One language.

    sentences: text with {placeholders} by key. names: by kind ("findings", "measures", ...), what each thing
    is called. decimal, comma, stop, space: its punctuation. yes, no: what such answers begin with.
    """

    language: str
    sentences: Mapping[str, str]
    names: Mapping[str, Mapping[str, str]]
    decimal: str
    comma: str
    stop: str
    space: str
    yes: str
    no: str

    def say(self, key: str, **parts: str) -> str:
        return self.sentences[key].format(**parts)

    def name(self, kind: str, code: str) -> str:
        """What something is called; of a kind with a name for all others ("other"), that one."""
        names = self.names[kind]
        return names[code] if code in names else names["other"]

    def finding(self, label: str) -> str:
        return self.names["findings"][label]

    def called(self, code: str) -> str:
        """What answers call a finding or a concept; "" where they have no name for it."""
        return self.names["findings"].get(code) or self.names["concepts"].get(code, "")

    def criterion(self, name: str) -> str:
        """What a condition of a definition is called, by its English name: as the finding or measurement of
        that name, where there is one."""
        kind, code = _named_so().get(name, ("criteria", name))
        return self.names[kind][code]

    def beats(self, regularity: str) -> str:
        """How regular beats are, beside the name of any rhythm."""
        return self.names.get("beats", self.names["regularities"])[regularity]

    def plain(self, label: str) -> str:
        """What a finding, or the kind of finding it belongs to, means in everyday words, with its name."""
        said = self._in_plain_words(label)
        return f"{said} ({self.finding(label)})" if said else self.finding(label)

    def meaning(self, code: str) -> str:
        """What a finding or measurement is; "" where no words for that are known."""
        return self.names["meaning"].get(code) or self._in_plain_words(code)

    def _in_plain_words(self, label: str) -> str:
        parents = FINDINGS[label].parents if label in FINDINGS else ()
        return next(filter(None, map(self.names["plain"].get, (label, *parents))), "")

    def title(self, label: str) -> str:
        """The finding's name in headline style."""
        title = self.names.get("titles", {}).get(label)
        if title is None:
            name = self.finding(label)
            title = name.title() if self.language == "en" else self._capital(name)
        return title

    def listed(self, items: Iterable[str]) -> str:
        return self.comma.join(items)

    def enumerated(self, headings: Iterable[str]) -> str:
        """Headings as a list in one sentence: but for the first in small letters, where nouns have these."""
        first, *rest = headings
        small = self.language != "de"
        lowered = (x[0].lower() + x[1:] if small and x[1:2].islower() else x for x in rest)
        return self.listed([first, *lowered])

    def text(self, sentences: Iterable[str]) -> str:
        """Sentences one after the other, each with a capital letter."""
        return self.space.join(self._capital(sentence) for sentence in sentences if sentence)

    def distinct(self, texts: Iterable[str]) -> str:
        """The texts one after the other, each once, none that another one holds."""
        once = list(dict.fromkeys(texts))
        return self.text(x for x in once if not any(x in other for other in once if other != x))

    def ended(self, text: str) -> str:
        """The text with a full stop where it has no end of its own (a headline)."""
        return f"{text}{self.stop}" if text[-1:].isalnum() or text.endswith(")") else text

    def stated(self, answer: str) -> str:
        """Yes or no without that word, sentence by sentence: after "there is no AF, is there?" neither is
        clear."""
        word = rf"(^|(?<=[.\u3002\u0964])\s*)(?:{self.yes}|{self.no})\s?[:,\u2013\uff0c\u060c]\s*(\S+)"
        return re.sub(word, lambda match: f"{match[1]}{self._capital(match[2])}", answer)

    def sentence(self, text: str) -> str:
        """The text with a capital letter and a full stop."""
        return f"{self._capital(text)}{self.stop}"

    def _capital(self, text: str) -> str:
        if text[1:2].isupper():  # aVL
            return text
        first = "İ" if self.language == "tr" and text[0] == "i" else text[0].upper()
        return f"{first}{text[1:]}"

    def percent(self, probability: float) -> str:
        """ "97%", "under 1%", "over 99%"."""
        number = round(100 * probability)
        if number < 1 or number > 99:
            return self.say("percent_under" if number < 1 else "percent_over")
        return self.say("percent", number=str(number))

    def quantity(self, measurement: str, value: float) -> str:
        """A measurement with its unit."""
        return self.in_unit(MEASUREMENTS[measurement].unit, value)

    def in_unit(self, unit: str, value: float) -> str:
        return self.say(_UNITS.get(unit, unit), number=say_measurement(value))

    def in_fractions(self, unit: str, value: float) -> str:
        """A number as definitions have them: "0.25 mV", "120 ms", "0.1" without a unit."""
        small = abs(value) < _WHOLE
        number = self.number(f"{value:.2f}".rstrip("0").rstrip(".") if small else say_measurement(value))
        return self.say(_UNITS.get(unit, unit), number=number) if unit else number

    def mm(self, mv: float, signed: bool = False) -> str:
        """Millimetres at 10 mm/mV, without their unit."""
        return self.number(say_mm(mv, signed))

    def number(self, text: str) -> str:
        return text.replace(".", self.decimal)


@lru_cache
def words(language: str) -> Words:
    """The words of one of `LANGUAGES`. Raises KeyError for another."""
    if language not in LANGUAGES:
        raise KeyError(language)
    data = tomllib.loads((files("ecgvlm.words") / "data" / "say" / f"{language}.toml").read_text("utf-8"))
    names = {kind: table for kind, table in data.items() if isinstance(table, dict)}
    if language == "en":
        measures = {code: known.name for code, known in MEASUREMENTS.items()}
        conditions = {when.name for rule in rules().values() for when in rule.when} - _named_so().keys()
        criteria = {name: name for name in conditions}
        names |= {"findings": NAMES, "cautions": CAUTIONS, "measures": measures, "criteria": criteria}
    punctuation = {key: data[key] for key in ("decimal", "comma", "stop", "space", "yes", "no")}
    return Words(language, names.pop("sentences"), names, **punctuation)


@lru_cache
def _named_so() -> dict[str, tuple[str, str]]:
    """Kind and code of findings and measurements by their English name."""
    findings = {name: ("findings", code) for code, name in NAMES.items()}
    return findings | {known.name: ("measures", code) for code, known in MEASUREMENTS.items()}


def placeholders(sentence: str) -> frozenset[str]:
    """The names of what a sentence has filled in."""
    return frozenset(re.findall(r"\{(\w+)\}", sentence))


ENGLISH = words("en")
