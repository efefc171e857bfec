"""Single questions in the form of ECG-QA (Oh et al. 2023), answered from judgements of pages never seen.

    python benchmarks/bench_ecgqa.py --run runs/encoder --records ../shared/data/ptbxl

The judgements are those of `crossval.py` (folds 1 to 7, 9 and 10, each record judged by a network that never
saw its patient); golds are PTB-XL's statements, named as its table describes them. Questions of three kinds
are made from every page: whether it shows a symptom (one that it has, one that it has not), which of two it
shows, and which of a list (rhythms, superclasses); each ends in its options, and an answer is right where it
is exactly the set of those that hold. Statements of a likelihood under 80 are not asked about.

Left out of ECG-QA's kinds: what needs leads or measurements (single waves, axis, intervals), noise, stages,
and the comparison of two ECGs. So the figure stands beside PULSE-7B's published 73.8 on ECGBench's own 1,317
rows, but is of other rows. "usual": what the most frequent answer to each kind would score. Writes
benchmarks/results/ecgqa.json.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
from crossval import evidence, out_of_fold

from ecgvlm.atomic import write_file
from ecgvlm.bench.parsers import strict_options
from ecgvlm.words.choices import chosen

OUT = Path(__file__).parent / "results" / "ecgqa.json"
END = "Only answer based on the given Options without any explanation."
CERTAIN = 80  # likelihood from which a statement is asked about; 0 is one without likelihood
SUPER = {
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
    "MI": "myocardial infarction",
    "STTC": "st/t change",
}


def statements(folder: Path) -> dict[str, dict[str, str]]:
    """Code -> its row of PTB-XL's table, of the diagnoses and rhythms but that of a normal ECG."""
    with (folder / "scp_statements.csv").open(encoding="utf-8") as file:
        rows = {row[""]: row for row in csv.DictReader(file)}
    return {
        code: row for code, row in rows.items() if code != "NORM" and (row["diagnostic"] or row["rhythm"])
    }


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
    names = {code: row["description"].lower() for code, row in table.items()}
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="written by `ecgvlm.train.small.encoder`")
    parser.add_argument("--records", type=Path, required=True, help="PTB-XL's folder")
    args = parser.parse_args()
    with np.load(args.run / "out_of_fold.npz") as file:
        kept = dict(file)
    table, known = statements(args.records), golds(args.records)
    asked: dict[str, list] = {"signal": [], "pages": []}
    for name, kind, p, thresholds in zip(kept["name"], kept["kind"], *out_of_fold(kept)):
        if name not in known:
            continue
        judged = evidence(p, thresholds)
        for what, question, right in questions(*known[name], table, Random(f"{name} {kind}")):
            said = strict_options(chosen(judged, question), question).labels
            row = (what, said == frozenset(right or {"none"}), frozenset(right))
            asked["signal" if kind == "mask" else "pages"].append(row)
    found = {view: figures(rows) for view, rows in asked.items()} | {"published": {"PULSE-7B": 0.738}}
    write_file(OUT, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
