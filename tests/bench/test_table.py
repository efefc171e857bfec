"""Tasks, building from records, the hub's rows, table and page; the commands from end to end."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ecgvlm.bench.build import build_task
from ecgvlm.bench.cli import app
from ecgvlm.bench.gold import load_gold
from ecgvlm.bench.report import report_page
from ecgvlm.bench.table import find_runs, leaderboard, load_run, published_rows, to_csv, to_html, to_markdown
from ecgvlm.bench.task import load_task, task_names
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.datasets import find_records
from ecgvlm.instruct.splits import chosen_records

ROWS = {
    "code15-test": 1400, "ptb-test": 2082, "cpsc-test": 2061, "csn-test-no-cot": 1611,
    "g12-test-no-cot": 2026,
    "mmmu-ecg": 200, "ecgqa-test": 1317, "ptb-test-report": 500, "arena": 50,
}  # fmt: skip


def test_all_nine_tasks():
    assert {name: load_task(name).rows for name in task_names()} == ROWS
    assert load_task("code15") == load_task("code15-test")
    assert load_task("csn").options == "ABCDEFGH"
    assert load_task("report").axes == ("diagnosis", "waveform", "rhythm")


def test_a_task_is_added_by_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name="mine"\nversion="1"\nkind="labels"\nrows=1\nmetrics=["f1"]\nlabels=["AF"]\ngold_labels=["AF"]\n'
    )
    assert load_task(str(path)).labels == ("AF",)
    path.write_text('name="mine"\nversion="1"\nkind="riddle"\nrows=1\nmetrics=[]\n')
    load_task.cache_clear()
    with pytest.raises(UsageError, match="riddle"):
        load_task(str(path))
    with pytest.raises(UsageError, match="no task"):
        load_task("nothing")


def test_published_rows_are_complete():
    rows = published_rows(list(ROWS))
    pulse = {r.task: r for r in rows if r.system == "PULSE-7B"}
    assert pulse["code15-test"].figures["f1"][0] == 85.4
    assert set(pulse) == set(ROWS) - {"arena"}
    assert all(r.source.startswith("published") for r in rows)


def write_records(folder):
    """Three WFDB records with the diagnoses of CinC headers."""
    import wfdb

    folder.mkdir()
    leads = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    t = np.arange(1000) / 100
    for k, code in enumerate(["164889003", "426783006", "59118001,426177001"]):
        beat = np.exp(-(((t % 0.8) - 0.4) ** 2) / 0.0005)
        signal = np.outer(beat, np.linspace(0.5, 1.5, 12))
        wfdb.wrsamp(
            f"E{k}", fs=100, units=["mV"] * 12, sig_name=leads, p_signal=signal, fmt=["16"] * 12,
            write_dir=str(folder), comments=[f"Dx: {code}"],
        )  # fmt: skip


def test_build_run_table_and_report(tmp_path):
    write_records(tmp_path / "records")
    run = CliRunner()
    built = run.invoke(app, [
        "build", "--task", "code15", "--records", str(tmp_path / "records"), "-o", str(tmp_path / "set"),
        "--pages", "clean,scan,kit", "--licence", "CC BY 4.0",
    ])  # fmt: skip
    assert built.exit_code == 0, built.output
    gold = tmp_path / "set" / "code15-test.json"
    items = load_gold(gold)
    assert [i.gold for i in items][::3] == [
        "AF(atrial fibrillation)",
        "NORM",
        "RBBB(right bundle branch block); SB(sinus bradycardia)",
    ]
    assert {i.metadata["page"] for i in items} == {"clean", "scan", "kit"}
    (first,) = items[0].image_files()
    build_task(load_task("code15"), find_records(tmp_path / "records"), tmp_path / "again", ["clean"])
    assert (tmp_path / "again" / "images" / "E0-clean.png").read_bytes() == first, (
        "pages depend on seed and id only"
    )

    for model in ("empty", "norm", "random"):
        out = str(tmp_path / "runs" / model)
        done = run.invoke(
            app,
            [
                "run",
                "--task",
                "code15",
                "--backend",
                "trivial",
                "--model",
                model,
                "--gold",
                str(gold),
                "--out",
                out,
            ],
        )
        assert done.exit_code == 0, done.output
        assert "9 rows" in done.output
    table = run.invoke(
        app, ["table", str(tmp_path / "runs"), "-o", str(tmp_path / "out"), "--bootstrap", "50"]
    )
    assert table.exit_code == 0, table.output
    for text in ("PULSE-7B", "published", "trivial: norm", "measured"):
        assert text in table.output
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"table.md", "table.csv", "table.html"}

    report = run.invoke(app, ["report", str(tmp_path / "runs" / "norm"), "--bootstrap", "50"])
    assert report.exit_code == 0, report.output
    page = (tmp_path / "runs" / "norm" / "report.html").read_text()
    assert "data:image/jpeg" in page
    assert "By page" in page
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(|@import|<script""", page), "nothing from outside"


def fake_run(folder, scores):
    """A run's folder with answers made up: right on every row but each seventh."""
    folder.mkdir(parents=True)
    labels = ["AF", "NORM", "SB", "ST"]
    rows, answers = [], []
    for i in range(60):
        gold = labels[i % 4]
        turns = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": gold}]
        rows.append(
            {"id": str(i), "patient": str(i // 2), "age": 30 + i, "sex": "FM"[i % 2], "conversations": turns}
        )
        said = gold if i % 7 else "nothing"
        p = {c: 0.8 if c == said else 0.1 + i / 1000 for c in labels}
        answers.append({"id": str(i), "text": said} | ({"scores": p} if scores else {}))
    run = {
        "task": "code15-test",
        "task_version": "1.0",
        "backend": "fake",
        "model": "fake <1>",
        "parameters": {},
        "control": "none",
    }
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "gold.json").write_text(json.dumps(rows))
    (folder / "predictions.jsonl").write_text("\n".join(map(json.dumps, answers)))
    return folder


def test_the_worst_pages_are_shown_with_all_their_pictures(tmp_path):
    folder = fake_run(tmp_path / "a", True)
    for name in ("x.png", "y.png"):
        Image.new("L", (80, 60), 200).save(folder / name)
    rows = json.loads((folder / "gold.json").read_text())
    rows[0] |= {"image": ["x.png", "y.png"], "licence": "CC0"}
    rows[7] |= {"image": ["lost.png"], "licence": "CC0"}
    (folder / "gold.json").write_text(json.dumps(rows))
    page = report_page(load_run(folder), replicates=2)
    assert page.count('<img alt="page"') == 2
    assert page.count("the page is not here") == 1


def test_page_with_probabilities(tmp_path):
    page = report_page(load_run(fake_run(tmp_path / "a", True)), replicates=50)
    for part in (
        "ROC",
        "Calibration",
        "ECE",
        "By age",
        "80 and over",
        "By sex",
        "Confusion",
        "fake &lt;1&gt;",
    ):
        assert part in page
    assert "not shown" in page, "a page without a licence is not shown"
    assert "<svg" in page


def test_table_marks_significance_and_escapes(tmp_path):
    fake_run(tmp_path / "a", False)
    fake_run(tmp_path / "b", False)
    lines = (tmp_path / "b" / "predictions.jsonl").read_text().splitlines()
    worse = [json.loads(line) for line in lines]
    for row in worse[::2]:
        row["text"] = ""
    (tmp_path / "b" / "predictions.jsonl").write_text("\n".join(map(json.dumps, worse)))
    (tmp_path / "b" / "run.json").write_text(
        (tmp_path / "b" / "run.json").read_text().replace("fake <1>", "fake <2>")
    )
    rows = leaderboard(find_runs([tmp_path]), replicates=200)
    measured = [r for r in rows if r.source == "measured"]
    assert measured[0].better_than == ("fake <2>",)
    assert measured[1].better_than == ()
    assert "fake &lt;1&gt;" in to_html(rows)
    assert "| fake <1> | measured |" in to_markdown(rows)
    assert to_csv(rows).count("\n") == len(rows) + 1
    with pytest.raises(EcgError, match="no run"):
        find_runs([tmp_path / "a" / "nowhere"])


def test_runs_on_some_rows_are_marked(tmp_path):
    folder = fake_run(tmp_path / "a", False)
    assert "first" not in load_run(folder).system
    asked = json.loads((folder / "run.json").read_text()) | {"rows": 60, "of": 1400}
    (folder / "run.json").write_text(json.dumps(asked))
    rows = leaderboard(find_runs([tmp_path]), replicates=20)
    for text in (
        to_markdown(rows),
        to_csv(rows),
        to_html(rows),
        report_page(load_run(folder), replicates=20),
    ):
        assert "[first 60 of 1400 rows]" in text


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "[" * 100_000, '{"task": "code15", "model": "m"}'])
def test_a_damaged_run_is_named(tmp_path, text):
    folder = fake_run(tmp_path / "a", False)
    (folder / "run.json").write_text(text)
    with pytest.raises(EcgError, match=r"run\.json: "):
        load_run(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ci95": {"facts_f1": 0.5}, "facts_f1": 0.5}'])
def test_damaged_judgements_are_named(tmp_path, text):
    folder = fake_run(tmp_path / "a", False)
    run = json.loads((folder / "run.json").read_text()) | {"task": "ptb-test-report"}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "facts.json").write_text(text)
    with pytest.raises(EcgError, match=r"facts\.json: "):
        leaderboard(find_runs([tmp_path]), replicates=2)


def test_a_run_without_answers_is_named(tmp_path):
    folder = fake_run(tmp_path / "a", False)
    (folder / "predictions.jsonl").write_text('{"id": "0", "error": "no"}\n')
    with pytest.raises(EcgError, match=f"{folder}: there is no answer"):
        leaderboard(find_runs([tmp_path]), replicates=2)


def test_a_judgement_without_intervals_is_a_figure(tmp_path):
    folder = fake_run(tmp_path / "a", False)
    run = json.loads((folder / "run.json").read_text()) | {"task": "ptb-test-report"}
    (folder / "run.json").write_text(json.dumps(run))
    judged = CliRunner().invoke(app, ["judge", str(folder), "--bootstrap", "0"])
    assert judged.exit_code == 0, judged.exception
    [line] = [x for x in leaderboard([load_run(folder)], replicates=0) if x.source == "measured"]
    assert line.figures["facts_f1"][0] == pytest.approx(100 * json.loads(judged.output)["facts_f1"])
    assert "nan" not in to_markdown([line]) + to_csv([line])


def test_odd_facts_about_a_page_are_no_subgroup(tmp_path):
    folder = fake_run(tmp_path / "a", False)
    gold = json.loads((folder / "gold.json").read_text())
    gold[0] |= {"age": "old", "sex": ["F"], "layout": 3}
    (folder / "gold.json").write_text(json.dumps(gold))
    assert "By sex" in report_page(load_run(folder), replicates=2)


def test_limited_runs_say_so(tmp_path):
    gold = tmp_path / "gold.json"
    gold.write_text((fake_run(tmp_path / "a", False) / "gold.json").read_text())
    command = [
        "run",
        "--task",
        "code15",
        "--backend",
        "trivial",
        "--gold",
        str(gold),
        "--out",
        str(tmp_path / "run"),
    ]
    assert CliRunner().invoke(app, [*command, "--limit", "7"]).exit_code == 0
    assert load_run(tmp_path / "run").system == "trivial: empty [first 7 of 60 rows]"
    assert CliRunner().invoke(app, command).exit_code == 0, "the rest may be asked later"
    assert load_run(tmp_path / "run").system == "trivial: empty"


@pytest.mark.skipif(not Path("/usr/bin/chromium").exists(), reason="needs Chromium")
def test_tables_and_reports_fit_a_phone(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    folder = fake_run(tmp_path / "a", True)
    pages = [
        to_html(leaderboard(find_runs([tmp_path]), replicates=20)),
        report_page(load_run(folder), replicates=20),
    ]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 700})
        for text in pages:
            page.set_content(text)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
        browser.close()


def test_hub_rows(tmp_path, monkeypatch):
    """A folder laid out like the hub's data set, read by `datasets` itself."""
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    picture = tmp_path / "page.png"
    Image.new("RGB", (30, 20), "white").save(picture)
    turns = datasets.List(
        {"from": datasets.Value("string"), "value": datasets.List(datasets.Value("string"))}
    )
    features = datasets.Features({
        "id": datasets.Value("string"), "image_path": datasets.Value("string"), "image": datasets.Image(),
        "conversations": turns,
    })  # fmt: skip
    conversation = [
        {"from": "human", "value": list("<image>\nRhythm? Options: AF, SR")},
        {"from": "gpt", "value": list("AF")},
    ]
    row = {
        "id": "q1",
        "image_path": "x/page.png",
        "image": {"path": "page.png", "bytes": picture.read_bytes()},
        "conversations": conversation,
    }
    repo = tmp_path / "repo"
    (repo / "ecgqa-test").mkdir(parents=True)
    datasets.Dataset.from_list([row], features=features).to_parquet(
        repo / "ecgqa-test" / "test-00000-of-00001.parquet"
    )
    (repo / "README.md").write_text(
        "---\nconfigs:\n- config_name: ecgqa-test\n  data_files:\n"
        "  - split: test\n    path: ecgqa-test/test-*\n---\n"
    )
    parquet = repo / "ecgqa-test" / "test-00000-of-00001.parquet"
    for gold in (repo, parquet.parent, parquet):
        [item] = load_gold(gold, task="ecgqa-test")
        assert (item.question, item.gold) == ("Rhythm? Options: AF, SR", "AF")
        assert item.image_files() == (picture.read_bytes(),)


def test_records_that_are_none(tmp_path):
    with pytest.raises(EcgError, match="neither"):
        list(find_records(tmp_path))
    with pytest.raises(UsageError, match="cannot be made"):
        build_task(load_task("mmmu-ecg"), [], tmp_path / "out")
    with pytest.raises(UsageError, match="not by both"):
        chosen_records(tmp_path, [7], tmp_path / "splits.csv")
    refused = ["build", "--task", "code15", "--records", str(tmp_path), "-o", str(tmp_path / "out")]
    said = CliRunner().invoke(app, [*refused, "--folds", "seven"])
    assert "folds must be numbers" in str(said.exception)


@pytest.mark.real_data
def test_ptbxl_gold(shared_data, tmp_path):
    entries = find_records(shared_data / "ptbxl", [7])
    n = build_task(load_task("ptb-test"), entries, tmp_path, ["clean"], limit=3)
    items = load_gold(tmp_path / "ptb-test.json")
    assert n == len(items) == 3
    assert all(i.patient and i.image_files() for i in items)
