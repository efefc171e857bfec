"""How far the traces of a page may be believed.

Leads that were recorded at the same time obey Einthoven's and Goldberger's relations, I + III = II and
aVR + aVL + aVF = 0, and a rhythm strip repeats its lead: what is left of them is the traces' own error,
without any truth at hand. Besides, a trace that was followed badly is rough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ecgvlm.digitize.page import Strip
from ecgvlm.measure.signal import FROM_TWO, fit_two
from ecgvlm.quantile import median
from ecgvlm.record import LEADS

_FS = 250.0  # Hz
_EDGE, _LEAST = 0.05, 1.0  # s left out at a strip's ends, and that three strips must share
_RELATIONS = ((("I", "II", "III"), (1.0, -1.0, 1.0)), (("aVR", "aVL", "aVF"), (1.0, 1.0, 1.0)))
_SHIFTS = np.arange(-0.02, 0.021, 0.004)  # s by which a lead and its rhythm strip may be off
_STEP = 1 / 15  # mm between the points of a trace whose roughness is taken
_NOISE = 1e-6  # mV^2 of error that every trace has
_FLAT = 1e-4  # mV^2: a strip with less shows nothing
# SNR in dB that a page is expected to have: what its leads' agreement in dB adds, what their roughness takes
# off, and a constant; least squares over 70 pages with known leads, 25 real photographs among them.
_AGREEMENT, _ROUGHNESS, _CONSTANT = 0.40, -6.5, -6.0
# SNR in dB up to which traces can be known where no grid tells the paper's shape: flat, and photographed.
_FLAT_PAPER, _PAPER_ASLANT = 17.0, 10.0
_HALF, _SCALE = 6.0, 3.2  # dB that make a page of quality one half, and by which it grows
_USUAL = 16.0  # dB of agreement of a page on which no lead can be compared
_ALL_NAMED = 10  # names that a page with all of them shows at least
_SURE = 0.85  # probability of ink that a plain page has


def quality(strips: Sequence[Strip], named: int, ruled: bool = True, aslant: bool = False) -> float:
    """0..1: one half where the traces are about 6 dB above their errors, 0.9 at 13 dB.

    named: lead names that were seen. ruled: whether a grid tells the paper's shape, aslant: whether the paper
    was seen at a slant, as in a photograph. Without any strips 0.
    """
    if not strips:
        return 0.0
    db = expected_db(strips)
    if not ruled:  # leads agree with each other however long their seconds are
        db = -10 * np.log10(10 ** (-db / 10) + 10 ** (-(_PAPER_ASLANT if aslant else _FLAT_PAPER) / 10))
    clear = 1 / (1 + np.exp((_HALF - db) / _SCALE))
    sure = min(1.0, float(np.mean([strip.sure for strip in strips])) / _SURE)
    return float(clear * sure * min(1.0, named / _ALL_NAMED))


def expected_db(strips: Sequence[Strip]) -> float:
    """SNR of the traces in dB, as their agreement and their roughness tell it; 0 of flat lines."""
    powers = [_power(strip) for strip in strips]
    seen = [strip for strip, power in zip(strips, powers) if power > _FLAT]
    if not seen:
        return 0.0
    power = median([power for power in powers if power > _FLAT])
    rough = median([_roughness(strip) for strip in seen])
    errors = [noise for _, noise in _relations(strips)] + list(_repeated(strips))
    agreement = 10 * np.log10(power / (np.mean(errors) + _NOISE)) if errors else _USUAL
    return float(_AGREEMENT * agreement + _ROUGHNESS * rough + _CONSTANT)


def _power(strip: Strip) -> float:
    """mV^2 of a strip, 0 where it shows nothing."""
    known = strip.mv[np.isfinite(strip.mv)]
    return float(np.var(known)) if len(known) else 0.0


def relations_db(strips: Sequence[Strip]) -> float:
    """Mean power of the limb leads over that of their error in dB, as their relations tell it."""
    found = [10 * np.log10(power / (noise + _NOISE) + 1e-3) for power, noise in _relations(strips)]
    return float(np.mean(found)) if found else _USUAL


def limbs_db(strips: Sequence[Strip]) -> float:
    """Power of limb leads over what two of them cannot explain in dB, over the columns that show three or
    more; 0 where none does."""
    columns: dict[float, list[Strip]] = {}
    for strip in strips:
        if strip.lead in LEADS[:6] and not strip.rhythm:
            columns.setdefault(strip.x0, []).append(strip)
    power = rest = 0.0
    for together in columns.values():
        time = _shared(together)
        if len(together) > 2 and time is not None:
            leads = np.array([_sampled(strip, time) for strip in together])
            leads -= np.median(leads, axis=1, keepdims=True)
            rows = [LEADS.index(strip.lead) for strip in together]
            power += float((leads**2).sum())
            rest += float(((leads - FROM_TWO[rows] @ fit_two(rows, leads)) ** 2).sum())
    return 10 * float(np.log10(power / (rest + _NOISE))) if power else 0.0


def _relations(strips: Sequence[Strip]) -> Iterator[tuple[float, float]]:
    """mV^2 of three limb leads and of their error, for each relation whose leads stand side by side."""
    own = {strip.lead: strip for strip in strips if not strip.rhythm}
    for names, signs in _RELATIONS:
        together = [own[name] for name in names if name in own]
        time = _shared(together)
        if len(together) == len(names) and time is not None:
            leads = np.array([_sampled(strip, time) for strip in together])
            yield float(np.var(leads, axis=1).mean()), float(np.var(np.array(signs) @ leads)) / len(names)


def _repeated(strips: Sequence[Strip]) -> Iterator[float]:
    """mV^2 of the error of each lead that is printed as a rhythm strip, too."""
    own = {strip.lead: strip for strip in strips if not strip.rhythm}
    for rhythm in strips:
        if rhythm.rhythm and rhythm.lead in own:
            time = _shared([rhythm, own[rhythm.lead]])
            if time is not None:
                lead = _sampled(own[rhythm.lead], time)
                yield min(float(np.var(_sampled(rhythm, time + shift) - lead)) for shift in _SHIFTS) / 2


def _shared(strips: Sequence[Strip]) -> np.ndarray | None:
    """s that all strips show but for their ends, None where that is too little."""
    if not strips or any(np.isfinite(strip.mv).sum() < _FS / 2 for strip in strips):
        return None
    first, last = max(strip.t0 for strip in strips) + _EDGE, min(strip.t1 for strip in strips) - _EDGE
    return np.arange(first, last, 1 / _FS) if last - first >= _LEAST else None


def _roughness(strip: Strip) -> float:
    """Log10 of the power of a trace's second differences over its own."""
    known = np.isfinite(strip.mv)
    x = np.arange(strip.x0, strip.x1, _STEP)
    mv = np.interp(x, strip.curve[known, 0], strip.mv[known])
    return float(np.log10(np.var(np.diff(mv, 2)) / np.var(mv) + 1e-6))


def _sampled(strip: Strip, time: np.ndarray) -> np.ndarray:
    known = np.isfinite(strip.mv)
    return np.interp(time, strip.t[known], strip.mv[known])
