"""The net that understands questions: made from the wordings in `words/data/asked`, in minutes.

    python -m ecgvlm.train.small.intents --out src/ecgvlm/data

Wordings are filled with names of findings, measurements and leads, joined, and written with slips of the pen.
Every seventh wording is kept out of a first training: it gives the temperature that makes probabilities
honest, and the probability from which on an answer to a wording never seen is right in 93 of 100. The shipped
net then learns from all. Each time several nets learn from the same examples, and their scores are averaged:
that is steadier than any one of them.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import cycle, islice
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import nn

from ecgvlm.atomic import beside, write_file
from ecgvlm.instruct.qa import expand, typos
from ecgvlm.record import LEADS
from ecgvlm.words.lexicon import asked, lexicon
from ecgvlm.words.meanings import DIMENSIONS, USES
from ecgvlm.words.names import prompts
from ecgvlm.words.phrases import LANGUAGES, words
from ecgvlm.words.tongue import OTHER
from ecgvlm.words.understand import BUCKETS, clause, features, intents, kin, letters, meant, ranked

WIDTH = 64
MEMBERS = 3
EACH = {"en": 800}  # examples of an intent in a language, at least
EACH_OTHER = 200
EVERY, MOST = 5, 15  # examples of a wording: the more, the more ways it can be expanded
ALTERED, ALTERED_OTHER = 5, 3  # times as many examples of names beside altering words as of an intent
TOLD, ALONE = 0.2, 0.2  # share of altering words beside a telling word, and beside a name without a wording
MANNER = 0.1  # share of names before which such a word stands
HARMLESS = 0.5  # share of examples with harmless words around or beside what they ask
HARMLESS_KEPT = 0.3  # of the kept ones, more like what people ask
ASIDES = 0.6  # share of those that tell who asks, of whom, where and with what
UNLISTED = 0.3  # share of topics that no list has
DROPPED = 0.25  # share of a clause's letter groups and words that a step of training does not see
UNUSED = 0.15  # share of examples of which it does not see how words are used, only what they mean
RIGHT = 0.93  # share of the kept wordings whose answer must be of the right family
# Kinds of the instruction data's questions -> intents.
KINDS = {
    "verdict": "verdict", "report": "report", "diagnosis": "diagnosis", "finding": "finding",
    "premise": "finding", "likelihood": "likelihood", "measurement": "value", "limit": "limit",
    "within": "within", "rhythm": "rhythm", "regular": "regular", "findings": "findings", "group": "group",
    "lead_sign": "finding", "leads_list": "where", "lead_amount": "amount", "lead": "lead",
    "layout": "layout", "scale": "scale", "quality": "quality", "printed": "printed", "cabrera": "cabrera",
    "problems": "problems", "outside": "finding",
}  # fmt: skip
OF_NAMES = ("value", "within", "wave", "amount", "finding", "where", "lead")  # ask of what they name
_NAMED = re.compile(r"(\{(?:measure|wave|finding|lead)\})")
_PLACEHOLDERS = {"name": "finding", "other": "finding", "sign": "finding", "extreme": "side"}
_CAPITALS = re.compile(r"[A-Z]{1,3}")


@dataclass(frozen=True)
class Example:
    """buckets and meanings: of the clause. intent and language: their numbers, -1 where the example does not
    teach it.

    kept: out of the first training, to calibrate with.
    """

    buckets: np.ndarray
    meanings: np.ndarray
    intent: int
    language: int
    kept: bool = False


def wordings(language: str) -> dict[str, list[str]]:
    """Intent -> the wordings of a language."""
    found = {intent: list(lines) for intent, lines in asked(language)["wordings"].items()}
    if language == "en":
        for kind, intent in KINDS.items():
            for line in prompts()["questions"]["ask"][kind]:
                line = re.sub(r"\{(\w+)\}", lambda m: f"{{{_PLACEHOLDERS.get(m[1], m[1])}}}", line)
                meant = "why" if line.startswith("Why") else "where" if "Where" in line else intent
                found.setdefault(meant, []).append(line)
    return found


@cache
def _beside() -> dict[str, dict]:
    """By language, the words that may stand beside a name (`words/data/beside.toml`)."""
    return tomllib.loads((files("ecgvlm.words") / "data" / "beside.toml").read_text("utf-8"))


class Writer:
    """Writes questions of one language."""

    def __init__(self, language: str, rng: Random):
        self.language, self.rng = language, rng
        self.data, self.beside = asked(language), _beside()[language]
        things, persons, manners = (
            self.beside.get(kind, "").split() for kind in ("things", "persons", "manners")
        )
        self.altering = [words for words in (self.beside["altering"], things) if words]
        self.persons, self.manners = persons, manners
        self.names = {
            kind: [name for code, names in self.data[kind].items() for name in names]
            for kind in ("finding", "measure", "wave", "group", "side", "style")
        }

    def fill(self, wording: str) -> str:
        """A wording with everything in it chosen, at times with a word before a name that changes nothing."""
        if self.manners and self.rng.random() < MANNER:
            wording = _NAMED.sub(lambda name: f"{self.rng.choice(self.manners)} {name[0]}", wording)
        return re.sub(r"\{([\w:]+)\}", lambda match: self._name(match[1]), expand(wording, self.rng))

    def _name(self, kind: str) -> str:
        rng = self.rng
        if kind == "lead":
            lead = rng.choice(LEADS)
            word = rng.choice(self.data["lead_words"])
            return f"{word} {lead}" if lead == "I" or rng.random() < 0.5 else lead
        if kind == "number":
            return str(rng.randint(20, 400))
        if kind.startswith("topic:"):
            if rng.random() < UNLISTED:
                return self._pseudo()
            return rng.choice(self.data["topic"][kind.removeprefix("topic:")]).replace("*", "")
        if kind == "word":
            return rng.choice(self.data["strange"]) if rng.random() < 0.5 else self._pseudo()
        if kind == "noise":
            return self._pseudo()
        return rng.choice(self.names[kind]).replace("*", "")

    def _pseudo(self) -> str:
        return "".join(
            self.rng.choice("bcdfgklmnprstvz") + self.rng.choice("aeiou")
            for _ in range(self.rng.randint(2, 4))
        ) + self.rng.choice(("", "s", "n", "x", "itis", "ia"))

    def noisy(self, text: str, harmless: float = HARMLESS) -> str:
        """harmless: how often with words that change nothing."""
        rng = self.rng
        if rng.random() < 0.3:
            text = self._hurried(text)
        if rng.random() < harmless:
            text = self._with_harmless(text)
        if rng.random() < 0.4:
            text = f"{rng.choice(self.data['before'])} {text}"
        if rng.random() < 0.2:
            text = f"{text} {rng.choice(self.data['after'])}"
        return typos(text, rng, rng.choice((1, 1, 2))) if rng.random() < 0.3 else text

    def _with_harmless(self, text: str) -> str:
        """With words that change nothing."""
        rng = self.rng
        said = [rng.choice(self.beside["harmless"])]
        if self.persons:
            person, other, manner = map(rng.choice, (self.persons, self.persons, self.manners))
            said += [
                rng.choice((f"the {person} asks", f"my {person} wants to know", f"says the {person}")),
                rng.choice((f"in this {person}", f"for the {person}", f"in a {manner} {person}")),
                f"{person} and {other} disagree", manner, manner,
            ]  # fmt: skip
        chosen = self._aside() if rng.random() < ASIDES else rng.choice(said)
        return rng.choice((f"{chosen}, {text}", f"{text}, {chosen}", f"{text} {chosen}"))

    def _aside(self) -> str:
        """Who asks, of whom, where and with what; at times with names nobody has, or in small letters."""
        said = re.sub(
            r"\{(\w+)\}", lambda match: self._named(match[1]), self.rng.choice(self.beside["asides"])
        )
        return said.lower() if self.rng.random() < 0.5 else said

    def _named(self, kind: str) -> str:
        if kind == "number":
            return str(self.rng.randint(1, 90))
        if kind in ("somebody", "place", "device") and self.rng.random() < UNLISTED:
            return self._pseudo().capitalize()
        return self.rng.choice(self.beside[kind])

    def _hurried(self, text: str) -> str:
        """Without articles, with what people write for short."""
        for long, short in self.data.get("short", {}).items():
            if self.rng.random() < 0.5:
                text = re.sub(rf"(?<!\w){long}(?!\w)", self.rng.choice(short), text)
        words = [x for x in text.split() if x not in self.data["articles"] or self.rng.random() < 0.3]
        return " ".join(words) or text

    def seen(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Buckets and meanings, as `Understanding` makes them."""
        known = lexicon(self.language)
        words = known.words(text)
        words_ = clause(words, known.objects(words), known)
        return features(words_), meant(words_, self.language)


def examples(rng: Random) -> list[Example]:
    """Questions of every intent and language, several in one, and questions in languages that are not
    ours."""
    order = list(intents())
    out = []
    for number, language in enumerate(LANGUAGES):
        writer, lines = Writer(language, rng), wordings(language)
        count = EACH.get(language, EACH_OTHER)
        for intent, asking in lines.items():
            places = [place for place, line in enumerate(asking) for _ in range(_examples(line))]
            for i, place in enumerate(islice(cycle(places), max(count, len(places)))):
                kept = place % 7 == 3
                text = writer.noisy(writer.fill(asking[place]), HARMLESS_KEPT if kept else HARMLESS)
                out.append(Example(*writer.seen(text), order.index(intent), -1, kept))
                if i % 4 == 0:
                    out.append(_spoken(text, number))
        out += _several(writer, lines, 2 * count, order.index("several"))
        out += _altered(
            writer, lines, (ALTERED if language == "en" else ALTERED_OTHER) * count, order.index("unknown")
        )
        topics = [name for names in writer.data["topic"].values() for name in names]
        said = [re.sub(r"\{\w+\}", " ", text) for text in words(language).sentences.values()]
        for text in (*writer.names["finding"], *writer.names["measure"], *topics, *said):
            if not _CAPITALS.fullmatch(text):
                out.append(_spoken(text.replace("*", ""), number))
    return out + _foreign(rng)


def _spoken(text: str, language: int) -> Example:
    """A text that teaches its language alone."""
    return Example(letters(text), meant([], ""), -1, language)


def _examples(wording: str) -> int:
    """How many examples of a wording there are at least."""
    ways = math.prod(text.count("|") + 1 for text in re.findall(r"\[([^\[\]]*)\]", wording))
    return min(EVERY + ways // 4, MOST)


def _several(writer: Writer, lines: dict[str, list[str]], count: int, several: int) -> list[Example]:
    """Two or three questions in one sentence."""
    rng = writer.rng
    asking = [intent for intent in lines if intent not in ("context", "unsure")]
    out = []
    for _ in range(count):
        texts = [writer.fill(rng.choice(lines[x])) for x in rng.sample(asking, rng.choice((2, 2, 2, 3)))]
        joined = texts[0]
        for text in texts[1:]:
            joined += rng.choice((" {} ", ", {} ", ", ")).format(rng.choice(writer.data["and"])) + text
        out.append(Example(*writer.seen(writer.noisy(joined)), several, -1))
    return out


def _altered(writer: Writer, lines: dict[str, list[str]], count: int, unknown: int) -> list[Example]:
    """What is asked of something that is named or told, but is not what its name says: "the QT dispersion",
    "report him to the police"."""
    rng = writer.rng
    wordings = [line for intent in OF_NAMES for line in lines[intent] if len(_NAMED.findall(line)) == 1]
    told = [name.rstrip("*") for names in writer.data["subject"].values() for name in names]
    told += writer.data["stock"]["ecg"]
    out = []
    for _ in range(count):
        way = rng.choice(writer.beside["ways"])
        way = way.replace("{altering}", rng.choice(rng.choice(writer.altering)))
        chance = rng.random()
        if chance < TOLD:
            text = way.replace("{name}", rng.choice(told))
        elif chance < TOLD + ALONE:
            text = way.replace("{name}", rng.choice(("{measure}", "{wave}", "{finding}", "{group}")))
        else:
            head, name, tail = _NAMED.split(rng.choice(wordings))
            text = head + way.replace("{name}", name) + tail
        out.append(Example(*writer.seen(writer.noisy(writer.fill(text))), unknown, -1))
    return out


def _foreign(rng: Random) -> list[Example]:
    """Beginnings of questions in languages that are not ours."""
    out = []
    for _ in range(20):
        for line in asked(OTHER)["wordings"]:
            words = line.split()
            begun = " ".join(words[: rng.randint(2, len(words))] if len(words) > 2 else words)
            out.append(_spoken(typos(begun, rng, rng.choice((0, 0, 1))), len(LANGUAGES)))
    return out


class Net(nn.Module):
    """[n] buckets and [m, DIMENSIONS + 1] meanings -> scores of the intents, scores of the languages."""

    def __init__(self, intent_count: int, language_count: int):
        super().__init__()
        self.table = nn.EmbeddingBag(BUCKETS, WIDTH, mode="sum")
        nn.init.normal_(self.table.weight, std=0.05)
        self.meaning = nn.Linear(DIMENSIONS + 1, WIDTH)
        self.intent = nn.Linear(2 * WIDTH, intent_count)
        self.language = nn.Linear(WIDTH, language_count)

    def forward(
        self, buckets: torch.Tensor, starts: torch.Tensor, meanings: torch.Tensor, owners: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """starts: of each example's buckets; owners: the example of each row of meanings."""
        sizes = torch.diff(torch.cat([starts, torch.tensor([len(buckets)])])).clamp(min=1)
        hidden = torch.relu(self.table(buckets, starts) / sizes.sqrt()[:, None])
        said = torch.zeros(len(starts), WIDTH).index_add(0, owners, torch.relu(self.meaning(meanings)))
        said = said / torch.bincount(owners, minlength=len(starts)).clamp(min=1).sqrt()[:, None]
        return self.intent(torch.cat([hidden, said], 1)), self.language(hidden)


def train(data: list[Example], epochs: int, seed: int) -> Net:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Net(len(intents()), len(LANGUAGES) + 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=4e-3, fused=True)
    size = 512
    steps = epochs * (len(data) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps + 1)
    loss_of = nn.CrossEntropyLoss(ignore_index=-1, label_smoothing=0.05)
    for epoch in range(epochs):
        order = rng.permutation(len(data))
        total = 0.0
        for at in range(0, len(order) - size + 1, size):
            rows = [data[i] for i in order[at : at + size]]
            by_intent, by_language = net(*_batch(rows, rng))
            intent = torch.tensor([row.intent for row in rows])
            language = torch.tensor([row.language for row in rows])
            loss = loss_of(by_intent, intent) + 0.5 * loss_of(by_language, language)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total * size / len(data):.3f}", flush=True)
    return net.eval()


def _batch(rows: list[Example], rng: np.random.Generator | None = None) -> tuple[torch.Tensor, ...]:
    """What the net takes, for several examples. rng: drops some of what each shows."""
    buckets, said = [row.buckets for row in rows], [row.meanings for row in rows]
    if rng is not None:
        buckets, said = ([x[rng.random(len(x)) > DROPPED] for x in each] for each in (buckets, said))
        for unused in said:  # each a copy of its own
            if rng.random() < UNUSED:
                unused[:, :USES] = 0
    starts = np.cumsum([0, *(len(x) for x in buckets[:-1])])
    owners = np.repeat(np.arange(len(rows)), [len(x) for x in said])
    arrays = np.concatenate(buckets), starts, np.concatenate(said), owners
    return tuple(map(torch.from_numpy, arrays))


def train_members(data: list[Example], epochs: int, seed: int) -> list[Net]:
    return [train(data, epochs, MEMBERS * seed + member) for member in range(MEMBERS)]


def scores(nets: list[Net], data: list[Example]) -> np.ndarray:
    with torch.no_grad():
        return np.mean([net(*_batch(data))[0].numpy() for net in nets], 0)


def calibrate(found: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The temperature of least log loss, and the least probability of a family with enough of them right."""
    losses = {}
    for temperature in np.geomspace(0.3, 4, 40):
        p = _softmax(found / temperature)
        losses[float(temperature)] = -np.log(p[np.arange(len(p)), truth] + 1e-9).mean()
    temperature = min(losses, key=losses.__getitem__)
    names = list(intents())
    best = [ranked(row / temperature, names) for row in found]
    sure = np.array([chances[kin(order[0])] for order, chances in best])
    right = np.array([kin(order[0]) == kin(names[i]) for (order, _), i in zip(best, truth)])
    order = np.argsort(-sure)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = sure[order][np.flatnonzero(precision >= RIGHT)[-1]]
    share = (sure >= enough).mean()
    print(f"{right.mean():.3f} right; temperature {temperature:.2f}; {share:.2f} from {enough:.2f} on")
    return temperature, float(enough)


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


class _Exported(nn.Module):
    """The nets on one question, their tables side by side in 8 bits."""

    def __init__(self, nets: list[Net]):
        super().__init__()
        table = torch.cat([net.table.weight.detach() for net in nets], 1)
        self.step = float(table.abs().max()) / 127
        self.table = nn.Parameter((table / self.step).round().to(torch.int8), requires_grad=False)
        self.meaning, self.intent, self.language = (
            nn.ModuleList(layers)
            for layers in zip(*((net.meaning, net.intent, net.language) for net in nets))
        )

    def forward(self, buckets: torch.Tensor, meanings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.relu(_pooled(self.table[buckets].float() * self.step)).split(WIDTH)
        said = [_pooled(torch.relu(meaning(meanings))) for meaning in self.meaning]
        by_intent = [intent(torch.cat([x, y])) for intent, x, y in zip(self.intent, hidden, said)]
        by_language = [language(x) for language, x in zip(self.language, hidden)]
        return torch.stack(by_intent).mean(0), torch.stack(by_language).mean(0)


def _pooled(rows: torch.Tensor) -> torch.Tensor:
    """[n, width] -> [width], zeros where there are no rows."""
    return rows.sum(0) / torch.sqrt(torch.ones_like(rows[:, 0]).sum().clamp(min=1))


def export(nets: list[Net], folder: Path, temperature: float, enough: float) -> None:
    with beside(folder / "intents.onnx") as part:
        torch.onnx.export(
            _Exported(nets), (torch.arange(5), torch.zeros(2, DIMENSIONS + 1)), str(part),
            input_names=["buckets", "meanings"], output_names=["intents", "languages"],
            dynamic_axes={"buckets": {0: "n"}, "meanings": {0: "m"}}, opset_version=17, dynamo=False,
        )  # fmt: skip
    known = {
        "intents": list(intents()), "languages": [*LANGUAGES, OTHER],
        "temperature": round(temperature, 3), "enough": round(enough, 3),
    }  # fmt: skip
    write_file(folder / "intents.json", (json.dumps(known, indent=1) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write intents.onnx and intents.json to"
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = examples(Random(args.seed))
    kept = [row for row in data if row.kept]
    first = train_members([row for row in data if not row.kept], args.epochs, args.seed)
    temperature, enough = calibrate(scores(first, kept), np.array([row.intent for row in kept]))
    export(train_members(data, args.epochs, args.seed), args.out, temperature, enough)


if __name__ == "__main__":
    main()
