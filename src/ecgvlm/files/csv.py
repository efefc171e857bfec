"""Leads in columns of text: CSV as `ecgvlm digitize` writes it, and as others export it.

The header is the line that names leads; lines before it may tell sampling rate and unit. Columns are parted
by commas, semicolons, tabs, bars or blanks, and numbers may have decimal commas. A unit stands beside a
lead's name ("I (mV)", "V1_uV"), in a line below the header or before it; where there is none, the swing tells
uV from mV. Without a header, twelve columns are the leads in their usual order.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leads import MV, Part, assumed_mv, assumed_rate, cause, lead_row, number, record_of
from ecgvlm.files.xml import is_xml
from ecgvlm.record import LEADS, Record

HEAD = 8192  # bytes within which a header stands
_OURS = "time_s"
_DELIMITERS = (",", ";", "\t", "|", " ")
_PREFACE = 60  # lines that may stand before it
_FEWEST = 3  # leads that a header names
_LONGEST = 40  # characters of a column's name; longer ones name no lead
_NAMED = re.compile(r"(?P<name>.+?)(?:\s*[(\[/,]\s*|[ _]+)(?P<unit>[munµμ\ufffd]?V)\s*[)\]]?", re.IGNORECASE)
_TIME = re.compile(
    r"(?:elapsed[ _])?(?:time(?:[ _]?stamps?)?|datetime|epoch|ts|t|zeit|temps|tiempo|tempo|czas|tijd"
    r"|sec\w*|[munµμ]?s|milli\w*|micro\w*)[ _]*"
    r"[(\[]?(?P<unit>[munµμ]?s|sec\w*|milli\w*|micro\w*|min\w*)?[)\]]?",
    re.IGNORECASE,
)
# Units of time by their first letters, so many in a second; where none is said, by the step between samples.
_A_SECOND = {"min": 1 / 60, "ms": 1e3, "mil": 1e3, "us": 1e6, "µs": 1e6, "μs": 1e6, "mic": 1e6, "ns": 1e9}
_BY_STEP = ((0.1, 1.0), (100.0, 1e3), (1e5, 1e6), (np.inf, 1e9))
_MISSING = {"", "-", "na", "n/a", "nan", "null", "none"}
_NEAR = date(2000, 1, 1)  # so that seconds since keep their microseconds
_DATED = re.compile(
    r"(\d{4})[-/.](\d\d)[-/.](\d\d)[T ](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?(?:Z|[+-]\d\d:?\d\d)?"
)
_SAID_RATE = re.compile(
    r"(?:sampl|abtast|muestr|échant|campion|amostr|дискрет|\bfs\b)\D{0,24}(\d+(?:[.,]\d+)?)", re.IGNORECASE
)
_SAID_UNIT = re.compile(r"\b(?:units?|einheit|amplitude)\W{1,4}([munµμ]?V)\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Header:
    """names, units: of the columns. first: index of the first line of samples. before: the lines above."""

    names: list[str]
    units: list[str | None]
    delimiter: str
    first: int
    before: str


def is_csv(data: bytes) -> bool:
    """Whether a file, of which `HEAD` bytes are enough, holds leads in columns."""
    if is_xml(data) or data.lstrip()[:1] in (b"<", b"{"):
        return False
    try:
        return _header(_decoded(data[:HEAD]).splitlines()) is not None
    except UnicodeDecodeError:
        return False


def parse_csv(data: bytes, path: str) -> Record:
    """The leads in a file's bytes, called path in messages; an empty cell is NaN. Raises EcgError."""
    try:
        lines = _decoded(data).splitlines()
    except UnicodeDecodeError as error:
        raise unreadable(path, "not a text file") from error
    header = _header(lines)
    if header is None:
        raise unreadable(path, "no line names the leads, as in time_s,I,II")
    table = _samples(lines, header, path)
    leads = [k for k, name in enumerate(header.names) if lead_row(name) is not None]
    signal = table[:, leads].T
    units = [header.units[k] for k in leads]
    if any(units):
        signal = signal * np.array([[MV[(unit or "mV").lower()]] for unit in units])
    elif header.names[0] != _OURS:
        signal = assumed_mv(signal)
    return record_of([Part([header.names[k] for k in leads], signal, _rate(table, header, path))], path)


def _decoded(data: bytes) -> str:
    """The text, in whichever encoding spreadsheets and devices write. Raises UnicodeDecodeError."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data[: len(data) // 2 * 2].decode("utf-16")
    if b"\0" in data:
        raise UnicodeDecodeError("utf-8", data[:1], 0, 1, "a zero byte is no text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _header(lines: Sequence[str]) -> _Header | None:
    """Where the leads are named, or else the first line of twelve numbers."""
    for i, line in enumerate(lines[:_PREFACE]):
        if len(line) > HEAD:  # no header, and a long time to take apart
            break
        for delimiter in _DELIMITERS:
            cells = _cells(line.lstrip("#% "), delimiter)
            names, units = map(list, zip(*map(_named, cells)))
            found = sum(lead_row(name) is not None for name in names)
            before = "\n".join(lines[:i])
            if (found >= _FEWEST and 2 * found >= len(cells)) or (names[0] == _OURS and found):
                return _with_units(lines, _Header(names, units, delimiter, i + 1, before))
            if len(cells) == len(LEADS) and all(number(cell) is not None for cell in cells):
                return _Header(list(LEADS), [_said_unit(before)] * len(LEADS), delimiter, i, before)
    return None


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split() or [""]
    try:
        cells = next(csv.reader([line], delimiter=delimiter)) if '"' in line else line.split(delimiter)
    except csv.Error:  # a cell beyond all bounds
        cells = [line]
    return [cell.strip(" '\t") for cell in cells]


def _named(cell: str) -> tuple[str, str | None]:
    """What a column is called, and its unit."""
    match = _NAMED.fullmatch(cell[:_LONGEST])
    if match is None or lead_row(match["name"]) is None:
        return cell[:_LONGEST], None
    return match["name"], match["unit"]


def _with_units(lines: Sequence[str], header: _Header) -> _Header:
    """The header with the units that stand in the line below it, or before it."""
    below = _cells(lines[header.first], header.delimiter) if header.first < len(lines) else []
    if len(below) == len(header.names) and any(cell.strip("()[]").lower() in MV for cell in below):
        bare = [cell.strip("()[]") for cell in below]
        units = [cell if cell.lower() in MV else None for cell in bare]
        return replace(header, units=units, first=header.first + 1)
    said = _said_unit(header.before)
    return replace(header, units=[unit or said for unit in header.units])


def _said_unit(before: str) -> str | None:
    said = _SAID_UNIT.search(before)
    return said[1] if said else None


def _samples(lines: Sequence[str], header: _Header, path: str) -> np.ndarray:
    """[n, columns]. Raises EcgError where a line does not fit the header."""
    rows = []
    for at, line in enumerate(lines[header.first :], start=header.first + 1):
        if not line.strip():
            continue
        cells = _cells(line, header.delimiter)
        while len(cells) > len(header.names) and not cells[-1]:  # a delimiter ends each line
            cells.pop()
        if len(cells) != len(header.names):
            raise unreadable(path, f"line {at} has {len(cells)} cells, not {len(header.names)}")
        try:
            rows.append([_value(cell, name) for cell, name in zip(cells, header.names)])
        except ValueError as error:
            raise unreadable(path, f"line {at}: {cause(error)}") from error
    if len(rows) < 2:
        raise unreadable(path, "holds no samples")
    return np.array(rows)


def _value(cell: str, name: str) -> float:
    """A cell's number: of times also as 0:01.25 or with their date, of columns that are no leads NaN where
    they are in words. Raises ValueError."""
    try:
        return float(cell)
    except ValueError:
        if cell.lower() in _MISSING:
            return np.nan
    text = cell.replace(",", ".").replace("\N{MINUS SIGN}", "-")
    if lead_row(name) is not None:
        return float(text)
    if dated := _DATED.fullmatch(text):
        day = date(int(dated[1]), int(dated[2]), int(dated[3]))
        return 86400.0 * (day - _NEAR).days + 3600 * int(dated[4]) + 60 * int(dated[5]) + float(dated[6] or 0)
    try:
        minutes, _, seconds = text.rpartition(":")
        return 60 * sum(60.0**k * float(x) for k, x in enumerate(reversed(minutes.split(":"))) if x) + float(
            seconds
        )
    except ValueError:
        if name == _OURS:
            raise
        return np.nan


def _rate(table: np.ndarray, header: _Header, path: str) -> float:
    """Hz by the column of times, or else as the lines before say, or else as ten seconds have it."""
    times = ((k, match) for k, name in enumerate(header.names) if (match := _TIME.fullmatch(name)))
    column, match = next(times, (None, None))
    if column is None or match is None:
        told = _SAID_RATE.search(header.before)
        return (number(told[1]) if told else None) or assumed_rate(len(table), path)
    steps = np.diff(table[:, column])
    step = float(np.median(steps))
    # Times are rounded: with six decimals, at 1000 Hz a step is off by up to 1e-6 s.
    name, rounding = header.names[column], 0.01 * step + 2e-6
    if name != _OURS:
        rounding = max(rounding, min(0.6 * step, _last_place(table[:50, column])))
    if not (np.isfinite(steps).all() and step > 0 and np.abs(steps - step).max() <= rounding):
        raise unreadable(path, f"{name} must rise in equal steps")
    rate = (len(table) - 1) / (table[-1, column] - table[0, column])
    said = (match["unit"] or name)[:3].lower()
    by_step = next(count for largest, count in _BY_STEP if step < largest)
    return round(rate * _A_SECOND.get(said, by_step), 3)


def _last_place(times: np.ndarray) -> float:
    """What the last decimal of times is worth."""
    return next((10.0**-k for k in range(6) if np.allclose(times, times.round(k), rtol=0, atol=1e-9)), 1e-6)


def csv_text(record: Record) -> str:
    """time_s and the twelve leads in mV, one sample a line, an empty cell where a lead is NaN."""
    lines = [",".join(("time_s", *LEADS))]
    for i, sample in enumerate(record.signal.T):
        lines.append(",".join((f"{i / record.fs:.6f}", *("" if np.isnan(v) else f"{v:.4f}" for v in sample))))
    return "\n".join(lines) + "\n"
