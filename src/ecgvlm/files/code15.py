"""CODE-15%'s HDF5 files (Zenodo 4916206), and CODE-test's of the same form."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import Part, age_of, cause, record_of
from ecgvlm.labels import CODE15
from ecgvlm.record import LEADS, Record
from ecgvlm.vocabulary import labels_of, left_open, terms


def read_code15(path: str | Path, index: int, exam: Mapping[str, str] | None = None) -> Record:
    """Row `index` of a CODE-15% file (Zenodo 4916206): `tracings` [N, 4096, 12] at 400 Hz.

    The zeros that pad a tracing at both ends are cut off. CODE-15% is in mV; files in CODE-test's form hold
    1e-4 V, which swings larger than a heart's give away, and are scaled to mV. Age, sex, patient and labels
    come from `exam`, the row's line of `exams.csv`; without it, it is looked up where the table lies beside
    the file. Record.meta: exam_id (int), and unknown (labels that CODE-15% does not annotate).
    """
    path = Path(path)
    if not path.is_file():
        raise unreadable(path, "no such file")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "tracings" not in file:
                raise unreadable(path, "has no data set 'tracings', so it is not a CODE-15% file")
            tracings = file["tracings"]
            if tracings.ndim != 3 or tracings.shape[2] != 12:
                raise unreadable(path, f"tracings must be [N, samples, 12], not {tracings.shape}")
            if not 0 <= index < len(tracings):
                raise unreadable(path, f"row {index} asked for, but it has {len(tracings)} rows")
            signal = np.asarray(tracings[index], np.float32).T
            number = str(int(file["exam_id"][index])) if "exam_id" in file else ""
        unit = _code15_unit(path, path.stat().st_mtime_ns)
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise unreadable(path, f"not a readable HDF5 file ({cause(error)})") from error
    used = np.flatnonzero(np.any(signal != 0, axis=0))
    if not used.size:
        raise unreadable(path, f"row {index} holds nothing but zeros")
    signal = signal[:, used[0] : used[-1] + 1] * np.float32(unit)
    row = exam if exam is not None else _exam_row(path.with_name("exams.csv"), number) if number else {}
    meta: dict = {"exam_id": int(number)} if number else {}
    labels = None
    if row:
        said = [t for code, t in terms("CODE-15%").items() if row.get(code, "").lower() in ("true", "1")]
        labels = labels_of(said)
        meta["unknown"] = left_open(labels, said, annotated={"NORM", *CODE15})
    return record_of(
        [Part(LEADS, signal, 400.0)],
        f"{path}:{index}",
        age=age_of(row.get("age", "")),
        sex={"true": "M", "1": "M", "false": "F", "0": "F"}.get(row.get("is_male", "").lower()),
        labels=labels,
        patient=row.get("patient_id", ""),
        meta=meta,
    )


@lru_cache(maxsize=64)
def _code15_unit(path: Path, changed: int) -> float:
    """The unit of a file's tracings in mV. It is the file's, so several rows tell it: one patient's voltage
    or loose electrode cannot. changed: when the file was, so that no other one is meant."""
    import h5py

    with h5py.File(path, "r") as file:
        tracings = file["tracings"]
        sample = np.stack([tracings[i] for i in range(0, len(tracings), len(tracings) // 16 + 1)])
    low, high = np.nanpercentile(sample, (0.5, 99.5), axis=1)
    return 0.1 if np.nanmedian(high - low) > 5 else 1.0  # usual in mV: 0.5 to 4


def _exam_row(table: Path, exam: str) -> dict[str, str]:
    """The line of CODE-15%'s exams.csv for one exam, empty where there is no table or no such line."""
    if not table.is_file():
        return {}
    try:
        with table.open(newline="", encoding="utf-8") as file:
            row = next((row for row in csv.DictReader(file, restval="") if row.get("exam_id") == exam), {})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(table, f"not a readable CSV table ({cause(error)})") from error
    return row
