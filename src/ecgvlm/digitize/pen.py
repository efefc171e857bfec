"""The curve that a pen drew, from the edges of its ink.

A round pen leaves ink from the least to the greatest y that the curve has under it. The ink's upper edge less
the pen's reach is the curve with all dents closed that are narrower than the pen, the lower one that with all
such spikes cut off. At a spike the one is right, at a dent the other, on a level line the middle of the ink;
blur, grids and bars beside it blunt all of them. A small net, trained by `ecgvlm.train.small.pen`, looks
along the ink and says how much each of these counts at every point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ecgvlm.quantile import quantile, quantiles
from ecgvlm.sessions import open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ALONG = 3  # points of a curve for one px of the page
LEVELS = (0.3, 0.5, 0.7)  # of plain ink's contrast, at which its edges lie
PLAIN = LEVELS.index(0.5)
APART = 48  # points of nothing between two strips, more than the net looks to either side
_NEAR_END = 12.0  # px from a strip's end, where bars and neighbours stand
CHOICES, FACTS = 4 * len(LEVELS) + 10, 8  # of what the net sees, see `views_of`
_THIN = 0.3  # quantile of level ink's thickness that is the pen's width


@dataclass(frozen=True)
class Ink:
    """The ink along one path, at [n] points, `ALONG` a px of the page; lengths in px.

    top, bottom: [levels, n] its edges at each of `LEVELS`, NaN where there is none. centre: [n] of its
    contrast on level stretches, NaN elsewhere. path: [n]. dark: [n] contrast of the path over plain ink's.
    """

    top: np.ndarray
    bottom: np.ndarray
    centre: np.ndarray
    path: np.ndarray
    dark: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """[n] whether there is ink."""
        return np.isfinite(self.top[PLAIN])


def curves(strips: Sequence[Ink], width: float) -> list[np.ndarray]:
    """[n] px of every strip's curve, anything where no ink is known. width: px of a level line."""
    views = [views_of(ink, width) for ink in strips]
    between = np.zeros((len(views[0][1]), APART), np.float32)
    seen = np.concatenate([part for _, view in views for part in (view, between)], 1)
    (off,) = _net().run(None, {"ink": seen[None]})
    ends = np.cumsum([len(about) + APART for about, _ in views])
    return [about + off[0, end - APART - len(about) : end - APART] for (about, _), end in zip(views, ends)]


@cache
def _net() -> InferenceSession:
    return open_session("pen.onnx")


def views_of(ink: Ink, width: float) -> tuple[np.ndarray, np.ndarray]:
    """[n] px of the middle of the ink, and what the net sees: [`CHOICES` + `FACTS`, n] float32.

    The first are px below the middle at which the curve may lie.
    """
    n = len(ink.path)
    x, known = np.arange(n), ink.known
    if known.sum() < 2:
        return ink.path, np.zeros((CHOICES + FACTS, n), np.float32)
    top, bottom = np.empty_like(ink.top), np.empty_like(ink.bottom)
    plain = [np.interp(x, x[known], edge[PLAIN][known]) for edge in (ink.top, ink.bottom)]
    about = (plain[0] + plain[1]) / 2
    level = np.isfinite(ink.centre)
    choices = []
    for k in range(len(LEVELS)):
        seen = np.isfinite(ink.top[k])
        top[k] = np.where(seen, ink.top[k], plain[0])
        bottom[k] = np.where(seen, ink.bottom[k], plain[1])
        thick = (ink.bottom[k] - ink.top[k])[level & seen]
        radius = (quantile(thick, _THIN) if len(thick) else width) / 2
        choices += [*_under_pen(top[k], bottom[k], radius), top[k], bottom[k]]
    upper, lower = choices[4 * PLAIN : 4 * PLAIN + 2]
    choices += [np.roll(side, by) for side in (upper, lower) for by in (-2, -1, 1, 2)]
    choices += [np.where(level, ink.centre, about), ink.path]
    from_end = np.minimum(np.stack([x, x[::-1]]) / ALONG / _NEAR_END, 1.0)
    thick = (plain[1] - plain[0])[level & known]
    quarter, median, more = quantiles(thick, 0.25, 0.5, 0.75) if len(thick) else (width, width, width)
    facts = [
        known,
        level,
        *from_end,
        np.clip(ink.dark, 0, 2),
        np.arcsinh(np.gradient(about) * ALONG),
        np.full(n, (more - quarter) / median),
        np.full(n, radius / 2),
    ]
    return about, np.concatenate([np.stack(choices) - about, facts]).astype(np.float32)


def _under_pen(top: np.ndarray, bottom: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The curves [n] along which a round pen leaves ink down from top [n], and up from bottom [n]."""
    n, reach = len(top), int(radius * ALONG)
    rise = np.sqrt(radius**2 - (np.arange(-reach, reach + 1)[:, None] / ALONG) ** 2)
    above, below = (sliding_window_view(np.pad(edge, reach, mode="edge"), n) for edge in (top, bottom))
    return (above + rise).max(0), (below - rise).min(0)
