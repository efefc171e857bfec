"""Strips set right in time by their beats."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pages import page

from ecgvlm.digitize import timing
from ecgvlm.digitize.page import Strip
from ecgvlm.digitize.timing import delays, same_time
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, simulate


def printed(late: np.ndarray, rhythm: bool = True) -> tuple:
    """A page 3x4 of a sinus rhythm, its strips late by these s, as `delays` takes it."""
    record, _ = simulate(Simulation(rate_bpm=78), 3)
    time = np.arange(record.signal.shape[1]) / record.fs
    cells = [(lead, i // 3, i % 3) for i, lead in enumerate(LEADS)] + [("II", None, 3)] * rhythm
    strips = []
    for (lead, column, _), delay in zip(cells, late):
        first, last = (0.0, 10.0) if column is None else (2.5 * column, 2.5 * column + 2.5)
        inside = (time >= first) & (time < last)
        strips.append((time[inside] + delay, record.signal[LEADS.index(lead)][inside].astype(float)))
    names, columns, rows = zip(*cells)
    return strips, names, columns, rows


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.06, 0.06))
@example(-0.007)
def test_columns_that_drift_are_set_right(each):
    """A drift of less than 8 ms a column may not be worth a change, but is never made worse."""
    late = np.array([each * (i // 3) for i in range(12)] + [0.0])
    most = 0.012 if abs(each) >= 0.008 else max(0.008, np.abs(late).max())
    assert delays(*printed(late), ruled=True) == pytest.approx(late, abs=most)


def test_rows_askew_are_set_right_where_no_grid_set_the_page_straight():
    late = np.array([0.03 * (i % 3 - 3) for i in range(12)] + [0.0])
    assert delays(*printed(late), ruled=False) == pytest.approx(late, abs=0.015)


def test_a_strip_askew_by_itself_is_set_right_where_no_grid_set_the_page_straight():
    late = np.zeros(13)
    late[[0, 4, 8]] = 0.05, -0.06, 0.07
    assert delays(*printed(late), ruled=False) == pytest.approx(late, abs=0.02)


def test_what_is_in_time_stays():
    assert not delays(*printed(np.zeros(13)), ruled=True).any()
    assert not delays(*printed(np.zeros(13)), ruled=False).any()
    assert not delays(*printed(np.full(12, 0.05), rhythm=False), ruled=True).any()


@pytest.mark.parametrize("gap", [0.0, 1.5, 4.0, 8.0])
@pytest.mark.parametrize("layout", ["3x4+1R", "3x4", "6x2+1R"])
def test_columns_apart_keep_their_times(digitizer, gap, layout):
    """Whatever blank paper, or names on it, stands between columns."""
    width = 270.0 + 3 * gap
    found = digitizer(page(layout=layout, gap=gap, width=width, left=14.0, right=4.0).image)
    per_column = 12 // int(layout[2])
    for i, lead in enumerate(LEADS):
        strip = next(s for s in found.strips if s.lead == lead and not s.rhythm)
        assert strip.t0 == pytest.approx(10 / int(layout[2]) * (i // per_column), abs=0.02)


def test_strips_that_are_late_by_as_much_as_is_compared_stay_where_they_are():
    table = np.zeros((2, 201))
    table[:, 100] = 1.0
    for known in (np.array([95, 98]), np.array([-95, -98])):
        assert timing._alone(table, known) == 0


MV = (
    0.7,
    1.0,
    0.3,
    -0.85,
    0.2,
    0.65,
    -0.6,
    -0.9,
    0.4,
    1.0,
    1.2,
    0.9,
)  # of the leads, limb leads by Einthoven


def of_columns(beats: list[list[float]], seconds: float = 2.5) -> tuple[list[Strip], list[int]]:
    """The strips of every column, with a QRS of 0.1 s at these s of the column."""
    strips, columns = [], []
    each = len(LEADS) // len(beats)
    for column, at in enumerate(beats):
        own = np.arange(0, seconds, 0.004)
        qrs = sum(np.exp(-(((own - beat) / 0.03) ** 2)) for beat in at)
        t = own + seconds * column
        for row in range(each * column, each * (column + 1)):
            mv = MV[row] * qrs
            curve = np.stack([25 * t, 50 - 10 * mv], 1)
            strips.append(
                Strip(LEADS[row], False, t[0] * 25, t[-1] * 25, 50.0, t[0], t[-1], t, curve, mv, 1.0)
            )
            columns.append(column)
    return strips, columns


def test_columns_are_of_one_time_where_the_beats_of_each_fall_together():
    irregular = [0.3, 0.85, 1.75, 2.2]
    assert same_time(*of_columns([irregular] * 4))
    # By chance the beats of two of the three later columns nearly do.
    assert not same_time(*of_columns([irregular, [0.1, 0.6, 1.4], irregular, irregular]))


@pytest.mark.parametrize("rr", [0.625, 0.71, 0.83, 1.0])
def test_regular_beats_that_go_on_into_the_next_column_are_of_no_one_time(rr):
    beats = np.arange(0.3, 10, rr) + np.random.default_rng(0).normal(0, 0.01, len(np.arange(0.3, 10, rr)))
    halves = [[float(b - t) for b in beats if t + 0.1 < b < t + 4.9] for t in (0, 5)]
    assert not same_time(*of_columns(halves, 5.0))


def test_regular_beats_that_a_column_cuts_off_are_of_one_time():
    assert same_time(*of_columns([[0.3 + 0.77 * k for k in range(6)]] * 2, 5.0))


def test_columns_of_ten_seconds_each_with_the_same_beats_show_one_record():
    """Sixteen beats of 0.625 s last as long as a column, but rows of twenty seconds are hardly printed."""
    assert same_time(*of_columns([[0.3 + 0.625 * k for k in range(16)]] * 2, 10.0))
    assert not same_time(*of_columns([[0.3 + 0.625 * k for k in range(8)]] * 2, 5.0))


def test_nearly_regular_beats_that_fall_together_to_a_hair_are_of_one_time():
    # Five intervals and the gap between the columns last five seconds, but no two of them are alike.
    assert same_time(*of_columns([[0.42, 1.24, 2.1, 2.92, 3.74, 4.6]] * 2, 5.0))


def test_one_beat_in_each_column_at_one_place_is_of_one_time():
    assert same_time(*of_columns([[0.4]] * 4, 1.0))
    assert not same_time(*of_columns([[0.4], [0.55], [0.7], [0.5]], 1.0))
