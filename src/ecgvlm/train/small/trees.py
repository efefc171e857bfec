"""Boosted trees on the measurements and on the shapes of the median beat: what the network is weakest at.

A thousand records teach a network the look of a beat, but not well when an amplitude in one lead matters
beside one in another: trees rank infarcts and hypertrophies better, the network rhythms and what only the
strips show. Their logits are averaged. The trees are kept, exported and run as an ONNX graph.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

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


def in_gathers(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its TreeEnsembleRegressor as plain look-ups: all trees are walked down at once, a level
    a step.

    Small batches take as long, but the graph loads in no time and takes a tenth of the memory: ONNX Runtime
    keeps the attributes of an ensemble several times over.
    """
    model = copy.deepcopy(model)
    graph = model.graph
    at = [node.op_type for node in graph.node].index("TreeEnsembleRegressor")
    ensemble = graph.node[at]
    (known,), (logits,) = ensemble.input, ensemble.output
    walk, tables = _walk(_Table.of(ensemble), known, logits)
    del graph.node[at]
    for k, node in enumerate(walk):
        graph.node.insert(at + k, node)
    graph.initializer.extend(numpy_helper.from_array(table, name) for name, table in tables.items())
    onnx.checker.check_model(model)
    return model


@dataclass(frozen=True)
class _Table:
    """Nodes of trees, one after the other from each root down its left branches first: a left child follows
    its parent. feature, threshold, right [nodes]: where a number that is not beyond the threshold leads on to
    the next node, and any other to `right`; a leaf leads to itself. unknown_right [nodes]: whether an unknown
    number counts as beyond. weight [nodes]: of leaves. roots [labels, trees]; depth: of the deepest."""

    feature: np.ndarray
    threshold: np.ndarray
    right: np.ndarray
    unknown_right: np.ndarray
    weight: np.ndarray
    roots: np.ndarray
    depth: int

    @classmethod
    def of(cls, ensemble: onnx.NodeProto) -> _Table:
        """From a TreeEnsembleRegressor as `_graph` writes it."""
        given = {x.name: helper.get_attribute_value(x) for x in ensemble.attribute}
        tree, node = np.array(given["nodes_treeids"]), np.array(given["nodes_nodeids"])
        starts = np.flatnonzero(node == 0)  # of the trees, which are numbered in order
        leaf = np.array([mode == b"LEAF" for mode in given["nodes_modes"]])
        row = np.arange(len(node))
        right = np.where(leaf, row, starts[tree] + np.array(given["nodes_falsenodeids"]))
        assert (np.array(given["nodes_truenodeids"]) == node + 1)[~leaf].all()
        weight, label = np.zeros(len(node) + 1), np.zeros(len(starts), int)
        leaf_tree = np.array(given["target_treeids"])
        weight[starts[leaf_tree] + np.array(given["target_nodeids"])] = given["target_weights"]
        label[leaf_tree] = given["target_ids"]
        own = [starts[label == k] for k in range(given["n_targets"])]
        roots = np.full((len(own), max(map(len, own))), len(node))  # what is missing is a leaf of no weight
        for line, trees in zip(roots, own):
            line[: len(trees)] = trees
        level = np.zeros(len(node), int)
        for k in row[~leaf]:
            level[k + 1] = level[right[k]] = level[k] + 1
        return cls(
            np.append(given["nodes_featureids"], 0),
            np.append(np.where(leaf, -np.inf, given["nodes_values"]), -np.inf),
            np.append(right, len(node)),
            np.append(1 - np.array(given["nodes_missing_value_tracks_true"]), 0).astype(bool),
            weight,
            roots,
            int(level.max()),
        )


def _walk(table: _Table, known: str, logits: str) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """The nodes that make `logits` of `known` ([B, numbers], NaN where unknown), and their constants."""
    make = helper.make_node
    labels, trees = table.roots.shape
    # Unknown numbers are low ones in the first copy of all numbers, and high ones in the second.
    nodes = [
        make("Shape", [known], ["size"]),
        make("Gather", ["size", "first"], ["batch"]),
        make("Gather", ["size", "second"], ["width"]),
        make("Cast", ["width"], ["width32"], to=TensorProto.INT32),
        make("Mul", ["unknown_right", "width32"], ["further"]),
        make("Add", ["feature", "further"], ["column"]),
        make("IsNaN", [known], ["is_unknown"]),
        make("Where", ["is_unknown", "low", known], ["with_low"]),
        make("Where", ["is_unknown", "high", known], ["with_high"]),
        make("Concat", ["with_low", "with_high"], ["values"], axis=1),
        make("Concat", ["batch", "one64"], ["shape"], axis=0),
        make("Expand", ["roots", "shape"], ["at0"]),
    ]
    for k in range(table.depth):
        nodes += [
            make("Gather", ["column", f"at{k}"], [f"column{k}"]),
            make("GatherElements", ["values", f"column{k}"], [f"value{k}"], axis=1),
            make("Gather", ["threshold", f"at{k}"], [f"threshold{k}"]),
            make("LessOrEqual", [f"value{k}", f"threshold{k}"], [f"left{k}"]),
            make("Add", [f"at{k}", "one"], [f"next{k}"]),
            make("Gather", ["right", f"at{k}"], [f"right{k}"]),
            make("Where", [f"left{k}", f"next{k}", f"right{k}"], [f"at{k + 1}"]),
        ]
    nodes += [
        make("Gather", ["weight", f"at{table.depth}"], ["weights"]),
        make("Reshape", ["weights", "by_label"], ["of_label"]),
        make("ReduceSum", ["of_label", "last"], [logits], keepdims=0),
    ]
    most = np.float32(3e38)
    constants = {
        "first": np.array([0]), "second": np.array([1]), "one64": np.array([1]), "last": np.array([2]),
        "by_label": np.array([0, labels, trees]), "one": np.array(1, np.int32), "low": -most, "high": most,
        "roots": table.roots.reshape(1, -1).astype(np.int32),
        "feature": table.feature.astype(np.int32), "unknown_right": table.unknown_right.astype(np.int32),
        "threshold": table.threshold.astype(np.float32), "right": table.right.astype(np.int32),
        "weight": table.weight.astype(np.float32),
    }  # fmt: skip
    return nodes, {name: np.asarray(value) for name, value in constants.items()}


def joined(network: onnx.ModelProto, trees: onnx.ModelProto, share: np.ndarray) -> onnx.ModelProto:
    """One graph (leads, beat, numbers) -> logits. share: [labels], the trees'; the rest is the network's."""
    trees = onnx.compose.add_prefix(in_gathers(trees), "trees.", rename_inputs=False)
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
