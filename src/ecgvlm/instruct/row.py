"""One row of instruction data or of a benchmark: a picture, what is asked about it, and the answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgvlm.errors import unreadable
from ecgvlm.files.datasets import patient_of

# What a benchmark's row may say of its page beside its metadata.
_BESIDE = ("age", "sex", "page", "layout", "licence")


@dataclass(frozen=True)
class Row:
    """One picture with what is asked about it and the answers (of a benchmark: the gold), turn by turn.

    image: a file, the bytes of one, or None. more: pictures that follow it; all stand before the first words.
    metadata: subtask and type as in ECGInstruct; rows made by `ecgvlm instruct build` also have kind, page,
    layout, patient, labels and unknown; those of a benchmark patient, age, sex, page, layout and licence
    where its gold says so.
    """

    id: str
    image: Path | bytes | None
    turns: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    more: tuple[Path | bytes, ...] = ()

    @property
    def images(self) -> tuple[Path | bytes, ...]:
        """All pictures, in their order."""
        return () if self.image is None else (self.image, *self.more)

    @property
    def questions(self) -> tuple[str, ...]:
        return tuple(question for question, _ in self.turns)

    @property
    def answers(self) -> tuple[str, ...]:
        return tuple(answer for _, answer in self.turns)

    @property
    def question(self) -> str:
        """The first question."""
        return self.turns[0][0]

    @property
    def gold(self) -> str:
        """The last answer."""
        return self.turns[-1][1]

    @property
    def patient(self) -> str:
        """Who it is about; "" where the row does not say."""
        return str(self.metadata.get("patient") or "")

    def image_files(self) -> tuple[bytes, ...]:
        """The files of all pictures as they are. Raises EcgError where one cannot be read."""
        return tuple(map(_file, self.images))

    def to_dict(self, image: str | dict | list[str] | None) -> dict[str, Any]:
        """The row in ECGInstruct's form; image is what stands for the picture, or a list for several."""
        pictures = len(image) if isinstance(image, list) else int(image is not None)
        return {
            "id": self.id,
            "image": image,
            "conversations": conversations(self.turns, pictures),
            "metadata": dict(self.metadata),
            "source": self.source,
        }

    def to_messages(self, images: list[str]) -> dict[str, Any]:
        """The row as chat data of TRL; images are what stands for the pictures. LLaMA-Factory wants `<image>`
        in a text and reads the form of `to_dict`.
        """
        messages = messages_of([turn for pair in self.turns for turn in pair], len(images))
        return {"messages": messages, "images": images}


def _file(image: Path | bytes) -> bytes:
    if not isinstance(image, Path):
        return image
    try:
        return image.read_bytes()
    except OSError as error:
        raise unreadable(image, error) from None


def messages_of(said: Iterable[str], pictures: int) -> list[dict[str, Any]]:
    """Questions and answers in turn as transformers' chat templates take them; pictures come first."""
    content: list[dict[str, str]] = [{"type": "image"}] * pictures
    messages = []
    for k, text in enumerate(said):
        role = "assistant" if k % 2 else "user"
        messages.append({"role": role, "content": [*content, {"type": "text", "text": text}]})
        content = []
    return messages


def conversations(turns: Iterable[tuple[str, str]], pictures: int = 1) -> list[dict[str, str]]:
    """Turns as ECGInstruct and ECGBench write them; "<image>" stands before the first question, for each
    picture.
    """
    said: list[dict[str, str]] = []
    for question, answer in turns:
        said.append({"from": "human", "value": question if said else "<image>\n" * pictures + question})
        said.append({"from": "gpt", "value": answer})
    return said


def row_from(raw: Mapping[str, Any]) -> Row:
    """A row of ECGInstruct or ECGBench (JSON or hub) without its picture.

    Raises KeyError, TypeError or ValueError where it does not fit.
    """
    if not isinstance(raw, Mapping):
        raise ValueError("not an object")
    if "messages" in raw:
        raise ValueError("messages are other programs' form and not read here; build with --format json")
    key = next((k for k in ("id", "question_id", "No") if raw.get(k) is not None), None)
    if key is None:
        raise KeyError("id")
    turns = raw["conversations"]
    if not (isinstance(turns, list) and all(isinstance(turn, Mapping) for turn in turns)):
        raise ValueError("conversations must be a list of objects with from and value")
    asked, answered = [], []
    for turn in turns:
        if "question" in turn:
            asked.append(_text(turn["question"]))
            answered.append(_text(turn["answer"]))
            continue
        who = turn["from"]
        if who not in ("human", "gpt"):
            raise ValueError(f"conversations: from {who!r} is neither human nor gpt")
        if (who == "human") != (len(asked) == len(answered)):
            raise ValueError("conversations: human and gpt do not take turns, human first")
        if who == "human":
            asked.append(_text(turn["value"]).replace("<image>", "").strip())
        else:
            answered.append(_text(turn["value"]))
    if not answered or len(asked) != len(answered):
        raise ValueError(f"conversations: {len(asked)} questions and {len(answered)} answers")
    return Row(str(raw[key]), None, tuple(zip(asked, answered)), _metadata(raw), raw.get("source") or "")


def _metadata(raw: Mapping[str, Any]) -> dict[str, Any]:
    given = raw.get("metadata") or {}
    if not isinstance(given, Mapping):
        raise ValueError(f"metadata must be an object, not {given!r}")
    beside = {name: raw[name] for name in _BESIDE if raw.get(name) is not None}
    # Parquet has a null for whatever another row has and this one has not.
    metadata = {name: value for name, value in {**given, **beside}.items() if value is not None}
    for name in ("labels", "unknown"):
        codes = metadata.get(name, [])
        if not (isinstance(codes, list) and all(isinstance(code, str) for code in codes)):
            raise ValueError(f"metadata: {name} must be a list of codes, not {codes!r}")
    if patient := patient_of(raw) or patient_of(metadata):
        metadata["patient"] = patient
    return metadata


def _text(value: object) -> str:
    """A turn's text. ecgqa-test stores its turns one character at a time: joined."""
    text = "".join(map(str, value)) if isinstance(value, list) else value
    if not isinstance(text, str):
        raise ValueError(f"conversations: a turn must be text, not {type(text).__name__}")
    if not text.isascii() and re.search("[\ud800-\udfff]", text):
        raise ValueError("conversations: half a character (a lone surrogate) in a turn")
    return text
