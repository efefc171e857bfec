"""Processes that work for this one: they share what they import, and end when it does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any


def worker_context(*modules: str) -> Any:
    """The multiprocessing context to start workers in: forked from a server that has imported `modules`.

    What is imported lies in memory once for all of them. (A fork of this process itself would copy the locks
    of OpenCV and ONNX Runtime, but not the threads that open them.) Where there is no such server, each
    worker starts anew.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


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


def _exit_after(parent: Any) -> None:
    wait([parent.sentinel])
    os._exit(1)


def is_first() -> bool:
    """Whether this is the first of the processes that torchrun or accelerate started, or the only one."""
    return os.environ.get("RANK", "0") == "0"
