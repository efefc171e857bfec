"""What a page's printer knows of it, as lessons for a vision half: of each patch, and of the whole page.

A vision half that starts from random weights learns from words alone for days. What is printed where is known
of every printed page, costs nothing and says something about every patch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ecgvlm.files.page_form import fit_points
from ecgvlm.judge.findings import NUMBERS
from ecgvlm.labels import LABELS
from ecgvlm.paper.truth import PageTruth
from ecgvlm.record import LEADS

PATCH = 16  # px
FINE = 8  # cells along a patch's side in which the trace is looked for
_THIN = 0.3  # mm: width of the line that is learned, whatever that of the printed one
_FURTHER = len(LEADS) + 1  # stands for leads beyond the twelve; 0 for none
_SPREADS = 4.0  # so many of a number's usual spreads from its middle is as far as one counts
# What each lesson weighs in the loss.
WEIGHTS = {"trace": 6.0, "lead": 0.5, "level": 1.0, "findings": 3.0, "numbers": 2.0}


@dataclass(frozen=True)
class Lessons:
    """Of a sheet [S, 2 S] px, whose patches count h = S / PATCH down and 2 h across, or of n of them with n
    as a first dimension.

    trace: [h FINE, 2 h FINE] uint8, the share of a cell that the trace covers. lead: [h, 2 h] uint8, whose
    strip a patch lies in: 0 nobody's, else the lead's place in `LEADS` and 1, or `_FURTHER`. level: [h, 2 h]
    float32, mean height in mV of the trace in a patch, NaN without. findings: [labels] int8, 1 found, 0
    absent, -1 unknown. numbers: [NUMBERS] float32, what was measured, in spreads from its middle, NaN
    unknown.
    """

    trace: torch.Tensor
    lead: torch.Tensor
    level: torch.Tensor
    findings: torch.Tensor
    numbers: torch.Tensor

    def to(self, device: torch.device) -> Lessons:
        return Lessons(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def pin_memory(self) -> Lessons:
        return Lessons(*(getattr(self, f.name).pin_memory() for f in fields(self)))


def stacked(lessons: Sequence[Lessons]) -> Lessons:
    return Lessons(*(torch.stack([getattr(one, f.name) for one in lessons]) for f in fields(Lessons)))


def lessons_of(
    truth: PageTruth, picture: tuple[int, int], side: int, findings: np.ndarray, numbers: np.ndarray
) -> Lessons:
    """Of a page that is `fit` to a sheet [side, 2 side]. picture: its height and width in px."""

    def on_sheet(xy: np.ndarray) -> np.ndarray:
        return fit_points(xy, *picture, 2 * side)

    h = side // PATCH
    drawn = np.zeros((side, 2 * side), np.uint8)
    lead = np.zeros((h, 2 * h), np.uint8)
    total, count = np.zeros(2 * h * h), np.zeros(2 * h * h)
    for trace in truth.traces:
        name = LEADS.index(trace.lead) + 1 if trace.lead in LEADS else _FURTHER
        corners = np.round((on_sheet(trace.box) + 0.5) / PATCH - 0.5).astype(np.int32)
        cv2.fillConvexPoly(lead, corners, name)
    for trace in truth.traces:
        name = LEADS.index(trace.lead) + 1 if trace.lead in LEADS else _FURTHER
        xy = on_sheet(trace.xy)
        there = np.isfinite(xy).all(1) & (xy >= -0.5).all(1) & (xy < (2 * side - 0.5, side - 0.5)).all(1)
        for run in np.split(np.arange(len(xy)), np.flatnonzero(~there)):
            points = xy[run[there[run]]]
            if len(points) > 1:
                cv2.polylines(drawn, [np.round(points * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
        column, row = ((xy[there] + 0.5) // PATCH).astype(int).T
        at = row * 2 * h + column
        lead.reshape(-1)[at] = name
        count += np.bincount(at, minlength=len(count))
        total += np.bincount(at, trace.mv[there], len(count))
    with np.errstate(invalid="ignore"):
        level = (total / count).reshape(h, 2 * h).astype(np.float32)
    fine = cv2.resize(drawn, (2 * h * FINE, h * FINE), interpolation=cv2.INTER_AREA)
    parts = (fine, lead, level, findings, numbers)
    return Lessons(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


@dataclass(frozen=True)
class Spreads:
    """Middle and usual spread of each of many numbers, [NUMBERS] each, NaN where none is known."""

    middle: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, numbers: np.ndarray) -> Spreads:
        """Of [n, NUMBERS], NaN where unknown. Numbers known too rarely count as unknown."""
        known = np.isfinite(numbers).sum(0) >= 0.05 * len(numbers)
        middle, spread = np.full(numbers.shape[1], np.nan), np.full(numbers.shape[1], np.nan)
        low, middle[known], high = np.nanpercentile(numbers[:, known], (16, 50, 84), axis=0)
        spread[known] = np.maximum((high - low) / 2, 1e-3)
        return cls(middle, spread)

    def scale(self, numbers: np.ndarray) -> np.ndarray:
        """[..., NUMBERS] in spreads from the middle, far ones cut off."""
        return np.clip((numbers - self.middle) / self.spread, -_SPREADS, _SPREADS).astype(np.float32)


class Pupil(nn.Module):
    """Reads off a vision half what the lessons ask. width: of its patches; tokens: of the connector's
    tokens."""

    def __init__(self, width: int, tokens: int):
        super().__init__()
        self.patch = nn.Linear(width, FINE * FINE + _FURTHER + 1 + 1)
        self.page = nn.Sequential(nn.LayerNorm(tokens), nn.Linear(tokens, len(LABELS) + NUMBERS))

    def losses(self, patches: torch.Tensor, tokens: torch.Tensor, taught: Lessons) -> dict[str, torch.Tensor]:
        """By lesson. patches: [2 B, h h, V], the left and the right half of each sheet. tokens: [B, n, D]."""
        b, h = len(tokens), taught.lead.shape[1]
        trace, lead, level = self.patch(patches).float().split((FINE * FINE, _FURTHER + 1, 1), dim=-1)
        trace = trace.view(b, 2, h, h, FINE, FINE).permute(0, 2, 4, 1, 3, 5).reshape(taught.trace.shape)
        lead, level = (_across(part, b, h) for part in (lead, level))
        findings, numbers = self.read(tokens)
        return {
            "trace": F.binary_cross_entropy_with_logits(trace, taught.trace.float() / 255),
            "lead": F.cross_entropy(lead.flatten(0, 2), taught.lead.flatten().long()),
            "level": _where_known(F.smooth_l1_loss, level[..., 0], taught.level),
            "findings": _where_known(
                F.binary_cross_entropy_with_logits, findings, taught.findings.float(), taught.findings >= 0
            ),
            "numbers": _where_known(F.smooth_l1_loss, numbers, taught.numbers),
        }

    def read(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [B, n, D] -> logits of `LABELS` and scaled numbers, [B, ...] each."""
        found = self.page(tokens.float().mean(1)).float()
        return found[:, : len(LABELS)], found[:, len(LABELS) :]


def weighed(losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()


def _across(part: torch.Tensor, b: int, h: int) -> torch.Tensor:
    """[2 B, h h, C] of left and right halves -> [B, h, 2 h, C] of sheets."""
    return part.view(b, 2, h, h, -1).transpose(1, 2).flatten(2, 3)


def _where_known(loss, said: torch.Tensor, taught: torch.Tensor, known: torch.Tensor | None = None):
    """Mean loss where something is taught, 0 where nothing is; nothing here asks the device."""
    known = taught.isfinite() if known is None else known
    each = loss(said, torch.where(known, taught, 0), reduction="none")
    return torch.where(known, each, 0).sum() / known.sum().clamp(min=1)


def numbered_places(patches: torch.Tensor) -> torch.Tensor:
    """Sine and cosine of each patch's row and column, in the form of `patches`: [h h, V], about as strong as
    what a fresh layer makes of a patch's pixels.

    For a vision half to begin with: to find the plane behind 1024 random vectors takes it longer than such a
    run has.
    """
    count, width = patches.shape
    side, waves = round(count**0.5), width // 4
    rate = 2 * torch.exp(-torch.arange(waves) / waves * np.log(1000.0))
    angle = torch.arange(side)[:, None] * rate
    along = torch.cat([angle.sin(), angle.cos()], 1)
    rows, columns = along[:, None].expand(-1, side, -1), along[None].expand(side, -1, -1)
    places = torch.cat([rows, columns], -1).flatten(0, 1)
    return 0.3 * F.pad(places, (0, width - places.shape[1])).to(patches)
