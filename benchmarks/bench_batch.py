"""Pages a second of `ecgvlm batch` on one and two cores, and what its calling process could keep up with.

    python benchmarks/bench_batch.py --pages 400

Writes benchmarks/results/batch.json. Reading: copies of the example pages, by the shipped model;
`pages_per_second` from the first rows to the last, without the start of Ray and the loading of the model,
which stand beside it. Ceiling: rows a second where reading takes no time, so that listing, scheduling and
writing are all that is left. CPU seconds a page tell more than pages a second on a machine that others use
too: of reading alone, and, in the ceiling, of all processes of the batch, Ray's with them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from ecgvlm.batch import Progress, read_batch
from ecgvlm.batch.inputs import list_inputs
from ecgvlm.errors import EcgError
from ecgvlm.reader import Answer, Reader

HERE = Path(__file__).parent
EXAMPLES = sorted(p for p in (HERE.parent / "examples").iterdir() if p.suffix in (".png", ".jpg"))


class NoReader:
    """Takes no time: what a batch costs beside reading."""

    def read(self, source: bytes, question: str | None, name: str | None) -> Answer:
        return Answer(str(name), str(question), 0.0, error=EcgError("not_an_ecg", "no page is looked at"))


class TimedReader(Reader):
    """Appends the CPU seconds of its process to a file of its own, after every page."""

    def __init__(self, folder: Path):
        super().__init__(threads=1)
        self.log = folder / str(os.getpid())

    def read(self, *asked: Any, **more: Any) -> Answer:
        before = time.process_time()
        answer = super().read(*asked, **more)
        with self.log.open("a") as file:
            file.write(f"{time.process_time() - before}\n")
        return answer


def cpu_seconds() -> float:
    """Of this process and all that it started and that still run."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


def batch(source: Path, out: Path, workers: int, make_reader) -> dict[str, float]:
    seen: list[tuple[float, int, float]] = []

    def report(p: Progress) -> None:
        seen.append((time.perf_counter(), p.done, cpu_seconds()))

    began = time.perf_counter()
    done = read_batch(str(source), str(out), workers=workers, make_reader=make_reader, report=report)
    ended = time.perf_counter()
    assert done.done == done.total == pq.read_table(out).num_rows
    first = next(i for i, (_, n, _) in enumerate(seen) if n)
    (t0, n0, c0), (t1, n1, c1) = seen[first], seen[-1]
    return {
        "pages": done.total,
        "failed": done.failed,
        "seconds": round(ended - began, 1),
        "seconds_to_first_rows": round(t0 - began, 1),
        "pages_per_second": round((n1 - n0) / (t1 - t0), 3),
        "batch_cpu_seconds_per_page": round((c1 - c0) / (n1 - n0), 4),
    }


def reading(folder: Path, pages: int, workers: int) -> dict[str, float]:
    cpu = folder / f"cpu{workers}"
    cpu.mkdir()
    psutil.cpu_percent()
    figures = batch(folder / "pages", folder / f"read{workers}", workers, lambda: TimedReader(cpu))
    del figures["batch_cpu_seconds_per_page"]  # what went on beside the first rows is not in it
    times = [float(line) for log in cpu.iterdir() for line in log.read_text().split()]
    others = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1) - sum(times) / figures["seconds"]
    return {
        **figures,
        "reading_cpu_seconds_per_page": round(sum(times) / len(times), 3),
        "cores_used_by_others": round(others, 2),
    }


def listing(folder: Path, rows: int) -> dict[str, float]:
    """Time and memory of the calling process for each input that it lists."""
    path = folder / "many.parquet"
    pq.write_table(pa.table({"image": [f"p/{i}.jpg" for i in range(rows)]}), path, row_group_size=1000)
    began = time.perf_counter()
    missing = {item.name: item for item in list_inputs(str(path))}
    seconds = time.perf_counter() - began
    del missing
    tracemalloc.start()
    missing = {item.name: item for item in list_inputs(str(path))}
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(missing) == rows
    return {"rows": rows, "inputs_per_second": round(rows / seconds), "bytes_per_input": round(used / rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--ceiling", type=int, default=20_000, help="inputs of the run that reads nothing")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "batch.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pages").mkdir()
        for i in range(args.pages):
            example = EXAMPLES[i % len(EXAMPLES)]
            shutil.copy(example, folder / "pages" / f"{i:06d}{example.suffix}")
        results: dict[str, Any] = {f"{n} workers": reading(folder, args.pages, n) for n in (1, 2)}
        one, two = results["1 workers"], results["2 workers"]
        results["ratio"] = round(two["pages_per_second"] / one["pages_per_second"], 2)
        tiny = folder / "tiny.parquet"
        pq.write_table(pa.table({"image": [b"x"] * args.ceiling}), tiny, row_group_size=1000)
        results["ceiling"] = batch(tiny, folder / "ceiling", 2, NoReader)
        results["listing"] = listing(folder, 1_000_000)
    args.output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
