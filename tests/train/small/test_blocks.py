from __future__ import annotations

import cv2
import numpy as np
import pytest
from running import run

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from ecgvlm.train.small.blocks import in_blocks  # noqa: E402
from ecgvlm.train.small.pagenet import PageNet, export  # noqa: E402


def test_blocks_give_the_same_values_inside_the_page(tmp_path):
    torch.manual_seed(1)
    net = PageNet((4, 8, 12, 16)).eval()
    with torch.no_grad():  # probabilities of every size, and no bias that two layers share
        net.trace[0].weight *= 30
        net.names[1].bias.zero_()
        for layer in net.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.bias.uniform_(-0.5, 0.5)
    export(net, tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    page = cv2.resize(rng.integers(0, 256, (20, 26, 3), np.uint8), (208, 160))
    plain, blocks = onnx.load(tmp_path / "net.onnx"), onnx.load(tmp_path / "net.onnx")
    in_blocks(blocks)
    wanted = run(plain.SerializeToString(), page=cv2.dnn.blobFromImage(page, 1 / 255.0))
    in_twos = page.reshape(160, 52, 12).transpose(2, 0, 1)[None] / np.float32(255)
    got = run(blocks.SerializeToString(), page=in_twos)
    inside = np.s_[..., 8:-8, 8:-8]
    for a, b in zip(wanted, got):
        assert a.shape == b.shape
    assert wanted[0].std() > 0.05
    assert np.abs(wanted[0] - got[0])[inside].max() < 0.02  # what the edge's change leaves, from far below
    assert np.median(np.abs(wanted[0] - got[0])) < 1e-3
