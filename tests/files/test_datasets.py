"""Collections: labels by their published rules, what an annotation leaves open, damaged and missing files."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgvlm.errors import EcgError, UsageError
from ecgvlm.files.datasets import (
    find_records,
    load_ptbxl,
    load_records,
    ptbxl_labels,
    read_labels,
    statement_labels,
)
from ecgvlm.labels import CODE15, LABELS
from ecgvlm.record import LEADS


def labels(rhythm="SR", form="", sub_class="NORM", super_class="NORM", scp=""):
    levels = {"rhythm": rhythm, "form": form, "sub_class": sub_class, "super_class": super_class}
    return ptbxl_labels(
        {level: text.split(";") if text else [] for level, text in levels.items()}, scp.split()
    )


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        ({}, {"SR", "NORM"}),
        ({"rhythm": "SBRAD"}, {"SB", "NORM"}),
        ({"rhythm": "AFIB", "super_class": "CD;NORM", "sub_class": "CRBBB;NORM"}, {"AF", "RBBB", "CD"}),
        ({"form": "LPR"}, {"SR", "NORM", "1dAVb"}),
        ({"sub_class": "AVB", "super_class": "CD", "scp": "2AVB SR"}, {"SR", "CD", "HAVB"}),
        ({"sub_class": "AVB", "super_class": "CD", "scp": "1AVB SR"}, {"SR", "CD", "1dAVb"}),
        ({"sub_class": "LAFB/LPFB", "super_class": "CD", "scp": "LPFB SR"}, {"SR", "CD"}),
        ({"sub_class": "LAFB/LPFB", "super_class": "CD", "scp": "LAFB SR"}, {"SR", "CD", "LAFB"}),
        ({"sub_class": "LAFB/LPFB", "super_class": "CD"}, {"SR", "CD", "LAFB"}),
        ({"sub_class": "AMI", "super_class": "MI", "scp": "ALMI SR"}, {"SR", "MI", "AMI", "LMI"}),
        ({"sub_class": "AMI", "super_class": "MI", "scp": "ASMI SR"}, {"SR", "MI", "AMI"}),
        ({"rhythm": "BIGU"}, {"PVC", "NORM"}),
        ({"rhythm": "BIGU", "form": "PAC"}, {"PAC", "NORM"}),
        ({"form": "PVC;LVOLT"}, {"SR", "PVC", "LVOLT", "NORM"}),
    ],
)
def test_labels(levels, found):
    assert labels(**levels)[0] == found


def test_open_labels():
    rhythms = {"SR", "SB", "ST", "SARRH", "AF", "AFLT", "PACE"}
    assert labels()[1] == set()
    assert labels(rhythm="")[1] == rhythms
    assert labels(rhythm="TRIGU")[1] == rhythms
    assert labels(rhythm="SVTAC")[1] == set()
    assert labels(sub_class="AVB", super_class="CD")[1] == {"HAVB"}
    assert labels(sub_class="AVB", super_class="CD", scp="1AVB SR")[1] == set()
    assert labels(sub_class="IMI", super_class="MI")[1] == {"LMI"}
    assert labels(form="PRC(S)")[1] == {"PAC", "PVC"}
    assert {"MI", "RBBB", "1dAVb"} <= labels(sub_class="", super_class="")[1]
    found, unknown = labels(rhythm="PACE", form="LPR", sub_class="", super_class="")
    assert "1dAVb" in found
    assert not found & unknown


def write_records(folder: Path, ids) -> None:
    folder.mkdir(parents=True)
    signal = np.random.default_rng(0).normal(0, 0.3, (1000, 12))
    for ecg_id in ids:
        wfdb.wrsamp(f"{ecg_id:05d}_lr", fs=100, units=["mV"] * 12, sig_name=[x.upper() for x in LEADS],
                    p_signal=signal, fmt=["16"] * 12, write_dir=str(folder))  # fmt: skip


@pytest.fixture
def part(tmp_path):
    (tmp_path / "labels.csv").write_text(
        "ecg_id,patient_id,age,sex,strat_fold,rhythm,form,sub_class,super_class,scp_codes,report\n"
        "1,15709,56.0,1,3,SR,LVOLT,NORM,NORM,\"{'NORM': 100.0, 'LVOLT': 0.0, 'SR': 0.0}\",sinus\n"
        "22,9,,,7,AFIB,STD;PVC,AVB,CD,,\n"
    )
    write_records(tmp_path / "records100", (1, 22))
    return tmp_path


def test_load_part(part):
    one, two = load_ptbxl(part)
    assert one.labels == {"SR", "LVOLT", "NORM"}
    assert (one.age, one.sex, one.patient, one.report) == (56, "F", "15709", "sinus")
    assert one.meta["scp_codes"] == {"NORM": 100.0, "LVOLT": 0.0, "SR": 0.0}
    assert (one.fs, one.signal.shape) == (100, (12, 1000))
    assert (two.age, two.sex, two.report) == (None, None, None)
    assert two.labels == {"AF", "PVC", "CD", "1dAVb"}
    assert two.meta["unknown"] == {"HAVB"}
    assert (two.meta["ecg_id"], two.meta["strat_fold"], two.meta["form"]) == (22, 7, "STD;PVC")
    assert [record.meta["ecg_id"] for record in load_ptbxl(part, folds=[7, 8])] == [22]
    with pytest.raises(UsageError, match="no record is of fold 11, 12"):
        load_ptbxl(part, folds=[12, 11])


def test_load_published_folder(tmp_path):
    (tmp_path / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\n"
        "1AVB,x,1.0,,,CD,_AVB\nIMI,x,1.0,,,MI,IMI\nSTD_,x,,1.0,,,\nSR,x,,,1.0,,\nILMI,x,1.0,,,MI,IMI\n"
    )
    (tmp_path / "ptbxl_database.csv").write_text(
        "ecg_id,patient_id,age,sex,report,scp_codes,strat_fold,filename_lr,filename_hr\n"
        "5,13243.0,19.0,0,r,\"{'1AVB': 100.0, 'ILMI': 15.0, 'IMI': 0.0, 'STD_': 0.0, 'SR': 0.0}\",2,"
        "records100/00000/00005_lr,records500/00000/00005_hr\n"
    )
    write_records(tmp_path / "records100/00000", (5,))
    (record,) = load_ptbxl(tmp_path)
    assert record.labels == {"1dAVb", "CD", "MI", "IMI", "LMI", "SR"}
    assert record.meta["sub_class"] == "AVB;IMI"
    assert record.meta["form"] == "STD"
    assert (record.patient, record.sex) == ("13243", "M")
    with pytest.raises(EcgError, match="00005_hr"):
        load_ptbxl(tmp_path, fs=500)
    (tmp_path / "scp_statements.csv").write_text("a,b\n1,2\n")
    with pytest.raises(EcgError, match=r"scp_statements\.csv"):
        load_ptbxl(tmp_path)


def test_missing_and_damaged(part):
    with pytest.raises(EcgError, match=r"ptbxl_database\.csv|scp_statements\.csv"):
        load_ptbxl(part / "records100")
    with pytest.raises(ValueError, match="250"):
        load_ptbxl(part, fs=250)
    (part / "records100/00022_lr.dat").write_bytes(b"\0" * 100)
    with pytest.raises(EcgError, match="00022_lr"):
        load_ptbxl(part)
    table = part / "labels.csv"
    table.write_text(table.read_text().replace("22,9,", "x,9,"))
    with pytest.raises(EcgError, match=r"labels\.csv: line 3"):
        load_ptbxl(part)
    table.write_bytes(b"\xff\xfe\x81")
    with pytest.raises(EcgError, match=r"labels\.csv"):
        load_ptbxl(part)


def loaded(root, **options):
    return dict(load_records(find_records(root, **options)))


def test_damaged_records_are_named_and_skipped_when_asked(part):
    (part / "records100/00022_lr.dat").unlink()
    table = part / "labels.csv"
    table.write_text(table.read_text() + "23,x,,,7,AFIB,,,,,\n")
    with pytest.raises(EcgError, match="00022_lr"):
        loaded(part)
    skipped: list[str] = []
    found = dict(load_records(find_records(part), skipped))
    assert list(found) == ["1"]
    assert len(skipped) == 2
    assert "00022_lr" in skipped[0]
    assert "line 4" in skipped[1]


@pytest.fixture
def code15(tmp_path):
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    tracings = np.zeros((4, 4096, 12), np.float32)
    tracings[:3, 100:4000] = rng.normal(0, 0.3, (3, 3900, 12))
    (tmp_path / "parts").mkdir()
    with h5py.File(tmp_path / "parts/exams_part0.hdf5", "w") as file:
        file["tracings"] = tracings
        file["exam_id"] = np.array([11, 12, 13, 0])  # the published parts end in a row of zeros
    (tmp_path / "exams.csv").write_text(
        "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file\n"
        "11,38,True,40.1,False,False,False,False,False,False,100,False,2.1,True,exams_part0.hdf5\n"
        "12,73,False,72.0,False,True,False,False,False,True,200,False,5.0,False,exams_part0.hdf5\n"
        "13,50,True,51.0,False,False,False,False,False,False,300,False,5.0,False,exams_part0.hdf5\n"
        "14,51,True,51.0,False,False,False,False,False,False,301,False,5.0,False,exams_part1.hdf5\n"
    )
    return tmp_path


def test_code15_folder(code15):
    skipped: list[str] = []
    records = dict(load_records(find_records(code15), skipped))
    assert list(records) == ["11", "12", "13"]
    assert len(skipped) == 1
    assert "exams_part1.hdf5: no such file" in skipped[0]
    with pytest.raises(EcgError, match=r"exams_part1\.hdf5"):
        loaded(code15)
    assert records["11"].labels == {"NORM", "SR"}
    assert not records["11"].meta["unknown"] & {"MI", "CD", "STTC", "HYP", *CODE15}
    two = records["12"]
    assert two.labels == {"RBBB", "CD", "AF"}
    assert (two.age, two.sex, two.patient, two.meta["exam_id"]) == (73, "F", "200", 12)
    assert {"LVH", "MI", "PVC"} <= two.meta["unknown"]
    assert "SR" not in two.meta["unknown"]  # excluded by AF
    abnormal = records["13"]
    assert abnormal.labels == frozenset()
    assert {"SR", "CD", "STTC"} <= abnormal.meta["unknown"]
    assert not abnormal.meta["unknown"] & {"NORM", *set(CODE15) - {"SB", "ST", "AF"}}


def write_cinc(folder: Path, name: str, comments: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    signal = np.random.default_rng(0).normal(0, 0.3, (1000, 12))
    wfdb.wrsamp(name, fs=500, units=["mV"] * 12, sig_name=list(LEADS), p_signal=signal, fmt=["16"] * 12,
                write_dir=str(folder), comments=comments)  # fmt: skip


def test_cinc_folder(tmp_path):
    write_cinc(tmp_path / "cpsc/g1", "A0001", ["Age: 74", "Sex: Male", "Dx: 59118001", "Rx: Unknown"])
    write_cinc(tmp_path / "cpsc/g1", "A0002", ["Age: 49", "Sex: Female", "Dx: 426783006"])
    write_cinc(tmp_path / "georgia", "E00001", ["Age: 60", "Dx: 164889003,429622005,999999999"])
    write_cinc(tmp_path / "own", "mine", ["Age: 60"])
    header = tmp_path / "georgia/E00001.hea"
    header.write_text(header.read_text().replace("# Dx:", "#Dx:").replace("#Dx: 164", "#Dx:164"))
    records = loaded(tmp_path)
    one, two, three = records["A0001"], records["A0002"], records["E00001"]
    assert (one.age, one.sex, one.meta["database"]) == (74, "M", "CPSC")
    assert one.labels == {"RBBB", "CD"}
    assert {"SR", "AF", "LVH"} <= one.meta["unknown"]
    assert not one.meta["unknown"] & {"LBBB", "IRBBB", "PAC", "PVC", "1dAVb", "NORM"}
    assert two.labels == {"SR", "NORM"}
    assert {"SARRH", "LVOLT"} <= two.meta["unknown"]
    assert three.meta["database"] == "Georgia"
    assert three.labels == {"AF", "STTC"}
    assert three.meta["signs"] == {"STD"}
    assert three.meta["codes"] == ["164889003", "429622005", "999999999"]
    assert "LVH" not in three.meta["unknown"]
    assert records["mine"].labels is None
    (tmp_path / "own/mine.dat").unlink()
    with pytest.raises(EcgError, match="mine"):
        loaded(tmp_path)


def test_ningbo_is_told_from_chapman_shaoxing(tmp_path):
    write_cinc(tmp_path, "JS10646", ["Dx: 426177001"])
    write_cinc(tmp_path, "JS10647", ["Dx: 426177001"])
    records = loaded(tmp_path)
    assert records["JS10646"].meta["database"] == "Chapman-Shaoxing"
    assert records["JS10647"].meta["database"] == "Ningbo"
    assert "IRBBB" in records["JS10646"].meta["unknown"]  # never stated there
    assert "IRBBB" not in records["JS10647"].meta["unknown"]


def test_mimic_folder(tmp_path):
    reports = ",".join(f"report_{i}" for i in range(18))
    write_cinc(tmp_path / "files/p1000/p10000032/s40689238", "40689238", [])
    (tmp_path / "record_list.csv").write_text(
        "subject_id,study_id,file_name,ecg_time,path\n"
        "10000032,40689238,40689238,2180-07-23 08:44:00,files/p1000/p10000032/s40689238/40689238\n"
        "10000033,40689239,40689239,2180-07-23 08:44:00,files/p1000/p10000033/s40689239/40689239\n"
    )
    (tmp_path / "machine_measurements.csv").write_text(
        f"subject_id,study_id,cart_id,ecg_time,{reports},bandwidth,filtering,rr_interval,p_onset,p_end,"
        "qrs_onset,qrs_end,t_end,p_axis,qrs_axis,t_axis\n"
        "10000032,40689238,6848296,2180-07-23 08:44:00,Sinus rhythm,"
        "Possible inferior infarct - age undetermined,Low QRS voltages,Abnormal ECG,,,,,,,,,,,,,,,"
        "0.005-150 Hz,60 Hz notch,659,40,128,170,258,518,81,77,75\n"
    )
    skipped: list[str] = []
    ((key, record),) = load_records(find_records(tmp_path), skipped)
    assert key == "40689238"
    assert len(skipped) == 1
    assert "40689239" in skipped[0]
    assert record.labels == {"SR", "LVOLT"}
    assert record.meta["unknown"] == {"IMI", "MI"}
    assert record.patient == "10000032"
    assert record.report == (
        "Sinus rhythm. Possible inferior infarct - age undetermined. Low QRS voltages. Abnormal ECG."
    )


@pytest.mark.parametrize(
    ("statements", "normal"),
    [
        (["Sinus rhythm", "Normal ECG"], "held"),
        (["Sinus rhythm", "Abnormal ECG"], "absent"),
        (["Sinus rhythm", "Borderline ECG"], "open"),
        (["Sinus rhythm"], "open"),
        (["Sinus bradycardia", "Otherwise normal ECG"], "open"),
    ],
)
def test_overall_statement_decides_about_normal(statements, normal):
    found, unknown = statement_labels(statements)
    assert normal == ("held" if "NORM" in found else "open" if "NORM" in unknown else "absent")


def test_own_table(tmp_path):
    write_cinc(tmp_path, "rec1", [])
    table = tmp_path / "mine.csv"
    table.write_text(
        "file,labels,unknown,age,sex,patient,report\n"
        "rec1,AF; left ventricular hypertrophy,LMI,71,f,p1,AF with LVH\nrec2,NORM,,²,,,\n"
    )
    skipped: list[str] = []
    ((key, record),) = load_records(find_records(table), skipped)
    assert (key, record.labels) == ("rec1", {"AF", "LVH", "HYP"})
    assert record.meta["unknown"] == {"LMI", "MI"}
    assert (record.age, record.sex, record.patient, record.report) == (71, "F", "p1", "AF with LVH")
    assert len(skipped) == 1
    assert "rec2" in skipped[0]
    table.write_text("file,labels\nrec1,wobbly heart\n")
    with pytest.raises(EcgError, match=r"mine\.csv: line 2: 'wobbly heart' is no finding"):
        find_records(table)
    table.write_text("name,labels\nrec1,AF\n")
    with pytest.raises(EcgError, match="columns file and labels"):
        find_records(table)


@pytest.mark.parametrize("between", [";", "\t"])
def test_own_table_of_a_spreadsheet(tmp_path, between):
    """Saved where a comma is the decimal sign; it was said to have no columns."""
    write_cinc(tmp_path, "rec1", [])
    lines = [["file", "labels", "patient"], ["rec1", '"SR;AF"', "p1"]]
    (tmp_path / "records.csv").write_text("\ufeff" + "\r\n".join(map(between.join, lines)), "utf-8")
    ((_, record),) = load_records(find_records(tmp_path / "records.csv"))
    assert (record.labels, record.patient) == ({"SR", "AF"}, "p1")


def test_folder_of_nothing_known(tmp_path):
    with pytest.raises(EcgError, match="neither"):
        find_records(tmp_path)


@pytest.mark.real_data
def test_real_counts(shared_data):
    """The counts that the data's README states for folds 1 to 8."""
    table = shared_data / "ptbxl"
    records = load_ptbxl(table, folds=[7])
    assert len(records) == 196
    assert len({record.patient for record in records}) > 150
    assert all(record.signal.shape == (12, 1000) for record in records)
    counts = Counter(label for record in records for label in record.labels)
    assert set(counts) <= set(LABELS)
    assert counts["NORM"] > 90
    assert counts["AF"] >= 7


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("RBBB;AF", {"RBBB", "AF", "CD"}), ("RBBB,AF", {"RBBB", "AF", "CD"}), ("AF | SB", {"AF", "SB"}),
        ("atrial fibrillation, right bundle branch block", {"RBBB", "AF", "CD"}),
    ],
)  # fmt: skip
def test_labels_in_a_cell(cell, labels):
    """Of "AF,RBBB" AF was lost without a word."""
    assert read_labels({"labels": cell}, "a.csv") == (labels, frozenset())
    with pytest.raises(EcgError, match=r"^a\.csv: 'foo' is no finding"):
        read_labels({"labels": "RBBB,foo"}, "a.csv")
