"""The HTTP application. `ecgvlm serve` runs it; `uvicorn --factory ecgvlm.serve.app:create_app` does too."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import mimetypes
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.routing import Route

import ecgvlm
from ecgvlm.digitize import FS
from ecgvlm.errors import EcgError
from ecgvlm.files.csv import csv_text
from ecgvlm.files.image import MAX_BYTES
from ecgvlm.files.waveform import write_dicom
from ecgvlm.judge.findings import SENSITIVITY
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.reader import Reader
from ecgvlm.record import Record
from ecgvlm.serve import batches, chat, kept
from ecgvlm.serve.gate import Gate, Limits, Metrics, body_bytes, error_body
from ecgvlm.serve.schemas import Aim, ReadAnswer, ReadRefused, Refused
from ecgvlm.serve.service import Service, Settings, refused
from ecgvlm.serve.work import Asked, Reading, default_reader, jpeg
from ecgvlm.show.pdf import pdf_report
from ecgvlm.show.reports import fhir_bundle, write_wfdb
from ecgvlm.words.phrases import LANGUAGES, words

# Uploads are in memory already, bounded; a second copy on the disk would outlive a crash.
MultiPartParser.spool_max_size = 2 * MAX_BYTES

Spoken = Literal[LANGUAGES]  # type: ignore[valid-type]
PageNumber = Annotated[
    int | None,
    Form(ge=0, le=999, description="Page of a file with several, from 0; else the first that shows an ECG."),
]
ReadId = Annotated[str | None, Form(max_length=64, description="Of a page read within the last minutes.")]
MaybeImage = Annotated[UploadFile | None, File(description="Or the page itself.")]
ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refused, "description": "No API key, or a wrong one, where keys are asked for."},
    403: {"model": Refused, "description": "A request that another web site made."},
    404: {"model": Refused, "description": "There is no such thing, or no longer (code gone)."},
    408: {"model": Refused, "description": "The request took too long to arrive."},
    413: {"model": Refused, "description": "The request is too large."},
    422: {"model": ReadRefused, "description": "The page cannot be read, or the request not be understood."},
    429: {
        "model": Refused,
        "description": "Busy, or over this key's rate; Retry-After says when to come back.",
    },
}


class ApiError(Exception):
    """An error of the interface. code: for programs; message: a sentence for people."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def create_app(settings: Settings | None = None, reader: Callable[[], Reader] = default_reader) -> FastAPI:
    """The application. reader: importable function that makes the reader of each worker process."""
    settings = settings or Settings()
    service = Service(settings, reader)
    app = FastAPI(
        title="ecgvlm",
        version=ecgvlm.__version__,
        description="Reads pictures of 12-lead ECGs and answers questions about them. Not a medical device.",
        lifespan=lambda _: _running(service),
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        responses=ERRORS,
    )
    app.state.service = service
    metrics = Metrics(lambda: service.readers.idle, lambda: service.readers.lost + service.decoders.lost)
    limits = Limits(settings.workers + settings.queue, settings.seconds, settings.local, body_bytes())
    app.add_middleware(Gate, limits=limits, keys=settings.keys, metrics=metrics)
    _handle_errors(app)
    _add_status(app, service, metrics)
    _add_reading(app, service, metrics)
    app.include_router(batches.router(service, metrics))
    app.include_router(chat.router(service))
    if settings.store is not None:
        app.include_router(kept.router(service, settings.store))
    _add_web(app)
    return app


def _add_web(app: FastAPI) -> None:
    """The web page: a route for each of its files, so that a wrong method is told from a wrong path."""
    mimetypes.add_type("text/javascript", ".js")
    mimetypes.add_type("application/manifest+json", ".webmanifest")
    folder = Path(str(files("ecgvlm.serve"))) / "web"
    pages = StaticFiles(directory=folder, html=True)
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    for name in ("", *names):
        app.router.routes.append(Route(f"/{name}", pages))


@contextlib.asynccontextmanager
async def _running(service: Service) -> AsyncIterator[None]:
    await service.start()
    try:
        yield
    finally:
        await service.close()


def _add_status(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", tags=["status"])
    def healthz() -> dict[str, bool]:
        """Whether the server lives."""
        return {"ok": True}

    @app.head("/readyz", include_in_schema=False)
    @app.get("/readyz", tags=["status"], responses={503: {"description": "Not yet, or no longer."}})
    async def readyz() -> Response:
        """Whether it can take requests."""
        ready = await service.is_ready()
        return JSONResponse({"ok": ready}, 200 if ready else 503)

    @app.get("/metrics", tags=["status"], response_class=Response)
    def prometheus() -> Response:
        """Counts and times for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/about", tags=["status"])
    def about(language: Spoken = "en") -> dict[str, Any]:
        """What this server is, for its web page, and what things are called in a language."""
        called = words(language)
        measurements = {
            key: {
                "name": known.title if language == "en" else called.name("measures", key),
                "unit": known.unit,
                "low": known.low,
                "high": known.high,
            }
            for key, known in MEASUREMENTS.items()
        }
        return {
            "name": "ecgvlm",
            "version": ecgvlm.__version__,
            "model": service.model,
            "labels": called.names["findings"],
            "cautions": called.names["cautions"],
            "reasons": called.names["reasons"],
            "measurements": measurements,
            "max_bytes": MAX_BYTES,
            "keys": service.settings.keys is not None,
            "store": service.store is not None,
        }


def _add_reading(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.post("/v1/read", tags=["pages"], response_model=ReadAnswer)
    async def read(
        request: Request,
        image: Annotated[UploadFile, File(description="JPEG, PNG, WebP, TIFF, HEIC, PDF, DICOM or ZIP.")],
        question: Annotated[str | None, Form(max_length=2000, description="What to ask.")] = None,
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
        height, width = picture.image.shape[:2]
        body = {
            **reading.answer,
            "id": key,
            "pages": picture.pages,
            "page_numbers": picture.numbers,
            "picture": {"width": width, "height": height},
        }
        if overlay:
            body["overlay"] = reading.overlay
        if preview:
            file = await asyncio.to_thread(jpeg, picture.image)
            body["preview"] = "data:image/jpeg;base64," + base64.b64encode(file).decode()
        return JSONResponse(body)

    @app.post("/v1/aim", tags=["pages"], response_model=Aim)
    async def aim(image: Annotated[UploadFile, File(description="What a camera sees now.")]) -> Response:
        """Whether grid and leads are seen in a camera's view, before the shot; nothing is judged or kept."""
        try:
            sight = await service.aim(await image.read())
        except EcgError as error:
            return JSONResponse(refused(error, "view", None), 422)
        return JSONResponse(asdict(sight))

    @app.post(
        "/v1/ask", tags=["pages"], response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"example": _event("token", {"text": "Sinus"})}}}},
    )  # fmt: skip
    async def ask(
        request: Request,
        question: Annotated[str, Form(min_length=1, max_length=2000, examples=["Is there ST elevation?"])],
        id: ReadId = None,
        image: MaybeImage = None,
        page: PageNumber = None,
        before: Annotated[
            list[str] | None, Form(max_length=100, description="What was asked about the page so far.")
        ] = None,
        language: Annotated[Spoken, Form(description="Of a question that does not show its own.")] = "en",
    ) -> Response:
        """Answer a question about a page, word by word: server-sent events token, done and error."""
        reading = await _reading(request, id, image, page)
        pieces = service.ask(reading, question, before or (), language=language)
        return StreamingResponse(_events(pieces), media_type="text/event-stream")

    @app.post("/v1/digitize", tags=["pages"], response_class=Response)
    async def digitize(
        request: Request,
        format: Annotated[Literal["csv", "wfdb", "dicom"], Form()] = "csv",
        id: ReadId = None,
        image: MaybeImage = None,
        page: PageNumber = None,
    ) -> Response:
        """The twelve leads in mV: CSV as `ecgvlm digitize` writes it, a ZIP of a WFDB record, or DICOM."""
        reading = await _reading(request, id, image, page)
        assert reading.leads is not None
        record = Record(reading.leads, FS)
        make, kind, name = {
            "csv": (lambda: csv_text(record).encode(), "text/csv", "ecg.csv"),
            "wfdb": (lambda: write_wfdb(record), "application/zip", "ecg.zip"),
            "dicom": (lambda: write_dicom(record), "application/dicom", "ecg.dcm"),
        }[format]
        return _file(await asyncio.to_thread(make), kind, name)

    @app.post("/v1/report", tags=["pages"], response_class=Response)
    async def report(
        request: Request,
        format: Annotated[Literal["pdf", "fhir", "json"], Form()] = "pdf",
        id: ReadId = None,
        image: MaybeImage = None,
        page: PageNumber = None,
        language: Annotated[Spoken, Form(description="Of the PDF.")] = "en",
    ) -> Response:
        """The reading as a PDF, a FHIR R4 bundle (DiagnosticReport, Observations), or JSON."""
        reading = await _reading(request, id, image, page)
        answer = reading.answer
        if format == "pdf":
            assert reading.evidence
            shown = (reading.evidence, answer["model"], reading.leads, FS, words(language))
            return _file(await asyncio.to_thread(pdf_report, *shown), "application/pdf", "ecg.pdf")
        body = fhir_bundle(answer) if format == "fhir" else answer
        kind = "application/fhir+json" if format == "fhir" else "application/json"
        return _file(json.dumps(body, ensure_ascii=False, indent=1).encode(), kind, f"ecg.{format}.json")

    async def _reading(
        request: Request, key: str | None, image: UploadFile | None, page: int | None
    ) -> Reading:
        owner = request.state.owner
        if image is not None:
            name = image.filename or "upload"
            return (await service.read(await image.read(), page, name=name, owner=owner))[1]
        if not key:
            raise ApiError(422, "invalid_request", "send an image, or the id of a page that was read")
        found = await service.recall(key, owner)
        if found is None:
            raise ApiError(404, "gone", "this page is no longer in memory; send the image again")
        return found


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


def _handle_errors(app: FastAPI) -> None:
    def answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
        return JSONResponse(error_body(code, message), status, headers)

    @app.exception_handler(ApiError)
    def api(_: Request, error: ApiError) -> Response:
        return answer(error.status, error.code, error.message)

    @app.exception_handler(EcgError)
    def ecg(_: Request, error: EcgError) -> Response:
        return answer(422, error.code, error.message)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        said = first["msg"].removeprefix("Value error, ")
        return answer(422, "invalid_request", f"{where}: {said}" if where else said)

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> Response:
        codes = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "http_error")
        return answer(error.status_code, code, str(error.detail), error.headers)
