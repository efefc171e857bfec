"""DICOM files as pages: pictures, encapsulated PDF documents, and waveforms, which are printed first.

Leads as DICOM waveforms.
"""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.image import MAX_PAGES, Leaf, open_pages
from ecgvlm.files.records import read_dicom
from ecgvlm.record import LEADS, Record

if TYPE_CHECKING:
    from pydicom import Dataset

_PRINTED = "3x4+1R"  # how waveforms are printed
# Codes of the leads in DICOM's context group 3001.
_CODES = ("2:1", "2:2", "2:61", "2:62", "2:63", "2:64", "2:3", "2:4", "2:5", "2:6", "2:7", "2:8")
_UV_PER_UNIT = 2.5
_PADDING = -32768  # stands for NaN


def open_dicom(data: bytes, name: str, max_pixels: int, long_side: int) -> list[Leaf]:
    """The pages of a DICOM file. Raises EcgError where it holds neither picture, PDF nor waveform."""
    import pydicom

    try:
        dataset = pydicom.dcmread(io.BytesIO(data))
        if "EncapsulatedDocument" in dataset:
            document = bytes(dataset.EncapsulatedDocument)
            if b"%PDF-" in document[:1024]:
                return open_pages(document, name, max_pixels, long_side)
            raise EcgError("unsupported_format", f"{name}: a DICOM document that is no PDF is not read")
        if "WaveformSequence" in dataset:
            return [Leaf(name, partial(_printed, data, name))]
        if "PixelData" not in dataset:
            raise unreadable(name, "the DICOM file holds neither a picture nor a waveform")
        frames = int(dataset.get("NumberOfFrames") or 1)
        rows, columns, samples = (int(dataset[key].value) for key in ("Rows", "Columns", "SamplesPerPixel"))
    except EcgError:
        raise
    except Exception as error:  # pydicom raises whatever a damaged element leads to
        raise unreadable(name, f"not a readable DICOM file ({error})") from error
    if frames > MAX_PAGES or rows * columns * max(1, samples // 3) > max_pixels:
        limit = f"{MAX_PAGES} frames and {max_pixels / 1e6:.0f} million pixels are allowed"
        raise EcgError("too_large", f"{name}: {frames} frames of {columns:,} x {rows:,} px, and {limit}")
    names = [name] if frames == 1 else [f"{name} (page {i + 1})" for i in range(frames)]
    return [Leaf(names[i], partial(_frame, dataset, i, name)) for i in range(frames)]


def write_dicom(record: Record) -> bytes:
    """A 12-lead ECG waveform object (PS3.3 A.34.3) without any patient's data, 2.5 uV a unit."""
    import pydicom
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

    def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return [item]

    group = Dataset()
    group.WaveformOriginality = "DERIVED"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = record.signal.shape
    group.SamplingFrequency = f"{record.fs:g}"
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.ChannelDefinitionSequence = []
    for lead, number in zip(LEADS, _CODES):
        channel = Dataset()
        channel.ChannelSourceSequence = code(number, "MDC", f"Lead {lead}")
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = f"{_UV_PER_UNIT:g}", "1"
        channel.ChannelSensitivityUnitsSequence = code("uV", "UCUM", "microvolt")
        channel.ChannelBaseline, channel.ChannelSampleSkew, channel.WaveformBitsStored = "0", "0", 16
        group.ChannelDefinitionSequence.append(channel)
    units = np.clip(np.round(record.signal * (1000 / _UV_PER_UNIT)), -32767, 32767)
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


def _printed(data: bytes, name: str) -> np.ndarray:
    from ecgvlm.paper.render import render
    from ecgvlm.paper.style import page_style

    return render(read_dicom(data, name), page_style(layout=_PRINTED)).image


def _frame(dataset: Dataset, i: int, name: str) -> np.ndarray:
    """One frame as [H, W, 3] uint8 RGB, through its window where it states one."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

    try:
        pixels = pixel_array(dataset, index=i)
        kind = str(dataset.PhotometricInterpretation)
        if kind == "PALETTE COLOR":
            pixels = apply_color_lut(pixels, dataset)
        if pixels.ndim == 2:
            grey = apply_voi_lut(apply_modality_lut(pixels, dataset), dataset).astype(np.float32)
            low, high = float(grey.min()), float(grey.max())
            grey = (grey - low) * (255 / max(high - low, 1e-6))
            pixels = cv2.cvtColor(
                (255 - grey if kind == "MONOCHROME1" else grey).astype(np.uint8), cv2.COLOR_GRAY2RGB
            )
        if pixels.dtype != np.uint8:
            bits = int(dataset.BitsStored)
            pixels = (pixels.astype(np.float32) * (255 / (2**bits - 1))).clip(0, 255).astype(np.uint8)
        if pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"its picture is {pixels.shape}")
        return pixels
    except MemoryError as error:
        raise EcgError("too_large", f"{name}: it does not fit into memory") from error
    except Exception as error:  # decoders of damaged data raise anything
        raise unreadable(name, f"its picture cannot be decoded ({error})") from error
