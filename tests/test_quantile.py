"""Quantiles against numpy's."""

import numpy as np
import pytest

from ecgvlm.quantile import quantile, quantiles


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_quantiles_are_numpys(n, dtype):
    values = (np.random.default_rng(n).normal(size=n) * 20 + 128).astype(dtype)
    shares = (0.0, 0.02, 0.25, 0.5, 0.85, 1.0)
    assert quantiles(values, *shares) == pytest.approx(np.quantile(values.astype(float), shares), rel=1e-6)
    assert quantile(values, 0.6) == pytest.approx(float(np.quantile(values.astype(float), 0.6)), rel=1e-6)
