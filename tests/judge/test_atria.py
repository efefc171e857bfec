"""Trains of P waves."""

import numpy as np

from ecgvlm.judge.atria import find_atria
from ecgvlm.measure import measure
from ecgvlm.simulate import Simulation, simulate


def test_leads_too_short_for_p_waves_show_none():
    record, _ = simulate(Simulation(rate_bpm=70), 1)
    glimpses = np.full_like(record.signal, np.nan)
    glimpses[:, : int(0.8 * record.fs)] = record.signal[:, : int(0.8 * record.fs)]
    atria = find_atria(glimpses, record.fs, measure(record.signal, record.fs))
    assert not len(atria.peaks)
    assert atria.rate_bpm is None
