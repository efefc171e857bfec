"""The command that writes a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a training run, or one of its checkpoints.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    bf16: Annotated[bool, typer.Option("--bf16", help="A transformers folder of half the size.")] = False,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Of a LoRA run the adapter alone, as PEFT loads it.")
    ] = False,
    push: Annotated[
        str | None,
        typer.Option(help="Upload it to this (private) repository of the hub.", metavar="OWNER/NAME"),
    ] = None,
) -> None:
    """Write a trained model as users load it: ONNX for ours, a transformers folder for SmolVLM."""
    from ecgvlm.train.cli import needs_training_packages

    needs_training_packages()
    from ecgvlm.train.export import export as exported

    files = exported(checkpoint, output, bf16, push, adapter)
    for path in files:
        print(path)
    if push is not None:
        from ecgvlm.train.hub import push as uploaded

        print(uploaded(files, push))
