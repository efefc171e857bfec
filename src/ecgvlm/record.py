"""A 12-lead ECG record in millivolts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


@dataclass(frozen=True)
class Record:
    """Twelve leads over time.

    signal: [12, n] float32 in mV, rows in the order of `LEADS`, NaN where nothing was recorded.
    fs: sampling rate in Hz. age in years, sex "F" or "M", None where unknown.
    labels: codes of `ecgvlm.labels`, or None where the record carries no labels.
    """

    signal: np.ndarray
    fs: float
    age: float | None = None
    sex: str | None = None
    labels: frozenset[str] | None = None
    report: str | None = None
    source: str = ""
    patient: str = ""
    meta: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.signal.ndim != 2 or self.signal.shape[0] != 12:
            raise ValueError(f"signal must be [12, n], not {self.signal.shape}")

    @property
    def seconds(self) -> float:
        return self.signal.shape[1] / self.fs
