"""Whether the ventricles beat at all."""

import numpy as np
import pytest
from hearts import FS, quivering

from ecgvlm.judge.fibrillation import leakage
from ecgvlm.simulate import CONDITIONS, random_simulation, simulate


def twisting(rng: np.random.Generator) -> np.ndarray:
    """[12, n] mV of a tachycardia whose axis turns around, 220 a minute."""
    t = np.arange(10 * FS) / FS
    return rng.normal(0, 0.8, (12, 1)) * np.sin(2 * np.pi * 3.7 * t) * np.sin(2 * np.pi * 0.3 * t + 0.4)


@pytest.mark.parametrize("ventricles", [quivering, twisting])
def test_what_has_no_qrs_swings_steadily(ventricles):
    assert max(leakage(ventricles(np.random.default_rng(seed)), FS) for seed in range(5)) < 0.56


@pytest.mark.parametrize("condition", [c for c in CONDITIONS if c != "vt"])
def test_every_rhythm_with_qrs_does_not(condition):
    record, _ = simulate(random_simulation(np.random.default_rng(3), condition), 3)
    assert leakage(record.signal, record.fs) > 0.58


def test_where_nothing_moves_nothing_is_known():
    flat = np.random.default_rng(0).normal(0, 0.01, (12, round(5 * FS)))
    assert leakage(flat, FS) is None
    assert leakage(np.full((12, round(5 * FS)), np.nan), FS) is None
    assert leakage(quivering(np.random.default_rng(0))[:, : round(FS)], FS) is None  # too short
