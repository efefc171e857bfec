"""ECGs as programs show them: their truth is theirs, their colours stand apart, their names on plates."""

import cv2
import numpy as np
import pytest
from gaussians import gaussian_record

from ecgvlm.paper.render import render
from ecgvlm.paper.screen import screen_page, screen_style
from ecgvlm.paper.style import Plate, page_style


def light(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_traces_lie_where_the_truth_has_them(seed):
    """Windows about the page move it, and its truth with it."""
    page = screen_page(gaussian_record(), seed, "clean")
    grey = light(page.image)
    for trace in page.truth.traces:
        points = trace.xy[np.isfinite(trace.xy).all(1)].astype(np.float32)
        on, beside = (
            np.median(cv2.remap(grey, points[:, :1], points[:, 1:] + dy, cv2.INTER_LINEAR))
            for dy in (0.0, 4 * page.truth.px_per_mm)
        )
        assert abs(on - beside) > 25, trace.lead


def test_the_mesh_reaches_over_the_window():
    for seed in range(12):
        page = screen_page(gaussian_record(), seed, "clean")
        height, width = page.image.shape[:2]
        mesh, step = page.truth.mesh, 5 * page.truth.px_per_mm
        assert np.allclose(np.diff(mesh[..., 0], axis=1), step, atol=1e-6)
        assert mesh[0, 0].max() < step
        assert (np.array([width, height]) - mesh[-1, -1]).max() <= step + 1


def test_looks_differ_in_all_that_programs_choose():
    styles = [screen_style(np.random.default_rng(seed)) for seed in range(60)]
    assert len({style.paper for style in styles}) > 30
    assert 5 < sum(style.dark for style in styles) < 30
    assert sum(style.plate is not None for style in styles) > 20
    assert any(not style.named for style in styles)
    assert min(style.px_per_mm for style in styles) < 3.2  # 75 to 80 dpi
    assert max(style.trace_mm for style in styles) > 0.8


def test_a_name_stands_on_its_plate():
    plate = Plate(fill=(30, 60, 200), edge=(200, 30, 30), ink=(255, 255, 255))
    page = render(gaussian_record(), page_style("classic", plate=plate))
    plain = render(gaussian_record(), page_style("classic"))
    for trace, same in zip(page.truth.traces, plain.truth.traces):
        assert np.array_equal(trace.name_box, same.name_box)
        x0, y0 = trace.name_box.min(0).round().astype(int)
        x1, y1 = trace.name_box.max(0).round().astype(int)
        around = page.image[y0 - 2 : y1 + 2, x0 - 3 : x1 + 3].reshape(-1, 3).astype(int)
        colours = [np.abs(around - np.array(c)).sum(1).min() for c in (plate.fill, plate.ink)]
        assert max(colours) < 30, trace.lead
    assert not np.array_equal(page.image, plain.image)


def test_names_may_be_left_out():
    page = render(gaussian_record(), page_style("classic", named=False))
    assert all(trace.name_box is None for trace in page.truth.traces)
    assert len(page.truth.traces) == 13
