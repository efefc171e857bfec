"""Dark and faint pictures as print that is plain: the page net learned ink that stands out from its paper."""

from __future__ import annotations

import cv2
import numpy as np

from ecgvlm.quantile import quantile

# Grey levels by which the plainest ink is darker than its paper: below `FAINT` it is made as plain as on
# usual photographs. Fewer than so many are a sensor's noise, of which traces would be made that nobody
# printed.
FAINT, _USUAL, _NOISE = 40.0, 130.0, 11.0
_WHITE = 220.0  # grey levels of its paper then
_LOOKED_AT = 1500  # px of the longer side in which ink is looked for
_WIDEST = 15  # px there that ink is wide at most; edges of the page and of shadows are no ink
_PLAINEST = 0.995  # quantile of its contrast: ink is a hundredth of a picture that shows a table, too
_CELLS, _ABOUT = 400, 9  # along the longer side; so many in a row, of which one shows paper


def with_plain_ink(image: np.ndarray, contrast: float) -> np.ndarray:
    """The picture [H, W, 3] uint8 itself, or, where its ink is faint, with plain ink on evenly lit paper.

    contrast: of `contrast_of`.
    """
    if not _NOISE < contrast < FAINT:
        return image
    height, width = image.shape[:2]
    side = max(1, max(height, width) // _CELLS)
    cells = cv2.resize(image, (width // side, height // side), interpolation=cv2.INTER_AREA)
    cells = cv2.morphologyEx(cells, cv2.MORPH_CLOSE, np.ones((_ABOUT, _ABOUT), np.uint8))
    paper = cv2.resize(cv2.blur(cells.astype(np.float32), (5, 5)), (width, height))
    ink = cv2.subtract(image, paper, dst=paper, dtype=cv2.CV_32F)
    return cv2.addWeighted(ink, _USUAL / contrast, ink, 0.0, _WHITE, dtype=cv2.CV_8U)


def contrast_of(image: np.ndarray) -> float:
    """Grey levels by which narrow print is darker than what is about it where it is plainest."""
    step = max(1, max(image.shape[:2]) // _LOOKED_AT)
    grey = cv2.cvtColor(np.ascontiguousarray(image[::step, ::step]), cv2.COLOR_RGB2GRAY)
    ink = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones((_WIDEST, _WIDEST), np.uint8))
    return quantile(ink[::3, ::3].ravel(), _PLAINEST)
