"""Our row: the shipped model, its controls and its rivals on PTB-XL's fold 8, on pages of every kind.

    python benchmarks/fold8.py --records ../shared/data/ptbxl

Makes the tasks in runs/fold8 (pages stay there: they show patients), asks every system and writes answers and
scores, without gold and pictures, to benchmarks/results/fold8. Pages are looked at once and the looks kept
beside them, until digitiser or nets are others; the README's table is made by benchmarks/tables.py.

Systems: ecgvlm (shipped), on the true pages and on blank, noise and other patients' pages; trivial ones;
"rules" (our digitiser and measurements with textbook limits, no network judges findings); "original signal"
(our encoder on the record itself instead of on a page: what is lost on paper); "ecgvlm int8" (encoder and
decoder with matrix products in 8 bits).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import ecgvlm
from ecgvlm.bench.backends import make_backend
from ecgvlm.bench.backends.base import Ask, Backend, Reply, Setup
from ecgvlm.bench.backends.ours import Ecgvlm
from ecgvlm.bench.build import build_task
from ecgvlm.bench.controls import control_images
from ecgvlm.bench.facts import STATED_RHYTHMS, ReportFacts, extract_facts, judge_reports
from ecgvlm.bench.gold import Predictions, load_gold, load_predictions
from ecgvlm.bench.report import GROUPS, by_group
from ecgvlm.bench.retries import RequestLimits
from ecgvlm.bench.runner import run_task, write_text
from ecgvlm.bench.score import score
from ecgvlm.bench.task import Task, load_task
from ecgvlm.digitize import Digitizer, Page
from ecgvlm.errors import EcgError
from ecgvlm.files.datasets import find_records, load_ptbxl
from ecgvlm.files.drawing import Drawing
from ecgvlm.instruct.row import Row
from ecgvlm.judge.agreement import settle
from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import LABELS, SIGNS
from ecgvlm.measure import Measurements
from ecgvlm.reader import Reader
from ecgvlm.record import Record
from ecgvlm.train.export import quantize
from ecgvlm.words import answers
from ecgvlm.words.names import CLOSED_LISTS

# Weights that say nothing about how a page is digitised.
OF_WORDS = ("language", "intents", "encoder")
TASKS = ("code15-test", "ptb-test", "ptb-test-report")
RESULTS = Path(__file__).parent / "results" / "fold8"


class OnceDigitizer:
    """Digitises each picture once, however many systems and questions follow; pages (without their pictures)
    are kept in a file, until the code or the nets that made them are others.
    """

    def __init__(self, kept: Path):
        package = Path(ecgvlm.__file__).parent
        made_by = [
            path for kind in ("measure/*.py", "digitize/*.py", "data/*.onnx") for path in package.glob(kind)
        ]
        code = b"".join(path.read_bytes() for path in sorted(made_by) if path.stem not in OF_WORDS)
        self._version = hashlib.sha256(code).hexdigest()
        self._digitizer, self._kept = Digitizer(threads=2), kept
        self._known: dict[str, Page | EcgError] = {}
        if kept.exists():  # our own file of this folder
            version, known = pickle.loads(kept.read_bytes())
            self._known = known if version == self._version else {}

    def keep(self) -> None:
        self._kept.write_bytes(pickle.dumps((self._version, self._known)))

    def __call__(self, image: np.ndarray | Drawing) -> Page:
        assert isinstance(image, np.ndarray)  # the tasks have pictures only
        key = hashlib.sha256(image.tobytes()).hexdigest()
        if key not in self._known:
            try:
                page = self._digitizer(image)
                self._known[key] = replace(page, image=np.zeros((0, 0, 3), np.uint8))
            except EcgError as error:
                self._known[key] = EcgError(error.code, error.message)
        found = self._known[key]
        if isinstance(found, EcgError):
            raise found
        return found


def rules(m: Measurements) -> dict[str, bool]:
    """Findings by textbook limits (AHA/ACCF/HRS 2009): what measurements tell without a network."""
    rate, pr, qrs = m.heart_rate_bpm, m.pr_ms, m.qrs_ms
    irregular = m.rr_variation is not None and m.rr_variation > 0.10
    af = irregular and m.p_score < 0.47
    wide = qrs is not None and qrs >= 120
    v1, v6, one = m.waves["V1"], m.waves["V6"], m.waves["I"]
    right = wide and v1 is not None and v1.r > abs(v1.s)
    left = wide and not right and v1 is not None and abs(v1.s) > v1.r
    if left and v6 is not None and one is not None:
        left = abs(v6.q) < 0.1 and abs(one.q) < 0.1
    found = dict.fromkeys(LABELS, False)
    found |= {"AF": af, "RBBB": right, "LBBB": left, "1dAVb": pr is not None and pr > 200 and not af}
    found |= {
        "SB": rate is not None and rate < 60 and not af,
        "ST": rate is not None and rate > 100 and not af,
    }
    odd = wide or af or any(abs(w.st) >= 0.1 or w.q <= -0.2 for w in m.waves.values() if w is not None)
    axis = m.axis_deg is not None and not -30 <= m.axis_deg <= 100
    found["NORM"] = not odd and not axis and not found["1dAVb"] and rate is not None and 50 <= rate <= 110
    return found


class Rules:
    """The first digitises and measures with ours; rules judge and a template answers."""

    name = "rules"

    def __init__(self, task: Task, reader: Reader):
        self.parameters: dict[str, Any] = {}
        self.model = "measurements and textbook limits"
        self._reader = reader

    def ask(self, ask: Ask) -> Reply:
        (image,) = ask.images
        try:
            looked = self._reader.look(image, criteria="code15")
        except EcgError as error:
            return Reply(f"Not readable: {error.message}")
        held = rules(looked.page.measurements)
        thresholds = dict.fromkeys(LABELS, 0.5)
        said = settle({label: 0.9 if held[label] else 0.1 for label in LABELS}, thresholds)
        return Reply(_code15(replace(looked.evidence, probabilities=said, thresholds=thresholds)))


def _code15(evidence: Evidence) -> str:
    """The answer to code15's question in the words of the benchmark."""
    options = [(code, f"{short}({name})") for code, (short, name) in CLOSED_LISTS["code15"].items()]
    return answers.close(evidence, options, "; ")


class Signal(Ecgvlm):
    """Our encoder and decoder on the record itself; the picture is only asked which record it shows."""

    name = "original signal"

    def __init__(self, task: Task, reader: Reader, records: dict[str, Record]):
        super().__init__(Setup(task), reader)
        self._records = records

    def ask(self, ask: Ask) -> Reply:
        record = self._records[_record_of(ask.id)]
        return self.reply(self._reader.look(record, criteria=self._criteria).evidence, ask.prompt)


def _in_8_bits(folder: Path) -> Path:
    """A folder with the shipped encoder and decoder, their matrix products in 8 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    data = Path(ecgvlm.__file__).parent / "data"
    for name in ("encoder.onnx", "language.onnx", "encoder.json", "tokenizer.json"):
        shutil.copy(data / name, folder / name)
    for name in ("encoder.onnx", "language.onnx"):
        quantize(folder / name).replace(folder / name)
    return folder


def _record_of(item: str) -> str:
    return item.rsplit("-", 1)[0]


def known_facts(record: Record, reader: Reader) -> ReportFacts:
    """What is known of a record beside its report: its labels, and what is measured on the signal itself."""
    assert record.labels is not None
    evidence = reader.look(record, criteria="ptbxl").evidence
    said = extract_facts(" ".join([answers.axis(evidence), *answers.signs(evidence, SIGNS)]))
    labels = {*record.labels, "ABNORMAL" if "NORM" not in record.labels else "NORM"}
    values = {name: value for name, value in evidence.measurements.items() if value is not None}
    return ReportFacts(
        asserted=said.asserted | (labels - set(STATED_RHYTHMS)),
        rhythms=frozenset(labels & set(STATED_RHYTHMS)),
        values=values,
    )


def _scores(task: Task, gold: list[Row], folder: Path, known: dict[str, ReportFacts]) -> dict:
    """Scores a system's answers: over all pages and by page kind."""
    said = load_predictions(folder / "predictions.jsonl")
    out = {}
    for kind in ("all", *sorted({str(item.metadata.get("page")) for item in gold})):
        items = [item for item in gold if kind == "all" or item.metadata.get("page") == kind]
        ids = {item.id for item in items}
        part = replace(said, answers={key: row for key, row in said.answers.items() if key in ids})
        if task.kind == "report":
            facts = judge_reports(items, part, known={item.id: known[_record_of(item.id)] for item in items})
            out[kind] = {key: value for key, value in facts.items() if key != "rows"}
        else:
            out[kind] = {parser: score(task, items, part, parser).to_dict() for parser in ("pulse", "strict")}
    return out


def subgroups(task: Task, gold: list[Row], said: Predictions) -> dict[str, dict[str, dict]]:
    """What differs between pages -> group -> its figures by the published parser, and how many positives."""
    out: dict[str, dict[str, dict]] = {}
    for title, group_of in GROUPS.items():
        for group, items in by_group(gold, group_of).items():
            part = replace(said, answers={item.id: said.answers[item.id] for item in items})
            found = score(task, items, part, "pulse").to_dict()
            positives = {
                label: v["positives"]
                for label, v in found["per_class"].items()
                if label not in ("NORM", "ABNORMAL")
            }
            kept = ("f1", "auc", "auroc", "hl")
            out.setdefault(title, {})[group] = {
                "pages": len(items),
                "patients": len({item.patient for item in items}),
                "positives": positives,
                **{name: found.get(name) for name in kept},
                "ci95": {name: ci for name, ci in found["ci95"].items() if name in kept},
            }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/fold8"))
    parser.add_argument("--limit", type=int, help="records of each task, drawn by chance; all by default")
    args = parser.parse_args()
    golds: dict[str, list[Row]] = {}
    for name in TASKS:
        task, folder = load_task(name), args.runs / "set"
        if not (folder / f"{name}.json").exists():
            count = build_task(
                task, find_records(args.records, [8]), folder, limit=args.limit, licence="CC BY 4.0"
            )
            print(f"{name}: {count} pages", flush=True)
        golds[name] = load_gold(folder / f"{name}.json")
    digitizer = OnceDigitizer(args.runs / "pages.pickle")
    reader = Reader(digitizer, threads=2)
    records = {str(record.meta["ecg_id"]): record for record in load_ptbxl(args.records, folds=[8])}
    known = {name: known_facts(record, reader) for name, record in records.items()}
    scores: dict[str, dict] = {}
    for name in TASKS:
        task, gold = load_task(name), golds[name]
        systems: list[tuple[str, Backend, str]] = [("ecgvlm", Ecgvlm(Setup(task), reader), "none")]
        if name == "code15-test":
            systems += [
                (f"ecgvlm {c}", Ecgvlm(Setup(task), reader), c) for c in ("blank", "noise", "shuffled")
            ]
            systems += [
                (f"trivial {m}", make_backend("trivial", task, gold, m), "none")
                for m in ("empty", "norm", "random")
            ]
            systems += [("rules", Rules(task, reader), "none")]
            small = Reader(digitizer, threads=2, model=_in_8_bits(args.runs / "int8"))
            systems += [("ecgvlm int8", Ecgvlm(Setup(task), small), "none")]
        if name != "ptb-test-report":
            systems += [("original signal", Signal(task, reader, records), "none")]
        for system, backend, control in systems:
            folder = args.runs / name / system.replace(" ", "-")
            # A refusal takes a second and is the same for all: blank and noise stand in for some rows only.
            rows = gold[:60] if control in ("blank", "noise") else gold
            shown = control_images(rows, control, 0)
            shutil.rmtree(folder, ignore_errors=True)  # the answers of another version
            done = run_task(task, rows, backend, folder, RequestLimits(workers=1), shown, None, control)
            scores.setdefault(name, {})[system] = _scores(task, rows, folder, known)
            digitizer.keep()
            if (name, system) == ("code15-test", "ecgvlm"):
                groups = subgroups(task, rows, load_predictions(folder / "predictions.jsonl"))
                write_text(RESULTS / "subgroups.json", json.dumps(groups, indent=1, allow_nan=False) + "\n")
            print(f"{name} {system}: {done.done} answers, {done.failures} failed", flush=True)
    write_text(RESULTS / "scores.json", json.dumps(scores, indent=1, allow_nan=False) + "\n")
    for system, kinds in scores["code15-test"].items():
        for kind, by_parser in kinds.items():
            s = by_parser["pulse"]
            print(
                f"{system:18s} {kind:6s} " + " ".join(f"{k} {s.get(k)}" for k in ("f1", "auc", "auroc", "hl"))
            )


if __name__ == "__main__":
    main()
