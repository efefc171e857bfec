"""`ecgvlm train` and `ecgvlm export` from the command line: bad input is one line, never a traceback."""

import sys

import pytest
from train.tiny import log_steps

from ecgvlm.cli import main


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["ecgvlm", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["train", "--config", "absent.toml"], "absent.toml: No such file", 1),
        (["train", "--config", "bad.toml"], "steps", 2),
        (["export", "absent", "-o", "out"], "neither a run nor a checkpoint", 1),
        (["train", "plot", "absent", "-o", "x.png"], "absent", 1),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, capsys, arguments, said, status):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text('base = "x"\nout = "o"\n[data]\ntrain = "r"\n[loop]\n')
    assert run(monkeypatch, *arguments) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert said in lines[0]


def test_recipes_are_listed_and_printed(monkeypatch, capsys):
    assert run(monkeypatch, "train", "recipes") == 0
    names = capsys.readouterr().out.split()
    assert "smolvlm-256m" in names
    for name in names:
        assert run(monkeypatch, "train", "recipes", name) == 0
        assert f"ecgvlm train --config {name}" in capsys.readouterr().out.splitlines()[0]
    assert run(monkeypatch, "train", "recipes", "absent") == 2
    assert "smolvlm-256m" in capsys.readouterr().err


def test_plot(tmp_path, monkeypatch):
    log_steps(tmp_path / "run", 1, 4, 0)
    assert run(monkeypatch, "train", "plot", tmp_path / "run", "-o", tmp_path / "curves.png") == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert run(monkeypatch, "train") == 2
