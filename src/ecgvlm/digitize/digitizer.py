"""`Digitizer`: picture in, `Page` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from ecgvlm.digitize.grid import GridFinder
from ecgvlm.digitize.layout import FEWEST, Found, Placed, find_layout
from ecgvlm.digitize.page import FS, Page, Strip, joined_leads
from ecgvlm.digitize.pagenet import PX_PER_MM, NetMaps, PageNet
from ecgvlm.digitize.quality import quality
from ecgvlm.digitize.rectify import flat_paper, rectify, skew
from ecgvlm.digitize.scale import beats_look_fast, find_scale
from ecgvlm.digitize.surface import PaperMap
from ecgvlm.digitize.timing import delays
from ecgvlm.digitize.trace import follow
from ecgvlm.errors import EcgError
from ecgvlm.measure import measure

_SPANS = (285.0, 245.0, 340.0)  # mm that a picture without grid may show along its longer side
_SLOW = 25.0  # mm/s at which traces are read first
_ROW_MM = 10 * _SLOW  # of 10 s
_STROKE = 0.35  # mm by which ink is longer than the trace
_ROW_OFF = 0.04  # part by which rows may be longer or shorter before their grid is doubted
_AS_GOOD = 0.8  # of a view's score that another one must reach to be preferred for its scale
_USUAL_PITCH = 20.0 * PX_PER_MM  # between rows, where there is only one
_SAME_LEAD = 0.9  # likeness from which on a rhythm strip is taken for a lead
_PLAINLY = 0.2  # by which the likeness must exceed that with the lead whose name was read
# Mean probability of ink along a strip below which nothing is printed there, its name seen or not.
_NO_TRACE, _NO_TRACE_NO_NAME = 0.2, 0.6
_NO_INK = 3e-4  # share of a picture's px below which it is no ECG whichever way it is turned
# Quarter turns clockwise, and whether to mirror first, that set a picture upright which is not.
_WAYS_UP = ((1, False), (3, False), (2, False), (0, True))


@dataclass(frozen=True)
class _View:
    """A rectified page with what the net and the layout search saw on it."""

    image: np.ndarray
    origin: tuple[float, float]
    paper: PaperMap
    maps: NetMaps
    found: Found | None


class Digitizer:
    """Digitises pages; holds the page net. threads: of ONNX Runtime."""

    def __init__(self, threads: int = 2):
        self.threads = threads

    @cached_property
    def net(self) -> PageNet:
        return PageNet(self.threads)

    def __call__(self, image: np.ndarray) -> Page:
        """image: [H, W, 3] uint8 RGB, upright, turned or mirrored.

        Raises EcgError not_an_ecg where no page is found that shows at least six named leads.
        """
        view = self._look(image)
        if view is not None and view.found is not None:
            return _page(view, image)
        if view is not None and (view.maps.trace > 0.5).mean() >= _NO_INK:
            for turns, mirrored in _WAYS_UP:
                # The rectified page tells which way is up; then the picture itself is turned.
                if find_layout(self.net(_turned(view.image, turns, mirrored))) is not None:
                    upright = _turned(image, turns, mirrored)
                    again = self._look(upright)
                    if again is not None and again.found is not None:
                        return _page(again, upright, turns, mirrored)
        raise _not_an_ecg()

    def _look(self, image: np.ndarray) -> _View | None:
        grid = GridFinder(image)
        paper = grid.find()
        view = None if paper is None else self._view(image, paper)
        if view is None or view.found is None:
            return self._without_grid(image) or view
        zoom = _row_mm(view.found) / _ROW_MM
        if abs(zoom - 1) > _ROW_OFF:
            # Lines may be taken for finer or coarser ones than they are: is there a grid of rows of 10 s?
            other = grid.find_about(view.paper.scale() * zoom)
            again = None if other is None else self._view(image, other)
            if again and again.found and again.found.score > _AS_GOOD * view.found.score:
                return again
        return view

    def _view(self, image: np.ndarray, paper: PaperMap, to_scale: bool = True) -> _View | None:
        try:
            rectified, origin = rectify(image, paper)
        except ValueError:
            return None
        maps = self.net(rectified)
        return _View(rectified, origin, paper, maps, find_layout(maps, to_scale))

    def _without_grid(self, image: np.ndarray) -> _View | None:
        """Paper without a grid: the skew from the lines of print, the scale from rows of 10 s at 25 mm/s."""
        angle = skew(image)
        scales = [max(image.shape[:2]) / span for span in _SPANS]
        views = [self._view(image, flat_paper(image, scale, angle), False) for scale in scales]
        seen = [view for view in views if view is not None]
        best = max(seen, key=lambda view: view.found.score if view.found else 0.0, default=None)
        if best is None or best.found is None:
            return best
        zoom = _row_mm(best.found) / _ROW_MM
        if not 0.7 < zoom < 1.4:
            return best
        again = self._view(image, flat_paper(image, best.paper.scale() * zoom, angle))
        return again if again and again.found and again.found.score > _AS_GOOD * best.found.score else best


def _row_mm(found: Found) -> float:
    """mm of printed time in a row. A rhythm strip runs through, whatever stands between the columns."""
    through = [s.x1 - s.x0 for s in found.strips if s.rhythm]
    if through:
        return float(np.median(through)) / PX_PER_MM - _STROKE
    columns = sorted({(s.x0, s.x1) for s in found.strips})
    apart = sum(after > before + 1 for (_, before), (after, _) in pairwise(columns))
    return sum(b - a for a, b in columns) / PX_PER_MM - _STROKE * (1 + apart)


def _turned(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, -turns))


def _not_an_ecg() -> EcgError:
    return EcgError(
        "not_an_ecg", "no twelve named leads found; show the whole ECG page, flat and sharp, and nothing else"
    )


def _page(view: _View, picture: np.ndarray, turns: int = 0, mirrored: bool = False) -> Page:
    """picture: [h, w, 3] RGB, upright."""
    found, paper = view.found, view.paper
    assert found is not None
    height, width = picture.shape[:2]
    scale = find_scale(view.image, view.maps)
    printed = [
        (placed, strip)
        for placed, strip in zip(found.strips, _followed(view, found, picture, scale.gain))
        if strip.sure >= (_NO_TRACE if placed.named else _NO_TRACE_NO_NAME)
    ]
    if len({strip.lead for _, strip in printed}) < FEWEST:
        raise _not_an_ecg()
    strips = _in_time([placed for placed, _ in printed], [strip for _, strip in printed], paper.fit > 0)
    strips = [_named_by_shape(s, strips) if s.rhythm else s for s in strips]
    speed, measurements = _SLOW, measure(joined_leads(strips, FS), FS)
    beats = beats_look_fast(measurements)
    if scale.fast + beats > 0:
        speed = 2 * _SLOW
        strips = [replace(s, t=s.t / 2, t0=s.t0 / 2, t1=s.t1 / 2) for s in strips]
        measurements = measure(joined_leads(strips, FS), FS)
    return Page(
        image=view.image,
        layout=found.layout,
        order=found.order,
        mm_per_s=speed,
        mm_per_mv=scale.gain,
        scale_doubtful=scale.doubtful(beats),
        px_per_mm=paper.scale(),
        quality=quality(strips, found.named, paper.fit),
        strips=tuple(strips),
        measurements=measurements,
        turns=turns,
        mirrored=mirrored,
        origin=view.origin,
        paper=paper,
        picture=(height, width) if turns % 2 == 0 else (width, height),
    )


def _followed(view: _View, found: Found, picture: np.ndarray, gain: float) -> list[Strip]:
    """The traces of all strips that the layout has, at `_SLOW` mm/s."""
    ys = sorted({placed.y for placed in found.strips})
    pitch = float(np.median(np.diff(ys))) if len(ys) > 1 else _USUAL_PITCH

    def to_px(px: np.ndarray) -> np.ndarray:
        return view.paper.to_px(px / PX_PER_MM + view.origin)

    curves = follow(view.maps.trace, view.image, picture, to_px, found.strips, pitch)
    return [_strip(placed, curve, sure, gain) for placed, (curve, sure) in zip(found.strips, curves)]


def _strip(placed: Placed, curve: np.ndarray, sure: float, gain: float) -> Strip:
    """curve: [n, 2] px of the rectified page."""
    x, y = curve.T / PX_PER_MM
    x0, x1 = placed.x0 / PX_PER_MM, placed.x1 / PX_PER_MM
    zero = float(np.nanmedian(y)) if np.isfinite(y).any() else placed.y / PX_PER_MM
    t0 = placed.since / PX_PER_MM / _SLOW
    return Strip(
        lead=placed.lead,
        rhythm=placed.rhythm,
        x0=x0,
        x1=x1,
        y=zero,
        t0=t0,
        t1=t0 + (x1 - x0) / _SLOW,
        t=t0 + (x - x0) / _SLOW,
        curve=np.stack([x, y], 1),
        mv=(placed.sign * (zero - y) / gain).astype(np.float32),
        sure=sure,
    )


def _in_time(placed: Sequence[Placed], strips: Sequence[Strip], ruled: bool) -> list[Strip]:
    """The strips without the delays that their beats show. ruled: whether a grid set the page straight."""
    late = delays(
        [(s.t, s.mv) for s in strips],
        [s.lead for s in strips],
        [None if p.rhythm else p.column for p in placed],
        [p.row for p in placed],
        ruled,
    )
    return [replace(s, t=s.t - d, t0=s.t0 - d, t1=s.t1 - d) for s, d in zip(strips, late.tolist())]


def _named_by_shape(rhythm: Strip, strips: list[Strip]) -> Strip:
    """A rhythm strip repeats one of the twelve leads: one that matches far better gives it its name."""
    matches: dict[str, float] = {}
    known = np.isfinite(rhythm.mv)
    if known.sum() < 2 or rhythm.lead not in {strip.lead for strip in strips if not strip.rhythm}:
        return rhythm  # a lead that is cut off elsewhere cannot be compared
    for strip in strips:
        own = np.isfinite(strip.mv)
        if strip.rhythm or own.sum() < 50:
            continue
        t = np.arange(strip.t0 + 0.05, strip.t1 - 0.05, 0.008)
        a = np.interp(t, strip.t[own], strip.mv[own])
        for shift in (-0.016, -0.008, 0.0, 0.008, 0.016):
            b = np.interp(t + shift, rhythm.t[known], rhythm.mv[known])
            size = np.sqrt(np.var(a) * np.var(b)) + 1e-9
            # Same shape at the same size: leads often look alike but for their size.
            match = float(np.mean((a - a.mean()) * (b - b.mean())) / max(size, np.var(a), np.var(b)))
            matches[strip.lead] = max(matches.get(strip.lead, -1.0), match)
    best = max(matches, key=lambda lead: matches[lead], default=rhythm.lead)
    plain = matches.get(best, 0.0) > max(_SAME_LEAD, matches.get(rhythm.lead, 0.0) + _PLAINLY)
    return replace(rhythm, lead=best) if plain else rhythm
