"""ecgvlm itself."""

from __future__ import annotations

from typing import Any

from ecgvlm.bench.backends.base import Ask, Reply
from ecgvlm.bench.mentions import vocabulary
from ecgvlm.bench.task import Task
from ecgvlm.record import EcgError


class Ecgvlm:
    """`ecgvlm bench run --task code15 --backend ecgvlm --gold GOLD.json --out DIR`

    A page the reader refuses is an answer nothing can be read from, with probabilities of 0: it is scored.
    """

    name = "ecgvlm"

    def __init__(self, task: Task, threads: int = 2):
        from ecgvlm import __version__
        from ecgvlm.reader import Reader

        self.model = f"ecgvlm {__version__}"
        self.parameters: dict[str, Any] = {}
        self._labels = task.labels
        self._reader = Reader(threads=threads)

    def ask(self, ask: Ask) -> Reply:
        if ask.image is None:
            return Reply("No image.")
        try:
            out = self._reader.read(ask.image, question=ask.prompt).to_dict()
        except EcgError as error:
            out = {"ok": False, "error": {"message": error.message}}
        if not out["ok"]:
            return Reply(f"Not readable: {out['error']['message']}", dict.fromkeys(self._labels, 0.0) or None)
        return Reply(out["answer"], label_scores(out["labels"], self._labels) or None)


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
