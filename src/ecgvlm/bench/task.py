"""Benchmark tasks: one TOML file each in `tasks/`. A task is added by adding a file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ecgvlm.errors import UsageError

SCORINGS = ("labels", "choice", "options", "report", "chat")


@dataclass(frozen=True)
class Task:
    """What is asked and how answers are scored.

    kind: "labels" (close-ended, many labels), "choice" (one letter), "options" (pick from the question's
    list), "report" (free text, judged), "chat" (two turns of free text, judged). labels: codes as the
    benchmark spells them; gold_labels: those searched in a gold text (NORM and ABNORMAL of code15 count
    only as the whole gold). prompts: asked where pages are made from records, one drawn by seed. options:
    letters of a choice task. rows: how many the published task has.
    """

    name: str
    version: str
    kind: str
    rows: int
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    gold_labels: tuple[str, ...] = ()
    whole_gold: tuple[str, ...] = ()
    options: str = ""
    prompts: tuple[str, ...] = ()
    max_tokens: int = 256
    source: str = ""
    build: str = ""
    axes: tuple[str, ...] = ()


def task_names() -> list[str]:
    """Names of all tasks, in alphabetical order."""
    return sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml"))


@cache
def load_task(name: str) -> Task:
    """A task by name ("code15-test"; "code15" does too) or by the path of its file.

    Raises UsageError where there is none or its file does not fit.
    """
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        text = path.read_text("utf-8")
    else:
        full = {n: n for n in task_names()} | {
            n.split("-test")[0]: n for n in reversed(task_names()) if n.endswith(("-test", "-test-no-cot"))
        }
        full |= {"report": "ptb-test-report", "mmmu": "mmmu-ecg"}
        if name not in full:
            raise UsageError(f"no task {name!r}; there are: {', '.join(task_names())}")
        text = (_folder() / f"{full[name]}.toml").read_text("utf-8")
    try:
        raw = tomllib.loads(text)
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        task = Task(**fields)
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise UsageError(f"task file {name}: {error}") from None
    if task.kind not in SCORINGS:
        raise UsageError(f"task file {name}: kind {task.kind!r} is none of {', '.join(SCORINGS)}")
    return task


def _folder():
    return resources.files("ecgvlm.bench") / "tasks"
