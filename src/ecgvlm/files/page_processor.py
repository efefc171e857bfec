"""Processors of SmolVLM's family that bring any picture into the form that pages were trained in
(`page_form.py`).

`ecgvlm export` copies both files into the folder that it writes, so that transformers sees there what
training saw:

    processor = AutoProcessor.from_pretrained(folder, trust_remote_code=True)
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image
from transformers import Idefics3Processor, SmolVLMProcessor
from transformers.image_utils import load_image

from .page_form import fit, upright


def _fitted(images: Any, width: int) -> Any:
    """The same pictures (one, a list, a list of lists) on 2:1 sheets."""
    if isinstance(images, list | tuple):
        return [_fitted(image, width) for image in images]
    return Image.fromarray(fit(upright(_opened(images)), width))


def _opened(image: Any) -> Image.Image:
    """A picture, an array [H, W, 3], or where one is: a file, a URL or base64, as chat messages name it."""
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, str):
        return Image.fromarray(np.asarray(image))
    # transformers' own function lays what is transparent on black.
    return Image.open(image) if os.path.isfile(image) else load_image(image)


class _OnSheets:
    """A processor that lays pictures on sheets before all else."""

    image_processor: Any

    def __call__(self, images: Any = None, *args: Any, **kwargs: Any) -> Any:
        if images is not None:
            images = _fitted(images, self.image_processor.size["longest_edge"])
        return super().__call__(images, *args, **kwargs)  # type: ignore[misc]


class EcgIdefics3Processor(_OnSheets, Idefics3Processor):
    """Of SmolVLM-256M and 500M."""


class EcgSmolVLMProcessor(_OnSheets, SmolVLMProcessor):
    """Of SmolVLM2."""
