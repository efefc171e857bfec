"""A second, plain implementation of the scoring that PULSE published, a function a task.

Written from the rules, not from `ecgvlm.bench`: code15 alone knows "Answer:", NORM and ABNORMAL; ptb and cpsc
look for their codes anywhere; ecgqa compares the characters of the options found with those of the gold.
"""

import random

from sklearn.metrics import f1_score, hamming_loss, roc_auc_score

CODE15 = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF")
PLAIN = {
    "ptb-test": ("NORM", "MI", "STTC", "CD", "HYP"),
    "cpsc-test": ("NORM", "AF", "I-AVB", "LBBB", "RBBB", "PAC", "PVC", "STD", "STE"),
}
LABEL_TASKS = ("code15-test", *PLAIN)
LETTERS = "ABCDEFGH"


def inside(text, codes):
    return {code for code in codes if text.find(code) >= 0}


def predicted(task, text):
    if task in PLAIN:
        return inside(text, PLAIN[task])
    _, marker, behind = text.rpartition("Answer:")
    if marker:
        text = behind
    found = inside(text, CODE15)
    if "ABNORMAL" in text:
        return found | {"ABNORMAL"}
    return found | ({"NORM"} if "NORM" in text else set())


def gold(task, text):
    if task in PLAIN:
        return inside(text, PLAIN[task])
    return {text} if text in {"NORM", "ABNORMAL"} else inside(text, CODE15)


def scores(task, golds, answers):
    """f1, auc, hl over the labels that occur in the gold; a class with one outcome makes auc None."""
    truth = [gold(task, g) for g in golds]
    called = [predicted(task, a) for a in answers]
    labels = sorted(set().union(*truth))
    y = [[int(c in t) for c in labels] for t in truth]
    p = [[int(c in t) for c in labels] for t in called]
    columns = [([r[k] for r in y], [r[k] for r in p]) for k in range(len(labels))]
    f1 = sum(f1_score(t, c, zero_division=0) for t, c in columns) / len(columns)
    try:
        aucs = [roc_auc_score(t, c) for t, c in columns]
        auc = sum(aucs) / len(aucs)
    except ValueError:
        auc = None
    if auc != auc:
        auc = None
    return f1, auc, sum(hamming_loss(t, c) for t, c in columns) / len(columns)


def choice(text, guess: random.Random, options):
    """The letter an answer stands for; a random one of the options where it stands for none."""
    if text in tuple(LETTERS):
        return text
    dotted = [letter for letter in LETTERS if letter + "." in text]
    if dotted:
        return dotted[0]
    if "The correct option is " in text:
        rest = text.rsplit("The correct option is ", 1)[1]
        return rest[0] if rest and rest[0] in LETTERS else guess.choice(options)
    if "Answer:" in text:
        rest = text.rsplit("Answer:", 1)[1]
        for letter in LETTERS:
            if letter in rest:
                return letter
    return guess.choice(options)


def choices(golds, answers, options):
    """Accuracy; the random letters come from one generator of seed 42, in the order of the rows."""
    guess = random.Random(42)
    hits = [choice(a, guess, options) == g[0] for g, a in zip(golds, answers)]
    return sum(hits) / len(hits)


def ecgqa(questions, golds, answers, field="text"):
    """Accuracy; field: the name under which the answers were kept."""
    hits = 0
    for question, right, answer in zip(questions, golds, answers):
        _, _, listed = question.rpartition("Options:")
        listed = listed.replace("Only answer based on the given Options without any explanation.", "")
        heard = answer.lower()
        letters = set()
        for option in map(str.strip, listed.split(",")):
            sought = option if field == "response" else option.lower()
            if sought in heard:
                letters.update(option)
        hits += letters == set(right)
    return hits / len(answers)
