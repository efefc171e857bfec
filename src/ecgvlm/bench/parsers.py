"""From an answer in words to what it says: the parser PULSE published, and a strict one.

`pulse` follows the published script task by task, artefacts included: case-sensitive substrings, "ST
segment" counts as sinus tachycardia, lower-case "normal" as nothing, an unreadable choice is drawn at
random, an ecgqa answer is right where its options have the gold's characters. Its figures compare with the
published table. `strict` takes thinking and wrapping away, reads whole words, names and synonyms, and
denials, and never guesses.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ecgvlm.bench.gold import Prediction
from ecgvlm.bench.mentions import find_mentions, from_json, normalise, vocabulary
from ecgvlm.bench.task import Task
from ecgvlm.errors import UsageError

PARSERS = ("pulse", "strict")
LETTERS = "ABCDEFGH"
GUESS_SEED = 42


@dataclass(frozen=True)
class Parsed:
    """labels: what the answer gives, in the task's spelling. parsed: False where nothing could be read from
    it.
    """

    labels: frozenset[str]
    parsed: bool


def gold_labels(task: Task, text: str) -> frozenset[str]:
    """Labels of a gold text by the published rule: a whole-gold word, else every code that occurs in it."""
    if text in task.whole_gold:
        return frozenset([text])
    return frozenset(code for code in task.gold_labels if code in text)


def pulse_labels(text: str, task: Task) -> Parsed:
    """Published rule for close-ended tasks: every code that occurs anywhere in the text.

    Of code15-test alone (the task with whole golds) only what follows the last "Answer:" is read, and NORM
    counts only without ABNORMAL.
    """
    if task.whole_gold:
        text = text.split("Answer:")[-1]
    found = {code for code in task.labels if code in text}
    if "ABNORMAL" in found:
        found.discard("NORM")
    return Parsed(frozenset(found), bool(found))


def strict_labels(text: str, labels: Sequence[str]) -> Parsed:
    """Labels that the text asserts, by whole words, names and synonyms; denials and refusals do not count."""
    vocab = vocabulary()
    mentions, says_none = find_mentions(from_json(after_answer(text)))
    asserted = {m.code for m in mentions if m.asserted and not m.weak}
    if any(m.weak and m.asserted for m in mentions) and asserted <= {"SR", "SARRH", "NORM"}:
        asserted |= {m.code for m in mentions if m.weak and m.asserted}
    wider = {w for code in asserted for w in vocab.is_a.get(code, ())}
    found = frozenset(code for code in labels if vocab.codes.get(code, code) in asserted | wider)
    return Parsed(found, bool(mentions) or says_none)


# What models think aloud: <think>...</think> and its relatives, and the analysis channel of harmony's format.
_THOUGHT = (
    r"(?:\w+:)?(?:think|thinking|thoughts?|reason|reasoning|reflection|rationale|scratchpad|analysis|cot)"
)
_OPENED = re.compile(
    rf"<\|?{_THOUGHT}\|?>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|<\|start_thinking\|>|<\|channel>thought\b"
    r"|<unused94>",  # MedGemma's
    re.IGNORECASE,
)
_CLOSED = re.compile(
    rf"<\|?/{_THOUGHT}\|?>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|<\|end_thinking\|>|<channel\|>|<unused95>",
    re.IGNORECASE,
)
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<]*<\|message\|>|assistantfinal")
_CHANNEL = re.compile(
    r"\s*(?:<\|start\|>assistant)?(?:<\|channel\|>\s*(?:analysis|commentary)\b|analysis(?=[A-Z]))"
)
_ENDS = re.compile(
    r"<\|(?:return|end|eot_id|im_end|endoftext|end_of_solution|begin_of_solution"
    r"|START_RESPONSE|END_RESPONSE)\|>"
)
_WRAPPED = re.compile(
    r"<answer>(.*?)(?:</answer>|$)|<\|begin_of_box\|>(.*?)(?:<\|end_of_box\|>|$)", re.DOTALL
)


def final_answer(text: str) -> str:
    r"""The answer without what was thought before it, and out of <answer>, \boxed{} and the like.

    "" where the text ends while the model is still thinking.
    """
    if final := list(_FINAL.finditer(text)):
        text = text[final[-1].end() :]
    elif _CHANNEL.match(text):
        return ""
    if closed := list(_CLOSED.finditer(text)):
        text = text[closed[-1].end() :]
    if opened := _OPENED.search(text):
        text = text[: opened.start()]
    text = _ENDS.sub(" ", text)
    if wrapped := _WRAPPED.findall(text):
        text = next(filter(None, wrapped[-1]), "")
    return _boxed(text).strip()


def _boxed(text: str) -> str:
    r"""What the last \boxed{} holds, without \text{} and its like; the text itself where there is none."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return text
    depth, inside = 1, text[start + len("\\boxed{") :]
    for end, letter in enumerate(inside):
        depth += (letter == "{") - (letter == "}")
        if not depth:
            return re.sub(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]*)\}", r"\1", inside[:end])
    return text


_ANSWER = re.compile(r"\banswer\W{0,4}[:：]", re.IGNORECASE)


def after_answer(text: str) -> str:
    """What follows the last "Answer:" (any case, with or without markdown), or the whole text."""
    last = None
    for last in _ANSWER.finditer(text):  # noqa: B007
        pass
    if last is None or '"' in text[last.start() : last.end()]:  # a JSON key is read as JSON
        return text
    return text[last.end() :]


def pulse_choice(text: str) -> str | None:
    """Published rule for one-letter answers; None where the published script draws a random letter."""
    if len(text) == 1 and text in LETTERS:
        return text
    for letter in LETTERS:
        if f"{letter}." in text:
            return letter
    if "The correct option is " in text:
        following = text.split("The correct option is ")[-1][:1]
        return following if following and following in LETTERS else None
    if "Answer:" in text:
        answer = text.split("Answer:")[-1]
        return next((letter for letter in LETTERS if letter in answer), None)
    return None


_OPTION_LINE = re.compile(
    r"(?:^|[\n;,]|\s{2,})\s*\(?([A-H])[.):]\s*(.+?)(?=(?:[\n;,]|\s{2,})\s*\(?[A-H][.):]\s|\n|$)", re.DOTALL
)
_CALLED = (
    "answer|option|choice|antwort|réponse|respuesta|opción|resposta|opção|risposta|opzione|antwoord|odpowiedź|ответ"
    "|cevap|yanıt|答案|选项?|选择|उत्तर|विकल्प|الإجابة|الجواب"
)
_STATED = re.compile(
    rf"(?:{_CALLED})(?:\s+(?:is|would be|should be|must be|ist|est|es|é|è|jest|هي|هو)|\s*[是为])?\s*[:：]?"
    r"\s*[\"'(\[*_]*(?P<named>[A-H])(?![^\W\u3400-\u9fff]|['’])"
    r"|\bit(?:['’]s| is) [\"'(\[*_]*(?P<told>[A-H])[\"')\]*_]*(?=[.,;:]|\s*$)"  # not "it is A fib"
    r"|(?<!\w)(?P<praised>[A-H])[\"')\]*_]* is (?:the )?(?:correct|right|best)\b",
    re.IGNORECASE,
)
_LEADING = re.compile(r"\s*[\"'(\[*_]*([A-H])[\"')\]*_]*(?:\s*$|[.):,;](?=\s|$|\*)|\n|\s+[-–—]\s|\*)")
_MARKED = re.compile(r"(?<!\w)(?:\(([A-H])\)|\*\*([A-H])[.)]?\*\*|\[([A-H])\]|([A-H])[.)](?=\s|$|\*))")


def lettered_options(question: str) -> list[tuple[str, str]]:
    """The letter and the words, in lower case, of each option that a question lists."""
    return [(letter, words.strip(" .;\n").lower()) for letter, words in _OPTION_LINE.findall(question)]


def strict_choice(text: str, question: str = "", options: str = LETTERS) -> str | None:
    """The one letter an answer stands for, or None: stated, leading, the only one marked, or by its option's
    words.
    """
    text = normalise(from_json(text)).strip()
    # "answer a question": a lower-case letter counts only as the whole of what follows.
    stated = [
        letter.upper()
        for m in _STATED.finditer(text)
        if (letter := m[m.lastgroup or 0]).isupper() or (m["named"] and not text[m.end() :].strip(" .)*"))
    ]
    if stated:
        return stated[-1] if stated[-1] in options else None
    if len(alone := text.strip(" .()[]*_\"'")) == 1:
        return alone.upper() if alone.upper() in options else None
    if (m := _LEADING.match(text)) and m[1] in options:
        return m[1]
    marked = {next(g for g in groups if g) for groups in _MARKED.findall(text)}
    if marked:
        letter = marked.pop()
        return letter if not marked and letter in options else None
    lower = text.lower()
    named = lettered_options(question)
    hits = [(k, v) for k, v in named if v and re.search(rf"(?<!\w){re.escape(v)}(?!\w)", lower)]
    hits = [(k, v) for k, v in hits if not any(v != w and v in w for _, w in hits)]
    return hits[0][0] if len(hits) == 1 and hits[0][0] in options else None


_ONLY = re.compile(r"only answer based on the given options.*", re.IGNORECASE | re.DOTALL)


def question_options(question: str) -> list[str]:
    """Options of an ECG-QA question: the comma list after its last "Options:"."""
    if "options:" not in question.lower():
        return []
    tail = _ONLY.sub("", question[question.lower().rindex("options:") + len("options:") :])
    return [option for part in tail.split(",") if (option := part.strip().rstrip(".").strip())]


_PUBLISHED_END = "Only answer based on the given Options without any explanation."


def pulse_options(text: str, question: str, field: str = "text") -> Parsed:
    """Published rule for ecgqa: the characters of every option that occurs in the answer.

    Options are compared in lower case where the answer's field is "text". Of "response", the field of the
    closed models' answers, only the answer is lowered, so that an option with a capital never occurs in it.
    """
    listed = question.split("Options:")[-1].replace(_PUBLISHED_END, "").split(",")
    options, lower = [option.strip() for option in listed], text.lower()
    found = [o for o in options if (o.lower() if field == "text" else o) in lower]
    return Parsed(frozenset("".join(found)), bool(found))


def strict_options(text: str, question: str) -> Parsed:
    """Options that occur as whole words; an option inside a longer one that also occurs does not count."""
    lower = normalise(from_json(after_answer(text))).lower()
    found: set[str] = set()
    for option in sorted({o.lower() for o in question_options(question)}, key=len, reverse=True):
        pattern = rf"(?<!\w){re.escape(option)}(?!\w)"
        if re.search(pattern, lower):
            found.add(option)
            lower = re.sub(pattern, " ", lower)
    if {"yes", "no"} <= found:  # "No, there is no ... yes": the first word decides
        first = re.search(r"\b(yes|no)\b", normalise(text).lower())
        found -= {"yes", "no"} - {first[1] if first else ""}
    return Parsed(frozenset(found), bool(found))


def gold_options(text: str, question: str, parser: str) -> frozenset[str]:
    """Gold of an ecgqa row as `parser` compares it: `pulse` its characters, `strict` its set of options.

    Several options may stand in the gold without anything between (the hub's character lists lose the
    separators). Where no option fits, the gold itself is the only one.
    """
    if parser == "pulse":
        return frozenset(text)
    rest, pieces = text.lower(), set()
    for option in sorted({o.lower() for o in question_options(question)}, key=len, reverse=True):
        if option in rest:
            pieces.add(option)
            rest = rest.replace(option, " ")
    found = frozenset(pieces) if not rest.strip(" ,;.") else strict_options(text, question).labels
    return found or frozenset([text.strip().lower()])


def parse_all(
    task: Task, parser: str, answers: Sequence[Prediction], questions: Sequence[str]
) -> list[Parsed]:
    """Parses answers in the order of the gold. Choices that `pulse` cannot read are drawn in it, seed 42."""
    if parser not in PARSERS:
        raise UsageError(f"no parser {parser!r}; there are: {', '.join(PARSERS)}")
    if parser == "strict":
        answers = [replace(answer, text=final_answer(answer.text)) for answer in answers]
    if task.kind == "labels":
        read = pulse_labels if parser == "pulse" else lambda text, task: strict_labels(text, task.labels)
        remembered = lru_cache(maxsize=65536)(lambda text: read(text, task))
        return [remembered(answer.text) for answer in answers]
    if task.kind == "choice":
        guess = random.Random(GUESS_SEED)
        parsed = []
        for answer, question in zip(answers, questions):
            letter = (
                pulse_choice(answer.text)
                if parser == "pulse"
                else strict_choice(answer.text, question, task.options)
            )
            labels = frozenset([letter]) if letter else frozenset()
            if letter is None and parser == "pulse":
                labels = frozenset([guess.choice(task.options)])
            parsed.append(Parsed(labels, letter is not None))
        return parsed
    if task.kind == "options":
        return [
            pulse_options(a.text, question, a.field)
            if parser == "pulse"
            else strict_options(a.text, question)
            for a, question in zip(answers, questions)
        ]
    return [Parsed(frozenset(), bool(answer.text.strip())) for answer in answers]
