"""A picture seen as flat paper by one guess of its grid, and how much of an ECG that shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgvlm.digitize.arrangement import Name
from ecgvlm.digitize.assembly import SLOW
from ecgvlm.digitize.layout import Found
from ecgvlm.digitize.lettering import Notes
from ecgvlm.digitize.pagenet import PX_PER_MM, NetMaps
from ecgvlm.digitize.surface import PaperMap
from ecgvlm.quantile import median

_CUT = 0.95  # part of a column, of which less is one that is cut off
ROW_SLIGHTLY_OFF = 0.004  # part by which rows of 10 s on paper without a grid may be longer or shorter


@dataclass(frozen=True)
class View:
    """A rectified page with what the net and the layout search saw on it.

    image: [H, W, 3] uint8 RGB at `PX_PER_MM`. origin: mm of the paper at its first px. paper: of the picture,
    upright. found: None where no layout is seen.
    """

    image: np.ndarray
    origin: tuple[float, float]
    paper: PaperMap
    maps: NetMaps
    names: list[Name]
    notes: Notes
    found: Found | None

    def to_px(self, px: np.ndarray) -> np.ndarray:
        """[..., 2] px of the rectified page -> px of the picture, upright."""
        return self.paper.to_px(px / PX_PER_MM + self.origin)

    def sides(self, y: float, width: int) -> tuple[float, float]:
        """px of the rectified page at which a picture of this width begins and ends, at the height y."""
        xs = np.arange(self.image.shape[1])
        px = self.to_px(np.stack([xs, np.full(len(xs), y)], 1))[:, 0]
        inside = xs[(px >= 0) & (px < width)]
        return (float(inside[0]), float(inside[-1])) if len(inside) else (0.0, float(xs[-1]))


def score(view: View | None) -> float:
    """How well an ECG is seen in a view, 0 for none."""
    return view.found.score if view is not None and view.found is not None else 0.0


def row_mm(found: Found) -> float:
    """mm of printed time in a whole row. A rhythm strip runs through, whatever stands between the columns;
    where the picture ends within the row, a column that it shows tells how long the others are."""
    through = [s.x1 - s.x0 for s in found.strips if s.rhythm]
    columns = [b - a for a, b in {(s.x0, s.x1) for s in found.strips if not s.rhythm}]
    if len(columns) < found.columns or min(columns) < _CUT * max(columns):
        return found.columns * max(columns) / PX_PER_MM
    return (median(through) if through else sum(columns)) / PX_PER_MM


def off_scale(found: Found, notes: Notes) -> float:
    """Times by which the rows are longer than 10 s are, at 25 mm/s or at the speed that is printed."""
    zooms = [row_mm(found) / 10 / speed for speed in {SLOW, *notes.speeds}]
    return min(zooms, key=lambda zoom: abs(np.log(zoom)))
