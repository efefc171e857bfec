"""A recipe on a Ray cluster: python examples/train_ray.py RECIPE.toml --workers 8 [--cpu]

The folder `out` of the recipe must be one that all machines share. A worker that is lost ends the attempt;
Ray starts it anew, and it goes on from the last whole checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def train(config: dict) -> None:
    """Runs in every worker; Ray has set up torch.distributed, which accelerate joins."""
    import ray.train

    from ecgvlm.train.finetune import finetune
    from ecgvlm.train.recipe import Recipe

    best = finetune(Recipe.model_validate_json(config["recipe"]), resume=True)
    ray.train.report({"best": str(best)})


def located(value: object) -> object:
    """A path as every worker finds it, wherever it runs; anything else, names on the hub too, as it is."""
    from ecgvlm.train.recipe import RowSource

    if isinstance(value, RowSource):
        return value.model_copy(update={"source": located(value.source)})
    if isinstance(value, str):
        return str(Path(value).resolve()) if Path(value).exists() else value
    return value.resolve() if isinstance(value, Path) else value


def main() -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from ecgvlm.train.recipe import Recipe, read_recipe

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--cpu", action="store_true", help="workers without a GPU")
    args = parser.parse_args()
    recipe = read_recipe(args.recipe)
    assert isinstance(recipe, Recipe), "our own model's stages run on one machine"
    out = recipe.out.resolve()
    data = recipe.data.model_copy(update={name: located(value) for name, value in recipe.data})
    recipe = recipe.model_copy(update={"out": out, "base": located(recipe.base), "data": data})
    trainer = TorchTrainer(
        train,
        train_loop_config={"recipe": recipe.model_dump_json()},
        scaling_config=ScalingConfig(num_workers=args.workers, use_gpu=not args.cpu),
        run_config=RunConfig(storage_path=str(out / "ray"), failure_config=FailureConfig(max_failures=3)),
    )
    print(trainer.fit().metrics)


if __name__ == "__main__":
    main()
