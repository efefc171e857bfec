"""Out-of-fold figures of the encoder: each record judged by a network and trees that never saw its patient.

    python benchmarks/crossval.py --run runs/crossval --pool runs/pool/mask runs/pool/page \
        runs/pool/simulated --records ../shared/data/ptbxl

The networks are those that ship: of the five whose mean the package's encoder is each has learned from four
of five groups of patients, and judges the fifth. The trees that ship have learned from all; so trees are
grown anew from the others of the pool, and kept in the run's folder. The pool is of PTB-XL's folds 1 to 7, 9
and 10: the one that the networks learned from, or the same records read anew. Calibration and thresholds of
a group come from the others. Judged at the working points that the benchmark's backend uses, definitions
with it, answered in the words of the benchmark and scored by its published rules, on pages (printed, worn,
digitised) and on the signals as a layout prints them ("signal", no paper). ptb-test asks about fold 10, as
PULSE's task of that name does; code15-test, in the style of CODE-15%, about all folds.

What ships is the mean of the five networks with trees that learned from all, so each of these figures is of
one fifth of it, with a fifth fewer records. Writes benchmarks/results/crossval.json and, for `bench_ecgqa`,
the judgements to the run's folder.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
from scipy.special import expit
from sklearn.metrics import f1_score, roc_auc_score

from ecgvlm.bench.backends.ours import label_scores
from ecgvlm.bench.build import gold_of
from ecgvlm.bench.gold import Prediction, Predictions
from ecgvlm.bench.score import score
from ecgvlm.bench.task import Task, load_task
from ecgvlm.files.datasets import load_records
from ecgvlm.instruct.row import Row
from ecgvlm.judge.agreement import settle
from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.facts import NOBODY, Fact, find_facts
from ecgvlm.judge.judgement import decide
from ecgvlm.labels import CODE15, LABELS, SUPERCLASSES
from ecgvlm.measure import MEASUREMENTS, measure
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.record import LEADS, Record
from ecgvlm.train.small.calibration import (
    FEW,
    SENSITIVITIES,
    UNREMARKABLE,
    best_thresholds,
    calibrate,
    paper_offset,
    sensitive,
    with_offset,
)
from ecgvlm.train.small.encoder import KEPT, members_out_of_fold
from ecgvlm.train.small.pool import STORED_FS, load_pool, observations, unlocked
from ecgvlm.words import answers
from ecgvlm.words.names import CLOSED_LISTS

OUT = Path(__file__).parent / "results" / "crossval.json"
SEVEN = ("NORM", *CODE15)
# Task -> its list of options, the folds that it asks about, the working point it is answered at.
TASKS = {
    "ptb-test": ("ptb-xl", (10,), "ptbxl"),
    "code15-test": ("code15", (1, 2, 3, 4, 5, 6, 7, 9, 10), "code15"),
}
Facts = Mapping[str, Fact]


def out_of_fold(kept: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """[n, labels] probabilities and the thresholds of each row, both from the other groups."""
    p, thresholds = (np.zeros(kept["target"].shape) for _ in range(2))
    for group in np.unique(kept["group"]):
        here, rest = kept["group"] == group, kept["group"] != group
        slopes, offset = calibrate(kept["logits"][rest], kept["target"][rest])
        judged = expit((slopes * kept["logits"]).sum(1) + offset)
        paper = paper_offset(judged[rest], kept["name"][rest], kept["kind"][rest])
        judged = with_offset(judged, paper, kept["kind"])
        p[here] = judged[here]
        thresholds[here] = best_thresholds(judged[rest], kept["target"][rest])
    return p, thresholds


def judged_anew(run: Path, folders: list[Path], records: Path) -> dict[str, np.ndarray]:
    """The real observations of the folders, [n, ...] each: `KEPT` of them, and logits [n, 2, labels]."""
    run.mkdir(parents=True, exist_ok=True)
    pool = load_pool(folders, records)
    pages = pool.where(pool.real)
    graph = onnx.load(str(files("ecgvlm") / "data" / "encoder.onnx"))
    logits = members_out_of_fold(pages, pool, graph, run)
    kept = {name: getattr(pages, name) for name in KEPT}
    np.savez(run / "out_of_fold.npz", logits=logits, **kept)
    return {"logits": logits, **kept}


def facts(folders: list[Path], kept: dict[str, np.ndarray], p: np.ndarray, lines: np.ndarray) -> list[Facts]:
    """What the definitions weigh of each row of kept. p, lines: [n, labels], the thresholds.

    folders: the pool that kept is of. Raises ValueError where they hold other observations.
    """
    found: list[Facts] = []
    for name, kind, leads in observations(folders):
        i = len(found)
        if i < len(p) and (name, kind) == (kept["name"][i], kept["kind"][i]):  # else a simulated heart
            thin = leads.reshape(12, -1, 2).mean(2)
            usual = settle(dict(zip(LABELS, p[i].tolist())), dict(zip(LABELS, lines[i].tolist())))
            found.append(find_facts(thin, STORED_FS / 2, measure(leads, STORED_FS), usual, NOBODY))
    if len(found) < len(p):
        raise ValueError(f"only {len(found)} of {len(p)} observations are found in the pool")
    return found


def evidence(p: np.ndarray, thresholds: np.ndarray, known: Facts, point: str) -> Evidence:
    """What an answer about one page may state of its findings at a working point. p, thresholds: [labels]."""
    judged = decide(
        dict(zip(LABELS, p.tolist())), dict(zip(LABELS, thresholds.tolist())), known, NOBODY, point
    )
    return Evidence(
        probabilities=judged.probabilities,
        thresholds=judged.thresholds,
        measurements=dict.fromkeys(MEASUREMENTS),
        leads=dict.fromkeys(LEADS),
    )


def judged(
    task: Task, rows: np.ndarray, kept: dict[str, np.ndarray], judgements: dict[int, Evidence], records: dict
) -> dict:
    """The published figures of a task on the rows (places in kept) whose record has a gold."""
    items, said = [], {}
    for i in rows:
        record: Record = records[kept["name"][i]]
        gold = gold_of(task, record)
        if gold is None:
            continue
        key = f"{kept['name'][i]}-{kept['kind'][i]}-{i}"
        items.append(Row(key, None, ((task.prompts[0], gold),), {"patient": record.patient}))
        options = [(code, f"{s}({n})") for code, (s, n) in CLOSED_LISTS[TASKS[task.name][0]].items()]
        text = answers.close(judgements[i], options, "; ")
        said[key] = Prediction(key, text, label_scores(dict(judgements[i].probabilities), task.labels))
    found = score(task, items, Predictions(said, 0, 0), "pulse").to_dict()
    names = ("n", "patients", "f1", "auc", "auroc", "hl", "ci95", "per_class")
    calibration = {name: found["calibration"][name] for name in ("ece", "ece_by_chance", "brier")}
    return {name: found.get(name) for name in names} | {"calibration": calibration}


def views(kept: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """What was looked at, and its rows: the signals, the pages by kind, and all pages."""
    yield "signal", np.flatnonzero(kept["kind"] == "mask")
    for kind in PAGE_KINDS:
        yield kind, np.flatnonzero(kept["kind"] == kind)
    yield "all pages", np.flatnonzero(kept["kind"] != "mask")


def figures(p: np.ndarray, target: np.ndarray, thresholds: np.ndarray) -> dict[str, dict[str, float]]:
    """F1 and AUROC of every label with both outcomes. p, thresholds: [n, labels]; target too, -1 unknown."""
    out = {}
    for k, label in enumerate(LABELS):
        known = target[:, k] >= 0
        y = target[known, k] == 1
        if 2 < y.sum() < len(y):
            f1 = f1_score(y, p[known, k] >= thresholds[known, k])
            out[label] = {"positives": int(y.sum()), "f1": f1, "auroc": roc_auc_score(y, p[known, k])}
    return out


def means(found: dict[str, dict[str, float]], labels: tuple[str, ...]) -> dict[str, float]:
    return {name: float(np.mean([found[label][name] for label in labels])) for name in ("f1", "auroc")}


def at_sensitivity(wanted: float, kept: dict[str, np.ndarray], p: np.ndarray, thresholds: np.ndarray) -> dict:
    """What is called in each group when the others set the thresholds for a sensitivity.

    Over the labels but NORM and SR with at least `FEW` positives: mean and lowest share of their rows on
    which they are called (sensitivity), and mean share of the other rows (false_alarms).
    """
    target, group = kept["target"], kept["group"]
    found = np.zeros(p.shape, bool)
    for one in np.unique(group):
        rest, here = group != one, np.flatnonzero(group == one)
        usual = dict(zip(LABELS, thresholds[here[0]].tolist()))
        row = sensitive(p[rest], target[rest], thresholds[here[0]])[f"{wanted:g}"]
        moved = dict(zip(LABELS, row))
        for i in here:
            settled = settle(dict(zip(LABELS, p[i].tolist())), moved, usual)
            found[i] = [settled[label] >= moved[label] for label in LABELS]
    lowest: list[tuple[float, str]] = []
    alarms = []
    for k, label in enumerate(LABELS):
        if label not in UNREMARKABLE and (target[:, k] == 1).sum() >= FEW:
            lowest.append((float(found[target[:, k] == 1, k].mean()), label))
            alarms.append(float(found[target[:, k] == 0, k].mean()))
    norm = LABELS.index("NORM")
    return {
        "sensitivity": float(np.mean([share for share, _ in lowest])),
        "lowest": dict(zip(("sensitivity", "label"), min(lowest))),
        "false_alarms": float(np.mean(alarms)),
        "abnormal_called_normal": float(found[target[:, norm] == 0, norm].mean()),
        "normal_called_normal": float(found[target[:, norm] == 1, norm].mean()),
    }


def published(task: str) -> list[dict[str, str]]:
    """The published rows of a task."""
    with files("ecgvlm.bench").joinpath("published.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["task"] == task]
    return [{name: row[name] for name in ("system", "f1", "auc", "hl", "source")} for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of trees and judgements")
    parser.add_argument("--pool", type=Path, nargs="+", required=True, help="folders of what is judged")
    parser.add_argument("--records", type=Path, required=True, help="PTB-XL's folder")
    args = parser.parse_args()
    kept = judged_anew(args.run, args.pool, args.records)
    records = {str(record.meta["ecg_id"]): record for _, record in load_records(unlocked(args.records))}
    p, thresholds = out_of_fold(kept)
    weighed = facts(args.pool, kept, p, thresholds)
    tasks: dict[str, dict] = {}
    for name, (_, folds, point) in TASKS.items():
        asked = {view: rows[np.isin(kept["fold"][rows], folds)] for view, rows in views(kept)}
        said = {
            i: evidence(p[i], thresholds[i], weighed[i], point) for i in np.concatenate([*asked.values()])
        }
        tasks[name] = {
            view: judged(load_task(name), rows, kept, said, records) for view, rows in asked.items()
        }
        tasks[name]["published"] = published(name)
    labels = {view: figures(p[rows], kept["target"][rows], thresholds[rows]) for view, rows in views(kept)}
    result = {
        "records": len(records),
        "rows": {view: len(rows) for view, rows in views(kept)},
        "tasks": tasks,
        "NORM and the six": {view: means(found, SEVEN) for view, found in labels.items()},
        "superclasses": {view: means(found, SUPERCLASSES) for view, found in labels.items()},
        "labels": labels,
        "at_sensitivity": {
            f"{wanted:g}": at_sensitivity(wanted, kept, p, thresholds) for wanted in SENSITIVITIES
        },
    }
    OUT.write_text(json.dumps(result, indent=1, default=float) + "\n")
    for name, by_view in tasks.items():
        for view, found in by_view.items():
            if view != "published":
                shown = " ".join(f"{x} {100 * found[x]:.1f}" for x in ("f1", "auc", "hl", "auroc"))
                print(f"{name} {view} ({found['n']}): {shown} ECE {100 * found['calibration']['ece']:.1f}")
    for view, found in labels.items():
        print(view, means(found, SEVEN), means(found, SUPERCLASSES))


if __name__ == "__main__":
    main()
