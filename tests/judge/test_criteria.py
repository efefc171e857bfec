"""Definitions: each condition met, not met or not assessable, and how surely; one judgement out of both."""

from dataclasses import replace

import numpy as np
import pytest
from hearts import FS, NARROW, PREEXCITED, P, any_heart, heart

from ecgvlm.judge.criteria import POINTS, assess, beyond_scope, holds, rules
from ecgvlm.judge.facts import NOBODY, UNKNOWN, Fact, Person, find_facts, st_limit
from ecgvlm.judge.judgement import decide
from ecgvlm.labels import FINDINGS, LABELS, SUPERCLASSES
from ecgvlm.measure import measure
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, random_simulation, simulate

NETWORK = {**dict.fromkeys(LABELS, 0.02), "NORM": 0.9, "SR": 0.95}
THRESHOLDS = dict.fromkeys(LABELS, 0.4)
NARROW_BEATS = {f"network.{code}": Fact(-3.0, 1.0) for code in ("PACE", "LBBB", "RBBB")}


def facts_of(seed: int = 1, network=NETWORK, person: Person = NOBODY, **simulation):
    record, _ = simulate(Simulation(**simulation), seed)
    return find_facts(
        record.signal.astype(float), record.fs, measure(record.signal, record.fs), network, person
    )


def found(facts, network=NETWORK, point="definitions", person: Person = NOBODY) -> set[str]:
    judged = decide(network, THRESHOLDS, facts, person, point)
    return {code for code, p in judged.probabilities.items() if p >= judged.thresholds[code]}


def test_the_table_names_known_findings_facts_and_sources():
    known = {*facts_of(), *(f"network.{code}" for code in LABELS)}
    for code, rule in rules().items():
        assert code in FINDINGS
        assert rule.by in ("numbers", "shape", "either", "both")
        for when in rule.when:
            assert when.fact in known, (code, when.fact)
            assert when.source
    assert {rule.code for rule in rules().values() if rule.by != "numbers"} <= set(LABELS)


@pytest.mark.parametrize(
    ("rate", "findings"),
    [(48, {"SB"}), (55, {"SB", "NORM"}), (72, {"SR", "NORM"}), (115, {"ST"})],
)
def test_a_rate_is_what_its_definition_says(rate, findings):
    assert found(facts_of(rate_bpm=rate)) & {"SB", "SR", "ST", "NORM"} == findings


def test_code15_has_its_own_limits():
    facts = facts_of(rate_bpm=55)
    assert "SB" in found(facts)
    assert "SB" not in found(facts, point="code15")
    assert "SB" in found(facts_of(rate_bpm=44), point="code15")


def test_code15_knows_what_its_reports_call_normal():
    """Only its six labels follow definitions there: an axis of -40° or a long QT makes no ECG abnormal."""
    facts = {**facts_of(rate_bpm=70), "axis_deg": Fact(-40.0, 4.0)}
    assert "NORM" not in found(facts)
    assert "NORM" in found(facts, point="code15")
    slow = found(facts_of(rate_bpm=44), point="code15")
    assert "SB" in slow
    assert "NORM" not in slow


def test_code15_strikes_out_a_first_degree_block_with_a_short_pr_and_asks_the_network_for_a_long_one():
    network = {**NETWORK, "1dAVb": 0.8}
    facts = facts_of(rate_bpm=70)
    short, long = ({**facts, "pr_ms": Fact(pr, 8.5)} for pr in (160.0, 230.0))
    assert "1dAVb" not in found(short, network, "code15")
    assert "1dAVb" in found(long, network, "code15")
    assert "1dAVb" not in found(long, NETWORK, "code15")


@pytest.mark.parametrize(
    ("network", "superclasses"),
    [
        ({"NORM": 0.9, "STTC": 0.45}, {"STTC"}),  # what has a finding is not normal
        ({"NORM": 0.3, "MI": 0.35, "CD": 0.1}, {"MI"}),  # each ECG has one, if need be the nearest
        ({"NORM": 0.39, "MI": 0.35}, {"NORM"}),
        ({"NORM": 0.1, "LVH": 0.5, "MI": 0.5}, {"HYP", "MI"}),
    ],
)
def test_ptbxl_gives_every_ecg_a_superclass(network, superclasses):
    said = found(facts_of(), dict.fromkeys(LABELS, 0.02) | network, "ptbxl")
    assert said & set(SUPERCLASSES) == superclasses


def test_ptbxl_is_the_network_alone():
    assert found(facts_of(rate_bpm=48), point="ptbxl") == {"NORM", "SR"}
    with pytest.raises(ValueError, match="definitions, code15, ptbxl"):
        decide(NETWORK, THRESHOLDS, facts_of(), NOBODY, "mine")
    assert POINTS[0] == "definitions"


def test_no_bundle_branch_block_with_a_narrow_qrs():
    network = {**NETWORK, "LBBB": 0.9, "NORM": 0.1}
    assert "LBBB" not in found(facts_of(qrs_ms=92), network)
    wide = facts_of(seed=3, qrs_ms=165, conduction="lbbb", qt_ms=440)
    assert "LBBB" in found(wide, network)


def test_a_wide_regular_tachycardia_is_taken_for_ventricular():
    facts = facts_of(rhythm="vt", rate_bpm=170, qrs_ms=160, qt_ms=330)
    assert "VT" in found(facts)
    assert "NORM" not in found(facts)
    assert "VT" not in found(facts_of(rate_bpm=115, qt_ms=330))


@pytest.mark.parametrize(
    ("rhythm", "ratio", "finding"),
    [("wenckebach", 4, "WENCK"), ("mobitz", 4, "MOBITZ2"), ("mobitz", 2, "AVB21"), ("av_block_3", 4, "AVB3")],
)
def test_blocks_are_told_by_their_p_waves(rhythm, ratio, finding):
    rate = 40 if rhythm == "av_block_3" else 75
    kinds = {"WENCK", "MOBITZ2", "AVB21", "AVB3"}
    named = [
        found(facts_of(seed, rhythm=rhythm, rate_bpm=rate, atrial_bpm=83, av_ratio=ratio)) & kinds
        for seed in range(4)
    ]
    assert sum(finding in codes for codes in named) >= 3
    sound = [found(facts_of(seed, rate_bpm=62)) & kinds for seed in range(4)]
    assert sound == [set()] * 4


def test_what_is_not_printed_is_not_assessable():
    record, _ = simulate(Simulation(), 2)
    leads = record.signal.astype(float)
    leads[6:] = np.nan
    m = measure(leads, record.fs)
    facts = find_facts(leads, record.fs, m, NETWORK, NOBODY)
    criteria = assess(rules()["RVH"], facts, "definitions", NOBODY)
    assert {c.name: c.met for c in criteria if "V1" in c.name} == {"R wave in V1": None, "R to S in V1": None}
    assert facts["sokolow_mv"] == UNKNOWN


def test_the_error_of_a_measurement_makes_a_probability():
    rule = rules()["1dAVb"]

    def sure(pr: float | None) -> float | None:
        facts = {"pr_ms": Fact(pr, 8.0), "sinus": Fact(1.0, 0.1), "p_waves": Fact(1.0, 0.05)}
        return holds(assess(rule, facts, "definitions", NOBODY))

    assert sure(None) is None
    values = [sure(pr) for pr in (180, 200, 201, 220)]
    assert values == sorted(values)
    assert values[0] < 0.05
    assert values[1] < 0.5 <= values[2]
    assert values[3] > 0.95


def test_limits_go_by_sex_and_age():
    assert st_limit("V2", Person(30, "M")) == 0.25
    assert st_limit("V2", Person(60, "M")) == 0.2
    assert st_limit("V2", Person(60, "F")) == 0.15
    assert st_limit("V2", NOBODY) == 0.25
    assert st_limit("V5", NOBODY) == 0.1
    cornell = next(when for when in rules()["LVH"].when if when.fact == "cornell_mv")
    assert [cornell.limit("definitions", sex) for sex in ("M", "F", None)] == [2.8, 2.0, 2.8]


@pytest.mark.parametrize("rhythm", ["paced_atrial", "paced_ventricular", "paced_dual"])
def test_spikes_make_a_paced_rhythm_where_the_network_sees_none(rhythm):
    heart = {"rhythm": rhythm, "rate_bpm": 70, "qrs_ms": 150 if rhythm != "paced_atrial" else 95}
    named = [found(facts_of(seed, **heart)) & {"PACE", "SR"} for seed in range(4)]
    assert named.count({"PACE"}) >= 3
    lbbb = {"conduction": "lbbb", "qrs_ms": 150, "qt_ms": 430}
    assert not any("PACE" in found(facts_of(seed, **lbbb)) for seed in range(4))


def test_spikes_are_not_looked_for_where_the_sampling_hides_them():
    record, _ = simulate(Simulation(rhythm="paced_atrial", rate_bpm=70), 2)
    thin = record.signal[:, ::5].astype(float)
    facts = find_facts(thin, 100.0, measure(thin, 100.0), NETWORK, NOBODY)
    assert facts["atrial_spikes_mv"].value is facts["ventricular_spikes_mv"].value is None


def test_flutter_that_conducts_two_to_one_is_no_sinus_tachycardia():
    heart = {"rhythm": "flutter", "av_ratio": 2, "rate_bpm": 140, "atrial_bpm": 280}
    network = {**NETWORK, "SR": 0.02, "ST": 0.8, "NORM": 0.3}
    named = [found(facts_of(seed, network=network, **heart), network) for seed in range(5)]
    assert sum("AFLT" in codes and "ST" not in codes for codes in named) >= 4
    fast = [found(facts_of(seed, network=network, rate_bpm=130, qt_ms=310), network) for seed in range(5)]
    assert not any("AFLT" in codes for codes in fast)


@pytest.mark.parametrize("ratio", [3, 4, 0])
def test_flutter_is_told_by_its_waves_unless_a_sinus_rhythm_is_clear(ratio):
    heart = {"rhythm": "flutter", "av_ratio": ratio, "rate_bpm": 290 / (ratio or 3), "atrial_bpm": 290}
    unsure = {**NETWORK, "SR": 0.5, "NORM": 0.3}
    named = [found(facts_of(seed, network=unsure, **heart), unsure) for seed in range(5)]
    assert sum("AFLT" in codes for codes in named) >= 4
    assert not any(codes & {"SR", "1dAVb"} for codes in named if "AFLT" in codes)
    assert not any("AFLT" in found(facts_of(seed, rate_bpm=95, pr_ms=190)) for seed in range(5))


def test_a_p_wave_just_after_the_qrs_makes_no_wide_tachycardia():
    heart = {"rhythm": "svt", "rate_bpm": 190, "qrs_ms": 95, "qt_ms": 280}
    network = {**NETWORK, "SR": 0.02, "ST": 0.1}
    named = [found(facts_of(seed, network=network, **heart), network) for seed in range(6)]
    assert all("SVT" in codes and "VT" not in codes for codes in named)


@pytest.mark.parametrize("limbs", [(1, 0, -1, -0.5, 1, -0.5), (-1, -1, 0, 1, -0.5, -0.5)])
def test_an_arm_that_shakes_at_the_rate_of_flutter_makes_none(limbs):
    """Left and right arm: waves as steady as flutter's, but none in the lead between the other two."""
    record, _ = simulate(Simulation(rate_bpm=67), 4)
    shakes = 0.25 * np.sin(2 * np.pi * 5.4 * np.arange(record.signal.shape[1]) / record.fs)
    signal = record.signal + np.array([*limbs, *[-1 / 3] * 6])[:, None] * shakes
    network = {**NETWORK, "NORM": 0.2, "SR": 0.4}
    facts = find_facts(signal, record.fs, measure(signal, record.fs), network, NOBODY)
    assert facts["flutter_waves"].value < 0.5
    assert "AFLT" not in found(facts, network)


def test_blocked_atria_keep_their_own_rate():
    heart = {"rhythm": "mobitz", "av_ratio": 2, "rate_bpm": 84}
    codes = found(facts_of(1, **heart))
    assert "AVB21" in codes
    assert codes & {"SR", "SB"} == {"SR"}


def test_what_a_definition_takes_back_leaves_room_for_what_it_outdid():
    network = {**NETWORK, "NORM": 0.05, "RBBB": 0.6, "IRBBB": 0.9}
    wide = facts_of(3, network=network, conduction="rbbb", qrs_ms=150, qt_ms=430)
    assert found(wide, network) & {"RBBB", "IRBBB"} == {"RBBB"}


def test_flat_leads_are_not_known_to_be_normal():
    facts = facts_of()
    assert "NORM" in found(facts)
    assert "NORM" not in found({**facts, "flat_leads": Fact(3.0, leads=("V1", "V2", "V3"))})


def test_paced_beats_tell_no_block_and_no_infarction():
    network = {**NETWORK, "NORM": 0.02, "SR": 0.1, "PACE": 0.9, "LBBB": 0.8, "IMI": 0.7, "MI": 0.7}
    heart = {"rhythm": "paced_ventricular", "rate_bpm": 70, "qrs_ms": 160}
    assert found(facts_of(2, network=network, **heart), network) & {"PACE", "LBBB", "IMI", "MI"} == {"PACE"}


@pytest.mark.parametrize(
    ("qrs", "st", "beyond"), [(160.0, 0.4, True), (160.0, 0.0, False), (90.0, 0.4, False)]
)
def test_what_st_depression_means_with_a_wide_qrs_its_definition_does_not_say(qrs, st, beyond):
    known = facts_of() | {"qrs_ms": Fact(qrs, 5.0), "st_down_lateral_mv": Fact(st, 0.02, 0.05)}
    criteria = assess(rules()["STD"], known | NARROW_BEATS, "definitions", NOBODY)
    assert beyond_scope(criteria) == beyond


@pytest.mark.parametrize("qrs", [60.0, 130.0, 134.0])
def test_a_page_within_the_scope_of_a_definition_is_judged_by_it_however_near_the_limit(qrs):
    """ST depression beside a QRS of 130 ms, known to 9 ms, was denied."""
    known = facts_of() | {"qrs_ms": Fact(qrs, 9.0), "st_down_lateral_mv": Fact(0.4, 0.02, 0.05)}
    criteria = assess(rules()["STD"], known | NARROW_BEATS, "definitions", NOBODY)
    assert holds(criteria) > 0.95


@pytest.mark.parametrize(
    ("leads", "added", "raised"),
    [("V1 V2 V3", 0.05, False), ("V1 V2 V3", 0.6, True), ("I aVL V5 V6", 0.05, False), ("V5 V6", 0.3, True)],
)
def test_st_of_a_wide_qrs_is_raised_with_it_or_beyond_a_quarter_of_its_depth(leads, added, raised):
    record, truth = simulate(Simulation(conduction="lbbb", rate_bpm=70, qrs_ms=150, qt_ms=430), seed=5)
    signal, times = record.signal.copy(), np.arange(record.signal.shape[1]) / record.fs
    for r, j in zip(truth.r_peak, truth.qrs_offset):
        st = np.interp(times, [j - 0.04, j - 0.01, r + 0.3, r + 0.42], [0.0, added, added, 0.0])
        signal[[LEADS.index(lead) for lead in leads.split()]] += st
    facts = find_facts(signal, record.fs, measure(signal, record.fs), NETWORK, NOBODY)
    assert ("STE" in found(facts)) == raised


def test_a_wide_qrs_whose_kind_cannot_be_told_is_not_normal():
    wide = facts_of() | {"qrs_ms": Fact(172.0, 9.0), "steep_qrs_ms": UNKNOWN}
    assert "NORM" in found(facts_of())
    assert not {"NORM", "IVCD"} & found(wide)


def test_st_elevation_tells_the_wall_of_an_infarction_that_has_none():
    up = {f"st_up_{wall}_mv": Fact(0.0, 0.03, 0.1) for wall in ("anterior", "lateral")}
    facts = {**facts_of(), **up, "st_up_inferior_mv": Fact(0.34, 0.03, 0.1, ("III", "aVF"))}
    network = {**NETWORK, "NORM": 0.1, "MI": 0.6, "IMI": 0.39, "AMI": 0.3}
    assert found(facts, network) & {"STE", "MI", "IMI", "AMI"} == {"STE", "MI", "IMI"}
    assert found(facts_of(), network) & {"STE", "MI", "IMI", "AMI"} == {"MI"}
    elsewhere = found(facts, {**network, "AMI": 0.5})  # what shapes show stays
    assert elsewhere & {"MI", "IMI", "AMI"} == {"MI", "AMI"}


def test_t_that_differs_from_beat_to_beat_is_no_clear_inversion():
    record, _ = simulate(Simulation(rate_bpm=70), 6)
    m = measure(record.signal, record.fs)
    waves = {lead: replace(wave, t=-0.14) if lead in ("I", "aVL") else wave for lead, wave in m.waves.items()}
    inverted = [
        found(find_facts(record.signal, record.fs, replace(m, waves=waves, **own), NETWORK, NOBODY))
        for own in ({}, {"level_errors": np.full(12, 0.15)})
    ]
    assert "TINV" in inverted[0]
    assert "TINV" not in inverted[1]


@pytest.mark.parametrize(("p", "normal"), [(0.3, True), (0.1, False)])
def test_an_ecg_without_a_finding_is_normal_unless_that_is_plainly_denied(p, normal):
    network = NETWORK | {"NORM": p}
    assert ("NORM" in found(facts_of(rate_bpm=70), network)) == normal
    assert "NORM" not in found(facts_of(rate_bpm=70), network, "code15")


def test_quick_irregular_beats_fibrillate_where_the_network_hesitates():
    beats = 0.3 + np.cumsum(np.random.default_rng(3).uniform(0.33, 0.68, 18))
    leads = heart((beats[beats < 9.5], NARROW))
    quick = measure(leads, FS)
    assert quick.heart_rate_bpm > 100
    hesitant = {**NETWORK, "SR": 0.1, "AF": 0.3, "NORM": 0.3}
    assert "AF" in found(find_facts(leads, FS, quick, hesitant, NOBODY), hesitant)


@pytest.mark.parametrize("seed", range(6))
def test_at_a_quick_pace_the_t_wave_is_no_p_wave(seed):
    quick = measure(any_heart("svt", seed)[0], FS)
    assert quick.heart_rate_bpm > 160
    assert quick.pr_ms is None


def test_a_finding_is_as_sure_as_the_surest_of_its_kinds():
    network = {**NETWORK, "NORM": 0.05, "LBBB": 0.9, "CD": 0.41}
    judged = decide(network, THRESHOLDS, facts_of(conduction="lbbb", qrs_ms=160), NOBODY)
    assert judged.probabilities["CD"] == judged.probabilities["LBBB"] >= 0.9
    hidden = {**network, "LBBB": 0.3, "CD": 0.41}
    assert decide(hidden, THRESHOLDS, facts_of(), NOBODY).probabilities["CD"] == 0.41


@pytest.mark.parametrize(
    ("condition", "said", "not_said"),
    [("pac", "PAC", "SARRH"), ("atrial_bigeminy", "PAC", "SARRH"), ("sinus_arrhythmia", "SARRH", "PAC")],
)
@pytest.mark.parametrize("seed", [1, 4, 9])
def test_early_beats_of_an_otherwise_regular_rhythm_are_atrial(seed, condition, said, not_said):
    leads = any_heart(condition, seed)[0]
    codes = found(find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY))
    assert said in codes
    assert not codes & {not_said, "PVC"}


def test_noise_and_p_waves_alone_are_no_beats():
    noise = np.random.default_rng(0).normal(0, 0.008, (12, 5000))
    tall = tuple((after, sigma, direction, 1.6 * mv) for after, sigma, direction, mv in P)
    p = np.arange(0.3, 10, 0.8)
    for leads in (noise, 4 * noise, heart((p, P)), heart((p, tall))):
        measured = measure(leads, FS)
        assert not len(measured.beats)
        assert "NOQRS" in found(find_facts(leads, FS, measured, NETWORK, NOBODY))


def test_beats_of_a_heart_of_low_voltage_are_beats():
    simulation = random_simulation(np.random.default_rng(1013), "low_voltage")
    record, _ = simulate(simulation, 1013)  # its largest QRS has less than 0.3 mV
    measured = measure(record.signal, record.fs)
    assert len(measured.beats) > 5


@pytest.mark.parametrize("seed", range(3))
def test_fast_irregular_wide_beats_of_one_shape_are_no_ventricular_fibrillation(seed):
    rng = np.random.default_rng(seed)
    beats = np.cumsum(60 / 165 * np.clip(1 + 0.25 * rng.standard_normal(50), 0.6, None))
    leads = heart((beats, PREEXCITED))
    network = {**dict.fromkeys(LABELS, 0.02), "AF": 0.9}
    codes = found(find_facts(leads, FS, measure(leads, FS), network, NOBODY), network)
    assert "AF" in codes
    assert "VF" not in codes


def test_an_extreme_axis_is_no_left_axis_deviation_and_not_normal():
    facts = facts_of()
    for axis, expected in ((-60, {"LAD"}), (-120, set()), (30, {"NORM"})):
        assert found({**facts, "axis_deg": Fact(axis, 4.0)}) & {"LAD", "RAD", "NORM"} == expected


def test_an_irregular_rhythm_that_nothing_found_explains_is_not_normal():
    """Early beats explain fibrillation away, but a finding must say that there are some."""
    varying = {"rr_variation": Fact(0.29, 0.012), "rr_range_ms": Fact(72.0, 12.0)}
    facts = facts_of() | varying | {"early_same": Fact(5.0)}
    assert {"NORM", "PAC"} & found(facts) == {"PAC"}
    assert not {"NORM", "PAC"} & found(facts | {"p_waves": Fact(0.5, 0.06)})
    assert "NORM" in found(facts | {"rr_variation": Fact(0.05, 0.012), "early_same": Fact(0.0)})


@pytest.mark.parametrize(("rate", "pr", "short"), [(70, 104, True), (150, 111, False), (110, 95, True)])
def test_a_quick_pulse_shortens_pr_by_itself(rate, pr, short):
    record, _ = simulate(Simulation(rate_bpm=rate, pr_ms=130, qt_ms=320), 1)
    measured = replace(measure(record.signal, record.fs), pr_ms=float(pr), heart_rate_bpm=float(rate))
    facts = find_facts(record.signal, record.fs, measured, NETWORK, NOBODY)
    assert ("SHORTPR" in found(facts)) == short


@pytest.mark.parametrize(("qrs", "long"), [(100.0, True), (130.0, True), (150.0, False)])
def test_a_qt_interval_is_long_up_to_the_qrs_of_which_its_definition_speaks(qrs, long):
    facts = facts_of() | {"qtc_ms": Fact(535.0, 14.0), "qrs_ms": Fact(qrs, 9.0)}
    assert ("LQT" in found(facts)) == long
    judged = decide(NETWORK, THRESHOLDS, facts, NOBODY)
    assert beyond_scope(tuple(c for c in judged.criteria if c.finding == "LQT")) != long


def test_fibrillation_leaves_no_second_degree_block_nor_what_was_found_with_it():
    wenckebach = {
        "rr_variation": Fact(0.2, 0.012), "dropped_p": Fact(3.0), "pr_growth_ms": Fact(90.0, 12.0),
    }  # fmt: skip
    facts = facts_of() | wenckebach
    assert {"WENCK", "HAVB", "CD"} <= found(facts)
    fibrillating = NETWORK | {"AF": 0.95, "SR": 0.05, "NORM": 0.1}
    assert not {"WENCK", "HAVB", "CD"} & found(facts, fibrillating)
    assert "CD" in found(facts, fibrillating | {"CD": 0.6})  # which the network sees by itself


def test_what_the_network_sees_is_told_beside_its_limit():
    """Else a condition of what must not be there reads as if it were there."""
    judged = decide(NETWORK, THRESHOLDS, facts_of(), NOBODY)
    pacemaker = next(c for c in judged.criteria if (c.finding, c.name) == ("IVCD", "pacemaker"))
    assert pacemaker.way == "<"
    assert pacemaker.limit == 0.5
    assert pacemaker.met
    assert pacemaker.value is not None
    assert pacemaker.value < 0.5


@pytest.mark.parametrize("block", ["RBBB", "LBBB"])
def test_st_t_changes_of_a_bundle_branch_block_are_its_own(block):
    """PTB-XL 8712, 9929, 15526, 16046, 18671: complete blocks with a QRS of 125 to 131 ms."""
    changed = {
        "st_down_anterior_mv": Fact(0.2, 0.03, 0.05, ("V1", "V2")),
        "t_down_anterior_mv": Fact(0.4, 0.03, 0.1, ("V1", "V2")),
        "qrs_ms": Fact(126.0, 9.0),
    }
    facts = {**facts_of(), **changed}
    assert {"STD", "TINV"} <= found(facts, {**NETWORK, "NORM": 0.1})
    network = {**NETWORK, "NORM": 0.1, block: 0.9}
    assert not found(facts, network) & {"STD", "TINV"}
    judged = decide(network, THRESHOLDS, facts, NOBODY)
    for sign in ("STD", "TINV"):
        assert beyond_scope(tuple(c for c in judged.criteria if c.finding == sign))


def test_groups_of_beats_are_a_block_where_the_atria_are_seen():
    """PTB-XL 21048: flutter that conducts in groups."""
    grouped = {"grouped_rr": Fact(4.0), "rr_variation": Fact(0.28, 0.012), "dropped_p": Fact(0.0)}
    facts = {**facts_of(), **grouped}
    assert "WENCK" in found(facts)
    assert "WENCK" not in found({**facts, "sinus": Fact(0.22, 0.15)})
    assert "WENCK" in found({**facts, "sinus": Fact(0.22, 0.15), "dropped_p": Fact(2.0)})


@pytest.mark.parametrize("pause", [1.6, 1.9, 2.6, 3.5])
def test_a_pause_of_the_sinus_node_makes_no_beat_early_and_drops_none(pause):
    p = 0.4 + np.cumsum([0.0, *[0.85] * 4, pause, *[0.85] * 4])
    leads = heart((p, P), (p + 0.16, NARROW))
    facts = find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY)
    assert facts["early_same"].value == 0
    assert not found(facts) & {"PAC", "WENCK", "HAVB", "CD"}
    assert ("PAUSE" in found(facts)) == (pause > 2)


@pytest.mark.parametrize("blocked", [2, 3])
def test_several_blocked_p_waves_in_a_row_are_an_av_block(blocked):
    """Advanced block, ACC/AHA/HRS 2018: neither 2:1 nor dissociated."""
    p = np.arange(0.2, 9.9, 0.62)
    leads = heart((p, P), (p[:: blocked + 1] + 0.18, NARROW))
    facts = find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY)
    judged = decide(NETWORK, THRESHOLDS, facts, NOBODY)
    assert "HAVB" in found(facts)
    assert not found(facts) & {"SB", "NORM", "AVB21", "AVB3"}
    assert next(c.value for c in judged.criteria if c.finding == "SR") == pytest.approx(97, abs=2)


@pytest.mark.parametrize("rr", [0.85, 1.0, 1.08])
def test_two_p_waves_for_each_qrs_are_an_av_block_at_usual_rates_too(rr):
    p = np.arange(0.2, 9.7, rr)
    leads = heart((p, P), (p + rr / 2, P), (p + 0.17, NARROW))
    codes = found(find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY))
    assert {"AVB21", "HAVB", "ST"} <= codes
    assert not codes & {"NORM", "SB"}


@pytest.mark.parametrize(("rate", "blocked"), [(36, True), (48, True), (75, False)])
def test_fibrillation_below_regular_beats_is_no_sinus_or_junctional_rhythm(rate, blocked):
    """Regular and slow: third-degree AV block, ACC/AHA/HRS 2018."""
    pace = 6.2 + np.repeat(np.random.default_rng(3).normal(0, 1.2, 50), 100)
    waves = np.outer(np.linspace(0.03, 0.1, 12), np.sin(2 * np.pi * np.cumsum(pace) / FS))
    beats = np.arange(0.3, 9.5, 60 / rate)
    for leads, fibrillates in ((heart((beats, NARROW)), False), (heart((beats, NARROW)) + waves, True)):
        codes = found(find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY))
        assert ("AF" in codes) == fibrillates
        assert ("AVB3" in codes) == (fibrillates and blocked)
        assert ("JUNC" in codes) != fibrillates
        assert not codes & {"NORM", "SR", "SB"}


def test_fibrillation_below_paced_beats_leaves_the_pacemaker_to_be_told():
    """It is what makes the beats regular, and no block."""
    paced = facts_of(2, rhythm="paced_ventricular", rate_bpm=60, qrs_ms=160)
    waves = dict.fromkeys(("regular_fibrillation", "blocked_fibrillation"), Fact(3.0, 0.1))
    paced |= waves | {"p_train": Fact(0.0), "ventricular_spikes_mv": Fact(0.3, 0.05)}
    assert found(paced) & {"PACE", "AF", "AVB3"} == {"PACE"}


@pytest.mark.parametrize("rate", [52, 70, 104])
def test_inverted_p_waves_far_before_the_qrs_are_of_no_sinus_rhythm_unless_electrodes_are_exchanged(rate):
    """P axis of sinus rhythms from 0 to 75 degrees: Surawicz & Knilans 2008."""
    low = ((0.045, 0.017, (0.1, -0.95, 0.1), 0.14),)
    p = np.arange(0.3, 9.7, 60 / rate)
    ectopic, usual = (heart((p, wave), (p + 0.17, NARROW)) for wave in (low, P))
    exchanged = usual.copy()  # right arm and left leg
    exchanged[:6] = -usual[[2, 1, 0, 5, 4, 3]]
    for leads, sinus in ((ectopic, False), (usual, True), (exchanged, True)):
        codes = found(find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY))
        assert bool(codes & {"SR", "SB", "ST"}) == sinus
        assert sinus or "NORM" not in codes


@pytest.mark.parametrize(("rate", "each"), [(240, 2), (300, 2), (300, 3), (320, 4)])
def test_the_rate_of_flutter_waves_is_no_multiple_of_it(rate, each):
    t, beats = np.arange(5000) / FS, np.arange(0.35, 9.6, 60 * each / rate)
    saw = np.interp((t - 0.2) * rate / 60 % 1, [0, 0.7, 1], [0.1, -0.1, 0.1])
    waves = np.outer((-0.1, 0.7, 0.8, -0.3, -0.45, 0.75, -0.5, -0.6, -0.3, 0, 0.1, 0.1), saw)
    qrs = tuple(wave for wave in NARROW if wave[0] < 0.1)
    leads = heart((beats, (*qrs, (0.2, 0.03, (0.65, 0.55, 0.35), 0.3)))) + waves
    facts = find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY)
    assert facts["flutter_rate_bpm"].value == pytest.approx(rate, abs=4)


@pytest.mark.parametrize("pause", [1.3, 1.5, 1.7])
def test_a_lone_pause_is_no_sinus_arrhythmia_and_not_normal(pause):
    p = 0.4 + np.cumsum([0.0, *[0.85] * 4, pause, *[0.85] * 4])
    leads = heart((p, P), (p + 0.16, NARROW))
    codes = found(find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY))
    assert "SR" in codes
    assert not codes & {"SARRH", "NORM"}


def test_voltages_beside_a_left_bundle_branch_block_neither_tell_nor_deny_hypertrophy():
    high = {"cornell_mv": Fact(4.0, 0.2), "qrs_ms": Fact(160.0, 9.0), "r_peak_v6_ms": Fact(70.0, 6.0)}
    network = {**NETWORK, "NORM": 0.1, "LBBB": 0.9, "CD": 0.9, "HYP": 0.6, "LVH": 0.3}
    judged = decide(network, THRESHOLDS, {**facts_of(), **high, "steep_qrs_ms": Fact(120.0, 6.0)}, NOBODY)
    assert judged.probabilities["LVH"] < judged.thresholds["LVH"]
    assert beyond_scope(tuple(c for c in judged.criteria if c.finding == "LVH"))


@pytest.mark.parametrize(("rate", "short"), [(72, True), (44, True), (33, False)])
def test_a_correction_by_a_very_slow_rate_makes_no_qt_short(rate, short):
    facts = {**facts_of(), "qtc_ms": Fact(310.0, 14.0), "heart_rate_bpm": Fact(float(rate), 1.0)}
    assert ("SQT" in found(facts)) == short


def test_where_a_wave_begins_is_no_pacing_spike():
    p = np.arange(0.3, 9.7, 0.9)
    t = np.arange(5000) / FS
    ramp = np.interp(t[:, None] - p, [0, 0.03, 0.1], [0, 0.3, 0]).sum(1)  # [n]
    leads = heart((p + 0.16, NARROW), noise=0.002) + np.ones((12, 1)) * ramp
    assert find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY)["atrial_spikes_mv"].value == 0


@pytest.mark.parametrize(
    ("qrs", "block", "told"), [(170, None, False), (170, "RBBB", True), (96, None, True)]
)
def test_wide_beats_below_a_third_degree_block_tell_no_infarction(qrs, block, told):
    """They spread from the ventricles, unless a bundle branch block made them wide."""
    free = {
        "dissociated": Fact(1.0), "p_per_qrs": Fact(2.1, 0.06), "p_waves": Fact(0.1, 0.06),
        "dropped_p": Fact(5.0),
    }  # fmt: skip
    wide = {"qrs_ms": Fact(float(qrs), 9.0), "steep_qrs_ms": Fact(120.0, 6.0), "late_v1_mv": Fact(0.4, 0.03)}
    network = {**NETWORK, "NORM": 0.1, "LMI": 0.9, "MI": 0.9, "CD": 0.9} | ({block: 0.9} if block else {})
    codes = found({**facts_of(), **free, **wide}, network)
    assert {"AVB3", "HAVB", "CD"} <= codes
    assert ({"LMI", "MI"} <= codes) == told
    assert "IVCD" not in codes


@pytest.mark.parametrize(("pr", "down", "junctional"), [(0.1, 1, True), (0.1, -1, False), (0.16, 1, False)])
def test_p_waves_that_come_back_from_the_node_close_to_the_qrs_are_junctional(pr, down, junctional):
    """Surawicz & Knilans 2008: inverted in II and aVF, within 120 ms of the QRS."""
    back = ((0.035, 0.013, (0.05, -0.9 * down, -0.2), 0.15),)
    p = np.arange(0.3, 9.7, 0.95)
    leads = heart((p, back), (p + pr, NARROW))
    facts = find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY)
    assert ("JUNC" in found(facts)) == junctional
    assert bool(found(facts) & {"SR", "SB", "NORM"}) == (down < 0)


@pytest.mark.parametrize(("swing", "arrhythmia"), [(0.05, False), (0.12, True)])
def test_sinus_arrhythmia_is_assessable_where_a_p_wave_is_bound_to_each_qrs(swing, arrhythmia):
    p = 0.4 + np.cumsum(0.85 + swing * np.sin(1.4 * np.arange(10)))
    leads = heart((p, P), (p + 0.16, NARROW))
    facts = find_facts(leads, FS, measure(leads, FS), NETWORK, NOBODY)
    judged = decide(NETWORK, THRESHOLDS, facts, NOBODY)
    assert ("SARRH" in found(facts)) == arrhythmia
    assert all(c.met is not None for c in judged.criteria if c.finding == "SARRH")
    assert judged.probabilities["AVB21"] < 0.1


@pytest.mark.parametrize(("late", "found_it"), [(0.3, True), (0.0, False)])
def test_an_incomplete_right_bundle_branch_block_has_late_forces_to_the_right(late, found_it):
    facts = {**facts_of(), "late_v1_mv": Fact(late, 0.03), "s_wide_ms": Fact(10.0, 6.0)}
    assert ("IRBBB" in found(facts, {**NETWORK, "NORM": 0.1, "IRBBB": 0.8})) == found_it
