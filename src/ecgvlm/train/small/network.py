"""The network of the findings encoder: printed leads and median beat -> logits of what waves show.

It sees no measured number: those are the trees' (`ecgvlm.train.small.trees`), and two views of a page that
share nothing make a better pair (docs/lab.md).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from ecgvlm.judge.findings import SAMPLES
from ecgvlm.labels import LABELS

STRIP_WIDTHS, BEAT_WIDTHS = (40, 64, 96, 128), (64, 96, 128)
_STRIP_STRIDE = 4  # of the first convolution
STRIP_STEP = _STRIP_STRIDE * 2 ** (len(STRIP_WIDTHS) - 1)  # samples of a strip for each of its tokens
BY_NUMBERS = ("SB", "ST")  # what the heart rate defines: a network finds only chance beside it


class Residual(nn.Module):
    """Two convolutions over time around a shortcut that halves the length: [B, a, T] -> [B, b, T/2]."""

    def __init__(self, a: int, b: int, kernel: int = 5, drop: float = 0.1):
        super().__init__()
        self.conv1 = nn.Conv1d(a, b, kernel, 2, kernel // 2, bias=False)
        self.norm1 = nn.BatchNorm1d(b)
        self.conv2 = nn.Conv1d(b, b, kernel, 1, kernel // 2, bias=False)
        self.norm2 = nn.BatchNorm1d(b)
        self.short = nn.Sequential(nn.Conv1d(a, b, 2, 2, bias=False), nn.BatchNorm1d(b))
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if int(x.shape[2]) % 2:  # known when the graph is written, which need not work it out then
            x = F.pad(x, (0, 1))
        y = self.norm2(self.conv2(self.drop(F.relu(self.norm1(self.conv1(x))))))
        return F.relu(self.short(x) + y)


def _tower(widths: tuple[int, ...], kernel: int, stride: int) -> nn.Sequential:
    stem = [
        nn.Conv1d(24, widths[0], kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm1d(widths[0]),
        nn.ReLU(),
    ]
    return nn.Sequential(*stem, *(Residual(a, b) for a, b in pairwise(widths)))


class Network(nn.Module):
    """leads [B, 12, SAMPLES], beat [B, 12, BEAT] in mV, NaN where not printed -> logits [B, labels].

    Every label has a query of its own that attends to the strip's and the beat's tokens; what it found and
    the strongest that the page shows give its logit.
    """

    shown: torch.Tensor

    def __init__(self, width: int = 128, drop: float = 0.3):
        super().__init__()
        labels = len(LABELS)
        self.strip = _tower(STRIP_WIDTHS, 11, _STRIP_STRIDE)
        self.beat = _tower(BEAT_WIDTHS, 7, 1)
        self.strip_in = nn.Linear(STRIP_WIDTHS[-1], width)
        self.beat_in = nn.Linear(BEAT_WIDTHS[-1], width)
        self.query = nn.Parameter(torch.randn(labels, width) * 0.05)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Parameter(torch.randn(labels, 2 * width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(labels))
        self.register_buffer("shown", torch.tensor([float(x not in BY_NUMBERS) for x in LABELS]))
        self.drop = nn.Dropout(drop)
        self.restore = nn.Linear(width, 12 * STRIP_STEP)

    def forward(self, leads: torch.Tensor, beat: torch.Tensor) -> torch.Tensor:
        return self._judged(*self._tokens(leads, beat))

    def with_restored(self, leads: torch.Tensor, beat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits, and all that the leads do over the ten seconds, as far as it can be guessed: [B, 12,
        SAMPLES] mV."""
        strip, beats = self._tokens(leads, beat)
        restored = self.restore(strip).unflatten(2, (12, STRIP_STEP)).transpose(1, 2).flatten(2)
        return self._judged(strip, beats), restored[..., :SAMPLES]

    def _tokens(self, leads: torch.Tensor, beat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, D] of the strip, [B, T', D] of the beat."""
        strip = self.strip_in(self.strip(_with_mask(leads)).transpose(1, 2))
        return strip, self.beat_in(self.beat(_with_mask(beat)).transpose(1, 2))

    def _judged(self, strip: torch.Tensor, beats: torch.Tensor) -> torch.Tensor:
        tokens = torch.cat([strip, beats], 1)
        weights = torch.softmax(self.query @ self.key(tokens).transpose(1, 2) / tokens.shape[2] ** 0.5, 2)
        finding = weights @ self.value(tokens)  # [B, L, D]
        page = tokens.amax(1, keepdim=True).expand_as(finding)
        features = torch.cat([finding, page], 2)
        return self.shown * (self.drop(features) * self.head).sum(2) + self.bias


def _with_mask(x: torch.Tensor) -> torch.Tensor:
    """[B, 12, T] with NaN -> [B, 24, T]: 0 where not printed, and whether printed."""
    printed = ~torch.isnan(x)
    return torch.cat([torch.nan_to_num(x), printed.to(x.dtype)], 1)


class Ensemble(nn.Module):
    """Mean of the members' logits."""

    def __init__(self, members: list[Network]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, leads: torch.Tensor, beat: torch.Tensor) -> torch.Tensor:
        return torch.stack([member(leads, beat) for member in self.members]).mean(0)
