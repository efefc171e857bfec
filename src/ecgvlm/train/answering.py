"""A vision-language model as the training loop sees it: page tokens and rows about the page -> loss of the
answers.

All rows of a page stand in one sequence behind the page's tokens: each sees the page and itself, at the
positions it would have alone. The page is then encoded once for all of them, and nothing but the answers
meets the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from ecgvlm.errors import EcgError
from ecgvlm.instruct.row import messages_of
from ecgvlm.train.pages import Sample
from ecgvlm.train.recipe import Adapter, Rates

Turns = Sequence[tuple[str, str]]  # (question, answer)


@dataclass
class Microbatch:
    """pages [P, ...], in the order in which they stand in the sequences. Of these, [B, T]: ids, positions,
    segments (0 page, k row k, -1 filling) and answers (bool: a token that is to be learned).
    """

    pages: torch.Tensor
    ids: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    answers: torch.Tensor

    def to(self, device: torch.device) -> Microbatch:
        return Microbatch(*(getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)))

    def pin_memory(self) -> Microbatch:
        """In memory that a GPU copies from by itself; torch's DataLoader calls it, or leaves a batch as it
        is."""
        return Microbatch(*(getattr(self, f.name).pin_memory() for f in fields(self)))


class Chat:
    """Rows as token ids. template: of chats, in Jinja; it writes `image` where a page stands. page: the ids
    that hold a page's place.
    """

    def __init__(self, tokenizer: Any, template: str, image: str, page: list[int]):
        self.tokenizer, self.template, self.image, self.page = tokenizer, template, image, page

    def opening(self, pages: int) -> list[int]:
        """The ids up to the end of the last page, which rows about the same pages share."""
        before = self._text(messages_of([""], pages), False).split(self.image)[:-1]
        return [i for text in before for i in (*self._ids(text), *self.page)]

    def pieces(self, turns: Turns, pages: int) -> list[tuple[list[int], bool]]:
        """A row behind its pages: ids of what is asked (False) and of what is answered (True), in turn.

        An answer ends with the mark that ends a turn, so that the model learns to stop.
        """
        # A question must not bring a page of its own.
        said = [text for question, answer in turns for text in (question.replace(self.image, ""), answer)]
        messages = messages_of(said, pages)
        done, pieces = "", []
        for k in range(1, len(messages), 2):
            asked, whole = self._text(messages[:k], True), self._text(messages[: k + 1], False)
            if not whole.startswith(asked):
                raise EcgError(
                    "unsupported_format", "the chat template's prompt does not begin its conversation"
                )
            answer = whole[len(asked) :].rstrip()
            question = asked[len(done) :] if done else asked.split(self.image)[-1]
            pieces += [(self._ids(question), False), (self._ids(answer), True)]
            done = asked + answer
        return pieces

    def prompt(self, turns: Turns, pages: int) -> list[int]:
        """Ids of a row, its pages included, up to where its last answer begins."""
        return [*self.opening(pages), *(i for ids, _ in self.pieces(turns, pages)[:-1] for i in ids)]

    def _text(self, messages: list[dict], answer_follows: bool) -> str:
        return self.tokenizer.apply_chat_template(
            messages, chat_template=self.template, tokenize=False, add_generation_prompt=answer_follows
        )

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


def collate(chat: Chat, samples: Sequence[Sample]) -> Microbatch:
    """Samples as one batch, each sequence filled up at its end to the longest."""
    sequences = [_sequence(chat, sample) for sample in samples]
    longest = max(len(ids) for ids, *_ in sequences)
    filling = (chat.tokenizer.pad_token_id or 0, 0, -1, False)
    columns = (
        torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])
        for rows, fill in zip(zip(*sequences), filling)
    )
    return Microbatch(_pages(samples), *columns)


def _sequence(chat: Chat, sample: Sample) -> tuple[list[int], list[int], list[int], list[bool]]:
    """A page and its rows: ids, positions, segments and answers, as of `Microbatch`."""
    ids = chat.opening(len(sample.pages))
    n = len(ids)
    positions, segments, answers = [*range(n)], [0] * n, [False] * n
    for k, turns in enumerate(sample.rows, start=1):
        at = n
        for piece, answered in chat.pieces(turns, len(sample.pages)):
            ids += piece
            positions += range(at, at + len(piece))
            segments += [k] * len(piece)
            answers += [answered] * len(piece)
            at += len(piece)
    return ids, positions, segments, answers


def _pages(samples: Sequence[Sample]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([sample.pages for sample in samples]))


def visible(segments: torch.Tensor) -> torch.Tensor | None:
    """[B, T] segments -> [B, 1, T, T] bool: whether a token (row) sees another one (column).

    None where that is all before it, as with one row a page: the filling stands behind, and attention without
    a mask is faster.
    """
    if segments.max() <= 1:
        return None
    t = segments.shape[1]
    own = segments[:, :, None] == segments[:, None, :]
    seen = (own | (segments[:, None, :] == 0)) & (segments[:, None, :] >= 0)
    earlier = torch.ones(t, t, dtype=torch.bool, device=segments.device).tril()
    # Filling sees itself: a row that sees nothing would turn the whole batch into NaN.
    return ((seen & earlier) | torch.eye(t, dtype=torch.bool, device=segments.device))[:, None]


class Answering(nn.Module):
    """A model that answers: pages -> tokens (`look`, of a subclass), tokens and text -> the answers' loss.

    net: a causal language model of transformers, with its vision half inside or not. text_model: the layers
    that see the tokens. image_id: the id that holds a page token's place.
    """

    def __init__(self, net: Any, text_model: Any, chat: Chat, image_id: int):
        super().__init__()
        self.net = net
        self.chat, self.image_id = chat, image_id
        self._text = [text_model]  # in a list: the module is net's already

    def look(self, pages: torch.Tensor) -> torch.Tensor:
        """Pages [P, ...] -> their tokens [P, n, D]."""
        raise NotImplementedError

    def tokens(self, pages: torch.Tensor) -> torch.Tensor:
        """`look`, also at no page: all parameters then take part in the loss, as DDP asks of every batch."""
        return self.look(pages) if len(pages) else self.look(pages.new_zeros(1, *pages.shape[1:]))[:0]

    def embed(self, tokens: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Pages' tokens [P, n, D], ids [B, T] with P * n places for them in the same order -> [B, T, D]."""
        words = self._text[0].get_input_embeddings()(ids)
        return words.masked_scatter((ids == self.image_id)[..., None], tokens.to(words.dtype))

    def forward(self, batch: Microbatch) -> torch.Tensor:
        """The summed cross-entropy of the answers' tokens."""
        mask = visible(batch.segments)
        hidden = self._text[0](
            inputs_embeds=self.embed(self.tokens(batch.pages), batch.ids),
            attention_mask=mask,
            position_ids=None if mask is None else batch.positions,
            use_cache=False,
        ).last_hidden_state
        # The token before foretells a token; an answer always has its question's last one before it.
        answers = batch.answers[:, 1:]
        logits = self.net.lm_head(hidden[:, :-1][answers])  # [answer tokens, V]
        return F.cross_entropy(logits.float(), batch.ids[:, 1:][answers], reduction="sum")

    @torch.no_grad()
    def answer(self, samples: Sequence[Sample], max_tokens: int) -> list[str]:
        """Greedy answers to the last question of every row of the samples, in their order."""
        rows: list[list[int]] = []
        shown: list[int] = []  # the pages of each row, which rows of a sample share
        first = 0
        for sample in samples:
            count = len(sample.pages)
            for turns in sample.rows:
                rows.append(self.chat.prompt(turns, count))
                shown += range(first, first + count)
            first += count
        pages, device = _pages(samples), self.net.device
        longest, filling = max(map(len, rows)), self.chat.tokenizer.pad_token_id or 0
        ids = torch.tensor([[filling] * (longest - len(row)) + row for row in rows], device=device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
        said = self.net.generate(
            inputs_embeds=self.embed(self.tokens(pages.to(device))[shown], ids),
            attention_mask=mask,
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=self.chat.tokenizer.eos_token_id,
            pad_token_id=filling,
            synced_gpus=False,  # processes answer different rows, with whole weights
        )
        return [text.strip() for text in self.chat.tokenizer.batch_decode(said, skip_special_tokens=True)]


def part_of(name: str) -> str:
    """The part that a parameter or module belongs to, by its name."""
    return "vision" if "vision_model" in name else "connector" if "connector" in name else "language"


def set_learning(model: Answering, rates: Rates) -> None:
    """Freezes the parts whose rate is 0."""
    learning = dict(rates)
    for name, p in model.named_parameters():
        p.requires_grad_(learning[part_of(name)] > 0)


def add_adapters(model: Answering, rates: Rates, adapter: Adapter) -> None:
    """Puts LoRA into the linear layers of the learning parts; only these and the connector learn then."""
    import peft

    learning = dict(rates)
    targets = [
        name
        for name, module in model.net.named_modules()
        if isinstance(module, nn.Linear)
        and part_of(name) != "connector"
        and learning[part_of(name)]
        and not name.endswith("lm_head")
    ]
    inside = {id(p) for p in model.net.parameters()}
    if targets:
        config = peft.LoraConfig(
            r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, target_modules=targets
        )
        model.net = peft.get_peft_model(model.net, config).get_base_model()
    for name, p in model.named_parameters():
        if "lora_" not in name:
            whole = part_of(name) == "connector" or id(p) not in inside
            p.requires_grad_(whole and learning[part_of(name)] > 0)


def merge_adapters(net: nn.Module) -> None:
    """Adds the adapters to the weights they stand beside and takes them away, in place."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(net.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(net.get_submodule(parent), child, module.get_base_layer())
    if hasattr(net, "peft_config"):
        del net.peft_config


def save_adapters(net: Any, base: str, folder: Path) -> None:
    """The folder that PEFT loads onto the base: the adapters, and the connector, which learned in full."""
    config = net.peft_config["default"]
    config.base_model_name_or_path, config.modules_to_save = base, ["connector"]
    config.save_pretrained(folder)
    tensors = {
        f"base_model.model.{name.replace('.default', '')}": p.detach().contiguous()
        for name, p in net.named_parameters()
        if "lora_" in name or part_of(name) == "connector"
    }
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def parameter_groups(model: nn.Module, rates: Rates, weight_decay: float) -> list[dict]:
    """Optimiser groups, one a part and kind: matrices decay, norms and biases do not. "peak": the group's own
    rate.
    """
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups.setdefault((part_of(name), p.ndim > 1), []).append(p)
    return [
        {
            "params": params,
            "peak": dict(rates)[part],
            "lr": dict(rates)[part],
            "weight_decay": weight_decay * decays,
        }
        for (part, decays), params in sorted(groups.items())
    ]
