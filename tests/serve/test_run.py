"""`ecgvlm serve` as a process of its own: it begins with a whole model or not at all, and leaves nothing."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ecgvlm

COMMAND = (sys.executable, "-m", "ecgvlm", "serve", "--port", "0", "--workers", "1")


@pytest.fixture
def start(tmp_path):
    """Starts the server with a home and a temporary folder of its own."""
    servers = []

    def start(package: Path = Path(ecgvlm.__file__).parent.parent) -> subprocess.Popen:
        places = {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(package)}
        for name in ("home", "tmp"):
            (tmp_path / name).mkdir(exist_ok=True)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        servers.append(subprocess.Popen(COMMAND, env=os.environ | places, cwd=tmp_path, **pipes))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
        server.communicate()


def test_what_is_stopped_leaves_no_file(start, tmp_path):
    server = start()
    said: list[str] = []
    while not said or (said[-1] and "startup complete" not in said[-1]):
        said.append(server.stdout.readline())
    assert said[-1], said  # what it said before it ended
    server.send_signal(signal.SIGTERM)
    assert "Traceback" not in server.communicate(timeout=60)[0]
    assert server.returncode == 0
    assert [*(tmp_path / "home").rglob("*"), *(tmp_path / "tmp").rglob("*")] == []


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
