"""Words as they were meant."""

import pytest

from ecgvlm.words.lexicon import lexicon


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pramature", ["premature"]),
        ("prematuer", ["premature"]),
        ("arryhthmia", ["arrhythmia"]),
        ("arrhythmiaa", ["arrhythmia"]),
        ("intervl", ["interval"]),
        ("atchycardia", ["tachycardia"]),
        ("whatistherhythm", ["what", "is", "the", "rhythm"]),
        ("q t c", ["qtc"]),
        ("Brugada", ["brugada"]),
        ("infarcton", ["infarction"]),  # begins as a name does
        ("herat", ["heart"]),  # a town, but a swap away from what is asked for
        ("ratl", ["rate"]),  # four letters that are no word
        ("trail", ["trail"]),
        ("rvot", ["rvot"]),
    ],
)
def test_slips_are_mended(written, meant):
    assert [word.plain for word in lexicon("en").words(written)] == meant


def test_traditional_chinese_is_read_as_simplified():
    assert "".join(word.plain for word in lexicon("zh").words("傳導阻滯")) == "传导阻滞"
