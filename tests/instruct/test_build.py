"""Data sets from small folders of records: the same for a seed, whole or not there, as others read them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import wfdb
from typer.testing import CliRunner

from ecgvlm.cli import app
from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.page_form import fit
from ecgvlm.instruct.build import Plan, build
from ecgvlm.instruct.records import ROW_KINDS
from ecgvlm.instruct.rows import load_rows
from ecgvlm.record import LEADS
from ecgvlm.simulate import random_simulation, simulate

SMALL = Plan(pages=("clean",), count=4, width=640)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    """Three records of Georgia's collection (CinC 2021), one of them without a signal file."""
    folder = tmp_path_factory.mktemp("cinc")
    made = [("normal", "426783006"), ("af", "164889003"), ("rbbb", "59118001,426783006")]
    for i, (condition, codes) in enumerate(made):
        signal = simulate(random_simulation(np.random.default_rng(i), condition), i, fs=250)[0].signal
        wfdb.wrsamp(
            f"E0000{i}", fs=250, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal.T.astype(float),
            fmt=["16"] * 12, write_dir=str(folder), comments=[f"Age: {60 + i}", "Sex: Male", f"Dx: {codes}"],
        )  # fmt: skip
    return folder


@pytest.fixture
def damaged(records, tmp_path) -> Path:
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in records.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "E00001.dat").unlink()
    return folder


def test_json_in_ecginstructs_form(records, tmp_path):
    summary = build(records, tmp_path / "set", SMALL)
    rows = json.loads((tmp_path / "set/instruct.json").read_text())
    assert summary.rows == len(rows) == 12
    assert summary.pictures == 3
    assert sum(summary.kinds.values()) == 12
    assert not (tmp_path / ".set.part").exists()
    assert len({row["id"] for row in rows}) == 12
    for row in rows:
        assert set(row) == {"id", "image", "conversations", "metadata", "source"}
        assert (tmp_path / "set" / row["image"]).is_file()
        human, gpt = row["conversations"]
        assert human["from"] == "human"
        assert human["value"].startswith("<image>\n")
        assert gpt["from"] == "gpt"
        assert gpt["value"]
        assert row["metadata"]["subtask"], row["metadata"]["type"] == ROW_KINDS[row["metadata"]["kind"]][:2]
        assert row["metadata"]["page"] == "clean"
        assert row["metadata"]["patient"].startswith("E0000")
    held = {row["id"][:6]: set(row["metadata"]["labels"]) for row in rows}
    assert held["E00000"] >= {"NORM", "SR"}
    assert held["E00001"] == {"AF"}
    assert held["E00002"] >= {"RBBB", "CD", "SR"}
    assert [row.id for row in load_rows(tmp_path / "set")] == [row["id"] for row in rows]


def test_same_seed_same_data_set_on_any_number_of_processes(records, tmp_path):
    plan = Plan(pages=("clean", "scan"), count=3, width=640, seed=7)
    build(records, tmp_path / "one", plan)
    build(records, tmp_path / "two", plan, workers=2)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 7
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    build(records, tmp_path / "limited", plan, limit=1)
    (kept,) = {row.metadata["patient"] for row in load_rows(tmp_path / "limited")}
    part = [row.turns for row in load_rows(tmp_path / "one") if row.metadata["patient"] == kept]
    assert part == [row.turns for row in load_rows(tmp_path / "limited")]
    build(records, tmp_path / "other", Plan(pages=("clean", "scan"), count=3, width=640, seed=8))
    assert (tmp_path / "other/instruct.json").read_text() != (tmp_path / "one/instruct.json").read_text()


def test_parquet_with_pictures_inside(records, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("ecgvlm.instruct.build._SHARD", 1)
    build(records, tmp_path / "set", SMALL, form="parquet")
    build(records, tmp_path / "same", SMALL)
    shards = sorted(p.name for p in (tmp_path / "set/data").iterdir())
    assert shards == [f"train-{i:05d}-of-00003.parquet" for i in range(3)]
    inside, beside = list(load_rows(tmp_path / "set")), list(load_rows(tmp_path / "same"))
    assert [(row.id, row.turns, row.metadata) for row in inside] == [
        (r.id, r.turns, r.metadata) for r in beside
    ]
    assert inside[0].image == beside[0].image.read_bytes()
    table = datasets.load_dataset("parquet", data_files=str(tmp_path / "set/data/*.parquet"), split="train")
    assert table[0]["image"].size[0] == 640  # typed as pictures


def test_wide_pages_fit_smolvlms_tiles(records, tmp_path):
    plan = Plan(pages=("clean", "photo"), count=1, width=1024, wide=True)
    build(records, tmp_path / "set", plan, limit=2)
    images = sorted((tmp_path / "set/images").iterdir())
    assert len(images) == 4
    assert {cv2.imread(str(image)).shape for image in images} == {(512, 1024, 3)}


def test_fit_keeps_the_aspect_ratio():
    image = np.full((300, 300, 3), 200, np.uint8)
    image[100:200, 100:200] = 0
    fitted = fit(image, 400)
    assert fitted.shape == (200, 400, 3)
    dark = np.argwhere(fitted[..., 0] < 100)
    height, width = np.ptp(dark, axis=0) + 1
    assert abs(height - width) <= 2
    assert (fitted[:, :90] == 200).all()


def test_damaged_records(damaged, tmp_path):
    with pytest.raises(EcgError, match="E00001"):
        build(damaged, tmp_path / "set", SMALL)
    assert not (tmp_path / "set").exists()
    assert not (tmp_path / ".set.part").exists()
    summary = build(damaged, tmp_path / "set", SMALL, skip_damaged=True)
    assert summary.pictures == 2
    assert len(summary.damaged) == 1
    assert "E00001" in summary.damaged[0]


def test_nothing_but_damage_says_so(tmp_path):
    (tmp_path / "mine.csv").write_text("file,labels\nabsent,AF\n")
    with pytest.raises(EcgError, match=r"1 of 1 records are damaged .*absent"):
        build(tmp_path / "mine.csv", tmp_path / "set", SMALL, skip_damaged=True)


def test_pictures_of_ones_own(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((50, 80, 3), 255, np.uint8))
    (tmp_path / "pages.csv").write_text(
        "file,labels,unknown,patient,age\na.png,AF;LVH,PVC,p7,²\nb.png,AF,,,\n"
    )
    with pytest.raises(EcgError, match=r"b\.png"):
        build(tmp_path / "pages.csv", tmp_path / "set", SMALL)
    summary = build(tmp_path / "pages.csv", tmp_path / "set", SMALL, skip_damaged=True)
    rows = list(load_rows(tmp_path / "set"))
    assert summary.rows == len(rows) == 4
    assert rows[0].image.read_bytes() == (tmp_path / "a.png").read_bytes()
    assert rows[0].metadata["patient"] == "p7"
    assert not {row.metadata["kind"] for row in rows} & {"report", "measurement", "lead"}


def test_messages_for_chat_trainers(records, tmp_path):
    build(records, tmp_path / "set", SMALL, form="messages", limit=1)
    lines = [json.loads(line) for line in (tmp_path / "set/instruct.jsonl").read_text().splitlines()]
    assert {tuple(line) for line in lines} == {("messages", "images")}
    first = lines[0]
    assert [message["role"] for message in first["messages"]] == ["user", "assistant"]
    assert [part["type"] for part in first["messages"][0]["content"]] == ["image", "text"]
    assert (tmp_path / "set" / first["images"][0]).is_file()


def test_refusals(records, tmp_path):
    for options, message in (
        ({"plan": Plan(width=640), "form": "xml"}, "no format 'xml'"),
        ({"plan": SMALL, "folds": None}, "exists already"),
    ):
        (tmp_path / "there").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match=message):
            build(records, tmp_path / "there", **options)
    with pytest.raises(UsageError, match="no kind 'riddle'"):
        Plan(kinds=("riddle",))
    with pytest.raises(UsageError, match="no page 'fax'"):
        Plan(pages=("fax",))
    with pytest.raises(UsageError, match="2x6"):
        Plan(layout="2x6")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "x.csv").write_text("file,labels\n")
    with pytest.raises(EcgError, match="no record has labels"):
        build(empty / "x.csv", tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_commands(damaged, tmp_path):
    run = CliRunner()
    options = ["--pages", "clean", "--questions", "3", "--width", "640", "--workers", "1"]
    failed = run.invoke(app, ["instruct", "build", str(damaged), "-o", str(tmp_path / "set"), *options])
    assert isinstance(failed.exception, EcgError)
    built = run.invoke(
        app, ["instruct", "build", str(damaged), "-o", str(tmp_path / "set"), *options, "--skip-damaged"]
    )
    assert built.exit_code == 0, built.output
    assert "6 rows about 2 pictures" in built.output
    assert "1 records damaged or missing, skipped" in built.output
    rows = list(load_rows(tmp_path / "set"))
    shown = run.invoke(app, ["instruct", "show", str(tmp_path / "set"), "-n", "2", "--skip", "1"])
    assert shown.exit_code == 0, shown.output
    assert rows[0].id not in shown.output
    assert rows[1].id in shown.output
    assert rows[2].id in shown.output
    kind = rows[4].metadata["kind"]
    one = run.invoke(app, ["instruct", "show", str(tmp_path / "set"), "--kind", kind, "-n", "9"])
    assert f"kind: {kind}" in one.output
    assert one.output.count("kind: ") == sum(row.metadata["kind"] == kind for row in rows)
    assert (
        "no rows of kind riddle"
        in run.invoke(app, ["instruct", "show", str(tmp_path / "set"), "--kind", "riddle"]).output
    )


@pytest.mark.real_data
def test_real_records(shared_data, tmp_path):
    summary = build(shared_data / "ptbxl", tmp_path / "set", SMALL, folds=[7], limit=3)
    assert summary.pictures + len(summary.contradictory) == 3
    assert not summary.damaged
