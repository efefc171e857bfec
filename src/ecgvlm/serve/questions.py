"""Questions about a page, answered word by word."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response, StreamingResponse

from ecgvlm.errors import EcgError
from ecgvlm.serve.sent import Caller, Sent, Spoken, each_once
from ecgvlm.serve.service import LONGEST, Service


def router(service: Service) -> APIRouter:
    """Route /v1/ask."""
    api = APIRouter(prefix="/v1", tags=["pages"], dependencies=[Depends(each_once)])

    @api.post(
        "/ask", response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"example": _event("token", {"text": "Sinus"})}}}},
    )  # fmt: skip
    async def ask(
        sent: Sent,
        caller: Caller,
        question: Annotated[str, Form(min_length=1, max_length=LONGEST, examples=["Is there ST elevation?"])],
        before: Annotated[
            list[str] | None, Form(max_length=100, description="What was asked about the page so far.")
        ] = None,
        language: Annotated[
            Spoken | None,
            Form(description="Of a question that does not show its own; else as of Accept-Language."),
        ] = None,
    ) -> Response:
        """Answer a question about a page, word by word: server-sent events token, done and error."""
        reading = await sent.reading(service)
        pieces = service.ask(reading, question, before or (), language=language or caller)
        return StreamingResponse(_events(pieces, reading.answer["image"]), media_type="text/event-stream")

    return api


async def _events(pieces: AsyncGenerator[str], image: str) -> AsyncIterator[str]:
    start, answer = time.perf_counter(), ""
    try:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                answer += piece
                yield _event("token", {"text": piece})
        seconds = round(time.perf_counter() - start, 3)
        yield _event("done", {"answer": answer, "image": image, "seconds": seconds})
    except EcgError as error:
        yield _event("error", {"code": error.code, "message": error.message})


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
