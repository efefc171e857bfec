"""Which findings a text names, and whether it asserts or denies them.

The words are in `ecgvlm/data/synonyms.toml`; in other languages a finding is also called what our reports
call it. The reach of a denial follows NegEx (Chapman et al. 2001, J Biomed Inform 34:301), with one addition:
a bare "no" reaches over a list only if the list ends in "or" or "nor".
"""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any

from ecgvlm.words.phrases import LANGUAGES, words


@dataclass(frozen=True)
class Mention:
    """A finding named in a text. `start` and `end` are offsets into the text that `normalise` returns."""

    code: str
    asserted: bool
    start: int
    end: int
    weak: bool = False


@dataclass(frozen=True)
class _Entry:
    words: tuple[str, ...]
    kind: str  # finding, decoy, none, list, before, after, mark, affirm, stop, hedge
    code: str = ""
    exact: tuple[str, ...] | None = None  # the spelling a code must have unless it is a whole item
    item: bool = False
    weak: bool = False


@dataclass(frozen=True)
class Vocabulary:
    """Phrases as a tree of words, the code of each spelling, and the wider findings.

    A node of the tree maps the next word to a node, and "" to the entries that end there.
    """

    tree: dict[str, Any]
    codes: dict[str, str]
    is_a: dict[str, tuple[str, ...]]
    negated: dict[str, str]
    headers: frozenset[str]
    refusals: tuple[str, ...]
    version: str


_HAN = "\u3400-\u9fff"  # written without spaces: each sign is a word
_DEVANAGARI = "\u0900-\u0963"  # its vowel signs are no letters to `re`
_WORD = re.compile(rf"\d+(?:\.\d+)?%|\d+\.\d+|[{_HAN}]|(?:[^\W_{_HAN}]|[{_DEVANAGARI}])+")
_BETWEEN = re.compile(r"[^\S\n]{0,3}[\-‐-―°*_/]{0,2}[^\S\n]{0,3}")
_SENTENCE = re.compile(r"[;\n!?।]|\.(?=\s|$|[*\"'_)])")
_ITEM = re.compile(r"[.,;:!?\n|/()\[\]{}\"“”—–=→>+&]|\s-+\s|^-|-$")
_JOINS = {"or", "nor", "and", "any", "a", "an", "the", "of"}
_MARK = re.compile(r"[:=?|(—–→]|\s-+>?\s")
_FENCE = re.compile(r"```[a-zA-Z]*\n?")


def _split(phrase: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", phrase)))


@cache
def vocabulary() -> Vocabulary:
    """`synonyms.toml` and the names of other languages, read once."""
    others = [words(language).names["findings"] for language in LANGUAGES if language != "en"]
    raw = tomllib.loads((resources.files("ecgvlm") / "data" / "synonyms.toml").read_text("utf-8"))
    entries: list[_Entry] = []
    codes: dict[str, str] = {}
    for code, spec in raw["labels"].items():
        for spelling in spec["codes"]:
            codes[spelling] = code
            exact = _split(spelling)
            entries.append(_Entry(tuple(w.lower() for w in exact), "finding", code, exact=exact))
        for key in ("names", "items", "weak"):
            entries += [
                _Entry(_split(p), "finding", code, item=key == "items", weak=key == "weak")
                for p in spec.get(key, ())
            ]
        called = (names[code] for names in others if code in names)
        entries += [_Entry(_split(name.lower()), "finding", code) for name in called]
    entries += [_Entry(_split(p), "decoy") for p in raw["decoys"]["phrases"]]
    entries += [_Entry(_split(p), "none", item=True) for p in raw["none"]["items"]]
    for kind, phrases in raw["negation"].items():
        entries += [_Entry(_split(p), kind) for p in phrases]
    tree: dict[str, Any] = {}
    # Where two entries have the same words, findings come before triggers, and names before codes.
    for entry in sorted(entries, key=lambda e: (e.kind != "finding", e.exact is not None)):
        node = tree
        for word in entry.words:
            node = node.setdefault(word, {})
        node.setdefault("", []).append(entry)
    return Vocabulary(
        tree,
        codes,
        {c: tuple(s["is_a"]) for c, s in raw["labels"].items() if "is_a" in s},
        {c: s["negated"] for c, s in raw["labels"].items() if "negated" in s},
        frozenset(raw["headers"]["words"]),
        tuple(raw["refusals"]["starts"]),
        raw["version"],
    )


def normalise(text: str) -> str:
    """One spelling of what means the same: digits of any script, quotes, contractions, tick marks."""
    # A Chinese list has enumeration commas; its other comma ends a clause.
    text = text.replace("º", "°").replace("\ufe0f", "").replace("，", "; ")
    text = unicodedata.normalize("NFKC", text)
    if not text.isascii():
        text = "".join(str(unicodedata.digit(c)) if c.isdigit() and not c.isascii() else c for c in text)
        text = text.replace("’", "'").replace("。", ". ").replace("、", ", ")
        text = re.sub(r"[☐✗✘❌🚫]", " xno ", text)
        text = re.sub(r"[☑☒✓✔✅]", " xyes ", text)
    text = re.sub(r"\[[xX]\]", " xyes ", text)
    text = re.sub(r"\[ \]", " xno ", text)
    text = re.sub(r"n't\b", " not", text)
    text = re.sub(r"\b([iI])'m\b", r"\1 am", text)
    return re.sub(r"\b(it|that|there|here)'s\b", r"\1 is", text, flags=re.IGNORECASE)


def from_json(text: str) -> str:
    """A JSON answer as plain lines ("AF: yes"); any other text as it is."""
    body = _FENCE.sub("", text).strip()
    start = min((i for i in (body.find("{"), body.find("[")) if i >= 0), default=-1)
    if start < 0 or body[-1] not in "}]":
        return text
    try:
        value = json.loads(body[start:])
    except (ValueError, RecursionError):
        return text
    lines: list[str] = []
    headers = vocabulary().headers | {""}

    def walk(value: object, key: str) -> None:
        if isinstance(value, dict):
            for k, v in value.items():
                walk(v, str(k))
        elif isinstance(value, list):
            if not value and key.lower() in headers:
                lines.append("none")
            for v in value:
                walk(v, key if isinstance(v, str) and key.lower() not in headers else "")
        elif value is None or isinstance(value, bool):
            lines.append(f"{key}: {'yes' if value else 'no'}")
        elif isinstance(value, int | float):
            # A probability, or a count: half and more is a yes.
            lines.append(f"{key}: {'yes' if value >= 0.5 else 'no'}")
        else:
            lines.append(f"{key}: {value}" if key else str(value))

    walk(value, "")
    return body[:start] + "\n" + "\n".join(lines)


@dataclass(frozen=True)
class _Text:
    """A text as words, each with what a reader needs to know of its place.

    raw, words: as spelled and in lower case. spans: their offsets. seps: what stands before each word, and
    last what follows them all. sentence: the number of each word's; starts: the first word of each sentence.
    """

    raw: list[str]
    words: list[str]
    spans: list[tuple[int, int]]
    seps: list[str]
    sentence: list[int]
    starts: list[int]

    @classmethod
    def of(cls, text: str) -> _Text:
        spans = [m.span() for m in _WORD.finditer(text)]
        raw = [text[a:b] for a, b in spans]
        edges = [0, *(k for span in spans for k in span), len(text)]
        seps = [text[a:b] for a, b in zip(edges[::2], edges[1::2])]
        sentence, starts = [0] * len(spans), [0]
        for i in range(1, len(spans)):
            if _SENTENCE.search(seps[i]):
                starts.append(i)
            sentence[i] = len(starts) - 1
        return cls(raw, [w.lower() for w in raw], spans, seps, sentence, starts)


@dataclass
class _Event:
    entry: _Entry
    first: int  # index of its first word
    last: int  # one past its last word
    asserted: bool = True


def find_mentions(said: str) -> tuple[list[Mention], bool]:
    """All findings a text names, in order, and whether it says in words that none applies.

    Mentions inside a question, a refusal or an echoed list of options are left out.
    """
    vocab = vocabulary()
    text = _Text.of(normalise(said))
    if not text.words:
        return [], False
    dropped = _not_statements(text, vocab)

    events: list[_Event] = []
    i = 0
    while i < len(text.words):
        event = _match(vocab, text, i)
        if event is None:
            i += 1
        else:
            events.append(event)
            i = event.last
    says_none = any(e.entry.kind == "none" and not dropped[e.first] for e in events)
    _polarity(events, text)

    mentions = []
    for e in events:
        if e.entry.kind != "finding" or dropped[e.first]:
            continue
        code, asserted = e.entry.code, e.asserted
        if not asserted and code in vocab.negated:
            code, asserted = vocab.negated[code], True
        start, end = text.spans[e.first][0], text.spans[e.last - 1][1]
        mentions.append(Mention(code, asserted, start, end, e.entry.weak))
    return mentions, says_none


def _not_statements(text: _Text, vocab: Vocabulary) -> list[bool]:
    """Which words belong to a question or a refusal."""
    words, seps, starts = text.words, text.seps, text.starts
    dropped = [False] * len(words)
    for k, begin in enumerate(starts):
        end = starts[k + 1] if k + 1 < len(starts) else len(words)
        answered = end < len(words) and words[end] in {"yes", "no"}
        if "?" in seps[end] and not answered:
            dropped[begin:end] = [True] * (end - begin)
            continue
        turns = [k for k in range(begin + 1, end) if words[k] in _TURNS]
        for first, last in pairwise([begin, *turns, end]):
            said = " ".join(words[first + (words[first] in _TURNS) : last])
            if said.startswith(vocab.refusals):
                dropped[first:last] = [True] * (last - first)
    return dropped


_TURNS = {"but", "however"}  # what follows is another statement than what stands before


def _match(vocab: Vocabulary, text: _Text, i: int) -> _Event | None:
    """The longest phrase that starts at word i."""
    words = text.words
    node, ends, n = vocab.tree, [], len(words)
    for last in range(i + 1, n + 1):
        word = words[last - 1]
        if last > i + 1 and not _BETWEEN.fullmatch(text.seps[last - 1]):
            break
        if word[-1] == "s" and (stem := node.get(word[:-1])) and "" in stem:
            ends += [(last, e) for e in stem[""] if e.kind == "finding"]
        step = node.get(word)
        if step is None:
            break
        node = step
        ends += [(last, e) for e in node.get("", ())]
    # Stable: at equal length the order of the tree holds.
    for last, entry in sorted(ends, key=lambda end: -end[0]):
        spelled = entry.exact is None or tuple(text.raw[i:last]) == entry.exact
        if (spelled and not entry.item) or _is_item(vocab, text, i, last):
            return _Event(entry, i, last)
    return None


def _is_item(vocab: Vocabulary, text: _Text, first: int, last: int) -> bool:
    """Whether words first..last fill a list item, a cell or what follows "Diagnosis:"."""
    words, seps = text.words, text.seps
    after = seps[last]
    if last < len(words) and not _ITEM.search(after):
        return False
    if first == 0:
        return True
    before, previous = seps[first], words[first - 1]
    if previous in {"is", "as", "are", "be"} and not before.strip():
        return first >= 2 and words[first - 2] in vocab.headers
    if previous in {"xyes", "xno", "a", "an"} or (previous.isdigit() and re.match(r"[.)]", before)):
        return True
    if not _ITEM.search(before):
        return False
    if "(" in before:
        return False
    return (
        previous in vocab.headers if re.search(r"[:=—–→>|]|\s-+\s", before) and "\n" not in before else True
    )


def _polarity(events: list[_Event], text: _Text) -> None:
    """Sets `asserted` of each finding."""
    seps = text.seps
    findings = [k for k, e in enumerate(events) if e.entry.kind == "finding"]
    used: set[int] = set()
    for chain in _chains(events, findings, text):
        last = events[chain[-1]]
        verdict, trigger = _said_after(events, chain[-1], last, text)
        if verdict is not None:
            used.add(trigger)
            # "AF, RBBB and LBBB are absent" speaks of all three, "no AF, RBBB present" of the last.
            comma = [k for k in chain[1:] if _comma(seps[events[k - 1].last : events[k].first + 1])]
            reach = chain
            if comma and (verdict or not _in_words(events, chain, text)):
                reach = [k for k in chain if k >= comma[-1]]
            chain = [k for k in chain if k not in reach]
            if verdict and events[trigger].entry.words[0] not in {"yes", "xyes", "true", "1"}:
                _deny_before(events, reach, text, used)  # "no AF is seen" denies
            else:
                _assert(events, reach, verdict)
        if chain:
            _deny_before(events, chain, text, used)
    for k in findings:
        if _under_denial(events, k, text):
            events[k].asserted = False


def _chains(events: list[_Event], findings: Sequence[int], text: _Text) -> list[list[int]]:
    """Findings that follow each other as one list."""
    chains: list[list[int]] = []
    for k in findings:
        if chains and chains[-1][-1] == k - 1 and _joined(events[k - 1], events[k], text):
            chains[-1].append(k)
        else:
            chains.append([k])
    return chains


def _assert(events: list[_Event], which: Sequence[int], asserted: bool) -> None:
    for k in which:
        events[k].asserted = asserted


_LISTED = re.compile(r"\n\s*[-*•]\s")


def _under_denial(events: list[_Event], k: int, text: _Text) -> bool:
    """Whether a finding stands in a list whose heading, a line that ends in a colon, denies: "Absent:"."""
    first = text.starts[text.sentence[events[k].first]]
    while first and _LISTED.search(text.seps[first]):
        if re.search(r":\W*\n", text.seps[first]):
            return any(e.entry.kind == "after" and e.last == first for e in events[:k])
        first = text.starts[text.sentence[first] - 1]
    return False


def _in_words(events: list[_Event], chain: list[int], text: _Text) -> bool:
    """Whether "and", "or" or "nor" joins the list."""
    return any(w in {"and", "or", "nor"} for w in text.words[events[chain[0]].last : events[chain[-1]].first])


def _joined(a: _Event, b: _Event, text: _Text) -> bool:
    """Whether two findings follow each other in one list: only commas, slashes and joining words between."""
    words, seps, sentence = text.words, text.seps, text.sentence
    if sentence[a.first] != sentence[b.first]:
        return False
    return all(words[i] in _JOINS for i in range(a.last, b.first)) and not any(
        re.search(r"[:=|]|xno|xyes", seps[i]) for i in range(a.last, b.first + 1)
    )


def _said_after(events: list[_Event], k: int, last: _Event, text: _Text) -> tuple[bool | None, int]:
    """What stands right after a finding: "absent", ": no", "= 0.03"; None where nothing of that kind does."""
    words, seps, sentence = text.words, text.seps, text.sentence
    i, n = last.last, len(words)
    if i < n and "(" in seps[i] and ")" not in seps[i]:  # skip a spelled-out name in brackets
        j = next((j for j in range(i + 1, n + 1) if ")" in seps[j]), None)
        inside = {e.entry.kind for e in events[k + 1 :] if j is not None and e.first < j}
        if j is not None and not inside & {"mark", "affirm", "after"}:
            i = j
            k = max((m for m in range(k, len(events)) if events[m].last <= j), default=k)
    if i >= n:
        return None, -1
    marked = bool(_MARK.search(seps[i]))
    if marked and re.fullmatch(r"\d+(?:\.\d+)?%?", words[i]) and "\n" not in seps[i]:
        value = float(words[i].rstrip("%")) / (100 if words[i].endswith("%") else 1)
        if value <= 1:
            return (None if value >= 0.5 else False), -1
    following = next((m for m in range(k + 1, len(events)) if events[m].first >= i), None)
    if following is None:
        return None, -1
    event = events[following]
    gap = event.first - i
    auxiliary = all(
        w in {"is", "are", "was", "were", "can", "be", "seems", "appears", "clearly"}
        for w in words[i : event.first]
    )
    same = sentence[event.first] == sentence[last.first]
    kind = event.entry.kind
    if gap <= 2 and auxiliary and same and not _comma(seps[i : event.first + 1]):
        if kind in {"after", "affirm"}:
            return kind == "affirm", following
        if kind == "before" and event.entry.words == ("xno",):
            return False, following
    if gap == 0 and marked and "\n" not in seps[i]:
        if kind in {"mark", "before", "after"} and len(event.entry.words) == 1:
            follows = seps[event.last] if event.last < n else ""
            alone = event.last >= n or bool(_ITEM.search(follows))
            return (False, following) if alone else (None, -1)
        if kind == "affirm":
            return True, following
    return None, -1


def _comma(seps: list[str]) -> bool:
    return any("," in s for s in seps)


def _deny_before(events: list[_Event], chain: list[int], text: _Text, used: set[int]) -> None:
    """Applies the nearest denial that stands before a list of findings in its sentence."""
    seps, sentence = text.seps, text.sentence
    head = events[chain[0]]
    for m in range(chain[0] - 1, -1, -1):
        event = events[m]
        kind = event.entry.kind
        if sentence[event.first] != sentence[head.first] or kind in {"stop", "hedge"}:
            return
        if kind == "after" and m not in used and event.last == head.first and ":" in seps[head.first]:
            _assert(events, chain, False)  # "Absent: RBBB, LBBB"
            return
        if m in used or kind not in {"list", "before"}:
            continue
        if event.entry.words[0] in {"no", "not", "xno"} and re.search(r"[,.:]", seps[event.last]):
            continue  # "No, this is AF": the answer to a question, not a denial of what follows
        lists = kind == "list" and any(e.entry.kind == "finding" for e in events[m : chain[0]])
        if _comma(seps[event.last : head.first + 1]) and not lists:
            return
        tail = text.words[head.last : events[chain[-1]].first]
        all_of_them = kind == "list" or "or" in tail or "nor" in tail
        _assert(events, chain if all_of_them else _up_to_comma(events, chain, text), False)
        return


def _up_to_comma(events: list[_Event], chain: list[int], text: _Text) -> list[int]:
    """The first findings of a list, up to the first comma."""
    for n, (k, following) in enumerate(pairwise(chain), 1):
        if _comma(text.seps[events[k].last : events[following].first + 1]):
            return chain[:n]
    return chain
