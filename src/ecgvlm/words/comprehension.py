"""What a piece of a question asks, as a pretrained net reads it.

`data/intents.onnx` is multilingual-e5-small (Wang et al. 2024, MIT), cut down to the word pieces of our
languages and taught by `ecgvlm.train.small.intents` to tell the intents of `words/data/intents.toml`. It
reads the words as they are written; of those that name something of an ECG it is also told the kind. It
also tells what they ask about, where that has a name that no table holds ("it stops for a bit"), or was
named in the question before ("and is that ok?").
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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
OF_ECG = (*THINGS, "lead")  # of what names something of an ECG
BEGINS, PADS, ENDS, UNKNOWN = range(4)  # pieces that are no text
BEFORE = len(KINDS)  # this and its kind is a piece of the question before
MOST, MOST_BEFORE = 64, 24  # pieces of a text that are read, and of the one before: of a longer one the end


class Span(NamedTuple):
    """A name in a text: the letters [start, end) and one of `KINDS`."""

    start: int
    end: int
    kind: str


class Text(NamedTuple):
    """A text and what it names."""

    text: str
    named: Sequence[Span]


def pieces(tokenizer: Tokenizer, text: Text, before: Text | None = None) -> tuple[np.ndarray, np.ndarray]:
    """[n] int64 pieces of a text, after those of the question before it, and [n] int64 the kinds of what they
    are part of."""
    ids, kinds = _pieces(tokenizer, text, MOST)
    if before is None:
        return ids, kinds
    ids_before, kinds_before = _pieces(tokenizer, before, MOST_BEFORE)
    return np.concatenate([ids_before, ids]), np.concatenate([kinds_before + BEFORE, kinds])


def _pieces(tokenizer: Tokenizer, shown: Text, most: int) -> tuple[np.ndarray, np.ndarray]:
    """What is all in capitals is read in small letters, in which pieces are words."""
    text = shown.text
    if text.isupper() and len(text.lower()) == len(text):
        text = text.lower()
    encoded = tokenizer.encode(text, add_special_tokens=False)
    kinds = np.zeros(len(encoded.ids), np.int64)
    for span in shown.named:
        for place, (start, end) in enumerate(encoded.offsets):
            if start < span.end and end > span.start:
                kinds[place] = KINDS.index(span.kind)
    last = slice(max(0, len(kinds) + 2 - most), None)
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

    def scores(self, texts: Sequence[Text], before: Text | None = None) -> Scores:
        """What each text asks, of those that follow a question after that."""
        cut = [pieces(self._tokenizer, text, before) for text in texts]
        ids, kinds = (padded(column, filler) for column, filler in zip(zip(*cut), (PADS, 0)))
        meant, about = self._net().run(None, {"pieces": ids, "kinds": kinds})
        return Scores(meant / self._cold, about / self._cold_things)


def padded(rows: Sequence[np.ndarray], filler: int) -> np.ndarray:
    """[rows, longest] int64, the shorter ones filled up."""
    out = np.full((len(rows), max(map(len, rows))), filler, np.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return out
