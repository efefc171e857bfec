"""An answer for a person at a terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ecgvlm.measure import MEASUREMENTS
from ecgvlm.reader import Answer
from ecgvlm.record import MachineReading
from ecgvlm.show.plain import plain
from ecgvlm.words import answers
from ecgvlm.words.phrases import ENGLISH, Words


def show(answer: Answer, asked: bool, w: Words = ENGLISH) -> None:
    """Prints an answer, or to standard error why there is none. asked: whether it answers a question of the
    user's, and not with the report. w: the language of what stands beside answer and report.
    """
    console = Console()
    if answer.error is not None:
        why = answer.error.message.removeprefix(f"{answer.image}: ")
        line = f"[red]{escape(plain(answer.image))}[/red]: {escape(plain(why))}"
        Console(stderr=True, soft_wrap=True, highlight=False).print(line)
        return
    evidence, page = answer.evidence, answer.page
    assert evidence
    assert page
    findings = Table(box=None, padding=(0, 1), show_header=False)
    for label, p in sorted(evidence.probabilities.items(), key=lambda item: -item[1]):
        if label in evidence.findings or p >= 0.2:
            mark = "●" if label in evidence.findings else "○"
            findings.add_row(mark, w.finding(label), w.percent(p), "━" * max(1, round(20 * p)))
    numbers = "   ".join(
        f"{w.name('measures', name)} {'–' if value is None else w.quantity(name, value)}"
        for name, value in ((name, evidence.measurements[name]) for name in MEASUREMENTS)
    )
    scale = f"{page.layout}, {page.mm_per_s:g} mm/s, {page.mm_per_mv:g} mm/mV, {answer.seconds:.2f} s"
    foot = f"{scale}\n{w.text((answers.quality(evidence, w), w.names['paper']['disclaimer']))}"
    lines: list[Text | Table] = [Text(answer.answer, style="bold"), Text(), findings, Text(), Text(numbers)]
    met = {label: [c for c in evidence.why(label) if c.met] for label in evidence.findings}
    reasons = [
        w.ended(f"{w.finding(x)}: {w.listed(answers.conditions(own, w))}") for x, own in met.items() if own
    ]
    if reasons:
        lines += [Text(), Text("\n".join(reasons), style="dim")]
    if answer.machine is not None:
        lines += [Text(), Text(_machine(answer.machine), style="dim")]
    if not asked:
        lines += [Text(), Text(answer.report)]
    elif doubts := answers.caution(evidence, w):  # a report says them
        lines += [Text(), Text(doubts, style="yellow")]
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
