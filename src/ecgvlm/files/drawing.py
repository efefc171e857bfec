"""A page that a program drew: beside its picture, the lines and words that the picture was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_ONE_LINE = 0.6  # of a word's height, by which the middles of words of one line differ at most


@dataclass(frozen=True)
class Line:
    """Straight pieces one after the other: [n, 2] px of the picture. style: lines of one look share it."""

    points: np.ndarray
    style: int


@dataclass(frozen=True)
class Word:
    """Letters without a gap between them, and their box in px of the picture."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def x(self) -> float:
        return (self.x0 + self.x1) / 2

    @property
    def y(self) -> float:
        return (self.y0 + self.y1) / 2


@dataclass(frozen=True)
class Drawing:
    """A drawn page. image: [H, W, 3] uint8 RGB, its picture. px_per_mm: of the paper that it is meant for,
    across and down."""

    image: np.ndarray
    px_per_mm: tuple[float, float]
    lines: tuple[Line, ...] = ()
    words: tuple[Word, ...] = ()


def text_lines(words: Sequence[Word]) -> list[str]:
    """The words as lines of text, from top to bottom; two or more spaces stand for a wide gap."""
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda w: w.y):
        last = lines[-1][-1] if lines else None
        if last is not None and abs(last.y - word.y) < _ONE_LINE * (last.y1 - last.y0):
            lines[-1].append(word)
        else:
            lines.append([word])
    return [_joined(sorted(line, key=lambda w: w.x0)) for line in lines]


def _joined(line: list[Word]) -> str:
    text = line[0].text
    for before, word in pairwise(line):
        text += (" " if word.x0 - before.x1 < before.y1 - before.y0 else "  ") + word.text
    return text
