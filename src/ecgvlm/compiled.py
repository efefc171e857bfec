"""What is compiled of the page net, of following traces and grids, of bent paper and of filters, where the
package was built with a C compiler at hand: `compiled.c`.

Elsewhere NumPy does the same in five to ten times the time; how stands where these are called.
"""

from __future__ import annotations

import ctypes
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_SOURCE = Path(__file__).with_name("compiled.c")
_SIZE = ctypes.c_int64
_REACH, _BLOCK, _AT_A_TIME, _RUN, _ABREAST = 64, 8, 3, 4, 16  # of `compiled.c`


class Runs(NamedTuple):
    """How many runs of each length a layer's weights are in, the order of fours, and the weights in it:
    `in_runs` of `compiled.c` says how."""

    lengths: np.ndarray
    order: np.ndarray
    weights: np.ndarray


class Compiled:
    """The functions of a compiled `compiled.c`. Raises OSError where it cannot be loaded."""

    def __init__(self, library: Path):
        functions = ctypes.CDLL(str(library))
        self._cheapest, self._ink_run = functions.cheapest, functions.ink_run
        self._edges, self._between = functions.edges, functions.between_nodes
        self._normal, self._solved = functions.normal, functions.solved
        self._medians, self._nanmedians = functions.medians, functions.nanmedians
        self._chained, self._swept = functions.chained, functions.swept
        self._follow = functions.follow
        self._follow.restype = _SIZE
        nothing = [self._cheapest, self._ink_run, self._edges, self._between, self._normal]
        for function in (*nothing, self._medians, self._nanmedians, self._chained, self._swept):
            function.restype = None
        self.laned = hasattr(functions, "laned") and bool(functions.laned())
        if self.laned:
            self._bands = functions.bands
            self._convolved, self._added = functions.convolved, functions.added
            self._in_runs, self._convolved_in_runs = functions.in_runs, functions.convolved_in_runs
            self.multiplies_bytes = bool(functions.multiplies_bytes())

    def cheapest(self, cost: np.ndarray, step: np.ndarray) -> np.ndarray:
        """`trace._cheapest`."""
        pieces, columns, rows = cost.shape
        ways = np.empty((pieces, columns), np.int64)
        total, work = np.empty((columns, rows), np.float32), np.empty(7 * (rows + 2 * _REACH), np.float32)
        arrays = (_plain(cost, np.float32), _plain(step, np.float32), total, work, ways)
        self._cheapest(*map(_SIZE, cost.shape), *map(_address, arrays))
        return ways

    def ink_run(
        self, ink: np.ndarray, y: np.ndarray, beside: np.ndarray | float, level: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """`stroke._ink_run`."""
        rows, columns = ink.shape
        top, bottom = np.empty((2, columns))
        far = np.broadcast_to(beside, columns)
        arrays = _plain(ink, np.float32), _plain(y, np.int64), _plain(far, np.float64)
        size = _SIZE(rows), _SIZE(columns)
        self._ink_run(*size, *map(_address, arrays), ctypes.c_float(level), *map(_address, (top, bottom)))
        return top, bottom

    def band(
        self, x: np.ndarray, first: np.ndarray, rows: int, grey: np.ndarray, mesh: np.ndarray,
        print_: np.ndarray, fully: float, sign: float,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """`stroke._band`, where it is `laned`: contrast and what of it is seen, each [rows, n]."""
        grey, print_ = _plain(grey, np.uint8), _plain(print_, np.uint8)
        x, first, mesh = _plain(x, np.float64), _plain(first, np.float64), _plain(mesh, np.float32)
        found = np.empty((2, len(x), rows), np.float32)
        arrays: list[np.ndarray] = [x, first]
        for part in (grey, mesh, print_):
            arrays += [part, np.array(part.shape[:2], np.int64)]
        self._bands(
            _SIZE(len(x)), _SIZE(rows), *map(_address, arrays), ctypes.c_float(fully),
            ctypes.c_float(sign), *map(_address, found),
        )  # fmt: skip
        return found[0].T, found[1].T

    def edges(
        self, contrast: np.ndarray, seen: np.ndarray, columns: Sequence[np.ndarray], levels: Sequence[float],
        plain: int, widest: float,
    ) -> np.ndarray:  # fmt: skip
        """`stroke._edges`, [2 levels + 1, n]. contrast, seen: as of `band`. columns: [n] each its first row's
        px, the path's, how far beside that ink may lie, what the edges may be at least and at most, and the
        contrast of plain ink."""
        rows, n = contrast.shape
        found, work = np.empty((2 * len(levels) + 1, n)), np.empty(rows, np.float32)
        print_ = (_plain(part.T, np.float32) for part in (contrast, seen))
        arrays = [*print_, *(_plain(column, np.float64) for column in columns)]
        self._edges(
            _SIZE(n), _SIZE(rows), *map(_address, arrays), _SIZE(len(levels)),
            _address(np.array(levels, np.float32)), _SIZE(plain), ctypes.c_double(widest),
            _address(work), _address(found),
        )  # fmt: skip
        return found

    def follow(
        self, spectra: np.ndarray, whitened: np.ndarray, at: np.ndarray, shape: tuple[int, int],
        members: Sequence[int], start: Sequence[complex], cell: float, most: float, clear: float,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """`grid._follow`: numbers of the tiles, and what they show, [n, 2] mm."""
        tiles, tall, wide = whitened.shape
        known, found, mm = np.zeros(tiles, np.uint8), np.empty(tiles, np.int64), np.empty((tiles, 2))
        frequency, queue = np.empty((tiles, 4)), np.empty((4 * tiles + 1, 3))
        arrays = [_plain(spectra, np.complex64), _plain(whitened, np.float32), _plain(at, np.float64)]
        work: list[np.ndarray] = [found, mm, frequency, known, queue]
        first, begin = np.array(members, np.int64), np.array([(f.real, f.imag) for f in start])
        count = self._follow(
            *map(_SIZE, (*shape, tall, wide)), *map(_address, arrays), _SIZE(len(first)),
            _address(first), _address(begin), *map(ctypes.c_double, (cell, most, clear)),
            *map(_address, work),
        )  # fmt: skip
        return found[:count], mm[found[:count]]

    def medians(self, values: np.ndarray, width: int) -> np.ndarray:
        """`filters._medians`."""
        found = np.empty((*values.shape[:-1], values.shape[-1] - width + 1))
        known, work = _plain(values, np.float64), np.empty(width)
        rows = found.size // found.shape[-1]
        sizes = map(_SIZE, (rows, found.shape[-1], width))
        self._medians(*sizes, *map(_address, (known, work, found)))
        return found.astype(values.dtype, copy=False)

    def chained(
        self, signal: np.ndarray, steps: np.ndarray, cost: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`judge.atria._chained`."""
        total, back = (
            np.tile(signal.astype(np.float64), (len(steps), 1)),
            np.empty((len(steps), len(signal)), np.int64),
        )
        known = _plain(steps, np.int64), _plain(cost, np.float64)
        self._chained(*map(_SIZE, (*steps.shape, len(signal))), *map(_address, (*known, total, back)))
        return total, back

    def swept(
        self, top: np.ndarray, bottom: np.ndarray, rises: np.ndarray, strip: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`pen._swept`."""
        upper, lower = np.empty((2, *top.shape), np.float32)
        known = [_plain(part, np.float32) for part in (top, bottom, rises)]
        sizes = (*rises.shape, top.shape[1])
        self._swept(*map(_SIZE, sizes), *map(_address, (*known, _plain(strip, np.int64), upper, lower)))
        return upper, lower

    def nanmedian(self, values: np.ndarray, axis: int) -> np.ndarray:
        """`measure.signal._nanmedian`."""
        shape, axis = values.shape, axis % values.ndim
        found, work = np.empty(shape[:axis] + shape[axis + 1 :]), np.empty(shape[axis])
        after = math.prod(shape[axis + 1 :])
        sizes = map(_SIZE, (math.prod(shape[:axis]), shape[axis], after))
        self._nanmedians(*sizes, *map(_address, (_plain(values, np.float64), work, found)))
        return found

    def in_runs(self, kernel: np.ndarray) -> Runs | None:
        """What `convolved` takes beside a layer, of its kernel [count, channels, 4]: nothing where the
        processor `multiplies_bytes`."""
        if self.multiplies_bytes:
            return None
        count, channels, _ = kernel.shape
        slices = channels // _ABREAST
        found = Runs(
            np.empty((slices, _RUN), np.int64),
            np.empty((slices, count), np.int64),
            np.empty((slices, count, _ABREAST, 4), np.int8),
        )
        work = *np.empty((2, count, 4 * _ABREAST), np.int16), np.empty((count, _RUN), np.int64)
        self._in_runs(_SIZE(count), _SIZE(channels), *map(_address, (kernel, *work, *found)))
        return found

    def convolved(
        self, picture: np.ndarray, taps: Sequence[int], stride: int, known: np.void, runs: Runs | None,
        made: np.ndarray, first: int, beyond: int,
    ) -> None:  # fmt: skip
        """Rows of what a layer makes of a picture, where it is `laned`; see `page_layers`.

        picture: [rows, columns, channels] bytes from the first tap on. taps: bytes from there to each. known:
        the layer, as of `Layer.dtype`. runs: of its kernel. made: to write to, [rows, columns, channels].
        """
        kernel, *linear = (known[name] for name in ("kernel", "bias", "scale"))
        _, columns, channels = made.shape
        down, apart = stride * picture.strides[0], stride * picture.strides[1]
        run, weights = (self._convolved, [kernel]) if runs is None else (self._convolved_in_runs, runs)
        run(
            *map(_SIZE, (beyond - first, columns, channels // 16, apart)), _place(picture, first * down),
            _SIZE(down), _SIZE(len(taps)), _address(np.array(taps, np.int64)),
            _SIZE(len(kernel) // len(taps)), *map(_address, (*weights, *linear)),
            ctypes.c_float(known["zero"]), _place(made, first * made.strides[0]), _SIZE(made.strides[0]),
        )  # fmt: skip

    def added(
        self, one: np.ndarray, other: np.ndarray, known: np.void, made: np.ndarray, first: int, beyond: int
    ) -> None:
        """Rows of the sum of two pictures [rows, columns, channels], of which the other may be a whole part
        as large; where it is `laned`. known: as of `page_layers`. made: to write to."""
        by = len(one) // len(other)
        self._added(
            *map(_SIZE, (beyond - first, *made.shape[1:])), _place(one, first * one.strides[0]),
            _SIZE(one.strides[0]), _place(other, first // by * other.strides[0]), _SIZE(other.strides[0]),
            _SIZE(by), *(ctypes.c_float(known[name]) for name in ("share", "other", "rest")),
            _place(made, first * made.strides[0]), _SIZE(made.strides[0]),
        )  # fmt: skip

    def between(self, nodes: np.ndarray, at: np.ndarray) -> np.ndarray:
        """`surface._between` in nodes [rows, cols, 2]."""
        nodes, at = _plain(nodes, np.float64), _plain(at, np.float64)
        found = np.empty(at.shape)
        rows, cols, _ = map(_SIZE, nodes.shape)
        self._between(rows, cols, _address(nodes), _SIZE(at.size // 2), _address(at), _address(found))
        return found

    def laid(
        self, shape: tuple[int, int], first: np.ndarray, shares: np.ndarray, weight: np.ndarray,
        value: np.ndarray, stiff: Sequence[np.ndarray],
    ) -> np.ndarray:  # fmt: skip
        """`surface._laid`. Raises LinAlgError where the matrix is not positive."""
        cols, rows = shape
        n, band = (-(-size // _BLOCK) * _BLOCK for size in (cols * rows, 2 * rows + 1))
        matrix, solution = np.zeros((n + _AT_A_TIME, band + 2 * _BLOCK)), np.zeros(n + band)
        matrix[cols * rows : n, 0] = 1
        arrays = [_plain(first, np.int64), *(_plain(part, np.float64) for part in (shares, weight, value))]
        arrays += [_plain(part, np.float64) for part in stiff]
        sizes = map(_SIZE, (cols, rows, len(first), matrix.shape[1]))
        self._normal(*sizes, *map(_address, (*arrays, matrix, solution)))
        if self._solved(_SIZE(n), _SIZE(band), *map(_address, (matrix, solution))):
            raise np.linalg.LinAlgError("the matrix is not positive")
        return solution[: cols * rows].reshape(cols, rows)


def _plain(values: np.ndarray, kind: type) -> np.ndarray:
    return np.ascontiguousarray(values, kind)


def _address(array: np.ndarray) -> Any:
    """Where the bytes of an array begin, which is kept for as long as this is passed."""
    try:
        return ctypes.byref(ctypes.c_char.from_buffer(array.data))  # in a fifth of the time
    except (TypeError, ValueError):  # read-only, with gaps, or empty
        return array.ctypes.data_as(ctypes.c_void_p)


def _place(array: np.ndarray, further: int) -> ctypes.c_void_p:
    """So many bytes from the first of an array on, which must be kept meanwhile."""
    return ctypes.c_void_p(array.ctypes.data + further)


def library_of(source: Path) -> Path:
    """Where `hatch_build.py` puts what it builds from this very source; one of another has another name."""
    return source.with_name(f"_compiled-{zlib.crc32(source.read_bytes()):08x}.so")


def _loaded() -> Compiled | None:
    try:
        return Compiled(library_of(_SOURCE))
    except OSError:
        return None


COMPILED = _loaded()
