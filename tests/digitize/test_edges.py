"""What lies beyond the edges of the picture."""

import numpy as np

from ecgvlm.digitize.digitizer import _shown


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
