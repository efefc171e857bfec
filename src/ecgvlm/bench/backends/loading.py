"""Loading a model of transformers so that it is the one that was asked for, to the last tensor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecgvlm.errors import EcgError, UsageError, unreadable


def load_checked(auto_class: Any, source: str | Path, more: bool = False, **options: Any) -> Any:
    """`auto_class.from_pretrained(source, **options)`, whole. more: the source may hold more than that.

    Raises EcgError where it cannot be read, or a tensor is missing, unexpected or of another shape (which
    transformers fills with random numbers), UsageError where a package is missing.
    """
    try:
        # A tensor of another shape is reported instead of raised, so that it can be named.
        net, info = auto_class.from_pretrained(
            source, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        said = str(error).strip() or type(error).__name__
        raise unreadable(f"model {source}", said.splitlines()[0]) from None
    except ImportError as error:
        raise UsageError(f"model {source} needs a package: {str(error).strip().splitlines()[0]}") from None
    check_tensors(source, {**info, "unexpected_keys": ()} if more else info)
    return net


def check_tensors(source: str | Path, info: dict[str, Any]) -> None:
    """Raises EcgError where transformers' loading info names tensors left out, unknown or misshapen."""
    for what, keys in (
        ("missing", info.get("missing_keys")),
        ("unexpected", info.get("unexpected_keys")),
        ("of another shape", info.get("mismatched_keys")),
    ):
        if keys:
            first = sorted(map(str, keys))[0]
            raise EcgError("unsupported_format", f"{source}: {len(keys)} tensors are {what}, {first} first")
