"""Systems that can be asked: `make_backend(name, ...)`."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from ecgvlm.bench.backends.base import Ask, Backend, Failure, Reply, Setup
from ecgvlm.bench.task import Task
from ecgvlm.errors import UsageError
from ecgvlm.instruct.row import Row

__all__ = ["BACKENDS", "Ask", "Backend", "Failure", "Reply", "Setup", "make_backend", "named_backend"]

# name -> where its class is, which is made from a `Setup`. A backend is added by a line.
BACKENDS = {
    "openai": "openai_chat:OpenAI",
    "openai-compatible": "openai_chat:OpenAICompatible",
    "anthropic": "anthropic_messages:Anthropic",
    "gemini": "gemini:Gemini",
    "transformers": "local:Transformers",
    "pulse": "local:Pulse",
    "ecgvlm": "ours:EcgvlmProcesses",
    "trivial": "trivial:Trivial",
}


def named_backend(name: str) -> list[str]:
    """The module and the class of a backend. Raises UsageError where there is none of that name."""
    if name not in BACKENDS:
        raise UsageError(f"no backend {name!r}; there are: {', '.join(BACKENDS)}")
    return BACKENDS[name].split(":")


def make_backend(name: str, task: Task, items: Sequence[Row], model: str | None = None, **options: Any):
    """A backend by name; its libraries are imported here and not before. options: further fields of `Setup`.

    Raises UsageError where there is none of that name, or a library is missing.
    """
    module, made = named_backend(name)
    try:
        place = importlib.import_module(f"ecgvlm.bench.backends.{module}")
        backend: Backend = getattr(place, made)(Setup(task, items, model, **options))
    except ImportError as error:
        raise UsageError(
            f"backend {name} needs the package {error.name}: pip install 'ecgvlm[bench,train]'"
        ) from None
    return backend
