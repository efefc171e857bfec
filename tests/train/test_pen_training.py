"""The net of the curve in its ink: examples agree with the truth, and turned pages with themselves."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecgvlm.digitize import Digitizer  # noqa: E402
from ecgvlm.digitize.pen import ALONG, CHOICES, FACTS, Ink, views_of  # noqa: E402
from ecgvlm.paper.print import print_page  # noqa: E402
from ecgvlm.paper.style import page_style  # noqa: E402
from ecgvlm.simulate import Simulation, simulate  # noqa: E402
from ecgvlm.train.small.pen import PenNet, backwards, examples, loss, stretches, upside_down  # noqa: E402


@pytest.fixture(scope="module")
def strips():
    record = simulate(Simulation(rate_bpm=70), 3)[0]
    return list(examples(print_page(record, "photo", 5, page_style("classic")), Digitizer(1)))


def test_the_truth_lies_where_the_ink_is(strips):
    assert len(strips) == 13
    for strip in strips:
        assert strip.seen.shape == (CHOICES + FACTS, len(strip.off))
        level = strip.seen[CHOICES + 1].astype(bool) & np.isfinite(strip.off)
        assert np.median(np.abs(strip.off[level])) < 0.4


def test_a_step_makes_the_error_smaller(strips):
    torch.manual_seed(0)
    seen, off, spread = stretches(strips)
    net = PenNet()
    before = loss(net(seen.float()), off, spread)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(5):
        optimizer.zero_grad()
        loss(net(seen.float()), off, spread).backward()
        optimizer.step()
    assert loss(net(seen.float()), off, spread) < before


def test_turned_stretches_are_what_turned_ink_looks_like():
    rng = np.random.default_rng(1)
    n = 60 * ALONG
    curve = np.cumsum(rng.normal(0, 0.4, n))
    thick = 0.6 + rng.uniform(0, 0.4, (2, 3, n)).cumsum(1)[:, ::-1]
    ink = Ink(curve - thick[0], curve + thick[1], curve, np.round(curve), np.ones(n))
    over = Ink(-ink.bottom, -ink.top, -curve, -ink.path, ink.dark)
    back = Ink(ink.top[:, ::-1], ink.bottom[:, ::-1], curve[::-1], ink.path[::-1], ink.dark)
    seen, off = torch.tensor(views_of([ink], 1.6)[0][1])[None], torch.zeros(1, n)
    for turn, other in ((upside_down, over), (backwards, back)):
        turned = turn(seen, off)[0][0].numpy()
        inner = np.s_[:, 4:-4]  # at the ends what lies beside comes from the other end
        np.testing.assert_allclose(turned[inner], views_of([other], 1.6)[0][1][inner], atol=1e-4)
