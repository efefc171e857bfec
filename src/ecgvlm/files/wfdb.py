"""WFDB records (PhysioNet): headers as they occur are put right before the `wfdb` package reads them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.leads import Part, age_of, damaged, in_mv, lead_row, record_of, sex_of
from ecgvlm.record import Record

_ONE_MV = 0.01  # mV by which a height of 1 mV may be missed
_NO_SUM = 0.05  # part of lead II that I and III leave where they are not its parts
_MICRO = re.compile(r"/[\u00b5\u03bc\ufffd]V\b", re.IGNORECASE)  # in UTF-8, or in Latin-1 read as that
# "Age: 56", "Age: 056Y" or "56 years" in most collections, "<age>: 56 <sex>: F <diagnoses> ..." or "69 M" in
# older ones
_AGE = re.compile(r"\bage>?\s*[:=]\s*(\d+(?:[.,]\d+)?)|^(\d{1,3}) [MF]\b", re.IGNORECASE | re.MULTILINE)
_SEX = re.compile(r"\b(?:sex|gender)>?\s*[:=]\s*([a-z]+)|^\d{1,3} ([MF])\b", re.IGNORECASE | re.MULTILINE)


def read_wfdb(path: str | Path) -> Record:
    """A WFDB record (path without ending): any lead order, lead name, gain and voltage unit; of several
    segments, what lies between them (`~`) is unknown signal.

    Age and sex are taken from header comments such as `# Age: 56`. Raises EcgError where the header or a
    signal file is missing, truncated or damaged, a gain is not positive, or a signal is not a voltage.
    """
    header = _header_of(path)
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
        if _segments(text) is None:
            parts, comments = _signals(path)
        else:
            parts, comments = _joined(text, header)
    except Exception as error:  # wfdb raises whatever its parsing stumbles on, down to bare Exception
        raise damaged(path, "WFDB record", error) from error
    age, sex = _AGE.search(comments), _SEX.search(comments)
    return record_of(
        parts,
        path,
        age=age_of(age[1] or age[2]) if age else None,
        sex=sex_of(sex[1] or sex[2]) if sex else None,
    )


def _header_of(path: str | Path) -> Path:
    """The header of a record. Raises EcgError where there is none."""
    header = Path(f"{path}.hea")
    if (found := _in_any_case(header)) is None:
        raise unreadable(header, "no such file (a WFDB record is named without its ending)")
    return found


def _joined(header: str, path: Path) -> tuple[list[Part], str]:
    """The parts of a record of several segments, each at its time, and all comments. Raises EcgError."""
    parts, comments, done = [], [_comments(header)], 0
    for name, length in _segments(header) or ():
        if name != "~" and length:  # of length 0 is a layout, which has no signal
            inside, said = _signals(path.parent / name)
            parts += [replace(part, start=done / part.fs) for part in inside]
            comments.append(said)
        done += length
    if not parts:
        raise ValueError("it has no segment with a signal")
    return parts, "\n".join(comments)


def _signals(path: str | Path) -> tuple[list[Part], str]:
    """The signals of a record of one segment in mV, and the comments of its header. Raises EcgError and
    whatever wfdb raises."""
    import wfdb  # here, not above: it takes longer to import than a page takes to read

    header = _header_of(path)
    text = header.read_text(encoding="utf-8", errors="replace")
    if _segments(text) is not None:
        raise ValueError(f"{header.name}: a segment cannot have segments")
    try:
        _check_gains(text)
        # wfdb reads ASCII only and would take microvolts for volts.
        plain, files = _plain_header(_MICRO.sub("/uV", text), header.stem, header.parent)
        with TemporaryDirectory(prefix="ecgvlm-") as folder:
            usual = header == Path(f"{path}.hea") and all(p == header.parent / n for n, p in files)
            where = path if usual and plain == text else _copy(Path(folder), header.stem, plain, files)
            record = wfdb.rdrecord(str(where))
    except FileNotFoundError as error:
        raise EcgError("unreadable_file", f"{error.filename or path}: no such file") from error
    names = [name or "" for name in record.sig_name]
    # Beside leads there may be breath, pulse, pressure ... in units of their own.
    kept = [i for i, name in enumerate(names) if lead_row(name) is not None] or range(len(names))
    names, units = [names[i] for i in kept], [record.units[i] for i in kept]
    stored = record.p_signal.T[kept]
    signal = stored * np.array([in_mv(unit, header, name) for name, unit in zip(names, units)])[:, None]
    counts = stored * np.array(record.adc_gain)[kept, None]
    if _each_one_mv(names, signal, counts):
        signal = counts * 1e-3
    return [Part(names, signal, record.fs)], _comments(text)


def _each_one_mv(names: Sequence[str], signal: np.ndarray, counts: np.ndarray) -> bool:
    """Whether a header's gains are no gains of an amplifier: they make every lead 1 mV high, and lead II is
    the sum of I and III as stored, but not in mV.

    So does LUDB 1.0.1 (Kalyakulina et al. 2020), which stores microvolts.
    """
    row = {lead_row(name): i for i, name in enumerate(names)}
    limb = [row[lead] for lead in range(3) if lead in row]
    heights = np.fmax.reduce(signal, axis=1) - np.fmin.reduce(signal, axis=1)
    if len(limb) < 3 or not (np.abs(heights - 1) < _ONE_MV).all():
        return False
    left, stored = (
        np.nanstd(two - one - three) / np.nanstd(two) for one, two, three in (signal[limb], counts[limb])
    )
    return bool(stored < _NO_SUM < left)


def files_named(header: str) -> list[str]:
    """The names of the files that a header names, without folders: of signals, or the headers of
    segments."""
    segments = _segments(header)
    if segments is None:
        return [_plain_name(line.split()[0]) for line in _lines(header)[1:]]
    return [f"{name}.hea" for name, _ in segments if name != "~"]


def files_beside(header: str, text: bytes, read: Callable[[str], bytes | None]) -> dict[str, bytes]:
    """Path -> contents of the files in a header's folder that it names, and of those that its segments name.

    text: the header's own contents. read: a path's contents, None where there is no such file.
    """
    folder = header.rpartition("/")[0]
    found: dict[str, bytes] = {}
    headers = [text]
    for one in headers:
        for said in files_named(one.decode("utf-8", "replace")):
            path = f"{folder}/{said}" if folder else said
            data = None if path == header or path in found else read(path)
            if data is not None:
                found[path] = data
                headers += [data] * said.lower().endswith(".hea")
    return found


def parse_wfdb(header: bytes, files: Sequence[tuple[str, bytes]], name: str) -> Record:
    """A WFDB record whose files are at hand: its header, and names and contents of the files that it names.
    Raises EcgError."""
    with TemporaryDirectory(prefix="ecgvlm-") as folder:
        for path, data in files:
            (Path(folder) / _plain_name(path)).write_bytes(data)
        (Path(folder) / "record.hea").write_bytes(header)
        try:
            return replace(read_wfdb(Path(folder) / "record"), source=name)
        except EcgError as error:
            raise EcgError(error.code, error.message.replace(f"{folder}/record", name)) from None


def _check_gains(header: str) -> None:
    """ValueError where a lead of a WFDB header is uncalibrated: wfdb would take 200 units for 1 mV then."""
    for line in _lines(header)[1:]:
        called = line.split(maxsplit=8)[8:]
        if called and lead_row(called[0]) is None:
            continue
        match = re.match(r"\S+\s+\S+\s+([^\s(/]+)", line)
        if match is None or not float(match[1]) > 0:
            raise ValueError("a signal has no gain above zero, so its millivolts are unknown")


def _lines(header: str) -> list[str]:
    return [line for line in header.splitlines() if line.strip() and not line.startswith("#")]


def _comments(header: str) -> str:
    return "\n".join(line[1:].strip() for line in header.splitlines() if line.startswith("#"))


def _segments(header: str) -> list[tuple[str, int]] | None:
    """Names, without folders, and lengths in samples of a record's segments; None of a record that has none.
    Raises ValueError."""
    lines = _lines(header)
    if not lines or not re.fullmatch(r"[^/]+/\d+", lines[0].split()[0]):
        return None
    fields = [line.split() for line in lines[1:]]
    if any(len(field) < 2 or not field[1].isdecimal() for field in fields):
        raise ValueError("a segment has no name or no length")
    return [(_plain_name(field[0]), int(field[1])) for field in fields]


def _plain_name(path: str) -> str:
    """A file's name without its folder, of whatever system."""
    return re.sub(r".*[/\\]", "", path)


def _plain_header(text: str, stem: str, folder: Path) -> tuple[str, Sequence[tuple[str, Path]]]:
    """The header without what wfdb stumbles over: a folder or an ending in the record's name, dates of a year
    alone, a length of 0 for an unknown one, folders before signal files. With it, the name there of each
    signal file and where it lies."""
    lines = text.splitlines()
    at = next((i for i, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if at is None:
        return text, ()
    fields = lines[at].split()
    # What follows rate and length is the base time and date, which nothing here needs.
    length = [said for said in fields[3:4] if said != "0"]
    name = re.sub(r".*[/\\]|\.(mat|hea|dat)$", "", fields[0]) or stem
    lines[at] = " ".join([name, *fields[1:3], *length])
    files = {}
    for i, line in enumerate(lines[at + 1 :], start=at + 1):
        if not line.strip() or line.startswith("#"):
            continue
        said, rest = line.split(maxsplit=1)
        plain = _plain_name(said)
        below = (folder / said).resolve().is_relative_to(folder.resolve())  # no header reads files elsewhere
        place = _in_any_case(folder / said if below and (folder / said).is_file() else folder / plain)
        if place is None:
            raise FileNotFoundError(2, "no such file", str(folder / said))
        files[plain] = place
        lines[i] = f"{plain} {rest}"
    return ("\n".join(lines) + "\n" if lines != text.splitlines() else text), tuple(files.items())


def _in_any_case(path: Path) -> Path | None:
    """The file, or else the one of this name in other letters, as they come from Windows; None for none."""
    if path.is_file() or not path.parent.is_dir():
        return path if path.is_file() else None
    return next((p for p in sorted(path.parent.iterdir()) if p.name.lower() == path.name.lower()), None)


def _copy(folder: Path, stem: str, header: str, files: Sequence[tuple[str, Path]]) -> Path:
    """A record of its own in another folder: the header put right, its signal files beside it."""
    (folder / f"{stem}.hea").write_text(
        re.sub(r"^(?!#)\S+", stem, header, count=1, flags=re.MULTILINE), "utf-8"
    )
    for name, place in files:
        shutil.copyfile(place, folder / name)
    return folder / stem
