"""Pages that cannot be read right: a model that scores as well on them as on the true ones reads nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import cv2
import numpy as np

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.row import Row

CONTROLS = ("none", "blank", "shuffled", "noise")


def control_images(items: Sequence[Row], control: str, seed: int = 0) -> Callable[[Row], tuple[bytes, ...]]:
    """The pictures to show for each row.

    blank: white, as large as the row's own. noise: grey noise of that size. shuffled: the page of another
    patient (another row where the gold names no patients). Raises EcgError where there is no other
    patient.
    """
    if control == "none":
        return Row.image_files
    if control == "shuffled":
        other = _others(items, seed)
        return lambda item: other[item.id].image_files()
    if control not in CONTROLS:
        raise UsageError(f"no control {control!r}; there are: {', '.join(CONTROLS)}")

    def replaced(item: Row) -> tuple[bytes, ...]:
        images = [_outline(item, data) for data in item.image_files()]
        return tuple(_page(8 * height, 8 * width, control, seed) for height, width in images)

    return replaced


def _outline(item: Row, data: bytes) -> tuple[int, int]:
    """Height and width of a row's picture, in eighths. Raises EcgError where it cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    if image is None:
        raise EcgError("unreadable_file", f"row {item.id}: the image cannot be decoded")
    height, width = image.shape
    return height, width


@lru_cache(maxsize=16)
def _page(height: int, width: int, control: str, seed: int) -> bytes:
    if control == "blank":
        page = np.full((height, width), 255, np.uint8)
    else:
        page = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    return cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()


def _others(items: Sequence[Row], seed: int) -> dict[str, Row]:
    """For each row, one of another patient: rows are shuffled and shifted by more than the largest patient
    has.
    """

    def who(item: Row) -> str:
        return item.patient or f"row {item.id}"

    people = sorted({who(i) for i in items})
    random.Random(seed).shuffle(people)
    rank = {p: k for k, p in enumerate(people)}
    ordered = sorted(items, key=lambda i: (rank[who(i)], i.id))
    largest = max(Counter(map(who, items)).values())
    if 2 * largest > len(ordered):
        raise UsageError("too few patients to show each row the page of another")
    return {item.id: ordered[(k + largest) % len(ordered)] for k, item in enumerate(ordered)}
