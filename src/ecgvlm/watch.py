"""`ecgvlm watch IN OUT`: reads every file that is put into a folder, and writes its answer into another."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ecgvlm.atomic import write_file
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.bounded import BoundedDecoder
from ecgvlm.files.leaf import Leaf
from ecgvlm.reader import Answer, Reader

SECONDS = 1.0  # between two looks into the folder
_LONGEST = 240  # bytes of a file's name; file systems allow 255, ".json" and ".part" included
_SKIPPED = (".part", ".tmp", ".crdownload")  # not whole yet
_SIGNALS = (".dat", ".mat")  # of a WFDB record, beside its header


def watch(
    source: Path,
    out: Path,
    reader: Reader,
    decoder: BoundedDecoder,
    question: str | None = None,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[tuple[Path, str]]:
    """Each file that was read, and why a page of it could not be, "" where all could; goes on for ever.

    OUT/NAME.json holds the contract's objects of the file's pages, a list. A file is read once it has not
    changed between two looks, and again where it came, or was written, after its answer. A WFDB record's
    signals count as its header. Raises UsageError where a folder is missing.
    """
    if not source.is_dir():
        raise UsageError(f"{source}: no such folder")
    if source.resolve() == out.resolve():
        raise UsageError("answers need a folder of their own; name another one")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: cannot be made ({error.strerror or error})") from error
    before: dict[Path, tuple[int, int]] = {}
    while True:
        now = _sizes(source)
        for path, state in sorted(now.items()):
            answer = out / _answer_name(path.name)
            if before.get(path) == state and not _is_newer(answer, state):
                answers = read_all(path, reader, decoder, question)
                write_file(answer, (json.dumps(answers, indent=1) + "\n").encode())
                yield path, next((page["error"]["message"] for page in answers if not page["ok"]), "")
        before = now
        wait(SECONDS)


def read_all(path: Path, reader: Reader, decoder: BoundedDecoder, question: str | None) -> list[dict]:
    """The contract's object of every page of a file; of a file that cannot be opened, one with its error."""
    try:
        pages = decoder.open(path)
    except EcgError as error:
        return [Answer.failed(str(path), question, error).to_dict()]
    return [_read(page, reader, question).to_dict() for page in pages]


def _read(page: Leaf, reader: Reader, question: str | None) -> Answer:
    try:
        return reader.read(page, question)
    except Exception as error:  # a fault of ours on one page must not end the watch
        return Answer.failed(page.name, question, error)


def _answer_name(name: str) -> str:
    """NAME.json; of a name that leaves no room for it, the beginning and a hash of it all."""
    data = os.fsencode(name)
    if len(data) <= _LONGEST:
        return f"{name}.json"
    return f"{os.fsdecode(data[: _LONGEST - 9])}-{hashlib.sha256(data).hexdigest()[:8]}.json"


def _sizes(folder: Path) -> dict[Path, tuple[int, int]]:
    """Bytes and time of the last change of every regular file, in this place: a file that is moved here keeps
    its own time. Those that vanish meanwhile are left out.
    """
    found = {}
    for path in folder.iterdir():
        if path.name.startswith(".") or path.suffix.lower() in _SKIPPED:
            continue
        try:
            if path.is_file():
                status = path.stat()
                found[path] = (status.st_size, max(status.st_mtime_ns, status.st_ctime_ns))
        except OSError:
            continue
    for path in [path for path in found if path.suffix.lower() in _SIGNALS]:
        header = path.with_suffix(".hea")
        if header in found:
            size, changed = found.pop(path)
            found[header] = (found[header][0] + size, max(found[header][1], changed))
        elif path.suffix.lower() == ".dat":  # its header comes later
            del found[path]
    return found


def _is_newer(answer: Path, state: tuple[int, int]) -> bool:
    try:
        return answer.stat().st_mtime_ns >= state[1]
    except OSError:
        return False
