"""Several ECGs in one picture are each read; what belongs to one ECG is never parted."""

import numpy as np
import pytest
from drawn import Place, drawn_page, grid_of_places

from ecgvlm.digitize.parting import Parting
from ecgvlm.digitize.several import Part, as_one, in_picture, parted
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, simulate

ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
HALVES = tuple(zip(LEADS[:6], LEADS[6:]))


def page_of(rate: int, places: list[Place] | None = None, height: float = 140.0, **more) -> np.ndarray:
    record = simulate(Simulation(rate_bpm=rate), 4)[0]
    return drawn_page(record.signal, record.fs, places or grid_of_places(ROWS), height=height, **more)


def rates(page) -> list[float]:
    return [round(one.measurements.heart_rate_bpm) for one in (page, *page.others)]


def middles(page) -> list[np.ndarray]:
    """[2] px of the picture in the middle of each ECG's traces."""
    curves = [np.concatenate([s.curve for s in one.strips]) for one in (page, *page.others)]
    return [one.to_source(c[np.isfinite(c).all(1)]).mean(0) for one, c in zip((page, *page.others), curves)]


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    return page_of(56), page_of(88)


def test_beside_each_other(digitizer, pair):
    gap = np.full((pair[0].shape[0], 40, 3), 70, np.uint8)
    page = digitizer(np.hstack([pair[0], gap, pair[1]]))
    assert page.several
    assert rates(page) == pytest.approx([56, 88], abs=2)
    width = pair[0].shape[1]
    assert [int(x // (width + 20)) for x, _ in middles(page)] == [0, 1]


def test_one_above_the_other_on_one_sheet(digitizer, pair):
    page = digitizer(np.vstack(pair))
    assert rates(page) == pytest.approx([56, 88], abs=2)
    assert all(one.several for one in (page, *page.others))
    assert all(one.quality > 0.7 for one in (page, *page.others))


def test_three(digitizer, pair):
    page = digitizer(np.vstack([*pair, page_of(70)]))
    assert rates(page) == pytest.approx([56, 88, 70], abs=2)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_page(digitizer, pair, quarters):
    """On its side the page net sees next to no trace."""
    page = digitizer(np.ascontiguousarray(np.rot90(pair[0], quarters)))
    assert rates(page) == pytest.approx([56], abs=2)


def test_a_picture_of_two_on_its_side(digitizer, pair):
    """Each stands at its place in the picture as it was given."""
    page = digitizer(np.ascontiguousarray(np.rot90(np.vstack(pair))))
    assert sorted(rates(page)) == pytest.approx([56, 88], abs=2)
    (first, _), (second, _) = middles(page)
    width = pair[0].shape[0]
    assert first < width < second


def test_of_a_sheet_that_is_no_ecg_nothing_is_read(digitizer, pair):
    page = digitizer(np.hstack([pair[0], np.full_like(pair[0], 245)]))
    assert not page.several
    assert not page.others


@pytest.mark.parametrize(
    ("places", "height"),
    [
        (grid_of_places([(lead,) for lead in LEADS], mm=250.0, pitch=15.0, top=22.0), 205.0),
        (grid_of_places(HALVES, mm=105.0, apart=45.0, pitch=22.0), 160.0),
        ([*grid_of_places(ROWS), Place("II", "II", 22.0, 175.0, 250.0)], 200.0),
    ],
    ids=["twelve rows", "two columns far apart", "a rhythm strip far below"],
)
def test_one_ecg_stays_one(digitizer, places, height):
    page = digitizer(page_of(66, places, height))
    assert not page.several
    assert {strip.lead for strip in page.strips} == set(LEADS)


def test_names_at_both_ends_are_of_one_ecg(digitizer):
    places = grid_of_places([(lead,) for lead in LEADS], mm=250.0, pitch=15.0, top=22.0)
    pages = [page_of(66, places, 205.0, names_at_end=end) for end in (False, True)]
    page = digitizer(np.minimum(*pages))
    assert not page.several
    assert page.layout == "12x1"


def test_parts_hold_the_blank_paper_between_them_and_nothing_of_each_other():
    image = np.full((100, 300, 3), 255, np.uint8)
    image[:, :120], image[:, 180:] = 50, 90
    first, second = parted(image, Parting(0, 119.0, 180.0), (100, 300), lambda px: px)
    assert (first.at, second.at) == ((0, 0), (120, 0))
    assert set(np.unique(first.image)) == {50, 255}
    assert set(np.unique(second.image)) == {90, 255}


def test_pages_of_a_part_lie_in_the_whole_picture(digitizer, pair):
    own = digitizer(pair[0])
    (moved,) = in_picture(own, Part(pair[0], (1336, 20)), (700, 2700))
    at = np.array([50.0, 40.0])
    assert moved.picture == (700, 2700)
    assert moved.to_source(at) == pytest.approx(own.to_source(at) + np.array([1336, 20]))
    first = as_one([moved, own])
    assert first.to_source(at) == pytest.approx(own.to_source(at))
    assert first.others[0].to_source(at) == pytest.approx(moved.to_source(at))
