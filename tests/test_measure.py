"""What is measured on simulated hearts is what they were made of, in every layout."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from hearts import FS as HEARTS_FS
from hearts import NARROW, PAGES, WIDE, P, any_heart, columns, heart
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvlm.judge.evidence import REASONS
from ecgvlm.measure import BEAT_FS, SINUS_P, measure
from ecgvlm.measure.beats import _energy, _without_echoes
from ecgvlm.measure.signal import FS
from ecgvlm.paper.layouts import LAYOUTS, layout
from ecgvlm.record import LEADS
from ecgvlm.simulate import CONDITIONS, Noise, Simulation, random_simulation, simulate

T_MARKED = 12.0  # ms by which hands mark the end of T behind where its tangent meets the baseline
CONTRACT = ("heart_rate_bpm", "pr_ms", "qrs_ms", "qt_ms", "qtc_ms", "axis_deg")


def printed(record, name="3x4+1R", seed=0, noise_mv=0.02):
    """[12, n] mV as a page of this layout holds them: NaN elsewhere, each strip with a zero of its own."""
    rng = np.random.default_rng(seed)
    leads = np.full(record.signal.shape, np.nan)
    for strip in sorted(layout(name).strips(record.seconds), key=lambda strip: not strip.rhythm):
        part = slice(round(strip.start * record.fs), round(strip.end * record.fs))
        row = LEADS.index(strip.lead)
        leads[row, part] = record.signal[row, part] + rng.normal(0, 0.3)
    return leads + rng.normal(0, noise_mv, leads.shape)


def beats_agree(found, truth, seconds):
    """Whether every beat clear of the margins was found, and nothing else."""
    inside = truth[(truth > 0.25) & (truth < seconds - 0.25)]
    near = [np.abs(found - t).min() < 0.12 for t in inside]
    clear = found[(found > 0.25) & (found < seconds - 0.25)]
    return all(near) and all(np.abs(truth - t).min() < 0.12 for t in clear)


@pytest.mark.parametrize("name", LAYOUTS)
def test_intervals_in_every_layout(name):
    asked = Simulation(rate_bpm=70, pr_ms=170, qrs_ms=94, qt_ms=380, axis_deg=50)
    record, truth = simulate(asked, seed=3)
    found = measure(printed(record, name), record.fs)
    assert beats_agree(found.beats, truth.r_peak, record.seconds)
    assert found.heart_rate_bpm == pytest.approx(truth.rate_bpm, abs=1)
    assert found.pr_ms == pytest.approx(170, abs=16)
    assert found.qrs_ms == pytest.approx(94, abs=14)
    assert found.qt_ms == pytest.approx(380, abs=20)
    assert found.axis_deg == pytest.approx(truth.axis_deg, abs=8)
    assert found.qtc_ms == pytest.approx(found.qt_ms / np.sqrt(found.rr_ms / 1000))
    assert found.qtc_fridericia_ms == pytest.approx(found.qt_ms / np.cbrt(found.rr_ms / 1000))
    assert found.reasons == {}


@pytest.mark.parametrize("name", ["12x1", "3x4+1R", "6x2"])
def test_intervals_follow_what_was_asked(name):
    """Over forty healthy hearts: nearly every rate right, intervals true in the middle and rarely far off."""
    rng = np.random.default_rng(0)
    errors: dict[str, list[float]] = {key: [] for key in ("rate", "pr", "qrs", "qt", "axis")}
    for seed in range(40):
        pr, qrs, axis = rng.uniform(125, 220), rng.uniform(80, 115), rng.uniform(-20, 90)
        asked = Simulation(rate_bpm=rng.uniform(45, 120), pr_ms=pr, qrs_ms=qrs, axis_deg=axis)
        record, truth = simulate(asked, seed)
        found = measure(printed(record, name, seed), record.fs)
        errors["rate"].append(found.heart_rate_bpm / truth.rate_bpm - 1)
        errors["pr"].append(np.nan if found.pr_ms is None else found.pr_ms - pr)
        errors["qrs"].append(found.qrs_ms - qrs)
        errors["qt"].append(found.qt_ms - truth.qt_ms - T_MARKED)
        errors["axis"].append((found.axis_deg - truth.axis_deg + 180) % 360 - 180)
    assert np.mean(np.abs(errors["rate"]) < 0.05) >= 0.95
    assert np.mean(np.isfinite(errors["pr"])) >= 0.9
    for key, usual, rare in (("pr", 8, 40), ("qrs", 8, 30), ("qt", 10, 40), ("axis", 5, 25)):
        known = np.abs([error for error in errors[key] if np.isfinite(error)])
        assert np.median(known) < usual, key
        assert np.quantile(known, 0.9) < rare, key


@pytest.mark.parametrize("rate", [30, 45, 100, 150, 190])
def test_rates_from_slow_to_fast(rate):
    record, truth = simulate(
        Simulation(rate_bpm=rate, pr_ms=120, qt_ms=min(400, 0.62 * 60_000 / rate)), seed=5
    )
    found = measure(printed(record), record.fs)
    assert beats_agree(found.beats, truth.r_peak, record.seconds)
    assert found.heart_rate_bpm == pytest.approx(truth.rate_bpm, rel=0.03)


@pytest.mark.parametrize("fs", [100.0, 250.0, 400.0, 1000.0])
def test_sampling_rate_makes_no_difference(fs):
    record, _ = simulate(Simulation(rate_bpm=75, pr_ms=160, qrs_ms=96, qt_ms=390), seed=8, fs=fs)
    found = measure(printed(record, "12x1", noise_mv=0.01), fs)
    assert found.heart_rate_bpm == pytest.approx(75, abs=2)
    assert found.pr_ms == pytest.approx(160, abs=18)
    assert found.qrs_ms == pytest.approx(96, abs=16)
    assert found.qt_ms == pytest.approx(390, abs=20)


@pytest.mark.parametrize("name", ["12x1", "3x4+1R", "6x2+1R"])
def test_fibrillation_is_irregular_and_has_no_pr(name):
    """Of ten hearts each: PR is withheld in fibrillation, with the reason, and given in sinus rhythm."""
    given_pr = {"af": 0, "sinus": 0}
    variation = {"af": [], "sinus": []}
    for rhythm in given_pr:
        for seed in range(10):
            record, _ = simulate(Simulation(rhythm=rhythm, rate_bpm=85), seed)
            found = measure(printed(record, name, seed), record.fs)
            given_pr[rhythm] += found.pr_ms is not None
            variation[rhythm].append(found.rr_variation)
            if found.pr_ms is None:
                assert found.reasons["pr_ms"] == "no_p_wave"
                assert found.p_onset is None
    assert given_pr["af"] <= 2
    assert given_pr["sinus"] >= 9
    assert np.median(variation["af"]) > 0.1 > 0.05 > np.median(variation["sinus"])


def test_wide_and_long_are_told_from_normal():
    def median(name, **asked):
        values = []
        for seed in range(6):
            record, _ = simulate(Simulation(**asked), seed)
            values.append(getattr(measure(printed(record, seed=seed), record.fs), name))
        return np.median([value for value in values if value is not None])

    assert median("qrs_ms", qrs_ms=90) < 105
    assert median("qrs_ms", conduction="rbbb", qrs_ms=140, qt_ms=420) > 120
    assert median("qrs_ms", conduction="lbbb", qrs_ms=150, qt_ms=430) > 120
    assert median("pr_ms", pr_ms=160) < 185
    assert median("pr_ms", pr_ms=260, rate_bpm=60) > 235
    assert median("axis_deg", axis_deg=-60) < -40
    assert median("axis_deg", axis_deg=100) > 80


def test_premature_beats_are_marked_and_left_out_of_the_intervals():
    asked = Simulation(rate_bpm=65, pvc=0.2, qrs_ms=90, qt_ms=390)
    record, truth = simulate(asked, seed=11)
    found = measure(printed(record, "12x1"), record.fs)
    early = truth.r_peak[[kind == "pvc" for kind in truth.beats]]
    assert early.size
    assert beats_agree(found.beats, truth.r_peak, record.seconds)
    marked = found.beats[found.premature]
    for t in early[(early > 0.3) & (early < 9.7)]:
        assert np.abs(marked - t).min() < 0.12
    assert found.qrs_ms < 115
    assert found.rr_variation < found.rr_variation_raw


def test_waves_of_each_lead():
    """The median beat's amplitudes are the signal's own, in the leads where they can be read off."""
    record, truth = simulate(Simulation(rate_bpm=60, qt_ms=400, noise=Noise()), seed=2)
    found = measure(record.signal, record.fs)
    at = (truth.r_peak[3] * record.fs).astype(int)
    for lead, signal in zip(LEADS, record.signal):
        level = np.median(signal[round((truth.qrs_onset[3] - 0.02) * record.fs) :][:8])
        beat = signal[at - 40 : at + 40] - level
        waves = found.waves[lead]
        assert waves.r >= 0 >= max(waves.q, waves.s)
        assert waves.r == pytest.approx(
            max(float(beat.max()), 0), abs=0.15 + 0.15 * float(np.abs(beat).max())
        )
        assert min(waves.q, waves.s) == pytest.approx(
            min(beat.min(), 0), abs=0.15 + 0.15 * float(np.abs(beat).max())
        )
    assert found.median_beat.shape == (12, round(0.8 * BEAT_FS))
    assert np.isfinite(found.median_beat).all()


@pytest.mark.parametrize(("first", "q"), [(0.25, False), (0.0, True)])
def test_what_goes_down_behind_an_r_wave_is_no_q_wave(first, q):
    """As of the rSR' of a right bundle branch block, or where a raised ST segment is higher than R."""
    forward = (0.1, 0.1, 1.0)
    waves = ((0.015, 0.006, forward, first), (0.04, 0.01, forward, -0.6), (0.075, 0.012, forward, 0.5))
    leads = heart((np.arange(0.5, 9.5, 0.8), (*waves, (0.3, 0.04, (0.8, 0.5, 0.3), 0.3))))
    v1 = measure(leads, HEARTS_FS).waves["V1"]
    assert (v1.q < -0.3) == q
    assert (v1.s < -0.3) != q
    assert v1.depth > 0.3
    assert v1.as_learned().q < -0.3  # which the weights know as Q


def test_st_elevation_shows_in_its_leads():
    record, _ = simulate(Simulation(st_elevation="inferior", rate_bpm=70), seed=4)
    waves = measure(printed(record), record.fs).waves
    assert min(waves[lead].st for lead in ("II", "III", "aVF")) > 0.05
    assert waves["aVL"].st < 0


def test_marks_are_in_order():
    record, _ = simulate(Simulation(), seed=1)
    found = measure(printed(record), record.fs)
    assert found.p_onset < found.qrs_onset < 0 < found.j_point < found.t_end
    assert found.pr_ms == pytest.approx(1000 * (found.qrs_onset - found.p_onset))


def test_only_some_leads_printed():
    record, truth = simulate(Simulation(rate_bpm=80), seed=6)
    leads = np.full(record.signal.shape, np.nan)
    leads[LEADS.index("V2")] = record.signal[LEADS.index("V2")]
    found = measure(leads, record.fs)
    assert found.heart_rate_bpm == pytest.approx(truth.rate_bpm, abs=2)
    assert found.axis_deg is None
    assert found.reasons["axis_deg"] == "not_printed"
    assert [lead for lead, waves in found.waves.items() if waves is not None] == ["V2"]
    assert np.isfinite(found.median_beat).any(axis=1).sum() == 1


def test_flaws_of_the_trace_are_bridged():
    record, truth = simulate(Simulation(rate_bpm=75), seed=9)
    leads = printed(record, "12x1")
    rng = np.random.default_rng(0)
    for start in rng.integers(0, leads.shape[1] - 10, 25):
        leads[:, start : start + 10] = np.nan
    found = measure(leads, record.fs)
    assert beats_agree(found.beats, truth.r_peak, record.seconds)


@pytest.mark.parametrize("leads", [
    np.full((12, 5000), np.nan),
    np.zeros((12, 5000)),
    np.zeros((12, 0)),
    np.zeros((12, 30)),
    np.where(np.arange(5000) % 2, 1e3, -1e3) * np.ones((12, 1)),
    np.random.default_rng(0).normal(0, 1, (12, 5000)),
], ids=["blank", "flat", "empty", "short", "saturated", "noise"])  # fmt: skip
def test_what_is_no_ecg_is_said_to_be_unknown_and_never_fails(leads):
    found = measure(leads, 500.0)
    table = found.to_dict()
    json.dumps(table)
    for name in CONTRACT:
        assert table[name] is not None or found.reasons[name] in REASONS
    if not np.nan_to_num(leads).any():
        assert len(found.beats) == 0
        assert all(table[name] is None for name in CONTRACT)


@settings(deadline=None, max_examples=40)
@given(
    condition=st.sampled_from(CONDITIONS),
    seed=st.integers(0, 1000),
    name=st.sampled_from(sorted(LAYOUTS)),
    seconds=st.sampled_from([2.5, 5.0, 10.0]),
)
def test_any_heart_gives_sane_numbers(condition, seed, name, seconds):
    record, _ = simulate(random_simulation(np.random.default_rng(seed), condition), seed, seconds=seconds)
    leads = printed(record, name, seed)
    kept = leads.copy()
    found = measure(leads, record.fs)
    np.testing.assert_array_equal(leads, kept)  # the caller's array is left alone
    table = found.to_dict()
    json.dumps(table, allow_nan=False)
    for key, low, high in (
        ("heart_rate_bpm", 15, 320), ("pr_ms", 40, 500), ("qrs_ms", 30, 330), ("qt_ms", 150, 800),
        ("axis_deg", -180, 180),
    ):  # fmt: skip
        assert (table[key] is None) == (key in found.reasons)
        assert table[key] is None or low <= table[key] <= high
    assert (np.diff(found.beats) > 0.15).all()
    assert found.premature.shape == found.beats.shape
    assert set(found.waves) == set(LEADS)


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"\[12, n\]"):
        measure(np.zeros((3, 100)), 500.0)


def test_measuring_is_quick_and_light():
    record, _ = simulate(Simulation(), seed=1)
    leads = printed(record)
    measure(leads, record.fs)
    began = time.process_time()
    for _ in range(5):
        measure(leads, record.fs)
    assert (time.process_time() - began) / 5 < 0.5  # 10 ms on a quiet machine
    code = "import sys, ecgvlm.measure; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "pandas", "neurokit2", "matplotlib", "sklearn"} & set(loaded)


@pytest.mark.real_data
def test_labels_of_real_records_are_told_by_the_numbers(shared_data):
    """Fold 6: each labelled group lies where its definition says."""
    from ecgvlm.files.datasets import load_ptbxl

    records = load_ptbxl(shared_data / "ptbxl", folds=[6])
    values: dict[str, list] = {"SB": [], "ST": [], "NORM": [], "AF": []}
    for record in records:
        for label in values:
            if label in record.labels and len(values[label]) < 12:
                values[label].append(measure(printed(record, seed=record.meta["ecg_id"]), record.fs))
    assert all(found.heart_rate_bpm < 62 for found in values["SB"])
    assert all(found.heart_rate_bpm > 95 for found in values["ST"])
    assert np.mean([found.pr_ms is not None for found in values["NORM"]]) > 0.85
    assert np.mean([found.pr_ms is not None for found in values["AF"]]) < 0.35
    assert 75 < np.median([found.qrs_ms for found in values["NORM"]]) < 110


@pytest.mark.parametrize("hz", [5.5, 7.5])
def test_tremor_of_one_arm_makes_no_beats(hz):
    record, truth = simulate(Simulation(rate_bpm=64, low_voltage=True), 3)
    time = np.arange(record.signal.shape[1]) / record.fs
    tremor = 0.4 * np.abs(2 * (hz * time % 1) - 1)
    leads = np.full(record.signal.shape, np.nan)
    for strip in layout("3x4+1R").strips(record.seconds):
        shown = slice(round(strip.start * record.fs), round(strip.end * record.fs))
        row, left_arm = LEADS.index(strip.lead), {"I": 1, "III": -1, "aVR": -0.5, "aVL": 1, "aVF": -0.5}
        leads[row, shown] = (record.signal[row] + left_arm.get(strip.lead, 0) * tremor)[shown]
    assert measure(leads, record.fs).heart_rate_bpm == pytest.approx(truth.rate_bpm, abs=2)


def test_t_waves_as_sharp_as_their_qrs_are_no_beats():
    """Beats cannot come in pairs 160 ms apart; beats of a tachycardia all stand close together."""
    energy = np.zeros(round(10 * FS))
    qrs = (np.arange(0.5, 9.5, 0.8) * FS).astype(int)
    energy[qrs], energy[qrs + round(0.2 * FS)] = 1.0, 0.9
    both = np.flatnonzero(energy)
    assert _without_echoes(both, energy).tolist() == qrs.tolist()
    fast = (np.arange(0.5, 9.5, 0.26) * FS).astype(int)
    assert _without_echoes(fast, energy).tolist() == fast.tolist()


def test_a_beat_that_no_lead_shows_is_no_pause():
    record, _ = simulate(Simulation(rate_bpm=64), 5)
    leads = record.signal.astype(float).copy()
    leads[:, round(6.5 * record.fs) : round(8.2 * record.fs)] = np.nan  # as where a column holds other leads
    found = measure(leads, record.fs)
    assert np.isnan(found.rr).sum() == 1
    assert found.heart_rate_bpm == pytest.approx(64, abs=1)


def test_a_long_stretch_without_a_beat_is_a_pause_though_columns_meet_in_it():
    beats = np.append(np.arange(0.4, 4.5, 0.8), np.arange(6.7, 10, 0.8))
    found = measure(columns(heart((beats - 0.16, P), (beats, NARROW)), 2, False), HEARTS_FS)
    assert np.nanmax(found.rr) == pytest.approx(2.3, abs=0.05)
    assert np.isfinite(found.rr).all()


def test_flat_leads_do_not_hide_the_beats_of_the_others():
    bend = np.zeros((12, 500))
    bend[0, ::100] = 1.0
    one, with_flat = np.zeros((2, 12, 500), bool)
    one[0], with_flat[:4] = True, True
    assert _energy(bend, with_flat) == pytest.approx(_energy(bend, one))


def test_a_wandering_baseline_moves_neither_st_nor_t():
    record, _ = simulate(Simulation(rate_bpm=64), 5)
    time = np.arange(record.signal.shape[1]) / record.fs
    calm, wandering = (
        measure(record.signal + mv * np.sin(2 * np.pi * 0.2 * time), record.fs) for mv in (0.0, 0.8)
    )
    for lead in LEADS:
        assert wandering.waves[lead].st == pytest.approx(calm.waves[lead].st, abs=0.05)
        assert wandering.waves[lead].t == pytest.approx(calm.waves[lead].t, abs=0.05)
    assert wandering.qt_ms == pytest.approx(calm.qt_ms, abs=15)


def test_t_ends_where_it_comes_to_rest_above_the_level_before_the_qrs():
    """Between T and the next P the level may be a fifth of T above that before the QRS."""
    record, truth = simulate(Simulation(rate_bpm=60, qt_ms=390, noise=Noise()), seed=2)
    time = np.arange(record.signal.shape[1]) / record.fs
    since = time - truth.r_peak[np.searchsorted(truth.r_peak, time, "right").clip(1) - 1]
    since = np.where((time > truth.r_peak[0]) & (since > 0), since, 0.0)
    raised = np.interp(since, [0.2, 0.32, 0.55, 0.72], [0.0, 1.0, 1.0, 0.0])
    tops = np.array([waves.t for waves in measure(record.signal, record.fs).waves.values()])
    calm, risen = (measure(record.signal + share * tops[:, None] * raised, record.fs) for share in (0.0, 0.2))
    assert risen.qt_ms == pytest.approx(calm.qt_ms, abs=8)


def test_a_flat_t_does_not_give_way_to_the_next_p():
    record, truth = simulate(Simulation(rate_bpm=75, qt_ms=390, pr_ms=220), seed=5)
    time = np.arange(record.signal.shape[1]) / record.fs
    since = time - truth.r_peak[np.searchsorted(truth.r_peak, time, "right").clip(1) - 1]
    flat = np.where((since > 0.1) & (since < 0.4), 0.05, 1.0)
    assert measure(record.signal * flat, record.fs).qt_ms == pytest.approx(390, abs=20)


def test_levels_that_differ_from_beat_to_beat_are_known_less_well():
    record, truth = simulate(Simulation(rate_bpm=70), seed=6)
    time = np.arange(record.signal.shape[1]) / record.fs
    beat = np.searchsorted(truth.r_peak, time, "right").clip(1) - 1
    since = time - truth.r_peak[beat]
    restless = record.signal.copy()
    restless[2] += np.where((since > 0.1) & (since < 0.35), 0.3 * (-1.0) ** beat, 0.0)
    calm, other = measure(record.signal, record.fs), measure(restless, record.fs)
    assert calm.level_errors.max() < 0.02
    assert 0.05 < other.level_errors[2] < 0.2
    np.testing.assert_allclose(np.delete(other.level_errors, 2), np.delete(calm.level_errors, 2), atol=0.005)


@pytest.mark.parametrize("seed", [3, 10])
def test_columns_of_limb_leads_are_bound_by_their_relations(seed):
    # aVR, aVL and aVF begin and end their QRS at other times than I, II and III: only the relations tell.
    record, _ = simulate(random_simulation(np.random.default_rng(seed), "rbbb"), seed)
    leads = np.full(record.signal.shape, np.nan)
    for strip in layout("3x4").strips(record.seconds):
        part = slice(round(strip.start * record.fs), round(strip.end * record.fs))
        row = LEADS.index(strip.lead)
        leads[row, part] = record.signal[row, part]
    found, whole = measure(leads, record.fs).beats, measure(record.signal, record.fs).beats
    late = found - whole[np.abs(found[:, None] - whole).argmin(axis=1)]
    first, second = (np.median(late[(found // 2.5).astype(int) == column]) for column in (0, 1))
    assert second - first == pytest.approx(0, abs=0.008)


@pytest.mark.parametrize("ms", [80, 110, 140])
def test_p_lasts_as_long_as_it_was_drawn(ms):
    record, truth = simulate(Simulation(rate_bpm=55, pr_ms=200), seed=3)
    time = np.arange(record.signal.shape[1]) / record.fs
    signal = record.signal.copy()
    for onset in truth.qrs_onset:
        own = np.flatnonzero((time > onset - 0.23) & (time < onset - 0.01))
        signal[:, own] = signal[:, own[:1]]
        inside = (time - (onset - 0.06 - ms / 1000)) / (ms / 1000)
        signal += np.where((inside > 0) & (inside < 1), 0.15 * np.sin(np.pi * inside), 0.0)
    assert measure(signal, record.fs).p_ms == pytest.approx(ms, abs=20)


@pytest.mark.parametrize(("count", "rhythm"), [(2, False), (4, False), (4, True)])
def test_wide_qrs_of_columns_without_a_common_lead_are_set_to_one_time(count, rhythm):
    # They are level at their top: limb leads may be set by the rise and chest leads by the fall.
    beats = np.arange(0.4, 10, 0.76)
    leads = heart((beats - 0.16, P), (beats, WIDE))
    whole, page = (measure(x, HEARTS_FS) for x in (leads, columns(leads, count, rhythm)))
    assert page.qrs_ms == pytest.approx(whole.qrs_ms, abs=14)
    assert page.qt_ms == pytest.approx(whole.qt_ms, abs=20)
    assert page.rr_variation < 0.01


@pytest.mark.parametrize(("every", "page"), [(2, (1, True)), (3, (1, True)), (3, (4, True))])
def test_early_wide_beats_are_told_from_the_usual_ones_and_lengthen_no_qt(every, page):
    rr = 0.9
    own = np.array([t for k, t in enumerate(np.arange(0.3, 10, rr)) if k % every != every - 1])
    early = np.arange(0.3, 10, rr)[every - 1 :: every] - 0.36 * rr
    wide = tuple((after, sigma, (-0.5, 0.6, -0.7), mv) for after, sigma, _, mv in WIDE)
    alone = measure(heart((np.arange(0.3, 10, rr) - 0.16, P), (np.arange(0.3, 10, rr), NARROW)), HEARTS_FS)
    found = measure(columns(heart((own - 0.16, P), (own, NARROW), (early, wide)), *page), HEARTS_FS)
    strange = np.abs(found.beats[:, None] - early).min(axis=1) < 0.15
    assert (found.alike == ~strange).mean() > 0.9
    assert found.qt_ms is None or found.qt_ms == pytest.approx(alone.qt_ms, abs=25)
    assert found.qrs_ms == pytest.approx(alone.qrs_ms, abs=8)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("condition", "every"), [("bigeminy", 2), ("trigeminy", 3)])
def test_beats_of_one_focus_are_found_where_they_are_blunter_than_the_usual_ones(condition, every, page):
    shares = []
    for seed in range(8):
        leads, _ = any_heart(condition, seed)
        shares.append(np.mean(~measure(PAGES[page](leads), HEARTS_FS).alike))
    assert np.median(shares) == pytest.approx(1 / every, abs=0.05)
    assert np.ptp(shares) < 0.2


def test_a_t_wave_behind_each_usual_beat_is_no_bigeminy():
    beats = np.arange(0.4, 10, 1.2)
    late = tuple((after + 0.1, 0.02, direction, 2 * mv) for after, _, direction, mv in NARROW[3:])
    found = measure(heart((beats - 0.16, P), (beats, NARROW[:3]), (beats, late)), HEARTS_FS)
    assert found.alike.all()
    assert found.heart_rate_bpm == pytest.approx(50, abs=1)


@pytest.mark.parametrize(("after", "ventricular"), [(1.1, True), (0.8, False)])
def test_an_early_beat_between_two_columns_is_what_its_pause_makes_it(after, ventricular):
    beats = np.concatenate([np.arange(0.46, 4.5, 0.8), [4.46 + 0.5], np.arange(4.46 + 0.5 + after, 9.8, 0.8)])
    leads = heart((np.delete(beats, 6) - 0.16, P), (beats, NARROW))
    found = measure(columns(leads, 2, False), HEARTS_FS)
    assert found.premature.nonzero()[0].tolist() == [6]
    assert (~found.alike).nonzero()[0].tolist() == [6] * ventricular


def test_a_qrs_begins_behind_the_spike_that_paces_it():
    record, _ = simulate(Simulation(rate_bpm=70, qrs_ms=160, conduction="lbbb"), seed=3)
    bare = measure(record.signal, record.fs)
    spiked = record.signal.copy()
    for beat in bare.beats:
        at = round((beat + bare.qrs_onset - 0.012) * record.fs)
        if 0 <= at < spiked.shape[1] - 2:
            spiked[:, at : at + 2] += np.where(np.arange(12) % 2, 0.9, -0.9)[:, None]
    assert measure(spiked, record.fs).qrs_ms == pytest.approx(bare.qrs_ms, abs=10)


def test_a_spike_is_one_though_some_leads_are_off_at_once_behind_it():
    """V1 to V3 have left their level before the spike is over: it was 30 ms of QRS."""
    record, _ = simulate(Simulation(rate_bpm=70, qrs_ms=160, conduction="lbbb"), seed=3)
    measured = measure(record.signal, record.fs)
    times = np.arange(record.signal.shape[1]) / record.fs
    spikes = measured.beats + measured.qrs_onset - 0.012
    for spike in spikes:
        record.signal[6:9] -= np.interp(times, spike + np.array([0.004, 0.03, 0.08]), [0, 1, 0])
    bare = measure(record.signal, record.fs)
    for at in (spikes[spikes > 0] * record.fs).round().astype(int):
        record.signal[:, at : at + 2] += np.where(np.arange(12) % 2, 0.9, -0.9)[:, None]
    assert measure(record.signal, record.fs).qrs_ms < bare.qrs_ms


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_small_leads_show_last_is_qrs_beside_large_ones(seed):
    record, truth = simulate(Simulation(rate_bpm=70), seed)
    heights = np.array([1, 1, 0.3, 1, 0.3, 1, 0.4, 2, 3, 3, 3, 2])
    leads = record.signal * heights[:, None]
    before = measure(leads, record.fs).qrs_ms
    times = np.arange(leads.shape[1]) / record.fs
    for end in truth.qrs_offset:
        leads[[2, 4, 6]] += 0.2 * np.exp(-(((times - end - 0.012) / 0.008) ** 2) / 2)
    assert measure(leads, record.fs).qrs_ms == pytest.approx(before + 22, abs=8)


def test_a_qrs_ends_where_an_st_segment_begins_to_climb_to_the_top_of_t():
    """What climbs is slower than the QRS, but no rest: it made 260 ms of 150."""
    record, truth = simulate(Simulation(conduction="lbbb", rate_bpm=70, qrs_ms=150, qt_ms=430), seed=5)
    before = measure(printed(record), record.fs).qrs_ms
    times = np.arange(record.signal.shape[1]) / record.fs
    for r, j in zip(truth.r_peak, truth.qrs_offset):
        record.signal[6:10] += np.interp(times, [j, r + 0.26, r + 0.42], [0.0, 1.0, 0.0])
    assert measure(printed(record), record.fs).qrs_ms == pytest.approx(before, abs=15)


@pytest.mark.parametrize("conduction", ["lbbb", "rbbb"])
def test_a_wide_qrs_has_feet_too(conduction):
    off = []
    for seed in range(5):
        record, truth = simulate(Simulation(conduction=conduction, qrs_ms=165, qt_ms=440, rate_bpm=68), seed)
        off.append(measure(printed(record, seed=seed), record.fs).qrs_ms - truth.qrs_ms)
    assert abs(np.median(off)) < 10


@pytest.mark.parametrize("seed", [11, 18, 25, 34])
def test_qrs_of_a_fast_ventricular_tachycardia_ends_before_its_t_wave(seed):
    record, truth = simulate(random_simulation(np.random.default_rng(seed), "vt"), seed)
    measured = measure(record.signal, record.fs)
    true = 1000 * np.median(truth.qrs_offset - truth.qrs_onset)
    assert measured.heart_rate_bpm is not None
    assert measured.heart_rate_bpm > 160
    assert measured.qrs_ms == pytest.approx(true, abs=60)


def test_a_bump_far_before_the_qrs_is_no_p_wave_where_one_stands_nearer():
    """U waves and what is left of T bend as P does; where nothing stands nearer, PR is as long as that."""
    record, _ = simulate(Simulation(rate_bpm=56), 3)
    plain = measure(record.signal, record.fs)
    at = np.arange(record.signal.shape[1]) / record.fs - plain.qrs_onset + 0.36
    bumps = sum(np.exp(-(((at - beat) / 0.03) ** 2) / 2) for beat in plain.beats)
    raised = record.signal + 0.22 * SINUS_P[:, None] * bumps
    assert measure(raised, record.fs).pr_ms == pytest.approx(plain.pr_ms, abs=2)
    late, _ = simulate(Simulation(rate_bpm=56, pr_ms=330), 3)
    assert measure(late.signal, late.fs).pr_ms == pytest.approx(330, abs=20)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("every", [2, 3])
def test_early_beats_of_the_usual_shape_are_not_measured_on(every, page):
    """Their P waves stand elsewhere, and T waves before them are cut short."""
    early = np.arange(18) % every == every - 1
    p = 0.3 + np.cumsum(np.where(early, 0.56, 0.86))
    p = p[p < 9.2]
    early = early[: len(p)]
    leads = PAGES[page](heart((p[~early], P), (p[early] - 0.07, P), (p + 0.16, NARROW)))
    usual = heart((p := np.arange(0.3, 9.2, 0.86), P), (p + 0.16, NARROW))
    expected = measure(usual, HEARTS_FS).pr_ms
    assert measure(leads, HEARTS_FS).pr_ms == pytest.approx(expected, abs=12)


@pytest.mark.parametrize("coupling", [0.42, 0.46, 0.5])
def test_one_extra_beat_between_two_usual_ones_is_a_beat(coupling):
    """PTB-XL 1129: interpolated."""
    p = np.arange(0.3, 9.2, 1.02)
    extra = p[2:3] + 0.16 + coupling
    high = tuple((after, sigma, way, 1.4 * mv) for after, sigma, way, mv in WIDE)
    m = measure(heart((p, P), (p + 0.16, NARROW), (extra, high)), HEARTS_FS)
    assert len(m.beats) == len(p) + 1
    assert list(np.flatnonzero(~m.alike)) == [3]
