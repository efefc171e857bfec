"""What an answer rests on, where it stands on the page: as vector layers in px, and drawn on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import cv2
import numpy as np

from ecgvlm.digitize import Page, Strip
from ecgvlm.measure import Measurements
from ecgvlm.reader import Answer

_TRACE, _LEAD, _BEAT = (220, 30, 30), (30, 110, 220), (0, 140, 60)
_INTERVALS = {"P": (150, 80, 200), "QRS": (230, 140, 0), "T": (0, 150, 160)}
_NODE_MM = 10.0  # between the nodes of the grid that `Overlay` gives


@dataclass(frozen=True)
class Lead:
    """A printed lead. outline: [n, 2] px. label: [2] px, where its name fits. t0, t1: s on the page."""

    lead: str
    rhythm: bool
    outline: np.ndarray
    label: np.ndarray
    t0: float
    t1: float


@dataclass(frozen=True)
class Trace:
    """An unbroken piece of a lead's trace. points: [n, 2] px, n > 1."""

    lead: str
    points: np.ndarray


@dataclass(frozen=True)
class Beat:
    """An R peak in one lead. beat: its number in `Measurements.beats`; point: [2] px; t: s."""

    lead: str
    beat: int
    premature: bool
    t: float
    point: np.ndarray


@dataclass(frozen=True)
class Interval:
    """A measured interval of one beat in one lead. outline: [n, 2] px.

    kind: "P" (P onset to QRS onset), "QRS" or "T" (J point to T end).
    """

    kind: str
    lead: str
    beat: int
    ms: float
    outline: np.ndarray


@dataclass(frozen=True)
class Grid:
    """The paper. nodes: [rows, columns, 2] px, `step_mm` apart. px_to_mm: [3, 3] homography fitted to them."""

    step_mm: float
    nodes: np.ndarray
    px_to_mm: np.ndarray


@dataclass(frozen=True)
class Overlay:
    """All layers of one page. picture: height and width in px of the picture that they belong to."""

    picture: tuple[int, int]
    leads: tuple[Lead, ...]
    traces: tuple[Trace, ...]
    beats: tuple[Beat, ...]
    intervals: tuple[Interval, ...]
    grid: Grid

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
        low, high = strip.curve[known, 1].min() - 1.5, strip.curve[known, 1].max() + 1.5
        label = page.to_source(np.array([strip.x0 + 0.8, low - 0.8]))
        outline = _band(page, strip.x0, strip.x1, low, high)
        leads.append(Lead(strip.lead, strip.rhythm, outline, label, strip.t0, strip.t1))
        for run in np.split(np.arange(len(known)), np.flatnonzero(~known)):
            points = strip.curve[run[known[run]]]
            if len(points) > 1:
                traces.append(Trace(strip.lead, page.to_source(points)))
        for number, (beat, premature) in enumerate(zip(measured.beats, measured.premature)):
            if strip.t0 <= beat < strip.t1:
                at = strip.x0 + (beat - strip.t0) * page.mm_per_s
                top = float(np.interp(at, strip.curve[known, 0], strip.curve[known, 1]))
                point = page.to_source(np.array([at, top]))
                beats.append(Beat(strip.lead, number, bool(premature), float(beat), point))
        intervals += _intervals(page, measured, strip, low, high)
    return Overlay(page.picture, tuple(leads), tuple(traces), tuple(beats), tuple(intervals), _grid(page))


def draw_overlay(image: np.ndarray, answer: Answer) -> np.ndarray:
    """A copy of the picture [H, W, 3] RGB with lead boxes, traces, R peaks and every beat's intervals."""
    overlay = find_overlay(answer)
    assert answer.page is not None
    out = np.ascontiguousarray(image).copy()
    unit = max(1, round(answer.page.px_per_mm / 4))
    layer = out.copy()
    for interval in overlay.intervals:  # translucent bands behind everything else
        cv2.fillPoly(layer, [np.round(interval.outline).astype(np.int32)], _INTERVALS[interval.kind])
    cv2.addWeighted(layer, 0.25, out, 0.75, 0, dst=out)
    for lead in overlay.leads:
        _line(out, lead.outline, _LEAD, unit, closed=True)
        cv2.putText(
            out, lead.lead, _whole(lead.label), cv2.FONT_HERSHEY_SIMPLEX,
            0.13 * answer.page.px_per_mm, _LEAD, unit, cv2.LINE_AA,
        )  # fmt: skip
    for trace in overlay.traces:
        _line(out, trace.points, _TRACE, unit)
    for beat in overlay.beats:
        cv2.circle(out, _whole(beat.point), 2 * unit + 1, _BEAT, -1, cv2.LINE_AA)
    return out


def _intervals(
    page: Page, measured: Measurements, strip: Strip, low: float, high: float
) -> Iterator[Interval]:
    """P to QRS, QRS and T of every beat that is not premature, as far as the strip shows them."""
    spans = {
        "P": (measured.p_onset, measured.qrs_onset),
        "QRS": (measured.qrs_onset, measured.j_point),
        "T": (measured.j_point, measured.t_end),
    }
    for number, (beat, premature) in enumerate(zip(measured.beats, measured.premature)):
        for kind, (start, end) in spans.items():
            if start is None or end is None or premature:
                continue
            a, b = (np.clip(beat + at, strip.t0, strip.t1) for at in (start, end))
            if b - a < 0.01:
                continue
            x0, x1 = (strip.x0 + (at - strip.t0) * page.mm_per_s for at in (a, b))
            yield Interval(kind, strip.lead, number, 1000 * (end - start), _band(page, x0, x1, low, high))


def _band(page: Page, x0: float, x1: float, low: float, high: float) -> np.ndarray:
    """The outline of a rectangle in mm as [n, 2] px, with points in between: it follows a bent page."""
    corners = np.array([[x0, low], [x1, low], [x1, high], [x0, high]])
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    points = [a + t * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0))]
    return page.to_source(np.concatenate(points))


def _grid(page: Page) -> Grid:
    x0, y0, x1, y1 = page.paper.box
    xs, ys = np.arange(x0, x1 + _NODE_MM, _NODE_MM), np.arange(y0, y1 + _NODE_MM, _NODE_MM)
    paper = np.stack(np.meshgrid(xs, ys), -1) - page.origin
    nodes = page.to_source(paper)
    px_to_mm, _ = cv2.findHomography(nodes.reshape(-1, 2), paper.reshape(-1, 2))
    return Grid(_NODE_MM, nodes, px_to_mm)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):  # px, but for the homography, whose last row is tiny
        return (value if value.shape == (3, 3) else value.round(1)).tolist()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return round(float(value), 4) if isinstance(value, float) else value


def _whole(px: np.ndarray) -> tuple[int, int]:
    return round(float(px[0])), round(float(px[1]))


def _line(
    out: np.ndarray, px: np.ndarray, colour: tuple[int, int, int], width: int, closed: bool = False
) -> None:
    cv2.polylines(out, [np.round(px * 16).astype(np.int32)], closed, colour, width, cv2.LINE_AA, 4)
