"""Rows a second of the training loop beside transformers' own Trainer: same model, same rows in each step,
same run.

    OMP_NUM_THREADS=1 python benchmarks/bench_train.py [--model FOLDER] [--steps 10]

Writes benchmarks/results/train.json. Without --model: a small random SmolVLM on real tiles. Both sides take
AdamW steps in float32 on batches of the very same rows, with the pages rendered beforehand; Trainer's
collator prepares them with the model's own processor, question masked row by row. Parts of the gain are told
apart: answers only (one question a page), and pages shared by their questions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import torch
import transformers

from ecgvlm.files.image import load_image, write_image
from ecgvlm.files.page_form import fit
from ecgvlm.instruct.qa import Asker
from ecgvlm.instruct.states import sample
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.train.finetune import Run, load
from ecgvlm.train.pages import RowPages
from ecgvlm.train.recipe import Data, Loop, Recipe, RowSource

CHUNKS = ("close", "finding", "verdict", "measurement", "close", "report")


def write_rows(folder: Path, pages: int, questions: int) -> Path:
    """Rendered pages of simulated records, `questions` rows about each."""
    rows: list[dict] = []
    for k in range(pages):
        rng = Random(k)
        record, _ = simulate(random_simulation(np.random.default_rng(k), "normal"), k)
        write_image(folder / f"{k}.png", render(record, page_style("classic"), k).image)
        asker, evidence = Asker(rng), sample(rng)
        for j in range(questions):
            qa = asker.ask(evidence, CHUNKS[j % len(CHUNKS)] if j % len(CHUNKS) in (0, 1, 5) else None)
            turns = [{"from": "human", "value": qa.question}, {"from": "gpt", "value": qa.answer}]
            rows.append({"id": f"{k}-{j}", "image": f"{k}.png", "conversations": turns})
    path = folder / "rows.json"
    path.write_text(json.dumps(rows))
    return path


def write_model(folder: Path) -> None:
    """SmolVLM-256M's shape, smaller all round: 2 of 12 and 8 of 30 layers, 96 of 768 and 576 wide, 8,192
    words.

    As in the real one, the vision half makes up five sixths of a row's operations.
    """
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from train.tiny import write_model as tiny

    tiny(folder)
    processor = transformers.AutoProcessor.from_pretrained(folder)
    old = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(0)
    text = old.text_config
    sizes = {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 8, "head_dim": 32}
    text.update({"vocab_size": 8192, "num_attention_heads": 3, "num_key_value_heads": 1, **sizes})
    vision = {"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 3}
    config = transformers.Idefics3Config(
        vision_config={"image_size": 512, "patch_size": 16, **vision},
        text_config=text,
        image_token_id=old.image_token_id,
        scale_factor=4,
        tie_word_embeddings=True,
    )
    config.pad_token_id = text.pad_token_id
    transformers.Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    processor.image_seq_len = 64
    processor.image_processor.max_image_size = {"longest_edge": 512}
    processor.image_processor.size = {"longest_edge": 1024}
    processor.save_pretrained(folder)


class PlainRows(torch.utils.data.Dataset):
    """The same rows in the same order, one by one, for Trainer: its collator reads and prepares them."""

    def __init__(self, run: Run, steps: int):
        assert isinstance(run.train, RowPages)
        order = run.train.order(0, run.recipe.loop.batch)[:steps]
        self.rows = [row for batch in order for group in batch for row in run.train.rows.group(group)]
        self.per_step = len(self.rows) // steps

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


def time_ours(recipe: Recipe) -> dict[str, float]:
    run = Run(recipe, *load(recipe))
    rows: list[dict] = []

    class Log:
        def step(self, row: dict) -> None:
            rows.append(row)

    micros, begun = run._micros(), time.monotonic()
    for _ in range(recipe.loop.steps):
        run._step(micros, begun, Log())  # type: ignore[arg-type]
    counted = rows[2:]  # the first ones start the workers and the allocator
    seconds = counted[-1]["seconds"] - rows[1]["seconds"]
    took = [recipe.loop.batch / r["pages_s"] for r in counted]
    return {
        "rows_s": sum(r["rows_s"] * t for r, t in zip(counted, took)) / seconds,
        "wait_share": sum(r["wait_share"] * t for r, t in zip(counted, took)) / sum(took),
        "loss": float(np.mean([r["loss"] for r in counted])),
    }


def time_plain(recipe: Recipe, folder: Path) -> dict[str, float]:
    run = Run(recipe, *load(recipe))
    data = PlainRows(run, recipe.loop.steps)
    marks: list[float] = []

    class Clock(transformers.TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            marks.append(time.monotonic())

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
            return torch.utils.data.SequentialSampler(data)

    model = transformers.AutoModelForImageTextToText.from_pretrained(recipe.base, dtype=torch.float32)
    options = transformers.TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=data.per_step,
        max_steps=recipe.loop.steps,
        dataloader_num_workers=recipe.data.workers,
        learning_rate=1e-4,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        remove_unused_columns=False,
        logging_strategy="no",
        disable_tqdm=True,
        lr_scheduler_type="cosine",
    )
    processor = transformers.AutoProcessor.from_pretrained(recipe.base)
    processor.image_processor.size = {"longest_edge": 1024}
    trainer = InOrder(
        model, options, data_collator=plain_collator(processor, 1024), train_dataset=data, callbacks=[Clock()]
    )
    trainer.train()
    return {"rows_s": data.per_step * (len(marks) - 2) / (marks[-1] - marks[1])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="folder or name of a SmolVLM; by default a narrow random one")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rows", type=int, default=8, help="rows a step")
    parser.add_argument(
        "--rounds", type=int, default=2, help="each side is timed so often, in turn; the median counts"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "train.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    transformers.utils.logging.set_verbosity_error()
    folder = Path(tempfile.mkdtemp(prefix="bench_train"))
    base = args.model
    if base is None:
        base = str(folder / "model")
        write_model(Path(base))
    result: dict[str, Any] = {
        "model": args.model or "narrow SmolVLM, random",
        "rows_a_step": args.rows,
        "threads": 1,
    }
    for name, questions in (("one question a page", 1), ("four questions a page", 4)):
        pages = args.rows // questions
        (folder / name).mkdir()
        rows = write_rows(folder / name, pages * args.steps, questions)
        recipe = Recipe(
            base=base,
            out=folder / "run",
            data=Data(train=RowSource(source=str(rows)), questions=questions, workers=1),
            loop=Loop(steps=args.steps, batch=pages, micro_batch=pages, precision="fp32", threads=1),
        )
        ours, plain = [], []
        for _ in range(args.rounds):
            plain.append(time_plain(recipe, folder))
            ours.append(time_ours(recipe))
        fast, slow = (float(np.median([r["rows_s"] for r in runs])) for runs in (ours, plain))
        result[name] = {
            "ours_rows_s": round(fast, 3),
            "trainer_rows_s": round(slow, 3),
            "ratio": round(fast / slow, 2),
            "wait_share": round(float(np.median([r["wait_share"] for r in ours])), 4),
        }
        print(name, result[name], flush=True)
    shutil.rmtree(folder)
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
