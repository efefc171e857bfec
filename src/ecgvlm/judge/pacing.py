"""Pacing spikes: pulses far thinner than any wave of the heart, at the same place before every beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgvlm import filters
from ecgvlm.measure import Measurements
from ecgvlm.quantile import median, quantiles

SLOWEST_FS = 200.0  # Hz; sampled more slowly a spike is as wide as a QRS
_SIDE = 0.008  # s within which a spike rises, and falls
_BEFORE = (0.012, 0.016, 0.024, 0.032, 0.040)  # s before it at which the trace is as low as just before
_STEEP, _FALLS = 0.75, 0.6  # parts of the whole rise that these sides make up
_QUIET = 3.0  # times what moves just before, by which a spike stands out
_FAR, _NEAR = 0.45, 0.06  # s before R between which spikes are looked for
_T_WAVE = 0.12  # s after the beat before that are left out
_ATRIAL = 0.14  # s before R from where on a spike belongs to the atria
_BEATS = 0.35  # quantile of the beats that hold a spike at least so high: two thirds of them do


@dataclass(frozen=True)
class Spikes:
    """Height in mV (RMS over the leads) of the spikes before most P waves and most QRS, 0 where none are.

    None where the sampling or too few beats do not allow to tell.
    """

    atrial_mv: float | None
    ventricular_mv: float | None


def find_spikes(leads: np.ndarray, fs: float, m: Measurements) -> Spikes:
    """leads: [12, n] mV at fs Hz, NaN where not printed."""
    if fs < SLOWEST_FS or len(m.beats) < 3:
        return Spikes(None, None)
    widest = filters.greatest(_thin(leads, fs), 5)
    first = max(-_FAR, _T_WAVE - median(np.diff(m.beats)))
    offsets = np.arange(round(first * fs), round(-_NEAR * fs) + 1)
    at = np.round(m.beats * fs).astype(int)[:, None] + offsets
    at = at[((at >= 0) & (at < len(widest))).all(1)]
    if len(at) < 3 or not len(offsets):
        return Spikes(None, None)
    height = quantiles(widest[at], _BEATS, axis=0)[0]
    atrial = offsets < -_ATRIAL * fs
    return Spikes(float(height[atrial].max(initial=0.0)), float(height[~atrial].max(initial=0.0)))


def _thin(leads: np.ndarray, fs: float) -> np.ndarray:
    """[n] mV: how high a thin pulse stands at each time, 0 where the trace is no pulse out of quiet."""
    printed = np.isfinite(leads)
    x = np.where(printed, leads, 0.0)
    count = np.maximum(printed.sum(0), 1)

    def moved(seconds: float, since: float = 0.0) -> np.ndarray:
        """[n] RMS change from `seconds` before each time to `since` before it; jumps at the ends of strips
        are none."""
        a, b = round(seconds * fs), round(since * fs)
        both = np.roll(printed, a, 1) & np.roll(printed, b, 1)
        return np.sqrt((np.where(both, np.roll(x, a, 1) - np.roll(x, b, 1), 0.0) ** 2).sum(0) / count)

    rise, fall = moved(_SIDE), moved(-_SIDE)
    whole = np.max([moved(s) for s in _BEFORE], axis=0)
    restless = np.max([moved(s + _SIDE, _BEFORE[0]) for s in _BEFORE], axis=0)
    height = np.minimum(rise, fall)
    thin = (rise > _STEEP * whole) & (fall > _FALLS * whole) & (height > _QUIET * restless)
    thin &= moved(-_SIDE, _SIDE) < height  # what goes on as it came is where a wave begins
    edge = round(0.08 * fs)
    thin[:edge] = thin[-edge:] = False
    return np.where(thin, height, 0.0)
