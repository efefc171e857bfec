"""Which words a language uses, so that none of them is taken for a slip of the pen.

`data/dictionary.bin` holds some hundred and fifty thousand words of all our languages, made by
`ecgvlm.train.small.dictionary`.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np

from ecgvlm.sessions import read_model_file

# Sorted by the checksums of the words, which are written nowhere themselves. used: whether a word is one of
# the most used.
ROW = np.dtype([("word", "<u4"), ("used", "?")])
TABLE = "dictionary.bin"
LANGUAGE = "en"


def key(word: str, language: str = LANGUAGE) -> int:
    """What a word is found by."""
    return zlib.crc32((word if language == LANGUAGE else f"{language} {word}").encode())


@lru_cache
def _table() -> np.ndarray:
    return np.frombuffer(read_model_file(TABLE), ROW)


def is_word(word: str, often: bool = True, language: str = LANGUAGE) -> bool:
    """Whether this is a word that a language uses, by default often."""
    table, wanted = _table(), key(word, language)
    row = table[min(int(np.searchsorted(table["word"], np.uint32(wanted))), len(table) - 1)]
    return bool(row["word"] == wanted and (row["used"] or not often))


def has(word: str, language: str) -> bool:
    """Whether this is a word that a language, or English, often uses."""
    return is_word(word) or is_word(word, language=language)
