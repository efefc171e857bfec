"""Scores a task's answers: figures, 95% intervals by patient, per-class figures, calibration; and compares
two systems.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ecgvlm.bench import metrics
from ecgvlm.bench.gold import Prediction, Predictions
from ecgvlm.bench.parsers import Parsed, final_answer, gold_labels, gold_options, parse_all
from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError
from ecgvlm.instruct.row import Row

REPLICATES = 1000


@dataclass(frozen=True)
class Score:
    """Figures of one system on one task, read by one parser.

    figures: name -> value (fractions of 1), NaN where not defined. ci95: name -> (low, high). n: answers
    scored. unparsed: answers nothing could be read from; they stay in the figures as giving no label
    (`pulse` guesses choices), `parsed_only` leaves them out. missing: gold rows without an answer;
    failures: of these, requests known to have failed; unknown: answers to no gold row; duplicates: answers
    overwritten by a later one of the same id.
    """

    task: str
    task_version: str
    parser: str
    n: int
    patients: int
    unparsed: int
    missing: int
    failures: int
    unknown: int
    duplicates: int
    figures: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    parsed_only: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the headline figures at the top level; NaN becomes None."""
        raw = asdict(self)
        head = {k: raw.pop(k) for k in ("task", "task_version", "parser")}
        figures = raw.pop("figures")
        out = _plain({**head, **figures, **raw})
        assert isinstance(out, dict)
        return out


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@dataclass(frozen=True)
class Scorable:
    """A system's answers on the rows it answered, as arrays: what both `score` and `compare` work on.

    truth, predicted: [n, C] bool over the classes that occur in the gold. rows: the gold rows, in gold order.
    """

    rows: list[Row]
    answers: list[Prediction]
    parsed: list[Parsed]
    classes: list[str]
    truth: np.ndarray
    predicted: np.ndarray
    exact: np.ndarray
    anls: np.ndarray
    group: np.ndarray


def prepare(task: Task, gold: Sequence[Row], predictions: Predictions, parser: str) -> Scorable:
    """Matches answers to gold rows and parses both. Raises EcgError where no answer fits the gold."""
    rows = [item for item in gold if item.id in predictions.answers]
    if not rows:
        why = "none of the answers has the id of a gold row; is it the right file?"
        if predictions.failures and not predictions.answers:
            why = f"there is no answer, all of {predictions.failures} requests failed"
        raise EcgError("unsupported_format", why)
    answers = [predictions.answers[item.id] for item in rows]
    parsed = parse_all(task, parser, answers, [item.question for item in rows])
    if task.kind == "labels":
        truths = [gold_labels(task, item.gold) for item in rows]
        order = list(task.labels)
    elif task.kind == "choice":
        truths = [frozenset(item.gold.strip()[:1]) for item in rows]
        bad = next((item for item, t in zip(rows, truths) if not t <= frozenset(task.options)), None)
        if bad is not None:
            raise EcgError(
                "unsupported_format", f"gold row {bad.id!r}: {bad.gold!r} is none of {task.options}"
            )
        order = list(task.options)
    elif task.kind == "options":
        truths = [gold_options(item.gold, item.question, parser) for item in rows]
        order = []
    else:
        truths = [frozenset[str]() for _ in rows]
        order = []
    occurring = frozenset[str]().union(*truths)
    classes = [c for c in order if c in occurring]
    truth = metrics.binarise(truths, classes)
    predicted = metrics.binarise([p.labels for p in parsed], classes)
    if order:
        exact = (truth == predicted).all(1)
    else:
        exact = np.array([t == p.labels for t, p in zip(truths, parsed)])
    said = [final_answer(a.text) if parser == "strict" else a.text for a in answers]
    similarity = metrics.anls(said, [(item.gold,) for item in rows])
    group = metrics.clusters([item.patient for item in rows])
    return Scorable(rows, answers, parsed, classes, truth, predicted, exact, similarity, group)


def score(
    task: Task,
    gold: Sequence[Row],
    predictions: Predictions,
    parser: str = "pulse",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Score:
    """Figures and intervals of one system.

    Intervals are percentiles over resamples of patients (of rows where the gold names none); each resample
    is scored by the same rules, so its classes are those that occur in its own gold.
    """
    data = prepare(task, gold, predictions, parser)
    statistics, finish = _statistics(task, data)
    ranked = _ranked(data)
    once = {k: float(v[0]) for k, v in finish(statistics.sum(0, keepdims=True)).items()}
    for name, (truth, scores) in ranked.items():
        areas = np.array([metrics.auroc(truth[:, c], scores[:, c]) for c in range(truth.shape[1])])
        once[name] = float(areas[~np.isnan(areas)].mean()) if (~np.isnan(areas)).any() else math.nan
    ci = {}
    if replicates:
        drawn = metrics.bootstrap(data.group, statistics, finish, replicates, seed, ranked)
        ci = {
            k: metrics.interval(v) if not math.isnan(once[k]) else (math.nan, math.nan)
            for k, v in drawn.items()
        }
    unparsed = sum(not p.parsed for p in data.parsed)
    once.pop("unparsed")
    known = {item.id for item in gold}
    return Score(
        task.name, task.version, parser, len(data.rows), int(data.group.max()) + 1, unparsed,
        missing=len(known) - len(data.rows),
        failures=predictions.failures,
        unknown=sum(k not in known for k in predictions.answers),
        duplicates=predictions.duplicates,
        figures=once, ci95=ci, per_class=_per_class(data),
        parsed_only=_parsed_only(task, data, statistics, finish) if unparsed else {},
        calibration=_calibration(data, ranked),
    )  # fmt: skip


def _statistics(task: Task, data: Scorable):
    """Per-row sums the scores are made of, and the function that makes them."""
    c = len(data.classes)
    unparsed = np.array([not p.parsed for p in data.parsed])
    extra = np.stack([np.ones(len(data.rows)), data.anls, data.exact, unparsed], axis=1)
    statistics = np.concatenate([metrics.counts(data.truth, data.predicted), extra], axis=1)

    def finish(summed: np.ndarray) -> dict[str, np.ndarray]:
        n, similarity, exact, silent = (summed[:, 3 * c + k] for k in range(4))
        out: dict[str, np.ndarray] = {}
        nothing = np.full(len(summed), np.nan)
        s = metrics.label_scores(summed[:, : 3 * c], n, c) if c else {}
        for name, key in (("f1", "macro_f1"), ("auc", "macro_auc"), ("hl", "hl")):
            out[name] = s.get(key, nothing)
        out["anls"] = similarity / n
        if task.kind in {"choice", "options"}:
            out["accuracy"] = exact / n
        if task.kind == "labels":
            out["exact_match"] = exact / n
            # Accuracy of label decisions, as HL counts their errors.
            out["accuracy"] = 1 - out["hl"]
            for name in ("precision", "recall", "specificity"):
                out[name] = s.get(f"macro_{name}", nothing)
        out["unparsed"] = silent
        return out

    return statistics, finish


def _ranked(data: Scorable) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Truth and probabilities for AUROC, over the classes every answer gives a probability for."""
    if not data.classes or any(a.scores is None for a in data.answers):
        return {}
    given = [c for c in data.classes if all(c in (a.scores or {}) for a in data.answers)]
    if not given:
        return {}
    columns = [data.classes.index(c) for c in given]
    scores = np.array([[(a.scores or {})[c] for c in given] for a in data.answers])
    if not ((scores >= 0) & (scores <= 1)).all():
        raise EcgError("unsupported_format", "scores must be probabilities from 0 to 1")
    return {"auroc": (data.truth[:, columns], scores)}


def _per_class(data: Scorable) -> dict[str, dict[str, float]]:
    c = len(data.classes)
    if not c:
        return {}
    n = np.array(float(len(data.rows)))
    summed = metrics.counts(data.truth, data.predicted).sum(0)
    s = metrics.label_scores(summed, n, c)
    names = ("f1", "auc", "precision", "recall", "specificity")
    return {
        label: {"positives": int(summed[k]), "predicted": int(summed[c + k])}
        | {m: float(s[m][k]) for m in names}
        for k, label in enumerate(data.classes)
    }


def _parsed_only(task: Task, data: Scorable, statistics: np.ndarray, finish) -> dict[str, float]:
    keep = np.array([p.parsed for p in data.parsed])
    if not keep.any():
        return {}
    figures = finish(statistics[keep].sum(0, keepdims=True))
    figures.pop("unparsed")
    return {"n": int(keep.sum())} | {k: float(v[0]) for k, v in figures.items()}


def _calibration(data: Scorable, ranked: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    if not ranked:
        return {}
    truth, scores = ranked["auroc"]
    given = [c for c in data.classes if all(c in (a.scores or {}) for a in data.answers)]
    classes = {
        c: metrics.calibration(truth[:, k], scores[:, k])
        | {"auroc": metrics.auroc(truth[:, k], scores[:, k])}
        for k, c in enumerate(given)
    }
    return {
        "ece": float(np.mean([v["ece"] for v in classes.values()])),
        "ece_by_chance": float(np.mean([v["ece_by_chance"] for v in classes.values()])),
        "brier": float(np.mean([v["brier"] for v in classes.values()])),
        "classes": classes,
    }


@dataclass(frozen=True)
class Difference:
    """a minus b on one figure: value, 95% interval, two-sided p. n: rows both answered."""

    figure: str
    value: float
    low: float
    high: float
    p: float
    n: int

    @property
    def significant(self) -> bool:
        return self.p < 0.05 and (self.low > 0 or self.high < 0)


def compare(
    task: Task,
    gold: Sequence[Row],
    a: Predictions,
    b: Predictions,
    parser: str = "pulse",
    replicates: int = REPLICATES,
    seed: int = 0,
) -> list[Difference]:
    """Paired bootstrap: both systems on the same resamples of the patients both answered for."""
    both = [item for item in gold if item.id in a.answers and item.id in b.answers]
    drawn, once = [], []
    for predictions in (a, b):
        data = prepare(task, both, predictions, parser)
        statistics, finish = _statistics(task, data)
        once.append(finish(statistics.sum(0, keepdims=True)))
        drawn.append(metrics.bootstrap(data.group, statistics, finish, replicates, seed))
    out = []
    for name in drawn[0]:
        if name == "unparsed" or np.isnan(once[0][name][0]):
            continue
        d = drawn[0][name] - drawn[1][name]
        out.append(
            Difference(
                name,
                float(once[0][name][0] - once[1][name][0]),
                *metrics.interval(d),
                metrics.p_value(d),
                len(both),
            )
        )
    return out
