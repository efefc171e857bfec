"""How pages are read whose looks training never saw: other people's renderers, and looks drawn here only.

    python benchmarks/bench_elsewhere.py --records ../shared/data/ptbxl --fold 7 --pages 12 [--pictures DIR]

Needs the `dev` extra: ecg-plot, pmecg, matplotlib, reportlab. Fold 7 is for choosing, fold 8 for reporting.
For every look: share of pages refused, layout right, all lead names right, median SNR of the printed leads
(as bench_digitize.py has it), how often the heart rate measured from the page is within 5 bpm or 5% of that
measured from the record itself, and the code15 task's F1 by the published parser, with its interval; that of
our own renderer's clean pages of the same records beside it. `--pictures` writes every page there, to look
at. Writes --out where given.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import ecg_plot
import matplotlib.pyplot
import numpy as np
import pmecg
from bench_digitize import strip_snr_db
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from reportlab.lib.colors import Color
from reportlab.pdfgen.canvas import Canvas
from scipy.signal import resample_poly

from ecgvlm.bench.build import build_task
from ecgvlm.bench.gold import Prediction, Predictions, load_gold
from ecgvlm.bench.runner import write_text
from ecgvlm.bench.score import compare, score
from ecgvlm.bench.task import load_task
from ecgvlm.files.datasets import find_records, load_ptbxl
from ecgvlm.files.image import load_image, write_image
from ecgvlm.instruct.row import Row
from ecgvlm.measure import measure
from ecgvlm.paper.layouts import Slot, layout
from ecgvlm.reader import Reader
from ecgvlm.record import LEADS, Record

FS = 500.0
MM = 1 / 25.4  # inches
OURS = "ecgvlm"  # our own renderer's clean pages, which the other looks are compared with


@dataclass(frozen=True)
class Sheet:
    """data: the picture's file. strips: what is printed, start and end in seconds of the record."""

    data: bytes
    layout: str
    strips: tuple[Slot, ...]
    order: str = "standard"


def _png(figure: Figure, dpi: float) -> bytes:
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    matplotlib.pyplot.close(figure)
    return file.getvalue()


# Other people's renderers -----------------------------------------------------------------------------------


def ecg_plot_columns(record: Record, rng: np.random.Generator) -> Sheet:
    """ecg-plot's default: two columns of ten seconds each, half a metre wide."""
    chart = ecg_plot.plot(record.signal, sample_rate=FS, title="ECG 12", lead_names=list(LEADS))
    strips = [Slot(lead, i % 6, i // 6, 0.0, record.seconds) for i, lead in enumerate(LEADS)]
    return Sheet(_png(chart.to_matplotlib()[0], 100), "6x2", tuple(strips))


def ecg_plot_rhythm(record: Record, rng: np.random.Generator) -> Sheet:
    """ecg-plot's 12-lead sheet with a rhythm strip, at times in black and white."""
    style = "bw" if rng.random() < 0.4 else None
    chart = ecg_plot.plot(
        record.signal, sample_rate=FS, lead_names=list(LEADS), layout="12lead", time_mode="sequential",
        rhythm_lead="II", style=style,
    )  # fmt: skip
    figure = chart.to_matplotlib()[0]
    return Sheet(_png(figure, 1800 / figure.get_figwidth()), "3x4+1R", layout("3x4+1R").strips(10.0))


def _pmecg(record: Record, template: str, name: str, **options) -> Sheet:
    data = (record.signal.T, list(LEADS))
    configuration = pmecg.template_factory(template, data, None)
    plotter = pmecg.ECGPlotter(**options)
    figure = plotter.plot(data, configuration=configuration, sampling_frequency=FS, show=False)
    return Sheet(_png(figure, 170), name, layout(name).strips(10.0))


def pmecg_3x4(record: Record, rng: np.random.Generator) -> Sheet:
    return _pmecg(record, "4x3+1", "3x4+1R")


def pmecg_6x2(record: Record, rng: np.random.Generator) -> Sheet:
    colour = str(rng.choice(["lightgray", "#9fc5e8", "#f4aaaa"]))
    return _pmecg(
        record, "2x6", "6x2", grid_color=colour, row_distance=2.5, show_time_axis=True,
        print_information=True, line_width=0.8,
    )  # fmt: skip


def pmecg_12x1(record: Record, rng: np.random.Generator) -> Sheet:
    return _pmecg(record, "1x12", "12x1", show_calibration=False, line_width=0.7)


# Looks drawn here only --------------------------------------------------------------------------------------


def _curve(record: Record, strip: Slot) -> tuple[np.ndarray, np.ndarray]:
    """Seconds since the strip's start and mV."""
    index = np.arange(round(strip.start * FS), round(strip.end * FS))
    return index / FS - strip.start, record.signal[LEADS.index(strip.lead), index]


def _canvas(width: float, height: float, colour: str) -> tuple[Figure, matplotlib.axes.Axes]:
    """A figure whose axes fill it and count in mm from the top left corner."""
    figure = Figure(figsize=(width * MM, height * MM), facecolor=colour)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def monitor(record: Record, rng: np.random.Generator) -> Sheet:
    """A screenshot of a dark monitor: green traces, names in boxes, faint 5-mm lines, numbers."""
    figure, axes = _canvas(300, 168, "#0b0f12")
    for x in np.arange(4.0, 262, 5):
        axes.axvline(x, color="#24313a", lw=0.5)
    for y in np.arange(3.0, 168, 5):
        axes.axhline(y, xmax=260 / 300, color="#24313a", lw=0.5)
    strips = layout("3x4").strips(10.0)
    for strip in strips:
        t, mv = _curve(record, strip)
        x0, zero = 6 + 63.5 * strip.column, 40 + 48 * strip.row
        axes.plot(x0 + 25 * t, zero - 10 * mv, color="#35e06a", lw=1.0)
        axes.text(x0 + 2, zero - 15, strip.lead, color="#7fe8ff", fontsize=9, family="DejaVu Sans Mono",
                  bbox={"facecolor": "#12242c", "edgecolor": "#2a5866", "pad": 1.5})  # fmt: skip
    for k, (text, size, colour) in enumerate(
        [("HR", 11, "#35e06a"), ("--", 26, "#35e06a"), ("SpO2", 11, "#ffe14d"), ("97", 26, "#ffe14d"),
         ("25 mm/s", 8, "#aab4ba"), ("x1", 8, "#aab4ba")]
    ):  # fmt: skip
        axes.text(266, 25 + 20 * k, text, color=colour, fontsize=size)
    return Sheet(_png(figure, 6.2 * 25.4), "3x4", strips)


def journal(record: Record, rng: np.random.Generator) -> Sheet:
    """A figure of a paper: no grid, slanted names on the right above each strip, small gaps."""
    figure, axes = _canvas(280, 150, "white")
    strips = layout("3x4").strips(10.0)
    for strip in strips:
        t, mv = _curve(record, strip)
        x0, zero = 8 + 65.5 * strip.column, 30 + 42 * strip.row
        axes.plot(x0 + 25 * t, zero - 10 * mv, color="#8b1a1a", lw=0.9)
        axes.text(
            x0 + 60, zero - 12, strip.lead, fontsize=10, family="DejaVu Serif", style="italic", ha="right"
        )
    axes.plot([8, 33], [142, 142], color="black", lw=1.2)
    axes.text(20.5, 147, "1 s", fontsize=8, family="DejaVu Serif", ha="center")
    axes.plot([270, 270], [120, 130], color="black", lw=1.2)
    axes.text(268, 126, "1 mV", fontsize=8, family="DejaVu Serif", ha="right")
    return Sheet(_png(figure, 6.5 * 25.4), "3x4", strips)


def web(record: Record, rng: np.random.Generator) -> Sheet:
    """A web viewer: light blue 5-mm squares only, orange-brown traces, names in pills."""
    figure, axes = _canvas(290, 212, "#fbfdff")
    for x in np.arange(2.0, 290, 5):
        axes.axvline(x, color="#cfe3f5", lw=0.8)
    for y in np.arange(1.0, 212, 5):
        axes.axhline(y, color="#cfe3f5", lw=0.8)
    strips = layout("12x1").strips(10.0)
    for strip in strips:
        t, mv = _curve(record, strip)
        zero = 16 + 16.2 * strip.row
        axes.plot(26 + 25 * t, zero - 10 * mv, color="#b3541e", lw=1.0)
        pill = {"facecolor": "#3b6ea5", "edgecolor": "none", "boxstyle": "round,pad=0.3"}
        axes.text(
            14, zero + 1.5, strip.lead, color="white", fontsize=8, weight="bold", ha="center", bbox=pill
        )
    return Sheet(_png(figure, 6.0 * 25.4), "12x1", strips)


def vector(record: Record, rng: np.random.Generator) -> Sheet:
    """A vector PDF: orange millimetre grid, thin blue traces, serif names left of the rows, a header."""
    mm = 72 / 25.4
    width, height = 297.0, 210.0
    file = io.BytesIO()
    page = Canvas(file, pagesize=(width * mm, height * mm))

    def line(points: np.ndarray, colour: str, lw: float) -> None:
        page.setStrokeColor(Color(*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))))
        page.setLineWidth(lw * mm)
        path = page.beginPath()
        path.moveTo(points[0, 0] * mm, (height - points[0, 1]) * mm)
        for x, y in points[1:]:
            path.lineTo(x * mm, (height - y) * mm)
        page.drawPath(path)

    for k in range(1, 283):
        colour, lw = ("#f0a878", 0.2) if k % 5 == 0 else ("#fae3d4", 0.1)
        line(np.array([[8 + k, 30], [8 + k, 204]]), colour, lw)
        if k < 175:
            line(np.array([[8, 30 + k], [291, 30 + k]]), colour, lw)
    page.setFont("Times-Roman", 11)
    page.drawString(12 * mm, (height - 14) * mm, "Cardiology outpatient clinic")
    page.drawString(12 * mm, (height - 21) * mm, "Name: N. N.    Born: 1961    Filter 0.05-150 Hz, 50 Hz")
    page.drawString(200 * mm, (height - 21) * mm, "25 mm/s   10 mm/mV")
    strips = layout("6x2+1R").strips(10.0)
    for strip in strips:
        t, mv = _curve(record, strip)
        x0, zero = 26 + (0 if strip.rhythm else 132 * strip.column), 44 + 24 * strip.row
        line(np.stack([x0 + 25 * t, zero - 10 * mv], 1), "#1f3fa0", 0.25)
        page.setFont("Times-Bold", 10)
        if strip.column == 0:
            page.drawRightString(24 * mm, (height - zero - 1) * mm, strip.lead)
        else:
            page.drawString((x0 - 6) * mm, (height - zero + 7) * mm, strip.lead)
    page.save()
    return Sheet(file.getvalue(), "6x2+1R", strips)


LOOKS: dict[str, Callable[[Record, np.random.Generator], Sheet]] = {
    look.__name__: look
    for look in (
        ecg_plot_columns,
        ecg_plot_rhythm,
        pmecg_3x4,
        pmecg_6x2,
        pmecg_12x1,
        monitor,
        journal,
        web,
        vector,
    )
}


def smooth(record: Record) -> Record:
    """The record at `FS`."""
    up = round(FS / record.fs)
    signal = resample_poly(record.signal, up, 1, axis=1, padtype="line") if up > 1 else record.signal
    return Record(np.asarray(signal, np.float32), FS, source=record.source, meta=record.meta)


@cache
def _reader() -> Reader:
    cv2.setNumThreads(1)
    return Reader(threads=1)


def one(job: tuple[str, Record, Row, int, Path | None]) -> dict:
    name, record, item, seed, pictures = job
    row: dict = {"look": name, "record": record.meta["ecg_id"]}
    if name == OURS:
        return {**row, "text": _reader().read(item.image_files()[0], item.question).answer}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sheet = LOOKS[name](smooth(record), np.random.default_rng(seed))
    record = smooth(record)
    image = load_image(sheet.data)
    if pictures:
        write_image(pictures / f"{name}_{row['record']}.png", image)
    wanted = sorted((s.lead, s.rhythm) for s in sheet.strips)
    start = time.process_time()
    answer = _reader().read(image, item.question)
    page = answer.page
    if page is None:
        assert answer.error
        return {**row, "refused": answer.error.message, "snr": [0.0] * len(wanted), "layout": False,
                "names": False, "rate": False, "text": ""}  # fmt: skip
    row["cpu_s"] = round(time.process_time() - start, 3)
    found = {(s.lead, s.rhythm): s for s in page.strips}
    values = []
    for strip in sheet.strips:
        t, mv = _curve(record, strip)
        values.append(strip_snr_db(found.get((strip.lead, strip.rhythm)), t, mv)[0])
    truth, ours = (m.heart_rate_bpm for m in (measure(record.signal, FS), page.measurements))
    return {
        **row,
        "text": answer.answer,
        "found": page.layout,
        "layout": (page.layout, page.order) == (sheet.layout, sheet.order),
        "names": page.layout == sheet.layout and sorted(found) == wanted,
        "scale": [page.mm_per_s, page.mm_per_mv],
        "snr": values,
        "quality": round(page.quality, 3),
        "rates": [truth, ours],
        "rate": truth is None or (ours is not None and abs(ours - truth) <= max(5.0, 0.05 * truth)),
    }


def _share(values: list[bool]) -> float:
    return round(float(np.mean(values)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=7)
    parser.add_argument("--pages", type=int, default=12, help="of each look")
    parser.add_argument("--look", action="append", choices=list(LOOKS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.pictures:
        args.pictures.mkdir(parents=True, exist_ok=True)
    task = load_task("code15-test")
    folder = tempfile.TemporaryDirectory()
    build_task(task, find_records(args.records, [args.fold]), Path(folder.name), ("clean",))
    items = {item.id.split("-")[0]: item for item in load_gold(Path(folder.name) / f"{task.name}.json")}
    known = {str(record.meta["ecg_id"]): record for record in load_ptbxl(args.records, folds=[args.fold])}
    rng = np.random.default_rng(args.seed)
    chosen = [list(items)[k] for k in rng.permutation(len(items))[: args.pages]]
    looks = args.look or list(LOOKS)
    jobs = [
        (look, known[key], items[key], int(rng.integers(2**31)), args.pictures)
        for look in [OURS, *looks]
        for key in chosen
    ]
    # Forked after OpenCV has drawn, its threads are gone and their locks are not.
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        rows = list(pool.map(one, jobs, chunksize=3))
    folder.cleanup()
    golds = [items[key] for key in chosen]

    def answers(look: str) -> Predictions:
        texts = {str(row["record"]): row["text"] for row in rows if row["look"] == look}
        return Predictions({items[k].id: Prediction(items[k].id, t) for k, t in texts.items()}, 0, 0)

    own = answers(OURS)
    judged = score(task, golds, own, "pulse")
    result: dict = {"fold": args.fold, "pages_each": len(chosen), "seed": args.seed}
    result |= {"own_f1": judged.figures["f1"], "own_f1_95": judged.ci95["f1"], "looks": {}}
    print(f"{OURS:18}", {"f1": judged.figures["f1"]})
    for look in looks:
        part = [row for row in rows if row["look"] == look]
        judged = score(task, golds, answers(look), "pulse")
        less = next(d for d in compare(task, golds, answers(look), own, "pulse") if d.figure == "f1")
        result["looks"][look] = {
            "f1": judged.figures["f1"],
            "f1_95": judged.ci95["f1"],
            "f1_less_own": [less.value, less.low, less.high],
            "refused": _share(["refused" in row for row in part]),
            "layout_right": _share([row["layout"] for row in part]),
            "layout_and_names_right": _share([row["names"] for row in part]),
            "speed_and_gain_right": _share([row.get("scale") == [25.0, 10.0] for row in part]),
            "snr_median_db": round(float(np.median(np.concatenate([row["snr"] for row in part]))), 2),
            "heart_rate_right": _share([row["rate"] for row in part]),
        }
        print(f"{look:18}", result["looks"][look])
    rows = [row for row in rows if row["look"] != OURS]
    for row in rows:
        if not (row["names"] and row["rate"]) or np.median(row["snr"]) < 10:
            print({k: v for k, v in row.items() if k != "snr"}, "snr", round(float(np.median(row["snr"])), 1))
    if args.out:
        result["failures"] = [row for row in rows if not (row["names"] and row["rate"])]
        write_text(args.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
