"""Several ECGs in one picture: its parts that hold one each, and their pages as of the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgvlm.digitize.layout import Found
from ecgvlm.digitize.page import Page
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.parting import Parting

_BESIDE = 0.6  # of an ECG's width or height: as much beside it may hold another one
_INKED = 0.3  # of the traces of the ECG that was found, that so much beside it must show
_UNSEEN = 0.3  # of which so much is more than the rectified page shows
_LEAST = 200  # px of a side of such a part
_ALONG = 0.25, 0.75  # of a rectified page's side, where the line that parts it is looked up in the picture


@dataclass(frozen=True)
class Part:
    """A part of a picture. image: [h, w, 3]; at: x and y of its corner in the picture, px."""

    image: np.ndarray
    at: tuple[int, int]


@dataclass(frozen=True)
class Within:
    """Where the paper of a page lies in the picture of which the page's own picture is a part."""

    page: Page
    at: tuple[int, int]

    @property
    def fit(self) -> float:
        return self.page.paper.fit

    def to_px(self, mm: np.ndarray) -> np.ndarray:
        """[..., 2] mm -> [..., 2] px, see `PaperMap.to_px`."""
        return self.page.to_source(mm) + np.array(self.at)


def in_picture(page: Page, part: Part, picture: tuple[int, int]) -> tuple[Page, ...]:
    """The page that was read from a part, and the other ECGs there, as pages of the whole picture."""
    return tuple(
        replace(
            one,
            paper=Within(replace(one, image=one.image[:0, :0], strips=(), others=()), part.at),
            origin=(0.0, 0.0),
            turns=0,
            mirrored=False,
            picture=picture,
            others=(),
        )
        for one in (page, *page.others)
    )


def as_one(pages: Sequence[Page]) -> Page:
    """Of the pages of one picture that which is read first, from the upper left on, with the others."""

    def place(page: Page) -> float:
        return float(page.to_source(np.array([[s.x0, s.y] for s in page.strips])).mean(0).sum())

    first, *others = (replace(page, several=True, others=()) for page in sorted(pages, key=place))
    return replace(first, others=tuple(others))


def parted(
    image: np.ndarray, parting: Parting, shape: Sequence[int], to_px: Callable[[np.ndarray], np.ndarray]
) -> tuple[Part, Part]:
    """The two parts of a picture [H, W, 3] that hold an ECG each, with all the blank paper between them.

    shape: of the rectified page; to_px: its px -> px of the picture.
    """
    length = shape[0] if parting.axis == 0 else shape[1]

    def line(at: float) -> np.ndarray:
        """[2, 2] px of the picture on the line that crosses the rectified page there."""
        across = np.array([[at, share * length] for share in _ALONG])
        return to_px(across if parting.axis == 0 else across[:, ::-1])

    before, after = (line(at).mean(0) for at in (parting.end - 1.0, parting.begin + 1.0))
    return _side(image, line(parting.begin), before), _side(image, line(parting.end), after)


def unnamed_beside(found: Found, trace: np.ndarray) -> Parting | None:
    """Where a page may part into the ECG that was found and another one whose names are not seen.

    trace: [H, W] probability of ink of the rectified page, of which plenty lies beside the ECG.
    """
    ys = sorted({strip.y for strip in found.strips})
    room = 0.6 * (ys[-1] - ys[0]) / max(1, len(ys) - 1)
    edges = (min(s.x0 for s in found.strips), max(s.x1 for s in found.strips)), (ys[0] - room, ys[-1] + room)
    for axis, (first, last) in enumerate(edges):
        length = trace.shape[1 - axis]
        first, last = max(0, int(first)), min(length, int(last))
        if max(first, length - last) <= _BESIDE * (last - first):
            continue
        along = (trace > 0.5).sum(axis).astype(float)
        own = along[first:last].sum()
        for before in (True, False):
            size, other = (first, along[:first]) if before else (length - last, along[last:])
            if size > _BESIDE * (last - first) and other.sum() > _INKED * own:
                inked = np.flatnonzero(other)
                return Parting(axis, inked[-1], first) if before else Parting(axis, last, last + inked[0])
    return None


def _side(image: np.ndarray, line: np.ndarray, inside: np.ndarray) -> Part:
    """What of a picture lies on the same side of a line ([2, 2] px) as a point ([2] px) does; what else the
    part shows, as it is upright, has one colour."""
    normal = np.array([[0, 1], [-1, 0]]) @ (line[1] - line[0])
    normal = normal * np.sign(normal @ (inside - line[0]))
    ys, xs = (np.arange(side, dtype=np.float32) for side in image.shape[:2])
    own = (xs * np.float32(normal[0]))[None] + (ys * np.float32(normal[1]))[:, None] > normal @ line[0]
    if not own.any():
        return Part(image[:0, :0], (0, 0))
    (top, *_, bottom), (left, *_, right) = (np.flatnonzero(own.any(axis)) for axis in (1, 0))
    shown, own = image[top : bottom + 1, left : right + 1], own[top : bottom + 1, left : right + 1]
    colour = np.median(shown[::8, ::8][own[::8, ::8]], axis=0).astype(np.uint8)
    return Part(np.where(own[..., None], shown, colour), (int(left), int(top)))


def beside(page: Page, image: np.ndarray) -> list[Part]:
    """The parts of a picture [H, W, 3] beside the ECG that was read from it which may hold another one and
    which the rectified page did not show."""
    ends = np.concatenate([[[s.x0, s.y], [s.x1, s.y]] for s in page.strips])
    (x0, y0), (x1, y1) = page.to_source(ends).min(0), page.to_source(ends).max(0)
    height, width = image.shape[:2]
    rows, cols = page.image.shape[:2]
    seen = page.to_source(np.array([[0, 0], [cols, 0], [0, rows], [cols, rows]]) / PX_PER_MM)
    (left, top), (right, bottom) = seen.min(0), seen.max(0)

    def may(beside: float, unseen: float, own: float) -> bool:
        """Whether px beside an ECG may hold one, of which so many the rectified page did not show."""
        return beside > _BESIDE * own and unseen > _UNSEEN * own

    boxes = [
        (0, 0, int(x0), height) if may(x0, left, x1 - x0) else None,
        (int(x1), 0, width, height) if may(width - x1, width - right, x1 - x0) else None,
        (0, 0, width, int(y0)) if may(y0, top, y1 - y0) else None,
        (0, int(y1), width, height) if may(height - y1, height - bottom, y1 - y0) else None,
    ]
    parts = [Part(image[b[1] : b[3], b[0] : b[2]], (b[0], b[1])) for b in boxes if b is not None]
    return [part for part in parts if min(part.image.shape[:2]) > _LEAST]
