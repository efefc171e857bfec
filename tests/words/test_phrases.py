"""Every language says the same: the same keys, placeholders and names as English."""

from random import Random

import pytest

from ecgvlm.instruct.states import sample
from ecgvlm.labels import FINDINGS
from ecgvlm.words import answers
from ecgvlm.words.lexicon import lexicon
from ecgvlm.words.phrases import ENGLISH, LANGUAGES, placeholders, words
from ecgvlm.words.understand import intents

OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_sentences_have_the_placeholders_of_english(language):
    w = words(language)
    assert w.sentences.keys() == ENGLISH.sentences.keys()
    for key, sentence in ENGLISH.sentences.items():
        assert placeholders(w.sentences[key]) == placeholders(sentence), key


@pytest.mark.parametrize("language", OTHERS)
def test_everything_has_a_name(language):
    w = words(language)
    assert w.names["findings"].keys() == FINDINGS.keys()
    for kind, named in ENGLISH.names.items():
        if kind != "titles":  # of English headlines alone
            assert w.names[kind].keys() == named.keys(), kind
    assert set(w.names["examples"]) <= set(intents())


@pytest.mark.parametrize("language", LANGUAGES)
def test_reports_are_said_in_every_language(language):
    w = words(language)
    for seed in range(20):
        evidence = sample(Random(seed))
        report = answers.report(evidence, w)
        assert "{" not in report
        assert answers.verdict(evidence, w) in report
        for label in answers.beside_rhythm(evidence):
            assert w.finding(label)[1:].lower() in report.lower()


def test_numbers_are_written_as_the_language_writes_them():
    evidence = sample(Random(3))
    lead = next(lead for lead, waves in evidence.leads.items() if waves)
    said = {x: answers.lead_amount(evidence, "t", lead, words(x)) for x in ("en", "de")}
    assert "." in said["en"].removesuffix(".")
    assert "," in said["de"]


def test_probabilities_are_rounded_but_never_to_certainty():
    percents = [ENGLISH.percent(p) for p in (0.0, 0.004, 0.006, 0.5, 0.994, 1.0)]
    assert percents == ["under 1%", "under 1%", "1%", "50%", "99%", "over 99%"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_finding_can_be_asked_about_by_the_name_that_answers_give_it(language):
    known, w = lexicon(language), words(language)
    for code in FINDINGS.keys() - {"NORM", "NOSIGNAL"}:
        said = known.words(w.finding(code))
        named = known.objects(said)
        assert [(o.kind, o.code, o.last - o.first) for o in named][:1] == [("finding", code, len(said))], code
