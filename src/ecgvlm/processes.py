"""Processes that work for this one: they share what they import, and end when it does."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

from ecgvlm.errors import UsageError

# As multiprocessing names the socket of its server, below the temporary folder; bytes that its path may have.
_SOCKET, _LONGEST_PATH = "/pymp-12345678/listener-12345678", 107
# Whether bytes may be read from a pipe to where they are wanted; `Connection` asks for room for all that is
# left with every piece that has come.
_DIRECT = hasattr(os, "readv")


def worker_context(*modules: str) -> Any:
    """The multiprocessing context to start workers in: forked from a server that has imported `modules`.

    What is imported lies in memory once for all of them. (A fork of this process itself would copy the locks
    of OpenCV and ONNX Runtime, but not the threads that open them.) Where there is no such server, each
    worker starts anew. Raises UsageError as `check_temporary_folder`.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    check_temporary_folder()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


def check_temporary_folder() -> None:
    """Raises UsageError where the temporary folder's path is too long for the socket of worker processes."""
    folder, most = tempfile.gettempdir(), _LONGEST_PATH - len(_SOCKET)
    if len(os.fsencode(folder)) > most:
        raise UsageError(
            f"{folder}: the path of the temporary folder may have {most} bytes; set TMPDIR to a shorter one"
        )


def quick_context(*modules: str) -> Any:
    """`worker_context`, or one that forks this very process, with all that it has imported, where it comes
    out of that whole: it must have no other threads, also native ones."""
    if threading.active_count() == 1 and _native_threads() == 1:
        return multiprocessing.get_context("fork")
    return worker_context(*modules)


def _native_threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:  # not Linux
        return 2


def end_with_parent() -> None:
    """To be called in a worker: it ends when the process it works for does, also by a kill."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


@contextmanager
def cpu_bound(seconds: float) -> Iterator[None]:
    """Ends this process by SIGPROF where what is done takes more seconds of computing (POSIX), however busy
    the machine is otherwise.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def computed_too_long(process: Any) -> bool:
    """Whether a process that has ended was ended by `cpu_bound`."""
    process.join(1.0)
    return process.exitcode == -getattr(signal, "SIGPROF", 0)


def send(pipe: Connection, value: Any) -> None:
    """Sends a value to who calls `receive` at the other end.

    Its arrays go as they lie in memory: within a message each would be copied three times more.
    """
    arrays: list[pickle.PickleBuffer] = []
    message = pickle.dumps(value, pickle.HIGHEST_PROTOCOL, buffer_callback=arrays.append)
    parts = [array.raw() for array in arrays]
    pipe.send((message, [part.nbytes for part in parts]))
    for part in parts:
        if not _DIRECT:
            pipe.send_bytes(part)
            continue
        while part:
            part = part[os.write(pipe.fileno(), part) :]


def receive(pipe: Connection) -> Any:
    """What was sent. Raises EOFError where the other end is closed before all of it has come."""
    message, sizes = pipe.recv()
    parts = [bytearray(size) for size in sizes]
    for part in parts:
        if not _DIRECT:
            pipe.recv_bytes_into(part)
            continue
        left = memoryview(part)
        while left:
            count = os.readv(pipe.fileno(), [left])
            if not count:
                raise EOFError
            left = left[count:]
    return pickle.loads(message, buffers=parts)


def _exit_after(parent: Any) -> None:
    wait([parent.sentinel])
    os._exit(1)


def is_first() -> bool:
    """Whether this is the first of the processes that torchrun or accelerate started, or the only one."""
    return os.environ.get("RANK", "0") == "0"
