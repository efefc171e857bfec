"""Nothing that stands around the leads can be told from a redacted page, and the page can still be read."""

import cv2
import numpy as np
import pytest
from pages import page
from vectors import CHEST, LIMB, Sheet, drawn_pdf

from ecgvlm.digitize.drawn import drawn_page
from ecgvlm.digitize.joined import join, stacked
from ecgvlm.files.image import open_pages
from ecgvlm.measure import measure
from ecgvlm.show.redact import redact
from ecgvlm.simulate import Simulation, simulate


def named(kind: str, name: str) -> np.ndarray:
    picture = page(kind, height=240.0, header=58.0).image.copy()
    h, w = picture.shape[:2]
    for x, y in ((0.05, 0.04), (0.4, 0.1), (0.1, 0.985)):
        at = (round(x * w), round(y * h))
        cv2.putText(picture, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.8, (20, 20, 20), 2, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize("kind", ["clean", "scan"])
def test_names_leave_no_trace(digitizer, kind):
    found = digitizer(named(kind, "Erika Mustermann 12.08.1964"))
    one = redact(named(kind, "Erika Mustermann 12.08.1964"), found)
    other = redact(named(kind, "J. Doe"), found)
    assert (one == other).all()


@pytest.mark.parametrize("kind", ["clean", "photo"])
def test_what_is_left_can_be_read(digitizer, kind):
    picture = page(kind).image
    found = digitizer(picture)
    again = digitizer(redact(picture, found))
    assert again.layout == found.layout
    rates = [measure(p.leads(500.0), 500.0).heart_rate_bpm for p in (found, again)]
    assert rates[1] == pytest.approx(rates[0], abs=2)
    seen = [p.leads(100.0)[1] for p in (found, again)]
    n = min(len(lead) for lead in seen)
    known = np.isfinite(seen[0][:n]) & np.isfinite(seen[1][:n])
    assert np.corrcoef(seen[0][:n][known], seen[1][:n][known])[0, 1] > 0.95


def test_each_ecg_of_a_picture_keeps_its_leads(digitizer):
    """All but the first one went, so that a stored picture showed less than its answer says."""
    picture = np.vstack([page().image] * 2)
    found = digitizer(picture)
    again = digitizer(redact(picture, found))
    assert len(found.others) == len(again.others) == 1


def test_of_an_ecg_on_two_pages_each_keeps_its_own_leads():
    record = simulate(Simulation(rate_bpm=71), 3)[0]
    sheets = [Sheet(columns=(leads,), rhythm=()) for leads in (LIMB, CHEST)]
    drawings = [leaf.load() for leaf in open_pages(drawn_pdf(record, *sheets))]
    halves = [drawn_page(drawing, lambda paper: []) for drawing in drawings]
    images = [drawing.image for drawing in drawings]
    both = redact(stacked(*images), join(*halves))
    assert (both == stacked(*(redact(*pair) for pair in zip(images, halves)))).all()
