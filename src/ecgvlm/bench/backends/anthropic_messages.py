"""Anthropic's messages API."""

from __future__ import annotations

import base64
from typing import Any, cast

from ecgvlm.bench.backends.base import (
    EXAM_PREAMBLE,
    Ask,
    Failure,
    Reply,
    Setup,
    Usage,
    api_key,
    media_type,
    sdk_failure,
)
from ecgvlm.bench.backends.hosted import Hosted, checked, token_budget


class Anthropic(Hosted):
    """`ANTHROPIC_API_KEY=... ecgvlm bench run --task code15 --backend anthropic --model claude-... --out
    DIR`
    """

    name = "anthropic"
    default_model = "claude-3-5-sonnet-20240620"

    def __init__(self, setup: Setup):
        import anthropic

        super().__init__(setup)
        self._sdk = anthropic
        self._key = api_key("ANTHROPIC_API_KEY")
        self._client = anthropic.Anthropic(
            api_key=self._key, base_url=setup.base_url, timeout=setup.timeout, max_retries=0
        )

    def send(self, ask: Ask, parameters: dict[str, Any]) -> Reply:
        limit, extra = ask.max_tokens, {k: v for k, v in parameters.items() if k == "temperature"}
        if (thinking := parameters.get("thinking")) is not None:
            budget = token_budget(thinking)
            if budget is None:
                extra |= {"thinking": {"type": "adaptive"}, "output_config": {"effort": thinking}}
            else:  # thinking counts towards max_tokens
                extra["thinking"] = {"type": "enabled", "budget_tokens": budget}
                limit += budget
        try:
            out = self._client.messages.create(
                model=self.model,
                messages=cast(Any, _messages(ask)),
                max_tokens=limit,
                extra_body=extra,  # this SDK has no argument for the temperature any more
            )
        except (self._sdk.AnthropicError, ValueError) as error:
            raise sdk_failure(self._sdk, error, self._key) from None
        try:
            text = "".join(block.text for block in out.content if block.type == "text")
            used = Usage(out.usage.input_tokens, out.usage.output_tokens)
        except (AttributeError, TypeError) as error:
            raise Failure("connection", f"unreadable reply: {error}") from None
        if out.stop_reason == "refusal":
            raise Failure("content_filter", "the model's filter stopped the answer", usage=used)
        cut = out.stop_reason in ("max_tokens", "model_context_window_exceeded")
        finish = "length" if cut else "stop"
        thought = any(block.type in ("thinking", "redacted_thinking") for block in out.content)
        return checked(Reply(text, None, used.input_tokens, used.output_tokens, finish), thought)


def _messages(ask: Ask) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for question, answer in ask.turns:
        content: list[dict[str, Any]] = [] if messages else [*map(_picture, ask.images)]
        content.append({"type": "text", "text": question if messages else EXAM_PREAMBLE + question})
        messages.append({"role": "user", "content": content})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
    return messages


def _picture(image: bytes) -> dict[str, Any]:
    data = base64.b64encode(image).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": media_type(image), "data": data}}
