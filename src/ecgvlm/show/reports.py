"""What was read as files for other programs: FHIR R4, and the leads as CSV, WFDB or DICOM."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ecgvlm
from ecgvlm.errors import EcgError
from ecgvlm.files.csv import csv_text
from ecgvlm.files.leads import step_of
from ecgvlm.files.waveform import write_dicom
from ecgvlm.labels import FINDINGS, NAMES
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS, Record

DISCLAIMER = "Read by software; not a medical device. A clinician must check every reading."
_HL7 = "http://terminology.hl7.org/CodeSystem"
_NO_VALUE = {"not_printed": "not-performed"}  # reason -> code of FHIR's data-absent-reason, else "unknown"


def write_wfdb(record: Record) -> bytes:
    """A ZIP archive of a WFDB record called ecg: ecg.hea and ecg.dat, 16 bit in the finest steps."""
    import wfdb

    file = io.BytesIO()
    per_mv = 1000 / step_of(record.signal)
    with TemporaryDirectory() as folder, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        wfdb.wrsamp(
            "ecg", fs=record.fs, units=["mV"] * 12, sig_name=list(LEADS), fmt=["16"] * 12, write_dir=folder,
            adc_gain=[per_mv] * 12, baseline=[0] * 12, p_signal=record.signal.T.astype(float),
        )  # fmt: skip
        for name in ("ecg.hea", "ecg.dat"):
            archive.write(Path(folder) / name, name)
    return file.getvalue()


@dataclass(frozen=True)
class LeadFormat:
    """A file of leads: how its name ends, its media type, and its bytes."""

    ending: str
    media: str
    write: Callable[[Record], bytes]


LEAD_FORMATS = {
    "csv": LeadFormat("csv", "text/csv", lambda record: csv_text(record).encode()),
    "wfdb": LeadFormat("zip", "application/zip", write_wfdb),
    "dicom": LeadFormat("dcm", "application/dicom", write_dicom),
}


def lead_writer(path: Path) -> Callable[[Record], bytes]:
    """What makes a file of leads of the kind that a path's ending names; a pipe, which has none, gets CSV.
    Raises EcgError where it names no such kind."""
    ending = path.suffix.lower().removeprefix(".") or "csv"
    found = next((known.write for known in LEAD_FORMATS.values() if known.ending == ending), None)
    if found is None:
        wanted = "a name of leads must end in .csv, .dcm (DICOM) or .zip (WFDB)"
        raise EcgError("unsupported_format", f"{path}: {wanted}")
    return found


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

        of_unit = {"unit": known.unit, "system": "http://unitsofmeasure.org", "code": known.ucum}
        if value is None:
            reason = answer["measurements"].get("reasons", {}).get(key, "")
            why = _NO_VALUE.get(reason, "unknown")
            observation["dataAbsentReason"] = {
                "coding": [{"system": f"{_HL7}/data-absent-reason", "code": why}],
                "text": reason.replace("_", " ") or "unclear",
            }
        else:
            observation["valueQuantity"] = {"value": value, **of_unit}
        bounds = {"low": known.low, "high": known.high}
        limits = {side: limit for side, limit in bounds.items() if limit is not None}
        if limits:
            observation["referenceRange"] = [
                {side: {"value": limit, **of_unit} for side, limit in limits.items()}
            ]
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
