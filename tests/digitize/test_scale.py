"""Paper speed by what the beats tell."""

from dataclasses import replace

import pytest
from gaussians import gaussian_record

from ecgvlm.digitize.scale import LIKELY_SPEEDS, Scale, beats_say
from ecgvlm.measure import measure
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.simulate import Simulation, simulate


@pytest.mark.parametrize(
    ("rate", "pr", "qrs", "qtc", "fifty"),
    [
        (38, 320, 160, None, True),  # everything twice as long as usual
        (45, 300, 190, 640, True),
        (65, 280, 95, 420, False),  # a long PR alone
        (40, 160, 95, 430, False),  # a slow heart
        (140, 110, 90, 400, False),
    ],
)
def test_long_pr_with_all_else_long_is_paper_that_ran_faster(rate, pr, qrs, qtc, fifty):
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    m = replace(m, heart_rate_bpm=rate, pr_ms=pr, qrs_ms=qrs, qtc_ms=qtc)
    assert (beats_say(m, 50.0) > 5) == fifty
    assert beats_say(m, 25.0) == 0


@pytest.mark.parametrize("speed", [100.0, 12.5])
def test_beats_tell_speeds_beyond_the_next_one(speed):
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    times = 25 / speed
    seen = replace(
        m, heart_rate_bpm=70 * times, pr_ms=160 / times, qrs_ms=95 / times, qtc_ms=420 / times**0.5
    )
    odds = {other: beats_say(seen, other) for other in (12.5, 25.0, 50.0, 100.0)}
    assert max(odds, key=lambda other: odds[other]) == speed


def test_a_speed_is_no_better_for_what_half_of_it_explains():
    """Long PR and QRS of a slow heart at 50 mm/s do not make 100 mm/s of it."""
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    seen = replace(m, heart_rate_bpm=27, pr_ms=414, qrs_ms=210, qtc_ms=640)
    assert beats_say(seen, 50.0) > beats_say(seen, 100.0) > beats_say(seen, 25.0)


def test_what_is_no_measurement_tells_nothing():
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    fast = replace(m, heart_rate_bpm=190, pr_ms=None, qrs_ms=None, qtc_ms=None)
    absurd = replace(fast, qrs_ms=270, qtc_ms=1000)
    assert beats_say(absurd, 12.5) == beats_say(fast, 12.5) > 0


def test_beats_say_the_same_at_whatever_speed_they_were_measured():
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    m = replace(m, heart_rate_bpm=45, pr_ms=280, qrs_ms=170, qtc_ms=560)
    fast = replace(m, heart_rate_bpm=90, pr_ms=140, qrs_ms=85, qtc_ms=560 / 2**0.5)
    assert beats_say(fast, 50.0, taken=50.0) == pytest.approx(beats_say(m, 50.0))


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


def test_an_unusual_speed_that_beats_alone_tell_is_doubtful():
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    m = replace(m, heart_rate_bpm=38, pr_ms=300, qrs_ms=180, qtc_ms=540)
    untold = Scale(LIKELY_SPEEDS, 10.0, 10.0, None, False)
    assert untold.speed(m) == 50.0
    assert untold.doubtful(m, 50.0)
    told = Scale({**LIKELY_SPEEDS, 50.0: 10.0}, 10.0, 10.0, None, False)
    assert not told.doubtful(m, 50.0)


@pytest.mark.parametrize(("noted", "doubtful"), [(50.0, False), (None, True), (25.0, True)])
def test_a_printed_speed_that_the_beats_bear_out_is_not_doubted_for_narrow_pulses(noted, doubtful):
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    m = replace(m, heart_rate_bpm=38, pr_ms=300, qrs_ms=180, qtc_ms=600)
    scale = Scale({**LIKELY_SPEEDS, 50.0: 10.0}, 10.0, 10.0, False, False, noted=noted)
    assert scale.doubtful(m, 50.0) == doubtful


@pytest.mark.parametrize(
    ("layout", "speed", "template"),
    [("6x2", 12.5, "none"), ("12x1", 12.5, "none"), ("6x2", 25.0, "none"), ("3x4+1R", 5.0, "scale")],
)
def test_slow_paper_is_told_by_its_rows_and_beats(digitizer, layout, speed, template):
    style = page_style("classic", layout=layout, mm_per_s=speed, template=template, name_size=3.0)
    page = digitizer(render(gaussian_record(), style).image)
    assert page.mm_per_s == speed
    assert page.layout == layout
