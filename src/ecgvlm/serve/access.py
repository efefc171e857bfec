"""Who may use the server, and how often: API keys, kept as hashes, and a rate for each."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ecgvlm.errors import UsageError, unreadable, unwritable

PER_MINUTE = 120
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")


@dataclass
class Owner:
    """Who holds a key. per_minute: requests allowed, as many of them at once."""

    name: str
    per_minute: int
    _tokens: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._tokens, self._at = float(self.per_minute), time.monotonic()

    def wait(self) -> float:
        """Takes one request from the allowance: 0.0, or the seconds until the next is allowed."""
        now = time.monotonic()
        self._tokens = min(self.per_minute, self._tokens + (now - self._at) * self.per_minute / 60)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) * 60 / self.per_minute
        self._tokens -= 1
        return 0.0


class Keys:
    """The keys of a file: one a line, NAME HASH PER_MINUTE, written by `add_key`."""

    def __init__(self, owners: Mapping[str, Owner]):
        self._owners = owners

    @classmethod
    def load(cls, path: Path) -> Keys:
        """Raises EcgError where the file cannot be used, or names no key."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise unreadable(path, f"cannot be read ({cause})") from error
        owners = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            try:
                name, digest, per_minute = line.split()
                owners[digest] = Owner(name, int(per_minute))
                if owners[digest].per_minute < 1:
                    raise ValueError("no requests at all")
            except ValueError as error:
                raise unreadable(path, f"line {number} must be NAME HASH PER_MINUTE") from error
        if not owners:
            raise unreadable(path, "holds no key; make one with `ecgvlm serve --new-key NAME --keys FILE`")
        return cls(owners)

    def owner(self, key: str) -> Owner | None:
        """Who holds a key. It is looked up by its hash, so that time tells nothing about it."""
        return self._owners.get(_digest(key))


def add_key(path: Path, name: str, per_minute: int = PER_MINUTE) -> str:
    """Makes a key, appends its hash to a file that only its owner may read, and returns it.

    The key itself is kept nowhere. Raises UsageError where the name is no plain word, EcgError where the file
    cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r}: a key's name is 1 to 40 letters, digits, _ . or -")
    key = f"ecg_{secrets.token_urlsafe(32)}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(f"{name} {_digest(key)} {per_minute}\n")
    except OSError as error:
        raise unwritable(path, error) from error
    return key


def _digest(key: str) -> str:
    """SHA-256 will do: keys are 256 random bits, not words that could be guessed."""
    return hashlib.sha256(key.encode()).hexdigest()
