"""From a question to its answer: understood, resolved with what was said before, answered part by part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ecgvlm.judge.evidence import Evidence
from ecgvlm.words.options import HEARSAY, ORDER
from ecgvlm.words.phrases import Words, words
from ecgvlm.words.prose import READERS
from ecgvlm.words.replies import SHOWN_IN, Request, concepts, pressing, reply
from ecgvlm.words.understand import LIKELY, OTHER, Asked, Understanding, Understood, intents, kin
from ecgvlm.words.wishes import wish

# Nobody asks anything with these where something else is asked beside them.
_ASIDE = ("context", "hello", "thanks", "doubt", "order", "several")
_TOPICAL = 0.5  # of an intent that says it cannot tell, where its topic is named
_BEYOND = 0.2  # how much likelier a strange question asks for something else than for nothing
_WHOLE = 0.6  # of an intent that speaks of the whole ECG
_STEADY = ("doubt", "order")
_HARMLESS = ("hello", "thanks", "doubt")  # to answer where something else was meant
_FEW = 3  # words that such a part has at most
_SHORT = 5  # words of a question that goes on with the one before
_SPOKEN_OF = ("finding", "measure", "group", "wave", "lead")  # what the next question may leave out
_OBJECTS = ("finding", "measure", "group", "wave")  # what an answer must speak of where it is asked about
_SILENT = (*_ASIDE, "self", "unsure", "report", "diagnosis")  # speak of nothing, or of all
_OF_PAGE = ("layout", "scale", "quality", "printed", "cabrera", "problems")
# What names alone ask for, most telling first.
_NAMES_ASK = (
    (("wave", "lead"), "amount"), (("finding",), "finding"), (("group",), "group"), (("measure", "side"),
    "limit"),
    (("measure",), "value"), (("wave",), "wave"), (("lead",), "lead"),
)  # fmt: skip


@dataclass(frozen=True)
class Conversation:
    """What was said before, kept by the caller. asked: the last question that named something, part by part;
    last: the last question; earlier: another ECG of the same patient, to compare with; language: of the last
    question; wished: the language that answers were asked for in, None where nobody did."""

    asked: tuple[Asked, ...] = ()
    last: tuple[Asked, ...] = ()
    language: str = "en"
    wished: str | None = None
    earlier: Evidence | None = field(default=None, repr=False)


class Dialogue:
    """Answers questions about a page."""

    def __init__(self, understanding: Understanding):
        self._understanding = understanding

    def answer(
        self, evidence: Evidence, question: str, before: Conversation, language: str | None = None
    ) -> tuple[str, Conversation]:
        """The answer in the language of the question (or the one given, or the one that the conversation
        wishes for), and the conversation with it."""
        heard, wished = self._heard(question, before)
        after = _after(heard, before, wished, language)
        w = words(after.wished or language or after.language)
        unknown = wished == OTHER or (heard.language == OTHER and language is None and not after.wished)
        said = [w.say("language_unknown")] if unknown else []
        said += answer_parts(heard.parts, evidence, w, before.earlier)
        return w.text([*(w.ended(text) for text in said[:-1]), *said[-1:]]), after

    def follow(self, question: str, before: Conversation) -> Conversation:
        """The conversation with a question that was answered before."""
        heard, wished = self._heard(question, before)
        return _after(heard, before, wished)

    def _heard(self, question: str, before: Conversation) -> tuple[Understood, str | None]:
        """What is asked, and the language that the answer is wished in. A wish alone asks once more what was
        asked last, or for the verdict."""
        asked = wish(question)
        if asked.language is None:
            return self.hear(question, before), None
        if not asked.question:
            return Understood(before.language, before.last or (Asked("verdict"),)), asked.language
        heard = self.hear(asked.question, before)
        if all(_is_beside(part) for part in heard.parts):  # to translate something else
            return self.hear(question, before), None
        return heard, asked.language

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
        parts: list[Asked] = []
        for part in heard.parts:
            spoken_of = (*reversed(parts), *claimed, *before.asked)
            parts += _with_finding(resolve(part, spoken_of, enough))
        if heard.language == OTHER:  # understood only by the names in it
            parts = [part if part.objects else replace(part, intent="unsure") for part in parts]
        questions = [part for part in parts if part.intent not in _ASIDE]
        if not questions:  # a story in which something is named
            told = [part for part in parts if part.intent == "context"]
            questions = unanswered([replace(part, intent="several") for part in told], ())
        sure = [part for part in questions if part.intent != "unsure"]
        # What is not sure to ask for something beyond the ECG, beside a question about it: as little.
        sure = [part for part in sure if not self._aside(part, question)] or sure
        # What is not understood beside what is: mostly a word about the patient.
        kept = sure or [part for part in parts[-1:] if part.intent in _STEADY] or questions[:1] or parts[-1:]
        covered = (
            {name for part in kept for name in intents()[part.intent].get("covers", ())} if sure else set()
        )
        kept = [part for part in kept if part.intent not in covered]
        kept += unanswered(questions, kept)
        if not kept:
            kept = [Asked("hello")] if not re.search(r"\w", question) else [Asked("unsure", text=question)]
        return Understood(heard.language, tuple(part for i, part in enumerate(kept) if part not in kept[:i]))

    def _aside(self, part: Asked, question: str) -> bool:
        """Whether a part that would be refused may as well be a word about the patient."""
        refused = intents()[part.intent].get("refuses") and part.strange
        asks = re.search(re.escape(part.text) + r"\s*[?？؟]", question)
        return bool(refused) and part.sure < self._understanding.enough and not asks


def _is_beside(part: Asked) -> bool:
    """Whether a part asks nothing that a page could answer."""
    return part.intent in (*_ASIDE, "unsure") or bool(intents()[part.intent].get("refuses"))


def _after(
    heard: Understood, before: Conversation, wished: str | None, language: str | None = None
) -> Conversation:
    """What names nothing ("are you sure?") leaves what was named before to be spoken of."""
    spoken = language or (heard.language if heard.language != OTHER else "en")
    names = any(part.of(kind) for part in heard.parts for kind in _SPOKEN_OF)
    return replace(
        before,
        asked=heard.parts if names else before.asked,
        last=heard.parts,
        language=spoken,
        wished=before.wished if wished in (None, OTHER) else wished,
    )


def answer_parts(
    parts: Iterable[Asked], evidence: Evidence, w: Words, earlier: Evidence | None = None
) -> list[str]:
    """The answers to all parts of a question, each once, none that another one holds; what is urgent once."""
    requests = [Request(evidence, part, w, earlier) for part in parts]
    said = [reply(intents()[request.asked.intent]["answers"], request) for request in requests]
    urgent = pressing(requests[0]) if requests else ""
    for place, text in enumerate(said):
        if urgent and text != urgent and any(urgent in other for other in said[:place]):
            said[place] = text.replace(urgent, "").strip()
    once = list(dict.fromkeys(said))
    return [text for text in once if not any(text in other for other in once if other != text)]


def unanswered(questions: Iterable[Asked], answered: Iterable[Asked]) -> list[Asked]:
    """What a question names and no answer speaks of, as questions of their own: whatever the net took a
    sentence for, the answer is about all that is named in it."""
    spoken = {name for part in answered for name in _spoken_of(part)}
    more: list[Asked] = []
    for part in questions:
        if kin(part.intent) == "measure" and "rhythm" in part.of("subject"):
            more.append(Asked("rhythm", text=part.text, sure=part.sure))
        for kinds, intent in _NAMES_ASK:
            if len(kinds) == 1 and (asked := _asked(part, kinds[0], intent, spoken)):
                more.append(asked)
                spoken |= _spoken_of(asked)
    return more


def _asked(part: Asked, kind: str, intent: str, spoken: set[tuple[str, str]]) -> Asked | None:
    """The question about all of a kind that a part names and nobody has spoken of, if there is any."""
    row = intents()[part.intent]
    matters = kind in _OBJECTS or row.get("family") == "whole"
    if (
        row.get("refuses") or part.intent in _OF_PAGE
    ):  # what lies beyond may be called like something of an ECG
        matters = kind == "finding" and not part.strange
        spoken = spoken | {(kind, sign) for sign in SHOWN_IN}
    if not matters or (part.intent in _SILENT and part.intent != "several"):
        return None
    codes = part.of(kind)
    left = [i for i, code in enumerate(codes) if not {(kind, code), *_same(kind, code)} & spoken]
    called = part.named if kind == "finding" and len(part.named) == len(codes) else ()
    names = tuple(called[i] for i in left) if called else ()
    return (
        Asked(intent, {kind: tuple(codes[i] for i in left)}, part.text, part.sure, (), names)
        if left
        else None
    )


def _spoken_of(part: Asked) -> set[tuple[str, str]]:
    """(kind, code) of all that the answer to a part speaks of."""
    kinds = {kind.rstrip("?~") for kind in intents()[part.intent].get("takes", ())}
    named = {(kind, code) for kind in kinds for code in part.of(kind)}
    return named | {same for kind, code in named for same in _same(kind, code)}


def _same(kind: str, code: str) -> set[tuple[str, str]]:
    """What is spoken of with an object: a sign with its wave, a measurement with the finding of its limit."""
    if kind == "finding":
        limit = concepts().get(code, {}).get("limit", ())[:1]
        return {("measure", name) for name in limit} | (
            {("wave", SHOWN_IN[code])} if code in SHOWN_IN else set()
        )
    if kind == "wave":
        return {("finding", sign) for sign, wave in SHOWN_IN.items() if wave == code}
    return set()


def resolve(part: Asked, before: tuple[Asked, ...], enough: float) -> Asked:
    """The intent that is likely enough and whose objects are named, here or in the question before."""
    part = _with_lead(_with_numbers(_with_wave(part, before), before), before)
    if part.strange and part.sure < enough:  # does not go on with what was said before
        before = ()
    for place, intent in enumerate((part.intent, *part.others)):
        row = intents()[intent]
        needed = row.get("takes", [])
        sure = part.sure if place == 0 else 0.0
        named = any(part.of(kind) for kind in _OBJECTS)
        told = part.of("topic") and part.beyond > 0 and not named
        if row.get("refuses") and sure >= (LIKELY if told else enough):
            # What is named says better than the wording what lies beyond the ECG.
            topics = part.of("topic") if intent == "offtopic" else ()
            return replace(part, intent=topics[0] if topics else intent)
        whole = enough if part.beyond > _BEYOND else _WHOLE
        if row.get("family") == "whole" and sure >= whole and not named:
            readers = set(part.of("style")) & set(READERS)
            return replace(part, intent="report" if readers else intent)
        own = _with_objects(part, needed, before if place == 0 and sure >= LIKELY else ())
        speaks = any(kind.rstrip("?~") in part.objects for kind in needed)
        follows = own is not None and own.objects != part.objects
        alone = part.strange and any(kind.endswith("~") for kind in needed) and not (speaks or follows)
        if alone:  # "why", but of nothing that is named
            continue
        if intent == "define" and sure < enough:  # rather whether it is there
            continue
        few = len(part.text.split()) <= _FEW and not part.strange and not named
        if intent in _HARMLESS and few and sure >= LIKELY:
            return part
        if own is not None and (sure >= enough or follows or (speaks and (sure >= LIKELY or place))):
            return replace(own, intent=intent)
    # A word alone ("eye", "name") does not make its topic what is asked.
    if part.intent in part.of("topic") and part.sure >= _TOPICAL and not part.strange:
        return part
    subject = _by_subject(part)
    for kinds, intent in _NAMES_ASK:
        if all(part.of(kind) for kind in kinds):
            return replace(part, intent=subject if kinds == ("lead",) and subject != "unsure" else intent)
    return replace(part, intent="report" if part.of("style") else subject)


def _by_subject(part: Asked) -> str:
    """The intent that a telling word stands for, where neither wording nor names tell more."""
    beyond = intents()[part.intent].get("refuses") and part.sure >= LIKELY
    if beyond and part.strange and not part.objects:
        return part.intent
    for intent in () if beyond or (part.strange and part.beyond > _BEYOND) else part.of("subject"):
        if not (part.strange and intents()[intent].get("vague")):
            return intent
    return "unsure"


def _with_finding(part: Asked) -> list[Asked]:
    """Who asks whether a finding is new, or whether it is the rhythm, asks whether it is there, too."""
    if part.intent in ("earlier", "rhythm") and part.of("finding"):
        return [replace(part, intent="finding"), part]
    return [part]


def _with_wave(part: Asked, before: tuple[Asked, ...]) -> Asked:
    """Who asks how much of a sign there is asks how high its wave is."""
    if part.intent != "amount" or part.of("wave"):
        return part
    named = part.of("finding") or next((last.of("finding") for last in before if last.of("finding")), ())
    waves = tuple(dict.fromkeys(SHOWN_IN[code] for code in named if code in SHOWN_IN))
    return replace(part, objects={**part.objects, "wave": waves}) if waves else part


def _with_lead(part: Asked, before: Iterable[Asked]) -> Asked:
    """ "And in V2?" asks of that lead what was asked of another one."""
    last = next(iter(before), None)
    alone = part.of("lead") and not any(part.of(kind) for kind in ("finding", "measure", "group", "wave"))
    if last is None or not last.of("lead") or not alone or len(part.text.split()) > _SHORT:
        return part
    if last.intent not in ("finding", "amount"):
        return part
    return replace(last, objects={**last.objects, "lead": part.of("lead")}, text=part.text)


def _with_numbers(part: Asked, before: Iterable[Asked]) -> Asked:
    """Who names a measurement and a side of a number, or two numbers, asks on which side it is."""
    numbers = part.of("number")
    within = len(numbers) > 1 or (numbers and part.of("side"))
    if within and not any(part.of(kind) for kind in _OBJECTS) and any(last.of("measure") for last in before):
        return replace(part, intent="limit", sure=1.0)  # "over 500?"
    if kin(part.intent) == "measure" and within and part.intent != "range":
        return replace(part, intent="limit")
    if part.intent == "amount" and numbers and part.of("finding"):
        return replace(part, intent="finding")
    return part


def _with_objects(part: Asked, needed: Iterable[str], before: tuple[Asked, ...]) -> Asked | None:
    """The part with all the objects it needs; what it leaves out comes from the question before. None:
    lacking."""
    objects, named = dict(part.objects), part.named
    own = any(objects.get(kind.rstrip("?~")) for kind in needed if kind.endswith("~"))
    for kind in needed:
        here, optional, kind = kind.endswith("?") or own, kind.endswith(("?", "~")), kind.rstrip("?~")
        if objects.get(kind):
            continue
        for last in () if here and optional else before:
            if last.of(kind):
                objects[kind] = last.of(kind)
                named = named or last.named
                break
        else:
            if not optional:
                return None
    return replace(part, objects=objects, named=named)
