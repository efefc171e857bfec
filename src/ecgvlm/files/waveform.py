"""Leads as DICOM waveforms (PS3.3 A.34.3 to A.34.5), read as they occur and written."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgvlm.files.leads import (
    MV,
    Part,
    age_at,
    age_in,
    damaged,
    lead_row,
    machine_reading,
    number,
    record_of,
    sex_of,
    step_of,
)
from ecgvlm.record import LEADS, MachineReading, Record

if TYPE_CHECKING:
    from pydicom import Dataset

# Codes of the leads in DICOM's context group 3001 (ISO/IEEE 11073-10102, partition 2).
_NUMBERS = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
_CODES = {f"{prefix}{n}": lead for n, lead in zip(_NUMBERS, LEADS) for prefix in ("2:", "5.6.3-9-")}
_CODES |= {str((2 << 16) + n): lead for n, lead in zip(_NUMBERS, LEADS)}
_MEASURED = {
    "heart_rate_bpm": r"heart ?rate|ventricular rate|2:16016", "pr_ms": r"\bPR |2:15872",
    "qrs_ms": r"QRS duration|2:16156", "qtc_ms": r"QTc|corrected QT|2:1588[04]|2:15876",
    "qt_ms": r"\bQT |2:16160", "axis_deg": r"QRS axis|2:16132",
}  # fmt: skip
# In words, as meanings have them.
_UNITS = {"microvolt": "uv", "millivolt": "mv", "nanovolt": "nv", "volt": "v"}
_RHYTHM_SECONDS = 2.0  # a shorter group is a median beat, where there is a longer one
_COLUMN_SECONDS = 5.0  # shorter groups alone are columns of a page
_PADDING = -32768  # stands for NaN


def read_waveform(dataset: Dataset, name: str) -> Record:
    """The leads of a waveform object, its groups on one time axis; padding values become NaN. Median beats
    count only where there is nothing else. Raises EcgError."""
    try:
        _turn_bytes(dataset)
        groups = [(i, group) for i, group in enumerate(dataset.WaveformSequence) if any(_names(group))]
        if not groups:
            raise ValueError("it holds no ECG waveform")
        longer = [(i, g) for i, g in groups if _seconds(g) >= _RHYTHM_SECONDS and not _is_median(g)]
        chosen = longer or groups[:1]
        starts = _starts([group for _, group in chosen])
        parts = [
            Part(_names(group), _millivolts(dataset, i, group), float(group.SamplingFrequency), start)
            for (i, group), start in zip(chosen, starts)
        ]
        age = age_in(str(dataset.get("PatientAge") or ""))
        if age is None:
            taken = dataset.get("AcquisitionDateTime") or dataset.get("StudyDate") or ""
            age = age_at(str(dataset.get("PatientBirthDate") or ""), str(taken))
        sex = str(dataset.get("PatientSex") or "")
        machine = _machine(dataset)
    except Exception as error:  # pydicom raises whatever a damaged element leads to
        raise damaged(name, "DICOM ECG", error) from error
    return record_of(
        parts,
        name,
        age=age,
        sex=sex_of(sex),
        patient=str(dataset.get("PatientID") or ""),
        machine=machine,
    )


def _turn_bytes(dataset: Dataset) -> None:
    """Samples of a big-endian file as pydicom takes all: little-endian."""
    from pydicom.uid import ExplicitVRBigEndian

    if getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") != ExplicitVRBigEndian:
        return
    for group in dataset.WaveformSequence:
        width = int(group.WaveformBitsAllocated) // 8
        for name in ("WaveformData", "WaveformPaddingValue"):
            if isinstance(value := group.get(name), bytes):
                group[name].value = np.frombuffer(value, f"u{width}").byteswap().tobytes()


def _names(group: Dataset) -> list[str]:
    return [_lead(channel) for channel in group.ChannelDefinitionSequence]


def _lead(channel: Dataset) -> str:
    """Lead of a channel, by the meaning of its source's code (`Lead aVR`), by the code where that is in
    another language or missing, or by its label, else ""."""
    sources = channel.get("ChannelSourceSequence")
    code = str(sources[0].get("CodeValue", "")) if sources else ""
    meaning = str(sources[0].get("CodeMeaning", "")) if sources else ""
    said = (meaning, _CODES.get(code, code), str(channel.get("ChannelLabel", "")))
    rows = (lead_row(text.split(" (")[0]) for text in said)
    return next((LEADS[row] for row in rows if row is not None), "")


def _seconds(group: Dataset) -> float:
    return int(group.NumberOfWaveformSamples) / float(group.SamplingFrequency)


def _is_median(group: Dataset) -> bool:
    return (
        re.search("median|average|template", str(group.get("MultiplexGroupLabel", "")), re.IGNORECASE)
        is not None
    )


def _starts(groups: Sequence[Dataset]) -> list[float]:
    """s at which each group begins: as it says, or else one after the other where they are columns of a page
    (also beside a strip as long as all of them) or hold the same leads, or else together."""
    stated = [group.get("MultiplexGroupTimeOffset") for group in groups]
    if all(value is not None for value in stated):
        return [float(value) / 1000 for value in stated]
    lengths = np.array([_seconds(group) for group in groups])
    columns = lengths < max(_COLUMN_SECONDS, 0.75 * lengths.max())
    if lengths.max() >= _COLUMN_SECONDS and not np.isclose(lengths[columns].sum(), lengths.max(), rtol=0.1):
        leads = [frozenset(_names(group)) - {""} for group in groups]
        columns = np.array([leads.count(held) > 1 for held in leads])
    before = np.cumsum(np.where(columns, lengths, 0.0)) - lengths
    return [float(start) for start in np.where(columns, before, 0.0)]


def _millivolts(dataset: Dataset, i: int, group: Dataset) -> np.ndarray:
    """[channels, n] of one group."""
    import pydicom

    signal = dataset.waveform_array(i).T.astype(np.float64)
    padding = group.get("WaveformPaddingValue")
    if padding is not None:
        raw = pydicom.waveforms.multiplex_array(dataset, i, as_raw=True).T
        code = np.frombuffer(padding, raw.dtype)[0] if isinstance(padding, bytes) else padding
        signal[raw == code] = np.nan
    for row, channel in zip(signal, group.ChannelDefinitionSequence):
        if not _lead(channel):  # pulse, breath ... in units of their own
            continue
        units = channel.get("ChannelSensitivityUnitsSequence")
        said = [str(units[0].get(name, "")) for name in ("CodeValue", "CodeMeaning")] if units else ["raw"]
        unit = next((u for u in (_UNITS.get(s.lower(), s.lower()) for s in said) if u in MV), None)
        if unit is None:
            raise ValueError(f"a channel is in {said[0]!r}, not in a unit of voltage")
        if not number(str(channel.get("ChannelSensitivity"))):
            raise ValueError("a channel has no sensitivity, so its millivolts are unknown")
        row *= MV[unit]
    return signal


def _machine(dataset: Dataset) -> MachineReading | None:
    """The annotations that are numbers of a known name, and those in words."""
    measured: dict[str, Any] = {}
    statements = []
    for note in dataset.get("WaveformAnnotationSequence") or []:
        if note.get("UnformattedTextValue"):
            statements.append(str(note.UnformattedTextValue))
        concept = note.get("ConceptNameCodeSequence")
        if concept and note.get("NumericValue") is not None:
            said = f"{concept[0].get('CodeMeaning', '')} {concept[0].get('CodeValue', '')}"
            key = next((key for key, like in _MEASURED.items() if re.search(like, said, re.IGNORECASE)), None)
            value = note["NumericValue"].value
            if key is not None:
                measured.setdefault(key, value if isinstance(value, str | float | int) else float(value))
    return machine_reading(measured, statements)


def write_dicom(record: Record) -> bytes:
    """A 12-lead ECG waveform object (PS3.3 A.34.3) without any patient's data, in the finest steps that it
    takes."""
    import pydicom
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

    def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return [item]

    uv = step_of(record.signal)
    group = Dataset()
    group.WaveformOriginality = "DERIVED"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = record.signal.shape
    group.SamplingFrequency = f"{record.fs:g}"
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.ChannelDefinitionSequence = []
    for lead, n in zip(LEADS, _NUMBERS):
        channel = Dataset()
        channel.ChannelSourceSequence = code(f"2:{n}", "MDC", f"Lead {lead}")
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = f"{uv:.1f}", "1"
        channel.ChannelSensitivityUnitsSequence = code("uV", "UCUM", "microvolt")
        channel.ChannelBaseline, channel.ChannelSampleSkew, channel.WaveformBitsStored = "0", "0", 16
        group.ChannelDefinitionSequence.append(channel)
    units = np.round(record.signal * (1000 / uv))
    group.WaveformData = np.where(np.isnan(units), _PADDING, units).T.astype("<i2").tobytes()
    group.WaveformPaddingValue = np.int16(_PADDING).tobytes()

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.Modality, data.Manufacturer, data.SeriesNumber, data.InstanceNumber = "ECG", "ecgvlm", "1", "1"
    for empty in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
        "AccessionNumber", "ReferringPhysicianName",
    ):  # fmt: skip
        setattr(data, empty, "")
    data.ContentDate = data.ContentTime = data.AcquisitionDateTime = ""
    data.AcquisitionContextSequence = []
    data.WaveformSequence = [group]
    file = io.BytesIO()
    pydicom.dcmwrite(file, data, enforce_file_format=True)
    return file.getvalue()
