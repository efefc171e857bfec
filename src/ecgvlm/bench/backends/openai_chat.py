"""OpenAI's chat API: OpenAI itself, and every server that speaks its format (vLLM, SGLang, TGI, llama.cpp,
...).
"""

from __future__ import annotations

import base64
import os
from typing import Any

from ecgvlm.bench.backends.base import (
    EXAM_PREAMBLE,
    Ask,
    Failure,
    Reply,
    api_key,
    media_type,
    scrub,
    sdk_failure,
)
from ecgvlm.errors import EcgError


class OpenAICompatible:
    """`ecgvlm bench run --task code15 --backend openai-compatible --base-url http://127.0.0.1:8000/v1 --model
    NAME ...`

    The key, where the server wants one, is read from OPENAI_COMPATIBLE_API_KEY.
    """

    name = "openai-compatible"
    preamble = ""
    _token_limit = "max_tokens"

    def __init__(self, model: str | None = None, base_url: str | None = None, timeout: float = 120.0):
        import openai

        if model is None or not (base_url or self.name == "openai"):
            raise EcgError("unsupported_format", f"backend {self.name} needs --model and --base-url")
        self.model = model
        self.parameters: dict[str, Any] = {"temperature": 0.0}
        self._sdk = openai
        self._key = self._read_key()
        self._client = openai.OpenAI(api_key=self._key, base_url=base_url, timeout=timeout, max_retries=0)

    def _read_key(self) -> str:
        return api_key("OPENAI_COMPATIBLE_API_KEY", required=False)

    def ask(self, ask: Ask) -> Reply:
        messages: list[dict[str, Any]] = []
        turns = [q for q, _ in ask.history] + [ask.prompt]
        for k, question in enumerate(turns):
            content: list[dict[str, Any]] | str = question
            if k == 0:
                content = [{"type": "text", "text": self.preamble + question}]
                if ask.image is not None:
                    url = f"data:{media_type(ask.image)};base64,{base64.b64encode(ask.image).decode()}"
                    content.insert(0, {"type": "image_url", "image_url": {"url": url}})
                elif not self.preamble:
                    content = question  # text-only servers take plain strings only
            messages.append({"role": "user", "content": content})
            if k < len(ask.history):
                messages.append({"role": "assistant", "content": ask.history[k][1]})
        request: dict[str, Any] = {"model": self.model, "messages": messages, **self.parameters}
        request[self._token_limit] = ask.max_tokens
        try:
            out = self._client.chat.completions.create(**request)
        except (self._sdk.OpenAIError, ValueError) as error:
            raise sdk_failure(self._sdk, error, self._key) from None
        try:
            choice = out.choices[0]
            finish, text = choice.finish_reason, choice.message.content
        except (AttributeError, IndexError, TypeError) as error:
            raise Failure("connection", f"unreadable reply: {error}") from None
        if finish == "content_filter":
            raise Failure("content_filter", "the server's filter stopped the answer")
        if refusal := getattr(choice.message, "refusal", None):
            raise Failure("content_filter", scrub(str(refusal), self._key))
        if text is None:
            raise Failure("connection", "the reply holds no text")
        usage = out.usage
        return Reply(
            text,
            None,
            usage.prompt_tokens if usage else 0,
            usage.completion_tokens if usage else 0,
            "length" if finish == "length" else "stop",
        )


class OpenAI(OpenAICompatible):
    """`OPENAI_API_KEY=... ecgvlm bench run --task code15 --backend openai --model gpt-4o-2024-08-06 --out
    DIR`
    """

    name = "openai"
    preamble = EXAM_PREAMBLE
    _token_limit = "max_completion_tokens"

    def __init__(self, model: str | None = None, base_url: str | None = None, timeout: float = 120.0):
        super().__init__(model or "gpt-4o-2024-08-06", base_url or os.environ.get("OPENAI_BASE_URL"), timeout)

    def _read_key(self) -> str:
        return api_key("OPENAI_API_KEY")
