"""What is compiled does what NumPy does."""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from ecgvlm import compiled, filters
from ecgvlm.compiled import Compiled, library_of
from ecgvlm.digitize import grid, pen, stroke, surface, trace
from ecgvlm.judge import atria
from ecgvlm.measure import signal

SOURCE = Path(compiled.__file__).with_name("compiled.c")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    path = tmp_path_factory.mktemp("compiled") / "_compiled.so"
    strict = ["-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, "-O3", *strict, "-shared", "-fPIC", "-o", path, SOURCE, "-lm"], check=True)
    return path


@pytest.fixture(scope="module")
def library(built) -> Compiled:
    return Compiled(built)


@pytest.mark.parametrize("shape", [(7, 90, 60), (3, 40, 200), (1, 2, 64), (3, 40, 1), (2, 1, 5)])
def test_the_cheapest_ways_cost_what_numpys_do(library, shape):
    rng = np.random.default_rng(0)
    cost = rng.choice([0.0, 0.5, 4.0], shape).astype(np.float32) + rng.random(shape, np.float32) / 10
    step = rng.uniform(-0.02, 0.4, shape).astype(np.float32)  # ink is worth passing
    found, wanted = library.cheapest(cost, step), trace._cheapest(cost, step)

    def costs(ways: np.ndarray) -> np.ndarray:
        own = np.take_along_axis(cost, ways[..., None], 2)[..., 0].sum(1)
        height = step[:, 1:].cumsum(2)
        before, behind = (
            np.take_along_axis(height, w[..., None], 2)[..., 0] for w in (ways[:, :-1], ways[:, 1:])
        )
        return own + np.where(ways[:, 1:] > ways[:, :-1], behind - before, before - behind).sum(1)

    assert found.shape == wanted.shape
    assert costs(found) == pytest.approx(costs(wanted), abs=1e-3)
    assert (found == wanted).mean() > 0.99


def test_runs_of_ink_end_where_numpy_has_them_end(library):
    rng = np.random.default_rng(0)
    ink = np.repeat(rng.random((20, 3000), np.float32), 3, 0)
    ink[:, :50], ink[:, 50:100] = 0, 1
    y, beside = rng.integers(0, len(ink), ink.shape[1]), rng.uniform(0, 9, ink.shape[1])
    for near in (beside, 2.0):
        for level in (0.0, 0.3, 0.7):
            found, wanted = (run(ink, y, near, level) for run in (library.ink_run, stroke._ink_run))
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("shape", "width"), [((12, 300), 7), ((50,), 41), ((3, 8), 8), ((2, 5), 1)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
def test_medians_are_numpys(library, shape, width, dtype):
    values = (30 * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    values[..., : shape[-1] // 2] = np.round(values[..., : shape[-1] // 2] / 10)  # some are alike
    found, wanted = library.medians(values, width), filters._medians(values, width)
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_medians_of_what_is_known_are_numpys(library, axis):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(9, 12, 40))
    values[rng.random(values.shape) < 0.3] = np.nan
    values[2:8, 3, 5:9] = values[:, 0, 0] = values[4, 1] = values[4, :, 7] = np.nan
    for part in (values, np.nan_to_num(values), values[:, :, ::2]):
        found, wanted = library.nanmedian(part, axis), signal._nanmedian(part, axis)
        assert np.array_equal(found, wanted, equal_nan=True)


def test_trains_are_chained_as_numpy_does(library):
    rng = np.random.default_rng(0)
    signal = rng.normal(0.1, 0.4, 600)
    steps = np.round(np.array([[30.0], [47.5], [101.0]]) * np.linspace(0.8, 1.2, 15)).astype(int)
    cost = 1.5 * np.linspace(-1, 1, 15) ** 2
    found, wanted = (chained(signal, steps, cost) for chained in (library.chained, atria._chained))
    assert (wanted[1] >= 0).any()
    for some, others in zip(found, wanted):
        assert np.array_equal(some, others)


def test_a_pen_is_swept_as_numpy_does(library):
    rng = np.random.default_rng(0)
    top = rng.normal(50, 9, (3, 90)).astype(np.float32)
    radii, strip = rng.uniform(0.4, 2.5, (3, 4)), np.repeat(np.arange(4), [30, 2, 40, 18])
    wanted = pen._under_pen(top, top + 3, radii, strip)
    off = np.arange(8)[:, None, None] / pen.ALONG
    rises = np.where(radii >= off, np.sqrt(np.maximum(radii**2 - off**2, 0)), -np.inf).astype(np.float32)
    for swept in (library.swept, pen._swept):
        for found, expected in zip(swept(top, top + 3, rises, strip), wanted):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@pytest.fixture
def band(monkeypatch) -> stroke._Band:
    """The print in some columns, as OpenCV reads it."""
    monkeypatch.setattr(stroke, "COMPILED", None)
    return stroke._band(*_columns())


def _columns() -> tuple:
    """Of `stroke._band`: columns of a page that lies aslant in its picture and reaches beyond it."""
    rng = np.random.default_rng(0)
    sizes = ((160, 230), 1.5), ((150, 200), 2), ((150, 200), 2)
    grey, *page = (
        cv2.GaussianBlur(rng.integers(0, 255, size).astype(np.uint8), (0, 0), s) for size, s in sizes
    )
    y, x = np.mgrid[0:32, 0:42] * 5.0
    mesh = np.stack([1.2 * x + 0.1 * y - 5, 1.1 * y - 0.1 * x + 2], -1).astype(np.float32)
    fine = stroke.Print(grey, -1.0, mesh, cv2.merge(page), 2.0)
    return fine, rng.uniform(0, 199, 101), np.floor(rng.uniform(1, 130, 101)), 32


def test_print_is_read_between_px_as_opencv_does(library, band):
    fine, x, first, rows = _columns()
    if not library.laned:
        pytest.skip("OpenCV does it on this processor")
    contrast, seen = library.band(
        x, first, rows, fine.grey, fine.mesh, fine.print, 255 * stroke._SEEN, fine.sign
    )
    off = np.abs(contrast - band.contrast)  # whole grey levels, of two as near either may be taken
    assert off.max() <= 1
    assert off.mean() < 0.05
    np.testing.assert_allclose(seen, band.seen, rtol=0, atol=1.01 / (255 * stroke._SEEN))


def test_edges_of_print_lie_where_numpy_has_them(library, band, monkeypatch):
    rng = np.random.default_rng(1)
    n = len(band.first)
    path = band.first + rng.uniform(2, 12, n)
    top, bottom = path - rng.uniform(1, 5, n), path + rng.uniform(1, 5, n)
    columns = stroke._Columns(path, path, rng.uniform(0, 3, n), top, bottom, np.zeros(n, int))
    wanted = stroke._edges(band, columns, depth := rng.uniform(20, 60, n), 2.0)
    monkeypatch.setattr(stroke, "COMPILED", library)
    assert np.isfinite(wanted).any(1).all()
    np.testing.assert_allclose(stroke._edges(band, columns, depth, 2.0), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("cols", "rows"), [(12, 9), (40, 31), (5, 3)])
def test_a_surface_is_laid_as_scipy_does(library, cols, rows):
    rng = np.random.default_rng(0)
    n = 2 * cols * rows
    i, j = rng.integers(0, cols - 1, n), rng.integers(0, rows - 1, n)
    shares, weight, value = rng.random((4, n)), rng.uniform(10, 100, n), rng.normal(size=n)
    stiff = [rng.uniform(1, 70, (cols - down, rows - across)) for down, across in ((0, 2), (2, 0), (1, 1))]
    known = [(cols, rows), i * rows + j, shares, weight, value, stiff]
    found, wanted = library.laid(*known), surface._laid(*known)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    for laid in (library.laid, surface._laid):
        with pytest.raises(np.linalg.LinAlgError):
            laid(*known[:3], -weight, *known[4:])


@pytest.mark.parametrize("harmonic", [5, 1])
def test_a_grid_is_followed_from_tile_to_tile_as_numpy_does(library, harmonic):
    y, x = np.mgrid[0:700, 0:900]
    bent = 0.99 * x + 0.12 * y + 9 * np.sin(y / 160), y - 0.12 * x + 6 * np.sin(x / 190)
    lines = sum(np.cos(2 * np.pi * at / period) ** 9 for at in bent for period in (6.0, 30.0))
    noise = np.random.default_rng(0).normal(size=lines.shape)
    noise[300:450, 300:500] *= 30  # some tiles show nothing
    tiles = grid._tiles(grid._cut((lines + noise).astype(np.float32), 32), 32, 1.0)
    members, fine = grid._seed(tiles, (20.0, 40.0, 60))
    seen = tiles.spectra, tiles.whitened, tiles.at, tiles.shape, members
    how = [f * harmonic / 5 for f in fine], 5 / harmonic, 0.1, 2.0
    (found, mm), (wanted, wanted_mm) = library.follow(*seen, *how), grid._follow(*seen, *how)
    assert len(tiles.at) / 2 < len(wanted) < len(tiles.at)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(mm, wanted_mm, rtol=0, atol=1e-9)


def test_between_nodes_lies_what_numpy_finds(library):
    rng = np.random.default_rng(0)
    nodes, at = rng.normal(size=(5, 7, 2)), rng.uniform(-1, 8, (30, 9, 2))
    np.testing.assert_allclose(library.between(nodes, at), surface._between(nodes, at), rtol=0, atol=1e-12)


def test_a_library_of_another_source_is_not_loaded(built, tmp_path, monkeypatch):
    source = tmp_path / "compiled.c"
    source.write_bytes(SOURCE.read_bytes())
    monkeypatch.setattr(compiled, "_SOURCE", source)
    shutil.copy(built, library_of(source))
    assert compiled._loaded() is not None
    source.write_bytes(source.read_bytes() + b"\n")
    assert compiled._loaded() is None


def test_without_a_library_nothing_is_compiled(tmp_path):
    with pytest.raises(OSError, match="none"):
        Compiled(tmp_path / "none.so")
