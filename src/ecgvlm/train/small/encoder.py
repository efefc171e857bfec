"""Train the findings encoder: digitised leads, median beat and measurements -> label probabilities.

    python -m ecgvlm.train.small.encoder --pool runs/pool/mask runs/pool/page runs/pool/simulated \
        --records ../shared/data/ptbxl --out runs/encoder

The pool holds observations (`ecgvlm.train.small.pool`). Its records are split by patient into `GROUPS`; one
network (`ecgvlm.train.small.network`) and boosted trees (`ecgvlm.train.small.trees`) for each group learn
from the others and judge it. Calibration, thresholds and all figures rest on these judgements out of fold.
The exported graph averages the networks with trees that learned from all groups.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx.utils import Extractor
from scipy.special import expit
from torch import nn

from ecgvlm.atomic import beside, write_file
from ecgvlm.judge.findings import BEAT, SAMPLES
from ecgvlm.labels import CODE15, LABELS, SUPERCLASSES
from ecgvlm.train.small.calibration import best_thresholds, calibrate, paper_offset, sensitive, with_offset
from ecgvlm.train.small.network import Ensemble, Network
from ecgvlm.train.small.pool import GROUPS, Pool, Signals, load_pool
from ecgvlm.train.small.trees import fit_trees, joined, tree_logits
from ecgvlm.train.small.variations import mixed, reprinted, varied

if TYPE_CHECKING:
    from _csv import Writer

SIMULATED = 0.1  # share of the simulated records
KEPT = ("target", "fold", "group", "name", "kind", "estimated")  # of the observations, beside judgements


def weights_of(pool: Pool) -> np.ndarray:
    """[n], summing to 1: every real record weighs the same, half of it on paper if it was printed; the
    simulated ones weigh `SIMULATED` in all."""
    paper = pool.kind != "mask"
    _, record = np.unique(pool.name, return_inverse=True)
    on, off = (np.bincount(record, part) for part in (paper, ~paper))
    odds = 1 / np.where(paper, on[record], off[record])
    odds /= 1.0 + ((on > 0) & (off > 0))[record]
    for part, share in ((pool.real, 1 - SIMULATED), (~pool.real, SIMULATED)):
        odds[part] *= share / max(odds[part].sum(), 1e-9)
    return odds / odds.sum()


def train_network(
    pool: Pool,
    signals: Signals,
    seed: int,
    epochs: int,
    rate: float,
    log: Writer | None,
    batch: int = 128,
    device: str = "cpu",
) -> Network:
    """One network. An epoch is as many observations as there are real records.

    Half of those without paper show another part of their record each time, and the whole of it is to be
    restored beside the labels. Weights are averaged over the last steps.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    names, record = np.unique(pool.name[pool.real], return_inverse=True)
    whole = torch.from_numpy(signals.of(names)).to(device)
    of_record = np.zeros(len(pool.name), int)
    of_record[pool.real] = record
    leads, beats, target = (torch.from_numpy(x).to(device) for x in (pool.leads, pool.beat, pool.target))
    bare = torch.from_numpy((pool.kind == "mask") & pool.real).to(device)
    spread = torch.from_numpy(np.where(pool.estimated, 0.2, 0.03).astype(np.float32)).to(device)
    steps = epochs * len(names) // batch
    order = rng.choice(len(pool.name), (steps, batch), p=weights_of(pool))

    net = Network().to(device)
    with torch.no_grad():
        found, known = (target == 1).sum(0), (target >= 0).sum(0)
        net.bias.copy_(torch.logit((found + 1) / (known + 2)))
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=0.15)
    net.train()
    for step, places in enumerate(order):
        i = torch.from_numpy(places).to(device)
        records = whole[torch.from_numpy(of_record[places]).to(device)]
        again = bare[i] & (torch.rand(batch, device=device) < 0.5)
        seen = torch.where(again[:, None, None], reprinted(records), leads[i].float())
        strip, beat = varied(seen, beats[i].float(), spread[i])
        y = target[i]
        known = (y >= 0).float()
        y = y.clamp(0, 1).float()
        if rng.random() < 0.3:
            share, other = float(rng.beta(0.3, 0.3)), torch.randperm(batch, device=device)
            strip, beat = mixed(strip, strip[other], share), mixed(beat, beat[other], share)
            y, known = share * y + (1 - share) * y[other], known * known[other]
        logits, restored = net.with_restored(strip, beat)
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        missed = F.smooth_l1_loss(restored, records, reduction="none", beta=0.1).mean((1, 2))
        loss = (losses * known).sum() / known.sum() + (missed * again).sum() / again.sum().clamp(min=1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(net)
        if log and step % 25 == 0:
            log.writerow([seed, step, f"{loss.item():.4f}"])
    trained = average.module.cpu().eval()
    assert isinstance(trained, Network)
    return trained


@torch.no_grad()
def network_logits(net: nn.Module, pool: Pool) -> np.ndarray:
    """[n, labels]."""
    return _in_batches(lambda *views: net(*map(torch.from_numpy, views)).numpy(), pool)


def _in_batches(judge: Callable[[np.ndarray, np.ndarray], np.ndarray], pool: Pool) -> np.ndarray:
    """[n, labels]: what is judged of leads and median beats."""
    parts = (slice(start, start + 128) for start in range(0, len(pool.fold), 128))
    views = ((pool.leads[part], pool.beat[part]) for part in parts)
    return np.concatenate([judge(*(view.astype(np.float32) for view in both)) for both in views])


def export(net: nn.Module, trees: onnx.ModelProto, share: np.ndarray, path: Path) -> None:
    """One graph (leads, beat, numbers) -> logits. share: [labels], of the trees' logits."""
    names = ["leads", "beat"]
    inputs = (torch.zeros(2, 12, SAMPLES), torch.zeros(2, 12, BEAT))
    with beside(path) as part:
        torch.onnx.export(
            net.eval(), inputs, str(part), input_names=names, output_names=["logits"],
            dynamic_axes={name: {0: "batch"} for name in (*names, "logits")}, opset_version=17, dynamo=False,
        )  # fmt: skip
        onnx.save(joined(onnx.load(part), trees, share), part)


def network(
    pool: Pool, signals: Signals, path: Path, seed: int, epochs: int, rate: float, device: str
) -> Network:
    """The network kept at path, trained and kept there first where an earlier run did not get so far."""
    if path.exists():
        return kept_network(path)
    started, used = time.monotonic(), time.process_time()
    with path.with_suffix(".csv").open("w", newline="") as file:
        net = train_network(pool, signals, seed, epochs, rate, csv.writer(file), device=device)
    with beside(path) as part:
        torch.save(net.state_dict(), part)
    print(f"{path.name}: {time.process_time() - used:.0f} s of a core in {time.monotonic() - started:.0f} s")
    return net.eval()


def kept_network(path: Path) -> Network:
    net = Network()
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
    judges = ((partial(network_logits, kept_network(net)), onnx.load(trees)) for net, trees in kept_at(run))
    return _by_group(pages, judges)


def members_out_of_fold(pages: Pool, pool: Pool, graph: onnx.ModelProto, run: Path) -> np.ndarray:
    """As `logits_out_of_fold`, by the networks in an exported graph; trees are grown from the pool's other
    groups where the run does not keep them."""
    paths = [path for _, path in kept_at(run)]
    trees = (grown(pool.where(pool.group != group), path) for group, path in enumerate(paths))
    return _by_group(pages, zip(members(graph), trees))


def _by_group(
    pages: Pool, judges: Iterable[tuple[Callable[[Pool], np.ndarray], onnx.ModelProto]]
) -> np.ndarray:
    """[n, 2, labels] of the pages of each group, in order, by its network and its trees."""
    logits = np.zeros((len(pages.fold), 2, len(LABELS)), np.float32)
    for group, (judge, trees) in enumerate(judges):
        here = pages.group == group
        own = pages.where(here)
        logits[here, 0] = judge(own)
        logits[here, 1] = tree_logits(trees, own.beat, own.numbers)
    return logits


def members(graph: onnx.ModelProto) -> list[Callable[[Pool], np.ndarray]]:
    """The networks that an exported graph averages, in the order of the groups that they did not learn from,
    as what gives the logits ([n, labels]) of a pool."""
    unpack = Extractor(onnx.shape_inference.infer_shapes(graph)).extract_model
    return [
        partial(_session_logits, unpack(["leads", "beat"], [f"/members.{group}/Add_output_0"]))
        for group in range(GROUPS)
    ]


def _session_logits(network: onnx.ModelProto, pool: Pool) -> np.ndarray:
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    return _in_batches(lambda leads, beat: session.run(None, {"leads": leads, "beat": beat})[0], pool)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, nargs="+", required=True)
    parser.add_argument("--records", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--device", default="cpu", help="of the networks: cpu or cuda")
    parser.add_argument("--name", default="ecgvlm-small@0.4")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    pool, signals = load_pool(args.pool, args.records), Signals(args.records)
    nets = []
    for group, (of_network, of_trees) in enumerate(kept_at(args.out)):
        rest = pool.where(pool.group != group)
        nets.append(network(rest, signals, of_network, group, args.epochs, args.rate, args.device))
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
