"""The shape of the paper: where every millimetre lies in the picture, through folds, curl and creases."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import solveh_banded
from threadpoolctl import ThreadpoolController

CELL = 5.0  # mm between two nodes of the lattice, and between two thick lines of a grid
MARGIN = 30.0  # mm around the seen grid that the lattice covers
_LONGEST = 860.0  # mm of a page's side
# mm: how much paper usually bends from cell to cell, and at a fold.
_BEND, _FOLD = 0.12, 0.15
_SETTLED = 0.02  # mm by which another reweighting would hardly move the surface


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

    def nodes(self) -> np.ndarray:
        """[rows, cols, 2] mm of the lattice."""
        rows, cols = self.shift.shape[:2]
        return np.stack(np.meshgrid(np.arange(cols) * CELL, np.arange(rows) * CELL), -1) + self.at

    def to_px(self, mm: np.ndarray) -> np.ndarray:
        """[..., 2] mm on the paper -> [..., 2] px of the picture."""
        mm = np.asarray(mm, np.float64)
        return projected(self.homography, mm) + _between(self.shift, (mm - self.at) / CELL)

    def scale(self) -> float:
        """px per mm at the middle of the page."""
        x0, y0, x1, y1 = self.box
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        ends = self.to_px(middle + np.array([[-20.0, 0], [20, 0], [0, -20], [0, 20]]))
        return float((np.linalg.norm(ends[1] - ends[0]) + np.linalg.norm(ends[3] - ends[2])) / 80)


def projected(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[..., 2] points through a homography [3, 3]."""
    x, y = points[..., 0], points[..., 1]
    u, v, w = (row[0] * x + row[1] * y + row[2] for row in homography)
    return np.stack([u / w, v / w], -1)


def _between(nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bilinear look-up in [rows, cols, k] at fractional columns and rows [..., 2], clamped -> [..., k]."""
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
    shift = [surface(paper.shift.shape[:2], at, off[:, k] / scale, weight, noise) for k in (0, 1)]
    return PaperMap(paper.homography, paper.at, np.stack(shift, -1) * scale, paper.box, paper.fit)


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
    corner = i * rows + j  # nodes are numbered down the columns
    data = np.stack([corner, corner + 1, corner + rows, corner + rows + 1], 1)
    shares = np.stack([(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b], 1)
    bends, steps = _second_differences(rows, cols)
    nodes, factors = np.concatenate([data, bends]), np.concatenate([shares, steps])
    # Every pair of a term's nodes is an entry of the normal matrix, of which the lower half is kept.
    one, other = np.nonzero(np.tri(4, dtype=bool))
    low, high = nodes[:, one], nodes[:, other]
    band, size = 2 * rows + 1, rows * cols
    entry = np.abs(low - high) * size + np.minimum(low, high)
    product = factors[:, one] * factors[:, other]
    twice = (one != other) & (low == high)  # padding: a node that stands for itself, with factor 0
    product = np.where(twice, 0.0, product)
    misses = np.concatenate([value, np.zeros(len(bends))])
    certain = np.concatenate([weight / noise**2, np.full(len(bends), _BEND**-2)])
    spread = np.concatenate([np.full(len(value), 4 * noise), np.full(len(bends), _FOLD)])
    power = np.concatenate([np.full(len(value), 2), np.ones(len(bends), int)])
    now, found = certain, np.full(size, np.inf)
    for _ in range(3):
        matrix = np.bincount(entry.ravel(), (product * now[:, None]).ravel(), band * size)
        right = np.bincount(nodes.ravel(), (factors * (now * misses)[:, None]).ravel(), size)
        matrix[:size] = matrix[:size] + 1e-6
        before = found
        found = _solved(matrix.reshape(band, size), right)
        if np.abs(found - before).max() < _SETTLED:
            break
        off = (factors * found[nodes]).sum(1) - misses
        now = certain / (1 + (off / spread) ** 2) ** power
    return found.reshape(cols, rows).T


def _solved(band: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The solution of a banded symmetric system: band [width, n], its diagonals from the middle one down.

    With one thread: on blocks so small, BLAS's own would wait for each other, on a busy machine for seconds.
    """
    with _threads().limit(limits=1, user_api="blas"):
        return solveh_banded(band, right, lower=True, overwrite_ab=True, check_finite=False)


@lru_cache
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


@lru_cache(maxsize=8)
def _second_differences(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes [m, 4] and factors [m, 4] of the second differences down, across and of both kinds."""
    number = np.arange(rows * cols).reshape(cols, rows)
    parts = [
        ((number[:, :-2], number[:, 1:-1], number[:, 2:], number[:, 2:]), (1.0, -2.0, 1.0, 0.0)),
        ((number[:-2], number[1:-1], number[2:], number[2:]), (1.0, -2.0, 1.0, 0.0)),
        ((number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]), (1.0, -1.0, -1.0, 1.0)),
    ]
    nodes = [np.stack([part.ravel() for part in four], 1) for four, _ in parts]
    factors = [np.tile(factor, (len(four), 1)) for four, (_, factor) in zip(nodes, parts)]
    return np.concatenate(nodes), np.concatenate(factors)
