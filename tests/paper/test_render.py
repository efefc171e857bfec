from dataclasses import replace

import numpy as np
import pytest
from gaussians import gaussian_record
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.paper import text
from ecgvlm.paper.render import render
from ecgvlm.paper.style import STYLES, PageStyle, page_style, random_style
from ecgvlm.record import LEADS, Record

# Nothing but traces, so that every dark pixel belongs to one.
BARE = page_style("plain", template="none", pulses="none", separators="none", trace=(0, 0, 0), name_size=0.2)


def darkness(image: np.ndarray) -> np.ndarray:
    return 255.0 - image.mean(axis=2)


def column_centres(image: np.ndarray, xy: np.ndarray, columns: np.ndarray, reach: int = 6) -> np.ndarray:
    """Centre of the ink near the true curve in each pixel column, minus the curve's mean height there."""
    dark = darkness(image)
    errors = []
    for x in columns:
        true = np.interp(np.linspace(x - 0.5, x + 0.5, 9), xy[:, 0], xy[:, 1]).mean()
        rows = np.arange(round(true) - reach, round(true) + reach + 1)
        ink = dark[rows, x]
        errors.append((ink * rows).sum() / ink.sum() - true)
    return np.array(errors)


@pytest.mark.parametrize(("scale", "thick"), [(5.39, 0.36), (7.87, 0.25), (4.1, 0.5)])
def test_ink_lies_on_the_truth_within_a_tenth_of_a_pixel(record, scale, thick):
    page = render(record, replace(BARE, px_per_mm=scale, trace_mm=thick))
    every = []
    for trace in page.truth.traces:
        slope = np.abs(np.gradient(trace.xy[:, 1], trace.xy[:, 0]))
        first, last = trace.xy[0, 0] + 12, trace.xy[-1, 0] - 12
        columns = np.arange(int(first), int(last))
        flat = np.interp(columns, trace.xy[:, 0], np.convolve(slope, np.ones(15) / 15, "same")) < 0.3
        errors = column_centres(page.image, trace.xy, columns[flat])
        assert flat.sum() > 20
        assert np.percentile(np.abs(errors), 95) < 0.1
        every.append(errors)
    assert abs(np.concatenate(every).mean()) < 0.02


def test_peaks_are_drawn_where_the_truth_says(record):
    page = render(record, BARE)
    dark = darkness(page.image)
    trace = page.truth.traces[11]  # V6, upright
    peak = trace.xy[np.argmin(trace.xy[:, 1])]
    near = round(peak[1]) - 20
    top = near + np.argmax(dark[near:, round(peak[0])] > 127)
    assert abs(top - (peak[1] - BARE.trace_mm * BARE.px_per_mm / 2)) < 0.8


@pytest.mark.parametrize("speed", [25.0, 50.0])
@pytest.mark.parametrize("gain", [5.0, 10.0, 20.0])
def test_truth_is_time_and_voltage_in_millimetres(record, speed, gain):
    style = replace(BARE, mm_per_s=speed, mm_per_mv=gain)
    page = render(record, style)
    assert (page.truth.mm_per_s, page.truth.mm_per_mv) == (speed, gain)
    for trace in page.truth.traces:
        px_per_s = np.polyfit(trace.t, trace.xy[:, 0], 1)[0]
        px_per_mv = np.polyfit(trace.mv, trace.xy[:, 1], 1)[0]
        assert px_per_s == pytest.approx(speed * style.px_per_mm, rel=1e-4)
        assert px_per_mv == pytest.approx(-gain * style.px_per_mm, rel=1e-4)
        row = LEADS.index(trace.lead)
        true = np.interp(trace.t, np.arange(record.signal.shape[1]) / record.fs, record.signal[row])
        np.testing.assert_allclose(trace.mv, true, atol=0.01)
    seconds = max(trace.t[-1] for trace in page.truth.traces)
    assert seconds == pytest.approx(10.0 if speed == 25 else 5.0, abs=0.02)


def test_slow_records_are_interpolated_through_their_samples():
    slow = gaussian_record(fs=100.0)
    rhythm = render(slow, BARE).truth.traces[-1]
    assert np.diff(rhythm.xy[:, 0]).max() < 4
    at = np.searchsorted(rhythm.t, np.arange(50, 950) / 100 - 1e-9)
    np.testing.assert_allclose(rhythm.mv[at], slow.signal[1, 50:950], atol=0.01)
    fine = gaussian_record(fs=1000.0)
    np.testing.assert_allclose(
        rhythm.mv, np.interp(rhythm.t, np.arange(10000) / 1000, fine.signal[1]), atol=0.03
    )


def test_gaps_break_the_line_and_empty_leads_print_nothing(record):
    signal = record.signal.copy()
    signal[1, 2000:2500] = np.nan
    signal[5] = np.nan
    page = render(Record(signal, record.fs), replace(BARE, layout="12x1"))
    second, sixth = page.truth.traces[1], page.truth.traces[5]
    gap = (second.t > 4.02) & (second.t < 4.98)
    assert np.isnan(second.xy[gap]).all()
    assert np.isfinite(second.xy[~gap & ((second.t < 3.98) | (second.t > 5.02))]).all()
    assert np.isnan(sixth.xy).all()
    dark = darkness(page.image)
    left, right = second.xy[np.flatnonzero(gap)[0] - 20, 0], second.xy[np.flatnonzero(gap)[-1] + 20, 0]
    middle = int((left + right) / 2)
    zero = round(float(second.box[:, 1].mean()))
    assert dark[zero - 8 : zero + 9, middle].max() == 0
    zero = round(float(sixth.box[:, 1].mean()))
    assert dark[zero - 8 : zero + 9, middle].max() == 0


def test_short_records_fill_shorter_rows():
    page = render(gaussian_record(seconds=7.0), BARE)
    assert page.truth.traces[-1].t[-1] == pytest.approx(7.0, abs=0.02)
    assert page.truth.traces[3].t[0] == pytest.approx(1.75, abs=0.02)


def test_long_records_start_where_the_style_says():
    record = gaussian_record(seconds=30.0)
    for start, first in ((0.0, 0.0), (0.5, 10.0), (1.0, 20.0)):
        assert render(record, replace(BARE, start=start)).truth.traces[0].t[0] == pytest.approx(
            first, abs=0.01
        )


def test_cabrera_prints_avr_upside_down(record):
    page = render(record, replace(BARE, order="cabrera"))
    trace = next(t for t in page.truth.traces if t.lead == "aVR")
    assert trace.inverted
    assert page.truth.order == "cabrera"
    assert np.polyfit(trace.mv, trace.xy[:, 1], 1)[0] == pytest.approx(10 * BARE.px_per_mm)


def test_mesh_lies_on_the_thick_lines(record):
    style = page_style("classic", template="none", grid_at=(2.3, 4.1))
    empty = Record(np.full((12, 5000), np.nan, np.float32), 500.0)
    page = render(empty, replace(style, pulses="none", name_size=0.2))
    dark, mesh = darkness(page.image), page.truth.mesh
    assert mesh.shape[:2] == (42, 59)
    middle = np.round(mesh[1:-1, 1:-1] + 2.5 * style.px_per_mm).astype(int)
    columns = dark[middle[..., 1], :].mean(axis=(0, 1))
    x = mesh[0, 1:-1, 0]
    on, off = columns[np.round(x).astype(int)], columns[np.round(x + 2.5 * style.px_per_mm).astype(int)]
    assert on.min() > off.max() + 10
    np.testing.assert_allclose(np.diff(mesh[:, :, 0], axis=1), 5 * style.px_per_mm)


def test_name_boxes_hold_the_printed_names_only(record):
    style = page_style("plain", template="none", pulses="none", name_at=(1.0, 9.0))
    empty = Record(np.full((12, 5000), np.nan, np.float32), 500.0)
    page = render(empty, style)
    dark = darkness(page.image)
    for trace in page.truth.traces:
        (x0, y0), (x1, y1) = (
            np.round(trace.name_box[0] + 0.5).astype(int),
            np.round(trace.name_box[2]).astype(int),
        )
        assert (dark[y0 : y1 + 1, x0 : x1 + 1] > 100).sum() > 5
        dark[y0 : y1 + 1, x0 : x1 + 1] = 0
    assert dark.max() == 0


def test_pulses_are_one_millivolt_tall(record):
    for side in ("left", "right"):
        style = page_style("classic", pulses=side, mm_per_mv=5.0)
        pulses = render(record, style).truth.pulses
        assert pulses.shape == (4, 4, 2)
        np.testing.assert_allclose(pulses[:, 3, 1] - pulses[:, 0, 1], 5 * style.px_per_mm)
        np.testing.assert_allclose(pulses[:, 1, 0] - pulses[:, 0, 0], style.pulse_mm * style.px_per_mm)


@pytest.mark.parametrize("name", STYLES)
def test_presets_draw_every_layout(record, name):
    for layout in ("12x1", "3x4+3R"):
        page = render(record, page_style(name, layout=layout, px_per_mm=3.0))
        assert page.image.dtype == np.uint8
        assert page.image.shape[2] == 3
        height, width = page.image.shape[:2]
        for trace in page.truth.traces:
            assert (trace.box > -1).all()
            assert (trace.box < [width, height]).all()


def test_same_seed_same_page_and_the_ecg_does_not_depend_on_it(record):
    style = page_style("ge")
    one, same, other = render(record, style, 1), render(record, style, 1), render(record, style, 2)
    np.testing.assert_array_equal(one.image, same.image)
    assert (one.image != other.image).any()
    for a, b in zip(one.truth.traces, other.truth.traces):
        np.testing.assert_array_equal(a.xy, b.xy)


def test_header_prints_a_rate_only_if_the_record_knows_it(record):
    def rate(meta: dict) -> str:
        rec = Record(record.signal, record.fs, meta=meta)
        return text.facts(rec, 297, 210, 25, 10, "3x4", np.random.default_rng(0)).rate

    assert rate({}) == "---"
    assert rate({"heart_rate_bpm": 71.7}) == "72"


def test_pages_render_without_system_fonts(record, monkeypatch):
    monkeypatch.setattr(text, "system_fonts", dict)
    text.text_mask.cache_clear()
    text._pillow_font.cache_clear()
    page = render(record, page_style("kit", font="DejaVuSans", px_per_mm=4.0))
    box = page.truth.traces[0].name_box
    assert box[2, 0] > box[0, 0]
    assert text.available("DejaVuSans") == text.BUILTIN
    text.text_mask.cache_clear()
    text._pillow_font.cache_clear()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_styles_keep_every_strip_on_the_page(seed):
    style = random_style(np.random.default_rng(seed), width_px=700)
    page = render(gaussian_record(fs=250.0), style, seed)
    height, width = page.image.shape[:2]
    assert abs(width - 700) <= 1
    assert {t.lead for t in page.truth.traces} == set(LEADS)
    for trace in page.truth.traces:
        assert (trace.box[:, 0] >= -1).all()
        assert (trace.box[:, 0] <= width).all()
        assert trace.xy[0, 0] == pytest.approx(trace.box[0, 0], abs=1.5)
        assert trace.xy[-1, 0] == pytest.approx(trace.box[1, 0], abs=1.5)
        zero = trace.xy[:, 1].mean()
        assert 0 < zero < height


def test_impossible_pages_are_refused(record):
    with pytest.raises(EcgError, match="px"):
        render(record, replace(BARE, px_per_mm=0.1))
    with pytest.raises(EcgError, match="no room"):
        render(record, replace(BARE, left=200.0, right=90.0))
    with pytest.raises(UsageError, match="sketch"):
        page_style("sketch")
    with pytest.raises(UsageError, match="9x9"):
        render(record, PageStyle(layout="9x9"))
