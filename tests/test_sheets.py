"""The ECG of a file is found on whichever of its pages it stands."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from pages import text_document
from vectors import CHEST, LIMB, Sheet, drawn_pdf

from ecgvlm.digitize import Digitizer
from ecgvlm.errors import EcgError
from ecgvlm.files.image import open_pages
from ecgvlm.files.leaf import Leaf, Spread
from ecgvlm.record import Record
from ecgvlm.sheets import MOST_TRIED, first_ecg, page_of
from ecgvlm.simulate import Simulation, simulate


@pytest.fixture(scope="module")
def digitizer() -> Digitizer:
    return Digitizer(1)


@pytest.fixture(scope="module")
def record() -> Record:
    return simulate(Simulation(rate_bpm=71), 3)[0]


def letter(k: int = 1) -> Leaf:
    return Leaf(f"letter (page {k})", text_document)


def test_a_letter_before_the_ecg_is_passed_over(record, digitizer):
    content, page = first_ecg([letter(), *open_pages(drawn_pdf(record, Sheet()))], digitizer)
    assert page.layout == "3x4+1R"
    assert page_of(content, digitizer).layout == "3x4+1R"


def test_halves_are_joined_and_read_again_as_one(record, digitizer):
    sheets = [Sheet(columns=(leads,), rhythm=()) for leads in (LIMB, CHEST)]
    content, page = first_ecg(open_pages(drawn_pdf(record, *sheets)), digitizer)
    assert isinstance(content, Spread)
    assert page.sheets == 2
    assert len(page_of(content, digitizer).strips) == 12
    with pytest.raises(EcgError, match="halves"):
        page_of(Spread(content.first, content.first), digitizer)


def test_a_record_is_given_as_it_is(record):
    assert first_ecg([Leaf("record", lambda: record)], partial(pytest.fail, "digitised")) == (record, None)


def test_what_is_said_of_letters_alone(digitizer):
    looked = []

    def digitize(image: np.ndarray):
        looked.append(image)
        raise EcgError("not_an_ecg", "no leads")

    with pytest.raises(EcgError, match=f"none of the first {MOST_TRIED} pages: no leads"):
        first_ecg([letter(k) for k in range(30)], digitize)
    assert len(looked) == MOST_TRIED
    with pytest.raises(EcgError, match=r"^no leads"):
        first_ecg([letter()], digitize)
