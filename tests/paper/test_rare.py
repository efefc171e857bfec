"""Pages that are rarely printed: what they look like, and that their truth is theirs."""

import cv2
import numpy as np
import pytest
from gaussians import gaussian_record

from ecgvlm.errors import UsageError
from ecgvlm.paper.rare import RARE, rare_page
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.record import LEADS


@pytest.mark.parametrize("look", RARE)
def test_traces_lie_on_ink(look):
    page = rare_page(gaussian_record(), 3, look, "clean")
    grey = cv2.cvtColor(page.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    for trace in page.truth.traces:
        points = trace.xy[np.isfinite(trace.xy).all(1)].astype(np.float32)
        on = cv2.remap(grey, points[:, :1], points[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        assert abs(np.median(grey) - on.mean()) > 60 or np.median(grey) < 100


def test_faxes_have_a_grid_as_dark_as_ink():
    blacks = []
    for seed in range(4):
        page = rare_page(gaussian_record(), seed, "fax")
        assert np.ptp(page.image, axis=2).max() <= 40  # no colour but JPEG's
        blacks.append((page.image[..., 1] < 100).mean())
    assert max(blacks) > 0.05  # far more than traces and names


def test_dense_rows_run_through_each_other():
    page = rare_page(gaussian_record(), 0, "dense", "clean")
    boxes = np.array([trace.box for trace in page.truth.traces])
    high = (boxes[:, 3, 1] - boxes[:, 0, 1]) / page.truth.px_per_mm
    assert high.max() <= 18
    assert page.truth.mm_per_mv == 10


def test_columns_may_be_narrow():
    for seed in range(4):
        page = rare_page(gaussian_record(), seed, "narrow", "clean")
        columns = [np.ptp(t.box[:, 0]) / page.truth.px_per_mm for t in page.truth.traces if not t.rhythm]
        assert min(columns) > 11.9
        assert max(columns) < 32


def test_paper_without_a_grid_says_so():
    assert not rare_page(gaussian_record(), 0, "blank", "photo").truth.ruled
    assert rare_page(gaussian_record(), 0, "coarse", "photo").truth.ruled


def test_further_leads_are_named():
    leads = {
        t.lead
        for seed in range(6)
        for t in rare_page(gaussian_record(), seed, "further", "clean").truth.traces
    }
    assert leads - set(LEADS) <= {"V3R", "V4R", "V5R", "V6R", "V7", "V8", "V9"}
    assert len(leads - set(LEADS)) >= 4


def test_notes_of_every_speed_are_known():
    style = page_style("classic", template="scale", mm_per_s=12.5, mm_per_mv=2.5)
    assert render(gaussian_record(), style).truth.notes == ("12.5 mm/s", "2.5 mm/mV")


def test_names_may_follow_their_strips():
    style = page_style("classic", layout="6x2", names_after=True, name_at=(0.5, 3.0), gap=12.0)
    for trace in render(gaussian_record(), style).truth.traces:
        assert trace.name_box[:, 0].min() > trace.box[1, 0]


def test_spelling_makes_names_longer():
    def width(spelling: str) -> float:
        style = page_style("classic", spelling=spelling)
        box = next(t.name_box for t in render(gaussian_record(), style).truth.traces if t.lead == "V4")
        return float(np.ptp(box[:, 0]))

    assert width("plain") < width("colon") < width("lead")
    assert width("plain") < width("spaced")


def test_other_looks_are_refused():
    with pytest.raises(UsageError, match="choose from fax"):
        rare_page(gaussian_record(), 0, "rainbow")
