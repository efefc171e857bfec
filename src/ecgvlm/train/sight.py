"""What a page's printer knows of it, as lessons for a vision half: of each patch, and of the whole page.

A vision half that starts from random weights learns from words alone for days. What is printed where is known
of every printed page, costs nothing and says something about every patch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ecgvlm.judge.findings import NUMBERS, lead_numbers
from ecgvlm.labels import LABELS
from ecgvlm.paper.truth import PageTruth
from ecgvlm.record import LEADS

PATCH = 16  # px
FINE = 8  # cells along a patch's side in which the trace is looked for
WAVE_NAMES = ("P", "QRS", "T")
_FURTHER = len(LEADS) + 1  # stands for leads beyond the twelve; 0 for none
_SPREADS = 4.0  # so many of a number's usual spreads from its middle is as far as one counts
# Where in the numbers stands what is one lead's own, [12, n], and what is the page's.
_OF_LEAD = [lead_numbers(lead) for lead in LEADS]
_OF_PAGE = sorted(set(range(NUMBERS)) - {i for own in _OF_LEAD for i in own})
# What a patch says: where the trace runs in it, whose strip it lies in, how high the trace is, which waves it
# shows; then what the lead's numbers are, what the page's are, and what the page's findings are.
_SAID = (
    FINE * FINE, _FURTHER + 1, 1, len(WAVE_NAMES) * FINE, len(_OF_LEAD[0]), len(_OF_PAGE), len(LABELS)
)  # fmt: skip
# What each lesson weighs in the loss.
WEIGHTS = {
    "trace": 6.0, "lead": 0.5, "level": 1.0, "waves": 1.0, "strip": 1.0, "page": 1.0, "local": 2.0,
    "findings": 3.0, "numbers": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Beats:
    """When a record's beats are. at: [b] R times in s. spans: start and end in s from R of those of
    `WAVE_NAMES` that a usual beat has."""

    at: np.ndarray
    spans: Mapping[str, tuple[float, float]]

    def shown(self, wave: str, t: np.ndarray) -> np.ndarray:
        """Whether a wave is under way at each of the times t in s."""
        if wave not in self.spans:
            return np.zeros(t.shape, bool)
        begun, over = (np.searchsorted(self.at + edge, t) for edge in self.spans[wave])
        return begun > over


@dataclass(frozen=True)
class Lessons:
    """Of a tile [S, S] px, whose patches count h = S / PATCH in each direction, or of n of them with n as a
    first dimension.

    trace: [h FINE, h FINE] uint8, the share of a cell that the trace covers. lead: [h, h] uint8, whose strip
    a patch lies in: 0 nobody's, else the lead's place in `LEADS` and 1, or `_FURTHER`. level: [h, h] float32,
    mean height in mV of the trace in a patch, NaN without. waves: [h, h, 3] uint8, of each of `WAVE_NAMES`
    the columns of a patch (bits, the lowest first) where the trace in it shows one. findings: [labels] int8,
    1 found, 0 absent, -1 unknown. numbers: [NUMBERS] float32, what was measured, in spreads from its middle,
    NaN unknown.
    """

    trace: torch.Tensor
    lead: torch.Tensor
    level: torch.Tensor
    waves: torch.Tensor
    findings: torch.Tensor
    numbers: torch.Tensor

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Lessons:
        return Lessons(*(change(getattr(self, f.name)) for f in fields(self)))


def stacked(lessons: Sequence[Lessons]) -> Lessons:
    return Lessons(*(torch.stack([getattr(one, f.name) for one in lessons]) for f in fields(Lessons)))


def tile_of(page: np.ndarray, side: int) -> np.ndarray:
    """A page [H, W, 3] as the one tile [side, side, 3] that is shown of it: stretched, as SmolVLM's processor
    does with a picture that it does not split."""
    return cv2.resize(page, (side, side), interpolation=cv2.INTER_AREA)


def tile_points(xy: np.ndarray, height: int, width: int, side: int) -> np.ndarray:
    """Where points [..., 2] px of a page lie in its tile."""
    return (xy + 0.5) * (side / width, side / height) - 0.5


def lessons_of(
    truth: PageTruth,
    picture: tuple[int, int],
    side: int,
    beats: Beats,
    findings: np.ndarray,
    numbers: np.ndarray,
) -> Lessons:
    """Of a page's tile. picture: the page's height and width in px."""
    h = side // PATCH
    drawn = np.zeros((side, side), np.uint8)
    lead = np.zeros((h, h), np.uint8)
    waves = np.zeros((h * h, len(WAVE_NAMES)), np.uint8)
    total, count = np.zeros(h * h), np.zeros(h * h)
    for trace in truth.traces:
        corners = np.round((tile_points(trace.box, *picture, side) + 0.5) / PATCH - 0.5).astype(np.int32)
        cv2.fillConvexPoly(lead, corners, _whose(trace.lead))
    for trace in truth.traces:
        xy = tile_points(trace.xy, *picture, side)
        there = np.isfinite(xy).all(1) & (xy >= -0.5).all(1) & (xy < side - 0.5).all(1)
        for run in np.split(np.arange(len(xy)), np.flatnonzero(~there)):
            points = xy[run[there[run]]]
            if len(points) > 1:
                cv2.polylines(drawn, [np.round(points * 16).astype(np.int32)], False, 255, 1, cv2.LINE_AA, 4)
        x, y = (xy[there] + 0.5).T
        at = (y // PATCH).astype(int) * h + (x // PATCH).astype(int)
        lead.reshape(-1)[at] = _whose(trace.lead)
        count += np.bincount(at, minlength=len(count))
        total += np.bincount(at, trace.mv[there], len(count))
        bit = np.left_shift(1, (x % PATCH * FINE // PATCH).astype(np.uint8))
        for k, wave in enumerate(WAVE_NAMES):
            shown = beats.shown(wave, trace.t[there])
            np.bitwise_or.at(waves[:, k], at[shown], bit[shown])
    with np.errstate(invalid="ignore"):
        level = (total / count).reshape(h, h).astype(np.float32)
    fine = cv2.resize(drawn, (h * FINE, h * FINE), interpolation=cv2.INTER_AREA)
    parts = (fine, lead, level, waves.reshape(h, h, -1), findings, numbers)
    return Lessons(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def _whose(lead: str) -> int:
    """What `Lessons.lead` holds where a lead's strip is."""
    return LEADS.index(lead) + 1 if lead in LEADS else _FURTHER


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
    tokens.

    Every patch is asked about its lead and about the whole page too, not only the page's tokens about that:
    what one lead shows is then learned where it is seen, and is there to be looked at by all.
    """

    of_lead: torch.Tensor
    of_page: torch.Tensor

    def __init__(self, width: int, tokens: int):
        super().__init__()
        self.patch = nn.Linear(width, sum(_SAID))
        self.register_buffer("of_lead", torch.tensor(_OF_LEAD))
        self.register_buffer("of_page", torch.tensor(_OF_PAGE))
        self.page = nn.Sequential(nn.LayerNorm(tokens), nn.Linear(tokens, len(LABELS) + NUMBERS))

    def losses(self, patches: torch.Tensor, tokens: torch.Tensor, taught: Lessons) -> dict[str, torch.Tensor]:
        """By lesson. patches: [B, h h, V], of each tile. tokens: [B, n, D]."""
        b, h = taught.lead.shape[:2]
        said = self.patch(patches).float()
        trace, lead, level, waves, strip, page, local = said.split(_SAID, dim=-1)
        trace = trace.view(b, h, h, FINE, FINE).transpose(2, 3).reshape(taught.trace.shape)
        height = taught.level.flatten(1)
        bits = torch.arange(FINE, device=said.device)
        shown = (taught.waves[..., None].int() >> bits & 1).view(waves.shape)
        whose = taught.lead.flatten(1).long()
        own = ((whose > 0) & (whose < _FURTHER))[..., None]
        measured = taught.numbers
        leads = measured[:, self.of_lead]  # [B, 12, n]
        place = (whose - 1).clamp(0, len(LEADS) - 1)[..., None].expand(-1, -1, leads.shape[-1])
        asked = own & (taught.findings >= 0)[:, None]
        found, numbers = self.read(tokens)
        everywhere = (b, h * h, -1)
        return {
            "trace": F.binary_cross_entropy_with_logits(trace, taught.trace.float() / 255),
            "lead": F.cross_entropy(lead.flatten(0, 1), whose.flatten()),
            "level": _where_known(F.smooth_l1_loss, level[..., 0], height),
            "waves": _where_known(
                F.binary_cross_entropy_with_logits, waves, shown.float(), height.isfinite()[..., None]
            ),
            "strip": _where_known(F.smooth_l1_loss, strip, leads.gather(1, place), own),
            "page": _where_known(
                F.smooth_l1_loss, page, measured[:, None, self.of_page].expand(everywhere), own
            ),
            "local": _where_known(
                F.binary_cross_entropy_with_logits, local,
                taught.findings[:, None].expand(everywhere).float(), asked,
            ),
            "findings": _where_known(
                F.binary_cross_entropy_with_logits, found, taught.findings.float(), taught.findings >= 0
            ),
            "numbers": _where_known(F.smooth_l1_loss, numbers, measured),
        }  # fmt: skip

    def read(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [B, n, D] -> logits of `LABELS` and scaled numbers, [B, ...] each."""
        found = self.page(tokens.float().mean(1)).float()
        return found[:, : len(LABELS)], found[:, len(LABELS) :]


def weighed(losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()


def _where_known(loss, said: torch.Tensor, taught: torch.Tensor, asked: torch.Tensor | None = None):
    """Mean loss where something is taught and asked (of any shape that fits), 0 where nothing is; nothing
    here asks the device."""
    known = taught.isfinite() if asked is None else taught.isfinite() & asked
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
