"""The grid's plane."""

import numpy as np
import pytest
from gaussians import gaussian_record

from ecgvlm.digitize.grid import GridFinder, _fitted, find_grid
from ecgvlm.paper.print import print_page


def test_points_of_one_line_and_one_beside_it_give_no_plane():
    down = np.arange(268.1, 980, 100.75)
    px = np.array([[66.6, y] for y in down] + [[167.4, 268.1]])
    along = np.array([0.3, 1.08, 1.63, 2.29, 2.72, 3.39, 4.38, 4.82])
    mm = np.array([[x, x - 5.0] for x in along] + [[10.71, 5.71]])
    assert _fitted(px, mm, (1204, 1679, 3)) is None


def test_lines_taken_for_coarser_ones_one_way_are_not_square():
    mm = np.stack(np.meshgrid(np.arange(0, 250, 20.0), np.arange(0, 180, 20.0)), -1).reshape(-1, 2)
    for across, square in ((6.0, True), (7.5, False)):
        lead = _fitted(mm * (across, 6.0), mm, (1100, 1600, 3))
        assert lead is not None
        assert lead.square == square


def ruled(scale: float, width: int) -> np.ndarray:
    """A page of 297 x 210 mm at `scale` px a mm as programs rule it: lines `width` px wide, at whole ones."""
    page = np.full((round(210 * scale), round(297 * scale), 3), 255, np.uint8)
    for step, grey in ((1, 230), (5, 170)):
        for axis, long in enumerate((210, 297)):
            first = np.round(np.arange(0, long, step) * scale).astype(int)
            page[(slice(None),) * axis + (np.add.outer(first, range(width)).ravel(),)] = (255, grey, grey)
    return page


@pytest.mark.parametrize(("scale", "width"), [(3.9, 2), (4.331, 1)])
def test_lines_at_whole_px_neither_bend_paper_nor_look_finer(scale: float, width: int):
    paper = find_grid(ruled(scale, width))
    assert paper is not None
    assert not paper.shift.any()
    assert paper.scale() == pytest.approx(scale, rel=2e-4)


def test_no_grid_is_looked_for_on_paper_wider_than_any():
    assert GridFinder(ruled(4.0, 1)).find_about(1.0) is None  # 1.2 m


def test_crumpled_paper_is_followed_by_what_thick_lines_have_twice_in_5_mm():
    # A crumpled page in bad light, on which 1-mm lines lead nowhere and 5-mm lines astray.
    page = print_page(gaussian_record(), "photo", np.random.default_rng(36))
    paper = find_grid(page.image)
    assert paper is not None
    along = np.diff(page.truth.mesh, axis=1)
    assert paper.scale() == pytest.approx(np.median(np.linalg.norm(along, axis=-1)) / 5, rel=0.03)


def test_page_that_is_a_small_part_of_its_picture_is_looked_at_by_itself():
    # Its 1-mm lines are too fine where the whole picture is seen, and its 5-mm lines pass for them.
    page = print_page(gaussian_record(), "photo", np.random.default_rng(1))
    along = np.diff(page.truth.mesh, axis=1)
    height, width = page.image.shape[:2]
    sides = ((7 * height // 10,) * 2, (7 * width // 10,) * 2, (0, 0))
    paper = find_grid(np.pad(page.image, sides, constant_values=80))
    assert paper is not None
    assert paper.scale() == pytest.approx(np.median(np.linalg.norm(along, axis=-1)) / 5, rel=0.03)
