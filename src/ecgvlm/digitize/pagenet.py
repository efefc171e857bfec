"""The page net: trace mask and lead names of a rectified page. Trained by `ecgvlm.train.small.pagenet`.

It runs in 8 bits, see `ecgvlm.train.small.quantize`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.page_layers import LEAST_WIDTH, PageLayers
from ecgvlm.quantile import quantile
from ecgvlm.record import LEADS
from ecgvlm.sessions import open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PX_PER_MM = 5.0
# Classes of the heat map: the leads' names, a calibration pulse, and what a page says of its scale.
PULSE = len(LEADS)
NOTES = ("25 mm/s", "50 mm/s", "5 mm/mV", "10 mm/mV", "20 mm/mV", "other mm/s", "other mm/mV")
FURTHER = PULSE + 1 + len(NOTES)  # the name of a lead beyond the twelve
CLASSES = FURTHER + 1
LEAST = 0.12  # probability from which on a peak of the heat map is a mark
# px of the squares whose brightness tells blank paper: a grid's period, so that its lines count alike in all.
_SQUARE = round(5 * PX_PER_MM)
# Part of what plain print differs by from the paper about it that blank paper may: at least so many grey
# levels, or print is too faint to tell, and at most so many.
_BLANK, _TELLING, _MOST_BLANK = 0.25, 2.0, 4.0
_SIDE = 2  # squares at either side of a page that are not looked at: shadows and edges
_ABOUT = 2 * _SQUARE  # px about print that are no blank paper
_WORTHWHILE = 64  # px of blank paper that are worth leaving out


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
    """The shipped net. threads: of ONNX Runtime, where it is what runs it."""

    def __init__(self, threads: int = 2):
        self._threads = threads
        self._layers = PageLayers() if PageLayers.can_run() else None

    @cached_property
    def _session(self) -> InferenceSession:
        return open_session("pagenet.onnx", threads=self._threads)

    def __call__(self, page: np.ndarray) -> NetMaps:
        """page: [H, W, 3] uint8 RGB at `PX_PER_MM`, H and W multiples of 16."""
        h, w, _ = page.shape
        parts = _printed(cv2.cvtColor(page, cv2.COLOR_RGB2GRAY))
        printed = np.concatenate([page[part] for part in parts]) if len(parts) > 1 else page[parts[0]]
        trace, names = self._seen(printed)
        if len(trace) == h:
            return NetMaps(trace, names)
        whole = NetMaps(np.zeros((h, w), np.float32), np.zeros((CLASSES, h // 4, w // 4), np.float32))
        begin = 0
        for part in parts:
            end = begin + part.stop - part.start
            whole.trace[part] = trace[begin:end]
            whole.names[:, part.start // 4 : part.stop // 4] = names[:, begin // 4 : end // 4]
            begin = end
        return whole

    def _seen(self, page: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The maps of `NetMaps`."""
        h, w, _ = page.shape
        if self._layers is None or w < LEAST_WIDTH:
            trace, names = self._session.run(
                None, {"page": np.ascontiguousarray(page).reshape(h, w // 4, 12)}
            )
            return trace[0, 0], names[0]
        ink, classes = self._layers(page)
        of_ink, of_names = self._layers.levels
        by_class = cv2.transpose(np.ascontiguousarray(classes).reshape(-1, classes.shape[2]))[:CLASSES]
        return cv2.LUT(ink, of_ink), cv2.LUT(by_class, of_names).reshape(CLASSES, h // 4, w // 4)


def _printed(grey: np.ndarray) -> list[slice]:
    """The rows of a page [H, W] uint8 but for wide stretches that are blank from side to side, all in
    multiples of 16; all of it where it has none."""
    height, width = grey.shape
    rows, columns = height // _SQUARE, width // _SQUARE
    if not rows or columns <= 2 * _SIDE:
        return [slice(0, height)]
    whole = grey[: rows * _SQUARE, : columns * _SQUARE]
    squares = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    off = np.abs(squares - cv2.medianBlur(squares, 5))[:, _SIDE:-_SIDE]
    most = _BLANK * quantile(off.ravel(), 0.95)
    if most < _TELLING:
        return [slice(0, height)]
    blank = (off < min(most, _MOST_BLANK)).all(1)
    parts, begin = [], 0
    for first, beyond in filters.runs(blank):
        top = -(-(first * _SQUARE + _ABOUT) // 16) * 16 if first else 0
        bottom = (beyond * _SQUARE - _ABOUT) // 16 * 16 if beyond < rows else height
        if bottom - top >= _WORTHWHILE:
            parts.append(slice(begin, top))
            begin = bottom
    return [part for part in (*parts, slice(begin, height)) if part.stop > part.start]
