"""Makes a clean page look scanned or photographed, and moves its truth along.

A page is written on and worn first (stamps, handwriting, creases), then warped once, then lit, blurred, made
noisy and compressed. The warp is known analytically from paper to picture, so the truth moves exactly; only
the picture's inverse map is solved on a coarse grid (error below 0.05 px but across folds).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image
from scipy.interpolate import LinearNDInterpolator

from ecgvlm.errors import UsageError
from ecgvlm.paper.text import covered, text_mask
from ecgvlm.paper.truth import PageTruth, Rendering

PAGE_KINDS = ("clean", "scan", "photo")
_NODE = 16  # px between the nodes at which a photo's inverse map is solved
Move = Callable[[np.ndarray], np.ndarray]
Height = Callable[[np.ndarray], np.ndarray]
Colour = tuple[int, int, int]


def degrade(rendering: Rendering, kind: str, rng: np.random.Generator | int = 0) -> Rendering:
    """The page as a "scan", as a "photo", or "clean" as it is. rng: a generator or a seed.

    Raises UsageError for another kind.
    """
    if kind not in PAGE_KINDS:
        known = ", ".join(PAGE_KINDS)
        raise UsageError(f"page kind {kind!r} is unknown; choose from {known}")
    rng = np.random.default_rng(rng)
    return {"clean": lambda page, _: page, "scan": scan, "photo": photo}[kind](rendering, rng)


def scan(rendering: Rendering, rng: np.random.Generator) -> Rendering:
    """A flat-bed scan: skew to 3 degrees, new resolution, wear, bleaching, streaks, noise, JPEG."""
    image, truth = _on_glass(rendering, rng)
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.9))
    image = _bleach(image, rng)
    if rng.random() < 0.25:
        image = _streaks(image, rng)
    image = _noise(image, rng, rng.uniform(0.5, 5))
    look = rng.random()
    if look < 0.18:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    elif look < 0.26:
        image = _two_tone(image, rng)
    if rng.random() < 0.8:
        image = _jpeg(image, int(rng.integers(35, 95)))
    return Rendering(image, truth)


def fax(rendering: Rendering, rng: np.random.Generator) -> Rendering:
    """A fax or a copy in one bit: what is darker than some level is black, or greys are dots."""
    image, truth = _on_glass(rendering, rng)
    grey: np.ndarray = cv2.cvtColor(_noise(image, rng, rng.uniform(1, 8)), cv2.COLOR_RGB2GRAY)
    if rng.random() < 0.5:
        grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.3, 0.7))
    look = rng.random()
    if look < 0.6:
        bits: np.ndarray = np.where(grey > rng.uniform(110, 235), 255, 0).astype(np.uint8)
    elif look < 0.85:  # Floyd and Steinberg's dots
        bits = np.where(np.asarray(Image.fromarray(grey).convert("1")), 255, 0).astype(np.uint8)
    else:
        bits = grey
    if look < 0.6 and rng.random() < 0.3:  # a copier's dirt, and what it loses
        dirt = rng.random(bits.shape, np.float32)
        bits[dirt < rng.uniform(0, 0.004)] = 0
        bits[dirt > 1 - rng.uniform(0, 0.02)] = 255
    if rng.random() < 0.4:  # printed, and scanned once more
        bits = cv2.GaussianBlur(bits, (0, 0), rng.uniform(0.4, 0.8))
    image = cv2.cvtColor(bits, cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.5:
        image = _jpeg(image, int(rng.integers(40, 95)))
    return Rendering(image, truth)


def _on_glass(rendering: Rendering, rng: np.random.Generator) -> tuple[np.ndarray, PageTruth]:
    """The worn page, turned and resampled as a scanner sees it, and its truth."""
    image = _wear(rendering.image, rng)
    angle = np.deg2rad(np.clip(rng.normal(0, 1.0), -3, 3))
    size = rng.uniform(0.8, 1.12) if rng.random() < 0.6 else 1.0
    # The feed of a scanner, or of the recorder itself, is off by up to a percent.
    scale = size * (1 + rng.normal(0, 0.003, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag(scale)
    h, w = image.shape[:2]
    new_w, new_h = round(w * scale[0]), round(h * scale[1])
    if rng.random() < 0.4:  # the scanner's bed around the page
        new_w, new_h = round(new_w * rng.uniform(1.0, 1.06)), round(new_h * rng.uniform(1.0, 1.06))
    shift = np.array([new_w, new_h]) / 2 - linear @ np.array([w, h]) / 2 + rng.normal(0, 0.003, 2) * w
    paper = np.median(image[::16, ::16].reshape(-1, 3), axis=0)
    bed = np.clip(paper + rng.normal(0, 3), 0, 255)
    if rng.random() < 0.2:
        bed = np.full(3, rng.uniform(20, 245))
    if size < 0.95:
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / size)
    matrix = np.column_stack([linear, shift])
    image = cv2.warpAffine(image, matrix, (new_w, new_h), flags=cv2.INTER_LINEAR, borderValue=bed.tolist())
    return image, rendering.truth.warped(lambda points: points @ linear.T + shift)


def photo(rendering: Rendering, rng: np.random.Generator) -> Rendering:
    """A hand-held phone photo: a sheet curled, folded or crumpled, tilted to 25 degrees, on a table; uneven
    light, shade of its folds, shadow, glare, blur, the phone's sharpening, noise.
    """
    image = _wear(rendering.image, rng)
    h, w = image.shape[:2]
    height = _height(w, h, rendering.truth.px_per_mm, rng)
    move, out_w, out_h = _camera(w, h, rendering.truth.px_per_mm, height, rng)
    inverse = _inverted(move, w, h, out_w, out_h)
    image = _shaded(image, height, rng)
    zoom = out_w / w
    if zoom < 0.9:
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / zoom)
    table = _table(out_w, out_h, inverse, w, h, rng)
    x, y = (cv2.resize(inverse[..., c], None, fx=_NODE, fy=_NODE)[:out_h, :out_w] for c in (0, 1))
    # cv2.resize puts the nodes at the middle of their 16 px cells, as _inverted does.
    image = cv2.remap(image, x, y, cv2.INTER_LINEAR, dst=table, borderMode=cv2.BORDER_TRANSPARENT)
    truth = rendering.truth.warped(move)

    image = _blur(image, rng)
    image = _light(image, rng)
    if rng.random() < 0.2:
        image = _moire(image, rng)
    image = _noise(image, rng, float(np.exp(rng.uniform(np.log(1), np.log(9)))))
    if rng.random() < 0.4:
        image = _sharpened(image, rng)
    image = _jpeg(image, int(rng.integers(45, 95)))
    return Rendering(image, truth)


# --- geometry ---


def _height(w: int, h: int, px_per_mm: float, rng: np.random.Generator) -> Height:
    """How a sheet that was folded or crumpled stands off a flat one: [n, 2] px of the page -> [n] px.

    Folds in halves, quarters or thirds leave roofs along their lines; crumpling leaves facets.
    """
    u, size = rng.uniform, np.array([w, h], float)
    lines: list[tuple[np.ndarray, float, float]] = []  # unit normal, distance, rise per px on either side
    for across in (0, 1):
        kind = rng.random()
        places = [0.5] if kind < 0.3 else [1 / 3, 2 / 3] if kind < 0.36 else []
        for place in places:
            turn = rng.normal(0, 0.015)
            normal = (
                np.array([np.cos(turn), np.sin(turn)])
                if across == 0
                else np.array([-np.sin(turn), np.cos(turn)])
            )
            at = float(normal @ (size * (place + rng.normal(0, 0.02))))
            lines.append((normal, at, rng.choice([-1, 1]) * np.tan(np.deg2rad(u(1, 9)))))
    facets = np.zeros((2, 2), np.float32)
    if rng.random() < 0.6:
        facets = _facets(w, h, u(10, 45) * px_per_mm, rng) * np.float32(u(0.2, 1.8) * px_per_mm)

    def height(points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, float)
        z = np.zeros(len(points))
        for normal, at, rise in lines:
            z += rise / 2 * np.abs(points @ normal - at)
        known = np.isfinite(points).all(1)
        place = (points / size * (np.array(facets.shape[::-1]) - 1)).astype(np.float32)
        for first in range(0, len(points), 30_000):  # cv2.remap takes no more points in a row
            part = np.where(known[first : first + 30_000, None], place[first : first + 30_000], 0)[None]
            z[first : first + 30_000] += cv2.remap(  # type: ignore[call-overload]  # its stub wants two maps
                facets, part, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )[0]
        return z

    return height


def _facets(w: int, h: int, cell: float, rng: np.random.Generator) -> np.ndarray:
    """Crumpled paper: triangles between points some `cell` px apart of random height (sd 1), [rows, cols]."""
    corners = np.stack(np.meshgrid(np.arange(-1, h / cell + 2), np.arange(-1, w / cell + 2)), -1)
    corners = corners.reshape(-1, 2) + rng.uniform(-0.45, 0.45, (corners.size // 2, 2))
    rows, cols = (np.linspace(0, size / cell, int(6 * size / cell) + 2) for size in (h, w))
    surface = LinearNDInterpolator(corners, rng.normal(size=len(corners)))
    return surface(*np.meshgrid(rows, cols, indexing="ij")).astype(np.float32)


def _shaded(image: np.ndarray, height: Height, rng: np.random.Generator) -> np.ndarray:
    """The page with the light and shade of its slopes."""
    h, w = image.shape[:2]
    x, y = np.meshgrid(np.arange(0, w + 8, 8.0), np.arange(0, h + 8, 8.0))
    z = height(np.stack([x, y], -1).reshape(-1, 2)).reshape(x.shape)
    if not z.any():
        return image
    turn = rng.uniform(0, 2 * np.pi)
    down, right = np.gradient(z, 8.0)
    slope = np.cos(turn) * right + np.sin(turn) * down
    field = 1 + np.clip(rng.uniform(0.5, 2.5) * slope, -0.35, 0.2)
    return _field(image, np.repeat(field[..., None], 3, -1).astype(np.float32))


def _camera(
    w: int, h: int, px_per_mm: float, height: Height, rng: np.random.Generator
) -> tuple[Move, int, int]:
    """A phone's camera above a bent sheet: the move from page px to picture px, and the picture's size.

    The sheet is a cylinder z(s) bent without stretching, two cosine waves of some millimetres in one
    direction, with `height` on it. The lens leaves a little of a barrel or a pincushion.
    """
    diagonal = float(np.hypot(w, h))
    tilt = np.deg2rad(min(25.0, abs(rng.normal(0, 10))))
    around = rng.uniform(0, 2 * np.pi)
    roll = np.deg2rad(np.clip(rng.normal(0, 2.5 if rng.random() < 0.5 else 12), -30, 30))
    bend = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.25)
    waves = [  # amplitude px, periods along the diagonal, phase
        (rng.uniform(0, 9) * px_per_mm * (rng.random() < 0.7), rng.uniform(0.4, 1.0), rng.uniform(0, 6.28)),
        (rng.uniform(0, 1.5) * px_per_mm * (rng.random() < 0.5), rng.uniform(1.0, 2.5), rng.uniform(0, 6.28)),
    ]
    along = np.array([np.cos(bend), np.sin(bend)])
    across = np.array([-along[1], along[0]])
    # Table of the bent profile over the arc length s: height z, and ground x with dx = sqrt(ds^2 - dz^2).
    s = np.linspace(-0.75 * diagonal, 0.75 * diagonal, 2049)
    z = sum(a * np.cos(2 * np.pi * f * s / diagonal + p) for a, f, p in waves) + np.zeros_like(s)
    steep = np.gradient(z, s)
    flat = np.sqrt(np.maximum(1 - steep**2, 0.25))
    ground = np.concatenate([[0], np.cumsum((flat[1:] + flat[:-1]) / 2) * (s[1] - s[0])])
    ground -= ground[len(s) // 2]

    axis = np.array([np.cos(around), np.sin(around), 0.0]) * tilt
    rotation = cv2.Rodrigues(np.array([0, 0, roll]))[0] @ cv2.Rodrigues(axis)[0]
    distance = diagonal * rng.uniform(1.1, 2.0)
    barrel = rng.normal(0, 0.015) / (diagonal / 2) ** 2
    centre = np.array([w, h]) / 2

    def seen(points: np.ndarray) -> np.ndarray:
        p = np.asarray(points, float) - centre
        u, v = p @ along, p @ across
        gx, gz = np.interp(u, s, ground), np.interp(u, s, z)
        gx = np.where(np.isnan(u), np.nan, gx)
        gz = gz + height(np.asarray(points, float))
        body = (gx[:, None] * along + v[:, None] * across) @ rotation[:, :2].T + gz[:, None] * rotation[:, 2]
        plane = body[:, :2] / (1 - body[:, 2:] / distance)
        return plane * (1 + barrel * (plane**2).sum(1, keepdims=True))

    edge = np.linspace(0, 1, 9)
    rim = np.concatenate(
        [np.stack([edge * w, edge * 0], 1), np.stack([edge * w, edge * 0 + h], 1),
         np.stack([edge * 0, edge * h], 1), np.stack([edge * 0 + w, edge * h], 1)]
    )  # fmt: skip
    rim = seen(rim)
    low, high = rim.min(0), rim.max(0)
    # Margins of table around the page; a negative one cuts a little of the paper's edge off.
    margin = rng.uniform(-0.01, 0.08, 4) if rng.random() < 0.8 else rng.uniform(0.05, 0.2, 4)
    extent = high - low
    zoom = w / extent[0] * rng.uniform(0.85, 1.1)
    low, high = low - margin[:2] * extent, high + margin[2:] * extent
    out_w, out_h = np.round((high - low) * zoom).astype(int)
    return lambda points: (seen(points) - low) * zoom, int(out_w), int(out_h)


def _inverted(move: Move, w: int, h: int, out_w: int, out_h: int) -> np.ndarray:
    """Picture px -> page px at the nodes, [rows, cols, 2] float32; nodes sit in the middle of 16 px cells.

    Newton's iteration with the derivative of the homography through the page's corners, which is close.
    """
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    back = cv2.getPerspectiveTransform(move(corners).astype(np.float32), corners)

    def home(points: np.ndarray) -> np.ndarray:
        return cv2.perspectiveTransform(points[None], back)[0]

    x = np.arange(-(-out_w // _NODE)) * _NODE + (_NODE - 1) / 2
    y = np.arange(-(-out_h // _NODE)) * _NODE + (_NODE - 1) / 2
    target = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    page = home(target)
    for _ in range(6):
        page = page + home(target) - home(move(page))
    return page.reshape(len(y), len(x), 2).astype(np.float32)


# --- on the paper ---


def _wear(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Handwriting, stamps and creases on a copy of the page."""
    image = image.copy()
    if rng.random() < 0.3:
        for _ in range(rng.integers(1, 4)):
            _handwriting(image, rng)
    if rng.random() < 0.15:
        _rubber_stamp(image, rng)
    if rng.random() < 0.3:
        for _ in range(rng.integers(1, 4)):
            _crease(image, rng)
    return image


_PENS = ((25, 35, 130), (30, 30, 35), (20, 60, 160), (170, 30, 40), (20, 100, 50))
# Nothing that could pass for a finding: what is written by hand must not tell the answer, nor belie it.
_WORDS = ("seen", "ok", "repeat", "old ECG", "bed 4", "Dr. K", "12:40", "copy", "ward 3", "tel.")


def _ink(image: np.ndarray, mask: np.ndarray, x: int, y: int, colour: Colour, cover: float) -> None:
    """Multiply the ink of a mask into the page at (x, y), cut at the page's edges."""
    part, ink = covered(image, mask, x, y)
    share = ink[..., None].astype(np.float32) * (cover / 255)
    part[...] = part * (1 - share * (1 - np.array(colour, np.float32) / 255))


def _handwriting(image: np.ndarray, rng: np.random.Generator) -> None:
    """A word in print or in a scrawl, a circle, a stroke or a doodle with a pen, anywhere."""
    h, w = image.shape[:2]
    side = int(w * rng.uniform(0.04, 0.16))
    mask: np.ndarray = np.zeros((side, side * 2), np.uint8)
    pen = max(1, round(w * rng.uniform(0.0008, 0.002)))
    kind = rng.random()
    if kind < 0.2:
        size = float(round(side * rng.uniform(0.3, 0.6)))
        word, _, _ = text_mask(str(rng.choice(_WORDS)), "hershey-script", size)
        word = word[: side - 4, : 2 * side - 4]
        mask[2 : 2 + word.shape[0], 2 : 2 + word.shape[1]] = word
        mask = cv2.dilate(mask, np.ones((2, 2), np.uint8)) if pen > 1 else mask
        slant = rng.normal(-0.15, 0.15)
        matrix = np.array([[1, slant, -slant * side / 2], [rng.normal(0, 0.1), 1, 0]])
        mask = cv2.warpAffine(mask, matrix, (2 * side, side))
    else:
        if kind < 0.45:
            points = _scrawl(rng) * side
        elif kind < 0.65:
            turn = np.linspace(0, rng.uniform(5.5, 8), 50)
            shrink = 1 + 0.15 * np.sin(turn + rng.uniform(0, 6)) - 0.01 * turn
            points = np.stack([1 + 0.8 * shrink * np.cos(turn), 0.5 + 0.4 * shrink * np.sin(turn)], 1) * side
        else:
            knots = rng.uniform(0.1, 0.9, (int(rng.integers(2, 7)), 2)) * [2 * side, side]
            knots = knots[np.argsort(knots[:, 0])] if kind < 0.85 else knots
            t = np.linspace(0, len(knots) - 1, 60)
            corners = np.stack([np.interp(t, np.arange(len(knots)), knots[:, c]) for c in (0, 1)], 1)
            points = np.asarray(cv2.GaussianBlur(corners, (1, 9), 2.5))
        cv2.polylines(mask, [np.round(points * 16).astype(np.int32)], False, 255, pen, cv2.LINE_AA, 4)
    x, y = int(rng.uniform(-0.05, 0.95) * w), int(rng.uniform(0, 0.95) * h)
    _ink(image, mask, x, y, _PENS[rng.integers(len(_PENS))], rng.uniform(0.6, 0.95))


def _scrawl(rng: np.random.Generator) -> np.ndarray:
    """A word of joined, illegible letters within 2 x 1: [n, 2] points of a running pen."""
    letters = int(rng.integers(4, 11))
    turn = np.linspace(0, 2 * np.pi * letters, 16 * letters)
    tall = np.interp(turn, np.arange(letters + 1) * 2 * np.pi, rng.uniform(0.05, 0.3, letters + 1) ** 1.3)
    wide = np.interp(turn, np.arange(letters + 1) * 2 * np.pi, rng.uniform(0.02, 0.09, letters + 1))
    y = 0.6 - tall * (1 - np.cos(turn)) + 0.03 * np.sin(turn / 5)
    x = (
        0.15
        + 1.6 * turn / turn[-1]
        + wide * np.sin(turn + rng.uniform(0, 1))
        - rng.uniform(0.1, 0.5) * (y - 0.6)
    )
    return np.stack([x, y], 1)


def _rubber_stamp(image: np.ndarray, rng: np.random.Generator) -> None:
    h, w = image.shape[:2]
    side = int(w * rng.uniform(0.08, 0.16))
    mask = np.zeros((side, side), np.uint8)
    middle, pen = side // 2, max(2, side // 40)
    words = rng.choice(["CARDIOLOGY", "COPY", "RECEIVED", "ARCHIVE", "EMERGENCY", "REVIEWED"], 2)
    if rng.random() < 0.5:
        cv2.circle(mask, (middle, middle), int(side * 0.45), 255, pen, cv2.LINE_AA)
        cv2.circle(mask, (middle, middle), int(side * 0.33), 255, max(1, pen // 2), cv2.LINE_AA)
    else:
        cv2.rectangle(mask, (pen, int(side * 0.28)), (side - pen, int(side * 0.72)), 255, pen, cv2.LINE_AA)
    for i, word in enumerate(words):
        ink, _, _ = text_mask(str(word), "hershey-duplex", float(max(6, round(side * 0.12))))
        ink = ink[:, : side - 4]
        y, x = middle - ink.shape[0] - 2 + i * (ink.shape[0] + 6), (side - ink.shape[1]) // 2
        mask[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
    turn = cv2.getRotationMatrix2D((middle, middle), rng.uniform(-25, 25), 1.0)
    patchy = cv2.resize(rng.uniform(0.3, 1.0, (6, 6)), (side, side), interpolation=cv2.INTER_LINEAR)
    mask = (cv2.warpAffine(mask, turn, (side, side)) * patchy).astype(np.uint8)
    colour = ((170, 40, 60), (50, 60, 160), (90, 40, 120))[rng.integers(3)]
    x, y = int(rng.uniform(0, 0.85) * w), int(rng.uniform(0, 0.85) * h)
    _ink(image, mask, x, y, colour, rng.uniform(0.4, 0.8))


def _crease(image: np.ndarray, rng: np.random.Generator) -> None:
    """A fold: a fine line, broken ink along it, light on one side and shade on the other."""
    h, w = image.shape[:2]
    upright = rng.random() < 0.6
    length, across = (h, w) if upright else (w, h)
    at = rng.uniform(0.05, 0.95) * across
    slope = rng.normal(0, 0.03) * across
    wide = int(rng.uniform(3, 12))
    profile = np.arange(-wide, wide + 1) / wide
    shade = rng.uniform(4, 26) * np.sign(profile) * np.exp(-3 * np.abs(profile)) * rng.choice([-1, 1])
    shade += rng.choice([-1, 1]) * rng.uniform(0, 45) * np.exp(-((profile * wide / 0.8) ** 2))
    step = 32
    for start in range(0, length, step):
        middle = int(at + slope * (start / length - 0.5) + rng.normal(0, 0.6))
        lo, hi = max(0, middle - wide), min(across, middle + wide + 1)
        if lo >= hi:
            continue
        add = shade[lo - middle + wide : hi - middle + wide]
        end = min(start + step, length)
        part = image[start:end, lo:hi] if upright else image[lo:hi, start:end]
        part[...] = np.clip(part + (add[None, :, None] if upright else add[:, None, None]), 0, 255)


# --- light, lens and file ---


def _field(image: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Multiply by a smooth field given small: low [h, w, 3] float, 1.0 leaves a pixel as it is."""
    small = np.clip(np.round(low * 128), 0, 255).astype(np.uint8)
    return cv2.multiply(image, cv2.resize(small, image.shape[1::-1]), scale=1 / 128)


def _bleach(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Faded or yellowed print, contrast off: one tone curve a channel."""
    x = np.arange(256) / 255
    fade = rng.uniform(0, 0.35) if rng.random() < 0.4 else 0.0
    gamma = np.exp(rng.normal(0, 0.15))
    gain = rng.uniform(0.96, 1.12)
    yellow = rng.uniform(0, 0.1, 3) * [0.2, 0.5, 1.0] if rng.random() < 0.35 else np.zeros(3)
    white = 1 - yellow - rng.uniform(0, 0.04)
    curve = np.clip((fade + (1 - fade) * x**gamma)[:, None] * gain, 0, 1) * white
    return cv2.LUT(image, np.round(curve * 255).astype(np.uint8)[None])


def _streaks(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lines along the feed from dirt on the scanner's glass or dead dots of the print head."""
    image = image.copy()
    h, w = image.shape[:2]
    upright = rng.random() < 0.6
    for _ in range(rng.integers(1, 6)):
        at, wide = int(rng.integers(0, w if upright else h)), int(rng.integers(1, 4))
        part = image[:, at : at + wide] if upright else image[at : at + wide]
        part[...] = np.clip(part.astype(np.int16) + int(rng.uniform(-60, 70)), 0, 255)
    return image


def _two_tone(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Almost one bit, as a fax or a copier makes it: the grid may go, the trace stays."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if grey[::16, ::16].mean() < 110:
        return image
    level = rng.uniform(120, 190)
    soft = rng.uniform(2, 20)
    curve = 255 / (1 + np.exp(-np.clip((np.arange(256) - level) / soft, -30, 30)))
    return cv2.cvtColor(cv2.LUT(grey, curve.astype(np.uint8)), cv2.COLOR_GRAY2RGB)


def _blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, or a short straight movement of the hand; scaled to the picture's size."""
    kind, size = rng.random(), image.shape[1] / 1600
    if kind < 0.55:
        return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5) * size)
    if kind < 0.75:
        length = rng.uniform(1.5, 5.0) * size
        turn = rng.uniform(0, np.pi)
        reach = int(np.ceil(length / 2)) + 1
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        step = np.array([np.cos(turn), np.sin(turn)]) * length / 2
        ends = np.round((np.array([-step, step]) + reach) * 16).astype(np.int32)
        cv2.polylines(kernel, [ends], False, 1.0, 1, cv2.LINE_8, 4)
        return cv2.filter2D(image, -1, kernel / kernel.sum())
    return image


def _sharpened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As phones do: an unsharp mask, which leaves light rims along the lines."""
    much = rng.uniform(0.3, 1.5)
    soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.8, 2.0))
    return cv2.addWeighted(image, 1 + much, soft, -much, 0)


def _light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uneven light, its colour, a soft shadow and a glare."""
    h, w = 72, 96
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / [[[h]], [[w]]]
    turn = rng.uniform(0, 2 * np.pi)
    low = 1 + rng.uniform(0, 0.45) * ((x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn))
    centre = rng.uniform(0.2, 0.8, 2)
    low = low - rng.uniform(0, 0.35) * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2)
    if rng.random() < 0.5:
        # A hand or a phone: an edge or a blob with a soft rim.
        shadow = np.zeros((h, w), np.float32)
        if rng.random() < 0.6:
            turn, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3)
            shadow[(x - 0.5) * np.cos(turn) + (y - 0.5) * np.sin(turn) > at] = 1
        else:
            middle = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
            axes = (int(rng.uniform(10, 40)), int(rng.uniform(10, 40)))
            cv2.ellipse(shadow, middle, axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
        low = low * (1 - rng.uniform(0.1, 0.42) * cv2.GaussianBlur(shadow, (0, 0), rng.uniform(1.5, 8)))
    warm = np.clip(rng.normal(0.2, 0.5), -1, 1) * np.array([0.08, 0.01, -0.12])
    low = low[..., None] * (1 + warm + rng.normal(0, 0.012, 3)) * rng.uniform(0.72, 1.02)
    image = _field(image, low)
    if rng.random() < 0.2:
        glare = np.zeros((h, w), np.float32)
        middle = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        axes = (int(rng.uniform(2, 12)), int(rng.uniform(2, 8)))
        cv2.ellipse(glare, middle, axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
        glare = cv2.GaussianBlur(glare, (0, 0), rng.uniform(3, 9)) * rng.uniform(50, 190)
        big = cv2.resize(glare.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        image = cv2.add(image, cv2.cvtColor(big, cv2.COLOR_GRAY2RGB))
    return image


def _moire(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Faint waves, as when a screen is photographed: cos(ax + by), different a channel."""
    h, w = image.shape[:2]
    period, turn = rng.uniform(4, 40), rng.uniform(0, np.pi)
    a, b = 2 * np.pi / period * np.cos(turn), 2 * np.pi / period * np.sin(turn)
    x, y = np.arange(w, dtype=np.float32) * a, np.arange(h, dtype=np.float32) * b + rng.uniform(0, 6)
    wave = np.outer(np.cos(y), np.cos(x)) - np.outer(np.sin(y), np.sin(x))
    level = cv2.convertScaleAbs(wave + 1, alpha=rng.uniform(1.5, 8))
    tint = cv2.merge([level, cv2.convertScaleAbs(level, alpha=0.7), cv2.convertScaleAbs(level, alpha=1.2)])
    return cv2.subtract(image, tint)


@lru_cache(maxsize=1)
def _grain() -> np.ndarray:
    """Normal noise about 128, sd 24, partly blurred as demosaicing leaves it: [1800, 2600, 3] uint8."""
    fine = np.random.default_rng(7).standard_normal((900, 1300, 3), np.float32)
    fine = 0.6 * fine + 1.6 * cv2.GaussianBlur(fine, (0, 0), 1.0)
    small = np.clip(128 + 24 / fine.std() * fine, 0, 255).astype(np.uint8)
    return np.tile(small, (2, 2, 1))


def _noise(image: np.ndarray, rng: np.random.Generator, sd: float) -> np.ndarray:
    """Sensor noise of standard deviation `sd` grey levels, cut from a random place of a fixed tile."""
    tile = _grain()
    h, w = image.shape[:2]
    y, x = int(rng.integers(0, max(1, tile.shape[0] - h))), int(rng.integers(0, max(1, tile.shape[1] - w)))
    piece = tile[y : y + h, x : x + w]
    if piece.shape != image.shape:
        piece = cv2.copyMakeBorder(piece, 0, h - piece.shape[0], 0, w - piece.shape[1], cv2.BORDER_REFLECT)
    return cv2.addWeighted(image, 1.0, piece, sd / 24, -128 * sd / 24)


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    # OpenCV takes what it is given for BGR: swapped, so that JPEG's luma is the right one.
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


_TABLES = (
    (150, 110, 75),
    (95, 65, 45),
    (190, 165, 130),
    (120, 122, 126),
    (45, 47, 52),
    (205, 208, 212),
    (60, 85, 110),
)


def _table(
    out_w: int, out_h: int, inverse: np.ndarray, w: int, h: int, rng: np.random.Generator
) -> np.ndarray:
    """What lies under the page: wood, cloth, a light or dark desk, with the page's soft shadow, [H, W, 3]."""
    colour = np.array(_TABLES[rng.integers(len(_TABLES))], np.float32) * rng.uniform(0.8, 1.15)
    size = (out_w // 4 + 1, out_h // 4 + 1)
    rough = rng.normal(0, 1, (int(rng.integers(4, 60)), int(rng.integers(4, 60)))).astype(np.float32)
    grain = cv2.resize(rough, size, interpolation=cv2.INTER_CUBIC)
    x, y = cv2.resize(inverse[..., 0], size), cv2.resize(inverse[..., 1], size)
    under = ((x > 0) & (x < w) & (y > 0) & (y < h)).astype(np.float32)
    offset = np.array([[1, 0, rng.uniform(-4, 4)], [0, 1, rng.uniform(-4, 4)]])
    shadow = cv2.GaussianBlur(cv2.warpAffine(under, offset, size), (0, 0), rng.uniform(1, 5))
    small = (colour + grain[..., None] * rng.uniform(1, 14)) * (1 - rng.uniform(0.1, 0.6) * shadow[..., None])
    return cv2.resize(np.clip(small, 0, 255).astype(np.uint8), (out_w, out_h), interpolation=cv2.INTER_LINEAR)
