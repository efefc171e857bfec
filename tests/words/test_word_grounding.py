"""What is not asked is not answered: each word of a question is accounted for, or nobody is sure."""

from dataclasses import replace

import pytest

from ecgvlm.words.dialogue import Conversation, Dialogue
from ecgvlm.words.grounding import grounded, may_ask_otherwise
from ecgvlm.words.lexicon import lexicon, named_objects
from ecgvlm.words.phrases import LANGUAGES
from ecgvlm.words.resolve import resolve
from ecgvlm.words.understand import Asked, Understanding, Understood, kin


@pytest.fixture(scope="module")
def dialogue() -> Dialogue:
    return Dialogue(Understanding())


def heard(dialogue: Dialogue, question: str) -> list[tuple[str, tuple[str, ...]]]:
    """The families of intents of a question, each with the findings and measurements that it is about."""
    parts = dialogue.hear(question, Conversation()).parts
    return [(kin(part.intent), (*part.of("finding"), *part.of("measure"))) for part in parts]


def test_an_unknown_word_beside_a_measurement_makes_something_else_of_it() -> None:
    measure = {"measure": ("qt_ms",)}
    assert not grounded(Asked("value", measure, "QT flurbosity", sure=0.5), "en")
    assert grounded(Asked("value", measure, "QT flurbosity", sure=0.9), "en")
    assert grounded(Asked("value", measure, "QT before flurbosity", sure=0.5), "en")
    assert grounded(Asked("value", measure, "the QT, please", sure=0.5), "en")


def test_words_left_over_ask_for_a_surer_intent_where_nothing_is_named() -> None:
    assert not grounded(Asked("verdict", {}, "is the plumbing too tight", sure=0.65), "en")
    assert grounded(Asked("verdict", {}, "is the plumbing too tight", sure=0.95), "en")
    assert grounded(Asked("verdict", {}, "is anything abnormal", sure=0.65), "en")
    assert not grounded(Asked("quality", {}, "ist der Zwirbel rot", sure=0.65), "de")


def test_a_refusal_says_nothing_of_the_page_and_needs_less() -> None:
    assert grounded(Asked("offtopic", {}, "who flurbs the zwirbel", sure=0.4), "en")
    assert not grounded(Asked("identity", {}, "is she flurbing", sure=0.6), "en")


def test_other_forms_of_the_words_of_a_wording_are_accounted_for() -> None:
    assert grounded(Asked("rhythm", {}, "rhythms classified", sure=0.5), "en")


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("has the anterior wall infarcted", [("finding", ("AMI",))]),
        ("is the back wall infarcted", [("finding", ("PMI",))]),
        ("anterior or inferior infarct?", [("finding", ("AMI", "IMI"))]),
        ("¿infarto anterior o inferior?", [("finding", ("AMI", "IMI"))]),
        ("Linksschenkelblock oder rechts?", [("finding", ("LBBB", "RBBB"))]),
        ("it is LVH, right?", [("finding", ("LVH",))]),
        ("MI and left axis deviation?", [("finding", ("MI", "LAD"))]),
    ],
)
def test_what_tells_like_findings_apart_makes_the_one_that_is_meant(
    dialogue: Dialogue, question: str, meant: list
) -> None:
    assert heard(dialogue, question) == meant


def test_the_page_and_the_heart_are_not_taken_for_each_other() -> None:
    """ "How fast" names the rate; what is worded like a question about the page asks for another speed."""
    part = Asked("scale", {"measure": ("heart_rate_bpm",)}, "how fast", sure=0.6, others=("value",))
    assert [meant.intent for meant in resolve(part, ())] == ["unsure"]
    unlikely = replace(part, sure=0.3)
    assert [meant.intent for meant in resolve(unlikely, ())] == ["value"]


def test_measurements_compared_with_each_other_are_not_compared_with_their_limits(dialogue: Dialogue) -> None:
    (part,) = dialogue.hear("is the QRS longer than the PR", Conversation()).parts
    assert part.of("measure") == ("qrs_ms", "pr_ms")
    assert not part.of("side")
    (limit,) = dialogue.hear("is the QRS longer than 120 ms", Conversation()).parts
    assert limit.of("side") == ("high",)


@pytest.mark.parametrize(
    "question",
    ["QT flurbosity?", "what is the bandwidth of the QRS", "QT in giraffes", "axis of the Earth",
     "rhythm of the giraffe", "report him to the police", "is the pacemaker's battery fine",
     "QT-Streuung der Zwillinge", "¿qué entropía tiene el RR?"],
)  # fmt: skip
def test_what_makes_something_else_of_a_name_is_refused_or_told(dialogue: Dialogue, question: str) -> None:
    parts = dialogue.hear(question, Conversation()).parts
    assert all(part.left or part.intent == "unsure" or kin(part.intent) == "refused" for part in parts)


def test_what_likely_lies_beyond_the_ecg_is_not_answered_where_words_are_left_over() -> None:
    asked = Asked("value", {"measure": ("qt_ms",)}, "QT of the flurbosity", sure=0.9, outside=0.6)
    assert not grounded(asked, "en")
    assert grounded(replace(asked, outside=0.1), "en")
    assert grounded(replace(asked, text="what is the QT"), "en")


def test_words_are_not_mended_into_others_that_english_has(dialogue: Dialogue) -> None:
    assert not dialogue.hear("bandwidth", Conversation()).parts[0].of("side")
    assert [word.plain for word in lexicon("en").words("bandwidth")] == ["bandwidth"]


@pytest.mark.parametrize(
    "question",
    ["is the QRS notched", "QRS amplitude?", "are the T waves peaked",
     "Sind die T-Wellen spitz?", "QRS形态如何？", "Какая форма QRS?"],
)  # fmt: skip
def test_what_is_no_duration_or_height_is_not_answered_by_one(dialogue: Dialogue, question: str) -> None:
    assert {intent for intent, _ in heard(dialogue, question)} == {"unsure"}


def test_tall_waves_are_the_tallest(dialogue: Dialogue) -> None:
    (part,) = dialogue.hear("tall T waves?", Conversation()).parts
    assert (part.intent, part.variants) == ("amount", ("most",))


def test_squares_of_the_paper_are_a_unit(dialogue: Dialogue) -> None:
    (part,) = dialogue.hear("is the QRS more than 3 small squares", Conversation()).parts
    assert (part.of("measure"), part.of("number"), part.of("unit")) == (("qrs_ms",), ("3",), ("small",))


def test_a_choice_of_numbers_is_no_range(dialogue: Dialogue) -> None:
    (part,) = dialogue.hear("QRS 0.08 or 0.12?", Conversation()).parts
    assert (part.of("measure"), part.of("number")) == (("qrs_ms",), ())


def test_an_artery_is_no_axis(dialogue: Dialogue) -> None:
    part = dialogue.hear("is it the LAD that's blocked?", Conversation()).parts[0]
    assert part.intent == "cause"
    (part,) = dialogue.hear("LAD?", Conversation()).parts
    assert part.of("finding") == ("LAD",)


def test_an_accented_is_joins_no_questions(dialogue: Dialogue) -> None:
    assert heard(dialogue, "O eixo é normal?") == [("measure", ("axis_deg",))]


@pytest.mark.parametrize(
    ("language", "question", "meant"),
    [
        ("en", "any vetricular fibrilation?", "VF"),  # was answered as atrial fibrillation
        ("en", "preature atrila complexes?", "PAC"),  # as the QRS duration
        ("en", "wolf parkinson white", "WPW"),
        ("en", "complete hart block", "AVB3"),
        ("ru", "блокада лево ножки", "LBBB"),
    ],
)
def test_a_slip_in_a_name_of_several_words_leaves_no_shorter_name(language, question, meant) -> None:
    known = lexicon(language)
    assert [named.code for named in known.objects(known.words(question))] == [meant]


def test_words_that_tell_names_apart_are_no_slips() -> None:
    known = lexicon("en")
    for question in ("inferior infarct", "left axis", "right bundle branch block", "QT rate"):
        assert " ".join(word.plain for word in known.words(question)) == question.lower()


@pytest.mark.parametrize(("outside", "said"), [(0.95, ["offtopic"]), (0.85, ["offtopic", "unsure"])])
def test_a_refusal_that_may_be_wrong_offers_the_nearest_questions(outside, said) -> None:
    class Hearing:
        def understand(self, question: str, default: str) -> Understood:
            return Understood("en", (Asked("offtopic", {}, question, outside, outside=outside),))

    parts = Dialogue(Hearing()).hear("What would you tell your boss?", Conversation()).parts
    assert [part.intent for part in parts] == said


def test_who_asks_why_of_what_lies_beyond_the_ecg_does_not_ask_why_of_it(dialogue: Dialogue) -> None:
    """Both were answered by all that speaks for the verdict."""
    for question in ("My knee hurts when I climb stairs, why?", "Qual a chance de ser blorpage?"):
        parts = dialogue.hear(question, Conversation()).parts
        assert all(part.intent not in ("why", "likelihood") for part in parts)
    assert heard(dialogue, "Why?") == heard(dialogue, "How do you know?") == [("finding", ())]


def test_where_a_word_is_of_what_lies_beyond_and_of_the_ecg_nothing_else_is_refused() -> None:
    """Depression is one of the mind, too."""
    asked = Asked("where", {"topic": ("tests",)}, "leads with depression", 0.9, beyond=0.1)
    assert resolve(asked, ())[0].intent == "where"
    assert resolve(replace(asked, beyond=0.4), ())[0].intent == "tests"


def test_what_may_not_ask_whether_a_finding_is_there_is_told_more() -> None:
    asked = Asked("finding", {"finding": ("AF",)}, "which things plead for the AF", 0.5, whether=0.1)
    assert may_ask_otherwise(asked, "en")
    assert not may_ask_otherwise(replace(asked, whether=0.6), "en")
    assert not may_ask_otherwise(replace(asked, text="AF?"), "en")
    assert not may_ask_otherwise(replace(asked, intent="why"), "en")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Asked("unknown", {"finding": ("PRWP",)}, "PRWP across frobs", strange=True), ["unsure"]),
        (Asked("unknown", {"finding": ("PRWP",)}, "PRWP last night"), ["finding"]),
        (
            Asked("unknown", {"finding": ("AF",), "topic": ("advice",)}, "AF ablation"),
            ["unknown", "finding"],
        ),
        (Asked("unknown", {"finding": ("OUTSIDE",)}, "amyloid across frobs", strange=True), ["unknown"]),
    ],
)
def test_of_a_finding_that_is_judged_nobody_says_that_it_is_not(part: Asked, said: list[str]) -> None:
    class Hearing:
        def understand(self, question: str, default: str) -> Understood:
            return Understood("en", (replace(part, sure=0.95, outside=0.95),))

    parts = Dialogue(Hearing()).hear(part.text, Conversation()).parts
    assert [part.intent for part in parts] == said


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_that_compare_with_a_number_tell_its_side(language: str) -> None:
    known = lexicon(language)
    for code, names in known.data["compared"].items():
        for name in names:
            words = known.words(f"QTc {name.replace('#', ' 480 ').replace('*', '')}")
            sides = [o.code for o in named_objects(words, known) if o.kind == "side"]
            assert sides == [code], name
