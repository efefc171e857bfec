"""Commands that go on: the server, batches, a watched folder, an assistant's tools."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.reader import Reader


def serve(
    host: Annotated[
        str, typer.Option(help="Address; any but this machine's own needs --keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 8000,
    keys: Annotated[
        Path | None, typer.Option(help="File of API keys; asks for one in every request.")
    ] = None,
    new_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a key, add its hash to --keys, print it and end.")
    ] = None,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Keep what is read: sqlite:///FILE or postgresql://...")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Delete what is older than so many days.")] = None,
    redact: Annotated[bool, typer.Option(help="Keep of a page only its leads: no names, no dates.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Pages read at a time; by default one a core.")
    ] = None,
) -> None:
    """Serve the web page and the HTTP API."""
    from ecgvlm.errors import UsageError

    try:
        from ecgvlm.serve.access import add_key
        from ecgvlm.serve.run import run
    except ImportError as error:
        raise UsageError(f'serving needs more packages: pip install "ecgvlm[serve]" ({error})') from error
    if new_key is not None:
        if keys is None:
            raise UsageError("--new-key needs --keys FILE")
        print(add_key(keys, new_key))
        return
    run(host, port, keys, store, days, redact, workers)


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT", help="Folder, glob, ZIP, Parquet file, or fsspec URL of one.", show_default=False
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="Folder or URL for the Parquet parts; called again, only what is missing is read.",
        ),
    ],
    question: Annotated[
        str | None, typer.Option("--question", "-q", help="What to ask about each page.")
    ] = None,
    column: Annotated[
        str, typer.Option(help="Column of a Parquet input with pictures or their paths.")
    ] = "image",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Pages read at once; without it, one a core.", show_default=False),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster: auto, or host:6379; without it, this machine.", show_default=False),
    ] = None,
) -> None:
    """Read thousands to millions of pages into a Parquet table: one row an input, errors too. Resumable."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from ecgvlm.errors import UsageError

    try:
        from ecgvlm.batch import Progress, read_batch
    except ImportError as error:
        raise UsageError(f"batches need {error.name}: pip install 'ecgvlm[batch]'") from error

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,}/{task.total:,} pages, {task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        line = bar.add_task("", total=0, note="starting")

        def report(p: Progress) -> None:
            note = f"{p.failed:,} not readable, {p.pages_per_second:.1f} a second"
            bar.update(line, completed=p.done, total=p.total, note=note)

        done = read_batch(source, output, question, column, workers, address, report=report)
    print(
        f"{output}: {done.total:,} rows, {done.failed:,} of them not readable; {done.kept:,} from before, "
        f"{done.done - done.kept:,} read now at {done.pages_per_second:.1f} a second"
    )
    if done.passed_over:
        some = ", ".join(done.passed_over[:5]) + (" ..." if len(done.passed_over) > 5 else "")
        print(f"{len(done.passed_over):,} files were passed over, neither picture nor record: {some}")


def watch(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Folder that ECGs are put into.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the answers, NAME.json each.")],
    question: Annotated[
        str | None, typer.Option("--question", "-q", help="What to ask about each page.")
    ] = None,
) -> None:
    """Read every file that is put into a folder, until Ctrl-C."""
    from ecgvlm.show.plain import plain
    from ecgvlm.watch import watch as watched

    with _reader() as (reader, decoder):
        for path, problem in watched(source, output, reader, decoder, question):
            why = problem.removeprefix(f"{path}: ") or "read"
            print(plain(f"{path}: {why}"), flush=True)


def mcp() -> None:
    """Serve assistants over the Model Context Protocol, on standard input and output."""
    from ecgvlm.mcp import Server

    with _reader() as (reader, decoder):
        for answer in Server(reader, decoder).serve(sys.stdin):
            print(answer, flush=True)


@contextmanager
def _reader() -> Iterator[tuple[Reader, BoundedDecoder]]:
    """A reader for what goes on, every file of whose model was looked at, and a decoder for what comes."""
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.reader import Reader
    from ecgvlm.sessions import check_shipped

    check_shipped()
    with BoundedDecoder() as decoder:
        yield Reader(), decoder
