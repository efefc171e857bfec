"""SmolVLM-256M's architecture from random weights within minutes of one GPU: to see first, then to answer.

    python -m ecgvlm.train.scratch prepare --records PTBXL --pool runs/pool/page --out runs/scratch/ecgs.pkl
    python -m ecgvlm.train.scratch run --ecgs runs/scratch/ecgs.pkl --out runs/scratch --seconds 900 --compile
    ecgvlm bench score --task ptb-test --gold runs/scratch/ptb-test.gold.json \\
        --pred runs/scratch/ptb-test.jsonl

prepare measures PTB-XL's folds 1 to 7 and 9, which are learned from, and names the pages of fold 10 that are
asked about: those of a pool (`ecgvlm.train.small.pool`, one round), on which our own reader is judged out of
fold (`benchmarks/crossval.py`). run is bound by the clock. Worker processes print pages in random looks; the
vision half learns from each what its printer knows (`sight`), and after the first quarter of the time the
language half answers the benchmark's questions, and others beside. Where no new page is ready, the GPU takes
one again that it saw lately, so that it never waits.

A page's sheet, 2:1 as all are laid, is shown as two pictures of one tile each, its halves: 128 tokens. In
OUT: log.csv, and of each task the gold and the answers, as `ecgvlm bench score` takes them; the answers'
"scores" are those of a linear layer on the tokens that the language half sees, the words are its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import torch

from ecgvlm.atomic import write_file
from ecgvlm.bench.task import load_task
from ecgvlm.files.page_form import fit
from ecgvlm.instruct.records import ask
from ecgvlm.labels import LABELS
from ecgvlm.paper.degrade import PAGE_KINDS
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import random_style
from ecgvlm.processes import end_with_parent, worker_context
from ecgvlm.show.plain import run_plainly
from ecgvlm.train.answering import Chat, Microbatch, collate
from ecgvlm.train.finetune import schedule
from ecgvlm.train.pages import Sample
from ecgvlm.train.sight import Lessons, Pupil, Spreads, lessons_of, numbered_places, stacked, weighed
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

# What is asked beside the tasks' questions; all have short answers.
KINDS = ("finding", "pick", "rhythm", "regular", "measurement", "limit", "verdict")
BALANCE = 0.5  # exponent by which records with rare labels are drawn more often
SEEING = 0.25  # share of the time before the first answers
WARM_UP = 0.05  # share of the time in which the rate rises
RATE, DECAY, CLIP = 4e-4, 0.05, 1.0
MICRO = 32  # pages of a step
RECENT = 256  # steps' pages that are kept to be looked at again
ANSWERING = 45.0  # seconds kept for the answers at the end
MAX_TOKENS = 56
NARROWEST = 400  # px of a printed page


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

    @property
    def side(self) -> int:
        """Of a tile, in px."""
        return self.shape["vision"]["image_size"]


class Pages(torch.utils.data.IterableDataset):
    """Micro-batches of printed pages with questions and lessons without end; each worker reads the records
    and prints its own. ecgs: as `Ecgs.load` reads them.
    """

    def __init__(self, ecgs: Path, chat: Chat, side: int, micro: int, seed: int):
        self.ecgs, self.chat, self.side, self.micro, self.seed = ecgs, chat, side, micro, seed

    def __iter__(self) -> Iterator[tuple[Microbatch, Lessons]]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        studied = Ecgs.load(self.ecgs).studied
        spreads = Spreads.of(np.stack([one.numbers for one in studied]))
        odds = _odds(np.stack([one.findings for one in studied]) == 1)
        while True:
            drawn = (studied[i] for i in rng.choice(len(studied), self.micro, p=odds))
            samples, taught = zip(*(self.page(one, spreads, rng) for one in drawn))
            yield collate(self.chat, samples), stacked(taught)

    def page(self, one: Studied, spreads: Spreads, rng: np.random.Generator) -> tuple[Sample, Lessons]:
        width = max(NARROWEST, int(rng.uniform(1.7, 2.6) * self.side))
        style = random_style(rng, width_px=width)
        page = print_page(one.record, str(rng.choice(PAGE_KINDS)), rng, style)
        numbers = spreads.scale(one.numbers)
        taught = lessons_of(page.truth, page.image.shape[:2], self.side, one.findings, numbers)
        asked = ask(one.known, Random(int(rng.integers(2**31))), 1, KINDS)
        rows = [((load_task(name).prompts[0], gold),) for name, gold in one.gold.items()]
        rows += [((qa.question, qa.answer),) for qa in asked]
        return Sample(halves(fit(page.image, 2 * self.side)), tuple(rows)), taught


def _odds(has: np.ndarray) -> np.ndarray:
    """How likely each record is drawn, by its rarest label. has: [n, labels] bool."""
    weight = has.sum(0).clip(1) ** -BALANCE
    odds = np.maximum((has * weight).max(1), len(has) ** -BALANCE)
    return odds / odds.sum()


def halves(sheet: np.ndarray) -> np.ndarray:
    """[S, 2 S, 3] -> the two pictures that are shown of it: [2, 1, 3, S, S]."""
    side = len(sheet)
    return np.ascontiguousarray(sheet.reshape(side, 2, side, 3).transpose(1, 3, 0, 2))[:, None]


class Stream:
    """Micro-batches as they are wanted: new ones as soon as they are printed, else one of the recent ones.

    Without processes that print, each is printed when it is wanted.
    """

    def __init__(self, pages: Pages, plan: Plan):
        options: dict[str, Any] = {}
        if plan.workers:
            options = {
                "multiprocessing_context": worker_context(__name__), "worker_init_fn": _start,
                "prefetch_factor": 2,
            }  # fmt: skip
        loader = torch.utils.data.DataLoader(pages, batch_size=None, num_workers=plan.workers, **options)
        self._new: queue.Queue[tuple[Microbatch, Lessons]] = queue.Queue(4)
        self._recent: list[tuple[Microbatch, Lessons]] = []
        self._rng = Random(pages.seed)
        self.printed = 0
        self._batches = iter(loader)
        self._ahead, self._pinned = plan.workers > 0, plan.device != "cpu"
        if self._ahead:
            threading.Thread(target=self._fetch, daemon=True).start()

    def _fetch(self) -> None:
        for batch, taught in self._batches:
            self._new.put((batch.pin_memory(), taught.pin_memory()) if self._pinned else (batch, taught))

    def next(self) -> tuple[Microbatch, Lessons]:
        if not self._ahead:
            self.printed += 1
            return next(self._batches)
        try:
            batch = self._new.get(block=not self._recent)
        except queue.Empty:
            return self._rng.choice(self._recent)
        self.printed += 1
        if len(self._recent) < RECENT:
            self._recent.append(batch)
        else:
            self._recent[self.printed % RECENT] = batch
        return batch


def _start(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    end_with_parent()


def build(plan: Plan) -> tuple[SmolVLM, Pupil]:
    torch.manual_seed(plan.seed)
    net, processor = new_smolvlm(plan.shape)
    model = SmolVLM(net, processor, tiles=1)
    places = net.model.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        places.copy_(numbered_places(places))
    pupil = Pupil(net.config.vision_config.hidden_size, net.config.text_config.hidden_size)
    return model.to(plan.device), pupil.to(plan.device)


def train(model: SmolVLM, pupil: Pupil, stream: Stream, plan: Plan, log: Path, begun: float) -> None:
    """Until the time for answers has come. begun: of the run, by time.monotonic()."""
    parameters = [*model.parameters(), *pupil.parameters()]
    matrices, rest = ([p for p in parameters if (p.ndim > 1) == matrix] for matrix in (True, False))
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": rest, "weight_decay": 0.0}],
        RATE, betas=(0.9, 0.98), fused=plan.device != "cpu",
    )  # fmt: skip
    if plan.compiled:
        model.compile_layers()
    device, drawn = torch.device(plan.device), stream.next()
    started = time.monotonic()  # by which the rate goes: not while the first page is printed
    end = begun + plan.seconds - ANSWERING * min(1.0, plan.seconds / 240)
    average: dict[str, torch.Tensor] = {}
    with log.open("w", newline="") as file:
        writer = csv.writer(file)
        names = ("trace", "lead", "level", "findings", "numbers", "words")
        writer.writerow(["step", "seconds", "printed", "rate", *names])
        step = 0
        while (now := time.monotonic()) < end:
            share = (now - started) / (end - started)
            for group in optimizer.param_groups:
                group["lr"] = RATE * max(0.01, schedule(share, WARM_UP))
            batch, taught = drawn[0].to(device), drawn[1].to(device)
            total, losses = learn(model.train(), pupil, batch, taught, words=share > SEEING)
            optimizer.zero_grad(set_to_none=True)
            total.backward()
            torch.nn.utils.clip_grad_norm_(parameters, CLIP)
            optimizer.step()
            drawn = stream.next()
            step += 1
            for name in names:
                if name in losses:
                    old = average.get(name, losses[name].detach())
                    average[name] = 0.97 * old + 0.03 * losses[name].detach()
            if step % 20 == 0:
                figures = [f"{float(average[name]):.4f}" if name in average else "" for name in names]
                rate = f"{optimizer.param_groups[0]['lr']:.2e}"
                writer.writerow([step, f"{now - begun:.1f}", stream.printed * plan.micro, rate, *figures])
                file.flush()


def learn(
    model: SmolVLM, pupil: Pupil, batch: Microbatch, taught: Lessons, words: bool
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss that is to go down, and its parts: by lesson and, where asked for, the words' (a token's
    mean)."""
    with torch.autocast(batch.pages.device.type, torch.bfloat16):
        patches = model.patches(batch.pages)
        seen = model.connect(patches, len(batch.pages))
        losses = pupil.losses(patches, seen.reshape(len(batch.ids), -1, seen.shape[-1]), taught)
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
        for first in range(0, len(asked), 2 * plan.micro):
            part = asked[first : first + 2 * plan.micro]
            shown = [halves(np.load(sheets / f"{one.id}.npy")) for one in part]
            pages = torch.from_numpy(np.concatenate(shown)).to(plan.device)
            tokens = model.look(pages).reshape(len(part), -1, model.net.config.text_config.hidden_size)
            p = torch.sigmoid(pupil.read(tokens)[0]).float().cpu().numpy()
            rows = tuple(((tasks[name].prompts[0], ""),) for name in TASKS)
            told = iter(model.answer([Sample(pages, rows) for pages in shown], MAX_TOKENS))
            for one, judged in zip(part, p):
                scores = {x: round(float(y), 4) for x, y in zip(LABELS, judged)}
                for name, task in tasks.items():
                    own = {label: scores[label] for label in task.labels if label in scores}
                    said[name].append({"id": one.id, "text": next(told), "scores": own})
            for name, rows_ in said.items():
                text = "".join(json.dumps(row) + "\n" for row in rows_ if row["id"] in wanted[name])
                write_file(out / f"{name}.jsonl", text.encode())


def run(ecgs: Path, out: Path, plan: Plan, sheets: Path | None = None) -> None:
    """All of it. ecgs: as `prepare` saved them. sheets: folder of the pages that are asked about, by default
    OUT/sheets."""
    begun = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    asked, sheets = Ecgs.load(ecgs).asked, sheets or out / "sheets"
    write_gold(asked, out)
    print_asked(asked, sheets, plan.workers, plan.side)
    model, pupil = build(plan)
    stream = Stream(Pages(ecgs, model.chat, plan.side, plan.micro, plan.seed), plan)
    train(model, pupil, stream, plan, out / "log.csv", begun)
    answer(model, pupil, asked, sheets, out, plan)


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
    drawn = commands.add_parser("print", help="the pages that are asked about, ahead of a run")
    started = commands.add_parser("run")
    for each in (drawn, started):
        each.add_argument("--ecgs", type=Path, required=True, help="written by prepare")
        where = "folder of the pages that are asked about"
        each.add_argument("--sheets", type=Path, required=each is drawn, help=where)
        each.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    started.add_argument("--out", type=Path, required=True)
    started.add_argument("--seconds", type=float, required=True)
    started.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    started.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    if args.command == "prepare":
        prepare(args.records, args.pool, args.seed).save(args.out)
    elif args.command == "print":
        print_asked(Ecgs.load(args.ecgs).asked, args.sheets, args.workers, FULL["vision"]["image_size"])
    else:
        plan = Plan(args.seconds, args.workers, args.device, compiled=args.compile)
        run(args.ecgs, args.out, plan, args.sheets)


if __name__ == "__main__":
    run_plainly(main)
