"""Validation during training: the loss, and what generated answers are worth."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.distributed.fsdp import FSDPModule

from ecgvlm.train.answering import Answering, collate
from ecgvlm.train.pages import Sample, Samples
from ecgvlm.train.recipe import Recipe
from ecgvlm.train.validation import Answered, figures


@torch.no_grad()
def evaluate(
    model: Any,
    valid: Samples,
    recipe: Recipe,
    accelerator: Accelerator,
    asked: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, Any], list[dict[str, str]]] | None:
    """Validation loss and what the generated answers are worth (`validation.figures`), with some of them.

    Every process takes its share; the same rows and pages each time. asked: whether the run is to end, which
    an evaluation does not wait for. Returns {"loss", "exact", "figure", "kinds"} and samples {"question",
    "gold", "answer"}, or None where it was broken off.
    """
    plain: Answering = accelerator.unwrap_model(model)
    plain.eval()
    samples = _drawn(valid, recipe)
    mine = samples[accelerator.process_index :: accelerator.num_processes]
    micro, loss, tokens, said = recipe.loop.micro_batch, 0.0, 0, []
    eager = torch.compiler.set_stance("force_eager")  # what is compiled is for training's shapes
    with _whole(model), accelerator.autocast(), eager:
        for part in _batched(mine, micro):
            if asked():
                break
            shown = [sample for _, sample in part]
            batch = collate(plain.chat, shown).to(accelerator.device)
            loss += float(plain(batch))
            tokens += len(batch.answers)
            answers = iter(plain.answer(shown, recipe.evaluation.max_tokens))
            said += [
                ((k, j), Answered(turns[-1][0], turns[-1][1], next(answers), truth))
                for k, sample in part
                for j, (turns, truth) in enumerate(zip(sample.rows, sample.truths))
            ]
    parts = [(loss, tokens, said, asked())]
    if accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        parts = gather_object(parts)
    if any(part[3] for part in parts):
        return None
    loss, tokens = sum(p[0] for p in parts), sum(p[1] for p in parts)
    told = [row for _, row in sorted((t for p in parts for t in p[2]), key=lambda t: t[0])]
    exact = sum(row.gold.strip() == row.answer for row in told) / len(told)
    kinds = figures(told)
    result = {"loss": loss / tokens, "exact": exact, "figure": kinds.pop("all"), "kinds": kinds}
    return result, [{"question": r.question, "gold": r.gold, "answer": r.answer} for r in told[:8]]


def _drawn(valid: Samples, recipe: Recipe) -> list[tuple[int, Sample]]:
    """The validation pages, numbered: drawn by seed until they hold as many rows as the recipe asks for."""
    order = np.random.default_rng([recipe.seed, 7]).permutation(len(valid)).tolist()
    samples: list[tuple[int, Sample]] = []
    rows = 0
    for index in order:
        if rows >= recipe.evaluation.rows:
            break
        samples.append((len(samples), valid.load(0, index)))
        rows += len(samples[-1][1].rows)
    return samples


def _batched(items: Any, n: int) -> Iterator[tuple]:
    items = iter(items)
    while part := tuple(itertools.islice(items, n)):
        yield part


@contextmanager
def _whole(model: Any) -> Iterator[None]:
    """Sharded weights gathered while answers are generated, which each process does at its own pace."""
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()
