"""What people call things, and how they ask: the data files that questions are made and understood with."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files

# The lists that ECGBench asks with: code -> (code as printed, name as printed).
CLOSED_LISTS: dict[str, dict[str, tuple[str, str]]] = {
    "code15": {
        "1dAVb": ("1dAVb", "1st degree av block"), "RBBB": ("RBBB", "right bundle branch block"),
        "LBBB": ("LBBB", "left bundle branch block"), "SB": ("SB", "sinus bradycardia"),
        "ST": ("ST", "sinus tachycardia"), "AF": ("AF", "atrial fibrillation"),
    },
    "ptb-xl": {
        "NORM": ("NORM", "normal ECG"), "MI": ("MI", "myocardial infarction"),
        "STTC": ("STTC", "ST/T change"), "CD": ("CD", "conduction disturbance"),
        "HYP": ("HYP", "hypertrophy"),
    },
    "cpsc": {
        "NORM": ("NORM", "normal"), "AF": ("AF", "atrial fibrillation"),
        "1dAVb": ("I-AVB", "first-degree atrioventricular block"),
        "LBBB": ("LBBB", "left bundle branch block"), "RBBB": ("RBBB", "right bundle branch block"),
        "PAC": ("PAC", "premature atrial contraction"),
        "PVC": ("PVC", "premature ventricular contraction"), "STD": ("STD", "ST-segment depression"),
        "STE": ("STE", "ST-segment elevated"),
    },
}  # fmt: skip


@lru_cache
def prompts() -> dict:
    """The versioned data files: how people ask (`questions.toml`), what they call things (`names.toml`)."""
    folder = files("ecgvlm.words") / "data"
    return {
        name: tomllib.loads((folder / f"{name}.toml").read_text("utf-8")) for name in ("questions", "names")
    }


def without_article(name: str) -> str:
    return re.sub("^(an?|the) ", "", name)
