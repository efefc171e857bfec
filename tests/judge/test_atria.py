"""Trains of P waves."""

import numpy as np
import pytest
from hearts import FS, NARROW, PAGES, P, heart

from ecgvlm.judge.atria import Atria, find_atria
from ecgvlm.measure import measure
from ecgvlm.simulate import Simulation, simulate


def atria_of(leads: np.ndarray) -> Atria:
    return find_atria(leads, FS, measure(leads, FS))


def test_leads_too_short_for_p_waves_show_none():
    record, _ = simulate(Simulation(rate_bpm=70), 1)
    glimpses = np.full_like(record.signal, np.nan)
    glimpses[:, : int(0.8 * record.fs)] = record.signal[:, : int(0.8 * record.fs)]
    atria = find_atria(glimpses, record.fs, measure(record.signal, record.fs))
    assert not len(atria.peaks)
    assert atria.rate_bpm is None


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("rr", [1.1, 1.35, 1.6])
def test_a_rhythm_without_p_waves_drops_none(page, rr):
    leads = heart((np.arange(0.3, 10, rr), NARROW))
    assert not atria_of(PAGES[page](leads)).dropped


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("rr", [1.42, 1.6])
def test_p_waves_at_their_own_pace_are_followed(page, rr):
    leads = heart((np.arange(0.1, 10, 0.71), P), (np.arange(0.35, 10, rr), NARROW))
    atria = atria_of(PAGES[page](leads))
    assert atria.rate_bpm == pytest.approx(60 / 0.71, abs=1.5)
    assert atria.dropped >= 5
    assert atria.dissociated or rr == 1.42  # just twice the atria's interval


@pytest.mark.parametrize("page", PAGES)
def test_the_growth_of_pr_before_a_dropped_beat(page):
    p = np.arange(0.2, 10, 0.75)
    leads = heart((p, P), ([x + (0.16, 0.25, 0.31)[k % 4] for k, x in enumerate(p) if k % 4 < 3], NARROW))
    atria = atria_of(PAGES[page](leads))
    assert atria.dropped >= 2
    assert atria.growth_ms == pytest.approx(150, abs=25)


@pytest.mark.parametrize("page", PAGES)
def test_conducted_p_waves_are_not_dropped(page):
    beats = 0.2 + np.cumsum(0.85 + 0.22 * np.sin(1.35 * np.arange(11)))
    leads = heart((beats - 0.16, P), (beats, NARROW))
    assert not atria_of(PAGES[page](leads)).dropped


def test_p_waves_that_early_beats_take_the_place_of_are_not_blocked():
    """PTB-XL 16783: a salvo of early atrial beats in a sinus rhythm."""
    sinus, salvo = np.arange(3.3, 10, 0.71), np.array([0.3, 0.9, 1.34, 1.73, 2.12])
    salvo_and_pause = np.concatenate([salvo, [2.94], sinus[1:]])
    leads = heart((np.concatenate([salvo[:1], sinus]) - 0.16, P), (salvo_and_pause, NARROW))
    assert not atria_of(leads).dropped
