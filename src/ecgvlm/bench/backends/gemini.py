"""Google's Gemini API."""

from __future__ import annotations

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
)
from ecgvlm.bench.backends.hosted import Hosted, checked, token_budget

_TRANSPORTS = {"httpx", "httpx2", "httpcore", "requests", "aiohttp"}


class Gemini(Hosted):
    """`GEMINI_API_KEY=... ecgvlm bench run --task code15 --backend gemini --model gemini-1.5-pro-002 --out
    DIR`
    """

    name = "gemini"
    default_model = "gemini-1.5-pro-002"

    def __init__(self, setup: Setup):
        from google import genai

        super().__init__(setup)
        self._key = api_key("GEMINI_API_KEY", "GOOGLE_API_KEY")
        options = genai.types.HttpOptions(base_url=setup.base_url, timeout=int(setup.timeout * 1000))
        self._types = genai.types
        self._client = genai.Client(api_key=self._key, http_options=options)

    def send(self, ask: Ask, parameters: dict[str, Any]) -> Reply:
        out = self._generated(ask, parameters)
        usage = out.usage_metadata
        written = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0) if usage else 0
        used = Usage((usage.prompt_token_count or 0) if usage else 0, written)
        if out.prompt_feedback is not None and out.prompt_feedback.block_reason:
            why = f"the prompt was blocked: {out.prompt_feedback.block_reason.value}"
            raise Failure("content_filter", why, usage=used)
        candidate = out.candidates[0] if out.candidates else None
        reason = candidate.finish_reason.value if candidate and candidate.finish_reason else "none"
        if reason in {"SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"}:
            raise Failure("content_filter", f"the answer was stopped: {reason}", usage=used)
        parts = (candidate.content.parts if candidate and candidate.content else None) or []
        if not parts and reason != "MAX_TOKENS":
            raise Failure("connection", "the reply holds no text", usage=used)
        text = "".join(p.text or "" for p in parts if not p.thought)
        finish = "length" if reason == "MAX_TOKENS" else "stop"
        thought = any(p.thought for p in parts)
        return checked(Reply(text, None, used.input_tokens, used.output_tokens, finish), thought)

    def _generated(self, ask: Ask, parameters: dict[str, Any]) -> Any:
        from google.genai import errors

        config = {k: v for k, v in parameters.items() if k == "temperature"}
        limit = ask.max_tokens
        if (thinking := parameters.get("thinking")) is not None:
            budget = token_budget(thinking)
            limit += budget or 0
            config["thinking_config"] = self._types.ThinkingConfig(
                **({"thinking_level": thinking.upper()} if budget is None else {"thinking_budget": budget})
            )
        try:
            return self._client.models.generate_content(
                model=self.model,
                contents=self._contents(ask),
                config=self._types.GenerateContentConfig(max_output_tokens=limit, **config),
            )
        except errors.APIError as error:
            headers = getattr(error.response, "headers", None) or {}
            raise http_failure(error.code, str(error), self._key, headers.get("retry-after")) from None
        except Exception as error:
            # Errors of the SDK's HTTP library come through; which one that is depends on its version.
            if not isinstance(error, ValueError) and type(error).__module__.split(".")[0] not in _TRANSPORTS:
                raise
            kind = "timeout" if "Timeout" in type(error).__name__ else "connection"
            raise Failure(kind, scrub(str(error) or type(error).__name__, self._key)) from None

    def _contents(self, ask: Ask) -> list[Any]:
        types = self._types
        contents: list[Any] = []
        for question, answer in ask.turns:
            shown = () if contents else ask.images
            parts = [types.Part.from_bytes(data=image, mime_type=media_type(image)) for image in shown]
            parts.append(types.Part(text=question if contents else EXAM_PREAMBLE + question))
            contents.append(types.Content(role="user", parts=parts))
            if answer is not None:
                contents.append(types.Content(role="model", parts=[types.Part(text=answer)]))
        return contents
