"""How pages come back that are rarely printed (`ecgvlm.paper.rare`) or that programs show (`.screen`), look
by look, and which pictures of something else (`ecgvlm.paper.others`) pass for an ECG.

    OMP_NUM_THREADS=1 python benchmarks/bench_rare.py --records ../shared/data/ptbxl [--pages 6] [--out FILE]

Records of fold 7, 500 Hz. SNR, layout and names as in bench_digitize; scale: speed and gain both right.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from bench_digitize import reading

from ecgvlm.files.datasets import load_ptbxl
from ecgvlm.paper.others import OTHERS, other_picture
from ecgvlm.paper.rare import RARE, rare_page
from ecgvlm.paper.screen import screen_page

SCREEN = "screen"
LOOKS = [*RARE, SCREEN]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--looks", nargs="*", default=LOOKS, choices=LOOKS)
    parser.add_argument("--pages", type=int, default=6, help="of each look")
    parser.add_argument("--others", type=int, default=6, help="pictures of each kind of something else")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    records = load_ptbxl(args.records, folds=[7], fs=500)
    rows = []
    for look in args.looks:
        for k in range(args.pages):
            rng = np.random.default_rng([args.seed, k, *look.encode()])
            record = records[rng.integers(len(records))]
            page = screen_page(record, rng) if look == SCREEN else rare_page(record, rng, look)
            truth = page.truth
            scale = f"{truth.mm_per_s:g} mm/s, {truth.mm_per_mv:g} mm/mV"
            row = {"look": look, "page": k, "layout": truth.layout, "scale": scale, **reading(page)}
            rows.append(row)
            print({**{key: value for key, value in row.items() if key != "in_time"}, "snr": _mean(row)})
    for look in args.looks:
        part = [row for row in rows if row["look"] == look]
        share = {
            name: f"{np.mean([row.get(name, False) for row in part]):.0%}"
            for name in ("layout_right", "names", "scale_right")
        }
        print(f"{look:8} {np.mean([_mean(row) for row in part]):5.1f} dB", share)
    print(f"all      {np.mean([_mean(row) for row in rows]):5.1f} dB")
    for what in OTHERS if args.others else ():
        pictures = [
            other_picture(np.random.default_rng([args.seed, k, *what.encode()]), what)
            for k in range(args.others)
        ]
        passed = ["refused" not in reading(picture) for picture in pictures]
        print(f"{what:10} {sum(passed)} of {len(passed)} pass for an ECG", np.flatnonzero(passed).tolist())
    if args.out:
        args.out.write_text(json.dumps(rows) + "\n")


def _mean(row: dict) -> float:
    return round(float(np.mean(row["snr"])), 1)


if __name__ == "__main__":
    main()
