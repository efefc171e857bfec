"""What the server's worker processes do: decode files, read pages, answer questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np

from ecgvlm.digitize import FS
from ecgvlm.digitize.grid import find_grid
from ecgvlm.digitize.joined import is_half
from ecgvlm.errors import EcgError, unreadable
from ecgvlm.files.bounded import CPU_SECONDS
from ecgvlm.files.drawing import Drawing
from ecgvlm.files.image import open_pages
from ecgvlm.files.leaf import Leaf, Sheet, Spread
from ecgvlm.judge.evidence import Evidence
from ecgvlm.memory import keep_freed_memory
from ecgvlm.printed import picture_of
from ecgvlm.processes import cpu_bound
from ecgvlm.reader import Answer, Reader
from ecgvlm.record import Record
from ecgvlm.show.overlay import find_evidence, find_overlay
from ecgvlm.show.redact import redact

T = TypeVar("T")

NAME = "page"  # what workers call every file: the names that people give them stay with the HTTP layer


@dataclass(frozen=True)
class Picture:
    """A decoded page. image: [H, W, 3] uint8 RGB, what people see of it. pages: of its file. numbers: which
    of them it is, from 0, two where they are the halves of one ECG. content: what is read, where that is more
    than the image.
    """

    image: np.ndarray
    pages: int = 1
    numbers: tuple[int, ...] = (0,)
    content: Drawing | Record | Spread | None = None

    @property
    def _sheet(self) -> Sheet:
        return self.content if isinstance(self.content, Drawing) else self.image

    def beside(self, other: Picture) -> Picture:
        """This page and another one, as the halves of one ECG."""
        spread = Spread(self._sheet, other._sheet)
        return Picture(picture_of(spread), self.pages, (*self.numbers, *other.numbers), spread)


@dataclass(frozen=True)
class Asked:
    """What a request wants of a page. question, sensitivity, language, spoken: as of `Reader.read`. overlay:
    where everything lies, too. redacted: the picture with nothing around its leads, too."""

    question: str | None = None
    sensitivity: float | None = None
    language: str | None = None
    overlay: bool = False
    redacted: bool = False
    spoken: str = "en"


@dataclass(frozen=True)
class Reading:
    """What the server keeps of a page that was read, for further questions and for files.

    answer: the contract's object. leads: [12, n] float32 mV at `digitize.FS` Hz. overlay: as
    `Overlay.to_dict` gives it, with the evidence of each finding; redacted: the picture as JPEG with nothing
    around its leads; both where asked for. All but the answer are None where the page could not be read.
    half: whether the page shows the limb leads alone, or the chest leads. others: of the other ECGs on the
    same picture.
    """

    answer: dict
    evidence: Evidence | None = None
    leads: np.ndarray | None = None
    overlay: dict | None = None
    redacted: bytes | None = None
    half: bool = False
    others: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Sight:
    """What a camera's view shows of a page. grid: whether the paper's grid is seen. leads: names of the leads
    found. px_per_mm: of the view; None without leads. problem: why it could not be read, for people; None
    where it could.
    """

    grid: bool
    leads: tuple[str, ...] = ()
    px_per_mm: float | None = None
    problem: str | None = None


class UploadDecoder:
    """Turns the bytes of uploaded files into pictures, away from everything that matters."""

    def __init__(self) -> None:
        keep_freed_memory()

    def decode(self, data: bytes, page: int = 0) -> Picture:
        """One page of a file. Raises EcgError."""
        with cpu_bound(CPU_SECONDS):
            leaves = _opened(data)
            if page >= len(leaves):
                raise EcgError("unreadable_file", f"{NAME}: there is no page {page + 1}, only {len(leaves)}")
            content = _sound(leaves[page].load)
        known = content if isinstance(content, Drawing | Record) else None
        return Picture(picture_of(content), len(leaves), (page,), known)

    def count(self, data: bytes) -> int:
        """How many pages a file has. Raises EcgError."""
        with cpu_bound(CPU_SECONDS):
            return len(_opened(data))


def _opened(data: bytes) -> list[Leaf]:
    return _sound(lambda: open_pages(data, NAME))


def _sound(decode: Callable[[], T]) -> T:
    """What a decoder gives; what it does not foresee in a damaged file is the file's error, not the
    server's."""
    try:
        return decode()
    except EcgError:
        raise
    except MemoryError:
        raise EcgError("too_large", f"{NAME}: it does not fit into memory") from None
    except Exception as error:
        raise unreadable(NAME, f"cannot be decoded ({type(error).__name__}: {error})") from None


class WarmReader:
    """Reads decoded pages and answers questions about them; warm from the beginning."""

    def __init__(self, make: Callable[[], Reader]):
        self.reader = make()
        self.model = self.reader.judge.name

    def name(self) -> str:
        return self.model

    def read(self, picture: Picture, asked: Asked) -> Reading:
        """What a picture says; of one that cannot be read, an answer with its error."""
        source = picture.image if picture.content is None else picture.content
        answer = self.reader.read(
            source, asked.question, NAME, asked.sensitivity, language=asked.language, spoken=asked.spoken
        )
        if answer.error is not None:
            return Reading(answer.to_dict())
        assert answer.page is not None
        return replace(
            self._reading(answer, asked),
            redacted=jpeg(redact(picture.image, answer.page)) if asked.redacted else None,
            half=is_half(answer.page),
            others=tuple(self._reading(other, asked) for other in answer.others),
        )

    def _reading(self, answer: Answer, asked: Asked) -> Reading:
        assert answer.page is not None
        return Reading(
            answer=answer.to_dict(),
            evidence=answer.evidence,
            leads=answer.page.leads(FS),
            overlay=self._overlay(answer, asked.language or "en") if asked.overlay else None,
        )

    def _overlay(self, answer: Answer, language: str) -> dict:
        layers, grounds = find_overlay(answer), self.reader.grounds(answer)
        return layers.to_dict() | {"evidence": find_evidence(answer, layers, grounds, language)}

    def aim(self, picture: Picture) -> Sight:
        """Whether a picture would be read, without judging what it shows."""
        try:
            page = self.reader.digitizer(picture.image)
        except EcgError as error:
            return Sight(find_grid(picture.image) is not None, problem=error.message)
        return Sight(True, tuple(dict.fromkeys(s.lead for s in page.strips)), round(page.px_per_mm, 2))

    def ask(
        self,
        evidence: Evidence,
        question: str,
        before: Sequence[str],
        earlier: Evidence | None,
        language: str,
    ) -> Iterator[str]:
        """The answer to a question about a page that was read, piece by piece; see `Language.stream`."""
        return iter(self.reader.words.stream(evidence, question, before, earlier, language))


def jpeg(image: np.ndarray) -> bytes:
    """[H, W, 3] uint8 RGB as a JPEG file."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return np.asarray(data).tobytes()


def default_reader() -> Reader:
    return Reader(threads=1)
