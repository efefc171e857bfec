"""What is compiled of following traces and of bent paper, where the package was built with a C compiler at
hand: `compiled.c`.

Elsewhere NumPy does the same in five to ten times the time; how stands where these are called.
"""

from __future__ import annotations

import ctypes
import zlib
from pathlib import Path

import numpy as np

_SOURCE = Path(__file__).with_name("compiled.c")
_SIZE = ctypes.c_int64
_REACH, _BLOCK = 64, 8  # of `compiled.c`


class Compiled:
    """The functions of a compiled `compiled.c`. Raises OSError where it cannot be loaded."""

    def __init__(self, library: Path):
        functions = ctypes.CDLL(str(library))
        self._cheapest, self._ink_run = functions.cheapest, functions.ink_run
        self._cheapest.restype = self._ink_run.restype = None
        self._solved = functions.solved

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

    def solved(self, diagonals: dict[int, np.ndarray], right: np.ndarray) -> np.ndarray:
        """`surface._solved`. Raises LinAlgError where the matrix is not positive."""
        known = len(right)
        n, band = (-(-size // _BLOCK) * _BLOCK for size in (known, max(diagonals) + 1))
        matrix, solution = np.zeros((n, band + 2 * _BLOCK)), np.zeros(n + band)
        for offset, values in diagonals.items():
            matrix[:known, offset] = values.ravel()
        matrix[known:, 0] = 1
        solution[:known] = right
        if self._solved(_SIZE(n), _SIZE(band), *map(_address, (matrix, solution))):
            raise np.linalg.LinAlgError("the matrix is not positive")
        return solution[:known]


def _plain(values: np.ndarray, kind: type) -> np.ndarray:
    return np.ascontiguousarray(values, kind)


def _address(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)  # keeps the array for as long as it is passed


def library_of(source: Path) -> Path:
    """Where `hatch_build.py` puts what it builds from this very source; one of another has another name."""
    return source.with_name(f"_compiled-{zlib.crc32(source.read_bytes()):08x}.so")


def _loaded() -> Compiled | None:
    try:
        return Compiled(library_of(_SOURCE))
    except OSError:
        return None


COMPILED = _loaded()
