"""Rows of instruction data in ECGInstruct's form, read from files, folders or the hub, one by one."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TextIO

from PIL import Image, UnidentifiedImageError

from ecgvlm.errors import EcgError, UsageError, unreadable
from ecgvlm.files.datasets import patient_in, patient_of, read_labels, read_lines, read_table
from ecgvlm.files.leads import age_of
from ecgvlm.instruct.records import ROW_KINDS, ask, known_of_labels
from ecgvlm.instruct.row import Row, row_from

JSON = (".json", ".jsonl")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".pdf")


def load_rows(
    source: str | Path,
    images: str | Path | None = None,
    configuration: str | None = None,
    split: str | None = None,
    skipped: list[str] | None = None,
    seed: int = 0,
    revision: str | None = None,
) -> Iterator[Row]:
    """The rows of an instruction data set or benchmark, streamed in their order.

    A row has one picture (`image`), several (a list, or `images`; an "<image>" for each) or none.

    source: as of `raw_rows`, or a folder (or its CSV file) of pictures of one's own (see `read_pictures`).
    images: where the pictures lie that rows name, the source's folder if not given. configuration, split,
    revision: as of `raw_rows`.
    skipped: takes the messages of rows whose text or picture is missing or damaged, which are then left out;
    without it the first one raises EcgError. A picture is opened, but not decoded to its end. seed: of the
    questions about a picture of one's own that has labels only.
    """
    if (table := _picture_table(Path(source))) is not None:
        yield from read_pictures(table, skipped, seed)
        return
    rows, root = raw_rows(source, configuration, split, revision)
    root = Path(images) if images is not None else root
    for number, raw in enumerate(rows):
        row = _checked(partial(_row, raw, root), f"{source}: row {number}", skipped)
        if row is not None:
            yield row


def raw_rows(
    source: str | Path,
    configuration: str | None = None,
    split: str | None = None,
    revision: str | None = None,
) -> tuple[Iterator[dict[str, Any]], Path]:
    """The rows as they are written, streamed, and the folder that their pictures are named from.

    source: a JSON list or JSONL file as ECGInstruct is published, a Parquet file, a folder holding these, or
    a hub name such as "PULSE-ECG/ECGInstruct". configuration, split, revision: of a hub data set or a folder
    laid out like one; the first split if not given, and "all" for one after the other. In a folder of JSON
    files a split is the file of that name. Raises UsageError where a folder holds several and none is named.
    """
    path = Path(source)
    if path.is_dir():
        path = _row_file(path, split) or path
    root = path if path.is_dir() else path.parent
    if path.suffix in JSON or (path.exists() and not path.is_dir() and path.suffix != ".parquet"):
        return _json(path), root
    return _arrow(str(source), path, configuration, split, revision), root


def _row_file(folder: Path, split: str | None) -> Path | None:
    """The JSON file of rows in a folder; None where it has none."""
    files = sorted(file for file in folder.iterdir() if file.suffix in JSON)
    named = [file for file in files if file.stem == split]
    if len(files) > 1 and len(named) != 1:
        names = ", ".join(file.name for file in files)
        raise UsageError(f"{folder} holds several files of rows ({names}): name one of them")
    return next(iter(named or files), None)


def _picture_table(path: Path) -> Path | None:
    """The CSV file of pictures of one's own that a source is, or that lies in it without rows beside it."""
    if path.is_dir() and not any(file.suffix in JSON for file in path.iterdir()):
        path = next(iter(sorted(path.glob("*.csv"))), path)
    return path if path.suffix == ".csv" and path.is_file() else None


def _checked(make: Callable[[], Row], where: str, skipped: list[str] | None) -> Row | None:
    try:
        row = make()
        for image in row.images:
            _check_picture(image)
        return row
    except EcgError as error:
        damage = EcgError(error.code, f"{where}: {error.message}")
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"no field {error}" if isinstance(error, KeyError) else str(error)
        damage = EcgError("unsupported_format", f"{where}: {what}")
    if skipped is None:
        raise damage
    skipped.append(damage.message)
    return None


def _row(raw: Mapping[str, Any], root: Path) -> Row:
    row, images = row_from(raw), pictures_of(raw, root)
    if not row.patient and (patient := _patient_named(raw)):
        row = replace(row, metadata={**row.metadata, "patient": patient})
    places = str(raw["conversations"]).count("<image>")
    if places and (not images or (len(images) > 1 and places != len(images))):
        raise ValueError(f"<image> stands {places} times for {len(images)} pictures")
    return replace(row, image=next(iter(images), None), more=tuple(images[1:]))


def _named_pictures(raw: Mapping[str, Any]) -> list[Any]:
    columns = (raw.get(name) for name in ("image", "images", "image_path"))
    given: Any = next((value for value in columns if value is not None and value != ""), [])
    return given if isinstance(given, list) else [given]


def pictures_of(raw: Mapping[str, Any], root: Path) -> list[Path | bytes]:
    """The pictures that a row names, from `root`, or has inside. Raises TypeError where it is neither."""
    return [_image(one, root) for one in _named_pictures(raw)]


def _image(given: Any, root: Path) -> Path | bytes:
    """A picture as rows name it: a path, its bytes, or an object with either."""
    if isinstance(given, Mapping):
        given = given["bytes"] if given.get("bytes") is not None else given["path"]
    if not isinstance(given, str | bytes):
        raise TypeError(f"a picture is a path, its bytes or an object with either, not {given!r}")
    return root / given if isinstance(given, str) else given


def _patient_named(raw: Mapping[str, Any]) -> str:
    """Who a row is about whose picture is inside it, by the path that stands beside the picture."""
    given = next(iter(_named_pictures(raw)), None)
    beside = given.get("path") if isinstance(given, Mapping) else None
    return patient_in(Path(str(beside or raw.get("image_path") or "")))


def ending_of(picture: bytes) -> str:
    """How a file of these bytes is to end, as ".png". Raises UnidentifiedImageError where they are none."""
    with Image.open(io.BytesIO(picture)) as image:
        return f".{(image.format or 'bin').lower()}"


def _check_picture(image: Path | bytes) -> None:
    if isinstance(image, Path) and image.suffix.lower() == ".pdf" and image.is_file():
        return
    name = image if isinstance(image, Path) else "picture"
    try:
        Image.open(io.BytesIO(image) if isinstance(image, bytes) else image).close()
    except UnidentifiedImageError:
        raise unreadable(name, "not a picture") from None
    except OSError as error:
        raise unreadable(name, error) from None


def _json(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list (or JSONL file), however long, without holding them all."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _objects(file)
    except _NotJson as error:
        raise EcgError("unsupported_format", f"{path}: not JSON ({error})") from None
    except OSError as error:
        raise unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise unreadable(path, "not UTF-8 text") from error


class _NotJson(Exception):
    """Says why."""


def _objects(file: TextIO) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list, or one after the other. Raises _NotJson."""
    decoder, text, start, opened = json.JSONDecoder(), "", 0, 0
    while True:
        while start < len(text) and text[start] in "[], \r\n\t":
            opened += (text[start] == "[") - (text[start] == "]")
            start += 1
        try:
            row, start = decoder.raw_decode(text, start)
        except RecursionError as error:
            raise _NotJson(error) from None
        except ValueError as error:
            more = file.read(1 << 20)
            if not more and start < len(text):
                raise _NotJson(error) from None
            if not more and opened:
                raise _NotJson("the list has no end") from None
            if not more:
                return
            text, start = text[start:] + more, 0
            continue
        yield row


def _arrow(
    source: str, path: Path, configuration: str | None, split: str | None, revision: str | None
) -> Iterator[dict[str, Any]]:
    """Rows through `datasets`, streamed, pictures in their original bytes."""
    try:
        import datasets
    except ImportError:
        raise UsageError("Parquet and the hub need: pip install 'ecgvlm[train]'") from None
    try:
        if path.suffix == ".parquet":
            found = datasets.load_dataset("parquet", data_files=source, streaming=True)
            split = None  # whatever the file is called, it is one
        else:
            if path.is_dir() and any(path.glob("*.parquet")):
                configuration = None  # the folder of one
            pinned = {"revision": revision} if revision else {}
            found = datasets.load_dataset(source, configuration, streaming=True, **pinned)
        for name in found if split == "all" else (split or next(iter(found)),):
            yield from _undecoded(found[name])
    except KeyError as error:
        raise EcgError("unsupported_format", f"{source}: no split {error}") from None
    except EcgError:
        raise
    except Exception as error:  # datasets raises whatever file system, hub or Arrow stumble on
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise unreadable(source, f"not a readable data set ({cause})") from error


def _undecoded(rows: Any) -> Any:
    """Rows of `datasets` with their pictures as they lie in the file."""
    import datasets

    raw = datasets.Image(decode=False)
    for column, feature in (rows.features or {}).items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(column, raw)
        elif isinstance(getattr(feature, "feature", None), datasets.Image):
            rows = rows.cast_column(column, datasets.List(raw))
    return rows


def is_picture_table(path: Path) -> bool:
    """Whether a file is a table of pictures (see `read_pictures`), not of records."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    return Path(next(read_lines(path), {}).get("file", "")).suffix.lower() in PICTURES


def read_pictures(table: Path, skipped: list[str] | None = None, seed: int = 0) -> Iterator[Row]:
    """Pictures of one's own: a CSV file with the columns file, and question and answer, or labels.

    file is relative to the table. Where a line has labels (and unknown) instead, as in
    `ecgvlm.files.datasets.read_own`, one question about them is drawn; `ecgvlm instruct build` draws more.
    """
    for line, cells in enumerate(read_table(table), start=2):
        where = f"{table}: line {line}"
        row = _checked(partial(_picture, table, cells, seed), where, skipped)
        if row is not None:
            yield row


def _picture(table: Path, cells: Mapping[str, str], seed: int) -> Row:
    key = cells.get("id") or cells["file"]
    image = table.parent / cells["file"]
    who = {"patient": patient} if (patient := patient_of(cells)) else {}
    if cells.get("question") and cells.get("answer"):
        return Row(key, image, ((cells["question"], cells["answer"]),), who, table.parent.name)
    if not cells.get("labels", "").strip():
        raise ValueError("neither question and answer, nor labels")
    labels, unknown = read_labels(cells, cells["file"])
    known = known_of_labels(labels, unknown, age_of(cells.get("age", "")))
    questions = ask(known, Random(f"{seed}:{key}"), 1)
    if not questions:
        raise ValueError("its labels leave nothing to ask about")
    (qa,) = questions
    metadata = {"subtask": ROW_KINDS[qa.kind][0], "type": ROW_KINDS[qa.kind][1], "kind": qa.kind, **who}
    return Row(key, image, ((qa.question, qa.answer),), metadata, table.parent.name)
