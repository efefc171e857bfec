"""Draws a record as a page picture together with its exact truth.

Lengths are millimetres until the last step. The picture is built from three single-channel coverage masks
(grid, print, trace) and one colour ramp each, so a page of 1,600 px takes some tens of milliseconds.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache

import cv2
import numpy as np

from ecgvlm import filters
from ecgvlm.errors import EcgError
from ecgvlm.paper.layouts import FURTHER, Slot
from ecgvlm.paper.style import NAME_ROOM, Colour, PageStyle
from ecgvlm.paper.text import HEADERS, SPELLINGS, Rule, covered, facts, text_mask
from ecgvlm.paper.truth import PageTruth, Rendering, TraceTruth
from ecgvlm.record import LEADS, Record

_SCALE_NOTE = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?) ?(mm/s|mm/mV)")
_FINE = 4  # traces are drawn this many times larger, then averaged down: line widths in quarter pixels
_SHIFT = 6  # binary places of cv2's fixed-point coordinates
_FAR = 20_000  # px; lines beyond are cut there, so that fixed-point numbers do not overflow
_POINTS_PER_PX = 1.25
_SMALLEST, _LARGEST = 200, 8000  # px of a page side


def render(record: Record, style: PageStyle, rng: np.random.Generator | int = 0) -> Rendering:
    """Print `record` on a page that looks like `style`.

    rng: a generator or a seed; it draws the made-up patient of the header only, so the ECG depends on record
    and style. Gaps (NaN) of the record break the line. The rows hold at most the record's own duration.
    Raises EcgError where the record or the page cannot be drawn.
    """
    rng = np.random.default_rng(rng)
    scale = style.px_per_mm
    width, height = round(style.width * scale), round(style.height * scale)
    if not (min(width, height) >= _SMALLEST and max(width, height) <= _LARGEST):
        sides = f"sides must be {_SMALLEST} to {_LARGEST} px"
        raise EcgError("unsupported_format", f"page of {width} x {height} px: {sides}")
    seconds = min(style.seconds, record.seconds)
    if seconds <= 0:
        source = record.source or "record"
        raise EcgError("unsupported_format", f"{source}: no room for one second of ECG on this page")
    start = style.start * max(0.0, record.seconds - seconds)
    step, fine = _resampled(record, style.mm_per_s * scale * _POINTS_PER_PX)

    page = _Page(style, width, height)
    strips = style.layout_.strips(seconds, style.order, style.rhythm)
    traces = tuple(page.strip(strip, fine, step, start) for strip in strips)
    pulses = page.pulses(seconds)
    page.separators(strips)
    fact = facts(record, style.width, style.height, style.mm_per_s, style.mm_per_mv, style.layout, rng)
    for item in HEADERS[style.template](fact):
        if isinstance(item, Rule):
            page.line(item.x0, item.y0, item.x1, item.y1, item.width)
        else:
            page.text(item.x, item.y, item.string, item.size * style.text_scale, item.align)

    image = _grid(style, width, height).copy()
    _blend(image, page.print, style.ink)
    _blend(image, cv2.resize(page.trace, (width, height), interpolation=cv2.INTER_AREA), style.trace)
    page.labels(image)
    truth = PageTruth(
        layout=style.layout,
        order=style.order,
        mm_per_s=style.mm_per_s,
        mm_per_mv=style.mm_per_mv,
        px_per_mm=scale,
        mesh=_mesh(style),
        traces=traces,
        pulses=pulses,
        notes=tuple(page.notes),
        note_boxes=np.array(page.note_boxes).reshape(-1, 4, 2),
        ruled=style.grid != "none",
    )
    return Rendering(image, truth)


def _resampled(record: Record, rate: float) -> tuple[float, np.ndarray]:
    """The record at about `rate` points per second: seconds per point, [12, m] mV.

    Slower records are interpolated band-limited (polyphase FIR through the samples), faster ones are thinned
    to points of their own. Gaps stay gaps.
    """
    signal = np.asarray(record.signal, np.float32)
    up = math.ceil(rate / record.fs - 0.2)
    if up < 2:
        stride = max(1, int(record.fs / rate))
        return stride / record.fs, signal[:, ::stride]
    gaps = ~np.isfinite(signal)
    if gaps.any():
        where = np.arange(signal.shape[1])
        signal = signal.copy()
        for row, gap in zip(signal, gaps):
            row[gap] = np.interp(where[gap], where[~gap], row[~gap]) if not gap.all() else 0.0
    from scipy.signal import resample_poly  # takes longer to import than a page to read

    n = signal.shape[1]
    fine = resample_poly(signal, up, 1, axis=1, padtype="line")[:, : (n - 1) * up + 1]
    if gaps.any():
        near = np.arange(fine.shape[1]) / up
        fine[gaps[:, np.floor(near).astype(int)] | gaps[:, np.ceil(near).astype(int)]] = np.nan
    return 1 / (up * record.fs), fine


class _Page:
    """The ink of one page. A point at x mm lies at x * px_per_mm - 0.5 px: centres of pixels are whole."""

    def __init__(self, style: PageStyle, width: int, height: int):
        self.style = style
        self.scale = style.px_per_mm
        self.notes: list[str] = []
        self.note_boxes: list[np.ndarray] = []
        self.plates: list[tuple[int, int, np.ndarray]] = []  # x, y and ink of names that stand on plates
        self.print = np.zeros((height, width), np.uint8)
        self.trace = np.zeros((height * _FINE, width * _FINE), np.uint8)

    def px(self, x, y) -> np.ndarray:
        """mm -> [..., 2] px."""
        return np.stack(np.broadcast_arrays(x, y), -1) * self.scale - 0.5

    def box(self, x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        return self.px([x0, x1, x1, x0], [y0, y0, y1, y1])

    def zero(self, row: int) -> float:
        """y of a row's zero line, mm."""
        return self.style.header + (row + 0.5) * self.style.row_mm + self.style.offset

    def draw(self, px: np.ndarray, mm: float) -> None:
        """A polyline on the fine trace mask, [n, 2] px, NaN breaks it."""
        # OpenCV's anti-aliased lines of odd thickness n are n + 2.7 wide, its thinnest good ones (n = 2) 3.7.
        thickness = max(2, 2 * round((mm * self.scale * _FINE - 3.7) / 2) + 1)
        fixed = ((np.clip(px, -_FAR, _FAR) + 0.5) * _FINE - 0.5) * (1 << _SHIFT)
        ink = np.isfinite(fixed).all(1)
        lines = [np.round(fixed[a:b]).astype(np.int32) for a, b in filters.runs(ink)]
        cv2.polylines(self.trace, lines, False, 255, thickness, cv2.LINE_AA, _SHIFT)

    def strip(self, strip: Slot, fine: np.ndarray, step: float, start: float) -> TraceTruth:
        style = self.style
        first = math.ceil((start + strip.start) / step - 1e-6)
        last = math.floor((start + strip.end) / step + 1e-6)
        index = np.arange(first, min(last + 1, fine.shape[1]))
        t = index * step
        made_of = FURTHER.get(strip.lead, {strip.lead: 1.0})
        mv = np.sum([part * fine[LEADS.index(lead), index] for lead, part in made_of.items()], axis=0)
        left = style.left + strip.start * style.mm_per_s + strip.column * style.gap
        right = left + (strip.end - strip.start) * style.mm_per_s
        zero = self.zero(strip.row)
        sign = -1.0 if strip.inverted else 1.0
        xy = self.px(left + (t - start - strip.start) * style.mm_per_s, zero - sign * mv * style.mm_per_mv)
        xy[~np.isfinite(xy).all(1)] = np.nan
        self.draw(xy, style.trace_mm)
        middle = zero - style.offset
        name = ("-" if strip.inverted else "") + strip.lead
        return TraceTruth(
            lead=strip.lead,
            rhythm=strip.rhythm,
            t=t,
            mv=mv,
            xy=xy,
            box=self.box(left, middle - style.row_mm / 2, right, middle + style.row_mm / 2),
            name_box=self.name(SPELLINGS[style.spelling](name), right if style.names_after else left, zero)
            if style.named
            else None,
            inverted=strip.inverted,
        )

    def name(self, name: str, at: float, zero: float) -> np.ndarray:
        style = self.style
        mask, _, _ = text_mask(name, style.font, _size(style.name_size * self.scale))
        h, w = mask.shape
        x = round((at + style.name_at[0]) * self.scale) - (w if style.name_at[0] < 0 else 0)
        y = round((zero - style.name_at[1]) * self.scale) - h
        x, y = max(1, x), max(1, y)
        if style.plate is None:
            _stamp(self.print, mask, x, y)
        else:
            self.plates.append((x, y, mask))
        return np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]) - 0.5

    def labels(self, image: np.ndarray) -> None:
        """The names that stand on plates, over all else."""
        plate = self.style.plate
        if plate is None:
            return
        outer, inner, names = (np.zeros_like(self.print) for _ in range(3))
        rim = max(1.0, 0.3 * self.scale) if plate.edge is not None else 0.0
        pad = max(1, round(plate.pad * self.scale))
        for x, y, mask in self.plates:
            h, w = mask.shape[0] + 2 * pad, mask.shape[1] + 4 * pad
            _stamp(outer, _rounded(h, w, plate.round), x - 2 * pad, y - pad)
            _stamp(inner, _rounded(h, w, plate.round, rim), x - 2 * pad, y - pad)
            _stamp(names, mask, x, y)
        fill = plate.fill or self.style.paper
        for layer, colour in ((outer, plate.edge or fill), (inner, fill), (names, plate.ink)):
            _blend(image, layer, colour)

    def pulses(self, seconds: float) -> np.ndarray:
        """A 1 mV calibration pulse beside every row; their boxes [k, 4, 2] px."""
        style = self.style
        if style.pulses == "none":
            return np.zeros((0, 4, 2))
        foot = 1.2
        columns = style.layout_.columns
        end = style.left + seconds * style.mm_per_s + style.gap * (columns - 1)
        names = NAME_ROOM if style.name_at[0] < 0 else 0.0
        top_width = style.pulse_mm * style.mm_per_s / 25.0
        x = style.left - 1.5 - names - top_width - 2 * foot if style.pulses == "left" else end + 0.3
        boxes = []
        for row in range(style.layout_.rows):
            y = self.zero(row)
            top = y - style.mm_per_mv
            a, b = x + foot, x + foot + top_width
            self.draw(self.px([x, a, a, b, b, b + foot], [y, y, top, top, y, y]), style.trace_mm)
            boxes.append(self.box(a, top, b, y))
        return np.array(boxes)

    def separators(self, strips: tuple[Slot, ...]) -> None:
        style = self.style
        if style.separators == "none":
            return
        last = max(strip.row for strip in strips if not strip.rhythm)
        for strip in strips:
            if strip.column == 0:
                continue
            x = style.left + strip.start * style.mm_per_s + (strip.column - 0.5) * style.gap
            zero = self.zero(strip.row)
            if style.separators == "bar":
                self.line(x, zero - 3.5, x, zero + 3.5, 0.75)
            elif style.separators == "tick":
                self.line(x, zero - 4.0, x, zero - 1.5, 0.25)
                self.line(x, zero + 1.5, x, zero + 4.0, 0.25)
            elif strip.row == 0:
                self.line(x, zero - 5.5, x, self.zero(last) + 5.5, 0.35)

    def line(self, x0: float, y0: float, x1: float, y1: float, mm: float) -> None:
        """A horizontal or vertical line, its edges anti-aliased."""
        n = self.print.shape
        half = mm / 2
        rows = _cover(n[0], (y0 - half) * self.scale, (y1 + half) * self.scale)
        cols = _cover(n[1], (x0 - half) * self.scale, (x1 + half) * self.scale)
        (top, bottom), (left, right) = _span(rows), _span(cols)
        part = self.print[top:bottom, left:right]
        np.maximum(part, (rows[top:bottom, None] * cols[None, left:right] * 255).astype(np.uint8), out=part)

    def text(self, x: float, y: float, string: str, size: float, align: str) -> None:
        if not string.strip():
            return
        mask, dx, dy = text_mask(string, self.style.font, _size(size * self.scale))
        if align == "right":
            dx -= mask.shape[1]
        left, top = round(x * self.scale) + dx, round(y * self.scale) + dy
        _stamp(self.print, mask, left, top)
        for note in _SCALE_NOTE.finditer(string):
            to_end, alone = (
                text_mask(part, self.style.font, _size(size * self.scale))[0].shape[1]
                for part in (string[: note.end()], note.group())
            )
            a, b, h = left + to_end - alone, left + to_end, mask.shape[0]
            self.notes.append(f"{note[1]} {note[2]}")
            self.note_boxes.append(np.array([[a, top], [b, top], [b, top + h], [a, top + h]]) - 0.5)


def _size(px: float) -> float:
    return max(6.0, round(px * 2) / 2)


def _cover(n: int, start: float, end: float) -> np.ndarray:
    """Share of each of n pixels that lies between start and end (pixel edges are whole here): [n] 0..1."""
    edge = np.clip(np.arange(n + 1), start, max(end, start + 0.6))
    return np.diff(edge)


def _span(cover: np.ndarray) -> tuple[int, int]:
    at = np.flatnonzero(cover)
    return (int(at[0]), int(at[-1]) + 1) if at.size else (0, 0)


def _stamp(page: np.ndarray, mask: np.ndarray, x: int, y: int) -> None:
    """Darken `page` by `mask` with its top left pixel at (x, y); what lies outside is cut."""
    part, ink = covered(page, mask, x, y)
    np.maximum(part, ink, out=part)


def _rounded(h: int, w: int, round_: float, inset: float = 0.0) -> np.ndarray:
    """Cover [h, w] uint8 of a box with rounded corners, so many px within its edges. round_: 1 of a pill."""
    radius = max(0.5, round_ * h / 2 - inset)
    y, x = np.ogrid[:h, :w]
    across = np.abs(x - (w - 1) / 2) - (w / 2 - inset - radius)
    down = np.abs(y - (h - 1) / 2) - (h / 2 - inset - radius)
    beyond = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) + np.minimum(np.maximum(across, down), 0)
    return (255 * np.clip(radius + 0.5 - beyond, 0, 1)).astype(np.uint8)


def _blend(image: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """Paint `colour` on the [H, W, 3] image where the [H, W] mask has ink, in place."""
    at = np.flatnonzero(mask != 0)
    flat = image.reshape(-1, 3)
    cover = mask.reshape(-1)[at].astype(np.uint16)[:, None]
    old = flat[at]
    flat[at] = (old * (255 - cover) + np.array(colour, np.uint16) * cover + 127) // 255


def _profile(n: int, scale: float, at: float, pitch: float, mm: float, snap: bool) -> np.ndarray:
    """Share of each of n pixels that lines every `pitch` mm cover, one of them at `at` mm: [n] 0..1."""
    centre = np.arange(n) + 0.5
    k = np.round((centre / scale - at) / pitch)
    line = (at + k * pitch) * scale
    width = max(mm * scale, 0.6)
    if snap:
        line, width = np.floor(line) + 0.5, max(1.0, round(width))
    return np.clip(width / 2 + 0.5 - np.abs(centre - line), 0, min(1.0, width))


@lru_cache(maxsize=2)
def _grid(style: PageStyle, width: int, height: int) -> np.ndarray:
    """The empty paper with its grid, [H, W, 3] uint8 (shared: copy before drawing)."""
    if style.grid == "none":
        return np.full((height, width, 3), style.paper, np.uint8)

    def lines(pitch: float, mm: float, strength: float) -> tuple[np.ndarray, np.ndarray]:
        return tuple(
            _profile(n, style.px_per_mm, at, pitch, mm, style.snap) * strength
            for n, at in zip((width, height), style.grid_at)
        )  # type: ignore[return-value]

    # One channel holds both colours: levels up to 127 run from paper to minor, then on to major.
    def outer(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        if style.grid == "dot":
            return (y[:, None].astype(np.float32) * x[None].astype(np.float32)).astype(np.uint8)
        return np.maximum(y[:, None].astype(np.uint8), x[None].astype(np.uint8))

    root = 255**0.5
    if style.grid == "dot":
        fine_x, fine_y = lines(1, style.minor_mm, 127**0.5)
        thick_x, thick_y = lines(5, style.major_mm, root)
        dot_x, dot_y = lines(0.5, style.major_mm, root)
        level = outer(fine_y, fine_x)
        cv2.max(level, outer(thick_y, dot_x), dst=level)
        cv2.max(level, outer(dot_y, thick_x), dst=level)
    else:
        fine_x, fine_y = lines(1, style.minor_mm, 127)
        thick_x, thick_y = lines(5, style.major_mm, 255)
        level = outer(np.maximum(fine_y, thick_y), np.maximum(fine_x, thick_x))
    if style.grid_box is not None:
        x0, y0, x1, y1 = np.round(np.array(style.grid_box) * style.px_per_mm).astype(int)
        inside = np.zeros_like(level)
        inside[max(0, y0) : y1, max(0, x0) : x1] = level[max(0, y0) : y1, max(0, x0) : x1]
        level = inside
    ramp = np.array([style.paper, style.minor, style.major], float)
    table = np.stack([np.interp(np.arange(256), [0, 127, 255], ramp[:, c]) for c in range(3)], -1)
    image = cv2.applyColorMap(level, np.round(table).astype(np.uint8)[:, None, :])
    if style.grid_box is not None and style.frame:
        thickness = max(1, round(style.frame * style.px_per_mm))
        cv2.rectangle(image, (x0, y0), (x1, y1), style.frame_colour, thickness)
    return image


def _mesh(style: PageStyle) -> np.ndarray:
    """Where the crossings of the 5-mm lines lie, [rows, cols, 2] px."""
    x0, y0 = (at % 5 for at in style.grid_at)
    x = np.arange(x0, style.width, 5) * style.px_per_mm - 0.5
    y = np.arange(y0, style.height, 5) * style.px_per_mm - 0.5
    return np.stack(np.meshgrid(x, y), -1)
