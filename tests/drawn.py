"""Pages that no printer of the package draws: any names at any place, drawn here by simple means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ecgvlm.record import LEADS

FINE = 4  # px of the drawing for one of the picture, which is shrunk at the end


@dataclass(frozen=True)
class Place:
    """One strip: the name printed, the lead drawn (None: a flat line), from x to x + mm of the row at y, all
    in mm; since: s of the record at its beginning. gain: mm/mV."""

    name: str
    lead: str | None
    x: float
    y: float
    mm: float
    since: float = 0.0
    gain: float = 10.0


def grid_of_places(
    rows: Sequence[Sequence[str]], mm: float = 62.5, top: float = 32.0, pitch: float = 33.0, *,
    same_time: bool = False, apart: float = 0.0, gains: Mapping[str, float] | None = None,
    left: float = 22.0,
) -> list[Place]:  # fmt: skip
    """Names in rows and columns, each column going on where the one before it ended."""
    return [
        Place(
            name, name if name in LEADS else "V6", left + column * (mm + apart), top + row * pitch, mm,
            0.0 if same_time else column * mm / 25.0, (gains or {}).get(name, 10.0),
        )
        for row, names in enumerate(rows)
        for column, name in enumerate(names)
    ]  # fmt: skip


def drawn_page(
    signal: np.ndarray, fs: float, places: Sequence[Place], *, scale: float = 4.5, width: float = 297.0,
    height: float = 200.0, pulse: float | None = 10.0, notes: Sequence[str] = ("25 mm/s", "10 mm/mV"),
    named: bool = True, names_at_end: bool = False,
) -> np.ndarray:  # fmt: skip
    """[H, W, 3] uint8 RGB. signal: [12, n] mV. scale: px per mm. pulse: height of the pulses in mm.
    names_at_end: names stand over their strips' ends, not over their beginnings."""
    fine = scale * FINE
    page = np.full((round(height * fine), round(width * fine), 3), 255, np.uint8)
    for step, colour in ((1.0, (252, 226, 226)), (5.0, (240, 170, 170))):
        for at in np.arange(0, width, step):
            cv2.line(page, (round(at * fine), 0), (round(at * fine), page.shape[0]), colour, FINE)
        for at in np.arange(0, height, step):
            cv2.line(page, (0, round(at * fine)), (page.shape[1], round(at * fine)), colour, FINE)

    def line(xy: np.ndarray) -> None:
        points = np.round(xy * fine * 16).astype(np.int32)
        cv2.polylines(page, [points], False, (20, 20, 20), round(0.3 * fine), cv2.LINE_AA, 4)

    def text(string: str, x: float, y: float, size: float) -> None:
        at = (round(x * fine), round(y * fine))
        cv2.putText(
            page, string, at, cv2.FONT_HERSHEY_SIMPLEX, size * fine / 21, (20, 20, 20), FINE, cv2.LINE_AA
        )

    for place in places:
        t = np.arange(0, place.mm / 25.0, 1 / fs)
        first = round(place.since * fs)
        mv = (
            np.zeros(len(t))
            if place.lead is None
            else signal[LEADS.index(place.lead), first : first + len(t)]
        )
        line(np.stack([place.x + 25.0 * t[: len(mv)], place.y - place.gain * mv], 1))
        if named:
            text(place.name, place.x + (place.mm - 8.0 if names_at_end else 1.0), place.y - 7.0, 2.8)
    if pulse:
        for y in sorted({place.y for place in places}):
            x = min(place.x for place in places) - 10.0
            line(
                np.array([[x, y], [x + 2, y], [x + 2, y - pulse], [x + 7, y - pulse], [x + 7, y], [x + 9, y]])
            )
    for k, note in enumerate(notes):
        text(note, 30.0 + 28.0 * k, height - 8.0, 2.4)
    return cv2.resize(page, None, fx=1 / FINE, fy=1 / FINE, interpolation=cv2.INTER_AREA)
