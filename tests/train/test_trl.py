"""TRL's SFTTrainer learns from `ecgvlm instruct build --format messages`."""

import datasets
import numpy as np
import transformers
import trl
from leads import write_csv

from ecgvlm.instruct.build import Plan, build
from ecgvlm.simulate import random_simulation, simulate


def test_messages_are_learned_by_trl(tmp_path, model_folder):
    record, _ = simulate(random_simulation(np.random.default_rng(0), "normal"), 0)
    write_csv(tmp_path / "0.csv", record)
    (tmp_path / "records.csv").write_text("file,labels,patient\n0.csv,NORM;SR,a\n")
    plan = Plan(pages=("clean",), count=2, width=640)
    build(tmp_path / "records.csv", tmp_path / "set", plan, form="messages")
    rows = datasets.load_dataset(
        "json",
        data_files=str(tmp_path / "set/instruct.jsonl"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    rows = rows.map(lambda row: {"images": [str(tmp_path / "set" / name) for name in row["images"]]})
    rows = rows.cast_column("images", datasets.List(datasets.Image()))
    options = trl.SFTConfig(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=1, report_to=[],
        use_cpu=True, max_length=None, bf16=False,
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=transformers.AutoModelForImageTextToText.from_pretrained(model_folder),
        args=options,
        train_dataset=rows,
        processing_class=transformers.AutoProcessor.from_pretrained(model_folder),
    )
    assert trainer.train().global_step == 1
