"""A reading as a PDF, in any of the languages: verdict, report, findings, measurements, and the leads."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np

from ecgvlm.judge.evidence import Evidence
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.record import LEADS
from ecgvlm.words import answers
from ecgvlm.words.phrases import ENGLISH, Words

if TYPE_CHECKING:
    from fpdf import FPDF

_RIGHT_TO_LEFT = ("ar",)
_FONT = "latin"
_SCRIPTS = ("devanagari", "arabic", "chinese")  # fonts of what the Latin one lacks
_LIKELY = 0.2  # probability from which on a finding is listed
_FOUND, _NOT_FOUND, _BAR = (179, 38, 30), (138, 138, 138), (240, 240, 240)
_MARGIN, _LINE, _BAR_WIDTH = 18.0, 5.0, 40.0  # mm
_FINDING = 100.0, 32.0  # mm of a finding's name and of its probability
_MEASUREMENT = 60.0, 84.0, 30.0  # mm of a measurement's name, value and range
_SECONDS, _MM_PER_S, _MM_PER_MV, _ROW = 10, 16.0, 6.0, 11.0  # of the leads
_MOST_MV = 3.0  # of a trace from its middle, so that rows do not run into each other


def pdf_report(
    evidence: Evidence,
    model: str,
    leads: np.ndarray | None = None,
    fs: float = 500.0,
    w: Words = ENGLISH,
) -> bytes:
    """A reading as PDF, and on a second page the leads: [12, n] mV at fs Hz. model: its name; w: the language
    of all but the model's name."""
    document = _document(w)
    said = w.names["paper"]
    _heading(document, said["title"], 18)
    _text(document, said["disclaimer"], 9)
    _heading(document, answers.overall(evidence, w), 13)
    _heading(document, said["report"])
    _text(document, answers.report(evidence, w))
    _heading(document, said["findings"])
    _findings(document, evidence, w)
    _heading(document, said["measurements"])
    _measurements(document, evidence, w)
    _heading(document, said["page"])
    page = (answers.layout(evidence, w), answers.scale(evidence, w), answers.quality(evidence, w))
    _text(document, f"{w.text(page)} {model}")
    if leads is not None:
        document.add_page()
        _heading(document, said["leads"])
        _traces(document, leads, fs)
    return bytes(document.output())


def _document(w: Words) -> FPDF:
    """An empty A4 page whose fonts have all scripts and shape what needs it."""
    from fpdf import FPDF

    document = FPDF(format="A4")
    document.set_margins(_MARGIN, 12.0)
    document.set_auto_page_break(True, 12.0)
    with as_file(files("ecgvlm.show") / "fonts") as folder:
        for family in (_FONT, *_SCRIPTS):
            for style in ("", "B"):
                bold = "-bold" if style and family == _FONT else ""  # the others have no bold
                document.add_font(family, style, folder / f"{family}{bold}.ttf")
    document.set_fallback_fonts(list(_SCRIPTS))
    document.set_font(_FONT, size=10)
    document.set_text_shaping(True, direction="rtl" if w.language in _RIGHT_TO_LEFT else "ltr")
    document.set_title("ECG")
    document.set_creator("ecgvlm")
    document.set_lang(w.language)
    document.add_page()
    return document


def _heading(document: FPDF, text: str, size: float = 12) -> None:
    document.ln(2)
    _text(document, text, size, bold=True)


def _text(document: FPDF, text: str, size: float = 10, bold: bool = False) -> None:
    """A paragraph over the whole width."""
    document.set_font(_FONT, "B" if bold else "", size)
    with document.local_context():  # else the next text would be in the last script's font
        document.multi_cell(0, size / 2, text, align=_side(document), new_x="LMARGIN", new_y="NEXT")


def _side(document: FPDF) -> str:
    """On which side a line begins."""
    shaping = document.text_shaping
    return "R" if shaping and shaping["direction"].name == "RTL" else "L"


def _row(document: FPDF, widths: Sequence[float], texts: Sequence[str]) -> None:
    """Texts beside each other from where lines begin, each in its width in mm."""
    cells = list(zip(widths, texts))
    for width, text in cells if _side(document) == "L" else cells[::-1]:
        with document.local_context():
            document.cell(width, _LINE, text, align=_side(document))
    document.ln(_LINE)


def _findings(document: FPDF, evidence: Evidence, w: Words) -> None:
    """What was found or is likely, the likeliest first: its name, a bar, the probability, and what it rests
    on where there are words for it."""
    likely = {
        code: p for code, p in evidence.probabilities.items() if code in evidence.findings or p >= _LIKELY
    }
    if not likely:
        _text(document, w.names["paper"]["none"])
    for code, probability in sorted(likely.items(), key=lambda item: -item[1]):
        found = code in evidence.findings
        document.set_font(_FONT, "B" if found else "", 10)
        left, top = document.l_margin + _FINDING[_side(document) == "R"], document.get_y()
        for share, colour in ((1.0, _BAR), (probability, _FOUND if found else _NOT_FOUND)):
            document.set_fill_color(*colour)
            document.rect(left, top + 1, share * _BAR_WIDTH, 3, style="F")
        _row(
            document,
            (_FINDING[0], _BAR_WIDTH + 2, _FINDING[1]),
            (w.finding(code), "", w.percent(probability)),
        )
        met = w.listed(answers.condition(criterion, w) for criterion in evidence.why(code) if criterion.met)
        if found and met:
            _text(document, met, 7)


def _measurements(document: FPDF, evidence: Evidence, w: Words) -> None:
    """Each measurement with its value, or why there is none, and its normal range."""
    document.set_font(_FONT, size=9)
    _row(document, _MEASUREMENT, ("", "", w.name("places", "normal")))
    for name in MEASUREMENTS:
        value = evidence.measurements[name]
        said = w.name("reasons", evidence.reason(name)) if value is None else w.quantity(name, value)
        called = w.name("measures", name)
        _row(document, _MEASUREMENT, (called[0].upper() + called[1:], said, _range(name)))


def _range(name: str) -> str:
    """The normal range of a measurement in signs, "" where there is none to speak of."""
    low, high = MEASUREMENTS[name].low, MEASUREMENTS[name].high
    if high is None:
        return ""
    return f"< {high + 1:g}" if low is None else f"{low:g} – {high:g}"


def _traces(document: FPDF, leads: np.ndarray, fs: float) -> None:
    """The leads, one below the other."""
    top, left = document.get_y(), document.l_margin
    step = max(1, round(fs / 125))
    document.set_line_width(0.18)
    document.set_font(_FONT, size=8)
    for i, lead in enumerate(LEADS):
        y = top + _ROW * (i + 1)
        document.text(left, y + 1, lead)
        trace = leads[i, : int(_SECONDS * fs) : step]
        known = np.isfinite(trace)
        trace = np.clip(trace - np.median(trace[known]), -_MOST_MV, _MOST_MV) if known.any() else trace
        for run in np.split(np.arange(len(trace)), np.flatnonzero(~known)):
            run = run[known[run]]
            if len(run) > 1:
                x = left + 10 + run * step / fs * _MM_PER_S
                document.polyline(list(zip(x.tolist(), (y - trace[run] * _MM_PER_MV).tolist())))
