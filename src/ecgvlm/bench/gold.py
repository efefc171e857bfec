"""Rows of a task: from ECGBench JSON, from the hub, or from pages made of records (`build`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecgvlm.bench.task import Task
from ecgvlm.errors import EcgError, unreadable
from ecgvlm.instruct.row import Row, row_from
from ecgvlm.instruct.rows import load_rows, pictures_of, raw_rows

HUB = "PULSE-ECG/ECGBench"


def load_gold(path: Path | str, images: Path | str | None = None, task: str = "") -> list[Row]:
    """Rows of an ECGBench file: JSON, JSONL or Parquet, or a folder with such files of several tasks.

    task: which of them. Image names are looked up under `images` (or beside the file). Two rows of one id
    with the same gold count once; with different golds they are an error, for an answer could not be matched.
    Raises EcgError naming file, row and cause.
    """
    path = Path(path)
    if not path.exists():
        raise unreadable(path, "No such file or directory")
    if (path / f"{task}.json").is_file():
        path = path / f"{task}.json"
    rows, root = raw_rows(path, task or None, "test")
    root = Path(images) if images is not None else root
    items: dict[str, Row] = {}
    for k, raw in enumerate(rows):
        try:
            pictures = pictures_of(raw, root)
            item = replace(row_from(raw), image=next(iter(pictures), None), more=tuple(pictures[1:]))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise EcgError("unsupported_format", f"{path}: row {k}: {what}") from None
        if item.id in items and items[item.id].answers != item.answers:
            raise EcgError(
                "unsupported_format", f"{path}: row {k}: id {item.id!r} occurs twice with different golds"
            )
        items[item.id] = item
    if not items:
        raise EcgError("unsupported_format", f"{path}: the gold has no rows")
    return list(items.values())


def load_hub(task: Task) -> list[Row]:
    """Rows of a task from the hub, pictures in their original bytes. Raises EcgError where it cannot be
    had.
    """
    return list(load_rows(HUB, configuration=task.name, split="test"))


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
        raise unreadable(path, error) from None
    except UnicodeDecodeError:
        raise EcgError("unsupported_format", f"{path}: not UTF-8 text") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            key, answer = _prediction(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise EcgError("unsupported_format", f"{path}: line {number}: {what}") from None
        if answer is None:
            failed.add(key)
        else:
            duplicates += key in answers
            answers[key] = answer
    return Predictions(answers, duplicates, len(failed - answers.keys()))


def _prediction(row: Mapping[str, Any]) -> tuple[str, Prediction | None]:
    """The id of a line and its answer, None where the request failed.

    Raises KeyError, TypeError, ValueError or AttributeError where it does not fit.
    """
    if not isinstance(row, Mapping):
        raise ValueError("not an object")
    key = str(row["question_id"] if "question_id" in row else row["id"])
    if row.get("error"):
        return key, None
    field = "text" if "text" in row else "response"
    text = row[field]
    if text is None or text != text or (isinstance(text, str) and _FAILED.fullmatch(text)):
        return key, None
    if not isinstance(text, str):
        raise ValueError(f"the answer must be text, not {text!r}")
    scores = row.get("scores") or {}
    if not isinstance(scores, Mapping) or not all(isinstance(p, int | float) for p in scores.values()):
        raise ValueError("scores must be an object of label probabilities")
    return key, Prediction(key, text, {k: float(p) for k, p in scores.items()} or None, field)
