"""The language half of the model: a page's evidence and a question -> the answer in words. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from ecgvlm.model.evidence import WIDTH, Evidence, encode

SPECIAL = ("<pad>", "<ask>", "<answer>", "<end>")
PAD, ASK, ANSWER, END = range(len(SPECIAL))
QUESTION_TOKENS = 400  # of a longer question only the end is read, where the request usually stands


class Language:
    """The decoder. folder: where language.onnx and tokenizer.json lie, by default the package's own."""

    def __init__(self, folder: Path | None = None, threads: int = 1):
        data = folder or files("ecgvlm").joinpath("data")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            data.joinpath("language.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_str(data.joinpath("tokenizer.json").read_text("utf-8"))
        layers, _, heads, _, width = self._session.get_inputs()[2].shape
        self._empty = np.zeros((layers, 2, heads, 0, width), np.float32)
        self._page: tuple[Evidence, np.ndarray] | None = None

    def answer(self, evidence: Evidence, question: str, max_tokens: int = 400) -> str:
        """The answer, decoded greedily: the same evidence and question always give the same words."""
        return "".join(self.stream(evidence, question, max_tokens))

    def stream(self, evidence: Evidence, question: str, max_tokens: int = 400) -> Iterator[str]:
        """The answer piece by piece, as it is decoded."""
        nothing = np.zeros((0, WIDTH), np.int64)
        words = [ASK, *self._tokenizer.encode(question).ids[-QUESTION_TOKENS:], ANSWER]
        past, said, text = self._prefix(evidence), [], ""
        for _ in range(max_tokens):
            logits, past = self._session.run(
                None, {"features": nothing, "words": np.array(words), "past": past}
            )
            word = int(logits.argmax())
            if word == END:
                return
            said.append(word)
            words = [word]
            longer = self._tokenizer.decode(said).removeprefix(" ")
            if not longer.endswith("\N{REPLACEMENT CHARACTER}"):  # a character whose bytes are still to come
                yield longer[len(text) :]
                text = longer

    def _prefix(self, evidence: Evidence) -> np.ndarray:
        """The page's keys and values; kept, so that the next question about the same page starts at once."""
        page = self._page  # threads share a decoder: another one may put its own page here meanwhile
        if page is None or page[0] is not evidence:
            inputs = {"features": encode(evidence), "words": np.zeros(0, np.int64), "past": self._empty}
            page = self._page = (evidence, self._session.run(None, inputs)[1])
        return page[1]
