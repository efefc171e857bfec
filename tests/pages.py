"""Pages that tests read: simulated ECGs in print, and pictures that are none."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import cv2
import numpy as np

from ecgvlm.digitize import Digitizer, Page
from ecgvlm.paper.degrade import degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.paper.truth import Rendering, TraceTruth
from ecgvlm.simulate import Simulation, simulate


@cache
def page(kind: str = "clean", style: str = "classic", seed: int = 1, **changes) -> Rendering:
    """A simulated sinus rhythm at 72 a minute on a page of about 1,600 px."""
    record, _ = simulate(Simulation(rate_bpm=72), seed)
    look = page_style(style, **{"px_per_mm": 5.4, **changes})
    return degrade(render(record, look, seed), kind, np.random.default_rng(seed))


@cache
def shared_digitizer() -> Digitizer:
    """One for all tests: its nets take half a second to open."""
    return Digitizer(threads=1)


@cache
def digitized(kind: str = "clean") -> Page:
    """`page` as the digitiser reads it."""
    return shared_digitizer()(page(kind).image)


def strips_of(page: Rendering, found: Page) -> Iterator[tuple[TraceTruth, np.ndarray, np.ndarray]]:
    """Each trace of a page that shows a wave, with the times [n] and the px [n, 2] of the strip found of
    it."""
    strips = {(strip.lead, strip.rhythm): strip for strip in found.strips}
    for trace in page.truth.traces:
        if np.ptp(trace.mv) < 0.1:
            continue
        strip = strips[trace.lead, trace.rhythm]
        known = np.isfinite(strip.mv)
        yield trace, strip.t[known], found.to_source(strip.curve[known])


def blank() -> np.ndarray:
    return np.full((1100, 1600, 3), 250, np.uint8)


def empty_grid() -> np.ndarray:
    """ECG paper on which nothing was printed."""
    picture = np.full((1100, 1600, 3), 252, np.uint8)
    for step, colour in ((6, (250, 220, 220)), (30, (240, 160, 160))):
        picture[::step] = colour
        picture[:, ::step] = colour
    return picture


def text_document() -> np.ndarray:
    picture = blank()
    for row in range(24):
        line = "The quick brown fox jumps over the lazy dog and V1 of the contract, part II."
        cv2.putText(
            picture,
            line[row % 7 :],
            (80, 80 + 42 * row),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.9,
            (30, 30, 30),
            2,
            cv2.LINE_AA,
        )
    return picture


def stock_chart() -> np.ndarray:
    """A price chart with a grid, axes and labels."""
    rng = np.random.default_rng(4)
    picture = blank()
    for x in range(100, 1600, 75):
        cv2.line(picture, (x, 50), (x, 1000), (225, 225, 225), 1)
    for y in range(50, 1000, 75):
        cv2.line(picture, (100, y), (1600, y), (225, 225, 225), 1)
        cv2.putText(
            picture, f"{(1000 - y) / 10:.1f}", (20, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (60, 60, 60), 1
        )
    price = 500 + np.cumsum(rng.normal(0, 9, 1450))
    points = np.stack([np.arange(100, 1550), np.clip(price, 60, 990)], 1)
    cv2.polylines(picture, [points.astype(np.int32)], False, (20, 90, 200), 2, cv2.LINE_AA)
    return picture


def photograph() -> np.ndarray:
    """Something furry: blobs and texture, no page."""
    rng = np.random.default_rng(5)
    picture = cv2.resize(
        rng.integers(40, 220, (14, 20, 3), dtype=np.uint8), (1600, 1100), interpolation=cv2.INTER_CUBIC
    )
    fur = rng.normal(0, 18, (1100, 1600, 1))
    return np.clip(picture + cv2.GaussianBlur(fur, (0, 0), 1.2)[..., None], 0, 255).astype(np.uint8)


def chest_film() -> np.ndarray:
    """Two dark lungs between ribs."""
    y, x = np.mgrid[0:1400, 0:1200].astype(np.float32)
    grey = np.full((1400, 1200), 200, np.float32)
    for centre in (380, 820):
        grey -= 140 * np.exp(-((((x - centre) / 190) ** 2 + ((y - 650) / 380) ** 2) ** 2))
    grey += 18 * np.sin(y / 28 + ((x - 600) / 300) ** 2)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, 2)


def single_lead() -> np.ndarray:
    """A strip of one lead, as a watch or a monitor prints it."""
    whole = page()
    row = whole.truth.traces[-1].box
    top, bottom = int(row[0, 1]), int(row[2, 1])
    strip = whole.image[max(0, top) : bottom]
    return np.ascontiguousarray(strip)


NOT_ECGS = {
    f.__name__: f
    for f in (blank, empty_grid, text_document, stock_chart, photograph, chest_film, single_lead)
}
