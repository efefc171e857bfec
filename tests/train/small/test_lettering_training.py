"""The net of letters: lines as they are printed, and a file of it that is trained on."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecgvlm.digitize.lettering import ALPHABET, HEIGHT, NAME_WIDTH, Reading  # noqa: E402
from ecgvlm.train.small.lettering import LetteringNet, export, load_exported, note_line  # noqa: E402


def test_lines_are_spelled_in_the_nets_letters_and_hold_the_notes_that_they_show():
    rng = np.random.default_rng(1)
    told = set()
    for _ in range(200):
        line = note_line(rng)
        assert set(line.spelling) <= set(ALPHABET)
        told |= {kind for kind, _ in Reading(line.spelling, (1.0,) * len(line.spelling)).notes()}
    assert told == {"speeds", "gains", "chest"}


def test_an_exported_net_goes_on_as_it_was(tmp_path):
    torch.manual_seed(0)
    net = LetteringNet()
    lines = torch.rand(4, 1, HEIGHT, NAME_WIDTH)
    net.train()(lines)
    export(net, tmp_path / "lettering.onnx")
    again = load_exported(tmp_path / "lettering.onnx").eval()
    np.testing.assert_allclose(again(lines).detach(), net.eval()(lines).detach(), atol=1e-4)
