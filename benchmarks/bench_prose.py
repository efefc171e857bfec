"""Is there a sentence in a report that no evidence stands behind? Every report read back, in every language.

    OMP_NUM_THREADS=1 python benchmarks/bench_prose.py

Reports for a patient, a nurse, a cardiologist and nobody in particular, short and long, of 1,000 generated
pages (`ecgvlm.instruct.states`, with findings beyond those that are learned added at random) in English and
100 in each other language. A report is cut at its full stops. Each sentence must fit one of those of
`words/data/say`, and all that is filled in must hold on the page: findings are found, denied groups are
empty, numbers are those measured, leads those with the sign, words for a measurement's place those of its
limits. What fits none, or holds on no reading, counts as without evidence. Writes
benchmarks/results/prose.json.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from random import Random

from ecgvlm.atomic import write_file
from ecgvlm.instruct.states import sample
from ecgvlm.judge.agreement import EVEN_ODDS
from ecgvlm.judge.evidence import POOR_QUALITY, Evidence, say_measurement
from ecgvlm.labels import FINDINGS, LABELS, OF_SHAPES, RHYTHMS, SIGNS, VENTRICULAR, in_group
from ecgvlm.measure import MEASUREMENTS
from ecgvlm.words.answers import atrial_rate, side_of
from ecgvlm.words.phrases import LANGUAGES, Words, words
from ecgvlm.words.prose import READERS, SHORT, prose

OUT = Path(__file__).parent / "results" / "prose.json"
STYLES = [tuple(filter(None, pair)) for pair in product((None, *READERS), (None, SHORT))]
# Sentences without anything to fill in -> when they may be said.
FIXED: Mapping[str, Callable[[Evidence], bool]] = {
    "patient_urgent": lambda e: bool(e.urgent),
    "patient_normal": lambda e: "NORM" in e.findings,
    "patient_abnormal": lambda e: "NORM" not in e.findings and not e.incomplete,
    "incomplete": lambda e: e.incomplete,
    "patient_rate_low": lambda e: _place(e, "heart_rate_bpm") == "low",
    "patient_rate_normal": lambda e: _place(e, "heart_rate_bpm") == "normal",
    "patient_rate_high": lambda e: _place(e, "heart_rate_bpm") == "high",
    "patient_regular": lambda e: e.regularity == "regular",
    "patient_irregular": lambda e: e.regularity in ("irregular", "slightly irregular"),
    "patient_end": lambda e: True,
    "axis_missing": lambda e: e.measurements["axis_deg"] is None,
    "findings_none": lambda e: "NORM" in e.findings and not set(e.findings) - {"NORM", "SR"},
    "findings_unnamed": lambda e: not set(e.findings) - {"SR", "NOSIGNAL"} and not e.incomplete,
}


def page(rng: Random) -> Evidence:
    """A generated page on which some of the findings beyond `LABELS` were judged as well."""
    evidence = sample(rng)
    beyond = [code for code in FINDINGS if code not in LABELS and rng.random() < 0.3]
    more = {code: rng.random() for code in beyond}
    return replace(
        evidence,
        probabilities={**evidence.probabilities, **more},
        thresholds={**evidence.thresholds, **dict.fromkeys(more, 0.8)},
    )


def _place(e: Evidence, name: str) -> str | None:
    return None if e.measurements[name] is None else e.limit(name)


MOST_PIECES = 9  # full stops that names in one sentence may hold


class Back:
    """Reads the sentences of one language back."""

    def __init__(self, w: Words):
        self.w = w
        self._patterns = {key: _pattern(text) for key, text in w.sentences.items()}
        names = {code: {w.finding(code), w.title(code), w.plain(code)} for code in FINDINGS}
        self._codes: dict[str, set[str]] = {}
        for code, called in names.items():
            for name in called:
                self._codes.setdefault(name.lower(), set()).add(code)

    def without_evidence(self, report: str, e: Evidence) -> list[str]:
        """The pieces of a report that are part of no sentence that holds on its page.

        A name may hold a full stop itself ("AV-Block II. oder III. Grades"): of all ways to put pieces
        together to sentences, that which leaves fewest over.
        """
        pieces = [text for text in re.split(r"(?<=[。।])\s*|(?<=[.])\s+(?=\S)", report) if text]
        left: list[list[str]] = [[]]  # over of the best way to put the first so many pieces together
        for end in range(1, len(pieces) + 1):
            ways = [[*left[end - 1], pieces[end - 1]]]
            for start in range(max(0, end - MOST_PIECES), end):
                text = self.w.space.join(pieces[start:end])
                if len(left[start]) < len(ways[0]) and self.holds(text, e):
                    ways.append(left[start])
            left.append(min(ways, key=len))
        return left[-1]

    def holds(self, text: str, e: Evidence) -> bool:
        """Whether a sentence says something that the page holds."""
        w = self.w
        for key, allowed in FIXED.items():
            if text == w.say(key):
                return allowed(e)
        for group, denial in w.names["none"].items():
            if text == denial:
                open_ones = {code for code in e.possible if FINDINGS[code].one_of != "QT"}
                return not set(in_group(group)) & {*e.findings, *open_ones}
        bare = text.removesuffix(w.stop)
        if self._names(bare, e) or self._rhythm(bare, e) or self._intervals(bare, e):
            return True
        if text.lower() in self._within(e):
            return True
        return any(
            self._filled(key, match.groupdict(), e)
            for key, pattern in self._patterns.items()
            if (match := pattern.fullmatch(text))
        )

    def _filled(self, key: str, part: dict[str, str], e: Evidence) -> bool:
        """Whether what a sentence is filled with holds."""
        w = self.w
        if key in ("urgent", "urgent_advice"):
            return self._is_urgent(part["finding"], e)
        if key == "possible":
            return self._possible(part["findings"], e)
        if key == "caution":
            return part["caution"] in [w.name("cautions", caution) for caution in e.cautions]
        if key == "poor_page":
            return e.quality < POOR_QUALITY and part["percent"] == w.say("percent", number=_hundredths(e))
        if key == "rhythm":
            return self._rhythm(part["rhythm"], e)
        if key in ("findings", "patient_findings"):
            return self._names(part["findings"], e)
        if key == "patient_rate":
            return part["number"] == say_measurement(e.measurements["heart_rate_bpm"] or 0)
        if key == "ventricular_shapes":
            shapes = {w.name("headings", name).lower() for name in OF_SHAPES}
            groups = set(part["group"].lower().split(w.comma))
            return groups <= shapes and bool({*VENTRICULAR, "PACE", "AVB3"} & set(e.findings))
        if key == "group_unseen":
            called = {w.name("headings", name).lower(): name for name in w.names["none"]}
            unseen = [called.get(heading) for heading in part["group"].lower().split(w.comma)]
            hidden = None in e.leads.values() or bool({"averaged", "no_qrs"} & set(e.cautions))
            qrs = e.measurements["qrs_ms"]  # unknown, or wide without a block that makes it so
            wide = qrs is not None and e.limit("qrs_ms") == "high" and not e.borderline("qrs_ms")
            hidden |= (qrs is None or wide) and set(unseen) == {"conduction"}
            return hidden and all(x and not set(in_group(x)) & set(e.findings) for x in unseen)
        if key.startswith("axis_"):
            return part["value"] == self._value("axis_deg", e) and side_of(e, "axis_deg") == key[5:]
        if key == "leads_with":
            bare = _pattern(w.sentences["probable"]).fullmatch(part["sign"])
            named = (bare["finding"] if bare else part["sign"]).lower()
            signs = [x for x in SIGNS if named in (w.name("signs", x).lower(), w.finding(x).lower())]
            return any(set(part["leads"].split(w.comma)) == set(e.where(sign)) for sign in signs)
        if key == "likelihood":
            codes = self._codes.get(part["finding"].lower(), set())
            return any(part["percent"] == w.percent(e.probability(code)) for code in codes)
        if key == "conclusion":
            return self._verdict(part["verdict"], e)
        return False

    def _names(self, text: str, e: Evidence) -> bool:
        """Whether a list names findings that are all there."""
        pieces = text.split(self.w.comma)
        while pieces:  # names, and what makes them probable, may hold a comma themselves
            whole = [n for n in range(len(pieces), 0, -1) if self._found(self.w.comma.join(pieces[:n]), e)]
            if not whole:
                return False
            pieces = pieces[whole[0] :]
        return True

    def _possible(self, text: str, e: Evidence) -> bool:
        """Whether a list names findings that are neither called nor denied, each with its leads and
        probability."""
        w = self.w
        items = [
            w.say(
                "converted",
                value=w.finding(code),
                others=w.listed([*e.defined_in(code), w.percent(e.probability(code))]),
            )
            for code in FINDINGS
            if code != "NORM" and e.probability(code) >= EVEN_ODDS and e.margin(code) < 0
        ]
        for item in items:
            text = text.replace(item, "", 1)
        return not text.replace(w.comma, "")

    def _found(self, item: str, e: Evidence) -> bool:
        bare = _pattern(self.w.sentences["probable"]).fullmatch(item)
        names = {item.lower(), *([bare["finding"].lower()] if bare else [])}
        return any(code in e.findings for name in names for code in self._codes.get(name, ()))

    def _rhythm(self, text: str, e: Evidence) -> bool:
        """ "sinus rhythm at 72 bpm, regular": each of these as on the page."""
        w = self.w
        if e.regularity != "unknown":
            text = text.removesuffix(w.comma + w.beats(e.regularity))
        rate = self._value("heart_rate_bpm", e)
        keys = ("rhythm_atria", "rhythm_ventricles", "rhythm_at") if rate else ("rhythm_no_rate",)
        found = (_pattern(w.sentences[key]).fullmatch(text) for key in keys)
        match = next(filter(None, found), None)
        if match is None or match.groupdict().get("rate", rate) != rate:
            return False
        if atrial := match.groupdict().get("atrial"):
            counted = atrial_rate(e)
            if counted is None or atrial != w.quantity("heart_rate_bpm", counted):
                return False
        named = match["rhythm"]
        if named.lower() == w.say("undetermined").lower():
            return not set(RHYTHMS) & set(e.findings)
        return self._names(named, e)

    def _intervals(self, text: str, e: Evidence) -> bool:
        """ "PR 160 ms, QRS 90 ms, ...": the four, each as measured."""
        w, rest = self.w, text
        for name, short in (("pr_ms", "PR"), ("qrs_ms", "QRS"), ("qt_ms", "QT"), ("qtc_ms", "QTc")):
            value = self._value(name, e)
            if not value:
                said = [w.say("interval_missing", measure=short)]
            else:
                counted = [x for x in [self._fridericia(name, e)] if x]
                normal = name == "qt_ms" or side_of(e, name) == "normal"
                places = [counted] if normal else [[place, *counted] for place in self._places(name, e)]
                said = [
                    w.say("interval_place", measure=short, value=value, place=w.listed(place))
                    if place
                    else f"{short} {value}"
                    for place in places
                ]
            begun = [x for x in said if rest.lower().startswith(x.lower())]
            if not begun:
                return False
            rest = rest[max(map(len, begun)) :].removeprefix(w.comma)
        return not rest

    def _within(self, e: Evidence) -> set[str]:
        """What may be said of the places of measurements, in small letters."""
        return {
            self.w.say("within", measure=self.w.name("measures", name), value=value, place=place).lower()
            for name in MEASUREMENTS
            if (value := self._placed(name, e))
            for place in self._places(name, e)
        }

    def _verdict(self, text: str, e: Evidence) -> bool:
        w = self.w
        word = w.say("normal" if "NORM" in e.findings else "not_assessable" if e.incomplete else "abnormal")
        for key in ("verdict_with", "verdict"):
            match = _pattern(w.sentences[key]).fullmatch(text)
            if match and match["word"] == word:
                rhythm = match["rhythm"]
                unknown = rhythm == w.say("undetermined_rhythm") and not set(RHYTHMS) & set(e.findings)
                others = match.groupdict().get("findings")
                if (unknown or self._names(rhythm, e)) and (others is None or self._names(others, e)):
                    return True
        return False

    def _is_urgent(self, text: str, e: Evidence) -> bool:
        if text == self.w.say("urgent_rate", rate=self._value("heart_rate_bpm", e) or ""):
            return "heart_rate_bpm" in e.urgent
        return not self._codes.get(text.lower(), set()).isdisjoint(e.urgent)

    def _value(self, name: str, e: Evidence) -> str | None:
        value = e.measurements[name]
        return None if value is None else self.w.quantity(name, value)

    def _placed(self, name: str, e: Evidence) -> str | None:
        """A measurement with the number that decides on its place."""
        value, counted = self._value(name, e), self._fridericia(name, e)
        return self.w.say("converted", value=value, others=counted) if value and counted else value

    def _fridericia(self, name: str, e: Evidence) -> str:
        """The QTc that definitions count, where it is another one than is measured and either is abnormal."""
        if name != "qtc_ms" or e.measurements[name] is None:
            return ""
        counted = self.w.quantity(name, e.counted(name))
        normal = e.limit(name) == side_of(e, name) == "normal"
        return "" if normal or counted == self._value(name, e) else f"Fridericia: {counted}"

    def _places(self, name: str, e: Evidence) -> list[str]:
        """What the place of a measurement may be called."""
        side = side_of(e, name)
        called = self.w.name(side, name) if side in ("low", "high") else self.w.name("places", side)
        return [called, *([self.w.name("places", "borderline")] if e.borderline(name) else [])]


def _hundredths(e: Evidence) -> str:
    return str(round(100 * e.quality))


@lru_cache(4096)
def _pattern(sentence: str) -> re.Pattern[str]:
    """A sentence with placeholders as a pattern, its first letter in either case."""
    parts = re.split(r"\{(\w+)\}", sentence)
    text = "".join(f"(?P<{x}>.+)" if i % 2 else re.escape(x) for i, x in enumerate(parts))
    if parts[0]:
        first = re.escape(parts[0][0])
        text = f"(?i:{first}){text[len(first) :]}"
    return re.compile(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pages", type=int, default=1000)
    args = parser.parse_args()
    found: dict = {}
    for language in LANGUAGES:
        w, rng = words(language), Random(0)
        back, counts = Back(w), {"reports": 0, "sentences": 0, "without_evidence": 0}
        took = 0.0
        for _ in range(args.pages if language == "en" else args.pages // 10):
            evidence = page(rng)
            for styles in STYLES:
                start = time.process_time()
                report = prose(evidence, styles, w)
                took += time.process_time() - start
                bad = back.without_evidence(report, evidence)
                counts["reports"] += 1
                counts["sentences"] += len(re.findall(r"[。।]|[.](?=\s|$)", report))
                counts["without_evidence"] += len(bad)
                for text in bad:
                    print(f"{language} {styles}: {text}")
        found[language] = counts | {"ms_each": round(1000 * took / counts["reports"], 2)}
    write_file(OUT, (json.dumps(found, indent=1) + "\n").encode())
    print(json.dumps({key: sum(x[key] for x in found.values()) for key in counts}))


if __name__ == "__main__":
    main()
