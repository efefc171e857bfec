"""An ECG record from whatever file it comes in."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.errors import EcgError, unreadable
from ecgvlm.labels import CODE15
from ecgvlm.record import LEADS, Record
from ecgvlm.vocabulary import labels_of, left_open, terms

_ROWS = {lead.lower(): row for row, lead in enumerate(LEADS)}
_LEAD_NAME = re.compile(r"(?:MDC_ECG_LEAD_|(?:ECG|LEAD)[ _-]*)*D?(I{1,3}|AV[RLF]|V[1-6])", re.IGNORECASE)
_MV = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6, "v": 1e3}  # one unit in mV


def read_record(path: str | Path) -> Record:
    """Reads one ECG; what the path looks like says how.

    - `exams_part0.hdf5:17`: row 17 of a CODE-15% file (see `read_code15`)
    - `*.csv`: leads as `ecgvlm digitize` writes them (see `read_csv`)
    - `*.dcm`, or any other file that starts as DICOM does: a 12-lead waveform (see `read_dicom`)
    - anything else: a WFDB record, with or without the ending `.hea` or `.dat` (see `read_wfdb`)

    Raises EcgError naming file and cause.
    """
    text = str(path)
    file, _, index = text.rpartition(":")
    if file.lower().endswith((".hdf5", ".h5")):
        if not index.isdecimal():
            raise unreadable(text, f"after the colon must stand a row number, as in {file}:0")
        return read_code15(file, int(index))
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in (".hdf5", ".h5"):
        raise unreadable(path, f"say which row of the file, for instance {path}:0")
    if suffix == ".csv":
        return read_csv(path)
    if suffix == ".dcm" or _starts_as_dicom(path):
        return read_dicom(path)
    return read_wfdb(path.with_suffix("") if suffix in (".hea", ".dat") else path)


def read_wfdb(path: str | Path) -> Record:
    """A WFDB record (path without ending): any lead order, lead-name case, gain and voltage unit.

    Age and sex are taken from header comments such as `# Age: 56`. Raises EcgError where the header or a
    signal file is missing, truncated or damaged, a gain is not positive, or a signal is not a voltage.
    """
    header = Path(f"{path}.hea")
    if not header.is_file():
        raise unreadable(header, "no such file (a WFDB record is named without its ending)")
    import wfdb  # here, not above: it takes longer to import than a page takes to read

    try:
        _check_gains(header.read_text(encoding="utf-8"))
        record = wfdb.rdrecord(str(path))
    except FileNotFoundError as error:
        raise EcgError("unreadable_file", f"{error.filename or path}: no such file") from error
    except Exception as error:  # wfdb raises whatever its parsing stumbles on, down to bare Exception
        raise unreadable(path, f"not a readable WFDB record ({_say(error)})") from error
    scale = []
    for name, unit in zip(record.sig_name, record.units):
        if unit.lower() not in _MV:
            raise unreadable(header, f"signal {name} is in {unit!r}, not in a unit of voltage")
        scale.append(_MV[unit.lower()])
    # "Age: 56" in most collections, "<age>: 56" in older ones
    pairs = [line.lower().partition(":") for line in record.comments]
    comments = {key.strip(" <>"): value.strip() for key, _, value in pairs}
    return _record(
        record.p_signal.T * np.array(scale)[:, None],
        record.sig_name,
        record.fs,
        source=str(path),
        age=_age(comments.get("age", "")),
        sex=_sex(comments.get("sex", "")),
    )


def read_code15(path: str | Path, index: int, exam: Mapping[str, str] | None = None) -> Record:
    """Row `index` of a CODE-15% file (Zenodo 4916206): `tracings` [N, 4096, 12] at 400 Hz.

    The zeros that pad a tracing at both ends are cut off. CODE-15% is in mV; files in CODE-test's form hold
    1e-4 V, which swings larger than a heart's give away, and are scaled to mV. Age, sex, patient and labels
    come from `exam`, the row's line of `exams.csv`; without it, it is looked up where the table lies beside
    the file. Record.meta: exam_id (int), and unknown (labels that CODE-15% does not annotate).
    """
    path = Path(path)
    if not path.is_file():
        raise unreadable(path, "no such file")
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "tracings" not in file:
                raise unreadable(path, "has no data set 'tracings', so it is not a CODE-15% file")
            tracings = file["tracings"]
            if tracings.ndim != 3 or tracings.shape[2] != 12:
                raise unreadable(path, f"tracings must be [N, samples, 12], not {tracings.shape}")
            if not 0 <= index < len(tracings):
                raise unreadable(path, f"row {index} asked for, but it has {len(tracings)} rows")
            signal = np.asarray(tracings[index], np.float32).T
            number = str(int(file["exam_id"][index])) if "exam_id" in file else ""
        unit = _code15_unit(path, path.stat().st_mtime_ns)
    except (OSError, RuntimeError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise unreadable(path, f"not a readable HDF5 file ({_say(error)})") from error
    used = np.flatnonzero(np.any(signal != 0, axis=0))
    if not used.size:
        raise unreadable(path, f"row {index} holds nothing but zeros")
    signal = signal[:, used[0] : used[-1] + 1] * np.float32(unit)
    row = exam if exam is not None else _exam_row(path.with_name("exams.csv"), number) if number else {}
    meta: dict = {"exam_id": int(number)} if number else {}
    labels = None
    if row:
        said = [t for code, t in terms("CODE-15%").items() if row.get(code, "").lower() in ("true", "1")]
        labels = labels_of(said)
        meta["unknown"] = left_open(labels, said, annotated={"NORM", *CODE15})
    return _record(
        signal,
        LEADS,
        400.0,
        source=f"{path}:{index}",
        age=_age(row.get("age", "")),
        sex={"true": "M", "1": "M", "false": "F", "0": "F"}.get(row.get("is_male", "").lower()),
        labels=labels,
        patient=row.get("patient_id", ""),
        meta=meta,
    )


@lru_cache(maxsize=64)
def _code15_unit(path: Path, changed: int) -> float:
    """The unit of a file's tracings in mV. It is the file's, so several rows tell it: one patient's voltage
    or loose electrode cannot. changed: when the file was, so that no other one is meant."""
    import h5py

    with h5py.File(path, "r") as file:
        tracings = file["tracings"]
        sample = np.stack([tracings[i] for i in range(0, len(tracings), len(tracings) // 16 + 1)])
    low, high = np.nanpercentile(sample, (0.5, 99.5), axis=1)
    return 0.1 if np.nanmedian(high - low) > 5 else 1.0  # usual in mV: 0.5 to 4


def read_csv(path: str | Path) -> Record:
    """Leads in mV as `write_csv` writes them: header `time_s,I,...,V6`, an empty cell where unknown."""
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error
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
            raise unreadable(path, f"line {number}: {_say(error)}") from error
    if len(rows) < 2:
        raise unreadable(path, "holds no samples")
    table = np.array(rows)
    steps = np.diff(table[:, 0])
    step = float(np.median(steps))
    # Times are written with six decimals: at 1000 Hz a step is off by up to 1e-6 s.
    if not (np.isfinite(steps).all() and step > 0 and np.abs(steps - step).max() <= 0.01 * step + 2e-6):
        raise unreadable(path, "time_s must rise in equal steps")
    fs = (len(table) - 1) / (table[-1, 0] - table[0, 0])
    return _record(table[:, 1:].T, names[1:], round(fs, 3), source=str(path))


def csv_text(record: Record) -> str:
    """time_s and the twelve leads in mV, one sample a line, an empty cell where a lead is NaN."""
    lines = [",".join(("time_s", *LEADS))]
    for i, sample in enumerate(record.signal.T):
        lines.append(",".join((f"{i / record.fs:.6f}", *("" if np.isnan(v) else f"{v:.4f}" for v in sample))))
    return "\n".join(lines) + "\n"


def write_csv(record: Record, path: str | Path) -> None:
    """Writes a record as `csv_text` gives it."""
    write_file(path, csv_text(record).encode())


def read_dicom(source: str | Path | bytes, name: str | None = None) -> Record:
    """The first 12-lead group of a DICOM waveform object (PS3.3 A.34.3/A.34.4); padding values become NaN.

    source: path, or a file's bytes, which messages call name.
    """
    path = name or ("waveform" if isinstance(source, bytes) else str(source))
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise unreadable(path, "no such file")
    import pydicom

    try:
        data = pydicom.dcmread(io.BytesIO(source) if isinstance(source, bytes) else source)
        groups = data.get("WaveformSequence") or []
        named = [[_dicom_lead(channel) for channel in group.ChannelDefinitionSequence] for group in groups]
        i = next((i for i, names in enumerate(named) if any(names)), None)
        if i is None:
            raise ValueError("it holds no ECG waveform")
        group, names, channels = groups[i], named[i], groups[i].ChannelDefinitionSequence
        signal = data.waveform_array(i).T.astype(np.float64)
        padding = group.get("WaveformPaddingValue")
        if padding is not None:
            raw = pydicom.waveforms.multiplex_array(data, i, as_raw=True).T
            code = np.frombuffer(padding, raw.dtype)[0] if isinstance(padding, bytes) else padding
            signal[raw == code] = np.nan
        scale = []
        for channel in channels:
            units = channel.get("ChannelSensitivityUnitsSequence")
            unit = str(units[0].CodeValue).lower() if units else "raw"
            if unit not in _MV:
                raise ValueError(f"a channel is in {unit!r}, not in a unit of voltage")
            scale.append(_MV[unit])
        signal *= np.array(scale)[:, None]
        fs = float(group.SamplingFrequency)
        age, sex = str(data.get("PatientAge") or ""), str(data.get("PatientSex") or "")
        patient = str(data.get("PatientID") or "")
    except Exception as error:  # pydicom raises whatever a damaged element leads to
        raise unreadable(path, f"not a readable DICOM ECG ({_say(error)})") from error
    return _record(
        signal,
        names,
        fs,
        source=str(path),
        age=_age(age[:-1]) if age.endswith("Y") else None,
        sex=_sex(sex),
        patient=patient,
    )


def _check_gains(header: str) -> None:
    """ValueError where a signal of a WFDB header is uncalibrated: wfdb would take 200 units for 1 mV then."""
    lines = [line for line in header.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or "/" in lines[0].split()[0]:  # a record of several segments names no signals itself
        return
    for line in lines[1:]:
        match = re.match(r"\S+\s+\S+\s+([^\s(/]+)", line)
        if match is None or not float(match[1]) > 0:
            raise ValueError("a signal has no gain above zero, so its millivolts are unknown")


def _lead_row(name: str) -> int | None:
    """Row in `LEADS` of a lead called `AVR`, `Lead I`, `MDC_ECG_LEAD_V1`, `ECG DII`, ..., or None."""
    match = _LEAD_NAME.fullmatch(name.strip())
    return _ROWS[match[1].lower()] if match else None


def _record(signal: np.ndarray, names: Sequence[str], fs: float, source: str, **known) -> Record:
    """Named rows as a Record: sorted, limb leads derived from any two of I, II, III, NaN where missing."""
    if not 50 <= fs <= 5000:
        raise unreadable(source, f"a sampling rate of {fs:g} Hz cannot be an ECG's")
    leads = np.full((12, signal.shape[1]), np.nan, np.float32)
    given = set()
    for name, row in zip(names, signal):
        i = _lead_row(name)
        if i is None:
            continue
        if i in given:
            raise unreadable(source, f"lead {LEADS[i]} is there twice")
        leads[i] = row
        given.add(i)
    if not np.isfinite(leads).any():
        raise unreadable(source, f"holds none of the leads {', '.join(LEADS)}")
    leads[~np.isfinite(leads)] = np.nan
    if 0 not in given and {1, 2} <= given:
        leads[0] = leads[1] - leads[2]
        given.add(0)
    if 1 not in given and {0, 2} <= given:
        leads[1] = leads[0] + leads[2]
        given.add(1)
    if {0, 1} <= given:  # Einthoven's and Goldberger's relations
        one, two = leads[0], leads[1]
        derived = {2: two - one, 3: -(one + two) / 2, 4: one - two / 2, 5: two - one / 2}
        for i, row in derived.items():
            if i not in given:
                leads[i] = row
    return Record(leads, float(fs), source=source, **known)


def _exam_row(table: Path, exam: str) -> dict[str, str]:
    """The line of CODE-15%'s exams.csv for one exam, empty where there is no table or no such line."""
    if not table.is_file():
        return {}
    import csv

    try:
        with table.open(newline="", encoding="utf-8") as file:
            row = next((row for row in csv.DictReader(file, restval="") if row.get("exam_id") == exam), {})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(table, f"not a readable CSV table ({_say(error)})") from error
    return row


def _dicom_lead(channel) -> str:
    """Lead of a DICOM channel, by the meaning of its source code (`Lead aVR`) or its label, else ""."""
    sources = channel.get("ChannelSourceSequence")
    names = [str(sources[0].get("CodeMeaning", ""))] if sources else []
    names.append(str(channel.get("ChannelLabel", "")))
    return next((LEADS[row] for name in names if (row := _lead_row(name.split(" (")[0])) is not None), "")


def _starts_as_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _age(text: str) -> float | None:
    try:
        age = float(text)
    except ValueError:
        return None
    return age if 0 <= age < 150 else None


def _sex(text: str) -> str | None:
    return {"m": "M", "f": "F", "w": "F"}.get(text.strip().lower()[:1])


def _say(error: Exception) -> str:
    return str(error) or type(error).__name__
