"""Definitions against simulated hearts whose rhythm is known, and against an independent measurement.

    OMP_NUM_THREADS=1 python benchmarks/bench_criteria.py --records PTB-XL [--each 30] [--real 200]

1. Simulated hearts, `--each` of every condition: how often what the heart has is named (`named`), and on how
   many of all hearts that lack it (a second finding counts) that is named too (`false_alarm`). A dropped beat
   of a fixed PR counts as Mobitz II or, where every second one is dropped, as 2:1 block; a PVC every two or
   three beats as bigeminy or trigeminy.
2. PTB-XL at 500 Hz, folds 7, 9 and 10: sinus bradycardia, sinus tachycardia and first-degree AV block by
   definition, among the records labelled with a sinus rhythm. The truth is NeuroKit2's: rate of its R peaks
   where two leads agree within 2 bpm, and the global PR of its delineation by prominence in twelve leads.
3. PTB-XL's few records with flutter, pacemaker and SVT, beside `--real` others, folds 1 to 7, 9 and 10. The
   network learned from these records.
4. Hearts that are no work of the package's simulator (hearts.py), as a record and as what pages of two
   layouts show of it: named and false alarms as in 1.
5. The hearts and records of 1 and 2: contradictions inside the reports (ecgvlm.judge.consistency).

All on the signals, so that what the digitiser costs is not in it. Writes benchmarks/results/criteria.json.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import hearts
import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.files.datasets import Entry, find_records, load_ptbxl
from ecgvlm.judge.consistency import contradictions
from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.facts import Person
from ecgvlm.judge.findings import FindingsModel
from ecgvlm.labels import FINDINGS, UNREMARKABLE
from ecgvlm.measure import Measurements, measure
from ecgvlm.record import LEADS, Record
from ecgvlm.simulate import CONDITIONS, random_simulation, simulate
from ecgvlm.words import answers

HERE = Path(__file__).parent
# What a simulated heart of a condition must be called: one of these.
EXPECTED: Mapping[str, frozenset[str]] = {
    "vt": frozenset({"VT"}), "svt": frozenset({"SVT"}), "flutter": frozenset({"AFLT"}),
    "wpw": frozenset({"WPW"}), "wenckebach": frozenset({"WENCK"}),
    "mobitz": frozenset({"MOBITZ2", "AVB21"}), "av_block_3": frozenset({"AVB3"}),
    "paced_atrial": frozenset({"PACE"}), "paced_ventricular": frozenset({"PACE"}),
    "paced_dual": frozenset({"PACE"}), "bigeminy": frozenset({"BIGEM", "TRIGEM"}),
    "bradycardia": frozenset({"SB"}), "tachycardia": frozenset({"ST"}), "av_block_1": frozenset({"1dAVb"}),
    "stemi_anterior": frozenset({"STE"}), "stemi_inferior": frozenset({"STE"}),
    "stemi_lateral": frozenset({"STE"}), "lbbb": frozenset({"LBBB"}), "rbbb": frozenset({"RBBB"}),
    "low_voltage": frozenset({"LVOLT"}), "lvh": frozenset({"LVH"}), "af": frozenset({"AF"}),
}  # fmt: skip
# Rhythms of PTB-XL that few records have, by their SCP statements.
REAL = {"AFLT": {"AFLT"}, "PACE": {"PACE"}, "SVT": {"SVTAC", "PSVT"}}
OPEN_FOLDS = {1, 2, 3, 4, 5, 6, 7, 9, 10}  # fold 8 is locked
SINUS = {"SR", "SB", "ST", "SARRH"}
RATES_AGREE, PR_AGREE = 2.0, 20.0  # bpm, ms within which two leads must agree
PR_SHORT = 12.0  # ms by which its PR falls short of hand marks, median of 38 records of LUDB


def judge(record: Record, model: FindingsModel) -> tuple[Evidence, Measurements]:
    measured = measure(record.signal, record.fs)
    person = Person(record.age, record.sex)
    return model.judge(record.signal, round(record.fs), measured, person=person), measured


def checked(evidence: Evidence, measured: Measurements) -> list[str]:
    """The contradictions in what is said of this evidence."""
    numbers = measured.to_dict()
    numbers |= {name: None for name, value in evidence.measurements.items() if value is None}
    answer: dict[str, Any] = {
        "ok": True,
        "answer": answers.verdict(evidence),
        "report": answers.report(evidence),
        "labels": evidence.probabilities,
        "thresholds": evidence.thresholds,
        "findings": evidence.findings,
        "criteria": [criterion.to_dict() for criterion in evidence.criteria],
        "measurements": numbers,
    }
    return contradictions(answer)


def simulated(model: FindingsModel, each: int) -> tuple[dict, Counter, int]:
    said: dict[str, list[tuple[Collection[str], frozenset[str]]]] = {}
    odd: Counter = Counter()
    for condition in CONDITIONS:
        for seed in range(1000, 1000 + each):
            record, _ = simulate(random_simulation(np.random.default_rng(seed), condition), seed)
            evidence, measured = judge(record, model)
            has = EXPECTED.get(condition, frozenset()) | (record.labels or frozenset())
            said.setdefault(condition, []).append((evidence.findings, has))
            odd.update(checked(evidence, measured))
    figures = {}
    for condition, wanted in EXPECTED.items():
        others = [found for pages in said.values() for found, has in pages if not has & wanted]
        figures[condition] = {
            "findings": sorted(wanted),
            "named": round(float(np.mean([bool(wanted & set(found)) for found, _ in said[condition]])), 3),
            "false_alarm": round(float(np.mean([bool(wanted & set(found)) for found in others])), 4),
        }
    return figures, odd, each * len(CONDITIONS)


def independent_hearts(model: FindingsModel, each: int) -> dict:
    """As `simulated`, on `hearts.CONDITIONS`; a drawn page shows each of its leads for a part of the time."""
    figures: dict[str, dict] = {}
    for page, printed in hearts.PAGES.items():
        said: dict[str, list[set[str]]] = {}
        for condition in hearts.CONDITIONS:
            for seed in range(each):
                leads, called = hearts.any_heart(condition, seed)
                record = Record(printed(leads).astype(np.float32), hearts.FS)
                said.setdefault(called, []).append(set(judge(record, model)[0].findings))
        figures[page] = {
            called: {
                "named": round(float(np.mean([called in found for found in own])), 3),
                "false_alarm": round(float(np.mean([called in found for found in _others(said, called)])), 4),
            }
            for called, own in said.items()
        }
    return figures


def _others(said: Mapping[str, list[set[str]]], called: str) -> list[set[str]]:
    """What was said of hearts that are not called so, and of which this is no part."""

    def part(code: str) -> bool:
        return called in FINDINGS[code].parents or (called == "NORM" and code in UNREMARKABLE)

    return [x for code, found in said.items() if code != called and not part(code) for x in found]


def rhythms(model: FindingsModel, folder: Path, others: int) -> dict:
    """Rare rhythms of PTB-XL at the best sampling there is, and `others` records without any of them."""
    fine = {entry.key: entry for entry in find_records(folder, OPEN_FOLDS, 500)}
    rare: list[tuple[Entry, set[str]]] = []
    rest: list[tuple[Entry, set[str]]] = []
    for entry in find_records(folder, OPEN_FOLDS, 100):
        stated = set(entry.load().meta["rhythm"].split(";"))
        (rare if stated & set().union(*REAL.values()) else rest).append((entry, stated))
    Random(0).shuffle(rest)
    said = []
    for entry, stated in rare + rest[:others]:
        evidence, _ = judge(fine.get(entry.key, entry).load(), model)
        said.append((set(evidence.findings), stated))
    figures = {}
    for finding, statements in REAL.items():
        named = [found for found, stated in said if stated & statements]
        without = [found for found, stated in said if not stated & statements]
        may = {"SVT", "VT"} if finding == "SVT" else {finding}  # a wide one is rightly taken for ventricular
        figures[finding] = {
            "records": len(named),
            "named": sum(bool(found & may) for found in named),
            "others": len(without),
            "false_alarms": sum(finding in found for found in without),
        }
    return figures


def independent(record: Record) -> tuple[float | None, float | None]:
    """Rate in bpm and global PR in ms by NeuroKit2; None where leads do not agree.

    PR runs from the second earliest P onset to the second earliest QRS onset of twelve leads, as hands mark
    LUDB; each in the median over the beats of lead II, `PR_SHORT` added.
    """
    import neurokit2 as nk

    rates, p_onsets, qrs_onsets, beats = [], [], [], np.zeros(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lead in ("II", *(lead for lead in LEADS if lead != "II")):
            try:
                clean = nk.ecg_clean(record.signal[LEADS.index(lead)].astype(float), sampling_rate=500)
                peaks = nk.ecg_peaks(clean, sampling_rate=500)[1]["ECG_R_Peaks"]
                waves = nk.ecg_delineate(clean, peaks, sampling_rate=500, method="prominence")[1]
            except Exception:  # it raises whatever its arithmetic stumbles on
                continue
            beats = beats if len(beats) else peaks
            rates.append(60 * 500 / np.diff(peaks).mean())
            p_onsets.append(_before(beats, waves["ECG_P_Onsets"], 250))
            qrs_onsets.append(_before(beats, waves["ECG_R_Onsets"], 60))
    p, qrs = (sorted(x for x in onsets if np.isfinite(x)) for onsets in (p_onsets, qrs_onsets))
    agree = len(p) > 2 and len(qrs) > 1 and p[2] - p[1] <= PR_AGREE
    return _agreed(rates, RATES_AGREE), float(qrs[1] - p[1]) + PR_SHORT if agree else None


def _before(beats: np.ndarray, onsets: list[float], reach: int) -> float:
    """ms from R to the onset that comes before it, median over the beats; reach in samples at 500 Hz."""
    known = np.sort(np.array([x for x in onsets if np.isfinite(x)]))
    last = np.searchsorted(known, beats) - 1
    gaps = known[last[last >= 0]] - beats[last >= 0]
    return 2 * float(np.median(gaps[gaps > -reach])) if (gaps > -reach).any() else np.nan


def _agreed(values: list[float], within: float) -> float | None:
    """The mean of the two closest values, None where they lie further apart."""
    known = sorted(x for x in values if np.isfinite(x))
    pairs = [(b - a, (a + b) / 2) for a, b in pairwise(known)]
    gap, mean = min(pairs, default=(np.inf, 0.0))
    return mean if gap <= within else None


def real(model: FindingsModel, folder: Path, count: int) -> tuple[dict, Counter, int]:
    records = load_ptbxl(folder, {7, 9, 10}, 500)
    rng = Random(0)
    rng.shuffle(records)
    # Slow, fast and long ones first, else there would be few.
    records.sort(key=lambda record: not (record.labels or frozenset()) & {"SB", "ST", "1dAVb"})
    chosen = records[: count // 2] + records[-(count - count // 2) :]
    truth: dict[str, list[tuple[bool, bool]]] = {"SB": [], "ST": [], "1dAVb": []}
    odd: Counter = Counter()
    for record in chosen:
        evidence, measured = judge(record, model)
        odd.update(checked(evidence, measured))
        if not (record.labels or frozenset()) & SINUS:
            continue
        rate, pr = independent(record)
        if rate is not None:
            truth["SB"].append((round(rate) < 60, "SB" in evidence.findings))
            truth["ST"].append((round(rate) > 100, "ST" in evidence.findings))
        if pr is not None:
            truth["1dAVb"].append((round(pr) > 200, "1dAVb" in evidence.findings))
    figures = {}
    for code, pairs in truth.items():
        hits = sum(true and ours for true, ours in pairs)
        either = sum(true for true, _ in pairs) + sum(ours for _, ours in pairs)
        figures[code] = {
            "records": len(pairs),
            "positive": sum(true for true, _ in pairs),
            "f1": round(2 * hits / either, 3) if either else None,
        }
    return figures, odd, len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True, help="a PTB-XL folder")
    parser.add_argument("--each", type=int, default=30)
    parser.add_argument("--real", type=int, default=200)
    args = parser.parse_args()
    model = FindingsModel(threads=1)
    own_hearts, odd_hearts, n_hearts = simulated(model, args.each)
    real_rhythms = rhythms(model, args.records, args.real)
    definitions, odd_records, n_records = real(model, args.records, args.real)
    figures = {
        "model": model.name,
        "simulated": {"each": args.each, "conditions": own_hearts},
        "independent": {"each": args.each, "pages": independent_hearts(model, args.each)},
        "definitions": definitions,
        "rhythms": real_rhythms,
        "contradictions": {
            "reports": n_hearts + n_records,
            "found": sum(odd_hearts.values()) + sum(odd_records.values()),
            "kinds": dict((odd_hearts + odd_records).most_common()),
        },
    }
    print(json.dumps(figures, indent=1))
    write_file(HERE / "results" / "criteria.json", (json.dumps(figures, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
