"""Leads in columns of text, in the forms that spreadsheets, devices and programs write."""

import numpy as np
import pytest

from ecgvlm.errors import EcgError
from ecgvlm.files.csv import csv_text, is_csv, parse_csv
from ecgvlm.files.image import open_pages
from ecgvlm.record import LEADS, Record
from ecgvlm.simulate import random_simulation, simulate

RECORD = simulate(random_simulation(np.random.default_rng(3), "normal"), 3)[0]
TIMES = np.arange(RECORD.signal.shape[1]) / RECORD.fs


def table(delimiter=",", number="{:.4f}", times=None, scale=1.0, point="."):
    """The samples, a line each; times: the first column's texts."""
    lines = []
    for i, sample in enumerate(RECORD.signal.T * scale):
        cells = [number.format(value).replace(".", point) for value in sample]
        lines.append(delimiter.join(cells if times is None else [times(TIMES[i]), *cells]))
    return "\n".join(lines) + "\n"


def header(first="", delimiter=",", name="{}"):
    return delimiter.join(([first] if first else []) + [name.format(lead) for lead in LEADS]) + "\n"


MICRO = {"number": "{:.0f}", "scale": 1000.0}
FORMS = {
    "ours": csv_text(RECORD),
    "no times": header() + table(),
    "no names": table(" "),
    "decimal commas": header("Zeit", ";")
    + table(";", times=lambda t: f"{t:.3f}".replace(".", ","), point=","),
    "units beside names": header("time (s)", name="{} (mV)") + table(times="{:.3f}".format),
    "microvolts and ms": header("time_ms", name="{}[µV]") + table(times=lambda t: f"{1000 * t:.0f}", **MICRO),
    "units below": header("Time", ";")
    + ";".join(["ms", *["uV"] * 12])
    + "\n"
    + table(";", times=lambda t: f"{1000 * t:.0f}", **MICRO),
    "microvolts unsaid": header() + table(**MICRO),
    "PhysioBank's": header("'Elapsed time'", name="'{}'").lower()
    + ",".join(["'hh:mm:ss.mmm'", *["'mV'"] * 12])
    + "\n"
    + table(times=lambda t: f"'0:{t:06.3f}'"),
    "rate and unit before": f"Name,Doe\nSampling rate: {RECORD.fs:g} Hz\nUnit: uV\n\n"
    + header(name="Lead {}")
    + table(**MICRO),
    "numbered lines": header("no").replace("no", "") + table(times=lambda t: str(round(t * RECORD.fs))),
    "timestamps": header("timestamp") + table(times=lambda t: f"{1.7e9 + t:.3f}"),
    "timestamps in ns": header("Time_stamp") + table(times=lambda t: f"{1.7e18 + t * 1e9:.0f}"),
    "microseconds": header("time [us]") + table(times=lambda t: f"{t * 1e6:.0f}"),
    "minutes": header("time_min") + table(times=lambda t: f"{t / 60:.9f}"),
    "another minus": header() + table().replace("-", "\N{MINUS SIGN}"),
    "dated": header("timestamp").replace("timestamp", "Time")
    + table(
        times=lambda t: f"2024-02-28T23:59:{59 + t:06.3f}Z" if t < 1 else f"2024-02-29 00:00:{t - 1:06.3f}"
    ),
    "delimiters at ends": header() + table().replace("\n", ",\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    data = FORMS[name].encode()
    assert is_csv(data[:8192])
    record = parse_csv(data, "a.csv")
    assert record.fs == RECORD.fs
    assert np.nanmax(np.abs(record.signal - RECORD.signal)) < 0.001


@pytest.mark.parametrize("name", ["timestamps", "timestamps in ns", "microseconds", "minutes", "dated"])
def test_times_count_whatever_they_are_called(name):
    """Four seconds were taken for ten, the rate for less than half the heart's."""
    lines = FORMS[name].splitlines()[:2001]
    assert parse_csv("\n".join(lines).encode(), "a.csv").fs == RECORD.fs


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding):
    text = header("time (ms)", ";", "{} (µV)") + table(";", times=lambda t: f"{1000 * t:.0f}", **MICRO)
    [page] = open_pages(text.replace("\n", "\r\n").encode(encoding), "a.txt")
    record = page.load()
    assert isinstance(record, Record)
    assert np.nanmax(np.abs(record.signal - RECORD.signal)) < 0.001


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (header() + table().replace("\n", "\noops", 1), "line 3: could not convert"),
        (header("Time") + table(times="{:.3f}".format).replace("\n0.3", "\n0.9", 1), "must rise in equal"),
        (header() + "1,2,3\n", "line 2 has 3 cells, not 12"),
        (header() + table()[:2000], "cells, not 12"),
        (header(), "holds no samples"),
        (header().strip() + "," * 1_000_000 + "\n" + table(), "no line names the leads"),
        (header() + "\n".join(table().splitlines()[:100]), "not ten seconds"),
    ],
)  # fmt: skip
def test_damage_is_named(text, named):
    with pytest.raises(EcgError, match=named):
        parse_csv(text.encode(), "a.csv")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n\n", b"file,labels\na.png,NORM\n", b'<leads names="I II III aVR">',
        b"%PDF-1.4\nI,II,III,\0", b"a\x81\x90", b"_" * 8000 + b"\n" + b" " * 90,
    ],
)  # fmt: skip
def test_what_is_no_table_of_leads(data):
    assert not is_csv(data)
