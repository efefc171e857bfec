"""Whether findings rest on what is marked as their evidence: erase it on the picture, read again.

    python benchmarks/bench_faithfulness.py --records ../shared/data/ptbxl

For each of `FINDINGS`, pages of fold 8 that have it by their labels, drawn clean in random looks, and
simulated pages where fold 8 has too few. Where the finding is found, the traces inside its evidence
(`find_regions`) are erased (a straight line takes their place), and, on another copy, traces inside an equal
area of the strips elsewhere, chosen at random. Counted is how often the finding's probability falls by 0.3; a
page that is then refused is a fall. Where the evidence covers so much of the strips that no equal area is
left (a rate rests on the beats of all leads), there is no elsewhere: these are shown apart.

Writes benchmarks/results/faithfulness.json after every page. What was done is kept in WORK, so that an
interrupted run goes on; remove that file when the model changes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from ecgvlm.bench.runner import write_text
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import load_ptbxl
from ecgvlm.judge.grounding import DROP
from ecgvlm.paper.render import render
from ecgvlm.paper.style import random_style
from ecgvlm.reader import Answer, Reader
from ecgvlm.record import Record
from ecgvlm.show.overlay import Overlay, find_overlay, find_regions
from ecgvlm.simulate import random_simulation, simulate

OUT = Path(__file__).parent / "results" / "faithfulness.json"
# Finding -> the simulated condition that has it.
FINDINGS = {
    "AF": "af", "RBBB": "rbbb", "LBBB": "lbbb", "1dAVb": "av_block_1", "SB": "bradycardia",
    "ST": "tachycardia", "PVC": "pvc", "LAFB": "lafb", "LVH": "lvh", "AMI": "stemi_anterior",
    "IMI": "stemi_inferior",
}  # fmt: skip
SEED = 0
TRACE_MM = 1.4  # width of what is erased along a trace: its line and what the digitiser misses it by
LINE_MM = 0.3  # of the line that is drawn instead
PATCH_MM = 8.0  # width of the pieces of strips that are erased elsewhere


@dataclass(frozen=True)
class Case:
    """One finding on one page, erased once in its evidence and once elsewhere.

    part: of the strips' area that is evidence. drop, elsewhere: of the probability; None where there is no
    elsewhere. refused, elsewhere_refused: whether what was left was no longer read.
    """

    label: str
    source: str
    probability: float
    part: float
    leads: int
    drop: float
    refused: bool
    elsewhere: float | None
    elsewhere_refused: bool


def fill(shape: Sequence[int], outlines: Sequence[np.ndarray]) -> np.ndarray:
    """[H, W] bool: inside any of the outlines in px."""
    mask = np.zeros(shape[:2], np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
    return mask.astype(bool)


def erase(image: np.ndarray, area: np.ndarray, overlay: Overlay, px_per_mm: float) -> np.ndarray:
    """A copy on which the traces run straight through the area [H, W] bool.

    Paper comes from 5 mm further up or down, so that the grid goes on. The line keeps the digitiser on its
    row: where a trace only stops it follows the next row's, and what it then reads is another lead.
    """
    ink = np.zeros(image.shape[:2], np.uint8)
    width = max(3, round(TRACE_MM * px_per_mm))
    lines = [np.round(line).astype(np.int32) for trace in overlay.traces for line in trace.lines]
    for line in lines:
        cv2.polylines(ink, [line], False, 1, width)
    gone = left = ink.astype(bool) & area
    out, height = image.copy(), len(image)
    rows = np.arange(height)
    for shift in sorted((round(5 * k * px_per_mm) for k in range(-8, 9) if k), key=abs):
        there = (rows + shift).clip(0, height - 1)
        paper = left & (ink[there] == 0) & ((rows + shift == there)[:, None])
        out[paper] = image[there][paper]
        left = left & ~paper
    out[left] = np.median(image[area & (ink == 0)], axis=0)
    for line in lines:
        line = line[(line >= 0).all(1) & (line < [image.shape[1], height]).all(1)]
        inside = gone[line[:, 1], line[:, 0]]
        if not inside.any():
            continue
        colour = np.median(image[line[:, 1], line[:, 0]], axis=0).tolist()
        level = int(np.median(line[:, 1]))
        starts, ends = (
            np.flatnonzero(np.diff(inside.astype(int), prepend=0, append=0) == x) for x in (1, -1)
        )
        for start, end in zip(starts, ends):
            left_end = line[start - 1].tolist() if start else [int(line[0, 0]), level]
            right_end = line[end].tolist() if end < len(line) else [int(line[-1, 0]), level]
            cv2.line(out, left_end, right_end, colour, max(1, round(LINE_MM * px_per_mm)), cv2.LINE_AA)
    return out


def elsewhere(
    evidence: np.ndarray, overlay: Overlay, px_per_mm: float, rng: np.random.Generator
) -> np.ndarray | None:
    """[H, W] bool: random pieces of the strips outside the evidence, in all as large; None if too little."""
    strips = [fill(evidence.shape, [lead.outline]) for lead in overlay.leads]
    pieces = []
    for strip in strips:
        columns = np.flatnonzero(strip.any(0))
        for at in range(columns[0], columns[-1] + 1, round(PATCH_MM * px_per_mm)):
            piece = np.zeros_like(strip)
            piece[:, at : at + round(PATCH_MM * px_per_mm)] = True
            pieces.append(piece & strip & ~evidence)
    wanted, chosen = evidence.sum(), np.zeros_like(evidence)
    for k in rng.permutation(len(pieces)):
        chosen |= pieces[k]
        if chosen.sum() >= wanted:
            return chosen
    return None


def page_of(label: str, k: int, records: Sequence[Record]) -> tuple[str, Record]:
    """The k-th record with a finding and where it comes from: fold 8's first, then simulated ones."""
    real = [record for record in records if label in (record.labels or ())]
    if k < len(real):
        return "fold 8", real[k]
    rng = np.random.default_rng([SEED, k, *label.encode()])
    return "simulated", simulate(random_simulation(rng, FINDINGS[label]), int(rng.integers(1 << 31)))[0]


def fall(reader: Reader, image: np.ndarray, label: str, before: float) -> tuple[float, bool]:
    """By how much a probability falls on this picture, and whether it was refused."""
    try:
        return before - reader.look(image).evidence.probabilities[label], False
    except EcgError:
        return before, True


def ask(reader: Reader, label: str, k: int, records: Sequence[Record]) -> Case | None:
    """Reads the k-th page of a finding and erases; None where the finding is not found on it."""
    source, record = page_of(label, k, records)
    rng = np.random.default_rng([SEED, k, *label.encode()])
    image = render(record, random_style(rng, width_px=1600), rng).image
    try:
        seen = reader.look(image)
    except EcgError:
        return None
    if label not in seen.evidence.findings:
        return None
    answer = Answer(record.source, "", 0.0, evidence=seen.evidence, page=seen.page)
    (ground,) = (g for g in reader.grounds(answer) if g.label == label)
    overlay, scale = find_overlay(answer), seen.page.px_per_mm
    area = fill(image.shape, [region.outline for region in find_regions(answer, overlay, ground)])
    strips = fill(image.shape, [lead.outline for lead in overlay.leads])
    before = seen.evidence.probabilities[label]
    drop, refused = fall(reader, erase(image, area, overlay, scale), label, before)
    there, there_refused = None, False
    other = elsewhere(area, overlay, scale, rng)
    if other is not None:
        there, there_refused = fall(reader, erase(image, other, overlay, scale), label, before)
    part = float(area.sum() / strips.sum())
    return Case(label, source, before, part, len(ground.leads), drop, refused, there, there_refused)


def figures(cases: Sequence[Case]) -> dict:
    """Shares of the cases whose probability falls by `DROP`, evidence or as much elsewhere erased."""
    both = [(c, c.elsewhere) for c in cases if c.elsewhere is not None]
    alone = [c for c in cases if c.elsewhere is None]

    def share(falls: Sequence[bool]) -> float | None:
        return round(float(np.mean(falls)), 3) if falls else None

    fell = [c.refused or c.drop >= DROP for c in cases]
    return {
        "n": len(cases),
        "fall": share(fell),
        # A probability that was under DROP before cannot fall by it.
        "probability under 0.3 before": sum(c.probability < DROP for c in cases),
        "fall where it was 0.3 or more": share(
            [f for f, c in zip(fell, cases) if c.probability >= DROP or c.refused]
        ),
        "refused": sum(c.refused for c in cases),
        "with elsewhere": {
            "n": len(both),
            "fall": share([c.refused or c.drop >= DROP for c, _ in both]),
            "fall elsewhere": share([c.elsewhere_refused or drop >= DROP for c, drop in both]),
            "refused elsewhere": sum(c.elsewhere_refused for c, _ in both),
            "median drop": round(float(np.median([c.drop for c, _ in both])), 3) if both else None,
            "median drop elsewhere": round(float(np.median([drop for _, drop in both])), 3) if both else None,
        },
        "no elsewhere": {"n": len(alone), "fall": share([c.refused or c.drop >= DROP for c in alone])},
    }


def write(done: dict[tuple[str, int], Case | None], model: str) -> dict:
    cases = [c for c in done.values() if c is not None]
    result = {
        "drop": DROP,
        "model": model,
        "pages of fold 8": sum(c.source == "fold 8" for c in cases),
        "simulated pages": sum(c.source == "simulated" for c in cases),
        "pages on which it was not found": sum(c is None for c in done.values()),
        "all": figures(cases),
        "fold 8": figures([c for c in cases if c.source == "fold 8"]),
        "findings": {label: figures([c for c in cases if c.label == label]) for label in FINDINGS},
    }
    write_text(OUT, json.dumps(result, indent=1) + "\n")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, default=Path("../shared/data/ptbxl"))
    parser.add_argument("--count", type=int, default=4, help="positives a finding")
    parser.add_argument("--work", type=Path, default=Path("runs/faithfulness.jsonl"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    reader = Reader(threads=1)
    records = load_ptbxl(args.records, folds=[8])
    done: dict[tuple[str, int], Case | None] = {}
    args.work.parent.mkdir(parents=True, exist_ok=True)
    if args.work.exists():
        for row in map(json.loads, args.work.read_text("utf-8").splitlines()):
            done[row["label"], row["k"]] = Case(**row["case"]) if row["case"] else None
    with args.work.open("a", encoding="utf-8") as file:
        for k in range(3 * args.count):
            for label in FINDINGS:  # every finding in turn, so that an interrupted run has all of them
                found = sum(c is not None and c.label == label for c in done.values())
                if (label, k) in done or found >= args.count:
                    continue
                case = done[label, k] = ask(reader, label, k, records)
                file.write(json.dumps({"label": label, "k": k, "case": case and asdict(case)}) + "\n")
                file.flush()
                write(done, reader.judge.name)
    result = write(done, reader.judge.name)
    print(json.dumps({key: result[key] for key in ("all", "fold 8")}, indent=1))


if __name__ == "__main__":
    main()
