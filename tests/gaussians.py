"""A small synthetic record: P, QRS and T as Gaussians, different in every lead."""

import numpy as np

from ecgvlm.record import Record


def gaussian_record(fs: float = 500.0, seconds: float = 10.0) -> Record:
    t = np.arange(round(fs * seconds)) / fs
    phase = t % 0.83
    waves = (
        (0.20, 0.025, 0.12),
        (0.37, 0.010, -0.1),
        (0.395, 0.011, 1.0),
        (0.42, 0.010, -0.2),
        (0.62, 0.05, 0.3),
    )
    beat = sum(a * np.exp(-(((phase - at) / w) ** 2) / 2) for at, w, a in waves)
    gains = np.linspace(-0.9, 1.1, 12)[:, None]
    return Record((gains * beat).astype(np.float32), fs=fs, age=61, sex="F", source="gaussians")
