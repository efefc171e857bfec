"""Train the findings encoder: digitised leads, median beat and measurements -> label probabilities.

    python -m ecgvlm.train.small.encoder --pool runs/pool/mask runs/pool/page runs/pool/simulated \
        --records ../shared/data/ptbxl --out runs/encoder

The pool holds observations (`ecgvlm.train.small.pool`). Its records are split by patient into `GROUPS`; one
network and boosted trees (`ecgvlm.train.small.trees`) for each group learn from the others and judge it.
Calibration, thresholds and all figures rest on these judgements out of fold. The exported graph averages the
networks with trees that learned from all groups.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from scipy.special import expit, logit
from torch import nn

from ecgvlm.atomic import beside, write_file
from ecgvlm.judge.findings import (
    BEAT,
    ENCODER_FS,
    NUMBER_NAMES,
    NUMBERS,
    OF_NETWORK,
    SAMPLES,
    wave_numbers,
)
from ecgvlm.labels import CODE15, LABELS, SUPERCLASSES
from ecgvlm.record import LEADS
from ecgvlm.train.small.pool import GROUPS, LAYOUT_ODDS, Pool, Signals, as_printed, load_pool
from ecgvlm.train.small.trees import fit_trees, joined, tree_logits

if TYPE_CHECKING:
    from _csv import Writer

STRIP_WIDTHS, BEAT_WIDTHS = (40, 64, 96, 128), (64, 96, 128)
# Where the pieces of each number meet, in percent of the training pages: findings live in the tails.
QUANTILES = (0.3, 1, 2.5, 5, 10, 20, 35, 50, 65, 80, 90, 95, 97.5, 99, 99.7)
BINS = len(QUANTILES) - 1
# Labels that the heart rate defines; a network finds only chance beside it.
BY_NUMBERS = ("SB", "ST")
# Labels about which the waves' heights in the leads say nothing.
RHYTHM = (*BY_NUMBERS, "SR", "SARRH", "1dAVb", "AF", "AFLT", "HAVB", "PAC")
# The number that a label is defined by may have steep steps: annotators draw their lines there.
DEFINED_BY = {"SB": "heart_rate_bpm", "ST": "heart_rate_bpm", "SR": "heart_rate_bpm", "1dAVb": "pr_ms"}
SIMULATED = 0.1  # share of the simulated records
OF_WAVES = np.array([wave_numbers(lead) for lead in LEADS])  # places of each lead's waves among the numbers
HELD = 5.0  # how strongly the calibration of a label is held to that of all, and of pages to that of signals
RIGHT = 0.5  # what the expected share of right calls weighs beside the expected F1
PRECISION = 0.4  # expected share of those called that have the finding, at the least
# Sensitivities for which thresholds are kept; between them a reader interpolates.
FEW = 10  # positives under which the share that is called says nothing
SENSITIVITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
KEPT = ("target", "fold", "group", "name", "kind", "estimated")  # of the observations, beside judgements
UNREMARKABLE = ("NORM", "SR")  # what a page has that shows nothing: calling it is what misses findings


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
    [OF_NETWORK, BINS + 1], ascending, where the pieces meet; the numbers beyond are left to the trees.
    """

    edges: torch.Tensor
    beyond: torch.Tensor

    def __init__(self, edges: torch.Tensor | None = None, width: int = 128, drop: float = 0.3):
        super().__init__()
        labels = len(LABELS)
        self.register_buffer("edges", torch.zeros(OF_NETWORK, BINS + 1) if edges is None else edges)
        self.strip = _tower(STRIP_WIDTHS, 11, 4)
        self.beat = _tower(BEAT_WIDTHS, 7, 1)
        self.strip_in = nn.Linear(STRIP_WIDTHS[-1], width)
        self.beat_in = nn.Linear(BEAT_WIDTHS[-1], width)
        self.numbers = nn.Sequential(
            nn.Linear(OF_NETWORK * (BINS + 1), 96),
            nn.ReLU(),
            nn.Dropout(drop),
            nn.Linear(96, width),
            nn.ReLU(),
        )
        self.each = nn.Linear(OF_NETWORK * (BINS + 1), labels)
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
        """[B, NUMBERS] -> [B, OF_NETWORK * (BINS + 1)]: how far each piece is passed, and what is unknown."""
        numbers = numbers[:, :OF_NETWORK]
        low, high = self.edges[:, :-1], self.edges[:, 1:]
        unknown = torch.isnan(numbers)[..., None]
        passed = ((torch.nan_to_num(numbers)[..., None] - low) / (high - low + 1e-6)).clamp(0, 1)
        return torch.cat([passed.masked_fill(unknown, 0.0), unknown.to(passed.dtype)], 2).flatten(1)


def reprinted(signals: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[n, 12, SAMPLES]: what random layouts print of whole records ([n, 12, SAMPLES] mV at `ENCODER_FS`)."""
    layouts = rng.choice(list(LAYOUT_ODDS), len(signals), p=list(LAYOUT_ODDS.values()))
    printed = {
        layout: np.isfinite(as_printed(np.zeros((12, SAMPLES)), ENCODER_FS, layout, SAMPLES / ENCODER_FS))
        for layout in LAYOUT_ODDS
    }
    offsets = rng.normal(0, 0.02, (len(signals), 12, 1))  # each lead's median over less than the record
    shown = np.stack([printed[layout] for layout in layouts])
    return np.where(shown, signals + offsets, np.nan).astype(np.float32)


def augment(
    leads: torch.Tensor,
    beat: torch.Tensor,
    numbers: torch.Tensor,
    spread: torch.Tensor,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Variations that leave the labels true: gain, a little noise, missing pieces and numbers.

    spread: [n], how uncertain the gain of each lead is (standard deviation of its logarithm).
    """
    n = len(leads)

    def chosen(p: float, *shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.random((n, *shape)) < p)

    gain = torch.from_numpy(rng.normal(0, 0.06, (n, 1, 1)).astype(np.float32))
    each = torch.from_numpy(rng.standard_normal((n, 12, 1)).astype(np.float32))
    gain = (gain + each * spread[:, None, None]).exp()
    noise = torch.from_numpy(rng.choice([0.0, 0.01, 0.025], n).astype(np.float32))[:, None, None]
    leads = leads * gain + noise * torch.randn_like(leads)
    beat = beat * gain + 0.4 * noise * torch.randn_like(beat)
    scale = (1 + 0.02 * torch.randn(n, 1)).repeat(1, OF_NETWORK)
    scale[:, OF_WAVES] = gain  # [n, 12, 1]
    numbers = numbers[:, :OF_NETWORK] * scale
    leads = torch.roll(leads, int(rng.integers(-60, 61)), 2)
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
    numbers = numbers.masked_fill(chosen(0.1, 1) | chosen(0.03, OF_NETWORK), torch.nan)
    return leads, beat, numbers


def fit_numbers(net: Encoder, pool: Pool) -> None:
    """Fits the sum of one function of each number, once and for all: logistic regression with a ridge.

    The ridge is weak on the base numbers, weakest on what defines a label, stronger on the waves of leads,
    and forbids those to rhythms.
    """
    pieces = net._pieces(torch.from_numpy(pool.numbers))  # [n, OF_NETWORK * (BINS + 1)]
    target = torch.from_numpy(pool.target.astype(np.float32))
    known, y = (target >= 0).float(), target.clamp(0, 1)
    ridge = torch.full((len(LABELS), OF_NETWORK, BINS + 1), 0.01)
    waves = OF_WAVES.ravel()
    ridge[:, np.setdiff1d(np.arange(OF_NETWORK), waves)] = 0.003
    rhythms = np.array([LABELS.index(label) for label in RHYTHM])
    ridge[np.ix_(rhythms, waves)] = 1.0
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
    """[n], summing to 1: every real record weighs the same, the simulated ones `SIMULATED` in all."""
    _, record, count = np.unique(pool.name, return_inverse=True, return_counts=True)
    odds = 1 / count[record]
    for part, share in ((pool.real, 1 - SIMULATED), (~pool.real, SIMULATED)):
        odds[part] *= share / max(odds[part].sum(), 1e-9)
    return odds / odds.sum()


def train_network(
    pool: Pool, signals: Signals, seed: int, epochs: int, rate: float, log: Writer | None, batch: int = 64
) -> Encoder:
    """One network. An epoch is as many observations as there are real records.

    Half of those without paper show another part of their record each time. Weights are averaged over the
    last steps.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    edges = np.nanpercentile(pool.numbers[pool.real, :OF_NETWORK], QUANTILES, axis=0).T
    net = Encoder(torch.from_numpy(edges.astype(np.float32)))
    fit_numbers(net, pool.where(pool.real))
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99), use_buffers=True
    )
    steps = epochs * len(set(pool.name[pool.real].tolist())) // batch
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], rate, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.15)
    target = torch.from_numpy(pool.target.astype(np.float32))
    spread = torch.from_numpy(np.where(pool.estimated, 0.2, 0.03).astype(np.float32))
    order = rng.choice(len(target), (steps, batch), p=weights_of(pool))
    net.train()
    for step, i in enumerate(order):
        seen = pool.leads[i].astype(np.float32)
        again = np.flatnonzero((pool.kind[i] == "mask") & pool.real[i] & (rng.random(batch) < 0.5))
        seen[again] = reprinted(signals.of(pool.name[i[again]]), rng)
        views = [torch.from_numpy(x.astype(np.float32)) for x in (seen, pool.beat[i], pool.numbers[i])]
        leads, beat, numbers = augment(views[0], views[1], views[2], spread[i], rng)
        y = target[i]
        known = (y >= 0).float()
        y = y.clamp(0, 1)
        if rng.random() < 0.3:  # mixup (Zhang et al. 2018) of the waves; the numbers of the stronger part
            share, other = float(rng.beta(0.3, 0.3)), torch.from_numpy(rng.permutation(batch))
            leads, beat = mixed(leads, leads[other], share), mixed(beat, beat[other], share)
            numbers = numbers if share >= 0.5 else numbers[other]
            y, known = share * y + (1 - share) * y[other], known * known[other]
        losses = F.binary_cross_entropy_with_logits(net(leads, beat, numbers), y, reduction="none")
        loss = (losses * known).sum() / known.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(net)
        if log and step % 25 == 0:
            log.writerow([seed, step, f"{loss.item():.4f}"])
    trained = average.module.eval()
    assert isinstance(trained, Encoder)
    return trained


def mixed(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """share of one, the rest of the other, where both are printed; else the other's."""
    return torch.where(one.isnan(), other, share * one + (1 - share) * other.nan_to_num())


class Ensemble(nn.Module):
    """Mean of the members' logits."""

    def __init__(self, members: list[Encoder]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, leads: torch.Tensor, beat: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return torch.stack([member(leads, beat, numbers) for member in self.members]).mean(0)


@torch.no_grad()
def network_logits(net: nn.Module, pool: Pool) -> np.ndarray:
    """[n, labels]."""
    out = []
    for start in range(0, len(pool.fold), 128):
        part = slice(start, start + 128)
        views = (pool.leads, pool.beat, pool.numbers)
        out.append(net(*(torch.from_numpy(x[part].astype(np.float32)) for x in views)))
    return torch.cat(out).numpy()


def calibrate(logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Platt's scaling of the networks' and the trees' logits together: [2, labels] slopes, [labels] offset.

    logits: [n, 2, labels]; target: [n, labels], -1 unknown. A label's slopes are held to those of all, the
    more so the fewer positives it has.
    """
    x, y = torch.from_numpy(logits), torch.from_numpy((target == 1).astype(np.float32))
    known = torch.from_numpy((target >= 0).astype(np.float32))
    slopes, offset = torch.full(logits.shape[1:], 0.5), torch.zeros(len(LABELS))
    parameters = [slopes.requires_grad_(), offset.requires_grad_()]
    optimizer = torch.optim.LBFGS(parameters, max_iter=300, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        z = (slopes * x).sum(1) + offset
        losses = F.binary_cross_entropy_with_logits(z, y, reduction="none") * known
        held = ((slopes - slopes.mean(1, keepdim=True)) ** 2).sum() + 0.1 * (offset**2).sum()
        loss = losses.sum() + HELD * held
        loss.backward()
        return loss

    optimizer.step(closure)
    return slopes.detach().numpy().clip(0.05), offset.detach().numpy()


def paper_offset(p: np.ndarray, name: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """[labels]: what the logits of pages lack, so that they say on average what the same records say without
    paper (the closest in cross-entropy).

    Digitising rounds off what is sharp: pages look a little wider and more abnormal than their records. The
    records' own probabilities tell that with far less chance in it than a few hundred golds do. p: [n,
    labels], calibrated; name, kind: [n] as of a pool.
    """
    signals = {record: i for i, record in enumerate(name.tolist()) if kind[i] == "mask"}
    pages = [i for i, record in enumerate(name.tolist()) if kind[i] != "mask" and record in signals]
    wanted = p[[signals[record] for record in name[pages].tolist()]]
    z, offset = logit(p[pages].clip(1e-6, 1 - 1e-6)), np.zeros(p.shape[1])
    for _ in range(20):  # Newton's steps
        q = expit(z + offset)
        offset += ((wanted - q).sum(0) - HELD * offset) / ((q * (1 - q)).sum(0) + HELD)
    return offset


def with_offset(p: np.ndarray, offset: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """[n, labels] probabilities, those of pages with their offset ([labels]). kind: [n] as of a pool."""
    on_paper = (kind != "mask")[:, None]
    return np.where(on_paper, expit(logit(p.clip(1e-6, 1 - 1e-6)) + offset), p)


def best_thresholds(p: np.ndarray, target: np.ndarray) -> np.ndarray:
    """[labels]: the probability of each with the best expected F1 (Lipton et al. 2014) and, beside it, most
    expected right calls.

    The expectation is the calibrated probabilities' own (sum of p over the found): it needs no gold and so
    does not follow the chance of a few positives. What is rare and hard would be called with mostly false
    alarms: a threshold leaves an expected `PRECISION` among the called.
    """
    thresholds = []
    for k in range(len(LABELS)):
        q = np.sort(p[target[:, k] >= 0, k])[::-1]
        called, found = np.arange(1, len(q) + 1), np.cumsum(q)
        expected = 2 * found / (called + q.sum()) + RIGHT * (2 * found - called) / len(q)
        best = float(np.clip(q[int(np.argmax(expected))], 0.08, 0.6))
        precise = found / called >= PRECISION
        thresholds.append(max(best, float(q[max(0, precise.sum() - 1)])))
    return np.array(thresholds)


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


def export(net: nn.Module, trees: onnx.ModelProto, share: np.ndarray, path: Path) -> None:
    """One graph (leads, beat, numbers) -> logits. share: [labels], of the trees' logits."""
    names = ["leads", "beat", "numbers"]
    inputs = (torch.zeros(2, 12, SAMPLES), torch.zeros(2, 12, BEAT), torch.zeros(2, NUMBERS))
    with beside(path) as part:
        torch.onnx.export(
            net.eval(), inputs, str(part), input_names=names, output_names=["logits"],
            dynamic_axes={name: {0: "batch"} for name in (*names, "logits")}, opset_version=17, dynamo=False,
        )  # fmt: skip
        onnx.save(joined(onnx.load(part), trees, share), part)


def network(pool: Pool, signals: Signals, path: Path, seed: int, epochs: int, rate: float) -> Encoder:
    """The network kept at path, trained and kept there first where an earlier run did not get so far."""
    if path.exists():
        return kept_network(path)
    started, used = time.monotonic(), time.process_time()
    with path.with_suffix(".csv").open("w", newline="") as file:
        net = train_network(pool, signals, seed, epochs, rate, csv.writer(file))
    with beside(path) as part:
        torch.save(net.state_dict(), part)
    print(f"{path.name}: {time.process_time() - used:.0f} s of a core in {time.monotonic() - started:.0f} s")
    return net.eval()


def kept_network(path: Path) -> Encoder:
    net = Encoder()
    net.load_state_dict(torch.load(path, weights_only=True))
    return net.eval()


def grown(pool: Pool, path: Path) -> onnx.ModelProto:
    """The trees kept at path, grown and kept there first where an earlier run did not get so far."""
    if not path.exists():
        started = time.process_time()
        model = fit_trees(pool.beat, pool.numbers, pool.target, weights_of(pool), seed=0)
        with beside(path) as part:
            onnx.save(model, part)
        print(f"{path.name}: {time.process_time() - started:.0f} s of a core")
    return onnx.load(path)


def kept_at(run: Path) -> list[tuple[Path, Path]]:
    """Where a run keeps the network and the trees that judge each group."""
    return [(run / f"network{group}.pt", run / f"trees{group}.onnx") for group in range(GROUPS)]


def logits_out_of_fold(pages: Pool, run: Path) -> np.ndarray:
    """[n, 2, labels]: what the network and the trees say that learned from the other groups of patients.

    pages: real ones, not necessarily those that the run learned from.
    """
    logits = np.zeros((len(pages.fold), 2, len(LABELS)), np.float32)
    for group, (of_network, of_trees) in enumerate(kept_at(run)):
        here = pages.group == group
        own = pages.where(here)
        logits[here, 0] = network_logits(kept_network(of_network), own)
        logits[here, 1] = tree_logits(onnx.load(of_trees), own.beat, own.numbers)
    return logits


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, nargs="+", required=True)
    parser.add_argument("--records", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--name", default="ecgvlm-small@0.3")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pool, signals = load_pool(args.pool, args.records), Signals(args.records)
    nets = []
    for group, (of_network, of_trees) in enumerate(kept_at(args.out)):
        rest = pool.where(pool.group != group)
        nets.append(network(rest, signals, of_network, group, args.epochs, args.rate))
        grown(rest, of_trees)
    pages = pool.where(pool.real)
    logits = logits_out_of_fold(pages, args.out)
    slopes, offset = calibrate(logits, pages.target)
    slope, share = slopes.sum(0), slopes[1] / slopes.sum(0)
    export(Ensemble(nets), grown(pool, args.out / "trees.onnx"), share, args.out / "encoder.onnx")
    p = expit((slopes * logits).sum(1) + offset)
    paper = paper_offset(p, pages.name, pages.kind)
    p = with_offset(p, paper, pages.kind)
    kept = {name: getattr(pages, name) for name in KEPT}
    np.savez(args.out / "out_of_fold.npz", logits=logits, probabilities=p, **kept)
    thresholds = best_thresholds(p, pages.target)
    found = sensitive(p, pages.target, thresholds)
    write_card(args.out / "encoder.json", args.name, slope, offset, paper, thresholds, found)
    print("out of fold\n" + summary(p, pages.target, thresholds))


def write_card(
    path: Path,
    name: str,
    slope: np.ndarray,
    offset: np.ndarray,
    paper: np.ndarray,
    thresholds: np.ndarray,
    sensitivity: dict[str, list[float]],
) -> None:
    """What the reader needs to know beside the network: vocabulary, calibration, thresholds.

    paper: of `paper_offset`. sensitivity: as `sensitive` gives it.
    """
    card = {
        "name": name,
        "labels": list(LABELS),
        "slope": slope.round(5).tolist(),
        "offset": offset.round(5).tolist(),
        "paper": paper.round(5).tolist(),
        "thresholds": thresholds.round(5).tolist(),
        "sensitivity": sensitivity,
    }
    write_file(path, (json.dumps(card, indent=1) + "\n").encode())


def summary(p: np.ndarray, target: np.ndarray, thresholds: np.ndarray) -> str:
    """AUROC and F1 of every label, as a table."""
    from sklearn.metrics import f1_score, roc_auc_score

    rows, table = [], {}
    for k, label in enumerate(LABELS):
        known = target[:, k] >= 0
        y = target[known, k] == 1
        if 0 < y.sum() < len(y):
            table[label] = roc_auc_score(y, p[known, k]), f1_score(y, p[known, k] >= thresholds[k])
            auroc, f1 = table[label]
            rows.append(
                f"{label:6s} n={int(y.sum()):5d} AUROC {auroc:.3f} F1 {f1:.3f} threshold {thresholds[k]:.2f}"
            )
    for name, labels in (("NORM and the six", ("NORM", *CODE15)), ("superclasses", SUPERCLASSES)):
        auroc, f1 = np.mean([table[label] for label in labels if label in table], axis=0)
        rows.append(f"{name}: AUROC {auroc:.4f} F1 {f1:.4f}")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
