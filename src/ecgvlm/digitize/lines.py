"""The paper's map set right by the lines of its grid.

The page is rectified by the map so far, the piece of every grid line between two crossings is matched with
the page's own mean line, and a surface that may fold is laid through all the matches. Repeated on the same
page, bent as was found, reaching further over the paper each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.rectify import CELL_PX, dense, fitting, resampled
from ecgvlm.digitize.surface import CELL, PaperMap, Values, between, projected, surfaces
from ecgvlm.together import together

# mm that a line may lie beside its place: in every round, and when the map is taken for right.
_REACHES, _GOOD = (2.2, 1.4, 1.0), 0.12
_FLAT = 0.05  # mm: pieces of lines this near to their places leave nothing to set right
_LEVEL = 0.1  # mm: pieces this near to one plane lie on flat paper
# Bands in which flat paper's lines are looked for, cells high, and mm beside their places: no further than to
# the next line of 1-mm paper.
_BANDS, _BAND, _NEAR = 5, 2, 0.6
_RIGHT = 0.4  # mm within which a line then is where the map says
_SEEN = 0.3  # correlation of a line with the page's own from which on it counts
# Ink, not a line, is what is so many times darker than the grid's lines are, and so many grey levels more.
_INK, _INK_LEAST = 2.5, 15.0
_FEWER = 2  # px in a row of which the spread of detail is taken together
_MOST_POWER = 30.0**2  # of a px that is darker than its surroundings, in squared grey levels
_NOISE = 0.06  # mm by which matches are usually off
_LENGTH = 100.0  # mm: about a page's, for numbers about 1
# Pieces of lines: where [n, 2] (column, row of the lattice), how far off in mm [n], weights [n].
_Match = Values


def levelled(extremes: Sequence[np.ndarray], plane: PaperMap) -> tuple[PaperMap, float]:
    """Flat paper's map set right by the grid lines in some bands across the picture, and mm within which most
    of these then lie; what lies between the bands is not seen. Its fit is the share of their pieces that
    are seen, 0 where the paper is too small for bands.

    extremes: as of `refined`.
    """
    nodes, scale = plane.nodes(), plane.scale()
    inside = _inside(nodes, plane)
    if min(inside.any(0).sum(), inside.any(1).sum()) < _BANDS * _BAND:
        return replace(plane, fit=0.0), 0.0
    fine, shrink = _fine(extremes, scale)
    mesh = plane.to_px(nodes)
    upright, (at, off, clear) = together(
        partial(_in_bands, fine, shrink, mesh, inside),
        partial(_in_bands, fine, shrink, mesh.transpose(1, 0, 2), inside.T),
    )
    moved, left = _level(plane.at, (upright, (at[:, ::-1], off, clear)))
    fit = float(np.mean([_explained(inside, *match) for match in left]))
    return replace(plane, homography=plane.homography @ moved, fit=fit), _most_off(left)


def _inside(nodes: np.ndarray, paper: PaperMap) -> np.ndarray:
    """[rows, cols] bool: which of a map's nodes ([rows, cols, 2] mm) lie on the paper that was seen."""
    x0, y0, x1, y1 = paper.box
    return np.asarray(((nodes > (x0, y0)) & (nodes < (x1, y1))).all(-1))


def _fine(extremes: Sequence[np.ndarray], scale: float) -> tuple[np.ndarray, float]:
    """The extremes as `fitting` has them, in one picture: [H, W], or both twice in [H, W, 4]."""
    fine, shrink = fitting(extremes, scale)
    return fine[0] if len(fine) == 1 else cv2.merge([*fine, *fine]), shrink


def _in_bands(fine: np.ndarray, shrink: float, mesh: np.ndarray, inside: np.ndarray) -> _Match:
    """`_matches` of the upright lines in bands that lie one below the other.

    fine, shrink: as of `_fine`. mesh: [rows, cols, 2] px. inside: [rows, cols].
    """
    shown = np.flatnonzero(inside.any(1))
    spare = len(shown) / _BANDS - _BAND
    firsts = shown[0] + ((np.arange(_BANDS) + 0.5) * spare + np.arange(_BANDS) * _BAND).astype(int)
    parts = [slice(first, first + _BAND + 1) for first in firsts]
    where = np.concatenate([dense(mesh[band], shrink) for band in parts])
    lines = _lines(resampled(fine, where))
    known = np.concatenate([*(inside[band][:-1] for band in parts), inside[parts[-1]][-1:]])
    profile = cv2.resize(lines, (lines.shape[1], len(known) - 1), interpolation=cv2.INTER_AREA)
    at, off, clear = _matches(profile, _NEAR, known)
    band = (at[:, 1] / _BAND).astype(int)
    at[:, 1] += firsts[band] - band * _BAND
    return at, off, clear


def _both_ways(lines: np.ndarray, reach: float, known: np.ndarray) -> tuple[_Match, _Match]:
    """`_matches` of upright and of level lines."""
    rows, cols = known.shape
    height, width = lines.shape
    down, across = (
        cv2.resize(lines, size, interpolation=cv2.INTER_AREA)
        for size in ((width, rows - 1), (cols - 1, height))
    )
    upright, (at, off, clear) = together(
        partial(_matches, down, reach, known),
        partial(_matches, np.ascontiguousarray(across.T), reach, known.T),
    )
    return upright, (at[:, ::-1], off, clear)


def refined(extremes: Sequence[np.ndarray], paper: PaperMap) -> PaperMap:
    """The map set right by the grid lines that the picture shows.

    extremes: [H, W] uint8, every px's darkest colour and, where there are colours, its lightest.
    """
    nodes = paper.nodes()
    seen = inside = _inside(nodes, paper)
    mesh, scale = paper.to_px(nodes), paper.scale()
    fine, shrink = _fine(extremes, scale)
    first = _lines(resampled(fine, dense(mesh, shrink)))
    places = (nodes - paper.at) / CELL
    where = places  # of the nodes on the first page, in cells
    lines = first
    found: tuple[_Match, _Match] | None = None
    for reach in _REACHES:
        if found is not None:
            lines = resampled(first, dense(where * CELL_PX))
            # Where both directions were seen this round may go on from.
            counts = [_counted(at[clear > 0], seen.shape) for at, _, clear in found]
            seen = (counts[0] > 0) & (counts[1] > 0)
        known = cv2.dilate(seen.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        found = _both_ways(lines, reach, known)
        fit = float(np.mean([_explained(inside, *match) for match in found]))
        off_most = _most_off(found)
        if off_most < _FLAT:
            break
        if not paper.shift.any() and where is places:
            moved, left = _level(paper.at, found)
            if _most_off(left) < _LEVEL:
                return replace(paper, homography=paper.homography @ moved, fit=fit)
        moved = surfaces(seen.shape, *found, _NOISE) / CELL
        where = places + moved + between(where - places, places + moved)
        if off_most < _GOOD:
            break
    paper = replace(paper, fit=fit)
    if where is places:
        return paper
    px = paper.to_px(where * CELL + paper.at)
    return replace(paper, shift=px - projected(paper.homography, nodes))


def _level(at: tuple[float, float], found: tuple[_Match, _Match]) -> tuple[np.ndarray, list[_Match]]:
    """The small homography [3, 3] mm -> mm that moves flat paper to matches, and how far off they are then.

    at: mm of the lattice's first node. found: matches of upright and of level lines.
    """
    points = np.concatenate([place for place, _, _ in found]) * CELL + at
    middle = points.mean(0)
    x, y = (points - middle).T / _LENGTH
    wanted = np.concatenate([off for _, off, _ in found])
    clear = np.concatenate([seen for _, _, seen in found])
    upright = np.arange(len(x)) < len(found[0][0])
    one, none = np.ones_like(x), np.zeros_like(x)
    across = np.stack([one, x, y, none, none, none, x * x, x * y], 1)
    down = np.stack([none, none, none, one, x, y, x * y, y * y], 1)
    terms = np.where(upright[:, None], across, down)
    weight, off = clear, wanted
    for _ in range(4):
        normal = terms.T @ (terms * weight[:, None]) + 1e-9 * np.eye(8)
        solved = np.linalg.solve(normal, terms.T @ (weight * wanted))
        off = wanted - terms @ solved
        weight = clear / (1 + (off / (4 * _NOISE)) ** 2) ** 2
    a, b, c, d, e, f, g, h = solved / ([1, _LENGTH, _LENGTH, 1, _LENGTH, _LENGTH, _LENGTH**2, _LENGTH**2])
    moved = np.array([[1 + b, c, a], [e, 1 + f, d], [-g, -h, 1.0]])
    to, back = np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = -middle, middle
    places, left = (place for place, _, _ in found), (off[upright], off[~upright])
    return back @ moved @ to, list(zip(places, left, (seen for _, _, seen in found)))


def _most_off(found: Sequence[_Match]) -> float:
    """mm within which the greater part of the upright lines lies, and of the level ones."""
    return max(_usual_most(off, clear) for _, off, clear in found)


def _usual_most(off: np.ndarray, clear: np.ndarray) -> float:
    """mm that nine tenths of what is seen, by weight, lie within; 0 where nothing is."""
    order = np.argsort(np.abs(off))
    share = np.cumsum(clear[order])
    return float(np.abs(off[order][np.searchsorted(share, 0.9 * share[-1])])) if share[-1] > 0 else 0.0


def _explained(inside: np.ndarray, at: np.ndarray, off: np.ndarray, clear: np.ndarray) -> float:
    """Share of the pieces inside that are seen where the map said."""
    i, j = at.astype(int).T
    return float(((clear > 0) & (np.abs(off) < _RIGHT))[inside[j, i]].mean()) if inside.any() else 0.0


def _counted(at: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How many of the points [n, 2] (column, row) lie at each node of a lattice."""
    i, j = np.clip(np.round(at).astype(int), 0, (shape[1] - 1, shape[0] - 1)).T
    return np.bincount(j * shape[1] + i, minlength=shape[0] * shape[1]).reshape(shape)


def flattened(detail: np.ndarray, width: int) -> np.ndarray:
    """Detail [h, w] float32 over its spread in a square of so many px; what is far darker than a grid's lines
    is cut to about their depth.
    """
    power = np.square(detail)
    np.minimum(power, _MOST_POWER, out=power)
    few = cv2.resize(power, None, fx=1 / _FEWER, fy=1 / _FEWER, interpolation=cv2.INTER_AREA)
    side = width // _FEWER
    spread = np.sqrt(np.maximum(cv2.blur(few, (side, side)), 0.0)) + 1.5
    spread = cv2.resize(spread, detail.shape[::-1], dst=power, interpolation=cv2.INTER_LINEAR)
    return np.clip(np.divide(detail, spread, out=power), -1.2, 1.2, out=power)


def _lines(page: np.ndarray) -> np.ndarray:
    """[h, w] float32 about 0: the grid's lines, light flattened, without what is far darker than they are.

    page: of `_fine`, rectified. A grid is clear in the darkest colour of a px, ink that is black in the
    lightest.
    """
    detail = _detail(page if page.ndim == 2 else cv2.extractChannel(page, 0))
    lines = flattened(detail, 3 * CELL_PX)
    lightest = detail if page.ndim == 2 else _detail(cv2.extractChannel(page, 1))
    profiles = (cv2.reduce(lightest, axis, cv2.REDUCE_AVG).reshape(-1, CELL_PX).mean(0) for axis in (0, 1))
    depth = max(0.0, *(float(profile.max()) for profile in profiles))
    paper = (lightest <= _INK * depth + _INK_LEAST).view(np.uint8)
    lines *= cv2.erode(paper, np.ones((3, 3), np.uint8))
    return lines


def _detail(plane: np.ndarray) -> np.ndarray:
    """How much darker every px is than the paper about it."""
    local = cv2.boxFilter(plane, cv2.CV_32F, (CELL_PX, CELL_PX))
    return cv2.subtract(local, plane, dst=local, dtype=cv2.CV_32F)


def _matches(profile: np.ndarray, reach: float, known: np.ndarray) -> _Match:
    """Pieces of upright lines and how far beside their places they lie.

    profile: [rows - 1, w] `_lines`, the mean of every cell down. known: [rows, cols] nodes about which pieces
    are looked for.
    """
    rows, cols = known.shape
    pieces = known[:-1] & known[1:]
    over = np.repeat(pieces[:, :-1], CELL_PX, 1)
    share = profile[:, : over.shape[1]] * over
    mean = share.reshape(rows - 1, cols - 1, CELL_PX).sum((0, 1)) / max(1, int(pieces[:, :-1].sum()))
    mean -= mean.mean()
    line = int(np.argmax(cv2.blur(np.tile(mean, 3)[None], (5, 1))[0, CELL_PX : 2 * CELL_PX]))
    half = CELL_PX // 2
    template = np.roll(mean, half - line).astype(np.float32)
    template -= template.mean()
    template /= np.linalg.norm(template) + 1e-6
    level = cv2.blur(profile, (CELL_PX, 1))
    power = np.sqrt(np.maximum(cv2.blur(profile**2, (CELL_PX, 1)) - level**2, 0) * CELL_PX) + 0.15
    likeness = cv2.filter2D(profile, -1, template[None], borderType=cv2.BORDER_CONSTANT) / power
    most = round(reach * PX_PER_MM)
    steps = np.arange(-most - 1, most + 2)
    at = np.arange(cols - 1) * CELL_PX + line
    window = likeness[
        :, np.clip(at[:, None] + steps, 0, likeness.shape[1] - 1)
    ]  # [rows - 1, cols - 1, steps]
    score = window - 0.15 * (steps / (most + 1)) ** 2
    best = np.argmax(score[..., 1:-1], -1) + 1
    j, i = np.indices(best.shape)
    left, top, right = (window[j, i, best + k] for k in (-1, 0, 1))
    curve = left - 2 * top + right
    off = (
        steps[best] + np.where(curve < -1e-6, 0.5 * (left - right) / np.minimum(curve, -1e-6), 0.0)
    ) / PX_PER_MM
    clear = np.where(pieces[:, :-1] & (np.abs(steps[best]) < most), np.maximum(top - _SEEN, 0.0), 0.0)
    return np.stack([i + line / CELL_PX, j + 0.5], -1).reshape(-1, 2), off.ravel(), clear.ravel()
