"""A few thousand mutated files of every kind; `python tests/fuzz.py --count 100000` is the long run."""

import pytest

pytest.importorskip("pillow_heif", reason="needs the extra serve")

from fuzz import CHUNK, check, fuzz, originals

from ecgvlm.record import Record


def test_originals_are_read():
    from ecgvlm.files.image import open_pages

    for name, data in originals().items():
        content = open_pages(data, name)[0].load()
        check(content)
        assert isinstance(content, Record) == (name == "DICOM waveform"), name


@pytest.mark.slow
def test_mutated_files_are_read_or_refused():
    outcomes, wrong = fuzz(16 * CHUNK, processes=2)
    assert wrong == []
    assert all(sum(counts.values()) == CHUNK for counts in outcomes.values())
