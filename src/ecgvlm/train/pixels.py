"""The other design, built to be compared: pixels -> visual tokens -> labels and answers, trained end to end.

    python -m ecgvlm.train.pixels --records ../shared/data/ptbxl --out runs/pixels --render 40
    python -m ecgvlm.train.pixels --records ../shared/data/ptbxl --out runs/pixels --minutes 40

The first command prints pages of folds 1 to 6 and of simulated rare conditions, in every layout and
degradation, and those of fold 7 that choose the checkpoint and the thresholds; the second trains on what is
printed by then. A run resumes from OUT/checkpoint.pt by itself. `benchmarks/bench_designs.py` compares the
two designs; this one does not ship.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates
from tokenizers import Tokenizer
from torch import nn

from ecgvlm.bench.metrics import auroc
from ecgvlm.bench.task import load_task
from ecgvlm.datasets import load_ptbxl
from ecgvlm.instruct import answers
from ecgvlm.instruct.qa import CLOSED_LISTS
from ecgvlm.labels import CODE15, LABELS, SUPERCLASSES
from ecgvlm.model.evidence import MEASUREMENTS, Evidence, settle
from ecgvlm.model.language import ANSWER, ASK, END, PAD
from ecgvlm.paper.degrade import KINDS, degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.style import random_style
from ecgvlm.paper.truth import Rendering
from ecgvlm.reader import QUESTION
from ecgvlm.record import LEADS, Record
from ecgvlm.simulate import CONDITIONS, random_simulation, simulate
from ecgvlm.train.encoder import calibrate
from ecgvlm.train.language import Config, Decoder, save
from ecgvlm.train.pagenet import Block

HEIGHT, WIDTH = 256, 1024
WIDTHS = (48, 128, 256)  # of the convolutions at a quarter, an eighth and a sixteenth of the picture
SECONDS = 11.5  # across the picture: ten, and what gaps and names take
_FINER = (4, 2)  # rows and columns sampled for one pixel, so that thin lines survive
_CELL = 8  # samples between the nodes at which the mesh is looked up


def rectified(page: Rendering) -> np.ndarray:
    """The rows of a page, flat and straight: [HEIGHT, WIDTH] uint8 grey, `SECONDS` across, all rows high.

    Mesh, rows and paper speed are the renderer's truth, which no reader of real pages has.
    """
    truth = page.truth
    # One node past each edge, for rows that begin between the edge and the first thick line.
    mesh = np.pad(truth.mesh, ((1, 1), (1, 1), (0, 0)), "reflect", reflect_type="odd")
    rows, cols = mesh.shape[:2]
    nodes = np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), -1)
    home, _ = cv2.findHomography(mesh.reshape(-1, 2), nodes.reshape(-1, 2).astype(float))
    points = [part for t in truth.traces for part in (t.xy, t.box, t.name_box) if part is not None]
    ink = np.concatenate(points)
    x, y = cv2.perspectiveTransform(ink[np.isfinite(ink).all(1)][None].astype(float), home)[0].T
    left, top, bottom = x.min() - 0.2, y.min() - 0.2, y.max() + 0.2  # nodes: of 5 mm
    h, w = HEIGHT * _FINER[0], WIDTH * _FINER[1]
    across = left + (np.arange(w // _CELL) + 0.5) * _CELL / w * SECONDS * truth.mm_per_s / 5
    down = top + (np.arange(h // _CELL) + 0.5) * _CELL / h * (bottom - top)
    at = np.meshgrid(down, across, indexing="ij")
    fields = [map_coordinates(mesh[..., c], at, order=1, mode="nearest").astype(np.float32) for c in (0, 1)]
    x, y = (cv2.resize(field, (w, h)) for field in fields)
    grey = cv2.cvtColor(page.image, cv2.COLOR_RGB2GRAY)
    fine = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(fine, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def targets(record: Record) -> np.ndarray:
    """[labels] int8: 1, 0, or -1 where the annotation leaves it open."""
    assert record.labels is not None
    unknown = record.meta.get("unknown", frozenset())
    return np.array([1 if x in record.labels else -1 if x in unknown else 0 for x in LABELS], np.int8)


def odds(target: np.ndarray) -> np.ndarray:
    """How often to draw each of n real records, [n]: the more often the rarer its rarest label."""
    positive = target == 1
    count = np.maximum(positive.sum(0), 3)
    share = np.maximum((positive / np.sqrt(count)).max(1), 1 / np.sqrt(len(target) / 2))
    return share / share.sum()


def print_page(record: Record, kind: str, rng: np.random.Generator) -> np.ndarray:
    """One page of the record in a random style, rectified."""
    return rectified(degrade(render(record, random_style(rng), rng), kind, rng))


def print_pages(records: list[Record], out: Path, shards: int, pages: int = 256) -> None:
    """Write OUT/check.npz (fold 7 in all three kinds) and `shards` files OUT/pages*.npz to train on.

    Files that are there stay. A fifth of the pages to train on are simulated, as in the encoder's training.
    """
    cv2.setNumThreads(1)
    out.mkdir(parents=True, exist_ok=True)
    train = [record for record in records if record.meta["strat_fold"] < 7]
    share = odds(np.stack([targets(record) for record in train]))
    check = [record for record in records if record.meta["strat_fold"] == 7]
    for shard in range(-1, shards):
        path = out / ("check.npz" if shard < 0 else f"pages{shard:03d}.npz")
        if path.exists():
            continue
        rng = np.random.default_rng([7, shard + 1])
        if shard < 0:
            drawn = [(record, kind) for kind in KINDS for record in check]
        else:
            drawn = []
            for i in range(pages):
                if rng.random() < 0.2:
                    heart = random_simulation(rng, CONDITIONS[rng.integers(len(CONDITIONS))])
                    record = simulate(heart, int(rng.integers(2**31)), fs=100.0)[0]
                else:
                    record = train[rng.choice(len(train), p=share)]
                drawn.append((record, KINDS[i % len(KINDS)]))
        images = np.stack([print_page(record, kind, rng) for record, kind in drawn])
        tmp = path.with_suffix(".npz.tmp")
        with tmp.open("wb") as file:
            np.savez(file, images=images, target=np.stack([targets(record) for record, _ in drawn]))
        os.replace(tmp, path)


# What is asked, in the benchmark's own words: nothing else, so that the decoder need not learn to read.
PROMPTS = {"code15": load_task("code15").prompts[0], "ptb": load_task("ptb").prompts[0], "verdict": QUESTION}
_LISTS = {
    task: [(code, f"{shown}({name})") for code, (shown, name) in CLOSED_LISTS[which].items()]
    for task, which in (("code15", "code15"), ("ptb", "ptb-xl"))
}


def replies(target: np.ndarray) -> dict[str, str]:
    """The answer to each of `PROMPTS` that the labels [labels] settle, in the shipped design's words."""
    state = dict(zip(LABELS, target.tolist()))

    def settled(*labels: str) -> bool:
        return all(state[label] >= 0 for label in labels)

    def evidence(*labels: str) -> Evidence:
        return Evidence(
            probabilities={label: float(label in labels and state[label] == 1) for label in LABELS},
            thresholds=dict.fromkeys(LABELS, 0.5),
            measurements=dict.fromkeys(MEASUREMENTS),
            leads=dict.fromkeys(LEADS),
        )

    said = {}
    if settled("NORM", *CODE15):
        said["code15"] = answers.close(evidence("NORM", *CODE15), _LISTS["code15"], "; ")
    if settled(*SUPERCLASSES):
        said["ptb"] = answers.close(evidence(*SUPERCLASSES), _LISTS["ptb"], "; ")
    if settled("NORM", *answers.RHYTHMS):
        said["verdict"] = answers.verdict(evidence("NORM", *answers.RHYTHMS))
    return said


class Words(Decoder):
    """The shipped design's decoder, given its prefix as tokens [B, E, D] instead of sets of features."""

    def __init__(self, config: Config):
        super().__init__(config)
        del self.features

    def visual(self, features: torch.Tensor) -> torch.Tensor:
        return features


def _conv(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class Pixels(nn.Module):
    """Pages [B, HEIGHT, WIDTH] uint8 -> visual tokens [B, TOKENS, D] -> label logits and answers."""

    TOKENS = (HEIGHT // 32) * (WIDTH // 64)

    def __init__(self, config: Config, widths: tuple[int, int, int] = WIDTHS):
        super().__init__()
        a, b, c = widths
        dim, labels = config.dim, len(LABELS)
        self.vision = nn.Sequential(
            nn.PixelUnshuffle(4), _conv(16, a), Block(a),  # [B, a, H/4, W/4]
            _conv(a, b, 2), Block(b), _conv(b, c, 2), Block(c),  # [B, c, H/16, W/16]
            _conv(c, c, 2), Block(c), nn.AvgPool2d((1, 2)),  # [B, c, H/32, W/64]
        )  # fmt: skip
        self.bridge = nn.Linear(c, dim)
        self.place = nn.Parameter(torch.randn(self.TOKENS, dim) * 0.02)
        self.query = nn.Parameter(torch.randn(labels, dim) * 0.05)
        self.key, self.value = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.head = nn.Parameter(torch.randn(labels, 2 * dim) * 0.05)
        self.bias = nn.Parameter(torch.full((labels,), -2.0))
        self.drop = nn.Dropout(0.3)
        self.words = Words(config)

    def forward(self, pages: torch.Tensor) -> torch.Tensor:
        x = pages[:, None].float()
        x = (x - x.mean((2, 3), keepdim=True)) / (x.std((2, 3), keepdim=True) + 8)
        x = self.vision(x.contiguous(memory_format=torch.channels_last))
        return self.bridge(x.flatten(2).transpose(1, 2)) + self.place

    def labels(self, tokens: torch.Tensor) -> torch.Tensor:
        """[B, labels] logits: every label's query attends to the tokens, as in the findings encoder."""
        weights = torch.softmax(self.query @ self.key(tokens).transpose(1, 2) / tokens.shape[2] ** 0.5, 2)
        finding = weights @ self.value(tokens)  # [B, L, D]
        page = tokens.amax(1, keepdim=True).expand_as(finding)
        return (self.drop(torch.cat([finding, page], 2)) * self.head).sum(2) + self.bias


def batch_of(
    tokenizer: Tokenizer, images: np.ndarray, target: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pages [B, HEIGHT, WIDTH] uint8, rows [B, T], starts [B], target [B, labels] float.

    A row is a question and its answer, which begins at `starts`; where the labels settle none it has none and
    counts for nothing. The pages are moved a little.
    """
    shift = (int(rng.integers(-8, 9)), int(rng.integers(-16, 17)))
    rows, starts = [], []
    for labels in target:
        said = replies(labels)
        if not said:
            rows.append([ASK, ANSWER])
            starts.append(2)
            continue
        kind = list(said)[rng.integers(len(said))]
        question = [ASK, *tokenizer.encode(PROMPTS[kind]).ids, ANSWER]
        rows.append([*question, *tokenizer.encode(said[kind]).ids, END])
        starts.append(len(question))
    padded = np.full((len(rows), max(map(len, rows))), PAD)
    for line, row in zip(padded, rows):
        line[: len(row)] = row
    pages = torch.from_numpy(np.roll(images, shift, (1, 2)))
    return pages, torch.from_numpy(padded), torch.tensor(starts), torch.from_numpy(target.astype(np.float32))


def losses(
    net: Pixels, pages: torch.Tensor, rows: torch.Tensor, starts: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of the labels that are known, and of the answers' tokens."""
    with torch.autocast("cpu", torch.bfloat16):
        tokens = net(pages)
        logits = net.labels(tokens)
        words = net.words.loss(tokens, rows, starts)
    known = target >= 0
    return F.binary_cross_entropy_with_logits(logits.float()[known], target[known]), words


@torch.no_grad()
def see(net: Pixels, pages: np.ndarray, size: int = 32) -> tuple[torch.Tensor, np.ndarray]:
    """Visual tokens [n, TOKENS, D] and label logits [n, labels] of pages [n, HEIGHT, WIDTH] uint8."""
    net.eval()
    tokens, logits = [], []
    with torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(pages), size):
            tokens.append(net(torch.from_numpy(pages[start : start + size])))
            logits.append(net.labels(tokens[-1]).float())
    return torch.cat(tokens), torch.cat(logits).numpy()


def mean_auroc(logits: np.ndarray, target: np.ndarray) -> float:
    """Mean AUROC over NORM, the six CODE-15 labels and the superclasses, on the pages where each is known."""
    columns = [LABELS.index(label) for label in dict.fromkeys(("NORM", *CODE15, *SUPERCLASSES))]
    known = [target[:, k] >= 0 for k in columns]
    return float(np.nanmean([auroc(target[w, k] == 1, logits[w, k]) for k, w in zip(columns, known)]))


class Trained:
    """The run in a folder: its best checkpoint with calibration and thresholds, as the encoder has them."""

    def __init__(self, folder: Path):
        state = torch.load(folder / "best.pt", weights_only=True)
        self.net = Pixels(Config(**state["config"]))
        self.net.load_state_dict(state["net"])
        self.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        card = json.loads((folder / "card.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.thresholds: dict[str, float] = dict(zip(LABELS, card["thresholds"]))
        self._slope, self._offset = np.array(card["slope"]), np.array(card["offset"])

    def probabilities(self, logits: np.ndarray) -> dict[str, float]:
        """Calibrated, and free of contradictions as the shipped design's. logits: [labels] of one page."""
        p = 1 / (1 + np.exp(-(self._slope * logits + self._offset)))
        return settle({label: float(x) for label, x in zip(LABELS, p)}, self.thresholds)

    @torch.no_grad()
    def answer(self, tokens: torch.Tensor, prompt: str, max_tokens: int = 60) -> str:
        """The decoder's words about one page, greedily. tokens: [TOKENS, D]."""
        net = self.net.words.eval()
        rows = torch.tensor([[ASK, *self.tokenizer.encode(prompt).ids, ANSWER]])
        at, t, said = len(tokens), rows.shape[1], []
        with torch.autocast("cpu", torch.bfloat16):
            _, past = net.run(tokens[None], 0, None, None)
            mask: torch.Tensor | None = torch.ones(t, at + t, dtype=torch.bool).tril(at)
            for _ in range(max_tokens):
                hidden, past = net.run(net.words(rows), at, mask, past)
                at, mask = at + rows.shape[1], None
                word = int((hidden[0, -1] @ net.words.weight.T).argmax())
                if word == END:
                    break
                said.append(word)
                rows = torch.tensor([[word]])
        return self.tokenizer.decode(said).removeprefix(" ")


class Printed:
    """The pages in a folder, read as they appear: images and targets."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.images: list[np.ndarray] = []
        self.target: list[np.ndarray] = []

    def look(self) -> None:
        for path in sorted(self.folder.glob("pages*.npz"))[len(self.images) :]:
            with np.load(path) as part:
                self.images.append(part["images"])
                self.target.append(part["target"])

    def draw(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        shards = rng.integers(len(self.images), size=n)
        picked = [(shard, rng.integers(len(self.images[shard]))) for shard in shards]
        images, target = ([part[s][i] for s, i in picked] for part in (self.images, self.target))
        return np.stack(images), np.stack(target)


def train(
    out: Path,
    config: Config,
    minutes: float,
    batch: int = 8,
    rate: float = 1.2e-3,
    seed: int = 0,
    every: int = 50,
) -> None:
    """Train for `minutes` of CPU time on what lies in the folder; keep the best on fold 7 (`mean_auroc`).

    The learning rate is level for three fifths of the time and then falls to 0, so that a run may go on with
    other minutes.
    """
    torch.manual_seed(seed)
    tokenizer = Tokenizer.from_file(str(out / "tokenizer.json"))
    config = Config(**{**asdict(config), "vocabulary": tokenizer.get_vocab_size()})
    with np.load(out / "check.npz") as part:
        images, target = part["images"], part["target"]
    net = Pixels(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.03)
    step, spent, cpu, best, checks = 0, 0.0, 0.0, 0.0, 0
    checkpoint = out / "checkpoint.pt"
    if resumed := checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, cpu, best, checks = (state[key] for key in ("step", "spent", "cpu", "best", "checks"))
    printed = Printed(out)
    before = cpu - time.process_time() / 60
    begun = time.monotonic() - 60 * spent
    with (out / "log.csv").open("a", newline="") as file:
        log = csv.writer(file)
        if not resumed:
            log.writerow(["step", "minutes", "cpu_minutes", "pages", "labels", "words", "fold7_auroc"])
        while True:
            spent, cpu = (time.monotonic() - begun) / 60, before + time.process_time() / 60
            done = min(1.0, cpu / minutes)
            if int(10 * done) > max(checks, 4):  # each tenth of the time from the middle on
                checks = int(10 * done)
                score = mean_auroc(see(net, images[::3])[1], target[::3])  # about one page of each record
                log.writerow([step, f"{spent:.2f}", f"{cpu:.2f}", step * batch, "", "", f"{score:.4f}"])
                file.flush()
                if score > best:
                    best = score
                    state = {"net": net.state_dict(), "config": asdict(config), "step": step}
                    save({**state, "score": score}, out / "best.pt")
            if done >= 1 or (step and step % every == 0):
                numbers = {"step": step, "spent": spent, "cpu": cpu, "best": best, "checks": checks}
                save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), **numbers}, checkpoint)
            if done >= 1:
                break
            printed.look()
            rng = np.random.default_rng([seed, step])
            scale = min(1.0, (step + 1) / 50, (1 - done) / 0.4)
            optimizer.param_groups[0]["lr"] = rate * scale
            net.train()
            label_loss, word_loss = losses(net, *batch_of(tokenizer, *printed.draw(batch, rng), rng))
            (label_loss + 0.3 * word_loss).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            if step % 10 == 0:
                now = [f"{label_loss.item():.4f}", f"{word_loss.item():.4f}"]
                log.writerow([step, f"{spent:.2f}", f"{cpu:.2f}", step * batch, *now, ""])
                file.flush()
    state = torch.load(out / "best.pt", weights_only=True)
    net.load_state_dict(state["net"])
    slope, offset, thresholds = calibrate(see(net, images)[1], target)
    card = {
        "minutes": round(spent, 1),
        "cpu_minutes": round(cpu, 1),
        "steps": step,
        "pages_seen": step * batch,
        "pages_printed": sum(map(len, printed.images)),
        "best_step": state["step"],
        "fold7_auroc": round(state["score"], 4),
        "slope": slope.round(5).tolist(),
        "offset": offset.round(5).tolist(),
        "thresholds": thresholds.round(5).tolist(),
    }
    (out / "card.json").write_text(json.dumps(card, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--render", type=int, default=0, help="print so many files of pages, and do not train"
    )
    parser.add_argument(
        "--tokenizer", type=Path, default=Path(str(files("ecgvlm") / "data" / "tokenizer.json"))
    )
    parser.add_argument("--minutes", type=float, default=40, help="of CPU time")
    args = parser.parse_args()
    if args.render:
        print_pages(load_ptbxl(args.records, folds=range(1, 8)), args.out, args.render)
        return
    (args.out / "tokenizer.json").write_text(args.tokenizer.read_text("utf-8"), "utf-8")
    train(args.out, Config(), args.minutes)


if __name__ == "__main__":
    main()
