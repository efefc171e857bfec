"""Train the language decoder: evidence of random pages -> answers to questions of every kind.

    OMP_NUM_THREADS=1 python -m ecgvlm.train.small.language --out runs/language \
        --records ../shared/data/ptbxl --minutes 60
    python -m ecgvlm.train.small.language --out runs/language --export src/ecgvlm/data

Pages and questions are drawn afresh for every step, seeded by the step's number, so that a run that was
killed goes on from OUT/checkpoint.pt exactly as it would have. One page answers several questions: its prefix
is encoded once, and each question attends to it and to itself.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ecgvlm.atomic import beside
from ecgvlm.instruct.qa import QUESTION_KINDS, Asker
from ecgvlm.instruct.states import sample
from ecgvlm.words.language import ANSWER, ASK, END, LOOK, PAD, SPECIAL, numbers
from ecgvlm.words.prefix import FEATURES, WIDTH, encode

Cache = list[tuple[torch.Tensor, torch.Tensor]]  # keys and values of each layer, [B, heads, T, dim / heads]


@dataclass(frozen=True)
class Config:
    """The decoder's sizes; heads divide dim."""

    vocabulary: int = 2048
    dim: int = 256
    layers: int = 4
    heads: int = 8
    hidden: int = 640
    rope_base: float = 10_000.0


class Norm(nn.Module):
    """RMSNorm (Zhang and Sennrich 2019) in operations that ONNX has."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class Layer(nn.Module):
    """Pre-norm attention with rotary positions, and SwiGLU."""

    def __init__(self, config: Config):
        super().__init__()
        self.heads = config.heads
        self.norm1 = Norm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * config.dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.norm2 = Norm(config.dim)
        self.gate = nn.Linear(config.dim, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, config.dim, bias=False)

    def forward(
        self,
        x: torch.Tensor,
        rope: tuple[torch.Tensor, torch.Tensor],
        mask: torch.Tensor | None,
        past: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        b, t, d = x.shape
        q, k, v = (
            self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        )  # [B, h, T, d]
        q, k = _rotate(q, *rope), _rotate(k, *rope)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)  # [B, h, past + T, d]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        gate, up = self.gate(self.norm2(x)).chunk(2, -1)  # [B, T, hidden] each
        return x + self.down(F.silu(gate) * up), (k, v)


def _rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding (Su et al. 2021): x [B, h, T, d], cos and sin [T, d / 2]."""
    a, b = x.chunk(2, -1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Decoder(nn.Module):
    """Visual tokens (sets of features) and text tokens -> the next text token."""

    rates: torch.Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.features = nn.EmbeddingBag(len(FEATURES), config.dim, mode="sum", padding_idx=0)
        self.words = nn.Embedding(config.vocabulary, config.dim)
        layers = [Layer(config) for _ in range(config.layers)]
        self.layers = nn.ModuleList(layers)
        self.norm = Norm(config.dim)
        half = config.dim // config.heads // 2
        self.register_buffer("rates", config.rope_base ** -(torch.arange(half) / half), persistent=False)
        for weight in self.parameters():
            if weight.ndim == 2:
                nn.init.normal_(
                    weight, std=0.02 if weight.shape[0] == config.vocabulary else weight.shape[1] ** -0.5
                )
        nn.init.normal_(self.features.weight, std=0.3)
        with torch.no_grad():
            self.features.weight[0] = 0
        for layer in layers:
            nn.init.zeros_(layer.out.weight)
            nn.init.zeros_(layer.down.weight)

    def visual(self, features: torch.Tensor) -> torch.Tensor:
        """[B, E, WIDTH] feature numbers -> [B, E, D]."""
        b, e, w = features.shape
        return self.features(features.reshape(-1, w)).view(b, e, -1)

    def run(
        self, x: torch.Tensor, start: int, mask: torch.Tensor | None, past: Cache | None
    ) -> tuple[torch.Tensor, Cache]:
        """[B, T, D] at positions from start on -> hidden states [B, T, D] and the longer cache."""
        angles = torch.arange(start, start + x.shape[1])[:, None] * self.rates  # [T, d / 2]
        rope, cache = (angles.cos(), angles.sin()), []
        for i, layer in enumerate(self.layers):
            x, kv = layer(x, rope, mask, None if past is None else past[i])
            cache.append(kv)
        return self.norm(x), cache

    def forward(self, features: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """features [B, E, WIDTH], rows [B * n, T] -> hidden states [B * n, T, D]: n questions a page."""
        _, cache = self.run(self.visual(features), 0, None, None)
        n, e, t = len(rows) // len(features), features.shape[1], rows.shape[1]
        cache = [(k.repeat_interleave(n, 0), v.repeat_interleave(n, 0)) for k, v in cache]
        mask = torch.ones(t, e + t, dtype=torch.bool).tril(e)  # the whole page, and the text so far
        return self.run(self.words(rows), e, mask, cache)[0]

    def loss(
        self,
        features: torch.Tensor,
        rows: torch.Tensor,
        starts: torch.Tensor,
        left_out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean cross-entropy of the answers' tokens.

        starts [B * n]: where each row's answer begins. left_out [V]: bool, tokens that are not judged.
        """
        hidden = self(features, rows[:, :-1])
        target = rows[:, 1:]
        answer = (torch.arange(1, rows.shape[1]) >= starts[:, None]) & (target != PAD)  # each row's own mask
        if left_out is not None:
            answer &= ~left_out[target]
        logits = hidden[answer] @ self.words.weight.T  # [answer tokens, V]
        return F.cross_entropy(logits.float(), target[answer])


# Questions of like length go together: (kinds, pages, questions a page), one of each in every step.
LONG = ("report", "diagnosis")
LISTS = ("close", "choice", "pick")
SHORT = tuple(kind for kind in QUESTION_KINDS if kind not in (*LONG, *LISTS))
GROUPS = ((LONG, 3, 2), (LISTS, 5, 4), (SHORT, 6, 6))
# The second stage learns what the reader needs most, to choose among true answers by their first words.
CHOOSING = ((LONG, 2, 2), (LISTS, 3, 4), (SHORT, 12, 6))

EVERY = 50  # steps between checkpoints


def batch(
    tokenizer: Tokenizer,
    group: tuple[Sequence[str], int, int],
    rng: Random,
    label_sets: Sequence[frozenset[str]],
    cut: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One group's features [B, E, WIDTH], rows [B * n, T] padded at the end, and answer starts [B * n].

    cut: tokens of an answer that are kept, None for all.
    """
    kinds, pages, n = group
    asker, features, rows, starts = Asker(rng), [], [], []
    for _ in range(pages):
        evidence = sample(rng, label_sets)
        features.append(encode(evidence))
        for i in range(n):
            # Reports alternate; of the lists the close-ended ones are most, as they are in ECGBench.
            kind = (
                kinds[i % 2] if kinds is LONG else rng.choice(("close", *kinds) if kinds is LISTS else kinds)
            )
            qa = asker.ask(evidence, kind)
            question = [ASK, *tokenizer.encode(qa.question).ids, ANSWER]
            rows.append([*question, *[*tokenizer.encode(qa.answer).ids, END][:cut]])
            starts.append(len(question))
    padded = np.full((len(rows), max(map(len, rows))), PAD)
    for line, row in zip(padded, rows):
        line[: len(row)] = row
    return torch.from_numpy(np.stack(features)), torch.from_numpy(padded), torch.tensor(starts)


def train_tokenizer(label_sets: Sequence[frozenset[str]], size: int, texts: int = 30_000) -> Tokenizer:
    """Byte-level BPE on questions and answers; digits and marks are tokens of their own, to be copied."""

    def corpus() -> Iterator[str]:
        rng = Random("tokenizer")
        asker = Asker(rng)
        for _ in range(texts // 2):
            qa = asker.ask(sample(rng, label_sets))
            yield qa.question
            yield qa.answer

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Prepend(" ")  # a word at the start is the same token as in the middle
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def optimizers(model: Decoder, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the layers' matrices, AdamW for embeddings and norms."""
    matrices = [p for p in model.layers.parameters() if p.ndim == 2]
    known = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in known]
    return [
        torch.optim.Muon(matrices, lr=muon_lr, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def save(state: dict, path: Path) -> None:
    """Beside, then renamed: a run that is killed while it writes keeps the checkpoint before."""
    with beside(path) as part:
        torch.save(state, part)


def train(
    out: Path,
    label_sets: Sequence[frozenset[str]],
    config: Config,
    steps: int,
    minutes: float,
    seed: int = 0,
    lr: float = 0.02,
    adam_lr: float = 3e-3,
    resume: bool = False,
    groups: Sequence[tuple[Sequence[str], int, int]] = GROUPS,
    choosing: bool = False,
) -> Decoder:
    """Trains for steps or minutes of wall time, whichever end first; the learning rate falls to 0.

    With minutes the share done is the larger of both shares, so that the learning rate always reaches its
    end. choosing: the second stage, on the first `LOOK` tokens of answers without their numbers.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    checkpoint, words = out / "checkpoint.pt", out / "tokenizer.json"
    step, spent = 0, 0.0
    if resume:
        tokenizer = Tokenizer.from_file(str(words))
    else:
        tokenizer = train_tokenizer(label_sets, config.vocabulary)
        tokenizer.save(str(words))
    config = Config(**{**asdict(config), "vocabulary": tokenizer.get_vocab_size()})
    model = Decoder(config)
    optims = optimizers(model, lr, adam_lr)
    if resume:
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optim, saved in zip(optims, state["optimizers"]):
            optim.load_state_dict(saved)
        step, spent = state["step"], state["seconds"]
    base = [lr, adam_lr]
    weights, left_out = [1 / len(groups)] * len(groups), None
    if choosing:
        total = sum(pages * n for _, pages, n in groups)
        weights = [pages * n / total for _, pages, n in groups]
        left_out = torch.from_numpy(numbers(tokenizer))
    begun = time.monotonic() - spent
    with (out / "log.csv").open("a" if resume else "w", newline="") as file:
        log = csv.writer(file)
        if not resume:
            log.writerow(["step", "seconds", "lr", "long", "lists", "short"])
        while True:
            spent = time.monotonic() - begun
            share = max(step / steps, spent / 60 / minutes)
            finished = share >= 1
            if finished or (step and step % EVERY == 0):
                state = {
                    "model": model.state_dict(),
                    "optimizers": [optim.state_dict() for optim in optims],
                    "config": asdict(config),
                    "step": step,
                    "seconds": spent,
                }
                save(state, checkpoint)
            if finished:
                return model
            scale = min(1, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share)))
            for optim, rate in zip(optims, base):
                for param_group in optim.param_groups:
                    param_group["lr"] = rate * scale
            rng, losses = Random(f"{seed}:{step}"), []
            for group, weight in zip(groups, weights):
                features, rows, starts = batch(tokenizer, group, rng, label_sets, LOOK if choosing else None)
                # On a CPU plain matrix products are faster than the flash kernel's backward pass.
                with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
                    loss = model.loss(features, rows, starts, left_out)
                (loss * weight).backward()
                losses.append(loss.item())
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optim in optims:
                optim.step()
                optim.zero_grad()
            step += 1
            if step % 10 == 0 or step == 1:
                log.writerow([step, f"{spent:.0f}", f"{scale:.4f}", *(f"{x:.4f}" for x in losses)])
                file.flush()


class _Exported(nn.Module):
    """One graph for both phases: page and question first, then one token at a time with the cache."""

    def __init__(self, model: Decoder):
        super().__init__()
        self.model = model

    def forward(
        self, features: torch.Tensor, words: torch.Tensor, past: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """features [E, WIDTH], words [T], past [layers, 2, heads, P, d] -> logits, present; E, T from 0."""
        model = self.model
        e, p = features.shape[0], past.shape[3]
        bags = F.embedding(features, model.features.weight).sum(1)  # [E, D]; the filling feature is all zeros
        x = torch.cat([bags, model.words(words)])[None]
        at = torch.arange(x.shape[1]) + p
        seen = torch.arange(x.shape[1] + p)
        mask = (seen[None] <= at[:, None]) | (seen[None] < e)  # [E + T, P + E + T]
        angles = at[:, None] * model.rates
        rope, cache = (angles.cos(), angles.sin()), []
        for i, layer in enumerate(model.layers):
            x, kv = layer(x, rope, mask, (past[i, 0][None], past[i, 1][None]))
            cache.append(torch.cat(kv))
        return model.norm(x[0, e:]) @ model.words.weight.T, torch.stack(cache)


def export(model: Decoder, path: Path) -> None:
    """Writes the decoder as ONNX: features, words, past -> logits of the token after each word, present."""
    config = model.config
    sizes = (config.layers, 2, config.heads, 3, config.dim // config.heads)
    example = (torch.ones(4, WIDTH, dtype=torch.long), torch.ones(5, dtype=torch.long), torch.zeros(sizes))
    axes = {
        "features": {0: "e"},
        "words": {0: "t"},
        "past": {3: "p"},
        "logits": {0: "t"},
        "present": {3: "n"},
    }
    with beside(path) as part:
        torch.onnx.export(
            _Exported(model.eval()),
            example,
            str(part),
            input_names=["features", "words", "past"],
            output_names=["logits", "present"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


def load(folder: Path) -> Decoder:
    """The decoder of a run's last checkpoint."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    model = Decoder(Config(**state["config"]))
    model.load_state_dict(state["model"])
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--records", type=Path, help="PTB-XL; label combinations of its folds 1 to 6 make pages"
    )
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt")
    parser.add_argument("--choosing", action="store_true", help="second stage, after --resume")
    parser.add_argument(
        "--export", type=Path, metavar="FOLDER", help="only write the run's decoder as ONNX there"
    )
    args = parser.parse_args()
    if args.export:
        export(load(args.out), args.export / "language.onnx")
        (args.export / "tokenizer.json").write_text((args.out / "tokenizer.json").read_text("utf-8"), "utf-8")
        return
    label_sets: list[frozenset[str]] = []
    if args.records:
        from ecgvlm.files.datasets import load_ptbxl

        label_sets = [record.labels or frozenset() for record in load_ptbxl(args.records, range(1, 7))]
    groups = CHOOSING if args.choosing else GROUPS
    train(
        args.out, label_sets, Config(), args.steps, args.minutes, args.seed,
        resume=args.resume, groups=groups, choosing=args.choosing,
    )  # fmt: skip


if __name__ == "__main__":
    main()
