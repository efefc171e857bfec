"""The findings encoder on observations made up here: numbers that tell a label, waves that tell another."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from ecgvlm.judge.findings import BEAT, NUMBERS, SAMPLES
from ecgvlm.labels import LABELS

torch = pytest.importorskip("torch")
from ecgvlm.train.small import encoder as training  # noqa: E402
from ecgvlm.train.small.pool import GROUPS, Pool  # noqa: E402
from ecgvlm.train.small.trees import tree_logits  # noqa: E402

SB, NORM = LABELS.index("SB"), LABELS.index("NORM")


class Signals:
    """Whole records of noise, whatever their names."""

    def of(self, names: np.ndarray) -> np.ndarray:
        return np.random.default_rng(4).normal(0, 0.1, (len(names), 12, SAMPLES)).astype(np.float32)


@pytest.fixture(scope="module")
def pool() -> Pool:
    """240 records of 5 groups; SB is a heart rate under 60, its label open in every seventh record."""
    rng = np.random.default_rng(0)
    n = 240
    numbers = rng.normal(0, 1, (n, NUMBERS)).astype(np.float32)
    numbers[:, 0] = rng.uniform(0.4, 1.2, n)
    numbers[rng.random((n, NUMBERS)) < 0.05] = np.nan
    target = np.zeros((n, len(LABELS)), np.int8)
    target[:, SB] = numbers[:, 0] < 0.6
    target[::7, SB] = -1
    target[:, NORM] = rng.random(n) < 0.5
    leads = rng.normal(0, 0.1, (n, 12, SAMPLES)).astype(np.float16)
    leads[:, 6:, 500:] = np.nan
    return Pool(
        leads=leads,
        beat=rng.normal(0, 1, (n, 12, BEAT)).astype(np.float16),
        numbers=numbers,
        target=target,
        fold=np.full(n, 10),
        group=np.arange(n) % GROUPS,
        name=np.arange(n).astype(str),
        kind=np.where(np.arange(n) // 8 % 2, "mask", "scan"),
        estimated=np.arange(n) % 3 == 0,
    )


def test_thresholds_call_the_share_that_is_asked_for():
    rng = np.random.default_rng(1)
    target = (rng.random((500, len(LABELS))) < 0.3).astype(np.int8)
    target[rng.random(target.shape) < 0.1] = -1
    p = (0.4 * target.clip(0) + 0.6 * rng.random(target.shape)).clip(0.001, 0.999)
    rare = LABELS.index("AFLT")
    target[:, rare] = np.arange(500) < training.FEW - 1
    own = np.full(len(LABELS), 0.37)
    curves = training.sensitive(p, target, own)
    assert list(curves) == [f"{share:g}" for share in training.SENSITIVITIES]
    for wanted in training.SENSITIVITIES:
        found = p >= curves[f"{wanted:g}"]
        for k, label in enumerate(LABELS):
            with_it, without = target[:, k] == 1, target[:, k] == 0
            if label in training.UNREMARKABLE:
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
    slopes, offset = training.calibrate(logits, target)
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
    offset = training.paper_offset(p, names, kinds)
    assert (offset < -0.4).all()
    mended = training.with_offset(p, offset, kinds)
    assert np.array_equal(mended[:300], p[:300])
    assert np.abs(mended[300:].mean(0) - p[:200].mean(0)).max() < 0.02


def test_two_runs_with_one_seed_are_the_same(pool):
    nets = [
        training.train_network(pool, Signals(), seed=3, epochs=1, rate=1e-3, log=None, batch=32)
        for _ in range(2)
    ]
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        assert torch.equal(a, b)


def test_what_was_printed_again_is_of_the_same_record():
    signals = np.arange(6)[:, None, None] * np.ones((6, 12, SAMPLES))
    shown = training.reprinted(signals, np.random.default_rng(0))
    assert np.isfinite(shown).any(axis=2).all()
    assert np.isnan(shown).any()
    assert np.allclose(np.nanmean(shown, axis=(1, 2)), np.arange(6), atol=0.05)


def test_no_group_is_judged_by_what_saw_it(pool, tmp_path, monkeypatch):
    """With other labels in one group its own logits stay; the exported graph is the mean of all networks."""
    monkeypatch.setattr(training, "Signals", lambda records: Signals())
    monkeypatch.setattr(training, "GROUPS", 2)
    halves = replace(pool, group=np.arange(len(pool.fold)) % 2)
    other = np.where((halves.group == 1)[:, None], 1 - halves.target.clip(0), halves.target).astype(np.int8)
    kept = {}
    for name, target in (("a", halves.target), ("b", other)):
        monkeypatch.setattr(training, "load_pool", lambda *_, t=target: replace(halves, target=t))
        words = [
            "encoder",
            "--pool",
            "x",
            "--records",
            "x",
            "--out",
            tmp_path / name,
            "--epochs",
            1,
        ]
        monkeypatch.setattr("sys.argv", [str(word) for word in words])
        training.main()
        kept[name] = np.load(tmp_path / name / "out_of_fold.npz")
    group = kept["a"]["group"]
    assert np.array_equal(kept["a"]["logits"][group == 1], kept["b"]["logits"][group == 1])
    assert not np.array_equal(kept["a"]["logits"][group == 0], kept["b"]["logits"][group == 0])

    session = onnxruntime.InferenceSession(tmp_path / "a" / "encoder.onnx")
    views = [x[:8].astype(np.float32) for x in (pool.leads, pool.beat, pool.numbers)]
    (logits,) = session.run(None, dict(zip(("leads", "beat", "numbers"), views)))
    nets = []
    for group in range(2):
        nets.append(training.Encoder())
        nets[-1].load_state_dict(torch.load(tmp_path / "a" / f"network{group}.pt", weights_only=True))
    both = np.stack(
        [
            training.network_logits(training.Ensemble(nets).eval(), pool.where(np.arange(8))),
            tree_logits(onnx.load(tmp_path / "a" / "trees.onnx"), pool.beat[:8], pool.numbers[:8]),
        ],
        1,
    )
    slopes, offset = training.calibrate(kept["a"]["logits"], kept["a"]["target"])
    card = json.loads((tmp_path / "a" / "encoder.json").read_text())
    calibrated = np.array(card["slope"]) * logits + np.array(card["offset"])
    assert np.allclose(calibrated, (slopes * both).sum(1) + offset, atol=1e-3)
