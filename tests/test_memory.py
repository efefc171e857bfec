import mmap
import platform
import subprocess
import sys

import pytest

PAGES = """
import resource
import numpy as np
from ecgvlm.memory import keep_freed_memory
{keep}
def pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [np.ones(2**21) for _ in range(4)]
    del parts
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
pages(), pages()
print(pages())
"""


def pages_asked_for(keep: str) -> int:
    """Pages of memory that a process asks for when it makes arrays of 64 MB in all for the third time."""
    done = subprocess.run(
        [sys.executable, "-c", PAGES.format(keep=keep)], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_kept_for_the_next_arrays():
    asked = 4 * 2**24 // mmap.PAGESIZE
    kept = pages_asked_for("keep_freed_memory()")
    assert kept < 0.1 * min(asked, pages_asked_for(""))
