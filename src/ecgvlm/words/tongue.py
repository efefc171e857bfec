"""Which language a question is in: by its script and letters, its words, and what the net says."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from ecgvlm.words.lexicon import Lexicon, asked, lexicon
from ecgvlm.words.spelling import SPELT
from ecgvlm.words.text import Word, split

OTHER = "other"  # a language that is none of ours
_SCRIPTS = {
    "zh": re.compile(r"[\u3400-\u9fff\u3002\uff01\uff0c\uff1f]"), "hi": re.compile(r"[\u0900-\u097f]"),
    "ar": re.compile(r"[\u0600-\u06ff]"), "ru": re.compile(r"[\u0400-\u04ff]"),
}  # fmt: skip
# Letters of scripts and languages that we do not know: kana, hangul, Greek, Hebrew, Thai, Ukrainian,
# Persian, Urdu.
_FOREIGN = re.compile(r"[\u3040-\u30ff\uac00-\ud7af\u0370-\u03ff\u0590-\u05ff\u0e00-\u0e7fіїєґўپچگکیےٹڈ]")
_SPANISH = re.compile("[¿¡]")
_SPACED = re.compile(r"\w [?!:]")  # as French is printed
_SURE, _TELLING = 0.9, 0.97  # of a language
_ROMANISED = 2  # words of Hindi in Latin letters that tell it
_ROMAN_SURE = 0.75  # probability that it is Hindi from which on it is, in Latin letters
_FOREIGN_SURE = 0.8  # that it is none of ours
_NEAR = 0.1  # of the likeliest language's probability: one that may be meant too
# Letters beside a to z of the languages that are written in these, as Hindi often is; one that a language
# lacks speaks against it.
_ACCENTS = {
    language: frozenset(letters)
    for language, letters in {
        "en": "", "hi": "", "de": "äöüß", "fr": "àâçéèêëîïôùûüœæ", "es": "áéíñóúü", "pt": "áâãàçéêíóôõú",
        "it": "àéèìòù", "nl": "éèëïöü", "pl": "ąćęłńóśźż", "tr": "âçğıîöşü",
    }.items()
}  # fmt: skip
_ACCENTED = frozenset().union(*_ACCENTS.values())
_SEVERAL, _POSSIBLE = 2, 0.02  # words that are more than one; probability of a language that may be meant
_MISSED = 2.0  # of the score of a language, for each letter that it lacks; French gains it where spaced so
_WORD, _NEVER = 2, 1e-9  # log probability that each word is worth that a language has; least probability
# Times, than the language spoken so far: another one that has as many of the words; where those are few.
_LIKELIER, _LIKELIER_FEW = 20, 5
_CODE = 2  # letters of an abbreviation that in small letters may be a word
_BRIEF = 3  # letters of a word that many languages may have
_FEW = 6  # words by which alone no language is told, where all are those of the language spoken so far


def spoken(text: str, default: str, languages: Sequence[str], scores_of: Callable[[str], np.ndarray]) -> str:
    """The language of a text: one of `phrases.LANGUAGES` or `OTHER`; default where it has next to no words.

    scores_of: text -> the net's scores [len(languages)] of the languages.
    """
    if by_letters := _by_letters(text, split(text)):
        return by_letters
    text = _without_codes(text)
    said = split(text)
    if not re.search(r"[^\W\d_]{2}", text):
        return default
    plain = lexicon(default).knows(_spelt_in(said, default))
    chances = _chances(text, languages, scores_of(text))
    if plain < len(said) and chances[languages.index("hi")] > _ROMAN_SURE:
        return "hi"
    if len(said) <= _FEW and plain == len(said) and not _other_usual(said, default, languages, chances):
        return default
    if 2 * plain <= len(said) and (alone := _alone_has(said, languages, chances)):
        return alone
    known, sure = languages[int(chances.argmax())], chances.max()
    short = len(re.findall(r"[^\W\d_]{2,}", text)) < 2
    if known == OTHER and sure > _FOREIGN_SURE and not short and plain < len(said):
        return OTHER
    if known == OTHER or sure < _SURE:  # of those that come near, the one that has most of the words
        near = [languages[i] for i in np.argsort(-chances) if chances[i] > _NEAR * sure]
        near = [language for language in near if language != OTHER] or [default]
        french = _SPACED.search(text) is not None

        def fits(language: str) -> tuple[float, int, bool]:
            has, usual = _familiar(said, lexicon(language))
            likely = float(np.log(chances[languages.index(language)] + _NEVER))
            return _WORD * has + likely, usual, french and language == "fr"

        known = max(near, key=fits)
    # The language spoken so far is left only for one that has more of the words, or telling letters; the less
    # so the fewer words it has itself.
    here, there = _known(said, lexicon(known)), _known(said, lexicon(default))
    if text.isupper() and not here[0] and not there[0]:  # "SAECG?"
        return default
    few = 2 * plain < len(said)
    told = sure > (_SURE if few else _TELLING)
    likelier = sure > (_LIKELIER_FEW if few else _LIKELIER) * chances[languages.index(default)]
    own = [word for word in said if lexicon(default).knows([word])]
    if here == there and len(own) == len(said) - 1 >= _SEVERAL and lexicon(known).knows(own) < len(own):
        return default  # for but a foreign name: "is there vorhofflimmern"
    return known if here > there or told or (here == there and likelier) else default


def _without_codes(text: str) -> str:
    """A text without abbreviations that all languages have: "Jest LBBB?" is no more English for its LBBB."""
    for word in reversed(split(text)):
        if word.plain in SPELT and (word.text.isupper() or len(word.text) > _CODE):
            text = f"{text[: word.start]} {text[word.end :]}"
    return text


def _by_letters(text: str, said: list[Word]) -> str | None:
    """The language that its letters, marks or Hindi's words in Latin letters tell, None where none do."""
    if _FOREIGN.search(text):
        return OTHER
    for language, script in _SCRIPTS.items():
        if script.search(text):
            return language
    if sum(word.plain in _romanised_hindi() for word in said) >= max(1, min(_ROMANISED, len(said))):
        return "hi"
    return "es" if _SPANISH.search(text) else None


def _chances(text: str, languages: Sequence[str], scores: np.ndarray) -> np.ndarray:
    """[len(languages)] probabilities of the languages, in the light of the text's letters."""
    scores, lower = scores.copy(), text.lower()
    for place, language in enumerate(languages):
        if language in _SCRIPTS and language not in _ACCENTS:  # written otherwise
            scores[place] = -np.inf
        elif language != OTHER:
            scores[place] -= _MISSED * len(_ACCENTED.intersection(lower) - _ACCENTS[language])
    if _SPACED.search(text):
        scores[languages.index("fr")] += _MISSED
    chances = np.exp(scores - scores.max())
    return chances / chances.sum()


@lru_cache
def _romanised_hindi() -> frozenset[str]:
    return frozenset(asked("hi")["romanised"])


def _spelt_in(words: list[Word], language: str) -> list[Word]:
    """The words whose letters a language has: "é" is no English "e"."""
    lacked = _ACCENTED - _ACCENTS.get(language, _ACCENTED)
    return [word for word in words if lacked.isdisjoint(word.text.lower())]


def _known(words: list[Word], known: Lexicon) -> tuple[int, int]:
    """How many words a language has, and how many of them are no short ones ("pls" says little) that usually
    ask about an ECG, as the names of drugs do not."""
    here = [word for word in _spelt_in(words, known.language) if known.knows([word])]
    return len(here), sum(len(word.plain) > _BRIEF and known.usual(word) for word in here)


def _other_usual(said: list[Word], default: str, languages: Sequence[str], chances: np.ndarray) -> bool:
    """Whether all words usually ask about an ECG in another language that is likelier, but not in the one
    spoken so far: "wat is de QTc?"."""
    _, here = _familiar(said, lexicon(default))
    likelier = (x for x, chance in zip(languages, chances) if chance > chances[languages.index(default)])
    return here < len(said) and any(
        _familiar(said, lexicon(language))[1] == len(said) for language in likelier if language != OTHER
    )


def _alone_has(said: list[Word], languages: Sequence[str], chances: np.ndarray) -> str | None:
    """The only language that has all of several words, and is possible by the net; None where there is no
    such language."""
    if len(said) < _SEVERAL:
        return None
    possible = [x for x, chance in zip(languages, chances) if chance > _POSSIBLE and x != OTHER]
    have = [language for language in possible if _known(said, lexicon(language))[0] == len(said)]
    return have[0] if len(have) == 1 else None


def _familiar(words: list[Word], known: Lexicon) -> tuple[int, int]:
    """How many words a language has, and how many of them usually ask about an ECG."""
    return known.knows(words), sum(known.usual(word) for word in words)
