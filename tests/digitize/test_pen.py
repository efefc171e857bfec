"""The curve is found in the ink that a round pen leaves of it."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from ecgvlm.digitize.pen import ALONG, LEVELS, Ink, curves

_RADIUS = 0.9  # px


def _curve(height: float) -> np.ndarray:
    """[900] px: level with spikes of a few px's width, up or down."""
    x = np.arange(900) / ALONG
    spikes = sum(np.maximum(0, 1 - np.abs(x - at) / 2.5) for at in (60, 140, 220))
    return 50 - height * spikes


def _inked(curve: np.ndarray) -> Ink:
    edges = []
    for level in LEVELS:
        radius = _RADIUS + 0.4 * (0.5 - level)  # blur spreads the ink where it is faint
        reach = int(radius * ALONG)
        rise = np.sqrt(radius**2 - (np.arange(-reach, reach + 1)[:, None] / ALONG) ** 2)
        under = sliding_window_view(np.pad(curve, reach, mode="edge"), len(curve))
        edges.append(((under - rise).min(0), (under + rise).max(0)))
    top, bottom = np.moveaxis(np.array(edges), 1, 0)
    plain = bottom[1] - top[1]
    centre = np.where(plain < 4.5, (top[1] + bottom[1]) / 2, np.nan)
    return Ink(top, bottom, centre, np.round(curve), np.ones(len(curve)))


@pytest.mark.parametrize("height", [30.0, -30.0, 15.0])
def test_spikes_keep_their_tips_and_flanks(height):
    curve = _curve(height)
    ink = _inked(curve)
    (found,) = curves([ink], 2 * _RADIUS)
    middle = (ink.top[1] + ink.bottom[1]) / 2
    assert np.std(found - curve) < 0.6 * np.std(middle - curve)
    assert abs(np.abs(found - 50).max() - abs(height)) < 0.1 * abs(height)


def test_strips_do_not_see_each_other():
    first, second = _inked(_curve(30.0)), _inked(_curve(-12.0)[:700])
    both, alone = curves([first, second], 2 * _RADIUS), curves([second], 2 * _RADIUS)
    assert both[1] == pytest.approx(alone[0], abs=0.1)
    assert len(both[0]) == 900


def test_a_strip_without_ink_follows_its_path():
    ink = _inked(_curve(10.0))
    none = np.full_like(ink.top, np.nan)
    (found,) = curves([Ink(none, none, none[0], ink.path, ink.dark)], 2 * _RADIUS)
    assert np.abs(found - ink.path).max() < 2
