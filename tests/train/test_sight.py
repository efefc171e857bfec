import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from ecgvlm.files.page_form import fit, fit_points
from ecgvlm.judge.findings import NUMBERS
from ecgvlm.labels import LABELS
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import page_style
from ecgvlm.record import LEADS
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.train.sight import FINE, PATCH, Lessons, Pupil, Spreads, lessons_of, numbered_places, stacked

SIDE = 512
ABSENT, UNKNOWN = np.zeros(len(LABELS), np.int8), np.full(NUMBERS, np.nan, np.float32)


@pytest.fixture(scope="module")
def page():
    record, _ = simulate(random_simulation(np.random.default_rng(3), "normal"), 3)
    return print_page(record, "photo", 3, page_style("classic", layout="3x4+1R"))


@pytest.fixture(scope="module")
def lessons(page) -> Lessons:
    return lessons_of(page.truth, page.image.shape[:2], SIDE, ABSENT, UNKNOWN)


@pytest.mark.parametrize("shape", [(300, 400), (200, 900), (512, 1024)])
def test_points_go_where_the_picture_goes(shape):
    picture = np.zeros((*shape, 3), np.uint8)
    spot = np.array([230.0, 120.0])
    picture[116:125, 226:235] = 255
    sheet = fit(picture, 1024)[..., 0].astype(float)
    y, x = np.indices(sheet.shape)
    centre = [(x * sheet).sum() / sheet.sum(), (y * sheet).sum() / sheet.sum()]
    assert fit_points(spot, *shape, 1024) == pytest.approx(centre, abs=0.3)


def test_the_trace_is_taught_where_it_is_printed(page, lessons):
    """The sheet is darker under what is taught as trace than around it."""
    dark = 255 - fit(page.image, 2 * SIDE).min(2).astype(float)
    cell = PATCH // FINE
    cells = dark.reshape(SIDE // cell, cell, 2 * SIDE // cell, cell).max((1, 3))
    taught = lessons.trace.numpy()
    around = np.roll(taught, 8, 0) > 128
    assert cells[taught > 128].mean() > cells[around & (taught == 0)].mean() + 40


def test_patches_know_whose_strip_they_lie_in(page, lessons):
    assert set(lessons.lead.unique().tolist()) == set(range(len(LEADS) + 1))
    for trace in page.truth.traces:
        middle = fit_points(trace.box.mean(0), *page.image.shape[:2], 2 * SIDE)
        column, row = ((middle + 0.5) // PATCH).astype(int)
        assert lessons.lead[row, column] == LEADS.index(trace.lead) + 1


def test_patches_know_the_height_of_the_trace(page, lessons):
    mv = np.concatenate([trace.mv[np.isfinite(trace.mv)] for trace in page.truth.traces])
    there = lessons.level.isfinite()
    drawn = lessons.trace.reshape(SIDE // PATCH, FINE, -1, FINE).amax((1, 3))
    assert (drawn[there] > 0).all()
    assert mv.min() <= lessons.level[there].min()
    assert 0.5 * mv.max() < lessons.level[there].max() <= mv.max()


def test_unknown_numbers_and_open_findings_teach_nothing(lessons):
    torch.manual_seed(0)
    pupil = Pupil(8, 8)
    patches, tokens = torch.randn(2, 1024, 8), torch.randn(1, 128, 8)
    open_ones = Lessons(*(getattr(lessons, name) for name in ("trace", "lead", "level")),
                        torch.full((len(LABELS),), -1, dtype=torch.int8), lessons.numbers)  # fmt: skip
    losses = pupil.losses(patches, tokens, stacked([open_ones]))
    assert losses["findings"] == 0
    assert losses["numbers"] == 0
    assert all(losses[name] > 0 for name in ("trace", "lead", "level"))


def test_halves_of_a_sheet_meet_again(lessons):
    """A pupil that says what is taught of each half is right about the sheet."""
    pupil = Pupil(3, 4)
    b, h = 2, SIDE // PATCH
    taught = stacked([lessons, lessons_of_mirrored(lessons)])
    fine = taught.trace.view(b, h, FINE, 2, h, FINE).permute(0, 3, 1, 4, 2, 5).reshape(2 * b, h * h, -1)
    lead = taught.lead.view(b, h, 2, h).transpose(1, 2).reshape(2 * b, h * h)
    one_hot = torch.nn.functional.one_hot(lead.long(), len(LEADS) + 2)
    level = taught.level.nan_to_num().view(b, h, 2, h).transpose(1, 2).reshape(2 * b, h * h, 1)
    said = torch.cat([torch.logit(fine.float() / 255, 1e-4), one_hot * 60.0, level], -1)
    pupil.patch = torch.nn.Identity()
    losses = pupil.losses(said, torch.zeros(b, 5, 4), taught)
    share = taught.trace.float() / 255
    assert losses["lead"] < 1e-6
    assert losses["level"] < 1e-6
    assert losses["trace"] == pytest.approx(float(binary_cross_entropy(share, share)), abs=1e-3)


def lessons_of_mirrored(lessons: Lessons) -> Lessons:
    flipped = (getattr(lessons, name).flip(1) for name in ("trace", "lead", "level"))
    return Lessons(*flipped, lessons.findings, lessons.numbers)


def test_numbers_count_from_their_middle_in_their_spread():
    numbers = np.random.default_rng(0).normal(70, 10, (400, 3))
    numbers[1:, 2] = np.nan
    spreads = Spreads.of(numbers)
    scaled = spreads.scale(numbers)
    assert np.median(scaled[:, 0]) == pytest.approx(0, abs=1e-6)
    assert np.std(scaled[:, 1]) == pytest.approx(1, abs=0.15)
    assert np.isnan(scaled[:, 2]).all()
    assert spreads.scale(np.array([1e6, -1e6, 0.0]))[:2].tolist() == [4.0, -4.0]


def test_places_differ_by_their_distance():
    places = numbered_places(torch.zeros(1024, 768)).view(32, 32, 768)
    near, far = (places[4, 4] - places[4, 5]).norm(), (places[4, 4] - places[20, 28]).norm()
    assert 0 < near < far
    assert len(places.flatten(0, 1).unique(dim=0)) == 1024
