"""Mutated files of every kind through the decoders, in processes that may die of them.

    .venv/bin/python tests/fuzz.py --count 100000

Fails where anything but a picture, a record or an EcgError comes out, a process dies, or one file takes
over 20 s.
"""

from __future__ import annotations

import argparse
import base64
import io
import multiprocessing
import os
import random
import sys
import time
import warnings
import zipfile

import dicoms
import numpy as np
import pillow_heif
from PIL import Image

from ecgvlm.errors import EcgError
from ecgvlm.files.image import open_pages
from ecgvlm.files.waveform import write_dicom
from ecgvlm.record import Record

LONGEST = 20.0  # s for one file
CHUNK = 200


def picture() -> Image.Image:
    rgb = np.full((130, 420, 3), 255, np.uint8)
    rgb[::10] = rgb[:, ::10] = (250, 180, 180)
    x = np.arange(420)
    rgb[(65 + 40 * np.sin(x / 25)).astype(int), x] = 20
    return Image.fromarray(rgb)


def encoded(kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture().save(file, kind, **options)
    return file.getvalue()


def originals() -> dict[str, bytes]:
    """A small valid file of every kind that is read."""
    heif = io.BytesIO()
    pillow_heif.from_pillow(picture()).save(heif)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", encoded("PNG"))
        file.writestr("b/c.jpg", encoded("JPEG"))
    t = np.arange(1000) / 100
    signal = np.stack([np.sin(2 * np.pi * (i + 1) * t / 3) for i in range(12)]).astype(np.float32)
    kinds = {kind: encoded(kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "AVIF", "PDF")}
    more = [picture().rotate(180)]
    return kinds | {
        "progressive JPEG": encoded("JPEG", progressive=True),
        "TIFF": encoded("TIFF", save_all=True, append_images=more),
        "TIFF, LZW": encoded("TIFF", compression="tiff_lzw"),
        "TIFF, fax": encoded_fax(),
        "HEIF": heif.getvalue(),
        "DICOM picture": dicoms.picture(np.asarray(picture()), "RGB"),
        "DICOM waveform": write_dicom(Record(signal, 100.0)),
        "ZIP": archive.getvalue(),
        "base64": base64.b64encode(encoded("PNG")),
    }


def encoded_fax() -> bytes:
    file = io.BytesIO()
    picture().convert("1").save(file, "TIFF", compression="group4")
    return file.getvalue()


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut out, doubled or cut off; more often near the head, where the structure stands."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        if not out:
            break
        at = (
            rng.randrange(len(out))
            if rng.random() < 0.4
            else min(int(rng.expovariate(1 / 120)), len(out) - 1)
        )
        length = rng.choice((1, 1, 2, 4, 16, 100))
        kind = rng.randrange(6)
        if kind <= 1:
            out[at : at + length] = bytes(rng.randrange(256) for _ in out[at : at + length])
        elif kind == 2:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            out[at : at + length] = rng.choice((b"\0", b"\xff", b"\x7f")) * len(out[at : at + length])
        elif kind == 4:
            del out[at : at + length]
        else:
            out[at:at] = out[at : at + length]
    return bytes(out[: rng.randrange(len(out) + 1)] if rng.random() < 0.05 else out)


def check(content: np.ndarray | Record) -> None:
    """Raises TypeError where a page is neither an RGB picture nor a record of twelve leads in millivolts."""
    if isinstance(content, Record):
        fits = content.signal.dtype == np.float32 and content.signal.shape[0] == 12 and content.fs > 0
    else:
        fits = content.dtype == np.uint8 and content.ndim == 3 and content.shape[2] == 3
    if not fits:
        raise TypeError(f"not what a page is: {content!r}")


def one(name: str, data: bytes, seed: int) -> str:
    """What a mutated file leads to: "read" or an error's code. Anything else is raised."""
    try:
        for leaf in open_pages(mutated(data, random.Random(f"{name}:{seed}")), "a")[:3]:
            check(leaf.load())
        return "read"
    except EcgError as error:
        if "\n" in error.message:
            raise ValueError(f"more than one line: {error.message!r}") from error
        return error.code


def chunk(job: tuple[str, bytes, int]) -> tuple[str, dict[str, int], list[str]]:
    """`CHUNK` mutations of one file: outcomes, and what went wrong."""
    name, data, start = job
    warnings.simplefilter("ignore")
    counts: dict[str, int] = {}
    wrong = []
    for seed in range(start, start + CHUNK):
        began = time.process_time()
        try:
            outcome = one(name, data, seed)
        except Exception as error:
            outcome = "escaped"
            wrong.append(f"{name}, seed {seed}: {type(error).__name__}: {error}")
        if time.process_time() - began > LONGEST:
            wrong.append(f"{name}, seed {seed}: {time.process_time() - began:.0f} s")
        counts[outcome] = counts.get(outcome, 0) + 1
    return name, counts, wrong


def fuzz(count: int, processes: int, start: int = 0) -> tuple[dict[str, dict[str, int]], list[str]]:
    """About `count` mutated files, evenly over the kinds. Returns outcomes by kind, and what went wrong."""
    import resource
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (4_000_000_000, 4_000_000_000))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C complain of what they are given

    files = originals()
    rounds = -(-count // (CHUNK * len(files)))
    jobs = [(name, data, start + CHUNK * i) for i in range(rounds) for name, data in files.items()]
    outcomes: dict[str, dict[str, int]] = {name: {} for name in files}
    wrong: list[str] = []
    context = multiprocessing.get_context("fork")
    while jobs:
        with ProcessPoolExecutor(processes, context, limit) as pool:
            waiting = [(job, pool.submit(chunk, job)) for job in jobs]
            jobs = []
            for job, future in waiting:
                try:
                    name, counts, mistakes = future.result()
                except BrokenProcessPool:
                    # Everything that had not been done by then: each on its own again, to find the one.
                    jobs = [job for job, future in waiting if future.exception() is not None]
                    wrong.append(f"a process died, in one of {jobs[0][0]}'s seeds {jobs[0][2]} to +{CHUNK}")
                    jobs = jobs[1:]
                    break
                wrong += mistakes
                for outcome, n in counts.items():
                    outcomes[name][outcome] = outcomes[name].get(outcome, 0) + n
    return outcomes, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--start", type=int, default=0, help="first seed")
    arguments = parser.parse_args()
    began = time.monotonic()
    outcomes, wrong = fuzz(arguments.count, arguments.processes, arguments.start)
    total = 0
    for name, counts in outcomes.items():
        total += sum(counts.values())
        print(f"{name:18s} " + "  ".join(f"{outcome} {n}" for outcome, n in sorted(counts.items())))
    print(f"{total} files in {time.monotonic() - began:.0f} s, {len(wrong)} wrong")
    print("\n".join(wrong[:50]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
