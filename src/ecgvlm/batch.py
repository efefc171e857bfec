"""Pages by the million on Ray Data: folder, glob, ZIP, Parquet or URL in, Parquet out, one row an input.

The caller's process lists the inputs and writes the output; Ray's workers fetch and read the pages. Only what
has arrived here is written, so a worker that dies costs time, never a row twice.
"""

from __future__ import annotations

import io
import logging
import os
import secrets
import time
import uuid
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import filelock
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.bounded import BoundedDecoder
from ecgvlm.files.dicom import is_dicom
from ecgvlm.files.leaf import MAX_BYTES
from ecgvlm.labels import LABELS
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.reader import QUESTION, Answer, Reader
from ecgvlm.worker import workers as fitting

PICTURES = (
    ".jpg", ".jpeg", ".jfif", ".jpe", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif",
    ".heic", ".heif", ".pdf", ".dcm", ".dicom",
)  # fmt: skip
RECORDS = (".xml", ".scp", ".edf", ".bdf", ".ecg", ".npy", ".hea")
UNIT = 16  # inputs that a worker reads at a time
WAVE = 10_000  # inputs handed to Ray at a time, for each worker
WAVE_MOST = 500_000
PART_ROWS = 10_000  # a part of the output holds so many rows,
PART_SECONDS = 60.0  # or what came in so many seconds: the most that a kill loses

SCHEMA = pa.schema(
    [("input", pa.string()), ("image", pa.string()), ("ok", pa.bool_())]
    + [(name, pa.string()) for name in ("error_code", "error_message", "question", "answer", "report")]
    + [(name, pa.list_(pa.string())) for name in ("findings", "cautions")]
    + [("abstain", pa.bool_())]
    + [(f"label_{label}", pa.float32()) for label in LABELS]
    + [(name, pa.float32()) for name in (*MEASUREMENTS, "qtc_fridericia_ms", "rr_variation")]
    + [("page_layout", pa.string())]
    + [(f"page_{name}", pa.float32()) for name in ("px_per_mm", "mm_per_s", "mm_per_mv", "quality")]
    + [("model", pa.string()), ("seconds", pa.float32())]
)


class PageReader(Protocol):
    """What `read_batch` needs of a `Reader`."""

    def read(self, source: bytes | Path, question: str | None, name: str | None) -> Answer: ...


@dataclass
class Progress:
    """How far a batch is. kept: rows of an earlier call. failed: rows with an error, theirs too. passed_over:
    files of a folder that do not look like inputs.
    """

    total: int
    kept: int = 0
    done: int = 0
    failed: int = 0
    passed_over: Sequence[str] = ()
    started: float = field(default_factory=time.monotonic)

    @property
    def pages_per_second(self) -> float:
        """Of this call, its start included."""
        return (self.done - self.kept) / max(time.monotonic() - self.started, 1e-9)


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
                yield self.name(entry), _fetch(partial(_regular, self.fs, entry), self.name(entry))


@dataclass(frozen=True)
class Held:
    """Files that only the calling process sees (memory://), sent along; entries are (name, data)."""

    def name(self, entry: tuple[str, bytes]) -> str:
        return entry[0]

    def read(self, entries: Sequence[tuple[str, bytes]]) -> Iterator[Picture]:
        yield from entries


@dataclass(frozen=True)
class Archive:
    """Picture files in a ZIP; entries are member names."""

    fs: fsspec.AbstractFileSystem
    path: str

    def name(self, entry: str) -> str:
        return f"{_url(self.fs, self.path)}/{entry}"

    def read(self, entries: Sequence[str]) -> Iterator[Picture]:
        names = [self.name(entry) for entry in entries]
        try:
            with self.fs.open(self.path, "rb") as file, zipfile.ZipFile(file) as archive:
                for name, entry in zip(names, entries):
                    yield name, _fetch(partial(archive.open, entry), name)
        except Exception as error:  # it was readable when it was listed; see `_fetch`
            for name in names:
                yield name, unreadable(name, _say(error))


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
                # Buffered and in slices: a row group may hold more pictures than memory does.
                table = pq.ParquetFile(file, buffer_size=1 << 20)
                start = self.first
                for batch in table.iter_batches(UNIT, row_groups=[self.group], columns=[self.column]):
                    while wanted and wanted[0] < start + batch.num_rows:
                        yield self._picture(self.name(wanted[0]), batch.column(0)[wanted[0] - start].as_py())
                        wanted.pop(0)
                    start += batch.num_rows
                    if not wanted:
                        return
        except Exception as error:  # pyarrow's and the file system's, see `_fetch`
            for entry in wanted:
                yield self.name(entry), unreadable(self.name(entry), _say(error))

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
            return cell, _fetch(lambda: fsspec.open(cell, "rb").open(), cell)
        folder, _, _ = self.path.rpartition("/")
        path = cell if cell.startswith("/") else f"{folder}/{cell}"
        return cell, _fetch(partial(self.fs.open, path, "rb"), cell)


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
    `.parquet` counts, and DICOM files without an ending; what a glob or path names counts whatever its
    ending. ZIPs and Parquet files stand for the pictures in them.

    leave_out: a folder not to look into. passed_over: takes the other files of a folder. Raises EcgError
    where there is nothing.
    """
    try:
        fs, path = fsspec.url_to_fs(source)
        if fs.isdir(path):
            found = []
            for p in fs.find(path):
                wanted = _is_input(p.removeprefix(path), (*PICTURES, *RECORDS, ".zip", ".parquet"))
                if wanted or _is_plain_dicom(fs, p):
                    found.append(p)
                elif passed_over is not None and not _hidden(p.removeprefix(path)):
                    passed_over.append(_url(fs, p))
        elif any(c in path for c in "*?["):
            found = [p for p in fs.glob(path) if not fs.isdir(p)]
        else:
            found = [path] if fs.exists(path) else []
    except ImportError as error:
        raise EcgError("unsupported_format", f"{source}: {error}".splitlines()[0]) from error
    except Exception as error:  # every file system raises its own
        raise unreadable(source, _say(error)) from error
    skip = None if leave_out is None else _folder(leave_out)
    found = [p for p in found if skip is None or not _url(fs, p).startswith(skip)]
    if not found:
        raise unreadable(source, "no such file, or no pictures, ZIPs or Parquet files there")
    for path in sorted(found):
        yield from _in_file(fs, path, column)


def _folder(url: str) -> str:
    """What the files of a folder are called up to their names. Raises EcgError."""
    try:
        return _url(*fsspec.url_to_fs(url)) + "/"
    except Exception as error:  # every file system raises its own
        raise unreadable(url, _say(error)) from error


def _in_file(fs: fsspec.AbstractFileSystem, path: str, column: str) -> Iterator[Input]:
    ending = path.lower().rpartition(".")[2]
    try:
        if ending == "zip":
            with fs.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
                members = [name for name in archive.namelist() if _is_input(name, PICTURES)]
            yield from (Input(Archive(fs, path), name) for name in dict.fromkeys(members))
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
        yield Input(Damaged(f"not a readable {ending.upper()} file ({_say(error)})"), _url(fs, path))


def read_batch(
    source: str,
    out: str,
    question: str | None = None,
    column: str = "image",
    workers: int | None = None,
    address: str | None = None,
    make_reader: Callable[[], PageReader] | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Read every input of `list_inputs` that `out` has no row for yet, and add its rows there (`SCHEMA`).

    out: folder or fsspec URL; its Parquet parts together are one table, with one row an input. What cannot be
    read is a row with its error. column: of Parquet inputs. workers: processes with a reader and one core
    each; None for one a core. address: of a Ray cluster ("auto", "host:6379"); None starts Ray on this
    machine and stops it again. make_reader: called once in each worker. report is called as rows come in.

    Raises EcgError where there is no input, `out` cannot be written or answers another question, the cluster
    does not answer, or no worker gets to work.
    """
    asked = question or QUESTION
    passed_over: list[str] = []
    inputs = list(list_inputs(source, column, out, passed_over))
    with _open_output(out) as output:
        kept = output.inputs(asked)
        progress = Progress(len(inputs), passed_over=passed_over)
        missing: dict[str, Input] = {}
        for item in inputs:
            if (name := item.name) in kept:
                progress.kept += 1
                progress.failed += not kept[name]
            else:
                missing[name] = item
        del inputs, kept
        progress.done = progress.kept
        report(progress)
        if not missing:
            return progress

        def keep(rows: pa.Table) -> None:
            new = [missing.pop(name, None) is not None for name in rows["input"].to_pylist()]
            rows = rows.filter(pa.array(new, pa.bool_()))
            output.add(rows)
            progress.done += rows.num_rows
            progress.failed += rows["ok"].to_pylist().count(False)
            report(progress)

        try:
            with _ray(address, workers) as count:
                worker = (make_reader or _Shipped, asked)
                for wave in _slices(list(missing.values()), min(WAVE * count, WAVE_MOST)):
                    before = progress.done
                    _run(_units(wave, UNIT), worker, count, keep)
                    if progress.done == before:
                        raise EcgError("unreadable_file", "no worker gets to work; Ray's log says why")
                # What is missing now ended its worker again and again, or shared a unit with such a page.
                _run(_units(list(missing.values()), 1), worker, count, keep)
        finally:
            output.flush()
        keep(pa.Table.from_pylist([_lost(name, asked) for name in missing], schema=SCHEMA))
    return progress


class _Shipped:
    """The shipped model behind a decoder that no file can take down. Without its files, a worker fails at
    once."""

    def __init__(self) -> None:
        self._decoder = BoundedDecoder()
        self._reader = Reader(threads=1)

    def read(self, source: bytes | Path, question: str | None, name: str | None) -> Answer:
        try:
            pages = self._decoder.open(source, name)
        except EcgError as error:
            return Answer(str(name), question or QUESTION, 0.0, error=error)
        return self._reader.read(pages, question, name)


class _Worker:
    """Reads units in a Ray actor."""

    def __init__(self, make_reader: Callable[[], PageReader], question: str):
        import cv2

        cv2.setNumThreads(1)  # each worker has one core
        self.reader = make_reader()
        self.question = question

    def __call__(self, batch: dict) -> Iterator[pa.Table]:
        for source, entries in batch["unit"]:
            rows = []
            for entry, (name, picture) in zip(entries, source.read(entries)):
                row = _row(self._read(picture, name))
                rows.append({"input": source.name(entry), **row})
            yield pa.Table.from_pylist(rows, schema=SCHEMA)

    def _read(self, picture: bytes | Path | EcgError, name: str) -> Answer:
        if isinstance(picture, EcgError):
            return Answer(name, self.question, 0.0, error=picture)
        try:
            return self.reader.read(picture, self.question, name)
        except Exception as error:  # a fault of ours on one page in a million must not end the batch
            fault = EcgError("internal_error", f"{name}: {type(error).__name__}: {_say(error)}")
            return Answer(name, self.question, 0.0, error=fault)


def _row(answer: Answer) -> dict[str, Any]:
    """An answer's JSON object as columns of `SCHEMA`, all but `input`."""
    facts = answer.to_dict()
    flat = {
        f"{prefix}_{name}": value
        for key, prefix in (("labels", "label"), ("page", "page"), ("error", "error"))
        for name, value in facts.get(key, {}).items()
    }
    return {**facts, **facts.get("measurements", {}), **flat, "seconds": answer.seconds}


def _lost(name: str, question: str) -> dict[str, Any]:
    fault = EcgError("internal_error", f"{name}: reading it ended the process, several times")
    return {"input": name, **_row(Answer(name, question, 0.0, error=fault))}


def _run(
    units: list[tuple[Inputs, tuple]], worker: tuple, workers: int, keep: Callable[[pa.Table], None]
) -> None:
    """Reads units on Ray; what comes back is kept. A unit that ends its worker three times stays away."""
    import ray

    if not units:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # max_task_retries is to get another place in Ray 2.64
        rows = ray.data.from_items(
            [{"unit": unit} for unit in units], override_num_blocks=len(units)
        ).map_batches(
            _Worker,
            fn_constructor_args=worker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(units))),
            num_cpus=1,
            max_task_retries=2,
        )
    try:
        for table in rows.iter_batches(batch_size=None, batch_format="pyarrow"):
            keep(table)
    except ray.exceptions.RayError as error:
        raise unreadable("Ray", str(error).strip().splitlines()[-1]) from error


def _units(inputs: Sequence[Input], size: int) -> list[tuple[Inputs, tuple]]:
    """Inputs that follow each other in one source, up to `size` of them together."""
    return [
        (source, tuple(item.entry for item in some))
        for source, items in groupby(inputs, key=lambda item: item.source)
        for some in _slices(items, size)
    ]


def _slices(items: Iterable, size: int) -> Iterator[list]:
    items = iter(items)
    while some := list(islice(items, size)):
        yield some


@contextmanager
def _ray(address: str | None, workers: int | None) -> Iterator[int]:
    """Ray, connected or started or the one that this process has already; how many workers to use."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    own = not ray.is_initialized()
    if own:
        here = address is None
        alone: dict[str, Any] = (
            {"_node_ip_address": "127.0.0.1"} if here else {}
        )  # no other machine reaches it
        if here and "RAY_AUTH_TOKEN_PATH" not in os.environ:
            # Ray would write one into the home folder, which a service need not have.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        try:
            ray.init(
                address=address or "local",
                num_cpus=(workers or fitting()) if here else None,
                include_dashboard=False if here else None,
                object_store_memory=256_000_000 if here else None,  # rows are small
                log_to_driver=False,
                logging_level=logging.ERROR,
                **alone,
            )
        except Exception as error:  # among others, Ray raises bare Exception where a start takes too long
            raise unreadable(address or "Ray", f"does not answer ({_say(error).splitlines()[0]})") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # see `_run`
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if own:
            ray.shutdown()


class _Output:
    """A folder of Parquet parts that only ever gains whole ones."""

    def __init__(self, url: str):
        self.url = url
        self.fs, self.path = fsspec.url_to_fs(url)
        self.waiting: list[pa.Table] = []
        self.since = time.monotonic()

    def inputs(self, question: str) -> dict[str, bool]:
        """Inputs with a row, and whether they could be read; EcgError where another question was asked."""
        known: dict[str, bool] = {}
        for part in self.fs.glob(f"{self.path}/*.parquet"):
            try:
                with self.fs.open(part, "rb") as file:
                    rows = pq.read_table(file, columns=["input", "ok", "question"])
            except Exception as error:
                raise unreadable(
                    part, f"not a part of a batch ({_say(error)}); name another folder"
                ) from error
            if set(rows["question"].unique().to_pylist()) - {question}:
                raise EcgError(
                    "unreadable_file", f"{self.url}: holds another question's answers; name another folder"
                )
            known.update(zip(rows["input"].to_pylist(), rows["ok"].to_pylist()))
        return known

    def add(self, rows: pa.Table) -> None:
        self.waiting.append(rows)
        if sum(r.num_rows for r in self.waiting) >= PART_ROWS or time.monotonic() > self.since + PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what waits as one part: beside its place, where readers skip names with _, then renamed."""
        rows = pa.concat_tables(self.waiting) if self.waiting else None
        self.waiting, self.since = [], time.monotonic()
        if not rows:
            return
        data = io.BytesIO()
        pq.write_table(rows, data, compression="zstd")
        # Names sort by time; the tail keeps two callers apart.
        name = f"part-{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:8]}.parquet"
        try:
            self.fs.pipe_file(f"{self.path}/_{name}", data.getvalue())
            self.fs.mv(f"{self.path}/_{name}", f"{self.path}/{name}")
        except Exception as error:  # every file system raises its own
            raise unreadable(self.url, f"cannot be written ({_say(error)})") from error


@contextmanager
def _open_output(url: str) -> Iterator[_Output]:
    """The output folder, made where it is not there; a local one is locked against a second batch."""
    try:
        output = _Output(url)
        output.fs.makedirs(output.path, exist_ok=True)
        local = "file" in output.fs.protocol
        lock = filelock.FileLock(Path(output.path) / ".lock", timeout=0) if local else None
        if lock:
            lock.acquire()
        for stale in output.fs.glob(f"{output.path}/_part-*.parquet"):  # a batch at work is locked out by now
            output.fs.rm(stale)
    except filelock.Timeout as error:
        raise unreadable(url, "another batch writes there") from error
    except Exception as error:  # every file system raises its own
        raise unreadable(url, f"cannot be written ({_say(error)})") from error
    try:
        yield output
        output.flush()
    finally:
        if lock:
            lock.release()


def _fetch(open_: Callable[[], IO[bytes]], name: str) -> bytes | EcgError:
    """The bytes of a file, no more of them than `load_image` needs to refuse it."""
    try:
        with open_() as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return unreadable(name, "no such file")
    except Exception as error:  # file systems and zipfile raise their own
        return unreadable(name, _say(error))


def _regular(fs: fsspec.AbstractFileSystem, path: str) -> IO[bytes]:
    """The file opened; ValueError where it is a pipe or a device, which may never begin or end."""
    if "file" in fs.protocol and os.path.exists(path) and not os.path.isfile(path):
        raise ValueError("is not a regular file")
    return fs.open(path, "rb")


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _is_input(path: str, endings: tuple[str, ...]) -> bool:
    return not _hidden(path) and path.lower().endswith(endings)


def _is_plain_dicom(fs: fsspec.AbstractFileSystem, path: str) -> bool:
    """Whether a file without an ending is a DICOM file, as they lie on CDs and in archives."""
    name = path.rpartition("/")[2]
    if ("." in name.strip(".") and not name.replace(".", "").isdigit()) or _hidden(name):
        return False
    try:
        with _regular(fs, path) as file:
            return is_dicom(file.read(200))
    except (OSError, ValueError):
        return False


def _url(fs: fsspec.AbstractFileSystem, path: str) -> str:
    """What a file is called: a name that is no text stands with its bytes escaped, as Arrow holds text
    only."""
    name = path if "file" in fs.protocol else fs.unstrip_protocol(path)
    return name.encode("utf-8", "backslashreplace").decode()


def _say(error: Exception) -> str:
    return str(error) or type(error).__name__
