"""Pacing spikes that the page net takes for bars."""

import numpy as np
import pytest
from drawn import drawn_page, grid_of_places

from ecgvlm.judge.pacing import find_spikes
from ecgvlm.measure import measure
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, simulate

ROWS = tuple(zip(LEADS[:6], LEADS[6:]))


def spiked(signal: np.ndarray, fs: float, before: float) -> np.ndarray:
    """The leads with a pulse so many s before each beat, downwards in some and upwards in others."""
    out = signal.copy()
    for beat in measure(signal, fs).beats:
        at = round((beat - before) * fs)
        if 0 <= at < out.shape[1] - 2:
            out[:, at : at + 2] += np.linspace(-0.9, 0.9, len(LEADS))[:, None]
    return out


@pytest.mark.parametrize("paced", [True, False])
def test_spikes_before_p_waves_come_back_and_nothing_is_added(digitizer, paced):
    record = simulate(Simulation(rate_bpm=66), 4)[0]
    signal = spiked(record.signal, record.fs, 0.24) if paced else record.signal
    page = digitizer(drawn_page(signal, record.fs, grid_of_places(ROWS, mm=125.0, pitch=26.0)))
    found = find_spikes(page.leads(500.0), 500.0, page.measurements)
    assert (found.atrial_mv > 0.2) == paced
    assert found.ventricular_mv == 0.0
