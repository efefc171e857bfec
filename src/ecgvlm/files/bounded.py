"""The one way to open files of unknown origin: in a process of its own, bounded in memory and time.

What a file does to its decoder, it does to that process: another one takes its place, and the file gets
its error.
"""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.leaf import Leaf, Loaded
from ecgvlm.memory import keep_freed_memory
from ecgvlm.processes import computed_too_long, cpu_bound, quick_context, receive, send

MEMORY = 1_500_000_000  # bytes that a decoder may take beside its code
SECONDS = 30.0  # that opening a file, or decoding a page of it, may take
CPU_SECONDS = 15.0  # of computing in it: a few hundred bytes must not keep a process busy for long
_PR_SET_PDEATHSIG = 1


class BoundedDecoder:
    """A process that opens files and decodes their pages, one at a time, for one thread."""

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY, computing: float = CPU_SECONDS):
        self._seconds, self._memory, self._computing = seconds, memory, computing
        self._held: tuple[str | Path | bytes, str | None] | None = None
        self._start()

    def open(self, source: str | Path | bytes, name: str | None = None) -> list[Leaf]:
        """All pages in a file, as `ecgvlm.files.image.open_pages` gives them; their load uses this
        process."""
        names = self._ask((source, name), name or (source if not isinstance(source, bytes) else "picture"))
        self._held = (source, name)
        return [Leaf(page, partial(self.load, source, name, i, page)) for i, page in enumerate(names)]

    def load(self, source: str | Path | bytes, name: str | None, index: int, page: str) -> Loaded:
        """One page of a file, which is opened anew where it is not the last one opened. Raises EcgError."""
        if self._held is None or (self._held[0] is not source and self._held != (source, name)):
            self.open(source, name)
        return self._ask(index, page)

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def __enter__(self) -> BoundedDecoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        context = quick_context("ecgvlm.files.image")
        self._pipe, theirs = context.Pipe()
        ours = self._pipe if context.get_start_method() == "fork" else None
        self._process = context.Process(
            target=_work, args=(theirs, ours, self._memory, self._computing), daemon=True
        )
        self._process.start()
        theirs.close()

    def _ask(self, request: Any, name: str | Path) -> Any:
        try:
            self._pipe.send(request)
            if not self._pipe.poll(self._seconds):
                raise _Lost(f"took longer than {self._seconds:g} s")
            kind, value = receive(self._pipe)
        except (_Lost, EOFError, OSError) as error:
            cause = str(error) if isinstance(error, _Lost) else self._end()
            self._renew()
            raise unreadable(name, f"could not be decoded ({cause}); save the page as JPEG or PNG") from None
        if kind == "error":
            if value.code == "too_large":  # who knows what is left of the memory
                self._renew()
            raise value
        return value

    def _end(self) -> str:
        if computed_too_long(self._process):
            return f"took longer than {self._computing:g} s of computing"
        return "it ended the process that decoded it"

    def _renew(self) -> None:
        self.close()
        self._held = None
        self._start()


class _Lost(Exception):
    """The process takes too long."""


def _bound_memory(memory: int) -> None:
    """Lets this process take so many bytes of address space more than it has, where the system can do
    that."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent() -> None:
    """Has the system end this process when the one that forked it ends, however that ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _work(pipe: Connection, parents: Connection | None, memory: int, computing: float) -> None:
    """What the process does: opens a file (source, name), or loads a page of it by its number."""
    if parents is not None:
        parents.close()
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    import cv2

    from ecgvlm.files.image import open_pages

    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")  # what decoders mutter about a file is no answer
    _bound_memory(memory)
    keep_freed_memory()
    leaves: list[Leaf] = []
    for request in _requests(pipe):
        answer: Any
        try:
            with cpu_bound(computing):
                if isinstance(request, tuple):
                    leaves = open_pages(*request)
                    answer = "done", [leaf.name for leaf in leaves]
                else:
                    answer = "done", leaves[request].load()
        except Exception as error:  # a decoder's fault on one file must not end a batch
            answer = "error", _refusal(error, _called(request, leaves))
        send(pipe, answer)


def _refusal(error: Exception, name: str) -> EcgError:
    """What is said of a file or page of this name that could not be opened."""
    if isinstance(error, EcgError):
        return EcgError(error.code, error.message)  # without the traceback, which holds memory
    if isinstance(error, MemoryError):
        return EcgError("too_large", f"{name}: it does not fit into memory")
    return unreadable(name, f"cannot be decoded ({type(error).__name__}: {error})")


def _requests(pipe: Connection) -> Iterator[Any]:
    with contextlib.suppress(EOFError, OSError):
        while True:
            yield pipe.recv()


def _called(request: Any, leaves: list[Leaf]) -> str:
    """What a message calls the file or page of a request."""
    if not isinstance(request, tuple):
        return leaves[request].name
    source, name = request
    return name or ("picture" if isinstance(source, bytes) else str(source))
