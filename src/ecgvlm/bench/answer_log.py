"""Answers kept as they come: an append-only JSONL file is the record, an SQLite file beside it the index."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ecgvlm.bench.backends.base import Ask, Backend


def answer_key(backend: Backend, ask: Ask) -> str:
    """What an answer depends on: who is asked, the words, the picture's bytes and the parameters."""
    what = {
        "backend": backend.name,
        "model": backend.model,
        "parameters": backend.parameters,
        "prompt": ask.prompt,
        "history": ask.history,
        "max_tokens": ask.max_tokens,
        "image": hashlib.sha256(ask.image).hexdigest() if ask.image is not None else None,
    }
    if "seed" in backend.parameters:  # answers drawn by row
        what["id"] = ask.id
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


class AnswerLog:
    """`answers.jsonl` and `answers.sqlite` in a folder. One process writes at a time; not for use by many
    threads.

    An answer is in the JSONL file when `add` returns, so a killed run loses no more than what was in
    flight. The index is rebuilt from that file where it lags; a last line cut short is dropped.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "answers.jsonl"
        self._repair()
        self._log = self.path.open("a", encoding="utf-8")
        self._db = sqlite3.connect(folder / "answers.sqlite", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")  # the JSONL file is the record; the index can be rebuilt
        self._db.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, row TEXT NOT NULL)")
        self._catch_up()

    def get(self, key: str) -> dict[str, Any] | None:
        """The last answer under this key; None where there is none. Failures are never returned."""
        found = self._db.execute("SELECT row FROM answers WHERE key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else None

    def add(self, key: str, row: dict[str, Any]) -> None:
        """Keeps an answer, or a failure (a row with "error"), which is only logged."""
        line = json.dumps({"key": key} | row, ensure_ascii=False)
        self._log.write(line + "\n")
        self._log.flush()
        if "error" not in row:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, line))

    def close(self) -> None:
        self._log.close()
        self._db.close()

    def _repair(self) -> None:
        if not self.path.is_file():
            return
        with self.path.open("rb+") as file:
            data = file.read()
            whole = data.rfind(b"\n") + 1
            file.truncate(whole)

    def _catch_up(self) -> None:
        known = {key for (key,) in self._db.execute("SELECT key FROM answers")}
        missing = [
            (row["key"], line) for row, line in self._rows() if "error" not in row and row["key"] not in known
        ]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", missing)
        self._db.execute("COMMIT")

    def _rows(self) -> Iterator[tuple[dict[str, Any], str]]:
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line), line.rstrip("\n")
