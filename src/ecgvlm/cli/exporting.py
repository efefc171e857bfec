"""The command that writes a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of a training run, or one of its checkpoints.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    bf16: Annotated[bool, typer.Option("--bf16", help="A transformers folder of half the size.")] = False,
) -> None:
    """Write a trained model as users load it: ONNX for ours, a transformers folder for SmolVLM."""
    from ecgvlm.train.cli import needs_training_packages

    needs_training_packages()
    from ecgvlm.train.export import export as exported

    for path in exported(checkpoint, output, bf16):
        print(path)
