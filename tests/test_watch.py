"""What is put into a watched folder is read once it is whole, and once only."""

import json
import os
from itertools import count
from pathlib import Path

import pytest

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.leaf import Leaf
from ecgvlm.reader import Answer
from ecgvlm.watch import watch


class Reader:
    def read(self, page, question=None):
        return Answer(page.name, question or "", 0.0, error=EcgError("not_an_ecg", "no page is looked at"))


class Decoder:
    def open(self, path):
        if "gone" in path.name:
            raise EcgError("unreadable_file", f"{path}: gone")
        return [Leaf(f"{path} (page {i + 1})", lambda: None) for i in range(2)]


class Ended(Exception):
    pass


def watched(folder: Path, actions: dict) -> list[str]:
    """The names of the files that were read; actions: what happens before which look into the folder."""
    looks, read = count(1), []

    def wait(_: float) -> None:
        look = next(looks)
        if look > max(actions):
            raise Ended
        actions.get(look, lambda: None)()

    with pytest.raises(Ended):
        read.extend(p.name for p, _ in watch(folder / "in", folder / "out", Reader(), Decoder(), wait=wait))
    return read


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


def test_a_file_is_read_once_it_no_longer_grows(folder):
    file = folder / "in" / "a.png"
    grow = lambda text: lambda: file.write_text(text)  # noqa: E731
    watched(folder, {1: grow("a"), 2: grow("ab"), 3: lambda: None, 6: lambda: None})
    answers = json.loads((folder / "out" / "a.png.json").read_text())
    assert [answer["image"] for answer in answers] == [f"{file} (page 1)", f"{file} (page 2)"]
    before = (folder / "out" / "a.png.json").stat().st_mtime_ns
    watched(folder, {3: lambda: None})  # another call finds its answer there
    assert (folder / "out" / "a.png.json").stat().st_mtime_ns == before


def test_a_file_that_cannot_be_opened_has_an_answer_too(folder):
    (folder / "in" / "gone.png").touch()
    (folder / "in" / "half.part").touch()
    (folder / "in" / ".hidden").touch()
    files = watch(folder / "in", folder / "out", Reader(), Decoder(), wait=lambda _: None)
    gone = folder / "in" / "gone.png"
    assert next(files) == (gone, f"{gone}: gone")
    assert [path.name for path in (folder / "out").iterdir()] == ["gone.png.json"]
    (answer,) = json.loads((folder / "out" / "gone.png.json").read_text())
    assert answer["error"]["code"] == "unreadable_file"


def test_a_file_that_changed_is_read_again(folder):
    file = folder / "in" / "a.png"
    file.touch()
    watched(folder, {3: lambda: None})
    answer = folder / "out" / "a.png.json"
    os.utime(answer, (0, 0))  # answered long ago
    file.write_text("new")
    watched(folder, {3: lambda: None})
    assert answer.stat().st_mtime > 0


def test_another_file_of_the_same_name_is_read_again(folder, tmp_path):
    """Of one that is moved here the time is older than the answer about the one before: another patient's."""
    old = tmp_path / "old.png"
    old.write_text("old")
    os.utime(old, (1e9, 1e9))
    (folder / "in" / "a.png").write_text("new")

    def replaced():
        os.utime(folder / "out" / "a.png.json", (1.1e9, 1.1e9))  # clocks of file systems are coarse
        old.rename(folder / "in" / "a.png")

    read = watched(folder, {3: replaced, 6: lambda: None})
    assert read == ["a.png", "a.png"]


def test_signals_that_come_after_their_header(folder):
    """The answer stayed that they are missing; and an array beside a header was read for itself."""
    (folder / "in" / "a.hea").touch()
    (folder / "in" / "alone.mat").touch()

    def completed():
        os.utime(folder / "out" / "a.hea.json", (1.1e9, 1.1e9))
        (folder / "in" / "a.mat").touch()

    read = watched(folder, {3: completed, 6: lambda: None})
    assert read == ["a.hea", "alone.mat", "a.hea"]
    (folder / "in" / "b.dat").touch()
    assert watched(folder, {3: (folder / "in" / "b.hea").touch, 6: lambda: None}) == ["b.hea"]


def test_folders_that_cannot_be(folder):
    for source, out in ((folder / "no", folder / "out"), (folder / "in", folder / "in")):
        with pytest.raises(UsageError):
            next(watch(source, out, Reader(), Decoder()))


def test_a_long_name_and_a_fault_of_ours_do_not_end_it(folder, monkeypatch):
    def fail(self, page, question=None):
        raise ZeroDivisionError("so")

    monkeypatch.setattr(Reader, "read", fail)
    names = ["a.png", "b" * 250 + ".png", "b" * 250 + ".jpg"]
    for name in names:
        (folder / "in" / name).touch()
    assert sorted(watched(folder, {3: lambda: None})) == sorted(names)
    answers = [json.loads(path.read_text()) for path in (folder / "out").iterdir()]
    assert len(answers) == 3
    assert {page["error"]["code"] for pages in answers for page in pages} == {"internal_error"}
