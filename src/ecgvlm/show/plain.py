"""What a terminal may be shown: foreign texts without commands to it, errors in one line."""

import sys
from collections.abc import Callable

from ecgvlm.errors import EcgError, UsageError


def plain(text: str) -> str:
    """A text without what a terminal obeys: escape sequences stay visible."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def run_plainly(command: Callable[[], object]) -> None:
    """Runs a command; what a user can act on ends this process with one line on standard error.

    Its status is then 1, or 2 where the command line or a recipe does not fit.
    """
    try:
        command()
        return
    except (EcgError, UsageError) as error:
        message, status = str(error), 2 if isinstance(error, UsageError) else 1
    except OSError as error:  # a full or read-only disk, wherever it is noticed
        message, status = f"{error.filename or 'writing'}: {error.strerror or error}", 1
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"ecgvlm: {plain(message)}", file=sys.stderr)
    sys.exit(status)
