"""The shape of the paper: where every millimetre lies in the picture, through folds, curl and creases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import combinations_with_replacement

import numpy as np
from threadpoolctl import ThreadpoolController

from ecgvlm.compiled import COMPILED
from ecgvlm.together import together

CELL = 5.0  # mm between two nodes of the lattice, and between two thick lines of a grid
MARGIN = 30.0  # mm around the seen grid that the lattice covers
_LONGEST = 860.0  # mm of a page's side
# mm: how much paper usually bends from cell to cell, and at a fold.
_BEND, _FOLD = 0.12, 0.15
FOCAL = 1.0  # of a picture's diagonal, a camera's focal length
_SETTLED = 0.02  # mm by which another reweighting would hardly move the surface
_LEAST = 1e-6  # weight that every node has on 0: none is left without any
# Second differences down, across and of both kinds: columns and rows of their nodes, with factors.
_Bend = tuple[tuple[int, int, float], ...]
_BENDS: tuple[_Bend, ...] = (
    ((0, 0, 1.0), (0, 1, -2.0), (0, 2, 1.0)),
    ((0, 0, 1.0), (1, 0, -2.0), (2, 0, 1.0)),
    ((0, 0, 1.0), (0, 1, -1.0), (1, 0, -1.0), (1, 1, 1.0)),
)


@dataclass(frozen=True)
class PaperMap:
    """Where the paper lies in a picture.

    homography: [3, 3], mm -> px. at: x, y mm of the lattice's first node. shift: [rows, cols, 2] px that are
    added at the nodes, between them linearly, beyond them as at the nearest. box: x0, y0, x1, y1 mm of the
    part of the paper that was seen. fit: 0..1, how much of it shows its grid (0: no grid seen).
    """

    homography: np.ndarray
    at: tuple[float, float]
    shift: np.ndarray
    box: tuple[float, float, float, float]
    fit: float

    @classmethod
    def plane(
        cls,
        homography: np.ndarray,
        box: tuple[float, float, float, float],
        fit: float,
        margin: float = MARGIN,
    ) -> PaperMap:
        """Flat paper, its lattice reaching margin mm around the box."""
        x0, y0, x1, y1 = box
        cols, rows = (
            min(int(np.ceil((last - first + 2 * margin) / CELL)), int(_LONGEST / CELL)) + 1
            for first, last in ((x0, x1), (y0, y1))
        )
        return cls(homography, (x0 - margin, y0 - margin), np.zeros((rows, cols, 2)), box, fit)

    @property
    def aslant(self) -> bool:
        """Whether the picture shows it at a slant, nearer at one side than at the other."""
        return bool(self.homography[2, :2].any())

    @classmethod
    def covering(cls, homography: np.ndarray, shape: Sequence[int]) -> PaperMap:
        """Flat paper without a grid that fills a picture of this shape. homography: [3, 3], mm -> px."""
        height, width = shape[:2]
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
        mm = projected(np.linalg.inv(homography), corners)
        (x0, y0), (x1, y1) = mm.min(0).tolist(), mm.max(0).tolist()
        return cls.plane(homography, (x0 + MARGIN, y0 + MARGIN, x1 - MARGIN, y1 - MARGIN), 0.0)

    def widened(self, by: float) -> PaperMap:
        """The same with so many mm more of the paper around it, a multiple of `CELL`."""
        cells = round(by / CELL)
        shift = np.pad(self.shift, ((cells, cells), (cells, cells), (0, 0)), "edge")
        return replace(self, at=(self.at[0] - by, self.at[1] - by), shift=shift)

    def nodes(self) -> np.ndarray:
        """[rows, cols, 2] mm of the lattice."""
        rows, cols = self.shift.shape[:2]
        return np.stack(np.meshgrid(np.arange(cols) * CELL, np.arange(rows) * CELL), -1) + self.at

    def to_px(self, mm: np.ndarray) -> np.ndarray:
        """[..., 2] mm on the paper -> [..., 2] px of the picture."""
        mm = np.asarray(mm, np.float64)
        plane = projected(self.homography, mm)
        return plane + between(self.shift, (mm - self.at) / CELL) if self.shift.any() else plane

    def scale(self) -> float:
        """px per mm at the middle of the page."""
        x0, y0, x1, y1 = self.box
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        ends = self.to_px(middle + np.array([[-20.0, 0], [20, 0], [0, -20], [0, 20]]))
        return float((np.linalg.norm(ends[1] - ends[0]) + np.linalg.norm(ends[3] - ends[2])) / 80)


def projected(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[..., 2] points through a homography [3, 3]."""
    x, y = np.ascontiguousarray(np.moveaxis(points, -1, 0))
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in homography)
    return np.stack([u / w, v / w], -1)


def squareness(homography: np.ndarray, shape: Sequence[int]) -> float:
    """Times by which the second unit of flat paper is longer than the first one, as a camera saw it.

    homography: [3, 3], units of the paper -> px of a picture of this shape.
    """
    height, width = shape[:2]
    focal = FOCAL * float(np.hypot(width, height))
    seen = np.linalg.inv([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]]) @ homography
    return float(np.linalg.norm(seen[:, 1]) / np.linalg.norm(seen[:, 0]))


def between(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bilinear look-up in [rows, cols, 2] at fractional columns and rows [..., 2], clamped -> [..., 2]."""
    return COMPILED.between(nodes, at) if COMPILED else _between(nodes, at)


def _between(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """`between` where nothing is compiled."""
    rows, cols = nodes.shape[:2]
    x, y = np.clip(at[..., 0], 0, cols - 1), np.clip(at[..., 1], 0, rows - 1)
    i, j = np.minimum(x.astype(int), cols - 2), np.minimum(y.astype(int), rows - 2)
    a, b = (x - i)[..., None], (y - j)[..., None]
    top = nodes[j, i] * (1 - a) + nodes[j, i + 1] * a
    low = nodes[j + 1, i] * (1 - a) + nodes[j + 1, i + 1] * a
    return top * (1 - b) + low * b


def bent(paper: PaperMap, mm: np.ndarray, px: np.ndarray, weight: np.ndarray) -> PaperMap:
    """The map laid through points of the grid: [n, 2] mm that lie at [n, 2] px, [n] weights."""
    off = px - projected(paper.homography, mm)
    at, scale = (mm - paper.at) / CELL, paper.scale()
    noise = 0.3  # mm: what a point tells of some 30 mm of paper
    across, down = ((at, off[:, k] / scale, weight) for k in (0, 1))
    shift = surfaces(paper.shift.shape[:2], across, down, noise) * scale
    return PaperMap(paper.homography, paper.at, shift, paper.box, paper.fit)


# Values of a surface: where [n, 2] (column, row of the lattice), in mm [n], weights [n].
Values = tuple[np.ndarray, np.ndarray, np.ndarray]


def surfaces(shape: tuple[int, int], across: Values, down: Values, noise: float) -> np.ndarray:
    """[rows, cols, 2] mm: a surface through either values, see `surface`."""
    # On blocks as small as theirs BLAS's own threads wait for each other, on a busy machine for seconds.
    with nullcontext() if COMPILED else _threads().limit(limits=1, user_api="blas"):
        both = together(partial(surface, shape, *across, noise), partial(surface, shape, *down, noise))
    return np.stack(both, -1)


def surface(
    shape: tuple[int, int], at: np.ndarray, value: np.ndarray, weight: np.ndarray, noise: float
) -> np.ndarray:
    """A surface [rows, cols] in mm through values [n] at (column, row) [n, 2] that may fold.

    noise: mm by which values are usually off. Least squares of what it misses and of its second differences,
    both reweighted: values that no surface explains do not count, and a fold bends at one line what a stiff
    sheet would bend about it.
    """
    rows, cols = shape
    if rows > cols:  # the narrower, the quicker solved
        return surface((cols, rows), at[:, ::-1], value, weight, noise).T
    keep = weight > 0
    at, value, weight = at[keep], value[keep], weight[keep]
    i, j = np.clip(at.astype(int), 0, (cols - 2, rows - 2)).T
    a, b = at[:, 0] - i, at[:, 1] - j
    first = i * rows + j  # nodes are numbered down the columns
    # A value's shares in its four nodes: the first, the one below, and those in the next column.
    shares = np.stack([(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b])
    nodes = first + np.array(_corners(rows))[:, None]
    certain = weight / noise**2
    now, found = certain, np.full((cols, rows), np.inf)
    bends = [np.zeros((cols - bend[-1][0], rows - max(r for _, r, _ in bend))) for bend in _BENDS]
    laid = COMPILED.laid if COMPILED else _laid
    for _ in range(3):
        stiff = [_BEND**-2 / (1 + (much / _FOLD) ** 2) for much in bends]
        before, found = found, laid((cols, rows), first, shares, now, value, stiff)
        if np.abs(found - before).max() < _SETTLED:
            break
        off = (shares * found.ravel()[nodes]).sum(0) - value
        now = certain / (1 + (off / (4 * noise)) ** 2) ** 2
        bends = [np.sum([f * _part(found, bend, c, r) for c, r, f in bend], 0) for bend in _BENDS]
    return found.T


def _corners(rows: int) -> tuple[int, int, int, int]:
    """A value's nodes, counted from the first of them."""
    return 0, 1, rows, rows + 1


def _laid(
    shape: tuple[int, int],
    first: np.ndarray,
    shares: np.ndarray,
    weight: np.ndarray,
    value: np.ndarray,
    stiff: Sequence[np.ndarray],
) -> np.ndarray:
    """[cols, rows] the surface of least squares, where nothing is compiled.

    shape: cols, rows. first: [n] each value's first node, down the columns. shares: [4, n] in `_corners`.
    weight, value: [n]. stiff: what each of `_BENDS` counts where it begins.
    """
    cols, rows = shape
    size, corners = rows * cols, list(zip(_corners(rows), shares))
    # Of the normal matrix few diagonals are not zero: those that pairs of a term's nodes lie on.
    diagonals: dict[int, np.ndarray] = defaultdict(lambda: np.zeros((cols, rows)))
    diagonals[0] += _LEAST
    for (one, share), (other, other_share) in combinations_with_replacement(corners, 2):
        product = np.bincount(first + one, share * other_share * weight, size)
        diagonals[other - one] += product.reshape(cols, rows)
    for bend, much in zip(_BENDS, stiff):
        for (c, r, factor), (c2, r2, other_factor) in combinations_with_replacement(bend, 2):
            part = _part(diagonals[(c2 - c) * rows + r2 - r], bend, c, r)
            part += factor * other_factor * much
    right = np.sum([np.bincount(first + node, share * weight * value, size) for node, share in corners], 0)
    return _solved(diagonals, right).reshape(cols, rows)


def _part(nodes: np.ndarray, bend: _Bend, column: int, row: int) -> np.ndarray:
    """What lies so many columns and rows on from where a bend can begin: a view of nodes [cols, rows]."""
    last_column, last_row = max(c for c, _, _ in bend), max(r for _, r, _ in bend)
    cols, rows = nodes.shape
    return nodes[column : cols - last_column + column, row : rows - last_row + row]


def _solved(diagonals: dict[int, np.ndarray], right: np.ndarray) -> np.ndarray:
    """The solution of a symmetric system with few diagonals, from the middle one down."""
    from scipy.linalg import solveh_banded  # takes longer to import than a flat page to read

    matrix = np.zeros((len(right), max(diagonals) + 1))  # as LAPACK takes it, column by column
    for offset, values in diagonals.items():
        matrix[:, offset] = values.ravel()
    return solveh_banded(matrix.T, right, lower=True, overwrite_ab=True, check_finite=False)


@lru_cache
def _threads() -> ThreadpoolController:
    """Of NumPy's BLAS and of SciPy's own, which must be loaded to be found."""
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()
