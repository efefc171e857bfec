"""Where the shipped model draws its lines: by default for the best F1, elsewhere for a sensitivity."""

import numpy as np
import pytest

from ecgvlm.judge.findings import SENSITIVITY, FindingsModel
from ecgvlm.labels import LABELS
from ecgvlm.measure import measure
from ecgvlm.sheets import page_of
from ecgvlm.simulate import Simulation, simulate


@pytest.fixture(scope="module")
def model() -> FindingsModel:
    return FindingsModel(threads=1)


def test_without_a_sensitivity_the_thresholds_are_the_model_s_own(model):
    assert model.thresholds_at(None) == model.thresholds


def test_more_sensitivity_calls_more_findings_and_less_that_is_unremarkable(model):
    rows = [model.thresholds_at(float(s)) for s in np.linspace(*SENSITIVITY, 23)]
    for label in LABELS:
        curve = np.array([row[label] for row in rows])
        assert ((curve > 0) & (curve < 1)).all()
        rising = label in ("NORM", "SR")
        assert (np.diff(curve) >= -1e-9).all() if rising else (np.diff(curve) <= 1e-9).all(), label
    assert rows[0]["AF"] > 2 * rows[-1]["AF"]


@pytest.mark.parametrize("sensitivity", [0.0, 0.49, 0.995, 1.0, float("nan")])
def test_a_sensitivity_that_nothing_is_known_of_is_refused(model, sensitivity):
    with pytest.raises(ValueError, match=r"from 0\.5 to 0\.99"):
        model.thresholds_at(sensitivity)


@pytest.mark.parametrize(("heart", "said"), [({}, True), ({"st_elevation": "inferior"}, False)])
def test_ischaemia_explains_axes_that_exchanged_electrodes_would_have(model, monkeypatch, heart, said):
    monkeypatch.setattr("ecgvlm.judge.findings.find_cautions", lambda *_: ("limb_leads",))
    record, _ = simulate(Simulation(rate_bpm=70, **heart), seed=2)
    evidence = model(page_of(record, digitize=None))
    assert ("STE" in evidence.findings) != said
    assert ("limb_leads" in evidence.cautions) == said


def test_what_a_rhythm_leaves_no_room_for_is_measured_in_no_condition_either(model, monkeypatch):
    """A PR interval of flutter, which the answer says cannot be measured."""
    record, _ = simulate(Simulation(rate_bpm=70, pr_ms=230), seed=2)
    measured = measure(record.signal, record.fs)
    assert measured.pr_ms is not None
    flutter = dict.fromkeys(LABELS, 0.01) | {"AFLT": 0.99}
    monkeypatch.setattr(model, "probabilities", lambda *_: flutter)
    evidence = model.judge(record.signal, record.fs, measured)
    assert evidence.measurements["pr_ms"] is None
    told = [c for c in evidence.criteria if c.name.startswith("PR interval")]
    assert {"1dAVb", "SHORTPR", "WPW"} <= {c.finding for c in told}
    assert all(c.value is None and c.met is None and c.sure is None for c in told)
