"""A record as a page: printed for people to look at, its traces known exactly and not seen by any net."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ecgvlm.digitize.arrangement import FEWEST
from ecgvlm.digitize.joined import stacked
from ecgvlm.digitize.page import FS, Page, Strip, flat_leads, joined_leads
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.surface import PaperMap
from ecgvlm.errors import EcgError
from ecgvlm.files.drawing import Drawing
from ecgvlm.files.leaf import Content, Spread
from ecgvlm.measure import measure
from ecgvlm.record import LEADS, Record

if TYPE_CHECKING:
    from ecgvlm.paper.style import PageStyle
    from ecgvlm.paper.truth import Rendering

SECONDS = 10.0  # of a record that are printed and judged, from the first sample on
_MORE = 1.0  # s of a record that are not, from which on that is said
_COLUMN = 2.0  # s; no page prints less of a lead, so of less nothing is told


def picture_of(content: Content) -> np.ndarray:
    """[H, W, 3] uint8 RGB. A record is printed: its leads one below the other, 25 mm/s and 10 mm/mV. Raises
    EcgError."""
    if isinstance(content, Record):
        return _print(_window(content)).image
    if isinstance(content, Spread):
        return stacked(picture_of(content.first), picture_of(content.second))
    return content.image if isinstance(content, Drawing) else content


def print_record(record: Record) -> Page:
    """The page that `picture_of` draws, with the record's own samples as its traces.

    Raises EcgError not_an_ecg where fewer than six leads hold values.
    """
    window = _window(record)
    rendering, style = _print(window), _style()
    scale = style.px_per_mm
    boxes = {trace.lead: (trace.box + 0.5) / scale for trace in rendering.truth.traces}
    strips = tuple(
        _strip(lead, row, window.fs, boxes[lead], style)
        for lead, row in zip(LEADS, window.signal)
        if np.isfinite(row).sum() > 1
    )
    if len(strips) < FEWEST:
        held = ", ".join(strip.lead for strip in strips)
        raise EcgError("not_an_ecg", f"only {held or 'no lead'} holds values; {FEWEST} leads are needed")
    silent = flat_leads(strips)
    height, width = rendering.image.shape[:2]
    flat = (round(width / scale * PX_PER_MM), round(height / scale * PX_PER_MM))
    return Page(
        image=cv2.resize(rendering.image, flat, interpolation=cv2.INTER_AREA),
        layout=style.layout,
        order=style.order,
        mm_per_s=style.mm_per_s,
        mm_per_mv=style.mm_per_mv,
        chest_mm_per_mv=style.mm_per_mv,
        scale_doubtful=False,
        px_per_mm=scale,
        quality=1.0,
        strips=strips,
        measurements=measure(joined_leads(strips, FS, silent), FS),
        turns=0,
        mirrored=False,
        origin=(0.0, 0.0),
        paper=_paper(width / scale, height / scale, scale),
        picture=(height, width),
        flat=silent,
        longer=_recorded(record) - _recorded(window) >= _MORE,
    )


def _print(window: Record) -> Rendering:
    from ecgvlm.paper.render import render  # with fonts, for those who read records

    return render(_centred(window), _style())


@cache
def _style() -> PageStyle:
    from ecgvlm.paper.style import page_style

    return page_style("classic", layout="12x1", height=300.0)


def _window(record: Record) -> Record:
    """The first ten seconds in which anything was recorded."""
    known = _known(record)
    first = int(known[0]) if known.size else 0
    return replace(record, signal=record.signal[:, first : first + round(SECONDS * record.fs)])


def _known(record: Record) -> np.ndarray:
    """The samples in which anything was recorded."""
    return np.flatnonzero(np.isfinite(record.signal).any(0))


def _recorded(record: Record) -> float:
    """The seconds from the first sample in which anything was recorded to the last."""
    known = _known(record)
    return float(known[-1] + 1 - known[0]) / record.fs if known.size else 0.0


def _centred(record: Record) -> Record:
    """Each lead around its median: amplifiers that pass direct current put it anywhere."""
    return replace(record, signal=record.signal - _medians(record.signal))


def _medians(signal: np.ndarray) -> np.ndarray:
    """[n, 1] of [n, m]; 0 where a row holds nothing."""
    known = np.isfinite(signal).any(1)
    medians = np.zeros((len(signal), 1), np.float32)
    medians[known] = np.nanmedian(signal[known], axis=1, keepdims=True)
    return medians


def _strip(lead: str, mv: np.ndarray, fs: float, box: np.ndarray, style: PageStyle) -> Strip:
    """box: [4, 2] mm of the lead's place on the page. Of a lead that was recorded for a part of the time, as
    those that `digitize` writes of a page in columns, the strip is that part."""
    known = np.flatnonzero(np.isfinite(mv))
    first, stop = int(known[0]), int(known[-1]) + 1
    if stop - first < _COLUMN * fs:
        first, stop = 0, len(mv)
    mv, t0, t1 = mv[first:stop], first / fs, stop / fs
    t = (np.arange(first, stop) + 0.5) / fs
    left, zero = float(box[0, 0]), float((box[0, 1] + box[2, 1]) / 2 + style.offset)
    y = zero - (mv - _medians(mv[None])[0, 0]) * style.mm_per_mv
    curve = np.stack([left + t * style.mm_per_s, np.where(np.isfinite(mv), y, np.nan)], 1)
    return Strip(
        lead=lead, rhythm=False, x0=left + t0 * style.mm_per_s, x1=left + t1 * style.mm_per_s, y=zero, t0=t0,
        t1=t1, t=t, curve=curve, mv=mv, sure=1.0,
    )  # fmt: skip


def _paper(width: float, height: float, scale: float) -> PaperMap:
    """A flat sheet of so many mm that fills its picture."""
    to_px = np.array([[scale, 0.0, -0.5], [0.0, scale, -0.5], [0.0, 0.0, 1.0]])
    return PaperMap.plane(to_px, (0.0, 0.0, width, height), 1.0)
