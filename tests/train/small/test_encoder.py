"""The findings encoder on observations made up here: numbers that tell a label, waves that tell another."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from ecgvlm.judge.findings import BEAT, NUMBERS, SAMPLES
from ecgvlm.labels import LABELS

torch = pytest.importorskip("torch")
from ecgvlm.train.small import encoder as training  # noqa: E402

SB, NORM = LABELS.index("SB"), LABELS.index("NORM")


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> tuple[training.Pool, Path]:
    """240 records in folds 1 to 8; SB is a heart rate under 60, its label open in every seventh record."""
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
    file = tmp_path_factory.mktemp("pool") / "pool.npz"
    np.savez(
        file,
        leads=leads,
        beat=rng.normal(0, 1, (n, 12, BEAT)).astype(np.float16),
        numbers=numbers,
        target=target,
        fold=np.arange(n) % 8 + 1,
        name=np.arange(n).astype(str),
        kind=np.where(np.arange(n) // 8 % 2, "mask", "scan"),
    )
    return training.Pool.load([file]), file


def test_numbers_alone_find_a_threshold(pool):
    observed = pool[0]
    edges = np.nanpercentile(observed.numbers, training.QUANTILES, axis=0).T
    net = training.Encoder(torch.from_numpy(edges.astype(np.float32)))
    training.fit_numbers(net, observed)
    with torch.no_grad():
        logits = net.each(net._pieces(torch.from_numpy(observed.numbers)))[:, SB].numpy()
    rate = observed.numbers[:, 0]
    assert logits[rate < 0.55].min() > logits[rate > 0.65].max()


def test_rhythms_do_not_look_at_the_waves_of_leads(pool):
    net = training.train_member(pool[0], seed=0, epochs=1, rate=1e-3, log=None, batch=32)
    numbers = torch.from_numpy(pool[0].numbers[:4])
    leads, beat = (torch.from_numpy(x[:4].astype(np.float32)) for x in (pool[0].leads, pool[0].beat))
    with torch.no_grad():
        before, after = net(leads, beat, numbers), net(leads * 3, beat * 3, numbers)
    for label in training.BY_NUMBERS:
        k = LABELS.index(label)
        assert torch.equal(before[:, k], after[:, k])
    assert not torch.allclose(before[:, NORM], after[:, NORM])


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


def test_two_runs_with_one_seed_are_the_same(pool):
    nets = [training.train_member(pool[0], seed=3, epochs=1, rate=1e-3, log=None, batch=32) for _ in range(2)]
    for a, b in zip(nets[0].parameters(), nets[1].parameters()):
        assert torch.equal(a, b)


def test_the_reported_fold_changes_nothing(pool, tmp_path, monkeypatch):
    """With other labels in fold 8 the run writes the same network, calibration and thresholds."""
    arrays = dict(np.load(pool[1]))
    arrays["target"] = np.where(arrays["fold"][:, None] == 8, 1, arrays["target"])
    np.savez(tmp_path / "other.npz", **arrays)
    for name, file in (("a", pool[1]), ("b", tmp_path / "other.npz")):
        words = ["encoder", "--pool", file, "--out", tmp_path / name, "--members", 1, "--epochs", 1]
        monkeypatch.setattr("sys.argv", [str(word) for word in words])
        training.main()
    for part in ("encoder.onnx", "encoder.json"):
        assert (tmp_path / "a" / part).read_bytes() == (tmp_path / "b" / part).read_bytes()
    session = onnxruntime.InferenceSession(tmp_path / "a" / "encoder.onnx")
    net = training.Encoder()
    net.load_state_dict(torch.load(tmp_path / "a" / "member0.pt", weights_only=True))
    views = [x[:8].astype(np.float32) for x in (pool[0].leads, pool[0].beat, pool[0].numbers)]
    (logits,) = session.run(None, dict(zip(("leads", "beat", "numbers"), views)))
    trees = onnx.load(tmp_path / "a" / "trees.onnx")
    assert np.allclose(logits, training.judged(net.eval(), trees, pool[0])[:8], atol=1e-4)
