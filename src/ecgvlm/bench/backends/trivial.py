"""Systems that look at nothing. A table without them cannot say what a figure means."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ecgvlm.bench.backends.base import Ask, Reply
from ecgvlm.bench.gold import Item
from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError

MODELS = ("empty", "norm", "random")


class Trivial:
    """`ecgvlm bench run --task code15 --backend trivial --model empty|norm|random --gold GOLD.json --out DIR`

    empty: says nothing. norm: always "NORM" (of a choice, its first option). random: one of the gold's
    answers, as often as the gold has it, drawn by the row's id.
    """

    name = "trivial"

    def __init__(self, task: Task, items: Sequence[Item], model: str | None = None, seed: int = 0):
        model = model or "empty"
        if model not in MODELS:
            raise EcgError("unsupported_format", f"trivial model {model!r} is none of {', '.join(MODELS)}")
        self.model = model
        self.parameters: dict[str, Any] = {"seed": seed} if model == "random" else {}
        self._constant = task.options[:1] or "NORM"
        counts = Counter(item.gold for item in items)
        self._answers, self._weights = list(counts), list(counts.values())

    def ask(self, ask: Ask) -> Reply:
        if self.model == "empty":
            return Reply("")
        if self.model == "norm":
            return Reply(self._constant)
        rng = random.Random(f"{self.parameters['seed']} {ask.id}")
        return Reply(rng.choices(self._answers, self._weights)[0])
