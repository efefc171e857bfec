"""Readers: what is written is read back, whatever its order, unit or rate; a bad file gets one line."""

from pathlib import Path

import h5py
import numpy as np
import pydicom
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from leads import write_csv
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

from ecgvlm.errors import EcgError
from ecgvlm.files.code15 import read_code15
from ecgvlm.files.image import read_record
from ecgvlm.files.wfdb import read_wfdb
from ecgvlm.labels import CODE15
from ecgvlm.record import LEADS, Record


def twelve_leads(n: int = 500, seed: int = 0) -> np.ndarray:
    """[12, n] mV: noise that obeys Einthoven and Goldberger."""
    leads = np.random.default_rng(seed).normal(0, 0.4, (12, n))
    one, two = leads[0], leads[1]
    leads[2:6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    return leads


def write_wfdb(folder: Path, names, units, rows, fs=500.0, gain=1000.0, comments=None, name="rec") -> Path:
    wfdb.wrsamp(
        name, fs=fs, units=list(units), sig_name=list(names), p_signal=np.ascontiguousarray(rows.T),
        fmt=["16"] * len(rows), adc_gain=[gain] * len(rows), baseline=[0] * len(rows), comments=comments,
        write_dir=str(folder),
    )  # fmt: skip
    return folder / name


def one_line(error: pytest.ExceptionInfo[EcgError], *parts: str) -> None:
    assert error.value.code == "unreadable_file"
    assert "\n" not in error.value.message
    for part in parts:
        assert part in error.value.message


@pytest.mark.parametrize("fs", [100, 257, 500, 1000])
def test_wfdb_any_order_case_gain_and_rate(tmp_path, fs):
    leads = twelve_leads()
    order = np.random.default_rng(fs).permutation(12)
    names = [[LEADS[i].upper(), LEADS[i].lower(), LEADS[i]][k % 3] for k, i in enumerate(order)]
    path = write_wfdb(tmp_path, names, ["mV"] * 12, leads[order], fs, 437.0, ["Age: 61", "Sex: Female"])
    record = read_record(path)
    np.testing.assert_allclose(record.signal, leads, atol=1 / 437)
    assert (record.fs, record.age, record.sex, record.source) == (fs, 61, "F", str(path))


@pytest.mark.parametrize(
    ("comment", "age", "sex"),
    [
        ("Age: 056Y", 56, None), ("age: 56 years", 56, None), ("Age:56 Sex:Male", 56, "M"),
        ("<age>: 71 <sex>: M <diagnoses> (none)", 71, "M"), ("69 M 1085 1629 x1", 69, "M"),
        ("Age: NaN", None, None), ("Gender: female", None, "F"), ("Dosage: 12", None, None),
    ],
)  # fmt: skip
def test_wfdb_age_and_sex_as_headers_have_them(tmp_path, comment, age, sex):
    path = write_wfdb(tmp_path, LEADS, ["mV"] * 12, twelve_leads(), comments=[comment])
    assert (read_wfdb(path).age, read_wfdb(path).sex) == (age, sex)


@pytest.mark.parametrize(
    ("here", "instead"),
    [(" ", "\t"), (" 500 500\n", " 500 0\n"), ("rec.dat", "REC.DAT"), (" V1\n", " V1 (mV)\n"), ("", "")],
    ids=["tabs", "unknown length", "letters of the file", "unit in the name", "letters of the header"],
)
def test_wfdb_headers_as_they_occur(tmp_path, here, instead):
    """Each was refused, or a lead was lost."""
    leads = twelve_leads()
    path = write_wfdb(tmp_path, LEADS, ["mV"] * 12, leads)
    header = path.with_suffix(".hea")
    if here:
        assert here in header.read_text()
        header.write_text(header.read_text().replace(here, instead))
    else:
        header.rename(tmp_path / "REC.HEA")
    np.testing.assert_allclose(read_wfdb(path).signal, leads, atol=2e-3)


def test_wfdb_units_are_converted(tmp_path):
    leads = twelve_leads()
    rows = leads * np.where(np.arange(12) % 2, 1000.0, 1.0)[:, None]
    path = write_wfdb(tmp_path, LEADS, ["mV", "uV"] * 6, rows, gain=5.0)
    np.testing.assert_allclose(read_wfdb(path).signal[1::2], leads[1::2], atol=2e-4)
    np.testing.assert_allclose(read_wfdb(path).signal[::2], leads[::2], atol=0.11)


def test_wfdb_gaps_are_nan(tmp_path):
    leads = twelve_leads()
    leads[7, 100:200] = np.nan
    signal = read_wfdb(write_wfdb(tmp_path, LEADS, ["mV"] * 12, leads)).signal
    assert np.isnan(signal[7, 100:200]).all()
    assert np.isnan(signal).sum() == 100


@pytest.mark.parametrize("given_leads", [("I", "II"), ("I", "III"), ("II", "III"), ("aVF", "II", "I", "V2")])
def test_limb_leads_are_derived_from_any_two(tmp_path, given_leads):
    leads = twelve_leads()
    rows = leads[[LEADS.index(lead) for lead in given_leads]]
    signal = read_wfdb(write_wfdb(tmp_path, given_leads, ["mV"] * len(rows), rows)).signal
    np.testing.assert_allclose(signal[:6], leads[:6], atol=3e-3)
    missing = [i for i in range(6, 12) if LEADS[i] not in given_leads]
    assert np.isnan(signal[missing]).all()


def test_a_lone_limb_lead_derives_nothing(tmp_path):
    signal = read_wfdb(write_wfdb(tmp_path, ["II"], ["mV"], twelve_leads()[1:2])).signal
    assert np.isfinite(signal[1]).all()
    assert np.isnan(np.delete(signal, 1, axis=0)).all()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("micro", ["\u00b5", "u"])
def test_microvolts_with_a_greek_letter_are_microvolts(tmp_path, encoding, micro):
    """The package reads ASCII only, and took 1/\u00b5V for 1/V: leads of kilovolts."""
    path = write_wfdb(tmp_path, LEADS, ["uV"] * 12, 1000 * twelve_leads(), gain=1.0)
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace("/uV", f"/{micro}V"), encoding)
    np.testing.assert_allclose(read_wfdb(path).signal, twelve_leads(), atol=1e-3)


def test_leads_of_volts_are_no_ecgs(tmp_path):
    path = write_wfdb(tmp_path, LEADS, ["V"] * 12, twelve_leads())
    with pytest.raises(EcgError) as error:
        read_wfdb(path)
    one_line(error, "no ECG's", "gain or unit")


def test_a_header_names_no_files_of_others(tmp_path):
    path = write_wfdb(tmp_path, LEADS, ["mV"] * 12, twelve_leads(), name="theirs")
    (tmp_path / "mine").mkdir()
    mine = tmp_path / "mine/rec.hea"
    mine.write_text(path.with_suffix(".hea").read_text().replace("theirs.dat", "../theirs.dat"))
    with pytest.raises(EcgError) as error:
        read_wfdb(mine.with_suffix(""))
    one_line(error, "theirs.dat", "no such file")


def test_wfdb_bad_files(tmp_path):
    path = write_wfdb(tmp_path, LEADS, ["mV"] * 12, twelve_leads())
    header, data = path.with_suffix(".hea"), path.with_suffix(".dat")
    text, samples = header.read_text(), data.read_bytes()

    with pytest.raises(EcgError) as error:
        read_record(tmp_path / "nowhere")
    one_line(error, "nowhere.hea", "no such file")
    data.write_bytes(samples[: len(samples) // 2])
    with pytest.raises(EcgError) as error:
        read_record(path)
    one_line(error, str(path))
    data.unlink()
    with pytest.raises(EcgError) as error:
        read_record(path)
    one_line(error, "rec.dat")
    data.write_bytes(samples)
    for gain in ("0(0)/mV", "-200(0)/mV", "nan(0)/mV"):
        edit(header, "1000.0(0)/mV", gain)
        with pytest.raises(EcgError) as error:
            read_record(path)
        one_line(error, str(path), "gain")
        header.write_text(text)
    edit(header, "/mV", "/mmHg")
    with pytest.raises(EcgError) as error:
        read_record(path)
    one_line(error, "rec.hea", "mmHg")
    header.write_text(text)
    edit(header, " V2", " V1")
    with pytest.raises(EcgError) as error:
        read_record(path)
    one_line(error, str(path), "V1 is there twice")
    for rubbish in (b"", b"\x00\xff" * 40, b"a cat\n", text.encode()[:60]):
        header.write_bytes(rubbish)
        with pytest.raises(EcgError) as error:
            read_record(path)
        one_line(error, str(path))


def test_wfdb_without_ecg_leads(tmp_path):
    path = write_wfdb(tmp_path, ["PLETH"], ["mV"], twelve_leads()[:1])
    with pytest.raises(EcgError) as error:
        read_record(path)
    one_line(error, str(path), "none of the leads")


def write_code15(path: Path, rows: np.ndarray, pad: tuple[int, int], with_exams: bool = True) -> None:
    """rows: [N, 12, n] mV, zero-padded to 4096 samples."""
    tracings = np.zeros((len(rows), 4096, 12), np.float32)
    tracings[:, pad[0] : 4096 - pad[1]] = rows.transpose(0, 2, 1)
    with h5py.File(path, "w") as file:
        file["tracings"], file["exam_id"] = tracings, np.arange(len(rows)) + 1000
    if with_exams:
        path.with_name("exams.csv").write_text(
            "exam_id,age,is_male,nn_predicted_age,1dAVb,RBBB,LBBB,SB,ST,AF,patient_id,death,timey,normal_ecg,trace_file\n"
            "1000,40,True,40.1,False,False,False,False,False,False,7,False,1,True,p.hdf5\n"
            "1001,70,False,66.0,False,True,False,False,False,True,8,False,1,False,p.hdf5\n"
        )


@pytest.mark.parametrize("scale", [1.0, 10.0])  # CODE-15: mV; CODE-test: 1e-4 V
def test_code15_padding_unit_and_exams(tmp_path, scale):
    rows = np.stack([twelve_leads(2800, seed) for seed in range(3)])
    write_code15(tmp_path / "p.hdf5", rows * scale, (600, 696))
    record = read_record(f"{tmp_path}/p.hdf5:1")
    assert record.fs == 400
    np.testing.assert_allclose(record.signal, rows[1], rtol=1e-5, atol=1e-6)
    assert (record.age, record.sex, record.patient) == (70, "F", "8")
    assert record.labels == {"RBBB", "CD", "AF"}
    assert {"LVH", "PVC", "MI"} <= record.meta["unknown"]
    assert not record.meta["unknown"] & {"NORM", *CODE15}
    assert read_code15(tmp_path / "p.hdf5", 0).labels == {"NORM", "SR"}
    assert read_code15(tmp_path / "p.hdf5", 2).labels is None  # not in exams.csv


def test_code15_unit_is_the_files_not_the_rows(tmp_path):
    """One patient's enormous voltage does not turn mV into 1e-4 V."""
    rows = np.stack([twelve_leads(4096, seed) for seed in range(5)])
    rows[3] *= 8
    write_code15(tmp_path / "p.hdf5", rows, (0, 0), with_exams=False)
    np.testing.assert_allclose(read_code15(tmp_path / "p.hdf5", 3).signal, rows[3], rtol=1e-5, atol=1e-6)


def test_code15_damaged_exams_table(tmp_path):
    write_code15(tmp_path / "p.hdf5", twelve_leads(4096)[None], (0, 0))
    table = tmp_path / "exams.csv"
    table.write_bytes(b"exam_id,age\n\xff\xfe,3\n")
    with pytest.raises(EcgError) as error:
        read_code15(tmp_path / "p.hdf5", 0)
    one_line(error, "exams.csv")
    table.write_text("exam_id,age,is_male\n1000\n")
    assert read_code15(tmp_path / "p.hdf5", 0).age is None


def test_code15_bad_files(tmp_path):
    path = tmp_path / "p.hdf5"
    write_code15(path, twelve_leads(4096)[None], (0, 0))
    for spec, cause in (("p.hdf5:1", "has 1 rows"), ("p.hdf5", "which row"), ("p.hdf5:x", "row number"),
                        ("q.hdf5:0", "no such file")):  # fmt: skip
        with pytest.raises(EcgError) as error:
            read_record(tmp_path / spec)
        one_line(error, spec.split(":")[0], cause)
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    with pytest.raises(EcgError) as error:
        read_record(f"{path}:0")
    one_line(error, "p.hdf5", "HDF5")
    for key, value, cause in (
        ("signal", np.zeros((1, 4096, 12)), "tracings"),
        ("tracings", np.zeros((1, 4096, 8)), "[N, samples, 12]"),
        ("tracings", np.zeros((1, 4096, 12)), "zeros"),
        ("tracings", np.full((1, 4, 12), b"word"), "HDF5"),
    ):
        with h5py.File(path, "w") as file:
            file[key] = value
        with pytest.raises(EcgError) as error:
            read_record(f"{path}:0")
        one_line(error, "p.hdf5", cause)


@settings(deadline=None)
@given(
    fs=st.sampled_from([100.0, 250.0, 360.0, 500.0, 1000.0]),
    n=st.integers(2, 400),
    seed=st.integers(0, 1000),
    gap=st.floats(0, 0.6),
)
def test_csv_round_trip(tmp_path_factory, fs, n, seed, gap):
    path = tmp_path_factory.mktemp("csv") / "out.csv"
    rng = np.random.default_rng(seed)
    signal = rng.normal(0, 1, (12, n)).astype(np.float32)
    signal[rng.random((12, n)) < gap] = np.nan
    signal[0, 0] = 1.0
    write_csv(path, Record(signal, fs))
    read = read_record(path)
    assert abs(read.fs - fs) / fs < 1e-3
    assert np.array_equal(np.isnan(read.signal), np.isnan(signal))
    np.testing.assert_allclose(read.signal, signal, atol=6e-5)
    assert list(path.parent.iterdir()) == [path]


def test_csv_has_the_contracts_header(tmp_path):
    path = tmp_path / "out.csv"
    write_csv(path, Record(np.full((12, 2), 0.5, np.float32), 500))
    lines = path.read_text().splitlines()
    assert lines[0] == "time_s,I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"
    assert lines[2].split(",")[:2] == ["0.002000", "0.5000"]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("\n", "no line names the leads"),
        ("a,b\n1,2\n", "no line names the leads"),
        ("time_s,I\n", "no samples"),
        ("time_s,I\n0,1\n", "no samples"),
        ("time_s,I\n0,one\n0.01,2\n", "line 2"),
        ("time_s,I\n0,1\n0.01,2,3\n", "line 3"),
        ("time_s,I\n0,1\n0.01,2\n0.5,3\n", "equal steps"),
        ("time_s,I\n0,1\n,2\n0.02,3\n", "equal steps"),
        ("time_s,I\n0.02,1\n0.01,2\n0,3\n", "equal steps"),
        ("time_s,I\n0,1\n60,2\n120,3\n", "sampling rate"),
        ("time_s,price\n0,1\n0.01,2\n", "no line names the leads"),
        ("time_s,I,i\n0,1,1\n0.01,2,2\n", "twice"),
        ("time_s,I\n0,\n0.01,\n", "none of the leads"),
    ],
)
def test_csv_bad_files(tmp_path, text, cause):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(EcgError) as error:
        read_record(path)
    one_line(error, "bad.csv", cause)


def test_csv_not_text_missing_or_not_writable(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes(b"\xff\xfe\x00\x80")
    for where in (path, tmp_path / "none.csv"):
        with pytest.raises(EcgError) as error:
            read_record(where)
        one_line(error, where.name)
    with pytest.raises(EcgError) as error:
        write_csv(tmp_path / "no" / "folder.csv", Record(np.zeros((12, 2), np.float32), 500))
    one_line(error, "folder.csv", "cannot be written")


def write_dicom(path: Path, leads: np.ndarray, names, unit="uV", sensitivity=2.5, padding=None) -> None:
    group = Dataset()
    group.WaveformOriginality, group.SamplingFrequency = "ORIGINAL", "500"
    group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = leads.shape
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.ChannelDefinitionSequence = []
    for name in names:
        channel, source, units = Dataset(), Dataset(), Dataset()
        source.CodeValue, source.CodingSchemeDesignator, source.CodeMeaning = "5.6.3-9-0", "SCPECG", name
        units.CodeValue, units.CodingSchemeDesignator, units.CodeMeaning = unit, "UCUM", unit
        channel.ChannelSourceSequence, channel.ChannelSensitivityUnitsSequence = [source], [units]
        channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = str(sensitivity), "1"
        channel.ChannelBaseline, channel.WaveformBitsStored = "0", 16
        group.ChannelDefinitionSequence.append(channel)
    scale = {"uV": 1000, "mV": 1, "kPa": 1}[unit]
    codes = np.where(np.isnan(leads), -32768, np.nan_to_num(np.round(leads * scale / sensitivity))).astype(
        "<i2"
    )
    group.WaveformData = codes.T.tobytes()
    if padding is not None:
        group.WaveformPaddingValue = np.int16(padding).tobytes()
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = TwelveLeadECGWaveformStorage, generate_uid()
    data.PatientAge, data.PatientSex, data.PatientID = "063Y", "M", "p1"
    data.WaveformSequence = [group]
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize(("unit", "sensitivity"), [("uV", 2.5), ("mV", 0.0025)])
def test_dicom(tmp_path, unit, sensitivity):
    leads = twelve_leads()
    leads[3, 40:60] = np.nan
    path = tmp_path / "ecg"  # recognised by content
    write_dicom(path, leads[::-1], [f"Lead {lead}" for lead in LEADS[::-1]], unit, sensitivity, -32768)
    record = read_record(path)
    np.testing.assert_allclose(record.signal, leads, atol=2e-3)
    assert (record.fs, record.age, record.sex, record.patient) == (500, 63, "M", "p1")


def test_dicom_bad_files(tmp_path):
    path = tmp_path / "ecg.dcm"
    write_dicom(path, twelve_leads(), [f"Lead {lead}" for lead in LEADS])
    whole = path.read_bytes()
    for rubbish in (b"", b"not DICOM", whole[: len(whole) // 2], whole[:140]):
        path.write_bytes(rubbish)
        with pytest.raises(EcgError) as error:
            read_record(path)
        one_line(error, "ecg.dcm")
    for names, unit, cause in ((["Pulse"] * 12, "uV", "no ECG waveform"),
                               ([f"Lead {lead}" for lead in LEADS], "kPa", "kPa")):  # fmt: skip
        write_dicom(path, twelve_leads(), names, unit)
        with pytest.raises(EcgError) as error:
            read_record(path)
        one_line(error, "ecg.dcm", cause)
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.save_as(path, enforce_file_format=False)
    with pytest.raises(EcgError):
        read_record(path)


def test_record_wants_twelve_rows():
    with pytest.raises(ValueError, match=r"\[12, n\]"):
        Record(np.zeros((8, 100), np.float32), 500)


@pytest.mark.real_data
def test_real_record(shared_data):
    record = read_record(shared_data / "ptbxl/records500/00001_hr.hea")
    assert record.signal.shape == (12, 5000)
    assert record.fs == 500
    one, two, three = record.signal[:3]
    np.testing.assert_allclose(two - one, three, atol=0.003)
