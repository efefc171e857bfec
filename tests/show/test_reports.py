"""Files for others hold what was read, and other programs can read them."""

import io
import json
import zipfile
from datetime import UTC, datetime

import numpy as np
import pytest

from ecgvlm.files.wfdb import read_wfdb
from ecgvlm.labels import LABELS
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS, Record
from ecgvlm.show.reports import DISCLAIMER, fhir_bundle, write_wfdb

ANSWER = {
    "image": "a.png", "ok": True, "question": "?", "answer": "ABNORMAL - Atrial Fibrillation",
    "report": "Atrial fibrillation <b>at</b> 92 a minute & no P waves.",
    "labels": {label: 0.97 if label == "AF" else 0.02 for label in LABELS}, "findings": ["AF"],
    "measurements": {
        "heart_rate_bpm": 92.0, "pr_ms": None, "qrs_ms": 88.0, "qt_ms": 360.0, "qtc_ms": 431.0,
        "axis_deg": -35.0, "reasons": {"pr_ms": "no_p_wave"},
    },
    "page": {"layout": "3x4+1R", "px_per_mm": 6.3, "mm_per_s": 25.0, "mm_per_mv": 10.0, "quality": 0.93},
    "model": "m@1", "seconds": 0.1,
}  # fmt: skip


@pytest.fixture
def leads() -> np.ndarray:
    t = np.arange(5000) / 500
    signal = np.stack([np.sin(2 * np.pi * (i + 1) * t / 3) for i in range(12)]).astype(np.float32)
    signal[3, 1000:1500] = np.nan
    return signal


def observations(bundle: dict) -> dict[str, dict]:
    found = [entry["resource"] for entry in bundle["entry"]]
    return {r["code"]["text"]: r for r in found if r["resourceType"] == "Observation"}


def test_fhir_holds_every_value():
    bundle = fhir_bundle(ANSWER, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    seen = observations(bundle)
    assert len(seen) == len(MEASUREMENTS) + len(LABELS)
    assert seen["Heart rate"]["valueQuantity"] == {
        "value": 92.0, "unit": "bpm", "system": "http://unitsofmeasure.org", "code": "/min",
    }  # fmt: skip
    assert seen["PR interval"]["dataAbsentReason"]["text"] == "no p wave"
    assert "valueQuantity" not in seen["PR interval"]
    assert seen["atrial fibrillation"]["valueBoolean"] is True
    assert seen["atrial fibrillation"]["component"][0]["valueQuantity"]["value"] == 0.97
    assert seen["left bundle branch block"]["valueBoolean"] is False
    report = bundle["entry"][0]["resource"]
    assert report["conclusion"].startswith(ANSWER["report"])
    assert DISCLAIMER in report["conclusion"]
    urls = {entry["fullUrl"] for entry in bundle["entry"]}
    assert {result["reference"] for result in report["result"]} < urls
    assert bundle["timestamp"] == "2026-01-02T03:04:05+00:00"


def test_fhir_is_valid():
    bundles = pytest.importorskip("fhir.resources.R4B.bundle")
    bundles.Bundle.model_validate_json(json.dumps(fhir_bundle(ANSWER)))


def test_wfdb(leads, tmp_path):
    with zipfile.ZipFile(io.BytesIO(write_wfdb(Record(leads, 500.0)))) as archive:
        assert sorted(archive.namelist()) == ["ecg.dat", "ecg.hea"]
        archive.extractall(tmp_path)
    found = read_wfdb(tmp_path / "ecg")
    assert found.fs == 500
    assert found.signal.shape == (len(LEADS), leads.shape[1])
    np.testing.assert_allclose(found.signal, leads, atol=1e-4)
