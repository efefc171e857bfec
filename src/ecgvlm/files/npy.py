"""NumPy arrays (.npy) of twelve leads in their usual order, without units and sampling rate."""

from __future__ import annotations

import io

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import assumed_record, damaged
from ecgvlm.record import Record


def is_npy(data: bytes) -> bool:
    return data[:6] == b"\x93NUMPY"


def count_npy(data: bytes, name: str) -> int:
    """How many ECGs an array holds. Raises EcgError."""
    return len(_array(data, name))


def read_npy(data: bytes, name: str, index: int = 0) -> Record:
    """One ECG of [12, n], [n, 12], or many of either. Values are mV, 0.1 mV or uV, as their swing tells; ten
    seconds are assumed. Raises EcgError."""
    return assumed_record(_array(data, name)[index], name)


def _array(data: bytes, name: str) -> np.ndarray:
    """[N, 12, n] or [N, n, 12]."""
    try:
        array = np.squeeze(np.load(io.BytesIO(data), allow_pickle=False))
        if array.ndim not in (2, 3) or 12 not in array.shape[-2:] or array.dtype.kind not in "iuf":
            raise ValueError(f"{array.dtype} of shape {array.shape}; twelve leads of numbers are needed")
    except Exception as error:  # NumPy's parser of the header raises whatever damage leads to
        raise damaged(name, "NumPy array of an ECG", error) from error
    if not array.size:
        raise unreadable(name, "the array is empty")
    return array if array.ndim == 3 else array[None]
