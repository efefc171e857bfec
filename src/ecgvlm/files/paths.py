"""The lines and words of a PDF page, as pdfium tells them."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import pypdfium2.raw as pdfium

from ecgvlm.files.drawing import Line, Word

MOST_POINTS = 1_500_000  # of all paths of a page; beyond, it is no ECG
_MOST_LETTERS = 50_000
_CURVE = np.linspace(0, 1, 9)[1:, None]  # where a Bezier curve is looked at
_TOUCH = 0.05  # points (1/72 inch) within which a line goes on where the one before it ended
_GAP = 0.25  # of a letter's height, that makes a new word
_OUTLINE = 20  # corners from which on a filled shape may be the outline of a thick line


class TooMuch(Exception):
    """The page holds more than any ECG."""


def page_lines(page: Any, to_px: np.ndarray) -> list[Line]:
    """Every visible stroke of a pypdfium2 page, and what is filled as an outline of one.

    to_px: [2, 3], points of the page -> px. Pieces that are drawn one after the other, end to start in one
    look, make one line. Raises TooMuch.
    """
    lines: list[tuple[np.ndarray, int]] = []
    styles: dict[tuple, int] = {}
    left = MOST_POINTS
    scale = float(np.sqrt(abs(np.linalg.det(to_px[:, :2]))))
    for item in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_PATH]):
        left -= max(1, pdfium.FPDFPath_CountSegments(item))
        if left < 0:
            raise TooMuch
        look = _look(item)
        if look is None:
            continue
        style = styles.setdefault(look, len(styles))
        for px in _strokes(item, to_px, filled=look[-1]):
            if lines and lines[-1][1] == style and np.abs(lines[-1][0][-1] - px[0]).max() < _TOUCH * scale:
                before, _ = lines.pop()
                px = np.concatenate([before, px[1:]])
            lines.append((px, style))
    return [Line(px, style) for px, style in lines]


def _strokes(item: Any, to_px: np.ndarray, filled: bool) -> Iterator[np.ndarray]:
    """[n, 2] px of each piece of a path; of what is filled, the middle of each line that it outlines."""
    matrix = _matrix(item, to_px)
    for points in _polylines(item):
        px = points @ matrix[:, :2].T + matrix[:, 2]
        stroke = _middle(px) if filled else px
        if stroke is not None:
            yield stroke


def _matrix(item: Any, to_px: np.ndarray) -> np.ndarray:
    """[2, 3] of a path's own coordinates -> px, through the forms that it stands in."""
    whole = np.vstack([to_px, [0, 0, 1]])
    chain = [item]
    while chain[-1].container is not None:
        chain.append(chain[-1].container)
    for part in reversed(chain):
        a, b, c, d, e, f = part.get_matrix().get()
        whole = whole @ np.array([[a, c, e], [b, d, f], [0, 0, 1]])
    return whole[:2]


def _look(item: Any) -> tuple | None:
    """What tells lines of one kind from others: colour, width, whether filled. None where nothing shows."""
    fill, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium.FPDFPath_GetDrawMode(item, fill, stroke)
    if not fill.value and not stroke.value:
        return None
    colour = [ctypes.c_uint() for _ in range(4)]
    ask = pdfium.FPDFPageObj_GetStrokeColor if stroke.value else pdfium.FPDFPageObj_GetFillColor
    ask(item, *colour)
    width = ctypes.c_float()
    pdfium.FPDFPageObj_GetStrokeWidth(item, width)
    red, green, blue, alpha = (part.value for part in colour)
    if alpha == 0 or (red, green, blue) == (255, 255, 255):
        return None
    return red, green, blue, round(width.value, 2), not stroke.value


def _polylines(item: Any) -> Iterator[np.ndarray]:
    """[n, 2] of each part of a path, in its own coordinates; curves as straight pieces."""
    x, y = ctypes.c_float(), ctypes.c_float()
    points: list[tuple[float, float]] = []
    control: list[tuple[float, float]] = []
    for k in range(pdfium.FPDFPath_CountSegments(item)):
        segment = pdfium.FPDFPath_GetPathSegment(item, k)
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        at, kind = (x.value, y.value), pdfium.FPDFPathSegment_GetType(segment)
        if kind == pdfium.FPDF_SEGMENT_MOVETO:
            if len(points) > 1:
                yield np.array(points)
            points = [at]
        elif kind == pdfium.FPDF_SEGMENT_BEZIERTO and points:
            control.append(at)
            if len(control) == 3:
                points += map(tuple, _bezier(np.array([points[-1], *control])))
                control = []
        else:
            points.append(at)
        if pdfium.FPDFPathSegment_GetClose(segment) and points:
            points.append(points[0])
    if len(points) > 1:
        yield np.array(points)


def _bezier(corners: np.ndarray) -> np.ndarray:
    t = _CURVE
    weights = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return weights @ corners


def _middle(outline: np.ndarray) -> np.ndarray | None:
    """The line along the middle of a filled shape ([n, 2] px, closed); None where it is no thick line."""
    corners = outline[:-1] if np.allclose(outline[0], outline[-1]) else outline
    if len(corners) < _OUTLINE or np.ptp(corners[:, 0]) < np.ptp(corners[:, 1]):
        return None
    # Where the outline goes from left to right it is one edge, from right to left the other.
    first, last = int(np.argmin(corners[:, 0])), int(np.argmax(corners[:, 0]))
    one = np.roll(corners, -first, 0)[: (last - first) % len(corners) + 1]
    other = np.roll(corners, -last, 0)[: (first - last) % len(corners) + 1][::-1]
    x = np.union1d(one[:, 0], other[:, 0])
    edges = [np.interp(x, *np.stack([np.maximum.accumulate(e[:, 0]), e[:, 1]])) for e in (one, other)]
    return np.stack([x, np.mean(edges, 0)], 1)


def page_words(page: Any, to_px: np.ndarray) -> list[Word]:
    """The words of a page's text layer in px; letters further apart than usual make two words."""
    text = page.get_textpage()
    try:
        count = min(text.count_chars(), _MOST_LETTERS)
        letters = [(chr(pdfium.FPDFText_GetUnicode(text, k)), _box(text, k, to_px)) for k in range(count)]
    finally:
        text.close()
    words: list[Word] = []
    ended = True
    for letter, box in letters:
        if letter.isspace() or not letter.isprintable() or box is None:
            ended = True
            continue
        last = words[-1] if words else None
        if last is None or ended or not _goes_on(last, box):
            words.append(Word(letter, *box))
        else:
            words[-1] = Word(
                last.text + letter, last.x0, min(last.y0, box[1]), max(last.x1, box[2]), max(last.y1, box[3])
            )
        ended = False
    return words


def _box(text: Any, k: int, to_px: np.ndarray) -> tuple[float, float, float, float] | None:
    whole = pdfium.FS_RECTF()  # with the blank that belongs to a letter
    if not pdfium.FPDFText_GetLooseCharBox(text, k, whole):
        return None
    corners = np.array([[whole.left, whole.bottom], [whole.right, whole.top]]) @ to_px[:, :2].T + to_px[:, 2]
    (x0, y0), (x1, y1) = corners.min(0), corners.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def _goes_on(word: Word, box: tuple[float, float, float, float]) -> bool:
    x0, y0, _, y1 = box
    height = max(word.y1 - word.y0, y1 - y0)
    return abs(x0 - word.x1) < _GAP * height + 1 and min(y1, word.y1) > max(y0, word.y0)


def quarter_turns(page: Any) -> int:
    """The quarter turns clockwise that set most of a page's words upright, beside the page's own rotation."""
    text = page.get_textpage()
    try:
        angles = [pdfium.FPDFText_GetCharAngle(text, k) for k in range(min(text.count_chars(), 2_000))]
    finally:
        text.close()
    known = [round(angle / (np.pi / 2)) % 4 for angle in angles if angle >= 0]
    most = max(range(4), key=known.count) if known else 0  # of the letters themselves, clockwise
    own = page.get_rotation() // 90
    return (-most - own) % 4 if known.count(most) > len(known) / 2 else 0
