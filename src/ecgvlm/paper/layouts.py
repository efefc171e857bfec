"""Which lead is printed where and when: layouts of 12-lead pages, without any millimetres."""

from __future__ import annotations

from dataclasses import dataclass

from ecgvlm.errors import UsageError
from ecgvlm.record import LEADS

# Cabrera's order turns the frontal plane anticlockwise from aVL to III; aVR is printed inverted, as -aVR.
CABRERA = ("aVL", "I", "aVR", "II", "aVF", "III", *LEADS[6:])
# Leads beyond the twelve, and of which leads of a record what is printed under such a name is made: it looks
# much as that lead does, and is none of the twelve.
FURTHER = {
    "V3R": {"V1": 0.8, "V3": -0.1},
    "V4R": {"V1": 0.6, "V4": -0.2},
    "V5R": {"V1": 0.5, "V5": -0.25},
    "V6R": {"V1": 0.4, "V6": -0.3},
    "V7": {"V6": 0.8, "V2": -0.1},
    "V8": {"V6": 0.6, "V2": -0.15},
    "V9": {"V6": 0.5, "V2": -0.2},
}
RIGHT = (*LEADS[:8], "V3R", "V4R", "V5R", "V6R")
BACK = (*LEADS[:9], "V7", "V8", "V9")
ORDERS = {"standard": LEADS, "cabrera": CABRERA, "right": RIGHT, "back": BACK}


RHYTHM_LEADS = ("II", "V1", "V5")  # that rhythm strips are usually of, the most usual first


@dataclass(frozen=True)
class Slot:
    """One lead in one row, one of `FURTHER` too. start and end: seconds since the row began; each column
    prints its own window."""

    lead: str
    row: int
    column: int
    start: float
    end: float
    rhythm: bool = False
    inverted: bool = False


@dataclass(frozen=True)
class Layout:
    """`columns` columns of 12 / columns leads, read column by column, then `rhythm` full-width strips."""

    columns: int
    rhythm: int = 0

    @property
    def name(self) -> str:
        return layout_name(12 // self.columns, self.columns, self.rhythm)

    @property
    def rows(self) -> int:
        return 12 // self.columns + self.rhythm

    def strips(
        self, seconds: float, order: str = "standard", rhythm_leads: tuple[str, ...] = RHYTHM_LEADS
    ) -> tuple[Slot, ...]:
        """The strips of a page whose rows last `seconds`: consecutive windows, one a column, rhythm last."""
        leads = ORDERS[order]
        per_column = 12 // self.columns
        window = seconds / self.columns
        strips = [
            Slot(
                lead,
                row=i % per_column,
                column=i // per_column,
                start=i // per_column * window,
                end=(i // per_column + 1) * window,
                inverted=order == "cabrera" and lead == "aVR",
            )
            for i, lead in enumerate(leads)
        ]
        strips += [
            Slot(lead, row=per_column + i, column=0, start=0.0, end=seconds, rhythm=True)
            for i, lead in enumerate(rhythm_leads[: self.rhythm])
        ]
        return tuple(strips)


def layout_name(rows: int, columns: int, rhythm: int) -> str:
    """Rows x columns and, with rhythm strips, how many: "3x4+1R"."""
    return f"{rows}x{columns}" + (f"+{rhythm}R" if rhythm else "")


LAYOUTS = {
    layout.name: layout
    for layout in (Layout(4), Layout(4, 1), Layout(4, 3), Layout(2), Layout(2, 1), Layout(1))
}


def layout(name: str) -> Layout:
    """The layout called `name`. Raises UsageError where there is none."""
    if name not in LAYOUTS:
        raise UsageError(f"layout {name!r} is unknown; choose from {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
