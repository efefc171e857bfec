"""Problems that a user can act on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

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


@dataclass(frozen=True)
class Unloadable:
    """In place of what would load a page or a record that cannot be: raises its error when it is called.

    It is not the error itself, whose traceback would hold what was unpacked.
    """

    code: str
    message: str

    @classmethod
    def of(cls, error: EcgError) -> Unloadable:
        return cls(error.code, error.message)

    def __call__(self) -> NoReturn:
        raise EcgError(self.code, self.message)


def unreadable(where: str | Path, cause: str | OSError) -> EcgError:
    """The error for a file that cannot be used, in one line whatever the cause's text looks like: a parser's
    may quote all of the file. Of an OSError the system's words are said, without the path."""
    if isinstance(cause, OSError):
        cause = cause.strerror or str(cause)
    if len(cause) > _LONGEST:
        cause = f"{cause[:_LONGEST]} ..."
    return EcgError("unreadable_file", " ".join(f"{where}: {cause}".split()))


def unwritable(where: str | Path, error: OSError) -> EcgError:
    """The error for a file or a folder that cannot be written."""
    return unreadable(where, f"cannot be written ({error.strerror or error})")
