"""What a JSON schema wants of the object of /v1/read: picked, or refused before a page is read.

Each word of a schema that promises something is kept: what it says of types and of the names of fields is
compared with the object's own schema; what says more than these (enum, maxLength, pattern ...) is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

_REMARKS = {
    "title",
    "description",
    "default",
    "examples",
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
}
_KEPT = {"type", "properties", "required", "additionalProperties", "items", "anyOf", "$ref"}
_ALONE = {"anyOf", "$ref"}  # of these
_DEEPEST, _MOST = 20, 5000  # forms within each other, and in all: a reference may lead to itself
_TYPES = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}


class Wanted:
    """A schema beside that of what is given. Raises ValueError where what is given is not, or need not be, as
    the schema says. pick: gives the wanted part of what is given.
    """

    def __init__(self, schema: Any, given: dict[str, Any]):
        self._schema, self._given = schema, given
        self._forms_left = _MOST
        self.pick = self._fit(schema, given, "")

    def _fit(self, schema: Any, given: Any, where: str) -> Callable[[Any], Any]:
        """Each form that what is given may have must be a wanted one."""
        wanted = list(self._forms(schema, self._schema))
        picks = {
            form.get("type"): self._fit_form(wanted, form, where) for form in self._forms(given, self._given)
        }
        return lambda value: picks.get(_TYPES.get(type(value), "null"), _whole)(value)

    def _fit_form(
        self, wanted: list[dict[str, Any]], given: dict[str, Any], where: str
    ) -> Callable[[Any], Any]:
        kind = given.get("type")
        fits = (kind, "number") if kind == "integer" else (kind,)
        cause = ValueError(f"{where or 'the answer'} is {kind or 'of any type'}")
        for form in wanted:
            named = form.get("properties") or form.get("required")
            if form.get("type", "object" if named else kind) not in fits:
                continue
            try:
                if kind == "array":
                    pick = self._fit(form.get("items", True), given.get("items", True), f"{where}[]")
                    return lambda values: [pick(value) for value in values]
                return self._fit_object(form, given, where) if kind == "object" else _whole
            except ValueError as error:
                cause = error
        raise cause

    def _fit_object(self, wanted: dict[str, Any], given: dict[str, Any], where: str) -> Callable[[Any], Any]:
        has, names = given.get("properties", {}), wanted.get("properties", {})
        for name in (*names, *wanted.get("required", ())):
            if name not in has:
                there = f", but with {', '.join(has)}" if has else ""
                raise ValueError(f"{where or '/v1/read'} answers with no {name!r}{there}")
            if names and name not in names:
                raise ValueError(f"{name!r} is required, and none of the properties")
        inside = f"{where}." if where else ""
        if names:
            picks = {name: self._fit(form, has[name], inside + name) for name, form in names.items()}
            return lambda value: {name: pick(value.get(name)) for name, pick in picks.items()}
        rest = wanted.get("additionalProperties", True)
        picks = {name: self._fit(rest, form, inside + name) for name, form in has.items()}
        other = self._fit(rest, given.get("additionalProperties", False), f"{inside}*")
        return lambda value: {name: picks.get(name, other)(part) for name, part in value.items()}

    def _forms(self, schema: Any, root: Any, within: int = 0) -> Iterator[dict[str, Any]]:
        """The forms that a schema allows, each of one type or of any."""
        self._forms_left -= 1
        if within > _DEEPEST or self._forms_left < 0:
            raise ValueError("the schema has too many forms")
        if isinstance(schema, bool):
            yield from [{}] * schema
            return
        if root is self._schema:
            _check(schema)
        if "$ref" in schema:
            yield from self._forms(_found(root, schema["$ref"]), root, within + 1)
        elif "anyOf" in schema:
            for form in schema["anyOf"]:
                yield from self._forms(form, root, within + 1)
        else:
            kinds = schema.get("type")
            for kind in kinds if isinstance(kinds, list) else [kinds]:
                yield {**schema, "type": kind} if kind else schema


def _whole(value: Any) -> Any:
    return value


def _check(schema: Any) -> None:
    """Raises ValueError where a schema is none, or says more than is kept."""
    types = {"properties": dict, "required": list, "anyOf": list, "$ref": str}
    if not isinstance(schema, dict) or not all(
        isinstance(schema.get(name, kind()), kind) for name, kind in types.items()
    ):
        raise ValueError("not a JSON schema")
    said = schema.keys() - _REMARKS
    if more := said - _KEPT:
        raise ValueError(f"{min(more)} is not supported")
    if len(said) > 1 and said & _ALONE:
        raise ValueError(f"{min(said & _ALONE)} beside {min(said - _ALONE, default='$ref')} is not supported")
    if not all(isinstance(name, str) for name in schema.get("required", ())):
        raise ValueError("required: the names of fields")


def _found(root: Any, reference: str) -> Any:
    """What a reference within a schema leads to."""
    start, *path = reference.split("/")
    found = root if start == "#" else None
    for part in path:
        found = found.get(part) if isinstance(found, dict) else None
    return found
