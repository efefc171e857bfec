"""`ecgvlm bench`: score, run, table, report, build."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ecgvlm.errors import UsageError

if TYPE_CHECKING:
    from ecgvlm.bench.backends import Backend
    from ecgvlm.bench.runner import Price, RunProgress
    from ecgvlm.bench.score import Score
    from ecgvlm.bench.task import Task

GOLD = "ECGBench's rows: JSON, JSONL or Parquet, or a folder of them."
app = typer.Typer(no_args_is_help=True, add_completion=False)
TaskName = Annotated[
    str, typer.Option("--task", help="Task name (code15-test, ptb-test, ...) or a task file.")
]
Replicates = Annotated[int, typer.Option("--bootstrap", min=0, help="Bootstrap resamples.")]


@app.callback()
def bench() -> None:
    """ECGBench: score answers, run systems, make tables and pages."""


@app.command()
def score(
    task: TaskName,
    gold: Annotated[Path, typer.Option(help=GOLD)],
    pred: Annotated[Path, typer.Option(help="Answers, one JSON object a line.")],
    parser: Annotated[str | None, typer.Option(help="pulse or strict; without it both are printed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    replicates: Replicates = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    against: Annotated[
        Path | None, typer.Option(help="A second system's answers: paired differences too.")
    ] = None,
) -> None:
    """Scores a file of answers. Needs no GPU, no hub and no key."""
    from ecgvlm.bench.gold import load_gold, load_predictions
    from ecgvlm.bench.parsers import PARSERS
    from ecgvlm.bench.score import compare
    from ecgvlm.bench.score import score as score_answers
    from ecgvlm.bench.task import load_task

    loaded = load_task(task)
    items, answers = load_gold(gold, task=loaded.name), load_predictions(pred)
    chosen = [parser] if parser else list(PARSERS)
    scores = [score_answers(loaded, items, answers, name, replicates, seed) for name in chosen]
    differences = (
        compare(loaded, items, answers, load_predictions(against), chosen[0], replicates, seed)
        if against
        else []
    )
    _note(scores[0])
    if as_json:
        out = scores[0].to_dict() | {s.parser: s.to_dict() for s in scores[1:]}
        if differences:
            out["differences"] = [vars(d) | {"significant": d.significant} for d in differences]
        typer.echo(json.dumps(out, allow_nan=False))
        return
    Console().print(_table(loaded, scores))
    for d in differences:
        star = " significant" if d.significant else ""
        typer.echo(
            f"difference in {d.figure}: {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}] p = {d.p:.3f}{star}"
        )


def _note(score: Score) -> None:
    """Says on standard error what of gold and answers does not belong together."""
    for count, what in (
        (score.missing, "gold rows have no answer and are not scored"),
        (score.failures, "of these are failed requests"),
        (score.unknown, "answers belong to no gold row and are left out"),
        (score.duplicates, "answers were overwritten by a later one of the same id"),
    ):
        if count:
            Console(stderr=True).print(f"[yellow]note[/]: {count} {what}", highlight=False)


def _table(task: Task, scores: Sequence[Score]) -> Table:
    """The same answers' figures with their intervals, a column for each parser."""
    first = scores[0]
    table = Table(title=f"{task.name} (version {task.version}), {first.n} answers, {first.patients} patients")
    table.add_column("figure")
    for s in scores:
        table.add_column(s.parser, justify="right")
    table.add_row("n", *(str(s.n) for s in scores))
    for name in first.ci95 or first.figures:
        row = []
        for s in scores:
            value = s.unparsed if name == "unparsed" else s.figures[name]
            low, high = s.ci95.get(name, (float("nan"),) * 2)
            row.append("-" if value != value else f"{value:.4g} [{low:.4g}, {high:.4g}]")
        table.add_row(name, *row)
    return table


@app.command()
def run(
    task: TaskName,
    backend: Annotated[
        str,
        typer.Option(
            help="openai, openai-compatible, anthropic, gemini, transformers, pulse, ecgvlm or trivial."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run; called again, it asks only what is missing.")],
    gold: Annotated[Path | None, typer.Option(help=f"{GOLD} Without it the hub is asked.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of the images (beside the gold if not given).")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model name, or folder of a local one.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Server, where it is not the vendor's own.")] = None,
    control: Annotated[str, typer.Option(help="none, blank, shuffled or noise pages instead.")] = "none",
    workers: Annotated[int, typer.Option(min=1, help="Requests, or pages of a local model, at once.")] = 4,
    rate: Annotated[float | None, typer.Option(min=0, help="Requests a second, at most.")] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="US dollars, at most.")] = None,
    price_input: Annotated[
        float | None, typer.Option(min=0, help="Dollars per million input tokens.")
    ] = None,
    price_output: Annotated[
        float | None, typer.Option(min=0, help="Dollars per million output tokens.")
    ] = None,
    temperature: Annotated[str, typer.Option(help="Of hosted models; none leaves it to the model.")] = "0",
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of an answer, thinking included; else the task's own.")
    ] = None,
    thinking: Annotated[
        str | None,
        typer.Option(help="A hosted model's effort (low, high ...), or tokens on top of --max-tokens."),
    ] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run the code in a local model's folder.")
    ] = False,
    attempts: Annotated[int, typer.Option(min=1, help="Tries of a request.")] = 5,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds a request may take.")] = 120.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first rows.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of controls and of the random system.")] = 0,
) -> None:
    """Asks a system a task's questions; prints its scores. Keys come from the environment."""
    from ecgvlm.bench.backends import make_backend, named_backend
    from ecgvlm.bench.controls import control_images
    from ecgvlm.bench.gold import load_gold, load_hub
    from ecgvlm.bench.retries import RequestLimits
    from ecgvlm.bench.runner import price_of, run_task
    from ecgvlm.bench.task import load_task

    loaded = load_task(task)
    named_backend(backend)  # before the hub is asked for rows
    if max_tokens is not None:
        loaded = replace(loaded, max_tokens=max_tokens)
    rows = load_gold(gold, images, loaded.name) if gold else load_hub(loaded)
    items = rows[:limit]
    system = make_backend(
        backend, loaded, items, model, base_url=base_url, workers=workers, timeout=timeout, seed=seed,
        temperature=_temperature(temperature), thinking=thinking, trust_remote_code=trust_remote_code,
    )  # fmt: skip
    price = _price(price_input, price_output) or price_of(system.model)
    limits = RequestLimits(workers, rate, max_cost, attempts)
    shown = control_images(items, control, seed)
    with _progress(len(items)) as report:
        done = run_task(loaded, items, system, out, limits, shown, price, control, report, len(rows))
    _tell(done, system)
    if done.failures == done.done:
        raise typer.Exit(1)
    score(task, out / "gold.json", out / "predictions.jsonl")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[RunProgress], None]]:
    """A bar on standard error, moved by what it yields."""
    from rich.progress import BarColumn, Progress, TextColumn

    text = "{task.completed}/{task.total} answers, {task.fields[note]}"
    with Progress(BarColumn(), TextColumn(text), console=Console(stderr=True)) as bar:
        line = bar.add_task("", total=total, note="")

        def move(p: RunProgress) -> None:
            left = "" if p.eta is None else f", {p.eta:.0f} s to go"
            bar.update(line, completed=p.done, note=f"{p.failures} failures, ${p.cost:.4f}{left}")

        yield move


def _tell(done: RunProgress, system: Backend) -> None:
    """Says what came of a run, and what of it is not as it should be."""
    typer.echo(f"{done.done} rows: {done.cached} not asked anew, {done.failures} failed, ${done.cost:.4f}")
    if done.failures:
        typer.echo(f"note: {done.failures} of {done.done} failed, the last with {done.reason}", err=True)
    for name in sorted(getattr(system, "left_out", ())):
        typer.echo(f"note: the model takes no {name}; asked without it", err=True)


def _price(read: float | None, written: float | None) -> Price | None:
    """The price that was named, None where none was."""
    from ecgvlm.bench.runner import Price

    if read is None and written is None:
        return None
    if read is None or written is None:
        raise UsageError("a price is two: --price-input and --price-output")
    return Price(read, written)


def _temperature(text: str) -> float | None:
    if text.lower() == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise UsageError(f"--temperature must be a number from 0 or none, not {text!r}")
    return value


@app.command()
def judge(
    folder: Annotated[Path, typer.Argument(help="Folder of a run on a report or chat task.")],
    model: Annotated[
        str | None, typer.Option(help="Judge model; without it only facts are compared.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="OpenAI-compatible server of the judge.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 4,
    replicates: Replicates = 1000,
) -> None:
    """Judges reports: by facts (ours, asks no one) and, with --model, by a language model."""
    from ecgvlm.bench.facts import judge_reports
    from ecgvlm.bench.retries import RequestLimits
    from ecgvlm.bench.runner import write_text
    from ecgvlm.bench.table import load_run

    run = load_run(folder)
    facts = judge_reports(run.gold, run.predictions, replicates)
    write_text(folder / "facts.json", json.dumps(facts, indent=1) + "\n")
    shown = {k: v for k, v in facts.items() if k != "rows"}
    if model is not None:
        from ecgvlm.bench.judge import judge_with_model

        limits = RequestLimits(workers=workers)
        marks = judge_with_model(
            run.task, run.gold, run.predictions, model, folder, base_url, limits, replicates
        )
        write_text(folder / "judge.json", json.dumps(marks, indent=1) + "\n")
        shown = {"facts": shown, "model": marks}
    typer.echo(json.dumps(shown, indent=1))


@app.command()
def table(
    folders: Annotated[list[Path], typer.Argument(help="Folders of runs.")],
    parser: Annotated[str, typer.Option(help="pulse or strict.")] = "pulse",
    out: Annotated[
        Path | None, typer.Option("-o", help="Folder for table.md, table.csv and table.html.")
    ] = None,
    replicates: Replicates = 1000,
) -> None:
    """Prints the leaderboard: runs beside the published rows."""
    from ecgvlm.bench.runner import write_text
    from ecgvlm.bench.table import find_runs, leaderboard, to_csv, to_html, to_markdown

    rows = leaderboard(find_runs(folders), parser, replicates)
    typer.echo(to_markdown(rows), nl=False)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in (("md", to_markdown(rows)), ("csv", to_csv(rows)), ("html", to_html(rows))):
            write_text(out / f"table.{name}", text)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    parser: Annotated[str, typer.Option(help="pulse or strict.")] = "pulse",
    out: Annotated[Path | None, typer.Option("-o", help="File to write (report.html in the folder).")] = None,
    replicates: Replicates = 1000,
) -> None:
    """Writes one HTML page about a run; it opens offline."""
    from ecgvlm.bench.report import report_page
    from ecgvlm.bench.runner import write_text
    from ecgvlm.bench.table import load_run

    path = out or folder / "report.html"
    write_text(path, report_page(load_run(folder), parser, replicates))
    typer.echo(str(path))


@app.command()
def build(
    task: TaskName,
    records: Annotated[Path, typer.Option(help="Folder of PTB-XL, CODE-15% or CinC records.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the gold and the pages.")],
    pages: Annotated[
        str, typer.Option(help="Page kinds, separated by commas: clean, scan, photo, kit (ecg-image-kit's).")
    ] = "clean,scan,photo",
    folds: Annotated[str | None, typer.Option(help="PTB-XL folds, separated by commas.")] = None,
    splits: Annotated[Path | None, typer.Option(help="Parts of the records: ecgvlm instruct split.")] = None,
    part: Annotated[str, typer.Option(help="Which part of --splits.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many records, drawn by seed.")] = None,
    layout: Annotated[str | None, typer.Option(help="One layout for all pages.")] = None,
    licence: Annotated[
        str, typer.Option(help="Licence of the records (PTB-XL, CODE-15%: 'CC BY 4.0').")
    ] = "",
    skip_damaged: Annotated[bool, typer.Option(help="Leave missing and damaged files out.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of styles, damage and prompts.")] = 0,
) -> None:
    """Makes a task from records: pages rendered with a seed, and the gold."""
    from ecgvlm.bench.build import build_task
    from ecgvlm.bench.task import load_task
    from ecgvlm.instruct.build import Plan
    from ecgvlm.instruct.splits import chosen_records, parse_folds

    loaded = load_task(task)
    skipped: list[str] | None = [] if skip_damaged else None
    entries = chosen_records(records, parse_folds(folds), splits, part)
    plan = Plan(layout=layout, seed=seed)
    n = build_task(loaded, entries, out, pages.split(","), plan, limit, licence, skipped)
    for message in skipped or ():
        typer.echo(f"skipped: {message}", err=True)
    typer.echo(f"{n} rows in {out / loaded.name}.json")
