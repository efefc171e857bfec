"""Train the page net: rectified page -> trace mask and lead-name heat map.

    python -m ecgvlm.train.small.pagenet --records ../shared/data/ptbxl --out runs/pagenet --minutes 40

Pages are rendered and degraded afresh for every batch, rectified with the truth's mesh plus the small errors
that the digitiser's own rectification makes, and cut into crops. A run resumes from OUT/checkpoint.pt by
itself; `--start` begins with the weights of an exported net instead of random ones, also of one that knows
fewer classes. At its end OUT/pagenet.onnx is the net in 8 bits, OUT/pagenet.float.onnx the one that was
trained.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ecgvlm.atomic import beside
from ecgvlm.digitize.negative import dark_on_bright
from ecgvlm.digitize.pagenet import CLASSES, FURTHER, NOTES, PULSE, PX_PER_MM
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.others import other_picture
from ecgvlm.paper.print import print_page
from ecgvlm.paper.rare import rare_page
from ecgvlm.paper.screen import screen_page
from ecgvlm.paper.style import random_style
from ecgvlm.paper.truth import Rendering
from ecgvlm.record import LEADS, Record

CROP = 320
FEATURES = (16, 32, 64, 96)
_EVEN = 8  # px of a rectified page
# Share of pages that are rarely printed, that programs show, and of pictures that are no ECG.
_RARE, _SCREEN, _OTHER = 0.3, 0.19, 0.12
_UNNAMED = 0.04  # share of usual pages that print no names
_TURNED, _MIRRORED = 0.03, 0.03  # share of pages that are upside down, and mirrored
_SAME_MIRRORED = [LEADS.index("I"), LEADS.index("II"), LEADS.index("III"), PULSE]
_MIXED = 48  # crops of several pages that are mixed, and as many that wait
_CHECKPOINT = 30.0  # s between checkpoints


class Block(nn.Module):
    """Two 3x3 convolutions around a residual."""

    def __init__(self, width: int, dilation: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def _conv(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)
    )


class PageNet(nn.Module):
    """A small U-Net on RGB pages at 5 px/mm.

    [B, 3, H, W] -> trace logits [B, 1, H, W], name logits [B, CLASSES, H/4, W/4].
    """

    def __init__(self, features: tuple[int, ...] = FEATURES):
        super().__init__()
        a, b, c, d = features
        self.stem = nn.Sequential(_conv(12, a), _conv(a, a))  # [B, a, H/2, W/2]
        self.down1 = nn.Sequential(_conv(a, b, 2), Block(b))  # [B, b, H/4, W/4]
        self.down2 = nn.Sequential(_conv(b, c, 2), Block(c))  # [B, c, H/8, W/8]
        self.down3 = nn.Sequential(_conv(c, d, 2), Block(d, 2), Block(d, 4))  # [B, d, H/16, W/16]
        self.side3, self.up3 = nn.Conv2d(d, c, 1), _conv(c, c)
        self.side2, self.up2 = nn.Conv2d(c, b, 1), _conv(b, b)
        self.side1, self.up1 = nn.Conv2d(b, a, 1), _conv(a, a)
        last = nn.Conv2d(b, CLASSES, 1)
        self.names = nn.Sequential(_conv(b, b), last)
        self.trace = nn.Sequential(nn.Conv2d(a, 4, 3, padding=1), nn.PixelShuffle(2))
        assert last.bias is not None
        nn.init.constant_(last.bias, -4.0)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        s1 = self.stem(F.pixel_unshuffle(x, 2))
        s2 = self.down1(s1)
        s3 = self.down2(s2)
        s4 = self.down3(s3)
        y = self.up3(s3 + F.interpolate(self.side3(s4), scale_factor=2.0, mode="nearest"))
        y = self.up2(s2 + F.interpolate(self.side2(y), scale_factor=2.0, mode="nearest"))
        names = self.names(y)
        y = self.up1(s1 + F.interpolate(self.side1(y), scale_factor=2.0, mode="nearest"))
        return self.trace(y), names


class _Exported(nn.Module):
    def __init__(self, net: PageNet):
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        trace, names = self.net(x)
        return torch.sigmoid(trace), torch.sigmoid(names)


def export(net: PageNet, path: Path) -> None:
    """Write the net as ONNX: `page` [1, 3, H, W] in 0..1 -> `trace`, `names` probabilities."""
    with beside(path) as part:
        torch.onnx.export(
            _Exported(copy.deepcopy(net).cpu().eval()).to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
            (torch.zeros(1, 3, 320, 320),),
            str(part),
            input_names=["page"],
            output_names=["trace", "names"],
            dynamic_axes={"page": {2: "h", 3: "w"}, "trace": {2: "h", 3: "w"}, "names": {2: "h4", 3: "w4"}},
            opset_version=17,
            dynamo=False,
        )


def load_exported(net: PageNet, path: Path) -> None:
    """Take over the weights of an exported net, its norms folded into its convolutions (see `unfolded`).

    Classes that it did not know begin as unlikely as those of a fresh net. Raises ValueError where
    the file holds another architecture, or its weights are no floats.
    """
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(path).graph
    values = {tensor.name: torch.tensor(to_array(tensor)) for tensor in graph.initializer}
    ran: list[nn.Module] = []  # every convolution in the order of the graph, and the norm after it
    hooks = [
        module.register_forward_hook(lambda module, *_: ran.append(module))
        for module in net.modules()
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, 32, 32))
        for hook in hooks:
            hook.remove()
        nodes = [node for node in graph.node if node.op_type == "Conv"]
        convolutions = [(a, b) for a, b in pairwise([*ran, None]) if isinstance(a, nn.Conv2d)]
        if len(nodes) != len(convolutions):
            raise ValueError(f"{path}: {len(nodes)} convolutions, not {len(convolutions)}")
        if any(name not in values for node in nodes for name in node.input[1:3]):
            raise ValueError(f"{path}: in 8 bits; begin with pagenet.float.onnx of its training")
        for node, (conv, norm) in zip(nodes, convolutions):
            weight, bias = (values[name] for name in node.input[1:3])
            if conv is net.names[1] and weight.shape[1:] == conv.weight.shape[1:]:
                assert conv.bias is not None
                conv.weight.zero_()
                conv.weight[: len(weight)], conv.bias[: len(bias)] = weight, bias
                continue
            if weight.shape != conv.weight.shape:
                raise ValueError(
                    f"{path}: {node.name} is {tuple(weight.shape)}, not {tuple(conv.weight.shape)}"
                )
            conv.weight.copy_(weight)
            if conv.bias is not None:
                conv.bias.copy_(bias)
                continue
            assert isinstance(norm, nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1.0)
            norm.bias.copy_(bias)


def unfolded(net: PageNet, page: torch.Tensor) -> None:
    """Give a net's norms the statistics of these pages [B, 3, H, W], so that they can learn: it says what it
    said."""

    def measure(norm: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        x = inputs[0].float()
        mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        slope = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.copy_(norm.bias + slope * (mean - norm.running_mean))
        norm.weight.copy_(slope * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(measure) for norm in norms]
    with torch.no_grad():
        net.eval()(page)
    for hook in hooks:
        hook.remove()


def rectified_crops(
    page: Rendering, rng: np.random.Generator, n: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Cut `n` crops from the page as the digitiser would see it.

    Yields image [CROP, CROP, 3], trace mask [CROP, CROP], names [CLASSES, CROP/4, CROP/4], all uint8.
    """
    truth, cell = page.truth, 5.0 * PX_PER_MM  # cell: px between two nodes of the mesh
    mesh = truth.mesh if truth.ruled else _flat(truth.mesh, rng)
    rows, cols = mesh.shape[:2]
    seen = dark_on_bright(page.image)
    inked = [trace.xy[np.isfinite(trace.xy).all(1)] for trace in truth.traces]
    ends = np.cumsum([len(points) for points in inked])
    every = np.concatenate([np.zeros((0, 2)), *inked])
    curves = np.split(_located(mesh, every) * cell, ends)[:-1]  # px of the rectified page
    marks = [(_kind(t.lead), t.name_box.mean(0)) for t in truth.traces if t.name_box is not None]
    marks += [(PULSE, box.mean(0)) for box in truth.pulses]
    marks += [(_kind(note), box.mean(0)) for note, box in zip(truth.notes, truth.note_boxes)]

    kinds = [kind for kind, _ in marks]
    places = _located(mesh, np.array([place for _, place in marks]).reshape(-1, 2)) * cell

    # The digitiser's own errors: a little turn, scale, shift and bend.
    angle, zoom = rng.normal(0, 0.004), rng.normal(1, 0.006)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # x, y of the crop at the middles of squares, one beyond its edges: between them the paper is even.
    grid = (np.mgrid[-1 : CROP // _EVEN + 1, -1 : CROP // _EVEN + 1][::-1] + 0.5) * _EVEN - CROP / 2
    turned = np.tensordot(turn, grid, 1)
    # Upside down no names are to be found, and in a mirror those that are the same there.
    way = rng.random()
    for _ in range(n):
        # Most crops look at a name, a pulse or a note; others anywhere on the paper, margins included.
        look = rng.random()
        if kinds and look < 0.6:
            notes = [k for k, kind in enumerate(kinds) if PULSE < kind < FURTHER]
            pick = notes[rng.integers(len(notes))] if notes and look < 0.25 else rng.integers(len(kinds))
            centre = places[pick] + rng.uniform(-0.4, 0.4, 2) * CROP
        else:
            centre = rng.uniform(0, 1, 2) * np.array([cols - 1, rows - 1]) * cell
        xy = _interpolate(mesh, (turned + centre[:, None, None]) / cell)
        xy = cv2.resize(xy, None, fx=_EVEN, fy=_EVEN)[_EVEN:-_EVEN, _EVEN:-_EVEN]
        image = cv2.remap(seen, xy[..., 0], xy[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        target = _drawn(curves, turn, centre)
        names = _blobs(kinds, ((places - centre) @ np.linalg.inv(turn).T + (CROP - 1) / 2 - 2) / 4)
        if way < _TURNED:
            image, target, names = image[::-1, ::-1], target[::-1, ::-1], np.zeros_like(names)
        elif way < _TURNED + _MIRRORED:
            image, target, there = image[:, ::-1], target[:, ::-1], names[_SAME_MIRRORED, :, ::-1]
            names = np.zeros_like(names)
            names[_SAME_MIRRORED] = there
        if rng.random() < 0.1:
            image = np.repeat(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
        yield np.ascontiguousarray(image), np.ascontiguousarray(target), names


def _flat(mesh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mesh of flat paper whose scale is guessed, as the digitiser takes pages without a grid."""
    rows, cols = mesh.shape[:2]
    middle = mesh[rows // 2, cols // 2]
    (dx, dy), times = mesh[rows // 2, -1] - mesh[rows // 2, 0], np.exp(rng.uniform(-0.15, 0.15))
    along = np.array([dx, dy]) / (cols - 1) * times
    down = np.array([-along[1], along[0]])
    j, i = np.mgrid[:rows, :cols]
    return middle + (i - cols // 2)[..., None] * along + (j - rows // 2)[..., None] * down


def _kind(print_: str) -> int:
    """The class of a lead's name or of a note."""
    if print_ in LEADS:
        return LEADS.index(print_)
    _, _, unit = print_.partition(" ")
    if not unit:
        return FURTHER
    return PULSE + 1 + NOTES.index(print_ if print_ in NOTES else f"other {unit}")


def _blobs(kinds: list[int], at: np.ndarray) -> np.ndarray:
    """Heat map [CLASSES, CROP/4, CROP/4] 0..255: a Gaussian of 1.5 cells at every mark; at: [n, 2] x, y in
    cells."""
    side = CROP // 4
    names = np.zeros((CLASSES, side, side), np.uint8)
    for kind, (x, y) in zip(kinds, at):
        i, j = round(float(x)), round(float(y))
        if not (0 <= i < side and 0 <= j < side):
            continue
        rows, cols = np.arange(max(0, j - 5), min(side, j + 6)), np.arange(max(0, i - 5), min(side, i + 6))
        blob = np.exp(-((rows[:, None] - j) ** 2 + (cols - i) ** 2) / (2 * 1.5**2))
        part = names[kind, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        np.maximum(part, np.round(255 * blob).astype(np.uint8), out=part)
    return names


def _located(mesh: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Fractional nodes [n, 2] of the mesh at which points [n, 2] px lie, by Newton's method."""
    rows, cols = mesh.shape[:2]
    scale = np.linalg.norm(mesh[rows // 2, cols // 2] - mesh[rows // 2, cols // 2 - 1])
    node = np.array([cols // 2, rows // 2]) + (points - mesh[rows // 2, cols // 2]) / scale
    for _ in range(12):
        a, b, left, right, low_left, low_right = _cell(mesh, node.T)
        top, low = left + a * (right - left), low_left + a * (low_right - low_left)
        off = top + b * (low - top) - points
        dx, dy = (1 - b) * (right - left) + b * (low_right - low_left), low - top
        det = dx[:, 0] * dy[:, 1] - dx[:, 1] * dy[:, 0]
        node = node - np.stack([
            (off[:, 0] * dy[:, 1] - off[:, 1] * dy[:, 0]) / det,
            (dx[:, 0] * off[:, 1] - dx[:, 1] * off[:, 0]) / det,
        ], 1)  # fmt: skip
        if np.abs(off).max(initial=0.0) < 0.01:
            break
    return node


def _drawn(curves: list[np.ndarray], turn: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """The curves as lines 0.3 mm wide on a crop, whatever the width of the printed ones: [CROP, CROP] uint8.

    Thin lines keep the two flanks of a QRS apart.
    """
    fine = np.zeros((CROP * 4, CROP * 4), np.uint8)
    back = np.linalg.inv(turn)
    for curve in curves:
        at = (curve - centre) @ back.T + (CROP - 1) / 2
        fixed = np.clip(((at + 0.5) * 4 - 0.5) * 16, -1e6, 1e6)
        cv2.polylines(fine, [np.round(fixed).astype(np.int32)], False, 255, 5, cv2.LINE_8, 4)
    return cv2.resize(fine, (CROP, CROP), interpolation=cv2.INTER_AREA)


def _interpolate(mesh: np.ndarray, node: np.ndarray) -> np.ndarray:
    """Bilinear look-up in the mesh at fractional nodes [2, ...], linear past its edges -> [..., 2]."""
    a, b, left, right, low_left, low_right = _cell(mesh, node)
    top, low = left + a * (right - left), low_left + a * (low_right - low_left)
    return (top + b * (low - top)).astype(np.float32)


def _cell(mesh: np.ndarray, node: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where in their cells fractional nodes [2, ...] lie ([..., 1] each), and the cells' corners [..., 2]."""
    rows, cols = mesh.shape[:2]
    i = np.clip(np.floor(node[0]).astype(int), 0, cols - 2)
    j = np.clip(np.floor(node[1]).astype(int), 0, rows - 2)
    corners = (mesh[j, i], mesh[j, i + 1], mesh[j + 1, i], mesh[j + 1, i + 1])
    return (node[0] - i)[..., None], (node[1] - j)[..., None], *corners


class Pages(torch.utils.data.IterableDataset):
    """An endless stream of crops; every worker renders its own pages."""

    def __init__(self, records: Sequence[Record], seed: int, crops_per_page: int = 8):
        self.records, self.seed, self.crops = records, seed, crops_per_page

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        cv2.setNumThreads(1)
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        pool: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        while True:
            record = self.records[int(rng.integers(len(self.records)))]
            page = _any_page(record, rng)
            pool += rectified_crops(page, rng, self.crops)
            if len(pool) < 2 * _MIXED:  # crops of one page must not fill one batch
                continue
            rng.shuffle(pool)
            for _ in range(_MIXED):
                image, mask, names = pool.pop()
                yield torch.from_numpy(image), torch.from_numpy(mask), torch.from_numpy(names)


def _any_page(record: Record, rng: np.random.Generator) -> Rendering:
    """A page as training has them: usual, rare, shown by a program, or no ECG at all."""
    look = rng.random()
    if look < _RARE:
        return rare_page(record, rng)
    if look < _RARE + _SCREEN:
        return screen_page(record, rng)
    if look < _RARE + _SCREEN + _OTHER:
        return other_picture(rng)
    return _usual_page(record, rng)


def _usual_page(record: Record, rng: np.random.Generator) -> Rendering:
    style = random_style(rng)
    if rng.random() < 0.5:  # or the net learns that all pages say 25 and 10
        speed, gain = float(rng.choice([25, 50])), float(rng.choice([5, 10, 20]))
        style = replace(style, mm_per_s=speed, mm_per_mv=gain)
    if rng.random() < 0.25:  # names that the trace runs through
        style = replace(style, name_at=(float(rng.uniform(0, 4)), float(rng.uniform(-2, 3))))
    if rng.random() < 0.08:  # paper with lines every 5 mm only
        style = replace(style, minor=style.paper)
    if rng.random() < _UNNAMED:
        style = replace(style, named=False)
    if rng.random() < 0.05:  # thick pens
        style = replace(style, trace_mm=float(rng.uniform(0.6, 1.1)))
    return print_page(record, str(rng.choice(PAGE_KINDS, p=[0.25, 0.3, 0.45])), rng, style)


def losses(net: PageNet, batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Trace loss (cross-entropy + Dice) and name loss (CenterNet's focal loss, Zhou et al. 2019)."""
    image, mask, names = batch
    with torch.autocast(image.device.type, torch.bfloat16):
        trace, heat = net(pages(image))
    trace, target = trace[:, 0].float(), mask.float() / 255
    p = torch.sigmoid(trace)
    dice = 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
    trace_loss = 4 * F.binary_cross_entropy_with_logits(trace, target) + dice
    q = torch.sigmoid(heat.float()).clamp(1e-5, 1 - 1e-5)
    peak, wanted = names == 255, names.float() / 255
    name_loss = -(
        torch.where(peak, (1 - q) ** 2 * q.log(), (1 - wanted) ** 4 * q**2 * (1 - q).log()).sum()
        / peak.sum().clamp(min=1)
    )
    return trace_loss, name_loss


def pages(image: torch.Tensor) -> torch.Tensor:
    """What the net takes of crops [B, H, W, 3] uint8: [B, 3, H, W] 0..1."""
    return (image.permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)


def train(
    records: Sequence[Record], out: Path, minutes: float, start: Path | None = None, batch: int = 12,
    rate: float = 3e-3, workers: int = 1, seed: int = 0, device: str = "cpu",
) -> None:  # fmt: skip
    """Train for so many minutes of wall time; writes checkpoint.pt, log.csv and pagenet.float.onnx into out.

    start: an exported net to begin with. workers: processes that render. device: of torch.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    torch.manual_seed(seed)
    cv2.setNumThreads(1)  # renderers are forks of this process, and threads do not survive that
    state = torch.load(checkpoint, weights_only=True, map_location="cpu") if checkpoint.exists() else None
    step, spent = (state["step"], state["spent"]) if state else (0, 0.0)
    data = torch.utils.data.DataLoader(
        Pages(records, seed + step), batch_size=batch, num_workers=workers, prefetch_factor=4,
        pin_memory=device != "cpu",
    )  # fmt: skip
    stream = iter(data)
    net = PageNet()
    warm = start is not None and state is None
    if warm:
        assert start is not None
        load_exported(net, start)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.01)
    if state:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
    average = torch.ones(2, device=device)
    started = last = time.monotonic()
    with open(out / "log.csv", "a", newline="") as log:
        writer = csv.writer(log)
        for batch_ in stream:
            crops = [part.to(device, non_blocking=True) for part in batch_]
            if warm:
                unfolded(net, pages(crops[0]))
                warm = False
            minutes_now = spent + (time.monotonic() - started) / 60
            # The schedule is in wall time: warm-up over the first 3%, then cosine to zero.
            done = min(1.0, minutes_now / minutes)
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, done / 0.03 + 0.01) * (0.5 + 0.5 * math.cos(math.pi * done))
            trace_loss, name_loss = losses(net.train(), crops)
            optimizer.zero_grad()
            (trace_loss + 0.3 * name_loss).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            step += 1
            average = 0.98 * average + 0.02 * torch.stack([trace_loss, name_loss]).detach()
            if step % 50 == 0:
                figures = (f"{value:.4f}" for value in average.tolist())
                writer.writerow(
                    [step, f"{minutes_now:.2f}", f"{optimizer.param_groups[0]['lr']:.2e}", *figures]
                )
                log.flush()
            if time.monotonic() - last > _CHECKPOINT or done >= 1:
                state = {
                    "net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step,
                    "spent": minutes_now,
                }  # fmt: skip
                with beside(checkpoint) as part:
                    torch.save(state, part)
                last = time.monotonic()
            if done >= 1:
                break
    export(net, out / "pagenet.float.onnx")


def main() -> None:
    from ecgvlm.files.datasets import load_ptbxl
    from ecgvlm.train.small.layers import write_layers
    from ecgvlm.train.small.quantize import CALIBRATION_PAGES, calibration_pages, quantize

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/pagenet"))
    parser.add_argument("--start", type=Path, help="exported net (in floats) whose weights to begin with")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cuda where there is a GPU")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the other core renders
    train(
        load_ptbxl(args.records, folds=range(1, 7)), args.out, args.minutes, args.start, args.batch,
        args.rate, args.workers, args.seed, args.device,
    )  # fmt: skip
    sheets = calibration_pages(args.records, CALIBRATION_PAGES)
    quantize(args.out / "pagenet.float.onnx", sheets, args.out / "pagenet.onnx")
    write_layers(args.out / "pagenet.onnx")


if __name__ == "__main__":
    main()
