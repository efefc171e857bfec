"""Pages by the million on Ray Data: folder, glob, ZIP, Parquet or URL in, Parquet out, one row an input.

The caller's process lists the inputs and writes the output; Ray's workers fetch and read the pages. Only what
has arrived here is written, so a worker that dies costs time, never a row twice.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from ecgvlm.batch.inputs import Input, Inputs, list_inputs
from ecgvlm.batch.output import SCHEMA, open_output
from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.bounded import BoundedDecoder
from ecgvlm.files.leads import cause
from ecgvlm.machine import workers as fitting
from ecgvlm.reader import QUESTION, Answer, Reader
from ecgvlm.sessions import check_shipped

UNIT = 16  # inputs that a worker reads at a time
WAVE = 10_000  # inputs handed to Ray at a time, for each worker
WAVE_MOST = 500_000


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

    Raises EcgError where there is no input, `out` cannot be written or answers another question, a file of
    the model is missing or damaged, the cluster does not answer, or no worker gets to work; UsageError where
    another batch writes there.
    """
    asked = question or QUESTION
    passed_over: list[str] = []
    inputs = list(list_inputs(source, column, out, passed_over))
    with open_output(out) as output:
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
        if make_reader is None:
            check_shipped()

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
            return Answer.failed(str(name), question, error)
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
            return Answer.failed(name, self.question, picture)
        try:
            return self.reader.read(picture, self.question, name)
        except Exception as error:  # a fault of ours on one page in a million must not end the batch
            return Answer.failed(name, self.question, error)


def _row(answer: Answer) -> dict[str, Any]:
    """An answer's JSON object as columns of `SCHEMA`, all but `input`."""
    facts = answer.to_dict()
    flat = {
        f"{prefix}_{name}": value
        for key, prefix in (("labels", "label"), ("page", "page"), ("error", "error"))
        for name, value in facts.get(key, {}).items()
    }
    others = [json.dumps(other) for other in facts.get("others", ())]
    return {**facts, **facts.get("measurements", {}), **flat, "others": others, "seconds": answer.seconds}


def _lost(name: str, question: str) -> dict[str, Any]:
    fault = EcgError("internal_error", f"{name}: reading it ended the process, several times")
    return {"input": name, **_row(Answer.failed(name, question, fault))}


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
def _unsaid() -> Iterator[None]:
    """Leaves out what compiled code writes on standard error: Ray names the variables that it has read."""
    if sys.stderr is None:  # closed by who called
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _ray(address: str | None, workers: int | None) -> Iterator[int]:
    """Ray, connected or started or the one that this process has already; how many workers to use."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address is None:
        # No other machine is to reach what is started here: without clusters Ray keeps to 127.0.0.1, which it
        # takes for another address where it is told so.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    own = not ray.is_initialized()
    if own:
        here = address is None
        if here and "RAY_AUTH_TOKEN_PATH" not in os.environ:
            # Ray would write one into the home folder, which a service need not have.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        try:
            with _unsaid():
                ray.init(
                    address=address or "local",
                    num_cpus=(workers or fitting()) if here else None,
                    include_dashboard=False if here else None,
                    object_store_memory=256_000_000 if here else None,  # rows are small
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
        except Exception as error:  # among others, Ray raises bare Exception where a start takes too long
            raise unreadable(address or "Ray", f"does not answer ({cause(error).splitlines()[0]})") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # see `_run`
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        if own:
            ray.shutdown()
