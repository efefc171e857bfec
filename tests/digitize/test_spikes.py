"""Pacing spikes that the page net takes for bars."""

import numpy as np
import pytest
from drawn import drawn_page, grid_of_places

from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.spikes import with_spikes
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


@pytest.mark.parametrize(("apart", "spikes"), [(25, False), (130, True)])
def test_lines_of_the_grid_are_no_spikes(apart, spikes):
    page = np.full((400, 1000, 3), 230, np.uint8)
    placed, curves = [], []
    for k, lead in enumerate(LEADS[:3]):
        y = 100 + 110 * k
        page[y - 1 : y + 2] = 40
        page[y - 40 : y, 30:970:apart] = 110  # on one side of the trace alone, as where print is faint
        placed.append(Placed(lead, False, k, 0, 0.0, 999.0, 0.0, float(y), True))
        curves.append(np.stack([np.arange(1000.0), np.full(1000, float(y))], 1))
    found = with_spikes(page, placed, curves)
    assert any((curve[:, 1] < placed.y - 20).any() for curve, placed in zip(found, placed)) == spikes
