"""Pages without a grid that a camera saw from aside: their rows and beats set them straight."""

import cv2
import numpy as np
import pytest
from gaussians import gaussian_record
from pages import strips_of

from ecgvlm.digitize import Digitizer
from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.straight import straightened
from ecgvlm.digitize.surface import PaperMap, projected
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.paper.truth import Rendering


def from_aside(page: Rendering, by: float) -> Rendering:
    """The page as a camera sees it from its left, the right side smaller by a part."""
    h, w = page.image.shape[:2]
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    seen = corners + np.array([[0, 0], [-0.5 * by * w, by * h / 2], [-0.5 * by * w, -by * h / 2], [0, 0]])
    move = cv2.getPerspectiveTransform(corners, (0.9 * seen + 0.05 * w).astype(np.float32))
    image = cv2.warpPerspective(page.image, move, (w, h), borderValue=(90, 70, 60))
    return Rendering(image, page.truth.warped(lambda points: projected(move, points)))


@pytest.mark.parametrize("layout", ["3x4+1R", "6x2", "12x1"])
def test_times_are_right_on_paper_without_grid(layout):
    style = page_style("plain", layout=layout, px_per_mm=5.5)
    page = from_aside(render(gaussian_record(), style), 0.16)
    found = Digitizer(threads=1)(page.image)
    for trace, t, px in strips_of(page, found):
        off = np.interp(trace.xy[:, 0], px[:, 0], t - t[0]) - (trace.t - trace.t[0])
        assert np.abs(off - np.median(off)).max() < 0.03  # s; 0.15 and more without


def strips_and_paths(slope: float) -> tuple[list[Placed], list[tuple[int, np.ndarray]]]:
    """Four rows of the same beats, each row more aslant than the one above by so much."""
    x = np.arange(1250)
    beats = -40 * np.exp(-(((x[:, None] - np.arange(100, 1250, 180)) / 4) ** 2)).sum(1)
    placed = [Placed(lead, False, k, 0, 0.0, 1250.0, 0.0, 200.0 + 120 * k, True) for k, lead in enumerate(
        ("I", "II", "III", "aVR"))]  # fmt: skip
    return placed, [(0, 200 + 120 * k + slope * k * (x - 625) + beats) for k in range(4)]


def test_paper_that_is_straight_is_left_alone():
    paper = PaperMap.covering(np.diag([5.0, 5.0, 1.0]), (800, 1400))
    assert straightened(paper, (0.0, 0.0), *strips_and_paths(0.0), (800, 1400)) is None


def test_rows_that_spread_are_those_of_a_page_seen_from_aside():
    paper = PaperMap.covering(np.diag([5.0, 5.0, 1.0]), (800, 1400))
    homography = straightened(paper, (0.0, 0.0), *strips_and_paths(0.01), (800, 1400))
    ends = np.array([[0.0, 560 - 0.03 * 625], [1250.0, 560 + 0.03 * 625]])  # of the last row, px
    assert abs(np.diff(projected(np.linalg.inv(homography), ends)[:, 1])[0]) < 1.0  # mm
