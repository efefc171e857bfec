"""`ecgvlm bench`: score, run, table, report, build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ecgvlm.record import EcgError

app = typer.Typer(no_args_is_help=True)
TaskName = Annotated[
    str, typer.Option("--task", help="Task name (code15-test, ptb-test, ...) or a task file.")
]


def _fail(error: EcgError) -> typer.Exit:
    Console(stderr=True, soft_wrap=True).print(f"[red]{error.code}[/]: {error.message}", highlight=False)
    return typer.Exit(1)


@app.callback()
def bench() -> None:
    """ECGBench: score answers, run systems, make tables and pages."""


@app.command()
def score(
    task: TaskName,
    gold: Annotated[Path, typer.Option(help="Gold in ECGBench form (JSON).")],
    pred: Annotated[Path, typer.Option(help="Answers, one JSON object a line.")],
    parser: Annotated[str | None, typer.Option(help="pulse or strict; without it both are printed.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    replicates: Annotated[int, typer.Option("--bootstrap", min=0, help="Bootstrap resamples.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
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

    try:
        loaded, items, answers = load_task(task), load_gold(gold), load_predictions(pred)
        chosen = [parser] if parser else list(PARSERS)
        scores = [score_answers(loaded, items, answers, name, replicates, seed) for name in chosen]
        differences = (
            compare(loaded, items, answers, load_predictions(against), chosen[0], replicates, seed)
            if against
            else []
        )
    except EcgError as error:
        raise _fail(error) from None
    first = scores[0]
    for count, what in (
        (first.missing, "gold rows have no answer and are not scored"),
        (first.failures, "of these are failed requests"),
        (first.unknown, "answers belong to no gold row and are left out"),
        (first.duplicates, "answers were overwritten by a later one of the same id"),
    ):
        if count:
            Console(stderr=True).print(f"[yellow]note[/]: {count} {what}", highlight=False)
    if as_json:
        out = first.to_dict() | {s.parser: s.to_dict() for s in scores[1:]}
        if differences:
            out["differences"] = [vars(d) | {"significant": d.significant} for d in differences]
        typer.echo(json.dumps(out, allow_nan=False))
        return
    table = Table(
        title=f"{loaded.name} (version {loaded.version}), {first.n} answers, {first.patients} patients"
    )
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
    Console().print(table)
    for d in differences:
        star = " significant" if d.significant else ""
        typer.echo(
            f"difference in {d.figure}: {d.value:+.4f} [{d.low:+.4f}, {d.high:+.4f}] p = {d.p:.3f}{star}"
        )


if __name__ == "__main__":
    app()
