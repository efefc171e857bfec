"""Pages that are sent: read, asked about, looked at before the shot; their leads and reports as files."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ecgvlm.digitize import FS
from ecgvlm.errors import EcgError
from ecgvlm.files.csv import csv_text
from ecgvlm.files.waveform import write_dicom
from ecgvlm.judge.findings import SENSITIVITY
from ecgvlm.record import Record
from ecgvlm.serve.gate import Metrics
from ecgvlm.serve.schemas import Aim, ReadAnswer
from ecgvlm.serve.service import LONGEST, Service, refused
from ecgvlm.serve.work import Asked, Picture, Reading, jpeg
from ecgvlm.show.pdf import pdf_report
from ecgvlm.show.reports import fhir_bundle, write_wfdb
from ecgvlm.words.phrases import LANGUAGES, words

Spoken = Literal[LANGUAGES]  # type: ignore[valid-type]
PageNumber = Annotated[
    int | None,
    Form(ge=0, le=999, description="Page of a file with several, from 0; else the first that shows an ECG."),
]


class SentPage(NamedTuple):
    """The page that a request is about: the id of one that was read, or the page itself. owner: who sent
    it."""

    id: str | None
    image: UploadFile | None
    number: int | None
    owner: str


def _sent(
    request: Request,
    id: Annotated[
        str | None, Form(max_length=64, description="Of a page read within the last minutes.")
    ] = None,
    image: Annotated[UploadFile | None, File(description="Or the page itself.")] = None,
    page: PageNumber = None,
) -> SentPage:
    return SentPage(id, image, page, request.state.owner)


Sent = Annotated[SentPage, Depends(_sent)]


class ApiError(Exception):
    """An error of the interface. code: for programs; message: a sentence for people."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


async def _each_once(request: Request) -> None:
    """Refuses a field that is sent several times: the last one alone would be read."""
    names = [name for name, _ in (await request.form()).multi_items() if name != "before"]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        said = f"{repeated}: is sent {names.count(repeated)} times; several pages go to /v1/batches"
        raise ApiError(422, "invalid_request", said)


def router(service: Service, metrics: Metrics) -> APIRouter:
    """Routes /v1/read, /v1/aim, /v1/ask, /v1/digitize and /v1/report."""
    api = APIRouter(prefix="/v1", tags=["pages"], dependencies=[Depends(_each_once)])

    @api.post("/read", response_model=ReadAnswer)
    async def read(
        request: Request,
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
        asked = Asked(question, sensitivity, language, overlay)
        try:
            picture, reading, key = await service.read(
                await image.read(), page, asked, name, request.state.owner
            )
        except EcgError as error:
            metrics.pages.labels(error.code).inc()
            return JSONResponse(refused(error, name, question), 422)
        metrics.pages.labels("ok").inc()
        body = _read_body(picture, reading, key)
        if overlay:
            body["overlay"] = reading.overlay
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

    @api.post(
        "/ask", response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"example": _event("token", {"text": "Sinus"})}}}},
    )  # fmt: skip
    async def ask(
        sent: Sent,
        question: Annotated[str, Form(min_length=1, max_length=LONGEST, examples=["Is there ST elevation?"])],
        before: Annotated[
            list[str] | None, Form(max_length=100, description="What was asked about the page so far.")
        ] = None,
        language: Annotated[Spoken, Form(description="Of a question that does not show its own.")] = "en",
    ) -> Response:
        """Answer a question about a page, word by word: server-sent events token, done and error."""
        reading = await _reading(sent)
        pieces = service.ask(reading, question, before or (), language=language)
        return StreamingResponse(_events(pieces), media_type="text/event-stream")

    @api.post("/digitize", response_class=Response)
    async def digitize(
        sent: Sent, format: Annotated[Literal["csv", "wfdb", "dicom"], Form()] = "csv"
    ) -> Response:
        """The twelve leads in mV: CSV as `ecgvlm digitize` writes it, a ZIP of a WFDB record, or DICOM."""
        reading = await _reading(sent)
        assert reading.leads is not None
        record = Record(reading.leads, FS)
        make, kind, name = {
            "csv": (lambda: csv_text(record).encode(), "text/csv", "ecg.csv"),
            "wfdb": (lambda: write_wfdb(record), "application/zip", "ecg.zip"),
            "dicom": (lambda: write_dicom(record), "application/dicom", "ecg.dcm"),
        }[format]
        return _file(await asyncio.to_thread(make), kind, name)

    @api.post("/report", response_class=Response)
    async def report(
        sent: Sent,
        format: Annotated[Literal["pdf", "fhir", "json"], Form()] = "pdf",
        language: Annotated[Spoken, Form(description="Of the PDF.")] = "en",
    ) -> Response:
        """The reading as a PDF, a FHIR R4 bundle (DiagnosticReport, Observations), or JSON."""
        reading = await _reading(sent)
        answer = reading.answer
        if format == "pdf":
            assert reading.evidence
            shown = (reading.evidence, answer["model"], reading.leads, FS, words(language))
            return _file(await asyncio.to_thread(pdf_report, *shown), "application/pdf", "ecg.pdf")
        body = fhir_bundle(answer) if format == "fhir" else answer
        kind = "application/fhir+json" if format == "fhir" else "application/json"
        return _file(json.dumps(body, ensure_ascii=False, indent=1).encode(), kind, f"ecg.{format}.json")

    async def _reading(sent: SentPage) -> Reading:
        if sent.image is not None:
            name = sent.image.filename or "upload"
            data = await sent.image.read()
            return (await service.read(data, sent.number, name=name, owner=sent.owner))[1]
        if not sent.id:
            raise ApiError(422, "invalid_request", "send an image, or the id of a page that was read")
        found = await service.recall(sent.id, sent.owner)
        if found is None:
            raise ApiError(404, "gone", "this page is no longer in memory; send the image again")
        return found

    return api


def _read_body(picture: Picture, reading: Reading, key: str) -> dict[str, Any]:
    """What /v1/read answers about a page that is kept under this key."""
    height, width = picture.image.shape[:2]
    return {
        **reading.answer,
        "id": key,
        "pages": picture.pages,
        "page_numbers": picture.numbers,
        "picture": {"width": width, "height": height},
    }


async def _events(pieces: AsyncGenerator[str]) -> AsyncIterator[str]:
    start, answer = time.perf_counter(), ""
    try:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                answer += piece
                yield _event("token", {"text": piece})
        yield _event("done", {"answer": answer, "seconds": round(time.perf_counter() - start, 3)})
    except EcgError as error:
        yield _event("error", {"code": error.code, "message": error.message})


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _file(data: bytes, kind: str, name: str) -> Response:
    return Response(data, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
