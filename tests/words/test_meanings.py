"""What words mean, in any of our languages."""

import numpy as np
import pytest

from ecgvlm.words.meanings import DIMENSIONS, USES, meanings


def _sense(word: str, language: str) -> np.ndarray:
    return meanings([word], [False], language)[0][USES:-1]


@pytest.mark.parametrize(
    ("word", "language", "same", "other"),
    [
        ("regelmassig", "de", "regular", "doctor"),
        ("medecin", "fr", "doctor", "picture"),
        ("сердце", "ru", "heart", "today"),
        ("bugun", "tr", "today", "heart"),
    ],
)
def test_words_of_two_languages_that_mean_the_same_are_alike(word, language, same, other):
    assert _sense(word, language) @ _sense(same, "en") > _sense(word, language) @ _sense(other, "en") + 0.2


def test_an_unknown_word_is_known_by_its_beginning_and_ideographs_by_the_word_they_make():
    assert (_sense("herzzzz", "de") == _sense("herz", "de")).all()
    assert meanings(list("医生"), [False, True], "zh").shape == (1, DIMENSIONS + 1)
    assert meanings(["qqqqq"], [False], "de").shape == (0, DIMENSIONS + 1)
