"""What was read as files for other programs and people: PDF, FHIR R4, and the leads as CSV, WFDB or DICOM."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

import ecgvlm
from ecgvlm.labels import FINDINGS, NAMES
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS, Record
from ecgvlm.show.conditions import met_conditions

DISCLAIMER = "Read by software; not a medical device. A clinician must check every reading."
_HL7 = "http://terminology.hl7.org/CodeSystem"
_NO_VALUE = {"not_printed": "not-performed"}  # reason -> code of FHIR's data-absent-reason, else "unknown"


def normal_range(measurement: str) -> str:
    """The normal range of a measurement in words, "" where there is none to speak of."""
    low, high = MEASUREMENTS[measurement].low, MEASUREMENTS[measurement].high
    if high is None:
        return ""
    return f"up to {high:g}" if low is None else f"{low:g} to {high:g}"


def write_wfdb(record: Record) -> bytes:
    """A ZIP archive of a WFDB record called ecg: ecg.hea and ecg.dat, 16 bit at 1,000 units a mV."""
    import wfdb

    file = io.BytesIO()
    with TemporaryDirectory() as folder, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        wfdb.wrsamp(
            "ecg", fs=record.fs, units=["mV"] * 12, sig_name=list(LEADS), fmt=["16"] * 12, write_dir=folder,
            adc_gain=[1000.0] * 12, baseline=[0] * 12,
            p_signal=np.clip(record.signal.T.astype(float), -32, 32),
        )  # fmt: skip
        for name in ("ecg.hea", "ecg.dat"):
            archive.write(Path(folder) / name, name)
    return file.getvalue()


def fhir_bundle(answer: Mapping[str, Any], when: datetime | None = None) -> dict:
    """An answer (the contract's object) as a FHIR R4 collection: DiagnosticReport, Observations and Device.

    Nothing in it names a patient; statuses are "preliminary", as no clinician has looked. when: it was read.
    """
    at = (when or datetime.now(UTC)).isoformat(timespec="seconds")
    device = {
        "resourceType": "Device",
        "deviceName": [{"name": "ecgvlm", "type": "model-name"}],
        "version": [{"value": f"{ecgvlm.__version__}, {answer['model']}"}],
        "note": [{"text": DISCLAIMER}],
    }
    resources = [device]
    urls = [_url()]
    for observation in (*_quantities(answer), *_findings(answer)):
        observation.update(
            resourceType="Observation",
            status="preliminary",
            effectiveDateTime=at,
            device={"reference": urls[0]},
        )
        resources.append(observation)
        urls.append(_url())
    report = {
        "resourceType": "DiagnosticReport",
        "status": "preliminary",
        "category": [_coded(f"{_HL7}/v2-0074", "EC", "Electrocardiac (e.g., EKG, EEC, Holter)")],
        "code": _coded("http://loinc.org", "11524-6", "EKG study"),
        "effectiveDateTime": at,
        "issued": at,
        "result": [{"reference": url} for url in urls[1:]],
        "conclusion": f"{answer['report']}\n{DISCLAIMER}",
    }  # fmt: skip
    entries = [{"fullUrl": _url(), "resource": report}]
    entries += [{"fullUrl": url, "resource": resource} for url, resource in zip(urls, resources)]
    return {"resourceType": "Bundle", "type": "collection", "timestamp": at, "entry": entries}


def _url() -> str:
    return f"urn:uuid:{uuid.uuid4()}"


def _coded(system: str, code: str, display: str) -> dict:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def _quantities(answer: Mapping[str, Any]) -> list[dict]:
    out = []
    for key, known in MEASUREMENTS.items():
        code = _coded("http://loinc.org", known.loinc, known.loinc_name)
        observation: dict[str, Any] = {"code": code | {"text": known.title}}
        value = answer["measurements"][key]

        def quantity(number: float, unit: str = known.unit, ucum: str = known.ucum) -> dict:
            return {"value": number, "unit": unit, "system": "http://unitsofmeasure.org", "code": ucum}

        if value is None:
            reason = answer["measurements"].get("reasons", {}).get(key, "")
            why = _NO_VALUE.get(reason, "unknown")
            observation["dataAbsentReason"] = {
                "coding": [{"system": f"{_HL7}/data-absent-reason", "code": why}],
                "text": reason.replace("_", " ") or "unclear",
            }
        else:
            observation["valueQuantity"] = quantity(value)
        bounds = {"low": known.low, "high": known.high}
        if normal := {side: quantity(limit) for side, limit in bounds.items() if limit is not None}:
            observation["referenceRange"] = [normal]
        out.append(observation)
    return out


def _findings(answer: Mapping[str, Any]) -> list[dict]:
    """Every label as present or absent, with its probability."""
    out = []
    for label, probability in answer["labels"].items():
        code = {"text": NAMES[label]}
        if snomed := FINDINGS[label].snomed:
            code = _coded("http://snomed.info/sct", snomed, NAMES[label])
        component = {
            "code": {"text": "probability"},
            "valueQuantity": {"value": probability, "system": "http://unitsofmeasure.org", "code": "1"},
        }
        out.append({"code": code, "valueBoolean": label in answer["findings"], "component": [component]})
    return out


def pdf_report(answer: Mapping[str, Any], leads: np.ndarray | None = None, fs: float = 500.0) -> bytes:
    """An answer (the contract's object) as PDF, and on a second page the leads: [12, n] mV at fs Hz."""
    from reportlab.graphics.shapes import Drawing, Rect
    from reportlab.lib import colors
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.lib.units import mm
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Table

    styles = getSampleStyleSheet()
    text, small, head = styles["BodyText"], styles["Italic"], styles["Heading3"]

    def bar(p: float, found: bool) -> Drawing:
        drawing = Drawing(40 * mm, 3 * mm)
        drawing.add(Rect(0, 0, 40 * mm, 3 * mm, fillColor=colors.whitesmoke, strokeColor=None))
        colour = colors.HexColor("#b3261e" if found else "#8a8a8a")
        drawing.add(Rect(0, 0, 40 * mm * p, 3 * mm, fillColor=colour, strokeColor=None))
        return drawing

    shown = sorted(
        (label for label, p in answer["labels"].items() if label in answer["findings"] or p >= 0.2),
        key=lambda label: -answer["labels"][label],
    )
    why = met_conditions(answer.get("criteria", ()))

    def named(label: str) -> str:
        if label not in answer["findings"]:
            return NAMES[label]
        conditions = f"<br/><font size=7>{escape(why[label])}</font>" if label in why else ""
        return f"<b>{NAMES[label]}</b>{conditions}"

    findings = [
        [
            Paragraph(named(label), text),
            bar(answer["labels"][label], label in answer["findings"]),
            f"{answer['labels'][label]:.0%}",
        ]
        for label in shown
    ]
    measured = [["", "", "normal"]]
    for key, known in MEASUREMENTS.items():
        value = answer["measurements"][key]
        reason = answer["measurements"].get("reasons", {}).get(key, "unclear").replace("_", " ")
        said = f"unknown ({reason})" if value is None else f"{value:.0f} {known.unit}"
        measured.append([known.title, said, normal_range(key)])
    page = answer["page"]
    scale = f"{page['layout']} page, {page['mm_per_s']:g} mm/s, {page['mm_per_mv']:g} mm/mV"
    story = [
        Paragraph("ECG reading", styles["Title"]),
        Paragraph(escape(DISCLAIMER), small),
        Paragraph(escape(answer["answer"]), styles["Heading2"]),
        Paragraph("Report", head),
        Paragraph(escape(answer["report"]), text),
        Paragraph("Findings", head),
        Table(findings, colWidths=[75 * mm, 45 * mm, 15 * mm], hAlign="LEFT")
        if findings
        else Paragraph("none", text),
        Paragraph("Measurements", head),
        Table(measured, colWidths=[45 * mm, 60 * mm, 30 * mm], hAlign="LEFT"),
        Paragraph("Page", head),
        Paragraph(escape(f"{scale}, quality {page['quality']:.0%}. Model {answer['model']}."), text),
    ]
    if leads is not None:
        story += [PageBreak(), Paragraph("Leads as digitised", head), _plot(leads, fs)]
    file = io.BytesIO()
    document = SimpleDocTemplate(
        file, pagesize=A4, title="ECG reading", author="ecgvlm", leftMargin=18 * mm, rightMargin=18 * mm,
        topMargin=12 * mm, bottomMargin=12 * mm,
    )  # fmt: skip
    document.build(story)
    return file.getvalue()


def _plot(leads: np.ndarray, fs: float) -> Any:
    """The leads, one below the other, ten seconds over 170 mm, 1 mV over 7 mm."""
    from reportlab.graphics.shapes import Drawing, PolyLine, String
    from reportlab.lib import colors
    from reportlab.lib.units import mm

    row, left, per_s, per_mv = 11 * mm, 10 * mm, 16 * mm, 6 * mm
    drawing = Drawing(174 * mm, row * 12 + 4 * mm)
    step = max(1, round(fs / 125))
    for i, lead in enumerate(LEADS):
        y = row * (11.5 - i)
        drawing.add(String(0, y - 1 * mm, lead, fontSize=8))
        trace = leads[i, : int(10 * fs) : step]
        known = np.isfinite(trace)
        trace = np.clip(trace - np.median(trace[known]), -3, 3) if known.any() else trace
        for run in np.split(np.arange(len(trace)), np.flatnonzero(~known)):
            run = run[known[run]]
            if len(run) > 1:
                points = np.stack([left + run * step / fs * per_s, y + trace[run] * per_mv], 1)
                line = PolyLine(points.round(1).ravel().tolist(), strokeWidth=0.5, strokeColor=colors.black)
                drawing.add(line)
    return drawing
