"""Observations to train the findings encoder on: what is left of a record once it was printed and digitised.

    python -m ecgvlm.train.small.pool --records ../shared/data/ptbxl --via page --out runs/pool/page
    python -m ecgvlm.train.small.pool --records ../shared/data/ptbxl --via mask --rounds 2 \
        --out runs/pool/mask
    python -m ecgvlm.train.small.pool --simulate 40 --via mask --out runs/pool/simulated

via page: rendered in a random style, degraded and digitised, exactly as `ecgvlm read` does it. via mask: the
record itself with what a layout does not print left out, an offset for every strip and noise; some thirty
times faster.

What is made lies in a folder of shards; a run that was interrupted goes on where it stopped. The shards hold
the leads only: `load_pool` measures them and joins the records' labels, so that neither a better measurement
nor another vocabulary asks for new pages.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from ecgvlm.atomic import beside
from ecgvlm.digitize import Digitizer
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import Entry, find_records, load_records, read_table
from ecgvlm.judge import details, facts, findings
from ecgvlm.judge.findings import ENCODER_FS, SAMPLES, numbers, strips
from ecgvlm.labels import LABELS
from ecgvlm.measure import beats, measure, signal, waves
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.layouts import LAYOUTS
from ecgvlm.paper.print import print_page
from ecgvlm.record import LEADS, Record
from ecgvlm.simulate import CONDITIONS, random_simulation, simulate

GROUPS = 5  # of patients, for cross-validation
BY_VOLTAGE = frozenset({"LVH", "LVOLT", "HYP"})  # findings that the level in mV defines
LOCKED = 8  # PTB-XL's fold that only judges the shipped model
STORED_FS = 500  # Hz of the leads in the shards, as the digitiser measures them
_SHARD = 50  # observations of a file
_NOISE_FS = 100  # Hz: a digitised trace has no faster noise
LAYOUT_ODDS = {"3x4": 0.15, "3x4+1R": 0.45, "3x4+3R": 0.1, "6x2": 0.1, "6x2+1R": 0.1, "12x1": 0.1}


@cache
def _digitizer() -> Digitizer:
    import cv2

    cv2.setNumThreads(1)
    return Digitizer(threads=1)


def observe_page(record: Record, kind: str, rng: np.random.Generator) -> np.ndarray | None:
    """[12, n] mV at `STORED_FS` of a record printed (as one of `PAGE_KINDS`) and digitised, None where that
    failed."""
    page = print_page(record, kind, rng)
    try:
        return _digitizer()(page.image).leads(STORED_FS)
    except EcgError:
        return None


def observe_mask(record: Record, rng: np.random.Generator) -> np.ndarray:
    """[12, n] mV at `STORED_FS` of the record as a layout would print it, without paper."""
    signal = at_rate(record.signal, record.fs, STORED_FS)
    seconds = 10.0 if rng.random() > 0.08 else 5.0
    start = int(rng.uniform(0, max(0.0, record.seconds - seconds)) * STORED_FS)
    leads = as_printed(signal[:, start:], STORED_FS, random_layout(rng), seconds)
    noise = rng.standard_normal((12, round(seconds * _NOISE_FS))) * rng.choice([0.003, 0.01, 0.02])
    return (leads * rng.normal(1, 0.03) + at_rate(noise, _NOISE_FS, STORED_FS)).astype(np.float32)


def random_layout(rng: np.random.Generator) -> str:
    """One of the usual layouts of a page, as often as it is met."""
    return str(rng.choice(list(LAYOUT_ODDS), p=list(LAYOUT_ODDS.values())))


def as_printed(signal: np.ndarray, fs: float, layout: str, seconds: float) -> np.ndarray:
    """[12, seconds * fs] mV: what a layout prints of a signal ([12, n] mV), each strip around its median,
    NaN elsewhere."""
    leads = np.full((12, round(seconds * fs)), np.nan, np.float32)
    for strip in sorted(LAYOUTS[layout].strips(seconds), key=lambda s: not s.rhythm):
        row = LEADS.index(strip.lead)
        a, b = round(strip.start * fs), round(strip.end * fs)
        if strip.rhythm or not np.isfinite(leads[row]).any():
            part = signal[row, a:b]
            leads[row, a : a + len(part)] = part - np.median(part)
    return leads


def at_rate(signal: np.ndarray, fs: float, wanted: int) -> np.ndarray:
    """[12, n] without NaN, resampled from fs to wanted Hz. Raises ValueError where fs is no whole number."""
    if fs != round(fs):
        raise ValueError(f"cannot resample from {fs} Hz")
    return signal if fs == wanted else resample_poly(signal, wanted, round(fs), axis=1, padtype="line")


@dataclass(frozen=True)
class Job:
    """One observation to make. kind: of `PAGE_KINDS`, or "mask"."""

    entry: Entry
    kind: str
    seed: tuple[int, ...]

    def observe(self) -> tuple[np.ndarray, Record] | None:
        rng = np.random.default_rng(self.seed)
        record = self.entry.load()
        leads = observe_mask(record, rng) if self.kind == "mask" else observe_page(record, self.kind, rng)
        return None if leads is None else (leads, record)


def real_jobs(root: Path, via: str, rounds: int, seed: int) -> list[Job]:
    """Rounds over PTB-XL's records in random order, at 500 Hz where they are to be had; without `LOCKED`."""
    fine = {entry.key: entry for entry in unlocked(root, fs=500)}
    entries = [fine.get(entry.key, entry) for entry in unlocked(root)]
    kinds = PAGE_KINDS if via == "page" else ("mask",)
    return [
        Job(entries[i], kinds[(place + number) % len(kinds)], (seed, number, int(entries[i].key)))
        for number in range(rounds)
        for place, i in enumerate(np.random.default_rng([seed, number]).permutation(len(entries)))
    ]


def simulated_jobs(each: int, via: str, seed: int) -> list[Job]:
    """`each` records of every condition of the simulator."""
    rng = np.random.default_rng([seed, 1])
    kinds = PAGE_KINDS if via == "page" else ("mask",)
    jobs: list[Job] = []
    for condition in CONDITIONS:
        for _ in range(each):
            simulation, own = random_simulation(rng, condition), int(rng.integers(2**31))
            name = f"{condition}-{len(jobs)}"

            def load(simulation=simulation, own=own) -> Record:
                return simulate(simulation, own, fs=STORED_FS)[0]

            jobs.append(Job(Entry(name, load), kinds[len(jobs) % len(kinds)], (seed, len(jobs))))
    return jobs


def make_shards(jobs: list[Job], out: Path) -> None:
    """Makes what the folder lacks of the jobs' observations."""
    out.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(jobs), _SHARD):
        path = out / f"{first:06d}.npz"
        if path.exists():
            continue
        rows = []
        for job in jobs[first : first + _SHARD]:
            seen = job.observe()
            if seen is not None:
                leads, record = seen
                full = np.full((12, 10 * STORED_FS), np.nan, np.float16)
                full[:, : leads.shape[1]] = leads[:, : full.shape[1]]
                of_fold = record.meta.get("strat_fold", 0)
                known = "" if of_fold else ";".join(sorted(record.labels or ()))
                rows.append((full, job.entry.key, of_fold, job.kind, known))
        leads, name, fold, kind, labels = (np.array(column) for column in zip(*rows))
        with beside(path) as part, part.open("wb") as file:
            np.savez_compressed(file, leads=leads, name=name, fold=fold, kind=kind, labels=labels)
        print(f"{path}: {len(rows)} of {min(_SHARD, len(jobs) - first)}", flush=True)


@dataclass(frozen=True)
class Pool:
    """n observations.

    leads: [n, 12, SAMPLES], beat: [n, 12, BEAT], numbers: [n, NUMBERS], as the encoder gets them. target: [n,
    labels] int8: 1 found, 0 absent, -1 unknown. fold: PTB-XL's, 0 of simulated records. group: 0 to
    GROUPS - 1, the same for all records of a patient, -1 of simulated ones. name: the record's; kind: of
    `PAGE_KINDS`, or "mask". estimated: whether the level in mV is not known, but estimated.
    """

    leads: np.ndarray
    beat: np.ndarray
    numbers: np.ndarray
    target: np.ndarray
    fold: np.ndarray
    group: np.ndarray
    name: np.ndarray
    kind: np.ndarray
    estimated: np.ndarray

    def where(self, mask: np.ndarray) -> Pool:
        """The observations that mask ([n] bool, or their places) chooses."""
        return Pool(**{key: getattr(self, key)[mask] for key in self.__dataclass_fields__})

    @property
    def real(self) -> np.ndarray:
        """[n] bool: of records that are not simulated."""
        return self.group >= 0


def load_pool(folders: list[Path], records: Path) -> Pool:
    """The shards of the folders, measured, with the labels of PTB-XL's folder.

    Measurements are kept beside each shard and made anew where the code that measures is another.
    """
    parts = [_measured(path) for path in _shards(folders)]
    column = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    known, estimated = targets(records), with_estimated_level(records)
    rows = [
        known[name] if fold else (_target(set(labels.split(";")), set()), -1)
        for name, fold, labels in zip(column["name"], column["fold"], column.pop("labels"))
    ]
    target, group = (np.array(x) for x in zip(*rows))
    unsure = np.array([fold > 0 and name in estimated for name, fold in zip(column["name"], column["fold"])])
    return Pool(target=target, group=group, estimated=unsure, **column)


def observations(folders: list[Path]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name and kind of each observation in the folders, and its leads: [12, n] mV at `STORED_FS`, NaN where
    not printed."""
    for path in _shards(folders):
        with np.load(path) as kept:
            yield from zip(kept["name"].tolist(), kept["kind"].tolist(), kept["leads"].astype(np.float32))


def _shards(folders: list[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob("[0-9]*[0-9].npz"))]


def with_estimated_level(records: Path) -> set[str]:
    """ecg_id of the records whose level in mV is estimated (`amplitude` of the project's part of PTB-XL)."""
    table = records / "labels.csv"
    rows = read_table(table) if table.exists() else []
    return {row["ecg_id"] for row in rows if row.get("amplitude") == "estimated"}


def targets(records: Path) -> dict[str, tuple[np.ndarray, int]]:
    """ecg_id -> target ([labels] int8) and group of PTB-XL's records without `LOCKED`.

    What voltages define is left open where they are estimated.
    """
    estimated, known = with_estimated_level(records), {}
    for _, record in load_records(unlocked(records)):
        name = str(record.meta["ecg_id"])
        unknown = record.meta["unknown"] | (BY_VOLTAGE if name in estimated else frozenset())
        known[name] = _target((record.labels or frozenset()) - unknown, unknown), group_of(record.patient)
    return known


def unlocked(records: Path, fs: int = 100) -> list[Entry]:
    """PTB-XL's records without the fold `LOCKED`."""
    return find_records(records, [fold for fold in range(1, 11) if fold != LOCKED], fs)


class Signals:
    """The whole records at `ENCODER_FS`, [12, SAMPLES] mV, each lead around its median."""

    def __init__(self, records: Path):
        self._of = {
            str(record.meta["ecg_id"]): strips(record.signal).astype(np.float16)
            for _, record in load_records(unlocked(records))
        }

    def of(self, names: np.ndarray) -> np.ndarray:
        """[n, 12, SAMPLES] of the records with these ecg_ids."""
        return np.array([self._of[name] for name in names], np.float32).reshape(-1, 12, SAMPLES)


def _target(found: Collection[str], unknown: Collection[str]) -> np.ndarray:
    return np.array([1 if x in found else -1 if x in unknown else 0 for x in LABELS], np.int8)


def group_of(patient: str) -> int:
    """The part of a cross-validation that judges this patient's records."""
    return zlib.crc32(patient.encode()) % GROUPS


def _measured(shard: Path) -> dict[str, np.ndarray]:
    code = "".join(inspect.getsource(module) for module in (beats, signal, waves, findings, details, facts))
    path = shard.with_name(f"measured-{hashlib.sha256(code.encode()).hexdigest()[:8]}-{shard.name}")
    if not path.exists():
        with np.load(shard) as kept:
            column = {key: kept[key] for key in ("name", "fold", "kind", "labels")}
            leads = kept["leads"].astype(np.float32)
        found = [measure(row, STORED_FS) for row in leads]
        column["leads"] = np.array(
            [strips(row[:, :: int(STORED_FS / ENCODER_FS)]) for row in leads], np.float16
        )
        column["beat"] = np.array([m.median_beat for m in found], np.float16)
        column["numbers"] = np.array([numbers(m) for m in found])
        with beside(path) as part, part.open("wb") as file:
            np.savez(file, **column)
    with np.load(path) as kept:
        return dict(kept)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--records", type=Path, help="PTB-XL's folder")
    what.add_argument("--simulate", type=int, help="records of every simulated condition")
    parser.add_argument("--via", choices=("page", "mask"), required=True)
    parser.add_argument("--rounds", type=int, default=1, help="observations of every record")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    args = parser.parse_args()
    if args.records:
        jobs = real_jobs(args.records, args.via, args.rounds, args.seed)
    else:
        jobs = simulated_jobs(args.simulate, args.via, args.seed)
    make_shards(jobs, args.out)


if __name__ == "__main__":
    main()
