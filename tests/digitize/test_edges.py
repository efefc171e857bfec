"""What lies beyond the edges of the picture, or beyond those of its visible grid."""

import cv2
import numpy as np
import pytest
from drawn import Place, drawn_page, grid_of_places
from gaussians import gaussian_record

from ecgvlm.digitize import Digitizer
from ecgvlm.digitize.strips import _shown
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style


def test_a_curve_ends_where_the_picture_ends():
    x = np.arange(60.0)
    curve = np.stack([x, np.where(x == 20, np.nan, 30.0)], 1)

    def turned(px: np.ndarray) -> np.ndarray:
        """Paper that leaves the picture to the lower right."""
        return px + np.stack([np.zeros(len(px)), 0.5 * px[:, 0]], 1)

    shown = _shown(curve, turned, (51, 100, 3))
    assert np.isnan(shown[41:, 1]).all()
    np.testing.assert_array_equal(shown[:41], curve[:41])
    assert _shown(curve, turned, (100, 100, 3)) is curve


@pytest.mark.parametrize("layout", ["3x4+1R", "6x2"])
def test_leads_are_read_where_light_hides_the_grid(layout):
    style = page_style("classic", layout=layout, px_per_mm=5.5)
    page = render(gaussian_record(), style).image
    y, x = np.mgrid[: len(page), : page.shape[1]].astype(np.float32)
    wave = y + 3 * style.px_per_mm * np.sin(7 * x / page.shape[1])
    page = cv2.remap(page, x, wave.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    half = page[:, page.shape[1] // 2 :]
    half[half.min(2) > 120] = 255
    picture = cv2.copyMakeBorder(page, 150, 150, 150, 150, cv2.BORDER_CONSTANT, value=(70, 60, 50))
    lengths = {s.lead: s.x1 - s.x0 for s in Digitizer(threads=1)(picture).strips if not s.rhythm}
    assert len(lengths) == 12
    assert min(lengths.values()) > 0.95 * max(lengths.values())


ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))


@pytest.mark.parametrize(
    ("cut", "before"), [(24.0, 0.0), (31.0, 0.0), (0.0, 8.0)], ids=["2 mm gone", "9 mm gone", "more before"]
)
def test_leads_begin_where_they_are_printed(cut, before):
    """Neither what the left edge of the picture cuts off nor ink before the rows moves a lead.

    cut: mm of the page that are missing on the left. before: mm of each row's ink that stand there.
    """
    record, scale = gaussian_record(), 5.0
    places = [*grid_of_places(ROWS), Place("II", "II", 22.0, 131.0, 250.0)]
    ink = [Place("", "V6", 4.0, y, before) for y in sorted({place.y for place in places}) if before]
    picture = drawn_page(record.signal, record.fs, [*places, *ink], scale=scale, pulse=None)
    page = Digitizer(threads=1)(np.ascontiguousarray(picture[:, round(cut * scale) :]))
    assert page.layout == "3x4+1R"
    begins = {s.lead: page.to_source(np.array([s.x0, s.y]))[0] for s in page.strips if not s.rhythm}
    wanted = {place.name: max(0.0, (place.x - cut) * scale) for place in places[:12]}
    assert begins == pytest.approx(wanted, abs=2 * scale)


@pytest.mark.parametrize("rhythm", ["", "+1R"])
def test_a_page_without_a_grid_keeps_its_time_where_a_column_is_missing(rhythm):
    style = page_style("classic", layout=f"3x4{rhythm}", grid="none", pulses="none", template="none")
    page = render(gaussian_record(), style).image
    whole, part = (
        Digitizer(threads=1)(x) for x in (page, np.ascontiguousarray(page[:, : -page.shape[1] // 4]))
    )
    assert {strip.lead for strip in part.strips} < {strip.lead for strip in whole.strips}
    assert part.measurements.heart_rate_bpm == pytest.approx(whole.measurements.heart_rate_bpm, rel=0.04)
