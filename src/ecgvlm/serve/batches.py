"""Several files in one request: read in the background, a page at a time; progress and results by id."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Path, Request, UploadFile
from fastapi.responses import JSONResponse, Response

from ecgvlm.errors import EcgError
from ecgvlm.serve.gate import BATCH_PATH, Metrics, body_bytes, error_body
from ecgvlm.serve.schemas import Batch, BatchResults
from ecgvlm.serve.service import Service, refused
from ecgvlm.serve.work import Asked

log = logging.getLogger("ecgvlm.serve")

MAX_FILES = 200
_KEPT_SECONDS = 3600.0  # after a batch has ended
_MOST = 8  # batches in memory at a time
_MOST_OF_ONE = 3  # of them of one key
Id = Annotated[str, Path(max_length=64)]


@dataclass
class _Job:
    """A batch. bytes: of its files, which stay in memory until it has ended."""

    owner: str
    files: list[tuple[str, bytes]]
    question: str | None
    bytes: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    pages: list[list[dict[str, Any] | None]] = field(
        default_factory=list
    )  # of each file: results, or None yet
    status: Literal["running", "done", "cancelled", "failed"] = "running"
    task: asyncio.Task | None = None
    ended: float = 0.0

    def __post_init__(self) -> None:
        self.pages = [[None] for _ in self.files]  # a file that has not been opened counts as one page

    def results(self) -> list[dict[str, Any]]:
        return [result for pages in self.pages for result in pages if result is not None]

    def progress(self) -> dict[str, Any]:
        results = self.results()
        failed = sum(not result["ok"] for result in results)
        total = sum(map(len, self.pages))
        return {"id": self.id, "status": self.status, "total": total, "done": len(results), "failed": failed}


def router(service: Service, metrics: Metrics) -> APIRouter:
    """Routes below /v1/batches. Batches share `workers` places with each other, and the readers with all."""
    api = APIRouter(prefix=BATCH_PATH, tags=["batches"])
    jobs: dict[str, _Job] = {}
    places = asyncio.Semaphore(service.settings.workers)
    missing = JSONResponse(error_body("not_found", "there is no such batch, or no longer"), 404)

    def find(request: Request, id: str) -> _Job | None:
        job = jobs.get(id)
        return job if job is not None and job.owner == request.state.owner else None

    @api.post("", status_code=202, response_model=Batch)
    async def submit(
        request: Request,
        images: Annotated[
            list[UploadFile], File(description="Files as /v1/read takes them, all pages of each.")
        ],
        question: Annotated[str | None, Form(max_length=2000)] = None,
    ) -> Response:
        """Submit up to 200 files, 200 MB together."""
        now = time.monotonic()
        for old in [job for job in jobs.values() if job.ended and job.ended + _KEPT_SECONDS < now]:
            del jobs[old.id]
        if len(images) > MAX_FILES:
            return JSONResponse(error_body("too_large", f"at most {MAX_FILES} files a batch"), 422)
        owner, size = request.state.owner, sum(image.size or 0 for image in images)
        running = [job for job in jobs.values() if job.status == "running"]
        if (
            len(running) >= _MOST
            or sum(job.owner == owner for job in running) >= _MOST_OF_ONE
            or sum(job.bytes for job in running) + size > body_bytes()
        ):
            busy = error_body("overloaded", "as many batches are at work as may be; try again later")
            return JSONResponse(busy, 429, {"Retry-After": "30"})
        for oldest in sorted((job for job in jobs.values() if job.ended), key=lambda job: job.ended)[:-_MOST]:
            del jobs[oldest.id]
        # In memory already, so that nothing is waited for between the count above and the place below.
        files = [(image.filename or f"file {i + 1}", image.file.read()) for i, image in enumerate(images)]
        job = _Job(owner, files, question, size)
        jobs[job.id] = job
        job.task = asyncio.create_task(work(job))
        return JSONResponse(job.progress(), 202)

    @api.get("/{id}", response_model=Batch)
    async def progress(request: Request, id: Id) -> Response:
        """How far a batch is."""
        job = find(request, id)
        return JSONResponse(job.progress()) if job else missing

    @api.get("/{id}/results", response_model=BatchResults)
    async def results(request: Request, id: Id) -> Response:
        """What has been read so far, in order; kept in memory for an hour after the end."""
        job = find(request, id)
        return JSONResponse({"status": job.status, "results": job.results()}) if job else missing

    @api.delete("/{id}", response_model=Batch)
    async def cancel(request: Request, id: Id) -> Response:
        """Stop a batch and forget it."""
        job = find(request, id)
        if job is None:
            return missing
        assert job.task is not None
        job.task.cancel()
        await asyncio.wait([job.task])
        del jobs[job.id]
        return JSONResponse(job.progress())

    async def work(job: _Job) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(len(job.files)):
                    group.create_task(open_file(job, number, group))
            job.status = "done"
        except asyncio.CancelledError:
            job.status = "cancelled"
        except Exception:
            job.status = "failed"
            log.exception("a batch failed")
        finally:
            job.files.clear()
            job.ended = time.monotonic()

    async def open_file(job: _Job, number: int, group: asyncio.TaskGroup) -> None:
        name, data = job.files[number]
        try:
            async with places:
                count = await service.count(data)
        except EcgError as error:
            job.pages[number] = [refused(error, name, job.question)]
            return
        job.pages[number] = [None] * count
        for page in range(count):
            group.create_task(read_page(job, number, name, data, page))

    async def read_page(job: _Job, number: int, name: str, data: bytes, page: int) -> None:
        job.pages[number][page] = {**await one(job, name, data, page), "page_number": page}

    async def one(job: _Job, name: str, data: bytes, page: int) -> dict[str, Any]:
        async with places:
            try:
                _, reading, key = await service.read(data, page, Asked(job.question), name, job.owner)
            except EcgError as error:
                metrics.pages.labels(error.code).inc()
                return refused(error, name, job.question)
        metrics.pages.labels("ok").inc()
        return {**reading.answer, "id": key}

    return api
