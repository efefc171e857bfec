"""ISHNE Holter files (Badilini 1998, Ann Noninvasive Electrocardiol 3:263): a header of 522 bytes, then
samples of all leads in turn, 16 bit."""

from __future__ import annotations

import struct

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import Part, record_of
from ecgvlm.record import LEADS, Record

_MAGIC = (b"ISHNE1.0", b"ANN  1.0")
_HEADER = 522
_FIRST_LEAD = 5  # code of lead I; the others follow in the order of `LEADS`


def is_ishne(data: bytes) -> bool:
    return data[:8] in _MAGIC


def read_ishne(data: bytes, name: str) -> Record:
    """The leads of a Holter recording. Raises EcgError."""
    if data[:8] != _MAGIC[0]:
        raise unreadable(name, "an ISHNE annotation file holds no ECG; name the recording (.ecg)")
    if len(data) < _HEADER:
        raise unreadable(name, "the ISHNE file is cut off in its header")
    (start,) = struct.unpack_from("<i", data, 22)
    (sex,) = struct.unpack_from("<h", data, 128)
    (count,) = struct.unpack_from("<h", data, 156)
    codes = struct.unpack_from("<12h", data, 158)
    nanovolts = struct.unpack_from("<12h", data, 206)
    (fs,) = struct.unpack_from("<h", data, 272)
    if not 1 <= count <= 12 or not _HEADER <= start <= len(data):
        raise unreadable(name, "not a readable ISHNE file (its header is damaged)")
    if min(nanovolts[:count]) <= 0:
        raise unreadable(name, "the ISHNE file tells no step in nV of a lead")
    samples = np.frombuffer(data[start:], "<i2", (len(data) - start) // 2 // count * count)
    names = [LEADS[code - _FIRST_LEAD] if 0 <= code - _FIRST_LEAD < 12 else "-" for code in codes[:count]]
    signal = samples.reshape(-1, count).T * (np.array(nanovolts[:count])[:, None] * 1e-6)
    return record_of([Part(names, signal, float(fs))], name, sex={1: "M", 2: "F"}.get(sex))
