"""Which rows of a page the page net looks at."""

import numpy as np
import pytest

from ecgvlm.digitize import pagenet
from ecgvlm.digitize.pagenet import CLASSES, PageNet, _printed


def _page(*rows: int, ink: int = 30, height: int = 960) -> np.ndarray:
    """Squared paper [height, 1200, 3] with a line of ink and a word at each of these heights."""
    page = np.full((height, 1200, 3), 250, np.uint8)
    page[::25] = page[:, ::25] = (230, 170, 170)
    for y in rows:
        page[y : y + 3, 60:1140] = ink
        page[y - 20 : y, 100:140:4] = ink
    return page


def _missing(page: np.ndarray) -> np.ndarray:
    """Rows that the net does not see."""
    seen = np.zeros(len(page), bool)
    for part in _printed(page[..., 1]):
        assert part.start % 16 == part.stop % 16 == 0
        seen[part] = True
    return np.flatnonzero(~seen)


@pytest.mark.parametrize("rows", [(500, 700), (100, 700), (100, 300)])
def test_wide_blank_stretches_are_left_out(rows):
    missing = _missing(_page(*rows))
    assert len(missing) > 150
    assert min(np.abs(missing - y).min() for y in rows) > 48  # px about print
    dark = _page(*rows)
    dark[:, :20] = 90  # a shadow at the edge
    np.testing.assert_array_equal(_missing(dark), missing)


def test_print_anywhere_is_seen_and_faint_print_has_all_seen():
    page = _page(500, 700)
    page[180:190, 600:640] = 60  # a note
    assert not np.any(np.abs(_missing(page) - 185) < 48)
    assert not len(_missing(_page(500, 700, ink=225)))
    assert not len(_missing(np.full((960, 1200, 3), 250, np.uint8)))
    assert not len(_missing(_page(*range(60, 960, 120))))
    assert not len(_missing(_page()[:16]))
    assert not len(_missing(_page(500, 700)[:, :96]))


def test_nothing_is_seen_where_nothing_was_looked_at(monkeypatch):
    net, page = PageNet(1), _page(300, 700)
    maps, missing = net(page), _missing(page)
    seen = np.delete(np.arange(len(page)), missing)
    monkeypatch.setattr(pagenet, "_printed", lambda grey: [slice(0, len(grey))])
    alone = net(page[seen])
    assert maps.trace.shape == (960, 1200)
    assert maps.names.shape == (CLASSES, 240, 300)
    assert not maps.trace[missing].any()
    assert not maps.names[:, missing // 4].any()
    np.testing.assert_array_equal(maps.trace[seen], alone.trace)
    np.testing.assert_array_equal(maps.names[:, seen[::4] // 4], alone.names)
