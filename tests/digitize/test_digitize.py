"""The digitiser on simulated pages, judged by the renderer's truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import NOT_ECGS, digitized, page
from scipy.interpolate import griddata

from ecgvlm.digitize import Digitizer
from ecgvlm.digitize.grid import GridFinder, find_grid
from ecgvlm.digitize.lettering import Lettering
from ecgvlm.digitize.rectify import flat_paper
from ecgvlm.digitize.strips import _named_by_shape
from ecgvlm.digitize.surface import projected
from ecgvlm.errors import EcgError
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.record import LEADS
from ecgvlm.simulate import Simulation, simulate


def snr_db(truth, strip) -> float:
    """Signal over error in dB of one strip, offset removed, after the best shift within 30 ms."""
    known = np.isfinite(strip.mv)
    t = truth.t - truth.t[0]
    grid = np.arange(0.02, t[-1] - 0.02, 1 / 500)
    reference = np.interp(grid, t, truth.mv)
    best = -np.inf
    for shift in np.arange(-0.03, 0.0301, 0.002):
        seen = np.interp(grid + shift, strip.t[known] - strip.t0, strip.mv[known])
        error = (reference - reference.mean()) - (seen - seen.mean())
        best = max(best, 10 * np.log10(np.var(reference) / np.mean(error**2)))
    return best


@pytest.mark.parametrize(("kind", "least"), [("clean", 18.0), ("scan", 14.0), ("photo", 11.0)])
def test_twelve_leads_come_back(digitizer, kind, least):
    rendering = page(kind)
    found = digitizer(rendering.image)
    assert found.layout == "3x4+1R"
    strips = {(s.lead, s.rhythm): s for s in found.strips}
    values = [snr_db(truth, strips[truth.lead, truth.rhythm]) for truth in rendering.truth.traces]
    assert np.median(values) > least


def test_rows_that_run_into_each_other_are_followed_together(digitizer):
    """Twelve rows at 10 mm/mV: a QRS reaches its neighbours' lines, and each keeps its own."""
    rendering = page(layout="12x1", mm_per_mv=10.0)
    strips = {s.lead: s for s in digitizer(rendering.image).strips}
    values = [snr_db(truth, strips[truth.lead]) for truth in rendering.truth.traces]
    assert np.median(values) > 14.0


def test_names_nearer_the_row_above_are_those_of_the_row_below(digitizer):
    rendering = page(style="philips", layout="12x1", mm_per_mv=5.0, seed=3)
    strips = {s.lead: s for s in digitizer(rendering.image).strips}
    assert {truth.lead for truth in rendering.truth.traces} == set(strips)
    values = [snr_db(truth, strips[truth.lead]) for truth in rendering.truth.traces]
    assert np.median(values) > 12.0


def test_traces_in_pure_green_on_black_keep_their_qrs(digitizer):
    """The complement of pure green is a pale magenta."""
    rendering = page(grid="none")
    screen = np.zeros_like(rendering.image)
    screen[:, :, 1] = 255 - rendering.image.min(axis=2)
    strips = {(s.lead, s.rhythm): s for s in digitizer(screen).strips}
    for truth in rendering.truth.traces:
        mv = strips[truth.lead, truth.rhythm].mv
        assert np.nanmax(mv) - np.nanmin(mv) == pytest.approx(np.ptp(truth.mv), abs=0.25)


def test_names_misread_as_those_of_the_cabrera_order_give_way_to_the_relations(digitizer, monkeypatch):
    """As "Lead II" is: what stands before a name makes another one of it."""
    names = Lettering.names
    misread = dict(zip(LEADS, ("aVL", "I", "aVR", "II", "aVF", "III")))

    def read(self, *seen):
        return [replace(name, lead=misread.get(name.lead, name.lead)) for name in names(self, *seen)]

    rendering = page(layout="3x4")
    monkeypatch.setattr(Lettering, "names", read)
    found = digitizer(rendering.image)
    assert found.order == "standard"
    strips = {s.lead: s for s in found.strips}
    assert min(snr_db(truth, strips[truth.lead]) for truth in rendering.truth.traces) > 10.0


def test_the_cabrera_order_stays_where_the_relations_bear_it_out(digitizer):
    assert digitizer(page(layout="3x4", order="cabrera").image).order == "cabrera"


@pytest.mark.parametrize("px_per_mm", [5.4, 5.8])
def test_without_a_grid_rows_last_ten_seconds(digitizer, px_per_mm):
    found = digitizer(page(grid="none", px_per_mm=px_per_mm).image)
    assert found.seconds == pytest.approx(10.0, abs=0.004)


def test_a_small_sheet_whose_fine_lines_pass_for_thick_ones_is_no_huge_one(digitizer, monkeypatch):
    record, _ = simulate(Simulation(rate_bpm=72), 1)
    alike = {"minor": (240, 170, 170), "major": (235, 160, 160), "minor_mm": 0.17, "major_mm": 0.17}
    style = page_style("classic", layout="6x2", width=166.0, height=164.0, px_per_mm=6.0, **alike)
    seen = []
    of_scale = Digitizer._view
    monkeypatch.setattr(
        Digitizer, "_view", lambda self, *way: seen.append(way[1].scale()) or of_scale(self, *way)
    )
    assert digitizer(render(record, style).image).layout == "6x2"
    assert min(seen) > 5.0


@pytest.mark.parametrize("layout", ["3x4", "3x4+1R", "3x4+3R", "6x2", "6x2+1R", "12x1"])
def test_layouts_are_told_apart(digitizer, layout):
    found = digitizer(page(layout=layout).image)
    assert found.layout == layout
    assert {s.lead for s in found.strips} == set(LEADS)
    printed = np.isfinite(found.leads(100.0))
    assert printed.any(1).all()


@pytest.mark.parametrize(("speed", "gain"), [(25.0, 5.0), (50.0, 10.0), (25.0, 20.0)])
def test_speed_and_gain_are_read(digitizer, speed, gain):
    found = digitizer(page(mm_per_s=speed, mm_per_mv=gain).image)
    assert (found.mm_per_s, found.mm_per_mv) == (speed, gain)


def test_spikes_beside_names_are_no_calibration_pulses(digitizer):
    """A small page without pulses and notes: thin QRS stand one under the other, each beside its name."""
    faint = {"minor": (234, 235, 237), "major": (163, 164, 164), "px_per_mm": 3.7}
    plain = {"pulses": "none", "template": "none", "name_at": (1.0, 6.0), "name_size": 2.8}
    assert digitizer(page("scan", layout="6x2", seed=6, **plain, **faint).image).mm_per_mv == 10.0


def test_cabrera_order_and_its_inverted_avr(digitizer):
    rendering = page(order="cabrera")
    found = digitizer(rendering.image)
    assert found.order == "cabrera"
    truth = next(t for t in rendering.truth.traces if t.lead == "aVR")
    strip = next(s for s in found.strips if s.lead == "aVR")
    known = np.isfinite(strip.mv)
    time = strip.t[known] - strip.t0
    # Where a strip begins is known to half a pen's width.
    references = [np.interp(time + off, truth.t - truth.t[0], truth.mv) for off in (-0.006, 0.0, 0.006)]
    assert max(np.corrcoef(reference, strip.mv[known])[0, 1] for reference in references) > 0.95


@pytest.mark.parametrize("name", sorted(NOT_ECGS))
def test_other_pictures_are_refused(digitizer, name):
    with pytest.raises(EcgError) as caught:
        digitizer(NOT_ECGS[name]())
    assert caught.value.code == "not_an_ecg"


def test_points_go_back_to_the_picture(digitizer):
    rendering = page("photo")
    found = digitizer(rendering.image)
    truth = next(t for t in rendering.truth.traces if t.lead == "V2")
    strip = next(s for s in found.strips if s.lead == "V2")
    back = found.to_source(strip.curve[np.isfinite(strip.curve).all(1)])
    distance = [np.linalg.norm(truth.xy - point, axis=1).min() for point in back[::5]]
    assert np.median(distance) < 1.5


@pytest.mark.parametrize("seed", [3, 14])
def test_a_scan_is_one_plane(seed):
    """However worn: no piece of a line that is hard to see may bend flat paper."""
    rendering = page("scan", seed=seed)
    paper = find_grid(rendering.image)
    assert paper is not None
    assert not paper.shift.any()
    mesh = rendering.truth.mesh
    rows, cols = mesh.shape[:2]
    found = projected(np.linalg.inv(paper.homography), mesh)
    off = found - 5.0 * np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), -1)
    assert np.abs(off - np.median(off, axis=(0, 1))).max() < 0.1


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["clean", "scan", "photo"]))
def test_grid_maps_millimetres(seed, kind):
    """The map agrees with the truth's mesh wherever the grid was seen, up to one shift of the paper."""
    rendering = page(kind, seed=seed)
    paper = find_grid(rendering.image)
    if kind == "scan" and paper is None:
        return  # scanned in black and white: no line of the grid is left
    assert paper is not None
    mesh = rendering.truth.mesh
    nodes = paper.nodes().reshape(-1, 2)
    found = griddata(paper.to_px(nodes), nodes, mesh.reshape(-1, 2)).reshape(mesh.shape)
    (x0, y0), (x1, y1) = paper.box[:2], paper.box[2:]
    seen = ((found > (x0, y0)) & (found < (x1, y1))).all(-1)
    assert seen.sum() > 0.3 * seen.size
    rows, cols = mesh.shape[:2]
    off = found - np.stack(np.meshgrid(5.0 * np.arange(cols), 5.0 * np.arange(rows)), -1)
    off = np.linalg.norm(off - np.median(off[seen], axis=0), axis=-1)[seen]
    assert np.percentile(off, (50, 90)) == pytest.approx((0.0, 0.0), abs=0.35)
    assert np.median(off) < 0.12


@pytest.mark.parametrize("wrong", [1.4, 0.7])
def test_rows_of_ten_seconds_outdo_a_grid_that_is_hardly_seen(monkeypatch, digitizer, wrong):
    picture = page(style="plain").image
    mistaken = replace(flat_paper(picture, 5.4 * wrong, 0.0), fit=0.3)
    monkeypatch.setattr(GridFinder, "find", lambda self: mistaken)
    monkeypatch.setattr(GridFinder, "find_about", lambda self, scale: None)
    assert digitizer(picture).px_per_mm == pytest.approx(5.4, rel=0.02)


def test_a_rhythm_strip_of_doubtful_name_is_the_usual_lead_of_two_that_are_alike():
    strips = [strip for strip in digitized().strips if not strip.rhythm]
    named = {strip.lead: strip for strip in strips}
    rhythm = replace(named["II"], lead="I", rhythm=True)
    twin = replace(named["II"], lead="aVF")
    others = [replace(strip, mv=0.97 * strip.mv) if strip.lead == "II" else strip for strip in strips]
    others = [twin if strip.lead == "aVF" else strip for strip in others]
    assert _named_by_shape(rhythm, others).lead == "II"


def test_a_rhythm_strip_named_as_no_lead_of_the_page_is_the_lead_that_it_repeats():
    strips = [strip for strip in digitized().strips if not strip.rhythm]
    (v1,) = (strip for strip in strips if strip.lead == "V1")
    assert _named_by_shape(replace(v1, lead="V7", rhythm=True), strips).lead == "V1"
