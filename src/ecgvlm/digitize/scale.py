"""The paper speed and the gain: what a page says of them, its calibration pulses, and its beats."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ecgvlm.digitize.pagenet import NOTES, PULSE, PX_PER_MM, Mark, NetMaps
from ecgvlm.measure import Measurements

# Prior log-odds of 50 against 25 mm/s, one page in eight, and what a pulse 10 mm wide adds: at 25 mm/s
# it would last 0.4 s, and carts print 0.2 s.
_FAST_BEFOREHAND, _FAST_PULSE = float(np.log(1 / 7)), 4.0
_USUAL_GAIN = 0.3  # what speaks for 10 mm/mV before anything is read
_LEAST_NOTE, _LEAST_PULSE = 0.12, 0.3  # probabilities from which on a mark is weighed
_MOST_PULSES = 4  # the clearest of a page; more tell nothing new
_GAINS = (5.0, 10.0, 20.0)  # mm/mV
_PULSE_WIDTHS = (2.2, 2.5, 3.3, 5.0, 10.0)  # mm that printers draw a pulse wide
_RUNS_ON = 0.3  # what ink below a calibration pulse's sides weighs, beside that of its outline
_PLAIN = 0.6  # probability from which on a printed gain is plain
_NOT_SO_HIGH = 0.8  # of the clearest height's clearness: pulses are plainly not of that height
_PULSE_SAYS = 8  # how sharply the clearest height of the calibration pulses counts before the others
_BEATS_SAY = 5.0  # log-odds from which on the beats contradict the calibration pulses
# Adults' mean and spread of rate, QRS and Bazett's QTc (Mason et al. 2007, J Electrocardiol 40:228, widened).
_USUAL_BEATS = {
    "heart_rate_bpm": (74.0, 22.0),
    "qrs_ms": (96.0, 20.0),
    "qtc_ms": (420.0, 40.0),
}
# What each of them becomes where the paper ran twice as fast.
_AT_TWICE = {"heart_rate_bpm": 2.0, "qrs_ms": 0.5, "qtc_ms": 0.5**0.5}
_ONE_SAYS = 2.5  # log-odds that one odd measurement may add: it must not decide alone


@dataclass(frozen=True)
class Scale:
    """What a page says of its scale. fast: log-odds of 50 against 25 mm/s. gain: mm/mV that is believed.

    wide: whether calibration pulses are as wide as at 50 mm/s, None where there are none. disputed: whether
    the printed gain is not that of the pulses.
    """

    fast: float
    gain: float
    wide: bool | None
    disputed: bool

    def doubtful(self, beats: float) -> bool:
        """Whether print, pulses and beats contradict each other. beats: their log-odds of 50 mm/s."""
        if self.disputed:
            return True
        return (self.wide is False and beats > _BEATS_SAY) or (self.wide is True and beats < -_BEATS_SAY)


def find_scale(image: np.ndarray, maps: NetMaps) -> Scale:
    """The scale from what the page says and from its calibration pulses.

    A pulse is 1 mV high, and 10 mm wide at 50 mm/s only. Without any sign
    the gain is taken for 10 mm/mV.
    """
    said = dict.fromkeys(NOTES, 0.0)
    for mark in maps.marks(_LEAST_NOTE):
        if mark.kind > PULSE:
            note = NOTES[mark.kind - PULSE - 1]
            said[note] = max(said[note], mark.p)
    speeds = {25.0: said["25 mm/s"], 50.0: said["50 mm/s"]}
    gains = {5.0: said["5 mm/mV"], 10.0: said["10 mm/mV"], 20.0: said["20 mm/mV"]}
    fast = float(_FAST_BEFOREHAND + 2 * np.log((speeds[50.0] + 0.1) / (speeds[25.0] + 0.1)))
    pulses = sorted((m for m in maps.marks(_LEAST_PULSE) if m.kind == PULSE), key=lambda m: -m.p)[
        :_MOST_PULSES
    ]
    wide, disputed = None, False
    if pulses:
        wide, clear = _pulse_scale(image, pulses)
        disputed = _disputed(gains, clear)
        sure, clearest = float(np.mean([m.p for m in pulses])), max(*clear.values(), 1e-6)
        gains = {gain: gains[gain] + sure * (clear[gain] / clearest) ** _PULSE_SAYS for gain in gains}
        fast += _FAST_PULSE if wide else 0.0
    gain = max(gains, key=lambda g: gains[g] + (_USUAL_GAIN if g == 10.0 else 0.0))
    return Scale(fast, gain, wide, disputed)


def _disputed(printed: dict[float, float], clear: dict[float, float]) -> bool:
    """Whether the gain that is plainly printed is plainly not that of the pulses (mm/mV -> how clear)."""
    said, second = sorted(printed, key=lambda gain: -printed[gain])[:2]
    plain = printed[said] > _PLAIN and printed[said] > printed[second] + _PLAIN / 2
    return plain and clear[said] < _NOT_SO_HIGH * max(clear.values())


def _pulse_scale(image: np.ndarray, pulses: list[Mark]) -> tuple[bool, dict[float, float]]:
    """Whether the calibration pulses are 10 mm wide, and how clearly they are 5, 10 and 20 mm high."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    dark = np.minimum(cv2.absdiff(cv2.blur(grey, (61, 61)), grey), 60).astype(np.float32)
    votes: dict[tuple[float, float], float] = {}
    for pulse in pulses:
        for gain in _GAINS:
            for width in _PULSE_WIDTHS:
                clear = _outline(dark, pulse.x, pulse.y, round(width * PX_PER_MM), round(gain * PX_PER_MM))
                votes[gain, width] = votes.get((gain, width), 0.0) + clear * pulse.p
    _, width = max(votes, key=lambda key: votes[key])
    heights = {gain: max(vote for (height, _), vote in votes.items() if height == gain) for gain in _GAINS}
    return width == 10.0, heights


def _outline(dark: np.ndarray, x: float, y: float, width: int, height: int) -> float:
    """How clearly the picture shows a pulse's top and sides there.

    Their ink less that inside and above, and less that of sides which run on below: those of a higher pulse.
    """
    edge, below = 3, 8
    template = np.zeros((height + edge + below, width + 1 + 2 * edge), np.float32)
    template[:edge] = -0.5
    template[2 * edge : height + edge, 2 * edge : -2 * edge] = -0.5
    outline = np.zeros_like(template)
    outline[edge, edge:-edge] = 1
    outline[edge : height + edge, edge] = outline[edge : height + edge, -edge - 1] = 1
    template = np.where(outline > 0, 0, template)
    template /= max(1e-6, -2 * template.sum())
    template += outline / outline.sum()
    template[height + edge + 3 :, [edge, -edge - 1]] = -_RUNS_ON / (2 * (below - 3))
    left, top = round(x - template.shape[1] / 2) - 5, round(y - height / 2) - edge - 7
    window = dark[max(0, top) : top + template.shape[0] + 14, max(0, left) : left + template.shape[1] + 10]
    if window.shape[0] < template.shape[0] or window.shape[1] < template.shape[1]:
        return 0.0
    return float(cv2.matchTemplate(window, template, cv2.TM_CCORR).max())


def beats_look_fast(m: Measurements) -> float:
    """Log-odds that what was measured at 25 mm/s was printed at 50: hearts would be slow, wide and long."""
    odds = 0.0
    for name, (mean, spread) in _USUAL_BEATS.items():
        value = getattr(m, name)
        if value is not None:
            part = ((value - mean) ** 2 - (value * _AT_TWICE[name] - mean) ** 2) / (2 * spread**2)
            odds += float(np.clip(part, -_ONE_SAYS, _ONE_SAYS))
    return odds
