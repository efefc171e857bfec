"""Hearts out of bell-shaped dipoles seen along textbook directions: nothing of `ecgvlm.simulate` is in them.

What was tuned on the package's own simulator is tried on these, by `bench_criteria.py` and by tests.
"""

from collections.abc import Callable

import numpy as np

FS = 500.0
SECONDS = 10.0
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


def heart(*trains: tuple[np.ndarray, tuple], seconds: float = SECONDS, noise: float = 0.008) -> np.ndarray:
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


Train = tuple[np.ndarray, tuple]


def _every(rng: np.random.Generator, rate: float, spread: float = 0.02) -> np.ndarray:
    """Onsets in s of so many beats a minute, each interval off by this part of it."""
    steps = 60 / rate * (1 + spread * rng.standard_normal(int(rate * SECONDS / 60) + 4))
    return rng.uniform(0.1, 0.6) + np.cumsum(steps) - steps[0]


def _turned(rng: np.random.Generator, waves: tuple) -> tuple:
    """The waves with all their directions turned about at random, as of beats from anywhere."""
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return tuple((after, sigma, tuple(turn @ direction), mv) for after, sigma, direction, mv in waves)


def _at(rate: float, qrs: tuple) -> tuple:
    """A QRS with its T as early as it is at so many beats a minute."""
    sooner = min(1.0, (75 / rate) ** 0.5)
    return tuple((after * sooner if after > 0.15 else after, *wave) for after, *wave in qrs)


def _sinus(rng: np.random.Generator, rate: float, pr: float = 0.16, qrs: tuple = NARROW) -> list[Train]:
    p = _every(rng, rate, 0.02)
    return [(p, P), (p + pr, _at(rate, qrs))]


def _dropping(rng: np.random.Generator, rate: float, delays: tuple[float, ...]) -> list[Train]:
    """P waves conducted after these delays in turn; one that is NaN drops its beat."""
    p = _every(rng, rate, 0.005)
    qrs = p + np.resize(delays, len(p))
    return [(p, P), (qrs[np.isfinite(qrs)], NARROW)]


def _extra(rng: np.random.Generator, every: int) -> list[Train]:
    """Each of so many beats comes early out of a ventricle."""
    rate = rng.uniform(62, 80)
    p = _every(rng, rate, 0.005)
    early = np.arange(len(p)) % every == every - 1
    wide = _turned(rng, WIDE)
    return [(p[~early], P), (p[~early] + 0.16, NARROW), (p[early] + 0.16 - 0.36 * 60 / rate, wide)]


def _atrial(rng: np.random.Generator, every: int) -> list[Train]:
    """Each of so many beats comes early out of the atria: the next one follows after a whole interval."""
    rate = rng.uniform(60, 85)
    steps = 60 / rate * (1 + 0.015 * rng.standard_normal(20))
    early = np.arange(len(steps)) % every == every - 1
    p = rng.uniform(0.1, 0.6) + np.cumsum(np.where(early, steps * rng.uniform(0.6, 0.72), steps))
    other = tuple((after, sigma, (x, 0.3 * y, z), mv) for after, sigma, (x, y, z), mv in P)
    return [(p[~early], P), (p[early], other), (p + 0.16, NARROW)]


def _free(rng: np.random.Generator, rate: float, qrs: tuple) -> list[Train]:
    """Ventricles at their own pace below faster atria."""
    return [(_every(rng, rng.uniform(78, 100), 0.01), P), (_every(rng, rate, 0.005), qrs)]


def _breathing(rng: np.random.Generator) -> list[Train]:
    p = rng.uniform(0.1, 0.5) + np.cumsum(0.85 + 0.2 * np.sin(1.4 * np.arange(14) + rng.uniform(0, 6)))
    return [(p, P), (p + 0.15, NARROW)]


NAN = float("nan")
DELTA = ((0.025, 0.014, (0.5, 0.3, 0.5), 0.45), (0.05, 0.012, (0.5, 0.3, 0.3), 0.3))
PREEXCITED = (*DELTA, (0.075, 0.012, (0.8, 0.7, 0.2), 1.0), (0.1, 0.01, (0.1, -0.1, -0.6), 0.4), *T)
RIGHT_LATE = (
    (0.016, 0.007, (-0.3, -0.1, 0.5), 0.3), (0.042, 0.012, (0.7, 0.7, -0.2), 1.0),
    (0.098, 0.020, (-0.65, 0, 0.75), 0.75), (0.33, 0.04, (0.8, 0.5, -0.35), 0.3),
)  # fmt: skip
SHORT_T = (*NARROW[:3], (0.19, 0.03, (0.65, 0.55, 0.35), 0.3))
# What a heart is called, and its trains of waves.
HEARTS: dict[str, tuple[str, Callable[[np.random.Generator], list[Train]]]] = {
    "normal": ("NORM", lambda rng: _sinus(rng, rng.uniform(62, 95))),
    "bradycardia": ("SB", lambda rng: _sinus(rng, rng.uniform(36, 48))),
    "tachycardia": ("ST", lambda rng: _sinus(rng, rng.uniform(106, 130))),
    "sinus_arrhythmia": ("SARRH", _breathing),
    "av_block_1": (
        "1dAVb",
        lambda rng: _sinus(rng, rng.uniform(60, 85), rng.uniform(0.24, 0.3)),
    ),
    "wenckebach": (
        "WENCK",
        lambda rng: _dropping(rng, rng.uniform(75, 90), (0.17, 0.26, 0.32, NAN)),
    ),
    "mobitz": (
        "MOBITZ2",
        lambda rng: _dropping(rng, rng.uniform(75, 90), (0.17, 0.17, 0.17, NAN)),
    ),
    "block_2_1": ("AVB21", lambda rng: _dropping(rng, rng.uniform(80, 100), (0.17, NAN))),
    "av_block_3": ("AVB3", lambda rng: _free(rng, rng.uniform(34, 46), NARROW)),
    "junctional": ("JUNC", lambda rng: [(_every(rng, rng.uniform(42, 58), 0.01), NARROW)]),
    "escape": (
        "IVR",
        lambda rng: [(_every(rng, rng.uniform(30, 40), 0.01), _turned(rng, WIDE))],
    ),
    "svt": ("SVT", lambda rng: [(_every(rng, rng.uniform(165, 205), 0.003), SHORT_T)]),
    "vt": ("VT", lambda rng: [(_every(rng, rng.uniform(140, 190), 0.004), _turned(rng, WIDE))]),
    "wpw": ("WPW", lambda rng: _sinus(rng, rng.uniform(65, 90), 0.095, PREEXCITED)),
    "rbbb": ("RBBB", lambda rng: _sinus(rng, rng.uniform(60, 90), qrs=RIGHT_LATE)),
    "lbbb": ("LBBB", lambda rng: _sinus(rng, rng.uniform(60, 90), qrs=WIDE)),
    "bigeminy": ("BIGEM", lambda rng: _extra(rng, 2)),
    "trigeminy": ("TRIGEM", lambda rng: _extra(rng, 3)),
    "pvc": ("PVC", lambda rng: _extra(rng, 6)),
    "pac": ("PAC", lambda rng: _atrial(rng, int(rng.integers(4, 8)))),
    "atrial_bigeminy": ("PAC", lambda rng: _atrial(rng, 2)),
}


def quivering(rng: np.random.Generator) -> np.ndarray:
    """[12, n] mV of ventricles that fibrillate: waves of 4 to 7 a second, none the same."""
    t, total = np.arange(int(SECONDS * FS)) / FS, np.zeros((12, int(SECONDS * FS)))
    for _ in range(5):
        drifts = 0.1 * np.sin(2 * np.pi * rng.uniform(0.2, 0.8) * t)
        total += np.outer(rng.normal(0, 0.3, 12), np.sin(2 * np.pi * (rng.uniform(4, 7) * t + drifts)))
    return total


def irregular(rng: np.random.Generator) -> np.ndarray:
    """[12, n] mV of atria that fibrillate, and of ventricles that follow at random."""
    rr = 60 / rng.uniform(70, 130) * np.clip(1 + 0.22 * rng.standard_normal(30), 0.6, None)
    t = np.arange(int(SECONDS * FS)) / FS
    pace = rng.uniform(5.5, 7.5) + 0.6 * np.sin(2 * np.pi * 0.4 * t)
    waves = sum(
        np.outer((0.3, 0.5, 0.9), rng.uniform(0.05, 0.1) / k * np.sin(2 * np.pi * k * np.cumsum(pace) / FS))
        for k in (1, 2)
    )
    return heart((np.cumsum(rr), NARROW)) + DIRECTIONS @ waves


def any_heart(condition: str, seed: int) -> tuple[np.ndarray, str]:
    """[12, n] mV of a heart with a condition of `HEARTS`, "vf" or "af", and what it must be called."""
    rng = np.random.default_rng([seed, 7])
    if condition == "vf":
        return quivering(rng), "VF"
    if condition == "af":
        return irregular(rng), "AF"
    called, trains = HEARTS[condition]
    return heart(*trains(rng)), called


CONDITIONS = (*HEARTS, "af", "vf")
PAGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "record": lambda leads: leads,
    "3x4+1R": lambda leads: columns(leads, 4, True),
    "6x2": lambda leads: columns(leads, 2, False),
}
