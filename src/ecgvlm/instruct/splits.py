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
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ecgvlm.atomic import beside, write_file
from ecgvlm.errors import EcgError, UsageError, unreadable, unwritable
from ecgvlm.files.datasets import Entry, find_records, patient_in, read_table
from ecgvlm.instruct.row import Row
from ecgvlm.instruct.rows import ending_of, is_picture_table, load_rows

DEFAULT_PARTS = "train=0.8,valid=0.1,test=0.1"
_ROWS = (".json", ".jsonl", ".parquet")
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
    table, counts = io.StringIO(), Counter(dict.fromkeys(parts.shares, 0))
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
    """Writes rows to `out/<part>.json`; returns how many rows each part has.

    Pictures that are files stay where they are; those inside a Parquet file go to `out/images`, called by
    their content. Raises EcgError where a row tells neither its patient nor its picture.
    """
    root = root_of(source, images)
    counts = Counter(dict.fromkeys(parts.shares, 0))
    try:
        out.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(
                    stack.enter_context(beside(out / f"{name}.json")).open("w", encoding="utf-8")
                )
                for name in parts.shares
            }
            for row in load_rows(source, images, split="all"):
                part = parts.of(person_of(row, root))
                places = [_place(image, out) for image in row.images]
                line = row.to_dict(places if len(places) > 1 else next(iter(places), None))
                files[part].write(",\n" if counts[part] else "[\n")
                files[part].write(json.dumps(line, ensure_ascii=False))
                counts[part] += 1
            if empty := [name for name, count in counts.items() if not count]:
                said = f"part {empty[0]} would be empty; give it a larger share, or another --seed"
                raise UsageError(f"{source}: {said}")
            for file in files.values():
                file.write("\n]\n")
    except OSError as error:
        raise unwritable(out, error) from error
    return counts


def _place(image: Path | bytes, out: Path) -> str:
    """Where a picture lies, as rows in `out` name it; one that lies nowhere is written there."""
    if isinstance(image, Path):
        return str(image.resolve())
    name = f"images/{content_name(image)}{ending_of(image)}"
    if not (out / name).exists():
        (out / "images").mkdir(exist_ok=True)
        write_file(out / name, image)
    return name


def content_name(picture: bytes) -> str:
    """What a picture is called by its content."""
    return hashlib.sha256(picture).hexdigest()[:32]


def root_of(source: str | Path, images: Path | None = None) -> Path:
    """The folder that rows' pictures are named from: where it lies says nothing of whom they are about."""
    return Path(images or source if Path(source).is_dir() else Path(source).parent).absolute()


def person_of(row: Row, root: Path) -> str:
    """Who a row is about, else its picture. root: see `root_of`. Raises EcgError where it has neither."""
    if patient := patient_told(row, root):
        return patient
    if row.image is None:
        raise EcgError("unsupported_format", f"row {row.id!r} tells neither its patient nor its picture")
    return content_name(row.image) if isinstance(row.image, bytes) else _named(row.image, root).as_posix()


def patient_told(row: Row, root: Path) -> str:
    """Who a row is about, as its metadata or its picture's folder or name say; "" where nothing does."""
    if row.patient or not isinstance(row.image, Path):
        return row.patient
    return patient_in(_named(row.image, root))


def _named(image: Path, root: Path) -> Path:
    return Path(os.path.relpath(image.absolute(), root))


def is_rows(source: str | Path) -> bool:
    """Whether a source holds rows rather than records."""
    path = Path(source)
    if path.is_dir():
        files = (file for kind in ("instruct.json", "*.parquet", "*/*.parquet") for file in path.glob(kind))
        return any(files) or any(map(is_picture_table, path.glob("*.csv")))
    return path.suffix in _ROWS or is_picture_table(path)
