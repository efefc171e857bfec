"""The wheel: what is in it, and that it reads the example pages in a fresh environment without any extra."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.suffix in (".png", ".jpg"))
LARGEST = 100_000_000  # bytes that package indices take
# Kinds of files that our package has; records and training pools are of no such kind. Of pictures it has the
# web page's samples, which are the simulated examples.
KINDS = {
    "", ".py", ".c", ".so", ".typed", ".onnx", ".json", ".bin", ".toml", ".csv", ".txt", ".html", ".css",
    ".js", ".svg", ".webp", ".webmanifest", ".ttf", ".md",
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT], check=True
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of programs of an environment that holds the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", wheel], check=True)
    return folder / "bin"


def ecgvlm(programs: Path, *words: object) -> subprocess.CompletedProcess:
    env = {"PATH": os.environ["PATH"], "HOME": str(programs), "LANG": "C"}
    return subprocess.run(
        [programs / "ecgvlm", *words], cwd=programs, env=env, capture_output=True, text=True
    )


def test_contents(wheel):
    assert wheel.stat().st_size < LARGEST
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if not name.endswith("/")]
    assert {name.split("/")[0].split("-")[0] for name in files} == {"ecgvlm"}
    code = [name for name in files if ".dist-info/" not in name]
    assert {Path(name).suffix for name in code} <= KINDS
    pictures = {Path(name) for name in code if name.endswith(".webp")}
    assert {path.parent for path in pictures} <= {Path("ecgvlm/serve/web/samples")}
    assert {path.stem for path in pictures} <= {path.stem for path in EXAMPLES}
    assert not [name for name in code if re.search(r"/tests?/|/test_|conftest|__pycache__", name)]
    assert {
        f"ecgvlm/data/{name}" for name in ("pagenet.onnx", "encoder.onnx", "language.onnx", "tokenizer.json")
    } <= set(code)
    assert any(name.endswith("licenses/LICENSE") for name in files)


def test_needs_no_compiler(tmp_path):
    files = ["pyproject.toml", "hatch_build.py", "README.md", "LICENSE"]
    package = tmp_path / "src" / "ecgvlm"
    shutil.copytree(
        ROOT / "src" / "ecgvlm", package, ignore=shutil.ignore_patterns("*.so", "*.onnx", "__pycache__")
    )
    for name in files:
        shutil.copy(ROOT / name, tmp_path)
    built = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, tmp_path]
    subprocess.run(built, check=True, env={**os.environ, "CC": str(tmp_path / "none")})
    (path,) = tmp_path.glob("*.whl")
    assert path.name.endswith("-py3-none-any.whl")


def test_reads_the_examples_without_extras(installed):
    read = ecgvlm(installed, "read", "--json", *EXAMPLES)
    answers = [json.loads(line) for line in read.stdout.splitlines()]
    assert (read.returncode, read.stderr) == (0, "")
    assert [answer["image"] for answer in answers] == [str(path) for path in EXAMPLES]
    assert all(answer["ok"] and answer["answer"] and answer["report"] for answer in answers)
    lacks = subprocess.run([installed / "python", "-c", "import torch"], capture_output=True)
    assert lacks.returncode == 1


def test_helps_without_extras(installed):
    for words in ([], ["read"], ["batch"], ["serve"], ["bench"], ["bench", "score"], ["instruct"], ["store"]):
        said = ecgvlm(installed, *words, "--help")
        assert (said.returncode, said.stderr) == (0, "")


def test_every_command_says_what_it_needs(installed):
    """Commands of extras that are not installed end with one line that names the extra."""
    for words in (["batch", str(ROOT / "examples"), "-o", "out"], ["serve"]):
        said = ecgvlm(installed, *words)
        assert said.returncode == 2
        assert f"ecgvlm[{words[0]}]" in said.stderr
        assert len(said.stderr.splitlines()) == 1
