"""Commands that make ECGs: a record as a page, a heart as a record."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Seed = Annotated[int, typer.Option(min=0, help="Everything random follows from it.")]


class Speed(StrEnum):
    slow = "25"
    fast = "50"


class Gain(StrEnum):
    half = "5"
    standard = "10"
    double = "20"


class Degrade(StrEnum):
    none = "none"
    scan = "scan"
    photo = "photo"


def render(
    record: Annotated[
        str,
        typer.Argument(
            help="WFDB record (no ending), CODE-15 file.hdf5:INDEX, DICOM, XML, SCP, EDF, CSV ..."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG (or JPEG) to write.")],
    layout: Annotated[
        str, typer.Option(help="3x4+1R, 3x4, 6x2, 12x1 ... (an unknown name lists all)")
    ] = "3x4+1R",
    speed: Annotated[Speed, typer.Option(help="Paper speed in mm/s.")] = Speed.slow,
    gain: Annotated[Gain, typer.Option(help="Gain in mm/mV.")] = Gain.standard,
    degrade: Annotated[Degrade, typer.Option(help="Make it look scanned or photographed.")] = Degrade.none,
    style: Annotated[
        str, typer.Option(help="Look of the page: classic, edan, ge, philips, schiller ...")
    ] = "classic",
    seed: Seed = 0,
) -> None:
    """Print a record as an ECG page."""
    import numpy as np

    from ecgvlm.files.image import read_record, write_image
    from ecgvlm.paper.print import print_page
    from ecgvlm.paper.style import page_style

    look = page_style(style, layout=layout, mm_per_s=float(speed.value), mm_per_mv=float(gain.value))
    kind = "clean" if degrade is Degrade.none else degrade.value
    page = print_page(read_record(record), kind, np.random.default_rng(seed), look)
    write_image(output, page.image)


def simulate(
    condition: Annotated[
        str, typer.Argument(help="normal, af, flutter, rbbb, lbbb, pvc ... (an unknown name lists all)")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="CSV (.dcm: DICOM, .zip: WFDB), as `digitize` writes it.")
    ],
    seed: Seed = 0,
) -> None:
    """Simulate a 10-s 12-lead ECG with a condition."""
    import numpy as np

    from ecgvlm.atomic import write_file
    from ecgvlm.errors import UsageError
    from ecgvlm.show.reports import lead_writer
    from ecgvlm.simulate import CONDITIONS, random_simulation
    from ecgvlm.simulate import simulate as simulated

    if condition not in CONDITIONS:
        raise UsageError(f"condition {condition!r} is unknown; choose from {', '.join(CONDITIONS)}")
    write = lead_writer(output)
    record, _ = simulated(random_simulation(np.random.default_rng(seed), condition), seed)
    write_file(output, write(record))
