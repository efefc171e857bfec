"""Answers kept as they come: an append-only JSONL file, and in memory where in it each answer begins."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ecgvlm.bench.backends.base import Ask, Backend
from ecgvlm.errors import unreadable


def answer_key(backend: Backend, ask: Ask) -> str:
    """What an answer depends on: who is asked, the words, the pictures' bytes and the parameters."""
    seen = [hashlib.sha256(image).hexdigest() for image in ask.images]
    what = {
        "backend": backend.name,
        "model": backend.model,
        "parameters": backend.parameters,
        "prompt": ask.prompt,
        "history": ask.history,
        "max_tokens": ask.max_tokens,
        "image": seen if len(seen) > 1 else next(iter(seen), None),
    }
    if "seed" in backend.parameters:  # answers drawn by row
        what["id"] = ask.id
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class AnswerLog:
    """`answers.jsonl` in a folder. One process writes at a time; not for use by many threads.

    An answer is in the file when `add` returns, so a killed run loses no more than what was in flight; a last
    line that the kill cut short is dropped. Raises EcgError where a line is damaged.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "answers.jsonl"
        self._file = self.path.open("a+b")
        self._begins: dict[str, int] = {}  # where the last answer under a key begins
        self._end = 0
        self._file.seek(0)
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
                self._note(row["key"], row, len(line))
            except (ValueError, KeyError, TypeError) as error:
                raise unreadable(self.path, f"line {number} is damaged ({error}); take it out") from error
        self._file.truncate(self._end)

    def get(self, key: str) -> dict[str, Any] | None:
        """The last answer under this key; None where there is none. Failures are never returned."""
        if key not in self._begins:
            return None
        self._file.seek(self._begins[key])
        return json.loads(self._file.readline())

    def add(self, key: str, row: dict[str, Any]) -> None:
        """Keeps an answer, or a failure (a row with "error"), which is only logged."""
        line = json_line({"key": key} | row)
        self._file.write(line)
        self._file.flush()
        self._note(key, row, len(line))

    def close(self) -> None:
        self._file.close()

    def _note(self, key: str, row: dict[str, Any], size: int) -> None:
        if "error" not in row:
            self._begins[key] = self._end
        self._end += size


def json_line(row: dict[str, Any]) -> bytes:
    """An object as a line of a JSONL file; half a character, which models write now and then, is escaped."""
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
