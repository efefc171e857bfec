"""Hostile files cost a decoder, never the process that asked, and the next file is read all the same."""

import io
import mmap
import os
import platform
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecgvlm.errors import EcgError
from ecgvlm.files.bounded import BoundedDecoder
from ecgvlm.files.image import open_pages


@pytest.fixture(scope="module")
def good() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((500, 700), 200, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def decoder():
    with BoundedDecoder(seconds=300) as decoder:
        yield decoder


def test_pages_come_as_from_the_file_itself(decoder, good, tmp_path):
    (tmp_path / "a.png").write_bytes(good)
    for source in (tmp_path / "a.png", good):
        (page,) = decoder.open(source, "a")
        assert page.name == "a"
        assert (page.load() == open_pages(good)[0].load()).all()


def test_pages_of_several_files_in_any_order(decoder, good, tmp_path):
    pages = []
    for shade in (10, 90):
        Image.fromarray(np.full((500, 700), shade, np.uint8)).save(tmp_path / f"{shade}.png")
        pages += decoder.open(tmp_path / f"{shade}.png")
    assert [int(page.load()[0, 0, 0]) for page in (pages[1], pages[0], pages[1])] == [90, 10, 90]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_a_decoder_keeps_its_memory_for_the_next_page():
    """A third of the time of a large page went into memory that the system had to give anew for each."""
    file = io.BytesIO()
    Image.fromarray(np.full((2600, 3400, 3), 200, np.uint8)).save(file, "JPEG")
    with BoundedDecoder(seconds=300) as decoder:

        def asked_for() -> int:
            """Pages of memory so far."""
            return int(Path(f"/proc/{decoder._process.pid}/stat").read_text().rpartition(")")[2].split()[7])

        (page,) = decoder.open(file.getvalue())
        page.load(), page.load()
        before = asked_for()
        size = page.load().nbytes
        assert asked_for() - before < 0.1 * size / mmap.PAGESIZE


def test_a_pipe_is_not_waited_for(decoder, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(EcgError, match="not a regular file"):
        decoder.open(tmp_path / "pipe")


def test_a_file_that_takes_for_ever_is_given_up(good, tmp_path):
    with BoundedDecoder(seconds=0.0) as decoder:
        with pytest.raises(EcgError, match="took longer than"):
            decoder.open(good)
        decoder._seconds = 300
        assert decoder.open(good)[0].load().shape == (500, 700, 3)


FORM = b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F 5 0 R>>>>/Length 11>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 842 595]/Contents 4 0 R/Resources<</XObject<</F 5 0 R>>>>>>"


def endless_pdf() -> bytes:
    """A page whose form draws itself twice: 600 bytes, drawn 2^30 times."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", PAGE,
        b"<</Length 5>>stream\n/F Do\nendstream", FORM + b"stream\n/F Do /F Do\nendstream",
    ]  # fmt: skip
    body = b"".join(b"%d 0 obj\n%b\nendobj\n" % (k, text) for k, text in enumerate(objects, start=1))
    return b"%PDF-1.5\n" + body + b"trailer<</Size 6/Root 1 0 R>>\n%%EOF"


def test_a_small_file_keeps_no_decoder_busy_for_long(good):
    with BoundedDecoder(seconds=300, computing=0.5) as decoder:
        with pytest.raises(EcgError, match=r"longer than 0.5 s of computing"):
            [page.load() for page in decoder.open(endless_pdf(), "a.pdf")]
        assert len(decoder.open(good)) == 1


def test_a_decoder_that_dies_is_replaced(decoder, good):
    decoder._process.kill()
    decoder._process.join()
    with pytest.raises(EcgError, match="ended the process"):
        decoder.open(good)
    assert decoder.open(good)[0].load().shape == (500, 700, 3)


def test_a_picture_beyond_the_memory_is_too_large(good):
    file = io.BytesIO()
    Image.new("1", (8000, 8000)).save(file, "PNG")
    with BoundedDecoder(seconds=300, memory=60_000_000) as decoder:
        with pytest.raises(EcgError) as error:
            decoder.open(file.getvalue())[0].load()
        assert error.value.code in ("too_large", "unreadable_file")
        assert "\n" not in error.value.message


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_archives_in_texts_in_archives_are_not_unpacked(good):
    import base64

    inner = base64.b64encode(zipped(a=good, b=good) + bytes(400))
    (page,) = open_pages(zipped(text=inner))
    with pytest.raises(EcgError, match="archives in archives"):
        page.load()


def test_one_budget_for_all_that_a_file_unfolds_to(monkeypatch, good):
    monkeypatch.setattr("ecgvlm.files.leaf.Budget.__init__", small_budget)
    with pytest.raises(EcgError) as error:
        open_pages(zipped(**{f"m{i}": bytes(30_000) for i in range(5)}))
    assert error.value.code == "too_large"


def small_budget(self) -> None:
    import time

    self.left, self.deadline, self.in_archive = 100_000, time.monotonic() + 300, False


def test_a_deflated_dicom_file_is_inflated_within_bounds():
    meta = b"\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99"
    head = bytes(128) + b"DICM" + b"\x02\0\0\0UL\x04\0" + len(meta).to_bytes(4, "little") + meta
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = head + packer.compress(bytes(150_000_000)) + packer.flush()
    assert len(data) < 200_000
    with pytest.raises(EcgError) as error:
        open_pages(data, "a.dcm")
    assert error.value.code == "too_large"


def test_a_jpeg_of_endless_scans_is_refused():
    file = io.BytesIO()
    Image.new("RGB", (600, 600)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    at = data.rindex(b"\xff\xda")
    (page,) = open_pages(data[:at] + data[at:-2] * 1000 + data[-2:])
    with pytest.raises(EcgError, match="scans") as error:
        page.load()
    assert error.value.code == "too_large"
    assert open_pages(data)[0].load().shape == (600, 600, 3)
