"""A reader that digitises and measures for real, but finds and says what tests want: no trained model."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ecgvlm.digitize import FS
from ecgvlm.judge.evidence import LAYOUTS, Evidence
from ecgvlm.labels import LABELS
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.reader import Reader
from ecgvlm.record import LEADS

WORDS = "Atrial fibrillation at a rate of 92 a minute, no P waves."


class FakeFindings:
    """Finds AF wherever lead V1 has waves, and nothing else."""

    name = "fake@0"
    thresholds = dict.fromkeys(LABELS, 0.5)

    def calibrated(self, leads, beats, known):
        p = np.full((len(leads), len(LABELS)), 0.02)
        waves = np.ptp(np.nan_to_num(leads[:, LEADS.index("V1")]), axis=1) > 0.2
        p[waves, LABELS.index("AF")] = 0.97
        return p

    def probabilities(self, leads, measurements):
        return dict(zip(LABELS, self.calibrated(leads[None], None, None)[0].tolist()))

    def __call__(self, page, sensitivity=None, criteria="definitions", person=None) -> Evidence:
        measurements = page.measurements
        return Evidence(
            probabilities=self.probabilities(page.leads(FS), measurements),
            thresholds=self.thresholds if sensitivity is None else dict.fromkeys(LABELS, 1 - sensitivity),
            measurements={name: getattr(measurements, name) for name in MEASUREMENTS},
            reasons=measurements.reasons,
            leads=measurements.waves,
            rr_variation=measurements.rr_variation,
            layout=page.layout if page.layout in LAYOUTS else "other",
            mm_per_s=page.mm_per_s,
            mm_per_mv=page.mm_per_mv,
            quality=page.quality,
        )


class FakeLanguage:
    """Says `WORDS` one by one, or does what the question orders.

    "die" ends the process, "until PATH" has it wait for a file after the first word, "endless" never stops
    speaking; "history" says what was asked before, and the rate of the earlier ECG; "FC?" in which language
    it was asked.
    """

    def answer(self, evidence, question, language=None, spoken="en"):
        return "".join(self.stream(evidence, question, language=spoken))

    def verdict(self, evidence, language="en"):
        return WORDS

    report = verdict

    def stream(self, evidence, question, before=(), earlier=None, language="en"):
        if question == "history":
            rate = earlier and f"; earlier {earlier.measurements['heart_rate_bpm']:.0f} bpm"
            yield f"{' | '.join(before)}{rate or ''}"
            return
        if question == "FC?":
            yield language
            return
        if question == "die":
            import os

            os._exit(1)
        while question == "endless":
            time.sleep(0.05)
            yield "on and "
        first, *others = WORDS.split(" ")
        yield first
        if question.startswith("until "):
            while not Path(question.removeprefix("until ")).exists():
                time.sleep(0.01)
        for word in others:
            yield f" {word}"


def make() -> Reader:
    """For `create_app(reader=fakes.make)`."""
    return Reader(judge=FakeFindings(), words=FakeLanguage(), threads=1)
