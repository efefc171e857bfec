"""Paper speed by what the beats tell."""

from dataclasses import replace

import pytest

from ecgvlm.digitize.scale import beats_say
from ecgvlm.measure import measure
from ecgvlm.simulate import Simulation, simulate


@pytest.mark.parametrize(
    ("rate", "pr", "qrs", "qtc", "fifty"),
    [
        (38, 320, 160, None, True),  # everything twice as long as usual
        (45, 300, 190, 640, True),
        (65, 280, 95, 420, False),  # a long PR alone
        (40, 160, 95, 430, False),  # a slow heart
        (140, 110, 90, 400, False),
    ],
)
def test_long_pr_with_all_else_long_is_paper_that_ran_faster(rate, pr, qrs, qtc, fifty):
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    m = replace(m, heart_rate_bpm=rate, pr_ms=pr, qrs_ms=qrs, qtc_ms=qtc)
    assert (beats_say(m, 50.0) > 5) == fifty
    assert beats_say(m, 25.0) == 0
