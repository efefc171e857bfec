"""Dark and faint pictures are read as plain print is; others stay what they are."""

import cv2
import numpy as np
import pytest
from pages import page, strips_of

from ecgvlm.digitize.contrast import contrast_of, with_plain_ink
from ecgvlm.errors import EcgError


def developed(picture: np.ndarray, share: float, white: float) -> np.ndarray:
    """A picture with so much of its contrast, white at that grey level, and a sensor's noise."""
    noise = np.random.default_rng(3).normal(0, 1, picture.shape)
    return np.clip(white + share * (picture - 255.0) + noise, 0, 255).astype(np.uint8)


FAINT = {
    "dark": lambda picture: developed(picture, 0.08, 30),
    "washed out": lambda picture: developed(picture, 0.08, 240),
}


@pytest.mark.parametrize("kind", ["clean", "scan", "photo"])
def test_usual_pictures_are_not_touched(kind):
    picture = page(kind).image
    table = cv2.copyMakeBorder(picture, 300, 300, 300, 300, cv2.BORDER_CONSTANT, value=(90, 70, 55))
    for usual in (picture, table):
        assert with_plain_ink(usual, contrast_of(usual)) is usual


@pytest.mark.parametrize("name", FAINT)
def test_faint_pages_are_read_as_plain_ones_are(digitizer, name):
    rendering = page("photo")
    found = digitizer(FAINT[name](rendering.image))
    off = []
    for trace, t, px in strips_of(rendering, found):
        printed = np.stack([np.interp(t, trace.t, place) for place in trace.xy.T], 1)
        off.append(np.median(np.abs(px - printed)[:, 1]) / rendering.truth.px_per_mm)
    assert len(off) > 12
    assert max(off) < 0.2  # mm


@pytest.mark.parametrize("levels", [0, 3])
def test_a_picture_too_dark_to_read_is_refused_and_light_is_asked_for(digitizer, levels):
    """levels: grey levels that its white is above black, which a sensor's noise covers."""
    picture = page("photo").image
    noise = np.random.default_rng(1).normal(0, levels, picture.shape)
    night = np.clip(picture / 255.0 * levels + noise, 0, 255).astype(np.uint8)
    with pytest.raises(EcgError, match="more light") as caught:
        digitizer(night)
    assert caught.value.code == "not_an_ecg"
