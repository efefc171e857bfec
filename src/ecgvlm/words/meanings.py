"""What English words mean, also those that no wording has: vectors that words of like use have alike.

`data/meanings.bin` holds some thirty thousand words, each with a vector of 100 numbers: GloVe (Pennington,
Socher and Manning 2014, in the public domain by the PDDL) as `ecgvlm.train.small.meanings` cuts it down.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ecgvlm.sessions import read_model_file

DIMENSIONS = 100
SCALE = 1 / 256  # of the numbers as they are stored
# Sorted by the checksums of the words, which are written nowhere themselves. used: whether a word is one of
# the most used, and so no slip of the pen.
ROW = np.dtype([("word", "<u4"), ("used", "?"), ("vector", "i1", DIMENSIONS)])
LANGUAGE = "en"


def key(word: str) -> int:
    """What a word is found by."""
    return zlib.crc32(word.encode())


@lru_cache
def _table() -> np.ndarray:
    return np.frombuffer(read_model_file("meanings.bin"), ROW)


def is_word(word: str, often: bool = True) -> bool:
    """Whether this is a word that English uses, by default often."""
    table = _table()
    row = table[min(int(np.searchsorted(table["word"], key(word))), len(table) - 1)]
    return bool(row["word"] == key(word) and (row["used"] or not often))


def meanings(words: Sequence[str], unusual: Sequence[bool], language: str) -> np.ndarray:
    """[n, DIMENSIONS + 1] float32: the vectors of the words that have one, with whether each is unusual."""
    keys = np.array([key(word) for word in words], np.uint32)
    if language != LANGUAGE or not len(keys):
        return np.empty((0, DIMENSIONS + 1), np.float32)
    table = _table()
    places = np.searchsorted(table["word"], keys).clip(max=len(table) - 1)
    known = table["word"][places] == keys
    vectors = table["vector"][places[known]] * np.float32(SCALE)
    return np.column_stack([vectors, np.array(unusual, np.float32)[known]]).astype(np.float32)
