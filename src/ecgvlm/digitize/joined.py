"""One ECG on two pages: the limb leads on one, the chest leads on the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecgvlm.digitize.assembly import later
from ecgvlm.digitize.page import FS, Page, Strip, flat_leads, joined_leads
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.quality import quality
from ecgvlm.measure import measure
from ecgvlm.paper.layouts import layout_name
from ecgvlm.record import LEADS

_LIMB, _CHEST = frozenset(LEADS[:6]), frozenset(LEADS[6:])
_SAME_BEAT = 0.04  # s between a beat on one page and the same one on the other
_SAME_TIME = 0.8  # share of the beats that must be on both pages, if these show the same time
_SAME_RATE = 0.2  # part by which the rates of one ECG's halves may differ
_ONE_PERSON, _ONE_SCANNER = 0.06, 0.03  # the same, and of the pictures' sides, where the halves are two files
_COLUMN = 15.0  # mm between the beginnings of two columns


@dataclass(frozen=True)
class Stacked:
    """Where two pages lie in the picture that has the one's picture above the other's.

    cut: mm of the upper page; what is further down belongs to the lower one.
    """

    upper: Page
    lower: Page
    cut: float

    @property
    def fit(self) -> float:
        return min(self.upper.paper.fit, self.lower.paper.fit)

    def to_px(self, mm: np.ndarray) -> np.ndarray:
        """[..., 2] mm -> [..., 2] px, see `PaperMap.to_px`."""
        mm = np.asarray(mm, float)
        above = self.upper.to_source(mm)
        below = self.lower.to_source(mm - np.array([0.0, self.cut])) + np.array([0.0, self.upper.picture[0]])
        return np.where(mm[..., 1:] < self.cut, above, below)


def stacked(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """One picture [H, W, 3] above the other, white beside the narrower one."""
    width = max(upper.shape[1], lower.shape[1])
    white = [np.full((len(image), width - image.shape[1], 3), 255, np.uint8) for image in (upper, lower)]
    return np.concatenate([np.concatenate(pair, 1) for pair in zip((upper, lower), white)])


def is_half(page: Page) -> bool:
    """Whether a page shows the six limb leads alone, or the six chest leads."""
    return {strip.lead for strip in page.strips if not strip.rhythm} in (_LIMB, _CHEST) and not page.nameless


def join(first: Page, second: Page, one_file: bool = True) -> Page | None:
    """Two pages as one; None where they are not the halves of one ECG.

    They are where one shows the limb leads and the other the chest leads, in the same scale and at about the
    same rate. Beats at the same places mean that they show the same time, else the second goes on; two files
    that do not show the same time must be alike in size and rate: they might be two persons'.
    """
    if not (is_half(first) and is_half(second)) or _own(first) == _own(second):
        return None
    one, other = first.measurements.heart_rate_bpm, second.measurements.heart_rate_bpm
    if first.mm_per_s != second.mm_per_s or not one or not other or abs(one / other - 1) > _SAME_RATE:
        return None
    same_time = _same_time(first, second)
    if not one_file and not same_time:
        sizes = np.array(first.picture) / second.picture
        if abs(one / other - 1) > _ONE_PERSON or np.abs(sizes - 1).max() > _ONE_SCANNER:
            return None
    limb, chest = (first, second) if _own(first) == _LIMB else (second, first)
    cut = len(first.image) / PX_PER_MM
    delay = 0.0 if same_time else first.seconds
    lower = [_lowered(later(strip, delay), cut) for strip in second.strips]
    strips, paper = (*first.strips, *lower), Stacked(first, second, cut)
    flat = flat_leads(strips)
    columns = _columns(first)
    rhythm = sum(strip.rhythm for strip in strips)
    return replace(
        first,
        image=stacked(first.image, second.image),
        layout=layout_name(12 // columns, columns, rhythm),
        mm_per_mv=limb.mm_per_mv,
        chest_mm_per_mv=chest.chest_mm_per_mv,
        scale_doubtful=first.scale_doubtful or second.scale_doubtful,
        quality=quality(strips, len(LEADS), paper.fit > 0),
        strips=strips,
        measurements=measure(joined_leads(strips, FS, flat), FS),
        turns=0,
        mirrored=False,
        origin=(0.0, 0.0),
        paper=paper,
        picture=(
            first.picture[0] + second.picture[0],
            max(first.picture[1], second.picture[1]),
        ),
        more=(*first.more, *(_lowered(later(strip, delay), cut) for strip in second.more)),
        flat=flat,
        several=first.several or second.several,
        sheets=2,
    )


def _own(page: Page) -> set[str]:
    return {strip.lead for strip in page.strips if not strip.rhythm}


def _same_time(first: Page, second: Page) -> bool:
    one, other = first.measurements.beats, second.measurements.beats
    if not len(one) or not len(other):
        return False
    apart = np.abs(other[:, None] - one[None]).min(1)
    return bool((apart < _SAME_BEAT).mean() >= _SAME_TIME)


def _lowered(strip: Strip, mm: float) -> Strip:
    return replace(strip, y=strip.y + mm, curve=strip.curve + np.array([0.0, mm]))


def _columns(page: Page) -> int:
    starts = sorted(strip.x0 for strip in page.strips if not strip.rhythm)
    return 1 + int((np.diff(starts) > _COLUMN).sum())
