"""The way through: picture in, `Answer` out. ONNX Runtime only; no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ecgvlm.digitize import Digitizer, Page
from ecgvlm.errors import EcgError
from ecgvlm.files.image import Leaf, load_image
from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.findings import FindingsModel
from ecgvlm.judge.grounding import Ground, find_grounds
from ecgvlm.measure import Measurements
from ecgvlm.words.language import Language

QUESTION = "Classify the ECG condition (NORMAL or ABNORMAL) and specify the rhythm."
REPORT = "Please write a clinical report based on this ECG image."


@dataclass(frozen=True)
class Answer:
    """What one page says. Where `error` is None, the fields from `answer` on are filled."""

    image: str
    question: str
    seconds: float
    error: EcgError | None = None
    answer: str = ""
    report: str = ""
    evidence: Evidence | None = None
    measurements: Measurements | None = None
    page: Page | None = None
    model: str = ""

    def to_dict(self) -> dict:
        """The contract's JSON object."""
        head = {"image": self.image, "ok": self.error is None, "question": self.question}
        if self.error is not None:
            return {**head, "error": {"code": self.error.code, "message": self.error.message}}
        assert self.evidence
        assert self.measurements
        assert self.page
        return {
            **head,
            "answer": self.answer,
            "report": self.report,
            "labels": {label: _short(p) for label, p in self.evidence.probabilities.items()},
            "thresholds": {label: _short(p) for label, p in self.evidence.thresholds.items()},
            "findings": list(self.evidence.findings),
            "cautions": list(self.evidence.cautions),
            "abstain": self.evidence.abstain,
            "measurements": self.measurements.to_dict(),
            "page": {
                "layout": self.page.layout,
                "px_per_mm": round(self.page.px_per_mm, 2),
                "mm_per_s": self.page.mm_per_s,
                "mm_per_mv": self.page.mm_per_mv,
                "quality": round(self.page.quality, 3),
            },
            "model": self.model,
            "seconds": round(self.seconds, 3),
        }


def _short(p: float) -> float:
    """Six digits: a probability just below a threshold of next to nothing must not look like it."""
    return float(f"{p:.6g}")


@dataclass(frozen=True)
class Seen:
    """What the eyes of the model make of one picture; words come after."""

    page: Page
    evidence: Evidence


class Reader:
    """Reads pages. threads: of ONNX Runtime, for each net. model: a folder as `ecgvlm export` writes it, by
    default the model that comes with the package.
    """

    def __init__(self, threads: int = 2, model: Path | None = None):
        self.threads = threads
        self.folder = model

    @cached_property
    def digitizer(self) -> Digitizer:
        return Digitizer(threads=self.threads)

    @cached_property
    def findings(self) -> FindingsModel:
        return FindingsModel(self.folder, self.threads)

    @cached_property
    def language(self) -> Language:
        return Language(self.folder, self.threads)

    def load(self) -> None:
        """Load all nets now, not with the first page: before threads share a reader, or to fail early."""
        _ = self.digitizer.net, self.findings, self.language

    def read(
        self,
        source: str | Path | bytes | Leaf | np.ndarray,
        question: str | None = None,
        name: str | None = None,
        sensitivity: float | None = None,
    ) -> Answer:
        """Read one picture (path, bytes, page, or what `load_image` gives) and answer a question about it.

        question: None for NORMAL/ABNORMAL with the rhythm. name: what the answer calls the picture.
        sensitivity: share of the pages with a finding on which it is to be called, 0.5 to 0.99; None for the
        best F1. A picture that cannot be read gives an Answer with its error; nothing is raised for it.
        """
        start = time.perf_counter()
        asked = question or QUESTION
        if isinstance(source, Leaf):
            name = name or source.name
        label = name or (str(source) if isinstance(source, str | Path) else "upload")
        try:
            seen = self.look(source, name, sensitivity)
        except EcgError as error:
            return Answer(label, asked, time.perf_counter() - start, error=error)
        report = self.language.answer(seen.evidence, REPORT)
        answer = report if question == REPORT else self.language.answer(seen.evidence, asked)
        return Answer(
            image=label,
            question=asked,
            seconds=time.perf_counter() - start,
            answer=answer,
            report=report,
            evidence=seen.evidence,
            measurements=seen.page.measurements,
            page=seen.page,
            model=self.findings.name,
        )

    def look(
        self,
        source: str | Path | bytes | Leaf | np.ndarray,
        name: str | None = None,
        sensitivity: float | None = None,
    ) -> Seen:
        """Digitise and measure a picture and judge its findings. Raises EcgError where it cannot be read."""
        if isinstance(source, Leaf):
            source = source.load()
        page = self.digitizer(source if isinstance(source, np.ndarray) else load_image(source, name))
        return Seen(page, self.findings(page, page.measurements, sensitivity))

    def grounds(self, answer: Answer) -> tuple[Ground, ...]:
        """The evidence on the page of every abnormal finding of a page that has been read."""
        if answer.page is None or answer.measurements is None or answer.evidence is None:
            raise ValueError("this page could not be read; there is nothing to ground")
        return find_grounds(answer.page, answer.measurements, answer.evidence, self.findings)

    def ask(self, answer: Answer, question: str) -> str:
        """Answer a further question about a page that has been read."""
        if answer.evidence is None:
            raise ValueError("this page could not be read; there is nothing to ask about")
        return self.language.answer(answer.evidence, question)


def read(source: str | Path | bytes, question: str | None = None, threads: int = 2) -> Mapping:
    """Read one picture and return the contract's JSON object as a dict; see `Reader` for many pictures."""
    return Reader(threads).read(source, question).to_dict()
