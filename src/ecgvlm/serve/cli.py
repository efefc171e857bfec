"""`ecgvlm store`: what the server has kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="What `ecgvlm serve --store` has kept.")
Url = Annotated[
    str, typer.Argument(metavar="URL", help="sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.")
]


@app.command()
def export(
    url: Url,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for rows.json and images/.")],
) -> None:
    """Write the reads that were corrected as rows for `ecgvlm train`."""
    from ecgvlm.serve.store import Store

    print(f"{output}: {Store(url, create=False).export(output)} rows")


@app.command()
def forget(
    url: Url, days: Annotated[float, typer.Option(min=0, help="Reads older than so many days.")]
) -> None:
    """Delete old reads with their pictures and corrections."""
    from ecgvlm.serve.store import Store

    print(f"{Store(url, create=False).forget(days)} reads deleted")
