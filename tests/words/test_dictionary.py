"""Which words a language uses."""

import pytest

from ecgvlm.words.dictionary import has, is_word


@pytest.mark.parametrize(
    ("word", "language"),
    [("regelmassig", "de"), ("medecin", "fr"), ("сердце", "ru"), ("bugun", "tr"), ("heart", "en")],
)
def test_a_language_has_its_words_and_english_ones(word, language):
    assert has(word, language)
    assert has("doctor", language)
    assert not has("frobnicated", language)


def test_a_word_of_another_language_is_no_english_one():
    assert not is_word("regelmassig")
    assert is_word("heart")
