"""What digitising a page gives: its strips and its scale, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ecgvlm import filters
from ecgvlm.measure import Measurements
from ecgvlm.measure.signal import FROM_TWO, fit_two
from ecgvlm.quantile import median, quantiles
from ecgvlm.record import LEADS

FS = 500.0  # Hz, of the digitised leads that are measured
_NO_SIGNAL_MV, _NO_SIGNAL_MM = 0.06, 0.3  # a lead that moves less than either, wander apart, has no signal
_SMALL_MV = 0.15  # a lead that the others say moves less than this has a signal that may not be seen
_LOOK_FS = 100.0  # Hz
_END = 0.1  # s at either end of a strip
_ALL_FLAT = 9  # leads without signal among the twelve that leave none with any: what the others show is stray
_WANDER = 0.3  # s over which a median follows a baseline that wanders


class Paper(Protocol):
    """Where the millimetres of the paper lie in its picture. fit: 0..1, how much of it shows its grid."""

    @property
    def fit(self) -> float: ...

    def to_px(self, mm: np.ndarray) -> np.ndarray:
        """[..., 2] mm on the paper -> [..., 2] px of the picture."""
        ...


@dataclass(frozen=True)
class Strip:
    """One lead as printed: from x0 to x1 mm of the rectified page, zero at y mm, from t0 s on.

    curve: [n, 2] mm, the trace on the rectified page (NaN in gaps). mv: [n] at the curve's points. sure: mean
    probability of ink along it. t: [n] s of the curve's points, on the page's time axis.
    """

    lead: str
    rhythm: bool
    x0: float
    x1: float
    y: float
    t0: float
    t1: float
    t: np.ndarray
    curve: np.ndarray
    mv: np.ndarray
    sure: float


@dataclass(frozen=True)
class Page:
    """A page that has been digitised.

    strips: of the twelve leads; more: of further ones (V3R to V6R, V7 to V9). flat: leads that are printed as
    a line without signal. simultaneous: whether all columns show the same time, else each goes on where the
    one before it ended. nameless: whether no names were printed and the standard order was assumed. several:
    whether another ECG is on the picture; others: those of them that could be read, each with its places in
    the same picture. averaged: whether each strip holds one averaged beat, so that there is no rhythm.
    layout, order: as of `layout.Found`. mm_per_s: of the paper. mm_per_mv: of the limb leads; chest_mm_per_mv
    of V1 to V6. sheets: of paper, two where the halves of the ECG are on one each.

    image: [H, W, 3] uint8 RGB, rectified, `PX_PER_MM` px per mm. px_per_mm: of the picture it came from.
    origin: mm of the paper at the image's first px. quality: 0..1. measurements: on the leads at `FS` Hz.
    picture: height and width in px of what it came from. mirrored, turns: what set that upright: left and
    right exchanged, then so many quarter turns clockwise. scale_doubtful: whether the calibration pulses
    contradict the printed gain, or the beats the speed that the pulses tell, or nothing settles the speed.
    gain_assumed: whether neither print nor pulses tell the gain. longer: whether it is of a record that goes
    on after what is shown.
    """

    image: np.ndarray
    layout: str
    order: str
    mm_per_s: float
    mm_per_mv: float
    scale_doubtful: bool
    px_per_mm: float
    quality: float
    strips: tuple[Strip, ...]
    measurements: Measurements
    turns: int
    mirrored: bool
    origin: tuple[float, float]
    paper: Paper
    picture: tuple[int, int]
    chest_mm_per_mv: float
    more: tuple[Strip, ...] = ()
    flat: tuple[str, ...] = ()
    simultaneous: bool = False
    nameless: bool = False
    several: bool = False
    others: tuple[Page, ...] = ()
    averaged: bool = False
    gain_assumed: bool = False
    longer: bool = False
    sheets: int = 1

    @property
    def seconds(self) -> float:
        return max(strip.t1 for strip in self.strips)

    def leads(self, fs: float) -> np.ndarray:
        """[12, n] float32 mV on one time axis from the row's beginning; NaN where a lead shows nothing."""
        return joined_leads(self.strips, fs, self.flat)

    def to_source(self, mm: np.ndarray) -> np.ndarray:
        """[..., 2] mm of the rectified page -> px of the picture as it was given."""
        px = self.paper.to_px(np.asarray(mm, float) + self.origin)
        return as_given(px, self.picture, self.turns, self.mirrored)


def as_given(px: np.ndarray, picture: tuple[int, int], turns: int, mirrored: bool) -> np.ndarray:
    """[..., 2] px of a picture that was set upright -> px of it as it was given; see `Page`."""
    for turn in reversed(range(turns)):
        # This turn took (x, y) to (height - 1 - y, x), with the height before it; go back.
        px = np.stack([px[..., 1], picture[turn % 2] - 1 - px[..., 0]], -1)
    return np.stack([picture[1] - 1 - px[..., 0], px[..., 1]], -1) if mirrored else px


def flat_leads(strips: Sequence[Strip]) -> tuple[str, ...]:
    """The leads that are printed as a line without signal, in the order of `LEADS`."""
    telling = _telling(strips)
    flat = {lead: _is_flat(strip) for lead, strip in telling.items()}
    lively = {lead: telling[lead] for lead in LEADS[:6] if lead in flat and not flat[lead]}
    found = tuple(lead for lead in LEADS if flat.get(lead) and not _is_small(telling[lead], lively))
    return found if len(found) < _ALL_FLAT else tuple(lead for lead in LEADS if lead in flat)


def are_silent(strips: Sequence[Strip]) -> bool:
    """Whether no lead has a signal; known as soon as some have."""
    telling = _telling(strips)
    lively = 0
    for strip in telling.values():
        lively += not _is_flat(strip)
        if lively > max(0, len(telling) - _ALL_FLAT):
            return False
    return bool(telling)


def _telling(strips: Sequence[Strip]) -> dict[str, Strip]:
    """Of each lead the strip that tells whether it has a signal: the longest look at it."""
    return {strip.lead: strip for strip in sorted(strips, key=lambda s: s.rhythm)}


def _is_flat(strip: Strip) -> bool:
    known = np.isfinite(strip.mv)
    if known.sum() < 2:
        return True  # the net sees no line where nothing rises from it
    height = strip.curve[known, 1]
    moves = _moves(np.interp(np.arange(strip.t0, strip.t1, 1 / _LOOK_FS), strip.t[known], height))
    mv_per_mm = np.ptp(strip.mv[known]) / (np.ptp(height) + 1e-9)
    return bool(moves * mv_per_mm < _NO_SIGNAL_MV or moves < _NO_SIGNAL_MM)


def _moves(y: np.ndarray) -> float:
    """How much a curve ([n] at `_LOOK_FS`) moves, wander apart."""
    # What little stands out may be stray print; beats take more of the time.
    low, high = quantiles(y - filters.median(y, int(_WANDER * _LOOK_FS), "edge"), 0.02, 0.98)
    return float(high - low)


def _is_small(strip: Strip, others: Mapping[str, Strip]) -> bool:
    """Whether a limb lead that looks flat is just small, as other limb leads (`others`, with a signal) tell.

    Across the heart's axis there is little to be seen.
    """
    beside = {lead: x for lead, x in others.items() if x.t0 < strip.t1 - 1 and x.t1 > strip.t0 + 1}
    if strip.lead not in LEADS[:6] or len(beside) < 2:
        return False
    first = max(strip.t0, *(x.t0 for x in beside.values()))
    last = min(strip.t1, *(x.t1 for x in beside.values()))
    t = np.arange(first, last, 1 / _LOOK_FS)
    if len(t) < _LOOK_FS:
        return False
    seen = [np.interp(t, x.t[known], x.mv[known]) for x in beside.values() for known in [np.isfinite(x.mv)]]
    two = fit_two([LEADS.index(lead) for lead in beside], np.array(seen))
    return _moves(FROM_TWO[LEADS.index(strip.lead)] @ two) < _SMALL_MV


def joined_leads(strips: Sequence[Strip], fs: float, flat: Sequence[str] = ()) -> np.ndarray:
    """Strips -> [12, n] mV, see `Page.leads`. flat: leads that show nothing."""
    n = round(max(strip.t1 for strip in strips) * fs)
    time = (np.arange(n) + 0.5) / fs
    out = np.full((12, n), np.nan, np.float32)
    # Rhythm strips first: where a lead is printed twice, its own strip has the last word.
    for strip in sorted(strips, key=lambda s: not s.rhythm):
        known = np.isfinite(strip.mv)
        if known.sum() < 2 or strip.lead not in LEADS or strip.lead in flat:
            continue
        inside = (time >= strip.t0) & (time < strip.t1)
        values = np.interp(time[inside], strip.t[known], strip.mv[known])
        if not known.all():
            nearest = np.searchsorted(strip.t, time[inside]).clip(0, len(known) - 1)
            values[~known[nearest]] = np.nan
        row = out[LEADS.index(strip.lead)]
        if strip.rhythm or not np.isfinite(row).any():
            row[inside] = values
        else:
            # Rows differ in their zero: the strip joins the rhythm strip of the same lead at its level. At
            # its ends, where names and bars may hide a QRS, the rhythm strip shows it.
            apart = row[inside] - values
            both = np.isfinite(apart)
            shift = median(apart[both]) if both.any() else 0.0
            amid = (time[inside] >= strip.t0 + _END) & (time[inside] < strip.t1 - _END)
            row[inside] = np.where(np.isfinite(values) & (amid | ~both), values + shift, row[inside])
    return out
