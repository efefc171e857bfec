"""Parts of a collection share no patient, whatever the collection, and say so where they cannot be made."""

import csv
import json

import cv2
import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.csv import write_csv
from ecgvlm.files.datasets import find_records
from ecgvlm.instruct.cli import app
from ecgvlm.instruct.rows import load_rows
from ecgvlm.instruct.splits import Parts, is_rows, patient_of, records_of, split_records, split_rows
from ecgvlm.labels import CODE15
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
    people = {name: set(map(patient_of, rows)) for name, rows in written.items()}
    assert sum(map(len, people.values())) == len(set().union(*people.values())) == 30


def test_commands(tmp_path):
    record = simulate(random_simulation(np.random.default_rng(0), "normal"), 0)[0]
    for k in range(10):
        write_csv(record, tmp_path / f"{k}.csv")
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


def test_pictures_inside_a_folder_of_parquet_are_not_copied(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-00000-of-00001.parquet").touch()
    assert is_rows(tmp_path)
