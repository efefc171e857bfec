"""Files that are whole or not there: written beside their place, then renamed. Folders for one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ecgvlm.errors import UsageError, unwritable


@contextmanager
def beside(path: str | Path) -> Iterator[Path]:
    """Where to write a file, beside its place; it is renamed to that when the block ends without an error."""
    place = Path(path).resolve()  # a link goes on pointing to it
    part = place.with_name(place.name + ".part")
    try:
        yield part
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)


def write_file(path: str | Path, data: bytes) -> None:
    """Writes a file beside its place, then renames it; a pipe is written to. EcgError where it cannot."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        with beside(path) as part:
            part.write_bytes(data)
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps a folder, made where it is not there, for this process; however that ends, it is free again.

    Raises UsageError where another process has it, EcgError where it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise unwritable(folder, error) from error
    with lock:
        with suppress(ImportError):  # Windows has no such locks
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"{folder}: another process is at work there") from None
        yield
