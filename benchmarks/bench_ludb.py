"""Rate, PR, QRS and QT against marks made by hand: LUDB, every wave in each of twelve leads.

    OMP_NUM_THREADS=1 python benchmarks/bench_ludb.py --data ../shared/data/ludb [--pages]

A global interval runs from the earliest onset to the latest end over the leads; against slips in one lead the
second earliest onset and the second latest end count. A record's interval is the median over its beats; a
beat has a P wave or a T wave where half of the leads are marked with one. Measured are the 500 Hz signals
themselves and, with --pages, what is read back of clean 3x4+1R pages of random looks. An interval counts as
right within 20 ms (PR), 15 ms (QRS) and 30 ms (QT), the rate within 3 bpm; one that is not given where there
is one counts as wrong.

"words": what the records' own cardiologists called them beside what is said of the signals, by the
definitions that people are given; other patients, another country and other devices than all that was
learned from.
Writes benchmarks/results/ludb.json.

Data: LUDB 1.0.1 (Kalyakulina et al. 2020, IEEE Access 8:186181; ODC-BY).
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.digitize import Digitizer
from ecgvlm.errors import EcgError
from ecgvlm.files.records import read_wfdb
from ecgvlm.judge.facts import Person
from ecgvlm.judge.findings import FindingsModel
from ecgvlm.measure import Measurements, measure
from ecgvlm.paper.print import page_rng, print_page
from ecgvlm.record import LEADS, Record

HERE = Path(__file__).parent
TOLERANCES = {"heart_rate_bpm": 3, "pr_ms": 20, "qrs_ms": 15, "qt_ms": 30}
# How ludb.csv begins a line about a finding. Hypertrophy of the left side is marked on more than half of its
# records, and left axis deviation from 0 degrees on: by no definition that is published.
WORDS = {
    "SB": "Sinus bradycardia", "AF": "Atrial fibrillation", "AFLT": "Atrial flutter",
    "PVC": "Ventricular extrasystole", "PAC": "Atrial extrasystole", "PACE": "Unipolar ventricular pacing",
    "1dAVb": "I degree av", "AVB3": "Iii degree av", "LBBB": "Complete left bundle",
    "RBBB": "Complete right bundle", "IRBBB": "Incomplete right bundle", "LAFB": "Left anterior hemiblock",
    "MI": "Scar formation|Stemi", "STE": "Stemi",
}  # fmt: skip
_ONE_BEAT = 0.12  # s within which the leads' marks belong to one QRS
_HALF = len(LEADS) // 2
Wave = tuple[str, float, float, float]  # what it is ("p", "N" or "t"), onset, peak and end in s


def marked_waves(path: Path, lead: str) -> list[Wave]:
    """The waves of one lead; an edge that is not marked is NaN."""
    import wfdb

    marks = wfdb.rdann(str(path), lead.lower())
    fs, seconds, symbols = marks.fs or 500, marks.sample, ["", *marks.symbol, ""]
    return [
        (
            symbol,
            seconds[i - 1] / fs if symbols[i] == "(" else np.nan,
            seconds[i] / fs,
            seconds[i + 1] / fs if symbols[i + 2] == ")" else np.nan,
        )
        for i, symbol in enumerate(symbols[1:-1])
        if symbol in "pNt"
    ]


def true_intervals(path: Path) -> dict[str, float]:
    """Rate in bpm and global intervals in ms, medians over the beats; NaN where they are not marked."""
    leads = [marked_waves(path, lead) for lead in LEADS]
    longest = max(leads, key=lambda waves: sum(wave[0] == "N" for wave in waves))
    beats = np.array([peak for kind, _, peak, _ in longest if kind == "N"])
    waves = [wave for lead in leads for wave in lead]
    rows = []
    for k, beat in enumerate(beats):
        following = beats[k + 1] if k + 1 < len(beats) else np.inf
        qrs = [w for w in waves if w[0] == "N" and abs(w[2] - beat) < _ONE_BEAT]
        p = [w for w in waves if w[0] == "p" and 0 < beat - w[2] < 0.4]
        t = [w for w in waves if w[0] == "t" and 0 < w[2] - beat < 0.7 and w[2] < following]
        onset, end = _second([w[1] for w in qrs], 1), _second([w[3] for w in qrs], -1)
        p_onset = _second([w[1] for w in p], 1) if len(p) >= _HALF else np.nan
        t_end = _second([w[3] for w in t], -1) if len(t) >= _HALF else np.nan
        rows.append((onset - p_onset, end - onset, t_end - onset))
    pr, qrs_ms, qt = (1000 * np.nanmedian(x) if np.isfinite(x).any() else np.nan for x in np.array(rows).T)
    return {"heart_rate_bpm": 60 / np.diff(beats).mean(), "pr_ms": pr, "qrs_ms": qrs_ms, "qt_ms": qt}


def _second(seconds: list[float], direction: int) -> float:
    """The second earliest (direction 1) or second latest (-1) of the marks that there are."""
    known = np.sort([x for x in seconds if np.isfinite(x)])[::direction]
    return float(known[1]) if len(known) > 1 else np.nan


def records(data: Path) -> Iterator[tuple[Path, Record]]:
    for header in sorted((data / "data").glob("*.hea"), key=lambda path: int(path.stem)):
        yield header.with_suffix(""), read_wfdb(header.with_suffix(""))


def on_signal(record: Record) -> Measurements | None:
    return measure(record.signal, record.fs)


def on_pages(digitizer: Digitizer) -> Callable[[Record], Measurements | None]:
    def read_back(record: Record) -> Measurements | None:
        rng = page_rng(0, "clean", Path(record.source).name)
        try:
            return digitizer(print_page(record, "clean", rng).image).measurements
        except EcgError:
            return None

    return read_back


def score(truths: list[dict[str, float]], found: list[Measurements | None]) -> dict[str, dict[str, float]]:
    figures = {}
    for name, tolerance in TOLERANCES.items():
        true = np.array([truth[name] for truth in truths])
        given = [None if m is None else getattr(m, name) for m in found]
        ours = np.array([np.nan if value is None else value for value in given])
        known = np.isfinite(true)
        errors = (ours - true)[known]
        figures[name] = {
            "records": int(known.sum()),
            "right": round(float((np.abs(errors) <= tolerance).mean()), 3),
            "given": round(float(np.isfinite(errors).mean()), 3),
            "median_error": round(float(np.nanmedian(errors)), 1),
            "median_absolute_error": round(float(np.nanmedian(np.abs(errors))), 1),
            "given_where_there_is_none": int(np.isfinite(ours[~known]).sum()),
        }
    return figures


def words(data: Path, known: list[tuple[Path, Record]]) -> dict[str, dict[str, int]]:
    """Of each finding: records that are called so, that are said to have it, and both."""
    with (data / "ludb.csv").open(newline="", encoding="utf-8") as file:
        lines = {row["ID"].strip(): "\n".join(row.values()) for row in csv.DictReader(file)}
    model = FindingsModel(threads=1)
    figures = {code: dict.fromkeys(("records", "called", "said", "both"), 0) for code in WORDS}
    for path, record in known:
        measured = measure(record.signal, record.fs)
        person = Person(record.age, record.sex)
        said = model.judge(record.signal, round(record.fs), measured, person=person).findings
        for code, start in WORDS.items():
            called = re.search(rf"^({start})", lines[path.stem], re.MULTILINE) is not None
            figures[code]["records"] += 1
            figures[code]["called"] += called
            figures[code]["said"] += code in said
            figures[code]["both"] += called and code in said
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pages", action="store_true", help="print the records and read them back, too")
    args = parser.parse_args()
    known = list(records(args.data))
    truths = [true_intervals(path) for path, _ in known]
    ways: dict[str, Callable[[Record], Measurements | None]] = {"signal": on_signal}
    if args.pages:
        ways["clean pages"] = on_pages(Digitizer(threads=1))
    figures: dict[str, dict] = {
        name: score(truths, [way(record) for _, record in known]) for name, way in ways.items()
    }
    figures["words"] = words(args.data, known)
    print(json.dumps(figures, indent=1))
    write_file(HERE / "results" / "ludb.json", (json.dumps(figures, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
