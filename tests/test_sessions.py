"""Model files are what they were sealed as, or not used; ONNX Runtime tells nobody that it runs."""

import json
import os
import subprocess
import sys

import pytest

from ecgvlm import sessions
from ecgvlm.errors import EcgError
from ecgvlm.judge.findings import FindingsModel
from ecgvlm.sessions import SHIPPED, SUMS, fingerprint, open_aside, open_session, read_model_file, seal

WATCH = """
import os, threading, time
from ecgvlm.digitize.pagenet import PageNet
net = PageNet(1)
time.sleep(1)
links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
print(*(os.readlink(link) for link in links if os.path.lexists(link)))
"""


def test_the_shipped_files_are_the_sealed_ones():
    for name in (SHIPPED / SUMS).read_text().split()[1::2]:
        read_model_file(name)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are listed below /proc")
def test_a_net_opens_no_socket_and_writes_no_file(tmp_path):
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    for folder in (home, temporary):
        folder.mkdir()
    places = {"HOME": str(home), "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(home / ".cache")}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | places
    run = subprocess.run(
        [sys.executable, "-c", WATCH], env=environment, capture_output=True, text=True, check=True
    )
    assert "socket:" not in run.stdout
    assert "onnxruntime.db" not in run.stdout
    assert [*home.rglob("*"), *temporary.rglob("*")] == []


def copied(tmp_path, *names: str):
    for name in (*names, SUMS):
        (tmp_path / name).write_bytes((SHIPPED / name).read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", ["encoder.json", "encoder.onnx"])
def test_a_changed_file_is_not_used(tmp_path, name):
    folder = copied(tmp_path, "encoder.json", "encoder.onnx")
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(EcgError, match=f"{name}: this file of the model is damaged or was changed"):
        FindingsModel(folder, 1)


def test_missing_and_meaningless_files_get_one_line(tmp_path):
    with pytest.raises(EcgError, match=r"encoder\.json: a file of the model cannot be read"):
        FindingsModel(tmp_path, 1)
    (tmp_path / "encoder.onnx").write_bytes(b"no model")
    with pytest.raises(EcgError, match="not a model that ONNX Runtime can open") as error:
        open_session("encoder.onnx", tmp_path)
    assert "\n" not in error.value.message


def test_another_model_has_another_name(tmp_path):
    folder = copied(tmp_path, "encoder.json", "encoder.onnx")
    (folder / SUMS).unlink()
    card = json.loads((folder / "encoder.json").read_text())
    card["offset"][0] += 1
    (folder / "encoder.json").write_text(json.dumps(card))
    assert FindingsModel(folder, 1).name == f"{card['name']}+{fingerprint(folder)}"
    assert fingerprint(folder) != fingerprint()
    before = fingerprint(folder)
    seal(folder)
    fingerprint.cache_clear()
    assert fingerprint(folder) == before


def test_a_session_opened_aside_says_at_once_that_its_file_is_missing(tmp_path):
    with pytest.raises(EcgError, match="cannot be read"):
        open_aside("encoder.onnx", tmp_path)


def test_a_session_opened_aside_is_that_opened_here():
    aside, here = open_aside("lettering.onnx")(), open_session("lettering.onnx")
    assert [x.name for x in aside.get_inputs()] == [x.name for x in here.get_inputs()]


def test_what_is_no_model_is_told_when_the_session_is_wanted(tmp_path):
    (tmp_path / "encoder.onnx").write_bytes(b"no net")
    session = open_aside("encoder.onnx", tmp_path)
    with pytest.raises(EcgError, match="not a model that ONNX Runtime can open"):
        session()


@pytest.mark.parametrize("left", [0, 400], ids=["missing", "cut"])
def test_the_packages_own_files_are_not_used_unsealed(tmp_path, monkeypatch, left):
    """Without `SHA256SUMS`, or with half of it, what it did not name was used whatever it was."""
    copied(tmp_path, *(SHIPPED / SUMS).read_text().split()[1::2])
    monkeypatch.setattr(sessions, "SHIPPED", tmp_path)
    sessions.check_shipped()
    sessions._checked.cache_clear()
    sessions._sums.cache_clear()
    sums = (tmp_path / SUMS).read_bytes()[:left]
    (tmp_path / SUMS).write_bytes(sums) if sums else (tmp_path / SUMS).unlink()
    with pytest.raises(EcgError, match=r"damaged or was changed|SHA256SUMS: a file of the model cannot"):
        read_model_file("pen.onnx")


def test_all_shipped_files_are_checked(tmp_path, monkeypatch):
    copied(tmp_path, "encoder.json")
    monkeypatch.setattr(sessions, "SHIPPED", tmp_path)
    with pytest.raises(EcgError, match=r"a file of the model cannot be read \(No such file or directory\)"):
        sessions.check_shipped()
