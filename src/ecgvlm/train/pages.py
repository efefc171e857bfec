"""Rows -> pages as SmolVLM sees them, and the order in which they are seen.

Everything random follows from (seed, epoch, page), so that a page looks the same whichever process or worker
prepares it, and a run that goes on sees exactly what it would have seen.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np
from PIL import Image

from ecgvlm.bench.parsers import strict_labels
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import Entry
from ecgvlm.files.image import load_image
from ecgvlm.files.page_form import fit
from ecgvlm.instruct import build
from ecgvlm.instruct.records import ask, known_of, printed
from ecgvlm.instruct.row import Row
from ecgvlm.instruct.rows import load_rows
from ecgvlm.instruct.splits import content_name, patient_told, root_of
from ecgvlm.labels import LABELS
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.train.recipe import RowSource
from ecgvlm.train.rowstore import open_store, write_store
from ecgvlm.train.validation import Truth, truth_of

GRIDS = {3: (1, 2), 9: (2, 4)}  # tiles with the whole page's -> rows and columns of tiles
_WINDOW = 32  # batches among which pages of like length are grouped


@dataclass(frozen=True)
class Sample:
    """What the model is shown and asked. pages: uint8 tiles [P, n, 3, S, S], or evidence [P, E, WIDTH] int64;
    mostly one page, several or none where the rows have as many pictures.

    rows: of each row, its (question, answer) turns. truths: of each row, what validation knows of it.
    """

    pages: np.ndarray
    rows: tuple[tuple[tuple[str, str], ...], ...]
    truths: tuple[Truth, ...] = ()


class Samples(Protocol):
    """Pages to learn from; see `RowPages`."""

    def order(self, epoch: int, batch: int) -> list[list[int]]: ...

    def load(self, epoch: int, index: int) -> Sample: ...

    def __len__(self) -> int: ...


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

    source: where the rows are. side: of a tile in px; tiles: 3 or 9; questions: rows of a page seen together;
    balance: see `Data`. store: a folder for the rows, which is used again by a run that goes on; a temporary
    one if not given. special: tokens that no text may hold, as they would be read as more than words.
    """

    def __init__(
        self, source: RowSource | str | Path, images: Path | None, side: int, tiles: int = 3,
        questions: int = 1,
        balance: float = 0.0, seed: int = 0, skipped: list[str] | None = None, store: Path | None = None,
        special: Collection[str] = (),
    ):  # fmt: skip
        self.side, self.tiles, self.width, self.seed = side, tiles, GRIDS[tiles][1] * side, seed
        if not isinstance(source, RowSource):
            source = RowSource(source=str(source))
        if store is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="ecgvlm-rows-")
            store = Path(self._temporary.name) / "rows"
        notes = {
            **source.model_dump(mode="json"), **_state(source.source), "images": str(images),
            "questions": questions,
            "balanced": balance > 0, "skip": skipped is not None, "special": sorted(special),
        }  # fmt: skip
        kept = open_store(store, notes)
        if kept is None:
            rows = _trainable(source, images, skipped, special)
            who = partial(_subject, root=root_of(source.source, images))
            kept = write_store(rows, store, questions, notes, who, row_labels if balance else None)
        if not len(kept):
            raise EcgError("unsupported_format", f"{source.source}: no row can be trained on")
        self.rows = kept
        self.odds = _odds(kept.labels, balance) if balance else None

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name not in ("_temporary", "odds")}

    def order(self, epoch: int, batch: int) -> list[list[int]]:
        """The epoch's batches of `batch` groups, the same for every process; a rest smaller than a batch is
        left out."""
        rng = np.random.default_rng([self.seed, epoch])
        n = len(self)
        drawn = rng.permutation(n) if self.odds is None else rng.choice(n, n, p=self.odds)
        return by_length(drawn[: n // batch * batch], self.rows.lengths, batch, rng)

    def load(self, epoch: int, index: int) -> Sample:
        """Raises EcgError where the image cannot be read."""
        rows = self.rows.group(index)
        sheets = (fit(load_image(image), self.width) for image in rows[0].images)
        pages = [cut_tiles(sheet, self.side) for sheet in sheets]
        none = np.zeros((0, self.tiles, 3, self.side, self.side), np.uint8)
        truths = tuple(truth_of(row.metadata) for row in rows)
        return Sample(np.stack(pages) if pages else none, tuple(row.turns for row in rows), truths)

    def __len__(self) -> int:
        return len(self.rows)


def _subject(row: Row, root: Path) -> str:
    """Whom a row is about, else its picture or words: the same in every source."""
    picture = content_name(row.image) if isinstance(row.image, bytes) else row.image and row.image.absolute()
    return patient_told(row, root) or str(picture or row.turns)


def _state(source: str) -> dict[str, int]:
    """Size and age of a local file, by which a changed one is told; of anything else nothing."""
    path = Path(source)
    return {"size": path.stat().st_size, "changed": path.stat().st_mtime_ns} if path.is_file() else {}


def _trainable(
    source: RowSource, images: Path | None, skipped: list[str] | None, special: Collection[str]
) -> Iterator[Row]:
    """The rows that can be trained on. Raises EcgError at the first other one, or adds its message to
    skipped."""
    token = re.compile("|".join(map(re.escape, sorted(special)))) if special else None
    for row in load_rows(
        source.source, images, source.configuration, source.split, skipped, revision=source.revision
    ):
        why_not = _damage(row, token)
        if why_not is None:
            yield row
            continue
        said = f"{source.source}: row {row.id!r}: {why_not}"
        if skipped is None:
            raise EcgError("unsupported_format", said)
        skipped.append(said)


def _damage(row: Row, token: re.Pattern[str] | None) -> str | None:
    """Why a row cannot be learned: an empty answer, or a special token that is not the picture's place."""
    for question, answer in row.turns:
        if not answer.strip():
            return "an answer is empty"
        for text in (question.replace("<image>", ""), answer):
            if token and "<" in text and (found := token.search(text)):
                return f"{found[0]!r} in its text would be read as a special token"
    return None


class RecordPages:
    """Labelled records printed in a new style, layout and state of wear each epoch, with new questions.

    entries: of `find_records`. questions: so many about each page.
    """

    def __init__(
        self, entries: Sequence[Entry], side: int, tiles: int = 3, questions: int = 4, seed: int = 0
    ):  # fmt: skip
        self.entries = list(entries)
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
        look = build.Plan(width=max(1024, self.width), wide=True, seed=self.seed * 1000 + epoch)
        kind = PAGE_KINDS[(index + epoch) % len(PAGE_KINDS)]
        _, picture, truth = build.print_leaf(record, entry.key, kind, look)
        known = printed(known_of(record), truth)
        asked = ask(known, Random(f"{self.seed}:{epoch}:{index}"), self.questions)
        held = frozenset(known.evidence.findings) - known.open
        truths = tuple(Truth(qa.kind, held, known.open) for qa in asked)
        sheet = fit(load_image(picture), self.width)
        rows = tuple(((qa.question, qa.answer),) for qa in asked)
        return Sample(cut_tiles(sheet, self.side)[None], rows, truths)

    def __len__(self) -> int:
        return len(self.entries)


def by_length(
    drawn: np.ndarray, lengths: Sequence[int] | np.ndarray, batch: int, rng: np.random.Generator
) -> list[list[int]]:
    """Cuts the drawn groups into batches of like length, within windows so that the order stays random."""
    batches = []
    for start in range(0, len(drawn), _WINDOW * batch):
        window = sorted(drawn[start : start + _WINDOW * batch].tolist(), key=lambda g: lengths[g])
        batches += [window[k : k + batch] for k in range(0, len(window), batch)]
    rng.shuffle(batches)
    return batches


def _odds(labels: np.ndarray, balance: float) -> np.ndarray:
    """How likely each group is drawn: by its rarest label's count to the power of -balance; having none
    counts as a label. labels: a bit for each, [G]."""
    columns = [(labels >> np.uint64(k)) & np.uint64(1) > 0 for k in range(len(LABELS))] + [labels == 0]
    weights = np.zeros(len(labels))
    for has in columns:
        if has.any():
            weights[has] = np.maximum(weights[has], float(has.sum()) ** -balance)
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
