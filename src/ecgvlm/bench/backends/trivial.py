"""Systems that look at nothing. A table without them cannot say what a figure means."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from ecgvlm.bench.backends.base import Ask, Reply, Setup
from ecgvlm.errors import UsageError

MODELS = ("empty", "norm", "random")


class Trivial:
    """`ecgvlm bench run --task code15 --backend trivial --model empty|norm|random --gold GOLD.json --out DIR`

    empty: says nothing. norm: always "NORM" (of a choice, its first option). random: one of the gold's
    answers, as often as the gold has it, drawn by the row's id.
    """

    name = "trivial"

    def __init__(self, setup: Setup):
        self.model = setup.model or "empty"
        if self.model not in MODELS:
            raise UsageError(f"trivial model {self.model!r} is none of {', '.join(MODELS)}")
        self.parameters: dict[str, Any] = {"seed": setup.seed} if self.model == "random" else {}
        self._constant = setup.task.options[:1] or "NORM"
        counts = Counter(item.gold for item in setup.items)
        self._answers, self._weights = list(counts), list(counts.values())

    def ask(self, ask: Ask) -> Reply:
        if self.model == "empty":
            return Reply("")
        if self.model == "norm":
            return Reply(self._constant)
        rng = random.Random(f"{self.parameters['seed']} {ask.id}")
        return Reply(rng.choices(self._answers, self._weights)[0])
