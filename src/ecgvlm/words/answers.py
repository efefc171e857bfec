"""What the evidence answers, in words of any language: the one place where sentences about a page are chosen.

Every function is pure and states nothing but what its `Evidence` holds, so the decoder's targets, the rows of
an instruction data set and the tests of agreement all say the same. w: the language to say it in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ecgvlm.judge.agreement import EVEN_ODDS
from ecgvlm.judge.criteria import SEX_UNKNOWN, Criterion
from ecgvlm.judge.evidence import BEHIND, HEDGE, POOR_QUALITY, Evidence, say_scale
from ecgvlm.judge.facts import ERRORS
from ecgvlm.judge.grounding import DROP, Ground
from ecgvlm.labels import CHILDREN, FINDINGS, OF_SHAPES, RHYTHMS, SUPERCLASSES, in_group, instead_of
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS
from ecgvlm.words.phrases import ENGLISH, Words

_NORTHWEST = -90  # degrees; an axis beyond it is an extreme one
_SECONDS = 3  # an interval is said in seconds where its number is smaller
_MM_PER_MV = 10
_SQUARES = {"small": 1, "large": 5}  # mm of the paper
# The leads that show a finding; where half of them are missing it cannot be denied.
_CHEST, _SIDES = ("V1", "V2", "V3", "V4"), ("I", "aVL", "V5", "V6")
_SEEN_IN: dict[str, tuple[str, ...]] = {
    "AMI": _CHEST, "IMI": ("II", "III", "aVF"), "LMI": _SIDES, "MI": _CHEST, "LVH": ("V1", "V2", "V5", "V6"),
    "RBBB": ("V1",), "IRBBB": ("V1",), "LBBB": ("V1",), "CD": ("V1",), "PRWP": _CHEST, "STTC": LEADS,
}  # fmt: skip
_INFARCTIONS = {"MI", *CHILDREN["MI"]}
_UNDER_PACING = ("AF", "AFLT")  # what the atria do while a pacemaker sets the pace of the ventricles
_IN_TIME = ("rhythm", "ectopy")  # groups that are told from beat to beat
_TIMED = ("SB", "ST", "SARRH")  # judged by the times of the beats alone
_OF_FINDINGS = {"unsure"}  # cautions that say nothing of the page or the recording
_WITHOUT_BEATS = {"averaged", "no_qrs"}
# What reports say, heading by heading.
GROUPS = {name: in_group(name) for name in ENGLISH.names["none"]}
OUTSIDE = ENGLISH.say("outside")
UNANSWERABLE = ENGLISH.say("unanswerable")
HELLO = ENGLISH.say("hello")
sentence = ENGLISH.sentence


_SECTION_OF = {
    "axis_deg": "axis", "all": "intervals", "pr_ms": "intervals", "qrs_ms": "intervals",
    "qt_ms": "intervals", "qtc_ms": "intervals", "regular": "rhythm",
}  # fmt: skip


# Findings in which atria beat faster than ventricles -> the condition (finding, name) that counts them.
_COUNTED = {"AFLT": ("AFLT", "their rate"), "HAVB": ("SR", "sinus rate")}
_FASTER = 1.1  # than the ventricles; below that they are no faster within the error of counting


def rhythms(evidence: Evidence) -> list[str]:
    """The rhythms found; plain sinus rhythm goes without saying beside a more special one."""
    found = [label for label in RHYTHMS if label in evidence.findings]
    return found if found == ["SR"] else [label for label in found if label != "SR"]


def specific(evidence: Evidence, labels: Iterable[str]) -> list[str]:
    """The labels among these that were found, a superclass only where nothing says it better: no ST-T change
    is one of the QT interval."""
    found = [label for label in labels if label in evidence.findings]
    implied = {parent for label in found for parent in FINDINGS[label].parents}
    rest = [label for label in found if label not in implied]
    better = [label for label in rest if label not in SUPERCLASSES]
    return better if any(FINDINGS[label].one_of != "QT" for label in better) else rest


def beside_rhythm(evidence: Evidence) -> list[str]:
    """All findings that are no rhythm, from conduction to low voltage."""
    found = [label for group in GROUPS.values() for label in specific(evidence, group)]
    found += specific(evidence, in_group("voltage"))
    return sorted(found, key=lambda label: -FINDINGS[label].urgency)


def word(evidence: Evidence, w: Words = ENGLISH) -> str:
    if "NORM" in evidence.findings:
        return w.say("normal")
    return w.say("not_assessable" if evidence.incomplete else "abnormal")


def verdict(evidence: Evidence, w: Words = ENGLISH) -> str:
    """The one-line answer: "ABNORMAL - Atrial Fibrillation with Left Ventricular Hypertrophy". The axis is
    left to the report where something else is found, but for a conduction disturbance that nothing else tells
    of."""
    rhythm = w.listed(map(w.title, rhythms(evidence))) or w.say("undetermined_rhythm")
    axis = [] if evidence.ventricular else specific(evidence, in_group("axis"))
    found = beside_rhythm(evidence)
    if axis and "CD" in found and not evidence.wide:  # all that is known of it
        found[found.index("CD")] = axis[0]
    others = w.listed(map(w.title, found or axis))
    if others:
        return w.say("verdict_with", word=word(evidence, w), rhythm=rhythm, findings=others)
    return w.say("verdict", word=word(evidence, w), rhythm=rhythm)


def overall(evidence: Evidence, w: Words = ENGLISH) -> str:
    """The one-line answer with the leads that could not speak."""
    if not evidence.no_signal:
        return verdict(evidence, w)
    return f"{verdict(evidence, w)} ({w.say('no_signal', leads=w.listed(evidence.no_signal))})"


def finding(evidence: Evidence, label: str, w: Words = ENGLISH) -> str:
    """Whether a label was found, with its probability; close to the threshold the wording is careful. What
    is not found is only denied where it could be seen and is rather absent than there."""
    m, percent = evidence.margin(label), w.percent(evidence.probability(label))
    if label == "NORM" and evidence.incomplete:
        return w.say("incomplete")
    if m < 0 and "STE" in evidence.findings and _where_raised(evidence, label):
        return _fits_stemi(evidence, w)
    if label in evidence.possible:
        return possible(evidence, (label,), w)
    if m < 0 and unseen(evidence, label):
        return w.say("unassessable", finding=w.finding(label))
    if label == "NORM":
        return w.say("normal_yes" if m >= 0 else "normal_no", percent=percent)
    if m >= 0:
        key = "finding_yes" if m >= HEDGE else "finding_probably"
    else:
        key = "finding_no" if m < -HEDGE else "finding_hardly"
    return w.say(key, finding=w.finding(label), percent=percent)


def possible(evidence: Evidence, labels: Collection[str], w: Words = ENGLISH) -> str:
    """What is possible among these labels without being called, with the leads that speak for it and its
    probability; "" where nothing is."""
    said = [
        w.say(
            "converted",
            value=w.finding(label),
            others=w.listed([*evidence.defined_in(label), w.percent(evidence.probability(label))]),
        )
        for label in evidence.possible
        if label in labels
    ]
    return w.say("possible", findings=w.listed(said)) if said else ""


def unseen(evidence: Evidence, label: str) -> bool:
    """Whether too little can be seen on the page to say that a finding is not there."""
    row = FINDINGS[label]
    if row.group in OF_SHAPES and evidence.ventricular and not instead_of(label, evidence.findings):
        return True
    if any(evidence.beyond_scope(code) for code in (label, *CHILDREN.get(label, ()))):
        return True
    if _WITHOUT_BEATS & set(evidence.cautions) and (row.group in _IN_TIME or row.one_of == "AV block"):
        return True
    if label in _UNDER_PACING and "PACE" in evidence.findings and evidence.wide:
        return True
    if not evidence.criteria and not any(evidence.leads.values()):
        return False  # labels alone, of no page
    if row.group == "conduction" and row.one_of != "AV block" and evidence.measurements["qrs_ms"] is None:
        return True
    if label == "IVCD" and _wide_by_itself(evidence):
        return True
    missing = [lead for lead in _SEEN_IN.get(label, ()) if evidence.leads[lead] is None]
    return bool(missing) and 2 * len(missing) >= len(_SEEN_IN[label])


def _where_raised(evidence: Evidence, label: str) -> bool:
    """Whether a label is an infarction of no wall, or of one that has ST elevation."""
    return label == "MI" or (label in _INFARCTIONS and bool({*_SEEN_IN[label]} & {*evidence.where("STE")}))


def _fits_stemi(evidence: Evidence, w: Words) -> str:
    """What is said instead of denying an infarction beside ST elevation."""
    return w.say("stemi_yes", leads=w.listed(evidence.where("STE")))


def _wide_by_itself(evidence: Evidence) -> bool:
    """Whether a QRS is wide beyond doubt, but what makes it so is not found."""
    found = set(BEHIND["qrs_ms", "high"]) & set(evidence.findings)
    return not found and evidence.wide and not evidence.borderline("qrs_ms")


def likelihood(evidence: Evidence, label: str, w: Words = ENGLISH) -> str:
    percent = w.percent(evidence.probability(label))
    return w.say("likelihood", finding=w.finding(label), percent=percent)


def _value(evidence: Evidence, measurement: str, w: Words) -> str | None:
    value = evidence.measurements[measurement]
    return None if value is None else w.quantity(measurement, value)


def _placed(evidence: Evidence, measurement: str, w: Words) -> str | None:
    """A measurement with what decides where it lies, where that is another number."""
    value, other = _value(evidence, measurement, w), _fridericia(evidence, measurement, w)
    return w.say("converted", value=value, others=other) if value and other else value


def _fridericia(evidence: Evidence, measurement: str, w: Words) -> str:
    """The QTc by the formula that counts where Bazett's overdoes it, where either is beyond its limits; ""
    elsewhere."""
    if measurement != "qtc_ms" or evidence.measurements[measurement] is None:
        return ""
    if {evidence.limit(measurement), side_of(evidence, measurement)} == {"normal"}:
        return ""
    counted = w.quantity(measurement, evidence.counted(measurement))
    return "" if counted == _value(evidence, measurement, w) else f"Fridericia: {counted}"


def _missing(evidence: Evidence, measurement: str, w: Words) -> str:
    reason = evidence.reason(measurement)
    reason = "no_signal" if reason == "not_printed" and evidence.no_signal else reason
    return w.say("missing", measure=w.name("measures", measurement), reason=w.name("reasons", reason))


def measurement(evidence: Evidence, name: str, w: Words = ENGLISH, units: Collection[str] = ()) -> str:
    """units: as of `_sought`, to say it in as well."""
    value = evidence.measurements[name]
    if value is None:
        return _missing(evidence, name, w)
    sought = _sought(name, value, units, w)
    said, others = w.in_unit(sought.unit, sought.value), _converted(evidence, name, sought, units, w)
    if others:
        said = w.say("converted", value=said, others=w.listed(others))
    return w.say("measurement", measure=sought.called, value=said)


@dataclass(frozen=True)
class _Sought:
    """A measurement as it is asked for. error: of measuring it on paper, in its unit as the value."""

    called: str
    value: float
    error: float
    unit: str


def _sought(name: str, value: float, units: Collection[str], w: Words) -> _Sought:
    """units: of "s", "small" and "large" squares of the paper, "fridericia" for that formula, and "rr"; a
    heart rate as "rr" or in squares is the RR interval."""
    if name != "heart_rate_bpm" or {"rr", *_SQUARES}.isdisjoint(units):
        return _Sought(w.name("measures", name), value, ERRORS[name], MEASUREMENTS[name].unit)
    rr = 60_000 / value
    return _Sought(w.say("rr"), rr, rr * ERRORS[name] / value, "ms")


def _converted(evidence: Evidence, name: str, sought: _Sought, units: Collection[str], w: Words) -> list[str]:
    """A time in seconds and squares of this page's paper, the QTc by another formula."""
    said = []
    if sought.unit == "ms" and "s" in units:
        said.append(w.say("s", number=w.number(f"{sought.value / 1000:.3f}")))
    for unit in _SQUARES:
        if sought.unit == "ms" and unit in units:
            said.append(w.say(unit, number=w.number(f"{sought.value / _square_ms(evidence, unit):.1f}")))
    qt = evidence.measurements["qt_ms"]
    if name == "qtc_ms" and "fridericia" in units and qt is not None:
        by_cube_root = qt ** (1 / 3) * sought.value ** (2 / 3)  # of RR, where Bazett's is by its square root
        said.append(f"Fridericia: {w.in_unit('ms', by_cube_root)}")
    return said


def _square_ms(evidence: Evidence, unit: str) -> float:
    return 1000 * _SQUARES[unit] / evidence.mm_per_s


def _in_ms(evidence: Evidence, number: float, units: Collection[str]) -> float:
    """A number of squares of this page's paper, of seconds or of ms in ms."""
    square = next((unit for unit in _SQUARES if unit in units), None)
    if square is not None:
        return number * _square_ms(evidence, square)
    return 1000 * number if abs(number) < _SECONDS else number


def limit(evidence: Evidence, name: str, side: str, w: Words = ENGLISH) -> str:
    """Whether a measurement lies beyond its lower ("low") or upper ("high") limit of normal; neither yes nor
    no where that is borderline."""
    value = _placed(evidence, name, w)
    if not value:
        return _missing(evidence, name, w)
    beyond = evidence.counted_limit(name) == side
    if beyond and evidence.borderline(name):
        return within(evidence, name, w)
    key = "limit_yes" if beyond else "limit_no"
    return w.say(key, measure=w.name("measures", name), value=value)


def compared(
    evidence: Evidence, name: str, sides: Sequence[str], numbers: Sequence[float], w: Words = ENGLISH,
    units: Collection[str] = (), bound: bool = False, closed: bool = False,
) -> str:  # fmt: skip
    """Whether a measurement, as it is written, lies beyond a number ("high", "low"; bound: or just there),
    between two, or is just that: if not, that it is not, neither yes nor no unless nothing else will do
    (closed), as a side may have been meant that was not understood. numbers: in the measurement's unit, or
    squares where units has them; intervals also in seconds."""
    value = evidence.measurements[name]
    if value is None:
        return _missing(evidence, name, w)
    sought = _sought(name, value, units, w)
    if sought.unit == "ms":
        numbers = [_in_ms(evidence, number, units) for number in numbers]
    shown = round(sought.value)
    either = len(sides) > 1 and len(numbers) == 1  # "over or under 100?"
    # An axis beyond -30 lies further left to one, at -20 to another.
    if either or (numbers[0] < 0 and "high" in sides):
        return measurement(evidence, name, w, units)
    said, same = w.in_unit(sought.unit, sought.value), shown == round(numbers[0])
    if len(numbers) > 1:
        yes = (min(numbers) <= shown <= max(numbers)) != _apart(sides, numbers)
    elif "high" in sides:
        yes = shown > numbers[0] or (bound and same)
    elif "low" in sides:
        yes = shown < numbers[0] or (bound and same)
    else:
        yes = same
        if not yes and abs(shown - numbers[0]) <= sought.error:
            return measurement(evidence, name, w, units)
        if not yes and not closed:
            other = w.in_unit(sought.unit, numbers[0])
            return w.say("limit_other", measure=sought.called, value=said, other=other)
    return w.say("limit_yes" if yes else "limit_no", measure=sought.called, value=said)


def difference(
    evidence: Evidence, name: str, number: float, w: Words = ENGLISH, units: Collection[str] = ()
) -> str:
    """By how much a measurement lies above or below a number, both as of `compared`."""
    value = evidence.measurements[name]
    if value is None:
        return _missing(evidence, name, w)
    sought = _sought(name, value, units, w)
    other = _in_ms(evidence, number, units) if sought.unit == "ms" else number
    apart = round(sought.value) - round(other)
    if not apart:
        return measurement(evidence, name, w, units)
    said, bound, by = (w.in_unit(sought.unit, x) for x in (sought.value, other, abs(apart)))
    key = "limit_above" if apart > 0 else "limit_below"
    return w.say(key, measure=sought.called, value=said, other=bound, difference=by)


def _apart(sides: Sequence[str], numbers: Sequence[float]) -> bool:
    """Whether what lies beyond two numbers is meant, not what lies between: "under 60 or over 100"."""
    bounds = dict(zip(sides, numbers))
    return len(bounds) > 1 and bounds["low"] < bounds["high"]


def _place(evidence: Evidence, name: str, w: Words) -> str:
    if evidence.borderline(name):
        return w.name("places", "borderline")
    side = side_of(evidence, name)
    return w.name(side, name) if side in ("low", "high") else w.name("places", side)


def within(evidence: Evidence, name: str, w: Words = ENGLISH) -> str:
    value = _placed(evidence, name, w)
    if not value:
        return _missing(evidence, name, w)
    place = _place(evidence, name, w)
    return w.say("within", measure=w.name("measures", name), value=value, place=place)


def rhythm(evidence: Evidence, w: Words = ENGLISH) -> str:
    """The rhythm with rate and regularity."""
    return w.say("rhythm", rhythm=_rhythm(evidence, w))


def _rhythm(evidence: Evidence, w: Words) -> str:
    text = w.listed(_hedged(evidence, label, w) for label in rhythms(evidence)) or w.say("undetermined")
    text = _at_rate(evidence, text, w)
    if evidence.regularity == "unknown":
        return text
    return w.listed([text, w.beats(evidence.regularity)])


def _at_rate(evidence: Evidence, rhythm: str, w: Words) -> str:
    """A rhythm with its rate; with that of the atria, too, where not all their beats reach the ventricles."""
    rate = _value(evidence, "heart_rate_bpm", w)
    if not rate:
        return w.say("rhythm_no_rate", rhythm=rhythm)
    if not set(_COUNTED) & set(evidence.findings):
        return w.say("rhythm_at", rhythm=rhythm, rate=rate)
    if atrial := atrial_rate(evidence):
        faster = w.quantity("heart_rate_bpm", atrial)
        return w.say("rhythm_atria", rhythm=rhythm, atrial=faster, rate=rate)
    return w.say("rhythm_ventricles", rhythm=rhythm, rate=rate)


def atrial_rate(evidence: Evidence) -> float | None:
    """Beats a minute of the atria, as the definition of what was found counts them; None where they are not
    known to beat faster than the ventricles."""
    defined = next((_COUNTED[label] for label in _COUNTED if label in evidence.findings), ("", ""))
    counted = next((c.value for c in evidence.why(defined[0]) if c.name == defined[1]), None)
    rate = evidence.measurements["heart_rate_bpm"]
    return counted if counted and rate and counted > _FASTER * rate else None


def _hedged(evidence: Evidence, label: str, w: Words) -> str:
    name = w.finding(label)
    return name if evidence.margin(label) >= HEDGE else w.say("probable", finding=name)


def regular(evidence: Evidence, w: Words = ENGLISH) -> str:
    if evidence.regularity == "unknown":
        return w.say("regular_unknown")
    return w.say("regular", regularity=w.name("regularities", evidence.regularity))


def named(evidence: Evidence) -> list[str]:
    """All findings but plain sinus rhythm; an axis deviation, which a verdict leaves to the report, too."""
    found = [label for label in rhythms(evidence) if label != "SR"] + beside_rhythm(evidence)
    return [*found, *specific(evidence, in_group("axis"))]


def others(evidence: Evidence, named_so: str, gone: Collection[str], w: Words = ENGLISH) -> str:
    """The findings but for those gone, which are called so."""
    found = w.listed(_hedged(evidence, label, w) for label in named(evidence) if label not in gone)
    rest = possible(evidence, FINDINGS.keys() - gone, w)
    if named_so:
        return w.text([w.say("others" if found else "others_none", left_out=named_so, findings=found), rest])
    return w.text([w.say("findings", findings=found) if found else w.say("nothing_else"), rest])


def findings(evidence: Evidence, w: Words = ENGLISH) -> str:
    if found := named(evidence):
        said = w.say("findings", findings=w.listed(_hedged(evidence, label, w) for label in found))
    else:
        said = _unnamed(evidence, w) or w.say("incomplete" if evidence.incomplete else "findings_none")
    return w.text([said, possible(evidence, FINDINGS, w)])


def _unnamed(evidence: Evidence, w: Words) -> str:
    """Says of an ECG that is not normal that no finding can be named; "" of any other."""
    nameless = not named(evidence) and not evidence.incomplete and "NORM" not in evidence.findings
    return w.say("findings_unnamed") if nameless else ""


def group(evidence: Evidence, name: str, w: Words = ENGLISH) -> str:
    """What was found of a group and what is possible, or that there is nothing of it."""
    return w.text([_group(evidence, name, w), possible(evidence, GROUPS[name], w)])


def _group(evidence: Evidence, name: str, w: Words) -> str:
    """`group` without what is possible; "" where that is all there is to say."""
    found = specific(evidence, GROUPS[name])
    if not found and name in OF_SHAPES and evidence.ventricular:
        return w.say("ventricular_shapes", group=w.name("headings", name))
    if not found and name == "infarction" and "STE" in evidence.findings:
        return w.stated(_fits_stemi(evidence, w))
    if not found and any(evidence.beyond_scope(label) for label in GROUPS[name]):
        return w.say("wide_qrs", group=w.name("headings", name))
    if not found and any(unseen(evidence, label) for label in GROUPS[name]):
        return w.say("group_unseen", group=w.name("headings", name))
    if not found:  # no ST-T change is one of the QT interval
        open_ones = [label for label in evidence.possible if label in GROUPS[name]]
        return "" if any(FINDINGS[label].one_of != "QT" for label in open_ones) else w.name("none", name)
    return w.sentence(w.listed(_hedged(evidence, label, w) for label in found))


def lead_sign(
    evidence: Evidence, sign: str, lead: str, w: Words = ENGLISH, least_mm: float | None = None
) -> str:
    """Whether a lead shows a sign, by its definition or of at least so many mm."""
    waves = evidence.leads[lead]
    if waves is None:
        return unseen_lead(evidence, lead, w)
    yes = evidence.sign(sign, lead)
    if least_mm is not None:
        depth = {"STE": waves.st, "STD": -waves.st, "TINV": -waves.t, "QWAVE": -waves.q}[sign]
        yes = round(_MM_PER_MV * depth, 1) >= least_mm
    if sign == "QWAVE":
        return w.say("qwave_yes", mm=w.mm(abs(waves.q)), lead=lead) if yes else w.say("qwave_no", lead=lead)
    wave, value = ("tinv", waves.t) if sign == "TINV" else ("st", waves.st)
    return w.say(f"{wave}_{'yes' if yes else 'no'}", mm=w.mm(value, signed=True), lead=lead)


def leads_list(evidence: Evidence, sign: str, w: Words = ENGLISH) -> str:
    if sign in evidence.possible:
        return possible(evidence, (sign,), w)
    found = evidence.where(sign) or evidence.leads_with(sign)
    if not found:
        return w.say("leads_none", sign=w.name("signs", sign))
    return single(evidence, sign, w) or _in_leads(sign, found, w)


def single(evidence: Evidence, sign: str, w: Words) -> str:
    """Says where leads show a sign whose definition is not met, as too few or not neighbours do; "" where it
    is a finding or possible, or none is known to be."""
    leads, told = evidence.leads_with(sign), sign in evidence.possible or evidence.where(sign)
    if not leads or sign not in evidence.probabilities or told:
        return ""
    return w.say("sign_single", sign=w.name("signs", sign), leads=w.listed(leads))


def _in_leads(sign: str, leads: Iterable[str], w: Words) -> str:
    return w.say("leads_with", sign=w.name("signs", sign), leads=w.listed(leads))


def lead_amount(
    evidence: Evidence, wave: str, lead: str, w: Words = ENGLISH, units: Collection[str] = ()
) -> str:
    """units: "mv" where it is to be said in that unit as well."""
    waves = evidence.leads[lead]
    if waves is None:
        return unseen_lead(evidence, lead, w)
    mv, signed = getattr(waves, wave), wave in ("st", "t")
    said = w.mm(mv, signed)
    if "mv" in units:
        number = f"{mv:+.2f}" if signed else f"{abs(mv):.2f}"
        said = f"{w.say('mv', number=w.number(number))} = {said}"
    if wave == "st":
        return w.say("amount_st", lead=lead, mm=said)
    return w.say("amount", wave=wave.upper(), lead=lead, mm=said)


def unseen_lead(evidence: Evidence, lead: str, w: Words) -> str:
    """Says of a lead without waves that it is not printed, or a flat line."""
    return w.say("flat" if lead in evidence.no_signal else "unprinted", lead=lead)


def lead(evidence: Evidence, name: str, w: Words = ENGLISH) -> str:
    waves = evidence.leads[name]
    if waves is None:
        return unseen_lead(evidence, name, w)
    parts = [f"{wave.upper()} {w.mm(getattr(waves, wave))} mm" for wave in ("q", "r", "s")]
    parts += [f"{wave.upper()} {w.mm(getattr(waves, wave), signed=True)} mm" for wave in ("st", "t")]
    return w.say("lead", lead=name, waves=w.listed(parts))


def layout(evidence: Evidence, w: Words = ENGLISH) -> str:
    if evidence.layout == "other":
        return w.say("layout_other")
    return w.say("layout", layout=w.name("layouts", evidence.layout))


def scale(evidence: Evidence, w: Words = ENGLISH) -> str:
    speed, gain = (w.number(say_scale(x)) for x in (evidence.mm_per_s, evidence.mm_per_mv))
    return w.say("scale", speed=speed, gain=gain)


def quality(evidence: Evidence, w: Words = ENGLISH) -> str:
    key = "quality_poor" if evidence.quality < POOR_QUALITY else "quality_good"
    return w.say(key, percent=_quality(evidence, w))


def _quality(evidence: Evidence, w: Words) -> str:
    return w.say("percent", number=str(round(100 * evidence.quality)))


def printed(evidence: Evidence, w: Words = ENGLISH) -> str:
    missing = [name for name in LEADS if evidence.leads[name] is None and name not in evidence.no_signal]
    if missing:
        return w.say("printed_missing", leads=w.listed(missing))
    if "cut_off" in evidence.cautions:  # not all of each
        return w.say("caution", caution=w.name("cautions", "cut_off"))
    return w.text([w.say("printed_all"), _flat(evidence, w)])


def _flat(evidence: Evidence, w: Words) -> str:
    """The leads that have no signal, "" where all have one."""
    return w.sentence(w.say("no_signal", leads=w.listed(evidence.no_signal))) if evidence.no_signal else ""


def cabrera(evidence: Evidence, w: Words = ENGLISH) -> str:
    return w.say("cabrera_yes" if evidence.cabrera else "cabrera_no")


def unchanged(evidence: Evidence, w: Words = ENGLISH) -> str:
    """The answer to doubt."""
    return w.say("unchanged", verdict=verdict(evidence, w))


def order(evidence: Evidence, w: Words = ENGLISH) -> str:
    """The answer to instructions that have nothing to do with the ECG."""
    return w.text([w.say("only_this_ecg"), unchanged(evidence, w)])


def axis(evidence: Evidence, w: Words = ENGLISH) -> str:
    """The electrical axis, as reports state it."""
    value = _value(evidence, "axis_deg", w)
    if not value:
        return w.say("axis_missing")
    return w.say(f"axis_{side_of(evidence, 'axis_deg')}", value=value)


def side_of(evidence: Evidence, name: str) -> str:
    """Where a measurement that is not None lies: "low", "normal" or "high", and "extreme" of an axis that
    points up and to the right, which is neither left nor right axis deviation."""
    value = evidence.measurements[name]
    if name == "axis_deg" and value is not None and round(value) < _NORTHWEST:
        return "extreme"
    return evidence.counted_limit(name)


def intervals(evidence: Evidence, w: Words = ENGLISH) -> str:
    """PR, QRS, QT and QTc, as reports state them."""
    parts = []
    for name, short in (("pr_ms", "PR"), ("qrs_ms", "QRS"), ("qt_ms", "QT"), ("qtc_ms", "QTc")):
        value = _value(evidence, name, w)
        if not value:
            parts.append(w.say("interval_missing", measure=short))
            continue
        place = _place(evidence, name, w) if side_of(evidence, name) != "normal" else ""
        told = w.listed(filter(None, [place, _fridericia(evidence, name, w)]))
        said = w.say("interval_place", measure=short, value=value, place=told)
        parts.append(said if told else f"{short} {value}")
    return w.sentence(w.listed(parts))


def infarction(evidence: Evidence, w: Words = ENGLISH) -> str:
    """Infarctions and the leads with Q waves, as reports state them; ST elevation, which reports begin with,
    leaves nothing to deny."""
    if "STE" in evidence.findings and not specific(evidence, GROUPS["infarction"]):
        return ""
    return _with_leads(evidence, "infarction", ("QWAVE",), w)


def repolarization(evidence: Evidence, w: Words = ENGLISH) -> str:
    """ST-T changes and the leads with them, as reports state them."""
    return _with_leads(evidence, "repolarization", ("STE", "STD", "TINV"), w)


def _with_leads(evidence: Evidence, name: str, wanted: Collection[str], w: Words) -> str:
    """The findings of a group, those that are signs with the leads that show them."""
    shown = {sign: evidence.where(sign) for sign in wanted if sign in evidence.findings}
    located = [
        w.say("leads_with", sign=_hedged(evidence, sign, w), leads=w.listed(leads))
        for sign, leads in shown.items()
        if leads
    ]
    found = specific(evidence, GROUPS[name])
    rest = [label for label in found if not shown.get(label)]
    others = w.sentence(w.listed(_hedged(evidence, label, w) for label in rest)) if rest else ""
    whole = others if found else _group(evidence, name, w)
    beside = signs(evidence, [sign for sign in wanted if sign not in shown], w)
    return w.text([whole, *located, *beside, possible(evidence, GROUPS[name], w)])


def signs(evidence: Evidence, wanted: Iterable[str], w: Words = ENGLISH) -> list[str]:
    """The signs that neighbouring leads show, as reports state them: a sentence each.

    Where signs were judged by their definitions, only those that were found.
    """
    found = {sign: evidence.where(sign) for sign in wanted}
    return [_in_leads(sign, leads, w) for sign, leads in found.items() if leads]


def _sections(evidence: Evidence, w: Words) -> list[tuple[str, str]]:
    """(heading, sentences) in the fixed order of both reports; headings by their key."""
    known = w.sentence(_rhythm(evidence, w)) if rhythms(evidence) else rhythm(evidence, w)
    sections = [("rhythm", w.text([known, possible(evidence, RHYTHMS, w)]))]
    if {*evidence.findings, *evidence.possible} & set(GROUPS["ectopy"]):
        sections.append(("ectopy", group(evidence, "ectopy", w)))
    turned = w.text([axis(evidence, w), possible(evidence, in_group("axis"), w)])
    sections += [("axis", turned), ("intervals", intervals(evidence, w))]
    if "no_qrs" in evidence.cautions:  # without one, nothing below is known to be absent
        return sections
    sections.append(("conduction", group(evidence, "conduction", w)))
    voltage = w.sentence(_hedged(evidence, "LVOLT", w)) if "LVOLT" in evidence.findings else ""
    low = possible(evidence, ("LVOLT",), w)
    sections.append(("hypertrophy", w.text([group(evidence, "hypertrophy", w), voltage, low])))
    sections += [
        ("infarction", infarction(evidence, w)),
        ("repolarization", repolarization(evidence, w)),
    ]
    return sections


def urgent(evidence: Evidence, w: Words = ENGLISH) -> str:
    """What somebody must act on at once, first of all in a report; "" where there is nothing."""
    return w.text(warnings(evidence.urgent, evidence.measurements["heart_rate_bpm"], w))


def warnings(urgent: Iterable[str], rate: float | None, w: Words = ENGLISH) -> list[str]:
    """A sentence for each of what `judge.evidence.urgent` names. rate: bpm."""
    said = []
    for what in urgent:
        if what == "heart_rate_bpm":
            named = w.say("urgent_rate", rate=w.quantity(what, rate or 0.0))
        else:
            named = w.finding(what)
        advice = w.names["advice"].get(what)
        said.append(w.say("urgent_advice" if advice else "urgent", finding=named, advice=advice or ""))
    return said


def why(evidence: Evidence, label: str, w: Words = ENGLISH) -> str:
    """The definition of a finding with what was measured: "... QRS duration 168 ms (>= 120, met), ..."."""
    told = w.listed(conditions(evidence.why(label), w))
    if not told:
        return ""
    name = w.finding(label)
    return w.say("why", finding=name[0].upper() + name[1:], conditions=told)


def conditions(criteria: Iterable[Criterion], w: Words = ENGLISH) -> list[str]:
    """Each `condition`; limits that are told alike, as two of one probability, are told once."""
    return list(dict.fromkeys(condition(criterion, w) for criterion in criteria))


def condition(criterion: Criterion, w: Words = ENGLISH) -> str:
    """ "QRS duration 168 ms (>= 120, met)"; what is to be rather there than not without its number."""
    name = criterion.name.removesuffix(SEX_UNKNOWN)
    named = w.criterion(name)
    if name != criterion.name:
        named = w.listed([named, w.name("weighed", "sex_unknown")])
    if criterion.leads:
        named = f"{named} ({w.listed(criterion.leads)})"
    if criterion.met is None or criterion.value is None:
        return w.say("condition", named=named, met=w.name("weighed", "unknown"))
    met = w.name("weighed", "met" if criterion.met else "not_met")
    if not criterion.unit and (criterion.way, criterion.limit) == (">=", EVEN_ODDS):
        return w.say("condition", named=named, met=met)
    named = f"{named} {w.in_fractions(criterion.unit, criterion.value)}"
    if criterion.limit is None:
        return w.say("condition", named=named, met=met)
    way, limit = w.name("ways", criterion.way), w.in_fractions("", criterion.limit)
    return w.say("condition_limit", named=named, way=way, limit=limit, met=met)


def judged_by(ground: Ground, w: Words = ENGLISH) -> str:
    """What a finding was judged by, and whether it falls without that."""
    whole = "times" if ground.label in _TIMED else "trace"
    parts = ("early",) if ground.premature else ground.intervals or (whole,)
    named = w.listed(w.name("judged", part) for part in parts)
    leads = w.name("judged", "leads") if len(ground.leads) == len(LEADS) else w.listed(ground.leads)
    if ground.drop < DROP:
        return w.say("judged_by", parts=named, leads=leads)
    return w.say("judged_without", parts=named, leads=leads, number=str(round(100 * ground.drop)))


def problems(evidence: Evidence, w: Words = ENGLISH) -> str:
    """What is odd about the page or the recording, with the leads that have no signal."""
    odd = evidence.no_signal or evidence.quality < POOR_QUALITY or set(evidence.cautions) - _OF_FINDINGS
    fine = "" if odd else w.say("problems_none")
    return w.text([fine, caution(evidence, w), _flat(evidence, w)])


def caution(evidence: Evidence, w: Words) -> str:
    """What is odd about the page, "" where nothing is."""
    parts = []
    if evidence.quality < POOR_QUALITY:
        parts.append(w.say("poor_page", percent=_quality(evidence, w)))
    parts += [w.say("caution", caution=w.name("cautions", caution)) for caution in evidence.cautions]
    return w.text(parts)


def report(evidence: Evidence, w: Words = ENGLISH, left_out: Collection[str] = ()) -> str:
    """The report: rhythm, axis, intervals, conduction, hypertrophy, infarction, ST-T, conclusion. left_out:
    sections or measurements that are not wished for, nor then a conclusion."""
    gone = {_SECTION_OF.get(code, code) for code in left_out}
    gone |= set(GROUPS) if "findings" in gone else set()
    kept = {heading: text for heading, text in _sections(evidence, w) if heading not in gone}
    sections = _joined(evidence, kept, w)
    parts = [urgent(evidence, w), caution(evidence, w), *sections]
    if gone:
        return w.text(parts)
    return w.text([*parts, _unnamed(evidence, w), w.say("conclusion", verdict=verdict(evidence, w))])


def _joined(evidence: Evidence, sections: dict[str, str], w: Words) -> list[str]:
    """Sections in their order, those of which the same must be said in one sentence."""
    for key in ("ventricular_shapes", "wide_qrs", "group_unseen"):
        same = [x for x, text in sections.items() if text == w.say(key, group=w.name("headings", x))]
        if same:
            together = w.enumerated(w.name("headings", heading) for heading in same)
            sections |= dict.fromkeys(same, "") | {same[0]: w.say(key, group=together)}
    return list(sections.values())


def diagnosis(evidence: Evidence, w: Words = ENGLISH) -> str:
    """The comprehensive report: the same under headings, one a line, ending in the final diagnosis."""
    lines = [line for line in (urgent(evidence, w), caution(evidence, w)) if line]
    for heading, text in _sections(evidence, w):
        called = w.name("headings", heading)
        lines.append(text if text.startswith(called) else w.say("section", heading=called, text=text))
    ends = (_unnamed(evidence, w), w.say("final_diagnosis", verdict=verdict(evidence, w)))
    return "\n".join([*lines, *filter(None, ends)])


def close(evidence: Evidence, options: list[tuple[str, str]], separator: str) -> str:
    """Those of the (code, printed text) options that hold, joined.

    Codes are labels or the signs "STE" and "STD". Where none does, "NORM" or "ABNORMAL"; but where NORM is
    one of the options, some option must be right, so on a page that is not normal it is the one that comes
    nearest to its threshold.
    """
    fitting = [text for code, text in options if holds(evidence, code)]
    if fitting:
        return separator.join(fitting)
    if "NORM" in evidence.findings:
        return "NORM"
    others = [option for option in options if option[0] != "NORM" and option[0] in evidence.probabilities]
    if others and any(code == "NORM" for code, _ in options):
        return max(others, key=lambda option: evidence.margin(option[0]))[1]
    return "ABNORMAL"


def holds(evidence: Evidence, code: str) -> bool:
    return code in evidence.findings if code in evidence.probabilities else evidence.shows(code)
