"""OpenAI's chat completions: existing clients and evaluation harnesses use the model unchanged."""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ecgvlm.errors import EcgError
from ecgvlm.serve.gate import error_body
from ecgvlm.serve.schemas import ChatMessage, ChatRequest, Refused
from ecgvlm.serve.sent import Caller
from ecgvlm.serve.service import Service, storable
from ecgvlm.serve.work import Reading
from ecgvlm.words.wishes import wish

_WORD = re.compile(r"\s*\S+")
_INSTRUCTING = ("system", "developer")  # roles whose messages say how to answer


class _Invalid(Exception):
    """A request that cannot be understood; says why."""


def router(service: Service) -> APIRouter:
    """Routes /v1/models and /v1/chat/completions."""
    api = APIRouter(prefix="/v1", tags=["OpenAI"])
    created = int(time.time())

    def entry() -> dict[str, Any]:
        return {"id": service.model, "object": "model", "created": created, "owned_by": "ecgvlm"}

    @api.get("/models")
    def models() -> dict[str, Any]:
        """The one model there is."""
        return {"object": "list", "data": [entry()]}

    @api.get("/models/{name}", responses={404: {"model": Refused, "description": "No model of this name."}})
    def model(name: str) -> Any:
        """The model, by its name."""
        if name == service.model:
            return entry()
        return JSONResponse(error_body("not_found", f"the model here is {service.model}"), 404)

    @api.post(
        "/chat/completions", responses={400: {"model": Refused, "description": "No image, or no question."}}
    )
    async def completions(request: Request, caller: Caller, body: ChatRequest) -> Response:
        """Answer the last user message about the last image of the conversation, in the light of the user
        messages before it; an image before the last one is an earlier ECG, to compare with. Where the last
        image shows several ECGs, each is answered for, "ECG 1: ..." first.

        Images are `image_url` parts with data: URLs; nothing is fetched from elsewhere. Token counts in
        `usage` count pieces of text as the model decodes them; an image counts as none.
        """
        try:
            asked = _asked(body)
        except _Invalid as error:
            return JSONResponse(error_body("invalid_request", str(error)), 400)
        try:
            pages = [(await service.read(page, owner=request.state.owner))[1] for page in asked.images]
        except EcgError as error:
            return JSONResponse(error_body(error.code, error.message), 422)
        head = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": service.model,
        }
        reading, earlier = pages[-1], pages[0] if len(pages) > 1 else None
        question, said = asked.question, _Said(body.most, body.stop or [])
        pieces = _of_each(service, reading, asked, earlier, caller)
        if body.as_json:
            pieces = _as_json(pieces, reading, question, body.pick)
        if body.stream:
            usage = bool((body.stream_options or {}).get("include_usage"))
            return StreamingResponse(
                _chunks(said.of(pieces), said, question, head, usage), media_type="text/event-stream"
            )
        return JSONResponse(await _completion(pieces, said, question, head))

    return api


async def _of_each(
    service: Service, reading: Reading, asked: _Conversation, earlier: Reading | None, language: str
) -> AsyncGenerator[str]:
    """The answer; where the picture shows several ECGs, one about each, named and on a line of its own.
    language: of a question that does not show its own."""
    found = (reading, *reading.others)
    for n, one in enumerate(found, 1):
        if len(found) > 1:
            yield f"{'' if n == 1 else chr(10)}ECG {n}: "
        async with aclosing(service.ask(one, asked.question, asked.before, earlier, language)) as pieces:
            async for piece in pieces:
                yield piece


async def _as_json(
    pieces: AsyncGenerator[str], reading: Reading, question: str, pick: Callable[[dict], dict]
) -> AsyncGenerator[str]:
    """An answer as a JSON object with what else the reading found, word by word. pick: gives what is wanted
    of it."""
    answer = "".join([piece async for piece in pieces])
    found = pick({**reading.answer, "question": question, "answer": answer})
    for word in _WORD.findall(json.dumps(found, ensure_ascii=False)):
        yield word


async def _completion(
    pieces: AsyncGenerator[str], said: _Said, question: str, head: dict[str, Any]
) -> dict[str, Any]:
    """The whole answer as one object."""
    text = "".join([piece async for piece in said.of(pieces)])
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "finish_reason": said.finish,
        "logprobs": None,
    }
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(question, said.count)}


class _Said:
    """An answer as far as a request wants it. most: pieces; stops: texts that end it before them."""

    def __init__(self, most: int | None, stops: Sequence[str]):
        self._most, self._stops = most, stops
        self.count = 0
        self.finish = "stop"

    async def of(self, pieces: AsyncGenerator[str]) -> AsyncIterator[str]:
        """The pieces until one of the ends; a text that may be the beginning of a stop is held back."""
        held = ""
        async with aclosing(pieces):
            async for piece in pieces:
                if self._most is not None and self.count >= self._most:
                    self.finish = "length"
                    break
                self.count += 1
                held += piece
                found = [at for stop in self._stops if (at := held.find(stop)) >= 0]
                if found:
                    held = held[: min(found)]
                    break
                keep = max((_overlap(held, stop) for stop in self._stops), default=0)
                if ready := held[: len(held) - keep]:
                    yield ready
                held = held[len(held) - keep :]
        if held:
            yield held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text begin a stop."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


async def _chunks(
    pieces: AsyncIterator[str], said: _Said, question: str, head: dict[str, Any], usage: bool
) -> AsyncIterator[str]:
    def chunk(choices: list[dict], **more: Any) -> str:
        body = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"

    def delta(finish: str | None = None, **fields: str) -> list[dict]:
        return [{"index": 0, "delta": fields, "finish_reason": finish, "logprobs": None}]

    yield chunk(delta(role="assistant", content=""))
    try:
        async for piece in pieces:
            yield chunk(delta(content=piece))
    except EcgError as error:
        yield f"data: {json.dumps(error_body(error.code, error.message))}\n\n"
        return
    yield chunk(delta(said.finish))
    if usage:
        yield chunk([], usage=_usage(question, said.count))
    yield "data: [DONE]\n\n"


def _usage(question: str, completion: int) -> dict[str, int]:
    prompt = len(question.split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


@dataclass(frozen=True)
class _Conversation:
    """What a request asks. images: the last two at most, the newest last; before: what was asked so far,
    after the language wished for."""

    images: tuple[bytes, ...]
    question: str
    before: tuple[str, ...]


def _asked(body: ChatRequest) -> _Conversation:
    """The conversation's user messages, and the language that a system message wishes for. Raises _Invalid
    where nothing is asked about an image."""
    images: list[bytes] = []
    questions: list[str] = []
    wishes = [text for x in body.messages if x.role in _INSTRUCTING and wish(text := _text(x)).language]
    for message in body.messages:
        if message.role != "user":
            continue
        parts = message.content
        if isinstance(parts, str) or parts is None:
            parts = [{"type": "text", "text": parts or ""}]
        texts = []
        for part in parts:
            kind = part.get("type")
            if kind == "text":
                texts.append(str(part.get("text") or ""))
            elif kind == "image_url":
                images.append(_image(part.get("image_url")))
            else:
                raise _Invalid(
                    f"content parts of type {str(kind)[:40]!r} are not read; send text and image_url"
                )
        questions.append(storable("\n".join(texts)).replace("<image>", "").strip())
    if not images:
        raise _Invalid("the conversation holds no image; send an image_url part with a data: URL")
    *before, question = questions
    if not question:
        raise _Invalid("the last user message asks nothing")
    return _Conversation(tuple(images[-2:]), question, (*wishes, *filter(None, before)))


def _text(message: ChatMessage) -> str:
    """The text of a message; of parts, those that are text."""
    parts = message.content or ""
    return parts if isinstance(parts, str) else "\n".join(str(part.get("text") or "") for part in parts)


def _image(part: Any) -> bytes:
    url = part.get("url") if isinstance(part, dict) else part
    if not isinstance(url, str) or not url.startswith("data:"):
        raise _Invalid("image_url must be a data: URL; this server fetches nothing")
    head, _, text = url.partition(",")
    if not head.endswith(";base64"):
        raise _Invalid("a data: URL must be base64")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise _Invalid(f"the image is not readable as base64 ({error})") from error
