"""Pictures as RGB of 8 bits, and the one form in which a vision-language model sees a page: 2:1, nothing
stretched, the border's colour around it.

`ecgvlm export` copies this file into the folder that it writes, beside `page_processor.py`: only NumPy and
Pillow are needed.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps


def fit(image: np.ndarray, width: int) -> np.ndarray:
    """The picture [H, W, 3] uint8 on a canvas of its border's colour, scaled to exactly [width / 2, width,
    3].
    """
    h, w = image.shape[:2]
    across, down, left, top = _canvas(h, w)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    canvas = np.empty((down, across, 3), np.uint8)
    canvas[0] = np.median(border, axis=0).astype(np.uint8)
    canvas[1:] = canvas[0]  # row by row: pixel by pixel takes as long as the scaling
    canvas[top : top + h, left : left + w] = image
    if (down, across) == (width // 2, width):
        return canvas
    how = Image.Resampling.BOX if across > width else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(canvas).resize((width, width // 2), how))


def _canvas(h: int, w: int) -> tuple[int, int, int, int]:
    """Width and height of the 2:1 canvas around a picture, and its place there: left, top."""
    across, down = max(w, 2 * h), max((w + 1) // 2, h)
    return across, down, (across - w) // 2, (down - h) // 2


def upright(picture: Image.Image) -> np.ndarray:
    """Any picture as [H, W, 3] uint8 RGB, turned as its EXIF says."""
    picture = ImageOps.exif_transpose(picture)
    return rgb(picture.convert("RGBA") if picture.mode == "P" else picture)


def rgb(picture: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 of any mode: deep greys scaled to 8 bit, palettes resolved, transparency over paper."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        grey = np.nan_to_num(np.asarray(picture, np.float32))
        largest = float(grey.max(initial=0.0))
        # Scanners store 10, 12 or 16 bit in the same 16; floats run from 0 to 1 or like integers.
        bits = max(8, int(largest).bit_length())
        white = 1.0 if picture.mode == "F" and largest <= 1 else 2.0**bits - 1
        grey = np.clip(grey * (255 / white), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        picture = Image.new("RGBA", clear.size, _backdrop(np.asarray(clear)))
        picture.alpha_composite(clear)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _backdrop(picture: np.ndarray) -> str:
    """What a picture ([H, W, 4]) with transparent parts shows on: black where it is drawn in white."""
    drawn = picture[picture[..., 3] > 127][:, :3]
    mostly_clear = (picture[..., 3] < 128).mean() > 0.5
    return "black" if mostly_clear and len(drawn) and np.median(drawn) > 200 else "white"
