"""What a rendered page knows about itself: the truth that digitising is trained and judged on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class TraceTruth:
    """One printed strip of one lead.

    lead: name as in `LEADS` or `layouts.FURTHER`. rhythm: True for the extra full-width strip at the bottom.
    t: [n] seconds of the record at each point. mv: [n] mV. xy: [n, 2] pixel position of each point (x right,
    y down; the centre of the top left pixel is (0, 0)); mv and xy are NaN where nothing is printed. box: [4,
    2] px corners (tl, tr, br, bl) of the area the strip occupies. name_box: [4, 2] px corners of its printed
    lead name, or None where no name is printed. inverted: True for -aVR of Cabrera's order; mv is the lead's
    own, the print upside down.
    """

    lead: str
    rhythm: bool
    t: np.ndarray
    mv: np.ndarray
    xy: np.ndarray
    box: np.ndarray
    name_box: np.ndarray | None
    inverted: bool = False


@dataclass(frozen=True)
class PageTruth:
    """Truth of one page picture.

    mesh: [rows, cols, 2] px position of the paper's points every 5 mm, mesh[j, i] = where (5 i mm, 5 j mm)
    lies, after every warp; where a grid is printed its thick lines run through these points. px_per_mm is the
    rendering's nominal scale (before any warp). pulses: [k, 4, 2] px boxes of calibration pulses. order:
    of `layouts.ORDERS`. notes: what the page says of its scale ("25 mm/s", "10 mm/mV"), note_boxes: [m,
    4, 2] px where. ruled: whether a grid is printed.
    """

    layout: str
    mm_per_s: float
    mm_per_mv: float
    px_per_mm: float
    mesh: np.ndarray
    traces: tuple[TraceTruth, ...]
    pulses: np.ndarray
    order: str = "standard"
    notes: tuple[str, ...] = ()
    note_boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4, 2)))
    ruled: bool = True

    def warped(self, move: Callable[[np.ndarray], np.ndarray]) -> PageTruth:
        """The same truth after a warp. move: [n, 2] px before -> [n, 2] px after; called once for all."""
        parts = [self.mesh, self.pulses, self.note_boxes]
        for trace in self.traces:
            parts += [trace.xy, trace.box] + ([] if trace.name_box is None else [trace.name_box])
        moved = move(np.concatenate([np.reshape(part, (-1, 2)) for part in parts]))
        ends = np.cumsum([part.size // 2 for part in parts])[:-1]
        new = iter(piece.reshape(part.shape) for piece, part in zip(np.split(moved, ends), parts))
        mesh, pulses, note_boxes = next(new), next(new), next(new)
        traces = tuple(
            replace(
                trace, xy=next(new), box=next(new), name_box=None if trace.name_box is None else next(new)
            )
            for trace in self.traces
        )
        return replace(self, mesh=mesh, pulses=pulses, traces=traces, note_boxes=note_boxes)


@dataclass(frozen=True)
class Rendering:
    """image: [H, W, 3] uint8 RGB, and its truth."""

    image: np.ndarray
    truth: PageTruth
