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
        ("arrhythmi", ["arrhythmia"]),  # or arrhythmic, which begins alike
        ("sinns", ["sinns"]),  # signs, or sinus
        ("trail", ["trail"]),
        ("rvot", ["rvot"]),
    ],
)
def test_slips_are_mended(written, meant):
    assert [word.plain for word in lexicon("en").words(written)] == meant


def test_traditional_chinese_is_read_as_simplified():
    assert "".join(word.plain for word in lexicon("zh").words("傳導阻滯")) == "传导阻滞"


@pytest.mark.parametrize(
    ("language", "written", "meant"),
    [
        ("ar", "كم المعدل وما النظم", ["كم", "معدل", "و", "ما", "نظم"]),
        ("ar", "معايير لتضخم البطين", ["معايير", "ل", "تضخم", "بطين"]),
        ("ar", "الورقة والصورة", ["ورقه", "و", "صوره"]),  # the first begins so
        ("tr", "V3'te QTc’yi hesapla", ["v3", "qtc", "hesapla"]),
    ],
)
def test_what_is_written_together_with_a_word_stands_apart(language, written, meant):
    assert [word.plain for word in lexicon(language).words(written)] == meant


@pytest.mark.parametrize(
    ("language", "question", "left"),
    [
        ("en", "Brugada type 1 in this febrile builder?", "brugada type 1"),
        ("en", "In this lady from Porto, is there AF?", "is there af"),
        ("fr", "BBD chez ce plongeur de Brest ?", "bbd"),
        ("en", "how wide is the QRS in this lead", "how wide is the qrs in this lead"),
        ("en", "rhythm in this AF patient", "rhythm in this af patient"),
    ],
)
def test_who_has_the_ecg_is_no_part_of_a_question(language, question, left):
    known = lexicon(language)
    assert " ".join(word.plain for word in known.pertinent(question, known.words(question))) == left
