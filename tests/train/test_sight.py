from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from ecgvlm.judge.findings import NUMBERS, lead_numbers
from ecgvlm.labels import LABELS
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import page_style
from ecgvlm.record import LEADS
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.train.sight import (
    FINE,
    PATCH,
    WAVE_NAMES,
    Beats,
    Lessons,
    Pupil,
    Spreads,
    lessons_of,
    numbered_places,
    stacked,
    tile_of,
    tile_points,
)

SIDE = 512
BEATS = Beats(np.arange(0.4, 10, 0.8), {"P": (-0.16, -0.08), "QRS": (-0.05, 0.05)})
ABSENT, UNKNOWN = np.zeros(len(LABELS), np.int8), np.full(NUMBERS, np.nan, np.float32)


@pytest.fixture(scope="module")
def page():
    record, _ = simulate(random_simulation(np.random.default_rng(3), "normal"), 3)
    return print_page(record, "photo", 3, page_style("classic", layout="3x4+1R"))


@pytest.fixture(scope="module")
def lessons(page) -> Lessons:
    return lessons_of(page.truth, page.image.shape[:2], SIDE, BEATS, ABSENT, UNKNOWN)


@pytest.mark.parametrize("shape", [(600, 800), (520, 900), (512, 1024)])
def test_points_go_where_the_picture_goes(shape):
    picture = np.zeros((*shape, 3), np.uint8)
    spot = np.array([230.0, 120.0])
    picture[116:125, 226:235] = 255
    tile = tile_of(picture, SIDE)[..., 0].astype(float)
    y, x = np.indices(tile.shape)
    centre = [(x * tile).sum() / tile.sum(), (y * tile).sum() / tile.sum()]
    assert tile_points(spot, *shape, SIDE) == pytest.approx(centre, abs=0.3)


def test_the_trace_is_taught_where_it_is_printed(page, lessons):
    """The tile is darker under what is taught as trace than around it."""
    dark = 255 - tile_of(page.image, SIDE).min(2).astype(float)
    cell = PATCH // FINE
    cells = dark.reshape(SIDE // cell, cell, SIDE // cell, cell).max((1, 3))
    taught = lessons.trace.numpy()
    around = np.roll(taught, 8, 0) > 128
    assert cells[taught > 128].mean() > cells[around & (taught == 0)].mean() + 40


def test_patches_know_whose_strip_they_lie_in(page, lessons):
    assert set(lessons.lead.unique().tolist()) == set(range(len(LEADS) + 1))
    for trace in page.truth.traces:
        middle = tile_points(trace.box.mean(0), *page.image.shape[:2], SIDE)
        column, row = ((middle + 0.5) // PATCH).astype(int)
        assert lessons.lead[row, column] == LEADS.index(trace.lead) + 1


def test_patches_know_the_height_of_the_trace(page, lessons):
    mv = np.concatenate([trace.mv[np.isfinite(trace.mv)] for trace in page.truth.traces])
    there = lessons.level.isfinite()
    drawn = lessons.trace.reshape(SIDE // PATCH, FINE, -1, FINE).amax((1, 3))
    assert (drawn[there] > 0).all()
    assert mv.min() <= lessons.level[there].min()
    assert 0.5 * mv.max() < lessons.level[there].max() <= mv.max()


def test_patches_know_which_waves_they_show(page, lessons):
    """Along each strip, where the beats are; nothing where nothing is printed."""
    columns = (lessons.waves.numpy()[..., None] >> np.arange(FINE)) & 1  # [h, h, waves, FINE]
    assert not columns[~lessons.level.isfinite().numpy()].any()
    trace = next(trace for trace in page.truth.traces if trace.rhythm)
    xy = tile_points(trace.xy, *page.image.shape[:2], SIDE) + 0.5
    for k, wave in enumerate(WAVE_NAMES):
        shown = BEATS.shown(wave, trace.t) & np.isfinite(xy).all(1)
        assert shown.any() == (wave in BEATS.spans)
        x, y = xy[shown].T.astype(int)
        assert columns[y // PATCH, x // PATCH, k, x % PATCH * FINE // PATCH].all()
    qrs = columns[..., 1, :].sum() / (lessons.level.isfinite().sum() * FINE)
    assert 0.05 < qrs < 0.4


def test_waves_are_under_way_between_their_ends():
    t = np.array([0.0, 0.24, 0.3, 0.36, 0.44, 0.46, 1.2])
    assert BEATS.shown("P", t).tolist() == [False, False, True, False, False, False, False]
    assert BEATS.shown("QRS", t).tolist() == [False, False, False, True, True, False, True]
    assert not BEATS.shown("T", t).any()


def test_unknown_numbers_and_open_findings_teach_nothing(lessons):
    torch.manual_seed(0)
    pupil = Pupil(8, 8)
    patches, tokens = torch.randn(1, 1024, 8), torch.randn(1, 64, 8)
    open_ones = replace(lessons, findings=torch.full((len(LABELS),), -1, dtype=torch.int8))
    losses = pupil.losses(patches, tokens, stacked([open_ones]))
    silent = {"findings", "numbers", "strip", "page", "local"}
    assert {name for name, loss in losses.items() if loss == 0} == silent


def test_a_pupil_that_says_what_is_taught_is_right(lessons):
    """What a patch says is held against what is known of its place, its lead and its page."""
    b, h, far = 2, SIDE // PATCH, 60.0
    numbers = torch.randn(b, NUMBERS)
    findings = torch.arange(len(LABELS), dtype=torch.int8) % 2
    taught = stacked([lessons, Lessons(*(getattr(lessons, name).flip(0) for name in vars(lessons)))])
    taught = replace(taught, numbers=numbers, findings=findings.expand(b, -1))
    fine = taught.trace.view(b, h, FINE, h, FINE).transpose(2, 3).reshape(b, h * h, -1)
    whose = taught.lead.flatten(1).long()
    level = taught.level.nan_to_num().view(b, h * h, 1)
    waves = (taught.waves.view(b, h * h, 3, 1).int() >> torch.arange(FINE)) & 1
    own = torch.stack([torch.stack([n[lead_numbers(lead)] for lead in LEADS]) for n in numbers])
    strip = torch.stack([own[i][(whose[i] - 1).clamp(0, 11)] for i in range(b)])
    of_leads = {i for lead in LEADS for i in lead_numbers(lead)}
    page = numbers[:, [i for i in range(NUMBERS) if i not in of_leads]]
    said = torch.cat(
        [
            torch.logit(fine.float() / 255, 1e-4),
            torch.nn.functional.one_hot(whose, len(LEADS) + 2) * far,
            level,
            (waves.flatten(2) * 2 - 1) * far,
            strip,
            page[:, None].expand(-1, h * h, -1),
            ((findings.float() * 2 - 1) * far).expand(b, h * h, -1),
        ],
        -1,
    )
    pupil = Pupil(3, 4)
    pupil.patch = torch.nn.Identity()
    losses = pupil.losses(said, torch.zeros(b, 5, 4), taught)
    share = taught.trace.float() / 255
    for name in ("lead", "level", "waves", "strip", "page", "local"):
        assert losses[name] < 1e-6, name
    assert losses["trace"] == pytest.approx(float(binary_cross_entropy(share, share)), abs=1e-3)


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
