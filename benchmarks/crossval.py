"""Figures of the encoder's cross-validation over folds 1 to 7, from what its training kept out of fold.

    python benchmarks/crossval.py --run runs/encoder

Pages of every kind, single members instead of the shipped mean of four; fold 7 is judged by the shipped one.
Intervals by resampling records 1,000 times. Writes benchmarks/results/crossval.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score, roc_auc_score

from ecgvlm.labels import CODE15, LABELS

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


def means(found: dict[str, dict[str, float]], labels: tuple[str, ...]) -> dict[str, float]:
    return {name: float(np.mean([found[label][name] for label in labels])) for name in ("f1", "auroc")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="what `ecgvlm.train.encoder --out` wrote")
    args = parser.parse_args()
    kept, card = np.load(args.run / "out_of_fold.npz"), json.loads((args.run / "encoder.json").read_text())
    p = 1 / (1 + np.exp(-(np.array(card["slope"]) * kept["logits"] + np.array(card["offset"]))))
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
    }
    text = json.dumps(result, indent=1, default=float)
    OUT.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
