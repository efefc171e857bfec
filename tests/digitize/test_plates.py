"""Names on dark plates: their print becomes dark on paper, and nothing else on a page changes."""

import cv2
import numpy as np
import pytest
from pages import page

from ecgvlm.digitize.plates import without_plates
from ecgvlm.paper.style import Plate
from ecgvlm.record import LEADS

BLUE = Plate(fill=(40, 90, 170), edge=None, ink=(255, 255, 255))


def plated(**changes):
    """A page as programs draw it, at the net's own 5 px/mm."""
    look = {
        "layout": "12x1",
        "pulses": "none",
        "px_per_mm": 5.0,
        "name_at": (-4.0, -1.0),
        "plate": BLUE,
        **changes,
    }
    return page(**look)


def around(image: np.ndarray, box: np.ndarray, margin: int = 0) -> np.ndarray:
    """What a picture shows within a box and so many px about it, as grey levels."""
    x0, y0 = box.min(0).round().astype(int) - margin
    x1, y1 = box.max(0).round().astype(int) + margin
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[max(0, y0) : y1, max(0, x0) : x1]


@pytest.mark.parametrize("plate", [BLUE, Plate((20, 20, 25), (200, 60, 60), (250, 240, 180), 0.1, 1.4)])
def test_bright_print_on_dark_plates_becomes_dark_on_paper(plate):
    rendering = plated(plate=plate)
    read = without_plates(rendering.image)
    for trace in rendering.truth.traces:
        before, after = (around(image, trace.name_box, 4) for image in (rendering.image, read))
        assert np.median(before) < 120, trace.lead
        assert np.median(after) > 200, trace.lead
        assert after.min() < 100, trace.lead
        # What was brightest is now darkest: it says the same.
        inner = (
            around(rendering.image, trace.name_box).astype(float),
            around(read, trace.name_box).astype(float),
        )
        assert np.corrcoef(inner[0].ravel(), inner[1].ravel())[0, 1] < -0.8, trace.lead


@pytest.mark.parametrize("style", ["classic", "edan", "kit", "mono", "mortara", "plot"])
@pytest.mark.parametrize("kind", ["clean", "scan"])
def test_pages_without_plates_stay_what_they_are(style, kind):
    image = page(kind, style, px_per_mm=5.0).image
    assert without_plates(image) is image


def test_thick_pens_on_dark_grids_are_no_plates():
    for layout in ("6x2", "12x1"):
        image = page(
            layout=layout, px_per_mm=5.0, trace_mm=1.1, minor=(193, 174, 170), major=(174, 150, 144)
        ).image
        changed = (without_plates(image) != image).any(2)
        assert changed.mean() < 2e-4


@pytest.mark.parametrize("layout", ["12x1", "3x4+1R"])
def test_names_in_pills_are_read(digitizer, layout):
    found = digitizer(
        page(layout=layout, plate=BLUE, name_at=(-4.0, -1.0) if layout == "12x1" else (0.5, 7.0)).image
    )
    assert found.layout == layout
    assert [strip.lead for strip in found.strips if not strip.rhythm] == list(LEADS)


def test_a_dark_field_without_print_is_no_plate():
    image = np.full((320, 480, 3), 245, np.uint8)
    image[100:120, 100:140] = 40
    assert without_plates(image) is image


def test_what_runs_out_of_the_picture_is_no_plate():
    """A page's edges are drawn out beyond the picture: dark ones make bars there."""
    rendering = plated()
    left = int(min(trace.name_box[:, 0].min() for trace in rendering.truth.traces)) - 4
    image = np.ascontiguousarray(rendering.image[:, left:])
    narrowest = [trace for trace in rendering.truth.traces if trace.name_box[:, 0].min() - left < 5]
    read = without_plates(image)
    for trace in narrowest:
        box = trace.name_box - [left, 0]
        assert np.array_equal(around(read, box), around(image, box))
