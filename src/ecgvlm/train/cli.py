"""`ecgvlm train`: runs a recipe; `ecgvlm train plot` draws its curves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from ecgvlm.atomic import alone
from ecgvlm.errors import UsageError
from ecgvlm.processes import is_first

app = typer.Typer(invoke_without_command=True, add_completion=False)


@app.callback()
def train(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(help="Recipe: a TOML file, or a name that `ecgvlm train recipes` lists.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last whole checkpoint.")] = False,
) -> None:
    """Fine-tune a model on ECG pages as a recipe says; many processes: torchrun -m ecgvlm.train."""
    if context.invoked_subcommand is not None:
        return
    if config is None:
        print(context.get_help())
        raise typer.Exit(2)
    run(config, resume)


def run(config: Path, resume: bool) -> None:
    """Runs the recipe in `config`; raises EcgError where it cannot be run to its end."""
    needs_training_packages()
    from ecgvlm.train.recipe import Stages, read_recipe

    recipe = read_recipe(config)
    if isinstance(recipe, Stages):
        from ecgvlm.train.small.stages import run_stages

        with alone(recipe.out):
            run_stages(recipe, resume)
        made = recipe.out
    else:
        from ecgvlm.train.finetune import finetune

        made = finetune(recipe, resume)
    if is_first():
        print(f"{made} is ready; write what users load with: ecgvlm export {made} -o DIR", file=sys.stderr)


@app.command()
def plot(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help=".png, .svg or .pdf")] = Path("curves.png"),
) -> None:
    """Draw loss, validation figure, learning rate and speed of runs."""
    needs_training_packages()
    from ecgvlm.train.curves import plot as draw

    draw(runs, output)
    print(output)


@app.command()
def recipes(
    name: Annotated[str | None, typer.Argument(help="One to print, as the beginning of your own.")] = None,
) -> None:
    """List the recipes that come with ecgvlm, or print one."""
    needs_training_packages()
    from ecgvlm.train.recipe import shipped

    known = shipped()
    if name is None:
        print("\n".join(known))
    elif name in known:
        print(known[name], end="")
    else:
        raise UsageError(f"no recipe {name!r}; there are: {', '.join(known)}")


def needs_training_packages() -> None:
    """Raises UsageError where the `train` extra is not installed."""
    for package in ("torch", "transformers", "accelerate", "peft", "pydantic", "tensorboard", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            raise UsageError(f"training needs {package}: pip install 'ecgvlm[train]'")
