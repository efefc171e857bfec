"""EDF, EDF+, BDF and BDF+ by `edfio`: pure Python, kept by the Siesta Group, and it reads from memory, not
only from paths (as pyedflib, which needs a compiler where it has no wheel)."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import Part, age_at, in_mv, lead_row, record_of
from ecgvlm.record import Record

_EDF, _BDF = b"0       ", b"\xffBIOSEMI"
_PLUS = (b"EDF+", b"BDF+")
_DISCONTINUOUS = (b"EDF+D", b"BDF+D")
_ANNOTATIONS = (b"EDF Annotations", b"BDF Annotations")


def is_edf(data: bytes) -> bool:
    return data[:8] in (_EDF, _BDF)


def read_edf(data: bytes, name: str) -> Record:
    """The signals that are called like leads; what a discontinuous file (EDF+D, BDF+D) left out is NaN.

    Raises EcgError, or what edfio stumbles on.
    """
    import edfio

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # of a last record that is cut off
        file = (edfio.read_bdf if data[:8] == _BDF else edfio.read_edf)(io.BytesIO(data))
    signals = [(s, lead) for s in file.signals if lead_row(lead := s.label) is not None]
    onsets = _onsets(data) if data[192:197] in _DISCONTINUOUS else [0.0]
    parts = []
    for s, lead in signals:
        rows = np.split(s.data * in_mv(s.physical_dimension or "uV", name, lead), len(onsets))
        parts += [Part([lead], row[None], s.sampling_frequency, start) for row, start in zip(rows, onsets)]
    if len({lead_row(lead) for _, lead in signals}) < len(signals):
        raise unreadable(name, "a lead is there twice")
    known = _patient(file) if data[192:196] in _PLUS else {}
    return record_of(parts or [Part(["-"], np.zeros((1, 1)), 500.0)], name, **known)


def _patient(file: Any) -> dict[str, Any]:
    """Age and sex, where the header of an EDF+ or BDF+ file says them; of plain EDF it is anybody's text."""
    try:
        age = age_at(file.patient.birthdate.isoformat(), file.recording.startdate.isoformat())
    except ValueError:  # unsaid, or no dates
        age = None
    return {"age": age, "sex": file.patient.sex if file.patient.sex in ("M", "F") else None}


def _onsets(data: bytes) -> list[float]:
    """When each data record begins, in s: what stands first in its annotations, up to byte 20."""
    count, width = int(data[252:256]), 3 if data[:8] == _BDF else 2
    labels = [data[256 + 16 * i : 272 + 16 * i].strip() for i in range(count)]
    sizes = [width * int(data[256 + 216 * count + 8 * i :][:8]) for i in range(count)]
    first = next(i for i, label in enumerate(labels) if label in _ANNOTATIONS)
    records = range(int(data[184:192]), len(data) - sum(sizes) + 1, sum(sizes))
    notes = (data[at + sum(sizes[:first]) :][: sizes[first]] for at in records)
    return [float(note.partition(b"\x14")[0]) for note in notes]
