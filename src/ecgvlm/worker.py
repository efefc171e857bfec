"""What each process of `ecgvlm read` with several pages does: one reader, page after page."""

from __future__ import annotations

import signal

from ecgvlm.image import Leaf
from ecgvlm.reader import Answer, Reader

_reader: Reader


def start_worker() -> None:
    """Loads this process's reader. Ctrl-C is the parent's to answer."""
    global _reader
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import cv2

    cv2.setNumThreads(1)
    _reader = Reader(threads=1)
    _reader.load()


def read_page(page: Leaf, question: str | None, sensitivity: float | None) -> tuple[Leaf, Answer]:
    return page, _reader.read(page, question, sensitivity=sensitivity)
