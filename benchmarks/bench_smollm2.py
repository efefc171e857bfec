"""SmolLM2 behind our evidence tokens beside the shipped decoder: same pages of fold 8, same scorer.

    OMP_NUM_THREADS=1 python benchmarks/bench_smollm2.py MODEL --records ../shared/data/ptbxl --limit 60

MODEL: a folder that `ecgvlm export` wrote from a run of recipes/smollm2-lora.toml. Writes
benchmarks/results/smollm2.json: F1 on CODE-15's labels with its interval, answers that stay the same over ten
paraphrases of the prompt, milliseconds an answer, and memory. Both see the evidence that the reader takes off
each page.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import psutil

from ecgvlm.bench.build import build_task
from ecgvlm.bench.gold import Prediction, Predictions, load_gold
from ecgvlm.bench.parsers import strict_labels
from ecgvlm.bench.score import compare, score
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import find_records
from ecgvlm.instruct.qa import Asker
from ecgvlm.instruct.row import Row
from ecgvlm.judge.evidence import Evidence
from ecgvlm.reader import Reader
from ecgvlm.train.small.smollm2 import SmolLM2Language

OPTIONS = (
    "1dAVb(1st degree av block), RBBB(right bundle branch block), LBBB(left bundle branch block), "
    "SB(sinus bradycardia), ST(sinus tachycardia), AF(atrial fibrillation)"
)
WORDINGS = (
    "Identify all fitting options from the list, separated by semicolons: {}.",
    "Which of these does the ECG show? {}. List them with semicolons.",
    "From the following options, name every one that applies, using semicolons: {}",
    "Please look at this ECG and tell me which of {} are present (semicolon between them).",
    "Choose everything that fits this ECG: {}. Only options, joined by semicolons.",
    "Options: {}. Which hold for this ECG? Separate several by semicolon.",
    "What does this tracing show? Pick from {} and join your picks with semicolons.",
    "Mark the findings of this ECG among {}; separate them with semicolons, no explanation.",
    "Given the ECG, select the labels that apply from: {}. Use semicolons.",
    "I need the matching labels only, semicolon-separated, out of {}.",
)


def evidence_of(items: list[Row]) -> list[tuple[Row, Evidence]]:
    """What the reader finds on each page; pages that it cannot read are left out for both."""
    reader, found = Reader(threads=1), []
    for item in items:
        try:
            answer = reader.read(item.image_files()[0], "What is the rhythm?")
        except EcgError:
            continue
        if answer.evidence is not None:
            found.append((item, answer.evidence))
    return found


def ask_all(
    language: Any, seen: list[tuple[Row, Evidence]], reworded: int
) -> tuple[Predictions, dict[str, float]]:
    """Answers to the task's own question, and how far answers agree over paraphrases on the first pages."""
    answers, took = {}, []
    for item, evidence in seen:
        begun = time.perf_counter()
        answers[item.id] = Prediction(item.id, language.answer(evidence, item.question))
        took.append(1000 * (time.perf_counter() - begun))
    same, labels = [], load_task("code15-test").labels
    for item, evidence in seen[:reworded]:
        wanted = strict_labels(answers[item.id].text, labels).labels
        for wording in WORDINGS:
            said = language.answer(evidence, wording.format(OPTIONS))
            same.append(strict_labels(said, labels).labels == wanted)
    reports = []
    for _, evidence in seen[:5]:
        begun = time.perf_counter()
        language.answer(evidence, Asker(Random(0)).template("ask", "report"))
        reports.append(1000 * (time.perf_counter() - begun))
    return Predictions(answers, 0, 0), {
        "same_over_paraphrases": round(sum(same) / len(same), 4),
        "ms_an_answer": round(statistics.median(took), 1),
        "ms_a_report": round(statistics.median(reports), 1),
        "memory_mb": round(psutil.Process().memory_info().rss / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--records", type=Path, default=Path("../shared/data/ptbxl"))
    parser.add_argument("--folds", type=int, nargs="+", default=[8])
    parser.add_argument("--limit", type=int, help="records, drawn by seed; all by default")
    parser.add_argument("--reworded", type=int, default=20, help="pages that are asked about in ten wordings")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "smollm2.json")
    args = parser.parse_args()
    task, result = load_task("code15-test"), {}
    with tempfile.TemporaryDirectory() as folder:
        build_task(task, find_records(args.records, args.folds), Path(folder), ("scan",), limit=args.limit)
        items = load_gold(Path(folder) / f"{task.name}.json")
        seen = evidence_of(items)
    said: dict[str, Predictions] = {}
    for name, language in (
        ("shipped", Reader(threads=1).words),
        ("smollm2", SmolLM2Language(args.model)),
    ):
        said[name], figures = ask_all(language, seen, args.reworded)
        judged = score(task, items, said[name], "strict")
        result[name] = {
            "f1": judged.figures["f1"],
            "f1_95": judged.ci95["f1"],
            "hl": judged.figures["hl"],
            "unparsed": judged.unparsed,
            "n": judged.n,
            **figures,
        }
        print(name, result[name], flush=True)
    differences = compare(task, items, said["smollm2"], said["shipped"], "strict")
    result["smollm2 minus shipped"] = {d.figure: [d.value, d.low, d.high, d.p] for d in differences}
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
