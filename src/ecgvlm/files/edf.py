"""EDF, EDF+, BDF and BDF+ by `edfio`: pure Python, kept by the Siesta Group, and it reads from memory, not
only from paths (as pyedflib, which needs a compiler where it has no wheel)."""

from __future__ import annotations

import io
import re

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import Part, in_mv, lead_row, record_of
from ecgvlm.record import Record

_EDF, _BDF = b"0       ", b"\xffBIOSEMI"


def is_edf(data: bytes) -> bool:
    return data[:8] in (_EDF, _BDF)


def read_edf(data: bytes, name: str) -> Record:
    """The signals that are called like leads. Raises EcgError, or what edfio stumbles on."""
    import edfio

    file = (edfio.read_bdf if data[:8] == _BDF else edfio.read_edf)(io.BytesIO(data))
    signals = [(s, lead) for s in file.signals if lead_row(lead := _label(s.label)) is not None]
    parts = [
        Part([lead], s.data[None] * in_mv(s.physical_dimension or "uV", name, lead), s.sampling_frequency)
        for s, lead in signals
    ]
    if len({lead_row(lead) for _, lead in signals}) < len(signals):
        raise unreadable(name, "a lead is there twice")
    return record_of(parts or [Part(["-"], np.zeros((1, 1)), 500.0)], name)


def _label(label: str) -> str:
    """A signal's label without its kind: "ECG V1-REF", "EKG: aVR", "V6 uV"."""
    return re.sub(r"\s+[unm]V$", "", label.strip())
