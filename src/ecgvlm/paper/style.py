"""How a page looks: paper, grid, ink, fonts, places in millimetres; presets by device, random variety."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecgvlm.errors import UsageError
from ecgvlm.paper.layouts import LAYOUTS, RHYTHM_LEADS, Layout, layout
from ecgvlm.paper.text import BUILTIN, HERSHEY, available, system_fonts

Colour = tuple[int, int, int]
NAME_ROOM = 9.0  # mm that lead names need left of a row


@dataclass(frozen=True)
class Plate:
    """What a lead's name stands on, as labels of web pages do: a box with rounded corners.

    fill, edge: colours of its area and of its outline, None where it has none. ink: of the name. round:
    radius of its corners as a part of half its height (1: a pill). pad: mm around the name.
    """

    fill: Colour | None
    edge: Colour | None
    ink: Colour
    round: float = 1.0
    pad: float = 1.0


@dataclass(frozen=True)
class PageStyle:
    """One page's look. Lengths in mm from the top left corner of the paper, colours RGB 0..255.

    layout, order, rhythm: see `layouts`. start: where the printed window begins, as a fraction of the time by
    which the record is longer than the page. left, right: from the paper's edges to the ends of the rows;
    header, footer: the same above and below them. gap: blank mm between columns (their times stay
    consecutive). offset: row zero lines, mm below the row's middle. grid: "line", "dot" (a dot each mm, each
    half mm along the thick lines) or "none"; grid_at: the page point of one crossing of thick lines;
    grid_box: left, top, right, bottom of the gridded area, None the whole paper; snap: grid lines on whole
    pixels, as plotting software draws them. frame: width of a line around grid_box, 0 none. separators:
    "line" (over the height of the leads), "tick" (short, at each strip's start), "bar" (thick, 7 mm high, as
    ecg-image-kit prints them there) or "none". pulses: "left", "right" or "none"; pulse_mm: width of the
    calibration pulse's top at 25 mm/s. name_at: lower left corner of a lead name relative to its strip's
    start on the zero line (x right, y up), or to its end where names_after; names wider than -x when x
    is negative shift left, so that they end before the trace. spelling: of the names, see `text.SPELLINGS`.
    named: whether names are printed at all; plate: what they stand on, None the paper. name_size, text_scale:
    em in mm, and a factor on header texts.
    """

    layout: str = "3x4+1R"
    order: str = "standard"
    rhythm: tuple[str, ...] = RHYTHM_LEADS
    mm_per_s: float = 25.0
    mm_per_mv: float = 10.0
    start: float = 0.0
    px_per_mm: float = 1600 / 297
    width: float = 297.0
    height: float = 210.0
    left: float = 26.0
    right: float = 12.0
    header: float = 28.0
    footer: float = 12.0
    gap: float = 0.0
    offset: float = 0.0
    paper: Colour = (255, 255, 255)
    grid: str = "line"
    grid_at: tuple[float, float] = (1.0, 0.0)
    grid_box: tuple[float, float, float, float] | None = None
    snap: bool = False
    minor: Colour = (250, 218, 220)
    major: Colour = (240, 160, 165)
    minor_mm: float = 0.12
    major_mm: float = 0.22
    frame: float = 0.0
    frame_colour: Colour = (240, 165, 170)
    trace: Colour = (15, 15, 15)
    trace_mm: float = 0.36
    separators: str = "none"
    pulses: str = "left"
    pulse_mm: float = 5.0
    ink: Colour = (20, 20, 20)
    font: str = BUILTIN
    name_at: tuple[float, float] = (0.5, 7.0)
    names_after: bool = False
    spelling: str = "plain"
    named: bool = True
    plate: Plate | None = None
    name_size: float = 4.2
    template: str = "scale"
    text_scale: float = 1.0

    @property
    def seconds(self) -> float:
        """Longest time a row can print: whole seconds that fit the paper, at most ten."""
        room = self.width - self.left - self.right - self.gap * (self.layout_.columns - 1)
        return float(min(10, int(room / self.mm_per_s + 1e-6)))

    @property
    def layout_(self) -> Layout:
        return layout(self.layout)

    @property
    def row_mm(self) -> float:
        """Distance between rows."""
        return (self.height - self.header - self.footer) / self.layout_.rows

    @property
    def dark(self) -> bool:
        """Whether the page is a dark screen's."""
        return sum(self.paper) < 200


def page_style(name: str = "classic", **changes) -> PageStyle:
    """The preset called `name` with some fields changed. Raises UsageError where there is no such preset."""
    if name not in STYLES:
        known = ", ".join(STYLES)
        raise UsageError(f"page style {name!r} is unknown; choose from {known}")
    return replace(STYLES[name], **changes)


_TIMES = ("LiberationSerif-Regular", "FreeSerif", "DejaVuSerif", "hershey-complex")
_SANS = ("LiberationSans-Regular", "FreeSans", "DejaVuSans", BUILTIN)
_NARROW = ("LiberationSansNarrow-Regular", "DejaVuSansCondensed", BUILTIN)
_BOLD = ("LiberationSans-Bold", "FreeSansBold", "DejaVuSans-Bold", "hershey-duplex")

STYLES: dict[str, PageStyle] = {
    # Pink 5-mm grid on white, 25 mm/s and 10 mm/mV, nothing but the ECG: what `ecgvlm render` draws.
    "classic": PageStyle(),
    # EDAN SE-3 as printed to a file: measured on the pages of Khan & Hussain (doi 10.17632/gwbz3fsgp8).
    "edan": PageStyle(
        px_per_mm=5.7, width=280.7, height=199.5, left=19.4, right=11.0, header=39.8, footer=7.2,
        grid="dot", grid_at=(3.6, 0.9), grid_box=(8.8, 36.2, 275.8, 192.2), minor=(206, 206, 206),
        major=(186, 182, 182), minor_mm=0.2, major_mm=0.2, frame=0.35, trace_mm=0.4,
        separators="line", pulse_mm=2.2, font=available(*_TIMES), name_at=(0.0, 1.2), name_size=4.3,
        template="edan",
    ),
    "ge": PageStyle(
        width=279.4, height=215.9, left=16.0, right=12.0, header=40.0, footer=10.0, grid_box=(0.0,
        38.0, 279.4, 210.0), paper=(255, 252, 250), minor=(248, 210, 205), major=(232, 140, 135),
        separators="tick", pulses="right", font=available(*_SANS), name_at=(1.0, 6.5),
        name_size=3.8, template="ge", trace_mm=0.28,
    ),
    "philips": PageStyle(
        width=279.4, height=215.9, left=17.0, right=10.0, header=42.0, footer=12.0, paper=(255, 253,
        248), minor=(252, 222, 200), major=(240, 170, 130), separators="tick", pulses="right",
        font=available(*_BOLD), name_at=(1.5, 8.0), name_size=3.6, template="philips",
        trace_mm=0.25,
    ),
    "schiller": PageStyle(
        layout="6x2+1R", left=24.0, right=10.0, header=20.0, footer=10.0, minor=(255, 214, 214),
        major=(250, 150, 150), font=available(*_NARROW), name_at=(-2.0, 1.0), name_size=4.0,
        template="schiller", trace_mm=0.22, gap=8.0,
    ),
    "mortara": PageStyle(
        layout="3x4+3R", width=279.4, height=215.9, left=20.0, right=9.0, header=30.0, footer=12.0,
        rhythm=("V1", "II", "V5"), minor=(250, 205, 215), major=(236, 140, 160), separators="tick",
        font=available(*_SANS), name_at=(1.0, 5.0), name_size=4.0, template="mortara", trace_mm=0.3,
    ),
    # ecg-image-kit, which made ECGBench's synthetic pages: letter paper at 200 dpi, grid over all of it, lead
    # names 7 mm below the zero line, rows set from the bottom in sixths of the page.
    "kit": PageStyle(
        px_per_mm=2200 / 279.4, width=279.4, height=215.9, left=18.0, right=11.0, header=72.0,
        footer=0.0, grid_at=(0.0, 0.9), minor=(254, 237, 248), major=(255, 203, 221), minor_mm=0.18,
        major_mm=0.18, snap=True, font=available("DejaVuSans", *_SANS), name_at=(0.0, -7.0),
        name_size=3.9, template="none", trace_mm=0.27,
    ),
    # The PyPI package ecg-plot: two columns, blue trace, red grid.
    "plot": PageStyle(
        layout="6x2", left=6.0, right=6.0, width=270.0, header=14.0, footer=4.0, gap=8.0,
        height=200.0, grid_at=(1.0, 3.0), minor=(255, 205, 205), major=(255, 120, 120),
        minor_mm=0.17, major_mm=0.17, snap=True, trace=(0, 0, 178), trace_mm=0.2, pulses="none",
        font=available("DejaVuSans", *_SANS), name_at=(1.0, 6.0), name_size=3.6, template="none",
    ),
    "mono": PageStyle(
        paper=(252, 252, 250), minor=(222, 222, 222), major=(178, 178, 178), font="hershey-simplex",
        name_at=(1.0, 5.0), separators="tick", template="title",
    ),
    "plain": PageStyle(grid="none", template="report", font=available(*_SANS), name_at=(-2.0, 2.0)),
    "dark": PageStyle(
        paper=(12, 16, 20), minor=(28, 36, 42), major=(46, 58, 66), trace=(120, 240, 130), ink=(215,
        220, 225), snap=True, pulses="none", template="scale", font=available("DejaVuSans", *_SANS),
        name_at=(1.0, 6.0),
    ),
}  # fmt: skip

# Minor and major grid colours of papers and prints, RGB.
_GRIDS: tuple[tuple[Colour, Colour], ...] = (
    ((250, 215, 218), (240, 155, 160)),  # pink
    ((252, 220, 200), (243, 170, 130)),  # orange
    ((255, 205, 205), (255, 120, 120)),  # red
    ((235, 225, 205), (205, 180, 140)),  # brown
    ((214, 232, 214), (140, 195, 150)),  # green
    ((214, 226, 244), (140, 172, 220)),  # blue
    ((226, 226, 226), (180, 180, 180)),  # grey
    ((205, 205, 205), (120, 120, 120)),  # dark grey
    ((240, 214, 232), (214, 150, 196)),  # magenta
    ((150, 107, 101), (109, 50, 47)),  # ecg-image-kit's brown
    ((254, 223, 219), (255, 0, 0)),  # and red
)
_RHYTHMS = (("V1", "II", "V5"), ("III", "II", "V1"), ("V1", "II", "V6"), ("V5", "II", "V1"))
_TEMPLATES = ("ge", "report", "scale", "title", "none")
_FAMILY_WEIGHTS = {
    "classic": 2, "edan": 3, "ge": 3, "philips": 2, "schiller": 1.5, "mortara": 1.5, "kit": 3, "plot": 1,
    "mono": 1, "plain": 1, "dark": 0.5,
}  # fmt: skip
# Of 10, 5 and 20 mm/mV, by the height of the rows: tall waves on low rows would cover their neighbours.
_GAIN_ODDS = {"low": (0.5, 0.5, 0.0), "mid": (0.85, 0.15, 0.0), "high": (0.84, 0.06, 0.1)}
_LAYOUT_WEIGHTS = {"3x4": 2.0, "3x4+1R": 5.0, "3x4+3R": 1.5, "6x2": 1.5, "6x2+1R": 1.5, "12x1": 1.5}


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    p = np.array(list(weights.values()), float)
    return str(rng.choice(list(weights), p=p / p.sum()))


def _tint(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    shift = rng.normal(0, spread) + rng.normal(0, spread / 3, 3)
    r, g, b = np.clip(np.array(colour) + shift, 0, 255).astype(int)
    return int(r), int(g), int(b)


def random_style(
    rng: np.random.Generator,
    layout: str | None = None,
    width_px: int | None = None,
    family: str | None = None,
) -> PageStyle:
    """A page as some device might print it: a preset's look with its sizes, colours, fonts and places varied.

    layout, family: fixed instead of drawn. width_px: the picture's width, drawn from 1100 to 2300 px where
    None.
    """
    base = STYLES[family or _pick(rng, _FAMILY_WEIGHTS)]
    name = layout or (base.layout if rng.random() < 0.3 else _pick(rng, _LAYOUT_WEIGHTS))
    placed = _placed(base, name, rng)
    return _varied(_equipped(placed, rng), width_px, rng)


def _placed(base: PageStyle, name: str, rng: np.random.Generator) -> PageStyle:
    """Sizes and places: paper, margins, names, pulses and the gap between a layout's columns."""
    u = rng.uniform
    rows, columns = LAYOUTS[name].rows, LAYOUTS[name].columns
    # A third of the pages keep the device's own geometry but for jitter, the others are laid out freely.
    width, height = base.width, base.height
    if rng.random() < 0.5:
        width = u(264, 305)
        height = width * u(0.58, 0.80)
    elif rng.random() < 0.15:
        height *= u(0.8, 1.0)
    speed = 50.0 if rng.random() < 0.12 else 25.0
    pulses = base.pulses
    if rng.random() < 0.5:
        pulses = str(rng.choice(["left", "none", "right"], p=[0.6, 0.25, 0.15]))
    name_at = _name_place(base, rng)
    gap = float(rng.choice([0.0, 0.0, 0.0, u(1, 9)])) if columns > 1 else 0.0
    need = 10 * 25.0 + gap * (columns - 1)
    before = (10.0 if pulses == "left" else 1.0) + (NAME_ROOM if name_at[0] < 0 else 0.0)
    after = 9.0 if pulses == "right" else 1.0
    width = max(width, need + before + after)
    spare = width - need - before - after
    share = u(0.2, 0.7)
    header = base.header * u(0.8, 1.15)
    footer = base.footer * u(0.8, 1.3)
    if name != base.layout:
        # A device's header that suits its own few rows is too tall for many: each row keeps at least 12 mm.
        header = min(header, 0.3 * height, max(4.0, height - footer - rows * 12.0))
        footer = max(footer, 6.0)
    return replace(
        base, layout=name, mm_per_s=speed, width=width, height=height, left=before + spare * share,
        right=after + spare * (1 - share), header=header, footer=footer, gap=gap, pulses=pulses,
        name_at=name_at,
    )  # fmt: skip


def _name_place(base: PageStyle, rng: np.random.Generator) -> tuple[float, float]:
    """Where lead names stand: as the device has them, above or below the strip, on the trace or before it."""
    u = rng.uniform
    place = rng.random()
    if place < 0.35:
        return base.name_at
    if place < 0.64:
        return float(u(0, 3)), float(u(3, 9))
    if place < 0.72:
        return float(u(0, 3)), float(u(-9, -5))
    if place < 0.88:
        return float(u(0, 2)), float(u(0.4, 2.5))
    return float(u(-3, -1)), float(u(-1.5, 3))


def _equipped(style: PageStyle, rng: np.random.Generator) -> PageStyle:
    """Gain, kind and colours of the grid, the trace's colour, fonts and texts of a page with its places."""
    u = rng.uniform
    odds = _GAIN_ODDS["low" if style.row_mm < 18 else "high" if style.row_mm > 30 else "mid"]
    gain = float(rng.choice([10.0, 5.0, 20.0], p=odds))
    grids = (style.minor, style.major)
    minor, major = grids if rng.random() < 0.5 else _GRIDS[rng.integers(len(_GRIDS))]
    if style.dark:
        minor, major = grids
    fonts = [*system_fonts(), *(name for name in HERSHEY if name != "hershey-script"), BUILTIN]
    font = style.font if rng.random() < 0.4 else str(rng.choice(fonts))
    grid = style.grid if rng.random() < 0.6 else str(rng.choice(["line", "dot", "none"], p=[0.72, 0.18, 0.1]))
    if style.dark:
        trace = _tint(rng, style.trace, 40)
    elif rng.random() < 0.12:
        trace = ((0, 0, 178), (30, 60, 140), (90, 20, 30), (70, 70, 80))[rng.integers(4)]
    else:
        trace = _tint(rng, (25, 25, 28), 14)
    box = style.grid_box
    if box is not None or rng.random() < 0.25:
        inset = u(0, 9)
        top, right = style.header - u(0, 4), style.width - inset * u(0.5, 1)
        box = (inset, top, right, style.height - style.footer + u(0, 3))
    template = style.template if rng.random() < 0.6 else str(rng.choice(_TEMPLATES))
    if style.header < 22 and template in ("edan", "ge", "philips"):
        template = "report"
    rhythm = RHYTHM_LEADS
    if rng.random() < 0.35:
        rhythm = _RHYTHMS[rng.integers(len(_RHYTHMS))]
    return replace(
        style, mm_per_mv=gain, minor=minor, major=major, font=font, grid=grid, trace=trace, grid_box=box,
        template=template, rhythm=rhythm,
    )  # fmt: skip


def _varied(style: PageStyle, width_px: int | None, rng: np.random.Generator) -> PageStyle:
    """Widths of lines, tints, resolution and whatever else differs from one print of a device to the next."""
    u = rng.uniform
    return replace(
        style,
        order="cabrera" if rng.random() < 0.08 else "standard",
        start=float(u(0, 1)),
        px_per_mm=(width_px or float(np.exp(u(np.log(1100), np.log(2300))))) / style.width,
        offset=float(u(-0.1, 0.15)) * style.row_mm,
        paper=style.paper if style.dark else _tint(rng, style.paper, 2.5),
        grid_at=(float(u(0, 5)), float(u(0, 5))),
        snap=style.snap and rng.random() < 0.7,
        minor=_tint(rng, style.minor, 6),
        major=_tint(rng, style.major, 9),
        minor_mm=float(u(0.08, 0.22)),
        major_mm=float(u(0.14, 0.36)),
        frame=float(u(0.2, 0.6)) if rng.random() < (0.7 if style.frame else 0.1) else 0.0,
        trace_mm=float(np.exp(u(np.log(0.2), np.log(0.55)))),
        separators=style.separators if rng.random() < 0.5 else str(rng.choice(["line", "tick", "none"])),
        pulse_mm=float(rng.choice([5.0, 5.0, 2.5, style.pulse_mm])),
        ink=style.ink if style.dark else _tint(rng, (25, 25, 28), 12),
        name_size=float(u(2.8, 5.2)),
        text_scale=float(u(0.85, 1.1)),
    )
