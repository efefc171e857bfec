import numpy as np
import pytest

from ecgvlm.errors import UsageError
from ecgvlm.paper.layouts import CABRERA, LAYOUTS, layout
from ecgvlm.record import LEADS


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("order", ["standard", "cabrera"])
def test_each_lead_once_and_columns_follow_each_other(name, order):
    page = LAYOUTS[name]
    strips = page.strips(10.0, order)
    leads = [s for s in strips if not s.rhythm]
    assert sorted(s.lead for s in leads) == sorted(LEADS)
    assert sum(s.rhythm for s in strips) == page.rhythm
    assert max(s.row for s in strips) + 1 == page.rows
    assert len({(s.row, s.column, s.rhythm) for s in strips}) == len(strips)
    for s in leads:
        assert (s.start, s.end) == (s.column * 10 / page.columns, (s.column + 1) * 10 / page.columns)


def test_three_by_four_reads_down_the_columns():
    rows = [[s.lead for s in LAYOUTS["3x4"].strips(10.0) if s.row == r] for r in range(3)]
    assert rows == [["I", "aVR", "V1", "V4"], ["II", "aVL", "V2", "V5"], ["III", "aVF", "V3", "V6"]]


def test_cabrera_inverts_only_avr():
    strips = LAYOUTS["6x2"].strips(10.0, "cabrera")
    assert tuple(s.lead for s in strips) == CABRERA
    assert [s.lead for s in strips if s.inverted] == ["aVR"]


def test_rhythm_strips_last_the_whole_row():
    rhythm = [s for s in LAYOUTS["3x4+3R"].strips(5.0, rhythm_leads=("V1", "II", "V5")) if s.rhythm]
    assert [s.lead for s in rhythm] == ["V1", "II", "V5"]
    assert np.all([(s.start, s.end) == (0.0, 5.0) for s in rhythm])


def test_unknown_layout_is_named():
    with pytest.raises(UsageError, match="4x3"):
        layout("4x3")
