"""Rows -> pages as SmolVLM sees them, and the order in which they are seen.

Everything random follows from (seed, epoch, page), so that a page looks the same whichever process or worker
prepares it, and a run that goes on sees exactly what it would have seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from ecgvlm.bench.parsers import strict_labels
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import find_records
from ecgvlm.files.image import load_image
from ecgvlm.instruct import build
from ecgvlm.instruct.build import fit
from ecgvlm.instruct.records import ask, known_of, printed
from ecgvlm.instruct.rows import Row, load_rows
from ecgvlm.labels import LABELS
from ecgvlm.paper.degrade import PAGE_KINDS

GRIDS = {3: (1, 2), 9: (2, 4)}  # tiles with the whole page's -> rows and columns of tiles
_WINDOW = 32  # batches among which pages of like length are grouped


@dataclass(frozen=True)
class Group:
    """A page and those of its rows that are seen together. length: of their texts, in characters."""

    rows: tuple[Row, ...]
    length: int


@dataclass(frozen=True)
class Sample:
    """What the model is shown and asked. page: uint8 tiles [n, 3, S, S], or evidence [E, WIDTH] int64.

    rows: of each row, its (question, answer) turns.
    """

    page: np.ndarray
    rows: tuple[tuple[tuple[str, str], ...], ...]


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


class RowPages:
    """Rows in ECGInstruct form (see `load_rows`) as pages.

    side: of a tile in px; tiles: 3 or 9; questions: rows of a page seen together; balance: see `Data`.
    """

    def __init__(
        self, rows: str | Path, images: Path | None, side: int, tiles: int = 3, questions: int = 1,
        balance: float = 0.0, seed: int = 0, skipped: list[str] | None = None,
    ):  # fmt: skip
        self.side, self.width, self.seed = side, GRIDS[tiles][1] * side, seed
        kept = list(load_rows(rows, images, skipped=skipped))
        if blind := next((row for row in kept if row.image is None), None):
            raise EcgError("unsupported_format", f"{rows}: row {blind.id!r} has no image")
        self.groups = _groups(kept, questions)
        self.odds = _odds(self.groups, balance) if balance else None

    def order(self, epoch: int, batch: int) -> list[list[int]]:
        """The epoch's batches of `batch` groups, the same for every process; a rest smaller than a batch is
        left out."""
        rng = np.random.default_rng([self.seed, epoch])
        n = len(self.groups)
        drawn = rng.permutation(n) if self.odds is None else rng.choice(n, n, p=self.odds)
        return by_length(drawn[: n // batch * batch], [g.length for g in self.groups], batch, rng)

    def load(self, epoch: int, index: int) -> Sample:
        """Raises EcgError where the image cannot be read."""
        rows = self.groups[index].rows
        assert rows[0].image is not None
        sheet = fit(load_image(rows[0].image), self.width)
        return Sample(cut_tiles(sheet, self.side), tuple(row.turns for row in rows))

    def __len__(self) -> int:
        return len(self.groups)


class RecordPages:
    """Labelled records printed in a new style, layout and state of wear each epoch, with new questions.

    records, folds: see `find_records`. questions: so many about each page.
    """

    def __init__(
        self, records: Path, folds: Collection[int] | None, side: int, tiles: int = 3, questions: int = 4,
        seed: int = 0,
    ):  # fmt: skip
        self.entries = list(find_records(records, folds))
        self.side, self.width, self.questions, self.seed = side, GRIDS[tiles][1] * side, questions, seed

    def order(self, epoch: int, batch: int) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, epoch])
        n = len(self.entries)
        return by_length(rng.permutation(n)[: n // batch * batch], [0] * n, batch, rng)

    def load(self, epoch: int, index: int) -> Sample:
        """Raises EcgError where the record cannot be read or has no labels."""
        entry = self.entries[index]
        record = entry.load()
        if record.labels is None:
            raise EcgError("unsupported_format", f"{record.source or entry.key}: the record has no labels")
        look = build.Recipe(width=max(1024, self.width), wide=True, seed=self.seed * 1000 + epoch)
        kind = PAGE_KINDS[(index + epoch) % len(PAGE_KINDS)]
        _, picture, truth = build.print_leaf(record, entry.key, kind, look)
        asked = ask(printed(known_of(record), truth), Random(f"{self.seed}:{epoch}:{index}"), self.questions)
        sheet = fit(load_image(picture), self.width)
        return Sample(cut_tiles(sheet, self.side), tuple(((qa.question, qa.answer),) for qa in asked))

    def __len__(self) -> int:
        return len(self.entries)


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


def _groups(rows: Sequence[Row], questions: int) -> list[Group]:
    pages: dict[object, list[Row]] = {}
    for row in rows:
        pages.setdefault(row.image, []).append(row)
    groups = []
    for of_page in pages.values():
        for k in range(0, len(of_page), questions):
            part = tuple(of_page[k : k + questions])
            groups.append(Group(part, sum(len(text) for row in part for turn in row.turns for text in turn)))
    return groups


def _odds(groups: Sequence[Group], balance: float) -> np.ndarray:
    """How likely each group is drawn: by its rarest label's count to the power of -balance; "" stands for
    no label."""
    found = [{x for row in g.rows for x in row_labels(row)} or {""} for g in groups]
    count = Counter(label for labels in found for label in labels)
    weights = np.array([max(count[label] ** -balance for label in labels) for labels in found])
    return weights / weights.sum()


def row_labels(row: Row) -> frozenset[str]:
    """The labels that a row brings, or else those its answers state, read by the strict parser."""
    if "labels" in row.metadata:
        return frozenset(row.metadata["labels"])
    return frozenset(x for _, answer in row.turns for x in strict_labels(answer, LABELS).labels)


def micro_batches(
    order: list[list[int]], micro: int, rank: int, world: int, epoch: int
) -> Iterator[list[tuple[int, int]]]:
    """This process's share of each batch, `micro` groups at a time, as (epoch, group)."""
    for batch in order:
        for start in range(rank * micro, len(batch), world * micro):
            yield [(epoch, group) for group in batch[start : start + micro]]
