"""ECG pages as PDFs that hold their traces as lines, drawn in the ways in which programs draw them."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas

from ecgvlm.record import LEADS, Record

MINUS = "\N{MINUS SIGN}"
A4 = (297.0, 210.0)  # mm
LIMB, CHEST = LEADS[:6], LEADS[6:]


@dataclass(frozen=True)
class Sheet:
    """How a page is drawn. columns: the leads of each, from top to bottom; rhythm: leads below them.

    pen: how a trace is drawn. whole_rows: whether a row is one line through all columns. scale: of all that
    is drawn, against millimetres. turn: of the page, in degrees; sideways: whether what stands on it is
    turned. below: mm from a trace down to its name. words: mm from the left, from the top, and text.
    """

    columns: Sequence[Sequence[str]] = (LEADS[:3], LEADS[3:6], LEADS[6:9], LEADS[9:])
    rhythm: Sequence[str] = ("II",)
    pen: str = "path"
    speed: float = 25.0
    gain: float = 10.0
    grid: Sequence[float] = (1.0, 5.0)
    names: str = "text"
    note: str | None = None
    pulse: bool = True
    whole_rows: bool = False
    together: bool = False
    scale: float = 1.0
    turn: int = 0
    sideways: bool = False
    form: bool = False
    below: float = -6.0
    words: Sequence[tuple[float, float, str]] = field(default=())


def drawn_pdf(record: Record, *sheets: Sheet) -> bytes:
    """A page for each sheet."""
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(A4[0] * mm, A4[1] * mm))
    for sheet in sheets:
        _draw_page(canvas, record, sheet)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def _draw_page(canvas: Canvas, record: Record, sheet: Sheet) -> None:
    width, height = A4
    if sheet.turn or sheet.sideways:
        # Reportlab takes the size of a page as it is seen, turned.
        canvas.setPageSize((width * mm, height * mm) if sheet.turn else (height * mm, width * mm))
        # What stands on the page is turned against the clock; a rotation of the page sets it upright again.
        canvas.translate(height * mm, 0)
        canvas.rotate(90)
        if sheet.turn:
            canvas.setPageRotation(sheet.turn)
    else:
        canvas.setPageSize((width * mm, height * mm))
    canvas.scale(mm * sheet.scale, mm * sheet.scale)
    if sheet.form:
        canvas.beginForm("ecg")
    _draw_ecg(canvas, record, sheet)
    if sheet.form:
        canvas.endForm()
        canvas.doForm("ecg")


def _draw_ecg(canvas: Canvas, record: Record, sheet: Sheet) -> None:
    width, height = A4
    for spacing, shade in zip(sheet.grid, ((1, 0.8, 0.8), (1, 0.6, 0.6))):
        canvas.setStrokeColorRGB(*shade)
        canvas.setLineWidth(0.1)
        for x in np.arange(10, width - 9.9, spacing):
            canvas.line(x, 15, x, height - 25)
        for y in np.arange(15, height - 24.9, spacing):
            canvas.line(10, y, width - 10, y)
    canvas.setStrokeColorRGB(0, 0, 0)
    canvas.setFillColorRGB(0, 0, 0)
    canvas.rect(8, 8, width - 16, height - 16, fill=0)  # a frame
    canvas.setFont("Helvetica", 3)
    note = f"{sheet.speed:g} mm/s  {sheet.gain:g} mm/mV" if sheet.note is None else sheet.note
    canvas.drawString(20, 10, note)
    for x, y, text in sheet.words:
        canvas.drawString(x, height - y, text)
    seconds = 10.0 if sheet.speed <= 25 else 5.0
    rows = max(map(len, sheet.columns))
    top, bottom = height - 45, 25
    pitch = (top - bottom) / max(1, rows + len(sheet.rhythm) - 1)
    left, column = 25.0, seconds * sheet.speed / len(sheet.columns)
    canvas.setLineWidth(0.25)
    for row in range(rows):
        y, run = top - row * pitch, []
        for k, leads in enumerate(sheet.columns):
            first = 0.0 if sheet.together else k * seconds / len(sheet.columns)
            curve = _curve(record, leads[row], first, seconds / len(sheet.columns), sheet)
            curve += np.array([left + k * column, y])
            _name(canvas, sheet, leads[row], left + k * column + 1, y - sheet.below)
            run.append(curve)
        for curve in [np.concatenate(run)] if sheet.whole_rows else run:
            PENS[sheet.pen](canvas, curve)
        if sheet.pulse:
            _pulse(canvas, left - 12, y, sheet)
    for i, lead in enumerate(sheet.rhythm):
        y = top - (rows + i) * pitch
        PENS[sheet.pen](canvas, _curve(record, lead, 0, seconds, sheet) + np.array([left, y]))
        _name(canvas, sheet, lead, left + 1, y - sheet.below)


def _curve(record: Record, lead: str, first: float, seconds: float, sheet: Sheet) -> np.ndarray:
    """[n, 2] mm from the strip's beginning and its zero line."""
    a, n = round(first * record.fs), round(seconds * record.fs)
    row = record.signal[LEADS.index(lead.lstrip(MINUS)), a : a + n]
    sign = -1 if lead.startswith(MINUS) else 1
    return np.stack([np.arange(len(row)) / record.fs * sheet.speed, sign * row * sheet.gain], 1)


def _name(canvas: Canvas, sheet: Sheet, lead: str, x: float, y: float) -> None:
    if sheet.names == "text":
        canvas.drawString(x, y, lead)
    elif sheet.names == "lowered":
        head, tail = (lead[:-1], lead[-1]) if lead[0] in "aV" else (lead, "")
        canvas.drawString(x, y, head)
        canvas.drawString(x + canvas.stringWidth(head), y - 0.8, tail)


def _pulse(canvas: Canvas, x: float, y: float, sheet: Sheet) -> None:
    wide = 0.2 * sheet.speed
    xs, ys = np.array([0, 2, 2, 2 + wide, 2 + wide, 4 + wide]), np.array([0, 0, 1, 1, 0, 0]) * sheet.gain
    _path(canvas, np.stack([x + xs, y + ys], 1))


def _path(canvas: Canvas, curve: np.ndarray) -> None:
    path = canvas.beginPath()
    path.moveTo(*curve[0])
    for point in curve[1:]:
        path.lineTo(*point)
    canvas.drawPath(path)


def _segments(canvas: Canvas, curve: np.ndarray) -> None:
    for a, b in pairwise(curve):
        canvas.line(*a, *b)


def _shuffled(canvas: Canvas, curve: np.ndarray) -> None:
    """Pieces of a few points each, in no order, some drawn backwards."""
    pieces = [curve[k : k + 8] for k in range(0, len(curve) - 1, 7)]
    for k in np.random.default_rng(0).permutation(len(pieces)):
        _path(canvas, pieces[k][::-1] if k % 3 == 0 else pieces[k])


def _curves(canvas: Canvas, curve: np.ndarray) -> None:
    path = canvas.beginPath()
    path.moveTo(*curve[0])
    for a, b in pairwise(curve):
        path.curveTo(*(a + (b - a) / 3), *(b - (b - a) / 3), *b)
    canvas.drawPath(path)


def _outline(canvas: Canvas, curve: np.ndarray) -> None:
    around = np.concatenate([curve + np.array([0, 0.1]), curve[::-1] - np.array([0, 0.1])])
    path = canvas.beginPath()
    path.moveTo(*around[0])
    for point in around[1:]:
        path.lineTo(*point)
    path.close()
    canvas.drawPath(path, stroke=0, fill=1)


PENS: dict[str, Callable[[Canvas, np.ndarray], None]] = {
    "path": _path, "segments": _segments, "shuffled": _shuffled, "curves": _curves, "outline": _outline,
}  # fmt: skip
