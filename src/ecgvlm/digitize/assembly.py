"""Strips and their scale, however they were found, as a `Page` with its measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ecgvlm.digitize.page import FS, Page, Strip, flat_leads, joined_leads
from ecgvlm.digitize.quality import quality
from ecgvlm.digitize.scale import Scale
from ecgvlm.digitize.surface import PaperMap
from ecgvlm.measure import Measurements, measure
from ecgvlm.record import LEADS

SLOW = 25.0  # mm/s at which traces are read first
_ONE_BEAT = 1.7  # s: strips shorter than this hold one beat
_LOOKS = 2  # at the beats, for the speed
_NAMELESS = 7  # names that a page without any counts as having: its order is only the usual one


def assembled(
    strips: Sequence[Strip],
    scale: Scale,
    simultaneous: bool,
    *,
    layout: str,
    order: str,
    named: int,
    image: np.ndarray,
    origin: tuple[float, float],
    paper: PaperMap,
    picture: tuple[int, int],
    turns: int = 0,
    mirrored: bool = False,
    several: bool = False,
) -> Page:
    """The page of strips that are timed as if it had run at `SLOW` mm/s; its speed is found from the beats.

    named: leads whose names were seen, 0 where the page has none. picture: height and width in px of the
    picture, upright; the others as of `Page`.
    """
    flat = flat_leads(strips)
    strips, speed, measured = _at_speed(strips, scale, flat)
    twelve = tuple(s for s in strips if s.lead in LEADS)
    return Page(
        image=image,
        layout=layout,
        order=order,
        mm_per_s=speed,
        mm_per_mv=scale.gain,
        chest_mm_per_mv=scale.chest_gain,
        scale_doubtful=scale.doubtful(measured, speed),
        gain_assumed=not scale.told,
        px_per_mm=paper.scale(),
        quality=quality(
            [s for s in strips if s.lead not in flat], named or _NAMELESS, paper.fit > 0, paper.aslant
        ),
        strips=twelve,
        measurements=measured,
        turns=turns,
        mirrored=mirrored,
        origin=origin,
        paper=paper,
        picture=picture if turns % 2 == 0 else picture[::-1],
        more=tuple(s for s in strips if s.lead not in LEADS),
        flat=flat,
        simultaneous=simultaneous,
        nameless=named == 0,
        several=several,
        averaged=len(flat) < len(twelve) and _single_beats(twelve, simultaneous),
    )


def _at_speed(
    strips: Sequence[Strip], scale: Scale, flat: Sequence[str]
) -> tuple[Sequence[Strip], float, Measurements]:
    """Strips of `SLOW` mm/s at the speed that their beats tell, that speed, and what is measured then."""
    measured = measure(joined_leads(strips, FS, flat), FS)
    speed = SLOW
    for _ in range(_LOOKS):  # beats that are timed better tell more
        other = scale.speed(measured, speed)
        if other == speed:
            break
        strips = [sped_up(s, other / speed) for s in strips]
        speed, measured = other, measure(joined_leads(strips, FS, flat), FS)
    for other in scale.worth_a_look(measured, speed):  # beats that are timed far too fast tell little
        slowed = [sped_up(s, other / speed) for s in strips]
        its = measure(joined_leads(slowed, FS, flat), FS)
        if scale.gains_by(other, its, speed, measured):
            strips, speed, measured = slowed, other, its
    return strips, speed, measured


def later(strip: Strip, seconds: float) -> Strip:
    return replace(strip, t=strip.t + seconds, t0=strip.t0 + seconds, t1=strip.t1 + seconds)


def sped_up(strip: Strip, times: float) -> Strip:
    """The strip as of paper that ran so many times as fast."""
    return replace(strip, t=strip.t / times, t0=strip.t0 / times, t1=strip.t1 / times)


def _single_beats(strips: Sequence[Strip], same: bool) -> bool:
    """Whether the strips, of one time, are each too short for two beats: they show an averaged one."""
    longest = max(s.t1 for s in strips) - min(s.t0 for s in strips)
    return longest < _ONE_BEAT and (same or len({s.x0 for s in strips}) == 1)
