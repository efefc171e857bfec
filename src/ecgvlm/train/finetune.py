"""One training loop for every base, on accelerate: one process or many, DDP or FSDP, resumed exactly.

What a step does depends on the recipe and the step's number only: the order of pages, their looks, the
learning rate and the dropout. A checkpoint therefore holds weights, optimiser state and the step, and nothing
random.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import math
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from ecgvlm.atomic import write_file
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.datasets import find_records
from ecgvlm.instruct.splits import records_of
from ecgvlm.train import checkpoint
from ecgvlm.train.answering import (
    Answering,
    Chat,
    Microbatch,
    add_adapters,
    collate,
    parameter_groups,
    set_learning,
)
from ecgvlm.train.curves import RunLog
from ecgvlm.train.pages import RecordPages, RowPages, Sample, micro_batches
from ecgvlm.train.recipe import SMOLLM2, Recipe
from ecgvlm.train.validation import Answered, figures


class Samples(Protocol):
    """Pages to learn from; see `RowPages`."""

    def order(self, epoch: int, batch: int) -> list[list[int]]: ...

    def load(self, epoch: int, index: int) -> Sample: ...

    def __len__(self) -> int: ...


class Stopped(EcgError):
    """The run was asked to end (SIGTERM, SIGINT) and has kept its state."""


def finetune(recipe: Recipe, resume: bool = False) -> Path:
    """Trains as the recipe says; returns the best checkpoint (the last one where there is no validation).

    Raises UsageError where the recipe and what is found do not fit, EcgError where a checkpoint cannot be
    written or the run
    was asked to stop (`Stopped`); a usable checkpoint then exists, as the message says.
    """
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
    data, model = recipe.data, base_model(recipe)
    train: Samples
    valid: Samples | None = None
    if recipe.base == SMOLLM2:
        from ecgvlm.train.small.smollm2 import EvidencePages

        assert data.records is not None
        train = EvidencePages(data.records, data.folds, data.questions, recipe.seed)
        valid = EvidencePages(data.records, data.valid_folds, data.questions, recipe.seed, unseen=True)
    else:
        from ecgvlm.train.smolvlm import SmolVLM

        assert isinstance(model, SmolVLM)
        looks = {"side": model.side, "tiles": data.tiles, "questions": data.questions, "seed": recipe.seed}
        if data.records is not None:
            if data.splits is not None:
                parts = [records_of(data.records, data.splits, part) for part in ("train", "valid")]
            else:
                parts = [find_records(data.records, folds) for folds in (data.folds, data.valid_folds)]
            train, valid = (RecordPages(entries, **looks) for entries in parts)
        else:
            assert data.train is not None
            looks |= {"special": model.chat.tokenizer.all_special_tokens, "images": data.images}
            skipped: list[str] | None = [] if data.skip_unreadable else None
            stores = recipe.out / "rows"
            with _accelerator(recipe).main_process_first():  # it writes the store that the others open
                train = RowPages(
                    data.train, balance=data.balance, skipped=skipped, store=stores / "train", **looks
                )
                if data.valid is not None:
                    valid = RowPages(data.valid, store=stores / "valid", **looks)
            for message in skipped or ():
                print(f"left out: {message}", file=sys.stderr)
    prepare(model, recipe)
    return model, train, valid


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
        if not loop.sharded:
            self.model = self.accelerator.prepare(model)
        elif world > 1:
            shard(model, self._device, world)
        groups = parameter_groups(self.model, recipe.rates, recipe.loop.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95))
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
            write_json(out / "recipe.json", describe(self.recipe))
        log = RunLog(out, self.place["step"], loop.steps, self.recipe.tracker) if self.main else None
        handlers = {}
        if threading.current_thread() is threading.main_thread():  # Ray's workers train in another one
            handlers = {s: signal.signal(s, self._ask) for s in (signal.SIGTERM, signal.SIGINT)}
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
                sum(int(b.answers.sum()) for b in batches),
                sum(int(b.segments.amax(1).clamp(min=0).sum()) for b in batches),
                share if self.main else 0.0,
            ],
            dtype=torch.float64,
        )
        tokens, rows, share = accelerator.reduce(sums.to(self._device, torch.float32)).tolist()
        scale = schedule(share, loop.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * scale
        torch.manual_seed((self.recipe.seed * 1_000_003 + step) * 1024 + accelerator.process_index)
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
        loader = torch.utils.data.DataLoader(
            _Dataset(self.train, data.skip_unreadable),
            batch_sampler=self._keys(),
            num_workers=data.workers,
            collate_fn=_Collate(self.chat),
            prefetch_factor=2 * self.accumulation if data.workers else None,
            worker_init_fn=_one_thread,
            # A forked worker inherits OpenCV's locks but not the threads that would open them.
            multiprocessing_context="spawn" if data.workers else None,
            pin_memory=self._device.type == "cuda",
        )
        # The workers end with this process, by its word: a signal to the whole group must not take them
        # first.
        # A mask is inherited from the moment they are started; the resource tracker's own start would lift
        # it.
        multiprocessing.resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        try:
            batches = iter(loader)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        while True:
            step = list(itertools.islice(batches, self.accumulation))
            for _, skipped in step:
                if isinstance(skipped, EcgError):
                    raise skipped
                self.place["skipped"] += skipped
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
        check_recipe(self.recipe)
        checkpoint.restore(start, self.model, self.optimizer)

    def _ask(self, number: int, _: Any) -> None:
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


class _Dataset(torch.utils.data.Dataset):
    """Samples by (epoch, group); an unreadable one is None where it may be skipped, else its EcgError."""

    def __init__(self, source: Samples, skip: bool):
        self.source, self.skip = source, skip

    def __getitem__(self, key: tuple[int, int]) -> Sample | EcgError | None:
        try:
            return self.source.load(*key)
        except EcgError as error:
            return None if self.skip else error


class _Collate:
    """Samples -> (batch, how many were skipped), or (None, the error) that ends the run."""

    def __init__(self, chat: Chat):
        self.chat = chat

    def __call__(
        self, samples: Sequence[Sample | EcgError | None]
    ) -> tuple[Microbatch | None, int | EcgError]:
        if error := next((s for s in samples if isinstance(s, EcgError)), None):
            return None, error
        read = [s for s in samples if isinstance(s, Sample)]
        if not read:
            return None, EcgError(
                "unreadable_file", f"none of {len(samples)} pages of a micro-batch could be read"
            )
        return collate(self.chat, read), len(samples) - len(read)


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def schedule(share: float, warmup: float) -> float:
    """Learning rate as a share of its peak: linear up over the first part of the run, then cosine to 0."""
    if share < warmup:
        return share / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (share - warmup) / max(1e-9, 1 - warmup))))


@torch.no_grad()
def evaluate(
    model: Any,
    valid: Samples,
    recipe: Recipe,
    accelerator: Accelerator,
    asked: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, Any], list[dict[str, str]]] | None:
    """Validation loss and what the generated answers are worth (`validation.figures`), with some of them.

    Every process takes its share; the same rows and pages each time. asked: whether the run is to end,
    which an
    evaluation does not wait for. Returns {"loss", "exact", "figure", "kinds"} and samples {"question",
    "gold",
    "answer"}, or None where it was broken off.
    """
    plain: Answering = accelerator.unwrap_model(model)
    plain.eval()
    samples = _drawn(valid, recipe)
    mine = samples[accelerator.process_index :: accelerator.num_processes]
    micro, loss, tokens, said = recipe.loop.micro_batch, 0.0, 0, []
    with _whole(model), accelerator.autocast():
        for _, same in itertools.groupby(sorted(mine, key=_rows_of), key=_rows_of):
            for part in _batched(same, micro):
                if asked():
                    break
                batch = collate(plain.chat, [s for _, s in part]).to(accelerator.device)
                loss += float(plain(batch))
                tokens += int(batch.answers.sum())
                prompts = [turns for _, s in part for turns in s.rows]
                truths = [truth for _, s in part for truth in s.truths]
                answers = plain.answer(batch.pages, prompts, recipe.evaluation.max_tokens)
                keys = [(k, j) for k, s in part for j in range(len(s.rows))]
                said += [
                    (key, Answered(turns[-1][0], turns[-1][1], answer, truth))
                    for key, turns, answer, truth in zip(keys, prompts, answers, truths)
                ]
    parts = [(loss, tokens, said, asked())]
    if accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        parts = gather_object(parts)
    if any(part[3] for part in parts):
        return None
    loss, tokens = sum(p[0] for p in parts), sum(p[1] for p in parts)
    told = [row for _, row in sorted((t for p in parts for t in p[2]), key=lambda t: t[0])]
    exact = sum(row.gold.strip() == row.answer for row in told) / len(told)
    kinds = figures(told)
    result = {"loss": loss / tokens, "exact": exact, "figure": kinds.pop("all"), "kinds": kinds}
    return result, [{"question": r.question, "gold": r.gold, "answer": r.answer} for r in told[:8]]


def _drawn(valid: Samples, recipe: Recipe) -> list[tuple[int, Sample]]:
    """The validation pages, numbered: drawn by seed until they hold as many rows as the recipe asks for."""
    order = np.random.default_rng([recipe.seed, 7]).permutation(len(valid)).tolist()
    samples: list[tuple[int, Sample]] = []
    rows = 0
    for index in order:
        if rows >= recipe.evaluation.rows:
            break
        samples.append((len(samples), valid.load(0, index)))
        rows += len(samples[-1][1].rows)
    return samples


def _rows_of(numbered: tuple[int, Sample]) -> int:
    return len(numbered[1].rows)


def _batched(items: Any, n: int) -> Iterator[tuple]:
    items = iter(items)
    while part := tuple(itertools.islice(items, n)):
        yield part


@contextmanager
def _whole(model: Any) -> Iterator[None]:
    """Sharded weights gathered while answers are generated, which each process does at its own pace."""
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()


_FREE = {
    ("out",),
    ("keep",),
    ("data", "workers"),
    ("loop", "threads"),
    ("loop", "sharded"),
    ("loop", "micro_batch"),
}


def describe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as it ran, with the versions of what ran it."""
    packages = ("ecgvlm", "torch", "transformers", "accelerate", "peft", "numpy")
    return {
        "recipe": recipe.model_dump(mode="json"),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def check_recipe(recipe: Recipe) -> None:
    """Raises UsageError where the recipe would learn otherwise than the one that the run began with."""
    path = recipe.out / "recipe.json"
    try:
        before = json.loads(path.read_text())["recipe"]
    except (OSError, ValueError, KeyError) as error:
        raise EcgError("unreadable_file", f"{path}: {error}") from None
    now = recipe.model_dump(mode="json")
    for section, value in now.items():
        fields = value if isinstance(value, dict) else {None: value}
        for field, new in fields.items():
            old = before.get(section) if field is None else (before.get(section) or {}).get(field)
            if old != new and (section,) not in _FREE and (section, field) not in _FREE:
                name = section if field is None else f"{section}.{field}"
                raise UsageError(f"{recipe.out} was begun with {name} = {old!r}, not {new!r}")


def write_json(path: Path, value: object) -> None:
    write_file(path, (json.dumps(value, indent=1) + "\n").encode())
