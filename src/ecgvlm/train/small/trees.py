"""Boosted trees on the measurements and on the shapes of the median beat: what the network is weakest at.

A thousand records teach a network the look of a beat, but not well when an amplitude in one lead matters
beside one in another: trees rank infarcts and hypertrophies better, the network rhythms and what only the
strips show. Their logits are averaged. The trees are kept, exported and run as an ONNX graph.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ecgvlm.judge.findings import BEAT, NUMBERS
from ecgvlm.labels import LABELS

SHAPES = 100  # principal components of the median beat
TURN = "turn"  # the node that turns beats into shapes; trees do not bear its weights in 8 bits
ROUNDS = 300
# Held back: a few hundred positives, and several observations of each record.
SETTINGS = {
    "objective": "binary", "learning_rate": 0.03, "num_leaves": 20, "min_child_samples": 40,
    "lambda_l2": 20.0, "feature_fraction_bynode": 0.2, "verbose": -1, "deterministic": True,
    "num_threads": 1,
}  # fmt: skip


def fit_trees(
    beat: np.ndarray, numbers: np.ndarray, target: np.ndarray, weight: np.ndarray, seed: int
) -> onnx.ModelProto:
    """A graph (beat [B, 12, BEAT], numbers [B, NUMBERS]) -> trees [B, labels], logits.

    beat [n, 12, BEAT], numbers [n, NUMBERS]; target [n, labels]: 1, 0, -1 unknown; weight [n] of each
    observation.
    """
    import lightgbm
    from sklearn.decomposition import PCA

    flat = np.nan_to_num(beat.astype(np.float32)).reshape(len(beat), -1)
    shapes = PCA(SHAPES, random_state=seed).fit(flat)
    x = np.hstack([numbers, shapes.transform(flat)]).astype(np.float32)
    trees: list[list[dict]] = []
    for label in range(len(LABELS)):
        known = target[:, label] >= 0
        y = (target[known, label] == 1).astype(float)
        if y.any() and not y.all():
            data = lightgbm.Dataset(x[known], y, weight=weight[known] / weight[known].mean())
            booster = lightgbm.train(SETTINGS | {"seed": seed}, data, ROUNDS)
            trees.append([tree["tree_structure"] for tree in booster.dump_model()["tree_info"]])
        else:
            trees.append([])
    return _graph(shapes.components_.T, -shapes.mean_ @ shapes.components_.T, trees)


def _graph(components: np.ndarray, offset: np.ndarray, trees: list[list[dict]]) -> onnx.ModelProto:
    """components: [12 * BEAT, SHAPES], offset: [SHAPES]. trees: of each label, as LightGBM dumps them."""
    nodes = _Nodes()
    for label, own in enumerate(trees):
        for tree in own:
            nodes.add(tree, label)
    make = helper.make_node
    graph = helper.make_graph(
        [
            make("IsNaN", ["beat"], ["unknown"]),
            make("Where", ["unknown", "zero", "beat"], ["filled"]),
            make("Reshape", ["filled", "flat"], ["row"]),
            make("MatMul", ["row", "components"], ["turned"], name=TURN),
            make("Add", ["turned", "offset"], ["shapes"]),
            make("Concat", ["numbers", "shapes"], ["known"], axis=1),
            make("TreeEnsembleRegressor", ["known"], ["trees"], domain="ai.onnx.ml", **nodes.attributes()),
        ],
        "trees",
        [
            helper.make_tensor_value_info("beat", TensorProto.FLOAT, ["batch", 12, BEAT]),
            helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["batch", NUMBERS]),
        ],
        [helper.make_tensor_value_info("trees", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [
            numpy_helper.from_array(np.array(0, np.float32), "zero"),
            numpy_helper.from_array(np.array([-1, 12 * BEAT]), "flat"),
            numpy_helper.from_array(components.astype(np.float32), "components"),
            numpy_helper.from_array(offset.astype(np.float32), "offset"),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return model


class _Nodes:
    """Trees as the lists that ONNX's TreeEnsembleRegressor takes."""

    def __init__(self) -> None:
        self._rows: list[tuple] = []  # tree, node, feature, value, mode, true, false, unknown goes to true
        self._leaves: list[tuple] = []  # tree, node, label, weight
        self._trees = 0

    def add(self, tree: dict, label: int) -> None:
        self._numbers, self._tree = 0, self._trees
        self._trees += 1
        self._visit(tree, label)

    def _visit(self, node: dict, label: int) -> int:
        number = self._numbers
        self._numbers += 1
        if "leaf_value" in node:
            self._rows.append((self._tree, number, 0, 0.0, "LEAF", 0, 0, 0))
            self._leaves.append((self._tree, number, label, node["leaf_value"]))
            return number
        at = len(self._rows)
        self._rows.append(())
        left, right = (self._visit(node[side], label) for side in ("left_child", "right_child"))
        # Where no value was unknown in training, LightGBM reads an unknown one as 0.
        to_left = node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0
        self._rows[at] = (
            self._tree, number, node["split_feature"], node["threshold"], "BRANCH_LEQ", left, right,
            int(to_left),
        )  # fmt: skip
        return number

    def attributes(self) -> dict:
        tree, node, feature, value, mode, true, false, unknown = (list(x) for x in zip(*self._rows))
        leaf_tree, leaf, label, weight = (list(x) for x in zip(*self._leaves))
        return {
            "nodes_treeids": tree, "nodes_nodeids": node, "nodes_featureids": feature, "nodes_values": value,
            "nodes_modes": mode, "nodes_truenodeids": true, "nodes_falsenodeids": false,
            "nodes_missing_value_tracks_true": unknown, "target_treeids": leaf_tree, "target_nodeids": leaf,
            "target_ids": label, "target_weights": weight, "n_targets": len(LABELS),
        }  # fmt: skip


def tree_logits(model: onnx.ModelProto, beat: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """[n, labels]. beat: [n, 12, BEAT]; numbers: [n, NUMBERS]."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {"beat": beat.astype(np.float32), "numbers": numbers.astype(np.float32)}
    return session.run(None, inputs)[0]


def joined(network: onnx.ModelProto, trees: onnx.ModelProto, share: np.ndarray) -> onnx.ModelProto:
    """One graph (leads, beat, numbers) -> logits. share: [labels], the trees'; the rest is the network's."""
    trees = onnx.compose.add_prefix(trees, "trees.", rename_inputs=False)
    graph = network.graph
    output = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["network" if name == output else name for name in node.output]
    graph.node.extend(trees.graph.node)
    graph.initializer.extend(trees.graph.initializer)
    for name, value in (("share", share), ("rest", 1 - share)):
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    graph.node.extend([
        helper.make_node("Mul", ["network", "rest"], ["of_network"]),
        helper.make_node("Mul", ["trees.trees", "share"], ["of_trees"]),
        helper.make_node("Add", ["of_network", "of_trees"], [output]),
    ])  # fmt: skip
    network.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    onnx.checker.check_model(network)
    return network
