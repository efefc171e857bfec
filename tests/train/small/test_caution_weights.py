"""Cautions are fitted on some patients, limited on others, and say what they are about on the rest."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from ecgvlm.judge.findings import scaled, strips
from ecgvlm.labels import LABELS
from ecgvlm.measure import measure
from ecgvlm.simulate import random_simulation, simulate
from ecgvlm.train.small import caution_weights as fitting
from ecgvlm.train.small.pool import GROUPS, Pool

NORM = LABELS.index("NORM")


@pytest.fixture(scope="module")
def pages() -> Pool:
    """200 simulated hearts in sinus rhythm, as if they were records of as many patients."""
    rng = np.random.default_rng(3)
    signals = [
        simulate(random_simulation(rng, str(rng.choice(["normal", "bradycardia", "lvh"]))), k, fs=100)[
            0
        ].signal
        for k in range(200)
    ]
    measured = [measure(signal, 100) for signal in signals]
    n = len(signals)
    return Pool(
        leads=np.array([strips(signal) for signal in signals], np.float16),
        beat=np.array([m.median_beat for m in measured], np.float16),
        numbers=np.array([scaled(m) for m in measured]),
        target=np.zeros((n, len(LABELS)), np.int8),
        fold=np.full(n, 10),
        group=np.arange(n) % GROUPS,
        name=np.arange(n).astype(str),
        kind=np.full(n, "clean"),
        estimated=np.zeros(n, bool),
    )


def test_exchanged_electrodes_are_said_and_right_ones_are_not(pages):
    risks = np.linspace(0, 1, len(pages.fold))
    fitted = fitting.fit(pages, risks)
    said = fitting.alarms(pages.where(pages.group == fitting.TEST), fitted)
    assert said["swap none"] <= 0.1
    assert min(said["swap RA-LA"], said["swap RA-LL"]) > 0.8
    assert said["unlike"] <= 0.1
    limited = risks[pages.group == fitting.LIMITS]
    assert (limited <= fitted.risk_limit).mean() == pytest.approx(fitting.COVERAGE, abs=0.05)


def test_leaving_out_the_riskiest_lowers_the_loss():
    rng = np.random.default_rng(0)
    target = (rng.random((400, len(LABELS))) < 0.3).astype(np.int8)
    found = target == 1
    found[300:, NORM] ^= True  # the last hundred are wrong
    target[:50, NORM] = -1  # open labels are no errors
    found[:50, NORM] ^= True
    figures = fitting.abstention(found, target, np.arange(400.0), limit=299.5)
    loss = figures["hamming_loss_by_coverage"]
    assert loss["100%"] == pytest.approx(100 / 7 / 400, abs=1e-4)
    assert loss["90%"] == pytest.approx(60 / 7 / 360, abs=1e-4)
    assert loss["70%"] == 0
    assert figures["at_the_shipped_limit"] == {"coverage": 0.75, "hamming_loss": 0}
