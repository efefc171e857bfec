"""Anthropic's messages API."""

from __future__ import annotations

import base64
from typing import Any, cast

from ecgvlm.bench.backends.base import EXAM_PREAMBLE, Ask, Failure, Reply, api_key, media_type, sdk_failure


class Anthropic:
    """`ANTHROPIC_API_KEY=... ecgvlm bench run --task code15 --backend anthropic --model claude-... --out
    DIR`
    """

    name = "anthropic"

    def __init__(self, model: str | None = None, base_url: str | None = None, timeout: float = 120.0):
        import anthropic

        self.model = model or "claude-3-5-sonnet-20240620"
        self.parameters: dict[str, Any] = {"temperature": 0.0}
        self._sdk = anthropic
        self._key = api_key("ANTHROPIC_API_KEY")
        self._client = anthropic.Anthropic(
            api_key=self._key, base_url=base_url, timeout=timeout, max_retries=0
        )

    def ask(self, ask: Ask) -> Reply:
        messages: list[dict[str, Any]] = []
        turns = [q for q, _ in ask.history] + [ask.prompt]
        for k, question in enumerate(turns):
            content: list[dict[str, Any]] = [
                {"type": "text", "text": question if k else EXAM_PREAMBLE + question}
            ]
            if k == 0 and ask.image is not None:
                data = base64.b64encode(ask.image).decode()
                source = {"type": "base64", "media_type": media_type(ask.image), "data": data}
                content.insert(0, {"type": "image", "source": source})
            messages.append({"role": "user", "content": content})
            if k < len(ask.history):
                messages.append({"role": "assistant", "content": ask.history[k][1]})
        try:
            out = self._client.messages.create(
                model=self.model,
                messages=cast(Any, messages),
                max_tokens=ask.max_tokens,
                extra_body=self.parameters,  # this SDK has no argument for the temperature any more
            )
        except (self._sdk.AnthropicError, ValueError) as error:
            raise sdk_failure(self._sdk, error, self._key) from None
        try:
            text = "".join(block.text for block in out.content if block.type == "text")
            read, written = out.usage.input_tokens, out.usage.output_tokens
        except (AttributeError, TypeError) as error:
            raise Failure("connection", f"unreadable reply: {error}") from None
        if out.stop_reason == "refusal":
            raise Failure("content_filter", "the model's filter stopped the answer")
        finish = "length" if out.stop_reason == "max_tokens" else "stop"
        return Reply(text, None, read, written, finish)
