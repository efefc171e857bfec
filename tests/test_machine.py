"""Cores and memory are those that the process's control groups leave it, of either version, however deep."""

import pytest

from ecgvlm import machine

GB = 1 << 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine of 64 cores with 64 GB free; gives a function that writes its files."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64), raising=False)
    write({"meminfo": f"MemTotal: 1 kB\nMemAvailable: {64 * GB // 1024} kB"})
    return write


def test_a_machine_without_groups_is_all_there_is(system):
    assert (machine.cores(), machine.available_memory()) == (64, 64 * GB)
    assert machine.workers() == 64


@pytest.mark.parametrize(
    ("own", "place"),
    [
        ("0::/system.slice/ecgvlm.service", "groups/system.slice/ecgvlm.service"),  # a systemd unit's
        ("0::/system.slice/ecgvlm.service", "groups/system.slice"),  # above it
        ("0::/", "groups"),  # a container's
        ("0::/docker/of/the/host", "groups"),  # a container that sees its host's names
    ],
)
def test_groups_of_version_2_bound(system, own, place):
    """A unit of 4 GB on a large machine started a worker a core and was killed."""
    system(
        {
            "own": own,
            f"{place}/memory.max": 4 * GB,
            f"{place}/memory.current": 3 * GB,
            f"{place}/memory.stat": f"anon {GB}\ninactive_file {2 * GB}",  # the files it has read give way
            f"{place}/cpu.max": "250000 100000",
        }
    )
    assert (machine.cores(), machine.available_memory()) == (2, 3 * GB)
    assert machine.workers() == 2


def test_groups_of_version_1_bound(system):
    system(
        {
            "own": "5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/",
            "groups/memory/memory.limit_in_bytes": 2 * GB,
            "groups/memory/memory.usage_in_bytes": GB,
            "groups/memory/memory.stat": "total_inactive_file 0",
            "groups/cpu/docker/x/cpu.cfs_quota_us": 300000,
            "groups/cpu/docker/x/cpu.cfs_period_us": 100000,
        }
    )
    assert (machine.cores(), machine.available_memory()) == (3, GB)
    assert machine.workers() == 1


def test_groups_without_bounds_bound_nothing(system):
    system(
        {
            "own": "4:memory:/a\n1:cpu:/a\n0::/b",
            "groups/b/memory.max": "max",
            "groups/b/cpu.max": "max 100000",
            "groups/memory/a/memory.limit_in_bytes": 9223372036854771712,
            "groups/memory/a/memory.usage_in_bytes": GB,
            "groups/cpu/a/cpu.cfs_quota_us": -1,
            "groups/cpu/a/cpu.cfs_period_us": 100000,
        }
    )
    assert (machine.cores(), machine.available_memory()) == (64, 64 * GB)


def test_even_the_smallest_machine_has_a_worker(system):
    system(
        {"own": "0::/", "groups/memory.max": GB, "groups/memory.current": 2 * GB, "groups/cpu.max": "5 10"}
    )
    assert (machine.cores(), machine.available_memory(), machine.workers()) == (1, 0, 1)
