"""`ecgvlm instruct`: build a data set, show one."""

from __future__ import annotations

import itertools
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ecgvlm.instruct.build import Plan
from ecgvlm.instruct.records import ROW_KINDS
from ecgvlm.instruct.splits import DEFAULT_PARTS
from ecgvlm.paper.degrade import PAGE_KINDS

app = typer.Typer(no_args_is_help=True, add_completion=False)


class Format(StrEnum):
    json = "json"
    messages = "messages"
    parquet = "parquet"


@app.callback()
def instruct() -> None:
    """Instruction data in ECGInstruct's form: build from labelled records, show."""


@app.command()
def build(
    records: Annotated[
        Path,
        typer.Argument(
            help="Folder of PTB-XL, CODE-15%, CinC 2021 or MIMIC-IV-ECG, or a CSV table of your own."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")],
    form: Annotated[
        Format,
        typer.Option("--format", help="ECGInstruct's JSON, TRL's messages (JSON lines), or Parquet."),
    ] = Format.json,
    parts: Annotated[
        str | None,
        typer.Option(help="Parts without a patient in common: train=0.9,valid=0.1", show_default=False),
    ] = None,
    kinds: Annotated[str, typer.Option(help=f"Kinds of question: {', '.join(ROW_KINDS)}.")] = ",".join(
        ROW_KINDS
    ),
    questions: Annotated[int, typer.Option(min=1, help="Questions a page.")] = Plan.count,
    pages: Annotated[str, typer.Option(help="Page kinds, each record as each.")] = ",".join(PAGE_KINDS),
    layout: Annotated[str | None, typer.Option(help="One layout for all pages.")] = None,
    wide: Annotated[bool, typer.Option(help="2:1 pages, for SmolVLM's tiles.")] = False,
    width: Annotated[
        int, typer.Option(min=512, help="Width of a picture in px; with --wide 2048 or 1024.")
    ] = Plan.width,
    folds: Annotated[str | None, typer.Option(help="PTB-XL folds, separated by commas.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many records, drawn by seed.")] = None,
    skip_damaged: Annotated[bool, typer.Option(help="Leave missing and damaged files out.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; without it one a core, at most eight.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Everything random follows from it.")] = 0,
) -> None:
    """Make a data set: each record printed as pages, with questions that its labels and signal answer."""
    from rich.console import Console
    from rich.progress import Progress

    from ecgvlm.instruct.build import build as built
    from ecgvlm.instruct.splits import Parts, parse_folds
    from ecgvlm.machine import cores

    plan = Plan(tuple(kinds.split(",")), questions, tuple(pages.split(",")), layout, width, wide, seed)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        line = bar.add_task("Building", total=None)
        summary = built(
            records, out, plan, form.value, parse_folds(folds), limit, skip_damaged,
            workers or min(8, cores()), lambda done, total: bar.update(line, completed=done, total=total),
            Parts.parse(parts, seed) if parts else None,
        )  # fmt: skip
    for message in summary.damaged:
        print(f"skipped: {message}", file=sys.stderr)
    for message in summary.contradictory:
        print(f"left out: {message}", file=sys.stderr)
    print(f"{out}: {summary.rows} rows about {summary.pictures} pictures")
    print("  " + ", ".join(f"{kind} {n}" for kind, n in summary.kinds.most_common()))
    for n, what in (
        (len(summary.damaged), "damaged or missing, skipped"),
        (len(summary.contradictory), "left out, as label and measured heart rate contradict each other"),
        (summary.unlabelled, "left out, as they have no labels"),
    ):
        if n:
            print(f"  {n} records {what}")


@app.command()
def split(
    source: Annotated[Path, typer.Argument(help="Folder (or CSV table) of records, or a file of rows.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Table (of records) or folder (for rows) to write."),
    ],
    parts: Annotated[str, typer.Option(help="Names and shares of the patients.")] = DEFAULT_PARTS,
    images: Annotated[Path | None, typer.Option(help="Where the pictures lie that rows name.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the hash that puts a patient into a part.")] = 0,
) -> None:
    """Split a collection by patient: records to a table that recipes and bench build read, rows to files."""
    from ecgvlm.instruct.splits import Parts, is_rows, split_records, split_rows

    wanted = Parts.parse(parts, seed)
    if is_rows(source):
        counts = split_rows(source, out, wanted, images)
    else:
        counts = split_records(source, out, wanted)
    print(f"{out}: " + ", ".join(f"{name} {counts[name]:,}" for name in wanted.shares))
    for name in wanted.shares:
        if not counts[name]:
            said = f"part {name} is empty; give it a larger share, or another --seed"
            print(f"note: {said}", file=sys.stderr)


@app.command()
def show(
    source: Annotated[str, typer.Argument(help="JSON, Parquet, folder, CSV of pictures, or hub name.")],
    kind: Annotated[str | None, typer.Option(help="Only rows of this kind, subtask or type.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="So many rows.")] = 5,
    skip: Annotated[int, typer.Option(min=0, help="Rows to pass over first.")] = 0,
    images: Annotated[Path | None, typer.Option(help="Where the pictures lie that rows name.")] = None,
    configuration: Annotated[str | None, typer.Option(help="Of a hub data set, such as code15-test.")] = None,
    split: Annotated[str | None, typer.Option(help="Of a hub data set.")] = None,
    skip_damaged: Annotated[bool, typer.Option(help="Leave out rows without a readable picture.")] = False,
    open_images: Annotated[
        bool, typer.Option("--open", help="Open the pictures in the usual viewer.")
    ] = False,
) -> None:
    """Look at rows of a data set."""
    from rich.console import Console
    from rich.markup import escape
    from rich.panel import Panel

    from ecgvlm.instruct.rows import load_rows

    console = Console()
    skipped: list[str] | None = [] if skip_damaged else None
    rows = load_rows(source, images, configuration, split, skipped)
    wanted = (row for row in rows if kind is None or kind in row.metadata.values())
    shown = 0
    for row in itertools.islice(wanted, skip, skip + limit):
        shown += 1
        lines = []
        for question, answer in row.turns:
            lines += [f"[bold]{escape(question)}[/]", "", f"[green]{escape(answer)}[/]", ""]
        named = [f"{len(image)} bytes" if isinstance(image, bytes) else str(image) for image in row.images]
        picture = ", ".join(named) or "no picture"
        said = {k: ", ".join(v) if isinstance(v, list) else v for k, v in row.metadata.items() if v}
        notes = ["  ".join(f"{k}: {v}" for k, v in said.items()), f"{row.source}  {picture}".strip()]
        lines += [f"[dim]{escape(note)}[/]" for note in notes if note]
        console.print(Panel("\n".join(lines), title=escape(row.id), width=min(console.width, 110)))
        for image in row.images if open_images else ():
            typer.launch(str(_file(image, row.id)))
    if not shown:
        console.print("no rows" + (f" of kind {kind}" if kind else ""))
    for message in skipped or ():
        print(f"skipped: {message}", file=sys.stderr)


def _file(image: Path | bytes, name: str) -> Path:
    """A file to open: the picture's own, or one in the temporary folder."""
    if isinstance(image, Path):
        return image
    import tempfile

    from ecgvlm.instruct.rows import ending_of

    path = Path(tempfile.gettempdir()) / f"ecgvlm-{name.replace('/', '_')}{ending_of(image)}"
    path.write_bytes(image)
    return path
