"""Our own small model's recipe: page net, pool, findings encoder and language decoder, one program after
another.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.train.recipe import Stage, Stages


def run_stages(recipe: Stages, resume: bool = False) -> None:
    """Runs the stages that have not ended yet, in order; each goes on by itself where it was interrupted.

    Raises EcgError where a stage fails, UsageError where stages of an earlier run have ended and resume is
    False.
    """
    recipe.out.mkdir(parents=True, exist_ok=True)
    marks = [recipe.out / f"stage{number}.done" for number in range(1, len(recipe.stages) + 1)]
    if any(mark.exists() for mark in marks) and not resume:
        raise UsageError(f"{recipe.out} holds a run already: go on with --resume, or name another folder")
    for number, (stage, mark) in enumerate(zip(recipe.stages, marks), start=1):
        head = f"[{number}/{len(recipe.stages)}] {stage.run}"
        made = Path(_filled(recipe, stage.makes))
        if mark.exists() and made.exists():
            print(f"{head}: {made} is there", file=sys.stderr)
            continue
        line = command(recipe, stage)
        print(f"{head}: {' '.join(line[1:])}", file=sys.stderr)
        ended = subprocess.run(line).returncode
        if ended or not made.exists():
            why = f"ended with status {ended}" if ended else f"did not write {made}"
            raise EcgError("unreadable_file", f"stage {number} ({stage.run}) {why}; go on with --resume")
        mark.touch()


def command(recipe: Stages, stage: Stage) -> list[str]:
    """The stage's command line. The language decoder is told to go on where it has a checkpoint; the others
    see it.
    """
    line = [
        sys.executable,
        "-m",
        f"ecgvlm.train.small.{stage.run}",
        *(_filled(recipe, str(x)) for x in stage.arguments),
    ]
    if stage.run == "language" and (Path(line[line.index("--out") + 1]) / "checkpoint.pt").exists():
        line.append("--resume")
    return line


def _filled(recipe: Stages, text: str) -> str:
    return text.replace("{out}", str(recipe.out)).replace("{records}", str(recipe.records))
