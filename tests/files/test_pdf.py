"""PDF pages come as drawings: upright, with their words, and of the part that shows something."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from pages import page
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from vectors import Sheet, drawn_pdf

from ecgvlm.files.drawing import Drawing, Word, text_lines
from ecgvlm.files.image import load_image, open_pages
from ecgvlm.simulate import Simulation, simulate


@pytest.fixture(scope="module")
def record():
    return simulate(Simulation(rate_bpm=71), 3)[0]


def load(data: bytes) -> Drawing:
    content = open_pages(data)[0].load()
    assert isinstance(content, Drawing)
    return content


@pytest.mark.parametrize("changes", [{}, {"turn": 90}, {"sideways": True}, {"form": True}])
def test_words_and_lines_lie_on_the_picture(record, changes):
    drawing = load(drawn_pdf(record, Sheet(grid=(), **changes)))
    assert drawing.image.shape[1] > drawing.image.shape[0]
    assert "25 mm/s 10 mm/mV" in [" ".join(line.split()) for line in text_lines(drawing.words)]
    dark = cv2.erode(drawing.image.min(2), np.ones((3, 3), np.uint8)) < 150
    for line in drawing.lines:
        x, y = line.points.round().astype(int).T
        assert dark[y, x].mean() > 0.95
    for word in drawing.words:
        assert dark[int(word.y0) : int(word.y1) + 1, int(word.x0) : int(word.x1) + 1].any()


def test_a_small_picture_on_a_large_page_fills_the_view():
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(595, 842))
    canvas.drawString(40, 800, "Dear colleague,")
    canvas.drawImage(ImageReader(_pil(page().image)), 60, 400, 250, 180)
    canvas.save()
    image = load_image(file.getvalue())
    assert image.shape == (1440, 2000, 3)
    same = cv2.resize(page().image, (2000, 1440), interpolation=cv2.INTER_AREA)
    assert np.abs(image.astype(int) - same).mean() < 12


def _pil(image: np.ndarray):
    from PIL import Image

    return Image.fromarray(image)


def test_white_and_unseen_lines_do_not_count():
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(595, 842))
    canvas.setStrokeColorRGB(1, 1, 1)
    canvas.line(10, 10, 500, 20)
    canvas.setStrokeColorRGB(0, 0, 1)
    canvas.line(10, 30, 500, 40)
    canvas.save()
    assert len(load(file.getvalue()).lines) == 1


def test_lines_of_text():
    words = [
        Word("HR", 0, 0, 20, 10),
        Word("64", 24, 1, 40, 11),
        Word("QRS", 90, 0, 120, 10),
        Word("x", 0, 30, 8, 40),
    ]
    assert text_lines(words) == ["HR 64  QRS", "x"]
