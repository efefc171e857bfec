"""Who answers: one function for each row of `data/intents.toml`. Each speaks of what was asked, or says that
it cannot be told; "no" is only said of what can be judged."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import CHILDREN, FINDINGS, RHYTHMS, SIGNS, instead_of
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS
from ecgvlm.words import answers
from ecgvlm.words.compare import compare, described
from ecgvlm.words.comparisons import BOUND
from ecgvlm.words.concepts import concepts, kinds_of
from ecgvlm.words.phrases import Words
from ecgvlm.words.prose import prose
from ecgvlm.words.understand import PLAIN, Asked, kin

SINUS = ("SR", "SB", "ST", "SARRH")  # rhythms from the sinus node
EXAMPLES = ("verdict", "rhythm", "value")  # offered where nothing comes near what was asked
SHOWN_IN = {"STE": "st", "STD": "st", "TINV": "t", "QWAVE": "q"}  # sign -> the wave that shows it
_IN_BEATS = {*answers.GROUPS["ectopy"], "EXTRA", "DROPPED", "PAUSE"}  # found in single beats
_UP_AND_DOWN = ("st", "t")  # waves that may lie above or below the level before the QRS
_EITHER = 2  # sides between which a question lets choose
_ABBREVIATED = 6  # letters of what may be an abbreviation


@dataclass(frozen=True)
class Request:
    """What one answer is made from. earlier: another ECG of the same patient to compare with; closed: whether
    yes or no is wished for."""

    evidence: Evidence
    asked: Asked
    w: Words
    earlier: Evidence | None = None
    closed: bool = False


def reply(name: str, request: Request) -> str:
    """The answer of the function that `data/intents.toml` names."""
    return _REPLIES[name](request)


def _of_page(answer: Callable[[Evidence, Words], str]) -> Callable[[Request], str]:
    return lambda request: answer(request.evidence, request.w)


def _saying(key: str, urgent: bool = False) -> Callable[[Request], str]:
    """A fixed sentence; and what is urgent, where somebody may be waiting for it."""

    def said(request: Request) -> str:
        return request.w.text([request.w.say(key), pressing(request) if urgent else ""])

    return said


def pressing(request: Request) -> str:
    """What is urgent, as reports begin, with the leads of ST elevation; "" where nothing is."""
    evidence, w = request.evidence, request.w
    shown = answers.signs(evidence, ("STE",), w) if "STE" in evidence.urgent else []
    return w.text([answers.urgent(evidence, w), *shown])


def finding(request: Request) -> str:
    """Whether the findings named are there, with what stands beside them or instead."""
    if request.asked.unclear:
        return _told_of(request)
    said = [*each_finding(request), *_instead(request), *_beside(request)]
    counted = "count" in request.asked.variants and not _IN_BEATS.isdisjoint(request.asked.of("finding"))
    return request.w.distinct([*said, request.w.say("uncounted") if counted else ""])


def each_finding(request: Request) -> list[str]:
    """Whether each of the findings named is there; a statement where the question denies it."""
    leads = request.asked.of("lead")
    said = [_finding(request, code, name, leads) for code, name in _called(request)]
    return [request.w.stated(text) for text in said] if request.asked.denied else said


def report(request: Request) -> str:
    """The report for who it is asked for, or without what is left out."""
    evidence, asked, w = request.evidence, request.asked, request.w
    if left_out := asked.of("without"):
        return answers.report(evidence, w, left_out)
    return prose(evidence, asked.of("style"), w)


def findings(request: Request) -> str:
    """All findings, or those beside what is left out; of that, what is not there."""
    evidence, w = request.evidence, request.w
    left_out = request.asked.of("without")
    if not left_out:
        return answers.findings(evidence, w)
    labels = [code for code in left_out if code in FINDINGS or code in concepts()]
    lacking = [code for code in labels if not _meant(code) & set(evidence.findings)]
    gone = {label for code in left_out for label in _meant(code)}
    if lacking == labels and set(labels) & set(RHYTHMS):  # "is it anything but sinus rhythm?"
        return w.text([answers.rhythm(evidence, w), answers.others(evidence, "", gone | set(RHYTHMS), w)])
    absent = [w.stated(_finding(request, code, code)) for code in lacking]
    called = [w.called(code) or code for code in labels]
    return w.text([*absent, answers.others(evidence, w.listed(called), gone, w)])


def _meant(code: str) -> set[str]:
    """The findings that a group, a superclass or a concept stands for."""
    if code == "rhythm":
        return set(RHYTHMS)
    return {code, *answers.GROUPS.get(code, ()), *kinds_of(code), *concepts().get(code, {}).get("any", ())}


def _instead(request: Request) -> list[str]:
    """The rhythm, where none of the rhythms named was found and it is more than plain sinus rhythm."""
    evidence, named = request.evidence, set(request.asked.of("finding")) & set(RHYTHMS)
    plain = answers.rhythms(evidence) == ["SR"]
    return (
        [] if plain or not named or named & set(evidence.findings) else [answers.rhythm(evidence, request.w)]
    )


def _beside(request: Request) -> list[str]:
    """The findings that stand beside those named, or for them."""
    evidence, w, named = request.evidence, request.w, request.asked.of("finding")
    related = [x for code in named for x in kinds_of(code)]
    related += [
        x for code in named if _matters(evidence, code) for x in concepts().get(code, {}).get("beside", ())
    ]
    found = answers.specific(evidence, [x for x in dict.fromkeys(related) if x not in named])
    return [w.say("findings", findings=w.listed(map(w.finding, found)))] if found else []


def _matters(evidence: Evidence, code: str) -> bool:
    """Whether what stands beside a finding helps: beside one that is absent its relatives, beside a
    measurement or rhythm out of its limits the reasons."""
    concept = concepts().get(code, {})
    if code in evidence.probabilities:
        return code not in evidence.findings
    if "limit" in concept:
        name, side = concept["limit"]
        return evidence.measurements[name] is not None and answers.side_of(evidence, name) == side
    return evidence.regularity in ("irregular", "slightly irregular")


def _called(request: Request) -> list[tuple[str, str]]:
    """The findings named: the code of each and how the question calls it, never more of its text. A slow,
    fast or breathing sinus rhythm is one, too."""
    codes, names = request.asked.of("finding"), request.asked.named
    called = list(zip(codes, names if len(names) == len(codes) else codes))
    sinus = [code for code in SINUS if code in request.evidence.findings]
    if "SR" in codes and sinus and "SR" not in sinus:
        return [pair for pair in called if pair[0] != "SR"] + [(code, code) for code in sinus]
    return called


def _finding(request: Request, code: str, name: str, leads: tuple[str, ...] = ()) -> str:
    """name: how the question calls it."""
    evidence, w = request.evidence, request.w
    concept = concepts().get(code, {})
    located = leads or _numbers(request) or evidence.where(code) if "sign" in concept else ()
    if code in evidence.probabilities and not located:
        said = [answers.finding(evidence, code, w)]
        if "limit" in concept:
            said.append(answers.measurement(evidence, concept["limit"][0], w))
        if "sign" in concept:
            said.append(answers.single(evidence, code, w))
        return w.text(said)
    if code in evidence.unassessable:
        return w.say("unassessable", finding=w.finding(code))
    if "any" in concept:
        return _any(request, concept["any"])
    if "all" in concept:
        return w.text(_finding(request, part, part) for part in concept["all"])
    if "limit" in concept:
        measure, side = concept["limit"]
        return answers.limit(evidence, measure, side, w)
    if "sign" in concept:
        sign, numbers = concept["sign"], _numbers(request)
        if leads or numbers:
            named = leads or evidence.leads_with(sign) or LEADS
            least = max(numbers) if numbers else None
            return w.text(answers.lead_sign(evidence, sign, lead, w, least) for lead in named)
        return _sign(request, sign)
    if "territory" in concept:
        return _infarct_pattern(request, concept["territory"], leads)
    if "rhythm" in concept:
        return _irregular(request)
    beside = [_fact(request, near) for near in concept["near"]]
    called = w.names["findings"].get(code) or (
        name if name in request.asked.named else w.called(code) or code
    )
    return w.text([w.say("outside_named", finding=called), *(beside or [pressing(request)])])


def _numbers(request: Request) -> list[float]:
    return [float(number) for number in request.asked.of("number")]


def _any(request: Request, codes: Collection[str]) -> str:
    evidence, w = request.evidence, request.w
    found = [code for code in codes if _holds(evidence, code)]
    kinds = answers.specific(evidence, [code for code in found if code in evidence.probabilities])
    found = [code for code in found if code not in evidence.probabilities or code in kinds]
    if found:
        return w.text(_finding(request, code, code) for code in found)
    asked = [code for code in codes if not set(FINDINGS[code].parents) & set(codes)]
    asked = [code for code in asked if code not in evidence.possible]
    hidden = [code for code in asked if not _judged(evidence, code) or answers.unseen(evidence, code)]
    seen = [w.finding(code) for code in asked if code not in hidden]
    said = [w.say("none_of", findings=w.listed(seen))] if seen else []
    said.append(answers.possible(evidence, list(codes), w))
    if hidden:
        said.append(w.say("unassessable", finding=w.listed(map(w.finding, hidden))))
    return w.text(said)


def _judged(evidence: Evidence, code: str) -> bool:
    return code in evidence.probabilities or code in SIGNS


def _holds(evidence: Evidence, code: str) -> bool:
    if code in evidence.probabilities:
        return code in evidence.findings
    return code in SIGNS and bool(evidence.beside(code))


def _sign(request: Request, sign: str) -> str:
    evidence, w = request.evidence, request.w
    if said := answers.possible(evidence, (sign,), w) or answers.single(evidence, sign, w):
        return said
    if leads := evidence.where(sign) or evidence.leads_with(sign):
        return w.say("sign_yes", sign=w.name("signs", sign), leads=w.listed(leads))
    return _sign_denied(evidence, sign, w) or w.say("sign_no", sign=w.name("signs", sign))


def _sign_denied(evidence: Evidence, sign: str, w: Words) -> str:
    """Says that no lead shows a sign and which ones cannot be seen; "" where all can."""
    missing = [lead for lead in LEADS if evidence.leads[lead] is None]
    flat = set(missing) <= set(evidence.no_signal)
    key = "sign_no_signal" if flat else "sign_no_printed"
    return w.say(key, sign=w.name("signs", sign), leads=w.listed(missing)) if missing else ""


def _infarct_pattern(request: Request, sign: str, named: tuple[str, ...] = ()) -> str:
    """named: the leads that are asked about."""
    evidence, w = request.evidence, request.w
    if leads := evidence.where(sign):
        said = w.say("stemi_yes", leads=w.listed(leads))
        if not named or set(named) & set(leads):
            return said
        elsewhere = (answers.lead_sign(evidence, sign, lead, w) for lead in named)
        return w.text([*elsewhere, w.stated(said)])
    if said := answers.possible(evidence, (sign,), w):
        return said
    if evidence.ventricular or evidence.beyond_scope(sign):
        return w.say("unassessable", finding=w.name("signs", sign))
    if denied := _sign_denied(evidence, sign, w):
        return denied
    found = [_fact(request, label) for label in answers.specific(evidence, answers.GROUPS["infarction"])]
    return w.text([w.say("stemi_no"), *found])


def _irregular(request: Request) -> str:
    evidence, w = request.evidence, request.w
    if evidence.regularity == "unknown":
        return w.say("regular_unknown")
    key = "irregular_no" if evidence.regularity == "regular" else "irregular_yes"
    return w.say(key, regularity=w.name("regularities", evidence.regularity))


def _fact(request: Request, code: str) -> str:
    """What the page says of a finding, measurement or sign, without a yes or no."""
    evidence, w = request.evidence, request.w
    if code == "rhythm":
        return answers.regular(evidence, w)
    if code == "R":
        return w.text(
            answers.lead_amount(evidence, "r", lead, w) for lead in ("aVL", "V5") if evidence.leads[lead]
        )
    if code in MEASUREMENTS:
        return answers.within(evidence, code, w) if _limited(code) else answers.measurement(evidence, code, w)
    concept = concepts().get(code, {})
    if code in evidence.probabilities and not concept.keys() & {"limit", "sign"}:
        return answers.likelihood(evidence, code, w)
    if "limit" in concept:
        return answers.measurement(evidence, concept["limit"][0], w)
    if "rhythm" in concept:
        return answers.regular(evidence, w)
    return answers.leads_list(evidence, concept["sign"], w) if "sign" in concept else ""


def _limited(measurement: str) -> bool:
    known = MEASUREMENTS[measurement]
    return known.low is not None or known.high is not None


def where(request: Request) -> str:
    """The leads that show what is named, or any sign where nothing is."""
    if not request.asked.of("finding"):
        shown = answers.signs(request.evidence, SIGNS, request.w)
        return request.w.text(shown) or _sign_listed(request, "STE")
    said = []
    for code, name in _kinds(request):
        concept = concepts().get(code, {})
        sign = concept.get("sign") or concept.get("territory")
        if sign:
            said.append(_sign(request, sign))
        else:
            said += [_finding(request, code, name), *_shown_by(request, code)]
    return request.w.text(dict.fromkeys(map(request.w.stated, said)))


def _kinds(request: Request) -> list[tuple[str, str]]:
    """The findings named, a superclass by those of its kinds that were found: they say where."""
    called: list[tuple[str, str]] = []
    for code, name in _called(request):
        found = [kind for kind in kinds_of(code) if kind in request.evidence.findings]
        called += [(kind, kind) for kind in found] or [(code, name)]
    return list(dict.fromkeys(called))


def _shown_by(request: Request, code: str) -> list[str]:
    parts = concepts().get(code, {}).get("shown_by", ())
    return [_fact(request, part) for part in parts]


def likelihood(request: Request) -> str:
    """The probability of what is named, of each of its kinds where it stands for several, or of what was
    found."""
    evidence, w = request.evidence, request.w
    said = []
    for code, name in _called(request) or _found(evidence):
        kinds = [x for x in (code, *concepts().get(code, {}).get("any", ())) if x in evidence.probabilities]
        said += [answers.likelihood(evidence, x, w) for x in kinds] or [_finding(request, code, name)]
    return w.text(said) or answers.overall(evidence, w)


def why(request: Request) -> str:
    """What speaks for or against the findings named, or for those of the verdict."""
    evidence, w = request.evidence, request.w
    named = _called(request)
    if measures := request.asked.of("measure") if not named else ():
        return w.text([within(request), *(_range(request, name) for name in _corrected(measures))])
    said = []
    for code, name in named or _found(evidence):
        said.append(_finding(request, code, name))
        weighed = answers.why(evidence, code, w)
        said += [weighed, *_outdone(request, code)] if weighed else _shown_by(request, code)
    return w.text(dict.fromkeys([*said, *_beside(request)])) or answers.overall(evidence, w)


def _outdone(request: Request, code: str) -> list[str]:
    """What was found instead of a finding of which no condition is unmet, but that it leaves no room for."""
    evidence, w = request.evidence, request.w
    if code in evidence.findings or any(criterion.met is False for criterion in evidence.why(code)):
        return []
    found = answers.named(evidence)
    if code != "NORM":
        instead = instead_of(code, found)
        found = [x for x in found if code in FINDINGS[x].excludes or x in instead]
    return [w.say("findings", findings=w.listed(map(w.finding, found)))] if found else []


def _told_of(request: Request) -> str:
    """What there is to say of the findings named: whether they are there, why, and what they are."""
    w, said = request.w, [why(request), *_instead(request)]
    for code, name in _called(request):
        called = w.called(code) or _written(name)
        said.append(_meaning(code, called, w) if w.meaning(code) else "")
    return w.distinct(filter(None, said))


def _found(evidence: Evidence) -> list[tuple[str, str]]:
    """What the verdict says was found."""
    normal = ("NORM",) if "NORM" in evidence.findings else ()
    return [(x, x) for x in (*normal, *answers.beside_rhythm(evidence), *answers.rhythms(evidence))]


def define(request: Request) -> str:
    """What an abbreviation stands for, what it means and how it is defined, with what the page says of it."""
    evidence, w = request.evidence, request.w
    said = []
    for code, name in _called(request):
        called = w.called(code) or _written(name)
        named = name in request.asked.named or code in FINDINGS
        short = named and " " not in name and len(name) <= _ABBREVIATED
        if short and w.called(code) and name.casefold() not in called.casefold():
            said.append(w.say("stands_for", named=_written(name), finding=called))
        said += [_meaning(code, called, w), _finding(request, code, name)]
        said.append(answers.why(evidence, code, w))
    for name in request.asked.of("measure") if not said else ():
        said += [_meaning(name, w.name("measures", name), w), _range(request, name)]
        said.append(answers.measurement(evidence, name, w))
    if waves := request.asked.of("wave") if not said else ():
        said = [*(w.name("waves", name) for name in waves), wave(request)]
    return w.distinct(filter(None, said)) or w.text([w.say("no_definitions"), answers.verdict(evidence, w)])


def _written(name: str) -> str:
    """What may be an abbreviation, as such are written."""
    return name.upper() if name.islower() and len(name) <= _ABBREVIATED else name


def _meaning(code: str, called: str, w: Words) -> str:
    meaning = w.meaning(code)
    return w.say("means", named=called, meaning=meaning) if meaning else w.say("no_definitions")


def group(request: Request) -> str:
    return request.w.text(
        answers.group(request.evidence, name, request.w) for name in request.asked.of("group")
    )


def value(request: Request) -> str:
    evidence, w, units = request.evidence, request.w, request.asked.of("unit")
    said = []
    for name in request.asked.of("measure"):
        said += [answers.measurement(evidence, name, w)] if PLAIN in units else []
        said.append(answers.measurement(evidence, name, w, units))
    return w.distinct(said)


def limit(request: Request) -> str:
    """Whether the measurements named lie beyond the number that is asked for, or their limit of normal; the
    values where they are compared with each other."""
    sides, units = request.asked.of("side"), request.asked.of("unit")
    variants, names = request.asked.variants, request.asked.of("measure")
    numbers = _numbers(request)
    if len(numbers) == 1 and "difference" in variants:  # "by how much does it exceed 120?"
        return request.w.text(
            answers.difference(request.evidence, name, numbers[0], request.w, units) for name in names
        )
    if numbers and "factor" in variants:  # "over twice the limit of 120?", "over 200 if I add 50?"
        return value(request)
    if numbers:
        bound, closed = not set(BOUND).isdisjoint(request.asked.of("compared")), request.closed
        compared = (
            answers.compared(request.evidence, name, sides, numbers, request.w, units, bound, closed)
            for name in names
        )
        return request.w.text(map(request.w.stated, compared) if request.asked.denied else compared)
    if not sides and len(names) > 1:  # compared with each other
        return value(request)
    if len(sides) != 1 or request.asked.denied:  # "left or right?"
        return within(request)
    side, said = sides[0], []
    for name in _corrected(names):
        if getattr(MEASUREMENTS[name], side) is None:  # a narrow QRS is a normal one
            said.append(answers.within(request.evidence, name, request.w))
        else:
            said.append(answers.limit(request.evidence, name, side, request.w))
    return request.w.text(said)


def within(request: Request) -> str:
    evidence, w, names = request.evidence, request.w, _corrected(request.asked.of("measure"))
    clear = all(evidence.measurements[name] is not None and not evidence.borderline(name) for name in names)
    if request.closed and clear and len(request.asked.of("side")) < _EITHER:
        normal = all(answers.side_of(evidence, name) == "normal" for name in names)
        return w.sentence(w.yes if normal else w.no)
    return w.text(answers.within(evidence, name, w) for name in names)


def _corrected(measures: Iterable[str]) -> list[str]:
    """Only the QT that is corrected for the rate has limits."""
    return list(dict.fromkeys("qtc_ms" if name == "qt_ms" else name for name in measures))


def normal_range(request: Request) -> str:
    said = []
    for name in _corrected(request.asked.of("measure")):
        said += [_range(request, name), answers.measurement(request.evidence, name, request.w)]
    return request.w.text(said)


def _range(request: Request, name: str) -> str:
    w, known = request.w, MEASUREMENTS[name]
    called = w.name("measures", name)
    if known.high is None:
        return w.say("range_none", measure=called)
    high = w.quantity(name, known.high)
    if known.low is None:
        return w.say("range_to", measure=called, high=high)
    return w.say("range_between", measure=called, low=w.quantity(name, known.low), high=high)


def amount(request: Request) -> str:
    """The height of waves in the leads named, or in those that show a sign of them; the tallest or smallest
    of all where that is asked for."""
    evidence, w = request.evidence, request.w
    said = []
    for name in request.asked.of("wave"):
        if name == "p":
            said.append(w.say("p_wave"))
            continue
        leads = request.asked.of("lead") or _showing(request, name)
        chosen = _extreme(request, name, leads)
        said += [answers.lead_amount(evidence, name, lead, w, request.asked.of("unit")) for lead in chosen]
    return w.text(dict.fromkeys(said))


def _showing(request: Request, wave: str) -> tuple[str, ...]:
    """The leads that show a sign of a wave, of those asked for where any is; all printed where none does."""
    evidence = request.evidence
    signs = [sign for sign, shown in SHOWN_IN.items() if shown == wave]
    signs = [sign for sign in signs if sign in request.asked.of("finding")] or signs
    most = {"most", "least"} & set(request.asked.variants)
    shown = [lead for lead in LEADS if not most and any(lead in evidence.leads_with(sign) for sign in signs)]
    return tuple(shown or [lead for lead in LEADS if evidence.leads[lead]])


def _extreme(request: Request, wave: str, leads: tuple[str, ...]) -> tuple[str, ...]:
    """Of the leads the one with the tallest or smallest wave where that is asked for, else all."""
    asked = {*request.asked.variants, *request.asked.of("finding")}
    choose = max if "most" in asked else min if "least" in asked else None
    size: Callable[[float], float] = abs
    if wave in _UP_AND_DOWN and asked & {"elevation", "STE"}:
        size = float
    elif wave in _UP_AND_DOWN and asked & {"depression", "STD", "TINV"}:
        size = operator.neg
    sizes = {lead: size(getattr(waves, wave)) for lead in leads if (waves := request.evidence.leads[lead])}
    return (choose(sizes, key=sizes.__getitem__),) if choose and sizes else leads


def wave(request: Request) -> str:
    """A wave in all leads."""
    evidence, w = request.evidence, request.w
    said = []
    for name in request.asked.of("wave"):
        if name == "p":
            said += [w.say("p_wave"), answers.measurement(evidence, "pr_ms", w)]
        elif name in ("t", "q"):
            said.append(_sign_listed(request, {"t": "TINV", "q": "QWAVE"}[name]))
        elif name == "st":
            said += [_sign_listed(request, "STE"), _sign_listed(request, "STD")]
        else:
            said += [
                answers.lead_amount(evidence, name, lead, w) for lead in LEADS[6:] if evidence.leads[lead]
            ]
    return w.text(said)


def _sign_listed(request: Request, sign: str) -> str:
    return answers.leads_list(request.evidence, sign, request.w)


def lead(request: Request) -> str:
    return request.w.text(
        answers.lead(request.evidence, name, request.w) for name in request.asked.of("lead")
    )


def printed(request: Request) -> str:
    leads, w = request.asked.of("lead"), request.w
    if not leads:
        return answers.printed(request.evidence, w)
    return w.text(
        w.say("lead_printed", lead=name)
        if request.evidence.leads[name] is not None
        else answers.unseen_lead(request.evidence, name, w)
        for name in leads
    )


def problems(request: Request) -> str:
    """What is odd about the page; who asks for exchanged electrodes is told first where they are not."""
    evidence, w = request.evidence, request.w
    fine = "swapped" in request.asked.variants and "limb_leads" not in evidence.cautions
    return w.text([w.say("electrodes_fine") if fine else "", answers.problems(evidence, w)])


def urgency(request: Request) -> str:
    """What is urgent; where nothing is, what may be, and an infarction, which may be an old one."""
    evidence, w = request.evidence, request.w
    if said := pressing(request):
        return said
    likely = answers.possible(evidence, [code for code in FINDINGS if FINDINGS[code].urgency], w)
    infarcts = [code for code in ("MI", *CHILDREN["MI"]) if code in evidence.findings]
    found = [w.finding(code) for code in answers.specific(evidence, infarcts)]
    undated = [w.say("findings", findings=w.listed(found)), w.say("cause")] if found else []
    return w.text([w.say("urgent_none"), likely, *undated])


def earlier(request: Request) -> str:
    """What has changed, where there is another ECG to compare with."""
    if request.earlier is None:
        return _saying("earlier", urgent=True)(request)
    return described(compare(request.earlier, request.evidence), request.w)


def unsure(request: Request) -> str:
    """The nearest questions that can be answered; what may lie beyond the ECG is refused with them. Beside
    what is answered only which part of the question was not understood."""
    if request.asked.of("part"):
        return request.w.say("part_unclear", number=request.asked.of("part")[0])
    examples = request.w.names["examples"]
    asked = request.asked
    near = [intent for intent in (asked.intent, *asked.others, *asked.near) if intent in examples]
    apart = {kin(intent): intent for intent in reversed([*near, *EXAMPLES])}  # the nearest of each family
    offered = list(reversed(apart.values()))[: len(EXAMPLES)]
    said = request.w.say("unsure", examples=request.w.text(examples[intent] for intent in offered))
    if asked.beyond <= 0:
        return said
    return request.w.text([request.w.say("only_this_ecg"), pressing(request), said])


def nothing_asked(request: Request) -> str:
    """What may be asked, after what was only told; what is urgent all the same."""
    w = request.w
    said = w.say("nothing_asked", examples=w.text(w.names["examples"][intent] for intent in EXAMPLES))
    return w.text([pressing(request), said])


_REPLIES: dict[str, Callable[[Request], str]] = {
    "verdict": _of_page(answers.overall),
    "report": report,
    "diagnosis": _of_page(answers.diagnosis),
    "findings": findings,
    "rhythm": _of_page(answers.rhythm),
    "regular": _of_page(answers.regular),
    "layout": _of_page(answers.layout),
    "scale": _of_page(answers.scale),
    "quality": _of_page(answers.quality),
    "cabrera": _of_page(answers.cabrera),
    "problems": problems,
    "unchanged": _of_page(answers.unchanged),
    "order": lambda request: request.w.text([answers.order(request.evidence, request.w), pressing(request)]),
    "advice": _saying("advice", urgent=True),
    "prognosis": _saying("prognosis", urgent=True),
    "cause": _saying("cause", urgent=True),
    "other_tests": _saying("other_tests", urgent=True),
    "identity": _saying("identity", urgent=True),
    "unknown_finding": _saying("outside", urgent=True),
    "hello": _saying("hello"),
    "thanks": _saying("thanks"),
    "oneself": _saying("oneself", urgent=True),
    "off_topic": _saying("off_topic", urgent=True),
    "finding": finding, "where": where, "likelihood": likelihood, "why": why, "define": define, "group":
    group,
    "value": value, "limit": limit, "within": within, "normal_range": normal_range, "amount": amount,
    "wave": wave, "lead": lead, "printed": printed, "urgency": urgency, "earlier": earlier, "unsure": unsure,
    "nothing_asked": nothing_asked,
}  # fmt: skip
