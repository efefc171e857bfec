"""`ecgvlm serve` as a process of its own: it begins with a whole model or not at all, and leaves nothing."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import ecgvlm

COMMAND = (sys.executable, "-m", "ecgvlm", "serve", "--port", "0", "--workers", "1")


@pytest.fixture
def temporary():
    """A temporary folder whose path is short enough for sockets, as pytest's may not be."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def start(tmp_path, temporary):
    """Starts the server with a home and a temporary folder of its own."""
    servers = []
    (tmp_path / "home").mkdir()

    def start(
        package: Path = Path(ecgvlm.__file__).parent.parent, temporary: Path = temporary
    ) -> subprocess.Popen:
        places = {"HOME": str(tmp_path / "home"), "TMPDIR": str(temporary), "PYTHONPATH": str(package)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        servers.append(subprocess.Popen(COMMAND, env=os.environ | places, cwd=tmp_path, **pipes))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
        server.communicate()


def test_what_is_stopped_leaves_no_file(start, tmp_path, temporary):
    server = start()
    said: list[str] = []
    while not said or (said[-1] and "startup complete" not in said[-1]):
        said.append(server.stdout.readline())
    assert said[-1], said  # what it said before it ended
    server.send_signal(signal.SIGTERM)
    assert "Traceback" not in server.communicate(timeout=60)[0]
    assert server.returncode == 0
    assert [*(tmp_path / "home").rglob("*"), *temporary.rglob("*")] == []


def test_a_temporary_folder_that_sockets_cannot_have_is_one_line(start, tmp_path):
    long = tmp_path / ("long" * 20)
    long.mkdir()
    server = start(temporary=long)
    said = server.communicate(timeout=60)[0].splitlines()
    assert len(said) == 1
    assert "set TMPDIR to a shorter one" in said[0]
    assert server.returncode > 0


def test_a_damaged_file_of_the_model_is_one_line_before_anybody_is_served(start, tmp_path):
    """A server whose pen was damaged said that it was ready, and of every page that it was unreadable."""
    whole, package = Path(ecgvlm.__file__).parent, tmp_path / "package" / "ecgvlm"
    shutil.copytree(whole, package, ignore=shutil.ignore_patterns("*.onnx", "*.bin", "__pycache__"))
    for path in whole.glob("data/*"):
        if not (package / "data" / path.name).exists():
            (package / "data" / path.name).symlink_to(path)
    (package / "data" / "pen.onnx").unlink()
    (package / "data" / "pen.onnx").write_bytes((whole / "data" / "pen.onnx").read_bytes()[:-1])
    server = start(package.parent)
    said = server.communicate(timeout=60)[0].splitlines()
    assert len(said) == 1
    assert "pen.onnx: this file of the model is damaged" in said[0]
    assert server.returncode == 1
