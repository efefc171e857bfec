"""Draw on a page what its answer rests on: leads, traced signal, beats and intervals."""

from __future__ import annotations

import cv2
import numpy as np

from ecgvlm.digitize import Page
from ecgvlm.measure import Measurements
from ecgvlm.reader import Answer

_TRACE, _LEAD, _BEAT = (220, 30, 30), (30, 110, 220), (0, 140, 60)
_INTERVALS = {"P": (150, 80, 200), "QRS": (230, 140, 0), "T": (0, 150, 160)}


def draw_overlay(image: np.ndarray, answer: Answer) -> np.ndarray:
    """A copy of the picture [H, W, 3] RGB with lead boxes, traces, R peaks and the measured intervals of every beat."""
    page, measured = answer.page, answer.measurements
    if page is None or measured is None:
        raise ValueError("this page could not be read; there is nothing to draw")
    out = np.ascontiguousarray(image).copy()
    unit = max(1, round(page.px_per_mm / 4))
    _draw_intervals(out, page, measured)
    for strip in page.strips:
        known = np.isfinite(strip.curve).all(1)
        if not known.any():
            continue
        low, high = strip.curve[known, 1].min() - 1.5, strip.curve[known, 1].max() + 1.5
        corners = np.array([[strip.x0, low], [strip.x1, low], [strip.x1, high], [strip.x0, high]])
        _line(out, _between(page, corners), _LEAD, unit, closed=True)
        for run in np.split(np.arange(len(known)), np.flatnonzero(~known)):
            points = strip.curve[run[known[run]]]
            if len(points) > 1:
                _line(out, page.to_source(points), _TRACE, unit)
        x, y = page.to_source(np.array([strip.x0 + 0.8, low - 0.8]))
        cv2.putText(
            out, strip.lead, (round(float(x)), round(float(y))), cv2.FONT_HERSHEY_SIMPLEX,
            0.13 * page.px_per_mm, _LEAD, unit, cv2.LINE_AA,
        )  # fmt: skip
        for beat in measured.beats:
            if strip.t0 <= beat < strip.t1:
                at = strip.x0 + (beat - strip.t0) * page.mm_per_s
                top = float(np.interp(at, strip.curve[known, 0], strip.curve[known, 1]))
                x, y = page.to_source(np.array([at, top]))
                cv2.circle(out, (round(float(x)), round(float(y))), 2 * unit + 1, _BEAT, -1, cv2.LINE_AA)
    return out


def _draw_intervals(out: np.ndarray, page: Page, measured: Measurements) -> None:
    """P to QRS, QRS and T as translucent bands behind every beat that is not premature."""
    spans = {
        "P": (measured.p_onset, measured.qrs_onset),
        "QRS": (measured.qrs_onset, measured.j_point),
        "T": (measured.j_point, measured.t_end),
    }
    layer = out.copy()
    for strip in page.strips:
        known = np.isfinite(strip.curve[:, 1])
        if not known.any():
            continue
        low, high = strip.curve[known, 1].min() - 1.5, strip.curve[known, 1].max() + 1.5
        for beat, premature in zip(measured.beats, measured.premature):
            for name, (start, end) in spans.items():
                if start is None or end is None or premature:
                    continue
                a, b = (np.clip(beat + at, strip.t0, strip.t1) for at in (start, end))
                if b - a < 0.01:
                    continue
                x0, x1 = (strip.x0 + (at - strip.t0) * page.mm_per_s for at in (a, b))
                corners = np.array([[x0, low], [x1, low], [x1, high], [x0, high]])
                cv2.fillPoly(layer, [np.round(_between(page, corners)).astype(np.int32)], _INTERVALS[name])
    cv2.addWeighted(layer, 0.25, out, 0.75, 0, dst=out)


def _between(page: Page, corners: np.ndarray) -> np.ndarray:
    """The outline of corners [4, 2] mm as px, with points in between, so that it follows a bent page."""
    t = np.linspace(0, 1, 8, endpoint=False)[:, None]
    points = [a + t * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0))]
    return page.to_source(np.concatenate(points))


def _line(out: np.ndarray, px: np.ndarray, colour: tuple[int, int, int], width: int, closed: bool = False) -> None:
    cv2.polylines(out, [np.round(px * 16).astype(np.int32)], closed, colour, width, cv2.LINE_AA, 4)
