"""Find the paper grid of a picture: where every millimetre lies, through tilt, perspective and curl.

The grid is treated as a two-dimensional carrier, as in fringe profilometry (Takeda & Mutoh 1983). A windowed
Fourier transform of each tile of the picture gives the two lattice vectors there; the phases of neighbouring
tiles are joined to positions on the paper, and a homography with a low-order polynomial is fitted to them, so
that holes (glare, text, a table around the page) do not matter.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np

from ecgvlm.digitize.lines import refined
from ecgvlm.digitize.surface import PaperMap, bent, projected

WORK_WIDTH = 1600  # px of the longer side in which the carrier is analysed
TILE, STEP = 128, 96  # px there
# mm that the longer side of the picture may show: from a closely cropped page to a page on a table, or to
# thirty seconds in a row.
_SPAN = (180.0, 860.0)
# Harmonics of the 5-mm period and what they weigh; the fifth is the 1-mm period.
_HARMONICS = np.array([1, 2, 3, 4, 5])
_WEIGHTS = np.array([1.0, 0.6, 0.5, 0.4, 1.2])
_FINE = 5  # the harmonic that 1-mm lines or dots are
_CLEAR = 3.0  # a peak of the whitened spectrum that counts as the grid's
_MOST_TILES = 0.6  # share of the tiles from which on fine lines on flat paper need no others
_AS_FAR = 0.85  # of the tiles that one kind of lines leads to, from which on the other leads as far
_STANDS_OUT = 0.5
_MIN_TILES = 8
# Paper of whose tiles so many percent lie within so many mm of one plane is taken for flat until its lines
# are seen: some tiles are always followed wrongly.
_MOST, _FLAT = 75, 0.3
_AROUND_FLAT = 80.0  # mm
_ABOUT = 0.06  # part by which a scale may differ from where it is looked for


def find_grid(image: np.ndarray) -> PaperMap | None:
    """The paper's map, or None where no grid is to be seen. image: [H, W, 3] uint8 RGB."""
    return GridFinder(image).find()


class GridFinder:
    """One picture ([H, W, 3] uint8 RGB), analysed once however often a grid is looked for in it."""

    def __init__(self, image: np.ndarray):
        self._shape = image.shape
        self._extremes = _extremes(image)
        self._shrink = min(1.0, WORK_WIDTH / max(image.shape[:2]))
        work = cv2.extractChannel(self._extremes, 0)
        if self._shrink < 1:
            work = cv2.resize(work, None, fx=self._shrink, fy=self._shrink, interpolation=cv2.INTER_AREA)
        self._longer = max(work.shape[:2])
        self._tiles = _tiles(_carrier(work))

    def find(self) -> PaperMap | None:
        """The paper's map, or None where no grid is to be seen."""
        least, most = (5 * self._longer / mm for mm in reversed(_SPAN))
        return self._find(np.geomspace(least, most, 114))

    def find_about(self, scale: float) -> PaperMap | None:
        """The same, of a grid that has about so many px per mm."""
        period = 5 * scale * self._shrink
        return self._find(np.geomspace(period * (1 - _ABOUT), period * (1 + _ABOUT), 15))

    def _find(self, periods: np.ndarray) -> PaperMap | None:
        """periods: of 5 mm, in px, that are tried."""
        seed = _seed(self._tiles, periods)
        if seed is None:
            return None
        lead = self._followed(*seed, _FINE)
        if lead is None or lead.paper.shift.any() or lead.tiles < _MOST_TILES * len(self._tiles.at):
            # Fine lines may slip by one at a fold, and thick ones, where they are faint, by five.
            leads = [found for found in (lead, self._followed(*seed, 1)) if found is not None]
            most = max((found.tiles for found in leads), default=0)
            far = [found for found in leads if found.tiles > _AS_FAR * most]
            lead = min(far, key=lambda found: found.uneven, default=None)
        if lead is None:
            return None
        paper = refined(self._extremes, lead.paper)
        # Flat paper is known far beyond its grid, where more of the page may stand.
        flat = not paper.shift.any()
        return PaperMap.plane(paper.homography, paper.box, paper.fit, _AROUND_FLAT) if flat else paper

    def _followed(self, members: list[int], vectors: np.ndarray, harmonic: int) -> _Lead | None:
        """Where a harmonic leads from that of the tiles `members` in which it is clearest."""
        bins = [_bin(v * harmonic / 5.0) for v in vectors]
        seed = max(members, key=lambda k: min(_peak(self._tiles, k, at)[0] for at in bins))
        px, mm = _follow(self._tiles, seed, vectors, harmonic)
        return _fitted(px / self._shrink, mm, self._shape) if len(px) >= _MIN_TILES else None


def _extremes(image: np.ndarray) -> np.ndarray:
    """[h, w, 2] uint8: the darkest and the lightest colour of every px; a grid is clear in the one, a black
    trace alone in the other.
    """
    if not _coloured(image):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return cv2.merge([grey, grey])
    red, green, blue = cv2.split(image)
    return cv2.merge([cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)])


def _carrier(grey: np.ndarray) -> np.ndarray:
    """[h, w] float32: the grid as a faint pattern around 0, with traces, text and light flattened."""
    grey = grey.astype(np.float32)
    local = cv2.blur(grey, (41, 41))
    detail = grey - local
    spread = np.sqrt(np.maximum(cv2.blur(np.minimum(detail**2, 900.0), (81, 81)), 0.0)) + 1.5
    # Traces are far darker than the grid: what lies beyond the grid's own depth is cut.
    return np.clip(detail / spread, -1.2, 1.2)


def _coloured(work: np.ndarray) -> bool:
    small = cv2.resize(work, (200, 150), interpolation=cv2.INTER_AREA).astype(np.int16)
    return float((small.max(2) - small.min(2)).mean()) > 6


@dataclass(frozen=True)
class _Tiles:
    """The picture cut up.

    spectra: [n, TILE, TILE] complex64 of Hann-windowed tiles, frequency 0 in the middle, phases those at the
    tile's centre. whitened: their magnitudes over the local mean. at: [n, 2] centres in px. shape: tiles in y
    and in x.
    """

    spectra: np.ndarray
    whitened: np.ndarray
    at: np.ndarray
    shape: tuple[int, int]


def _tiles(carrier: np.ndarray) -> _Tiles:
    h, w = carrier.shape
    carrier = np.pad(carrier, ((0, max(0, TILE - h)), (0, max(0, TILE - w))))
    views = np.lib.stride_tricks.sliding_window_view(carrier, (TILE, TILE))[::STEP, ::STEP]
    ny, nx = views.shape[:2]
    window = np.outer(np.hanning(TILE), np.hanning(TILE)).astype(np.float32)
    spectra = np.empty((ny * nx, TILE, TILE), np.complex64)
    whitened = np.empty((ny * nx, TILE, TILE), np.float32)
    # (-1)^k in space puts frequency 0 in the middle, in frequency the phases' origin in the middle of the
    # tile.
    sign = (1 - 2 * (np.add.outer(np.arange(TILE), np.arange(TILE)) % 2)).astype(np.float32)
    window *= sign
    for k, tile in enumerate(views.reshape(-1, TILE, TILE)):
        planes = cv2.dft(tile * window, flags=cv2.DFT_COMPLEX_OUTPUT) * sign[..., None]
        spectra[k] = planes.view(np.complex64)[..., 0]
        magnitude = cv2.magnitude(planes[..., 0], planes[..., 1])
        whitened[k] = magnitude / (cv2.blur(magnitude, (15, 15)) + 0.01 * magnitude.max() + 1e-3)
    ys, xs = np.divmod(np.arange(ny * nx), nx)
    return _Tiles(spectra, whitened, np.stack([xs, ys], 1) * STEP + TILE / 2.0, (ny, nx))


def _seed(tiles: _Tiles, periods: np.ndarray) -> tuple[list[int], np.ndarray] | None:
    """The tiles in whose ninth of the page the grid is clearest, and its 1-mm frequency vectors [2, 2] there.

    periods: of 5 mm, in px, that are tried. Frequencies are in cycles per px.
    """
    angles = np.deg2rad(np.arange(-45.0, 45.0, 1.0))
    ny, nx = tiles.shape
    planes = tiles.whitened.reshape(ny, nx, TILE, TILE)
    best, found = 0.0, None
    for rows in np.array_split(np.arange(ny), min(3, ny)):
        for cols in np.array_split(np.arange(nx), min(3, nx)):
            # Traces, text and edges make no comb; the mean over a ninth of the page keeps what they all
            # share.
            plane = np.minimum(planes[np.ix_(rows, cols)], 8.0).mean((0, 1))
            both = np.sqrt(_comb(plane, periods, angles) * _comb(plane, periods, angles + np.pi / 2))
            score = float(both.max())
            if score > best:
                a, p = np.unravel_index(np.argmax(both), both.shape)
                best, found = score, (rows, cols, angles[a], periods[p])
    if found is None or best < _STANDS_OUT:
        return None
    rows, cols, angle, period = found
    vectors = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / period * 5.0
    return [int(r * nx + c) for r in rows for c in cols], vectors


def _comb(plane: np.ndarray, periods: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Score [angles, periods] of a 5-mm period in px along a direction, from a whitened spectrum's harmonics.

    What lies half-way between the harmonics counts against a period: there are the odd harmonics of its
    double.
    """
    orders = np.concatenate([_HARMONICS, _HARMONICS - 0.5])
    f = orders[None, None] / periods[None, :, None]  # cycles per px
    x = TILE / 2 + TILE * f * np.cos(angles)[:, None, None]
    y = TILE / 2 + TILE * f * np.sin(angles)[:, None, None]
    flat = (len(angles), -1)
    value = cv2.remap(
        plane, x.reshape(flat).astype(np.float32), y.reshape(flat).astype(np.float32), cv2.INTER_LINEAR
    )
    weights = np.concatenate([_WEIGHTS, -0.8 * _WEIGHTS])
    score = (value.reshape(x.shape) * (f < 0.47) * weights).sum(2) / _WEIGHTS.sum()
    return np.maximum(score, 0.0)


def _bin(f: np.ndarray) -> tuple[int, int]:
    """Column and row of a spectrum next to a frequency [2] in cycles per px."""
    x, y = np.round(TILE / 2 + f * TILE).astype(int).tolist()
    return x, y


def _peak(tiles: _Tiles, k: int, at: tuple[int, int]) -> tuple[float, np.ndarray, float]:
    """A spectrum's peak near a bin: strength (0: none), frequency refined, phase there in cycles."""
    (x0, y0), reach = at, 2
    if not (reach < x0 < TILE - reach - 1 and reach < y0 < TILE - reach - 1):
        return 0.0, np.zeros(2), 0.0
    patch = tiles.whitened[k, y0 - reach : y0 + reach + 1, x0 - reach : x0 + reach + 1]
    j, i = np.unravel_index(np.argmax(patch), patch.shape)
    y, x = y0 - reach + int(j), x0 - reach + int(i)
    level = np.log(np.abs(tiles.spectra[k, y - 1 : y + 2, x - 1 : x + 2]) + 1e-9)
    dx, dy = _top(level[1]), _top(level[:, 1])
    # A Hann window's main lobe has one phase (after the shift to the centre), so that of the nearest bin will
    # do.
    phase = float(np.angle(tiles.spectra[k, y, x]) / (2 * np.pi))
    return float(patch[j, i]), (np.array([x + dx, y + dy]) - TILE / 2) / TILE, phase


def _top(three: np.ndarray) -> float:
    a, b, c = three
    bottom = a - 2 * b + c
    return float(np.clip(0.5 * (a - c) / bottom, -0.5, 0.5)) if bottom < -1e-9 else 0.0


def _follow(tiles: _Tiles, seed: int, vectors: np.ndarray, harmonic: int) -> tuple[np.ndarray, np.ndarray]:
    """From tile to tile, the clearest first: centres [n, 2] px, [n, 2] mm on the paper."""
    ny, nx = tiles.shape
    cell = 5.0 / harmonic  # mm of the period followed
    known: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # tile -> vectors (cycles per px), mm
    # A tile is looked at from each of its neighbours, mostly at the very same place of its spectrum.
    peak = cache(partial(_peak, tiles))
    queue: list[tuple[float, int, int]] = [(0.0, seed, -1)]
    while queue:
        _, k, source = heapq.heappop(queue)
        if k in known:
            continue
        near = vectors / cell if source < 0 else known[source][0]
        peaks = [peak(k, _bin(f)) for f in near]
        strength = min(peak[0] for peak in peaks)
        found = np.array([peak[1] for peak in peaks])
        change = np.linalg.norm(found - near, axis=1) / np.maximum(np.linalg.norm(near, axis=1), 1e-9)
        if strength < 0.7 * _CLEAR or (source >= 0 and change.max() > (0.08 if harmonic == 5 else 0.2)):
            continue
        phase = np.array([peak[2] for peak in peaks])
        if source < 0:
            mm = phase * cell
        else:
            step = tiles.at[k] - tiles.at[source]
            cycles = known[source][1] / cell + (found + near) @ step / 2
            mm = (cycles + (phase - cycles + 0.5) % 1.0 - 0.5) * cell
            if np.abs(mm / cell - cycles).max() > 0.3:
                continue
        known[k] = (found, mm)
        y, x = divmod(k, nx)
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            if 0 <= y + dy < ny and 0 <= x + dx < nx:
                heapq.heappush(queue, (-strength, (y + dy) * nx + x + dx, k))
    return tiles.at[list(known)] - 0.5, np.array([mm for _, mm in known.values()]).reshape(-1, 2)


@dataclass(frozen=True)
class _Lead:
    """The map that tiles followed from one another tell.

    uneven: mm that most of them are within of one plane.
    """

    paper: PaperMap
    tiles: int
    uneven: float


def _fitted(px: np.ndarray, mm: np.ndarray, shape: tuple[int, ...]) -> _Lead | None:
    """Fit the map mm -> px to points of the grid, outliers weighted down."""
    weight = np.ones(len(mm))
    homography: np.ndarray | None = None
    for _ in range(6):
        homography = _homography(mm, px, weight)
        if homography is None:
            return None
        off = np.linalg.norm(px - projected(homography, mm), axis=1)
        scale = max(0.5, 1.5 * float(np.median(off)))
        weight = 1 / (1 + (off / scale) ** 2) ** 2
    assert homography is not None
    (x0, y0), (x1, y1) = mm.min(0).tolist(), mm.max(0).tolist()
    fit = float(min(1.0, len(px) * STEP**2 / (0.25 * WORK_WIDTH**2 * min(shape[:2]) / max(shape[:2]))))
    plane = PaperMap.plane(homography, (x0, y0, x1, y1), fit)
    uneven = float(np.percentile(off, _MOST)) / plane.scale()
    return _Lead(plane if uneven < _FLAT else bent(plane, mm, px, np.ones(len(mm))), len(px), uneven)


def _homography(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
    """Weighted direct linear transform a -> b, both normalised (Hartley 1997)."""
    ta, tb = _normaliser(a), _normaliser(b)
    p, q = projected(ta, a), projected(tb, b)
    w = np.sqrt(weight)[:, None]
    one, zero = np.ones((len(p), 1)), np.zeros((len(p), 3))
    x = np.hstack([p, one, zero, -q[:, :1] * p, -q[:, :1]]) * w
    y = np.hstack([zero, p, one, -q[:, 1:] * p, -q[:, 1:]]) * w
    _, _, v = np.linalg.svd(np.vstack([x, y]), full_matrices=False)
    h = np.linalg.inv(tb) @ v[-1].reshape(3, 3) @ ta
    return h / h[2, 2] if abs(h[2, 2]) > 1e-12 else None


def _normaliser(p: np.ndarray) -> np.ndarray:
    middle = p.mean(0)
    s = 1 / (np.sqrt(((p - middle) ** 2).sum(1).mean() / 2) + 1e-9)
    return np.array([[s, 0, -s * middle[0]], [0, s, -s * middle[1]], [0, 0, 1]])
