"""Parts of a collection (train, valid, test) that share no patient.

A patient's part follows from a hash of the seed and the patient's name: the same in every run and on every
machine, and unchanged by records that come or go.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgvlm.atomic import write_file
from ecgvlm.errors import EcgError, UsageError, unreadable
from ecgvlm.files.datasets import Entry, find_records, patient_in, patient_of, read_table
from ecgvlm.instruct.row import Row
from ecgvlm.instruct.rows import is_picture_table, load_rows

DEFAULT_PARTS = "train=0.8,valid=0.1,test=0.1"
_ROWS = (".json", ".jsonl", ".parquet")
_PTBXL_RECORD = re.compile(r"(\d{5})_[lh]r\b")  # one record, however often and wherever it was printed
_PART = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class Parts:
    """Names of parts and their shares of the patients, which add up to 1."""

    shares: Mapping[str, float]
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Parts:
        """From "train=0.9,valid=0.1". Raises UsageError where that does not fit."""
        try:
            shares = {name.strip(): float(share) for name, share in (p.split("=") for p in text.split(","))}
        except ValueError:
            raise UsageError(f"parts must look like {DEFAULT_PARTS}, not {text!r}") from None
        if not (min(shares.values()) > 0 and abs(sum(shares.values()) - 1) < 1e-6):
            raise UsageError(f"the shares of {text!r} must be positive and add up to 1")
        if wrong := [name for name in shares if not _PART.fullmatch(name)]:  # it becomes a file's name
            raise UsageError(f"a part is called by letters, digits, _ or -, not {wrong[0]!r}")
        return cls(shares, seed)

    def of(self, patient: str) -> str:
        """The part that a patient belongs to."""
        drawn = int.from_bytes(hashlib.sha256(f"{self.seed}:{patient}".encode()).digest()[:8], "big") / 2**64
        for name, share in self.shares.items():
            drawn -= share
            if drawn < 0:
                return name
        return name


def parse_folds(text: str | None) -> list[int] | None:
    """PTB-XL's folds as "1,2,3" names them; None for none. Raises UsageError where they are no numbers."""
    if not text:
        return None
    if not all(fold.strip().isdecimal() for fold in text.split(",")):
        raise UsageError(f"folds must be numbers, as in 1,2,3, not {text!r}")
    return [int(fold) for fold in text.split(",")]


def split_records(records: str | Path, out: Path, parts: Parts) -> Counter[str]:
    """Writes a table `key,patient,part` of a collection's records; returns how many records each part has."""
    table, counts = io.StringIO(), Counter[str]()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["key", "patient", "part"])
    for entry in find_records(records):
        part = parts.of(entry.patient)
        writer.writerow([entry.key, entry.patient, part])
        counts[part] += 1
    write_file(out, table.getvalue().encode())
    return counts


def records_of(records: str | Path, splits: Path, part: str) -> list[Entry]:
    """A collection's records of one part of such a table. Raises EcgError where one of them is not in it."""
    rows = read_table(splits)
    if not rows or not {"key", "part"} <= rows[0].keys():
        raise unreadable(splits, "a table of parts has the columns key, patient and part")
    parts = {row["key"]: row["part"] for row in rows}
    if part not in parts.values():
        raise UsageError(f"{splits}: no part {part!r}; there are: {', '.join(sorted(set(parts.values())))}")
    entries = find_records(records)
    if strange := next((entry.key for entry in entries if entry.key not in parts), None):
        raise EcgError(
            "unsupported_format", f"{splits}: record {strange} is in no part; split {records} anew"
        )
    return [entry for entry in entries if parts[entry.key] == part]


def chosen_records(
    records: str | Path, folds: Collection[int] | None = None, splits: Path | None = None, part: str = ""
) -> list[Entry]:
    """A collection's records of some of PTB-XL's folds, or of one part of a table of splits, or all of
    them.
    """
    if folds and splits:
        raise UsageError("records are chosen by folds or by a table of splits, not by both")
    return records_of(records, splits, part) if splits else find_records(records, folds)


def split_rows(source: str | Path, out: Path, parts: Parts, images: Path | None = None) -> Counter[str]:
    """Writes rows to `out/<part>.json`, pictures staying where they are; returns how many rows each part has.

    Raises EcgError where a row tells neither its patient nor its picture.
    """
    root = Path(images or source if Path(source).is_dir() else Path(source).parent).absolute()
    kept: dict[str, list[dict[str, Any]]] = {name: [] for name in parts.shares}
    for row in load_rows(source, images):
        if any(isinstance(image, bytes) for image in row.images):
            raise UsageError(
                f"{source} has its pictures inside: split rows that name files, or make parts with"
                " instruct build --parts"
            )
        paths = [str(Path(image).resolve()) for image in row.images if not isinstance(image, bytes)]
        image = paths if len(paths) > 1 else next(iter(paths), None)
        kept[parts.of(person_of(row, root))].append(row.to_dict(image))
    if empty := [name for name, rows in kept.items() if not rows]:
        raise UsageError(
            f"{source}: part {empty[0]} would have no row; give it a larger share, or another --seed"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in kept.items():
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        write_file(out / f"{name}.json", f"[\n{lines}\n]\n".encode())
    return Counter({name: len(rows) for name, rows in kept.items()})


def person_of(row: Row, root: Path) -> str:
    """Who a row is about: as its metadata say, or the folder or name of its picture, else the picture itself.

    root: the folder that pictures are named from, as a person's part must not depend on where it lies.
    """
    if patient := patient_of(row.metadata):
        return patient
    if row.image is None or isinstance(row.image, bytes):
        raise EcgError("unsupported_format", f"row {row.id!r} tells neither its patient nor its picture")
    record = _PTBXL_RECORD.match(row.image.name)
    named = Path(os.path.relpath(row.image.absolute(), root))
    return patient_in(named) or (record[1] if record else named.as_posix())


def is_rows(source: str | Path) -> bool:
    """Whether a source holds rows rather than records."""
    path = Path(source)
    if path.is_dir():
        written = (path / "instruct.json").is_file() or any(path.glob("data/*.parquet"))
        return written or any(map(is_picture_table, path.glob("*.csv")))
    return path.suffix in _ROWS or is_picture_table(path)
