"""Several files in one request: read in the background, a page at a time; progress and results by id."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Path, Request, UploadFile
from fastapi.responses import JSONResponse, Response, StreamingResponse
from sqlalchemy.exc import SQLAlchemyError

from ecgvlm.errors import EcgError
from ecgvlm.serve.gate import BATCH_PATH, Metrics, body_bytes, error_body
from ecgvlm.serve.schemas import Batch, BatchResults
from ecgvlm.serve.sent import listed
from ecgvlm.serve.service import LONGEST, Service, refused, unavailable
from ecgvlm.serve.turns import Turns
from ecgvlm.serve.work import Asked

log = logging.getLogger("ecgvlm.serve")

MAX_FILES = 200
_MOST_PAGES = 2000  # of a batch
_KEPT_SECONDS = 3600.0  # after a batch has ended
_MOST = 8  # batches in memory at a time
_MOST_OF_ONE = 3  # of them of one key
Id = Annotated[str, Path(max_length=64, description="Of a batch, as the answer to its request said it.")]


class _Result:
    """What was read of a page, for an hour: as text, packed, it takes a twentieth of the memory."""

    def __init__(self, answer: dict[str, Any]):
        self.ok: bool = answer["ok"]
        self._packed = zlib.compress(json.dumps(answer).encode(), 1)

    def text(self) -> str:
        """The JSON object."""
        return zlib.decompress(self._packed).decode()


@dataclass
class _Job:
    """A batch. bytes: of its files, which stay in memory until it has ended. pages: of each file, the
    results, None where there is none yet.
    """

    owner: str
    files: list[tuple[str, bytes]]
    question: str | None
    bytes: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    pages: list[list[_Result | None]] = field(init=False)
    status: Literal["running", "done", "cancelled", "failed"] = "running"
    task: asyncio.Task | None = None
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.pages = [[None] for _ in self.files]  # a file that has not been opened counts as one page

    def results(self) -> list[_Result]:
        return [result for pages in self.pages for result in pages if result is not None]

    def progress(self) -> dict[str, Any]:
        results = self.results()
        failed = sum(not result.ok for result in results)
        total = sum(map(len, self.pages))
        return {"id": self.id, "status": self.status, "total": total, "done": len(results), "failed": failed}


class _Batches:
    """The batches in memory. They share `workers` places with each other, and the readers with all."""

    def __init__(self, service: Service, metrics: Metrics):
        self._service, self._metrics = service, metrics
        self._jobs: dict[str, _Job] = {}
        self._places = Turns(service.settings.workers)

    def find(self, id: str, owner: str) -> _Job | None:
        job = self._jobs.get(id)
        return job if job is not None and job.owner == owner else None

    def submit(self, owner: str, images: Sequence[UploadFile], question: str | None) -> _Job | None:
        """Begins a batch; None where as many are at work as may be."""
        self._forget_old()
        size = sum(image.size or 0 for image in images)
        running = [job for job in self._jobs.values() if job.status == "running"]
        if (
            len(running) >= _MOST
            or sum(job.owner == owner for job in running) >= _MOST_OF_ONE
            or sum(job.bytes for job in running) + size > body_bytes()
        ):
            return None
        # In memory already, so that nothing is waited for between the count above and the place below.
        files = [(image.filename or f"file {i + 1}", image.file.read()) for i, image in enumerate(images)]
        job = _Job(owner, files, question, size)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._work(job))
        return job

    async def cancel(self, job: _Job) -> None:
        """Stops a batch and forgets it."""
        assert job.task is not None
        job.task.cancel()
        await asyncio.wait([job.task])
        del self._jobs[job.id]

    def _forget_old(self) -> None:
        """Of the batches that have ended, those of the last hour stay, and no more than may be at work."""
        ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: job.ended)
        now = time.monotonic()
        for job in ended:
            if job in ended[:-_MOST] or job.ended + _KEPT_SECONDS < now:
                del self._jobs[job.id]

    async def _work(self, job: _Job) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(len(job.files)):
                    group.create_task(self._open(job, number, group))
            job.status = "done"
        except asyncio.CancelledError:
            job.status = "cancelled"
        except Exception:
            job.status = "failed"
            log.exception("a batch failed")
        finally:
            job.files.clear()
            job.ended = time.monotonic()

    async def _open(self, job: _Job, number: int, group: asyncio.TaskGroup) -> None:
        name, data = job.files[number]
        try:
            async with self._places.place():
                count = await self._service.count(data)
        except EcgError as error:
            job.pages[number] = [_Result(refused(error, name, job.question))]
            return
        if sum(map(len, job.pages)) + count > _MOST_PAGES:
            cause = f"{name}: a batch may have {_MOST_PAGES} pages; send it by itself"
            job.pages[number] = [_Result(refused(EcgError("too_large", cause), name, job.question))]
            return
        job.pages[number] = [None] * count
        for page in range(count):
            group.create_task(self._read(job, number, name, data, page))

    async def _read(self, job: _Job, number: int, name: str, data: bytes, page: int) -> None:
        asked = Asked(job.question)
        async with self._places.place():
            try:
                _, reading, key = await self._service.read(data, page, asked, name, job.owner)
                answer, code = {**reading.answer, "id": key}, "ok"
            except EcgError as error:
                answer, code = refused(error, name, job.question), error.code
            except SQLAlchemyError as error:  # the others may still be kept
                fault = unavailable(error)
                answer = refused(EcgError(fault.code, f"{name}: {fault.message}"), name, job.question)
                code = fault.code
        self._metrics.pages.labels(code).inc()
        job.pages[number][page] = _Result({**answer, "page_number": page})


def router(service: Service, metrics: Metrics) -> APIRouter:
    """Routes below /v1/batches."""
    api = APIRouter(prefix=BATCH_PATH, tags=["batches"])
    batches = _Batches(service, metrics)
    missing = JSONResponse(error_body("not_found", "there is no such batch, or no longer"), 404)

    @api.post("", status_code=202, response_model=Batch)
    async def submit(
        request: Request,
        images: Annotated[
            list[UploadFile], File(description="Files as /v1/read takes them, all pages of each.")
        ],
        question: Annotated[str | None, Form(max_length=LONGEST)] = None,
    ) -> Response:
        """Submit up to 200 files, of 200 MB and 2,000 pages together."""
        if len(images) > MAX_FILES:
            return JSONResponse(error_body("too_large", f"at most {MAX_FILES} files a batch"), 422)
        job = batches.submit(request.state.owner, images, question)
        if job is None:
            busy = error_body("overloaded", "as many batches are at work as may be; try again later")
            return JSONResponse(busy, 429, {"Retry-After": "30"})
        return JSONResponse(job.progress(), 202)

    @api.get("/{id}", response_model=Batch)
    async def progress(request: Request, id: Id) -> Response:
        """How far a batch is."""
        job = batches.find(id, request.state.owner)
        return JSONResponse(job.progress()) if job else missing

    @api.get("/{id}/results", response_model=BatchResults)
    async def results(request: Request, id: Id) -> Response:
        """What has been read so far, in order; kept in memory for an hour after the end."""
        job = batches.find(id, request.state.owner)
        if job is None:
            return missing
        results = listed(result.text() for result in job.results())
        said = chain([f'{{"status":"{job.status}","results":'], results, ["}"])
        return StreamingResponse(said, media_type="application/json")

    @api.delete("/{id}", response_model=Batch)
    async def cancel(request: Request, id: Id) -> Response:
        """Stop a batch and forget it."""
        job = batches.find(id, request.state.owner)
        if job is None:
            return missing
        await batches.cancel(job)
        return JSONResponse(job.progress())

    return api
