"""Fixtures shared by all tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pages import shared_digitizer

from ecgvlm.digitize import Digitizer
from ecgvlm.reader import Reader

# The same examples on every run and machine: a failure is found again. A busy machine is no failure.
settings.register_profile(
    "seeded", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("seeded")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, or a skip where the checkout has none beside it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data")
    return SHARED


@pytest.fixture(scope="session")
def digitizer() -> Digitizer:
    return shared_digitizer()


@pytest.fixture(scope="session")
def reader(digitizer) -> Reader:
    return Reader(digitizer, threads=1)
