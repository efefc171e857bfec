"""What the evidence answers, in words: the one place where the decoder's wording comes from.

Every function is pure and states nothing but what its `Evidence` holds, so the decoder's targets, the rows of
an instruction data set and the tests of agreement all say the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from ecgvlm.judge.evidence import (
    CAUTIONS,
    HEDGE,
    POOR_QUALITY,
    Evidence,
    say_measurement,
    say_mm,
    say_percent,
    say_scale,
)
from ecgvlm.labels import KINDS, NAMES, RHYTHMS, in_group
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS

_NONE = {
    "conduction": "No conduction disturbance.",
    "hypertrophy": "No evidence of hypertrophy.",
    "infarction": "No evidence of infarction.",
    "repolarization": "No ST-T changes.",
    "ectopy": "No premature complexes.",
}
GROUPS = {name: in_group(name) for name in _NONE}
_TITLES = {
    "HAVB": "Second- or Third-Degree AV Block", "1dAVb": "First-Degree AV Block",
    # "ST" in upper case would read as sinus tachycardia to PULSE's published parser.
    "STTC": "Repolarization Changes",
}  # fmt: skip
_UNITS = {"°": "degrees"}  # in a sentence
_HIGH = {
    "heart_rate_bpm": "fast",
    "pr_ms": "prolonged",
    "qrs_ms": "wide",
    "qtc_ms": "prolonged",
    "axis_deg": "deviated to the right",
}
_LOW = {"heart_rate_bpm": "slow", "pr_ms": "short", "qtc_ms": "short", "axis_deg": "deviated to the left"}
_REASONS = {
    "no_p_wave": "no P wave can be made out",
    "not_printed": "the leads it needs are not printed",
    "too_short": "too little of the trace is printed",
    "unclear": "the waves cannot be told apart clearly",
}
_SIGNS = {"STE": "ST elevation", "STD": "ST depression", "TINV": "T wave inversion", "QWAVE": "Q waves"}
_LAYOUTS = {
    "3x4": "3x4: three rows of four leads",
    "3x4+1R": "3x4+1R: three rows of four leads and one rhythm strip",
    "3x4+3R": "3x4+3R: three rows of four leads and three rhythm strips",
    "6x2": "6x2: six rows of two leads",
    "6x2+1R": "6x2+1R: six rows of two leads and one rhythm strip",
    "12x1": "12x1: twelve rows, one for each lead",
}
OUTSIDE = "I cannot tell that from this ECG: it is not among the findings that I can judge."
UNANSWERABLE = (
    "I cannot tell that from this ECG. Ask me about its rhythm, intervals, findings, leads or the page."
)
HELLO = (
    "I read pages of 12-lead ECGs. "
    "Ask me about the rhythm, intervals, findings, leads or the page, or for a report."
)


def title(label: str) -> str:
    """The label's name in headline style."""
    return _TITLES.get(label) or NAMES[label].title()


def rhythms(evidence: Evidence) -> list[str]:
    """The rhythms found; plain sinus rhythm goes without saying beside a more special one."""
    found = [label for label in RHYTHMS if label in evidence.findings]
    return found if found == ["SR"] else [label for label in found if label != "SR"]


def specific(evidence: Evidence, labels: Iterable[str]) -> list[str]:
    """The labels among these that were found, a superclass only where none of its kinds was."""
    found = [label for label in labels if label in evidence.findings]
    return found[:1] if found[:1] and found[0] in KINDS else [x for x in found if x not in KINDS]


def beside_rhythm(evidence: Evidence) -> list[str]:
    """All findings that are no rhythm, from conduction to low voltage."""
    found = [label for group in GROUPS.values() for label in specific(evidence, group)]
    return found + specific(evidence, in_group("voltage"))


def word(evidence: Evidence) -> str:
    return "NORMAL" if "NORM" in evidence.findings else "ABNORMAL"


def verdict(evidence: Evidence) -> str:
    """The one-line answer: "ABNORMAL - Atrial Fibrillation with Left Ventricular Hypertrophy"."""
    text = f"{word(evidence)} - {', '.join(map(title, rhythms(evidence))) or 'Undetermined Rhythm'}"
    others = beside_rhythm(evidence)
    return f"{text} with {', '.join(map(title, others))}" if others else text


def finding(evidence: Evidence, label: str) -> str:
    """Whether a label was found, with its probability; close to the threshold the wording is careful."""
    m, percent = evidence.margin(label), say_percent(evidence.probabilities[label])
    if label == "NORM":
        if m >= 0:
            return f"Yes, the ECG is normal (probability {percent})."
        return f"No, the ECG is not normal (probability of a normal ECG {percent})."
    if m >= 0:
        found = "the ECG shows" if m >= HEDGE else "probably: there are signs of"
        return f"Yes, {found} {NAMES[label]} (probability {percent})."
    evidence_of = "evidence of" if m < -HEDGE else "clear evidence of"
    return f"No, there is no {evidence_of} {NAMES[label]} (probability {percent})."


def likelihood(evidence: Evidence, label: str) -> str:
    return f"The probability of {NAMES[label]} is {say_percent(evidence.probabilities[label])}."


def _value(evidence: Evidence, measurement: str) -> str | None:
    value, unit = evidence.measurements[measurement], MEASUREMENTS[measurement].unit
    return None if value is None else f"{say_measurement(value)} {_UNITS.get(unit, unit)}"


def _missing(evidence: Evidence, measurement: str) -> str:
    name, why = MEASUREMENTS[measurement].name, _REASONS[evidence.reason(measurement)]
    return f"The {name} cannot be measured: {why}."


def measurement(evidence: Evidence, name: str) -> str:
    value = _value(evidence, name)
    return f"The {MEASUREMENTS[name].name} is {value}." if value else _missing(evidence, name)


def limit(evidence: Evidence, name: str, side: str) -> str:
    """Whether a measurement lies beyond its lower ("low") or upper ("high") limit of normal."""
    value = _value(evidence, name)
    if not value:
        return _missing(evidence, name)
    beyond = evidence.limit(name) == side
    return f"{'Yes' if beyond else 'No'}, the {MEASUREMENTS[name].name} is {value}."


def _place(evidence: Evidence, name: str) -> str:
    return {"low": _LOW.get(name, "short"), "high": _HIGH.get(name, "prolonged"), "normal": "normal"}[
        evidence.limit(name)
    ]


def within(evidence: Evidence, name: str) -> str:
    value = _value(evidence, name)
    if not value:
        return _missing(evidence, name)
    return f"The {MEASUREMENTS[name].name} of {value} is {_place(evidence, name)}."


def rhythm(evidence: Evidence) -> str:
    """The rhythm with rate and regularity."""
    return f"The rhythm is {_rhythm(evidence)}."


def _rhythm(evidence: Evidence) -> str:
    found, rate = rhythms(evidence), _value(evidence, "heart_rate_bpm")
    text = ", ".join(_hedged(evidence, label) for label in found) or "undetermined"
    text += f" at {rate}" if rate else ", rate not measurable"
    return text if evidence.regularity == "unknown" else f"{text}, {evidence.regularity}"


def _hedged(evidence: Evidence, label: str) -> str:
    return ("" if evidence.margin(label) >= HEDGE else "probable ") + NAMES[label]


def regular(evidence: Evidence) -> str:
    if evidence.regularity == "unknown":
        return "I cannot tell whether the rhythm is regular: too few beats are printed."
    return f"The rhythm is {evidence.regularity}."


def findings(evidence: Evidence) -> str:
    found = [label for label in rhythms(evidence) if label != "SR"] + beside_rhythm(evidence)
    if found:
        return f"Findings: {', '.join(_hedged(evidence, label) for label in found)}."
    if "NORM" in evidence.findings:
        return "There is no abnormal finding: the ECG is normal."
    return "The ECG is abnormal, but I cannot name a finding."


def group(evidence: Evidence, name: str) -> str:
    found = specific(evidence, GROUPS[name])
    return sentence(", ".join(_hedged(evidence, label) for label in found)) if found else _NONE[name]


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    return f"{text[0].upper()}{text[1:]}."


def lead_sign(evidence: Evidence, sign: str, lead: str) -> str:
    waves = evidence.leads[lead]
    if waves is None:
        return _unprinted(lead)
    yes = evidence.sign(sign, lead)
    start = "Yes" if yes else "No"
    if sign == "QWAVE":
        return (
            f"{start}, there is a Q wave of {say_mm(abs(waves.q))} mm in {lead}."
            if yes
            else f"No, there is no significant Q wave in {lead}."
        )
    if sign == "TINV":
        return f"{start}, the T wave in {lead} measures {say_mm(waves.t, signed=True)} mm."
    return f"{start}, the ST level in {lead} is {say_mm(waves.st, signed=True)} mm."


def _unprinted(lead: str) -> str:
    return f"I cannot tell: lead {lead} is not printed."


def leads_list(evidence: Evidence, sign: str) -> str:
    found = evidence.leads_with(sign)
    return _in_leads(sign, found) if found else f"No lead shows {_SIGNS[sign]}."


def _in_leads(sign: str, leads: Iterable[str]) -> str:
    return f"{_SIGNS[sign]} in {', '.join(leads)}."


def lead_amount(evidence: Evidence, wave: str, lead: str) -> str:
    waves = evidence.leads[lead]
    if waves is None:
        return _unprinted(lead)
    value = say_mm(getattr(waves, wave), signed=wave in ("st", "t"))
    if wave == "st":
        return f"The ST level in {lead} is {value} mm."
    return f"The {wave.upper()} wave in {lead} measures {value} mm."


def lead(evidence: Evidence, name: str) -> str:
    waves = evidence.leads[name]
    if waves is None:
        return _unprinted(name)
    parts = [f"{wave.upper()} {say_mm(getattr(waves, wave))} mm" for wave in ("q", "r", "s")]
    parts += [f"{wave.upper()} {say_mm(getattr(waves, wave), signed=True)} mm" for wave in ("st", "t")]
    return f"Lead {name}: {', '.join(parts)}."


def layout(evidence: Evidence) -> str:
    if evidence.layout == "other":
        return "The layout is none of the usual ones."
    return f"The layout is {_LAYOUTS[evidence.layout]}."


def scale(evidence: Evidence) -> str:
    speed, gain = say_scale(evidence.mm_per_s), say_scale(evidence.mm_per_mv)
    return f"The page is printed at {speed} mm/s and {gain} mm/mV."


def quality(evidence: Evidence) -> str:
    how = "hard to read" if evidence.quality < POOR_QUALITY else "readable"
    return f"The page is {how}, with a quality of {round(100 * evidence.quality)}%."


def printed(evidence: Evidence) -> str:
    missing = [name for name in LEADS if evidence.leads[name] is None]
    return f"Not printed: {', '.join(missing)}." if missing else "All 12 leads are printed."


def cabrera(evidence: Evidence) -> str:
    if evidence.cabrera:
        return "The limb leads are in Cabrera order (aVL, I, -aVR, II, aVF, III)."
    return "The limb leads are in the standard order (I, II, III, aVR, aVL, aVF)."


def unchanged(evidence: Evidence) -> str:
    """The answer to doubt and to instructions that have nothing to do with the ECG."""
    return f"My reading does not change: {verdict(evidence)}."


def axis(evidence: Evidence) -> str:
    """The electrical axis, as reports state it."""
    value = _value(evidence, "axis_deg")
    if not value:
        return "Axis not measurable."
    return {"low": "Left axis deviation", "high": "Right axis deviation", "normal": "Normal axis"}[
        evidence.limit("axis_deg")
    ] + f" ({value})."


def intervals(evidence: Evidence) -> str:
    """PR, QRS, QT and QTc, as reports state them."""
    parts = []
    for name, short in (("pr_ms", "PR"), ("qrs_ms", "QRS"), ("qt_ms", "QT"), ("qtc_ms", "QTc")):
        value = _value(evidence, name)
        if not value:
            parts.append(f"{short} not measurable")
        elif name == "qt_ms" or evidence.limit(name) == "normal":
            parts.append(f"{short} {value}")
        else:
            parts.append(f"{short} {value} ({_place(evidence, name)})")
    return f"{', '.join(parts)}."


def infarction(evidence: Evidence) -> str:
    """Infarctions and the leads with Q waves, as reports state them."""
    return " ".join([group(evidence, "infarction"), *signs(evidence, ["QWAVE"])])


def repolarization(evidence: Evidence) -> str:
    """ST-T changes and the leads with them, as reports state them."""
    seen = signs(evidence, ["STE", "STD", "TINV"])
    if seen and "STTC" not in evidence.findings:
        return " ".join(["No definite ST-T changes.", *seen])
    return " ".join([group(evidence, "repolarization"), *seen])


def signs(evidence: Evidence, wanted: Iterable[str]) -> list[str]:
    """The signs that neighbouring leads show, as reports state them: a sentence each."""
    found = {sign: evidence.beside(sign) for sign in wanted}
    return [_in_leads(sign, leads) for sign, leads in found.items() if leads]


def _sections(evidence: Evidence) -> list[tuple[str, str]]:
    """(heading, sentences) in the fixed order of both reports."""
    sections = [("Rhythm", sentence(_rhythm(evidence)))]
    if specific(evidence, GROUPS["ectopy"]):
        sections.append(("Ectopy", group(evidence, "ectopy")))
    sections += [
        ("Axis", axis(evidence)),
        ("Intervals", intervals(evidence)),
        ("Conduction", group(evidence, "conduction")),
    ]
    voltage = f" {sentence(_hedged(evidence, 'LVOLT'))}" if "LVOLT" in evidence.findings else ""
    sections.append(("Hypertrophy", group(evidence, "hypertrophy") + voltage))
    sections += [("Infarction", infarction(evidence)), ("ST-T", repolarization(evidence))]
    return sections


def problems(evidence: Evidence) -> str:
    """What is odd about the page or the recording."""
    return _caution(evidence) or "I see no problem with this page."


def _caution(evidence: Evidence) -> str:
    parts = []
    if evidence.quality < POOR_QUALITY:
        parts.append(
            f"The page is hard to read (quality {round(100 * evidence.quality)}%), "
            "so this reading is uncertain."
        )
    return " ".join(parts + [f"Caution: {CAUTIONS[caution]}." for caution in evidence.cautions])


def report(evidence: Evidence) -> str:
    """The report: rhythm, axis, intervals, conduction, hypertrophy, infarction, ST-T, conclusion."""
    parts = [_caution(evidence)] if _caution(evidence) else []
    parts += [text for _, text in _sections(evidence)]
    return " ".join([*parts, f"Conclusion: {verdict(evidence)}."])


def diagnosis(evidence: Evidence) -> str:
    """The comprehensive report: the same under headings, one a line, ending in the final diagnosis."""
    lines = [_caution(evidence)] if _caution(evidence) else []
    lines += [f"{heading}: {text}" for heading, text in _sections(evidence)]
    return "\n".join([*lines, f"Final diagnosis: {verdict(evidence)}."])


def close(evidence: Evidence, options: list[tuple[str, str]], separator: str) -> str:
    """Those of the (code, printed text) options that hold, joined; where none does, "NORM" or "ABNORMAL".

    Codes are labels or the signs "STE" and "STD".
    """
    fitting = [text for code, text in options if holds(evidence, code)]
    return separator.join(fitting) or ("NORM" if "NORM" in evidence.findings else "ABNORMAL")


def holds(evidence: Evidence, code: str) -> bool:
    return code in evidence.findings if code in NAMES else evidence.shows(code)
