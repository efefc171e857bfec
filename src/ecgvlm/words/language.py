"""The language half of the model: a page's evidence and a question -> the answer in words. No torch."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgvlm.judge.evidence import Evidence
from ecgvlm.sessions import open_session, read_model_file
from ecgvlm.words import answers
from ecgvlm.words.phrases import words

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    from ecgvlm.words.dialogue import Conversation, Dialogue

# What understands questions is imported where one is answered: a page that nobody asks about is read sooner.
_FILES = "language.onnx", "tokenizer.json"
_OF_QUESTIONS = "intents.json", "languages.onnx"  # the package's own; the larger ones when one is asked
SPECIAL = ("<pad>", "<ask>", "<answer>", "<end>")
PAD, ASK, ANSWER, END = range(len(SPECIAL))
QUESTION_TOKENS = 400  # of a longer question only the end is read, where the request usually stands
LOOK = 24  # tokens of a statement by which it is chosen; what follows is decided by then
_NUMBER = re.compile(r"[\d.%+-]+|under|over")


@dataclass
class _Node:
    """A place in the tree of statements. children: by token; END leads to None."""

    children: dict[int, _Node | None] = field(default_factory=dict)


@dataclass(order=True)
class _Path:
    """A beginning of a statement.

    cost: minus its log probability. read: how many of its tokens the decoder has read, leading to past.
    after: [vocabulary] log probabilities of the next token, where all are read.
    """

    cost: float
    order: int
    node: _Node | None = field(compare=False)
    said: tuple[int, ...] = field(compare=False)
    read: int = field(compare=False)
    past: np.ndarray = field(compare=False)
    after: np.ndarray | None = field(compare=False)


def numbers(tokenizer: Tokenizer) -> np.ndarray:
    """[vocabulary] bool: tokens that only fill in what was measured."""
    free = np.zeros(tokenizer.get_vocab_size(), bool)
    for token, i in tokenizer.get_vocab().items():
        free[i] = bool(_NUMBER.fullmatch(token.lstrip("\u0120")))
    return free


class Language:
    """The decoder. folder: where language.onnx and tokenizer.json lie, by default the package's own.

    Questions are understood by a net of their own (`Understanding`) and answered from the evidence
    (`Dialogue`). Where a question lists options and several ways of answering are true, the decoder's
    probabilities choose: that of a statement is that of its first words; the numbers in it are those
    measured, whatever the decoder thinks of them. It is opened when it first has to choose; raises EcgError
    at once where its files are missing or damaged.
    """

    def __init__(self, folder: Path | None = None, threads: int = 1):
        self._folder, self._threads = folder, threads
        for name in _FILES:
            read_model_file(name, folder)
        for name in _OF_QUESTIONS:
            read_model_file(name)
        self._page: tuple[Evidence, np.ndarray] | None = None

    @cached_property
    def dialogue(self) -> Dialogue:
        """What understands questions and finds their answers."""
        from ecgvlm.words.dialogue import Dialogue
        from ecgvlm.words.understand import Understanding

        return Dialogue(Understanding())

    @cached_property
    def _session(self) -> InferenceSession:
        return open_session(_FILES[0], self._folder, self._threads)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(read_model_file(_FILES[1], self._folder).decode())

    @cached_property
    def _free(self) -> np.ndarray:
        return numbers(self._tokenizer)

    def expect(self, question: str, spoken: str = "en") -> None:
        """Understands a question before it is to be answered, which then takes less time. spoken: as of
        `answer`."""
        from ecgvlm.words.dialogue import Conversation

        self.dialogue.follow(question, Conversation(language=spoken))

    def verdict(self, evidence: Evidence, language: str = "en") -> str:
        """NORMAL or ABNORMAL with the rhythm. language: one of `phrases.LANGUAGES`."""
        w = words(language)
        return w.text([answers.overall(evidence, w)])

    def report(self, evidence: Evidence, language: str = "en") -> str:
        """The report of a page. language: as of `verdict`."""
        w = words(language)
        return w.text([answers.report(evidence, w)])

    def answer(
        self, evidence: Evidence, question: str, language: str | None = None, spoken: str = "en"
    ) -> str:
        """The answer to a question that stands alone; the same evidence and question always give the same
        words.

        language: one of `phrases.LANGUAGES`, by default that of the question; spoken: that of a question
        which does not show its own ("FC?").
        """
        from ecgvlm.words.dialogue import Conversation

        return self.converse(evidence, question, Conversation(language=spoken), language)[0]

    def converse(
        self, evidence: Evidence, question: str, before: Conversation, language: str | None = None
    ) -> tuple[str, Conversation]:
        """The answer to the next question of a conversation, and the conversation with it. Of a question
        that is too long the end is read."""
        from ecgvlm.words.choices import chosen
        from ecgvlm.words.options import listed_answers, yes_or_no
        from ecgvlm.words.text import readable

        read = readable(question)
        if asked := yes_or_no(read):
            answer, after = self.dialogue.answer(evidence, asked.question, before, closed=True)
            return asked.answer(answer), after
        if options := chosen(evidence, read):
            return options, before
        if said := listed_answers(evidence, read):
            return said[0] if len(said) == 1 else self._choose(evidence, read, said), before
        return self.dialogue.answer(evidence, question, before, language)

    def stream(
        self,
        evidence: Evidence,
        question: str,
        before: Sequence[str] = (),
        earlier: Evidence | None = None,
        language: str = "en",
    ) -> Iterator[str]:
        """The answer word by word. before: what was asked so far; earlier: another ECG of the patient;
        language: of what does not show its own."""
        from ecgvlm.words.dialogue import Conversation

        conversation = Conversation(language=language, earlier=earlier)
        for asked in before:
            conversation = self.dialogue.follow(asked, conversation)
        said, _ = self.converse(evidence, question, conversation)
        yield from re.findall(r"\s*\S+\s*$|\s*\S+", said)

    def free(self, evidence: Evidence, question: str, max_tokens: int = 400) -> str:
        """What the decoder says greedily and not held to the evidence: to measure how much it needs that."""
        words = [ASK, *self._tokenizer.encode(question).ids[-QUESTION_TOKENS:], ANSWER]
        past, said = self._prefix(evidence), []
        for _ in range(max_tokens):
            logits, past = self._run(words, past)
            words = [int(logits[-1].argmax())]
            if words[0] == END:
                break
            said += words
        return self._tokenizer.decode(said).removeprefix(" ")

    def _choose(self, evidence: Evidence, question: str, said: list[str]) -> str:
        """Uniform-cost search over the tree of statements: the first one completed is the most probable."""
        from ecgvlm.words.options import understood

        root, leaves = _Node(), dict[tuple[int, ...], str]()
        for text, ids in zip(said, (x.ids for x in self._tokenizer.encode_batch(said))):
            node: _Node | None = root
            for token in ids:
                assert node is not None
                node = node.children.setdefault(token, _Node())
            assert node is not None
            node.children[END] = None
            leaves[tuple(ids)] = text
        question = understood(question)
        if question.isupper():  # capitals are other tokens, and were rare in training
            question = question.lower()
        words = [ASK, *self._tokenizer.encode(question).ids[-QUESTION_TOKENS:], ANSWER]
        logits, past = self._run(words, self._prefix(evidence))
        order = itertools.count()
        paths = [_Path(0.0, next(order), root, (), 0, past, logits[-1])]
        while True:
            path = heapq.heappop(paths)
            if path.node is None:
                return leaves[path.said]
            if path.after is not None:
                for token, child in path.node.children.items():
                    # Where ways part it counts however late; reports may begin with the same long caution.
                    cost = path.cost + self._cost(path.after, token)
                    longer = path.said if child is None else (*path.said, token)
                    heapq.heappush(paths, _Path(cost, next(order), child, longer, path.read, path.past, None))
                continue
            # There is one way to go for a while: the decoder reads all of it at once.
            node, whole = path.node, list(path.said)
            while node is not None and len(node.children) == 1:
                ((token, node),) = node.children.items()
                whole += [token] if node is not None else []
            new = whole[path.read : None if node is not None else LOOK]
            after, past, cost = None, path.past, path.cost
            if new:
                logits, past = self._run(new, past)
                known = len(path.said) - path.read  # their cost is counted
                following = [*new[known:], *([END] if node is None else [])]
                for place, token in enumerate(following, len(path.said)):
                    cost += self._cost(logits[place - path.read - 1], token) if place < LOOK else 0.0
                after = logits[-1] if node is not None else None
            read = path.read + len(new)
            heapq.heappush(paths, _Path(cost, next(order), node, tuple(whole), read, past, after))

    def _cost(self, after: np.ndarray, token: int) -> float:
        return 0.0 if self._free[token] else -float(after[token])

    def _run(self, words: list[int], past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[T] tokens after past -> [T, vocabulary] log probabilities of the next, and the new past."""
        from ecgvlm.words.prefix import WIDTH

        nothing = np.zeros((0, WIDTH), np.int64)
        logits, past = self._session.run(None, {"features": nothing, "words": np.array(words), "past": past})
        logits = logits - logits.max(1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(1, keepdims=True)), past

    def _prefix(self, evidence: Evidence) -> np.ndarray:
        """The page's keys and values; kept, so that the next question about the same page starts at once."""
        page = self._page  # threads share a decoder: another one may put its own page here meanwhile
        if page is None or page[0] is not evidence:
            from ecgvlm.words.prefix import encode

            layers, _, heads, _, width = self._session.get_inputs()[2].shape
            empty = np.zeros((layers, 2, heads, 0, width), np.float32)
            inputs = {"features": encode(evidence), "words": np.zeros(0, np.int64), "past": empty}
            page = self._page = (evidence, self._session.run(None, inputs)[1])
        return page[1]
