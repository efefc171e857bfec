"""The server under load: throughput beside the bare reader, four times overload, memory; loopback only.

    .venv/bin/python benchmarks/bench_serve.py                 # a minute each
    .venv/bin/python benchmarks/bench_serve.py --minutes 30    # memory over half an hour of load
    .venv/bin/python benchmarks/bench_serve.py --smolvlm       # beside it SmolVLM-256M, random weights

Results are printed and kept in benchmarks/results/serve.json.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "examples" / "sinus_rhythm.png"
RESULTS = ROOT / "benchmarks" / "results" / "serve.json"
SERVER = """
import sys, uvicorn
sys.path[:0] = {path!r}
from bench_serve import resolve
from ecgvlm.serve.app import create_app
from ecgvlm.serve.service import Settings

if __name__ == "__main__":
    app = create_app(Settings(workers={workers}), reader=resolve({reader!r}))
    uvicorn.run(app, port={port}, log_level="warning", access_log=False)
"""


def resolve(name: str):
    """ "module:function" as the function."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


@dataclass
class Load:
    """What clients saw. seconds: of the answers that were 200."""

    wall: float = 0.0
    seconds: list[float] = field(default_factory=list)
    refused: int = 0  # 429
    lost: int = 0  # no answer, or any other

    @property
    def pages_a_second(self) -> float:
        return len(self.seconds) / self.wall

    def to_dict(self) -> dict:
        p50, p99 = np.percentile(self.seconds, (50, 99)) if self.seconds else (np.nan, np.nan)
        return {
            "pages_a_second": round(self.pages_a_second, 3), "accepted": len(self.seconds),
            "refused": self.refused, "lost": self.lost, "p50_s": round(float(p50), 3),
            "p99_s": round(float(p99), 3), "wall_s": round(self.wall, 1),
        }  # fmt: skip


def _bare(reader: str, seconds: float, barrier, results) -> None:
    data, read = PAGE.read_bytes(), resolve(reader)().read
    read(data)
    barrier.wait()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        read(data)
        count += 1
    results.put(count / (time.perf_counter() - start))


def bare(reader: str, workers: int, seconds: float) -> float:
    """Pages a second of one reader a process, without any server."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(workers), context.Queue()
    processes = [
        context.Process(target=_bare, args=(reader, seconds, barrier, results)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    total = sum(results.get() for _ in processes)
    for process in processes:
        process.join()
    return total


@contextlib.contextmanager
def serving(reader: str, workers: int) -> Iterator[tuple[str, psutil.Process]]:
    """The address and the process of a server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = [entry for entry in (str(Path(__file__).parent), *sys.path) if entry]
    script = SERVER.format(path=path, workers=workers, reader=reader, port=port)
    file = Path(os.environ.get("TMPDIR", "/tmp")) / f"bench_serve_{os.getpid()}.py"
    file.write_text(script)
    process = subprocess.Popen([sys.executable, file])
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/readyz").status_code == 200:
                    break
            if process.poll() is not None:
                raise RuntimeError("the server did not start")
            time.sleep(0.2)
        yield url, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()
        file.unlink()


async def _one(client: httpx.AsyncClient, data: bytes, load: Load) -> int:
    start = time.perf_counter()
    try:
        response = await client.post("/v1/read", files={"image": ("a.png", data)})
    except httpx.HTTPError:
        load.lost += 1
        return 0
    if response.status_code == 200 and response.json()["ok"]:
        load.seconds.append(time.perf_counter() - start)
    elif response.status_code == 429 and int(response.headers["retry-after"]) > 0:
        load.refused += 1
    else:
        load.lost += 1
    return response.status_code


async def closed(url: str, clients: int, seconds: float) -> Load:
    """So many clients, each with its next request as soon as it has an answer."""
    load, data = Load(), PAGE.read_bytes()

    async def client() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=300) as http:
            while time.perf_counter() - start < seconds:
                await _one(http, data, load)

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    load.wall = time.perf_counter() - start
    return load


async def opened(url: str, rate: float, seconds: float) -> Load:
    """Requests at a fixed rate, whatever becomes of those before."""
    load, data = Load(), PAGE.read_bytes()
    start = time.perf_counter()
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as http,
        asyncio.TaskGroup() as group,
    ):
        for i in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, start + i / rate - time.perf_counter()))
            group.create_task(_one(http, data, load))
    load.wall = time.perf_counter() - start
    return load


def memory(server: psutil.Process) -> float:
    """MB that the server and its processes hold for themselves."""
    total = 0
    for process in (server, *server.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().uss
    return total / 1e6


def measure(reader: str, workers: int, seconds: float, minutes: float) -> dict:
    """One reader bare, served, overloaded, and its memory over some minutes of load."""
    halves = [bare(reader, workers, seconds / 2)]
    with serving(reader, workers) as (url, server):
        asyncio.run(closed(url, 2 * workers, 2))  # warm
        before = memory(server)
        served = asyncio.run(closed(url, 2 * workers, seconds))
        over = asyncio.run(opened(url, 4 * served.pages_a_second, seconds))
        held = [round(before), round(memory(server))]
        rest = minutes * 60
        while rest > 0:
            asyncio.run(closed(url, 2 * workers, min(60.0, rest)))
            held.append(round(memory(server)))
            rest -= 60
        alive = httpx.get(f"{url}/healthz").status_code == 200
        lost = float(
            next(
                line
                for line in httpx.get(f"{url}/metrics").text.splitlines()
                if line.startswith("ecgvlm_workers_lost")
            ).split()[1]
        )
    # What else the machine does changes by the minute: bare before and after.
    halves.append(bare(reader, workers, seconds / 2))
    plain = sum(halves) / 2
    return {
        "bare_pages_a_second": round(plain, 3),
        "bare_before_and_after": [round(value, 3) for value in halves],
        "served": served.to_dict(),
        "share_of_bare": round(served.pages_a_second / plain, 3),
        "overload_x4": over.to_dict(),
        "memory_mb": held,
        "alive_after": alive,
        "workers_lost": lost,
    }


def smolvlm():
    """A reader that answers with SmolVLM-256M's architecture and random weights, whose words mean nothing.

    Seventeen tiles of 512 px a page, as its processor cuts them, and 40 words an answer.
    """
    import torch
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    from ecgvlm.files.image import load_image
    from ecgvlm.reader import Answer, Reader

    torch.manual_seed(0)
    torch.set_num_threads(1)
    text = {
        "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49280, "pad_token_id": 2,
    }  # fmt: skip
    vision = {
        "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
        "image_size": 512, "patch_size": 16,
    }  # fmt: skip
    config = SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=4, image_token_id=49190)
    net = SmolVLMForConditionalGeneration(config).eval()
    tiles, tokens = 17, 64
    words = torch.arange(40)[None]
    ids = torch.cat([torch.full((1, tiles * tokens), config.image_token_id), words], 1)

    class SmolVlm(Reader):
        seen: Answer | None = None

        def read(self, source: Any, *asked: Any, **more: Any):
            image = source if isinstance(source, np.ndarray) else load_image(source)
            if self.seen is None:  # page, measurements and evidence that an answer must have
                self.seen = super().read(image, *asked, **more)
            page = cv2.resize(image, (2048, 2048))
            parts = [page[y : y + 512, x : x + 512] for y in range(0, 2048, 512) for x in range(0, 2048, 512)]
            stack = np.stack([*parts, cv2.resize(image, (512, 512))]).transpose(0, 3, 1, 2)
            pixels = torch.from_numpy(stack).float()[None] / 127.5 - 1
            with torch.inference_mode():
                net.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, do_sample=False,
                    min_new_tokens=40, max_new_tokens=40,
                )  # fmt: skip
            return self.seen

    return SmolVlm(threads=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measurement")
    parser.add_argument("--minutes", type=float, default=0.0, help="of further load, for the memory")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--reader", default="ecgvlm.serve.work:default_reader")
    parser.add_argument("--smolvlm", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    readers = {"ecgvlm": arguments.reader} | (
        {"smolvlm-256m": "bench_serve:smolvlm"} if arguments.smolvlm else {}
    )
    results = {
        "cores": os.cpu_count(),
        "load_average": [round(x, 1) for x in os.getloadavg()],
        "workers": arguments.workers,
        "reader": arguments.reader,
        "seconds": arguments.seconds,
    }
    for name, reader in readers.items():
        results[name] = measure(reader, arguments.workers, arguments.seconds, arguments.minutes)
        print(name, json.dumps(results[name], indent=1))
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
