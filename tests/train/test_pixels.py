import json
from dataclasses import replace

import numpy as np
import pytest

from ecgvlm.labels import LABELS
from ecgvlm.paper.degrade import degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.simulate import Simulation, simulate

torch = pytest.importorskip("torch")
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402

from ecgvlm.model.language import SPECIAL  # noqa: E402
from ecgvlm.train import pixels  # noqa: E402
from ecgvlm.train.language import Config  # noqa: E402

TINY = Config(vocabulary=400, dim=32, layers=2, heads=2, hidden=48)


def target(**held: int) -> np.ndarray:
    return np.int8([held.get(label, 0) for label in LABELS])


def page(kind: str, **changes):
    record = simulate(Simulation(rate_bpm=60), 3)[0]
    return degrade(render(record, page_style("classic", **changes), 1), kind, 2)


def beats(picture: np.ndarray) -> np.ndarray:
    """Columns at which the lowest row's trace is high, one a beat, between its name and the paper's end."""
    row = 255 - picture[-pixels.HEIGHT // 5 :, 45:890].astype(float)
    top = np.array([np.flatnonzero(column > 120).min(initial=99) for column in row.T])
    high = np.flatnonzero(top < top.min() + 8)
    return 45 + high[np.flatnonzero(np.diff(high, prepend=-99) > 20)]


@pytest.mark.parametrize("speed", [25.0, 50.0])
def test_a_second_is_as_wide_on_every_page(speed):
    at = beats(pixels.rectified(page("none", mm_per_s=speed)))
    assert len(at) >= 4
    assert np.median(np.diff(at)) == pytest.approx(pixels.WIDTH / pixels.SECONDS, abs=1)


@pytest.mark.parametrize("kind", ["scan", "photo"])
def test_a_warped_page_comes_back_straight(kind):
    flat, warped = beats(pixels.rectified(page("none"))), beats(pixels.rectified(page(kind)))
    assert warped == pytest.approx(flat, abs=3)


def test_replies_are_what_the_labels_settle():
    said = pixels.replies(target(NORM=1, SR=1))
    assert said == {"code15": "NORM", "ptb": "NORM(normal ECG)", "verdict": "NORMAL - Sinus Rhythm"}
    said = pixels.replies(target(AF=1, RBBB=1, CD=1))
    assert said["code15"] == "RBBB(right bundle branch block); AF(atrial fibrillation)"
    assert said["verdict"] == "ABNORMAL - Atrial Fibrillation"
    assert set(pixels.replies(target(AF=-1, NORM=1))) == {"ptb"}


def test_records_with_rare_labels_are_drawn_more_often():
    share = pixels.odds(np.stack([target(SR=1)] * 98 + [target(SR=1, LBBB=1)] * 2))
    assert share.sum() == pytest.approx(1)
    assert share[-1] > 4 * share[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Empty pages and pages with a block of ink, which is LBBB here; and a tokenizer of whole words."""
    out = tmp_path_factory.mktemp("pixels")
    rng = np.random.default_rng(0)
    images = rng.integers(230, 250, (24, pixels.HEIGHT, pixels.WIDTH), np.uint8)
    images[::2, 60:200, 200:800] //= 4
    labels = np.stack([target(LBBB=1, CD=1, SR=1), target(NORM=1, SR=1)] * 12)
    for name in ("check", "pages000"):
        np.savez(out / f"{name}.npz", images=images, target=labels)
    texts = [text for row in labels[:2] for text in pixels.replies(row).values()] + list(
        pixels.PROMPTS.values()
    )
    split = pre_tokenizers.WhitespaceSplit()
    seen = dict.fromkeys(word for text in texts for word, _ in split.pre_tokenize_str(text))
    words = {word: i for i, word in enumerate([*SPECIAL, "<unknown>", *seen])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = split
    tokenizer.save(str(out / "tokenizer.json"))
    return out


@pytest.mark.slow
def test_training_learns_what_is_on_the_page_and_goes_on_where_it_was_cut(folder, monkeypatch):
    class Killed(Exception):
        pass

    real, drawn = pixels.losses, []

    def losses(*args):
        drawn.append(args)
        if len(drawn) == 6:
            raise Killed
        return real(*args)

    with monkeypatch.context() as patch:
        patch.setattr(pixels, "losses", losses)
        with pytest.raises(Killed):
            pixels.train(folder, TINY, minutes=0.4, every=2)
    cut = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert cut["step"] == 4
    pixels.train(folder, TINY, minutes=0.4, every=10)
    card = json.loads((folder / "card.json").read_text())
    assert card["steps"] > cut["step"]
    assert card["fold7_auroc"] > 0.95
    assert not list(folder.glob("*.tmp"))

    trained = pixels.Trained(folder)
    with np.load(folder / "check.npz") as part:
        tokens, logits = pixels.see(trained.net, part["images"][:2])
    p = [trained.probabilities(row) for row in logits]
    assert p[0]["LBBB"] > p[1]["LBBB"]
    assert isinstance(trained.answer(tokens[0], pixels.PROMPTS["verdict"]), str)


def test_an_answer_is_what_the_decoder_says_without_its_cache(folder):
    torch.manual_seed(0)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    net = pixels.Pixels(replace(TINY, vocabulary=tokenizer.get_vocab_size())).eval()
    for weight in net.words.layers.parameters():  # away from the zeros that it begins with
        torch.nn.init.normal_(weight, std=0.2)
    trained = pixels.Trained.__new__(pixels.Trained)
    trained.net, trained.tokenizer = net, tokenizer
    tokens = torch.randn(pixels.Pixels.TOKENS, TINY.dim)
    rows = [pixels.ASK, *tokenizer.encode(pixels.QUESTION).ids, pixels.ANSWER]
    start = len(rows)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for _ in range(6):
            hidden = net.words(tokens[None], torch.tensor([rows]))
            rows.append(int((hidden[0, -1] @ net.words.words.weight.T).argmax()))
    said = rows[start:]
    said = said[: said.index(pixels.END)] if pixels.END in said else said
    assert trained.answer(tokens, pixels.QUESTION, max_tokens=6) == tokenizer.decode(said)
