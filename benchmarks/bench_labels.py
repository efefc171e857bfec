"""How far PTB-XL's rhythm labels follow the definitions: what no reader can score better than by chance.

    python benchmarks/bench_labels.py --records ../shared/data/ptbxl

Measured on the records themselves (no paper), fold 8 left out. For each definition: records that fulfil it,
those of them that carry the label, and records that carry it without fulfilling it. Writes
benchmarks/results/labels.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ecgvlm.files.datasets import load_records
from ecgvlm.measure import Measurements, measure
from ecgvlm.train.small.pool import unlocked

OUT = Path(__file__).parent / "results" / "labels.json"
# The usual definitions of sinus bradycardia, sinus tachycardia and first-degree AV block.
DEFINITIONS = {
    "SB": ("heart rate under 60 bpm", lambda m: m.heart_rate_bpm is not None and m.heart_rate_bpm < 60),
    "ST": ("heart rate over 100 bpm", lambda m: m.heart_rate_bpm is not None and m.heart_rate_bpm > 100),
    "1dAVb": ("PR over 200 ms", lambda m: m.pr_ms is not None and m.pr_ms > 200),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    args = parser.parse_args()
    records = [record for _, record in load_records(unlocked(args.records))]
    measured: list[Measurements] = [measure(record.signal, record.fs) for record in records]
    out = {}
    for label, (text, fulfilled) in DEFINITIONS.items():
        rows = [
            (label in (record.labels or ()), fulfilled(m))
            for record, m in zip(records, measured)
            if label not in record.meta["unknown"] and not {"AF", "AFLT", "PACE"} & (record.labels or set())
        ]
        out[label] = {
            "definition": text,
            "records": len(rows),
            "fulfil": sum(met for _, met in rows),
            "fulfil_and_labelled": sum(has and met for has, met in rows),
            "labelled_without": sum(has and not met for has, met in rows),
        }
        print(label, out[label])
    OUT.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
