"""PTB-XL: labels by the published rules, what an annotation leaves open, damaged tables."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgvlm.datasets import load_ptbxl, ptbxl_labels
from ecgvlm.labels import LABELS
from ecgvlm.record import LEADS, EcgError


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
