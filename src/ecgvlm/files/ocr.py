"""Words on pictures, by RapidOCR where it is installed (the extra `ocr`); its models come in its wheel."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Any

import numpy as np

from ecgvlm.files.drawing import Word

_LONGEST = 1_600  # px of a side at which print is looked for
_LEAST = 0.6  # probability from which on a line counts


def can_read_words() -> bool:
    return importlib.util.find_spec("rapidocr") is not None


def read_words(image: np.ndarray) -> list[Word]:
    """The lines of print on a picture, [H, W, 3] uint8 RGB, as one word each."""
    read = _engine()(np.ascontiguousarray(image[..., ::-1]), use_cls=False)
    if read.boxes is None:
        return []
    return [
        Word(text, *box.min(0).tolist(), *box.max(0).tolist())
        for text, box, sure in zip(read.txts, np.asarray(read.boxes, float), read.scores)
        if sure >= _LEAST
    ]


@lru_cache
def _engine() -> Any:
    from rapidocr import RapidOCR

    one = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    # As it is, it would enlarge the low strips above and below the traces to 736 px of height.
    as_large = {"Det.limit_type": "max", "Det.limit_side_len": _LONGEST}
    return RapidOCR(params={"Global.log_level": "error", **one, **as_large})
