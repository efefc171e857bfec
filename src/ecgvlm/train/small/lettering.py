"""Train the net that reads what stands beside the traces: `ecgvlm.digitize.lettering`.

`python -m ecgvlm.train.small.lettering --out runs/lettering` draws lines of print (lead names, notes of speed
and gain, other words) over paper, grid and traces, and teaches a small convolutional net to spell them by
connectionist temporal classification (Graves et al. 2006). `--start` begins with an exported net: the shipped
one learned 25 minutes on names and single notes, and 38 more (rate 1e-3) as the lines are drawn now.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from ecgvlm.digitize.lettering import ALPHABET, HEIGHT, NAME_WIDTH, NAMES, OTHER
from ecgvlm.paper.text import BUILTIN, HERSHEY, all_faces, system_fonts, text_mask

NOTE_WIDTH = 320  # px of the crops that notes are learned on
_SPEEDS = ("5", "6.25", "10", "12.5", "25", "25.0", "50", "50.0", "100")
_GAINS = ("2.5", "5", "5.0", "10", "10.0", "20", "20.0", "40")
_GAINS_CM = ("0.5", "1", "1.0", "2", "2.0")
_OF_SPEED = ("Speed: ", "Speed ", "Paper ", "Vel: ", "V: ")
_OF_GAIN = ("Gain: ", "Gain ", "Sens. ", "Ampl: ")
_OF_LIMBS, _OF_CHEST = ("Limb: ", "Limb:", "Limbs ", "Ext. "), ("Chest: ", "Chest ", "Chest:", "Prec. ")
_FILTERS = (
    "0.05-150Hz", "0.05-150 Hz", "0.05-40 Hz", "0.15-40Hz", "0.5-35Hz", "0.5-100 Hz", "40Hz", "100 Hz",
    "150Hz", "F 50", "60Hz", "AC 50Hz", "SBS", "LP 35 Hz",
)  # fmt: skip
_WORDS = (
    "Name", "ID", "Date", "HR", "PR", "QRS", "QT", "QTc", "P-R-T", "axes", "bpm", "ms", "Age", "Sex",
    "male", "female", "Filter", "0.15-40", "Hz", "AC", "50", "Rhythm", "sinus", "normal", "ECG",
    "Report", "Dr.", "Ward", "Unconfirmed", "Device:", "150", "35", "Vent.", "rate", "Patient",
    "technician", "12-lead", "Sequential",
)  # fmt: skip


class LetteringNet(nn.Module):
    """[n, 1, `HEIGHT`, W] ink in 0..1 -> [n, W / 2, 1 + letters] logits, the first of them "nothing"."""

    def __init__(self) -> None:
        super().__init__()

        def block(a: int, b: int, kernel: tuple[int, int], padding: tuple[int, int], **more) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(a, b, kernel, padding=padding, bias=False, **more), nn.BatchNorm2d(b), nn.ReLU()
            )

        self.body = nn.Sequential(
            block(1, 16, (3, 3), (1, 1)),
            nn.MaxPool2d((2, 2)),
            block(16, 32, (3, 3), (1, 1)),
            nn.MaxPool2d((2, 1)),
            block(32, 64, (3, 3), (1, 1)),
            nn.MaxPool2d((2, 1)),
            block(64, 96, (3, 3), (0, 1)),
            block(96, 96, (1, 5), (0, 2)),
            block(96, 96, (1, 5), (0, 4), dilation=(1, 2)),
            nn.Conv2d(96, 1 + len(ALPHABET), (1, 1)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)[:, :, 0].transpose(1, 2)


@dataclass(frozen=True)
class Line:
    """A line of print: pieces (text, size, drop; both in parts of the first one's em), and its spelling."""

    pieces: tuple[tuple[str, float, float], ...]
    spelling: str


def name_line(rng: np.random.Generator) -> Line:
    """A lead's name as some printer writes it: upper case, a space, a subscript, European letters."""
    name = list(NAMES)[rng.integers(len(NAMES))]
    look = rng.random()
    if name.startswith("v") and len(name) > 1:
        first, rest = "C" if look < 0.05 and len(name) == 2 else "V", name[1:].upper()
        if rng.random() < 0.35:
            return Line(((first, 1, 0), (rest, rng.uniform(0.6, 0.8), rng.uniform(0.05, 0.3))), name)
        gap = " " if rng.random() < 0.15 else "-" if rng.random() < 0.03 else ""
        return Line(((first + gap + rest, 1, 0),), name)
    if name.startswith("av"):
        first = "AV" if rng.random() < 0.2 else "aV"
        letter = name[2].upper() if rng.random() < 0.93 else name[2]
        if rng.random() < 0.15:
            return Line(((first, 1, 0), (letter, rng.uniform(0.65, 0.85), rng.uniform(0.05, 0.25))), name)
        return Line(((("-" if look < 0.1 else "") + first + letter, 1, 0),), name)
    return Line(((("D" if look < 0.04 else "") + name.upper(), 1, 0),), name)


def note_line(rng: np.random.Generator) -> Line:
    """What a page says of its speed and gain, or words that say nothing of either."""

    def pick(choices: Sequence[str]) -> str:
        return choices[int(rng.integers(len(choices)))]

    def as_shown(text: str) -> tuple[str, str]:
        """What is printed, and how it is spelled."""
        return text, text.lower().replace(" ", "")

    gap = " " if rng.random() < 0.6 else ""
    in_cm, look = rng.random() < 0.06, rng.random()

    def gain() -> tuple[str, str]:
        return as_shown(f"{pick(_GAINS_CM)}{gap}cm/mV" if in_cm else f"{pick(_GAINS)}{gap}mm/mV")

    def gains() -> list[tuple[str, str]]:
        kind = rng.random()
        if kind < 0.2:
            return [(pick(_OF_LIMBS), "l"), gain(), (pick(_OF_CHEST), "c"), gain()]
        if kind < 0.28:
            return [as_shown(f"{pick(('5', '10', '20'))}/{pick(('5', '10', '20'))}{gap}mm/mV")]
        return [(pick(_OF_GAIN), OTHER)] * (rng.random() < 0.3) + [gain()]

    if look < 0.1:
        words = " ".join(pick(_WORDS) for _ in range(rng.integers(1, 4)))
        return Line(((words, 1, 0),), OTHER)
    unit = "mm/s" + "ec" * (rng.random() < 0.15)
    speed = [(pick(_OF_SPEED), OTHER)] * (rng.random() < 0.3) + [as_shown(f"{pick(_SPEEDS)}{gap}{unit}")]
    notes = [speed] * (look < 0.75) + [gains()] * (look > 0.3)
    if rng.random() < 0.1:
        notes.reverse()
    parts = [(pick(_WORDS), OTHER)] * (rng.random() < 0.12) + [part for note in notes for part in note]
    parts += [(pick(_FILTERS), OTHER)] * (rng.random() < 0.35)
    between = pick((" ", "  ", "   ", ", ", " | "))
    text = "".join(shown if shown.endswith((" ", ":")) else shown + between for shown, _ in parts)
    return Line(((text.removesuffix(between), 1, 0),), "".join(spelled for _, spelled in parts))


def _fonts() -> list[str]:
    upright = [name for name in system_fonts() if "Serif" not in name]
    return [*upright, *all_faces(), BUILTIN, BUILTIN, *[n for n in HERSHEY if "script" not in n]]


def draw(line: Line, width: int, fonts: list[str], rng: np.random.Generator) -> np.ndarray:
    """A crop [`HEIGHT`, width] uint8 of a printed page with the line about its middle."""
    zoom = 2
    paper = _paper(width, zoom, rng)
    em = zoom * rng.uniform(9.0, 21.0 if width == NAME_WIDTH else 15.0)
    font = fonts[rng.integers(len(fonts))]
    masks = _set(line, font, em)
    right = max((left + mask.shape[1] for mask, left, _ in masks), default=0)
    if right > paper.shape[1] - 4 * zoom:
        masks = _set(line, font, em * (paper.shape[1] - 4 * zoom) / right)
        right = paper.shape[1] - 4 * zoom
    low = min((top for *_, top in masks), default=0)
    high = max((top + mask.shape[0] for mask, _, top in masks), default=0)
    h, w = paper.shape
    room = max(0.0, w - right - 4 * zoom)
    spread = min(room / 2, 7.0 * zoom if width == NAME_WIDTH else room)
    x0 = (w - right) / 2 + rng.uniform(-spread, spread)
    y0 = h / 2 - (low + high) / 2 + rng.uniform(-2.5, 2.5) * zoom
    ink = np.zeros((h, w), np.float32)
    for mask, left, top in masks:
        place = np.array([[1, 0, x0 + left], [0, 1, y0 + top]])
        ink = np.maximum(ink, cv2.warpAffine(mask, place, (w, h)).astype(np.float32) / 255)
    if rng.random() < 0.45 and width == NAME_WIDTH:
        ink = np.maximum(ink, _trace(h, w, zoom, rng))
    return _photographed(paper * (1 - ink * rng.uniform(0.45, 1.0)), zoom, rng)


def _set(line: Line, font: str, em: float) -> list[tuple[np.ndarray, int, int]]:
    """The line's pieces as masks of ink, each with the px of its left and its top."""
    masks, x = [], 0.0
    for text, size, drop in line.pieces:
        mask, left, top = text_mask(text, font, max(6, round(em * size)))
        masks.append((mask, round(x + left), round(top + drop * em)))
        x += left + mask.shape[1] + 0.06 * em
    return masks


def _paper(width: int, zoom: int, rng: np.random.Generator) -> np.ndarray:
    """Paper with or without a grid of 1 and 5 mm, [HEIGHT zoom, width zoom] float32 in 0..1."""
    h, w = HEIGHT * zoom, width * zoom
    paper = np.full((h, w), rng.uniform(0.75, 1.0), np.float32)
    if rng.random() < 0.85:
        for step, depth in ((5 * zoom, rng.uniform(0, 0.12)), (25 * zoom, rng.uniform(0, 0.35))):
            for axis, length in ((0, h), (1, w)):
                for at in range(int(rng.integers(0, step)), length, step):
                    paper[(slice(None),) * axis + (slice(at, at + int(rng.integers(1, zoom + 1))),)] *= (
                        1 - depth
                    )
    return paper


def _trace(h: int, w: int, zoom: int, rng: np.random.Generator) -> np.ndarray:
    """A stretch of a trace, with a QRS now and then, a calibration pulse or a separator: ink in 0..1."""
    ink = np.zeros((h, w), np.uint8)
    x = np.arange(0, w, zoom)
    y = np.full(len(x), rng.uniform(-0.2, 1.2) * h) + np.cumsum(rng.normal(0, 0.25 * zoom, len(x)))
    if rng.random() < 0.5:
        at, size = rng.uniform(0, w), rng.normal(0, 0.9 * h)
        y -= size * np.exp(-0.5 * ((x - at) / (rng.uniform(1, 3) * zoom)) ** 2)
    points = np.round(np.stack([x, y], 1)).astype(np.int32)
    cv2.polylines(ink, [points], False, 255, int(rng.integers(zoom, 2 * zoom + 1)), cv2.LINE_AA)
    if rng.random() < 0.2:
        side = int(rng.uniform(0, 0.3) * w) if rng.random() < 0.5 else int(rng.uniform(0.7, 1) * w)
        cv2.line(ink, (side, 0), (side, h), 255, zoom)
    return ink.astype(np.float32) / 255


def _photographed(fine: np.ndarray, zoom: int, rng: np.random.Generator) -> np.ndarray:
    """Seen by a camera or scanner of some sharpness, and resampled to `PX_PER_MM`."""
    h, w = fine.shape
    sharp = rng.uniform(0.55, 1.6) / zoom
    small = cv2.resize(
        fine, (max(8, round(w * sharp)), max(8, round(h * sharp))), interpolation=cv2.INTER_AREA
    )
    if rng.random() < 0.5:
        small = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.3, 0.8))
    noisy = np.asarray(small) + rng.normal(0, rng.uniform(0, 0.05), np.shape(small))
    small = np.asarray(np.clip(noisy * 255, 0, 255), np.uint8)
    if rng.random() < 0.3:
        _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        small = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
    turn = cv2.getRotationMatrix2D((w / zoom / 2, h / zoom / 2), rng.normal(0, 0.8), 1.0)
    out = cv2.resize(small, (w // zoom, h // zoom), interpolation=cv2.INTER_LINEAR)
    return cv2.warpAffine(out, turn, (w // zoom, h // zoom), borderMode=cv2.BORDER_REPLICATE)


def batch(
    size: int, width: int, fonts: list[str], rng: np.random.Generator
) -> tuple[torch.Tensor, list[str]]:
    """[size, 1, HEIGHT, width] as the net sees it, and what it is to spell."""
    from ecgvlm.digitize.lettering import contrast

    crops, texts = [], []
    for _ in range(size):
        line = name_line(rng) if width == NAME_WIDTH else note_line(rng)
        if rng.random() < 0.04:
            line = Line((), "")
        crops.append(contrast(draw(line, width, fonts, rng)))
        texts.append(line.spelling)
    return torch.from_numpy(np.stack(crops)[:, None]), texts


def loss_of(net: LetteringNet, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
    logits = net(images)
    steps = torch.full((len(texts),), logits.shape[1], dtype=torch.long)
    letters = torch.tensor([1 + ALPHABET.index(c) for text in texts for c in text], dtype=torch.long)
    lengths = torch.tensor([len(text) for text in texts], dtype=torch.long)
    spelled = F.log_softmax(logits, -1).transpose(0, 1)
    return F.ctc_loss(spelled, letters, steps, lengths, zero_infinity=True)


def load_exported(path: Path) -> LetteringNet:
    """The net in an ONNX file of `export`, to be trained on; what normalised is part of its weights now."""
    graph = onnx.load(path).graph
    known = {weights.name: torch.tensor(numpy_helper.to_array(weights)) for weights in graph.initializer}
    trained = [[known[name] for name in node.input[1:]] for node in graph.node if node.op_type == "Conv"]
    net = LetteringNet()
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    for layer, (weight, bias) in zip(convolutions, trained, strict=True):
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    for block in net.body:
        if isinstance(block, nn.Sequential):
            block[1] = nn.Identity()
    return net


def export(net: LetteringNet, path: Path) -> None:
    """ONNX: `lines` [n, 1, HEIGHT, W] -> `letters` [n, W / 2, 1 + len(ALPHABET)] probabilities."""
    torch.onnx.export(
        nn.Sequential(net.eval(), nn.Softmax(-1)),
        (torch.zeros(1, 1, HEIGHT, NAME_WIDTH),),
        str(path),
        input_names=["lines"],
        output_names=["letters"],
        dynamic_axes={"lines": {0: "n", 3: "w"}, "letters": {0: "n", 1: "t"}},
        opset_version=17,
        dynamo=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/lettering"))
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--batch", type=int, default=48)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="lettering.onnx to go on from")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng, fonts = np.random.default_rng(args.seed), _fonts()
    net = load_exported(args.start) if args.start else LetteringNet()
    optimizer = torch.optim.AdamW(net.parameters(), args.rate, weight_decay=0.01)
    started, step, average = time.monotonic(), 0, 3.0
    while (done := (time.monotonic() - started) / 60 / args.minutes) < 1:
        for group in optimizer.param_groups:
            group["lr"] = args.rate * min(1.0, step / 100 + 0.01) * (0.5 + 0.5 * math.cos(math.pi * done))
        notes = step % 2 == 1
        images, texts = batch(
            args.batch // 3 if notes else args.batch, NOTE_WIDTH if notes else NAME_WIDTH, fonts, rng
        )
        loss = loss_of(net.train(), images, texts)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step, average = step + 1, 0.98 * average + 0.02 * float(loss.detach())
        if step % 100 == 0:
            print(f"step {step}  loss {average:.4f}", flush=True)
            if step % 500 == 0:
                export(net, args.out / "lettering.onnx")
    export(net, args.out / "lettering.onnx")


if __name__ == "__main__":
    main()
