"""Quantiles against numpy's."""

import numpy as np
import pytest

from ecgvlm.quantile import median, quantile, quantiles


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_quantiles_are_numpys(n, dtype):
    values = (np.random.default_rng(n).normal(size=n) * 20 + 128).astype(dtype)
    shares = (0.0, 0.02, 0.25, 0.5, 0.85, 1.0)
    assert quantiles(values, *shares) == pytest.approx(np.quantile(values.astype(float), shares), rel=1e-6)
    columns = np.stack([values, values[::-1]], 1)
    assert quantiles(columns, 0.35, axis=0) == pytest.approx(
        np.quantile(columns.astype(float), [0.35], axis=0), rel=1e-6
    )
    assert quantile(values, 0.6) == pytest.approx(float(np.quantile(values.astype(float), 0.6)), rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_the_median_is_numpys(n, dtype):
    values = (np.random.default_rng(n).normal(size=n) * 20 + 128).astype(dtype)
    assert median(values) == pytest.approx(float(np.median(values.astype(float))), rel=1e-6)
    assert median(values.tolist()) == pytest.approx(median(values), rel=1e-6)


def test_there_is_no_median_of_nothing_nor_of_what_is_not_known():
    assert np.isnan(median([]))
    assert np.isnan(median([1.0, np.nan, 2.0]))
