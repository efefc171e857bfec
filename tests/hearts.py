"""Hearts out of bell-shaped dipoles seen along textbook directions: nothing of `ecgvlm.simulate` is in it."""

import numpy as np

FS = 500.0
# Left, down and forward, as each of the twelve leads sees them.
DIRECTIONS = np.array(
    [
        [1, 0, 0], [0.5, 0.87, 0], [-0.5, 0.87, 0], [-0.75, -0.435, 0], [0.75, -0.435, 0], [0, 0.87, 0],
        [-0.45, 0.1, 1.2], [0, 0.2, 1.7], [0.5, 0.3, 1.6],
        [1, 0.5, 1.2], [1.3, 0.35, 0.55], [1.15, 0.2, 0.05],
    ]
)  # fmt: skip
# Of each wave s after its onset, its sigma, its direction and its mV.
P = ((0.04, 0.017, (0.45, 0.85, 0.15), 0.10), (0.065, 0.017, (0.45, 0.7, -0.25), 0.08))
T = ((0.27, 0.05, (0.65, 0.55, 0.35), 0.22), (0.30, 0.032, (0.65, 0.55, 0.35), 0.22))
NARROW = (
    (0.016, 0.007, (-0.3, -0.15, 0.5), 0.28), (0.04, 0.011, (0.75, 0.8, -0.05), 1.1),
    (0.06, 0.010, (0.1, -0.05, -0.9), 0.7), *T,
)  # fmt: skip
# Level at its top, as a left bundle branch block's.
WIDE = (
    (0.03, 0.014, (0.5, 0.4, -0.3), 0.5), (0.062, 0.022, (0.8, 0.3, -0.8), 0.9),
    (0.105, 0.020, (0.8, 0.3, -0.8), 0.75),
    (0.33, 0.05, (-0.8, -0.3, 0.8), 0.25), (0.36, 0.032, (-0.8, -0.3, 0.8), 0.25),
)  # fmt: skip


def heart(*trains: tuple[np.ndarray, tuple], seconds: float = 10.0, noise: float = 0.008) -> np.ndarray:
    """[12, n] mV at `FS`. trains: onsets in s of each kind of wave, and its dipoles."""
    t = np.arange(int(seconds * FS)) / FS
    dipole = np.zeros((3, len(t)))
    for onsets, waves in trains:
        for onset in onsets:
            for after, sigma, direction, mv in waves:
                dipole += mv * np.outer(direction, np.exp(-(((t - onset - after) / sigma) ** 2) / 2))
    electrodes = np.random.default_rng(0).normal(0, noise, (12, len(t)))
    return DIRECTIONS @ dipole + electrodes


def columns(leads: np.ndarray, count: int, rhythm: bool) -> np.ndarray:
    """What a page of so many columns shows, with a strip of II below them or without."""
    shown, width, rows = np.full_like(leads, np.nan), leads.shape[1] // count, 12 // count
    for row in range(12):
        part = slice(row // rows * width, (row // rows + 1) * width)
        shown[row, part] = leads[row, part]
    if rhythm:
        shown[1] = leads[1]
    return shown
