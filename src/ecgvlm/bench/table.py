"""The leaderboard: measured rows with intervals beside published ones, and which differences are
significant.
"""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from ecgvlm.bench.gold import Predictions, load_gold, load_predictions
from ecgvlm.bench.runner import read_object
from ecgvlm.bench.score import Score, compare, score
from ecgvlm.bench.task import Task, load_task
from ecgvlm.errors import EcgError, unreadable
from ecgvlm.instruct.row import Row

FIGURES = {
    "labels": ("f1", "auc", "auroc", "hl", "anls"),
    "choice": ("accuracy",),
    "options": ("accuracy",),
    "report": ("facts_f1", "judge"),
    "chat": ("facts_f1", "judge"),
}

Figures = dict[str, tuple[float, float | None, float | None]]


@dataclass(frozen=True)
class Run:
    """A folder that `bench run` wrote. rows, of: how many were to be asked, and the whole set's."""

    folder: Path
    task: Task
    backend: str
    model: str
    control: str
    gold: list[Row]
    predictions: Predictions
    rows: int
    of: int

    @property
    def system(self) -> str:
        """Who answered, on which pages, and that it was asked some of the rows only."""
        name = self.model if self.model.startswith(self.backend) else f"{self.backend}: {self.model}"
        name += "" if self.control == "none" else f" ({self.control} pages)"
        return name if self.rows == self.of else f"{name} [first {self.rows} of {self.of} rows]"


@dataclass(frozen=True)
class Line:
    """One line of a table. figures: x 100, name -> (value, low, high); low and high are None in published
    rows.

    better_than: what the system is significantly better than on the task's first figure (paired bootstrap,
    p < 0.05).
    """

    task: str
    system: str
    source: str
    figures: Figures
    n: int | None = None
    unparsed: int | None = None
    failures: int | None = None
    missing: int | None = None
    better_than: tuple[str, ...] = ()


def load_run(folder: Path) -> Run:
    """Reads a run's folder. Raises EcgError where it is none."""
    run = read_object(folder / "run.json")
    try:
        task, backend, model, control = (str(run[name]) for name in ("task", "backend", "model", "control"))
    except KeyError as error:
        raise unreadable(folder / "run.json", f"no field {error}") from None
    gold = load_gold(folder / "gold.json")
    answers = load_predictions(folder / "predictions.jsonl")
    rows, of = (run.get(name, len(gold)) for name in ("rows", "of"))
    return Run(folder, load_task(task), backend, model, control, gold, answers, rows, of)


def find_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in these folders, at any depth, by path. Raises EcgError where there is none."""
    runs = [load_run(p.parent) for f in folders for p in sorted(f.rglob("run.json"))]
    if not runs:
        raise EcgError("unreadable_file", f"no run (run.json) in {', '.join(map(str, folders))}")
    return runs


def published_rows(tasks: Sequence[str]) -> list[Line]:
    """Published figures of these tasks (x 100, without intervals)."""
    text = (resources.files("ecgvlm.bench") / "published.csv").read_text("utf-8")
    rows = []
    for line in csv.DictReader(io.StringIO(text)):
        if line["task"] in tasks:
            names = ("f1", "auc", "hl", "accuracy", "judge")
            figures: Figures = {k: (float(line[k]), None, None) for k in names if line[k]}
            rows.append(Line(line["task"], line["system"], f"published, {line['source']}", figures))
    return rows


def leaderboard(runs: Sequence[Run], parser: str = "pulse", replicates: int = 1000) -> list[Line]:
    """Published rows, then measured ones, of every task that a run is on."""
    tasks = list(dict.fromkeys(run.task.name for run in runs))
    rows: list[Line] = []
    for name in tasks:
        rows += published_rows([name])
        here = [run for run in runs if run.task.name == name]
        for run in here:
            try:
                scored = score(run.task, run.gold, run.predictions, parser, replicates)
            except EcgError as error:
                raise EcgError(error.code, f"{run.folder}: {error.message}") from None
            rows.append(_measured(run, scored, _better(run, here, parser, replicates)))
    return rows


def _measured(run: Run, s: Score, better: tuple[str, ...]) -> Line:
    figures: Figures = {}
    for name in FIGURES[run.task.kind]:
        value = s.figures.get(name, math.nan)
        if not math.isnan(value):
            low, high = s.ci95.get(name, (math.nan, math.nan))
            figures[name] = (100 * value, 100 * low, 100 * high)
    for path, name in (("facts.json", "facts_f1"), ("judge.json", "judge")):
        if (run.folder / path).is_file() and name in FIGURES[run.task.kind]:
            figures[name] = _judged(run.folder / path, name)
    return Line(
        run.task.name, run.system, "measured", figures, s.n, s.unparsed, s.failures, s.missing, better
    )


def _judged(path: Path, name: str) -> tuple[float, float, float]:
    """A figure x 100 that `bench judge` wrote, with its interval, which is NaN where none was drawn."""
    judged = read_object(path)
    try:
        low, high = (math.nan if x is None else 100 * x for x in judged["ci95"].get(name, (None, None)))
        return 100 * judged[name], low, high
    except (KeyError, TypeError, ValueError, AttributeError):
        raise unreadable(path, f"no figure {name} with its interval; judge the run again") from None


def _better(run: Run, others: Sequence[Run], parser: str, replicates: int) -> tuple[str, ...]:
    """Runs on the same gold that this one beats significantly. HL is better when lower; it is not used
    here.
    """
    if run.task.kind not in {"labels", "choice", "options"}:
        return ()
    figure = FIGURES[run.task.kind][0]
    mine = {i.id: i.answers for i in run.gold}
    beaten = []
    for other in others:
        if other is run or not {i.id: i.answers for i in other.gold}.items() & mine.items():
            continue
        both = compare(run.task, run.gold, run.predictions, other.predictions, parser, replicates)
        d = next((d for d in both if d.figure == figure), None)
        if d is not None and d.significant and d.value > 0:
            beaten.append(other.system)
    return tuple(beaten)


def columns(rows: Sequence[Line]) -> list[str]:
    """Figures that any of the rows has, in the order of `FIGURES`."""
    order = ("f1", "auc", "auroc", "hl", "anls", "accuracy", "facts_f1", "judge")
    return [name for name in order if any(name in row.figures for row in rows)]


def _cell(row: Line, name: str) -> str:
    if name not in row.figures:
        return ""
    value, low, high = row.figures[name]
    return (
        f"{value:.1f}"
        if low is None or high is None or low != low
        else f"{value:.1f} [{low:.1f}, {high:.1f}]"
    )


_COUNTS = ("n", "unparsed", "failures", "missing")


def _grid(rows: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    names = columns(rows)
    head = ["system", "source", *names, *_COUNTS, "significantly better than"]
    body = [
        [
            row.system, row.source, *(_cell(row, n) for n in names),
            *("" if (v := getattr(row, c)) is None else str(v) for c in _COUNTS), ", ".join(row.better_than),
        ]
        for row in rows
    ]  # fmt: skip
    return head, body


def _by_task(rows: Sequence[Line]) -> dict[str, list[Line]]:
    tasks: dict[str, list[Line]] = {}
    for row in rows:
        tasks.setdefault(row.task, []).append(row)
    return tasks


def to_markdown(rows: Sequence[Line]) -> str:
    """One Markdown table a task; figures x 100, with 95% intervals."""
    parts = []
    for task, group in _by_task(rows).items():
        head, body = _grid(group)
        escaped = [[cell.replace("|", "\\|") for cell in line] for line in body]
        lines = [f"### {task}", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        parts.append("\n".join(lines + ["| " + " | ".join(line) + " |" for line in escaped]))
    return "\n\n".join(parts) + "\n"


def to_csv(rows: Sequence[Line]) -> str:
    """One line a row; values and interval ends in columns of their own."""
    names = columns(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = [end for n in names for end in (n, f"{n}_low", f"{n}_high")]
    writer.writerow(["task", "system", "source", *ends, *_COUNTS, "better_than"])
    for row in rows:
        values: list[Any] = []
        for n in names:
            triple = row.figures.get(n, (None, None, None))
            values += ["" if v is None or v != v else round(v, 3) for v in triple]
        counts = ["" if (v := getattr(row, c)) is None else v for c in _COUNTS]
        writer.writerow([row.task, row.system, row.source, *values, *counts, "; ".join(row.better_than)])
    return out.getvalue()


def to_html(rows: Sequence[Line]) -> str:
    """A page that needs nothing else."""
    parts = []
    for task, group in _by_task(rows).items():
        head, body = _grid(group)
        lines = "".join(
            f"<tr class={'published' if line[1] != 'measured' else 'measured'}>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in line)
            + "</tr>"
            for line in body
        )
        heads = "".join(f"<th>{html.escape(h)}</th>" for h in head)
        table = f"<table><tr>{heads}</tr>{lines}</table>"
        parts.append(f"<h2>{html.escape(task)}</h2><div class=wide>{table}</div>")
    return PAGE.format(title="ECGBench", body="".join(parts))


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 75em;
  padding: 0 1em; color: #222; overflow-wrap: anywhere }}
.wide {{ overflow-x: auto }}
.wide table {{ overflow-wrap: normal }}
table {{ border-collapse: collapse; margin: 1em 0 }}
th, td {{ padding: .25em .7em; text-align: left; border-bottom: 1px solid #ddd }}
.published td {{ color: #777 }}
figure {{ display: inline-block; margin: .5em 0; width: 500px; max-width: 100%; vertical-align: top }}
figure svg, figure img {{ max-width: 100%; height: auto }}
figcaption {{ font-size: 13px; color: #555 }}
</style><h1>{title}</h1>{body}</html>
"""
