"""The HTTP application. `ecgvlm serve` runs it; `uvicorn --factory ecgvlm.serve.app:create_app` does too."""

from __future__ import annotations

import base64
import contextlib
import json
import mimetypes
import time
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from typing import Annotated, Any

import cv2
import numpy as np
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

import ecgvlm
from ecgvlm.image import MAX_BYTES
from ecgvlm.labels import NAMES
from ecgvlm.model.evidence import MEASUREMENTS
from ecgvlm.reader import Reader
from ecgvlm.record import EcgError
from ecgvlm.serve.service import Service, Settings
from ecgvlm.serve.work import Picture, Reading, default_reader

_UNITS = {
    "heart_rate_bpm": ("heart rate", "bpm"),
    "pr_ms": ("PR", "ms"),
    "qrs_ms": ("QRS", "ms"),
    "qt_ms": ("QT", "ms"),
    "qtc_ms": ("QTc", "ms"),
    "axis_deg": ("axis", "°"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}

Page = Annotated[int, Form(ge=0, le=999, description="Page of a file with several, from 0.")]
Question = Annotated[str | None, Form(max_length=2000, description="What to ask about the page.")]
Image = Annotated[UploadFile, File(description="A picture, PDF, DICOM or ZIP file of the ECG.")]


class ApiError(Exception):
    """An error of the interface. code: for programs; message: a sentence for people."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


def create_app(settings: Settings | None = None, reader: Callable[[], Reader] = default_reader) -> FastAPI:
    """The application. reader: importable function that makes the reader of each worker process."""
    service = Service(settings or Settings(), reader)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.close()

    app = FastAPI(
        title="ecgvlm", version=ecgvlm.__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        description="Reads pictures of 12-lead ECGs and answers questions about them. Not a medical device.",
    )  # fmt: skip
    app.state.service = service
    _handle_errors(app)
    _add_headers(app)
    _add_routes(app, service)
    mimetypes.add_type("text/javascript", ".js")
    web = files("ecgvlm.serve") / "web"
    app.mount("/", StaticFiles(directory=str(web), html=True), name="web")
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    def healthz() -> dict:
        return {"ok": True}

    @app.get("/readyz")
    def readyz() -> Response:
        return JSONResponse({"ok": service.ready}, 200 if service.ready else 503)

    @app.get("/v1/about")
    def about() -> dict:
        """What this server can do, for its web page."""
        measurements = {
            key: {"name": name, "unit": unit, "low": MEASUREMENTS[key][0], "high": MEASUREMENTS[key][1]}
            for key, (name, unit) in _UNITS.items()
        }
        return {
            "name": "ecgvlm",
            "version": ecgvlm.__version__,
            "labels": NAMES,
            "measurements": measurements,
            "max_bytes": MAX_BYTES,
            "keys": False,
            "store": False,
        }

    @app.post("/v1/read")
    async def read(
        image: Image,
        question: Question = None,
        page: Page = 0,
        overlay: Annotated[bool, Form(description="Also where everything lies on the page.")] = False,
        preview: Annotated[bool, Form(description="Also the page as a JPEG data URL.")] = False,
    ) -> Response:
        """Read one page."""
        name = image.filename or "upload"
        picture = await service.decode(await image.read(), name, page)
        reading = await service.read(picture, name, question)
        body = {**reading.answer, "pages": picture.pages}
        if not body["ok"]:
            return JSONResponse(body, 422)
        body["id"] = service.remember(reading, "")
        height, width = picture.image.shape[:2]
        body["picture"] = {"width": width, "height": height}
        if overlay:
            body["overlay"] = reading.overlay
        if preview:
            body["preview"] = _data_url(picture)
        return JSONResponse(body)

    @app.post("/v1/ask")
    async def ask(
        question: Annotated[str, Form(min_length=1, max_length=2000)],
        id: Annotated[
            str | None, Form(description="Of a page that was read within the last minutes.")
        ] = None,
        image: Annotated[UploadFile | None, File()] = None,
        page: Page = 0,
    ) -> Response:
        """Answer a question about a page, word by word: server-sent events token, done and error."""
        reading = await _reading(id, image, page)
        return StreamingResponse(_events(reading, question), media_type="text/event-stream")

    async def _reading(key: str | None, image: UploadFile | None, page: int) -> Reading:
        if image is not None:
            name = image.filename or "upload"
            reading = await service.read(await service.decode(await image.read(), name, page), name)
            if reading.evidence is None:
                raise EcgError(**reading.answer["error"])
            return reading
        if not key:
            raise ApiError(422, "invalid_request", "send an image, or the id of a page that was read")
        found = service.recall(key, "")
        if found is None:
            raise ApiError(404, "gone", "this page is no longer in memory; send the image again")
        return found

    async def _events(reading: Reading, question: str) -> AsyncIterator[str]:
        start, answer = time.perf_counter(), ""
        try:
            async for piece in service.ask(reading, question):
                answer += piece
                yield _event("token", {"text": piece})
            yield _event("done", {"answer": answer, "seconds": round(time.perf_counter() - start, 3)})
        except EcgError as error:
            yield _event("error", {"code": error.code, "message": error.message})


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _data_url(picture: Picture) -> str:
    bgr = cv2.cvtColor(picture.image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return "data:image/jpeg;base64," + base64.b64encode(np.asarray(jpeg).tobytes()).decode()


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"ok": False, "error": {"code": code, "message": message}}, status, headers)


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    def api(_: Request, error: ApiError) -> Response:
        return _error(error.status, error.code, error.message, error.headers)

    @app.exception_handler(EcgError)
    def ecg(_: Request, error: EcgError) -> Response:
        return _error(422, error.code, error.message)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _error(422, "invalid_request", f"{where}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> Response:
        return _error(
            error.status_code, "not_found" if error.status_code == 404 else "http_error", str(error.detail)
        )


def _add_headers(app: FastAPI) -> None:
    @app.middleware("http")
    async def headers(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response
