"""An ECG record from whatever file it comes in; every format has a module of its own.

| file | module |
|---|---|
| WFDB record | `wfdb` |
| CODE-15%'s HDF5 | `code15` |
| leads in columns of text | `csv` |
| DICOM waveform | `waveform` |
| GE MUSE XML, Philips Sierra XML, HL7 annotated ECG | `muse`, `sierra`, `aecg` |
| SCP-ECG, EDF and BDF, ISHNE Holter | `scp`, `edf`, `ishne` |
| NumPy arrays, MATLAB files | `npy`, `mat` |
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files import aecg, muse, sierra
from ecgvlm.files.code15 import read_code15
from ecgvlm.files.csv import is_csv, parse_csv
from ecgvlm.files.edf import is_edf, read_edf
from ecgvlm.files.ishne import is_ishne, read_ishne
from ecgvlm.files.leads import damaged
from ecgvlm.files.leaf import Leaf, numbered
from ecgvlm.files.mat import is_mat, read_mat
from ecgvlm.files.npy import count_npy, is_npy, read_npy
from ecgvlm.files.scp import is_scp, read_scp
from ecgvlm.files.wfdb import read_wfdb
from ecgvlm.files.xml import is_xml, parse_xml
from ecgvlm.record import Record

_HDF5 = (".hdf5", ".h5")
_XML = {muse.ROOT: muse.read_muse, sierra.ROOT: sierra.read_sierra, aecg.ROOT: aecg.read_aecg}


def read_xml(data: bytes, name: str) -> Record:
    """An ECG in the XML of GE MUSE, Philips Sierra or HL7. Raises EcgError where it is another."""
    root = parse_xml(data, name)
    read = _XML.get(root.tag)
    if read is None:
        known = "GE MUSE, Philips Sierra and HL7 annotated ECG"
        raise EcgError(
            "unsupported_format", f"{name}: XML of the kind {root.tag[:40]!r} is not read; {known} are"
        )
    return read(root, name)


# How a format is told, what it is called, and who reads it. A format is added by a line.
_FORMATS: tuple[tuple[Callable[[bytes], bool], str, Callable[[bytes, str], Record]], ...] = (
    (is_csv, "CSV of leads", parse_csv),
    (is_edf, "EDF file", read_edf),
    (is_ishne, "ISHNE file", read_ishne),
    (is_scp, "SCP-ECG file", read_scp),
    (is_mat, "MATLAB file", read_mat),
    (is_xml, "XML of an ECG", read_xml),
)


def record_leaves(data: bytes, name: str) -> list[Leaf]:
    """The records in a file's bytes, told by its content; none where it is no record. Raises EcgError."""
    if is_npy(data):
        count = count_npy(data, name)
        return [Leaf(numbered(name, i, count), partial(read_npy, data, name, i)) for i in range(count)]
    for recognise, kind, read in _FORMATS:
        if recognise(data):
            return [Leaf(name, partial(_read, read, kind, data, name))]
    if name.lower().endswith(".csv"):  # of another form: its reader says what is wrong with it
        return [Leaf(name, partial(parse_csv, data, name))]
    return []


def _read(read: Callable[[bytes, str], Record], kind: str, data: bytes, name: str) -> Record:
    """The record in a file. Raises EcgError, whatever damage leads its parser to."""
    try:
        return read(data, name)
    except EcgError:
        raise
    except MemoryError:
        raise EcgError("too_large", f"{name}: it does not fit into memory") from None
    except Exception as error:
        raise damaged(name, kind, error) from error


def record_at(path: str | Path) -> Callable[[], Record] | None:
    """How to read the record that a path names which is no single file: a WFDB record with or without an
    ending, a row of an HDF5 file. None where it is something else."""
    file, _, index = str(path).rpartition(":")
    if file.lower().endswith(_HDF5):
        if not index.isdecimal():
            raise unreadable(path, f"after the colon must stand a row number, as in {file}:0")
        return partial(read_code15, file, int(index))
    path = Path(path)
    if path.suffix.lower() in _HDF5:
        raise unreadable(path, f"say which row of the file, for instance {path}:0")
    headed = path.suffix.lower() == ".mat" and path.with_suffix(".hea").is_file()
    if headed or path.suffix.lower() in (".hea", ".dat"):
        return partial(read_wfdb, path.with_suffix(""))
    if not path.exists() and Path(f"{path}.hea").is_file():
        return partial(read_wfdb, path)
    return None
