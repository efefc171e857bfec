"""Following a printed curve whose truth is drawn here."""

import cv2
import numpy as np
import pytest

from ecgvlm.digitize import trace
from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.trace import follow, paths_of

SIDE = 3  # px of the picture for one of the rectified page
WIDE, HIGH = 200, 120


def drawn(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A curve in px of the page -> picture [SIDE HIGH, SIDE WIDE, 3], page, ink in 0..1."""
    fine = np.zeros((HIGH * SIDE * 4, WIDE * SIDE * 4), np.uint8)
    scale = SIDE * 4
    points = np.stack([(x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5], 1)
    cv2.polylines(
        fine, [np.round(points * 16).astype(np.int32)], False, 255, round(1.6 * scale), cv2.LINE_8, 4
    )
    picture = 255 - cv2.resize(fine, (WIDE * SIDE, HIGH * SIDE), interpolation=cv2.INTER_AREA)
    page = 255 - cv2.resize(fine, (WIDE, HIGH), interpolation=cv2.INTER_AREA)
    ink = (255 - page).astype(np.float32) / 255
    return np.stack([picture] * 3, -1), np.stack([page] * 3, -1), ink


@pytest.mark.parametrize("at", [100.0, 100.3, 100.5, 100.8])
@pytest.mark.parametrize("half", [2.2, 4.0])
def test_steep_flanks_are_found_at_the_pictures_resolution(at, half):
    x = np.array([2.0, at - half, at, at + half, WIDE - 3.0])
    y = np.array([90.0, 90.0, 30.0, 90.0, 90.0])
    picture, page, ink = drawn(x, y)
    placed = Placed("II", False, 0, 0, 4.0, WIDE - 4.0, 0.0, 90.0, True)

    def to_px(px):
        return (px + 0.5) * SIDE - 0.5

    ((curve, sure),) = follow(ink, page, picture, to_px, [placed])
    assert sure > 0.8
    rows = np.arange(50, 80)
    rising, falling = curve[curve[:, 0] <= at], curve[curve[:, 0] >= at]
    left = np.interp(-rows, -rising[:, 1], rising[:, 0])
    right = np.interp(rows, falling[:, 1], falling[:, 0])
    part = (90.0 - rows) / 60.0
    assert np.median(np.abs(left - (at - half * (1 - part)))) < 0.2
    assert np.median(np.abs(right - (at + half * (1 - part)))) < 0.2
    assert curve[:, 1].min() < 36.0  # of 60 px, nine tenths


def test_a_long_trace_is_followed_in_pieces_as_in_one(monkeypatch):
    x = np.arange(2.0, WIDE - 2.0)
    y = 60 + 8 * np.sin(x / 9) - 40 * (x % 50 < 1)
    picture, page, ink = drawn(x, y)
    ink[:, 90:110] = 0.0  # as where a fold hides it
    placed = Placed("II", False, 0, 0, 4.0, WIDE - 4.0, 0.0, 60.0, True)

    def curve() -> np.ndarray:
        return follow(ink, page, picture, lambda px: (px + 0.5) * SIDE - 0.5, [placed])[0][0]

    whole = curve()
    monkeypatch.setattr(trace, "_PIECE", 60)
    monkeypatch.setattr(trace, "_FURTHER", 40)
    np.testing.assert_array_equal(curve(), whole)
    assert np.nanmedian(np.abs(whole[:, 1] - np.interp(whole[:, 0], x, y))) < 0.3


def followed(*lines: np.ndarray) -> list[np.ndarray]:
    """The paths of strips whose rows are 40 px apart, in px at x 10 to 190, where these lines are drawn."""
    x = np.arange(2.0, WIDE - 2.0)
    ink = np.max([drawn(x, y)[2] for y in lines], axis=0)
    strips = [Placed("II", False, k, 0, 4.0, WIDE - 4.0, 0.0, 40.0 + 40 * k, True) for k in range(len(lines))]
    begins, paths = paths_of(ink, strips)
    return [path[10 - first : 190 - first] for first, path in zip(begins, paths)]


def test_a_trace_that_wanders_to_another_row_is_still_its_own():
    x = np.arange(2.0, WIDE - 2.0)
    upper, lower = 40 - 24 * np.sin(x / 70), 80 - 40 * np.sin(x / 70)  # the lower is near the upper's row
    for path, wanted in zip(followed(upper, lower), (upper, lower)):
        assert np.abs(path - wanted[8:188]).max() < 3


def test_traces_that_meet_in_their_qrs_go_on_as_they_came():
    x = np.arange(2.0, WIDE - 2.0)
    spike = np.maximum(0, 1 - np.abs(x - 100) / 4)
    # Behind the QRS each runs near the other one's row, but at its own level.
    upper, lower = 55 + 30 * spike, 68 - 26 * spike
    for path, wanted in zip(followed(upper, lower), (upper, lower)):
        assert np.abs(np.delete(path - wanted[8:188], np.arange(80, 100))).max() < 3
