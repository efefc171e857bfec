"""Makes an instruction data set: records printed as pages, each with questions, in ECGInstruct's form.

Everything random follows from the seed and the record's key, so that any part of a data set is made alike,
on any number of processes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from ecgvlm.errors import EcgError, UsageError, unreadable, unwritable
from ecgvlm.files.datasets import Entry, find_records, patient_of_line, read_labels, read_table
from ecgvlm.files.leads import age_of
from ecgvlm.files.page_form import fit
from ecgvlm.instruct.records import ROW_KINDS, Known, ask, contradiction, known_of, known_of_labels, printed
from ecgvlm.instruct.row import Row
from ecgvlm.instruct.rows import is_picture_table
from ecgvlm.instruct.splits import Parts
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.layouts import layout as known_layout
from ecgvlm.paper.print import page_rng, print_page
from ecgvlm.paper.style import PageStyle, random_style
from ecgvlm.paper.truth import PageTruth
from ecgvlm.processes import end_with_parent, worker_context
from ecgvlm.record import Record

_SHARD = 200_000_000  # bytes of pictures in a Parquet file
# Layouts whose rows have room on a page half as high as wide.
_WIDE = ("3x4", "3x4+1R", "3x4+1R", "3x4+3R", "6x2", "6x2+1R")


@dataclass(frozen=True)
class Plan:
    """How records become rows.

    kinds: of `ROW_KINDS`. count: questions a page. pages: of `PAGE_KINDS`, each of which every record is
    printed as. layout: None for all in turn. width: of the picture in px. wide: pages exactly half as
    high as wide, as SmolVLM's tiles want them (2048 wide: 9 tiles, 1024: 3 tiles, neither stretched). source:
    of the rows.
    """

    kinds: tuple[str, ...] = tuple(ROW_KINDS)
    count: int = 6
    pages: tuple[str, ...] = PAGE_KINDS
    layout: str | None = None
    width: int = 1600
    wide: bool = False
    seed: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        for what, given, known in (("kind", self.kinds, tuple(ROW_KINDS)), ("page", self.pages, PAGE_KINDS)):
            if unknown := set(given) - set(known):
                raise UsageError(f"no {what} {min(unknown)!r}; choose from {', '.join(known)}")
        if self.layout is not None:
            known_layout(self.layout)


@dataclass
class Summary:
    """What was built: rows, pictures, rows of each kind, and what was left out, each with its reason."""

    rows: int = 0
    pictures: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    unlabelled: int = 0
    contradictory: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Picture:
    """One picture with its rows. name: of the file. data: its bytes."""

    name: str
    data: bytes
    rows: tuple[Row, ...]

    @property
    def patient(self) -> str:
        return str(self.rows[0].metadata["patient"]) if self.rows else ""


# What became of one record: its pictures, or why there are none ("damaged", "contradictory", "unlabelled").
_Made = list[_Picture] | tuple[str, str, str]


def build(
    records: str | Path,
    out: str | Path,
    plan: Plan | None = None,
    form: str = "json",
    folds: Collection[int] | None = None,
    limit: int | None = None,
    skip_damaged: bool = False,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
    parts: Parts | None = None,
) -> Summary:
    """Writes a data set of the records (see `find_records`; or a CSV table of pictures) to a new folder.

    form "json": `instruct.json` and `images/`; "messages": `instruct.jsonl` with messages and images, as TRL
    reads them; "parquet": `data/train-*.parquet` with the pictures inside, as `datasets.load_dataset(out)`
    reads them. parts: a file of each part's name instead, no patient in two of them. folds: of PTB-XL. limit:
    records, drawn by seed. Records without labels, or whose label contradicts the measured heart rate, are
    left out and counted; the first missing or damaged file raises EcgError unless skip_damaged, which counts
    them. The folder appears when all is done.
    """
    plan = plan or Plan()
    out, records = Path(out), Path(records)
    if form not in _WRITERS:
        raise UsageError(f"no format {form!r}; choose from {', '.join(_WRITERS)}")
    if out.exists():
        raise UsageError(f"{out}: exists already; choose another folder")
    plan = plan if plan.source else replace(plan, source=records.stem)
    jobs = _jobs(records, folds, plan)
    if limit is not None and limit < len(jobs):
        jobs = [jobs[i] for i in sorted(Random(plan.seed).sample(range(len(jobs)), limit))]
    beside = out.with_name(f".{out.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    summary = Summary()
    try:
        make = _WRITERS[form]
        writers = {part: make(beside, part) for part in (parts.shares if parts else [""])}
        for done, made in enumerate(_run(jobs, workers), start=1):
            for picture in _counted(made, summary, skip_damaged):
                writers[parts.of(picture.patient) if parts else ""].add(picture)
            progress(done, len(jobs))
        if not summary.rows:
            why = "no record has labels that can be asked about"
            if damaged := summary.damaged:
                why = f"{len(damaged)} of {len(jobs)} records are damaged ({damaged[0]}), {why}"
            raise EcgError("unsupported_format", f"{records}: {why}")
        for part, writer in writers.items():
            if not writer.close():
                said = f"part {part} would be empty; give it a larger share, or another --seed"
                raise EcgError("unsupported_format", f"{records}: {said}")
        beside.replace(out)
    except OSError as error:
        raise unwritable(out, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return summary


def _counted(made: _Made, summary: Summary, skip_damaged: bool) -> list[_Picture]:
    """The pictures made of a record, none where it is left out; the summary counts them, or it. Raises
    EcgError where it is damaged, unless skip_damaged."""
    if isinstance(made, list):
        summary.pictures += len(made)
        for row in (row for picture in made for row in picture.rows):
            summary.rows += 1
            summary.kinds[str(row.metadata["kind"])] += 1
        return made
    why, code, message = made
    if why == "unlabelled":
        summary.unlabelled += 1
    elif why == "contradictory":
        summary.contradictory.append(message)
    elif skip_damaged:
        summary.damaged.append(message)
    else:
        raise EcgError(code, message)
    return []


def _jobs(records: Path, folds: Collection[int] | None, plan: Plan) -> list[Callable[[], _Made]]:
    if is_picture_table(records):
        return [
            partial(_from_picture, records, row, f"{records}: line {i}", plan)
            for i, row in enumerate(read_table(records), start=2)
        ]
    return [partial(_from_record, entry, plan) for entry in find_records(records, folds)]


def _run(jobs: Sequence[Callable[[], _Made]], workers: int) -> Iterator[_Made]:
    """The jobs' results in order; only a few of them are held at a time."""
    if workers <= 1:
        yield from map(_call, jobs)
        return
    with ProcessPoolExecutor(workers, worker_context(__name__), initializer=_start) as pool:
        block = 8 * workers
        for start in range(0, len(jobs), block):
            yield from pool.map(_call, jobs[start : start + block])


def _start() -> None:
    import cv2

    cv2.setNumThreads(1)
    end_with_parent()


def _call(job: Callable[[], _Made]) -> _Made:
    """The job's result; a damaged file is a result too, as errors must pass between processes."""
    try:
        return job()
    except EcgError as error:
        return "damaged", error.code, error.message


def _from_record(entry: Entry, plan: Plan) -> _Made:
    record = entry.load()
    if record.labels is None:
        return "unlabelled", "", entry.key
    known = known_of(record)
    if wrong := contradiction(known):
        return "contradictory", "", f"{record.source}: {wrong}"
    pictures = []
    for kind in plan.pages:
        name, data, truth = print_leaf(record, entry.key, kind, plan)
        extra = {"page": kind, "layout": truth.layout, "patient": record.patient or entry.key}
        rows = _rows(printed(known, truth), f"{entry.key}-{kind}", extra, plan)
        pictures.append(_Picture(name, data, rows))
    return pictures


def _from_picture(table: Path, cells: dict[str, str], where: str, plan: Plan) -> _Made:
    if not cells.get("labels", "").strip():
        return "unlabelled", "", where
    labels, unknown = read_labels(cells, where)
    path = table.parent / cells["file"]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    extra = {"page": "own", "layout": "", "patient": patient_of_line(cells) or cells["file"]}
    known = known_of_labels(labels, unknown, age_of(cells.get("age", "")))
    return [_Picture(_file_name(cells["file"]), data, _rows(known, cells["file"], extra, plan))]


def _rows(known: Known, key: str, extra: dict, plan: Plan) -> tuple[Row, ...]:
    rng = Random(f"{plan.seed}:{key}")
    labels = sorted(set(known.evidence.findings) - known.open)
    rows = []
    for i, qa in enumerate(ask(known, rng, plan.count, plan.kinds)):
        subtask, form, _ = ROW_KINDS[qa.kind]
        metadata = {"subtask": subtask, "type": form, "kind": qa.kind, **extra}
        metadata |= {"labels": labels, "unknown": sorted(known.open)}
        rows.append(Row(f"{key}-{i}", None, ((qa.question, qa.answer),), metadata, plan.source))
    return tuple(rows)


def print_leaf(record: Record, key: str, kind: str, plan: Plan) -> tuple[str, bytes, PageTruth]:
    """The record printed: file name, bytes of the picture (PNG if clean, else JPEG), how it is laid out."""
    rng = page_rng(plan.seed, kind, key)
    layout = plan.layout
    if plan.wide and layout is None:
        layout = str(rng.choice(_WIDE))
    style = random_style(rng, layout=layout, width_px=plan.width)
    page = print_page(record, kind, rng, _widened(style) if plan.wide else style)
    name, data = leaf_file(key, kind, fit(page.image, plan.width) if plan.wide else page.image)
    return name, data, page.truth


def leaf_file(key: str, kind: str, image: np.ndarray) -> tuple[str, bytes]:
    """File name and bytes of a printed page [H, W, 3] uint8 RGB: PNG if clean, else JPEG."""
    import cv2

    name = f"{_file_name(key)}-{kind}.{'png' if kind == 'clean' else 'jpg'}"
    ok, data = cv2.imencode(Path(name).suffix, np.ascontiguousarray(image[..., ::-1]))
    assert ok
    return name, data.tobytes()


def _file_name(key: str) -> str:
    """A name without folders, another one for every key: a/b_c and a_b/c are two records."""
    flat = key.replace("/", "_").replace("\\", "_")
    return flat if flat == key else f"{hashlib.sha256(key.encode()).hexdigest()[:6]}_{flat}"


def _widened(style: PageStyle) -> PageStyle:
    """The style on paper half as high as it is wide."""
    height = style.width / 2
    header = min(style.header, 0.18 * height)
    return replace(
        style,
        height=height,
        header=header,
        footer=min(style.footer, 8.0),
        grid_box=None,
        template=style.template if style.template in ("scale", "title", "none") else "report",
    )


class _JsonWriter:
    """`instruct.json` (or the part's name), one row a line, and `images/`, which parts share."""

    before, between, end, ending = "[\n", ",\n", "\n]\n", ".json"

    def __init__(self, folder: Path, part: str):
        self.folder = folder
        (folder / "images").mkdir(exist_ok=True)
        self.file = (folder / f"{part or 'instruct'}{self.ending}").open("w", encoding="utf-8")
        self.rows = 0

    def add(self, picture: _Picture) -> None:
        (self.folder / "images" / picture.name).write_bytes(picture.data)
        for row in picture.rows:
            line = json.dumps(self.line(row, f"images/{picture.name}"), ensure_ascii=False)
            self.file.write(f"{self.between if self.rows else self.before}{line}")
            self.rows += 1

    def line(self, row: Row, image: str) -> dict:
        return row.to_dict(image)

    def close(self) -> int:
        """How many rows were written."""
        self.file.write(self.end)
        self.file.close()
        return self.rows


class _MessagesWriter(_JsonWriter):
    """`instruct.jsonl`: messages and images, the form of chat data that TRL's SFTTrainer and others read."""

    before, between, end, ending = "", "\n", "\n", ".jsonl"

    def line(self, row: Row, image: str) -> dict:
        return row.to_messages([image])


class _ParquetWriter:
    """`data/train-*.parquet` (or the part's name), pictures inside, typed so that `datasets` shows them."""

    texts = ("subtask", "type", "kind", "page", "layout", "patient")  # of the metadata

    def __init__(self, folder: Path, part: str):
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise UsageError("Parquet needs: pip install 'ecgvlm[train]'") from None
        self.pa, self.pq = pa, pq
        self.folder, self.part = folder / "data", part or "train"
        self.folder.mkdir(exist_ok=True)
        self.rows: list[dict] = []
        self.written = 0
        self.bytes = 0
        self.shards = 0
        text, texts = pa.string(), pa.list_(pa.string())
        metadata = pa.struct([*((name, text) for name in self.texts), ("labels", texts), ("unknown", texts)])
        self.schema = pa.schema(
            [
                ("id", text),
                ("image", pa.struct([("bytes", pa.binary()), ("path", text)])),
                ("conversations", pa.list_(pa.struct([("from", text), ("value", text)]))),
                ("metadata", metadata),
                ("source", text),
            ],
            metadata={"huggingface": json.dumps({"info": {"features": self._features()}})},
        )

    def _features(self) -> dict:
        text = {"dtype": "string", "_type": "Value"}
        texts = {"feature": text, "_type": "List"}
        return {
            "id": text,
            "image": {"_type": "Image"},
            "conversations": {"feature": {"from": text, "value": text}, "_type": "List"},
            "metadata": {**dict.fromkeys(self.texts, text), "labels": texts, "unknown": texts},
            "source": text,
        }

    def add(self, picture: _Picture) -> None:
        image = {"bytes": picture.data, "path": picture.name}
        self.rows += [row.to_dict(image) for row in picture.rows]
        self.bytes += len(picture.data) * len(picture.rows)
        if self.bytes >= _SHARD:
            self._write()

    def _write(self) -> None:
        table = self.pa.Table.from_pylist(self.rows, schema=self.schema)
        self.pq.write_table(table, self.folder / f"{self.part}-{self.shards}", row_group_size=100)
        self.shards += 1
        self.written += len(self.rows)
        self.rows, self.bytes = [], 0

    def close(self) -> int:
        """How many rows were written."""
        if self.rows:
            self._write()
        for i in range(self.shards):
            name = f"{self.part}-{i:05d}-of-{self.shards:05d}.parquet"
            (self.folder / f"{self.part}-{i}").rename(self.folder / name)
        return self.written


_WRITERS: dict[str, type[_JsonWriter] | type[_ParquetWriter]] = {
    "json": _JsonWriter, "messages": _MessagesWriter, "parquet": _ParquetWriter,
}  # fmt: skip
