"""Leads without signal, and leads that are only small."""

from dataclasses import replace

import numpy as np
from hearts import FS, NARROW, P, heart

from ecgvlm.digitize.page import Strip, flat_leads, joined_leads
from ecgvlm.record import LEADS


def strips(leads: np.ndarray, flat: tuple[str, ...] = ()) -> list[Strip]:
    """Twelve rows of 5 s; of the flat ones nothing but the pen's line is printed."""
    t = np.arange(leads.shape[1]) / FS
    made = []
    for row, (lead, mv) in enumerate(zip(LEADS, leads)):
        shown = np.zeros_like(mv) if lead in flat else mv
        curve = np.stack([25 * t, 20.0 * row - 10 * shown], 1)
        made.append(Strip(lead, False, 0.0, 125.0, 20.0 * row, 0.0, t[-1], t, curve, shown, 1.0))
    return made


def turned(degrees: float) -> np.ndarray:
    """A heart whose axis, of every wave alike, lies at so many degrees in the frontal plane."""
    x, y = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    waves = [tuple((a, s, (x, y, d[2]), mv) for a, s, d, mv in kind) for kind in (P, NARROW)]
    beats = np.arange(0.4, 5, 0.9)
    return heart((beats - 0.16, waves[0]), (beats, waves[1]), seconds=5.0, noise=0.0)


def test_a_lead_across_the_axis_is_small_and_not_dead():
    leads = turned(30)  # III lies across it
    assert np.ptp(leads[2]) < 0.06
    assert not flat_leads(strips(leads))


def test_a_dead_lead_is_said_where_the_others_show_that_it_is():
    assert flat_leads(strips(turned(75), ("III",))) == ("III",)
    assert flat_leads(strips(turned(75), ("V2", "V3"))) == ("V2", "V3")


def test_a_page_without_any_signal_has_none():
    assert flat_leads(strips(turned(30), LEADS)) == LEADS


def test_a_beat_that_a_bar_hides_at_a_strips_end_is_taken_from_the_rhythm_strip():
    leads = turned(60)
    whole = strips(leads)
    beat = 0.4 + 2 * 0.9
    two = whole[1]
    cut = two.t < beat + 0.05
    hidden = np.where(two.t[cut] > beat - 0.05, 0.0, two.mv[cut])
    column = replace(two, t=two.t[cut], curve=two.curve[cut], mv=hidden, t1=beat + 0.05)
    shown = joined_leads([column, replace(two, rhythm=True), *whole[6:]], FS)[1]
    near = slice(int((beat - 0.04) * FS), int((beat + 0.04) * FS))
    assert np.nanmax(shown[near]) > 0.9 * two.mv[near].max() > 0.3
