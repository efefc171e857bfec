"""Runs of ink beside a path."""

import numpy as np
import pytest

from ecgvlm.digitize.stroke import ink_run, nearest_run


def test_the_nearest_run_of_each_column_is_found():
    dark = np.array([[0, 1, 1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 0, 1, 1, 0], [0] * 8, [1] * 8], bool).T
    first, last, away = nearest_run(dark, np.array([3, 4, 4, 4]))
    assert away.tolist() == [1, 1, np.inf, 0]
    assert first[[0, 1, 3]].tolist() == [1, 3, 0]
    assert last[[0, 1, 3]].tolist() == [2, 3, 7]
    assert np.isinf(nearest_run(dark[:, [2]], np.array([0]))[2]).all()


def test_edges_lie_where_the_ink_is_one_half():
    ink = np.array([[0.0, 0.25, 1.0, 1.0, 0.4, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]).T
    top, bottom = ink_run(ink, np.array([3, 1]), np.array([0, 2]))
    assert top[0] == pytest.approx(2 - 0.5 / 0.75)
    assert bottom[0] == pytest.approx(3 + 0.5 / 0.6)
    assert np.isnan(top[1])
    top, bottom = ink_run(ink, np.array([3, 1]), 4)
    assert top[1] == pytest.approx(4.5)
    assert bottom[1] == pytest.approx(5.5)  # paper lies beyond
