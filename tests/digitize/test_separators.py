"""Columns end in the middle of the bars that part them."""

import numpy as np
import pytest

from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.separators import between_separators
from ecgvlm.record import LEADS

_ROWS = (100.0, 200.0, 300.0)
_BARS = (400.0, 712.0, 1024.0)


def _strips(off: float) -> list[Placed]:
    """Four columns of 312 px and a rhythm strip, `off` px beside their places."""
    starts = [88.0 + off, *(bar + off for bar in _BARS), 1336.0 + off]
    strips = [
        Placed(
            lead,
            False,
            i % 3,
            i // 3,
            starts[i // 3],
            starts[i // 3 + 1],
            312.0 * (i // 3),
            _ROWS[i % 3],
            True,
        )
        for i, lead in enumerate(LEADS)
    ]
    return [*strips, Placed("II", True, 3, 0, starts[0], starts[-1], 0.0, 400.0, True)]


def _page() -> np.ndarray:
    trace = np.zeros((480, 1400), np.float32)
    for y in (*_ROWS, 400.0):
        trace[int(y) - 1 : int(y) + 2, 88:1336] = 1.0
    return trace


def test_ends_lie_in_the_bars_and_the_outer_ones_as_far_from_them():
    trace = _page()
    for y in _ROWS:
        for bar in _BARS:
            trace[int(y) - 17 : int(y) + 18, int(bar) - 1 : int(bar) + 2] = 1.0
    placed = between_separators(_strips(6.0), trace)
    for strip in placed[:-1]:
        assert strip.x0 == pytest.approx(88 + 312 * strip.column, abs=0.3)
        assert strip.x1 == pytest.approx(400 + 312 * strip.column, abs=0.3)
        assert strip.since == pytest.approx(312 * strip.column, abs=0.3)
    assert (placed[-1].x0, placed[-1].x1) == pytest.approx((88, 1336), abs=0.3)


def test_beats_at_the_ends_of_columns_are_no_bars():
    trace = _page()
    for up, y in zip((True, False, True), _ROWS):
        for bar in _BARS:
            part = slice(int(y) - 30, int(y)) if up else slice(int(y), int(y) + 30)
            trace[part, int(bar) - 1 : int(bar) + 2] = 1.0
    strips = _strips(6.0)
    assert between_separators(strips, trace) == strips


def test_a_bar_that_is_faint_in_one_row_is_found_beside_a_beat_that_is_plain_in_all():
    trace = _page()
    for y in _ROWS:
        for bar in _BARS:
            shown = 0.2 if (y, bar) == (_ROWS[0], _BARS[1]) else 1.0
            trace[int(y) - 17 : int(y) + 18, int(bar) - 1 : int(bar) + 2] = shown
        trace[int(y) - 20 : int(y) + 21, int(_BARS[1]) + 9 : int(_BARS[1]) + 12] = 1.0
    for strip in between_separators(_strips(3.0), trace)[:-1]:
        assert strip.x0 == pytest.approx(88 + 312 * strip.column, abs=0.3)


@pytest.mark.parametrize("off", [-10, 8])
def test_a_lone_bar_off_its_place_is_a_beat(off):
    """The first QRS of three leads, 1 to 2 mm behind where their column begins, was taken for its bar."""
    trace = _page()
    for y in _ROWS:
        at = int(_BARS[2]) + off
        trace[int(y) - 30 : int(y) + 30, at - 2 : at + 3] = 1.0
    assert between_separators(_strips(0.0), trace) == _strips(0.0)
    trace[:] = np.roll(trace, 2 - off, axis=1)
    placed = between_separators(_strips(0.0), trace)
    starts = [strip.x0 for strip in placed if strip.column == 3]
    assert starts == pytest.approx([_BARS[2] + 2] * 3, abs=0.3)
