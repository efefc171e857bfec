"""Pages that are rarely printed and hard to read, for training and for judging what reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ecgvlm.errors import UsageError
from ecgvlm.paper.degrade import PAGE_KINDS, degrade, fax
from ecgvlm.paper.layouts import FURTHER
from ecgvlm.paper.render import render
from ecgvlm.paper.style import PageStyle, random_style
from ecgvlm.paper.text import system_fonts
from ecgvlm.paper.truth import Rendering
from ecgvlm.record import Record


def rare_page(
    record: Record, rng: np.random.Generator | int, look: str | None = None, kind: str | None = None
) -> Rendering:
    """The record as one of `RARE` looks, worn in one of `PAGE_KINDS` (a fax as faxes are), drawn where None.

    Raises UsageError for another look or kind.
    """
    rng = np.random.default_rng(rng)
    look = look or str(rng.choice(list(RARE), p=np.array(_ODDS) / sum(_ODDS)))
    kind = kind or str(rng.choice(PAGE_KINDS))
    if look not in RARE:
        raise UsageError(f"look {look!r} is unknown; choose from {', '.join(RARE)}")
    page = render(record, RARE[look](rng), rng)
    return fax(page, rng) if look == "fax" else degrade(page, kind, rng)


def _fax(rng: np.random.Generator) -> PageStyle:
    """A grid as dark as the trace, or nearly so."""
    style = random_style(rng, family=str(rng.choice(["classic", "ge", "philips", "schiller", "mono", "kit"])))
    minor = int(rng.uniform(90, 215))
    major = int(rng.uniform(30, minor))
    bare = rng.random() < 0.25  # lines every 5 mm only
    return replace(
        style, paper=(255, 255, 255), grid=str(rng.choice(["line", "line", "line", "dot"])),
        minor=(255, 255, 255) if bare else (minor,) * 3, major=(major,) * 3, trace=(15, 15, 15),
        trace_mm=float(rng.uniform(0.25, 0.55)), px_per_mm=float(rng.uniform(4.0, 8.0)),
    )  # fmt: skip


def _dense(rng: np.random.Generator) -> PageStyle:
    """Rows through which their neighbours' QRS complexes run."""
    layout = str(rng.choice(["12x1", "12x1", "12x1", "6x2", "6x2+1R"]))
    style = random_style(rng, layout)
    low, high = (8, 16) if layout == "12x1" else (10, 18)
    header, footer = float(rng.uniform(4, 24)), float(rng.uniform(4, 12))
    height = header + footer + style.layout_.rows * float(rng.uniform(low, high))
    return replace(style, mm_per_mv=10.0, header=header, footer=footer, height=height, grid_box=None)


def _of_scale(speeds: tuple[float, ...], gains: tuple[float, ...]) -> Callable[..., PageStyle]:
    def style(rng: np.random.Generator) -> PageStyle:
        speed, gain = float(rng.choice(speeds)), float(rng.choice(gains))
        layouts = {"3x4", "3x4+1R", "6x2", "6x2+1R", "12x1"}
        if not 10 <= speed <= 50:  # short rows, of few seconds or of few mm
            layouts = {"6x2", "12x1"}
        elif gain > 10:  # tall waves
            layouts = {"3x4", "3x4+1R", "6x2"}
        style = random_style(rng, str(rng.choice(sorted(layouts))))
        template = style.template if style.template != "none" else "scale"
        return replace(style, mm_per_s=speed, mm_per_mv=gain, template=template)

    return style


def _narrow(rng: np.random.Generator) -> PageStyle:
    """Columns of 12 to 32 mm on slow paper, half of it with lines every 5 mm only."""
    style = random_style(rng, str(rng.choice(["3x4", "3x4+1R", "3x4+3R", "6x2"])))
    slow = (5.0, 10.0, 12.5) if style.layout != "6x2" else (5.0,)
    speed, gap = float(rng.choice(slow)), float(rng.choice([0.0, 0.0, rng.uniform(1, 9)]))
    gaps = gap * (style.layout_.columns - 1)
    right = max(style.right, style.width - style.left - gaps - speed * 10)
    spare = max(0.0, right - 12.0) * float(rng.uniform(0, 1))  # paper that is no wider than it must be
    return replace(
        style, mm_per_s=speed, gap=gap, right=right - spare, width=max(120.0, style.width - spare),
        minor=style.paper if rng.random() < 0.5 else style.minor, name_size=float(rng.uniform(2.4, 4.4)),
        pulses="left" if style.pulses == "right" else style.pulses,
        template=str(rng.choice(["none", "scale"])),
    )  # fmt: skip


def _blank(rng: np.random.Generator) -> PageStyle:
    """50 mm/s on paper without a grid."""
    return replace(random_style(rng), grid="none", mm_per_s=50.0)


def _coarse(rng: np.random.Generator) -> PageStyle:
    """Slow paper with lines every 5 mm only."""
    style = random_style(rng)
    return replace(
        style, grid="line", minor=style.paper, mm_per_s=float(rng.choice([12.5, 12.5, 10.0, 25.0]))
    )


def _spelled(rng: np.random.Generator) -> PageStyle:
    """Names that are spelled otherwise, half of them in typewriters' letters."""
    style = random_style(rng)
    mono = [name for name in system_fonts() if "Mono" in name]
    font = str(rng.choice(mono)) if mono and rng.random() < 0.5 else style.font
    spelling = str(rng.choice(["spaced", "spaced", "colon", "capitals", "lead"]))
    return replace(style, spelling=spelling, font=font)


def _ended(rng: np.random.Generator) -> PageStyle:
    """Names at the ends of their strips, on the trace or after it."""
    spelled = random_style(rng)
    if rng.random() < 0.4:
        spelled = replace(spelled, spelling=str(rng.choice(["spaced", "colon", "capitals"])))
    x = float(rng.uniform(-6, -0.5)) if rng.random() < 0.5 else float(rng.uniform(0.5, 2))
    gap = max(spelled.gap, 12.0 if x > 0 else 0.0) if spelled.layout_.columns > 1 else 0.0
    room = gap * (spelled.layout_.columns - 1) - spelled.gap * (spelled.layout_.columns - 1)
    right = max(spelled.right, 14.0)
    return replace(
        spelled, names_after=True, name_at=(x, float(rng.uniform(-2, 8))), gap=gap, right=right,
        width=spelled.width + room + right - spelled.right,
        pulses="left" if spelled.pulses == "right" else spelled.pulses,
    )  # fmt: skip


def _further(rng: np.random.Generator) -> PageStyle:
    """Leads on the right of the chest or on the back, in the place of others or as rhythm strips."""
    if rng.random() < 0.5:
        style, order = random_style(rng), str(rng.choice(["right", "back"]))
        return replace(style, order=order, spelling=str(rng.choice(["plain", "plain", "spaced"])))
    style = random_style(rng, str(rng.choice(["3x4+1R", "3x4+3R", "6x2+1R"])))
    return replace(style, rhythm=tuple(str(lead) for lead in rng.choice(list(FURTHER), 3, replace=False)))


RARE: dict[str, Callable[[np.random.Generator], PageStyle]] = {
    "fax": _fax,
    "dense": _dense,
    "speed": _of_scale((5.0, 10.0, 12.5, 100.0), (10.0,)),
    "gain": _of_scale((25.0, 50.0), (2.5, 20.0, 40.0)),
    "blank": _blank,
    "coarse": _coarse,
    "spelled": _spelled,
    "ended": _ended,
    "further": _further,
    "narrow": _narrow,
}
_ODDS = (3, 3, 1, 1, 1, 1, 1, 1, 1, 1)  # of each look: hardest to read are faxes and dense rows
