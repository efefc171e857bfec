"""ecgvlm itself."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from hashlib import sha256
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

_PAGES_KEPT = 1000  # of some 100 kB each, of which further questions may be asked


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
        return self.look(ask)[0]

    def look(self, ask: Ask) -> tuple[Reply, Evidence | None]:
        """The answer, and what it rests on; None where that is no page, and every answer is this one."""
        if not ask.images:
            return Reply("No image."), None
        if len(ask.images) > 1:
            said = f"the row has {len(ask.images)} pictures, this model reads one at a time"
            raise EcgError("unsupported_format", said)
        try:
            evidence = self._reader.look(ask.images[0], criteria=self._criteria).evidence
        except EcgError as error:
            return Reply(f"Not readable: {error.message}", dict.fromkeys(self._labels, 0.0) or None), None
        return self.reply(evidence, ask.prompt), evidence

    def reply(self, evidence: Evidence, prompt: str) -> Reply:
        """What the reader says about evidence, with its probabilities."""
        text = self._reader.words.answer(evidence, prompt)
        return Reply(text, label_scores(dict(evidence.probabilities), self._labels) or None)


def _folder(setup: Setup) -> Path | None:
    return Path(setup.model) if setup.model else None


class EcgvlmProcesses:
    """`ecgvlm bench run --task code15 --backend ecgvlm --gold GOLD.json --out DIR`

    The same, its pages read by `Setup.workers` processes, as far as the machine has cores and memory, each
    once however many questions there are about it. Raises EcgError where the model's folder does not hold
    one.

    at_once: questions that may be asked at the same time, so that all processes read though many questions in
    a row are about one page.
    """

    name = Ecgvlm.name
    at_once = 16

    def __init__(self, setup: Setup):
        from ecgvlm.machine import workers
        from ecgvlm.worker import check_model

        check_model(_folder(setup))
        self._pool = ProcessPoolExecutor(
            min(setup.workers, workers()), worker_context(__name__, "ecgvlm.reader", "ecgvlm.words.dialogue"),
            _start, (replace(setup, items=()),),
        )  # fmt: skip
        self.model, self.parameters = self._pool.submit(_described).result()
        self._looked: dict[bytes, Future[tuple[Reply, Evidence | None]]] = {}  # of the pages seen last
        self._lock = threading.Lock()

    def ask(self, ask: Ask) -> Reply:
        page = sha256(b"".join(ask.images)).digest()
        with self._lock:
            first = page not in self._looked
            if first:
                self._looked[page] = self._pool.submit(_look, ask)
            looked = self._looked[page] = self._looked.pop(page)
            while len(self._looked) > _PAGES_KEPT:
                del self._looked[next(iter(self._looked))]
        try:
            reply, evidence = looked.result()
            return (
                reply
                if first or evidence is None
                else self._pool.submit(_reply, evidence, ask.prompt).result()
            )
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


def _look(ask: Ask) -> tuple[Reply, Evidence | None]:
    return _ours.look(ask)


def _reply(evidence: Evidence, prompt: str) -> Reply:
    return _ours.reply(evidence, prompt)


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
