"""Observations to train the findings encoder on: what is left of a record once it was printed and digitised.

    python -m ecgvlm.train.small.pool --records ../shared/data/ptbxl --folds 1-7 --via page --rounds 3 \
        --out runs/pool/page.npz
    python -m ecgvlm.train.small.pool --simulate 120 --via mask --rounds 1 --out runs/pool/simulated.npz

via page: rendered in a random style, degraded, digitised and measured, exactly as `ecgvlm read` does it. via
mask: the record itself with what a layout does not print left out, an offset for every strip and noise; some
thirty times faster.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from ecgvlm.digitize import Digitizer
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import load_ptbxl
from ecgvlm.judge.findings import FS, SAMPLES, numbers, strips
from ecgvlm.labels import LABELS
from ecgvlm.measure import measure
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.layouts import LAYOUTS
from ecgvlm.paper.print import print_page
from ecgvlm.record import LEADS, Record
from ecgvlm.simulate import CONDITIONS, random_simulation, simulate

_LAYOUT_ODDS = {"3x4": 0.15, "3x4+1R": 0.45, "3x4+3R": 0.1, "6x2": 0.1, "6x2+1R": 0.1, "12x1": 0.1}


@cache
def _digitizer() -> Digitizer:
    import cv2

    cv2.setNumThreads(1)
    return Digitizer(threads=1)


def observe_page(record: Record, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """strips, median beat and numbers of a record printed, degraded, digitised; None where that failed."""
    rng = np.random.default_rng(seed)
    page = print_page(record, kind, rng)
    try:
        found = _digitizer()(page.image)
    except EcgError:
        return None
    m = found.measurements
    return strips(found.leads(FS)), m.median_beat, numbers(m)


def observe_mask(record: Record, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """strips, median beat and numbers of the record as a layout would print it, without paper."""
    rng = np.random.default_rng(seed)
    signal = record.signal
    if record.fs != FS:
        step = np.arange(round(record.seconds * FS)) * record.fs / FS
        signal = np.stack([np.interp(step, np.arange(signal.shape[1]), lead) for lead in signal])
    seconds = 10.0 if rng.random() > 0.08 else 5.0
    layout = LAYOUTS[str(rng.choice(list(_LAYOUT_ODDS), p=list(_LAYOUT_ODDS.values())))]
    start = int(rng.uniform(0, max(0.0, record.seconds - seconds)) * FS)
    leads = np.full((12, round(seconds * FS)), np.nan, np.float32)
    noise = rng.choice([0.003, 0.01, 0.02])
    for strip in sorted(layout.strips(seconds), key=lambda s: not s.rhythm):
        row = LEADS.index(strip.lead)
        a, b = round(strip.start * FS), round(strip.end * FS)
        part = signal[row, start + a : start + b]
        if strip.rhythm or not np.isfinite(leads[row]).any():
            leads[row, a : a + len(part)] = part - np.median(part)
    leads = (leads * rng.normal(1, 0.03) + noise * rng.standard_normal(leads.shape)).astype(np.float32)
    m = measure(leads, FS)
    return strips(leads), m.median_beat, numbers(m)


def _one(job: tuple[Record, str, str, int]) -> tuple | None:
    record, via, kind, seed = job
    seen = observe_page(record, kind, seed) if via == "page" else observe_mask(record, seed)
    if seen is None:
        return None
    leads, beat, known = seen
    assert record.labels is not None
    unknown = record.meta.get("unknown", frozenset())
    target = [1 if x in record.labels else -1 if x in unknown else 0 for x in LABELS]
    fold = int(record.meta.get("strat_fold", 0))
    name = str(record.meta.get("ecg_id", record.source))
    return (
        leads.astype(np.float16),
        beat.astype(np.float16),
        known,
        np.array(target, np.int8),
        fold,
        name,
        kind,
    )


def simulated(each: int, seed: int) -> list[Record]:
    """`each` records of every condition of the simulator."""
    rng = np.random.default_rng([seed, 1])
    records = []
    for condition in CONDITIONS:
        for _ in range(each):
            records.append(simulate(random_simulation(rng, condition), int(rng.integers(2**31)), fs=FS)[0])
    return records


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path)
    parser.add_argument("--folds", default="1-7", help="first-last, of PTB-XL")
    parser.add_argument("--simulate", type=int, default=0, help="records of every simulated condition")
    parser.add_argument("--via", choices=("page", "mask"), required=True)
    parser.add_argument("--rounds", type=int, default=1, help="observations of every record")
    parser.add_argument("--kinds", default=",".join(PAGE_KINDS), help="of degradation, in turn")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    records: list[Record] = []
    if args.records:
        first, _, last = args.folds.partition("-")
        records += load_ptbxl(args.records, folds=range(int(first), int(last or first) + 1))
    if args.simulate:
        records += simulated(args.simulate, args.seed)
    kinds = args.kinds.split(",")
    rng = np.random.default_rng(args.seed)
    seeds = rng.integers(2**31, size=(args.rounds, len(records)))
    jobs = [
        (record, args.via, kinds[(i + k) % len(kinds)] if args.via == "page" else "mask", int(seeds[k, i]))
        for k in range(args.rounds)
        for i, record in enumerate(records)
    ]
    with ProcessPoolExecutor(args.workers) as pool:
        rows = [row for row in pool.map(_one, jobs, chunksize=8) if row is not None]
    leads, beat, known, target, fold, name, kind = (np.array(column) for column in zip(*rows))
    assert leads.shape[1:] == (12, SAMPLES)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    tmp = args.out.with_suffix(".tmp.npz")
    np.savez(tmp, leads=leads, beat=beat, numbers=known, target=target, fold=fold, name=name, kind=kind)
    os.replace(tmp, args.out)
    print(f"{args.out}: {len(rows)} of {len(jobs)} observations")


if __name__ == "__main__":
    main()
