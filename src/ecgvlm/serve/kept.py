"""What is in the store, for those who put it there: look, correct, delete."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ecgvlm.serve.gate import error_body
from ecgvlm.serve.schemas import Correction, Stored
from ecgvlm.serve.sent import listed
from ecgvlm.serve.service import Service, storable
from ecgvlm.serve.store import Store

Id = Annotated[str, Path(max_length=64, description="Of a read, as the answer to its request said it.")]


def router(service: Service, store: Store) -> APIRouter:
    """Routes below /v1/reads."""
    api = APIRouter(prefix="/v1/reads", tags=["store"])
    missing = JSONResponse(error_body("not_found", "no such read is kept"), 404)

    @api.get("", response_model=list[Stored])
    async def reads(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000, description="So many of them.")] = 100,
        offset: Annotated[int, Query(ge=0, le=10**9, description="So many to pass over first.")] = 0,
    ) -> Any:
        """Your reads that are kept, the newest first."""
        owner = request.state.owner
        keys = await asyncio.to_thread(store.list, owner, limit, offset)
        reads = (json.dumps(read, ensure_ascii=False) for read in store.each(keys, owner))
        return StreamingResponse(listed(reads), media_type="application/json")

    @api.get("/{id}", response_model=Stored)
    async def one(request: Request, id: Id) -> Any:
        """A read that is kept, with its corrections."""
        found = await asyncio.to_thread(store.get, id, request.state.owner)
        return JSONResponse(found) if found else missing

    @api.get("/{id}/image", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
    async def image(request: Request, id: Id) -> Response:
        """Its picture, as it is kept."""
        found = await asyncio.to_thread(store.image, id, request.state.owner)
        return Response(found, media_type="image/jpeg") if found else missing

    @api.post("/{id}/corrections", status_code=201)
    async def correct(request: Request, id: Id, correction: Correction) -> Response:
        """Say what the ECG shows instead: a page to learn from."""
        if correction.labels is None and not correction.report:
            return JSONResponse(error_body("invalid_request", "send labels, a report, or both"), 422)
        owner, labels = request.state.owner, correction.labels
        report = None if correction.report is None else storable(correction.report)
        said = await asyncio.to_thread(store.correct, id, owner, labels, report)
        return JSONResponse({"ok": True}, 201) if said else missing

    @api.delete("/{id}")
    async def delete(request: Request, id: Id) -> Response:
        """Delete a read with its picture and corrections."""
        owner = request.state.owner
        service.forget(id, owner)
        gone = await asyncio.to_thread(store.delete, id, owner)
        return JSONResponse({"ok": True}) if gone else missing

    return api
