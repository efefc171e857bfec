"""From a question to its answer: understood, resolved with what was said before, answered part by part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ecgvlm.judge.evidence import Evidence
from ecgvlm.words.options import HEARSAY, ORDER
from ecgvlm.words.phrases import Words, words
from ecgvlm.words.replies import Request, reply
from ecgvlm.words.understand import LIKELY, OTHER, Asked, Understanding, Understood, intents

# Nobody asks anything with these where something else is asked beside them.
_ASIDE = ("context", "hello", "thanks", "doubt", "order", "several")
_REFUSED, _TOPICAL = 0.7, 0.5  # of an intent that says it cannot tell, and where its topic is named
_WHOLE = 0.6  # of an intent that speaks of the whole ECG
_STEADY = ("doubt", "order")
_SPOKEN_OF = ("finding", "measure", "group", "wave", "lead")  # what the next question may leave out
# What names alone ask for, most telling first.
_NAMES_ASK = (
    (("wave", "lead"), "amount"), (("finding",), "finding"), (("group",), "group"), (("measure", "side"),
    "limit"),
    (("measure",), "value"), (("wave",), "wave"), (("lead",), "lead"),
)  # fmt: skip


@dataclass(frozen=True)
class Conversation:
    """What was said before, kept by the caller. asked: the last question that named something, part by part;
    earlier: another ECG of the same patient, to compare with; language: of the last question."""

    asked: tuple[Asked, ...] = ()
    language: str = "en"
    earlier: Evidence | None = field(default=None, repr=False)


class Dialogue:
    """Answers questions about a page."""

    def __init__(self, understanding: Understanding):
        self._understanding = understanding

    def answer(
        self, evidence: Evidence, question: str, before: Conversation, language: str | None = None
    ) -> tuple[str, Conversation]:
        """The answer in the language of the question (or the one given), and the conversation with it."""
        heard = self.hear(question, before)
        after = _after(heard, before, language)
        w = words(after.language)
        said = [w.say("language_unknown")] if heard.language == OTHER and language is None else []
        said += answer_parts(heard.parts, evidence, w, before.earlier)
        return w.text(said), after

    def follow(self, question: str, before: Conversation) -> Conversation:
        """The conversation with a question that was answered before."""
        return _after(self.hear(question, before), before)

    def hear(self, question: str, before: Conversation) -> Understood:
        """What is asked, with what it leaves out taken from the question before."""
        asked = HEARSAY.sub(" ", question)
        claimed: tuple[Asked, ...] = ()
        if not re.search(r"\w\w", asked):
            if ORDER.search(question):
                return Understood(self._understanding.language(question, before.language), (Asked("order"),))
            asked = question
        elif asked != question:
            claimed = self._understanding.understand(question, before.language).parts
        heard = self._understanding.understand(asked, before.language)
        if all(part.intent in _ASIDE for part in heard.parts) and any(part.of("finding") for part in claimed):
            heard = replace(heard, parts=claimed)
        enough = self._understanding.enough
        parts = [
            each
            for part in heard.parts
            for each in _with_finding(resolve(part, (*claimed, *before.asked), enough))
        ]
        if heard.language == OTHER:  # understood only by the names in it
            parts = [part if part.objects else replace(part, intent="unsure") for part in parts]
        questions = [part for part in parts if part.intent not in _ASIDE]
        sure = [part for part in questions if part.intent != "unsure"]
        # What is not understood beside what is: mostly a word about the patient.
        kept = sure or [part for part in parts[-1:] if part.intent in _STEADY] or questions[:1] or parts[-1:]
        covered = (
            {name for part in kept for name in intents()[part.intent].get("covers", ())} if sure else set()
        )
        kept = [part for part in kept if part.intent not in covered]
        if not kept:
            kept = [Asked("hello")] if not re.search(r"\w", question) else [Asked("unsure", text=question)]
        return Understood(heard.language, tuple(part for i, part in enumerate(kept) if part not in kept[:i]))


def _after(heard: Understood, before: Conversation, language: str | None = None) -> Conversation:
    """What names nothing ("are you sure?") leaves what was named before to be spoken of."""
    spoken = language or (heard.language if heard.language != OTHER else "en")
    names = any(part.of(kind) for part in heard.parts for kind in _SPOKEN_OF)
    return replace(before, asked=heard.parts if names else before.asked, language=spoken)


def answer_parts(
    parts: Iterable[Asked], evidence: Evidence, w: Words, earlier: Evidence | None = None
) -> list[str]:
    """The answers to all parts of a question, each once, none that another one holds."""
    said = [reply(intents()[part.intent]["answers"], Request(evidence, part, w, earlier)) for part in parts]
    once = list(dict.fromkeys(said))
    return [text for text in once if not any(text in other for other in once if other != text)]


def resolve(part: Asked, before: tuple[Asked, ...], enough: float) -> Asked:
    """The intent that is likely enough and whose objects are named, here or in the question before."""
    for place, intent in enumerate((part.intent, *part.others)):
        row = intents()[intent]
        needed = row.get("takes", [])
        sure = part.sure if place == 0 else 0.0
        named = part.of("finding") or part.of("measure")
        if row.get("refuses") and sure >= (enough if named else _REFUSED):
            # What is named says better than the wording what lies beyond the ECG.
            topics = part.of("topic") if intent == "offtopic" else ()
            return replace(part, intent=topics[0] if topics else intent)
        if row.get("family") == "whole" and sure >= _WHOLE and not named:
            return replace(part, intent=intent)
        own = _with_objects(part, needed, ())
        if own is None and place == 0 and sure >= LIKELY:
            own = _with_objects(part, needed, before)
        speaks = any(kind.rstrip("?") in part.objects for kind in needed)
        follows = own is not None and own.objects != part.objects
        if own is not None and (sure >= enough or follows or (speaks and (sure >= LIKELY or place))):
            return replace(own, intent=intent)
    # A word alone ("eye", "name") does not make its topic what is asked.
    if part.intent in part.of("topic") and part.sure >= _TOPICAL and not part.strange:
        return part
    told = _by_subject(part)
    for kinds, intent in _NAMES_ASK:
        if all(part.of(kind) for kind in kinds):
            return replace(part, intent=told if kinds == ("lead",) and told != "unsure" else intent)
    return replace(part, intent=told)


def _by_subject(part: Asked) -> str:
    """The intent that a telling word stands for, where neither wording nor names tell more."""
    beyond = intents()[part.intent].get("refuses") and part.sure >= LIKELY
    if beyond and part.strange and not part.objects:
        return part.intent
    for intent in () if beyond else part.of("subject"):
        if not (part.strange and intents()[intent].get("vague")):
            return intent
    return "unsure"


def _with_finding(part: Asked) -> list[Asked]:
    """Who asks whether a finding is new, or whether it is the rhythm, asks whether it is there, too."""
    if part.intent in ("earlier", "rhythm") and part.of("finding"):
        return [replace(part, intent="finding"), part]
    return [part]


def _with_objects(part: Asked, needed: Iterable[str], before: tuple[Asked, ...]) -> Asked | None:
    """The part with all the objects it needs; what it leaves out comes from the question before. None:
    lacking."""
    objects, named = dict(part.objects), part.named
    for kind in needed:
        optional, kind = kind.endswith("?"), kind.rstrip("?")
        if objects.get(kind):
            continue
        for last in before:
            if last.of(kind):
                objects[kind] = last.of(kind)
                named = named or last.named
                break
        else:
            if not optional:
                return None
    return replace(part, objects=objects, named=named)
