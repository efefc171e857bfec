"""What a run's folder says of it: the recipe as it runs, and the versions of what runs it."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgvlm.atomic import write_file
from ecgvlm.errors import UsageError, unreadable
from ecgvlm.train.recipe import Recipe, checked

NAME = "recipe.json"
_PACKAGES = ("ecgvlm", "torch", "transformers", "accelerate", "peft", "numpy")
# What may differ when a run goes on: it learns the same.
_FREE = {
    ("out",), ("keep",), ("data", "workers"), ("loop", "threads"), ("loop", "sharded"), ("loop", "compile"),
    ("loop", "micro_batch"),
}  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """A run's recipe, and name -> version of the packages that ran it."""

    recipe: Recipe
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {"recipe": self.recipe.model_dump(mode="json"), "versions": self.versions}


def record(recipe: Recipe) -> None:
    """Writes it into the run's folder. Raises EcgError where that cannot be done."""
    said = Recorded(recipe, {name: importlib.metadata.version(name) for name in _PACKAGES})
    write_file(recipe.out / NAME, (json.dumps(said.to_dict(), indent=1) + "\n").encode())


def recorded(run: Path) -> Recorded:
    """Of a run's folder. Raises EcgError where there is nothing to read, UsageError where no recipe is."""
    path = run / NAME
    try:
        said = json.loads(path.read_text("utf-8"))
        return Recorded(checked(Recipe, said["recipe"], path), dict(said["versions"]))
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise unreadable(path, f"not what a run writes ({error})") from None


def check_same(recipe: Recipe) -> None:
    """Raises UsageError where the recipe would learn otherwise than the one that its run began with."""
    before, now = (r.model_dump(mode="json") for r in (recorded(recipe.out).recipe, recipe))
    for section, value in now.items():
        fields = value if isinstance(value, dict) else {None: value}
        for field, new in fields.items():
            old = before[section] if field is None else (before[section] or {}).get(field)
            if old != new and (section,) not in _FREE and (section, field) not in _FREE:
                name = section if field is None else f"{section}.{field}"
                raise UsageError(f"{recipe.out} was begun with {name} = {old!r}, not {new!r}")
