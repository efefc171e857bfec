"""Two designs on the same pages of fold 8: digitised leads -> tokens (what ships) and pixels -> tokens.

    python -m ecgvlm.train.pixels --records ../shared/data/ptbxl --out runs/pixels --render 24
    python -m ecgvlm.train.pixels --records ../shared/data/ptbxl --out runs/pixels --minutes 40
    python benchmarks/bench_designs.py --records ../shared/data/ptbxl --pixels runs/pixels --work runs/designs

The pages are those of `ecgvlm bench build --folds 8 --pages clean,scan,photo --seed 0`. The shipped model
gets the picture alone; the pixel model gets it rectified by the renderer's truth. Writes
benchmarks/results/designs.json and the training log beside it. Intervals are of 1,000 resamples of patients;
differences are paired. Answers are kept in WORK, a file a design, so that an interrupted run goes on; remove
a design's file when its model changes.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ecgvlm.bench.build import PAGES, build_task
from ecgvlm.bench.gold import Item, Prediction, Predictions, load_gold
from ecgvlm.bench.runner import write_text
from ecgvlm.bench.score import compare, score
from ecgvlm.bench.task import Task, load_task
from ecgvlm.datasets import load_ptbxl
from ecgvlm.labels import CODE15, LABELS, SUPERCLASSES
from ecgvlm.paper.degrade import degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.style import random_style
from ecgvlm.paper.truth import Rendering
from ecgvlm.reader import Reader
from ecgvlm.record import Record

HERE = Path(__file__).parent
FOLD, SEED, WIDTH_PX = 8, 0, 1600
SEVEN = ("NORM", *CODE15)
FIGURES = ("f1", "auc", "auroc", "hl")
PROMPTS = {task: load_task(task).prompts[0] for task in ("code15-test", "ptb-test")}


@dataclass(frozen=True)
class Said:
    """What a design says of a page: its probabilities, labels found, an answer to each of `PROMPTS`."""

    probabilities: dict[str, float]
    findings: list[str]
    answers: dict[str, str]


Design = Callable[[str, str, Record, Path], Said]  # id and kind of the page, its record, its file


def rendering(key: str, kind: str, record: Record, path: Path) -> Rendering:
    """The page in the file with its truth: rendered again, and proved to be the same picture byte by byte."""
    rng = np.random.default_rng([SEED, PAGES.index(kind), *key.encode()])
    page = render(record, random_style(rng, width_px=WIDTH_PX), rng)
    page = page if kind == "clean" else degrade(page, kind, rng)
    if cv2.imencode(path.suffix, page.image[..., ::-1])[1].tobytes() != path.read_bytes():
        raise SystemExit(f"{path}: not the page that the renderer draws now; build the pages anew")
    return page


def from_leads() -> Design:
    reader = Reader(threads=1)

    def said(key: str, kind: str, record: Record, path: Path) -> Said:
        answer = reader.read(path, PROMPTS["code15-test"])
        if answer.evidence is None:  # refused: nothing said, nothing found
            return Said(dict.fromkeys(LABELS, 0.0), [], dict.fromkeys(PROMPTS, ""))
        words = {"code15-test": answer.answer, "ptb-test": reader.ask(answer, PROMPTS["ptb-test"])}
        return Said(dict(answer.evidence.probabilities), list(answer.evidence.findings), words)

    return said


def from_pixels(folder: Path) -> Design:
    import torch

    from ecgvlm.train.pixels import Trained, rectified, see

    torch.set_num_threads(1)
    model = Trained(folder)

    def said(key: str, kind: str, record: Record, path: Path) -> Said:
        page = rendering(key, kind, record, path)
        on_file = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        tokens, logits = see(model.net, rectified(Rendering(on_file, page.truth))[None])
        p = model.probabilities(logits[0])
        words = {task: model.answer(tokens[0], prompt) for task, prompt in PROMPTS.items()}
        return Said(p, [x for x in LABELS if p[x] >= model.thresholds[x]], words)

    return said


def ask(
    design: Callable[[str, str, Record, Path], Said],
    ids: list[str],
    records: dict[str, Record],
    images: Path,
    out: Path,
) -> dict[str, Said]:
    """Every page's answer, written to `out` as it comes, so that an interrupted run goes on."""
    done = {}
    if out.exists():
        rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        done = {row.pop("id"): Said(**row) for row in rows}
    with out.open("a", encoding="utf-8") as file:
        for name in ids:
            if name not in done:
                key, kind = name.rsplit("-", 1)
                path = images / f"{name}.{'png' if kind == 'clean' else 'jpg'}"
                done[name] = design(key, kind, records[key], path)
                file.write(json.dumps({"id": name, **vars(done[name])}) + "\n")
                file.flush()
    return done


def label_task(labels: tuple[str, ...]) -> Task:
    """Labels by themselves, without ABNORMAL, scored as the benchmark scores its own."""
    return Task("labels", "1", "labels", 0, ("f1", "auc", "hl"), labels, labels)


def label_gold(items: list[str], records: dict[str, Record], labels: tuple[str, ...]) -> list[Item]:
    """The pages of the records in which each of the labels is known."""
    gold = []
    for name in items:
        record = records[name.rsplit("-", 1)[0]]
        if not record.meta["unknown"] & set(labels):
            held = "; ".join(x for x in labels if x in record.labels)
            gold.append(Item(name, ("",), (held,), None, record.patient or name, {}))
    return gold


def rounded(*values: float) -> list[float | None]:
    return [None if math.isnan(v) else round(v, 4) for v in values]


def figures(task: Task, gold: list[Item], systems: dict[str, dict[str, Prediction]]) -> dict:
    """Scores of both designs with intervals, by page kind, and how much the shipped one is ahead."""
    result = {}
    for kind in ("all", *PAGES):
        rows = [item for item in gold if kind == "all" or item.id.endswith(kind)]
        given = {name: Predictions(answers, 0, 0) for name, answers in systems.items()}
        result[kind] = {"n": len(rows)}
        for name, predictions in given.items():
            s = score(task, rows, predictions)
            shown = [x for x in FIGURES if x in s.figures]
            result[kind][name] = {x: rounded(s.figures[x], *s.ci95[x]) for x in shown}
            result[kind][name]["unparsed"] = s.unparsed
            if kind == "all":
                result[kind][name]["per_class"] = {
                    label: {"positives": row["positives"], "f1": round(row["f1"], 3)}
                    for label, row in s.per_class.items()
                }
        ahead = compare(task, rows, given["leads"], given["pixels"])
        result[kind]["leads_minus_pixels"] = {
            d.figure: rounded(d.value, d.low, d.high, d.p) for d in ahead if d.figure in FIGURES
        }
    return result


def table(result: dict) -> str:
    """The result as a Markdown table, x100, intervals in brackets."""
    lines = ["| what | pages | design | F1 | hard AUC | AUROC | HL |", "|---|---|---|---|---|---|---|"]
    for what, kinds in result.items():
        if not isinstance(kinds, dict) or "all" not in kinds:
            continue
        for kind, row in kinds.items():
            for design in ("leads", "pixels"):
                cells = []
                for figure in FIGURES:
                    values = row[design].get(figure, [None])
                    whole = None not in values
                    cells.append(
                        "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * v for v in values)) if whole else "-"
                    )
                lines.append(f"| {what} | {kind}, n = {row['n']} | {design} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, default=Path("../shared/data/ptbxl"))
    parser.add_argument("--pixels", type=Path, default=Path("runs/pixels"))
    parser.add_argument("--work", type=Path, default=Path("runs/designs"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    code15, ptb = load_task("code15"), load_task("ptb")
    path = args.work / f"{code15.name}.json"
    if not path.exists():
        build_task(code15, args.records, args.work, PAGES, SEED, [FOLD], width_px=WIDTH_PX)
    gold = load_gold(path)
    records = {str(record.meta["ecg_id"]): record for record in load_ptbxl(args.records, [FOLD])}
    ids = [item.id for item in gold]
    superclasses = label_gold(ids, records, SUPERCLASSES)
    pages = args.work / "images"
    said = {
        "leads": ask(from_leads(), ids, records, pages, args.work / "leads.jsonl"),
        "pixels": ask(from_pixels(args.pixels), ids, records, pages, args.work / "pixels.jsonl"),
    }
    card = json.loads((args.pixels / "card.json").read_text())
    result: dict = {
        "fold": FOLD,
        "pages": len(ids),
        "pixels_training": {k: v for k, v in card.items() if not isinstance(v, list)},
    }
    for name, labels, rows in (
        ("labels", SEVEN, label_gold(ids, records, SEVEN)),
        ("superclasses", SUPERCLASSES, superclasses),
    ):
        systems = {
            design: {
                page: Prediction(
                    page,
                    "; ".join(x for x in labels if x in s.findings),
                    {x: s.probabilities[x] for x in labels},
                )
                for page, s in answers.items()
            }
            for design, answers in said.items()
        }
        result[name] = figures(label_task(labels), rows, systems)
    for task, rows in ((code15, gold), (ptb, superclasses)):
        systems = {
            design: {page: Prediction(page, s.answers[task.name]) for page, s in answers.items()}
            for design, answers in said.items()
        }
        result[f"{task.name}_words"] = figures(task, rows, systems)
    write_text(HERE / "results" / "designs.json", json.dumps(result, indent=1) + "\n")
    shutil.copy(args.pixels / "log.csv", HERE / "results" / "designs_training.csv")
    print(table(result))


if __name__ == "__main__":
    main()
