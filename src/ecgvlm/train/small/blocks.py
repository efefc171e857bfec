"""The page net's finest layers, rewritten to work on blocks of two by two of their places.

With few channels a convolution waits for memory: with sixteen, the five at half a page's resolution took
twice as long as all others together. In blocks, the same numbers are four times the channels at a quarter of
the resolution, and a convolution over 3 x 3 places is one over 2 x 2 blocks, if the blocks that it writes
begin one place before those that it reads: from even places to odd ones, and the next convolution back to
even ones. The values are the same, but for the page's outermost millimetre: odd blocks reach over the edge.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

# 1 where they meet: [place in the written block, block that is read, place in it, tap of the three].
_MEET = np.array(
    [[[[2 * block + read - written == tap for tap in range(3)] for read in (0, 1)] for block in (0, 1)]
     for written in (0, 1)], np.float32,
)  # fmt: skip
_TO_ODD, _TO_EVEN, _TO_SECOND = [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]  # blocks around what is read


def in_blocks(net: onnx.ModelProto) -> str:
    """Rewrites the page net of `train.small.pagenet.export`; returns the name of the trace's logits.

    Its `page` becomes [1, 12, H, W / 4]: the colours of four px beside each other are channels, which is a
    page's own order in memory.
    """
    graph = net.graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in values:  # layers may share a tensor
            values[node.output[0]] = values[node.input[0]]

    def layer(module: str) -> tuple[onnx.NodeProto, np.ndarray, np.ndarray]:
        node = next(node for node in graph.node if node.op_type == "Conv" and f"/{module}/" in node.name)
        return node, values[node.input[1]], values[node.input[2]]

    def rewrite(
        node: onnx.NodeProto, kernel: np.ndarray, bias: np.ndarray, pads: list[int], strides: list[int]
    ) -> None:
        for k, value in ((1, kernel), (2, np.resize(bias, len(kernel)))):
            node.input[k] = f"{node.name}.{k}"
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), node.input[k]))
        del node.attribute[:]
        node.attribute.extend(
            helper.make_attribute(name, value)
            for name, value in (("kernel_shape", kernel.shape[2:]), ("pads", pads), ("strides", strides))
        )

    # Of kernels o, i are channels; r, s taps of rows and columns; v, w places in the written block; k, l
    # blocks that are read, d, e places in them; p, q a place's px, c their colours.
    first, kernel, bias = layer("stem.0")
    kernel = kernel.reshape(-1, 3, 2, 2, 3, 3)
    kernel = np.einsum("vkdr,wles,ocpqrs->vwoeqckdpl", _MEET, _MEET, kernel).reshape(-1, 12, 8, 2)
    rewrite(first, kernel, bias, [4, 1, 4, 1], [4, 1])
    for module, pads in (("stem.1", _TO_EVEN), ("up1", _TO_ODD)):
        node, kernel, bias = layer(module)
        kernel = np.einsum("vkdr,wles,oirs->vwodeikl", _MEET, _MEET, kernel)
        rewrite(node, kernel.reshape(4 * len(bias), -1, 2, 2), bias, pads, [1, 1])
    node, kernel, bias = layer("down1.0")  # which takes every second place
    kernel = np.einsum("kdr,les,oirs->odeikl", _MEET[1], _MEET[1], kernel)
    rewrite(node, kernel.reshape(len(bias), -1, 2, 2), bias, _TO_SECOND, [1, 1])
    side, kernel, bias = layer("side1")  # and a place's value for the four below it
    rewrite(side, np.tile(kernel, (4, 1, 1, 1)), bias, _TO_EVEN, [1, 1])
    last, kernel, bias = layer("trace")
    kernel = kernel.reshape(2, 2, *kernel.shape[1:])
    kernel = np.einsum("vkdr,wles,pqirs->vpwqdeikl", _MEET, _MEET, kernel).reshape(16, -1, 2, 2)
    bias = np.broadcast_to(bias.reshape(1, 2, 1, 2), (2, 2, 2, 2)).ravel()
    rewrite(last, kernel, bias, _TO_EVEN, [1, 1])

    first.input[0] = "page"
    graph.input[0].CopyFrom(helper.make_tensor_value_info("page", onnx.TensorProto.FLOAT, [1, 12, "h", "w4"]))
    larger = next(node for node in graph.node if side.output[0] in node.input)
    add = next(node for node in graph.node if larger.output[0] in node.input)
    add.input[list(add.input).index(larger.output[0])] = side.output[0]
    shuffle = next(node for node in graph.node if node.op_type == "DepthToSpace")
    next(attribute for attribute in shuffle.attribute if attribute.name == "blocksize").i = 4
    prune(graph)
    return last.output[0]


def unblocked(module: str, kernel: np.ndarray) -> np.ndarray:
    """The kernel [out, in, rows, columns] of a module of the page net without `in_blocks`, as
    `ecgvlm.digitize.page_layers` has it: the first one's px of a row, each with its colours, are one after
    the other, and two zeros; the last one gives blocks of px, and reads the places that these need."""
    if module == "stem.0":  # v w o, e q c, k d p, l
        first = kernel.reshape(2, 2, -1, 12, 8, 2)[0, 0].transpose(0, 2, 3, 1)[:, :6]  # o, kdp, eqc, l
        rows = first.reshape(len(first), 6, 24)[..., :18]
        return np.pad(rows, ((0, 0), (0, 0), (0, 2))).transpose(0, 2, 1)[..., None]
    if module in ("stem.1", "up1"):
        return _places(kernel[: len(kernel) // 4])[:, :, :3, :3]
    if module == "down1.0":
        return _places(kernel)[:, :, 1:, 1:]
    if module == "side1":
        return kernel[: len(kernel) // 4]
    return _places(kernel) if module == "trace" else kernel


def _places(kernel: np.ndarray) -> np.ndarray:
    """[out, in, 4, 4]: what a kernel over 2 x 2 blocks does to their places."""
    out, channels = kernel.shape[:2]
    blocks = kernel.reshape(out, 2, 2, channels // 4, 2, 2)  # o, d, e, i, k, l
    return blocks.transpose(0, 3, 4, 1, 5, 2).reshape(out, channels // 4, 4, 4)


def prune(graph: onnx.GraphProto) -> None:
    """Keep only what an output needs."""
    wanted = {output.name for output in graph.output}
    used: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            used.insert(0, node)
    kept = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(used)
    graph.initializer.extend(kept)
