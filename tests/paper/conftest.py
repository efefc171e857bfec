"""A small synthetic record for the tests of printing."""

import pytest
from gaussians import gaussian_record

from ecgvlm.record import Record


@pytest.fixture(scope="session")
def record() -> Record:
    return gaussian_record()
