"""Questions that list what may be answered, as benchmarks ask them: the answers in the options' own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import NAMES
from ecgvlm.words import answers
from ecgvlm.words.names import CLOSED_LISTS, prompts, without_article

_LIST = re.compile(
    r"option|(?:this|provided|given|from the|of the) list|following|choose|select|pick|choices|labels"
    r"|enumerat|separat|joined|among|one of|divided|\bappl(?:y|ies)\b"
    r"|which of(?! the (?:two|three)\b| them\b| both\b)",  # "LBBB or RBBB, which of the two?" lists none
    re.I,
)
# Orders to answer this or that: to leave the page aside, or to say that it is (ab)normal, to the end of the
# sentence; no choice ("say normal or abnormal"), no condition ("answer ABNORMAL if none fits") and no
# question ("would you say normal?").
ORDER = re.compile(
    r"(?<!if i )(?<!if you )(?<!if we )\b(?:ignore|disregard|forget)\b[^.!?\n]*[.!?]?"
    r"|(?<!would you )(?<!would u )(?<!do you )"
    r"\b(?:(?:please|just|simply|only|always|exactly)\W+)*(?:say|reply|answer|write|respond|output|print|state|repeat)"
    r"(?:\W+(?:that|with|only|just|exactly|simply|back|it|this|the|ECG|is|as))*\W+(?:AB)?NORMAL\b"
    r"(?!\W*(?:/|\b(?:or|and|if|for|when|where|range|values?|limits?|findings?)\b))[^.!?\n]*[.!?]?",
    re.I,
)
# What somebody else said about the page, orders, and how old somebody is are no part of the question. Each
# begins where a sentence does: tried at every letter, a text made for it takes a minute.
HEARSAY = re.compile(
    r"\(age \d+\)|(?<![^.!?\n])[^.!?\n]*\b\d+[ -]years?[ -]old\b[^.!?\n]*[.!]|"
    r"(?<![^.!?:\n])[^.!?:\n]*\b\d{1,3}(?: ?y/?o|[mf])\b[^.!?:\n]*(?:[.!:]|\s[-\u2013]\s)|"
    r"(?<![^.!?\n])[^.!?\n]*"
    r"\b(?:header|page|machine|computer|software|printout|printer|the report|doctor|colleague|nurse"
    r"|paramedics?|crew|triage|monitor|(?:apple |smart)?watch|app|kardia)\b"
    r"[^.!?\n]*\b(?:says?|said|prints|printed|reads|claims?|told)\b[^.!?\n]*[.!?]?|" + ORDER.pattern,
    re.I,
)
_WORD = re.compile(r"[^\W\d_]{4,}")
_LETTER = re.compile(r"(?:(?<=[\s(,;])|^)(?:\(?([A-H])[.):]|\(([a-h])\))\s")
_YES_NO = re.compile(r"\b(?:yes|no)\b\W+(?:or\W+)?(?:yes|no|not sure)\b", re.I)
_ONLY = re.compile(r"option|\b(?:answer|reply|respond|one word|only)\b", re.I)
_ONE_WORD = re.compile(
    r"\b(?:(?:one|single) word|only (?:the )?(?:word|label|class)"
    r"|(?:answer|reply|respond)\W+(?:with )?only)\b",
    re.I,
)
_EITHER = re.compile(r"\bnormal\W+(?:or|vs|and|/)?\W*abnormal\b|\babnormal\W+or\W+normal\b", re.I)
_ABNORMAL = re.compile(r"\babnormal\b", re.I)
_ASKED_TO_CHOOSE = re.compile(r"(?:options|choices|answer with|choose|select)[^.?!]*$", re.I)
_JOINTS = re.compile(r"\s?\(|: | - ")


def listed_answers(evidence: Evidence, question: str) -> list[str]:
    """All true answers to a question that lists its options, each once; empty where it lists none."""
    asked = understood(question)
    if _ONE_WORD.search(asked) and _EITHER.search(asked):
        return [answers.word(evidence)]
    if _YES_NO.search(asked) and not _lettered(asked):
        return _yes_or_no(evidence, asked) if _ONLY.search(asked) else []
    return list(dict.fromkeys(_listed(evidence, asked)))


def understood(question: str) -> str:
    """The question without what others said or ordered (all of it where nothing else is asked) and its slips.

    A slip is an unknown word that one letter more, less, other or swapped makes a known one.
    """
    asked = HEARSAY.sub(" ", question).strip()
    asked = asked if re.search(r"\w\w", asked) else question
    return _WORD.sub(lambda match: _mended(match[0]), asked)


@lru_cache(4096)
def _mended(word: str) -> str:
    """A word of four letters or more as it was meant; as it is where that is not clear."""
    plain = word.lower()
    if plain in _known_words():
        return word
    meant = [known for known in _known_words() if _one_slip(plain, known)]
    if len(meant) != 1:
        return word
    return meant[0].upper() if word.isupper() else meant[0].capitalize() if word[0].isupper() else meant[0]


def _one_slip(a: str, b: str) -> bool:
    """Whether one letter more, less, other, or two swapped make one word of the other."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    x, y = a[start:], b[start:]
    return x[1:] == y[1:] or x[1:] == y or x == y[1:] or (x[:2] == y[1::-1] and x[2:] == y[2:])


@lru_cache
def _known_words() -> frozenset[str]:
    """Every word of four letters or more in what people ask and what they call things."""
    texts: list[str] = [
        *NAMES.values(),
        *(x for codes in CLOSED_LISTS.values() for y in codes.values() for x in y),
    ]
    tables: list = [prompts()]
    while tables:
        table = tables.pop()
        if isinstance(table, str):
            texts.append(table)
        elif not isinstance(table, int):
            tables += table.values() if isinstance(table, dict) else table
    return frozenset(word.lower() for text in texts for word in _WORD.findall(text))


def _listed(evidence: Evidence, question: str) -> list[str]:
    """The answers to a question that lists its options; empty where it lists none.

    Lettered choices: the letters whose option was found, or all where no option is known to be true. Findings
    to select from: those found, joined in every usual way.
    """
    if letters := _lettered(question):
        right = [letter for letter, text in letters.items() if _true(evidence, text)]
        return right or list(letters)
    mentioned = [mention for mention in mentions(question) if mention[0]]
    if len(mentioned) < 2 or not _LIST.search(question):
        return []
    # "NORM" among options is for a page to which no other option applies.
    others = [option for option in mentioned if option[0] != "NORM"]
    told = "NORM" not in evidence.findings and _ABNORMAL.search(question)  # what to answer where none applies
    options = others if told or any(answers.holds(evidence, code) for code, _ in others) else mentioned
    joints = prompts()["questions"]["close"]["separators"]
    asked = [
        joint for joint, names in joints.items() if any(name in question for name in names if len(name) > 3)
    ]
    return [answers.close(evidence, options, joint) for joint in asked or joints]


def _yes_or_no(evidence: Evidence, question: str) -> list[str]:
    """The true word, as it is printed, about the one finding that is named; none where that is not clear."""
    named = [code for code, _ in mentions(question)]
    if len(named) != 1 or named[0] in ("", "NORM"):  # "a normal axis" is no normal ECG
        return []
    word = ("no", "yes")[answers.holds(evidence, named[0])]
    printed = re.findall(r"(?<!\w)(?:yes|no)(?!\w)", question, re.I)
    return [next(form for form in printed[::-1] if form.lower() == word)]


@dataclass(frozen=True)
class YesOrNo:
    """A question with lettered options that are yes and no. letters: by what they stand for, in small
    letters."""

    question: str
    letters: Mapping[str, str]

    def answer(self, said: str) -> str:
        """The letter of the word that a sentence in English begins with; else that of "not sure", or the
        sentence."""
        word = re.split(r"\W", said, maxsplit=1)[0].lower()
        return self.letters.get(word) or self.letters.get("not sure") or said


def yes_or_no(question: str) -> YesOrNo | None:
    """The question before options that are yes and no; None where it has others or none."""
    marks = _marks(question)
    letters = {text.strip(" \n.,;").lower(): letter for letter, text in _lettered(question).items()}
    if not letters or not {"yes", "no"} <= letters.keys() <= {"yes", "no", "not sure"}:
        return None
    return YesOrNo(_ASKED_TO_CHOOSE.sub("", question[: marks[0].start()]), letters)


def _lettered(question: str) -> dict[str, str]:
    """Letter -> text of each lettered option; empty unless there are at least A and B, in order."""
    marks = _marks(question)
    ends = [mark.start() for mark in marks[1:]] + [len(question)]
    return {_letter(mark): question[mark.end() : end] for mark, end in zip(marks, ends)}


def _marks(question: str) -> list[re.Match[str]]:
    """The letters of the last options of a question."""
    marks = list(_LETTER.finditer(question))
    letters = "".join(map(_letter, marks)).upper()
    start = letters.rfind("AB")
    return marks[start:] if start >= 0 and "ABCDEFGH".startswith(letters[start:]) else []


def _letter(mark: re.Match[str]) -> str:
    return mark[1] or mark[2]


def _true(evidence: Evidence, text: str) -> bool:
    found = mentions(text)
    return bool(found) and all(answers.holds(evidence, code) for code, _ in found)


def mentions(text: str) -> list[tuple[str, str]]:
    """(code, as printed) of each finding that a text names, once each, in order; "" for one we cannot judge.

    A code with its name, as in "RBBB(right bundle branch block)", is one mention.
    """
    pattern, codes = _names()
    spans: list[tuple[str, int, int]] = []
    for match in pattern.finditer(text):
        name = match[0].strip("_")
        code = codes.get(name, codes.get(_plain(name)))
        if code is None:  # no name, but some letter that only ignoring case makes one: the Turkish "mı"
            continue
        if spans and spans[-1][0] == code and _JOINTS.fullmatch(text[spans[-1][2] : match.start()]):
            bracket = "(" in text[spans[-1][2] : match.start()]
            closed = bracket and text[match.end() : match.end() + 1] == ")"
            spans[-1] = (code, spans[-1][1], match.end() + closed)
        else:
            spans.append((code, match.start(), match.end()))
    out: dict[str, str] = {}
    for code, start, end in spans:
        out.setdefault(code, text[start:end])
    return list(out.items())


@lru_cache
def _names() -> tuple[re.Pattern[str], dict[str, str]]:
    """All names and codes as one pattern, the longest first, and what they stand for.

    They are found in any case, but for "ST", and with the underscores that PTB-XL pads some codes with.
    """
    names = prompts()["names"]
    codes = {without_article(name): "" for name in names["outside"]["names"]}
    for table in (names["labels"], {sign: names["signs"][sign] for sign in ("STE", "STD")}, names["codes"]):
        for code, written in table.items():
            for name in written:
                codes[without_article(name)] = code
    for code, name in NAMES.items():
        codes |= {code: code, name: code}
    for options in CLOSED_LISTS.values():
        for code, written in options.items():
            codes |= dict.fromkeys(written, code)
    short = {"ST"}  # in small letters no finding
    for name in list(codes):
        if name not in short:
            codes[_plain(name)] = codes.pop(name)
    longer = set(codes) - short

    def either(words: set[str]) -> str:
        ordered = sorted(words, key=len, reverse=True)
        return "|".join(re.escape(word).replace(r"\ ", "[ -]") for word in ordered)

    pattern = rf"(?<!\w)_?(?:(?i:{either(longer)})|{either(short)})_?(?!\w)"
    return re.compile(pattern), codes


def _plain(name: str) -> str:
    return name.lower().replace("-", " ")
