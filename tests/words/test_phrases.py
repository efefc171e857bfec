"""Every language says the same: the same keys, placeholders and names as English."""

import re
from dataclasses import replace
from random import Random

import pytest

from ecgvlm.instruct.states import sample
from ecgvlm.judge.criteria import SEX_UNKNOWN, Criterion, rules
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


CONDITIONS = [
    Criterion(
        code, when.name + SEX_UNKNOWN * when.by_sex, value, when.unit, ">=", limit, met, 0.9, when.source,
        leads=("V1", "V2"),
    )
    for code, rule in rules().items() if code not in ("NORM", "NOQRS")
    for when in rule.when
    for value, limit, met in ((0.256, 0.1, True), (130.0, None, False), (None, 1.0, None))
]  # fmt: skip
# Words of English conditions that no other language writes so.
UNTRANSLATED = re.compile(
    r"\b(?:the|and|with|without|before|after|for|each|leads|waves?|beats?|rate|share|rhythm|not"
    r"|shape|longest|unknown|elevation|depression|assessable)\b"
)
# What is written so in every script.
LETTERS = re.compile(
    r"\b(?:PR|QRS|RR|ST|QTc?|AV|WPW|STEMI|Sokolow|Lyon|Cornell|Peguero|Lo|Presti|aV[RLF]|I{1,3})\b"
)


@pytest.mark.parametrize("language", OTHERS)
def test_conditions_of_definitions_are_said_in_every_language(language):
    w = words(language)
    for criterion in CONDITIONS:
        said = answers.condition(criterion, w)
        assert not UNTRANSLATED.search(said), said
        if language in ("ru", "zh", "hi", "ar"):
            assert not re.search(r"[A-Za-z]{2}", LETTERS.sub("", said)), said


def test_the_numbers_of_a_condition_are_the_measured_ones_in_any_language():
    force = Criterion("LAE", "terminal force of P in V1", 5.256, "mV ms", ">=", 4.0, True, 0.9, "a source")
    assert answers.condition(force) == "terminal force of P in V1 5.26 mV ms (>= 4, met)"
    assert answers.condition(force, words("de")) == "terminaler P-Anteil in V1 5,26 mV·ms (>= 4, erfüllt)"
    assert answers.condition(force, words("zh")) == "V1 导联 P 波终末电势 5.26 毫伏·毫秒（>= 4，符合）"


def test_what_is_there_or_not_reads_without_a_number():
    yes = Criterion("SB", "sinus rhythm", 0.97, "", ">=", 0.5, True, 0.97, "a source")
    assert answers.condition(yes) == "sinus rhythm (met)"
    assert answers.condition(yes, words("fr")) == "rythme sinusal (rempli)"
    rate = Criterion("SB", "heart rate", 47.0, "bpm", "<", 60.0, True, 1.0, "a source")
    assert answers.condition(rate) == "heart rate 47 bpm (< 60, met)"
    assert answers.condition(replace(rate, met=None, value=None)) == "heart rate (not assessable)"


def test_what_must_not_be_there_reads_with_its_limit():
    """ "Pacemaker (met)" would say that there is one."""
    none = Criterion("IVR", "pacemaker", 0.02, "", "<", 0.5, True, 0.97, "a source")
    assert answers.condition(none) == "pacemaker 0.02 (< 0.5, met)"
