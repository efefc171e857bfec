"""Notes of speed and gain count by their own letters, whatever stands beside them."""

from collections.abc import Sequence

import numpy as np
import pytest

from ecgvlm.digitize.lettering import NAME_WIDTH, Lettering, Notes, Reading
from ecgvlm.digitize.pagenet import CLASSES, FURTHER, NOTES, PULSE, NetMaps
from ecgvlm.record import LEADS


def _reading(text: str, unsure: str = "") -> Reading:
    """A line of which all letters are plain but for this part."""
    first = text.index(unsure) if unsure else len(text)
    return Reading(text, tuple(0.4 if first <= k < first + len(unsure) else 0.95 for k in range(len(text))))


@pytest.mark.parametrize(
    ("text", "unsure", "notes"),
    [
        ("25mm/s40mm/mv~", "~", [("speeds", 25.0), ("gains", 40.0)]),  # a filter behind them is hard to read
        ("25mm/s40mm/mv", "40", [("speeds", 25.0)]),
        ("~12.5mm/secl10mm/mvc5mm/mv", "", [("speeds", 12.5), ("gains", 10.0), ("chest", 5.0)]),
        ("612.5mm/s", "6", [("speeds", 12.5)]),  # a hardly sure digit is the edge of something else
        ("62.5mm/s", "", []),
        ("1cm/mv", "", [("gains", 10.0)]),
        ("10/5mm/mv", "", [("gains", 10.0), ("chest", 5.0)]),
    ],
)
def test_plain_notes_of_a_line(text, unsure, notes):
    assert _reading(text, unsure).notes() == notes


@pytest.mark.parametrize(
    ("spelled", "seen", "named"),
    [
        ("v4r", {"V4": 0.9}, "V4"),  # so "V4:" is spelled in some faces
        ("v4r", {"V4": 0.5, "further": 0.4}, "V4R"),
        ("v4r", {"V4": 0.5}, "V4R"),  # the page net is torn itself
        ("v4r", {"V6": 0.6}, "V4R"),
        ("v7", {"V1": 0.9}, "V7"),
        ("v8", {"further": 0.5}, "V8"),
        ("", {"further": 0.5}, None),  # one of those, but which?
    ],
)
def test_further_names_need_the_page_net_where_a_colon_looks_like_them(monkeypatch, spelled, seen, named):
    read = Reading(spelled, (0.95,) * len(spelled))
    monkeypatch.setattr(Lettering, "_spell", lambda _, crops: [read] * len(crops))
    maps = np.zeros((CLASSES, 20, NAME_WIDTH), np.float32)
    for lead, p in seen.items():
        maps[FURTHER if lead == "further" else LEADS.index(lead), 10, 30] = p
    page = np.full((80, 4 * NAME_WIDTH, 3), 255, np.uint8)
    names = Lettering().names(page, NetMaps(np.zeros(page.shape[:2], np.float32), maps))
    assert [name.lead for name in names] == ([named] if named else [])


def _notes(monkeypatch, texts: Sequence[str], note: str, p: float) -> Notes:
    """Of a line where the page net sees a note, and that is read so in each size of print."""
    left = iter(texts)

    def spell(_, crops):
        text = next(left)
        return [Reading(text, (0.95,) * len(text))]

    monkeypatch.setattr(Lettering, "_spell", spell)
    maps = np.zeros((CLASSES, 20, 100), np.float32)
    maps[PULSE + 1 + NOTES.index(note), 10, 30] = p
    page = np.full((80, 400, 3), 255, np.uint8)
    return Lettering().notes(page, NetMaps(np.zeros(page.shape[:2], np.float32), maps))


def test_two_zeros_that_one_size_reads_as_one_are_two(monkeypatch):
    notes = _notes(monkeypatch, ("10mm/s", "100mm/s", "mm/s"), "25 mm/s", 0.5)
    assert notes.speeds == {100.0}


@pytest.mark.parametrize(
    ("texts", "seen", "gains"),
    [
        (("mmmv", "mm/mv", "5mm/mv"), 0.7, set()),  # the page net sees 10, and one size of print reads 5
        (("mmmv", "5mm/mv", "5mm/mv"), 0.7, {5.0}),
        (("mmmv", "mm/mv", "5mm/mv"), 0.3, {5.0}),
    ],
)
def test_letters_of_one_size_alone_do_not_gainsay_the_page_net(monkeypatch, texts, seen, gains):
    assert _notes(monkeypatch, texts, "10 mm/mV", seen).gains == gains
