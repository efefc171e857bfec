"""Problems that a user can act on."""

from __future__ import annotations

from pathlib import Path

_LONGEST = 500  # characters of a cause


class EcgError(Exception):
    """A problem the user can act on: one line that names the file and the cause, never a traceback.

    `code` is one of the contract's error codes: unreadable_file, not_an_ecg, too_large, too_small,
    unsupported_format.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple:  # as exceptions of several arguments must, to come out of another process
        return type(self), (self.code, self.message)


class UsageError(Exception):
    """A command, option or file of settings that does not fit: one line that says what to change.

    Not about a page: those raise `EcgError`, whose codes are the contract's.
    """


def unreadable(where: str | Path, cause: str) -> EcgError:
    """The error for a file that cannot be used, in one line whatever the cause's text looks like: a parser's
    may quote all of the file."""
    if len(cause) > _LONGEST:
        cause = f"{cause[:_LONGEST]} ..."
    return EcgError("unreadable_file", " ".join(f"{where}: {cause}".split()))
