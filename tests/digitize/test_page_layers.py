"""The page net's layers in compiled code give what ONNX Runtime gives."""

import cv2
import numpy as np
import pytest

from ecgvlm.compiled import COMPILED
from ecgvlm.digitize import pagenet
from ecgvlm.digitize.page_layers import FILE, LEAST_WIDTH, SUMS, PageLayers, dtype_of_layers
from ecgvlm.digitize.pagenet import PageNet
from ecgvlm.sessions import SHIPPED

needs_avx2 = pytest.mark.skipif(not PageLayers.can_run(), reason="nothing compiled, or no AVX2")


def page(height: int, width: int) -> np.ndarray:
    """Paper of every brightness and colour."""
    rng = np.random.default_rng(height)
    coarse, fine = (rng.integers(0, 256, (n, n, 3), np.uint8) for n in (6, 60))
    return cv2.resize(coarse, (width, height)) // 2 + cv2.resize(fine, (width, height)) // 2


@needs_avx2
@pytest.mark.parametrize("shape", [(16, LEAST_WIDTH), (208, 304), (320, 176)])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("vnni", [True, False])
def test_maps_are_the_very_same(shape, threads, vnni, monkeypatch):
    if vnni and not COMPILED.multiplies_bytes:
        pytest.skip("no AVX-512 VNNI")
    monkeypatch.setattr(COMPILED, "multiplies_bytes", vnni)
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    try:
        found = PageNet()(page(*shape))
    finally:
        cv2.setNumThreads(before)
    monkeypatch.setattr(pagenet.PageLayers, "can_run", lambda: False)
    wanted = PageNet()(page(*shape))
    assert wanted.trace.std() > 0
    assert np.array_equal(found.trace, wanted.trace)
    assert np.array_equal(found.names, wanted.names)


@needs_avx2
def test_a_narrow_page_is_left_to_onnx_runtime():
    assert PageNet()(page(64, LEAST_WIDTH - 16)).trace.shape == (64, LEAST_WIDTH - 16)


@needs_avx2
@pytest.mark.parametrize("name", SUMS)
def test_sums_are_rounded_after_each_product_as_by_onnx_runtime(name):
    known = np.fromfile(SHIPPED / FILE, dtype_of_layers())[0][f"sum {name}"]
    one, other = (np.repeat(bytes_[..., None], 16, 2) for bytes_ in np.indices((256, 256), np.uint8))
    made = np.empty_like(one)
    COMPILED.added(one, other, known, made, 0, len(made))
    share, further, rest, _ = (np.float64(value) for value in known.tolist())
    wanted = (one * share + (other * further + rest).astype(np.float32)).astype(np.float32)
    assert np.array_equal(made, np.rint(wanted).clip(0, 255))


@needs_avx2
def test_weights_of_a_run_fit_sixteen_bits(monkeypatch):
    monkeypatch.setattr(COMPILED, "multiplies_bytes", False)
    kernel = np.random.default_rng(0).integers(-64, 65, (50, 32, 4)).astype(np.int8)
    lengths, order, weights = COMPILED.in_runs(kernel)
    assert np.array_equal(np.sort(order), [range(50)] * 2)
    for part in range(2):
        own = kernel[order[part], 16 * part : 16 * part + 16]
        assert np.array_equal(weights[part], own)
        begin = 0
        for length in np.repeat([4, 3, 2, 1], lengths[part]).tolist():
            pairs = own[begin : begin + length].astype(int).reshape(length, 16, 2, 2)
            for sign in (1, -1):
                assert np.maximum(sign * pairs, 0).sum((0, 3)).max() <= 128
            begin += length
        assert begin == 50


def test_the_layers_are_those_of_the_net():
    onnx = pytest.importorskip("onnx")
    from ecgvlm.train.small.layers import as_layers

    assert as_layers(onnx.load(SHIPPED / "pagenet.onnx")) == (SHIPPED / FILE).read_bytes()
