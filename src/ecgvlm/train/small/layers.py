"""The quantised page net as `ecgvlm.digitize.page_layers` runs it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from ecgvlm.atomic import write_file
from ecgvlm.digitize.page_layers import LAYERS, SUMS, dtype_of_layers
from ecgvlm.train.small.blocks import unblocked


class _Bytes(NamedTuple):
    """How a tensor's bytes are to be read."""

    scale: np.float32
    zero: np.uint8


def write_layers(net: Path) -> None:
    """Writes the layers of a page net that `train.small.quantize` wrote beside it."""
    write_file(net.with_suffix(".bin"), as_layers(onnx.load(net)))


def as_layers(net: onnx.ModelProto) -> bytes:
    """What that file holds."""
    return _Net(net).packed()


class _Net:
    def __init__(self, net: onnx.ModelProto):
        self.values = {tensor.name: numpy_helper.to_array(tensor) for tensor in net.graph.initializer}
        self.nodes = net.graph.node
        self.made = {name: node for node in self.nodes for name in node.output}
        self.readers = {name: node for node in self.nodes for name in node.input}

    def packed(self) -> bytes:
        out = np.zeros(1, dtype_of_layers())
        for name in LAYERS:
            self._layer(name, out[name][0])
        sums = [node for node in self.nodes if node.op_type == "Add"]
        for name, node in zip(SUMS, sums, strict=True):
            one, other, to = self._read(node.input[0]), self._read(node.input[1]), self._written(node)
            share, further = one.scale / to.scale, other.scale / to.scale
            rest = np.float32(to.zero) - (share * np.float32(one.zero) + further * np.float32(other.zero))
            out[f"sum {name}"] = share, further, rest, to.zero
        out["trace levels"] = self._levels("trace")
        out["name levels"] = self._levels("names")
        return out.tobytes()

    def _layer(self, name: str, out: np.void) -> None:
        """Fills a record of `Layer.dtype`."""
        layer = LAYERS[name]
        module = f"/{name.replace('.conv', '/conv')}/"
        node = next(node for node in self.nodes if node.op_type == "Conv" and module in node.name)
        seen, made = self._read(node.input[0]), self._written(node)
        weights, bias = (self.made[node.input[k]] for k in (1, 2))
        kernel = unblocked(name, self.values[weights.input[0]])
        channels = len(kernel)
        # [channels, bytes, rows, columns] -> taps, fours of bytes, channels, bytes of one
        whole = np.zeros((layer.channels, *kernel.shape[1:]), np.int8)
        whole[:channels] = kernel
        fours = whole.reshape(layer.channels, layer.bytes // 4, 4, layer.rows, layer.columns)
        out["kernel"] = fours.transpose(3, 4, 1, 0, 2).reshape(out["kernel"].shape)
        zeros = np.int32(seen.zero) * kernel.sum((1, 2, 3), dtype=np.int32)
        out["bias"][:channels] = self.values[bias.input[0]][:channels] - zeros
        out["scale"][:channels] = seen.scale * self.values[weights.input[1]][:channels] / made.scale
        out["zero"] = made.zero

    def _read(self, tensor: str) -> _Bytes:
        """Of what a node reads."""
        return self._stated(self.made[tensor])

    def _written(self, node: onnx.NodeProto) -> _Bytes:
        """Of what a node makes."""
        return self._stated(self.readers[node.output[0]])

    def _stated(self, node: onnx.NodeProto) -> _Bytes:
        scale, zero = (self.values[name][()] for name in node.input[1:3])
        return _Bytes(np.float32(scale), np.uint8(zero))

    def _levels(self, output: str) -> np.ndarray:
        """[256] probabilities that bytes of an output mean, as ONNX Runtime has them."""
        node = self.made[output]
        while node.op_type != "DequantizeLinear":
            node = self.made[node.input[0]]
        scale, zero = self._read(node.output[0])
        graph = helper.make_graph(
            [helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["logits"]),
             helper.make_node("Sigmoid", ["logits"], ["p"])],
            "levels",
            [helper.make_tensor_value_info("bytes", TensorProto.UINT8, [256])],
            [helper.make_tensor_value_info("p", TensorProto.FLOAT, [256])],
            [numpy_helper.from_array(np.array(scale), "scale"),
             numpy_helper.from_array(np.array(zero), "zero")],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (p,) = session.run(None, {"bytes": np.arange(256, dtype=np.uint8)})
        return p
