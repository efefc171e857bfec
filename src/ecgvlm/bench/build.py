"""Makes a task's pages and gold from records, so that anyone with PTB-XL, CODE-15% or CinC records can run
it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from ecgvlm.atomic import write_file
from ecgvlm.bench.kit import KIT, print_kit
from ecgvlm.bench.runner import write_text
from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.datasets import Entry, load_records
from ecgvlm.instruct.build import Plan, leaf_file, print_leaf
from ecgvlm.instruct.row import conversations
from ecgvlm.labels import CODE15, NAMES, SUPERCLASSES
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.print import page_rng
from ecgvlm.record import Record

KINDS = (*PAGE_KINDS, KIT)


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
    if record.labels is None or unknown & set(CODE15):
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
    labels = (record.labels or frozenset()) | record.meta.get("signs", frozenset())
    found = [theirs for ours, theirs in _CPSC.items() if ours in labels]
    return "; ".join(found) if found else ("NORM" if "NORM" in labels else None)


def _report_gold(record: Record) -> str | None:
    return record.report


_GOLD: dict[str, Callable[[Record], str | None]] = {
    "code15": _code15_gold, "superclasses": _superclass_gold, "cpsc": _cpsc_gold, "report": _report_gold,
}  # fmt: skip


def gold_of(task: Task, record: Record) -> str | None:
    """The record's gold of a task that can be made from records; None where its labels leave it open."""
    return _GOLD[task.build](record)


def build_task(
    task: Task,
    entries: Sequence[Entry],
    out: Path,
    pages: Collection[str] = PAGE_KINDS,
    plan: Plan | None = None,
    limit: int | None = None,
    licence: str = "",
    skipped: list[str] | None = None,
) -> int:
    """Writes `out/<task>.json` and `out/images/`; returns the number of rows.

    Each record becomes one page of each kind asked for, of `KINDS`. Style, layout and damage of a page depend
    on the plan's seed and the record's id only, so any subset is rendered alike. A record whose labels leave
    the gold open is left out. plan: its layout and seed count. limit: records, drawn by seed; no others are
    read. licence: of the records, kept with every row; pages are shown to others only where it is open.
    skipped: as in `load_records`. Raises UsageError where the task cannot be made from records, EcgError
    where a file is missing or damaged.
    """
    if task.build not in _GOLD:
        raise UsageError(f"task {task.name} cannot be made from records")
    if unknown := set(pages) - set(KINDS):
        raise UsageError(f"no page kind {min(unknown)!r}; there are: {', '.join(KINDS)}")
    plan = plan or Plan()
    drawn = list(entries)
    if limit is not None:
        random.Random(plan.seed).shuffle(drawn)
    made = 0
    rows: list[dict[str, Any]] = []
    (out / "images").mkdir(parents=True, exist_ok=True)
    for key, record in load_records(drawn, skipped):
        if made == limit:
            break
        if (gold := gold_of(task, record)) is None:
            continue
        made += 1
        for kind in pages:
            name, data, printed = _leaf(record, key, kind, plan)
            write_file(out / "images" / name, data)
            prompt = random.Random(f"{plan.seed}:{kind}:{key}").choice(task.prompts)
            rows.append({
                "id": f"{key}-{kind}", "image": f"images/{name}", "patient": record.patient or key,
                "age": record.age, "sex": record.sex, "page": kind, "layout": printed, "licence": licence,
                "conversations": conversations([(prompt, gold)]),
            })  # fmt: skip
    if not rows:
        raise EcgError("unsupported_format", f"no record has the labels that {task.name} needs")
    write_text(out / f"{task.name}.json", json.dumps(rows, ensure_ascii=False, indent=0) + "\n")
    return len(rows)


def _leaf(record: Record, key: str, kind: str, plan: Plan) -> tuple[str, bytes, str]:
    """File name, bytes and layout of a page of one of `KINDS`."""
    if kind != KIT:
        name, data, truth = print_leaf(record, key, kind, plan)
        return name, data, truth.layout
    image, layout = print_kit(record, page_rng(plan.seed, "clean", f"kit {key}"), plan.layout)
    return *leaf_file(key, kind, image), layout
