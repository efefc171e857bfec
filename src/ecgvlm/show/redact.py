"""Blanks what is printed around the leads: names, dates, numbers, handwriting. Traces and their grid stay."""

from __future__ import annotations

import cv2
import numpy as np

from ecgvlm.digitize import Page
from ecgvlm.digitize.joined import Stacked, stacked

# mm that stay above and below the outer traces and zero lines, for the lead names; and left of the rows, for
# calibration pulses, and right of them.
_AROUND_TRACE, _AROUND_ZERO, _LEFT, _RIGHT = 3.0, 9.5, 14.0, 2.0


def redact(image: np.ndarray, page: Page) -> np.ndarray:
    """A copy of the picture [H, W, 3] RGB in which only the block of leads is left, around it one colour.

    All around the block goes, rather than what looks like text: a detector misses some. Writing between and
    across the leads stays. Of an ECG on two pages each keeps its own block, as does each ECG of a picture
    with several.
    """
    if isinstance(page.paper, Stacked):
        upper, lower = page.paper.upper, page.paper.lower
        cut = upper.picture[0]
        return stacked(redact(image[:cut], upper), redact(image[cut:], lower))
    keep = np.zeros(image.shape[:2], np.uint8)
    for one in (page, *page.others):
        cv2.fillPoly(keep, [np.round(_block(one)).astype(np.int32)], 1)
    shown = image[keep > 0]
    colour = np.median(shown, axis=0) if len(shown) else np.full(3, 255)
    return np.where(keep[..., None] > 0, image, colour.astype(np.uint8))


def _block(page: Page) -> np.ndarray:
    """The outline of a page's block of leads in the picture: [n, 2] px."""
    curves = np.concatenate([strip.curve for strip in page.strips])
    zeros = [strip.y for strip in page.strips]
    left = min(strip.x0 for strip in page.strips) - _LEFT
    right = max(strip.x1 for strip in page.strips) + _RIGHT
    top = min(float(np.nanmin(curves[:, 1])) - _AROUND_TRACE, min(zeros) - _AROUND_ZERO)
    bottom = max(float(np.nanmax(curves[:, 1])) + _AROUND_TRACE, max(zeros) + _AROUND_ZERO)
    x = np.linspace(left, right, 60)  # points enough to follow a bent page
    edges = [np.stack([x, np.full_like(x, y)], 1) for y in (top, bottom)]
    return page.to_source(np.concatenate([edges[0], edges[1][::-1]]))
