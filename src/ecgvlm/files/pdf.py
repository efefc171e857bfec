"""Pages of PDF documents: as drawings where a program drew them, else as pictures."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.drawing import Drawing
from ecgvlm.files.leaf import Leaf, Sheet, numbered

_SIDE = 2_000  # px on the long side of what is shown: 7 px/mm on A4
_POINT_MM = 25.4 / 72
_PART = 0.6  # of a page's area, that makes a picture in it the whole of what is shown
_LOGO = 0.04  # of a page's area; smaller pictures are none of an ECG
_FEW_LINES = 200  # pieces of drawn lines that are hardly traces
# pdfium is not thread-safe, and a server reads in several threads.
_PDFIUM = threading.Lock()


def is_pdf(data: bytes) -> bool:
    return b"%PDF-" in data[:1024]


def pdf_leaves(data: bytes, name: str) -> list[Leaf]:
    """The pages of a document. Raises EcgError."""
    count = pdf_pages(data, name)
    return [Leaf(numbered(name, i, count), partial(load_pdf, data, name, i)) for i in range(count)]


def pdf_pages(data: bytes, name: str) -> int:
    with _open_pdf(data, name) as document:
        return len(document)


def load_pdf(data: bytes, name: str, page: int) -> Sheet:
    """One page, upright as its letters are; as a drawing where it has lines or words. Raises EcgError.

    Where all that it shows is a picture on a part of it, only that part: an ECG in a letter is small.
    """
    from ecgvlm.files.paths import TooMuch, page_lines, page_words, quarter_turns

    with _open_pdf(data, name) as document:
        leaf = document[page]
        if turns := quarter_turns(leaf):
            leaf.set_rotation((leaf.get_rotation() + 90 * turns) % 360)
        if (part := _pictured(leaf)) is not None:
            leaf.set_cropbox(*part)
        scale = _SIDE / max(leaf.get_size())
        image = leaf.render(scale=scale, rev_byteorder=True).to_numpy()[:, :, :3].copy()
        height, width = image.shape[:2]
        to_px = _to_px(leaf, height, width)
        across, down = leaf.get_size()
        px_per_mm = width / across / _POINT_MM, height / down / _POINT_MM
        try:
            lines = page_lines(leaf, to_px)
        except TooMuch:
            lines = []
        words = page_words(leaf, to_px)
        return Drawing(image, px_per_mm, tuple(lines), tuple(words)) if lines or words else image


def _pictured(leaf: Any) -> tuple[float, float, float, float] | None:
    """The part of a page that its pictures take, in points, where no drawn line on it may be a trace."""
    import pypdfium2.raw as pdfium

    left, bottom, right, top = leaf.get_bbox()
    page = (right - left) * (top - bottom)
    boxes, paths = [], 0
    for item in leaf.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_PATH]):
        if item.type == pdfium.FPDF_PAGEOBJ_PATH:
            paths += max(1, pdfium.FPDFPath_CountSegments(item))
            if paths > _FEW_LINES:
                return None
            continue
        x0, y0, x1, y1 = item.get_bounds()
        if (x1 - x0) * (y1 - y0) > _LOGO * page:
            boxes.append((x0, y0, x1, y1))
    if not boxes:
        return None
    lows, highs = np.array(boxes)[:, :2].min(0), np.array(boxes)[:, 2:].max(0)
    x0, y0 = np.maximum(lows, (left, bottom)).tolist()
    x1, y1 = np.minimum(highs, (right, top)).tolist()
    return (x0, y0, x1, y1) if 0 < (x1 - x0) * (y1 - y0) < _PART * page and x1 > x0 else None


def _to_px(leaf: Any, height: int, width: int) -> np.ndarray:
    """[2, 3] that takes the points of a page to the px of its picture; whole numbers are middles of px."""
    left, bottom, right, top = leaf.get_bbox()
    across, down = right - left, top - bottom
    turned = {
        0: [[1 / across, 0, -left / across], [0, -1 / down, top / down]],
        90: [[0, 1 / down, -bottom / down], [1 / across, 0, -left / across]],
        180: [[-1 / across, 0, right / across], [0, 1 / down, -bottom / down]],
        270: [[0, -1 / down, top / down], [-1 / across, 0, right / across]],
    }[leaf.get_rotation()]
    to_px = np.array(turned) * np.array([[width], [height]])
    to_px[:, 2] -= 0.5
    return to_px


@contextlib.contextmanager
def _open_pdf(data: bytes, name: str) -> Iterator[Any]:
    """A pypdfium2 document with at least one page; what goes wrong with it is an EcgError."""
    import pypdfium2 as pdfium

    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(data)
            try:
                if not len(document):
                    raise ValueError("it has no pages")
                yield document
            finally:
                document.close()
        except (pdfium.PdfiumError, IndexError, ZeroDivisionError, ValueError) as error:
            if "password" in str(error).lower():
                raise unreadable(name, "the PDF asks for a password; save it without one") from error
            raise unreadable(name, f"not a readable PDF ({error}); copy or export it again") from error
