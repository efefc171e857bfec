"""Makes a task's pages and gold from records, so that anyone with PTB-XL, CODE-15% or CinC records can run
it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from ecgvlm.atomic import write_file
from ecgvlm.bench.kit import KIT, print_kit
from ecgvlm.bench.runner import write_text
from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.datasets import find_records, load_records
from ecgvlm.instruct.build import Plan, leaf_file, print_leaf
from ecgvlm.instruct.row import conversations
from ecgvlm.instruct.splits import records_of
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
    records: Path,
    out: Path,
    pages: Collection[str] = PAGE_KINDS,
    seed: int = 0,
    folds: Collection[int] | None = None,
    limit: int | None = None,
    layout: str | None = None,
    licence: str = "",
    skipped: list[str] | None = None,
    splits: Path | None = None,
    part: str = "test",
) -> int:
    """Writes `out/<task>.json` and `out/images/`; returns the number of rows.

    Each record becomes one page of each kind asked for, of `KINDS`. Style, layout and damage of a page depend
    on the seed and the record's id only, so any subset is rendered alike. A record whose labels leave the
    gold open is left out. limit: records, drawn by seed. licence: of the records, kept with every row; pages
    are shown to others only where it is open. skipped: as in `load_records`. splits, part: of the records
    (`ecgvlm instruct split`), instead of folds. Raises UsageError where the task cannot be made from records,
    EcgError where a file is missing or damaged.
    """
    if task.build not in _GOLD:
        raise UsageError(f"task {task.name} cannot be made from records")
    if unknown := set(pages) - set(KINDS):
        raise UsageError(f"no page kind {min(unknown)!r}; there are: {', '.join(KINDS)}")
    if folds and splits:
        raise UsageError("records are chosen by folds or by a table of splits, not by both")
    entries = records_of(records, splits, part) if splits else find_records(records, folds)
    loaded = load_records(entries, skipped)
    found = [(key, record, gold) for key, record in loaded if (gold := gold_of(task, record))]
    if not found:
        raise EcgError("unsupported_format", f"{records}: no record has the labels that {task.name} needs")
    if limit is not None and limit < len(found):
        found = sorted(random.Random(seed).sample(found, limit), key=lambda f: f[0])
    (out / "images").mkdir(parents=True, exist_ok=True)
    plan = Plan(layout=layout, seed=seed)
    rows = []
    for key, record, gold in found:
        for kind in pages:
            name, data, printed = _leaf(record, key, kind, plan)
            write_file(out / "images" / name, data)
            prompt = random.Random(f"{seed}:{kind}:{key}").choice(task.prompts)
            rows.append({
                "id": f"{key}-{kind}", "image": f"images/{name}", "patient": record.patient or key,
                "age": record.age, "sex": record.sex, "page": kind, "layout": printed, "licence": licence,
                "conversations": conversations([(prompt, gold)]),
            })  # fmt: skip
    write_text(out / f"{task.name}.json", json.dumps(rows, ensure_ascii=False, indent=0) + "\n")
    return len(rows)


def _leaf(record: Record, key: str, kind: str, plan: Plan) -> tuple[str, bytes, str]:
    """File name, bytes and layout of a page of one of `KINDS`."""
    if kind != KIT:
        name, data, truth = print_leaf(record, key, kind, plan)
        return name, data, truth.layout
    image, layout = print_kit(record, page_rng(plan.seed, "clean", f"kit {key}"), plan.layout)
    return *leaf_file(key, kind, image), layout
