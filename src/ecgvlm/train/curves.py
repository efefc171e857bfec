"""What a run has shown so far: CSV and TensorBoard, a progress line, and curves drawn from the CSV."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.errors import UsageError, unreadable

STEPS = ("step", "epoch", "loss", "rate", "gradient", "pages_s", "rows_s", "wait_share", "seconds")
EVALUATIONS = ("step", "loss", "exact", "figure", "seconds")
BY_KIND = ("step", "kind", "figure")
_KEPT = 0.9  # of what a smoothed curve was a step before


class RunLog:
    """metrics.csv (a row a step), evaluations.csv, kinds.csv, samples.jsonl and TensorBoard events in a run's
    folder.

    A run that goes on from a step drops what was logged after it. tracker: "wandb" or "trackio", to which the
    same figures go as well.
    """

    def __init__(self, folder: Path, step: int, total: int, tracker: str | None = None):
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._steps = _Table(folder / "metrics.csv", STEPS, step)
        self._evaluations = _Table(folder / "evaluations.csv", EVALUATIONS, step)
        self._kinds = _Table(folder / "kinds.csv", BY_KIND, step)
        self._samples = folder / "samples.jsonl"
        _keep_samples(self._samples, step)
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._progress = _Progress(step, total)
        self._tracker: Any = None
        if tracker:
            if importlib.util.find_spec(tracker) is None:
                raise UsageError(f"the recipe asks for {tracker}: pip install {tracker}")
            self._tracker = importlib.import_module(tracker)
            self._tracker.init(project="ecgvlm", name=folder.name)

    def _write(self, part: str, names: Sequence[str], row: dict[str, Any]) -> None:
        for name in names:
            self._board.add_scalar(f"{part}/{name}", row[name], row["step"])
        if self._tracker:
            self._tracker.log({f"{part}/{name}": row[name] for name in names}, step=row["step"])

    def step(self, row: dict[str, Any]) -> None:
        self._steps.add(row)
        self._write("train", STEPS[2:-1], row)
        self._progress.advance(row)

    def evaluation(self, row: dict[str, Any], samples: Sequence[dict[str, Any]]) -> None:
        """row: of `EVALUATIONS`, and "kinds": the figure of each kind of question; samples: question, gold
        and answer of some validation rows.
        """
        self._evaluations.add(row)
        for kind, figure in row.get("kinds", {}).items():
            self._kinds.add({"step": row["step"], "kind": kind, "figure": figure})
        self._write("valid", EVALUATIONS[1:-1], row)
        with self._samples.open("a", encoding="utf-8") as file:
            for sample in samples:
                file.write(json.dumps({"step": row["step"], **sample}, ensure_ascii=False) + "\n")
        said = "\n\n".join("  \n".join(f"**{k}** {v}" for k, v in sample.items()) for sample in samples)
        self._board.add_text("valid/samples", said, row["step"])
        figures = ", ".join(f"{name} {row[name]:.4f}" for name in EVALUATIONS[1:-1])
        self._progress.say(f"step {row['step']}: {figures}")
        for sample in samples[:2]:
            self._progress.say(f"  gold   {sample['gold']}\n  answer {sample['answer']}")

    def close(self) -> None:
        self._progress.stop()
        self._board.close()
        if self._tracker:
            self._tracker.finish()


class _Table:
    """A CSV table that keeps the rows up to a step and is flushed a row at a time."""

    def __init__(self, path: Path, columns: Sequence[str], step: int):
        rows = _rows(path, columns) if path.exists() and step else []
        rows = [row for row in rows if float(row["step"]) <= step]
        text = "".join(",".join(row[c] for c in columns) + "\n" for row in rows)
        write_file(path, (",".join(columns) + "\n" + text).encode())
        self._columns = columns
        self._file = path.open("a", newline="")
        self._writer = csv.writer(self._file)

    def add(self, row: dict[str, Any]) -> None:
        self._writer.writerow([f"{v:.8g}" if isinstance(v := row[c], float) else v for c in self._columns])
        self._file.flush()


class _Progress:
    """A bar with the time left on a terminal, a line now and then in a log file."""

    def __init__(self, step: int, total: int):
        self._total, self._last = total, 0.0
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[said]}"), console=Console(stderr=True))
            self._task = self._bar.add_task("", total=total, completed=step, said="")
            self._bar.start()
        self._begun, self._from = time.monotonic(), step

    def advance(self, row: dict[str, Any]) -> None:
        said = f"loss {row['loss']:.4f}, {row['rows_s']:.2f} rows/s, waiting {row['wait_share']:.0%}"
        if self._bar is not None:
            self._bar.update(self._task, completed=row["step"], said=said)
        elif time.monotonic() - self._last > 30 or row["step"] == self._total:
            self._last = time.monotonic()
            each = (self._last - self._begun) / (row["step"] - self._from)
            left = each * (self._total - row["step"]) / 60
            self.say(f"step {row['step']}/{self._total}: {said}, {left:.0f} min left")

    def say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def plot(runs: Sequence[Path], output: Path) -> None:
    """Draws loss, validation figure, learning rate and speed of runs over their steps. output: .png, .svg or
    .pdf.

    Raises EcgError where a run has no metrics.csv, UsageError for another ending.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ((loss, shown), (rate, speed)) = plt.subplots(2, 2, figsize=(11, 7), constrained_layout=True)
    for run in runs:
        column = _columns(run / "metrics.csv", STEPS)
        if not len(column["step"]):
            raise unreadable(run / "metrics.csv", "no step has been logged")
        smooth = _smoothed(column["loss"])
        line = loss.plot(column["step"], smooth, label=run.name)[0]
        loss.plot(column["step"], column["loss"], color=line.get_color(), alpha=0.2, linewidth=0.7)
        rate.plot(column["step"], column["rate"], label=run.name)
        speed.plot(column["step"], _smoothed(column["rows_s"]), label=run.name)
        if (run / "evaluations.csv").exists():
            valid = _columns(run / "evaluations.csv", EVALUATIONS)
            loss.plot(valid["step"], valid["loss"], "o--", color=line.get_color(), markersize=3)
            if len(valid["step"]):
                shown.plot(valid["step"], valid["figure"], "o-", markersize=3, label=run.name)
    titles = ("loss (dashed: validation)", "validation figure", "learning rate", "rows a second")
    for axes, title in zip((loss, shown, rate, speed), titles):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    loss.set_yscale("log")
    drawn = io.BytesIO()
    try:
        figure.savefig(drawn, format=output.suffix.lstrip("."))
    except ValueError as error:
        raise UsageError(f"{output}: {error}") from None
    finally:
        plt.close(figure)
    write_file(output, drawn.getvalue())


def _smoothed(values: np.ndarray) -> list[float]:
    """Exponential mean without the pull to its start."""
    out, mean, weight = [], 0.0, 0.0
    for value in values:
        mean, weight = _KEPT * mean + (1 - _KEPT) * value, _KEPT * weight + 1 - _KEPT
        out.append(mean / weight)
    return out


def _columns(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Name -> the numbers of a table's column."""
    rows = _rows(path, names)
    try:
        return {name: np.array([float(row[name]) for row in rows]) for name in names}
    except ValueError as error:
        raise unreadable(path, f"is damaged ({error})") from None


def _rows(path: Path, names: Sequence[str]) -> list[dict[str, str]]:
    """The table's whole rows; the last one may be cut short where the run was killed."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if list(table.fieldnames or ()) != list(names):
                raise unreadable(path, f"its columns must be {', '.join(names)}")
            whole = (row for row in table if None not in row and None not in row.values())
            return [row for row in whole if float(row["step"]) > 0]
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, csv.Error) as error:
        raise unreadable(path, f"is damaged ({error})") from None


def _keep_samples(path: Path, step: int) -> None:
    """Writes the whole lines of samples up to a step anew. Raises EcgError where one is damaged."""
    try:
        lines = path.read_text("utf-8").split("\n")[:-1] if path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= step]
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(path, f"is damaged ({error}); take it away") from None
    write_file(path, "".join(line + "\n" for line in kept).encode())
