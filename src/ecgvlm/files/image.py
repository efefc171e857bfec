"""Files that ECG pages come in as RGB arrays of bounded size; what cannot be used is refused, saying why."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import re
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ecgvlm.atomic import write_file
from ecgvlm.errors import EcgError, unreadable

MAX_BYTES = 50_000_000
MAX_PIXELS = 80_000_000  # a page at 900 dpi, or the largest ordinary phone photo
MAX_SIDE = 16_000
MAX_PAGES = 200
MAX_UNPACKED = 400_000_000  # bytes of all that an archive holds
MIN_SIDE = 400
MIN_SHORT_SIDE = 120
_PDF_SIDE = 2_000  # px on a page's long side: 7 px/mm on A4

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
_WANTED = "save the page as JPEG, PNG or PDF"
# pdfium is not thread-safe, and a server reads in several threads.
_PDFIUM = threading.Lock()


@dataclass(frozen=True)
class Leaf:
    """One page of a file. name: of the file and, where there are several pages, of the page in it.

    load: the page as `load_image` gives it; raises EcgError.
    """

    name: str
    load: Callable[[], np.ndarray]


def load_image(
    source: str | Path | bytes, name: str | None = None, max_pixels: int = MAX_PIXELS, long_side: int = 3_000
) -> np.ndarray:
    """The first page in a file, or in a file's bytes: [H, W, 3] uint8 RGB, upright as its EXIF says.

    JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF, HEIC (where pillow-heif is installed), PDF, DICOM (pictures,
    encapsulated PDF, and 12-lead waveforms, which are printed first), any of these as base64 text or in a ZIP
    archive; the content counts, not the ending. Transparency is laid over white. name: what messages call
    the bytes. max_pixels: the most that a header may announce. Pictures longer than long_side px are made
    smaller.

    Raises EcgError: unreadable_file (missing, empty, cut off, not a picture), unsupported_format, too_large,
    too_small.
    """
    return open_pages(source, name, max_pixels, long_side)[0].load()


def open_pages(
    source: str | Path | bytes, name: str | None = None, max_pixels: int = MAX_PIXELS, long_side: int = 3_000
) -> list[Leaf]:
    """All pages in a file, one or more, none of them decoded yet; see `load_image`.

    Raises EcgError where there is no page at all, and too_large where there are more than `MAX_PAGES`.
    """
    name = name or ("picture" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else _read(Path(source), name)
    if not data:
        raise unreadable(name, "the file is empty; copy or export it again")
    if len(data) > MAX_BYTES:
        raise _too_large(name, f"{len(data) / 1e6:.0f} MB, and {MAX_BYTES / 1e6:.0f} MB are allowed")
    data = _without_base64(data, name)
    if data[:4] == b"PK\x03\x04":
        return _unpack(data, name, max_pixels, long_side)
    leaves = _leaves(data, name, max_pixels, long_side)
    return [Leaf(leaf.name, partial(_fitted, leaf, long_side)) for leaf in leaves]


def _leaves(data: bytes, name: str, max_pixels: int, long_side: int) -> list[Leaf]:
    """The pages of a file that is no archive, of whatever size they are."""
    if b"%PDF-" in data[:1024]:
        count = _pdf_pages(data, name)
        return [Leaf(_numbered(name, i, count), partial(_render_pdf, data, name, i)) for i in range(count)]
    if data[128:132] == b"DICM":
        from ecgvlm.files.dicom import open_dicom

        return open_dicom(data, name, max_pixels, long_side)
    count = _tiff_pages(data) if data[:4] in (b"II*\0", b"MM\0*") else 1
    decode = partial(_decode, data, name, max_pixels, long_side)
    return [Leaf(_numbered(name, i, count), partial(decode, i)) for i in range(count)]


def _numbered(name: str, i: int, count: int) -> str:
    if count > MAX_PAGES:
        raise _too_many(name)
    return name if count == 1 else f"{name} (page {i + 1})"


def _too_many(name: str) -> EcgError:
    return EcgError("too_large", f"{name}: more than {MAX_PAGES} pages; split it")


def _unpack(data: bytes, name: str, max_pixels: int, long_side: int) -> list[Leaf]:
    """The pages of all files in a ZIP archive, in order; one that cannot be used is a page that says why."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        members = [
            member for member in archive.infolist() if not member.is_dir() and not _hidden(member.filename)
        ]
    except Exception as error:  # damaged directories raise whatever they lead to
        raise unreadable(name, f"not a readable ZIP archive ({error})") from error
    if "[Content_Types].xml" in archive.NameToInfo:
        raise EcgError("unsupported_format", f"{name}: Office documents are not read; {_WANTED}")
    if not members:
        raise unreadable(name, "the archive is empty")
    if len(members) > MAX_PAGES:
        raise _too_many(name)
    leaves: list[Leaf] = []
    unpacked = 0
    for member in members:
        inner = f"{name}/{_plain(member.filename)}"
        try:
            part = _member(archive, member, inner)
            unpacked += len(part)
            if unpacked > MAX_UNPACKED:
                raise _too_large(name, f"more than {MAX_UNPACKED / 1e6:.0f} MB unpacked")
            if part[:4] == b"PK\x03\x04":
                raise EcgError("unsupported_format", f"{inner}: archives in archives are not read; unpack it")
            leaves += open_pages(part, inner, max_pixels, long_side)
        except EcgError as error:
            if unpacked > MAX_UNPACKED:
                raise
            leaves.append(Leaf(inner, partial(_raise, error)))
        if len(leaves) > MAX_PAGES:
            raise _too_many(name)
    return leaves


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _plain(text: str) -> str:
    """A foreign text fit for a one-line message."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def _raise(error: EcgError) -> np.ndarray:
    raise error


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> bytes:
    """One file of an archive, unpacked up to the most that a file may have."""
    try:
        with archive.open(member) as file:
            data = file.read(MAX_BYTES + 1)
    except Exception as error:  # zipfile and its decompressors raise anything on damage
        cause = "it asks for a password" if member.flag_bits & 1 else str(error)
        raise unreadable(name, f"cannot be unpacked ({cause})") from error
    if len(data) > MAX_BYTES:
        raise _too_large(name, f"more than {MAX_BYTES / 1e6:.0f} MB")
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


def _fitted(leaf: Leaf, long_side: int) -> np.ndarray:
    """A page within the sides that are allowed."""
    image = leaf.load()
    height, width = image.shape[:2]
    if max(height, width) < MIN_SIDE or min(height, width) < MIN_SHORT_SIDE:
        raise EcgError(
            "too_small",
            f"{leaf.name}: {width} x {height} px are too few to read an ECG; scan or photograph the page "
            f"with at least {MIN_SIDE} px, better 1,600, on its long side",
        )
    if max(height, width) > long_side:
        scale = long_side / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
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
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _too_large(name, f"{size / 1e6:.0f} MB, and {MAX_BYTES / 1e6:.0f} MB are allowed")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)  # a device has no size, and may have no end
    except FileNotFoundError as error:
        raise unreadable(name, "no such file") from error
    except OSError as error:
        raise unreadable(name, error.strerror or str(error)) from error


def _tiff_pages(data: bytes) -> int:
    """How many pages a TIFF has, 1 where it is damaged: decoding says what is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture, count = Image.open(io.BytesIO(data)), 1
            while count <= MAX_PAGES:
                picture.seek(count)
                count += 1
            return count
    except EOFError:
        return count
    except Exception:
        return 1


def _decode(data: bytes, name: str, max_pixels: int, long_side: int, page: int) -> np.ndarray:
    if _is_heif(data):
        _register_heif(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(io.BytesIO(data))
            if page:
                picture.seek(page)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise _too_large(name, f"more than {max_pixels / 1e6:.0f} million pixels") from error
        except UnidentifiedImageError as error:
            raise _not_a_picture(data, name) from error
        except Exception as error:  # a damaged header may raise anything
            raise unreadable(name, f"cut off or damaged ({error}); copy or export it again") from error
        if picture.format not in _FORMATS:
            raise EcgError("unsupported_format", f"{name}: {picture.format} files are not read; {_WANTED}")
        width, height = picture.size
        if width * height > max_pixels or max(width, height) > MAX_SIDE:
            limit = f"{max_pixels / 1e6:.0f} million pixels and {MAX_SIDE:,} px a side are allowed"
            raise _too_large(name, f"{width:,} x {height:,} px, and {limit}")
        try:
            # libjpeg leaves out whole octaves of detail while it decodes: phone photos come cheap.
            picture.draft(None, (long_side, long_side))
            ImageOps.exif_transpose(picture, in_place=True)
            plain = {"1": "L", "P": "RGBA"}.get(picture.mode)
            whole = picture.convert(plain) if plain else picture
            if (times := max(whole.size) // long_side) > 1 and whole.mode in ("L", "RGB", "RGBA", "CMYK"):
                whole = whole.reduce(times)
            return _rgb(whole)
        except MemoryError as error:
            raise _too_large(name, "it does not fit into memory") from error
        except Exception as error:  # decoders of damaged data raise anything, from OSError to struct.error
            raise unreadable(name, f"cut off or damaged ({error}); copy or export it again") from error


def _rgb(picture: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 of any mode: deep greys scaled to 8 bit, palettes resolved, transparency over white."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        grey = np.asarray(picture, np.float32)
        largest = float(np.nan_to_num(grey).max(initial=0.0))
        # Scanners store 10, 12 or 16 bit in the same 16; floats run from 0 to 1 or like integers.
        bits = max(8, int(largest).bit_length())
        white = 1.0 if picture.mode == "F" and largest <= 1 else 2.0**bits - 1
        return cv2.cvtColor(
            np.clip(np.nan_to_num(grey) * (255 / white), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB
        )
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        picture = Image.new("RGBA", clear.size, "white")
        picture.alpha_composite(clear)
    return np.asarray(picture.convert("RGB"))


def _pdf_pages(data: bytes, name: str) -> int:
    with _open_pdf(data, name) as document:
        return len(document)


def _render_pdf(data: bytes, name: str, page: int) -> np.ndarray:
    with _open_pdf(data, name) as document:
        leaf = document[page]
        scale = _PDF_SIDE / max(leaf.get_size())
        return leaf.render(scale=scale, rev_byteorder=True).to_numpy()[:, :, :3].copy()


@contextlib.contextmanager
def _open_pdf(data: bytes, name: str) -> Iterator[Any]:
    """A pypdfium2 document with at least one page; what goes wrong with it is an EcgError."""
    import pypdfium2 as pdfium

    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(data)
            try:
                if not len(document):
                    raise ValueError("it has no pages")
                yield document
            finally:
                document.close()
        except (pdfium.PdfiumError, IndexError, ZeroDivisionError, ValueError) as error:
            if "password" in str(error).lower():
                raise unreadable(name, "the PDF asks for a password; save it without one") from error
            raise unreadable(name, f"not a readable PDF ({error}); copy or export it again") from error


def _is_heif(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and data[8:12] in (
        b"heic",
        b"heix",
        b"heim",
        b"heis",
        b"hevc",
        b"mif1",
        b"msf1",
    )


def _register_heif(name: str) -> None:
    try:
        import pillow_heif
    except ImportError as error:
        raise EcgError(
            "unsupported_format", f"{name}: HEIC pictures need `pip install pillow-heif`; or {_WANTED}"
        ) from error
    pillow_heif.register_heif_opener()


def _not_a_picture(data: bytes, name: str) -> EcgError:
    """Why Pillow knew no picture in the data: a format of another kind, or nothing known at all."""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    known = {
        "SVG drawings": b"<svg" in head,
        "JPEG XL pictures": head.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cjxl ")),
        "films": data[4:8] == b"ftyp" or head.startswith(b"\x1a\x45\xdf\xa3"),
        "PostScript files": head.startswith(b"%!ps"),
    }
    kind = next((kind for kind, found in known.items() if found), None)
    if kind is None:
        return unreadable(name, f"not a picture, or damaged at its very beginning; {_WANTED}")
    return EcgError("unsupported_format", f"{name}: {kind} are not read; {_WANTED}")


def _too_large(name: str, size: str) -> EcgError:
    return EcgError("too_large", f"{name}: too large ({size}); scan it at 300 dpi, or make it smaller")
