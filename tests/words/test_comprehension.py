"""What the net is shown of a text."""

import numpy as np
import pytest

from ecgvlm.words.comprehension import (
    BEFORE,
    BEGINS,
    ENDS,
    KINDS,
    MOST,
    MOST_BEFORE,
    Comprehension,
    Span,
    Text,
    pieces,
)  # fmt: skip
from ecgvlm.words.lexicon import lexicon
from ecgvlm.words.understand import as_shown


@pytest.fixture(scope="module")
def comprehension() -> Comprehension:
    return Comprehension()


@pytest.mark.parametrize(
    ("text", "name"), [("is the QRS wide?", "QRS"), ("心率是多少", "心率"), ("ÉTAT du ﬁl: PR ?", "PR")]
)
def test_the_pieces_of_a_name_have_its_kind(comprehension, text, name):
    start = text.index(name)
    ids, kinds = pieces(comprehension._tokenizer, Text(text, [Span(start, start + len(name), "measure")]))
    assert (ids[0], ids[-1]) == (BEGINS, ENDS)
    own = [comprehension._tokenizer.id_to_token(i) for i, kind in zip(ids, kinds) if KINDS[kind] == "measure"]
    assert "".join(own).strip("\u2581") == name


def test_of_a_long_text_the_end_is_read(comprehension):
    ids, kinds = pieces(comprehension._tokenizer, Text("one two three " * 60 + "QRS", [Span(0, 3, "wave")]))
    assert len(ids) == len(kinds) == MOST
    assert not kinds.any()
    assert comprehension._tokenizer.id_to_token(ids[-2]) != comprehension._tokenizer.id_to_token(ids[1])


def test_the_question_before_is_told_apart(comprehension):
    before = Text("is the QT " + "so very " * 20 + "long", [Span(7, 9, "measure")])
    ids, kinds = pieces(comprehension._tokenizer, Text("why", ()), before)
    alone, _ = pieces(comprehension._tokenizer, Text("why", ()))
    assert (ids[MOST_BEFORE:] == alone).all()
    assert (kinds >= BEFORE).tolist() == [True] * MOST_BEFORE + [False] * len(alone)


@pytest.mark.parametrize(
    ("text", "language", "meant"),
    [
        ("how fast is it going", "en", {"value", "within", "limit"}),
        ("wie schnell schlägt das Herz", "de", {"value", "within", "limit"}),
        ("should I start her on bisoprolol", "en", {"advice"}),
        ("у пациента есть фибрилляция предсердий", "ru", {"finding"}),
    ],
)
def test_what_is_asked_is_told_in_any_language(comprehension, text, language, meant):
    known = lexicon(language)
    words = known.words(text)
    scores = comprehension.scores([as_shown(text, words, known.objects(words))])
    assert comprehension.intents[int(scores.intents[0].argmax())] in meant


def test_several_texts_at_once_are_read_as_each_alone(comprehension):
    texts = [
        "is there AF",
        "I had this done last week at the clinic and wonder whether it is all right",
        "QTc?",
    ]
    together = comprehension.scores([Text(text, ()) for text in texts]).intents
    for text, scores in zip(texts, together):
        (alone,) = comprehension.scores([Text(text, ())]).intents
        assert alone.argmax() == scores.argmax()
        assert np.abs(alone - scores).max() < 1.5  # 8 bits of the largest of all


def test_what_is_shouted_is_read_in_small_letters(comprehension):
    shouted, said = ("WHICH DIAGNOSES APPLY", "which diagnoses apply")
    loud, quiet = (pieces(comprehension._tokenizer, Text(text, ()))[0] for text in (shouted, said))
    assert (loud == quiet).all()


@pytest.mark.parametrize(
    ("text", "language", "thing"),
    [
        ("did it stop for a bit in the middle", "en", "finding=PAUSE"),
        ("how long is the gap before the big spike", "en", "measure=pr_ms"),
        ("is the top half of the heart just quivering", "en", "finding=AF"),
        ("zittern die Vorhöfe nur noch rum", "de", "finding=AF"),
    ],
)
def test_what_it_is_asked_of_is_told_though_it_has_no_name(comprehension, text, language, thing):
    known = lexicon(language)
    words = known.words(text)
    scores = comprehension.scores([as_shown(text, words, known.objects(words))])
    assert comprehension.things[int(scores.things[0].argmax())] == thing
