"""What a picture prints around its traces is read where RapidOCR is installed, and only shown."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from pages import page

from ecgvlm import sheets
from ecgvlm.digitize import Digitizer
from ecgvlm.files import ocr
from ecgvlm.files.drawing import Word


@pytest.fixture(scope="module")
def read():
    image = page().image
    return image, Digitizer(1)(image)


def test_lines_of_print_become_words(monkeypatch):
    module = ModuleType("rapidocr")
    boxes = [[[10, 20], [60, 20], [60, 30], [10, 30]], [[0, 0], [5, 0], [5, 5], [0, 5]]]

    def engine(image, use_cls):
        assert image[0, 0].tolist() == [3, 2, 1]
        return SimpleNamespace(boxes=np.array(boxes), txts=("HR 72", "?"), scores=(0.9, 0.2))

    module.RapidOCR = lambda params: engine
    monkeypatch.setitem(sys.modules, "rapidocr", module)
    ocr._engine.cache_clear()
    assert ocr.read_words(np.full((40, 80, 3), (1, 2, 3), np.uint8)) == [Word("HR 72", 10, 20, 60, 30)]
    ocr._engine.cache_clear()


def test_what_stands_around_the_traces_is_shown(monkeypatch, read):
    image, found = read
    assert sheets.stated_on(image, found) is None or ocr.can_read_words()
    monkeypatch.setattr(sheets, "can_read_words", lambda: True)
    parts = []

    def words(part: np.ndarray) -> list[Word]:
        parts.append(part)
        return [Word("Age: 61  Vent. rate 72 bpm", 0, 0, 9, 9)]

    monkeypatch.setattr(sheets, "read_words", words)
    stated = sheets.stated_on(image, found)
    assert (stated.age, stated.measurements) == (61, {"heart_rate_bpm": 72.0})
    assert 0 < sum(len(part) for part in parts) < 0.7 * len(image)


@pytest.mark.skipif(importlib.util.find_spec("rapidocr") is None, reason="needs the extra ocr")
def test_real_print():
    picture = np.full((120, 900, 3), 255, np.uint8)
    text = "Vent. rate 72 BPM  PR interval 160 ms"
    cv2.putText(picture, text, (20, 70), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (0, 0, 0), 2, cv2.LINE_AA)
    assert "160" in "".join(word.text for word in ocr.read_words(picture))
