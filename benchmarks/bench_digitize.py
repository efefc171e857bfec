"""How well pages come back as leads: SNR, layout and lead names on records of a fold in random styles.

    python benchmarks/bench_digitize.py --records ../shared/data/ptbxl --fold 8 --pages 171

SNR as in the PhysioNet 2024 challenge (Reyna et al.): of each printed lead against the record that was
printed, offset removed, after the best shift in time (to half a millisecond). These shifts should be the same
for all strips of a page, or leads that were recorded together no longer beat together: "in_time" is the share
of strips within 12 ms (a third of a millimetre) of their page's median. A page that is refused counts
with 0 dB, as a wrong layout and not in time.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ecgvlm.digitize import Digitizer
from ecgvlm.digitize.page import Strip
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import load_ptbxl
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import random_style
from ecgvlm.paper.truth import Rendering
from ecgvlm.record import Record

FS = 500.0
_SHIFTS = np.arange(-0.5, 0.5001, 0.004)
_FINE = np.arange(-0.004, 0.0041, 0.0005)
_IN_TIME = 0.012  # s


def snr_db(reference: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """SNR in dB of one lead at FS, NaN where unknown, after the best shift in `_SHIFTS`, and that in s.

    What is missing counts as flat, at the lead's own median.
    """
    reference = reference - reference.mean()
    seen = np.nan_to_num(seen - np.nanmedian(seen)) if np.isfinite(seen).any() else np.zeros_like(reference)
    time = np.arange(len(seen)) / FS

    def noise(shift: float) -> float:
        return float(np.var(reference - np.interp(time - shift, time, seen, left=0.0, right=0.0)))

    best = min(_SHIFTS, key=noise)
    best = min(best + _FINE, key=noise)
    return float(10 * np.log10(np.mean(reference**2) / (noise(best) + 1e-12))), float(best)


def strip_snr_db(strip: Strip | None, t: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """SNR of one strip against the lead that was printed, at t s from its start, and the shift in s.

    0 and NaN where it was not found.
    """
    if strip is None or np.isfinite(strip.mv).sum() < 10:
        return 0.0, np.nan
    inked = np.isfinite(strip.mv)
    seen = np.interp(t, strip.t[inked] - strip.t0, strip.mv[inked], left=np.nan, right=np.nan)
    snr, shift = snr_db(reference, seen)
    return round(snr, 2), shift


@cache
def _digitizer() -> Digitizer:
    cv2.setNumThreads(1)
    return Digitizer(threads=1)


def one(job: tuple[Record, str, int]) -> dict:
    record, kind, seed = job
    rng = np.random.default_rng(seed)
    style = random_style(rng)
    page = print_page(record, kind, rng, style)
    truth = page.truth
    row = {
        "record": record.meta["ecg_id"],
        "kind": kind,
        "seed": seed,
        "grid": style.grid,
        "layout": truth.layout,
    }
    return {**row, **reading(page)}


def reading(page: Rendering) -> dict:
    """How the page is read."""
    truth = page.truth
    start = time.perf_counter()
    try:
        found = _digitizer()(page.image)
    except EcgError as error:
        return {
            "refused": error.message,
            "snr": [0.0] * len(truth.traces),
            "in_time": [False] * len(truth.traces),
            "names": False,
            "layout_right": False,
        }
    seconds = time.perf_counter() - start
    strips = {(s.lead, s.rhythm): s for s in (*found.strips, *found.more)}
    values, off = [], []
    for trace in truth.traces:
        strip = strips.get((trace.lead, trace.rhythm))
        known = np.isfinite(trace.mv)
        t = trace.t[known] - trace.t[0]
        grid = np.arange(0, t[-1], 1 / FS)
        reference = np.interp(grid, t, trace.mv[known])
        snr, shift = strip_snr_db(strip, grid, reference)
        values.append(snr)
        off.append(np.nan if strip is None else trace.t[0] - strip.t0 + shift)
    wanted = sorted((t.lead, t.rhythm) for t in truth.traces)
    return {
        "snr": values,
        "in_time": (np.abs(off - np.nanmedian(off)) <= _IN_TIME).tolist(),
        "layout_right": found.layout == truth.layout
        and (found.order == "cabrera") == (truth.order == "cabrera"),
        "names": found.layout == truth.layout and sorted(strips) == wanted,
        "scale_right": (found.mm_per_s, found.mm_per_mv) == (truth.mm_per_s, truth.mm_per_mv),
        "quality": round(found.quality, 3),
        "seconds": round(seconds, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=7)
    parser.add_argument("--pages", type=int, default=40, help="of each kind")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    records = load_ptbxl(args.records, folds=[args.fold])
    rng = np.random.default_rng(args.seed)
    jobs = [
        (records[i % len(records)], kind, int(rng.integers(2**31)))
        for kind in PAGE_KINDS
        for i in range(args.pages)
    ]
    with ProcessPoolExecutor(args.workers) as pool:
        rows = list(pool.map(one, jobs, chunksize=4))
    result: dict = {"fold": args.fold, "pages_each": args.pages, "seed": args.seed}
    for kind in PAGE_KINDS:
        part = [row for row in rows if row["kind"] == kind]
        snr = np.concatenate([row["snr"] for row in part])
        gridded = np.concatenate([row["snr"] for row in part if row["grid"] != "none"])
        result[kind] = {
            "snr_median_db": round(float(np.median(snr)), 2),
            "snr_median_db_with_grid": round(float(np.median(gridded)), 2),
            "in_time": round(float(np.concatenate([row["in_time"] for row in part]).mean()), 4),
            "layout_right": round(np.mean([row["layout_right"] for row in part]), 4),
            "layout_and_names_right": round(np.mean([row["names"] for row in part]), 4),
            "speed_and_gain_right": round(np.mean([row.get("scale_right", False) for row in part]), 4),
            "refused": round(np.mean(["refused" in row for row in part]), 4),
            "seconds_median": round(
                float(np.median([row["seconds"] for row in part if "seconds" in row])), 3
            ),
        }
        print(kind, result[kind])
    if args.out:
        result["rows"] = rows
        args.out.write_text(json.dumps(result, indent=None, separators=(",", ":")) + "\n")
    for row in sorted(rows, key=lambda r: np.median(r["snr"]))[:15]:
        print({k: v for k, v in row.items() if k not in ("snr", "in_time")}, "snr", np.median(row["snr"]))


if __name__ == "__main__":
    main()
