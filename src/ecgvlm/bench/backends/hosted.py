"""What hosted models have in common: parameters that one may not take, and answers that are none."""

from __future__ import annotations

from typing import Any

from ecgvlm.bench.backends.base import Ask, Failure, Reply, Setup, Usage
from ecgvlm.bench.parsers import final_answer
from ecgvlm.errors import UsageError

_ADAPTATIONS = 3  # of one question: a parameter left out, another renamed


class Hosted:
    """A model behind a vendor's SDK; a subclass sends one request (`send`).

    parameters holds what was asked for. What the model says it does not take (reasoning models take no
    temperature) is left out from then on and named in `left_out`.
    """

    name = ""
    default_model: str | None = None

    def __init__(self, setup: Setup):
        model = setup.model or self.default_model
        if model is None:
            raise UsageError(f"backend {self.name} needs --model")
        self.model: str = model
        self.parameters: dict[str, Any] = {}
        if setup.temperature is not None:
            self.parameters["temperature"] = setup.temperature
        if setup.thinking is not None:
            self.parameters["thinking"] = setup.thinking
        self.left_out: set[str] = set()

    def ask(self, ask: Ask) -> Reply:
        for _ in range(_ADAPTATIONS):
            parameters = {k: v for k, v in self.parameters.items() if k not in self.left_out}
            try:
                return self.send(ask, parameters)
            except Failure as failure:
                if not self.adapt(failure, parameters):
                    raise
        return self.send(ask, parameters)

    def send(self, ask: Ask, parameters: dict[str, Any]) -> Reply:
        """One request with these parameters. Raises Failure."""
        raise NotImplementedError

    def adapt(self, failure: Failure, parameters: dict[str, Any]) -> bool:
        """Whether the same question may be sent again at once, without what the model does not take."""
        if failure.kind != "bad_request" or "temperature" not in parameters:
            return False
        if "temperature" not in failure.message.lower():
            return False
        self.left_out.add("temperature")
        return True


def checked(reply: Reply, thought: bool = False) -> Reply:
    """The reply. Raises Failure where it is no answer: cut while the model was thinking, also within its text
    (<think>), or thinking only.
    """
    answer = final_answer(reply.text) if reply.finish == "length" else reply.text.strip()
    if answer or not (thought or reply.finish == "length"):
        return reply
    used = Usage(reply.input_tokens, reply.output_tokens)
    why = (
        "the tokens ended before the answer: --max-tokens"
        if reply.finish == "length"
        else "only thinking came"
    )
    raise Failure("no_answer", why, usage=used)


def token_budget(thinking: str | None) -> int | None:
    """The tokens that `thinking` names; None where it is an effort in words, or nothing."""
    return int(thinking) if thinking is not None and thinking.isdecimal() else None
