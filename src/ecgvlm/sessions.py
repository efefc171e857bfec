"""The shipped nets: the one place where their files are read, checked and opened in ONNX Runtime.

A folder of model files holds `SHA256SUMS` (as `sha256sum` writes it), which `seal` makes. What does not agree
with it is not used, and `fingerprint` names the whole of it in every answer. `python -m ecgvlm.sessions`
seals the package's folder, or one that is named. A folder of one's own may be unsealed, the package's not.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ecgvlm.atomic import write_file
from ecgvlm.errors import EcgError, unreadable

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SHIPPED = Path(str(files("ecgvlm").joinpath("data")))
SUMS = "SHA256SUMS"
_SEALED = ("*.onnx", "*.json", "*.bin")


def read_model_file(name: str, folder: Path | None = None) -> bytes:
    """A file of a model's folder, by default the package's own. Raises EcgError where it is missing or is not
    the file that the folder was sealed with."""
    return _model_file(name, folder).read_bytes()


def open_session(
    name: str, folder: Path | None = None, threads: int = 1, as_is: bool = False
) -> InferenceSession:
    """An ONNX Runtime session on the CPU of a model's file. Raises EcgError where it cannot be used.

    as_is: whether its graph is run as it was written: to optimise a large one takes longer than it saves.
    """
    return _opened(_model_file(name, folder), threads, as_is)


def open_aside(
    name: str, folder: Path | None = None, threads: int = 1, as_is: bool = False
) -> Callable[[], InferenceSession]:
    """`open_session` in a thread of its own: what is returned waits for it. Raises EcgError at once where the
    file is missing or damaged."""
    path = _model_file(name, folder)
    aside = ThreadPoolExecutor(1)
    opening = aside.submit(_opened, path, threads, as_is)
    aside.shutdown(wait=False)
    return opening.result


def check_shipped() -> None:
    """Raises EcgError where a file of the package's own model is missing or damaged: before what goes on for
    long or in several processes, which would find it out page by page."""
    for name in _sums(SHIPPED) or ():
        _model_file(name, None)


def _model_file(name: str, folder: Path | None) -> Path:
    """Where a file lies that is what the folder was sealed with."""
    return _checked((folder or SHIPPED) / name)


@cache
def _checked(path: Path) -> Path:
    """The path, of which the file was looked at once: to do so takes a millisecond a megabyte."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, f"a file of the model cannot be read ({error.strerror or error})") from error
    sums = _sums(path.parent)
    if sums is not None and sums.get(path.name) != digest:
        raise unreadable(
            path, f"this file of the model is damaged or was changed: {SUMS} says otherwise; install it again"
        )
    return path


def _opened(path: Path, threads: int, as_is: bool) -> InferenceSession:
    import onnxruntime  # takes longer to import than most commands run

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait for the next product in a loop take the core from what runs between the nets.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if as_is:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        # By its path: of bytes it would keep a copy.
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own kinds, all of them plain Exceptions
        raise unreadable(path, f"not a model that ONNX Runtime can open ({error})") from error


@cache
def fingerprint(folder: Path | None = None) -> str:
    """Eight hexadecimal digits that change with any byte of the model: the files of its folder, and the
    package's own where it has none of that name."""
    sums = _sums_of(SHIPPED) | ({} if folder is None else _sums_of(folder))
    return _digest("".join(f"{digest} {name}\n" for name, digest in sorted(sums.items())).encode())[:8]


def seal(folder: Path) -> None:
    """Writes `SHA256SUMS` of the model files in a folder."""
    lines = [f"{digest}  {name}\n" for name, digest in sorted(_measured(folder).items())]
    write_file(folder / SUMS, "".join(lines).encode())


def _sums_of(folder: Path) -> dict[str, str]:
    """Model file -> SHA-256, as the folder was sealed or, where it was not, as its files are."""
    sums = _sums(folder)
    return _measured(folder) if sums is None else sums


@cache
def _sums(folder: Path) -> dict[str, str] | None:
    """Model file -> SHA-256 that the folder was sealed with, None where it never was."""
    try:
        lines = (folder / SUMS).read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and folder != SHIPPED:
            return None
        cause = getattr(error, "strerror", None) or error
        raise unreadable(folder / SUMS, f"a file of the model cannot be read ({cause})") from error
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _measured(folder: Path) -> dict[str, str]:
    return {path.name: _digest(path.read_bytes()) for pattern in _SEALED for path in folder.glob(pattern)}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    try:
        seal(Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED)
    except EcgError as error:
        sys.exit(f"ecgvlm: {error.message}")
