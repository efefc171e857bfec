"""What a batch writes: a folder of Parquet parts that together are one table, with one row an input."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ecgvlm.atomic import alone
from ecgvlm.errors import EcgError, UsageError, unreadable
from ecgvlm.files.leads import cause
from ecgvlm.labels import LABELS
from ecgvlm.measure import MEASUREMENTS

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
    + [("others", pa.list_(pa.string())), ("model", pa.string()), ("seconds", pa.float32())]
)


class Output:
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
                    part, f"not a part of a batch ({cause(error)}); name another folder"
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
            raise unreadable(self.url, f"cannot be written ({cause(error)})") from error


@contextmanager
def open_output(url: str) -> Iterator[Output]:
    """The output folder, made where it is not there; a local one is for this batch alone."""
    with ExitStack() as kept:
        try:
            output = Output(url)
            output.fs.makedirs(output.path, exist_ok=True)
            if "file" in output.fs.protocol:
                kept.enter_context(alone(Path(output.path)))
            for stale in output.fs.glob(f"{output.path}/_part-*.parquet"):  # no batch is at work on them
                output.fs.rm(stale)
        except (EcgError, UsageError):
            raise
        except Exception as error:  # every file system raises its own
            raise unreadable(url, f"cannot be written ({cause(error)})") from error
        yield output
        output.flush()
