"""Pictures that look like ECG pages and are none, and ECG pages too incomplete to read: all are refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
from pages import blank, empty_grid, page

_INK = (25, 25, 30)
WIDTH, HEIGHT = 1600, 1100
_TICKERS = ["AAPL", "MSFT", "NVDA", "AMZN", "META", "GOOG", "TSLA", "AMD", "INTC", "IBM", "ORCL", "SAP"]
_TICKERS_OF_V = ["V", "AVGO", "VZ", "VF", "V", "AVB", "VTR", "VRT", "IVV", "II", "VOO", "VTI"]
_NIGHT = ["LOC", "ROC", "Chin", "C3", "C4", "O1", "O2", "ECG", "Flow", "Thor", "Abdo", "SpO2"]
_BRAIN = "Fp1-F7 F7-T3 T3-T5 T5-O1 Fp2-F8 F8-T4 T4-T6 T6-O2 Fp1-F3 F3-C3 C3-P3 P3-O1 Fp2-F4 F4-C4 Fz-Cz Cz-Pz"
NAMES = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def _text(picture: np.ndarray, text: str, x: float, y: float, size: float = 0.8, ink: tuple = _INK) -> None:
    cv2.putText(picture, text, (round(x), round(y)), cv2.FONT_HERSHEY_SIMPLEX, size, ink, 2, cv2.LINE_AA)


def _curve(picture: np.ndarray, x: np.ndarray, y: np.ndarray, ink: tuple = _INK, width: int = 2) -> None:
    points = np.stack([x, y], 1)
    cv2.polylines(picture, [np.round(points * 16).astype(np.int32)], False, ink, width, cv2.LINE_AA, 4)


def _panels(rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """x0, x1, y0, y1 of panels that fill the picture, row by row."""
    w, h = (WIDTH - 120) / columns, (HEIGHT - 120) / rows
    return [
        (round(60 + c * w), round(60 + (c + 1) * w), round(60 + r * h), round(60 + (r + 1) * h))
        for r in range(rows)
        for c in range(columns)
    ]


def _wandering(rng: np.random.Generator, n: int, height: float) -> np.ndarray:
    walk = np.cumsum(rng.normal(0, 1, n))
    walk -= np.linspace(walk[0], walk[-1], n)
    return height * walk / np.abs(walk).max()


def _charts(names: list[str], rows: int, columns: int, grid: bool, seed: int = 3) -> np.ndarray:
    """Share prices, one panel each, named in its corner."""
    rng, picture = np.random.default_rng(seed), empty_grid() if grid else blank()
    for (x0, x1, y0, y1), name in zip(_panels(rows, columns), names):
        x = np.arange(x0 + 20, x1 - 20)
        _curve(picture, x, (y0 + y1) / 2 + _wandering(rng, len(x), 0.4 * (y1 - y0)))
        _text(picture, name, x0 + 24, y0 + 26)
    return picture


def stock_charts_on_grid() -> np.ndarray:
    return _charts(_TICKERS, 3, 4, grid=True)


def stock_charts_of_v() -> np.ndarray:
    """Tickers that read like leads: V, VZ, VF, AVGO."""
    return _charts(_TICKERS_OF_V, 3, 4, grid=True)


def candles() -> np.ndarray:
    rng, picture = np.random.default_rng(8), blank()
    for x in range(80, WIDTH, 90):
        cv2.line(picture, (x, 40), (x, 1040), (228, 228, 228), 1)
    for y in range(60, HEIGHT, 60):
        cv2.line(picture, (80, y), (WIDTH - 90, y), (228, 228, 228), 1)
        _text(picture, f"{400 - y / 5:.0f}", WIDTH - 80, y, 0.6)
    price = 550 + _wandering(rng, 120, 350)
    for k, (a, b) in enumerate(pairwise(price)):
        x, colour = 90 + 12 * k, (40, 160, 90) if b < a else (210, 60, 60)
        cv2.rectangle(picture, (x, round(min(a, b))), (x + 8, round(max(a, b)) + 2), colour, -1)
        cv2.line(picture, (x + 4, round(min(a, b) - 20)), (x + 4, round(max(a, b) + 20)), colour, 2)
    return picture


def eeg() -> np.ndarray:
    """Sixteen channels of a brain's waves."""
    rng, picture = np.random.default_rng(2), empty_grid()
    x = np.arange(110, 1560)
    for row, pair in enumerate(_BRAIN.split()):
        rhythm = np.sin(x / 11 + rng.uniform(0, 6) + 0.6 * np.cumsum(rng.normal(0, 0.06, len(x))))
        y = 60 + 64 * row + 9 * rhythm * (1 + 0.6 * np.sin(x / 140 + row)) + rng.normal(0, 3, len(x))
        _curve(picture, x, y, width=1)
        _text(picture, pair, 10, 66 + 64 * row, 0.55)
    return picture


def music() -> np.ndarray:
    """Ten staves of notes."""
    rng, picture = np.random.default_rng(6), blank()
    for top in range(70, 1000, 100):
        for line in range(5):
            cv2.line(picture, (70, top + 11 * line), (1540, top + 11 * line), _INK, 1)
        for x in range(150, 1520, 46):
            y = top + int(rng.integers(-1, 9)) * 6
            cv2.ellipse(picture, (x, y), (8, 6), -20, 0, 360, _INK, -1, cv2.LINE_AA)
            cv2.line(picture, (x + 7, y), (x + 7, y - 38), _INK, 2)
            if x % 4 == 0:
                cv2.line(picture, (x + 7, y - 38), (x + 53, y - 38), _INK, 5)
        cv2.line(picture, (70, top), (70, top + 44), _INK, 3)
    return picture


def spreadsheet(cells: Callable[[int, int], str] | None = None) -> np.ndarray:
    rng, picture = np.random.default_rng(1), blank()
    for row in range(28):
        cv2.line(picture, (0, 38 * row), (WIDTH, 38 * row), (200, 205, 210), 1)
        for column in range(11):
            text = cells(row, column) if cells else f"{rng.integers(10, 9999)}.{rng.integers(10, 99)}"
            _text(picture, text, 12 + 145 * column, 38 * row + 27, 0.6)
    for column in range(12):
        cv2.line(picture, (145 * column, 0), (145 * column, HEIGHT), (200, 205, 210), 1)
    return picture


def table_of_leads() -> np.ndarray:
    """A spreadsheet whose first columns are the names of leads."""
    return spreadsheet(
        lambda row, column: NAMES[(row + 4 * column) % 12] if column < 6 else f"{row * column}"
    )


def seismogram(names: bool = True) -> np.ndarray:
    """Twelve stations that hear an earthquake one after the other."""
    rng, picture = np.random.default_rng(9), empty_grid()
    x = np.arange(140, 1560)
    for row in range(12):
        start, y = 360 + 40 * row, 80 + 82 * row
        shock = np.where(x > start, np.exp(-(x - start) / 260.0), 0.0) * rng.normal(0, 26, len(x))
        _curve(picture, x, y + shock + rng.normal(0, 1.5, len(x)), width=1)
        if names:
            _text(picture, f"ST{row:02d}.BHZ", 8, y + 6, 0.55)
    return picture


def sine_rows() -> np.ndarray:
    """Twelve rows of sine waves without names on ECG paper."""
    picture, x = empty_grid(), np.arange(60, 1560)
    for row in range(12):
        _curve(picture, x, 70 + 86 * row + 26 * np.sin(x / (9 + 2 * row)))
    return picture


def sine_panels() -> np.ndarray:
    """Twelve sine waves in the places of a 3x4 page, without names."""
    picture = empty_grid()
    for k, (x0, x1, y0, y1) in enumerate(_panels(3, 4)):
        x = np.arange(x0, x1)
        _curve(picture, x, (y0 + y1) / 2 + 60 * np.sin(x / (10 + k)))
    return picture


def handwritten_table() -> np.ndarray:
    rng, picture = np.random.default_rng(7), np.full((HEIGHT, WIDTH, 3), (246, 242, 228), np.uint8)
    for y in range(50, HEIGHT, 48):
        cv2.line(picture, (0, y), (WIDTH, y + 3), (170, 190, 220), 2)
        for x in range(60, 1500, 330):
            n = int(rng.integers(4, 9))
            for letter in range(n):
                turn = np.linspace(0, 2 * np.pi * rng.uniform(0.6, 1.3), 14) + rng.uniform(0, 6)
                size, at = rng.uniform(5, 11), x + 24 * letter
                _curve(
                    picture, at + size * np.cos(turn), y - 12 + 1.3 * size * np.sin(turn), (30, 40, 110), 3
                )
    for x in (45, 370, 700, 1030, 1360):
        cv2.line(picture, (x, 0), (x + 6, HEIGHT), (200, 120, 120), 2)
    return picture


def form_without_traces() -> np.ndarray:
    """ECG paper with the twelve names in their places and no trace: an empty form."""
    picture = empty_grid()
    for k, (x0, _, y0, _) in enumerate(_panels(3, 4)):
        _text(picture, NAMES[(k % 4) * 3 + k // 4], x0 + 10, y0 + 60, 0.9)
    return picture


def outline() -> np.ndarray:
    """A document with chapters I to VI and notes V1 to V6."""
    picture = blank()
    for row, name in enumerate([*("I", "II", "III", "IV", "V", "VI"), *(f"V{k}" for k in range(1, 7))]):
        _text(picture, f"{name}.", 120, 100 + 80 * row, 1.0)
        _text(picture, "On the theory of structure, with examples and remarks", 240, 100 + 80 * row, 1.0)
    return picture


def oscilloscope() -> np.ndarray:
    """Two channels on a dark screen with a graticule."""
    picture = np.full((HEIGHT, WIDTH, 3), (8, 14, 20), np.uint8)
    for step in range(0, WIDTH, 100):
        cv2.line(picture, (step, 0), (step, HEIGHT), (50, 62, 66), 1)
        cv2.line(picture, (0, step), (WIDTH, step), (50, 62, 66), 1)
    x = np.arange(WIDTH)
    _curve(picture, x, 330 + 120 * np.sign(np.sin(x / 40)), (240, 220, 60), 3)
    _curve(picture, x, 760 + 150 * np.sin(x / 70) * np.exp(-x / 1400), (70, 220, 240), 3)
    _text(picture, "CH1 2.00V  CH2 500mV  M 10.0ms  V1 V2", 40, 1060, 0.9, (220, 220, 220))
    return picture


def cardiotocogram() -> np.ndarray:
    """A baby's heart rate above its mother's contractions, on squared paper."""
    rng, picture = np.random.default_rng(5), empty_grid()
    x = np.arange(20, 1580)
    _curve(picture, x, 330 + _wandering(rng, len(x), 90) + rng.normal(0, 5, len(x)))
    _curve(picture, x, 900 - 130 * np.maximum(0, np.sin(x / 120)) ** 3)
    for k, rate in enumerate(range(200, 60, -20)):
        _text(picture, str(rate), 700, 90 + 70 * k, 0.6)
    return picture


def bar_charts() -> np.ndarray:
    rng, picture = np.random.default_rng(11), blank()
    for (x0, _, _, y1), name in zip(_panels(3, 4), NAMES):
        for k in range(9):
            cv2.rectangle(
                picture,
                (x0 + 20 + 36 * k, y1 - int(rng.integers(30, 240))),
                (x0 + 46 + 36 * k, y1 - 30),
                (70, 110, 180),
                -1,
            )
        _text(picture, f"Region {name}", x0 + 20, y1 - 4, 0.7)
    return picture


def crossword() -> np.ndarray:
    rng, picture = np.random.default_rng(12), blank()
    for row in range(18):
        for column in range(26):
            x, y = 40 + 58 * column, 30 + 58 * row
            cv2.rectangle(picture, (x, y), (x + 58, y + 58), _INK, -1 if rng.random() < 0.22 else 2)
            _text(picture, "VIARFL"[int(rng.integers(6))], x + 18, y + 42, 1.0)
    return picture


def polysomnogram() -> np.ndarray:
    """Channels of a night's sleep: eyes, chin, breath, oxygen and one ECG."""
    rng, picture = np.random.default_rng(13), blank()
    x = np.arange(150, 1560)
    for row, name in enumerate(_NIGHT):
        y = 80 + 82 * row
        wave = 20 * np.sin(x / (60 if name in ("Flow", "Thor", "Abdo") else 9)) + rng.normal(0, 6, len(x))
        if name == "ECG":
            wave = -34 * (((x - 150) % 95) < 5) + rng.normal(0, 1, len(x))
        _curve(picture, x, y + wave, width=1)
        _text(picture, name, 20, y + 6, 0.7)
    return picture


def monitor_strip() -> np.ndarray:
    """Three leads of a monitor: I, II and III, nothing else."""
    whole = page(layout="12x1")
    boxes = [trace.box for trace in whole.truth.traces if trace.lead in ("I", "II", "III")]
    top = min(box[:, 1].min() for box in boxes)
    bottom = max(box[:, 1].max() for box in boxes)
    return np.ascontiguousarray(whole.image[max(0, int(top)) : int(bottom)])


def half_page() -> np.ndarray:
    """Only the upper third of a 3x4 page: a row of four leads."""
    whole = page()
    boxes = {trace.lead: trace.box for trace in whole.truth.traces if not trace.rhythm}
    return np.ascontiguousarray(whole.image[: int(boxes["I"][:, 1].max())])


def brick_wall() -> np.ndarray:
    rng, picture = np.random.default_rng(14), np.full((HEIGHT, WIDTH, 3), (150, 145, 140), np.uint8)
    for row in range(22):
        for column in range(-1, 12):
            x, y = 140 * column + 70 * (row % 2), 50 * row
            cv2.rectangle(
                picture,
                (x + 3, y + 3),
                (x + 136, y + 46),
                (170 + int(rng.normal(0, 14)), 80, 60),
                -1,
            )
    return picture


LOOKALIKES = {
    f.__name__: f
    for f in (
        stock_charts_on_grid, stock_charts_of_v, candles, eeg, music, spreadsheet, table_of_leads, seismogram,
        sine_rows, sine_panels, handwritten_table, form_without_traces, outline, oscilloscope, cardiotocogram,
        bar_charts, crossword, polysomnogram, monitor_strip, half_page, brick_wall,
    )
}  # fmt: skip
