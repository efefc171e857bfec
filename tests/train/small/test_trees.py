"""Boosted trees as a graph: what LightGBM itself predicts, unknown numbers included."""

import numpy as np
import onnx
import pytest
from running import run

from ecgvlm.judge.findings import BEAT, NUMBERS
from ecgvlm.labels import LABELS

lightgbm = pytest.importorskip("lightgbm")
from ecgvlm.train.small import trees  # noqa: E402


def observations(n: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first label is a rate under 60 or an unknown PR; the second label is unknown there."""
    rng = np.random.default_rng(3)
    beat = rng.normal(0, 0.3, (n, 12, BEAT)).astype(np.float16)
    beat[rng.random((n, 12)) < 0.1] = np.nan
    numbers = rng.normal(1, 0.4, (n, NUMBERS)).astype(np.float32)
    numbers[rng.random(numbers.shape) < 0.2] = np.nan
    target = np.zeros((n, len(LABELS)), np.int8)
    target[:, 0] = (numbers[:, 0] < 0.6) | np.isnan(numbers[:, 3])
    target[:, 1] = np.where(target[:, 0] == 1, -1, numbers[:, 1] > 1)
    return beat, numbers, target


def test_the_graph_predicts_what_lightgbm_does(monkeypatch):
    boosters, seen = [], []

    def train(settings, data, rounds):
        seen.append(np.array(data.data))
        boosters.append(grow(settings, data, rounds))
        return boosters[-1]

    grow = lightgbm.train
    monkeypatch.setattr(lightgbm, "train", train)
    beat, numbers, target = observations()
    model = trees.fit_trees(beat, numbers, target, np.ones(len(beat)), seed=0)
    assert len(boosters) == 2  # the other labels have no example
    found = trees.tree_logits(model, beat, numbers)
    assert found[:, 0] == pytest.approx(boosters[0].predict(seen[0], raw_score=True), abs=1e-3)
    known = target[:, 1] >= 0
    assert found[known, 1] == pytest.approx(boosters[1].predict(seen[1], raw_score=True), abs=1e-3)
    assert not found[:, 2:].any()
    assert trees.tree_logits(trees.in_look_ups(model), beat, numbers) == pytest.approx(found, abs=1e-4)
    clear = np.abs(found[:, 0]) > 1
    assert clear.mean() > 0.5
    assert (found[clear, 0] > 0).tolist() == (target[clear, 0] == 1).tolist()


def test_joined_graphs_give_the_weighted_mean():
    beat, numbers, target = observations(300)
    model = trees.fit_trees(beat, numbers, target, np.ones(len(beat)), seed=0)
    make = onnx.helper.make_node
    value = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [make("ReduceMax", ["leads"], ["top"], axes=[1, 2], keepdims=0),
         make("Mul", ["top", "ones"], ["logits"])],
        "network",
        [value("leads", kind, ["batch", 12, 5]), value("beat", kind, ["batch", 12, BEAT])],
        [value("logits", kind, [1, len(LABELS)])],
        [onnx.numpy_helper.from_array(np.ones((1, len(LABELS)), np.float32), "ones")],
    )  # fmt: skip
    network = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    share = np.linspace(0, 1, len(LABELS))
    both = trees.joined(network, model, share)
    leads = np.full((1, 12, 5), 2.0, np.float32)
    inputs = {"leads": leads, "beat": beat[:1].astype(np.float32), "numbers": numbers[:1]}
    (found,) = run(both.SerializeToString(), **inputs)
    wanted = (1 - share) * 2.0 + share * trees.tree_logits(model, beat[:1], numbers[:1])
    assert found == pytest.approx(wanted, abs=1e-5)
