"""Reports for a reader: what each needs, in every language, and nothing that the page does not hold."""

from dataclasses import replace
from random import Random

import pytest
from bench_prose import Back, page

from ecgvlm.words import answers
from ecgvlm.words.language import Language
from ecgvlm.words.phrases import LANGUAGES, words
from ecgvlm.words.prose import READERS, SHORT, prose


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_holds_on_the_page(language):
    w, rng = words(language), Random(1)
    back = Back(w)
    for _ in range(5):
        evidence = page(rng)
        for reader in READERS:
            assert back.without_evidence(prose(evidence, (reader,), w), evidence) == []
            assert back.without_evidence(prose(evidence, (reader, SHORT), w), evidence) == []


def test_what_the_page_does_not_hold_is_found_out():
    rng, w = Random(2), words("en")
    back = Back(w)
    evidence = page(rng)
    report = prose(evidence, ("cardiologist",), w)
    for wrong in (
        replace(evidence, probabilities=dict.fromkeys(evidence.probabilities, 0.0)),
        replace(evidence, measurements={name: 77.0 for name in evidence.measurements}),
        replace(evidence, quality=1.0),
    ):
        assert back.without_evidence(report, wrong)


def test_a_patient_is_told_no_numbers_but_the_pulse():
    for seed in range(20):
        evidence = page(Random(seed))
        said = prose(evidence, ("patient",))
        assert sum(map(str.isdigit, said)) <= 3 + sum(
            map(str.isdigit, "".join(words("en").finding(x) for x in answers.named(evidence)))
        )


@pytest.mark.parametrize(
    ("question", "styles"),
    [
        ("Write a short report for the nurse", ("short", "nurse")),
        ("Explain my ECG in simple words", ("patient",)),
        ("A report for the cardiologist please", ("cardiologist",)),
        ("Schreib einen Bericht für den Patienten", ("patient",)),
    ],
)
def test_the_reader_is_understood(question, styles):
    language = Language()
    evidence = page(Random(3))
    spoken = "de" if question.startswith("Schreib") else "en"
    assert language.answer(evidence, question) == prose(evidence, styles, words(spoken))


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_abnormal_ecg_without_a_name_is_said_to_be_one(language):
    w = words(language)
    nothing = replace(
        page(Random(3)), probabilities=dict.fromkeys(page(Random(3)).probabilities, 0.0), no_signal=()
    )
    assert w.say("findings_unnamed") in answers.report(nothing, w)
    assert w.say("findings_unnamed") in answers.diagnosis(nothing, w)
    normal = replace(nothing, probabilities={**nothing.probabilities, "NORM": 1.0, "SR": 1.0})
    assert w.say("findings_unnamed") not in answers.report(normal, w)
