"""OpenAI's chat API: OpenAI itself, and every server that speaks its format (vLLM, SGLang, TGI, llama.cpp,
...).
"""

from __future__ import annotations

import base64
import os
import re
from typing import Any

from ecgvlm.bench.backends.base import (
    EXAM_PREAMBLE,
    Ask,
    Failure,
    Reply,
    Setup,
    Usage,
    api_key,
    http_failure,
    media_type,
    scrub,
    sdk_failure,
)
from ecgvlm.bench.backends.hosted import Hosted, checked, token_budget
from ecgvlm.errors import UsageError

_LIMITS = {"max_tokens", "max_completion_tokens"}  # older servers know the first, newer models the second
_LIMIT = re.compile(r"max_(?:completion_)?tokens")


class OpenAICompatible(Hosted):
    """`ecgvlm bench run --task code15 --backend openai-compatible --base-url http://127.0.0.1:8000/v1 --model
    NAME ...`

    The key, where the server wants one, is read from OPENAI_COMPATIBLE_API_KEY.
    """

    name = "openai-compatible"
    preamble = ""
    token_limit = "max_tokens"

    def __init__(self, setup: Setup):
        import openai

        super().__init__(setup)
        if token_budget(setup.thinking) is not None:
            raise UsageError(
                f"backend {self.name} takes an effort (low, medium, high ...), not a token budget"
            )
        self._sdk = openai
        self._key = self._read_key()
        self._client = openai.OpenAI(
            api_key=self._key, base_url=self._url(setup), timeout=setup.timeout, max_retries=0
        )

    def _read_key(self) -> str:
        return api_key("OPENAI_COMPATIBLE_API_KEY", required=False)

    def _url(self, setup: Setup) -> str | None:
        if setup.base_url is None:
            raise UsageError(f"backend {self.name} needs --base-url")
        return setup.base_url

    def send(self, ask: Ask, parameters: dict[str, Any]) -> Reply:
        request: dict[str, Any] = {"model": self.model, "messages": self._messages(ask), **parameters}
        if "thinking" in request:
            request["reasoning_effort"] = request.pop("thinking")
        request[self.token_limit] = ask.max_tokens
        try:
            out = self._client.chat.completions.create(**request)
        except (self._sdk.OpenAIError, ValueError) as error:
            raise sdk_failure(self._sdk, error, self._key) from None
        try:
            choice = out.choices[0]
            finish, message = choice.finish_reason, choice.message
            text, thought = _said(message.content)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise self._unreadable(out, error) from None
        spent = (getattr(out.usage, name, None) or 0 for name in ("prompt_tokens", "completion_tokens"))
        used = Usage(*spent)
        if finish == "content_filter":
            raise Failure("content_filter", "the server's filter stopped the answer", usage=used)
        if finish == "error":  # of gateways whose provider broke off
            raise Failure("server", "the server broke the answer off", usage=used)
        if refusal := getattr(message, "refusal", None):
            raise Failure("content_filter", scrub(str(refusal), self._key), usage=used)
        thought |= any(getattr(message, field, None) for field in ("reasoning_content", "reasoning"))
        if text is None and not thought and finish != "length":
            raise Failure("connection", "the reply holds no text", usage=used)
        finish = "length" if finish == "length" else "stop"
        return checked(Reply(text or "", None, used.input_tokens, used.output_tokens, finish), thought)

    def _unreadable(self, out: Any, cause: Exception) -> Failure:
        """Some gateways send a provider's error with status 200."""
        error = getattr(out, "error", None)
        if isinstance(error, dict) and str(error.get("code", "")).isdecimal():
            return http_failure(int(error["code"]), str(error.get("message", "")), self._key)
        return Failure("connection", f"unreadable reply: {cause}")

    def adapt(self, failure: Failure, parameters: dict[str, Any]) -> bool:
        if super().adapt(failure, parameters):
            return True
        refused = _LIMIT.search(failure.message)
        if failure.kind != "bad_request" or refused is None:
            return False
        if refused[0] == self.token_limit and not self.left_out & _LIMITS:
            self.left_out.add(refused[0])
            self.token_limit = (_LIMITS - {refused[0]}).pop()
        return refused[0] in self.left_out

    def _messages(self, ask: Ask) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        for question, answer in ask.turns:
            content: list[dict[str, Any]] | str = question
            if not messages:
                content = [*map(_picture, ask.images), {"type": "text", "text": self.preamble + question}]
                if not ask.images and not self.preamble:
                    content = question  # text-only servers take plain strings only
            messages.append({"role": "user", "content": content})
            if answer is not None:
                messages.append({"role": "assistant", "content": answer})
        return messages


def _picture(image: bytes) -> dict[str, Any]:
    url = f"data:{media_type(image)};base64,{base64.b64encode(image).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _said(content: Any) -> tuple[str | None, bool]:
    """A message's text, and whether it holds thoughts, too: some servers send a list of both. Raises KeyError
    or TypeError where it is neither."""
    if content is None or isinstance(content, str):
        return content, False
    parts = [part["text"] if part["type"] == "text" else None for part in content]
    texts = [text for text in parts if text is not None]
    return ("".join(texts) if texts else None), len(texts) < len(parts)


class OpenAI(OpenAICompatible):
    """`OPENAI_API_KEY=... ecgvlm bench run --task code15 --backend openai --model gpt-4o-2024-08-06 --out
    DIR`
    """

    name = "openai"
    default_model = "gpt-4o-2024-08-06"
    preamble = EXAM_PREAMBLE
    token_limit = "max_completion_tokens"

    def _url(self, setup: Setup) -> str | None:
        return setup.base_url or os.environ.get("OPENAI_BASE_URL")

    def _read_key(self) -> str:
        return api_key("OPENAI_API_KEY")
