"""Variations of an observation that leave its labels true: other paper, gain, noise, blur, pieces missing.

All take and give tensors on one device, [B, 12, T] in mV with NaN where nothing is printed.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from ecgvlm.judge.findings import ENCODER_FS, SAMPLES
from ecgvlm.train.small.pool import LAYOUT_ODDS, as_printed

_BLUR = 12.0  # ms, the widest Gaussian that paper, camera and digitiser draw over a trace
_WANDER = 0.06  # mV


def reprinted(whole: torch.Tensor) -> torch.Tensor:
    """What random layouts print of whole records ([B, 12, SAMPLES] at `ENCODER_FS`)."""
    odds = torch.tensor(list(LAYOUT_ODDS.values()), device=whole.device)
    layout = torch.multinomial(odds, len(whole), replacement=True)
    offset = 0.02 * torch.randn(len(whole), 12, 1, device=whole.device)  # of a median over less than all
    return (whole + offset).masked_fill(~_printed(whole.device)[layout], torch.nan)


@cache
def _printed(device: torch.device) -> torch.Tensor:
    """[layouts, 12, SAMPLES] bool: where each of `LAYOUT_ODDS` prints something."""
    blank = np.zeros((12, SAMPLES))
    shown = [np.isfinite(as_printed(blank, ENCODER_FS, x, SAMPLES / ENCODER_FS)) for x in LAYOUT_ODDS]
    return torch.from_numpy(np.stack(shown)).to(device)


def varied(
    leads: torch.Tensor, beat: torch.Tensor, spread: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """leads [B, 12, SAMPLES] and beat [B, 12, BEAT], varied alike. spread: [B], how uncertain the gain of
    each lead is (standard deviation of its logarithm)."""
    n, device = len(leads), leads.device

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(n, *shape, device=device)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(n, *shape, device=device)

    if torch.rand(()) < 0.5:
        leads = _blurred(leads, uniform(1) * _BLUR / 1000 * ENCODER_FS)
    t = torch.arange(SAMPLES, device=device) / ENCODER_FS
    wander = torch.sin(2 * math.pi * (t * (0.05 + 0.4 * uniform(12, 1)) + uniform(12, 1)))
    leads = leads + _WANDER * normal(12, 1) * wander * (uniform(1, 1) < 0.5)
    gain = (0.06 * normal(1, 1) + normal(12, 1) * spread[:, None, None]).exp()
    noise = torch.tensor([0.0, 0.01, 0.025], device=device)[torch.randint(0, 3, (n, 1, 1), device=device)]
    leads = leads * gain + noise * torch.randn_like(leads)
    beat = beat * gain + 0.4 * noise * torch.randn_like(beat)
    leads = torch.roll(leads, int(torch.randint(-60, 61, ())), 2)
    beat = torch.roll(beat, int(torch.randint(-2, 3, ())), 2)
    lost = uniform(12, 1) < 0.03
    start = torch.randint(0, SAMPLES, (n, 12, 1), device=device)
    length = torch.randint(4, 40, (n, 12, 1), device=device) * (uniform(12, 1) < 0.1)
    at = torch.arange(SAMPLES, device=device)
    leads = leads.masked_fill(lost | ((at >= start) & (at < start + length)), torch.nan)
    beat = beat.masked_fill(lost, torch.nan)
    # Now and then one of the two views is missing, so that neither is leant on alone.
    return (
        leads.masked_fill(uniform(1, 1) < 0.04, torch.nan),
        beat.masked_fill(uniform(1, 1) < 0.08, torch.nan),
    )


def _blurred(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Each of B smoothed by a Gaussian of its own sigma ([B, 1], samples), over what is printed."""
    n = len(x)
    at = torch.arange(-3, 4, device=x.device)
    kernel = torch.exp(-0.5 * (at / sigma.clamp(min=1e-3)) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(12, 0)[:, None]

    def smoothed(y: torch.Tensor) -> torch.Tensor:
        return F.conv1d(y.reshape(1, 12 * n, -1), kernel, padding=3, groups=12 * n).reshape(x.shape)

    known = ~x.isnan()
    return (smoothed(x.nan_to_num()) / smoothed(known.float()).clamp(min=1e-3)).masked_fill(~known, torch.nan)


def mixed(one: torch.Tensor, other: torch.Tensor, share: float) -> torch.Tensor:
    """share of one and the rest of the other, the other where one is not printed (Zhang et al. 2018)."""
    return torch.where(one.isnan(), other, share * one + (1 - share) * other.nan_to_num())
