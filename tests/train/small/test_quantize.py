from __future__ import annotations

import cv2
import numpy as np
import pytest
from running import run

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from ecgvlm.train.small.pagenet import PageNet, export, load_exported  # noqa: E402
from ecgvlm.train.small.quantize import quantize  # noqa: E402


def test_eight_bits_see_what_floats_see(tmp_path):
    torch.manual_seed(0)
    net = PageNet((16, 16, 16, 16)).eval()
    with torch.no_grad():  # probabilities of every size, or any net would agree with any other
        net.trace[0].weight *= 30
        net.names[1].weight *= 30
        net.names[1].bias.zero_()
    rng = np.random.default_rng(0)
    pages = [cv2.resize(rng.integers(0, 256, (20, 26, 3), np.uint8), (208, 160)) for _ in range(3)]
    export(net, tmp_path / "float.onnx")
    quantize(tmp_path / "float.onnx", pages, tmp_path / "net.onnx")
    wanted = run((tmp_path / "float.onnx").read_bytes(), page=cv2.dnn.blobFromImage(pages[0], 1 / 255.0))
    got = run((tmp_path / "net.onnx").read_bytes(), page=pages[0].reshape(160, 52, 12))
    for a, b in zip(wanted, got):
        assert a.shape == b.shape
        assert a.std() > 0.05
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97
        assert np.abs(a - b).mean() < 0.1 * a.std() + 0.005
    assert (tmp_path / "net.onnx").stat().st_size < (tmp_path / "float.onnx").stat().st_size
    with pytest.raises(ValueError, match="in 8 bits"):
        load_exported(net, tmp_path / "net.onnx")
