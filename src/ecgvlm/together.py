"""Steps of one reading that do not need each other, at the same time.

NumPy, OpenCV and ONNX Runtime let other threads run while they compute. A reading process that shares the
machine with others gives OpenCV one thread, and then has none for this either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import cv2

First = TypeVar("First")
Second = TypeVar("Second")

_aside = threading.local()


def together(first: Callable[[], First], second: Callable[[], Second]) -> tuple[First, Second]:
    """What two steps give, the second of them in a thread of its own where there is one to spare, and has not
    something else to do all the while."""
    if cv2.getNumThreads() < 2 or getattr(_aside, "here", False):
        return first(), second()
    later = _thread().submit(second)
    try:
        one = first()
    finally:
        waiting = later.cancel()
    return one, second() if waiting else later.result()


@cache
def _thread() -> ThreadPoolExecutor:
    """One thread more. What it runs does not wait for it."""
    return ThreadPoolExecutor(1, "together", lambda: setattr(_aside, "here", True))
