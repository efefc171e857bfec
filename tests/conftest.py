"""Fixtures shared by all tests."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, or a skip where the checkout has none beside it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data")
    return SHARED
