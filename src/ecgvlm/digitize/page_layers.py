"""The page net layer by layer in compiled code, where the processor has AVX2 or AVX-512 VNNI.

It gives the very bytes of `pagenet.onnx` in three quarters of the time: ONNX Runtime needs blocks with zeros
in them for the finest layers, which have few channels (`ecgvlm.train.small.blocks`), and reaches less of what
the processor can do: with AVX2 it widens the sum of every two products, which can wait for up to eight where
weights allow it. `ecgvlm.train.small.quantize` writes `pagenet.bin` beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from ecgvlm.compiled import COMPILED
from ecgvlm.sessions import read_model_file
from ecgvlm.together import together

FILE = "pagenet.bin"
LEAST_WIDTH = 96  # px of a page: `convolved` takes up to 16 places at once
_FRAME = 4  # places about a picture that a kernel may reach


@dataclass(frozen=True)
class Layer:
    """A convolution. channels: that it gives, a multiple of 16. bytes: that it reads of every tap. rows,
    columns: of taps. stride: places from one that it looks at to the next. apart: places from tap to tap."""

    channels: int
    bytes: int
    rows: int = 3
    columns: int = 3
    stride: int = 1
    apart: int = 1

    @property
    def dtype(self) -> np.dtype:
        """Of what a file holds of it: `kernel` as `compiled.c` reads it, and what makes bytes of its sums."""
        fours = self.rows * self.columns * self.bytes // 4
        return np.dtype(
            [("kernel", np.int8, (fours, self.channels, 4)), ("bias", np.int32, self.channels),
             ("scale", np.float32, self.channels), ("zero", np.float32)]
        )  # fmt: skip


# Of the net's modules. The first one reads px, six rows of six with three colours and two bytes more; the
# last one gives 4 x 4 px at once.
LAYERS = {
    "stem.0": Layer(16, 20, 6, 1, stride=2),
    "stem.1": Layer(16, 16),
    "down1.0": Layer(32, 16, stride=2),
    "down1.1.conv1": Layer(32, 32),
    "down1.1.conv2": Layer(32, 32),
    "down2.0": Layer(64, 32, stride=2),
    "down2.1.conv1": Layer(64, 64),
    "down2.1.conv2": Layer(64, 64),
    "down3.0": Layer(96, 64, stride=2),
    "down3.1.conv1": Layer(96, 96, apart=2),
    "down3.1.conv2": Layer(96, 96),
    "down3.2.conv1": Layer(96, 96, apart=4),
    "down3.2.conv2": Layer(96, 96),
    "side3": Layer(64, 96, 1, 1),
    "up3": Layer(64, 64),
    "side2": Layer(32, 64, 1, 1),
    "up2": Layer(32, 32),
    "names.0": Layer(32, 32),
    "names.1": Layer(32, 32, 1, 1),
    "side1": Layer(16, 32, 1, 1),
    "up1": Layer(16, 16),
    "trace": Layer(16, 16, 4, 4, stride=2),
}
# Sums of two layers, by the module that reads them or whose last they are.
SUMS = ("down1.1", "down2.1", "down3.1", "down3.2", "up3", "up2", "up1")
_SUM = np.dtype([("share", np.float32), ("other", np.float32), ("rest", np.float32), ("zero", np.float32)])


def dtype_of_layers() -> np.dtype:
    """Of the whole file: layers, sums, and the probability that each byte of the two outputs means."""
    return np.dtype(
        [(name, layer.dtype) for name, layer in LAYERS.items()]
        + [(f"sum {name}", _SUM) for name in SUMS]
        + [("trace levels", np.float32, 256), ("name levels", np.float32, 256)]
    )


@dataclass(frozen=True)
class _Picture:
    """Bytes of [rows, columns, channels], and `_FRAME` places of what means 0 about them, in `framed`."""

    framed: np.ndarray

    @classmethod
    def of(cls, rows: int, columns: int, channels: int, zero: float) -> _Picture:
        framed = np.empty((rows + 2 * _FRAME, columns + 2 * _FRAME, channels), np.uint8)
        framed[:_FRAME] = framed[-_FRAME:] = framed[:, :_FRAME] = framed[:, -_FRAME:] = int(zero)
        return cls(framed)

    @property
    def inner(self) -> np.ndarray:
        return self.framed[_FRAME:-_FRAME, _FRAME:-_FRAME]

    def from_place(self, place: int) -> np.ndarray:
        """What begins at this place of the first column, that many rows down, either of which may be < 0."""
        return self.framed[_FRAME + place :, _FRAME + place :]


class PageLayers:
    """The layers and their weights. Raises EcgError where their file is missing or damaged."""

    def __init__(self) -> None:
        assert COMPILED
        self._known = np.frombuffer(read_model_file(FILE), dtype_of_layers(), 1)[0]
        self._runs = {name: COMPILED.in_runs(self._known[name]["kernel"]) for name in LAYERS}

    @staticmethod
    def can_run() -> bool:
        return COMPILED is not None and COMPILED.laned

    @cached_property
    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        """[256] float32 probabilities of ink, and of names, that bytes mean."""
        return self._known["trace levels"].copy(), self._known["name levels"].copy()

    def __call__(self, page: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """page: [H, W, 3] uint8 as of `PageNet`, at least `LEAST_WIDTH` wide -> [H, W] and [H/4, W/4, 32]
        bytes of ink and of names, see `levels`."""
        height, width, _ = page.shape
        px = _Picture.of(height + 1, width, 3, 0)  # one row more: the last tap reads two bytes beyond its end
        px.inner[:-1], px.inner[-1] = page, 0
        # Blocks of 2 x 2 places reach one place over the page's edge.
        stem = self._seen(self._seen(px, "stem.0", -4, (height // 2 + 2, width // 2 + 2)), "stem.1", 0)
        fine = self._block(self._seen(stem, "down1.0"), "down1.1")
        middle = self._block(self._seen(fine, "down2.0"), "down2.1")
        coarse = self._block(self._block(self._seen(middle, "down3.0"), "down3.1"), "down3.2")
        back = self._seen(self._sum(middle, self._seen(coarse, "side3"), "up3"), "up3")
        back = self._seen(self._sum(fine, self._seen(back, "side2"), "up2"), "up2")
        names = self._seen(self._seen(back, "names.0"), "names.1")
        both = self._sum(stem, self._seen(back, "side1"), "up1")
        whole = self._seen(both, "up1", -2, (height // 2 + 2, width // 2 + 2))
        blocks = self._seen(whole, "trace", 0, (height // 4, width // 4))
        rows = np.ascontiguousarray(blocks.inner).view(np.uint32)  # of four px
        return rows.transpose(0, 2, 1).reshape(height, -1).view(np.uint8), names.inner

    def _block(self, seen: _Picture, name: str) -> _Picture:
        """Two layers around which what was seen goes by."""
        return self._sum(seen, self._seen(self._seen(seen, f"{name}.conv1"), f"{name}.conv2"), name)

    def _seen(
        self, picture: _Picture, name: str, begin: int | None = None, size: tuple[int, int] | None = None
    ) -> _Picture:
        """What a layer makes of a picture. begin: place of its first tap, by default half a kernel before the
        picture. size: of what it makes, by default as many rows and columns as kernels fit there."""
        assert COMPILED
        layer, known = LAYERS[name], self._known[name]
        if begin is None:
            begin = -(layer.rows // 2) * layer.apart
        rows, columns = size or (
            (side + (layer.stride - 1) - 2 * begin - layer.rows // 2 * 2 * layer.apart) // layer.stride
            for side in picture.inner.shape[:2]
        )
        made = _Picture.of(rows, columns, layer.channels, known["zero"])
        taps = [
            r * layer.apart * picture.framed.strides[0] + c * layer.apart * picture.framed.strides[1]
            for r in range(layer.rows)
            for c in range(layer.columns)
        ]
        weights = known, self._runs[name]
        run = partial(COMPILED.convolved, picture.from_place(begin), taps, layer.stride, *weights, made.inner)
        _by_halves(run, rows)
        return made

    def _sum(self, one: _Picture, other: _Picture, name: str) -> _Picture:
        """Two pictures added, the other one as often as large if it is smaller."""
        assert COMPILED
        known = self._known[f"sum {name}"]
        rows, columns, channels = one.inner.shape
        made = _Picture.of(rows, columns, channels, known["zero"])
        _by_halves(partial(COMPILED.added, one.inner, other.inner, known, made.inner), rows)
        return made


def _by_halves(run: partial, rows: int) -> None:
    """Runs over ranges of rows, in two threads where there is one to spare; even halves."""
    half = rows // 4 * 2
    together(partial(run, 0, half), partial(run, half, rows))
