"""Questions that end in "Options: ...", as ECG-QA asks them (Oh et al. 2023): the options that hold.

Each option is judged by itself (`data/options.toml`), in the light of the question before them: a symptom, an
axis, a measurement or the range it lies in, a lead, or yes and no.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files

from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import SIGNS
from ecgvlm.record import LEADS
from ecgvlm.words.concepts import concepts
from ecgvlm.words.lexicon import REGIONS
from ecgvlm.words.options import mentions

_LIST = re.compile(r"\boptions:\s*(?!\(?[A-H][).:]\s)(?P<options>.+)", re.I | re.S)
_END = re.compile(r"\bonly answer\b.*", re.I | re.S)
_SIDES = {"above": "high", "below": "low", "within": "normal"}
_OUTSIDE = re.compile(r"\b(outside|abnormal|out of)\b")
_ANY = re.compile(r"\bany (?:kind of )?(?:abnormal )?(?:symptom|abnormalit)")
_LEAD = re.compile(rf"\blead ({'|'.join(sorted(LEADS, key=len, reverse=True))})\b")


@lru_cache
def _known() -> dict[str, dict]:
    return tomllib.loads((files("ecgvlm.words") / "data" / "options.toml").read_text("utf-8"))


def chosen(evidence: Evidence, question: str) -> str:
    """The options that hold, as they are printed, joined by commas; "" where the question does not end in
    options, or in others than ECG-QA's.

    Where none holds: the option that says so, else "not sure" or the first of yes and no that does.
    """
    match = _LIST.search(question)
    options = _split(match["options"]) if match else []
    if len(options) < 2:
        return ""
    stem, plain = question[: match.start()], [option.lower() for option in options]  # type: ignore[union-attr]
    if set(plain) <= {"yes", "no", "not sure"}:
        said = _yes_or_no(evidence, stem, "not sure" in plain)
        return options[plain.index(said)] if said in plain else ""
    nothing = [option for option in options if option.lower().startswith("none")]
    judged = {option: _holds(evidence, stem, option) for option in options if option not in nothing}
    if not all(map(_is_known, judged)):
        return ""
    return ", ".join([option for option, holds in judged.items() if holds] or nothing[:1])


def _is_known(option: str) -> bool:
    """Whether an option is one of ECG-QA's."""
    plain = option.lower()
    named = any(plain in table for table in _known().values())
    return named or _LEAD.fullmatch(option) is not None or plain.endswith("the normal range")


def _split(text: str) -> list[str]:
    """The options of a comma list; a comma in brackets belongs to its option."""
    parts = re.split(r",(?![^(]*\))", _END.sub("", text))
    return [option for part in parts if (option := part.strip(" \n.;"))]


def _yes_or_no(evidence: Evidence, stem: str, doubt: bool) -> str:
    """doubt: whether "not sure" is an option; what cannot be judged is denied where it is not."""
    plain = stem.lower()
    lead = _LEAD.search(stem)
    measure = next((name for name in _known()["measures"] if name in plain), None)
    side = next((side for word, side in _SIDES.items() if word in plain), None)
    holds: bool | None
    if measure and side:
        place = _place(evidence, measure)
        holds = None if place is None else place == side
    elif _ANY.search(plain):
        holds = "NORM" not in evidence.findings
    elif (option := _longest(plain)) is not None and not _named_closer(stem, option):
        holds = _holds_in(evidence, _signs(option), lead[1]) if lead else _holds(evidence, stem, option)
    else:
        codes = [code for code, _ in mentions(stem) if code]
        holds = _found(evidence, codes[0]) if len(codes) == 1 else None
    if holds is None:
        return "not sure" if doubt else "no"
    return "yes" if holds else "no"


def _named_closer(stem: str, option: str) -> bool:
    """Whether a question names one finding by more than an option: "anterior myocardial infarction"."""
    named = [(code, name) for code, name in mentions(stem) if code]
    return len(named) == 1 and option in named[0][1].lower() and len(named[0][1]) > len(option)


def _longest(plain: str) -> str | None:
    """The longest option that a text names."""
    named = [name for table in ("symptoms", "axes") for name in _known()[table] if name in plain]
    return max(named, key=len, default=None)


def _signs(option: str) -> list[str]:
    """The signs of single leads that an option means."""
    return [code for code in _known()["symptoms"].get(option, {}).get("any", ()) if code in SIGNS]


def _sought(stem: str) -> list[str]:
    """The signs of single leads that a question asks about."""
    named = _longest(stem.lower())
    return (_signs(named) if named else []) or [code for code, _ in mentions(stem) if code in SIGNS]


def _holds_in(evidence: Evidence, signs: list[str], lead: str) -> bool | None:
    """Whether one lead shows any of the signs; None where none is known or the lead is not printed."""
    if not signs or not evidence.leads[lead]:
        return None
    return any(lead in evidence.leads_with(sign) for sign in signs)


def _holds(evidence: Evidence, stem: str, option: str) -> bool | None:
    """Whether an option holds, asked by this stem; None where that cannot be judged."""
    plain, asked = option.lower(), stem.lower()
    if lead := re.fullmatch(_LEAD, option):
        return _holds_in(evidence, _sought(stem), lead[1])
    if plain in _known()["measures"]:
        place = _place(evidence, plain)
        if _OUTSIDE.search(asked):
            return place in ("low", "high")
        return place == next((side for word, side in _SIDES.items() if word in asked), "normal")
    if (side := _SIDES.get(plain.partition(" ")[0])) and "range" in plain:
        measure = next((name for name in _known()["measures"] if name in asked), None)
        place = _place(evidence, measure) if measure else None
        return None if place is None else place == side
    if plain in _known()["axes"]:
        axis, (low, high) = evidence.measurements["axis_deg"], _known()["axes"][plain]
        return None if axis is None else low < axis <= high
    return _symptom(evidence, _known()["symptoms"][plain]) if plain in _known()["symptoms"] else None


def _symptom(evidence: Evidence, rule: dict) -> bool | None:
    codes = rule.get("any", rule.get("all", ()))
    found = [_found(evidence, code) for code in codes]
    if not codes or all(x is None for x in found):
        return None
    holds = any(found) if "any" in rule else all(found)
    holds = holds and not any(_found(evidence, code) for code in rule.get("unless", ()))
    return holds and all(
        any(evidence.sign(sign, lead) for sign in rule["signs"] for lead in REGIONS[region])
        for region in rule.get("regions", ())
    )


def _found(evidence: Evidence, code: str) -> bool | None:
    """Whether a label was found, two leads show a sign, or a measurement lies beyond its limit."""
    if code in evidence.probabilities:
        return code in evidence.findings
    if code in SIGNS:
        return evidence.shows(code)
    if "limit" in (concept := concepts().get(code, {})):
        measure, side = concept["limit"]
        return None if evidence.measurements[measure] is None else evidence.limit(measure) == side
    return None


def _place(evidence: Evidence, measure: str) -> str | None:
    """ "low", "normal" or "high"; of the QT that of the corrected one."""
    known = _known()["measures"][measure]
    if "criterion" in known:  # a limit of a definition
        weighed = next((c for c in evidence.criteria if [c.finding, c.name] == known["criterion"]), None)
        return None if weighed is None or weighed.met is None else "high" if weighed.met else "normal"
    code = "qtc_ms" if known["code"] == "qt_ms" else known["code"]
    if evidence.measurements[code] is None:
        return None
    place = evidence.limit(code)
    return {"low": "high", "high": "low"}.get(place, place) if known.get("inverse") else place
