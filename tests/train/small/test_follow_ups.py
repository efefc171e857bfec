"""Follow-ups to learn from."""

from random import Random

import pytest

pytest.importorskip("torch")

from ecgvlm.train.small.follow_ups import followed
from ecgvlm.train.small.questions import NOTHING

QUESTIONS = """
[english.any]
"value measure=qrs_ms" = ["how wide is the QRS"]
"finding finding=AF | rhythm" = ["is it AF"]
"verdict" = ["is it normal", "would you say that all of it is fine"]
"advice" = ["what now"]
"finding finding=RBBB; value measure=pr_ms" = ["RBBB, and the PR?"]
"""
FOLLOW_UPS = """
[en]
"finding finding=LBBB" = [["good morning", "RBBB?", "lovely weather", "and the other side?"]]
[en.measure]
"within measure=X" = ["is that ok?"]
[en.finding]
"likelihood finding=X" = ["how sure are you?"]
"thanks" = ["thank you"]
"""


@pytest.fixture
def examples(tmp_path):
    for name, text in (("asked", QUESTIONS), ("next", FOLLOW_UPS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "some.toml").write_text(text, encoding="utf-8")
    return list(followed(tmp_path / "next", tmp_path / "asked", Random(0)))


def _of(examples, intent):
    return [x for x in examples if x.meant == {intent}]


def test_what_fits_after_a_kind_is_asked_of_what_was_asked_before(examples):
    (within,) = _of(examples, "within")
    assert within.before.text == "how wide is the QRS"
    assert within.about == {"measure=qrs_ms"}
    (likelihood,) = _of(examples, "likelihood")
    assert (likelihood.before.text, likelihood.about) == ("is it AF", {"finding=AF"})
    assert _of(examples, "thanks")[0].before.text == "is it AF"


def test_of_a_conversation_the_last_turn_that_names_something_came_before(examples):
    last = [x for x in examples if x.about == {"finding=LBBB"}]
    assert {x.before.text for x in last} == {"RBBB"}
    assert any(x.text == "and the other side" for x in last)


def test_others_stand_by_themselves_whatever_came_before(examples):
    alone = [x for x in examples if x.text in ("how wide is the QRS", "is it AF")]
    assert alone
    assert all(x.about in ({"measure=qrs_ms"}, {"finding=AF"}) for x in alone)
    assert not [x for x in examples if x.text == "is it normal"]  # may go on with anything
    assert all(x.about in (frozenset(), NOTHING) for x in _of(examples, "verdict"))
