"""What a batch reads: files, members of ZIPs and rows of Parquet files, anywhere that fsspec reaches."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import fsspec
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.csv import HEAD, is_csv
from ecgvlm.files.dicom import is_dicom
from ecgvlm.files.leads import cause
from ecgvlm.files.leaf import MAX_BYTES
from ecgvlm.files.mat import is_mat
from ecgvlm.files.wfdb import files_beside

PICTURES = (
    ".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif",
    ".heic", ".heif", ".pdf", ".dcm", ".dicom",
)  # fmt: skip
_SIGNALS = (".dat", ".mat")  # of a WFDB header
RECORDS = (".xml", ".scp", ".edf", ".bdf", ".ecg", ".npy", ".hea")
_ROWS = 16  # of a Parquet file in memory at a time

# What the answer calls it; the file, the path of a record that is several files, or why there is none.
Picture = tuple[str, bytes | Path | EcgError]


class Inputs(Protocol):
    """Where inputs lie together. An entry is one input of it."""

    def name(self, entry: Any) -> str:
        """What tells this input from all others."""
        ...

    def read(self, entries: Sequence[Any]) -> Iterator[Picture]:
        """The pictures of some entries, in their order."""
        ...


@dataclass(frozen=True)
class Files:
    """Picture files of a file system; entries are paths."""

    fs: fsspec.AbstractFileSystem

    def name(self, entry: str) -> str:
        return _url(self.fs, entry)

    def read(self, entries: Sequence[str]) -> Iterator[Picture]:
        for entry in entries:
            if entry.lower().endswith(".hea") and "file" in self.fs.protocol:
                yield self.name(entry), Path(entry)
            else:
                yield self.name(entry), _fetch(partial(_regular, self.fs), entry, self.name(entry))


@dataclass(frozen=True)
class Held:
    """Files that only the calling process sees (memory://), sent along; entries are (name, data)."""

    def name(self, entry: tuple[str, bytes]) -> str:
        return entry[0]

    def read(self, entries: Sequence[tuple[str, bytes]]) -> Iterator[Picture]:
        yield from entries


@dataclass(frozen=True)
class Archive:
    """Files in a ZIP; entries are member names."""

    fs: fsspec.AbstractFileSystem
    path: str

    def name(self, entry: str) -> str:
        return f"{_url(self.fs, self.path)}/{entry}"

    def read(self, entries: Sequence[str]) -> Iterator[Picture]:
        names = [self.name(entry) for entry in entries]
        try:
            with self.fs.open(self.path, "rb") as file, zipfile.ZipFile(file) as archive:
                for name, entry in zip(names, entries):
                    yield name, _fetch(archive.open, entry, name)
        except Exception as error:  # it was readable when it was listed; see `_fetch`
            for name in names:
                yield name, unreadable(name, cause(error))


@dataclass(frozen=True)
class RowGroup:
    """One row group of a Parquet file; entries are row numbers of the file, rising.

    column holds a picture file's bytes, its path or URL (relative to the Parquet file's folder), or a struct
    of `bytes` and `path`, as Hugging Face's data sets do, or a list of any of these, whose first counts.
    """

    fs: fsspec.AbstractFileSystem
    path: str
    column: str
    group: int
    first: int

    def name(self, entry: int) -> str:
        return f"{_url(self.fs, self.path)}:{entry}"

    def read(self, entries: Sequence[int]) -> Iterator[Picture]:
        wanted = list(entries)
        try:
            with self.fs.open(self.path, "rb") as file:
                yield from self._pictures(file, wanted)
        except Exception as error:  # pyarrow's and the file system's, see `_fetch`
            for entry in wanted:
                yield self.name(entry), unreadable(self.name(entry), cause(error))

    def _pictures(self, file: Any, wanted: list[int]) -> Iterator[Picture]:
        """Takes one wanted entry after the other out of these."""
        # Buffered and in slices: a row group may hold more pictures than memory does.
        table = pq.ParquetFile(file, buffer_size=1 << 20)
        start = self.first
        for batch in table.iter_batches(_ROWS, row_groups=[self.group], columns=[self.column]):
            while wanted and wanted[0] < start + batch.num_rows:
                yield self._picture(self.name(wanted[0]), batch.column(0)[wanted[0] - start].as_py())
                wanted.pop(0)
            start += batch.num_rows
            if not wanted:
                return

    def _picture(self, name: str, cell: Any) -> Picture:
        """A cell's picture; of a list of them, the first."""
        if isinstance(cell, list):
            cell = cell[0] if cell else None
        if isinstance(cell, dict):
            name, cell = cell.get("path") or name, cell.get("bytes") or cell.get("path")
        if cell is not None and not isinstance(cell, bytes | str):
            return name, unreadable(
                name, f"the column {self.column} holds {type(cell).__name__}, not pictures"
            )
        if cell is None:
            return name, unreadable(name, f"the column {self.column} is empty there")
        if isinstance(cell, bytes):
            return name, cell
        if "://" in cell:
            return cell, _fetch(lambda url: fsspec.open(url, "rb").open(), cell, cell)
        folder, _, _ = self.path.rpartition("/")
        path = cell if cell.startswith("/") else f"{folder}/{cell}"
        return cell, _fetch(lambda file: self.fs.open(file, "rb"), path, cell)


@dataclass(frozen=True)
class Damaged:
    """A ZIP or Parquet file that cannot be opened: one input; the entry is its name."""

    cause: str

    def name(self, entry: str) -> str:
        return entry

    def read(self, entries: Sequence[str]) -> Iterator[Picture]:
        for entry in entries:
            yield entry, unreadable(entry, self.cause)


class Input(NamedTuple):
    source: Inputs
    entry: Any

    @property
    def name(self) -> str:
        return self.source.name(self.entry)


def list_inputs(
    source: str, column: str = "image", leave_out: str | None = None, passed_over: list[str] | None = None
) -> Iterator[Input]:
    """Every input under a path, glob or fsspec URL, sorted by file.

    Of a folder, at any depth, what ends like a picture (`PICTURES`) or record (`RECORDS`), `.zip` or
    `.parquet` counts, and DICOM files without an ending, tables of leads and MATLAB files; what a glob or
    path names counts whatever its ending. ZIPs stand for what counts in them, Parquet files for their
    pictures.

    leave_out: a folder not to look into. passed_over: takes the other files of a folder or ZIP. Raises
    EcgError where there is nothing.
    """
    passed_over = [] if passed_over is None else passed_over
    try:
        fs, path = fsspec.url_to_fs(source)
        if fs.isdir(path):
            files = [p for p in fs.find(path) if not _hidden(p.removeprefix(path))]
            found, others = _parted(partial(_regular, fs), files, (".zip", ".parquet"))
            passed_over += [_url(fs, p) for p in others]
        elif any(c in path for c in "*?["):
            found = [p for p in fs.glob(path) if not fs.isdir(p)]
        else:
            found = [path] if fs.exists(path) else []
    except ImportError as error:
        raise EcgError("unsupported_format", f"{source}: {error}".splitlines()[0]) from error
    except Exception as error:  # every file system raises its own
        raise unreadable(source, cause(error)) from error
    skip = None if leave_out is None else _folder(leave_out)
    found = [p for p in found if skip is None or not _url(fs, p).startswith(skip)]
    if not found:
        raise unreadable(source, "no such file, or no pictures, ZIPs or Parquet files there")
    for path in sorted(found):
        yield from _in_file(fs, path, column, passed_over)


def _folder(url: str) -> str:
    """What the files of a folder are called up to their names. Raises EcgError."""
    try:
        return _url(*fsspec.url_to_fs(url)) + "/"
    except Exception as error:  # every file system raises its own
        raise unreadable(url, cause(error)) from error


def _in_file(
    fs: fsspec.AbstractFileSystem, path: str, column: str, passed_over: list[str]
) -> Iterator[Input]:
    ending = path.lower().rpartition(".")[2]
    try:
        if ending == "zip":
            with fs.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
                files = dict.fromkeys(n for n in archive.namelist() if not _hidden(n) and n[-1:] != "/")
                members, others = _parted(archive.open, files)
            passed_over += [f"{_url(fs, path)}/{name}" for name in others]
            yield from (Input(Archive(fs, path), name) for name in members)
        elif ending == "parquet":
            with fs.open(path, "rb") as file:
                table = pq.ParquetFile(file)
                columns = table.schema_arrow.names
                sizes = [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)]
            if column not in columns:
                raise EcgError(
                    "unsupported_format",
                    f"{path}: has no column {column!r}; name one of {', '.join(columns)} with --column",
                )
            first = 0
            for group, size in enumerate(sizes):
                rows = RowGroup(fs, path, column, group, first)
                yield from (Input(rows, row) for row in range(first, first + size))
                first += size
        elif isinstance(fs, MemoryFileSystem):
            yield Input(Held(), (_url(fs, path), fs.cat_file(path)))
        else:
            yield Input(Files(fs), path)
    except EcgError:
        raise
    except Exception as error:  # a damaged ZIP or Parquet file
        yield Input(Damaged(f"not a readable {ending.upper()} file ({cause(error)})"), _url(fs, path))


def _fetch(open_: Callable[[str], IO[bytes]], path: str, name: str) -> bytes | EcgError:
    """The bytes of a file, no more of them than `load_image` needs to refuse it; of a WFDB header, a ZIP of
    the record.
    """

    def read(path: str) -> bytes:
        with open_(path) as file:
            return file.read(MAX_BYTES + 1)

    try:
        return _with_signals(path, read) if path.lower().endswith(".hea") else read(path)
    except FileNotFoundError:
        return unreadable(name, "no such file")
    except Exception as error:  # file systems and zipfile raise their own
        return unreadable(name, cause(error))


def _with_signals(path: str, read: Callable[[str], bytes]) -> bytes:
    """A ZIP of a WFDB header and the signal files beside it, and of its segments; what is missing is for its
    reader to say."""

    def found(path: str) -> bytes | None:
        try:
            return read(path)
        except (FileNotFoundError, KeyError):
            return None

    whole, header = io.BytesIO(), read(path)
    with zipfile.ZipFile(whole, "w") as archive:
        for file, data in {path: header, **files_beside(path, header, found)}.items():
            archive.writestr(file.rpartition("/")[2], data)
    return whole.getvalue()


def _regular(fs: fsspec.AbstractFileSystem, path: str) -> IO[bytes]:
    """The file opened; ValueError where it is a pipe or a device, which may never begin or end."""
    if "file" in fs.protocol and os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("is not a regular file")
    return fs.open(path, "rb")


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _parted(
    open_: Callable[[str], IO[bytes]], paths: Collection[str], also: tuple[str, ...] = ()
) -> tuple[list[str], list[str]]:
    """The files of a folder or archive that are inputs, and those that are not, but for the signals of a WFDB
    header among them. also: other endings of inputs."""
    parted: tuple[list[str], list[str]] = [], []
    beside = frozenset(paths)
    for path in paths:
        if path[-4:].lower() not in _SIGNALS or f"{path[:-4]}.hea" not in beside:
            parted[0 if path.lower().endswith(also) or _counts(open_, path) else 1].append(path)
    return parted


def _counts(open_: Callable[[str], IO[bytes]], path: str) -> bool:
    """Whether a file is an input: by its ending, or by how it begins.

    Without an ending lie DICOM files on CDs and in archives; a CSV file may be any table, a MATLAB file any
    arrays.
    """
    name = path.rpartition("/")[2]
    if name.lower().endswith((*PICTURES, *RECORDS)):
        return True
    is_one = {".csv": is_csv, ".mat": is_mat}.get(name.lower()[-4:], is_dicom)
    if is_one is is_dicom and "." in name.strip(".") and not name.replace(".", "").isdigit():
        return False
    try:
        with open_(path) as file:
            return is_one(file.read(HEAD))
    except Exception:  # file systems and zipfile raise their own; what does not open tells nothing
        return False


def _url(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """What a file is called: a name that is no text stands with its bytes escaped, as Arrow holds text
    only."""
    name = path if "file" in fs.protocol else fs.unstrip_protocol(path)
    return name.encode("utf-8", "backslashreplace").decode()
