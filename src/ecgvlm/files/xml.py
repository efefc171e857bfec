"""XML as electrocardiographs write it: no entities, nothing fetched, names without their name spaces."""

from __future__ import annotations

import base64
import re
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ecgvlm.errors import EcgError, unreadable

_MOST_TAGS = 2_000_000  # an annotated ECG has some thousands; a tag takes a hundred bytes of memory
_MOST_LEVELS = 60  # an annotated ECG has about fifteen; what looks below each tag takes their square


def is_xml(data: bytes) -> bool:
    """Whether a file starts as XML does."""
    return (
        data[:200].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith(b"<")
        and b"<svg" not in data[:1000].lower()
    )


def parse_xml(data: bytes, name: str) -> Element:
    """The root element, tags without name space in small letters. Raises EcgError."""
    if data.count(b"<") > _MOST_TAGS:
        raise EcgError("too_large", f"{name}: more than {_MOST_TAGS:,} XML tags; no ECG has so many")
    try:
        root = fromstring(_text(data) or data.lstrip())  # before the declaration there must be nothing
    except DefusedXmlException as error:
        raise unreadable(name, "XML with entities of its own is not read") from error
    except (ParseError, ValueError, LookupError) as error:
        raise unreadable(name, f"damaged XML ({error}); copy or export it again") from error
    level = [root]
    for _ in range(_MOST_LEVELS):
        level = [child for element in level for child in element]
    if level:
        raise unreadable(name, f"XML of more than {_MOST_LEVELS} levels; no ECG has so many")
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2].lower()
    return root


_LEAD_OFF = -32768
_DECLARATION = re.compile(rb"\s*<\?xml[^>]*\?>")
_DECLARED = re.compile(rb"encoding\s*=\s*[\"']([\w-]+)", re.IGNORECASE)


def _text(data: bytes) -> str | None:
    """The text of a file that is written otherwise than it says: in UTF-8 or in Windows' letters instead of
    UTF-16, ASCII or, in Windows' letters, UTF-8; None of any other."""
    declaration = _DECLARATION.match(data)
    declared = _DECLARED.search(declaration[0]) if declaration else None
    said = declared[1].lower().decode() if declared else "utf-8"
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or not said.startswith(("utf", "us-ascii", "ascii")):
        return None
    body = data[declaration.end() if declaration else 0 :]
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")
    return None if said in ("utf-8", "utf8") else text


def find(element: Element | None, path: str) -> Element | None:
    """The first element at a path of tags (small letters, "/" between them), each anywhere below the one
    before."""
    for tag in path.split("/"):
        element = None if element is None else next((e for e in element.iter(tag) if e is not element), None)
    return element


def text_of(element: Element | None, path: str = "") -> str:
    """The text of the first element at a path, "" where there is none."""
    found = find(element, path) if path else element
    return "" if found is None else "".join(found.itertext()).strip()


def first_text(element: Element | None, *paths: str) -> str:
    """The text at the first of some paths that holds any."""
    return next((text for path in paths if (text := text_of(element, path))), "")


def samples_of(element: Element | None) -> np.ndarray:
    """Samples in base64, 16 bit, little-endian; the lowest number, as while a lead is off, is NaN."""
    raw = base64.b64decode(text_of(element))
    values = np.frombuffer(raw[: len(raw) // 2 * 2], "<i2")
    return np.where(values == _LEAD_OFF, np.nan, values)
