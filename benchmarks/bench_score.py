"""Scoring 100,000 answers with 1,000 bootstraps, both parsers: the goal is under 20 s on two cores.

.venv/bin/python benchmarks/bench_score.py
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ANSWERS, REPLICATES, GOAL = 100_000, 1_000, 20.0
CODES = ["1dAVb", "RBBB", "LBBB", "SB", "ST", "AF"]


def write_files(folder: Path) -> tuple[Path, Path]:
    """Gold and answers of 50,000 patients; every answer is a different text, so nothing is parsed from
    memory.
    """
    rng = random.Random(0)
    gold, answers = [], []
    for i in range(ANSWERS):
        text = rng.choice(
            ["NORM", "ABNORMAL", *CODES, "RBBB(right bundle branch block); AF(atrial fibrillation)"]
        )
        turns = [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": text}]
        gold.append({"id": i, "image": "x.png", "patient": str(i // 2), "conversations": turns})
        said = text if rng.random() < 0.7 else rng.choice([*CODES, "NORM", "normal", "no evidence of AF"])
        answers.append({"id": i, "text": f"{said}. Rate {i} bpm, normal axis, no ST elevation."})
    paths = folder / "gold.json", folder / "answers.jsonl"
    paths[0].write_text(json.dumps(gold))
    paths[1].write_text("\n".join(map(json.dumps, answers)))
    return paths


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        gold, answers = write_files(Path(folder))
        for parsers in (["--parser", "pulse"], ["--parser", "strict"], []):
            command = [
                "score",
                "--task",
                "code15",
                "--gold",
                gold,
                "--pred",
                answers,
                "--bootstrap",
                str(REPLICATES),
            ]
            began = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "ecgvlm.cli", "bench", *map(str, command), *parsers, "--json"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            seconds = time.perf_counter() - began
            name = parsers[-1] if parsers else "both"
            print(
                f"{name:6}  {ANSWERS:,} answers, {REPLICATES:,} bootstraps: {seconds:.1f} s (goal {GOAL:.0f})"
            )


if __name__ == "__main__":
    main()
