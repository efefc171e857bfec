"""Nothing lost: killed, stopped or out of disk, a run goes on as if it had never ended."""

import csv
import errno
import json
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from leads import write_csv
from safetensors.torch import load_file, save_file
from train.tiny import QUESTIONS, recipe, train, train_killed, train_limited, write_rows

from ecgvlm.atomic import alone
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.datasets import find_records
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.train import checkpoint
from ecgvlm.train.answering import Answering
from ecgvlm.train.evaluation import evaluate
from ecgvlm.train.finetune import Stopped, finetune, schedule
from ecgvlm.train.pages import RecordPages, RowPages, micro_batches


def curve(run):
    with (run / "metrics.csv").open() as file:
        return [(int(r["step"]), float(r["loss"]), float(r["gradient"])) for r in csv.DictReader(file)]


def weights(run):
    return load_file(checkpoint.steps_in(run)[-1] / "weights.safetensors")


def same_weights(a, b, **tolerance):
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], msg=name, **(tolerance or {"rtol": 0, "atol": 0}))


def processes():
    """Processes that start with everything imported, from a server that has no threads to lose."""
    # Python 3.11's server does not hear of our sys.path, only of the environment.
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["train.tiny", "ecgvlm.train.smolvlm", "torch.utils.tensorboard"])
    return context


@pytest.fixture
def make(tmp_path, model_folder, rows):
    def make(out, **changes):
        return recipe(tmp_path, model_folder, rows, **changes).model_copy(update={"out": tmp_path / out})

    return make


def test_two_runs_with_one_seed_are_identical(make):
    for name in ("a", "b"):
        finetune(make(name, method="lora", adapter={"dropout": 0.1, "rank": 2}))
    finetune(make("c", method="lora", adapter={"dropout": 0.1, "rank": 2}, seed=1))
    a, b, c = (weights(make(name).out) for name in "abc")
    same_weights(a, b)
    assert all("lora_" in name or "connector" in name for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_learns(make):
    one = make("run", loop={"steps": 40}, data={"questions": 3}, keep={"steps": 40})
    finetune(one)
    losses = [loss for _, loss, _ in curve(one.out)]
    assert np.mean(losses[-5:]) < 0.3 * losses[0]


def _killed(one, at, seed):
    """Runs the recipe in processes that are killed at a random moment after a step of `at` was logged."""
    rng = random.Random(seed)
    for step in at:
        process = processes().Process(target=train_killed, args=(one, step, rng.uniform(0, 0.05)))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed"
    process = processes().Process(target=train, args=(one,))
    process.start()
    process.join()
    assert process.exitcode == 0


def _logged(run):
    path = run / "metrics.csv"
    return path.read_text().count("\n") - 1 if path.exists() else 0


def test_steps_after_the_last_checkpoint_are_done_again_alike(make, monkeypatch):
    """What a kill leaves: a log that is ahead of the checkpoints."""
    from ecgvlm.train.finetune import Run

    whole, one = (make(name, loop={"steps": 7}, keep={"steps": 3}) for name in ("whole", "lost"))
    finetune(whole)
    advance = Run._step

    def lost(self, *args):
        row = advance(self, *args)
        if row["step"] == 5:
            raise MemoryError
        return row

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_step", lost)
        with pytest.raises(MemoryError):
            finetune(one)
    assert _logged(one.out) == 5
    assert [p.name for p in checkpoint.steps_in(one.out)] == ["step-00000003"]
    finetune(one, resume=True)
    np.testing.assert_allclose(curve(one.out), curve(whole.out), rtol=1e-6)
    same_weights(weights(one.out), weights(whole.out))


@pytest.mark.slow
def test_killed_runs_go_on_with_the_same_curve(make):
    kills, steps = 4, 30
    changes = {"loop": {"steps": steps, "batch": 4}, "data": {"workers": 1}, "keep": {"steps": 1}}
    finetune(make("whole", **changes))
    at = sorted(random.Random(kills).sample(range(steps * 2 // 3), kills))
    _killed(make("killed", **changes), at, seed=kills)
    whole, again = curve(make("whole").out), curve(make("killed").out)
    assert [s for s, *_ in again] == list(range(1, steps + 1))
    np.testing.assert_allclose(again, whole, rtol=1e-5, atol=1e-5)
    same_weights(weights(make("whole").out), weights(make("killed").out), rtol=1e-5, atol=1e-6)
    assert not list((make("killed").out / "checkpoints").glob(".*.part"))


def test_sigterm_ends_with_a_usable_checkpoint(make, monkeypatch):
    one, whole = make("stopped", loop={"steps": 8}, keep={"steps": 100}), make("whole", loop={"steps": 8})
    step = checkpoint.gather

    from ecgvlm.train.finetune import Run

    advance = Run._step

    def stopped(self, *args):
        row = advance(self, *args)
        if row["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return row

    monkeypatch.setattr(Run, "_step", stopped)
    with pytest.raises(Stopped, match=r"SIGTERM after step 5 of 8.*step-00000005 is whole.*--resume"):
        finetune(one)
    monkeypatch.setattr(Run, "_step", advance)
    assert checkpoint.gather is step
    finetune(one, resume=True)
    finetune(whole)
    np.testing.assert_allclose(curve(one.out), curve(whole.out), rtol=1e-6)
    same_weights(weights(one.out), weights(whole.out))


def test_a_full_disk_leaves_the_checkpoint_before(make, monkeypatch):
    one, whole = make("full", loop={"steps": 6}), make("whole", loop={"steps": 6})
    writes = 0

    def save(state, path):
        nonlocal writes
        writes += 1
        if writes == 2:
            Path(path).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        torch_save(state, path)

    torch_save = torch.save
    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(
        EcgError, match=r"could not be written .*No space left.*step-00000002 is whole.*--resume"
    ):
        finetune(one)
    assert [p.name for p in (one.out / "checkpoints").iterdir()] == ["step-00000002"]
    finetune(one, resume=True)
    monkeypatch.setattr(torch, "save", torch_save)
    finetune(whole)
    np.testing.assert_allclose(curve(one.out), curve(whole.out), rtol=1e-6)
    same_weights(weights(one.out), weights(whole.out))


@pytest.mark.slow
def test_a_file_size_limit_is_told_as_it_is(make):
    """A real failing write, in a process whose files may not grow past 20 kB."""
    ours, theirs = multiprocessing.Pipe()
    process = processes().Process(target=train_limited, args=(make("limited"), theirs))
    process.start()
    process.join()
    assert ours.poll()
    assert "could not be written" in (message := ours.recv())
    assert "no earlier checkpoint" in message
    assert not checkpoint.steps_in(make("limited").out)


def test_what_does_not_fit_is_refused(make, tmp_path, model_folder):
    one = make("run", loop={"steps": 2})
    finetune(one)
    with pytest.raises(UsageError, match="holds a run already"):
        finetune(one)
    with pytest.raises(UsageError, match=r"begun with rates.language = 0.01, not 0.5"):
        finetune(
            one.model_copy(update={"rates": one.rates.model_copy(update={"language": 0.5})}), resume=True
        )
    fewer = write_rows(tmp_path / "fewer", pages=8)
    with pytest.raises(UsageError, match=r"trained on 24 pages, the data now holds 16"):
        finetune(make("run", loop={"steps": 2}, data={"train": str(fewer)}), resume=True)
    with pytest.raises(UsageError, match="fewer than a batch"):
        finetune(make("large", loop={"batch": 64}))
    last = checkpoint.steps_in(one.out)[-1] / "weights.safetensors"
    tensors = load_file(last)
    first = sorted(tensors)[0]
    save_file({k: v for k, v in tensors.items() if k != first}, last)
    with pytest.raises(EcgError, match=rf"1 tensors are missing, {first}"):
        finetune(one, resume=True)


def test_an_unreadable_page_stops_the_run_unless_it_may_be_skipped(make, tmp_path):
    rows = write_rows(tmp_path / "damaged", pages=4, questions=2)
    (tmp_path / "damaged" / "page2.png").write_bytes(b"no picture")
    with pytest.raises(EcgError, match=r"page2\.png"):
        finetune(make("strict", data={"train": str(rows)}))
    picture = (tmp_path / "damaged" / "page1.png").read_bytes()
    (tmp_path / "damaged" / "page2.png").write_bytes(
        picture[: len(picture) // 2]
    )  # opens, but does not decode
    with pytest.raises(EcgError, match=r"page2\.png"):
        finetune(make("strict", data={"train": str(rows)}))
    one = make("lenient", data={"train": str(rows), "skip_unreadable": True})
    finetune(one)
    assert checkpoint.place_of(checkpoint.steps_in(one.out)[-1])["skipped"] == 6


def test_best_checkpoint_is_kept_and_patience_ends_the_run(make, rows, monkeypatch):
    worth = iter([0.2, 0.5, 0.4, 0.3, 0.9])
    monkeypatch.setattr("ecgvlm.train.evaluation.figures", lambda _: {"all": next(worth), "close": 0.7})
    one = make(
        "run",
        data={"valid": str(rows)},
        loop={"steps": 50},
        keep={"steps": 50, "last": 1},
        evaluation={"every": 2, "patience": 2},
    )
    best = finetune(one)
    assert best.name == "step-00000004"
    assert [p.name for p in checkpoint.steps_in(one.out)] == ["step-00000004", "step-00000008"]
    with (one.out / "evaluations.csv").open() as file:
        assert [float(r["figure"]) for r in csv.DictReader(file)] == [0.2, 0.5, 0.4, 0.3]
    assert (one.out / "kinds.csv").read_text().splitlines()[:2] == ["step,kind,figure", "2,close,0.7"]
    samples = [json.loads(line) for line in (one.out / "samples.jsonl").read_text().splitlines()]
    assert {"step", "question", "gold", "answer"} == samples[0].keys()
    assert list((one.out / "tensorboard").iterdir())


def test_of_equal_figures_the_lower_loss_is_the_best(make, rows, monkeypatch):
    losses = iter([0.9, 0.5, 0.7, 0.6])
    done = lambda *_: ({"loss": next(losses), "exact": 0, "figure": 0.0, "kinds": {}}, [])  # noqa: E731
    monkeypatch.setattr("ecgvlm.train.finetune.evaluate", done)
    one = make("run", data={"valid": str(rows)}, loop={"steps": 8}, evaluation={"every": 2})
    assert finetune(one).name == "step-00000004"


def test_the_layers_of_both_halves_may_be_compiled(make, monkeypatch):
    compiled = []
    note = lambda module, **_: compiled.append(type(module).__name__)  # noqa: E731
    monkeypatch.setattr(torch.nn.Module, "compile", note)
    finetune(make("run", loop={"steps": 1, "compile": True}))
    assert set(compiled) == {"Idefics3EncoderLayer", "LlamaDecoderLayer"}


def test_a_signal_to_the_whole_group_spares_the_compilers(make, monkeypatch):
    """The compiler ended first, and the run with its traceback instead of a checkpoint."""
    forward, ended = Answering.forward, []

    def compiling(self, batch):
        compiler = subprocess.Popen(["sleep", "60"])
        compiler.terminate()
        time.sleep(0.3)
        ended.append(compiler.poll() is not None)
        compiler.kill()
        compiler.wait()
        return forward(self, batch)

    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)
    monkeypatch.setattr(Answering, "forward", compiling)
    one = make("run", loop={"steps": 1, "batch": 2, "micro_batch": 2, "compile": True})
    finetune(one)
    assert ended == [False]
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.slow
def test_compiled_it_learns_the_same(make):
    runs = [make(name, loop={"steps": 3, "compile": name == "compiled"}) for name in ("plain", "compiled")]
    for one in runs:
        finetune(one)
    np.testing.assert_allclose(curve(runs[1].out), curve(runs[0].out), rtol=1e-5)


def test_order_is_the_same_for_any_number_of_processes(rows):
    pages = RowPages(rows, None, 32, questions=1, seed=5)
    order = pages.order(3, 8)
    assert order == RowPages(rows, None, 32, questions=1, seed=5).order(3, 8)
    assert order != pages.order(4, 8)
    assert sorted(i for batch in order for i in batch) == sorted(set(i for batch in order for i in batch))
    for world in (1, 2, 4):
        each = [list(micro_batches(order, 2, rank, world, 3)) for rank in range(world)]
        for k, batch in enumerate(order):
            steps = 8 // (2 * world)
            seen = [i for rank in each for micro in rank[k * steps : (k + 1) * steps] for _, i in micro]
            assert sorted(seen) == sorted(batch)


def test_lengths_are_grouped(rows):
    pages = RowPages(rows, None, 32, questions=1)
    lengths = np.array(pages.rows.lengths)
    spread = [np.ptp(lengths[batch]) for batch in pages.order(0, 4)]
    assert np.mean(spread) < 0.5 * np.ptp(lengths)


def test_rows_lie_on_disk_and_not_in_what_workers_are_sent(tmp_path):
    path = write_rows(tmp_path / "many", pages=40, questions=5)
    pages = RowPages(path, None, 32, questions=2, balance=0.5, store=tmp_path / "store")
    sent = pickle.dumps(pages)
    assert len(sent) < 2_000
    again = pickle.loads(sent)
    assert [again.load(0, k).rows for k in range(len(pages))] == [
        pages.load(0, k).rows for k in range(len(pages))
    ]
    groups = [[row.id for row in pages.rows.group(k)] for k in range(len(pages))]
    assert groups[:4] == [["0-0", "0-1"], ["0-2", "0-3"], ["0-4"], ["1-0", "1-1"]]
    written = (tmp_path / "store" / "rows.jsonl").stat().st_mtime_ns
    RowPages(path, None, 32, questions=2, balance=0.5, store=tmp_path / "store")
    assert (tmp_path / "store" / "rows.jsonl").stat().st_mtime_ns == written, (
        "a run that goes on reads it again"
    )
    path.write_text(json.dumps(json.loads(path.read_text())[:50]))
    assert len(RowPages(path, None, 32, questions=2, balance=0.5, store=tmp_path / "store")) == 30


@pytest.mark.parametrize("name", ["store.json", "order.npy", "rows.jsonl"])
def test_a_damaged_store_of_rows_is_written_anew(tmp_path, rows, name):
    first = RowPages(rows, None, 32, store=tmp_path / "store")
    (tmp_path / "store" / name).write_bytes(b"{")
    again = RowPages(rows, None, 32, store=tmp_path / "store")
    assert again.load(0, 0).rows == first.load(0, 0).rows


def test_rows_have_one_picture_or_several_or_none(make, tmp_path):
    """From a file to a few steps, the pictures as files and as bytes."""
    path = write_rows(tmp_path / "mixed", pages=6, questions=2)
    table = json.loads(path.read_text())
    for k, row in enumerate(table):
        question = QUESTIONS[k % 3]
        if k < 4:
            row["image"], row["conversations"][0]["value"] = None, question
        elif k < 8:
            row["image"] = [row["image"], "page0.png"]
            row["conversations"][0]["value"] = f"<image>\n<image>\n{question}"
    path.write_text(json.dumps(table))
    pages = RowPages(path, None, 32, questions=2)
    assert [len(pages.load(0, k).pages) for k in range(len(pages))] == [0, 0, 2, 2, 1, 1]
    held = []
    for row in table[4:8]:
        files = [path.parent / name for name in row.pop("image")]
        held.append({**row, "images": [{"bytes": file.read_bytes()} for file in files]})
    datasets.Dataset.from_list(held).to_parquet(tmp_path / "held.parquet")
    inside = RowPages(tmp_path / "held.parquet", None, 32, questions=2)
    for k in (0, 1):
        assert (inside.load(0, k).pages == pages.load(0, k + 2).pages).all()
    one = make(
        "run", data={"train": str(path), "valid": str(path)}, evaluation={"every": 3}, loop={"steps": 3}
    )
    finetune(one)
    assert len(curve(one.out)) == 3


def test_a_row_whose_picture_is_missing_is_told_from_one_without(tmp_path):
    path = write_rows(tmp_path / "blind", pages=2, questions=1)
    table = json.loads(path.read_text())
    del table[1]["image"]
    path.write_text(json.dumps(table))
    with pytest.raises(EcgError, match="row 1: <image> stands 1 times for 0 pictures"):
        RowPages(path, None, 32)


def test_special_tokens_in_rows_are_found_before_the_start(make, tmp_path):
    path = write_rows(tmp_path / "odd", pages=4, questions=2)
    table = json.loads(path.read_text())
    table[3]["conversations"][1]["value"] = "AF <image> AF"
    path.write_text(json.dumps(table))
    with pytest.raises(EcgError, match=r"row '1-1'.*<image>.*special token"):
        finetune(make("strict", data={"train": str(path)}))
    lenient = make("lenient", data={"train": str(path), "skip_unreadable": True}, loop={"steps": 1})
    finetune(lenient)
    assert checkpoint.place_of(checkpoint.steps_in(lenient.out)[-1])["pages"] == 4
    table[3]["conversations"][1]["value"] = "AF <row_1_col_2>"  # a tile's, which transformers does not list
    path.write_text(json.dumps(table))
    with pytest.raises(EcgError, match=r"row '1-1'.*<row_1_col_2>.*special token"):
        finetune(make("tiles", data={"train": str(path)}))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"conversations": [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": " "}]},
            "answer is empty",
        ),
        ({"metadata": "AF"}, "metadata must be an object"),
        ({"metadata": {"labels": float("nan")}}, "labels must be a list of codes, not nan"),
        ({"metadata": {"labels": "AF"}}, "labels must be a list of codes, not 'AF'"),
        ({"metadata": {"unknown": [3]}}, "unknown must be a list of codes"),
    ],
)
def test_rows_that_teach_nothing_or_wrongly_are_named(tmp_path, change, named):
    """Empty answers were learned, "AF" was the labels A and F, and a NaN ended in a traceback."""
    path = write_rows(tmp_path / "odd", pages=2, questions=1)
    table = json.loads(path.read_text())
    table[1] |= change
    path.write_text(json.dumps(table))
    with pytest.raises(EcgError, match=named):
        RowPages(path, None, 32)
    skipped = []
    assert len(RowPages(path, None, 32, skipped=skipped)) == len(skipped) == 1


def test_validation_rows_about_patients_of_the_training_rows_are_told(make, tmp_path, capsys):
    path = write_rows(tmp_path / "both", pages=6, questions=1)
    table = json.loads(path.read_text())
    for k, row in enumerate(table):
        row["patient_id"] = k // 2
    for name, part in (("train", table[:3]), ("valid", table[3:])):
        (path.parent / f"{name}.json").write_text(json.dumps(part))
    data = {name: str(path.parent / f"{name}.json") for name in ("train", "valid")}
    finetune(make("shared", data=data, loop={"steps": 1, "batch": 2}))
    assert "1 of 3 validation rows are about patients or pictures of training rows" in capsys.readouterr().err
    for row in table:
        del row["patient_id"]
    for name, part in (("train", table[:3]), ("valid", table[3:])):
        (path.parent / f"{name}.json").write_text(json.dumps(part))
    finetune(make("apart", data=data, loop={"steps": 1, "batch": 2}))
    assert "validation rows" not in capsys.readouterr().err


def test_rare_labels_are_drawn_more_often(tmp_path):
    path = write_rows(tmp_path / "odd", pages=12, questions=1)
    table = json.loads(path.read_text())
    for k, row in enumerate(table):
        row["conversations"][1]["value"] = "AF(atrial fibrillation)" if k == 0 else "NORM"
    path.write_text(json.dumps(table))
    pages = RowPages(path, None, 32, questions=1, balance=1.0)
    assert pages.odds[0] == pytest.approx(0.5)
    assert pages.odds[1:] == pytest.approx(0.5 / 11)


def test_records_are_printed_afresh_each_epoch(tmp_path):
    for k, condition in enumerate(("normal", "af")):
        record = simulate(random_simulation(np.random.default_rng(0), condition), 0)[0]
        write_csv(tmp_path / f"{k}.csv", record)
    lines = ["file,labels,patient", "0.csv,NORM;SR,a", "1.csv,AF,b", ""]
    (tmp_path / "records.csv").write_text("\n".join(lines))
    pages = RecordPages(find_records(tmp_path / "records.csv"), side=64, questions=2, seed=3)
    first, second, again = (pages.load(epoch, 1) for epoch in (0, 1, 0))
    assert first.pages.shape == (1, 3, 3, 64, 64)
    assert (first.pages == again.pages).all()
    assert first.rows == again.rows
    assert (first.pages != second.pages).any()
    assert len(first.rows) == 2


def test_schedule():
    shares = np.linspace(0, 1, 101)
    rates = [schedule(s, 0.1) for s in shares]
    assert rates[0] == 0
    assert max(rates) == rates[10] == 1
    assert rates[-1] == pytest.approx(0)
    assert rates[55] == pytest.approx(0.5)


RECIPE = """
base = "{base}"
out = "{out}"
[data]
train = "{rows}"
workers = {workers}
[loop]
steps = {steps}
batch = 4
micro_batch = 2
precision = "fp32"
[keep]
steps = 100000
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_whole_group_ends_with_a_checkpoint(tmp_path, model_folder, rows, number):
    """As `timeout`, `scancel`, a terminal that is closed and Slurm send it: the data workers get it too."""
    out = tmp_path / "run"
    text = RECIPE.format(base=model_folder, out=out, rows=rows, workers=2, steps=100000)
    (tmp_path / "recipe.toml").write_text(text)
    command = [sys.executable, "-m", "ecgvlm.train", "--config", str(tmp_path / "recipe.toml")]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, start_new_session=True)
    while _logged(out) < 3 and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, number)
    assert process.wait(600) == 1, (tmp_path / "log").read_text()[-2000:]
    said = (tmp_path / "log").read_text()
    assert "ends after this step" in said
    assert "is whole, go on with --resume" in said
    assert "Traceback" not in said  # of the resource tracker, which two of the signals ended
    [last] = checkpoint.steps_in(out)
    assert checkpoint.place_of(last)["step"] == _logged(out) >= 3


def test_a_run_keeps_its_folder_for_itself(make):
    recipe = make("run")
    with alone(recipe.out), pytest.raises(UsageError, match="another process is at work there"):
        finetune(recipe)


@pytest.mark.slow
def test_torchrun_on_a_cpu_is_one_run(tmp_path, model_folder, rows):
    text = RECIPE.format(base=model_folder, out=tmp_path / "run", rows=rows, workers=0, steps=2)
    (tmp_path / "recipe.toml").write_text(text)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    done = subprocess.run(
        [*launch, "-m", "ecgvlm.train", "--config", str(tmp_path / "recipe.toml")],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert [step for step, *_ in curve(tmp_path / "run")] == [1, 2]


PROCESSES = """
import sys, torch
from pathlib import Path
from ecgvlm.train.finetune import finetune
from ecgvlm.train.recipe import Recipe
torch.set_num_threads(1)
for text in sys.argv[1:]:
    finetune(Recipe.model_validate_json(text), resume=True)
"""


@pytest.mark.slow
def test_two_processes_lose_what_one_does(make, rows, tmp_path):
    """DDP, FSDP and one process: the same batch, the same curve; and a checkpoint moves between them."""
    changes = {
        "loop": {"steps": 4, "batch": 8, "micro_batch": 2},
        "data": {"valid": str(rows)},
        "evaluation": {"every": 4},
    }
    finetune(make("one", **changes))
    ddp = make("ddp", **changes)
    fsdp = make("fsdp", **{**changes, "loop": {**changes["loop"], "sharded": True}})
    (tmp_path / "many.py").write_text(PROCESSES)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    recipes = [r.model_dump_json() for r in (ddp, fsdp)]
    done = subprocess.run(
        [*launch, str(tmp_path / "many.py"), *recipes], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for run in (ddp, fsdp):
        np.testing.assert_allclose(curve(run.out), curve(make("one").out), rtol=1e-4)
        same_weights(weights(run.out), weights(make("one").out), rtol=1e-3, atol=1e-4)


def test_evaluation_is_the_same_each_time(make, rows):
    from ecgvlm.train.finetune import Run, load

    one = make("run", data={"valid": str(rows)}, evaluation={"rows": 5})
    run = Run(one, *load(one))
    first = evaluate(run.model, run.valid, one, run.accelerator)
    assert first == evaluate(run.model, run.valid, one, run.accelerator)
    assert len(first[1]) in (5, 6)
