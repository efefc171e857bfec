"""Questions of every kind about one page, in many wordings, each with the answer that the evidence gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

from ecgvlm.judge.evidence import Evidence
from ecgvlm.labels import LABELS, SIGNS
from ecgvlm.measure import MEASUREMENTS, WAVES
from ecgvlm.record import LEADS
from ecgvlm.words import answers
from ecgvlm.words.names import CLOSED_LISTS, prompts, without_article

_OPTIONS = "\x00"  # stands for a list of options while the wording around it gets its typos
_BRACKET = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class QA:
    """One question and its answer. kind: as in `QUESTION_KINDS`."""

    kind: str
    question: str
    answer: str


def expand(template: str, rng: Random) -> str:
    """Fills each [a|b|] with one of its alternatives, inner brackets first."""
    while match := _BRACKET.search(template):
        template = template[: match.start()] + rng.choice(match[1].split("|")) + template[match.end() :]
    return template


class Asker:
    """Draws questions. unseen: only wordings that training never uses, instead of only those it does.

    omit: labels and signs that no question names, as nobody knows whether they hold. It does not reach the
    kinds that speak of all findings ("verdict", "findings", "report", ...): ask those where it is empty.
    """

    def __init__(self, rng: Random, unseen: bool = False, omit: Collection[str] = ()):
        self.rng = rng
        self.unseen = unseen
        self.omit = frozenset(omit)
        self.names = prompts()["names"]

    def ask(self, evidence: Evidence, kind: str | None = None, noisy: bool = True) -> QA:
        """One question of a kind (any by default) on the page; noisy adds greetings, typos and odd case."""
        kind = kind or self.rng.choice(QUESTION_KINDS)
        text, options, answer = _ASKED[kind](self, evidence)
        if noisy:
            text = self._noise(text, plain=kind in ("unchanged", "hello", "unanswerable", "outside"))
        return QA(kind, text.replace(_OPTIONS, options), answer)

    def template(self, table: str, kind: str = "ask") -> str:
        lines = prompts()["questions"][table][kind]
        return expand(self.rng.choice(self._allowed(lines)), self.rng)

    def name(self, table: str, key: str = "names") -> str:
        """What a question calls something: any of the names we know, but of what we do not know only some."""
        names = self.names[table][key]
        return self.rng.choice(self._allowed(names) if key == "names" else names)

    def _allowed(self, lines: list[str]) -> list[str]:
        """The lines to train on, or those kept out of training: every seventh."""
        return [line for i, line in enumerate(lines) if (i % 7 == 3) == self.unseen]

    def _noise(self, text: str, plain: bool) -> str:
        rng = self.rng
        noise = prompts()["questions"]["noise"]
        if rng.random() < 0.25:
            text = (
                expand(rng.choice(noise["before"][:3] if plain else self._allowed(noise["before"])), rng)
                + text
            )
        if rng.random() < 0.2:
            text += expand(rng.choice(noise["after"][:1] if plain else self._allowed(noise["after"])), rng)
        text = text.replace("{age}", str(rng.randint(1, 99)))
        draw = rng.random()
        if draw < 0.12:
            text = text.lower()
        elif draw < 0.16:
            text = text.upper()
        elif draw < 0.2:
            text = text[:1].lower() + text[1:]
        if rng.random() < 0.1:
            text = text.rstrip("?.!")
        return typos(text, rng, rng.choice((1, 1, 2, 3))) if rng.random() < 0.2 else text


def typos(text: str, rng: Random, count: int) -> str:
    """The text with some letters dropped, doubled, swapped or mistyped, never in a digit or a placeholder."""
    for _ in range(count):
        places = [i for i, c in enumerate(text[:-1]) if c.isascii() and c.isalpha() and c.islower()]
        if not places:
            return text
        i = rng.choice(places)
        kind = rng.randrange(4)
        if kind == 0:
            text = text[:i] + text[i + 1 :]
        elif kind == 1:
            text = text[:i] + text[i] + text[i:]
        elif kind == 2 and text[i + 1].isalpha():
            text = text[:i] + text[i + 1] + text[i] + text[i + 2 :]
        else:
            text = text[:i] + rng.choice("abcdefghijklmnopqrstuvwxyz") + text[i + 1 :]
    return text


_Asked = tuple[str, str, str]  # question, its options, answer


def _whole(kind: str, answer: Callable[[Evidence], str]) -> Callable[[Asker, Evidence], _Asked]:
    return lambda asker, evidence: (asker.template("ask", kind), "", answer(evidence))


def _label(asker: Asker, evidence: Evidence) -> str:
    """A label to ask about: one that was found as often as one that was not."""
    rng = asker.rng
    found = [label for label in evidence.findings if label not in asker.omit]
    return (
        rng.choice(found)
        if found and rng.random() < 0.4
        else rng.choice([x for x in LABELS if x not in asker.omit])
    )


def _about_label(kind: str, answer: Callable[[Evidence, str], str]) -> Callable[[Asker, Evidence], _Asked]:
    def asked(asker: Asker, evidence: Evidence) -> _Asked:
        label = _label(asker, evidence)
        name = asker.name("labels", label)
        return asker.template("ask", kind).replace("{name}", name), "", answer(evidence, label)

    return asked


def _measurement(asker: Asker, evidence: Evidence) -> _Asked:
    name = asker.rng.choice(tuple(MEASUREMENTS))
    number = f"{asker.rng.randint(20, 300)}{asker.rng.choice(('', ' ms' if name.endswith('_ms') else ''))}"
    text = asker.template("ask", "measurement").replace("{number}", number)
    return (
        text.replace("{measure}", asker.name("measurements", name)),
        "",
        answers.measurement(evidence, name),
    )


def _limit(asker: Asker, evidence: Evidence) -> _Asked:
    side = asker.rng.choice(("low", "high"))
    name = asker.rng.choice(tuple(asker.names[side]))
    text = asker.template("ask", "limit").replace("{extreme}", asker.name(side, name))
    return (
        text.replace("{measure}", asker.name("measurements", name)),
        "",
        answers.limit(evidence, name, side),
    )


def _within(asker: Asker, evidence: Evidence) -> _Asked:
    name = asker.rng.choice([x for x in MEASUREMENTS if x != "qt_ms"])
    text = asker.template("ask", "within").replace("{measure}", asker.name("measurements", name))
    return text, "", answers.within(evidence, name)


def _group(asker: Asker, evidence: Evidence) -> _Asked:
    group = asker.rng.choice(
        [name for name, labels in answers.GROUPS.items() if not asker.omit & set(labels)]
    )
    text = asker.template("ask", "group").replace("{group}", asker.name("groups", group))
    return text, "", answers.group(evidence, group)


def _lead_sign(asker: Asker, evidence: Evidence) -> _Asked:
    sign, lead = asker.rng.choice(SIGNS), asker.rng.choice(LEADS)
    text = (
        asker.template("ask", "lead_sign")
        .replace("{sign}", asker.name("signs", sign))
        .replace("{lead}", lead)
    )
    return text, "", answers.lead_sign(evidence, sign, lead)


def _leads_list(asker: Asker, evidence: Evidence) -> _Asked:
    sign = asker.rng.choice(SIGNS)
    text = asker.template("ask", "leads_list").replace("{sign}", asker.name("signs", sign))
    return text, "", answers.leads_list(evidence, sign)


def _lead_amount(asker: Asker, evidence: Evidence) -> _Asked:
    wave, lead = asker.rng.choice(WAVES), asker.rng.choice(LEADS)
    text = (
        asker.template("ask", "lead_amount")
        .replace("{wave}", asker.name("waves", wave))
        .replace("{lead}", lead)
    )
    return text, "", answers.lead_amount(evidence, wave, lead)


def _lead(asker: Asker, evidence: Evidence) -> _Asked:
    lead = asker.rng.choice(LEADS)
    return asker.template("ask", "lead").replace("{lead}", lead), "", answers.lead(evidence, lead)


def _outside(asker: Asker, evidence: Evidence) -> _Asked:
    text = asker.template("ask", "outside").replace("{other}", asker.name("outside"))
    return text, "", answers.OUTSIDE


def _unanswerable(asker: Asker, evidence: Evidence) -> _Asked:
    text = asker.template("ask", "unanswerable").replace("{topic}", asker.name("topics"))
    return text, "", answers.UNANSWERABLE


def _option(code: str, name: str, form: str) -> str:
    return form.replace("C", "\x01").replace("N", name).replace("\x01", code)


def _bare(asker: Asker, code: str) -> str:
    """A name without its article, as lists have it."""
    return without_article(asker.name("signs" if code in SIGNS else "labels", code))


_FORMS = ("C(N)", "C(N)", "C (N)", "C", "N", "C: N", "C - N")


def _close(asker: Asker, evidence: Evidence) -> _Asked:
    rng, codes = asker.rng, asker.names["codes"]
    lists = {
        name: {code: shown for code, shown in codes.items() if code not in asker.omit}
        for name, codes in CLOSED_LISTS.items()
    }
    which = rng.choice((*(name for name, known in lists.items() if len(known) > 2), "any"))
    if which != "any":
        listed = lists[which]
        if rng.random() < 0.2:
            for code in rng.sample(tuple(listed), rng.randint(1, len(listed) - 2)):
                del listed[code]
    else:
        known = [code for code in (*LABELS, "STE", "STD") if code not in asker.omit]
        chosen = rng.sample(known, min(rng.randint(2, 9), len(known)))
        listed = {}
        for code in chosen:
            name = _bare(asker, code)
            while name == code:  # "RBBB(RBBB)" would be no option
                name = _bare(asker, code)
            listed[code] = (rng.choice(codes.get(code, [code])), name)
    form = rng.choice(_FORMS)
    order = list(listed)
    if rng.random() < 0.6:
        rng.shuffle(order)
    options = [(code, _option(*listed[code], form)) for code in order]
    between = rng.choice((", ", ", ", ", ", "; ", "\n", " | "))
    if rng.random() < 0.75:
        separators = prompts()["questions"]["close"]["separators"]
        separator = rng.choice(tuple(separators))
        text = asker.template("close").replace("{separator}", rng.choice(separators[separator]))
    else:
        separator, text = ", ", asker.template("close", "plain")
    listing = between.join(option for _, option in options)
    return text.replace("{options}", _OPTIONS), listing, answers.close(evidence, options, separator)


def _choice(asker: Asker, evidence: Evidence) -> _Asked:
    """Four or eight options of one to three findings; the right one has nothing but what was found."""
    rng = asker.rng
    known = [label for label in LABELS if label not in asker.omit]
    found = [label for label in evidence.findings if label in known and label not in ("CD", "HYP")]
    absent = [label for label in known if label not in evidence.findings]
    if not found or len(absent) < 3:
        return _close(asker, evidence)
    count = rng.choice((4, 4, 8))
    size = rng.choice((1, 1, 1, 2, 3))
    right = rng.sample(found, min(size, len(found)))
    choices: list[list[str]] = [right]
    while len(choices) < count:
        wrong = [rng.choice(absent)]
        wrong += rng.sample([x for x in known if x not in wrong], rng.randrange(size))
        rng.shuffle(wrong)
        choices.append(wrong)
    rng.shuffle(choices)
    style = rng.choice(("{}. {}", "{}. {}", "{}: {}", "({}) {}", "{}) {}"))
    texts = []
    for letter, labels in zip("ABCDEFGH", choices):
        names = [_bare(asker, label) for label in labels]
        texts.append(style.format(letter, rng.choice((", ", " with ", " and ")).join(names)))
    listing = rng.choice(("\n", "\n", " ", ", ", "; ")).join(texts)
    return asker.template("choice").replace("{options}", _OPTIONS), listing, "ABCDEFGH"[choices.index(right)]


def _pick(asker: Asker, evidence: Evidence) -> _Asked:
    rng = asker.rng
    options = rng.choice(
        (["yes", "no"], ["no", "yes"], ["yes", "no", "not sure"], ["Yes", "No"], ["YES", "NO"])
    )
    text = asker.template("pick").replace("{options}", _OPTIONS)
    listing = rng.choice((", ", "/", " or ")).join(options)
    yes, no = sorted(options[:2], key=str.lower, reverse=True)
    if len(options) == 3 and rng.random() < 0.3:
        return text.replace("{name}", asker.name("outside")), listing, options[2]
    label = _label(asker, evidence)
    return (
        text.replace("{name}", asker.name("labels", label)),
        listing,
        yes if label in evidence.findings else no,
    )


_ASKED: dict[str, Callable[[Asker, Evidence], _Asked]] = {
    "verdict": _whole("verdict", answers.verdict),
    "report": _whole("report", answers.report),
    "diagnosis": _whole("diagnosis", answers.diagnosis),
    "finding": _about_label("finding", answers.finding),
    "premise": _about_label("premise", answers.finding),
    "likelihood": _about_label("likelihood", answers.likelihood),
    "measurement": _measurement,
    "limit": _limit,
    "within": _within,
    "rhythm": _whole("rhythm", answers.rhythm),
    "regular": _whole("regular", answers.regular),
    "findings": _whole("findings", answers.findings),
    "group": _group,
    "lead_sign": _lead_sign,
    "leads_list": _leads_list,
    "lead_amount": _lead_amount,
    "lead": _lead,
    "layout": _whole("layout", answers.layout),
    "scale": _whole("scale", answers.scale),
    "quality": _whole("quality", answers.quality),
    "printed": _whole("printed", answers.printed),
    "cabrera": _whole("cabrera", answers.cabrera),
    "problems": _whole("problems", answers.problems),
    "unchanged": _whole("unchanged", answers.unchanged),
    "outside": _outside,
    "unanswerable": _unanswerable,
    "hello": _whole("hello", lambda evidence: answers.HELLO),
    "close": _close,
    "choice": _choice,
    "pick": _pick,
}
QUESTION_KINDS = tuple(_ASKED)
