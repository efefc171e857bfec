"""What each process of `ecgvlm read` with several pages does: one reader, page after page."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import cv2

from ecgvlm.files.image import Leaf
from ecgvlm.reader import Answer, Reader

_reader: Reader


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start_worker() -> None:
    """Makes this process's reader. Ctrl-C is the parent's to answer."""
    global _reader
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    _reader = Reader(threads=1)


def read_page(page: Leaf, question: str | None, sensitivity: float | None, picture: bool) -> Answer:
    """picture: whether the rectified page is wanted, too: some megabytes that go from process to process."""
    answer = _reader.read(page, question, sensitivity=sensitivity)
    if answer.page is None or picture:
        return answer
    return replace(answer, page=replace(answer.page, image=answer.page.image[:0, :0]))
