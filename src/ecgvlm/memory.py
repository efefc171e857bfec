"""How this process keeps the memory that it has freed."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT, _LARGE = 128 << 20, 32 << 20  # bytes that are kept, and of arrays that are not


def keep_freed_memory() -> None:
    """Lets the C library keep what arrays of a page have freed for those of the next step.

    By itself glibc gives it back, and the system fills it with zeros when it is asked for again, which takes
    up to a tenth of the time of reading a large page. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
