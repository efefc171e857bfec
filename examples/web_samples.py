"""Make the small copies of the example pages that the web page offers to try: simulated ECGs, no patient's.

python examples/web_samples.py
"""

import json
from pathlib import Path

import cv2
from PIL import Image

from ecgvlm.files.image import load_image

HERE = Path(__file__).parent
OUT = HERE.parent / "src/ecgvlm/serve/web/samples"
LONG_SIDE = 1500  # px: 5 px/mm on A4, what the digitiser works at
MAX_BYTES = 150_000
# example -> title and note on the page
SAMPLES = {
    "sinus_rhythm.png": ("Sinus rhythm", "Clean print, 3x4+1R"),
    "atrial_fibrillation_scan.jpg": ("Atrial fibrillation", "Scan"),
    "left_bundle_branch_block_photo.jpg": ("Left bundle branch block", "Phone photo, a shadow on it"),
    "first_degree_av_block_photo.jpg": ("First-degree AV block", "Phone photo"),
    "sinus_bradycardia_6x2.png": ("Sinus bradycardia", "6x2+1R"),
    "sinus_tachycardia_50mm_s.png": ("Sinus tachycardia", "50 mm/s"),
}


def main() -> None:
    index = []
    for name, (title, note) in SAMPLES.items():
        page = load_image(HERE / name)
        shrink = min(1.0, LONG_SIDE / max(page.shape[:2]))
        page = cv2.resize(page, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        target = (OUT / name).with_suffix(".webp")
        for quality in range(80, 0, -5):
            Image.fromarray(page).save(target, quality=quality, method=6)
            if target.stat().st_size < MAX_BYTES:
                break
        height, width = page.shape[:2]
        index.append({"file": target.name, "title": title, "note": note, "width": width, "height": height})
        print(target.name, page.shape, quality, target.stat().st_size)
    (OUT / "samples.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
