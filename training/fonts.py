"""The fonts of PDF reports, cut down to what reports can say in each language.

    apt-get install fonts-noto-core fonts-droid-fallback
    python training/fonts.py --fonts /usr/share/fonts/truetype --out src/ecgvlm/show/fonts

Noto Sans (SIL Open Font License 1.1) has Latin, Cyrillic, Devanagari and Arabic, Droid Sans Fallback (Apache
License 2.0) Chinese. Kept: ASCII, what `words/data/say` and the names in `words/data/asked` are written with,
and all shapes that Devanagari and Arabic letters take beside each other.
"""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from fontTools import subset

from ecgvlm.atomic import beside

FONTS = {
    "latin": "noto/NotoSans-Regular.ttf", "latin-bold": "noto/NotoSans-Bold.ttf",
    "devanagari": "noto/NotoSansDevanagari-Regular.ttf", "arabic": "noto/NotoSansArabic-Regular.ttf",
    "chinese": "droid/DroidSansFallbackFull.ttf",
}  # fmt: skip


def written() -> str:
    """Every character that a report may be written with."""
    data = files("ecgvlm.words") / "data"
    texts = [path.read_text("utf-8") for name in ("say", "asked") for path in (data / name).iterdir()]
    return "".join(sorted({*"".join(texts), *map(chr, range(0x20, 0x17F)), *"–—’“”…≤≥→−₂"}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fonts", type=Path, required=True, help="where the packages put their fonts")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    options = subset.Options(layout_features=["*"], hinting=False, name_IDs=[0, 1, 2, 3, 4, 5, 6, 13, 14])
    for name, path in FONTS.items():
        font = subset.load_font(str(args.fonts / path), options)
        subsetter = subset.Subsetter(options)
        subsetter.populate(text=written())
        subsetter.subset(font)
        with beside(args.out / f"{name}.ttf") as part:
            font.save(part)


if __name__ == "__main__":
    main()
