"""The `ecgvlm` command. Heavy imports stay inside the commands: a cold start takes a second or two."""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

T = TypeVar("T")

# Nothing here multiplies large matrices, and a process without threads forks in no time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Sub-commands with a Typer app of their own, imported when they are called.
SUBCOMMANDS = {
    "bench": ("ecgvlm.bench.cli", "Run, score and compare systems on ECGBench."),
    "instruct": ("ecgvlm.instruct.cli", "Build instruction data from labelled records."),
    "train": ("ecgvlm.train.cli", "Fine-tune models on ECG pages; draw their curves."),
    "store": ("ecgvlm.serve.cli", "What `ecgvlm serve --store` has kept."),
}


class _Group(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *SUBCOMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in SUBCOMMANDS:
            return super().get_command(ctx, cmd_name)
        module, summary = SUBCOMMANDS[cmd_name]
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name, command.help = cmd_name, command.help or summary
        return command


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Layout(StrEnum):
    three_by_four = "3x4"
    three_by_four_rhythm = "3x4+1R"
    three_by_four_three = "3x4+3R"
    six_by_two = "6x2"
    six_by_two_rhythm = "6x2+1R"
    twelve_by_one = "12x1"


class Speed(StrEnum):
    slow = "25"
    fast = "50"


class Gain(StrEnum):
    half = "5"
    standard = "10"
    double = "20"


class Degrade(StrEnum):
    none = "none"
    scan = "scan"
    photo = "photo"


class Criteria(StrEnum):
    definitions = "definitions"
    code15 = "code15"
    ptbxl = "ptbxl"


Seed = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]


def _show_version(asked: bool) -> None:
    if asked:
        import ecgvlm

        print(f"ecgvlm {ecgvlm.__version__}")
        raise typer.Exit


@app.callback()
def ecgvlm_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it and exit.")
    ] = False,
) -> None:
    """Reads pictures of 12-lead ECGs and answers questions about them. Not a medical device."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names need not be text in any encoding
            stream.reconfigure(errors="backslashreplace")


@app.command()
def read(
    images: Annotated[
        list[Path], typer.Argument(help="Pictures (or PDF pages) of 12-lead ECGs.", show_default=False)
    ],
    question: Annotated[
        str | None, typer.Option("--question", "-q", help="What to ask about each page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line instead of text.")] = False,
    overlay: Annotated[
        Path | None,
        typer.Option(help="Draw what was found on the page; a folder where there are several images."),
    ] = None,
    sensitivity: Annotated[
        float | None,
        typer.Option(
            min=0.5,
            max=0.99,
            help="Share of the pages with a finding on which it is to be called; the higher, the more "
            "false alarms. Without it, the best F1.",
            show_default=False,
        ),
    ] = None,
    criteria: Annotated[
        Criteria, typer.Option(help="Working point: textbook definitions, or the labels of a data set.")
    ] = Criteria.definitions,
) -> None:
    """Read ECG pages: NORMAL or ABNORMAL, rhythm, findings, measurements, report, an answer to a question."""
    from ecgvlm.errors import EcgError
    from ecgvlm.files.image import write_image
    from ecgvlm.show.terminal import show
    from ecgvlm.worker import Wanted, read_files

    place = None if overlay is None else _overlay_places(overlay, images)
    failed = False
    pages = read_files(images, Wanted(question, sensitivity, criteria.value, overlay=place is not None))
    for read in pages if as_json else _tracked(pages, len(images)):
        failed |= read.answer.error is not None
        if as_json:
            print(json.dumps(read.answer.to_dict()), flush=True)
        else:
            show(read.answer, asked=question is not None)
        if place is not None and read.overlay is not None:
            try:
                write_image(place(read.page), read.overlay)
            except EcgError as error:  # the other images are still to be read
                failed = True
                print(f"ecgvlm: {error.message}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _tracked(items: Iterable[T], total: int) -> Iterable[T]:
    """With a bar of progress where a person watches several."""
    if total == 1 or not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, "Reading", total, console=Console(stderr=True))


def _overlay_places(overlay: Path, images: list[Path]) -> Callable[[str], Path]:
    """Where the overlay of each page goes: no two pages to the same place, and none over a picture."""
    from ecgvlm.errors import unreadable

    folder = overlay.is_dir() or len(images) > 1
    if folder:
        try:
            overlay.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unreadable(overlay, f"cannot be the overlays' folder ({error.strerror})") from error
    taken = {image.resolve() for image in images}

    def place(page: str) -> Path:
        wanted = overlay / f"{Path(page).stem}.overlay.png" if folder else overlay
        numbered = (wanted.with_stem(f"{wanted.stem}-{n}") for n in count(2))
        free = next(path for path in chain([wanted], numbered) if path.resolve() not in taken)
        taken.add(free.resolve())
        return free

    return place


@app.command()
def digitize(
    image: Annotated[Path, typer.Argument(help="Picture of a 12-lead ECG.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV: time_s, then the twelve leads in mV.")],
) -> None:
    """Turn the traces on a page (of several, the first) into twelve leads in mV; a record is copied as it
    is."""
    from ecgvlm.digitize import Digitizer
    from ecgvlm.errors import UsageError
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.files.csv import write_csv
    from ecgvlm.record import Record

    if output.resolve() == image.resolve():
        raise UsageError(f"{output}: is the picture itself; name another file for the leads")
    with BoundedDecoder() as decoder:
        content = decoder.open(image)[0].load()
    if isinstance(content, Record):
        write_csv(content, output)
        print(f"{output}: {content.seconds:g} s at {content.fs:g} Hz, copied from a record")
        return
    page = Digitizer()(content)
    fs = 500.0
    write_csv(Record(page.leads(fs), fs, source=str(image)), output)
    scale = f"{page.mm_per_s:g} mm/s, {page.mm_per_mv:g} mm/mV"
    print(f"{output}: {page.layout} page, {scale}, quality {page.quality:.0%}")


@app.command()
def render(
    record: Annotated[
        str,
        typer.Argument(
            help="WFDB record (no ending), CODE-15 file.hdf5:INDEX, DICOM, XML, SCP, EDF, CSV ..."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG (or JPEG) to write.")],
    layout: Annotated[
        Layout, typer.Option(help="How the leads stand on the page.")
    ] = Layout.three_by_four_rhythm,
    speed: Annotated[Speed, typer.Option(help="Paper speed in mm/s.")] = Speed.slow,
    gain: Annotated[Gain, typer.Option(help="Gain in mm/mV.")] = Gain.standard,
    degrade: Annotated[Degrade, typer.Option(help="Make it look scanned or photographed.")] = Degrade.none,
    style: Annotated[
        str, typer.Option(help="Look of the page: classic, edan, ge, philips, schiller ...")
    ] = "classic",
    seed: Seed = 0,
) -> None:
    """Print a record as an ECG page."""
    import numpy as np

    from ecgvlm.files.image import read_record, write_image
    from ecgvlm.paper.print import print_page
    from ecgvlm.paper.style import page_style

    look = page_style(style, layout=layout.value, mm_per_s=float(speed.value), mm_per_mv=float(gain.value))
    kind = "clean" if degrade is Degrade.none else degrade.value
    page = print_page(read_record(record), kind, np.random.default_rng(seed), look)
    write_image(output, page.image)


@app.command()
def simulate(
    condition: Annotated[
        str, typer.Argument(help="normal, af, flutter, rbbb, lbbb, pvc ... (wrong names list all)")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV to write, as `digitize` writes it.")],
    seed: Seed = 0,
) -> None:
    """Simulate a 10-s 12-lead ECG with a condition."""
    import numpy as np

    from ecgvlm.errors import UsageError
    from ecgvlm.files.csv import write_csv
    from ecgvlm.simulate import CONDITIONS, random_simulation
    from ecgvlm.simulate import simulate as simulated

    if condition not in CONDITIONS:
        raise UsageError(f"condition {condition!r} is unknown; choose from {', '.join(CONDITIONS)}")
    record, _ = simulated(random_simulation(np.random.default_rng(seed), condition), seed)
    write_csv(record, output)


@app.command()
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


@app.command()
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


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(help="The earlier ECG of a patient.")],
    new: Annotated[Path, typer.Argument(help="The later one.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Say what changed between two ECGs of one patient, beyond the error of measuring."""
    from ecgvlm.errors import EcgError
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.reader import Reader
    from ecgvlm.words.compare import compare as compared
    from ecgvlm.words.compare import described

    try:
        with BoundedDecoder() as decoder:
            pages = [decoder.open(file)[0].load() for file in (old, new)]
        reader = Reader()
        found = compared(*(reader.look(page, str(file)).evidence for page, file in zip(pages, (old, new))))
    except EcgError as error:
        if not as_json:
            raise
        print(json.dumps({"ok": False, "error": {"code": error.code, "message": error.message}}))
        raise typer.Exit(1) from None
    text = described(found)
    if as_json:
        print(json.dumps({"ok": True, "old": str(old), "new": str(new), "text": text, **found.to_dict()}))
    else:
        print(text)


@app.command()
def chat(image: Annotated[Path, typer.Argument(help="Picture or record of a 12-lead ECG.")]) -> None:
    """Answer questions about one page: one a line on standard input, an answer a line."""
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.reader import Reader
    from ecgvlm.show.plain import plain
    from ecgvlm.words.dialogue import Conversation

    with BoundedDecoder() as decoder:
        page = decoder.open(image)[0].load()
    reader, said = Reader(), Conversation()
    evidence = reader.look(page, str(image)).evidence
    for line in sys.stdin:
        if question := line.strip():
            answer, said = reader.words.converse(evidence, question, said)
            print(plain(" ".join(answer.split())), flush=True)


@app.command()
def watch(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Folder that ECGs are put into.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the answers, NAME.json each.")],
    question: Annotated[
        str | None, typer.Option("--question", "-q", help="What to ask about each page.")
    ] = None,
) -> None:
    """Read every file that is put into a folder, until Ctrl-C."""
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.reader import Reader
    from ecgvlm.show.plain import plain
    from ecgvlm.watch import watch as watched

    with BoundedDecoder() as decoder:
        for path, good in watched(source, output, Reader(), decoder, question):
            print(f"{plain(str(path))}: {'read' if good else 'not readable, or not all of it'}", flush=True)


@app.command()
def mcp() -> None:
    """Serve assistants over the Model Context Protocol, on standard input and output."""
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.mcp import Server
    from ecgvlm.reader import Reader

    with BoundedDecoder() as decoder:
        for answer in Server(Reader(), decoder).serve(sys.stdin):
            print(answer, flush=True)


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a training run, or one of its checkpoints.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    bf16: Annotated[bool, typer.Option("--bf16", help="A transformers folder of half the size.")] = False,
) -> None:
    """Write a trained model as users load it: ONNX for ours, a transformers folder for SmolVLM."""
    from ecgvlm.train.cli import needs_training_packages

    needs_training_packages()
    from ecgvlm.train.export import export as exported

    for path in exported(checkpoint, output, bf16):
        print(path)


def _fail(message: str, status: int = 1) -> NoReturn:
    from ecgvlm.show.plain import plain

    print(f"ecgvlm: {plain(message)}", file=sys.stderr)
    sys.exit(status)


def main() -> None:
    from ecgvlm.errors import EcgError, UsageError

    try:
        app()
    except EcgError as error:
        _fail(error.message)
    except UsageError as error:
        _fail(str(error), 2)
    except OSError as error:  # a full or read-only disk, wherever it is noticed
        _fail(f"{error.filename or 'writing'}: {error.strerror or error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
