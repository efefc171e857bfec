"""Google's Gemini API."""

from __future__ import annotations

from typing import Any

from ecgvlm.bench.backends.base import (
    EXAM_PREAMBLE,
    Ask,
    Failure,
    Reply,
    api_key,
    http_failure,
    media_type,
    scrub,
)

_TRANSPORTS = {"httpx", "httpx2", "httpcore", "requests", "aiohttp"}


class Gemini:
    """`GEMINI_API_KEY=... ecgvlm bench run --task code15 --backend gemini --model gemini-1.5-pro-002 --out
    DIR`
    """

    name = "gemini"

    def __init__(self, model: str | None = None, base_url: str | None = None, timeout: float = 120.0):
        from google import genai

        self.model = model or "gemini-1.5-pro-002"
        self.parameters: dict[str, Any] = {"temperature": 0.0}
        self._key = api_key("GEMINI_API_KEY", "GOOGLE_API_KEY")
        options = genai.types.HttpOptions(base_url=base_url, timeout=int(timeout * 1000))
        self._genai = genai
        self._client = genai.Client(api_key=self._key, http_options=options)

    def ask(self, ask: Ask) -> Reply:
        from google.genai import errors

        types = self._genai.types
        contents: list[Any] = []
        turns = [q for q, _ in ask.history] + [ask.prompt]
        for k, question in enumerate(turns):
            parts = [types.Part(text=question if k else EXAM_PREAMBLE + question)]
            if k == 0 and ask.image is not None:
                parts.insert(0, types.Part.from_bytes(data=ask.image, mime_type=media_type(ask.image)))
            contents.append(types.Content(role="user", parts=parts))
            if k < len(ask.history):
                contents.append(types.Content(role="model", parts=[types.Part(text=ask.history[k][1])]))
        try:
            out = self._client.models.generate_content(
                model=self.model,
                contents=contents,
                config=types.GenerateContentConfig(max_output_tokens=ask.max_tokens, **self.parameters),
            )
        except errors.APIError as error:
            headers = getattr(error.response, "headers", None) or {}
            raise http_failure(error.code, scrub(str(error), self._key), headers.get("retry-after")) from None
        except Exception as error:
            # Errors of the SDK's HTTP library come through; which one that is depends on its version.
            if not isinstance(error, ValueError) and type(error).__module__.split(".")[0] not in _TRANSPORTS:
                raise
            kind = "timeout" if "Timeout" in type(error).__name__ else "connection"
            raise Failure(kind, scrub(str(error) or type(error).__name__, self._key)) from None
        if out.prompt_feedback is not None and out.prompt_feedback.block_reason:
            raise Failure(
                "content_filter", f"the prompt was blocked: {out.prompt_feedback.block_reason.value}"
            )
        candidate = out.candidates[0] if out.candidates else None
        reason = candidate.finish_reason.value if candidate and candidate.finish_reason else "none"
        if reason in {"SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"}:
            raise Failure("content_filter", f"the answer was stopped: {reason}")
        parts = (candidate.content.parts if candidate and candidate.content else None) or []
        if not parts and reason != "MAX_TOKENS":
            raise Failure("connection", "the reply holds no text")
        usage = out.usage_metadata
        return Reply(
            "".join(p.text or "" for p in parts if not p.thought),
            None,
            (usage.prompt_token_count or 0) if usage else 0,
            (usage.candidates_token_count or 0) if usage else 0,
            "length" if reason == "MAX_TOKENS" else "stop",
        )
