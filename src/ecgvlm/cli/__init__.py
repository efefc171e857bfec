"""The `ecgvlm` command. Heavy imports stay inside the commands: a cold start takes a second or two."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ecgvlm.cli import exporting, printing, reading, serving
from ecgvlm.show.plain import run_plainly

# Nothing here multiplies large matrices, and a process without threads forks in no time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Sub-commands with a Typer app of their own, imported when they are called.
SUBCOMMANDS = {
    "bench": ("ecgvlm.bench.cli", "Run, score and compare systems on ECGBench."),
    "instruct": ("ecgvlm.instruct.cli", "Build instruction data from labelled records."),
    "train": ("ecgvlm.train.cli", "Fine-tune models on ECG pages; draw their curves."),
    "store": ("ecgvlm.serve.cli", "What `ecgvlm serve --store` has kept."),
}


class _Group(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *SUBCOMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in SUBCOMMANDS:
            return super().get_command(ctx, cmd_name)
        module, summary = SUBCOMMANDS[cmd_name]
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name, command.help = cmd_name, command.help or summary
        return command


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        import ecgvlm

        print(f"ecgvlm {ecgvlm.__version__}")
        raise typer.Exit


@app.callback()
def ecgvlm_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it and exit.")
    ] = False,
) -> None:
    """Reads pictures of 12-lead ECGs and answers questions about them. Not a medical device."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # neither file names nor questions need be text
            stream.reconfigure(errors="backslashreplace")


COMMANDS = (
    reading.read, reading.digitize, printing.render, printing.simulate, serving.serve, serving.batch,
    reading.compare, reading.chat, serving.watch, serving.mcp, exporting.export,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    run_plainly(app)
