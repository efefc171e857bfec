"""Paper speed by what the beats tell."""

from dataclasses import replace

import pytest
from gaussians import gaussian_record

from ecgvlm.digitize.scale import LIKELY_SPEEDS, Scale, beats_say
from ecgvlm.measure import measure
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.simulate import Simulation, simulate


def beats(rate, pr, qrs, qt):
    """What was measured where rate and intervals are these."""
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    return replace(m, heart_rate_bpm=rate, pr_ms=pr, qrs_ms=qrs, qt_ms=qt)


@pytest.mark.parametrize(
    ("rate", "pr", "qrs", "qt", "fifty"),
    [
        (38, 320, 180, None, True),  # everything twice as long as usual
        (45, 300, 190, 740, True),
        (50, 270, 170, 640, True),  # of a fast heart
        (65, 280, 95, 400, False),  # a long PR alone
        (40, 160, 95, 500, False),  # a slow heart
        (60, None, 170, 480, False),  # a wide QRS
        (71, 198, 108, 666, False),  # the end of a T wave that is none
        (140, 110, 90, 270, False),
    ],
)
def test_long_pr_with_all_else_long_is_paper_that_ran_faster(rate, pr, qrs, qt, fifty):
    m = beats(rate, pr, qrs, qt)
    assert (beats_say(m, 50.0) > 2) == fifty
    assert beats_say(m, 25.0) == 0


@pytest.mark.parametrize("speed", [100.0, 12.5])
def test_beats_tell_speeds_beyond_the_next_one(speed):
    times = 25 / speed
    seen = beats(70 * times, 160 / times, 105 / times, 400 / times)
    odds = {other: beats_say(seen, other) for other in (12.5, 25.0, 50.0, 100.0)}
    assert max(odds, key=lambda other: odds[other]) == speed


def test_a_speed_is_no_better_for_what_half_of_it_explains():
    """Long PR and QRS of a slow heart at 50 mm/s do not make 100 mm/s of it."""
    seen = beats(27, 414, 230, 960)
    assert beats_say(seen, 50.0) > max(beats_say(seen, 100.0), beats_say(seen, 25.0)) + 2


def test_beats_say_the_same_at_whatever_speed_they_were_measured():
    fast = beats(90, 140, 85, 360)
    assert beats_say(fast, 50.0, taken=50.0) == pytest.approx(beats_say(beats(45, 280, 170, 720), 50.0))


def test_a_speed_is_weighed_by_what_is_measured_at_it_too():
    """At half their speed beats may show no PR and no QT, and a QRS that is not twice as long."""
    scale = Scale(LIKELY_SPEEDS, 10.0, 10.0, None, False)
    halved, own = beats(28, None, 130, None), beats(56, 165, 105, 430)
    assert scale.speed(halved) == 25.0
    assert 50.0 in scale.worth_a_look(halved, 25.0)
    assert scale.gains_by(50.0, own, 25.0, halved)
    assert scale.worth_a_look(own, 25.0) == []
    assert not scale.gains_by(50.0, beats(112, None, 70, None), 25.0, own)


@pytest.mark.parametrize(
    ("height", "gain", "doubtful"),
    [(11.0, 10.0, False), (20.0, 10.0, False), (45.0, 20.0, True), (90.0, 40.0, True)],
)
def test_a_gain_that_nothing_tells_makes_no_unlikely_voltage(height, gain, doubtful):
    gains = {2.5: -0.2, 5.0: 0.0, 10.0: 0.3, 20.0: 0.0, 40.0: -0.4}
    scale = Scale(LIKELY_SPEEDS, 10.0, 10.0, None, False, gains).of_heights([height] * 12)
    assert (scale.gain, scale.chest_gain, scale.disputed) == (gain, gain, doubtful)


def test_a_printed_gain_stays_whatever_the_voltage():
    gains = {2.5: -0.2, 5.0: 0.0, 10.0: 2.5, 20.0: 0.0, 40.0: -0.4}
    assert Scale(LIKELY_SPEEDS, 10.0, 10.0, None, False, gains).of_heights([50.0] * 12).gain == 10.0


def test_a_speed_is_doubtful_where_beats_do_not_settle_what_nothing_tells():
    untold = Scale(LIKELY_SPEEDS, 10.0, 10.0, None, False)
    told = Scale({**LIKELY_SPEEDS, 50.0: 10.0}, 10.0, 10.0, None, False)
    plain, open_ = beats(76, 150, 100, 400), beats(105, 112, 78, 270)  # as measured at 50 mm/s
    assert not untold.doubtful(plain, 50.0)
    assert untold.doubtful(open_, 50.0)
    assert not told.doubtful(open_, 50.0)


@pytest.mark.parametrize(("noted", "doubtful"), [(50.0, False), (None, True), (25.0, True)])
def test_a_printed_speed_that_the_beats_bear_out_is_not_doubted_for_narrow_pulses(noted, doubtful):
    scale = Scale({**LIKELY_SPEEDS, 50.0: 10.0}, 10.0, 10.0, False, False, noted=noted)
    assert scale.doubtful(beats(76, 150, 96, 380), 50.0) == doubtful


@pytest.mark.parametrize(
    ("layout", "speed", "template"),
    [("6x2", 12.5, "none"), ("12x1", 12.5, "none"), ("6x2", 25.0, "none"), ("3x4+1R", 5.0, "scale")],
)
def test_slow_paper_is_told_by_its_rows_and_beats(digitizer, layout, speed, template):
    style = page_style("classic", layout=layout, mm_per_s=speed, template=template, name_size=3.0)
    page = digitizer(render(gaussian_record(), style).image)
    assert page.mm_per_s == speed
    assert page.layout == layout
