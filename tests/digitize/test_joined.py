"""Two pages with the halves of one ECG become one page."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from vectors import CHEST, LIMB, Sheet, drawn_pdf

from ecgvlm.digitize import Page
from ecgvlm.digitize.drawn import drawn_page
from ecgvlm.digitize.joined import is_half, join, stacked
from ecgvlm.files.image import open_pages
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, simulate

SHEETS = [Sheet(columns=(leads,), rhythm=()) for leads in (LIMB, CHEST)]


def drawn(rate: float, seed: int = 3) -> list[Page]:
    record = simulate(Simulation(rate_bpm=rate), seed)[0]
    pages = [drawn_page(leaf.load(), lambda paper: []) for leaf in open_pages(drawn_pdf(record, *SHEETS))]
    assert all(pages)
    return pages


@pytest.fixture(scope="module")
def halves() -> list[Page]:
    return drawn(71)


def test_limb_and_chest_leads_are_one_ecg(halves):
    assert all(is_half(page) for page in halves)
    whole = join(*halves)
    assert (whole.layout, whole.sheets, len(whole.strips)) == ("12x1", 2, 12)
    assert np.isfinite(whole.leads(500.0)).all(0).mean() > 0.95
    assert whole.seconds == pytest.approx(10, abs=0.1)
    assert whole.quality > 1.2 * halves[0].quality


def test_a_later_time_goes_on(halves):
    limb, chest = halves
    beats = chest.measurements.beats + 0.3
    later = replace(chest, measurements=replace(chest.measurements, beats=beats))
    assert join(limb, later).seconds == pytest.approx(20, abs=0.2)


def test_two_files_must_be_of_one_person(halves):
    limb, chest = halves
    other = drawn(78)[1]
    assert join(limb, other) is not None
    assert join(limb, other, one_file=False) is None
    assert join(limb, chest, one_file=False) is not None
    smaller = replace(
        chest, picture=(700, 1000), measurements=replace(chest.measurements, beats=np.array([9.0]))
    )
    assert join(limb, smaller, one_file=False) is None


def test_what_is_no_half_is_not_joined(halves):
    limb, chest = halves
    faster = drawn(110)[1]
    assert join(limb, limb) is None
    assert join(limb, replace(chest, mm_per_s=50.0)) is None
    assert join(limb, faster) is None
    assert not is_half(join(limb, chest))


def test_places_in_both_pictures(halves):
    limb, chest = halves
    whole = join(limb, chest)
    pictures = stacked(np.zeros((*limb.picture, 3), np.uint8), np.zeros((*chest.picture, 3), np.uint8))
    assert whole.picture == pictures.shape[:2]
    for strip in whole.strips:
        half, down = (limb, 0) if strip.lead in LEADS[:6] else (chest, limb.picture[0])
        own = next(s for s in half.strips if s.lead == strip.lead)
        known = np.isfinite(own.curve).all(1)
        there = half.to_source(own.curve[known]) + np.array([0, down])
        np.testing.assert_allclose(whole.to_source(strip.curve[known]), there, atol=1e-6)
