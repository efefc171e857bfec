"""Scores of label sets, choices and probabilities, and their bootstrap intervals.

Every score of a label task is a function of per-class counts, and counts of a resampled test set are
weighted sums. So one matrix product gives all counts of a block of resamples: 1,000 resamples of 100,000
answers take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rapidfuzz.distance import Levenshtein

_BINS = 15  # of probabilities, in a reliability curve
_DRAWS = 200  # of outcomes, for the calibration error that chance gives
_BLOCK = 1 << 23  # weights held at once


def binarise(sets: Sequence[frozenset[str]], classes: Sequence[str]) -> np.ndarray:
    """[n, C] bool; labels outside `classes` are dropped."""
    column = {c: k for k, c in enumerate(classes)}
    out = np.zeros((len(sets), len(classes)), bool)
    for i, labels in enumerate(sets):
        for label in labels:
            if (k := column.get(label)) is not None:
                out[i, k] = True
    return out


def counts(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Per row: truth, prediction and both at once of each class, [n, 3 C] float64."""
    return np.concatenate([truth, predicted, truth & predicted], axis=1).astype(np.float64)


def label_scores(summed: np.ndarray, n: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Scores from summed `counts`.

    summed: [..., 3 C]; n: [...] rows in each sum. Returns per class [..., C]: f1, precision, recall,
    specificity, auc; and [...]: macro_f1, macro_auc, macro_precision, macro_recall, macro_specificity, hl.

    By the published rules only classes that occur in the gold are averaged. AUC is that of hard 0/1
    predictions, (recall + specificity) / 2; a class with one outcome has none (NaN), and neither has then
    the mean.
    """
    pos, called, tp = summed[..., :classes], summed[..., classes : 2 * classes], summed[..., 2 * classes :]
    total = n[..., None]
    fp, fn = called - tp, pos - tp
    neg = total - pos
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = tp / pos
        specificity = (neg - fp) / neg
        f1 = np.where(pos > 0, 2 * tp / (pos + called), np.nan)
        # sklearn's zero_division=0: a class never predicted has precision 0.
        precision = np.where(pos > 0, np.where(called > 0, tp / called, 0.0), np.nan)
        occurs = pos > 0
        k = occurs.sum(-1)
        auc = (recall + specificity) / 2

        def mean(x: np.ndarray) -> np.ndarray:
            return np.where(occurs, x, 0).sum(-1) / k

        return {
            "f1": f1, "precision": precision, "recall": recall, "specificity": specificity, "auc": auc,
            "macro_f1": mean(f1), "macro_auc": mean(auc), "macro_precision": mean(precision),
            "macro_recall": mean(recall), "macro_specificity": mean(specificity),
            "hl": np.where(occurs, fp + fn, 0).sum(-1) / (k * n),
        }  # fmt: skip


def anls(answers: Sequence[str], golds: Sequence[Sequence[str]]) -> np.ndarray:
    """Normalised Levenshtein similarity of each answer to its nearest gold, 0 where the distance is 0.5 or
    more, [n].

    Biten et al. 2019, "Scene Text Visual Question Answering". Case and spaces count.
    """
    best = np.zeros(len(answers))
    for i, (answer, alternatives) in enumerate(zip(answers, golds)):
        distance = min(Levenshtein.normalized_distance(answer, gold) for gold in alternatives)
        best[i] = 1 - distance if distance < 0.5 else 0.0
    return best


def auroc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve, ties counted half; NaN where only one outcome occurs. truth, scores: [n]."""
    return _WeightedAuroc(truth, scores, np.arange(len(truth)))(np.ones(len(truth), np.float32))


class _WeightedAuroc:
    """AUROC of one class for many draws of the patients: sorted once, then one pass a draw."""

    def __init__(self, truth: np.ndarray, scores: np.ndarray, group: np.ndarray):
        order = np.argsort(scores, kind="stable")
        ranked, positive = scores[order], truth[order].astype(bool)
        self.rows = group[order]
        self.negative = (~positive).astype(np.float32)
        self.positives = np.flatnonzero(positive)
        # Negatives below a positive lie before its block of ties; those in the block count half.
        self.low = np.searchsorted(ranked, ranked[self.positives], "left")
        self.high = np.searchsorted(ranked, ranked[self.positives], "right")

    def __call__(self, weights: np.ndarray) -> float:
        """weights: [G] float32, how often each group is drawn (whole numbers, so the sums are exact below
        2**24).
        """
        w = weights[self.rows]
        below = np.zeros(len(w) + 1, np.float32)
        np.cumsum(w * self.negative, out=below[1:])
        drawn = w[self.positives].astype(np.float64)
        pairs = drawn.sum() * below[-1]
        # Not a BLAS dot: its threads cost more than they save on vectors of this length.
        return (
            float((drawn * (below[self.low] + below[self.high])).sum() / (2 * pairs))
            if pairs
            else float("nan")
        )


def calibration(truth: np.ndarray, scores: np.ndarray) -> dict[str, object]:
    """Brier score, expected calibration error (equal-width bins) and the reliability curve of one class, [n]
    each.

    "ece_by_chance" is the mean ECE of outcomes drawn by these very probabilities: on few rows the best
    calibrated model has one well over 0.
    """
    index = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    n, expected = np.bincount(index, minlength=_BINS), np.bincount(index, scores, _BINS)
    with np.errstate(invalid="ignore"):
        confidence = expected / n
        frequency = np.bincount(index, truth, _BINS) / n
    filled = n > 0
    gap = np.abs(confidence[filled] - frequency[filled])
    drawn = np.random.default_rng(0).random((_DRAWS, len(scores))) < scores
    sums = np.stack([np.bincount(index, row, _BINS) for row in drawn])
    chance = np.abs(sums - expected).sum(1) / len(scores)
    return {
        "ece": float((gap * n[filled]).sum() / n.sum()),
        "ece_by_chance": float(chance.mean()),
        "brier": float(np.mean((scores - truth) ** 2)),
        "curve": [
            {"confidence": float(c), "frequency": float(f), "n": int(k)}
            for c, f, k in zip(confidence[filled], frequency[filled], n[filled])
        ],
    }


def clusters(patients: Sequence[str]) -> np.ndarray:
    """Index of each row's patient, [n] int; a row without a patient is its own."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(p or i, len(known)) for i, p in enumerate(patients)], int)


def resamples(group: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks [b, G] of how often each of G groups is drawn, with replacement, `replicates` rows in all."""
    rng = np.random.default_rng(seed)
    groups = int(group.max()) + 1
    block = max(1, min(replicates, _BLOCK // groups))
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        weights = np.empty((rows, groups))
        for row in weights:
            row[:] = np.bincount(rng.integers(0, groups, groups, dtype=np.int32), minlength=groups)
        yield weights


def bootstrap(
    group: np.ndarray,
    statistics: np.ndarray,
    finish: Callable[[np.ndarray], dict[str, np.ndarray]],
    replicates: int,
    seed: int,
    ranked: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """Scores of each resample of the groups (patients).

    group: [n]. statistics: [n, K], summed over the rows drawn; finish: [b, K] sums -> scores [b]. ranked:
    for AUROC, name -> (truth [n, C], scores [n, C]); the mean over classes with both outcomes. Returns
    name -> [replicates].
    """
    groups = int(group.max()) + 1
    summed = np.zeros((groups, statistics.shape[1]))
    np.add.at(summed, group, statistics)
    areas = {
        name: [_WeightedAuroc(truth[:, c], scores[:, c], group) for c in range(truth.shape[1])]
        for name, (truth, scores) in (ranked or {}).items()
    }
    parts: dict[str, list[np.ndarray]] = {}
    for weights in resamples(group, replicates, seed):
        for name, values in finish(weights @ summed).items():
            parts.setdefault(name, []).append(values)
        for name, classes in areas.items():
            drawn = [[area(row) for area in classes] for row in weights.astype(np.float32)]
            parts.setdefault(name, []).append(_mean_defined(np.array(drawn)))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _mean_defined(x: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(x)
    with np.errstate(invalid="ignore"):
        return np.where(defined, x, 0).sum(-1) / defined.sum(-1)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap values; NaN where none is defined. A resample without a value is left
    out.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(differences: np.ndarray) -> float:
    """Two-sided bootstrap p of no difference (Efron & Tibshirani 1993), never below 1 / (replicates + 1)."""
    d = differences[~np.isnan(differences)]
    tail = min((d <= 0).sum(), (d >= 0).sum())
    return float(min(1.0, 2 * (tail + 1) / (len(d) + 1)))
