"""The way through: picture in, `Answer` out. ONNX Runtime only; no torch."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import numpy as np

from ecgvlm.digitize import Digitizer, Page
from ecgvlm.errors import EcgError
from ecgvlm.files.image import open_pages
from ecgvlm.files.leads import cause
from ecgvlm.files.leaf import Content, Leaf
from ecgvlm.judge.evidence import Evidence
from ecgvlm.judge.facts import NOBODY, Person
from ecgvlm.judge.findings import FindingsModel
from ecgvlm.judge.grounding import Ground, find_grounds
from ecgvlm.labels import NAMES
from ecgvlm.measure import MEASUREMENTS, Measurements
from ecgvlm.record import MachineReading, Record
from ecgvlm.sheets import Digitize, first_ecg, page_of, stated_on
from ecgvlm.together import together
from ecgvlm.words.language import Language

QUESTION = "Classify the ECG condition (NORMAL or ABNORMAL) and specify the rhythm."
REPORT = "Please write a clinical report based on this ECG image."
# An ECG, in whatever form it is at hand; of a file, and of several pages, the first that shows one.
Source = str | Path | bytes | Leaf | Sequence[Leaf] | Content


@dataclass(frozen=True)
class Answer:
    """What one page says. Where `error` is None, the fields from `answer` on are filled; machine only where
    the file holds what the recording device said. others: what the other ECGs on the same picture say."""

    image: str
    question: str
    seconds: float
    error: EcgError | None = None
    answer: str = ""
    report: str = ""
    evidence: Evidence | None = None
    page: Page | None = None
    model: str = ""
    machine: MachineReading | None = None
    others: tuple[Answer, ...] = ()

    @classmethod
    def failed(cls, image: str, question: str | None, error: Exception) -> Answer:
        """Of a page that could not be read. What is no EcgError is a fault of ours, told with its kind."""
        if not isinstance(error, EcgError):
            error = EcgError("internal_error", f"{image}: {type(error).__name__}: {cause(error)}")
        return cls(image, question or QUESTION, 0.0, error=error)

    @property
    def measurements(self) -> Measurements | None:
        """What was measured on the page."""
        return None if self.page is None else self.page.measurements

    def _measurements(self) -> dict:
        """What was measured, but for what the findings leave no room for."""
        assert self.evidence
        assert self.page
        measured = self.page.measurements.to_dict()
        gone = [name for name, value in self.evidence.measurements.items() if value is None]
        reasons = {**measured["reasons"], **{name: self.evidence.reason(name) for name in gone}}
        return {**measured, **dict.fromkeys(gone), "reasons": reasons}

    def to_dict(self) -> dict:
        """The contract's JSON object."""
        head = {"image": self.image, "ok": self.error is None, "question": self.question}
        if self.error is not None:
            return {**head, "error": {"code": self.error.code, "message": self.error.message}}
        assert self.evidence
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
            "criteria": [criterion.to_dict() for criterion in self.evidence.criteria],
            "measurements": self._measurements(),
            "borderline": [
                name
                for name, value in self.evidence.measurements.items()
                if value is not None and self.evidence.inconsequential(name)
            ],
            "page": {
                "layout": self.page.layout,
                "px_per_mm": round(self.page.px_per_mm, 2),
                "mm_per_s": self.page.mm_per_s,
                "mm_per_mv": self.page.mm_per_mv,
                "chest_mm_per_mv": self.page.chest_mm_per_mv,
                "quality": round(self.page.quality, 3),
                "no_signal": list(self.page.flat),
                "more_leads": [strip.lead for strip in self.page.more],
                "simultaneous": self.page.simultaneous,
                "sheets": self.page.sheets,
            },
            **({} if self.machine is None else {"machine": self.machine.to_dict()}),
            **({"others": [other.to_dict() for other in self.others]} if self.others else {}),
            "model": self.model,
            "seconds": round(self.seconds, 3),
        }

    def _repr_html_(self) -> str:
        """How notebooks show an answer."""
        facts = self.to_dict()
        if self.error is not None:
            return f"<p><b>{escape(self.image)}</b>: {escape(self.error.message)}</p>"
        found = "".join(
            f"<tr><td>{escape(NAMES[label])}</td><td>{facts['labels'][label]:.0%}</td></tr>"
            for label in facts["findings"]
        )
        numbers = "".join(
            f"<tr><td>{known.title}</td><td>{value:.0f} {known.unit}</td></tr>"
            for key, known in MEASUREMENTS.items()
            if (value := facts["measurements"][key]) is not None
        )
        return (
            f"<h4>{escape(self.answer)}</h4><p>{escape(self.report)}</p><table>{found}{numbers}</table>"
            f"<p><small>{escape(self.image)}, {escape(self.model)}. Not a medical device.</small></p>"
        )


def _short(p: float) -> float:
    """Six digits: a probability just below a threshold of next to nothing must not look like it."""
    return float(f"{p:.6g}")


@dataclass(frozen=True)
class Seen:
    """What the eyes of the model make of one ECG; words come after. others: of those on the same picture."""

    page: Page
    evidence: Evidence
    machine: MachineReading | None = None
    others: tuple[Seen, ...] = ()


class Reader:
    """Reads pages in three stages. digitizer: picture -> Page; judge: Page -> Evidence; words: Evidence and a
    question -> words. Each is by default the one that comes with the package.

    threads: of ONNX Runtime, for each net of these. model: a folder as `ecgvlm export` writes it, for judge
    and words. Raises EcgError where a file of the model is missing or damaged.
    """

    def __init__(
        self,
        digitizer: Digitize | None = None,
        judge: FindingsModel | None = None,
        words: Language | None = None,
        *,
        threads: int = 2,
        model: Path | None = None,
    ):
        self.digitizer = digitizer or Digitizer(threads)
        self.judge, self.words = together(
            lambda: judge or FindingsModel(model, threads), lambda: words or Language(model, threads)
        )

    def read(
        self,
        source: Source,
        question: str | None = None,
        name: str | None = None,
        sensitivity: float | None = None,
        criteria: str = "definitions",
        language: str | None = None,
        spoken: str = "en",
    ) -> Answer:
        """Read one ECG (path, bytes, page, picture or record) and answer a question about it.

        question: None for NORMAL/ABNORMAL with the rhythm. name: what the answer calls the picture.
        sensitivity: share of the pages with a finding on which it is to be called, 0.5 to 0.99; None for the
        best F1. criteria: the working point, one of `ecgvlm.judge.criteria.POINTS`. language: of answer and
        report, one of `ecgvlm.words.phrases.LANGUAGES`; None for English, and that of the question. spoken:
        the language of a question that does not show its own ("FC?"). A picture that cannot be read gives an
        Answer with its error; nothing is raised for it. Of several ECGs on a picture the first is answered
        for, and each of the others by an Answer of its own in `others`.
        """
        start = time.perf_counter()
        asked = question or QUESTION
        if isinstance(source, Leaf):
            name = name or source.name
        label = name or (str(source) if isinstance(source, str | Path) else "upload")
        try:
            seen = self.look(source, name, sensitivity, criteria)
        except EcgError as error:
            return Answer(label, asked, time.perf_counter() - start, error=error)

        def said(seen: Seen, label: str) -> Answer:
            if question:
                answer = self.words.answer(seen.evidence, question, language, spoken)
            else:
                answer = self.words.verdict(seen.evidence, language or "en")
            return Answer(
                image=label,
                question=asked,
                seconds=0.0,
                answer=answer,
                report=self.words.report(seen.evidence, language or "en"),
                evidence=seen.evidence,
                page=seen.page,
                model=self.judge.name,
                machine=seen.machine,
            )

        answer, *others = (
            said(one, label if n == 1 else f"{label} (ECG {n})")
            for n, one in enumerate((seen, *seen.others), 1)
        )
        seconds = time.perf_counter() - start
        timed = tuple(replace(other, seconds=seconds) for other in others)
        return replace(answer, others=timed, seconds=seconds)

    def look(
        self,
        source: Source,
        name: str | None = None,
        sensitivity: float | None = None,
        criteria: str = "definitions",
    ) -> Seen:
        """Digitise and measure a picture and judge its findings; a record is judged as it is, and printed for
        people. Raises EcgError where it cannot be read.
        """
        content, page = self.find(source, name)
        person = NOBODY
        if isinstance(content, Record):
            person, machine = Person(content.age, content.sex), content.machine
        elif (machine := stated_on(content, page)) and not isinstance(content, np.ndarray):
            person = Person(machine.age, machine.sex)  # from a picture they are not sure enough
        seen, *others = (
            Seen(one, self.judge(one, sensitivity, criteria, person), machine) for one in (page, *page.others)
        )
        return replace(seen, others=tuple(others))

    def find(self, source: Source, name: str | None = None) -> tuple[Content, Page]:
        """What a source holds, and the page that it makes. Raises EcgError."""
        if isinstance(source, Content):
            return source, page_of(source, self.digitizer)
        if isinstance(source, str | Path | bytes):
            source = open_pages(source, name)
        content, page = first_ecg([source] if isinstance(source, Leaf) else source, self.digitizer)
        return content, page or page_of(content, self.digitizer)

    def grounds(self, answer: Answer) -> tuple[Ground, ...]:
        """The evidence on the page of every abnormal finding of a page that has been read."""
        if answer.page is None or answer.evidence is None:
            raise ValueError("this page could not be read; there is nothing to ground")
        return find_grounds(answer.page, answer.evidence, self.judge)

    def ask(self, answer: Answer, question: str) -> str:
        """Answer a further question about a page that has been read."""
        if answer.evidence is None:
            raise ValueError("this page could not be read; there is nothing to ask about")
        return self.words.answer(answer.evidence, question)


def read(
    source: str | Path | bytes,
    question: str | None = None,
    threads: int = 2,
    criteria: str = "definitions",
) -> Mapping:
    """Read one picture and return the contract's JSON object as a dict; see `Reader` for many pictures."""
    return Reader(threads=threads).read(source, question, criteria=criteria).to_dict()
