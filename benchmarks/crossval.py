"""Figures of the encoder's cross-validation over folds 1 to 7, from what its training kept out of fold.

    python benchmarks/crossval.py --run runs/encoder

Pages of every kind, two networks and the trees instead of the shipped mean; fold 7 is judged by the shipped
one. Intervals by resampling records 1,000 times. What a sensitivity that is asked for gives is measured with
thresholds from the other folds. Writes benchmarks/results/crossval.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.metrics import f1_score, roc_auc_score

from ecgvlm.judge.evidence import settle
from ecgvlm.labels import CODE15, LABELS
from ecgvlm.train.small.encoder import FEW, SENSITIVITIES, UNREMARKABLE, sensitive

OUT = Path(__file__).parent / "results" / "crossval.json"
SEVEN = ("NORM", *CODE15)


def figures(p: np.ndarray, target: np.ndarray, thresholds: np.ndarray) -> dict[str, dict[str, float]]:
    """F1 and AUROC of every label with both outcomes. p, target: [n, labels]; -1 in target is unknown."""
    out = {}
    for k, label in enumerate(LABELS):
        known = target[:, k] >= 0
        y = target[known, k] == 1
        if 2 < y.sum() < len(y):
            f1 = f1_score(y, p[known, k] >= thresholds[k])
            out[label] = {"positives": int(y.sum()), "f1": f1, "auroc": roc_auc_score(y, p[known, k])}
    return out


def at_sensitivity(
    wanted: float, p: np.ndarray, target: np.ndarray, fold: np.ndarray, thresholds: np.ndarray
) -> dict:
    """What is called on each fold when the others set the thresholds for a sensitivity.

    Over the labels but NORM and SR with at least `FEW` positives: mean and lowest share of their pages on
    which they are called (sensitivity), and mean share of the other pages (false_alarms).
    """
    found = np.zeros(p.shape, bool)
    usual = dict(zip(LABELS, thresholds.tolist()))
    for one in np.unique(fold):
        rest, here = fold != one, np.flatnonzero(fold == one)
        row = sensitive(p[rest], target[rest], thresholds)[f"{wanted:g}"]
        moved = dict(zip(LABELS, row))
        for i in here:
            settled = settle(dict(zip(LABELS, p[i].tolist())), moved, usual)
            found[i] = [settled[label] >= moved[label] for label in LABELS]
    judged = [k for k, x in enumerate(LABELS) if x not in UNREMARKABLE and (target[:, k] == 1).sum() >= FEW]
    hits = {LABELS[k]: float(found[target[:, k] == 1, k].mean()) for k in judged}
    alarms = [float(found[target[:, k] == 0, k].mean()) for k in judged]
    worst = min(hits, key=lambda label: hits[label])
    normal, norm = target[:, LABELS.index("NORM")], LABELS.index("NORM")
    return {
        "sensitivity": float(np.mean(list(hits.values()))),
        "lowest": {"label": worst, "sensitivity": hits[worst]},
        "false_alarms": float(np.mean(alarms)),
        "abnormal_called_normal": float(found[normal == 0, norm].mean()),
        "normal_called_normal": float(found[normal == 1, norm].mean()),
    }


def means(found: dict[str, dict[str, float]], labels: tuple[str, ...]) -> dict[str, float]:
    return {name: float(np.mean([found[label][name] for label in labels])) for name in ("f1", "auroc")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="written by `ecgvlm.train.small.encoder`")
    args = parser.parse_args()
    kept, card = np.load(args.run / "out_of_fold.npz"), json.loads((args.run / "encoder.json").read_text())
    p = expit(np.array(card["slope"]) * kept["logits"] + np.array(card["offset"]))
    thresholds, names = np.array(card["thresholds"]), kept["name"]
    found = figures(p, kept["target"], thresholds)
    rng, samples = np.random.default_rng(0), []
    rows = {name: np.flatnonzero(names == name) for name in np.unique(names)}
    for _ in range(1000):
        drawn = np.concatenate([rows[name] for name in rng.choice(list(rows), len(rows))])
        again = figures(p[drawn], kept["target"][drawn], thresholds)
        if set(SEVEN) <= set(again):
            samples.append([means(again, SEVEN)[name] for name in ("f1", "auroc")])
    low, high = np.percentile(samples, (2.5, 97.5), axis=0)
    result = {
        "pages": len(names),
        "records": len(rows),
        "seven": means(found, SEVEN)
        | {"ci95": {n: [low[i], high[i]] for i, n in enumerate(("f1", "auroc"))}},
        "labels": found,
        "at_sensitivity": {
            f"{wanted:g}": at_sensitivity(wanted, p, kept["target"], kept["fold"], thresholds)
            for wanted in SENSITIVITIES
        },
    }
    text = json.dumps(result, indent=1, default=float)
    OUT.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
