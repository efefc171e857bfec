"""Train the findings encoder: digitised leads, median beat and measurements -> label probabilities.

    python -m ecgvlm.train.encoder --pool runs/pool --out runs/encoder --members 5 --epochs 60

The pool holds observations (`ecgvlm.train.pool`): what the digitiser reads off rendered pages of folds 1 to 7, and
off simulated rare conditions. Folds 1 to 6 train; fold 7 sets calibration and thresholds. Members differ by seed
and are averaged in one ONNX file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ecgvlm.labels import LABELS
from ecgvlm.model.findings import BEAT, NUMBERS, SAMPLES

WIDTHS = (48, 64, 96, 128, 160)


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
        x = F.pad(x, (0, x.shape[2] % 2))
        y = self.norm2(self.conv2(self.drop(F.relu(self.norm1(self.conv1(x))))))
        return F.relu(self.short(x) + y)


def _tower(widths: tuple[int, ...], kernel: int, stride: int) -> nn.Sequential:
    stem = [
        nn.Conv1d(24, widths[0], kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm1d(widths[0]),
        nn.ReLU(),
    ]
    return nn.Sequential(*stem, *(Residual(a, b) for a, b in zip(widths, widths[1:])))


class Encoder(nn.Module):
    """leads [B, 12, SAMPLES], beat [B, 12, BEAT] in mV with NaN where not printed, numbers [B, NUMBERS] -> logits [B, labels].

    Every label has a query of its own that attends to the strip's and the beat's tokens; its finding token and the
    measured numbers give its logit.
    """

    def __init__(self, width: int = 128, drop: float = 0.3):
        super().__init__()
        labels = len(LABELS)
        self.strip = _tower(WIDTHS, 9, 2)
        self.beat = _tower((48, 64, 96), 7, 1)
        self.strip_in, self.beat_in = nn.Linear(WIDTHS[-1], width), nn.Linear(96, width)
        self.numbers = nn.Sequential(
            nn.Linear(2 * NUMBERS, 96), nn.ReLU(), nn.Dropout(drop), nn.Linear(96, width), nn.ReLU()
        )
        self.query = nn.Parameter(torch.randn(labels, width) * 0.05)
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Parameter(torch.randn(labels, 3 * width) * 0.05)
        self.bias = nn.Parameter(torch.zeros(labels))
        self.drop = nn.Dropout(drop)

    @staticmethod
    def _with_mask(x: torch.Tensor) -> torch.Tensor:
        printed = ~torch.isnan(x)
        return torch.cat([torch.nan_to_num(x), printed.to(x.dtype)], 1)

    def forward(self, leads: torch.Tensor, beat: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        strip = self.strip_in(self.strip(self._with_mask(leads)).transpose(1, 2))  # [B, 32, D]
        beats = self.beat_in(self.beat(self._with_mask(beat)).transpose(1, 2))  # [B, T, D]
        tokens = torch.cat([strip, beats], 1)
        weights = torch.softmax(self.query @ self.key(tokens).transpose(1, 2) / tokens.shape[2] ** 0.5, 2)
        finding = weights @ self.value(tokens)  # [B, L, D]
        page = tokens.amax(1, keepdim=True).expand_as(finding)
        known = self.numbers(torch.cat([torch.nan_to_num(numbers), torch.isnan(numbers).to(numbers.dtype)], 1))
        features = torch.cat([finding, page, known[:, None].expand_as(finding)], 2)
        return (self.drop(features) * self.head).sum(2) + self.bias
