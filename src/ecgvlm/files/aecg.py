"""HL7's annotated ECG (AnnotatedECG, HL7 v3): the rhythm series; representative beats derived from it are
passed over."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import Part, age_at, in_mv, machine_reading, number, record_of, sex_of
from ecgvlm.files.xml import find, text_of
from ecgvlm.record import MachineReading, Record

ROOT = "annotatedecg"
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_MEASURED = {
    "MDC_ECG_HEART_RATE": "heart_rate_bpm", "MDC_ECG_TIME_PD_PR": "pr_ms", "MDC_ECG_TIME_PD_QRS": "qrs_ms",
    "MDC_ECG_TIME_PD_QT": "qt_ms", "MDC_ECG_TIME_PD_QTC": "qtc_ms", "MDC_ECG_TIME_PD_QTCB": "qtc_ms",
    "MDC_ECG_ANGLE_QRS_FRONT": "axis_deg",
}  # fmt: skip


def read_aecg(root: Element, name: str) -> Record:
    """The leads of the first series that has any, with the annotations about the whole of it. Raises
    EcgError."""
    for series in root.iterfind("component/series"):
        parts = [
            part
            for sequences in series.iterfind("component/sequenceset")
            if (part := _part(sequences, name)) is not None
        ]
        if parts:
            first = min(part.start for part in parts)
            parts = [Part(p.names, p.signal, p.fs, p.start - first) for p in parts]
            return record_of(
                parts,
                name,
                age=age_at(_said(root, "birthtime"), _day_of(root, series)),
                sex=sex_of(_said(root, "administrativegendercode", "code")),
                machine=_machine(root),
            )
    raise unreadable(name, "the annotated ECG holds no leads")


def _said(element: Element, tag: str, attribute: str = "value") -> str:
    found = find(element, tag)
    return "" if found is None else found.get(attribute, "")


def _day_of(root: Element, series: Element) -> str:
    """When it was recorded: the start, centre or value of the effective time."""
    for element in (series, root):
        time = element.find("effectivetime")
        for stated in () if time is None else (time, *time):
            if stated.get("value"):
                return stated.get("value", "")
    return ""


def _part(sequences: Element, name: str) -> Part | None:
    """The leads of one sequence set, by the time axis that stands among them."""
    step, start = None, 0.0
    names, rows = [], []
    for sequence in sequences.iterfind("component/sequence"):
        code = sequence.find("code")
        value = sequence.find("value")
        label = "" if code is None else code.get("code", "")
        if value is None:
            continue
        if (increment := value.find("increment")) is not None:
            step = _seconds(increment.get("value", ""), increment.get("unit", "s"))
            if step <= 0:
                raise unreadable(name, "its time axis has no step")
            head = value.find("head")
            start = 0.0 if head is None else _seconds(head.get("value", ""), head.get("unit"))
        elif text_of(digits := value.find("digits")):  # of a lead that was off there are none
            scale, unit = _quantity(value.find("scale"))
            if scale <= 0:
                raise unreadable(name, f"{label} has no scale above zero")
            origin, origin_unit = _quantity(value.find("origin"))
            counts = np.array(text_of(digits).split(), float)
            names.append(label)
            rows.append(
                counts * (scale * in_mv(unit, name, label)) + origin * in_mv(origin_unit, name, label)
            )
    if not rows:
        return None
    if step is None:
        raise unreadable(name, "the annotated ECG has no time axis")
    length = min(map(len, rows))
    return Part(names, np.stack([row[:length] for row in rows]), 1 / step, start)


def _quantity(element: Element | None) -> tuple[float, str]:
    if element is None:
        return 0.0, "uV"
    return number(element.get("value", "")) or 0.0, element.get("unit", "uV")


def _seconds(text: str, unit: str | None) -> float:
    """s of a time of the day (YYYYMMDDhhmmss.ffff), or of a quantity with its unit."""
    if unit is not None:
        return (number(text) or 0.0) * _SECONDS.get(unit, 1.0)
    clock = re.match(r"\d{8}(\d\d)(\d\d)(\d\d(?:\.\d+)?)", text)
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]) if clock else 0.0


def _machine(root: Element) -> MachineReading | None:
    measured: dict[str, float] = {}
    statements = []
    for annotation in root.iter("annotation"):
        code = annotation.find("code")
        value = annotation.find("value")
        if code is None or value is None:
            continue
        kind = code.get("code", "").upper().removesuffix("_GL")
        if kind in _MEASURED and value.get("value"):
            seconds = value.get("unit") == "s"
            measured.setdefault(
                _MEASURED[kind], (number(value.get("value", "")) or 0.0) * (1000 if seconds else 1)
            )
        elif kind.startswith("MDC_ECG_INTERPRETATION") and text_of(value):
            statements.append(text_of(value))
    return machine_reading(measured, statements)
