"""Fit what `ecgvlm.judge.cautions` weighs with: folds 1 to 6 fit, 7 sets limits, 8 is only reported.

    python -m ecgvlm.train.small.cautions --pool runs/pool/page1.npz \
        --encoder src/ecgvlm/data --out src/ecgvlm/data

The pool holds digitised pages (`ecgvlm.train.small.pool --via page`). Limb electrodes are exchanged by
calculation: leads I and II of the median beat become what the exchange would make of them. Writes
cautions.json and prints every rule's hits and false alarms. To be run again whenever the encoder changes.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from ecgvlm.judge.cautions import (
    FROM_TWO,
    SWAPS,
    Fitted,
    distance,
    limbs_swapped,
    outlook,
    risk,
    swap_features,
    swap_odds,
    two_limb_leads,
)
from ecgvlm.judge.evidence import settle
from ecgvlm.judge.findings import FindingsModel, number
from ecgvlm.labels import CODE15, LABELS
from ecgvlm.paper.degrade import PAGE_KINDS

FALSE_ALARMS = 0.01  # of fold 7's pages that may be taken for swapped, and for unlike
COVERAGE = 0.9  # of fold 7's pages that are not abstained from
_SEVEN = [LABELS.index(label) for label in ("NORM", *CODE15)]


def swapped(beat: np.ndarray, swap: np.ndarray) -> np.ndarray | None:
    """The median beat [12, w] with two limb electrodes exchanged; None without two limb leads."""
    limb = two_limb_leads(beat)
    if limb is None:
        return None
    out = beat.copy()
    printed = np.isfinite(beat[:6]).all(1)
    out[:6][printed] = (FROM_TWO @ (swap @ limb[0]))[printed]
    return out


def limb_from_chest(beats: np.ndarray) -> np.ndarray:
    """[2, 6]: least squares of I and II on V1 to V6 over beats [n, 12, w], each beat weighing the same."""
    x, y = [], []
    for beat in beats:
        limb = two_limb_leads(beat)
        if limb is not None and np.isfinite(beat[6:]).all():
            size = np.sqrt((beat[6:] ** 2).mean()) + 1e-3
            x.append(beat[6:].T / size)
            y.append(limb[0].T / size)
    return np.linalg.lstsq(np.concatenate(x), np.concatenate(y), rcond=None)[0].T


def swap_weights(beats: np.ndarray, numbers: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """[4]: conditional logit: of every beat's four arrangements of electrodes, the recorded one is right."""
    rows = []
    for beat, known in zip(beats, numbers):
        limb = two_limb_leads(beat)
        if limb is not None and np.isfinite(beat[6:]).all():
            pr_ms = number(known, "pr_ms")
            rows.append(
                [swap_features(swap @ limb[0], beat[6:], pr_ms, coefficients) for swap in SWAPS.values()]
            )
    features = np.array(rows)  # [n, 4 arrangements, 4 features], the recorded one first

    def loss(weights: np.ndarray) -> float:
        scores = -features @ weights
        return float((np.logaddexp.reduce(scores, axis=1) - scores[:, 0]).mean() + 1e-3 * weights @ weights)

    return minimize(loss, np.ones(4), method="BFGS").x


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, nargs="+", required=True)
    parser.add_argument("--encoder", type=Path, required=True, help="folder of encoder.onnx and encoder.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path, help="JSON to write the printed figures to")
    args = parser.parse_args()
    parts = [np.load(path) for path in args.pool]
    pool = {key: np.concatenate([part[key] for part in parts]) for key in parts[0].files}
    beats, numbers, fold = pool["beat"].astype(np.float32), pool["numbers"], pool["fold"]
    train, check, test = (fold >= 1) & (fold <= 6), fold == 7, fold == 8

    coefficients = limb_from_chest(beats[train])
    weights = swap_weights(beats[train], numbers[train], coefficients)
    seen = np.array([outlook(beat, known, coefficients) for beat, known in zip(beats, numbers)])
    mean = np.nanmean(seen[train], axis=0)
    filled = np.where(np.isfinite(seen), seen, mean)[train] - mean
    covariance = filled.T @ filled / train.sum()
    covariance += 0.05 * np.diag(np.diag(covariance)) + 1e-4 * np.eye(len(mean))
    fit = Fitted(coefficients, weights, np.inf, mean, covariance, np.inf, np.inf)

    intervals = [number(known, "pr_ms") for known in numbers]
    odds = np.array([swap_odds(beat, pr_ms, fit) for beat, pr_ms in zip(beats, intervals)], float)
    far = np.array([distance(row, fit) for row in seen])
    model = FindingsModel(args.encoder, threads=1)
    probabilities = np.concatenate(
        [
            model.calibrated(*(part[k : k + 64] for part in (pool["leads"], beats, numbers)))
            for k in range(0, len(fold), 64)
        ]
    )
    settled = [settle(dict(zip(LABELS, row.tolist())), model.thresholds) for row in probabilities]
    risks = np.array([risk(row, model.thresholds) for row in settled])
    limits = {
        "swap_limit": float(np.nanquantile(odds[check], 1 - FALSE_ALARMS)),
        "unlike_limit": float(np.quantile(far[check], 1 - FALSE_ALARMS)),
        "risk_limit": float(np.quantile(risks[check], COVERAGE)),
    }
    fit = Fitted(coefficients, weights, mean=mean, covariance=covariance, **limits)

    figures: dict = {"pages": {"train": int(train.sum()), "check": int(check.sum()), "test": int(test.sum())}}
    for name, swap in SWAPS.items():
        hits = []
        for k in np.flatnonzero(test & np.isfinite(odds)):
            other = swapped(beats[k], swap)
            hits.append(other is not None and limbs_swapped(other, number(numbers[k], "pr_ms"), fit))
        figures[f"swap {name} said on fold 8"] = round(float(np.mean(hits)), 4)
    figures["unlike said on fold 8"] = round(float((far[test] > fit.unlike_limit).mean()), 4)
    figures |= abstention(settled, model.thresholds, risks, pool, test, fit.risk_limit)
    print(json.dumps(figures, indent=1))
    if args.results:
        _write(args.results, figures)
    card = {key: np.round(value, 6).tolist() for key, value in vars(fit).items()}
    _write(args.out / "cautions.json", card, indent=None)


def abstention(
    settled: list, thresholds: dict, risks: np.ndarray, pool: dict, test: np.ndarray, limit: float
) -> dict:
    """Hamming loss over the seven labels on the test fold, at falling coverage, for each kind of page."""
    found = np.array([[row[x] >= thresholds[x] for x in LABELS] for row in settled])[:, _SEVEN]
    target = pool["target"][:, _SEVEN]
    wrong = (found != (target == 1)) & (target >= 0)
    loss = wrong.sum(1) / 7
    figures: dict = {}
    for kind in PAGE_KINDS:
        pages = np.flatnonzero(test & (pool["kind"] == kind))
        order = pages[np.argsort(risks[pages])]
        curve = {
            f"{share:.0%}": round(float(loss[order[: max(1, round(share * len(order)))]].mean()), 4)
            for share in (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
        }
        kept = pages[risks[pages] <= limit]
        figures[f"{kind}: Hamming loss by coverage on fold 8"] = curve
        figures[f"{kind}: at the shipped limit"] = {
            "coverage": round(len(kept) / len(pages), 4),
            "hamming_loss": round(float(loss[kept].mean()), 4),
        }
    return figures


def _write(path: Path, data: dict, indent: int | None = 1) -> None:
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps(data, indent=indent) + "\n", encoding="utf-8")
    os.replace(part, path)


if __name__ == "__main__":
    main()
