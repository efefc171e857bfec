"""Files that ECG pages come in: pictures, documents, records, archives of them; what cannot be used is
refused, saying why."""

from __future__ import annotations

import base64
import binascii
import io
import re
import stat
import zipfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.errors import EcgError, Unloadable, unreadable
from ecgvlm.files.dicom import dicom_leaves, is_dicom
from ecgvlm.files.drawing import Drawing
from ecgvlm.files.leaf import (
    MAX_BYTES,
    MAX_PAGES,
    MAX_PIXELS,
    WANTED,
    Budget,
    Leaf,
    Loaded,
    numbered,
    too_large,
    too_many,
)
from ecgvlm.files.pdf import is_pdf, pdf_leaves
from ecgvlm.files.picture import decode, shrunk, tiff_pages
from ecgvlm.files.records import record_at, record_leaves
from ecgvlm.files.wfdb import files_beside, parse_wfdb, read_wfdb
from ecgvlm.record import Record

MIN_SIDE = 400
MIN_SHORT_SIDE = 120
_ZIP = b"PK\x03\x04"


def load_image(
    source: str | Path | bytes, name: str | None = None, max_pixels: int = MAX_PIXELS, long_side: int = 3_000
) -> np.ndarray:
    """The first page in a file, or in a file's bytes: [H, W, 3] uint8 RGB, upright as its EXIF says.

    JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC (where pillow-heif is installed), PDF, DICOM (pictures and
    encapsulated PDF), any of these as base64 text or in a ZIP archive; the content counts, not the ending.
    Transparency is laid over white. name: what messages call the bytes. max_pixels: the most that a header
    may announce. Pictures longer than long_side px are made smaller.

    Raises EcgError: unreadable_file (missing, empty, cut off, not a picture), unsupported_format (a record,
    too: see `open_pages`), too_large, too_small.
    """
    page = open_pages(source, name, max_pixels, long_side)[0]
    picture = page.load()
    if isinstance(picture, Record):
        raise EcgError("unsupported_format", f"{page.name}: is an ECG record, not a picture of one")
    return picture.image if isinstance(picture, Drawing) else picture


def read_record(path: str | Path) -> Record:
    """The first ECG of a file as a record. Its content says what it is, but for a WFDB record, which is
    named without its ending, and a row of an HDF5 file (`exams_part0.hdf5:17`). Raises EcgError naming file
    and cause."""
    if record_at(path) is None and not Path(path).exists():
        return read_wfdb(path)  # says what is missing
    content = open_pages(path)[0].load()
    if not isinstance(content, Record):
        raise unreadable(path, "is a picture, not a record; `ecgvlm digitize` makes one of it")
    return content


def open_pages(
    source: str | Path | bytes, name: str | None = None, max_pixels: int = MAX_PIXELS, long_side: int = 3_000
) -> list[Leaf]:
    """All pages in a file, one or more, none of them decoded yet; see `load_image`. An ECG record
    (see `ecgvlm.files.records`) is a page, too, and so is a record's path without its ending.

    Raises EcgError where there is no page at all, and too_large where there are more than `MAX_PAGES`.
    """
    name = name or ("picture" if isinstance(source, bytes) else str(source))
    if not isinstance(source, bytes):
        if (record := record_at(source)) is not None:
            return [Leaf(name, record)]
        source = _read(Path(source), name)
    if not source:
        raise unreadable(name, "the file is empty; copy or export it again")
    return _open(source, name, max_pixels, long_side, Budget())


def _open(data: bytes, name: str, max_pixels: int, long_side: int, budget: Budget) -> list[Leaf]:
    """The pages in a file's bytes. budget: shared by all that the file holds, however deep."""
    if len(data) > MAX_BYTES:
        raise too_large(name, f"{len(data) / 1e6:.0f} MB, and {MAX_BYTES / 1e6:.0f} MB are allowed")
    plain = _without_base64(data, name)
    if plain is not data:
        budget.take(len(plain), name)
    if plain[:4] == _ZIP:
        return _unpack(plain, name, max_pixels, long_side, budget)
    leaves = _leaves(plain, name, max_pixels, long_side, budget)
    return [Leaf(leaf.name, partial(_fitted, leaf, long_side)) for leaf in leaves]


def _leaves(data: bytes, name: str, max_pixels: int, long_side: int, budget: Budget) -> list[Leaf]:
    """The pages of a file that is no archive, of whatever size they are."""
    if is_pdf(data):
        return pdf_leaves(data, name)
    if is_dicom(data):
        return dicom_leaves(data, name, max_pixels, budget)
    if records := record_leaves(data, name):
        return records
    count = tiff_pages(data) if data[:4] in (b"II*\0", b"MM\0*") else 1
    return [
        Leaf(numbered(name, i, count), partial(decode, data, name, max_pixels, long_side, i))
        for i in range(count)
    ]


def _unpack(data: bytes, name: str, max_pixels: int, long_side: int, budget: Budget) -> list[Leaf]:
    """The pages of all files in a ZIP archive, in order; one that cannot be used is a page that says why."""
    if budget.in_archive:
        raise EcgError("unsupported_format", f"{name}: archives in archives are not read; unpack it")
    budget.in_archive = True
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = [
            member for member in archive.infolist() if not member.is_dir() and not _hidden(member.filename)
        ]
    except Exception as error:  # damaged directories raise whatever they lead to
        raise unreadable(name, f"not a readable ZIP archive ({error})") from error
    if "[Content_Types].xml" in archive.NameToInfo:
        raise EcgError("unsupported_format", f"{name}: Office documents are not read; {WANTED}")
    if not members:
        raise unreadable(name, "the archive is empty")
    if len(members) > MAX_PAGES:
        raise too_many(name)
    leaves: list[Leaf] = []
    companions: set[str] = set()  # signal files and segments, which are read with their headers
    places: list[int] = []  # in the archive, of each leaf
    for member in sorted(members, key=lambda m: not m.filename.lower().endswith(".hea")):
        if member.filename in companions:
            continue
        inner = f"{name}/{_plain(member.filename)}"
        try:
            part = _member(archive, member, inner)
            budget.take(len(part), name)
            if member.filename.lower().endswith(".hea"):
                files = _companions(archive, member.filename, part, name, budget)
                companions |= set(files)
                leaves.append(Leaf(inner, partial(parse_wfdb, part, tuple(files.items()), inner)))
            else:
                leaves += _open(part, inner, max_pixels, long_side, budget)
        except EcgError as error:
            if budget.spent:
                raise
            leaves.append(Leaf(inner, Unloadable.of(error)))
        places += [members.index(member)] * (len(leaves) - len(places))
        if len(leaves) > MAX_PAGES:
            raise too_many(name)
    ordered = sorted(zip(places, leaves), key=lambda pair: pair[0])
    return [leaf for place, leaf in ordered if members[place].filename not in companions]


def _companions(
    archive: zipfile.ZipFile, header: str, text: bytes, name: str, budget: Budget
) -> dict[str, bytes]:
    """The signal files in an archive that a WFDB header beside them names, of its segments, too."""

    def read(path: str) -> bytes | None:
        if path not in archive.NameToInfo:
            return None
        data = _member(archive, archive.NameToInfo[path], f"{name}/{_plain(path)}")
        budget.take(len(data), name)
        return data

    return files_beside(header, text, read)


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _plain(text: str) -> str:
    """A foreign text fit for a one-line message."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    """One file of an archive, unpacked up to the most that a file may have."""
    try:
        with archive.open(member) as file:
            data = file.read(MAX_BYTES + 1)
    except Exception as error:  # zipfile and its decompressors raise anything on damage
        cause = "it asks for a password" if member.flag_bits & 1 else str(error)
        raise unreadable(name, f"cannot be unpacked ({cause})") from error
    if len(data) > MAX_BYTES:
        raise too_large(name, f"more than {MAX_BYTES / 1e6:.0f} MB")
    return data


_BASE64 = re.compile(rb"[A-Za-z0-9+/\r\n]{400,}")


def _without_base64(data: bytes, name: str) -> bytes:
    """The bytes that a data URL or base64 text stands for; any other data as it is."""
    if data[:5] == b"data:":
        head, _, text = data[:200].partition(b",")
        if not head.endswith(b";base64"):
            raise unreadable(name, "a data URL must be base64")
        text = data[len(head) + 1 :]
    elif _BASE64.match(data[:404]):
        text = data
    else:
        return data
    try:
        return base64.b64decode(text.translate(None, b" \r\n"), validate=True)
    except binascii.Error as error:
        raise unreadable(name, f"not readable as base64 ({error})") from error


def _fitted(leaf: Leaf, long_side: int) -> Loaded:
    """A page within the sides that are allowed."""
    image = leaf.load()
    if isinstance(image, Record | Drawing):  # drawings are pictured at a fitting size
        return image
    height, width = image.shape[:2]
    if max(height, width) < MIN_SIDE or min(height, width) < MIN_SHORT_SIDE:
        raise EcgError(
            "too_small",
            f"{leaf.name}: {width} x {height} px are too few to read an ECG; scan or photograph the page "
            f"with at least {MIN_SIDE} px, better 1,600, on its long side",
        )
    if max(height, width) > long_side:
        image = shrunk(image, long_side / max(height, width))
    return np.ascontiguousarray(image)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Writes [H, W, 3] uint8 RGB as PNG, JPEG, WebP, TIFF or BMP, as the path ends."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"):
        raise EcgError(
            "unsupported_format", f"{path}: a picture's name must end in .png, .jpg, .webp, .tif or .bmp"
        )
    _, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_file(path, data.tobytes())


def _read(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise unreadable(name, "is a folder; name the picture in it")
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe may never end, or never begin
            raise unreadable(name, "is not a regular file")
        if status.st_size > MAX_BYTES:
            raise too_large(name, f"{status.st_size / 1e6:.0f} MB, and {MAX_BYTES / 1e6:.0f} MB are allowed")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise unreadable(name, "no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise unreadable(name, getattr(error, "strerror", None) or str(error)) from error
