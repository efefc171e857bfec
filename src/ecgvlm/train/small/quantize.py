"""The page net in 8 bits: less than half the time, a quarter of the memory.

    python -m ecgvlm.train.small.quantize runs/pagenet/pagenet.float.onnx --records ../shared/data/ptbxl \
        --out src/ecgvlm/data/pagenet.onnx

Beside it, as `pagenet.bin`, it writes the layers for `ecgvlm.digitize.page_layers`.
`ecgvlm.train.small.pagenet` calls it at its end. Ranges of the activations come from pages of folds 1 to 6.
Weights keep 7 bits: on processors without VNNI a sum of two products of 8 bits overflows, and answers must
not depend on the machine. The floats of the net that ships: training/pagenet.float.onnx.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from ecgvlm.atomic import beside
from ecgvlm.digitize.grid import find_grid
from ecgvlm.digitize.rectify import rectify
from ecgvlm.train.small.blocks import in_blocks, prune
from ecgvlm.train.small.layers import write_layers

CALIBRATION_PAGES = 24
_CLIP = 8.0  # of the trace's logits: finer steps where it is decided what is ink


def calibration_pages(records: Path, count: int, seed: int = 11) -> list[np.ndarray]:
    """Halves of rectified pages of folds 1 to 6, clean, scanned, photographed: [H, W, 3] uint8 RGB each."""
    from ecgvlm.files.datasets import load_ptbxl
    from ecgvlm.paper.degrade import PAGE_KINDS
    from ecgvlm.paper.print import print_page

    ecgs = load_ptbxl(records, folds=range(1, 7))
    pages: list[np.ndarray] = []
    k = 0
    while len(pages) < count:
        rng = np.random.default_rng([seed, k])
        k += 1
        page = print_page(ecgs[rng.integers(len(ecgs))], PAGE_KINDS[k % 3], rng)
        paper = find_grid(page.image)
        if paper is None:
            continue
        try:
            image, _ = rectify(page.image, paper)
        except ValueError:
            continue
        half = image.shape[0] // 32 * 16
        pages.append(np.ascontiguousarray(image[:half] if k % 2 else image[half:]))
    return pages


def quantize(source: Path, pages: Sequence[np.ndarray], out: Path) -> None:
    """Writes the page net of `train.small.pagenet.export` in 8 bits, as `digitize.pagenet.PageNet` reads it.

    Its `page` is [H, W / 4, 12] uint8: a page's own memory. pages: [H, W, 3] uint8 RGB, for the ranges of the
    activations; sides multiples of 16.
    """
    net = onnx.load(source)
    logits = in_blocks(net)
    with tempfile.TemporaryDirectory() as folder:
        plain, clean, coarse = (Path(folder) / name for name in ("plain.onnx", "clean.onnx", "coarse.onnx"))
        onnx.save(net, plain)
        quant_pre_process(str(plain), str(clean), skip_symbolic_shape=True)
        kept = [
            node.name for node in onnx.load(clean).graph.node if node.op_type in ("Sigmoid", "DepthToSpace")
        ]
        ranges = {
            "page": [{"scale": np.array(1 / 255, np.float32), "zero_point": np.array(0, np.uint8)}],
            logits: [{"rmin": np.array(-_CLIP, np.float32), "rmax": np.array(_CLIP, np.float32)}],
        }
        quantize_static(
            str(clean), str(coarse), _Feed(pages), quant_format=QuantFormat.QDQ, per_channel=True,
            reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=kept, extra_options={"TensorQuantOverrides": ranges},
        )  # fmt: skip
        net = onnx.load(coarse)
    _take_bytes(net)
    _double_bytes(net)
    onnx.checker.check_model(net)
    with beside(out) as part:
        onnx.save(net, part)


class _Feed(CalibrationDataReader):
    def __init__(self, pages: Sequence[np.ndarray]):
        self._pages = iter(pages)

    def get_next(self) -> dict[str, np.ndarray] | None:
        page = next(self._pages, None)
        if page is None:
            return None
        height, width, _ = page.shape
        return {"page": page.reshape(height, width // 4, 12).transpose(2, 0, 1)[None] / np.float32(255)}


def _take_bytes(net: onnx.ModelProto) -> None:
    """Let the net take a page's own bytes, instead of quantising floats of them."""
    graph = net.graph
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "page")
    graph.node.remove(first)
    graph.initializer.append(numpy_helper.from_array(np.array([0]), "batch"))
    steps = [
        helper.make_node("Unsqueeze", ["page", "batch"], ["one"]),
        helper.make_node("Transpose", ["one"], [first.output[0]], perm=[0, 3, 1, 2]),
    ]
    for node in reversed(steps):
        graph.node.insert(0, node)
    graph.input[0].CopyFrom(helper.make_tensor_value_info("page", TensorProto.UINT8, ["h", "w4", 12]))


def _double_bytes(net: onnx.ModelProto) -> None:
    """Let the net write every place twice across and twice down by copying bytes: as `Resize` of the nearest
    place it takes ten times as long.

    Of [1, channels, h, w], a row of places with their channels is laid beside itself place by place, and
    then below itself.
    """
    graph = net.graph
    made = {name: node for node in graph.node for name in node.output}
    sizes = {tensor.name: tensor.dims for tensor in graph.initializer}
    for resize in [node for node in graph.node if node.op_type == "Resize"]:
        floats = made[resize.input[0]]
        bytes_ = next(node for node in graph.node if resize.output[0] in node.input)
        convolution = made[made[floats.input[0]].input[0]]
        channels = sizes[made[convolution.input[1]].input[0]][0]
        steps = ("row", "beside", "wide", "below", "tall")
        row, beside, wide, below, tall = (f"{resize.name}.{step}" for step in steps)
        across, down = f"{wide}.shape", f"{tall}.shape"
        for name, shape in ((across, [0, 0, -1, channels]), (down, [1, -1, 0, channels])):
            graph.initializer.append(numpy_helper.from_array(np.array(shape), name))
        at = list(graph.node).index(resize)
        graph.node.remove(resize)
        graph.node.remove(bytes_)
        for node in reversed([
            helper.make_node("Transpose", [floats.input[0]], [row], perm=[2, 0, 3, 1]),  # [h, 1, w, channels]
            helper.make_node("Concat", [row, row], [beside], axis=3),
            helper.make_node("Reshape", [beside, across], [wide]),
            helper.make_node("Concat", [wide, wide], [below], axis=1),
            helper.make_node("Reshape", [below, down], [tall]),
            helper.make_node("Transpose", [tall], [bytes_.output[0]], perm=[0, 3, 1, 2]),
        ]):  # fmt: skip
            graph.node.insert(at, node)
    prune(graph)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("net", type=Path)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=CALIBRATION_PAGES)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    quantize(args.net, calibration_pages(args.records, args.pages), args.out)
    write_layers(args.out)


if __name__ == "__main__":
    main()
