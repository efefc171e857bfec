"""Every kind of picture file gives the same upright RGB page; unusable ones are refused with advice."""

import base64
import io
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from ecgvlm.errors import EcgError
from ecgvlm.files import image as image_module
from ecgvlm.files.image import MAX_PAGES, load_image, open_pages, write_image
from ecgvlm.files.leaf import Budget

HEIGHT, WIDTH = 360, 500


def page() -> np.ndarray:
    """[360, 500, 3] a pink grid with a dark curve, and a blue corner that tells which way is up."""
    rgb = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    rgb[::20] = rgb[:, ::20] = (250, 180, 180)
    x = np.arange(WIDTH)
    y = (180 + 80 * np.sin(x / 25)).astype(int)
    for k in range(4):
        rgb[y + k, x] = (20, 20, 20)
    rgb[:60, :90] = (30, 60, 200)
    return rgb


def encoded(kind: str, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(page()).convert(mode).save(file, kind, **options)
    return file.getvalue()


def same(found: np.ndarray, tolerance: float, grey: bool = False) -> None:
    want = page().astype(float)
    if grey:
        want = np.repeat((want @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)
    assert found.dtype == np.uint8
    assert found.flags.c_contiguous
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(found - want).mean() <= tolerance


def refused(source, code: str, *parts: str, **options) -> None:
    with pytest.raises(EcgError) as error:
        load_image(source, **options)
    assert error.value.code == code
    assert "\n" not in error.value.message
    for part in parts:
        assert part in error.value.message, error.value.message


@pytest.mark.parametrize(
    ("kind", "mode", "options", "tolerance"),
    [
        ("PNG", "RGB", {}, 0), ("BMP", "RGB", {}, 0), ("TIFF", "RGB", {}, 0),
        ("WEBP", "RGB", {"lossless": True}, 0),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}, 0), ("JPEG", "RGB", {"quality": 92}, 4),
        ("JPEG", "RGB", {"quality": 92, "progressive": True}, 4), ("JPEG", "CMYK", {"quality": 92}, 4),
        ("TIFF", "CMYK", {}, 1), ("PNG", "P", {}, 8), ("GIF", "P", {}, 8),
        ("WEBP", "RGB", {"quality": 90}, 4),
    ],
)  # fmt: skip
def test_formats_and_modes(kind, mode, options, tolerance):
    same(load_image(encoded(kind, mode, **options)), tolerance)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "BMP"])
def test_grey(kind):
    same(load_image(encoded(kind, "L")), 3, grey=True)


def test_black_and_white_fax():
    found = load_image(encoded("TIFF", "1", compression="group4"))
    assert set(np.unique(found)) == {0, 255}
    assert found.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_deep_grey(kind, bits):
    grey = (page() @ [0.299, 0.587, 0.114]) / 255
    file = io.BytesIO()
    Image.fromarray((grey * (2**bits - 1)).astype(np.uint16)).save(file, kind)
    same(load_image(file.getvalue()), 1, grey=True)


def test_deep_colour_and_float():
    deep = cv2.imencode(".png", page()[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    same(load_image(deep), 1)
    file = io.BytesIO()
    Image.fromarray((page() @ [0.299, 0.587, 0.114] / 255).astype(np.float32)).save(file, "TIFF")
    same(load_image(file.getvalue()), 1, grey=True)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_white(kind):
    rgba = np.dstack([page(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    rgba[200:260] = (0, 0, 0, 0)  # transparent black, as drawing programs leave it
    file = io.BytesIO()
    Image.fromarray(rgba).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    found = load_image(file.getvalue())
    assert (found[205:255] == 255).all()
    assert np.abs(found[:200].astype(int) - page()[:200]).max() <= 1


def test_palette_transparency_is_white():
    picture = Image.fromarray(page()).convert("P")
    file = io.BytesIO()
    picture.save(file, "PNG", transparency=picture.getpixel((5, 5)))
    assert (load_image(file.getvalue())[5, 5] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(kind, orientation):
    """Stored turned as EXIF says, it is read upright."""
    undo = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(undo(page()))).save(file, kind, exif=exif, quality=92)
    same(load_image(file.getvalue()), 5)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_many(kind):
    frames = [Image.fromarray(page()), Image.new("RGB", (WIDTH, HEIGHT), "red")]
    file = io.BytesIO()
    frames[0].save(
        file, kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    same(load_image(file.getvalue()), 8 if kind == "GIF" else 1)


def test_content_counts_not_the_ending(tmp_path):
    for ending in ("png", "pdf", "txt", "heic"):
        path = tmp_path / f"page.{ending}"
        path.write_bytes(encoded("BMP"))
        same(load_image(path), 0)


def scanned_pdf() -> bytes:
    file = io.BytesIO()
    Image.fromarray(page()).save(file, "PDF", resolution=72)
    return file.getvalue()


def vector_pdf(width: int = 842, height: int = 595, drawing: bytes = b"1 0 0 rg 0 0 421 595 re f") -> bytes:
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R >>" % (width, height),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
    ]  # fmt: skip
    out, places = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + table + b"trailer << /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % len(out)


def test_scanned_pdf():
    found = load_image(scanned_pdf())
    assert max(found.shape) == 2000
    small = cv2.resize(found, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    same(small, 12)


def test_vector_pdf_on_white():
    found = load_image(vector_pdf())
    assert max(found.shape) == 2000
    assert found.shape[1] / found.shape[0] == pytest.approx(842 / 595, rel=1e-2)
    assert (found[700, 500] == (255, 0, 0)).all()
    assert (found[700, 1500] == 255).all()


@pytest.mark.parametrize("size", [(100, 100), (20_000, 14_000), (14_400, 14_400)])
def test_any_pdf_page_size_is_bounded(size):
    assert max(load_image(vector_pdf(*size)).shape) == 2000


def test_bad_pdfs():
    whole = scanned_pdf()
    refused(b"%PDF-1.7\nnothing here", "unreadable_file", "PDF")
    refused(whole[:200], "unreadable_file", "PDF")
    pages_gone = vector_pdf().replace(b"/Kids [3 0 R] /Count 1", b"/Kids [     ] /Count 0")
    refused(pages_gone, "unreadable_file", "PDF")


def test_missing_empty_folder(tmp_path):
    refused(tmp_path / "none.png", "unreadable_file", "none.png", "no such file")
    refused(tmp_path, "unreadable_file", "folder")
    (tmp_path / "empty.jpg").write_bytes(b"")
    refused(tmp_path / "empty.jpg", "unreadable_file", "empty.jpg", "empty")
    refused(b"", "unreadable_file", "upload.png", name="upload.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated(kind, share, tmp_path):
    whole = encoded(kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    path = tmp_path / "cut.img"
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "unreadable_file", "cut.img")


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PDF"]), data=st.data())
def test_damage_never_escapes(kind, data):
    """Flipped bytes give a picture or an EcgError, nothing else that a caller would have to catch."""
    damaged = bytearray(scanned_pdf() if kind == "PDF" else encoded(kind))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, min(len(damaged) - 1, 2000)))] = data.draw(st.integers(0, 255))
    try:
        found = load_image(bytes(damaged))
    except EcgError:
        return
    assert found.dtype == np.uint8
    assert found.ndim == 3


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_rubbish_is_refused(data):
    with pytest.raises(EcgError):
        load_image(data)


def zipped(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\xef\xbb\xbf<svg></svg>", "SVG"),
        (zipped(("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w/>")), "Office"),
        (b"\xff\x0a" + b"\0" * 60, "JPEG XL"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 60, "films"),
        (b"P6 500 500 255\n" + b"\x80" * 750_000, "PPM"),
    ],
)
def test_unsupported_formats(data, kind):
    refused(data, "unsupported_format", kind, "JPEG, PNG or PDF")


def test_heic_without_its_library(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    refused(b"\0\0\0\x18ftypheic" + b"\0" * 60, "unsupported_format", "HEIC", "pillow-heif")


def test_text_is_not_a_picture(tmp_path):
    path = tmp_path / "letter.png"
    path.write_text("Dear colleague, the ECG is normal.")
    refused(path, "unreadable_file", "letter.png", "not a picture")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces width x height pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"),
    [(20_000, 14_000), (50_000, 50_000), (12_000, 9_000), (20_000, 500), (2**31 - 1, 2**31 - 1)],
)
def test_bombs_are_refused_by_their_header(width, height, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda picture: pytest.fail("decoded"))
    refused(bomb(width, height), "too_large", "300 dpi")


def test_large_files_are_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(60_000_000)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("read"))
    refused(path, "too_large", "huge.png", "60 MB")


def test_large_uploads_and_own_limits(monkeypatch):
    refused(encoded("PNG"), "too_large", "px", max_pixels=100_000)
    monkeypatch.setattr(image_module, "MAX_BYTES", 1000)
    refused(encoded("PNG"), "too_large", "MB")


@pytest.mark.parametrize("size", [(399, 300), (10, 10), (2000, 50), (1, 1)])
def test_too_small(size):
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    refused(file.getvalue(), "too_small", f"{size[0]} x {size[1]}", "1,600")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_large_pictures_are_made_smaller(kind):
    big = cv2.resize(page(), (4000, 2880), interpolation=cv2.INTER_NEAREST)
    file = io.BytesIO()
    Image.fromarray(big).save(file, kind)
    found = load_image(file.getvalue())
    assert found.shape == (1440, 2000, 3)  # a whole part of it, near enough to 3,000
    same(cv2.resize(found, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), 6)
    assert load_image(file.getvalue(), long_side=3500).shape == (2520, 3500, 3)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_write_and_read_back(tmp_path, ending):
    path = tmp_path / f"out.{ending}"
    write_image(path, page())
    same(load_image(path), 4)
    assert list(tmp_path.iterdir()) == [path]


def test_write_errors(tmp_path):
    with pytest.raises(EcgError) as error:
        write_image(tmp_path / "out.doc", page())
    assert error.value.code == "unsupported_format"
    with pytest.raises(EcgError) as error:
        write_image(tmp_path / "no" / "out.png", page())
    assert "cannot be written" in error.value.message


def red() -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), "red")


def two_pages(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(page()).save(file, kind, save_all=True, append_images=[red()])
    return file.getvalue()


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_pages_of_a_file(kind):
    leaves = open_pages(two_pages(kind), "fax")
    assert [leaf.name for leaf in leaves] == ["fax (page 1)", "fax (page 2)"]
    first, second = (leaf.load() for leaf in leaves)
    same(cv2.resize(first, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), 12)
    assert np.abs(second.astype(int) - (255, 0, 0)).mean() < 2


def test_an_animation_is_one_page():
    assert len(open_pages(two_pages("GIF"))) == 1


def test_too_many_pages():
    file = io.BytesIO()
    small = Image.new("1", (8, 8))
    small.save(file, "TIFF", save_all=True, append_images=[small] * MAX_PAGES)
    with pytest.raises(EcgError, match="pages"):
        open_pages(file.getvalue())


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(page())).save(file, quality=90)
    same(load_image(file.getvalue()), 5)


@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: b"data:image/png;base64," + text])
def test_base64(wrap):
    same(load_image(wrap(base64.b64encode(encoded("PNG")))), 0)
    same(load_image(wrap(base64.encodebytes(encoded("PNG")))), 0)


def test_bad_base64():
    whole = base64.b64encode(encoded("PNG"))
    refused(whole[:-1], "unreadable_file", "base64")
    refused(whole[:600] + b"!" + whole[600:], "unreadable_file", "base64")
    refused(b"data:image/png,abc", "unreadable_file", "base64")


def test_zip():
    archive = zipped(
        ("a.png", encoded("PNG")),
        ("scans/b.tif", two_pages("TIFF")),
        ("__MACOSX/a.png", b"x"),
        ("c.txt", b"hello"),
    )
    leaves = open_pages(archive, "all.zip")
    assert [leaf.name for leaf in leaves] == [
        "all.zip/a.png", "all.zip/scans/b.tif (page 1)", "all.zip/scans/b.tif (page 2)", "all.zip/c.txt",
    ]  # fmt: skip
    same(leaves[0].load(), 0)
    assert (leaves[2].load() == (255, 0, 0)).all()
    with pytest.raises(EcgError) as error:
        leaves[3].load()
    assert error.value.code == "unreadable_file"
    assert "c.txt" in error.value.message


def test_bad_zips(monkeypatch):
    whole = zipped(("a.png", encoded("PNG")))
    refused(whole[: len(whole) // 2], "unreadable_file", "ZIP")
    refused(b"PK\x03\x04" + b"\0" * 60, "unreadable_file", "ZIP")
    refused(zipped(("inner.zip", whole)), "unsupported_format", "inner.zip", "archives in archives")
    refused(zipped((".DS_Store", b"x")), "unreadable_file", "empty")
    refused(zipped(*((f"{i}.png", b"") for i in range(MAX_PAGES + 1))), "too_large", "pages")
    monkeypatch.setattr(image_module, "Budget", partial(Budget, left=2_000_000))
    refused(zipped(*((f"{i}.bmp", encoded("BMP")) for i in range(5))), "too_large", "unpacked")


def test_zip_bomb_is_not_unpacked():
    """Seventy megabytes of zeros in 70 kB are given up after the first 50 MB."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros.png", "w") as member,
    ):
        for _ in range(70):
            member.write(b"\0" * 1_000_000)
    refused(file.getvalue(), "too_large", "zeros.png", "50 MB")
