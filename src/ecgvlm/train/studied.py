"""What `ecgvlm.train.scratch` learns from and asks about: records measured once, and the pages of a test."""

from __future__ import annotations

import json
import pickle
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ecgvlm.atomic import beside, write_file
from ecgvlm.bench.build import gold_of
from ecgvlm.bench.task import load_task
from ecgvlm.errors import unreadable
from ecgvlm.files.datasets import Entry, load_records
from ecgvlm.instruct.row import conversations
from ecgvlm.judge.findings import numbers
from ecgvlm.labels import LABELS
from ecgvlm.measure import Measurements, measure
from ecgvlm.paper.print import print_page
from ecgvlm.processes import worker_context
from ecgvlm.record import Record
from ecgvlm.train.sight import Beats, tile_of
from ecgvlm.train.small.pool import observations, unlocked

ASKED_FOLD = 10
TASKS = ("code15-test", "ptb-test")


@dataclass(frozen=True)
class Studied:
    """A record to learn from. findings: [labels] int8, 1 found, 0 absent, -1 open. numbers: [NUMBERS]. gold:
    by task, where it has one."""

    record: Record
    findings: np.ndarray
    numbers: np.ndarray
    gold: Mapping[str, str]
    beats: Beats


@dataclass(frozen=True)
class Asked:
    """A page that is asked about: the record, printed as a kind with a seed. gold: by task, where it has
    one."""

    key: str
    record: Record
    kind: str
    seed: tuple[int, ...]
    gold: Mapping[str, str]

    @property
    def id(self) -> str:
        return f"{self.key}-{self.kind}"


@dataclass(frozen=True)
class Ecgs:
    """What a run needs of the records."""

    studied: list[Studied]
    asked: list[Asked]

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside(path) as part:
            part.write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, path: Path) -> Ecgs:
        """path: a file that `save` wrote; pickles of others are not to be trusted. Raises EcgError where it
        is none."""
        try:
            return pickle.loads(path.read_bytes())
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
            raise unreadable(path, f"not what `prepare` writes ({error})") from None


def prepare(records: Path, pool: Path, seed: int) -> Ecgs:
    """Measures PTB-XL's records that are learned from (fold 8 is not touched), and finds those behind a
    pool's pages of the fold that is asked about. seed: of the pool, of one round. Raises EcgError where there
    are none.
    """
    pages = [(name, kind) for name, kind, _ in observations([pool])]
    if not pages:
        raise unreadable(pool, "no pages there (python -m ecgvlm.train.small.pool makes them)")
    studied, printed = [], {}
    for _, record in load_records(_finest(records)):
        if record.meta["strat_fold"] == ASKED_FOLD:
            printed[str(record.meta["ecg_id"])] = record
        else:
            studied.append(study(record))
    asked = [
        Asked(name, printed[name], kind, (seed, 0, int(name)), golds(printed[name]))
        for name, kind in pages
        if name in printed
    ]
    if not asked:
        raise unreadable(pool, f"no page of fold {ASKED_FOLD} of {records}")
    return Ecgs(studied, asked)


def _finest(records: Path) -> list[Entry]:
    """The unlocked records, at 500 Hz where they are to be had."""
    fine = {entry.key: entry for entry in unlocked(records, fs=500)}
    return [fine.get(entry.key, entry) for entry in unlocked(records)]


def study(record: Record) -> Studied:
    m = measure(record.signal, record.fs)
    assert record.labels is not None
    held, unknown = record.labels, record.meta.get("unknown", frozenset())
    findings = np.array([1 if x in held else -1 if x in unknown else 0 for x in LABELS], np.int8)
    return Studied(record, findings, numbers(m), golds(record), beats_of(m, held))


def beats_of(m: Measurements, held: Collection[str]) -> Beats:
    """held: the record's labels; what is measured as P is none where they say so."""
    spans = {name: span for name, span in m.spans.items() if name != "P"}
    if m.p_onset is not None and m.p_end is not None and not {"AF", "AFLT"} & set(held):
        spans["P"] = m.p_onset, m.p_end
    return Beats(m.beats, spans)


def golds(record: Record) -> dict[str, str]:
    found = {name: gold_of(load_task(name), record) for name in TASKS}
    return {name: gold for name, gold in found.items() if gold is not None}


def print_asked(asked: Sequence[Asked], sheets: Path, workers: int, side: int) -> None:
    """Prints what the folder lacks of the pages that are asked about, as tiles [side, side, 3]."""
    sheets.mkdir(parents=True, exist_ok=True)
    missing = [one for one in asked if not (sheets / f"{one.id}.npy").exists()]
    if workers and missing:
        with ProcessPoolExecutor(workers, worker_context(__name__)) as pool:
            list(pool.map(partial(_print_one, sheets, side), missing, chunksize=4))
    else:
        for one in missing:
            _print_one(sheets, side, one)


def _print_one(sheets: Path, side: int, one: Asked) -> None:
    cv2.setNumThreads(1)
    page = print_page(one.record, one.kind, np.random.default_rng(one.seed))
    with beside(sheets / f"{one.id}.npy") as part, part.open("wb") as file:
        np.save(file, tile_of(page.image, side))


def with_gold(asked: Sequence[Asked], task: str) -> dict[str, Asked]:
    return {one.id: one for one in asked if task in one.gold}


def write_gold(asked: Sequence[Asked], out: Path) -> None:
    """What `ecgvlm bench score` holds the answers against."""
    for name in TASKS:
        rows = [
            {
                "id": key, "image": "", "patient": one.record.patient or one.key, "page": one.kind,
                "age": one.record.age, "sex": one.record.sex,
                "conversations": conversations([(load_task(name).prompts[0], one.gold[name])]),
            }
            for key, one in with_gold(asked, name).items()
        ]  # fmt: skip
        write_file(out / f"{name}.gold.json", json.dumps(rows, ensure_ascii=False, indent=0).encode())
