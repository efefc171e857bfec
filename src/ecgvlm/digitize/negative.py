"""Dark screens as paper: all that reads a page looks for ink that is darker than what it stands on."""

from __future__ import annotations

import cv2
import numpy as np

from ecgvlm.files.picture import shrunk
from ecgvlm.quantile import median

_DARK = 110  # median brightness below which a page may be a negative
_PLACE, _DETAIL = 31, 2.0  # px of a place that is looked at, and grey levels that it then differs by at least


def dark_on_bright(image: np.ndarray) -> np.ndarray:
    """The picture [H, W, 3] uint8, turned into a positive where its print is brighter than its paper.

    Half of the colour stays: pure green is as bright as white is.
    """
    if not _is_negative(image):
        return image
    brightest = image.max(axis=2, keepdims=True)
    return 255 - brightest + (brightest - image) // 2


def _is_negative(image: np.ndarray) -> bool:
    """Whether print is brighter than its paper, as on a dark screen: fine detail tells, light does not.

    Most places that show any have it: what is written on the dark around a page, and its edges, are few.
    """
    if median(cv2.cvtColor(np.ascontiguousarray(image[::8, ::8]), cv2.COLOR_RGB2GRAY)) >= _DARK:
        return False
    grey = cv2.cvtColor(shrunk(image, min(1.0, 800 / max(image.shape[:2]))), cv2.COLOR_RGB2GRAY)
    detail = grey - cv2.blur(grey.astype(np.float32), (31, 31))
    places = cv2.blur(detail**3, (_PLACE, _PLACE))[::_PLACE, ::_PLACE]
    return bool((places > _DETAIL**3).sum() > (places < -(_DETAIL**3)).sum())
