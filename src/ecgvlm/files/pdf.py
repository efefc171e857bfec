"""Pages of PDF documents as pictures."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ecgvlm.errors import unreadable
from ecgvlm.files.leaf import Leaf, numbered

_SIDE = 2_000  # px on a page's long side: 7 px/mm on A4
# pdfium is not thread-safe, and a server reads in several threads.
_PDFIUM = threading.Lock()


def is_pdf(data: bytes) -> bool:
    return b"%PDF-" in data[:1024]


def pdf_leaves(data: bytes, name: str) -> list[Leaf]:
    """The pages of a document. Raises EcgError."""
    count = pdf_pages(data, name)
    return [Leaf(numbered(name, i, count), partial(render_pdf, data, name, i)) for i in range(count)]


def pdf_pages(data: bytes, name: str) -> int:
    with _open_pdf(data, name) as document:
        return len(document)


def render_pdf(data: bytes, name: str, page: int) -> np.ndarray:
    with _open_pdf(data, name) as document:
        leaf = document[page]
        scale = _SIDE / max(leaf.get_size())
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
