"""The training loop beside transformers' own Trainer, and batched answers: same model, same rows, same run.

    OMP_NUM_THREADS=1 python benchmarks/bench_train.py [--model FOLDER] [--steps 10]
    python benchmarks/bench_train.py --device cuda --seconds 140

Writes benchmarks/results/train.json (train_cuda.json of a GPU), anew after each part, so that a run that is
cut short keeps what it has. Without --model the weights are random: on a CPU a narrow SmolVLM in float32, on
a GPU all of SmolVLM-256M's architecture in bf16. Pages are printed beforehand from simulated records. Both
sides take the very same rows, schedule and AdamW; Trainer's collator prepares them with the model's own
processor, question masked row by row, in as many workers. Their losses are compared step by step: with the
precision above and, on a GPU, in float32 as well. Then our loop with LoRA and with a compiled vision half,
and the answers a second of `bench run`'s local backend, one at a time and 16 together.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from random import Random
from typing import Any, Literal

import cv2
import numpy as np
import torch
import transformers
from accelerate.state import AcceleratorState

from ecgvlm.bench.backends.base import Ask, Reply, Setup
from ecgvlm.bench.backends.local import Transformers
from ecgvlm.bench.task import load_task
from ecgvlm.files.image import load_image, write_image
from ecgvlm.files.page_form import fit
from ecgvlm.instruct.qa import Asker
from ecgvlm.instruct.states import sample
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.processes import worker_context
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.train.finetune import Run, load, schedule
from ecgvlm.train.pages import RowPages
from ecgvlm.train.recipe import Data, Loop, Rates, Recipe, RowSource
from ecgvlm.train.smolvlm import FULL, new_smolvlm

CHUNKS = ("close", "finding", "verdict", "measurement", "close", "report")
SETTINGS = {"one question a page": 1, "four questions a page": 4}
WIDTH = 1024  # px of the pages: 3 tiles
RATE = 1e-4  # of every part
TOGETHER = 16  # answers in a batch
DISTINCT = 4  # steps without a page twice: printing more of them takes longer than training on them
# A SmolVLM smaller all round, in which the vision half makes up five sixths of a row's operations, too.
NARROW = {
    "vision": {
        "hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 3,
        "image_size": 512, "patch_size": 16,
    },
    "text": {
        "vocab_size": 8192, "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 8,
        "num_attention_heads": 3, "num_key_value_heads": 1,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What all sides share. rows: a step; at_once: of these on the device; warm: steps that are not counted.

    folder: of pages and runs. pages: how many are printed there.
    """

    device: str
    base: str
    folder: Path
    precision: Literal["bf16", "fp32"]
    steps: int
    rows: int
    at_once: int
    warm: int
    workers: int

    @property
    def pages(self) -> int:
        return self.rows * min(self.steps, DISTINCT)

    def recipe(
        self, questions: int, method: Literal["full", "lora"] = "full", compiled: bool = False
    ) -> Recipe:
        """Our loop's. So many questions a page, and `rows` of them a step."""
        pages = self.rows // questions
        return Recipe(
            base=self.base,
            out=self.folder / "run",
            method=method,
            data=Data(
                train=RowSource(source=str(self.folder / f"rows{questions}.json")), questions=questions,
                workers=self.workers,
            ),
            loop=Loop(
                steps=self.steps, batch=pages, micro_batch=min(pages, self.at_once), precision=self.precision,
                compile=compiled, threads=1 if self.device == "cpu" else 0,
            ),
            rates=Rates(vision=RATE, connector=RATE, language=RATE),
        )  # fmt: skip


def print_page(folder: Path, k: int) -> None:
    record, _ = simulate(random_simulation(np.random.default_rng(k), "normal"), k)
    write_image(folder / f"{k}.png", render(record, page_style("classic"), k).image)


def write_rows(bench: Bench) -> None:
    """Pages of simulated records, and for each setting `questions` rows about each that it needs."""
    with ProcessPoolExecutor(max(1, bench.workers), worker_context(__name__)) as pool:
        list(pool.map(partial(print_page, bench.folder), range(bench.pages), chunksize=4))
    for questions in SETTINGS.values():
        rows: list[dict] = []
        for k in range(bench.pages // questions):
            rng = Random(k)
            asker, evidence = Asker(rng), sample(rng)
            for j in range(questions):
                qa = asker.ask(evidence, CHUNKS[j % len(CHUNKS)] if j % len(CHUNKS) in (0, 1, 5) else None)
                turns = [{"from": "human", "value": qa.question}, {"from": "gpt", "value": qa.answer}]
                rows.append({"id": f"{k}-{j}", "image": f"{k}.png", "conversations": turns})
        (bench.folder / f"rows{questions}.json").write_text(json.dumps(rows))


def write_model(folder: Path, shape: Mapping[str, Mapping[str, Any]]) -> None:
    """A random model of the SmolVLM family in the form that `ecgvlm export` gives it."""
    torch.manual_seed(0)
    net, processor = new_smolvlm(shape)
    net.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "ecgvlm.json").write_text(json.dumps({"page": {"width": WIDTH}}))


class PlainRows(torch.utils.data.Dataset):
    """The same rows in the same order, one by one, for Trainer: its collator reads and prepares them."""

    def __init__(self, recipe: Recipe):
        data, loop = recipe.data, recipe.loop
        assert data.train is not None
        pages = RowPages(data.train, None, side=512, questions=data.questions, seed=recipe.seed)
        order = chain.from_iterable(pages.order(epoch, loop.batch) for epoch in count())
        groups = chain.from_iterable(islice(order, loop.steps))
        self.rows = [row for group in groups for row in pages.rows.group(group)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


def plain_collator(processor: Any, width: int) -> Any:
    """The collator of the usual fine-tuning scripts: padded to the longest row, prompt and filling masked."""

    def collate(rows: list) -> dict:
        images = [[fit(load_image(row.image), width)] for row in rows]
        texts, prompts = [], []
        for row in rows:
            ((question, answer),) = row.turns
            user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
            said = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
            texts.append(processor.apply_chat_template([user, said]).rstrip())
            prompts.append(processor.apply_chat_template([user], add_generation_prompt=True))
        batch = processor(text=texts, images=images, return_tensors="pt", padding=True, padding_side="right")
        asked = processor(text=prompts, images=images)["input_ids"]
        labels = batch["input_ids"].clone()
        labels[batch["attention_mask"] == 0] = -100
        for line, ids in zip(labels, asked):
            line[: len(ids)] = -100
        return {**batch, "labels": labels}

    return collate


@dataclass(frozen=True)
class Timed:
    """One side's run. tokens: of pages and texts, without filling. memory: peak of the device, in bytes.
    losses: of every step.
    """

    rows_s: float
    pages_s: float
    tokens_s: float
    memory: int
    losses: tuple[float, ...]
    wait_share: float | None = None


def time_ours(bench: Bench, recipe: Recipe) -> Timed:
    run = Run(recipe, *load(recipe))
    rows: list[dict] = []
    tokens: list[int] = []

    class Log:
        def step(self, row: dict) -> None:
            rows.append(row)

    def counted():
        for batches in run._micros():
            tokens.append(sum(int((b.segments >= 0).sum()) for b in batches))
            yield batches

    _reset_memory()
    micros, begun = counted(), time.monotonic()
    for _ in range(bench.steps):
        run._step(micros, begun, Log())  # type: ignore[arg-type]
    timed = rows[bench.warm :]  # the first ones start the workers and the allocator, and compile
    seconds = timed[-1]["seconds"] - rows[bench.warm - 1]["seconds"]
    took = [recipe.loop.batch / r["pages_s"] for r in timed]
    return Timed(
        rows_s=bench.rows * len(timed) / seconds,
        pages_s=recipe.loop.batch * len(timed) / seconds,
        tokens_s=sum(tokens[bench.warm :]) / seconds,
        memory=_peak_memory(),
        losses=tuple(r["loss"] for r in rows),
        wait_share=sum(r["wait_share"] * t for r, t in zip(timed, took)) / sum(took),
    )


def time_plain(bench: Bench, recipe: Recipe) -> Timed:
    data = PlainRows(recipe)
    marks: dict[int, float] = {}
    losses: list[torch.Tensor] = []
    tokens: list[torch.Tensor] = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step in (bench.warm, bench.steps):
                if bench.device == "cuda":
                    torch.cuda.synchronize()
                marks[state.global_step] = time.monotonic()

    class SameSteps(transformers.Trainer):
        """Ours' order of rows and learning rates, and what each step came to."""

        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return torch.utils.data.SequentialSampler(data)

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            def rate(step: int) -> float:
                return schedule((step + 0.5) / num_training_steps, recipe.loop.warmup)

            assert self.optimizer is not None
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)
            return self.lr_scheduler

        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            tokens.append(inputs["attention_mask"].sum())
            losses.append(super().training_step(model, inputs, *args, **kwargs))
            return losses[-1]

    model = transformers.AutoModelForImageTextToText.from_pretrained(recipe.base, dtype=torch.float32)
    at_once = min(bench.rows, bench.at_once)
    options = transformers.TrainingArguments(
        output_dir=str(bench.folder / "trainer"),
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=bench.rows // at_once,
        max_steps=bench.steps,
        dataloader_num_workers=recipe.data.workers,
        learning_rate=RATE,
        adam_beta2=0.95,
        weight_decay=recipe.loop.weight_decay,
        max_grad_norm=recipe.loop.clip,
        bf16=recipe.loop.precision == "bf16",
        report_to=[],
        save_strategy="no",
        use_cpu=bench.device == "cpu",
        remove_unused_columns=False,
        logging_strategy="no",
        disable_tqdm=True,
    )
    processor = transformers.AutoProcessor.from_pretrained(recipe.base)
    processor.image_processor.size = {"longest_edge": WIDTH}
    _reset_memory()
    trainer = SameSteps(
        model,
        options,
        data_collator=plain_collator(processor, WIDTH),
        train_dataset=data,
        callbacks=[Clock()],
    )
    trainer.train()
    seconds, timed = marks[bench.steps] - marks[bench.warm], bench.steps - bench.warm
    parts = bench.rows // at_once  # of a step
    each = [sum(float(x) for x in losses[k : k + parts]) for k in range(0, len(losses), parts)]
    return Timed(
        rows_s=bench.rows * timed / seconds,
        pages_s=recipe.loop.batch * timed / seconds,
        tokens_s=float(sum(tokens[bench.warm * parts :])) / seconds,
        memory=_peak_memory(),
        losses=tuple(each),
    )


def _reset_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak_memory() -> int:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def figures(runs: Sequence[Timed]) -> dict[str, float]:
    """The medians of one side's runs; memory in GB, of a GPU only."""
    found = {
        name: round(float(np.median([getattr(run, name) for run in runs])), 3)
        for name in ("rows_s", "pages_s", "tokens_s")
    }
    if memory := max(run.memory for run in runs):
        found["memory_gb"] = round(memory / 1e9, 2)
    if runs[0].wait_share is not None:
        found["wait_share"] = round(float(np.median([run.wait_share for run in runs])), 4)
    return found


def compare_losses(ours: Timed, plain: Timed) -> dict[str, float]:
    apart = [abs(a - b) / b for a, b in zip(ours.losses, plain.losses, strict=True)]
    return {
        "steps": len(apart),
        "first": round(plain.losses[0], 4),
        "last": round(plain.losses[-1], 4),
        "last_apart": float(f"{apart[-1]:.2g}"),
        "most_apart": float(f"{max(apart):.2g}"),
    }


def turn_about(bench: Bench, questions: int, earlier: list[tuple[Timed, Timed]]) -> dict[str, Any]:
    """One round more of both sides, the one that was second first, and the medians of all."""
    recipe, sides = bench.recipe(questions), [time_plain, time_ours]
    if len(earlier) % 2:
        sides.reverse()
    timed = {}
    for side in sides:
        timed[side] = side(bench, recipe)
        AcceleratorState._reset_state(True)
    earlier.append((timed[time_ours], timed[time_plain]))
    ours, plain = (figures(side) for side in zip(*earlier))
    return {
        "ours": ours,
        "trainer": plain,
        "ratio": round(ours["rows_s"] / plain["rows_s"], 2),
        "rounds": len(earlier),
        "losses, relatively apart": compare_losses(*earlier[0]),
    }


def time_answers(bench: Bench) -> dict[str, Any]:
    """Answers a second of the local backend, one by one and together, and how many stay the same."""
    asks = [
        Ask(row["conversations"][0]["value"], ((bench.folder / row["image"]).read_bytes(),), max_tokens=32)
        for row in islice(json.loads((bench.folder / "rows1.json").read_text()), 2 * TOGETHER)
    ]
    asked: dict[int, list[Reply]] = {}
    found: dict[str, Any] = {}
    for together in (TOGETHER, 1):
        backend = Transformers(Setup(load_task("code15"), model=bench.base, workers=together))
        with ThreadPoolExecutor(together) as pool:
            some = asks if together > 1 else asks[: max(2, TOGETHER // 2)]
            list(pool.map(backend.ask, some[:together]))
            _reset_memory()
            start = time.monotonic()
            asked[together] = list(pool.map(backend.ask, some))
            took = time.monotonic() - start
        tokens = sum(reply.output_tokens for reply in asked[together])
        found[f"{together} at once"] = {
            "answers_s": round(len(some) / took, 2), "tokens_s": round(tokens / took, 1),
            "memory_gb": round(_peak_memory() / 1e9, 2),
        }  # fmt: skip
    same = [a.text == b.text for a, b in zip(asked[1], asked[TOGETHER])]
    return {**found, "same_answers": f"{sum(same)} of {len(same)}"}


def parts_of(bench: Bench) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    """What is measured, most wanted first."""

    def ours(**change: Any) -> Callable[[], dict[str, Any]]:
        return lambda: figures([time_ours(bench, bench.recipe(1, **change))])

    one, four = ((name, partial(turn_about, bench, questions, [])) for name, questions in SETTINGS.items())
    few = replace(bench, precision="fp32", steps=3, warm=1, rows=bench.at_once)
    exact = ("one question a page, fp32", partial(turn_about, few, 1, []))
    return [
        one,
        ("compile", ours(compiled=True)),
        four,
        (f"answers, {TOGETHER} at once and one by one", lambda: time_answers(bench)),
        *([exact] if bench.device == "cuda" else []),
        ("lora", ours(method="lora")),
        one,
        four,
    ]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=found)
    parser.add_argument("--model", help="folder or name of a SmolVLM; by default a random one")
    parser.add_argument("--steps", type=int, help="10 on a CPU, 12 on a GPU")
    parser.add_argument("--rows", type=int, help="a step; 8 on a CPU, 64 on a GPU")
    parser.add_argument("--at-once", type=int, default=16, help="pages or rows on the device at once")
    parser.add_argument("--workers", type=int, help="that prepare pages; 1 on a CPU, 12 on a GPU")
    parser.add_argument("--rounds", type=int, default=2, help="both sides in turn so often; medians count")
    parser.add_argument("--seconds", type=float, default=3600, help="after these nothing more is begun")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.device == "cuda" and found == "cpu":
        parser.error("there is no CUDA device here")
    return args


def main() -> None:
    begun, args = time.monotonic(), parsed()
    gpu = args.device == "cuda"
    if not gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        torch.set_num_threads(1)
    cv2.setNumThreads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder = Path(tempfile.mkdtemp(prefix="bench_train"))
    base = args.model
    if base is None:
        base = str(folder / "model")
        write_model(Path(base), FULL if gpu else NARROW)
    bench = Bench(
        args.device, base, folder, "bf16" if gpu else "fp32", args.steps or (12 if gpu else 10),
        args.rows or (64 if gpu else 8), args.at_once, 4 if gpu else 2, args.workers or (12 if gpu else 1),
    )  # fmt: skip
    write_rows(bench)
    print(f"model and pages are there after {time.monotonic() - begun:.0f} s", flush=True)
    result: dict[str, Any] = {
        "model": args.model or f"{'SmolVLM-256M' if gpu else 'narrow SmolVLM'}, random",
        "device": torch.cuda.get_device_name() if gpu else "cpu, 1 thread",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "precision": bench.precision,
        "rows_a_step": bench.rows,
        "workers": bench.workers,
    }
    out = args.out or Path(__file__).parent / "results" / ("train_cuda.json" if gpu else "train.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    parts = parts_of(bench)
    for name, measure in parts + parts[-len(SETTINGS) :] * (args.rounds - 2):
        left = args.seconds - (time.monotonic() - begun)
        if left <= 0:
            print(f"{name}: no time left", flush=True)
            continue
        start = time.monotonic()
        try:
            result[name] = measure()
        except Exception as error:  # the other parts are worth having, too
            result.setdefault(name, {"error": f"{type(error).__name__}: {error}"[:300]})
        print(f"{name} ({time.monotonic() - start:.0f} s)", json.dumps(result[name]), flush=True)
        _reset_memory()
        AcceleratorState._reset_state(True)
        out.write_text(json.dumps(result, indent=1) + "\n")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
