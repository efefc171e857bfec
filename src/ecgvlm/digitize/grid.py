"""Find the paper grid of a picture: where every millimetre lies, through tilt, perspective and curl.

The grid is treated as a two-dimensional carrier, as in fringe profilometry (Takeda & Mutoh 1983). A windowed
Fourier transform of each tile of the picture gives the two lattice vectors there; the phases of neighbouring
tiles are joined to positions on the paper, and a homography with a low-order polynomial is fitted to them, so
that holes (glare, text, a table around the page) do not matter.
"""

from __future__ import annotations

import cmath
import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache, partial

import cv2
import numpy as np

from ecgvlm.compiled import COMPILED
from ecgvlm.digitize.lines import flattened, levelled, refined
from ecgvlm.digitize.surface import PaperMap, bent, projected, squareness
from ecgvlm.files.picture import shrunk
from ecgvlm.quantile import median, quantile

WORK_WIDTH = 1600  # px of the longer side in which the carrier is analysed
TILE, STEP = 128, 96  # px there
# (-1)^y in space puts frequency 0 into the middle row.
_WINDOW = np.outer(np.hanning(TILE) * (-1.0) ** np.arange(TILE), np.hanning(TILE)).astype(np.float32)
_LOCAL = 15  # bins of a spectrum's local mean
_WEST = _LOCAL // 2 + 1  # columns of a half spectrum for frequencies that run to the left
# mm that the longer side of the picture may show: from a closely cropped page to a page on a table, or to
# thirty seconds in a row.
_SPAN = (180.0, 860.0)
# Harmonics of the 5-mm period and what they weigh; the fifth is the 1-mm period.
_HARMONICS = np.array([1, 2, 3, 4, 5])
_WEIGHTS = np.array([1.0, 0.6, 0.5, 0.4, 1.2])
_FINE = 5  # the harmonic that 1-mm lines or dots are
_FINEST = 0.47  # cycles a px
_ANGLES = np.deg2rad(np.arange(-45.0, 45.0, 1.0))  # of a grid
_CLEAR = 3.0  # a peak of the whitened spectrum that counts as the grid's
_FOLLOWED = 0.7  # of that, which is enough where neighbours tell what to look for
# Part by which a frequency may change from tile to tile; that of 1-mm lines, and theirs on paper that is
# looked at by itself.
_CHANGE, _FINE_CHANGE, _NEAR_CHANGE = 0.2, 0.08, 0.12
_OUT_OF_STEP = 0.3  # cycles by which a tile's lines may be off what its neighbour's tell
_MOST_TILES = 0.6  # share of the tiles from which on fine lines on flat paper need no others
_FEW_TILES = 0.3  # share of the tiles below which lines are followed hardly anywhere
_SLIP = 2.5  # mm
_OBLONG = 0.1  # part by which a mm is longer one way on a map that took a grid's lines for coarser ones there
_AS_FAR = 0.85  # of the tiles that one kind of lines leads to, from which on the other leads as far
_STANDS_OUT = 0.5
_MIN_TILES = 8
# Paper of whose tiles this share lies within so many mm of one plane is taken for flat until its lines
# are seen: some tiles are always followed wrongly.
_MOST, _FLAT = 0.75, 0.3
# The same of paper that a scanner kept flat, and of a picture that a program drew, which no camera ever saw.
_PLAINLY_FLAT, _DRAWN = 0.12, 0.04
_BENT = 0.2  # the same of paper that lies on no plane, whichever its lines are
# mm that such paper's lines may be off in the bands that are looked at, and px of the picture that they are
# which a program drew at whole ones; share of them that must be seen.
_PLAINLY_LEVEL, _WHOLE_PX, _PLAIN = 0.07, 0.6, 0.65
# Times by which lines may be farther apart than was thought first: drawn at whole px, some of them repeat,
# and the harmonics of that look like finer paper. Share of the lines that must then be seen.
_MISTAKEN, _CERTAIN = (1, 5 / 4, 5 / 3, 5 / 2), 0.9
_AROUND_FLAT = 80.0  # mm
# Times as large as in the whole picture that paper is seen at least where it is looked at by itself, and
# share of what was seen of it before that must be seen then.
_NEARER, _AS_MUCH = 1.5, 0.6
# mm by which a map is followed at once over paper that hardly shows its grid, and how often.
_STEP_ON, _STEPS_ON = 30.0, 3
_ABOUT = 0.06  # part by which a scale may differ from where it is looked for
# Periods of 5 mm that are tried: the least and the greatest, in px, and how many, each longer by one part.
_Periods = tuple[float, float, int]


def find_grid(image: np.ndarray) -> PaperMap | None:
    """The paper's map, or None where no grid is to be seen. image: [H, W, 3] uint8 RGB."""
    return GridFinder(image).find()


class GridFinder:
    """One picture ([H, W, 3] uint8 RGB), analysed once however often a grid is looked for in it."""

    def __init__(self, image: np.ndarray):
        self._shape = image.shape
        self._shrink = min(1.0, WORK_WIDTH / max(image.shape[:2]))
        self._extremes = _extremes(image)
        self._work = shrunk(self._extremes[0], self._shrink)
        self._lies_flat = False

    @cached_property
    def _tiles(self) -> _Tiles:
        return _tiles(_cut(_carrier(self._work), STEP), STEP, self._shrink)

    @cached_property
    def _few_tiles(self) -> _Tiles:
        pieces = _cut(self._work, 2 * STEP)
        return _tiles(_carrier(pieces.reshape(-1, TILE)).reshape(pieces.shape), 2 * STEP, self._shrink)

    def find(self) -> PaperMap | None:
        """The paper's map, or None where no grid is to be seen."""
        periods = _all_periods(max(self._work.shape))
        paper = self._plain(periods, _MISTAKEN)
        self._lies_flat = paper is not None
        if paper is not None:
            return paper
        lead = self._lead(self._tiles, periods)
        return self._laid(lead and self._nearer(lead))

    def find_about(self, scale: float) -> PaperMap | None:
        """The same, of a grid that has about so many px per mm; of paper that was found to lie flat before,
        where it does so by that grid, too.
        """
        if max(self._shape[:2]) > _SPAN[1] * scale:
            return None
        period = 5 * scale * self._shrink
        periods = period * (1 - _ABOUT), period * (1 + _ABOUT), 15
        if self._lies_flat:
            return self._plain(periods)
        return self._laid(self._lead(self._tiles, periods))

    def farther(self, paper: PaperMap) -> PaperMap:
        """The map followed over more of the paper, where lines of the grid are hardly seen."""
        found = paper
        for _ in range(_STEPS_ON):
            x0, y0, x1, y1 = found.box
            box = x0 - _STEP_ON, y0 - _STEP_ON, x1 + _STEP_ON, y1 + _STEP_ON
            found = refined(self._extremes, replace(found.widened(_STEP_ON), box=box))
        return replace(found, fit=paper.fit)

    def _plain(self, periods: _Periods, mistaken: Sequence[float] = (1,)) -> PaperMap | None:
        """The map of paper whose grid stands out everywhere on one plane: a quarter of the tiles will do.

        mistaken: times by which its lines may be farther apart than they seem.
        """
        tiles = self._few_tiles
        members, fine = _seed(tiles, periods, parts=1) or ([], [])
        for times in mistaken if members else ():
            lead = self._followed(tiles, members, [f / times for f in fine], _FINE)
            if lead is None:
                continue
            if times == 1 and lead.uneven > _BENT:
                break
            flat, seen = (_PLAINLY_FLAT, _PLAIN) if times == 1 else (_DRAWN, _CERTAIN)
            if lead.uneven > flat:
                continue
            paper, off = levelled(self._extremes, lead.plane)
            most = max(_PLAINLY_LEVEL, _WHOLE_PX / paper.scale() if lead.uneven < _DRAWN else 0.0)
            if paper.fit > seen and off < most and lead.tiles > _MOST_TILES * len(tiles.at):
                return _far(paper)
            if paper.fit > _CERTAIN:  # these are the lines, but no plain paper's
                break
        return None

    def _laid(self, lead: _Lead | None) -> PaperMap | None:
        """The map that the grid leads to, set right by its lines; None where it leads nowhere."""
        return None if lead is None else _far(refined(self._extremes, lead.paper()))

    def _nearer(self, lead: _Lead) -> _Lead:
        """Where the grid leads in the part of the picture that shows it, seen as large as a whole picture is:
        tiles of a picture that is small, or shows far more than the page, are coarse for the paper's bends.
        """
        reach = TILE / self._shrink
        (x0, y0), (x1, y1) = lead.px.min(0) - reach, lead.px.max(0) + reach
        x0, y0 = max(0, int(x0)), max(0, int(y0))
        part = self._extremes[0][y0 : int(y1), x0 : int(x1)]
        larger = WORK_WIDTH / max(part.shape)
        if larger < _NEARER * self._shrink:
            return lead
        if larger < 1:
            part = shrunk(part, larger)
        else:
            part = cv2.resize(part, None, fx=larger, fy=larger, interpolation=cv2.INTER_LINEAR)
        tiles = _tiles(_cut(_carrier(part), STEP), STEP, larger, (x0, y0))
        nearer = self._lead(tiles, _all_periods(WORK_WIDTH), _NEAR_CHANGE)
        least = _AS_MUCH * lead.tiles * (larger / self._shrink) ** 2
        return lead if nearer is None or nearer.tiles < least else nearer

    def _lead(self, tiles: _Tiles, periods: _Periods, change: float = _FINE_CHANGE) -> _Lead | None:
        """Where the kind of lines leads that is followed best. change: of `_followed`."""
        seed = _seed(tiles, periods)
        if seed is None:
            return None
        lead = self._followed(tiles, *seed, _FINE, change)
        if lead is not None and lead.flat and lead.square and lead.tiles >= _MOST_TILES * len(tiles.at):
            return lead
        # Fine lines may slip by one at a fold, and thick ones, where they are faint, by five.
        leads = [found for found in (lead, self._followed(tiles, *seed, 1)) if found is not None]
        # What thick lines have twice in 5 mm holds on to crumpled paper, unless it slips by one.
        if all(found.tiles < _FEW_TILES * len(tiles.at) for found in leads):
            twice = self._followed(tiles, *seed, 2)
            if twice is not None and twice.uneven <= _SLIP:
                leads.append(twice)
        most = max((found.tiles for found in leads), default=0)
        far = [found for found in leads if found.tiles > _AS_FAR * most]
        square = [found for found in far if found.square]
        return min(square or far, key=lambda found: found.uneven, default=None)

    def _followed(
        self,
        tiles: _Tiles,
        members: list[int],
        fine: list[complex],
        harmonic: int,
        change: float = _FINE_CHANGE,
    ) -> _Lead | None:
        """Where a harmonic leads from that of the tiles `members` in which it is clearest.

        change: part by which the frequency of 1-mm lines may change from tile to tile.
        """
        cell = 5.0 / harmonic  # mm
        start = [f / cell for f in fine]
        most = change if harmonic == _FINE else _CHANGE
        follow = COMPILED.follow if COMPILED else _follow
        picture = tiles.spectra, tiles.whitened, tiles.at, tiles.shape
        found, mm = follow(*picture, members, start, cell, most, _FOLLOWED * _CLEAR)
        px = (tiles.at[found] - 0.5) / tiles.shrink + tiles.corner
        return _fitted(px, mm, self._shape) if len(px) >= _MIN_TILES else None


def _all_periods(side: int) -> _Periods:
    """Those of paper that a picture's longer side of so many px may show."""
    least, most = (5 * side / mm for mm in reversed(_SPAN))
    return least, most, 114


def _far(paper: PaperMap) -> PaperMap:
    """Flat paper is known far beyond its grid, where more of the page may stand."""
    if paper.shift.any():
        return paper
    return PaperMap.plane(paper.homography, paper.box, paper.fit, _AROUND_FLAT)


def _extremes(image: np.ndarray) -> list[np.ndarray]:
    """[h, w] uint8: the darkest and, where there are colours, the lightest colour of every px; a grid is
    clear in the one, a black trace alone in the other.
    """
    if not _coloured(image):
        return [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)]
    red, green, blue = cv2.split(image)
    return [cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)]


def _coloured(image: np.ndarray) -> bool:
    few = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_NEAREST)
    few = cv2.resize(few, (200, 150), interpolation=cv2.INTER_AREA)
    red, green, blue = cv2.split(few)
    most, least = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
    return float((most - least).mean()) > 6


def _carrier(grey: np.ndarray) -> np.ndarray:
    """[h, w] float32: the grid as a faint pattern around 0, with traces, text and light flattened."""
    detail = cv2.subtract(grey, cv2.boxFilter(grey, cv2.CV_32F, (41, 41)), dtype=cv2.CV_32F)
    return flattened(detail, 81)


@dataclass(frozen=True)
class _Tiles:
    """The picture cut up.

    spectra: [n, TILE, `_WEST` + TILE / 2] complex64 of Hann-windowed tiles: the frequencies that run to
    the right, and a margin of those to the left; rows from -1/2 cycle a px on; phases at a tile's corner.
    whitened: their magnitudes over the local mean. at: [n, 2] centres in px. shape: tiles in y and in x.
    shrink: px of what was cut up for one of the picture, of which corner is the px where it begins.
    """

    spectra: np.ndarray
    whitened: np.ndarray
    at: np.ndarray
    shape: tuple[int, int]
    shrink: float
    corner: tuple[int, int]


def _cut(picture: np.ndarray, step: int) -> np.ndarray:
    """[ny, nx, TILE, TILE]: a view of a picture's tiles, one every `step` px."""
    h, w = picture.shape
    picture = np.pad(picture, ((0, max(0, TILE - h)), (0, max(0, TILE - w))), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(picture, (TILE, TILE))[::step, ::step]


def _tiles(carrier: np.ndarray, step: int, shrink: float, corner: tuple[int, int] = (0, 0)) -> _Tiles:
    """carrier: cut up by `_cut`. shrink, corner: of `_Tiles`."""
    ny, nx = carrier.shape[:2]
    spectra = np.empty((ny, nx, TILE, _WEST + TILE // 2), np.complex64)
    whitened = np.empty(spectra.shape, np.float32)
    for row, spectrum, plain in zip(carrier, spectra, whitened):  # a row of them stays in the cache
        spectrum[..., _WEST:] = _transformed(row * _WINDOW)
        # As in any real picture's spectrum.
        spectrum[..., :_WEST] = spectrum[:, -np.arange(TILE) % TILE, 2 * _WEST : _WEST : -1].conj()
        magnitude = np.abs(spectrum)
        # Of all tiles at once: the rows next to another tile's are too fine for any grid.
        mean = cv2.blur(magnitude.reshape(-1, magnitude.shape[-1]), (_LOCAL, _LOCAL)).reshape(plain.shape)
        mean += 0.01 * magnitude.max((1, 2), keepdims=True) + 1e-3
        np.divide(magnitude, mean, out=plain)
    ys, xs = np.divmod(np.arange(ny * nx), nx)
    at = np.stack([xs, ys], 1) * step + TILE / 2.0
    return _Tiles(
        spectra.reshape(-1, *spectra.shape[2:]),
        whitened.reshape(-1, *spectra.shape[2:]),
        at,
        (ny, nx),
        shrink,
        corner,
    )


def _transformed(tiles: np.ndarray) -> np.ndarray:
    """[n, TILE, TILE / 2] complex64: the Fourier transforms of real tiles, without their finest column.

    By OpenCV, in less than half of NumPy's time. It packs the columns from the second one on as pairs of
    floats, and of the first one, whose lower half mirrors its upper half, that half alone, downwards.
    """
    packed = np.array([cv2.dft(tile) for tile in tiles])
    out = np.empty((len(tiles), TILE, TILE // 2), np.complex64)
    out.view(np.float32)[..., 2:] = packed[..., 1:-1]
    first = packed[..., 0]
    out[:, 0, 0], out[:, TILE // 2, 0] = first[:, 0], first[:, -1]
    out[:, 1 : TILE // 2, 0] = first[:, 1:-1:2] + 1j * first[:, 2:-1:2]
    out[:, : TILE // 2 : -1, 0] = out[:, 1 : TILE // 2, 0].conj()
    return out


def _seed(tiles: _Tiles, periods: _Periods, parts: int = 3) -> tuple[list[int], list[complex]] | None:
    """The tiles in whose part of the page the grid is clearest, and its two 1-mm frequencies there.

    parts: of the page, in rows and in columns. Frequencies are in cycles per px, their y imaginary.
    """
    ny, nx = tiles.shape
    planes = tiles.whitened.reshape(ny, nx, TILE, -1)
    combs = _combs(periods)
    best, found = 0.0, None
    for rows in np.array_split(np.arange(ny), min(parts, ny)):
        for cols in np.array_split(np.arange(nx), min(parts, nx)):
            # Traces, text and edges make no comb; the mean over a part of the page keeps what they all share.
            plane = np.minimum(planes[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1], 8.0).mean((0, 1))
            one, other = (_likeness(plane, *comb) for comb in combs)
            both = np.sqrt(one * other)
            score = float(both.max())
            if score > best:
                a, p = np.unravel_index(np.argmax(both), both.shape)
                best, found = score, (rows, cols, 5.0 / np.geomspace(*periods)[p] * np.exp(1j * _ANGLES[a]))
    if found is None or best < _STANDS_OUT:
        return None
    rows, cols, across = found
    return [int(r * nx + c) for r in rows for c in cols], [complex(across), complex(1j * across)]


@lru_cache(8)
def _combs(periods: _Periods) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """`_comb` along `_ANGLES`, and at right angles to them."""
    return tuple(_comb(np.geomspace(*periods), angles) for angles in (_ANGLES, _ANGLES + np.pi / 2))


def _comb(periods: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows [angles, periods * orders] of a half spectrum where 5-mm periods in px along a
    direction have their harmonics and, half-way between them, what speaks for the double of the period.
    """
    f = np.outer(1 / periods, np.concatenate([_HARMONICS, _HARMONICS - 0.5])).ravel()  # cycles a px
    x, y = np.outer(np.cos(angles), f), np.outer(np.sin(angles), f)
    column = np.where(f < _FINEST, _WEST + TILE * np.abs(x), -TILE)  # else outside, where nothing is
    row = TILE / 2 + TILE * np.where(x < 0, -y, y)
    return column.astype(np.float32), row.astype(np.float32)


def _likeness(plane: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Score [angles, periods] of the 5-mm periods of a comb in a whitened half spectrum."""
    value = cv2.remap(plane, columns, rows, cv2.INTER_LINEAR)
    weights = np.concatenate([_WEIGHTS, -0.8 * _WEIGHTS]) / _WEIGHTS.sum()
    return np.maximum(value.reshape(len(columns), -1, len(weights)) @ weights, 0.0)


# Strength (0: none), frequency refined, and phase in cycles at the tile's centre.
_Peak = tuple[float, complex, float]


def _peak(spectra: np.ndarray, whitened: np.ndarray, k: int, column: int, row: int) -> _Peak:
    """A half spectrum's peak near a bin."""
    reach = 2
    _, height, width = spectra.shape
    if not (column < width - reach - 1 and reach < row < height - reach - 1):
        return 0.0, 0j, 0.0
    patch = whitened[k, row - reach : row + reach + 1, column - reach : column + reach + 1]
    j, i = divmod(int(patch.argmax()), 2 * reach + 1)
    y, x = row - reach + j, column - reach + i
    (_, above, _), (left, middle, right), (_, below, _) = spectra[k, y - 1 : y + 2, x - 1 : x + 2].tolist()
    # One by one: this is done for some thousand bins of a picture.
    high = math.log(abs(middle) + 1e-9)
    dx = _top(math.log(abs(left) + 1e-9), high, math.log(abs(right) + 1e-9))
    dy = _top(math.log(abs(above) + 1e-9), high, math.log(abs(below) + 1e-9))
    # A Hann window's main lobe has one phase (after the shift to the centre), so that of the nearest bin will
    # do.
    phase = cmath.phase(middle) / (2 * math.pi) + (x - _WEST + y) % 2 / 2
    return float(patch[j, i]), complex(x + dx - _WEST, y + dy - TILE / 2) / TILE, phase


def _peak_about(peak: Callable[[int, int, int], _Peak], k: int, f: complex) -> _Peak:
    """A tile's peak near a frequency, whichever way it runs."""
    if f.real < 0:
        strength, found, phase = _peak_about(peak, k, -f)
        return strength, -found, -phase
    return peak(k, round(_WEST + f.real * TILE), round(TILE / 2 + f.imag * TILE))


def _top(a: float, b: float, c: float) -> float:
    """Where between -1/2 and 1/2 a parabola through three values has its top."""
    bottom = a - 2 * b + c
    if bottom >= -1e-9:
        return 0.0
    top = 0.5 * (a - c) / bottom
    return -0.5 if top < -0.5 else 0.5 if top > 0.5 else top


def _follow(
    spectra: np.ndarray, whitened: np.ndarray, at: np.ndarray, shape: tuple[int, int],
    members: Sequence[int], start: Sequence[complex], cell: float, most: float, clear: float,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """From the clearest of the tiles `members` on, the clearest first: numbers of tiles, and what they show,
    [n, 2] mm on the paper.

    spectra, whitened, at, shape: of `_Tiles`. start: the two frequencies there that are followed. cell: mm
    between two of their lines. most: part by which a frequency may change from tile to tile. clear: how
    strong a peak is at least. Where nothing is compiled.
    """
    ny, nx = shape
    # A tile is looked at from each of its neighbours, mostly at the very same place of its spectrum.
    peak = partial(_peak_about, cache(partial(_peak, spectra, whitened)))
    seed = max(members, key=lambda k: min(peak(k, f)[0] for f in start))
    known: dict[int, tuple[list[complex], list[float]]] = {}  # tile -> its two frequencies, mm
    queue: list[tuple[float, int, int]] = [(0.0, seed, -1)]
    while queue:
        _, k, source = heapq.heappop(queue)
        if k in known:
            continue
        near, there = known[source] if source >= 0 else (start, [0.0, 0.0])
        peaks = [peak(k, f) for f in near]
        strength = min(peak[0] for peak in peaks)
        found = [peak[1] for peak in peaks]
        if strength < clear:
            continue
        if source >= 0:
            change = max(abs(f - before) / max(abs(before), 1e-9) for f, before in zip(found, near))
            step = complex(*(at[k] - at[source]))
            cycles = [
                mm / cell + ((f + before).conjugate() * step).real / 2
                for mm, f, before in zip(there, found, near)
            ]
        else:
            change, cycles = 0.0, [phase for _, _, phase in peaks]
        off = [(phase - so_far + 0.5) % 1.0 - 0.5 for (_, _, phase), so_far in zip(peaks, cycles)]
        if change > most or max(map(abs, off)) > _OUT_OF_STEP:
            continue
        known[k] = found, [(so_far + rest) * cell for so_far, rest in zip(cycles, off)]
        y, x = divmod(k, nx)
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            if 0 <= y + dy < ny and 0 <= x + dx < nx:
                heapq.heappush(queue, (-strength, (y + dy) * nx + x + dx, k))
    return np.array([*known], int), np.array([mm for _, mm in known.values()]).reshape(-1, 2)


@dataclass(frozen=True)
class _Lead:
    """What tiles followed from one another tell: px [n, 2] of the picture that show mm [n, 2] of the paper.

    plane: the plane next to them. uneven: mm that most of them are within of it. square: whether a mm is as
    long down the paper as across.
    """

    px: np.ndarray
    mm: np.ndarray
    plane: PaperMap
    uneven: float
    square: bool

    @property
    def tiles(self) -> int:
        return len(self.px)

    @property
    def flat(self) -> bool:
        return self.uneven < _FLAT

    def paper(self) -> PaperMap:
        return self.plane if self.flat else bent(self.plane, self.mm, self.px, np.ones(self.tiles))


def _fitted(px: np.ndarray, mm: np.ndarray, shape: tuple[int, ...]) -> _Lead | None:
    """Lay a plane through points of the grid, outliers weighted down."""
    transform, weight = _transform(mm, px), np.ones(len(mm))
    homography: np.ndarray | None = None
    for _ in range(6):
        homography = transform(weight)
        if homography is None:
            return None
        off = np.linalg.norm(px - projected(homography, mm), axis=1)
        if not np.isfinite(off).all():
            return None
        scale = max(0.5, 1.5 * median(off))
        weight = 1 / (1 + (off / scale) ** 2) ** 2
    assert homography is not None
    (x0, y0), (x1, y1) = mm.min(0).tolist(), mm.max(0).tolist()
    fit = float(min(1.0, len(px) * STEP**2 / (0.25 * WORK_WIDTH**2 * min(shape[:2]) / max(shape[:2]))))
    plane = PaperMap.plane(homography, (x0, y0, x1, y1), fit)
    square = abs(squareness(homography, shape) - 1) < _OBLONG
    return _Lead(px, mm, plane, quantile(off, _MOST) / plane.scale(), square)


def _transform(a: np.ndarray, b: np.ndarray) -> Callable[[np.ndarray], np.ndarray | None]:
    """Direct linear transforms a -> b, both normalised (Hartley 1997): [n] weights -> [3, 3]."""
    ta, tb = _normaliser(a), _normaliser(b)
    p, q = projected(ta, a), projected(tb, b)
    one, zero = np.ones((len(p), 1)), np.zeros((len(p), 3))
    x = np.hstack([p, one, zero, -q[:, :1] * p, -q[:, :1]])
    y = np.hstack([zero, p, one, -q[:, 1:] * p, -q[:, 1:]])
    equations, back = np.vstack([x, y]), np.linalg.inv(tb)

    def weighted(weight: np.ndarray) -> np.ndarray | None:
        normal = equations.T @ (equations * np.tile(weight, 2)[:, None])
        h = back @ np.linalg.eigh(normal)[1][:, 0].reshape(3, 3) @ ta
        return h / h[2, 2] if abs(h[2, 2]) > 1e-12 else None

    return weighted


def _normaliser(p: np.ndarray) -> np.ndarray:
    middle = p.mean(0)
    s = 1 / (np.sqrt(((p - middle) ** 2).sum(1).mean() / 2) + 1e-9)
    return np.array([[s, 0, -s * middle[0]], [0, s, -s * middle[1]], [0, 0, 1]])
