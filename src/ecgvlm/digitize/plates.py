"""Names that stand bright on dark plates, as on web pages, become print on paper, which nets read better."""

from __future__ import annotations

import cv2
import numpy as np

from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.quantile import quantiles

_HALF = 2  # plates are looked for in a picture of half the size; px below are of that
_BLOCK = 4  # px of the squares of which the brightest nearby tells the paper's level
# Grey levels, and of those of the darkest print, by which a plate is darker than the paper.
_DARKER, _INKS = 45, 0.45
_STROKE = 5  # px of letters' strokes at most
_SOLID = 5  # px that a plate is wide at least, far more than any pen's line
_LEAST_HIGH, _LEAST_WIDE = 7, 0.65  # px that it is high at least; wide as a part of that
_MARGIN = 3  # px about a plate that are looked at
_WIDEST, _HIGHEST = 20.0 * PX_PER_MM / _HALF, 8.0 * PX_PER_MM / _HALF
_FILLED = 0.75  # of the box about a plate, that it fills
_RIM = 0.9  # share of a plate's rim that is dark: letters do not touch it
_BEYOND = 0.12  # share of what is about a plate that may be dark: a line that runs into it
_PRINT, _LEAST_PRINT = 30, 0.03  # levels by which print is brighter than its plate, and its share of it
_EVEN, _MOSTLY = 20, 0.5  # levels within which most of a plate is of one colour: no letter with holes is
_PRINTED = 0.9  # of the paper's level, by which print is darker


def without_plates(page: np.ndarray) -> np.ndarray:
    """A rectified page [H, W, 3] uint8 RGB with the print of dark plates dark on paper: a copy, or itself
    where it has no such plates."""
    height, width = page.shape[0] // _HALF, page.shape[1] // _HALF
    grey = cv2.cvtColor(cv2.resize(page, (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    blocks = cv2.resize(grey, (width // _BLOCK, height // _BLOCK), interpolation=cv2.INTER_AREA)
    paper = cv2.resize(cv2.dilate(blocks, _square(5)), (width, height), interpolation=cv2.INTER_LINEAR)
    depth = cv2.subtract(paper, grey)
    least = max(_DARKER, _INKS * quantiles(depth[::4, ::4], 0.995).item())
    dark = cv2.compare(depth, least, cv2.CMP_GT)
    closed = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, _square(_STROKE))
    solid = cv2.morphologyEx(closed, cv2.MORPH_OPEN, _square(_SOLID))
    if not solid.any():
        return page
    read = page
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(solid, ltype=cv2.CV_16U)
    for k, (x, y, w, h, area) in enumerate(boxes[1:].tolist(), 1):
        if not (_LEAST_WIDE * h <= w <= _WIDEST and _LEAST_HIGH <= h <= _HIGHEST) or area < _FILLED * w * h:
            continue
        if min(x, y, width - x - w, height - y - h) < _MARGIN:
            continue  # what lies beyond the picture's edge is drawn out from it
        box = slice(y - _MARGIN, y + h + _MARGIN), slice(x - _MARGIN, x + w + _MARGIN)
        plate = (labels[box] == k).astype(np.uint8)
        if not _is_plate(grey[box], dark[box] > 0, plate):
            continue
        if read is page:
            read = page.copy()
        whole = cv2.dilate(np.maximum(plate, closed[box] // 255), _square(5))  # with its rounded corners
        part = read[tuple(slice(_HALF * side.start, _HALF * side.stop) for side in box)]
        _print_anew(part, cv2.erode(plate, _square(3)), whole, paper[box].max())
    return read


def _is_plate(grey: np.ndarray, dark: np.ndarray, plate: np.ndarray) -> bool:
    """Whether something solid [h, w], 1 where it is, has brighter print on it and paper about it."""
    # Letters that stand close are as solid, but not along their upper and lower edges.
    rims = [dark[plate > cv2.erode(plate, np.ones(side, np.uint8))].mean() for side in ((3, 1), (1, 3))]
    about = cv2.dilate(plate, _square(2 * _MARGIN + 1)) > cv2.dilate(plate, _square(2 * _MARGIN - 1))
    over = grey[plate > 0] - quantiles(grey[plate > 0], 0.5)
    return bool(
        min(rims) >= _RIM
        and dark[about].mean() <= _BEYOND
        and (over > _PRINT).mean() > _LEAST_PRINT
        and (np.abs(over) < _EVEN).mean() > _MOSTLY
    )


def _print_anew(part: np.ndarray, plate: np.ndarray, whole: np.ndarray, paper: float) -> None:
    """In place, the part of the page [2 h, 2 w, 3] that shows a plate. plate, whole: [h, w], 1 where its
    inside is, and where it is with its edges. paper: grey level."""
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside, covered = (
        cv2.resize(mask, grey.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0 for mask in (plate, whole)
    )
    level, most = quantiles(grey[inside], 0.5, 0.98).tolist()
    ink = np.where(inside, np.clip((grey - level) / max(1.0, most - level), 0, 1), 0.0)
    part[covered] = (paper * (1 - _PRINTED * ink[covered]))[:, None].astype(np.uint8)


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), np.uint8)
