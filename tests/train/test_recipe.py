"""Recipes: what ships is valid, what does not fit is named; our own model's stages."""

import sys
from importlib.resources import files
from pathlib import Path

import pytest

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.train.recipe import Recipe, Stages, read_recipe, shipped
from ecgvlm.train.small.stages import command, run_stages

SHIPPED = sorted(Path(str(files("ecgvlm.train") / "recipes")).glob("*.toml"))
PLAIN = 'base = "x"\nout = "run"\n[data]\ntrain = "rows.json"\n[loop]\nsteps = 5\n'


def test_shipped_recipes_are_valid():
    assert {p.stem for p in SHIPPED} >= {"ecgvlm-small", "smolvlm-256m", "smolvlm-500m", "smollm2-lora"}
    for path in SHIPPED:
        recipe = read_recipe(path)
        assert isinstance(recipe, Stages) == (path.stem == "ecgvlm-small")
        assert path.stem in path.read_text().splitlines()[0], "the line that runs it stands on top"


def test_shipped_recipes_are_known_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where only the package is
    assert [*shipped()] == [path.stem for path in SHIPPED]
    for path in SHIPPED:
        assert read_recipe(Path(path.stem)) == read_recipe(Path(path.name)) == read_recipe(path)
    (tmp_path / "smolvlm-256m.toml").write_text(PLAIN)  # a file is nearer
    assert read_recipe(Path("smolvlm-256m.toml")).base == "x"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PLAIN + "batch_size = 3\n", "loop.batch_size"),
        (PLAIN + "batch = 6\n", "multiple of loop.micro_batch"),
        (PLAIN.replace('train = "rows.json"', ""), "either train"),
        (PLAIN.replace('train = "rows.json"', 'train = "r"\ntiles = 4'), "data.tiles"),
        (PLAIN + "[rates]\nvision = 0\nconnector = 0\nlanguage = 0\n", "nothing would learn"),
        (PLAIN.replace('"x"', '"smollm2"'), "draws its pages from data.records"),
        ("seed = -1\n" + PLAIN, "seed"),
        ("base = ", "not TOML"),
        ('base = "ecgvlm"\nout = "r"\nrecords = "d"\nstages = []', "stages"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, said):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_recipe(tmp_path / "recipe.toml")


def test_defaults_are_smolvlms(tmp_path):
    (tmp_path / "recipe.toml").write_text(PLAIN)
    recipe = read_recipe(tmp_path / "recipe.toml")
    assert isinstance(recipe, Recipe)
    assert dict(recipe.rates) == {"vision": 5e-6, "connector": 1e-4, "language": 2e-5}
    with pytest.raises(EcgError, match="No such file"):
        read_recipe(tmp_path / "absent.toml")


def test_rows_of_the_hub_are_pinned(tmp_path):
    source = (
        'train = {source = "PULSE-ECG/ECGInstruct", configuration = "all", split = "train", revision = "abc"}'
    )
    (tmp_path / "recipe.toml").write_text(PLAIN.replace('train = "rows.json"', source))
    train = read_recipe(tmp_path / "recipe.toml").data.train
    assert (train.source, train.configuration, train.split, train.revision) == (
        "PULSE-ECG/ECGInstruct", "all", "train", "abc",
    )  # fmt: skip
    (tmp_path / "recipe.toml").write_text(PLAIN)
    assert read_recipe(tmp_path / "recipe.toml").data.train.source == "rows.json"


def test_recipes_name_what_instruct_build_writes():
    for path in SHIPPED:
        if "data/train.json" in path.read_text():
            assert "instruct build RECORDS -o data " in path.read_text()
            assert "--parts train=0.95,valid=0.05" in path.read_text()
            assert read_recipe(path).data.valid.source == "data/valid.json"


def test_stages_run_once_and_in_order(tmp_path, monkeypatch):
    stages = [
        {"run": "pool", "makes": "{out}/pool.npz", "arguments": ["--records", "{records}", "--rounds", 2]},
        {"run": "encoder", "makes": "{out}/encoder.json", "arguments": ["--pool", "{out}/pool.npz"]},
    ]
    recipe = Stages(base="ecgvlm", out=tmp_path / "run", records=tmp_path / "ptbxl", stages=stages)
    ran = []

    class Done:
        returncode = 0

    def run(line):
        ran.append(line[2])
        if fails and line[2].endswith("encoder"):
            Done.returncode = 3
        else:
            Done.returncode = 0
            (recipe.out / ("pool.npz" if line[2].endswith("pool") else "encoder.json")).touch()
        return Done

    monkeypatch.setattr("subprocess.run", run)
    fails = True
    with pytest.raises(EcgError, match=r"stage 2 \(encoder\) ended with status 3"):
        run_stages(recipe)
    with pytest.raises(UsageError, match="holds a run already"):
        run_stages(recipe)
    fails = False
    run_stages(recipe, resume=True)
    assert ran == ["ecgvlm.train.small.pool", "ecgvlm.train.small.encoder", "ecgvlm.train.small.encoder"]
    assert command(recipe, recipe.stages[0]) == [
        sys.executable, "-m", "ecgvlm.train.small.pool", "--records", str(tmp_path / "ptbxl"),
        "--rounds", "2",
    ]  # fmt: skip
