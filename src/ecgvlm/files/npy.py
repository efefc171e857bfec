"""NumPy arrays (.npy) of twelve leads in their usual order, without units and sampling rate."""

from __future__ import annotations

import io

import numpy as np

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.leads import Part, damaged, record_of
from ecgvlm.record import LEADS, Record

_SECONDS = 10.0  # a resting ECG
_KNOWN = {4096: 400.0, 2048: 250.0, 4000: 400.0}  # samples -> Hz where that is not ten seconds: CODE-15%
_MICROVOLTS = 50.0  # swing from which on values can be no millivolts
_TENTHS = 8.0  # swing from which on they are 1e-4 V, as CODE-test's


def is_npy(data: bytes) -> bool:
    return data[:6] == b"\x93NUMPY"


def count_npy(data: bytes, name: str) -> int:
    """How many ECGs an array holds. Raises EcgError."""
    return len(_array(data, name))


def read_npy(data: bytes, name: str, index: int = 0) -> Record:
    """One ECG of [12, n], [n, 12], or many of either. Values are mV, 0.1 mV or uV, as their swing tells; ten
    seconds are assumed. Raises EcgError."""
    leads = _array(data, name)[index]
    leads = leads if len(leads) == 12 else leads.T
    fs = _KNOWN.get(leads.shape[1], leads.shape[1] / _SECONDS)
    if not 50 <= fs <= 2000:
        raise EcgError(
            "unsupported_format",
            f"{name}: {leads.shape[1]:,} samples are not ten seconds at any usual rate; save CSV with time_s",
        )
    return record_of([Part(LEADS, _millivolts(leads), fs)], name)


def _array(data: bytes, name: str) -> np.ndarray:
    """[N, 12, n] or [N, n, 12]."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
        if array.ndim not in (2, 3) or 12 not in array.shape[-2:] or array.dtype.kind not in "iuf":
            raise ValueError(f"{array.dtype} of shape {array.shape}; twelve leads of numbers are needed")
    except Exception as error:  # NumPy's parser of the header raises whatever damage leads to
        raise damaged(name, "NumPy array of an ECG", error) from error
    if not array.size:
        raise unreadable(name, "the array is empty")
    return array if array.ndim == 3 else array[None]


def _millivolts(leads: np.ndarray) -> np.ndarray:
    leads = leads.astype(np.float32)
    if not np.isfinite(leads).any():
        return leads
    low, high = np.nanpercentile(leads, (0.5, 99.5), axis=1)
    swing = float(np.nanmedian(high - low))
    return leads * (1e-3 if swing > _MICROVOLTS else 0.1 if swing > _TENTHS else 1.0)
