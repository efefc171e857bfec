"""How far the traces of a page may be believed.

Leads that were recorded at the same time obey Einthoven's and Goldberger's relations, I + III = II and
aVR + aVL + aVF = 0: what is left of them is the traces' own error, without any truth at hand. Where a page
does not print three such leads side by side, the net's and the grid's clearness speak alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecgvlm.digitize.page import Strip

_FS = 250.0  # Hz
_EDGE, _LEAST = 0.05, 1.0  # s left out at a strip's ends, and that three strips must share
_RELATIONS = ((("I", "II", "III"), (1.0, -1.0, 1.0)), (("aVR", "aVL", "aVF"), (1.0, 1.0, 1.0)))
_HALF, _STEP = 8.0, 4.0  # dB that make a page of quality one half, and by which it grows
_USUAL = 16.0  # dB of a page that prints no relation
_ALL_NAMED = 10  # names that a page with all of them shows at least
_SURE, _EXPLAINED = 0.85, 0.6  # probability of ink, and share of the grid, that a plain page has


def quality(strips: Sequence[Strip], named: int, fit: float) -> float:
    """0..1: one half where the traces are about 6 dB above their errors, 0.9 at 13 dB.

    named: lead names that were seen. fit: share of the grid that the paper's map explains, 0 without a grid.
    """
    clear = 1 / (1 + np.exp((_HALF - relations_db(strips)) / _STEP))
    sure = min(1.0, float(np.mean([strip.sure for strip in strips])) / _SURE)
    grid = 0.75 + 0.25 * min(1.0, fit / _EXPLAINED)
    return float(clear * sure * grid * min(1.0, named / _ALL_NAMED))


def relations_db(strips: Sequence[Strip]) -> float:
    """Mean power of the limb leads over that of their error in dB, as their relations tell it."""
    own = {strip.lead: strip for strip in strips if not strip.rhythm}
    found = []
    for names, signs in _RELATIONS:
        together = [own[name] for name in names if name in own]
        if len(together) < len(names):
            continue
        first = max(strip.t0 for strip in together) + _EDGE
        last = min(strip.t1 for strip in together) - _EDGE
        if last - first < _LEAST or any(np.isfinite(strip.mv).sum() < _FS / 2 for strip in together):
            continue
        time = np.arange(first, last, 1 / _FS)
        leads = np.array([_sampled(strip, time) for strip in together])
        rest = np.array(signs) @ leads
        noise = float(np.var(rest)) / len(names)
        found.append(10 * np.log10(float(np.var(leads, axis=1).mean()) / (noise + 1e-6) + 1e-3))
    return float(np.mean(found)) if found else _USUAL


def _sampled(strip: Strip, time: np.ndarray) -> np.ndarray:
    known = np.isfinite(strip.mv)
    return np.interp(time, strip.t[known], strip.mv[known])
