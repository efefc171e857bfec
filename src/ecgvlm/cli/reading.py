"""Commands that read pages: one or several, compared, talked about, turned into leads."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from ecgvlm.judge.evidence import Evidence
    from ecgvlm.reader import Seen

T = TypeVar("T")


Spoken = Annotated[
    str | None, typer.Option(help="Of what is said: en, de, fr, es, pt, it, nl, pl, ru, tr, zh, hi or ar.")
]


class Criteria(StrEnum):
    definitions = "definitions"
    code15 = "code15"
    ptbxl = "ptbxl"


def read(
    images: Annotated[
        list[Path], typer.Argument(help="Pictures, PDFs or records of 12-lead ECGs.", show_default=False)
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
    language: Spoken = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of `ecgvlm export`; else the model that ships.")
    ] = None,
) -> None:
    """Read ECG pages: NORMAL or ABNORMAL, rhythm, findings, measurements, report, an answer to a question."""
    from ecgvlm.errors import EcgError
    from ecgvlm.files.image import write_image
    from ecgvlm.worker import Wanted, read_files

    _check(language)
    place = None if overlay is None else _overlay_places(overlay, images)
    failed = False
    spoken = language or _language_here()
    wanted = Wanted(question, sensitivity, criteria.value, place is not None, language, spoken)
    pages = read_files(images, wanted, model)
    for read in pages if as_json else _tracked(pages, len(images)):
        failed |= read.answer.error is not None
        if as_json:
            print(json.dumps(read.answer.to_dict()), flush=True)
        else:
            from ecgvlm.show.terminal import show  # with tables, which the JSON does not need
            from ecgvlm.words.phrases import words

            for answer in (read.answer, *read.answer.others):
                show(answer, question is not None, words(language or "en"))
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


def digitize(
    image: Annotated[Path, typer.Argument(help="Picture of a 12-lead ECG.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="CSV: time_s, then the twelve leads in mV; .dcm: DICOM; .zip: WFDB."
        ),
    ],
) -> None:
    """Turn the traces on a page (of several, the first with an ECG) into leads in mV; a record is copied.

    Where a picture shows several ECGs, those after the first go to OUT-2.csv and so on.
    """
    from ecgvlm.atomic import write_file
    from ecgvlm.digitize import FS, Digitizer
    from ecgvlm.errors import UsageError
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.record import Record
    from ecgvlm.sheets import first_ecg
    from ecgvlm.show.reports import lead_writer

    if output.resolve() == image.resolve():
        raise UsageError(f"{output}: is the picture itself; name another file for the leads")
    write = lead_writer(output)
    with BoundedDecoder() as decoder:
        content, page = first_ecg(decoder.open(image), Digitizer())
    if isinstance(content, Record):
        write_file(output, write(content))
        print(f"{output}: {content.seconds:g} s at {content.fs:g} Hz, copied from a record")
        return
    assert page is not None
    for n, one in enumerate((page, *page.others), 1):
        place = output if n == 1 else output.with_stem(f"{output.stem}-{n}")
        write_file(place, write(Record(one.leads(FS), FS, source=str(image))))
        scale = f"{one.mm_per_s:g} mm/s, {one.mm_per_mv:g} mm/mV"
        print(f"{place}: {one.layout} page, {scale}, quality {one.quality:.0%}")


def compare(
    old: Annotated[Path, typer.Argument(help="The earlier ECG of a patient.")],
    new: Annotated[Path, typer.Argument(help="The later one.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
    language: Spoken = None,
) -> None:
    """Say what changed between two ECGs of one patient, beyond the error of measuring."""
    from ecgvlm.errors import EcgError
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.reader import Reader
    from ecgvlm.words.compare import compare as compared
    from ecgvlm.words.compare import sentences
    from ecgvlm.words.phrases import words

    _check(language)
    w = words(language or "en")
    try:
        with BoundedDecoder() as decoder:
            reader = Reader()
            found = compared(*(_ecg(reader.look(decoder.open(file), str(file)), file) for file in (old, new)))
    except EcgError as error:
        if not as_json:
            raise
        print(json.dumps({"ok": False, "error": {"code": error.code, "message": error.message}}))
        raise typer.Exit(1) from None
    said = sentences(found, w)
    if as_json:
        text = w.text(said)
        print(json.dumps({"ok": True, "old": str(old), "new": str(new), "text": text, **found.to_dict()}))
    else:
        print("\n".join(said))


def chat(
    image: Annotated[Path, typer.Argument(help="Picture or record of a 12-lead ECG.")],
    earlier: Annotated[
        Path | None, typer.Option(help="An earlier ECG of the same patient, to be asked what changed.")
    ] = None,
    ecg: Annotated[int, typer.Option(min=1, help="Of a picture with several ECGs: which.")] = 1,
) -> None:
    """Answer questions about one page: one a line on standard input, an answer a line."""
    from ecgvlm.files.bounded import BoundedDecoder
    from ecgvlm.reader import Reader
    from ecgvlm.show.plain import plain
    from ecgvlm.words.dialogue import Conversation

    with BoundedDecoder() as decoder:
        reader = Reader()
        evidence = _ecg(reader.look(decoder.open(image), str(image)), image, ecg)
        before = None
        if earlier is not None:
            before = _ecg(reader.look(decoder.open(earlier), str(earlier)), earlier)
    said = Conversation(language=_language_here(), earlier=before)
    for line in _asked():
        if question := line.strip():
            answer, said = reader.words.converse(evidence, question, said)
            print(plain(" ".join(answer.split())), flush=True)


def _language_here() -> str:
    """The language that the terminal is in, where it is one of ours: that of a question that several write
    alike ("FC?")."""
    from ecgvlm.words.phrases import LANGUAGES

    told = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return told[:2] if told[:2] in LANGUAGES else "en"


def _ecg(seen: Seen, file: Path, number: int = 1) -> Evidence:
    """The ECG of this number on a picture; which of several it is, is said. Raises EcgError where there is
    none."""
    from ecgvlm.errors import EcgError

    found = (seen, *seen.others)
    if number > len(found):
        raise EcgError("not_an_ecg", f"{file}: it shows {len(found)}, there is no ECG {number}")
    if len(found) > 1:
        print(f"note: {file} shows {len(found)} ECGs; this is about ECG {number}", file=sys.stderr)
    return found[number - 1].evidence


def _asked() -> Iterable[str]:
    """The lines of standard input; who types them is told how and sees where."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    print("Ask about this ECG, a question a line; Ctrl-D ends.", file=sys.stderr)
    with contextlib.suppress(EOFError):
        while True:
            yield input("> ")


def _check(language: str | None) -> None:
    from ecgvlm.words.phrases import LANGUAGES

    if language is not None and language not in LANGUAGES:
        raise typer.BadParameter(f"{language!r} is none of {', '.join(LANGUAGES)}", param_hint="--language")
