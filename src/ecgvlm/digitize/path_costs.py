"""What the path of a trace costs: little along ink, more over paper, most on ink that is another strip's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

# Cost of the path, per px up or down between two columns: along the ink of a steep deflection little, over
# paper more.
_STEP_COST, _LEAP_COST = 0.02, 0.11
# More of it where, above and below within so many px, nothing is as likely to be ink as that.
_BLANK_COST, _BLANK, _NO_INK = 0.3, 16, 0.1
AWAY_COST = 0.0009  # per px that the path lies away from the row
_FLOOR = 0.02
PAPER = float(-np.log(_FLOOR))  # cost of a column on paper
PAPER_STEP = 2 * (_STEP_COST + _LEAP_COST + _BLANK_COST)  # of going up or down a pair of rows on blank paper
_PLAIN_FROM = 0.5  # probability from which on there is something of plain ink


@dataclass(frozen=True)
class PathCosts:
    """Of the probabilities of ink, two rows in one, transposed: [W, H / 2].

    cost: of a path there, by the greater one. step: of going up or down there, a pair of rows in a column.
    worth: 0..2, what there is of ink that is plain. across: px that one column stands for.
    """

    cost: np.ndarray
    step: np.ndarray
    worth: np.ndarray
    across: int = 1

    @classmethod
    def of(cls, trace: np.ndarray) -> PathCosts:
        upper, lower = trace[: len(trace) // 2 * 2 : 2], trace[1::2]
        cost = cv2.transpose(cv2.max(cv2.max(upper, lower), np.array(_FLOOR)))
        blank = cv2.dilate(cost, np.ones((1, _BLANK // 2), np.uint8)) < _NO_INK
        np.negative(np.log(cost, out=cost), out=cost)
        step = cost * (2 * _LEAP_COST / PAPER)
        step += 2 * _STEP_COST
        step += np.float32(2 * _BLANK_COST) * blank
        plain = [cv2.max(part, np.array(_PLAIN_FROM)) for part in (upper, lower)]
        worth = cv2.addWeighted(plain[0], 2, plain[1], 2, -4 * _PLAIN_FROM)
        return cls(cost, step, cv2.transpose(worth))

    def coarse(self) -> PathCosts:
        """Two columns in one."""
        cost, step = (np.minimum(part[::2], part[1::2]) for part in (self.cost, self.step))
        return PathCosts(cost, step / 2, self.worth[::2], 2)


@dataclass(frozen=True)
class Corridor:
    """Where the path of a strip is looked for: from px x0 on, `length` px long, about the px y of its row,
    between two pairs of rows (first, beyond the last)."""

    x0: int
    length: int
    y: float
    window: tuple[int, int]

    def within(self, costs: PathCosts) -> Corridor:
        """The same with that part of its window which the page has."""
        return replace(self, window=(max(0, self.window[0]), min(costs.cost.shape[1], self.window[1])))

    @property
    def part(self) -> tuple[slice, slice]:
        return np.s_[self.x0 : self.x0 + self.length, self.window[0] : self.window[1]]


@dataclass(frozen=True)
class Share:
    """What of the ink in a strip's window, [columns, pairs of rows], is its own.

    worth: of `PathCosts`, where no other path passes near. others: whether a path passes there whose row lies
    nearer.
    """

    worth: np.ndarray
    others: np.ndarray
