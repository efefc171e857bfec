"""Every record format gives back the leads that were written into it, and what the device says of them."""

from __future__ import annotations

import base64
import contextlib
import io
import re
import struct
import tokenize
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import edfio
import numpy as np
import pytest
import scipy.io

from ecgvlm.errors import EcgError
from ecgvlm.files import records
from ecgvlm.files.image import open_pages
from ecgvlm.files.leads import lead_row
from ecgvlm.files.wfdb import read_wfdb
from ecgvlm.record import LEADS, MachineReading, Record
from ecgvlm.simulate import Simulation, simulate

EIGHT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
SAID = MachineReading(
    {"heart_rate_bpm": 72.0, "pr_ms": 160.0, "qrs_ms": 90.0, "qt_ms": 380.0, "axis_deg": 45.0},
    ("SINUS RHYTHM", "NORMAL ECG"),
)


@pytest.fixture(scope="module")
def record() -> Record:
    return simulate(Simulation(rate_bpm=72), 3)[0]


def units(record: Record, names=LEADS, per_mv: float = 200.0) -> np.ndarray:
    """[k, n] whole numbers, 5 uV each by default."""
    return np.round(record.signal[[LEADS.index(name) for name in names]] * per_mv).astype("<i2")


def muse_leads(rows: np.ndarray) -> str:
    return "".join(
        f"<LeadData><LeadID>{name}</LeadID><LeadAmplitudeUnitsPerBit>5</LeadAmplitudeUnitsPerBit>"
        "<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>"
        f"<WaveFormData>{base64.b64encode(row.tobytes()).decode()}</WaveFormData></LeadData>"
        for name, row in zip(EIGHT, rows)
    )


def muse(record: Record) -> bytes:
    rows = units(record, EIGHT)
    leads, median = muse_leads(rows), muse_leads(rows[:, :600])
    statements = "".join(
        f"<DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>{line}</StmtText></DiagnosisStatement>"
        for line in SAID.statements
    )
    return (
        "<?xml version='1.0' encoding='ISO-8859-1'?><!DOCTYPE RestingECG SYSTEM 'restecg.dtd'><RestingECG>"
        "<PatientDemographics><PatientAge>61</PatientAge><AgeUnits>YEARS</AgeUnits><Gender>FEMALE</Gender>"
        "</PatientDemographics><RestingECGMeasurements><VentricularRate>72</VentricularRate>"
        "<PRInterval>160</PRInterval><QRSDuration>90</QRSDuration><QTInterval>380</QTInterval>"
        "<RAxis>45</RAxis></RestingECGMeasurements>"
        f"<Diagnosis>{statements}</Diagnosis>"
        f"<Waveform><WaveformType>Median</WaveformType><SampleBase>500</SampleBase>{median}</Waveform>"
        f"<Waveform><WaveformType>Rhythm</WaveformType><SampleBase>500</SampleBase>{leads}</Waveform></RestingECG>"
    ).encode("latin-1")


def aecg(record: Record) -> bytes:
    def annotation(code: str, value: str) -> str:
        return f"<component><annotation><code code='{code}'/>{value}</annotation></component>"

    sequences = "".join(
        f"<component><sequence><code code='MDC_ECG_LEAD_{name.upper()}'/><value><origin value='0' unit='uV'/>"
        f"<scale value='5' unit='uV'/><digits>{' '.join(map(str, row))}</digits></value>"
        "</sequence></component>"
        for name, row in zip(LEADS, units(record))
    )
    time = (
        "<component><sequence><code code='TIME_ABSOLUTE'/><value><head value='20240101100000.000'/>"
        "<increment value='2' unit='ms'/></value></sequence></component>"
    )
    beat = f"<component><sequenceSet>{time}</sequenceSet></component>"
    derived = f"<derivation><derivedSeries>{beat}</derivedSeries></derivation>"
    numbers = {
        "MDC_ECG_HEART_RATE": "value='72' unit='bpm'", "MDC_ECG_TIME_PD_PR": "value='160' unit='ms'",
        "MDC_ECG_TIME_PD_QRS": "value='0.09' unit='s'", "MDC_ECG_TIME_PD_QT": "value='380' unit='ms'",
        "MDC_ECG_ANGLE_QRS_FRONT": "value='45' unit='deg'",
    }  # fmt: skip
    notes = "".join(annotation(code, f"<value {value}/>") for code, value in numbers.items())
    notes += "".join(
        annotation("MDC_ECG_INTERPRETATION_STATEMENT", f"<value>{line}</value>") for line in SAID.statements
    )
    return (
        "<AnnotatedECG xmlns='urn:hl7-org:v3'><administrativeGenderCode code='F'/><component><series>"
        f"{derived}<component><sequenceSet>{time}{sequences}</sequenceSet></component>"
        f"<subjectOf><annotationSet>{notes}</annotationSet></subjectOf></series></component></AnnotatedECG>"
    ).encode()


def sierra(record: Record) -> bytes:
    data = base64.b64encode(units(record).tobytes()).decode()
    statements = "".join(
        f"<statement><leftstatement>{line}</leftstatement><rightstatement/></statement>"
        for line in SAID.statements
    )
    return (
        "<?xml version='1.0' encoding='UTF-16'?><restingecgdata xmlns='http://www3.medical.philips.com'>"
        "<dataacquisition><signalcharacteristics><samplingrate>500</samplingrate><resolution>5</resolution>"
        "</signalcharacteristics></dataacquisition><patient><generalpatientdata><age><years>61</years></age>"
        "<sex>Female</sex></generalpatientdata></patient><measurements><heartrate>72</heartrate><print>160</print>"
        "<qrsdur>90</qrsdur><qtint>380</qtint><qrsfrontaxis>45</qrsfrontaxis></measurements>"
        f"<interpretations><interpretation>{statements}</interpretation></interpretations>"
        "<waveforms><parsedwaveforms dataencoding='Base64' compressflag='False' numberofleads='12' "
        f"leadlabels='{' '.join(LEADS)}'>{data}</parsedwaveforms></waveforms></restingecgdata>"
    ).encode("utf-16")


def section(number: int, body: bytes) -> bytes:
    name = b"SCPECG" if number == 0 else b""
    return struct.pack("<HHIBB6s", 0, number, 16 + len(body), 20, 20, name) + body


def scp(
    record: Record,
    differences: int = 0,
    huffman: bool = False,
    subtracted: bool = False,
    bimodal: bool = False,
) -> bytes:
    rows = units(record, EIGHT).astype(int)
    n = rows.shape[1]
    codes = (1, 2, 3, 4, 5, 6, 7, 8)
    bodies = {
        1: struct.pack("<BHHB", 4, 3, 61, 1) + struct.pack("<BHB", 8, 1, 2) + struct.pack("<BH", 255, 0),
        3: bytes([8, 0x44 | subtracted]) + b"".join(struct.pack("<IIB", 1, n, code) for code in codes),
        7: struct.pack("<BBHH5H3h", 1, 0, round(60_000 / 72), 0, 100, 180, 260, 350, 640, 0, 45, 0),
        8: bytes(8) + b"\2" + b"".join(struct.pack("<BH", 1, len(x)) + x.encode() for x in SAID.statements),
    }
    if subtracted:
        beat = np.tile(np.round(120 * np.hanning(100)).astype(int), (8, 1))
        places = [(700 * k + 1, 700 * k + 50, 700 * k + 100) for k in range(6)]
        for first, _, last in places:
            rows[:, first - 1 : last] -= beat
        bodies[4] = struct.pack("<HHH", 200, 50, len(places)) + b"".join(
            struct.pack("<HIII", 0, *place) for place in places
        )
        bodies[5] = packed(beat, differences, huffman)
    if bimodal:
        rows, zones = thinned(rows)
        bodies[4] += b"".join(struct.pack("<II", *zone) for zone in zones)
    bodies[6] = packed(rows, differences, huffman, bimodal)
    if huffman:
        bodies[2] = struct.pack("<H", 19999)
    at, index, whole = 7 + 16 + 10 * (len(bodies) + 1), b"", b""
    for number, body in sorted(bodies.items()):
        part = section(number, body)
        index += struct.pack("<HII", number, len(part), at)
        at += len(part)
        whole += part
    head = section(0, struct.pack("<HII", 0, 16 + 10 * (len(bodies) + 1), 7) + index)
    return struct.pack("<HI", 0, 6 + len(head) + len(whole)) + head + whole


def thinned(rows: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Means of four samples but for six zones, of which first and last sample are given, from 1."""
    zones = [(700 * k + 1, 700 * k + 300) for k in range(6)]
    parts, at = [], 0
    for first, last in [*zones, (rows.shape[1] + 1, 0)]:
        gap = rows[:, at : first - 1]
        parts += [np.round(gap.reshape(8, -1, 4).mean(2)).astype(int), rows[:, first - 1 : last]]
        at = last
    return np.concatenate(parts, 1), zones


def packed(rows: np.ndarray, differences: int, huffman: bool, bimodal: bool = False) -> bytes:
    """Section 5 or 6: 5 uV a unit, 500 Hz, between protected zones 125 Hz where bimodal."""
    chunks = []
    for row in rows:
        values = row if differences == 0 else np.concatenate([row[:differences], np.diff(row, differences)])
        chunks.append(huffman_coded(values) if huffman else values.astype("<i2").tobytes())
    sizes = struct.pack(f"<{len(chunks)}H", *map(len, chunks))
    return (
        struct.pack("<HHBB", 5000, 8000 if bimodal else 2000, differences, bimodal) + sizes + b"".join(chunks)
    )


def huffman_coded(values: np.ndarray) -> bytes:
    """By the standard's own table."""
    bits = []
    for value in values.tolist():
        if abs(value) <= 8:
            bits.append("0" if value == 0 else "1" * abs(value) + "0" + ("0" if value > 0 else "1"))
        elif -128 <= value < 128:
            bits.append(f"1111111110{value & 0xFF:08b}")
        else:
            bits.append(f"1111111111{value & 0xFFFF:016b}")
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def edf(record: Record, kind: str = "edf") -> bytes:
    signal, whole = (edfio.EdfSignal, edfio.Edf) if kind == "edf" else (edfio.BdfSignal, edfio.Bdf)
    signals = [
        signal(uv, 500, label=f"EKG {name}", physical_dimension="uV", physical_range=(-6000, 6000))
        for name, uv in zip(LEADS, record.signal.astype(float) * 1000)
    ]
    signals.append(signal(np.zeros(len(record.signal[0]) // 5), 100, label="Resp", physical_range=(-1, 1)))
    file = io.BytesIO()
    whole(signals).write(file)
    return file.getvalue()


def ishne(record: Record) -> bytes:
    head = bytearray(522)
    head[:8] = b"ISHNE1.0"
    struct.pack_into("<iiii", head, 10, 0, record.signal.shape[1], 522, 522)
    struct.pack_into("<h", head, 128, 2)
    struct.pack_into("<h", head, 156, 12)
    struct.pack_into("<12h", head, 158, *range(5, 17))
    struct.pack_into("<12h", head, 206, *[5000] * 12)
    struct.pack_into("<h", head, 272, 500)
    return bytes(head) + units(record).T.tobytes()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def mat(arrays: dict[str, object], **options: str) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, arrays, **options)
    return file.getvalue()


WRITERS: dict[str, Callable[[Record], bytes]] = {
    "muse": muse,
    "aecg": aecg,
    "sierra": sierra,
    "scp": scp,
    "scp first differences": lambda r: scp(r, 1),
    "scp second differences, Huffman": lambda r: scp(r, 2, huffman=True),
    "scp beats subtracted": lambda r: scp(r, 1, huffman=True, subtracted=True),
    "edf": edf,
    "bdf": lambda r: edf(r, "bdf"),
    "ishne": ishne,
    "npy": lambda r: npy(r.signal),
    "npy of samples by leads in uV": lambda r: npy((1000 * r.signal.T).astype(np.int16)),
    "mat": lambda r: mat({"ecg": r.signal.T, "Fs": 500.0, "note": "of one's own"}),
    "mat as CinC's": lambda r: mat({"val": (1000 * r.signal).astype(np.int16)}, format="4"),
}


def read(data: bytes) -> Record:
    (page,) = open_pages(data, "a")
    found = page.load()
    assert isinstance(found, Record)
    return found


@pytest.mark.parametrize("kind", WRITERS)
def test_what_is_written_is_read(record, kind):
    found = read(WRITERS[kind](record))
    assert found.fs == 500
    np.testing.assert_allclose(found.signal[:, : record.signal.shape[1]], record.signal, atol=0.012)


@pytest.mark.parametrize(
    ("write", "here", "instead"),
    [
        (muse, b"<LeadAmplitudeUnitsPerBit>5<", b"<LeadAmplitudeUnitsPerBit>5,0<"),
        (aecg, b"value='5'", b"value='5,0'"),
        (edf, b"uV      ", b"\xb5V      "),
    ],
)
def test_commas_and_greek_letters_of_other_countries(record, write, here, instead):
    """Steps of "2,44" were taken for 4.88 or nothing, and microvolts in Latin-1 refused."""
    data = write(record)
    assert here in data
    signal = read(data.replace(here, instead)).signal
    np.testing.assert_allclose(signal, read(data).signal, atol=1e-6)


@pytest.mark.parametrize(
    "declared", [b"<?xml version='1.0' encoding='UTF-8'?>", b"<?xml version='1.0'?>", b""]
)
def test_xml_in_windows_letters_that_it_does_not_declare(record, declared):
    """It was damaged XML."""
    data = muse(record).replace(b"<?xml version='1.0' encoding='ISO-8859-1'?>", declared)
    odd = data.replace(b"<PatientDemographics>", "<PatientDemographics><N>Müller – “x”</N>".encode("cp1252"))
    np.testing.assert_array_equal(read(odd).signal, read(data).signal)


@pytest.mark.parametrize("said", ["UTF-16", "utf-16", "US-ASCII"])
def test_xml_in_another_encoding_than_it_says(record, said):
    """Programs that keep a file as text write it anew in theirs; it was damaged XML."""
    text = muse(record).decode("latin-1").replace("ISO-8859-1", said).replace("SINUS", "SÍNUS")
    found = read(text.encode())
    np.testing.assert_array_equal(found.signal, read(muse(record)).signal)
    assert found.machine is not None
    assert found.machine.statements[0] == "SÍNUS RHYTHM"


@pytest.mark.parametrize(("write", "encoding"), [(sierra, "utf-16"), (muse, "latin-1"), (aecg, "utf-8")])
def test_xml_with_a_tag_a_line(record, write, encoding):
    """In UTF-16 the line with Philips's list of leads was taken for the header of a table."""
    text = re.sub(r">\s*<", ">\n<", write(record).decode(encoding))
    np.testing.assert_array_equal(read(text.encode(encoding)).signal, read(write(record)).signal)


def test_a_lead_of_muse_that_is_empty_is_missing(record):
    """It took the other leads with it."""
    data = re.sub(rb"(LeadID>V3</LeadID>.*?<WaveFormData>)[^<]*", rb"\1", muse(record))
    found = read(data)
    assert np.isnan(found.signal[LEADS.index("V3")]).all()
    assert np.isfinite(found.signal).all(1).sum() == 11
    with pytest.raises(EcgError, match="empty"):
        read(re.sub(rb"<WaveFormData>[^<]*", b"<WaveFormData>", data))


@pytest.mark.parametrize(
    ("write", "lead"), [(muse, rb"(<LeadID>V3.*?<WaveFormData>)"), (aecg, rb"(LEAD_V3'.*?<digits>)")]
)
def test_one_lead_that_is_empty_leaves_the_others(record, write, lead):
    """An annotated ECG was refused for it."""
    found = open_pages(re.sub(lead + rb"[^<]*", rb"\1", write(record), flags=re.DOTALL), "x")[0].load()
    assert np.isnan(found.signal[8]).all()
    np.testing.assert_allclose(found.signal[7], record.signal[7], atol=0.01)


@pytest.mark.parametrize("write", [muse, sierra])
def test_a_lead_that_was_off_for_a_while_is_unknown_there(record, write):
    """It was taken for -164 mV."""
    rows = replace(record, signal=record.signal.copy())
    rows.signal[8, 100:200] = -163.84
    found = open_pages(write(rows), "x")[0].load()
    assert np.isnan(found.signal[8, 100:200]).all()
    assert np.isfinite(found.signal[8, 200:]).all()


def test_leads_of_sierra_between_commas(record):
    text = sierra(record).decode("utf-16").replace(" ".join(LEADS), ",".join(LEADS))
    found = open_pages(text.encode("utf-16"), "x")[0].load()
    np.testing.assert_allclose(found.signal, record.signal, atol=0.01)


def test_an_age_in_hours(record):
    """A child of 30 hours was taken for one of 30 years."""
    data = muse(record).replace(b">61<", b">30<").replace(b"YEARS", b"HOURS")
    assert open_pages(data, "x")[0].load().age == pytest.approx(30 / 8766)


def test_a_message_does_not_quote_the_whole_file(record):
    data = re.sub(rb"(?<=\d) (?=-?\d)", b"|", aecg(record))
    with pytest.raises(EcgError, match="could not convert") as caught:
        open_pages(data, "x")[0].load()
    assert len(caught.value.message) < 700


def test_an_age_by_two_dates(record):
    birth = b"<DateofBirth>03-15-1950</DateofBirth>"
    taken = b"<TestDemographics><AcquisitionDate>03-14-2010</AcquisitionDate></TestDemographics>"
    data = muse(record).replace(b"<PatientAge>61</PatientAge>", birth)
    assert read(data).age is None
    assert read(data.replace(b"<Diagnosis>", taken + b"<Diagnosis>")).age == 59
    told = b"<birthTime value='19500315'/><effectiveTime><low value='20100316093000'/></effectiveTime>"
    data = aecg(record).replace(b"<component>", told + b"<component>", 1)
    assert read(data).age == 60
    assert read(data.replace(b"19500315", b"20500315")).age is None
    assert read(data.replace(b"19500315", b"19501315")).age is None


@pytest.mark.parametrize("plus", [b"EDF+C", b"     "])
def test_what_edf_says_of_the_patient(record, plus):
    file = io.BytesIO()
    edfio.Edf(
        [edfio.EdfSignal(record.signal[0].astype(float), 500, label="I", physical_dimension="mV")],
        patient=edfio.Patient(sex="F", birthdate=date(1950, 3, 15)),
        recording=edfio.Recording(startdate=date(2010, 3, 16)),
    ).write(file)
    data = bytearray(file.getvalue())
    data[192:197] = plus
    found = read(bytes(data))
    assert (found.age, found.sex) == ((60, "F") if plus.strip() else (None, None))


@pytest.mark.parametrize("write", [npy, lambda array: mat({"ecg": array})])
def test_no_rate_is_made_of_a_length(record, write):
    """Half a minute at 500 Hz was taken for ten seconds at 1500, its rate for three times the heart's."""
    with pytest.raises(EcgError, match="not ten seconds"):
        read(write(np.tile(record.signal, 3)))


@pytest.mark.parametrize("shape", [(1, 12, -1), (12, -1, 1)])
def test_an_array_with_axes_of_one(record, shape):
    np.testing.assert_array_equal(read(npy(record.signal.reshape(shape))).signal, record.signal)


def test_what_stands_beside_leads_in_wfdb(record, tmp_path):
    """Breath in ohm, or a mark without a gain, took the leads with it."""
    import wfdb

    signal = np.concatenate([record.signal, record.signal[:2]]).T.astype(float)
    names, units = [*LEADS, "RESP", "MARK"], [*["mV"] * 12, "Ohm", "mV"]
    wfdb.wrsamp("rec", 500, units, names, signal, fmt=["16"] * 14, write_dir=str(tmp_path))
    header = (tmp_path / "rec.hea").read_text()
    (tmp_path / "rec.hea").write_text(re.sub(r" \S+( 16 0 \S+ \S+ 0 MARK)", r" 0(0)/mV\1", header))
    assert " 0(0)/mV 16" in (tmp_path / "rec.hea").read_text()
    np.testing.assert_allclose(read_wfdb(tmp_path / "rec").signal, record.signal, atol=0.01)


def test_blank_lines_before_xml(record):
    assert read(b"\r\n\n" + muse(record)).fs == record.fs


def test_a_matlab_structure(record):
    """CPSC 2018's own files, of any length, and others'; they were refused."""
    cpsc = mat({"ECG": {"sex": "Male", "age": 74, "data": record.signal[:, :3500]}})
    found = read(cpsc)
    assert (found.fs, found.age, found.sex) == (500, 74, "M")
    np.testing.assert_array_equal(found.signal, record.signal[:, :3500])
    other = read(mat({"val": {"leads": record.signal.T, "fs": 250.0}}))
    assert (other.fs, other.age) == (250, None)


def test_a_matlab_file_without_leads_is_refused():
    with pytest.raises(EcgError, match="no array of twelve leads"):
        read(mat({"x": 3.0}))


@pytest.mark.parametrize(
    ("write", "here", "instead"),
    [
        (muse, b"<LeadAmplitudeUnitsPerBit>5<", b"<LeadAmplitudeUnitsPerBit>five<"),
        (muse, b"<LeadAmplitudeUnitsPerBit>5<", b"<LeadAmplitudeUnitsPerBit>-5<"),
        (aecg, b"<scale value='5' unit='uV'/>", b""),
        (ishne, struct.pack("<h", 5000), struct.pack("<h", -9)),
    ],
)
def test_steps_that_are_no_voltage_are_refused(record, write, here, instead):
    """They became flat lines, or leads upside down."""
    data = write(record)
    assert here in data
    with pytest.raises(EcgError) as error:
        read(data.replace(here, instead))
    assert error.value.code == "unreadable_file"


@pytest.mark.parametrize(("kind", "of"), [("edf", edfio.Edf), ("bdf", edfio.Bdf)])
def test_what_a_discontinuous_file_left_out_is_nothing(record, kind, of):
    """What stands on both sides of the gap was joined, as if no time had passed."""
    whole = (edfio.read_bdf if kind == "bdf" else edfio.read_edf)(io.BytesIO(edf(record, kind)))
    file = io.BytesIO()
    of(whole.signals, annotations=[edfio.EdfAnnotation(0, None, "begin")], data_record_duration=1).write(file)

    def later(onset: re.Match) -> bytes:
        seconds = int(onset[1]) + 3 * (int(onset[1]) >= 5)
        return (f"+{seconds}".encode() + b"\x14\x14").ljust(len(onset[0]), b"\0")

    data = re.sub(rb"\+(\d)\x14\x14\0\0", later, file.getvalue().replace(b"F+C", b"F+D", 1))
    found, at = read(data), int(5 * record.fs)
    gap = np.isnan(found.signal).all(axis=0)
    assert np.flatnonzero(gap).tolist() == list(range(at, at + int(3 * record.fs)))
    np.testing.assert_allclose(found.signal[:, ~gap], record.signal, atol=0.01)


def test_scp_that_keeps_its_full_rate_about_the_beats_alone(record):
    t = np.arange(record.signal.shape[1]) / record.fs
    slow = np.sin(2 * np.pi * (t + np.arange(12)[:, None] / 12))
    beats = np.zeros_like(t)
    beats[[700 * k + 150 for k in range(6)]] = 1.0  # within the zones
    drawn = replace(record, signal=(slow + beats).astype(np.float32))
    found = read(scp(drawn, 2, huffman=True, subtracted=True, bimodal=True))
    assert found.fs == 500
    kept = [LEADS.index(name) for name in EIGHT]
    np.testing.assert_allclose(found.signal[kept], drawn.signal[kept], atol=0.02)


@pytest.mark.parametrize("kind", ["muse", "aecg", "sierra", "scp"])
def test_what_the_device_says_is_kept(record, kind):
    found = read(WRITERS[kind](record))
    assert found.machine is not None
    assert found.machine.statements == SAID.statements
    assert found.machine.measurements == pytest.approx(SAID.measurements, abs=0.1)
    assert found.sex == "F"


@pytest.mark.parametrize("kind", ["muse", "sierra", "aecg", "scp", "edf", "ishne", "npy"])
def test_damaged_files_raise_no_other_error(record, kind):
    whole = WRITERS[kind](record)
    rng = np.random.default_rng(1)
    for cut in (0.02, 0.5, 0.99):
        spoiled = bytearray(whole)
        spoiled[rng.integers(len(whole) // 20)] ^= 0x5A
        for data in (whole[: int(cut * len(whole))], bytes(spoiled)):
            with contextlib.suppress(EcgError):  # nothing else may come of it
                for page in open_pages(data, "a"):
                    page.load()


@pytest.mark.parametrize("raised", [ZeroDivisionError, tokenize.TokenError, MemoryError])
def test_whatever_a_parser_stumbles_on_is_the_files_error(monkeypatch, raised):
    def read_odd(data, name):
        raise raised("so")

    monkeypatch.setattr(records, "_FORMATS", ((lambda data: True, "odd file", read_odd),))
    (leaf,) = open_pages(b"odd", "a")
    with pytest.raises(EcgError, match=r"a: (not a readable odd file \(so\)|it does not fit into memory)"):
        leaf.load()


def test_an_array_with_a_damaged_header_is_refused():
    whole = npy(np.zeros((12, 5000), np.float32))
    with pytest.raises(EcgError, match="not a readable NumPy array"):
        open_pages(whole.replace(b"}", b"("), "a")


def test_xml_of_many_levels_is_refused_at_once():
    """What was looked for below each of 20,000 levels took a decoder half a minute."""
    levels = 20_000
    nested = b"<Waveform><LeadData>" * levels + b"</LeadData></Waveform>" * levels
    with pytest.raises(EcgError, match="60 levels"):
        read(b"<RestingECG>" + nested + b"</RestingECG>")


def test_xml_defines_nothing():
    bomb = b"<!DOCTYPE a [<!ENTITY b 'c'><!ENTITY d '&b;&b;'>]><RestingECG>&d;</RestingECG>"
    with pytest.raises(EcgError, match="entities"):
        read(bomb)
    with pytest.raises(EcgError, match="GE MUSE, Philips Sierra and HL7"):
        read(b"<?xml version='1.0'?><html/>")


def test_records_in_archives_and_many_in_an_array(record):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.xml", muse(record))
        archive.writestr("b.npy", npy(np.stack([record.signal] * 2)))
    pages = open_pages(file.getvalue(), "z")
    assert [page.name for page in pages] == ["z/a.xml", "z/b.npy (page 1)", "z/b.npy (page 2)"]
    assert all(isinstance(page.load(), Record) for page in pages)


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("V 1", "V1"), ("V-2", "V2"), ("V_3", "V3"), ("C5", "V5"), ("V6-REF", "V6"), ("ECG DII", "II"),
        ("avF", "aVF"), ("MDC_ECG_LEAD_AVR", "aVR"), ("EKG aVL", "aVL"), ("Lead III", "III"),
        ("aVR (mV)", "aVR"), ("V6 uV", "V6"), ("D1", "I"), ("ECG D3", "III"),
    ],
)  # fmt: skip
def test_names_of_leads(name, lead):
    assert lead_row(name) == LEADS.index(lead)


@pytest.mark.parametrize("name", ["", None, "V7", "-aVR", "VI", "IIII", "Pleth", "CV1", "V1R", "1", "D4"])
def test_names_of_no_lead(name):
    assert lead_row(name) is None


def write_segments(folder, record, header):
    """Two segments of 2 s each; the second is named by a header of `record/3` with 1 s of nothing before
    it."""
    import wfdb

    mv = record.signal.T.astype(float)
    for name, first in (("a", 0), ("b", 1500)):
        wfdb.wrsamp(
            name, 500, ["mV"] * 12, list(LEADS), mv[first : first + 1000], fmt=["16"] * 12,
            write_dir=str(folder), comments=["Age: 56"],
        )  # fmt: skip
    (folder / "rec.hea").write_text(header)


NULL_SEGMENT = "rec/3 12 500 2500\na 1000\n~ 500\nb 1000\n"
LAYOUT = "rec/4 12 500 2500\nlayout 0\na 1000\n~ 500\nb 1000\n"


@pytest.mark.parametrize("header", [NULL_SEGMENT, LAYOUT])
def test_a_null_segment_of_wfdb_is_unknown_signal(record, tmp_path, header):
    write_segments(tmp_path, record, header)
    found = read_wfdb(tmp_path / "rec")
    assert found.age == 56
    gap = np.zeros(2500, bool)
    gap[1000:1500] = True
    assert np.isnan(found.signal[:, gap]).all()
    np.testing.assert_allclose(found.signal[:, ~gap], record.signal[:, :2500][:, ~gap], atol=0.01)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("a.hea", "a.dat", "b.hea", "b.dat", "rec.hea"):
            archive.write(tmp_path / name, f"ward/{name}")
    (page,) = open_pages(file.getvalue(), "z.zip")
    np.testing.assert_array_equal(page.load().signal, found.signal)


@pytest.mark.parametrize(
    "header",
    ["rec/2 12 500 1000\nrec 500\nrec 500\n", "rec/1 12 500 1000\n~ 1000\n", "rec/2 12 500\na\nb\n",
     "rec/2 12 500 2000\na 1000\nlost 1000\n"],
)  # fmt: skip
def test_damaged_segments_of_wfdb_are_an_error(record, tmp_path, header):
    write_segments(tmp_path, record, header)
    with pytest.raises(EcgError, match=r"segment|lost\.hea: no such file"):
        read_wfdb(tmp_path / "rec")


def test_wfdb_in_an_archive(record, tmp_path):
    import wfdb

    mv = record.signal.T.astype(float)
    wfdb.wrsamp("rec", 500, ["mV"] * 12, list(LEADS), mv, fmt=["16"] * 12, write_dir=str(tmp_path))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for folder in ("", "ward/"):
            archive.write(tmp_path / "rec.dat", f"{folder}rec.dat")
            archive.write(tmp_path / "rec.hea", f"{folder}rec.hea")
        archive.write(tmp_path / "rec.hea", "alone/lost.hea")
    pages = open_pages(file.getvalue(), "z.zip")
    assert [page.name for page in pages] == ["z.zip/rec.hea", "z.zip/ward/rec.hea", "z.zip/alone/lost.hea"]
    for page in pages[:2]:
        found = page.load()
        assert found.source == page.name
        np.testing.assert_allclose(found.signal, record.signal, atol=0.01)
    with pytest.raises(EcgError, match=r"rec\.dat: no such file"):
        pages[2].load()


def test_gains_that_make_every_lead_one_mv_high_are_none(record, tmp_path):
    """LUDB's headers: the counts are microvolts, and only in them is II the sum of I and III."""
    import wfdb

    counts = np.round(record.signal * 1000).astype(np.int64).T
    heights = [int(height) for height in np.ptp(counts, axis=0)]
    told = dict(units=["mV"] * 12, sig_name=list(LEADS), fs=500, write_dir=str(tmp_path), fmt=["16"] * 12)
    for name, gains in (("one", heights), ("real", [1000] * 12), ("other", [2 * heights[0], *heights[1:]])):
        wfdb.wrsamp(name, d_signal=counts, adc_gain=gains, baseline=[0] * 12, **told)
    for name in ("one", "real"):
        assert np.abs(read_wfdb(tmp_path / name).signal - record.signal).max() < 2e-3
    assert np.ptp(read_wfdb(tmp_path / "other").signal[0]) == pytest.approx(0.5, abs=1e-2)
