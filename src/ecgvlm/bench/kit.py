"""Pages in the look of ecg-image-kit (Shivashankara et al. 2024), which made ECGBench's synthetic pages.

Drawn after its pages, with nothing of its code: letter paper at 200 dpi, its five grids, rows set from the
bottom. Half of the pages are worn its way: creases, crumpled paper, a turn, noise, another light.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ecgvlm.paper.layouts import LAYOUTS
from ecgvlm.paper.render import render
from ecgvlm.paper.style import Colour, page_style
from ecgvlm.record import Record

KIT = "kit"  # the page kind's name
# Minor and major lines, RGB: brown, pink, blue, green, red.
_GRIDS: tuple[tuple[Colour, Colour], ...] = (
    ((150, 107, 101), (109, 50, 47)),
    ((254, 237, 248), (255, 203, 221)),
    ((0, 0, 179), (0, 0, 102)),
    ((0, 204, 77), (0, 77, 0)),
    ((254, 223, 219), (255, 0, 0)),
)
_LAYOUTS = ("3x4+1R", "3x4+1R", "3x4+1R", "3x4", "6x2", "12x1")
_WARM, _COLD = np.array([1.0, 0.94, 0.84]), np.array([0.9, 0.95, 1.0])  # the light's share, RGB


def print_kit(record: Record, rng: np.random.Generator, layout: str | None = None) -> tuple[np.ndarray, str]:
    """The record as a page [H, W, 3] uint8 RGB, and its layout, which is drawn where none is given."""
    name = layout or str(rng.choice(_LAYOUTS))
    minor, major = _GRIDS[rng.integers(len(_GRIDS))]
    plain = page_style("kit", layout=name, minor=minor, major=major)
    # Of equal parts of the page's height, each row has one and the space above them two.
    style = replace(plain, header=2 * plain.height / (LAYOUTS[name].rows + 2), footer=0.0)
    image = render(record, style, rng).image
    return (_worn(image, rng) if rng.random() < 0.5 else image), name


def _worn(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    h, w = image.shape[:2]
    page = image.astype(np.float32)
    if rng.random() < 0.5:
        page *= _creases(h, w, rng)[..., None]
    if rng.random() < 0.5:
        page *= _crumpled(h, w, rng)[..., None]
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), rng.uniform(-5, 5), 1.0)
    page = np.asarray(cv2.warpAffine(page, turn, (w, h)), np.float32)  # black corners, as there
    page += rng.uniform(0, 25) * rng.standard_normal(page.shape, np.float32)
    warmth = rng.random()
    return np.clip(page * (warmth * _WARM + (1 - warmth) * _COLD), 0, 255).astype(np.uint8)


def _creases(h: int, w: int, rng: np.random.Generator) -> np.ndarray:
    """Light along evenly spaced parallel folds in two directions: a factor [h, w] of 1 to 1.25."""
    y, x = np.mgrid[:h, :w].astype(np.float32)
    angle = np.deg2rad(rng.uniform(0, 90))
    light = np.ones((h, w), np.float32)
    for turned in (angle, angle + np.pi / 2):
        across = x * np.float32(np.cos(turned)) + y * np.float32(np.sin(turned))
        gap = (h + w) / (rng.integers(1, 6) + 1)
        off = np.abs((across % gap) - gap / 2)  # px from the nearest fold
        light = np.maximum(light, 1 + 0.25 * np.clip(1 - off / 12, 0, 1))
    return light


def _crumpled(h: int, w: int, rng: np.random.Generator) -> np.ndarray:
    """The shade of a sheet that was crumpled: ridges of two sizes around 0.8 of the light, [h, w]."""
    shade = np.full((h, w), 0.9, np.float32)
    for cells, depth in ((6, 0.12), (24, 0.06)):
        coarse = rng.standard_normal((cells, cells * w // h), np.float32)
        shade -= depth * np.abs(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC))
    return np.clip(shade, 0.4, 1.1)
