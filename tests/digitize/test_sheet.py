"""Paper without a grid that bends before a camera: its rows, beats and names tell how it lies."""

import cv2
import numpy as np
import pytest
from gaussians import gaussian_record
from pages import strips_of

from ecgvlm.digitize import Digitizer
from ecgvlm.digitize.arrangement import Name
from ecgvlm.digitize.layout import Placed
from ecgvlm.digitize.sheet import bent_sheet, name_ends
from ecgvlm.digitize.surface import PaperMap
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style

FOCAL = 1600.0
NO_NAMES = np.zeros((0, 5))


def on_a_cylinder(page: np.ndarray, radius: float) -> np.ndarray:
    """[n, 2] px of a page about its middle, where they are seen on a cylinder that stands on its end."""
    angle = page[:, 0] / radius
    far = FOCAL + radius * (1 - np.cos(angle))
    return FOCAL * np.stack([radius * np.sin(angle), page[:, 1]], 1) / far[:, None]


def seen_rows(radius: float) -> tuple[list[Placed], list[tuple[int, np.ndarray]]]:
    """Six rows of the same beats on such a cylinder, at 5 px per mm."""
    s = np.linspace(-600, 600, 6001)
    beats = -40 * np.exp(-(((s[:, None] - np.arange(-500, 600, 180)) / 4) ** 2)).sum(1)
    middle = np.array([700, 600])
    placed, paths = [], []
    for k, lead in enumerate(("I", "II", "III", "aVR", "aVL", "aVF")):
        px = on_a_cylinder(np.stack([s, 170.0 * (k - 2.5) + beats], 1), radius) + middle
        x = np.arange(np.ceil(px[0, 0]), px[-1, 0])
        placed.append(Placed(lead, False, k, 0, x[0], x[-1], 0.0, float(np.median(px[:, 1])), True))
        paths.append((int(x[0]), np.interp(x, px[:, 0], px[:, 1])))
    return placed, paths


def test_rows_tell_a_bent_sheet():
    paper = PaperMap.covering(np.diag([5.0, 5.0, 1.0]), (1200, 1400))
    placed, paths = seen_rows(2000.0)
    bent = bent_sheet(paper, (0.0, 0.0), placed, paths, NO_NAMES, (1200, 1400))
    assert bent is not None
    along = np.array([-0.5, -0.25, 0.0, 0.25, 0.5]) * 1200
    true = on_a_cylinder(np.stack([along, np.zeros(5)], 1), 2000.0)[:, 0] + 700
    long = (placed[0].x1 - placed[0].x0) / 5.0  # mm
    mm = np.stack([np.linspace(-0.5, 0.5, 5) * long, np.zeros(5)], 1)
    even = np.linspace(true[0], true[-1], 5)
    assert np.abs(even - true).max() > 10  # px: what flat paper would be off
    assert np.abs(bent.to_px(mm)[:, 0] - true).max() < 4


def test_flat_paper_is_left_alone():
    paper = PaperMap.covering(np.diag([5.0, 5.0, 1.0]), (1200, 1400))
    placed, paths = seen_rows(1e6)
    assert bent_sheet(paper, (0.0, 0.0), placed, paths, NO_NAMES, (1200, 1400)) is None


@pytest.mark.parametrize("radius", [2500.0, 4000.0])
def test_times_are_right_on_bent_paper_without_grid(radius):
    style = page_style("plain", layout="3x4+1R", px_per_mm=5.0)
    page = render(gaussian_record(), style)
    h, w = page.image.shape[:2]
    middle = np.array([w, h]) / 2
    s = np.linspace(-w / 2, w / 2, 2001)
    x = on_a_cylinder(np.stack([s, 0 * s], 1), radius)[:, 0]
    at = np.interp(np.arange(w) - middle[0], x, s)  # of the page, in each column of the picture
    far = 1 + radius * (1 - np.cos(at / radius)) / FOCAL
    where = np.stack(
        np.broadcast_arrays(at + middle[0], (np.arange(h)[:, None] - middle[1]) * far + middle[1]), -1
    )
    picture = cv2.remap(
        page.image, where.astype(np.float32), None, cv2.INTER_LINEAR, borderValue=(90, 70, 60)
    )
    found = Digitizer(threads=1)(picture)
    for trace, t, px in strips_of(page, found):
        seen = on_a_cylinder(trace.xy - middle, radius)[:, 0] + middle[0]
        shown = (seen > px[0, 0]) & (seen < px[-1, 0])
        off = (np.interp(seen, px[:, 0], t) - trace.t)[shown]
        assert np.abs(off - np.median(off)).max() < 0.03  # s; 0.1 and more were it flat


@pytest.mark.parametrize("right", [False, True])
def test_names_begin_and_end_where_their_letters_do(right):
    page = np.full((300, 700, 3), 255, np.uint8)
    names, placed = [], []
    for column, leads in enumerate((("I", "II", "III"), ("aVR", "aVL", "aVF"), ("V1", "V2", "V3"))):
        for row, lead in enumerate(leads):
            (w, h), _ = cv2.getTextSize(lead, cv2.FONT_HERSHEY_SIMPLEX, 0.7, 2)
            x, y = 100 + 200 * column - (w if right else 0), 60 + 90 * row
            cv2.putText(page, lead, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2)
            names.append(Name(lead, x + w / 2, y - h / 2, 1.0))
            placed.append(
                Placed(
                    lead, False, row, column, 80.0 + 200 * column, 280.0 + 200 * column, 0.0, y + 30.0, True
                )
            )
    ends = name_ends(page, np.zeros(page.shape[:2]), names, placed, 90.0)
    assert len(ends) == 9
    assert (
        np.ptp(ends[:, 3 if right else 2] - 200 * ends[:, 0]) < 4
    )  # px: letters differ in their own margins alone
