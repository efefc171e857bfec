"""Boosted trees on the measurements, details and shapes of the median beat: what the network is weakest at.

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

SHAPES = 60  # principal components of the median beat
TURN = "turn"  # the node that turns beats into shapes; trees do not bear its weights in 8 bits
ROUNDS = 300
# Held back: a few hundred positives, and several observations of each record.
SETTINGS = {
    "objective": "binary", "learning_rate": 0.03, "num_leaves": 20, "min_child_samples": 40,
    "lambda_l2": 20.0, "feature_fraction": 0.3, "feature_fraction_bynode": 0.6, "max_bin": 63, "verbose": -1,
    "deterministic": True, "num_threads": 1,
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


def in_look_ups(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its TreeEnsembleRegressor as plain look-ups: all trees are walked down at once, a level
    a step.

    It loads in no time and takes a tenth of the memory: ONNX Runtime keeps an ensemble's attributes several
    times over. Of large batches the ensemble is the quicker one.
    """
    model = copy.deepcopy(model)
    nodes = list(model.graph.node)
    at = [node.op_type for node in nodes].index("TreeEnsembleRegressor")
    table = _Table.of(nodes[at])
    walk, constants = _walk(table, nodes[at].input[0], nodes[at].output[0])
    del model.graph.node[:]
    model.graph.node.extend([*nodes[:at], *walk, *nodes[at + 1 :]])
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.checker.check_model(model)
    return model


@dataclass(frozen=True)
class _Table:
    """The nodes of trees, level by level: first the roots, of as many trees for each label.

    feature, threshold [nodes]: where a number is beyond the threshold, its tree goes on at `child`, else at
    the node after that; a leaf leads to itself. unknown_beyond [nodes]: whether an unknown number counts as
    beyond. weight [nodes]: of leaves. roots, labels: how many; depth: levels below the roots.
    """

    feature: np.ndarray
    threshold: np.ndarray
    unknown_beyond: np.ndarray
    child: np.ndarray
    weight: np.ndarray
    roots: int
    labels: int
    depth: int

    @classmethod
    def of(cls, ensemble: onnx.NodeProto) -> _Table:
        """From a TreeEnsembleRegressor whose trees, one after the other, have nodes numbered in order."""
        given = {x.name: helper.get_attribute_value(x) for x in ensemble.attribute}
        start = np.flatnonzero(np.array(given["nodes_nodeids"]) == 0)
        tree, labels = np.array(given["nodes_treeids"]), given["n_targets"]
        left, right = (start[tree] + given[f"nodes_{side}nodeids"] for side in ("true", "false"))
        leaf = np.array([mode == b"LEAF" for mode in given["nodes_modes"]] + [True])
        weight, label = np.zeros(len(leaf)), np.zeros(len(start), int)
        weight[start[given["target_treeids"]] + given["target_nodeids"]] = given["target_weights"]
        label[given["target_treeids"]] = given["target_ids"]
        roots = np.full((labels, np.bincount(label).max()), len(leaf) - 1)  # none: a leaf of no weight
        for k, own in enumerate(roots):
            own[: (label == k).sum()] = start[label == k]
        levels, child, here = [roots.ravel()], [], 0
        while len(level := levels[-1]):
            inner = ~leaf[level]
            below = here + len(level) + 2 * (np.cumsum(inner) - 1)
            child.append(np.where(inner, below, here + np.arange(len(level))))
            here += len(level)
            levels.append(np.stack([right[level[inner]], left[level[inner]]], 1).ravel())
        at = np.concatenate(levels)
        split = np.minimum(at, len(leaf) - 2)
        return cls(
            np.where(leaf[at], 0, np.array(given["nodes_featureids"])[split]),
            np.where(leaf[at], -np.inf, np.array(given["nodes_values"])[split]),
            np.where(leaf[at], 0, 1 - np.array(given["nodes_missing_value_tracks_true"])[split]),
            np.concatenate(child),
            weight[at],
            roots.size,
            labels,
            len(child) - 1,
        )


def _walk(table: _Table, known: str, logits: str) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """The nodes that make `logits` [B, labels] of `known` [B, numbers], NaN where unknown, and constants."""
    make = helper.make_node
    # Of each number two columns: an unknown one is low in the first, and in the second not even that. Where
    # the trees of all observations are is one row: ONNX Runtime's GatherElements looks that up in a seventh
    # of the time that its Gather takes.
    nodes = [
        make("IsNaN", [known], ["unknown_"]),
        make("Where", ["unknown_", "lowest", known], ["low"]),
        make("Unsqueeze", ["low", "last"], ["low_"]),
        make("Unsqueeze", [known, "last"], ["known_"]),
        make("Concat", ["low_", "known_"], ["both"], axis=2),
        make("Reshape", ["both", "by_observation"], ["values"]),
        make("Shape", [known], ["batch"], end=1),
        make("Concat", ["batch", "of_one"], ["size"], axis=0),
        make("Expand", ["roots", "size"], ["begin"]),
        make("Reshape", ["begin", "in_a_row"], ["at0"]),
    ]
    for k in range(table.depth):
        nodes += [
            make("GatherElements", ["column", f"at{k}"], [f"column{k}"], axis=1),
            make("Reshape", [f"column{k}", "size"], [f"columns{k}"]),
            make("GatherElements", ["values", f"columns{k}"], [f"values{k}"], axis=1),
            make("Reshape", [f"values{k}", "in_a_row"], [f"value{k}"]),
            make("GatherElements", ["threshold", f"at{k}"], [f"threshold{k}"], axis=1),
            make("LessOrEqual", [f"value{k}", f"threshold{k}"], [f"within{k}"]),
            make("Cast", [f"within{k}"], [f"side{k}"], to=TensorProto.INT32),
            make("GatherElements", ["child", f"at{k}"], [f"child{k}"], axis=1),
            make("Add", [f"child{k}", f"side{k}"], [f"at{k + 1}"]),
        ]
    nodes += [
        make("GatherElements", ["weight", f"at{table.depth}"], ["weights"], axis=1),
        make("Reshape", ["weights", "by_label"], ["of_label"]),
        make("ReduceSum", ["of_label", "last"], [logits], keepdims=0),
    ]
    constants = {
        "lowest": np.float32(-3e38), "last": np.array([2]),
        "by_observation": np.array([0, -1]), "in_a_row": np.array([1, -1]), "of_one": np.array([table.roots]),
        "by_label": np.array([-1, table.labels, table.roots // table.labels]),
        "roots": np.arange(table.roots, dtype=np.int32)[None],
        "column": (2 * table.feature + table.unknown_beyond).astype(np.int32)[None],
        "threshold": table.threshold.astype(np.float32)[None], "child": table.child.astype(np.int32)[None],
        "weight": table.weight.astype(np.float32)[None],
    }  # fmt: skip
    for node in nodes:
        node.input[:] = [name if name == known else f"walk.{name}" for name in node.input]
        node.output[:] = [name if name == logits else f"walk.{name}" for name in node.output]
    return nodes, {f"walk.{name}": np.asarray(value) for name, value in constants.items()}


def joined(network: onnx.ModelProto, trees: onnx.ModelProto, share: np.ndarray) -> onnx.ModelProto:
    """One graph (leads, beat, numbers) -> logits. share: [labels], the trees'; the rest is the network's."""
    trees = onnx.compose.add_prefix(in_look_ups(trees), "trees.", rename_inputs=False)
    graph = network.graph
    output = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["network" if name == output else name for name in node.output]
    named = {x.name for x in graph.input}
    graph.input.extend(x for x in trees.graph.input if x.name not in named)
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
