"""SmolVLM-256M's architecture from random weights within minutes of one GPU: to see first, then to answer.

    python -m ecgvlm.train.scratch prepare --records PTBXL --pool runs/pool/page --out runs/scratch/ecgs.pkl
    python -m ecgvlm.train.scratch run --ecgs runs/scratch/ecgs.pkl --out runs/scratch --seconds 900 --compile
    ecgvlm bench score --task ptb-test --gold runs/scratch/ptb-test.gold.json \\
        --pred runs/scratch/ptb-test.jsonl

prepare measures PTB-XL's folds 1 to 7 and 9, which are learned from, and names the pages of fold 10 that are
asked about: those of a pool (`ecgvlm.train.small.pool`, one round), on which our own reader is judged out of
fold (`benchmarks/crossval.py`). run is bound by the clock. Worker processes print pages in random looks that
gather on the GPU's shelf; the vision half learns from each what its printer knows (`sight`), and after a part
of the time the language half answers the benchmark's questions. The shelf is read faster than it fills: half
of what a step takes are pages never seen, as long as there are any, the others any that lie there.

A page is shown as one tile, 64 tokens, as SmolVLM's processor makes of a picture that it does not split. In
OUT: log.csv, and of each task the gold and the answers, as `ecgvlm bench score` takes them; the answers'
"scores" are those of a linear layer on the tokens that the language half sees, the words are its own.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ecgvlm.atomic import write_file
from ecgvlm.bench.task import load_task
from ecgvlm.labels import LABELS
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import random_style
from ecgvlm.processes import end_with_parent, worker_context
from ecgvlm.show.plain import run_plainly
from ecgvlm.train.answering import Chat, Microbatch, collate
from ecgvlm.train.muon import Muon
from ecgvlm.train.pages import Sample
from ecgvlm.train.sight import (
    WEIGHTS,
    Lessons,
    Pupil,
    Spreads,
    lessons_of,
    numbered_places,
    stacked,
    tile_of,
    weighed,
)
from ecgvlm.train.smolvlm import FULL, SmolVLM, new_smolvlm
from ecgvlm.train.studied import (
    TASKS,
    Asked,
    Ecgs,
    Studied,
    prepare,
    print_asked,
    with_gold,
    write_gold,
)

BALANCE = 0.7  # exponent by which records with rare labels are drawn more often,
RAREST = 30  # down to labels of so many records
SEEING = 0.3  # share of the time before the first answers
WARM_UP, FALLING = 0.03, 0.5  # shares of the time in which the rate rises, and in which it falls again
MUON, WORDS, RATE, DECAY, CLIP = 0.03, 3e-3, 6e-4, 0.02, 1.0  # rates: of matrices, words, all else
MICRO = 64  # pages of a step
CHUNK = 16  # pages that a worker hands over at once
AHEAD = 512  # such chunks that may wait for the shelf, as they do while layers are compiled
SHELF = 30_000  # pages that are kept to be looked at again
ANSWERING = 30.0  # seconds kept for the answers at the end
ASKED_AT_ONCE = 256  # pages
MAX_TOKENS = 56
NARROWEST = 400  # px of a printed page
_EVEN = 32  # tokens of which a text has a multiple, as masks are read fastest
LOSSES = (*WEIGHTS, "words")


@dataclass(frozen=True)
class Plan:
    """seconds: of clock for all, answers included. workers: processes that print. shape: of the model, see
    `new_smolvlm`."""

    seconds: float
    workers: int
    device: str
    micro: int = MICRO
    compiled: bool = False
    seed: int = 0
    shape: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: FULL)
    shelf: int = SHELF

    @property
    def side(self) -> int:
        """Of a tile, in px."""
        return self.shape["vision"]["image_size"]


@dataclass(frozen=True)
class Chunk:
    """Printed pages. of: [n] places of their records among the studied. tiles: [n, 3, S, S] uint8."""

    of: torch.Tensor
    tiles: torch.Tensor
    lessons: Lessons


class Pages(torch.utils.data.IterableDataset):
    """Chunks of printed pages without end; each worker reads the records and prints its own. ecgs: as
    `Ecgs.load` reads them.
    """

    def __init__(self, ecgs: Path, side: int, chunk: int, seed: int):
        self.ecgs, self.side, self.chunk, self.seed = ecgs, side, chunk, seed

    def __iter__(self) -> Iterator[Chunk]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        studied = Ecgs.load(self.ecgs).studied
        spreads = Spreads.of(np.stack([one.numbers for one in studied]))
        odds = _odds(np.stack([one.findings for one in studied]) == 1)
        while True:
            drawn = rng.choice(len(studied), self.chunk, p=odds)
            tiles, taught = zip(*(self.page(studied[i], spreads, rng) for i in drawn))
            yield Chunk(torch.from_numpy(drawn), torch.from_numpy(np.stack(tiles)), stacked(taught))

    def page(self, one: Studied, spreads: Spreads, rng: np.random.Generator) -> tuple[np.ndarray, Lessons]:
        """Its tile [3, S, S] and its lessons."""
        width = max(NARROWEST, int(rng.uniform(1.9, 2.8) * self.side))
        style = random_style(rng, width_px=width)
        page = print_page(one.record, str(rng.choice(PAGE_KINDS)), rng, style)
        shape, numbers = page.image.shape[:2], spreads.scale(one.numbers)
        taught = lessons_of(page.truth, shape, self.side, one.beats, one.findings, numbers)
        return tile_of(page.image, self.side).transpose(2, 0, 1), taught


def _odds(has: np.ndarray) -> np.ndarray:
    """How likely each record is drawn, by its rarest label. has: [n, labels] bool."""
    weight = has.sum(0).clip(RAREST) ** -BALANCE
    odds = np.maximum((has * weight).max(1), len(has) ** -BALANCE)
    return odds / odds.sum()


class Shelf:
    """Printed pages on the device, the latest of them: new ones come as they are printed, any can be looked
    at again.

    Without processes that print, as many as are wanted are printed when they are wanted.
    """

    def __init__(self, pages: Pages, plan: Plan):
        options: dict[str, Any] = {}
        if plan.workers:
            options = {
                "multiprocessing_context": worker_context(__name__), "worker_init_fn": _start,
                "prefetch_factor": 2,
            }  # fmt: skip
        loader = torch.utils.data.DataLoader(pages, batch_size=None, num_workers=plan.workers, **options)
        self._chunk, self._room = pages.chunk, plan.shelf // pages.chunk * pages.chunk
        self._device, self._rng = torch.device(plan.device), np.random.default_rng(pages.seed)
        self._kept: Chunk | None = None
        self.printed = 0
        self._shown = 0  # of those printed, in their order
        self._chunks: Iterator[Chunk] | None = iter(loader)
        self._new: queue.Queue[Chunk | Exception] = queue.Queue(AHEAD)
        self._open, self._ahead = True, plan.workers > 0
        self._fetcher = threading.Thread(target=self._fetch, daemon=True)
        if self._ahead:
            self._fetcher.start()

    def _fetch(self) -> None:
        assert self._chunks is not None
        pin = torch.Tensor.pin_memory
        try:
            for chunk in self._chunks:
                if self._device.type == "cuda":
                    chunk = Chunk(chunk.of, pin(chunk.tiles), chunk.lessons.each(pin))
                self._hand_over(chunk)
                if not self._open:
                    return
        except Exception as error:  # of a process that prints: who draws is to hear of it
            self._hand_over(error)

    def _hand_over(self, what: Chunk | Exception) -> None:
        while self._open:
            with contextlib.suppress(queue.Full):
                self._new.put(what, timeout=0.5)
                return

    def close(self) -> None:
        """Ends the processes that print."""
        self._open = False
        if self._ahead:
            self._fetcher.join()
        self._chunks = None

    def draw(self, count: int) -> tuple[torch.Tensor, torch.Tensor, Lessons]:
        """So many pages: the places of their records, tiles [n, 3, S, S] uint8, lessons. Raises what ended a
        process that prints."""
        self._fill(count)
        assert self._kept is not None
        there = min(self.printed, self._room)
        fresh = min(self.printed - self._shown, there, (count + 1) // 2)
        first = max(self._shown, self.printed - there)
        places = np.concatenate(
            [np.arange(first, first + fresh) % self._room, self._rng.integers(0, there, count - fresh)]
        )
        self._shown = first + fresh
        at = torch.from_numpy(places)
        records, at = self._kept.of[at], at.to(self._device)
        return records, self._kept.tiles[at], self._kept.lessons.each(lambda x: x[at])

    def _fill(self, wanted: int) -> None:
        """Lays on the shelf what has been printed; waits only while there are fewer than wanted."""
        while True:
            if not self._ahead:
                if self.printed - self._shown >= wanted or self._chunks is None:
                    return
                self._put(next(self._chunks))
                continue
            try:
                new = self._new.get(block=self.printed < wanted)
            except queue.Empty:
                return
            if isinstance(new, Exception):
                raise new
            self._put(new)

    def _put(self, chunk: Chunk) -> None:
        if self._kept is None:

            def room(like: torch.Tensor, device: torch.device) -> torch.Tensor:
                return torch.empty((self._room, *like.shape[1:]), dtype=like.dtype, device=device)

            lessons = chunk.lessons.each(lambda x: room(x, self._device))
            self._kept = Chunk(room(chunk.of, torch.device("cpu")), room(chunk.tiles, self._device), lessons)
        at = self.printed % self._room
        for mine, new in (
            (self._kept.of, chunk.of),
            (self._kept.tiles, chunk.tiles),
            *((getattr(self._kept.lessons, name), x) for name, x in vars(chunk.lessons).items()),
        ):
            mine[at : at + self._chunk].copy_(new, non_blocking=True)
        self.printed += self._chunk


def _start(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    end_with_parent()


def _print_aside(asked: Sequence[Asked], sheets: Path, side: int) -> None:
    _start(0)
    print_asked(asked, sheets, 0, side)


class Texts:
    """The tasks' questions about each record with their answers, laid out once, as few are different, and all
    of one length."""

    def __init__(self, chat: Chat, studied: Sequence[Studied]):
        rows = [
            tuple(((load_task(name).prompts[0], gold),) for name, gold in one.gold.items()) for one in studied
        ]
        different = list(dict.fromkeys(rows))
        self._of = torch.tensor([different.index(row) for row in rows])
        laid = collate(chat, [Sample(np.empty((1, 0)), row) for row in different])
        answers = torch.zeros_like(laid.ids, dtype=torch.bool)
        answers.view(-1)[laid.answers] = True
        more = (0, -laid.ids.shape[1] % _EVEN)
        self._ids = F.pad(laid.ids, more, value=chat.tokenizer.pad_token_id)
        self._positions, self._answers = F.pad(laid.positions, more), F.pad(answers, more)
        self._segments = F.pad(laid.segments, more, value=-1)
        self._image = chat.image_id

    def about(self, records: torch.Tensor, tiles: torch.Tensor) -> Microbatch:
        """What is asked about pages of these records [n], with the answers. tiles: [n, 3, S, S]."""
        of = self._of[records]
        ids, segments = self._ids[of], self._segments[of]
        shown, answers = (at.flatten().nonzero()[:, 0] for at in (ids == self._image, self._answers[of]))
        rows = int(segments.amax(1).sum())
        nothing = torch.empty(1)  # to be moved, as the tiles are there already
        batch = Microbatch(nothing, ids, self._positions[of], segments, shown, answers, rows, True)
        if tiles.is_cuda:
            batch = batch.pin_memory().to(tiles.device)
        return replace(batch, pages=tiles[:, None])


def build(plan: Plan) -> tuple[SmolVLM, Pupil]:
    torch.manual_seed(plan.seed)
    net, processor = new_smolvlm(plan.shape)
    model = SmolVLM(net, processor, tiles=1)
    places = net.model.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        places.copy_(numbered_places(places))
    pupil = Pupil(net.config.vision_config.hidden_size, net.config.text_config.hidden_size)
    return model.to(plan.device), pupil.to(plan.device)


def optimizers(model: SmolVLM, pupil: Pupil) -> tuple[Muon, torch.optim.AdamW]:
    """For the matrices between the layers, and for all else."""
    net = model.net.model
    inner = (net.vision_model.encoder, net.connector, net.text_model.layers)
    between = [p for part in inner for p in part.parameters() if p.ndim == 2]
    words = net.text_model.get_input_embeddings().weight
    taken = {id(p) for p in (*between, words)}
    rest = [p for p in (*model.parameters(), *pupil.parameters()) if id(p) not in taken]
    groups = [{"params": [words], "lr": WORDS}, {"params": rest, "lr": RATE}]
    others = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=DECAY, fused=words.is_cuda)
    return Muon(between, MUON), others


def rate_at(share: float) -> float:
    """The learning rate as a part of its peak, at a share of the time."""
    return max(0.01, min(1.0, share / WARM_UP, (1 - share) / FALLING))


def train(
    model: SmolVLM, pupil: Pupil, shelf: Shelf, texts: Texts, plan: Plan, log: Path, begun: float
) -> None:
    """Until the time for answers has come. begun: of the run, by time.monotonic()."""
    both = optimizers(model, pupil)
    peaks = [(group, group["lr"]) for optimizer in both for group in optimizer.param_groups]
    unruly = [p for group in both[1].param_groups for p in group["params"]]
    if plan.compiled:
        model.compile_layers(any_length=False)
    end = begun + plan.seconds - ANSWERING * min(1.0, plan.seconds / 240)
    step, started = 0, 0.0
    average: dict[str, torch.Tensor] = {}
    with log.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "seconds", "printed", "rate", *LOSSES])
        while (now := time.monotonic()) < end:
            records, tiles, taught = shelf.draw(plan.micro)
            # While layers are compiled and the first pages printed, no time passes for the rate.
            started = started if step > 2 else time.monotonic()
            share = (now - started) / (end - started) if step > 2 else 0.0
            for group, peak in peaks:
                group["lr"] = peak * rate_at(share)
            batch = texts.about(records, jittered(tiles))
            # The first step has words, so that all that is to be compiled is.
            total, losses = learn(model.train(), pupil, batch, taught, words=step == 0 or share > SEEING)
            for optimizer in both:
                optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(unruly, CLIP)
            for optimizer in both:
                optimizer.step()
            step += 1
            for name, loss in losses.items():
                average[name] = average.get(name, loss.detach()).lerp(loss.detach(), 0.03)
            if step % 20 == 0:
                figures = [f"{float(average[name]):.4f}" if name in average else "" for name in LOSSES]
                row = [step, f"{now - begun:.1f}", shelf.printed, f"{rate_at(share):.3f}", *figures]
                writer.writerow(row)
                file.flush()


def jittered(tiles: torch.Tensor) -> torch.Tensor:
    """uint8 [n, 3, S, S] with each page's brightness and colours somewhat others: in float, 0..255."""
    n, device = len(tiles), tiles.device
    gain = torch.empty(n, 3, 1, 1, device=device).uniform_(0.92, 1.08)
    gain = gain * torch.empty(n, 1, 1, 1, device=device).uniform_(0.85, 1.1)
    shift = torch.empty(n, 1, 1, 1, device=device).uniform_(-20, 20)
    return torch.addcmul(shift, tiles.float(), gain).clamp_(0, 255)


def learn(
    model: SmolVLM, pupil: Pupil, batch: Microbatch, taught: Lessons, words: bool
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss that is to go down, and its parts: by lesson and, where asked for, the words' (a token's
    mean)."""
    with torch.autocast(batch.pages.device.type, torch.bfloat16):
        patches = model.patches(batch.pages)
        seen = model.connect(patches, len(batch.pages))
        losses = pupil.losses(patches, seen, taught)
        total = weighed(losses)
        if words:
            losses["words"] = model.answers_loss(seen, batch) / max(1, len(batch.answers))
            total = total + losses["words"]
    return total, losses


@torch.no_grad()
def answer(model: SmolVLM, pupil: Pupil, asked: Sequence[Asked], sheets: Path, out: Path, plan: Plan) -> None:
    """Asks about every page and writes gold and answers of each task into out, batch by batch."""
    model.eval()
    tasks = {name: load_task(name) for name in TASKS}
    wanted = {name: with_gold(asked, name) for name in TASKS}
    said: dict[str, list[dict]] = {name: [] for name in TASKS}
    with torch.autocast(plan.device, torch.bfloat16), torch.compiler.set_stance("force_eager"):
        for first in range(0, len(asked), ASKED_AT_ONCE):
            part = asked[first : first + ASKED_AT_ONCE]
            shown = [np.load(sheets / f"{one.id}.npy").transpose(2, 0, 1)[None, None] for one in part]
            tokens = model.look(torch.from_numpy(np.concatenate(shown)).to(plan.device))
            p = torch.sigmoid(pupil.read(tokens)[0]).float().cpu().numpy()
            rows = tuple(((tasks[name].prompts[0], ""),) for name in TASKS)
            told = iter(model.answer([Sample(page, rows) for page in shown], MAX_TOKENS))
            for one, judged in zip(part, p):
                scores = {x: round(float(y), 4) for x, y in zip(LABELS, judged)}
                for name, task in tasks.items():
                    own = {label: scores[label] for label in task.labels if label in scores}
                    said[name].append({"id": one.id, "text": next(told), "scores": own})
            for name, rows_ in said.items():
                text = "".join(json.dumps(row) + "\n" for row in rows_ if row["id"] in wanted[name])
                write_file(out / f"{name}.jsonl", text.encode())


def run(ecgs: Path, out: Path, plan: Plan) -> None:
    """All of it. ecgs: as `prepare` saved them."""
    begun = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    known, sheets = Ecgs.load(ecgs), out / "sheets"
    model, pupil = build(plan)
    shelf = Shelf(Pages(ecgs, plan.side, min(CHUNK, plan.micro), plan.seed), plan)
    aside = worker_context(__name__).Process(
        target=_print_aside, args=(known.asked, sheets, plan.side), daemon=True
    )
    aside.start()
    write_gold(known.asked, out)
    texts = Texts(model.chat, known.studied)
    with contextlib.closing(shelf):
        train(model, pupil, shelf, texts, plan, out / "log.csv", begun)
    aside.join()
    print_asked(known.asked, sheets, plan.workers, plan.side)  # where that one was not done
    answer(model, pupil, known.asked, sheets, out, plan)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("prepare")
    made.add_argument("--records", type=Path, required=True, help="PTB-XL's folder")
    made.add_argument("--pool", type=Path, required=True, help="folder of the pages that are asked about")
    made.add_argument("--seed", type=int, default=91, help="of the pool")
    made.add_argument("--out", type=Path, required=True)
    started = commands.add_parser("run")
    started.add_argument("--ecgs", type=Path, required=True, help="written by prepare")
    started.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    started.add_argument("--out", type=Path, required=True)
    started.add_argument("--seconds", type=float, required=True)
    started.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    started.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    if args.command == "prepare":
        prepare(args.records, args.pool, args.seed).save(args.out)
    else:
        run(args.ecgs, args.out, Plan(args.seconds, args.workers, args.device, compiled=args.compile))


if __name__ == "__main__":
    run_plainly(main)
