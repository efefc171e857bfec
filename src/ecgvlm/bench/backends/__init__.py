"""Systems that can be asked: `make_backend(name, ...)`."""

from __future__ import annotations

from collections.abc import Sequence

from ecgvlm.bench.backends.base import Ask, Backend, Failure, Reply
from ecgvlm.bench.gold import Item
from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError

__all__ = ["BACKENDS", "Ask", "Backend", "Failure", "Reply", "make_backend"]

BACKENDS = (
    "openai",
    "openai-compatible",
    "anthropic",
    "gemini",
    "transformers",
    "pulse",
    "ecgvlm",
    "trivial",
)


def make_backend(
    name: str,
    task: Task,
    items: Sequence[Item],
    model: str | None = None,
    base_url: str | None = None,
    timeout: float = 120.0,
    seed: int = 0,
) -> Backend:
    """A backend by name; its libraries are imported here and not before. Raises EcgError where one is
    missing.
    """
    try:
        if name == "openai":
            from ecgvlm.bench.backends.openai_chat import OpenAI

            return OpenAI(model, base_url, timeout)
        if name == "openai-compatible":
            from ecgvlm.bench.backends.openai_chat import OpenAICompatible

            return OpenAICompatible(model, base_url, timeout)
        if name == "anthropic":
            from ecgvlm.bench.backends.anthropic_messages import Anthropic

            return Anthropic(model, base_url, timeout)
        if name == "gemini":
            from ecgvlm.bench.backends.gemini import Gemini

            return Gemini(model, base_url, timeout)
        if name in {"transformers", "pulse"}:
            from ecgvlm.bench.backends.local import Pulse, Transformers

            return Transformers(model) if name == "transformers" else Pulse(model)
        if name == "ecgvlm":
            from ecgvlm.bench.backends.ours import Ecgvlm

            return Ecgvlm(task)
        if name == "trivial":
            from ecgvlm.bench.backends.trivial import Trivial

            return Trivial(task, items, model, seed)
    except ImportError as error:
        raise EcgError(
            "unsupported_format",
            f"backend {name} needs the package {error.name}: pip install 'ecgvlm[bench,train]'",
        ) from None
    raise EcgError("unsupported_format", f"no backend {name!r}; there are: {', '.join(BACKENDS)}")
