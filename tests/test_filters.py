"""Filters against scipy's."""

import numpy as np
import pytest
from scipy import ndimage

from ecgvlm import filters


@pytest.mark.parametrize("shape", [(7,), (400,), (12, 300), (5, 12, 90)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("sigma", "derivative"), [(0.8, 0), (3.0, 0), (3.0, 1), (4.5, 2), (25.0, 0)])
def test_gaussians(shape, dtype, sigma, derivative):
    values = np.random.default_rng(0).normal(size=shape).astype(dtype)
    wanted = ndimage.gaussian_filter1d(values.astype(float), sigma, axis=-1, order=derivative)
    found = filters.gaussian(values, sigma, derivative)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, atol=1e-10 if dtype == np.float64 else 2e-6)


@pytest.mark.parametrize("width", [1, 5, 30, 41, 64, 150, 151])
def test_medians_and_extremes(width):
    rng = np.random.default_rng(width)
    rows, whole = rng.normal(size=(3, 200)), rng.integers(0, 500, 200)
    wanted = ndimage.median_filter(rows, (1, width), mode="nearest")
    np.testing.assert_array_equal(filters.median(rows, width, "edge"), wanted)
    np.testing.assert_array_equal(filters.median(whole, width), ndimage.median_filter(whole, width))
    for found, known in (
        (filters.greatest, ndimage.maximum_filter1d),
        (filters.least, ndimage.minimum_filter1d),
    ):
        np.testing.assert_array_equal(found(rows, width), known(rows, width, axis=1))
        np.testing.assert_array_equal(found(whole, width), known(whole, width))
        assert found(whole, width).dtype == whole.dtype
    np.testing.assert_allclose(filters.mean(rows[0], width), ndimage.uniform_filter1d(rows[0], width))


@pytest.mark.parametrize("shape", [(0,), (12, 0)])
def test_nothing_stays_nothing(shape):
    nothing = np.zeros(shape)
    assert filters.gaussian(nothing, 2.0).shape == shape
    for filtered in (filters.median, filters.greatest, filters.least):
        assert filtered(nothing, 5).shape == shape


def test_runs_are_where_what_holds_begins_and_has_ended():
    assert filters.runs(np.array([1, 1, 0, 1, 0, 0, 1], bool)) == [(0, 2), (3, 4), (6, 7)]
    assert filters.runs(np.zeros(3, bool)) == filters.runs(np.zeros(0, bool)) == []
