"""A run from random weights at its smallest, on pages of simulated hearts."""

import contextlib
import csv
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgvlm.bench.gold import load_gold, load_predictions
from ecgvlm.bench.score import score
from ecgvlm.bench.task import load_task
from ecgvlm.errors import EcgError
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.train import scratch, studied
from ecgvlm.train.answering import collate
from ecgvlm.train.pages import Sample
from ecgvlm.train.scratch import Pages, Plan, Shelf, Texts, build, learn, optimizers
from ecgvlm.train.studied import Asked, Ecgs, golds, prepare, study

SHAPE = {
    "vision": {
        "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3,
        "image_size": 128, "patch_size": 16,
    },
    "text": {
        "vocab_size": 8192, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 3, "num_key_value_heads": 1,
    },
}  # fmt: skip


def heart(condition, seed, **meta):
    record, _ = simulate(random_simulation(np.random.default_rng(seed), condition), seed)
    return replace(record, patient=f"p{seed}", meta=record.meta | meta)


@pytest.fixture(scope="module")
def ecgs(tmp_path_factory):
    path = tmp_path_factory.mktemp("ecgs") / "ecgs.pkl"
    hearts = [heart(condition, seed) for seed, condition in enumerate(("normal", "af", "rbbb", "lbbb"))]
    asked = [
        Asked(str(seed), one, kind, (5, 0, seed), golds(one))
        for seed, (one, kind) in enumerate(zip(hearts, ("clean", "scan", "photo", "clean")))
    ]
    Ecgs([study(one) for one in hearts], asked).save(path)
    return path


@pytest.fixture
def plan():
    return Plan(seconds=8, workers=0, device="cpu", micro=2, shape=SHAPE)


def test_a_run_writes_its_log_and_answers_that_score(ecgs, plan, tmp_path):
    scratch.run(ecgs, tmp_path, plan)
    with (tmp_path / "log.csv").open() as file:
        assert next(csv.reader(file))[:3] == ["step", "seconds", "printed"]
    for name in studied.TASKS:
        gold, answers = (
            load_gold(tmp_path / f"{name}.gold.json"),
            load_predictions(tmp_path / f"{name}.jsonl"),
        )
        with_one = {one.id for one in Ecgs.load(ecgs).asked if name in one.gold}
        assert {row.id for row in gold} == set(answers.answers) == with_one
        assert score(load_task(name), gold, answers, "pulse").to_dict()["n"] == len(with_one)
        assert {row.answers[-1] for row in gold} == {
            one.gold[name] for one in Ecgs.load(ecgs).asked if name in one.gold
        }


def test_lessons_and_words_are_learned(ecgs, plan):
    """The same few pages again and again: every loss goes down, the answers are known by heart."""
    model, pupil = build(plan)
    texts = Texts(model.chat, Ecgs.load(ecgs).studied)
    records, tiles, taught = Shelf(Pages(ecgs, plan.side, 4, 0), plan).draw(4)
    both = optimizers(model, pupil)
    both[1].param_groups[1]["lr"] = 3e-3
    first = {}
    for _ in range(60):
        total, losses = learn(model, pupil, texts.about(records, tiles.clone()), taught, words=True)
        first = first or {name: float(loss.detach()) for name, loss in losses.items()}
        for optimizer in both:
            optimizer.zero_grad()
        total.backward()
        for optimizer in both:
            optimizer.step()
    last = {name: float(loss.detach()) for name, loss in losses.items()}
    assert set(last) == set(scratch.LOSSES)
    assert last["words"] < 0.2 * first["words"]
    assert last["findings"] < 0.5 * first["findings"]
    assert all(last[name] < first[name] for name in first)


def test_texts_are_as_the_loop_of_fine_tuning_lays_them(ecgs, plan):
    model, _ = build(plan)
    studied = Ecgs.load(ecgs).studied
    tiles = torch.zeros(2, 3, plan.side, plan.side, dtype=torch.uint8)
    batch = Texts(model.chat, studied).about(torch.tensor([3, 1]), tiles)
    rows = [
        tuple(((load_task(name).prompts[0], gold),) for name, gold in studied[i].gold.items()) for i in (3, 1)
    ]
    plain = collate(model.chat, [Sample(tiles.numpy()[:1, None], row) for row in rows])
    length = plain.ids.shape[1]
    assert torch.equal(batch.ids[:, :length], plain.ids)
    assert torch.equal(batch.ids.flatten()[batch.answers], plain.ids.flatten()[plain.answers])
    assert torch.equal(batch.ids.flatten()[batch.shown], plain.ids.flatten()[plain.shown])
    assert (batch.segments[:, length:] == -1).all()
    assert (batch.rows, batch.packed) == (plain.rows, plain.packed)


def test_pages_follow_from_the_seed(ecgs, plan):
    a, b = (next(iter(Pages(ecgs, plan.side, 2, seed=9))) for _ in range(2))
    assert torch.equal(a.of, b.of)
    assert torch.equal(a.tiles, b.tiles)
    assert torch.equal(a.lessons.trace, b.lessons.trace)


def test_a_shelf_shows_new_pages_first_and_keeps_the_latest(ecgs, plan):
    """What is drawn is what was printed, also where new pages have taken the places of old ones."""
    printed = iter(Pages(ecgs, plan.side, 2, seed=4))
    chunks = [next(printed) for _ in range(8)]
    known = [(int(of), tile) for chunk in chunks for of, tile in zip(chunk.of, chunk.tiles)]
    shelf = Shelf(Pages(ecgs, plan.side, 2, seed=4), replace(plan, shelf=4))
    for _ in range(4):
        records, tiles, lessons = shelf.draw(4)
        assert len(records) == len(tiles) == len(lessons.lead) == 4
        for of, tile in zip(records, tiles):
            assert any(int(of) == of_known and torch.equal(tile, one) for of_known, one in known)
    assert torch.equal(
        tiles[:2], torch.stack([tile for _, tile in known[shelf.printed - 4 : shelf.printed - 2]])
    )


def test_a_process_that_prints_fills_the_shelf_alike(ecgs, plan):
    with contextlib.closing(Shelf(Pages(ecgs, plan.side, 2, seed=4), replace(plan, workers=1))) as shelf:
        chunk = next(iter(Pages(ecgs, plan.side, 2, seed=4)))
        records, tiles, _ = shelf.draw(2)
        assert int(records[0]) == int(chunk.of[0])
        assert torch.equal(tiles[0], chunk.tiles[0])


def test_a_process_that_cannot_print_is_heard_of(plan, tmp_path):
    """The run waited for its pages for ever."""
    shelf = Shelf(Pages(tmp_path / "none.pkl", plan.side, 2, seed=4), replace(plan, workers=1))
    with contextlib.closing(shelf), pytest.raises(FileNotFoundError):
        shelf.draw(2)


def test_pages_that_are_asked_about_are_the_pools(monkeypatch, tmp_path):
    """Fold 10's pages of the pool with its kinds and seeds; all others are learned from."""
    hearts = {str(k): heart("normal", k, ecg_id=k, strat_fold=fold) for k, fold in ((1, 2), (2, 10), (3, 9))}
    monkeypatch.setattr(studied, "_finest", lambda records: list(hearts))
    monkeypatch.setattr(studied, "load_records", lambda keys: [(key, hearts[key]) for key in keys])
    pool = [("1", "scan", None), ("2", "photo", None)]
    monkeypatch.setattr(studied, "observations", lambda folders: iter(pool))
    found = prepare(tmp_path, tmp_path, seed=71)
    assert [one.record.meta["ecg_id"] for one in found.studied] == [1, 3]
    assert [(one.id, one.seed) for one in found.asked] == [("2-photo", (71, 0, 2))]
    found.save(tmp_path / "ecgs.pkl")
    assert pickle.loads((tmp_path / "ecgs.pkl").read_bytes()).asked[0].kind == "photo"


def test_a_pool_without_pages_to_ask_about_is_told(monkeypatch, tmp_path):
    """It was taken for one of no pages, and a run asked nothing."""
    monkeypatch.setattr(studied, "_finest", lambda records: [])
    with pytest.raises(EcgError, match="no pages there"):
        prepare(tmp_path, tmp_path / "none", seed=71)
    monkeypatch.setattr(studied, "observations", lambda folders: iter([("1", "scan", None)]))
    with pytest.raises(EcgError, match="no page of fold 10"):
        prepare(tmp_path, tmp_path, seed=71)


def test_what_prepare_did_not_write_is_told(tmp_path):
    (tmp_path / "ecgs.pkl").write_bytes(b"no pickle")
    with pytest.raises(EcgError, match="not what `prepare` writes"):
        Ecgs.load(tmp_path / "ecgs.pkl")


def test_answers_are_kept_as_json_lines(ecgs, plan, tmp_path):
    asked = Ecgs.load(ecgs).asked
    studied.print_asked(asked, tmp_path / "sheets", 0, plan.side)
    model, pupil = build(plan)
    scratch.answer(model, pupil, asked, tmp_path / "sheets", tmp_path, plan)
    rows = [json.loads(line) for line in (tmp_path / "ptb-test.jsonl").read_text().splitlines()]
    assert rows
    assert all(set(row) == {"id", "text", "scores"} for row in rows)
    assert all(0 <= p <= 1 for row in rows for p in row["scores"].values())
