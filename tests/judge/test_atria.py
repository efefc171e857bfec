"""Trains of P waves."""

import numpy as np
import pytest
from hearts import FS, NARROW, PAGES, P, heart

from ecgvlm.judge.atria import Atria, blocked_half_way, find_atria
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


def half_way(leads: np.ndarray) -> int:
    return blocked_half_way(leads, FS, measure(leads, FS))


def behind(*bumps: tuple) -> tuple:
    """A beat with further waves behind its T."""
    return (*NARROW, *bumps)


@pytest.mark.parametrize("page", ["record", "6x2"])
@pytest.mark.parametrize(("rate", "pr", "shift"), [(45, 0.17, 0.0), (50, 0.2, -0.08), (53, 0.17, 0.05)])
def test_a_p_wave_half_way_between_two_that_conduct(page, rate, pr, shift):
    """2:1 AV block at usual rates, ventriculophasic or not."""
    rr = 60 / rate
    p = np.arange(0.2, 9.7, rr)
    leads = heart((p, P), (p + rr * (1 + shift) / 2, P), (p + pr, NARROW))
    assert half_way(PAGES[page](leads)) >= 3


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "beat",
    [
        NARROW,
        behind((0.50, 0.04, (0.3, 0.4, 0.6), 0.07)),  # U
        behind((0.38, 0.028, (0.65, 0.55, 0.35), 0.15)),  # T of two tops
        behind((0.38, 0.035, (0.65, 0.55, 0.35), -0.2)),  # T that ends below the line
        behind((0.47, 0.017, (0.45, -0.85, 0.15), 0.12)),  # of another focus
    ],
)
def test_no_other_wave_is_a_p_wave_half_way(page, beat):
    for rate in (48, 57, 66, 75):
        p = np.arange(0.2, 9.7, 60 / rate)
        assert not half_way(PAGES[page](heart((p, P), (p + 0.17, beat))))


@pytest.mark.parametrize("each", [3, 4, 5])
def test_waves_that_never_rest_are_none_half_way(each):
    p = np.arange(0.1, 9.8, 0.22)
    assert not half_way(heart((p, P), (p[::each] + 0.16, NARROW)))
