"""An `Evidence` as the decoder sees it: findings, measurements, leads and page, one visual token each.

Such a token is a set of features ("label=AF", "decided=yes", "p0=9", ...), each with a learned embedding;
the token is their sum. Numbers stand in the features digit by digit, as `say_*` writes them, so that the
decoder can copy them exactly.
"""

from __future__ import annotations

import math

import numpy as np

from ecgvlm.judge.evidence import (
    LAYOUTS,
    POOR_QUALITY,
    REASONS,
    Evidence,
    say_measurement,
    say_scale,
    tenths_mm,
)
from ecgvlm.labels import LABELS, SIGNS
from ecgvlm.measure import MEASUREMENTS, WAVES
from ecgvlm.record import LEADS

# Those that the decoder has learned; the others are added to its words.
_TOKENS_OF_CAUTIONS = ("limb_leads", "mirrored", "scale", "cut_off", "child", "unlike", "unsure")
_MARGIN_STEP = 0.5


def _features() -> tuple[str, ...]:
    digits = "0123456789"
    names = [f"label={x}" for x in LABELS] + [f"sign={x}" for x in SIGNS] + ["decided=yes", "decided=no"]
    names += [f"margin={k}" for k in range(-12, 12)]
    names += [f"p{place}={d}" for place in (0, 1) for d in digits] + ["p=under", "p=over"]
    for name in MEASUREMENTS:
        names += [f"{name}[{place}]" for place in range(4)] + [
            f"{name}:{x}" for x in ("low", "normal", "high")
        ]
    names += [f"digit={d}" for d in (*digits, "-", "end")] + [f"reason={x}" for x in REASONS]
    names += [f"rr={x}" for x in ("regular", "slightly irregular", "irregular", "unknown")]
    names += [f"lead={x}" for x in LEADS] + ["printed=no"] + [f"lead:{x}" for x in SIGNS]
    names += [f"{x}>{lead}" for x in (*SIGNS, "missing") for lead in (*LEADS, "end")]
    for wave in WAVES:
        names += [f"{wave}{place}={d}" for place in range(3) for d in digits] + [f"{wave}=-", f"{wave}=+"]
    names += [f"layout={x}" for x in LAYOUTS] + ["cabrera=yes", "cabrera=no", "quality=poor", "quality=good"]
    names += [f"quality{place}={d}" for place in range(3) for d in digits]
    names += [
        f"{unit}{place}={d}" for unit in ("speed", "gain") for place in range(4) for d in (*digits, ".")
    ]
    names += [f"caution={x}" for x in (*_TOKENS_OF_CAUTIONS, "none")]
    return ("", *names)  # 0 fills up the sets


FEATURES = _features()
_IDS = {name: i for i, name in enumerate(FEATURES)}
WIDTH = 32  # most features of one token
TOKENS = len(LABELS) + len(SIGNS) + 4 * len(MEASUREMENTS) + 1 + len(LEADS) + 5


def tokens(evidence: Evidence) -> list[list[str]]:
    """The visual prefix as features, one list a token, always `TOKENS` of them in the same order."""
    rows: list[list[str]] = []
    for label in LABELS:
        m, percent = evidence.margin(label), round(100 * evidence.probabilities[label])
        row = [f"label={label}", f"decided={'yes' if m >= 0 else 'no'}"]
        row.append(f"margin={min(math.floor(m / _MARGIN_STEP), 11)}")
        if percent < 1:
            row.append("p=under")
        elif percent > 99:
            row.append("p=over")
        else:
            row += [f"p{place}={d}" for place, d in enumerate(f"{percent:02d}")]
        rows.append(row)
    # Lists of leads are chained: the sign names the first lead, each lead of the list the next one.
    chains = {sign: evidence.leads_with(sign) for sign in SIGNS}
    chains["missing"] = tuple(lead for lead in LEADS if evidence.leads[lead] is None)
    follows = {(sign, a): b for sign, leads in chains.items() for a, b in zip(("", *leads), (*leads, "end"))}
    for sign in SIGNS:
        row = [
            f"sign={sign}",
            f"decided={'yes' if evidence.shows(sign) else 'no'}",
            f"{sign}>{follows[sign, '']}",
        ]
        rows.append(row)
    for name in MEASUREMENTS:
        value = evidence.measurements[name]
        if value is None:
            rows += [[f"{name}[{place}]", f"reason={evidence.reason(name)}"] for place in range(4)]
            continue
        text = say_measurement(value)[:4]
        for place in range(4):
            row = [f"{name}[{place}]", f"digit={text[place] if place < len(text) else 'end'}"]
            rows.append([*row, f"{name}:{evidence.limit(name)}"] if place == 0 else row)
    rows.append([f"rr={evidence.regularity}"])
    for lead in LEADS:
        waves, row = evidence.leads[lead], [f"lead={lead}"]
        if waves is None:
            row.append("printed=no")
        else:
            learned = waves.as_learned()
            for wave in WAVES:
                tenths = tenths_mm(getattr(learned, wave))
                row += [f"{wave}{place}={d}" for place, d in enumerate(f"{abs(tenths):03d}")]
                row.append(f"{wave}={'-' if tenths < 0 else '+'}")
            row += [f"lead:{x}" for x in SIGNS if evidence.sign(x, lead)]
        row += [f"{x}>{follows[x, lead]}" for x in chains if (x, lead) in follows]
        rows.append(row)
    rows.append(
        [
            f"layout={evidence.layout}",
            f"cabrera={'yes' if evidence.cabrera else 'no'}",
            f"missing>{follows['missing', '']}",
        ]
    )
    quality = f"{round(100 * evidence.quality):03d}"
    poor = "poor" if evidence.quality < POOR_QUALITY else "good"
    rows.append([f"quality={poor}", *(f"quality{place}={d}" for place, d in enumerate(quality))])
    for unit, scale in (("speed", evidence.mm_per_s), ("gain", evidence.mm_per_mv)):
        rows.append([f"{unit}{place}={d}" for place, d in enumerate(say_scale(scale))])
    cautions = [x for x in evidence.cautions if x in _TOKENS_OF_CAUTIONS]
    rows.append([f"caution={x}" for x in cautions or ("none",)])
    return rows


def encode(evidence: Evidence) -> np.ndarray:
    """The visual prefix: [TOKENS, WIDTH] int64 feature numbers, 0 where a token has fewer features."""
    ids = np.zeros((TOKENS, WIDTH), np.int64)
    for row, features in zip(ids, tokens(evidence)):
        row[: len(features)] = [_IDS[x] for x in features]
    return ids
