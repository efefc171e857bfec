"""CSV of leads in mV over time, as `ecgvlm digitize` writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.errors import unreadable
from ecgvlm.files.leads import Part, cause, record_of
from ecgvlm.record import LEADS, Record


def is_csv(data: bytes) -> bool:
    return data[:10].removeprefix(b"\xef\xbb\xbf").startswith(b"time_s,")


def read_csv(path: str | Path) -> Record:
    """Leads in mV as `write_csv` writes them: header `time_s,I,...,V6`, an empty cell where unknown."""
    path = Path(path)
    try:
        return parse_csv(path.read_bytes(), str(path))
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def parse_csv(data: bytes, path: str) -> Record:
    """The bytes of such a file, called path in messages. Raises EcgError."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise unreadable(path, "not a text file") from error
    names = [name.strip() for name in lines[0].split(",")] if lines else []
    if len(names) < 2 or names[0] != "time_s":
        raise unreadable(path, "the first line must be time_s and lead names, as in time_s,I,II")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        cells = line.split(",")
        if len(cells) != len(names):
            raise unreadable(path, f"line {number} has {len(cells)} cells, not {len(names)}")
        try:
            rows.append([float(cell) if cell.strip() else np.nan for cell in cells])
        except ValueError as error:
            raise unreadable(path, f"line {number}: {cause(error)}") from error
    if len(rows) < 2:
        raise unreadable(path, "holds no samples")
    table = np.array(rows)
    steps = np.diff(table[:, 0])
    step = float(np.median(steps))
    # Times are written with six decimals: at 1000 Hz a step is off by up to 1e-6 s.
    if not (np.isfinite(steps).all() and step > 0 and np.abs(steps - step).max() <= 0.01 * step + 2e-6):
        raise unreadable(path, "time_s must rise in equal steps")
    fs = (len(table) - 1) / (table[-1, 0] - table[0, 0])
    return record_of([Part(names[1:], table[:, 1:].T, round(fs, 3))], path)


def csv_text(record: Record) -> str:
    """time_s and the twelve leads in mV, one sample a line, an empty cell where a lead is NaN."""
    lines = [",".join(("time_s", *LEADS))]
    for i, sample in enumerate(record.signal.T):
        lines.append(",".join((f"{i / record.fs:.6f}", *("" if np.isnan(v) else f"{v:.4f}" for v in sample))))
    return "\n".join(lines) + "\n"


def write_csv(record: Record, path: str | Path) -> None:
    """Writes a record as `csv_text` gives it."""
    write_file(path, csv_text(record).encode())
