"""Records as files that tests read."""

from __future__ import annotations

from pathlib import Path

from ecgvlm.atomic import write_file
from ecgvlm.files.csv import csv_text
from ecgvlm.record import Record


def write_csv(path: Path, record: Record) -> None:
    """As `ecgvlm digitize` writes it."""
    write_file(path, csv_text(record).encode())
