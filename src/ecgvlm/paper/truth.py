"""What a rendered page knows about itself: the truth that digitising is trained and judged on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TraceTruth:
    """One printed strip of one lead.

    lead: name as in `LEADS`. rhythm: True for the extra full-width strip at the bottom.
    t: [n] seconds of the record at each point. mv: [n] mV. xy: [n, 2] pixel position of each point (x right, y down;
    the centre of the top left pixel is (0, 0)). box: [4, 2] px corners (tl, tr, br, bl) of the area the strip
    occupies. name_box: [4, 2] px corners of its printed lead name, or None where no name is printed.
    """

    lead: str
    rhythm: bool
    t: np.ndarray
    mv: np.ndarray
    xy: np.ndarray
    box: np.ndarray
    name_box: np.ndarray | None


@dataclass(frozen=True)
class PageTruth:
    """Truth of one page picture.

    mesh: [rows, cols, 2] px position of the paper's points every 5 mm, mesh[j, i] = where (5 i mm, 5 j mm) lies, after
    every warp. px_per_mm is the rendering's nominal scale (before any warp). pulses: [k, 4, 2] px boxes of calibration pulses.
    """

    layout: str
    mm_per_s: float
    mm_per_mv: float
    px_per_mm: float
    mesh: np.ndarray
    traces: tuple[TraceTruth, ...]
    pulses: np.ndarray


@dataclass(frozen=True)
class Rendering:
    """image: [H, W, 3] uint8 RGB, and its truth."""

    image: np.ndarray
    truth: PageTruth
