"""How well pages come back that are rarely printed (`ecgvlm.paper.rare`), look by look.

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
from ecgvlm.paper.rare import RARE, rare_page


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--looks", nargs="*", default=list(RARE), choices=list(RARE))
    parser.add_argument("--pages", type=int, default=6, help="of each look")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    records = load_ptbxl(args.records, folds=[7], fs=500)
    rows = []
    for look in args.looks:
        for k in range(args.pages):
            rng = np.random.default_rng([args.seed, k, *look.encode()])
            page = rare_page(records[rng.integers(len(records))], rng, look)
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
    if args.out:
        args.out.write_text(json.dumps(rows) + "\n")


def _mean(row: dict) -> float:
    return round(float(np.mean(row["snr"])), 1)


if __name__ == "__main__":
    main()
