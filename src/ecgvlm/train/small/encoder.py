"""Train the findings encoder: digitised leads, median beat and measurements -> label probabilities.

    python -m ecgvlm.train.small.encoder --pool runs/pool --out runs/encoder --members 5 --epochs 60

The pool holds observations (`ecgvlm.train.small.pool`): what the digitiser reads off rendered pages of folds
1 to 7, and off simulated rare conditions. Folds 1 to 6 train; calibration and thresholds are set on folds
1 to 7, each judged by what did not see it. Members differ by seed; they and boosted trees
(`ecgvlm.train.small.trees`) are averaged in one ONNX file.
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
import onnx
import torch
import torch.nn.functional as F
from scipy.special import expit
from torch import nn

from ecgvlm.judge.findings import BEAT, NUMBER_NAMES, NUMBERS, SAMPLES, wave_numbers
from ecgvlm.labels import LABELS
from ecgvlm.record import LEADS
from ecgvlm.train.small.trees import fit_trees, joined, tree_logits

if TYPE_CHECKING:
    from _csv import Writer

WIDTHS = (48, 64, 96, 128, 160)
# Where the pieces of each number meet, in percent of the training pages: findings live in the tails.
QUANTILES = (0.3, 1, 2.5, 5, 10, 20, 35, 50, 65, 80, 90, 95, 97.5, 99, 99.7)
BINS = len(QUANTILES) - 1
# Labels that the first numbers (rate, intervals, P waves, axis) tell; a network on a thousand records finds
# only chance there. Waves of the leads say nothing about the RHYTHM ones.
BY_NUMBERS = ("SB", "ST", "SR", "SARRH", "1dAVb")
RHYTHM = (*BY_NUMBERS, "AF", "AFLT", "HAVB", "PAC")
# The number that a label is defined by may have steep steps: annotators draw their lines there.
DEFINED_BY = {"SB": "heart_rate_bpm", "ST": "heart_rate_bpm", "SR": "heart_rate_bpm", "1dAVb": "pr_ms"}
TREES = 0.6  # what the trees' logits weigh beside the network's: by cross-validation flat from 0.5 to 0.85
PRECISION = 0.4  # expected share of those called that have the finding, at the least
JUDGES = 2  # networks that judge the folds they did not see
# Sensitivities for which thresholds are kept; between them a reader interpolates.
FEW = 10  # positives under which the share that is called says nothing
SENSITIVITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
UNREMARKABLE = ("NORM", "SR")  # what a page has that shows nothing: calling it is what misses findings
OF_WAVES = [i for lead in LEADS for i in wave_numbers(lead)]  # of the numbers


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
    and the measured numbers give its logit. Numbers enter piecewise linearly (Gorishniy et al. 2022), so that
    a heart rate of 58 and one of 62 differ by more than a hundredth of a unit. A sum of one function of each
    number (`fit_numbers`) comes first; to it the network adds what the waves show beyond it. edges:
    [NUMBERS, BINS + 1], ascending, where the pieces meet.
    """

    edges: torch.Tensor
    beyond: torch.Tensor

    def __init__(self, edges: torch.Tensor | None = None, width: int = 128, drop: float = 0.3):
        super().__init__()
        labels = len(LABELS)
        self.register_buffer("edges", torch.zeros(NUMBERS, BINS + 1) if edges is None else edges)
        self.strip = _tower(WIDTHS, 9, 2)
        self.beat = _tower((48, 64, 96), 7, 1)
        self.strip_in, self.beat_in = nn.Linear(WIDTHS[-1], width), nn.Linear(96, width)
        self.numbers = nn.Sequential(
            nn.Linear(NUMBERS * (BINS + 1), 96), nn.ReLU(), nn.Dropout(drop), nn.Linear(96, width), nn.ReLU()
        )
        self.each = nn.Linear(NUMBERS * (BINS + 1), labels)
        nn.init.zeros_(self.each.weight)
        self.query = nn.Parameter(torch.randn(labels, width) * 0.05)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Parameter(torch.randn(labels, 3 * width) * 0.02)
        self.register_buffer("beyond", torch.tensor([float(x not in BY_NUMBERS) for x in LABELS]))
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
        pieces = self._pieces(numbers)
        known = self.numbers(self.drop(pieces))
        features = torch.cat([finding, page, known[:, None].expand_as(finding)], 2)
        return self.beyond * (self.drop(features) * self.head).sum(2) + self.each(pieces)

    def _pieces(self, numbers: torch.Tensor) -> torch.Tensor:
        """[B, NUMBERS] -> [B, NUMBERS * (BINS + 1)]: how far each piece is passed, and what is unknown."""
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        unknown = torch.isnan(numbers)[..., None]
        passed = ((torch.nan_to_num(numbers)[..., None] - low) / (high - low + 1e-6)).clamp(0, 1)
        return torch.cat([passed.masked_fill(unknown, 0.0), unknown.to(passed.dtype)], 2).flatten(1)


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


def fit_numbers(net: Encoder, pool: Pool) -> None:
    """Fits the sum of one function of each number, once and for all: logistic regression with a ridge.

    The ridge is weak on the base numbers, weakest on what defines a label, stronger on the waves of leads,
    and forbids those to rhythms.
    """
    pieces = net._pieces(torch.from_numpy(pool.numbers))  # [n, NUMBERS * (BINS + 1)]
    target = torch.from_numpy(pool.target.astype(np.float32))
    known, y = (target >= 0).float(), target.clamp(0, 1)
    ridge = torch.full((len(LABELS), NUMBERS, BINS + 1), 0.01)
    ridge[:, [i for i in range(NUMBERS) if i not in OF_WAVES]] = 0.003
    ridge[np.ix_([LABELS.index(label) for label in RHYTHM], OF_WAVES)] = 1.0
    for label, number in DEFINED_BY.items():
        ridge[LABELS.index(label), NUMBER_NAMES.index(number)] = 1e-4
    with torch.no_grad():
        net.each.bias.copy_(torch.logit(((y * known).sum(0) + 1) / (known.sum(0) + 2)))
    optimizer = torch.optim.LBFGS(net.each.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        losses = F.binary_cross_entropy_with_logits(net.each(pieces), y, reduction="none") * known
        loss = losses.sum() / known.sum() * len(LABELS) + (ridge.flatten(1) * net.each.weight**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    net.each.requires_grad_(False)


def weights_of(pool: Pool) -> np.ndarray:
    """[n], summing to 1: simulated records make up a tenth."""
    odds = np.where(pool.fold > 0, 0.9 / (pool.fold > 0).sum(), 0.1 / max(1, (pool.fold == 0).sum()))
    return odds / odds.sum()


def train_member(
    pool: Pool, seed: int, epochs: int, rate: float, log: Writer | None, batch: int = 64
) -> Encoder:
    """One encoder. An epoch sees one observation a record; weights are averaged over the last steps."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    edges = np.nanpercentile(pool.numbers[pool.fold > 0], QUANTILES, axis=0).T
    net = Encoder(torch.from_numpy(edges.astype(np.float32)))
    fit_numbers(net, pool.where(pool.fold > 0))
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    records = len(set(pool.name[pool.fold > 0].tolist()))
    steps = epochs * records // batch
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], rate, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.15)
    odds = weights_of(pool)
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
    2014), which needs no gold and so does not follow the chance of a few positives. What is rare and hard
    would be called with mostly false alarms: a threshold leaves an expected `PRECISION` among the called.
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
    a, b = slope.item(), offset.detach().numpy()
    p = expit(a * logits + b)
    thresholds = []
    for k in range(len(LABELS)):
        q = np.sort(p[known[:, k], k])[::-1]
        expected = 2 * np.cumsum(q) / (np.arange(1, len(q) + 1) + q.sum())
        best = float(np.clip(q[int(np.argmax(expected))], 0.08, 0.6))
        precise = np.cumsum(q) / np.arange(1, len(q) + 1) >= PRECISION
        thresholds.append(max(best, float(q[max(0, precise.sum() - 1)])))
    return np.full(len(LABELS), a), b, np.array(thresholds)


def sensitive(p: np.ndarray, target: np.ndarray, thresholds: np.ndarray) -> dict[str, list[float]]:
    """Sensitivity asked for -> the highest threshold of each label that calls this share of those with it.

    p, target: [n, labels], out of fold. NORM and SR are no findings: theirs is the lowest that spares this
    share of the pages without them. A label with fewer positives than `FEW` tells no share: it keeps the
    threshold in thresholds [labels].
    """
    out = {}
    for wanted in SENSITIVITIES:
        row = thresholds.copy()
        for k, label in enumerate(LABELS):
            spare = label in UNREMARKABLE
            q = p[target[:, k] == (0 if spare else 1), k]
            if len(q) >= FEW and spare:
                row[k] = np.floor(np.quantile(q, wanted, method="higher") * 1e5 + 1) / 1e5
            elif len(q) >= FEW:
                row[k] = np.floor(np.quantile(q, 1 - wanted, method="lower") * 1e5) / 1e5
        out[f"{wanted:g}"] = row.clip(1e-5, 1 - 1e-5).round(5).tolist()
    return out


def export(net: nn.Module, trees: onnx.ModelProto, path: Path) -> None:
    tmp = path.with_suffix(".onnx.tmp")
    inputs = (torch.zeros(2, 12, SAMPLES), torch.zeros(2, 12, BEAT), torch.zeros(2, NUMBERS))
    names = ["leads", "beat", "numbers"]
    torch.onnx.export(
        net.eval(), inputs, str(tmp), input_names=names, output_names=["logits"],
        dynamic_axes={name: {0: "batch"} for name in (*names, "logits")}, opset_version=17, dynamo=False,
    )  # fmt: skip
    onnx.save(joined(onnx.load(tmp), trees, TREES), tmp)
    os.replace(tmp, path)


def member(pool: Pool, path: Path, seed: int, epochs: int, rate: float, log: Writer | None) -> Encoder:
    """The member kept at path, trained and kept there first where an earlier run did not get so far."""
    if path.exists():
        net = Encoder()
        net.load_state_dict(torch.load(path, weights_only=True))
        return net.eval()
    started = time.monotonic()
    net = train_member(pool, seed, epochs, rate, log)
    torch.save(net.state_dict(), path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)
    print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)
    return net.eval()


def grown(pool: Pool, path: Path) -> onnx.ModelProto:
    """The trees kept at path, grown and kept there first where an earlier run did not get so far."""
    if not path.exists():
        started = time.monotonic()
        model = fit_trees(pool.beat, pool.numbers, pool.target, weights_of(pool), seed=0)
        onnx.save(model, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)
        print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)
    return onnx.load(path)


def judged(net: nn.Module, trees: onnx.ModelProto, pool: Pool) -> np.ndarray:
    """[n, labels]: logits of both together, as the exported graph gives them."""
    return (1 - TREES) * logits_of(net, pool) + TREES * tree_logits(trees, pool.beat, pool.numbers)


def cross_validate(
    pool: Pool, net: nn.Module, trees: onnx.ModelProto, choose: int, out: Path, epochs: int, rate: float
) -> tuple:
    """(logits, pages): out-of-fold logits on the pages of every real fold.

    Fold `choose` is judged by net and trees, which never saw it; the others in pairs by what saw neither.
    """

    def pages_of(fold: int) -> Pool:
        return pool.where((pool.fold == fold) & (pool.kind != "mask"))

    folds = sorted(set(pool.fold[pool.fold > 0].tolist()) - {choose})
    pages = [pages_of(choose)]
    logits = [judged(net, trees, pages[0])]
    for pair in [folds[i : i + 2] for i in range(0, len(folds), 2)]:
        rest, name = pool.where(~np.isin(pool.fold, pair)), f"without{'_'.join(map(str, pair))}"
        nets = Ensemble([
            member(rest, out / f"{name}.{k}.pt", 100 * k + pair[0], epochs, rate, None)
            for k in range(1, JUDGES + 1)
        ]).eval()  # fmt: skip
        own = grown(rest, out / f"{name}.onnx")
        for fold in pair:
            pages.append(pages_of(fold))
            logits.append(judged(nets, own, pages[-1]))
    joint = {key: np.concatenate([getattr(page, key) for page in pages]) for key in Pool.__dataclass_fields__}
    return np.concatenate(logits), Pool(**joint)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--name", default="ecgvlm-small@0.2")
    parser.add_argument("--choose", type=int, default=7, help="fold that is not trained on, but may choose")
    parser.add_argument("--report", type=int, default=8, help="fold that is neither trained on nor looked at")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pool = Pool.load(args.pool)
    pool = pool.where(pool.fold != args.report)
    train = pool.where(pool.fold != args.choose)
    with open(args.out / "log.csv", "a", newline="") as file:
        log = csv.writer(file)
        net = Ensemble([
            member(train, args.out / f"member{seed}.pt", seed, args.epochs, args.rate, log)
            for seed in range(args.members)
        ]).eval()  # fmt: skip
    trees = grown(train, args.out / "trees.onnx")
    export(net, trees, args.out / "encoder.onnx")
    # One fold holds too few positives to choose by, so all folds but the reported one do, each out of fold.
    logits, pages = cross_validate(pool, net, trees, args.choose, args.out, args.epochs, args.rate)
    slope, offset, thresholds = calibrate(logits, pages.target)
    p = expit(slope * logits + offset)
    write_card(
        args.out / "encoder.json",
        args.name,
        slope,
        offset,
        thresholds,
        sensitive(p, pages.target, thresholds),
    )
    print("out of fold\n" + summary(logits, pages, slope, offset, thresholds))
    check = pool.where((pool.fold == args.choose) & (pool.kind != "mask"))
    print(f"fold {args.choose}\n" + summary(judged(net, trees, check), check, slope, offset, thresholds))
    np.savez(
        args.out / "out_of_fold.npz", logits=logits, target=pages.target, fold=pages.fold, name=pages.name
    )


def write_card(
    path: Path,
    name: str,
    slope: np.ndarray,
    offset: np.ndarray,
    thresholds: np.ndarray,
    sensitivity: dict[str, list[float]],
) -> None:
    """What the reader needs to know beside the network: vocabulary, calibration, thresholds.

    sensitivity: as `sensitive` gives it.
    """
    card = {
        "name": name,
        "labels": list(LABELS),
        "slope": slope.round(5).tolist(),
        "offset": offset.round(5).tolist(),
        "thresholds": thresholds.round(5).tolist(),
        "sensitivity": sensitivity,
    }
    path.with_suffix(".tmp").write_text(json.dumps(card, indent=1) + "\n")
    os.replace(path.with_suffix(".tmp"), path)


def summary(
    logits: np.ndarray, pool: Pool, slope: np.ndarray, offset: np.ndarray, thresholds: np.ndarray
) -> str:
    """AUROC and F1 of every label, as a table."""
    from sklearn.metrics import f1_score, roc_auc_score

    p = expit(slope * logits + offset)
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
