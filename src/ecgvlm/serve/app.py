"""The HTTP application. `ecgvlm serve` runs it; `uvicorn --factory ecgvlm.serve.app:create_app` does too."""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartParser
from starlette.routing import Route

import ecgvlm
from ecgvlm.errors import EcgError
from ecgvlm.files.leaf import MAX_BYTES
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.reader import Reader
from ecgvlm.serve import batches, chat, exports, kept, pages, questions
from ecgvlm.serve.gate import Gate, Limits, Metrics, body_bytes, error_body
from ecgvlm.serve.schemas import ReadRefused, Refused
from ecgvlm.serve.sent import ApiError, Spoken
from ecgvlm.serve.service import Service, Settings, unavailable
from ecgvlm.serve.work import default_reader
from ecgvlm.words.phrases import words

# Uploads are in memory already, bounded; a second copy on the disk would outlive a crash.
MultiPartParser.spool_max_size = 2 * MAX_BYTES

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
    503: {"model": Refused, "description": "What is read cannot be kept now; try again."},
}


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
    app.include_router(pages.router(service, metrics))
    app.include_router(questions.router(service))
    app.include_router(exports.router(service))
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
    site = StaticFiles(directory=folder, html=True)
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    for name in ("", *names):
        app.router.routes.append(Route(f"/{name}", site))


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
    def about(
        language: Annotated[Spoken, Query(description="Of the names of things.")] = "en",
    ) -> dict[str, Any]:
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


def _handle_errors(app: FastAPI) -> None:
    def answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Response:
        return JSONResponse(error_body(code, message), status, headers)

    @app.exception_handler(ApiError)
    def api(_: Request, error: ApiError) -> Response:
        return answer(error.status, error.code, error.message)

    @app.exception_handler(EcgError)
    def ecg(_: Request, error: EcgError) -> Response:
        return answer(422, error.code, error.message)

    @app.exception_handler(SQLAlchemyError)
    def store(_: Request, error: SQLAlchemyError) -> Response:
        fault = unavailable(error)
        return answer(503, fault.code, fault.message, {"Retry-After": "5"})

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid" or (
            len(first["loc"]) == 1 and first["type"] not in ("missing", "value_error")
        ):
            return answer(422, "invalid_request", "the body must be a JSON object")
        where = ".".join(str(part) for part in first["loc"][1:])
        said = first["msg"].removeprefix("Value error, ")
        return answer(422, "invalid_request", f"{where}: {said}" if where else said)

    @app.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> Response:
        codes = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "http_error")
        return answer(error.status_code, code, str(error.detail), error.headers)
