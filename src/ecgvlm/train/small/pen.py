"""Train the net that says where in its ink a curve runs: `ecgvlm.digitize.pen`.

    python -m ecgvlm.train.small.pen --records ../shared/data/ptbxl --out runs/pen --pages 700 --minutes 10

Pages are printed, worn and made smaller as photographs are, digitised up to the ink along each path, and set
beside the truth of where the pen ran. The loss is the error of each stretch in decibels, as a lead is judged:
its offset is free. OUT/pen.onnx is the net.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ecgvlm.atomic import beside
from ecgvlm.digitize import Digitizer
from ecgvlm.digitize.pagenet import PX_PER_MM
from ecgvlm.digitize.pen import ALONG, CHOICES, FACTS, views_of
from ecgvlm.digitize.stroke import inks_of, print_of
from ecgvlm.digitize.surface import PaperMap
from ecgvlm.digitize.trace import paths_of
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import load_ptbxl
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import random_style
from ecgvlm.paper.truth import Rendering
from ecgvlm.record import Record

_WIDTH, _DILATIONS = 24, (1, 2, 4, 8)
_STRETCH = 512  # points that are learned from at once
_BATCH, _RATE = 24, 3e-3
_KINDS = {"clean": 0.22, "scan": 0.23, "photo": 0.55}
_FINE = 0.75  # share of records at 500 Hz, whose spikes are sharp
_BARS = 0.35  # share of pages with bars between columns
_SMALLER, _LEAST_SIDE = 0.5, 1_100  # share of worn pages that are made smaller, and px of their longer side
_FOLDS = range(1, 8)
_USUAL_OFF = 2.0  # px: paths that are off by more in the median follow something else


@dataclass(frozen=True)
class Example:
    """One strip. seen: [`CHOICES` + `FACTS`, n] of `views_of`. off: [n] px at which the curve lies below the
    middle of its ink, NaN where unknown. spread: px of the curve's own standard deviation."""

    seen: np.ndarray
    off: np.ndarray
    spread: float


class PenNet(nn.Module):
    """[B, `CHOICES` + `FACTS`, n] -> [B, n] px below the middle of the ink.

    The shares of all choices, and of the middle itself, in the curve; and what is added to it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(CHOICES + FACTS, _WIDTH, 3, padding=1)
        self.more = nn.ModuleList(nn.Conv1d(_WIDTH, _WIDTH, 3, padding=d, dilation=d) for d in _DILATIONS)
        self.last = nn.Conv1d(_WIDTH, CHOICES + 2, 1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        choices, facts = seen[:, :CHOICES], seen[:, CHOICES:]
        small = torch.sign(choices) * torch.log(1 + choices.abs())
        hidden = F.relu(self.first(torch.cat([small, facts], 1)))
        for layer in self.more:
            hidden = hidden + F.relu(layer(hidden))
        out = self.last(hidden)
        share = torch.softmax(out[:, : CHOICES + 1], 1)
        return (share[:, :CHOICES] * choices).sum(1) + out[:, CHOICES + 1]


def examples(page: Rendering, digitizer: Digitizer) -> Iterator[Example]:
    """The strips of a page as the digitiser sees their ink, beside the truth; none where it finds no ECG."""
    view = digitizer.look(page.image)
    if view is None or view.found is None:
        return
    strips = view.found.strips
    begins, paths = paths_of(view.maps.trace, strips)
    fine = print_of(
        view.maps.trace, view.image, page.image, lambda px: view.paper.to_px(px / PX_PER_MM + view.origin)
    )
    truths = {(trace.lead, trace.rhythm): trace.xy for trace in page.truth.traces}
    for strip, x0, ink in zip(strips, begins, inks_of(fine, begins, paths)):
        xy = truths.get((strip.lead, strip.rhythm), np.zeros((0, 2)))
        xy = xy[np.isfinite(xy).all(1)]
        if len(xy) < 50 or ink.known.sum() < 200:
            continue
        middle = np.array([(strip.x0 + strip.x1) / 2, strip.y]) / PX_PER_MM + view.origin
        place = (located(view.paper, xy, middle) - view.origin) * PX_PER_MM
        order = np.argsort(place[:, 0], kind="stable")
        x = x0 + np.arange(len(ink.path)) / ALONG
        y = np.interp(x, place[order, 0], place[order, 1], left=np.nan, right=np.nan)
        ((about, seen),) = views_of([ink], fine.width)
        off = y - about
        if np.isfinite(off).mean() > 0.9 and np.nanmedian(np.abs(off)) < _USUAL_OFF:
            yield Example(seen.astype(np.float16), off.astype(np.float32), float(np.nanstd(y)))


def located(paper: PaperMap, px: np.ndarray, start: np.ndarray) -> np.ndarray:
    """[n, 2] mm of the paper that lie at px [n, 2] of the picture, by Newton's steps from start [2] mm."""
    mm, half = np.repeat(start[None], len(px), 0), 0.5
    for _ in range(12):
        now = paper.to_px(mm)
        slopes = [(paper.to_px(mm + step) - now) / half for step in ([half, 0.0], [0.0, half])]
        step = np.linalg.solve(np.stack(slopes, -1), (px - now)[..., None])[..., 0]
        mm = mm + np.clip(step, -40, 40)
        if np.abs(step).max() < 1e-3:
            break
    return mm


def random_page(fine: Sequence[Record], slow: Sequence[Record], rng: np.random.Generator) -> Rendering:
    """A page of one of the records, fine ones at 500 Hz. Raises EcgError where it cannot be printed."""
    records = fine if len(fine) and rng.random() < _FINE else slow
    kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
    style = random_style(rng)
    if rng.random() < _BARS:
        style = replace(style, separators="bar")
    page = print_page(records[int(rng.integers(len(records)))], kind, rng, style)
    h, w = page.image.shape[:2]
    factor = max(float(rng.uniform(0.55, 0.95)), _LEAST_SIDE / max(h, w))
    if kind == "clean" or factor > 0.97 or rng.random() > _SMALLER:
        return page
    image = cv2.resize(page.image, (round(w * factor), round(h * factor)), interpolation=cv2.INTER_AREA)
    zoom = np.array([image.shape[1] / w, image.shape[0] / h])
    return Rendering(image, page.truth.warped(lambda px: (np.asarray(px) + 0.5) * zoom - 0.5))


def stretches(strips: Sequence[Example]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[n, `CHOICES` + `FACTS`, `_STRETCH`] half floats; [n, `_STRETCH`] px, NaN where unknown; [n] px."""
    seen, off, spread = [], [], []
    for strip in strips:
        n = len(strip.off)
        for at in range(0, max(1, n - _STRETCH // 2), _STRETCH):
            part = slice(max(0, min(at, n - _STRETCH)), max(0, min(at, n - _STRETCH)) + _STRETCH)
            short = _STRETCH - len(strip.off[part])
            seen.append(np.pad(strip.seen[:, part], ((0, 0), (0, short))))
            off.append(np.pad(strip.off[part], (0, short), constant_values=np.nan))
            spread.append(strip.spread)
    return (
        torch.tensor(np.array(seen)),
        torch.tensor(np.array(off)),
        torch.tensor(spread, dtype=torch.float32),
    )


def loss(found: torch.Tensor, off: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Mean logarithm of the error's power over the curve's, of [n, `_STRETCH`] px; an offset costs little."""
    known = torch.isfinite(off)
    count = known.sum(1).clamp(min=1)
    error = torch.where(known, found - torch.nan_to_num(off), 0.0)
    mean = error.sum(1) / count
    power = (torch.where(known, error - mean[:, None], 0.0) ** 2).sum(1) / count
    return torch.log(power / (spread**2 + 1) + 1e-3).mean() + 0.02 * mean.abs().clamp(max=2).mean()


def upside_down(seen: torch.Tensor, off: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same stretches on pages turned over: edges change sides. The order is that of `views_of`."""
    turned = seen.clone()
    sides = CHOICES - 10  # four of each level: under the pen from above and below, upper and lower edge
    for first in range(0, sides, 2):
        turned[:, first], turned[:, first + 1] = -seen[:, first + 1], -seen[:, first]
    turned[:, sides : sides + 4] = -seen[:, sides + 4 : sides + 8]
    turned[:, sides + 4 : sides + 8] = -seen[:, sides : sides + 4]
    turned[:, CHOICES - 2 : CHOICES] = -seen[:, CHOICES - 2 : CHOICES]
    turned[:, CHOICES + 5] = -seen[:, CHOICES + 5]  # the slope
    return turned, -off


def backwards(seen: torch.Tensor, off: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same stretches from their ends to their beginnings."""
    turned = seen.flip(2)
    beside = turned[:, CHOICES - 10 : CHOICES - 2].unflatten(1, (2, 4))
    turned[:, CHOICES - 10 : CHOICES - 2] = beside.flip(2).flatten(1, 2)
    turned[:, CHOICES + 2 : CHOICES + 4] = turned[:, CHOICES + 2 : CHOICES + 4].flip(1)  # px from either end
    turned[:, CHOICES + 5] = -turned[:, CHOICES + 5]  # the slope
    return turned, off.flip(1)


def train(net: PenNet, strips: Sequence[Example], minutes: float, rng: np.random.Generator) -> int:
    """Teach the net for so long; returns how many steps it took."""
    seen, off, spread = stretches(strips)
    optimizer = torch.optim.AdamW(net.parameters(), _RATE, weight_decay=1e-3)
    start, steps = time.monotonic(), 0
    while (part := (time.monotonic() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, steps / 50) * (1 + math.cos(math.pi * part)) / 2 + 1e-5
        pick = torch.tensor(rng.integers(0, len(seen), _BATCH))
        x, y = seen[pick].float(), off[pick]
        for turn in (backwards, upside_down):
            if rng.random() < 0.5:
                x, y = turn(x, y)
        error = loss(net(x), y, spread[pick])
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if steps % 400 == 0:
            print(f"{steps} steps, loss {float(error):.3f}", flush=True)
    return steps


def export(net: PenNet, path: Path) -> None:
    """Write the net as ONNX: `ink` [1, `CHOICES` + `FACTS`, n] -> `off` [1, n]."""
    with beside(path) as part:
        torch.onnx.export(
            net.eval(), (torch.zeros(1, CHOICES + FACTS, 300),), str(part), input_names=["ink"],
            output_names=["off"], dynamic_axes={"ink": {2: "n"}, "off": {1: "n"}}, opset_version=17,
            dynamo=False,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pages", type=int, default=700)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    fine = load_ptbxl(args.records, folds=_FOLDS, fs=500)
    slow = [r for r in load_ptbxl(args.records, folds=_FOLDS) if r.meta.get("amplitude") != "estimated"]
    digitizer = Digitizer(threads=1)
    strips: list[Example] = []
    for _ in range(args.pages):
        try:
            strips += examples(random_page(fine, slow, rng), digitizer)
        except EcgError:
            continue  # some styles have no room for a record
    print(f"{len(strips)} strips", flush=True)
    net = PenNet()
    train(net, strips, args.minutes, rng)
    args.out.mkdir(parents=True, exist_ok=True)
    export(net, args.out / "pen.onnx")


if __name__ == "__main__":
    main()
