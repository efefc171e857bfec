"""Checkpoints that are damaged are named before anything is trained on from them."""

import pickle

import pytest
import torch

from ecgvlm.errors import EcgError
from ecgvlm.train import checkpoint

PLACE = {"step": 3, "pages": 5}


@pytest.fixture
def trained():
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_what_was_written_is_restored(trained, tmp_path):
    written = checkpoint.write(tmp_path, *checkpoint.gather(*trained), PLACE, 1, None)
    other = torch.nn.Linear(2, 3)
    checkpoint.restore(written, other, torch.optim.AdamW(other.parameters()))
    assert checkpoint.place_of(written) == PLACE
    torch.testing.assert_close(other.weight, trained[0].weight)


@pytest.mark.parametrize("file", ["place.json", "weights.safetensors", "optimizer.pt"])
@pytest.mark.parametrize("data", [None, b"", b"{}", b"[]", b"{", pickle.dumps({"x": print})], ids=range(6))
def test_a_damaged_file_is_named(trained, tmp_path, file, data):
    written = checkpoint.write(tmp_path, *checkpoint.gather(*trained), PLACE, 1, None)
    (written / file).unlink()
    if data is not None:
        (written / file).write_bytes(data)
    read = checkpoint.place_of if file == "place.json" else lambda at: checkpoint.restore(at, *trained)
    with pytest.raises(EcgError, match=rf"step-00000003: not a whole checkpoint \({file}"):
        read(written)
