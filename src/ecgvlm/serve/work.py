"""What the server's worker processes do: decode files, read pages, answer questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ecgvlm.image import load_image
from ecgvlm.model.evidence import Evidence
from ecgvlm.overlay import find_overlay
from ecgvlm.reader import FS, Reader


@dataclass(frozen=True)
class Reading:
    """What the server keeps of a page that was read, for further questions and for export.

    answer: the contract's object. leads: [12, n] float32 mV at `reader.FS` Hz. overlay: as `Overlay.to_dict` gives it.
    evidence, leads and overlay are None where the page could not be read.
    """

    answer: dict
    evidence: Evidence | None = None
    leads: np.ndarray | None = None
    overlay: dict | None = None


@dataclass(frozen=True)
class Picture:
    """A decoded page. image: [H, W, 3] uint8 RGB. page: its number in the file, from 0; pages: of the file."""

    image: np.ndarray
    page: int = 0
    pages: int = 1


class Decoder:
    """Turns the bytes of uploaded files into pictures, away from everything that matters."""

    def decode(self, data: bytes, name: str, page: int = 0) -> Picture:
        """One page of a file. Raises EcgError."""
        return Picture(load_image(data, name=name))


class PageReader:
    """Reads decoded pages and answers questions about them; warm when it is there."""

    def __init__(self, make: Callable[[], Reader]):
        self.reader = make()
        _ = self.reader.digitizer.net, self.reader.findings, self.reader.language

    def read(self, image: np.ndarray, name: str, question: str | None = None) -> Reading:
        answer = self.reader.read(image, question, name)
        if answer.error is not None:
            return Reading(answer.to_dict())
        assert answer.page is not None
        overlay = {"evidence": {}} | find_overlay(answer).to_dict()
        return Reading(answer.to_dict(), answer.evidence, answer.page.leads(FS), overlay)

    def ask(self, evidence: Evidence, question: str) -> Iterator[str]:
        """The answer to a question about a page that was read, piece by piece."""
        return iter(self.reader.language.stream(evidence, question))


def default_reader() -> Reader:
    return Reader(threads=1)
