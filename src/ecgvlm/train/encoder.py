"""Train the findings encoder: digitised leads, median beat and measurements -> label probabilities.

    python -m ecgvlm.train.encoder --pool runs/pool --out runs/encoder --members 5 --epochs 60

The pool holds observations (`ecgvlm.train.pool`): what the digitiser reads off rendered pages of folds 1 to
7, and off simulated rare conditions. Folds 1 to 6 train; fold 7 sets calibration and thresholds. Members
differ by seed and are averaged in one ONNX file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ecgvlm.labels import LABELS
from ecgvlm.model.findings import BEAT, NUMBERS, SAMPLES

if TYPE_CHECKING:
    from _csv import Writer

WIDTHS = (48, 64, 96, 128, 160)


class Residual(nn.Module):
    """Two convolutions over time around a shortcut that halves the length: [B, a, T] -> [B, b, T/2]."""

    def __init__(self, a: int, b: int, kernel: int = 5, drop: float = 0.1):
        super().__init__()
        self.conv1 = nn.Conv1d(a, b, kernel, 2, kernel // 2, bias=False)
        self.norm1 = nn.BatchNorm1d(b)
        self.conv2 = nn.Conv1d(b, b, kernel, 1, kernel // 2, bias=False)
        self.norm2 = nn.BatchNorm1d(b)
        self.short = nn.Sequential(nn.Conv1d(a, b, 2, 2, bias=False), nn.BatchNorm1d(b))
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.pad(x, (0, x.shape[2] % 2))
        y = self.norm2(self.conv2(self.drop(F.relu(self.norm1(self.conv1(x))))))
        return F.relu(self.short(x) + y)


def _tower(widths: tuple[int, ...], kernel: int, stride: int) -> nn.Sequential:
    stem = [
        nn.Conv1d(24, widths[0], kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm1d(widths[0]),
        nn.ReLU(),
    ]
    return nn.Sequential(*stem, *(Residual(a, b) for a, b in pairwise(widths)))


class Encoder(nn.Module):
    """leads [B, 12, SAMPLES], beat [B, 12, BEAT] in mV, numbers [B, NUMBERS] -> logits [B, labels].

    Every label has a query of its own that attends to the strip's and the beat's tokens; its finding token
    and the measured numbers give its logit.
    """

    def __init__(self, width: int = 128, drop: float = 0.3):
        super().__init__()
        labels = len(LABELS)
        self.strip = _tower(WIDTHS, 9, 2)
        self.beat = _tower((48, 64, 96), 7, 1)
        self.strip_in, self.beat_in = nn.Linear(WIDTHS[-1], width), nn.Linear(96, width)
        self.numbers = nn.Sequential(
            nn.Linear(2 * NUMBERS, 96), nn.ReLU(), nn.Dropout(drop), nn.Linear(96, width), nn.ReLU()
        )
        self.query = nn.Parameter(torch.randn(labels, width) * 0.05)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Parameter(torch.randn(labels, 3 * width) * 0.05)
        self.bias = nn.Parameter(torch.zeros(labels))
        self.drop = nn.Dropout(drop)

    @staticmethod
    def _with_mask(x: torch.Tensor) -> torch.Tensor:
        printed = ~torch.isnan(x)
        return torch.cat([torch.nan_to_num(x), printed.to(x.dtype)], 1)

    def forward(self, leads: torch.Tensor, beat: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        strip = self.strip_in(self.strip(self._with_mask(leads)).transpose(1, 2))  # [B, 32, D]
        beats = self.beat_in(self.beat(self._with_mask(beat)).transpose(1, 2))  # [B, T, D]
        tokens = torch.cat([strip, beats], 1)
        weights = torch.softmax(self.query @ self.key(tokens).transpose(1, 2) / tokens.shape[2] ** 0.5, 2)
        finding = weights @ self.value(tokens)  # [B, L, D]
        page = tokens.amax(1, keepdim=True).expand_as(finding)
        known = self.numbers(
            torch.cat([torch.nan_to_num(numbers), torch.isnan(numbers).to(numbers.dtype)], 1)
        )
        features = torch.cat([finding, page, known[:, None].expand_as(finding)], 2)
        return (self.drop(features) * self.head).sum(2) + self.bias


@dataclass
class Pool:
    """Observations, stacked.

    leads [n, 12, SAMPLES], beat [n, 12, BEAT], numbers [n, NUMBERS], target [n, labels] (1, 0, -1 unknown),
    fold [n] (0: simulated), name and kind [n].
    """

    leads: np.ndarray
    beat: np.ndarray
    numbers: np.ndarray
    target: np.ndarray
    fold: np.ndarray
    name: np.ndarray
    kind: np.ndarray

    @classmethod
    def load(cls, paths: list[Path]) -> Pool:
        parts = [np.load(path) for path in paths]
        return cls(**{key: np.concatenate([part[key] for part in parts]) for key in cls.__dataclass_fields__})

    def where(self, mask: np.ndarray) -> Pool:
        return Pool(**{key: getattr(self, key)[mask] for key in self.__dataclass_fields__})


def augment(
    leads: torch.Tensor, beat: torch.Tensor, numbers: torch.Tensor, rng: np.random.Generator
) -> tuple:
    """Variations that leave the numbers true: gain, a little noise and blur, missing pieces and numbers."""
    n = len(leads)

    def chosen(p: float, *shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.random((n, *shape)) < p)

    gain = torch.from_numpy(rng.normal(1, 0.06, (n, 1, 1)).astype(np.float32))
    each = torch.from_numpy(rng.normal(1, 0.03, (n, 12, 1)).astype(np.float32))
    leads, beat = leads * gain * each, beat * gain * each
    noise = torch.from_numpy(rng.choice([0.0, 0.01, 0.025], n).astype(np.float32))[:, None, None]
    leads, beat = leads + noise * torch.randn_like(leads), beat + 0.4 * noise * torch.randn_like(beat)
    shift = int(rng.integers(-60, 61))
    leads = torch.roll(leads, shift, 2)
    beat = torch.roll(beat, int(rng.integers(-2, 3)), 2)
    lost = chosen(0.03, 12, 1)
    start = torch.from_numpy(rng.integers(0, SAMPLES, (n, 12, 1)))
    length = torch.from_numpy(rng.integers(4, 40, (n, 12, 1))) * chosen(0.1, 12, 1)
    at = torch.arange(SAMPLES)
    leads = leads.masked_fill(lost | ((at >= start) & (at < start + length)), torch.nan)
    beat = beat.masked_fill(lost, torch.nan)
    # Now and then one of the three views is missing, so that none is leant on alone.
    leads = leads.masked_fill(chosen(0.04, 1, 1), torch.nan)
    beat = beat.masked_fill(chosen(0.08, 1, 1), torch.nan)
    numbers = numbers * torch.from_numpy(rng.normal(1, 0.02, (n, 1)).astype(np.float32))
    numbers = numbers.masked_fill(chosen(0.1, 1) | chosen(0.03, NUMBERS), torch.nan)
    return leads, beat, numbers


def train_member(
    pool: Pool, seed: int, epochs: int, rate: float, log: Writer | None, batch: int = 64
) -> Encoder:
    """One encoder. An epoch sees one observation a record; weights are averaged over the last steps."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Encoder()
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    records = len(set(pool.name[pool.fold > 0].tolist()))
    steps = epochs * records // batch
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.15)
    # A record is drawn the more often the rarer its rarest label is; simulated ones make up a fifth.
    positive = pool.target == 1
    count = np.maximum(positive[pool.fold > 0].sum(0), 3)
    odds = np.maximum((positive / np.sqrt(count)).max(1), 1 / np.sqrt(records / 2))
    real = pool.fold > 0
    odds[real] *= 0.8 / odds[real].sum()
    if (~real).any():
        odds[~real] *= 0.2 / odds[~real].sum()
    odds /= odds.sum()
    target = torch.from_numpy(pool.target.astype(np.float32))
    order = rng.choice(len(odds), (steps, batch), p=odds)
    for step in range(steps):
        i = order[step]
        views = [
            torch.from_numpy(view[i].astype(np.float32)) for view in (pool.leads, pool.beat, pool.numbers)
        ]
        leads, beat, numbers = augment(views[0], views[1], views[2], rng)
        y = target[i]
        known = (y >= 0).float()
        y = y.clamp(0, 1)
        if rng.random() < 0.3:  # mixup (Zhang et al. 2018) of the waves; the numbers of the stronger part
            share, other = float(rng.beta(0.3, 0.3)), torch.from_numpy(rng.permutation(batch))
            leads = torch.where(
                leads.isnan(), leads[other], share * leads + (1 - share) * leads[other].nan_to_num()
            )
            beat = torch.where(
                beat.isnan(), beat[other], share * beat + (1 - share) * beat[other].nan_to_num()
            )
            numbers = numbers if share >= 0.5 else numbers[other]
            y, known = share * y + (1 - share) * y[other], known * known[other]
        net.train()
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(leads, beat, numbers)
        loss = (
            F.binary_cross_entropy_with_logits(logits.float(), y, reduction="none") * known
        ).sum() / known.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(net)
        if log and step % 50 == 0:
            log.writerow([seed, step, f"{loss.item():.4f}"])
    trained = average.module.eval()
    assert isinstance(trained, Encoder)
    return trained


class Ensemble(nn.Module):
    """Mean of the members' logits."""

    def __init__(self, members: list[Encoder]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, leads: torch.Tensor, beat: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return torch.stack([member(leads, beat, numbers) for member in self.members]).mean(0)


@torch.no_grad()
def logits_of(net: nn.Module, pool: Pool) -> np.ndarray:
    out = []
    for start in range(0, len(pool.fold), 128):
        part = slice(start, start + 128)
        out.append(
            net(
                *(torch.from_numpy(v[part].astype(np.float32)) for v in (pool.leads, pool.beat, pool.numbers))
            )
        )
    return torch.cat(out).numpy()


def calibrate(logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per label: slope and offset of Platt's scaling, and the threshold with the best expected F1.

    One slope serves all labels (fold 7 holds few positives of most), the offset is each label's own. The
    threshold is chosen on the calibrated probabilities' expected F1 (sum of p over the found, Lipton et al.
    2014), which needs no gold and so does not follow the chance of a few positives.
    """
    known = target >= 0
    slope, offset = torch.ones(1, requires_grad=True), torch.zeros(len(LABELS), requires_grad=True)
    x, y, w = (
        torch.from_numpy(logits),
        torch.from_numpy((target == 1).astype(np.float32)),
        torch.from_numpy(known),
    )
    optimizer = torch.optim.LBFGS([slope, offset], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(slope * x + offset, y, reduction="none")[w].mean()
        loss = loss + 0.002 * (offset**2).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    a, b = float(slope), offset.detach().numpy()
    p = 1 / (1 + np.exp(-(a * logits + b)))
    thresholds = []
    for k in range(len(LABELS)):
        q = np.sort(p[known[:, k], k])[::-1]
        expected = 2 * np.cumsum(q) / (np.arange(1, len(q) + 1) + q.sum())
        thresholds.append(float(np.clip(q[int(np.argmax(expected))], 0.08, 0.6)))
    return np.full(len(LABELS), a), b, np.array(thresholds)


def export(net: nn.Module, path: Path) -> None:
    tmp = path.with_suffix(".onnx.tmp")
    inputs = (torch.zeros(2, 12, SAMPLES), torch.zeros(2, 12, BEAT), torch.zeros(2, NUMBERS))
    names = ["leads", "beat", "numbers"]
    torch.onnx.export(
        net.eval(), inputs, str(tmp), input_names=names, output_names=["logits"],
        dynamic_axes={name: {0: "batch"} for name in (*names, "logits")}, opset_version=17, dynamo=False,
    )  # fmt: skip
    os.replace(tmp, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--name", default="ecgvlm-small@0.1")
    parser.add_argument(
        "--hold-out", default="7,8", help="folds that are not trained on; the first calibrates"
    )
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pool = Pool.load(args.pool)
    held = [int(fold) for fold in args.hold_out.split(",")]
    train = pool.where(~np.isin(pool.fold, held))
    check = pool.where(pool.fold == held[0])
    members: list[Encoder] = []
    with open(args.out / "log.csv", "a", newline="") as file:
        log = csv.writer(file)
        for seed in range(args.members):
            path = args.out / f"member{seed}.pt"
            if path.exists():  # an earlier, interrupted run
                member = Encoder()
                member.load_state_dict(torch.load(path, weights_only=True))
            else:
                started = time.monotonic()
                member = train_member(train, seed, args.epochs, args.rate, log)
                torch.save(member.state_dict(), path.with_suffix(".tmp"))
                os.replace(path.with_suffix(".tmp"), path)
                print(f"member {seed}: {time.monotonic() - started:.0f} s", flush=True)
            members.append(member.eval())
            file.flush()
    net = Ensemble(members).eval()
    logits = logits_of(net, check)
    slope, offset, thresholds = calibrate(logits, check.target)
    print(summary(logits, check, slope, offset, thresholds))
    export(net, args.out / "encoder.onnx")
    card = {
        "name": args.name,
        "labels": list(LABELS),
        "slope": slope.round(5).tolist(),
        "offset": offset.round(5).tolist(),
        "thresholds": thresholds.round(5).tolist(),
    }
    tmp = args.out / "encoder.json.tmp"
    tmp.write_text(json.dumps(card, indent=1) + "\n")
    os.replace(tmp, args.out / "encoder.json")


def summary(
    logits: np.ndarray, pool: Pool, slope: np.ndarray, offset: np.ndarray, thresholds: np.ndarray
) -> str:
    """AUROC and F1 of every label, as a table."""
    from sklearn.metrics import f1_score, roc_auc_score

    p = 1 / (1 + np.exp(-(slope * logits + offset)))
    rows, table = [], []
    for k, label in enumerate(LABELS):
        known = pool.target[:, k] >= 0
        y = pool.target[known, k] == 1
        if 0 < y.sum() < len(y):
            auroc, f1 = roc_auc_score(y, p[known, k]), f1_score(y, p[known, k] >= thresholds[k])
            table.append((label, auroc, f1))
            rows.append(
                f"{label:6s} n={int(y.sum()):5d} AUROC {auroc:.3f} F1 {f1:.3f} threshold {thresholds[k]:.2f}"
            )
    seven = [row for row in table if row[0] in ("NORM", "1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")]
    rows.append(f"seven: AUROC {np.mean([r[1] for r in seven]):.4f} F1 {np.mean([r[2] for r in seven]):.4f}")
    rows.append(f"all: AUROC {np.mean([r[1] for r in table]):.4f} F1 {np.mean([r[2] for r in table]):.4f}")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
