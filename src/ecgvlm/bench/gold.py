"""Rows of a task: from ECGBench JSON, from the hub, or from pages made of records (`build`)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError

HUB = "PULSE-ECG/ECGBench"
_META = ("age", "sex", "page", "layout", "licence")


@dataclass(frozen=True)
class Item:
    """One row: what is asked about which image, and the gold.

    turns: questions in order (one, or two in the arena). golds: the gold of each turn. image: a file, its
    bytes, or None. patient: groups rows of one person for the bootstrap; "" where the gold does not say.
    meta: age, sex, page, layout, licence where known.
    """

    id: str
    turns: tuple[str, ...]
    golds: tuple[str, ...]
    image: Path | bytes | None = None
    patient: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def question(self) -> str:
        return self.turns[0]

    @property
    def gold(self) -> str:
        return self.golds[-1]

    def image_bytes(self) -> bytes | None:
        """The image file as it is; None where the row has none."""
        if isinstance(self.image, Path):
            try:
                return self.image.read_bytes()
            except OSError as error:
                raise EcgError("unreadable_file", f"{self.image}: {error.strerror}") from None
        return self.image


def load_gold(path: Path | str, images: Path | str | None = None) -> list[Item]:
    """Rows of an ECGBench JSON file; image names are looked up under `images` (or beside the file).

    Two rows of one id with the same gold count once; with different golds they are an error, for an answer
    could not be matched. Raises EcgError naming file, row and cause.
    """
    path = Path(path)
    try:
        rows = json.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise EcgError("unreadable_file", f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise EcgError("unsupported_format", f"{path}: not JSON ({error})") from None
    if not isinstance(rows, list) or not rows:
        raise EcgError("unsupported_format", f"{path}: the gold must be a list of rows, with at least one")
    root = Path(images) if images is not None else path.parent
    items: dict[str, Item] = {}
    for k, row in enumerate(rows):
        try:
            item = item_from_row(row)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise EcgError("unsupported_format", f"{path}: row {k}: {what}") from None
        name = row.get("image") or row.get("image_path")
        if isinstance(name, str):
            item = _with_image(item, root / name)
        if item.id in items and items[item.id].golds != item.golds:
            raise EcgError(
                "unsupported_format", f"{path}: row {k}: id {item.id!r} occurs twice with different golds"
            )
        items[item.id] = item
    return list(items.values())


def load_hub(task: Task, repo: str = HUB) -> list[Item]:
    """Rows of a task from the hub (or a folder laid out like it), images in their original bytes."""
    import datasets

    rows = datasets.load_dataset(repo, task.name, split="test")
    if "image" in rows.features and isinstance(rows.features["image"], datasets.Image):
        rows = rows.cast_column("image", datasets.Image(decode=False))
    items = []
    for row in rows:
        image = row.get("image")
        data = None
        if isinstance(image, dict):
            data = image.get("bytes") or Path(image["path"]).read_bytes()
        items.append(_with_image(item_from_row(row), data))
    return items


def item_from_row(row: dict[str, Any]) -> Item:
    """One ECGBench row (JSON or hub), text only. Raises KeyError, TypeError or ValueError where it does not
    fit.
    """
    key = next((k for k in ("id", "question_id", "No") if row.get(k) is not None), None)
    if key is None:
        raise KeyError("id")
    turns, golds = [], []
    for turn in row["conversations"]:
        if "question" in turn:
            turns.append(_text(turn["question"]))
            golds.append(_text(turn["answer"]))
        elif turn["from"] == "human":
            turns.append(_text(turn["value"]).replace("<image>", "").strip())
        elif turn["from"] == "gpt":
            golds.append(_text(turn["value"]))
        else:
            raise ValueError(f"conversations: from {turn['from']!r} is neither human nor gpt")
    if not golds or len(turns) != len(golds):
        raise ValueError(f"conversations: {len(turns)} questions and {len(golds)} answers")
    patient = row.get("patient", row.get("patient_id", ""))
    meta = {k: row[k] for k in _META if row.get(k) is not None}
    return Item(
        str(row[key]), tuple(turns), tuple(golds), None, "" if patient is None else str(patient), meta
    )


def _text(value: object) -> str:
    """A turn's text. ecgqa-test stores its turns one character at a time: joined."""
    if isinstance(value, list):
        return "".join(map(str, value))
    if not isinstance(value, str):
        raise ValueError(f"conversations: a turn must be text, not {type(value).__name__}")
    return value


def _with_image(item: Item, image: Path | bytes | None) -> Item:
    return Item(item.id, item.turns, item.golds, image, item.patient, item.meta)


@dataclass(frozen=True)
class Prediction:
    """One answer: what the system said, and its label probabilities where it gives them.

    field: "text" or "response", as its file names the answer; the published ecgqa rule tells them apart.
    """

    id: str
    text: str
    scores: dict[str, float] | None = None
    field: str = "text"


# What VLMEvalKit and lmms-eval write in an answer's place where a request failed, and pandas where none is.
_FAILED = re.compile(
    r"\s*(?:failed to obtain answer\b.*|\[lmms_eval_request_failed\b.*|nan)\s*", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Predictions:
    """Answers by id, with what was odd about the file: answers given twice (the last counts) and failed
    requests.
    """

    answers: dict[str, Prediction]
    duplicates: int
    failures: int


def load_predictions(path: Path | str) -> Predictions:
    """A JSONL file of {"question_id" or "id", "text" or "response"} rows; "scores" may hold label
    probabilities.

    A row with a true "error", or with what other harnesses write where a request failed, is a failed request:
    counted apart, never an answer. Raises EcgError naming file and line.
    """
    path = Path(path)
    answers: dict[str, Prediction] = {}
    failed: set[str] = set()
    duplicates = 0
    try:
        # Not splitlines: answers may hold U+2028 and other separators that JSON leaves alone.
        lines: Sequence[str] = path.read_text("utf-8-sig").split("\n")
    except OSError as error:
        raise EcgError("unreadable_file", f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise EcgError("unsupported_format", f"{path}: not UTF-8 text") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            key = str(row["question_id"] if "question_id" in row else row["id"])
            if row.get("error"):
                failed.add(key)
                continue
            field = "text" if "text" in row else "response"
            text = row[field]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise EcgError("unsupported_format", f"{path}: line {number}: {what}") from None
        if text is None or text != text or (isinstance(text, str) and _FAILED.fullmatch(text)):
            failed.add(key)
            continue
        if not isinstance(text, str):
            raise EcgError(
                "unsupported_format", f"{path}: line {number}: the answer must be text, not {text!r}"
            )
        duplicates += key in answers
        scores = row.get("scores")
        probabilities = {k: float(v) for k, v in scores.items()} if scores else None
        answers[key] = Prediction(key, text, probabilities, field)
    return Predictions(answers, duplicates, len(failed - answers.keys()))
