"""A vision-language model as the training loop sees it: page tokens and rows about the page -> loss of the
answers.

All rows of a page stand in one sequence behind the page's tokens: each sees the page and itself, at the
positions it would have alone. The page is then encoded once for all of them, and nothing but the answers
meets the vocabulary.

What a step needs to know about its tokens is worked out where they are put together (`collate`), and nothing
on the way to the loss or back asks the device: a GPU that is asked is waited for, and then waits itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
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
    """pages [P, ...], in the order in which they stand in the sequences. Of these, [B, T]: ids, positions and
    segments (0 page, k row k, -1 filling).

    shown, answers: where pages' tokens and the tokens that are to be learned stand in the sequences laid end
    to end. rows: in all. packed: whether a sequence has several.
    """

    pages: torch.Tensor
    ids: torch.Tensor
    positions: torch.Tensor
    segments: torch.Tensor
    shown: torch.Tensor
    answers: torch.Tensor
    rows: int
    packed: bool

    def to(self, device: torch.device) -> Microbatch:
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Microbatch:
        """In memory that a GPU copies from by itself; torch's DataLoader calls it, or leaves a batch as it
        is."""
        return self._each(torch.Tensor.pin_memory)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Microbatch:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {k: change(v) for k, v in values.items() if torch.is_tensor(v)}
        return replace(self, **changed)


class Chat:
    """Rows as token ids. template: of chats, in Jinja; it writes `image` where a page stands. page: the ids
    that are put there, image_id among them for each of the page's tokens.
    """

    def __init__(self, tokenizer: Any, template: str, image: str, page: list[int], image_id: int):
        self.tokenizer, self.template, self.image = tokenizer, template, image
        self.page, self.image_id = page, image_id

    @property
    def special(self) -> set[str]:
        """Texts that are tokens of their own and no words: `all_special_tokens` leaves out those of tiles."""
        added = self.tokenizer.added_tokens_decoder.values()
        return {*self.tokenizer.all_special_tokens, *(token.content for token in added if token.special)}

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
    ids, positions, segments, answers = (
        torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])
        for rows, fill in zip(zip(*sequences), filling)
    )
    rows = [len(sample.rows) for sample in samples]
    shown = _places(ids == chat.image_id)
    return Microbatch(
        _pages(samples), ids, positions, segments, shown, _places(answers), sum(rows), max(rows) > 1
    )


def _places(there: torch.Tensor) -> torch.Tensor:
    """[B, T] bool -> where it holds, in the sequences laid end to end."""
    return there.flatten().nonzero().squeeze(1)


def _sequence(chat: Chat, sample: Sample) -> tuple[list[int], list[int], list[int], list[bool]]:
    """A page and its rows: ids, positions, segments, and whether each token is to be learned."""
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


def visible(segments: torch.Tensor) -> torch.Tensor:
    """[B, T] segments -> [B, 1, T, T] bool: whether a token (row) sees another one (column)."""
    t = segments.shape[1]
    own = segments[:, :, None] == segments[:, None, :]
    seen = (own | (segments[:, None, :] == 0)) & (segments[:, None, :] >= 0)
    earlier = torch.ones(t, t, dtype=torch.bool, device=segments.device).tril()
    # Filling sees itself: a row that sees nothing would turn the whole batch into NaN.
    return ((seen & earlier) | torch.eye(t, dtype=torch.bool, device=segments.device))[:, None]


class Answering(nn.Module):
    """A model that answers: pages -> tokens (`look`, of a subclass), tokens and text -> the answers' loss.

    net: a causal language model of transformers, with its vision half inside or not. text_model: the layers
    that see the tokens, in Llama's form.
    """

    def __init__(self, net: Any, text_model: Any, chat: Chat):
        super().__init__()
        self.net, self.chat = net, chat
        self._text = [text_model]  # in a list: the module is net's already

    def look(self, pages: torch.Tensor) -> torch.Tensor:
        """Pages [P, ...] -> their tokens [P, n, D]."""
        raise NotImplementedError

    def tokens(self, pages: torch.Tensor) -> torch.Tensor:
        """`look`, also at no page: all parameters then take part in the loss, as DDP asks of every batch."""
        return self.look(pages) if len(pages) else self.look(pages.new_zeros(1, *pages.shape[1:]))[:0]

    def embed(self, tokens: torch.Tensor, ids: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
        """Pages' tokens [P, n, D], ids [B, T] and the P * n places for them in these -> [B, T, D]."""
        words = self._text[0].get_input_embeddings()(ids)
        flat = words.flatten(0, 1).index_copy(0, shown, tokens.flatten(0, 1).to(words.dtype))
        return flat.view_as(words)

    def compile_layers(self, any_length: bool = True) -> None:
        """Each layer, for training: layers of a kind share their code, which takes seconds where a half takes
        minutes. Pages have one shape; texts may have any length, or have one too.
        """
        for layer in self._eyes():
            layer.compile()
        for layer in self._text[0].layers:
            layer.compile(dynamic=True if any_length else None)

    def _eyes(self) -> Iterable[nn.Module]:
        """The layers that see pages."""
        return ()

    def forward(self, batch: Microbatch) -> torch.Tensor:
        """The summed cross-entropy of the answers' tokens."""
        return self.answers_loss(self.tokens(batch.pages), batch)

    def answers_loss(self, tokens: torch.Tensor, batch: Microbatch) -> torch.Tensor:
        """The same, where the pages' tokens [P, n, D] are there already."""
        text = self._text[0]
        hidden = self.embed(tokens, batch.ids, batch.shown)
        # The layers one by one, as the model's own forward asks the device for what is known here. With one
        # row in each a token sees all before it, the filling stands behind, and no mask is faster.
        mask = visible(batch.segments) if batch.packed else None
        turned = text.rotary_emb(hidden, position_ids=batch.positions)
        for layer in text.layers:
            hidden = layer(hidden, attention_mask=mask, position_embeddings=turned)
        # The token before foretells a token; an answer always has its question's last one before it.
        foretelling = text.norm(hidden.flatten(0, 1).index_select(0, batch.answers - 1))
        logits = self.net.lm_head(foretelling)  # [answer tokens, V]
        return F.cross_entropy(logits.float(), batch.ids.flatten()[batch.answers], reduction="sum")

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
        seen = self.tokens(pages.to(device))[shown]
        said = self.net.generate(
            inputs_embeds=self.embed(seen, ids, _places(ids == self.chat.image_id)),
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
