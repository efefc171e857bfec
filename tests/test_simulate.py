"""Simulated ECGs obey the lead relations, show what was asked for, and say truly where their waves lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvlm.labels import LABELS
from ecgvlm.simulate import CONDITIONS, Noise, Simulation, random_simulation, simulate


def magnitude(record):
    """[n] mV: root mean square over the twelve leads."""
    return np.sqrt(np.mean(record.signal.astype(float) ** 2, axis=0))


@settings(deadline=None, max_examples=60)
@given(
    condition=st.sampled_from(CONDITIONS),
    seed=st.integers(0, 10_000),
    fs=st.sampled_from([100.0, 250.0, 500.0]),
)
def test_any_heart(condition, seed, fs):
    """Einthoven's and Goldberger's relations hold, noise included; truth is in order; voltages are human."""
    record, truth = simulate(random_simulation(np.random.default_rng(seed), condition), seed, fs=fs)
    one, two, three, avr, avl, avf = record.signal[:6].astype(float)
    np.testing.assert_allclose(two - one, three, atol=2e-6)
    np.testing.assert_allclose(avr + avl + avf, 0, atol=2e-6)
    np.testing.assert_allclose(avr, -(one + two) / 2, atol=2e-6)
    np.testing.assert_allclose(avl, one - two / 2, atol=2e-6)
    assert record.signal.shape == (12, round(10 * fs))
    assert 0.3 < np.ptp(record.signal, axis=1).max() < 12
    assert record.labels == truth.labels <= set(LABELS)
    assert record.meta["unknown"] <= set(LABELS) - truth.labels
    n = len(truth.beats)
    assert n == len(truth.r_peak) == len(truth.t_offset) >= 3
    assert (truth.qrs_onset >= 0).all()
    assert (truth.qrs_offset <= 10).all()
    assert (np.diff(truth.qrs_onset) > 0.15).all()
    assert (truth.qrs_onset < truth.r_peak).all()
    assert (truth.r_peak < truth.qrs_offset).all()
    known = np.isfinite(truth.t_peak)
    assert known[:-2].all()
    assert (truth.qrs_offset < truth.t_peak)[known].all()
    assert (truth.t_peak < truth.t_offset)[known].all()


@settings(deadline=None, max_examples=40)
@given(
    rate=st.floats(35, 150), pr=st.floats(110, 300), qrs=st.floats(75, 115), qtc=st.floats(370, 460),
    axis=st.floats(-30, 100), seed=st.integers(0, 1000),
)  # fmt: skip
def test_intervals_as_asked(rate, pr, qrs, qtc, axis, seed):
    qt = qtc * (60 / rate) ** (1 / 3)
    asked = Simulation(rate_bpm=rate, pr_ms=pr, qrs_ms=qrs, qt_ms=qt, axis_deg=axis)
    record, truth = simulate(asked, seed)
    assert truth.rate_bpm == pytest.approx(rate, rel=0.02)
    assert np.median((truth.qrs_offset - truth.qrs_onset) * 1000) == pytest.approx(qrs, abs=0.01)
    assert np.nanmedian((truth.t_offset - truth.qrs_onset) * 1000) == pytest.approx(qt, abs=5)
    gaps = truth.qrs_onset[:, None] - truth.p_onset[None]
    assert np.abs(gaps - pr / 1000).min(axis=1)[1:].max() < 1e-9
    assert truth.axis_deg == pytest.approx(axis, abs=0.2)
    # The axis as a reader takes it, from the net area of the QRS in I and aVF.
    areas = []
    for onset, offset in zip(truth.qrs_onset, truth.qrs_offset):
        part = record.signal[:, int(onset * 500) : int(offset * 500) + 1].astype(float)
        areas.append((part - np.linspace(part[:, 0], part[:, -1], part.shape[1]).T).sum(axis=1))
    area = np.median(areas, axis=0)
    strength = np.hypot(area[0], area[5])
    seen = np.degrees(np.arctan2(2 * area[5] / np.sqrt(3), area[0]))
    if rate < 100 and strength > 5:  # above, P and T run into the QRS
        assert abs((seen - axis + 180) % 360 - 180) < 20


@pytest.mark.parametrize("seed", range(6))
def test_waves_are_where_the_truth_says(seed):
    record, truth = simulate(Simulation(rate_bpm=55, pr_ms=200, qrs_ms=90, qt_ms=400), seed)
    strength = magnitude(record)
    for p, onset, r, offset, t_end in zip(
        truth.p_onset[1:-1],
        truth.qrs_onset[1:-1],
        truth.r_peak[1:-1],
        truth.qrs_offset[1:-1],
        truth.t_offset[1:-1],
    ):
        i, j = int(onset * 500), int(offset * 500)
        assert abs(np.argmax(strength[i:j]) / 500 + onset - r) < 0.006
        slope = np.abs(np.diff(record.signal, axis=1)).max(axis=0) * 500  # mV/s
        steep = np.flatnonzero(slope[i - 40 : j + 20] > 5) / 500 + (i - 40) / 500
        assert steep[0] == pytest.approx(onset + 0.011, abs=0.012)
        assert steep[-1] == pytest.approx(offset - 0.011, abs=0.025)
        quiet = strength[int((t_end + 0.21) * 500) : int((t_end + 0.26) * 500)]
        t_wave = strength[j + 20 : int(t_end * 500)]
        assert strength[int(t_end * 500)] - np.median(quiet) < 0.25 * (t_wave.max() - np.median(quiet))
        p_wave = strength[int((p + 0.02) * 500) : int((p + 0.09) * 500)].max()
        assert p_wave > 1.5 * strength[int((p - 0.03) * 500)]


def test_seed_decides_everything():
    heart = random_simulation(np.random.default_rng(3), "af")
    assert heart == random_simulation(np.random.default_rng(3), "af")
    one, again, other = (simulate(heart, seed)[0].signal for seed in (5, 5, 6))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("seconds", [0.5, 2.5, 30.0])
def test_any_length(seconds):
    record, truth = simulate(Simulation(rate_bpm=30), 0, seconds=seconds)
    assert record.seconds == seconds
    assert len(truth.beats) == pytest.approx(seconds / 2, abs=1)


def rr(truth):
    return np.diff(truth.r_peak)


def test_fibrillation_has_no_p_and_no_order():
    for seed in range(8):
        record, truth = simulate(Simulation(rhythm="af", rate_bpm=90), seed)
        assert truth.p_onset.size == 0
        assert truth.pr_ms is None
        assert rr(truth).std() / rr(truth).mean() > 0.1
        assert "AF" in truth.labels
        assert "NORM" not in truth.labels
        # f-waves: V1 moves between 4 and 9 Hz while the ventricles rest
        diastole = []
        for end, onset in zip(truth.t_offset[:-1], truth.qrs_onset[1:]):
            diastole.append(
                np.ptp(record.signal[6, int(end * 500) : int(onset * 500) - 10]) if onset - end > 0.15 else 0
            )
        assert max(diastole) > 0.03


def test_sinus_is_regular_and_sinus_arrhythmia_breathes():
    steady, breathing = (simulate(Simulation(rate_bpm=65, arrhythmia=depth), 1)[1] for depth in (0.0, 0.2))
    assert np.ptp(rr(steady)) < 0.08
    assert np.ptp(rr(breathing)) > 0.16
    assert "SARRH" in breathing.labels


@pytest.mark.parametrize("ratio", [2, 3, 4])
def test_flutter_conducts_by_its_ratio(ratio):
    record, truth = simulate(Simulation(rhythm="flutter", rate_bpm=300 / ratio, av_ratio=ratio, qt_ms=300), 2)
    assert np.ptp(rr(truth)) < 1e-6
    assert truth.rate_bpm == pytest.approx(300 / ratio)
    spectrum = np.abs(np.fft.rfft(record.signal[5] * np.hanning(5000)))
    near = np.arange(len(spectrum)) / 10
    assert spectrum[np.abs(near - 5) < 0.15].max() > 5 * np.median(spectrum[(near > 3) & (near < 8)])


def test_flutter_with_varying_conduction():
    _, truth = simulate(Simulation(rhythm="flutter", rate_bpm=100, av_ratio=0, atrial_bpm=300, qt_ms=320), 4)
    beats = rr(truth) * 5
    np.testing.assert_allclose(beats, np.round(beats), atol=1e-6)
    assert len(set(np.round(beats))) > 1


def test_wenckebach_lengthens_then_drops():
    _, truth = simulate(Simulation(rhythm="wenckebach", av_ratio=4, rate_bpm=75, pr_ms=180), 3)
    delays = []
    for p in truth.p_onset[truth.p_onset < 9]:
        later = truth.qrs_onset - p
        later = later[(later > 0.1) & (later < 0.5)]
        delays.append(later.min() if later.size else np.nan)
    dropped = np.flatnonzero(np.isnan(delays))
    assert (np.diff(dropped) == 4).all()
    assert dropped.size >= 2
    first = dropped[0] + 1
    assert delays[first] == pytest.approx(0.18)
    assert delays[first] < delays[first + 1] < delays[first + 2]
    assert delays[first + 1] - delays[first] > delays[first + 2] - delays[first + 1]
    assert "HAVB" in truth.labels


def test_mobitz_drops_without_lengthening():
    _, truth = simulate(Simulation(rhythm="mobitz", av_ratio=3, rate_bpm=80, pr_ms=160), 3)
    gaps = truth.qrs_onset[:, None] - truth.p_onset[None]
    np.testing.assert_allclose(np.abs(gaps - 0.16).min(axis=1)[1:], 0, atol=1e-9)
    assert len(truth.p_onset) == pytest.approx(1.5 * len(truth.beats), abs=2)


def test_complete_block_dissociates():
    _, truth = simulate(Simulation(rhythm="av_block_3", rate_bpm=38, atrial_bpm=90), 1)
    assert truth.rate_bpm == pytest.approx(38, rel=0.03)
    assert 60 / np.diff(truth.p_onset).mean() == pytest.approx(90, rel=0.03)
    phases = [(onset - truth.p_onset[truth.p_onset < onset].max()) for onset in truth.qrs_onset[1:]]
    assert np.std(phases) > 0.08
    assert truth.pr_ms is None


@pytest.mark.parametrize("seed", range(4))
def test_premature_beats_come_early(seed):
    for kind, share in (("pvc", 0.12), ("pac", 0.12)):
        _, truth = simulate(Simulation(rate_bpm=72, **{kind: share}), seed)
        assert kind.upper() in truth.labels
        beats = np.array(truth.beats)
        early = np.flatnonzero(beats == kind)
        gaps = np.diff(truth.qrs_onset)
        usual = 60 / 72
        for i in early[(early > 0) & (early < len(beats) - 1)]:
            assert gaps[i - 1] < 0.8 * usual
            assert gaps[i] > (1.15 if kind == "pvc" else 0.9) * usual  # full pause after a PVC only
    _, truth = simulate(Simulation(rate_bpm=72, pvc=0.5), seed)
    assert set(zip(truth.beats, truth.beats[1:])) == {("normal", "pvc"), ("pvc", "normal")}


def test_pvc_is_wide():
    _, truth = simulate(Simulation(pvc=0.5, qrs_ms=90), 0)
    width = truth.qrs_offset - truth.qrs_onset
    wide = np.array(truth.beats) == "pvc"
    assert width[wide].min() > 0.12
    np.testing.assert_allclose(width[~wide], 0.09)


def mean_beat(heart, seed):
    """[12, 300] mV, the median beat from 100 ms before its QRS; the voltage just before the QRS is zero."""
    record, truth = simulate(heart, seed)
    starts = [int(t * 500) for t in truth.qrs_onset if 0.1 < t < 9.4]
    beat = np.median([record.signal[:, i - 50 : i + 250] for i in starts], axis=0)
    return beat - beat[:, 44:49].mean(axis=1, keepdims=True)


def usually(test, heart, share=0.75, n=16):
    assert np.mean([bool(test(mean_beat(heart, seed))) for seed in range(n)]) >= share


def test_right_bundle_branch_block():
    """Late forces forward and to the right: R' in V1, broad S in I and V6."""
    heart = Simulation(conduction="rbbb", qrs_ms=140, axis_deg=60)
    usually(
        lambda b: b[6, 90:118].max() > 0.15 and b[0, 90:118].min() < -0.05 and b[11, 90:118].min() < -0.1,
        heart,
    )


def test_incomplete_right_bundle_branch_block():
    """The same R' in V1, in a QRS of normal width."""
    heart = Simulation(conduction="irbbb", qrs_ms=108, axis_deg=60)
    usually(lambda b: b[6, 84:104].max() > 0.1, heart)


def test_left_bundle_branch_block():
    """V1 negative throughout, I and V6 positive without q, T against the QRS."""
    heart = Simulation(conduction="lbbb", qrs_ms=150, axis_deg=0)
    usually(
        lambda b: (
            -b[6].min() > 2 * b[6, 50:125].max()
            and b[11, 50:125].max() > 0.4
            and b[11, 50:90].min() > -0.1
            and b[6, 150:220].max() > 0.1
            and b[0, 150:220].min() < 0
        ),
        heart,
    )


def test_left_anterior_fascicular_block():
    """Left axis by small r and deep S in II, III and aVF, q in aVL."""
    heart = Simulation(lafb=True, axis_deg=-60)
    usually(lambda b: -b[2, 50:100].min() > b[2, 50:100].max() > 0.02 and b[4, 50:100].max() > 0.3, heart)


def test_hypertrophy_and_low_voltage():
    def sokolow(b):
        return -b[6, 50:100].min() + max(b[10, 50:100].max(), b[11, 50:100].max())

    usually(lambda b: sokolow(b) >= 3.3, Simulation(lvh=True), share=1)
    usually(lambda b: sokolow(b) < 3.5, Simulation(), share=1)
    usually(lambda b: np.ptp(b[:6, 50:100], axis=1).max() <= 0.5, Simulation(low_voltage=True), share=1)
    usually(lambda b: np.ptp(b[:6, 50:100], axis=1).max() > 0.5, Simulation(), share=1)


@pytest.mark.parametrize(
    ("wall", "raised", "lowered"),
    [("anterior", (7, 8), ()), ("inferior", (1, 2, 5), (4,)), ("lateral", (0, 4, 10), (2,))],
)
def test_st_elevation_has_its_territory(wall, raised, lowered):
    j = 50 + 46 + 25  # 50 ms after the J point
    usually(
        lambda b: all(b[lead, j] > 0.05 for lead in raised) and all(b[lead, j] < -0.02 for lead in lowered),
        Simulation(st_elevation=wall, qrs_ms=92),
        share=0.8,
    )


@pytest.mark.parametrize(
    ("wall", "leads"), [("anterior", (6, 7)), ("inferior", (2, 5)), ("lateral", (0, 11))]
)
def test_old_infarct_has_q_waves(wall, leads):
    usually(
        lambda b: all(b[lead, 50:72].min() < -0.08 for lead in leads), Simulation(q_waves=wall, axis_deg=35)
    )


@pytest.mark.parametrize(
    ("wall", "leads"), [("anterior", (7, 8)), ("inferior", (2, 5)), ("lateral", (0, 11))]
)
def test_t_inversion_has_its_territory(wall, leads):
    usually(lambda b: all(b[lead, 150:230].min() < -0.04 for lead in leads), Simulation(t_inversion=wall))


def test_paced_beats_follow_spikes():
    record, truth = simulate(Simulation(rhythm="paced_ventricular", rate_bpm=70, qrs_ms=160), 0)
    jumps = np.flatnonzero(np.abs(np.diff(record.signal[1])) > 0.25) / 500
    for onset in truth.qrs_onset:
        assert np.abs(jumps - (onset - 0.012)).min() < 0.004
    assert "PACE" in truth.labels
    assert set(truth.beats) == {"paced"}
    assert len(simulate(Simulation(rhythm="paced_dual"), 0)[1].p_onset) > 8


@pytest.mark.parametrize("hz", [50.0, 60.0])
def test_noise_is_as_large_as_asked(hz):
    heart = {"rate_bpm": 70.0}
    quiet = simulate(Simulation(**heart), 1)[0].signal
    hum = simulate(Simulation(noise=Noise(mains_mv=0.05, mains_hz=hz), **heart), 1)[0].signal - quiet
    assert np.argmax(np.abs(np.fft.rfft(hum[7]))) / 10 == pytest.approx(hz, abs=0.2)
    assert 0.01 < hum[7].std() < 0.12
    muscle = simulate(Simulation(noise=Noise(muscle_mv=0.05), **heart), 1)[0].signal - quiet
    assert 0.03 < muscle[7].std() < 0.12
    wander = simulate(Simulation(noise=Noise(wander_mv=0.3), **heart), 1)[0].signal - quiet
    power = np.abs(np.fft.rfft(wander[7]))
    assert power[:10].sum() > 0.9 * power[:200].sum() * 0.9
    assert 0.02 < wander.std() < 0.6


def test_labels_of_conditions():
    def labels(condition):
        seen = [
            simulate(random_simulation(np.random.default_rng(k), condition), k)[1].labels for k in range(6)
        ]
        return frozenset.intersection(*seen)

    for condition, label in {
        "normal": "NORM", "bradycardia": "SB", "tachycardia": "ST", "sinus_arrhythmia": "SARRH", "af": "AF",
        "flutter": "AFLT", "av_block_1": "1dAVb", "wenckebach": "HAVB", "mobitz": "HAVB",
        "av_block_3": "HAVB", "rbbb": "RBBB", "irbbb": "IRBBB", "lbbb": "LBBB", "lafb": "LAFB",
        "pvc": "PVC", "bigeminy": "PVC",
        "pac": "PAC", "paced_dual": "PACE", "lvh": "LVH", "stemi_anterior": "AMI", "old_mi_inferior": "IMI",
        "stemi_lateral": "LMI", "t_inversion": "STTC", "low_voltage": "LVOLT",
    }.items():  # fmt: skip
        assert label in labels(condition), condition
    assert {"RBBB", "LAFB"} <= labels("bifascicular")


@pytest.mark.parametrize(
    "bad",
    [
        {"rhythm": "waltz"}, {"conduction": "both"}, {"q_waves": "septal"}, {"rate_bpm": 500.0},
        {"qrs_ms": 20.0}, {"av_ratio": 0}, {"qt_ms": 900.0, "rate_bpm": 90.0},
        {"qt_ms": 120.0}, {"rate_bpm": float("nan")},
    ],
)  # fmt: skip
def test_impossible_hearts_are_refused(bad):
    with pytest.raises(ValueError, match=r"must|fit"):
        Simulation(**bad)


def test_unknown_condition_is_refused():
    with pytest.raises(ValueError, match="condition"):
        random_simulation(np.random.default_rng(0), "hiccups")
