"""Single questions in the form of ECG-QA (Oh et al. 2023), answered from judgements of pages never seen.

    python benchmarks/bench_ecgqa.py --run runs/crossval --records ../shared/data/ptbxl

The findings are judged as in `crossval.py` (folds 1 to 7, 9 and 10, each record by a network that never saw
its patient); waves, intervals and what is judged by its definition come from the record as it is read. Golds
are PTB-XL's statements, named as ECG-QA names them. Questions of three kinds are made from every record:
whether it shows a symptom (one that it has, one that it has not), which of two it shows, and which of a list
(rhythms, superclasses); each ends in its options, and an answer is right where it is exactly the set of those
that hold. Statements of a likelihood under 80 are not asked about.

Left out of ECG-QA's kinds: axis, intervals, single leads, noise, stages, and the comparison of two ECGs, for
which the table at hand has no gold. So the figure stands beside PULSE-7B's published 73.8 on ECGBench's own
1,317 rows, but is of other rows, and of signals instead of pages. "usual": what the most frequent answer to
each kind would score. Writes benchmarks/results/ecgqa.json.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from random import Random

import numpy as np
from crossval import out_of_fold

from ecgvlm.atomic import write_file
from ecgvlm.bench.parsers import strict_options
from ecgvlm.files.datasets import load_records
from ecgvlm.judge.agreement import settle
from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import LABELS
from ecgvlm.reader import Reader
from ecgvlm.train.small.pool import unlocked
from ecgvlm.words.choices import chosen

OUT = Path(__file__).parent / "results" / "ecgqa.json"
END = "Only answer based on the given Options without any explanation."
CERTAIN = 80  # likelihood from which a statement is asked about; 0 is one without likelihood
CALLED = {  # by ECG-QA, otherwise than in PTB-XL's table
    "DIG": "digitalis effect",
    "LOWT": "low amplitude t-wave",
    "BIGU": "bigeminal pattern (unknown origin, supraventricular, or ventricular)",
}
SUPER = {
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
    "MI": "myocardial infarction",
    "STTC": "st/t change",
}


def statements(folder: Path) -> dict[str, dict[str, str]]:
    """Code -> its row of PTB-XL's table with what ECG-QA calls it ("name"), where ECG-QA asks about it."""
    options = tomllib.loads((files("ecgvlm.words") / "data" / "options.toml").read_text("utf-8"))["symptoms"]
    found = {}
    with (folder / "scp_statements.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = CALLED.get(row[""], row["description"].lower())
            name = re.sub(r"^(\w+) myocardial infarction$", r"myocardial infarction in \1 leads", name)
            if name in options:
                found[row[""]] = {**row, "name": name}
    return found


def golds(folder: Path) -> dict[str, tuple[set[str], set[str]]]:
    """Record -> codes stated with certainty, and those stated at all."""
    out = {}
    with (folder / "labels.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not row["scp_codes"]:  # not all of its statements are kept
                continue
            stated = ast.literal_eval(row["scp_codes"])
            certain = {code for code, likelihood in stated.items() if not 0 < likelihood < CERTAIN}
            out[row["ecg_id"]] = (certain, set(stated))
    return out


def questions(
    certain: set[str], stated: set[str], table: dict[str, dict[str, str]], rng: Random
) -> Iterator[tuple[str, str, set[str]]]:
    """(kind, question, the options that hold)."""
    names = {code: row["name"] for code, row in table.items()}
    has = sorted(certain & names.keys())
    lacks = sorted(names.keys() - stated)
    for codes, word in ((has, "yes"), (lacks, "no")):
        if codes:
            name = names[rng.choice(codes)]
            ask = f"Does this ECG show symptoms of {name}? Options: yes, no, not sure. {END}"
            yield "verify", ask, {word}
    pair = [rng.choice(has), rng.choice(lacks)] if has and rng.random() < 0.6 else rng.sample(lacks, 2)
    a, b = rng.sample([names[code] for code in pair], 2)
    held = {names[code] for code in pair if code in certain}
    yield "choose", f"Which symptom does this ECG show, {a} or {b}? Options: {a}, {b}, none. {END}", held
    rhythms = [names[code] for code, row in table.items() if row["rhythm"]]
    held = {names[code] for code in certain if code in table and table[code]["rhythm"]}
    ask = f"What rhythm-related symptoms does this ECG show? Options: {', '.join([*rhythms, 'none'])}. {END}"
    yield "query rhythm", ask, held
    held = {SUPER[x] for code in certain if code in table and (x := table[code]["diagnostic_class"]) in SUPER}
    options = ", ".join([*SUPER.values(), "none"])
    yield "query superclass", f"What symptoms does this ECG show? Options: {options}. {END}", held


def figures(rows: list[tuple[str, bool, frozenset[str]]]) -> dict:
    """Accuracy by kind and of all, and what the most frequent answer to each kind would score."""
    by_kind = defaultdict(list)
    for row in rows:
        by_kind[row[0]].append(row)
    usual = {kind: Counter(row[2] for row in found).most_common(1)[0][1] for kind, found in by_kind.items()}
    return {
        "n": len(rows),
        "exact": round(sum(row[1] for row in rows) / len(rows), 4),
        "usual": round(sum(usual.values()) / len(rows), 4),
        "by_kind": {
            kind: {
                "n": len(found),
                "exact": round(sum(row[1] for row in found) / len(found), 4),
                "usual": round(usual[kind] / len(found), 4),
            }
            for kind, found in by_kind.items()
        },
    }


def judged(seen: Evidence, p: np.ndarray, thresholds: np.ndarray) -> Evidence:
    """What was seen of a record, with findings judged by others. p, thresholds: [labels]."""
    lines = {**seen.thresholds, **dict(zip(LABELS, thresholds.tolist()))}
    probabilities = settle({**seen.probabilities, **dict(zip(LABELS, p.tolist()))}, lines)
    return replace(seen, probabilities=probabilities, thresholds=lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="written by `crossval.py`")
    parser.add_argument("--records", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--count", type=int, default=200, help="records")
    args = parser.parse_args()
    with np.load(args.run / "out_of_fold.npz") as file:
        kept = dict(file)
    p, thresholds = out_of_fold(kept)
    table, known = statements(args.records), golds(args.records)
    records = {str(record.meta["ecg_id"]): record for _, record in load_records(unlocked(args.records))}
    rows = [i for i, name in enumerate(kept["name"]) if kept["kind"][i] == "mask" and name in known]
    reader, asked = Reader(threads=1), []
    for i in Random("ecgqa").sample(rows, args.count):
        name = kept["name"][i]
        evidence = judged(reader.look(records[name]).evidence, p[i], thresholds[i])
        for what, question, right in questions(*known[name], table, Random(name)):
            said = strict_options(chosen(evidence, question), question).labels
            asked.append((what, said == frozenset(right or {"none"}), frozenset(right)))
    found = {"records": args.count, **figures(asked), "published": {"PULSE-7B": 0.738}}
    write_file(OUT, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
