"""Whether a server gains by putting several waiting pages through the nets at once, on a CPU.

    OMP_NUM_THREADS=1 python benchmarks/bench_batching.py [--pages 8] [--batch 4] [--rounds 5]

Pages are those of `bench_read.py`. For the page net (in floats, as in 8 bits it takes a single page's bytes;
its batch, fixed at one when it is exported, is made free) and the encoder, CPU time of `--batch` pages one by
one and in one call, turn about, one thread. Rectified pages have sizes of their own: for one call they are
padded to the largest, which costs as well; the gain without it is measured on pages cut to the smallest. The
decoder follows each page's own tree of statements and its graph has no batch: as the most that could be won,
it reads a question's tokens `--batch` times over in one call, and in so many calls. Beside it the CPU time of
a whole read and of its words, and what share of a read the gains are at the most: that of the encoder, and
that of the decoder as if all of a read's words could be batched so. Writes benchmarks/results/batching.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from bench_read import make_pages

from ecgvlm.bench.runner import write_text
from ecgvlm.digitize.grid import find_grid
from ecgvlm.digitize.rectify import rectify
from ecgvlm.files.image import load_image
from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.findings import BEAT, NUMBERS, SAMPLES
from ecgvlm.reader import QUESTION, REPORT, Reader
from ecgvlm.record import LEADS
from ecgvlm.words.language import Language
from ecgvlm.words.prefix import WIDTH

QUESTION_TOKENS = 24
PAGE_NET = Path(__file__).parent.parent / "training" / "pagenet.float.onnx"


def shipped(name: str) -> onnx.ModelProto:
    return onnx.load_from_string(files("ecgvlm").joinpath(f"data/{name}.onnx").read_bytes())


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A net on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def cpu(function: Callable[..., object], *args: object) -> float:
    """CPU seconds of a call."""
    start = time.process_time()
    function(*args)
    return time.process_time() - start


def compare(
    one_by_one: Callable[[], object], at_once: Callable[[], object], rounds: int, pages: int
) -> dict[str, float]:
    """CPU ms a page of both, the median of `rounds`, turn about; gain: share of the time that is saved.

    pages: how many a call of the two is about.
    """
    one_by_one()
    at_once()
    times = [(cpu(one_by_one), cpu(at_once)) for _ in range(rounds)]
    single, batch = (1e3 * statistics.median(column) / pages for column in zip(*times))
    return {
        "one_by_one_ms": round(single, 2),
        "at_once_ms": round(batch, 2),
        "gain": round(1 - batch / single, 3),
    }


def padded(pages: list[np.ndarray]) -> list[np.ndarray]:
    height, width = (max(page.shape[axis] for page in pages) for axis in (2, 3))
    return [
        np.pad(page, ((0, 0), (0, 0), (0, height - page.shape[2]), (0, width - page.shape[3])))
        for page in pages
    ]


def cut(pages: list[np.ndarray]) -> list[np.ndarray]:
    height, width = (min(page.shape[axis] for page in pages) for axis in (2, 3))
    return [np.ascontiguousarray(page[..., :height, :width]) for page in pages]


def page_net(pages: list[np.ndarray], batch: int, rounds: int) -> dict[str, dict[str, float]]:
    model = onnx.load(PAGE_NET)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    net = session(model)

    def run(x: np.ndarray) -> object:
        return net.run(None, {"page": x})

    groups = [pages[i : i + batch] for i in range(0, len(pages) - batch + 1, batch)]
    one_size = [cut(group) for group in groups]
    return {
        "page_net": compare(
            lambda: [run(page) for group in groups for page in group],
            lambda: [run(np.concatenate(padded(group))) for group in groups],
            rounds,
            len(groups) * batch,
        ),
        "page_net_pages_of_one_size": compare(
            lambda: [run(page) for group in one_size for page in group],
            lambda: [run(np.concatenate(group)) for group in one_size],
            rounds,
            len(groups) * batch,
        ),
    }


def encoder(batch: int, rounds: int, repeat: int = 20) -> dict[str, float]:
    net, rng = session(shipped("encoder")), np.random.default_rng(0)
    shapes = {"leads": (len(LEADS), SAMPLES), "beat": (len(LEADS), BEAT), "numbers": (NUMBERS,)}
    many = {name: rng.normal(size=(batch, *shape)).astype(np.float32) for name, shape in shapes.items()}
    single = [{name: x[i : i + 1] for name, x in many.items()} for i in range(batch)]
    return compare(
        lambda: [net.run(None, x) for _ in range(repeat) for x in single],
        lambda: [net.run(None, many) for _ in range(repeat)],
        rounds,
        repeat * batch,
    )


def decoder(batch: int, rounds: int, repeat: int = 5) -> dict[str, float]:
    net, rng = session(shipped("language")), np.random.default_rng(0)
    layers, two, heads, _, width = net.get_inputs()[2].shape
    nothing = np.zeros((0, WIDTH), np.int64)
    past = rng.normal(size=(layers, two, heads, 100, width)).astype(np.float32)
    words = rng.integers(4, 2000, QUESTION_TOKENS)

    def run(words: np.ndarray) -> object:
        return net.run(None, {"features": nothing, "words": words, "past": past})

    return compare(
        lambda: [run(words) for _ in range(repeat * batch)],
        lambda: [run(np.tile(words, batch)) for _ in range(repeat)],
        rounds,
        repeat * batch,
    )


def say(language: Language, evidence: Evidence) -> None:
    for question in (REPORT, QUESTION):
        language.answer(evidence, question)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=8)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "batching.json")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    reader, pages, reads, words = Reader(threads=1), [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for file in make_pages(Path(folder), "clean", args.pages):
            image = load_image(file)
            paper = find_grid(image)
            if paper is None:
                continue
            page = rectify(image, paper)[0]
            pages.append(cv2.dnn.blobFromImage(page, 1 / 255.0))
            answer = reader.read(image)  # warm
            reads.append(cpu(reader.read, image))
            if (evidence := answer.evidence) is not None:
                words.append(cpu(say, reader.words, replace(evidence)))  # a copy: nothing of it is kept
    read, said = (1e3 * statistics.median(times) for times in (reads, words))
    encoded, decoded = encoder(args.batch, args.rounds), decoder(args.batch, args.rounds)
    saved = encoded["one_by_one_ms"] - encoded["at_once_ms"] + decoded["gain"] * said
    result = {
        "pages": len(pages) // args.batch * args.batch,
        "batch": args.batch,
        "rounds": args.rounds,
        "read_cpu_ms": round(read, 1),
        "words_cpu_ms": round(said, 1),
        **page_net(pages, args.batch, args.rounds),
        "encoder": encoded,
        "decoder_most": decoded,
        "most_share_of_a_read": round(saved / read, 3),
    }
    print(json.dumps(result, indent=1))
    args.out.parent.mkdir(exist_ok=True)
    write_text(args.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
