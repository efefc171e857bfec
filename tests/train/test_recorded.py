"""What a run's folder says of it is read again, or named where it is damaged."""

import pytest

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.train.recipe import Recipe
from ecgvlm.train.recorded import check_same, record, recorded


def recipe(out, **loop):
    return Recipe(base="x", out=out, data={"train": "rows.json"}, loop={"steps": 5, **loop})


def test_a_recipe_is_read_as_it_was_written(tmp_path):
    record(recipe(tmp_path))
    assert recorded(tmp_path).recipe == recipe(tmp_path)
    assert "torch" in recorded(tmp_path).versions


def test_a_run_goes_on_as_it_began(tmp_path):
    record(recipe(tmp_path))
    check_same(recipe(tmp_path, threads=3))
    with pytest.raises(UsageError, match=r"begun with loop\.clip = 1\.0, not 2\.0"):
        check_same(recipe(tmp_path, clip=2.0))


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", "{}", '{"recipe": [], "versions": {}}', '{"recipe": {}}']
)
def test_what_is_damaged_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "recipe.json").write_text(text)
    with pytest.raises((EcgError, UsageError), match=r"recipe\.json: "):
        recorded(tmp_path)
