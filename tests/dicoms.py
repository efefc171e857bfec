"""DICOM files of pictures, written for tests."""

import io

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage


def dataset(syntax: str = ExplicitVRLittleEndian) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["ecgvlm"])
    meta.TransferSyntaxUID = syntax
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    return data


def picture(pixels: np.ndarray, kind: str, bits: int = 8, **more) -> bytes:
    """pixels: [H, W], [H, W, 3] or [frames, H, W, 3]."""
    data = dataset()
    data.SamplesPerPixel = 3 if pixels.ndim > 2 else 1
    data.Rows, data.Columns = pixels.shape[:2] if pixels.ndim < 4 else pixels.shape[1:3]
    data.NumberOfFrames = pixels.shape[0] if pixels.ndim == 4 else 1
    data.PhotometricInterpretation = kind
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, 0
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    data.PixelData = pixels.tobytes()
    for name, value in more.items():
        setattr(data, name, value)
    return written(data)


def written(data: FileDataset) -> bytes:
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()
