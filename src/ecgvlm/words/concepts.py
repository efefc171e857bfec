"""What people ask about by one name that several findings, or a limit, stand for (`data/concepts.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

from ecgvlm.labels import CHILDREN


@lru_cache
def concepts() -> dict[str, dict]:
    """What people ask about by one name and how it is judged."""
    return tomllib.loads((files("ecgvlm.words") / "data" / "concepts.toml").read_text("utf-8"))


def kinds_of(code: str) -> tuple[str, ...]:
    """The findings that are of the kind of another one."""
    return (*CHILDREN.get(code, ()), *concepts().get(code, {}).get("kinds", ()))


def limits_of(codes: Iterable[str]) -> list[tuple[str, str]]:
    """The measurement, and the side of its limits ("low", "high"), by which each of these findings is defined
    that is defined so."""
    defined = (concepts().get(code, {}).get("limit") for code in codes)
    return [(measure, side) for measure, side in filter(None, defined)]


@lru_cache
def wider() -> dict[str, frozenset[str]]:
    """What stands for several findings, with these, from the narrowest on."""
    of = {
        code: {code, *kinds_of(code), *concepts().get(code, {}).get("any", ())}
        for code in (*CHILDREN, *concepts())
    }
    several = {code: frozenset(kinds) for code, kinds in of.items() if len(kinds) > 1}
    return dict(sorted(several.items(), key=lambda row: len(row[1])))
