"""The picture of a page, resampled as flat paper at `PX_PER_MM`."""

from __future__ import annotations

import cv2
import numpy as np

from ecgvlm.digitize.grid import PaperMap
from ecgvlm.digitize.pagenet import PX_PER_MM

_MARGIN = 32.0  # mm around the seen grid that the rectified page shows
_LONGEST = 660.0  # mm of a page's side


def rectify(image: np.ndarray, paper: PaperMap) -> tuple[np.ndarray, tuple[float, float]]:
    """The paper at `PX_PER_MM`, sides multiples of 16 px, and the mm of the paper at its top left pixel.

    Raises ValueError where the map shows no part of the picture.
    """
    h, w = image.shape[:2]
    x0, y0, x1, y1 = paper.box
    cell = 5.0
    xs = np.arange(x0 - _MARGIN, x1 + _MARGIN + cell, cell)[: int(_LONGEST / cell)]
    ys = np.arange(y0 - _MARGIN, y1 + _MARGIN + cell, cell)[: int(_LONGEST / cell)]
    nodes = np.stack(np.meshgrid(xs, ys), -1)
    mesh = paper.to_px(nodes)
    inside = (mesh[..., 0] > -1) & (mesh[..., 0] < w) & (mesh[..., 1] > -1) & (mesh[..., 1] < h)
    inside = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # the picture's very edge too
    rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(rows) < 4 or len(cols) < 4:
        raise ValueError("the paper lies outside the picture")
    mesh = mesh[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    step = round(cell * PX_PER_MM)
    shrink = min(1.0, PX_PER_MM / paper.scale() * 1.25)
    if shrink < 0.8:  # finer pictures are averaged down first, against aliasing
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        mesh = (mesh + 0.5) * shrink - 0.5
    dense = cv2.resize(mesh.astype(np.float32), None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    half = step // 2  # where cv2.resize puts the first node
    height = (mesh.shape[0] - 1) * step // 16 * 16
    width = (mesh.shape[1] - 1) * step // 16 * 16
    dense = np.ascontiguousarray(dense[half : half + height, half : half + width])
    across, down = cv2.split(dense)
    page = cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return page, (float(xs[cols[0]]), float(ys[rows[0]]))


def flat_paper(image: np.ndarray, scale: float, angle: float) -> PaperMap:
    """A flat page that fills the picture: px per mm, and the angle of its rows in radians."""
    h, w = image.shape[:2]
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    centre = np.array([w, h]) / scale / 2
    homography = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    homography[:2, 2] = np.array([w / 2, h / 2]) - homography[:2, :2] @ centre
    box = (_MARGIN, _MARGIN, w / scale - _MARGIN, h / scale - _MARGIN)
    return PaperMap(homography, np.zeros((15, 2)), centre, float(max(centre)), box, 0.0)


def skew(image: np.ndarray) -> float:
    """Angle in radians, within 6 degrees, at which lines of print make the sharpest horizontal profile."""
    small = cv2.resize(image, None, fx=(f := 700 / max(image.shape[:2])), fy=f, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    dark = np.maximum(cv2.blur(grey, (31, 31)) - grey - 8, 0)
    h, w = dark.shape
    best, found = -1.0, 0.0
    for degrees in np.arange(-6.0, 6.01, 0.25):
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), float(degrees), 1.0)
        profile = cv2.warpAffine(dark, turn, (w, h)).sum(1)
        sharp = float((np.diff(profile) ** 2).sum())
        if sharp > best:
            best, found = sharp, float(np.deg2rad(degrees))
    return found
