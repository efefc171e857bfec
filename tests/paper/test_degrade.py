import cv2
import numpy as np
import pytest
from gaussians import gaussian_record
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvlm.errors import UsageError
from ecgvlm.paper.degrade import _NODE, _camera, _height, _inverted, degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style

PAGE = render(gaussian_record(), page_style("classic", px_per_mm=3.4, trace_mm=0.6))


def ink_shift(page, reach: float = 2.5) -> float:
    """How far (px) across the true trace the darkest curve lies: 0 where picture and truth agree."""
    grey = cv2.cvtColor(page.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steps = np.arange(-reach, reach + 0.01, 0.25, dtype=np.float32)
    level = np.zeros(len(steps))
    for trace in page.truth.traces:
        along = np.gradient(trace.xy, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
        flat = np.abs(np.gradient(trace.mv)) < 0.004
        for i, step in enumerate(steps):
            at = (trace.xy + step * normal)[flat].astype(np.float32)
            level[i] += cv2.remap(grey, at[:, :1], at[:, 1:], cv2.INTER_LINEAR, borderValue=255).sum()
    ink = level.max() - level
    return float((ink * steps).sum() / ink.sum())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["scan", "photo"]))
def test_truth_moves_with_the_picture(seed, kind):
    page = degrade(PAGE, kind, seed)
    height, width = page.image.shape[:2]
    assert page.image.dtype == np.uint8
    assert abs(ink_shift(page)) < 0.6
    points = np.concatenate([trace.xy for trace in page.truth.traces])
    inside = ((points > -0.5) & (points < [width - 0.5, height - 0.5])).all(axis=1)
    assert inside.mean() > 0.95
    assert page.truth.mesh.shape == PAGE.truth.mesh.shape
    assert page.truth.pulses.shape == PAGE.truth.pulses.shape
    for before, after in zip(PAGE.truth.traces, page.truth.traces):
        np.testing.assert_array_equal(before.mv, after.mv)
        assert cv2.contourArea(after.box.astype(np.float32)) > 0.3 * cv2.contourArea(
            before.box.astype(np.float32)
        )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_inverse_map_undoes_the_camera(seed):
    rng = np.random.default_rng(seed)
    move, out_w, out_h = _camera(1600, 1100, 5.4, _height(1600, 1100, 5.4, rng), rng)
    nodes = _inverted(move, 1600, 1100, out_w, out_h)
    x, y = (cv2.resize(nodes[..., c], None, fx=_NODE, fy=_NODE)[:out_h, :out_w] for c in (0, 1))
    rows, cols = np.arange(20, out_h - 20, 37), np.arange(20, out_w - 20, 37)
    page = np.stack([x[np.ix_(rows, cols)], y[np.ix_(rows, cols)]], -1).reshape(-1, 2)
    target = np.stack(np.meshgrid(cols, rows), -1).reshape(-1, 2)
    on = ((page > 0) & (page < [1600, 1100])).all(axis=1)
    assert on.mean() > 0.2
    off = np.abs(move(page) - target)[on]
    assert np.percentile(off, 75) < 0.1
    assert off.max() < 3.0  # between two nodes that a fold parts, or creases of crumpled paper


def test_nothing_changes_with_none_and_same_seed_same_picture():
    assert degrade(PAGE, "clean", 3) is PAGE
    before = PAGE.image.copy()
    for kind in ("scan", "photo"):
        one, same, other = (degrade(PAGE, kind, seed) for seed in (5, 5, 6))
        np.testing.assert_array_equal(one.image, same.image)
        assert one.image.shape != other.image.shape or (one.image != other.image).any()
    np.testing.assert_array_equal(PAGE.image, before)


def test_unknown_kind_is_named():
    with pytest.raises(UsageError, match="fax"):
        degrade(PAGE, "fax")


def test_gaps_stay_gaps_after_a_warp():
    record = gaussian_record()
    record.signal[3, :1000] = np.nan
    page = render(record, page_style("classic", layout="12x1", px_per_mm=3.0))
    for kind in ("scan", "photo"):
        moved = degrade(page, kind, 0).truth
        for before, after in zip(page.truth.traces, moved.traces):
            np.testing.assert_array_equal(np.isnan(before.xy), np.isnan(after.xy))
