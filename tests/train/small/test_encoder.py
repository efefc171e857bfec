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
from ecgvlm.train.small.calibration import calibrate  # noqa: E402
from ecgvlm.train.small.network import Ensemble, Network  # noqa: E402
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


def test_two_runs_with_one_seed_are_the_same(pool):
    nets = [
        training.train_network(pool, Signals(), seed=3, epochs=1, rate=1e-3, log=None, batch=32)
        for _ in range(2)
    ]
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        assert torch.equal(a, b)


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
        nets.append(Network())
        nets[-1].load_state_dict(torch.load(tmp_path / "a" / f"network{group}.pt", weights_only=True))
    both = np.stack(
        [
            training.network_logits(Ensemble(nets).eval(), pool.where(np.arange(8))),
            tree_logits(onnx.load(tmp_path / "a" / "trees.onnx"), pool.beat[:8], pool.numbers[:8]),
        ],
        1,
    )
    slopes, offset = calibrate(kept["a"]["logits"], kept["a"]["target"])
    card = json.loads((tmp_path / "a" / "encoder.json").read_text())
    calibrated = np.array(card["slope"]) * logits + np.array(card["offset"])
    assert np.allclose(calibrated, (slopes * both).sum(1) + offset, atol=1e-3)

    exported = onnx.load(tmp_path / "a" / "encoder.onnx")
    again = training.members_out_of_fold(halves, halves, exported, tmp_path / "a")
    assert np.allclose(again, kept["a"]["logits"], atol=1e-3)
