"""Philips Sierra XML (restingecgdata, versions 1.03 and 1.04): leads as base64, plain or XLI-compressed.

`sierraecg` (MIT, by the authors of the format's published description) unpacks XLI; the rest is read here,
because it refuses uncompressed files, knows no resolution and no measurements.
"""

from __future__ import annotations

import base64
from xml.etree.ElementTree import Element

import numpy as np

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.leads import Part, age_of, machine_reading, number, record_of, sex_of
from ecgvlm.files.xml import find, first_text, samples_of, text_of
from ecgvlm.record import LEADS, MachineReading, Record

ROOT = "restingecgdata"
_UV_PER_UNIT = 5.0  # where the file states no resolution
_MEASURED = {
    "heart_rate_bpm": ("heartrate", "meanventrate"), "pr_ms": ("print", "meanprint"),
    "qrs_ms": ("qrsdur", "meanqrsdur"), "qt_ms": ("qtint", "meanqtint"), "qtc_ms": ("qtcb", "meanqtc"),
    "axis_deg": ("qrsfrontaxis",),
}  # fmt: skip


def read_sierra(root: Element, name: str) -> Record:
    """The leads of a Sierra file, with what the device measured and stated. Raises EcgError."""
    details, waveforms = find(root, "signalcharacteristics"), find(root, "parsedwaveforms")
    if waveforms is None:
        raise unreadable(name, "the Sierra file holds no waveforms")
    fs = number(first_text(details, "samplingrate") or waveforms.get("samplespersecond", ""))
    resolution = number(
        waveforms.get("resolution", "") or first_text(details, "resolution", "signalresolution")
    )
    if fs is None:
        raise unreadable(name, "the Sierra file tells no sampling rate")
    if waveforms.get("dataencoding", "Base64").lower() != "base64":
        raise EcgError(
            "unsupported_format", f"{name}: waveforms in {waveforms.get('dataencoding')} are not read"
        )
    labels = waveforms.get("leadlabels", "").replace(",", " ").split() or list(LEADS)
    packed = waveforms.get("compressflag", "true").lower() != "false"
    method = (waveforms.get("compressmethod") or waveforms.get("compression") or "uncompressed").lower()
    if packed and method == "xli":
        units = _from_differences(_unpacked(base64.b64decode(text_of(waveforms)), labels), labels)
    elif not packed or method in ("uncompressed", "none"):
        rows = samples_of(waveforms)
        units = rows[: len(rows) // len(labels) * len(labels)].reshape(len(labels), -1)
    else:
        raise EcgError("unsupported_format", f"{name}: waveforms compressed by {method} are not read")
    part = Part(labels[: len(units)], units * ((resolution or _UV_PER_UNIT) / 1000), fs)
    return record_of(
        [part],
        name,
        age=age_of(first_text(root, "age/years")),
        sex=sex_of(text_of(root, "sex")),
        machine=_machine(root),
    )


def _unpacked(data: bytes, labels: list[str]) -> np.ndarray:
    """[leads, n] of XLI chunks, one a lead."""
    from sierraecg.xli import xli_decode

    rows = xli_decode(data, labels)
    length = min(map(len, rows))
    return np.stack([row[:length] for row in rows]).astype(int)


def _from_differences(rows: np.ndarray, labels: list[str]) -> np.ndarray:
    """XLI holds of III, aVR, aVL and aVF only how far they are from what I and II foretell."""
    if tuple(labels[:6]) != LEADS[:6] or len(rows) < 6:
        return rows
    one, two = rows[0], rows[1]
    rows[2] = two - one - rows[2]
    rows[3] = -rows[3] - (one + two) // 2
    rows[4] = (one - rows[2]) // 2 - rows[4]
    rows[5] = (two + rows[2]) // 2 - rows[5]
    return rows


def _machine(root: Element) -> MachineReading | None:
    measured = {key: first_text(root, *tags) for key, tags in _MEASURED.items()}
    said = [f"{text_of(s, 'leftstatement')} {text_of(s, 'rightstatement')}" for s in root.iter("statement")]
    return machine_reading(measured, said)
