"""What the waves look like in numbers: right on known beats, unknown where nothing is printed."""

from dataclasses import replace

import numpy as np
import pytest

from ecgvlm.judge.details import DETAIL_NAMES, details
from ecgvlm.judge.findings import NUMBER_NAMES, SCALED, lead_numbers, numbers
from ecgvlm.measure import measure
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, simulate


def looked_at(seed: int = 1, **heart) -> dict[str, float]:
    record, _ = simulate(Simulation(**heart), seed)
    return dict(zip(DETAIL_NAMES, details(measure(record.signal, record.fs)).tolist()))


def test_every_detail_has_a_name_of_its_own_and_a_place_among_the_numbers():
    assert len(set(DETAIL_NAMES)) == len(DETAIL_NAMES)
    assert NUMBER_NAMES[SCALED:] == DETAIL_NAMES
    record, _ = simulate(Simulation(), 1)
    m = measure(record.signal, record.fs)
    assert np.array_equal(numbers(m)[SCALED:], details(m), equal_nan=True)
    assert np.isfinite(details(m)).mean() > 0.99


def test_a_bundle_branch_block_is_late_and_wide():
    normal, lbbb = looked_at(), looked_at(conduction="lbbb", qrs_ms=160, qt_ms=440)
    assert lbbb["V6.r_time"] > normal["V6.r_time"] + 5
    assert lbbb["fact.steep_qrs_ms"] > normal["fact.steep_qrs_ms"] + 20
    assert abs(lbbb["V1.qrs_area"]) > abs(normal["V1.qrs_area"])
    assert lbbb["space.angle_of_peaks"] > normal["space.angle_of_peaks"]  # T goes against QRS


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_heights_grow_with_the_signal_and_directions_do_not(scale):
    record, _ = simulate(Simulation(), 4)
    m = measure(record.signal, record.fs)
    one = dict(zip(DETAIL_NAMES, details(m)))
    other = dict(zip(DETAIL_NAMES, details(replace(m, median_beat=m.median_beat * scale))))
    assert other["V5.qrs_height"] == pytest.approx(scale * one["V5.qrs_height"], rel=1e-3)
    assert other["chest.all_heights"] == pytest.approx(scale * one["chest.all_heights"], rel=1e-3)
    assert other["space.qrs_frontal"] == pytest.approx(one["space.qrs_frontal"], abs=0.1)
    assert other["V5.r_time"] == one["V5.r_time"]


def test_what_is_not_printed_is_unknown():
    record, _ = simulate(Simulation(), 2)
    leads = record.signal.copy()
    leads[LEADS.index("V2")] = np.nan
    m = measure(leads, record.fs)
    known = dict(zip(DETAIL_NAMES, details(m).tolist()))
    own = [value for name, value in known.items() if name.startswith("V2.")]
    assert np.isnan(own).all()
    assert np.isnan(known["space.qrs_size"])
    assert np.isfinite(known["V3.qrs_height"])
    assert np.isnan(numbers(m)[lead_numbers("V2")]).all()
    nothing = details(measure(np.full((12, 5000), np.nan), 500))
    assert np.isnan(nothing).all()
