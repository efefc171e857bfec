"""Batches are the same however many workers make them, and a worker is small."""

import subprocess
import sys

import pytest
import torch

from ecgvlm.errors import EcgError
from ecgvlm.train.loader import load_batches
from ecgvlm.train.pages import RowPages, micro_batches
from ecgvlm.train.smolvlm import load_smolvlm


@pytest.fixture(scope="module")
def chat(model_folder):
    return load_smolvlm(str(model_folder), 3).chat


def test_workers_make_the_same_batches_in_the_same_order(rows, chat):
    pages = RowPages(rows, None, 32, questions=2, seed=1)
    made = [
        list(load_batches(pages, chat, micro_batches(pages.order(0, 4), 2, 0, 1, 0), workers))
        for workers in (0, 2)
    ]
    assert len(made[0]) == len(made[1]) == len(pages) // 2
    for (here, _), (there, _) in zip(*made):
        for name, tensor in vars(here).items():
            torch.testing.assert_close(tensor, vars(there)[name], rtol=0, atol=0)


def test_batches_for_a_gpu_are_pinned(rows, chat, monkeypatch):
    """By torch's own rule: what has no `pin_memory` of its own it leaves, and copying waits."""
    pages = RowPages(rows, None, 32)
    ((batch, _),) = load_batches(pages, chat, [[(0, 0), (0, 1)]])
    asked: list[int] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self, *_: asked.append(id(self)) or self)
    pinned, skipped = torch.utils.data._utils.pin_memory.pin_memory((batch, 0))
    assert skipped == 0
    tensors = [value for value in vars(pinned).values() if isinstance(value, torch.Tensor)]
    assert {id(tensor) for tensor in tensors} == set(asked)
    assert len(asked) == len(tensors)


def test_a_page_that_cannot_be_read_is_an_error_or_skipped(rows, chat):
    class Damaged(RowPages):
        def load(self, epoch, index):
            if index == 1:
                raise EcgError("unreadable_file", "torn")
            return super().load(epoch, index)

    pages = Damaged(rows, None, 32)
    ((batch, skipped),) = load_batches(pages, chat, [[(0, 0), (0, 1), (0, 2)]], skip=True)
    assert (len(batch.pages), skipped) == (2, 1)
    with pytest.raises(EcgError, match="torn"):
        list(load_batches(pages, chat, [[(0, 0), (0, 1)]]))
    with pytest.raises(EcgError, match="none of 1 pages"):
        list(load_batches(pages, chat, [[(0, 1)]], skip=True))


def test_a_worker_imports_neither_models_nor_the_loop():
    said = "import sys, ecgvlm.train.loader; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert "torch" in loaded.stdout.split()
    assert not {"transformers", "accelerate", "peft", "onnxruntime", "datasets"} & set(loaded.stdout.split())
