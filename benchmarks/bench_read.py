"""How fast a page is read, where the time goes, and beside it a SmolVLM-256M on the same page.

    python benchmarks/bench_read.py [--pages 7] [--batch 100] [--threads 2] [--peer]

Pages are simulated ECGs as JPEG files in five looks (`LOOKS`): 1,600 px wide in random styles, clean, scanned
and photographed; as ecg-image-kit draws them, 2,200 x 1,700 px on a dark fine grid; and photographs of about
12 megapixels. Measured are
 - `Reader.read` with answer and report, warm, for every look and for the three of 1,600 px together: median
   of wall and of CPU time, both for every stage, each beside a floor: CPU time of the least that any way to
   do it must spend on this machine, see `Floors`; and how often the page net ran for a page,
 - one `ecgvlm read` command, cold: wall time and peak memory,
 - one command with `--batch` pages: pages a second and peak memory,
 - with `--peer` (the `train` extra): transformers' SmolVLM in its 256M configuration with random weights
   (nothing is downloaded), generating as many tokens from the same page, cut into 512-px tiles as its
   processor does.
Goals: 120 ms (photographs of 12 megapixels 250), 0.7 s, 580 MB, 12 pages a second. Where other work runs, CPU
time tells more than wall time. Writes benchmarks/results/read.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import ClassVar, TypeVar

import cv2
import numpy as np

from ecgvlm.bench.runner import write_text
from ecgvlm.digitize import FS, Digitizer, Page
from ecgvlm.digitize.grid import STEP, TILE, WORK_WIDTH, find_grid
from ecgvlm.digitize.layout import find_layout
from ecgvlm.digitize.pagenet import NetMaps, PageNet
from ecgvlm.digitize.rectify import rectify
from ecgvlm.digitize.trace import follow
from ecgvlm.files.image import load_image, write_image
from ecgvlm.judge.findings import ENCODER_FS, FindingsModel, numbers, strips
from ecgvlm.measure import Measurements, measure
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import PageStyle, page_style, random_style
from ecgvlm.reader import QUESTION, REPORT, Reader
from ecgvlm.simulate import random_simulation, simulate

T = TypeVar("T")
GOALS = {"warm_ms": 120, "cold_s": 0.7, "peak_mb": 580, "pages_per_s": 12}
CONDITIONS = ("normal", "af", "rbbb", "pvc")
SMOLVLM_TILES, SMOLVLM_TILE, SMOLVLM_TILE_TOKENS = 9, 512, 64  # of a 1,600 px page, the whole page among them


@dataclass(frozen=True)
class Look:
    """One look of pages: kind, style (None: a random one), width in px, and ms that reading may take."""

    kind: str
    style: PageStyle | None
    width_px: int
    goal_ms: float

    def style_of(self, rng: np.random.Generator) -> PageStyle:
        return self.style or random_style(rng, width_px=self.width_px)


_DARK_GRID = {"minor": (150, 107, 101), "major": (109, 50, 47)}  # ecg-image-kit's brown
LOOKS = {
    **{kind: Look(kind, None, 1600, GOALS["warm_ms"]) for kind in PAGE_KINDS},
    "ecg-image-kit": Look("clean", page_style("kit", **_DARK_GRID), 2200, GOALS["warm_ms"]),
    "12 megapixels": Look("photo", None, 4000, 250),
}
PLAIN_LOOKS = PAGE_KINDS  # those of 1,600 px


def make_pages(folder: Path, look: str, count: int) -> list[Path]:
    """`count` JPEG files of simulated pages of one look."""
    files = []
    for k in range(count):
        rng = np.random.default_rng([7, k])
        record, _ = simulate(random_simulation(rng, CONDITIONS[k % len(CONDITIONS)]), k)
        page = print_page(record, LOOKS[look].kind, rng, LOOKS[look].style_of(rng))
        files.append(folder / f"{look.replace(' ', '-')}{k:03}.jpg")
        write_image(files[-1], page.image)
    return files


class Stages:
    """Wall and CPU seconds by stage."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = defaultdict(list)
        self.cpu: dict[str, list[float]] = defaultdict(list)

    def time(self, name: str, function: Callable[..., T], *args) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        out = function(*args)
        self.wall[name].append(time.perf_counter() - wall)
        self.cpu[name].append(time.process_time() - cpu)
        return out

    def medians(self) -> dict[str, dict[str, float]]:
        return {
            name: {
                "wall_ms": round(1e3 * statistics.median(self.wall[name]), 1),
                "cpu_ms": round(1e3 * statistics.median(self.cpu[name]), 1),
            }
            for name in self.wall
        }


class Floors:
    """CPU seconds below which a stage cannot come, measured on the pages themselves in the same run.

    decode image: libjpeg alone. find grid: the Fourier transforms alone of the tiles that flat paper
    takes. rectify, measure: one copy of what they give and take. page net: its multiplications and additions
    at the rate of a large matrix product in 8 bits. encode findings: its net alone. write ...: one reading of
    the decoder's weights.
    """

    STATED: ClassVar = {
        "decode image": "libjpeg alone",
        "  find grid": "its Fourier transforms",
        "  rectify": "one copy of the page",
        "  page net": "its operations at the rate of a matrix product in 8 bits",
        "  measure": "one copy of the leads",
        "encode findings": "its net alone",
        "write report": "one reading of the decoder's weights",
        "write answer": "one reading of the decoder's weights",
    }

    def __init__(self) -> None:
        import onnx

        data = resources.files("ecgvlm").joinpath("data")
        self._net = onnx.load_from_string(data.joinpath("pagenet.onnx").read_bytes())
        self._weights = np.frombuffer(data.joinpath("language.onnx").read_bytes(), np.uint8)
        self._byte_rate = self._product_rate()
        tile = np.random.default_rng(0).normal(size=(TILE, TILE)).astype(np.float32)
        self._transform = fastest(lambda: cv2.dft(tile), 50)

    @staticmethod
    def _product_rate(side: int = 1024) -> float:
        """Multiply-adds a second of one core in a matrix product in 8 bits."""
        import onnx
        import onnxruntime
        from onnx import TensorProto, helper

        info = helper.make_tensor_value_info
        graph = helper.make_graph(
            [helper.make_node("MatMulInteger", ["a", "b"], ["c"])], "product",
            [info("a", TensorProto.UINT8, [side, side])], [info("c", TensorProto.INT32, [side, side])],
            [onnx.numpy_helper.from_array(np.ones((side, side), np.int8), "b")],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        a = np.ones((side, side), np.uint8)
        return side**3 / fastest(lambda: session.run(None, {"a": a}), 10)

    def _operations(self, page: np.ndarray) -> int:
        """Multiply-adds of the page net's convolutions on a page, but for those with weights of 0: blocks of
        its finest layers hold many."""
        import onnx

        net = onnx.ModelProto()
        net.CopyFrom(self._net)
        dims = net.graph.input[0].type.tensor_type.shape.dim
        dims[0].dim_value, dims[1].dim_value = page.shape[0], page.shape[1] // 4
        graph = onnx.shape_inference.infer_shapes(net).graph
        shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.value_info}
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        made = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "DequantizeLinear"}
        return sum(
            int(np.prod(shapes[node.output[0]][2:])) * int(np.count_nonzero(weights[made[node.input[1]]]))
            for node in graph.node
            if node.op_type == "Conv"
        )

    def seconds(
        self, file: Path, image: np.ndarray, page: Page, measured: Measurements, findings: FindingsModel
    ) -> dict[str, float]:
        """Stage -> floor, for one page."""
        data = np.frombuffer(file.read_bytes(), np.uint8)
        work = np.array(image.shape[:2]) * min(1.0, WORK_WIDTH / max(image.shape[:2]))
        tiles = np.prod(np.maximum(1, (work - TILE) // (2 * STEP) + 1))
        leads = page.leads(FS)
        seen = (strips(page.leads(ENCODER_FS))[None], measured.median_beat[None], numbers(measured)[None])
        weights = fastest(lambda: self._weights.copy(), 3) / 2  # a copy reads and writes
        return {
            "decode image": fastest(lambda: cv2.imdecode(data, cv2.IMREAD_COLOR), 3),
            "  find grid": float(tiles * self._transform),
            "  rectify": fastest(page.image.copy, 5),
            "  page net": self._operations(page.image) / self._byte_rate,
            "  measure": fastest(leads.copy, 5),
            "encode findings": fastest(lambda: findings.calibrated(*seen), 3),
            "write report": weights,
            "write answer": weights,
        }


def fastest(function: Callable[[], object], times: int) -> float:
    """Least CPU seconds of one of `times` calls, by this thread."""
    least = float("inf")
    for _ in range(times):
        start = time.thread_time()
        function()
        least = min(least, time.thread_time() - start)
    return least


class Counted:
    """A net that counts how often it runs."""

    def __init__(self, net: PageNet):
        self.net, self.times = net, 0

    def __call__(self, page: np.ndarray) -> NetMaps:
        self.times += 1
        return self.net(page)


@dataclass
class Warm:
    """What was measured on the pages of one look: stages in seconds, floors in seconds, and counts a page."""

    whole: Stages = field(default_factory=Stages)
    parts: Stages = field(default_factory=Stages)
    floors: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tokens: list[int] = field(default_factory=list)
    nets: list[int] = field(default_factory=list)

    def add(self, other: Warm) -> None:
        for mine, its in ((self.whole, other.whole), (self.parts, other.parts)):
            for name in its.wall:
                mine.wall[name] += its.wall[name]
                mine.cpu[name] += its.cpu[name]
        for name, seconds in other.floors.items():
            self.floors[name] += seconds
        self.tokens += other.tokens
        self.nets += other.nets

    def result(self) -> dict:
        stages: dict[str, dict] = {**self.parts.medians()}
        for name, values in self.floors.items():
            floor_ms = round(1e3 * statistics.median(values), 2)
            stages[name] |= {"floor_ms": floor_ms, "floor": Floors.STATED[name]}
        nets = round(statistics.mean(self.nets), 2)
        return {**self.whole.medians(), "stages": stages, "pages": len(self.tokens), "page_nets": nets}


def warm(files: list[Path], reader: Reader, floors: Floors, single: FindingsModel) -> Warm:
    """Every file read, and once more stage by stage."""
    digitizer = reader.digitizer
    assert isinstance(digitizer, Digitizer)
    net = digitizer.net
    reader.read(files[0])
    out = Warm()
    for file in files:
        counted = Counted(net)
        digitizer.__dict__["net"] = counted
        answer = out.whole.time("read", reader.read, file)
        digitizer.__dict__["net"] = net
        if answer.error:
            continue
        out.nets.append(counted.times)
        texts = (answer.answer, answer.report)
        out.tokens.append(sum(len(reader.words._tokenizer.encode(text).ids) for text in texts))
        image = out.parts.time("decode image", load_image, file)
        page = out.parts.time("digitise", digitizer, image)
        paper = out.parts.time("  find grid", find_grid, image)
        if paper is not None:
            rectified, _ = out.parts.time("  rectify", rectify, image, paper)
            seen = out.parts.time("  page net", net, rectified)
            names = out.parts.time("  lettering", digitizer.lettering.names, rectified, seen)
            out.parts.time("  layout", find_layout, names, seen)
            view = digitizer.look(image)
            if view is not None and view.found is not None:
                seen_on = view.maps.trace, view.image, image, view.to_px
                out.parts.time("  follow traces", follow, *seen_on, view.found.strips)
        leads = page.leads(FS)
        measured = out.parts.time("  measure", measure, leads, FS)
        evidence = out.parts.time("encode findings", reader.judge, page)
        out.parts.time("write report", reader.words.answer, evidence, REPORT)
        out.parts.time("write answer", reader.words.answer, evidence, QUESTION)
        for name, seconds in floors.seconds(file, image, page, measured, single).items():
            out.floors[name].append(seconds)
    return out


# A process's peak memory counts from before it became another program: it must not begin as a copy of this.
# Of several processes the sums are sampled; what they share counts once (on Linux).
_LAUNCHER = """
import json, resource, subprocess, sys, threading, time
import psutil
def memory(process):
    known = process.memory_full_info()
    return getattr(known, "pss", known.uss)
def watch(process):
    global most
    while process.poll() is None:
        used = 0
        try:
            tree = psutil.Process(process.pid)
            used = sum(memory(p) for p in [tree, *tree.children(recursive=True)])
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # it has just ended
            pass
        most = max(most, used / 2**20)
        time.sleep(0.2)
most = 0.0
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
threading.Thread(target=watch, args=[process], daemon=True).start()
status = process.wait()
seconds = time.perf_counter() - start
alone = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps([status, seconds, max(most, alone)]))
"""


def command(files: list[Path]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one `ecgvlm read`."""
    ecgvlm = str(Path(sys.executable).with_name("ecgvlm"))
    run = [sys.executable, "-c", _LAUNCHER, ecgvlm, "read", "--json", *map(str, files)]
    # Installed packages are compiled.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(run, capture_output=True, check=True, env=env)
    status, seconds, memory = json.loads(done.stdout)
    if status:
        print(f"ecgvlm read ended with status {status}", file=sys.stderr)
    return seconds, memory


def smolvlm(file: Path, tokens: int, threads: int) -> dict:
    """Seconds that a SmolVLM-256M with random weights takes for `tokens` tokens about the page."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = transformers.SmolVLMConfig(
        vision_config={"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
                       "num_attention_heads": 12, "image_size": SMOLVLM_TILE, "patch_size": 16},
        text_config=transformers.LlamaConfig(
            hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, vocab_size=49280, max_position_embeddings=8192, tie_word_embeddings=True),
        image_token_id=49190, scale_factor=4, tie_word_embeddings=True,
    )  # fmt: skip
    config.pad_token_id = 2
    model = transformers.SmolVLMForConditionalGeneration(config).eval()
    start, cpu = time.perf_counter(), time.process_time()
    image = load_image(file)
    # 2,048 px wide, four by two tiles, and the whole page once more.
    large = cv2.resize(image, (4 * SMOLVLM_TILE, 2 * SMOLVLM_TILE))
    tiles = [tile for row in np.vsplit(large, 2) for tile in np.hsplit(row, 4)]
    tiles.append(cv2.resize(image, (SMOLVLM_TILE, SMOLVLM_TILE)))
    assert len(tiles) == SMOLVLM_TILES
    pixels = torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    prompt = [1] + [49190] * (SMOLVLM_TILES * SMOLVLM_TILE_TOKENS) + list(range(100, 130))
    with torch.inference_mode():
        out = model.generate(
            input_ids=torch.tensor([prompt]), pixel_values=pixels, do_sample=False,
            min_new_tokens=tokens, max_new_tokens=tokens,
        )  # fmt: skip
    return {
        "parameters_m": round(sum(p.numel() for p in model.parameters()) / 1e6),
        "tokens": int(out.shape[1] - len(prompt)),
        "wall_s": round(time.perf_counter() - start, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
    }


def print_look(look: str, result: dict) -> None:
    print(
        f"{look}: read, warm: {result['read']} (goal {result['goal_ms']} ms), "
        f"{result['page_nets']} runs of the page net"
    )
    for name, times in result["stages"].items():
        floor = f", floor {times['floor_ms']:8.2f} ms ({times['floor']})" if "floor" in times else ""
        print(f"  {name:18}{times['wall_ms']:9.1f} ms wall{times['cpu_ms']:9.1f} ms CPU{floor}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=7, help="of each look")
    parser.add_argument("--batch", type=int, default=100, help="pages of one command, 0: leave it out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "read.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cv2.setNumThreads(args.threads)
        reader = Reader(threads=args.threads)
        floors, single = Floors(), FindingsModel(threads=1)
        plain, looks = Warm(), {}
        for look in LOOKS:
            seen = warm(make_pages(Path(folder), look, args.pages), reader, floors, single)
            looks[look] = {"goal_ms": LOOKS[look].goal_ms, **seen.result()}
            print_look(look, looks[look])
            if look in PLAIN_LOOKS:
                plain.add(seen)
        tokens = round(statistics.mean(plain.tokens))
        result: dict = {
            "goals": GOALS,
            "threads": args.threads,
            "cores": os.cpu_count(),
            **plain.result(),
            "tokens": tokens,
            "looks": looks,
        }
        many = [make_pages(Path(folder), look, -(-args.batch // 3) or 1) for look in PLAIN_LOOKS]
        files = [file for three in zip(*many) for file in three]
        command(files[:1])  # compiles what is not
        seconds, memory = command(files[:1])
        result["cold"] = {"wall_s": round(seconds, 2), "peak_mb": round(memory)}
        print(f"one command, cold: {result['cold']} (goals {GOALS['cold_s']} s, {GOALS['peak_mb']} MB)")
        if args.batch:
            seconds, memory = command(files[: args.batch])
            result["batch"] = {"pages": args.batch, "pages_per_s": round(args.batch / seconds, 2),
                               "peak_mb": round(memory)}  # fmt: skip
            print(
                f"{args.batch} pages in one command: {result['batch']} (goal {GOALS['pages_per_s']} a second)"
            )
        if args.peer:
            peer = smolvlm(files[0], tokens, args.threads)
            ratio = 1e3 * peer["wall_s"] / result["read"]["wall_ms"]
            result["smolvlm_256m"] = {**peer, "times_slower": round(ratio, 1)}
            print(f"SmolVLM-256M, random weights: {peer}: {ratio:.1f} times as long")
    args.out.parent.mkdir(exist_ok=True)
    write_text(args.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
