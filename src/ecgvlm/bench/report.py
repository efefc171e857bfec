"""One HTML page about a run that opens offline: curves, calibration, confusion, subgroups, worst pages."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np

from ecgvlm.bench.gold import Prediction, Predictions
from ecgvlm.bench.score import Scorable, Score, prepare, score
from ecgvlm.bench.table import PAGE, Run
from ecgvlm.errors import EcgError
from ecgvlm.instruct.row import Row

# Licences under which a page may be shown to others.
_OPEN = ("cc0", "cc by", "cc-by", "public domain", "odc-by", "simulated")
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f")
_SIDE, _MARGIN = 300, 36
_WORST = 12  # pages that are shown
_NOT_HERE = "<p>(the page is not here)</p>"


def report_page(run: Run, parser: str = "pulse", replicates: int = 1000) -> str:
    """The page as one string of HTML; everything it needs is inside it."""
    s = score(run.task, run.gold, run.predictions, parser, replicates)
    data = prepare(run.task, run.gold, run.predictions, parser)
    parts = [
        f"<p>{html.escape(run.system)}, {s.n} answers of {s.patients} patients, read by the parser "
        f"<code>{parser}</code>. {s.unparsed} unparsed, {s.failures} failed, {s.missing} missing. "
        "Intervals: 95%, bootstrap by patient.</p>",
        _figures(s),
    ]
    if s.calibration:
        parts += ["<h2>Curves</h2>", *_curves(data), "<h2>Calibration</h2>", *_calibration(s)]
    if data.classes:
        parts += ["<h2>Confusion</h2>", _confusion(s)]
    parts += _subgroups(run, parser, min(replicates, 300))
    parts += _worst(data)
    return PAGE.format(title=html.escape(f"{run.task.name}: {run.system}"), body="\n".join(parts))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<div class=wide><table><tr>{heads}</tr>{lines}</table></div>"


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.1f}"


def _figures(s: Score) -> str:
    rows = []
    for name, value in s.figures.items():
        low, high = s.ci95.get(name, (math.nan, math.nan))
        if not math.isnan(value):
            rows.append(
                [name, _percent(value), "" if math.isnan(low) else f"{_percent(low)} to {_percent(high)}"]
            )
    return _table(["figure, x 100", "value", "95% interval"], rows)


def _plot(
    caption: str, lines: Sequence[tuple[str, np.ndarray, np.ndarray]], x: str, y: str, diagonal: bool
) -> str:
    """A square SVG of lines over 0..1; each line is (name, x [n], y [n])."""
    side, margin = _SIDE, _MARGIN

    def at(u: float, v: float) -> str:
        return f"{margin + u * side:.1f},{10 + (1 - v) * side:.1f}"

    marks = [f'<rect x="{margin}" y="10" width="{side}" height="{side}" fill="none" stroke="#999"/>']
    for k in range(0, 11, 2):
        across, down = margin + side * k / 10, 10 + side * (1 - k / 10)
        marks.append(f'<text x="{across}" y="{side + 26}" text-anchor="middle">{k / 10:g}</text>')
        marks.append(f'<text x="{margin - 6}" y="{down + 4}" text-anchor="end">{k / 10:g}</text>')
    if diagonal:
        marks.append(
            f'<polyline points="{at(0, 0)} {at(1, 1)}" fill="none" stroke="#bbb" stroke-dasharray="4"/>'
        )
    for k, (name, u, v) in enumerate(lines):
        colour = _COLOURS[k % len(_COLOURS)]
        points = " ".join(at(float(a), float(b)) for a, b in zip(u, v))
        marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        marks.append(
            f'<text x="{margin + side + 8}" y="{24 + 16 * k}" fill="{colour}">{html.escape(name)}</text>'
        )
    marks.append(f'<text x="{margin + side / 2}" y="{side + 44}" text-anchor="middle">{x} / {y}</text>')
    size = f'viewBox="0 0 {side + margin + 150} {side + 50}" width="{side + margin + 150}" font-size="12"'
    return (
        f"<figure><svg {size}>{''.join(marks)}</svg><figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _scores(data: Scorable) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(class, truth [n], probability [n]) of the classes that every answer gives a probability for."""
    return [
        (c, data.truth[:, k], np.array([(a.scores or {})[c] for a in data.answers]))
        for k, c in enumerate(data.classes)
        if all(c in (a.scores or {}) for a in data.answers)
    ]


def _curves(data: Scorable) -> list[str]:
    roc, pr = [], []
    for name, truth, p in _scores(data):
        order = np.argsort(-p, kind="stable")
        last = np.r_[np.flatnonzero(np.diff(p[order])), len(p) - 1]  # ties move together
        tp = np.cumsum(truth[order])[last]
        fp = last + 1 - tp
        if not truth.any() or truth.all():
            continue
        roc.append((name, np.r_[0, fp / (~truth).sum()], np.r_[0, tp / truth.sum()]))
        pr.append((name, tp / truth.sum(), tp / (tp + fp)))
    return [
        _plot("ROC", roc, "1 - specificity", "sensitivity", True),
        _plot("Precision and recall", pr, "recall", "precision", False),
    ]


def _calibration(s: Score) -> list[str]:
    classes = s.calibration["classes"]
    lines = [
        (f"{c} (ECE {100 * v['ece']:.1f}%)", np.array([b["confidence"] for b in v["curve"]]),
         np.array([b["frequency"] for b in v["curve"]]))
        for c, v in classes.items()
    ]  # fmt: skip
    rows = [[c, _percent(v["ece"]), f"{v['brier']:.4f}", _percent(v["auroc"])] for c, v in classes.items()]
    return [
        _plot("Calibration", lines, "probability given", "frequency found", True),
        _table(["class", "ECE x 100", "Brier", "AUROC x 100"], rows),
    ]


def _confusion(s: Score) -> str:
    rows = []
    for name, v in s.per_class.items():
        tp = round(v["recall"] * v["positives"])
        fp = int(v["predicted"]) - tp
        fn = int(v["positives"]) - tp
        counts = [str(x) for x in (tp, fp, fn, s.n - tp - fp - fn)]
        rows.append(
            [name, *counts, *(_percent(v[m]) for m in ("f1", "precision", "recall", "specificity", "auc"))]
        )
    head = ["class", "true positive", "false positive", "false negative", "true negative"]
    return _table([*head, "F1", "precision", "recall", "specificity", "hard AUC"], rows)


def _age(item: Row) -> str | None:
    age = item.metadata.get("age")
    if not isinstance(age, int | float):
        return None
    return next((f"under {end}" for end in (40, 60, 80) if age < end), "80 and over")


# What a subgroup shares -> the group of a gold row, None where it is not known.
GROUPS: dict[str, Callable[[Row], str | None]] = {
    "age": _age,
    "sex": lambda item: item.metadata.get("sex"),
    "page": lambda item: item.metadata.get("page"),
    "layout": lambda item: item.metadata.get("layout"),
}


def by_group(gold: Iterable[Row], group_of: Callable[[Row], str | None]) -> dict[str, list[Row]]:
    """Group -> its gold rows, the groups in their order; rows of no known group are left out."""
    groups: dict[str, list[Row]] = {}
    for item in gold:
        if group := group_of(item):
            groups.setdefault(str(group), []).append(item)
    return dict(sorted(groups.items()))


def _subgroups(run: Run, parser: str, replicates: int) -> list[str]:
    parts = []
    names = ("f1", "auc", "hl") if run.task.kind == "labels" else ("accuracy", "anls")
    for title, group_of in GROUPS.items():
        rows = []
        answered = (item for item in run.gold if item.id in run.predictions.answers)
        for group, items in by_group(answered, group_of).items():
            answers = {i.id: run.predictions.answers[i.id] for i in items}
            s = score(run.task, items, Predictions(answers, 0, 0), parser, replicates)
            cells = []
            for name in names:
                value, (low, high) = s.figures.get(name, math.nan), s.ci95.get(name, (math.nan, math.nan))
                cells.append(
                    _percent(value) + ("" if math.isnan(low) else f" [{_percent(low)}, {_percent(high)}]")
                )
            rows.append([group, str(s.n), *cells])
        if rows:
            parts.append(f"<h2>By {title}</h2>" + _table([title, "n", *names], rows))
    if parts:
        parts.append("<p>F1 and AUC of a group are means over the classes that occur in it.</p>")
    return parts


def _loss(
    truth: np.ndarray, predicted: np.ndarray, answer: Prediction, classes: list[str], exact: bool
) -> float:
    """How wrong an answer is: wrong labels, then the cross-entropy of its probabilities."""
    wrong = float((truth != predicted).sum()) if classes else float(not exact)
    if answer.scores is None or not classes:
        return wrong
    p = np.clip([answer.scores.get(c, 0.5) for c in classes], 1e-6, 1 - 1e-6)
    return wrong + float(-np.where(truth, np.log(p), np.log(1 - p)).mean()) / 100


def _worst(data: Scorable) -> list[str]:
    losses = [
        _loss(t, p, a, data.classes, bool(e))
        for t, p, a, e in zip(data.truth, data.predicted, data.answers, data.exact)
    ]
    order = [i for i in np.argsort(-np.array(losses), kind="stable") if losses[i] >= 1][:_WORST]
    figures = []
    for i in order:
        item, answer = data.rows[i], data.answers[i]
        text = html.escape(f"{item.id}: gold {item.gold[:120]!r}, answer {answer.text[:160]!r}")
        figures.append(f"<figure>{_thumbnails(item)}<figcaption>{text}</figcaption></figure>")
    return ["<h2>Worst pages</h2>", *figures] if figures else []


def _thumbnails(item: Row) -> str:
    """A row's pictures, small, or why they are not shown."""
    licence = str(item.metadata.get("licence", "")).lower()
    if not licence.startswith(_OPEN):
        return "<p>(not shown: the gold names no licence that allows it)</p>"
    try:
        pictures = item.image_files()
    except EcgError:
        pictures = ()
    return "".join(map(_thumbnail, pictures)) or _NOT_HERE


def _thumbnail(picture: bytes) -> str:
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_REDUCED_COLOR_2) if picture else None
    if image is None:
        return _NOT_HERE
    width = 420
    small = cv2.resize(
        image, (width, max(1, image.shape[0] * width // image.shape[1])), interpolation=cv2.INTER_AREA
    )
    jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 70])[1].tobytes()
    return f'<img alt="page" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
