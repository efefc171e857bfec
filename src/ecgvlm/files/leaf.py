"""A page of a file, not decoded yet; the bounds that hold for every file; how files beyond them are
refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ecgvlm.errors import EcgError
from ecgvlm.files.drawing import Drawing
from ecgvlm.record import Record

MAX_BYTES = 50_000_000
MAX_PIXELS = 80_000_000  # a page at 900 dpi, or the largest ordinary phone photo
MAX_SIDE = 16_000
MAX_PAGES = 200
MAX_UNPACKED = 400_000_000  # bytes of all that archives, texts and streams in a file unfold to
MAX_OPENING = 15.0  # s that finding the pages of a file may take
WANTED = "save the page as JPEG, PNG or PDF"


Sheet = np.ndarray | Drawing  # one page: [H, W, 3] uint8 RGB, or a picture of which more is known
Loaded = Sheet | Record  # what a page of a file may be


@dataclass(frozen=True)
class Spread:
    """Two pages with one half of an ECG each."""

    first: Sheet
    second: Sheet


Content = Loaded | Spread


@dataclass(frozen=True)
class Leaf:
    """One page of a file. name: of the file and, where there are several pages, of the page in it.

    load: the page as a picture or a drawing, or the ECG in it as a record; raises EcgError.
    """

    name: str
    load: Callable[[], Loaded]


@dataclass
class Budget:
    """What one file may unfold to, however its parts are nested. deadline: of `time.monotonic`."""

    left: int = MAX_UNPACKED
    deadline: float = field(default_factory=lambda: time.monotonic() + MAX_OPENING)
    in_archive: bool = False

    def take(self, size: int, name: str) -> None:
        """Raises EcgError where so many bytes more are too many, or opening has taken too long."""
        self.left -= size
        if self.left < 0:
            raise too_large(name, f"more than {MAX_UNPACKED / 1e6:.0f} MB unpacked")
        if time.monotonic() > self.deadline:
            raise too_large(name, f"more than {MAX_OPENING:g} s to unpack")

    @property
    def spent(self) -> bool:
        return self.left < 0 or time.monotonic() > self.deadline


def numbered(name: str, i: int, count: int) -> str:
    """What page i of a file is called. Raises EcgError where there are too many."""
    if count > MAX_PAGES:
        raise too_many(name)
    return name if count == 1 else f"{name} (page {i + 1})"


def too_many(name: str) -> EcgError:
    return EcgError("too_large", f"{name}: more than {MAX_PAGES} pages; split it")


def too_large(name: str, size: str) -> EcgError:
    return EcgError("too_large", f"{name}: too large ({size}); scan it at 300 dpi, or make it smaller")
