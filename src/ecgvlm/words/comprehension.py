"""What a piece of a question asks, as a pretrained net reads it.

`data/intents.onnx` is multilingual-e5-small (Wang et al. 2024, MIT), cut down to the word pieces of our
languages and taught by `ecgvlm.train.small.intents` to tell the intents of `words/data/intents.toml`. It
reads the words as they are written; of those that name something of an ECG it is also told the kind. It
also tells what they ask about, where that has a name that no table holds ("it stops for a bit").
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ecgvlm.sessions import open_aside, read_model_file

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NET, KNOWN, PIECES = "intents.onnx", "intents.json", "pieces.json"
# Of what is named; the first is that of all other words.
KINDS = (
    "", "finding", "measure", "wave", "group", "lead", "region", "side", "style", "subject", "topic", "unit",
    "number",
)  # fmt: skip
THINGS = ("finding", "measure", "group", "wave")  # kinds of what is asked about
BEGINS, PADS, ENDS, UNKNOWN = range(4)  # pieces that are no text
MOST = 64  # pieces of a text that are read: of a longer one the end


class Span(NamedTuple):
    """A name in a text: the letters [start, end) and one of `KINDS`."""

    start: int
    end: int
    kind: str


def pieces(tokenizer: Tokenizer, text: str, named: Iterable[Span]) -> tuple[np.ndarray, np.ndarray]:
    """[n] int64 pieces of a text and [n] int64 the kinds of what they are part of. What is all in capitals is
    read in small letters, in which pieces are words."""
    if text.isupper() and len(text.lower()) == len(text):
        text = text.lower()
    encoded = tokenizer.encode(text, add_special_tokens=False)
    kinds = np.zeros(len(encoded.ids), np.int64)
    for span in named:
        for place, (start, end) in enumerate(encoded.offsets):
            if start < span.end and end > span.start:
                kinds[place] = KINDS.index(span.kind)
    last = slice(max(0, len(kinds) + 2 - MOST), None)
    return np.array([BEGINS, *encoded.ids[last], ENDS], np.int64), np.array([0, *kinds[last], 0], np.int64)


class Scores(NamedTuple):
    """[texts, intents] and [texts, things] logits of calibrated probabilities."""

    intents: np.ndarray
    things: np.ndarray


class Comprehension:
    """The net, which opens beside what else is done first. Raises EcgError where its files are missing or
    damaged.

    things: what may be asked about, as "finding=AF", the first being nothing of these.
    """

    def __init__(self) -> None:
        known = json.loads(read_model_file(KNOWN))
        self.intents: list[str] = known["intents"]
        self.things: list[str] = known["things"]
        self._cold: float = known["temperature"]
        self._cold_things: float = known["temperature_of_things"]
        self._net = open_aside(NET)
        self._pieces = read_model_file(PIECES).decode()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self._pieces)

    def scores(self, texts: Sequence[tuple[str, Sequence[Span]]]) -> Scores:
        """What each text, with what it names, asks."""
        cut = [pieces(self._tokenizer, text, named) for text, named in texts]
        ids, kinds = (padded(column, filler) for column, filler in zip(zip(*cut), (PADS, 0)))
        meant, about = self._net().run(None, {"pieces": ids, "kinds": kinds})
        return Scores(meant / self._cold, about / self._cold_things)


def padded(rows: Sequence[np.ndarray], filler: int) -> np.ndarray:
    """[rows, longest] int64, the shorter ones filled up."""
    out = np.full((len(rows), max(map(len, rows))), filler, np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out
