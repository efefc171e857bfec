"""Writes the measured figures into README.md and the docs, from the committed results alone.

python benchmarks/tables.py            # rewrite what stands between <!-- figures:NAME --> and <!-- end -->
python benchmarks/tables.py --check    # only say whether they are up to date (exit status 1 if not)
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ecgvlm.paper.degrade import PAGE_KINDS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def load(name: str) -> dict:
    return json.loads((RESULTS / name).read_text("utf-8"))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(score: dict, name: str) -> str:
    """x 100 with its 95% interval."""
    value = score.get(name)
    if value is None:
        return "–"
    low, high = score["ci95"][name]
    return f"{100 * value:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def headline() -> str:
    scores = load("fold8/scores.json")["code15-test"]
    head = ["code15-test, `pulse` parser, x 100", "macro F1", "hard-label AUC", "AUROC", "Hamming loss"]
    rows = []
    for kind in (*PAGE_KINDS, "all"):
        s = scores["ecgvlm"][kind]["pulse"]
        rows.append([f"**ecgvlm**, {kind} pages", *(percent(s, x) for x in ("f1", "auc", "auroc", "hl"))])
    for system, name in (
        ("ecgvlm int8", "ecgvlm with 8-bit matrix products, all pages (not shipped)"),
        ("original signal", "our encoder on the original signal (no paper)"),
        ("rules", "our measurements with textbook limits, no network"),
        ("ecgvlm shuffled", "control: another patient's page"),
        ("ecgvlm blank", "control: blank page (60 rows)"),
        ("trivial norm", "always NORM"),
        ("trivial random", "random by prevalence"),
    ):
        if system not in scores:
            continue
        s = scores[system]["all"]["pulse"]
        rows.append([name, *(percent(s, x) for x in ("f1", "auc", "auroc", "hl"))])
    return table(head, rows)


def classes() -> str:
    scores = load("fold8/scores.json")["code15-test"]["ecgvlm"]
    head = [
        "class",
        "pages with it",
        *(f"F1 {kind}" for kind in PAGE_KINDS),
        *(f"AUROC {kind}" for kind in PAGE_KINDS),
    ]
    rows = []
    for label in scores["clean"]["pulse"]["per_class"]:
        read = [scores[kind]["pulse"] for kind in PAGE_KINDS]
        ranked = [s["calibration"]["classes"].get(label, {}).get("auroc") for s in read]
        row = [label, str(read[0]["per_class"][label]["positives"])]
        for value in (*(s["per_class"][label]["f1"] for s in read), *ranked):
            row.append("–" if value is None else f"{100 * value:.0f}")
        rows.append(row)
    return table(head, rows)


def subgroups() -> str:
    head = ["pages", "n", "patients", "positives of the six", "macro F1", "AUROC", "Hamming loss"]
    rows = []
    for title, groups in load("fold8/subgroups.json").items():
        for group, s in groups.items():
            positives = ", ".join(f"{label} {n}" for label, n in s["positives"].items() if n)
            figures = [percent(s, x) for x in ("f1", "auroc", "hl")]
            rows.append(
                [f"{title}: {group}", str(s["pages"]), str(s["patients"]), positives or "none", *figures]
            )
    return table(head, rows)


def trust() -> str:
    asked, grounds = load("questions.json"), load("faithfulness.json")
    both, all_of_it, every = grounds["all"]["with elsewhere"], grounds["all"], asked["adversarial"]

    def share(value: float) -> str:
        return f"{100 * value:.1f}%"

    rows = [
        [
            f"answers with the page's findings, {asked['all']['n']:,} questions on {asked['pages']} pages",
            share(asked["all"]["same"]),
            "97%",
        ],
        *(
            [f"- {name}", share(asked["by_form"][form]["same"]), ""]
            for form, name in (
                ("plain", "as worded"), ("slips", "with slips of the pen"), ("age", "with an age"),
                ("sure", 'with "Are you sure?"'),
            )
        ),
        *([f"- {kind}", share(v["same"]), ""] for kind, v in asked["by_kind"].items()),
        [
            f"answers that change a finding: to these questions, and to {every['n']:,} adversarial ones",
            f"{asked['all']['changed']} and {every['changed']}",
            "0",
        ],
        [
            f"probability falls by 0.3 once its evidence is erased, {all_of_it['n']} findings",
            share(all_of_it["fall"]),
            "80%",
        ],
        [
            f"- of these the {both['n']} whose evidence leaves as much of the page elsewhere",
            share(both["fall"]),
            "80%",
        ],
        ["- the same with as much erased elsewhere", share(both["fall elsewhere"]), "at most 10%"],
    ]  # fmt: skip
    return table(["what", "measured", "goal"], rows)


def superclasses() -> str:
    scores = load("fold8/scores.json")["ptb-test"]
    head = ["ptb-test (NORM MI STTC CD HYP), x 100", "macro F1", "hard-label AUC", "AUROC", "Hamming loss"]
    rows = []
    for system, kinds in (("ecgvlm", PAGE_KINDS), ("original signal", ["all"])):
        for kind in kinds:
            s = scores[system][kind]["pulse"]
            name = f"**ecgvlm**, {kind} pages" if system == "ecgvlm" else "our encoder on the original signal"
            rows.append([name, *(percent(s, x) for x in ("f1", "auc", "auroc", "hl"))])
    return table(head, rows)


VIEWS = ("signal", *PAGE_KINDS, "all pages")  # of the cross-validation


def _view(name: str) -> str:
    return "signals, no paper" if name == "signal" else name if "pages" in name else f"{name} pages"


def out_of_fold(task: str) -> str:
    """A task's figures out of fold by what was looked at, and the published rows."""
    found = load("crossval.json")["tasks"][task]
    names = ("f1", "auc", "hl", "auroc")
    rows = [
        [f"**ecgvlm**, {_view(view)}", str(found[view]["n"]), *(percent(found[view], name) for name in names)]
        for view in VIEWS
    ]
    rows += [[row["system"], "", row["f1"], row["auc"], row["hl"], "–"] for row in found["published"]]
    head = [f"{task}, x 100", "records or pages", "macro F1", "hard-label AUC", "Hamming loss", "AUROC"]
    return table(head, rows)


def scratch() -> str:
    """What SmolVLM's architecture says after minutes of learning, and our reader out of fold, on the same
    pages."""
    found = load("training/scratch_h200.json")["tasks"]
    figures = {"f1": "macro F1", "auc": "hard-label AUC", "hl": "Hamming loss", "auroc": "AUROC"}
    head = ["x 100, `pulse` parser", "pages", *figures.values(), "answers"]
    rows = []
    for task, said in found.items():
        answers = said["answers"]
        most = max(answers, key=answers.get)
        differ = f"{len(answers)} in all; {answers[most] / sum(answers.values()):.0%}: {most}"
        for name, row, words in (
            ("**ecgvlm**, out of fold", said["ecgvlm, out of fold"], ""),
            ("SmolVLM-256M's architecture from random weights", said["pulse"], differ),
        ):
            measured = (percent(row, x) for x in figures)
            rows.append([f"{task}: {name}", f"{row['n']:,}", *measured, words])
    return table(head, rows)


def crossval() -> str:
    found = load("crossval.json")
    head = ["label", "positives, signals", "F1", "AUROC", "positives, pages", "F1", "AUROC"]
    rows = []
    for title in ("NORM and the six", "superclasses"):
        cells = [
            f"{100 * found[title][view][x]:.1f}" for view in ("signal", "all pages") for x in ("f1", "auroc")
        ]
        rows.append([f"**{title}**", "", *cells[:2], "", *cells[2:]])
    for label, signal in found["labels"]["signal"].items():
        row = [label]
        for v in (signal, found["labels"]["all pages"].get(label)):
            row += ["", "", ""] if v is None else [
                str(v["positives"]), f"{100 * v['f1']:.0f}", f"{100 * v['auroc']:.1f}"
            ]  # fmt: skip
        rows.append(row)
    return table(head, rows)


def sensitivity() -> str:
    head = [
        "`--sensitivity`", "found, mean of the findings", "the finding found least", "false alarms a finding",
        "abnormal called normal", "normal called normal",
    ]  # fmt: skip
    rows = []
    for wanted, v in load("crossval.json")["at_sensitivity"].items():
        shares = [v[x] for x in ("false_alarms", "abnormal_called_normal", "normal_called_normal")]
        least = f"{v['lowest']['label']} {100 * v['lowest']['sensitivity']:.0f}%"
        cells = [f"{100 * share:.0f}%" for share in shares]
        rows.append([wanted, f"{100 * v['sensitivity']:.0f}%", least, *cells])
    return table(head, rows)


def labels() -> str:
    head = ["label", "definition", "records that fulfil it", "of them labelled", "labelled without it"]
    return table(
        head,
        [
            [
                label,
                v["definition"],
                str(v["fulfil"]),
                str(v["fulfil_and_labelled"]),
                str(v["labelled_without"]),
            ]
            for label, v in load("labels.json").items()
        ],
    )


def ludb_words() -> str:
    counted = load("ludb.json")["words"]
    head = ["finding", "called so by LUDB's cardiologists", "said", "both"]
    rows = [[code, str(n["called"]), str(n["said"]), str(n["both"])] for code, n in counted.items()]
    return table(head, rows)


def pages() -> str:
    found, scans = load("digitize.json"), load("scans.json")
    head = ["what", "clean", "scan", "photo", "goal"]
    infarct = scans["auroc_against_normal"]["MI or PMI"]["MI"]
    against = infarct | {"ci95": {"auroc": infarct["ci95"]}}
    kinds = [found[kind] for kind in PAGE_KINDS]
    rows = [
        [
            f"leads against the record, median SNR (dB), {found['pages_each']} pages each of fold 8",
            *(f"{kind['snr_median_db']:.1f}" for kind in kinds),
            "22 / 19 / 15",
        ],
        [
            "layout and all lead names right",
            *(f"{100 * kind['layout_and_names_right']:.0f}%" for kind in kinds),
            "97% / – / 90%",
        ],
        [
            "strips in time with those of their page, to 12 ms",
            *(f"{100 * kind['in_time']:.0f}%" for kind in kinds),
            "",
        ],
        ["speed and gain right", *(f"{100 * kind['speed_and_gain_right']:.0f}%" for kind in kinds), ""],
        [
            f"{scans['pages']} real scanned pages: heart rate within 5 bpm or 5%",
            "",
            f"{100 * scans['share_right']:.1f}%",
            "",
            "98%",
        ],
        [
            "of them, old or new infarction against Normal: AUROC of the probability of MI",
            "",
            percent(against, "auroc"),
            "",
            "85",
        ],
    ]
    return table(head, rows)


def speed() -> str:
    read = load("read.json")
    rows = [
        [f"reading a page warm, {look} (ms)", f"{timed['read']['wall_ms']:.0f}", f"{timed['goal_ms']:.0f}"]
        for look, timed in read["looks"].items()
    ]
    goals = read["goals"]
    for name, key, part, form in (
        ("`ecgvlm read` from a cold start (s)", "wall_s", "cold", ".1f"),
        ("its peak memory (MB)", "peak_mb", "cold", ".0f"),
        ("many pages in one command, a second", "pages_per_s", "batch", ".1f"),
    ):
        goal = goals["cold_s" if key == "wall_s" else key]
        rows.append([name, format(read[part][key], form), f"{goal:g}"])
    if peer := read.get("smolvlm_256m"):
        name = "beside it, SmolVLM-256M with random weights: the same page, as many tokens (ms)"
        rows.append([name, f"{1000 * peer['wall_s']:.0f}", ""])
    return table(["two cores", "measured", "goal"], rows)


def real_paper() -> str:
    """What has marks made by hand or by eye instead of a signal of ours."""
    seen, ludb = load("pages.json"), load("ludb.json")["clean pages"]
    many, read_back = f"{seen['pages']} pages of many devices", "LUDB, printed and read back"
    rows = [
        [f"{many}: facts transcribed by eye that are read right", seen["all_facts_right"], ""],
        [f"{many}: pages of which all are", seen["pages_all_right"], "95%"],
    ]
    for name, key, goal in (
        ("rate within 3 bpm", "heart_rate_bpm", "98%"),
        ("PR within 20 ms", "pr_ms", "94%"),
        ("QRS within 15 ms", "qrs_ms", "90%"),
        ("QT within 30 ms", "qt_ms", "90%"),
    ):
        rows.append([f"{read_back}: {name} of the hand-made marks", ludb[key]["right"], goal])
    return table(["real paper", "measured", "goal"], [[a, f"{100 * b:.0f}%", c] for a, b, c in rows])


def _shares(said: dict) -> list[str]:
    return [str(said["n"]), *(f"{100 * said[kind]:.1f}%" for kind in ("right", "honest", "unrelated"))]


def questions() -> str:
    found, choices = load("understanding.json"), load("ecgqa.json")
    rows = []
    for name, group, key in (
        ("English", "mornings", "english"),
        ("twelve other languages", "mornings", "spoken"),
        ("several questions in one", "mornings", "several"),
        ("answered in another language than asked", "turns", "answered in another language"),
        ("the last of a conversation", "dawns", "conversations"),
        ("what an ECG cannot tell, English", "mornings", "outside"),
        ("the same, twelve other languages", "mornings", "outside, spoken"),
    ):
        rows.append([name, *_shares(found[group][key])])
    rows.append(["heard on the side of a number that is meant, 13 languages", *_shares(found["numbers"])])
    published = f"PULSE-7B: {100 * choices['published']['PULSE-7B']:.1f}% of ECGBench's own"
    name = f"in ECG-QA's form, exactly the options that hold ({published})"
    rows.append([name, str(choices["n"]), f"{100 * choices['exact']:.1f}%", "", ""])
    return table(["wordings never trained on", "asked", "right", "says it is not sure", "neither"], rows)


def criteria() -> str:
    found = load("criteria.json")["simulated"]
    rows = [
        [
            condition.replace("_", " "),
            ", ".join(result["findings"]),
            f"{100 * result['named']:.0f}%",
            f"{100 * result['false_alarm']:.1f}%",
        ]
        for condition, result in found["conditions"].items()
    ]
    head = [f"{found['each']} hearts each", "named as", "named", "on the other hearts"]
    return table(head, rows)


def hearts() -> str:
    found = load("criteria.json")["independent"]
    pages = found["pages"]
    rows = [
        [
            code,
            *(
                f"{100 * page[code]['named']:.0f}%, {100 * page[code]['false_alarm']:.1f}%"
                for page in pages.values()
            ),
        ]
        for code in next(iter(pages.values()))
    ]
    return table([f"{found['each']} hearts each: named, on the other hearts", *pages], rows)


def photos() -> str:
    found = load("photos.json")
    rows = [
        ["leads against the record, median SNR (dB)", f"{found['snr_median_db']:.1f}", "15"],
        ["the same of the worst page", f"{found['snr_median_db_worst_page']:.1f}", "6"],
    ]
    for name, key, goal in (
        ("heart rate within 5 bpm", "heart_rate_bpm", ""),
        ("PR within 20 ms of what the signal itself measures", "pr_ms", "85%"),
        ("QRS within 15 ms", "qrs_ms", "85%"),
        ("QT within 30 ms", "qt_ms", ""),
    ):
        rows.append([name, f"{100 * found[key]['right']:.0f}%", goal])
    drawn = found["simulated"]
    rows.append([
        f"{drawn['pages']} simulated photographs, median SNR (dB)",
        f"{drawn['snr_median_db']:.1f}",
        "within 1.5 of real ones",
    ])  # fmt: skip
    return table([f"{found['pages']} real phone photographs", "measured", "goal"], rows)


def elsewhere() -> str:
    found = load("elsewhere.json")
    rows = [["our own renderer, clean", f"{100 * found['own_f1']:.1f}", "", "", "", ""]]
    for name, look in found["looks"].items():
        less, low, high = (100 * value for value in look["f1_less_own"])
        rows.append([
            name.replace("_", " "),
            f"{100 * look['f1']:.1f}",
            f"{less:+.1f} [{low:+.1f}, {high:+.1f}]",
            f"{look['snr_median_db']:.1f}",
            f"{100 * look['layout_and_names_right']:.1f}%",
            f"{100 * look['heart_rate_right']:.1f}%",
        ])  # fmt: skip
    return table(["look", "F1", "less own (95%)", "SNR (dB)", "layout and names", "heart rate"], rows)


def reports() -> str:
    """Reports against the cardiologist's, and how well calibrated the probabilities are."""
    every = load("fold8/scores.json")
    said, judged = every["ptb-test-report"]["ecgvlm"], every["code15-test"]["ecgvlm"]
    rows = [
        [name, *(percent(said[kind], key) for kind in (*PAGE_KINDS, "all")), goal]
        for name, key, goal in (
            ("facts that hold by the cardiologist's report, labels or the signal", "facts_held", "90"),
            ("facts of the cardiologist's report that ours states", "facts_recall", "70"),
            ("contradictions of the cardiologist's report, a report", "contradictions", "2"),
            ("facts that the cardiologist's report states too", "facts_precision", ""),
        )
    ]  # fmt: skip
    calibrations = [judged[kind]["pulse"]["calibration"] for kind in (*PAGE_KINDS, "all")]
    for name, key, goal in (
        ("calibration error (ECE, 15 bins) of NORM, ABNORMAL and the six", "ece", "3"),
        ("- what the best calibrated model would show on so few pages", "ece_by_chance", ""),
    ):
        rows.append([name, *(f"{100 * c[key]:.1f}" for c in calibrations), goal])
    return table(["fold 8, x 100", *PAGE_KINDS, "all", "goal"], rows)


def stages() -> str:
    read = load("read.json")
    rows = [
        [
            ("– " if name.startswith(" ") else "") + name.strip(),
            f"{times['cpu_ms']:.1f}",
            f"{times['floor_ms']:.2f}" if "floor_ms" in times else "",
            times.get("floor", ""),
        ]
        for name, times in read["stages"].items()
    ]
    return table(["stage", "CPU (ms)", "floor (ms)", "the floor is"], rows)


FIGURES: dict[str, Callable[[], str]] = {
    "elsewhere": elsewhere,
    "reports": reports,
    "stages": stages,
    "pages": pages,
    "photos": photos,
    "questions": questions,
    "real_paper": real_paper,
    "speed": speed,
    "criteria": criteria,
    "hearts": hearts,
    "crossval": crossval,
    "ptb_test_out_of_fold": partial(out_of_fold, "ptb-test"),
    "code15_out_of_fold": partial(out_of_fold, "code15-test"),
    "scratch": scratch,
    "labels": labels,
    "ludb_words": ludb_words,
    "sensitivity": sensitivity,
    "subgroups": subgroups,
    "trust": trust,
    "headline": headline,
    "classes": classes,
    "superclasses": superclasses,
}
FILES = (
    ROOT / "README.md",
    *(ROOT / "docs" / name for name in ("criteria.md", "model_card.md", "training.md")),
)
_PLACE = re.compile(r"(<!-- figures:(\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    return _PLACE.sub(lambda m: f"{m[1]}{FIGURES[m[2]]()}\n{m[3]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    stale = []
    for path in FILES:
        text = path.read_text("utf-8")
        if (new := filled(text)) != text:
            stale.append(path.name)
            if not args.check:
                path.write_text(new, "utf-8")
    if args.check and stale:
        sys.exit(
            f"{', '.join(stale)}: not the figures of benchmarks/results; run python benchmarks/tables.py"
        )


if __name__ == "__main__":
    main()
