"""What an answer rests on, where it stands on the page: as vector layers in px, and drawn on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import cv2
import numpy as np

from ecgvlm import filters
from ecgvlm.digitize import Page, Strip
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.judge.grounding import EARLY, Ground
from ecgvlm.measure import Measurements
from ecgvlm.reader import Answer
from ecgvlm.words.answers import judged_by
from ecgvlm.words.phrases import words

_TRACE, _LEAD, _BEAT = (220, 30, 30), (30, 110, 220), (0, 140, 60)
_INTERVALS = {"P": (150, 80, 200), "QRS": (230, 140, 0), "T": (0, 150, 160)}
_GROUNDS = ((170, 0, 120), (0, 110, 110), (150, 90, 0), (60, 60, 180), (110, 110, 0), (0, 0, 0))
_STEP = 5.0  # mm between the nodes of the mesh


@dataclass(frozen=True)
class Lead:
    """A printed lead. outline: [n, 2] px. label: [2] px, where its name fits. t0, t1: s. y: mm of 0 mV."""

    lead: str
    rhythm: bool
    t0: float
    t1: float
    x0: float
    y: float
    outline: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Trace:
    """A lead's trace. lines: its unbroken pieces, each [n, 2] px with n > 1."""

    lead: str
    rhythm: bool
    lines: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Beat:
    """An R peak in one lead. t: s. at: [2] px."""

    lead: str
    rhythm: bool
    t: float
    premature: bool
    at: np.ndarray


@dataclass(frozen=True)
class Interval:
    """A measured interval of one beat in one lead. t: s of the beat. outline: [n, 2] px.

    name: "P" (P onset to QRS onset), "QRS" or "T" (J point to T end).
    """

    lead: str
    rhythm: bool
    t: float
    name: str
    outline: np.ndarray


@dataclass(frozen=True)
class Mesh:
    """The printed grid. points: [rows * columns, 2] px of its 5-mm lines' crossings, row by row.

    x0, y0: mm of the first one on the rectified page. step: mm between two.
    """

    x0: float
    y0: float
    step: float
    columns: int
    rows: int
    points: np.ndarray


@dataclass(frozen=True)
class Region:
    """A part of a strip on which a finding rests. outline: [n, 2] px."""

    lead: str
    outline: np.ndarray


@dataclass(frozen=True)
class Overlay:
    """All layers of one page."""

    mesh: Mesh
    leads: tuple[Lead, ...]
    traces: tuple[Trace, ...]
    beats: tuple[Beat, ...]
    intervals: tuple[Interval, ...]

    def to_dict(self) -> dict:
        """The layers as JSON holds them, px to a tenth."""
        return _plain(self)


def find_overlay(answer: Answer) -> Overlay:
    """Where on its picture an answer's leads, traces, beats and intervals lie.

    Raises ValueError for an answer whose page could not be read.
    """
    page, measured = answer.page, answer.measurements
    if page is None or measured is None:
        raise ValueError("this page could not be read; there is nothing to draw")
    leads: list[Lead] = []
    traces: list[Trace] = []
    beats: list[Beat] = []
    intervals: list[Interval] = []
    for strip in page.strips:
        known = np.isfinite(strip.curve).all(1)
        if not known.any():
            continue
        low, high = _reach(strip)
        label = page.to_source(np.array([strip.x0 + 0.8, low - 0.8]))
        outline = _band(page, strip.x0, strip.x1, low, high)
        leads.append(Lead(strip.lead, strip.rhythm, strip.t0, strip.t1, strip.x0, strip.y, outline, label))
        lines = tuple(page.to_source(strip.curve[a:b]) for a, b in filters.runs(known) if b - a > 1)
        traces.append(Trace(strip.lead, strip.rhythm, lines))
        for beat, premature in zip(measured.beats, measured.premature):
            if strip.t0 <= beat < strip.t1:
                x = strip.x0 + (beat - strip.t0) * page.mm_per_s
                top = float(np.interp(x, strip.curve[known, 0], strip.curve[known, 1]))
                at = page.to_source(np.array([x, top]))
                beats.append(Beat(strip.lead, strip.rhythm, float(beat), bool(premature), at))
        intervals += _intervals(page, measured, strip, low, high)
    return Overlay(_mesh(page), tuple(leads), tuple(traces), tuple(beats), tuple(intervals))


def find_regions(answer: Answer, overlay: Overlay, ground: Ground) -> tuple[Region, ...]:
    """Where on its picture a finding's evidence lies: intervals or early beats, else the whole leads."""
    page, measured = answer.page, answer.measurements
    if page is None or measured is None:
        raise ValueError("this page could not be read; there is nothing to mark")
    regions = [
        Region(x.lead, x.outline)
        for x in overlay.intervals
        if x.lead in ground.leads and x.name in ground.intervals
    ]
    if ground.premature:
        for strip in page.strips:
            if strip.lead in ground.leads and np.isfinite(strip.curve).any():
                regions += _early_beats(page, measured, strip)
    whole = [Region(x.lead, x.outline) for x in overlay.leads if x.lead in ground.leads]
    return tuple(regions or whole)


def _early_beats(page: Page, measured: Measurements, strip: Strip) -> list[Region]:
    """Where a strip shows the beats that come early."""
    regions = []
    for beat in measured.beats[measured.premature]:
        a, b = np.clip(beat + np.array(EARLY), strip.t0, strip.t1)
        if b > a:
            x0, x1 = (strip.x0 + (at - strip.t0) * page.mm_per_s for at in (a, b))
            regions.append(Region(strip.lead, _band(page, x0, x1, *_reach(strip))))
    return regions


def find_evidence(
    answer: Answer, overlay: Overlay, grounds: Sequence[Ground], language: str = "en"
) -> dict[str, dict]:
    """Finding -> text in a language and regions, as JSON holds them, px to a tenth."""
    return {
        ground.label: {
            "text": judged_by(ground, words(language)),
            "regions": _plain(find_regions(answer, overlay, ground)),
        }
        for ground in grounds
    }


def draw_overlay(image: np.ndarray, answer: Answer, grounds: Sequence[Ground] = ()) -> np.ndarray:
    """A copy of the picture [H, W, 3] RGB with lead boxes, traces, R peaks and every beat's intervals.

    grounds: findings whose evidence is marked too: their leads carry their names, what counts there a line.
    """
    overlay = find_overlay(answer)
    assert answer.page is not None
    out = np.ascontiguousarray(image).copy()
    unit = max(1, round(answer.page.px_per_mm / 4))
    layer = out.copy()
    for interval in overlay.intervals:  # translucent bands behind everything else
        cv2.fillPoly(layer, [np.round(interval.outline).astype(np.int32)], _INTERVALS[interval.name])
    cv2.addWeighted(layer, 0.25, out, 0.75, 0, dst=out)
    for lead in overlay.leads:
        _line(out, lead.outline, _LEAD, unit, closed=True)
        cv2.putText(
            out, lead.lead, _whole(lead.label), cv2.FONT_HERSHEY_SIMPLEX,
            0.13 * answer.page.px_per_mm, _LEAD, unit, cv2.LINE_AA,
        )  # fmt: skip
    for trace in overlay.traces:
        for line in trace.lines:
            _line(out, line, _TRACE, unit)
    for beat in overlay.beats:
        cv2.circle(out, _whole(beat.at), 2 * unit + 1, _BEAT, -1, cv2.LINE_AA)
    for number, ground in enumerate(grounds):
        _draw_ground(out, overlay, ground, number, answer.page.px_per_mm)
    return out


def _draw_ground(out: np.ndarray, overlay: Overlay, ground: Ground, number: int, px_per_mm: float) -> None:
    """A finding's name beside those of its leads, and a line in its colour under what counts there."""
    colour, unit = _GROUNDS[number % len(_GROUNDS)], max(1, round(px_per_mm / 4))
    below = np.array([0.0, (0.6 + 0.9 * number) * px_per_mm])  # one line under the other
    for lead in overlay.leads:
        if lead.lead in ground.leads:
            at = lead.label + np.array([(9.5 + 9.0 * number) * px_per_mm, 0.0])
            size = 0.1 * px_per_mm
            cv2.putText(
                out, ground.label, _whole(at), cv2.FONT_HERSHEY_SIMPLEX, size, colour, unit, cv2.LINE_AA
            )
            if not ground.intervals and not ground.premature:
                floor = lead.outline[len(lead.outline) // 2 : 3 * len(lead.outline) // 4 + 1]
                _line(out, floor + below, colour, 2 * unit)
    for interval in overlay.intervals:
        if interval.lead in ground.leads and interval.name in ground.intervals:
            floor = interval.outline[len(interval.outline) // 2 : 3 * len(interval.outline) // 4 + 1]
            _line(out, floor + below, colour, 2 * unit)
    if ground.premature:
        for beat in overlay.beats:
            if beat.premature and beat.lead in ground.leads:
                cv2.circle(out, _whole(beat.at), 5 * unit + 1, colour, unit, cv2.LINE_AA)


def _intervals(
    page: Page, measured: Measurements, strip: Strip, low: float, high: float
) -> Iterator[Interval]:
    """P to QRS, QRS and T of every beat that is not premature, as far as the strip shows them."""
    for beat, premature in zip(measured.beats, measured.premature):
        for name, (start, end) in measured.spans.items():
            if premature:
                continue
            a, b = (np.clip(beat + at, strip.t0, strip.t1) for at in (start, end))
            if b - a < 0.01:
                continue
            x0, x1 = (strip.x0 + (at - strip.t0) * page.mm_per_s for at in (a, b))
            yield Interval(strip.lead, strip.rhythm, float(beat), name, _band(page, x0, x1, low, high))


def _reach(strip: Strip) -> tuple[float, float]:
    """Top and bottom in mm of a strip's trace, with a margin."""
    return float(np.nanmin(strip.curve[:, 1])) - 1.5, float(np.nanmax(strip.curve[:, 1])) + 1.5


def _band(page: Page, x0: float, x1: float, low: float, high: float) -> np.ndarray:
    """The outline of a rectangle in mm as [n, 2] px, with points in between: it follows a bent page."""
    corners = np.array([[x0, low], [x1, low], [x1, high], [x0, high]])
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    points = [a + t * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0))]
    return page.to_source(np.concatenate(points))


def _mesh(page: Page) -> Mesh:
    """The 5-mm lines around the strips, with a margin."""
    curves = np.concatenate([strip.curve for strip in page.strips])
    low, high = np.nanmin(curves, 0) - 2 * _STEP, np.nanmax(curves, 0) + 2 * _STEP
    low += (_phase(page) - low) % _STEP
    xs, ys = (np.arange(a, b, _STEP) for a, b in zip(low, high))
    points = page.to_source(np.stack(np.meshgrid(xs, ys), -1)).reshape(-1, 2)
    return Mesh(float(low[0]), float(low[1]), _STEP, len(xs), len(ys), points)


def _phase(page: Page) -> np.ndarray:
    """[2] mm of a 5-mm line in x and y; `PaperMap` does not know which millimetres are bold."""
    ink = 255 - page.image.min(2).astype(np.float32)
    lines = np.clip(ink - cv2.blur(ink, (31, 31)), 0, 40)
    period = round(_STEP * PX_PER_MM)
    folded = []
    for axis in (0, 1):
        profile = lines.mean(axis)
        folded.append(profile[: len(profile) // period * period].reshape(-1, period).mean(0))
    return np.array([fold.argmax() for fold in folded]) / PX_PER_MM


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return value.round(1).tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return round(float(value), 4) if isinstance(value, float) else value


def _whole(px: np.ndarray) -> tuple[int, int]:
    return round(float(px[0])), round(float(px[1]))


def _line(
    out: np.ndarray, px: np.ndarray, colour: tuple[int, int, int], width: int, closed: bool = False
) -> None:
    cv2.polylines(out, [np.round(px * 16).astype(np.int32)], closed, colour, width, cv2.LINE_AA, 4)
