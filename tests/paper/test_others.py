"""Pictures that are no ECG: each without a trace in its truth, each unlike the next."""

import numpy as np
import pytest

from ecgvlm.errors import UsageError
from ecgvlm.paper.others import OTHERS, other_picture


@pytest.mark.parametrize("what", OTHERS)
def test_nothing_on_them_is_an_ecg(what):
    pictures = [other_picture(seed, what, "clean") for seed in range(3)]
    for picture in pictures:
        truth = picture.truth
        assert truth.traces == ()
        assert len(truth.pulses) == 0
        assert picture.image.dtype == np.uint8
        height, width = picture.image.shape[:2]
        assert min(height, width) >= 200
        assert (truth.mesh[-1, -1] < [width, height]).all()
        if what != "form":
            assert picture.image.std() > 2  # something is drawn
    assert len({picture.image.tobytes() for picture in pictures}) == 3


def test_the_same_seed_draws_the_same():
    one, other = (other_picture(4, kind="photo") for _ in range(2))
    assert np.array_equal(one.image, other.image)


def test_other_things_are_refused():
    with pytest.raises(UsageError, match="choose from charts"):
        other_picture(0, "unicorn")
