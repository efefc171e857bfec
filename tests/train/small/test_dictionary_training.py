"""Which words the table of a language has."""

import pytest

from ecgvlm.train.small.dictionary import chosen


@pytest.mark.parametrize(
    ("language", "used", "kept"),
    [
        ("hi", "नियमित", "नियमित"),
        ("de", "täglich", "taglich"),
        ("zh", "医生", "医生"),
        ("tr", "bugün", "bugun"),
    ],
)
def test_words_of_any_script_are_chosen_and_numbers_are_not(language, used, kept):
    words = chosen(language, [used, "2020", "x_1"])
    assert words[kept] == used
    assert not {"2020", "x_1", "x"} & words.keys()
