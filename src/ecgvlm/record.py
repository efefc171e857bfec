"""A 12-lead ECG record in millivolts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


@dataclass(frozen=True)
class MachineReading:
    """What an electrocardiograph wrote into its file, or onto its page, about the ECG.

    measurements: of the names in `ecgvlm.measure.MEASUREMENTS`, only those that it states. statements: its
    lines. age in years, sex "F" or "M": of the person, None where it does not say.
    """

    measurements: dict[str, float] = field(default_factory=dict)
    statements: tuple[str, ...] = ()
    age: float | None = None
    sex: str | None = None

    def __bool__(self) -> bool:
        return bool(self.measurements or self.statements or self.age is not None or self.sex)

    def to_dict(self) -> dict:
        person = {key: value for key, value in (("age", self.age), ("sex", self.sex)) if value is not None}
        return {"measurements": self.measurements, "statements": list(self.statements), **person}


@dataclass(frozen=True)
class Record:
    """Twelve leads over time.

    signal: [12, n] float32 in mV, rows in the order of `LEADS`, NaN where nothing was recorded.
    fs: sampling rate in Hz. age in years, sex "F" or "M", None where unknown.
    labels: codes of `ecgvlm.labels`, or None where the record carries no labels.
    machine: what the recording device says of it, None where the file holds nothing of the kind.
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
    machine: MachineReading | None = None

    def __post_init__(self) -> None:
        if self.signal.ndim != 2 or self.signal.shape[0] != 12:
            raise ValueError(f"signal must be [12, n], not {self.signal.shape}")

    @property
    def seconds(self) -> float:
        return self.signal.shape[1] / self.fs
