"""The one form in which a vision-language model sees a page: 2:1, nothing stretched, the border's colour
around it.

`ecgvlm export` copies this file into the folder that it writes, beside `page_processor.py`: only NumPy and
Pillow are needed.
"""

from __future__ import annotations

import numpy as np
from PIL import Image


def fit(image: np.ndarray, width: int) -> np.ndarray:
    """The picture [H, W, 3] uint8 on a canvas of its border's colour, scaled to exactly [width / 2, width,
    3].
    """
    h, w = image.shape[:2]
    across, down = max(w, 2 * h), max((w + 1) // 2, h)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    canvas = np.empty((down, across, 3), np.uint8)
    canvas[:] = np.median(border, axis=0).astype(np.uint8)
    top, left = (down - h) // 2, (across - w) // 2
    canvas[top : top + h, left : left + w] = image
    if (down, across) == (width // 2, width):
        return canvas
    how = Image.Resampling.BOX if across > width else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(canvas).resize((width, width // 2), how))
