"""Pictures that are no ECG, each unlike the next, for training: what reads pages must see nothing on them.

Charts, recordings of other things, spectra, tables, text, maps, scores, plans, scribbles, textures and empty
forms, some of them on ECG paper, some with words that are leads' names.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ecgvlm.errors import UsageError
from ecgvlm.paper.degrade import PAGE_KINDS, degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.screen import against, mixed, screen_colour, vivid, write
from ecgvlm.paper.style import Colour, random_style
from ecgvlm.paper.text import all_faces
from ecgvlm.paper.truth import PageTruth, Rendering
from ecgvlm.record import LEADS, Record

_KINDS = (0.4, 0.35, 0.25)  # of each of `PAGE_KINDS`
_LEADS_AS_WORDS = 0.25  # share of pictures whose words are names of leads


def other_picture(
    rng: np.random.Generator | int, what: str | None = None, kind: str | None = None
) -> Rendering:
    """A picture of something else, with a truth without any trace. what: one of `OTHERS`, kind: of
    `PAGE_KINDS`; drawn where None.

    Raises UsageError for another one.
    """
    rng = np.random.default_rng(rng)
    what = what or str(rng.choice(list(OTHERS)))
    if what not in OTHERS:
        raise UsageError(f"{what!r} is unknown; choose from {', '.join(OTHERS)}")
    page = OTHERS[what](rng)
    return degrade(page, kind or str(rng.choice(PAGE_KINDS, p=_KINDS)), rng)


@dataclass
class _Sheet:
    """A picture in the making. image: [h, w, 3] uint8. scale: px per mm. words: what is written on it."""

    image: np.ndarray
    scale: float
    rng: np.random.Generator
    paper: Colour
    ink: Colour
    font: str
    words: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        return self.image.shape[1], self.image.shape[0]

    def curve(self, x: np.ndarray, y: np.ndarray, colour: Colour | None = None, width: float = 0.35) -> None:
        points = np.round(np.clip(np.stack([x, y], 1), -2e4, 2e4) * 16).astype(np.int32)
        thick = max(1, round(width * self.scale))
        cv2.polylines(self.image, [points], False, colour or self.ink, thick, cv2.LINE_AA, 4)

    def line(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour | None = None, width=0.2
    ) -> None:
        self.curve(np.array([x0, x1]), np.array([y0, y1]), colour, width)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, filled: bool = True) -> None:
        ends = (round(x0), round(y0)), (round(x1), round(y1))
        cv2.rectangle(self.image, *ends, colour, -1 if filled else max(1, round(0.25 * self.scale)))

    def say(
        self, x: float, y: float, mm: float, text: str | None = None, colour: Colour | None = None
    ) -> None:
        word = self.word() if text is None else text
        write(self.image, word, round(x), round(y), mm * self.scale, colour or self.ink, self.font)

    def word(self) -> str:
        return str(self.rng.choice(self.words)) if self.words else _word(self.rng)

    def grid(self) -> None:
        """Lines every so many mm, as on squared paper, under graphs, on screens and on ECG paper."""
        rng = self.rng
        hue = vivid(rng)
        faint = float(rng.uniform(0.08, 0.5))
        fine = float(rng.choice([1.0, 1.0, 2.0, rng.uniform(3, 12)]))
        for pitch, share in ((fine, 0.6 * faint), (5 * fine, faint)):
            if pitch == fine and rng.random() < 0.3:
                continue
            colour, step = mixed(self.paper, hue, share), pitch * self.scale
            width = max(1, round(float(rng.uniform(0.08, 0.3)) * self.scale))
            across = rng.random() < 0.9
            for x in np.arange(rng.uniform(0, step), self.size[0], step) if across else ():
                cv2.line(self.image, (round(x), 0), (round(x), self.size[1]), colour, width)
            for y in np.arange(rng.uniform(0, step), self.size[1], step):
                cv2.line(self.image, (0, round(y)), (self.size[0], round(y)), colour, width)


def _sheet(rng: np.random.Generator, gridded: float = 0.3) -> _Sheet:
    """An empty one. gridded: how often it has a grid."""
    width, span = float(np.exp(rng.uniform(np.log(800), np.log(1900)))), float(rng.uniform(140, 330))
    height = width * float(rng.uniform(0.5, 1.1))
    paper, _ = screen_colour(rng)
    if rng.random() < 0.5:
        paper = (255, 255, 255)
    ruled = _empty_page(rng, named=False) if rng.random() < 0.3 * gridded else None
    if ruled is not None:  # a chart recorder's paper
        r, g, b = np.median(ruled.image[::8, ::8].reshape(-1, 3), axis=0).astype(int).tolist()
        paper = (r, g, b)
    ink = against(paper, rng, plain=0.6)
    faces = sorted(all_faces())
    font = str(rng.choice(faces)) if faces and rng.random() < 0.8 else "hershey-simplex"
    words = tuple(LEADS) if rng.random() < _LEADS_AS_WORDS else ()
    if ruled is not None:
        return _Sheet(ruled.image, ruled.truth.px_per_mm, rng, paper, ink, font, words)
    image = np.full((round(height), round(width), 3), paper, np.uint8)
    sheet = _Sheet(image, width / span, rng, paper, ink, font, words)
    if rng.random() < gridded:
        sheet.grid()
    return sheet


def _empty_page(rng: np.random.Generator, named: bool) -> Rendering:
    """An ECG page with its grid and header, and no trace: without any, its names are none."""
    style = replace(random_style(rng), named=named, pulses="none", separators="none")
    page = render(Record(np.full((len(LEADS), 5000), np.nan, np.float32), 500.0), style, rng)
    return replace(page, truth=replace(page.truth, traces=()))


def _done(sheet: _Sheet) -> Rendering:
    w, h = sheet.size
    step = 5 * sheet.scale
    mesh = np.stack(np.meshgrid(np.arange(0.0, w, step) - 0.5, np.arange(0.0, h, step) - 0.5), -1)
    truth = PageTruth(
        layout="", mm_per_s=0.0, mm_per_mv=0.0, px_per_mm=sheet.scale, mesh=mesh, traces=(),
        pulses=np.zeros((0, 4, 2)),
    )  # fmt: skip
    return Rendering(sheet.image, truth)


_SYLLABLES = (
    "ta", "ren", "vi", "lo", "mar", "es", "in", "der", "ko", "st", "al", "que", "ri", "on", "ve", "X", "III",
)  # fmt: skip


def _word(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.25:
        return f"{rng.integers(0, 2000)}"
    if kind < 0.35:
        return f"{rng.uniform(0, 100):.2f}"
    if kind < 0.5:
        return "".join(rng.choice(list(string.ascii_uppercase), int(rng.integers(1, 5))))
    if kind < 0.6:
        return f"{rng.choice(list(string.ascii_uppercase))}{rng.integers(1, 20)}"
    word = "".join(rng.choice(_SYLLABLES, int(rng.integers(1, 5))))
    return word.capitalize() if rng.random() < 0.4 else word


def _panels(
    sheet: _Sheet, rows: int, columns: int, margin: float = 8.0
) -> list[tuple[float, float, float, float]]:
    """x0, y0, x1, y1 of even panels with some room between them, px."""
    w, h = sheet.size
    pad = sheet.rng.uniform(0.5, 6) * sheet.scale
    edge = sheet.rng.uniform(2, margin) * sheet.scale
    wide, high = (w - 2 * edge) / columns, (h - 2 * edge) / rows
    corners = [(edge + c * wide, edge + r * high) for r in range(rows) for c in range(columns)]
    return [(x + pad / 2, y + pad / 2, x + wide - pad / 2, y + high - pad / 2) for x, y in corners]


def _walk(rng: np.random.Generator, n: int) -> np.ndarray:
    """A random walk between -1 and 1, at times with a trend or smoothed."""
    walk = np.cumsum(rng.normal(0, 1, n)) + rng.normal(0, 0.1) * np.arange(n)
    if rng.random() < 0.4:
        walk = np.convolve(np.pad(walk, 8, "edge"), np.hanning(17)[1:-1] / 8, "same")[8:-8]
    walk = walk - walk.mean()
    return walk / max(1e-6, np.abs(walk).max())


def _noise(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """Noise [n] of unit spread between two frequencies, in cycles over the whole."""
    f = np.arange(n // 2 + 1)
    spectrum = np.where((f >= low) & (f <= high), 1.0, 0.0) * np.exp(2j * np.pi * rng.random(len(f)))
    wave = np.fft.irfft(spectrum, n)
    return wave / max(1e-9, wave.std())


def _charts(rng: np.random.Generator) -> Rendering:
    """Prices, weather, anything over time: lines, areas, candles, in one panel or in many."""
    sheet = _sheet(rng, 0.5)
    rows, columns = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    candles, filled, framed = rng.random() < 0.2, rng.random() < 0.15, rng.random() < 0.5
    many = int(rng.integers(1, 4)) if rows * columns < 4 else 1
    for x0, y0, x1, y1 in _panels(sheet, rows, columns):
        if framed:
            sheet.box(x0, y0, x1, y1, mixed(sheet.paper, sheet.ink, 0.4), filled=False)
        for _ in range(many):
            colour = vivid(rng) if rng.random() < 0.4 else sheet.ink
            n = int((x1 - x0) / (rng.uniform(1.5, 4) * sheet.scale if candles else rng.uniform(1, 5)))
            if n < 12:
                continue
            x = np.linspace(x0, x1, n)
            y = (y0 + y1) / 2 - float(rng.uniform(0.2, 0.5)) * (y1 - y0) * _walk(rng, n)
            if candles:
                _candles(sheet, x, y, 0.04 * (y1 - y0))
                continue
            if filled:
                area = np.concatenate([np.stack([x, y], 1), [[x1, y1], [x0, y1]]])
                cv2.fillPoly(sheet.image, [area.astype(np.int32)], mixed(sheet.paper, colour, 0.3))
            sheet.curve(x, y, colour, float(rng.uniform(0.2, 0.7)))
        size = float(rng.uniform(2.4, 5))
        sheet.say(x0 + sheet.scale, y0 + (size + 1) * sheet.scale, size)
        if rng.random() < 0.5:
            for k in range(4):
                sheet.say(
                    x1 - 9 * sheet.scale, y0 + (0.2 + 0.2 * k) * (y1 - y0), 2.2, f"{rng.integers(1, 900)}"
                )
    return _done(sheet)


def _candles(sheet: _Sheet, x: np.ndarray, y: np.ndarray, reach: float) -> None:
    """Prices as candles from each of [n] px to the next one. reach: px of a wick beyond its candle."""
    step = x[1] - x[0]
    for a, b, at in zip(y[:-1], y[1:], x):
        tone = (40, 150, 90) if b < a else (205, 60, 60)
        sheet.box(at, min(a, b), at + 0.6 * step, max(a, b) + 1, tone)
        sheet.line(at + 0.3 * step, min(a, b) - reach, at + 0.3 * step, max(a, b) + reach, tone)


_STATIONS = (
    "Fp1-F7", "F7-T3", "C3-P3", "Fz-Cz", "O1", "EMG", "Flow", "Thorax", "SpO2", "Pleth", "CVP", "Snore",
    "BHZ",
)  # fmt: skip


def _recordings(rng: np.random.Generator) -> Rendering:
    """Rows of other recordings: brain, muscle, earthquakes, breath, sound."""
    sheet = _sheet(rng, 0.5)
    w, h = sheet.size
    rows = int(rng.integers(1, 26))
    pitch = 0.92 * h / rows
    x0 = rng.uniform(2, 22) * sheet.scale
    x = np.arange(x0, w - rng.uniform(1, 12) * sheet.scale, float(rng.uniform(0.7, 2.0)))
    kind = str(rng.choice(["brain", "quake", "breath", "noise", "tone"]))
    width, arrival = float(rng.uniform(0.15, 0.4)), rng.uniform(0.05, 0.8)
    for row in range(rows):
        wave = _wave(rng, kind, len(x), arrival, row)
        y = 0.04 * h + (row + 0.5) * pitch
        sheet.curve(x, y - wave * pitch * float(rng.uniform(0.12, 0.35)), width=width)
        if rng.random() < 0.9:
            label = None if sheet.words or rng.random() < 0.3 else str(rng.choice(_STATIONS))
            sheet.say(
                rng.uniform(0.5, 3) * sheet.scale, y, min(4.0, max(2.2, 0.3 * pitch / sheet.scale)), label
            )
    return _done(sheet)


def _wave(rng: np.random.Generator, kind: str, n: int, arrival: float, row: int) -> np.ndarray:
    """[n] of about unit size, of a kind of recording. arrival: of an earthquake at the first row, in parts of
    the whole."""
    if kind == "quake":
        since = np.arange(n) / n - arrival - 0.02 * row * rng.uniform(0, 2)
        return np.where(since > 0, np.exp(-since * rng.uniform(3, 12)), 0.03) * _noise(rng, n, n / 60, n / 6)
    if kind == "brain":
        middle = float(rng.uniform(15, 70))
        alpha = _noise(rng, n, 0.5 * middle, 1.5 * middle)
        return alpha + rng.uniform(0.2, 1) * _noise(rng, n, 4, n / 10)
    if kind == "breath":
        phase = np.cumsum(0.5 + rng.random(n)) * 2 * np.pi / n * rng.uniform(3, 30)
        return np.sin(phase) if rng.random() < 0.7 else np.sign(np.sin(phase))
    if kind == "tone":
        tone = np.sin(np.arange(n) * rng.uniform(0.02, 0.6))
        return tone * (1 + 0.5 * np.sin(np.arange(n) * rng.uniform(0.001, 0.02)))
    return _noise(rng, n, 1, n / rng.uniform(2.5, 30)) * (1 + _walk(rng, n)) / 2


def _spectra(rng: np.random.Generator) -> Rendering:
    """Peaks on a base line, as of chemists and astronomers, with axes and figures."""
    sheet = _sheet(rng)
    for x0, y0, x1, y1 in _panels(sheet, int(rng.integers(1, 4)), int(rng.integers(1, 4)), 14):
        x = np.arange(x0, x1)
        y = 0.01 * _noise(rng, len(x), 1, len(x) / 3) if len(x) > 20 else np.zeros(len(x))
        for _ in range(int(rng.integers(2, 30))):
            middle, wide = rng.uniform(x0, x1), np.exp(rng.uniform(np.log(0.2), np.log(6))) * sheet.scale
            y = y + rng.uniform(0.05, 1) / (1 + ((x - middle) / wide) ** 2)
        sheet.curve(x, y1 - 0.9 * (y1 - y0) * y / max(1e-6, y.max()), width=float(rng.uniform(0.15, 0.5)))
        _axes(sheet, x0, y0, x1, y1)
    return _done(sheet)


def _axes(sheet: _Sheet, x0: float, y0: float, x1: float, y1: float) -> None:
    sheet.line(x0, y1, x1, y1)
    sheet.line(x0, y0, x0, y1)
    for k in range(int(sheet.rng.integers(2, 9))):
        at = 0.1 + 0.12 * k
        sheet.say(x0 + at * (x1 - x0), y1 + 3.5 * sheet.scale, 2.6, None if sheet.words else f"{10 * k}")
        sheet.line(x0 - sheet.scale, y1 - at * (y1 - y0), x0, y1 - at * (y1 - y0))


def _figures(rng: np.random.Generator) -> Rendering:
    """Bars, boxes, points and pies, each panel of its own kind."""
    sheet = _sheet(rng)
    for x0, y0, x1, y1 in _panels(sheet, int(rng.integers(1, 5)), int(rng.integers(1, 5)), 12):
        kind, n = rng.integers(4), int(rng.integers(3, 25))
        colour, step = vivid(rng), (x1 - x0) / n
        if kind == 0:
            for k in range(n):
                top = y1 - rng.uniform(0.05, 0.9) * (y1 - y0)
                sheet.box(x0 + k * step, top, x0 + (k + 0.7) * step, y1, colour)
        elif kind == 1:
            for k in range(n):
                low, high = np.sort(rng.uniform(y0, y1, 2))
                sheet.line(x0 + (k + 0.4) * step, y0 + 0.9 * (low - y0), x0 + (k + 0.4) * step, high)
                sheet.box(x0 + k * step, low, x0 + (k + 0.7) * step, high, colour, filled=rng.random() < 0.5)
        elif kind == 2:
            for at in rng.normal(0.5, 0.2, (4 * n, 2)):
                centre = round(x0 + at[0] * (x1 - x0)), round(y0 + at[1] * (y1 - y0))
                cv2.circle(sheet.image, centre, max(1, round(0.5 * sheet.scale)), colour, -1, cv2.LINE_AA)
        else:
            centre, edges = (round((x0 + x1) / 2), round((y0 + y1) / 2)), np.sort(rng.uniform(0, 360, 5))
            radius = max(2, round(0.4 * min(x1 - x0, y1 - y0)))
            for a, b in zip(edges, [*edges[1:], edges[0] + 360]):
                cv2.ellipse(sheet.image, centre, (radius, radius), 0, a, b, vivid(rng), -1)
        if kind < 3:
            _axes(sheet, x0, y0, x1, y1)
        sheet.say(x0 + sheet.scale, y0 + 4 * sheet.scale, float(rng.uniform(2.5, 5)))
    return _done(sheet)


def _table(rng: np.random.Generator) -> Rendering:
    """Cells with figures and words, ruled or not; a heading."""
    sheet = _sheet(rng, 0.1)
    w, h = sheet.size
    size = float(rng.uniform(2.4, 5))
    high, wide = size * float(rng.uniform(1.4, 3.5)) * sheet.scale, float(rng.uniform(9, 45)) * sheet.scale
    ruled, shade = rng.random() < 0.7, mixed(sheet.paper, sheet.ink, float(rng.uniform(0.15, 0.7)))
    named = rng.random(int(w / wide) + 1) < 0.5
    for row in range(int(h / high)):
        if ruled:
            sheet.line(0, row * high, w, row * high, shade, 0.15)
        for column in range(len(named)):
            text = _word(rng) if not named[column] else None
            if rng.random() < 0.92:
                sheet.say(column * wide + 0.15 * wide, (row + 0.75) * high, size, text)
    for column in range(len(named) if ruled else 0):
        sheet.line(column * wide, 0, column * wide, h, shade, 0.15)
    return _done(sheet)


def _text(rng: np.random.Generator) -> Rendering:
    """Paragraphs, lists, letters, in one column or two."""
    sheet = _sheet(rng, 0.1)
    w, h = sheet.size
    size, columns = float(rng.uniform(2.4, 6)), int(rng.integers(1, 4))
    pitch, edge = size * float(rng.uniform(1.25, 2.6)) * sheet.scale, rng.uniform(3, 15) * sheet.scale
    listed = rng.random() < 0.4
    numerals = ("I", "II", "III", "IV", "V", "VI", "V1", "V2", "V3", "1", "2", "3", "a", "b")
    for column in range(columns):
        x0, x1 = edge + column * (w - edge) / columns, (column + 1) * (w - edge) / columns
        for k in range(int((h - 2 * edge) / pitch)):
            if rng.random() < 0.12:
                continue
            length = int((x1 - x0) / (0.55 * size * sheet.scale) * rng.uniform(0.3, 1))
            text = " ".join(_word(rng) for _ in range(max(1, length // 6)))[:length]
            if listed and rng.random() < 0.5:
                text = f"{rng.choice(numerals)}{rng.choice(['.', ')', ':', ' -'])}  {text}"
            sheet.say(x0, edge + (k + 1) * pitch, size, text)
    return _done(sheet)


def _map(rng: np.random.Generator) -> Rendering:
    """Heights' contours, roads and names of places."""
    sheet = _sheet(rng, 0.3)
    w, h = sheet.size
    coarse = rng.normal(0, 1, (int(rng.integers(4, 14)), int(rng.integers(4, 18)))).astype(np.float32)
    field = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    colour = vivid(rng) if rng.random() < 0.6 else sheet.ink
    for level in np.arange(-2, 2, float(rng.uniform(0.15, 0.6))):
        edges, _ = cv2.findContours((field > level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.polylines(
            sheet.image, edges, True, colour, max(1, round(rng.uniform(0.1, 0.3) * sheet.scale)), cv2.LINE_AA
        )
    for _ in range(int(rng.integers(0, 25))):
        if rng.random() < 0.4:
            along = np.linspace(0, 1, int(rng.integers(3, 9)))
            x, y = (side * (rng.random() + (rng.random() - 0.5) * along) for side in (w, h))
            bent = y + rng.normal(0, 6, len(along)) * sheet.scale
            sheet.curve(x, bent, vivid(rng), float(rng.uniform(0.3, 1.2)))
        sheet.say(rng.uniform(0, w), rng.uniform(0, h), float(rng.uniform(2.4, 6)))
    return _done(sheet)


def _score(rng: np.random.Generator) -> Rendering:
    """Staves with notes, bars and beams."""
    sheet = _sheet(rng, 0.05)
    w, h = sheet.size
    space = float(rng.uniform(1.2, 2.6)) * sheet.scale
    for top in np.arange(6 * space, h - 6 * space, float(rng.uniform(9, 16)) * space):
        for k in range(5):
            sheet.line(3 * space, top + k * space, w - 3 * space, top + k * space, width=0.12)
        x, before = 8 * space, None
        while x < w - 5 * space:
            y = top + 0.5 * space * int(rng.integers(-3, 12))
            up = -1 if rng.random() < 0.6 else 1
            at, axes = (round(x), round(y)), (max(1, round(0.62 * space)), max(1, round(0.45 * space)))
            filled = -1 if rng.random() < 0.8 else 1
            cv2.ellipse(sheet.image, at, axes, -20, 0, 360, sheet.ink, filled, cv2.LINE_AA)
            sheet.line(x - 0.55 * up * space, y, x - 0.55 * up * space, y + 3.3 * up * space, width=0.2)
            if before is not None and rng.random() < 0.4:
                sheet.line(
                    before, y + 3.3 * up * space, x - 0.55 * up * space, y + 3.3 * up * space, width=0.8
                )
            before = x - 0.55 * up * space
            x += float(rng.uniform(1.6, 5)) * space
            if rng.random() < 0.15:
                sheet.line(x, top, x, top + 4 * space)
                x, before = x + 2 * space, None
        if rng.random() < 0.5:
            sheet.say(3 * space, top - 2 * space, 3.5)
    return _done(sheet)


def _scribbles(rng: np.random.Generator) -> Rendering:
    """A running pen on plain, ruled or squared paper: words nobody reads, loops, arrows, zigzags."""
    sheet = _sheet(rng, 0.5)
    w, h = sheet.size
    pitch = float(rng.uniform(7, 22)) * sheet.scale
    pen, tall = float(rng.uniform(0.25, 1.0)), float(rng.uniform(0.15, 0.4)) * pitch
    if rng.random() < 0.4:
        for y in np.arange(pitch, h, pitch):
            sheet.line(0, y, w, y, mixed(sheet.paper, vivid(rng), 0.4))
    for y in np.arange(0.8 * pitch, h, pitch):
        x = rng.uniform(2, 20) * sheet.scale
        while x < w:
            n = int(rng.integers(8, 60))
            turn = np.cumsum(rng.uniform(0.2, 1.6, n))
            along = x + np.cumsum(rng.uniform(0.1, 0.6, n)) * tall * 0.5
            loops = rng.uniform(0.2, 1.0)
            up = np.sin(turn) * tall * rng.uniform(0.4, 1.2, n)
            sheet.curve(along + loops * tall * np.cos(turn), y - up, width=pen)
            x = along[-1] + rng.uniform(1, 12) * sheet.scale
            if rng.random() < 0.15:
                break
    return _done(sheet)


def _plan(rng: np.random.Generator) -> Rendering:
    """Circuits, floor plans, charts of boxes and arrows, with short labels as V1 and R2."""
    sheet = _sheet(rng, 0.4)
    w, h = sheet.size
    cell = float(rng.uniform(8, 30)) * sheet.scale
    for _ in range(int(rng.integers(15, 80))):
        x, y = (cell * round(float(rng.uniform(0, side)) / cell) for side in (w, h))
        dx, dy = (cell * float(rng.choice([1, 1, 2, 3, 5])) for _ in range(2))
        what = rng.random()
        if what < 0.45:
            sheet.line(x, y, x + dx, y)
        elif what < 0.7:
            sheet.line(x, y, x, y + dy)
        elif what < 0.85:
            sheet.box(x, y, x + dx, y + dy, sheet.ink, filled=False)
        elif what < 0.93:
            teeth = np.arange(9)
            sheet.curve(x + teeth * cell / 8, y + 0.12 * cell * (-1.0) ** teeth)
        else:
            cv2.circle(
                sheet.image, (round(x), round(y)), max(2, round(0.35 * cell)), sheet.ink, 1, cv2.LINE_AA
            )
        if rng.random() < 0.6:
            label = None if sheet.words else f"{rng.choice(list('VVRICL'))}{rng.integers(1, 9)}"
            sheet.say(x + 0.5 * sheet.scale, y - 0.5 * sheet.scale, float(rng.uniform(2.4, 4.5)), label)
    return _done(sheet)


def _texture(rng: np.random.Generator) -> Rendering:
    """What photographs are made of: clouds of every size, edges, stripes, shapes."""
    sheet = _sheet(rng, 0.0)
    w, h = sheet.size
    image = np.zeros((h, w, 3), np.float32)
    steep = float(rng.uniform(0.3, 1.3))
    for size in (2, 4, 8, 16, 32, 64, 128, 256):
        noise = rng.normal(0, 1, (max(2, h // size), max(2, w // size), 3)).astype(np.float32)
        noise = 0.7 * noise.mean(2, keepdims=True) + 0.3 * noise
        image += cv2.resize(noise, (w, h), interpolation=cv2.INTER_LINEAR) * (size / 256) ** steep
    if rng.random() < 0.4:
        y, x = np.mgrid[:h, :w]
        turn, period = rng.uniform(0, np.pi), rng.uniform(2, 25) * sheet.scale
        image += np.sign(np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / period))[
            ..., None
        ].astype(np.float32)
    level = image / max(1e-6, image.std()) * float(rng.uniform(10, 55)) + np.array(vivid(rng), np.float32)
    sheet.image[:] = np.clip(level, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 30))):
        centre = np.array([rng.uniform(0, w), rng.uniform(0, h)])
        corners = centre + rng.normal(0, rng.uniform(5, 60) * sheet.scale, (int(rng.integers(3, 7)), 2))
        cv2.fillPoly(sheet.image, [corners.astype(np.int32)], vivid(rng), cv2.LINE_AA)
    return _done(sheet)


def _form(rng: np.random.Generator) -> Rendering:
    """ECG paper with its header and at times its names, and no trace."""
    return _empty_page(rng, named=bool(rng.random() < 0.6))


OTHERS: dict[str, Callable[[np.random.Generator], Rendering]] = {
    "charts": _charts,
    "recordings": _recordings,
    "spectra": _spectra,
    "figures": _figures,
    "table": _table,
    "text": _text,
    "map": _map,
    "score": _score,
    "scribbles": _scribbles,
    "plan": _plan,
    "texture": _texture,
    "form": _form,
}
