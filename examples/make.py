"""Make the example pages: simulated ECGs, no patient's.

python examples/make.py
"""

from pathlib import Path

import numpy as np

from ecgvlm.files.image import write_image
from ecgvlm.paper.degrade import degrade
from ecgvlm.paper.render import render
from ecgvlm.paper.style import page_style
from ecgvlm.simulate import Noise, Simulation, simulate

HERE = Path(__file__).parent
QUIET = Noise(wander_mv=0.03, muscle_mv=0.006)
# name -> heart, page style, kind of degradation
PAGES = {
    "sinus_rhythm.png": (Simulation(rate_bpm=68, noise=QUIET), page_style("classic", px_per_mm=5.4), "clean"),
    "atrial_fibrillation_scan.jpg": (
        Simulation(rhythm="af", rate_bpm=104, noise=QUIET), page_style("edan"), "scan",
    ),
    "left_bundle_branch_block_photo.jpg": (
        Simulation(conduction="lbbb", qrs_ms=152, rate_bpm=74, axis_deg=-20, noise=QUIET),
        page_style("ge", px_per_mm=5.8), "photo",
    ),
    "sinus_bradycardia_6x2.png": (
        Simulation(rate_bpm=44, noise=QUIET), page_style("schiller", layout="6x2+1R", px_per_mm=5.6), "clean",
    ),
    "first_degree_av_block_photo.jpg": (
        Simulation(pr_ms=272, rate_bpm=66, noise=QUIET), page_style("philips", px_per_mm=5.8), "photo",
    ),
    "sinus_tachycardia_50mm_s.png": (
        Simulation(rate_bpm=128, pr_ms=130, noise=QUIET),
        page_style("classic", mm_per_s=50.0, px_per_mm=5.4), "clean",
    ),
}  # fmt: skip


def main() -> None:
    for seed, (name, (heart, style, kind)) in enumerate(PAGES.items(), start=21):
        record, _ = simulate(heart, seed)
        page = degrade(render(record, style, seed), kind, np.random.default_rng(seed))
        write_image(HERE / name, page.image)
        print(name, page.image.shape)


if __name__ == "__main__":
    main()
