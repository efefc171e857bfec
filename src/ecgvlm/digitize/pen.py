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

from ecgvlm.compiled import COMPILED
from ecgvlm.quantile import quantile, quantiles
from ecgvlm.sessions import open_session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

ALONG = 3  # points of a curve for one px of the page
LEVELS = (0.3, 0.5, 0.7)  # of plain ink's contrast, at which its edges lie
PLAIN = LEVELS.index(0.5)
APART = 48  # points of nothing between two strips, more than the net looks to either side
_ROOM = 24  # points by which a strip is carried on beyond its ends, more than pen and net reach at once
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
    if not strips:
        return []
    views = views_of(strips, width)
    between = np.zeros((len(views[0][1]), APART), np.float32)
    seen = np.concatenate([part for _, view in views for part in (view, between)], 1)
    (off,) = _net().run(None, {"ink": seen[None]})
    ends = np.cumsum([len(about) + APART for about, _ in views])
    return [about + off[0, end - APART - len(about) : end - APART] for (about, _), end in zip(views, ends)]


@cache
def _net() -> InferenceSession:
    return open_session("pen.onnx")


def views_of(strips: Sequence[Ink], width: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every strip the middle of its ink, [n] px, and what the net sees: [`CHOICES` + `FACTS`, n] float32.

    The first are px below the middle at which the curve may lie.
    """
    # All strips at once, one after the other; beyond its ends each goes on as it ends.
    lengths = [len(ink.path) for ink in strips]
    begins = np.cumsum([0, *lengths[:-1]]).tolist()
    at = np.concatenate(
        [begin + np.arange(-_ROOM, n + _ROOM).clip(0, n - 1) for begin, n in zip(begins, lengths)]
    )
    strip = np.repeat(np.arange(len(strips)), np.add(lengths, 2 * _ROOM))
    edges = np.concatenate([_without_holes(ink) for ink in strips], 2)[..., at]
    (top, bottom), (plain_top, plain_bottom) = edges, edges[:, PLAIN]
    about = (plain_top + plain_bottom) / 2
    facts = np.concatenate([[ink.known, np.isfinite(ink.centre), ink.dark, ink.path] for ink in strips], 1)
    known, level, dark, path = facts[:, at]
    centre = np.concatenate([ink.centre for ink in strips])[at]
    radii, uneven = zip(*(_thickness(ink, width) for ink in strips))
    upper, lower = _under_pen(top, bottom, np.transpose(radii), strip)
    seen = np.empty((CHOICES + FACTS, len(at)), np.float32)
    choices = seen[:CHOICES]
    for k in range(len(LEVELS)):
        choices[4 * k : 4 * k + 4] = upper[k], lower[k], top[k], bottom[k]
    # What lies beside; at a strip's end, what stands at the other one, as the net learned.
    from_begin = np.concatenate([np.arange(-_ROOM, n + _ROOM) for n in lengths])
    first, long = np.arange(len(at)) - from_begin, np.array(lengths)[strip]
    beside = [first + (from_begin + by) % long for by in (2, 1, -1, -2)]
    choices[4 * len(LEVELS) : -2] = [side[there] for side in (upper[PLAIN], lower[PLAIN]) for there in beside]
    choices[-2:] = np.where(level, centre, about), path
    choices -= about
    seen[CHOICES:] = [
        known,
        level,
        *np.minimum(np.array([from_begin, long - 1 - from_begin]) / ALONG / _NEAR_END, 1.0),
        np.clip(dark, 0, 2),
        np.arcsinh(np.gradient(about) * ALONG),
        np.array(uneven)[strip],
        np.array(radii)[strip, -1] / 2,
    ]
    views = []
    for k, (begin, ink) in enumerate(zip(begins, strips)):
        first = begin + (2 * k + 1) * _ROOM
        part = np.s_[first : first + len(ink.path)]
        blind = ink.known.sum() < 2
        views.append((about[part], np.zeros_like(seen[:, part]) if blind else seen[:, part]))
    return views


def _without_holes(ink: Ink) -> np.ndarray:
    """[2, levels, n] upper and lower edges; where a level has no ink, those of plain ink, and where there is
    none either, what lies between; the path where there is none at all."""
    edges = np.stack([ink.top, ink.bottom])
    known = np.flatnonzero(ink.known)
    if len(known) < 2:
        return np.broadcast_to(ink.path, edges.shape)
    x = np.arange(len(ink.path))
    plain = np.array([np.interp(x, known, edge[known]) for edge in edges[:, PLAIN]])
    return np.where(np.isfinite(edges), edges, plain[:, None])


def _thickness(ink: Ink, width: float) -> tuple[list[float], float]:
    """px of the pen's radius at each of `LEVELS`, and how uneven level stretches are."""
    thick = [part[np.isfinite(part)] for part in (ink.bottom - ink.top)[:, np.isfinite(ink.centre)]]
    radii = [(quantile(part, _THIN) if len(part) else width) / 2 for part in thick]
    if not len(thick[PLAIN]):
        return radii, 0.0
    quarter, median, more = quantiles(thick[PLAIN], 0.25, 0.5, 0.75)
    return radii, (more - quarter) / median


def _under_pen(
    top: np.ndarray, bottom: np.ndarray, radii: np.ndarray, strip: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The curves [levels, n] along which a round pen leaves ink down from `top` [levels, n], and up from
    `bottom`. radii: [levels, strips] px of the pen. strip: [n] whose it is."""
    top, bottom = top.astype(np.float32), bottom.astype(np.float32)
    off = np.arange(int(radii.max() * ALONG) + 1)[:, None, None] / ALONG
    under = radii**2 - off**2
    rises = np.where(under >= 0, np.sqrt(np.maximum(under, 0)), -np.inf).astype(np.float32)
    return (COMPILED.swept if COMPILED else _swept)(top, bottom, rises, strip)


def _swept(
    top: np.ndarray, bottom: np.ndarray, rises: np.ndarray, strip: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`_under_pen` where nothing is compiled. rises: [points, levels, strips] px by which the pen's middle
    lies beyond its edge so many points beside it, infinitely little where it does not reach."""
    upper, lower = top + rises[0][:, strip], bottom - rises[0][:, strip]
    for off, all_rises in enumerate(rises[1:], 1):
        rise = all_rises[:, strip]
        for here, there in ((np.s_[:, off:], np.s_[:, :-off]), (np.s_[:, :-off], np.s_[:, off:])):
            np.maximum(upper[here], top[there] + rise[here], out=upper[here])
            np.minimum(lower[here], bottom[there] - rise[here], out=lower[here])
    return upper, lower
