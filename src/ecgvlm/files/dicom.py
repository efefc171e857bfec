"""DICOM files as pages: pictures, encapsulated PDF documents, and waveforms."""

from __future__ import annotations

import io
import zlib
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.leads import damaged
from ecgvlm.files.leaf import MAX_PAGES, MAX_UNPACKED, Budget, Leaf, numbered, too_large
from ecgvlm.files.pdf import is_pdf, pdf_leaves
from ecgvlm.files.waveform import read_waveform

if TYPE_CHECKING:
    from pydicom import Dataset

_PREAMBLE, _MARK = 128, b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
# A file without preamble begins with its meta group, or with an element of group 8 (UI, CS, DA or a length
# below 100).
_META = b"\x02\0\0\0UL\x04\0"
_GROUP_8 = (b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x08\0\x12\0", b"\x08\0\x16\0", b"\x08\0\0\0")


def is_dicom(data: bytes) -> bool:
    """Whether a file starts as DICOM does, with or without its preamble of 128 bytes."""
    if data[_PREAMBLE : _PREAMBLE + 4] == _MARK or data[:8] == _META or data[:4] == _MARK:
        return True
    return data[:4] in _GROUP_8 and (data[4:6] in (b"UI", b"CS", b"DA", b"UL") or data[5:8] == b"\0\0\0")


def read_dataset(data: bytes, name: str, budget: Budget) -> Dataset:
    """A DICOM file, a deflated one within the budget. Raises EcgError."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian

    data = data.removeprefix(_MARK)
    try:
        if _DEFLATED not in data[:1000]:
            return pydicom.dcmread(io.BytesIO(data), force=True)
        start = _PREAMBLE + 4 if data[_PREAMBLE : _PREAMBLE + 4] == _MARK else 0
        start += 12 + int.from_bytes(data[start + 8 : start + 12], "little")  # behind the meta group
        body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(
            data[start:], min(budget.left, MAX_UNPACKED // 4) + 1
        )
        if len(body) > MAX_UNPACKED // 4:
            raise too_large(name, f"more than {MAX_UNPACKED / 4e6:.0f} MB unpacked")
        budget.take(len(body), name)
        dataset = pydicom.dcmread(io.BytesIO(body), force=True)
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return dataset
    except Exception as error:  # pydicom raises whatever a damaged element leads to
        raise damaged(name, "DICOM file", error) from error


def dicom_leaves(data: bytes, name: str, max_pixels: int, budget: Budget) -> list[Leaf]:
    """The pages of a DICOM file. Raises EcgError where it holds neither picture, PDF nor waveform."""
    dataset = read_dataset(data, name, budget)
    try:
        if "EncapsulatedDocument" in dataset:
            document = bytes(dataset.EncapsulatedDocument)
            if is_pdf(document):
                return pdf_leaves(document, name)
            raise EcgError("unsupported_format", f"{name}: a DICOM document that is no PDF is not read")
        if "WaveformSequence" in dataset:
            return [Leaf(name, partial(read_waveform, dataset, name))]
        if "PixelData" not in dataset:
            raise unreadable(name, "the DICOM file holds neither a picture nor a waveform")
        frames = int(dataset.get("NumberOfFrames") or 1)
        rows, columns, samples = (int(dataset[key].value) for key in ("Rows", "Columns", "SamplesPerPixel"))
    except Exception as error:  # pydicom raises whatever a damaged element leads to
        raise damaged(name, "DICOM file", error) from error
    if frames > MAX_PAGES or rows * columns * max(1, samples // 3) > max_pixels:
        limit = f"{MAX_PAGES} frames and {max_pixels / 1e6:.0f} million pixels are allowed"
        raise EcgError("too_large", f"{name}: {frames} frames of {columns:,} x {rows:,} px, and {limit}")
    return [Leaf(numbered(name, i, frames), partial(_frame, dataset, i, name)) for i in range(frames)]


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
