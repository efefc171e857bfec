"""One training loop for every base, on accelerate: one process or many, DDP or FSDP, resumed exactly.

What a step does depends on the recipe and the step's number only: the order of pages, their looks, the
learning rate and the dropout. A checkpoint therefore holds weights, optimiser state and the step, and nothing
random.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from ecgvlm.atomic import alone
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.instruct.splits import chosen_records
from ecgvlm.processes import is_first
from ecgvlm.train import checkpoint
from ecgvlm.train.answering import (
    Answering,
    Microbatch,
    add_adapters,
    parameter_groups,
    set_learning,
)
from ecgvlm.train.curves import RunLog
from ecgvlm.train.evaluation import evaluate
from ecgvlm.train.loader import ENDING, load_batches, shielded
from ecgvlm.train.pages import RecordPages, RowPages, Samples, micro_batches
from ecgvlm.train.recipe import SMOLLM2, Recipe
from ecgvlm.train.recorded import check_same, record


class Stopped(EcgError):
    """The run was asked to end (by a signal of `loader.ENDING`) and has kept its state."""


def finetune(recipe: Recipe, resume: bool = False) -> Path:
    """Trains as the recipe says; returns the best checkpoint (the last one where there is no validation).

    Raises UsageError where the recipe and what is found do not fit or another process trains there, EcgError
    where a checkpoint cannot be written or the run was asked to stop (`Stopped`); a usable checkpoint then
    exists, as the message says.
    """
    with alone(recipe.out) if is_first() else nullcontext():
        whole = checkpoint.steps_in(recipe.out)
        if whole and not resume:
            raise UsageError(
                f"{recipe.out} holds a run already: go on with --resume, or name another folder",
            )
        if recipe.loop.threads:
            torch.set_num_threads(recipe.loop.threads)
        model, train, valid = load(recipe)
        return Run(recipe, model, train, valid).go(whole[-1] if whole else None)


def load(recipe: Recipe) -> tuple[Answering, Samples, Samples | None]:
    """The model with its adapters and frozen parts, and pages for training and validation."""
    model = base_model(recipe)
    train: Samples
    valid: Samples | None
    if recipe.base == SMOLLM2:
        train, valid = _evidence(recipe)
    elif recipe.data.records is not None:
        train, valid = _printed(recipe, model)
    else:
        train, valid = _rows(recipe, model)
    prepare(model, recipe)
    return model, train, valid


def _evidence(recipe: Recipe) -> tuple[Samples, Samples]:
    """Records as evidence, for a model without eyes."""
    from ecgvlm.train.small.smollm2 import EvidencePages

    data = recipe.data
    assert data.records is not None
    train = EvidencePages(data.records, data.folds, data.questions, recipe.seed)
    return train, EvidencePages(data.records, data.valid_folds, data.questions, recipe.seed, unseen=True)


def _printed(recipe: Recipe, model: Any) -> tuple[Samples, Samples]:
    """Records that are printed anew each time."""
    data = recipe.data
    assert data.records is not None
    by_fold = data.splits is None
    train, valid = (
        RecordPages(
            chosen_records(data.records, folds if by_fold else None, data.splits, part),
            model.side, data.tiles, data.questions, recipe.seed,
        )
        for part, folds in (("train", data.folds), ("valid", data.valid_folds))
    )  # fmt: skip
    return train, valid


def _rows(recipe: Recipe, model: Any) -> tuple[Samples, Samples | None]:
    """Rows with their pictures; what is left out is said."""
    data = recipe.data
    assert data.train is not None
    looks = {
        "images": data.images, "side": model.side, "tiles": data.tiles, "questions": data.questions,
        "seed": recipe.seed, "special": model.chat.special,
    }  # fmt: skip
    skipped: list[str] | None = [] if data.skip_unreadable else None
    stores = recipe.out / "rows"
    with _accelerator(recipe).main_process_first():  # it writes the store that the others open
        train = RowPages(data.train, balance=data.balance, skipped=skipped, store=stores / "train", **looks)
        valid = None if data.valid is None else RowPages(data.valid, store=stores / "valid", **looks)
    for message in skipped or ():
        print(f"left out: {message}", file=sys.stderr)
    if valid is not None and is_first():
        _tell_overlap(train, valid)
    return train, valid


def _tell_overlap(train: RowPages, valid: RowPages) -> None:
    """Says where validation asks about what is trained on, as its figures then promise too much."""
    known = np.isin(valid.rows.people, train.rows.people)
    if known.any():
        said = (
            f"{known.sum()} of {len(known)} validation rows are about patients or pictures of training rows"
        )
        print(f"note: {said}; ecgvlm instruct split makes parts that share none", file=sys.stderr)


def base_model(recipe: Recipe) -> Answering:
    """The recipe's base as it comes; new layers are seeded."""
    torch.manual_seed(recipe.seed)
    if recipe.base == SMOLLM2:
        from ecgvlm.train.small.smollm2 import load_smollm2

        return load_smollm2(recipe.data.tokens)
    from ecgvlm.train.smolvlm import load_smolvlm

    return load_smolvlm(recipe.base, recipe.data.tiles, recipe.method, recipe.revision)


def prepare(model: Answering, recipe: Recipe) -> None:
    """Freezes what does not learn, puts in adapters, turns on gradient checkpointing."""
    if recipe.method == "full":
        set_learning(model, recipe.rates)
    else:
        add_adapters(model, recipe.rates, recipe.adapter)
    if recipe.loop.checkpoint_gradients:
        model.net.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def _accelerator(recipe: Recipe) -> Accelerator:
    """Of all processes that torchrun or accelerate started, on GPUs where there are any."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    accelerator = Accelerator(
        mixed_precision="bf16" if recipe.loop.precision == "bf16" else "no",
        cpu=not torch.accelerator.is_available(),
    )
    if accelerator.num_processes != world:
        raise UsageError(
            f"{world} processes were started, but {accelerator.num_processes} know of each other"
        )
    return accelerator


class Run:
    """One run of a recipe."""

    def __init__(self, recipe: Recipe, model: Answering, train: Samples, valid: Samples | None):
        self.recipe, self.train, self.valid = recipe, train, valid
        self.accelerator = _accelerator(recipe)
        loop, world = recipe.loop, self.accelerator.num_processes
        if loop.batch % (loop.micro_batch * world):
            said = f"batch {loop.batch} is no multiple of micro_batch {loop.micro_batch} x {world} processes"
            raise UsageError(said)
        self.accumulation = loop.batch // (loop.micro_batch * world)
        self.chat = model.chat
        self.model: Any = model.to(self._device)
        if loop.compile:
            model.compile_layers()
        if not loop.sharded:
            self.model = self.accelerator.prepare(model)
        elif world > 1:
            shard(model, self._device, world)
        groups = parameter_groups(self.model, recipe.rates, recipe.loop.weight_decay)
        fused = not (loop.sharded and world > 1 and self._device.type == "cpu")  # DTensor has none there
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=fused)
        self.place: dict[str, Any] = {
            "step": 0, "seconds": 0.0, "best": None, "figure": None, "valid_loss": None, "stale": 0,
            "skipped": 0, "pages": len(train), "share": 0.0,
        }  # fmt: skip
        self._asked: str | None = None

    @property
    def main(self) -> bool:
        return self.accelerator.is_main_process

    def go(self, start: Path | None) -> Path:
        """Trains to the end, from a checkpoint or the beginning; returns the checkpoint to use."""
        out, loop = self.recipe.out, self.recipe.loop
        if start is not None:
            self._restore(start)
        if self.main:
            out.mkdir(parents=True, exist_ok=True)
            record(self.recipe)
        log = RunLog(out, self.place["step"], loop.steps, self.recipe.tracker) if self.main else None
        handlers = {}
        if threading.current_thread() is threading.main_thread():  # Ray's workers train in another one
            heard = (s for s in ENDING if signal.getsignal(s) is not signal.SIG_IGN)  # as nohup has it
            handlers = {s: signal.signal(s, self._ask) for s in heard}
        begun = time.monotonic() - self.place["seconds"]
        saved_at = time.monotonic()
        try:
            micros = self._micros()
            while not self._finished():
                row = self._step(micros, begun, log)
                step = row["step"]
                if self.valid is not None and (step % self.recipe.evaluation.every == 0 or self._finished()):
                    self._evaluate(log)
                now = time.monotonic()
                due = self._anywhere(self._asked is not None, now - saved_at > 60 * self.recipe.keep.minutes)
                if (
                    any(due)
                    or step % self.recipe.keep.steps == 0
                    or self._finished()
                    or self.place["best"] == self._name()
                ):
                    self._save()
                    saved_at = time.monotonic()
                if due[0]:
                    raise Stopped(
                        "unreadable_file",
                        f"stopped by {self._asked or 'another process'} after step {step} of {loop.steps}; "
                        f"{out / 'checkpoints' / self._name()} is whole, go on with --resume",
                    )
        finally:
            for s, handler in handlers.items():
                signal.signal(s, handler)
            if log is not None:
                log.close()
        return out / "checkpoints" / (self.place["best"] or self._name())

    def _step(self, micros: Iterator[list[Microbatch]], begun: float, log: RunLog | None) -> dict[str, Any]:
        """One optimiser step. The loss is the mean over the answers' tokens of the whole batch, wherever they
        lie.
        """
        loop, accelerator, step = self.recipe.loop, self.accelerator, self.place["step"]
        started = time.monotonic()
        batches = next(micros)
        waited = time.monotonic() - started
        share = self._share(step + 0.5, time.monotonic() - begun)
        sums = torch.tensor(
            [
                sum(len(b.answers) for b in batches),
                sum(b.rows for b in batches),
                share if self.main else 0.0,
            ],
            dtype=torch.float64,
        )
        tokens, rows, share = accelerator.reduce(sums.to(self._device, torch.float32)).tolist()
        scale = schedule(share, loop.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * scale
        torch.manual_seed((self.recipe.seed * 1_000_003 + step) * 1024 + accelerator.process_index)
        with shielded() if loop.compile else nullcontext():  # compilers run beside
            loss = self._gradients(batches, tokens)
        learning = [p for group in self.optimizer.param_groups for p in group["params"]]
        gradient = torch.nn.utils.clip_grad_norm_(learning, loop.clip)
        if isinstance(gradient, DTensor):
            gradient = gradient.full_tensor()
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss = accelerator.reduce(loss) / tokens
        if not torch.isfinite(loss):
            raise EcgError(
                "unsupported_format", f"the loss is not finite at step {step + 1}; lower the learning rates"
            )
        took = time.monotonic() - started
        self.place["step"], self.place["seconds"] = step + 1, time.monotonic() - begun
        self.place["share"] = share
        row = {
            "step": step + 1, "epoch": self._epoch(step), "loss": float(loss), "rate": scale,
            "gradient": float(gradient), "pages_s": loop.batch / took, "rows_s": rows / took,
            "wait_share": waited / took, "seconds": self.place["seconds"],
        }  # fmt: skip
        if log is not None:
            log.step(row)
        return row

    def _gradients(self, batches: Sequence[Microbatch], tokens: float) -> torch.Tensor:
        """Adds up a step's gradients, of the mean loss over so many answer tokens; this process's loss."""
        accelerator = self.accelerator
        self.model.train()
        loss = torch.zeros((), device=self._device)
        for k, batch in enumerate(batches):
            last = k == len(batches) - 1
            with nullcontext() if last else accelerator.no_sync(self.model):
                with accelerator.autocast():
                    part = self.model(batch.to(self._device))
                # The processes' gradients are averaged; this makes them the sum's.
                accelerator.backward(part * (accelerator.num_processes / tokens))
            loss += part.detach()
        return loss

    def _share(self, step: float, seconds: float) -> float:
        """How much of the run is done: of its steps or of its minutes, whichever is nearer the end."""
        loop = self.recipe.loop
        return max(step / loop.steps, seconds / 60 / loop.minutes if loop.minutes else 0.0)

    def _finished(self) -> bool:
        stale = self.recipe.evaluation.patience and self.place["stale"] >= self.recipe.evaluation.patience
        return self.place["step"] >= self.recipe.loop.steps or self.place["share"] >= 1 or bool(stale)

    def _micros(self) -> Iterator[list[Microbatch]]:
        """Each step's micro-batches of this process, from the place's step on."""
        data = self.recipe.data
        batches = load_batches(
            self.train, self.chat, self._keys(), data.workers, 2 * self.accumulation, data.skip_unreadable,
            pinned=self._device.type == "cuda",
        )  # fmt: skip
        while True:
            step = list(itertools.islice(batches, self.accumulation))
            self.place["skipped"] += sum(skipped for _, skipped in step)
            yield [batch for batch, _ in step]

    def _keys(self) -> Iterator[list[tuple[int, int]]]:
        loop, step = self.recipe.loop, self.place["step"]
        for epoch in itertools.count(step // self._epoch_steps):
            order = self.train.order(epoch, loop.batch)
            if epoch == step // self._epoch_steps:
                order = order[step % self._epoch_steps :]
            yield from micro_batches(
                order, loop.micro_batch, self.accelerator.process_index, self.accelerator.num_processes, epoch
            )

    @property
    def _epoch_steps(self) -> int:
        steps = len(self.train) // self.recipe.loop.batch
        if not steps:
            raise UsageError(
                f"{len(self.train)} pages are fewer than a batch of {self.recipe.loop.batch}",
            )
        return steps

    def _epoch(self, step: int) -> float:
        return (step + 1) / self._epoch_steps

    @property
    def _device(self) -> torch.device:
        return self.accelerator.device

    def _evaluate(self, log: RunLog | None) -> None:
        """Notes the best figure so far; of equal ones the lower loss is the better."""
        assert self.valid is not None
        started = time.monotonic()
        done = evaluate(
            self.model, self.valid, self.recipe, self.accelerator, lambda: self._asked is not None
        )
        if done is None:
            return
        result, samples = done
        figure, loss = result["figure"], result["loss"]
        best = self.place["figure"]
        if best is None or (figure, -loss) > (best, -self.place["valid_loss"]):
            self.place |= {"best": self._name(), "figure": figure, "valid_loss": loss, "stale": 0}
        else:
            self.place["stale"] += 1
        if log is not None:
            log.evaluation(
                {"step": self.place["step"], **result, "seconds": time.monotonic() - started}, samples
            )

    def _name(self) -> str:
        return f"step-{self.place['step']:08d}"

    def _save(self) -> None:
        """Every process takes part; where the first one cannot write, all of them raise."""
        weights, state = checkpoint.gather(self.model, self.optimizer)
        failed: EcgError | None = None
        if self.main:
            try:
                checkpoint.write(
                    self.recipe.out, weights, state, self.place, self.recipe.keep.last, self.place["best"]
                )
            except EcgError as error:
                failed = error
        if self._anywhere(failed is not None)[0]:
            raise failed or EcgError("unreadable_file", "the first process could not write its checkpoint")

    def _restore(self, start: Path) -> None:
        self.place |= checkpoint.place_of(start)
        if self.place["pages"] != len(self.train):
            raise UsageError(
                f"{start} was trained on {self.place['pages']} pages, the data now holds {len(self.train)}",
            )
        check_same(self.recipe)
        checkpoint.restore(start, self.model, self.optimizer)

    def _ask(self, number: int, _: Any) -> None:
        if self._asked is None and self.main:  # a step may take minutes
            os.write(2, b"ecgvlm: ends after this step, with a checkpoint\n")
        self._asked = signal.Signals(number).name

    def _anywhere(self, *flags: bool) -> list[bool]:
        """Whether each flag is up in any of the processes."""
        if self.accelerator.num_processes == 1:
            return list(flags)
        return [
            bool(x)
            for x in self.accelerator.reduce(torch.tensor(flags, dtype=torch.float32, device=self._device))
        ]


def shard(model: torch.nn.Module, device: torch.device, world: int) -> None:
    """FSDP: every layer is a unit that is gathered while it is at work, the rest is one more."""
    mesh = torch.distributed.init_device_mesh(device.type, (world,))
    for module in list(model.modules()):
        if isinstance(module, torch.nn.ModuleList):
            for layer in module:
                fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def schedule(share: float, warmup: float) -> float:
    """Learning rate as a share of its peak: linear up over the first part of the run, then cosine to 0."""
    if share < warmup:
        return share / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / max(1e-9, 1 - warmup))))
