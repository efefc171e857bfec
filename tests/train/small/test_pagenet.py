"""The page net's own training code."""

import pytest

torch = pytest.importorskip("torch")

from ecgvlm.train.small.pagenet import PageNet, export, load_exported  # noqa: E402


def seasoned(features=(4, 8, 8, 12)) -> PageNet:
    """A net whose norms have statistics and weights of their own."""
    torch.manual_seed(0)
    net = PageNet(features)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()


def test_an_exported_net_goes_on_as_it_was(tmp_path):
    net = seasoned()
    export(net, tmp_path / "net.onnx")
    again = PageNet((4, 8, 8, 12))
    load_exported(again, tmp_path / "net.onnx")
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for a, b in zip(net.eval()(x), again.eval()(x)):
            assert torch.allclose(a, b, atol=1e-4)


def test_another_architecture_is_refused(tmp_path):
    export(seasoned(), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=r"not \(8, 12, 3, 3\)"):
        load_exported(PageNet((8, 8, 8, 12)), tmp_path / "net.onnx")
