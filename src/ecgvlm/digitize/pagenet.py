"""The page net: trace mask and lead names of a rectified page. Trained by `ecgvlm.train.small.pagenet`.

It runs in 8 bits, see `ecgvlm.train.small.quantize`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecgvlm.record import LEADS
from ecgvlm.sessions import open_session

PX_PER_MM = 5.0
# Classes of the heat map: the leads' names, a calibration pulse, and what a page says of its scale.
PULSE = len(LEADS)
NOTES = ("25 mm/s", "50 mm/s", "5 mm/mV", "10 mm/mV", "20 mm/mV", "other mm/s", "other mm/mV")
FURTHER = PULSE + 1 + len(NOTES)  # the name of a lead beyond the twelve
CLASSES = FURTHER + 1
LEAST = 0.12  # probability from which on a peak of the heat map is a mark


@dataclass(frozen=True)
class Mark:
    """A lead name, calibration pulse or note of the scale: class, centre in px of the page, probability."""

    kind: int
    x: float
    y: float
    p: float

    @property
    def note(self) -> str | None:
        """Which of `NOTES` it is, None where it is none."""
        return NOTES[self.kind - PULSE - 1] if PULSE < self.kind < FURTHER else None


@dataclass(frozen=True)
class NetMaps:
    """trace: [H, W] probability of trace ink. names: [CLASSES, H/4, W/4] probabilities of names' centres."""

    trace: np.ndarray
    names: np.ndarray

    def marks(self, least: float = LEAST) -> list[Mark]:
        """Peaks of the heat map that are at least so probable, 2 mm apart within a class."""
        return [mark for mark in self._peaks if mark.p >= least]

    @cached_property
    def _peaks(self) -> list[Mark]:
        likely = np.unravel_index(np.flatnonzero(self.names >= LEAST), self.names.shape)
        return [
            Mark(kind, 4.0 * x + 2, 4.0 * y + 2, float(self.names[kind, y, x]))
            for kind, y, x in zip(*(at.tolist() for at in likely))
            if self.names[kind, y, x] >= self.names[kind, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].max()
        ]


class PageNet:
    """ONNX Runtime session of the shipped net."""

    def __init__(self, threads: int = 2):
        self._session = open_session("pagenet.onnx", threads=threads)

    def __call__(self, page: np.ndarray) -> NetMaps:
        """page: [H, W, 3] uint8 RGB at `PX_PER_MM`, H and W multiples of 16."""
        h, w, _ = page.shape
        x = np.ascontiguousarray(page).reshape(h, w // 4, 12)
        trace, names = self._session.run(None, {"page": x})
        return NetMaps(trace[0, 0], names[0])
