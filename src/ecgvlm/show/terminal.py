"""An answer for a person at a terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ecgvlm.judge.evidence import CAUTIONS
from ecgvlm.labels import NAMES
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.reader import Answer
from ecgvlm.record import MachineReading
from ecgvlm.show.conditions import met_conditions
from ecgvlm.show.plain import plain


def show(answer: Answer, asked: bool) -> None:
    """Prints an answer, or to standard error why there is none. asked: whether it answers a question of the
    user's, and not with the report.
    """
    console = Console()
    if answer.error is not None:
        why = answer.error.message.removeprefix(f"{answer.image}: ")
        line = f"[red]{escape(plain(answer.image))}[/red]: {escape(plain(why))}"
        Console(stderr=True, soft_wrap=True, highlight=False).print(line)
        return
    facts = answer.to_dict()
    findings = Table(box=None, padding=(0, 1), show_header=False)
    likely = sorted(facts["labels"].items(), key=lambda item: -item[1])
    for label, p in likely:
        if label in facts["findings"] or p >= 0.2:
            mark = "●" if label in facts["findings"] else "○"
            findings.add_row(mark, NAMES[label], f"{p:.0%}", "━" * max(1, round(20 * p)))
    numbers = "   ".join(
        f"{known.short} –" if value is None else f"{known.short} {value:.0f} {known.unit}"
        for key, known in MEASUREMENTS.items()
        for value in [facts["measurements"][key]]
    )
    page = facts["page"]
    foot = (
        f"{page['layout']} page at {page['mm_per_s']:g} mm/s and {page['mm_per_mv']:g} mm/mV, quality "
        f"{page['quality']:.0%}, {facts['seconds']:.2f} s. Not a medical device."
    )
    lines: list[Text | Table] = [Text(answer.answer, style="bold"), Text(), findings, Text(), Text(numbers)]
    met = met_conditions(facts["criteria"])
    if reasons := [f"{NAMES[label]}: {met[label]}." for label in facts["findings"] if label in met]:
        lines += [Text(), Text("\n".join(reasons), style="dim")]
    if answer.machine is not None:
        lines += [Text(), Text(_machine(answer.machine), style="dim")]
    if facts["cautions"]:
        said = [f"Caution: {CAUTIONS[code]}." for code in facts["cautions"]]
        lines += [Text(), Text("\n".join(said), style="yellow")]
    if not asked:
        lines += [Text(), Text(answer.report)]
    console.print(
        Panel(
            Group(*lines, Text(), Text(foot, style="dim")),
            title=escape(plain(answer.image)),
            width=min(console.width, 110),
        )
    )


def _machine(machine: MachineReading) -> str:
    """What the recording device says, in its own words."""
    numbers = [
        f"{known.short} {machine.measurements[key]:.0f} {known.unit}"
        for key, known in MEASUREMENTS.items()
        if key in machine.measurements
    ]
    if machine.age is not None:
        numbers.append(f"age {machine.age:g}")
    if machine.sex is not None:
        numbers.append(f"sex {machine.sex}")
    said = ["   ".join(numbers)] if numbers else []
    return plain("\n".join(["The recording device says:", *said, *machine.statements]))
