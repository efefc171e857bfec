"""Layouts that are found from names and extents: rows, columns, orders and leads that nothing lists."""

from dataclasses import replace

import numpy as np
import pytest
from drawn import Place, drawn_page, grid_of_places

from ecgvlm.digitize.arrangement import Name, arrange
from ecgvlm.files.image import load_image
from ecgvlm.paper.print import print_page
from ecgvlm.paper.style import PageStyle
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, simulate

ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))


@pytest.fixture(scope="module")
def record():
    return simulate(Simulation(rate_bpm=66), 4)[0]


def page_of(record, places, **more):
    return drawn_page(record.signal, record.fs, places, **more)


def rhythm(lead: str, row: int) -> Place:
    return Place(lead, lead, 22.0, 32.0 + 33.0 * row, 250.0)


def agreement(page, record, lead: str) -> float:
    """Correlation of a strip with the record at its time on the page, half a pen's width off at most."""
    strip = next(s for s in page.strips if s.lead == lead and not s.rhythm)
    known = np.isfinite(strip.mv)
    time, row = np.arange(record.signal.shape[1]) / record.fs, record.signal[LEADS.index(lead)]
    truths = [np.interp(strip.t[known] + off, time, row) for off in np.linspace(-0.006, 0.006, 7)]
    return max(float(np.corrcoef(truth, strip.mv[known])[0, 1]) for truth in truths)


def test_four_rows_of_three(digitizer, record):
    rows = (("I", "aVL", "V3"), ("II", "aVF", "V4"), ("III", "V1", "V5"), ("aVR", "V2", "V6"))
    page = digitizer(page_of(record, grid_of_places(rows, mm=82.5)))
    assert page.layout == "4x3"
    assert min(agreement(page, record, lead) for lead in ("aVL", "V2", "V6")) > 0.9


@pytest.mark.parametrize("leads", [LEADS[:6], LEADS[6:]])
def test_limb_or_chest_leads_alone(digitizer, record, leads):
    page = digitizer(page_of(record, grid_of_places([[lead] for lead in leads], mm=250, pitch=27)))
    assert page.layout == "6x1"
    assert [strip.lead for strip in page.strips] == list(leads)
    assert min(agreement(page, record, lead) for lead in leads) > 0.9


def test_chest_leads_first(digitizer, record):
    rows = (("V1", "V4", "I", "aVR"), ("V2", "V5", "II", "aVL"), ("V3", "V6", "III", "aVF"))
    page = digitizer(page_of(record, grid_of_places(rows)))
    assert page.layout == "3x4"
    assert min(agreement(page, record, lead) for lead in ("V1", "I", "aVF")) > 0.9


def test_two_rhythm_strips_in_their_own_order(digitizer, record):
    page = digitizer(page_of(record, [*grid_of_places(ROWS), rhythm("V1", 3), rhythm("II", 4)]))
    assert page.layout == "3x4+2R"
    assert [s.lead for s in page.strips if s.rhythm] == ["V1", "II"]


def test_columns_of_one_time(digitizer, record):
    """Beats beside a rhythm strip tell that every column begins anew."""
    image = page_of(record, [*grid_of_places(ROWS, same_time=True), rhythm("II", 3)])
    page = digitizer(image)
    assert page.simultaneous
    assert max(abs(s.t0) for s in page.strips) < 0.1
    assert not digitizer(page_of(record, [*grid_of_places(ROWS), rhythm("II", 3)])).simultaneous


def test_columns_of_one_time_longer_than_their_rhythm_strip_have_no_gaps(digitizer, record):
    places = [*grid_of_places(ROWS, mm=75.0, same_time=True), rhythm("II", 3)]
    page = digitizer(page_of(record, places, width=335.0))
    assert page.simultaneous
    assert page.measurements.heart_rate_bpm == pytest.approx(66, abs=2)


def test_rows_of_ten_seconds_tell_slow_paper_without_a_note(digitizer, record):
    places = [Place(lead, lead, 22.0, 24.0 + 16.0 * row, 125.0) for row, lead in enumerate(LEADS)]
    page = digitizer(drawn_page(record.signal, 2 * record.fs, places, notes=(), width=165.0, height=225.0))
    assert page.mm_per_s == 12.5
    assert page.measurements.heart_rate_bpm == pytest.approx(66, abs=2)


def test_rhythm_strips_with_their_names_at_the_end(digitizer, record):
    places = [*grid_of_places(ROWS), rhythm("V1", 3), rhythm("II", 4)]
    page = digitizer(page_of(record, places, names_at_end=True, height=230.0))
    assert page.layout == "3x4+2R"
    assert [s.lead for s in page.strips if s.rhythm] == ["V1", "II"]


@pytest.mark.parametrize(("speed", "gain"), [(12.5, 10.0), (100.0, 10.0), (25.0, 40.0)])
def test_unusual_scales_that_are_printed_beside_a_filter(digitizer, record, speed, gain):
    mm = 5.0 * speed if speed < 100 else 150.0
    rows = tuple(zip(LEADS[:6], LEADS[6:]))
    places = grid_of_places(rows, mm=mm, pitch=30.0, gains=dict.fromkeys(LEADS, gain))
    notes = (f"{speed:g} mm/s  {gain:g} mm/mV  0.05-150 Hz",)
    image = drawn_page(
        record.signal,
        record.fs * 25.0 / speed,
        places,
        notes=notes,
        pulse=None,
        width=2 * mm + 50,
        height=240.0,
    )
    page = digitizer(image)
    assert (page.mm_per_s, page.mm_per_mv) == (speed, gain)


def test_a_single_column_with_its_names_at_the_end(digitizer, record):
    places = [Place(lead, lead, 22.0, 24.0 + 16.0 * row, 250.0) for row, lead in enumerate(LEADS)]
    page = digitizer(page_of(record, places, names_at_end=True, height=225.0))
    assert page.layout == "12x1"
    assert min(agreement(page, record, lead) for lead in ("II", "V1")) > 0.9


@pytest.mark.parametrize("at_end", [False, True])
def test_a_rhythm_strip_above_the_rows(digitizer, record, at_end):
    places = [rhythm("V1", 0), *grid_of_places(ROWS, top=65.0, apart=2.0)]
    page = digitizer(page_of(record, places, names_at_end=at_end))
    assert page.layout == "3x4+1R"
    assert [s.lead for s in page.strips if s.rhythm] == ["V1"]
    assert min(agreement(page, record, lead) for lead in ("I", "V6")) > 0.9


def test_one_misread_name_leaves_the_order():
    """What two names at one place say does not part the leads of an order."""
    rows = (("V1", "I"), ("V2", "II"), ("V3", "III"), ("V4", "aVR"), ("V5", "aVL"), ("V6", "aVF"))
    names = [
        Name(lead, 100.0 + 650 * column, 100.0 + 100 * row, 0.9)
        for row, leads in enumerate(rows)
        for column, lead in enumerate(leads)
        if lead != "I"  # its name is not seen
    ]
    found = arrange([*names, Name("I", 90.0, 395.0, 0.95)])
    assert found is not None
    assert {cell.lead for cell in found.cells} == set(LEADS)


def test_further_leads_keep_their_names(digitizer, record):
    rows = (
        ("I", "aVR", "V1", "V4", "V4R"),
        ("II", "aVL", "V2", "V5", "V8"),
        ("III", "aVF", "V3", "V6", "V9"),
    )
    page = digitizer(page_of(record, grid_of_places(rows, mm=50.0)))
    assert [s.lead for s in page.more] == ["V4R", "V8", "V9"]
    assert all(np.isfinite(page.leads(100.0)).any(1))
    assert max(s.t1 - s.t0 for s in page.strips) == pytest.approx(2.0, abs=0.06)


def test_leads_of_the_back_are_not_taken_for_others(digitizer, record):
    rows = (("I", "aVR", "V1", "V7"), ("II", "aVL", "V2", "V8"), ("III", "aVF", "V3", "V9"))
    page = digitizer(page_of(record, grid_of_places(rows)))
    assert {"V7", "V8"} <= {s.lead for s in page.more}
    assert not {s.lead for s in page.strips} & {"V4", "V5", "V6"}


@pytest.mark.parametrize(("last", "kept"), [("V4R V5R V6R", {"V1", "V2"}), ("V7 V8 V9", {"V2"})])
def test_beside_further_leads_names_that_none_of_those_look_like_need_not_be_plain(last, kept):
    """V1 may be V7, but none of the right chest."""
    column = ["V1", "V2", "V3R" if "R" in last else "V3", *last.split()]
    names = [Name(lead, 100.0, 100.0 * k, 1.0) for k, lead in enumerate(LEADS[:6])]
    names += [Name(lead, 700.0, 100.0 * k, 1.0 if k else 0.7) for k, lead in enumerate(column)]
    found = arrange(names)
    assert found is not None
    assert {"V1", "V2"} & {cell.lead for cell in found.cells} == kept


def test_no_lead_of_the_twelve_stands_twice_beside_further_ones():
    """V4R that was read as V6, beside V8 and V9, is not V6 once more."""
    names = [
        Name(lead, 100.0 + 250.0 * (k // 3), 100.0 + 150.0 * (k % 3), 1.0) for k, lead in enumerate(LEADS)
    ]
    further = [("V6", 0.7), ("V8", 1.0), ("V9", 1.0)]
    names += [Name(lead, 1100.0, 100.0 + 150.0 * k, p) for k, (lead, p) in enumerate(further)]
    found = arrange(names)
    assert found is not None
    assert sorted(cell.lead for cell in found.cells) == sorted([*LEADS, "V8", "V9"])


def test_names_scattered_over_many_rows_and_columns_are_no_arrangement():
    """As what looks like a lead's name here and there among the channels of an EEG; the same names, side by
    side, are one."""
    leads = ("aVL", "V6", "V3", "II", "V5", "V4", "aVR", "V1", "I", "aVL", "V4", "V6")
    places = [(2 * k % 11, k // 2) for k in range(len(leads))]
    scattered = [Name(lead, 100.0 + 160 * x, 80.0 + 60 * y, 0.9) for lead, (y, x) in zip(leads, places)]
    assert arrange(scattered) is None
    assert arrange(
        [Name(lead, 100.0 + 160 * (k // 2), 80.0 + 60 * (k % 2), 0.9) for k, lead in enumerate(leads)]
    )


def test_charts_that_are_called_as_leads_are_no_arrangement():
    """Even rows and columns of panels whose names come again and again: no ECG repeats its leads so."""
    leads = [str(lead) for lead in np.random.default_rng(1).choice(LEADS, 20)]
    names = [Name(lead, 100.0 + 330 * (k % 4), 80.0 + 190 * (k // 4), 0.9) for k, lead in enumerate(leads)]
    assert arrange(names) is None
    assert arrange([replace(name, lead=LEADS[k]) for k, name in enumerate(names[:12])]) is not None


def test_without_names_the_usual_order_is_said_to_be_assumed(digitizer, record):
    page = digitizer(page_of(record, [*grid_of_places(ROWS), rhythm("II", 3)], named=False))
    assert page.nameless
    assert page.layout == "3x4+1R"
    assert agreement(page, record, "V2") > 0.9


def test_a_small_figure_without_grid_on_a_tall_page(digitizer, record):
    figure = page_of(record, [*grid_of_places(ROWS), rhythm("II", 3)], height=150.0)
    figure[figure.min(2) > 120] = 255
    height, width = figure.shape[:2]
    page = np.full((round(2.1 * width), width + 200, 3), 255, np.uint8)
    page[400 : 400 + height, 100 : 100 + width] = figure
    found = digitizer(page)
    assert found.px_per_mm == pytest.approx(4.5, rel=0.02)
    assert found.measurements.heart_rate_bpm == pytest.approx(66, abs=2)


def test_a_lead_that_something_lies_on_is_missing_and_not_flat(digitizer, record):
    image = page_of(record, [*grid_of_places(ROWS), rhythm("II", 3)])
    top, bottom, left, right = (round(mm * 4.5) for mm in (50, 80, 146, 211))
    image[top:bottom, left:right] = (205, 150, 120)
    page = digitizer(image)
    assert page.flat == ()
    assert {strip.lead for strip in page.strips} == set(LEADS) - {"V2"}


def test_flat_leads_are_named(digitizer, record):
    places = [
        p if p.name not in ("V2", "V3") else Place(p.name, None, p.x, p.y, p.mm) for p in grid_of_places(ROWS)
    ]
    page = digitizer(page_of(record, [*places, rhythm("II", 3)]))
    assert page.flat == ("V2", "V3")
    assert not np.isfinite(page.leads(100.0)[[7, 8]]).any()


def test_a_page_of_straight_lines_has_no_signal_in_any_lead(digitizer, record):
    rows = tuple(zip(LEADS[:6], LEADS[6:]))
    places = [Place(p.name, None, p.x, p.y, p.mm) for p in grid_of_places(rows, mm=125.0, pitch=26.0)]
    page = digitizer(page_of(record, places))
    assert page.flat == LEADS
    assert not page.simultaneous


def test_single_beats_have_no_rate(digitizer, record):
    page = digitizer(page_of(record, grid_of_places(ROWS, mm=24.0, apart=36.0, same_time=True)))
    assert page.averaged
    assert page.measurements.heart_rate_bpm is None


def test_a_negative_is_read_as_the_page_that_it_is(digitizer, record):
    page = digitizer(255 - page_of(record, [*grid_of_places(ROWS), rhythm("II", 3)]))
    assert page.layout == "3x4+1R"
    assert agreement(page, record, "V5") > 0.9


@pytest.mark.parametrize("gain", [5.0, 20.0])
def test_gains_from_pulses_and_notes(digitizer, record, gain):
    gains = dict.fromkeys(LEADS, gain)
    places = grid_of_places(ROWS, gains=gains, pitch=40.0, top=38.0)
    notes = ("25 mm/s", f"{gain:g} mm/mV")
    assert digitizer(page_of(record, places, pulse=gain, notes=notes)).mm_per_mv == gain


def test_small_pulses_tell_their_gain_without_a_note(digitizer, record):
    places = grid_of_places(ROWS, gains=dict.fromkeys(LEADS, 2.5), pitch=40.0, top=38.0)
    assert digitizer(page_of(record, places, pulse=2.5, notes=(), scale=7.1)).mm_per_mv == 2.5


def test_pulses_that_the_side_of_the_picture_cuts_tell_nothing(digitizer, record):
    image = page_of(record, grid_of_places(ROWS), notes=())
    assert digitizer(image[:, round(16.5 * 4.5) :]).mm_per_mv == 10.0


def test_half_gain_of_the_chest_leads(digitizer, record):
    gains = {lead: 5.0 for lead in LEADS[6:]}
    notes = ("25 mm/s", "Limb: 10 mm/mV", "", "Chest: 5 mm/mV")
    page = digitizer(page_of(record, grid_of_places(ROWS, gains=gains), notes=notes))
    assert (page.mm_per_mv, page.chest_mm_per_mv) == (10.0, 5.0)


@pytest.mark.parametrize("scale", [4.33, 5.9])
def test_lines_all_alike_on_whole_pixels_are_of_a_millimetre(digitizer, record, scale):
    # On whole pixels lines 4.33 px apart repeat every third one, which passes for a grid of its own.
    lines = dict.fromkeys(("minor", "major"), (195, 195, 195)) | dict.fromkeys(("minor_mm", "major_mm"), 0.17)
    style = PageStyle(px_per_mm=scale, snap=True, **lines)
    page = digitizer(255 - print_page(record, "clean", np.random.default_rng(1), style).image)
    assert page.px_per_mm == pytest.approx(scale, rel=0.01)
    assert page.mm_per_s == 25.0
    assert page.measurements.heart_rate_bpm == pytest.approx(66, abs=2)


def test_rows_need_not_be_even(digitizer, record):
    heights = (32.0, 62.0, 108.0, 132.0)
    strips = [Place(p.name, p.lead, p.x, heights[ROWS.index(row)], p.mm, p.since)
              for row in ROWS for p in grid_of_places([row], top=0.0)]  # fmt: skip
    page = digitizer(page_of(record, [*strips, Place("II", "II", 22.0, heights[3], 250.0)]))
    assert page.layout == "3x4+1R"
    assert min(agreement(page, record, lead) for lead in ("I", "aVF", "V6")) > 0.9


def test_columns_of_one_time_need_not_stand_quite_below_each_other(digitizer, record):
    # On bent paper they are some mm off: here the rhythm strip begins 2 mm before its columns.
    places = [*grid_of_places(ROWS, same_time=True), Place("II", "II", 20.0, 131.0, 250.0)]
    assert digitizer(page_of(record, places)).simultaneous


def test_rows_and_beats_on_blank_paper_are_no_grid(digitizer, record):
    """Evenly spaced rows with even beats look like one where nothing else is printed."""
    places = grid_of_places([(lead,) for lead in LEADS], mm=250.0, pitch=15.0, top=22.0, left=13.0)
    image = page_of(record, places, scale=4.3, width=270.0, height=214.0, pulse=None, notes=())
    image[image[:, :, 1] > 110] = 255
    page = digitizer(image)
    assert page.px_per_mm == pytest.approx(4.3, rel=0.05)
    assert page.measurements.heart_rate_bpm == pytest.approx(66, abs=3)


@pytest.mark.parametrize(("layout", "gap"), [("3x4+1R", 12.0), ("3x4", 10.0), ("6x2", 14.0)])
def test_names_that_follow_their_strips(digitizer, record, layout, gap):
    style = PageStyle(
        layout=layout, names_after=True, name_at=(1.0, 2.0), gap=gap, separators="tick", width=330.0,
        right=16.0,
    )  # fmt: skip
    page = digitizer(print_page(record, "clean", 1, style).image)
    assert page.layout == layout
    assert {s.lead for s in page.strips} == set(LEADS)
    assert min(agreement(page, record, lead) for lead in ("I", "aVF", "V5")) > 0.9


@pytest.mark.real_data
def test_names_that_look_large_may_be_those_of_a_coarser_grid(digitizer, shared_data):
    """Dots every half mm along the 5-mm lines pass for a grid of half the pitch, in which names are large."""
    page = digitizer(load_image(shared_data.parent / "cases/16-dotted-grid-6s-240dpi/page.png"))
    assert page.px_per_mm == pytest.approx(9.45, rel=0.01)
    assert (page.mm_per_s, page.mm_per_mv) == (25.0, 10.0)


@pytest.mark.parametrize("apart", [40.0, 90.0])
def test_limb_and_chest_leads_may_stand_far_apart(digitizer, record, apart):
    limb = grid_of_places([(lead,) for lead in LEADS[:6]], mm=250.0, top=20.0, pitch=15.0)
    chest = grid_of_places([(lead,) for lead in LEADS[6:]], mm=250.0, top=95.0 + apart, pitch=15.0)
    page = digitizer(page_of(record, [*limb, *chest], height=190.0 + apart))
    assert page.layout == "12x1"
    assert len(page.strips) == 12
    assert {round(strip.t1 - strip.t0) for strip in page.strips} == {10}
    assert not page.several
