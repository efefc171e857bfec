"""Pages in ecg-image-kit's look: letter paper at 200 dpi, its grids, half of them worn."""

import numpy as np
import pytest

from ecgvlm.bench.kit import print_kit
from ecgvlm.simulate import random_simulation, simulate


@pytest.fixture(scope="module")
def record():
    return simulate(random_simulation(np.random.default_rng(3), "af"), 3)[0]


@pytest.fixture(scope="module")
def pages(record):
    return [print_kit(record, np.random.default_rng(seed)) for seed in range(5)]


def turned(page):
    return bool((page[0, 0] < 60).all() or (page[0, -1] < 60).all())


def test_a_page_follows_from_its_seed(record, pages):
    again, layout = print_kit(record, np.random.default_rng(1))
    assert pages[1][0].shape == (1700, 2200, 3)
    assert pages[1][1] == layout
    assert (pages[1][0] == again).all()


def test_pages_vary_as_the_kits_do(pages):
    assert 1 <= sum(turned(page) for page, _ in pages) <= 4, "the corners of a turned page are black"
    assert len({layout for _, layout in pages}) > 1


def test_rows_are_set_from_the_bottom(record):
    page = next(
        page
        for seed in range(9)
        if not turned(page := print_kit(record, np.random.default_rng(seed), "3x4+1R")[0])
    )
    dark = (page.max(2) < 60).sum(1)
    assert dark[: 1700 // 4].max() < dark.max() / 4, "nothing is drawn in the upper quarter"
