"""Picture files and PDF pages as RGB arrays of bounded size; what cannot be used is refused, saying why."""

from __future__ import annotations

import io
import threading
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ecgvlm.record import EcgError, unreadable

MAX_BYTES = 50_000_000
MAX_PIXELS = 80_000_000  # a page at 900 dpi, or the largest ordinary phone photo
MAX_SIDE = 16_000
MIN_SIDE = 400
MIN_SHORT_SIDE = 120
_PDF_SIDE = 2_000  # px on a page's long side: 7 px/mm on A4

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "HEIF")
_WANTED = "save the page as JPEG, PNG or PDF"
# pdfium is not thread-safe, and a server reads in several threads.
_PDFIUM = threading.Lock()


def load_image(
    source: str | Path | bytes, name: str | None = None, max_pixels: int = MAX_PIXELS, long_side: int = 3_000
) -> np.ndarray:
    """The picture in a file, or in a file's bytes: [H, W, 3] uint8 RGB, upright as its EXIF says.

    JPEG, PNG, WebP, TIFF, BMP, GIF (the first page or frame), AVIF, PDF (the first page), and HEIC where
    pillow-heif is installed; the content counts, not the ending. Transparency is laid over white. name: what
    messages call the bytes. max_pixels: the most that a header may announce. Pictures longer than long_side
    px are made smaller.

    Raises EcgError: unreadable_file (missing, empty, cut off, not a picture), unsupported_format, too_large,
    too_small.
    """
    name = name or ("picture" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else _read(Path(source), name)
    if not data:
        raise unreadable(name, "the file is empty; copy or export it again")
    if len(data) > MAX_BYTES:
        raise _too_large(name, f"{len(data) / 1e6:.0f} MB, and {MAX_BYTES / 1e6:.0f} MB are allowed")
    image = _render_pdf(data, name) if b"%PDF-" in data[:1024] else _decode(data, name, max_pixels, long_side)
    height, width = image.shape[:2]
    if max(height, width) < MIN_SIDE or min(height, width) < MIN_SHORT_SIDE:
        raise EcgError(
            "too_small",
            f"{name}: {width} x {height} px are too few to read an ECG; scan or photograph the page with at "
            f"least {MIN_SIDE} px, better 1,600, on its long side",
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
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data.tobytes())
        part.replace(path)
    except OSError as error:
        raise unreadable(path, f"cannot be written ({error.strerror or error})") from error


def _read(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise unreadable(name, "is a folder; name the picture in it")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _too_large(name, f"{size / 1e6:.0f} MB, and {MAX_BYTES / 1e6:.0f} MB are allowed")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise unreadable(name, "no such file") from error
    except OSError as error:
        raise unreadable(name, error.strerror or str(error)) from error


def _decode(data: bytes, name: str, max_pixels: int, long_side: int) -> np.ndarray:
    if _is_heif(data):
        _register_heif(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            picture = Image.open(io.BytesIO(data))
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


def _render_pdf(data: bytes, name: str) -> np.ndarray:
    import pypdfium2 as pdfium

    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(data)
            try:
                page = document[0]
                scale = _PDF_SIDE / max(page.get_size())
                return page.render(scale=scale, rev_byteorder=True).to_numpy()[:, :, :3].copy()
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
        "DICOM files": data[128:132] == b"DICM",
        "Office documents and ZIP archives": head.startswith(b"pk\x03\x04"),
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
