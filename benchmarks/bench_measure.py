"""Measurements against truth and against NeuroKit2 and WFDB's detectors, in the same run.

    OMP_NUM_THREADS=1 python benchmarks/bench_measure.py [--records DIR] [--each 6] [--normal 150]

1. Simulated hearts (`--each` of every condition), whose intervals are known, as four layouts print them: each
   strip with its own zero, 0.02 mV of noise, and gaps of 20 ms in 5% of the time, in half of the leads.
2. Real records of PTB-XL, folds 1 to 7, printed likewise. They carry labels and no intervals, so the figures
   are how well a measured number tells a label: rate for SB and ST, PR for first-degree AV block among sinus
   rhythms (a PR that is missing counts as 160 ms), QRS for complete bundle branch blocks, RR variation and
   missing P waves for AF. All records of the rare labels and `--normal` others.

The peers get what they are made for: one lead, the 10 s rhythm strip II of the layout 3x4+1R at 500 Hz;
NeuroKit2 with its own cleaning and wavelet delineation, medians over its beats. A beat is found within 150 ms
(ANSI/AAMI EC57). Writes benchmarks/results/measure.json.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly
from sklearn.metrics import roc_auc_score

from ecgvlm.bench.runner import write_text
from ecgvlm.files.datasets import load_ptbxl
from ecgvlm.measure import measure
from ecgvlm.paper.layouts import layout
from ecgvlm.record import LEADS, Record
from ecgvlm.simulate import CONDITIONS, random_simulation, simulate

HERE = Path(__file__).parent
LAYOUTS = ("12x1", "6x2", "3x4", "3x4+1R")
RARE = {"AF", "AFLT", "SB", "ST", "1dAVb", "RBBB", "LBBB", "HAVB", "PACE", "SARRH", "PVC"}
SINUS = {"SR", "SB", "ST", "SARRH"}
TOLERANCE = 0.15  # s within which a beat counts as found
PEER_FS = 500  # Hz; WFDB's and NeuroKit2's detectors do worse at 100
# Names of the measured numbers; the peers give rate_bpm, pr_ms, qrs_ms, qt_ms and rr_variation.
Numbers = dict[str, float]


@dataclass(frozen=True)
class Method:
    """measure: ([12, n] mV as printed, Hz) -> beats in s, numbers; NaN or absent where unknown."""

    name: str
    layouts: tuple[str, ...]
    measure: Callable[[np.ndarray, float], tuple[np.ndarray, Numbers]]


def printed(record: Record, name: str, seed: int) -> np.ndarray:
    """[12, n] mV: what digitising a page of this layout gives back at best; NaN where nothing is printed."""
    rng = np.random.default_rng(seed)
    samples = record.signal.shape[1]
    leads = np.full((12, samples), np.nan)
    for strip in sorted(layout(name).strips(record.seconds), key=lambda strip: not strip.rhythm):
        row, part = (
            LEADS.index(strip.lead),
            slice(round(strip.start * record.fs), round(strip.end * record.fs)),
        )
        leads[row, part] = record.signal[row, part] + rng.normal(0, 0.3)
    leads += rng.normal(0, 0.02, leads.shape)
    width = round(0.02 * record.fs)
    pieces = round(0.05 * samples / width)
    for start in rng.integers(0, samples - width, pieces).tolist():
        leads[rng.random(12) < 0.5, start : start + width] = np.nan
    return leads


def ours(leads: np.ndarray, fs: float) -> tuple[np.ndarray, Numbers]:
    found = measure(leads, fs)
    names = {"rate_bpm": "heart_rate_bpm", "pr_ms": "pr_ms", "qrs_ms": "qrs_ms", "qt_ms": "qt_ms",
             "axis_deg": "axis_deg", "rr_variation": "rr_variation", "p_score": "p_score"}  # fmt: skip
    values = {name: getattr(found, attribute) for name, attribute in names.items()}
    return found.beats, {name: np.nan if value is None else value for name, value in values.items()}


def rhythm_strip(leads: np.ndarray, fs: float) -> np.ndarray:
    """[n] mV at `PEER_FS`: lead II without gaps."""
    strip = leads[LEADS.index("II")]
    known = np.isfinite(strip)
    strip = np.interp(np.arange(len(strip)), np.flatnonzero(known), strip[known])
    return resample_poly(strip, PEER_FS, round(fs), padtype="line")


def neurokit(leads: np.ndarray, fs: float) -> tuple[np.ndarray, Numbers]:
    import neurokit2 as nk

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean = nk.ecg_clean(rhythm_strip(leads, fs), sampling_rate=PEER_FS)
        peaks = nk.ecg_peaks(clean, sampling_rate=PEER_FS)[1]["ECG_R_Peaks"]
        try:
            waves = nk.ecg_delineate(clean, peaks, sampling_rate=PEER_FS, method="dwt")[1]
        except Exception:  # it raises whatever its arithmetic stumbles on where it finds few beats
            waves = {}

    def interval(first: str, last: str) -> float:
        if first not in waves or last not in waves:
            return np.nan
        between = np.asarray(waves[last], float) - np.asarray(waves[first], float)
        return float(1000 * np.nanmedian(between) / PEER_FS) if np.isfinite(between).any() else np.nan

    beats = np.asarray(peaks) / PEER_FS
    return beats, _rhythm(beats) | {
        "pr_ms": interval("ECG_P_Onsets", "ECG_R_Onsets"),
        "qrs_ms": interval("ECG_R_Onsets", "ECG_R_Offsets"),
        "qt_ms": interval("ECG_R_Onsets", "ECG_T_Offsets"),
    }


def wfdb_xqrs(leads: np.ndarray, fs: float) -> tuple[np.ndarray, Numbers]:
    from wfdb.processing import xqrs_detect

    beats = np.asarray(xqrs_detect(rhythm_strip(leads, fs), PEER_FS, verbose=False)) / PEER_FS
    return beats, _rhythm(beats)


def wfdb_gqrs(leads: np.ndarray, fs: float) -> tuple[np.ndarray, Numbers]:
    from wfdb.processing import gqrs_detect

    strip = rhythm_strip(leads, fs)
    levels = np.round((strip - strip.min()) * 200).astype(int)
    beats = np.asarray(gqrs_detect(d_sig=levels, fs=PEER_FS, adc_gain=200, adc_zero=0)) / PEER_FS
    return beats, _rhythm(beats)


def _rhythm(beats: np.ndarray) -> Numbers:
    rr = np.diff(beats)
    if not len(rr):
        return {"rate_bpm": np.nan, "rr_variation": np.nan}
    return {"rate_bpm": 60 / rr.mean(), "rr_variation": rr.std() / rr.mean() if len(rr) > 1 else np.nan}


METHODS = (
    Method("ecgvlm", LAYOUTS, ours),
    Method("neurokit2", ("3x4+1R",), neurokit),
    Method("wfdb xqrs", ("3x4+1R",), wfdb_xqrs),
    Method("wfdb gqrs", ("3x4+1R",), wfdb_gqrs),
)


def simulated(method: Method, name: str, each: int) -> dict[str, float | int | None]:
    """Beats and intervals of simulated hearts against their truth."""
    hits = wanted = found_beats = 0
    errors: dict[str, list[float]] = {key: [] for key in ("rate_bpm", "pr_ms", "qrs_ms", "qt_ms", "axis_deg")}
    with_p: list[float] = []
    without_p: list[float] = []
    seconds = 0.0
    for i, condition in enumerate(CONDITIONS):
        rng = np.random.default_rng(i)
        for k in range(each):
            record, truth = simulate(random_simulation(rng, condition), 1000 * i + k)
            leads = printed(record, name, k)
            began = time.perf_counter()
            beats, numbers = method.measure(leads, record.fs)
            seconds += time.perf_counter() - began
            # A beat whose QRS the margin may cut counts neither way.
            inside = [t for t in truth.r_peak if 0.2 < t < record.seconds - 0.2]
            ours_inside = [t for t in beats if 0.2 < t < record.seconds - 0.2]
            wanted += len(inside)
            found_beats += len(ours_inside)
            hits += sum(len(beats) > 0 and np.abs(beats - t).min() < TOLERANCE for t in inside)
            true = {"rate_bpm": truth.rate_bpm, "pr_ms": truth.pr_ms, "qrs_ms": truth.qrs_ms,
                    "qt_ms": truth.qt_ms, "axis_deg": truth.axis_deg}  # fmt: skip
            has_pr = np.isfinite(numbers.get("pr_ms", np.nan))
            (without_p if truth.pr_ms is None else with_p).append(has_pr)
            for key, value in true.items():
                error = numbers.get(key, np.nan) - (np.nan if value is None else value)
                errors[key].append((error + 180) % 360 - 180 if key == "axis_deg" else error)
    result: dict[str, float | int | None] = {
        "records": len(with_p) + len(without_p),
        "ms_a_page": round(1e3 * seconds / (len(with_p) + len(without_p)), 1),
        "beat_sensitivity": round(hits / wanted, 4),
        "beat_precision": round(min(1.0, hits / max(found_beats, 1)), 4),
        "rate_within_5_bpm": round(float(np.mean(np.abs(errors["rate_bpm"]) <= 5)), 4),
    }
    for key in ("pr_ms", "qrs_ms", "qt_ms", "axis_deg"):
        known = np.array(errors[key])[np.isfinite(errors[key])]
        result[f"{key}_median_error"] = round(float(np.median(known)), 1) if known.size else None
        result[f"{key}_median_absolute_error"] = (
            round(float(np.median(np.abs(known))), 1) if known.size else None
        )
    if any(with_p):
        result["pr_given_where_there_is_one"] = round(float(np.mean(with_p)), 3)
        result["pr_given_where_there_is_none"] = round(float(np.mean(without_p)), 3)
    return result


def real(method: Method, name: str, records: list[Record]) -> dict[str, float | int | None]:
    """How well the measured numbers tell PTB-XL's labels, as AUROC."""
    rows, seconds = [], 0.0
    for record in records:
        leads = printed(record, name, record.meta["ecg_id"])
        began = time.perf_counter()
        rows.append(method.measure(leads, record.fs)[1])
        seconds += time.perf_counter() - began
    labels = [record.labels or frozenset() for record in records]
    sinus = np.array([bool(codes & SINUS) for codes in labels])

    def auroc(
        code: str | tuple[str, ...], key: str, sign: float = 1, missing: float | None = None, mask=None
    ):
        codes = (code,) if isinstance(code, str) else code
        truth = np.array([bool(set(codes) & found) for found in labels])
        sure = np.array([not set(codes) & record.meta["unknown"] for record in records])
        values = np.array([row.get(key, np.nan) for row in rows], float)
        if not np.isfinite(values).any():
            return None
        values = np.where(np.isfinite(values), values, np.nanmedian(values) if missing is None else missing)
        chosen = sure if mask is None else sure & mask
        return round(float(roc_auc_score(truth[chosen], sign * values[chosen])), 4)

    def middle(key: str, code: str) -> float | None:
        values = np.array([row.get(key, np.nan) for row, found in zip(rows, labels) if code in found], float)
        return round(float(np.nanmedian(values)), 1) if np.isfinite(values).any() else None

    given = np.array([np.isfinite(row.get("pr_ms", np.nan)) for row in rows])
    fibrillating = np.array(["AF" in found for found in labels])
    return {
        "records": len(records),
        "ms_a_page": round(1e3 * seconds / len(records), 1),
        "SB_by_rate": auroc("SB", "rate_bpm", -1),
        "ST_by_rate": auroc("ST", "rate_bpm"),
        "1dAVb_by_pr": auroc("1dAVb", "pr_ms", missing=160.0, mask=sinus),
        "BBB_by_qrs": auroc(("RBBB", "LBBB"), "qrs_ms"),
        "AF_by_rr_variation": auroc("AF", "rr_variation"),
        "AF_by_p_score": auroc("AF", "p_score", -1),
        "pr_given_in_sinus": round(float(given[sinus].mean()), 3) if given.any() else None,
        "pr_given_in_af": round(float(given[fibrillating].mean()), 3) if given.any() else None,
        **{f"{key}_median_in_{code}": middle(key, code)
           for key in ("pr_ms", "qrs_ms", "qt_ms") for code in ("NORM", "1dAVb", "LBBB")},
    }  # fmt: skip


def chosen_records(root: Path, normal: int) -> list[Record]:
    records = load_ptbxl(root, folds=range(1, 8))
    rare = [record for record in records if (record.labels or frozenset()) & RARE]
    others = [record for record in records if not (record.labels or frozenset()) & RARE]
    return rare + others[:: max(1, len(others) // max(normal, 1))][:normal]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, default=Path("../shared/data/ptbxl"))
    parser.add_argument("--each", type=int, default=6)
    parser.add_argument("--normal", type=int, default=150)
    args = parser.parse_args()
    records = chosen_records(args.records, args.normal) if args.records.is_dir() else []
    if not records:
        print(f"{args.records} is absent: simulated hearts only")
    result: dict[str, dict] = {}
    for method in METHODS:
        for name in method.layouts:
            row: dict[str, dict] = {"simulated": simulated(method, name, args.each)}
            if records:
                row["ptbxl"] = real(method, name, records)
            result.setdefault(method.name, {})[name] = row
            for kind, numbers in row.items():
                print(f"{method.name}, {name}, {kind}")
                for key, value in ((k, v) for k, v in numbers.items() if v is not None):
                    print(f"    {key:34} {value}")
    target = HERE / "results" / "measure.json"
    target.parent.mkdir(exist_ok=True)
    write_text(target, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
