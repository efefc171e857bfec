"""The page net's own training code."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gaussians import gaussian_record  # noqa: E402

from ecgvlm.digitize.pagenet import CLASSES, FURTHER, PULSE  # noqa: E402
from ecgvlm.paper.others import other_picture  # noqa: E402
from ecgvlm.paper.rare import rare_page  # noqa: E402
from ecgvlm.paper.render import render  # noqa: E402
from ecgvlm.paper.style import page_style  # noqa: E402
from ecgvlm.train.small.pagenet import (  # noqa: E402
    _MIRRORED,
    _TURNED,
    PageNet,
    _flat,
    export,
    load_exported,
    rectified_crops,
    train,
    unfolded,
)


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


def test_new_classes_are_unlikely_at_first(tmp_path):
    old = seasoned()
    last = old.names[1]
    old.names[1] = torch.nn.Conv2d(last.in_channels, 18, 1)
    export(old, tmp_path / "net.onnx")
    net = PageNet((4, 8, 8, 12))
    load_exported(net, tmp_path / "net.onnx")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        names, wanted = net.eval()(x)[1], old.eval()(x)[1]
    assert torch.allclose(names[:, :18], wanted, atol=1e-4)
    assert torch.sigmoid(names[:, 18:]).max() < 0.05


def test_unfolded_norms_say_what_they_said_and_learn(tmp_path):
    export(seasoned(), tmp_path / "net.onnx")
    net = PageNet((4, 8, 8, 12))
    load_exported(net, tmp_path / "net.onnx")
    x = torch.rand(4, 3, 64, 64)
    with torch.no_grad():
        before = net.eval()(x)
        unfolded(net, x)
        for a, b, c in zip(before, net.eval()(x), net.train()(x)):
            assert torch.allclose(a, b, atol=1e-3)
            assert torch.allclose(a, c, atol=1e-3)  # the statistics are those of the batch


def most_seen(page) -> np.ndarray:
    """Of every class the largest value on forty crops, upright ones."""
    return np.max(
        [names.max((1, 2)) for _, _, names in rectified_crops(page, np.random.default_rng(1), 40)], 0
    )


def test_crops_know_further_leads_and_odd_notes():
    page = rare_page(gaussian_record(), 5, "further", "clean")
    peaks = most_seen(page)
    assert peaks.shape == (CLASSES,)
    assert peaks[FURTHER] == 255
    page = rare_page(gaussian_record(), 5, "speed", "clean")
    assert most_seen(page)[FURTHER - 2] == 255


def test_crops_without_a_grid_are_of_a_guessed_scale():
    page = rare_page(gaussian_record(), 3, "blank", "photo")
    flat = [_flat(page.truth.mesh, np.random.default_rng(seed)) for seed in range(8)]
    sides = [np.linalg.norm(mesh[0, 1] - mesh[0, 0]) for mesh in flat]
    assert max(sides) > 1.1 * min(sides)
    for image, trace, _ in rectified_crops(page, np.random.default_rng(0), 40):
        grey, ink = image.mean(2), trace > 200
        assert not ink.any() or grey[ink].mean() < np.median(grey) - 30


def test_nothing_is_to_be_seen_on_other_pictures():
    for what in ("recordings", "table", "form"):
        page = other_picture(1, what)
        for image, trace, names in rectified_crops(page, np.random.default_rng(0), 6):
            assert image.shape == (320, 320, 3)
            assert not trace.any()
            assert not names[:PULSE].any()


def test_a_mirrored_page_shows_only_names_that_are_the_same_there():
    page = render(gaussian_record(), page_style("classic"), 0)
    seen = np.zeros(CLASSES, bool)
    pages = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        rng.normal(0, 0.004), rng.normal(1, 0.006)
        if not _TURNED <= rng.random() < _TURNED + _MIRRORED:
            continue
        pages += 1
        for image, trace, names in rectified_crops(page, np.random.default_rng(seed), 12):
            seen |= names.max((1, 2)) > 0
            ink = trace > 200
            assert not ink.any() or image.mean(2)[ink].mean() < 160
    assert pages >= 4
    assert seen[[0, 1, 2, PULSE]].all()
    assert not seen[3:PULSE].any()
    assert not seen[PULSE + 1 :].any()


def test_dark_screens_are_learned_from_as_they_are_read():
    page = render(gaussian_record(), page_style("dark"), 0)
    for image, _, _ in rectified_crops(page, np.random.default_rng(3), 4):
        assert np.median(image) > 200


def test_training_stops_in_time_and_goes_on(tmp_path):
    for minutes in (0.02, 0.04):
        train([gaussian_record()], tmp_path, minutes, batch=2)
        assert (tmp_path / "pagenet.float.onnx").is_file()
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["spent"] >= 0.02
