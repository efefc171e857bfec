"""ecgvlm itself."""

from __future__ import annotations

import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from ecgvlm.bench.backends.base import Ask, Reply, Setup
from ecgvlm.bench.mentions import vocabulary
from ecgvlm.errors import EcgError
from ecgvlm.processes import end_with_parent, worker_context

if TYPE_CHECKING:
    from ecgvlm.judge.evidence import Evidence
    from ecgvlm.reader import Reader


class Ecgvlm:
    """What the reader says of a page, in this process.

    A page it refuses is an answer nothing can be read from, with probabilities of 0: it is scored. The
    setup's model is a folder of `ecgvlm export`; None is the package's own. reader: another one than that.
    """

    name = "ecgvlm"

    def __init__(self, setup: Setup, reader: Reader | None = None):
        from ecgvlm.reader import Reader

        self._reader = reader or Reader(model=_folder(setup))
        self.model = self._reader.judge.name
        self.parameters: dict[str, Any] = {}
        self._labels = setup.task.labels
        # CODE-15% cleaned its labels by definitions; the habits of the others are nearest to PTB-XL's.
        self._criteria = "code15" if setup.task.name.startswith("code15") else "ptbxl"
        self.parameters["criteria"] = self._criteria

    def ask(self, ask: Ask) -> Reply:
        if not ask.images:
            return Reply("No image.")
        if len(ask.images) > 1:
            said = f"the row has {len(ask.images)} pictures, this model reads one at a time"
            raise EcgError("unsupported_format", said)
        try:
            evidence = self._reader.look(ask.images[0], criteria=self._criteria).evidence
        except EcgError as error:
            return Reply(f"Not readable: {error.message}", dict.fromkeys(self._labels, 0.0) or None)
        return self.reply(evidence, ask.prompt)

    def reply(self, evidence: Evidence, prompt: str) -> Reply:
        """What the reader says about evidence, with its probabilities."""
        text = self._reader.words.answer(evidence, prompt)
        return Reply(text, label_scores(dict(evidence.probabilities), self._labels) or None)


def _folder(setup: Setup) -> Path | None:
    return Path(setup.model) if setup.model else None


class EcgvlmProcesses:
    """`ecgvlm bench run --task code15 --backend ecgvlm --gold GOLD.json --out DIR`

    The same, its pages read by `Setup.workers` processes, as far as the machine has cores and memory. Raises
    EcgError where the model's folder does not hold one.
    """

    name = Ecgvlm.name

    def __init__(self, setup: Setup):
        from ecgvlm.machine import workers
        from ecgvlm.worker import check_model

        check_model(_folder(setup))
        self._pool = ProcessPoolExecutor(
            min(setup.workers, workers()), worker_context(__name__, "ecgvlm.reader", "ecgvlm.words.dialogue"),
            _start, (replace(setup, items=()),),
        )  # fmt: skip
        self.model, self.parameters = self._pool.submit(_described).result()

    def ask(self, ask: Ask) -> Reply:
        try:
            return self._pool.submit(_asked, ask).result()
        except BrokenProcessPool:
            said = "a reading process was killed, most likely for want of memory: fewer --workers"
            raise EcgError("too_large", said) from None


_ours: Ecgvlm  # of a process of the pool


def _start(setup: Setup) -> None:
    global _ours
    from ecgvlm.reader import Reader

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    cv2.setNumThreads(1)
    end_with_parent()
    _ours = Ecgvlm(setup, Reader(threads=1, model=_folder(setup)))


def _described() -> tuple[str, dict[str, Any]]:
    return _ours.model, _ours.parameters


def _asked(ask: Ask) -> Reply:
    return _ours.ask(ask)


def label_scores(probabilities: dict[str, float], labels: tuple[str, ...]) -> dict[str, float]:
    """Probabilities of a task's labels from the reader's.

    The benchmark's own spellings are translated; ABNORMAL is everything that is neither normal nor one of
    the task's other labels, and without NORM nothing is known of it.
    """
    codes = vocabulary().codes
    out = {
        label: probabilities[code] for label in labels if (code := codes.get(label, label)) in probabilities
    }
    if "ABNORMAL" in labels and "NORM" in out:
        named = max((p for label, p in out.items() if label != "NORM"), default=0.0)
        out["ABNORMAL"] = max(0.0, 1.0 - out["NORM"] - named)
    return out
