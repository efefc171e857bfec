"""Notes of speed and gain count by their own letters, whatever stands beside them."""

import pytest

from ecgvlm.digitize.lettering import Reading


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
        ("1cm/mv", "", [("gains", 10.0)]),
        ("10/5mm/mv", "", [("gains", 10.0), ("chest", 5.0)]),
    ],
)
def test_plain_notes_of_a_line(text, unsure, notes):
    assert _reading(text, unsure).notes() == notes
