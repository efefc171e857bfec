"""What was read of a page as files: its leads and its report."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form
from fastapi.responses import Response

from ecgvlm.digitize import FS
from ecgvlm.record import Record
from ecgvlm.serve.sent import Sent, Spoken, each_once
from ecgvlm.serve.service import Service
from ecgvlm.show.pdf import pdf_report
from ecgvlm.show.reports import LEAD_FORMATS, fhir_bundle
from ecgvlm.words.phrases import words


def router(service: Service) -> APIRouter:
    """Routes /v1/digitize and /v1/report."""
    api = APIRouter(prefix="/v1", tags=["pages"], dependencies=[Depends(each_once)])

    @api.post("/digitize", response_class=Response)
    async def digitize(
        sent: Sent, format: Annotated[Literal["csv", "wfdb", "dicom"], Form()] = "csv"
    ) -> Response:
        """The twelve leads in mV: CSV as `ecgvlm digitize` writes it, a ZIP of a WFDB record, or DICOM."""
        reading = await sent.reading(service)
        assert reading.leads is not None
        record = Record(reading.leads, FS)
        file = LEAD_FORMATS[format]
        return _file(await asyncio.to_thread(file.write, record), file.media, sent.called(file.ending))

    @api.post("/report", response_class=Response)
    async def report(
        sent: Sent,
        format: Annotated[Literal["pdf", "fhir", "json"], Form()] = "pdf",
        language: Annotated[Spoken, Form(description="Of the PDF.")] = "en",
    ) -> Response:
        """The reading as a PDF, a FHIR R4 bundle (DiagnosticReport, Observations), or JSON."""
        reading = await sent.reading(service)
        answer = reading.answer
        if format == "pdf":
            assert reading.evidence
            shown = (reading.evidence, answer["model"], reading.leads, FS, words(language))
            return _file(await asyncio.to_thread(pdf_report, *shown), "application/pdf", sent.called("pdf"))
        body = fhir_bundle(answer) if format == "fhir" else answer
        kind = "application/fhir+json" if format == "fhir" else "application/json"
        data = json.dumps(body, ensure_ascii=False, indent=1).encode()
        return _file(data, kind, sent.called(f"{format}.json"))

    return api


def _file(data: bytes, kind: str, name: str) -> Response:
    return Response(data, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
