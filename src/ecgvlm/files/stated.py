"""What an electrocardiograph prints: age, sex and its own measurements, out of a page's words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ecgvlm.files.leads import age_of, machine_reading
from ecgvlm.record import MachineReading

_N = r"[\s:=.]*(-?\d{1,4})(?![\d.,]*\d)"  # a number after its name
_MS = r"\s*(?:ms|msec)\b"
_OF = r"(?:[ -]*(?:interval+|int\.?|dur\.?|dauer|duration|zeit|durée|duración|durata))?"
# Names as devices of several countries print them; the first that matches counts.
_MEASURED = {
    "heart_rate_bpm": (
        rf"(?:vent(?:ricular|r?\.)?\s*rate|heart\s*rate|herzfrequenz|kammerfrequenz|fréquence cardiaque|"
        rf"frecuencia card[ií]aca|\bHF|\bHR|\bFC|\bVR){_N}",
        rf"\b(?:rate|frequenz|puls)\b{_N}\s*(?:bpm|/\s?min)",
        rf"(?:^|\s\s)rate{_N}",
    ),
    "pr_ms": (rf"\bP[RQ]{_OF}{_N}{_MS}", rf"\bP[RQ]{_OF}{_N}(?!\s*[°/])"),
    "qrs_ms": (rf"\bQRS{_OF}{_N}{_MS}", rf"\bQRSD{_OF}{_N}", rf"\bQRS[ -]*(?:dauer|duration){_N}"),
    "qt_ms": (
        rf"\bQT\s*/\s*QTc[^\d\s]*{_OF}[\s:=]*(\d{{3}})\s*/\s*\d{{3}}",
        rf"\bQT{_OF}{_N}(?!\s*[°/])",
    ),
    "qtc_ms": (
        rf"\bQT\s*/\s*QTc[^\d\s]*{_OF}[\s:=]*\d{{3}}\s*/\s*(\d{{3}})",
        rf"\bQTc(?:B|\s*\(?Baz[a-z]*\)?)?{_OF}{_N}",
    ),
    "axis_deg": (
        r"\bP\s*[-/]\s*(?:QRS|R)\s*[-/]\s*T(?:[ -]*(?:winkel|axes|axis|achsen?))?[\s:=]*"
        r"-?\d{1,3}°?[\s/]+(-?\d{1,3})°?[\s/]+-?\d{1,3}",
        rf"\b(?:QRS|R)[ -]*(?:axis|achse|axe|eje){_N}",
    ),
}  # fmt: skip
_AGE = (
    r"\b(?:age|alter|âge|edad|età|leeftijd)\b[\s:=]*0*(\d{1,3})\b",
    r"(?<![\d.,/-])0*(\d{1,3})\s?(?:years?|yrs?|yo|jahre|jahr|j\.|ans|años|anni|y)(?![a-z])",
)
_SEX = (
    r"\b(?:sex|gender|geschlecht|sexe|sexo|sesso)\b[\s:=]*(\w+)",
    r"\b(male|female|männlich|weiblich|homme|femme|hombre|mujer)\b",
)
_SEXES = {
    "m": "M", "male": "M", "männlich": "M", "mann": "M", "homme": "M", "hombre": "M",
    "f": "F", "w": "F", "female": "F", "weiblich": "F", "frau": "F", "femme": "F", "mujer": "F",
}  # fmt: skip


def stated_in(lines: Sequence[str]) -> MachineReading | None:
    """What lines of text state; None where that is nothing."""
    text = re.sub("[\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}\N{MINUS SIGN}]", "-", "\n".join(lines))
    measured = {name: _first(likes, text) for name, likes in _MEASURED.items()}
    age = _first(_AGE, text)
    sex = _SEXES.get((_first(_SEX, text) or "").lower())
    return machine_reading(measured, (), None if age is None else age_of(age), sex)


def _first(likes: Sequence[str], text: str) -> str | None:
    for like in likes:
        if (match := re.search(like, text, re.IGNORECASE | re.MULTILINE)) is not None:
            return match[1]
    return None
