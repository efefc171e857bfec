"""GE MUSE's XML of a resting ECG (RestingECG): the rhythm waveform, eight leads, base64 of 16-bit
integers."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import Part, age_at, age_of, in_mv, machine_reading, number, record_of, sex_of
from ecgvlm.files.xml import find, first_text, samples_of, text_of
from ecgvlm.record import MachineReading, Record

ROOT = "restingecg"
_UNITS = {"microvolts": "uV", "millivolts": "mV", "nanovolts": "nV", "volts": "V"}
_USUAL_STEP = 4.88  # uV, where a file does not say
_YEARS = {
    "years": 1.0,
    "year": 1.0,
    "months": 1 / 12,
    "weeks": 7 / 365.25,
    "days": 1 / 365.25,
    "hours": 1 / 8766,
}
_MEASURED = {
    "heart_rate_bpm": "ventricularrate", "pr_ms": "printerval", "qrs_ms": "qrsduration",
    "qt_ms": "qtinterval", "qtc_ms": "qtcorrected", "axis_deg": "raxis",
}  # fmt: skip


def read_muse(root: Element, name: str) -> Record:
    """The rhythm leads of a MUSE file, with what the device measured and stated. Raises EcgError."""
    waveforms = [w for w in root.iter("waveform") if find(w, "leaddata") is not None]
    rhythm = [w for w in waveforms if "median" not in text_of(w, "waveformtype").lower()] or waveforms
    if not rhythm:
        raise unreadable(name, "the MUSE file holds no waveform")
    waveform = max(rhythm, key=lambda w: len(text_of(w, "leaddata/waveformdata")))
    fs = number(text_of(waveform, "samplebase"))
    if fs is None:
        raise unreadable(name, "the MUSE file tells no sampling rate")
    fs *= 10.0 ** (number(text_of(waveform, "sampleexponent")) or 0)
    leads = [_lead(lead, name) for lead in waveform.iter("leaddata")]
    leads = [(lead, row) for lead, row in leads if row.size]  # of one that was off nothing is kept
    if not leads:
        raise unreadable(name, "all leads of the MUSE file are empty")
    length = min(len(row) for _, row in leads)
    part = Part([lead for lead, _ in leads], np.stack([row[:length] for _, row in leads]), fs)
    age = age_of(text_of(root, "patientage"))
    if age is None:
        age = age_at(text_of(root, "dateofbirth"), text_of(root, "acquisitiondate"))
    else:
        age *= _YEARS.get(text_of(root, "ageunits").lower(), 1.0)
    return record_of(
        [part],
        name,
        age=age,
        sex=sex_of(text_of(root, "gender")),
        machine=_machine(root),
    )


def _lead(lead: Element, name: str) -> tuple[str, np.ndarray]:
    label = text_of(lead, "leadid")
    units = text_of(lead, "leadamplitudeunits").lower() or "microvolts"
    said = first_text(lead, "leadamplitudeunitsperbit")
    scale = number(said) if said else _USUAL_STEP
    if not scale or scale < 0:
        raise unreadable(name, f"lead {label} has steps of {said!r}, which is no voltage")
    return label, samples_of(find(lead, "waveformdata")) * (
        scale * in_mv(_UNITS.get(units, units), name, label)
    )


def _machine(root: Element) -> MachineReading | None:
    """The confirmed measurements and statements, or else the device's first ones."""
    measured = find(root, "restingecgmeasurements")
    if measured is None:
        measured = find(root, "originalrestingecgmeasurements")
    diagnosis = find(root, "diagnosis")
    if diagnosis is None:
        diagnosis = find(root, "originaldiagnosis")
    lines, line = [], ""
    for statement in [] if diagnosis is None else diagnosis.iter("diagnosisstatement"):
        line = f"{line} {text_of(statement, 'stmttext')}"
        if "endsline" in [text_of(flag).lower() for flag in statement.iter("stmtflag")]:
            lines.append(line)
            line = ""
    return machine_reading({key: text_of(measured, tag) for key, tag in _MEASURED.items()}, [*lines, line])
