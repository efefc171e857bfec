"""Micro-batches made ahead of the training loop by worker processes.

This module and what it imports is all that a worker needs: neither the model nor the training loop.
"""

from __future__ import annotations

import math
import multiprocessing.resource_tracker
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import torch

from ecgvlm.errors import EcgError
from ecgvlm.processes import end_with_parent, worker_context
from ecgvlm.train.answering import Chat, Microbatch, collate
from ecgvlm.train.pages import Sample, Samples

Key = tuple[int, int]  # (epoch, group)
# What asks a run to end: `timeout` and `scancel`, Ctrl-C, a terminal that is closed, Slurm's usual --signal.
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def load_batches(
    samples: Samples,
    chat: Chat,
    keys: Iterable[list[Key]],
    workers: int = 0,
    ahead: int = 0,
    skip: bool = False,
    pinned: bool = False,
) -> Iterator[tuple[Microbatch, int]]:
    """A micro-batch for each list of keys, in their order, and how many of its pages were skipped.

    workers: processes; 0 prepares everything here, when it is asked for. ahead: micro-batches that they
    prepare together before they are wanted, at least two each. skip: leave out pages that cannot be read.
    pinned: in memory that a GPU copies from. Raises EcgError where a page cannot be read, or none of a
    micro-batch's.
    """
    options: dict[str, Any] = {}
    if workers:
        # The tokenizer's class is the one thing that a worker is sent and does not import from here.
        context = worker_context(__name__, type(chat.tokenizer).__module__)
        options = {
            "multiprocessing_context": context,
            "worker_init_fn": _start,
            "prefetch_factor": max(2, math.ceil(ahead / workers)),
        }
    loader = torch.utils.data.DataLoader(
        _Pages(samples, skip), batch_sampler=keys, num_workers=workers, collate_fn=_Collate(chat),
        pin_memory=pinned, **options,
    )  # fmt: skip
    for batch, skipped in _started(loader):
        if isinstance(skipped, EcgError):
            raise skipped
        yield batch, skipped


@contextmanager
def shielded() -> Iterator[None]:
    """Processes started meanwhile do not hear what asks a run to end: a signal to the whole group must not
    take them first. This process hears it afterwards.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _started(loader: torch.utils.data.DataLoader) -> Iterator[Any]:
    """The loader with its workers, which end by this process's word."""
    with shielded():
        # The mask is inherited by the resource tracker, too, whose own start lifts it here from the two
        # signals that the tracker passes over itself.
        multiprocessing.resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        return iter(loader)


def _start(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    end_with_parent()


class _Pages(torch.utils.data.Dataset):
    """Samples by key; an unreadable one is None where it may be skipped, else its EcgError."""

    def __init__(self, source: Samples, skip: bool):
        self.source, self.skip = source, skip

    def __getitem__(self, key: Key) -> Sample | EcgError | None:
        try:
            return self.source.load(*key)
        except EcgError as error:
            return None if self.skip else error


class _Collate:
    """Samples -> (batch, how many were skipped), or (None, the error) that ends the run."""

    def __init__(self, chat: Chat):
        self.chat = chat

    def __call__(
        self, samples: Sequence[Sample | EcgError | None]
    ) -> tuple[Microbatch | None, int | EcgError]:
        if error := next((s for s in samples if isinstance(s, EcgError)), None):
            return None, error
        read = [s for s in samples if isinstance(s, Sample)]
        if not read:
            said = f"none of {len(samples)} pages of a micro-batch could be read"
            return None, EcgError("unreadable_file", said)
        return collate(self.chat, read), len(samples) - len(read)
