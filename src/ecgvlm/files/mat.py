"""MATLAB files (versions 4 and 5) with an array of twelve leads in their usual order: what is left of CinC's
records without their headers, and what people save. Without units, as `npy`."""

from __future__ import annotations

import io
import re

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import assumed_record
from ecgvlm.record import Record

_RATE = re.compile(r"fs|sfreq|srate|sampl\w*|freq\w*", re.IGNORECASE)


def is_mat(data: bytes) -> bool:
    """Version 4 begins with numbers; WFDB's arrays in it are called val."""
    return data.startswith(b"MATLAB 5.0 MAT-file") or data[20:24] == b"val\0"


def read_mat(data: bytes, name: str) -> Record:
    """The largest array of [12, n] or [n, 12]. Raises EcgError, or what SciPy stumbles on."""
    import scipy.io

    found = {k: v for k, v in scipy.io.loadmat(io.BytesIO(data)).items() if isinstance(v, np.ndarray)}
    numbers = {k: v for k, v in found.items() if v.dtype.kind in "iuf"}
    arrays = [v for v in numbers.values() if v.ndim == 2 and 12 in v.shape]
    if not arrays:
        raise unreadable(name, "the MATLAB file holds no array of twelve leads")
    rates = [float(v.item()) for k, v in numbers.items() if v.size == 1 and _RATE.fullmatch(k)]
    return assumed_record(max(arrays, key=np.size), name, rates[0] if rates else None)
