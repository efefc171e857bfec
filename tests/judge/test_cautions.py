"""Every caution is raised by what it is about, and by nothing on an ordinary page."""

from dataclasses import replace

import numpy as np
import pytest
from pages import page

from ecgvlm.judge.cautions import (
    FROM_TWO,
    SWAPS,
    childlike,
    distance,
    find_cautions,
    fitted,
    limbs_swapped,
    outlook,
    risk,
)
from ecgvlm.judge.facts import Person
from ecgvlm.judge.findings import scaled
from ecgvlm.labels import LABELS
from ecgvlm.measure import measure
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.simulate import Simulation, simulate

FS = 500.0
SURE = dict.fromkeys(LABELS, 0.01) | {"NORM": 0.99, "SR": 0.99}
THRESHOLDS = dict.fromkeys(LABELS, 0.4)


def measured(seed: int = 1, **simulation):
    record, _ = simulate(Simulation(**simulation), seed, fs=FS)
    return record.signal, measure(record.signal, FS)


@pytest.fixture(scope="module")
def ordinary(digitizer):
    return digitizer(page().image)


def cautions(found, probabilities=SURE) -> tuple[str, ...]:
    m = measure(found.leads(FS), FS)
    return find_cautions(found, scaled(m), probabilities, THRESHOLDS)


def test_an_ordinary_page_has_none(ordinary):
    assert cautions(ordinary) == ()


def test_paper_without_a_grid_tells_times_and_voltages_but_roughly(digitizer, ordinary):
    bare = digitizer(page(grid="none").image)
    assert cautions(bare) == ("no_grid",)
    assert bare.quality < ordinary.quality


def test_a_gain_that_nothing_tells_is_said(digitizer):
    silent = digitizer(page(pulses="none", template="none").image)
    assert cautions(silent) == ("gain",)
    assert silent.mm_per_mv == 10.0
    told = digitizer(page(pulses="none", template="scale").image)
    assert "gain" not in cautions(told)


def test_a_calibration_pulse_that_the_picture_cuts_confirms_the_gain(digitizer):
    look = page_style(template="none")
    image = page(template="none").image
    cut = round((look.left - 6.5) * 5.4)
    assert "gain" not in cautions(digitizer(image[:, cut:]))


@pytest.mark.parametrize("name", ["RA-LA", "RA-LL"])
def test_swapped_limb_electrodes(name):
    signal, m = measured()
    assert not limbs_swapped(m.median_beat, m.pr_ms, fitted())
    other = signal.copy()
    other[:6] = FROM_TWO @ (SWAPS[name] @ signal[:2])
    again = measure(other, FS)
    assert limbs_swapped(again.median_beat, again.pr_ms, fitted())


def test_a_flat_lead_is_one_of_the_right_leg():
    signal, _ = measured()
    two = signal[:2].copy()
    two[1] = 0.01 * two[1]  # II, as when the right arm and the right leg are exchanged
    other = signal.copy()
    other[:6] = FROM_TWO @ two
    m = measure(other, FS)
    assert limbs_swapped(m.median_beat, m.pr_ms, fitted())


def test_limb_leads_that_contradict_each_other_tell_no_exchange():
    """Leads that wander each by itself, as no electrode makes them."""
    signal, _ = measured()
    other = signal.copy()
    other[:6] = FROM_TWO @ (SWAPS["RA-LA"] @ signal[:2])
    m = measure(other, FS)
    wander = np.linspace(-1.0, 1.0, m.median_beat.shape[1])
    beat = m.median_beat + np.outer(np.tile([1.0, -1.0], 6), wander)
    assert limbs_swapped(m.median_beat, m.pr_ms, fitted())
    assert not limbs_swapped(beat.astype(np.float32), m.pr_ms, fitted())


def test_each_exchange_undoes_itself():
    for swap in SWAPS.values():
        np.testing.assert_array_equal(swap @ swap, np.eye(2))


def test_mirrored(ordinary):
    assert cautions(replace(ordinary, mirrored=True)) == ("mirrored",)


def test_a_speed_that_the_pulse_contradicts(digitizer):
    """A recorder that ran at twice the speed it was set to: beats look as slow and wide as no heart's."""
    record, _ = simulate(Simulation(rate_bpm=72), 1, fs=FS)
    stretched = replace(record, fs=FS / 2)
    found = digitizer(render(stretched, page_style("classic", px_per_mm=5.4), 1).image)
    assert found.scale_doubtful
    assert "scale" in cautions(found)


@pytest.mark.parametrize(
    ("printed", "pulses", "doubtful"), [(10, 10, False), (20, 20, False), (10, 5, True), (5, 10, True)]
)
def test_a_printed_gain_that_the_pulses_contradict(digitizer, printed, pulses, doubtful):
    record, _ = simulate(Simulation(rate_bpm=72), 1, fs=FS)
    drawn, other = (
        render(record, page_style("classic", px_per_mm=5.4, mm_per_mv=float(gain)), 1)
        for gain in (pulses, printed)
    )
    image = drawn.image.copy()
    for box in other.truth.note_boxes:
        (x0, y0), (x1, y1) = np.floor(box.min(0)).astype(int) - 3, np.ceil(box.max(0)).astype(int) + 8
        image[y0:y1, x0:x1] = other.image[y0:y1, x0:x1]
    found = digitizer(image)
    assert found.scale_doubtful == doubtful
    assert ("scale" in cautions(found)) == doubtful


def test_cut_off(digitizer, ordinary):
    """Leads are missing, half of one is covered, or every row runs into the edge."""
    missing = replace(ordinary, strips=ordinary.strips[3:])
    assert "cut_off" in cautions(missing)
    first, *rest = ordinary.strips
    half = replace(first, mv=np.where(np.arange(len(first.mv)) < 0.5 * len(first.mv), np.nan, first.mv))
    assert "cut_off" in cautions(replace(ordinary, strips=(half, *rest)))
    picture = page().image
    found = digitizer(np.ascontiguousarray(picture[:, : int(0.88 * picture.shape[1])]))
    assert "cut_off" in cautions(found)


def test_child():
    _, child = measured(rate_bpm=135, pr_ms=105, qrs_ms=68)
    assert childlike(child)
    for adult in ({"rate_bpm": 72}, {"rate_bpm": 130, "pr_ms": 150, "qrs_ms": 95}):
        assert not childlike(measured(**adult)[1])


def test_a_known_age_tells_a_child(ordinary):
    """A grown person with a quick heart is none, a child of ten with the numbers of an adult is one."""
    _, quick = measured(rate_bpm=135, pr_ms=105, qrs_ms=68)
    for age, m, child in (
        (None, quick, True),
        (41.0, quick, False),
        (16.0, quick, False),
        (10.0, ordinary.measurements, True),
    ):
        page = replace(ordinary, measurements=m)
        said = find_cautions(page, scaled(m), SURE, THRESHOLDS, Person(age=age))
        assert ("child" in said) is child, age


def test_unlike():
    """Twelve sine waves under the names of leads are like no ECG; a simulated ECG is."""
    fit = fitted()
    t = np.arange(5000) / FS
    waves = np.stack([0.8 * np.sin(2 * np.pi * (1.1 + 0.13 * k) * t + k) for k in range(12)])
    m = measure(waves, FS)
    far = distance(outlook(m.median_beat, scaled(m), fit.limb_from_chest), fit)
    _, m = measured()
    near = distance(outlook(m.median_beat, scaled(m), fit.limb_from_chest), fit)
    assert far > fit.unlike_limit > near


def test_unsure(ordinary):
    close = SURE | {"NORM": 0.5, "AF": 0.39, "1dAVb": 0.39, "LBBB": 0.39, "RBBB": 0.39}
    assert risk(close, THRESHOLDS) > risk(SURE, THRESHOLDS)
    assert "unsure" in cautions(ordinary, close)
    assert "unsure" in cautions(replace(ordinary, quality=0.3))
