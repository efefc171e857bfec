"""ECGs as programs show them: on web pages, dashboards and screens, in any colours, for training."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ecgvlm.paper.degrade import PAGE_KINDS, degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.style import Colour, PageStyle, Plate, random_style
from ecgvlm.paper.text import all_faces, covered, text_mask
from ecgvlm.paper.truth import Rendering
from ecgvlm.record import Record

_KINDS = (0.5, 0.25, 0.25)  # of each of `PAGE_KINDS`: most are given as they were on the screen
_SPELLINGS = ("plain", "plain", "plain", "capitals", "lead", "spaced")
_TEMPLATES = ("none", "none", "scale", "title", "report")
_WORDS = (
    "Patients", "Overview", "Export", "Settings", "Zoom", "12 leads", "Filter", "Report", "Trend", "Alarms",
    "Search", "Print", "Share", "Notes", "History", "Admit", "Ward 7", "Bed 12", "Live", "Review", "Next",
    "HR", "SpO2", "NIBP", "Resp", "Temp", "bpm", "Confirm", "Measure", "Calipers", "Compare", "Sign", "Open",
)  # fmt: skip


def screen_page(record: Record, rng: np.random.Generator | int, kind: str | None = None) -> Rendering:
    """The record as some program might show it: a screenshot, copied, photographed. kind: of `PAGE_KINDS`."""
    rng = np.random.default_rng(rng)
    page = render(record, screen_style(rng), rng)
    if rng.random() < 0.4:
        page = _in_window(page, rng)
    return degrade(page, kind or str(rng.choice(PAGE_KINDS, p=_KINDS)), rng)


def screen_style(rng: np.random.Generator) -> PageStyle:
    """Colours, lines, names and their plates of a page that a program draws."""
    style = random_style(rng)
    paper, dark = screen_colour(rng)
    towards = (255,) * 3 if dark else (0,) * 3
    hue = vivid(rng)
    faint = float(rng.uniform(0.05, 0.4))
    minor = mixed(mixed(paper, hue, faint), towards, faint / 4)
    major = mixed(mixed(paper, hue, min(0.85, faint * float(rng.uniform(1.2, 2.6)))), towards, faint / 3)
    if rng.random() < 0.3:
        minor = paper  # lines every 5 mm only
    faces = sorted(all_faces())
    style = replace(
        style, paper=paper, minor=minor, major=major, frame_colour=major, trace=against(paper, rng),
        ink=against(paper, rng), spelling=str(rng.choice(_SPELLINGS)),
        font=str(rng.choice(faces)) if faces and rng.random() < 0.7 else style.font,
        plate=_plate(paper, rng) if rng.random() < 0.6 else None, named=rng.random() > 0.06,
        name_size=float(rng.uniform(2.4, 5.2)), template=str(rng.choice(_TEMPLATES)),
        snap=rng.random() < 0.5, grid_box=style.grid_box if rng.random() < 0.4 else None,
    )  # fmt: skip
    if rng.random() < 0.25:  # as coarse as pictures of web pages are: lines of 1 mm some three px apart
        style = replace(style, px_per_mm=float(rng.uniform(2.7, 4.2)), snap=rng.random() < 0.8, minor_mm=0.1)
    if rng.random() < 0.15:  # a thick pen
        style = replace(style, trace_mm=float(rng.uniform(0.6, 1.2)))
    if style.layout == "12x1" and rng.random() < 0.5:  # names before their rows
        style = replace(style, name_at=(float(rng.uniform(-6, -2)), float(rng.uniform(-2, 2))))
    return style


def _plate(paper: Colour, rng: np.random.Generator) -> Plate:
    """Filled or outlined, of any colour that its name is read on."""
    filled, edged = rng.random() < 0.7, rng.random() < 0.4
    colour = vivid(rng) if rng.random() < 0.6 else mixed(paper, vivid(rng), float(rng.uniform(0.08, 0.4)))
    fill = colour if filled else None
    edge = against(paper, rng) if edged or not filled else None
    return Plate(
        fill, edge, against(fill or paper, rng, plain=0.6), float(rng.choice([0.05, 0.3, 0.6, 1.0, 1.0])),
        float(rng.uniform(0.4, 1.6)),
    )  # fmt: skip


def _in_window(page: Rendering, rng: np.random.Generator) -> Rendering:
    """The page within a program's window: bars and panels with words, figures, buttons, little charts."""
    h, w = page.image.shape[:2]
    scale, truth = page.truth.px_per_mm, page.truth
    left, right = (round(w * rng.uniform(0.05, 0.25)) if rng.random() < 0.6 else 0 for _ in range(2))
    top, bottom = (round(h * rng.uniform(0.04, 0.2)) if rng.random() < 0.6 else 0 for _ in range(2))
    paper, _ = screen_colour(rng)
    image = np.full((h + top + bottom, w + left + right, 3), paper, np.uint8)
    whole = image.shape[1]
    for x0, y0, x1, y1 in (
        (0, 0, whole, top), (0, top + h, whole, top + h + bottom), (0, top, left, top + h),
        (left + w, top, whole, top + h),
    ):  # fmt: skip
        if x1 > x0 and y1 > y0:
            panel = np.ascontiguousarray(image[y0:y1, x0:x1])
            _panel(panel, scale, rng)
            image[y0:y1, x0:x1] = panel
    image[top : top + h, left : left + w] = page.image
    # The truth's mesh reaches over the window: its nodes are even before any wear.
    step = 5 * scale
    x, y = (
        np.arange(first % step + 0.0, size, step) - 0.5
        for first, size in (
            (truth.mesh[0, 0, 0] + 0.5 + left, image.shape[1]),
            (truth.mesh[0, 0, 1] + 0.5 + top, image.shape[0]),
        )
    )
    moved = truth.warped(lambda points: points + np.array([left, top]))
    return Rendering(image, replace(moved, mesh=np.stack(np.meshgrid(x, y), -1)))


def _panel(panel: np.ndarray, scale: float, rng: np.random.Generator) -> None:
    """Draws what programs have in their bars, in place."""
    h, w = panel.shape[:2]
    paper, _ = screen_colour(rng)
    panel[:] = paper
    font = str(rng.choice(sorted(all_faces()) or ["aileron"]))
    for _ in range(int(min(30, 2 + rng.uniform(0.2, 1) * h * w / (14 * scale) ** 2))):
        x, y = int(rng.uniform(0, 0.9) * w), int(rng.uniform(0, 0.9) * h)
        wide, high = (max(6, round(rng.uniform(low, most) * scale)) for low, most in ((8, 40), (4, 12)))
        what, ground = rng.random(), paper
        if what < 0.35:  # a button
            ground = vivid(rng) if rng.random() < 0.5 else mixed(paper, vivid(rng), 0.2)
            cv2.rectangle(panel, (x, y), (x + wide, y + high), ground, -1 if rng.random() < 0.7 else 1)
        elif what < 0.45:  # a little chart
            steps = np.cumsum(rng.normal(0, 1, 40))
            at = np.stack(
                [x + np.linspace(0, wide, 40), y + high * (0.5 + steps / (2 * np.abs(steps).max()))], 1
            )
            cv2.polylines(
                panel, [np.round(at * 16).astype(np.int32)], False, against(paper, rng), 1, cv2.LINE_AA, 4
            )
            continue
        number = f"{rng.integers(1, 240)}" if rng.random() < 0.5 else f"{rng.uniform(0, 60):.1f}"
        text = str(rng.choice(_WORDS)) if rng.random() < 0.7 else number
        size = max(6.0, high * float(rng.uniform(0.5, 1.0)))
        write(panel, text, x + round(0.15 * high), y + round(0.8 * high), size, against(ground, rng), font)


def write(
    image: np.ndarray, text: str, x: int, y: int, size: float, colour: Colour, font: str = "hershey-simplex"
) -> None:
    """Text in place, its base line beginning at (x, y), cut at the edges. size: px of one em."""
    if not text.strip():
        return
    mask, dx, dy = text_mask(text, font, round(2 * max(6.0, size)) / 2)
    part, ink = covered(image, mask, x + dx, y + dy)
    cover = ink[..., None].astype(np.float32) / 255
    part[:] = np.round(part * (1 - cover) + np.array(colour, np.float32) * cover)


# --- colours ---


def screen_colour(rng: np.random.Generator) -> tuple[Colour, bool]:
    """What a program may draw on, and whether it is dark."""
    dark = rng.random() < 0.3
    ground: Colour = (0, 0, 0) if dark else (255, 255, 255)
    if rng.random() < 0.15:
        return ground, dark
    return mixed(ground, vivid(rng), float(rng.uniform(0.0, 0.18 if dark else 0.3))), dark


def vivid(rng: np.random.Generator) -> Colour:
    """Any colour, greys as well."""
    hsv = np.array([[[rng.uniform(0, 180), 255 * rng.uniform(0, 1) ** 0.6, rng.uniform(50, 255)]]], np.uint8)
    r, g, b = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return r, g, b


def against(ground: Colour, rng: np.random.Generator, plain: float = 0.3) -> Colour:
    """A colour that stands out on the ground. plain: how often it is black or white."""
    light = _light(ground)
    if rng.random() < plain:
        return (255, 255, 255) if light < 128 else (0, 0, 0)
    for _ in range(20):
        colour = vivid(rng)
        if abs(_light(colour) - light) > 75:
            return colour
    return (255, 255, 255) if light < 128 else (0, 0, 0)


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """Colour a with this share of b."""
    r, g, b_ = (round((1 - share) * p + share * q) for p, q in zip(a, b))
    return r, g, b_


def _light(colour: Colour) -> float:
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
