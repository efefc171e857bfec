"""Rows -> pages as SmolVLM sees them, and the order in which they are seen.

Everything random follows from (seed, epoch, page), so that a page looks the same whichever process or worker
prepares it, and a run that goes on sees exactly what it would have seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ecgvlm.bench.gold import Item, load_gold
from ecgvlm.bench.parsers import strict_labels
from ecgvlm.image import load_image
from ecgvlm.labels import LABELS
from ecgvlm.record import EcgError, Record, read_record

PICTURES = frozenset(f".{x}" for x in "png jpg jpeg webp tif tiff bmp gif heic heif pdf".split())
_WINDOW = 32  # batches among which pages of like length are grouped


@dataclass(frozen=True)
class Group:
    """A page and those of its rows that are seen together. length: of their texts, in characters."""

    items: tuple[Item, ...]
    length: int


@dataclass(frozen=True)
class Sample:
    """What the model is shown and asked. page: uint8 tiles [n, 3, S, S], or evidence [E, WIDTH] int64.

    rows: of each row, its (question, answer) turns.
    """

    page: np.ndarray
    rows: tuple[tuple[tuple[str, str], ...], ...]


def fit_page(image: np.ndarray, width: int) -> np.ndarray:
    """A page [H, W, 3] uint8 on a sheet of width x width/2 px, its aspect ratio kept, the rest in its
    border's colour.
    """
    h, w = image.shape[:2]
    scale = min(width / w, width / 2 / h)
    size = (min(width, max(1, round(w * scale))), min(width // 2, max(1, round(h * scale))))
    fitted = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    sheet = np.empty((width // 2, width, 3), np.uint8)
    sheet[:] = np.median(border, axis=0)
    sheet[: size[1], : size[0]] = fitted
    return sheet


def cut_tiles(sheet: np.ndarray, side: int) -> np.ndarray:
    """[H, W, 3] uint8, H and W multiples of side -> tiles row by row and the whole page last: [n + 1, 3,
    side, side] uint8.

    As SmolVLM's processor cuts an image that needs no scaling.
    """
    h, w = sheet.shape[:2]
    tiles = (
        sheet.reshape(h // side, side, w // side, side, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side)
    )
    whole = np.asarray(Image.fromarray(sheet).resize((side, side), Image.Resampling.LANCZOS)).transpose(
        2, 0, 1
    )
    return np.concatenate([tiles, whole[None]])


def print_record(record: Record, rng: np.random.Generator, width_px: int, degraded: bool) -> np.ndarray:
    """A page of the record in a random style, twice as wide as high where the style allows it, perhaps
    scanned or photographed.
    """
    from ecgvlm.paper.degrade import degrade
    from ecgvlm.paper.render import render
    from ecgvlm.paper.style import random_style

    style = random_style(rng, width_px=width_px)
    if style.grid_box is None:
        style = replace(style, height=style.width / 2)
    page = render(record, style, rng)
    if degraded:
        page = degrade(page, ("none", "scan", "photo")[rng.integers(3)], rng)
    return page.image


class RowPages:
    """Rows in ECGInstruct form as pages. side: of a tile in px; tiles: 3 or 9; questions: rows of a page seen
    together.
    """

    def __init__(
        self,
        rows: Path,
        images: Path | None,
        side: int,
        tiles: int = 3,
        questions: int = 1,
        balance: float = 0.0,
        degraded: bool = True,
        seed: int = 0,
    ):
        self.items = load_gold(rows, images)
        self.side, self.grid = side, (1, 2) if tiles == 3 else (2, 4)
        self.degraded, self.seed = degraded, seed
        if blind := next((item for item in self.items if item.image is None), None):
            raise EcgError("unsupported_format", f"{rows}: row {blind.id!r} has no image")
        self.groups = _groups(self.items, questions)
        self.odds = _odds(self.groups, balance) if balance else None

    def order(self, epoch: int, batch: int) -> list[list[int]]:
        """The epoch's batches of `batch` groups, the same for every process; a rest smaller than a batch is
        left out.
        """
        rng = np.random.default_rng([self.seed, epoch])
        n = len(self.groups)
        if n < batch:
            raise EcgError("unsupported_format", f"{n} pages are fewer than one batch of {batch}")
        drawn = rng.permutation(n) if self.odds is None else rng.choice(n, n, p=self.odds)
        return by_length(drawn[: n // batch * batch], [g.length for g in self.groups], batch, rng)

    def load(self, epoch: int, index: int) -> Sample:
        """Raises EcgError where the image cannot be read."""
        group = self.groups[index]
        rows = tuple(tuple(zip(item.turns, item.golds)) for item in group.items)
        image = self.image(group.items[0], np.random.default_rng([self.seed, epoch, index]))
        return Sample(cut_tiles(fit_page(image, self.grid[1] * self.side), self.side), rows)

    def image(self, item: Item, rng: np.random.Generator) -> np.ndarray:
        """A row's picture, or its record printed: RGB [H, W, 3] uint8."""
        if isinstance(item.image, Path) and item.image.suffix.lower() not in PICTURES:
            return print_record(
                read_record(item.image), rng, max(1100, self.grid[1] * self.side), self.degraded
            )
        assert item.image is not None
        return load_image(item.image)

    def __len__(self) -> int:
        return len(self.groups)


def by_length(
    drawn: np.ndarray, lengths: Sequence[int], batch: int, rng: np.random.Generator
) -> list[list[int]]:
    """Cuts the drawn groups into batches of like length, within windows so that the order stays random."""
    batches = []
    for start in range(0, len(drawn), _WINDOW * batch):
        window = sorted(drawn[start : start + _WINDOW * batch].tolist(), key=lambda g: lengths[g])
        batches += [window[k : k + batch] for k in range(0, len(window), batch)]
    rng.shuffle(batches)
    return batches


def _groups(items: Sequence[Item], questions: int) -> list[Group]:
    pages: dict[object, list[Item]] = {}
    for item in items:
        pages.setdefault(item.image, []).append(item)
    groups = []
    for rows in pages.values():
        for k in range(0, len(rows), questions):
            part = tuple(rows[k : k + questions])
            groups.append(Group(part, sum(len(t) for item in part for t in (*item.turns, *item.golds))))
    return groups


def _odds(groups: Sequence[Group], balance: float) -> np.ndarray:
    """How likely each group is drawn: by its rarest label's count to the power of -balance; "" stands for no
    label.
    """
    found = [{x for item in g.items for x in item_labels(item)} or {""} for g in groups]
    count = Counter(label for labels in found for label in labels)
    weights = np.array([max(count[label] ** -balance for label in labels) for labels in found])
    return weights / weights.sum()


def item_labels(item: Item) -> frozenset[str]:
    """The labels that a row's answers state, read as the benchmark's strict parser reads them."""
    return frozenset(x for gold in item.golds for x in strict_labels(gold, LABELS).labels)


def micro_batches(
    order: list[list[int]], micro: int, rank: int, world: int, epoch: int
) -> Iterator[list[tuple[int, int]]]:
    """This process's share of each batch, `micro` groups at a time, as (epoch, group)."""
    for batch in order:
        for start in range(rank * micro, len(batch), world * micro):
            yield [(epoch, group) for group in batch[start : start + micro]]
