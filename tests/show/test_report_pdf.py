"""The report as PDF: in every language, with glyphs for all that it says."""

import numpy as np
import pypdfium2
import pytest
from fontTools.ttLib import TTFont
from words.test_dialogue import INFERIOR, NORMAL

import ecgvlm.show.pdf as shown
from ecgvlm.files.image import open_pages
from ecgvlm.show.pdf import pdf_report
from ecgvlm.words import answers
from ecgvlm.words.phrases import LANGUAGES, words


def texts(pdf: bytes) -> str:
    return "".join(page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(pdf))


def test_it_says_what_the_answers_say():
    said = " ".join(texts(pdf_report(INFERIOR, "m@1")).split())
    assert answers.report(INFERIOR) in said
    for part in (
        "inferior myocardial infarction",
        "90%",
        "72 bpm",
        "60 – 100",
        "< 120",
        "m@1",
        "not a medical",
    ):
        assert part in said, part


@pytest.mark.parametrize("language", [x for x in LANGUAGES if x not in ("hi", "ar")])  # these are shaped
def test_it_is_in_the_language_asked_for(language):
    w = words(language)
    said = "".join(texts(pdf_report(INFERIOR, "m@1", w=w)).split())
    for text in (answers.overall(INFERIOR, w), w.names["paper"]["findings"], w.name("measures", "axis_deg")):
        assert "".join(text.split()).lower() in said.lower()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_character_has_a_glyph(language):
    folder = shown.files("ecgvlm.show") / "fonts"
    glyphs = {
        character
        for family in (shown._FONT, *shown._SCRIPTS)
        for character in TTFont(folder / f"{family}.ttf").getBestCmap()
    }
    w = words(language)
    said = [*w.sentences.values(), *(name for table in w.names.values() for name in table.values())]
    assert {x for text in said for x in text if x.isprintable() and ord(x) not in glyphs} == set()


def test_arabic_begins_on_the_right():
    """The ink of the first heading lies in the right half, that of English in the left."""
    halves = []
    for language in ("en", "ar"):
        page = next(iter(open_pages(pdf_report(NORMAL, "", w=words(language))))).load().image
        ink = (page[: page.shape[0] // 12] < 100).any(axis=2)
        halves.append(np.flatnonzero(ink.any(axis=0)).mean() > page.shape[1] / 2)
    assert halves == [False, True]


def test_it_draws_the_leads():
    t = np.arange(5000) / 500
    leads = np.stack([np.sin(2 * np.pi * (i + 1) * t / 3) for i in range(12)])
    leads[3, 1000:1500] = np.nan
    drawn = [leaf.load().image for leaf in open_pages(pdf_report(NORMAL, "", leads))]
    empty = [leaf.load().image for leaf in open_pages(pdf_report(NORMAL, "", np.full_like(leads, np.nan)))]
    assert len(drawn) == len(empty) == 2
    assert (drawn[1] < 100).sum() > (empty[1] < 100).sum() + 20_000
