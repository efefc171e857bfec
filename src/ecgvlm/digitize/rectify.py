"""The picture of a page, resampled as flat paper at `PX_PER_MM`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.surface import CELL, PaperMap
from ecgvlm.files.picture import shrunk

CELL_PX = round(CELL * PX_PER_MM)


def rectify(image: np.ndarray, paper: PaperMap) -> tuple[np.ndarray, tuple[float, float]]:
    """The paper at `PX_PER_MM`, sides multiples of 16 px, and the mm of the paper at its top left pixel.

    image: [H, W, 3] or [H, W]. Raises ValueError where the map shows no part of the picture.
    """
    h, w = image.shape[:2]
    mesh = paper.to_px(paper.nodes())
    inside = (mesh[..., 0] > -1) & (mesh[..., 0] < w) & (mesh[..., 1] > -1) & (mesh[..., 1] < h)
    inside = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # the picture's very edge too
    rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(rows) < 4 or len(cols) < 4:
        raise ValueError("the paper lies outside the picture")
    part = mesh[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    (picture,), shrink = fitting([image], paper.scale())
    page = resampled(picture, dense(part, shrink))
    height, width = page.shape[:2]
    # Filled up, not cut down: the last millimetres may show the trace.
    page = cv2.copyMakeBorder(
        page, 0, -height % 16, 0, -width % 16, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    origin = paper.at[0] + cols[0] * CELL, paper.at[1] + rows[0] * CELL
    return page, (float(origin[0]), float(origin[1]))


def fitting(images: Sequence[np.ndarray], scale: float) -> tuple[Sequence[np.ndarray], float]:
    """Pictures of so many px per mm as fine as a page at `PX_PER_MM` needs them, and how much smaller.

    Finer ones are averaged down, against aliasing.
    """
    shrink = PX_PER_MM / scale * 1.25
    if shrink >= 0.8:
        return images, 1.0
    return [shrunk(image, shrink) for image in images], shrink


def dense(mesh: np.ndarray, shrink: float = 1.0) -> np.ndarray:
    """Where every px of a page at `PX_PER_MM` lies in a picture, [h, w, 2] px.

    mesh: [rows, cols, 2] px of the page's nodes, `CELL` apart, in the picture before it was made smaller by
    `shrink`.
    """
    rows, cols = mesh.shape[:2]
    mesh = ((mesh + 0.5) * shrink - 0.5).astype(np.float32)
    every = cv2.resize(mesh, None, fx=CELL_PX, fy=CELL_PX, interpolation=cv2.INTER_LINEAR)
    half = CELL_PX // 2  # where cv2.resize puts the first node
    return every[half : half + (rows - 1) * CELL_PX, half : half + (cols - 1) * CELL_PX]


def resampled(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """A picture [H, W], [H, W, 3] or [H, W, 4] at the px [h, w, 2] of it."""
    three = image.ndim == 3 and image.shape[2] == 3
    if three:  # which takes OpenCV twice as long as four
        image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
    seen = cv2.remap(  # type: ignore[call-overload]  # its stub wants two maps
        image, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.cvtColor(seen, cv2.COLOR_RGBA2RGB) if three else seen


_TURNED, _INK = 30.0, 40.0  # degrees, and grey levels
_LIKELY = 12  # angles, by half the picture's px, that are tried on all of them


def flat_paper(image: np.ndarray, scale: float, angle: float) -> PaperMap:
    """A flat page that fills the picture: px per mm, and the angle of its rows in radians."""
    h, w = image.shape[:2]
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    centre = np.array([w, h]) / scale / 2
    homography = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    homography[:2, 2] = np.array([w / 2, h / 2]) - homography[:2, :2] @ centre
    return PaperMap.covering(homography, image.shape)


def skew(image: np.ndarray) -> float:
    """Angle in radians, within 30 degrees, at which lines of print make the sharpest horizontal profile."""
    small = cv2.resize(image, None, fx=(f := 700 / max(image.shape[:2])), fy=f, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # No line counts for more than print: a table's edge is darker.
    dark = np.clip(cv2.blur(grey, (31, 31)) - grey - 8, 0, _INK)
    few = cv2.resize(dark, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    likely = sorted(np.arange(-_TURNED, _TURNED + 0.1, 0.5).tolist(), key=partial(_sharpness, few))[-_LIKELY:]
    about = max(likely, key=partial(_sharpness, dark))
    return float(np.deg2rad(max((about - 0.25, about, about + 0.25), key=partial(_sharpness, dark))))


def _sharpness(dark: np.ndarray, degrees: float) -> float:
    """How much the darkness of rows changes from one to the next in a picture turned by this angle."""
    h, w = dark.shape
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1.0)
    return float((np.diff(cv2.warpAffine(dark, turn, (w, h)).sum(1)) ** 2).sum())
