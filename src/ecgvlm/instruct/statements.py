"""Everything that may be said about a page: the true sentences that the decoder chooses from."""

from __future__ import annotations

import re
from functools import lru_cache

from ecgvlm.instruct import answers
from ecgvlm.instruct.qa import CLOSED_LISTS, prompts
from ecgvlm.labels import LABELS, NAMES
from ecgvlm.model.evidence import MEASUREMENTS, SIGNS, WAVES, Evidence
from ecgvlm.record import LEADS

_LIST = re.compile(
    r"option|(?:this|provided|given) list|following|choose|select|pick|choices|labels|enumerat|separat|joined"
    r"|among|which of|divided",
    re.I,
)
# What somebody else said about the page is no option.
_HEARSAY = re.compile(
    r"[^.!?\n]*\b(?:header|page|machine|computer|printout|printer|doctor|colleague)\b[^.!?\n]*"
    r"\b(?:says?|said|prints|printed|reads|claims?|told)\b[^.!?\n]*[.!?]?",
    re.I,
)
_LETTER = re.compile(r"(?:(?<=[\s(,;])|^)\(?([A-H])[.):]\s")
_YES_NO = re.compile(r"\b(?:yes|no)\b\W+(?:or\W+)?(?:yes|no|not sure)\b", re.I)
# Lead I must be called a lead: "I" is also who asks.
_LEADS = {lead: rf"(?i:(?<!\w){lead}(?!\w))" for lead in LEADS} | {"I": r"(?i:leads?|in) I(?!\w)"}
_JOINTS = re.compile(r"\s?\(|: | - ")


def statements(evidence: Evidence, question: str) -> list[str]:
    """All true answers that the question may get, each once."""
    asked = _HEARSAY.sub("", question)
    if _YES_NO.search(asked) and not _lettered(asked):
        return _yes_or_no(evidence, asked) + general(evidence, question)
    return list(dict.fromkeys(_listed(evidence, asked))) or general(evidence, question)


def general(evidence: Evidence, question: str) -> list[str]:
    """The answers to all questions that list no options: up to two hundred sentences and both reports.

    Of findings, measurements and leads only those are spoken of that the question names, where it names any.
    """
    high, low = (prompts()["names"][side] for side in ("high", "low"))
    named = [code for code, _ in mentions(_HEARSAY.sub("", question)) or mentions(question)]
    labels = [code for code in named if code in NAMES] or ([] if "" in named else LABELS)
    measured = _measures(question) or tuple(MEASUREMENTS)
    leads = [lead for lead in LEADS if re.search(_LEADS[lead], question)] or LEADS
    whole = (
        answers.verdict, answers.report, answers.diagnosis, answers.rhythm, answers.regular, answers.findings,
        answers.layout, answers.scale, answers.quality, answers.printed, answers.cabrera, answers.problems,
        answers.unchanged,
    )  # fmt: skip
    said = [answer(evidence) for answer in whole]
    said += [answers.UNANSWERABLE, answers.HELLO]
    if not named or "" in named:
        said.append(answers.OUTSIDE)
    for label in labels:
        said += [answers.finding(evidence, label), answers.likelihood(evidence, label)]
    for name in measured:
        said.append(answers.measurement(evidence, name))
        said += [
            answers.limit(evidence, name, side)
            for side in ("high", "low")
            if name in (high, low)[side == "low"]
        ]
        if name != "qt_ms":
            said.append(answers.within(evidence, name))
    said += [answers.group(evidence, name) for name in answers.GROUPS]
    for lead in leads:
        said.append(answers.lead(evidence, lead))
        said += [answers.lead_sign(evidence, sign, lead) for sign in SIGNS]
        said += [answers.lead_amount(evidence, wave, lead) for wave in WAVES]
    said += [answers.leads_list(evidence, sign) for sign in SIGNS]
    return list(dict.fromkeys(said))


def _measures(question: str) -> tuple[str, ...]:
    """The measurements that a question names, longer names first ("corrected QT" is not QT)."""
    text, found = question.lower(), set()
    names = [
        (name.lower(), key) for key, written in prompts()["names"]["measurements"].items() for name in written
    ]
    for name, key in sorted(names, key=lambda pair: -len(pair[0])):
        pattern = rf"(?<!\w){re.escape(name)}(?!\w)"
        if re.search(pattern, text):
            found.add(key)
            text = re.sub(pattern, " ", text)
    if "qt_ms" in found:  # with a slip of the pen in the word before it, QTc may be meant
        found.add("qtc_ms")
    return tuple(name for name in MEASUREMENTS if name in found)


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
    options = others if any(answers.holds(evidence, code) for code, _ in others) else mentioned
    return [
        answers.close(evidence, options, joint) for joint in prompts()["questions"]["close"]["separators"]
    ]


def _yes_or_no(evidence: Evidence, question: str) -> list[str]:
    """The true word about the one finding that is named; any word where that is not clear."""
    named = [code for code, _ in mentions(question)]
    known = len(named) == 1 and named[0]
    words = [("no", "yes")[answers.holds(evidence, named[0])]] if known else ["yes", "no", "not sure"]
    return [form for word in words for form in (word, word.capitalize(), word.upper())]


def _lettered(question: str) -> dict[str, str]:
    """Letter -> text of each lettered option; empty unless there are at least A and B, in order."""
    marks = list(_LETTER.finditer(question))
    letters = "".join(mark[1] for mark in marks)
    start = letters.rfind("AB")
    if start < 0:
        return {}
    marks, letters = marks[start:], letters[start:]
    if not "ABCDEFGH".startswith(letters):
        return {}
    ends = [mark.start() for mark in marks[1:]] + [len(question)]
    return {mark[1]: question[mark.end() : end] for mark, end in zip(marks, ends)}


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
        code = codes[match[0]] if match[0] in codes else codes[_plain(match[0])]
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

    Names are found in any case, codes (capitals or digits in them, no spaces) only as they are written.
    """
    names = prompts()["names"]
    codes = {re.sub("^(an?|the) ", "", name): "" for name in names["outside"]["names"]}
    for table in (names["labels"], {sign: names["signs"][sign] for sign in ("STE", "STD")}, names["codes"]):
        for code, written in table.items():
            for name in written:
                codes[re.sub("^(an?|the) ", "", name)] = code
    for code, name in NAMES.items():
        codes |= {code: code, name: code}
    for options in CLOSED_LISTS.values():
        for code, written in options.items():
            codes |= dict.fromkeys(written, code)
    short = {name for name in codes if " " not in name and name != name.lower()}
    for name in list(codes):
        if name not in short:
            codes[_plain(name)] = codes.pop(name)
    longer = set(codes) - short

    def either(words: set[str]) -> str:
        ordered = sorted(words, key=len, reverse=True)
        return "|".join(re.escape(word).replace(r"\ ", "[ -]") for word in ordered)

    pattern = rf"(?<!\w)(?:(?i:{either(longer)})|{either(short)})(?!\w)"
    return re.compile(pattern), codes


def _plain(name: str) -> str:
    return name.lower().replace("-", " ")
