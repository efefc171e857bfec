from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from ecgvlm.instruct.states import sample
from ecgvlm.labels import LABELS
from ecgvlm.words.language import ANSWER, ASK, END, LOOK, PAD, Language
from ecgvlm.words.options import listed_answers
from ecgvlm.words.prefix import encode

torch = pytest.importorskip("torch")
from ecgvlm.train.small import language as training  # noqa: E402

TINY = training.Config(vocabulary=400, dim=32, layers=2, heads=2, hidden=48)
GROUPS = ((training.LONG, 1, 2), (training.LISTS, 2, 2), (training.SHORT, 2, 2))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> tuple[training.Decoder, Language, Path]:
    """A decoder of a few steps, the same exported, and its folder."""
    folder = tmp_path_factory.mktemp("tiny")
    model = training.train(folder, [], TINY, steps=4, minutes=10, groups=GROUPS)
    training.export(model, folder / "language.onnx")
    return model.eval(), Language(folder), folder


def test_the_exported_graph_with_its_cache_says_what_the_trained_one_does(tiny):
    model, language, _ = tiny
    evidence = sample(Random(4))
    tokenizer = language._tokenizer
    words = [ASK, *tokenizer.encode("What is the rhythm?").ids, ANSWER]
    for _ in range(12):
        with torch.no_grad():
            hidden = model(torch.from_numpy(encode(evidence))[None], torch.tensor([words]))
            words.append(int((hidden[0, -1] @ model.words.weight.T).argmax()))
        if words[-1] == END:
            break
    said = words[words.index(ANSWER) + 1 :]
    said = said[: said.index(END)] if END in said else said
    assert language.free(evidence, "What is the rhythm?", 12) == tokenizer.decode(said).removeprefix(" ")


def test_the_answer_is_the_most_probable_true_one(tiny):
    """The search finds what adding up the log probabilities of every answer finds."""
    model, language, _ = tiny
    evidence = next(x for x in map(sample, map(Random, range(99))) if len(x.findings) > 3)
    question = f"Which of these does the ECG show? {', '.join(LABELS)}"
    words = [ASK, *language._tokenizer.encode(question).ids, ANSWER]
    costs = {}
    for text in listed_answers(evidence, question):
        ids = language._tokenizer.encode(text).ids
        row = [*words, *ids, END]
        with torch.no_grad():
            hidden = model(torch.from_numpy(encode(evidence))[None], torch.tensor([row]))
            steps = torch.log_softmax(hidden[0] @ model.words.weight.T, -1)[len(words) - 1 :]
        chosen = [*ids, END][:LOOK]
        costs[text] = sum(language._cost(steps[i].numpy(), token) for i, token in enumerate(chosen))
    assert len(costs) > 1
    assert language.answer(evidence, question) == min(costs, key=costs.get)


def test_the_cached_page_changes_nothing(tiny):
    language = tiny[1]
    a, b = sample(Random(1)), sample(Random(2))
    first = language.answer(a, "Write a report.")
    language.answer(b, "Write a report.")
    assert language.answer(a, "Write a report.") == first
    assert "".join(language.stream(replace(a), "Write a report.")) == first


def test_each_row_is_masked_by_its_own_question(tiny):
    """The loss over a batch of rows of different length is the mean over all their answers' tokens."""
    model = tiny[0]
    features = torch.from_numpy(encode(sample(Random(0))))[None]
    rows = [
        [ASK, 9, 10, 11, 12, 13, ANSWER, 20, 21, END],
        [ASK, 9, ANSWER, 30, 31, 32, END],
        [ASK, 9, ANSWER, END],
    ]
    starts = [row.index(ANSWER) + 1 for row in rows]
    padded = torch.tensor([row + [PAD] * (14 - len(row)) for row in rows])
    with torch.no_grad():
        together = model.loss(features, padded, torch.tensor(starts))
        alone = [model.loss(features, torch.tensor([row]), torch.tensor([s])) for row, s in zip(rows, starts)]
    tokens = [len(row) - s for row, s in zip(rows, starts)]
    assert tokens == [3, 4, 1]
    assert together.item() == pytest.approx(
        sum(x.item() * n for x, n in zip(alone, tokens)) / sum(tokens), abs=1e-4
    )


def test_an_answer_sees_the_whole_page_but_no_other_question(tiny):
    model = tiny[0]
    pages = torch.from_numpy(np.stack([encode(sample(Random(seed))) for seed in (1, 2)]))
    rows = torch.tensor([[ASK, 9, 10, ANSWER]] * 4)
    with torch.no_grad():
        hidden = model(pages, rows)
        changed = model(pages, torch.cat([rows[:3], torch.tensor([[ASK, 50, 60, ANSWER]])]))
    assert torch.allclose(hidden[0], hidden[1])
    assert not torch.allclose(hidden[0], hidden[2], atol=1e-4)
    assert torch.allclose(hidden[:3], changed[:3], atol=1e-6)
    assert not torch.allclose(hidden[3], changed[3], atol=1e-4)


def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path, monkeypatch):
    whole = training.train(tmp_path / "whole", [], TINY, steps=6, minutes=1e9, groups=GROUPS)

    class Killed(Exception):
        pass

    drawn, real = [], training.batch

    def batch(*args):
        drawn.append(args)
        if len(drawn) == 3 * 4 + 2:  # in the middle of step 5
            raise Killed
        return real(*args)

    monkeypatch.setattr(training, "EVERY", 2)
    monkeypatch.setattr(training, "batch", batch)
    with pytest.raises(Killed):
        training.train(tmp_path / "cut", [], TINY, steps=6, minutes=1e9, groups=GROUPS)
    resumed = training.train(tmp_path / "cut", [], TINY, steps=6, minutes=1e9, groups=GROUPS, resume=True)
    for a, b in zip(whole.parameters(), resumed.parameters()):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_checkpoint_that_does_not_fit_is_an_error(tiny, tmp_path):
    state = torch.load(tiny[2] / "checkpoint.pt", weights_only=True)
    del state["model"]["norm.weight"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(RuntimeError, match=r"norm\.weight"):
        training.load(tmp_path)


def test_digits_are_tokens_of_their_own(tiny):
    tokenizer = tiny[1]._tokenizer
    pieces = tokenizer.encode("PR 162 ms").tokens
    assert [x for x in pieces if any(c.isdigit() for c in x)] == ["1", "6", "2"]
    assert tokenizer.decode(tokenizer.encode("RBBB; ü – 心").ids).removeprefix(" ") == "RBBB; ü – 心"


@pytest.fixture(scope="module")
def shipped():
    return Language()


def test_the_shipped_decoder_takes_any_text(shipped):
    page = sample(Random(7))
    for question in ("", " ", "?" * 3000, "\x00\n", "Было ли ФП? 心房颤动?"):
        assert isinstance(shipped.answer(page, question), str)
