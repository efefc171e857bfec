"""The layers lie where the page was printed."""

import json

import numpy as np
import pytest
from pages import page

from ecgvlm.digitize import Digitizer
from ecgvlm.measure import measure
from ecgvlm.overlay import draw_overlay, find_overlay
from ecgvlm.reader import Answer
from ecgvlm.record import EcgError

FS = 500.0


@pytest.fixture(scope="module")
def answer() -> Answer:
    found = Digitizer(threads=1)(page("photo").image)
    return Answer("a.png", "?", 0.1, page=found, measurements=measure(found.leads(FS), FS))


def test_layers_name_every_strip_and_beat(answer):
    overlay = find_overlay(answer)
    assert [lead.lead for lead in overlay.leads] == [strip.lead for strip in answer.page.strips]
    assert {beat.beat for beat in overlay.beats} == set(range(len(answer.measurements.beats)))
    qrs = [interval for interval in overlay.intervals if interval.kind == "QRS"]
    assert qrs
    assert all(interval.ms == pytest.approx(answer.measurements.qrs_ms, abs=10) for interval in qrs)


def test_px_to_mm_measures_the_paper(answer):
    """Ten millimetres of paper are ten millimetres to the calipers, in both directions."""
    grid = find_overlay(answer).grid
    flat = np.c_[grid.nodes.reshape(-1, 2), np.ones(grid.nodes.size // 2)] @ grid.px_to_mm.T
    mm = (flat[:, :2] / flat[:, 2:]).reshape(grid.nodes.shape)
    assert np.diff(mm, axis=1)[..., 0] == pytest.approx(grid.step_mm, abs=0.5)
    assert np.diff(mm, axis=0)[..., 1] == pytest.approx(grid.step_mm, abs=0.5)


def test_a_beat_lies_on_its_trace_and_in_its_lead(answer):
    overlay = find_overlay(answer)
    for beat in overlay.beats:
        points = np.concatenate([trace.points for trace in overlay.traces if trace.lead == beat.lead])
        # A steep QRS may leave a gap, which its peak is laid across.
        assert np.hypot(*(points - beat.point).T).min() < 3 * answer.page.px_per_mm


def test_json_is_plain_and_complete(answer):
    layers = json.loads(json.dumps(find_overlay(answer).to_dict()))
    assert set(layers) >= {"picture", "leads", "traces", "beats", "intervals", "grid"}
    assert layers["picture"] == list(answer.page.picture)
    assert np.array(layers["grid"]["px_to_mm"]) == pytest.approx(find_overlay(answer).grid.px_to_mm)


def test_drawing_changes_the_copy_only(answer):
    picture = page("photo").image
    before = picture.copy()
    drawn = draw_overlay(picture, answer)
    assert drawn.shape == picture.shape
    assert (drawn != picture).any()
    assert (picture == before).all()


def test_an_unread_page_has_no_layers():
    with pytest.raises(ValueError, match="could not be read"):
        find_overlay(Answer("a.png", "?", 0.1, error=EcgError("not_an_ecg", "no")))
