"""The quality of a page follows the error of its traces."""

from dataclasses import replace

import numpy as np
import pytest

from ecgvlm.digitize.page import Strip
from ecgvlm.digitize.quality import expected_db, quality, relations_db
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
    values = [quality(strips(noise), 12) for noise in (0.01, 0.05, 0.1, 0.2, 0.4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    assert values[-1] < 0.5


def test_without_relations_roughness_and_the_ink_speak():
    chest = [strips(noise, LEADS[6:]) for noise in (0.01, 0.1)]
    assert quality(chest[0], 12) > quality(chest[1], 12) > quality(chest[1], 5)
    faint = [replace(strip, sure=0.4) for strip in chest[0]]
    assert quality(faint, 12) < quality(chest[0], 12)


def test_a_rhythm_strip_that_is_unlike_its_lead_tells_of_errors():
    page = strips(0.01, LEADS[3:9])
    v1 = next(strip for strip in page if strip.lead == "V1")
    same, other = (replace(v1, rhythm=True, mv=mv) for mv in (v1.mv, v1.mv[::-1]))
    assert expected_db([*page, other]) < expected_db([*page, same]) - 3


def test_flat_lines_are_of_no_quality():
    assert quality([replace(strip, mv=0 * strip.mv) for strip in strips(0.01)], 12) < 0.2


def test_paper_without_a_grid_is_known_less_well_and_least_at_a_slant():
    page = strips(0.01)
    ruled, flat, slanted = (quality(page, 12, *paper) for paper in ((True,), (False, False), (False, True)))
    assert ruled > flat > 0.85
    assert 0.5 < slanted < 0.8
