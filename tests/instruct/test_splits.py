"""Parts of a collection share no patient, whatever the collection, and say so where they cannot be made."""

import csv
import json

import cv2
import h5py
import numpy as np
import pytest
import wfdb
from leads import write_csv
from typer.testing import CliRunner

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.datasets import find_records, patient_of
from ecgvlm.instruct.build import Plan, build
from ecgvlm.instruct.cli import app
from ecgvlm.instruct.rows import load_rows
from ecgvlm.instruct.splits import Parts, is_rows, person_of, records_of, split_records, split_rows
from ecgvlm.labels import CODE15
from ecgvlm.record import LEADS
from ecgvlm.simulate import random_simulation, simulate

COLUMNS = ["exam_id", "age", "is_male", *CODE15, "patient_id", "normal_ecg", "trace_file"]
HALVES = Parts.parse("train=0.5,valid=0.25,test=0.25")


def write_code15(folder, exams=60, patients=20):
    """CODE-15%: one HDF5 part with flat tracings, three exams of each patient."""
    folder.mkdir()
    with (folder / "exams.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for k in range(exams):
            labels = ["False"] * 6
            table.writerow([k, 50, "True", *labels, 900 + k % patients, "True", "exams_part0.hdf5"])
    with h5py.File(folder / "exams_part0.hdf5", "w") as file:
        file["exam_id"] = np.arange(exams)
        file["tracings"] = np.zeros((exams, 64, 12), np.float32)
    return folder


def test_parts_of_code15_share_no_patient(tmp_path):
    records = write_code15(tmp_path / "code15")
    with pytest.raises(UsageError, match="only PTB-XL has folds"):
        find_records(records, (1, 2, 3))
    counts = split_records(records, tmp_path / "splits.csv", HALVES)
    assert sum(counts.values()) == 60
    parts = {name: records_of(records, tmp_path / "splits.csv", name) for name in HALVES.shares}
    patients = [{entry.patient for entry in entries} for entries in parts.values()]
    assert all(patients)
    assert sum(map(len, patients)) == len(set().union(*patients)) == 20
    assert sum(map(len, parts.values())) == 60
    with pytest.raises(UsageError, match="no part 'night'"):
        records_of(records, tmp_path / "splits.csv", "night")
    lines = (tmp_path / "splits.csv").read_text().splitlines()
    (tmp_path / "short.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(EcgError, match="in no part"):
        records_of(records, tmp_path / "short.csv", "train")


def test_a_patients_part_is_drawn_by_hash():
    many = [HALVES.of(str(k)) for k in range(4000)]
    assert many == [HALVES.of(str(k)) for k in range(4000)]
    assert many.count("train") == pytest.approx(2000, abs=150)
    assert many.count("test") == pytest.approx(1000, abs=120)
    assert many != [Parts(HALVES.shares, seed=1).of(str(k)) for k in range(4000)]
    for wrong in ("train", "train=0.5,valid=0.6", "train=1.2,valid=-0.2"):
        with pytest.raises(UsageError):
            Parts.parse(wrong)


def test_rows_are_split_by_patient(tmp_path):
    (tmp_path / "p.png").write_bytes(b"\x89PNG")
    turns = [{"from": "human", "value": "<image>\nQ"}, {"from": "gpt", "value": "A"}]
    rows = []
    for k in range(120):
        path = tmp_path / "mimic/files/p1000" / f"p{10_000_000 + k % 30}" / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((4, 4), np.uint8))
        rows.append({"id": str(k), "image": str(path.relative_to(tmp_path)), "conversations": turns})
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    counts = split_rows(tmp_path / "rows.json", tmp_path / "parts", HALVES)
    assert sum(counts.values()) == 120
    written = {name: load_rows(tmp_path / "parts" / f"{name}.json") for name in HALVES.shares}
    people = {name: {person_of(row, tmp_path) for row in rows} for name, rows in written.items()}
    assert sum(map(len, people.values())) == len(set().union(*people.values())) == 30


def picture_table(folder, columns, lines):
    """A table of pictures of one's own, a white page a line."""
    folder.mkdir(parents=True)
    for line in lines:
        cv2.imwrite(str(folder / line[0]), np.zeros((4, 4), np.uint8))
    table = folder / "pages.csv"
    table.write_text("\n".join(map(",".join, [columns, *lines])) + "\n")
    return table


def people(folder):
    """The patients of each part's rows."""
    return [{row.metadata["patient"] for row in load_rows(folder / f"{part}.json")} for part in HALVES.shares]


@pytest.mark.parametrize(
    "column", ["patient", "patient_id", "subject_id", "Patient_ID", "PatientID", "Subject no."]
)
def test_pictures_of_ones_own_are_split_by_patient(tmp_path, column):
    """Their table was refused, and a column of another name was passed over: a page a patient."""
    lines = [[f"{k}.png", "Rhythm?", "Sinus rhythm", f" P{k // 3}"] for k in range(90)]
    table = picture_table(tmp_path / "pages", ["file", "question", "answer", column], lines)
    assert is_rows(table)
    assert is_rows(table.parent)
    split_rows(table, tmp_path / "parts", HALVES)
    named = people(tmp_path / "parts")
    assert sum(map(len, named)) == len(set().union(*named)) == 30
    lines = [[f"{k}.png", "AF", f"P{k // 3}"] for k in range(90)]
    labelled = picture_table(tmp_path / "labelled", ["file", "labels", column], lines)
    build(labelled, tmp_path / "built", Plan(count=1), parts=HALVES)
    assert people(tmp_path / "built") == named


def test_where_pictures_lie_moves_nobody(tmp_path, monkeypatch):
    """A record printed twice is one person, and the folder's own place says nothing of anybody."""
    lines = [[f"{k:05d}_{size}-0.png", "Q?", "A"] for k in range(60) for size in ("lr", "hr")]
    lines += [[f"page{k}.png", "Q?", "A"] for k in range(60)]
    table = picture_table(tmp_path / "here", ["file", "question", "answer"], lines)
    monkeypatch.chdir(tmp_path)
    split_rows(table, tmp_path / "absolute", HALVES)
    split_rows("here/pages.csv", tmp_path / "relative", HALVES)
    written = [(tmp_path / kind / "train.json").read_bytes() for kind in ("absolute", "relative")]
    assert written[0] == written[1]
    parts = [load_rows(tmp_path / f"absolute/{name}.json") for name in HALVES.shares]
    records = [{row.id[:5] for row in rows if row.id.endswith("-0.png")} for rows in parts]
    assert sum(map(len, records)) == len(set().union(*records)) == 60


def test_rows_with_their_pictures_inside_are_split(tmp_path):
    """They were refused. The path beside a picture tells the patient; pictures of one content are one."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    turns = [{"from": "human", "value": "<image>\nQ"}, {"from": "gpt", "value": "A"}]
    rows = []
    for k in range(120):
        picture = cv2.imencode(".png", np.full((4, 4), k % 60, np.uint8))[1].tobytes()
        path = f"p1000/p{10_000_000 + k % 30}/{k}.png"
        rows.append({"id": str(k), "image": {"bytes": picture, "path": path}, "conversations": turns})
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    counts = split_rows(tmp_path / "rows.parquet", tmp_path / "parts", HALVES)
    assert sum(counts.values()) == 120
    parts = [list(load_rows(tmp_path / f"parts/{name}.json")) for name in HALVES.shares]
    patients = people(tmp_path / "parts")
    assert sum(map(len, patients)) == len(set().union(*patients)) == 30
    assert len(list((tmp_path / "parts/images").iterdir())) == 60
    inside = {row["id"]: row["image"]["bytes"] for row in rows}
    assert all(row.image_files() == (inside[row.id],) for part in parts for row in part)


def test_a_part_that_is_empty_is_told(tmp_path):
    """The table was written without it, and training then knew no such part."""
    records = write_code15(tmp_path / "code15", exams=4, patients=1)
    done = CliRunner().invoke(app, ["split", str(records), "-o", str(tmp_path / "splits.csv")])
    assert done.exit_code == 0
    assert done.stderr.count("is empty; give it a larger share, or another --seed") == 2


def test_records_of_one_name_in_several_folders_are_several(tmp_path):
    """The second picture took the first one's place, and patients' folders were passed over."""
    record = simulate(random_simulation(np.random.default_rng(0), "normal"), 0)[0]
    for k in range(12):
        folder = tmp_path / f"ptb/patient{k // 2:03d}/visit{k % 2}"
        folder.mkdir(parents=True)
        wfdb.wrsamp(
            "ecg", record.fs, ["mV"] * 12, list(LEADS), record.signal.T.astype(float), fmt=["16"] * 12,
            comments=["Dx: 426783006"], write_dir=str(folder),
        )  # fmt: skip
    entries = find_records(tmp_path / "ptb")
    assert len({entry.key for entry in entries}) == 12
    assert len({entry.patient for entry in entries}) == 6
    summary = build(tmp_path / "ptb", tmp_path / "out", Plan(count=1, pages=("clean",), width=640))
    assert summary.pictures == len(list((tmp_path / "out/images").iterdir())) == 12


def test_what_is_built_of_patients_folders_is_split_by_patient(tmp_path):
    """Only `instruct split` looked at the folders; what was built shared its patients, and so did tables."""
    record = simulate(random_simulation(np.random.default_rng(0), "normal"), 0)[0]
    lines = ["file,labels"]
    for k in range(24):
        folder = tmp_path / f"records/sub-{k // 3:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        wfdb.wrsamp(
            f"r{k}", record.fs, ["mV"] * 12, list(LEADS), record.signal.T.astype(float), fmt=["16"] * 12,
            comments=["Dx: 426783006"], write_dir=str(folder),
        )  # fmt: skip
        lines.append(f"records/sub-{k // 3:02d}/r{k},NORM")
    (tmp_path / "table.csv").write_text("\n".join(lines))
    for source in ("records", "table.csv"):
        out = tmp_path / f"{source}-built"
        build(tmp_path / source, out, Plan(count=1, pages=("clean",), width=640), parts=HALVES)
        named = people(out)
        assert sum(map(len, named)) == len(set().union(*named)) == 8


def test_missing_and_decimal_numbers_of_patients():
    """pandas writes a column of whole numbers with gaps as 17.0 and nan: all the gaps were one patient."""
    told = [
        patient_of({"Patient_ID": cell}) for cell in (17, 17.0, "17.0", float("nan"), "nan", None, " P1.0 ")
    ]
    assert told == ["17", "17", "17", "", "", "", "P1.0"]
    assert patient_of({"subject": "Medicine", "id": "3"}) == ""  # of MMMU's rows a branch of medicine


def test_commands(tmp_path):
    record = simulate(random_simulation(np.random.default_rng(0), "normal"), 0)[0]
    for k in range(10):
        write_csv(tmp_path / f"{k}.csv", record)
    lines = ["file,labels,patient", *(f"{k}.csv,NORM;SR,{k // 2}" for k in range(10)), ""]
    (tmp_path / "records.csv").write_text("\n".join(lines))
    run, out = CliRunner(), tmp_path / "data"
    built = run.invoke(app, [
        "build", str(tmp_path / "records.csv"), "-o", str(out), "--pages", "clean", "--questions", "1",
        "--workers", "1", "--width", "640", "--parts", "train=0.5,valid=0.5",
    ])  # fmt: skip
    assert built.exit_code == 0, built.output
    train, valid = (
        {row.metadata["patient"] for row in load_rows(out / f"{part}.json")} for part in ("train", "valid")
    )
    assert not train & valid
    assert train | valid == {str(k) for k in range(5)}
    done = run.invoke(app, ["split", str(tmp_path / "records.csv"), "-o", str(tmp_path / "splits.csv")])
    assert done.exit_code == 0, done.output
    assert "train" in done.output


@pytest.mark.parametrize(
    "text", ["a=0.5", "a=nan,b=1", "a=-1,b=2", "../a=0.5,b=0.5", "=0.5,b=0.5", "a", "a/b=1"]
)
def test_parts_that_do_not_fit(text):
    with pytest.raises(UsageError):
        Parts.parse(text)


def test_all_splits_of_a_folder_are_split_anew(tmp_path, monkeypatch):
    """Only the first one's rows came out."""
    datasets, pa = pytest.importorskip("datasets"), pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    turns = [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]
    folder = tmp_path / "hub/data"
    folder.mkdir(parents=True)
    for name, numbers in (("train", range(40)), ("test", range(40, 60))):
        rows = [{"id": str(k), "patient": str(k), "conversations": turns} for k in numbers]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}-00000-of-00001.parquet")
    assert is_rows(folder.parent)
    assert is_rows(folder)
    counts = split_rows(folder.parent, tmp_path / "parts", HALVES)
    assert sum(counts.values()) == 60
