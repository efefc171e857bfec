"""Makes a task's pages and gold from records, so that anyone with PTB-XL, CODE-15% or CinC records can run
it.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ecgvlm.bench.runner import write_text
from ecgvlm.bench.task import Task
from ecgvlm.labels import CODE15, NAMES, SUPERCLASSES
from ecgvlm.record import EcgError, Record

PAGES = ("clean", "scan", "photo")
# SNOMED CT codes of the CinC 2020/2021 headers (physionetchallenges/evaluation-2021, dx_mapping_scored.csv).
_SNOMED = {
    "426783006": "SR", "164889003": "AF", "164890007": "AFLT", "270492004": "1dAVb", "164909002": "LBBB",
    "733534002": "LBBB", "59118001": "RBBB", "713427006": "RBBB", "713426002": "IRBBB", "426177001": "SB",
    "427084000": "ST", "427393009": "SARRH", "284470004": "PAC", "63593006": "PAC", "427172004": "PVC",
    "17338001": "PVC", "429622005": "STD", "164931005": "STE", "445118002": "LAFB", "164873001": "LVH",
    "251146004": "LVOLT", "10370003": "PACE",
}  # fmt: skip


def find_records(
    root: Path, folds: Collection[int] | None = None, fs: int = 100
) -> Iterator[tuple[str, Record]]:
    """(id, record) of a folder: PTB-XL (whole or the project's part), CODE-15%, or WFDB files with CinC
    headers.

    folds: PTB-XL's strat_folds wanted. Raises EcgError where the folder holds none of these.
    """
    if (root / "labels.csv").is_file() or (root / "ptbxl_database.csv").is_file():
        from ecgvlm.datasets import load_ptbxl

        for record in load_ptbxl(root, folds, fs):
            yield str(record.meta["ecg_id"]), record
    elif (root / "exams.csv").is_file():
        yield from _code15(root)
    elif headers := sorted(root.rglob("*.hea")):
        from ecgvlm.record import read_wfdb

        for header in headers:
            yield header.stem, replace(read_wfdb(header.with_suffix("")), labels=_cinc_labels(header))
    else:
        raise EcgError("unsupported_format", f"{root}: neither PTB-XL, CODE-15% nor WFDB records (.hea)")


def _code15(root: Path) -> Iterator[tuple[str, Record]]:
    import h5py

    from ecgvlm.record import read_code15

    with (root / "exams.csv").open(newline="", encoding="utf-8") as file:
        exams = {row["exam_id"]: row for row in csv.DictReader(file)}
    for path in sorted(root.rglob("*.hdf5")):
        with h5py.File(path) as file:
            ids = [str(int(i)) for i in file["exam_id"][:]]
        for index, exam in enumerate(ids):
            row = exams.get(exam)
            if row is None:
                continue
            found = {c for c in CODE15 if row[c] == "True"} | (
                {"NORM"} if row["normal_ecg"] == "True" else set()
            )
            record = read_code15(path, index)
            yield exam, replace(record, labels=frozenset(found), patient=row["patient_id"])


def _cinc_labels(header: Path) -> frozenset[str]:
    for line in header.read_text("utf-8", errors="replace").splitlines():
        if line.lstrip("# ").startswith("Dx:"):
            codes = {_SNOMED.get(c.strip()) for c in line.split("Dx:")[1].split(",")}
            labels = frozenset(c for c in codes if c)
            return labels | {"NORM"} if labels == {"SR"} else labels
    return frozenset()


def _list_codes(codes: Sequence[str], names: dict[str, str]) -> str:
    return "; ".join(f"{c}({names[c]})" for c in codes)


_CPSC = {
    "AF": "AF",
    "1dAVb": "I-AVB",
    "LBBB": "LBBB",
    "RBBB": "RBBB",
    "PAC": "PAC",
    "PVC": "PVC",
    "STD": "STD",
    "STE": "STE",
}


def _code15_gold(record: Record) -> str | None:
    labels, unknown = record.labels or frozenset(), record.meta.get("unknown", frozenset())
    if unknown & set(CODE15):
        return None
    found = [c for c in CODE15 if c in labels]
    if found:
        return _list_codes(found, NAMES)
    if "NORM" in labels:
        return "NORM"
    return None if "NORM" in unknown else "ABNORMAL"


def _superclass_gold(record: Record) -> str | None:
    labels, unknown = record.labels or frozenset(), record.meta.get("unknown", frozenset())
    found = [c for c in SUPERCLASSES if c in labels]
    return None if not found or unknown & set(SUPERCLASSES) else _list_codes(found, NAMES)


def _cpsc_gold(record: Record) -> str | None:
    labels = record.labels or frozenset()
    found = [theirs for ours, theirs in _CPSC.items() if ours in labels]
    return "; ".join(found) if found else ("NORM" if "NORM" in labels else None)


def _report_gold(record: Record) -> str | None:
    return record.report


_GOLD: dict[str, Callable[[Record], str | None]] = {
    "code15": _code15_gold, "superclasses": _superclass_gold, "cpsc": _cpsc_gold, "report": _report_gold,
}  # fmt: skip


def build_task(
    task: Task,
    records: Path,
    out: Path,
    pages: Collection[str] = PAGES,
    seed: int = 0,
    folds: Collection[int] | None = None,
    limit: int | None = None,
    layout: str | None = None,
    licence: str = "",
    width_px: int = 1600,
) -> int:
    """Writes `out/<task>.json` and `out/images/`; returns the number of rows.

    Each record becomes one page of each kind asked for. Style, layout and damage of a page depend on the
    seed and the record's id only, so any subset is rendered alike. A record whose labels leave the gold
    open is left out. limit: records, drawn by seed. licence: of the records, kept with every row; pages
    are shown to others only where it is open. Raises EcgError where the task cannot be made from records.
    """
    from ecgvlm.paper.degrade import degrade
    from ecgvlm.paper.render import render
    from ecgvlm.paper.style import random_style

    if task.build not in _GOLD:
        raise EcgError("unsupported_format", f"task {task.name} cannot be made from records")
    if unknown := set(pages) - set(PAGES):
        raise EcgError("unsupported_format", f"no page kind {min(unknown)!r}; there are: {', '.join(PAGES)}")
    gold_of = _GOLD[task.build]
    found = [(key, record, gold) for key, record in find_records(records, folds) if (gold := gold_of(record))]
    if not found:
        raise EcgError("unsupported_format", f"{records}: no record has the labels that {task.name} needs")
    if limit is not None and limit < len(found):
        found = sorted(random.Random(seed).sample(found, limit), key=lambda f: f[0])
    (out / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for key, record, gold in found:
        for kind in pages:
            rng = np.random.default_rng([seed, PAGES.index(kind), *key.encode()])
            rendering = render(record, random_style(rng, layout=layout, width_px=width_px), rng)
            if kind != "clean":
                rendering = degrade(rendering, kind, rng)
            name = f"images/{key}-{kind}.{'png' if kind == 'clean' else 'jpg'}"
            ok, data = cv2.imencode(Path(name).suffix, rendering.image[..., ::-1])
            assert ok
            (out / name).write_bytes(data.tobytes())
            prompt = task.prompts[int(rng.integers(len(task.prompts)))]
            rows.append({
                "id": f"{key}-{kind}", "image": name, "patient": record.patient or key, "age": record.age,
                "sex": record.sex, "page": kind, "layout": rendering.truth.layout, "licence": licence,
                "conversations": [
                    {"from": "human", "value": f"<image>\n{prompt}"}, {"from": "gpt", "value": gold},
                ],
            })  # fmt: skip
    write_text(out / f"{task.name}.json", json.dumps(rows, ensure_ascii=False, indent=0) + "\n")
    return len(rows)
