"""Fit what `ecgvlm.judge.cautions` weighs with, on digitised pages.

    python -m ecgvlm.train.small.caution_weights --pool runs/pool/page --records ../shared/data/ptbxl \
        --run runs/encoder --out src/ecgvlm/data --results benchmarks/results/cautions.json

Patients fall into groups (`ecgvlm.train.small.pool`): `LIMITS` sets limits, `TEST` is only reported, the
others fit. Findings are judged out of fold, as `ecgvlm.train.small.encoder` keeps them. Limb electrodes are
exchanged by calculation: leads I and II of the median beat become what the exchange would make of them. To be
run again whenever the encoder changes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from ecgvlm.atomic import write_file
from ecgvlm.judge.agreement import settle
from ecgvlm.judge.cautions import (
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
from ecgvlm.judge.findings import SCALED, number
from ecgvlm.labels import CODE15, LABELS
from ecgvlm.measure.signal import FROM_TWO
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.train.small.pool import Pool, load_pool

LIMITS, TEST = 3, 4  # groups of patients
FALSE_ALARMS = 0.01  # of the pages that may be taken for swapped, and for unlike
COVERAGE = 0.9  # of the pages that are not abstained from
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


def fit(pages: Pool, risks: np.ndarray) -> Fitted:
    """What the rules weigh with. risks: [n], expected wrong labels of each page."""
    beats, numbers = pages.beat.astype(np.float32), pages.numbers
    learn, limit = ~np.isin(pages.group, (LIMITS, TEST)), pages.group == LIMITS
    coefficients = limb_from_chest(beats[learn])
    weights = swap_weights(beats[learn], numbers[learn], coefficients)
    seen = np.array([outlook(beat, known, coefficients) for beat, known in zip(beats, numbers)])
    mean = np.nanmean(seen[learn], axis=0)
    filled = np.where(np.isfinite(seen), seen, mean)[learn] - mean
    covariance = filled.T @ filled / learn.sum()
    covariance += 0.05 * np.diag(np.diag(covariance)) + 1e-4 * np.eye(len(mean))
    unlimited = Fitted(coefficients, weights, np.inf, mean, covariance, np.inf, np.inf)
    return replace(
        unlimited,
        swap_limit=float(np.nanquantile(_odds(pages.where(limit), unlimited), 1 - FALSE_ALARMS)),
        unlike_limit=float(np.quantile(_distances(pages.where(limit), unlimited), 1 - FALSE_ALARMS)),
        risk_limit=float(np.quantile(risks[limit], COVERAGE)),
    )


def _odds(pages: Pool, fitted: Fitted) -> np.ndarray:
    """[n] log-odds of exchanged electrodes, NaN where leads are missing."""
    return np.array(
        [
            swap_odds(beat, number(known, "pr_ms"), fitted)
            for beat, known in zip(pages.beat.astype(np.float32), pages.numbers)
        ],
        float,
    )


def _distances(pages: Pool, fitted: Fitted) -> np.ndarray:
    """[n] distance of each page from the training pages."""
    return np.array(
        [
            distance(outlook(beat, known, fitted.limb_from_chest), fitted)
            for beat, known in zip(pages.beat.astype(np.float32), pages.numbers)
        ]
    )


def alarms(pages: Pool, fitted: Fitted) -> dict[str, float]:
    """Share of the pages on which each exchange is said ("none" is none: a false alarm), and "unlike"."""
    beats = pages.beat.astype(np.float32)
    whole = np.flatnonzero(np.isfinite(_odds(pages, fitted)))
    figures = {}
    for name, swap in SWAPS.items():
        exchanged = [(swapped(beats[k], swap), number(pages.numbers[k], "pr_ms")) for k in whole]
        hits = [beat is not None and limbs_swapped(beat, pr_ms, fitted) for beat, pr_ms in exchanged]
        figures[f"swap {name}"] = round(float(np.mean(hits)), 4)
    figures["unlike"] = round(float((_distances(pages, fitted) > fitted.unlike_limit).mean()), 4)
    return figures


def abstention(found: np.ndarray, target: np.ndarray, risks: np.ndarray, limit: float) -> dict:
    """Hamming loss over NORM and the six as the riskiest pages are left out, and at the limit.

    found: [n, labels] bool; target: [n, labels], -1 unknown.
    """
    wrong = ((found != (target == 1)) & (target >= 0))[:, _SEVEN]
    loss = wrong.sum(1) / (target[:, _SEVEN] >= 0).sum(1).clip(1)
    order, kept = np.argsort(risks, kind="stable"), risks <= limit
    return {
        "pages": len(loss),
        "hamming_loss_by_coverage": {
            f"{share:.0%}": round(float(loss[order[: max(1, round(share * len(order)))]].mean()), 4)
            for share in (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
        },
        "at_the_shipped_limit": {
            "coverage": round(float(kept.mean()), 4),
            "hamming_loss": round(float(loss[kept].mean()), 4),
        },
    }


def judged(run: Path, pages: Pool) -> tuple[np.ndarray, Mapping[str, float]]:
    """[n, labels] calibrated out-of-fold probabilities of the pages; the thresholds of the labels."""
    kept, card = np.load(run / "out_of_fold.npz"), json.loads((run / "encoder.json").read_text())
    place = {key: i for i, key in enumerate(zip(kept["name"], kept["kind"]))}
    p = kept["probabilities"][[place[key] for key in zip(pages.name, pages.kind)]]
    return p, dict(zip(LABELS, card["thresholds"]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, nargs="+", required=True)
    parser.add_argument("--records", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--run", type=Path, required=True, help="what the encoder's training wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True, help="JSON for the figures")
    args = parser.parse_args()
    pages = load_pool(args.pool, args.records)
    pages = replace(pages, numbers=pages.numbers[:, :SCALED])  # what cautions look at
    probabilities, thresholds = judged(args.run, pages)
    settled = [settle(dict(zip(LABELS, row.tolist())), thresholds) for row in probabilities]
    risks = np.array([risk(row, thresholds) for row in settled])
    fitted = fit(pages, risks)
    found = np.array([[row[label] >= thresholds[label] for label in LABELS] for row in settled])
    test = pages.where(pages.group == TEST)
    figures = {
        "pages": {"in all": len(risks), "of the group that is only reported": len(test.fold)},
        "said, group that is only reported": alarms(test, fitted),
        "abstention, out of fold": {
            kind: abstention(found[of], pages.target[of], risks[of], fitted.risk_limit)
            for kind in PAGE_KINDS
            if (of := pages.kind == kind).any()
        },
    }
    print(json.dumps(figures, indent=1))
    _write(args.results, figures)
    card = {key: np.round(value, 6).tolist() for key, value in vars(fitted).items()}
    _write(args.out / "cautions.json", card, indent=None)


def _write(path: Path, data: dict, indent: int | None = 1) -> None:
    write_file(path, (json.dumps(data, indent=indent) + "\n").encode())


if __name__ == "__main__":
    main()
