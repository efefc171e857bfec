"""What a part of a question means with what was said before: the intent that is likely enough and whose
objects are named, here or in the question before; and what is named and not answered yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from ecgvlm.labels import FINDINGS, RHYTHMS
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS
from ecgvlm.words.answers import GROUPS
from ecgvlm.words.comprehension import OF_ECG, THINGS
from ecgvlm.words.concepts import concepts, kinds_of, limits_of
from ecgvlm.words.lexicon import SPOKEN_OF, variant_findings
from ecgvlm.words.prose import READERS
from ecgvlm.words.replies import SHOWN_IN, SINUS
from ecgvlm.words.understand import (
    ENOUGH,
    LIKELY,
    PLAIN,
    SAID_AS,
    SIGNS_TOLD,
    Asked,
    intents,
    kin,
    names_any,
    takes,
)

# Nobody asks anything with these where something else is asked beside them.
POLITE = ("hello", "thanks")
ASIDE = ("context", *POLITE, "doubt", "order", "several")
_TOPICAL = 0.5  # of an intent that says it cannot tell, where its topic is named
_BEYOND = 0.2  # how much likelier a strange question asks for something else than for nothing
_OF_TOPIC = 0.95  # of one, where what lies beyond the ECG is named
_DEFINED = 0.97  # of what the RR interval is, beyond the number
_REASONS = 0.85  # of a why, where a word that asks for causes is named; of what it is, where that is denied
_WHOLE = 0.6  # of an intent that speaks of the whole ECG
_HARMLESS = (*POLITE, "doubt")  # to answer where something else was meant
_FEW = 3  # words that such a part has at most, and a question that only takes a measurement up
_BARE = 4  # words of a name with what joins it to the question before
_RANGE = 2  # numbers that a measurement may lie between
_POINTING = 8  # words of one that points to the first or second of two
_SHORT, _LETTERS = 5, 40  # words and letters of a question that goes on with the one before
_SILENT = (*ASIDE, "self", "unsure", "report", "diagnosis")  # speak of nothing, or of all
OF_PAGE = ("layout", "scale", "quality", "printed", "cabrera", "problems")
_VOLTAGE = re.compile(r"sokolow|cornell|peguero|соколов|корнел", re.I)  # of which a definition has the sum
# Its terms, as they are added in whatever language.
_SUM = re.compile(r"\bS\W?\D{0,4}V[12]\b.{0,12}(?:\bplus\b|\+).{0,8}\bR\W?\D{0,4}V[56]\b", re.I)
_LEAD = re.compile(r"\b(?:aV[RLF]|V[1-6]|I{1,3})\b", re.I)
_LEAD_I = re.compile(r"\bI\W*$")  # which is a word of English elsewhere
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\u2024\d+)?(?![\w.])")
_BESIDE_RATE = ("rhythm", "regular")  # told by a word, asked for beside a measurement
# What names alone ask for, most telling first.
_NAMES_ASK = (
    (("wave", "lead"), "amount"), (("finding",), "finding"), (("group",), "group"), (("measure", "side"),
    "limit"),
    (("measure",), "value"), (("wave",), "wave"), (("lead",), "lead"),
)  # fmt: skip


def unanswered(questions: Iterable[Asked], answered: Iterable[Asked]) -> list[Asked]:
    """What a question names and no answer speaks of, as questions of their own: whatever the net took a
    sentence for, the answer is about all that is named in it."""
    answered = list(answered)
    spoken = {name for part in answered for name in _spoken_of(part)}
    if "value" in covered(answered):
        spoken |= {("measure", name) for name in MEASUREMENTS}
    more: list[Asked] = []
    for part in questions:
        for intent in _BESIDE_RATE if kin(part.intent) == "measure" else ():
            if intent in part.of("subject"):
                more.append(Asked(intent, text=part.text, sure=max(part.sure, LIKELY)))
        for kinds, intent in _NAMES_ASK:
            if len(kinds) == 1 and (asked := _asked(part, kinds[0], intent, spoken)):
                more.append(asked)
                spoken |= _spoken_of(asked)
    return more


def covered(parts: Iterable[Asked]) -> set[str]:
    """The intents whose answers are part of those to these; a report for a reader holds less."""
    whole = [part for part in parts if not part.of("style")]
    return {name for part in whole for name in intents()[part.intent].get("covers", ())}


def _asked(part: Asked, kind: str, intent: str, spoken: set[tuple[str, str]]) -> Asked | None:
    """The question about all of a kind that a part names and nobody has spoken of, if there is any."""
    row = intents()[part.intent]
    matters = kind in THINGS or row.get("family") == "whole"
    # What lies beyond may be called like something of an ECG; "QTc before haloperidol" asks for that as well.
    if row.get("refuses") or part.intent in OF_PAGE:
        rate = part.of("measure") == ("heart_rate_bpm",)  # for advice: "which rate shall I train at?"
        ahead = part.intent == "tests" or (part.intent == "advice" and not rate)
        matters = (kind == "finding" or (kind == "measure" and ahead)) and not part.strange
        spoken = spoken | {(kind, sign) for sign in SHOWN_IN}
    if not matters or (part.intent in _SILENT and part.intent != "several"):
        return None
    codes = part.of(kind)
    left = [i for i, code in enumerate(codes) if not {(kind, code), *_same(kind, code)} & spoken]
    called = part.named if kind == "finding" and len(part.named) == len(codes) else ()
    names = tuple(called[i] for i in left) if called else ()
    compared: dict[str, tuple[str, ...]] = {}
    if intent == "value" and not part.of("number") and "verdict" in part.of("subject"):
        intent = "within"  # "RBBB with a normal PR?"
    if intent == "value" and len(codes) == 1 and part.of("number"):  # "AF with a rate under 100?"
        intent = "limit"
        compared = {beside: part.of(beside) for beside in ("side", "number", "compared", "unit")}
    return (
        Asked(
            intent,
            {kind: tuple(codes[i] for i in left), **compared},
            part.text,
            part.sure,
            (),
            names,
            denied=part.denied,
            outside=part.outside,
        )
        if left
        else None
    )


def _spoken_of(part: Asked) -> set[tuple[str, str]]:
    """(kind, code) of all that the answer to a part speaks of."""
    named = {(kind, code) for kind in takes(part.intent) for code in part.of(kind)}
    return named | {same for kind, code in named for same in _same(kind, code)}


def _same(kind: str, code: str) -> set[tuple[str, str]]:
    """What is spoken of with an object: a sign with its wave, a measurement with the finding of its limit."""
    if kind == "finding":
        return {("measure", name) for name, _ in limits_of([code])} | (
            {("wave", SHOWN_IN[code])} if code in SHOWN_IN else set()
        )
    if kind == "wave":
        return {("finding", sign) for sign, wave in SHOWN_IN.items() if wave == code}
    return set()


def resolve(part: Asked, before: tuple[Asked, ...]) -> list[Asked]:
    """What a part asks in the light of what was spoken of before, the last first."""
    part = _with_told(_with_left_out(part, before), before)
    meant = _meant(part, before)
    return _with_finding(meant if _agree(part, meant) else not_understood(part))


def _with_left_out(part: Asked, before: Iterable[Asked]) -> Asked:
    """ "And apart from that?" asks for the findings but for what was asked about before."""
    if part.of("without") != (SPOKEN_OF,):
        return part
    named = next(filter(None, map(_of_findings, before)), ())
    return replace(part, objects={"without": named} if named else {})


def _of_findings(part: Asked) -> tuple[str, ...]:
    """The findings that a part names, or else the groups of them."""
    return part.of("finding") or part.of("group")


def not_understood(part: Asked) -> Asked:
    """The part as one that nobody is sure of, what it was taken for first among what may be meant; one that
    names a finding asks for that."""
    intent = "finding" if part.of("finding") else "unsure"
    return replace(part, intent=intent, others=(part.intent, *part.others))


def _agree(heard: Asked, meant: Asked) -> bool:
    """Whether the wording and the words that tell or name something both speak of the page or both of the
    heart: "how fast does the paper run" does not ask for the heart's rate. A finding that is named is asked
    about, whatever the wording, and so is what a word tells."""
    safe = intents()[meant.intent].get("refuses") or any(meant.of(kind) for kind in ("finding", "group"))
    of_page = [part.intent in OF_PAGE for part in (heard, meant)]
    of_lead = meant.of("lead") and (meant.intent == "printed" or "polarity" in meant.variants)
    meant_so = meant.of("unit") or of_lead or heard.intent in ASIDE or meant.intent in heard.of("subject")
    return bool(safe or meant_so) or heard.sure < _TOPICAL or of_page[0] == of_page[1]


def _meant(part: Asked, before: tuple[Asked, ...]) -> Asked:
    """The intent that is likely enough and whose objects are named, here or in the question before: of the
    intents from the likeliest on the first that a rule settles."""
    part = _with_variant(_with_measure(_with_unit(_with_either(_with_sign(part))), before), before)
    part = _with_likelihood(part, before)
    part = _with_lead(_with_numbers(_with_wave(part, before), before), before)
    part = _told(part)
    if part.strange and (part.sure < ENOUGH or part.intent == "finding"):  # does not go on with what was said
        before = ()
    for place, intent in enumerate((part.intent, *part.others)):
        choice = _Choice(part, before, intent, first=place == 0)
        for rule in _RULES:
            if (meant := rule(choice)) is not None:
                return meant
    return _by_words(part)


def _told(part: Asked) -> Asked:
    """An order for a report asks for one, but not to change what it says of a finding; a reason for what is
    found is no cause beyond the ECG; a doubt about a finding, a unit beside one, or how many there are, asks
    for that."""
    if part.intent == "order" and "report" in part.of("subject") and not part.of("finding"):
        return replace(part, intent="report")
    if (
        part.intent == "urgent" and part.of("subject") == ("verdict",) and part.sure < _OF_TOPIC
    ):  # "è a posto?"
        return replace(part, intent="verdict")
    if part.intent == "context" and part.of("style"):  # "now for the patient"
        return replace(part, intent="report")
    if "swapped" in part.variants and part.of("lead") and not _names_object(part):  # "was aVR flipped?"
        return replace(part, intent="problems", sure=1.0)
    if part.intent == "unknown" and part.of("finding") == ("OUTSIDE",) and not part.strange:
        return replace(part, intent="finding", sure=1.0)
    if part.intent == "unknown" and part.of("wave") == ("p",):  # whose answer tells what is not judged
        return replace(part, intent="wave", sure=1.0)
    if part.intent in POLITE and _names_object(part):  # "happy with the QTc?"
        return replace(part, intent=next((name for name in part.others if name not in ASIDE), "unsure"))
    if {"printed", "verdict"} <= set(part.of("subject")) and not part.of("lead"):  # "is every lead normal?"
        return replace(part, intent="verdict", sure=1.0)
    of_leads = part.of("lead") or _shown_by_leads(part)
    if "only" in part.variants and part.of("finding") and of_leads:  # "ST elevation in III alone?"
        kept = {kind: codes for kind, codes in part.objects.items() if kind != "lead"}
        return replace(part, intent="where", objects=kept, sure=1.0)
    if (
        "all" in part.variants and part.of("finding") and _shown_by_leads(part)
    ):  # "ST elevation in every lead?"
        return replace(part, intent="where", sure=1.0)
    of_qrs = not part.of("finding") and not part.of("wave") and set(part.of("measure")) <= {"qrs_ms"}
    ordered = part.intent == "cabrera" and part.of("lead") == ("aVR",)
    if "polarity" in part.variants and of_qrs and part.of("lead") and not ordered:  # "QRS upright in I?"
        return replace(part, intent="lead", objects={"lead": part.of("lead")}, sure=1.0)
    of_leads = any(map(part.of, ("lead", "wave", "measure"))) or _shown_by_leads(part)
    if "sole" in part.variants and not of_leads and part.intent != "why":  # "is AF the only problem?"
        return replace(part, intent="findings", objects={}, named=(), sure=1.0)
    shown = part.of("wave") or SHOWN_IN.keys() & set(part.of("finding"))
    if part.intent == "amount" and part.of("finding") and not shown:  # "how big is the infarct?"
        return replace(part, intent="finding", objects={**part.objects, "topic": ("unknown",)})
    summed = part.of("style") == ("short",) and len(part.of("measure")) > 1  # "rate, PR and QRS in a line"
    if summed and kin(part.intent) == "whole" and not part.of("finding"):
        return replace(part, intent="value", sure=1.0)
    told = [name for name in part.of("subject") if not intents()[name].get("vague")]
    if part.of("finding") == ("NOSIGNAL",):  # "which electrodes are off?"
        return replace(part, intent="problems", objects={}, named=(), sure=1.0)
    flaws = [name for name in part.of("subject") if name in ("quality", "problems")]
    if flaws and (part.intent == "findings" or part.of("finding") == ("OUTSIDE",)):  # "baseline wander?"
        return replace(part, intent=flaws[0], objects={"subject": tuple(flaws)}, named=(), sure=1.0)
    if part.intent == "unknown" and told and not part.of("topic"):
        return replace(part, intent=told[0], sure=LIKELY)
    of_heart = part.of("measure") or (told and part.sure < _OF_TOPIC and not set(told) & set(OF_PAGE))
    if part.intent in OF_PAGE and of_heart and part.intent not in part.of("subject"):
        other = next((name for name in (*told, *part.others) if name not in OF_PAGE), "unsure")
        return replace(part, intent=other)  # "how fast do atria and ventricles go?" is no paper speed
    whole = len(part.of("measure")) == len(MEASUREMENTS) and kin(part.intent) == "measure"
    if whole and (part.of("side") or "verdict" in part.of("subject")):  # "which intervals are too long?"
        return replace(part, intent="within", sure=1.0)
    several = len(part.of("measure")) > 1 and not part.of("finding") and not part.of("wave")
    if part.intent == "finding" and several:  # "is neither PR nor QRS long?"
        return replace(part, intent="limit" if part.of("side") else "value", sure=1.0)
    least = ENOUGH if part.intent in ("finding", "define") else LIKELY  # "frontal plane axis"
    unlikely = part.sure < least and kin(part.intent) == "finding"
    if (unlikely or part.intent == "where") and part.of("measure") and not part.of("finding"):
        return replace(part, intent="limit" if part.of("side") else "value")  # "where is the axis?"
    vague = intents()[part.intent].get("vague") and part.sure < _OF_TOPIC and not _names_object(part)
    if vague and part.of("topic") and part.beyond > 0:  # "potassium ok?"
        return replace(part, intent=part.of("topic")[0], sure=1.0)
    if part.intent == "likelihood" and "verdict" in part.of("subject") and not _names_object(part):
        return replace(
            part, objects={**part.objects, "finding": ("NORM",)}
        )  # "how sure is it that it is normal?"
    # "If it's not sinus, what is it?"
    otherwise = (part.denied or part.since) and "instead" in part.variants
    otherwise = otherwise or (part.denied and part.sure > _REASONS)
    if part.intent == "define" and otherwise and set(part.of("finding")) & set(RHYTHMS):
        return replace(part, intent="rhythm", objects={}, named=(), sure=1.0)
    if part.intent == "define" and part.of("unit") and part.sure < _DEFINED:  # "what is the RR?"
        return replace(part, intent="value")
    if part.intent == "value" and "verdict" in part.of("subject"):  # "is my rate ok?"
        return replace(part, intent="within")
    limits = limits_of(part.of("finding"))
    if (
        "range" in part.of("subject") and limits and len(limits) == len(part.of("finding"))
    ):  # "from what rate on is it tachycardia?"
        return replace(
            part,
            intent="range",
            objects={"measure": tuple(measure for measure, _ in limits)},
            named=(),
            sure=1.0,
        )
    if "define" in part.of("subject") and _names_object(part):
        return replace(part, intent="define", sure=1.0)
    if _SUM.search(part.text):  # "S in V1 plus R in V5 over 35?"
        return replace(part, intent="why", objects={"finding": ("LVH",)}, named=(), sure=1.0)
    if "LVH" in part.of("finding") and _VOLTAGE.search(part.text):
        return replace(part, intent="why", sure=1.0)
    if part.intent == "cause" and "why" in part.of("subject") and part.of("finding"):
        return replace(part, intent="why")
    reasons = part.intent == "why" and part.sure > _REASONS  # "откуда вы знаете, что ..."
    if "cause" in part.of("topic") and part.of("finding") and part.sure < _OF_TOPIC and not reasons:
        return replace(part, intent="cause", sure=1.0)
    of_signs = part.intent in ("likelihood", "where") and not _names_object(part)
    if of_signs and part.of("topic") and part.beyond > _BEYOND:  # "what percentage of troponin?"
        return replace(part, intent=part.of("topic")[0], sure=1.0)
    beats = {"EXTRA", *GROUPS["ectopy"]}.intersection(part.of("finding"))
    if part.intent == "likelihood" and "count" in part.variants and beats:
        return replace(part, intent="finding", sure=1.0)
    if part.intent == "scale" and part.of("finding") and part.of("number"):  # "on a scale of 0 to 100, AF?"
        return replace(part, intent="likelihood")
    doubted = part.intent == "doubt" or (part.intent == "scale" and part.of("unit"))
    if doubted and part.of("finding"):
        return replace(part, intent="finding", others=(part.intent, *part.others))
    return part


@dataclass(frozen=True)
class _Choice:
    """One of the intents that a part may have. first: whether it is the likeliest one."""

    part: Asked
    before: tuple[Asked, ...]
    intent: str
    first: bool

    @property
    def row(self) -> dict:
        return intents()[self.intent]

    @property
    def needed(self) -> list[str]:
        return self.row.get("takes", [])

    @property
    def sure(self) -> float:
        return self.part.sure if self.first else 0.0

    @property
    def speaks(self) -> bool:
        """Whether the part names something that the intent is about."""
        return any(kind.rstrip("?~") in self.part.objects for kind in self.needed)

    @cached_property
    def own(self) -> Asked | None:
        """The part with all the objects that the intent needs; None where they are lacking."""
        part, before = self.part, self.before if self.sure >= LIKELY else ()
        own = _with_objects(part, self.needed, before)
        if self.intent == "define" and self.sure < _TOPICAL:  # rather whether it is there
            return None
        if self.needed and _names_object(part) and not self.speaks:  # "why is there no P wave?"
            return None
        follows = own is not None and own.objects != part.objects
        alone = part.strange and any(kind.endswith("~") for kind in self.needed)
        return None if alone and not (self.speaks or follows) else own  # "why", but of nothing that is named

    @property
    def follows(self) -> bool:
        """Whether some of its objects come from the question before."""
        return self.own is not None and self.own.objects != self.part.objects


def _refused(choice: _Choice) -> Asked | None:
    """What likely lies beyond the ECG; what is named says better than the wording what that is."""
    part = choice.part
    told = part.of("topic") and part.beyond > 0 and not _names_object(part)
    if not choice.row.get("refuses") or choice.sure < (LIKELY if told else ENOUGH):
        return None
    own = choice.intent == "offtopic" or (choice.intent == "self" and choice.sure < _OF_TOPIC)
    topics = part.of("topic") if own else ()
    return replace(part, intent=topics[0] if topics else choice.intent)


def _of_whole(choice: _Choice) -> Asked | None:
    """What speaks of the whole ECG, where nothing in it is named; a report whatever it lists."""
    part, intent = choice.part, choice.intent
    report = "report" in part.of("subject") and intent in ("report", "diagnosis")
    if choice.row.get("family") != "whole" or (_names_object(part) and not report):
        return None
    if choice.sure < (ENOUGH if part.beyond > _BEYOND else _WHOLE):
        return None
    if part.of("lead") and not part.of("style"):  # "talk me through V1"
        return replace(part, intent="lead")
    return replace(part, intent="report" if set(part.of("style")) & set(READERS) else intent)


def _harmless(choice: _Choice) -> Asked | None:
    """A greeting, thanks or doubt of few words."""
    part = choice.part
    few = len(part.text.split()) <= _FEW and not part.strange and not _names_object(part)
    return part if choice.intent in _HARMLESS and few and choice.sure >= LIKELY else None


def _names_first(choice: _Choice) -> Asked | None:
    """What is named, where the likeliest intent is about that and not likely."""
    unlikely = choice.first and choice.sure < LIKELY
    return _by_words(choice.part) if unlikely and choice.own is not None and choice.speaks else None


def _fitting(choice: _Choice) -> Asked | None:
    """An intent that is sure, goes on with the question before, speaks of what is named, or is told by a
    word as well."""
    said = choice.speaks and (choice.sure >= LIKELY or not choice.first)
    told = choice.intent in choice.part.of("subject") and choice.sure >= LIKELY
    if choice.own is None or not (choice.sure >= ENOUGH or choice.follows or said or told):
        return None
    return replace(choice.own, intent=choice.intent)


# What settles an intent, the first that does.
_RULES: tuple[Callable[[_Choice], Asked | None], ...] = (
    _refused, _of_whole, _harmless, _names_first, _fitting,
)  # fmt: skip


def _by_words(part: Asked) -> Asked:
    """What its words alone ask, where no intent is likely enough: a topic beyond the ECG, names, a telling
    word."""
    # A word alone ("eye", "name") does not make its topic what is asked.
    if part.intent in part.of("topic") and part.sure >= _TOPICAL and not part.strange:
        return part
    if part.of("topic") and part.beyond > _BEYOND and not _names_object(part):
        return replace(part, intent=part.of("topic")[0])
    subject = _by_subject(part)
    for kinds, intent in _NAMES_ASK:
        if all(part.of(kind) for kind in kinds):
            if kinds == ("measure",) and subject == "verdict":  # "my rate ok?"
                intent = "within"
            return replace(part, intent=subject if kinds == ("lead",) and subject != "unsure" else intent)
    return replace(part, intent="report" if part.of("style") else subject)


def _names_object(part: Asked) -> bool:
    return any(part.of(kind) for kind in THINGS)


def _by_subject(part: Asked) -> str:
    """The intent that a telling word stands for, where neither wording nor names tell more."""
    beyond = intents()[part.intent].get("refuses") and part.sure >= LIKELY
    if beyond and part.strange and not part.objects:
        return part.intent
    for intent in () if beyond or (part.strange and part.beyond > _BEYOND) else part.of("subject"):
        needed = [kind for kind in intents()[intent].get("takes", ()) if kind[-1] not in "?~"]
        if all(map(part.of, needed)) and not (part.strange and intents()[intent].get("vague")):
            return intent
    return "unsure"


def _with_told(part: Asked, before: tuple[Asked, ...]) -> Asked:
    """ "Did it stop for a bit?" asks for a pause; what goes on with the question before it asks of that."""
    if not part.told or (before and _goes_on(part, THINGS)):
        return part
    told = part.told.get("finding", ())
    of_p = part.of("wave") == ("p",) and not part.of("measure") and not part.of("finding")
    if of_p and told and part.denied:  # "no P waves?"
        return replace(part, intent="wave", sure=1.0)
    if "regular" in part.of("subject") and set(told) & {"ARRHYTHMIA", "IRREG"}:  # "fast, but regular?"
        return replace(part, intent="regular", sure=1.0)
    of_sign = part.of("wave") and part.of("wave") == tuple(SHOWN_IN.get(sign) for sign in told)
    if of_sign and "only" not in part.variants:
        # The net does not tell what it is from what it is not: "is the T the right way up in V2?"
        return replace(part, intent="amount" if part.of("lead") else "wave", sure=1.0)
    if part.of("finding") and set(part.told.get("wave", ())) == {SHOWN_IN.get(x) for x in part.of("finding")}:
        return part  # "more than 3 mm of ST elevation"
    objects = {kind: codes for kind, codes in part.objects.items() if kind not in THINGS} | dict(part.told)
    if of_p and told == ("DROPPED",):  # "is there even one P wave?"
        objects["wave"] = part.of("wave")
    measures = part.told.get("measure", ())
    if sides := tuple(side for measure, side in limits_of(part.of("finding")) if measure in measures):
        objects.setdefault("side", sides)  # "is 50 too slow?"
    return replace(part, objects=objects, named=(), strange=False)


def _with_finding(part: Asked) -> list[Asked]:
    """Who asks whether a finding is new, or whether it is the rhythm, asks whether it is there, too; who asks
    of it what is not judged is told so; what is wrong with leads may be what they show."""
    if part.intent in ("earlier", "rhythm") and part.of("finding"):
        before = part.intent == "earlier"  # of which a yes may be heard
        return [replace(part, intent="finding", denied=part.denied or before), part]
    of_page = "problems" in part.of("subject") or "swapped" in part.variants
    if part.intent == "problems" and part.of("lead") and not of_page:  # "is anything wrong in V1 to V3?"
        return [replace(part, intent="lead"), part]
    if part.intent in ("finding", "group") and "age" in part.variants:  # "is the infarct old or new?"
        return [replace(part, denied=True), replace(part, intent="earlier")]
    judged = part.of("finding") != ("OUTSIDE",)  # else its answer tells that it is not
    if part.intent in ("finding", "value") and "unknown" in part.of("topic") and judged:
        return [part, replace(part, intent="unknown")]
    named = set(part.of("finding"))
    if part.intent != "finding" or not named or any(map(part.of, {*THINGS, "number"} - {"finding"})):
        return [part]
    sinus = named <= set(SINUS) and "only" in part.variants
    judged = all(code in FINDINGS or "any" in concepts().get(code, {}) for code in named)
    if sinus or (judged and "alone" in part.variants):  # "just sinus beats?", "LBBB and nothing else?"
        return [part, Asked("findings", {"without": part.of("finding")}, part.text)]
    if named <= set(RHYTHMS) and len(part.of("side")) == 1 and not limits_of(named):  # "AF, slow at that?"
        rate = {"measure": ("heart_rate_bpm",), "side": part.of("side")}
        return [part, replace(part, intent="limit", objects=rate, named=())]
    return [part]


def _with_sign(part: Asked) -> Asked:
    """ "In which leads is the ST segment elevated?" asks for that sign."""
    if part.intent not in ("where", "finding", "wave") or part.of("wave") != ("st",) or part.of("finding"):
        return part
    signs = tuple(SIGNS_TOLD[variant] for variant in part.variants if variant in SIGNS_TOLD)
    objects = {kind: codes for kind, codes in part.objects.items() if kind not in ("wave", "side")}
    return replace(part, objects={**objects, "finding": signs}) if signs else part


def _with_either(part: Asked) -> Asked:
    """ "QRS, wide or narrow?" and "tachy or brady?" ask where the measurement lies: neither yes nor no would
    answer; "elevated or depressed in V2?" asks for the level."""
    named = part.of("finding")
    if set(named) == set(SIGNS_TOLD.values()) and part.of("lead"):
        return replace(part, intent="amount", objects={"wave": ("st",), "lead": part.of("lead")}, sure=1.0)
    limits = limits_of(named)
    measures = {measure for measure, _ in limits} | set(part.of("measure"))
    sides = {side for _, side in limits} | set(part.of("side"))
    if len(limits) < len(named) or len(measures) != 1 or len(sides) < _RANGE:
        return part
    families = ("finding", "measure", "rhythm") if named else ("finding", "measure")
    if part.of("number") or kin(part.intent) not in families:
        return part
    objects = {"measure": tuple(measures), "side": tuple(sorted(sides))}
    return replace(part, intent="within", objects=objects, named=(), sure=1.0)


def _with_wave(part: Asked, before: tuple[Asked, ...]) -> Asked:
    """Who asks how much of a sign there is, or for the tallest, asks how high its wave is; "and S?" asks of
    that wave what was asked of another one."""
    if part.of("wave") == ("p",) and part.of("finding") == ("TINV",):  # "the P waves are inverted"
        return replace(part, intent="wave", objects={"wave": ("p",)}, named=())
    if part.of("wave") == ("p",) and part.of("side"):  # "how wide is P?"
        return replace(part, intent="amount")
    if part.intent == "wave" and part.of("lead"):
        return replace(part, intent="amount")
    if signs := _compared_between_leads(part):
        return replace(part, intent="amount", objects={**part.objects, "wave": signs}, variants=(), sure=1.0)
    for size, extreme in (("tall", "most"), ("flat", "least")):  # "tall T waves?"
        of_st = part.of("wave") == ("st",) or set(part.of("finding")) & set(SIGNS_TOLD.values())
        of_size = size in part.variants and not of_st
        if kin(part.intent) == "wave" and not part.of("lead") and of_size:
            part = replace(part, variants=(extreme,))
    if part.of("wave") and {"most", "least"} & set(part.variants):
        return replace(part, intent="amount", sure=1.0)  # "which lead has the tallest R?"
    there = before[0].of("lead") if before and before[0].intent == "amount" else ()
    if part.of("wave") and there and not part.of("lead") and _goes_on(part, ("finding", "measure")):
        part = replace(part, intent="amount", objects={**part.objects, "lead": there})  # "and the T there?"
    letter = re.search(r"\b[QRST]\b", part.text)
    if letter and before and before[0].of("wave") and _goes_on(part, OF_ECG):
        return replace(before[0], objects={**before[0].objects, "wave": (letter[0].lower(),)})
    superlative = not {"most", "least"}.isdisjoint(part.variants)  # "where is the ST elevation largest?"
    if (part.intent != "amount" and not superlative) or part.of("wave"):
        return part
    named = part.of("finding") or next((last.of("finding") for last in before if last.of("finding")), ())
    waves = _waves_of(named)
    if not waves:
        return part
    part = replace(part, objects={**part.objects, "finding": named, "wave": waves})
    return replace(part, intent="amount", sure=1.0) if superlative else part


def _compared_between_leads(part: Asked) -> tuple[str, ...]:
    """The waves whose sign is asked about as being more in one lead than in another: "STE in III > II?"."""
    compared = part.of("side") or re.search(r"[<>]", part.text)
    if len(_LEAD.findall(part.text)) < _RANGE or not compared or part.of("number"):
        return ()
    return _waves_of(part.of("finding"))


def _waves_of(codes: Iterable[str]) -> tuple[str, ...]:
    """The waves that show the signs among findings."""
    return tuple(dict.fromkeys(SHOWN_IN[code] for code in codes if code in SHOWN_IN))


def _with_variant(part: Asked, before: tuple[Asked, ...]) -> Asked:
    """ "Has the anterior wall infarcted?" asks for an anterior infarct, "RBBB, complete or incomplete?" for
    both; "and left?" asks of the left one what was asked of the right one."""
    if own := _of_findings(part):
        meant = _meant_by(part.variants, own)
        beside = len(own) > 1 and set(part.about.get("finding", ())).isdisjoint(meant)
        if len(part.variants) == 1 and (beside or not any(_is_kind_of(meant, code) for code in own)):
            return part
        broader = {code for code in own if _is_kind_of(meant, code)}
        kept = [] if set(own) <= set(meant) else [code for code in own if code not in broader]
        both = tuple(dict.fromkeys((*kept, *meant)))
        intent = part.intent if kin(part.intent) == "finding" else "finding"
        return part if both == own else _asking(part, intent, both)
    measures = tuple(dict.fromkeys(name for last in before for name in last.of("measure")))
    if len(measures) > 1 and "kind" in part.variants and _goes_on(part, THINGS):  # "which is longer?"
        return Asked("value", {"measure": measures})
    last = next(filter(_of_findings, before), None)
    if last is None or not _goes_on(part, THINGS):
        return part
    since = last.since or last.text
    if last.of("group") and "kind" in part.variants:
        return replace(last, text=part.text, since=since)
    if last.of("finding") and "age" in part.variants:  # "old or new?"
        return replace(last, intent="finding", text=part.text, variants=part.variants, since=since)
    if "only" in part.variants and _shown_by_leads(last):  # "only inferior, or elsewhere as well?"
        return replace(last, intent="where", text=part.text, variants=part.variants, since=since)
    if (
        part.intent != "where" and last.of("finding") and {"kind", "count"} & set(part.variants)
    ):  # "which one?", "how many?"
        intent = "amount" if last.intent == "amount" else "finding"
        return replace(last, intent=intent, text=part.text, variants=part.variants, since=since)
    meant = _meant_by(part.variants, _of_findings(last))
    intent = last.intent if last.intent in ("where", "likelihood") else "finding"
    return _asking(part, intent, meant) if meant else part


def _with_likelihood(part: Asked, before: Iterable[Asked]) -> Asked:
    """ "How likely is LBBB? - And RBBB?" asks how likely that is."""
    last = next(iter(before), None)
    bare = part.intent == "finding" and part.of("finding") and len(part.text.split()) <= _BARE
    return replace(part, intent="likelihood") if bare and last and last.intent == "likelihood" else part


def one_of_two(part: Asked, before: Iterable[Asked]) -> Asked:
    """ "The latter, then?" asks of the second of two things that were asked about just before."""
    last = next(iter(before), None)
    place = next((i for i, variant in enumerate(("former", "latter")) if variant in part.variants), None)
    if last is None or place is None or names_any(part) or len(part.text.split()) > _POINTING:
        return part
    for kind in THINGS:
        if len(last.of(kind)) == _RANGE:
            own = kind == "measure" and part.sure >= ENOUGH and kind in takes(part.intent)
            objects = {kind: last.of(kind)[place : place + 1]}
            intent = part.intent if own else last.intent
            plain = replace(last, named=(), variants=(), told={}, about={})
            return replace(plain, intent=intent, objects=objects, text=part.text)
    return part


def tells_another(part: Asked, last: Asked) -> bool:
    """Whether a part tells a like finding, kind or lead of what was asked about before: "and left?"."""
    like = _meant_by(part.variants, _of_findings(last))
    lead = "next" in part.variants or _LEAD_I.search(part.text)
    return bool(like) or bool(lead and last.of("lead"))


def _meant_by(variants: Iterable[str], codes: Iterable[str]) -> tuple[str, ...]:
    """The findings that variants tell from those named; of several variants one may tell what is named."""
    tables = [variant_findings().get(variant, {}) for variant in variants]
    if len(tables) > 1:  # "anterior or inferior?", which the net takes for one of these
        tables = [{code: code for code in table.values()} | table for table in tables]
    return tuple(dict.fromkeys(table[code] for table in tables for code in codes if code in table))


def _is_kind_of(meant: tuple[str, ...], code: str) -> bool:
    """Whether all of these findings are kinds of another one."""
    known = {*kinds_of(code), *concepts().get(code, {}).get("any", ()), *GROUPS.get(code, ())}
    return bool(meant) and all(x in known or code in concepts().get(x, {}).get("near", ()) for x in meant)


def _asking(part: Asked, intent: str, codes: tuple[str, ...]) -> Asked:
    return replace(part, intent=intent, objects={"finding": codes}, named=(), sure=1.0, strange=False)


def _with_unit(part: Asked) -> Asked:
    """Who names a measurement and a unit, but no number to compare with, asks for it in that unit."""
    measures = measures_of(part)
    units = set(part.of("unit")) - {PLAIN, *(unit for _, unit in SAID_AS.values())}
    if not units or not measures or part.of("number") or "range" in part.of("subject"):
        return part
    objects = {"measure": measures, "unit": part.of("unit")}
    return replace(part, intent="value", objects=objects, named=(), sure=1.0)


def _with_measure(part: Asked, before: tuple[Asked, ...]) -> Asked:
    """ "Normal?", "what is normal?", "left or right?" and "in seconds?" ask it of the measurement that was
    asked about just before."""
    measures = measures_of(before[0]) if before else ()
    if not measures or not _goes_on(part, THINGS):
        return part
    brief = len(part.text.split()) < _FEW or set(part.objects) == {"side"}  # "and is it prolonged?"
    few = (brief and not part.strange) or part.sure < ENOUGH
    if "range" in part.of("subject"):
        intent = "range"
    elif part.of("unit"):
        intent = "value"
    elif _asks_for_place(part):
        intent = "within"
    elif part.of("side") and (kin(part.intent) == "measure" or few) and not part.of("number"):  # "wide?"
        intent = "limit"
    else:
        return part
    objects = {"measure": measures, "unit": part.of("unit"), "side": part.of("side")}
    return replace(part, intent=intent, objects=objects, sure=1.0)


def measures_of(part: Asked) -> tuple[str, ...]:
    """The measurements that a part names, or by whose limits the findings that it names are defined: "too
    slow? too fast then?" """
    return part.of("measure") or tuple(dict.fromkeys(name for name, _ in limits_of(part.of("finding"))))


def _asks_for_place(part: Asked) -> bool:
    """ "Normal?", "left or right?" """
    sides = len(part.of("side")) > 1 and not part.of("number")
    return sides or ("verdict" in part.of("subject") and len(part.text.split()) <= _FEW)


def _with_lead(part: Asked, before: Iterable[Asked]) -> Asked:
    """ "And in V2?" or "the next one?" asks of that lead what was asked of another one, or of none; "Q waves
    V1 to V4?" asks whether they are there."""
    if part.intent == "lead" and _shown_by_leads(part):
        return replace(part, intent="finding", sure=1.0)
    last = next(iter(before), None)
    if last is None or not _goes_on(part, THINGS):
        return part
    if "next" in part.variants and last.of("lead") and not part.of("lead"):
        following = LEADS[LEADS.index(last.of("lead")[-1]) + 1 :][:1]
        objects = {**last.objects, "lead": following}
        return replace(last, objects=objects, text=part.text) if following else part
    lead = part.of("lead") or (("I",) if last.of("lead") and _LEAD_I.search(part.text) else ())
    if not lead:
        return part
    if last.intent in ("printed", "lead"):
        return replace(last, objects={"lead": lead}, text=part.text)
    if last.intent not in ("finding", "where", "amount") or not (last.of("lead") or _shown_by_leads(last)):
        return part
    intent = "amount" if last.intent == "amount" else "finding"
    return replace(last, intent=intent, objects={**last.objects, "lead": lead}, text=part.text)


def _shown_by_leads(part: Asked) -> bool:
    """Whether a finding that a part names is a sign that leads show."""
    return any(concepts().get(code, {}).keys() & {"sign", "territory"} for code in part.of("finding"))


def _goes_on(part: Asked, kinds: Iterable[str]) -> bool:
    """Whether a part is short and names none of these kinds itself."""
    short = len(part.text.split()) <= _SHORT and len(part.text) <= _LETTERS
    return short and not any(part.of(kind) for kind in kinds)


def _with_numbers(part: Asked, before: Iterable[Asked]) -> Asked:
    """Who names a measurement and a number asks on which side of it that is, or whether it is just that; or
    what is normal: "is a QTc of 480 normal?", "would 220 be too long?"."""
    numbers = part.of("number")
    last = next(filter(measures_of, before), None)
    pointed = part.of("side") and part.of("number") and not part.strange and not _names_object(part)
    if last is not None and (_goes_on(part, THINGS) or pointed):  # "at least it isn't over 500, is it?"
        measure = {"measure": measures_of(last)}
        if len(numbers) == _RANGE or (numbers and part.of("side")):  # "over 500?"
            return replace(part, intent=_of_number(part), objects={**part.objects, **measure}, sure=1.0)
        other = tuple(_NUMBER.findall(part.text))
        if other and (last.of("number") or not re.search(r"[^\W\d]{3}", part.text)):  # "and 500?"
            kept = {kind: last.of(kind) for kind in ("side", "compared")}
            intent = "range" if last.intent == "range" else "limit"
            return replace(
                last, intent=intent, objects={**measure, **kept, "number": other}, text=part.text, named=()
            )
    defined = measures_of(part) if part.of("finding") and not part.of("lead") else ()
    if defined and part.intent in ("finding", "limit", "within") and _of_number(part) == "range":
        return replace(part, intent="range", objects={**part.objects, "measure": defined}, sure=1.0)
    apart = "difference" in part.variants and measures_of(part)
    if kin(part.intent) == "measure" and numbers and (part.intent != "range" or apart):
        return replace(part, intent=_of_number(part))
    if part.intent in ("amount", "finding") and numbers and part.of("finding"):
        waves = _waves_of(part.of("finding"))
        if waves and part.of("side") == ("low",):  # "ST elevation of less than 2 mm?"
            return replace(part, intent="amount", objects={**part.objects, "wave": waves})
        return replace(part, intent="finding")
    return part


def _of_number(part: Asked) -> str:
    """What is asked of the numbers that a part names: whether one would be normal, or how they compare."""
    told = len(part.of("side")) == 1 or "verdict" in part.of("subject") or part.of("finding")
    apart = part.of("compared") or "difference" in part.variants  # "how many ms more than 120?"
    judged = told and len(part.of("number")) == 1 and not apart
    return "range" if judged else "limit"


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
