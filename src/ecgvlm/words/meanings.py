"""What words mean, also those that no wording has: vectors that words of like use have alike.

`data/meanings.bin` holds some thirty thousand English words, each with a vector of 100 numbers: GloVe
(Pennington, Socher and Manning 2014, in the public domain by the PDDL). `data/senses.bin` holds the most used
words of all our languages, and the inflections of those that questions have, each with 64 numbers in which
words of different languages that mean the same are alike: multilingual-e5-small (Wang et al. 2024, MIT), cut
down. Both are made by `ecgvlm.train.small.meanings`.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from ecgvlm.sessions import read_model_file

USES, SENSES = 100, 64  # numbers that tell how an English word is used, and what any word means
DIMENSIONS = USES + SENSES
SCALE = 1 / 256  # of the numbers as they are stored
# Sorted by the checksums of the words, which are written nowhere themselves. used: whether a word is one of
# the most used, and so no slip of the pen.
ROW = np.dtype([("word", "<u4"), ("used", "?"), ("vector", "i1", USES)])
SENSE_ROW = np.dtype([("word", "<u4"), ("vector", "i1", SENSES)])
_ROWS = {"meanings.bin": ROW, "senses.bin": SENSE_ROW}
LANGUAGE = "en"
UNSPACED = "zh"  # in which a word here is a part of a word
_LONGEST = 4  # ideographs of a word
_STEM, _OF_WORD = 4, 0.6  # letters of the beginning by which an unknown word is known, and their share


def key(word: str, language: str = LANGUAGE) -> int:
    """What a word is found by."""
    return zlib.crc32((word if language == LANGUAGE else f"{language} {word}").encode())


@lru_cache
def _table(name: str) -> np.ndarray:
    return np.frombuffer(read_model_file(name), _ROWS[name])


def is_word(word: str, often: bool = True) -> bool:
    """Whether this is a word that English uses, by default often."""
    row = _row("meanings.bin", key(word))
    return row is not None and bool(row["used"] or not often)


def has(word: str, language: str) -> bool:
    """Whether this is a word that a language, or English, often uses."""
    return is_word(word) or (language != LANGUAGE and _known_sense(word, language) is not None)


def meanings(words: Sequence[str], unusual: Sequence[bool], language: str) -> np.ndarray:
    """[n, DIMENSIONS + 1] float32: the vectors of the words that have one, with whether each is unusual."""
    rows = []
    for word, strange in _whole(words, unusual, language):
        use = _vector("meanings.bin", key(word)) if language == LANGUAGE else None
        sense = _sense(word, language)
        if use is not None or sense is not None:
            rows.append(
                np.concatenate(
                    [
                        np.zeros(USES) if use is None else use * SCALE,
                        np.zeros(SENSES) if sense is None else sense * SCALE,
                        [strange],
                    ]
                )
            )
    return np.array(rows, np.float32).reshape(-1, DIMENSIONS + 1)


def _whole(words: Sequence[str], unusual: Sequence[bool], language: str) -> Iterator[tuple[str, bool]]:
    """The words, each with whether it is unusual; ideographs as the longest words that they make."""
    place = 0
    while place < len(words):
        lengths = range(_LONGEST, 1, -1) if language == UNSPACED and len(words[place]) == 1 else ()
        length = next(
            (n for n in lengths if _known_sense("".join(words[place : place + n]), language) is not None), 1
        )
        yield "".join(words[place : place + length]), any(unusual[place : place + length])
        place += length


def _sense(word: str, language: str) -> np.ndarray | None:
    """The vector of a word, or of the longest beginning that has one."""
    if (known := _known_sense(word, language)) is not None or language in (LANGUAGE, UNSPACED):
        return known
    least = max(_STEM, round(_OF_WORD * len(word)))
    stems = (_known_sense(word[:length], language) for length in range(len(word) - 1, least - 1, -1))
    return next((stem for stem in stems if stem is not None), None)


def _known_sense(word: str, language: str) -> np.ndarray | None:
    return _vector("senses.bin", key(word, language))


@lru_cache(1 << 14)
def _vector(name: str, key: int) -> np.ndarray | None:
    row = _row(name, key)
    return None if row is None else row["vector"].astype(np.float32)


def _row(name: str, key: int) -> np.void | None:
    """The row of a table that a word is found in."""
    table = _table(name)
    row = table[min(int(np.searchsorted(table["word"], np.uint32(key))), len(table) - 1)]
    return row if row["word"] == key else None
