"""Rows of instruction data on disk: any one is read when it is wanted, by any number of processes.

A store is written once from what `instruct.rows.load_rows` reads, beside its place and then renamed. In
memory are a few numbers a row, mapped from files, so that a million rows cost no process more than some
megabytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from array import array
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ecgvlm.errors import unwritable
from ecgvlm.instruct.row import Row
from ecgvlm.labels import LABELS

_NOTES = "store.json"
_TEXT, _PICTURES = "rows.jsonl", "pictures.bin"


class RowStore:
    """The rows in a folder that `write_store` wrote, and their groups: rows of one page that are seen
    together.

    lengths: characters of each group's texts, [G] int64. labels: a bit for each of `LABELS` that a group has,
    [G] uint64. people: a number for whom each row is about, [R] uint64. Only the folder is sent to other
    processes.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._files: dict[str, int] = {}
        numbers = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _NUMBERS}
        self._offsets, self._order, self._starts = numbers["offsets"], numbers["order"], numbers["starts"]
        self.lengths, self.labels = numbers["lengths"], numbers["labels"]
        self.people = numbers["people"]

    def __reduce__(self) -> tuple:
        return type(self), (self.folder,)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def is_whole(self) -> bool:
        """Whether all its texts are there."""
        return (self.folder / _TEXT).stat().st_size == self._offsets[-1]

    def group(self, index: int) -> list[Row]:
        """The rows of one group, their picture as a file or its bytes."""
        return [self._row(int(k)) for k in self._order[self._starts[index] : self._starts[index + 1]]]

    def _row(self, number: int) -> Row:
        start, end = (int(self._offsets[number + k]) for k in (0, 1))
        raw = json.loads(self._read(_TEXT, start, end - start))
        images = [
            self._read(_PICTURES, *image) if isinstance(image, list) else Path(image)
            for image in raw["images"]
        ]
        turns = tuple(map(tuple, raw["turns"]))
        image, more = (images[0], tuple(images[1:])) if images else (None, ())
        return Row(raw["id"], image, turns, raw["metadata"], raw["source"], more)

    def _read(self, name: str, start: int, size: int) -> bytes:
        # Read, not mapped: pages of a mapped file would count as this process's memory.
        if name not in self._files:
            self._files[name] = os.open(self.folder / name, os.O_RDONLY)
        return os.pread(self._files[name], size, start)


_NUMBERS = ("people", "offsets", "order", "starts", "lengths", "labels")


def write_store(
    rows: Iterable[Row],
    folder: Path,
    questions: int,
    notes: Mapping[str, Any],
    person_of: Callable[[Row], str],
    labels_of: Callable[[Row], Iterable[str]] | None = None,
) -> RowStore:
    """Writes the rows and returns their store. notes: what they depend on, for `open_store`.

    questions: rows of a page in one group. person_of: whom a row is about. labels_of: a row's labels, where
    groups are to be drawn by them.
    Raises EcgError where the folder cannot be written.
    """
    beside = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        numbers = _grouped(_copied(rows, beside, person_of, labels_of), questions)
        for name in _NUMBERS:
            np.save(beside / f"{name}.npy", numbers[name])
        (beside / _NOTES).write_text(json.dumps(dict(notes)) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        beside.replace(folder)
    except OSError as error:
        raise unwritable(folder, error) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return RowStore(folder)


def open_store(folder: Path, notes: Mapping[str, Any]) -> RowStore | None:
    """The store in a folder, None where there is none that is whole and was made from the same."""
    try:
        if json.loads((folder / _NOTES).read_text("utf-8")) != dict(notes):
            return None
        store = RowStore(folder)
        return store if store.is_whole() else None
    except (OSError, ValueError, EOFError):  # none, or a damaged one
        return None


def _copied(
    rows: Iterable[Row],
    folder: Path,
    person_of: Callable[[Row], str],
    labels_of: Callable[[Row], Iterable[str]] | None,
) -> dict[str, np.ndarray]:
    """Writes texts and pictures; of each row the person, the text's offset (and the end's), page, length and
    label bits."""
    people, bits = array("Q"), array("Q")
    offsets, page, length = array("q", [0]), array("q"), array("q")
    pages: dict[int, int] = {}  # the hash of a row's pictures -> their number
    places: list[Any] = []  # where pictures are kept that came as bytes
    with (folder / _TEXT).open("wb") as text, (folder / _PICTURES).open("wb") as pictures:
        for row in rows:
            known = pages.setdefault(hash(row.images), len(pages))
            if known == len(places):
                places.append([_kept(x, pictures) for x in row.images if isinstance(x, bytes)] or None)
            images = places[known] or [str(image) for image in row.images]
            raw = {
                "id": row.id, "images": images, "turns": row.turns,
                "metadata": dict(row.metadata), "source": row.source,
            }  # fmt: skip
            text.write(json.dumps(raw, ensure_ascii=False).encode() + b"\n")
            offsets.append(text.tell())
            people.append(int.from_bytes(hashlib.blake2b(person_of(row).encode(), digest_size=8).digest()))
            page.append(known)
            length.append(sum(len(words) for turn in row.turns for words in turn))
            bits.append(_bits(labels_of(row)) if labels_of else 0)
    columns = {"people": people, "offsets": offsets, "page": page, "length": length, "bits": bits}
    return {name: np.array(column) for name, column in columns.items()}


def _kept(picture: bytes, file: BinaryIO) -> tuple[int, int]:
    """Where the picture now lies in the file, and how long it is."""
    start = file.tell()
    file.write(picture)
    return start, len(picture)


def _bits(labels: Iterable[str]) -> int:
    return sum(1 << LABELS.index(label) for label in set(labels) if label in LABELS)


def _grouped(rows: dict[str, np.ndarray], questions: int) -> dict[str, np.ndarray]:
    """The arrays of `_NUMBERS`: pages in the order of their first rows, each cut after every `questions`
    rows."""
    order = np.argsort(rows["page"], kind="stable")
    first = np.r_[True, np.diff(rows["page"][order]) > 0][: len(order)]
    begin = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    starts = np.flatnonzero((np.arange(len(order)) - begin) % questions == 0)

    def of_groups(add: np.ufunc, values: np.ndarray) -> np.ndarray:
        return add.reduceat(values[order], starts) if len(order) else values

    return {
        **rows,
        "order": order,
        "starts": np.r_[starts, len(order)],
        "lengths": of_groups(np.add, rows["length"]),
        "labels": of_groups(np.bitwise_or, rows["bits"]),
    }
