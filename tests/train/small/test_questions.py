"""Questions to learn from."""

from random import Random

from ecgvlm.train.small.questions import (
    KEPT,
    NOTHING,
    Writer,
    about_of,
    intents_of,
    people_asked,
    people_said,
    questions,
)  # fmt: skip


def test_harmless_words_are_written_beside_what_is_asked():
    writer = Writer("en", Random(0))
    asides = {writer._aside() for _ in range(200)}
    assert not any("{" in aside for aside in asides)
    written = [aside for aside in asides if aside != aside.lower()]
    assert 0 < len(written) < len(asides)  # at times as names are


def test_of_a_file_single_questions_are_taken():
    data = {
        "english": {"rate": {"value measure=qtc_ms | report": ["how fast?", ["AF?", "and the rate?"]]}},
        "several": {"rhythm; value measure=qtc_ms": ["rhythm and QTc"]},
        "spoken": {"de": {"rhythm": ["Rhythmus?"]}},
        "outside": {"*": ["a joke, please"]},
        "conversation": {"en": {"rhythm": [["hello", "which rhythm?"]]}},
    }
    assert list(questions(data)) == [
        ("en", "how fast?", "value measure=qtc_ms | report"),
        ("en", "rhythm and QTc", "rhythm; value measure=qtc_ms"),
        ("en", "a joke, please", "*"),
        ("de", "Rhythmus?", "rhythm"),
    ]


def test_all_that_a_question_may_mean_is_right():
    assert intents_of("value measure=qtc_ms | report") == {"value", "report"}
    assert intents_of("rhythm; value measure=qtc_ms") == {"several"}
    assert intents_of("*") >= {"advice", "offtopic"}
    assert "rhythm" not in intents_of("*")


def test_what_people_asked_is_written_in_several_ways(tmp_path):
    (tmp_path / "some.toml").write_text(
        '[english.rate]\n"value measure=heart_rate_bpm" = ["what is the HR?"]\n'
    )
    found = list(people_asked(tmp_path, Random(1)))
    assert found[0].text == found[1].text == "what is the HR"
    assert [span.kind for span in found[0].named] == ["measure"]
    assert len({example.text for example in found}) > 2


def test_some_of_what_people_asked_is_kept_to_calibrate_with(tmp_path):
    asked = ", ".join(f'"is it {number} or not?"' for number in range(2 * KEPT))
    (tmp_path / "some.toml").write_text(f'[english.rate]\n"finding finding=AF" = [{asked}]\n')
    found = list(people_asked(tmp_path, Random(1)))
    kept = {example.text for example in found if example.kept}
    assert len(kept) == 2
    assert kept.isdisjoint(example.text for example in found if not example.kept)


def test_the_same_tell_their_language(tmp_path):
    asked = ", ".join(f'"ist es Nummer {number}?"' for number in range(2 * KEPT))
    (tmp_path / "some.toml").write_text(f'[spoken.de]\n"finding finding=AF" = [{asked}, "AF"]\n')
    said = list(people_said(tmp_path, Random(1)))
    assert {language for _, language in said} == {"de"}
    assert len(said) == 2 * 2 * (KEPT - 1)  # as they stand and otherwise; without kept ones and "AF"


def test_what_a_question_is_about_is_known_of_some():
    assert about_of("finding finding=STE lead=V2 | amount wave=st") == {"finding=STE", "wave=st"}
    assert about_of("verdict | finding finding=NORM") == {"finding=NORM"}
    assert about_of("why") == about_of("unknown") == NOTHING  # though they could be asked of something
    assert about_of("advice") == about_of("*") == about_of("rhythm; value measure=qtc_ms") == frozenset()


def test_what_a_wording_names_is_what_it_is_about():
    writer = Writer("de", Random(0))
    assert writer.about("wie breit ist der QRS", "value") == {"measure=qrs_ms"}
    assert writer.about("warum", "why") == NOTHING
    assert not writer.about("ist das EKG in Ordnung", "verdict")
