"""The pool holds what layouts print of records, goes on where it stopped, and joins labels later."""

import numpy as np
import pytest

wfdb = pytest.importorskip("wfdb")

from ecgvlm.judge.findings import number  # noqa: E402
from ecgvlm.labels import LABELS  # noqa: E402
from ecgvlm.record import LEADS  # noqa: E402
from ecgvlm.simulate import Simulation, simulate  # noqa: E402
from ecgvlm.train.small import pool as making  # noqa: E402

HEAD = "ecg_id,patient_id,age,sex,strat_fold,rhythm,form,sub_class,super_class,scp_codes,report,amplitude\n"
ROWS = {
    1: "1,70,56,1,3,SR,,NORM,NORM,,,mV\n",
    2: "2,70,56,1,3,SR,LVOLT,LVH,HYP,,,estimated\n",
    3: "3,71,50,0,8,AFIB,,NORM,NORM,,,mV\n",
}


@pytest.fixture
def records(tmp_path):
    """Three records of two patients: level known, level estimated, and one of the locked fold."""
    folder = tmp_path / "ptbxl"
    (folder / "records100").mkdir(parents=True)
    (folder / "labels.csv").write_text(HEAD + "".join(ROWS.values()))
    for ecg_id in ROWS:
        signal = simulate(Simulation(), ecg_id, fs=100)[0].signal
        wfdb.wrsamp(
            f"{ecg_id:05d}_lr", fs=100, units=["mV"] * 12, sig_name=[x.upper() for x in LEADS],
            p_signal=signal.T.astype(float), fmt=["16"] * 12, write_dir=str(folder / "records100"),
        )  # fmt: skip
    return folder


def test_a_layout_prints_its_strips_and_nothing_else():
    signal = np.arange(12)[:, None] + np.zeros((12, 1000))
    signal[:, ::2] += 0.1
    leads = making.as_printed(signal, 100, "3x4+1R", 10.0)
    printed = np.isfinite(leads)
    assert printed[LEADS.index("II")].all()
    assert printed[LEADS.index("V1")].nonzero()[0].tolist() == list(range(500, 750))
    assert printed.sum() == 1000 + 11 * 250
    assert np.nanmax(np.abs(leads)) < 0.11  # each strip around its median


def test_pool_joins_labels_and_leaves_open_what_estimated_levels_cannot_tell(records, tmp_path):
    making.make_shards(making.real_jobs(records, "mask", 2, 5), tmp_path / "mask")
    making.make_shards(making.simulated_jobs(1, "mask", 5)[:3], tmp_path / "simulated")
    pool = making.load_pool([tmp_path / "mask", tmp_path / "simulated"], records)
    assert sorted(pool.name[pool.real]) == ["1", "1", "2", "2"]  # none of the locked fold
    again = making.load_pool([tmp_path / "mask", tmp_path / "simulated"], records)  # kept measurements
    assert np.array_equal(again.numbers, pool.numbers, equal_nan=True)
    first, second = (pool.target[pool.name == name][0] for name in "12")
    normal, voltage = LABELS.index("NORM"), [LABELS.index(label) for label in making.BY_VOLTAGE]
    assert (first[normal], second[normal]) == (1, 0)
    assert (first[voltage] == 0).all()
    assert (second[voltage] == -1).all()
    assert (pool.estimated == (pool.name == "2")).all()
    assert len(set(pool.group[pool.real])) == 1  # one patient
    assert (pool.group[~pool.real] == -1).all()
    assert (~pool.real).sum() == 3
    rate = [number(row, "heart_rate_bpm") for row in pool.numbers[pool.real]]
    assert rate == pytest.approx([Simulation().rate_bpm] * 4, abs=3)


def test_interrupted_run_makes_what_is_missing_and_the_same(records, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "_SHARD", 1)
    jobs = making.real_jobs(records, "mask", 1, 9)
    making.make_shards(jobs, tmp_path / "a")
    first, second = sorted((tmp_path / "a").glob("*.npz"))
    kept, whole = first.stat().st_mtime_ns, np.load(second)["leads"]
    second.unlink()
    making.make_shards(jobs, tmp_path / "a")
    assert first.stat().st_mtime_ns == kept
    assert np.array_equal(np.load(second)["leads"], whole, equal_nan=True)


def test_page_is_read_back(records):
    job = next(job for job in making.real_jobs(records, "page", 1, 3) if job.kind == "clean")
    leads, record = job.observe()
    assert leads.shape[0] == 12
    assert np.isfinite(leads).any(axis=1).all()
    assert record.meta["ecg_id"] in (1, 2)
