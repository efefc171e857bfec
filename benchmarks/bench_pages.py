"""What is read of real pages of many devices, which have no signals: layout, leads, speed, gain and rate.

    OMP_NUM_THREADS=1 python benchmarks/bench_pages.py [--pages ../shared/data/pages]

The pages are those of ecg-image-kit's sample data: scans, screenshots and phone photographs. What they show
was transcribed by eye into `benchmarks/data/pages.toml`; only those facts are committed. leads: all twelve
are given, the rhythm strips and the leads beyond the twelve by their names. The rate counts as right within
5 bpm or 5%. A page that shows too few leads is right where it is refused. Writes
benchmarks/results/pages.json.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.digitize import Digitizer, Page
from ecgvlm.errors import EcgError
from ecgvlm.files.image import load_image

HERE = Path(__file__).parent
FACTS = ("layout", "leads", "mm_per_s", "mm_per_mv", "rate")


def compared(page: Page, facts: dict) -> dict[str, bool]:
    """Which of a page's facts were read right."""
    shown = np.isfinite(page.leads(100.0)).any(axis=1)
    rhythm = [strip.lead for strip in page.strips if strip.rhythm]
    more = sorted(strip.lead for strip in page.more)
    rate = page.measurements.heart_rate_bpm
    return {
        "layout": page.layout == facts["layout"],
        "leads": bool(shown.all()) and rhythm == facts["rhythm"] and more == facts.get("more", []),
        "mm_per_s": page.mm_per_s == facts["mm_per_s"],
        "mm_per_mv": page.mm_per_mv == facts["mm_per_mv"],
        "rate": rate is not None and abs(rate - facts["rate"]) <= max(5.0, 0.05 * facts["rate"]),
    }


def one(digitizer: Digitizer, path: Path, facts: dict) -> dict[str, bool]:
    try:
        page = digitizer(load_image(path))
    except EcgError:
        return dict.fromkeys(FACTS, "layout" not in facts)
    return compared(page, facts) if "layout" in facts else dict.fromkeys(FACTS, False)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=Path, default=Path("../shared/data/pages"))
    args = parser.parse_args()
    known = tomllib.loads((HERE / "data" / "pages.toml").read_text())
    digitizer = Digitizer(threads=1)
    rows = {}
    for name, facts in known.items():
        rows[name] = one(digitizer, args.pages / name, facts)
        print(name, {fact: right for fact, right in rows[name].items() if not right} or "right")
    figures: dict[str, float] = {"pages": len(rows)}
    figures |= {
        f"{fact}_right": round(float(np.mean([row[fact] for row in rows.values()])), 3) for fact in FACTS
    }
    figures["all_facts_right"] = round(float(np.mean([list(row.values()) for row in rows.values()])), 3)
    figures["pages_all_right"] = round(float(np.mean([all(row.values()) for row in rows.values()])), 3)
    print(json.dumps(figures, indent=1))
    target = HERE / "results" / "pages.json"
    write_file(target, (json.dumps({**figures, "rows": rows}, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
