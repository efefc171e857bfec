"""Pages that programs drew are read from their lines: the leads come back as they were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from vectors import CHEST, LIMB, Sheet, drawn_pdf

from ecgvlm.digitize import Digitizer, Page
from ecgvlm.digitize.drawn import drawn_page, notes_in
from ecgvlm.files.drawing import Drawing
from ecgvlm.files.image import open_pages
from ecgvlm.record import LEADS, Record
from ecgvlm.simulate import Simulation, simulate

TWO = (LIMB, CHEST)


@pytest.fixture(scope="module")
def record() -> Record:
    return simulate(Simulation(rate_bpm=71), 3)[0]


def drawing(record: Record, sheet: Sheet) -> Drawing:
    content = open_pages(drawn_pdf(record, sheet))[0].load()
    assert isinstance(content, Drawing)
    return content


def read(record: Record, sheet: Sheet) -> Page:
    page = drawn_page(drawing(record, sheet), lambda paper: pytest.fail("its names are words"))
    assert page is not None
    return page


def worst(page: Page, record: Record) -> float:
    """The least correlation of a lead with what was drawn."""
    leads, found = page.leads(record.fs), []
    for row, drawn in zip(leads, record.signal):
        known = np.flatnonzero(np.isfinite(row[: drawn.size]))
        assert len(known) > record.fs
        found.append(float(np.corrcoef(row[known], drawn[known])[0, 1]))
    return min(found)


@pytest.mark.parametrize(
    ("sheet", "layout"),
    [
        (Sheet(), "3x4+1R"),
        (Sheet(whole_rows=True, below=5.0), "3x4+1R"),
        (Sheet(rhythm=("II", "V1", "V5"), names="lowered"), "3x4+3R"),
        (Sheet(columns=TWO, rhythm=(), speed=50.0, gain=20.0), "6x2"),
        (Sheet(columns=(LEADS,), rhythm=(), gain=5.0), "12x1"),
        (Sheet(pen="shuffled", turn=90), "3x4+1R"),
        (Sheet(pen="outline", sideways=True), "3x4+1R"),
        (Sheet(pen="curves", form=True, columns=TWO, rhythm=()), "6x2"),
    ],
)
def test_leads_come_back_as_they_were_drawn(record, sheet, layout):
    page = read(record, sheet)
    assert (page.layout, page.mm_per_s, page.mm_per_mv) == (layout, sheet.speed, sheet.gain)
    assert worst(page, record) > 0.9995
    assert np.nanmax(np.abs(page.leads(500.0))) == pytest.approx(np.abs(record.signal).max(), rel=0.15)
    assert not page.scale_doubtful


@pytest.mark.parametrize(
    "sheet",
    [
        Sheet(scale=0.8),
        Sheet(scale=0.55, form=True),
        Sheet(scale=0.9, grid=(5.0,)),
        Sheet(grid=(), note="25 mm/s"),
    ],
)
def test_millimetres_are_those_of_the_grid(record, sheet):
    page = read(record, sheet)
    assert (page.mm_per_s, page.mm_per_mv) == (25.0, 10.0)
    assert page.measurements.heart_rate_bpm == pytest.approx(71, abs=1)
    assert worst(page, record) > 0.9995


def test_nothing_is_taken_for_granted_without_a_scale(record):
    """A page at 90% of its size without grid, pulse or full rows: its lines alone do not tell the mm."""
    lone = Sheet(scale=0.9, grid=(), pulse=False)
    assert drawn_page(drawing(record, lone), lambda paper: []) is None


def test_an_upside_down_lead(record):
    order = (("aVL", "I", "−aVR"), ("II", "aVF", "III"), LEADS[6:9], LEADS[9:])
    page = read(record, Sheet(columns=order))
    assert page.order == "cabrera"
    assert worst(page, record) > 0.9995


def test_pixels_where_lines_do_not_tell_the_names(record):
    """Names that are no words are looked for in the picture; without any, the lines are left alone."""
    page = drawing(record, Sheet(names=""))
    assert drawn_page(page, lambda paper: []) is None


@pytest.mark.slow
def test_lines_and_pixels_agree(record):
    page = drawing(record, Sheet())
    digitizer = Digitizer(1)
    lines, pixels = digitizer(page), digitizer(page.image)
    for fact in ("layout", "order", "mm_per_s", "mm_per_mv", "simultaneous"):
        assert getattr(lines, fact) == getattr(pixels, fact)
    places = [
        np.array([page.to_source(np.array([s.x0, s.y])) for s in page.strips]) for page in (lines, pixels)
    ]
    assert np.abs(places[0] - places[1]).max() < 8


def test_notes():
    notes = notes_in(["25mm/s  Limb: 10 mm/mV  Chest: 5.0 mm/mV", "Rhythm 10 s, 25 mm/sec"])
    assert (notes.speeds, notes.gains, notes.chest) == ({25.0}, {10.0}, {5.0})
    assert notes_in(["25 mm/s 1 cm/mV"]).gains == {10.0}


@pytest.mark.real_data
def test_device_pages(shared_data):
    """CardioSoft's and Schiller's pages hold the traces that were read from their paths by other means."""
    for file in sorted((shared_data / "pdf").glob("*.pdf")):
        table = np.genfromtxt(file.with_suffix("").with_suffix(".signal500.csv"), delimiter=",", names=True)
        for leaf in open_pages(file)[:2]:
            page = drawn_page(leaf.load(), lambda paper: [])
            leads = page.leads(500.0)
            for strip in page.strips:
                row = leads[LEADS.index(strip.lead), : len(table)]
                known = np.isfinite(row)
                assert np.corrcoef(row[known], table[strip.lead][: len(row)][known])[0, 1] > 0.999


def test_leads_without_signal_are_said(record):
    signal = record.signal.copy()
    signal[[6, 8]] = 0.0
    page = read(replace(record, signal=signal), Sheet())
    assert page.flat == ("V1", "V3")
    assert page.layout == "3x4+1R"


def test_two_ecgs_are_not_mixed(record):
    twice = Sheet(columns=(LIMB, CHEST, LIMB, CHEST), rhythm=())
    assert drawn_page(drawing(record, twice), lambda paper: []) is None


def test_words_elsewhere_name_nothing(record):
    words = ((150.0, 12.0, "I"), (100.0, 20.0, "ST elevation in V1 and V2"), (30.0, 16.0, "aVL"))
    assert worst(read(record, Sheet(words=words)), record) > 0.9995
