"""The net that tells a question's language: made from our wordings and people's questions, in minutes.

    python -m ecgvlm.train.small.languages --questions training/questions --out src/ecgvlm/data

Several nets learn from the same texts and their scores are averaged: that is steadier than any one of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import nn

from ecgvlm.atomic import beside
from ecgvlm.train.small.questions import people_said, spoken
from ecgvlm.words.understand import BUCKETS, LANGUAGE_NET, SPOKEN, letters

WIDTH = 64
MEMBERS = 3
DROPPED = 0.25  # share of a text's letter groups and words that a step of training does not see
Text = tuple[np.ndarray, int]  # buckets, language


class Net(nn.Module):
    """[n] buckets of texts that begin at `starts` -> [texts, SPOKEN] scores."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(BUCKETS, WIDTH, mode="sum")
        nn.init.normal_(self.table.weight, std=0.05)
        self.language = nn.Linear(WIDTH, len(SPOKEN))

    def forward(self, buckets: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        sizes = torch.diff(torch.cat([starts, torch.tensor([len(buckets)])])).clamp(min=1)
        scores: torch.Tensor = self.language(torch.relu(self.table(buckets, starts) / sizes.sqrt()[:, None]))
        return scores


def train(texts: list[Text], epochs: int, seed: int) -> Net:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net, size = Net(), 512
    optimizer = torch.optim.Adam(net.parameters(), lr=4e-3, fused=True)
    steps = epochs * (len(texts) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps + 1)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(epochs):
        order, total = rng.permutation(len(texts)), 0.0
        for at in range(0, len(order) - size + 1, size):
            rows = [texts[i] for i in order[at : at + size]]
            shown = [buckets[rng.random(len(buckets)) > DROPPED] for buckets, _ in rows]
            loss = loss_of(net(*batch(shown)), torch.tensor([language for _, language in rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total * size / len(texts):.3f}", flush=True)
    return net.eval()


def batch(texts: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    starts = np.cumsum([0, *(len(x) for x in texts[:-1])])
    return torch.from_numpy(np.concatenate(texts)), torch.from_numpy(starts)


class _Exported(nn.Module):
    """The nets on one text, their tables side by side in 8 bits."""

    def __init__(self, nets: list[Net]):
        super().__init__()
        table = torch.cat([net.table.weight.detach() for net in nets], 1)
        self.step = float(table.abs().max()) / 127
        self.table = nn.Parameter((table / self.step).round().to(torch.int8), requires_grad=False)
        self.languages = nn.ModuleList(net.language for net in nets)

    def forward(self, buckets: torch.Tensor) -> torch.Tensor:
        rows = self.table[buckets].float() * self.step
        pooled = rows.sum(0) / torch.sqrt(torch.ones_like(rows[:, 0]).sum().clamp(min=1))
        hidden = torch.relu(pooled).split(WIDTH)
        return torch.stack([language(x) for language, x in zip(self.languages, hidden)]).mean(0)


def export(nets: list[Net], folder: Path) -> None:
    with beside(folder / LANGUAGE_NET) as part:
        torch.onnx.export(
            _Exported(nets), (torch.arange(5),), str(part), input_names=["buckets"],
            output_names=["languages"], dynamic_axes={"buckets": {0: "n"}}, opset_version=17, dynamo=False,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=Path, required=True, help="folder of questions that people asked")
    parser.add_argument("--out", type=Path, required=True, help=f"folder to write {LANGUAGE_NET} to")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = Random(args.seed)
    said = [*spoken(rng), *people_said(args.questions, rng)]
    texts = [(letters(text), SPOKEN.index(language)) for text, language in said]
    export([train(texts, args.epochs, MEMBERS * args.seed + member) for member in range(MEMBERS)], args.out)


if __name__ == "__main__":
    main()
