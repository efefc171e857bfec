"""`Digitizer`: picture in, `Page` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np

from ecgvlm.digitize.grid import GridFinder, PaperMap
from ecgvlm.digitize.layout import FEWEST, Found, Placed, find_layout
from ecgvlm.digitize.pagenet import NOTES, PULSE, PX_PER_MM, Mark, PageNet, Seen
from ecgvlm.digitize.timing import delays
from ecgvlm.digitize.trace import follow
from ecgvlm.errors import EcgError
from ecgvlm.measure import Measurements, measure
from ecgvlm.record import LEADS

FS = 500.0  # Hz, of the digitised leads that are measured
_MARGIN = 32.0  # mm around the seen grid that the rectified page shows
_LONGEST = 660.0  # mm of a page's side
_SPANS = (285.0, 245.0, 340.0)  # mm that a picture without grid may show along its longer side
_USUAL_GAIN = 0.3  # what speaks for 10 mm/mV before anything is read
_RUNS_ON = 0.3  # what ink below a calibration pulse's sides weighs, beside that of its outline
_PLAIN = 0.6  # probability from which on a printed gain is plain
_NOT_SO_HIGH = 0.8  # of the clearest height's clearness: pulses are plainly not of that height
_PULSE_SAYS = 8  # how sharply the clearest height of the calibration pulses counts before the others
_SAME_LEAD = 0.9  # likeness from which on a rhythm strip is taken for a lead
_PLAINLY = 0.2  # by which the likeness must exceed that with the lead whose name was read
_ROW_MM = 250.0  # 10 s at 25 mm/s
_STROKE = 0.35  # mm by which ink is longer than the trace
_ROW_OFF = 0.04  # part by which rows may be longer or shorter before their grid is doubted
# Mean probability of ink along a strip below which nothing is printed there, its name seen or not.
_NO_TRACE, _NO_TRACE_NO_NAME = 0.2, 0.6
_NO_INK = 3e-4  # share of a picture's px below which it is no ECG whichever way it is turned
_BEATS_SAY = 5.0  # log-odds from which on the beats contradict the calibration pulses
# Quarter turns clockwise, and whether to mirror first, that set a picture upright which is not.
_WAYS_UP = ((1, False), (3, False), (2, False), (0, True))


@dataclass(frozen=True)
class Strip:
    """One lead as printed: from x0 to x1 mm of the rectified page, zero at y mm, from t0 s on.

    curve: [n, 2] mm, the trace on the rectified page (NaN in gaps). mv: [n] at the curve's points. sure: mean
    probability of ink along it. t: [n] s of the curve's points, on the page's time axis.
    """

    lead: str
    rhythm: bool
    x0: float
    x1: float
    y: float
    t0: float
    t1: float
    t: np.ndarray
    curve: np.ndarray
    mv: np.ndarray
    sure: float


@dataclass(frozen=True)
class Page:
    """A page that has been digitised.

    image: [H, W, 3] uint8 RGB, rectified, `PX_PER_MM` px per mm. px_per_mm: of the picture it came from.
    quality: 0..1. measurements: on the leads at `FS` Hz. picture: height and width in px of what it came
    from. mirrored, turns: what set that upright: left and right exchanged, then so many quarter turns
    clockwise. scale_doubtful: whether the calibration pulses contradict the printed gain, or the beats the
    speed that the pulses tell.
    """

    image: np.ndarray
    layout: str
    order: str
    mm_per_s: float
    mm_per_mv: float
    scale_doubtful: bool
    px_per_mm: float
    quality: float
    strips: tuple[Strip, ...]
    measurements: Measurements
    turns: int
    mirrored: bool
    origin: tuple[float, float]
    paper: PaperMap
    picture: tuple[int, int]

    @property
    def seconds(self) -> float:
        return max(strip.t1 for strip in self.strips)

    def leads(self, fs: float) -> np.ndarray:
        """[12, n] float32 mV on one time axis from the row's beginning; NaN where a lead is not printed."""
        return _leads(self.strips, fs)

    def to_source(self, mm: np.ndarray) -> np.ndarray:
        """[..., 2] mm of the rectified page -> px of the picture as it was given."""
        px = self.paper.to_px(np.asarray(mm, float) + self.origin)
        for turn in reversed(range(self.turns)):
            # This turn took (x, y) to (height - 1 - y, x), with the height before it; go back.
            px = np.stack([px[..., 1], self.picture[turn % 2] - 1 - px[..., 0]], -1)
        return np.stack([self.picture[1] - 1 - px[..., 0], px[..., 1]], -1) if self.mirrored else px


@dataclass(frozen=True)
class _View:
    """A rectified page with what the net and the layout search saw on it."""

    image: np.ndarray
    origin: tuple[float, float]
    paper: PaperMap
    seen: Seen
    found: Found | None


class Digitizer:
    """Digitises pages; holds the page net. threads: of ONNX Runtime."""

    def __init__(self, threads: int = 2):
        self.threads = threads

    @cached_property
    def net(self) -> PageNet:
        return PageNet(self.threads)

    def __call__(self, image: np.ndarray) -> Page:
        """image: [H, W, 3] uint8 RGB, upright, turned or mirrored.

        Raises EcgError not_an_ecg where no page is found that shows at least six named leads.
        """
        view = self._look(image)
        if view is not None and view.found is not None:
            return _page(view, image)
        if view is not None and (view.seen.trace > 0.5).mean() >= _NO_INK:
            for turns, mirrored in _WAYS_UP:
                # The rectified page tells which way is up; then the picture itself is turned.
                if find_layout(self.net(_turned(view.image, turns, mirrored))) is not None:
                    upright = _turned(image, turns, mirrored)
                    again = self._look(upright)
                    if again is not None and again.found is not None:
                        return _page(again, upright, turns, mirrored)
        raise _not_an_ecg()

    def _look(self, image: np.ndarray) -> _View | None:
        grid = GridFinder(image)
        paper = grid.find()
        view = None if paper is None else self._view(image, paper)
        if view is None or view.found is None:
            return self._without_grid(image) or view
        zoom = _row_mm(view.found) / _ROW_MM
        if abs(zoom - 1) > _ROW_OFF:
            # Lines may be taken for finer or coarser ones than they are: is there a grid of rows of 10 s?
            other = grid.find_about(view.paper.scale() * zoom)
            again = None if other is None else self._view(image, other)
            if again and again.found and again.found.score > 0.8 * view.found.score:
                return again
        return view

    def _view(self, image: np.ndarray, paper: PaperMap, to_scale: bool = True) -> _View | None:
        try:
            rectified, origin = rectify(image, paper)
        except ValueError:
            return None
        seen = self.net(rectified)
        return _View(rectified, origin, paper, seen, find_layout(seen, to_scale))

    def _without_grid(self, image: np.ndarray) -> _View | None:
        """Paper without a grid: the skew from the lines of print, the scale from rows of 10 s at 25 mm/s."""
        angle = _skew(image)
        scales = [max(image.shape[:2]) / span for span in _SPANS]
        views = [self._view(image, _flat(image, scale, angle), False) for scale in scales]
        seen = [view for view in views if view is not None]
        best = max(seen, key=lambda view: view.found.score if view.found else 0.0, default=None)
        if best is None or best.found is None:
            return best
        zoom = _row_mm(best.found) / _ROW_MM
        if not 0.7 < zoom < 1.4:
            return best
        again = self._view(image, _flat(image, best.paper.scale() * zoom, angle))
        return again if again and again.found and again.found.score > 0.8 * best.found.score else best


def _row_mm(found: Found) -> float:
    """mm of printed time in a row. A rhythm strip runs through, whatever stands between the columns."""
    through = [s.x1 - s.x0 for s in found.strips if s.rhythm]
    if through:
        return float(np.median(through)) / PX_PER_MM - _STROKE
    columns = sorted({(s.x0, s.x1) for s in found.strips})
    apart = sum(after > before + 1 for (_, before), (after, _) in pairwise(columns))
    return sum(b - a for a, b in columns) / PX_PER_MM - _STROKE * (1 + apart)


def rectify(image: np.ndarray, paper: PaperMap) -> tuple[np.ndarray, tuple[float, float]]:
    """The paper at `PX_PER_MM`, sides multiples of 16 px, and the mm of the paper at its top left pixel.

    Raises ValueError where the map shows no part of the picture.
    """
    h, w = image.shape[:2]
    x0, y0, x1, y1 = paper.box
    cell = 5.0
    xs = np.arange(x0 - _MARGIN, x1 + _MARGIN + cell, cell)[: int(_LONGEST / cell)]
    ys = np.arange(y0 - _MARGIN, y1 + _MARGIN + cell, cell)[: int(_LONGEST / cell)]
    nodes = np.stack(np.meshgrid(xs, ys), -1)
    mesh = paper.to_px(nodes)
    inside = (mesh[..., 0] > -1) & (mesh[..., 0] < w) & (mesh[..., 1] > -1) & (mesh[..., 1] < h)
    inside = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # the picture's very edge too
    rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(rows) < 4 or len(cols) < 4:
        raise ValueError("the paper lies outside the picture")
    mesh = mesh[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    step = round(cell * PX_PER_MM)
    shrink = min(1.0, PX_PER_MM / paper.scale() * 1.25)
    if shrink < 0.8:  # finer pictures are averaged down first, against aliasing
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        mesh = (mesh + 0.5) * shrink - 0.5
    dense = cv2.resize(mesh.astype(np.float32), None, fx=step, fy=step, interpolation=cv2.INTER_LINEAR)
    half = step // 2  # where cv2.resize puts the first node
    height = (mesh.shape[0] - 1) * step // 16 * 16
    width = (mesh.shape[1] - 1) * step // 16 * 16
    dense = np.ascontiguousarray(dense[half : half + height, half : half + width])
    across, down = cv2.split(dense)
    page = cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return page, (float(xs[cols[0]]), float(ys[rows[0]]))


def _flat(image: np.ndarray, scale: float, angle: float) -> PaperMap:
    """A flat page that fills the picture: px per mm, and the angle of its rows in radians."""
    h, w = image.shape[:2]
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    centre = np.array([w, h]) / scale / 2
    homography = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    homography[:2, 2] = np.array([w / 2, h / 2]) - homography[:2, :2] @ centre
    box = (_MARGIN, _MARGIN, w / scale - _MARGIN, h / scale - _MARGIN)
    return PaperMap(homography, np.zeros((15, 2)), centre, float(max(centre)), box, 0.0)


def _skew(image: np.ndarray) -> float:
    """Angle in radians, within 6 degrees, at which lines of print make the sharpest horizontal profile."""
    small = cv2.resize(image, None, fx=(f := 700 / max(image.shape[:2])), fy=f, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    dark = np.maximum(cv2.blur(grey, (31, 31)) - grey - 8, 0)
    h, w = dark.shape
    best, found = -1.0, 0.0
    for degrees in np.arange(-6.0, 6.01, 0.25):
        turn = cv2.getRotationMatrix2D((w / 2, h / 2), float(degrees), 1.0)
        profile = cv2.warpAffine(dark, turn, (w, h)).sum(1)
        sharp = float((np.diff(profile) ** 2).sum())
        if sharp > best:
            best, found = sharp, float(np.deg2rad(degrees))
    return found


def _turned(image: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, -turns))


def _not_an_ecg() -> EcgError:
    return EcgError(
        "not_an_ecg", "no twelve named leads found; show the whole ECG page, flat and sharp, and nothing else"
    )


def _page(view: _View, picture: np.ndarray, turns: int = 0, mirrored: bool = False) -> Page:
    """picture: [h, w, 3] RGB, upright."""
    image, origin, paper, seen, found = view.image, view.origin, view.paper, view.seen, view.found
    assert found is not None
    height, width = picture.shape[:2]
    speed, scale = 25.0, _scale(image, seen)
    gain = scale.gain
    ys = sorted({placed.y for placed in found.strips})
    pitch = float(np.median(np.diff(ys))) if len(ys) > 1 else 20 * PX_PER_MM
    strips: list[Strip] = []
    kept: list[Placed] = []
    curves = follow(
        seen.trace, image, picture, lambda px: paper.to_px(px / PX_PER_MM + origin), found.strips, pitch
    )
    for placed, (curve, sure) in zip(found.strips, curves):
        x, y = curve.T / PX_PER_MM
        x0, x1 = placed.x0 / PX_PER_MM, placed.x1 / PX_PER_MM
        zero = float(np.nanmedian(y)) if np.isfinite(y).any() else placed.y / PX_PER_MM
        t0 = placed.since / PX_PER_MM / speed
        strip = Strip(
            lead=placed.lead,
            rhythm=placed.rhythm,
            x0=x0,
            x1=x1,
            y=zero,
            t0=t0,
            t1=t0 + (x1 - x0) / speed,
            t=t0 + (x - x0) / speed,
            curve=np.stack([x, y], 1),
            mv=(placed.sign * (zero - y) / gain).astype(np.float32),
            sure=sure,
        )
        if sure >= (_NO_TRACE if placed.named else _NO_TRACE_NO_NAME):
            strips.append(strip)
            kept.append(placed)
    if len({strip.lead for strip in strips}) < FEWEST:
        raise _not_an_ecg()
    late = delays(
        [(s.t, s.mv) for s in strips], [s.lead for s in strips],
        [None if p.rhythm else p.column for p in kept], [p.row for p in kept], paper.fit > 0,
    )  # fmt: skip
    strips = [replace(s, t=s.t - d, t0=s.t0 - d, t1=s.t1 - d) for s, d in zip(strips, late.tolist())]
    strips = [_named_by_shape(s, strips) if s.rhythm else s for s in strips]
    measurements = measure(_leads(strips, FS), FS)
    beats = _look_fast(measurements)
    if scale.fast + beats > 0:
        speed = 50.0
        strips = [replace(s, t=s.t / 2, t0=s.t0 / 2, t1=s.t1 / 2) for s in strips]
        measurements = measure(_leads(strips, FS), FS)
    quality = (
        float(np.mean([s.sure for s in strips]))
        * min(1.0, found.named / 10)
        * min(1.0, 0.5 + 0.5 * paper.fit)
    )
    return Page(
        image=image,
        layout=found.layout,
        order=found.order,
        mm_per_s=speed,
        mm_per_mv=gain,
        scale_doubtful=scale.doubtful(beats),
        px_per_mm=paper.scale(),
        quality=quality,
        strips=tuple(strips),
        measurements=measurements,
        turns=turns,
        mirrored=mirrored,
        origin=origin,
        paper=paper,
        picture=(height, width) if turns % 2 == 0 else (width, height),
    )


def _named_by_shape(rhythm: Strip, strips: list[Strip]) -> Strip:
    """A rhythm strip repeats one of the twelve leads: one that matches far better gives it its name."""
    matches: dict[str, float] = {}
    known = np.isfinite(rhythm.mv)
    if known.sum() < 2 or rhythm.lead not in {strip.lead for strip in strips if not strip.rhythm}:
        return rhythm  # a lead that is cut off elsewhere cannot be compared
    for strip in strips:
        own = np.isfinite(strip.mv)
        if strip.rhythm or own.sum() < 50:
            continue
        t = np.arange(strip.t0 + 0.05, strip.t1 - 0.05, 0.008)
        a = np.interp(t, strip.t[own], strip.mv[own])
        for shift in (-0.016, -0.008, 0.0, 0.008, 0.016):
            b = np.interp(t + shift, rhythm.t[known], rhythm.mv[known])
            size = np.sqrt(np.var(a) * np.var(b)) + 1e-9
            # Same shape at the same size: leads often look alike but for their size.
            match = float(np.mean((a - a.mean()) * (b - b.mean())) / max(size, np.var(a), np.var(b)))
            matches[strip.lead] = max(matches.get(strip.lead, -1.0), match)
    best = max(matches, key=lambda lead: matches[lead], default=rhythm.lead)
    plain = matches.get(best, 0.0) > max(_SAME_LEAD, matches.get(rhythm.lead, 0.0) + _PLAINLY)
    return replace(rhythm, lead=best) if plain else rhythm


def _leads(strips: Sequence[Strip], fs: float) -> np.ndarray:
    """Strips -> [12, n] mV, see `Page.leads`."""
    n = round(max(strip.t1 for strip in strips) * fs)
    time = (np.arange(n) + 0.5) / fs
    out = np.full((12, n), np.nan, np.float32)
    # Rhythm strips first: where a lead is printed twice, its own strip has the last word.
    for strip in sorted(strips, key=lambda s: not s.rhythm):
        known = np.isfinite(strip.mv)
        if known.sum() < 2:
            continue
        inside = (time >= strip.t0) & (time < strip.t1)
        values = np.interp(time[inside], strip.t[known], strip.mv[known])
        nearest = np.searchsorted(strip.t, time[inside]).clip(0, len(known) - 1)
        values[~known[nearest]] = np.nan
        row = out[LEADS.index(strip.lead)]
        if strip.rhythm or not np.isfinite(row).any():
            row[inside] = values
        else:
            # Rows differ in their zero: the strip joins the rhythm strip of the same lead at its level.
            shift = (
                np.nan_to_num(np.nanmedian(row[inside] - values))
                if np.isfinite(row[inside] - values).any()
                else 0.0
            )
            row[inside] = np.where(np.isfinite(values), values + shift, row[inside])
    return out


def _look_fast(m: Measurements) -> float:
    """Log-odds that what was measured at 25 mm/s was printed at 50: hearts would be slow, wide and long.

    Likelihoods of rate, QRS and Bazett's QTc with adults' means and spreads (Mason et al. 2007, widened).
    """
    odds = 0.0
    for value, scale, mean, spread in (
        (m.heart_rate_bpm, 2.0, 74.0, 22.0), (m.qrs_ms, 0.5, 96.0, 20.0), (m.qtc_ms, 0.5**0.5, 420.0, 40.0),
    ):  # fmt: skip
        if value is not None:
            part = ((value - mean) ** 2 - (value * scale - mean) ** 2) / (2 * spread**2)
            odds += float(np.clip(part, -2.5, 2.5))  # one odd measurement must not decide alone
    return odds


@dataclass(frozen=True)
class _Scale:
    """What a page says of its scale. fast: log-odds of 50 against 25 mm/s. gain: mm/mV that is believed.

    wide: whether calibration pulses are as wide as at 50 mm/s, None where there are none. disputed: whether
    the printed gain is not that of the pulses.
    """

    fast: float
    gain: float
    wide: bool | None
    disputed: bool

    def doubtful(self, beats: float) -> bool:
        """Whether print, pulses and beats contradict each other. beats: their log-odds of 50 mm/s."""
        if self.disputed:
            return True
        return (self.wide is False and beats > _BEATS_SAY) or (self.wide is True and beats < -_BEATS_SAY)


def _scale(image: np.ndarray, seen: Seen) -> _Scale:
    """The scale from what the page says and from its calibration pulses.

    One page in eight is at 50 mm/s. A pulse is 1 mV high, and 10 mm wide at 50 mm/s only. Without any sign
    the gain is taken for 10 mm/mV.
    """
    said = dict.fromkeys(NOTES, 0.0)
    for mark in seen.marks(0.12):
        if mark.kind > PULSE:
            note = NOTES[mark.kind - PULSE - 1]
            said[note] = max(said[note], mark.p)
    speeds = {25.0: said["25 mm/s"], 50.0: said["50 mm/s"]}
    gains = {5.0: said["5 mm/mV"], 10.0: said["10 mm/mV"], 20.0: said["20 mm/mV"]}
    fast = float(np.log(1 / 7) + 2 * np.log((speeds[50.0] + 0.1) / (speeds[25.0] + 0.1)))
    pulses = sorted((m for m in seen.marks(0.3) if m.kind == PULSE), key=lambda m: -m.p)[:4]
    wide, disputed = None, False
    if pulses:
        wide, clear = _pulse_scale(image, pulses)
        disputed = _disputed(gains, clear)
        sure, clearest = float(np.mean([m.p for m in pulses])), max(*clear.values(), 1e-6)
        gains = {gain: gains[gain] + sure * (clear[gain] / clearest) ** _PULSE_SAYS for gain in gains}
        fast += 4.0 if wide else 0.0
    gain = max(gains, key=lambda g: gains[g] + (_USUAL_GAIN if g == 10.0 else 0.0))
    return _Scale(fast, gain, wide, disputed)


def _disputed(printed: dict[float, float], clear: dict[float, float]) -> bool:
    """Whether the gain that is plainly printed is plainly not that of the pulses (mm/mV -> how clear)."""
    said, second = sorted(printed, key=lambda gain: -printed[gain])[:2]
    plain = printed[said] > _PLAIN and printed[said] > printed[second] + _PLAIN / 2
    return plain and clear[said] < _NOT_SO_HIGH * max(clear.values())


def _pulse_scale(image: np.ndarray, pulses: list[Mark]) -> tuple[bool, dict[float, float]]:
    """Whether the calibration pulses are 10 mm wide, and how clearly they are 5, 10 and 20 mm high."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    dark = np.minimum(cv2.absdiff(cv2.blur(grey, (61, 61)), grey), 60).astype(np.float32)
    votes: dict[tuple[float, float], float] = {}
    for pulse in pulses:
        for gain in (5.0, 10.0, 20.0):
            for width in (2.2, 2.5, 3.3, 5.0, 10.0):
                clear = _outline(dark, pulse.x, pulse.y, round(width * PX_PER_MM), round(gain * PX_PER_MM))
                votes[gain, width] = votes.get((gain, width), 0.0) + clear * pulse.p
    _, width = max(votes, key=lambda key: votes[key])
    heights = {
        gain: max(vote for (height, _), vote in votes.items() if height == gain) for gain in (5.0, 10.0, 20.0)
    }
    return width == 10.0, heights


def _outline(dark: np.ndarray, x: float, y: float, width: int, height: int) -> float:
    """How clearly the picture shows a pulse's top and sides there.

    Their ink less that inside and above, and less that of sides which run on below: those of a higher pulse.
    """
    edge, below = 3, 8
    template = np.zeros((height + edge + below, width + 1 + 2 * edge), np.float32)
    template[:edge] = -0.5
    template[2 * edge : height + edge, 2 * edge : -2 * edge] = -0.5
    outline = np.zeros_like(template)
    outline[edge, edge:-edge] = 1
    outline[edge : height + edge, edge] = outline[edge : height + edge, -edge - 1] = 1
    template = np.where(outline > 0, 0, template)
    template /= max(1e-6, -2 * template.sum())
    template += outline / outline.sum()
    template[height + edge + 3 :, [edge, -edge - 1]] = -_RUNS_ON / (2 * (below - 3))
    left, top = round(x - template.shape[1] / 2) - 5, round(y - height / 2) - edge - 7
    window = dark[max(0, top) : top + template.shape[0] + 14, max(0, left) : left + template.shape[1] + 10]
    if window.shape[0] < template.shape[0] or window.shape[1] < template.shape[1]:
        return 0.0
    return float(cv2.matchTemplate(window, template, cv2.TM_CCORR).max())
