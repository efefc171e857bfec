"""Pages a second: our renderer and degrader on two cores, and ecg-plot's Matplotlib page in the same run.

    OMP_NUM_THREADS=1 python benchmarks/bench_paper.py [--pages 60] [--width 1600]

The goals of issue 3: at least 25 clean and 12 degraded pages a second on two cores at 1,600 px. Every page is
a fresh random style and a fresh record of noise and spikes; scan and photo count rendering and degrading
together. The peer is drawn by the same two processes to the same width. CPU time a page tells more than pages
a second where other work runs on the machine.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import time
import warnings
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import random_style
from ecgvlm.record import LEADS, Record

PROCESSES = 2


def spikes(rng: np.random.Generator) -> Record:
    """Ten seconds at 500 Hz of noise with spikes where R waves would be: as much ink as an ECG."""
    t = np.arange(5000) / 500
    beat = np.exp(-(((t[None] % 0.8) - 0.4) ** 2) / 2e-4) * rng.normal(0, 1, (12, 1))
    return Record((beat + rng.normal(0, 0.02, (12, t.size))).astype(np.float32), fs=500.0, source="bench")


def our_page(kind: str, width: int, seed: int) -> float:
    """Draws one page; CPU seconds it took."""
    began = time.process_time()
    rng = np.random.default_rng(seed)
    print_page(spikes(rng), kind, rng, random_style(rng, width_px=width))
    return time.process_time() - began


def their_page(width: int, seed: int) -> float:
    """The same with ecg-plot."""
    import matplotlib

    matplotlib.use("agg")
    import ecg_plot
    import matplotlib.pyplot as plt

    began = time.process_time()
    record = spikes(np.random.default_rng(seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = ecg_plot.plot(record.signal, sample_rate=500, title="", lead_index=list(LEADS), columns=2)
    with io.BytesIO() as pixels:
        figure.savefig(pixels, format="rgba", dpi=width / figure.get_size_inches()[0])
    plt.close("all")
    return time.process_time() - began


def warm_up(draw: Callable[[int], float]) -> None:
    cv2.setNumThreads(1)
    draw(0)


def speed(draw: Callable[[int], float], pages: int) -> tuple[float, float]:
    """Pages a second of wall time in two warm processes, and CPU milliseconds a page."""
    with multiprocessing.get_context("spawn").Pool(PROCESSES, warm_up, (draw,)) as pool:
        pool.map(time.sleep, [0.1] * PROCESSES, chunksize=1)  # returns once both processes are warm
        began = time.perf_counter()
        cpu = pool.map(draw, range(100, 100 + pages), chunksize=1)
        return pages / (time.perf_counter() - began), 1e3 * sum(cpu) / pages


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--width", type=int, default=1600)
    args = parser.parse_args()
    speeds = {kind: speed(partial(our_page, kind, args.width), args.pages) for kind in PAGE_KINDS}
    try:
        import ecg_plot  # noqa: F401
    except ImportError:
        print("ecg-plot is not installed (pip install ecg-plot): no comparison")
        peer = None
    else:
        peer, cpu = speed(partial(their_page, args.width), max(4, args.pages // 10))
        print(f"{'ecg-plot':10} {peer:7.1f} pages/s {cpu:7.0f} ms CPU a page")
    for name, (rate, cpu) in speeds.items():
        goal = 25 if name == "clean" else 12
        ratio = f"   {rate / peer:5.1f} x ecg-plot" if peer else ""
        print(f"{name:10} {rate:7.1f} pages/s {cpu:7.0f} ms CPU a page   goal {goal} pages/s{ratio}")


if __name__ == "__main__":
    main()
