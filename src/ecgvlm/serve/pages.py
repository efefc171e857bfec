"""Pages that are sent: read, or looked at before the shot."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, Response

from ecgvlm.errors import EcgError
from ecgvlm.judge.findings import SENSITIVITY
from ecgvlm.serve.gate import Metrics
from ecgvlm.serve.schemas import Aim, ReadAnswer
from ecgvlm.serve.sent import Caller, PageNumber, Spoken, each_once
from ecgvlm.serve.service import LONGEST, Service, refused
from ecgvlm.serve.work import Asked, Picture, Reading, jpeg


def router(service: Service, metrics: Metrics) -> APIRouter:
    """Routes /v1/read and /v1/aim."""
    api = APIRouter(prefix="/v1", tags=["pages"], dependencies=[Depends(each_once)])

    @api.post("/read", response_model=ReadAnswer)
    async def read(
        request: Request,
        caller: Caller,
        image: Annotated[UploadFile, File(description="JPEG, PNG, WebP, TIFF, HEIC, PDF, DICOM or ZIP.")],
        question: Annotated[str | None, Form(max_length=LONGEST, description="What to ask.")] = None,
        page: PageNumber = None,
        overlay: Annotated[bool, Form(description="Also where everything lies on the page.")] = False,
        preview: Annotated[bool, Form(description="Also the page as a JPEG data URL.")] = False,
        sensitivity: Annotated[
            float | None,
            Form(
                ge=SENSITIVITY[0], le=SENSITIVITY[1], description="Share of the pages with a finding to call."
            ),
        ] = None,
        language: Annotated[
            Spoken | None, Form(description="Of answer and report; else English, and the question's.")
        ] = None,
    ) -> Response:
        """Read one page."""
        name = image.filename or "upload"
        asked = Asked(question, sensitivity, language, overlay, spoken=language or caller)
        try:
            picture, reading, key = await service.read(
                await image.read(), page, asked, name, request.state.owner
            )
        except EcgError as error:
            metrics.pages.labels(error.code).inc()
            return JSONResponse(refused(error, name, question), 422)
        metrics.pages.labels("ok").inc()
        body = _read_body(picture, reading, key)
        if preview:
            file = await asyncio.to_thread(jpeg, picture.image)
            body["preview"] = "data:image/jpeg;base64," + base64.b64encode(file).decode()
        return JSONResponse(body)

    @api.post("/aim", response_model=Aim)
    async def aim(image: Annotated[UploadFile, File(description="What a camera sees now.")]) -> Response:
        """Whether grid and leads are seen in a camera's view, before the shot; nothing is judged or kept."""
        try:
            sight = await service.aim(await image.read())
        except EcgError as error:
            return JSONResponse(refused(error, "view", None), 422)
        return JSONResponse(asdict(sight))

    return api


def _read_body(picture: Picture, reading: Reading, key: str) -> dict[str, Any]:
    """What /v1/read answers about a page that is kept under this key."""
    height, width = picture.image.shape[:2]
    others = [_seen(other) for other in reading.others]
    return {
        **_seen(reading),
        **({"others": others} if others else {}),
        "id": key,
        "pages": picture.pages,
        "page_numbers": picture.numbers,
        "picture": {"width": width, "height": height},
    }


def _seen(reading: Reading) -> dict[str, Any]:
    """The contract's object of an ECG, with where everything lies if that was asked for."""
    return reading.answer | ({} if reading.overlay is None else {"overlay": reading.overlay})
