"""What the rows of a fine-tune cost in memory: 1.16 million, as many as ECGInstruct has, and eight workers.

    python benchmarks/bench_rows.py --folder /tmp/rows      # writes benchmarks/results/rows.json

The rows are made: texts of ECGInstruct's length about 800,000 pages (names of one small picture). Memory is
the proportional set size (PSS) of the process and its workers together, so that what they share counts once.
The model itself is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from random import Random

import cv2
import numpy as np
import psutil

from ecgvlm.bench.runner import write_text
from ecgvlm.train.answering import Chat
from ecgvlm.train.loader import load_batches
from ecgvlm.train.pages import RowPages, micro_batches
from ecgvlm.train.smolvlm import load_smolvlm

ROWS = 1_156_110
SIDE, BATCH, MICRO_BATCH, STEPS = 512, 16, 4, 100
WORDS = [
    "sinus", "rhythm", "with", "first", "degree", "AV", "block", "and", "left", "axis", "deviation,", "no",
    "sign", "of", "infarction",
]  # fmt: skip


def write_rows(path: Path, rows: int) -> None:
    """ECGInstruct's form and size; every picture's name leads to the same small file."""
    rng = Random(0)
    cv2.imwrite(str(path.parent / "page.png"), np.full((420, 840, 3), 255, np.uint8))
    for k in range(100):
        link = path.parent / f"p{k}"
        if not link.exists():
            link.symlink_to(path.parent, target_is_directory=True)
    with path.open("w") as file:
        file.write("[")
        for k in range(rows):
            page = rng.randrange(max(1, rows * 800_000 // ROWS))
            name = f"p{page % 100}/p{page // 100 % 100}/p{page // 10_000}/page.png"
            turns = [
                {"from": "human", "value": "<image>\n" + " ".join(rng.choices(WORDS, k=30))},
                {"from": "gpt", "value": " ".join(rng.choices(WORDS, k=60))},
            ]
            row = {"id": str(k), "image": name, "conversations": turns, "metadata": {"type": "open-ended"}}
            file.write(f"{',' if k else ''}\n{json.dumps(row)}")
        file.write("\n]\n")


def memory() -> float:
    """PSS of this process and all below it, in MB."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(p.memory_full_info().pss for p in processes) / 1e6


def chat(folder: Path) -> Chat:
    """The chat of a small model with SmolVLM's tiles: its tokenizer is what a worker is sent."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from train.tiny import write_model

    return load_smolvlm(str(write_model(folder)), 3).chat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--workers", type=int, default=8)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.folder / "rows.json"
    if not path.is_file():
        write_rows(path, arguments.rows)
    words = chat(arguments.folder / "model")
    empty = memory()
    pages = RowPages(path, None, SIDE, questions=4, seed=1, store=arguments.folder / "store")
    stored = memory()
    order = pages.order(0, BATCH)
    keys = micro_batches(order[:STEPS], MICRO_BATCH, 0, 1, 0)
    peak, made = 0.0, 0
    for made, _ in enumerate(
        load_batches(pages, words, keys, arguments.workers, 2 * BATCH // MICRO_BATCH), 1
    ):
        if made % 50 == 0:
            peak = max(peak, memory())
    seen = [group for batch in order for group in batch]
    assert len(set(seen)) == len(seen)
    assert seen[:1000] != sorted(seen[:1000])
    result = {
        "rows": arguments.rows, "groups": len(pages), "workers": arguments.workers,
        "file_mb": round(path.stat().st_size / 1e6),
        "before_mb": round(empty), "store_opened_mb": round(stored), "training_peak_mb": round(peak),
        "micro_batches": made, "cores": os.cpu_count(),
    }  # fmt: skip
    write_text(Path(__file__).parent / "results/rows.json", json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), file=sys.stderr)


if __name__ == "__main__":
    main()
