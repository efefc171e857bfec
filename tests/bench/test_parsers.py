"""Both parsers against a table of answers, a second implementation of the published rules, and properties."""

import csv
import random
from pathlib import Path

import published_rules
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgvlm.bench.gold import Prediction
from ecgvlm.bench.mentions import find_mentions, vocabulary
from ecgvlm.bench.parsers import (
    after_answer,
    final_answer,
    gold_labels,
    gold_options,
    parse_all,
    pulse_labels,
    pulse_options,
    question_options,
    strict_choice,
    strict_labels,
    strict_options,
)
from ecgvlm.bench.task import load_task
from ecgvlm.labels import LABELS, NAMES

with (Path(__file__).parent / "answers.csv").open(newline="", encoding="utf-8") as file:
    TABLE = list(csv.DictReader(file))
CODE15 = load_task("code15-test")


def answers(texts, field="text"):
    return [Prediction(str(k), text, None, field) for k, text in enumerate(texts)]


def test_the_table_is_large_enough():
    assert len(TABLE) >= 150


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row["answer"][:40] or "empty")
def test_table(row):
    task = load_task(row["task"])
    strict = strict_labels(row["answer"], task.labels)
    wanted = set() if row["strict"] in "-?" else set(row["strict"].split())
    assert strict.labels == wanted
    assert strict.parsed == (row["strict"] != "?")
    pulse = pulse_labels(row["answer"], task)
    assert pulse.labels == (set() if row["pulse"] == "-" else set(row["pulse"].split())) & set(task.labels)


FRAGMENTS = st.sampled_from(
    [
        "NORM",
        "NORMAL",
        "ABNORMAL",
        "1dAVb",
        "RBBB",
        "IRBBB",
        "SB",
        "ST segment",
        "AF",
        "Answer:",
        "answer:",
        "no ",
        "; ",
        "\n",
        "I-AVB",
        "MI",
        "x",
    ]
)


@given(st.lists(FRAGMENTS, max_size=8).map("".join), st.sampled_from(published_rules.LABEL_TASKS))
def test_pulse_agrees_with_the_second_implementation(text, name):
    task = load_task(name)
    assert pulse_labels(text, task).labels == published_rules.predicted(name, text)
    assert gold_labels(task, text) == published_rules.gold(name, text)


@given(st.text(max_size=80))
def test_no_text_breaks_a_parser(text):
    for name in ("code15-test", "ecgqa-test", "mmmu-ecg", "ptb-test-report"):
        task = load_task(name)
        for parser in ("pulse", "strict"):
            [parsed] = parse_all(task, parser, answers([text]), ["Q? Options: yes, no"])
            if task.kind == "labels":
                assert parsed.labels <= set(task.labels)


@given(
    st.sets(st.sampled_from(CODE15.gold_labels), min_size=1),
    st.sampled_from(["; ", ", ", "\n", " and ", "\n- "]),
)
def test_strict_reads_any_list_of_codes(labels, separator):
    assert strict_labels(separator.join(sorted(labels)), CODE15.labels).labels == labels


@given(st.sets(st.sampled_from(CODE15.gold_labels), min_size=1))
def test_strict_reads_codes_in_words_and_denies_lists(labels):
    listed = sorted(labels)
    words = "; ".join(NAMES[c] for c in listed)
    assert strict_labels(words, CODE15.labels).labels == labels
    denied = "No evidence of " + ", ".join(NAMES[c] for c in listed) + "."
    parsed = strict_labels(denied, CODE15.labels)
    assert parsed.parsed
    assert not parsed.labels


@given(st.lists(st.sampled_from(CODE15.gold_labels), min_size=1, unique=True))
def test_what_is_possible_is_neither_asserted_nor_denied(labels):
    listed = ", ".join(f"{NAMES[code]} (71%)" for code in labels)
    assert find_mentions(f"Possible, but not called: {listed}.") == ([], False)


@given(st.sampled_from(CODE15.gold_labels), st.text(alphabet="abcdxyzABCDXYZ", min_size=1, max_size=4))
def test_strict_wants_whole_words(code, letters):
    parsed = strict_labels(f"{letters}{code}{letters} q", CODE15.labels)
    assert not parsed.labels


def test_every_label_has_its_own_name_and_code():
    vocab = vocabulary()
    for code in LABELS:
        assert vocab.codes[code] == code
        [mention] = [m for m in find_mentions(NAMES[code])[0] if not m.weak]
        assert mention.code == code


def test_no_name_stands_for_two_findings():
    def walk(node):
        codes = {e.code for e in node.get("", ()) if e.kind == "finding"}
        assert len(codes) <= 1, codes
        for word, child in node.items():
            if word:
                walk(child)

    walk(vocabulary().tree)


def test_pulse_artefacts_are_kept():
    assert pulse_labels("ST segment elevation", CODE15).labels == {"ST"}
    assert pulse_labels("normal", CODE15) == pulse_labels("", CODE15)
    assert pulse_labels("IRBBB", CODE15).labels == {"RBBB"}
    assert not pulse_labels("normal", CODE15).parsed


CHOICES = [
    ("A", "A", "A"),
    ("b", None, "B"),
    ("C.", "C", "C"),
    ("B. Atrial fibrillation", "B", "B"),
    ("(D)", None, "D"),
    ("The correct option is C", "C", "C"),
    ("The correct option is not clear", None, None),
    ("Answer: D", "D", "D"),
    ("Answer: (B) AF", "A", "B"),
    ("**C**", None, "C"),
    ("Answer: Because of D", "B", None),
    ("I would say H. But B. is close", "B", None),
    ("A normal ECG is seen", None, None),
    ("C) Sinus rhythm", None, "C"),
    ("The answer is B because A is wrong", None, "B"),
    ("It is sinus bradycardia", None, "C"),
    ("", None, None),
    ('{"answer": "B"}', None, "B"),
    ("Final answer: **D**", None, "D"),
    ("I'm sorry, I can't tell.", None, None),
    ("E.g. the PR interval", "E", None),
    ("Option C", None, "C"),
    ("The answer is a", None, "A"),
    ("It's B.", "B", "B"),
    ("It is A fib", None, None),
    ("It is A-fib.", None, None),
    ("(C) is correct", None, "C"),
    ("A is incorrect", None, None),
    ("b)", None, "B"),
    ("Die Antwort ist B", None, "B"),
    ("Respuesta: C", None, "C"),
    ("正确答案是B。", None, "B"),
    ("La réponse est D", None, "D"),
]

QUESTION = "Which?\nA. normal ECG shape\nB. atrial fibrillation\nC. sinus bradycardia\nD. flutter"


@pytest.mark.parametrize(("text", "pulse", "strict"), CHOICES)
def test_choices(text, pulse, strict):
    task = load_task("csn-test-no-cot")
    [parsed] = parse_all(task, "pulse", answers([text]), [QUESTION])
    assert (set(parsed.labels) if parsed.parsed else None) == ({pulse} if pulse else None)
    assert strict_choice(text, QUESTION) == strict


@given(
    st.lists(st.sampled_from([c[0] for c in CHOICES]), min_size=1, max_size=12),
    st.sampled_from(["ABCD", "ABCDEFGH"]),
)
def test_choices_agree_with_the_second_implementation(texts, options):
    task = load_task("mmmu-ecg" if options == "ABCD" else "csn-test-no-cot")
    guess = random.Random(42)
    wanted = [{published_rules.choice(t, guess, options)} for t in texts]
    assert [set(p.labels) for p in parse_all(task, "pulse", answers(texts), [""] * len(texts))] == wanted


def test_options():
    question = (
        "What? Options: none, sinus rhythm, anterior ischemia, Ischemia. "
        "Only answer based on the given Options without any explanation."
    )
    assert question_options(question) == ["none", "sinus rhythm", "anterior ischemia", "Ischemia"]
    assert strict_options("Anterior ischemia", question).labels == {"anterior ischemia"}
    # The published rule: the characters of the options found, as they are spelled in the question.
    plain = question.replace("Ischemia. ", "Ischemia")
    assert pulse_options("Anterior ischemia", plain).labels == set("anterior ischemiaIschemia")
    assert pulse_options("Anterior ischemia", plain, "response").labels == set("anterior ischemia")
    assert pulse_options("Anterior ischemia", question).labels == set("anterior ischemia"), "the stop stays"
    assert gold_options("Ischemia", question, "pulse") == set("Ischemia")
    assert gold_options("sinus rhythmanterior ischemia", question, "strict") == {
        "sinus rhythm",
        "anterior ischemia",
    }
    assert gold_options("sinus rhythm, Ischemia", question, "strict") == {"sinus rhythm", "ischemia"}
    assert gold_options("anterior ischemia", question, "strict") == {"anterior ischemia"}
    assert strict_options("No, I do not think so, yes?", "Q? Options: yes, no").labels == {"no"}
    assert not strict_options("nothing", "Q? Options: yes, no").parsed


def test_answer_marker():
    assert after_answer("a Answer: b **Answer**: c") == " c"
    assert after_answer('{"answer": "AF"}') == '{"answer": "AF"}'


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<think>AF or SB? RBBB!</think>\nNORM", "NORM"),
        ("AF or SB? RBBB!</think>\nNORM", "NORM"),
        ("<think>AF or SB? The next thing to", ""),
        ("<thinking>AF</thinking> <answer>SB</answer>", "SB"),
        ("◁think▷AF◁/think▷SB", "SB"),
        ("<seed:think>AF?</seed:think>SB", "SB"),
        ("<reason>AF?</reason>SB", "SB"),
        ("<|START_THINKING|>AF?<|END_THINKING|><|START_RESPONSE|>SB<|END_RESPONSE|>", "SB"),
        ("<|START_THINKING|>Is it AF", ""),
        ("<unused94>thought\nAF?<unused95>SB", "SB"),
        ("<|channel>thought\nAF?<channel|>SB", "SB"),
        ("<analysis>AF?</analysis><answer>SB</answer>", "SB"),
        ("<|thinking|>AF?<|/thinking|>SB", "SB"),
        ("<scratchpad>AF?", ""),
        ("[THINK]AF[/THINK]SB", "SB"),
        (r"So the rhythm is $\boxed{\text{AF}}$.", "AF"),
        (r"\boxed{RBBB; \mathrm{AF}}", "RBBB; AF"),
        (r"an open \boxed{AF", r"an open \boxed{AF"),
        (
            "<|channel|>analysis<|message|>AF?<|end|><|start|>assistant<|channel|>final<|message|>SB<|return|>",
            "SB",
        ),
        ("<|channel|>analysis<|message|>Is it AF? I think", ""),
        ("analysisWe look at AF.assistantfinalSB", "SB"),
        ("<|begin_of_box|>C<|end_of_box|>", "C"),
        ("An analysis of the ECG shows AF", "An analysis of the ECG shows AF"),
    ],
)
def test_thinking_and_wrapping_are_taken_away(text, answer):
    assert final_answer(text) == answer


def test_strict_does_not_score_what_was_thought():
    thought = answers(["<think>The rhythm could be AF or SB.</think>\nNORM", "<think>AF? The next"])
    said, cut = parse_all(CODE15, "strict", thought, ["", ""])
    assert said.labels == {"NORM"}
    assert not cut.parsed
    assert parse_all(CODE15, "pulse", thought, ["", ""])[0].labels == {"AF", "SB", "NORM"}
