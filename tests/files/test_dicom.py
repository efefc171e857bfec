"""DICOM pictures, documents and waveforms become the pages that they hold."""

import copy
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicoms import dataset, picture, written
from pydicom.uid import ExplicitVRBigEndian, JPEGBaseline8Bit

from ecgvlm.errors import EcgError
from ecgvlm.files.image import load_image, open_pages
from ecgvlm.files.waveform import read_waveform, write_dicom
from ecgvlm.printed import picture_of
from ecgvlm.simulate import Simulation, simulate

HEIGHT, WIDTH = 300, 500

RECORD, _ = simulate(Simulation(rate_bpm=72), 1)


def ramp() -> np.ndarray:
    """[H, W] uint8, dark on the left, bright on the right."""
    return np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))


def test_colour():
    rgb = np.dstack([ramp(), ramp()[:, ::-1], np.zeros_like(ramp())])
    assert (load_image(picture(rgb, "RGB")) == rgb).all()


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_of_any_depth(bits):
    deep = (ramp().astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint8 if bits == 8 else np.uint16)
    found = load_image(picture(deep, "MONOCHROME2", bits))
    assert np.abs(found.astype(int) - ramp()[..., None]).max() <= 2


def test_inverted_grey():
    found = load_image(picture(ramp(), "MONOCHROME1"))
    assert np.abs(found.astype(int) - (255 - ramp())[..., None]).max() <= 1


def test_frames_are_pages():
    frames = np.zeros((2, HEIGHT, WIDTH, 3), np.uint8)
    frames[1, ..., 0] = 255
    leaves = open_pages(picture(frames, "RGB"), "a.dcm")
    assert [leaf.name for leaf in leaves] == ["a.dcm (page 1)", "a.dcm (page 2)"]
    assert (leaves[1].load() == (255, 0, 0)).all()


def test_jpeg_inside():
    from PIL import Image
    from pydicom.encaps import encapsulate

    file = io.BytesIO()
    Image.fromarray(ramp()).save(file, "JPEG", quality=95)
    data = pydicom.dcmread(io.BytesIO(picture(ramp(), "MONOCHROME2")))
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = encapsulate([file.getvalue()])
    data["PixelData"].is_undefined_length = True
    assert np.abs(load_image(written(data)).astype(int) - ramp()[..., None]).mean() < 3


def test_document():
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (400, 300), "red").save(file, "PDF")
    data = dataset()
    data.EncapsulatedDocument = file.getvalue() + b"\0" * (len(file.getvalue()) % 2)
    data.MIMETypeOfEncapsulatedDocument = "application/pdf"
    assert np.abs(load_image(written(data)).astype(int) - (255, 0, 0)).mean() < 2


def test_waveform_written_and_read(tmp_path):
    record, _ = simulate(Simulation(rate_bpm=72), 1)
    record.signal[3, 40:60] = np.nan
    found = open_pages(write_dicom(record))[0].load()
    assert found.fs == record.fs
    np.testing.assert_allclose(found.signal, record.signal, atol=2e-3)
    assert found.patient == ""


def test_a_waveform_is_written_in_fine_steps():
    """Steps of 2.5 uV took an AV block, and once a pre-excitation, from leads of photographs."""
    quiet = replace(RECORD, signal=RECORD.signal * (3.0 / np.nanmax(np.abs(RECORD.signal))))
    loud = replace(RECORD, signal=RECORD.signal * 20)
    for record, step in ((quiet, 1e-4), (loud, np.nanmax(np.abs(loud.signal)) / 30_000)):
        found = open_pages(write_dicom(record))[0].load()
        np.testing.assert_allclose(found.signal, record.signal, atol=step / 1.9)


@pytest.mark.parametrize("sensitivity", [None, "0"])
def test_a_channel_without_sensitivity_is_refused(sensitivity):
    """Its numbers were taken for microvolts, or for flat lines."""
    file = pydicom.dcmread(io.BytesIO(write_dicom(simulate(Simulation(), 1)[0])))
    for channel in file.WaveformSequence[0].ChannelDefinitionSequence:
        if sensitivity is None:
            del channel.ChannelSensitivity
        else:
            channel.ChannelSensitivity = sensitivity
    with pytest.raises(EcgError, match="no sensitivity"):
        open_pages(written(file), "a")[0].load()


def test_a_unit_in_words_and_an_age_in_months():
    file = pydicom.dcmread(io.BytesIO(write_dicom(RECORD)))
    for channel in file.WaveformSequence[0].ChannelDefinitionSequence:
        unit = channel.ChannelSensitivityUnitsSequence[0]
        unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = "266418", "MDC", "Microvolt"
    file.PatientAge = "006M"
    record = read_waveform(file, "x")
    assert record.age == 0.5
    np.testing.assert_allclose(record.signal, RECORD.signal, atol=2e-3)


def test_an_age_by_two_dates():
    file = pydicom.dcmread(io.BytesIO(write_dicom(RECORD)))
    file.PatientBirthDate, file.AcquisitionDateTime = "19500315", "20100316093000.00"
    assert read_waveform(file, "x").age == 60


def test_leads_in_another_language():
    """Where a meaning was not understood the code counted for nothing."""
    file = pydicom.dcmread(io.BytesIO(write_dicom(RECORD)))
    for channel in file.WaveformSequence[0].ChannelDefinitionSequence:
        channel.ChannelSourceSequence[0].CodeMeaning = "Ableitung"
    np.testing.assert_allclose(read_waveform(file, "x").signal, RECORD.signal, atol=2e-3)


def test_what_stands_beside_leads():
    """Breath in ohm took the leads with it."""
    file = pydicom.dcmread(io.BytesIO(write_dicom(RECORD)))
    group = file.WaveformSequence[0]
    breath = copy.deepcopy(group.ChannelDefinitionSequence[0])
    breath.ChannelSourceSequence[0].CodeValue = "2:20480"
    breath.ChannelSourceSequence[0].CodeMeaning = "Respiration"
    breath.ChannelSensitivityUnitsSequence[0].CodeValue = "Ohm"
    breath.ChannelSensitivityUnitsSequence[0].CodeMeaning = "ohm"
    group.ChannelDefinitionSequence.append(breath)
    group.NumberOfWaveformChannels = 13
    samples = np.frombuffer(group.WaveformData, "<i2").reshape(-1, 12)
    group.WaveformData = np.c_[samples, samples[:, 0]].tobytes()
    np.testing.assert_allclose(read_waveform(file, "x").signal, RECORD.signal, atol=2e-3)


def test_big_endian_samples():
    """They were taken for little-endian ones: noise, refused only where it was high enough."""
    file = pydicom.dcmread(io.BytesIO(write_dicom(RECORD)))
    group = file.WaveformSequence[0]
    for name in ("WaveformData", "WaveformPaddingValue"):
        group[name].value = np.frombuffer(group[name].value, "<i2").byteswap().tobytes()
    file.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    found = io.BytesIO()
    pydicom.dcmwrite(found, file, implicit_vr=False, little_endian=False)
    signal = open_pages(found.getvalue(), "x")[0].load().signal
    np.testing.assert_allclose(signal, RECORD.signal, atol=1e-3)


def test_a_file_that_begins_with_its_mark():
    data = write_dicom(RECORD)
    np.testing.assert_array_equal(
        open_pages(data[128:], "x")[0].load().signal, open_pages(data, "x")[0].load().signal
    )


@pytest.mark.parametrize("parts", [1, 4], ids=["whole", "columns"])
def test_a_strip_beside_the_leads_is_of_the_same_time(parts):
    """It was laid behind them, and the record became twice as long."""
    file = pydicom.dcmread(io.BytesIO(write_dicom(RECORD)))
    (whole,) = file.WaveformSequence
    units = np.frombuffer(whole.WaveformData, "<i2").reshape(-1, 12)

    def group(leads, first, last):
        made = copy.deepcopy(whole)
        made.ChannelDefinitionSequence = [made.ChannelDefinitionSequence[k] for k in leads]
        made.NumberOfWaveformChannels, made.NumberOfWaveformSamples = len(leads), last - first
        made.WaveformData = np.ascontiguousarray(units[first:last, leads]).tobytes()
        return made

    step, width = len(units) // parts, 12 // parts
    columns = [group([*range(k * width, (k + 1) * width)], k * step, (k + 1) * step) for k in range(parts)]
    file.WaveformSequence = [*columns, group([1], 0, len(units))]
    record = read_waveform(file, "x")
    assert record.signal.shape == RECORD.signal.shape
    np.testing.assert_allclose(record.signal[1], RECORD.signal[1], atol=2e-3)
    for k in range(parts):
        rows, part = slice(k * width, (k + 1) * width), slice(k * step, (k + 1) * step)
        np.testing.assert_allclose(record.signal[rows, part], RECORD.signal[rows, part], atol=2e-3)


def test_waveform_is_printed_and_read_back(digitizer):
    """The page that a waveform is printed as holds what was recorded."""
    record, _ = simulate(Simulation(rate_bpm=72), 1)
    page = digitizer(picture_of(open_pages(write_dicom(record))[0].load()))
    found = page.leads(record.fs)
    n = min(found.shape[1], record.signal.shape[1])
    two = np.stack([found[1, :n], record.signal[1, :n]])
    two = two[:, np.isfinite(two).all(0)]
    assert np.corrcoef(two)[0, 1] > 0.95


@pytest.mark.parametrize(
    ("file", "code"),
    [
        (lambda: b"\0" * 128 + b"DICM" + b"\0" * 40, "unreadable_file"),
        (lambda: written(dataset()), "unreadable_file"),
        (lambda: picture(ramp(), "MONOCHROME2")[:-5000], "unreadable_file"),
        (lambda: picture(ramp(), "MONOCHROME2", Rows=60_000, Columns=60_000), "too_large"),
        (lambda: picture(ramp(), "MONOCHROME2", NumberOfFrames=5_000), "too_large"),
    ],
)
def test_unusable(file: Callable[[], bytes], code):
    with pytest.raises(EcgError) as error:
        load_image(file(), "a.dcm")
    assert error.value.code == code
    assert "\n" not in error.value.message
