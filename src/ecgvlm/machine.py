"""What of the machine this process may use: cores and memory, as far as its control groups (containers,
systemd's units) let it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_BYTES_A_WORKER = 800_000_000  # of memory, the nets and a large page included
_GROUPS, _OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_MEMINFO = Path("/proc/meminfo")


def cores() -> int:
    """The processor cores that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups("cpu"):
        first_version = f"{_text(group / 'cpu.cfs_quota_us')} {_text(group / 'cpu.cfs_period_us')}"
        quota, _, period = (_text(group / "cpu.max") or first_version).partition(" ")
        if quota.isdecimal() and period.isdecimal():
            count = min(count, int(quota) // int(period))
    return max(1, count)


def workers() -> int:
    """How many reading processes fit this machine: one a core, as far as its memory goes."""
    return max(1, min(cores(), available_memory() // _BYTES_A_WORKER))


def available_memory() -> int:
    """Bytes that processes of this machine, or of this process's control groups, may still take."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 1 << 62
    for line in _text(_MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for group in _groups("memory"):
        for limit, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            if (most := _text(group / limit)).isdecimal():
                stat = dict(line.split() for line in _text(group / "memory.stat").splitlines())
                taken = int(_text(group / used) or 0) - int(stat.get(cached, 0))  # which gives way
                free = min(free, int(most) - taken)
    return max(0, free)


def _groups(controller: str) -> Iterator[Path]:
    """The folders of this process's control groups with a controller, of both versions, and all above them.

    In a container its own group may be the root, whatever the host calls it.
    """
    for line in _text(_OWN_GROUPS).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            root = _GROUPS / controller if controllers else _GROUPS
            own = root / path.strip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(root))


def _text(path: Path) -> str:
    """What a file of the system says, "" where there is none."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
