"""What lies beyond the edges of the picture, or beyond those of its visible grid."""

import cv2
import numpy as np
import pytest
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
