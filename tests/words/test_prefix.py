from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvlm.instruct.states import sample
from ecgvlm.words.prefix import FEATURES, TOKENS, WIDTH, encode, tokens


@given(st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_every_page_fits_into_the_prefix(seed):
    evidence = sample(Random(seed))
    ids = encode(evidence)
    assert ids.shape == (TOKENS, WIDTH)
    assert [[FEATURES[i] for i in row if i] for row in ids] == tokens(evidence)


def test_the_prefix_tells_pages_apart():
    pages = [encode(sample(Random(seed))) for seed in range(20)]
    assert len({page.tobytes() for page in pages}) == 20
    assert np.array_equal(pages[3], encode(sample(Random(3))))
