"""The quality of a page follows the error of its traces."""

import numpy as np
import pytest

from ecgvlm.digitize.page import Strip
from ecgvlm.digitize.quality import quality, relations_db
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, simulate


def strips(noise: float, leads=LEADS, seed: int = 0) -> list[Strip]:
    """A page 3x4 whose traces are off by normal noise of so many mV."""
    record, _ = simulate(Simulation(rate_bpm=75), 3)
    rng = np.random.default_rng(seed)
    time = np.arange(record.signal.shape[1]) / record.fs
    out = []
    for i, lead in enumerate(LEADS):
        inside = (time >= 2.5 * (i // 3)) & (time < 2.5 * (i // 3 + 1))
        mv = record.signal[i][inside] + rng.normal(0, noise, inside.sum())
        t = time[inside]
        curve = np.stack([25 * t, -10 * mv], 1)
        if lead in leads:
            out.append(Strip(lead, False, 25 * t[0], 25 * t[-1], 0.0, t[0], t[-1], t, curve, mv, 0.95))
    return out


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.1, 0.2])
def test_the_relations_tell_the_noise(noise):
    page = strips(noise)
    power = np.mean([np.var(strip.mv) for strip in page[:6]])
    assert relations_db(page) == pytest.approx(10 * np.log10(power / noise**2), abs=2.0)


def test_quality_falls_with_the_noise():
    values = [quality(strips(noise), 12, 0.9) for noise in (0.01, 0.05, 0.1, 0.2, 0.4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    assert values[-1] < 0.5


def test_without_relations_the_grid_and_the_ink_speak():
    chest = strips(0.01, LEADS[6:])
    assert quality(chest, 12, 0.9) > quality(chest, 12, 0.1) > quality(chest, 5, 0.1)
