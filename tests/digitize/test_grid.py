"""The grid's plane."""

import numpy as np

from ecgvlm.digitize.grid import _fitted


def test_points_of_one_line_and_one_beside_it_give_no_plane():
    down = np.arange(268.1, 980, 100.75)
    px = np.array([[66.6, y] for y in down] + [[167.4, 268.1]])
    along = np.array([0.3, 1.08, 1.63, 2.29, 2.72, 3.39, 4.38, 4.82])
    mm = np.array([[x, x - 5.0] for x in along] + [[10.71, 5.71]])
    assert _fitted(px, mm, (1204, 1679, 3)) is None
