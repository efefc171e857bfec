"""From logits out of fold to calibrated probabilities and to thresholds."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit, logit

from ecgvlm.labels import LABELS

HELD = 5.0  # how strongly the calibration of a label is held to that of all, and of pages to that of signals
RIGHT = 0.5  # what the expected share of right calls weighs beside the expected F1
PRECISION = 0.4  # expected share of those called that have the finding, at the least
FEW = 10  # positives under which the share that is called says nothing
# Sensitivities for which thresholds are kept; between them a reader interpolates.
SENSITIVITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
UNREMARKABLE = ("NORM", "SR")  # what a page has that shows nothing: calling it is what misses findings


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
