"""MATLAB files (versions 4 and 5) with an array of twelve leads in their usual order, by itself or in a
structure: what is left of CinC's records without their headers, CPSC 2018's, and what people save. Without
units, as `npy`."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import age_of, assumed_record, sex_of
from ecgvlm.record import Record

_CPSC, _CPSC_RATE = {"sex", "age", "data"}, 500.0  # Hz, which its files do not say
_RATE = re.compile(r"fs|sfreq|srate|sampl\w*|freq\w*", re.IGNORECASE)


def is_mat(data: bytes) -> bool:
    """Version 4 begins with numbers; WFDB's arrays in it are called val."""
    return data.startswith(b"MATLAB 5.0 MAT-file") or data[20:24] == b"val\0"


def read_mat(data: bytes, name: str) -> Record:
    """The largest array of [12, n] or [n, 12]. Raises EcgError, or what SciPy stumbles on."""
    import scipy.io

    found: dict[str, np.ndarray] = {}
    for key, value in scipy.io.loadmat(io.BytesIO(data)).items():
        if isinstance(value, np.ndarray):
            fields = value.dtype.names if value.size == 1 else None
            found |= (
                {field: np.asarray(value.item()[i]) for i, field in enumerate(fields)}
                if fields
                else {key: value}
            )
    numbers = {k: v for k, v in found.items() if v.dtype.kind in "iuf"}
    arrays = [v for v in numbers.values() if v.ndim == 2 and 12 in v.shape]
    if not arrays:
        raise unreadable(name, "the MATLAB file holds no array of twelve leads")
    rates = [float(v.item()) for k, v in numbers.items() if v.size == 1 and _RATE.fullmatch(k)]
    if found.keys() >= _CPSC:
        rates.append(_CPSC_RATE)
    record = assumed_record(max(arrays, key=np.size), name, rates[0] if rates else None)
    age, sex = (str(np.squeeze(found.get(key, ""))) for key in ("age", "sex"))
    return replace(record, age=age_of(age), sex=sex_of(sex))
