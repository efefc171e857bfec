"""How well real phone photographs come back as leads: SNR, gain, time and intervals against the signals.

    OMP_NUM_THREADS=1 python benchmarks/bench_photos.py [--photos ../shared/data/photos] --records PTB-XL

The photographs are of printed PTB-XL records (Paper2Pulse, Padhi et al. 2026), folded, crumpled and written
on; the signals hold what is printed and nothing else. SNR as in the PhysioNet contest of 2025: of each lead,
offset removed, after the best shift of up to 0.2 s; what is missing counts as flat, and a page that is
refused with 0 dB. gain is the slope of a lead against its signal; time_ms how much, in the median over pieces
of 0.5 s, a piece lies early or late against its lead. Intervals are those that `ecgvlm.measure` finds on the
signal itself. rank is Spearman's correlation of a page's quality with its SNR. simulated: the same of
photographs that `ecgvlm.paper` prints of fold 7, with the refused counted as above; the simulator is as hard
as photographs are when its median lies within 1.5 dB of theirs. Writes benchmarks/results/photos.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.stats import spearmanr

from ecgvlm.bench.runner import write_text
from ecgvlm.digitize import Digitizer
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import load_ptbxl
from ecgvlm.files.image import load_image
from ecgvlm.files.records import read_wfdb
from ecgvlm.measure import Measurements, measure
from ecgvlm.paper.print import page_rng, print_page
from ecgvlm.paper.truth import PageTruth
from ecgvlm.record import LEADS, Record

HERE = Path(__file__).parent
FS = 500.0
Photograph = tuple[str, np.ndarray, np.ndarray]  # its name, the picture, and what it shows, [12, n] mV at FS
_REACH = 100  # samples of 0.2 s
_PIECE = 250
# Measurement: name, and within how much of the signal's own it is right.
INTERVALS = {"heart_rate_bpm": 5.0, "pr_ms": 20.0, "qrs_ms": 15.0, "qt_ms": 30.0}


def snr_db(reference: np.ndarray, seen: np.ndarray) -> tuple[float, int]:
    """SNR in dB of one lead [n], NaN where unknown, and the best shift in samples (seen is late)."""
    known = np.isfinite(reference)
    wanted = reference[known] - reference[known].mean()
    if not np.isfinite(seen).any():
        return 0.0, 0
    where = np.flatnonzero(np.isfinite(seen))
    filled = np.interp(np.arange(len(seen)), where, seen[where])
    first, last = where[0], where[-1]
    best, found = np.inf, 0
    at = np.flatnonzero(known)
    for shift in range(-_REACH, _REACH + 1):
        moved = filled[np.clip(at + shift, first, last)]
        noise = float(np.var(wanted - moved))
        if noise < best:
            best, found = noise, shift
    return float(10 * np.log10(np.mean(wanted**2) / (best + 1e-12))), found


def gain_and_time(reference: np.ndarray, seen: np.ndarray, shift: int) -> tuple[float, float]:
    """Slope of a lead against its signal, and the median ms by which pieces lie beside their places."""
    at = np.flatnonzero(np.isfinite(reference))
    moved = at + shift
    at, moved = (x[(moved >= 0) & (moved < len(seen))] for x in (at, moved))
    good = np.isfinite(seen[moved])
    a, b = reference[at[good]], seen[moved[good]]
    if len(a) < 2 * _PIECE:
        return np.nan, np.nan
    slope = float(np.dot(a - a.mean(), b - b.mean()) / np.dot(a - a.mean(), a - a.mean()))
    off = []
    for start in range(0, len(a) - _PIECE + 1, _PIECE):
        piece = a[start : start + _PIECE] - a[start : start + _PIECE].mean()
        if np.ptp(piece) < 0.3:
            continue
        lags = range(-min(40, start), min(40, len(b) - start - _PIECE) + 1)
        other = [b[start + lag : start + lag + _PIECE] for lag in lags]
        off.append(list(lags)[int(np.argmin([np.var(x - piece) for x in other]))])
    return slope, float(np.median(np.abs(off))) * 1000 / FS if off else np.nan


def one(digitizer: Digitizer, image: np.ndarray, reference: np.ndarray, own: Measurements) -> dict:
    """One photograph against its signal [12, n] at `FS`."""
    try:
        page = digitizer(image)
    except EcgError as error:
        return {"refused": error.message, "snr": [0.0] * 12, "quality": 0.0}
    leads = page.leads(FS)
    snr, gains, times = [], [], []
    for lead in range(12):
        value, shift = snr_db(reference[lead], leads[lead])
        gain, late = gain_and_time(reference[lead], leads[lead], shift)
        snr.append(round(value, 2))
        gains.append(gain)
        times.append(late)
    found = {}
    for name in INTERVALS:
        wanted, seen = getattr(own, name), getattr(page.measurements, name)
        found[name] = None if wanted is None or seen is None else round(seen - wanted, 1)
    return {
        "layout": page.layout,
        "mm_per_s": page.mm_per_s,
        "mm_per_mv": page.mm_per_mv,
        "snr": snr,
        "gain_error": round(float(np.nanmedian(np.abs(np.array(gains) - 1))), 3),
        "time_ms": round(float(np.nanmedian(times)), 1),
        "quality": round(page.quality, 3),
        "off": found,
        "px_per_mm": round(page.px_per_mm, 2),
    }


def summary(rows: list[dict], own: list[Measurements]) -> dict:
    """The figures of all pages."""
    pages = [float(np.median(row["snr"])) for row in rows]
    out = {
        "pages": len(rows),
        "snr_median_db": round(float(np.median([row["snr"] for row in rows])), 2),
        "snr_median_db_worst_page": round(min(pages), 2),
        "snr_median_db_by_lead": {
            lead: round(float(np.median([row["snr"][i] for row in rows])), 2) for i, lead in enumerate(LEADS)
        },
        "gain_error": round(float(np.median([row.get("gain_error", 1.0) for row in rows])), 3),
        "time_ms": round(float(np.median([row.get("time_ms", 999.0) for row in rows])), 1),
        "refused": sum("refused" in row for row in rows),
        "rank": round(float(spearmanr([row["quality"] for row in rows], pages).statistic), 3),
    }
    for name, within in INTERVALS.items():
        off = [
            row.get("off", {}).get(name)
            for row, signal in zip(rows, own)
            if getattr(signal, name) is not None
        ]
        given = [value for value in off if value is not None]
        out[name] = {
            "asked": len(off),
            "given": round(len(given) / len(off), 3),
            "right": round(sum(abs(value) <= within for value in given) / len(off), 3),
        }
    return out


def printed(record: Record, truth: PageTruth) -> np.ndarray:
    """[12, n] mV at `FS`, what of a record at `FS` the page shows, NaN elsewhere; it begins with the page."""
    first = min(np.nanmin(trace.t) for trace in truth.traces)
    seen = np.full((12, round(FS * max(np.nanmax(trace.t) - first for trace in truth.traces)) + 1), np.nan)
    for trace in sorted(truth.traces, key=lambda trace: trace.rhythm):
        if trace.lead in LEADS:
            t = trace.t[np.isfinite(trace.mv)]
            at, end = round(FS * t[0]), round(FS * t[-1])
            lead = LEADS.index(trace.lead)
            shown = record.signal[lead, at:end]
            seen[lead] = np.nan
            seen[lead, at - round(FS * first) :][: len(shown)] = shown
    return seen


def taken(photos: Path) -> Iterator[Photograph]:
    for path in sorted((photos / "images").glob("*.jpg")):
        yield path.stem, load_image(path), read_wfdb(photos / "signals" / path.stem.rpartition("-")[0]).signal


def simulated(records: list[Record]) -> Iterator[Photograph]:
    for record in records:
        page = print_page(record, "photo", page_rng(0, "photo", Path(record.source).name))
        yield record.source, page.image, printed(record, page.truth)


def figures(digitizer: Digitizer, photographs: Iterable[Photograph]) -> tuple[dict, list[dict]]:
    """Of all, and of each."""
    rows, signals = [], []
    for name, image, signal in photographs:
        signals.append(measure(signal, FS))
        rows.append({"page": name, **one(digitizer, image, signal.astype(float), signals[-1])})
        print(name, round(float(np.median(rows[-1]["snr"])), 2), rows[-1])
    return summary(rows, signals), rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, default=HERE.parents[1] / "shared/data/photos")
    parser.add_argument("--records", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--out", type=Path, default=HERE / "results/photos.json")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    digitizer = Digitizer(threads=1)
    result, rows = figures(digitizer, taken(args.photos))
    result["simulated"], _ = figures(digitizer, simulated(load_ptbxl(args.records, {7}, int(FS))))
    print(json.dumps(result, indent=1))
    write_text(args.out, json.dumps({**result, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
