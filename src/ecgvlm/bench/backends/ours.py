"""ecgvlm itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecgvlm.bench.backends.base import Ask, Reply, Setup
from ecgvlm.bench.mentions import vocabulary
from ecgvlm.errors import EcgError

if TYPE_CHECKING:
    from ecgvlm.judge.evidence import Evidence
    from ecgvlm.reader import Reader


class Ecgvlm:
    """`ecgvlm bench run --task code15 --backend ecgvlm --gold GOLD.json --out DIR`

    A page the reader refuses is an answer nothing can be read from, with probabilities of 0: it is scored.
    reader: another one than the package's own, for a model of one's own.
    """

    name = "ecgvlm"

    def __init__(self, setup: Setup, reader: Reader | None = None):
        from ecgvlm.reader import Reader

        self._reader = reader or Reader()
        self.model = self._reader.judge.name
        self.parameters: dict[str, Any] = {}
        self._labels = setup.task.labels
        # CODE-15% cleaned its labels by definitions; the habits of the others are nearest to PTB-XL's.
        self._criteria = "code15" if setup.task.name.startswith("code15") else "ptbxl"
        self.parameters["criteria"] = self._criteria

    def ask(self, ask: Ask) -> Reply:
        if ask.image is None:
            return Reply("No image.")
        try:
            evidence = self._reader.look(ask.image, criteria=self._criteria).evidence
        except EcgError as error:
            return Reply(f"Not readable: {error.message}", dict.fromkeys(self._labels, 0.0) or None)
        return self.reply(evidence, ask.prompt)

    def reply(self, evidence: Evidence, prompt: str) -> Reply:
        """What the reader says about evidence, with its probabilities."""
        text = self._reader.words.answer(evidence, prompt)
        return Reply(text, label_scores(dict(evidence.probabilities), self._labels) or None)


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
