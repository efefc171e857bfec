"""Paper without a grid, set straight by what is printed on it: rows are level and stand evenly below each
other, and leads that were recorded together show their beats one below the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np

from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.surface import PaperMap, projected, squareness
from ecgvlm.digitize.timing import correlation, steepness
from ecgvlm.quantile import median

# The first column of a strip and, for each column from there on, px of its height: of the rectified page.
Path = tuple[int, np.ndarray]

LEAST_ROWS = 3
_EVERY = round(1.0 * PX_PER_MM)  # px between the points of a trace that tell where its row runs
_ALIKE = 30  # such points that tell about as much as one, as a trace wanders
_UNEVEN = 0.25  # of the rows' distance, by which a row that stands evenly may seem off its place
_PIECE, _LEAST_PIECE = 60.0 * PX_PER_MM, 36.0 * PX_PER_MM  # of two traces whose beats are compared at once
_REACH = round(6.0 * PX_PER_MM)  # by which beats may stand beside those of another row
_LIKE = 0.5  # likeness from which on beats are the same
_STEEP, _BEAT = 1.5, 2.0  # px by which slopes, and what is steep, are smoothed
LEAST_PAIRS = 3
_USUAL = 0.1  # part by which the rows' length usually changes over the page, and they slant
_ROW_OFF, _BEAT_OFF = 0.002, 0.001  # of the rows' length, by which points of rows and beats are off at least
_ROUNDS = 12
# Parameters that are none on a page that is straight; how unlikely they must be then, the square of how many
# times they are greater than their own uncertainty.
_ASKEW, _PLAINLY = [0, 1, 4, 5], 15.0


def straightened(
    paper: PaperMap, origin: tuple[float, float], placed: Sequence[Placed], paths: Sequence[Path],
    shape: Sequence[int],
) -> np.ndarray | None:  # fmt: skip
    """The homography [3, 3], mm -> px, of paper whose rows are level and whose beats stand below each other.

    paper, origin: flat paper as it was taken, and its mm at the first px of the rectified page, whose rows
    are as long as they will be. shape: of the picture. None where too little tells, or the paper is straight
    as it is.
    """
    ys = sorted({strip.y for strip in placed})
    same = list(same_beats(placed, paths))
    if len(ys) < LEAST_ROWS or len(same) < LEAST_PAIRS:
        return None
    ends = np.array([[x, strip.y] for strip in placed for x in (strip.x0, strip.x1)])
    middle, length = (ends.min(0) + ends.max(0)) / 2, float(np.ptp(ends[:, 0]))
    points, at = points_of(paths)
    rows = places(ys)[[ys.index(strip.y) for strip in placed]][at]
    flat = _flattened(
        (points - middle) / length, rows, (np.array(same) - middle) / length, length / median(np.diff(ys))
    )
    if flat is None:
        return None
    mm = ends / PX_PER_MM + origin
    to_unit = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, length]]) / length
    to_page = np.array([[1, 0, -origin[0]], [0, 1, -origin[1]], [0, 0, 1 / PX_PER_MM]]) * PX_PER_MM
    back = np.linalg.inv(flat @ to_unit @ to_page)  # rows' lengths and rows -> mm of the paper as it was
    homography = paper.homography @ back
    homography = homography @ np.diag([1.0, 1 / squareness(homography, shape), 1.0])
    found = projected(np.linalg.inv(homography), paper.to_px(mm))
    size = np.ptp(mm[:, 0]) / np.ptp(found[:, 0])
    return homography @ np.diag([1 / size, 1 / size, 1.0])


def points_of(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 2] of the traces, and which trace's each is."""
    every = [np.arange(0, len(path), _EVERY) for _, path in paths]
    points = [np.stack([begin + at, path[at]], 1) for (begin, path), at in zip(paths, every)]
    return np.concatenate(points), np.repeat(np.arange(len(paths)), [len(at) for at in every])


def places(ys: Sequence[float]) -> np.ndarray:
    """Heights of rows, in rows: whole numbers, but for rows that plainly stand elsewhere."""
    place = (np.array(ys) - ys[0]) / median(np.diff(ys))
    place = np.where(np.abs(place - place.round()) < _UNEVEN, place.round(), place)
    return place - place.mean()


def same_beats(placed: Sequence[Placed], paths: Sequence[Path]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Two points each that show the same time, in rows next to each other or next but one."""
    steep = [steepness(path.astype(float), _STEEP, _BEAT) for _, path in paths]
    wide = [np.pad(curve, _REACH) for curve in steep]
    for one, other in combinations(range(len(placed)), 2):
        if not 0 < abs(placed[one].row - placed[other].row) <= 2:
            continue
        (a, upper), (b, lower) = paths[one], paths[other]
        first, last = max(a, b), min(a + len(upper), b + len(lower))
        if last - first < _LEAST_PIECE:
            continue
        ends = np.linspace(first, last, max(1, round((last - first) / _PIECE)) + 1).astype(int)
        for x0, x1 in pairwise(ends):
            lag = _lag(steep[one][x0 - a : x1 - a], wide[other][x0 - b : x1 - b + 2 * _REACH])
            if lag is not None:
                x = (x0 + x1) / 2
                yield (
                    np.array([x, median(upper[x0 - a : x1 - a])]),
                    np.array([x + lag, median(lower[x0 - b : x1 - b])]),
                )


def _lag(a: np.ndarray, b: np.ndarray) -> float | None:
    """px by which b, longer by `_REACH` at either end, shows later what a shows; None where it does not."""
    like = correlation(b, a)
    top = int(np.argmax(like))
    if like[top] < _LIKE or not 0 < top < len(like) - 1:
        return None
    before, most, after = like[top - 1 : top + 2]
    return float(top + 0.5 * (before - after) / (before - 2 * most + after - 1e-12) - _REACH)


def _flattened(
    points: np.ndarray, rows: np.ndarray, same: np.ndarray, per_length: float
) -> np.ndarray | None:
    """The homography [3, 3] that brings points [n, 2] to the heights `rows` [n], and the two points of each
    pair [m, 2, 2] below each other.

    per_length: rows that are as high as one is long, which is 1. Least squares by Gauss and Newton,
    reweighted: waves are no part of their row. None where they may as well be so as they are.
    """

    def homography(p: np.ndarray) -> np.ndarray:
        return np.array([[1, p[0], 0], [p[1], p[2] * per_length, p[3]], [p[4], p[5], 1]])

    def off(p: np.ndarray) -> np.ndarray:
        h = homography(p)
        beats = projected(h, same)[..., 0]
        return np.concatenate([(projected(h, points)[:, 1] - rows) / per_length, beats[:, 1] - beats[:, 0]])

    p, step, n = np.array([0.0, 0, 1, 0, 0, 0]), 1e-5, len(points)
    certain = np.array([1, 1, 0, 0, 1, 1]) / _USUAL**2
    for _ in range(_ROUNDS):
        now = off(p)
        slope = np.stack([(off(p + step * one) - now) / step for one in np.eye(6)], 1)
        usual = np.concatenate(
            [
                np.full(len(part), max(least, median(np.abs(part))))
                for part, least in ((now[:n], _ROW_OFF), (now[n:], _BEAT_OFF))
            ]
        )
        weight = 1 / (1 + (now / usual) ** 2) / usual**2
        weight[:n] /= _ALIKE
        normal = slope.T @ (slope * weight[:, None]) + np.diag(certain)
        p = p - np.linalg.solve(normal, slope.T @ (weight * now) + certain * p * (np.arange(6) != 2))
    askew, unsure = p[_ASKEW], np.linalg.inv(normal)[np.ix_(_ASKEW, _ASKEW)]
    return homography(p) if askew @ np.linalg.solve(unsure, askew) > _PLAINLY else None
