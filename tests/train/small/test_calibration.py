"""Calibration and thresholds on probabilities made up here."""

import numpy as np
import pytest

from ecgvlm.labels import LABELS

pytest.importorskip("torch")
from ecgvlm.train.small import calibration


def test_thresholds_call_the_share_that_is_asked_for():
    rng = np.random.default_rng(1)
    target = (rng.random((500, len(LABELS))) < 0.3).astype(np.int8)
    target[rng.random(target.shape) < 0.1] = -1
    p = (0.4 * target.clip(0) + 0.6 * rng.random(target.shape)).clip(0.001, 0.999)
    rare = LABELS.index("AFLT")
    target[:, rare] = np.arange(500) < calibration.FEW - 1
    own = np.full(len(LABELS), 0.37)
    curves = calibration.sensitive(p, target, own)
    assert list(curves) == [f"{share:g}" for share in calibration.SENSITIVITIES]
    for wanted in calibration.SENSITIVITIES:
        found = p >= curves[f"{wanted:g}"]
        for k, label in enumerate(LABELS):
            with_it, without = target[:, k] == 1, target[:, k] == 0
            if label in calibration.UNREMARKABLE:
                assert wanted <= 1 - found[without, k].mean() < wanted + 0.01
            elif k == rare:
                assert curves[f"{wanted:g}"][k] == own[k]
            else:
                assert wanted <= found[with_it, k].mean() < wanted + 0.02


def test_calibrated_probabilities_are_as_often_right_as_they_say():
    rng = np.random.default_rng(2)
    truth = rng.normal(-1, 2, (4000, len(LABELS)))
    target = (rng.random(truth.shape) < 1 / (1 + np.exp(-truth))).astype(np.int8)
    target[rng.random(target.shape) < 0.2] = -1
    logits = np.stack([truth / 3 + 1, rng.normal(0, 1, truth.shape)], 1).astype(np.float32)
    slopes, offset = calibration.calibrate(logits, target)
    p = 1 / (1 + np.exp(-((slopes * logits).sum(1) + offset)))
    assert (slopes[0] > 2).all()
    assert (slopes[1] < 0.4).all()  # what is only noise weighs little
    for k in range(len(LABELS)):
        sure = (p[:, k] > 0.8) & (target[:, k] >= 0)
        assert abs((target[sure, k] == 1).mean() - p[sure, k].mean()) < 0.03


def test_pages_learn_from_their_records_how_far_digitising_leans():
    rng = np.random.default_rng(5)
    names = np.concatenate([np.arange(300), np.arange(200)]).astype(str)
    kinds = np.array(["mask"] * 300 + ["scan"] * 200)
    true = rng.normal(0, 2, (300, len(LABELS)))
    leaning = true[:200] + 0.7 + rng.normal(0, 0.5, (200, len(LABELS)))
    p = 1 / (1 + np.exp(-np.concatenate([true, leaning])))
    offset = calibration.paper_offset(p, names, kinds)
    assert (offset < -0.4).all()
    mended = calibration.with_offset(p, offset, kinds)
    assert np.array_equal(mended[:300], p[:300])
    assert np.abs(mended[300:].mean(0) - p[:200].mean(0)).max() < 0.02
