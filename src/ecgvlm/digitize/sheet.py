"""Paper without a grid that bends before a camera: what is printed on it is its ruler.

Rows stand as far apart as they are printed, so where the paper is nearer to the camera they stand farther
apart; a sheet bends without stretching, and how it lies tells how much of a row's time a px shows. Leads that
were recorded together show their beats one below the other, and their names stand at even distances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import cv2
import numpy as np
from numpy.polynomial.polynomial import polyder, polyval

from ecgvlm.digitize.arrangement import Name
from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.straight import LEAST_PAIRS, LEAST_ROWS, Path, places, points_of, same_beats
from ecgvlm.digitize.surface import FOCAL, PaperMap, projected
from ecgvlm.quantile import median, quantiles

# A sheet's shape: how it turns about the three axes of the camera, where its middle lies and how far off, the
# distance of its rows, how it bends along its rows and down them (from the second power on), how it twists;
# how far the picture leans, and the logarithm of its focal length against the usual one.
# Lengths are those of a row. What is usual; what nothing is known of before has no limit.
_FREE = np.inf
_TURN, _ALONG, _DOWN, _TWIST, _LEAN, _FOCAL = slice(0, 3), slice(7, 11), slice(11, 13), 13, 14, 15
_USUAL = np.array([0.1, 0.1, 0.5, *[_FREE] * 4, 0.06, 0.1, 0.15, 0.2, 0.06, 0.1, 0.05, 0.05, 0.15])
_BENT = np.r_[0:2, 7:15]  # what is none on a page that lies flat under a scanner
_EVERY, _ALIKE = 3, 20  # points of a trace of which one counts; so many such tell about as much as one
# Of the rows' length, by which points, beats, rows' ends and names are off at least; strips from their rows.
_ROW_OFF, _BEAT_OFF, _END_OFF, _NAME_OFF, _STRIP_OFF = 0.0015, 0.001, 0.004, 0.0008, 0.002
_STRAY_NAME = 0.004  # by which a name may be off that is read as far as its letters stand by themselves
_PITCH_OFF = 0.001  # by which the distance of the columns' names is off from that of the columns
_ALONG_ROW = np.linspace(-0.6, 0.6, 49)  # places at which a row is laid through the picture
_BEYOND = 0.55  # from where on a sheet goes on as it comes
_PLACES = np.linspace(-_BEYOND, _BEYOND, 111)  # at which a bend is known
_ROUNDS, _SETTLED, _DAMPED = 15, 1e-4, 1e-3
_PLAINLY = 36.0  # as in `straight`: the square of how many times a sheet's bends exceed their uncertainty

# The ends of a lead's name about its centre, in px: how far it reaches to either side, and up and down;
# its letters' least and greatest height, their distance, and their middles off the name's.
_NAME_WIDE, _NAME_HIGH = round(7.0 * PX_PER_MM), round(3.0 * PX_PER_MM)
_LETTER, _LETTER_GAP, _LETTER_OFF = (0.8 * PX_PER_MM, 5.0 * PX_PER_MM), 1.1 * PX_PER_MM, 1.2 * PX_PER_MM
_NAME_INK, _NAME_DEPTH = 0.45, 30.0  # share of the darkest that is ink; grey levels between it and the paper
_PLAIN_NAME = 0.3  # probability
# Quantile of the widths of names of one kind that is usual; part of it by which whole ones are off.
_USUALLY_WIDE, _AS_WIDE = 0.75, 0.12


@dataclass(frozen=True)
class _Seen:
    """What a picture shows, in lengths of a row about the picture's middle, its rows level.

    lines: [l] heights on the paper, in rows and in further row lengths ([l, 2]). points: [n, 2]; their lines
    and strips [n]. pairs: [m, 2, 2] of one time; their lines [m, 2]. ends: [r, 2, 2] of the rows, which are
    the first r lines. names: [k, 2], their lines and columns [k]; columns: where the first one's are and how
    far apart, about.
    """

    lines: np.ndarray
    points: np.ndarray
    point_lines: np.ndarray
    point_strips: np.ndarray
    pairs: np.ndarray
    pair_lines: np.ndarray
    ends: np.ndarray
    names: np.ndarray
    name_lines: np.ndarray
    name_columns: np.ndarray
    columns: tuple[float, float]

    @cached_property
    def of_lines(self) -> list[list[tuple[int, np.ndarray]]]:
        """Each line of points, of either of a pair and of names, and which of these are its own."""
        several = self.point_lines, *self.pair_lines.T, self.name_lines
        return [[(line, np.flatnonzero(lines == line)) for line in set(lines.tolist())] for lines in several]


def bent_sheet(
    paper: PaperMap, origin: tuple[float, float], placed: Sequence[Placed], paths: Sequence[Path],
    names: np.ndarray, shape: Sequence[int],
) -> PaperMap | None:  # fmt: skip
    """The paper as it lies before the camera. None where too little tells, or it may as well be flat.

    paper, origin, placed, paths, shape: as `straightened` takes them, of paper that it set straight. names:
    of `name_ends`; either their beginnings or their ends stand at even distances.
    """
    ys = sorted({strip.y for strip in placed})
    same = list(same_beats(placed, paths))
    if len(ys) < LEAST_ROWS or len(same) < LEAST_PAIRS:
        return None

    def to_px(px: np.ndarray) -> np.ndarray:
        return paper.to_px(np.asarray(px, float) / PX_PER_MM + origin)

    x0, x1 = min(strip.x0 for strip in placed), max(strip.x1 for strip in placed)
    ends = to_px(np.array([[(x0, y), (x1, y)] for y in ys]))
    row = (ends[:, 1] - ends[:, 0]).mean(0)
    length, middle = float(np.hypot(*row)), np.array(shape[1::-1]) / 2
    level = np.array([[row[0], -row[1]], [row[1], row[0]]]) / length

    def unit(px: np.ndarray) -> np.ndarray:
        return (px - middle) @ level / length

    focal = FOCAL * float(np.hypot(shape[0], shape[1])) / length

    def seen(side: int) -> _Seen:
        marks = names[:, [0, 1, side, 4]]
        return _seen(placed, paths, same, marks, ys, (x0, x1), lambda px: unit(to_px(px)), unit(ends))

    start = np.zeros(len(_USUAL))
    start[3:7] = *unit(ends).mean((0, 1)), np.log(focal), median(np.diff(ys)) / (x1 - x0)
    fits = [_fitted(seen(side), start, focal, len(placed)) for side in ((2, 3) if len(names) else (2,))]
    sheet, unlikely, _ = min(fits, key=lambda fit: fit[2])
    if not unlikely > _PLAINLY:
        return None
    mm = (x1 - x0) / PX_PER_MM

    def shown(at: np.ndarray) -> np.ndarray:
        """[..., 2] px of paper at [..., 2] mm from the middle of the rows."""
        return _projected(sheet, at[..., 0] / mm, at[..., 1] / mm, focal) @ level.T * length + middle

    flat = _plane(sheet, shown)
    covering = PaperMap.covering(flat, shape)
    nodes = covering.nodes()
    return replace(covering, shift=shown(nodes) - projected(flat, nodes))


def _plane(sheet: np.ndarray, shown: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The homography [3, 3], mm -> px, of flat paper that lies as a sheet does about its middle."""
    corners = np.array([[-90, -60], [90, -60], [90, 60], [-90, 60]], np.float32)
    return cv2.getPerspectiveTransform(corners, shown(corners.astype(float)).astype(np.float32))


def _seen(
    placed: Sequence[Placed], paths: Sequence[Path], same: Sequence[tuple[np.ndarray, np.ndarray]],
    names: np.ndarray, ys: Sequence[float], row: tuple[float, float],
    unit: Callable[[np.ndarray], np.ndarray], ends: np.ndarray,
) -> _Seen:  # fmt: skip
    """`_Seen` of what stands in px of the rectified page. row: where it begins and ends."""
    points, strips = (part[::_EVERY] for part in points_of(paths))
    pairs = np.array(same)
    heights = np.array(ys)
    length = row[1] - row[0]
    name_rows = np.array([ys.index(next(s.y for s in placed if s.row == r)) for r in names[:, 1]], int)
    above = [
        median(names[name_rows == k, 3] - y) / length if k in name_rows else 0.0 for k, y in enumerate(ys)
    ]
    lines = np.stack([np.tile(places(ys), 2), np.concatenate([np.zeros(len(ys)), above])], 1)
    begin = {s.column: s.x0 for s in placed if not s.rhythm}
    first, last = min(begin), max(begin)
    pitch = (begin[last] - begin[first]) / max(1, last - first)
    into = median([x - begin[first] - (c - first) * pitch for c, _, x, _ in names]) if len(names) else 0.0
    return _Seen(
        lines, unit(points), np.array([ys.index(s.y) for s in placed])[strips], strips,
        unit(pairs), np.abs(pairs[..., 1, None] - heights).argmin(-1), ends,
        unit(names[:, 2:]), len(ys) + name_rows, names[:, 0] - first,
        ((begin[first] - row[0] + into) / length - 0.5, pitch / length),
    )  # fmt: skip


def _projected(sheet: np.ndarray, s: np.ndarray, t: np.ndarray, focal: float) -> np.ndarray:
    """[..., 2] where a sheet at s along the rows and t down, which are broadcast, is seen.

    A bend takes of the ground what the sheet is longer than that.
    """
    along, down = (_Bend.of(tuple(sheet[part].tolist())) for part in (_ALONG, _DOWN))
    z = along.height(s) + down.height(t) + sheet[_TWIST] * s * t
    a, b, c = sheet[_TURN]
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    body = np.stack(np.broadcast_arrays(along.ground(s), down.ground(t), z), -1)
    body = body @ (about_z @ about_y @ about_x).T
    longer = np.exp(sheet[_FOCAL])
    far = body[..., 2:] + np.exp(sheet[5]) * longer
    seen = (body[..., :2] + sheet[3:5]) / far * focal * longer
    x, y = seen[..., 0], seen[..., 1]
    return np.stack([x + sheet[_LEAN] * y, y], -1)


@dataclass(frozen=True)
class _Bend:
    """How a sheet bends in one direction: its height and the ground it covers at `_PLACES`."""

    heights: np.ndarray
    grounds: np.ndarray

    @classmethod
    @lru_cache(maxsize=16)  # most steps of a fit leave it as it is
    def of(cls, powers: tuple[float, ...]) -> _Bend:
        """powers: factors of the second power on."""
        at = _PLACES
        factors = np.concatenate([[0.0, 0.0], powers])
        lost = polyval(at, polyder(factors)) ** 2 / 2
        ground = at - np.concatenate([[0.0], np.cumsum((lost[1:] + lost[:-1]) / 2 * np.diff(at))])
        return cls(polyval(at, factors), ground - ground[len(at) // 2])

    def height(self, at: np.ndarray) -> np.ndarray:
        return np.interp(at, _PLACES, self.heights)

    def ground(self, at: np.ndarray) -> np.ndarray:
        beyond = at - np.clip(at, -_BEYOND, _BEYOND)
        return np.interp(at, _PLACES, self.grounds) + beyond


def _fitted(seen: _Seen, start: np.ndarray, focal: float, strips: int) -> tuple[np.ndarray, float, float]:
    """The sheet that explains what is seen, how unlikely it is that it is flat, see `_PLAINLY`, and how far
    off the names are, stray ones no more than others.

    Least squares by Levenberg and Marquardt, reweighted: waves are no part of their row.
    """
    size = len(start)
    p = np.concatenate([start, seen.columns, np.zeros(strips)])
    before = np.where(np.isin(np.arange(len(p)), _BENT), 0.0, p)
    usual = np.concatenate([_USUAL, [1.0, _PITCH_OFF], np.full(strips, _STRIP_OFF)])
    free = len(p) - strips  # the strips' heights are off as they say: no need to try
    n, m, rows = len(seen.points), len(seen.pairs), len(seen.ends)
    kinds = np.repeat([0, 1, 2, 3], [n, m, 2 * rows, len(seen.names)])
    for _ in range(_ROUNDS):
        now = _off(p, seen, focal)
        slope = np.zeros((len(now), len(p)))
        for k in range(free):
            moved = p.copy()
            moved[k] += 1e-5
            slope[:, k] = (_off(moved, seen, focal) - now) / 1e-5
        slope[np.arange(n), free + seen.point_strips] = -1.0
        usually = [
            median(np.abs(now[kinds == k])) for k in (0, 1)
        ]  # ends and names are as exact as they may be
        least = _ROW_OFF, _BEAT_OFF, _END_OFF, _NAME_OFF
        off = np.maximum(least, [*usually, 0.0, 0.0])[kinds]
        weight = (
            off**-2 / np.array([_ALIKE, 1, rows, 1])[kinds] / np.where(kinds == 2, 1, 1 + (now / off) ** 2)
        )
        normal = slope.T @ (slope * weight[:, None]) + np.diag(usual**-2)
        damped = normal + _DAMPED * np.diag(np.diag(normal))
        step = np.linalg.solve(damped, slope.T @ (weight * now) + (p - before) * usual**-2)
        p = p - step
        if np.abs(step[:size]).max() < _SETTLED:
            break
    unsure = np.linalg.inv(normal)[np.ix_(_BENT, _BENT)]
    names_off = np.minimum(np.abs(_off(p, seen, focal)[kinds == 3]), _STRAY_NAME)
    return p[:size], float(p[_BENT] @ np.linalg.solve(unsure, p[_BENT])), float(names_off.sum())


def _off(p: np.ndarray, seen: _Seen, focal: float) -> np.ndarray:
    """How far off all that is seen is from where a sheet shows it: points, pairs, ends and names in turn."""
    sheet, (first, pitch), heights = p[: len(_USUAL)], p[len(_USUAL) :][:2], p[len(_USUAL) + 2 :]
    t = seen.lines[:, 0] * sheet[6] + seen.lines[:, 1]
    shown = _projected(sheet, _ALONG_ROW, t[:, None], focal)
    x, y = shown[..., 0], shown[..., 1]  # [l, places]
    s = np.broadcast_to(_ALONG_ROW, x.shape)

    def along(values: np.ndarray, at: np.ndarray, lines: list[tuple[int, np.ndarray]]) -> np.ndarray:
        """What is `values` [l, places] of its line at each of [n, 2]."""
        out = np.zeros(len(at))
        for line, own in lines:
            out[own] = np.interp(at[own, 0], x[line], values[line])
        return out

    of_points, of_first, of_second, of_names = seen.of_lines
    of_ends = [(row, np.array([row])) for row in range(len(seen.ends))]
    return np.concatenate(
        [
            seen.points[:, 1] - along(y, seen.points, of_points) - heights[seen.point_strips],
            along(s, seen.pairs[:, 0], of_first) - along(s, seen.pairs[:, 1], of_second),
            along(s, seen.ends[:, 0], of_ends) + 0.5,
            along(s, seen.ends[:, 1], of_ends) - 0.5,
            along(s, seen.names, of_names) - first - pitch * seen.name_columns,
        ]
    )


def name_ends(
    page: np.ndarray, trace: np.ndarray, names: Sequence[Name], placed: Sequence[Placed], pitch: float
) -> np.ndarray:
    """[k, 5] column and row of the names of columns, px at which they begin and end, and their y.

    page: [H, W, 3] rectified; trace: [H, W] probability of its ink; pitch: px between rows. Empty where fewer
    than two columns show any.
    """
    found, kinds = [], []
    for strip in placed:
        own = [n for n in names if n.lead == strip.lead and abs(n.y - strip.y) < pitch and n.p > _PLAIN_NAME]
        print_ends = None if strip.rhythm or not own else _ends(page, trace, max(own, key=lambda n: n.p))
        if print_ends is not None:
            found.append((strip.column, strip.row, *print_ends))
            kinds.append(strip.lead[:-1])
    ends = np.array(found).reshape(-1, 5)[_whole_names(kinds, found)]
    return ends if len(np.unique(ends[:, 0])) > 1 else ends[:0]


def _whole_names(kinds: Sequence[str], ends: Sequence[tuple[float, ...]]) -> list[int]:
    """Which names are as wide as most of their kind ("V", "aV"): letters that touch a trace are lost."""
    wide = np.array([end - begin for _, _, begin, end, _ in ends])
    usual = {kind: float(np.quantile(wide[np.array(kinds) == kind], _USUALLY_WIDE)) for kind in set(kinds)}
    return [k for k, kind in enumerate(kinds) if "V" not in kind or abs(wide[k] / usual[kind] - 1) < _AS_WIDE]


def _ends(page: np.ndarray, trace: np.ndarray, name: Name) -> tuple[float, float, float] | None:
    """px at which a name's print begins and ends, and its y; None where it does not stand by itself."""
    left, top = max(0, round(name.x) - _NAME_WIDE), max(0, round(name.y) - _NAME_HIGH)
    part = np.s_[top : round(name.y) + _NAME_HIGH, left : round(name.x) + _NAME_WIDE]
    grey = page[part][:, :, 1].astype(np.float32)
    if not grey.size:
        return None
    ink, paper = quantiles(grey, 0.02, 0.8).tolist()
    if paper - ink < _NAME_DEPTH:
        return None
    dark = ((paper - grey) / (paper - ink) > _NAME_INK) & (trace[part] < 0.5)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=8)
    letters = [
        (x, x + w, h)
        for x, y, w, h, _ in boxes[1:].tolist()
        if _LETTER[0] <= h <= _LETTER[1]
        and w <= _LETTER[1]
        and 0 < x < x + w < dark.shape[1]
        and abs(y + h / 2 - (name.y - top)) < _LETTER_OFF
    ]
    if not letters:
        return None
    first = min(letters, key=lambda letter: abs((letter[0] + letter[1]) / 2 - (name.x - left)))
    begin, end = first[:2]
    for x0, x1, high in sorted(letters, key=lambda letter: abs(letter[0] - first[0])):
        if x0 < end + _LETTER_GAP and x1 > begin - _LETTER_GAP and 0.5 < high / first[2] < 2:
            begin, end = min(begin, x0), max(end, x1)
    return left + begin - 0.5, left + end - 0.5, name.y
