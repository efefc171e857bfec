"""From a view to its `Page`: each strip of its layout followed, in mV, named and in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from ecgvlm import filters
from ecgvlm.digitize.arrangement import FEWEST
from ecgvlm.digitize.assembly import SLOW, assembled, later, sped_up
from ecgvlm.digitize.layout import Found, Placed
from ecgvlm.digitize.page import Page, Strip, are_silent
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.quality import limbs_db
from ecgvlm.digitize.scale import Scale, find_scale
from ecgvlm.digitize.separators import between_separators
from ecgvlm.digitize.spikes import with_spikes
from ecgvlm.digitize.timing import delays, same_time
from ecgvlm.digitize.trace import follow
from ecgvlm.digitize.view import ROW_SLIGHTLY_OFF, View, off_scale
from ecgvlm.errors import EcgError
from ecgvlm.paper.layouts import CABRERA, RHYTHM_LEADS
from ecgvlm.quantile import median
from ecgvlm.record import LEADS
from ecgvlm.together import together

# Mean probability of ink along a strip below which nothing is printed there, its name seen or not.
_NO_TRACE, _NO_TRACE_NO_NAME = 0.2, 0.6
_SAME_TRACE, _ALONG = 0.5, 4.0  # mm: curves this close run along one trace, when they do so for this long
_ABOUT = 6.0 * PX_PER_MM  # above and below a row's line, that show the paper it stands on
# Grey levels of detail that a grid has at most, and its share on paper that something lies on.
_MOST_DETAIL, _LEAST_DETAIL = 12, 0.35
_SAME_LEAD = 0.9  # likeness from which on a rhythm strip is taken for a lead
_PLAINLY = 0.2  # by which the likeness must exceed that with the lead whose name was read
_AS_LIKE = 0.05  # by which a rhythm strip may be less like one of `RHYTHM_LEADS` than like another lead
# Which lead of the usual order stands in the place of one in Cabrera's.
_USUAL_ORDER = dict(zip(CABRERA, LEADS))
_ORDER_DB = 6.0  # by which the limb leads must agree better in the usual order


def not_an_ecg(advice: str = "") -> EcgError:
    return EcgError(
        "not_an_ecg",
        f"no twelve named leads found{advice}; show the whole ECG page, flat and sharp, and nothing else",
    )


def page_of_view(
    view: View, found: Found, picture: np.ndarray, turns: int = 0, mirrored: bool = False
) -> Page:
    """The page of a view by a layout found on it, or, without any name, assumed.

    picture: [h, w, 3] RGB, upright; turns, mirrored: what made it so, see `Page`. Raises EcgError not_an_ecg
    where fewer than six leads are printed.
    """
    between = between_separators(found.strips, view.maps.trace)
    found = replace(found, strips=tuple(sorted(between, key=lambda p: (p.rhythm, p.column, p.y))))
    curves, scale = together(
        partial(_curves, view, found, picture), partial(_scale, view, found, picture.shape[1])
    )
    scale = scale.of_heights([_height(curve) / PX_PER_MM for curve, _ in curves])
    printed, silent = _printed(view, found, curves, scale)
    placed, strips = [p for p, _ in printed], [s for _, s in printed]
    same = not silent and same_time(strips, [None if p.rhythm else p.column for p in placed])
    if same:
        strips = [later(s, -p.since / PX_PER_MM / SLOW) for p, s in zip(placed, strips)]
    zoom = off_scale(found, view.notes)
    if view.paper.fit == 0 and abs(zoom - 1) < ROW_SLIGHTLY_OFF:
        strips = [sped_up(s, zoom) for s in strips]  # the rows are all the ruler that there is
    strips = _in_time(placed, strips, view.paper.fit > 0)
    order = found.order
    if order == "cabrera":
        signs = [p.sign for p in placed]
        if limbs_db(usual := _in_usual_order(strips, signs)) > limbs_db(strips) + _ORDER_DB:
            strips, order = usual, "standard"  # names were misread
    strips = [_named_by_shape(s, strips) if s.rhythm else s for s in strips]
    return assembled(
        strips,
        scale,
        same,
        layout=found.layout,
        order=order,
        named=found.named,
        image=view.image,
        origin=view.origin,
        paper=view.paper,
        picture=picture.shape[:2],
        turns=turns,
        mirrored=mirrored,
        several=found.several,
    )


def _curves(view: View, found: Found, picture: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """The trace of every strip that the layout has, see `follow`."""
    curves = follow(view.maps.trace, view.image, picture, view.to_px, found.strips)
    return [(_shown(curve, view.to_px, picture.shape), sure) for curve, sure in curves]


def _scale(view: View, found: Found, width: int) -> Scale:
    """Of the strips of a layout. width: px of the picture."""
    columns = [p for p in found.strips if not p.rhythm]
    column_mm = median([p.x1 - p.x0 for p in columns]) / PX_PER_MM
    rows = sorted({p.y for p in found.strips})
    sides = view.sides(float(np.mean(rows)), width)
    ends = min(p.x0 for p in columns), max(p.x1 for p in columns)
    several = len({p.column for p in columns})
    return find_scale(view.image, view.maps, view.notes, column_mm, several, rows, sides, ends)


def _printed(
    view: View, found: Found, curves: Sequence[tuple[np.ndarray, float]], scale: Scale
) -> tuple[list[tuple[Placed, Strip]], bool]:
    """The strips of the layout that are printed, and whether none has a signal. curves: of `_curves`.

    Raises EcgError not_an_ecg where these are of fewer than six leads.
    """
    spiked = with_spikes(view.image, found.strips, [curve for curve, _ in curves])
    followed = [
        (placed, _strip(placed, curve, sure, scale.gain_of(placed.lead)))
        for placed, curve, (_, sure) in zip(found.strips, spiked, curves)
    ]
    printed = [
        (placed, strip)
        for placed, strip in followed
        if strip.sure >= (_NO_TRACE if placed.named else _NO_TRACE_NO_NAME)
    ]
    silent = are_silent([strip for _, strip in printed])
    if silent:
        # Of a line that nothing rises from the net sees only parts: whatever is named is one, too.
        printed = [(placed, strip) for placed, strip in followed if placed.named]
    printed = _uncovered(view.image, [(p, s) for (p, _), s in zip(printed, _without_neighbours(printed))])
    if len({strip.lead for _, strip in printed} & set(LEADS)) < FEWEST:
        raise not_an_ecg()
    return printed, silent


def _shown(
    curve: np.ndarray, to_px: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]
) -> np.ndarray:
    """The curve with NaN where it runs on beyond the edges of the picture: its last px are repeated there."""
    known = np.flatnonzero(np.isfinite(curve[:, 1]))
    px = to_px(curve[known])
    beyond = ((px < 0) | (px > (shape[1] - 1, shape[0] - 1))).any(axis=1)
    if not beyond.any():
        return curve
    shown = curve.copy()
    shown[known[beyond], 1] = np.nan
    return shown


def _height(curve: np.ndarray) -> float:
    """px from the top of a curve to its bottom."""
    y = curve[np.isfinite(curve[:, 1]), 1]
    return float(np.ptp(y)) if len(y) else 0.0


def _strip(placed: Placed, curve: np.ndarray, sure: float, gain: float) -> Strip:
    """A strip at `SLOW` mm/s. curve: [n, 2] px of the rectified page."""
    x, y = curve.T / PX_PER_MM
    x0, x1 = placed.x0 / PX_PER_MM, placed.x1 / PX_PER_MM
    known = y[np.isfinite(y)]
    zero = median(known) if len(known) else placed.y / PX_PER_MM
    t0 = placed.since / PX_PER_MM / SLOW
    return Strip(
        lead=placed.lead,
        rhythm=placed.rhythm,
        x0=x0,
        x1=x1,
        y=zero,
        t0=t0,
        t1=t0 + (x1 - x0) / SLOW,
        t=t0 + (x - x0) / SLOW,
        curve=np.stack([x, y], 1),
        mv=(placed.sign * (zero - y) / gain).astype(np.float32),
        sure=sure,
    )


def _without_neighbours(printed: Sequence[tuple[Placed, Strip]]) -> list[Strip]:
    """The strips without the parts in which they run along a trace that lies nearer another row."""
    own = []
    tops = [np.fmin.reduce(strip.curve[:, 1], initial=np.inf) for _, strip in printed]
    bottoms = [np.fmax.reduce(strip.curve[:, 1], initial=-np.inf) for _, strip in printed]
    for (placed, strip), top, bottom in zip(printed, tops, bottoms):
        away = np.zeros(len(strip.mv), bool)
        for (other_placed, other), highest, lowest in zip(printed, tops, bottoms):
            apart = highest > bottom + _SAME_TRACE or lowest < top - _SAME_TRACE
            beside = other.x1 < strip.x0 or other.x0 > strip.x1
            if other_placed.row != placed.row and not beside and not apart:
                away |= _is_others(placed, strip, other_placed, other)
        x, others = strip.curve[:, 0], np.zeros(len(away), bool)
        for a, b in filters.runs(away):
            if x[b - 1] - x[a] >= _ALONG:  # shorter than that, traces only cross
                others |= (x > x[a] - _ALONG) & (x < x[b - 1] + _ALONG)
        own.append(replace(strip, mv=np.where(others, np.nan, strip.mv).astype(np.float32)))
    return own


def _is_others(placed: Placed, strip: Strip, other_placed: Placed, other: Strip) -> np.ndarray:
    """[n] where a strip lies on the curve of another one, and nearer to that one's row."""
    known = np.isfinite(other.curve[:, 1])
    if known.sum() < 2:
        return np.zeros(len(strip.mv), bool)
    x, y = strip.curve.T
    there = np.interp(x, other.curve[known, 0], other.curve[known, 1], left=np.nan, right=np.nan)
    nearer = abs(y - other_placed.y / PX_PER_MM) < abs(y - placed.y / PX_PER_MM)
    return (np.abs(y - there) < _SAME_TRACE) & nearer


def _uncovered(page: np.ndarray, printed: list[tuple[Placed, Strip]]) -> list[tuple[Placed, Strip]]:
    """The strips without those that something lies on: neither a trace nor the paper's own print is seen."""
    dark = [not np.isfinite(strip.mv).any() for _, strip in printed]
    if not any(dark):
        return printed

    def detail(placed: Placed) -> float:
        """Grey levels between a px and the next where a strip stands, ink counted no more than a grid."""
        top, bottom = int(max(0.0, placed.y - _ABOUT)), int(placed.y + _ABOUT)
        part = page[top:bottom, int(max(0.0, placed.x0)) : int(placed.x1), 1]
        return float(np.minimum(cv2.absdiff(part[:, 1:], part[:, :-1]), _MOST_DETAIL).mean())

    details = [detail(placed) for placed, _ in printed]
    least = _LEAST_DETAIL * median(details)
    return [one for one, unseen, own in zip(printed, dark, details) if not unseen or own > least]


def _in_time(placed: Sequence[Placed], strips: Sequence[Strip], ruled: bool) -> list[Strip]:
    """The strips without the delays that their beats show. ruled: whether a grid set the page straight."""
    late = delays(
        [(s.t, s.mv) for s in strips],
        [s.lead for s in strips],
        [None if p.rhythm else p.column for p in placed],
        [p.row for p in placed],
        ruled,
    )
    return [later(strip, -delay) for strip, delay in zip(strips, late.tolist())]


def _in_usual_order(strips: Sequence[Strip], signs: Sequence[float]) -> list[Strip]:
    """Strips of Cabrera's order as if they stood in the usual one. signs: -1 of those taken for negative."""
    return [
        s if s.rhythm else replace(s, lead=_USUAL_ORDER.get(s.lead, s.lead), mv=sign * s.mv)
        for s, sign in zip(strips, signs)
    ]


def _named_by_shape(rhythm: Strip, strips: list[Strip]) -> Strip:
    """A rhythm strip repeats one of the twelve leads: one that matches far better gives it its name."""
    matches: dict[str, float] = {}
    known = np.isfinite(rhythm.mv)
    own_names = {strip.lead for strip in strips if not strip.rhythm}
    if known.sum() < 2 or (rhythm.lead in LEADS and rhythm.lead not in own_names):
        return rhythm  # a lead that is cut off elsewhere cannot be compared
    shifts = np.array([-0.016, -0.008, 0.0, 0.008, 0.016])
    for strip in strips:
        own = np.isfinite(strip.mv)
        if strip.rhythm or own.sum() < 50:
            continue
        t = np.arange(strip.t0 + 0.05, strip.t1 - 0.05, 0.008)
        a = np.interp(t, strip.t[own], strip.mv[own])
        b = np.interp(t + shifts[:, None], rhythm.t[known], rhythm.mv[known])
        a, b = a - a.mean(), b - b.mean(1, keepdims=True)
        # Same shape at the same size: leads often look alike but for their size.
        largest = np.maximum((b**2).mean(1), (a**2).mean()) + 1e-9
        matches[strip.lead] = max(matches.get(strip.lead, -1.0), float(((a * b).mean(1) / largest).max()))
    best = max(
        matches, key=lambda lead: matches[lead] + _AS_LIKE * (lead in RHYTHM_LEADS), default=rhythm.lead
    )
    plain = matches.get(best, 0.0) > max(_SAME_LEAD, matches.get(rhythm.lead, 0.0) + _PLAINLY)
    return replace(rhythm, lead=best) if plain else rhythm
