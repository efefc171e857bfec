"""What the model is shown and what it learns: tiles, masks, packed rows, strict loads; against transformers'
own way.
"""

import json
import pickle

import numpy as np
import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from train import tiny
from train.tiny import SIDE, marked

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.train.answering import (
    add_adapters,
    collate,
    merge_adapters,
    parameter_groups,
    part_of,
    set_learning,
)
from ecgvlm.train.pages import Sample, cut_tiles
from ecgvlm.train.recipe import Adapter, Rates
from ecgvlm.train.smolvlm import load_smolvlm

ROWS = (
    (("Which rhythm is this?", "AF(atrial fibrillation)"),),
    (("Is the ECG normal? Answer with NORM, AF or RBBB only, please. Think twice.", "NORM"),),
    (("Why?", "Because."), ("And <image> now?", "A much longer answer than the one before it.")),
)


@pytest.fixture(scope="module")
def model(model_folder):
    return load_smolvlm(str(model_folder), 3).eval()


def sheet(seed):
    return np.random.default_rng(seed).integers(0, 255, (SIDE, 2 * SIDE, 3), np.uint8)


def sample(seed, *rows):
    return Sample(cut_tiles(sheet(seed), SIDE)[None], rows)


def test_only_answers_are_learned_whatever_the_rows_lengths(model):
    samples = [sample(0, ROWS[0], ROWS[1]), sample(1, ROWS[2]), sample(2, ROWS[1])]
    batch = collate(model.chat, samples)
    assert len({int((s >= 0).sum()) for s in batch.segments}) == 3, "the rows must differ in length"
    answers = marked(batch)
    for line, one in enumerate(samples):
        for k, turns in enumerate(one.rows, start=1):
            here = answers[line] & (batch.segments[line] == k)
            learned = model.chat.tokenizer.decode(batch.ids[line][here])
            assert learned == "".join(f" {answer}<end_of_utterance>" for _, answer in turns)
    assert not answers[batch.segments <= 0].any()
    assert (batch.rows, batch.packed) == (4, True)


def own_inputs(model, seeds, turns):
    """The row as transformers' processor prepares it, with labels on nothing but the answers. seeds: of its
    pages."""
    messages, spans = [], []
    for question, answer in turns:
        content = [{"type": "text", "text": question.replace("<image>", "")}]
        pictures = [] if messages else [{"type": "image"}] * len(seeds)
        messages.append({"role": "user", "content": [*pictures, *content]})
        before = model.processor.apply_chat_template(messages, add_generation_prompt=True)
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        whole = model.processor.apply_chat_template(messages).rstrip()
        spans.append((before, whole))

    def inputs(text):
        images = [[sheet(seed) for seed in seeds]] if seeds else None
        return model.processor(text=[text], images=images, return_tensors="pt")

    full = inputs(spans[-1][1])
    labels = torch.full_like(full["input_ids"], -100)
    for before, whole in spans:
        a, b = inputs(before)["input_ids"].shape[1], inputs(whole)["input_ids"].shape[1]
        labels[:, a:b] = full["input_ids"][:, a:b]
    return full, labels


def test_chats_can_be_sent_to_workers(model):
    sent = pickle.loads(pickle.dumps(model.chat))
    assert sent.pieces(ROWS[2], 1) == model.chat.pieces(ROWS[2], 1)


def test_packed_rows_lose_what_they_would_lose_alone(model):
    together = model(collate(model.chat, [sample(0, *ROWS), sample(1, ROWS[1])]))
    alone = 0.0
    for seed, turns in ((0, ROWS[0]), (0, ROWS[1]), (0, ROWS[2]), (1, ROWS[1])):
        inputs, labels = own_inputs(model, [seed], turns)
        loss = model.net(**inputs, labels=labels).loss
        alone += loss * (labels != -100).sum()
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-4)


def test_rows_with_several_pages_or_none_lose_what_they_would_lose_alone(model):
    """In one batch with a row about a single page; those without any share a sequence."""
    tiles = {seed: cut_tiles(sheet(seed), SIDE) for seed in (0, 1, 2)}
    none = np.zeros((0, *tiles[0].shape), np.uint8)
    samples = [
        Sample(none, (ROWS[0], ROWS[2])),
        Sample(np.stack([tiles[1], tiles[2]]), (ROWS[1], ROWS[0])),
        sample(0, ROWS[1]),
    ]
    batch = collate(model.chat, samples)
    assert (batch.ids == model.chat.image_id).sum(1).tolist() == [0, 2 * 12, 12]
    alone = 0.0
    for seeds, turns in (((), ROWS[0]), ((), ROWS[2]), ((1, 2), ROWS[1]), ((1, 2), ROWS[0]), ((0,), ROWS[1])):
        inputs, labels = own_inputs(model, seeds, turns)
        alone += model.net(**inputs, labels=labels).loss * (labels != -100).sum()
    torch.testing.assert_close(model(batch), alone, rtol=1e-5, atol=1e-4)
    swapped = [samples[0], Sample(samples[1].pages[::-1].copy(), samples[1].rows), samples[2]]
    assert abs(model(collate(model.chat, swapped)) - alone) > 1e-3, "which page comes first must matter"


@pytest.mark.parametrize("rows", [ROWS[:1], ROWS], ids=["one row a page", "several"])
def test_nothing_is_asked_of_the_device(model_folder, rows):
    """A GPU that is asked for a value or a size must first finish, and then idles until it has work again."""
    asked = []

    class Listening(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), named=None):
            name = function.overloadpacket.__name__
            if name in ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal"):
                asked.append(name)
            return function(*arguments, **(named or {}))

    model = load_smolvlm(str(model_folder), 3)
    batch = collate(model.chat, [sample(0, *rows), sample(1, *rows)])
    with Listening():
        model(batch).backward()
    assert not asked


def test_rows_without_pages_alone_still_reach_every_parameter(model_folder):
    """As DDP asks of every batch."""
    model = load_smolvlm(str(model_folder), 3)
    model(collate(model.chat, [Sample(np.zeros((0, 3, 3, SIDE, SIDE), np.uint8), (ROWS[0],))])).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_answers_of_mixed_samples_are_those_one_by_one(model):
    two = np.stack([cut_tiles(sheet(seed), SIDE) for seed in (1, 2)])
    samples = [Sample(two, (ROWS[0], ROWS[1])), sample(3, ROWS[1]), Sample(two[:0], (ROWS[0],))]
    one_by_one = [
        said
        for one in samples
        for turns in one.rows
        for said in model.answer([Sample(one.pages, (turns,))], 12)
    ]
    assert model.answer(samples, 12) == one_by_one
    assert len(set(one_by_one)) > 1


def test_filling_changes_no_gradient(model):
    def gradient(samples):
        model.zero_grad()
        for part in samples:
            model(collate(model.chat, part)).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    short, long = sample(0, ROWS[0]), sample(1, *ROWS)
    for a, b in zip(gradient([[short, long]]), gradient([[short], [long]]), strict=True):
        assert torch.isfinite(a).all()
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_tiles_are_the_processors(model):
    inputs = model.processor(text=["<image>"], images=[[sheet(3)]], return_tensors="pt")
    ours = (torch.from_numpy(cut_tiles(sheet(3), SIDE)).float() / 255 - 0.5) / 0.5
    torch.testing.assert_close(ours, inputs["pixel_values"][0], rtol=0, atol=1e-5)


def test_answers_are_those_that_transformers_generates(model):
    turns = ROWS[0]
    text = model.processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": turns[0][0]}]}],
        add_generation_prompt=True,
    )
    inputs = model.processor(text=[text], images=[[sheet(5)]], return_tensors="pt")
    out = model.net.generate(**inputs, max_new_tokens=12, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    wanted = model.processor.tokenizer.decode(out[0], skip_special_tokens=True).strip()
    samples = [sample(5, turns, ROWS[1]), sample(5, ROWS[1], turns)]
    said = model.answer(samples, 12)
    assert said[0] == said[3] == wanted
    assert said[1] == said[2]
    assert wanted


@pytest.mark.parametrize("damage", ["missing", "unexpected", "of another shape", "not finite"])
def test_a_load_that_does_not_fit_is_an_error(model_folder, tmp_path, damage):
    for path in model_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    tiny.damage_model(tmp_path, damage)
    with pytest.raises(EcgError, match=damage):
        load_smolvlm(str(tmp_path), 3)


def test_other_models_are_refused(tmp_path):
    transformers.LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="not one of the SmolVLM family"):
        load_smolvlm(str(tmp_path), 3)
    with pytest.raises(EcgError, match="absent"):
        load_smolvlm(str(tmp_path / "absent"), 3)


def test_qlora_needs_cuda(model_folder):
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is here")
    with pytest.raises(UsageError, match="needs a CUDA device"):
        load_smolvlm(str(model_folder), 3, "qlora")


def test_parts_and_their_rates(model_folder):
    model = load_smolvlm(str(model_folder), 3)
    rates = Rates(vision=0, connector=1e-3, language=1e-4)
    set_learning(model, rates)
    groups = parameter_groups(model, rates, 0.1)
    assert {(g["peak"], g["weight_decay"]) for g in groups} == {(1e-3, 0.1), (1e-4, 0.1), (1e-4, 0)}
    learning = sum(p.numel() for g in groups for p in g["params"])
    assert learning == sum(p.numel() for n, p in model.named_parameters() if part_of(n) != "vision")
    model(collate(model.chat, [sample(0, ROWS[0])])).backward()
    assert all((p.grad is not None) == (part_of(n) != "vision") for n, p in model.named_parameters())


def test_adapters_learn_and_merge(model_folder):
    model = load_smolvlm(str(model_folder), 3)
    names = set(model.state_dict())
    add_adapters(model, Rates(vision=0, connector=1e-3, language=1e-3), Adapter(rank=2))
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert all("lora_" in n or part_of(n) == "connector" for n in learning)
    assert all("vision_model" not in n for n in learning)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "lora_B" in n:
                p.normal_(std=0.05)
    model.eval()
    batch = collate(model.chat, [sample(0, *ROWS)])
    before = model(batch)
    merge_adapters(model.net)
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model(batch), before, rtol=1e-4, atol=1e-3)


def test_nine_tiles(tmp_path, model_folder):
    model = load_smolvlm(str(model_folder), 9).eval()
    big = np.random.default_rng(0).integers(0, 255, (2 * SIDE, 4 * SIDE, 3), np.uint8)
    inputs = model.processor(text=["<image>"], images=[[big]], return_tensors="pt")
    ours = (torch.from_numpy(cut_tiles(big, SIDE)).float() / 255 - 0.5) / 0.5
    torch.testing.assert_close(ours, inputs["pixel_values"][0], rtol=0, atol=1e-5)
    assert json.loads((model_folder / "config.json").read_text())["model_type"] == "idefics3"
    assert model(collate(model.chat, [Sample(cut_tiles(big, SIDE)[None], (ROWS[0],))])) > 0
