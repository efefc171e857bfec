"""From a question to its answer: understood, resolved with what was said before, answered part by part."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import FINDINGS
from ecgvlm.words.comprehension import THINGS
from ecgvlm.words.grounding import grounded, may_ask_otherwise, unaccounted
from ecgvlm.words.lexicon import lexicon
from ecgvlm.words.options import HEARSAY, ORDER
from ecgvlm.words.phrases import Words, words
from ecgvlm.words.replies import Request, pressing, reply
from ecgvlm.words.resolve import (
    ASIDE,
    POLITE,
    covered,
    not_understood,
    one_of_two,
    resolve,
    tells_another,
    unanswered,
)
from ecgvlm.words.text import readable
from ecgvlm.words.tongue import OTHER
from ecgvlm.words.understand import (
    ENOUGH,
    STEADY,
    Asked,
    Understanding,
    Understood,
    intents,
    kin,
    names_any,
    numbered,
    points_back,
)
from ecgvlm.words.wishes import Wish, wish

_FORMAT = re.compile(  # that an answer is wished in
    r"(?:\b(?:as|in|into|als|en|in formato) (?:an? |valid )*)?\b(?:json|xml|yaml|csv|markdown)\b"
    r"(?: (?:list|object|array|format|table|form)\b)?",
    re.I,
)
_OUTSIDE = ("offtopic", *POLITE)  # what is not asked of an ECG, but may be for a translation
_ONLY_TOLD = 0.9  # of a statement that asks nothing of what it names
_LETTER = 4  # parts of a text that tells of a patient before it asks
# Probability of what lies beyond the ECG below which a refusal offers the nearest questions, too. Of five
# sets as they were first asked, 29 of 36 wrong refusals lie below it, and 123 of 491 right ones.
_SURELY_BEYOND = 0.9


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
        self, evidence: Evidence, question: str, before: Conversation, language: str | None = None,
        closed: bool = False,
    ) -> tuple[str, Conversation]:  # fmt: skip
        """The answer in the language of the question (or the one given, or the one that the conversation
        wishes for), and the conversation with it. closed: whether yes and no are its options."""
        read = readable(question)
        heard, asked = self._heard(read, before, closed)
        wished = asked.language
        after = _after(heard, before, wished, language)
        w = words(after.wished or language or after.language)
        unknown = wished == OTHER or (heard.language == OTHER and language is None and not after.wished)
        said = [w.say("language_unknown")] if unknown else []
        if read != question:
            said.append(w.say("end_only", number=str(len(read))))
        if _FORMAT.search(read) and not all(map(_is_beside, heard.parts)):
            said.append(w.say("only_sentences"))
        if left := list(dict.fromkeys(word for part in heard.parts for word in part.left)):
            said.append(w.say("words_unclear", words=w.listed(left)))
        told = answer_parts(heard.parts, evidence, w, before.earlier, closed or asked.short)
        said += _shortened(told, w) if asked.short else told
        return w.text([*(w.ended(text) for text in said[:-1]), *said[-1:]]), after

    def follow(self, question: str, before: Conversation) -> Conversation:
        """The conversation with a question that was answered before."""
        heard, asked = self._heard(readable(question), before)
        return _after(heard, before, asked.language)

    def _heard(self, question: str, before: Conversation, closed: bool = False) -> tuple[Understood, Wish]:
        """What is asked, and how the answer is wished for. A wish alone asks once more what was asked last,
        or for the verdict; who wants yes or no asks whether the ECG is normal."""
        asked = wish(_FORMAT.sub(" ", question))
        if asked.short:  # "yes" and "no" may be what tells the language
            before = replace(before, language=self._language(question, before.language))
        if not asked.question:
            heard = Understood(before.language, before.last or (Asked("verdict"),))
        else:
            heard = self.hear(asked.question, before)
        again = asked.language and asked.question and all(part.intent in STEADY for part in heard.parts)
        if again and before.last:  # "once more in English"
            heard = Understood(before.language, before.last)
        beside = _is_beside if asked.language == OTHER else lambda part: part.intent in _OUTSIDE
        if asked.question and asked.language and all(map(beside, heard.parts)):
            return self.hear(question, before), Wish(None, question)  # to translate something else
        if closed or asked.short:
            normal = Asked("finding", {"finding": ("NORM",)})
            parts = tuple(normal if part.intent == "verdict" else part for part in heard.parts)
            heard = replace(heard, parts=parts)
        return heard, asked

    def _language(self, question: str, spoken: str) -> str:
        language = self._understanding.language(question, spoken)
        return spoken if language == OTHER else language

    def hear(self, question: str, before: Conversation) -> Understood:
        """What is asked, with what it leaves out taken from the question before."""
        heard, claimed = self._without_hearsay(question, before.language)
        parts: list[Asked] = []
        unclear: list[Asked] = []
        for number, part in enumerate(_led_on(heard.parts), 1):
            if parts and self._asks_back(part, parts[-1], heard.language):
                continue
            asks = _asks(part, question)
            spoken_of: tuple[Asked, ...] = ()
            if "whole" not in part.variants:  # "overall ok?" goes on with nothing
                spoken_of = (*reversed(parts), *claimed, *before.asked)
                part = one_of_two(part, spoken_of)
                part = self._taken_up(part, (*spoken_of, *before.last), heard.language, asks)
            meant = [x if _sure(x, heard.language) else not_understood(x) for x in resolve(part, spoken_of)]
            parts += meant
            if all(x.intent == "unsure" for x in meant) and _asks(part, question):
                unclear.append(Asked("unsure", {"part": (str(number),)}))
        kept = self._answerable(parts, question, heard.language)
        if not kept:
            kept = [Asked("hello")] if not re.search(r"\w", question) else [Asked("unsure", text=question)]
        if any(part.intent != "unsure" for part in kept):
            kept += unclear
        if heard.language != OTHER:
            kept = [
                replace(
                    part,
                    left=unaccounted(part, heard.language),
                    unclear=_asks(part, question) and may_ask_otherwise(part, heard.language),
                )
                for part in kept
            ]
        if kept and all(map(_hardly_refused, kept)):
            kept.append(Asked("unsure", text=question, near=kept[0].near))
        return Understood(heard.language, tuple(part for i, part in enumerate(kept) if part not in kept[:i]))

    def _taken_up(self, part: Asked, before: tuple[Asked, ...], language: str, asks: bool) -> Asked:
        """A part that names nothing as it is meant after the question before it, where that is clear: "what
        is it?" after a finding, "fine for a runner?" or "how many squares is that?" after a measurement.
        asks: whether it ends in a question mark."""
        last = next(filter(names_any, before), None) or next(
            (x for x in before if kin(x.intent) == "whole"), None
        )
        if last is None or not part.text or names_any(part) or part.of("without") or language == OTHER:
            return part
        if tells_another(part, last):
            return part
        since = last.since or last.text
        if not since or lexicon(language).compares(part.text):  # "and 400?"
            return part
        meant = self._understanding.after(since, part.text, language)
        alone = part.intent in _OUTSIDE and part.sure > meant.sure  # "ok thanks"
        if meant.sure < ENOUGH or (alone and not (asks and part.intent in POLITE)):  # "that good?"
            return part
        same = {kind: last.of(kind) for kind in THINGS if _of_the_same(kind, meant, last, part)}
        return replace(
            meant,
            objects={**meant.objects, **same},
            named=last.named if "finding" in same else (),
            since=since if names_any(meant) else "",
        )

    def _asks_back(self, part: Asked, last: Asked, language: str) -> bool:
        """Whether a part asks of what the last one names whether it is normal, which its answer says:
        "T inversion in aVR, is that normal?"; or why, of what is refused."""
        if intents()[last.intent].get("refuses") and points_back(part):
            return True
        vague = any(intents()[intent].get("vague") for intent in (part.intent, *part.of("subject")))
        return vague and names_any(last) and lexicon(language).points_back(part.text)

    def _without_hearsay(self, question: str, spoken: str) -> tuple[Understood, tuple[Asked, ...]]:
        """What is asked beside what others said or ordered, and what is said with that: it may be spoken
        of. An order is answered where nothing else is asked, as is what others said."""
        asked, understand = HEARSAY.sub(" ", question), self._understanding.understand
        whole = understand(question, spoken)
        heard = understand(asked, spoken) if re.search(r"\w\w", asked) else replace(whole, parts=())
        claimed = whole.parts if asked != question else ()
        doubted = tuple(replace(part, intent="finding") for part in claimed if part.of("finding"))
        if doubted and lexicon(heard.language).is_tag(asked):
            return replace(whole, parts=doubted), claimed
        if not heard.parts and "?" in question and any("verdict" in part.of("subject") for part in claimed):
            return replace(whole, parts=(Asked("verdict"),)), claimed  # "it says normal, do you agree?"
        if heard.parts and not all(part.intent in (*ASIDE, "unsure") for part in heard.parts):
            return heard, claimed
        if ORDER.search(question):
            return replace(heard, parts=(Asked("order"),)), claimed
        told = not heard.parts or any(part.of("finding") for part in claimed)
        return (whole if told else heard), claimed

    def _answerable(self, parts: list[Asked], question: str, language: str) -> list[Asked]:
        """The parts to answer: those that ask something, else a doubt or an order, else what comes last."""
        questions = [part for part in parts if part.intent not in ASIDE]
        if not questions:  # a story in which something is named, unless it surely only tells
            asks = re.search("[?？؟]", question)
            told = [part for part in parts if part.intent == "context" and (asks or part.sure < _ONLY_TOLD)]
            questions = unanswered([replace(part, intent="several") for part in told], ())
        sure = [part for part in questions if part.intent != "unsure"]
        letter = len(parts) >= _LETTER and not numbered(question)
        asks_more = any(part.of("finding") for part in sure)
        sure = [part for part in sure if not self._aside(part, question, letter, asks_more)] or sure
        # What is not understood beside what is: mostly a word about the patient.
        steady = [part for part in parts if part.intent in STEADY]
        kept = sure or steady[-1:] or questions[:1] or parts[-1:]
        if sure:
            # A verdict only names the rhythm: who asks for that as well is told its rate, too.
            whole = covered(part for part in kept if part.intent != "verdict")
            kept = [
                part
                for part in kept
                if part.intent not in covered(kept)
                or (part.intent == "rhythm" and "rhythm" not in whole and _asks(part, question))
            ]
        more = [part for part in unanswered(questions, kept) if _sure(part, language)]
        spoken_of = {part.text for part in (*more, *kept) if part.intent == "finding"}
        return [part for each in kept for part in _not_unknown(each, each.text in spoken_of)] + more

    def _aside(self, part: Asked, question: str, letter: bool, asks_more: bool) -> bool:
        """Whether a part is a word about the patient rather than a question: what would be refused and is
        not surely asked for, in a letter whatever would be, or compared with a number ("HR 70"), as it is
        where a finding is asked about beside it ("axis 115, so left?")."""
        if _asks(part, question):
            return False
        if intents()[part.intent].get("refuses"):
            return letter or part.sure < ENOUGH
        told = bool(part.of("measure") and part.of("number"))
        return told and (letter or (asks_more and part.intent == "limit" and not part.of("side")))


def _of_the_same(kind: str, meant: Asked, last: Asked, alone: Asked) -> bool:
    """Whether a part is asked of what the question before it named of a kind: the net tells a finding of
    which something is asked ("how sure?"), but may take it for a like one; not where the part tells another
    by itself, or may ask for one ("and of second degree?")."""
    heard, named = set(meant.of(kind)), set(last.of(kind))
    own = {*alone.about.get(kind, ()), *alone.told.get(kind, ())}
    return bool(heard & named or (heard and named and meant.intent != "finding" and not heard & own))


def _led_on(parts: Iterable[Asked]) -> list[Asked]:
    """The parts; who asks for a probability before naming something asks for that: "what's more likely, AF or
    flutter?"."""
    out: list[Asked] = []
    for part in parts:
        leads = out and out[-1].intent == "likelihood" and not out[-1].objects
        if leads and part.intent == "finding" and part.of("finding"):
            part = replace(part, intent="likelihood", text=f"{out.pop().text}, {part.text}")
        out.append(part)
    return out


def _sure(part: Asked, language: str) -> bool:
    """Whether a part is understood; in a language that is none of ours only by what it names of an ECG."""
    return names_any(part) if language == OTHER else grounded(part, language)


def _asks(part: Asked, question: str) -> bool:
    """Whether a part ends in a question mark, or is one of a numbered list."""
    return numbered(question) or re.search(rf"{re.escape(part.text)}\s*[?？؟]", question) is not None


def _shortened(said: list[str], w: Words) -> list[str]:
    """The one word of an answer that begins with yes or no; the answer itself where it does not."""
    clear = next((word for word in (w.yes, w.no) if len(said) == 1 and said[0].startswith(word)), "")
    return [f"{clear}{w.stop}"] if clear else said


def _not_unknown(part: Asked, told: bool) -> list[Asked]:
    """The part; where it would be answered by that it cannot be judged, but names what is, one that is not
    understood, or none where that is told. told: whether what it names is."""
    if part.intent != "unknown" or FINDINGS.keys().isdisjoint(part.of("finding")):
        return [part]
    if told:
        return [part] if part.of("topic") else []
    return [replace(part, intent="unsure", others=("finding", *part.others))]


def _hardly_refused(part: Asked) -> bool:
    """Whether a part is refused, but may well ask about the ECG."""
    return bool(intents()[part.intent].get("refuses")) and part.outside < _SURELY_BEYOND


def _is_beside(part: Asked) -> bool:
    """Whether a part asks nothing that a page could answer."""
    return part.intent in (*ASIDE, "unsure") or bool(intents()[part.intent].get("refuses"))


def _after(
    heard: Understood, before: Conversation, wished: str | None, language: str | None = None
) -> Conversation:
    """What names nothing ("are you sure?") leaves what was named before to be spoken of."""
    spoken = language or (heard.language if heard.language != OTHER else "en")
    names = any(map(names_any, heard.parts))
    return replace(
        before,
        asked=heard.parts if names else before.asked,
        last=heard.parts,
        language=spoken,
        wished=before.wished if wished in (None, OTHER) else wished,
    )


def answer_parts(
    parts: Iterable[Asked],
    evidence: Evidence,
    w: Words,
    earlier: Evidence | None = None,
    closed: bool = False,
) -> list[str]:
    """The answers to all parts of a question, each once, none that another one holds; what is urgent once.
    closed: as of `Request`."""
    requests = [Request(evidence, part, w, earlier, closed) for part in parts]
    said = [reply(intents()[request.asked.intent]["answers"], request) for request in requests]
    urgent = pressing(requests[0]) if requests else ""
    for place, text in enumerate(said):
        if urgent and text != urgent and any(urgent in other for other in said[:place]):
            said[place] = text.replace(urgent, "").strip()
    once = list(dict.fromkeys(said))
    return [text for text in once if not any(text in other for other in once if other != text)]
