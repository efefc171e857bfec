"""The layers lie where the page was printed."""

import json

import numpy as np
import pytest
from pages import digitized, page

from ecgvlm.errors import EcgError
from ecgvlm.reader import Answer
from ecgvlm.show.overlay import draw_overlay, find_overlay

FS = 500.0


@pytest.fixture(scope="module")
def answer() -> Answer:
    found = digitized("photo")
    return Answer("a.png", "?", 0.1, page=found)


def test_layers_name_every_strip_and_beat(answer):
    overlay = find_overlay(answer)
    assert [lead.lead for lead in overlay.leads] == [strip.lead for strip in answer.page.strips]
    assert {beat.t for beat in overlay.beats} == set(answer.measurements.beats)
    assert {interval.name for interval in overlay.intervals} >= {"QRS", "T"}


def test_the_mesh_lies_on_the_printed_grid():
    """On a page without distortion the mesh runs along the red lines of the 5-mm grid."""
    printed = page("clean")
    found = digitized("clean")
    mesh = find_overlay(Answer("a", "?", 0.1, page=found)).mesh
    points = mesh.points.reshape(mesh.rows, mesh.columns, 2)
    assert np.diff(points[..., 0], axis=1) == pytest.approx(5 * found.px_per_mm, abs=1)
    assert np.diff(points[..., 1], axis=0) == pytest.approx(5 * found.px_per_mm, abs=1)
    h, w = printed.image.shape[:2]
    column, row = points[mesh.rows // 2, :, 0], points[:, mesh.columns // 2, 1]
    redness = printed.image[..., 0].astype(int) - printed.image[..., 1]
    across, down = redness.mean(0), redness.mean(1)
    on_x = [across[round(x) - 1 : round(x) + 2].max() for x in column if 2 < x < w - 3]
    on_y = [down[round(y) - 1 : round(y) + 2].max() for y in row if 2 < y < h - 3]
    assert np.median(on_x) > 1.3 * np.median(across)
    assert np.median(on_y) > 1.3 * np.median(down)


def test_a_beat_lies_on_its_trace(answer):
    overlay = find_overlay(answer)
    for beat in overlay.beats:
        traces = [trace for trace in overlay.traces if (trace.lead, trace.rhythm) == (beat.lead, beat.rhythm)]
        points = np.concatenate([line for trace in traces for line in trace.lines])
        # A steep QRS may leave a gap, which its peak is laid across.
        assert np.hypot(*(points - beat.at).T).min() < 3 * answer.page.px_per_mm


def test_json_is_plain_and_complete(answer):
    layers = json.loads(json.dumps(find_overlay(answer).to_dict()))
    assert set(layers) >= {"mesh", "leads", "traces", "beats", "intervals"}
    assert len(layers["mesh"]["points"]) == layers["mesh"]["rows"] * layers["mesh"]["columns"]
    assert len(layers["leads"]) == len(answer.page.strips)


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
