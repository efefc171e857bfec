"""Picture files as RGB arrays, by Pillow."""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.leaf import MAX_PAGES, MAX_SIDE, WANTED, too_large
from ecgvlm.files.page_form import rgb

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
_ENOUGH = 2 / 3  # of the longest side that is wanted, from which on a whole reduction is taken
_SMOOTH = 0.8  # part of its size below which a picture must be smoothed, or fine grids make others
_MOST_SCANS = 300  # of a progressive JPEG, which has about ten


def tiff_pages(data: bytes) -> int:
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


def decode(data: bytes, name: str, max_pixels: int, long_side: int, page: int) -> np.ndarray:
    if data[:3] == b"\xff\xd8\xff" and data.count(b"\xff\xda") > _MOST_SCANS:
        raise too_large(name, f"a JPEG of more than {_MOST_SCANS} scans")
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
            raise too_large(name, f"more than {max_pixels / 1e6:.0f} million pixels") from error
        except UnidentifiedImageError as error:
            raise _not_a_picture(data, name) from error
        except Exception as error:  # a damaged header may raise anything
            raise unreadable(name, f"cut off or damaged ({error}); copy or export it again") from error
        if picture.format not in _FORMATS:
            raise EcgError("unsupported_format", f"{name}: {picture.format} files are not read; {WANTED}")
        width, height = picture.size
        if width * height > max_pixels or max(width, height) > MAX_SIDE:
            limit = f"{max_pixels / 1e6:.0f} million pixels and {MAX_SIDE:,} px a side are allowed"
            raise too_large(name, f"{width:,} x {height:,} px, and {limit}")
        try:
            # libjpeg leaves out whole octaves of detail while it decodes: phone photos come cheap.
            least = _ENOUGH * long_side / max(picture.size)
            picture.draft(None, (int(width * least), int(height * least)))
            ImageOps.exif_transpose(picture, in_place=True)
            plain = {"1": "L", "P": "RGBA"}.get(picture.mode)
            whole = picture.convert(plain) if plain else picture
            times = int(max(whole.size) / (_ENOUGH * long_side))
            if times > 1 and whole.mode in ("L", "RGB", "RGBA", "CMYK"):
                whole = whole.reduce(times)
            return rgb(whole)
        except MemoryError as error:
            raise too_large(name, "it does not fit into memory") from error
        except Exception as error:  # decoders of damaged data raise anything, from OSError to struct.error
            raise unreadable(name, f"cut off or damaged ({error}); copy or export it again") from error


def shrunk(image: np.ndarray, factor: float) -> np.ndarray:
    """A picture [H, W, ...] uint8 made smaller: whole parts are averaged, what is left is read between px.

    That is several times as quick as averages over parts of px.
    """
    times = int(1 / factor)
    if times > 1:
        height, width = (side // times for side in image.shape[:2])
        whole = image[: height * times, : width * times]
        image = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    rest = factor * times
    if rest < _SMOOTH:
        image = cv2.GaussianBlur(image, (3, 3), 0)
    return (
        image if rest > 0.999 else cv2.resize(image, None, fx=rest, fy=rest, interpolation=cv2.INTER_LINEAR)
    )


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
            "unsupported_format", f"{name}: HEIC pictures need `pip install pillow-heif`; or {WANTED}"
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
        return unreadable(name, f"not a picture, or damaged at its very beginning; {WANTED}")
    return EcgError("unsupported_format", f"{name}: {kind} are not read; {WANTED}")
